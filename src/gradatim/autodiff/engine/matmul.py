"""Products of matrices, vectors and stacks of them, with both gradients, on plain arrays."""

from collections.abc import Callable

import numpy as np

from gradatim.errors import GradatimError

VectorJacobianProduct = Callable[[np.ndarray], np.ndarray]


def product(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, VectorJacobianProduct, VectorJacobianProduct]:
    """C = A B over the last two axes, leading axes broadcast; and the vjps G ↦ G Bᵀ to A and G ↦ Aᵀ G to B.

    x: (…, n, k) or a vector (k,), taken as one row; y: (…, k, m) or a vector (k,), taken as one column.
    """
    if min(x.ndim, y.ndim) == 0 or x.shape[-1] != y.shape[-min(y.ndim, 2)]:
        raise GradatimError(f"@: expected (…, n, k) @ (…, k, m), received {x.shape} @ {y.shape}; transpose one of them")
    if x.ndim == y.ndim == 2:  # by far the most frequent
        return x @ y, lambda g: g @ y.T, lambda g: x.T @ g
    rows = x[None] if x.ndim == 1 else x
    columns = y[:, None] if y.ndim == 1 else y
    if columns.ndim == 2:  # one matrix for the whole stack: a single large product
        whole = (rows.reshape(-1, rows.shape[-1]) @ columns).reshape(*rows.shape[:-1], columns.shape[-1])
    else:
        whole = _stacked(rows, columns)
    shape = whole.shape

    def to_left(g: np.ndarray) -> np.ndarray:
        return g.reshape(shape) @ np.swapaxes(columns, -1, -2)

    def to_right(g: np.ndarray) -> np.ndarray:
        if y.ndim > 2:
            return np.swapaxes(rows, -1, -2) @ g.reshape(shape)
        gradient = rows.reshape(-1, rows.shape[-1]).T @ g.reshape(-1, shape[-1])
        return gradient[:, 0] if y.ndim == 1 else gradient

    kept = (*shape[:-2], *(shape[-2:-1] if x.ndim > 1 else ()), *(shape[-1:] if y.ndim > 1 else ()))
    return whole.reshape(kept), to_left, to_right


def _stacked(rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    try:
        return rows @ columns
    except ValueError:
        raise GradatimError(
            f"@: expected leading axes that broadcast, received {rows.shape} @ {columns.shape}; reshape one of them"
        ) from None
