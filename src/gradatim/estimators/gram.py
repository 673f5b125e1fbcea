"""Second moments of a design matrix: the heavy products that the closed forms and the preconditioners
share.

Everything works on the centred, square-root-weighted matrix A with rows sqrt(wᵢ)·(xᵢ − mean) without
building it: dense input is visited in blocks of rows, sparse input is centred by a rank-one correction.
"""

from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
import scipy.sparse

from gradatim.estimators import row_walks
from gradatim.estimators.row_threads import in_parts, one_product_thread

# A dense array or a SciPy CSR matrix or array, (n, d); SciPy has no type for 'either'.
Matrix: TypeAlias = Any

# Rows of a block: 4096 × 784 float32 is 12 MB, which stays in the last-level cache between two products.
BLOCK = 4096
# Rows that stay in the second-level cache between two steps.
PART = 128
# Columns up to which each thread has a Gram matrix of its own, 32 MB.
WIDEST_SHARED = 2048
# Values up to which a walk in float64 over float32 inputs costs nothing that matters.
CHEAP = 2_000_000


def column_means(X: Matrix, weights: np.ndarray) -> np.ndarray:
    """Weighted mean of every column, float64 (d,); weights (n,) need not sum to one."""
    total = weights.sum()
    if scipy.sparse.issparse(X):
        return np.asarray(X.T @ weights).ravel() / total
    means = np.zeros(X.shape[1])
    for start in range(0, X.shape[0], BLOCK):
        block = X[start : start + BLOCK]
        means += weights[start : start + BLOCK].astype(block.dtype) @ block
    return means / total


def gram(X: Matrix, means: np.ndarray, weights: np.ndarray, *, exact: bool = True) -> np.ndarray:
    """AᵀA, float64 (d, d).

    exact=False multiplies float32 blocks in float32 and only sums in float64: twice as fast, and good
    enough where the result is a preconditioner.
    """
    if scipy.sparse.issparse(X):
        weighted = X.multiply(weights[:, None]).tocsr()
        return np.asarray((X.T @ weighted).toarray(), dtype=np.float64) - weights.sum() * np.outer(means, means)
    dtype = np.dtype(np.float64) if exact else X.dtype
    roots, centre = np.sqrt(weights).astype(dtype), means.astype(dtype)
    unweighted = bool(np.all(weights == 1))

    def fill(block: np.ndarray, low: int) -> None:
        np.subtract(X[low : low + len(block)], centre, out=block)
        if not unweighted:
            block *= roots[low : low + len(block), None]

    return scatter(X.shape[0], X.shape[1], dtype, fill)


def scatter(rows: int, columns: int, dtype: Any, fill: Callable[[np.ndarray, int], None]) -> np.ndarray:
    """AᵀA, float64 (d, d), of the matrix A (rows, columns) whose rows from `low` on fill(block, low) writes.

    A thread of its own multiplies each half of the rows: two threads inside one product of this kind lose a third of
    their time waiting for each other. Wide matrices, where a second sum would be large, are left to the product.
    """

    def part(_: int, low: int, high: int) -> np.ndarray:
        out, product = np.zeros((columns, columns)), np.empty((columns, columns), dtype)
        buffer = np.empty((min(BLOCK, high - low), columns), dtype)
        for start in range(low, high, BLOCK):
            block = buffer[: min(BLOCK, high - start)]
            for first in range(0, len(block), PART):
                fill(block[first : first + PART], start + first)
            out += np.matmul(block.T, block, out=product)
        return out

    work = rows * float(columns) ** 2
    if columns > WIDEST_SHARED or rows < 2 * BLOCK:
        return part(0, 0, rows)
    with one_product_thread():
        return np.asarray(np.sum(in_parts(rows, work, part), axis=0))


