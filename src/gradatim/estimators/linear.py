"""Linear regression by least squares: the normal equation, singular values, gradient descent; and ridge regression.

Minimise  J(W, b) = ½ Σ wᵢ ‖yᵢ − xᵢᵀW − b‖² / Σ wᵢ. The closed forms are in `least_squares`, the descent in `descent`.
What to notice: the cost is a bowl, so its bottom is known in closed form; the largest curvature of the bowl decides
which learning rates converge, and the ratio of the largest to the smallest how many steps that takes; scaling the
columns makes the bowl round.
"""

import warnings
from typing import Any, Self

import numpy as np
import scipy.sparse
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator, MultiOutputMixin, RegressorMixin
from sklearn.callback import CallbackSupportMixin, with_callbacks
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils.validation import _check_sample_weight, check_is_fitted, validate_data

from gradatim.estimators import gram
from gradatim.estimators.descent import Path, Rule, descend
from gradatim.estimators.gram import Matrix
from gradatim.estimators.least_squares import by_singular_values, leave_one_out, solve
from gradatim.estimators.validation import damaged, expect_array, expect_count
from gradatim.estimators.watching import Watch

SOLVERS = ("normal", "svd", "gradient_descent")


class _LinearPredictor(RegressorMixin, MultiOutputMixin):
    """What a fitted coef_ and intercept_ answer."""

    coef_: Any
    intercept_: Any

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags

    def _keep(self, coefficients: np.ndarray, intercept: np.ndarray, one: bool, dtype: Any) -> None:
        """coefficients (d, targets) and intercept (targets,) in scikit-learn's shapes and the input's format."""
        for name, value in shaped(coefficients, intercept, one, bool(self.fit_intercept), dtype).items():  # type: ignore[attr-defined]
            setattr(self, name, value)

    def predict(self, X: Any) -> np.ndarray:
        """Predicted targets (n,) or (n, targets)."""
        check_is_fitted(self)
        X = validate_data(self, X, accept_sparse="csr", dtype=[np.float64, np.float32], reset=False)
        return np.asarray(X @ self.coef_.T + np.asarray(self.intercept_, dtype=self.coef_.dtype))

    def check_state(self) -> None:
        """Raise ArtifactError unless the fitted attributes fit together."""
        columns = expect_count(self, "n_features_in_", least=1)
        if getattr(self.coef_, "ndim", 1) == 1:
            expect_array(self, "coef_", (columns,))
            value = self.intercept_
            if isinstance(value, bool) or not isinstance(value, (int, float)) or not np.isfinite(value):
                raise damaged(self, "a finite number intercept_", repr(value)[:80])
        else:
            expect_array(self, "coef_", (None, columns))
            if isinstance(self.intercept_, np.ndarray):
                expect_array(self, "intercept_", (len(self.coef_),))
            elif self.intercept_ != 0.0:
                raise damaged(self, "an array intercept_", type(self.intercept_).__name__)


def shaped(
    coefficients: np.ndarray, intercept: np.ndarray, one: bool, fit_intercept: bool, dtype: Any
) -> dict[str, Any]:
    """coef_ and intercept_ as scikit-learn shapes them: without the axis of targets where y had `one` dimension."""
    coef = np.ascontiguousarray(coefficients.T, dtype=dtype)
    if one:
        return {"coef_": coef[0], "intercept_": float(dtype.type(intercept[0])) if fit_intercept else 0.0}
    return {"coef_": coef, "intercept_": intercept.astype(dtype) if fit_intercept else 0.0}


def read_rows(estimator: Any, X: Any, y: Any, sample_weight: Any) -> tuple[Matrix, np.ndarray, np.ndarray]:
    """Validated X (n, d), y as given in shape, and float64 weights (n,) with a positive sum."""
    X, y = validate_data(
        estimator, X, y, accept_sparse="csr", dtype=[np.float64, np.float32], multi_output=True, y_numeric=True
    )
    weights = _check_sample_weight(sample_weight, X, dtype=np.float64, ensure_non_negative=True)
    if not weights.sum() > 0:
        raise ValueError("sample_weight: expected at least one positive weight, received zeros only")
    return X, y, weights


