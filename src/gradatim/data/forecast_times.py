"""Times of a series as whole steps on a regular grid: which grid, on what evidence, and back to the file's spelling.

A grid is made of numbers (1, 2, 3; 1949.083, 1949.167), of seconds (every 15 minutes, hours, days, weeks), of days
from Monday to Friday, or of months (quarters, years), which are of unequal length.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any, Self

import numpy as np
import polars as pl

from gradatim.data.dates import date_format, months_of, seconds_of
from gradatim.errors import DataError

UNITS = ("number", "second", "weekday", "month")
DAY = 86_400.0
_NAMED = {1.0: "second", 60.0: "minute", 3600.0: "hour", DAY: "day", 7 * DAY: "week"}
_MONTHS = {1: "month", 3: "quarter", 12: "year"}
WORDS = {**{name: ("second", size) for size, name in _NAMED.items()}, "weekday": ("weekday", 1.0),
         **{name: ("month", float(size)) for size, name in _MONTHS.items()}}
# Lengths of a season by the seconds of a step, likely ones first; of months likewise.
_SEASONS = {1.0: (60, 3600), 60.0: (60, 1440), 300.0: (288,), 600.0: (144,), 900.0: (96, 672), 1800.0: (48, 336),
            3600.0: (24, 168), DAY: (7, 365), 7 * DAY: (52,)}
ON_GRID = 0.05  # of a step: as near must a time be to its place
LEAST_ON_GRID = 0.95  # of the times must lie on the grid


@dataclass(frozen=True, slots=True)
class Spelling:
    """How a file writes its times: "number", "date" and "datetime" of typed columns, "quarter", or a strftime form."""

    form: str

    def write(self, instants: np.ndarray) -> list[str]:
        """Instants (seconds since 1970, or numbers) as the file spells them.

        >>> Spelling("%Y-%m").write(np.array([86400.0 * 31]))
        ['1970-02']
        """
        if self.form == "number":
            return [f"{round(value, 4):.10g}" for value in np.asarray(instants, dtype=np.float64)]
        found = []
        for seconds in np.asarray(instants, dtype=np.float64):
            try:
                time = datetime.fromtimestamp(float(seconds), tz=UTC)
            except (ValueError, OverflowError, OSError):  # after the year 9999
                found.append(str(np.datetime64(int(seconds), "s")))
                continue
            if self.form == "quarter":
                found.append(f"{time.year}Q{(time.month + 2) // 3}")
            else:
                form = {"date": "%Y-%m-%d", "datetime": "%Y-%m-%dT%H:%M:%S"}.get(self.form, self.form)
                found.append(time.strftime(form.replace("%S%.f", "%S")))
        return found


def read_instants(cells: pl.Series, *, name: str = "time", spelling: Spelling | None = None) -> tuple[np.ndarray,
                                                                                                      Spelling]:
    """Float64 seconds since 1970, or numbers, NaN where unreadable; and the spelling. DataError for anything else.

    spelling: the one that was found when the model was fitted, where that is known.

    >>> read_instants(pl.Series(["2020Q1", "2020Q2"]))[0].tolist()
    [1577836800.0, 1585699200.0]
    """
    if cells.dtype.is_temporal():
        return _filled(seconds_of(cells)), Spelling("date" if cells.dtype == pl.Date else "datetime")
    if cells.dtype.is_numeric():
        return _filled(cells.cast(pl.Float64)), Spelling("number")
    texts = cells.cast(pl.String)
    if not texts.drop_nulls().len():
        return np.full(len(cells), np.nan), spelling or Spelling("number")
    months = months_of(texts)
    if months is not None:
        return _filled(months[0]), Spelling(months[1])
    seconds = seconds_of(texts)
    if seconds is None:
        raise DataError(f"time column '{name}': expected dates, numbers, months as 2024-01 or quarters as 2024Q1; "
                        f"received {texts.drop_nulls()[0]!r:.40}; name another with --time")
    return _filled(seconds), Spelling(date_format(texts) or "number")


def _filled(values: pl.Series | None) -> np.ndarray:
    assert values is not None
    return values.cast(pl.Float64).fill_null(np.nan).to_numpy().astype(np.float64)


@dataclass(frozen=True, slots=True)
class Frequency:
    """A regular grid. Position 0 is at `anchor` (seconds or a number; of months the month since 1970).

    unit: one of UNITS; every: how many units a step is; day: of months, the day that times stand on (0: the last).

    >>> monthly = Frequency("month", 1.0, 600.0, 1)
    >>> monthly.places(monthly.instants(np.array([0, 14]))).tolist()
    [0.0, 14.0]
    """

    unit: str
    every: float
    anchor: float
    day: int = 1
    why: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """In words: "month", "15 minutes", "day, Monday to Friday", "step of 1"."""
        if self.unit == "weekday":
            return "day, Monday to Friday"
        if self.unit == "number":
            return f"step of {self.every:.6g}"
        if self.unit == "month":
            return _MONTHS.get(int(self.every), f"{int(self.every)} months")
        for size in sorted(_NAMED, reverse=True):
            if self.every % size == 0:
                count = int(self.every // size)
                return _NAMED[size] if count == 1 else f"{count} {_NAMED[size]}s"
        return f"{self.every:g} seconds"

    def places(self, instants: np.ndarray) -> np.ndarray:
        """Position of each instant on the grid, with a fraction where it stands between two."""
        instants = np.asarray(instants, dtype=np.float64)
        if self.unit == "weekday":
            days = np.floor(instants / DAY)
            known = np.isfinite(days)
            dates = np.where(known, days, 0).astype("datetime64[D]")
            count = np.busday_count(np.datetime64(int(self.anchor // DAY), "D"), dates).astype(np.float64)
            off = ~np.is_busday(dates) | (np.abs(instants / DAY - days) > ON_GRID)
            return np.where(known, count + np.where(off, 0.5, 0.0), np.nan)
        if self.unit == "month":
            months, days, sizes = month_parts(instants)
            wanted = np.minimum(self.day, sizes) if self.day else sizes
            return (months + (days - wanted) / sizes - self.anchor) / self.every
        return (instants - self.anchor) / self.every

    def instants(self, positions: np.ndarray) -> np.ndarray:
        """The instant of each whole position."""
        positions = np.asarray(positions)
        if self.unit == "weekday":
            start = np.datetime64(int(self.anchor // DAY), "D")
            days = np.busday_offset(start, positions.astype(np.int64), roll="forward").astype(np.int64)
            return days.astype(np.float64) * DAY
        if self.unit == "month":
            months = (self.anchor + positions * self.every).astype(np.int64).astype("datetime64[M]")
            starts = months.astype("datetime64[D]").astype(np.int64)
            sizes = (months + 1).astype("datetime64[D]").astype(np.int64) - starts
            days = np.minimum(self.day, sizes) if self.day else sizes
            return (starts + days - 1).astype(np.float64) * DAY
        return self.anchor + positions * self.every

    def seasons(self) -> tuple[int, ...]:
        """Lengths of the seasons that such series often have, likely ones first."""
        if self.unit == "month":
            return (round(12 / self.every),) if self.every in (1, 2, 3, 4, 6) else ()
        if self.unit == "weekday":
            return (5,)
        if self.unit == "number":
            parts = round(1 / self.every) if 0 < self.every < 0.6 else 0
            return (parts,) if parts in (4, 12) and abs(parts * self.every - 1) < 0.02 else ()
        return _SEASONS.get(self.every, ())

    def to_json(self) -> dict[str, Any]:
        """A JSON object that `from_json` reads back."""
        return asdict(self) | {"why": list(self.why)}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        """Read what `to_json` wrote."""
        unit, every, anchor, day = str(value["unit"]), float(value["every"]), float(value["anchor"]), int(value["day"])
        if unit not in UNITS or not 0 < every < 1e12 or not abs(anchor) < 1e15 or not 0 <= day <= 31:
            raise DataError(f"expected a grid of {', '.join(UNITS)}, found {value!r:.120}")
        return cls(unit, every, anchor, day, tuple(map(str, value.get("why", ()))))


def month_parts(instants: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Months since 1970, day of the month (with the time of day as a fraction), days of that month; NaN stays NaN."""
    known = np.isfinite(instants)
    days = np.where(known, instants, 0.0) / DAY
    months = np.floor(days).astype(np.int64).astype("datetime64[D]").astype("datetime64[M]")
    starts = months.astype("datetime64[D]").astype(np.int64)
    sizes = (months + 1).astype("datetime64[D]").astype(np.int64) - starts
    found = np.where(known, months.astype(np.int64), np.nan)
    return found, days - starts + 1, sizes.astype(np.float64)


