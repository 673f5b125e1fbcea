"""A network as a table: each layer's class, output shape, parameters, work, memory and receptive field.

The network really runs, on PyTorch's `meta` device where shapes are enough; every ATen operation is watched, so pooling
inside `forward`, skip connections and attention count as much as layers that are modules.
"""

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.hooks import RemovableHandle

from gradatim.models.receptive_field import Field, Reaches

# Operations outside any layer that are worth a row of their own.
SHOWN = ("convolution", "max_pool", "avg_pool", "_adaptive_avg_pool", "adaptive_max_pool", "mean", "upsample", "cat",
         "pixel_shuffle", "lerp")


@dataclass(frozen=True, slots=True)
class Layer:
    """One module, or one operation between modules.

    name: dotted; kind: class, or the operation's name. shape: of the output with the batch first (None: never called).
    parameters, multiply_adds (of the whole batch), activation_bytes (values that it writes and hands on): those of
    deeper modules count for the module that holds them. receptive_field, jump: pixels of the input picture that a place
    of the output depends on, and between two neighbouring places, by axis; infinite: everything. None: no picture.
    detail: kernel and stride, where it has them.
    """

    name: str
    kind: str
    shape: tuple[int, ...] | None
    parameters: int
    multiply_adds: int = 0
    activation_bytes: int = 0
    receptive_field: tuple[float, ...] | None = None
    jump: tuple[float, ...] | None = None
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Summary:
    """All rows, and what the whole network needs for the batch."""

    layers: tuple[Layer, ...]
    parameters: int
    multiply_adds: int
    activation_bytes: int


@dataclass(slots=True)
class _Tally:
    """What has been noted of one row so far."""

    shape: tuple[int, ...] | None = None
    work: int = 0
    bytes: int = 0
    field: Field | None = None
    first: int = 0


def layers(network: nn.Module, batch: tuple[Any, ...], *, depth: int = 2) -> list[Layer]:
    """The modules down to `depth` names deep, in the order of the network, with the shapes that a batch meets.

    Shapes are what forward gives in eval mode; a module called several times shows its last call, and the work of all.
    On `meta`, network and batch take no memory.

    >>> [layer.shape for layer in layers(nn.Sequential(nn.Linear(3, 2), nn.ReLU()), (torch.ones(1, 3),))]
    [(1, 2), (1, 2)]
    """
    return [layer for layer in summary(network, batch, depth=depth).layers if not layer.name.endswith(")")]


def summary(network: nn.Module, batch: tuple[Any, ...], *, depth: int = 2) -> Summary:
    """`layers`, with the operations between modules that change the size of maps as rows `(name)`, and totals.

    Multiply-adds are those of convolutions, matrix products and attention; what is done number by number is not
    counted. Activation bytes are those of every tensor that is newly written, once each; training keeps about so much.

    >>> found = summary(nn.Sequential(nn.Conv2d(3, 10, 5, padding=2)), (torch.zeros(1, 3, 32, 32),))
    >>> found.parameters, found.multiply_adds, found.layers[0].receptive_field
    (760, 768000, (5, 5))
    """
    shown = {name: module for name, module in network.named_modules() if name and name.count(".") < depth}
    watch = _Watch({id(module): name for name, module in network.named_modules()}, shown)
    for tensor in _tensors(batch):
        if tensor.ndim in (4, 5) and tensor.is_floating_point():
            watch.reaches.start(tensor)
    for tensor in [*network.parameters(), *network.buffers(), *_tensors(batch)]:
        watch.new_bytes(tensor)
    training = network.training
    try:
        with torch.no_grad(), watch.hooked(network), watch:
            network.eval()(*batch)
    finally:
        network.train(training)
    found = []
    for name, tally in watch.in_order():
        if name.endswith(")"):
            found.append(_row(name, name.rpartition("(")[2].rstrip(")").partition(" ")[0], 0, tally))
            continue
        module = shown[name]
        called_inside = any(other.startswith(f"{name}.") for other in shown)
        if tally.shape is not None or not called_inside:
            count = sum(value.numel() for value in module.parameters())
            found.append(_row(name, type(module).__name__, count, tally, _detail(module)))
    total = watch.rows[""]
    return Summary(tuple(found), parameter_count(network), total.work, total.bytes)


def parameter_count(network: nn.Module) -> int:
    """How many numbers are learned."""
    return sum(value.numel() for value in network.parameters())


def _row(name: str, kind: str, parameters: int, tally: _Tally, detail: str = "") -> Layer:
    pixels = None if tally.field is None else tuple(reach.pixels for reach in tally.field)
    jump = None if tally.field is None else tuple(reach.jump for reach in tally.field)
    return Layer(name, kind, tally.shape, parameters, tally.work, tally.bytes, pixels, jump, detail)


def _detail(module: nn.Module) -> str:
    """'3 × 3' with its stride, dilation and groups, for windows; empty for other layers."""
    kernel = getattr(module, "kernel_size", None)
    if kernel is None:
        return ""
    sides = kernel if isinstance(kernel, tuple) else (kernel, kernel)
    stride, dilation = (_one(getattr(module, name, 1)) for name in ("stride", "dilation"))
    groups = int(getattr(module, "groups", 1))
    return " × ".join(map(str, sides)) + (f", stride {stride}" if stride not in (1, None) else "") + (
        f", dilation {dilation}" if dilation not in (1, None) else "") + (
        ", depthwise" if groups > 1 and groups == getattr(module, "in_channels", 0) else
        f", {groups} groups" if groups > 1 else "")


