"""What each column is taken for, and the reason that it gives; the figures in the reasons are counted again here."""

import random
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gradatim.data.dates import date_format, seconds_of
from gradatim.data.infer import infer_schema, schema_lines
from gradatim.data.readers import read_table
from gradatim.data.rules import RULES
from gradatim.data.schema import Column, Schema
from gradatim.data.table import Table
from gradatim.errors import SchemaError
from gradatim.problems import Problems

ROWS = 200


def column(cells: list[Any], *, role: str | None = None, name: str = "c", **options: Any) -> Column:
    """The guess for one column of a table with a target of two classes."""
    rows = len(cells)
    others = {"other": [f"{i * 0.37:.2f}" for i in range(rows)], "goal": (["u", "v"] * rows)[:rows]}
    frame = pl.DataFrame({name: cells, **others})
    if role == "target":
        return infer_schema(Table(frame), target=name, **options)[name]
    if role is not None:
        options[role] = name
    return infer_schema(Table(frame), target="goal", **options)[name]


def drawn(options: list[Any], rows: int = ROWS, seed: int = 0) -> list[Any]:
    return random.Random(seed).choices(options, k=rows)


@pytest.mark.parametrize(
    ("cells", "kind", "words"),
    [([str(i * 0.5) for i in range(ROWS)], "number", "200 of 200 cells are numbers"),
     ([f"€ {i}.50" for i in range(ROWS)], "number", "200 of 200 cells are numbers"),
     ([f"{i * 3}%" for i in range(ROWS)], "number", "cells are numbers"),
     ([f"{i},5" for i in range(ROWS)], "number", "',' marks decimals: 200 cells"),
     (["?" if i % 10 == 0 else str(i * 3) for i in range(ROWS)], "number", "'?' 20 times: taken as missing"),
     (["oops" if i == 7 else str(i * 3) for i in range(ROWS)], "number",
      "1 cells are no numbers and count as missing (first: 'oops' in row 7)"),
     (["oops" if i % 5 == 0 else str(i * 3) for i in range(ROWS)], "text",
      "160 of 200 cells are numbers, fewer than 95%"),
     (drawn(["1", "2", "3"]), "category", "3 different whole numbers (1…3), at most 5"),
     (drawn(list(map(str, range(9)))), "number", "9 different whole numbers"),
     ([f"{i % 90:05d}" for i in range(ROWS)], "category", "begin with 0 as codes do"),
     (random.Random(0).sample(range(ROWS), ROWS), "number", "200 different whole numbers (0…199)"),  # ranks
     (drawn(["red", "green"]), "category", "2 different texts in 200 cells"),
     (drawn([f"town {i}" for i in range(60)]), "category", "short and repeated"),
     ([f"a cat sits on mat number {i}" for i in range(ROWS)], "text", "words each on average: 3 words or more"),
     (["".join(random.Random(i).choices("abcdefgh", k=5)) for i in range(ROWS)], "text", "too many for a category"),
     ([True, False] * 100, "category", "booleans"),
     ([float(i) for i in range(0, 2 * ROWS, 2)], "number", "200 of 200 cells are numbers")],
)
def test_kinds_of_inputs(cells: list[Any], kind: str, words: str) -> None:
    guess = column(cells)
    assert guess.kind == kind and guess.role == "input" and words in " · ".join(guess.why), guess


@pytest.mark.parametrize(
    ("cells", "name", "words"),
    [(["x"] * ROWS, "c", "the same cell in all 200 rows ('x')"), ([None] * ROWS, "c", "all 200 cells are missing"),
     ([str(i + 1) for i in range(ROWS)], "c", "counts the rows from 1 to 200"),
     (random.Random(0).sample(range(ROWS), ROWS), "index", "counts the rows from 0 to 199"),
     ([str(i * 7) for i in range(ROWS)], "PassengerId", "the name says identifier"),
     ([f"AB-{i * 7}" for i in range(ROWS)], "c", "codes without words, as 'AB-0'"),
     ([f"{random.Random(i).getrandbits(64):016x}" for i in range(ROWS)], "c", "codes without words"),
     (["".join(random.Random(i).choices("abcdefgh", k=9)) for i in range(ROWS)], "id", "codes without words"),
     ([f"2024-01-{i % 28 + 1:02d}" for i in range(ROWS)], "c", "dates written %Y-%m-%d"),
     ([f"http://a.org/{i}.png" for i in range(ROWS)], "c", "addresses of pictures"),
     ([f"{i}.png" for i in range(ROWS)], "c", "0 of 200 sampled exist")],
)
def test_what_tells_nothing_is_set_aside_with_a_reason(cells: list[Any], name: str, words: str) -> None:
    guess = column(cells, name=name)
    assert guess.role == "ignore" and words in " · ".join(guess.why), guess


