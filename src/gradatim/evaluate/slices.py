"""Where it fails: groups of rows that score worse than the others.

Many groups are looked at, so p values are raised by Benjamini and Hochberg's rule before any is called real.
"""

from collections.abc import Iterator, Sequence
from itertools import pairwise
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


def failing_slices(
    table: Table,
    schema: Schema,
    losses: np.ndarray | None = None,
    *,
    labels: np.ndarray,
    answers: np.ndarray,
    classes: Sequence[Any] = (),
    most: int = 15,
    fewest_rows: int = FEWEST_ROWS,
    seed: int = 0,
) -> list[dict[str, Any]]:
    """Slices by category, number, missing cell, length of text and predicted class; the surest failures first.

    table: the N scored rows; labels (N,) class numbers or numbers; answers (N, C) probabilities or (N,) numbers;
    classes: empty for numbers. losses (N,): p values compare these by Welch's test; without them right and wrong
    answers by Fisher's, or absolute errors. Columns of role input, group and time are looked at. Gives
    [{slice, column, rows, measure ("accuracy" or "mean absolute error"), value, low, high, rest, p, q, significant}],
    only slices that do worse than the rest, at most `most`.
    """
    labels, answers = np.asarray(labels), np.asarray(answers, dtype=np.float64)
    if not len(table) == len(labels) == len(answers):
        raise DataError(f"expected as many rows as labels and answers, received {len(table)}, {len(labels)} "
                        f"and {len(answers)}")
    right = (answers.argmax(axis=1) == labels).astype(np.float64) if len(classes) else np.abs(answers - labels)
    found, seen = [], set()
    for column, text, inside in _slices(table, schema, answers, classes):
        count = int(inside.sum())
        if count < fewest_rows or len(table) - count < fewest_rows or inside.tobytes() in seen:
            continue
        seen.add(inside.tobytes())
        entry = _compare(right, inside, bool(len(classes)), seed)
        entry["p"] = _p_value(right if losses is None else losses, inside, losses is None and bool(len(classes)))
        found.append({"slice": text, "column": column, "rows": count, **entry})
    for entry, q in zip(found, benjamini_hochberg(np.array([entry["p"] for entry in found]))):
        entry["q"], entry["significant"] = float(q), bool(q < FALSE_DISCOVERIES)
    better = 1 if len(classes) else -1
    worse = [entry for entry in found if better * (entry["rest"] - entry["value"]) > 0]
    return sorted(worse, key=lambda entry: (entry["q"], entry["p"]))[:most]


def _slices(table: Table, schema: Schema, answers: np.ndarray, classes: Sequence[Any]) -> Iterator[Slice]:
    for column in schema.columns:
        if column.role not in ("input", "group", "time") or column.name not in table.frame.columns:
            continue
        cells = table.frame[column.name]
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
        chosen = answers.argmax(axis=1)
        for c, name in enumerate(classes):
            yield "prediction", f"predicted '{name}'", chosen == c
    else:
        yield from _bins("prediction", "predicted", answers)


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
    for place, (low, high) in enumerate(pairwise(edges)):
        last = place == len(edges) - 2
        inside = known & (values >= low) & ((values <= high) if last else (values < high))
        yield name, f"{text} from {low:.4g} to {'' if last else 'under '}{high:.4g}", inside


def _compare(right: np.ndarray, inside: np.ndarray, classes: bool, seed: int) -> dict[str, Any]:
    """Value of the slice with its interval, and of the rest."""
    here, rest = right[inside], float(right[~inside].mean())
    if classes:
        low, high = wilson(here.sum(), len(here))
        return {"measure": "accuracy", "value": float(here.mean()), "low": low, "high": high, "rest": rest}
    low, high = bootstrap_means(here, lambda means: means[:, 0], seed=seed)
    return {"measure": "mean absolute error", "value": float(here.mean()), "low": low, "high": high, "rest": rest}


def _p_value(values: np.ndarray, inside: np.ndarray, shares: bool) -> float:
    here, rest = values[inside], values[~inside]
    if shares:
        return float(fisher_exact([[here.sum(), len(here) - here.sum()], [rest.sum(), len(rest) - rest.sum()]])[1])
    p = 1.0 if here.std() == 0 and rest.std() == 0 else float(ttest_ind(here, rest, equal_var=False).pvalue)
    return p if np.isfinite(p) else 1.0
