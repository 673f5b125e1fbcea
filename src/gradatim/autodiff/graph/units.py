"""Units that have stopped learning: a ReLU that is never active, a sigmoid or tanh whose slope has gone.

Where the slope is 0 no gradient passes, so a ReLU unit that is silent on every row stays silent (unless what feeds it
moves). A sigmoid or tanh is called saturated where its slope is under a twentieth of its steepest: |tanh| > 0.9747,
sigmoid outside 0.0127 … 0.9873; clipped functions where they are clipped.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

FLAT = 0.05
TANH_EDGE = math.sqrt(1.0 - FLAT)
SIGMOID_EDGE = (1.0 - math.sqrt(1.0 - FLAT)) / 2.0
FIXED: dict[str, tuple[float | None, float | None]] = {
    "relu": (0.0, None), "relu6": (0.0, 6.0), "tanh": (-TANH_EDGE, TANH_EDGE), "hardsigmoid": (0.0, 1.0),
    "sigmoid": (SIGMOID_EDGE, 1.0 - SIGMOID_EDGE),
}


@dataclass(frozen=True)
class Units:
    """Share of dead units (None: not of that kind), share of saturated values, and how many values a unit was seen at.

    A unit of a picture is a channel: dead only if it is silent at every place of every picture.
    """

    dead: float | None
    saturated: float | None
    seen: int


def units_of(operation: str, result: torch.Tensor, axis: int | None, args: Sequence[Any] = (),
             kwargs: Mapping[str, Any] | None = None) -> Units | None:
    """What an activation's result says about its units; None for operations without such units.

    axis: where the units are; None: 1 for pictures (four axes or more), else the last. args, kwargs: those of the
    operation, for the bounds of a clipped one.

    >>> units_of("relu", torch.tensor([[1.0, 0.0], [2.0, 0.0]]), -1)
    Units(dead=0.5, saturated=None, seen=2)
    """
    low, high = bounds_of(operation, args, kwargs or {})
    if result.ndim < 2 or result.numel() == 0 or (low is None and high is None):
        return None
    place = axis if axis is not None and axis < result.ndim else 1 if result.ndim >= 4 else -1
    rows = result.movedim(place, 0).flatten(1)
    silent = low == 0.0 and operation != "hardsigmoid"  # a floor of 0 is what a ReLU has
    dead = float((rows <= 0).all(dim=1).float().mean()) if silent else None
    flat = torch.zeros_like(rows, dtype=torch.bool)
    if low is not None and not silent:
        flat |= rows <= low
    if high is not None:
        flat |= rows >= high
    saturated = None if silent and high is None else float(flat.float().mean())
    return Units(dead, saturated, rows.shape[1])


def bounds_of(operation: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> tuple[float | None, float | None]:
    """Below the first and above the second the slope has gone; None where there is no such bound.

    >>> bounds_of("relu", (), {}), bounds_of("hardtanh", (None, 0.0, 6.0), {}), bounds_of("gelu", (), {})
    ((0.0, None), (0.0, 6.0), (None, None))
    """
    if operation in FIXED:
        return FIXED[operation]
    names = {"hardtanh": ("min_val", "max_val"), "clamp": ("min", "max"), "clip": ("min", "max"),
             "clamp_min": ("min", ""), "clamp_max": ("", "max")}.get(operation)
    if names is None:
        return None, None
    given = list(args[1:3])
    if operation == "clamp_max":
        given = [None, *given]
    defaults = (-1.0, 1.0) if operation == "hardtanh" else (None, None)
    found = [given[place] if place < len(given) else kwargs.get(name, default)
             for place, (name, default) in enumerate(zip(names, defaults))]
    low, high = (float(bound) if isinstance(bound, int | float) else None for bound in found)
    return low, high
