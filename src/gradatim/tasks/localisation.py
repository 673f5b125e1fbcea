"""Classification with localisation: is there an object, where is its box, what is it; one head says all of it.

The network gives p_c, b_x, b_y, b_w, b_h and c_1 … c_C. With y = 1 (there is an object) the loss is
L = l(p_c, 1) + λ Σ (b − b̂)² + H(c, ĉ), with y = 0 it is l(p_c, 0) alone: where nothing is, it does not matter which box
and class are named. l is the binary cross entropy and H the cross entropy (loss='cross_entropy'), or all are squared
errors, as the textbook form of this loss has it (loss='squared', then λ = 1 and every unit weighs alike). Boxes are in
shares of the square that the network sees, b_x and b_y the middle.
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
from gradatim.data.codecs.boxes import BoxesCodec
from gradatim.data.places import centred, cornered, overlap
from gradatim.data.schema import Column
from gradatim.errors import CellError, GradatimError, SchemaError
from gradatim.estimators.linear import Ridge
from gradatim.evaluate.placing import score_placing
from gradatim.evaluate.predictions import PROBABILITY, Predictions
from gradatim.tasks.placed import BOX_WEIGHT, NETWORK, PLACE_NET, from_square, square_of
from gradatim.tasks.task import note_unknown

SURE = 1e-6  # probabilities stay so far from 0 and 1
OVERLAP_WEIGHT = 4.0  # of 1 − IoU, where answers are compared: one for each number of the box
LOSSES = ("cross_entropy", "squared")


@dataclass(frozen=True)
class Localisation:
    """At most one box a picture. `target` is its column, `codec` the fitted codec, `picture` that of the pictures."""

    target: str
    codec: BoxesCodec
    picture: str
    metric: str = "iou"
    loss: str = "cross_entropy"
    name: str = field(default="localisation", init=False)
    balanced: bool = field(default=False, init=False)
    encoders: Mapping[str, Any] = field(
        default_factory=lambda: {"image": {"address": PLACE_NET, "arguments": {}}}, init=False, repr=False)
    network: Mapping[str, Any] = field(default_factory=lambda: dict(NETWORK), init=False, repr=False)

    @classmethod
    def fit(
        cls, column: Column, cells: list[Any], *, picture: str, metric: str | None = None, class_weights: str = "auto"
    ) -> "Localisation":
        """Read the classes off the boxes. Raises SchemaError where a row has several boxes."""
        if class_weights == "balanced":
            raise GradatimError("--class-weights balanced: expected a target of classes, received boxes")
        codec = codec_for(column, target=True).fit(cells)
        assert isinstance(codec, BoxesCodec)
        several = [row for row, boxes in enumerate(_read(codec, cells)) if boxes is not None and len(boxes) > 1]
        if several:
            raise SchemaError(f"target '{column.name}': expected at most one box a row, found {len(several):,} rows "
                              f"with more (the first has number {several[0]}); keep the one that matters")
        return cls(column.name, codec, picture, metric or "iou")

    @property
    def classes(self) -> list[Any]:
        """Empty: an answer is no choice among classes alone. Those of the boxes are in the codec."""
        return []

    @property
    def box_classes(self) -> list[str]:
        """The labels of boxes that are predicted; none where all have the same."""
        return self.codec.classes if len(self.codec.classes) > 1 else []

    @property
    def outputs(self) -> int:
        """p_c, four of the box, one a class."""
        return 5 + len(self.box_classes)

    @property
    def answer_shape(self) -> tuple[int, ...]:
        """p_c, centre x, centre y, width, height, probabilities."""
        return (self.outputs,)

    @property
    def loss_title(self) -> str:
        """What `row_losses` gives."""
        return "loss of object, box and class"

    @property
    def follow(self) -> Follow:
        """The box moves with its picture."""
        return Follow("boxes", self.picture)

    def labels(self, cells: list[Any]) -> np.ndarray:
        """As `placed_labels`, in pixels: every side is taken for 1."""
        return self.placed_labels(cells, np.ones(len(cells)))

    def placed_labels(self, cells: list[Any], sides: np.ndarray) -> np.ndarray:
        """1 or 0, centre x, centre y, width, height in units of the longer side, class, side: float64 (N, 7).

        NaN in all of a row whose cell is missing or unreadable, in the box where there is no object; of several boxes
        the largest; class −1 where it is not known.
        """
        labels = np.full((len(cells), 7), np.nan)
        for row, boxes in enumerate(_read(self.codec, cells)):
            if boxes is None:
                continue
            labels[row] = 0, *[np.nan] * 4, -1, sides[row]
            if boxes:
                box = max(boxes, key=lambda found: (found[2] - found[0]) * (found[3] - found[1]))
                number = self.codec.classes.index(box[4]) if box[4] in self.codec.classes else -1
                labels[row, 0], labels[row, 5] = 1, number
                labels[row, 1:5] = centred(np.array(box[:4])) / sides[row]
        return labels

    def objective(
        self, labels: np.ndarray, *, label_smoothing: float = 0.0
    ) -> Callable[[torch.Tensor, Batch], torch.Tensor]:
        """The mean of the loss above over the rows of a batch."""

        def objective(output: torch.Tensor, batch: Batch) -> torch.Tensor:
            present, boxes, classes, known = self.truth(batch)
            losses = localisation_losses(output, present, boxes, classes, squared=self.loss == "squared",
                                         label_smoothing=label_smoothing)
            return (losses * known).sum() / known.sum().clamp(min=1)

        return objective

    def truth(self, batch: Batch) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
        """y (B,), boxes (B, 4) as centre and size in shares of the square, class numbers (B,), which rows count."""
        truth = batch.targets[self.target]
        assert isinstance(truth, dict)
        scale, shift, sides = (torch.from_numpy(part).float().to(truth["corners"].device)
                               for part in square_of(batch, self.picture))
        corners = truth["corners"][:, 0].view(-1, 2, 2) * scale[:, None] + shift[:, None]
        known = batch.present.get(self.target, torch.ones(len(batch), dtype=torch.bool))
        present = (truth["lengths"] > 0).float()
        # Where the picture is missing nothing can be placed: the row teaches how often there is an object, no more.
        boxes = torch.where(torch.isfinite(sides)[:, None], centred(corners.flatten(1)), torch.nan)
        return present, boxes, truth["labels"][:, 0], known.to(present.device).float()

    def respond(self, network: nn.Module, batch: Batch) -> np.ndarray:
        """Answers to a batch, float64 (B, outputs)."""
        output = network(batch.inputs, batch.present).double().cpu()
        boxes = cornered(torch.sigmoid(output[:, 1:5]).numpy()).reshape(-1, 2, 2)
        placed = centred(from_square(boxes, batch, self.picture).reshape(-1, 4))
        classes = torch.softmax(output[:, 5:], dim=1).numpy()
        return np.concatenate([torch.sigmoid(output[:, :1]).numpy(), placed, classes], axis=1)

    def calibrated(self, answer: np.ndarray, temperature: float) -> np.ndarray:
        """Left as it is."""
        return answer

    def in_pixels(self, answer: np.ndarray, sides: np.ndarray) -> np.ndarray:
        """The answer with the box as left, top, right, bottom in pixels."""
        placed = answer.copy()
        placed[:, 1:5] = cornered(answer[:, 1:5]) * sides[:, None]
        return placed

    def predictions(
        self, answer: np.ndarray, rows: Sequence[int] | np.ndarray, *, ids: Mapping[str, Any] | None = None
    ) -> Predictions:
        """What `in_pixels` gave as columns: the cell that would say so, p_c, corners, probabilities of classes."""
        cells = [self.codec.write([[*row[1:5], *self._label(row)]] if row[0] > 0.5 else []) for row in answer]
        columns = {"prediction": pl.Series(cells, dtype=pl.String), "object": pl.Series(answer[:, 0])}
        sides = ("left", "top", "right", "bottom")
        columns |= {name: pl.Series(answer[:, 1 + place]) for place, name in enumerate(sides)}
        columns |= {f"{PROBABILITY}{name}": pl.Series(answer[:, 5 + place])
                    for place, name in enumerate(self.box_classes)}
        return Predictions.of_columns(rows, columns, task=self.name, target=self.target, ids=ids)

    def _label(self, row: np.ndarray) -> list[str]:
        """The most probable class in a list; the only one where there is one; empty where there are none."""
        return [self.box_classes[int(row[5:].argmax())]] if self.box_classes else list(self.codec.classes)

    def score(self, answer: np.ndarray, labels: np.ndarray) -> dict[str, Any]:
        """Every metric with its interval on the rows whose cell is known; the others are counted in a note."""
        known = np.isfinite(labels[:, 0])
        notes = note_unknown(known, self.target)
        scores = score_placing(self.name, labels[known], answer[known], self.codec.classes)
        scores["notes"].extend(notes)
        return scores

    def constant(self, labels: np.ndarray) -> np.ndarray:
        """The answer that looks at nothing: shares of objects and classes, the mean box."""
        return np.clip(self.regressed(labels).mean(axis=0) / self._weights(), SURE, 1 - SURE)

    def row_losses(self, answer: np.ndarray, labels: np.ndarray) -> np.ndarray:
        """By which answers are compared, (N,): the cross entropies of the loss, and the overlap in place of squares.

        The average of two boxes is a box at neither place: its squared error may be less while its overlap is as well.
        """
        there = labels[:, 0] > 0.5
        sure = np.clip(answer[:, 0], SURE, 1 - SURE)
        losses = -np.log(np.where(there, sure, 1 - sure))
        losses[there] += OVERLAP_WEIGHT * (1 - overlap(cornered(answer[there, 1:5]), cornered(labels[there, 1:5])))
        if self.box_classes:
            known = there & (labels[:, 5] >= 0)
            picked = answer[known, 5 + labels[known, 5].astype(np.int64)]
            losses[known] -= np.log(np.clip(picked, SURE, 1.0))
        return losses

    def regressed(self, labels: np.ndarray) -> np.ndarray:
        """p_c, box and one-hot class as numbers, (N, outputs); boxes that are not there are the mean one, and all are
        weighted as in the loss."""
        there = labels[:, 0] > 0.5
        targets = np.zeros((len(labels), self.outputs))
        targets[:, 0] = there
        mean = np.nanmean(labels[there, 1:5], axis=0) if there.any() else np.array([0.5, 0.5, 0.5, 0.5])
        targets[:, 1:5] = np.where(there[:, None], labels[:, 1:5], mean)
        if self.box_classes:
            known = there & (labels[:, 5] >= 0)
            targets[known, 5 + labels[known, 5].astype(np.int64)] = 1
            targets[~known, 5:] = targets[known, 5:].mean(axis=0) if known.any() else 1 / len(self.box_classes)
        return targets * self._weights()

    def _weights(self) -> np.ndarray:
        return np.array([1.0, *[BOX_WEIGHT**0.5] * 4, *[1.0] * len(self.box_classes)])

    def head(self) -> Any:
        """Ridge regression of all numbers at once."""
        return Ridge(alpha="auto")

    def trees(self, seed: int, categories: list[int]) -> Any:
        """None: trees give one number."""
        return None

    def estimator_answer(self, estimator: Any, features: Any) -> np.ndarray:
        """A regressor's numbers as an answer."""
        answer = np.asarray(estimator.predict(features), dtype=np.float64) / self._weights()
        answer = np.clip(answer, SURE, 1 - SURE)
        if self.box_classes:
            answer[:, 5:] /= answer[:, 5:].sum(axis=1, keepdims=True)
        return answer

    def tell(self, label: np.ndarray, answer: np.ndarray) -> dict[str, Any]:
        """Truth and answer of one row in words and as marks in pixels."""
        side = float(label[6])
        boxes, words = [], []
        for of, there, box, names in (
            ("true", label[0] > 0.5, label[1:5], [self.codec.classes[int(label[5])]] if label[5] >= 0 else []),
            ("predicted", answer[0] > 0.5, answer[1:5], self._label(answer)),
        ):
            corners = [round(float(value), 1) for value in cornered(np.asarray(box, dtype=np.float64)) * side]
            text = ", ".join(f"{value:.0f}" for value in corners)
            words.append(" ".join([*names, f"[{text}]"]) if there else "no object")
            if there:
                boxes.append({"of": of, "corners": corners, "label": "".join(names)})
        return {"true": words[0], "predicted": words[1], "probability": float(answer[0]),
                "marks": {"column": self.picture, "boxes": boxes}}

    def to_json(self) -> dict[str, Any]:
        """A JSON object that `from_json` reads back."""
        return {"task": self.name, "target": self.target, "codec": self.codec.to_json(), "picture": self.picture,
                "metric": self.metric, "loss": self.loss}

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> "Localisation":
        """Read what `to_json` wrote."""
        return cls(str(value["target"]), BoxesCodec.from_json(value["codec"]), str(value["picture"]),
                   str(value["metric"]), str(value["loss"]))


