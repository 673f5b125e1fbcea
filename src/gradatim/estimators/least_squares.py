"""Least squares with a squared penalty in closed form: what the linear models solve with.

With A the centred, square-root-weighted inputs and t the targets treated alike, the optimum is
W = (AᵀA + αI)⁻¹ Aᵀt = Aᵀ(AAᵀ + αI)⁻¹ t: one Cholesky factor of the smaller of the two matrices; where it is too near to
singular, the singular values of A; where it is too big, conjugate gradients.
"""

from dataclasses import dataclass

import numpy as np
import scipy.linalg
import scipy.sparse
from numpy.typing import ArrayLike

from gradatim.estimators import gram, triangular
from gradatim.estimators.gram import Matrix

# Above this size of the smaller matrix (512 MB in float64) conjugate gradients replace the Cholesky factor.
LARGEST_FACTOR = 8192
# Above this size of the smaller matrix the penalty is chosen on that many rows.
LARGEST_SPECTRUM = 3000
# Under this inverse condition number of the scaled equations the solution is refined once.
TRUSTED = 1e-5


def solve(X: Matrix, means: np.ndarray, targets: np.ndarray, weights: np.ndarray, penalty: float) -> np.ndarray:
    """Coefficients (d, k) for centred targets (n, k) and one penalty."""
    rows, columns = X.shape
    if min(rows, columns) > LARGEST_FACTOR:
        return _conjugate_gradients(X, means, targets, weights, penalty)
    if columns <= rows:
        matrix = gram.gram(X, means, weights)
        # What centring leaves of a constant column is rounding; its coefficient of least norm is zero.
        noise = weights.sum() * (10 * np.finfo(X.dtype).eps * np.abs(means)) ** 2
        varied = matrix.diagonal() > noise
        if penalty == 0 and not varied.all() and varied.any():
            solution = np.zeros((columns, targets.shape[1]))
            solution[varied] = solve(X[:, varied], means[varied], targets, weights, penalty)
            return solution
        factor = Factor.of(matrix, penalty)
        if factor is not None:
            moment = gram.centred_transpose_product(X, means, targets * weights[:, None])
            solution = factor.solve(moment)
            if factor.conditioning < TRUSTED:
                # The same equations for what is left over, from A itself: the digits that AᵀA lost come back.
                left = (targets - gram.centred_product(X, means, solution)) * weights[:, None]
                solution += factor.solve(gram.centred_transpose_product(X, means, left) - penalty * solution)
            return solution
    else:
        factor = Factor.of(gram.kernel(X, means, weights), penalty)
        if factor is not None:
            roots = np.sqrt(weights)[:, None]
            return gram.centred_transpose_product(X, means, factor.solve(targets * roots) * roots)
    return by_singular_values(X, means, targets, weights, penalty)[0]


@dataclass(frozen=True, slots=True)
class Factor:
    """The Cholesky factor of a matrix scaled to a unit diagonal, and a bound ≥ its inverse condition number."""

    lower: np.ndarray
    scales: np.ndarray
    conditioning: float

    @classmethod
    def of(cls, matrix: np.ndarray, penalty: float) -> "Factor | None":
        """Of matrix + penalty·I, or None where it is too near to singular to be trusted; overwrites the matrix."""
        matrix.flat[:: len(matrix) + 1] += penalty
        diagonal = matrix.diagonal().copy()
        if not (diagonal > 0).all():
            return None
        # The scale of a column must not decide whether the equations count as singular.
        scales = 1 / np.sqrt(diagonal)
        matrix *= scales
        matrix *= scales[:, None]
        try:
            lower = np.linalg.cholesky(matrix)
        except np.linalg.LinAlgError:
            return None
        roots = np.diag(lower)
        # The squared ratio bounds the condition number from below; the normal equations have lost those digits.
        conditioning = float((roots.min() / roots.max()) ** 2)
        return cls(lower, scales, conditioning) if conditioning > 1e-12 else None

    def solve(self, values: np.ndarray) -> np.ndarray:
        """The inverse applied to values (d, k)."""
        scales = self.scales[:, None]
        return scales * triangular.solve(self.lower, scales * values)


def by_singular_values(
    X: Matrix, means: np.ndarray, targets: np.ndarray, weights: np.ndarray, penalty: float
) -> tuple[np.ndarray, np.ndarray, int]:
    """The minimum-norm solution (d, k) from the singular values of A, those values, and how many of them count."""
    roots = np.sqrt(weights)[:, None]
    dense = X.toarray() if scipy.sparse.issparse(X) else X
    left, values, right = scipy.linalg.svd(
        (dense - means) * roots, full_matrices=False, check_finite=False, overwrite_a=True
    )
    precision = max(np.finfo(X.dtype).eps * 0.1, np.finfo(np.float64).eps)
    kept = values > max(X.shape) * precision * values.max(initial=0.0)
    scale = np.zeros_like(values)
    scale[kept] = values[kept] / (values[kept] ** 2 + penalty)
    return right.T @ (scale[:, None] * (left.T @ (targets * roots))), values, int(kept.sum())


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
    values, vectors = np.linalg.eigh(matrix)
    values = np.where(values > len(values) * np.finfo(np.float64).eps * values.max(initial=0.0), values, 0.0)
    if tall:
        moment = vectors.T @ gram.centred_transpose_product(X, means, targets * weights[:, None])
    else:
        moment = vectors.T @ scaled
    grid = _grid(values, alphas)
    shrink = 1 / (values[:, None] + grid)
    # All penalties in one product: (axes, penalties · targets).
    shrunk = ((shrink if tall else grid * shrink)[:, :, None] * moment[:, None, :]).reshape(len(values), -1)
    base = weights / weights.sum() if fit_intercept else np.zeros(len(weights))
    errors = np.zeros(len(grid))
    for start in range(0, X.shape[0], gram.BLOCK):
        part = slice(start, start + gram.BLOCK)
        if tall:
            rotated = gram.centred_product(X[part], means, vectors) * np.sqrt(weights[part])[:, None]
            left = 1 - base[part, None] - rotated**2 @ shrink
            residual = scaled[part, None, :] - (rotated @ shrunk).reshape(len(left), len(grid), -1)
        else:
            # 1 − λ/(λ+α) is α/(λ+α), which takes no number from one that nearly equals it; Σₖ vᵢₖ² = 1.
            left = vectors[part] ** 2 @ (grid * shrink) - base[part, None]
            residual = (vectors[part] @ shrunk).reshape(len(left), len(grid), -1)
        errors += np.einsum("ngt,ng->g", residual**2, np.maximum(left, 1e-12) ** -2)
    return grid, errors / (weights.sum() * targets.shape[1])


def _grid(values: np.ndarray, alphas: ArrayLike | None) -> np.ndarray:
    if alphas is None:
        mean = values.mean() if values.mean() > 0 else 1.0
        return mean * np.logspace(-7, 3, 41)
    grid = np.asarray(alphas, dtype=np.float64)
    if grid.ndim != 1 or not grid.size or not np.all(np.isfinite(grid)) or np.any(grid <= 0):
        raise ValueError(f"alphas: expected a list of positive numbers, received {alphas!r}")
    return grid
