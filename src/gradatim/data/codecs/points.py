"""Landmarks in a picture, always the same ones in the same order: cell ⇄ tensors in the picture's own pixels.

A cell is JSON, `[[x, y], [x, y], null, …]`, or a text, `12 30 80 99 …`. A point that cannot be seen is `null`, `[x, y,
0]` or `- -`. An empty cell says that nobody knows.
"""

import json
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch

from gradatim.data.batch import Field
from gradatim.data.codecs import checks
from gradatim.errors import CellError, SchemaError

MOST_POINTS, FARTHEST = 1000, 1e7
HIDDEN = ("-", "nan", "null", "none")


class PointsCodec:
    """P points a picture, each x and y in pixels and whether it can be seen.

    mirror: for each point the one that it becomes when left and right change sides ([1, 0] for two eyes); without it
    pictures are not mirrored. `fit` takes P from the cells, the most frequent number. Errors: CellError
    'points-unreadable'; SchemaError when no training cell is readable.

    >>> codec = PointsCodec().fit(["12 30 80 99", "[[5, 6], null]"])
    >>> codec.count, codec.parse("[[5, 6], null]")[:, 2].tolist()
    (2, [1.0, 0.0])
    """

    kind = "points"

    def __init__(self, *, mirror: Sequence[int] | None = None) -> None:
        if mirror is not None and (not isinstance(mirror, list | tuple) or not all(type(n) is int for n in mirror)
                                   or sorted(mirror) != list(range(len(mirror)))
                                   or any(mirror[place] != number for number, place in enumerate(mirror))):
            raise SchemaError("mirror: expected the number of the point that each becomes, as [1, 0, 2]; applied twice "
                              "it gives the first back")
        self.mirror = None if mirror is None else tuple(mirror)
        self.count = 1 if mirror is None else len(mirror)

    def fit(self, cells: Sequence[object], folder: Path | None = None) -> Self:
        """Find out how many points there are."""
        seen: Counter[int] = Counter()
        for cell in cells:
            try:
                points = self.parse(cell)
            except CellError:
                continue
            if points is not None:
                seen[len(points)] += 1
        if not seen:
            raise SchemaError("expected a readable list of points in the training rows, received none; "
                              "write them as [[12, 30], [80, 99]]")
        count = max(seen, key=lambda number: (seen[number], number))
        if self.mirror is not None and len(self.mirror) != count:
            raise SchemaError(f"mirror: expected {count} numbers, one a point, received {len(self.mirror)}")
        self.count = count
        return self

    def parse(self, cell: object) -> np.ndarray | None:
        """x, y and 1 (seen) or 0 of each point, float64 (P, 3); None when missing. Any P."""
        if cell is None or (isinstance(cell, str) and not cell.strip()):
            return None
        entries = _entries(cell)
        if not 1 <= len(entries) <= MOST_POINTS:
            raise _unreadable(cell, f"1 to {MOST_POINTS} points, received {len(entries)}")
        points = np.zeros((len(entries), 3))
        for place, entry in enumerate(entries):
            if entry is None:
                continue
            try:
                x, y, *more = (float(value) for value in entry)
            except (TypeError, ValueError):
                raise _unreadable(cell, "two numbers a point") from None
            if len(more) > 1 or not (abs(x) <= FARTHEST and abs(y) <= FARTHEST):
                raise _unreadable(cell, "x, y and perhaps 1 or 0 for each point")
            points[place] = x, y, float(not more or more[0] > 0)
        return points

    def encode(self, cell: object, folder: Path | None = None) -> tuple[np.ndarray | None, None]:
        """float32 (P, 3): x, y in pixels, and 1 where it can be seen."""
        points = self.parse(cell)
        if points is None:
            return None, None
        if len(points) != self.count:
            raise _unreadable(cell, f"{self.count} points, received {len(points)}")
        return points.astype(np.float32), None

    def stack(self, values: Sequence[np.ndarray | None]) -> dict[str, torch.Tensor]:
        """{"points": float32 (B, P, 2), "visible": bool (B, P)}."""
        stacked = np.zeros((len(values), self.count, 3), np.float32)
        for row, value in enumerate(values):
            if value is not None:
                stacked[row] = value
        whole = torch.from_numpy(stacked)
        return {"points": whole[..., :2].contiguous(), "visible": whole[..., 2] > 0}

    def trim(self, field: Field) -> Field:
        """Nothing to cut."""
        return field

    def decode(self, output: Any, context: Any = None) -> list[list[float]]:
        """Points (P, 2) as plain lists; with the `Framing` of their picture, from the pixels of its square to its
        own."""
        points = np.asarray(output, dtype=np.float64).reshape(-1, 2)
        if context is not None:
            left, top, width, height = context.box
            points = (points - [left, top]) * np.array(context.original) / [width, height]
        return points.round(6).tolist()

    def write(self, points: Sequence[Sequence[float] | None]) -> str:
        """Points as a cell that `parse` reads; a tenth of a pixel is kept."""
        return json.dumps([None if point is None else [round(float(value), 1) for value in point] for point in points])

    def describe(self) -> dict[str, Any]:
        """What a head needs to know."""
        return {"points": self.count}

    def to_json(self) -> dict[str, Any]:
        """A JSON object that `from_json` reads back."""
        mirror = None if self.mirror is None else list(self.mirror)
        return {"kind": self.kind, "options": {"mirror": mirror}, "fitted": {"count": self.count}}

    @classmethod
    def from_json(cls, value: Any) -> Self:
        """Read what `to_json` wrote."""
        with checks.reading(cls.kind):
            options, fitted = checks.parts(value, cls.kind)
            codec = cls(**options)
            codec.count = checks.whole(fitted["count"], "count", 1, MOST_POINTS)
            if codec.mirror is not None and len(codec.mirror) != codec.count:
                raise SchemaError("mirror: expected one number a point")
        return codec


def _entries(cell: object) -> list[Any]:
    found: Any = cell
    if isinstance(cell, str):
        text = cell.strip()
        if text[:1] != "[":
            words = [word for word in re.split(r"[\s,;]+", text) if word]
            if len(words) % 2:
                raise _unreadable(cell, "two numbers a point")
            pairs = [words[place : place + 2] for place in range(0, len(words), 2)]
            return [None if all(word.casefold() in HIDDEN for word in pair) else pair for pair in pairs]
        try:
            found = json.loads(text)
        except (ValueError, RecursionError):
            raise _unreadable(cell, "JSON") from None
    if not isinstance(found, Sequence | np.ndarray) or isinstance(found, bytes | str):
        raise _unreadable(cell, "a list of points")
    for entry in found:
        if entry is not None and (not isinstance(entry, Sequence | np.ndarray) or isinstance(entry, str)):
            raise _unreadable(cell, "lists of two numbers")
    return list(found)


def _unreadable(cell: object, expected: str) -> CellError:
    text = " ".join(str(cell).split())
    return CellError("points-unreadable", f"expected {expected}, as [[12, 30], [80, 99]]; received "
                                          f"{text if len(text) <= 60 else text[:59] + '…'}")
