"""Rows made ready for kernel products: norms known, numbers in the working format, one product and one pass a block.

The squared distance in the rbf kernel is expanded, ‖x − y‖² = ‖x‖² + ‖y‖² − 2x·y, so that the work is a matrix
product. Far from the origin the expansion loses digits; distances do not see a shift, and rows that lie far out are
moved to their mean first. The pass after the product subtracts, clips and exponentiates while the block is in the
cache; the exponential is Cephes' polynomial (Moshier, 1989), within one unit in the last place or so, in vector
instructions.
"""

from dataclasses import dataclass
from typing import Any, Self

import numba
import numpy as np
import scipy.sparse
import torch
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from gradatim.estimators.gram import Matrix
from gradatim.estimators.vector_maximum import larger, smaller

# Rows are moved to their mean when its square is this many times their variance.
FAR_OUT = 4.0
# Outside these γ the squares of rows of fitting size could leave the range of float32.
TAME = (1e-10, 1e10)
# Products of few multiplications are done before torch has found its way to them.
TINY = 20_000


@dataclass(frozen=True, slots=True)
class Points:
    """Rows for products under one kernel; made by `Kernel.points`.

    matrix (n, d): contiguous, in the working format (float32 only where all is float32 and the kernel bounded: the
    others can be so large that float32 rounds away what tells two rows apart). squares (n,): γ‖x‖² under rbf, else
    empty. origin (d,): subtracted from the rows, None: nothing. place (n,): columns of a precomputed matrix.
    gamma: γ for these rows, which were multiplied by √γ where γ says that their squares might overflow.
    """

    kernel: Any
    matrix: Matrix
    squares: np.ndarray
    origin: np.ndarray | None
    place: np.ndarray | None
    gamma: float

    @classmethod
    def of(cls, kernel: Any, X: Matrix, *, like: "Points | None" = None) -> Self:
        """X (n, d) ready for products with `like`, or with its own rows."""
        sparse, origin, gamma, place = scipy.sparse.issparse(X), None, kernel.gamma, None
        if like is not None and X.dtype != like.matrix.dtype and kernel.name != "callable":
            X = X.astype(like.matrix.dtype)
        if kernel.name == "precomputed":
            place = np.arange(X.shape[0])
        elif kernel.name == "rbf":
            if not TAME[0] < gamma < TAME[1]:
                X, gamma = (X * np.float64(np.sqrt(gamma))).astype(X.dtype), 1.0
            origin = like.origin if like is not None else _far_origin(X)
            if origin is not None and not sparse:
                X = X - origin
        elif kernel.name != "callable" and X.dtype != np.float64:
            X = X.astype(np.float64)
        if not sparse and kernel.name not in ("callable", "precomputed"):
            X = np.require(X, requirements=["C", "W"])
        squares = np.empty(0, X.dtype)
        if kernel.name == "rbf":
            squares = np.asarray(X.multiply(X).sum(1)).ravel() if sparse else np.einsum("nd,nd->n", X, X)
            squares = (gamma * squares).astype(X.dtype)
        return cls(kernel, X, squares, origin, place, gamma)

    def __len__(self) -> int:
        return self.matrix.shape[0] if self.place is None else len(self.place)

    @property
    def dtype(self) -> np.dtype:
        """Number format of the kernel's values."""
        return self.matrix.dtype if self.kernel.name == "rbf" else np.dtype(np.float64)

    def take(self, rows: np.ndarray) -> "Points":
        """Some of the rows."""
        squares = self.squares[rows] if len(self.squares) else self.squares
        if self.place is not None:
            return Points(self.kernel, self.matrix, squares, None, self.place[rows], self.gamma)
        return Points(self.kernel, self.matrix[rows], squares, self.origin, None, self.gamma)

    def diagonal(self) -> np.ndarray:
        """K(xᵢ, xᵢ) (n,)."""
        kernel = self.kernel
        if kernel.name == "rbf":
            return np.ones(len(self), self.dtype)
        if self.place is not None:
            return np.asarray(self.matrix[self.place, self.place], dtype=np.float64).ravel()
        if kernel.name == "callable":
            return np.array([float(_called(kernel, row, row)[0, 0]) for row in _single_rows(self.matrix)])
        if scipy.sparse.issparse(self.matrix):
            out = np.asarray(self.matrix.multiply(self.matrix).sum(1), dtype=np.float64).ravel()
        else:
            out = np.einsum("nd,nd->n", self.matrix, self.matrix)
        return _bend(out[None], kernel)[0]

    def products(self, columns: "Points", out: np.ndarray | None = None) -> np.ndarray:
        """K(xᵢ, cⱼ) (n, m), in `out` (C-contiguous, of `dtype`) where it is given."""
        kernel = self.kernel
        if self.place is not None:
            assert columns.place is not None
            values = self.matrix[np.ix_(self.place, columns.place)]
            values = values.toarray() if scipy.sparse.issparse(values) else values
        elif kernel.name == "callable":
            values = _called(kernel, self.matrix, columns.matrix)
        else:
            values = _inner(self.matrix, columns.matrix, out)
            if kernel.name == "rbf":
                _decay(values, self.squares, columns.squares, values.dtype.type(2 * self.gamma))
            else:
                values = _bend(values, kernel)
        if out is None:
            return np.ascontiguousarray(values, dtype=self.dtype)
        if values is not out:
            out[...] = values
        return out


def _single_rows(matrix: Matrix) -> Any:
    return (matrix[row : row + 1] for row in range(matrix.shape[0]))


