"""Boxes as numbers: golden figures, brute force on a raster, forms there and back; columns gathered; kinds inferred."""

import json

import numpy as np
import polars as pl
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as some

from gradatim.data.gather import gather_columns
from gradatim.data.infer import infer_schema
from gradatim.data.places import centred, cornered, overlap, rescale_boxes
from gradatim.data.schema import Schema
from gradatim.data.split import make_split
from gradatim.data.table import Table
from gradatim.errors import SchemaError

whole = some.integers(0, 12)
box = some.tuples(whole, whole, some.integers(1, 8), some.integers(1, 8)).map(
    lambda b: [b[0], b[1], b[0] + b[2], b[1] + b[3]]
)


def test_a_box_goes_from_the_square_to_the_picture() -> None:
    assert rescale_boxes([116, 132, 241, 340], (416, 416), (1000, 667)).round().tolist() == [279, 212, 579, 545]
    assert np.allclose(rescale_boxes(rescale_boxes([[1, 2, 3, 4]], (5, 7), (50, 21)), (50, 21), (5, 7)), [[1, 2, 3, 4]])


@given(box, box)
def test_overlap_equals_counting_pixels(first: list[int], second: list[int]) -> None:
    grids = [np.zeros((32, 32), bool) for _ in range(2)]
    for grid, (left, top, right, bottom) in zip(grids, (first, second)):
        grid[top:bottom, left:right] = True
    expected = (grids[0] & grids[1]).sum() / (grids[0] | grids[1]).sum()
    assert overlap(np.array(first, float), np.array(second, float)) == pytest.approx(expected)
    assert overlap(np.array(second, float), np.array(first, float)) == pytest.approx(expected)


def test_overlap_of_rows_and_of_nothing() -> None:
    boxes = np.array([[0.0, 0, 2, 2], [3, 3, 3, 3], [5, 5, 4, 4]])
    assert overlap(boxes, boxes).tolist() == [1, 0, 0]


@given(box)
def test_forms_there_and_back_in_arrays_and_tensors(corners: list[int]) -> None:
    array = np.array(corners, dtype=np.float64)
    assert np.allclose(cornered(centred(array)), array)
    assert torch.allclose(cornered(centred(torch.from_numpy(array))), torch.from_numpy(array))


def table_of(**columns: list[object]) -> Table:
    rows = len(next(iter(columns.values())))
    return Table(pl.DataFrame({"picture": [f"{row}.png" for row in range(rows)], **columns}, strict=False))


@pytest.mark.parametrize(
    "cells, kind",
    [
        (["1 2 3 4 cat", "5 6 7 8 dog"], "boxes"),
        (["[[1, 2, 3, 4]]", "[]"], "boxes"),
        (["[1, 2, 3, 4]", "[]"], "boxes"),
        (["[[1, 2], [3, 4]]", "[[5, 6], null]"], "points"),
        ([[[1, 2, 3, 4]], []], "boxes"),
    ],
)
def test_targets_of_boxes_and_points_are_known_by_their_cells(cells: list[object], kind: str) -> None:
    column = infer_schema(
        table_of(answer=cells * 10, x=list(range(20))), target="answer", kinds={"picture": "image", "x": "number"}
    )["answer"]
    assert (column.kind, column.role) == (kind, "target") and "20 of 20 sampled cells" in column.why[-1]


def test_names_help_and_inputs_are_set_aside() -> None:
    numbers = [f"{row} {row + 1} {row + 5} {row + 9}" for row in range(20)]
    inferred = infer_schema(
        table_of(bbox=numbers, landmarks=numbers, words=numbers, y=["a", "b"] * 10),
        target="y",
        kinds={"picture": "image"},
    )
    assert (inferred["bbox"].kind, inferred["bbox"].role) == ("boxes", "ignore")
    assert (inferred["landmarks"].kind, inferred["landmarks"].role) == ("points", "ignore")
    assert inferred["words"].kind == "text"
    asked = infer_schema(table_of(words=numbers), target="words", kinds={"words": "points", "picture": "image"})
    assert asked["words"].kind == "points"


def test_unreadable_targets_count_as_missing_and_are_said() -> None:
    table = table_of(box=["1 2 3 4", "4 3 2 1", None, "[]"] * 10)
    schema = infer_schema(table, target="box", kinds={"box": "boxes", "picture": "image"})
    split = make_split(table, Schema.from_json(schema.to_json()))
    assert len(split.unlabelled) == 20
    assert any("10 targets in 'box' cannot be read" in note and "first in row 1" in note for note in split.notes)


def test_columns_are_gathered_into_boxes_and_points() -> None:
    table = table_of(
        l=["1", None, "x"], t=["2", None, "2"], r=["3", None, "3"], b=["4", None, "4"], kind=["cat", None, "a"]
    )
    gathered = gather_columns(table, {"box": "l,t,r,b,kind"})
    assert gathered.frame.columns == ["picture", "box"]
    assert gathered.cells("box")[:2] == ['[["1", "2", "3", "4", "cat"]]', None]
    points = gather_columns(
        table_of(a=[1.0], b=[2.0], c=[None], d=[4.0], e=[5.0], f=[6.0]), {"eyes": "a, b, c, d, e, f"}
    )
    assert json.loads(points.cells("eyes")[0]) == [[1.0, 2.0], None, [5.0, 6.0]]
    assert gather_columns(points, {"eyes": "a,b"}) is points  # a table to predict has none of them
    for wanted, words in (
        ({"box": "l,t,r,right"}, "no column 'right'|right"),
        ({"box": "l,t,r"}, "received 3"),
        ({"picture": "l,t,r,b"}, "column already"),
    ):
        with pytest.raises(SchemaError, match=words):
            gather_columns(table, wanted)
