"""What can be counted about a column, each figure computed once and only when a rule asks for it."""

import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import polars as pl

from gradatim.data.folders import PICTURE_ENDINGS, SOUND_ENDINGS
from gradatim.data.numbers import (
    DecimalEvidence,
    NumberColumn,
    column_decimal_evidence,
    is_missing_spelling,
    parse_numbers,
)
from gradatim.errors import DataError
from gradatim.files import path_under

SAMPLE = 200  # cells looked at one by one
WIDE_SAMPLE = 2000  # cells measured by vectorised means
_ENDING = re.compile(r"\.[A-Za-z0-9]{2,4}$")
_NUMBERED = re.compile(r"(.*?)[ _.:-]?\d+")
FAMILY = 8  # columns of one stem and a number: pixel0 … pixel783


@dataclass(frozen=True)
class Facts:
    """One column and what can be counted about it."""

    name: str
    cells: pl.Series
    folder: Path | None
    rows: int
    filled: int  # cells that are not null
    distinct: int  # different cells that are not null

    @property
    def missing(self) -> int:
        """Null cells."""
        return self.rows - self.filled

    @property
    def is_text(self) -> bool:
        """Whether the cells are strings."""
        return self.cells.dtype == pl.String

    @cached_property
    def sample(self) -> list[Any]:
        """At most 200 filled cells, evenly spaced over the table."""
        return spaced(self.cells.drop_nulls(), SAMPLE).to_list()

    @cached_property
    def counts(self) -> list[tuple[Any, int]]:
        """Every filled cell and how often it occurs, most frequent first."""
        table = self.cells.drop_nulls().value_counts(sort=True)
        return list(zip(*(column.to_list() for column in table.get_columns()), strict=True))

    @cached_property
    def words(self) -> float:
        """Mean number of words, over at most 2,000 cells."""
        texts = spaced(self.cells.drop_nulls(), WIDE_SAMPLE)
        return float(texts.str.count_matches(r"\S+").mean() or 0) if self.is_text else 1.0  # type: ignore[arg-type]

    @cached_property
    def looks_numeric(self) -> bool:
        """Whether at least half of a sample are numbers, so that reading the whole column is worth the time."""
        if not self.is_text:
            return self.cells.dtype.is_numeric()
        column = parse_numbers(spaced(self.cells.drop_nulls(), WIDE_SAMPLE))
        readable = int(column.values.is_not_null().sum())
        return readable > 0 and readable >= int(column.unreadable.sum())

    @cached_property
    def decimals(self) -> DecimalEvidence:
        """Decimal points against decimal commas."""
        return column_decimal_evidence(self.cells) if self.is_text and self.looks_numeric else DecimalEvidence()

    def numbers(self, decimal: str = ".") -> "Numbers":
        """The column read as numbers."""
        return Numbers(parse_numbers(self.cells, decimal=decimal))

    @cached_property
    def spelled_missing(self) -> dict[str, int]:
        """Cells such as '?' and 'NULL', and how often they occur."""
        if not self.is_text or self.distinct > 10_000:
            return {}
        return {text: count for text, count in self.counts if is_missing_spelling(text)}

    @cached_property
    def endings(self) -> tuple[str | None, float, list[str]]:
        """'image' or 'audio', the share of sampled cells that name such a file, and the endings found."""
        if not self.is_text or not self.sample:
            return None, 0.0, []
        found = [match[0].lower() for cell in self.sample if (match := _ENDING.search(cell.strip()))]
        for kind, known in (("image", PICTURE_ENDINGS), ("audio", SOUND_ENDINGS)):
            fitting = [ending for ending in found if ending in known]
            if len(fitting) >= 0.9 * len(self.sample):
                return kind, len(fitting) / len(self.sample), sorted(set(fitting))
        return None, 0.0, []

    @cached_property
    def existing(self) -> tuple[int, int]:
        """How many of the sampled cells name a file that exists under the folder, and how many were sampled."""
        return sum(_exists(self.folder, cell.strip()) for cell in self.sample), len(self.sample)


class Numbers:
    """A column read as numbers, and what can be counted about them."""

    def __init__(self, column: NumberColumn) -> None:
        self.column = column
        self.values = column.values.drop_nulls()
        self.readable = self.values.len()
        self.unreadable = int(column.unreadable.sum())

    @property
    def share(self) -> float:
        """Numbers among the cells that are not missing."""
        return self.readable / max(self.readable + self.unreadable, 1)

    @cached_property
    def distinct(self) -> int:
        """How many different numbers."""
        return self.values.n_unique()

    @cached_property
    def whole(self) -> bool:
        """Whether all are whole numbers."""
        return bool((self.values == self.values.floor()).all())

    @cached_property
    def range(self) -> tuple[float, float]:
        """Smallest and largest."""
        return float(self.values.min()), float(self.values.max())  # type: ignore[arg-type]

    @property
    def consecutive(self) -> bool:
        """Whether each whole number between the smallest and the largest occurs exactly once."""
        low, high = self.range
        return self.whole and self.distinct == self.readable and high - low + 1 == self.readable


def gather(frame: pl.DataFrame, folder: Path | None) -> dict[str, Facts]:
    """The facts of every column; what all columns need is counted for all at once."""
    counted = frame.select(pl.selectors.exclude(pl.selectors.by_dtype(pl.Struct, pl.Binary) | pl.selectors.nested()))
    distinct = counted.select(pl.all().drop_nulls().n_unique()).row(0, named=True) if counted.width else {}
    empty = frame.null_count().row(0, named=True)
    return {
        name: Facts(name, frame.get_column(name), folder, frame.height, frame.height - empty[name],
                    distinct.get(name, frame.height - empty[name]))
        for name in frame.columns
    }


def families(names: list[str]) -> dict[str, list[str]]:
    """Columns named by one stem and a number, eight or more of them: stem → names.

    >>> list(families(["label", *(f"pixel{i}" for i in range(9))]))
    ['pixel']
    """
    stems: dict[str, list[str]] = {}
    for name in names:
        match = _NUMBERED.fullmatch(name)
        if match:
            stems.setdefault(match[1], []).append(name)
    return {stem: members for stem, members in stems.items() if len(members) >= FAMILY}


def spaced(cells: pl.Series, most: int) -> pl.Series:
    """At most `most` cells, evenly spaced."""
    return cells.gather_every(-(-cells.len() // most)) if cells.len() > most else cells


def _exists(folder: Path | None, name: str) -> bool:
    try:
        return path_under(folder, name).is_file() if folder is not None else Path(name).is_file()
    except (DataError, OSError, ValueError):
        return False
