"""Second moments of a design matrix: the heavy products that the closed forms and the preconditioners
share.

Everything works on the centred, square-root-weighted matrix A with rows sqrt(wᵢ)·(xᵢ − mean) without
building it: dense input is visited in blocks of rows, sparse input is centred by a rank-one correction.
"""

from typing import Any, TypeAlias

import numpy as np
import scipy.sparse

# A dense array or a SciPy CSR matrix or array, (n, d); SciPy has no type for 'either'.
Matrix: TypeAlias = Any

# Rows of a block: 4096 × 784 float32 is 12 MB, which stays in the last-level cache between two products.
BLOCK = 4096


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


def fast_gram(X: np.ndarray, means: np.ndarray, weights: np.ndarray, scales: np.ndarray) -> np.ndarray:
    """AᵀA with the columns of A multiplied by `scales`, float64 (d, d), from float32 products: about six digits.

    For those who correct what it leaves over: it costs half of the float64 product. Scales near one over the length of
    the columns keep it in range.
    """
    out = np.zeros((X.shape[1], X.shape[1]))
    roots = np.sqrt(weights).astype(np.float32)
    unweighted = bool(np.all(weights == weights[0]))
    centre, factors = means.astype(X.dtype), scales.astype(X.dtype)
    for start in range(0, X.shape[0], BLOCK):
        block = X[start : start + BLOCK] - centre
        block *= factors
        narrow = block.astype(np.float32, copy=False)
        if not unweighted:
            narrow *= roots[start : start + BLOCK, None]
        out += narrow.T @ narrow
    return out * weights[0] if unweighted else out


def column_squares(X: Matrix, means: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """The diagonal of AᵀA, float64 (d,)."""
    if scipy.sparse.issparse(X):
        squares = np.asarray(X.multiply(X).T @ weights).ravel() - weights.sum() * means**2
        return np.maximum(squares, 0.0)
    out = np.zeros(X.shape[1])
    centre = means.astype(X.dtype)
    for start in range(0, X.shape[0], BLOCK):
        block = X[start : start + BLOCK] - centre
        block *= block
        out += weights[start : start + BLOCK].astype(X.dtype) @ block
    return out


def residual_and_pull(
    X: Matrix, means: np.ndarray, weights: np.ndarray, target: np.ndarray, coefficients: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """r = target − (X − mean) @ coefficients, (n,), and (X − mean)ᵀ(weights · r), (d,), in one walk over the rows."""
    shift = float(means @ coefficients)
    if scipy.sparse.issparse(X):
        residual = target - np.asarray(X @ coefficients).ravel() + shift
        weighted = weights * residual
        return residual, np.asarray(X.T @ weighted).ravel() - means * weighted.sum()
    residual, pull = np.empty(len(target)), np.zeros(X.shape[1])
    cast = coefficients.astype(X.dtype)
    # A block is read for both products while it is still in the second-level cache.
    size = max(16, (1 << 19) // max(X.shape[1] * X.itemsize, 1))
    for start in range(0, len(target), size):
        part = slice(start, start + size)
        block = X[part]
        residual[part] = target[part] - block @ cast + shift
        pull += (weights[part] * residual[part]).astype(X.dtype) @ block
    return residual, pull - means * float(weights @ residual)
