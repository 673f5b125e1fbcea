"""What localisation and landmarks share: targets that lie in a picture, in units of its longer side.

A truth is read from the cells in pixels and divided by the longer side of the row's own picture; answers are in these
units all along, so that heads, networks and averages need know nothing of sizes; only what is shown or written is
brought back to pixels, by `in_pixels`.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import torch

from gradatim.data.augment import Follow
from gradatim.data.batch import Batch
from gradatim.data.codecs.picture import picture_size
from gradatim.data.places import framed
from gradatim.data.schema import Schema
from gradatim.data.table import Table
from gradatim.errors import CellError, SchemaError
from gradatim.evaluate.predictions import Predictions
from gradatim.tasks.task import SupervisedTask, Task

BOX_WEIGHT = 25.0  # of squared errors in shares of the picture: at 0.1 in each of four they weigh as much as a class
MOST_BYTES, MOST_PIXELS = 64 * 2**20, 64_000_000
PLACE_NET = "gradatim.models.vision.place_net.place_net"
NETWORK = {"dropout": 0.0}  # of the fusion network: it blurs places


class PlacedTask(SupervisedTask, Protocol):
    """A task whose target lies in a picture."""

    @property
    def picture(self) -> str:
        """The column of the pictures."""
        ...

    @property
    def encoders(self) -> Mapping[str, Any]:
        """The blueprints of networks by kind of column, where the user names none."""
        ...

    @property
    def network(self) -> Mapping[str, Any]:
        """Arguments of the fusion network."""
        ...

    @property
    def follow(self) -> Follow:
        """How the target moves when its picture is augmented."""
        ...

    def placed_labels(self, cells: list[Any], sides: np.ndarray) -> np.ndarray:
        """The truth in units of the longer side, float64 (N, …), NaN where missing; sides (N,) in pixels."""
        ...

    def in_pixels(self, answer: np.ndarray, sides: np.ndarray) -> np.ndarray:
        """The answer with its places in pixels, as `predictions` writes them."""
        ...

    def regressed(self, labels: np.ndarray) -> np.ndarray:
        """What a regressor is fitted on, (N, outputs), without gaps."""
        ...

    def tell(self, label: np.ndarray, answer: np.ndarray) -> dict[str, Any]:
        """One row in words and as marks to draw: {"true", "predicted", "probability", "marks"}."""
        ...


def as_placed(task: Any) -> PlacedTask | None:
    """The task where it is one of these."""
    return task if hasattr(task, "placed_labels") else None


def truth_of(task: Task, table: Table) -> np.ndarray:
    """The truth in the target's cells, an entry a row."""
    cells = table.cells(task.target)  # type: ignore[arg-type]
    placed = as_placed(task)
    return task.labels(cells) if placed is None else placed.placed_labels(cells, sides_of(table, placed.picture))


def said_of(
    task: Task, answer: np.ndarray, table: Table, rows: Sequence[int] | np.ndarray,
    ids: Mapping[str, Any] | None = None,
) -> Predictions:
    """The answer to the rows of a table as a frame; `rows` are the numbers to write beside them."""
    placed = as_placed(task)
    if placed is not None:
        answer = placed.in_pixels(answer, sides_of(table, placed.picture))
    return task.predictions(answer, rows, ids=ids)


def regressed(task: Any, labels: np.ndarray) -> np.ndarray:
    """The labels in the form that an estimator is fitted on."""
    placed = as_placed(task)
    return labels if placed is None else placed.regressed(labels)


def picture_of(schema: Schema, task: str) -> str:
    """The one picture column; SchemaError where there is none or a choice."""
    names = [column.name for column in schema.inputs if column.kind == "image"]
    if len(names) != 1:
        raise SchemaError(f"{task}: expected one input of pictures, in which the target lies; found "
                          f"{', '.join(names) or 'none'}; --ignore the others")
    return names[0]


def sides_of(table: Table, column: str) -> np.ndarray:
    """The longer side of each picture in pixels, float64 (N,); unreadable ones get the median of the others."""
    sides = np.full(len(table), np.nan)
    for row, cell in enumerate(table.cells(column)):
        if cell is None:
            continue
        try:
            sides[row] = max(picture_size(cell, table.folder, max_bytes=MOST_BYTES, max_pixels=MOST_PIXELS))
        except CellError:
            continue
    middle = float(np.nanmedian(sides)) if np.isfinite(sides).any() else 1.0
    return np.where(np.isfinite(sides), sides, middle)


def square_of(batch: Batch, picture: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """`framed` for a batch: share of the square = place in pixels · scale + shift, and the longer sides."""
    pictures = batch.inputs[picture]
    assert isinstance(pictures, torch.Tensor)
    return framed(batch.context.get(picture) or [None] * len(batch), float(pictures.shape[-1]))


def from_square(places: np.ndarray, batch: Batch, picture: str) -> np.ndarray:
    """Places (B, P, 2) in shares of the square → in units of the longer side of the picture."""
    scale, shift, sides = square_of(batch, picture)
    pixels = (places - shift[:, None]) / scale[:, None]
    return pixels / np.where(np.isfinite(sides), sides, _side(batch, picture))[:, None, None]


def _side(batch: Batch, picture: str) -> float:
    return float(batch.inputs[picture].shape[-1])  # type: ignore[union-attr]
