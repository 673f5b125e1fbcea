"""Gradient descent: whole batch, mini-batch and stochastic, with momentum, a line search and a test of convergence.

One iteration is one walk over all rows. A step on a batch B, with g the gradient of the mean cost of its rows:
    plain       θ ← θ − η g(θ)
    momentum    v ← μ v − η g(θ),        θ ← θ + v      (Polyak, 1964)
    Nesterov    v ← μ v − η g(θ + μ v),  θ ← θ + v      (Nesterov, 1983; in this form Sutskever et al., 2013)
The line search halves η until the cost falls by at least ½ η ‖g‖² (Armijo, 1966) and tries twice the last rate at the
next step. On a quadratic the plain form converges exactly for η < 2/λ with λ the largest curvature, momentum for
η < 2(1 + μ)/λ, Nesterov for η < 2(1 + μ)/((1 + 2μ)λ).
What to notice: all parameters move at once, from the gradient at one point; and the last, shorter batch counts too.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np

# A cost this many times the first one is not a detour of momentum any more.
BLOWN_UP = 1e3
HALVINGS = 60

Rows = np.ndarray | None
# evaluate(parameters, rows or None for all) → mean cost of the rows, and its gradient, shaped as the parameters.
Evaluate = Callable[[np.ndarray, Rows], tuple[float, np.ndarray]]
# observe(parameters, cost, iteration) → whether to stop.
Observe = Callable[[np.ndarray, float, int], bool]


@dataclass(frozen=True, slots=True)
class Rule:
    """How to descend. learning_rate: η, or None for the line search; batch_size: None for all rows; decay: η falls as
    1/(1 + decay · iteration); tol: stop when the cost falls in an iteration by at most tol times itself, or by at most
    tol where `absolute`.
    """

    learning_rate: float | None = None
    batch_size: int | None = None
    momentum: float = 0.0
    nesterov: bool = False
    decay: float = 0.0
    tol: float = 1e-9
    absolute: bool = False
    max_iter: int = 1000

    def largest_stable_rate(self, curvature: float) -> float:
        """The rate above which the descent of a quadratic with this largest curvature diverges."""
        bound = 2.0 / curvature if curvature > 0 else np.inf
        if self.nesterov:
            return bound * (1 + self.momentum) / (1 + 2 * self.momentum)
        return bound * (1 + self.momentum)


@dataclass(slots=True)
class Path:
    """Where the descent went: the end, the cost before the first and after every iteration, and how it ended:
    "converged", "max_iter", "stopped" (by who observes) or "diverged".
    """

    parameters: np.ndarray
    costs: list[float] = field(default_factory=list)
    ending: str = "max_iter"

    @property
    def iterations(self) -> int:
        """Walks over the rows that were made."""
        return len(self.costs) - 1


def descend(
    evaluate: Evaluate,
    start: np.ndarray,
    rows: int,
    rule: Rule,
    *,
    random: np.random.Generator | None = None,
    observe: Observe | None = None,
    floor: float = 0.0,
) -> Path:
    """Walk downhill from `start`; floor: a cost so small that growing up to it means nothing.

    >>> def bowl(at, rows):
    ...     return float(at @ at) / 2, at
    >>> path = descend(bowl, np.array([8.0]), 1, Rule(learning_rate=0.5, max_iter=3))
    >>> path.costs, path.ending
    ([32.0, 8.0, 2.0, 0.5], 'max_iter')
    >>> descend(bowl, np.array([8.0]), 1, Rule(learning_rate=2.5)).ending
    'diverged'
    """
    whole = rule.batch_size is None or rule.batch_size >= rows
    random = random or np.random.default_rng(0)
    parameters, velocity = start.copy(), np.zeros_like(start)
    cost, gradient = evaluate(parameters, None)
    path, quiet = Path(parameters, [cost]), 0
    search = LineSearch(evaluate)
    for iteration in range(rule.max_iter):
        rate = None if rule.learning_rate is None else rule.learning_rate / (1 + rule.decay * iteration)
        if whole:
            parameters, velocity, moved = _step(search, parameters, velocity, cost, gradient, rule, rate)
        else:
            assert rate is not None and rule.batch_size is not None
            moved = True
            for batch in batches(rows, rule.batch_size, random):
                at = parameters + rule.momentum * velocity if rule.nesterov else parameters
                velocity = rule.momentum * velocity - rate * evaluate(at, batch)[1]
                parameters = parameters + velocity
        before, (cost, gradient) = cost, evaluate(parameters, None)
        path.parameters = parameters
        path.costs.append(cost)
        if observe is not None and observe(parameters, cost, iteration + 1):
            path.ending = "stopped"
            return path
        if not np.isfinite(cost) or cost > BLOWN_UP * max(path.costs[0], floor):
            path.ending = "diverged"
            return path
        fallen = abs(before - cost)
        quiet = quiet + 1 if not moved or fallen <= rule.tol * (1.0 if rule.absolute else abs(before)) else 0
        # Momentum swings, and batches are noise: there one quiet iteration may be chance.
        if quiet >= (1 if whole and not rule.momentum else 3):
            path.ending = "converged"
            return path
    if path.costs[-1] > max(path.costs[0], floor):
        path.ending = "diverged"
    return path


def batches(rows: int, size: int, random: np.random.Generator) -> Iterator[np.ndarray]:
    """Row numbers of every batch of one walk in random order; the last batch holds what is left.

    >>> [len(batch) for batch in batches(7, 3, np.random.default_rng(0))]
    [3, 3, 1]
    """
    order = random.permutation(rows)
    for first in range(0, rows, size):
        yield order[first : first + size]


class LineSearch:
    """Backtracking for the rate: it remembers the last one and tries twice as much at the next step."""

    def __init__(self, evaluate: Evaluate) -> None:
        self.evaluate = evaluate
        self.rate = 1.0

    def __call__(self, at: np.ndarray, cost: float, gradient: np.ndarray) -> float:
        """A rate with which the step from `at` decreases the cost by ½ · rate · ‖gradient‖²; 0 where none does."""
        square = float((gradient * gradient).sum())
        rate = 2 * self.rate
        for _ in range(HALVINGS):
            reached = self.evaluate(at - rate * gradient, None)[0]
            if reached <= cost - 0.5 * rate * square:
                self.rate = rate
                return rate
            # Far out, go to where the parabola through cost, slope and the reached cost is lowest.
            bend = 2 * (reached - cost + rate * square)
            rate *= min(0.5, max(rate * square / bend, 0.01)) if np.isfinite(bend) and bend > 0 else 0.1
        return 0.0


def _step(
    search: LineSearch,
    parameters: np.ndarray,
    velocity: np.ndarray,
    cost: float,
    gradient: np.ndarray,
    rule: Rule,
    rate: float | None,
) -> tuple[np.ndarray, np.ndarray, bool]:
    """One step on all rows: new parameters and velocity, and whether a step was found."""
    at = parameters
    if rule.nesterov and velocity.any():
        at = parameters + rule.momentum * velocity
        cost, gradient = search.evaluate(at, None)
    if rate is None:
        # Under momentum the search is for the gradient's part alone; the rest is given up where it led uphill.
        if float((gradient * velocity).sum()) > 0:
            velocity = np.zeros_like(velocity)
            if at is not parameters:
                at = parameters
                cost, gradient = search.evaluate(at, None)
        rate = search(at, cost, gradient)
        if rate == 0.0:
            return parameters, velocity, False
    velocity = rule.momentum * velocity - rate * gradient
    return parameters + velocity, velocity, True