def localisation_losses(
    output: torch.Tensor, present: torch.Tensor, boxes: torch.Tensor, classes: torch.Tensor, *, squared: bool = False,
    label_smoothing: float = 0.0,
) -> torch.Tensor:
    """The loss of each row, (B,); see the module.

    output (B, 5 + C) before the sigmoids and the softmax; present (B,) 1 or 0; boxes (B, 4) in shares, NaN where the
    place is not known; classes int64 (B,).
    """
    there = present > 0.5
    placed = there & torch.isfinite(boxes).all(1)
    said = torch.sigmoid(output[:, 1:5])
    squares = (said - torch.where(placed[:, None], boxes, said.detach())).square().sum(1)
    if squared:
        losses = (torch.sigmoid(output[:, 0]) - present).square() + squares
        if output.shape[1] > 5:
            wanted = F.one_hot(classes, output.shape[1] - 5).to(output.dtype)
            losses = losses + there * (torch.sigmoid(output[:, 5:]) - wanted).square().sum(1)
        return losses
    losses = F.binary_cross_entropy_with_logits(output[:, 0], present, reduction="none") + BOX_WEIGHT * squares
    if output.shape[1] > 5:
        named = F.cross_entropy(output[:, 5:], classes, reduction="none", label_smoothing=label_smoothing)
        losses = losses + there * named
    return losses


def _read(codec: BoxesCodec, cells: list[Any]) -> list[Any]:
    """The boxes of each cell, None where missing or unreadable."""
    found = []
    for cell in cells:
        try:
            found.append(codec.parse(cell))
        except CellError:
            found.append(None)
    return found
