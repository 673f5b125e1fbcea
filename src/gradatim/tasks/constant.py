"""The baseline that looks at nothing: class shares, or the mean."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from gradatim.models.outline import finite
from gradatim.tasks.source import Source


@dataclass(frozen=True, slots=True)
class Constant:
    """The same answer for every row: probabilities (C,) or a number ()."""

    value: np.ndarray
    columns: tuple[str, ...] = ()

    def answer(self, source: Source) -> np.ndarray:
        """The value, repeated for each row."""
        return self.answer_rows(source, np.arange(len(source)))

    def answer_rows(self, source: Source, rows: np.ndarray) -> np.ndarray:
        """The value, repeated for some rows."""
        return np.broadcast_to(self.value, (len(rows), *self.value.shape)).copy()

    def without(self, hidden: frozenset[str]) -> "Constant":
        """It looks at no column: itself."""
        return self

    def to_state(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """JSON state and arrays."""
        return {"member": "constant"}, {"value": np.atleast_1d(self.value)}

    @classmethod
    def from_state(
        cls, state: Mapping[str, Any], shapes: Mapping[str, Any], read: Callable[[str], torch.Tensor], task: Any
    ) -> "Constant":
        """Rebuild from state."""
        value = finite("value", read("value")).numpy()
        return cls(value if task.answer_shape else value[0])
