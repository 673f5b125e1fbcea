"""The principal axes of a centred matrix A (n, d), three ways: covariance, singular values, block Lanczos.

All give the eigenvectors v of AᵀA/(n−1) and their eigenvalues, the variances along them, in falling order. What to
notice: the covariance costs n·d·min(n, d) products whatever the data, and is exact down to variances of 1e-13 of the
largest in float64; block Lanczos (Golub and Underwood, 1977; with a random start: Musco and Musco, 2015) reads the
data a handful of times, one product with A and Aᵀ a reading, and keeps every subspace it has met, where the power
iteration of Halko, Martinsson and Tropp (2011) keeps only the last.
"""

from dataclasses import dataclass

import numpy as np
import scipy.linalg
import scipy.sparse
import scipy.special

from gradatim.estimators import gram
from gradatim.estimators.gram import BLOCK, Matrix

# Below this part of the largest variance an axis that was summed in float32 is noise: sum again in float64.
FLOAT32_TRUSTED = 1e-4
# Above this size a few eigenvectors are found by themselves; below, NumPy finds all of them in less time than SciPy's
# threads take to get the cores (`triangular`).
SPECTRUM = 1500
# Numbers of a block of rows that is multiplied twice: 2 MB in float32.
LANCZOS_BLOCK = 2**19


@dataclass(frozen=True, slots=True)
class Axes:
    """variances (k,) falling, components (k, d) orthonormal rows, total: the variance of all directions together."""

    variances: np.ndarray
    components: np.ndarray
    total: float


def from_covariance(X: Matrix, means: np.ndarray, count: int | None, *, exact: bool) -> Axes:
    """From the eigenvectors of AᵀA or, where there are fewer rows than columns, of AAᵀ; count None: all of them.

    exact=False lets float32 data be multiplied in float32 where few axes are wanted, and multiplies again where that
    turns out not to be enough.
    """
    rows, columns = X.shape
    ones = np.ones(rows)
    if columns <= rows:
        exact = exact or X.dtype != np.float32 or count is None or 2 * count > columns
        axes = _eigen(gram.gram(X, means, ones, exact=exact), count, rows)
        if exact or axes.variances.min(initial=np.inf) > FLOAT32_TRUSTED * axes.variances.max(initial=0.0):
            return axes
        return _eigen(gram.gram(X, means, ones), count, rows)
    dual = _eigen(gram.kernel(X, means, ones), count, rows)
    # Aᵀu has the length of its singular value: one that is all rounding is filled up to an orthonormal set.
    components, triangle = np.linalg.qr(gram.centred_transpose_product(X, means, dual.components.T))
    return Axes(dual.variances, (components * np.where(np.diag(triangle) < 0, -1, 1)).T, dual.total)


def _eigen(matrix: np.ndarray, count: int | None, rows: int) -> Axes:
    """The largest eigenvalues of a scatter matrix, as variances, and their vectors as rows."""
    size, total = len(matrix), max(float(np.trace(matrix)), 0.0) / (rows - 1)
    if size > SPECTRUM and count is not None and 0 < count < size // 4:
        values, vectors = scipy.linalg.eigh(
            matrix, subset_by_index=[size - count, size - 1], check_finite=False, overwrite_a=True
        )
    else:
        values, vectors = np.linalg.eigh(matrix)
    kept = slice(None, None, -1) if count is None else slice(None, -count - 1, -1) if count else slice(0, 0)
    return Axes(np.maximum(values[kept], 0) / (rows - 1), vectors[:, kept].T, total)


def from_singular_values(X: np.ndarray, means: np.ndarray, count: int | None) -> Axes:
    """From the singular values of A itself: exact for the smallest too; a copy of X is made."""
    rows, columns = X.shape
    centred = X.astype(np.float64) - means
    if rows > 2 * columns:  # the triangle R of A = QR has A's singular values and right vectors (Chan, 1982)
        centred = scipy.linalg.qr(centred, mode="r", overwrite_a=True, check_finite=False)[0][:columns]
    _, values, right = scipy.linalg.svd(centred, full_matrices=False, overwrite_a=True, check_finite=False)
    variances = values**2 / (rows - 1)
    return Axes(variances[:count], right[:count], float(variances.sum()))


