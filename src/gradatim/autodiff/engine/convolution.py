"""Everything that slides a window over pictures: convolution, transposed convolution, pooling, unpooling.

Two steps do all the work. `gather` lays the numbers under each window out as a column, so that a convolution becomes
one product of matrices, W · columns; `scatter` is its transpose: it adds columns back to where they came from. The
gradient of a convolution is therefore a product and a scatter, and a transposed convolution is that gradient run
forward. A convolution here does not turn its kernel round: strictly it is a correlation, as everywhere in the field.

Pictures are (batch, channels, height, width). In memory the batch stands last, so that what is copied under a window
lies in long runs; NumPy keeps that order from layer to layer and nothing is rearranged in between.
"""

from collections.abc import Iterator

import numpy as np

from gradatim.autodiff.engine.functions import TensorLike, pad
from gradatim.autodiff.engine.tensor import Tensor, VectorJacobianProduct, as_tensor, node
from gradatim.errors import GradatimError

Pair = tuple[int, int]


def output_length(
    length: int, kernel: int, *, stride: int = 1, padding: int = 0, dilation: int = 1, strict: bool = False
) -> int:
    """⌊(n + 2p − d(k − 1) − 1) / s⌋ + 1: how many places a window has on a line of n.

    strict: an error where the last window does not end at the border, instead of leaving numbers out.

    >>> [output_length(7, 3, stride=stride) for stride in (1, 2, 3)]
    [5, 3, 2]
    """
    room = length + 2 * padding - dilation * (kernel - 1) - 1
    if room < 0:
        raise GradatimError(f"expected at least {length - room} numbers with the padding, received {length}; pad more")
    if strict and room % stride:
        raise GradatimError(
            f"kernel {kernel} with stride {stride} does not fit {length} numbers and padding {padding}: "
            f"{room % stride} would be left out; change stride or padding"
        )
    return room // stride + 1


