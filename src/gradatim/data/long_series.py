"""Long tables, a row a moment, gathered into a row a series: `--gather pulse=long:patient,time,heart,breath`.

Rows of one id become one cell: their values by time, one list for each value column. Disorder is mended and told of:
rows out of order are sorted, a moment that occurs twice keeps its first row, values between moments that are not
evenly spaced count as if they were. Nothing else is dropped: a column that says the same in all rows of an id, as the
target must, keeps that cell; one that varies within ids is left out, and the notes name it.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl

from gradatim.data.dates import seconds_of
from gradatim.data.numbers import parse_numbers
from gradatim.data.readers import no_such_column
from gradatim.data.table import Table
from gradatim.errors import SchemaError

MARK = "long:"
FEW = 0.05  # of the ids may disagree with themselves in a column before it counts as another measurement


def gather_long(table: Table, name: str, parts: Sequence[str]) -> Table:
    """A row for each id, in the order in which ids first appear, with the new column `name` of lists of numbers.

    parts: the id column, the time column, one or more columns of values. Errors: SchemaError for a column that is not
    there, times that are neither numbers nor dates, values of which fewer than half are numbers, and a column in which
    a few ids hold more than one cell while the rest hold one: that is a mistake in the table.

    >>> frame = pl.DataFrame({"id": ["a", "a", "b"], "t": [1, 0, 0], "x": [5.0, 4.0, 7.0], "label": ["u", "u", "v"]})
    >>> gather_long(Table(frame), "x_t", ["id", "t", "x"]).frame.rows()
    [('a', 'u', [4.0, 5.0]), ('b', 'v', [7.0])]
    """
    if len(parts) < 3:
        raise SchemaError(f"--gather {name}=long:…: expected an id, a time and at least one column of values, as "
                          f"long:patient,time,heart; received {len(parts)} columns")
    frame, where = table.frame, f"{table.source}: --gather {name}"
    for part in parts:
        if part not in frame.columns:
            raise SchemaError(f"{where}: {no_such_column(part, frame.columns)}")
    identity, time, *measured = parts
    if name in frame.columns and name not in measured:
        raise SchemaError(f"{where}: expected a new name, '{name}' is a column already")
    notes: list[str] = []
    ids = frame.get_column(identity)
    if ids.null_count():
        notes.append(f"{ids.null_count():,} rows without an id in '{identity}' are left out")
    seconds = seconds_of(frame.get_column(time))
    if seconds is None or seconds.null_count() == len(seconds):
        raise SchemaError(f"{where}: expected numbers or dates in '{time}', received "
                          f"'{str(frame.get_column(time).drop_nulls().head(1).to_list())[1:-1][:40]}'")
    values = np.stack([_numbers(frame.get_column(part), where, notes) for part in measured])
    order = _order(ids, seconds.to_numpy(), time, notes)
    return _gathered(table, name, parts, order, values, notes)


def _numbers(cells: pl.Series, where: str, notes: list[str]) -> np.ndarray:
    """The values of a column, NaN where missing or unreadable."""
    column = parse_numbers(cells)
    unreadable = int(column.unreadable.sum())
    if unreadable > len(cells) / 2:
        raise SchemaError(f"{where}: expected numbers in '{cells.name}', {unreadable:,} of {len(cells):,} cells are "
                          "none; name columns of values after the id and the time")
    if unreadable:
        notes.append(f"{unreadable:,} cells of '{cells.name}' are no numbers and count as missing")
    return column.values.cast(pl.Float64).fill_null(float("nan")).to_numpy().astype(np.float64)


def _order(ids: pl.Series, seconds: np.ndarray, time: str, notes: list[str]) -> list[np.ndarray]:
    """The rows of each id by time, ids in order of first appearance; what was amiss goes into the notes."""
    numbers = np.unique(ids.cast(pl.String).fill_null("").to_numpy(), return_inverse=True)[1]
    known = ~ids.is_null().to_numpy() & ~np.isnan(seconds)
    without_time = int((~ids.is_null().to_numpy() & np.isnan(seconds)).sum())
    if without_time:
        notes.append(f"{without_time:,} rows without a time in '{time}' are left out")
    rows = np.flatnonzero(known)
    rows = rows[np.argsort(numbers[rows], kind="stable")]
    cuts = np.flatnonzero(np.diff(numbers[rows])) + 1
    groups = sorted(np.split(rows, cuts), key=lambda group: int(group[0])) if len(rows) else []
    sorted_ids = twice = uneven = 0
    found = []
    for group in groups:
        moments = seconds[group]
        by_time = np.argsort(moments, kind="stable")
        sorted_ids += bool((np.diff(moments) < 0).any())
        group, moments = group[by_time], moments[by_time]
        first = np.concatenate([[True], np.diff(moments) > 0])
        twice += int((~first).sum())
        group, steps = group[first], np.diff(moments[first])
        uneven += bool(len(steps) > 1 and steps.max() > 1.01 * steps.min())
        found.append(group)
    if sorted_ids:
        notes.append(f"the rows of {sorted_ids:,} of {len(groups):,} ids were not in the order of '{time}': sorted")
    if twice:
        notes.append(f"{twice:,} rows repeat a moment of their id: the first row of each moment is kept")
    if uneven:
        notes.append(f"the moments of {uneven:,} of {len(groups):,} ids are not evenly spaced: their values count as "
                     "if they were")
    return found


def _gathered(
    table: Table, name: str, parts: Sequence[str], order: list[np.ndarray], values: np.ndarray, notes: list[str]
) -> Table:
    frame, kept, varying = table.frame, [], []
    firsts = np.array([group.min() for group in order], dtype=np.int64)
    for column in frame.columns:
        if column in parts[1:]:
            continue
        cells, disagreeing = _one_each(frame.get_column(column), order)
        if not disagreeing:
            kept.append(cells)
        elif disagreeing <= FEW * len(order):
            raise SchemaError(f"{table.source}: expected one cell of '{column}' for each id, {disagreeing:,} of "
                              f"{len(order):,} ids have several; mend them, or drop the column")
        else:
            varying.append(column)
    if varying:
        notes.append(f"{', '.join(map(repr, varying[:5]))} vary within ids and are left out; name them in --gather to "
                     "use them as values")
    lists: list[Any] = [[_plain(values[channel, group]) for channel in range(len(values))] for group in order]
    inner = pl.List(pl.Float64)
    nested = [row[0] for row in lists] if len(values) == 1 else lists
    series = pl.Series(name, nested, dtype=inner if len(values) == 1 else pl.List(inner))
    lengths = [len(group) for group in order]
    span = f"{min(lengths):,} to {max(lengths):,}" if lengths else "0"
    notes.insert(0, f"{len(frame):,} rows gathered into {len(order):,} series of {len(values)} "
                    f"channel{'s' if len(values) > 1 else ''}, {span} steps")
    lines = None if table.lines is None else table.lines[firsts]
    return Table(pl.DataFrame([*kept, series]), table.folder, lines, table.source, (*table.notes, *notes))


def _one_each(cells: pl.Series, order: list[np.ndarray]) -> tuple[pl.Series, int]:
    """The first filled cell of each id, and how many ids hold different ones."""
    codes = cells.cast(pl.String, strict=False).to_list()
    chosen, disagreeing = [], 0
    for group in order:
        filled = [int(row) for row in group if codes[row] is not None]
        chosen.append(filled[0] if filled else int(group[0]))
        disagreeing += len({codes[row] for row in filled}) > 1
    return cells.gather(chosen), disagreeing


def _plain(line: np.ndarray) -> list[float | None]:
    return [None if np.isnan(value) else float(value) for value in line]
