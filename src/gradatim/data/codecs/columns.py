"""Whole columns of numbers and categories at once: what `fit` and `encode` give cell by cell, without the loop.

A column of numbers is read by polars where its cells are plain numbers; the other cells, and the distinct cells of a
column of categories, go through the codec's own `parse` and `encode`, each different cell once.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl
import torch

from gradatim.data.codecs.category import CategoryCodec
from gradatim.data.codecs.number import NumberCodec
from gradatim.data.numbers import MAX_NUMBER_CHARACTERS
from gradatim.errors import CellError

Errors = list[tuple[int, CellError]]


def is_plain(codec: Any, cells: pl.Series) -> bool:
    """Whether the column can be read at once: a number or category codec, cells of a type that can be compared."""
    return isinstance(codec, NumberCodec | CategoryCodec) and not (
        cells.dtype.is_nested() or cells.dtype in (pl.Binary, pl.Object)
    )


def fit_column(codec: Any, cells: pl.Series) -> Any:
    """The codec fitted on the cells, as `codec.fit(cells.to_list())` does it."""
    if not is_plain(codec, cells):
        return codec.fit(cells.to_list())
    if isinstance(codec, NumberCodec):
        numbers = read_numbers(codec, cells)[0]
        return codec.fit_numbers(numbers[~np.isnan(numbers)])
    values, codes = distinct(cells)
    return codec.fit(values, counts=np.bincount(codes[codes >= 0], minlength=len(values)).tolist())


def encode_column(codec: Any, cells: pl.Series) -> tuple[torch.Tensor, np.ndarray, Errors]:
    """The encoded column (N,), which cells are there, bool (N,), and the unreadable ones by row."""
    if isinstance(codec, NumberCodec):
        numbers, errors = read_numbers(codec, cells)
        present = ~np.isnan(numbers)
        return codec.stack(np.where(present, codec.scaled(numbers), 0.0)), present, errors
    found, codes, errors = category_codes(codec, cells)
    numbers = found[codes]
    return codec.stack(np.maximum(numbers, 0)), numbers >= 0, errors


def read_numbers(codec: NumberCodec, cells: pl.Series) -> tuple[np.ndarray, Errors]:
    """`codec.parse` over a column: float64 (N,), NaN where missing or unreadable; and the unreadable cells by row."""
    plain = _plain_numbers(codec, cells)
    numbers = plain.to_numpy().astype(np.float64)
    odd = np.flatnonzero((plain.is_null() & cells.is_not_null()).to_numpy())
    known: dict[Any, float | CellError] = {}
    errors: Errors = []
    for row, cell in zip(odd.tolist(), cells[odd].to_list()):
        key = (type(cell), cell)
        if key not in known:
            try:
                number = codec.parse(cell)
                known[key] = np.nan if number is None else number
            except CellError as error:
                known[key] = error
        value = known[key]
        if isinstance(value, CellError):
            errors.append((row, value))
        else:
            numbers[row] = value
    return numbers, errors


def _plain_numbers(codec: NumberCodec, cells: pl.Series) -> pl.Series:
    """Float64 where the cell has one reading that needs no rule, else null."""
    if not (cells.dtype == pl.String or cells.dtype.is_numeric() or cells.dtype == pl.Boolean):
        return pl.repeat(None, cells.len(), dtype=pl.Float64, eager=True)
    values = cells.cast(pl.Float64, strict=False)
    plain = values.is_finite()
    if cells.dtype == pl.String:
        plain = plain & (cells.str.len_bytes() <= MAX_NUMBER_CHARACTERS)
        if codec.decimal == ",":  # the plain reading of '1.234' is the wrong one here
            plain = plain & ~cells.str.contains(".", literal=True)
    return values.set(~plain.fill_null(False), None)


def category_codes(codec: CategoryCodec, cells: pl.Series) -> tuple[np.ndarray, np.ndarray, Errors]:
    """Numbers int64 (D + 1,) of the distinct cells, −1 at the end for missing and unreadable ones; the place of each
    row among them, int64 (N,); and the unreadable cells by row.

    >>> codec = CategoryCodec(target=True).fit(["a", "b"])
    >>> numbers, places, errors = category_codes(codec, pl.Series(["b", None, "c", "b"]))
    >>> numbers[places].tolist(), [row for row, _ in errors]
    ([1, -1, -1, 1], [2])
    """
    values, codes = distinct(cells)
    numbers = np.full(len(values) + 1, -1, dtype=np.int64)
    refused: dict[int, CellError] = {}
    for place, value in enumerate(values):
        try:
            number = codec.encode(value)[0]
            numbers[place] = -1 if number is None else number
        except CellError as error:
            refused[place] = error
    rows = np.flatnonzero(np.isin(codes, list(refused))).tolist() if refused else []
    return numbers, codes, [(row, refused[int(codes[row])]) for row in rows]


def distinct(cells: pl.Series) -> tuple[Sequence[Any], np.ndarray]:
    """The different filled cells, in order of first row, and the place of each row's cell, int64 (N,), −1 for none."""
    values = cells.drop_nulls().unique(maintain_order=True)
    if not values.len():
        return [], np.full(cells.len(), -1, dtype=np.int64)
    places = cells.replace_strict(values, pl.int_range(values.len(), eager=True), default=None, return_dtype=pl.Int64)
    return values.to_list(), places.fill_null(-1).to_numpy()
