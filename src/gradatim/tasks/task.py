"""What a task is: the face by which a run, its members and the artifact know it, and what supervised tasks add.

A task is picked by the kind of the target. It knows how cells become the truth, how a network's output becomes an
answer, which columns the predictions have, and how they are scored. Nothing is inherited: any class that has these
methods is a task, once `gradatim.tasks.TASKS` names it.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, Self

import numpy as np
import torch
from torch import nn

from gradatim.data.batch import Batch
from gradatim.data.codecs import Codec
from gradatim.errors import DataError
from gradatim.evaluate.predictions import Predictions


class Task(Protocol):
    """What a run needs of any task. An answer is an array with an entry a row, of the shape that the task likes."""

    @property
    def name(self) -> str:
        """As `--task` and the artifact call it."""
        ...

    @property
    def target(self) -> str | None:
        """The target column; None where nothing is given to learn from."""
        ...

    @property
    def classes(self) -> list[Any]:
        """What the answer chooses among, in its order; empty where it does not choose."""
        ...

    @property
    def metric(self) -> str:
        """The one of the scores that counts."""
        ...

    def labels(self, cells: list[Any]) -> np.ndarray:
        """The truth in the cells of the target, an entry a row."""
        ...

    def respond(self, network: nn.Module, batch: Batch) -> np.ndarray:
        """A network's answers to the rows of a batch; called in eval mode, without gradients."""
        ...

    def calibrated(self, answer: np.ndarray, temperature: float) -> np.ndarray:
        """The answer at a temperature, itself where it has none."""
        ...

    def predictions(
        self, answer: np.ndarray, rows: Sequence[int] | np.ndarray, *, ids: Mapping[str, Any] | None = None
    ) -> Predictions:
        """The answer as a frame with the columns that belong to the task."""
        ...

    def score(self, answer: np.ndarray, labels: np.ndarray) -> dict[str, Any]:
        """{"metrics": {name: {"value", …}}, "notes": […], …} on the rows whose label is known."""
        ...

    def to_json(self) -> dict[str, Any]:
        """A JSON object with "task": name, that `from_json` reads back."""
        ...

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Self:
        """Read what `to_json` wrote."""
        ...


class SupervisedTask(Task, Protocol):
    """What the line of `fit_supervised` needs besides: baselines, a head, an objective, a loss to choose by."""

    @property
    def target(self) -> str:
        """The target column."""
        ...

    @property
    def codec(self) -> Codec[Any]:
        """The fitted codec of the target."""
        ...

    @property
    def outputs(self) -> int:
        """How many numbers the network gives."""
        ...

    @property
    def answer_shape(self) -> tuple[int, ...]:
        """Shape of one row's answer."""
        ...

    @property
    def loss_title(self) -> str:
        """What `row_losses` gives, in words."""
        ...

    def objective(
        self, labels: np.ndarray, *, label_smoothing: float = 0.0
    ) -> Callable[[torch.Tensor, Batch], torch.Tensor]:
        """The mean loss of a batch's rows given the network's output."""
        ...

    def constant(self, labels: np.ndarray) -> np.ndarray:
        """The answer that looks at nothing."""
        ...

    def row_losses(self, answer: np.ndarray, labels: np.ndarray) -> np.ndarray:
        """The loss of each row, by which candidates are compared."""
        ...

    def head(self) -> Any:
        """The convex head on cheap features."""
        ...

    def trees(self, seed: int, categories: list[int]) -> Any:
        """Gradient-boosted trees on the columns of a table; None where they cannot answer."""
        ...

    def estimator_answer(self, estimator: Any, features: Any) -> np.ndarray:
        """The answer of a fitted estimator."""
        ...


def note_unknown(known: np.ndarray, target: str) -> list[str]:
    """What to say of the rows whose label is not known, bool (N,); DataError when none is."""
    if not known.any():
        raise DataError(f"expected labels of '{target}' that the run knows, found none among {len(known)} rows")
    lost = int((~known).sum())
    return [f"{lost} rows without a label that the run knows were not scored"] if lost else []
