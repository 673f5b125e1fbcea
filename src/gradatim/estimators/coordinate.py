"""A quadratic with absolute values, minimised exactly: the inner problem of lasso and of penalised likelihoods.

Minimise  ½ wᵀGw − cᵀw + Σⱼ lⱼ|wⱼ|  (lⱼ may be 0; optionally w ≥ 0). Coordinate descent: with the others held,
wⱼ ← S(cⱼ − Σ_{i≠j} Gⱼᵢwᵢ, lⱼ)/Gⱼⱼ,  S(z, l) = sign(z)·max(|z| − l, 0)  (Fu, 1998; Friedman, Hastie and Tibshirani,
2010). Between sweeps, where the signs are right the optimum solves linear equations on the coordinates that are not
zero: one Cholesky factor jumps there (Lee, Battle, Raina and Ng, Efficient sparse coding algorithms, 2006).
What to notice: sweeps find the signs within a few rounds and then creep where columns are alike; the jump finishes.
"""

from collections.abc import Callable

import numba
import numpy as np

from gradatim.estimators import triangular

# Sweeps between two tries to jump.
SWEEPS = 30
# A jump costs a cubed and a sweep d·a for a coordinates that are not zero: above this many, sweeps go on alone.
LARGEST_JUMP = 6000
# Changes of sign met in one jump; where the matrix is singular, as many as these multiplications allow.
CROSSINGS, MOST_CROSSINGS, FLOPS = 2, 300, 5e9


@numba.njit(cache=True, nogil=True, fastmath={"reassoc", "contract"})
def sweep(matrix, pull, penalties, values, image, positive, most, tolerance):  # type: ignore[no-untyped-def]
    """Up to `most` sweeps over the coordinates, in place; image = matrix @ values is kept up to date. The number made.

    The first sweep visits all; the next only those that are not zero. Ends early when no coordinate moved by more than
    `tolerance` in units of 1/√(its curvature).
    """
    count = len(pull)
    for number in range(most):
        largest = 0.0
        for j in range(count):
            bend = matrix[j, j]
            old = values[j]
            if bend <= 0.0 or (number > 0 and old == 0.0):
                continue
            wish = pull[j] - image[j] + bend * old
            new = 0.0
            if wish > penalties[j]:
                new = (wish - penalties[j]) / bend
            elif wish < -penalties[j] and not positive:
                new = (wish + penalties[j]) / bend
            if new != old:
                change = new - old
                values[j] = new
                for i in range(count):
                    image[i] += change * matrix[j, i]
                largest = max(largest, abs(change) * np.sqrt(bend))
        if largest <= tolerance:
            return number + 1
    return most


def violations(
    image: np.ndarray, pull: np.ndarray, penalties: np.ndarray, values: np.ndarray, positive: bool = False
) -> np.ndarray:
    """By how much each coordinate violates its optimality condition: the least subgradient, in absolute value."""
    slope = image - pull
    at_zero = np.maximum((-slope if positive else np.abs(slope)) - penalties, 0.0)
    return np.where(values != 0, np.abs(slope + penalties * np.sign(values)), at_zero)


def minimise_quadratic(
    matrix: np.ndarray,
    pull: np.ndarray,
    penalties: np.ndarray,
    start: np.ndarray,
    *,
    tolerance: float,
    most: int = 10_000,
    positive: bool = False,
    observe: Callable[[np.ndarray], bool] | None = None,
) -> tuple[np.ndarray, int, bool]:
    """The minimum from `start`; sweeps made, and whether every violation / √curvature fell to `tolerance`.

    matrix (d, d) symmetric, positive semidefinite, C-contiguous float64; observe(values) is called after every sweep
    and stops the search by True.

    >>> found, _, reached = minimise_quadratic(
    ...     np.eye(2), np.array([3.0, 0.5]), np.ones(2), np.zeros(2), tolerance=1e-12)
    >>> found.tolist(), reached
    ([2.0, 0.0], True)
    """
    values = start.copy()
    image = matrix @ values
    roots = np.sqrt(np.maximum(matrix.diagonal(), 0.0))
    usable = roots > 0
    made, jumping = 0, True
    while made < most:
        done = sweep(
            matrix, pull, penalties, values, image, positive, min(1 if observe else SWEEPS, most - made), tolerance
        )
        made += done
        if observe is not None and observe(values):
            return values, made, False
        worst = np.max(violations(image, pull, penalties, values, positive)[usable] / roots[usable], initial=0.0)
        if worst <= tolerance:
            return values, made, True
        if observe is not None and made % SWEEPS:
            continue
        if jumping or made % (8 * SWEEPS) == 0:
            jumping = _jump(matrix, pull, penalties, values, image)
    return values, made, False


def _jump(matrix: np.ndarray, pull: np.ndarray, penalties: np.ndarray, values: np.ndarray, image: np.ndarray) -> bool:
    """Go, in place, to the optimum for the present signs, or as far on the way as the objective falls; whether it did.

    Coordinates whose sign would change are set to zero if that is no worse, else the way ends at the first change, and
    the next starts there without that coordinate.
    """
    moved, left = False, CROSSINGS
    while left > 0:
        left -= 1
        places = np.flatnonzero(values)
        if not 0 < len(places) <= LARGEST_JUMP:
            break
        now = values[places]
        inner = np.ascontiguousarray(matrix[np.ix_(places, places)])
        tilted = pull[places] - penalties[places] * np.sign(now)
        toward, flat = _newton_direction(inner, tilted - inner @ now)
        if toward is None:
            break
        if flat and not moved:
            # More coordinates than the rows tell apart: all but as many must go, one at a crossing.
            left = min(MOST_CROSSINGS, int(FLOPS / len(places) ** 3))
        goal = now + toward
        # Nothing happens at zero where nothing is penalised.
        crossed = (np.sign(goal) * np.sign(now) < 0) & (penalties[places] > 0)
        kept = np.where(crossed, 0.0, goal)
        arrived = not crossed.any() or _value(inner, tilted, kept) <= _value(inner, tilted, now)
        if not arrived:
            reach = now[crossed] / (now[crossed] - goal[crossed])
            first = float(reach.min())
            kept = now + first * toward
            kept[np.flatnonzero(crossed)[reach <= first]] = 0.0
        values[places] = kept
        moved = True
        if arrived:
            break
    if moved:
        np.matmul(matrix, values, out=image)
    return moved


def _newton_direction(matrix: np.ndarray, slope: np.ndarray) -> tuple[np.ndarray | None, bool]:
    """matrix⁻¹ slope, and whether the matrix is singular: then far along the directions in which it is flat."""
    size = len(matrix)
    for ridge in (0.0, 1e-10):
        shifted = matrix.copy()
        shifted.flat[:: size + 1] *= 1 + ridge
        try:
            lower = np.linalg.cholesky(shifted)
        except np.linalg.LinAlgError:
            continue
        diagonal = lower.diagonal() / np.sqrt(matrix.diagonal())
        if ridge or (diagonal.min() / diagonal.max()) ** 2 > 1e-13:
            found: np.ndarray = triangular.solve(lower, slope)
            return (found if np.isfinite(found).all() else None), ridge > 0
    return None, True


def _value(matrix: np.ndarray, tilted: np.ndarray, values: np.ndarray) -> float:
    return float(values @ (matrix @ values) / 2 - tilted @ values)