def test_an_identifier_is_kept_when_asked_for_and_an_input_when_its_kind_is_named() -> None:
    cells = [str(i + 1) for i in range(ROWS)]
    assert column(cells, role="id").role == "id"
    assert column(cells, kinds={"c": "number"}).role == "input"
    repeated = column([str(1000 + i % 40) for i in range(ROWS)], name="user_id")
    assert (repeated.kind, repeated.role) == ("category", "input") and "--group user_id" in " ".join(repeated.why)


@pytest.mark.parametrize(
    ("cells", "options", "kind"),
    [(drawn(["0", "1", "2", "3"]), {}, "category"), ([0, 1, 2, 3] * 50, {}, "category"),
     (drawn([0.0, 1.0]), {}, "category"),
     ([str(i % 50) for i in range(ROWS)], {}, "number"), ([f"{i / 7:.3f}" for i in range(ROWS)], {}, "number"),
     (drawn(["yes", "no"]), {}, "category"), (drawn(["0", "1", "2"]), {"task": "regression"}, "number"),
     ([str(i % 50) for i in range(ROWS)], {"task": "classification"}, "category"),
     (drawn(["0", "1", "2"]), {"kinds": {"c": "number"}}, "number"),
     (drawn([f"class number {i}" for i in range(40)]), {}, "category")],
)
def test_the_target_picks_the_task(cells: list[Any], options: dict[str, Any], kind: str) -> None:
    guess = column(cells, role="target", **options)
    assert (guess.kind, guess.role) == (kind, "target") and guess.why


def test_a_label_of_a_hundred_gapless_classes() -> None:
    assert column([str(i % 100) for i in range(2000)], role="target", name="label").kind == "category"
    assert column([str(i % 100) for i in range(2000)], role="target", name="age").kind == "number"


def test_pixels_are_amounts_even_at_the_border() -> None:
    generator = np.random.default_rng(0)
    columns = {f"pixel{i}": generator.integers(0, 2 if i < 4 else 256, 300).astype(str).tolist() for i in range(16)}
    schema = infer_schema(Table(pl.DataFrame({"label": [str(i % 10) for i in range(300)], **columns})), target="label")
    assert {c.kind for c in schema.inputs} == {"number"} and schema["label"].kind == "category"
    answers = {f"q{i}": generator.integers(1, 6, 300).tolist() for i in range(10)}
    schema = infer_schema(Table(pl.DataFrame({"label": ["u", "v"] * 150, **answers})), target="label")
    assert {c.kind for c in schema.inputs} == {"category"}


def test_decimal_marks_are_decided_by_column_and_then_by_table() -> None:
    assert column(["1,5", "2,25", "1,234"] * 70).options == {"decimal": ","}
    assert column(["1.5", "2.25", "1,234"] * 70).options == {}
    open_cells = [f"{i},{100 + i}" for i in range(1, 101)]
    alone = infer_schema(Table(pl.DataFrame({"c": open_cells, "goal": ["u", "v"] * 50})), target="goal")["c"]
    assert alone.options == {} and "two readings" in " ".join(alone.why) and "read as thousands" in " ".join(alone.why)
    frame = pl.DataFrame({"c": open_cells, "d": [f"{i},5" for i in range(100)], "goal": ["u", "v"] * 50})
    beside = infer_schema(Table(frame), target="goal")["c"]
    assert beside.options == {"decimal": ","} and "as column 'd' marks its decimals" in " ".join(beside.why)


def test_unreadable_numbers_are_listed_with_row_and_line(tmp_path: Path) -> None:
    lines = ["x,y", *(f"{'bad' if i in (5, 9) else i * 1.5},{'u' if i % 2 else 'v'}" for i in range(100))]
    (tmp_path / "a.csv").write_text("\n".join(lines))
    problems = Problems()
    infer_schema(read_table(tmp_path / "a.csv"), target="y", problems=problems)
    assert [(p.code, p.column, p.row, p.line) for p in problems] == [
        ("number-unreadable", "x", 5, 7), ("number-unreadable", "x", 9, 11)]


