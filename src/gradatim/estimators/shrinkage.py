"""Least squares with an L1 and an L2 penalty: the problem, its duality gap, and the search for its optimum.

Minimise  P(w) = ½ Σ sᵢ (tᵢ − aᵢᵀw)² + λ₁‖w‖₁ + ½ λ₂‖w‖²,  sᵢ = wᵢ/Σw, with a and t centred where there is an
intercept. Any residual r scaled until every column pulls by at most λ₁ is a point of the dual, so the gap between P and
the dual objective there bounds how far P is above its optimum (Osborne, Presnell and Turlach, 2000).

What to notice: coordinate descent needs only G = AᵀSA, and G may be rough. Each round minimises with a G from a sample
of the rows, takes the true gradient in one walk over all rows, and corrects G by what the walk showed (as BFGS does);
the answer is as exact as the walk, for a fraction of the price of G. Where there are many columns, G is built only for
those that may matter (a working set: those not zero, then those that pull most; Massias, Gramfort and Salmon, Celer,
2018).
"""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import scipy.sparse

from gradatim.estimators import gram
from gradatim.estimators.coordinate import minimise_quadratic
from gradatim.estimators.gram import Matrix
from gradatim.estimators.proximal import proximal_gradient

# Up to this many columns the whole Gram matrix is built at once (32 MB) where a sample of the rows will do ...
WHOLE = 2048
# ... or where at least this share of them pulls more than its penalty at the start.
DENSE_SHARE = 0.25
# The largest Gram matrix of a working set, 512 MB; a problem with more columns that matter goes to FISTA.
LARGEST_GRAM = 8192
# Multiplications above which the Gram matrix is made of float32 products.
WORTH_ROUGH = 2e9
ROUNDS = 100
_NO_ROWS = np.empty(0)
# Rows of a sample for each column, so that the sample's correlations are those of all rows to about a quarter.
SAMPLE_PER_COLUMN = 16
# observe(coefficients) → whether to stop.
Observe = Callable[[np.ndarray], bool]


