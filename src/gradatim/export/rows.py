"""Rows of the fitted table as inputs of the graph, and the run's own answers to them."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import polars as pl
import torch

from gradatim.data.codecs.picture import open_picture, upright
from gradatim.data.table import Table
from gradatim.device import Placement
from gradatim.errors import CellError
from gradatim.export.parts import Entry, Pipeline
from gradatim.tasks.members import Ensemble
from gradatim.tasks.network import NetworkMember
from gradatim.tasks.source import Source

BATCH = 32


def pixels_of(cell: Any, table: Table, codec: Any) -> np.ndarray | None:
    """A picture as uint8 (H, W, C) in its own size: what a user of the exported file hands over."""
    if cell is None:
        return None
    try:
        image = open_picture(cell, table.folder, max_bytes=codec.max_bytes, max_pixels=codec.max_pixels)
        image = upright(image, white=codec.white)
    except CellError:
        return None
    array = np.asarray(image.convert("L" if codec.channels == 1 else "RGB"))
    return array[:, :, None] if array.ndim == 2 else array


def whole_pictures(table: Table, entries: Sequence[Entry]) -> Table:
    """The table with its pictures decoded in full, so that both sides see the same pixels."""
    frame = table.frame
    for entry in {entry.column: entry for entry in entries if entry.codec.kind == "image"}.values():
        arrays = [pixels_of(cell, table, entry.codec) for cell in table.cells(entry.column)]
        frame = frame.with_columns(pl.Series(entry.column, arrays, dtype=pl.Object))
    return Table(frame, table.folder, table.lines, table.source, table.notes)


def inputs_of(table: Table, pipeline: Pipeline, layout: str) -> Iterator[tuple[np.ndarray, dict[str, np.ndarray]]]:
    """Batches (row numbers, inputs by name) of a table whose pictures are decoded; pictures of one size together."""
    entries = pipeline.entries
    pictures = {e.name: table.cells(e.column) for e in entries if e.codec.kind == "image" and e.part == ""}
    sizes = [tuple(None if cells[row] is None else cells[row].shape for cells in pictures.values())
             for row in range(len(table))]
    source = Source(table)
    for size in sorted(set(sizes), key=str):
        alike = np.array([row for row, found in enumerate(sizes) if found == size], dtype=np.int64)
        for start in range(0, len(alike), BATCH):
            rows = alike[start : start + BATCH]
            yield rows, {
                entry.name: stacked(pictures[entry.name], rows, entry, layout) if entry.name in pictures
                else encoded(source, entry, rows) for entry in entries
            }


def stacked(cells: Sequence[Any], rows: np.ndarray, entry: Entry, layout: str) -> np.ndarray:
    """Pictures of one size side by side; one that is missing is a black pixel or two, which its flag hides."""
    codec: Any = entry.codec
    blank = np.zeros((2, 2, codec.channels), np.uint8)
    batch = np.stack([blank if cells[row] is None else cells[row] for row in rows])
    return batch if layout == "nhwc" else np.ascontiguousarray(batch.transpose(0, 3, 1, 2))


def encoded(source: Source, entry: Entry, rows: np.ndarray) -> np.ndarray:
    """One part of a column through its codec."""
    batch = source.encode({entry.column: entry.codec}).batch(rows, [entry.column])
    field = batch.inputs[entry.column]
    if entry.part == "present":
        return batch.present[entry.column].numpy()
    value = field[entry.part] if isinstance(field, dict) else field
    assert isinstance(value, torch.Tensor)
    return value.numpy()


def in_float32(ensemble: Ensemble) -> Ensemble:
    """The same answer without rounding to bfloat16: what the graph is held against."""
    members = tuple(
        replace(member, placement=Placement("cpu", "float32", False, torch.get_num_threads()),
                network=member.network.to("cpu"))
        if isinstance(member, NetworkMember) else member for member in ensemble.members
    )
    return replace(ensemble, members=members)


def answers(answer: Any, batches: Sequence[tuple[np.ndarray, Mapping[str, np.ndarray]]], rows: int) -> np.ndarray:
    """The answer of a graph to all batches, in the order of the rows."""
    parts = [(numbers, answer(inputs)) for numbers, inputs in batches]
    whole = np.zeros((rows, *parts[0][1].shape[1:]), np.float64)
    for numbers, part in parts:
        whole[numbers] = part
    return whole
