"""L-BFGS: a quasi-Newton method that remembers its last steps instead of a Hessian.

Source: Nocedal (1980), Mathematics of Computation 35; Liu and Nocedal (1989); Nocedal and Wright, Numerical
Optimization (2006), algorithms 7.4 and 7.5. What differs: the initial inverse Hessian of the two-loop
recursion is a preconditioner of the caller's, and the method stops on the Newton decrement, which does not
change with the scale of the inputs as the size of the gradient does.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

Evaluate = Callable[[np.ndarray], tuple[float, np.ndarray]]
Precondition = Callable[[np.ndarray], np.ndarray]
# observe(parameters, value, iteration) → whether to stop.
Observe = Callable[[np.ndarray, float, int], bool]


@dataclass(frozen=True, slots=True)
class Minimum:
    """Where the search ended: parameters, value, iterations, evaluations, whether the decrement fell under
    tol.
    """

    parameters: np.ndarray
    value: float
    iterations: int
    evaluations: int
    converged: bool


def minimise(
    evaluate: Evaluate,
    start: np.ndarray,
    precondition: Precondition,
    *,
    tol: float,
    max_iter: int,
    memory: int = 20,
    resolution: float = 1e-15,
    observe: Observe | None = None,
) -> Minimum:
    """Minimise a smooth function.

    evaluate(parameters) -> (value, gradient); precondition(gradient) -> an approximate inverse Hessian
    applied to it, symmetric and positive definite; tol: stop when half the Newton decrement, an estimate of
    value − optimum, is at most this; resolution: relative rounding error of the value, under which a
    decrease cannot be seen; observe(parameters, value, iteration) is called after each iteration and stops by True.

    >>> scales = np.array([1.0, 100.0])
    >>> def bowl(x):
    ...     return float((scales * x**2).sum() / 2), scales * x
    >>> found = minimise(bowl, np.ones(2), lambda g: g / scales, tol=1e-12, max_iter=10)
    >>> found.iterations, bool(np.allclose(found.parameters, 0))
    (1, True)
    """
    parameters = start.copy()
    value, gradient = evaluate(parameters)
    evaluations, pairs = 1, deque[tuple[np.ndarray, np.ndarray, float]](maxlen=memory)
    for iteration in range(max_iter):
        direction = -two_loops(gradient, pairs, precondition)
        slope = float((gradient * direction).sum())
        if 0 <= -slope / 2 <= tol:
            return Minimum(parameters, value, iteration, evaluations, True)
        if not slope < 0:
            if not pairs:
                return Minimum(parameters, value, iteration, evaluations, False)
            pairs.clear()
            continue
        step, found = 1.0, None
        slack = resolution * max(1.0, abs(value))
        for _ in range(25):
            candidate = parameters + step * direction
            new_value, new_gradient = evaluate(candidate)
            evaluations += 1
            if new_value <= value + 1e-4 * step * slope + slack:
                found = candidate
                break
            # The minimum of the parabola through value, slope and new value, kept within sane bounds.
            bend = new_value - value - step * slope
            step *= min(max(-slope * step / (2 * bend), 0.1), 0.5) if np.isfinite(bend) else 0.1
        if found is None:
            if not pairs:
                return Minimum(parameters, value, iteration, evaluations, False)
            pairs.clear()
            continue
        moved, change = found - parameters, new_gradient - gradient
        curvature = float((moved * change).sum())
        # Along a convex function this is positive except for rounding; such a pair would spoil the recursion.
        if curvature > 1e-14 * float((change * change).sum()) * step:
            pairs.append((moved, change, 1 / curvature))
        parameters, value, gradient = found, new_value, new_gradient
        if observe is not None and observe(parameters, value, iteration + 1):
            return Minimum(parameters, value, iteration + 1, evaluations, True)
    return Minimum(parameters, value, max_iter, evaluations, False)


def two_loops(
    gradient: np.ndarray, pairs: deque[tuple[np.ndarray, np.ndarray, float]], precondition: Precondition
) -> np.ndarray:
    """The inverse Hessian estimate applied to the gradient (algorithm 7.4)."""
    direction, shares = gradient.copy(), []
    for moved, change, inverse in reversed(pairs):
        share = inverse * float((moved * direction).sum())
        direction -= share * change
        shares.append(share)
    direction = precondition(direction)
    for (moved, change, inverse), share in zip(pairs, reversed(shares)):
        direction += (share - inverse * float((change * direction).sum())) * moved
    return direction
