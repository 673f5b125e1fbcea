"""Classification: the target is a category; the answer is a probability for each class.

C = 2 classes: one logit a, P(class 1) = σ(a), binary cross entropy. C > 2: softmax and cross entropy.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from gradatim.data.batch import Batch
from gradatim.data.codecs.category import CategoryCodec
from gradatim.data.schema import Column
from gradatim.estimators.logistic import LogisticRegression
from gradatim.estimators.trees import BoostedTreesClassifier
from gradatim.evaluate.calibrate import apply_temperature
from gradatim.evaluate.predictions import Predictions
from gradatim.evaluate.score import score_classification
from gradatim.tasks.task import note_unknown

SMALLEST_PROBABILITY = 1e-7


@dataclass(frozen=True)
class Classification:
    """One label out of C classes. `target` is the column, `codec` its fitted codec, `metric` what the user chose."""

    target: str
    codec: CategoryCodec
    metric: str = "accuracy"
    balanced: bool = False
    name: str = field(default="classification", init=False)

    @classmethod
    def fit(
        cls, column: Column, cells: list[Any], *, metric: str | None = None, class_weights: str = "auto"
    ) -> "Classification":
        """Read the classes off the labelled cells; `weighted` says what `class_weights` means."""
        written = {name: column.options[name] for name in ("spelling", "dtype") if name in column.options}
        codec = CategoryCodec(target=True, **written).fit(cells)
        return cls(column.name, codec, metric or "accuracy").weighted(cells, class_weights)

    def weighted(self, cells: list[Any], class_weights: str = "auto") -> "Classification":
        """The task that weighs its classes or not, as these cells, which are to be those of training rows, ask for.

        class_weights: "balanced": every class weighs the same in the loss, N / (C · n_c) a row; "none"; "auto":
        balanced when the metric asks for it (balanced accuracy, macro F1) and the commonest class has over three times
        the rows of the rarest, because weights cost accuracy and calibration where these are what counts.
        """
        labels = self.labels(cells)
        counts = np.bincount(labels[labels >= 0], minlength=len(self.classes))
        seen = counts[counts > 0]  # a class without a training row has no weight
        skewed = len(seen) > 0 and seen.min() * 3 < seen.max()
        asked = self.metric in ("balanced_accuracy", "f1_macro") and skewed
        return replace(self, balanced=bool(asked if class_weights == "auto" else class_weights == "balanced"))

    @property
    def classes(self) -> list[Any]:
        """The class labels in their original spelling, in the order of the probabilities."""
        return list(self.codec.classes)

    @property
    def outputs(self) -> int:
        """How many numbers the network gives: one logit for two classes, else one a class."""
        return 1 if len(self.classes) == 2 else len(self.classes)

    @property
    def answer_shape(self) -> tuple[int, ...]:
        """A probability for each class."""
        return (len(self.classes),)

    @property
    def loss_title(self) -> str:
        """What `row_losses` gives."""
        return "log loss"

    def labels(self, cells: list[Any]) -> np.ndarray:
        """Class numbers, int64 (N,); −1 where the cell is missing or of no known class."""
        found: dict[Any, int] = {}
        for cell in {(type(cell), cell) for cell in cells}:
            place = self.codec.find(cell[1])
            if place is None and isinstance(cell[1], str):
                place = self.codec.find(cell[1].strip())
            found[cell] = -1 if place is None else place
        return np.array([found[type(cell), cell] for cell in cells], dtype=np.int64)

    def objective(
        self, labels: np.ndarray, *, label_smoothing: float = 0.0
    ) -> Callable[[torch.Tensor, Batch], torch.Tensor]:
        """The mean cross entropy (eq. of binary cross entropy for one logit), weighted by class when skewed."""
        weight = torch.tensor(self.class_weights(labels), dtype=torch.float32) if self.balanced else None
        target = self.target

        def binary(output: torch.Tensor, batch: Batch) -> torch.Tensor:
            truth = batch.targets[target].to(output.dtype)  # type: ignore[union-attr]
            smooth = truth * (1 - label_smoothing) + label_smoothing / 2
            row_weight = None if weight is None else weight.to(output.device)[truth.round().long()]
            return F.binary_cross_entropy_with_logits(output[:, 0], smooth, weight=row_weight)

        def softmax(output: torch.Tensor, batch: Batch) -> torch.Tensor:
            class_weight = None if weight is None else weight.to(output.device)
            truth = batch.targets[target]
            return F.cross_entropy(output, truth, weight=class_weight, label_smoothing=label_smoothing)  # type: ignore[arg-type]

        return binary if self.outputs == 1 else softmax

    def class_weights(self, labels: np.ndarray) -> np.ndarray:
        """N / (C · n_c): every class weighs the same in the sum, float64 (C,)."""
        counts = np.bincount(labels[labels >= 0], minlength=len(self.classes)).clip(1)
        return counts.sum() / (len(self.classes) * counts)

    def answer(self, output: torch.Tensor) -> np.ndarray:
        """Network output → probabilities, float64 (N, C)."""
        logits = output.double()
        if self.outputs == 1:
            one = torch.sigmoid(logits[:, 0])
            return torch.stack([1 - one, one], dim=1).numpy()
        return torch.softmax(logits, dim=1).numpy()

    def respond(self, network: nn.Module, batch: Batch) -> np.ndarray:
        """Probabilities of a batch, float64 (B, C)."""
        return self.answer(network(batch.inputs, batch.present).float().cpu())

    def predictions(
        self, answer: np.ndarray, rows: Sequence[int] | np.ndarray, *, ids: Mapping[str, Any] | None = None
    ) -> Predictions:
        """The most probable class in its original spelling, and the probability of each."""
        return Predictions.of_classes(rows, answer, self.classes, self.target, ids=ids, cells=self.codec.cells)

    def score(self, answer: np.ndarray, labels: np.ndarray) -> dict[str, Any]:
        """Every metric with its interval on the rows whose label is known; the others are counted in a note."""
        known = labels >= 0
        notes = note_unknown(known, self.target)
        scores = score_classification(labels[known], answer[known], self.classes)
        scores["notes"].extend(notes)
        return scores

    def constant(self, labels: np.ndarray) -> np.ndarray:
        """The answer that looks at nothing: the class shares, (C,)."""
        counts = np.bincount(labels[labels >= 0], minlength=len(self.classes)).astype(np.float64)
        return (counts + 1e-3) / (counts + 1e-3).sum()

    def row_losses(self, answer: np.ndarray, labels: np.ndarray) -> np.ndarray:
        """−log probability of the true class of each row."""
        picked = answer[np.arange(len(labels)), labels]
        losses = -np.log(np.clip(picked, SMALLEST_PROBABILITY, 1.0))
        return losses * self.class_weights(labels)[labels] if self.balanced else losses

    def head(self) -> Any:
        """The convex head: logistic regression whose strength of regularisation is chosen inside."""
        return LogisticRegression(C="auto", class_weight="balanced" if self.balanced else None)

    def trees(self, seed: int, categories: list[int]) -> Any:
        """Gradient-boosted trees, the outside candidate on tables; `categories` are the columns of codes."""
        return BoostedTreesClassifier(
            random_state=seed, categorical_features=categories, class_weight="balanced" if self.balanced else None
        )

    def estimator_answer(self, estimator: Any, features: Any) -> np.ndarray:
        """Probabilities of an estimator spread over all classes (it may not have seen some), (N, C)."""
        answer = np.full((features.shape[0], len(self.classes)), SMALLEST_PROBABILITY)
        answer[:, np.asarray(estimator.classes_, dtype=np.int64)] = _probabilities(estimator, features)
        return answer / answer.sum(axis=1, keepdims=True)

    def calibrated(self, answer: np.ndarray, temperature: float) -> np.ndarray:
        """softmax(log p / T)."""
        return answer if temperature == 1.0 else apply_temperature(answer, temperature)

    def to_json(self) -> dict[str, Any]:
        """A JSON object that `from_json` reads back."""
        return {"task": self.name, "target": self.target, "codec": self.codec.to_json(), "metric": self.metric,
                "balanced": self.balanced}

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> "Classification":
        """Read what `to_json` wrote."""
        return cls(str(value["target"]), CategoryCodec.from_json(value["codec"]), str(value["metric"]),
                   bool(value["balanced"]))


def _probabilities(estimator: Any, features: Any) -> np.ndarray:
    """Those of the estimator; the softmax (two classes: the sigmoid) of its decision values where it has none.

    The temperature that is fitted on held-out rows then sets how sure they are (Platt scaling without an offset).
    """
    if hasattr(estimator, "predict_proba"):
        return np.asarray(estimator.predict_proba(features))
    if not hasattr(estimator, "decision_function"):
        guesses = np.asarray(estimator.predict(features))
        return (guesses[:, None] == np.asarray(estimator.classes_)).astype(np.float64)
    values = torch.from_numpy(np.array(estimator.decision_function(features), dtype=np.float64))
    if values.ndim == 1:
        values = torch.stack([torch.zeros_like(values), values], dim=1)
    return torch.softmax(values, dim=1).numpy()