def from_lanczos(
    X: Matrix, means: np.ndarray, count: int, *, oversamples: int, passes: int, random_state: np.random.RandomState
) -> Axes:
    """From `passes` readings of the data, each a product with AᵀA of a block of count + oversamples directions.

    The blocks Q₁, Q₂, … span {AᵀA}ʲ of a random start, j = 1 … passes; each new one is made orthogonal to all before,
    twice. Within their span the axes are those of T = QᵀAᵀAQ (Rayleigh-Ritz), of which only the last corner has not
    been met on the way.
    """
    rows, columns = X.shape
    width = min(count + oversamples, rows, columns)
    product, squares = _square_product(X, means, random_state.normal(size=(columns, width)), measure=True)
    products: list[np.ndarray] = []
    block = basis = np.empty((columns, 0))
    for reading in range(passes):
        if reading:
            product, _ = _square_product(X, means, block)
            products.append(product)
        # What the span holds already comes back as rounding; it must not come in as a new direction.
        block, least = product, 1e-10 * np.linalg.norm(product, axis=0).max(initial=0.0)
        for _ in range(2):
            block, triangle = np.linalg.qr(block - basis @ (basis.T @ block))
            block, least = block[:, np.abs(np.diag(triangle)) > least], 0.1
        block = block[:, : min(rows, columns) - basis.shape[1]]
        basis = np.hstack([basis, block])
        if not block.shape[1]:
            break
    known = basis.shape[1] - block.shape[1]
    scatter = np.zeros((basis.shape[1], basis.shape[1]))
    if known:
        scatter[:, :known] = basis.T @ np.hstack(products)[:, :known]
        scatter[:known, known:] = scatter[known:, :known].T
    for start in range(0, rows, BLOCK):
        image = _centred_image(X[start : start + BLOCK], means, block)
        scatter[known:, known:] += image.T @ image
    nothing = Axes(np.zeros(0), np.zeros((0, 0)), 0.0)
    inner = _eigen((scatter + scatter.T) / 2, None, rows) if scatter.size else nothing
    components = inner.components[:count] @ basis.T
    if len(components) < count:  # fewer directions than asked for hold any variance: the others are arbitrary
        more = np.linalg.qr(np.vstack([components, random_state.normal(size=(count - len(components), columns))]).T)[0]
        components = np.vstack([components, more.T[len(components) :]])
    variances = np.zeros(count)
    variances[: len(inner.variances)] = inner.variances[:count]
    return Axes(variances, components, squares / (rows - 1))


def _centred_image(X: Matrix, means: np.ndarray, basis: np.ndarray) -> np.ndarray:
    """A·basis for a block of rows, in the precision of the data."""
    if scipy.sparse.issparse(X):
        return np.asarray(X @ basis) - means @ basis
    return (X - means.astype(X.dtype)) @ basis.astype(X.dtype)


def _square_product(
    X: Matrix, means: np.ndarray, directions: np.ndarray, *, measure: bool = False
) -> tuple[np.ndarray, float]:
    """AᵀA·directions, float64 (d, k), and to measure ‖A‖²; the rows are read once, and met again in the cache."""
    out, squares = np.zeros(directions.shape), 0.0
    if scipy.sparse.issparse(X):
        image = _centred_image(X, means, directions)
        if measure:
            squares = float((X.data.astype(np.float64) ** 2).sum()) - X.shape[0] * float(means @ means)
        return np.asarray(X.T @ image) - np.outer(means, image.sum(0)), squares
    small, centre = directions.astype(X.dtype), means.astype(X.dtype)
    height = max(LANCZOS_BLOCK // X.shape[1], 16)
    for start in range(0, X.shape[0], height):
        centred = X[start : start + height] - centre
        out += centred.T @ (centred @ small)
        if measure:
            squares += float(np.vdot(centred, centred))
    return out, squares


def fix_signs(components: np.ndarray) -> np.ndarray:
    """Turn each row so that its entry of largest size is positive: the same data give the same signs.

    >>> fix_signs(np.array([[0.6, -0.8], [0.8, 0.6]]))
    array([[-0.6,  0.8],
           [ 0.8,  0.6]])
    """
    if not components.size:
        return components
    largest = np.take_along_axis(components, np.abs(components).argmax(axis=1)[:, None], axis=1)
    return components * np.where(largest < 0, -1, 1)


def most_likely_count(variances: np.ndarray, rows: int) -> int:
    """How many axes hold signal by Minka's evidence (Automatic choice of dimensionality for PCA, 2000, eq. 30).

    variances: those of all directions, falling. Sums over pairs are cumulated, so that all counts cost one table.
    """
    size = len(variances)
    if size < 2:
        return size
    tiny = np.finfo(np.float64).tiny
    spectrum = np.asarray(variances, dtype=np.float64)
    logs = np.log(np.maximum(spectrum, tiny))
    differences = np.log(np.maximum(spectrum[:, None] - spectrum[None, :], tiny))
    best, chosen = -np.inf, 1
    for count in range(1, size):
        if spectrum[count - 1] < 1e-15:
            break
        noise = max(spectrum[count:].sum() / (size - count), 1e-15)
        places = size - np.arange(count)
        evidence = -count * np.log(2.0) + sum(
            scipy.special.gammaln(places / 2) - np.log(np.pi) * places / 2
        )
        evidence -= (logs[:count].sum() + np.log(noise) * (size - count)) * rows / 2
        pairs = size * count - count * (count + 1) / 2
        evidence += np.log(2 * np.pi) * (pairs + count) / 2
        inside = np.triu_indices(count, 1)
        laplace = (2 * differences[inside] - logs[inside[0]] - logs[inside[1]]).sum()
        outside = differences[:count, count:] + np.log(np.maximum(1 / noise - 1 / spectrum[:count, None], tiny))
        laplace += outside.sum() + pairs * np.log(rows)
        evidence -= laplace / 2 + count * np.log(rows) / 2
        if evidence > best:
            best, chosen = float(evidence), count
    return chosen
