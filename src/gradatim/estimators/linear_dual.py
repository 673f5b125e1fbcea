"""Linear support vector machines without kernel values: one coefficient at a time, or one row at a time.

    primal  ½‖w‖² + Σ Cᵢ ℓ(yᵢ w·xᵢ),  ℓ(z) = max(0, 1 − z) or its square;  the intercept weighs a constant column
    dual    max Σαᵢ − ½‖Σ αᵢyᵢxᵢ‖² − ½Σ Dᵢαᵢ²,  0 ≤ αᵢ ≤ Uᵢ;  hinge: U = C, D = 0; squared: U = ∞, D = 1/(2C)

Dual coordinate descent: αᵢ ← the minimiser along its axis between the bounds, w kept up to date, rows in random order,
rows that rest at a bound left out (Hsieh, Chang, Lin, Keerthi and Sundararajan, A dual coordinate descent method for
large-scale linear SVM, 2008, algorithms 1 and 3).
Stochastic subgradient: w ← (1 − 1/t) w + (1/λt) cᵢ yᵢ xᵢ where the margin is under one, λ = 1/ΣC (Pegasos:
Shalev-Shwartz, Singer, Srebro and Cotter, 2011), averaged over the second half of the epochs.
What to notice: both touch one row at a time and need no memory beside w and one number a row.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numba
import numpy as np
import scipy.sparse

from gradatim.estimators.gram import Matrix


@dataclass(frozen=True, slots=True)
class Layout:
    """Rows for the compiled loops: numbers one after the other; columns and starts are empty for dense rows."""

    numbers: np.ndarray
    columns: np.ndarray
    starts: np.ndarray
    width: int
    constant: float

    @classmethod
    def of(cls, X: Matrix, constant: float) -> "Layout":
        """constant: value of the column that carries the intercept, 0 for none."""
        if scipy.sparse.issparse(X):
            return cls(X.data, X.indices.astype(np.int64), X.indptr.astype(np.int64), X.shape[1], constant)
        none = np.empty(0, np.int64)
        return cls(np.ascontiguousarray(X).reshape(-1), none, none, X.shape[1], constant)

    def arguments(self) -> Any:
        """As the loops take them."""
        return self.numbers, self.columns, self.starts, self.width, self.constant


@dataclass(slots=True)
class LinearSolution:
    """weights (d + 1,), the last for the constant column; alpha (n,); epochs; violation: of the last epoch's gradients.

    primal, dual: the objectives; ending: "converged", "epochs", "stopped".
    """

    weights: np.ndarray
    alpha: np.ndarray
    epochs: int = 0
    violation: float = np.inf
    primal: float = np.inf
    dual: float = -np.inf
    ending: str = "epochs"


@numba.njit(cache=True, nogil=True, fastmath=True)
def _dense_dot(row: np.ndarray, w: np.ndarray) -> float:
    total = 0.0
    for t in range(len(row)):
        total += row[t] * w[t]
    return total


@numba.njit(cache=True, nogil=True, fastmath=True)
def _dense_add(row: np.ndarray, w: np.ndarray, factor: float) -> None:
    for t in range(len(row)):
        w[t] += factor * row[t]


@numba.njit(cache=True, nogil=True)
def _dot(
    numbers: np.ndarray, columns: np.ndarray, starts: np.ndarray, width: int, constant: float, i: int, w: np.ndarray
) -> float:
    """w·xᵢ with the constant column."""
    if len(starts) == 0:
        return _dense_dot(numbers[i * width : (i + 1) * width], w[:width]) + constant * w[width]
    total = constant * w[width]
    for t in range(starts[i], starts[i + 1]):
        total += numbers[t] * w[columns[t]]
    return total


@numba.njit(cache=True, nogil=True)
def _add(
    numbers: np.ndarray,
    columns: np.ndarray,
    starts: np.ndarray,
    width: int,
    constant: float,
    i: int,
    w: np.ndarray,
    factor: float,
) -> None:
    """w += factor xᵢ."""
    if len(starts) == 0:
        _dense_add(numbers[i * width : (i + 1) * width], w[:width], factor)
    else:
        for t in range(starts[i], starts[i + 1]):
            w[columns[t]] += factor * numbers[t]
    w[width] += factor * constant


@numba.njit(cache=True, nogil=True)
def _squared_norms(
    numbers: np.ndarray, columns: np.ndarray, starts: np.ndarray, width: int, constant: float, rows: int
) -> np.ndarray:
    out = np.empty(rows)
    for i in range(rows):
        low, high = (i * width, (i + 1) * width) if len(starts) == 0 else (starts[i], starts[i + 1])
        total = constant * constant
        for t in range(low, high):
            total += float(numbers[t]) * float(numbers[t])
        out[i] = total
    return out


@numba.njit(cache=True, nogil=True)
def _margins(
    numbers: np.ndarray, columns: np.ndarray, starts: np.ndarray, width: int, constant: float, y: np.ndarray, w: Any
) -> np.ndarray:
    out = np.empty(len(y))
    for i in range(len(y)):
        out[i] = y[i] * _dot(numbers, columns, starts, width, constant, i, w)
    return out


@numba.njit(cache=True, nogil=True)
def _coordinate_epoch(
    numbers: np.ndarray,
    columns: np.ndarray,
    starts: np.ndarray,
    width: int,
    constant: float,
    y: np.ndarray,
    w: np.ndarray,
    alpha: np.ndarray,
    upper: np.ndarray,
    ridge: np.ndarray,
    curvature: np.ndarray,
    active: np.ndarray,
    edge_high: float,
    edge_low: float,
) -> tuple[int, float, float]:
    """One pass over `active`; (rows still active, placed first; largest and least projected gradient)."""
    high, low = -np.inf, np.inf
    count, place = len(active), 0
    while place < count:
        i = active[place]
        gradient = y[i] * _dot(numbers, columns, starts, width, constant, i, w) - 1 + ridge[i] * alpha[i]
        projected = gradient
        if alpha[i] <= 0:
            if gradient > edge_high:
                count -= 1
                active[place], active[count] = active[count], active[place]
                continue
            projected = min(gradient, 0.0)
        elif alpha[i] >= upper[i]:
            if gradient < edge_low:
                count -= 1
                active[place], active[count] = active[count], active[place]
                continue
            projected = max(gradient, 0.0)
        high, low = max(high, projected), min(low, projected)
        if abs(projected) > 1e-14 and curvature[i] > 0:
            old = alpha[i]
            alpha[i] = min(max(old - gradient / curvature[i], 0.0), upper[i])
            _add(numbers, columns, starts, width, constant, i, w, (alpha[i] - old) * y[i])
        place += 1
    return count, high, low


def coordinate_descent(
    layout: Layout,
    y: np.ndarray,
    reach: np.ndarray,
    *,
    squared: bool,
    tolerance: float,
    epochs: int,
    random: np.random.Generator,
    observe: Callable[[LinearSolution], bool] | None = None,
) -> LinearSolution:
    """Dual coordinate descent for y (n,) of ±1 and bounds C (n,), until no projected gradient exceeds tolerance.

    observe: called after each epoch with objectives up to date; True stops.
    """
    rows = len(y)
    upper, ridge = (np.full(rows, np.inf), 0.5 / reach) if squared else (reach, np.zeros(rows))
    curvature = SQUARED_NORMS(*layout.arguments(), rows) + ridge
    found = LinearSolution(np.zeros(layout.width + 1), np.zeros(rows))
    # A row of zeros never moves w: its best multiplier is its bound.
    found.alpha[curvature <= 0] = upper[curvature <= 0]
    active, edges = np.arange(rows), (np.inf, -np.inf)
    for _ in range(epochs):
        random.shuffle(active)
        count, high, low = COORDINATE_EPOCH(
            *layout.arguments(), y, found.weights, found.alpha, upper, ridge, curvature, active, *edges
        )
        found.epochs += 1
        found.violation = max(high, -low, 0.0) if high >= low else 0.0
        if observe is not None:
            _measure(found, layout, y, reach, ridge, squared)
            if observe(found):
                found.ending = "stopped"
                break
        if found.violation <= tolerance:
            if count == rows:
                found.ending = "converged"
                break
            active, edges = np.arange(rows), (np.inf, -np.inf)
            continue
        active = active[:count]
        edges = (high if high > 0 else np.inf, low if low < 0 else -np.inf)
    _measure(found, layout, y, reach, ridge, squared)
    return found


def _measure(
    found: LinearSolution, layout: Layout, y: np.ndarray, reach: np.ndarray, ridge: np.ndarray, squared: bool
) -> None:
    """Bring both objectives up to date."""
    short = np.maximum(1 - MARGINS(*layout.arguments(), y, found.weights), 0)
    norm = 0.5 * float(found.weights @ found.weights)
    found.primal = norm + float(reach @ (short * short if squared else short))
    alpha = found.alpha
    found.dual = float(alpha.sum() - 0.5 * (ridge * alpha) @ alpha) - norm


@numba.njit(cache=True, nogil=True)
def _subgradient_epoch(
    numbers: np.ndarray,
    columns: np.ndarray,
    starts: np.ndarray,
    width: int,
    constant: float,
    y: np.ndarray,
    share: np.ndarray,
    strength: float,
    w: np.ndarray,
    scale: float,
    order: np.ndarray,
    time: float,
    squared: bool,
) -> tuple[float, float]:
    """One pass in `order`; the weights are scale · w; share (n,): weight of a row, 1 on average. (scale, time)."""
    for i in order:
        time += 1
        margin = y[i] * scale * _dot(numbers, columns, starts, width, constant, i, w)
        rate = 1 / (strength * time)
        scale *= 1 - rate * strength
        if scale < 1e-9:
            for t in range(len(w)):
                w[t] *= scale
            scale = 1.0
        if margin < 1:
            slope = 2 * (1 - margin) if squared else 1.0
            _add(numbers, columns, starts, width, constant, i, w, rate * share[i] * slope * y[i] / scale)
    return scale, time


def subgradient_descent(
    layout: Layout,
    y: np.ndarray,
    reach: np.ndarray,
    *,
    squared: bool,
    tolerance: float,
    epochs: int,
    random: np.random.Generator,
    observe: Callable[[LinearSolution], bool] | None = None,
) -> LinearSolution:
    """Averaged stochastic subgradient descent; ends where the averaged primal objective falls by less than a share of
    `tolerance` from one epoch to the next.

    alpha stays zero and the dual objective −∞: there are no multipliers.
    """
    rows, strength = len(y), 1 / float(reach.sum())
    share = reach * (rows * strength)
    norms = SQUARED_NORMS(*layout.arguments(), rows)
    # The first steps, of rate 1/λt, would leave the ball in which the optimum lies; t starts late enough.
    time = max(1.0, float((share * norms).mean()) * (2.0 if squared else 1.0) / strength)
    w, scale = np.zeros(layout.width + 1), 1.0
    found = LinearSolution(w.copy(), np.zeros(rows))
    total, counted, before = np.zeros_like(w), 0, np.inf
    for epoch in range(1, epochs + 1):
        scale, time = SUBGRADIENT_EPOCH(
            *layout.arguments(), y, share, strength, w, scale, random.permutation(rows), time, squared
        )
        if epoch & (epoch - 1) == 0:
            # Powers of two: the average always covers the last half of the epochs, or more.
            total, counted = np.zeros_like(w), 0
        total, counted = total + scale * w, counted + 1
        found.weights, found.epochs = total / counted, epoch
        _measure(found, layout, y, reach, np.zeros(rows), squared)
        found.dual = -np.inf
        found.violation = (before - found.primal) / max(found.primal, 1e-300)
        if observe is not None and observe(found):
            found.ending = "stopped"
            break
        if abs(found.violation) <= tolerance and epoch >= 5:
            found.ending = "converged"
            break
        before = found.primal
    return found


# The loops take a layout's parts by position, which numba's type stub does not foresee.
SQUARED_NORMS: Any = _squared_norms
MARGINS: Any = _margins
COORDINATE_EPOCH: Any = _coordinate_epoch
SUBGRADIENT_EPOCH: Any = _subgradient_epoch