def convolution(
    x: TensorLike,
    weight: TensorLike,
    bias: TensorLike | None = None,
    *,
    stride: int = 1,
    padding: int = 0,
    dilation: int = 1,
    groups: int = 1,
    mode: str = "zero",
) -> Tensor:
    """Y = W · gather(X) + b: ∂W = G · gather(X)ᵀ, ∂X = scatter(Wᵀ · G), ∂b = Σ G.

    x: (B, C, H, W); weight: (O, C / groups, kh, kw); bias: (O,); result: (B, O, oh, ow) by `output_length`.
    groups: output channels see only their own share of the input channels; groups = C is depthwise.
    mode: what padding holds: zero, replicate, circular.
    """
    x, weight = as_tensor(x), as_tensor(weight)
    if padding and mode != "zero":
        x, padding = pad(x, [(0, 0), (0, 0), (padding, padding), (padding, padding)], mode), 0
    _check(x, weight, weight.shape[1:2], groups)
    outputs, _, *kernel = weight.shape
    batch, _, height, width = x.shape
    high, wide = (
        output_length(n, k, stride=stride, padding=padding, dilation=dilation) for n, k in zip((height, width), kernel)
    )
    inside = batch_last(x.value, padding)
    columns = gather(inside, (kernel[0], kernel[1]), (high, wide), stride, dilation).reshape(
        groups, -1, high * wide * batch
    )
    w = weight.value.reshape(groups, outputs // groups, -1)
    y = (w @ columns).reshape(outputs, high, wide, batch)

    def to_input(g: np.ndarray) -> np.ndarray:
        under = np.swapaxes(w, 1, 2) @ batch_last(g).reshape(groups, outputs // groups, -1)
        under = under.reshape(-1, *kernel, high, wide, batch)
        return batch_first(crop(scatter(under, inside.shape, stride, dilation), padding))

    def to_weight(g: np.ndarray) -> np.ndarray:
        product = batch_last(g).reshape(groups, outputs // groups, -1) @ np.swapaxes(columns, 1, 2)
        return product.reshape(weight.shape)

    return _with_bias("convolution", y, (x, weight), bias, to_input, to_weight)


def transposed_convolution(
    x: TensorLike,
    weight: TensorLike,
    bias: TensorLike | None = None,
    *,
    stride: int = 1,
    padding: int = 0,
    output_padding: int = 0,
) -> Tensor:
    """Y = scatter(Wᵀ · X) + b, the gradient of a convolution run forward: ∂X = W · gather(G), ∂W = X · gather(G)ᵀ.

    x: (B, C, H, W); weight: (C, O, kh, kw); bias: (O,); result: (B, O, s(H − 1) + kh − 2p + output_padding, …), which
    is larger than x by about the stride.
    """
    x, weight = as_tensor(x), as_tensor(weight)
    _check(x, weight, weight.shape[:1], 1)
    channels, outputs, *kernel = weight.shape
    batch, _, high, wide = x.shape
    whole = tuple(stride * (n - 1) + k + output_padding for n, k in zip((high, wide), kernel))
    if min(whole) <= 2 * padding:
        raise GradatimError(f"expected padding under half of {min(whole)}, received {padding}")
    w = weight.value.reshape(channels, -1)
    inside = batch_last(x.value).reshape(channels, -1)
    under = (w.T @ inside).reshape(outputs, *kernel, high, wide, batch)
    y = crop(scatter(under, (outputs, *whole, batch), stride, 1), padding)
    y = np.ascontiguousarray(y)
    size = (kernel[0], kernel[1])

    def columns(g: np.ndarray) -> np.ndarray:
        return gather(batch_last(g, padding), size, (high, wide), stride, 1).reshape(w.shape[1], -1)

    def to_input(g: np.ndarray) -> np.ndarray:
        return batch_first((w @ columns(g)).reshape(channels, high, wide, batch))

    def to_weight(g: np.ndarray) -> np.ndarray:
        return (inside @ columns(g).T).reshape(weight.shape)

    return _with_bias("transposed_convolution", y, (x, weight), bias, to_input, to_weight)


def maximum_pooling(x: TensorLike, size: int, *, stride: int | None = None, padding: int = 0) -> Tensor:
    """The largest number under each window: its place gets the gradient, the first one of equals.

    x: (B, C, H, W); stride: by default the size. Padding is −∞ and never wins.
    """
    return maximum_pooling_with_switches(x, size, stride=stride, padding=padding)[0]


def maximum_pooling_with_switches(
    x: TensorLike, size: int, *, stride: int | None = None, padding: int = 0
) -> tuple[Tensor, np.ndarray]:
    """Maximum pooling, and the switches: which of the size² places under each window won, (B, C, oh, ow)."""
    x = as_tensor(x)
    stride = stride or size
    inside = batch_last(x.value, padding, fill=-np.inf)
    views = list(places(inside, size, stride))
    value = views[0].copy()
    switches = np.zeros(value.shape, np.int8 if size * size < 128 else np.int32)
    for number, view in enumerate(views[1:], 1):  # a later winner has a higher number than any before it
        np.maximum(switches, (view > value) * switches.dtype.type(number), out=switches)
        np.maximum(value, view, out=value)

    def to_input(g: np.ndarray) -> np.ndarray:
        return batch_first(crop(spread_by_switches(batch_last(g), switches, inside.shape, size, stride), padding))

    return node("maximum_pooling", batch_first(value), (x,), to_input), batch_first(switches)


def average_pooling(x: TensorLike, size: int, *, stride: int | None = None, padding: int = 0) -> Tensor:
    """The mean under each window: each place gets g / size². Zeros of the padding count."""
    x = as_tensor(x)
    stride = stride or size
    inside = batch_last(x.value, padding)
    value = sum(places(inside, size, stride)) / x.dtype.type(size * size)

    def to_input(g: np.ndarray) -> np.ndarray:
        total, share = np.zeros(inside.shape, g.dtype), batch_last(g) / g.dtype.type(size * size)
        for view in places(total, size, stride):
            view += share
        return batch_first(crop(total, padding))

    return node("average_pooling", batch_first(np.asarray(value)), (x,), to_input)


def unpooling(x: TensorLike, switches: np.ndarray, size: int, *, stride: int | None = None) -> Tensor:
    """Each number back to the place its switch names, zeros elsewhere: the gradient is read from those places.

    x and switches: (B, C, H, W), the switches from `maximum_pooling_with_switches` (Zeiler & Fergus 2014).
    """
    x = as_tensor(x)
    stride = stride or size
    if switches.shape != x.shape:
        raise GradatimError(f"unpooling: expected switches of shape {x.shape}, received {switches.shape}")
    batch, channels, high, wide = x.shape
    shape = (channels, stride * (high - 1) + size, stride * (wide - 1) + size, batch)
    named = batch_last(switches)
    value = spread_by_switches(batch_last(x.value), named, shape, size, stride)

    def to_input(g: np.ndarray) -> np.ndarray:
        return batch_first(np.asarray(sum(
            view * (named == number) for number, view in enumerate(places(batch_last(g), size, stride))
        )))  # fmt: skip

    return node("unpooling", batch_first(value), (x,), to_input)


# Plain arrays, batch last: (C, H, W, B)


def batch_last(x: np.ndarray, padding: int = 0, fill: float = 0.0) -> np.ndarray:
    """(B, C, H, W) → (C, H + 2p, W + 2p, B), contiguous; without padding nothing moves if it lies so already."""
    x = x.transpose(1, 2, 3, 0)
    if not padding:
        return np.ascontiguousarray(x)
    channels, height, width, batch = x.shape
    padded = np.full((channels, height + 2 * padding, width + 2 * padding, batch), fill, x.dtype)
    crop(padded, padding)[...] = x
    return padded


def batch_first(x: np.ndarray) -> np.ndarray:
    """(C, H, W, B) → (B, C, H, W), a view."""
    return x.transpose(3, 0, 1, 2)


def crop(x: np.ndarray, padding: int) -> np.ndarray:
    """(C, H, W, B) without its padding, a view."""
    return x[:, padding : x.shape[1] - padding, padding : x.shape[2] - padding] if padding else x


def gather(x: np.ndarray, kernel: Pair, places: Pair, stride: int, dilation: int) -> np.ndarray:
    """What lies under each window: (C, H, W, B) → (C, kh, kw, oh, ow, B), a view that repeats numbers.

    Moving by one in the kernel is `dilation` steps in the picture, moving to the next window `stride` steps.
    """
    c, h, w, b = x.strides
    shape = (len(x), *kernel, *places, x.shape[-1])
    return np.ndarray(shape, x.dtype, x, 0, (c, h * dilation, w * dilation, h * stride, w * stride, b))


def scatter(columns: np.ndarray, shape: tuple[int, ...], stride: int, dilation: int) -> np.ndarray:
    """The transpose of `gather`: each number of (C, kh, kw, oh, ow, B) is added to the place it was read from."""
    _, rows, across, high, wide, _ = columns.shape
    total = np.zeros(shape, columns.dtype)
    for row in range(rows):
        top = row * dilation
        for column in range(across):
            left = column * dilation
            view = total[
                :, top : top + stride * (high - 1) + 1 : stride, left : left + stride * (wide - 1) + 1 : stride
            ]
            view += columns[:, row, column]
    return total


def places(x: np.ndarray, size: int, stride: int) -> Iterator[np.ndarray]:
    """For each of the size² places in a window, that place of all windows: views (C, oh, ow, B)."""
    high, wide = (output_length(n, size, stride=stride) for n in x.shape[1:3])
    for top in range(size):
        for left in range(size):
            yield x[:, top : top + stride * (high - 1) + 1 : stride, left : left + stride * (wide - 1) + 1 : stride]


def spread_by_switches(
    g: np.ndarray, switches: np.ndarray, shape: tuple[int, ...], size: int, stride: int
) -> np.ndarray:
    """Zeros of the shape, with each number of g added at the place of its window that its switch names."""
    total = np.zeros(shape, g.dtype)
    for number, view in enumerate(places(total, size, stride)):
        if stride >= size:  # windows do not overlap, so that nothing is there yet
            np.multiply(g, switches == number, out=view)
        else:
            view += g * (switches == number)
    return total


def _check(x: Tensor, weight: Tensor, reads: tuple[int, ...], groups: int) -> None:
    """Four axes each, and as many channels as the weight reads."""
    if x.ndim != 4 or weight.ndim != 4 or x.shape[1] != reads[0] * groups or weight.shape[0] % groups:
        raise GradatimError(
            f"expected pictures (B, C, H, W) and a weight that reads their channels in {groups} group(s), "
            f"received {x.shape} and {weight.shape}"
        )


def _with_bias(
    operation: str, y: np.ndarray, parents: tuple[Tensor, ...], bias: TensorLike | None, *vjps: VectorJacobianProduct
) -> Tensor:
    """The node of a convolution, with or without the number added to each output channel."""
    if bias is None:
        return node(operation, batch_first(y), parents, *vjps)
    bias = as_tensor(bias)
    y += bias.value[:, None, None, None]
    return node(operation, batch_first(y), (*parents, bias), *vjps, lambda g: g.sum(axis=(0, 2, 3)))