def test_label_spellings_are_warned_about() -> None:
    problems = Problems()
    guess = column(["Cat", "cat ", "CAT", "dog"] * 50, role="target", problems=problems)
    sentence = "'CAT' (50 times) and 'Cat' (50 times) and 'cat ' (50 times) differ only by case or spaces"
    assert sentence in " ".join(guess.why)
    assert problems.counts() == {"label-spelling": 1}


def test_a_target_cell_that_says_missing_is_a_problem() -> None:
    problems = Problems()
    guess = column(["1", "0", "NA", "0"] * 50, role="target", problems=problems)
    assert guess.kind == "category" and "'NA' 50 times: a class of its own" in " ".join(guess.why)
    assert problems.counts() == {"label-missing": 1}


def test_media_columns_and_class_folders(tmp_path: Path) -> None:
    names = [f"images/{i}.png" for i in range(20)]
    for name in names:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    frame = pl.DataFrame({"picture": names, "sound": [f"{i}.wav" for i in range(20)], "y": ["u", "v"] * 10})
    schema = infer_schema(Table(frame, tmp_path), target="y")
    assert (schema["picture"].kind, schema["picture"].role) == ("image", "input")
    assert schema["picture"].why == ("file names ending in .png; 20 of 20 sampled exist",)
    assert (schema["sound"].kind, schema["sound"].role) == ("audio", "ignore")
    named = infer_schema(Table(frame, tmp_path), target="y", id="picture")["picture"]
    assert (named.kind, named.role) == ("image", "input") and "also names the rows" in named.why[-1]
    folder = tmp_path / "classes"
    for label in ("a", "b"):
        (folder / label).mkdir(parents=True)
        (folder / label / "1.png").write_bytes(b"x")
    schema = infer_schema(read_table(folder))
    assert [c.name for c in schema.targets] == ["label"] and schema["file"].kind == "image"
    leading_out = pl.DataFrame({"picture": ["/etc/a.png", "../b.png"] * 10, "x": range(20), "y": ["u", "v"] * 10})
    outside = Table(leading_out, tmp_path)
    assert infer_schema(outside, target="y", kinds={"x": "number"})["picture"].role == "ignore"


def test_pictures_held_in_the_cells() -> None:
    png, wave = b"\x89PNG\r\n", b"RIFF\x00\x00\x00\x00WAVE"
    frame = pl.DataFrame({"a": [png] * 4, "b": [{"bytes": wave, "path": None}] * 4, "y": ["u", "v"] * 2})
    schema = infer_schema(read_table(frame), target="y")
    assert (schema["a"].kind, schema["b"].kind) == ("image", "audio")
    assert schema_lines(read_table(frame), schema)[0]["samples"] == ["6 bytes"]


def test_errors_name_the_remedy() -> None:
    frame = pl.DataFrame({"text": [f"some words here {i}" for i in range(20)], "label": ["u", "v"] * 10,
                          "one": ["k"] * 20, "none": pl.Series([None] * 20, dtype=pl.String),
                          "price": [f"{i}.5" for i in range(20)]})
    cases: list[tuple[dict[str, Any], list[str]]] = [
        ({}, ["'label' (2 classes)", "'price' (number)", "--target"]),
        ({"task": "regression"}, ["a target", "--target"]),
        ({"target": "lable"}, ["did you mean 'label'"]), ({"target": "label", "id": "zzz"}, ["--id", "columns are"]),
        ({"target": "none"}, ["20 missing cells"]), ({"target": "one"}, ["at least two classes", "'k' alone"]),
        ({"target": "text", "task": "regression"}, ["expected numbers"]),
        ({"target": "label", "ignore": ["label"]}, ["one role"]),
        ({"target": "label", "time": "text"}, ["dates or numbers"]),
        ({"target": "label", "kinds": {"price": "colour"}}, ["colour"]),
        ({"target": "label", "kinds": {"prise": "number"}}, ["did you mean 'price'"]),
        ({"target": "label", "ignore": ["text", "price"]}, ["at least one input"]),
        ({"target": "price", "kinds": {"price": "image"}}, ["classes or numbers"])]
    for options, words in cases:
        with pytest.raises(SchemaError) as caught:
            infer_schema(Table(frame, source="t.csv"), **options)
        message = str(caught.value)
        assert "\n" not in message and all(word in message for word in words), (options, message)
    with pytest.raises(SchemaError, match="different numbers"):
        infer_schema(Table(pl.DataFrame({"a": [1.0, 2.0], "y": [3.0, 3.0]})), target="y", task="regression")
    assert infer_schema(Table(frame), task="clustering").targets == ()


