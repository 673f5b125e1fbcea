"""JSON lines, and a JSON file that is one array of objects: a column a key, a row an object."""

import json
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import polars as pl

from gradatim.data.encoding import TextFile, read_text_file
from gradatim.data.table import Table
from gradatim.errors import DataError


def read_json_rows(path: Path) -> Table:
    """Read .jsonl / .ndjson (an object a line) or .json (an array of objects).

    Columns come in the order in which keys first appear; a key that an object lacks is null, and so is "". Numbers
    and booleans keep their type where a column holds nothing else; a column of mixed types becomes text, nested
    objects become JSON text, and the notes say so. Raises DataError with the line of what does not parse.
    """
    text = read_text_file(path)
    if text.data.lstrip()[:1] == b"[":
        rows, lines = _array(text), None
    else:
        rows, lines = _lines(text)
    if not rows:
        raise DataError(f"{text.name}: expected at least one object, found none; check how the file was written")
    frame, notes = rows_to_frame(rows, text.name)
    return Table(frame, path.parent, lines, text.name, text.notes + notes)


def rows_to_frame(rows: list[dict[str, Any]], name: str) -> tuple[pl.DataFrame, tuple[str, ...]]:
    """A frame of JSON objects, and notes on what had to change."""
    keys = list(dict.fromkeys(key for row in rows for key in row))
    if not keys:
        raise DataError(f"{name}: expected objects with keys, found only empty ones; check how the file was written")
    notes = []
    short = sum(len(row) < len(keys) for row in rows)
    if short:
        notes.append(f"{short:,} of {len(rows):,} objects lack some of the {len(keys)} keys: those cells are missing")
    columns = []
    for key in keys:
        cells = [None if (cell := row.get(key)) == "" else cell for row in rows]
        column, note = _column(key, cells)
        columns.append(column)
        notes += note
    return pl.DataFrame(columns), tuple(notes)


def _column(key: str, cells: list[Any]) -> tuple[pl.Series, list[str]]:
    types = {type(cell) for cell in cells if cell is not None}
    if types <= {str}:
        return pl.Series(key, cells, dtype=pl.String), []
    if types == {bool}:
        return pl.Series(key, cells, dtype=pl.Boolean), []
    if types == {int} and all(cell is None or -(2**63) <= cell < 2**63 for cell in cells):
        return pl.Series(key, cells, dtype=pl.Int64), []
    if float in types and types <= {int, float}:
        return pl.Series(key, [None if c is None or c != c else float(c) for c in cells], dtype=pl.Float64), []
    if types == {list}:
        inner = {type(item) for cell in cells if cell is not None for item in cell}
        if inner <= {str} or inner <= {int, float}:
            dtype = pl.List(pl.String) if inner <= {str} else pl.List(pl.Float64)
            return pl.Series(key, cells, dtype=dtype), []
    kinds = " and ".join(sorted(_JSON_NAMES.get(type_, type_.__name__) for type_ in types))
    spelled = [c if c is None or isinstance(c, str) else json.dumps(c, ensure_ascii=False) for c in cells]
    return pl.Series(key, spelled, dtype=pl.String), [f"column '{key}' holds {kinds}: read as text"]


_JSON_NAMES = {str: "texts", int: "whole numbers", float: "numbers", bool: "booleans", list: "lists", dict: "objects"}


def _lines(text: TextFile) -> tuple[list[dict[str, Any]], np.ndarray]:
    rows: list[dict[str, Any]] = []
    lines: list[int] = []
    for line, record in enumerate(text.data.split(b"\n"), start=1):
        if not record.strip():
            continue
        value = _parse(record, f"{text.name}, line {line}")
        if not isinstance(value, dict):
            raise DataError(f'{text.name}, line {line}: expected an object {{"column": value, …}}, '
                            f"found {_one(value)}; write one object a line")
        rows.append(value)
        lines.append(line)
    return rows, np.asarray(lines, dtype=np.int64)


def _array(text: TextFile) -> list[dict[str, Any]]:
    rows = _parse(text.data, text.name)
    wrong = next((place for place, row in enumerate(rows) if not isinstance(row, dict)), None)
    if wrong is not None:
        raise DataError(f"{text.name}, element {wrong}: expected an array of objects, found "
                        f"{_one(rows[wrong])}; write one object a row")
    return rows


def _parse(data: bytes, place: str) -> Any:
    try:
        return msgspec.json.decode(data)
    except (msgspec.DecodeError, RecursionError) as error:
        try:  # Python writes NaN, which JSON does not know
            return json.loads(data, parse_constant=_nothing)
        except (ValueError, RecursionError):
            raise DataError(f"{place}: expected JSON, found text that does not parse ({error}); mend it") from None


def _one(value: Any) -> str:
    return {str: "a text", bool: "a boolean", list: "a list", type(None): "null"}.get(type(value), "a number")


def _nothing(constant: str) -> None:
    if constant != "NaN":
        raise ValueError(constant)
