"""Second moments of a design matrix: the heavy products that the closed forms and the preconditioners
share.

Everything works on the centred, square-root-weighted matrix A with rows sqrt(wᵢ)·(xᵢ − mean) without
building it: dense input is visited in blocks of rows, sparse input is centred by a rank-one correction.
"""

from collections.abc import Iterator
from typing import Any, TypeAlias

import numpy as np
import scipy.sparse

# A dense array or a SciPy CSR matrix or array, (n, d); SciPy has no type for 'either'.
Matrix: TypeAlias = Any

# Rows of a block: 4096 × 784 float32 is 12 MB, which stays in the last-level cache between two products.
BLOCK = 4096
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
    dtype = np.float64 if exact else X.dtype
    out = np.zeros((X.shape[1], X.shape[1]))
    roots, centre = np.sqrt(weights).astype(dtype), means.astype(dtype)
    unweighted = bool(np.all(weights == 1))
    for start in range(0, X.shape[0], BLOCK):
        block = X[start : start + BLOCK].astype(dtype, copy=False) - centre
        if not unweighted:
            block *= roots[start : start + BLOCK, None]
        out += block.T @ block
    return out


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
    scales = np.divide(1.0, lengths, out=np.zeros_like(lengths), where=lengths > 0).astype(X.dtype)
    roots, centre = np.sqrt(weights * (len(weights) / weights.sum())).astype(np.float32), means.astype(X.dtype)
    unweighted = bool(np.all(weights == weights[0]))
    out = np.zeros((X.shape[1], X.shape[1]))
    count = X.shape[0] if rows is None else len(rows)
    for start in range(0, count, BLOCK):
        part = slice(start, start + BLOCK) if rows is None else rows[start : start + BLOCK]
        block = X[part] - centre
        block *= scales
        narrow = block.astype(np.float32, copy=False)
        if not unweighted:
            narrow *= roots[part, None]
        out += narrow.T @ narrow
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
    sums, squares = np.zeros(columns), np.zeros(columns)
    for part in _cached_parts(X):
        block, share = X[part] - shift, weights[part].astype(X.dtype)
        sums += share @ block
        np.multiply(block, block, out=block)
        squares += share @ block
    if not centre:
        return np.zeros(columns), squares
    return shift + sums / total, np.maximum(squares - sums**2 / total, 0.0)


def _cached_parts(X: np.ndarray) -> Iterator[slice]:
    """Blocks of rows that stay in the second-level cache between two products."""
    size = max(16, (1 << 19) // max(X.shape[1] * X.itemsize, 1))
    for start in range(0, X.shape[0], size):
        yield slice(start, start + size)


def residual_and_pull(
    X: Matrix, means: np.ndarray, weights: np.ndarray, target: np.ndarray, coefficients: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """r = target − (X − mean) @ coefficients, (n,), and (X − mean)ᵀ(weights · r), (d,), in one walk over the rows."""
    shift = float(means @ coefficients)
    if scipy.sparse.issparse(X):
        residual = target - np.asarray(X @ coefficients).ravel() + shift
        weighted = weights * residual
        return residual, np.asarray(X.T @ weighted).ravel() - means * weighted.sum()
    residual, pull = target.copy(), np.zeros(X.shape[1])
    # Few rows are worth float64: in float32 the gradient is known to about 1e-6 of the target only.
    dtype = np.float64 if X.size < CHEAP else X.dtype
    cast = coefficients.astype(dtype)
    anywhere = bool(cast.any())
    for part in _cached_parts(X):
        block = X[part].astype(dtype, copy=False)
        if anywhere:
            residual[part] += shift - block @ cast
        pull += (weights[part] * residual[part]).astype(dtype) @ block
    return residual, pull - means * float(weights @ residual)
