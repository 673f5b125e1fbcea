"""The graph of a PyTorch network and one batch, with what tells whether it can learn: `gradatim.trace`.

Each call of a module, and each operation between modules, is a node with the shape, mean and spread of its values, the
norm of the gradient that arrives there, dead and saturated units; each weight has its own gradient. What vanishes or
explodes is named, with a remedy. The network runs as a copy: mode, gradients, batch-norm statistics and random numbers
of the original stay as they are.
"""

import copy
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from gradatim.autodiff.graph.diagnostics import Finding, Weight, findings_of
from gradatim.autodiff.graph.recording import (
    Path,
    Record,
    Recorder,
    Recording,
    copied,
    randomness_kept,
    statistics,
    tensors_in,
)
from gradatim.autodiff.graph.trace_nodes import TraceNode
from gradatim.errors import GradatimError

if TYPE_CHECKING:
    from gradatim.autodiff.drawing.scene import Scene


@dataclass(frozen=True)
class Trace:
    """Nodes in forward order, weights in the order of definition, findings with the worst first.

    seen_by: "operations", or "modules" where the operations could not be watched.
    """

    network: str
    nodes: tuple[TraceNode, ...]
    weights: tuple[Weight, ...]
    findings: tuple[Finding, ...]
    loss: float | None
    seen_by: str
    classes: Mapping[Path, str] = field(repr=False)

    @property
    def verdict(self) -> str:
        """The worst finding's code, or "sound"."""
        return self.findings[0].code if self.findings else "sound"

    def table(self) -> str:
        """Plain text: a row a node, then the findings.

        >>> net = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 1))
        >>> [line.split()[1] for line in trace(net, torch.ones(4, 2)).table().splitlines()[1:5]]
        ['input', '0', '1', '2']
        """
        from gradatim.autodiff.graph.trace_drawing import trace_table

        return trace_table(self)

    def to_json(self) -> dict[str, Any]:
        """Everything as JSON values."""
        nodes = []
        for node in self.nodes:
            plain = asdict(node)
            plain.pop("path")
            nodes.append({**plain, "parents": list(node.parents), "shape": list(node.shape)})
        return {
            "network": self.network, "verdict": self.verdict, "loss": self.loss, "seen_by": self.seen_by,
            "findings": [asdict(finding) for finding in self.findings], "nodes": nodes,
            "weights": [asdict(weight) for weight in self.weights],
        }

    def scene(self, *, depth: int | None = None, direction: str | None = "down") -> "Scene":
        """The drawing as shapes.

        depth: modules that are called so many calls deep are drawn closed, 1 those that the network itself calls; None:
        as deep as 60 cards allow.
        """
        from gradatim.autodiff.graph.trace_drawing import trace_scene

        return trace_scene(self, depth, direction)

    def svg(self, *, depth: int | None = None, direction: str | None = "down") -> str:
        """The network as a picture; depth: see `scene`."""
        return self.scene(depth=depth, direction=direction).svg()

    def png(self, *, depth: int | None = None, direction: str | None = "down", scale: float = 2.0) -> bytes:
        """The picture as PNG, light."""
        from gradatim.autodiff.drawing.painting import painted

        return painted(self.scene(depth=depth, direction=direction), scale=scale)

    def _repr_html_(self) -> str:
        return self.svg()


def trace(
    model: nn.Module, batch: Any, loss: Callable[..., torch.Tensor] | None = None, *, target: Any = None
) -> Trace:
    """Watch a network work on one batch, forward and backward, and say whether its gradients are sound.

    batch: a tensor, a tuple or list of positional arguments, or a dict of named ones. loss: from the output (and the
    target, where one is given) to a single number; without it the output itself if it is one number, else a gradient of
    norm 1 with random signs is sent in at the output. The model runs in the mode in which it is, as a copy. Raises
    GradatimError where it does not take the batch.

    >>> net = nn.Sequential(*(nn.Linear(1, 1, bias=False) for _ in range(50)))
    >>> _ = [nn.init.constant_(layer.weight, 1.5) for layer in net]
    >>> trace(net, torch.ones(1, 1)).verdict
    'exploding'
    """
    if not isinstance(model, nn.Module):
        raise GradatimError(f"expected a PyTorch module, received {type(model).__name__}; for a tensor of "
                            "gradatim.autodiff use gradatim.graph")
    with randomness_kept(model):
        state = torch.random.get_rng_state()
        try:
            recording, network, value = _recorded(model, batch, loss, target, operations=True)
            seen_by = "operations"
        except GradatimError:
            raise
        except Exception as first:
            torch.random.set_rng_state(state)
            try:
                recording, network, value = _recorded(model, batch, loss, target, operations=False)
            except Exception:
                reason = (str(first) or type(first).__name__).splitlines()[0]
                raise GradatimError(f"{type(model).__name__}: expected a batch that it takes, received one on which it "
                                    f"failed: {reason:.200}") from first
            seen_by = "modules"
    nodes = _nodes(recording)
    weights = [
        Weight(name, tuple(p.shape), statistics(p), None if p.grad is None else statistics(p.grad), p.requires_grad)
        for name, p in network.named_parameters()
    ]
    findings = findings_of(nodes, weights, network)
    return Trace(type(model).__name__, tuple(nodes), tuple(weights), tuple(findings), value, seen_by, recording.classes)


