"""Exponential smoothing with additive level, damped trend and season (Holt 1957, Winters 1960; Hyndman et al. 2008).

    y_t = l_{t−1} + φ b_{t−1} + s_{t−m} + e_t
    l_t = l_{t−1} + φ b_{t−1} + α e_t,    b_t = φ b_{t−1} + β e_t,    s_t = s_{t−m} + γ e_t

Given α, β, γ, φ the innovations e_t are linear in the states before the first step, so these are found exactly, by
least squares, and the search runs over four numbers at most. A missing value has no innovation: the states go on as
forecast. Series above 0 are tried on the logarithmic scale as well, where the season multiplies; models and scales
are compared by the corrected AIC (with the Jacobian of the logarithm).
"""

from dataclasses import dataclass, replace

import numba
import numpy as np
from scipy.special import ndtri

from gradatim.estimators.seasonality import Decomposition, decompose
from gradatim.estimators.simplex_search import simplex_search

MOST_SEASON = 24  # longer seasons are taken out before, as their first states are too many to estimate
MOST_STEPS = 2_000  # the newest steps that are looked at
SMALLEST = 1e-4
EVALUATIONS = 120


@numba.njit(cache=True, nogil=True)
def innovations(
    values: np.ndarray, season: int, trend: bool, alpha: float, beta: float, gamma: float, phi: float,
    first: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """One-step errors (T, C) of C filters that run side by side, and their last states (2 + season, C).

    values (T, C); NaN in column 0 marks a missing step for all. first (2 + season, C): level, slope, and the season
    by phase. Season 1 has none.
    """
    steps, columns = values.shape
    state = first.copy()
    errors = np.zeros((steps, columns))
    for t in range(steps):
        phase = 2 + t % season
        missing = np.isnan(values[t, 0])
        for c in range(columns):
            slope = phi * state[1, c] if trend else 0.0
            ahead = state[0, c] + slope
            error = 0.0
            if not missing:
                error = values[t, c] - ahead - (state[phase, c] if season > 1 else 0.0)
            errors[t, c] = error
            state[0, c] = ahead + alpha * error
            if trend:
                state[1, c] = slope + beta * error
            if season > 1:
                state[phase, c] += gamma * error
    return errors, state


@numba.njit(cache=True, nogil=True)
def concentrated(
    values: np.ndarray, season: int, trend: bool, alpha: float, beta: float, gamma: float, phi: float
) -> tuple[float, np.ndarray]:
    """Least sum of squared innovations over the first states, and these states (2 + season,).

    values (T,). The season's states sum to 0: the last one is minus the others.
    """
    count = 1 + (1 if trend else 0) + (season - 1)
    first = np.zeros((2 + season, 1 + count))
    first[0, 1] = 1.0
    if trend:
        first[1, 2] = 1.0
    start = 2 + (1 if trend else 0)
    for k in range(season - 1):
        first[2 + k, start + k] = 1.0
        first[1 + season, start + k] = -1.0
    table = np.zeros((len(values), 1 + count))
    table[:, 0] = values
    errors, _ = innovations(table, season, trend, alpha, beta, gamma, phi, first)
    # Column 0 is the filter from zero states; column k adds what unit state k changes (its values are 0).
    design = np.ascontiguousarray(errors[:, 1:])
    gram = design.T @ design
    for k in range(count):
        gram[k, k] += 1e-10 * (gram[k, k] + 1e-12)
    solution = np.linalg.solve(gram, -(design.T @ np.ascontiguousarray(errors[:, 0])))
    left = errors[:, 0] + design @ solution
    states = np.zeros(2 + season)
    for k in range(count):
        states += first[:, 1 + k] * solution[k]
    return float((left * left).sum()), states


@dataclass(frozen=True, slots=True)
class ExponentialSmoothing:
    """A fitted model. parameters: (α, β, γ, φ); states: level, slope and season by phase after the last step.

    trend: "none", "linear" or "damped"; season: its length, 1: none; logarithmic: fitted to the logarithm; outer: the
    long season that was taken out before; steps: how many were looked at; sum_of_squares, aicc: of the fit.
    """

    trend: str
    season: int
    logarithmic: bool
    parameters: tuple[float, float, float, float]
    states: np.ndarray
    sum_of_squares: float
    deviation: float
    aicc: float
    steps: int
    outer: Decomposition | None = None

    @property
    def name(self) -> str:
        """ETS(A,T,S) as Hyndman et al. write it, with "log" where the logarithm was fitted."""
        letters = f"A,{ {'none': 'N', 'linear': 'A', 'damped': 'Ad'}[self.trend] },{'A' if self.season > 1 else 'N'}"
        return f"{'log ' if self.logarithmic else ''}ETS({letters})"

    def forecast(self, horizon: int) -> tuple[np.ndarray, np.ndarray]:
        """Mean and standard deviation of the next steps on the scale that was fitted, (horizon,) each.

        The variance is σ² (1 + Σ_{j<h} c_j²), c_j = α + β (φ + … + φ^j) + γ [m divides j] (Hyndman et al. 2008,
        table 6.1).
        """
        alpha, beta, gamma, phi = self.parameters
        ahead = np.arange(1, horizon + 1)
        damped = np.cumsum(phi**ahead) if self.trend != "none" else np.zeros(horizon)
        mean = self.states[0] + damped * self.states[1]
        if self.season > 1:
            mean = mean + self.states[2 + (self.steps + ahead - 1) % self.season]
        weights = alpha + beta * damped + gamma * ((ahead % self.season == 0) if self.season > 1 else 0.0)
        growth = np.concatenate([[0.0], np.cumsum(weights**2)[:-1]])
        return mean, self.deviation * np.sqrt(1 + growth)

    def quantiles(self, horizon: int, levels: np.ndarray) -> np.ndarray:
        """Quantiles of the next steps in the series' own unit, (horizon, Q), of normal errors."""
        mean, deviation = self.forecast(horizon)
        found = mean[:, None] + deviation[:, None] * ndtri(levels)[None, :]
        if self.outer is not None:
            steps = np.repeat(self.steps + np.arange(horizon), len(levels))
            found = self.outer.seasonal(steps, found.ravel()).reshape(found.shape)
        return np.exp(np.clip(found, -700, 700)) if self.logarithmic else found


def fit_model(values: np.ndarray, season: int, trend: str, *, logarithmic: bool = False,
              outer: Decomposition | None = None) -> ExponentialSmoothing:
    """Fit one model to values (T,) with NaN where missing; `logarithmic` only says what the values are.

    >>> model = fit_model(np.arange(20.0), 1, "linear")
    >>> model.forecast(2)[0].round(3).tolist()
    [20.0, 21.0]
    """
    trended, damped, seasonal = trend != "none", trend == "damped", season > 1
    seen = int(np.isfinite(values).sum())
    centre = float(np.nanmean(values))
    scale = float(np.nanstd(values)) or 1.0
    standard = np.ascontiguousarray((values - centre) / scale)

    def unpack(point: list[float]) -> tuple[float, float, float, float]:
        places = iter(point)
        alpha = next(places)
        beta = alpha * next(places) if trended else 0.0
        gamma = (1 - alpha) * next(places) if seasonal else 0.0
        return alpha, beta, gamma, next(places) if damped else 1.0

    def objective(point: list[float]) -> float:
        return concentrated(standard, season, trended, *unpack(point))[0]

    # The sum of squares has several valleys: the search goes down from the two best of a few points far apart.
    starts = [[alpha, *([0.1] if trended else []), *([share] if seasonal else []), *([0.95] if damped else [])]
              for alpha in (0.1, 0.35, 0.8) for share in ((0.05, 0.6) if seasonal else (0.0,))]
    low = [SMALLEST] * (1 + trended + seasonal) + [0.8] * damped
    high = [1 - SMALLEST] * (1 + trended + seasonal) + [0.98] * damped
    found = [simplex_search(objective, start, low, high, evaluations=EVALUATIONS)
             for start in sorted(starts, key=objective)[:2]]
    point = min(found, key=lambda pair: pair[1])[0]
    parameters = unpack(point)
    total, first = concentrated(standard, season, trended, *parameters)
    _, states = innovations(standard[:, None], season, trended, *parameters, first[:, None])
    last = states[:, 0] * scale
    last[0] += centre
    count = len(low) + 1 + trended + (season - 1) + 1
    total *= scale**2
    mean_square = max(total / seen, 1e-24 * (abs(centre) + scale) ** 2 + 1e-300)
    aicc = seen * np.log(mean_square) + 2 * count + 2 * count * (count + 1) / max(seen - count - 1, 1e-9)
    if logarithmic:
        whole = values if outer is None else outer.seasonal(np.arange(len(values)), values)
        aicc += 2 * float(np.nansum(whole))
    return ExponentialSmoothing(trend, season, logarithmic, parameters, last, total,
                                float(np.sqrt(total / max(seen - count + 1, 1))), float(aicc), len(values), outer)


def fit_exponential_smoothing(
    values: np.ndarray, season: int = 1, *, logarithm: bool = True
) -> ExponentialSmoothing | None:
    """The model with the least corrected AIC: no, linear or damped trend, with season or without; logarithm or not.

    values (T,): NaN where missing; the newest 2,000 are looked at. None for fewer than 4 known values. logarithm: try
    the logarithmic scale where every value is above 0.
    Source: Hyndman, Koehler, Ord and Snyder, Forecasting with Exponential Smoothing, 2008; the additive models.

    >>> months = np.arange(60)
    >>> fit = fit_exponential_smoothing(np.exp(0.01 * months) * (2 + np.sin(months * np.pi / 6)), 12)
    >>> fit.season, fit.logarithmic
    (12, True)
    """
    values = np.asarray(values, dtype=np.float64)[-MOST_STEPS:]
    known = np.flatnonzero(np.isfinite(values))
    if len(known) < 4:
        return None
    values = values[known[0] :]
    if np.nanmin(values) == np.nanmax(values):
        return fit_model(values, 1, "none")
    scales = [(values, False)]
    if logarithm and np.nanmin(values) > 0 and np.nanmax(values) < 1e6 * np.nanmin(values):
        scales.append((np.log(values), True))
    best: ExponentialSmoothing | None = None
    for scaled, logarithmic in scales:
        for length, outer in _seasons(scaled, season):
            adjusted = scaled if outer is None else outer.adjusted
            for trend in ("none", "linear", "damped"):
                parameters = 2 + (trend != "none") * 2 + (trend == "damped") + (length if length > 1 else 0)
                if len(known) < parameters + 4:
                    continue
                model = fit_model(adjusted, length, trend, logarithmic=logarithmic, outer=outer)
                if outer is not None:  # the season that was taken out counts, for the half that was free to move
                    model = _charged(model, len(outer.pattern) // 2)
                if best is None or model.aicc < best.aicc:
                    best = model
    return best if best is not None else fit_model(values, 1, "none")


def _charged(model: ExponentialSmoothing, parameters: int) -> ExponentialSmoothing:
    return replace(model, aicc=model.aicc + 2 * parameters)


def _seasons(values: np.ndarray, season: int) -> list[tuple[int, Decomposition | None]]:
    """The seasons to try: none, and the one there is, inside the model or taken out before."""
    found: list[tuple[int, Decomposition | None]] = [(1, None)]
    if 1 < season <= MOST_SEASON and len(values) >= 2 * season + 2:
        found.append((season, None))
    elif season > MOST_SEASON and len(values) >= 2 * season:
        found.append((1, decompose(values, season, multiplicative=False)))
    return found
