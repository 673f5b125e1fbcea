"""Boxes in a picture, each with a label or without: cell ⇄ padded tensors in the picture's own pixels.

A cell is JSON, `[[left, top, right, bottom, "label"], …]` or one such list; or a text, `12 30 80 99 cat`, several boxes
divided by `;`; or, in Parquet and JSON lines, lists or objects with the keys of `KEYS`. `[]` and `none` say that there
is no object; an empty cell says that nobody knows. How a picture was resized is in the context of the picture's column.
"""

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch

from gradatim.data.batch import Field
from gradatim.data.codecs import checks
from gradatim.data.places import cornered
from gradatim.errors import CellError, SchemaError

FORMS = ("corners", "size", "centre")
KEYS = (("left", "top", "right", "bottom"), ("xmin", "ymin", "xmax", "ymax"), ("x1", "y1", "x2", "y2"))
LABELS = ("label", "class", "category", "name")
NOTHING = ("none", "[]")
MOST_BOXES, FARTHEST, MOST_CLASSES, LONGEST_LABEL = 1000, 1e7, 10_000, 200

Box = tuple[float, float, float, float, str | None]


class BoxesCodec:
    """A list of boxes, of which there may be none.

    form: 'corners' (left, top, right, bottom), 'size' (left, top, width, height, as COCO has it) or 'centre' (centre x,
    centre y, width, height). Labels are all there or all missing. Errors: CellError 'boxes-unreadable',
    'label-unknown'; SchemaError when some boxes have labels and others none.

    >>> codec = BoxesCodec().fit(["12 30 80 99 cat", "[]", "[[5, 5, 20, 9, \\"dog\\"]]"])
    >>> codec.classes, codec.parse("12 30 80 99 cat")
    (['cat', 'dog'], [(12.0, 30.0, 80.0, 99.0, 'cat')])
    """

    kind = "boxes"

    def __init__(self, *, form: str = "corners") -> None:
        self.form = checks.choice(form, "form", FORMS)
        self.classes: list[str] = []

    def fit(self, cells: Sequence[object], folder: Path | None = None) -> Self:
        """Collect the labels, in alphabetical order (numbers by size)."""
        labels: set[str | None] = set()
        for cell in cells:
            try:
                labels |= {box[4] for box in self.parse(cell) or []}
            except CellError:
                continue
        named = {label for label in labels if label is not None}
        if named and None in labels:
            raise SchemaError("expected a label in every box or in none, found both; label the rest or none")
        whole = all(re.fullmatch(r"-?\d{1,15}", label) for label in named)
        self.classes = sorted(named, key=int if whole else str)
        return self

    def parse(self, cell: object) -> list[Box] | None:
        """The boxes of a cell as (left, top, right, bottom, label or None); None when missing."""
        if cell is None or (isinstance(cell, str) and not cell.strip()):
            return None
        if isinstance(cell, str) and cell.strip().casefold() in NOTHING:
            return []
        boxes = [self._box(entry) for entry in _entries(cell)]
        if len(boxes) > MOST_BOXES:
            raise _unreadable(cell, f"at most {MOST_BOXES} boxes, received {len(boxes)}")
        return boxes

    def _box(self, entry: Sequence[Any]) -> Box:
        if len(entry) not in (4, 5):
            raise _unreadable(entry, f"four numbers and perhaps a label, received {len(entry)} entries")
        try:
            numbers = np.array([float(value) for value in entry[:4]])
        except (TypeError, ValueError):
            raise _unreadable(entry, "four numbers") from None
        if not (np.abs(numbers) <= FARTHEST).all():
            raise _unreadable(entry, f"numbers up to {FARTHEST:.0e}")
        if self.form == "size":
            numbers[2:] += numbers[:2]
        elif self.form == "centre":
            numbers = cornered(numbers)
        left, top, right, bottom = numbers.tolist()
        if not (left < right and top < bottom):
            raise _unreadable(entry, "left < right and top < bottom")
        label = str(entry[4]).strip() if len(entry) == 5 and entry[4] is not None else ""
        return left, top, right, bottom, label[:LONGEST_LABEL] or None

    def encode(self, cell: object, folder: Path | None = None) -> tuple[np.ndarray | None, None]:
        """float32 (boxes, 5): the corners, and the label by its number (0 where there are none)."""
        boxes = self.parse(cell)
        if boxes is None:
            return None, None
        rows = np.zeros((len(boxes), 5), np.float32)
        for place, (*corners, label) in enumerate(boxes):
            if label is not None and label not in self.classes:
                known = ", ".join(self.classes[:10])
                raise CellError("label-unknown", f"expected a label among {known}; received '{label[:40]}'")
            rows[place] = *corners, 0 if label is None else self.classes.index(label)
        return rows, None

    def stack(self, values: Sequence[np.ndarray | None]) -> dict[str, torch.Tensor]:
        """{"corners": float32 (B, M, 4), "labels": int64 (B, M), "lengths": int64 (B,)}; M ≥ 1."""
        lengths = np.array([0 if value is None else len(value) for value in values], dtype=np.int64)
        padded = np.zeros((len(values), max(int(lengths.max(initial=0)), 1), 5), np.float32)
        for row, value in enumerate(values):
            if value is not None:
                padded[row, : len(value)] = value
        whole = torch.from_numpy(padded)
        return {"corners": whole[..., :4].contiguous(), "labels": whole[..., 4].long(),
                "lengths": torch.from_numpy(lengths)}

    def trim(self, field: Field) -> Field:
        """Cut to the most boxes of a row in the batch."""
        assert isinstance(field, dict)
        most = max(int(field["lengths"].max()), 1) if len(field["lengths"]) else 1
        return {name: value if name == "lengths" else value[:, :most] for name, value in field.items()}

    def decode(self, output: Any, context: Any = None) -> list[list[Any]]:
        """Boxes (N, 4) or (N, 5 with the label's number) as [left, top, right, bottom, label] of plain values.

        context: the `Framing` of the picture that they lie in: then they are in the pixels of its square, and come
        back in those of the picture itself.
        """
        rows = np.asarray(output, dtype=np.float64).reshape(-1, np.shape(output)[-1] if np.size(output) else 4)
        corners = rows[:, :4].reshape(-1, 2, 2)
        if context is not None:
            left, top, width, height = context.box
            corners = (corners - [left, top]) * np.array(context.original) / [width, height]
        found = [box.round(6).tolist() for box in corners.reshape(-1, 4)]
        if rows.shape[1] < 5 or not self.classes:
            return found
        return [[*box, self.classes[int(row[4])]] for box, row in zip(found, rows)]

    def write(self, boxes: Sequence[Sequence[Any]]) -> str:
        """Corner boxes as a cell that `parse` reads in this codec's form; a tenth of a pixel is kept."""
        cells = []
        for box in boxes:
            left, top, right, bottom = (float(value) for value in box[:4])
            numbers = {
                "corners": (left, top, right, bottom), "size": (left, top, right - left, bottom - top),
                "centre": ((left + right) / 2, (top + bottom) / 2, right - left, bottom - top),
            }[self.form]
            cells.append([*(round(value, 1) for value in numbers), *box[4:5]])
        return json.dumps(cells, ensure_ascii=False)

    def describe(self) -> dict[str, Any]:
        """What a head needs to know."""
        return {"classes": len(self.classes)}

    def to_json(self) -> dict[str, Any]:
        """A JSON object that `from_json` reads back."""
        return {"kind": self.kind, "options": {"form": self.form}, "fitted": {"classes": list(self.classes)}}

    @classmethod
    def from_json(cls, value: Any) -> Self:
        """Read what `to_json` wrote."""
        with checks.reading(cls.kind):
            options, fitted = checks.parts(value, cls.kind)
            codec = cls(**options)
            codec.classes = checks.strings(fitted["classes"], "classes", most=MOST_CLASSES, longest=LONGEST_LABEL)
        return codec


