"""Functions of tensors, each with its local derivatives beside its formula.

Everything takes tensors or plain numbers and arrays. Where a function has a kink (|x|, maximum, clip) or a tie, the
docstring says which of the possible derivatives is taken; they are PyTorch's choices.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from gradatim.autodiff.engine.gradients import Axis, Scattered, spread
from gradatim.autodiff.engine.tensor import Tensor, as_array, as_tensor, node
from gradatim.errors import GradatimError

TensorLike = Tensor | ArrayLike

# One number in, one number out


def exp(x: TensorLike) -> Tensor:
    """y = eˣ: dy/dx = y."""
    x = as_tensor(x)
    y = np.exp(x.value)
    return node("exp", y, (x,), lambda g: g * y)


def log(x: TensorLike) -> Tensor:
    """y = ln x: dy/dx = 1/x."""
    x = as_tensor(x)
    a = x.value
    return node("log", np.log(a), (x,), lambda g: g / a)


def sqrt(x: TensorLike) -> Tensor:
    """y = √x: dy/dx = 1/(2y)."""
    x = as_tensor(x)
    y = np.sqrt(x.value)
    return node("sqrt", y, (x,), lambda g: g / (2 * y))


def sin(x: TensorLike) -> Tensor:
    """y = sin x: dy/dx = cos x."""
    x = as_tensor(x)
    a = x.value
    return node("sin", np.sin(a), (x,), lambda g: g * np.cos(a))


def cos(x: TensorLike) -> Tensor:
    """y = cos x: dy/dx = −sin x."""
    x = as_tensor(x)
    a = x.value
    return node("cos", np.cos(a), (x,), lambda g: -g * np.sin(a))


def absolute(x: TensorLike) -> Tensor:
    """y = |x|: dy/dx = sign x, 0 at 0."""
    x = as_tensor(x)
    a = x.value
    return node("absolute", np.abs(a), (x,), lambda g: g * np.sign(a))


def clip(x: TensorLike, low: float, high: float) -> Tensor:
    """y = min(max(x, low), high): dy/dx = 1 from low to high inclusive, 0 outside."""
    x = as_tensor(x)
    a = x.value
    return node("clip", np.clip(a, low, high), (x,), lambda g: g * ((a >= low) & (a <= high)))


# Choice between two


def maximum(x: TensorLike, y: TensorLike) -> Tensor:
    """z = max(x, y), broadcast: the gradient goes to the larger; at a tie each gets half."""
    x, y = _pair(x, y)
    a, b = x.value, y.value
    return node("maximum", np.maximum(a, b), (x, y), lambda g: g * _beats(a, b), lambda g: g * _beats(b, a))


def minimum(x: TensorLike, y: TensorLike) -> Tensor:
    """z = min(x, y), broadcast: the gradient goes to the smaller; at a tie each gets half."""
    x, y = _pair(x, y)
    a, b = x.value, y.value
    return node("minimum", np.minimum(a, b), (x, y), lambda g: g * _beats(b, a), lambda g: g * _beats(a, b))


def where(condition: TensorLike, x: TensorLike, y: TensorLike) -> Tensor:
    """z = x where the condition holds, else y, broadcast: each gets the gradient where it was taken."""
    chosen = as_array(condition).astype(bool)
    x, y = _pair(x, y)
    value = np.where(chosen, x.value, y.value)
    return node("where", value, (x, y), lambda g: np.where(chosen, g, 0), lambda g: np.where(chosen, 0, g))


# Reductions (sum and mean are methods)


def largest(x: TensorLike, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """m = max over the axes: the gradient goes to the maximum, shared evenly among equal maxima."""
    return _extreme("largest", as_tensor(x), axis, keepdims)


def smallest(x: TensorLike, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """m = min over the axes: the gradient goes to the minimum, shared evenly among equal minima."""
    return _extreme("smallest", as_tensor(x), axis, keepdims)


def variance(x: TensorLike, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """v = Σ (x − x̄)² / n: ∂v/∂x = 2 (x − x̄) / n, for x̄ moves with x but Σ (x − x̄) = 0."""
    x = as_tensor(x)
    centred = x.value - x.value.mean(axis=axis, keepdims=True)
    value = np.mean(centred * centred, axis=axis, keepdims=keepdims)
    count = centred.size / value.size
    return node(
        "variance", value, (x,), lambda g: spread(g * (2 / count), centred.shape, axis, keepdims) * centred
    )  # fmt: skip


def log_sum_exp(x: TensorLike, axis: Axis = -1, keepdims: bool = False) -> Tensor:
    """L = ln Σ eˣ = m + ln Σ eˣ⁻ᵐ with m = max x, so that nothing overflows: ∂L/∂x = softmax(x)."""
    x = as_tensor(x)
    a = x.value
    top = a.max(axis=axis, keepdims=True)
    top = np.where(np.isfinite(top), top, 0)
    shifted = np.exp(a - top)
    total = shifted.sum(axis=axis, keepdims=True)
    value = np.log(total) + top
    value = value if keepdims else value.squeeze(axis)
    return node("log_sum_exp", value, (x,), lambda g: spread(g, a.shape, axis, keepdims) * (shifted / total))


def softmax(x: TensorLike, axis: int = -1) -> Tensor:
    """p = eˣ / Σ eˣ along an axis: ∂p_i/∂x_j = p_i (δ_ij − p_j), so the product with g is p ⊙ (g − Σ g⊙p)."""
    x = as_tensor(x)
    p = softmax_of(x.value, axis)
    return node("softmax", p, (x,), lambda g: p * (g - (g * p).sum(axis=axis, keepdims=True)))


def log_softmax(x: TensorLike, axis: int = -1) -> Tensor:
    """ℓ = x − ln Σ eˣ along an axis: ∂ℓ_i/∂x_j = δ_ij − p_j, so the product with g is g − p Σ g."""
    x = as_tensor(x)
    shifted = x.value - x.value.max(axis=axis, keepdims=True)
    value = shifted - np.log(np.exp(shifted).sum(axis=axis, keepdims=True))
    return node("log_softmax", value, (x,), lambda g: g - np.exp(value) * g.sum(axis=axis, keepdims=True))


def softmax_of(x: np.ndarray, axis: int = -1) -> np.ndarray:
    """Softmax of a plain array, shifted by its maximum so that nothing overflows."""
    p = np.exp(x - x.max(axis=axis, keepdims=True))
    p /= p.sum(axis=axis, keepdims=True)
    return p


# Putting together, looking up, padding


def concatenate(tensors: Sequence[TensorLike], axis: int = 0) -> Tensor:
    """One after the other along an axis: each gets its own part of the gradient."""
    parents = tuple(as_tensor(tensor) for tensor in tensors)
    try:
        value = np.concatenate([parent.value for parent in parents], axis=axis)
    except ValueError:
        shapes = ", ".join(str(parent.shape) for parent in parents)
        raise GradatimError(f"concatenate: expected shapes equal but for axis {axis}, received {shapes}") from None
    ends = np.cumsum([parent.shape[axis] for parent in parents])
    before = (slice(None),) * (axis % value.ndim)
    parts = [(*before, slice(end - parent.shape[axis], end)) for parent, end in zip(parents, ends)]
    return node("concatenate", value, parents, *[lambda g, part=part: g[part] for part in parts])  # type: ignore[misc]


def stack(tensors: Sequence[TensorLike], axis: int = 0) -> Tensor:
    """Side by side along a new axis: each gets its own slice of the gradient."""
    parents = tuple(as_tensor(tensor) for tensor in tensors)
    try:
        value = np.stack([parent.value for parent in parents], axis=axis)
    except ValueError:
        shapes = ", ".join(str(parent.shape) for parent in parents)
        raise GradatimError(f"stack: expected equal shapes, received {shapes}") from None
    before = (slice(None),) * (axis % value.ndim)
    vjps = [lambda g, i=i: g[(*before, i)] for i in range(len(parents))]  # type: ignore[misc]
    return node("stack", value, parents, *vjps)


def embedding(table: TensorLike, rows: ArrayLike) -> Tensor:
    """E[rows]: (V, D) and integers (…) → (…, D); a row's gradient is the sum over the places where it was looked up."""
    table, rows = as_tensor(table), np.asarray(rows)
    if rows.dtype.kind not in "iu" or (rows.size and not 0 <= rows.min() <= rows.max() < len(table)):
        raise GradatimError(f"embedding: expected integers from 0 to {len(table) - 1}, received {rows.dtype} {rows}")
    return node("embedding", table.value[rows], (table,), lambda g: Scattered(rows, g))


