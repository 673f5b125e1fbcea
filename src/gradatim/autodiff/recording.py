"""What a PyTorch network does with one batch, written down while it really runs.

PyTorch's own override mechanism (`TorchFunctionMode`) shows every operation with its tensors, whatever loops and
branches the Python code around it takes; module hooks tell inside which call of which module it ran. Where operations
cannot be seen (a scripted module, a checkpointed block), the hooks alone still see the modules. Gradients come through
hooks on the tensors: they are the gradients of the values as they were then, also where a later operation wrote into
the same memory.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, fields, is_dataclass
from typing import Any

import torch
from torch import nn
from torch.overrides import TorchFunctionMode

from gradatim.autodiff.units import Units, units_of

# Operations that only arrange numbers anew: no node of their own, what follows is joined to what came before.
PLUMBING = frozenset(
    ("view", "reshape", "flatten", "unflatten", "transpose", "swapaxes", "permute", "movedim", "T", "mT", "unsqueeze",
     "squeeze", "expand", "expand_as", "getitem", "chunk", "split", "tensor_split", "unbind", "contiguous", "to",
     "float", "double", "half", "bfloat16", "type", "type_as", "as_tensor", "select", "narrow", "clone", "detach",
     "requires_grad", "data", "real", "broadcast_to", "broadcast_tensors", "view_as", "reshape_as", "repeat")
)
TURNING = frozenset(("transpose", "swapaxes", "permute", "movedim", "T", "mT", "reshape", "view", "unbind", "select"))
NAMES = {"truediv": "div", "rtruediv": "div", "rsub": "sub", "radd": "add", "rmul": "mul", "iadd": "add",
         "isub": "sub", "imul": "mul", "itruediv": "div", "rpow": "pow", "rmatmul": "matmul", "setitem": "write"}
# Where an operation puts its units: 1 for pictures (batch, channel, …), -1 for tables and sequences (…, feature).
UNIT_AXIS = {"conv1d": 1, "conv2d": 1, "conv3d": 1, "conv_transpose1d": 1, "conv_transpose2d": 1, "batch_norm": 1,
             "group_norm": 1, "instance_norm": 1, "linear": -1, "matmul": -1, "bmm": -1, "layer_norm": -1,
             "rms_norm": -1, "embedding": -1, "multi_head_attention_forward": -1, "lstm": -1, "gru": -1,
             "scaled_dot_product_attention": -1}
Path = tuple[tuple[str, int], ...]
MARK = "_gradatim_record"


@dataclass
class Values:
    """Mean, standard deviation, Euclidean norm and share of zeros of a tensor; finite: no infinity, no not-a-number."""

    mean: float
    std: float
    norm: float
    zeros: float
    finite: bool


@dataclass(eq=False)
class Record:
    """One operation, one call of a module, or one input, as it happened."""

    kind: str
    path: Path  # calls of modules around it, (name, how many times before), outermost first
    parents: list["Record"]
    shape: tuple[int, ...]
    values: Values | None = None
    gradient: Values | None = None
    units: Units | None = None
    weights: list[str] = field(default_factory=list)
    is_input: bool = False


@dataclass
class Recording:
    """All records in order, the classes of the module calls, which calls held no other call, and the outputs."""

    records: list[Record]
    classes: dict[Path, str]
    leaves: set[Path]
    outputs: list[torch.Tensor]
    inputs: list[tuple[torch.Tensor, Record]]


def statistics(tensor: torch.Tensor) -> Values:
    """Its `Values`, computed in float64 where the device has it: masks hold numbers whose sum float32 does not."""
    numbers = tensor.detach()
    if numbers.numel() == 0:
        return Values(0.0, 0.0, 0.0, 0.0, True)
    numbers = numbers.abs() if numbers.is_complex() else numbers
    numbers = numbers.to(torch.float32 if numbers.device.type == "mps" else torch.float64)
    std = float(numbers.std(correction=0))
    return Values(float(numbers.mean()), std, float(torch.linalg.vector_norm(numbers)),
                  float((numbers == 0).float().mean()), bool(numbers.isfinite().all()))


class Recorder(TorchFunctionMode):
    """Writes down what runs inside it; `watch` puts its hooks on the modules first."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.records: list[Record] = []
        self.classes: dict[Path, str] = {}
        self.leaves: set[Path] = set()
        self.names = {id(parameter): name for name, parameter in network.named_parameters(remove_duplicate=False)}
        self._stack: list[tuple[str, int]] = []
        self._calls: dict[str, int] = {}
        self._quiet = False
        for name, module in network.named_modules():
            if not isinstance(module, torch.jit.ScriptModule) or not name:
                module.register_forward_pre_hook(self._entering(name), with_kwargs=True)
                module.register_forward_hook(self._leaving, with_kwargs=True)

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run the operation and write it down."""
        result = func(*args, **(kwargs or {}))
        if not self._quiet:
            self._quiet = True
            try:
                self._saw(operation_name(func), args, kwargs or {}, result)
            finally:
                self._quiet = False
        return result

    def loss_begins(self) -> None:
        """What follows belongs to the loss."""
        self._stack = [("loss", 0)]

    def _entering(self, name: str) -> Any:
        def note(module: nn.Module, args: Any, kwargs: Any) -> None:
            if not name:
                return
            self.leaves.discard(tuple(self._stack))
            call = self._calls.get(name, 0)
            self._calls[name] = call + 1
            self._stack.append((name, call))
            self.classes[tuple(self._stack)] = type(module).__name__
            self.leaves.add(tuple(self._stack))

        return note

    def _leaving(self, module: nn.Module, args: Any, kwargs: Any, result: Any) -> None:
        before, self._quiet = self._quiet, True
        try:
            path = tuple(self._stack)
            fresh = [t for t in tensors_in(result) if t.requires_grad and record_of(t) is None]
            if fresh:  # nobody saw where this came from
                self._note(type(module).__name__, args, kwargs, fresh, path)
        finally:
            self._quiet = before
            if self._stack:
                self._stack.pop()

    def _saw(self, operation: str, args: Any, kwargs: Any, result: Any) -> None:
        if operation == "setitem" and result is None:
            result = args[0]
        results = [t for t in tensors_in(result) if t.requires_grad and t.is_floating_point()]
        if operation in PLUMBING or not results:
            self._hand_on(operation, args, kwargs, tensors_in(result))
            return
        self._note(NAMES.get(operation, operation), args, kwargs, results, tuple(self._stack))

    def _hand_on(self, operation: str, args: Any, kwargs: Any, results: Iterator[torch.Tensor]) -> None:
        """Results that are only arranged anew count as what they were made from, if that is one; masks are let go."""
        found = {record_of(t): t for t in tensors_in((args, kwargs)) if record_of(t) is not None}
        if len(found) != 1:
            return
        source = next(iter(found.values()))
        record, axis = getattr(source, MARK)
        for result in results:
            alike = result.requires_grad or result.is_floating_point() or result.dtype == source.dtype
            if record_of(result) is None and alike:
                setattr(result, MARK, (record, None if operation in TURNING else axis))

    def _note(self, kind: str, args: Any, kwargs: Any, results: list[torch.Tensor], path: Path) -> None:
        given = list(tensors_in((args, kwargs)))
        marks = [getattr(t, MARK) for t in given if record_of(t) is not None]
        parents = list(dict.fromkeys(record for record, _ in marks))
        inherited = next((axis for _, axis in marks), None)
        axis = UNIT_AXIS.get(kind, inherited)
        result = results[0]
        record = Record(kind, path, parents, tuple(result.shape), statistics(result),
                        weights=list(dict.fromkeys(self.names[id(t)] for t in given if id(t) in self.names)))
        record.units = units_of(kind, result.detach(), axis, args, kwargs)
        self.records.append(record)
        for tensor in results:
            setattr(tensor, MARK, (record, axis))

        def arrived(gradient: torch.Tensor) -> None:
            record.gradient = statistics(gradient)

        result.register_hook(arrived)


def record_of(tensor: torch.Tensor) -> Record | None:
    """The record that a tensor came from, if it was seen."""
    mark = getattr(tensor, MARK, None)
    return mark[0] if mark else None


def operation_name(function: Any) -> str:
    """'add' for Tensor.add_, __add__, torch.add; the attribute's name where a property was read.

    >>> operation_name(torch.Tensor.__add__), operation_name(torch.relu_)
    ('add', 'relu')
    """
    name = getattr(function, "__name__", type(function).__name__)
    if name == "__get__":
        name = getattr(getattr(function, "__self__", None), "__name__", "attribute")
    return name.strip("_")


def tensors_in(value: Any) -> Iterator[torch.Tensor]:
    """Every tensor in nested tuples, lists, dicts and dataclasses, in order."""
    if isinstance(value, torch.Tensor):
        yield value
    elif isinstance(value, Mapping):
        for part in value.values():
            yield from tensors_in(part)
    elif isinstance(value, tuple | list):
        for part in value:
            yield from tensors_in(part)
    elif is_dataclass(value) and not isinstance(value, type):
        for part in fields(value):
            yield from tensors_in(getattr(value, part.name))


def copied(value: Any, found: list[tuple[torch.Tensor, Record]], name: str) -> Any:
    """The batch with tensors of our own, each marked as an input; those of real numbers ask for a gradient."""
    if isinstance(value, torch.Tensor):
        leaf = value.detach().clone()
        if leaf.is_floating_point():
            leaf.requires_grad_()
        record = Record("input", ((name, 0),), [], tuple(leaf.shape), is_input=True)
        if leaf.is_floating_point():
            record.values = statistics(leaf)
        given = leaf.clone() if leaf.requires_grad else leaf  # the network may write into it, into a leaf not
        setattr(given, MARK, (record, None))
        found.append((leaf, record))
        return given
    if isinstance(value, Mapping):
        return {key: copied(part, found, f"{name}.{key}") for key, part in value.items()}
    if isinstance(value, tuple | list):
        parts = [copied(part, found, f"{name}.{place}") for place, part in enumerate(value)]
        if isinstance(value, tuple) and hasattr(value, "_fields"):
            return type(value)(*parts)
        return type(value)(parts)
    return value


@contextmanager
def randomness_kept(network: nn.Module) -> Iterator[None]:
    """Afterwards the generators of torch, NumPy and Python stand where they stood."""
    import random

    import numpy as np

    devices = sorted({p.device.index or 0 for p in network.parameters() if p.device.type == "cuda"})
    python, numpy_state = random.getstate(), np.random.get_state()
    try:
        with torch.random.fork_rng(devices=devices):
            yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy_state)
