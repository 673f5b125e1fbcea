"""Numbers written as text: decimal commas, thousands separators, currencies, percent signs, missing spellings."""

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import polars as pl

from gradatim.errors import CellError

# What people and programs write into a number column for 'nothing is known', compared without case and spaces.
MISSING_SPELLINGS = frozenset(
    {"", "?", "-", "--", "–", "—", ".", "na", "n/a", "n.a.", "n.a", "#n/a", "#na", "<na>", "nan", "-nan", "null",
     "none", "nil", "missing", "\\n"}
)
MAX_NUMBER_CHARACTERS = 64

_CURRENCY = r"(?:[€$£¥₹₽₩₺฿]|US\$|EUR|USD|GBP|CHF|JPY|CNY|INR|SEK|NOK|DKK|PLN|CAD|AUD)"
_SHAPE = re.compile(
    rf"(?P<open>\()?\s*(?P<sign>[-+−])?\s*(?:{_CURRENCY}\s*)?(?P<inner>[-+−])?"
    r"(?P<body>[0-9.,'’\u00a0\u2009\u202f ]+)(?P<exponent>[eE][-+]?[0-9]{1,4})?"
    rf"\s*(?:{_CURRENCY}|%)?\s*(?P<close>\))?"
)
_PLAIN = re.compile(r"[-+]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?")
_PLAIN_DECIMAL = r"^[-+]?[0-9]*\.[0-9]+$"
_TWO_READINGS = r"^[-+]?[1-9][0-9]{0,2}\.[0-9]{3}$"
# Infinities, and what a spreadsheet or a C program writes where a calculation failed: a number was meant.
_NOT_FINITE = re.compile(
    r"[-+−]?(?:inf|infinity|∞|1\.#(?:inf|ind|qnan|snan)\w*|nan\(ind\))"
    r"|#[^\W\d_][\w/ ]{0,20}[!?]|#(?:NV|DIV/0)",
    re.IGNORECASE,
)
_SPACES = re.compile(r"['’\u00a0\u2009\u202f ]")
_GROUPED_BY_COMMA = re.compile(r"[1-9][0-9]{0,2}(?:,[0-9]{2,3})*,[0-9]{3}")  # also 12,34,567 as written in India
_GROUPED_BY_POINT = re.compile(r"[1-9][0-9]{0,2}(?:\.[0-9]{3})+")
_GROUPED_BY_SPACE = re.compile(r"[1-9][0-9]{0,2}(?:['’\u00a0\u2009\u202f ][0-9]{3})+")
_DIGITS = re.compile(r"[0-9]+")


def parse_number(cell: Any, *, decimal: str | None = None) -> float | None:
    """The value of one cell; None where it says that nothing is known.

    A currency sign or a percent sign is a unit and changes nothing: '12%' is 12. One mark followed by exactly three
    digits ('1,234' or '1.234') has two readings; `decimal` (',' or '.', decided per column by `decide_decimal`)
    picks one, and without it the comma separates thousands and the point decimals. Every other spelling has one
    reading. Raises CellError('number-unreadable') for text that is no number, 'number-infinite' for infinite values,
    numbers too large to hold ('1e400') and failed calculations of a spreadsheet ('#DIV/0!').

    >>> [parse_number(cell) for cell in ("1,5", "€ 12.50", "12%", "1,234.5", "1.234,56", "(3)", "n/a")]
    [1.5, 12.5, 12.0, 1234.5, 1234.56, -3.0, None]
    >>> parse_number("1,234", decimal=","), parse_number("1,234")
    (1.234, 1234.0)
    """
    if cell is None:
        return None
    if isinstance(cell, str):
        return _parse_text(cell, decimal)
    if hasattr(cell, "__float__"):
        value = float(cell)
        if math.isinf(value):
            raise CellError("number-infinite", f"{cell!r}: expected a finite number")
        return None if math.isnan(value) else value
    raise CellError("number-unreadable", f"{str(cell)[:40]!r}: expected a number, received {type(cell).__name__}")


def is_missing_spelling(text: str) -> bool:
    """Whether a number column would take this text for a missing cell.

    >>> is_missing_spelling(" NULL "), is_missing_spelling("0")
    (True, False)
    """
    return text.strip().casefold() in MISSING_SPELLINGS


def readings(text: str) -> tuple[float | None, float | None]:
    """The value when '.' marks decimals, and the value when ',' does; None where that reading is impossible.

    >>> readings("1,234"), readings("1,5"), readings("1.234,5"), readings("7")
    ((1234.0, 1.234), (None, 1.5), (None, 1234.5), (7.0, 7.0))
    """
    text = text.strip()
    shape = _SHAPE.fullmatch(text) if len(text) <= MAX_NUMBER_CHARACTERS else None
    if shape is None or bool(shape["open"]) != bool(shape["close"]) or (shape["sign"] and shape["inner"]):
        return None, None
    body = shape["body"].strip()
    if _DIGITS.search(body) is None:
        return None, None
    negative = bool(shape["open"]) != ((shape["sign"] or shape["inner"] or "+") in "-−")
    return tuple(  # type: ignore[return-value]
        _value(plain, shape["exponent"] or "", negative) for plain in (_plain(body, ".", ","), _plain(body, ",", "."))
    )


@dataclass(frozen=True, slots=True)
class DecimalEvidence:
    """How many cells can only be read with a decimal point, only with a decimal comma, or in two ways."""

    point: int = 0
    comma: int = 0
    ambiguous: int = 0
    example: str | None = None  # an ambiguous cell

    def decide(self, default: str = ".") -> str:
        """',' or '.': the majority of the cells with one reading; `default` where there is none."""
        if self.point == self.comma:
            return default
        return "," if self.comma > self.point else "."


