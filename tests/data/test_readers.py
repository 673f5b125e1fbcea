"""The one way in: folders, frames, Parquet, JSON lines, and what each wrong source gets."""

import gzip
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gradatim.data.folders import is_class_folder_table
from gradatim.data.jsonlines import rows_to_frame
from gradatim.data.readers import no_such_column, read_table
from gradatim.data.table import Table
from gradatim.errors import DataError


def touch(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"x")


def test_class_folders(tmp_path: Path) -> None:
    touch(tmp_path, "cat/1.png", "cat/2.JPG", "dog/deep/3.png", "dog/readme.txt", ".hidden/4.png", "cat/.5.png",
          "cat/Thumbs.db", "__MACOSX/cat/1.png", "empty/notes.md", "loose.png")
    table = read_table(tmp_path)
    assert table.frame.to_dicts() == [
        {"file": "loose.png", "label": None}, {"file": "cat/1.png", "label": "cat"},
        {"file": "cat/2.JPG", "label": "cat"}, {"file": "dog/deep/3.png", "label": "dog"}]
    assert is_class_folder_table(table) and table.folder == tmp_path and table.lines is None
    notes = " | ".join(table.notes)
    for words in ("4 pictures in 2 class folders", "1 files lie beside", "1 files lie deeper", "empty/",
                  "2 other files"):
        assert words in notes, notes
    assert "hidden" not in notes and "Thumbs" not in notes
    assert all((table.folder / name).is_file() for name in table.cells("file"))


@pytest.mark.parametrize("wrap", ["", "data/", "data/images/"])
def test_train_is_taken_from_beside_test(tmp_path: Path, wrap: str) -> None:
    places = [f"{wrap}{part}/{label}" for part in ("train", "test") for label in "ab"]
    touch(tmp_path, *(f"{place}/{i}.wav" for place in places for i in range(3)))
    table = read_table(tmp_path)
    assert table.folder == tmp_path / wrap / "train"
    assert len(table) == 6 and set(table.cells("label")) == {"a", "b"}
    assert "took train/; left test/ alone" in table.notes and "6 sounds in 2 class folders" in table.notes


def test_one_wrapping_folder_is_stepped_into_and_one_class_is_not(tmp_path: Path) -> None:
    touch(tmp_path / "one", "root/a/1.png", "root/b/2.png")
    assert read_table(tmp_path / "one").cells("label") == ["a", "b"]
    touch(tmp_path / "two", "a/1.png")
    assert read_table(tmp_path / "two").cells("label") == ["a"]
    touch(tmp_path / "flat", "2.png", "1.png")
    assert read_table(tmp_path / "flat").frame.to_dicts() == [{"file": "1.png"}, {"file": "2.png"}]
    touch(tmp_path / "classes", "train/1.png", "bus/2.png")  # 'train' is a class here
    assert read_table(tmp_path / "classes").cells("label") == ["bus", "train"]


def test_linked_folders_are_said_and_not_followed(tmp_path: Path) -> None:
    touch(tmp_path / "data", "a/1.png", "b/2.png")
    touch(tmp_path / "outside", "3.png")
    (tmp_path / "data" / "c").symlink_to(tmp_path / "outside", target_is_directory=True)
    table = read_table(tmp_path / "data")
    assert len(table) == 2 and any("linked" in note for note in table.notes)


def test_a_subfolder_with_the_named_pictures_becomes_the_tables(tmp_path: Path) -> None:
    touch(tmp_path, "images/a.png", "images/b.png", "other/z.png")
    (tmp_path / "train.csv").write_text("picture,label\na.png,x\nb.png,y\n")
    table = read_table(tmp_path / "train.csv")
    assert table.folder == tmp_path / "images" and any("images/" in note for note in table.notes)
    (tmp_path / "direct.csv").write_text("picture,label\nimages/a.png,x\n")
    assert read_table(tmp_path / "direct.csv").folder == tmp_path
    (tmp_path / "none.csv").write_text("picture,label\n../../etc/a.png,x\n/etc/b.png,y\n")
    assert read_table(tmp_path / "none.csv").folder == tmp_path


