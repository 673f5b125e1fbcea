"""Where it fails: groups of rows that score worse than the others, and the rows that are furthest off.

Many groups are looked at, so p values are raised by Benjamini and Hochberg's rule before any is called real.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl
from scipy.stats import fisher_exact, ttest_ind

from gradatim.data.numbers import parse_number
from gradatim.data.schema import Schema
from gradatim.data.table import Table
from gradatim.errors import CellError, DataError
from gradatim.evaluate.intervals import benjamini_hochberg, bootstrap_means, wilson

FEWEST_ROWS = 15
MOST_CATEGORIES = 12
FALSE_DISCOVERIES = 0.05

Slice = tuple[str, str, np.ndarray]


def find_slices(
    table: Table,
    schema: Schema,
    rows: np.ndarray,
    labels: np.ndarray,
    answer: np.ndarray,
    *,
    classes: Sequence[Any] = (),
    most: int = 15,
    fewest_rows: int = FEWEST_ROWS,
    seed: int = 0,
) -> list[dict[str, Any]]:
    """Slices by category, number, missing cell, length of text and predicted class; the surest failures first.

    rows (N,): row numbers in the table; labels (N,) class numbers or numbers; answer (N, C) probabilities or (N,)
    numbers; classes empty for numbers. Columns of role input, id of a group, and time are looked at. Gives
    [{slice, column, rows, measure ("accuracy" or "mean absolute error"), value, low, high, rest, p, q, significant}],
    only slices that do worse than the rest, at most `most`.
    """
    rows, labels, answer = np.asarray(rows), np.asarray(labels), np.asarray(answer, dtype=np.float64)
    if not len(rows) == len(labels) == len(answer):
        raise DataError(f"expected as many rows as labels and answers, received {len(rows)}, {len(labels)}, {len(answer)}")
    right = (answer.argmax(axis=1) == labels).astype(np.float64) if len(classes) else np.abs(answer - labels)
    found, seen = [], set()
    for column, text, inside in _slices(table, schema, rows, answer, classes):
        count = int(inside.sum())
        if count < fewest_rows or len(rows) - count < fewest_rows or inside.tobytes() in seen:
            continue
        seen.add(inside.tobytes())
        found.append({"slice": text, "column": column, "rows": count, **_compare(right, inside, bool(len(classes)), seed)})
    for entry, q in zip(found, benjamini_hochberg(np.array([entry["p"] for entry in found]))):
        entry["q"], entry["significant"] = float(q), bool(q < FALSE_DISCOVERIES)
    better = 1 if len(classes) else -1
    worse = [entry for entry in found if better * (entry["rest"] - entry["value"]) > 0]
    return sorted(worse, key=lambda entry: (entry["q"], entry["p"]))[:most]


def worst_rows(
    table: Table,
    schema: Schema,
    rows: np.ndarray,
    labels: np.ndarray,
    answer: np.ndarray,
    *,
    classes: Sequence[Any] = (),
    most: int = 12,
) -> list[dict[str, Any]]:
    """The rows that the answer is furthest off on, with the cells to show; arguments as for `find_slices`.

    Classification: wrong rows by least probability of the true class. Numbers: largest absolute error.
    """
    rows, labels, answer = np.asarray(rows), np.asarray(labels), np.asarray(answer, dtype=np.float64)
    if len(classes):
        cost = -answer[np.arange(len(rows)), labels.astype(np.int64)]
        wrong = answer.argmax(axis=1) != labels
    else:
        cost, wrong = np.abs(answer - labels), answer != labels
    order = np.flatnonzero(wrong)[np.argsort(-cost[wrong], kind="stable")][:most]
    found = []
    for i in order:
        entry: dict[str, Any] = {"row": int(rows[i]), "line": table.line(int(rows[i]))}
        if len(classes):
            chosen = int(answer[i].argmax())
            entry |= {"true": str(classes[int(labels[i])]), "predicted": str(classes[chosen]),
                      "probability": float(answer[i, chosen])}
        else:
            entry |= {"true": float(labels[i]), "predicted": float(answer[i]), "probability": None}
        found.append(entry)
    return with_cells(found, table, schema)


def with_cells(entries: Sequence[Mapping[str, Any]], table: Table, schema: Schema, *, most: int = 8) -> list[dict[str, Any]]:
    """The entries (each with `row`) with the cells of their input and id columns: [{column, kind, cell}]."""
    columns = [c for c in schema.columns if c.role in ("id", "input") and c.name in table.frame.columns]
    # Pictures, sounds and texts say most, so they are the last to be cut.
    rank = {"image": 0, "audio": 0, "text": 1}
    columns = sorted(columns, key=lambda column: rank.get(column.kind, 2))[:most]
    numbers = [int(entry["row"]) for entry in entries]
    picked = table.frame[numbers] if numbers else table.frame.head(0)
    return [
        {**entry, "line": entry.get("line", table.line(int(entry["row"]))),
         "cells": [{"column": c.name, "kind": c.kind, "cell": picked[c.name][place]} for c in columns]}
        for place, entry in enumerate(entries)
    ]


def _slices(
    table: Table, schema: Schema, rows: np.ndarray, answer: np.ndarray, classes: Sequence[Any]
) -> Iterator[Slice]:
    for column in schema.columns:
        if column.role not in ("input", "group", "time") or column.name not in table.frame.columns:
            continue
        cells = table.frame[column.name][rows.astype(np.int64)]
        missing = cells.is_null().to_numpy()
        if missing.any():
            yield column.name, f"{column.name} missing", missing
        if column.kind == "number":
            yield from _number_slices(column.name, cells)
        elif column.kind == "text":
            yield from _length_slices(column.name, cells)
        elif column.kind == "category":
            yield from _category_slices(column.name, cells)
    if len(classes):
        chosen = answer.argmax(axis=1)
        for c, name in enumerate(classes):
            yield "prediction", f"predicted '{name}'", chosen == c
    else:
        yield from _bins("prediction", "predicted", answer)


def _category_slices(name: str, cells: pl.Series) -> Iterator[Slice]:
    texts = cells.cast(pl.String, strict=False)
    for level in texts.drop_nulls().value_counts(sort=True)[texts.name].head(MOST_CATEGORIES).to_list():
        yield name, f"{name} = '{level}'", (texts == level).fill_null(False).to_numpy()


def _number_slices(name: str, cells: pl.Series) -> Iterator[Slice]:
    if cells.dtype.is_numeric() or cells.dtype == pl.Boolean:
        yield from _bins(name, name, cells.cast(pl.Float64).fill_null(np.nan).to_numpy())
        return
    values = np.full(len(cells), np.nan)
    for place, cell in enumerate(cells.to_list()):
        try:
            value = parse_number(cell)
        except CellError:
            continue
        values[place] = np.nan if value is None else value
    yield from _bins(name, name, values)


def _length_slices(name: str, cells: pl.Series) -> Iterator[Slice]:
    lengths = cells.cast(pl.String, strict=False).str.split(" ").list.len().cast(pl.Float64)
    yield from _bins(name, f"words in {name}", lengths.fill_null(np.nan).to_numpy())


def _bins(name: str, text: str, values: np.ndarray, parts: int = 4) -> Iterator[Slice]:
    """Quarters of the rows; each distinct value on its own when there are few."""
    known = np.isfinite(values)
    distinct = np.unique(values[known])
    if len(distinct) <= parts + 1:
        for value in distinct if len(distinct) > 1 else ():
            yield name, f"{text} = {value:g}", values == value
        return
    edges = np.unique(np.quantile(values[known], np.linspace(0, 1, parts + 1)))
    for place, (low, high) in enumerate(zip(edges[:-1], edges[1:])):
        last = place == len(edges) - 2
        inside = known & (values >= low) & ((values <= high) if last else (values < high))
        yield name, f"{text} from {low:.4g} to {'' if last else 'under '}{high:.4g}", inside


def _compare(right: np.ndarray, inside: np.ndarray, classes: bool, seed: int) -> dict[str, Any]:
    """Value of the slice with its interval, of the rest, and the p value of no difference."""
    here, rest = right[inside], right[~inside]
    if classes:
        low, high = wilson(here.sum(), len(here))
        test = fisher_exact([[here.sum(), len(here) - here.sum()], [rest.sum(), len(rest) - rest.sum()]])
        return {"measure": "accuracy", "value": float(here.mean()), "low": low, "high": high,
                "rest": float(rest.mean()), "p": float(test[1])}
    low, high = bootstrap_means(here, lambda means: means[:, 0], seed=seed)
    p = 1.0 if here.std() == 0 and rest.std() == 0 else float(ttest_ind(here, rest, equal_var=False).pvalue)
    return {"measure": "mean absolute error", "value": float(here.mean()), "low": low, "high": high,
            "rest": float(rest.mean()), "p": p if np.isfinite(p) else 1.0}
