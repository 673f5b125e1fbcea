"""Files of the time series classification archive: `.ts`, a series a line, channels divided by colons, the label last.

The format of aeon and sktime (timeseriesclassification.com): lines `@name value`, then `@data`, then a row a line.
"""

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from gradatim.data.encoding import read_text_file
from gradatim.data.numbers import is_missing_spelling
from gradatim.data.table import Table
from gradatim.errors import DataError

MISSING = ("?", "NaN", "nan", "")


def read_ts(path: Path) -> Table:
    """A table of the column `series` and, where the file has one, `label` (classes) or `target` (numbers).

    A series of one channel is a list of numbers, one of several a list of such lists; `?` is a missing value (null).
    Times in brackets, `(2007-01-01 00:00:00,241.97)`, are dropped and the notes say so: values count as evenly spaced.
    Raises DataError with the line of what cannot be read.
    """
    text = read_text_file(path)
    header: dict[str, list[str]] = {}
    rows: list[list[list[float | None]]] = []
    labels: list[str | None] = []
    lines: list[int] = []
    begun = labelled = numeric = timed = False
    for number, raw in enumerate(text.data.decode("utf-8").splitlines(), start=1):
        line = raw.strip()
        if not line or (line[0] in "#%" and not begun):
            continue
        if not begun:
            name, *words = line.split()
            if not name.startswith("@"):
                raise DataError(f"{text.name}, line {number}: expected a line such as @classLabel true a b, or @data, "
                                f"received '{line[:40]}'; this is no .ts file")
            header[name[1:].casefold()] = words
            if name.casefold() == "@data":
                begun, labelled, numeric, timed = True, *_said(header)
            continue
        *parts, last = line.split(":") if not timed else _parts_with_times(line, labelled)
        if not labelled:
            parts.append(last)
        elif not parts:
            raise DataError(f"{text.name}, line {number}: expected a series, a colon and a label, found no colon")
        rows.append([_channel(part, timed, f"{text.name}, line {number}") for part in parts])
        labels.append(None if not labelled or is_missing_spelling(last.strip()) else last.strip())
        lines.append(number)
    if not rows:
        raise DataError(f"{text.name}: expected rows after @data, found none; check how the file was written")
    return Table(_frame(rows, labels if labelled else None, numeric), path.parent, np.array(lines), text.name,
                 (*text.notes, *_notes(rows, timed)))


def _said(header: dict[str, list[str]]) -> tuple[bool, bool, bool]:
    """Whether rows end in a label, whether that is a number, and whether values carry their times."""
    def true(name: str) -> bool:
        return bool(header.get(name)) and header[name][0].casefold() == "true"

    return true("classlabel") or true("targetlabel"), true("targetlabel"), true("timestamps")


def _parts_with_times(line: str, labelled: bool) -> list[str]:
    """Channels `(time,value),…` divided by `):`, whose times may hold colons, and the label."""
    parts = [part + ")" if not part.endswith(")") and part.lstrip().startswith("(") else part
             for part in line.split("):")]
    return parts if labelled else [*parts, ""][: len(parts)]


def _channel(part: str, timed: bool, place: str) -> list[float | None]:
    if timed:
        pairs = [pair.strip(" ()") for pair in part.split("),")]
        words = [pair.rpartition(",")[2] for pair in pairs]
    else:
        words = part.split(",")
    try:
        return [None if word.strip() in MISSING else float(word) for word in words]
    except ValueError:
        wrong = next(word for word in words if not _is_number(word))
        raise DataError(f"{place}: expected numbers divided by commas, '?' where one is missing; received "
                        f"'{wrong.strip()[:40]}'") from None


def _is_number(word: str) -> bool:
    try:
        return word.strip() in MISSING or float(word) is not None
    except ValueError:
        return False


def _frame(rows: list[list[list[float | None]]], labels: list[str | None] | None, numeric: bool) -> pl.DataFrame:
    single = all(len(row) == 1 for row in rows)
    cells: list[Any] = [row[0] for row in rows] if single else rows
    inner = pl.List(pl.Float64)
    columns = [pl.Series("series", cells, dtype=inner if single else pl.List(inner))]
    if labels is not None:
        columns.append(pl.Series("target" if numeric else "label", labels, dtype=pl.String))
    return pl.DataFrame(columns)


def _notes(rows: list[list[list[float | None]]], timed: bool) -> list[str]:
    steps = sorted({len(channel) for row in rows for channel in row})
    channels = sorted({len(row) for row in rows})
    missing = sum(value is None for row in rows for channel in row for value in channel)
    long = f"{steps[0]:,}" if len(steps) == 1 else f"{steps[0]:,} to {steps[-1]:,}"
    notes = [f"{len(rows):,} series of {' or '.join(map(str, channels[:3]))} channels, {long} steps"]
    if missing:
        notes.append(f"{missing:,} values are missing")
    if timed:
        notes.append("the times of the values were dropped: they count as evenly spaced")
    return notes
