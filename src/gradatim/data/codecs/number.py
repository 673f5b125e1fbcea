"""Numbers: cell ⇄ standardised float32.

An input is shifted by the mean and divided by the standard deviation of the training rows. Two guards keep huge
values from drowning the others: a heavy-tailed column is first brought to sign(x)·log(1 + |x| / s), with s the
median size of the training values (`scale`, decided in `fit`), and standardised inputs are cut at ±10.
A target is never brought to the log scale unasked and never cut, so that decoding gives any value back.
"""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch

from gradatim.data.batch import Field
from gradatim.data.codecs import checks
from gradatim.data.numbers import parse_number
from gradatim.errors import CellError, SchemaError

CLIP = 10.0  # standard deviations; inputs only
HEAVY = 30.0  # times the width of the middle 90 %: beyond it a column counts as heavy-tailed
LARGEST = 1e100  # larger sizes are taken for this, so that squares stay finite
SMALLEST = 1e-200  # a spread or a unit below is taken for none, so that quotients stay finite
SCALES = ("auto", "linear", "signed-log")


class NumberCodec:
    """Numbers and texts that stand for numbers.

    decimal: the decimal mark of texts, '.', ',' or None (see `parse_number`); scale: 'linear', 'signed-log', or
    'auto' (see the module); target: the column is predicted. Encoded: one float. Errors: CellError 'number-unreadable',
    'number-infinite'; SchemaError when no training cell of a target is readable (of an input: every number is 0).

    >>> codec = NumberCodec().fit(["1", "2", None, "3"])
    >>> codec.mean, round(codec.encode("3")[0], 4), codec.decode(codec.encode("3")[0])
    (2.0, 1.2247, 3.0)
    """

    kind = "number"

    def __init__(self, *, decimal: str | None = None, scale: str = "auto", target: bool = False) -> None:
        self.decimal = None if decimal is None else checks.choice(decimal, "decimal", (".", ","))
        self.scale = checks.choice(scale, "scale", SCALES)
        self.target = checks.truth(target, "target")
        self.mean, self.std = 0.0, 1.0
        self.log_unit: float | None = None  # s of the signed log; None: linear

    def fit(self, cells: Sequence[object], folder: Path | None = None) -> Self:
        """Measure mean and standard deviation; unreadable cells are left out here, `encode` names them."""
        values = []
        for cell in cells:
            try:
                number = self.parse(cell)
            except CellError:
                continue
            if number is not None:
                values.append(number)
        return self.fit_numbers(np.asarray(values, dtype=np.float64))

    def fit_numbers(self, values: np.ndarray) -> Self:
        """`fit` on numbers that are read already, float64 (N,)."""
        if not len(values):
            if self.target:
                raise SchemaError("expected at least one readable number in the training rows, received none; "
                                  "set the column's kind or leave it out")
            # Few rows and folds of them: nothing is known of the unit, so whatever comes later is as good as 0.
            self.mean, self.std, self.log_unit = 0.0, LARGEST, None
            return self
        array = np.clip(values, -LARGEST, LARGEST)
        logarithmic = self.scale == "signed-log" or (self.scale == "auto" and not self.target and _heavy(array))
        sizes = np.abs(array[array != 0])
        self.log_unit = max(float(np.median(sizes)), SMALLEST) if logarithmic and sizes.size else None
        if self.log_unit is not None:
            array = np.sign(array) * np.log1p(np.abs(array) / self.log_unit)
        self.mean, std = float(array.mean()), float(array.std())
        # A spread in the last digits of a constant is rounding, not information.
        self.std = std if std > max(1e-12 * float(np.abs(array).max()), SMALLEST) else 1.0
        return self

    def encode(self, cell: object, folder: Path | None = None) -> tuple[float | None, None]:
        """The standardised number; (None, None) when missing."""
        number = self.parse(cell)
        if number is None:
            return None, None
        return float(self.scaled(np.float64(number))), None

    def scaled(self, numbers: Any) -> Any:
        """Numbers on the scale of the encoded cells, float64 of the same shape."""
        array = np.clip(numbers, -LARGEST, LARGEST)
        if self.log_unit is not None:
            array = np.sign(array) * np.log1p(np.abs(array) / self.log_unit)
        array = (array - self.mean) / self.std
        return array if self.target else np.clip(array, -CLIP, CLIP)

    def stack(self, values: Sequence[float | None] | np.ndarray) -> torch.Tensor:
        """float32 (B,); missing cells are 0, the training mean."""
        array = values if isinstance(values, np.ndarray) else np.asarray(
            [0.0 if value is None else value for value in values], dtype=np.float64
        )
        limit = float(np.finfo(np.float32).max)
        return torch.from_numpy(np.clip(array, -limit, limit).astype(np.float32))

    def trim(self, field: Field) -> Field:
        """Nothing to cut."""
        return field

    def decode(self, output: Any, context: Any = None) -> Any:
        """On the scale of the file: a float for one number, a float64 array for many."""
        if isinstance(output, torch.Tensor):
            output = output.detach().to("cpu", torch.float64).numpy()
        array = np.asarray(output, dtype=np.float64) * self.std + self.mean
        if self.log_unit is not None:
            array = np.sign(array) * np.expm1(np.minimum(np.abs(array), 700.0)) * self.log_unit
        return float(array) if array.ndim == 0 else array

    def describe(self) -> dict[str, Any]:
        """Nothing an encoder needs."""
        return {}

    def to_json(self) -> dict[str, Any]:
        """A JSON object that `from_json` reads back."""
        return {
            "kind": self.kind,
            "options": {"decimal": self.decimal, "scale": self.scale, "target": self.target},
            "fitted": {"mean": self.mean, "std": self.std, "log_unit": self.log_unit},
        }

    @classmethod
    def from_json(cls, value: Any) -> Self:
        """Read what `to_json` wrote."""
        with checks.reading(cls.kind):
            options, fitted = checks.parts(value, cls.kind)
            codec = cls(**options)
            codec.mean = checks.real(fitted["mean"], "mean")
            codec.std = checks.real(fitted["std"], "std", low=SMALLEST)
            unit = fitted["log_unit"]
            codec.log_unit = None if unit is None else checks.real(unit, "log_unit", low=SMALLEST)
        return codec

    def parse(self, cell: object) -> float | None:
        """The number that a cell stands for, in its own unit; None when missing; CellError when unreadable."""
        if cell is None:
            return None
        if isinstance(cell, str):
            number = parse_number(cell, decimal=self.decimal)
            if number is None:
                return None
        else:
            try:
                number = float(cell)  # type: ignore[arg-type]
            except (TypeError, ValueError, OverflowError):
                raise CellError("number-unreadable", f"expected a number, received {type(cell).__name__}") from None
        if math.isnan(number):
            return None
        if math.isinf(number):
            raise CellError("number-infinite", "expected a finite number, received an infinite one")
        return number


def _heavy(array: np.ndarray) -> bool:
    low, middle, high = np.quantile(array, (0.05, 0.5, 0.95))
    farthest = float(np.abs(array - middle).max())
    # Over half zeros with a few large amounts has width 0: compare with the sizes that do occur.
    width = float(high - low) or float(np.median(np.abs(array[array != middle]))) if farthest else 0.0
    return farthest > HEAVY * width
