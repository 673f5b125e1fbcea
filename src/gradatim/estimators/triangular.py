"""Equations with a symmetric positive definite matrix, by NumPy's factorisation and substitution of our own.

What to notice: NumPy and SciPy each bring an OpenBLAS with threads of its own, and a thread that has done its part
waits awake for a while, on a core that the other's threads now want. On two cores an estimator that takes its products
from one and its factors from the other loses up to half of its time; so ours take both from NumPy, which has no
triangular solver.
"""

import numba
import numpy as np


@numba.njit(cache=True, nogil=True, fastmath={"contract"})
def _substitute(lower, values):  # type: ignore[no-untyped-def]
    """L y = values, then Lᵀ x = y, in place: values (d, k)."""
    size, width = values.shape
    for i in range(size):
        for j in range(i):
            for k in range(width):
                values[i, k] -= lower[i, j] * values[j, k]
        for k in range(width):
            values[i, k] /= lower[i, i]
    for i in range(size - 1, -1, -1):
        for k in range(width):
            values[i, k] /= lower[i, i]
        for j in range(i):
            for k in range(width):
                values[j, k] -= lower[i, j] * values[i, k]


def solve(lower: np.ndarray, values: np.ndarray) -> np.ndarray:
    """(LLᵀ)⁻¹ values, (d,) or (d, k), for the lower factor L (d, d) of `np.linalg.cholesky`.

    >>> solve(np.linalg.cholesky(np.array([[4.0, 2.0], [2.0, 3.0]])), np.array([8.0, 8.0]))
    array([1., 2.])
    """
    out = np.array(values, dtype=lower.dtype, order="C", copy=True)
    _substitute(lower, out.reshape(len(out), -1))
    return out