def centre_targets(y: np.ndarray, weights: np.ndarray, fit_intercept: bool) -> tuple[np.ndarray, np.ndarray]:
    """Centred float64 targets (n, targets) and their means; means of zero where there is no intercept."""
    targets = np.asarray(y, dtype=np.float64).reshape(len(y), -1)
    means = weights @ targets / weights.sum() if fit_intercept else np.zeros(targets.shape[1])
    return targets - means, means


def centre(
    X: Matrix, y: np.ndarray, weights: np.ndarray, fit_intercept: bool
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Column means (d,), centred float64 targets (n, targets) and their means: zeros where there is no intercept."""
    means = gram.column_means(X, weights) if fit_intercept else np.zeros(X.shape[1])
    return means, *centre_targets(y, weights, fit_intercept)


class LinearRegression(CallbackSupportMixin, _LinearPredictor, BaseEstimator):
    """Ordinary least squares: the line, plane or hyperplane with the least squared error.

    solver: "normal" (Cholesky factor of AᵀA with one refinement; the singular values where it is singular), "svd"
    (always the singular values: the solution of least norm, slower), "gradient_descent".
    The rest is for gradient descent on [X, 1], which moves coefficients and intercept together:
    learning_rate: "auto" (the line search on whole batches, a rate that is safe for every batch on smaller ones),
    "backtracking" (the line search) or a number; batch_size: rows of a batch, None for all, 1 for stochastic descent;
    momentum in [0, 1), nesterov, decay (rate / (1 + decay · iteration)); convergence: "relative" or "absolute"
    decrease of the cost in one iteration that counts as the end when it is at most tol (the classroom's test is
    absolute with 1e-3); initial: where to start, (d,) or (d + 1,) with the intercept last, None for zeros.
    A descent that diverges raises ValueError with the largest rate that does not.
    X (n, d) dense or CSR (not for "svd"), float32 or float64; y (n,) or (n, targets).
    Fitted: coef_, intercept_, objective_ (J), n_iter_ (1 for the closed forms), "svd": singular_ and rank_,
    "gradient_descent": costs_ (n_iter_ + 1,), J before the first and after each iteration.
    Source: Legendre (1805); Gauss (1809); descent: Cauchy (1847); safe batch rate: Gower et al., SGD: general analysis
    and improved rates (2019), equation 14.

    >>> size, price = np.array([[2104.0], [1416.0], [1534.0], [852.0]]), np.array([460.0, 232.0, 315.0, 178.0])
    >>> model = LinearRegression().fit(size, price)
    >>> round(model.intercept_, 5), round(float(model.coef_[0]), 7), round(model.objective_, 3)
    (-42.78334, 0.2296196, 448.219)
    """

    def __init__(
        self,
        *,
        fit_intercept: bool = True,
        solver: str = "normal",
        learning_rate: float | str = "auto",
        batch_size: int | None = None,
        momentum: float = 0.0,
        nesterov: bool = False,
        decay: float = 0.0,
        tol: float = 1e-9,
        convergence: str = "relative",
        max_iter: int = 1000,
        initial: ArrayLike | None = None,
        random_state: int | None = None,
    ) -> None:
        self.fit_intercept = fit_intercept
        self.solver = solver
        self.learning_rate = learning_rate
        self.batch_size = batch_size
        self.momentum = momentum
        self.nesterov = nesterov
        self.decay = decay
        self.tol = tol
        self.convergence = convergence
        self.max_iter = max_iter
        self.initial = initial
        self.random_state = random_state

    @with_callbacks
    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Find the coefficients; sample_weight (n,) ≥ 0 or one number."""
        if self.solver not in SOLVERS:
            raise ValueError(f"solver: expected one of {', '.join(SOLVERS)}, received {self.solver!r}")
        X, y, weights = read_rows(self, X, y, sample_weight)
        watch = Watch(self, X, y, sample_weight=sample_weight, most=self.max_iter)
        if self.solver == "gradient_descent":
            self._descend(X, y, weights, watch)
            return self
        means, targets, target_means = centre(X, y, weights, bool(self.fit_intercept))
        if self.solver == "svd":
            if scipy.sparse.issparse(X):
                raise ValueError("solver='svd': expected dense X, received sparse; use solver='normal'")
            coefficients, self.singular_, self.rank_ = by_singular_values(X, means, targets, weights, 0.0)
        else:
            coefficients = solve(X, means, targets, weights, 0.0)
        left = targets - gram.centred_product(X, means, coefficients)
        self.objective_ = float(weights @ (left * left).sum(1) / (2 * weights.sum()))
        self.n_iter_ = 1
        self._keep(coefficients, target_means - means @ coefficients, y.ndim == 1, X.dtype)
        watch.end()
        return self

    def _descend(self, X: Matrix, y: np.ndarray, weights: np.ndarray, watch: Watch) -> None:
        """Gradient descent on the columns as they are."""
        targets, one = np.asarray(y, dtype=np.float64).reshape(len(y), -1), y.ndim == 1
        intercept = bool(self.fit_intercept)
        rule = descent_rule(self, X, weights, intercept)
        costs: list[float] = []

        def observe(parameters: np.ndarray, cost: float, iteration: int) -> bool:
            costs.append(cost)
            return watch.step(
                lambda: (
                    shaped(parameters[:-1], parameters[-1], one, intercept, X.dtype)
                    | {"objective_": cost, "n_iter_": iteration}
                )
            )

        path = descend(
            SquaredError(X, targets, weights, intercept).evaluate,
            self._start(X.shape[1], targets.shape[1]),
            X.shape[0],
            rule,
            random=np.random.default_rng(self.random_state or 0),
            observe=observe if watch.active else None,
            floor=1e-9 * float(weights @ (targets * targets).sum(1) / weights.sum()),
        )
        report_ending(self, path, rule, largest_curvature(X, weights, intercept) if path.ending == "diverged" else 0.0)
        self.costs_, self.objective_ = np.array(path.costs), path.costs[-1]
        self.n_iter_ = path.iterations
        self._keep(path.parameters[:-1], path.parameters[-1], one, X.dtype)
        watch.end()

    def _start(self, columns: int, targets: int) -> np.ndarray:
        """Parameters (d + 1, targets) to start from, the intercept in the last row."""
        start = np.zeros((columns + 1, targets))
        if self.initial is not None:
            given = np.asarray(self.initial, dtype=np.float64)
            given = given.reshape(len(given), -1) if given.ndim else given.reshape(1, 1)
            expected = columns + bool(self.fit_intercept)
            if given.shape not in ((expected, targets), (expected, 1)) or not np.isfinite(given).all():
                raise ValueError(
                    f"initial: expected {expected} finite numbers (coefficients"
                    f"{', then the intercept' if self.fit_intercept else ''}), received shape {np.shape(self.initial)}"
                )
            start[:expected] = given
        return start


class SquaredError:
    """J over parameters (d + 1, targets) for `descend`: half the weighted mean squared error and its gradient."""

    def __init__(self, X: Matrix, targets: np.ndarray, weights: np.ndarray, intercept: bool) -> None:
        self.X, self.targets, self.intercept = X, targets, intercept
        # Mean weight one: then the mean over a batch estimates the weighted mean over all rows without bias.
        self.weights = (weights * (len(weights) / weights.sum()))[:, None]

    def evaluate(self, parameters: np.ndarray, rows: np.ndarray | None) -> tuple[float, np.ndarray]:
        """Cost and gradient of these rows, all for None."""
        part = slice(None) if rows is None else rows
        X, weights = (self.X, self.weights) if rows is None else (self.X[part], self.weights[part])
        with np.errstate(over="ignore", invalid="ignore"):
            left = np.asarray(X @ parameters[:-1].astype(X.dtype)) + parameters[-1] - self.targets[part]
            pulled = left * weights / len(left)
            gradient = np.asarray(X.T @ pulled.astype(X.dtype), dtype=np.float64)
            cost = float((left * pulled).sum() / 2)
        last = pulled.sum(0) if self.intercept else np.zeros(left.shape[1])
        return cost, np.vstack([gradient, last])


def largest_curvature(X: Matrix, weights: np.ndarray, intercept: bool, *, iterations: int = 100) -> float:
    """The largest eigenvalue of the Hessian of J, [X, 1]ᵀ diag(w) [X, 1] / Σw, by power iteration.

    Gradient descent on all rows converges for learning rates under 2 divided by this.

    >>> round(largest_curvature(np.array([[3.0], [-1.0]]), np.ones(2), False), 9)
    5.0
    """
    shares = weights / weights.sum()
    vector = np.random.default_rng(0).normal(size=X.shape[1] + intercept)
    vector /= np.linalg.norm(vector)
    value = 0.0
    for _ in range(iterations):
        image = np.asarray(X @ vector[: X.shape[1]], dtype=np.float64) + (vector[-1] if intercept else 0.0)
        image *= shares
        after = np.asarray(X.T @ image, dtype=np.float64)
        after = np.append(after, image.sum()) if intercept else after
        before, value = value, float(np.linalg.norm(after))
        if value == 0 or abs(value - before) <= 1e-10 * value:
            break
        vector = after / value
    return value


def descent_rule(estimator: Any, X: Matrix, weights: np.ndarray, intercept: bool, *, bend: float = 1.0) -> Rule:
    """The `Rule` that an estimator's arguments ask for; bend: bound on the loss's second derivative by the score."""
    rate: Any = estimator.learning_rate
    size: Any = estimator.batch_size
    if size is not None and (isinstance(size, bool) or int(size) != size or size < 1):
        raise ValueError(f"batch_size: expected a whole number ≥ 1 or None, received {size!r}")
    rows = X.shape[0] if size is None else int(size)
    smaller = rows < X.shape[0]
    momentum = float(getattr(estimator, "momentum", 0.0))
    if not 0 <= momentum < 1:
        raise ValueError(f"momentum: expected a number in [0, 1), received {momentum!r}")
    convergence = getattr(estimator, "convergence", "relative")
    if convergence not in ("relative", "absolute"):
        raise ValueError(f"convergence: expected 'relative' or 'absolute', received {convergence!r}")
    if isinstance(rate, str):
        if rate not in ("auto", "backtracking"):
            raise ValueError(f"learning_rate: expected a number > 0, 'auto' or 'backtracking', received {rate!r}")
        if rate == "backtracking" and smaller:
            raise ValueError("learning_rate='backtracking': expected batch_size=None; give batches a number or 'auto'")
        rate = (1 - momentum) * safe_batch_rate(X, weights, intercept, rows) / bend if smaller else None
    elif not (np.isfinite(rate) and rate > 0):
        raise ValueError(f"learning_rate: expected a number > 0, 'auto' or 'backtracking', received {rate!r}")
    return Rule(
        None if rate is None else float(rate),
        rows if smaller else None,
        momentum,
        bool(getattr(estimator, "nesterov", False)),
        float(getattr(estimator, "decay", 0.0)),
        float(estimator.tol),
        convergence == "absolute",
        int(estimator.max_iter),
    )


def safe_batch_rate(X: Matrix, weights: np.ndarray, intercept: bool, size: int) -> float:
    """1/(2L) with L the expected smoothness of batches of this size: between that of a row and that of all rows."""
    rows = X.shape[0]
    squares = X.multiply(X).sum(1) if scipy.sparse.issparse(X) else np.einsum("nd,nd->n", X, X, dtype=np.float64)
    of_row = float(((np.asarray(squares).ravel() + intercept) * weights).max() * rows / weights.sum())
    of_all = largest_curvature(X, weights, intercept)
    share = (rows - size) / (size * max(rows - 1, 1))
    smoothness = (1 - share) * of_all + share * of_row
    return 0.5 / smoothness if smoothness > 0 else 1.0


def report_ending(estimator: Any, path: Path, rule: Rule, curvature: float) -> None:
    """Raise where the descent diverged, warn where it ended at max_iter."""
    name = type(estimator).__name__
    if path.ending == "diverged":
        bound = rule.largest_stable_rate(curvature)
        raise ValueError(
            f"{name}: gradient descent diverges with learning_rate={rule.learning_rate:g}: the cost went from"
            f" {path.costs[0]:.3g} to {path.costs[-1]:.3g} in {path.iterations} iterations; the largest stable rate on"
            f" all rows is {bound:.3g}: choose a smaller one, learning_rate='auto', or scale the columns"
        )
    if path.ending == "max_iter":
        warnings.warn(
            f"{name} stopped after max_iter={rule.max_iter} iterations before reaching tol={rule.tol};"
            " raise max_iter, or scale the columns",
            ConvergenceWarning,
            stacklevel=4,
        )


class Ridge(_LinearPredictor, BaseEstimator):
    """Linear least squares with an L2 penalty on the coefficients.

    Minimise Σ wᵢ ‖yᵢ − xᵢᵀW − b‖² + α‖W‖²; the intercept b is not penalised.
    alpha: penalty ≥ 0, one number, one a target, or "auto": the value of `alphas` (default: 41 values
    around the mean eigenvalue of AᵀA) with the least exact leave-one-out squared error, one for all
    targets.
    X (n, d) dense or CSR, float32 or float64; y (n,) or (n, targets).
    Fitted: coef_ (d,) or (targets, d), intercept_, alpha_, and with "auto" alphas_, leave_one_out_error_
    (weighted mean squared error of each alpha).
    Source: Hoerl and Kennard (1970); leave-one-out shortcut eᵢ/(1 − hᵢᵢ): Allen (1974), Golub, Heath and
    Wahba (1979).

    >>> import numpy as np
    >>> size, price = np.array([[2104.0], [1416.0], [1534.0], [852.0]]), np.array([460.0, 232.0, 315.0, 178.0])
    >>> model = Ridge(alpha=0.0).fit(size, price)
    >>> round(float(model.intercept_), 5), round(float(model.coef_[0]), 7)
    (-42.78334, 0.2296196)
    """

    def __init__(
        self, alpha: float | ArrayLike | str = 1.0, *, fit_intercept: bool = True, alphas: ArrayLike | None = None
    ) -> None:
        self.alpha = alpha
        self.fit_intercept = fit_intercept
        self.alphas = alphas

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Solve for the coefficients; sample_weight (n,) ≥ 0 or one number."""
        X, y, weights = read_rows(self, X, y, sample_weight)
        means, targets, target_means = centre(X, y, weights, bool(self.fit_intercept))
        penalties = self._penalties(X, means, targets, weights)
        coefficients = np.empty((X.shape[1], targets.shape[1]))
        for penalty in np.unique(penalties):
            same = penalties == penalty
            coefficients[:, same] = solve(X, means, targets[:, same], weights, float(penalty))
        self._keep(coefficients, target_means - means @ coefficients, y.ndim == 1, X.dtype)
        return self

    def _penalties(self, X: Matrix, means: np.ndarray, targets: np.ndarray, weights: np.ndarray) -> np.ndarray:
        """The penalty of every target (targets,)."""
        count = targets.shape[1]
        if isinstance(self.alpha, str):
            if self.alpha != "auto":
                raise ValueError(f"alpha: expected a number ≥ 0 or 'auto', received {self.alpha!r}")
            self.alphas_, self.leave_one_out_error_ = leave_one_out(
                X, means, targets, weights, self.alphas, bool(self.fit_intercept)
            )
            self.alpha_: Any = float(self.alphas_[np.argmin(self.leave_one_out_error_)])
            return np.full(count, self.alpha_)
        penalties = np.asarray(self.alpha, dtype=np.float64)
        if penalties.shape not in ((), (count,)) or not np.all(np.isfinite(penalties)) or np.any(penalties < 0):
            raise ValueError(f"alpha: expected a number ≥ 0, or {count} of them, received {self.alpha!r}")
        self.alpha_ = float(penalties) if penalties.ndim == 0 else penalties
        return np.broadcast_to(penalties, (count,))