def test_pandas_frames_without_pyarrow() -> None:
    frame = pd.DataFrame({
        "text": ["x", None, ""], "category": pd.Categorical(["u", "v", "u"]), "number": [1.0, np.nan, 2.0],
        "nullable": pd.array([1, None, 3], dtype="Int64"), "mixed": ["x", 1, None], "truth": [True, False, True],
        "date": pd.to_datetime(["2020-01-01", None, "2021-01-01"]), 7: [1, 2, 3], "void": [None, None, None]})
    table = read_table(frame)
    assert table.frame.to_dict(as_series=False) == {
        "text": ["x", None, None], "category": ["u", "v", "u"], "number": [1.0, None, 2.0], "nullable": [1, None, 3],
        "mixed": ["x", "1", None], "truth": [True, False, True],
        "date": [pd.Timestamp("2020-01-01").to_pydatetime(), None, pd.Timestamp("2021-01-01").to_pydatetime()],
        "7": [1, 2, 3], "void": [None, None, None]}
    assert any("mixed" in note and "read as text" in note for note in table.notes)
    assert table.folder is None and table.lines is None
    with pytest.raises(DataError, match="'a' 2 times"):
        read_table(pd.DataFrame([[1, 2]], columns=["a", "a"]))
    with pytest.raises(DataError, match="level"):
        read_table(pd.DataFrame([[1, 2]], columns=pd.MultiIndex.from_tuples([("a", "b"), ("a", "c")])))


def test_polars_and_arrow_frames_agree_with_parquet_and_feather(tmp_path: Path) -> None:
    categories = pl.Series(["p", "q", "p"], dtype=pl.Categorical)
    frame = pl.DataFrame({"a": [1.5, float("nan"), None], "b": ["x", "", None], "c": categories,
                          "d": [b"\x89PNG", b"", None]})
    expected = {"a": [1.5, None, None], "b": ["x", None, None], "c": ["p", "q", "p"], "d": [b"\x89PNG", b"", None]}
    frame.write_parquet(tmp_path / "[t].parquet")
    frame.write_ipc(tmp_path / "t.feather")
    for source in (frame, frame.lazy(), frame.to_arrow(), tmp_path / "[t].parquet", tmp_path / "t.feather"):
        table = read_table(source)
        assert table.frame.to_dict(as_series=False) == expected
        assert any("1 not-a-number" in note for note in table.notes)
    assert read_table(tmp_path / "t.feather").folder == tmp_path


JSON_CELLS = st.one_of(st.none(), st.booleans(), st.integers(-(2**70), 2**70),
                       st.floats(allow_nan=False, allow_infinity=False),
                       st.text(st.characters(exclude_categories=["Cs"]), max_size=5))


@settings(deadline=None)
@given(st.lists(st.dictionaries(st.sampled_from("abc"), JSON_CELLS), min_size=1, max_size=6).filter(any))
def test_json_rows_keep_every_cell(rows: list[dict[str, Any]]) -> None:
    frame, _ = rows_to_frame(rows, "t")
    assert frame.height == len(rows)
    for row, back in zip(rows, frame.to_dicts(), strict=True):
        for key, cell in back.items():
            given_cell = row.get(key)
            if given_cell is None or given_cell == "":
                assert cell is None
            elif isinstance(cell, str) and not isinstance(given_cell, str):
                assert json.loads(cell) == given_cell
            else:
                assert cell == given_cell