def kernel(X: Matrix, means: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """AAᵀ, float64 (n, n): the smaller matrix when there are fewer rows than columns."""
    if scipy.sparse.issparse(X):
        out = np.asarray((X @ X.T).toarray(), dtype=np.float64)
        shift = np.asarray(X @ means).ravel()
        out += means @ means - shift[:, None] - shift[None, :]
    else:
        out = np.zeros((X.shape[0], X.shape[0]))
        for start in range(0, X.shape[1], BLOCK):
            block = X[:, start : start + BLOCK].astype(np.float64) - means[start : start + BLOCK]
            out += block @ block.T
    if not np.all(weights == 1):
        roots = np.sqrt(weights)
        out *= roots[:, None] * roots[None, :]
    return out


def centred_product(X: Matrix, means: np.ndarray, coefficients: np.ndarray) -> np.ndarray:
    """(X − mean) @ coefficients, float64 (n, k), in blocks and without a centred copy of X."""
    if scipy.sparse.issparse(X):
        return np.asarray(X @ coefficients) - means @ coefficients
    out = np.empty((X.shape[0], coefficients.shape[1]))
    for start in range(0, X.shape[0], BLOCK):
        block = X[start : start + BLOCK].astype(np.float64, copy=False) - means
        np.matmul(block, coefficients, out=out[start : start + BLOCK])
    return out


def centred_transpose_product(X: Matrix, means: np.ndarray, values: np.ndarray) -> np.ndarray:
    """(X − mean)ᵀ @ values, float64 (d, k)."""
    if scipy.sparse.issparse(X):
        return np.asarray(X.T @ values) - np.outer(means, values.sum(0))
    out = np.zeros((X.shape[1], values.shape[1]))
    for start in range(0, X.shape[0], BLOCK):
        block = X[start : start + BLOCK].astype(np.float64, copy=False) - means
        out += block.T @ values[start : start + BLOCK]
    return out


def sampled_gram(
    X: np.ndarray, means: np.ndarray, weights: np.ndarray, lengths: np.ndarray, rows: np.ndarray | None
) -> np.ndarray:
    """An estimate of AᵀA, float64 (d, d), from float32 products of some rows (None: of all), with the true diagonal.

    lengths (d,): the roots of the true diagonal. For those who correct what it leaves over: six digits from all rows at
    half the price of float64 products; from a sample, what the sample knows of the correlations.
    """
    scales = np.divide(1.0, lengths, out=np.zeros_like(lengths), where=lengths > 0).astype(np.float32)
    roots, centre = np.sqrt(weights * (len(weights) / weights.sum())).astype(np.float32), means.astype(X.dtype)
    unweighted = bool(np.all(weights == weights[0]))

    def fill(block: np.ndarray, low: int) -> None:
        part = slice(low, low + len(block)) if rows is None else rows[low : low + len(block)]
        np.subtract(X[part], centre, out=block, casting="same_kind")
        block *= scales
        if not unweighted:
            block *= roots[part, None]

    out = scatter(X.shape[0] if rows is None else len(rows), X.shape[1], np.float32, fill)
    spread = np.sqrt(out.diagonal())
    ratio = np.divide(lengths, spread, out=np.zeros_like(lengths), where=spread > 0)
    out *= ratio
    out *= ratio[:, None]
    out.flat[:: len(out) + 1] = lengths**2
    return out


def moments(X: Matrix, weights: np.ndarray, centre: bool) -> tuple[np.ndarray, np.ndarray]:
    """Column means (d,), zeros unless `centre`, and the diagonal of AᵀA (d,), float64, in one walk over the rows."""
    total, columns = weights.sum(), X.shape[1]
    if scipy.sparse.issparse(X):
        means = column_means(X, weights) if centre else np.zeros(columns)
        squares = np.asarray(X.multiply(X).T @ weights).ravel() - total * means**2
        return means, np.maximum(squares, 0.0)
    # Sums about a point near the mean: those about zero would lose the digits of columns far from it.
    shift = X[:256].mean(0) if centre else np.zeros(columns, X.dtype)
    sums, squares = row_walks.moments(X, weights, shift)
    if not centre:
        return np.zeros(columns), squares
    return shift + sums / total, np.maximum(squares - sums**2 / total, 0.0)


def residual_and_pull(
    X: Matrix, means: np.ndarray, weights: np.ndarray, target: np.ndarray, coefficients: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """r = target − (X − mean) @ coefficients, (n,), and (X − mean)ᵀ(weights · r), (d,), in one walk over the rows."""
    shift = float(means @ coefficients)
    if scipy.sparse.issparse(X):
        residual = target - np.asarray(X @ coefficients).ravel() + shift
        weighted = weights * residual
        return residual, np.asarray(X.T @ weighted).ravel() - means * weighted.sum()
    # Few rows are worth float64: in float32 the gradient is known to about 1e-6 of the target only.
    dtype = np.dtype(np.float64) if X.size < CHEAP else X.dtype
    residual, pull = row_walks.residual_and_pull(X, weights, target, coefficients, shift, dtype)
    return residual, pull - means * float(weights @ residual)
