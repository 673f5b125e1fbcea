"""Nodes and edges of a computation graph, and what its drawing needs of the whole."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from gradatim.autodiff.graph.amounts import array_text


@dataclass(frozen=True)
class Edge:
    """From a node to one that reads it: the local derivative, and what it hands back.

    local: ∂target/∂source, in the shape that `kind` says. kind: "number"; "gradient" (the target is one number, local
    has the source's shape); "elementwise" (same shapes, the diagonal of the Jacobian); "jacobian" (target's size ×
    source's size); "operator" (too large to write out, local is None); "constant" (no gradient goes there).
    passed: dJ/dtarget · local, in the source's shape.
    """

    source: int
    target: int
    kind: str
    local: np.ndarray | None = field(repr=False)
    passed: np.ndarray | None = field(repr=False)


@dataclass(frozen=True)
class Node:
    """One value: its number in the order of the forward pass, name, operation and parents, value and gradient.

    label: what others call it, its name or a short formula; formula: what was done, "" for a leaf.
    """

    number: int
    name: str
    operation: str
    label: str
    formula: str
    parents: tuple[int, ...]
    value: np.ndarray = field(repr=False)
    gradient: np.ndarray | None = field(repr=False)
    constant: bool
    exponent: float | None = None  # of a power by a plain number

    @property
    def title(self) -> str:
        """Name and formula, as far as there are both."""
        return f"{self.name} = {self.formula}" if self.name and self.formula else self.label


class NodesAndEdges(Protocol):
    """A computation graph as its drawing sees it: nodes in forward order, edges, the name of the result."""

    @property
    def nodes(self) -> Sequence[Node]:
        """In forward order."""
        ...

    @property
    def edges(self) -> Sequence[Edge]:
        """In the order of their targets."""
        ...

    @property
    def label(self) -> str:
        """What the result is called."""
        ...


def local_text(edge: Edge, *, minus: str = "-") -> str:
    """The local derivative in a few characters."""
    if edge.local is None:
        return "" if edge.kind == "constant" else "Jacobian"
    if edge.kind == "elementwise" and edge.local.size > 1 and np.ptp(edge.local) == 0:
        return array_text(edge.local.reshape(-1)[0], minus=minus)  # the same number everywhere
    prefix = "Jacobian " if edge.kind == "jacobian" and edge.local.size > 4 else ""
    return prefix + array_text(edge.local, minus=minus)
