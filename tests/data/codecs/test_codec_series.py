"""Series cells: every way of writing them, filling, scaling, limits, hostile files, the round trip."""

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from gradatim.data.codecs import codec_for, codec_from_json
from gradatim.data.codecs.series import SeriesCodec
from gradatim.data.codecs.series_cells import read_series, shown_series
from gradatim.data.loader import encode_table
from gradatim.data.schema import Column
from gradatim.data.table import Table
from gradatim.errors import ArtifactError, CellError, SchemaError
from gradatim.problems import Problems

NAN = float("nan")


def npy(array: np.ndarray, **options: Any) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array, **options)
    return buffer.getvalue()


@pytest.mark.parametrize(("cell", "expected"), [
    ([1, 2, 3], [[1, 2, 3]]),
    ([1, None, 3.5], [[1, NAN, 3.5]]),
    ([[1, 2], [3, 4, 5]], [[1, 2, NAN], [3, 4, 5]]),
    ("[1, 2, null]", [[1, 2, NAN]]),
    ("[[1, 2], [3, NaN]]", [[1, 2], [3, NAN]]),
    ("1 2 3", [[1, 2, 3]]),
    ("1;2;?;4", [[1, 2, NAN, 4]]),
    ("1;;3", [[1, NAN, 3]]),
    ("1, -2e3,\t.5", [[1, -2000, 0.5]]),
    (np.arange(3), [[0, 1, 2]]),
    (np.arange(4.0).reshape(2, 2), [[0, 1], [2, 3]]),
    (npy(np.arange(3)), [[0, 1, 2]]),
    (b"time,x\n1,5\n2,6\n", [[1, 2], [5, 6]]),
])
def test_every_way_of_writing_a_cell(cell: Any, expected: list[list[float]]) -> None:
    np.testing.assert_array_equal(read_series(cell), np.array(expected, dtype=float))


@pytest.mark.parametrize("cell", [None, "", "  ", [], [None, None], "[]", "? ? ?"])
def test_cells_without_a_value_are_missing(cell: Any) -> None:
    assert read_series(cell) is None


@pytest.mark.parametrize("cell", [
    "seven", "1 2 x", "[1, 2", "[1, \"a\"]", "{}", "[[1], 2]", [True, False], ["a"], 7, "1,5;2,5", "[1e999]",
    npy(np.array(["a"])), npy(np.array([{}], dtype=object), allow_pickle=True), npy(np.zeros((2, 2, 2))),
    b"\x93NUMPY\x01\x00\xff\xff" + b"(" * 70000, b"\xff\xfe\x00", b"1,2\n3\n", "[" * 100_000, [[1.0]] * 5000,
])
def test_what_is_no_series_is_one_line(cell: Any) -> None:
    with pytest.raises(CellError, match=r"^expected .+; received|^.+") as caught:
        read_series(cell)
    assert caught.value.code == "series-unreadable" and "\n" not in str(caught.value)


def test_files_stay_under_their_folder(tmp_path: Path) -> None:
    inside = tmp_path / "rows"
    inside.mkdir()
    np.save(inside / "a.npy", np.arange(6.0).reshape(2, 3))
    (inside / "b.csv").write_text("x;y\n1;4\n2;?\n")
    (tmp_path / "secret.csv").write_text("1\n2\n")
    np.testing.assert_array_equal(read_series("a.npy", inside), [[0, 1, 2], [3, 4, 5]])
    np.testing.assert_array_equal(read_series("b.csv", inside), [[1, 2], [4, NAN]])
    for name, code in (("../secret.csv", "series-outside"), ("c.npy", "series-missing")):
        with pytest.raises(CellError) as caught:
            read_series(name, inside)
        assert caught.value.code == code
    with pytest.raises(CellError, match="max_bytes"):
        read_series("a.npy", inside, max_bytes=10)


def test_scaling_by_channel_on_training_cells_and_back() -> None:
    cells = [[[1, 2, 3], [10, 10, 10]], [[5, 6], [10, 10]]]
    codec = SeriesCodec().fit(cells)
    joined = np.array([1, 2, 3, 5, 6.0])
    np.testing.assert_allclose(codec.means, [joined.mean(), 10])
    np.testing.assert_allclose(codec.deviations, [joined.std(), 1])
    encoded, extent = codec.encode(cells[0])
    assert encoded is not None and encoded.dtype == np.float32
    np.testing.assert_allclose(encoded[0], (np.array([1, 2, 3]) - joined.mean()) / joined.std(), rtol=1e-6)
    np.testing.assert_allclose(codec.decode(encoded, extent), cells[0], rtol=1e-6)
    assert SeriesCodec().fit(["1 2 3"]).decode(torch.zeros(1, 4)) == [2.0] * 4


