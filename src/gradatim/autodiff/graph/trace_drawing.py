"""A trace as a table and as a picture; modules are drawn closed where the picture would have too many cards."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from gradatim.autodiff.drawing.drawing import Card, Line, Link, Plan, drawn
from gradatim.autodiff.drawing.scene import Scene, shortened
from gradatim.autodiff.graph.amounts import number_text
from gradatim.autodiff.graph.diagnostics import FEWEST_SEEN, Finding, Weight
from gradatim.autodiff.graph.recording import Path
from gradatim.autodiff.graph.trace_nodes import TraceNode

LEGIBLE = 60
DECADES = 8.0  # the bar is empty where the gradient is 1e-8 of the largest
LONGEST_NAME = 30
WORDS = {"not-finite": "not finite", "values-exploding": "values explode", "values-vanishing": "values vanish",
         "no-gradient": "no gradient"}
LEGEND = (Line("→ values: mean ± standard deviation", "accent", 12.0), Line("← norm of the gradient", "second", 12.0),
          Line("bar: the same, on a scale of eight powers of ten", "muted", 12.0))


class Traced(Protocol):
    """A trace as its drawing sees it."""

    @property
    def network(self) -> str:
        """Name of the network's class."""
        ...

    @property
    def nodes(self) -> Sequence[TraceNode]:
        """In forward order."""
        ...

    @property
    def weights(self) -> Sequence[Weight]:
        """In the order of definition."""
        ...

    @property
    def findings(self) -> Sequence[Finding]:
        """What is wrong, the worst first."""
        ...

    @property
    def loss(self) -> float | None:
        """The loss of the batch, where there was one."""
        ...

    @property
    def classes(self) -> Mapping[Path, str]:
        """Name of the class of each module call."""
        ...


@dataclass(frozen=True)
class _Group:
    """What one card stands for: a node, or all nodes within a closed module."""

    name: str
    kind: str
    nodes: tuple[TraceNode, ...]


def trace_table(trace: Traced) -> str:
    """One row a node, then the findings, in plain text."""
    norms = {weight.name: weight.gradient.norm for weight in trace.weights if weight.gradient is not None}
    head = ("#", "layer", "kind", "output", "mean", "std", "gradient", "at weights", "dead", "saturated")
    rows = [head]
    for node in trace.nodes:
        here = [norms[name] for name in node.weights if name in norms]
        rows.append((
            str(node.number), node.name, node.kind, _shape(node.shape),
            "" if node.values is None else f"{node.values.mean:.2g}",
            "" if node.values is None else f"{node.values.std:.2g}",
            "" if node.gradient is None else f"{node.gradient.norm:.2e}",
            f"{math.hypot(*here):.2e}" if here else "",
            "" if node.units is None or node.units.dead is None else f"{node.units.dead:.0%}",
            "" if node.units is None or node.units.saturated is None else f"{node.units.saturated:.0%}",
        ))
    kept = [c for c in range(len(head)) if any(row[c] for row in rows[1:])]
    widths = [max(len(row[c]) for row in rows) for c in range(len(head))]
    left = {1, 2, 3}
    lines = ["  ".join(row[c].ljust(widths[c]) if c in left else row[c].rjust(widths[c]) for c in kept).rstrip()
             for row in rows]
    findings = [f"{finding.code}: {finding.sentence}" for finding in trace.findings] or [f"sound: {_sound(trace)}"]
    return "\n".join([*lines, "", *findings])


def _sound(trace: Traced) -> str:
    norms = [node.gradient.norm for node in trace.nodes if node.gradient is not None and node.weights]
    if len(norms) < 2:
        return "too few layers to compare"
    return f"the gradient is {norms[0]:.1e} at the first layer and {norms[-1]:.1e} at the last"


