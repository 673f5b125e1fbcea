"""Landmarks: the same P points in every picture, each with a place and whether it can be seen.

The network gives x, y and a logit a point. The loss of a row is λ times the mean squared error of the points that can
be seen, in shares of the square, plus, where some points of the training rows are hidden, the mean binary cross
entropy of being seen.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import polars as pl
import torch
from torch import nn
from torch.nn import functional as F

from gradatim.data.augment import Follow
from gradatim.data.batch import Batch
from gradatim.data.codecs import codec_for
from gradatim.data.codecs.points import PointsCodec
from gradatim.data.schema import Column
from gradatim.errors import CellError, GradatimError
from gradatim.estimators.linear import Ridge
from gradatim.evaluate.placing import score_placing
from gradatim.evaluate.predictions import Predictions
from gradatim.tasks.placed import BOX_WEIGHT, NETWORK, PLACE_NET, from_square, square_of
from gradatim.tasks.task import note_unknown

SURE = 1e-6


@dataclass(frozen=True)
class Landmarks:
    """P points a picture. `target` is their column, `codec` its fitted codec, `picture` the column they lie in."""

    target: str
    codec: PointsCodec
    picture: str
    metric: str = "normalised_distance"
    name: str = field(default="landmarks", init=False)
    balanced: bool = field(default=False, init=False)
    encoders: Mapping[str, Any] = field(
        default_factory=lambda: {"image": {"address": PLACE_NET, "arguments": {}}}, init=False, repr=False)
    network: Mapping[str, Any] = field(default_factory=lambda: dict(NETWORK), init=False, repr=False)

    @classmethod
    def fit(
        cls, column: Column, cells: list[Any], *, picture: str, metric: str | None = None, class_weights: str = "auto"
    ) -> "Landmarks":
        """Read the number of points off the cells."""
        if class_weights == "balanced":
            raise GradatimError("--class-weights balanced: expected a target of classes, received points")
        codec = codec_for(column, target=True).fit(cells)
        assert isinstance(codec, PointsCodec)
        return cls(column.name, codec, picture, metric or "normalised_distance")

    @property
    def classes(self) -> list[Any]:
        """Empty: nothing is chosen among."""
        return []

    @property
    def outputs(self) -> int:
        """Three a point."""
        return 3 * self.codec.count

    @property
    def answer_shape(self) -> tuple[int, ...]:
        """x, y, probability of being seen, point by point."""
        return (self.outputs,)

    @property
    def loss_title(self) -> str:
        """What `row_losses` gives."""
        return "loss of places"

    @property
    def follow(self) -> Follow:
        """The points move with their picture."""
        return Follow("points", self.picture, self.codec.mirror or ())

    def labels(self, cells: list[Any]) -> np.ndarray:
        """As `placed_labels`, in pixels: every side is taken for 1."""
        return self.placed_labels(cells, np.ones(len(cells)))

    def placed_labels(self, cells: list[Any], sides: np.ndarray) -> np.ndarray:
        """x, y in units of the longer side and 1 or 0 (seen), point by point, then the side: float64 (N, 3P + 1).

        NaN in all of a row whose cell is missing, unreadable or has another number of points.
        """
        labels = np.full((len(cells), self.outputs + 1), np.nan)
        for row, cell in enumerate(cells):
            try:
                points = self.codec.encode(cell)[0]
            except CellError:
                continue
            if points is not None:
                placed = points.astype(np.float64)
                placed[:, :2] /= sides[row]
                labels[row] = *placed.ravel(), sides[row]
        return labels

    def objective(
        self, labels: np.ndarray, *, label_smoothing: float = 0.0
    ) -> Callable[[torch.Tensor, Batch], torch.Tensor]:
        """The mean of the loss above over the rows of a batch."""
        flags = labels[np.isfinite(labels[:, -1]), 2:-1:3]
        hidden_too = bool((flags < 0.5).any())

        def objective(output: torch.Tensor, batch: Batch) -> torch.Tensor:
            truth = batch.targets[self.target]
            assert isinstance(truth, dict)
            scale, shift, sides = (torch.from_numpy(part).float().to(output.device)
                                   for part in square_of(batch, self.picture))
            known = batch.present.get(self.target, torch.ones(len(batch), dtype=torch.bool)).to(output.device)
            wanted = truth["points"] * scale[:, None] + shift[:, None]
            losses = landmark_losses(output, wanted, truth["visible"] & torch.isfinite(sides)[:, None])
            if hidden_too:
                seen = output.view(len(batch), -1, 3)[..., 2]
                losses = losses + F.binary_cross_entropy_with_logits(
                    seen, truth["visible"].to(seen.dtype), reduction="none").mean(1)
            return (losses * known).sum() / known.sum().clamp(min=1)

        return objective

    def respond(self, network: nn.Module, batch: Batch) -> np.ndarray:
        """Answers to a batch, float64 (B, 3P)."""
        output = torch.sigmoid(network(batch.inputs, batch.present).double().cpu()).view(len(batch), -1, 3).numpy()
        answer = np.array(output)
        answer[..., :2] = from_square(output[..., :2], batch, self.picture)
        return answer.reshape(len(batch), -1)

    def calibrated(self, answer: np.ndarray, temperature: float) -> np.ndarray:
        """Left as it is."""
        return answer

    def in_pixels(self, answer: np.ndarray, sides: np.ndarray) -> np.ndarray:
        """The answer with x and y in pixels."""
        placed = answer.reshape(len(answer), -1, 3).copy()
        placed[..., :2] *= sides[:, None, None]
        return placed.reshape(len(answer), -1)

    def predictions(
        self, answer: np.ndarray, rows: Sequence[int] | np.ndarray, *, ids: Mapping[str, Any] | None = None
    ) -> Predictions:
        """What `in_pixels` gave as columns: the cell that would say so, then x1, y1, seen1, x2 …."""
        points = answer.reshape(len(answer), -1, 3)
        cells = [self.codec.write([point[:2] if point[2] > 0.5 else None for point in row]) for row in points]
        columns = {"prediction": pl.Series(cells, dtype=pl.String)}
        for number in range(points.shape[1]):
            columns |= {f"{name}{number + 1}": pl.Series(points[:, number, place])
                        for place, name in enumerate(("x", "y", "seen"))}
        return Predictions.of_columns(rows, columns, task=self.name, target=self.target, ids=ids)

    def score(self, answer: np.ndarray, labels: np.ndarray) -> dict[str, Any]:
        """Every metric with its interval on the rows whose cell is known; the others are counted in a note."""
        known = np.isfinite(labels[:, -1])
        notes = note_unknown(known, self.target)
        scores = score_placing(self.name, labels[known], answer[known])
        scores["notes"].extend(notes)
        return scores

    def constant(self, labels: np.ndarray) -> np.ndarray:
        """The answer that looks at nothing: the mean of each point, and how often it is seen."""
        return np.clip(self.regressed(labels).mean(axis=0) / self._weights(), SURE, 1 - SURE)

    def row_losses(self, answer: np.ndarray, labels: np.ndarray) -> np.ndarray:
        """λ · mean squared error of the seen points of each row, in units of the longer side, (N,)."""
        true, said = labels[:, :-1].reshape(len(labels), -1, 3), answer.reshape(len(answer), -1, 3)
        seen = true[..., 2] > 0.5
        squares = np.where(seen, ((said - true)[..., :2] ** 2).sum(-1), 0.0).sum(1)
        return BOX_WEIGHT * squares / np.maximum(seen.sum(1), 1)

    def regressed(self, labels: np.ndarray) -> np.ndarray:
        """Places and flags as numbers, (N, 3P); hidden points are at the mean of the seen ones."""
        targets = labels[:, :-1].reshape(len(labels), -1, 3).copy()
        for number in range(targets.shape[1]):
            seen = targets[:, number, 2] > 0.5
            middle = targets[seen, number, :2].mean(axis=0) if seen.any() else 0.5
            targets[~seen, number, :2] = middle
        return targets.reshape(len(labels), -1) * self._weights()

    def _weights(self) -> np.ndarray:
        return np.tile([BOX_WEIGHT**0.5, BOX_WEIGHT**0.5, 1.0], self.codec.count)

    def head(self) -> Any:
        """Ridge regression of all numbers at once."""
        return Ridge(alpha="auto")

    def trees(self, seed: int, categories: list[int]) -> Any:
        """None: trees give one number."""
        return None

    def estimator_answer(self, estimator: Any, features: Any) -> np.ndarray:
        """A regressor's numbers as an answer."""
        answer = np.asarray(estimator.predict(features), dtype=np.float64).reshape(features.shape[0], -1)
        return np.clip(answer / self._weights(), SURE, 1 - SURE)

    def tell(self, label: np.ndarray, answer: np.ndarray) -> dict[str, Any]:
        """Truth and answer of one row in words and as marks in pixels."""
        side = float(label[-1])
        points, words = [], []
        for of, row in (("true", label[:-1]), ("predicted", answer)):
            placed = np.asarray(row, dtype=np.float64).reshape(-1, 3)
            shown = []
            for number, (x, y, seen) in enumerate(placed):
                shown.append(f"{x * side:.0f}, {y * side:.0f}" if seen > 0.5 else "hidden")
                if seen > 0.5:
                    points.append({"of": of, "at": [round(x * side, 1), round(y * side, 1)], "label": str(number + 1)})
            words.append(" · ".join(shown))
        return {"true": words[0], "predicted": words[1], "probability": None,
                "marks": {"column": self.picture, "points": points}}

    def to_json(self) -> dict[str, Any]:
        """A JSON object that `from_json` reads back."""
        return {"task": self.name, "target": self.target, "codec": self.codec.to_json(), "picture": self.picture,
                "metric": self.metric}

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> "Landmarks":
        """Read what `to_json` wrote."""
        return cls(str(value["target"]), PointsCodec.from_json(value["codec"]), str(value["picture"]),
                   str(value["metric"]))


def landmark_losses(output: torch.Tensor, points: torch.Tensor, seen: torch.Tensor) -> torch.Tensor:
    """λ · mean squared error of the seen points of each row, (B,).

    output (B, 3P) before the sigmoids; points (B, P, 2) in shares of the square; seen bool (B, P).
    """
    said = torch.sigmoid(output.view(len(output), -1, 3)[..., :2])
    squares = (said - torch.where(seen[..., None], points, said.detach())).square().sum(-1)
    return BOX_WEIGHT * (squares * seen).sum(1) / seen.sum(1).clamp(min=1)