def _called(kernel: Any, rows: Matrix, columns: Matrix) -> np.ndarray:
    values = np.asarray(kernel.function(rows, columns), dtype=np.float64)
    if values.shape != (rows.shape[0], columns.shape[0]):
        raise ValueError(
            f"kernel: expected the function to return an array of shape {(rows.shape[0], columns.shape[0])},"
            f" received {values.shape}"
        )
    return values


def _far_origin(X: Matrix) -> np.ndarray | None:
    """The mean of the rows where they lie far out, as measured against their spread."""
    if scipy.sparse.issparse(X) or not len(X):
        return None
    # A sample tells; the choice must not cost a pass over the rows.
    sample = X[:: max(1, len(X) // 1024)]
    mean = sample.mean(0, dtype=np.float64)
    spread = float(((sample - mean) ** 2).sum() / len(sample))
    return mean.astype(X.dtype) if float(mean @ mean) > FAR_OUT * spread else None


def _inner(rows: Matrix, columns: Matrix, out: np.ndarray | None) -> np.ndarray:
    """x·c for all pairs."""
    if scipy.sparse.issparse(rows) or scipy.sparse.issparse(columns):
        values = rows @ columns.T
        return np.ascontiguousarray(values.toarray() if scipy.sparse.issparse(values) else values)
    if rows.shape[0] * columns.shape[0] * rows.shape[1] < TINY:
        return np.matmul(rows, columns.T, out=out)
    result = np.empty((rows.shape[0], columns.shape[0]), rows.dtype) if out is None else out
    torch.mm(torch.from_numpy(rows), torch.from_numpy(columns).T, out=torch.from_numpy(result))
    return result


def _bend(values: np.ndarray, kernel: Any) -> np.ndarray:
    """The kernel from inner products, in place."""
    if kernel.name == "linear":
        return values
    values *= kernel.gamma
    values += kernel.coef0
    if kernel.name == "sigmoid":
        return np.tanh(values, out=values)
    if kernel.degree in (2, 3):
        return np.multiply(values, values if kernel.degree == 2 else values * values, out=values)
    return np.power(values, kernel.degree, out=values)


def _write_exponent(typing_context: Any, exponent: Any) -> Any:
    """2ⁿ for a whole float n of either format, by writing n into the bits of the exponent."""
    single = exponent == types.float32
    whole, real = (ir.IntType(32), ir.FloatType()) if single else (ir.IntType(64), ir.DoubleType())
    bias, shift = (127, 23) if single else (1023, 52)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        number = builder.fptosi(arguments[0], whole)
        number = builder.shl(builder.add(number, ir.Constant(whole, bias)), ir.Constant(whole, shift))
        return builder.bitcast(number, real)

    return exponent(exponent), generate


_power_of_two: Any = intrinsic(_write_exponent)


@numba.njit(cache=True, nogil=True, fastmath={"nnan", "nsz", "contract"})
def _decay_row32(values: np.ndarray, own: Any, squares: np.ndarray, twice: Any) -> None:
    """exp(2γ x·c − γ‖x‖² − γ‖c‖²) along one row, float32; ln 2 in two parts, so that the remainder is exact."""
    one, half = np.float32(1), np.float32(0.5)
    for t in range(len(values)):
        power = smaller(twice * values[t] - own - squares[t], np.float32(0))
        power = larger(power, np.float32(-87))
        whole = np.floor(power * np.float32(1.4426950408889634) + half)
        rest = power - whole * np.float32(0.693359375) - whole * np.float32(-2.12194440e-4)
        series = np.float32(1.9875691500e-4) * rest + np.float32(1.3981999507e-3)
        series = series * rest + np.float32(8.3334519073e-3)
        series = series * rest + np.float32(4.1665795894e-2)
        series = series * rest + np.float32(1.6666665459e-1)
        series = series * rest + np.float32(5.0000001201e-1)
        values[t] = (series * rest * rest + rest + one) * _power_of_two(whole)


@numba.njit(cache=True, nogil=True, fastmath={"nnan", "nsz", "contract"})
def _decay_row64(values: np.ndarray, own: Any, squares: np.ndarray, twice: Any) -> None:
    """The same in float64, with Taylor's series to the 13th power: |rest| ≤ ln 2 / 2 leaves 4e-18."""
    for t in range(len(values)):
        power = larger(smaller(twice * values[t] - own - squares[t], 0.0), -708.0)
        whole = np.floor(power * 1.4426950408889634 + 0.5)
        rest = power - whole * 6.93145751953125e-1 - whole * 1.42860682030941723212e-6
        series = rest / 6227020800.0 + 1 / 479001600.0
        series = series * rest + 1 / 39916800.0
        series = series * rest + 1 / 3628800.0
        series = series * rest + 1 / 362880.0
        series = series * rest + 1 / 40320.0
        series = series * rest + 1 / 5040.0
        series = series * rest + 1 / 720.0
        series = series * rest + 1 / 120.0
        series = series * rest + 1 / 24.0
        series = series * rest + 1 / 6.0
        series = series * rest + 0.5
        values[t] = (series * rest * rest + rest + 1.0) * _power_of_two(whole)


@numba.njit(cache=True, nogil=True)
def _decay32(values: np.ndarray, own: np.ndarray, squares: np.ndarray, twice: Any) -> None:
    for row in range(len(values)):
        _decay_row32(values[row], own[row], squares, twice)


@numba.njit(cache=True, nogil=True)
def _decay64(values: np.ndarray, own: np.ndarray, squares: np.ndarray, twice: Any) -> None:
    for row in range(len(values)):
        _decay_row64(values[row], own[row], squares, twice)


def _decay(values: np.ndarray, own: np.ndarray, squares: np.ndarray, twice: Any) -> None:
    """Inner products (n, m) to rbf values, in place."""
    (_decay32 if values.dtype == np.float32 else _decay64)(values, own, squares, twice)
