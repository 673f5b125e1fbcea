"""What a PyTorch network does with one batch, written down while it really runs.

PyTorch's own override mechanism (`TorchFunctionMode`) shows every operation with its tensors, whatever loops and
branches the Python code around it takes; module hooks tell inside which call of which module it ran. Where operations
cannot be seen (a scripted module, a checkpointed block), the hooks alone still see the modules. Gradients come through
hooks on the tensors: they are the gradients of the values as they were then, also where a later operation wrote into
the same memory. A tensor that comes out of nowhere (a scripted part, a function with a backward pass of its own)
becomes a node called after the last step that autograd knows of it.
"""

import math
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, fields, is_dataclass
from typing import Any

import torch
from torch import nn
from torch.overrides import TorchFunctionMode

from gradatim.autodiff.graph.units import Units, units_of

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
    norm = float(torch.linalg.vector_norm(numbers))
    zeros = 1.0 - int(torch.count_nonzero(numbers)) / numbers.numel()
    return Values(float(numbers.mean()), float(numbers.std(correction=0)), norm, zeros, math.isfinite(norm))


class Recorder(TorchFunctionMode):
    """Writes down what runs inside it; `watch` puts its hooks on the modules first."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.records: list[Record] = []
        self.inputs: list[Record] = []
        self.classes: dict[Path, str] = {}
        self.leaves: set[Path] = set()
        self.names = {id(parameter): name for name, parameter in network.named_parameters()}
        self._reshaped: list[torch.Tensor] = []
        self._stack: list[tuple[str, int]] = []
        self._calls: dict[str, int] = {}
        self._quiet = False
        self.closed = False  # after the forward pass: what a checkpoint repeats on the way back is not new
        for name, module in network.named_modules():
            if not isinstance(module, torch.jit.ScriptModule):  # which take no hooks
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

    def leading_to(self, results: list[torch.Tensor]) -> list[Record]:
        """The records that the results were made from, in order; what was computed beside them is left out."""
        wanted: set[Record] = set()
        stack = [record for record in map(record_of, results) if record is not None]
        while stack:
            record = stack.pop()
            if record not in wanted:
                wanted.add(record)
                stack.extend(record.parents)
        return [record for record in self.records if record in wanted]

    def _entering(self, name: str) -> Any:
        def note(module: nn.Module, args: Any, kwargs: Any) -> None:
            if not name or self.closed:
                return
            before, self._quiet = self._quiet, True
            for tensor in tensors_in((args, kwargs)):
                self.notice(tensor)
            self._quiet = before
            self.leaves.discard(tuple(self._stack))
            call = self._calls.get(name, 0)
            self._calls[name] = call + 1
            self._stack.append((name, call))
            self.classes[tuple(self._stack)] = type(module).__name__
            self.leaves.add(tuple(self._stack))

        return note

    def _leaving(self, module: nn.Module, args: Any, kwargs: Any, result: Any) -> None:
        if self.closed:
            return
        before, self._quiet = self._quiet, True
        try:
            path = tuple(self._stack)
            fresh = [t for t in tensors_in(result) if t.requires_grad and record_of(t) is None]
            if fresh and path in self.leaves:  # nobody saw how, but it was this module
                self._note(type(module).__name__, args, kwargs, fresh, path)
            for tensor in fresh:
                self.notice(tensor)
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
        """Results that are only arranged anew count as what they were made from; masks made of several are let go."""
        given = list(tensors_in((args, kwargs)))
        found = {record_of(t): t for t in given if record_of(t) is not None}
        if not found:
            if len(given) == 1 and id(given[0]) in self.names:  # a weight in another shape is that weight still
                for result in results:
                    self.names[id(result)] = self.names[id(given[0])]
                    self._reshaped.append(result)  # kept, so that its id is not given to another tensor
            return
        source = next((t for t in found.values() if t.requires_grad), next(iter(found.values())))
        record, axis, _ = getattr(source, MARK)
        for result in results:
            alike = len(found) == 1 and (result.is_floating_point() or result.dtype == source.dtype)
            if record_of(result) is None and (result.requires_grad or alike):
                setattr(result, MARK, (record, None if operation in TURNING else axis, result.requires_grad))

    def _note(self, kind: str, args: Any, kwargs: Any, results: list[torch.Tensor], path: Path) -> None:
        given = list(tensors_in((args, kwargs)))
        for tensor in given:
            self.notice(tensor)
        marks = [getattr(t, MARK) for t in given if record_of(t) is not None]
        parents = list(dict.fromkeys(record for record, _, _ in marks))
        inherited = next((axis for _, axis, _ in marks), None)
        axis = UNIT_AXIS.get(kind, inherited)
        result = results[0]
        record = Record(kind, path, parents, tuple(result.shape), statistics(result),
                        weights=list(dict.fromkeys(self.names[id(t)] for t in given if id(t) in self.names)))
        record.units = units_of(kind, result.detach(), axis, args, kwargs)
        self._keep(record, results, axis)

    def notice(self, tensor: torch.Tensor) -> None:
        """Make a node of a tensor that autograd knows, but that nobody saw come: it follows on what was seen last."""
        if tensor.grad_fn is None or record_of(tensor) is not None or not tensor.is_floating_point():
            return
        kind = re.sub(r"(Backward)?\d*$", "", type(tensor.grad_fn).__name__).replace("CppFunction", "scripted")
        before = self.records[-1:] or self.inputs
        record = Record(kind, tuple(self._stack), before, tuple(tensor.shape), statistics(tensor))
        self._keep(record, [tensor], None)

    def _keep(self, record: Record, results: list[torch.Tensor], axis: int | None) -> None:
        self.records.append(record)
        for tensor in results:
            setattr(tensor, MARK, (record, axis, True))

        def arrived(gradient: torch.Tensor) -> None:
            record.gradient = statistics(gradient)

        results[0].register_hook(arrived)


def record_of(tensor: torch.Tensor) -> Record | None:
    """The record that a tensor came from, if it was seen; one made without a gradient may have got one unseen."""
    mark = getattr(tensor, MARK, None)
    return mark[0] if mark and mark[2] == tensor.requires_grad else None


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
        setattr(given, MARK, (record, None, given.requires_grad))
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