@dataclass(slots=True)
class Problem:
    """Inputs, weights and whether to centre; with what all targets and penalties share: `shares` sum to one, `means` of
    the columns, `squares`, the diagonal of G. precision: whether G is made from a sample of the rows ("sample"), from
    float32 products of all ("float32"), or exactly ("exact").
    """

    X: Matrix
    weights: np.ndarray
    centred: bool
    shares: np.ndarray = field(init=False)
    means: np.ndarray = field(init=False)
    squares: np.ndarray = field(init=False)
    columns: Matrix = field(init=False)
    whole: np.ndarray | None = field(init=False, default=None)
    precision: str = field(init=False, default="exact")

    def __post_init__(self) -> None:
        self.shares = self.weights / self.weights.sum()
        self.means, squares = gram.moments(self.X, self.shares, self.centred)
        # What centring leaves of a constant column is rounding.
        noise = 10 * np.finfo(self.X.dtype).eps * np.abs(self.means)
        self.squares = np.where(squares > noise**2, squares, 0.0)
        self.columns = self.X.tocsc() if scipy.sparse.issparse(self.X) else self.X
        if not scipy.sparse.issparse(self.X) and self.X.size * float(self.X.shape[1]) > WORTH_ROUGH:
            self.precision = "sample" if self._sample_size() < 0.6 * self.X.shape[0] else "float32"

    def by_parts(self, slope: np.ndarray, absolute: float) -> bool:
        """Whether G is better built for a working set of the columns than at once."""
        if self.whole is not None or self.X.shape[1] > WHOLE:
            return self.whole is None
        return self.precision != "sample" and float(np.mean(np.abs(slope) > absolute)) < DENSE_SHARE

    def _sample_size(self) -> int:
        return max(SAMPLE_PER_COLUMN * min(self.X.shape[1], WHOLE), self.X.shape[0] // 8)

    def gram(self, chosen: np.ndarray | None) -> np.ndarray:
        """G, or its rows and columns of the chosen columns; float64, kept where it is whole."""
        if chosen is None:
            if self.whole is None:
                self.whole = self._product(self.X, np.arange(self.X.shape[1]))
            return self.whole
        if self.whole is not None:
            return np.ascontiguousarray(self.whole[np.ix_(chosen, chosen)])
        part = self.columns[:, chosen]
        return self._product(part.tocsr() if scipy.sparse.issparse(part) else np.ascontiguousarray(part), chosen)

    def _product(self, X: Matrix, chosen: np.ndarray) -> np.ndarray:
        means, squares = self.means[chosen], self.squares[chosen]
        if self.precision == "exact":
            matrix = gram.gram(X, means, self.shares)
        else:
            rows = None
            if self.precision == "sample":
                rows = np.sort(np.random.default_rng(0).permutation(X.shape[0])[: self._sample_size()])
            matrix = gram.sampled_gram(X, means, self.shares, np.sqrt(squares), rows)
        matrix[squares == 0] = 0.0
        matrix[:, squares == 0] = 0.0
        return matrix

    def sharpen(self, *, entirely: bool = False) -> None:
        """Give up a rough Gram matrix for the next better one, or for an exact one."""
        self.precision = "float32" if self.precision == "sample" and not entirely else "exact"
        self.whole = None

    def goal(self, target: np.ndarray, tol: float) -> float:
        """The duality gap to reach: tol times the mean square of the target, but nothing that rounding hides."""
        return max(tol, 8 * float(np.finfo(self.X.dtype).eps)) * float(self.shares @ target**2)

    def residual_and_pull(self, target: np.ndarray, coefficients: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The residual (n,) and AᵀS times it (d,)."""
        residual, pull = gram.residual_and_pull(self.X, self.means, self.shares, target, coefficients)
        return residual, np.where(self.squares > 0, pull, 0.0)


@dataclass(frozen=True, slots=True)
class Penalty:
    """λ₁ ‖w‖₁ + ½ λ₂ ‖w‖², with w ≥ 0 where positive."""

    absolute: float
    squared: float
    positive: bool = False

    def of(self, coefficients: np.ndarray) -> float:
        """The penalty of these coefficients."""
        return self.absolute * float(np.abs(coefficients).sum()) + self.squared / 2 * float(coefficients @ coefficients)


@dataclass(frozen=True, slots=True)
class Optimum:
    """Coefficients (d,), P there, an upper bound on P − its minimum, iterations, and whether the gap fell to tol."""

    coefficients: np.ndarray
    objective: float
    gap: float
    iterations: int
    converged: bool


def objective_and_gap(
    target: np.ndarray,
    shares: np.ndarray,
    residual: np.ndarray,
    pull: np.ndarray,
    coefficients: np.ndarray,
    penalty: Penalty,
) -> tuple[float, float]:
    """P, and the duality gap at the scaled residual (without L1 penalty: half the squared gradient over λ₂)."""
    squares, along = float(shares @ residual**2), float(shares @ (residual * target))
    return _objective_and_gap(squares, along, pull, coefficients, penalty)


def _objective_and_gap(
    squares: float, along: float, pull: np.ndarray, coefficients: np.ndarray, penalty: Penalty
) -> tuple[float, float]:
    """The same from the mean square of the residual and its mean product with the target."""
    objective = squares / 2 + penalty.of(coefficients)
    slope = pull - penalty.squared * coefficients
    if penalty.absolute == 0:
        steep = float(slope @ slope)
        return objective, steep / 2 / penalty.squared if penalty.squared > 0 else steep
    largest = float(np.max(slope if penalty.positive else np.abs(slope), initial=0.0))
    scale = min(1.0, penalty.absolute / largest) if largest > 0 else 1.0
    inner = squares + penalty.squared * float(coefficients @ coefficients)
    dual = scale * along - scale * scale * inner / 2
    return objective, max(objective - dual, 0.0)


def coordinate_descent(
    problem: Problem,
    target: np.ndarray,
    penalty: Penalty,
    start: np.ndarray,
    *,
    tol: float,
    max_iter: int,
    observe: Observe | None = None,
    moment: np.ndarray | None = None,
) -> Optimum:
    """Rounds of coordinate descent on G, each followed by the true residual; ends at gap ≤ tol · Σ sᵢtᵢ².

    moment: AᵀSt, where G is whole and exact: then the rows are not walked over at all, and the gap is known to about
    1e-14 of Σ sᵢtᵢ².
    """
    goal = problem.goal(target, tol)
    size_of_target = float(problem.shares @ target**2)

    def arrive(at: np.ndarray) -> _Point:
        if moment is None:
            return _Point.at(problem, target, penalty, at)
        pull, along = moment - problem.gram(None) @ at, size_of_target - float(moment @ at)
        squares = max(along - float(at @ pull), 0.0)
        return _Point(at, _NO_ROWS, pull, *_objective_and_gap(squares, along, pull, at, penalty))

    here = arrive(start)
    sweeps, size, slow, stopped = 0, 64, 0, False
    # Violations of the conditions of this size should leave a gap under the goal; if they do not, ask for smaller ones.
    tolerance = 0.03 * float(np.sqrt(goal / max(min(problem.X.shape), 1)))
    chosen: np.ndarray | None = None
    matrix: np.ndarray | None = None
    by_parts = problem.by_parts(here.pull, penalty.absolute)
    for _ in range(ROUNDS):
        if here.gap <= goal or sweeps >= max_iter or stopped:
            break
        if by_parts:
            size = min(max(2 * int(np.count_nonzero(here.coefficients)), size), problem.X.shape[1])
            if size > LARGEST_GRAM:
                return proximal(
                    problem, target, penalty, here.coefficients, tol=tol, max_iter=max_iter, accelerated=True,
                    observe=observe,
                )  # fmt: skip
            wanted = _working_set(problem, here, penalty, size)
            if chosen is None or not np.array_equal(wanted, chosen):
                chosen, matrix = wanted, None
        if matrix is None:
            matrix = problem.gram(chosen).copy()
            matrix.flat[:: len(matrix) + 1] += np.where(matrix.diagonal() > 0, penalty.squared, 0.0)
        after, done, stopped = _round(matrix, chosen, here, penalty, tolerance, max_iter - sweeps, observe)
        sweeps += done
        there = arrive(after)
        if moment is None:
            there = there.on_the_way_from(here, problem, target, penalty)
        if problem.precision != "exact":
            _learn(matrix, chosen, here, there, penalty)
        slow = slow + 1 if there.gap > here.gap / 2 else 0
        tolerance *= 0.1 if slow or done <= 1 else 1.0
        if slow >= 3:
            if problem.precision == "exact" and (chosen is None or size >= problem.X.shape[1]):
                here = min(here, there, key=lambda point: point.gap)
                break  # what is left is rounding
            size, slow = 2 * size, 0
            if problem.precision != "exact":
                problem.sharpen()
                matrix = None
        here = there
    return Optimum(here.coefficients, here.objective, here.gap, max(sweeps, 1), here.gap <= goal or stopped)


@dataclass(frozen=True, slots=True)
class _Point:
    """Coefficients, with the residual, what the columns pull there, P and the gap."""

    coefficients: np.ndarray
    residual: np.ndarray
    pull: np.ndarray
    objective: float
    gap: float

    @classmethod
    def at(cls, problem: Problem, target: np.ndarray, penalty: Penalty, coefficients: np.ndarray) -> "_Point":
        residual, pull = problem.residual_and_pull(target, coefficients)
        return cls(
            coefficients,
            residual,
            pull,
            *objective_and_gap(target, problem.shares, residual, pull, coefficients, penalty),
        )

    def on_the_way_from(self, before: "_Point", problem: Problem, target: np.ndarray, penalty: Penalty) -> "_Point":
        """This point, or where a rough G led uphill one nearer to `before`: residual and pull are linear on the way."""
        point, share = self, 1.0
        while not point.objective <= before.objective * (1 + 1e-12) and share > 1e-4:
            share /= 2
            values = before.coefficients + share * (self.coefficients - before.coefficients)
            residual = before.residual + share * (self.residual - before.residual)
            pull = before.pull + share * (self.pull - before.pull)
            point = _Point(
                values, residual, pull, *objective_and_gap(target, problem.shares, residual, pull, values, penalty)
            )
        return point


def _learn(matrix: np.ndarray, chosen: np.ndarray | None, here: _Point, there: _Point, penalty: Penalty) -> None:
    """Correct G, in place, so that it maps the way just made to the change of gradient seen on it (BFGS)."""
    places = slice(None) if chosen is None else chosen
    way = (there.coefficients - here.coefficients)[places]
    change = (here.pull - there.pull)[places] + penalty.squared * way
    image = matrix @ way
    bent, expected = float(way @ change), float(way @ image)
    if bent > 1e-12 * float(np.linalg.norm(way) * np.linalg.norm(change)) and expected > 0:
        matrix += np.outer(change, change / bent)
        matrix -= np.outer(image, image / expected)


def _round(
    matrix: np.ndarray,
    chosen: np.ndarray | None,
    here: _Point,
    penalty: Penalty,
    tolerance: float,
    most: int,
    observe: Observe | None,
) -> tuple[np.ndarray, int, bool]:
    """Minimise with G and the true gradient `here`; new coefficients, sweeps, whether told to stop."""
    places = np.arange(len(here.coefficients)) if chosen is None else chosen
    inner = here.coefficients[places]
    # c such that the gradient Gw − c at the present w is the true one.
    tilted = here.pull[places] - penalty.squared * inner + matrix @ inner
    after, stopped = here.coefficients.copy(), False

    def watch(values: np.ndarray) -> bool:
        nonlocal stopped
        after[places] = values
        stopped = observe is not None and observe(after)
        return stopped

    values, sweeps, _ = minimise_quadratic(
        matrix, tilted, np.full(len(places), penalty.absolute), inner, tolerance=tolerance, most=max(most, 1),
        positive=penalty.positive, observe=watch if observe is not None else None,
    )  # fmt: skip
    after[places] = values
    return after, sweeps, stopped


def _working_set(problem: Problem, here: _Point, penalty: Penalty, size: int) -> np.ndarray:
    """The columns that are not zero and then those that pull most against their penalty, `size` in all, in order."""
    slope = here.pull - penalty.squared * here.coefficients
    lengths = np.sqrt(problem.squares)
    strength = slope if penalty.positive else np.abs(slope)
    strength = np.divide(strength, lengths, out=np.zeros(len(lengths)), where=lengths > 0)
    strength[here.coefficients != 0] = np.inf
    return np.sort(np.argpartition(-strength, size - 1)[:size])


def proximal(
    problem: Problem,
    target: np.ndarray,
    penalty: Penalty,
    start: np.ndarray,
    *,
    tol: float,
    max_iter: int,
    accelerated: bool,
    observe: Observe | None = None,
) -> Optimum:
    """ISTA or FISTA to gap ≤ tol · Σ sᵢtᵢ²; on G where it is whole, else with a walk over the rows an iteration."""
    goal = problem.goal(target, tol)
    small = problem.X.shape[1] <= min(WHOLE, 2 * problem.X.shape[0])
    if small:
        if problem.precision != "exact":
            problem.sharpen(entirely=True)
        matrix = problem.gram(None)
        moment = problem.residual_and_pull(target, np.zeros(len(start)))[1]

    def gradient(at: np.ndarray) -> np.ndarray:
        pull = moment - matrix @ at if small else problem.residual_and_pull(target, at)[1]
        return penalty.squared * at - pull

    found: list[Optimum] = []

    def finished(values: np.ndarray, iteration: int) -> bool:
        if observe is not None and observe(values):
            return True
        if iteration % 10 and iteration < max_iter:
            return False
        residual, pull = problem.residual_and_pull(target, values)
        objective, gap = objective_and_gap(target, problem.shares, residual, pull, values, penalty)
        found[:] = [Optimum(values, objective, gap, iteration, gap <= goal)]
        return gap <= goal

    curvature = (1 + 1e-6) * (_largest_eigenvalue(problem, matrix if small else None) + penalty.squared)
    values, iterations = proximal_gradient(
        gradient, start, curvature or 1.0, penalty.absolute,
        accelerated=accelerated, max_iter=max_iter, finished=finished, positive=penalty.positive,
    )  # fmt: skip
    if found and found[0].iterations == iterations:
        return found[0]
    residual, pull = problem.residual_and_pull(target, values)
    objective, gap = objective_and_gap(target, problem.shares, residual, pull, values, penalty)
    return Optimum(values, objective, gap, iterations, True)


def _largest_eigenvalue(problem: Problem, matrix: np.ndarray | None) -> float:
    """The largest eigenvalue of G: exactly where it is there, else from above by power iteration and its residual."""
    if matrix is not None:
        return float(np.linalg.eigvalsh(matrix)[-1])
    vector = np.random.default_rng(0).normal(size=problem.X.shape[1])
    value = 0.0
    zero = np.zeros(problem.X.shape[0])
    for _ in range(100):
        vector /= np.linalg.norm(vector)
        image = -problem.residual_and_pull(zero, vector)[1]
        before, value = value, float(vector @ image)
        if value <= 0 or abs(value - before) <= 1e-6 * value:
            break
        vector = image
    return 1.02 * value
