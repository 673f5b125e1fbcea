"""Rows as they were read: a polars frame, the folder that file names are relative to, the source line of each row."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from gradatim.errors import DataError


@dataclass(frozen=True, slots=True)
class Table:
    """Rows as read. Cells of text files are strings in their original spelling; an empty cell is null.

    frame: one row a sample; folder: file names in cells are relative to it (None: no files);
    lines: the source line of each row, counted from 1 (None: not from a text file); source: what to call it;
    notes: what the reader found out (separator, encoding …).
    """

    frame: pl.DataFrame
    folder: Path | None = None
    lines: np.ndarray | None = None
    source: str = "table"
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return self.frame.height

    def cells(self, name: str) -> list:
        """The cells of one column as Python objects; None where missing."""
        return self.column(name).to_list()

    def column(self, name: str) -> pl.Series:
        """One column; DataError where the table has none of that name."""
        if name not in self.frame.columns:
            found = ", ".join(self.frame.columns)
            raise DataError(f"{self.source}: expected a column '{name!s:.80}', found {found:.200}")
        return self.frame.get_column(name)

    def cell(self, name: str, row: int) -> Any:
        """One cell as `cells` has it: a list where the frame has lists."""
        found = self.frame.get_column(name)[int(row)]
        return found.to_list() if isinstance(found, pl.Series) else found

    def take(self, rows: np.ndarray) -> "Table":
        """The given rows, in the given order."""
        lines = None if self.lines is None else self.lines[rows]
        return Table(self.frame[np.asarray(rows, dtype=np.int64)], self.folder, lines, self.source, self.notes)

    def line(self, row: int) -> int | None:
        """The source line of a row."""
        return None if self.lines is None else int(self.lines[row])
