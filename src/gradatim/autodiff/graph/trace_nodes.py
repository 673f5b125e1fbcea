"""What a trace consists of: an input, a call of a module, or an operation between modules."""

from dataclasses import dataclass, field

from gradatim.autodiff.graph.recording import Path, Values
from gradatim.autodiff.graph.units import Units


@dataclass(frozen=True)
class TraceNode:
    """One input, one call of a module, or one operation between modules.

    number: its place in the forward pass, from 1. name: the module's dotted name, `name.operation` for an operation,
    with ` (2)` for a second call. gradient: of the loss with respect to the values, None where none arrives. weights:
    names of the parameters that are used here.
    """

    number: int
    name: str
    kind: str
    path: Path = field(repr=False)
    parents: tuple[int, ...]
    shape: tuple[int, ...]
    values: Values | None
    gradient: Values | None
    units: Units | None
    weights: tuple[str, ...]
