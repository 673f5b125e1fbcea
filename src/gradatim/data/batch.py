"""What the network sees: a batch of encoded cells by column name."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

# One column of a batch: a tensor, or a flat dict of tensors with lengths (text: ids, lengths).
Field = torch.Tensor | dict[str, torch.Tensor]


@dataclass(slots=True)
class Batch:
    """Encoded rows. Every tensor has the batch on its first axis.

    rows: row numbers in the table; inputs, targets: column name → Field; present: column name → bool (B,),
    False where the cell was missing or unreadable; context: column → what undoing needs, an entry a row (None where
    nothing is needed, or there is no cell).
    """

    rows: np.ndarray
    inputs: dict[str, Field]
    targets: dict[str, Field] = field(default_factory=dict)
    present: dict[str, torch.Tensor] = field(default_factory=dict)
    context: dict[str, list[Any]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.rows)

    def to(self, device: torch.device | str) -> "Batch":
        """The same batch on another device; itself when it is there already."""
        if str(device) == "cpu":
            return self
        return Batch(
            self.rows,
            {name: move(value, device) for name, value in self.inputs.items()},
            {name: move(value, device) for name, value in self.targets.items()},
            {name: value.to(device) for name, value in self.present.items()},
            self.context,
        )


def move(value: Field, device: torch.device | str) -> Field:
    """A Field on another device."""
    if isinstance(value, dict):
        return {name: tensor.to(device) for name, tensor in value.items()}
    return value.to(device)


def select(value: Field, rows: torch.Tensor) -> Field:
    """The given rows of a Field."""
    if isinstance(value, dict):
        return {name: tensor[rows] for name, tensor in value.items()}
    return value[rows]
