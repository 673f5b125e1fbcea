"""Boxes: the ways to write them, all read alike; damaged cells named; there and back through any framing."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as some

from gradatim.data.codecs.boxes import BoxesCodec
from gradatim.data.codecs.image import ImageCodec
from gradatim.data.places import framed
from gradatim.errors import CellError, SchemaError

CAT = [(12.0, 30.0, 80.0, 99.0, "cat")]


@pytest.mark.parametrize(
    "cell",
    [
        "12 30 80 99 cat",
        "12,30, 80,99,cat",
        '[[12, 30, 80, 99, "cat"]]',
        '[12, 30, 80, 99, "cat"]',
        [[12, 30, 80, 99, "cat"]],
        [12, 30, 80, 99, "cat"],
        np.array([[12, 30, 80, 99, "cat"]], dtype=object),
        '{"left": 12, "top": 30, "right": 80, "bottom": 99, "label": "cat"}',
        [{"xmin": 12, "ymin": 30, "xmax": 80, "ymax": 99, "category": "cat"}],
        {"x1": 12, "y1": 30, "x2": 80, "y2": 99, "name": "cat"},
    ],
)
def test_every_spelling_is_the_same_box(cell):
    assert BoxesCodec().parse(cell) == CAT


def test_forms_labels_and_nothing():
    assert (
        BoxesCodec(form="size").parse("12 30 68 69 cat") == BoxesCodec(form="centre").parse("46 64.5 68 69 cat") == CAT
    )
    assert BoxesCodec().parse("1 2 3 4; 5 6 7 8") == [(1, 2, 3, 4, None), (5, 6, 7, 8, None)]
    assert BoxesCodec().parse("1 2 3 4 grey cat")[0][4] == "grey cat"
    assert BoxesCodec().parse("[]") == BoxesCodec().parse("none") == BoxesCodec().parse([]) == []
    assert BoxesCodec().parse(None) is None and BoxesCodec().parse("  ") is None
    assert BoxesCodec().fit(["1 2 3 4 10", "1 2 3 4 9"]).classes == ["9", "10"]


@pytest.mark.parametrize(
    "cell",
    [
        "12 30 80",
        "80 30 12 99",
        "12 30 12 99",
        "a b c d",
        "[[1, 2]]",
        "[1, 2, 3, 4, 5, 6]",
        '{"left": 3}',
        "[[1,2,3,4],5]",
        "nan 1 2 3",
        "1 2 3 1e99",
        "[",
        7,
        b"1 2 3 4",
        {"a": 1},
        [["1"]],
        "[" * 3000,
        [[0, 0, 1, 1]] * 1001,
    ],
)
def test_what_is_no_box_is_named(cell):
    with pytest.raises(CellError) as caught:
        BoxesCodec().parse(cell)
    assert caught.value.code == "boxes-unreadable" and "\n" not in str(caught.value) and len(str(caught.value)) < 300


def test_labels_are_all_there_or_none():
    with pytest.raises(SchemaError, match="in every box or in none"):
        BoxesCodec().fit(["1 2 3 4 cat", "1 2 3 4"])
    with pytest.raises(CellError, match="among cat; received 'dog'"):
        BoxesCodec().fit(["1 2 3 4 cat"]).encode("1 2 3 4 dog")


@given(
    some.lists(
        some.lists(
            some.tuples(
                some.floats(0, 100),
                some.floats(0, 100),
                some.floats(1, 50),
                some.floats(1, 50),
                some.sampled_from(["cat", "dog"]),
            ),
            max_size=4,
        ),
        min_size=1,
        max_size=5,
    )
)
def test_what_is_written_is_read_and_padding_does_not_show(rows):
    boxes = [[[x, y, x + w, y + h, label] for x, y, w, h, label in row] for row in rows]
    codec = BoxesCodec().fit(["0 0 1 1 cat", "0 0 1 1 dog"])
    for form in ("corners", "size", "centre"):
        other = BoxesCodec(form=form).fit(["0 0 1 1 cat", "0 0 1 1 dog"])
        for row in boxes:
            back = other.parse(other.write(row))
            assert [box[4] for box in back] == [box[4] for box in row]
            assert np.allclose([box[:4] for box in back], [box[:4] for box in row], atol=0.26)
    field = codec.stack([codec.encode(json.dumps(row))[0] for row in boxes] + [None])
    assert field["lengths"].tolist() == [len(row) for row in boxes] + [0]
    trimmed = codec.trim(field)
    for place, row in enumerate(boxes):
        count = len(row)
        assert np.allclose(
            trimmed["corners"][place, :count], np.array([box[:4] for box in row]).reshape(-1, 4), rtol=1e-6
        )
        assert [codec.classes[number] for number in trimmed["labels"][place, :count].tolist()] == [b[4] for b in row]


@pytest.mark.parametrize("fit", ["pad", "stretch"])
@pytest.mark.parametrize("size", [(416, 416), (1000, 667), (60, 200)])
def test_predictions_come_back_in_the_pixels_of_the_picture(fit, size):
    images = ImageCodec(size=64, fit=fit).fit([np.zeros((size[1], size[0]), np.uint8)])
    framing = images.encode(np.zeros((size[1], size[0]), np.uint8))[1]
    corners = np.array([[0.1, 0.2, 0.5, 0.9]]) * [*size, *size]
    scale, shift, longest = framed([framing], 64.0)
    inside = (corners.reshape(-1, 2, 2) * scale[0] + shift[0]) * 64
    assert inside.min() >= 0 and inside.max() <= 64 and longest[0] == max(size)
    codec = BoxesCodec().fit(["0 0 1 1 cat"])
    back = codec.decode(np.column_stack([inside.reshape(-1, 4), [0]]), framing)
    assert np.allclose(back[0][:4], corners[0]) and back[0][4] == "cat"
    assert codec.decode(np.zeros((0, 5)), framing) == []
