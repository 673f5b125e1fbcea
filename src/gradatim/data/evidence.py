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
    values: pl.Series  # the different filled cells, most frequent first (cells that cannot be compared: all of them)
    counts: pl.Series  # how often each occurs

    @property
    def rows(self) -> int:
        """Cells, filled or not."""
        return self.cells.len()

    @cached_property
    def filled(self) -> int:
        """Cells that are not null."""
        return self.rows - self.cells.null_count()

    @property
    def distinct(self) -> int:
        """Different filled cells."""
        return self.values.len()

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
    def words(self) -> float:
        """Mean number of words, over at most 2,000 cells."""
        texts = spaced(self.cells.drop_nulls(), WIDE_SAMPLE)
        return float(texts.str.count_matches(r"\S+").mean() or 0) if self.is_text else 1.0  # type: ignore[arg-type]

    @cached_property
    def looks_numeric(self) -> bool:
        """Whether at least half of a sample are numbers, so that reading the whole column is worth the time."""
        if not self.is_text:
            return self.cells.dtype.is_numeric()
        column, counts = parse_numbers(self.values[:WIDE_SAMPLE]), self.counts[:WIDE_SAMPLE]
        readable = int(counts.filter(column.values.is_not_null()).sum())
        return readable > 0 and readable >= int(counts.filter(column.unreadable & ~column.infinite).sum())

    @cached_property
    def decimals(self) -> DecimalEvidence:
        """Decimal points against decimal commas."""
        if not self.is_text or not self.looks_numeric:
            return DecimalEvidence()
        return column_decimal_evidence(self.values, self.counts)

    def numbers(self, decimal: str = ".") -> "Numbers":
        """The column read as numbers."""
        return Numbers(parse_numbers(self.values, decimal=decimal), self.counts)

    @cached_property
    def spelled_missing(self) -> dict[str, int]:
        """Cells such as '?' and 'NULL', and how often they occur."""
        if not self.is_text:
            return {}
        pairs = zip(self.values[:WIDE_SAMPLE], self.counts[:WIDE_SAMPLE], strict=True)
        return {text: count for text, count in pairs if is_missing_spelling(text)}

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
    """The different cells of a column read as numbers, and what can be counted about them."""

    def __init__(self, column: NumberColumn, counts: pl.Series) -> None:
        self.column = column
        self.values = column.values.drop_nulls()
        self.readable = int(counts.filter(column.values.is_not_null()).sum())
        self.unreadable = int(counts.filter(column.unreadable).sum())
        self.infinite = int(counts.filter(column.infinite).sum())

    @property
    def share(self) -> float:
        """Numbers among the cells that are neither missing nor infinite."""
        return self.readable / max(self.readable + self.unreadable - self.infinite, 1)

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
    """The facts of every column, its different cells counted."""
    facts = {}
    for column in frame:
        filled = column.drop_nulls()
        if column.dtype.is_nested() or column.dtype in (pl.Binary, pl.Object):
            values, counts = filled, pl.repeat(1, filled.len(), eager=True)
        else:
            table = filled.alias("cell").value_counts(name="count").sort(["count", "cell"], descending=[True, False])
            values, counts = table.get_columns()
        facts[column.name] = Facts(column.name, column, folder, values, counts)
    return facts


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
