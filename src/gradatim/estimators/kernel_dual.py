"""The dual of a support vector machine, solved on a growing set of rows so that memory stays bounded.

The problem is that of `smo`. Of the n × n kernel matrix only the rows of coefficients that ever violated the optimality
conditions are computed, a batch at a time by one matrix product, and kept; minimisation goes on among the coefficients
whose rows are there until their violation is a fraction of that of all; then all residuals are brought up to date, the
worst violators outside are fetched, and so on until nobody violates. This is decomposition (Osuna, Freund and Girosi,
1997; Joachims, 1998) with shrinking for free: coefficients that nobody fetched cost nothing in a step, and those held
that rest at a bound without violation are left out of it (`shrinking`).
What to notice: about as many rows are computed as there are support vectors in the end, each once. When the rows fill
the budget, those of coefficients at rest are given up first.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from gradatim.estimators import smo
from gradatim.estimators.kernel_points import Points

# Rows fetched at once, a hundredth of all between these; more are quicker to compute, and more of them are not needed.
BATCH, MOST = 32, 128
# The part of the violation of all down to which the held coefficients are minimised before others come in.
PART = 0.25
# With no bound on the coefficients: classes whose margin is certainly below this part of their size count as mixed.
LEAST_MARGIN = 1e-6


@dataclass(frozen=True, slots=True)
class Dual:
    """minimise ½ βᵀKβ − targetᵀβ + ε Σ|βᵢ|, Σβᵢ = 0, lower ≤ β ≤ upper (all (n,) float64)."""

    target: np.ndarray
    lower: np.ndarray
    upper: np.ndarray
    epsilon: float = 0.0


@dataclass(slots=True)
class Solution:
    """Where the search stands or ended.

    beta (n,): coefficients; residual (n,): target − Kβ; steps: taken so far; most, least: the m and M of `smo`;
    ending: "converged", "steps" (the limit), "stopped" (by the observer), "stalled" (rounding allows no step),
    "unbounded" (no bound on β, and the classes cannot be separated).
    """

    dual: Dual
    beta: np.ndarray
    residual: np.ndarray
    steps: int = 0
    most: float = np.inf
    least: float = -np.inf
    ending: str = "converged"
    rows_computed: int = 0

    @property
    def violation(self) -> float:
        """m − M, at most the tolerance after convergence; 0 where no pair is left."""
        return max(0.0, self.most - self.least)

    @property
    def intercept(self) -> float:
        """b of f(x) = Σ βᵢ K(xᵢ, x) + b: the mean over free coefficients, else the middle of what is allowed."""
        up, low = smo.offsets(self.beta, self.dual.lower, self.dual.upper, self.dual.epsilon)
        free = (up == low) & (np.abs(up) < smo.FAR)
        if free.any():
            return float(np.mean(self.residual[free] + up[free]))
        ends = [end for end in (self.most, self.least) if abs(end) < smo.FAR / 2]
        return float(np.mean(ends)) if ends else 0.0

    @property
    def squared_norm(self) -> float:
        """‖w‖² = βᵀKβ."""
        return float(self.beta @ (self.dual.target - self.residual))

    @property
    def objective(self) -> float:
        """The dual objective, maximised: targetᵀβ − ε Σ|β| − ½ βᵀKβ."""
        dual = self.dual
        return float(dual.target @ self.beta - dual.epsilon * np.abs(self.beta).sum() - 0.5 * self.squared_norm)

    @property
    def gap(self) -> float:
        """Primal less dual objective, ≥ 0 up to rounding: how far both are from the optimum at most."""
        dual, b = self.dual, self.intercept
        over = np.maximum(self.residual - b - dual.epsilon, 0)
        under = np.maximum(b - self.residual - dual.epsilon, 0)
        reach = np.maximum(dual.upper, -dual.lower)
        if np.isinf(reach).any():
            # Without slack: w is scaled until every row keeps its distance.
            loss = np.where(dual.upper > 0, over, 0) + np.where(dual.lower < 0, under, 0)
            nearest = 1 - float(loss.max(initial=0.0))
            return 0.5 * self.squared_norm / nearest**2 - self.objective if nearest > 0 else np.inf
        loss = dual.upper @ over - dual.lower @ under
        return float(0.5 * self.squared_norm + loss - self.objective)


Observer = Callable[[Solution], bool]


@dataclass(slots=True)
class Rows:
    """Kernel rows of the coefficients in `places`: against all n columns, and among themselves."""

    points: Points
    limit: int
    places: np.ndarray = field(default_factory=lambda: np.empty(0, np.int64))
    wide: np.ndarray = field(init=False)
    square: np.ndarray = field(init=False)
    held: np.ndarray = field(init=False)
    computed: int = 0

    def __post_init__(self) -> None:
        size = len(self.points)
        # Memory that is not written to costs nothing; beyond a moderate size it might be refused, and grows instead.
        whole = self.limit * (size + self.limit) * self.points.dtype.itemsize <= 2**30
        start = self.limit if whole else min(self.limit, 8 * BATCH)
        self.wide = np.empty((start, size), self.points.dtype)
        self.square = np.empty((start, start), self.points.dtype)
        self.held = np.zeros(size, bool)

    def fetch(self, wanted: np.ndarray) -> None:
        """Compute the rows of these coefficients, none of them held."""
        count, more = len(self.places), len(wanted)
        if count + more > len(self.wide):
            size = min(self.limit, max(count + more, 2 * len(self.wide)))
            wide = np.empty((size, self.wide.shape[1]), self.wide.dtype)
            square = np.empty((size, size), self.square.dtype)
            wide[:count], square[:count, :count] = self.wide[:count], self.square[:count, :count]
            self.wide, self.square = wide, square
        fresh = self.wide[count : count + more]
        self.points.take(wanted).products(self.points, out=fresh)
        self.places = np.concatenate([self.places, wanted])
        self.held[wanted] = True
        self.computed += more
        among = fresh[:, self.places]
        self.square[count : count + more, : count + more] = among
        self.square[: count + more, count : count + more] = among.T

    def drop(self, given_up: np.ndarray) -> None:
        """Forget the rows at these positions of `places`."""
        kept = np.delete(np.arange(len(self.places)), given_up)
        self.held[self.places[given_up]] = False
        self.places = self.places[kept]
        # Row by row, downwards: each is read before anything is written over it.
        for position, row in enumerate(kept):
            if position != row:
                self.wide[position] = self.wide[row]
        self.square[: len(kept), : len(kept)] = self.square[np.ix_(kept, kept)]


def row_limit(points: Points, budget: float) -> int:
    """How many rows may be held within `budget` MiB, at least two: r rows take r(n + 2r) numbers."""
    size = len(points)
    numbers = budget * 2**20 / points.dtype.itemsize
    return int(max(2, min(size, (np.sqrt(size * size + 8 * numbers) - size) / 4)))


def solve(
    points: Points,
    dual: Dual,
    *,
    tolerance: float = 1e-3,
    budget: float = 1024.0,
    most_steps: int = -1,
    shrinking: bool = True,
    observe: Observer | None = None,
    stride: int = 1,
) -> Solution:
    """Minimise until m − M ≤ tolerance; budget: MiB of kernel rows; most_steps: −1 for no limit.

    observe: called every `stride` steps with the state; True from it stops the search.
    """
    beta = np.zeros(len(points))
    state = Solution(dual, beta, dual.target.copy())
    rows, diagonal = Rows(points, row_limit(points, budget)), points.diagonal()
    unbounded = bool(np.isinf(dual.upper).any() or np.isinf(dual.lower).any())
    batch = max(BATCH, min(MOST, len(points) // 100))
    while True:
        state.most, state.least = smo.violation(state.residual, beta, dual.lower, dual.upper, dual.epsilon)
        state.rows_computed = rows.computed
        if state.most - state.least <= tolerance:
            return state
        if 0 <= most_steps <= state.steps:
            state.ending = "steps"
            return state
        if unbounded and _cannot_be_separated(state, diagonal):
            state.ending = "unbounded"
            return state
        fetched = _fetch(rows, state, tolerance, min(batch, rows.limit))
        limit = _step_limit(most_steps, state.steps, stride if observe is not None else 0, unbounded)
        outcome = _improve(rows, state, diagonal, tolerance, limit, shrinking)
        if outcome == smo.STALLED and not fetched:
            state.most, state.least = smo.violation(state.residual, beta, dual.lower, dual.upper, dual.epsilon)
            state.ending = "converged" if state.most - state.least <= tolerance else "stalled"
            return state
        if observe is not None:
            state.most, state.least = smo.violation(state.residual, beta, dual.lower, dual.upper, dual.epsilon)
            if observe(state):
                state.ending = "stopped"
                return state


def _step_limit(most_steps: int, taken: int, stride: int, unbounded: bool) -> int:
    """Steps until somebody must look."""
    limits = [limit for limit in (stride, 20_000 if unbounded else 0) if limit > 0]
    if most_steps >= 0:
        limits.append(most_steps - taken)
    return min(limits, default=2**62)


def _fetch(rows: Rows, state: Solution, tolerance: float, count: int) -> bool:
    """Bring in the worst violators from outside; True if any came. The worst pair of all is there afterwards."""
    dual, beta, residual = state.dual, state.beta, state.residual
    wanted = smo.worst(residual, beta, dual.lower, dual.upper, dual.epsilon, rows.held, tolerance / 2, count)
    excess = len(rows.places) + len(wanted) - rows.limit
    if len(wanted) and excess > 0:
        up, low = smo.offsets(beta, dual.lower, dual.upper, dual.epsilon)
        pair = np.array([np.argmax(residual + up), np.argmin(residual + low)])
        wanted = np.concatenate([pair[~rows.held[pair]], np.setdiff1d(wanted, pair)])
        # Given up are those farthest from having to move again, some more than need be so that it is seldom done.
        urgency = np.maximum(residual + up - state.least, state.most - residual - low)[rows.places]
        urgency[np.isin(rows.places, pair)] = np.inf
        room = int(np.isin(rows.places, pair).sum())
        excess = min(max(excess, rows.limit // 4), len(rows.places) - room)
        rows.drop(np.argsort(urgency, kind="stable")[:excess])
        wanted = wanted[: rows.limit - len(rows.places)]
    if len(wanted):
        rows.fetch(wanted)
    return bool(len(wanted))


def _improve(
    rows: Rows, state: Solution, diagonal: np.ndarray, tolerance: float, limit: int, shrinking: bool
) -> int:
    """Minimise among the held coefficients, then bring all residuals up to date; the outcome of `smo.take_steps`."""
    dual, places = state.dual, rows.places
    kernel, chosen = rows.square[: len(places)], np.arange(len(places))
    if shrinking:
        chosen = _moving(state, places)
        if len(chosen) < 0.7 * len(places):
            kernel = np.ascontiguousarray(rows.square[np.ix_(chosen, chosen)])
        else:
            chosen = np.arange(len(places))
    inside = places[chosen]
    before, beta = state.beta[inside], state.beta[inside]
    outcome, taken, _ = smo.take_steps(
        state.residual[inside],
        beta,
        dual.lower[inside],
        dual.upper[inside],
        dual.epsilon,
        kernel,
        diagonal[inside],
        max(tolerance, PART * (state.most - state.least)) if len(places) < len(state.beta) else tolerance,
        limit,
    )
    state.steps += taken
    state.beta[inside] = beta
    change = np.zeros(len(places))
    change[chosen] = beta - before
    smo.subtract_rows(state.residual, rows.wide[: len(places)], change)
    return outcome


def _moving(state: Solution, places: np.ndarray) -> np.ndarray:
    """Positions of the held coefficients that may have to move; those at a bound, and rightly there, are left out."""
    dual = state.dual
    beta, residual = state.beta[places], state.residual[places]
    up, low = smo.offsets(beta, dual.lower[places], dual.upper[places], dual.epsilon)
    slack = 0.25 * (state.most - state.least)
    return np.flatnonzero((residual + up > state.least - slack) | (residual + low < state.most + slack))


def _cannot_be_separated(state: Solution, diagonal: np.ndarray) -> bool:
    """Whether the coefficients prove that the margin is next to nothing.

    With S = Σ|βᵢ| the points Σ 2|βᵢ|/S φ(xᵢ) of either class lie in its convex hull, 2‖w‖/S apart; the margin is at
    most half the distance of the hulls.
    """
    total = float(np.abs(state.beta).sum())
    size = float(np.sqrt(np.abs(diagonal).max(initial=0.0)))
    return total > 0 and np.sqrt(max(state.squared_norm, 0.0)) <= LEAST_MARGIN * size * total
