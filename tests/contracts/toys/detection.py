"""Toy detection: a dense head, one box a cell of a grid (after Redmon et al. 2016, You Only Look Once)."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import polars as pl
import torch
from torch import nn
from torch.nn import functional as F

from gradatim.data.batch import Batch, Field
from gradatim.data.codecs import codec_for
from gradatim.data.schema import Column
from gradatim.evaluate.predictions import Predictions
from toys.boxes import BoxesCodec, into_square


class DenseDetector(nn.Module):
    """uint8 (B, C, S·8, S·8) → (B, S, S, 5 + classes): logit of a centre, corners in the square's pixels, classes."""

    grid: torch.Tensor

    def __init__(self, column: str, channels: int, size: int, classes: int) -> None:
        super().__init__()
        self.column, self.size, self.cells = column, size, size // 8
        layers: list[nn.Module] = []
        for inside, outside in ((channels, 16), (16, 32), (32, 64)):
            layers += [nn.Conv2d(inside, outside, 3, stride=2, padding=1), nn.BatchNorm2d(outside), nn.ReLU()]
        self.trunk = nn.Sequential(*layers, nn.Conv2d(64, 64, 3, padding=1), nn.ReLU())
        self.head = nn.Conv2d(64, 5 + classes, 1)
        places = torch.arange(self.cells, dtype=torch.float32)
        grid = torch.stack(torch.meshgrid(places, places, indexing="xy"), dim=-1)
        self.register_buffer("grid", grid, persistent=False)

    def forward(self, inputs: dict[str, Field], present: dict[str, torch.Tensor]) -> torch.Tensor:
        """Columns → the dense answer."""
        picture = inputs[self.column]
        assert isinstance(picture, torch.Tensor)
        raw = self.head(self.trunk(picture.float() / 128 - 1)).permute(0, 2, 3, 1).float()
        centre = (self.grid + raw[..., 1:3].sigmoid()) * (self.size / self.cells)
        half = raw[..., 3:5].sigmoid() * self.size / 2
        return torch.cat([raw[..., :1], centre - half, centre + half, raw[..., 5:]], dim=-1)


def dense_detector(column: str, channels: int, size: int, classes: int) -> DenseDetector:
    """The network at an address of its own package."""
    return DenseDetector(column, channels, size, classes)


@dataclass(frozen=True)
class Detection:
    """Boxes with a class in the picture of a column."""

    target: str
    codec: BoxesCodec
    picture: str
    metric: str = "recall"
    name: str = field(default="detection", init=False)

    @classmethod
    def fit(cls, column: Column, cells: list[Any], *, picture: str) -> "Detection":
        """Learn the classes from training cells."""
        codec = codec_for(column, target=True).fit(cells)
        assert isinstance(codec, BoxesCodec)
        return cls(column.name, codec, picture)

    @property
    def classes(self) -> list[Any]:
        """The classes of boxes."""
        return list(self.codec.classes)

    def labels(self, cells: list[Any]) -> np.ndarray:
        """Lists of boxes, None where missing, object (N,)."""
        return column_of([self.codec.parse(cell) for cell in cells])

    def objective(self, output: torch.Tensor, batch: Batch) -> torch.Tensor:
        """Is a centre in this cell, where are its corners, which class."""
        truth = batch.targets[self.target]
        assert isinstance(truth, dict)
        cells, size = output.shape[1], 8 * output.shape[1]
        is_centre, where, corners, labels = torch.zeros(output.shape[:3]), [], [], []
        for row, framing in enumerate(batch.context[self.picture]):
            for number in range(int(truth["lengths"][row])):
                box = into_square(truth["corners"][row, number : number + 1], framing)[0]
                x, y = ((box[:2] + box[2:]) / 2 / size * cells).long().clamp(0, cells - 1).tolist()
                is_centre[row, y, x] = 1
                where.append((row, y, x))
                corners.append(box)
                labels.append(truth["labels"][row, number])
        loss = F.binary_cross_entropy_with_logits(output[..., 0], is_centre)
        if where:
            met = output[tuple(torch.tensor(where).T)]
            loss = loss + 4 * F.l1_loss(met[:, 1:5] / size, torch.stack(corners) / size)
            loss = loss + 0.3 * F.cross_entropy(met[:, 5:], torch.stack(labels))
        return loss

    def respond(self, network: nn.Module, batch: Batch) -> np.ndarray:
        """Boxes in each picture's own pixels: [left, top, right, bottom, class, score], object (B,)."""
        output = network(batch.inputs, batch.present).float().cpu()
        found = []
        for row, framing in zip(output, batch.context[self.picture]):
            sure = row[row[..., 0] > -1]  # a centre between two cells is half sure of each
            order = sure[:, 0].argsort(descending=True)
            kept: list[list[float]] = []
            for box in sure[order]:
                corners = box[1:5].tolist()
                if all(overlap(corners, other) < 0.5 for other in kept):
                    kept.append([*corners, int(box[5:].argmax()), float(box[0].sigmoid())])
            found.append(self.codec.decode(kept, framing) if framing is not None else [])
        return column_of(found)

    def calibrated(self, answer: np.ndarray, temperature: float) -> np.ndarray:
        """Boxes are left as they are."""
        return answer

    def predictions(
        self, answer: np.ndarray, rows: Sequence[int] | np.ndarray, *, ids: Mapping[str, Any] | None = None
    ) -> Predictions:
        """One column, `boxes`, as JSON."""
        cells = pl.Series([json.dumps(boxes) for boxes in answer], dtype=pl.String)
        return Predictions.of_columns(rows, {"boxes": cells}, task=self.name, target=self.target, ids=ids)

    def score(self, answer: np.ndarray, labels: np.ndarray) -> dict[str, Any]:
        """Share of true boxes that were found (IoU ≥ 0.5, same class), and of found ones that are true."""
        def met(box: list[Any], others: list[list[Any]]) -> bool:
            return any(overlap(box, other) >= 0.5 and str(box[4]) == str(other[4]) for other in others)

        known = [(said, true) for said, true in zip(answer, labels) if true is not None]
        found = [met(box, said) for said, true in known for box in true]
        right = [met(box, true) for said, true in known for box in said]
        return {"metrics": {"recall": {"value": float(np.mean(found))},
                            "precision": {"value": float(np.mean(right)) if right else 0.0}}, "notes": []}

    def to_json(self) -> dict[str, Any]:
        """A JSON object that `from_json` reads back."""
        return {"task": self.name, "target": self.target, "codec": self.codec.to_json(), "picture": self.picture}

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> "Detection":
        """Read what `to_json` wrote."""
        return cls(str(value["target"]), BoxesCodec.from_json(value["codec"]), str(value["picture"]))


def overlap(one: Sequence[Any], other: Sequence[Any]) -> float:
    """Intersection over union of two boxes that begin with their corners."""
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    shared = max(width, 0.0) * max(height, 0.0)
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (one, other)]
    return shared / max(sum(areas) - shared, 1e-9)


def column_of(cells: list[Any]) -> np.ndarray:
    """Any Python objects as an object array (N,)."""
    column = np.empty(len(cells), dtype=object)
    column[:] = cells
    return column