def decimal_evidence(cells: Iterable[tuple[str, int]]) -> DecimalEvidence:
    """Count the readings of (text, how often) pairs.

    >>> decimal_evidence([("1,5", 2), ("2,25", 1), ("1,234", 1)])
    DecimalEvidence(point=0, comma=3, ambiguous=1, example='1,234')
    """
    point = comma = ambiguous = 0
    example = None
    for text, count in cells:
        if "," not in text and "." not in text:
            continue
        by_point, by_comma = readings(text)
        if by_point is None and by_comma is None:
            continue
        if by_comma is None:
            point += count
        elif by_point is None:
            comma += count
        elif by_point != by_comma:
            ambiguous += count
            example = example or text
    return DecimalEvidence(point, comma, ambiguous, example)


def column_decimal_evidence(cells: pl.Series, counts: pl.Series, *, sample: int = 2000) -> DecimalEvidence:
    """`decimal_evidence` of different strings and how often each occurs: plain decimals vectorised, others sampled.

    >>> column_decimal_evidence(pl.Series(["1.5", "2.25", "3.125"]), pl.Series([4, 1, 1]))
    DecimalEvidence(point=5, comma=0, ambiguous=1, example='3.125')
    """
    marked = cells.str.contains(r"[.,]")
    if not marked.any():
        return DecimalEvidence()
    certain = cells.str.contains(_PLAIN_DECIMAL) & ~cells.str.contains(_TWO_READINGS)
    rest = marked & ~certain
    others = decimal_evidence(zip(cells.filter(rest)[:sample], counts.filter(rest)[:sample], strict=True))
    point = int(counts.filter(certain).sum()) + others.point
    return DecimalEvidence(point, others.comma, others.ambiguous, others.example)


@dataclass(frozen=True, slots=True)
class NumberColumn:
    """A column read as numbers.

    values: Float64 (N,), null where missing or unreadable; missing: bool (N,) an empty cell or a missing spelling;
    unreadable: bool (N,) a cell that gives no number; infinite: bool (N,) those among them that were meant as one
    (infinities, failed calculations): they say nothing against the column being one of numbers.
    """

    values: pl.Series
    missing: pl.Series
    unreadable: pl.Series
    infinite: pl.Series


def parse_numbers(cells: pl.Series, *, decimal: str | None = None) -> NumberColumn:
    """`parse_number` over a column of strings or numbers, each distinct odd spelling parsed once."""
    if cells.dtype != pl.String:
        values = cells.cast(pl.Float64, strict=False)
        missing = cells.is_null() | values.is_nan().fill_null(False)
        finite = values.is_finite().fill_null(False)
        return NumberColumn(values.set(~finite, None), missing, ~finite & ~missing, ~finite & ~missing)
    values = cells.cast(pl.Float64, strict=False)
    plain = values.is_finite().fill_null(False)
    if decimal == ",":  # the plain reading of '1.234' is the wrong one here
        plain = plain & ~cells.str.contains(".", literal=True).fill_null(False)
    odd = cells.filter(~plain & cells.is_not_null()).unique()
    missing = cells.is_null()
    absent: list[str] = []
    infinite: list[str] = []
    if odd.len():
        parsed: dict[str, float | None] = {}
        for text in odd:
            try:
                parsed[text] = _parse_text(text, decimal)
                if parsed[text] is None:
                    absent.append(text)
            except CellError as error:
                parsed[text] = None
                if error.code == "number-infinite":
                    infinite.append(text)
        others = cells.replace_strict(list(parsed), list(parsed.values()), default=None, return_dtype=pl.Float64)
        values = values.zip_with(plain, others)
        missing = missing | cells.is_in(absent).fill_null(False)
    return NumberColumn(values, missing, values.is_null() & ~missing, cells.is_in(infinite).fill_null(False))


def _parse_text(text: str, decimal: str | None) -> float | None:
    text = text.strip()
    if decimal != "," and len(text) <= MAX_NUMBER_CHARACTERS and _PLAIN.fullmatch(text):
        value: float | None = float(text)
    elif is_missing_spelling(text):
        return None
    else:
        by_point, by_comma = readings(text)
        first, second = (by_comma, by_point) if decimal == "," else (by_point, by_comma)
        value = second if first is None else first
    if _NOT_FINITE.fullmatch(text) if value is None else not math.isfinite(value):
        raise CellError("number-infinite", f"{text[:40]!r}: expected a finite number, received none")
    if value is None:
        raise CellError("number-unreadable", f"{text[:40]!r}: expected a finite number, received text")
    return value


def _plain(body: str, decimal: str, group: str) -> str | None:
    """The body as Python writes it, when `decimal` marks decimals and `group` (or a space) separates thousands."""
    whole, mark, fraction = body.partition(decimal)
    if mark and fraction and _DIGITS.fullmatch(fraction) is None:
        return None
    if not whole:
        return f"0.{fraction}" if fraction else None
    grouped = _GROUPED_BY_COMMA if group == "," else _GROUPED_BY_POINT
    if _DIGITS.fullmatch(whole) is None:
        if grouped.fullmatch(whole):
            whole = whole.replace(group, "")
        elif _GROUPED_BY_SPACE.fullmatch(whole):
            whole = _SPACES.sub("", whole)
        else:
            return None
    return f"{whole}.{fraction or '0'}"


def _value(plain: str | None, exponent: str, negative: bool) -> float | None:
    if plain is None:
        return None
    value = float(plain + exponent)
    return -value if negative else value
