"""Several columns as one: `box=xmin,ymin,xmax,ymax,label` a target of boxes, `pulse=long:id,time,x` rows of series."""

import json
from collections.abc import Mapping
from typing import Any

import polars as pl

from gradatim.data.long_series import MARK, gather_long
from gradatim.data.readers import no_such_column
from gradatim.data.table import Table
from gradatim.errors import SchemaError


def gather_again(table: Table, wanted: Mapping[str, str]) -> Table:
    """A new table gathered as the fitted one was; a column that is there already, gathered, stays as it is."""
    there = set(table.frame.columns)
    left = {name: text for name, text in wanted.items()
            if name not in there or (name in _parts(text) and set(_parts(text)) <= there)}
    return gather_columns(table, left)


def _parts(text: str) -> list[str]:
    """The columns that are gathered."""
    return [part.strip() for part in text.strip().removeprefix(MARK).split(",")]


def gather_columns(table: Table, wanted: Mapping[str, str]) -> Table:
    """The table with new columns in place of those that they are gathered from.

    wanted: new column → names divided by commas: four numbers of a box and perhaps its label, or x and y of each point
    in turn. A row in which all of them are empty gets an empty cell. A table that has none of the columns, as one to
    predict, is left as it is. `long:ID,TIME,VALUE,…` gathers rows into series (`long_series`). Errors: SchemaError for
    a column that is not there, and for a number of columns that makes neither a box nor points.

    >>> frame = pl.DataFrame({"x0": [12.0], "y0": [30.0], "x1": [80.0], "y1": [99.0]})
    >>> gather_columns(Table(frame), {"box": "x0,y0,x1,y1"}).frame["box"].to_list()
    ['[[12.0, 30.0, 80.0, 99.0]]']
    """
    for name, text in wanted.items():
        if text.strip().startswith(MARK):
            parts = _parts(text)
            if any(part in table.frame.columns for part in parts[1:]):
                table = gather_long(table, name, parts)
    frame = table.frame
    for name, text in wanted.items():
        if text.strip().startswith(MARK):
            continue
        parts = _parts(text)
        there = [part for part in parts if part in frame.columns]
        if not there:
            continue
        for part in parts:
            if part not in frame.columns:
                raise SchemaError(f"{table.source}: --gather {name}: {no_such_column(part, frame.columns)}")
        if len(parts) < 2 or (len(parts) % 2 and len(parts) != 5):
            raise SchemaError(f"--gather {name}={text}: expected four columns of a box and perhaps its label, or two "
                              f"for each point; received {len(parts)}")
        if name in frame.columns and name not in parts:
            raise SchemaError(f"--gather {name}=…: expected a new name, '{name}' is a column already")
        cells = [_cell(row) for row in frame.select(parts).iter_rows()]
        frame = frame.drop(parts).with_columns(pl.Series(name, cells, dtype=pl.String))
    return table if frame is table.frame else Table(frame, table.folder, table.lines, table.source, table.notes)


def _cell(row: tuple[Any, ...]) -> str | None:
    """The gathered cell as JSON; texts of numbers stay texts, which the codecs read as well."""
    if all(part is None for part in row):
        return None
    if len(row) in (4, 5):
        return json.dumps([[*row[:4], *(label for label in row[4:] if label is not None)]], ensure_ascii=False)
    pairs = [row[place : place + 2] for place in range(0, len(row), 2)]
    return json.dumps([None if None in pair else [float(value) if _is_number(value) else value for value in pair]
                       for pair in pairs])


def _is_number(value: Any) -> bool:
    try:
        float(value)
    except (TypeError, ValueError):
        return False
    return True