def find_frequency(series: list[np.ndarray], spelling: Spelling, *, asked: str | None = None) -> Frequency:
    """The grid of some series' times: instants of each, ascending, without NaN; `asked`: a word of WORDS.

    A grid is taken when at least 95 % of the times lie on it; DataError else.
    """
    together = np.concatenate(series) if series else np.zeros(0)
    if not len(together):
        raise DataError("expected at least one readable time, found none; name the column with --time")
    anchor = float(together.min())
    gaps = np.concatenate([np.diff(times) for times in series])
    gaps = gaps[gaps > 0]
    number = spelling.form == "number"
    if asked is not None:
        return _asked(asked, anchor, together, number)
    if not len(gaps):
        raise DataError("expected a series with at least two different times, found none: every one has a single time")
    for candidate in _candidates(together, gaps, anchor, number):
        share = on_grid(candidate, together)
        if share >= LEAST_ON_GRID:
            common = float((np.abs(gaps_in_steps(candidate, series) - 1) < ON_GRID).mean())
            why = (f"{share:.1%} of {len(together):,} times lie on a grid ({candidate.name}); "
                   f"{common:.1%} follow the one before by one step",)
            return Frequency(candidate.unit, candidate.every, candidate.anchor, candidate.day, why)
    middle = float(np.median(gaps))
    raise DataError("the times lie on no regular grid (the gap in the middle is "
                    + (f"{middle:.4g}" if number else f"{middle / DAY:.4g} days")
                    + "); gather them with --option frequency=hour|day|week|month and --option duplicates=mean")