def _entries(cell: object) -> list[Sequence[Any]]:
    """The boxes in a cell as sequences of four or five entries."""
    found: Any = cell
    if isinstance(cell, str):
        text = cell.strip()
        if text[:1] not in "[{":
            return [_words(part) for part in text.split(";") if part.strip()]
        try:
            found = json.loads(text)
        except (ValueError, RecursionError):
            raise _unreadable(cell, "JSON") from None
    if isinstance(found, Mapping):
        found = [found]
    if not isinstance(found, Sequence | np.ndarray) or isinstance(found, bytes):
        raise _unreadable(cell, "a list of boxes")
    if len(found) and not isinstance(found[0], Sequence | Mapping | np.ndarray):
        found = [found]  # one box
    return [_of_keys(entry) if isinstance(entry, Mapping) else _sequence(entry) for entry in found]


def _words(text: str) -> list[str]:
    """Four numbers, then the label, which may have spaces."""
    return re.split(r"[\s,]+", text.strip(), maxsplit=4)


def _of_keys(entry: Mapping[str, Any]) -> list[Any]:
    for keys in KEYS:
        if all(key in entry for key in keys):
            label = next((entry[name] for name in LABELS if entry.get(name) is not None), None)
            return [*(entry[key] for key in keys), label]
    raise _unreadable(entry, f"the keys {', '.join(KEYS[0])}")


def _sequence(entry: Any) -> Sequence[Any]:
    if not isinstance(entry, Sequence | np.ndarray) or isinstance(entry, str):
        raise _unreadable(entry, "lists of four numbers and perhaps a label")
    return list(entry)


def _unreadable(cell: object, expected: str) -> CellError:
    text = " ".join(str(cell).split())
    return CellError("boxes-unreadable", f"expected {expected}, as [[12, 30, 80, 99, \"cat\"]]; received "
                                         f"{text if len(text) <= 60 else text[:59] + '…'}")

