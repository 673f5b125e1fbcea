"""Sequential minimal optimisation: two coefficients at a time, until no pair can better the dual.

One problem covers classification, regression and everything between:

    minimise  ½ βᵀKβ − tᵀβ + ε Σ|βᵢ|   with  Σβᵢ = constant,  lowerᵢ ≤ βᵢ ≤ upperᵢ

Classification: t = y ∈ {−1, 1}, ε = 0, βᵢ = yᵢαᵢ between 0 and yᵢCᵢ. Regression: t the targets, box ±Cᵢ; the
two multipliers α, α* of a row never both differ from zero, so that β = α − α* halves the number of unknowns.
With the residual F = t − Kβ a coefficient may grow while it is under its bound and gains Fᵢ + upᵢ, or fall and
lose Fᵢ + lowᵢ, where the offsets hold the slope ∓ε of the absolute value and ∓∞ at a bound. The optimum is
where the best gain m is not above the least loss M; m − M is the violation of the Karush-Kuhn-Tucker conditions.
Pairs: i has the gain m; j promises the largest fall of the objective by its second-order model, (m − Fⱼ − lowⱼ)²
/ (Kᵢᵢ + Kⱼⱼ − 2Kᵢⱼ) (Fan, Chen and Lin, Working set selection using second order information, 2005, WSS 2).
What to notice: a step reads two rows of K and nothing else of it. The loops are those of one block of coefficients,
short enough for the first cache and simple enough to become vector instructions.
"""

from typing import Any

import numba
import numpy as np

from gradatim.estimators.vector_maximum import larger, smaller

# What a run of steps ended with.
CONVERGED, STEPS_DONE, STALLED = 0, 1, 2
# Curvature of a pair that shows none, or a negative one under a kernel that is not positive (LIBSVM's τ).
LEAST_CURVATURE = 1e-12
# Coefficients searched at once; the best of each block is kept, so that its place is soon found.
WIDTH = 512
# Stands for ∞: sums with it stay finite, in float32 too.
FAR = 1e30


@numba.njit(cache=True, nogil=True, inline="always")
def _grow_offset(beta: float, upper: float, epsilon: float) -> float:
    """What a growing coefficient pays besides its residual; −∞ at its bound."""
    if beta >= upper:
        return -FAR
    return -epsilon if beta >= 0 else epsilon


@numba.njit(cache=True, nogil=True, inline="always")
def _fall_offset(beta: float, lower: float, epsilon: float) -> float:
    """What a falling coefficient pays besides its residual; ∞ at its bound."""
    if beta <= lower:
        return FAR
    return epsilon if beta <= 0 else -epsilon


@numba.njit(cache=True, nogil=True)
def offsets(beta: np.ndarray, lower: np.ndarray, upper: np.ndarray, epsilon: float) -> tuple[np.ndarray, np.ndarray]:
    """(up, low) of every coefficient."""
    up, low = np.empty(len(beta)), np.empty(len(beta))
    for t in range(len(beta)):
        up[t] = _grow_offset(beta[t], upper[t], epsilon)
        low[t] = _fall_offset(beta[t], lower[t], epsilon)
    return up, low


@numba.njit(cache=True, nogil=True, fastmath=True)
def _step_block(
    residual: np.ndarray, up: np.ndarray, low: np.ndarray, step: float, row_i: np.ndarray, row_j: np.ndarray
) -> tuple[float, float]:
    """Take `step` off the residual along two rows; the best gain and the least loss after it."""
    most, least = -FAR, FAR
    for t in range(len(residual)):
        value = residual[t] - step * (row_i[t] - row_j[t])
        residual[t] = value
        most = larger(most, value + up[t])
        least = smaller(least, value + low[t])
    return most, least


