"""Many series out of a long table `id, time, value, …`: each on the regular grid of its times, gaps made explicit.

Rows may come in any order. Missing values stay missing (NaN); repeated times are refused or, where the user says how,
gathered; what was sorted, gathered, left out or lacking is told.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any, Self

import numpy as np
import polars as pl

from gradatim.data.forecast_times import Frequency, Spelling, find_frequency, read_instants
from gradatim.data.numbers import parse_numbers
from gradatim.data.spelling import spelled, spelling_of
from gradatim.data.table import Table
from gradatim.errors import DataError
from gradatim.problems import Problems

GATHER = ("mean", "sum", "first", "last")
MOST_LEVELS = 30
MOST_STEPS = 50_000_000  # of all series together: a wrong grid would fill the memory with gaps
LARGEST = 1e30


@dataclass(frozen=True, slots=True)
class KnownColumn:
    """A column whose future is known. levels: of a category, in the order of its indicators; else it is a number."""

    name: str
    levels: tuple[str, ...] = ()
    mean: float = 0.0
    deviation: float = 1.0

    @property
    def width(self) -> int:
        """Columns of numbers that it becomes."""
        return max(len(self.levels), 1)

    def encode(self, cells: pl.Series) -> np.ndarray:
        """Float64 (N, width): indicators, or standardised numbers; NaN where missing, zeros for an unknown level."""
        if self.levels:
            written = pl.Series(self.levels)
            form = spelling_of(written)  # True and 'true' are one level
            levels, texts = spelled(written, form).to_list(), spelled(cells, form).to_list()
            found = np.array([[np.nan if text is None else float(text == level) for level in levels]
                              for text in texts])
            return found.reshape(len(cells), self.width)
        numbers = _numbers(cells if cells.dtype.is_numeric() else spelled(cells, "binary"))[0]
        return ((numbers - self.mean) / self.deviation)[:, None]

    @classmethod
    def fit(cls, name: str, cells: pl.Series) -> Self:
        """Numbers where every filled cell is one, else a category of at most 30 levels."""
        numbers, unreadable, infinite = _numbers(cells)
        seen = numbers[np.isfinite(numbers)]
        if not (unreadable & ~infinite).any():
            deviation = float(seen.std()) if len(seen) else 1.0
            return cls(name, (), float(seen.mean()) if len(seen) else 0.0, deviation if deviation > 0 else 1.0)
        levels = sorted(map(str, spelled(cells, spelling_of(cells)).drop_nulls().unique().to_list()))
        if len(levels) > MOST_LEVELS:
            raise DataError(f"--option known={name}: expected numbers or at most {MOST_LEVELS} different texts, "
                            f"received {len(levels)}")
        return cls(name, tuple(levels))


@dataclass(slots=True)
class Panel:
    """Series on one grid.

    names: of each; first: grid position of each first step, int64 (S,); values: float64 (T_s,), NaN where missing,
    from the first to the last known value; known: float64 (T_s + F_s, K) with F_s ≥ 0 steps beyond the last value;
    rows: row of the table of each step of `known`, −1 where there is none; notes: what reading found, in sentences.
    """

    names: list[str]
    first: np.ndarray
    values: list[np.ndarray]
    known: list[np.ndarray]
    rows: list[np.ndarray]
    notes: list[str] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.names)

    @property
    def lengths(self) -> np.ndarray:
        """Steps of each series, int64 (S,)."""
        return np.array([len(values) for values in self.values], dtype=np.int64)

    def take(self, places: Sequence[int] | np.ndarray) -> "Panel":
        """Some of the series."""
        chosen = [int(place) for place in places]
        return Panel([self.names[p] for p in chosen], self.first[chosen], [self.values[p] for p in chosen],
                     [self.known[p] for p in chosen], [self.rows[p] for p in chosen], list(self.notes))

    def cut(self, ends: np.ndarray) -> "Panel":
        """The first `ends` (S,) values of each series; what is known of the future stays."""
        return replace(self, values=[values[: max(int(end), 0)] for values, end in zip(self.values, ends)])


@dataclass(frozen=True, slots=True)
class SeriesReader:
    """How a table becomes a panel; fitted once, used again for every later table."""

    time: str
    target: str
    id: str | None
    frequency: Frequency
    spelling: Spelling
    known: tuple[KnownColumn, ...] = ()
    gather: str | None = None

    @property
    def width(self) -> int:
        """Columns of numbers that the known columns become."""
        return sum(column.width for column in self.known)

    @classmethod
    def fit(
        cls, table: Table, *, time: str, target: str, id: str | None, known: Sequence[str] = (),
        gather: str | None = None, frequency: str | None = None,
    ) -> Self:
        """Find grid and spelling of the times, and the scale of the known columns. Errors: DataError."""
        if gather is not None and gather not in GATHER:
            raise DataError(f"--option duplicates={gather}: expected one of {', '.join(GATHER)}")
        instants, spelling = read_instants(table.column(time), name=time)
        names = table.column(id).cast(pl.String).to_list() if id else [""] * len(table)
        apart: dict[Any, list[float]] = {}
        for name, instant in zip(names, instants.tolist()):
            if name is not None and instant == instant:
                apart.setdefault(name, []).append(instant)
        try:
            found = find_frequency([np.sort(np.array(times)) for times in apart.values()], spelling, asked=frequency)
        except DataError as error:
            raise DataError(f"{table.source}: {error}") from None
        columns = tuple(KnownColumn.fit(name, table.column(name)) for name in known)
        return cls(time, target, id, found, spelling, columns, gather)

    def read(self, table: Table, problems: Problems | None = None) -> Panel:
        """The panel of a table with the same columns. A column of known future may be absent only when none is used.

        problems: filled with the rows that cannot be used. Errors: DataError for columns that are not there, times
        that are repeated, and a grid that the times do not fit.
        """
        problems = Problems() if problems is None else problems
        wanted = [self.time, self.target, *([self.id] if self.id else []), *(c.name for c in self.known)]
        missing = [name for name in wanted if name not in table.frame.columns]
        if missing:
            raise DataError(f"{table.source}: expected the columns {', '.join(wanted)}; missing {', '.join(missing)}")
        names, places, numbers = self._cells(table, problems)
        good = np.array([name is not None for name in names], dtype=bool) & np.isfinite(places)
        rows = np.flatnonzero(good)
        off = np.abs(places[rows] - np.round(places[rows])) > 0.05
        notes = []
        if off.any():
            notes.append(f"{int(off.sum())} times lie between two steps of the grid and count for the step before")
        steps = np.where(off, np.floor(places[rows]), np.round(places[rows])).astype(np.int64)
        order_names = list(dict.fromkeys(names[row] for row in rows.tolist()))
        number_of = {name: number for number, name in enumerate(order_names)}
        series = np.array([number_of[names[row]] for row in rows.tolist()], dtype=np.int64)
        disordered = int((np.diff(steps)[np.diff(series) == 0] < 0).sum())
        if disordered:
            notes.append(f"{disordered} rows come before an earlier time of their series; they were sorted")
        order = np.lexsort((rows, steps, series))
        rows, steps, series = rows[order], steps[order], series[order]
        known = np.concatenate([c.encode(table.column(c.name)) for c in self.known], axis=1) \
            if self.known else np.zeros((len(table), 0))
        rows, steps, series, numbers, known = self._gathered(table, rows, steps, series, numbers, known, notes)
        return self._on_grid(order_names, rows, steps, series, numbers, known, notes)

    def _cells(self, table: Table, problems: Problems) -> tuple[list[Any], np.ndarray, np.ndarray]:
        """Name, place on the grid and value of each row; what cannot be read becomes a problem."""
        frame = table.frame
        instants, spelling = read_instants(table.column(self.time), name=self.time, spelling=self.spelling)
        if (spelling.form == "number") != (self.spelling.form == "number"):
            wanted, got = (("numbers", "dates") if self.spelling.form == "number" else ("dates", "numbers"))
            raise DataError(f"{table.source}: expected {wanted} in the time column '{self.time}', as in the table that "
                            f"was fitted; received {got}")
        places = self.frequency.places(instants)
        names = [self.target] * len(table) if self.id is None else table.column(self.id).cast(pl.String).to_list()
        numbers, unreadable, _ = _numbers(table.column(self.target))
        for row in np.flatnonzero(unreadable).tolist():
            problems.add("number-unreadable", f"{str(frame[self.target][row])[:40]!r}: expected a number under "
                         f"{LARGEST:g}; it counts as missing", column=self.target, row=row, line=table.line(row))
        for row in np.flatnonzero(~np.isfinite(places)).tolist():
            problems.add("time-missing", "expected a time; the row was left out", column=self.time, row=row,
                         line=table.line(row))
        for row, name in enumerate(names):
            if name is None:
                problems.add("id-missing", "expected the name of a series; the row was left out", column=self.id,
                             row=row, line=table.line(row))
        return names, places, numbers

    def _gathered(
        self, table: Table, rows: np.ndarray, steps: np.ndarray, series: np.ndarray, numbers: np.ndarray,
        known: np.ndarray, notes: list[str],
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """One row a step: repeated ones gathered as the user said, or refused. numbers and known by row → by step."""
        values, extra = numbers[rows], known[rows]
        same = np.zeros(len(rows), dtype=bool)
        same[1:] = (np.diff(series) == 0) & (np.diff(steps) == 0)
        if not same.any():
            return rows, steps, series, values, extra
        if self.gather is None:
            place = int(np.flatnonzero(same)[0])
            first, second = int(rows[place - 1]), int(rows[place])
            when = str(table.frame[self.time][second])
            where = "" if self.id is None else f" of '{table.frame[self.id][second]}'"
            hint = "" if self.id else "--id COLUMN where the table holds several series, or "
            raise DataError(
                f"{table.source}: expected each time once a series, found {int(same.sum())} repeated, the first "
                f"{when}{where} in {_place(table, first)} and {_place(table, second)}; mend them, or pass {hint}"
                f"--option duplicates={'|'.join(GATHER)}"
            )
        notes.append(f"{int(same.sum())} repeated times were gathered by their {self.gather}, as asked")
        group = np.cumsum(~same) - 1
        firsts = np.flatnonzero(~same)
        lasts = np.append(firsts[1:], len(rows)) - 1
        if self.gather in ("first", "last"):
            chosen = firsts if self.gather == "first" else lasts
            return rows[firsts], steps[firsts], series[firsts], values[chosen], extra[chosen]
        seen = np.isfinite(values)
        count = np.bincount(group, weights=seen)
        total = np.bincount(group, weights=np.where(seen, values, 0.0))
        with np.errstate(invalid="ignore", divide="ignore"):
            gathered = np.where(count > 0, total / (count if self.gather == "mean" else 1), np.nan)
        return rows[firsts], steps[firsts], series[firsts], gathered, extra[lasts]

    def _on_grid(
        self, names: list[str], rows: np.ndarray, steps: np.ndarray, series: np.ndarray, values: np.ndarray,
        known: np.ndarray, notes: list[str],
    ) -> Panel:
        """Each series from its first to its last known value, with the known columns beyond."""
        bounds = np.searchsorted(series, np.arange(len(names) + 1))
        spans = [int(steps[b - 1] - steps[a] + 1) for a, b in pairwise(bounds.tolist())]
        if sum(spans) > MOST_STEPS:
            raise DataError(f"expected at most {MOST_STEPS:,} steps from first to last times of all series, found "
                            f"{sum(spans):,} on a grid of one {self.frequency.name}; pass --option frequency=…")
        panel = Panel(names, np.zeros(len(names), np.int64), [], [], [], notes)
        gaps = lacking = 0
        for number, (start, stop) in enumerate(pairwise(bounds.tolist())):
            place = steps[start:stop] - steps[start]
            whole = np.full(spans[number], np.nan)
            whole[place] = values[start:stop]
            covariates = np.full((spans[number], known.shape[1]), np.nan)
            covariates[place] = known[start:stop]
            where = np.full(spans[number], -1, dtype=np.int64)
            where[place] = rows[start:stop]
            seen = np.flatnonzero(np.isfinite(whole))
            first, end = (int(seen[0]), int(seen[-1]) + 1) if len(seen) else (0, 0)
            panel.first[number] = int(steps[start]) + first
            panel.values.append(whole[first:end])
            panel.known.append(covariates[first:])
            panel.rows.append(where[first:])
            gaps += int((where[first:end] < 0).sum())
            lacking += int((~np.isfinite(whole[first:end]) & (where[first:end] >= 0)).sum())
        if gaps:
            panel.notes.append(f"{gaps} steps of the grid have no row: gaps, kept as missing values")
        if lacking:
            panel.notes.append(f"{lacking} rows between known values have no value, kept as missing")
        return panel

    def write_times(self, positions: np.ndarray) -> list[str]:
        """Grid positions as the file spells its times."""
        return self.spelling.write(self.frequency.instants(positions))

    def to_json(self) -> dict[str, Any]:
        """A JSON object that `from_json` reads back."""
        return {
            "time": self.time, "target": self.target, "id": self.id, "gather": self.gather,
            "frequency": self.frequency.to_json(), "spelling": self.spelling.form,
            "known": [{"name": c.name, "levels": list(c.levels), "mean": c.mean, "deviation": c.deviation}
                      for c in self.known],
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        """Read what `to_json` wrote."""
        known = tuple(
            KnownColumn(str(c["name"]), tuple(map(str, c["levels"]))[:MOST_LEVELS], float(c["mean"]),
                        float(c["deviation"]))
            for c in value["known"]
        )
        if len(known) > 1000 or not all(c.deviation > 0 and abs(c.mean) < LARGEST for c in known):
            raise DataError("expected known columns with a mean and a deviation above 0, found others")
        gather = value["gather"]
        if gather is not None and gather not in GATHER:
            raise DataError(f"expected repeated times gathered by {', '.join(GATHER)}; found {gather!r:.40}")
        return cls(str(value["time"]), str(value["target"]), None if value["id"] is None else str(value["id"]),
                   Frequency.from_json(value["frequency"]), Spelling(str(value["spelling"])), known, gather)


SERIES = "series"  # the column of the names where a wide table was melted


def melted(table: Table, time: str, target: str, columns: Sequence[str]) -> Table:
    """A table with one column a series as a long one: time, series, target.

    >>> frame = pl.DataFrame({"day": ["1", "2"], "north": ["3", "4"], "south": ["5", None]})
    >>> melted(Table(frame), "day", "value", ["north", "south"]).frame.rows()[-1]
    ('2', 'south', None)
    """
    missing = [name for name in (time, *columns) if name not in table.frame.columns]
    if missing:
        raise DataError(f"{table.source}: expected the columns {', '.join((time, *columns))[:200]}; missing "
                        f"{', '.join(missing)}")
    parts = [table.frame.select(pl.col(time), pl.lit(name).alias(SERIES), pl.col(name).cast(pl.String).alias(target))
             for name in columns]
    lines = None if table.lines is None else np.tile(table.lines, len(columns))
    return Table(pl.concat(parts), table.folder, lines, table.source, table.notes)


def _numbers(cells: pl.Series) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Float64 (N,) with NaN where nothing is known, which cells give no number, and which of these are too large."""
    if cells.dtype == pl.Boolean:
        cells = cells.cast(pl.Int8)
    column = parse_numbers(cells if cells.dtype.is_numeric() else cells.cast(pl.String))
    values = column.values.fill_null(np.nan).to_numpy().astype(np.float64)
    large = np.abs(values) >= LARGEST
    return (np.where(large, np.nan, values), np.asarray(column.unreadable, dtype=bool) | large,
            np.asarray(column.infinite, dtype=bool) | large)


def _place(table: Table, row: int) -> str:
    line = table.line(row)
    return f"row {row}" if line is None else f"line {line}"
