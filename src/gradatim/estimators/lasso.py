"""Lasso and elastic net: least squares whose coefficients are shrunk, and partly to zero exactly.

Minimise  P(w, b) = 1/(2Σw) Σ wᵢ (yᵢ − xᵢᵀw − b)² + α ρ ‖w‖₁ + ½ α (1 − ρ) ‖w‖²  (Tibshirani, 1996; Zou and Hastie,
2005). The search is in `shrinkage`; `lasso_path` walks over penalties, each from the solution of the one before.
What to notice: the squared penalty scales all coefficients down, the absolute one moves them all towards zero by the
same amount and leaves the small ones there.
"""

import warnings
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator
from sklearn.callback import CallbackSupportMixin, with_callbacks
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils.validation import _check_sample_weight, check_X_y

from gradatim.estimators.linear import _LinearPredictor, centre_targets, read_rows, shaped
from gradatim.estimators.shrinkage import (
    Optimum,
    Penalty,
    Problem,
    coordinate_descent,
    objective_and_gap,
    proximal,
)
from gradatim.estimators.watching import Watch

SOLVERS = ("coordinate", "ista", "fista")


class ElasticNet(CallbackSupportMixin, _LinearPredictor, BaseEstimator):
    """Linear least squares with an L1 and an L2 penalty on the coefficients.

    Minimise 1/(2Σw) Σ wᵢ (yᵢ − xᵢᵀw − b)² + alpha · l1_ratio ‖w‖₁ + ½ alpha (1 − l1_ratio) ‖w‖².
    alpha ≥ 0; l1_ratio in [0, 1]; solver: "coordinate" (coordinate descent with jumps, on the Gram matrix), "fista" or
    "ista" (accelerated and plain proximal gradient); positive: only coefficients ≥ 0; tol: stop when the duality gap is
    at most tol · Σ w (y − mean)² / Σ w; max_iter: sweeps or iterations, of each target; warm_start: start from coef_.
    X (n, d) dense or CSR, float32 or float64; y (n,) or (n, targets), each target fitted alone.
    Fitted: coef_, intercept_, n_iter_, dual_gap_ and objective_ (numbers, or an array of one a target).
    Source: Zou and Hastie (2005); coordinate descent: Friedman, Hastie and Tibshirani (2010); FISTA: Beck and Teboulle
    (2009).

    >>> X = np.array([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0], [0.0, -1.0]])
    >>> ElasticNet(alpha=0.5, l1_ratio=0.5).fit(X, [3.0, 0.4, -3.0, -0.4]).coef_.round(6).tolist()
    [1.666667, 0.0]
    """

    def __init__(
        self,
        alpha: float = 1.0,
        *,
        l1_ratio: float = 0.5,
        fit_intercept: bool = True,
        solver: str = "coordinate",
        positive: bool = False,
        tol: float = 1e-4,
        max_iter: int = 10_000,
        warm_start: bool = False,
    ) -> None:
        self.alpha = alpha
        self.l1_ratio = l1_ratio
        self.fit_intercept = fit_intercept
        self.solver = solver
        self.positive = positive
        self.tol = tol
        self.max_iter = max_iter
        self.warm_start = warm_start

    def _ratio(self) -> float:
        ratio = getattr(self, "l1_ratio", 1.0)
        if not (np.isfinite(ratio) and 0 <= ratio <= 1):
            raise ValueError(f"l1_ratio: expected a number in [0, 1], received {ratio!r}")
        return float(ratio)

    @with_callbacks
    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Find the coefficients; sample_weight (n,) ≥ 0 or one number."""
        if self.solver not in SOLVERS:
            raise ValueError(f"solver: expected one of {', '.join(SOLVERS)}, received {self.solver!r}")
        if not (np.isfinite(self.alpha) and self.alpha >= 0):
            raise ValueError(f"alpha: expected a number ≥ 0, received {self.alpha!r}")
        penalty = Penalty(self.alpha * self._ratio(), self.alpha * (1 - self._ratio()), bool(self.positive))
        X, y, weights = read_rows(self, X, y, sample_weight)
        problem = Problem(X, weights, bool(self.fit_intercept))
        targets, target_means = centre_targets(y, weights, bool(self.fit_intercept))
        several = targets.shape[1] > 1
        watch = Watch(self, X, y, sample_weight=sample_weight, most=None)
        starts = np.zeros((X.shape[1], targets.shape[1]))
        if self.warm_start and getattr(self, "coef_", np.empty(0)).size == starts.size:
            starts = self.coef_.reshape(targets.shape[1], -1).T.astype(np.float64)
        found: list[Optimum] = []
        for place in range(targets.shape[1]):
            task = watch.part("target", most=None) if several and watch.active else watch
            so_far = np.stack([*(one.coefficients for one in found), *starts.T[place:]], axis=1)
            found.append(self._search(problem, targets, target_means, place, penalty, so_far, task, y.ndim == 1))
            if task is not watch:
                task.end()
        coefficients = np.stack([one.coefficients for one in found], axis=1)
        self._keep(coefficients, target_means - problem.means @ coefficients, y.ndim == 1, X.dtype)
        self.n_iter_: Any = [one.iterations for one in found] if several else found[0].iterations
        self.dual_gap_: Any = np.array([one.gap for one in found]) if several else found[0].gap
        self.objective_: Any = np.array([one.objective for one in found]) if several else found[0].objective
        if not all(one.converged for one in found):
            warnings.warn(
                f"{type(self).__name__} stopped after max_iter={self.max_iter} iterations with a duality gap of"
                f" {max(one.gap for one in found):.3g}, above tol={self.tol}; raise max_iter or alpha, or scale the"
                " columns",
                ConvergenceWarning,
                stacklevel=3,
            )
        watch.end()
        return self

    def _search(
        self,
        problem: Problem,
        targets: np.ndarray,
        target_means: np.ndarray,
        place: int,
        penalty: Penalty,
        so_far: np.ndarray,
        watch: Watch,
        one: bool,
    ) -> Optimum:
        """The optimum for one target, publishing each step."""
        target, steps = targets[:, place], 0

        def observe(values: np.ndarray) -> bool:
            nonlocal steps
            steps += 1

            def attributes() -> dict[str, Any]:
                every = so_far.copy()
                every[:, place] = values
                residual, pull = problem.residual_and_pull(target, values)
                objective, gap = objective_and_gap(target, problem.shares, residual, pull, values, penalty)
                intercept = target_means - problem.means @ every
                return shaped(every, intercept, one, bool(self.fit_intercept), problem.X.dtype) | {
                    "objective_": objective,
                    "dual_gap_": gap,
                    "n_iter_": steps,
                }

            return watch.step(attributes)

        options: dict[str, Any] = {
            "tol": self.tol,
            "max_iter": self.max_iter,
            "observe": observe if watch.active else None,
        }
        if self.solver == "coordinate":
            return coordinate_descent(problem, target, penalty, so_far[:, place], **options)
        return proximal(problem, target, penalty, so_far[:, place], accelerated=self.solver == "fista", **options)


class Lasso(ElasticNet):
    """Linear least squares with an L1 penalty: an elastic net with l1_ratio = 1, and its arguments otherwise.

    Minimise 1/(2Σw) Σ wᵢ (yᵢ − xᵢᵀw − b)² + alpha ‖w‖₁. Source: Tibshirani (1996).

    >>> X = np.array([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0], [0.0, -1.0]])
    >>> Lasso(alpha=0.5).fit(X, [3.0, 0.4, -3.0, -0.4]).coef_.round(6).tolist()
    [2.0, 0.0]
    """

    def __init__(
        self,
        alpha: float = 1.0,
        *,
        fit_intercept: bool = True,
        solver: str = "coordinate",
        positive: bool = False,
        tol: float = 1e-4,
        max_iter: int = 10_000,
        warm_start: bool = False,
    ) -> None:
        self.alpha = alpha
        self.fit_intercept = fit_intercept
        self.solver = solver
        self.positive = positive
        self.tol = tol
        self.max_iter = max_iter
        self.warm_start = warm_start


def elastic_net_path(
    X: Any,
    y: Any,
    *,
    l1_ratio: float = 0.5,
    alphas: ArrayLike | None = None,
    eps: float = 1e-3,
    n_alphas: int = 100,
    fit_intercept: bool = False,
    positive: bool = False,
    tol: float = 1e-4,
    max_iter: int = 10_000,
    sample_weight: Any = None,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Solutions of the elastic net for many penalties: alphas (k,) descending, coefficients (d, k), duality gaps (k,).

    Without `alphas`, n_alphas of them from the least that leaves all coefficients zero down to eps times that, in
    equal ratios. y (n,). As with scikit-learn's path, nothing is centred unless fit_intercept. The Gram matrix is made
    once, and each penalty starts where the one before ended.
    Source: Friedman, Hastie and Tibshirani (2010), section 2.5.

    >>> X = np.array([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0], [0.0, -1.0]])
    >>> alphas, coefficients, gaps = lasso_path(X, np.array([3.0, 0.4, -3.0, -0.4]), alphas=[1.0, 0.1])
    >>> alphas.tolist(), coefficients.round(6).tolist()
    ([1.0, 0.1], [[1.0, 2.8], [0.0, 0.2]])
    """
    X, y = check_X_y(X, y, accept_sparse="csr", dtype=[np.float64, np.float32], y_numeric=True)
    if not 0 < l1_ratio <= 1:
        raise ValueError(f"l1_ratio: expected a number in (0, 1], received {l1_ratio!r}")
    weights = _check_sample_weight(sample_weight, X, dtype=np.float64, ensure_non_negative=True)
    target = centre_targets(y, weights, fit_intercept)[0][:, 0]
    problem = Problem(X, weights, fit_intercept)
    if alphas is None:
        pull = problem.residual_and_pull(target, np.zeros(X.shape[1]))[1]
        largest = max(float(np.max(pull if positive else np.abs(pull))) / l1_ratio, np.finfo(float).tiny)
        grid = largest * np.logspace(0, np.log10(eps), n_alphas)
    else:
        grid = np.sort(np.asarray(alphas, dtype=np.float64).ravel())[::-1]
        if not grid.size or not np.all(np.isfinite(grid)) or np.any(grid < 0):
            raise ValueError(f"alphas: expected a list of numbers ≥ 0, received {alphas!r}")
    moment = None
    if X.shape[1] <= min(2 * X.shape[0], 4096):
        # One exact matrix serves all penalties, and with it no penalty needs the rows again.
        problem.sharpen(entirely=True)
        problem.gram(None)
        moment = problem.residual_and_pull(target, np.zeros(X.shape[1]))[1] if tol >= 1e-10 else None
    coefficients, gaps = np.zeros((X.shape[1], len(grid))), np.zeros(len(grid))
    last = np.zeros(X.shape[1])
    for place, alpha in enumerate(grid):
        penalty = Penalty(alpha * l1_ratio, alpha * (1 - l1_ratio), positive)
        found = coordinate_descent(problem, target, penalty, last, tol=tol, max_iter=max_iter, moment=moment)
        last = coefficients[:, place] = found.coefficients
        gaps[place] = found.gap
    return grid, coefficients.astype(X.dtype), gaps


def lasso_path(X: Any, y: Any, **options: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """`elastic_net_path` with l1_ratio = 1: the coefficients of the lasso as its penalty falls."""
    return elastic_net_path(X, y, l1_ratio=1.0, **options)
