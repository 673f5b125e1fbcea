"""One finding of the audit: what was seen, what it leads to, what to do."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

SEVERITIES = ("error", "warning", "note")
MOST_ROWS = 100  # listed in one finding

# Every code, and what it means. Codes are stable: scripts may rely on them.
CODES = {
    "cell-unreadable": "cells that cannot be decoded; the rows stay, the cells count as absent",
    "class-imbalance": "the most frequent class outweighs the rarest by far",
    "class-single-example": "classes with one labelled row",
    "class-unseen-in-train": "labels in the test table that no training row has",
    "column-constant": "an input that is the same in every row",
    "column-missing-in-test": "an input column that the test table lacks",
    "duplicate-across-files": "rows of the test table that hold the same as training rows",
    "duplicate-across-split": "rows that hold the same on two sides of the split",
    "duplicate-inside": "rows of the table that hold the same as another; they stay on one side of the split",
    "duplicate-tie-refused": "content shared by so many rows that they were not tied",
    "group-across-files": "groups that have rows in both tables",
    "label-conflict": "rows with equal inputs and different labels",
    "label-spelling": "labels that differ only by case or spaces",
    "leak-label-in-text": "the label itself stands in a text input",
    "leak-missingness": "whether a cell is missing tells the target",
    "leak-single-column": "one input alone predicts the target almost perfectly",
    "same-short-text": "short texts that occur several times; a finding only, nothing is tied",
    "shift-train-test": "training and test rows can be told apart",
    "shortcut-duration": "the length, rate or channels of the sounds predict the target",
    "shortcut-file-format": "the format of the files predicts the target",
    "shortcut-file-name": "the names of the files predict the target",
    "shortcut-file-size": "the size of the files in bytes predicts the target",
    "shortcut-picture-size": "width, height or aspect of the pictures predict the target",
    "target-missing": "rows without a target",
    "target-unreadable": "targets that are no numbers",
}


@dataclass(frozen=True, slots=True)
class Finding:
    """What the audit saw. rows: row numbers in the table (in the test table where the code says so), at most 100.

    values: the figures behind the evidence, by name, plain JSON values.
    """

    code: str
    severity: str
    evidence: str
    consequence: str
    remedy: str
    columns: tuple[str, ...] = ()
    rows: tuple[int, ...] = ()
    values: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.code not in CODES or self.severity not in SEVERITIES:
            raise ValueError(f"expected a known code and severity, received {self.code!r}, {self.severity!r}")

    @property
    def column(self) -> str:
        """The columns as one string; empty when the finding is about whole rows."""
        return ", ".join(self.columns)

    def to_json(self) -> dict[str, Any]:
        """A JSON object: code, severity, column, columns, evidence, consequence, remedy, rows, values."""
        return {
            "code": self.code, "severity": self.severity, "column": self.column, "columns": list(self.columns),
            "evidence": self.evidence, "consequence": self.consequence, "remedy": self.remedy,
            "rows": list(self.rows), "values": dict(self.values),
        }

    def __str__(self) -> str:
        place = f" [{self.column}]" if self.columns else ""
        return f"{self.severity}: {self.code}{place}: {self.evidence}"


def first_rows(rows: Sequence[int] | Any) -> tuple[int, ...]:
    """The first hundred row numbers, ascending."""
    return tuple(sorted(int(row) for row in rows)[:MOST_ROWS])


def listed(values: Sequence[Any], *, most: int = 4) -> str:
    """The first few values in words.

    >>> listed([1, 2, 3, 4, 5, 6])
    '1, 2, 3, 4 and 2 more'
    """
    shown = ", ".join(str(value) for value in values[:most])
    return shown if len(values) <= most else f"{shown} and {len(values) - most} more"