@numba.njit(cache=True, nogil=True)
def _step_and_rank(
    residual: np.ndarray,
    up: np.ndarray,
    low: np.ndarray,
    step: float,
    row_i: np.ndarray,
    row_j: np.ndarray,
    best: np.ndarray,
) -> tuple[float, float]:
    """`_step_block` block by block; (m, M) of all, and the best gain of each block in `best`."""
    most, least = -FAR, FAR
    for block in range(len(best)):
        a = block * WIDTH
        b = min(len(residual), a + WIDTH)
        gain, loss = _step_block(residual[a:b], up[a:b], low[a:b], step, row_i[a:b], row_j[a:b])
        best[block] = gain
        most = max(most, gain)
        least = min(least, loss)
    return most, least


@numba.njit(cache=True, nogil=True, fastmath=True)
def _fall_block(
    residual: np.ndarray, low: np.ndarray, diagonal: np.ndarray, row: np.ndarray, gain: float, own: Any
) -> Any:
    """The largest fall of the second-order model in a block; quotients in the format of K, 16 at once in float32."""
    kind = row.dtype.type
    zero, two, least, best = kind(0), kind(2), kind(LEAST_CURVATURE), kind(0)
    for t in range(len(residual)):
        lead = larger(kind(gain - residual[t] - low[t]), zero)
        bend = larger(own + diagonal[t] - two * row[t], least)
        best = larger(best, lead * lead / bend)
    return best


@numba.njit(cache=True, nogil=True)
def _partner(
    residual: np.ndarray,
    low: np.ndarray,
    diagonal: np.ndarray,
    row: np.ndarray,
    gain: float,
    own: Any,
) -> int:
    """The coefficient j whose fall, with i growing, lowers the second-order model most; −1: none."""
    kind = row.dtype.type
    zero, two, least = kind(0), kind(2), kind(LEAST_CURVATURE)
    top, start = zero, -1
    for a in range(0, len(residual), WIDTH):
        b = min(len(residual), a + WIDTH)
        found = _fall_block(residual[a:b], low[a:b], diagonal[a:b], row[a:b], gain, own)
        if found > top:
            top, start = found, a
    if start < 0:
        return -1
    place, most = -1, zero
    for t in range(start, min(len(residual), start + WIDTH)):
        lead = max(kind(gain - residual[t] - low[t]), zero)
        value = lead * lead / max(own + diagonal[t] - two * row[t], least)
        if value > most:
            place, most = t, value
    return place


