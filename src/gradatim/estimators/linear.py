"""Linear regression with a squared penalty, in closed form.

Minimise  Σ wᵢ ‖yᵢ − xᵢᵀW − b‖² + α‖W‖²  (Hoerl and Kennard, 1970; the intercept b is not penalised).
With A the centred, square-root-weighted inputs and t the targets treated alike, the optimum is
W = (AᵀA + αI)⁻¹ Aᵀt = Aᵀ(AAᵀ + αI)⁻¹ t: one Cholesky factor of the smaller of the two matrices.
What to notice: all penalties at once cost one eigendecomposition, because AᵀA + αI keeps its eigenvectors,
and with it the error on every left-out row is known without refitting.
"""

from typing import Any, Self

import numpy as np
import scipy.linalg
import scipy.sparse
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator, MultiOutputMixin, RegressorMixin
from sklearn.utils.validation import _check_sample_weight, check_is_fitted, validate_data

from gradatim.estimators import gram
from gradatim.estimators.gram import Matrix
from gradatim.estimators.validation import damaged, expect_array, expect_count

# Above this size of the smaller matrix (512 MB in float64) conjugate gradients replace the Cholesky factor.
LARGEST_FACTOR = 8192
# Above this size of the smaller matrix the penalty is chosen on that many rows.
LARGEST_SPECTRUM = 3000


class Ridge(RegressorMixin, MultiOutputMixin, BaseEstimator):
    """Linear least squares with an L2 penalty on the coefficients.

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

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Solve for the coefficients; sample_weight (n,) ≥ 0 or one number."""
        X, y = validate_data(
            self, X, y, accept_sparse="csr", dtype=[np.float64, np.float32], multi_output=True, y_numeric=True
        )
        weights = _check_sample_weight(sample_weight, X, dtype=np.float64, ensure_non_negative=True)
        if not weights.sum() > 0:
            raise ValueError("sample_weight: expected at least one positive weight, received zeros only")
        targets = np.asarray(y, dtype=np.float64).reshape(len(y), -1)
        if self.fit_intercept:
            means = gram.column_means(X, weights)
            target_means = weights @ targets / weights.sum()
        else:
            means, target_means = np.zeros(X.shape[1]), np.zeros(targets.shape[1])
        targets = targets - target_means
        penalties = self._penalties(X, means, targets, weights)
        coefficients = np.empty((X.shape[1], targets.shape[1]))
        for penalty in np.unique(penalties):
            same = penalties == penalty
            coefficients[:, same] = solve(X, means, targets[:, same], weights, float(penalty))
        intercept = target_means - means @ coefficients
        self.coef_ = np.ascontiguousarray(coefficients.T, dtype=X.dtype)
        self.intercept_: Any = intercept.astype(X.dtype) if self.fit_intercept else 0.0
        if y.ndim == 1:
            self.coef_ = self.coef_[0]
            self.intercept_ = float(np.atleast_1d(self.intercept_)[0])
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

    def predict(self, X: Any) -> np.ndarray:
        """Predicted targets (n,) or (n, targets)."""
        check_is_fitted(self)
        X = validate_data(self, X, accept_sparse="csr", dtype=[np.float64, np.float32], reset=False)
        return np.asarray(X @ self.coef_.T + np.asarray(self.intercept_, dtype=X.dtype))

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


def solve(X: Matrix, means: np.ndarray, targets: np.ndarray, weights: np.ndarray, penalty: float) -> np.ndarray:
    """Coefficients (d, k) for centred targets (n, k) and one penalty."""
    rows, columns = X.shape
    if min(rows, columns) > LARGEST_FACTOR:
        return _conjugate_gradients(X, means, targets, weights, penalty)
    moment = gram.centred_transpose_product(X, means, targets * weights[:, None])
    if columns <= rows:
        matrix = gram.gram(X, means, weights)
        factor = _cholesky(matrix, penalty)
        if factor is not None:
            return scipy.linalg.cho_solve(factor, moment, check_finite=False)
    else:
        matrix = gram.kernel(X, means, weights)
        factor = _cholesky(matrix, penalty)
        if factor is not None:
            roots = np.sqrt(weights)[:, None]
            dual = scipy.linalg.cho_solve(factor, targets * roots, check_finite=False)
            return gram.centred_transpose_product(X, means, dual * roots)
    return _by_singular_values(X, means, targets, weights, penalty)


def _cholesky(matrix: np.ndarray, penalty: float) -> tuple[np.ndarray, bool] | None:
    """The factor of matrix + penalty·I, or None where it is too near to singular to be trusted."""
    matrix = matrix.copy()
    matrix.flat[:: len(matrix) + 1] += penalty
    try:
        factor = scipy.linalg.cho_factor(matrix, lower=True, overwrite_a=True, check_finite=False)
    except np.linalg.LinAlgError:
        return None
    diagonal = np.diag(factor[0])
    # The squared ratio bounds the condition number from below; the normal equations have lost those digits.
    return factor if (diagonal.min() / diagonal.max()) ** 2 > 1e-12 else None


