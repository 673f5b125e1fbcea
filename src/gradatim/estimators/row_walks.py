"""One walk over the rows of a dense matrix: its moments, or a residual and what the columns pull.

What to notice: a row is small enough to stay in the first cache between the product with it and its share of the sum,
so that both cost one reading of the matrix; sums of 64 rows are made in the precision of the data, those of the sums
in float64.
"""

from collections.abc import Callable

import numba
import numpy as np

from gradatim.estimators.row_threads import in_parts

# Rows summed in the precision of the data before float64 takes over.
RUN = 64
# Rows of a block that must first be laid out row by row.
TURNED = 1024


@numba.njit(cache=True, nogil=True, fastmath={"reassoc", "contract"})
def _residual_and_pull(rows, weights, target, coefficients, shift, residual, pull):  # type: ignore[no-untyped-def]
    count, columns = rows.shape
    part = np.zeros(columns, rows.dtype)
    for i in range(count):
        row = rows[i]
        along = row[0] * coefficients[0]
        for j in range(1, columns):
            along += row[j] * coefficients[j]
        left = target[i] + shift - along
        residual[i] = left
        share = rows.dtype.type(weights[i] * left)
        for j in range(columns):
            part[j] += share * row[j]
        if (i + 1) % RUN == 0 or i + 1 == count:
            for j in range(columns):
                pull[j] += part[j]
                part[j] = 0


@numba.njit(cache=True, nogil=True, fastmath={"reassoc", "contract"})
def _moments(rows, weights, shift, sums, squares):  # type: ignore[no-untyped-def]
    count, columns = rows.shape
    first, second = np.zeros(columns, rows.dtype), np.zeros(columns, rows.dtype)
    for i in range(count):
        row = rows[i]
        share = rows.dtype.type(weights[i])
        for j in range(columns):
            value = row[j] - shift[j]
            first[j] += share * value
            second[j] += share * value * value
        if (i + 1) % RUN == 0 or i + 1 == count:
            for j in range(columns):
                sums[j] += first[j]
                squares[j] += second[j]
                first[j] = 0
                second[j] = 0


def _walk(X: np.ndarray, dtype: np.dtype, visit: Callable[..., None], *along: np.ndarray) -> None:
    """visit(rows, *along of those rows) for all rows in order, C-contiguous and of this type."""
    step = len(X) if X.flags.c_contiguous and X.dtype == dtype else TURNED
    for start in range(0, len(X), max(step, 1)):
        rows = np.ascontiguousarray(X[start : start + step], dtype=dtype)
        visit(rows, *(values[start : start + step] for values in along))


def residual_and_pull(
    X: np.ndarray, weights: np.ndarray, target: np.ndarray, coefficients: np.ndarray, shift: float, dtype: np.dtype
) -> tuple[np.ndarray, np.ndarray]:
    """r = target + shift − X @ coefficients, (n,), and Xᵀ(weights · r), (d,), float64; products in `dtype`."""
    residual, cast = np.empty(len(X)), coefficients.astype(dtype)
    weights, target = np.ascontiguousarray(weights), np.ascontiguousarray(target)

    def work(_: int, low: int, high: int) -> np.ndarray:
        pull = np.zeros(X.shape[1])

        def visit(rows: np.ndarray, weight: np.ndarray, wanted: np.ndarray, left: np.ndarray) -> None:
            _residual_and_pull(rows, weight, wanted, cast, shift, left, pull)

        _walk(X[low:high], dtype, visit, weights[low:high], target[low:high], residual[low:high])
        return pull

    return residual, np.sum(in_parts(len(X), 4.0 * X.size, work), axis=0)


def moments(X: np.ndarray, weights: np.ndarray, shift: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Σ wᵢ(xᵢ − shift) and Σ wᵢ(xᵢ − shift)², (d,), float64; products in the precision of X."""

    weights, shift = np.ascontiguousarray(weights), shift.astype(X.dtype)

    def work(_: int, low: int, high: int) -> np.ndarray:
        sums, squares = np.zeros(X.shape[1]), np.zeros(X.shape[1])

        def visit(rows: np.ndarray, weight: np.ndarray) -> None:
            _moments(rows, weight, shift, sums, squares)

        _walk(X[low:high], X.dtype, visit, weights[low:high])
        return np.stack([sums, squares])

    sums, squares = np.sum(in_parts(len(X), 4.0 * X.size, work), axis=0)
    return sums, squares
