"""One spelling for one value of a category, against a reading of each cell by Python itself."""

import datetime
from decimal import Decimal
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gradatim.data.join import joining_keys
from gradatim.data.schema import Column, Schema
from gradatim.data.spelling import one_spelling, spelled, spelled_rows, spelling_of, with_spellings
from gradatim.data.table import Table
from gradatim.errors import DataError, SchemaError

DAY = datetime.date(2024, 1, 31)


@pytest.mark.parametrize("cells, form", [
    (["1", "2", "x"], "number"), ([1, 2], "number"), ([1.0, None], "binary"), (["0", "1.0"], "binary"),
    (["007", "7"], "text"), (["1.1", "1.10"], "text"), (["250.0", "250.00"], "text"), (["1.5", "2.25"], "number"),
    (["True", "FALSE"], "boolean"), ([True, None], "boolean"), (["yes", "No"], "text"), (["12e4", "1e3"], "text"),
    ([DAY], "date"), (["31.01.2024", "01.02.2024"], "date:%d.%m.%Y"), ([None], "text"), ([["a"]], "text"),
])
def test_the_form_is_decided_from_the_column(cells: list[Any], form: str) -> None:
    assert spelling_of(pl.Series(cells)) == form


@given(st.lists(st.decimals(-10**25, 10**25, places=3) | st.integers(-10**25, 10**25), min_size=1),
       st.sampled_from(["{}", " {} ", "{:f}"]))
def test_numbers_are_one_where_decimals_are_equal(values: list[Any], written: str) -> None:
    texts = [written.format(value) for value in values]
    canonical = spelled(pl.Series(texts), "number").to_list()
    assert [Decimal(text) for text in canonical] == [Decimal(text.strip()) for text in texts]
    assert len(set(canonical)) == len({Decimal(value) for value in values})
    assert spelled(pl.Series(canonical), "number").to_list() == canonical


@pytest.mark.parametrize("form, groups", [
    ("number", [[1, 1.0, "1", "1.0", " 1 ", "+1", "01"], [2.5, "2.50"], ["true"], ["x"], [10**15, 1e15]]),
    ("binary", [[1, True, "TRUE", "1.0"], [0, False, "false", "-0"]]),
    ("boolean", [[True, "true", 1, 1.0, "1"], [False, "FALSE", 0]]),
    ("date:%d.%m.%Y", [[DAY, datetime.datetime(2024, 1, 31), "31.01.2024", "2024-01-31", "2024-01-31 00:00:00"],
                       [datetime.datetime(2024, 1, 31, 9, 30), "2024-01-31T09:30:00", "2024-01-31T10:30+01:00"]]),
    ("text", [[1, 1.0, "1"], ["1.0"], ["01"], [True, "True"], ["true"]]),
])
def test_cells_of_one_group_are_one_and_groups_stay_apart(form: str, groups: list[list[Any]]) -> None:
    found = [{one_spelling(cell, form) for cell in group} for group in groups]
    assert all(len(spellings) == 1 for spellings in found)
    assert len(set.union(*found)) == len(groups)


def test_classes_take_their_commonest_spelling_and_inputs_their_shortest() -> None:
    table = Table(pl.DataFrame({"k": ["1.0", "2", "2"], "y": ["3", "3.0", "3.0"], "id": ["1.0", "2", "3"]}))
    roles = {"k": "input", "y": "target", "id": "id"}
    schema = Schema(tuple(Column(name, "category", role) for name, role in roles.items()))
    known, said = spelled_rows(table, with_spellings(schema, table))
    assert known.frame.to_dict(as_series=False) == {"k": ["1", "2", "2"], "y": ["3.0"] * 3, "id": ["1.0", "2", "3"]}
    assert said == ["'3.0' (2 times) and '3' (1 times) are one class, '3.0'"]
    old, _ = spelled_rows(table, schema)  # a schema of before says nothing of spellings
    assert old.frame.equals(table.frame)
    for cells in ([[1]], [b"a"]):
        with pytest.raises(DataError, match="expected a text, number, boolean or date in each cell"):
            with_spellings(Schema((Column("k", "category", "input"),)), Table(pl.DataFrame({"k": cells})))
    with pytest.raises(SchemaError, match="spelling: expected one of text"):
        from gradatim.data.codecs import codec_for

        codec_for(Column("k", "category", "input", options={"spelling": "roman"}))


def test_ids_join_whatever_a_frame_made_of_them() -> None:
    for one, other in (([7, 8], ["7.0", "8"]), ([7.0, None], ["7", "8"]), (["a", "7.0"], ["a", "7"])):
        left, right = joining_keys(pl.Series(one), pl.Series(other))
        assert left[0] == right[0]
    left, right = joining_keys(pl.Series(["007", "7"]), pl.Series([7, 8]))
    assert left.to_list() == ["007", "7"] and right.to_list() == ["7", "8"]
