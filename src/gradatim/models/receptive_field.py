"""How much of a picture one place of a map depends on, followed operation by operation through the real graph.

A place i of a map sees the pixels j·i + a … j·i + b of the input: j is the jump (how far apart neighbouring places
look), b − a + 1 the receptive field. A window of k with stride s, dilation d and padding p makes of that

    j' = j·s,   a' = a − j·p,   b' = b + j·(d·(k − 1) − p),

where branches meet the widest a … b counts, and whatever mixes all places (a mean over the map, a dense layer,
attention) sees everything. Source: Araujo, Norris & Sim, "Computing Receptive Fields of Convolutional Neural
Networks", Distill 2019. The field may be larger than the picture: what lies outside is padding.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch

EVERYTHING = math.inf
POOLS = ("max_pool", "avg_pool")
PADS = ("constant_pad_nd", "reflection_pad", "replication_pad")
MIXING = ("mm", "addmm", "bmm", "baddbmm", "linear", "scaled_dot_product", "group_norm", "flip", "roll", "sort",
          "grid_sampler", "cumsum", "lstm", "gru", "rnn")
REDUCING = ("mean", "sum", "amax", "amin", "var_mean", "max.dim", "std", "logsumexp")


@dataclass(frozen=True, slots=True)
class Reach:
    """One axis of the picture, seen from a tensor: along its dimension `dim` place i sees jump·i + first … + last.

    dim: None where the axis has been folded into others or averaged away.
    """

    dim: int | None
    jump: float
    first: float
    last: float

    @property
    def pixels(self) -> float:
        """The receptive field; infinite: everything."""
        return EVERYTHING if math.isinf(self.first) else math.floor(self.last - self.first + 1 + 1e-9)

    def window(self, kernel: int, stride: int, padding: float, dilation: int = 1) -> "Reach":
        """After a window has slid over the axis."""
        return replace(self, jump=self.jump * stride, first=self.first - self.jump * padding,
                       last=self.last + self.jump * (dilation * (kernel - 1) - padding))

    def everything(self) -> "Reach":
        """After all places have been mixed."""
        return replace(self, first=-EVERYTHING, last=EVERYTHING)


Field = tuple[Reach, ...]


class Reaches:
    """The reach of every tensor that depends on the picture, in the order of its axes; others have none."""

    def __init__(self) -> None:
        self._known: dict[int, Field] = {}
        self._alive: list[torch.Tensor] = []  # an id stays taken as long as its tensor lives

    def start(self, picture: torch.Tensor) -> None:
        """Take a tensor (B, C, H, W) for the picture."""
        self._note(picture, tuple(Reach(dim, 1.0, 0.0, 0.0) for dim in range(2, picture.ndim)))

    def of(self, tensor: torch.Tensor) -> Field | None:
        """What the tensor sees; None where it does not depend on the picture."""
        return self._known.get(id(tensor))

    def _note(self, tensor: torch.Tensor, field: Field) -> None:
        self._known[id(tensor)] = field
        self._alive.append(tensor)

    def follow(self, name: str, args: Sequence[Any], outputs: Sequence[torch.Tensor]) -> None:
        """Note what the outputs of one ATen operation see."""
        flat = [t for a in args for t in (a if isinstance(a, list | tuple) else [a]) if isinstance(t, torch.Tensor)]
        seeing = [tensor for tensor in flat if id(tensor) in self._known]
        if not seeing:
            return
        for output in outputs:
            fields = [_through(name, args, tensor, self._known[id(tensor)], output) for tensor in seeing]
            self._note(output, tuple(_union(axes) for axes in zip(*fields)))


def _union(reaches: Sequence[Reach]) -> Reach:
    """Where branches meet: the widest. Those that lost their place do not say where it is."""
    placed = [reach for reach in reaches if reach.dim is not None] or list(reaches)
    return Reach(placed[0].dim, max(reach.jump for reach in placed), min(reach.first for reach in reaches),
                 max(reach.last for reach in reaches))


def _through(name: str, args: Sequence[Any], tensor: torch.Tensor, field: Field, output: torch.Tensor) -> Field:
    """What the output sees through one of the inputs."""
    if name.startswith("convolution") and tensor is args[0]:
        return _convolved(args, field)
    if any(name.startswith(pool) for pool in POOLS):
        return _pooled(name, args, field, tensor.ndim)
    if "adaptive" in name and "pool" in name:
        return tuple(_adaptive(reach, tensor, output) for reach in field)
    if name.startswith(PADS):
        return tuple(_padded(reach, args[1], tensor.ndim) for reach in field)
    if name.startswith("upsample"):
        return tuple(_enlarged(reach, tensor, output, "nearest" in name) for reach in field)
    if name.startswith("slice"):
        return tuple(_sliced(reach, args, tensor) for reach in field)
    if name.startswith(REDUCING) and len(args) > 1:
        return tuple(_reduced(reach, args[1], tensor, output) for reach in field)
    if any(word in name.partition(".")[0] for word in MIXING) or output.ndim == 0:
        return tuple(replace(reach.everything(), dim=None) for reach in field)
    if "softmax" in name and isinstance(args[1], int):
        return tuple(r.everything() if r.dim == args[1] % tensor.ndim else r for r in field)
    if name.startswith("native_layer_norm"):
        return tuple(r.everything() if (r.dim or 0) >= tensor.ndim - len(args[1]) else r for r in field)
    if name.startswith(("permute", "transpose", "t.")):
        return tuple(_turned(reach, name, args, tensor.ndim) for reach in field)
    if tensor.ndim == output.ndim and all(r.dim is None or _same(tensor, output, r.dim) for r in field):
        return field
    return tuple(_viewed(reach, tensor, output) for reach in field)


def _same(tensor: torch.Tensor, output: torch.Tensor, dim: int) -> bool:
    """The same axis, or one place that is handed to all."""
    return tensor.shape[dim] in (output.shape[dim], 1)


def _convolved(args: Sequence[Any], field: Field) -> Field:
    """args of aten.convolution: input, weight, bias, stride, padding, dilation, transposed, output padding, groups."""
    weight, stride, padding, dilation, transposed = args[1], args[3], args[4], args[5], args[6]
    axes, found = weight.ndim - 2, []
    for reach in field:
        place = None if reach.dim is None else reach.dim - 2
        if place is None or not 0 <= place < axes:
            found.append(reach.everything())
            continue
        kernel, s, p, d = (_at(part, place) for part in (weight.shape[2:], stride, padding, dilation))
        if transposed:  # o = i·s − p + j·d, read backwards
            jump = reach.jump / s
            found.append(replace(reach, jump=jump, first=reach.first + jump * (p - d * (kernel - 1)),
                                 last=reach.last + jump * p))
        else:
            found.append(reach.window(kernel, s, p, d))
    return tuple(found)


def _at(sides: Any, place: int) -> int:
    """The side of one axis; one number stands for all."""
    sides = [sides] if isinstance(sides, int) else list(sides)
    return int(sides[place] if len(sides) > 1 else sides[0])


def _pooled(name: str, args: Sequence[Any], field: Field, dimensions: int) -> Field:
    kernel = args[1]
    stride = args[2] if len(args) > 2 and args[2] else kernel
    padding = args[3] if len(args) > 3 else 0
    dilation = args[4] if len(args) > 4 and name.startswith("max") else 1
    axes, found = int(name.partition("pool")[2][0]), []
    for reach in field:
        place = None if reach.dim is None else reach.dim - (dimensions - axes)
        if place is None or place < 0:
            found.append(reach)
            continue
        found.append(reach.window(*(_at(part, place) for part in (kernel, stride, padding, dilation))))
    return tuple(found)


def _adaptive(reach: Reach, tensor: torch.Tensor, output: torch.Tensor) -> Reach:
    """Place i of n looks at ⌊i·N/n⌋ … ⌈(i + 1)·N/n⌉ − 1."""
    if reach.dim is None or reach.dim >= output.ndim:
        return reach.everything()
    before, after = tensor.shape[reach.dim], output.shape[reach.dim]
    if after == 1:
        return reach if before == 1 else reach.everything()
    longest = max(-(-(i + 1) * before // after) - i * before // after for i in range(after))
    return replace(reach.window(longest, 1, 0), jump=reach.jump * before / after)


def _padded(reach: Reach, widths: Sequence[int], dimensions: int) -> Reach:
    """Widths are (before, after) from the last dimension backwards."""
    place = None if reach.dim is None else 2 * (dimensions - 1 - reach.dim)
    if place is None or place >= len(widths):
        return reach
    return replace(reach, first=reach.first - reach.jump * widths[place], last=reach.last - reach.jump * widths[place])


def _enlarged(reach: Reach, tensor: torch.Tensor, output: torch.Tensor, nearest: bool) -> Reach:
    if reach.dim is None:
        return reach
    factor = output.shape[reach.dim] / tensor.shape[reach.dim]
    jump = reach.jump / factor
    if nearest:  # place o is a copy of place ⌊o / factor⌋
        return replace(reach, jump=jump, first=reach.first - reach.jump * max(0.0, 1 - 1 / factor))
    middle, beside = reach.jump * (0.5 / factor - 0.5), reach.jump * (1 - 1e-6)  # between the two nearest places
    return replace(reach, jump=jump, first=reach.first + middle - beside, last=reach.last + middle + beside)


def _sliced(reach: Reach, args: Sequence[Any], tensor: torch.Tensor) -> Reach:
    """args of aten.slice: input, dimension, start, end, step."""
    dim = (args[1] if len(args) > 1 else 0) % tensor.ndim
    if reach.dim != dim:
        return reach
    start = args[2] or 0 if len(args) > 2 else 0
    start = start + tensor.shape[dim] if start < 0 else start
    step = args[4] if len(args) > 4 else 1
    return replace(reach, jump=reach.jump * step, first=reach.first + reach.jump * start,
                   last=reach.last + reach.jump * start)


def _reduced(reach: Reach, dims: Any, tensor: torch.Tensor, output: torch.Tensor) -> Reach:
    """A mean, sum or maximum over some dimensions (all where none are named)."""
    named = [dims] if isinstance(dims, int) else dims if isinstance(dims, list | tuple) else range(tensor.ndim)
    gone = {dim % tensor.ndim for dim in named} or set(range(tensor.ndim))
    if reach.dim is None:
        return reach.everything()
    kept = output.ndim == tensor.ndim
    place = reach.dim if kept else None if reach.dim in gone else reach.dim - sum(dim < reach.dim for dim in gone)
    if reach.dim in gone and tensor.shape[reach.dim] > 1:
        return replace(reach.everything(), dim=place)
    return replace(reach, dim=place)


def _turned(reach: Reach, name: str, args: Sequence[Any], dimensions: int) -> Reach:
    if reach.dim is None:
        return reach
    if name.startswith("permute"):
        return replace(reach, dim=[d % dimensions for d in args[1]].index(reach.dim))
    first, second = (args[1] % dimensions, args[2] % dimensions) if len(args) > 2 else (0, dimensions - 1)
    return replace(reach, dim={first: second, second: first}.get(reach.dim, reach.dim))


def _viewed(reach: Reach, tensor: torch.Tensor, output: torch.Tensor) -> Reach:
    """The axis is found again where its length and what lies behind it are the same; else it was folded away."""
    if reach.dim is None:
        return reach
    length, behind = tensor.shape[reach.dim], math.prod(tensor.shape[reach.dim + 1:])
    for dim in range(output.ndim):
        if output.shape[dim] == length and math.prod(output.shape[dim + 1:]) == behind:
            return replace(reach, dim=dim)
    return replace(reach, dim=None)