def _one(sides: Any) -> Any:
    return sides[0] if isinstance(sides, tuple) and len(set(sides)) == 1 else sides


class _Watch(TorchDispatchMode):
    """Sees every operation, and by hooks inside which modules it ran."""

    def __init__(self, names: Mapping[int, str], shown: Mapping[str, nn.Module]) -> None:
        super().__init__()
        self.names = names
        self.rows: dict[str, _Tally] = {"": _Tally(), **{name: _Tally() for name in shown}}
        self.reaches = Reaches()
        self.stack: list[str] = []
        self.count = 0
        self._storages: set[int] = set()
        self._kept: list[Any] = []

    @contextmanager
    def hooked(self, network: nn.Module) -> Iterator[None]:
        """Within it, calls of modules are noted."""
        hooks: list[RemovableHandle] = []
        for module in network.modules():
            hooks.append(module.register_forward_pre_hook(self._entered))
            hooks.append(module.register_forward_hook(self._left))
        try:
            yield
        finally:
            for hook in hooks:
                hook.remove()

    def _entered(self, module: nn.Module, inputs: Any) -> None:
        name = self.names[id(module)]
        self.stack.append(name)
        if name in self.rows and not self.rows[name].first:
            self.count += 1
            self.rows[name].first = self.count

    def _left(self, module: nn.Module, inputs: Any, output: Any) -> None:
        name = self.stack.pop()
        if name in self.rows and isinstance(output, torch.Tensor):
            self.rows[name].shape = tuple(output.shape)
            self.rows[name].field = self.reaches.of(output)

    def in_order(self) -> list[tuple[str, _Tally]]:
        """Rows in the order of the network, each operation behind what ran before it."""
        modules = [(name, tally) for name, tally in self.rows.items() if name and not name.endswith(")")]
        operations = [(name, tally) for name, tally in self.rows.items() if name.endswith(")")]
        for name, tally in operations:
            earlier = [i for i, (_, other) in enumerate(modules) if 0 < other.first < tally.first]
            place = earlier[-1] + 1 if earlier else 0
            modules.insert(place, (name, tally))
        return modules

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        output = func(*args, **(kwargs or {}))
        name = str(func).removeprefix("aten.")
        outputs = [value for value in (output if isinstance(output, list | tuple) else [output])
                   if isinstance(value, torch.Tensor)]
        self._kept.append(outputs)
        written = sum(self.new_bytes(value) for value in outputs[:1 if "norm" in name else None])
        work = multiply_adds(name, args, outputs)
        self.reaches.follow(name, args, outputs)
        for row in {"", *self.stack} & self.rows.keys():
            self.rows[row].work += work
            self.rows[row].bytes += written
        if outputs and self._stands_alone(name):
            self._operation(name.partition(".")[0].removeprefix("_").removesuffix("_with_indices"), outputs[0], work,
                            written)
        return output

    def _stands_alone(self, name: str) -> bool:
        """Whether it ran in a module whose inside is shown, and not in one of its parts."""
        inside = self.stack[-1] if self.stack else ""
        opened = inside == "" or any(row.startswith(f"{inside}.") for row in self.rows if not row.endswith(")"))
        return opened and inside in self.rows and name.startswith(SHOWN)

    def _operation(self, name: str, output: torch.Tensor, work: int, written: int) -> None:
        base = f"{self.stack[-1]}.({name})" if self.stack and self.stack[-1] else f"({name})"
        number = 1
        while (key := base if number == 1 else f"{base[:-1]} {number})") in self.rows:
            number += 1
        self.count += 1
        self.rows[key] = _Tally(tuple(output.shape), work, written, self.reaches.of(output), self.count)

    def new_bytes(self, tensor: torch.Tensor) -> int:
        """Its size, unless it lies in memory that was seen before."""
        if tensor.dtype in (torch.int64, torch.bool) or tensor.layout is not torch.strided:
            return 0
        storage = tensor.untyped_storage()._cdata
        if storage in self._storages:
            return 0
        self._storages.add(storage)
        return tensor.numel() * tensor.element_size()


def multiply_adds(name: str, args: Any, outputs: list[torch.Tensor]) -> int:
    """Multiplications with their additions in one ATen operation: products, convolutions, attention; else 0."""
    plain = name.partition(".")[0]
    if plain in ("mm", "bmm"):
        return args[0].numel() * args[1].shape[-1]
    if plain in ("addmm", "baddbmm"):
        return args[1].numel() * args[2].shape[-1]
    if plain == "linear":
        return args[0].numel() * args[1].shape[0]
    if plain.endswith("convolution"):
        values, weight, transposed = args[0], args[1], args[6]
        places = (values.shape if transposed else outputs[0].shape)[2:]
        return values.shape[0] * weight.numel() * math.prod(places)
    if "scaled_dot_product" in plain:
        query, key, value = args[:3]
        return math.prod(query.shape[:-1]) * key.shape[-2] * (query.shape[-1] + value.shape[-1])
    return 0


def _tensors(value: Any) -> list[torch.Tensor]:
    """All tensors in nested tuples, lists and dicts."""
    if isinstance(value, torch.Tensor):
        return [value]
    if isinstance(value, Mapping):
        value = tuple(value.values())
    return [tensor for part in value for tensor in _tensors(part)] if isinstance(value, tuple | list) else []


