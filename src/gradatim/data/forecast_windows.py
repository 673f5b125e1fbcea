"""Rolling origins of a panel: which are for fitting, choosing and scoring, and what a model may see at each.

An origin o of a series knows its values before step o, and forecasts the steps o … o + horizon − 1. What a window gives
out of the values (`history`) ends at its origin: the future cannot leak into a forecast, whatever the model does.
Columns whose future is known, and the calendar, reach over the horizon.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from gradatim.data.forecast_series import Panel
from gradatim.data.forecast_times import Frequency
from gradatim.errors import DataError

TEST_SHARE, DEVELOPMENT_SHARE = 0.2, 0.25  # of a series' steps at most, and at most so many horizons:
TEST_HORIZONS, DEVELOPMENT_HORIZONS = 3, 4
TEST_ORIGINS, DEVELOPMENT_ORIGINS = 6, 8  # of one series
MOST_WINDOWS = 2_000  # of a part, over all series
HARMONICS = 3
MOST_POSITIONS = 5_000_000


@dataclass(frozen=True, slots=True)
class Windows:
    """Pairs of a series and an origin in it: series, origins int64 (W,)."""

    series: np.ndarray
    origins: np.ndarray

    def __len__(self) -> int:
        return len(self.series)

    def take(self, places: np.ndarray) -> "Windows":
        """Some of the windows."""
        return Windows(self.series[places], self.origins[places])


@dataclass(frozen=True, slots=True)
class Rolling:
    """The parts: training windows forecast steps before `cuts` (S,), development windows steps before `seconds` (S,),
    test windows the last ones. notes: how it was done, in sentences.
    """

    cuts: np.ndarray
    seconds: np.ndarray
    development: Windows
    test: Windows
    notes: tuple[str, ...]


def plan_origins(panel: Panel, horizon: int) -> Rolling:
    """Cut every series at its own end: the last origins test, those before them choose, the rest trains.

    The test part is a fifth of a series, one horizon at least and three at most; the development part a quarter and
    four. A series that is too short for all three only trains, or trains and chooses.
    Errors: DataError where no series is long enough to choose and to test.
    """
    lengths = panel.lengths
    cuts, seconds = lengths.copy(), lengths.copy()
    test: list[tuple[int, int]] = []
    development: list[tuple[int, int]] = []
    long = np.flatnonzero(lengths >= 3 * horizon + 4)
    if not len(long):
        most = int(lengths.max(initial=0))
        raise DataError(f"expected a series of at least {3 * horizon + 4} values to fit, choose and test a horizon of "
                        f"{horizon}, the longest has {most}; "
                        + ("give more values" if horizon == 1 else "pass a smaller --option horizon=N"))
    per_test = origins_each(len(long), TEST_ORIGINS)
    per_development = origins_each(len(long), DEVELOPMENT_ORIGINS)
    for series in long.tolist():
        length = int(lengths[series])
        span = int(max(horizon, min(TEST_SHARE * length, TEST_HORIZONS * horizon)))
        found = spaced(length - span, length - horizon, per_test)
        seconds[series] = found[0]
        test += [(series, origin) for origin in found]
        left = int(seconds[series])
        span = int(max(horizon, min(DEVELOPMENT_SHARE * length, DEVELOPMENT_HORIZONS * horizon)))
        found = spaced(max(left - span, 4), left - horizon, per_development)
        cuts[series] = found[0]
        development += [(series, origin) for origin in found]
    ends = panel.first + lengths
    notes = [
        f"rolling origins: {len(test)} test windows in the last "
        f"{share_text((lengths - seconds)[long] / lengths[long])} of each series, used once, for the score; "
        f"{len(development)} development windows in the {share_text((seconds - cuts)[long] / lengths[long])} before "
        "them, for the choice; models are fitted on what comes before"
    ]
    if len(long) < len(panel):
        notes.append(f"{len(panel) - len(long)} series are shorter than {3 * horizon + 4} values and only train")
    if len(np.unique(ends)) > 1:
        notes.append("the series end at different times and each is cut at its own end, so what happened to all of "
                     "them at once may be known from a longer one")
    return Rolling(cuts, seconds, of_pairs(development), of_pairs(test), tuple(notes))


def origins_each(series: int, most: int) -> int:
    """How many origins a series has, so that all windows stay under MOST_WINDOWS."""
    return max(1, min(most, MOST_WINDOWS // max(series, 1)))


def spaced(first: int, last: int, most: int) -> list[int]:
    """At most so many origins at even distances, the last one always among them, ascending."""
    if last <= first or most == 1:
        return [last]
    step = max(1, -(-(last - first) // (most - 1)))
    return list(range(last, first - 1, -step))[::-1]


def share_text(shares: np.ndarray) -> str:
    """A share in per cent, or its range."""
    low, high = round(100 * float(shares.min())), round(100 * float(shares.max()))
    return f"{low} %" if low == high else f"{low} to {high} %"


def of_pairs(pairs: Sequence[tuple[int, int]]) -> Windows:
    """Windows out of (series, origin) pairs."""
    table = np.array(pairs, dtype=np.int64).reshape(-1, 2)
    return Windows(table[:, 0], table[:, 1])


def training_windows(
    panel: Panel, ends: np.ndarray, horizon: int, *, least: int, most: int, seed_order: np.random.Generator
) -> Windows:
    """Every origin from `least` on whose horizon lies before `ends` (S,); a random choice of `most` of them."""
    pairs = [np.stack([np.full(max(int(end) - horizon - least + 1, 0), series),
                       np.arange(least, int(end) - horizon + 1)], axis=1)
             for series, end in enumerate(ends) if int(end) - horizon >= least]
    if not pairs:
        return Windows(np.zeros(0, np.int64), np.zeros(0, np.int64))
    table = np.concatenate(pairs)
    if len(table) > most:
        table = table[np.sort(seed_order.choice(len(table), most, replace=False))]
    return Windows(table[:, 0].astype(np.int64), table[:, 1].astype(np.int64))


def last_windows(panel: Panel) -> Windows:
    """The origin after the last value of each series."""
    return Windows(np.arange(len(panel), dtype=np.int64), panel.lengths)


class Gatherer:
    """What windows of one panel hold. context: steps before the origin that a model sees; periods: of the calendar.

    The values lie in one long array, each series between margins of NaN, so that a window is one slice.
    """

    def __init__(
        self, panel: Panel, context: int, horizon: int, *, periods: Sequence[float] = (), season: int = 1
    ) -> None:
        self.panel, self.context, self.horizon = panel, context, horizon
        self.periods, self.season = tuple(periods), max(season, 1)
        sizes = panel.lengths + context + horizon
        self.starts = np.concatenate([[0], np.cumsum(sizes)])[:-1] + context
        self.width = panel.known[0].shape[1] if len(panel) else 0
        self.earliest = int(panel.first.min(initial=0)) - context
        span = int((panel.first + panel.lengths).max(initial=0)) + horizon - self.earliest
        # Worked out once for all positions, unless series lie so far apart that this would fill the memory.
        self.calendar = calendar(np.arange(self.earliest, self.earliest + span), self.periods) \
            if span < MOST_POSITIONS else None
        self.flat = np.full(int(sizes.sum()), np.nan)
        self.known = np.full((int(sizes.sum()), self.width), np.nan, dtype=np.float32)
        for start, values, known in zip(self.starts.tolist(), panel.values, panel.known):
            self.flat[start : start + len(values)] = values
            if self.width:
                reach = known[: len(values) + horizon]
                self.known[start : start + len(reach)] = reach

    @property
    def covariates(self) -> int:
        """Numbers a step beside the value: calendar and known columns, each known column with its mask."""
        return calendar(np.zeros(1), self.periods).shape[1] + 2 * self.width

    def _at(self, windows: Windows, first: int, size: int) -> np.ndarray:
        return (self.starts[windows.series] + windows.origins + first)[:, None] + np.arange(size)[None, :]

    def history(self, windows: Windows) -> tuple[np.ndarray, np.ndarray]:
        """The last `context` values before each origin, float64 (W, L), and which are known, bool (W, L).

        A missing value is filled with the one a season before, else the one before it, else the next known one;
        nothing known: 0.
        """
        values = self.flat[self._at(windows, -self.context, self.context)]
        seen = np.isfinite(values)
        return fill(values, self.season), seen

    def targets(self, windows: Windows) -> np.ndarray:
        """The values that are to be forecast, float64 (W, H), NaN where missing or not there yet."""
        return self.flat[self._at(windows, 0, self.horizon)]

    def ahead(self, windows: Windows) -> np.ndarray:
        """Covariates of the horizon, float32 (W, H, K)."""
        return self._covariates(windows, 0, self.horizon)

    def behind(self, windows: Windows) -> np.ndarray:
        """Covariates of the context, float32 (W, L, K)."""
        return self._covariates(windows, -self.context, self.context)

    def known_behind(self, windows: Windows) -> np.ndarray:
        """The known columns of the context, float64 (W, L · K), 0 where missing: what explains the lags."""
        if not self.width:
            return np.zeros((len(windows), 0))
        found = self.known[self._at(windows, -self.context, self.context)]
        return np.nan_to_num(found).reshape(len(windows), -1).astype(np.float64)

    def _covariates(self, windows: Windows, first: int, size: int) -> np.ndarray:
        positions = (self.panel.first[windows.series] + windows.origins + first)[:, None] + np.arange(size)
        parts = [calendar(positions, self.periods) if self.calendar is None
                 else self.calendar[positions - self.earliest]]
        if self.width:
            known = self.known[self._at(windows, first, size)]
            parts += [np.nan_to_num(known), np.isfinite(known).astype(np.float32)]
        return np.concatenate(parts, axis=-1)


def fill(values: np.ndarray, season: int = 1) -> np.ndarray:
    """Rows (W, L) without NaN, each filled from its own past, at its start from its next known value.

    >>> fill(np.array([[np.nan, 2.0, np.nan, 4.0]])).tolist()
    [[2.0, 2.0, 2.0, 4.0]]
    """
    if np.isfinite(values).all():
        return values
    values = values.copy()
    for step in range(season, values.shape[1]) if season > 1 else ():
        gap = np.isnan(values[:, step])
        values[gap, step] = values[gap, step - season]
    last = np.where(np.isfinite(values), np.arange(values.shape[1]), -1)
    last = np.maximum.accumulate(last, axis=1)
    first = np.argmax(np.isfinite(values), axis=1)
    place = np.where(last < 0, first[:, None], last)
    return np.nan_to_num(np.take_along_axis(values, place, axis=1), nan=0.0)


def calendar(positions: np.ndarray, periods: Sequence[float]) -> np.ndarray:
    """Sines and cosines of grid positions (…,), three harmonics a period at most: float32 (…, K)."""
    parts = []
    for period in periods:
        for harmonic in range(1, min(HARMONICS, int(period // 2)) + 1):
            angle = 2 * np.pi * harmonic * positions / period
            parts += [np.sin(angle), np.cos(angle)]
    if not parts:
        return np.zeros((*np.shape(positions), 0), dtype=np.float32)
    return np.stack(parts, axis=-1).astype(np.float32)


def calendar_periods(frequency: Frequency, season: int, length: int) -> tuple[float, ...]:
    """Periods that the calendar features have: the season and the usual ones of which `length` steps hold two."""
    usual = {365: 365.2425, 52: 52.1775}
    found = [float(m) for m in dict.fromkeys((season, *frequency.seasons())) if m > 1 and length >= 2 * m]
    return tuple(usual.get(int(m), m) if frequency.unit == "second" else m for m in found)


def naive_scales(panel: Panel, ends: np.ndarray, season: int) -> np.ndarray:
    """Mean absolute difference over a season before `ends` (S,): the unit of the scaled errors, all above 0, (S,).

    Source: Hyndman and Koehler 2006 (MASE). Where no difference is known or all are 0: over one step, then the mean
    absolute value, then 1.
    """
    found = np.ones(len(panel))
    for place, (values, end) in enumerate(zip(panel.values, ends)):
        part = values[: int(end)]
        for differences in (part[season:] - part[: max(len(part) - season, 0)], np.diff(part), part):
            known = np.abs(differences[np.isfinite(differences)])
            if len(known) and known.mean() > 0:
                found[place] = known.mean()
                break
    return found