def pad(x: TensorLike, widths: Sequence[tuple[int, int]], mode: str = "zero") -> Tensor:
    """More numbers around, (before, after) for each axis: zero, replicate (the edge again) or circular (the other end).

    Replicated and circular padding are look-ups of positions, so their gradients add up where a number was repeated.
    """
    x = as_tensor(x)
    if len(widths) != x.ndim:
        raise GradatimError(f"pad: expected a pair of widths for each of {x.ndim} axes, received {len(widths)}")
    if mode == "zero":
        inside = tuple(slice(before, before + length) for (before, _), length in zip(widths, x.shape))
        return node("pad", np.pad(x.value, widths), (x,), lambda g: g[inside])
    if mode not in ("replicate", "circular"):
        raise GradatimError(f"pad: expected zero, replicate or circular, received '{mode}'")
    for axis, (before, after) in enumerate(widths):
        if before or after:
            places = np.arange(-before, x.shape[axis] + after)
            last = x.shape[axis] - 1
            places = np.clip(places, 0, last) if mode == "replicate" else places % (last + 1)
            x = x[(*(slice(None),) * axis, places)]
    return x


def _pair(x: TensorLike, y: TensorLike) -> tuple[Tensor, Tensor]:
    """Both as tensors; a plain number takes the precision of the tensor beside it."""
    if not isinstance(x, Tensor):
        x = Tensor(np.asarray(x, y.dtype) if isinstance(y, Tensor) else x)
    if not isinstance(y, Tensor):
        y = Tensor(np.asarray(y, x.dtype))
    try:
        np.broadcast_shapes(x.shape, y.shape)
    except ValueError:
        raise GradatimError(f"expected shapes that broadcast, received {x.shape} and {y.shape}") from None
    return x, y


def _beats(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """1 where a > b, ½ where equal, 0 elsewhere."""
    return ((a > b) + 0.5 * (a == b)).astype(a.dtype)


def _extreme(operation: str, x: Tensor, axis: Axis, keepdims: bool) -> Tensor:
    a = x.value
    kept = (np.max if operation == "largest" else np.min)(a, axis=axis, keepdims=True)
    value = kept if keepdims else kept.squeeze(axis) if axis is not None else kept.reshape(())

    def to_extremes(g: np.ndarray) -> np.ndarray:
        hit = a == kept
        return spread(g, a.shape, axis, keepdims) * (hit / hit.sum(axis=axis, keepdims=True))

    return node(operation, value, (x,), to_extremes)
