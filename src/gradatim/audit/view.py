"""What the findings look at: the columns of a table as numbers, codes and words, a sample of rows, the target."""

from dataclasses import dataclass

import numpy as np
import polars as pl

from gradatim.audit.probes import Target, folds_of
from gradatim.data.fingerprints import Prints
from gradatim.data.numbers import parse_numbers
from gradatim.data.schema import Column, Schema
from gradatim.data.split import targets_of
from gradatim.data.stratify import strata_of
from gradatim.data.table import Table
from gradatim.randomness import generator

MOST_ROWS = 8000  # that a probe looks at
FEWEST_ROWS = 40  # below, no probe says anything
MOST_CLASSES = 300  # above, each has too few rows in the sample


@dataclass(slots=True)
class View:
    """A table under audit.

    prints: what was compared for duplicates, by column; labelled: rows with a target, int64; sample: at most 8,000
    of them; target, folds: over the sample (None without a usable target, under 40 labelled rows, over 300 classes);
    numeric: whether the target is a number.
    """

    table: Table
    schema: Schema
    prints: dict[str, Prints]
    targets: list[object]
    labelled: np.ndarray
    sample: np.ndarray
    target: Target | None
    folds: np.ndarray
    target_notes: list[str]
    numeric: bool

    @property
    def sampled(self) -> str:
        """A remark for the evidence when not all rows were looked at."""
        return "" if len(self.sample) == len(self.labelled) else f" (on a sample of {len(self.sample):,} rows)"


def view_of(table: Table, schema: Schema, prints: dict[str, Prints], *, seed: int) -> View:
    """Look at a table; everything random is a function of the seed."""
    random = generator(seed, "audit")
    targets, numeric, notes = (
        targets_of(table, schema) if schema.targets else ([None] * len(table), False, [])
    )
    labelled = np.flatnonzero([target is not None for target in targets])
    sample = labelled
    if len(sample) > MOST_ROWS:
        sample = np.sort(random.choice(sample, MOST_ROWS, replace=False))
    target = None
    usable = bool(schema.targets) and schema.targets[0].kind in ("category", "number")
    if usable and len(sample) >= FEWEST_ROWS:
        chosen = [targets[row] for row in sample]
        codes = strata_of(chosen, numeric=numeric)
        classes = tuple(str(i) for i in range(codes.max() + 1)) if numeric else tuple(map(str, dict.fromkeys(chosen)))
        values = np.array(chosen, dtype=np.float64) if numeric else None
        if 1 < len(classes) <= MOST_CLASSES:
            target = Target(codes, classes, values)
    folds = folds_of(target, random) if target is not None else np.zeros(0, np.int64)
    return View(table, schema, prints, targets, labelled, sample, target, folds, notes, numeric)


def numbers_of(table: Table, column: Column, rows: np.ndarray) -> np.ndarray:
    """A number column as float64 (len(rows),), NaN where missing or unreadable."""
    cells = table.frame.get_column(column.name)[rows]
    return parse_numbers(cells, decimal=column.options.get("decimal")).values.to_numpy().astype(np.float64)


def texts_of(table: Table, name: str, rows: np.ndarray) -> list[str | None]:
    """The cells of a column as strings; None where empty."""
    cells = table.frame.get_column(name)[rows].to_list()
    return [None if cell is None or not str(cell).strip() else str(cell) for cell in cells]


def codes_of(table: Table, name: str, rows: np.ndarray) -> np.ndarray:
    """A column as int64 codes of its distinct cells, 0 where empty."""
    known: dict[str, int] = {}
    texts = texts_of(table, name, rows)
    return np.array([0 if t is None else known.setdefault(t.strip(), len(known) + 1) for t in texts], dtype=np.int64)


def missing_of(table: Table, column: Column, rows: np.ndarray) -> np.ndarray:
    """Whether the cell is empty (or, in a number column, a spelling of nothing), bool (len(rows),)."""
    cells = table.frame.get_column(column.name)[rows]
    if column.kind == "number":
        return parse_numbers(cells, decimal=column.options.get("decimal")).missing.to_numpy().astype(bool)
    if cells.dtype == pl.String:
        return (cells.is_null() | (cells.str.strip_chars() == "").fill_null(True)).to_numpy().astype(bool)
    return cells.is_null().to_numpy().astype(bool)
