"""What happened during training: a row an epoch, notes, and the forecast against what it took."""

import csv
import io
import math
import statistics
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from gradatim.files import write_atomic

Row = dict[str, Any]


class Meter:
    """Gathers the values of steps as tensors and reads them together, so that no step waits for a number.

    The mean of each value is weighted by rows; of names ending in "norm" the median and the largest are kept.

    >>> meter = Meter()
    >>> meter.add({"loss": torch.tensor(1.0)}, 3); meter.add({"loss": torch.tensor(2.0)}, 1)
    >>> meter.row()
    {'loss': 1.25}
    """

    def __init__(self) -> None:
        self.sums: dict[str, list[float]] = {}
        self.norms: dict[str, list[float]] = {}
        self.latest: dict[str, float] = {}
        self._pending: list[tuple[Mapping[str, Any], int]] = []

    def __len__(self) -> int:
        """Steps not read yet."""
        return len(self._pending)

    def add(self, values: Mapping[str, Any], rows: int) -> None:
        """Take the values of one step over so many rows."""
        self._pending.append((values, rows))

    def read(self) -> list[str]:
        """Read all that is pending, one transfer a name; the names whose value was not finite."""
        gathered: dict[str, tuple[list[Any], list[int]]] = {}
        for values, rows in self._pending:
            for name, value in values.items():
                entry = gathered.setdefault(name, ([], []))
                entry[0].append(value)
                entry[1].append(rows)
        self._pending.clear()
        broken = []
        for name, (tensors, weights) in gathered.items():
            numbers = torch.stack([torch.as_tensor(t).reshape(()) for t in tensors]).double().tolist()
            self.latest[name] = numbers[-1]
            if name.endswith("norm"):
                self.norms.setdefault(name, []).extend(numbers)
            else:
                total = self.sums.setdefault(name, [0.0, 0.0])
                for number, weight in zip(numbers, weights):
                    total[0] += number * weight
                    total[1] += weight
            if not all(map(math.isfinite, numbers)):
                broken.append(name)
        return broken

    def row(self) -> dict[str, float]:
        """Means, medians and maxima of all that was added."""
        self.read()
        row = {name: total / weight for name, (total, weight) in self.sums.items()}
        for name, numbers in self.norms.items():
            row[f"{name}_median"] = statistics.median(numbers)
            row[f"{name}_max"] = max(numbers)
        return row

    def to_json(self) -> dict[str, Any]:
        """What was read so far, for a checkpoint in mid-epoch."""
        self.read()
        return {"sums": self.sums, "norms": self.norms}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> "Meter":
        """Read what `to_json` wrote."""
        meter = cls()
        meter.sums = {name: [float(x) for x in pair] for name, pair in value["sums"].items()}
        meter.norms = {name: [float(x) for x in numbers] for name, numbers in value["norms"].items()}
        return meter


@dataclass(slots=True)
class History:
    """What happened. `rows`: one an epoch; `reason`: why it ended ("epochs", "plateau", "time", "not-finite"
    …); `notes`: what a reader should know; `forecast` and `actual`: seconds by part.
    """

    rows: list[Row] = field(default_factory=list)
    reason: str = ""
    notes: list[str] = field(default_factory=list)
    forecast: dict[str, float] = field(default_factory=dict)
    actual: dict[str, float] = field(default_factory=dict)

    def column(self, name: str) -> list[Any]:
        """One value of every row; None where a row has none."""
        return [row.get(name) for row in self.rows]

    def note(self, text: str) -> None:
        """Add a note once."""
        if text not in self.notes:
            self.notes.append(text)

    def forecast_line(self) -> str:
        """Forecast against actual, in one line.

        >>> History(forecast={"total_seconds": 50}, actual={"total_seconds": 60}).forecast_line()
        'forecast 50 s, took 60 s (+20 %)'
        """
        took = self.actual.get("total_seconds", 0.0)
        expected = self.forecast.get("total_seconds")
        if not expected:
            return f"no forecast, took {took:.0f} s"
        return f"forecast {expected:.0f} s, took {took:.0f} s ({100 * (took / expected - 1):+.0f} %)"

    def to_json(self) -> dict[str, Any]:
        """A JSON object that `from_json` reads back."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> "History":
        """Read what `to_json` wrote."""
        return cls(
            [dict(row) for row in value["rows"]],
            str(value["reason"]),
            list(value["notes"]),
            dict(value["forecast"]),
            dict(value["actual"]),
        )

    def to_csv(self, path: Path | str) -> None:
        """Write all rows, atomically."""
        write_atomic(path, _csv_lines(self.names(), self.rows, header=True))

    def append_csv(self, path: Path | str) -> None:
        """Add the last row to the file; the whole file anew where it does not fit to it (new columns, cut
        line).
        """
        path = Path(path)
        names = self.names()
        expected = _csv_lines(names, self.rows[:-1], header=True).encode()
        if not self.rows or not path.is_file() or path.stat().st_size != len(expected):
            self.to_csv(path)
            return
        with path.open("ab") as file:
            file.write(_csv_lines(names, self.rows[-1:], header=False).encode())

    def names(self) -> list[str]:
        """The columns of all rows, in the order in which they appeared."""
        return list(dict.fromkeys(name for row in self.rows for name in row))


def _csv_lines(names: list[str], rows: list[Row], *, header: bool) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    if header:
        writer.writerow(names)
    for row in rows:
        writer.writerow(["" if row.get(name) is None else row[name] for name in names])
    return text.getvalue()


def number_of(value: Any) -> Any:
    """A tensor with one element, or a NumPy scalar, as a Python number; anything else as it is."""
    if isinstance(value, Tensor) and value.numel() == 1:
        return value.item()
    return value.item() if hasattr(value, "item") and getattr(value, "ndim", 1) == 0 else value
