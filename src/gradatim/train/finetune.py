"""Fine-tuning: a pretrained body learns more slowly than the new head, and its layers thaw from the top down.

Source: Howard & Ruder, "Universal Language Model Fine-tuning for Text Classification", ACL 2018: discriminative rates
and gradual unfreezing. The early layers know edges and textures that every picture has, the late ones what the old
classes looked like: so the late ones must move first and furthest.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

BODY_RATE = 0.1  # of the head's rate, for the layers next to the head
SLOWER = 2.6  # each stage further down learns so many times more slowly (the paper's figure)
STAGES = 3
THAWED = 0.3  # of the steps are gone when the lowest stage begins to move


@dataclass(frozen=True, slots=True)
class Thaw:
    """When a parameter begins to move, and how fast: factor of the learning rate, first step (from 0)."""

    factor: float = 1.0
    first_step: int = 0


def thaw_schedule(names: Sequence[str], total_steps: int) -> dict[str, Thaw]:
    """Parameter name → Thaw, for the parameters of a pretrained body in order from the input to the output.

    >>> schedule = thaw_schedule(["stem", "middle", "top"], 100)
    >>> [(name, round(thaw.factor, 4), thaw.first_step) for name, thaw in schedule.items()]
    [('stem', 0.0148, 30), ('middle', 0.0385, 20), ('top', 0.1, 10)]
    """
    found = {}
    for place, name in enumerate(names):
        down = STAGES - 1 - place * STAGES // max(len(names), 1)  # 0 next to the head
        first = round(total_steps * THAWED * (down + 1) / STAGES)
        found[name] = Thaw(BODY_RATE / SLOWER**down, first)
    return found


def rate_of(group: Mapping[str, object], rate: float, step: float) -> float:
    """The rate of a parameter group at a step of the planned schedule: 0 before it thaws."""
    if step < int(group.get("first_step", 0)):  # type: ignore[call-overload]
        return 0.0
    return rate * float(group.get("factor", 1.0))  # type: ignore[arg-type]