def trace_scene(trace: Traced, depth: int | None, direction: str | None) -> Scene:
    """The picture, with modules closed at `depth` calls, or as deep as 60 cards allow."""
    deepest = max((len(node.path) for node in trace.nodes), default=0)
    groups = _grouped(trace, deepest if depth is None else depth)
    while depth is None and len(groups) > LEGIBLE and deepest > 1:
        deepest -= 1
        groups = _grouped(trace, deepest)
    owner = {node.number: place for place, group in enumerate(groups) for node in group.nodes}
    links = dict.fromkeys(
        (owner[parent], owner[node.number]) for node in trace.nodes for parent in node.parents
        if owner[parent] != owner[node.number]
    )
    joined = {end for link in links for end in link}
    apart = [place for place, group in enumerate(groups) if group.kind == "input" and place not in joined]
    largest = max((n.gradient.norm for n in trace.nodes if n.gradient is not None and n.gradient.finite), default=0.0)
    flags: dict[str, list[str]] = {}
    for finding in trace.findings:
        for layer in finding.layers:
            flags.setdefault(layer, []).append(finding.code)
    cards = {place: _card(trace, group, flags, largest) for place, group in enumerate(groups)
             if place not in apart}
    verdict = "sound" if not trace.findings else ", ".join(dict.fromkeys(_word(f.code) for f in trace.findings))
    loss = "" if trace.loss is None else f", loss {number_text(trace.loss)}"
    notes = [Line(f.sentence, "bad", 13.0) for f in trace.findings[:6]]
    notes = notes or [Line(f"Sound: {_sound(trace)}.", "ink", 13.0)]
    if len(trace.findings) > 6:
        notes.append(Line(f"and {len(trace.findings) - 6} more findings", "bad", 13.0))
    if apart:
        names = ", ".join(groups[place].name for place in apart)
        notes.append(Line(f"Not drawn, since no gradient or value passes on from them: {names}", "muted", 12.0))
    plan = Plan(f"{trace.network}: {verdict}{loss}", trace_table(trace).replace("\n", "; "), (), LEGEND, notes=notes)
    return drawn(cards, [Link(source, target) for source, target in links], plan, direction=direction)


def _grouped(trace: Traced, depth: int) -> list[_Group]:
    """What lies within a module call `depth` calls deep is drawn as that call."""
    groups: dict[object, list[TraceNode]] = {}
    for node in trace.nodes:
        closed = len(node.path) >= depth > 0 and node.kind != "input"
        groups.setdefault(node.path[:depth] if closed else node.number, []).append(node)
    found = []
    for key, nodes in groups.items():
        if isinstance(key, tuple) and len(nodes) > 1:
            name, call = key[-1]
            title = name + (f" ({call + 1})" if call else "")
            found.append(_Group(title, f"{trace.classes.get(key, 'module')}, {len(nodes)} nodes", tuple(nodes)))
        else:
            found.append(_Group(nodes[0].name, nodes[0].kind, tuple(nodes)))
    return sorted(found, key=lambda group: group.nodes[-1].number)


def _card(trace: Traced, group: _Group, flags: dict[str, list[str]], largest: float) -> Card:
    last = group.nodes[-1]
    names = {node.name for node in group.nodes} | {name for node in group.nodes for name in node.weights}
    codes = list(dict.fromkeys(code for name in names for code in flags.get(name, ())))
    kind = "" if group.kind == group.name else group.kind
    rows = [[Line(shortened(group.name, LONGEST_NAME), bold=True)],
            [Line("  ".join(filter(None, (kind, _shape(last.shape)))), "muted", 11.5)]]
    if last.values is not None:
        mean = last.values.mean if abs(last.values.mean) > 1e-5 * last.values.std else 0.0
        rows.append([Line(f"→ {_amount(mean)} ± {_amount(last.values.std)}", "accent", 12.0)])
    if last.gradient is not None:
        rows.append([Line(f"← {last.gradient.norm:.2g}".replace("-", "−"), "second", 12.0)])
    states = _states(group.nodes)
    if states:
        rows.append([Line(states, "muted", 11.5)])
    if codes:
        rows.append([Line(", ".join(_word(code) for code in codes), "bad", 12.0, bold=True)])
    meter = None
    if last.gradient is not None and largest > 0:
        meter = 0.0
        if last.gradient.finite and last.gradient.norm > 0:
            meter = max(0.0, 1.0 + math.log10(last.gradient.norm / largest) / DECADES)
    is_input = last.kind == "input"
    return Card(rows, fill="raised" if is_input else "paper", stroke="bad" if codes else "rule",
                thickness=2.2 if codes else 1.2, radius=14.0 if is_input else 7.0, meter=meter)


def _states(nodes: Sequence[TraceNode]) -> str:
    """Dead and saturated shares worth telling: the largest within the card, where enough rows were seen."""
    units = [node.units for node in nodes if node.units is not None and node.units.seen >= FEWEST_SEEN]
    dead = max((unit.dead or 0.0 for unit in units), default=0.0)
    saturated = max((unit.saturated or 0.0 for unit in units), default=0.0)
    parts = [f"dead {dead:.0%}" if dead >= 0.005 else "", f"saturated {saturated:.0%}" if saturated >= 0.005 else ""]
    return "  ".join(filter(None, parts))


def _word(code: str) -> str:
    return WORDS.get(code, code)


def _amount(value: float) -> str:
    return f"{value:.2g}".replace("-", "−")


def _shape(shape: Sequence[int]) -> str:
    return "×".join(map(str, shape)) if shape else "number"
