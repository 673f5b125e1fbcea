"""Forecasting: the next steps of one or many series, as quantiles; the task that a run keeps."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import polars as pl
from torch import nn

from gradatim.data.batch import Batch
from gradatim.data.forecast_series import Panel, SeriesReader
from gradatim.data.forecast_windows import (
    HARMONICS,
    TEST_ORIGINS,
    Gatherer,
    Windows,
    last_windows,
    naive_scales,
    of_pairs,
    origins_each,
    spaced,
)
from gradatim.data.numbers import parse_numbers
from gradatim.errors import ArtifactError, DataError, GradatimError
from gradatim.evaluate.forecasts import pinball, score_forecasts, spread
from gradatim.evaluate.predictions import Predictions
from gradatim.problems import Problems
from gradatim.randomness import generator
from gradatim.tasks.members import Ensemble
from gradatim.tasks.source import Source

LONGEST_HORIZON, LONGEST_CONTEXT, MOST_LEVELS, MOST_PERIODS = 10_000, 2_000, 99, 12
FEW_VALUES = 4


@dataclass(frozen=True)
class Forecasting:
    """What every member knows. levels: ascending quantiles with the median; asked: those that are written.

    context: steps before the origin that windows hold; periods: of the calendar's sines; factors: of the spread of each
    level, from the development windows.
    """

    reader: SeriesReader
    horizon: int
    levels: tuple[float, ...]
    asked: tuple[float, ...]
    season: int
    context: int
    periods: tuple[float, ...]
    factors: tuple[float, ...]
    seed: int = 0
    metric: str = "mase"
    name: str = field(default="forecasting", init=False)

    @property
    def target(self) -> str:
        """The column of the values."""
        return self.reader.target

    @property
    def classes(self) -> list[Any]:
        """None for numbers: an empty list."""
        return []

    @property
    def known_names(self) -> tuple[str, ...]:
        """The columns of known future."""
        return tuple(column.name for column in self.reader.known)

    @property
    def covariates(self) -> int:
        """Numbers a step beside the value, as `Gatherer.covariates`."""
        return sum(2 * min(HARMONICS, int(period // 2)) for period in self.periods) + 2 * self.reader.width

    @property
    def loss_title(self) -> str:
        """What `row_losses` gives."""
        return "scaled pinball loss"

    def own_name(self, name: str) -> str:
        """A column of the forecasts, "step" or "origin"; "step of the forecast" where the table has a "step"."""
        taken = (self.target, self.reader.time, self.reader.id)
        return f"{name} of the forecast" if name in taken else name

    def panel(self, source: Source) -> Panel:
        """The series of a table, each up to its last known value."""
        return self.reader.read(source.table, source.problems)

    def gatherer(self, panel: Panel) -> Gatherer:
        """The windows of a panel."""
        return Gatherer(panel, self.context, self.horizon, periods=self.periods, season=self.season)

    def draw(self, name: str, count: int, most: int) -> np.ndarray:
        """All places of `count`, or a random choice of `most` that follows from the seed and the name."""
        if count <= most:
            return np.arange(count)
        return generator(self.seed, "draw", name).choice(count, most, replace=False)

    def row_losses(self, answer: np.ndarray, labels: np.ndarray) -> np.ndarray:
        """Mean pinball loss of each window: answers (W, H, Q) and truth (W, H), both divided by the window's scale."""
        with np.errstate(invalid="ignore"):
            return np.nanmean(pinball(labels, answer, self.levels).mean(axis=-1), axis=1)

    def labels(self, cells: list[Any]) -> np.ndarray:
        """The values, float64 (N,), NaN where missing or unreadable."""
        column = parse_numbers(pl.Series([None if cell is None else str(cell) for cell in cells], dtype=pl.String))
        return column.values.fill_null(np.nan).to_numpy().astype(np.float64)

    def respond(self, network: nn.Module, batch: Batch) -> np.ndarray:
        """Forecasting networks are asked through their members."""
        raise GradatimError("expected a member that forecasts, received a batch of rows")

    def calibrated(self, answer: np.ndarray, temperature: float) -> np.ndarray:
        """Quantiles at the distance from the median that the development windows ask for, in ascending order."""
        return spread(np.asarray(answer), np.array(self.factors), self.levels)

    def score(self, answer: np.ndarray, labels: np.ndarray) -> dict[str, Any]:
        """Every metric of windows (W, H, Q) against (W, H), both divided by their scales."""
        return score_forecasts(labels, answer, self.levels, np.ones(len(labels)), np.arange(len(labels)))

    def predictions(
        self, answer: np.ndarray, rows: Sequence[int] | np.ndarray, *, ids: Mapping[str, Any] | None = None
    ) -> Predictions:
        """Quantiles (S, H, Q) as rows, a line a step: `step` from 1, the median under the target's name."""
        return self._frame(np.asarray(answer), ids or {})

    def _frame(self, answer: np.ndarray, ids: Mapping[str, Any]) -> Predictions:
        count, horizon = answer.shape[:2]
        middle = self.levels.index(0.5)
        columns = {self.target: pl.Series(answer[..., middle].ravel(), nan_to_null=True),
                   self.own_name("step"): pl.Series(np.tile(np.arange(1, horizon + 1), count))}
        for level in self.asked:
            values = answer[..., self.levels.index(level)].ravel()
            columns[f"quantile:{level:g}"] = pl.Series(values, nan_to_null=True)
        return Predictions.of_columns(np.arange(count * horizon), columns, task=self.name, target=self.target, ids=ids)

    def window_predictions(self, panel: Panel, windows: Windows, answer: np.ndarray) -> Predictions:
        """The forecasts of some windows as rows: series, origin (the last time that was known), time, step, value."""
        horizon = self.horizon
        starts = panel.first[windows.series] + windows.origins
        ids: dict[str, Any] = {}
        if self.reader.id is not None:
            ids[self.reader.id] = np.repeat(np.array(panel.names, dtype=object)[windows.series], horizon).tolist()
        origins = np.array(self.reader.write_times(starts - 1), dtype=object)
        ids[self.own_name("origin")] = np.repeat(origins, horizon).tolist()
        ids[self.reader.time] = self.reader.write_times((starts[:, None] + np.arange(horizon)).ravel())
        return self._frame(answer, ids)

    def predict(self, ensemble: Ensemble, source: Source, ids: Mapping[str, Any] | None = None) -> Predictions:
        """The next `horizon` steps of every series in a table, after its last known value.

        Rows after it tell the known columns of the future. A series without any value gets empty forecasts and is
        listed among the problems. Errors: DataError where the table holds no series.
        """
        panel = self.panel(source)
        if not len(panel):
            raise DataError(f"{source.table.source}: expected rows with a time and a series, found none")
        answer = self.calibrated(ensemble_forecast(ensemble, self.gatherer(panel), last_windows(panel)), 1.0)
        lengths = panel.lengths
        for series in np.flatnonzero(lengths == 0).tolist():
            answer[series] = np.nan
        self._note_problems(panel, source.problems)
        starts = panel.first + lengths
        times = self.reader.write_times((starts[:, None] + np.arange(self.horizon)).ravel())
        keys: dict[str, Any] = {self.reader.time: times}
        if self.reader.id is not None:
            keys = {self.reader.id: np.repeat(np.array(panel.names, dtype=object), self.horizon).tolist(), **keys}
        return replace(self._frame(answer, keys), problems=source.problems)

    def _note_problems(self, panel: Panel, problems: Problems) -> None:
        for name, values, known in zip(panel.names, panel.values, panel.known):
            seen = int(np.isfinite(values).sum())
            if not seen:
                problems.add("series-empty", f"'{name}': expected at least one value, found none; no forecast")
            elif seen < FEW_VALUES:
                problems.add("series-short", f"'{name}': the forecast rests on {seen} value{'s' if seen > 1 else ''}")
            if known.shape[1]:
                ahead = known[len(values) : len(values) + self.horizon]
                lacking = self.horizon - int(np.isfinite(ahead).all(axis=1).sum())
                if lacking:
                    problems.add("known-missing", f"'{name}': {', '.join(self.known_names)} not known for {lacking} of "
                                 f"the {self.horizon} steps ahead; they count as average there")

    def evaluate(self, ensemble: Ensemble, source: Source) -> dict[str, Any]:
        """Score forecasts from rolling origins in the newest part of each series of a table.

        The part is three horizons at most; the scale is taken before it. Errors: DataError where every series is
        shorter than the horizon and four values.
        """
        panel = self.panel(source)
        lengths = panel.lengths
        long = np.flatnonzero(lengths >= self.horizon + FEW_VALUES)
        if not len(long):
            raise DataError(f"{source.table.source}: expected a series of at least {self.horizon + FEW_VALUES} values "
                            f"to score {self.horizon} steps ahead, the longest has {int(lengths.max(initial=0))}")
        each = origins_each(len(long), TEST_ORIGINS)
        pairs = [(series, origin) for series in long.tolist()
                 for origin in spaced(max(int(lengths[series]) - 3 * self.horizon, FEW_VALUES),
                                      int(lengths[series]) - self.horizon, each)]
        windows = of_pairs(pairs)
        firsts = lengths.copy()
        np.minimum.at(firsts, windows.series, windows.origins)
        gatherer = self.gatherer(panel)
        answer = self.calibrated(ensemble_forecast(ensemble, gatherer, windows), 1.0)
        scales = naive_scales(panel, firsts, self.season)[windows.series]
        return score_forecasts(gatherer.targets(windows), answer, self.levels, scales, windows.series)

    def to_json(self) -> dict[str, Any]:
        """A JSON object that `from_json` reads back."""
        return {
            "task": self.name, "reader": self.reader.to_json(), "horizon": self.horizon, "levels": list(self.levels),
            "asked": list(self.asked), "season": self.season, "context": self.context, "periods": list(self.periods),
            "factors": list(self.factors), "seed": self.seed, "metric": self.metric,
        }

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> "Forecasting":
        """Read what `to_json` wrote; ArtifactError where sizes are out of bounds or do not belong together."""
        levels, asked, factors, periods = (tuple(map(float, value[name]))
                                           for name in ("levels", "asked", "factors", "periods"))
        horizon, season, context = (int(value[name]) for name in ("horizon", "season", "context"))
        sizes = 0 < horizon <= LONGEST_HORIZON and 0 < context <= LONGEST_CONTEXT and 0 < season <= 1_000_000
        ordered = levels == tuple(sorted(set(levels))) and 0.5 in levels and levels[0] > 0 and levels[-1] < 1
        fitting = len(levels) <= MOST_LEVELS and set(asked) <= set(levels) and len(factors) == len(levels)
        right = all(0 < factor < 1e6 for factor in factors) and all(1 < period < 1e6 for period in periods)
        if not (sizes and ordered and fitting and right and len(periods) <= MOST_PERIODS):
            raise ArtifactError("expected horizon, levels and factors of a forecast that belong together, found others")
        return cls(SeriesReader.from_json(value["reader"]), horizon, levels, asked, season, context, periods, factors,
                   int(value["seed"]), str(value["metric"]))


def ensemble_forecast(ensemble: Ensemble, gatherer: Gatherer, windows: Windows) -> np.ndarray:
    """The weighted average of the members' quantiles at some windows, (W, H, Q), before the spread is mended."""
    used = [(member, weight) for member, weight in zip(ensemble.members, ensemble.weights) if weight > 0]
    total = sum(weight * member.forecast(gatherer, windows) for member, weight in used)  # type: ignore[attr-defined]
    return np.asarray(total) / sum(weight for _, weight in used)
