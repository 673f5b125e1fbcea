"""Numbers written as text, against Python's own float and its formatting."""

import math

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gradatim.data.numbers import (
    column_decimal_evidence,
    decimal_evidence,
    parse_number,
    parse_numbers,
    readings,
)
from gradatim.errors import CellError

FLOATS = st.floats(allow_nan=False, allow_infinity=False)
ODD = st.one_of(
    st.text(alphabet="0123456789.,-+ eE%€$()'\u00a0−", max_size=12),
    st.sampled_from(["", "?", "NULL", "n/a", "1e400", "inf", "nan", "1_0", "٣", "0x10", "--1", "1,2,3", "1.2.3"]),
    FLOATS.map(repr),
)


@given(FLOATS)
def test_plain_numbers_are_python_floats(value: float) -> None:
    assert parse_number(repr(value)) == value
    assert parse_number(value) == value


@given(st.floats(-1e12, 1e12))
def test_thousands_separators_of_several_countries(value: float) -> None:
    english = f"{value:,.2f}"
    expected = float(english.replace(",", ""))
    german = english.translate(str.maketrans(",.", ".,"))
    assert parse_number(english) == expected
    assert parse_number(german) == expected
    for space in (" ", "\u00a0", "\u202f", "'"):
        assert parse_number(english.replace(",", space)) == expected
        assert parse_number(german.replace(".", space)) == expected


@given(ODD)
def test_text_is_a_finite_number_or_missing_or_an_error_with_a_code(text: str) -> None:
    for decimal in (None, ".", ","):
        try:
            value = parse_number(text, decimal=decimal)
        except CellError as error:
            assert error.code in ("number-unreadable", "number-infinite") and "\n" not in str(error)
        else:
            assert value is None or math.isfinite(value)


@given(st.lists(st.none() | ODD, max_size=30), st.sampled_from([None, ".", ","]))
def test_a_column_is_parsed_as_its_cells_are(cells: list[str | None], decimal: str | None) -> None:
    column = parse_numbers(pl.Series("x", cells, dtype=pl.String), decimal=decimal)
    for cell, value, missing, unreadable in zip(cells, column.values, column.missing, column.unreadable, strict=True):
        try:
            assert parse_number(cell, decimal=decimal) == value
            assert missing == (value is None) and not unreadable
        except CellError:
            assert unreadable and value is None and not missing


@pytest.mark.parametrize(
    ("text", "value"),
    [("1,5", 1.5), ("€ 12.50", 12.5), ("12.50 €", 12.5), ("-€5", -5), ("€-5", -5), ("12%", 12), ("12,5 %", 12.5),
     ("1,234.5", 1234.5), ("1.234,56", 1234.56), ("1,234,567", 1234567), ("1.234.567", 1234567), ("12,34,567", 1234567),
     ("(1,234.50)", -1234.5), ("−3", -3), ("+7", 7), ("0,123", 0.123), (".5", 0.5), ("5.", 5), (",5", 0.5),
     ("1e3", 1000),
     ("1,5e-3", 0.0015), (" 4 ", 4), ("USD 3", 3), ("007", 7), (True, 1), (2, 2)],
)
def test_spellings(text: object, value: float) -> None:
    assert parse_number(text) == value


@pytest.mark.parametrize("text", [None, "", " ", "?", "NULL", "null", "NA", "N/A", "n/a", "-", "--", "nan", "None",
                                  float("nan")])
def test_missing_spellings(text: object) -> None:
    assert parse_number(text) is None


@pytest.mark.parametrize("text", ["abc", "1.2.3", "1,2,3", "1 2", "12 kg", "1,23.4", "(5", "5)", "--5", "-(-5", "inf",
                                  "#DIV/0!", "#WERT!", "-1.#IND", "#tag", "1e999", "2024-01-31", "1" * 70, float("inf"),
                                  [1], {"a": 1}])
def test_what_is_no_number(text: object) -> None:
    with pytest.raises(CellError) as caught:
        parse_number(text)
    infinite = text in ("inf", "1e999", float("inf"), "#DIV/0!", "#WERT!", "-1.#IND")
    assert caught.value.code == ("number-infinite" if infinite else "number-unreadable")


def test_one_mark_before_three_digits_has_two_readings() -> None:
    assert readings("1,234") == (1234.0, 1.234)
    assert readings("1.234") == (1.234, 1234.0)
    assert parse_number("1.234", decimal=",") == 1234.0
    assert parse_number("1.5", decimal=",") == 1.5  # only one reading: the column's mark changes nothing


@given(st.lists(st.sampled_from(["1,5", "1.5", "1,234", "1.234", "1.234,5", "1,234.5", "7", "abc"]), min_size=1))
def test_evidence_of_a_column_is_the_evidence_of_its_cells(cells: list[str]) -> None:
    counted = pl.Series("c", cells).value_counts(name="n")
    column = column_decimal_evidence(counted["c"], counted["n"])
    single = decimal_evidence((cell, 1) for cell in cells)
    assert (column.point, column.comma, column.ambiguous) == (single.point, single.comma, single.ambiguous)


def test_numbers_keep_their_type_in_frames() -> None:
    column = parse_numbers(pl.Series([1.0, None, float("nan"), float("inf")]))
    assert column.values.to_list() == [1.0, None, None, None]
    assert column.missing.to_list() == [False, True, True, False]
    assert column.unreadable.to_list() == column.infinite.to_list() == [False, False, False, True]