@pytest.mark.parametrize(("fill", "expected"), [("linear", [2, 2, 3, 4, 4]), ("causal", [0, 2, 2, 4, 4])])
def test_missing_values_are_filled_flagged_and_counted(fill: str, expected: list[float]) -> None:
    codec = SeriesCodec(fill=fill, standardise=False).fit(["? 2 ? 4 ?"])
    encoded, extent = codec.encode("? 2 ? 4 ?")
    assert encoded is not None and extent is not None and extent.filled == 3
    np.testing.assert_array_equal(encoded, [expected, [1, 0, 1, 0, 1]])
    assert codec.describe() == {"channels": 2, "values": 1, "max_length": 5}


def test_causal_filling_never_looks_ahead() -> None:
    codec = SeriesCodec(fill="causal", standardise=False).fit(["1 ? 3"])
    first, second = (codec.encode(f"1 ? ? {last}")[0] for last in (3, 99))
    assert first is not None and second is not None
    np.testing.assert_array_equal(first[:, :3], second[:, :3])


def test_what_is_cut_and_what_is_filled_is_told() -> None:
    frame = pl.DataFrame({"s": ["1 2 3 4 5", "1 2", "x", None, "1 ? 3"]})
    problems = Problems()
    codec = SeriesCodec(max_length=3).fit(["1 2 3"])
    encoded = encode_table(Table(frame), {"s": codec}, problems=problems)
    codes = [entry["code"] for entry in problems.to_json()]
    assert sorted(codes) == ["series-cut", "series-filled", "series-unreadable"]
    assert encoded.present["s"].tolist() == [True, True, False, False, True]
    field = encoded.batch(np.array([1, 3]), ["s"]).inputs["s"]
    assert isinstance(field, dict)
    assert field["values"].shape == (2, 1, 2) and field["lengths"].tolist() == [2, 0]


def test_other_channels_than_in_training_are_refused() -> None:
    codec = SeriesCodec().fit([[[1, 2], [3, 4]]])
    with pytest.raises(CellError, match="expected 2 channels"):
        codec.encode("1 2 3")
    with pytest.raises(SchemaError, match="received none"):
        SeriesCodec().fit(["x", None])


@settings(max_examples=40, deadline=None)
@given(st.lists(st.lists(st.floats(-1e6, 1e6) | st.none(), min_size=1, max_size=9), min_size=1, max_size=5))
def test_json_round_trip_encodes_alike(rows: list[list[float | None]]) -> None:
    if all(value is None for row in rows for value in row):
        return
    codec = SeriesCodec().fit(rows)
    again = codec_from_json(json.loads(json.dumps(codec.to_json())))
    for row in rows:
        (first, extent), (second, other) = codec.encode(row), again.encode(row)
        assert extent == other and (first is None) == (second is None)
        if first is not None:
            assert np.isfinite(first).all() and first.tobytes() == second.tobytes()


@pytest.mark.parametrize("change", [
    {"channels": 0}, {"channels": 10**9}, {"means": [0.0, 1.0]}, {"deviations": [0.0]}, {"flags": "no"},
    {"max_length": -1}, {"means": [1e400]},
])
def test_damaged_json_is_refused(change: dict[str, Any]) -> None:
    value = SeriesCodec().fit(["1 2 3"]).to_json()
    value["fitted"] |= change
    with pytest.raises(ArtifactError):
        codec_from_json(value)


def test_options_come_from_the_schema() -> None:
    codec = codec_for(Column("s", "series", "input", options={"max_length": 7, "fill": "causal"}))
    assert (codec.max_length, codec.fill) == (7, "causal")  # type: ignore[attr-defined]
    with pytest.raises(SchemaError, match="fill"):
        codec_for(Column("s", "series", "input", options={"fill": "magic"}))


def test_shown_series_are_short_json() -> None:
    shown = shown_series(list(range(100_000)))
    assert len(shown[0]) <= 2000 and json.dumps(shown)
