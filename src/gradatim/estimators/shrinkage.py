"""Least squares with an L1 and an L2 penalty: the problem, its duality gap, and the search for its optimum.

Minimise  P(w) = ½ Σ sᵢ (tᵢ − aᵢᵀw)² + λ₁‖w‖₁ + ½ λ₂‖w‖²,  sᵢ = wᵢ/Σw, with a and t centred where there is an
intercept. Any residual r scaled until every column pulls by at most λ₁ is a point of the dual, so the gap between P and
the dual objective there bounds how far P is above its optimum (Osborne, Presnell and Turlach, 2000).

What to notice: coordinate descent needs only G = AᵀSA, and G may be rough. Each round minimises with a G from float32
products, then takes the true gradient in one walk over the rows and corrects; the answer is as exact as the walk, for
half the price of an exact G. Where there are many columns, G is built only for those that may matter (a working set:
those not zero, then those that pull most; Massias, Gramfort and Salmon, Celer, 2018).
"""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import scipy.linalg
import scipy.sparse

from gradatim.estimators import gram
from gradatim.estimators.coordinate import minimise_quadratic
from gradatim.estimators.gram import Matrix
from gradatim.estimators.proximal import proximal_gradient

# Up to this many columns the whole Gram matrix is built at once (32 MB).
WHOLE = 2048
# The largest Gram matrix of a working set, 512 MB; a problem with more columns that matter goes to FISTA.
LARGEST_GRAM = 8192
# Multiplications above which the Gram matrix is made of float32 products.
WORTH_ROUGH = 2e9
ROUNDS = 100
# observe(coefficients) → whether to stop.
Observe = Callable[[np.ndarray], bool]


@dataclass(slots=True)
class Problem:
    """Centred inputs with what all targets and penalties share: `shares` sum to one, `squares` is the diagonal of G."""

    X: Matrix
    means: np.ndarray
    shares: np.ndarray
    squares: np.ndarray = field(init=False)
    columns: Matrix = field(init=False)
    whole: np.ndarray | None = field(init=False, default=None)
    rough: bool = field(init=False, default=False)

    def __post_init__(self) -> None:
        squares = gram.column_squares(self.X, self.means, self.shares)
        # What centring leaves of a constant column is rounding.
        noise = 10 * np.finfo(self.X.dtype).eps * np.abs(self.means)
        self.squares = np.where(squares > noise**2, squares, 0.0)
        self.columns = self.X.tocsc() if scipy.sparse.issparse(self.X) else self.X
        self.rough = not scipy.sparse.issparse(self.X) and self.X.size * float(self.X.shape[1]) > WORTH_ROUGH

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
        if self.rough:
            lengths = np.sqrt(squares)
            scales = np.divide(1.0, lengths, out=np.zeros_like(lengths), where=lengths > 0)
            matrix = gram.fast_gram(X, means, self.shares, scales) * lengths * lengths[:, None]
        else:
            matrix = gram.gram(X, means, self.shares)
        matrix[squares == 0] = 0.0
        matrix[:, squares == 0] = 0.0
        matrix.flat[:: len(matrix) + 1] = squares
        return matrix

    def sharpen(self) -> None:
        """Give up the rough Gram matrix for an exact one."""
        self.rough, self.whole = False, None

    def goal(self, target: np.ndarray, tol: float) -> float:
        """The duality gap to reach: tol times the mean square of the target, but nothing that rounding hides."""
        return max(tol, 4 * float(np.finfo(self.X.dtype).eps)) * float(self.shares @ target**2)

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
    squares = float(shares @ residual**2)
    objective = squares / 2 + penalty.of(coefficients)
    slope = pull - penalty.squared * coefficients
    if penalty.absolute == 0:
        steep = float(slope @ slope)
        return objective, steep / 2 / penalty.squared if penalty.squared > 0 else steep
    largest = float(np.max(slope if penalty.positive else np.abs(slope), initial=0.0))
    scale = min(1.0, penalty.absolute / largest) if largest > 0 else 1.0
    inner = squares + penalty.squared * float(coefficients @ coefficients)
    dual = scale * float(shares @ (residual * target)) - scale * scale * inner / 2
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
) -> Optimum:
    """Rounds of coordinate descent on G, each followed by the true residual; ends at gap ≤ tol · Σ sᵢtᵢ²."""
    coefficients, columns = start.copy(), problem.X.shape[1]
    goal = problem.goal(target, tol)
    sweeps, before, chosen, matrix = 0, np.inf, None, None
    size = 64
    for _ in range(ROUNDS):
        residual, pull = problem.residual_and_pull(target, coefficients)
        objective, gap = objective_and_gap(target, problem.shares, residual, pull, coefficients, penalty)
        if gap <= goal or sweeps >= max_iter:
            return Optimum(coefficients, objective, gap, max(sweeps, 1), gap <= goal)
        if columns > WHOLE and problem.whole is None:
            support = int(np.count_nonzero(coefficients))
            size = min(max(2 * support, size), columns)
            if size > LARGEST_GRAM:
                return proximal(
                    problem, target, penalty, coefficients, tol=tol, max_iter=max_iter, accelerated=True,
                    observe=observe,
                )  # fmt: skip
            wanted = _working_set(problem, pull, coefficients, penalty, size)
            if chosen is None or not np.array_equal(wanted, chosen):
                chosen, matrix = wanted, None
            elif gap > before / 2:
                size = 2 * size
        if gap > before / 2 and problem.rough:
            problem.sharpen()
            matrix = None
        before = gap
        if matrix is None:
            matrix = problem.gram(chosen).copy()
            matrix.flat[:: len(matrix) + 1] += np.where(matrix.diagonal() > 0, penalty.squared, 0.0)
        coefficients, done, stopped = _round(
            problem, matrix, chosen, pull, coefficients, penalty, goal, max_iter - sweeps, observe
        )
        sweeps += done
        if stopped:
            break
    residual, pull = problem.residual_and_pull(target, coefficients)
    objective, gap = objective_and_gap(target, problem.shares, residual, pull, coefficients, penalty)
    return Optimum(coefficients, objective, gap, max(sweeps, 1), True)


