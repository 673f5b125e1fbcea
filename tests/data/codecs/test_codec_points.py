"""Points: the ways to write them, hidden ones, mirrors, damaged cells."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as some

from gradatim.data.codecs.image import Framing
from gradatim.data.codecs.points import PointsCodec
from gradatim.errors import CellError, SchemaError


@pytest.mark.parametrize(
    "cell",
    [
        "12 30 80 99",
        "12,30;80,99",
        "[[12, 30], [80, 99]]",
        [[12, 30], [80, 99]],
        [[12, 30, 1], [80, 99, 2]],
        np.array([[12, 30], [80, 99]]),
    ],
)
def test_every_spelling_is_the_same(cell):
    assert PointsCodec().parse(cell).tolist() == [[12, 30, 1], [80, 99, 1]]


@pytest.mark.parametrize("cell", ["12 30 - -", "[[12, 30], null]", [[12, 30, 1], [80, 99, 0]], "12 30 nan nan"])
def test_hidden_points(cell):
    assert PointsCodec().parse(cell)[:, 2].tolist() == [1, 0]


@pytest.mark.parametrize(
    "cell",
    ["1 2 3", "a b", "[[1]]", "[1, 2]", "[[1,2,3,4]]", "[]", "[", 5, "1 inf", "[[1, 1e99]]", b"1 2", ["12"], {"x": 1}],
)
def test_what_is_no_point_is_named(cell):
    with pytest.raises(CellError) as caught:
        PointsCodec().parse(cell)
    assert caught.value.code == "points-unreadable" and "\n" not in str(caught.value)


def test_the_most_frequent_number_counts():
    codec = PointsCodec().fit(["1 2 3 4", "1 2 3 4", "1 2", None, "x"])
    assert codec.count == 2 and codec.encode(None) == (None, None)
    with pytest.raises(CellError, match="2 points, received 1"):
        codec.encode("1 2")
    with pytest.raises(SchemaError, match="readable list of points"):
        PointsCodec().fit([None, "x"])
    field = codec.stack([codec.encode("1 2 - -")[0], None])
    assert field["points"].tolist() == [[[1, 2], [0, 0]], [[0, 0], [0, 0]]]
    assert field["visible"].tolist() == [[True, False], [False, False]]


def test_mirrors_are_pairs():
    assert PointsCodec(mirror=[1, 0, 2]).fit(["1 2 3 4 5 6"]).to_json()["options"]["mirror"] == [1, 0, 2]
    for wrong in ([1, 2, 0], [0, 0], [1], "10", [0.0, 1.0], [True, False]):
        with pytest.raises(SchemaError, match="mirror"):
            PointsCodec(mirror=wrong)
    with pytest.raises(SchemaError, match="expected 3 numbers"):
        PointsCodec(mirror=[1, 0]).fit(["1 2 3 4 5 6"])


@given(
    some.lists(
        some.one_of(some.none(), some.tuples(some.floats(-50, 500), some.floats(-50, 500))), min_size=1, max_size=6
    )
)
def test_what_is_written_is_read(points):
    codec = PointsCodec()
    back = codec.parse(codec.write(points))
    assert back[:, 2].tolist() == [float(point is not None) for point in points]
    for row, point in zip(back, points):
        assert point is None or np.allclose(row[:2], point, atol=0.051)
    assert PointsCodec.from_json(json.loads(json.dumps(codec.fit([codec.write(points)]).to_json()))).count == len(
        points
    )


def test_predictions_come_back_in_the_pixels_of_the_picture():
    framing = Framing((100, 50), (0, 16, 64, 32))
    assert PointsCodec().decode([[32, 32], [0, 16]], framing) == [[50.0, 25.0], [0.0, 0.0]]
