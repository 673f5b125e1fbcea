"""Long tables gathered into rows of series; the rule that sees series; the archive's own files."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from gradatim.data.gather import gather_columns
from gradatim.data.infer import infer_schema
from gradatim.data.long_series import gather_long
from gradatim.data.readers import read_table
from gradatim.data.table import Table
from gradatim.errors import DataError, SchemaError


def long_frame(ids: int = 30, steps: int = 12) -> pl.DataFrame:
    source = np.random.default_rng(0)
    rows = [{"id": f"p{i}", "t": t, "x": float(i + t), "y": float(i * t), "label": "ab"[i % 2], "age": i}
            for i in range(ids) for t in range(steps)]
    return pl.DataFrame([rows[place] for place in source.permutation(len(rows))])


def test_disordered_rows_give_the_series_of_ordered_ones() -> None:
    frame = long_frame()
    table = gather_columns(Table(frame, lines=np.arange(2, 362)), {"s": "long:id, t, x, y"})
    assert table.frame.columns == ["id", "label", "age", "s"] and len(table) == 30
    for row in table.frame.iter_rows(named=True):
        i = int(row["id"][1:])
        assert row["s"] == [[i + t for t in range(12)], [i * t for t in range(12)]] and row["age"] == i
    assert any("sorted" in note for note in table.notes)
    assert table.line(0) == 2 and frame["id"][0] == table.frame["id"][0]


def test_what_is_amiss_is_told_and_kept_apart() -> None:
    frame = pl.DataFrame({
        "id": ["a", "a", "a", "b", "b", None],
        "when": ["2024-01-01", "2024-01-01", "2024-01-03", "2024-01-01", None, "x"],
        "x": ["1", "2", "?", "4", "5", "6"],
    })
    table = gather_long(Table(frame.with_columns(pl.col("when").replace("x", "2024-01-01"))), "s", ["id", "when", "x"])
    assert table.frame["s"].to_list() == [[1.0, None], [4.0]]
    told = " ".join(table.notes)
    for words in ("without an id", "without a time", "repeat a moment", "6 rows gathered into 2 series of 1 channel"):
        assert words in told


def test_uneven_moments_and_varying_columns_are_named() -> None:
    frame = long_frame(40).with_columns(pl.when(pl.col("t") == 11).then(50).otherwise(pl.col("t")).alias("t"))
    table = gather_long(Table(frame), "s", ["id", "t", "x"])
    told = " ".join(table.notes)
    assert "not evenly spaced" in told and "'y' vary within ids" in told


@pytest.mark.parametrize(("parts", "words"), [
    (["id", "t"], "at least one column of values"), (["id", "t", "z"], "received 'z'"),
    (["id", "label", "x"], "numbers or dates in 'label'"), (["id", "t", "label"], "expected numbers in 'label'"),
])
def test_wrong_columns_are_one_line(parts: list[str], words: str) -> None:
    with pytest.raises(SchemaError, match=words):
        gather_long(Table(long_frame()), "s", parts)


def test_a_target_that_contradicts_itself_in_a_few_ids_is_an_error() -> None:
    frame = long_frame().with_columns(
        pl.when((pl.col("id") == "p3") & (pl.col("t") == 2)).then(pl.lit("c")).otherwise("label").alias("label"))
    with pytest.raises(SchemaError, match="one cell of 'label' for each id, 1 of 30"):
        gather_long(Table(frame), "s", ["id", "t", "x"])


def test_a_table_without_the_columns_is_left_alone() -> None:
    frame = pl.DataFrame({"s": [[1.0, 2.0]]})
    assert gather_columns(Table(frame), {"s": "long:id,t,x"}).frame is frame


@pytest.mark.parametrize(("cells", "kind"), [
    ([[float(i), 2.0, 3.0] for i in range(40)], "series"),
    ([[[float(i), 2.0], [3.0, 4.0]] for i in range(40)], "series"),
    ([f"[{i}, 2.5, 3]" for i in range(40)], "series"),
    ([" ".join(str(i + j) for j in range(9)) for i in range(40)], "series"),
    ([";".join(str(i + j) for j in range(9)) for i in range(40)], "series"),
    ([f"{i} {i + 1}" for i in range(40)], "text"),
    ([f"note {i} of the 3 4 5 6 7 8 9 10" for i in range(40)], "text"),
])
def test_series_are_told_by_their_cells(cells: list, kind: str) -> None:
    frame = pl.DataFrame({"c": cells, "label": ["a", "b"] * 20})
    column = infer_schema(Table(frame), target="label")["c"]
    assert column.kind == kind
    if kind == "series":
        assert column.role == "input" and "lists of numbers" in " ".join(column.why)


def test_files_of_numbers_are_series_where_they_exist(tmp_path: Path) -> None:
    for number in range(24):
        np.save(tmp_path / f"{number}.npy", np.arange(5.0) + number)
    rows = "\n".join(f"{number}.npy,{'ab'[number % 2]}" for number in range(24))
    (tmp_path / "rows.csv").write_text(f"run,label\n{rows}\n")
    column = infer_schema(read_table(tmp_path / "rows.csv"), target="label")["run"]
    assert (column.kind, column.role) == ("series", "input") and "24 of 24 sampled exist" in " ".join(column.why)


def test_archive_files_are_read(tmp_path: Path) -> None:
    path = tmp_path / "Set_TRAIN.ts"
    path.write_text("# words\n@problemName Set\n@timeStamps false\n@univariate false\n@classLabel true a b\n@data\n"
                    "1,2,?:3,4,5:a\n6,7:8,9:b\n")
    table = read_table(path)
    assert table.frame["series"].to_list() == [[[1, 2, None], [3, 4, 5]], [[6, 7], [8, 9]]]
    assert table.frame["label"].to_list() == ["a", "b"] and table.line(1) == 8
    path.write_text("@timeStamps true\n@targetLabel true\n@data\n"
                    "(2007-01-01 00:00:00,1.5),(2007-01-01 00:01:00,2):7.25\n")
    table = read_table(path)
    assert table.frame["series"].to_list() == [[1.5, 2.0]] and table.frame["target"].to_list() == ["7.25"]
    assert "evenly spaced" in table.notes[-1]


@pytest.mark.parametrize(("text", "words"), [
    ("hello\n", "no .ts file"), ("@classLabel true a\n@data\n1,2,x:a\n", "line 3: expected numbers"),
    ("@classLabel true a\n@data\n1,2,3\n", "no colon"), ("@data\n", "none"),
])
def test_damaged_archive_files_are_one_line(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "a.ts").write_text(text)
    with pytest.raises(DataError, match=words):
        read_table(tmp_path / "a.ts")
