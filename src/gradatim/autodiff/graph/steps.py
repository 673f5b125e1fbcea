"""The two sweeps over a graph, step by step: what is computed, what is handed back, what is known by then.

Step 0 shows the inputs. Then one step for each operation, forward; then the gradient 1 at the result; then one step
for each operation, backward, at which it hands its gradient, times the local derivative, to each of its inputs; then
the end.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from gradatim.autodiff.drawing.drawing import Card, Line, Link, Plan, drawn
from gradatim.autodiff.drawing.scene import Scene
from gradatim.autodiff.graph.amounts import array_json, array_text
from gradatim.autodiff.graph.nodes import Edge, Node, NodesAndEdges, local_text
from gradatim.autodiff.graph.terms import Term, joined, leaf_term
from gradatim.errors import GradatimError

if TYPE_CHECKING:
    from collections.abc import Mapping

MOST_NODES = 200
LEGEND = (Line("→ value, forward", "accent", 12.0), Line("← gradient, backward", "second", 12.0),
          Line("on a line: local derivative", "muted", 12.0))


@dataclass
class Step:
    """One step: who works, the sentence, and the running gradients that it leaves behind."""

    phase: str
    node: int | None
    sentence: str
    edges: Sequence[Edge] = ()
    gradients: "Mapping[int, np.ndarray]" = field(default_factory=dict)


def steps_of(graph: NodesAndEdges) -> list[Step]:
    """All steps in order. Raises GradatimError for a graph of over 200 nodes: nobody would watch it."""
    if len(graph.nodes) > MOST_NODES:
        raise GradatimError(f"expected at most {MOST_NODES} nodes to step through, received {len(graph.nodes)}; "
                            "use a smaller example, or the table")
    into: dict[int, list[Edge]] = {node.number: [] for node in graph.nodes}
    for edge in graph.edges:
        into[edge.target].append(edge)
    leaves = [node for node in graph.nodes if not node.parents]
    named = [f"{node.label} = {_amount(node.value)}" for node in leaves if node.name]
    steps = [Step("forward", None, f"The inputs: {_listed(named)}." if named else "The inputs are given.")]
    working = [node for node in graph.nodes if node.parents]
    for node in working:
        steps.append(Step("forward", node.number, _forward_sentence(graph, node), into[node.number]))
    known: dict[int, np.ndarray] = {}
    if working:
        result = working[-1]
        known[result.number] = np.ones_like(result.value)
        steps.append(Step("backward", result.number,
                          f"Backward: d{graph.label}/d{graph.label} = 1, the gradient of the result by itself.",
                          (), dict(known)))
    for node in reversed(working):
        if node.gradient is None:
            continue
        said = []
        handed = [edge for edge in into[node.number] if edge.passed is not None]
        for edge in handed:
            assert edge.passed is not None
            first = edge.source not in known
            known[edge.source] = edge.passed if first else known[edge.source] + edge.passed
            said.append(_handed_sentence(graph, edge, node, None if first else known[edge.source]))
        sentence = f"{node.title} hands its gradient {_amount(node.gradient)} on: {'; '.join(said)}."
        steps.append(Step("backward", node.number, sentence, handed, dict(known)))
    ends = [f"d{graph.label}/d{n.label} = {_amount(n.gradient)}" for n in leaves if n.gradient is not None and n.name]
    steps.append(Step("backward", None, f"Done: {_listed(ends)}." if ends else "Done.", (), dict(known)))
    return steps


def frames(graph: NodesAndEdges, *, svg: bool = True) -> list[dict[str, Any]]:
    """The steps as JSON values; see `Graph.frames`."""
    steps = steps_of(graph)
    picture = scene(graph) if svg else None
    values = {node.number: array_json(node.value) for node in graph.nodes if not node.parents}
    found = []
    for place, step in enumerate(steps):
        if step.phase == "forward" and step.node is not None:
            values = {**values, step.node: array_json(graph.nodes[step.node - 1].value)}
        found.append({
            "step": place, "phase": step.phase, "node": step.node, "sentence": step.sentence, "values": values,
            "gradients": {number: array_json(value) for number, value in sorted(step.gradients.items())},
            "svg": picture.svg(step=place) if picture else None,
        })
    return found


def scene(graph: NodesAndEdges, direction: str | None = None) -> Scene:
    """The drawing with all its steps; a graph too large to step through is drawn finished."""
    stepped = len(graph.nodes) <= MOST_NODES
    steps = steps_of(graph) if stepped else []
    forward = {step.node: place for place, step in enumerate(steps) if step.phase == "forward"}
    backward = {step.node: place for place, step in enumerate(steps) if step.phase == "backward" and step.edges}
    numbered = any("#" in node.title for node in graph.nodes)
    cards = {node.number: _card(node, graph, steps, forward.get(node.number, 0), backward.get(node.number), numbered)
             for node in graph.nodes}
    links = _merged_links(graph, forward, backward)
    captions = [Line(step.sentence, "accent" if step.phase == "forward" else "second", 14.0, since=place,
                     until=place + 1 if place + 1 < len(steps) else None) for place, step in enumerate(steps)]
    result = graph.nodes[-1]
    whole = f"{graph.label} = {result.formula}" if "#" not in result.formula and result.formula else graph.label
    description = "; ".join(
        f"{node.title}: value {array_text(node.value)}"
        + ("" if node.gradient is None else f", gradient {array_text(node.gradient)}")
        for node in graph.nodes
    )
    plan = Plan(whole, description, captions, LEGEND, len(steps))
    return drawn(cards, links, plan, direction=direction)


def _card(node: Node, graph: NodesAndEdges, steps: Sequence[Step], computed: int, works_back: int | None, numbered: bool
          ) -> Card:
    number = f"#{node.number}  " if numbered and node.parents else ""
    if not node.parents and node.constant and not node.name:
        return Card([[Line(_amount(node.value), "muted", bold=True)]], dashed=True, radius=14.0)
    result = node.number == len(graph.nodes)
    name = node.name or (graph.label if result else "")
    rows = [[Line(number + (name or node.label), "ink", bold=True)]]
    if name and node.formula:
        rows.append([Line(node.formula, "muted", 12.0)])
    rows.append([Line(f"→ {_amount(node.value)}", "accent", since=computed)])
    if node.gradient is not None:
        rows.append(_running(node, steps) or [Line(f"← {_amount(node.gradient)}", "second")])
    glows = [(computed, "accent")] if node.parents else []
    if works_back is not None:
        glows.append((works_back, "second"))
    if result:
        glows += [(place, "second") for place, step in enumerate(steps)
                  if step.phase == "backward" and step.node == node.number and not step.edges]
    return Card(rows, fill="paper" if node.parents else "raised", stroke="ink" if result else "rule",
                thickness=1.8 if result else 1.2, radius=7.0 if node.parents else 14.0, glows=glows,
                dashed=node.constant)


def _running(node: Node, steps: Sequence[Step]) -> list[Line]:
    """The gradient as it grows: each sum until the next contribution arrives."""
    lines: list[Line] = []
    last: np.ndarray | None = None
    for place, step in enumerate(steps):
        now = step.gradients.get(node.number)
        if now is not None and now is not last:
            if lines:
                lines[-1] = Line(lines[-1].text, "second", since=lines[-1].since, until=place)
            lines.append(Line(f"← {_amount(now)}", "second", since=place))
            last = now
    return lines


def _merged_links(graph: NodesAndEdges, forward: dict[int | None, int], backward: dict[int | None, int]) -> list[Link]:
    """One link for each pair of nodes: x·x shows both local derivatives on one line."""
    pairs: dict[tuple[int, int], list[Edge]] = {}
    for edge in graph.edges:
        pairs.setdefault((edge.source, edge.target), []).append(edge)
    links = []
    for (source, target), edges in pairs.items():
        text = " and ".join(filter(None, (local_text(edge, minus="−") for edge in edges)))
        since = forward.get(target, 0)
        glows = [(since, "accent", False)] if forward else []
        if edges[0].passed is not None and target in backward:
            glows.append((backward[target], "second", True))
        label = [Line(text, "ink", 12.0, since=since)] if text else []
        links.append(Link(source, target, label, edges[0].passed is None, glows))
    return links


def _forward_sentence(graph: NodesAndEdges, node: Node) -> str:
    parents = [graph.nodes[number - 1] for number in node.parents]
    amount = _amount(node.value)
    if all(parent.value.ndim == 0 for parent in parents):
        filled = joined(node.operation, [leaf_term(_amount(parent.value), parent.number) for parent in parents],
                        node.exponent).text
        return f"Forward: {node.title} = {filled} = {amount}."
    return f"Forward: {node.title} = {amount}."


def _handed_sentence(graph: NodesAndEdges, edge: Edge, node: Node, total: np.ndarray | None) -> str:
    source = graph.nodes[edge.source - 1]
    assert edge.passed is not None and node.gradient is not None
    text = _amount(edge.passed)
    if edge.kind == "number":
        factors = joined("*", [Term(_amount(node.gradient)), leaf_term(local_text(edge), 0)]).text
        text = f"{factors} = {text}"
    more = "" if total is None else f" more, {_amount(total)} in all"
    return f"{source.label} gets {text}{more}"


def _amount(value: np.ndarray) -> str:
    return array_text(value, minus="−")


def _listed(parts: Sequence[str], most: int = 12) -> str:
    kept = list(parts[:most])
    return ", ".join(kept) + (f" and {len(parts) - most} more" if len(parts) > most else "")
