"""The arithmetic of convolutions: how large the answer is, how many weights it takes, how many multiplications.

For a side of n pixels, a kernel of k with dilation d (which spans e = d·(k − 1) + 1 pixels), padding p in all and
stride s, the answer has ⌊(n + p − e) / s⌋ + 1 places: so often the window can be moved. Where the division leaves a
rest, the last rest pixels are not looked at; strict mode calls that 'does not fit'. Source of the formulas: Dumoulin &
Visin, "A guide to convolution arithmetic for deep learning", 2016.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from math import prod
from typing import Any

from gradatim.errors import GradatimError

Sides = int | Sequence[int]
LARGEST = 2**31


@dataclass(frozen=True, slots=True)
class Convolution:
    """One convolution on one picture, worked out. Sides are (height, width), or as many as `size` had.

    size, kernel, stride, dilation, before, after: what was asked, by axis (before, after: pixels of padding).
    output: sides of the answer. rest: pixels at the end of each axis that no window reaches. fits: none is left.
    parameters: weights and biases. multiply_adds: for one picture, zeros of the padding counted. sees: how many pixels
    of the input along each axis one place of the output depends on.
    """

    size: tuple[int, ...]
    channels: int
    filters: int
    kernel: tuple[int, ...]
    stride: tuple[int, ...]
    dilation: tuple[int, ...]
    before: tuple[int, ...]
    after: tuple[int, ...]
    groups: int
    transposed: bool
    output: tuple[int, ...]
    rest: tuple[int, ...]
    weights: int
    biases: int
    multiply_adds: int
    sees: tuple[int, ...]

    @property
    def fits(self) -> bool:
        """Whether the windows reach the last pixel."""
        return not any(self.rest)

    @property
    def parameters(self) -> int:
        """Weights and biases."""
        return self.weights + self.biases

    @property
    def shape(self) -> tuple[int, ...]:
        """Sides of the output, then its channels."""
        return (*self.output, self.filters)

    def to_json(self) -> dict[str, Any]:
        """Everything as JSON values."""
        return {**asdict(self), "fits": self.fits, "parameters": self.parameters}

    def __str__(self) -> str:
        kind = "transposed convolution" if self.transposed else "convolution"
        lines = [
            f"{kind} of {times(*self.size, self.channels)} by {self.filters} "
            f"{'filter' if self.filters == 1 else 'filters'} of {times(*self.kernel, self.channels // self.groups)}: "
            f"{times(*self.shape)}",
            *(self._line(axis) for axis in _different(self)),
            f"{self.parameters:,} parameters ({self.weights:,} weights and {self.biases:,} for the biases), "
            f"{self.multiply_adds:,} multiply-adds",
        ]
        if not self.fits:
            lines.append(f"it does not fit: {_unseen(self.rest)} not looked at")
        return "\n".join(lines)

    def _line(self, axis: int) -> str:
        n, k, s, d = self.size[axis], self.kernel[axis], self.stride[axis], self.dilation[axis]
        p, spans = self.before[axis] + self.after[axis], self.dilation[axis] * (self.kernel[axis] - 1) + 1
        wide = f"{k}" if d == 1 else f"{spans} (a kernel of {k} at dilation {d})"
        if self.transposed:
            return f"({n} - 1) * {s} + {wide} - {p} = {self.output[axis]}"
        divided = f"({n} + {p} - {wide}) / {s} + 1"
        if self.rest[axis]:
            return f"{divided} = {(n + p - spans) / s + 1:.3g}, by the floor {self.output[axis]}"
        return f"{divided} = {self.output[axis]}"


def times(*sides: int) -> str:
    """(32, 32, 3) as '32 × 32 × 3'."""
    return " × ".join(map(str, sides))


def _unseen(rest: tuple[int, ...]) -> str:
    if len(set(rest)) > 1:
        return f"{times(*rest)} pixels at the end of the axes are"
    return f"{rest[0]} pixel{'s' if rest[0] > 1 else ''} at the end of each axis {'are' if rest[0] > 1 else 'is'}"


def _different(found: Convolution) -> list[int]:
    """One axis of each kind: a square needs one line."""
    seen: dict[tuple[int, ...], int] = {}
    for axis in range(len(found.size)):
        key = tuple(part[axis] for part in (found.size, found.kernel, found.stride, found.dilation, found.before,
                                            found.after))
        seen.setdefault(key, axis)
    return list(seen.values())


def convolution_arithmetic(
    size: Sides,
    kernel: Sides,
    stride: Sides = 1,
    padding: Sides | str = 0,
    dilation: Sides = 1,
    *,
    channels: int = 1,
    filters: int = 1,
    groups: int = 1,
    bias: bool = True,
    transposed: bool = False,
    output_padding: Sides = 0,
    strict: bool = False,
) -> Convolution:
    """Output size, parameters and multiply-adds of a convolution; `print` it to see the sum.

    size, kernel, stride, dilation: one number for a square, or one an axis. padding: pixels on either side, 'valid'
    (none) or 'same' (⌈n / s⌉ places: with stride 1 the answer is as large as the input; an odd pixel goes to the
    end). groups: 1, or `channels` for a depthwise convolution. transposed: the convolution read backwards, from the
    small map to the large one, n ↦ (n − 1)·s + e − p. strict: raise GradatimError, 'does not fit', where the stride
    leaves pixels at the end; otherwise the floor is taken and `rest` tells how many.
    Source: Dumoulin & Visin 2016, relations 6, 8, 14 and 15.

    >>> found = convolution_arithmetic(32, 5, padding=2, channels=3, filters=10)
    >>> found.shape, found.parameters
    ((32, 32, 10), 760)
    >>> print(convolution_arithmetic(7, 3, stride=3))
    convolution of 7 × 7 × 1 by 1 filter of 3 × 3 × 1: 2 × 2 × 1
    (7 + 0 - 3) / 3 + 1 = 2.33, by the floor 2
    10 parameters (9 weights and 1 for the biases), 36 multiply-adds
    it does not fit: 1 pixel at the end of each axis is not looked at
    """
    axes = next((len(value) for value in (size, kernel, stride, dilation) if isinstance(value, Sequence)), 2)
    sizes, kernels = _sides(size, axes, "size", 1), _sides(kernel, axes, "kernel", 1)
    strides, dilations = _sides(stride, axes, "stride", 1), _sides(dilation, axes, "dilation", 1)
    extra = _sides(output_padding, axes, "output_padding", 0)
    for name, value in (("channels", channels), ("filters", filters), ("groups", groups)):
        _sides(value, 1, name, 1)
    if channels % groups or filters % groups:
        raise GradatimError(f"groups: expected a divisor of {channels} channels and {filters} filters, "
                            f"received {groups}")
    if any(extra) and not transposed:
        raise GradatimError("output_padding: expected it with transposed=True alone, received it without")
    spans = tuple(d * (k - 1) + 1 for k, d in zip(kernels, dilations))
    before, after, extra = _padding(padding, sizes, spans, strides, extra, transposed)
    padded = tuple(n + b + a for n, b, a in zip(sizes, before, after))
    if transposed:
        output = tuple((n - 1) * s + e - b - a + x
                       for n, s, e, b, a, x in zip(sizes, strides, spans, before, after, extra))
        rest = (0,) * axes
        if min(output) < 1:
            raise GradatimError(f"does not fit: padding of {times(*before)} leaves nothing of the output; pad less")
        sees = tuple((k - 1) // s + 1 if d == 1 else (e - 1) // s + 1
                     for k, s, d, e in zip(kernels, strides, dilations, spans))
    else:
        for n, e in zip(padded, spans):
            if e > n:
                raise GradatimError(f"does not fit: a kernel that spans {e} pixels is larger than the {n} pixels of "
                                    "the padded input; pad more, or take a smaller kernel or dilation")
        output = tuple((n - e) // s + 1 for n, e, s in zip(padded, spans, strides))
        rest = tuple((n - e) % s for n, e, s in zip(padded, spans, strides))
        sees = spans
    weights = prod(kernels) * (channels // groups) * filters
    places = prod(sizes if transposed else output)
    found = Convolution(sizes, channels, filters, kernels, strides, dilations, before, after, groups, transposed,
                        output, rest, weights, filters if bias else 0, weights * places, sees)
    if strict and not found.fits:
        line = found._line(next(axis for axis in range(axes) if rest[axis])).partition(",")[0]
        raise GradatimError(f"does not fit: {line}, no whole number: {_unseen(rest)} not looked at; {_mend(found)}")
    return found


def stacked(
    size: Sides, kernels: Sequence[int], *, channels: int = 1, stride: int = 1, bias: bool = False
) -> Convolution:
    """Several convolutions of `channels` filters on `channels` channels, one after the other, summed up as one.

    kernels: from the first to the last, each padded to keep the size ('same'). Its `sees` is the receptive field of
    the stack, 1 + Σ (k − 1)·(product of the strides before). Source: Simonyan & Zisserman 2015, section 2.3.

    >>> three, one = stacked(32, [3, 3, 3], channels=8), stacked(32, [7], channels=8)
    >>> three.sees == one.sees, three.weights == 27 * 8**2, one.weights == 49 * 8**2
    (True, True, True)
    """
    if not kernels:
        raise GradatimError("kernels: expected at least one, received none")
    first = found = convolution_arithmetic(size, kernels[0], stride, "same", channels=channels, filters=channels,
                                           bias=bias)
    jump, sees = first.stride, first.sees
    totals = [first.weights, first.biases, first.multiply_adds]
    for kernel in kernels[1:]:
        found = convolution_arithmetic(found.output, kernel, stride, "same", channels=channels, filters=channels,
                                       bias=bias)
        sees = tuple(seen + (k - 1) * step for seen, k, step in zip(sees, found.kernel, jump))
        jump = tuple(step * s for step, s in zip(jump, found.stride))
        totals = [a + b for a, b in zip(totals, (found.weights, found.biases, found.multiply_adds))]
    return replace(first, kernel=sees, stride=jump, output=found.output, sees=sees, weights=totals[0],
                   biases=totals[1], multiply_adds=totals[2])


def _sides(value: Any, axes: int, name: str, least: int) -> tuple[int, ...]:
    """One whole number an axis."""
    parts = (value,) * axes if isinstance(value, int) else tuple(value) if isinstance(value, Sequence) else ()
    good = len(parts) == axes and all(isinstance(p, int) and not isinstance(p, bool) for p in parts)
    if not good or not all(least <= part < LARGEST for part in parts):
        many = f" or {axes} of them" if axes > 1 else ""
        raise GradatimError(f"{name}: expected a whole number of at least {least}{many}, received {value!r:.60}")
    return parts


def _padding(
    padding: Any, sizes: tuple[int, ...], spans: tuple[int, ...], strides: tuple[int, ...], extra: tuple[int, ...],
    transposed: bool,
) -> tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]:
    """Pixels before and after on each axis, and what is added to a transposed output."""
    if padding == "valid":
        padding = 0
    if padding != "same":
        if isinstance(padding, str):
            raise GradatimError(f"padding: expected pixels, 'valid' or 'same', received '{padding:.40}'")
        pixels = _sides(padding, len(sizes), "padding", 0)
        return pixels, pixels, extra
    if transposed:  # n · s places
        totals = [max(e - s, 0) for e, s in zip(spans, strides)]
        extra = tuple(max(s - e, 0) + x for e, s, x in zip(spans, strides, extra))
    else:
        totals = [max((-(-n // s) - 1) * s + e - n, 0) for n, e, s in zip(sizes, spans, strides)]
    return tuple(total // 2 for total in totals), tuple(total - total // 2 for total in totals), extra


def _mend(found: Convolution) -> str:
    """The smallest padding, else the nearest sizes, with which it fits."""
    for pixels in range(1, max(found.kernel) + max(found.stride)):
        if all((n + 2 * (b + pixels) - d * (k - 1) - 1) % s == 0 for n, b, d, k, s in
               zip(found.size, found.before, found.dilation, found.kernel, found.stride)):
            return f"padding {found.before[0] + pixels} fits"
    larger = times(*(n + (s - r) % s for n, s, r in zip(found.size, found.stride, found.rest)))
    smaller = times(*(n - r for n, r in zip(found.size, found.rest)))
    return f"sizes {smaller} and {larger} fit"
