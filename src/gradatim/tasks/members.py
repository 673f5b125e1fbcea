"""The members of an answer: what has been fitted, can answer a table, and can be saved; and their weighted average.

A head is a convex estimator on cheap features; trees stand on numbers and categories; a network takes the encoded
cells; the constant looks at nothing. All have the same face: `answer(source)`, `to_state()`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from gradatim.errors import ArtifactError
from gradatim.tasks.classification import Classification
from gradatim.tasks.constant import Constant
from gradatim.tasks.heads import Head
from gradatim.tasks.network import NetworkMember
from gradatim.tasks.regression import Regression
from gradatim.tasks.source import Source
from gradatim.tasks.tables import Trees

Task = Classification | Regression
Member = Constant | Head | Trees | NetworkMember
MEMBERS: dict[str, Any] = {"constant": Constant, "head": Head, "trees": Trees, "network": NetworkMember}


def member_from_state(
    state: Mapping[str, Any],
    shapes: Mapping[str, tuple[int, ...]],
    read: Callable[[str], torch.Tensor],
    task: Task,
) -> Member:
    """Rebuild a member; `shapes` come from the header of the weights, `read` takes one tensor from them."""
    if state.get("member") not in MEMBERS:
        raise ArtifactError(f"expected a member among {', '.join(MEMBERS)}, found {state.get('member')!r}")
    return MEMBERS[state["member"]].from_state(state, shapes, read, task)


@dataclass(frozen=True, slots=True)
class Ensemble:
    """The weighted average of members' answers, then the temperature that was fitted on development rows."""

    members: tuple[Member, ...]
    weights: tuple[float, ...]
    task: Task
    temperature: float = 1.0

    def answer(self, source: Source) -> np.ndarray:
        """Probabilities (N, C), or numbers (N,)."""
        total: np.ndarray | None = None
        for member, weight in zip(self.members, self.weights):
            if weight == 0:
                continue
            part = weight * member.answer(source)
            total = part if total is None else total + part
        assert total is not None, "an ensemble has at least one member with a weight"
        return self.task.calibrated(total / sum(self.weights), self.temperature)

    @property
    def columns(self) -> tuple[str, ...]:
        """Every input column that some member looks at."""
        return tuple(dict.fromkeys(name for member in self.members for name in member.columns))