@numba.njit(cache=True, nogil=True)
def take_steps(
    residual: np.ndarray,
    beta: np.ndarray,
    lower: np.ndarray,
    upper: np.ndarray,
    epsilon: float,
    kernel: np.ndarray,
    diagonal: np.ndarray,
    tolerance: float,
    steps: int,
) -> tuple[int, int, float]:
    """Take up to `steps` steps; (outcome, steps taken, m − M). Changes residual and beta.

    All of length n but kernel, of n rows and at least n columns; residual and beta float64.
    """
    up, low = offsets(beta, lower, upper, epsilon)
    size = len(beta)
    gains = np.empty((size + WIDTH - 1) // WIDTH)
    most, least = _step_and_rank(residual, up, low, 0.0, diagonal, diagonal, gains)
    for taken in range(steps):
        if most - least <= tolerance:
            return CONVERGED, taken, most - least
        i = 0
        while gains[i] < most:
            i += 1
        i *= WIDTH
        while residual[i] + up[i] < most:
            i += 1
        row_i = kernel[i, :size]
        j = _partner(residual, low, diagonal, row_i, most, diagonal[i])
        if j < 0 or j == i:
            return STALLED, taken, most - least
        row_j = kernel[j, :size]
        bend = max(float(diagonal[i]) + float(diagonal[j]) - 2.0 * float(row_i[j]), LEAST_CURVATURE)
        step = (most - residual[j] - low[j]) / bend
        # Not across zero in regression: there the slope of ε|β| changes.
        end_i = 0.0 if beta[i] < 0 < upper[i] else upper[i]
        end_j = 0.0 if beta[j] > 0 > lower[j] else lower[j]
        room_i, room_j = end_i - beta[i], beta[j] - end_j
        step = min(step, room_i, room_j)
        old_i, old_j = beta[i], beta[j]
        beta[i] = end_i if step >= room_i else old_i + step
        beta[j] = end_j if step >= room_j else old_j - step
        if beta[i] == old_i and beta[j] == old_j:
            return STALLED, taken, most - least
        for place in (i, j):
            up[place] = _grow_offset(beta[place], upper[place], epsilon)
            low[place] = _fall_offset(beta[place], lower[place], epsilon)
        most, least = _step_and_rank(residual, up, low, step, row_i, row_j, gains)
    return (CONVERGED if most - least <= tolerance else STEPS_DONE), steps, most - least


@numba.njit(cache=True, nogil=True, fastmath=True)
def _subtract_row(residual: np.ndarray, row: np.ndarray, change: float) -> None:
    for t in range(len(residual)):
        residual[t] -= change * row[t]


@numba.njit(cache=True, nogil=True)
def subtract_rows(residual: np.ndarray, rows: np.ndarray, change: np.ndarray) -> None:
    """residual −= changeᵀ rows, summed in float64; residual (n,), rows (k, n), change (k,), mostly zeros."""
    for start in range(0, len(residual), 4096):
        stop = min(len(residual), start + 4096)
        for k in range(len(change)):
            if change[k] != 0.0:
                _subtract_row(residual[start:stop], rows[k, start:stop], change[k])


@numba.njit(cache=True, nogil=True)
def violation(
    residual: np.ndarray, beta: np.ndarray, lower: np.ndarray, upper: np.ndarray, epsilon: float
) -> tuple[float, float]:
    """(m, M) over all coefficients; the conditions hold where m ≤ M."""
    most, least = -FAR, FAR
    for t in range(len(beta)):
        most = max(most, residual[t] + _grow_offset(beta[t], upper[t], epsilon))
        least = min(least, residual[t] + _fall_offset(beta[t], lower[t], epsilon))
    return most, least


@numba.njit(cache=True, nogil=True)
def worst(
    residual: np.ndarray,
    beta: np.ndarray,
    lower: np.ndarray,
    upper: np.ndarray,
    epsilon: float,
    held: np.ndarray,
    tolerance: float,
    count: int,
) -> np.ndarray:
    """The coefficients outside `held` that violate the conditions most, about half for either side, at most `count`.

    The first of equals are spread over the rows: at the start all are equal.
    """
    most, least = violation(residual, beta, lower, upper, epsilon)
    size = len(beta)
    gain, loss = np.empty(size), np.empty(size)
    places_up, places_low = np.empty(size, np.int64), np.empty(size, np.int64)
    ups = lows = 0
    for t in range(size):
        if held[t]:
            continue
        value = residual[t] + _grow_offset(beta[t], upper[t], epsilon) - least
        if value > tolerance:
            gain[ups], places_up[ups] = value, t
            ups += 1
        value = most - residual[t] - _fall_offset(beta[t], lower[t], epsilon)
        if value > tolerance:
            loss[lows], places_low[lows] = value, t
            lows += 1
    half = (count + 1) // 2
    first = _top(gain[:ups], places_up[:ups], max(half, count - lows))
    second = _top(loss[:lows], places_low[:lows], max(half, count - ups))
    return np.unique(np.concatenate((first, second)))[: max(count, 2)]


@numba.njit(cache=True, nogil=True)
def _top(values: np.ndarray, places: np.ndarray, count: int) -> np.ndarray:
    """The places of the `count` largest values; of those equal to the last, evenly spaced ones."""
    if len(values) <= count:
        return places
    edge = np.partition(values, len(values) - count)[len(values) - count]
    out = np.empty(count, np.int64)
    filled = equal = 0
    for t in range(len(values)):
        if values[t] > edge:
            out[filled] = places[t]
            filled += 1
        elif values[t] == edge:
            equal += 1
    wanted, seen = count - filled, 0
    for t in range(len(values)):
        if values[t] == edge:
            # Of `equal` candidates the wanted number, by Bresenham's rule.
            if (seen + 1) * wanted // equal > seen * wanted // equal:
                out[filled] = places[t]
                filled += 1
            seen += 1
    return out
