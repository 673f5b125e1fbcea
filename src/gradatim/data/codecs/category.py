"""Categories: cell ⇄ whole number.

As an input, 0 stands for unknown and rare spellings and 1…C for the known ones; as a target, 0…C−1 in the order
of `classes`: by number when every class is one, else by spelling. The original cell and its type come back.
"""

import math
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch

from gradatim.data.batch import Field
from gradatim.data.codecs import checks
from gradatim.errors import CellError, SchemaError

MOST = 1_000_000  # classes
LONGEST = 10_000  # characters of one class

Label = str | int | float | bool


class CategoryCodec:
    """One of a set of spellings.

    min_count: an input spelling seen in fewer training rows is rare and becomes 0, which teaches the network what
    to do with spellings it has never seen; max_categories: only the most frequent are kept; target: the column
    is predicted, every training spelling is a class. Encoded: one int. Errors: CellError 'label-unknown' for a target
    spelling outside the training rows; SchemaError when no training cell is filled.

    >>> codec = CategoryCodec(target=True).fit(["10", "9", "10", None])
    >>> codec.classes, codec.encode("10"), codec.decode(1)
    (('9', '10'), (1, None), '10')
    """

    kind = "category"

    def __init__(self, *, min_count: int = 2, max_categories: int = 10_000, target: bool = False) -> None:
        self.min_count = checks.whole(min_count, "min_count", 1, 10**9)
        self.max_categories = checks.whole(max_categories, "max_categories", 1, MOST)
        self.target = checks.truth(target, "target")
        self._set_classes(())

    def fit(self, cells: Sequence[object], folder: Path | None = None) -> Self:
        """Collect the spellings; ties in frequency are kept in order of spelling."""
        counts: Counter[tuple[str, Label]] = Counter()
        for cell in cells:
            label = _label(cell)
            if label is not None:
                counts[type(label).__name__, label] += 1
        if not counts:
            raise SchemaError("expected at least one filled cell in the training rows, received none; "
                              "leave the column out")
        kept = list(counts)
        if not self.target:
            # Where every spelling is rare (a table of a few rows) dropping them all would leave nothing.
            frequent = [key for key in kept if counts[key] >= self.min_count] or kept
            kept = sorted(frequent, key=lambda key: (-counts[key], str(key[1])))[: self.max_categories]
        self._set_classes(in_order([label for _, label in kept]))
        return self

    def encode(self, cell: object, folder: Path | None = None) -> tuple[int | None, None]:
        """The number of the spelling; (None, None) when missing."""
        label = _label(cell)
        if label is None:
            return None, None
        index = self._exact.get((type(label).__name__, label))
        if index is None:
            index = self._alike.get(_spelling(label))  # 1, 1.0 and "1" are one label to a reader of CSV and frames
        if self.target:
            if index is None:
                known = ", ".join(repr(name) for name in self.classes[:8])
                more = f" and {len(self.classes) - 8} more" if len(self.classes) > 8 else ""
                raise CellError("label-unknown", f"expected a label among {known}{more}; received {str(label)[:60]!r}")
            return index, None
        return (0 if index is None else index + 1), None

    def stack(self, values: Sequence[int | None]) -> torch.Tensor:
        """int64 (B,); missing cells are 0."""
        return torch.tensor([0 if value is None else value for value in values], dtype=torch.int64)

    def trim(self, field: Field) -> Field:
        """Nothing to cut."""
        return field

    def decode(self, output: Any, context: Any = None) -> Any:
        """The label of an index, or of the highest of C scores; a list of labels for an array of indices.

        An input's 0 decodes to None.
        """
        array = np.asarray(output.detach().cpu() if isinstance(output, torch.Tensor) else output)
        if array.dtype.kind == "f":
            array = array.argmax(-1) + (0 if self.target else 1)
        if array.ndim:
            return [self.decode(entry) for entry in array]
        index = int(array) - (0 if self.target else 1)
        return None if index < 0 else self.classes[index]

    def describe(self) -> dict[str, Any]:
        """The size of the embedding: known spellings and the unknown one."""
        return {"cardinality": len(self.classes) + (0 if self.target else 1)}

    def to_json(self) -> dict[str, Any]:
        """A JSON object that `from_json` reads back."""
        options = {"min_count": self.min_count, "max_categories": self.max_categories, "target": self.target}
        return {"kind": self.kind, "options": options, "fitted": {"classes": list(self.classes)}}

    @classmethod
    def from_json(cls, value: Any) -> Self:
        """Read what `to_json` wrote."""
        with checks.reading(cls.kind):
            options, fitted = checks.parts(value, cls.kind)
            codec = cls(**options)
            classes = fitted["classes"]
            if not isinstance(classes, list) or len(classes) > MOST:
                raise SchemaError(f"classes: expected a list of at most {MOST}")
            for label in classes:
                if not isinstance(label, str | int | float) or (isinstance(label, str) and len(label) > LONGEST):
                    raise SchemaError(f"classes: expected strings of at most {LONGEST} characters or numbers")
            if len({(type(label).__name__, label) for label in classes}) != len(classes):
                raise SchemaError("classes: expected each once")
            codec._set_classes(tuple(classes))
        return codec

    def _set_classes(self, classes: tuple[Label, ...]) -> None:
        self.classes = classes
        self._exact = {(type(label).__name__, label): index for index, label in enumerate(classes)}
        spellings = Counter(_spelling(label) for label in classes)
        self._alike = {
            _spelling(label): index for index, label in enumerate(classes) if spellings[_spelling(label)] == 1
        }


def in_order(labels: Sequence[Label]) -> tuple[Label, ...]:
    """Labels by number when every one is a number, else by spelling.

    >>> in_order(["10", "9"]), in_order(["b", "10", "a"])
    (('9', '10'), ('10', 'a', 'b'))
    """

    def by_number(label: Label) -> tuple[float, str]:
        number = float(label)
        if number != number:
            raise ValueError("not a number has no place in an order")
        return number, str(label)

    try:
        return tuple(sorted(labels, key=by_number))
    except (ValueError, OverflowError):
        return tuple(sorted(labels, key=lambda label: (str(label), type(label).__name__)))


def _label(cell: object) -> Label | None:
    """The cell as a JSON scalar; None when missing."""
    if cell is None:
        return None
    if isinstance(cell, np.generic):
        cell = cell.item()
    if isinstance(cell, float):
        if not math.isfinite(cell):
            return None if math.isnan(cell) else str(cell)  # JSON has no infinity
        return cell + 0.0  # −0 is 0
    return cell if isinstance(cell, str | int | float) else str(cell)


def _spelling(label: Label) -> str:
    if isinstance(label, float) and label.is_integer():
        return str(int(label))
    return str(label)