def _recorded(
    model: nn.Module, batch: Any, loss: Callable[..., torch.Tensor] | None, target: Any, *, operations: bool
) -> tuple[Recording, nn.Module, float | None]:
    """One forward and backward pass of a copy, watched; its parameters keep their gradients."""
    model = getattr(model, "_orig_mod", model)  # what torch.compile wraps
    try:
        with torch.no_grad():  # else the copy of a scripted module would hand its gradients on to the original
            network = copy.deepcopy(model)
    except Exception as error:
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise GradatimError(f"{type(model).__name__}: expected a module that can be copied, so that the trace leaves "
                            f"it as it is; copy.deepcopy says: {reason:.200}") from error
    for parameter, original in zip(network.parameters(), model.parameters()):
        parameter.requires_grad_(original.requires_grad)
        parameter.grad = None
    recorder = Recorder(network)
    inputs: list[tuple[torch.Tensor, Record]] = []
    given = copied(batch, inputs, "input")
    arguments, named = ((), given) if isinstance(given, Mapping) else (
        (given, {}) if isinstance(given, tuple) else (tuple(given), {}) if isinstance(given, list) else ((given,), {})
    )
    recorder.inputs = [record for leaf, record in inputs if leaf.requires_grad]
    value = None
    cudnn = torch.backends.cudnn.flags(enabled=network.training) if _recurrent(network) else nullcontext()
    with torch.enable_grad(), cudnn:
        with recorder if operations else nullcontext():
            output = network(*arguments, **named)
            if loss is not None:
                recorder.loss_begins()
                output = loss(output) if target is None else loss(output, target)
        results = [t for t in tensors_in(output) if t.is_floating_point() and t.requires_grad]
        for result in results:
            recorder.notice(result)
        recorder.closed = True
        if loss is not None and (len(results) != 1 or results[0].numel() != 1):
            raise GradatimError("loss: expected a single number that depends on the network, received another; "
                                "take its mean")
        if len(results) == 1 and results[0].numel() == 1:
            value = results[0].item()
        _backward(results, network, inputs)
    records = [record for _, record in inputs] + recorder.leading_to(results)
    return Recording(records, recorder.classes, recorder.leaves, results, inputs), network, value


def _recurrent(network: nn.Module) -> bool:
    """Whether it holds fused recurrent layers, whose fast kernels on GPUs have no backward pass in eval mode."""
    return any(isinstance(module, nn.RNNBase) for module in network.modules())


def _backward(results: list[torch.Tensor], network: nn.Module, inputs: list[tuple[torch.Tensor, Record]]) -> None:
    """From the loss, or from a gradient of norm 1 in random signs, to every parameter and input of real numbers."""
    leaves = [leaf for leaf, _ in inputs if leaf.requires_grad]
    parameters = [parameter for parameter in network.parameters() if parameter.requires_grad]
    if not results or not (leaves or parameters):
        return
    if len(results) == 1 and results[0].numel() == 1:
        upstream = [torch.ones_like(results[0])]
    else:
        signs = torch.Generator().manual_seed(0)
        size = sum(result.numel() for result in results) ** 0.5
        upstream = [
            ((torch.randint(0, 2, result.shape, generator=signs) * 2 - 1) / size).to(result) for result in results
        ]
    torch.autograd.backward(results, upstream)
    for leaf, record in inputs:
        record.gradient = None if leaf.grad is None else statistics(leaf.grad)


def _nodes(recording: Recording) -> list[TraceNode]:
    """Records grouped by the innermost module call that held no other; the rest stand for themselves."""
    owner: dict[Record, int] = {}
    groups: list[list[Record]] = []
    by_call: dict[Path, int] = {}
    for record in recording.records:
        if not record.is_input and record.path in recording.leaves:
            if record.path not in by_call:
                by_call[record.path] = len(groups)
                groups.append([])
            owner[record] = by_call[record.path]
        else:
            owner[record] = len(groups)
            groups.append([])
        groups[owner[record]].append(record)
    place_of = {record: place for place, record in enumerate(recording.records)}
    order = sorted(range(len(groups)), key=lambda group: place_of[groups[group][-1]])
    numbers = {group: place for place, group in enumerate(order, 1)}
    taken: dict[str, int] = {}
    nodes = []
    for group in order:
        records, last = groups[group], groups[group][-1]
        parents = sorted({numbers[owner[p]] for r in records for p in r.parents} - {numbers[group]})
        units = next((record.units for record in reversed(records) if record.units), None)
        whole = not last.is_input and last.path in recording.leaves
        kind = recording.classes[last.path] if whole else last.kind
        base = last.path[-1][0] if last.path else ""
        name = base if whole or last.is_input else f"{base}.{kind}" if base else kind
        taken[name] = taken.get(name, 0) + 1
        nodes.append(TraceNode(
            numbers[group], name + (f" ({taken[name]})" if taken[name] > 1 else ""), kind, last.path, tuple(parents),
            last.shape, last.values, last.gradient, units,
            tuple(dict.fromkeys(name for record in records for name in record.weights)),
        ))
    return nodes
