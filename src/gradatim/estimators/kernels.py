"""Kernels: products in a feature space that is never entered.

A kernel K(x, y) = φ(x)·φ(y) measures likeness; whatever needs only products of rows can be done in the space of φ:

    linear      x·y                         φ(x) = x
    polynomial  (γ x·y + c)ᵈ                 φ: all products of up to d numbers
    rbf         exp(−γ‖x − y‖²)             φ has infinitely many coordinates
    sigmoid     tanh(γ x·y + c)             not positive for every γ and c

K is a product in some space exactly if every kernel matrix is positive semidefinite (Mercer, 1909), which
`check_mercer` tests on the rows at hand. Distances follow: ‖φ(x) − φ(y)‖² = K(x,x) + K(y,y) − 2K(x,y).
What to notice: a block of kernel values is one matrix product and one pass over it. Large matrices are visited in
blocks (`kernel_blocks`); only `kernel_matrix` builds a whole one, within the budget it is given.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import scipy.sparse
import scipy.sparse.linalg
import torch
from numpy.typing import ArrayLike

from gradatim import device
from gradatim.estimators.gram import Matrix
from gradatim.estimators.kernel_points import Points

KERNELS = ("linear", "poly", "rbf", "sigmoid")
# MiB of kernel values that are held at once where the caller does not say.
BUDGET = 1024.0
# Up to this size all eigenvalues are computed; above it Lanczos steps find the least one.
LARGEST_SPECTRUM = 1500


@dataclass(frozen=True, slots=True)
class Kernel:
    """One kernel with its numbers, callable on rows.

    name: one of KERNELS, "callable" with `function(X, Y) -> (n, m)`, or "precomputed", whose rows are kernel values.
    gamma: γ > 0; degree: d ≥ 0; coef0: c.

    >>> x, y = np.array([[1.0, 2.0, 3.0]]), np.array([[4.0, 5.0, 6.0]])
    >>> square = Kernel("poly", gamma=1.0, degree=2, coef0=0.0)
    >>> float(square(x, y)[0, 0]), float(square.squared_distances(x, y)[0, 0])
    (1024.0, 4077.0)
    """

    name: str = "rbf"
    gamma: float = 1.0
    degree: float = 3
    coef0: float = 0.0
    function: Callable[[Any, Any], ArrayLike] | None = None

    def __post_init__(self) -> None:
        if self.name not in (*KERNELS, "callable", "precomputed"):
            raise ValueError(f"kernel: expected one of {', '.join(KERNELS)} or a function, received {self.name!r}")
        if self.name in ("poly", "rbf", "sigmoid") and not (np.isfinite(self.gamma) and self.gamma >= 0):
            raise ValueError(f"gamma: expected a number ≥ 0, 'scale' or 'auto', received {self.gamma!r}")
        if self.name == "poly" and not (np.isfinite(self.degree) and self.degree >= 0):
            raise ValueError(f"degree: expected a number ≥ 0, received {self.degree!r}")
        if self.name == "callable" and not callable(self.function):
            raise ValueError(f"function: expected a function of two sets of rows, received {self.function!r}")

    def points(self, X: Matrix, *, like: Points | None = None) -> Points:
        """X (n, d), made ready for products with `like`, or with its own rows."""
        return Points.of(self, X, like=like)

    def __call__(self, X: Matrix, Y: Matrix | None = None) -> np.ndarray:
        """K(xᵢ, yⱼ) (n, m); Y None: of X with itself."""
        X, Y = _rows(X), None if Y is None else _rows(Y)
        columns = self.points(X if Y is None else Y)
        return (columns if Y is None else self.points(X, like=columns)).products(columns)

    def diagonal(self, X: Matrix) -> np.ndarray:
        """K(xᵢ, xᵢ) (n,)."""
        return self.points(_rows(X)).diagonal()

    def squared_distances(self, X: Matrix, Y: Matrix) -> np.ndarray:
        """‖φ(xᵢ) − φ(yⱼ)‖² (n, m); never below zero for a kernel that is a product."""
        return self.diagonal(X)[:, None] + self.diagonal(Y)[None, :] - 2 * self(X, Y)


def make_kernel(
    kernel: str | Callable[[Any, Any], ArrayLike],
    *,
    gamma: float = 1.0,
    degree: float = 3,
    coef0: float = 0.0,
) -> Kernel:
    """The kernel of this name, or of a function of two sets of rows; "polynomial" is another word for "poly"."""
    if callable(kernel):
        return Kernel("callable", function=kernel)
    return Kernel("poly" if kernel == "polynomial" else kernel, float(gamma), float(degree), float(coef0))


def _rows(X: Any) -> Matrix:
    if scipy.sparse.issparse(X):
        X = X.tocsr()
        return X if X.dtype in (np.float32, np.float64) else X.astype(np.float64)
    X = np.asarray(X)
    X = np.ascontiguousarray(X, dtype=X.dtype if X.dtype in (np.float32, np.float64) else np.float64)
    if X.ndim != 2:
        raise ValueError(f"expected rows and columns (n, d), received an array of shape {X.shape}; X.reshape(1, -1)?")
    return X


def linear(X: Matrix, Y: Matrix | None = None) -> np.ndarray:
    """x·y for all pairs of rows, (n, m)."""
    return Kernel("linear")(X, Y)


def polynomial(
    X: Matrix, Y: Matrix | None = None, *, degree: float = 3, gamma: float = 1.0, coef0: float = 1.0
) -> np.ndarray:
    """(γ x·y + c)ᵈ for all pairs of rows, (n, m)."""
    return Kernel("poly", gamma, degree, coef0)(X, Y)


def rbf(X: Matrix, Y: Matrix | None = None, *, gamma: float = 1.0) -> np.ndarray:
    """exp(−γ‖x − y‖²) for all pairs of rows, (n, m); γ = 1/(2σ²).

    >>> round(float(rbf([[0.0]], [[2.0]], gamma=0.5)[0, 0]), 6)
    0.135335
    """
    return Kernel("rbf", gamma)(X, Y)


def sigmoid(X: Matrix, Y: Matrix | None = None, *, gamma: float = 1.0, coef0: float = 0.0) -> np.ndarray:
    """tanh(γ x·y + c) for all pairs of rows, (n, m)."""
    return Kernel("sigmoid", gamma, 0, coef0)(X, Y)


def kernel_matrix(X: Matrix, Y: Matrix | None = None, kernel: Kernel | None = None, *, budget: float = BUDGET) -> Any:
    """All of K (n, m) at once, kernel None: rbf with γ = 1/d; ValueError above `budget` MiB: use `kernel_blocks`."""
    X = _rows(X)
    Y = X if Y is None else _rows(Y)
    size = X.shape[0] * Y.shape[0] * (4 if X.dtype == np.float32 else 8) / 2**20
    if size > budget:
        raise ValueError(
            f"expected a kernel matrix of at most {budget:g} MiB, received {X.shape[0]} × {Y.shape[0]} rows"
            f" ({size:.0f} MiB); visit it by kernel_blocks, or raise budget"
        )
    blocks = [block for _, block in kernel_blocks(X, Y, kernel, budget=budget)]
    return blocks[0] if len(blocks) == 1 else np.concatenate(blocks)


def kernel_blocks(
    X: Matrix, Y: Matrix | None = None, kernel: Kernel | None = None, *, budget: float = 64.0
) -> Iterator[tuple[slice, np.ndarray]]:
    """(rows, K of those rows with all of Y), top to bottom, each block within `budget` MiB (but one row at least)."""
    X = _rows(X)
    Y = X if Y is None else _rows(Y)
    chosen = Kernel("rbf", 1 / max(1, X.shape[1])) if kernel is None else kernel
    columns = chosen.points(Y)
    height = max(1, int(budget * 2**20 // (8 * max(1, Y.shape[0]))))
    with fast_products(X.dtype, X.shape[0] * Y.shape[0] * X.shape[1]):
        for start in range(0, X.shape[0], height):
            part = slice(start, min(X.shape[0], start + height))
            yield part, chosen.points(X[part], like=columns).products(columns)


def product_features(X: ArrayLike) -> np.ndarray:
    """φ of the kernel (x·y)²: all d² products xᵢxⱼ of each row, (n, d²).

    >>> product_features([[1, 2, 3]]).tolist()
    [[1.0, 2.0, 3.0, 2.0, 4.0, 6.0, 3.0, 6.0, 9.0]]
    """
    rows = np.atleast_2d(np.asarray(X, dtype=np.float64))
    return (rows[:, :, None] * rows[:, None, :]).reshape(len(rows), -1)


@dataclass(frozen=True, slots=True)
class MercerCheck:
    """What the eigenvalues of a kernel matrix say.

    least, largest: its extreme eigenvalues; tolerance: rounding below which a negative one counts as zero; asymmetry:
    largest |Kᵢⱼ − Kⱼᵢ|. positive: whether the matrix is symmetric and positive semidefinite as far as rounding lets
    one tell, so that on these rows the kernel is a product.
    """

    least: float
    largest: float
    tolerance: float
    asymmetry: float

    @property
    def positive(self) -> bool:
        """Symmetric and without a negative eigenvalue."""
        return self.asymmetry <= self.tolerance and self.least >= -self.tolerance

    def __str__(self) -> str:
        verdict = "positive semidefinite" if self.positive else "not a product in any space"
        extremes = f"least eigenvalue {self.least:.6g}, largest {self.largest:.6g}"
        return f"{verdict}: {extremes}, rounding {self.tolerance:.1g}"


def check_mercer(matrix: ArrayLike) -> MercerCheck:
    """Whether a kernel matrix (n, n) is one of products, with its most negative eigenvalue.

    >>> check_mercer(rbf([[0.0], [1.0], [2.0]])).positive
    True
    >>> print(check_mercer([[0.0, 1.0], [1.0, 0.0]]))
    not a product in any space: least eigenvalue -1, largest 1, rounding 9e-16
    """
    given = np.asarray(matrix)
    if given.ndim != 2 or given.shape[0] != given.shape[1] or not given.size or not np.isfinite(given).all():
        raise ValueError(f"matrix: expected a square one of finite numbers, received shape {given.shape}")
    precision = np.finfo(given.dtype).eps if given.dtype.kind == "f" else np.finfo(np.float64).eps
    square = given.astype(np.float64)
    asymmetry = float(np.abs(square - square.T).max())
    square = (square + square.T) / 2
    if len(square) <= LARGEST_SPECTRUM:
        values = np.linalg.eigvalsh(square)
        least, largest = float(values[0]), float(values[-1])
    else:
        largest = float(scipy.sparse.linalg.eigsh(square, 1, which="LA", return_eigenvectors=False)[0])
        # Shifted by the largest, the most negative one is the farthest from zero, which Lanczos finds soonest.
        shifted = scipy.sparse.linalg.LinearOperator(square.shape, lambda v: square @ v - largest * v)
        least = largest + float(scipy.sparse.linalg.eigsh(shifted, 1, which="LM", return_eigenvectors=False)[0])
    scale = max(abs(least), abs(largest))
    return MercerCheck(least, largest, 2 * len(square) * float(precision) * scale, asymmetry)


@cache
def _onednn_is_exact() -> bool:
    """Whether the machine's lever for float32 products may be pulled; probed once."""
    setting = torch.backends.mkldnn.matmul  # type: ignore[attr-defined]
    before = setting.fp32_precision
    try:
        device.pull_levers(device.Placement(threads=torch.get_num_threads()), memory=False)
        return bool(setting.fp32_precision == "bf16")
    finally:
        setting.fp32_precision = before


@contextmanager
def fast_products(dtype: Any, work: float) -> Iterator[None]:
    """Within, float32 products use the machine's fastest exact library; the process's setting is put back after.

    work: multiplications in all; below some millions nothing is touched.
    """
    if dtype != np.float32 or work < 1e8 or not _onednn_is_exact():
        yield
        return
    setting = torch.backends.mkldnn.matmul  # type: ignore[attr-defined]
    before = setting.fp32_precision
    setting.fp32_precision = "bf16"
    try:
        yield
    finally:
        setting.fp32_precision = before