def _asked(word: str, anchor: float, instants: np.ndarray, number: bool) -> Frequency:
    why = ("it was asked for",)
    if number:
        try:
            every = float(word)
        except ValueError:
            every = 0.0
        if every <= 0:
            raise DataError(f"--option frequency={word}: expected a step as a number, as the times are numbers")
        return Frequency("number", every, anchor, why=why)
    count, _, unit = word.rpartition(" ")
    unit = unit.removesuffix("s")
    if unit not in WORDS or not (count or "1").isdigit() or int(count or "1") < 1:
        raise DataError(f"--option frequency={word}: expected one of {', '.join(WORDS)}, or as '15 minutes'")
    kind, size = WORDS[unit]
    every = size * int(count or "1")
    if kind == "month":
        months, _, _ = month_parts(instants)
        start = float(months.min())
        return Frequency("month", every, start - start % every, 1, why)
    if every == 7 * DAY:
        return Frequency(kind, every, np.floor((anchor / DAY + 3) / 7) * 7 * DAY - 3 * DAY, why=why)  # Mondays
    return Frequency(kind, every, np.floor(anchor / every) * every if every <= DAY else anchor, why=why)


def _candidates(instants: np.ndarray, gaps: np.ndarray, anchor: float, number: bool) -> list[Frequency]:
    """Grids to try, the best kind first."""
    found: list[Frequency] = []
    small = np.quantile(gaps, 0.05)
    if number:
        near = gaps[gaps < 1.5 * small]
        every = float(np.median(near))
        every = next((1 / parts for parts in (12, 4) if abs(every * parts - 1) < 0.02), every)
        return [Frequency("number", every, anchor)]
    months, days, sizes = month_parts(instants)
    if small > 27 * DAY and np.all(days == np.floor(days)):
        for day, wanted in ((0, sizes), (int(np.median(days)), np.minimum(np.median(days), sizes))):
            if np.mean(np.abs(days - wanted) < 0.5) >= LEAST_ON_GRID:
                steps = np.diff(np.unique(months)).astype(np.int64)
                every = int(np.gcd.reduce(steps)) if len(steps) else 1
                found.append(Frequency("month", float(max(every, 1)), float(months.min()), day))
        found.reverse()  # the first of the month before the last, where both fit
    dates = np.floor(instants / DAY).astype(np.int64).astype("datetime64[D]")
    if small == DAY and np.is_busday(dates).all() and (np.ptp(instants) > 13 * DAY):
        found.append(Frequency("weekday", 1.0, anchor))
    near = gaps[gaps < 1.5 * small]
    values, counts = np.unique(np.round(near, 3), return_counts=True)
    found.append(Frequency("second", float(values[counts.argmax()]), anchor))
    return found


def on_grid(frequency: Frequency, instants: np.ndarray) -> float:
    """Share of the instants that lie on the grid."""
    places = frequency.places(instants)
    return float((np.abs(places - np.round(places)) <= ON_GRID).mean())


def gaps_in_steps(frequency: Frequency, series: list[np.ndarray]) -> np.ndarray:
    """Steps from each time to the next."""
    return np.concatenate([np.diff(frequency.places(times)) for times in series])
