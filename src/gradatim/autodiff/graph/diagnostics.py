"""Whether the signal survives its way through a network, forward and backward; each finding names layers and a remedy.

Gradients are judged by `gradatim.train.gradients`: the gradient at each layer's output (its norm) and at each weight
(its root mean square), first against last. A factor of 1.5 a layer is 1.5⁵⁰ = 6.4e8 after fifty layers, a factor of 0.5
is 0.5⁵⁰ = 8.9e-16.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from torch import nn

from gradatim.autodiff.graph.recording import Values
from gradatim.autodiff.graph.trace_nodes import TraceNode
from gradatim.train.gradients import gradient_norms, gradient_verdict

LIMIT = 1e4
LARGEST_SHARE = 0.5
FEWEST_SEEN = 8  # a fair unit is silent by chance at all of so many values once in 256
MASKS = frozenset(("input", "masked_fill", "where"))
ORDER = ("not-finite", "exploding", "vanishing", "values-exploding", "values-vanishing", "no-gradient", "dead",
         "saturated")


@dataclass(frozen=True)
class Weight:
    """A parameter: its values, the gradient at it (None: none arrived), whether it learns."""

    name: str
    shape: tuple[int, ...]
    values: Values
    gradient: Values | None
    trainable: bool


@dataclass(frozen=True)
class Finding:
    """What is wrong: a code, the layers concerned in forward order, one sentence that ends in a remedy."""

    code: str
    layers: tuple[str, ...]
    sentence: str
    factor_per_layer: float | None = None


def findings_of(nodes: Sequence[TraceNode], weights: Sequence[Weight], network: nn.Module) -> list[Finding]:
    """All findings, the worst first."""
    found = [*_not_finite(nodes, weights)]
    if not found:
        found += _through_depth(nodes, network) + _values(nodes)
    found += _unreached(weights) + _units(nodes)
    return sorted(found, key=lambda finding: ORDER.index(finding.code))


def depth_factor(norms: Sequence[float]) -> float | None:
    """The factor a layer by which the gradient changes on its way back, from last to first; None if it is not defined.

    >>> round(depth_factor([1.5**3, 1.5**2, 1.5, 1.0]), 6)
    1.5
    """
    if len(norms) < 2 or min(norms[0], norms[-1]) <= 0 or not all(map(math.isfinite, norms)):
        return None
    return math.exp((math.log(norms[0]) - math.log(norms[-1])) / (len(norms) - 1))


def called(node: TraceNode) -> str:
    """The name with the class behind it, since 5 alone says little."""
    return node.name if node.kind in node.name else f"{node.name} ({node.kind})"


def _layers(nodes: Sequence[TraceNode]) -> list[TraceNode]:
    """Inputs of real numbers and what has weights of its own: where depth is counted."""
    return [node for node in nodes if node.gradient is not None and (node.weights or node.kind == "input")]


def _not_finite(nodes: Sequence[TraceNode], weights: Sequence[Weight]) -> list[Finding]:
    read = {parent for node in nodes for parent in node.parents}
    ends = [node for node in nodes if node.number not in read and node.values is not None and not node.values.finite]
    if ends:  # an infinity that never gets there is a mask, and an absent number in a cell is for the network to treat
        name = next((n.name for n in nodes if n.values is not None and not n.values.finite and n.kind not in MASKS),
                    ends[0].name)
        return [Finding("not-finite", (name,), f"the values of {name} are the first that are infinite or not "
                        "a number: lower the learning rate, look for a logarithm or a division there")]
    broken = [node.name for node in nodes if node.gradient is not None and not node.gradient.finite]
    broken += [weight.name for weight in weights if weight.gradient is not None and not weight.gradient.finite]
    if broken:
        text = gradient_verdict({broken[0]: math.nan, "": 1.0})[1]
        return [Finding("not-finite", tuple(broken), f"{text}; on the way back {broken[-1]} is the first")]
    return []


def _through_depth(nodes: Sequence[TraceNode], network: nn.Module) -> list[Finding]:
    """The verdict on the gradients at the outputs of layers, then on those at the weights."""
    names = {called(node): node.name for node in nodes}
    at_outputs = {called(node): node.gradient.norm for node in _layers(nodes) if node.gradient is not None}
    for norms in (at_outputs, gradient_norms(network)):
        code, sentence = gradient_verdict(norms, limit=LIMIT)
        if code in ("exploding", "vanishing"):
            last = list(norms)[-1]
            concerned = tuple(
                names.get(name, name) for name, value in norms.items()
                if name != last and gradient_verdict({name: value, last: norms[last]}, limit=LIMIT)[0] == code
            )
            factor = depth_factor(list(norms.values()))
            if factor is not None:
                sentence = f"{sentence}; a factor of {factor:.3g} a layer over {len(norms) - 1} layers"
            return [Finding(code, concerned, sentence, factor)]
    return []


def _values(nodes: Sequence[TraceNode]) -> list[Finding]:
    """Whether the values themselves grow or shrink with depth."""
    sizes = [(node, node.values.norm / math.sqrt(max(math.prod(node.shape), 1))) for node in nodes
             if node.values is not None and node.values.finite and (node.weights or node.kind == "input")]
    if len(sizes) < 3:
        return []
    (first, before), (last, after) = sizes[0], sizes[-1]
    text = f"the values are {before:.1e} at {called(first)} and {after:.1e} at {called(last)} (root mean square)"
    remedy = "use normalisation, or He / Xavier initialisation"
    if after > LIMIT * before > 0:
        names = tuple(node.name for node, size in sizes if size > LIMIT * before)
        return [Finding("values-exploding", names, f"{text}: {remedy}",
                        depth_factor([size for _, size in sizes][::-1]))]
    if 0 <= after * LIMIT < before:
        names = tuple(node.name for node, size in sizes if size * LIMIT < before)
        return [Finding("values-vanishing", names, f"{text}: {remedy}",
                        depth_factor([size for _, size in sizes][::-1]))]
    return []


def _unreached(weights: Sequence[Weight]) -> list[Finding]:
    names = tuple(w.name for w in weights if w.trainable and (w.gradient is None))
    if not names:
        return []
    return [Finding("no-gradient", names, f"no gradient reaches {_some(names)}: they are not used, or cut off by "
                    "detach; freeze them or join them to the loss")]


def _units(nodes: Sequence[TraceNode]) -> list[Finding]:
    found = []
    judged = [node for node in nodes if node.units is not None and node.units.seen >= FEWEST_SEEN]
    for node in judged:
        assert node.units is not None
        if node.units.dead is not None and node.units.dead > LARGEST_SHARE:
            text = (f"{node.units.dead:.0%} of the units of {called(node)} are silent on the whole batch: lower the "
                    "learning rate, use He initialisation, leaky ReLU or normalisation before it")
            found.append(Finding("dead", (node.name,), text))
        if node.units.saturated is not None and node.units.saturated > LARGEST_SHARE:
            text = (f"{node.units.saturated:.0%} of the values of {called(node)} are where its slope has gone: "
                    "standardise the inputs, use Xavier initialisation or normalisation before it, or ReLU")
            found.append(Finding("saturated", (node.name,), text))
    return found


def _some(names: Sequence[str], most: int = 4) -> str:
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")
