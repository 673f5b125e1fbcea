"""The members that forecast without a network: naive ones, exponential smoothing, Theta, ridge and trees on lags.

The local ones are fitted to each series when they answer, so that a new series is forecast like any other. Ridge and
trees learn from all series at once: each window is put at level 0 and scale 1 by its own last season and its own
deviation, and each step of the horizon is answered directly.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from scipy.special import ndtri

from gradatim.data.forecast_series import Panel
from gradatim.data.forecast_windows import Gatherer, Windows, last_windows
from gradatim.errors import ArtifactError
from gradatim.estimators.exponential_smoothing import fit_exponential_smoothing
from gradatim.estimators.linear import Ridge
from gradatim.estimators.naive_forecasts import NAIVE, naive_quantiles
from gradatim.estimators.state import estimator_from_state, estimator_to_state
from gradatim.estimators.theta import fit_theta
from gradatim.estimators.trees import BoostedTreesRegressor
from gradatim.models.outline import finite
from gradatim.tasks.heads import _under
from gradatim.tasks.source import Source

LOCAL = (*NAIVE, "exponential_smoothing", "theta")
TITLES = {"naive": "naive", "seasonal_naive": "seasonal naive", "drift": "drift", "moving_mean": "moving mean",
          "exponential_smoothing": "exponential smoothing", "theta": "Theta"}
HELD_SHARE = 0.15  # of the newest windows tell how far off ridge and trees are
TREE_LAGS = 24
MOST_TREE_ROWS, MOST_RIDGE_ROWS = 60_000, 20_000
MOST_TREES = 400
TREES = {"learning_rate": 0.1, "n_iter_no_change": 20}


class Forecaster(Protocol):
    """What the line needs of a member beside the face of `Member`."""

    def forecast(self, gatherer: Gatherer, windows: Windows) -> np.ndarray:
        """Quantiles (W, H, Q) in the unit of the series."""
        ...


def answer_source(member: Forecaster, task: Any, source: Source) -> np.ndarray:
    """Quantiles (S, H, Q) after the end of each series of a table.

    A table without the column of times, or without series, is answered as one series of which nothing is known.
    """
    blank = task.reader.time not in source.table.frame.columns
    panel = None if blank else task.panel(source)
    if panel is None or not len(panel):
        panel = Panel([""], np.zeros(1, np.int64), [np.full(1, np.nan)], [np.zeros((1, task.reader.width))],
                      [np.full(1, -1)])
    return member.forecast(task.gatherer(panel), last_windows(panel))


@dataclass(frozen=True, slots=True)
class LocalMember:
    """A method of LOCAL, fitted to the values before each origin when it is asked."""

    method: str
    task: Any

    @property
    def columns(self) -> tuple[str, ...]:
        """It looks at no input column: only at times and values."""
        return ()

    def forecast(self, gatherer: Gatherer, windows: Windows) -> np.ndarray:
        """Quantiles (W, H, Q)."""
        levels = np.array(self.task.levels)
        season, horizon = self.task.season, self.task.horizon
        found = np.empty((len(windows), horizon, len(levels)))
        for place, (series, origin) in enumerate(zip(windows.series.tolist(), windows.origins.tolist())):
            found[place] = local_quantiles(self.method, gatherer.panel.values[series][:origin], season, horizon, levels)
        return found

    def answer(self, source: Source) -> np.ndarray:
        """Quantiles (S, H, Q) after the end of each series."""
        return answer_source(self, self.task, source)

    def to_state(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """JSON state; it has no arrays."""
        return {"member": "forecast_local", "method": self.method}, {}

    @classmethod
    def from_state(
        cls, state: Mapping[str, Any], shapes: Mapping[str, tuple[int, ...]], read: Callable[[str], torch.Tensor],
        task: Any,
    ) -> "LocalMember":
        """Rebuild from state."""
        if state["method"] not in LOCAL or shapes:
            raise ArtifactError(f"expected a method among {', '.join(LOCAL)} without arrays, found others")
        return cls(str(state["method"]), task)


def local_quantiles(method: str, values: np.ndarray, season: int, horizon: int, levels: np.ndarray) -> np.ndarray:
    """Quantiles (H, Q) by a method of LOCAL; the seasonal naive where it cannot be fitted or leaves all bounds."""
    found = None
    if method == "exponential_smoothing":
        model = fit_exponential_smoothing(values, season)
        found = None if model is None else model.quantiles(horizon, levels)
    elif method == "theta":
        fitted = fit_theta(values, season)
        found = None if fitted is None else fitted.quantiles(horizon, levels)
    else:
        return naive_quantiles(method, values, season, horizon, levels)
    if found is not None and np.isfinite(found).all():
        known = values[np.isfinite(values)]
        reach = 20 * (np.ptp(known) + np.abs(known).max()) + 1e-9
        if np.abs(found).max() < reach:
            return found
    return naive_quantiles("seasonal_naive", values, season, horizon, levels)


def normalised(
    history: np.ndarray, seen: np.ndarray, season: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Windows (W, L) at level 0 and scale 1, the levels (W,) and the scales (W,).

    Level: mean of the known values of the last season, of the whole window where none is known; scale: mean distance
    to it (which single peaks move less than a standard deviation), 1 where that is 0.
    """
    recent = seen[:, -max(season, 4) :]
    tail = history[:, -max(season, 4) :]
    none = ~recent.any(axis=1)
    count = recent.sum(axis=1)
    level = np.where(none, history.mean(axis=1), (tail * recent).sum(axis=1) / np.maximum(count, 1))
    centred = history - level[:, None]
    number = np.maximum(seen.sum(axis=1), 1)
    scale = 1.25 * (np.abs(centred) * seen).sum(axis=1) / number
    scale = np.where(scale > 1e-9 * np.abs(level), scale, np.maximum(np.abs(level) * 0.1, 0) + (level == 0))
    return centred / scale[:, None], level, scale


