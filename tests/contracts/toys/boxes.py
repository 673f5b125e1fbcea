"""Boxes: a JSON list of [left, top, right, bottom, class] in the picture's own pixels ⇄ padded tensors.

The cell alone does not know how its picture was resized: that is in the context of the picture's column, which
`into_square` and `decode` are given.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch

from gradatim.data.batch import Field
from gradatim.data.codecs import checks
from gradatim.data.codecs.image import Framing
from gradatim.errors import CellError


class BoxesCodec:
    """A list of boxes; an empty list is an answer, an empty cell is a missing one."""

    kind = "boxes"

    def __init__(self) -> None:
        self.classes: list[str] = []

    def fit(self, cells: Sequence[object], folder: Path | None = None) -> Self:
        """Collect the classes."""
        self.classes = sorted({str(box[4]) for cell in cells for box in self.parse(cell) or []})
        return self

    def parse(self, cell: object) -> list[Any] | None:
        """The boxes of a cell as lists; None when missing."""
        if cell is None:
            return None
        try:
            boxes: Any = json.loads(cell) if isinstance(cell, str) else cell
            assert all(len(box) == 5 and box[0] < box[2] and box[1] < box[3] for box in boxes)
        except (ValueError, TypeError, AssertionError):
            raise CellError("boxes-unreadable", "expected a list of [left, top, right, bottom, class]") from None
        return boxes

    def encode(self, cell: object, folder: Path | None = None) -> tuple[np.ndarray | None, None]:
        """float32 (boxes, 5), the class by its number."""
        boxes = self.parse(cell)
        if boxes is None:
            return None, None
        if any(str(box[4]) not in self.classes for box in boxes):
            raise CellError("label-unknown", f"expected classes among {', '.join(self.classes)}")
        rows = [[*map(float, box[:4]), self.classes.index(str(box[4]))] for box in boxes]
        return np.array(rows, dtype=np.float32).reshape(-1, 5), None

    def stack(self, values: Sequence[np.ndarray | None]) -> dict[str, torch.Tensor]:
        """{"corners": float32 (B, M, 4), "labels": int64 (B, M), "lengths": int64 (B,)}."""
        lengths = torch.tensor([0 if value is None else len(value) for value in values], dtype=torch.int64)
        padded = np.zeros((len(values), max(int(lengths.max()) if len(values) else 0, 1), 5), np.float32)
        for row, value in enumerate(values):
            if value is not None:
                padded[row, : len(value)] = value
        whole = torch.from_numpy(padded)
        return {"corners": whole[..., :4].contiguous(), "labels": whole[..., 4].long(), "lengths": lengths}

    def trim(self, field: Field) -> Field:
        """Cut to the most boxes in the batch."""
        assert isinstance(field, dict)
        most = max(int(field["lengths"].max()), 1) if len(field["lengths"]) else 1
        return {"corners": field["corners"][:, :most], "labels": field["labels"][:, :most],
                "lengths": field["lengths"]}

    def decode(self, output: Any, context: Framing | None = None) -> list[list[Any]]:
        """Rows of [left, top, right, bottom, class number, …] in the square as boxes in the picture's own pixels."""
        assert context is not None
        left, top, width, height = context.box
        across, down = context.original[0] / width, context.original[1] / height
        return [[(x1 - left) * across, (y1 - top) * down, (x2 - left) * across, (y2 - top) * down,
                 self.classes[int(label)], *more] for x1, y1, x2, y2, label, *more in output]

    def describe(self) -> dict[str, Any]:
        """How many classes there are."""
        return {"classes": len(self.classes)}

    def to_json(self) -> dict[str, Any]:
        """A JSON object that `from_json` reads back."""
        return {"kind": self.kind, "options": {}, "fitted": {"classes": self.classes}}

    @classmethod
    def from_json(cls, value: Any) -> Self:
        """Read what `to_json` wrote."""
        with checks.reading(cls.kind):
            _, fitted = checks.parts(value, cls.kind)
            codec = cls()
            codec.classes = checks.strings(fitted["classes"], "classes", most=100, longest=100)
        return codec


def into_square(corners: torch.Tensor, framing: Framing) -> torch.Tensor:
    """Corners (M, 4) in the picture's own pixels → in the square that the network sees."""
    left, top, width, height = framing.box
    scale = torch.tensor([width / framing.original[0], height / framing.original[1]] * 2)
    return corners * scale + torch.tensor([left, top] * 2)
