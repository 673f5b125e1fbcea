"""The forecasts that any model must beat, with the intervals of normal errors: naive, seasonal naive, drift, mean.

Source: Hyndman and Athanasopoulos, Forecasting: Principles and Practice, 3rd edition, sections 5.2 and 5.5.
"""

import numpy as np
from scipy.special import ndtri

NAIVE = ("naive", "seasonal_naive", "drift", "moving_mean")


def naive_forecast(
    method: str, values: np.ndarray, season: int, horizon: int
) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation of the next steps, (horizon,) each, from values (T,) with NaN where missing.

    method: one of NAIVE. "naive": the last known value; "seasonal_naive": the last known one of the same phase;
    "drift": the last value and the mean change; "moving_mean": the mean of the last season, of 12 steps where there is
    none. Nothing known: 0 and 1. Errors: ValueError for another method.

    >>> naive_forecast("drift", np.array([1.0, 2.0, 3.0]), 1, 2)[0].tolist()
    [4.0, 5.0]
    >>> naive_forecast("seasonal_naive", np.array([1.0, 2.0, 3.0, np.nan]), 2, 3)[0].tolist()
    [3.0, 2.0, 3.0]
    """
    if method not in NAIVE:
        raise ValueError(f"expected a method among {', '.join(NAIVE)}, received '{method}'")
    ahead = np.arange(1, horizon + 1)
    known = np.flatnonzero(np.isfinite(values))
    if not len(known):
        return np.zeros(horizon), np.ones(horizon)
    last, place = float(values[known[-1]]), int(known[-1])
    ahead_of_last = ahead + len(values) - 1 - place  # missing values at the end are forecast too
    if method == "naive":
        return np.full(horizon, last), _size(np.diff(values[known]), last) * np.sqrt(ahead_of_last)
    if method == "seasonal_naive":
        found = np.full(season, last)
        for step in range(max(0, len(values) - 8 * season), len(values)):
            if np.isfinite(values[step]):
                found[step % season] = values[step]
        steps = len(values) + np.arange(horizon)
        changes = values[season:] - values[: max(len(values) - season, 0)]
        seasons = np.ceil(ahead / season)
        return found[steps % season], _size(changes[np.isfinite(changes)], last) * np.sqrt(seasons)
    if method == "drift":
        span = place - int(known[0])
        slope = (last - float(values[known[0]])) / span if span else 0.0
        changes = np.diff(values[known]) - slope * np.diff(known)
        growth = np.sqrt(ahead_of_last * (1 + ahead_of_last / max(span, 1)))
        return last + slope * ahead_of_last, _size(changes, last) * growth
    window = values[-max(season, 12) :]
    window = window[np.isfinite(window)] if np.isfinite(window).any() else values[known[-1:]]
    deviation = _size(window - window.mean(), last) * np.sqrt(1 + 1 / len(window))
    return np.full(horizon, window.mean()), np.full(horizon, deviation)


def naive_quantiles(method: str, values: np.ndarray, season: int, horizon: int, levels: np.ndarray) -> np.ndarray:
    """Quantiles (horizon, Q) of normal errors."""
    mean, deviation = naive_forecast(method, values, season, horizon)
    return mean[:, None] + deviation[:, None] * ndtri(levels)[None, :]


def _size(errors: np.ndarray, last: float) -> float:
    """Root mean square of the errors; where none is known, a tenth of the last value."""
    found = float(np.sqrt(np.mean(errors**2))) if len(errors) else 0.0
    return found or 0.1 * abs(last) or 1e-6