def newest_apart(windows: Windows, ends: np.ndarray, horizon: int) -> tuple[np.ndarray, np.ndarray]:
    """Places of older windows and of the newest ones, which forecast no step that the older ones are fitted to."""
    distance = ends[windows.series] - windows.origins
    border = max(np.quantile(distance, HELD_SHARE), horizon)
    return np.flatnonzero(distance >= border + horizon), np.flatnonzero(distance <= border)


@dataclass(frozen=True, slots=True)
class LinearMember:
    """Ridge regression on lags and covariates, one for each step: coefficients (H, D), intercepts (H,), spread (H,)."""

    coefficients: np.ndarray
    intercepts: np.ndarray
    spread: np.ndarray
    task: Any

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns of known future."""
        return self.task.known_names

    @classmethod
    def fit(cls, gatherer: Gatherer, windows: Windows, ends: np.ndarray, task: Any) -> "LinearMember":
        """Fit to windows whose horizons lie before `ends` (S,); the strength of each step by leave-one-out."""
        windows = windows.take(np.sort(task.draw("ridge", len(windows), MOST_RIDGE_ROWS)))
        lags, level, scale, ahead = _linear_inputs(gatherer, windows, task)
        targets = (gatherer.targets(windows) - level[:, None]) / scale[:, None]
        older, newest = newest_apart(windows, ends, task.horizon)
        width = lags.shape[1] + ahead.shape[2]
        coefficients, intercepts = np.zeros((task.horizon, width)), np.zeros(task.horizon)
        spread = np.ones(task.horizon)
        apart = len(older) >= max(30, width // 2) and len(newest) >= 15
        for step in range(task.horizon):
            rows = np.isfinite(targets[:, step])
            features, wanted = np.concatenate([lags, ahead[:, step]], axis=1), np.clip(targets[:, step], -30, 30)
            if rows.sum() < 4:
                continue
            model = Ridge(alpha="auto").fit(features[rows], wanted[rows])
            coefficients[step], intercepts[step] = model.coef_, model.intercept_
            if apart:
                early, late = older[rows[older]], newest[rows[newest]]
                if len(early) >= 20 and len(late) >= 10:
                    first = Ridge(alpha=model.alpha_).fit(features[early], wanted[early])
                    spread[step] = np.sqrt(np.mean((first.predict(features[late]) - wanted[late]) ** 2))
                    continue
            spread[step] = np.sqrt(model.leave_one_out_error_.min())
        return cls(coefficients, intercepts, np.maximum(spread, 1e-6), task)

    def forecast(self, gatherer: Gatherer, windows: Windows) -> np.ndarray:
        """Quantiles (W, H, Q)."""
        lags, level, scale, ahead = _linear_inputs(gatherer, windows, self.task)
        count = lags.shape[1]
        mean = lags @ self.coefficients[:, :count].T + self.intercepts
        mean += np.einsum("whk,hk->wh", ahead, self.coefficients[:, count:])
        found = mean[..., None] + self.spread[None, :, None] * ndtri(np.array(self.task.levels))
        return level[:, None, None] + scale[:, None, None] * found

    def answer(self, source: Source) -> np.ndarray:
        """Quantiles (S, H, Q) after the end of each series."""
        return answer_source(self, self.task, source)

    def to_state(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """JSON state and arrays."""
        arrays = {"coefficients": self.coefficients, "intercepts": self.intercepts, "spread": self.spread}
        return {"member": "forecast_linear"}, arrays

    @classmethod
    def from_state(
        cls, state: Mapping[str, Any], shapes: Mapping[str, tuple[int, ...]], read: Callable[[str], torch.Tensor],
        task: Any,
    ) -> "LinearMember":
        """Rebuild from state; the shapes must be those of the task."""
        width = task.context * (1 + task.reader.width) + task.covariates
        wanted = {"coefficients": (task.horizon, width), "intercepts": (task.horizon,), "spread": (task.horizon,)}
        if dict(shapes) != wanted:
            raise ArtifactError(f"expected the arrays {wanted} of a ridge forecast, found {dict(shapes)!r:.200}")
        arrays = [finite(name, read(name)).double().numpy() for name in wanted]
        return cls(arrays[0], arrays[1], arrays[2], task)


def _linear_inputs(gatherer: Gatherer, windows: Windows, task: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray,
                                                                             np.ndarray]:
    history, seen = gatherer.history(windows)
    lags, level, scale = normalised(history, seen, task.season)
    lags = np.concatenate([np.clip(lags, -30, 30), gatherer.known_behind(windows)], axis=1)
    return lags, level, scale, gatherer.ahead(windows).astype(np.float64)


@dataclass(frozen=True, slots=True)
class TreesMember:
    """Boosted trees on lags, the phase's earlier values, covariates and the step; spread (H,) of its errors."""

    estimator: Any
    spread: np.ndarray
    task: Any

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns of known future."""
        return self.task.known_names

    @classmethod
    def fit(
        cls, gatherer: Gatherer, windows: Windows, ends: np.ndarray, task: Any, *, most_trees: int = MOST_TREES
    ) -> "TreesMember":
        """Fit to windows whose horizons lie before `ends` (S,); the newest ones, held out, tell the spread."""
        windows = windows.take(np.sort(task.draw("trees", len(windows), max(MOST_TREE_ROWS // task.horizon, 50))))
        older, newest = newest_apart(windows, ends, task.horizon)
        if len(older) < 30 or not len(newest):
            older = newest = np.arange(len(windows))
        matrix, level, scale = tree_matrix(gatherer, windows, task)
        targets = np.clip((gatherer.targets(windows) - level[:, None]) / scale[:, None], -30, 30)

        def rows_of(places: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
            index = (places[:, None] * task.horizon + np.arange(task.horizon)).ravel()
            wanted = targets.ravel()[index]
            known = np.isfinite(wanted)
            return matrix[index[known]], wanted[known], index[known] % task.horizon

        small = len(windows) * task.horizon < 5000
        few: dict[str, Any] = {**TREES, "max_iter": most_trees,
                               **({"min_samples_leaf": 10, "max_leaf_nodes": 15} if small else {})}
        features, wanted, _ = rows_of(older)
        first = BoostedTreesRegressor(random_state=task.seed, **few).fit(features, wanted)
        features, wanted, steps = rows_of(newest)
        errors = (first.predict(features) - wanted) ** 2
        counts = np.bincount(steps, minlength=task.horizon)
        sums = np.bincount(steps, weights=errors, minlength=task.horizon)
        spread = np.sqrt((sums + errors.mean()) / (counts + 1))
        features, wanted, _ = rows_of(np.arange(len(windows)))
        few |= {"early_stopping": False, "max_iter": max(int(first.n_iter_), 5)}
        final = BoostedTreesRegressor(random_state=task.seed, **few).fit(features, wanted)
        return cls(final, np.maximum(spread, 1e-6), task)

    def forecast(self, gatherer: Gatherer, windows: Windows) -> np.ndarray:
        """Quantiles (W, H, Q)."""
        matrix, level, scale = tree_matrix(gatherer, windows, self.task)
        mean = self.estimator.predict(matrix).reshape(len(windows), self.task.horizon)
        found = mean[..., None] + self.spread[None, :, None] * ndtri(np.array(self.task.levels))
        return level[:, None, None] + scale[:, None, None] * found

    def answer(self, source: Source) -> np.ndarray:
        """Quantiles (S, H, Q) after the end of each series."""
        return answer_source(self, self.task, source)

    def to_state(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """JSON state and arrays."""
        state, arrays = estimator_to_state(self.estimator)
        return ({"member": "forecast_trees", "estimator": state},
                {"spread": self.spread, **{f"estimator/{name}": array for name, array in arrays.items()}})

    @classmethod
    def from_state(
        cls, state: Mapping[str, Any], shapes: Mapping[str, tuple[int, ...]], read: Callable[[str], torch.Tensor],
        task: Any,
    ) -> "TreesMember":
        """Rebuild from state; the estimator checks that its arrays make trees."""
        if shapes.get("spread") != (task.horizon,):
            raise ArtifactError(f"expected a spread for each of {task.horizon} steps, found {shapes.get('spread')}")
        estimator = estimator_from_state(state["estimator"], _under("estimator/", shapes, read))
        if not isinstance(estimator, BoostedTreesRegressor):
            raise ArtifactError(f"expected boosted trees, found {type(estimator).__name__}")
        return cls(estimator, finite("spread", read("spread")).double().numpy(), task)


def tree_matrix(gatherer: Gatherer, windows: Windows, task: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rows of every step of every window, float64 (W·H, D), levels (W,), scales (W,); NaN where nothing is known.

    Columns: the newest lags, the values one and two seasons before the step, the means of the last half and of the
    whole window, the step, its covariates.
    """
    history, seen = gatherer.history(windows)
    filled, level, scale = normalised(history, seen, task.season)
    lags = np.where(seen, filled, np.nan)
    horizon, context = task.horizon, lags.shape[1]
    ahead = np.arange(horizon)
    parts = [np.repeat(lags[:, None, -min(TREE_LAGS, context) :], horizon, axis=1)]
    for back in (1, 2):
        season = max(task.season, 1)
        ago = season * (back + ahead // season) - ahead  # steps before the origin, ≥ 1
        place = np.where(ago <= context, context - ago, 0)
        parts.append(np.where(ago <= context, lags[:, place], np.nan)[..., None])
    half = filled[:, context // 2 :].mean(axis=1)
    parts.append(np.broadcast_to(np.stack([half, filled.mean(axis=1)], axis=1)[:, None], (len(windows), horizon, 2)))
    parts.append(np.broadcast_to(ahead[None, :, None].astype(np.float64), (len(windows), horizon, 1)))
    parts.append(gatherer.ahead(windows).astype(np.float64))
    matrix = np.concatenate(parts, axis=2)
    return matrix.reshape(len(windows) * horizon, matrix.shape[2]), level, scale
