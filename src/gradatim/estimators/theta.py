"""The Theta method: a line through the series and a smoothed line of twice its curvature, averaged.

Assimakopoulos and Nikolopoulos (2000) won the M3 competition with it; Hyndman and Billah (2003) showed that it is
exponential smoothing with half the slope of the line as drift. The optimised method (Fiorucci et al. 2016) estimates
the weight of the line, 1 − 1/θ, in place of ½. With A and B the intercept and slope of the least-squares line:

    m_t = l_{t−1} + (1 − 1/θ) ((1 − α)^{t−1} A + (1 − (1 − α)^t) / α · B)
    l_t = α y_t + (1 − α) l_{t−1},    m_t the forecast of y_t from the steps before it

A season that passes the test of autocorrelation is taken out before by classical decomposition and put back after.
"""

from dataclasses import dataclass

import numba
import numpy as np
from scipy.special import ndtri

from gradatim.estimators.seasonality import Decomposition, decompose, is_seasonal
from gradatim.estimators.simplex_search import simplex_search

MOST_STEPS = 5_000


@numba.njit(cache=True, nogil=True)
def theta_path(
    values: np.ndarray, alpha: float, theta: float, level: float, intercept: float, slope: float, beyond: int
) -> tuple[float, np.ndarray]:
    """Sum of squared one-step errors from the third step on, and the means of the `beyond` steps after the last.

    values (T,) with NaN where missing: such a step counts as it was forecast.
    """
    total = 0.0
    weight = 1.0 - 1.0 / theta
    ahead = np.zeros(beyond)
    power = 1.0  # (1 − α)^{t−1}
    for t in range(len(values) + beyond):
        mean = level + weight * (power * intercept + (1.0 - power * (1.0 - alpha)) / alpha * slope)
        value = mean
        if t >= len(values):
            ahead[t - len(values)] = mean
        elif not np.isnan(values[t]):
            value = values[t]
            if t >= 2:
                total += (value - mean) ** 2
        level = alpha * value + (1.0 - alpha) * level
        power *= 1.0 - alpha
    return total, ahead


@dataclass(frozen=True, slots=True)
class Theta:
    """A fitted method. adjusted: the values without season; line: intercept and slope of the least-squares line."""

    alpha: float
    theta: float
    level: float
    line: tuple[float, float]
    deviation: float
    adjusted: np.ndarray
    season: Decomposition | None

    def forecast(self, horizon: int) -> np.ndarray:
        """Means of the next steps, (horizon,)."""
        _, ahead = theta_path(self.adjusted, self.alpha, self.theta, self.level, *self.line, horizon)
        return self._whole(ahead)

    def quantiles(self, horizon: int, levels: np.ndarray) -> np.ndarray:
        """Quantiles (horizon, Q) of normal errors with the variance σ² (1 + (h − 1) α²) of the level."""
        _, ahead = theta_path(self.adjusted, self.alpha, self.theta, self.level, *self.line, horizon)
        spread = self.deviation * np.sqrt(1 + np.arange(horizon) * self.alpha**2)
        found = ahead[:, None] + spread[:, None] * ndtri(levels)[None, :]
        return np.stack([self._whole(found[:, place]) for place in range(len(levels))], axis=1)

    def _whole(self, values: np.ndarray) -> np.ndarray:
        if self.season is None:
            return values
        return self.season.seasonal(len(self.adjusted) + np.arange(len(values)), values)


def fit_theta(values: np.ndarray, season: int = 1, *, theta: float | None = None) -> Theta | None:
    """Fit to values (T,), NaN where missing; None for fewer than 4 known ones.

    theta: 2 is the method of the M3 competition; None estimates it, from 1 (no line: plain exponential smoothing) up.
    Source: Fiorucci, Pellegrini, Louzada, Petropoulos and Koehler, Models for optimising the theta method, 2016 (the
    optimised, not dynamic, method).

    >>> fit_theta(np.arange(12.0), theta=2.0).forecast(2).round(1).tolist()
    [11.5, 12.0]
    """
    values = np.asarray(values, dtype=np.float64)[-MOST_STEPS:]
    known = np.flatnonzero(np.isfinite(values))
    if len(known) < 4:
        return None
    values = values[known[0] :]
    parts = decompose(values, season) if is_seasonal(values, season) else None
    adjusted = np.ascontiguousarray(values if parts is None else parts.adjusted)
    seen = np.isfinite(adjusted)
    slope, intercept = np.polyfit(np.arange(1, len(adjusted) + 1)[seen], adjusted[seen], 1)
    scale = float(np.std(adjusted[seen])) or 1.0
    start = float(adjusted[seen][0])

    def unpack(point: list[float]) -> tuple[float, float, float]:
        return point[0], 1 / point[2] if theta is None else theta, start + scale * point[1]

    def objective(point: list[float]) -> float:
        return theta_path(adjusted, *unpack(point), intercept, slope, 0)[0] / scale**2

    # 1/θ from 1 (no line) down to 0.02 (the whole slope): even steps of the weight of the line.
    low, high = [0.02, -2.0, 0.02], [0.99, 2.0, 1.0]
    size = 3 if theta is None else 2
    weight = 1 - 1 / (theta or 2.0)
    starts = [[alpha, -weight * intercept / scale if abs(weight * intercept) < 2 * scale else 0.0, 0.5][:size]
              for alpha in (0.2, 0.6)]
    found = [simplex_search(objective, point, low[:size], high[:size], evaluations=150) for point in starts]
    point, least = min(found, key=lambda pair: pair[1])
    alpha, chosen, level = unpack(point)
    count = max(int(seen[2:].sum()) - size, 1)
    return Theta(alpha, chosen, level, (float(intercept), float(slope)), float(np.sqrt(least / count)) * scale,
                 adjusted, parts)
