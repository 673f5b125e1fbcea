"""The computation graph to look at: every node with its value, its local derivatives and its upstream gradient.

What `backward` does in one go is laid open here: the chain rule says dJ/dx = Σ dJ/dy · ∂y/∂x over all y that use x. The
first factor is what arrives at y from above, the second stands on the edge from x to y, and the sum runs where x is
used more than once.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from gradatim.autodiff.engine.tensor import Tensor, topological_order
from gradatim.autodiff.graph.amounts import array_json, array_text
from gradatim.autodiff.graph.nodes import Edge, Node, local_text
from gradatim.autodiff.graph.terms import Term, formula_of, leaf_term
from gradatim.errors import GradatimError

if TYPE_CHECKING:
    from gradatim.autodiff.drawing.scene import Scene

LARGEST_JACOBIAN_SIDE = 16


@dataclass(frozen=True)
class Graph:
    """The nodes in forward order, the edges in the order of their targets, and the label of the result."""

    nodes: tuple[Node, ...]
    edges: tuple[Edge, ...]
    label: str

    def table(self) -> str:
        """Plain text, one row a node: what it is, value, local derivatives of its parents, gradient.

        >>> a = Tensor(5.0, requires_gradient=True, name="a")
        >>> print(graph(a * a).table())
        #  node  value  local derivatives   gradient
        1  a         5                            10
        2  a·a      25  ∂/∂a = 5, ∂/∂a = 5         1
        """
        head = ("#", "node", "value", "local derivatives", "gradient")
        rows = [head]
        into: dict[int, list[Edge]] = {}
        for edge in self.edges:
            into.setdefault(edge.target, []).append(edge)
        for node in self.nodes:
            locals_ = ", ".join(
                f"∂/∂{self._short(edge.source)} = {local_text(edge)}"
                for edge in into.get(node.number, ()) if edge.kind != "constant"
            )
            gradient = "" if node.gradient is None else array_text(node.gradient)
            rows.append((str(node.number), node.title, array_text(node.value), locals_, gradient))
        widths = [max(len(row[column]) for row in rows) for column in range(len(head))]
        right = {0, 2, 4}
        return "\n".join(
            "  ".join(cell.rjust(width) if column in right else cell.ljust(width)
                      for column, (cell, width) in enumerate(zip(row, widths))).rstrip()
            for row in rows
        )

    def to_json(self) -> dict[str, Any]:
        """Nodes and edges as JSON values; arrays of over 64 numbers by shape and norm."""
        return {
            "label": self.label,
            "nodes": [
                {"number": n.number, "name": n.name, "operation": n.operation, "label": n.label,
                 "formula": n.formula, "parents": list(n.parents), "constant": n.constant, "value": array_json(n.value),
                 "gradient": array_json(n.gradient)}
                for n in self.nodes
            ],
            "edges": [
                {"source": e.source, "target": e.target, "kind": e.kind, "local": array_json(e.local),
                 "passed": array_json(e.passed)}
                for e in self.edges
            ],
        }

    def frames(self, *, svg: bool = True) -> list[dict[str, Any]]:
        """The forward sweep, then the backward sweep, one dict a step.

        step; phase ("forward" or "backward"); node: the number of the one at work (None for the first and the last);
        sentence: what happens; values and gradients: node number → what is known by now, sums still growing included;
        svg: the picture of the step (None without `svg`).
        """
        from gradatim.autodiff.graph.steps import frames

        return frames(self, svg=svg)

    def scene(self, *, direction: str | None = None) -> "Scene":
        """The drawing as shapes, with the windows of steps in which each is to be seen."""
        from gradatim.autodiff.graph.steps import scene

        return scene(self, direction)

    def svg(self, *, direction: str | None = None) -> str:
        """The graph as a picture: real text, light and dark; direction "right", "down" or None for the handier one."""
        return self.scene(direction=direction).svg()

    def animation(self, *, direction: str | None = None, seconds_per_step: float = 2.0) -> str:
        """The frames as one moving SVG that needs no script."""
        return self.scene(direction=direction).svg(seconds_per_step=seconds_per_step)

    def html(self, *, direction: str | None = None) -> str:
        """A self-contained page that steps through the frames: buttons, slider, arrow keys; no network."""
        from gradatim.autodiff.drawing.page import stepping_page

        return stepping_page(self.scene(direction=direction))

    def png(self, *, direction: str | None = None, scale: float = 2.0) -> bytes:
        """The picture as PNG, light, in `scale` pixels a unit."""
        from gradatim.autodiff.drawing.painting import painted

        return painted(self.scene(direction=direction), scale=scale)

    def _repr_html_(self) -> str:
        return self.svg()

    def _short(self, number: int) -> str:
        node = self.nodes[number - 1]
        return node.label if len(node.label) <= 6 and node.label.isalnum() else f"#{number}"


def graph(loss: Tensor) -> Graph:
    """The computation graph that led to `loss`, with values, local derivatives and gradients.

    loss: a single number made from at least one tensor with requires_gradient. Its tensors are left as they are: no
    `gradient` is written, and `backward` may still be called, or have been. Values are those that the forward pass saw.

    >>> a, b, c = (Tensor(v, requires_gradient=True, name=n) for n, v in [("a", 5.0), ("b", 3.0), ("c", 2.0)])
    >>> seen = graph(3 * (a + b * c))
    >>> {node.name: float(node.gradient) for node in seen.nodes if node.name}
    {'a': 3.0, 'b': 6.0, 'c': 9.0}
    """
    if not isinstance(loss, Tensor):
        raise GradatimError(f"expected a Tensor of gradatim.autodiff, received {type(loss).__name__}; for a PyTorch "
                            "module use gradatim.trace")
    if loss.value.size != 1:
        raise GradatimError(f"expected a single number, received shape {loss.shape}; take its sum or mean")
    if not loss.requires_gradient:
        raise GradatimError("expected a result made from a tensor with requires_gradient=True, received one that is "
                            "constant; mark the variables")
    order = topological_order(loss)
    numbers = {tensor: place for place, tensor in enumerate(order, 1)}
    values = {tensor: tensor.value for tensor in order}
    for tensor in order:
        values.update(zip(tensor.parents, tensor._seen))
    with np.errstate(all="ignore"):  # a slope may be infinite, as that of √x at 0: it is shown as it is
        gradients, edges = _swept(order, numbers)
    terms: dict[Tensor, Term] = {}
    nodes = []
    for tensor in order:
        number = numbers[tensor]
        parts = [(terms[parent], numbers[parent]) for parent in tensor.parents]
        formula = formula_of(tensor.operation, parts, _exponent(tensor)) if parts else None
        terms[tensor] = Term(tensor.name) if tensor.name else formula or leaf_term(array_text(values[tensor]), number)
        nodes.append(Node(
            number, tensor.name or "", tensor.operation, terms[tensor].text, formula.text if formula else "",
            tuple(numbers[parent] for parent in tensor.parents), values[tensor], gradients.get(tensor),
            not tensor.requires_gradient, _exponent(tensor),
        ))
    return Graph(tuple(nodes), tuple(edges), loss.name or "J")


def _exponent(tensor: Tensor) -> float | None:
    """The plain number n of xⁿ, which the graph does not hold: n = x · (dy/dx) / y wherever y is not 0."""
    if tensor.operation != "**" or len(tensor.parents) != 1 or not tensor.requires_gradient:
        return None
    x, y = tensor._seen[0], tensor.value
    with np.errstate(all="ignore"):
        slope = tensor.vjp(np.ones_like(y))[0]
    useful = np.flatnonzero(np.isfinite(y) & (y != 0))
    if slope is None or not len(useful):
        return None
    place = useful[0]
    return round(float(x.flat[place] * slope.flat[place] / y.flat[place]), 6)


def _swept(
    order: list[Tensor], numbers: dict[Tensor, int]
) -> tuple[dict[Tensor, np.ndarray], list[Edge]]:
    """The backward sweep, keeping what went along each edge."""
    totals = {order[-1]: np.ones_like(order[-1].value)}
    edges: list[list[Edge]] = []
    for tensor in reversed(order):
        if not tensor.parents:
            continue
        upstream = totals.get(tensor)
        handed = [None] * len(tensor.parents) if upstream is None else tensor.vjp(upstream)
        locals_ = _local_derivatives(tensor) if upstream is not None else [("constant", None)] * len(tensor.parents)
        found = []
        for parent, passed, (kind, local) in zip(tensor.parents, handed, locals_):
            if passed is not None:
                totals[parent] = totals[parent] + passed if parent in totals else np.array(passed)
            found.append(Edge(numbers[parent], numbers[tensor], kind, local, passed))
        edges.append(found)
    return totals, [edge for found in reversed(edges) for edge in found]


def _local_derivatives(tensor: Tensor) -> list[tuple[str, np.ndarray | None]]:
    """Kind and local derivative for each parent, by pulling ones, single entries, or an irregular probe."""
    outputs = tensor.value.size
    ones = tensor.vjp(np.ones_like(tensor.value))
    probe = np.random.default_rng(0).uniform(1.0, 2.0, tensor.shape).astype(tensor.dtype)
    probed = tensor.vjp(probe) if outputs > 1 else ones
    single: list[tuple[np.ndarray | None, ...]] | None = None
    found: list[tuple[str, np.ndarray | None]] = []
    for place, parent in enumerate(tensor.parents):
        pulled, along = ones[place], probed[place]
        if pulled is None or along is None:
            found.append(("constant", None))
        elif outputs == 1:
            found.append(("number" if parent.ndim == 0 else "gradient", pulled))
        elif parent.shape == tensor.shape and np.allclose(along, probe * pulled, rtol=1e-5, atol=0.0):
            found.append(("elementwise", pulled))  # Jᵀv = v · Jᵀ1 for an irregular v only where J is diagonal
        elif max(outputs, parent.value.size) <= LARGEST_JACOBIAN_SIDE:
            if single is None:
                single = _rows_of_jacobian(tensor.vjp, tensor.value)
            rows = [np.asarray(row[place]).reshape(-1) for row in single]
            found.append(("jacobian", np.stack(rows)))
        else:
            found.append(("operator", None))
    return found


def _rows_of_jacobian(
    vjp: Callable[[np.ndarray], tuple[np.ndarray | None, ...]], value: np.ndarray
) -> list[tuple[np.ndarray | None, ...]]:
    rows = []
    for place in range(value.size):
        one = np.zeros(value.size, dtype=value.dtype)
        one[place] = 1.0
        rows.append(vjp(one.reshape(value.shape)))
    return rows