def test_json_lines_and_arrays(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"a": 1, "b": "x"}\n\n{"b": "", "c": [1, 2]}\r\n{"a": NaN}')
    table = read_table(tmp_path / "a.jsonl")
    assert table.frame.to_dicts() == [{"a": 1, "b": "x", "c": None}, {"a": None, "b": None, "c": [1.0, 2.0]},
                                      {"a": None, "b": None, "c": None}]
    assert table.lines is not None and table.lines.tolist() == [1, 3, 4]
    (tmp_path / "a.json").write_text('[{"a": 1}, {"a": "x"}]')
    assert read_table(tmp_path / "a.json").cells("a") == ["1", "x"]
    (tmp_path / "a.jsonl.gz").write_bytes(gzip.compress(b'{"a": 1}\n'))
    assert read_table(tmp_path / "a.jsonl.gz").cells("a") == [1]


@pytest.mark.parametrize(
    ("name", "data", "words"),
    [("a.jsonl", '{"a": 1}\n{"a":\n', ["line 2", "does not parse"]),
     ("a.jsonl", '{"a": 1}\n[2]\n', ["line 2", "a list"]),
     ("a.jsonl", "{}\n", ["keys"]), ("a.json", "[]", ["at least one object"]),
     ("a.json", "[1]", ["element 0", "a number"]),
     ("a.parquet", "PAR1 nonsense", ["Parquet", "write it again"]), ("a.parquet", "", ["empty"]),
     ("a.feather", "ARROW1 nonsense", ["Arrow"]), ("a.xlsx", "PK\x03\x04" + "\x00" * 9, ["Excel", "CSV"])],
)
def test_damaged_files(tmp_path: Path, name: str, data: str, words: list[str]) -> None:
    (tmp_path / name).write_text(data)
    with pytest.raises(DataError) as caught:
        read_table(tmp_path / name)
    message = str(caught.value)
    assert name in message and "\n" not in message and all(word in message for word in words), message


def test_sources_that_are_none(tmp_path: Path) -> None:
    touch(tmp_path, "train.csv", "both/1.png", "both/2.wav", "texts/a.pdf")
    (tmp_path / "void").mkdir()
    cases: list[tuple[Any, str]] = [
        (tmp_path / "trian.csv", "did you mean train.csv"), (tmp_path / "no" / "a.csv", "folder"),
        ("https://example.org/a.csv", "download"), ("", "path"), ("a\x00b", "path"), (7, "received int"),
        (None, "received NoneType"), (tmp_path / "both", "1 pictures and 1 sounds"), (tmp_path / "void", "no files"),
        (tmp_path / "texts", "1 other files"), ("/dev/null", "device"), (pl.DataFrame(), "columns"),
        (pl.DataFrame({"a": []}), "rows"), (pl.Series([1]), "a Series"), (np.zeros((2, 2)), "received ndarray"),
        (pl.DataFrame({"a": [{"x": 1}]}), "Struct"), (pa.table({"a": pa.array([], pa.int64())}), "rows")]
    for source, words in cases:
        with pytest.raises(DataError) as caught:
            read_table(source)
        assert words in str(caught.value) and "\n" not in str(caught.value), str(caught.value)
    (tmp_path / "tables").mkdir()
    touch(tmp_path / "tables", "my_train.csv")
    with pytest.raises(DataError, match="did you mean the table my_train"):
        read_table(tmp_path / "tables")


def test_columns_are_selected_and_unknown_ones_refused(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("text,label\nx,1\n")
    table = read_table(tmp_path / "a.csv", columns=["label"])
    assert table.frame.columns == ["label"] and table.line(0) == 2
    with pytest.raises(DataError, match="did you mean 'label'"):
        read_table(tmp_path / "a.csv", columns=["Lable"])
    assert read_table(table) is table
    assert "the columns are a, b" in no_such_column("zzz", ["a", "b"])


def test_nothing_of_a_table_is_lost_between_text_and_frame(tmp_path: Path) -> None:
    frame = pl.DataFrame({"a": ["1,5", None, "x"], "b": [" y ", "z", None]})
    out = io.BytesIO()
    frame.write_csv(out)
    (tmp_path / "a.csv").write_bytes(out.getvalue())
    assert read_table(tmp_path / "a.csv").frame.equals(frame)
    assert isinstance(read_table(str(tmp_path / "a.csv")), Table)
