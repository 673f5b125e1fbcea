"""Regression: the target is a number; the network learns it standardised, by the Huber loss or the squared error."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from gradatim.data.batch import Batch
from gradatim.data.codecs.number import LARGEST, NumberCodec
from gradatim.data.schema import Column
from gradatim.errors import CellError, GradatimError
from gradatim.estimators.linear import Ridge
from gradatim.estimators.trees import BoostedTreesRegressor
from gradatim.evaluate.predictions import Predictions
from gradatim.evaluate.score import score_regression
from gradatim.tasks.task import note_unknown


@dataclass(frozen=True)
class Regression:
    """One number a row. `target` is the column, `codec` its fitted codec (mean and standard deviation)."""

    target: str
    codec: NumberCodec
    metric: str = "rmse"
    loss: str = "huber"
    name: str = field(default="regression", init=False)
    balanced: bool = field(default=False, init=False)

    @classmethod
    def fit(
        cls, column: Column, cells: list[Any], *, metric: str | None = None, class_weights: str = "auto"
    ) -> "Regression":
        """Learn mean and standard deviation of the target from the training cells."""
        if class_weights == "balanced":
            raise GradatimError("--class-weights balanced: expected a target of classes, received numbers")
        codec = NumberCodec(**{**column.options, "target": True}).fit(cells)
        return cls(column.name, codec, metric or "rmse", "huber" if metric in ("mae",) else "squared")

    @property
    def classes(self) -> list[Any]:
        """None for numbers: an empty list."""
        return []

    @property
    def outputs(self) -> int:
        """One number."""
        return 1

    @property
    def answer_shape(self) -> tuple[int, ...]:
        """One number."""
        return ()

    @property
    def loss_title(self) -> str:
        """What `row_losses` gives."""
        return "squared error in variances"

    def labels(self, cells: list[Any]) -> np.ndarray:
        """The numbers in their own unit, float64 (N,); NaN where missing or unreadable."""
        numbers = np.full(len(cells), np.nan)
        for row, cell in enumerate(cells):
            try:
                value = self.codec.parse(cell)
            except CellError:
                continue
            if value is not None:
                numbers[row] = min(max(value, -LARGEST), LARGEST)
        return numbers

    def objective(
        self, labels: np.ndarray, *, label_smoothing: float = 0.0
    ) -> Callable[[torch.Tensor, Batch], torch.Tensor]:
        """Mean squared error or Huber loss of the standardised target."""
        measure = F.huber_loss if self.loss == "huber" else F.mse_loss
        target = self.target

        def objective(output: torch.Tensor, batch: Batch) -> torch.Tensor:
            return measure(output[:, 0], batch.targets[target].to(output.dtype))  # type: ignore[union-attr]

        return objective

    def answer(self, output: torch.Tensor) -> np.ndarray:
        """Network output → numbers in the target's unit, float64 (N,)."""
        return output[:, 0].double().numpy() * self.codec.std + self.codec.mean

    def respond(self, network: nn.Module, batch: Batch) -> np.ndarray:
        """Numbers of a batch in the target's unit, float64 (B,)."""
        return self.answer(network(batch.inputs, batch.present).float().cpu())

    def predictions(
        self, answer: np.ndarray, rows: Sequence[int] | np.ndarray, *, ids: Mapping[str, Any] | None = None
    ) -> Predictions:
        """The numbers, one a row."""
        return Predictions.of_numbers(rows, answer, self.target, ids=ids)

    def score(self, answer: np.ndarray, labels: np.ndarray) -> dict[str, Any]:
        """Every metric with its interval on the rows whose number is known; the others are counted in a note."""
        known, answer = np.isfinite(labels), np.clip(answer, -LARGEST, LARGEST)  # as `labels`
        notes = note_unknown(known, self.target)
        scores = score_regression(labels[known], answer[known], training_mean=float(self.codec.mean))
        scores["notes"].extend(notes)
        return scores

    def constant(self, labels: np.ndarray) -> np.ndarray:
        """The answer that looks at nothing: the mean."""
        return np.array(np.nanmean(labels))

    def row_losses(self, answer: np.ndarray, labels: np.ndarray) -> np.ndarray:
        """Squared error of each row in units of the target's variance."""
        return ((answer - labels) / self.codec.std) ** 2

    def head(self) -> Any:
        """The closed-form head: ridge regression, strength chosen by leave-one-out."""
        return Ridge(alpha="auto")

    def trees(self, seed: int, categories: list[int]) -> Any:
        """Gradient-boosted trees, the outside candidate on tables; `categories` are the columns of codes."""
        return BoostedTreesRegressor(random_state=seed, categorical_features=categories)

    def estimator_answer(self, estimator: Any, features: Any) -> np.ndarray:
        """The estimator's numbers, (N,)."""
        return np.asarray(estimator.predict(features), dtype=np.float64)

    def calibrated(self, answer: np.ndarray, temperature: float) -> np.ndarray:
        """Numbers carry no temperature."""
        return answer

    def to_json(self) -> dict[str, Any]:
        """A JSON object that `from_json` reads back."""
        return {"task": self.name, "target": self.target, "codec": self.codec.to_json(), "metric": self.metric,
                "loss": self.loss}

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> "Regression":
        """Read what `to_json` wrote."""
        return cls(str(value["target"]), NumberCodec.from_json(value["codec"]), str(value["metric"]),
                   str(value["loss"]))