def _round(
    problem: Problem,
    matrix: np.ndarray,
    chosen: np.ndarray | None,
    pull: np.ndarray,
    coefficients: np.ndarray,
    penalty: Penalty,
    goal: float,
    most: int,
    observe: Observe | None,
) -> tuple[np.ndarray, int, bool]:
    """Minimise with G and the true gradient at `coefficients`; new coefficients, sweeps, whether told to stop."""
    places = np.arange(len(coefficients)) if chosen is None else chosen
    inner = coefficients[places]
    # c such that the gradient Gw − c at the present w is the true one.
    tilted = pull[places] - penalty.squared * inner + matrix @ inner
    after, stopped = coefficients.copy(), False

    def watch(values: np.ndarray) -> bool:
        nonlocal stopped
        after[places] = values
        stopped = observe is not None and observe(after)
        return stopped

    values, sweeps, _ = minimise_quadratic(
        matrix, tilted, np.full(len(places), penalty.absolute), inner,
        # Violations of this size leave a gap well under the goal.
        tolerance=0.03 * float(np.sqrt(goal / max(np.count_nonzero(inner), 1))),
        most=max(most, 1), positive=penalty.positive, observe=watch if observe is not None else None,
    )  # fmt: skip
    after[places] = values
    return after, sweeps, stopped


def _working_set(
    problem: Problem, pull: np.ndarray, coefficients: np.ndarray, penalty: Penalty, size: int
) -> np.ndarray:
    """The columns that are not zero and then those that pull most against their penalty, `size` in all, in order."""
    slope = pull - penalty.squared * coefficients
    lengths = np.sqrt(problem.squares)
    strength = np.divide(
        slope if penalty.positive else np.abs(slope), lengths, out=np.zeros(len(lengths)), where=lengths > 0
    )
    strength[coefficients != 0] = np.inf
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
        problem.sharpen()
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
        top = len(matrix) - 1
        return float(scipy.linalg.eigvalsh(matrix, subset_by_index=(top, top), check_finite=False)[0])
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