def test_every_rule_is_in_order_and_lines_show_three_samples() -> None:
    assert [rule.__name__ for rule in RULES] == [
        "roles_named", "kind_named", "empty", "constant", "files", "places", "series", "tags", "typed", "dates",
        "amounts", "classes_or_texts", "row_names", "gaps", "spellings"]
    table = Table(pl.DataFrame({"a": ["x" * 99, "y", "y", "z", "w"] * 3, "b": ["u", "v", "u"] * 5}))
    rows = schema_lines(table, infer_schema(table, target="b"))
    assert rows[0]["samples"] == ["x" * 39 + "…", "y", "z"] and rows[1]["role"] == "target" and rows[0]["why"]


ANY_COLUMN = st.one_of(*(st.lists(st.none() | cells, min_size=2, max_size=30) for cells in (
    st.text(max_size=8), st.integers(-9, 9), st.floats(), st.booleans(), st.dates(),
    st.sampled_from(["1,5", "x.png", "2024-01-01", "?", ""]), st.lists(st.integers(0, 3), max_size=2))))


@settings(deadline=None)
@given(ANY_COLUMN)
def test_no_column_breaks_the_rules(cells: list[Any]) -> None:
    rows = len(cells)
    goal = (["u", "v"] * rows)[:rows]
    table = read_table(pl.DataFrame({"a": pl.Series(cells, strict=False), "y": goal, "z": range(rows)}))
    schema = infer_schema(table, target="y", kinds={"z": "number"})
    assert Schema.from_json(schema.to_json()) == schema
    assert schema["a"].why and all(line["why"] for line in schema_lines(table, schema))


FORMATS = ["%Y-%m-%d", "%d.%m.%Y", "%d/%m/%Y", "%m/%d/%Y", "%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M", "%d %b %Y",
           "%b %d, %Y", "%d.%m.%y"]


@settings(deadline=None)
@given(st.lists(st.datetimes(datetime(1970, 1, 1), datetime(2060, 1, 1)), min_size=1, max_size=9),
       st.sampled_from(FORMATS))
def test_dates_against_pandas(moments: list[Any], form: str) -> None:
    texts = [*(moment.strftime(form) for moment in moments), pd.Timestamp("2001-12-31 23:59:58").strftime(form)]
    cells = pl.Series([None, *texts])
    assert date_format(cells) == form  # the last date allows one order of day and month only
    seconds = seconds_of(cells)
    assert seconds is not None
    expected = pd.to_datetime(pd.Series(texts), format=form).astype("datetime64[us]").astype("int64") / 1e6
    assert seconds.to_list() == [None, *expected]


def test_times_of_other_types() -> None:
    cases = [(["2024-01-01T12:00:00+02:00", "2024-01-01T10:00:00Z"], [1704103200.0] * 2), (["3", "1,5"], [3.0, 1.5]),
             ([datetime(1970, 1, 2), None], [86400.0, None]), ([2001, 1999], [2001.0, 1999.0])]
    for cells, expected in cases:
        seconds = seconds_of(pl.Series(cells))
        assert seconds is not None and seconds.to_list() == expected
    assert seconds_of(pl.Series(["x", "y"])) is None and date_format(pl.Series(["1.5", "2.5"])) is None


@pytest.mark.parametrize("junk", ["#DIV/0!", "#N/A", "1e400", "-inf", float("inf")])
def test_a_column_of_numbers_stays_one_whatever_could_not_be_calculated(junk: object) -> None:
    numbers = [float(value) * 1.25 for value in range(60)]
    cells = [junk] * 40 + (numbers if isinstance(junk, float) else [str(value) for value in numbers])
    frame = pl.DataFrame({"x": cells, "y": ["a", "b"] * 50})
    problems = Problems()
    column = infer_schema(read_table(frame), target="y", problems=problems)["x"]
    assert column.kind == "number"
    if junk == "#N/A":  # says that nothing is known: missing, not wrong
        assert any("'#N/A' 40 times: taken as missing" in sentence for sentence in column.why)
    else:
        assert problems.counts() == {"number-infinite": 40}
        assert any("40 cells are no numbers, 40 of them infinite" in sentence for sentence in column.why)
