"""How good forecasts are: scaled errors, pinball loss, coverage, over windows of (series, origin); and calibration.

A window is one horizon of one series. Truth is (W, H) with NaN where nothing is known, forecasts are quantiles
(W, H, Q) at ascending levels with the median among them, scales (W,) are the mean absolute seasonal differences before
the first development origin, so that 1 is the error of the seasonal naive forecast there.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from gradatim.errors import DataError
from gradatim.evaluate.intervals import bootstrap_means

FORECASTING: dict[str, tuple[str, bool]] = {  # name → title, in per cent
    "mase": ("mean absolute scaled error", False),
    "pinball": ("scaled pinball loss, mean over the quantiles", False),
    "smape": ("symmetric mean absolute percentage error", True),
    "rmsse": ("root mean squared scaled error", False),
    "root_mean_squared_error": ("root mean squared error, in the series' unit", False),
    "coverage": ("share of values in the outermost interval", True),
}
FEW_SERIES = 8  # below, windows and not series are resampled
PRIOR_WINDOWS = 12.0  # windows that the uncalibrated spread counts for


def median_place(levels: Sequence[float]) -> int:
    """Place of the median among the levels."""
    return int(np.argmin(np.abs(np.asarray(levels) - 0.5)))


def pinball(truth: np.ndarray, quantiles: np.ndarray, levels: Sequence[float]) -> np.ndarray:
    """Pinball loss (W, H, Q): τ (y − q) where the truth is above, (1 − τ) (q − y) where it is below.

    Source: Koenker and Bassett 1978. Twice its mean over evenly spread levels tends to the CRPS (Gneiting and Raftery
    2007).

    >>> pinball(np.array([[3.0]]), np.array([[[1.0, 4.0]]]), [0.5, 0.9]).round(3).tolist()
    [[[1.0, 0.1]]]
    """
    error = truth[..., None] - quantiles
    level = np.asarray(levels)
    return np.maximum(level * error, (level - 1) * error)


def window_losses(
    truth: np.ndarray, quantiles: np.ndarray, levels: Sequence[float], scales: np.ndarray
) -> dict[str, np.ndarray]:
    """Each metric of each window, (W,), NaN for a window without truth; the squared ones before the root."""
    point = quantiles[..., median_place(levels)]
    error = np.abs(truth - point)
    size = np.abs(truth) + np.abs(point)
    with np.errstate(invalid="ignore", divide="ignore"):
        relative = np.where(size > 0, 2 * error / size, np.where(np.isfinite(truth), 0.0, np.nan))
    inside = np.where(np.isfinite(truth), (truth >= quantiles[..., 0]) & (truth <= quantiles[..., -1]), np.nan)
    return {
        "mase": _mean(error) / scales,
        "pinball": _mean(pinball(truth, quantiles, levels).mean(axis=-1)) / scales,
        "smape": _mean(relative),
        "rmsse": _mean((error / scales[:, None]) ** 2),
        "root_mean_squared_error": _mean(error**2),
        "coverage": _mean(inside),
    }


def _mean(values: np.ndarray) -> np.ndarray:
    """Mean over the steps that are known, (W,)."""
    count = np.isfinite(values).sum(axis=1)
    total = np.nansum(values, axis=1)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def score_forecasts(
    truth: np.ndarray, quantiles: np.ndarray, levels: Sequence[float], scales: np.ndarray, series: np.ndarray,
    *, seed: int = 0,
) -> dict[str, Any]:
    """{"metrics": {name: {"value", "low", "high"}}, "rows", "notes"}; series (W,): which series a window is of.

    Intervals: percentile bootstrap over the series, all windows of one kept together; with fewer than 8 series over
    the windows, which overlap, so that the interval is rather too narrow (a note says so).
    Errors: DataError where no value to compare with is known.
    """
    known = np.isfinite(truth).any(axis=1)
    if not known.any():
        raise DataError("expected known values to compare the forecasts with, found none")
    losses = window_losses(truth[known], quantiles[known], levels, scales[known])
    kinds = np.unique(series[known], return_inverse=True)[1]
    few = int(kinds.max()) + 1 < FEW_SERIES
    units = np.arange(len(kinds)) if few else kinds
    notes = [f"{int(known.sum())} windows of {int(kinds.max()) + 1} series; the intervals resample "
             + ("the windows, which overlap in time: they are rather too narrow" if few else "whole series")]
    metrics = {}
    for name, values in losses.items():
        sums = np.bincount(units, weights=values)
        counts = np.bincount(units).astype(np.float64)
        root = name in ("rmsse", "root_mean_squared_error")

        def statistic(means: np.ndarray, root: bool = root) -> np.ndarray:
            ratio = means[:, 0] / means[:, 1]
            return np.sqrt(ratio) if root else ratio

        value = float(statistic(np.array([[sums.sum(), counts.sum()]]))[0])
        low, high = bootstrap_means(np.stack([sums, counts], axis=1), statistic, seed=seed) if len(sums) > 1 \
            else (None, None)
        metrics[name] = {"value": value, "low": low, "high": high}
    return {"task": "forecasting", "rows": int(known.sum()), "metrics": metrics, "notes": notes}


def spread_factors(
    truth: np.ndarray, quantiles: np.ndarray, levels: Sequence[float]
) -> np.ndarray:
    """Factor (Q,) on the distance of each quantile from the median, so that as many values lie below as should.

    Split conformal prediction (Vovk et al. 2005; as scaled scores in Romano et al. 2019): the factor of a level is the
    quantile, at that level with its correction for few windows, of (y − median) / (q − median). It is drawn towards 1
    as if 12 windows had been right, because the windows of one series depend on each other.
    """
    middle = median_place(levels)
    median = quantiles[..., middle]
    found = np.ones(len(levels))
    count = np.isfinite(truth).any(axis=1).sum()
    for place, level in enumerate(levels):
        if place == middle or not count:
            continue
        distance = quantiles[..., place] - median
        usable = np.isfinite(truth) & (np.abs(distance) > 0)
        if not usable.any():
            continue
        ratios = (truth - median)[usable] / distance[usable]
        share = level if level > 0.5 else 1 - level
        share = min(share * (1 + 1 / len(ratios)), 1.0)
        measured = float(np.clip(np.quantile(ratios, share), 0.1, 10.0))
        found[place] = np.exp(np.log(measured) * count / (count + PRIOR_WINDOWS))
    return found


def spread(quantiles: np.ndarray, factors: np.ndarray, levels: Sequence[float]) -> np.ndarray:
    """The quantiles at their distance from the median times the factors, in ascending order."""
    median = quantiles[..., median_place(levels)][..., None]
    return np.sort(median + (quantiles - median) * factors, axis=-1)


def coverage_table(truth: np.ndarray, quantiles: np.ndarray, levels: Sequence[float]) -> list[tuple[float, float]]:
    """Each level and the share of the known values that lie at or below its quantile."""
    known = np.isfinite(truth)
    return [(float(level), float((truth <= quantiles[..., place])[known].mean())) for place, level in enumerate(levels)]


def by_step(values: Callable[[np.ndarray, np.ndarray], dict[str, np.ndarray]], truth: np.ndarray,
            quantiles: np.ndarray) -> list[dict[str, float]]:
    """Means of the window losses of each single step of the horizon."""
    found = []
    for step in range(truth.shape[1]):
        losses = values(truth[:, step : step + 1], quantiles[:, step : step + 1])
        found.append({name: float(np.nanmean(part)) if np.isfinite(part).any() else float("nan")
                      for name, part in losses.items()})
    return found
