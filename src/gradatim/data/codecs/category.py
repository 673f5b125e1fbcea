"""Categories: cell ⇄ whole number.

As an input, 0 stands for unknown and rare spellings and 1…C for the known ones; as a target, 0…C−1 in the order
of `classes`: by number when every class is one, else by spelling. The original cell and its type come back; where a
class was written in several ways ("1" and "1.0", see `gradatim.data.spelling`), it comes back in the commonest.
"""

import math
from collections import Counter
from collections.abc import Sequence
from itertools import repeat
from pathlib import Path
from typing import Any, Self

import numpy as np
import polars as pl
import torch

from gradatim.data.batch import Field
from gradatim.data.codecs import checks
from gradatim.data.spelling import check_spelling, one_spelling
from gradatim.errors import CellError, SchemaError

MOST = 1_000_000  # classes
LONGEST = 10_000  # characters of one class

Label = str | int | float | bool
DTYPES: dict[str, pl.DataType] = {
    str(dtype.base_type()): dtype
    for dtype in (pl.Boolean(), pl.Int8(), pl.Int16(), pl.Int32(), pl.Int64(), pl.UInt8(), pl.UInt16(), pl.UInt32(),
                  pl.UInt64(), pl.Float32(), pl.Float64(), pl.Date(), pl.Datetime("us"))
}


class CategoryCodec:
    """One of a set of spellings.

    min_count: an input spelling seen in fewer training rows is rare and becomes 0, which teaches the network what
    to do with spellings it has never seen; max_categories: only the most frequent are kept; target: the column
    is predicted, every training spelling is a class; spelling: the form in which cells are compared (None: as they are
    written, but for 1, 1.0 and "1"); dtype: the polars type of the cells where that is not text. Encoded: one int.
    Errors: CellError 'label-unknown' for a target spelling outside the training rows; SchemaError when no training cell
    of a target is filled (of an input: every spelling is unknown).

    >>> codec = CategoryCodec(target=True).fit(["10", "9", "10", None])
    >>> codec.classes, codec.encode("10"), codec.decode(1)
    (('9', '10'), (1, None), '10')
    """

    kind = "category"

    def __init__(
        self, *, min_count: int = 2, max_categories: int = 10_000, target: bool = False, spelling: str | None = None,
        dtype: str | None = None,
    ) -> None:
        self.min_count = checks.whole(min_count, "min_count", 1, 10**9)
        self.max_categories = checks.whole(max_categories, "max_categories", 1, MOST)
        self.target = checks.truth(target, "target")
        self.spelling = check_spelling(spelling)
        self.dtype = None if dtype is None else checks.choice(dtype, "dtype", tuple(DTYPES))
        self._set_classes(())

    def fit(
        self, cells: Sequence[object], folder: Path | None = None, *, counts: Sequence[int] | None = None
    ) -> Self:
        """Collect the spellings; ties in frequency are kept in order of spelling.

        counts: how often each cell occurs, where the cells are the different ones of a column.
        """
        found: Counter[tuple[str, Label]] = Counter()
        for cell, count in zip(cells, repeat(1) if counts is None else counts):
            label = _label(cell)
            if label is not None:
                found[type(label).__name__, label] += count
        if not found and self.target:
            raise SchemaError("expected at least one filled cell in the training rows, received none; "
                              "leave the column out")
        kept = self._commonest(found)
        if not self.target:
            # Where every spelling is rare (a table of a few rows) dropping them all would leave nothing.
            frequent = {key: count for key, count in kept.items() if count >= self.min_count} or kept
            kept = dict(sorted(frequent.items(), key=lambda item: (-item[1], str(item[0][1])))[: self.max_categories])
        self._set_classes(in_order([label for _, label in kept]))
        return self

    def _commonest(self, counts: Counter[tuple[str, Label]]) -> dict[tuple[str, Label], int]:
        """Each value in its commonest spelling, and how often it occurs in any."""
        if self.spelling is None:
            return dict(counts)
        groups: dict[str, list[tuple[str, Label]]] = {}
        for key in sorted(counts, key=lambda key: (-counts[key], str(key[1]))):
            groups.setdefault(self._key(key[1]), []).append(key)
        return {keys[0]: sum(counts[key] for key in keys) for keys in groups.values()}

    def find(self, cell: object) -> int | None:
        """The place of a cell among `classes`; None where it is missing or unknown."""
        label = _label(cell)
        if label is None:
            return None
        index = self._exact.get((type(label).__name__, label))
        if index is None:  # 1, 1.0 and "1" are one label to a reader of CSV and frames
            index = self._alike.get(self._key(label))
        return index

    def _key(self, label: Label) -> str:
        return _spelling(label) if self.spelling is None else one_spelling(label, self.spelling)

    def encode(self, cell: object, folder: Path | None = None) -> tuple[int | None, None]:
        """The number of the spelling; (None, None) when missing."""
        label = _label(cell)
        if label is None:
            return None, None
        index = self.find(label)
        if self.target:
            if index is None:
                known = ", ".join(repr(name) for name in self.classes[:8])
                more = f" and {len(self.classes) - 8} more" if len(self.classes) > 8 else ""
                raise CellError("label-unknown", f"expected a label among {known}{more}; received {str(label)[:60]!r}")
            return index, None
        return (0 if index is None else index + 1), None

    def stack(self, values: Sequence[int | None] | np.ndarray) -> torch.Tensor:
        """int64 (B,); missing cells are 0."""
        if isinstance(values, np.ndarray):
            return torch.from_numpy(values)
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

    def cells(self, labels: Sequence[Label]) -> pl.Series:
        """Labels as a column of the type that the target has; texts and whole numbers where none was noted."""
        whole = all(type(label) is int for label in self.classes)
        if self.dtype is None:
            return pl.Series(labels, dtype=pl.Int64) if whole else pl.Series([str(label) for label in labels])
        dtype = DTYPES[self.dtype]
        if dtype == pl.Date or dtype == pl.Datetime:
            texts = pl.Series([str(label) for label in labels], dtype=pl.String)
            return texts.str.to_date("%Y-%m-%d") if dtype == pl.Date else texts.str.to_datetime(time_unit="us")
        return pl.Series(labels, dtype=dtype, strict=False)

    def describe(self) -> dict[str, Any]:
        """The size of the embedding: known spellings and the unknown one."""
        return {"cardinality": len(self.classes) + (0 if self.target else 1)}

    def to_json(self) -> dict[str, Any]:
        """A JSON object that `from_json` reads back."""
        options = {"min_count": self.min_count, "max_categories": self.max_categories, "target": self.target,
                   "spelling": self.spelling, "dtype": self.dtype}
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
        keys = [self._key(label) for label in classes]
        often = Counter(keys)
        self._alike = {key: index for index, key in enumerate(keys) if often[key] == 1}


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