def _by_singular_values(
    X: Matrix, means: np.ndarray, targets: np.ndarray, weights: np.ndarray, penalty: float
) -> np.ndarray:
    """The minimum-norm solution for singular inputs, from the singular values of A itself."""
    roots = np.sqrt(weights)[:, None]
    dense = X.toarray() if scipy.sparse.issparse(X) else X
    left, values, right = scipy.linalg.svd(
        (dense - means) * roots, full_matrices=False, check_finite=False, overwrite_a=True
    )
    precision = max(np.finfo(X.dtype).eps * 0.1, np.finfo(np.float64).eps)
    kept = values > max(X.shape) * precision * values.max(initial=0.0)
    scale = np.zeros_like(values)
    scale[kept] = values[kept] / (values[kept] ** 2 + penalty)
    return right.T @ (scale[:, None] * (left.T @ (targets * roots)))


def _conjugate_gradients(
    X: Matrix, means: np.ndarray, targets: np.ndarray, weights: np.ndarray, penalty: float
) -> np.ndarray:
    """Solve the normal equations by conjugate gradients scaled by their diagonal (Hestenes and Stiefel,
    1952).
    """
    squares = X.multiply(X) if scipy.sparse.issparse(X) else None
    second = weights @ squares if squares is not None else np.einsum("n,nd,nd->d", weights, X, X)
    diagonal = np.asarray(second).ravel() - weights.sum() * means**2 + penalty
    diagonal = np.where(diagonal > 0, diagonal, 1.0)[:, None]
    residual = gram.centred_transpose_product(X, means, targets * weights[:, None])
    goal = 1e-8 * np.linalg.norm(residual, axis=0)
    solution = np.zeros_like(residual)
    scaled = residual / diagonal
    direction, energy = scaled.copy(), (residual * scaled).sum(0)
    for _ in range(1000):
        if np.all(np.linalg.norm(residual, axis=0) <= goal):
            break
        image = gram.centred_product(X, means, direction) * weights[:, None]
        image = gram.centred_transpose_product(X, means, image) + penalty * direction
        curvature = (direction * image).sum(0)
        step = np.divide(energy, curvature, out=np.zeros_like(energy), where=curvature > 0)
        solution += step * direction
        residual -= step * image
        scaled = residual / diagonal
        fresh = (residual * scaled).sum(0)
        direction = scaled + np.divide(fresh, energy, out=np.zeros_like(energy), where=energy > 0) * direction
        energy = fresh
    return solution


def leave_one_out(
    X: Matrix,
    means: np.ndarray,
    targets: np.ndarray,
    weights: np.ndarray,
    alphas: ArrayLike | None,
    fit_intercept: bool,
) -> tuple[np.ndarray, np.ndarray]:
    """Candidate penalties and the weighted mean squared error on left-out rows of each.

    With AᵀA = VΛVᵀ and Z = AV the hat value of row i is wᵢ/Σw + Σₖ zᵢₖ²/(λₖ+α); its left-out error is its
    residual divided by one minus that, so all penalties cost one eigendecomposition. Where both n and d are
    above LARGEST_SPECTRUM a fixed random part of the rows is used: the best penalty is noise variance over
    coefficient variance, which does not depend on the number of rows.
    """
    if min(X.shape) > LARGEST_SPECTRUM:
        chosen = np.sort(np.random.default_rng(0).permutation(X.shape[0])[:LARGEST_SPECTRUM])
        X, targets, weights = X[chosen], targets[chosen], weights[chosen]
    kept = weights > 0
    if not kept.all():
        X, targets, weights = X[kept], targets[kept], weights[kept]
    scaled = targets * np.sqrt(weights)[:, None]
    tall = X.shape[1] <= X.shape[0]
    matrix = gram.gram(X, means, weights) if tall else gram.kernel(X, means, weights)
    values, vectors = scipy.linalg.eigh(matrix, check_finite=False)
    values = np.maximum(values, 0)
    if tall:
        moment = vectors.T @ gram.centred_transpose_product(X, means, targets * weights[:, None])
    else:
        moment = np.sqrt(values)[:, None] * (vectors.T @ scaled)
    grid = _grid(values, alphas)
    shrink = 1 / (values[:, None] + grid)
    # All penalties in one product: (axes, penalties · targets).
    shrunk = (shrink[:, :, None] * moment[:, None, :]).reshape(len(values), -1)
    base = weights / weights.sum() if fit_intercept else np.zeros(len(weights))
    errors = np.zeros(len(grid))
    for start in range(0, X.shape[0], gram.BLOCK):
        part = slice(start, start + gram.BLOCK)
        if tall:
            rotated = gram.centred_product(X[part], means, vectors) * np.sqrt(weights[part])[:, None]
        else:
            rotated = vectors[part] * np.sqrt(values)
        left = np.maximum(1 - base[part, None] - rotated**2 @ shrink, 1e-12)
        fitted = (rotated @ shrunk).reshape(len(left), len(grid), -1)
        errors += np.einsum("ngt,ng->g", (scaled[part, None, :] - fitted) ** 2, left**-2)
    return grid, errors / (weights.sum() * targets.shape[1])


def _grid(values: np.ndarray, alphas: ArrayLike | None) -> np.ndarray:
    if alphas is None:
        mean = values.mean() if values.mean() > 0 else 1.0
        return mean * np.logspace(-7, 3, 41)
    grid = np.asarray(alphas, dtype=np.float64)
    if grid.ndim != 1 or not grid.size or not np.all(np.isfinite(grid)) or np.any(grid <= 0):
        raise ValueError(f"alphas: expected a list of positive numbers, received {alphas!r}")
    return grid
