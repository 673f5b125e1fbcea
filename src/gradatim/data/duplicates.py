"""Rows that must stay on one side of a split, because what they hold is the same.

Tied: rows whose inputs are all the same; rows that share one confirmed picture or sound, or a confirmed long text,
equal or nearly so. Equal short text is only a finding. A tie over the limit (1 % of the rows; see `largest_tie`) is
more likely a placeholder or a template than one thing seen twice: it is reported and not applied.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from gradatim.data.fingerprints import MAX_PIXELS, Prints, Progress, read_prints
from gradatim.data.neighbours import LONG_TEXT, near_pictures, near_sounds, near_texts
from gradatim.data.schema import Schema
from gradatim.data.table import Table
from gradatim.problems import Problems

HOW = ("same-inputs", "same", "near", "same-short-text")


@dataclass(frozen=True, slots=True)
class Match:
    """Groups of rows that hold the same. column: None for all inputs together; how: one of `HOW`."""

    column: str | None
    kind: str
    how: str
    groups: tuple[np.ndarray, ...]

    @property
    def rows(self) -> int:
        """How many rows are in some group."""
        return sum(map(len, self.groups))


@dataclass(frozen=True, slots=True)
class Ties:
    """Which rows must stay together, and why.

    labels: int64 (N,), equal for rows that stay together; matches: every group found, applied or not;
    refused: ties over the limit, one sentence each; notes: what was narrowed or left out;
    prints: what was compared, so that the audit need not read the files again.
    """

    labels: np.ndarray
    matches: tuple[Match, ...] = ()
    refused: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    prints: dict[str, Prints] = field(default_factory=dict, repr=False, compare=False)

    @property
    def tied(self) -> int:
        """How many rows are tied to another."""
        return int((np.bincount(self.labels)[self.labels] > 1).sum()) if len(self.labels) else 0

    def summary(self) -> list[dict[str, Any]]:
        """One JSON object a kind of match: column, how, groups, rows, and the first groups."""
        return [
            {"column": match.column, "how": match.how, "groups": len(match.groups), "rows": match.rows,
             "examples": [group[:5].tolist() for group in match.groups[:5]]}
            for match in self.matches
        ]


def find_ties(
    table: Table,
    schema: Schema,
    *,
    problems: Problems | None = None,
    max_pixels: int = MAX_PIXELS,
    progress: Progress | None = None,
) -> Ties:
    """Find the rows of a table that must stay on one side of a split.

    Cells that cannot be read are listed in `problems` and tie nothing. `max_pixels`: pictures above it are refused
    from their header. `progress(done, total)` is told of the cells read in a column. The target is never looked at.

    >>> import polars as pl
    >>> from gradatim.data.schema import Column
    >>> schema = Schema((Column("a", "number", "input"), Column("b", "category", "input")))
    >>> find_ties(Table(pl.DataFrame({"a": ["1", "2", "1.0"], "b": ["x", "x", "x"]})), schema).labels.tolist()
    [0, 1, 0]
    """
    prints = read_prints(table, schema, problems=problems, max_pixels=max_pixels, progress=progress)
    matches, notes = find_matches(prints, len(table))
    labels, refused = apply(matches, len(table))
    return Ties(labels, tuple(matches), tuple(refused), tuple(notes), prints)


def largest_tie(rows: int) -> int:
    """The most rows that one tie may join: 1 % of them; in small tables ten, though never over a tenth.

    >>> [largest_tie(rows) for rows in (15, 60, 500, 5000)]
    [2, 6, 10, 50]
    """
    return min(max(10, rows // 100), max(2, rows // 10))


def find_matches(prints: dict[str, Prints], rows: int) -> tuple[list[Match], list[str]]:
    """Every group of rows that hold the same, by column and by all inputs together; and notes."""
    matches: list[Match] = []
    notes: list[str] = []
    equal = _groups(_codes_of_rows(list(prints.values()), rows))
    if equal:
        matches.append(Match(None, "row", "same-inputs", equal))
    for name, column in prints.items():
        if column.kind not in ("image", "audio", "series", "text"):
            continue
        codes = _codes(column.ids)
        groups = _groups(codes)
        long = [group for group in groups if column.kind != "text" or _is_long(column.ids[int(group[0])])]
        short = [group for group in groups if column.kind == "text" and not _is_long(column.ids[int(group[0])])]
        near, note = _near(column, codes)
        if note:
            notes.append(f"{name}: {note}")
        for how, found in (("same", tuple(long)), ("near", near), ("same-short-text", tuple(short))):
            if found:
                matches.append(Match(name, column.kind, how, found))
    return matches, notes


def apply(matches: Sequence[Match], rows: int) -> tuple[np.ndarray, list[str]]:
    """Tie labels int64 (N,) in order of first row, and a sentence for each tie that was over the limit.

    Ties are applied from the surest on: equal inputs, equal content, near content. Where a step would join more rows
    than the limit, by itself or through the steps before, its rows keep what they had.
    """
    limit = largest_tie(rows)
    labels = np.arange(rows)
    refused: list[str] = []
    for how in ("same-inputs", "same", "near"):
        for match in matches:
            if match.how != how:
                continue
            small = [group for group in match.groups if len(group) <= limit]
            refused += [_refusal(match, group, limit) for group in match.groups if len(group) > limit]
            joined = _components(labels, small)
            over = np.flatnonzero(np.bincount(joined, minlength=1) > limit)
            over = over[[len(np.unique(labels[joined == label])) > 1 for label in over]] if len(over) else over
            for label in over:
                chained = np.flatnonzero(joined == label)
                refused.append(_refusal(match, chained, limit) + " (a chain of smaller ties)")
            labels = _relabel(np.where(np.isin(joined, over), labels + rows, joined))
    return labels, refused


def _refusal(match: Match, group: np.ndarray, limit: int) -> str:
    what = "all inputs" if match.column is None else f"'{match.column}'"
    how = "nearly the same" if match.how == "near" else "the same"
    first = ", ".join(map(str, group[:3].tolist()))
    return f"{what}: {len(group)} rows hold {how} (first rows {first}), over the limit of {limit}; not tied"


def _near(column: Prints, codes: np.ndarray) -> tuple[tuple[np.ndarray, ...], str | None]:
    """Groups of nearly the same content; each group names all rows, equal ones included. None of series."""
    if column.kind == "series":
        return (), None
    known = np.flatnonzero(codes >= 0)
    _, first, back = np.unique(codes[known], return_index=True, return_inverse=True)
    unique = known[first]
    if column.kind == "image":
        pairs, note = near_pictures(column, unique)
    elif column.kind == "audio":
        pairs, note = near_sounds(column, unique)
    else:
        pairs, note = near_texts([value if isinstance(value, str) else None for value in column.ids], unique)
    if not len(pairs):
        return (), note
    position = np.full(len(codes), -1)
    position[unique] = np.arange(len(unique))
    component = _components(np.arange(len(unique)), list(position[pairs]))
    inside = np.isin(component, component[position[pairs].ravel()])
    whole = np.full(len(codes), -1)
    whole[known] = np.where(inside[back], component[back], -1)
    return _groups(whole), note


def _is_long(text: object) -> bool:
    return isinstance(text, str) and len(text) >= LONG_TEXT


def _codes(ids: Sequence[object]) -> np.ndarray:
    """int64 (N,): equal where the ids are; −1 where there is none."""
    known: dict[object, int] = {}
    return np.array([-1 if value is None else known.setdefault(value, len(known)) for value in ids], dtype=np.int64)


def _codes_of_rows(columns: Sequence[Prints], rows: int) -> np.ndarray:
    """int64 (N,): equal where all columns are; −1 for a row without its equal, and for one with nothing in it or with
    an unreadable cell.

    A row that differs from all others in the columns so far is not looked at again: of a million rows of numbers a
    few are left after two columns.
    """
    whole = np.zeros(rows, np.int64)
    left = np.arange(rows)
    something = np.zeros(rows, bool)
    broken = np.zeros(rows, bool)
    for column in columns:
        codes = _codes(column.ids) if column.codes is None else column.codes
        something |= codes >= 0
        broken[list(column.unreadable)] = True
        pair = whole[left] * (codes.max(initial=-1) + 2) + codes[left] + 1
        _, place, count = np.unique(pair, return_inverse=True, return_counts=True)
        whole[left] = place
        left = left[count[place] > 1]
    found = np.full(rows, -1)
    found[left] = whole[left]
    return np.where(something & ~broken, found, -1)


def _groups(codes: np.ndarray) -> tuple[np.ndarray, ...]:
    """The rows of each code that occurs at least twice, in order of first row; −1 is no code."""
    known = np.flatnonzero(codes >= 0)
    order = known[np.argsort(codes[known], kind="stable")]
    cuts = np.flatnonzero(np.diff(codes[order])) + 1
    groups = [group for group in np.split(order, cuts) if len(group) > 1]
    return tuple(sorted(groups, key=lambda group: int(group[0])))


def _components(labels: np.ndarray, groups: Sequence[np.ndarray]) -> np.ndarray:
    """Labels after joining each group of rows, numbered in order of first row."""
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    size = len(labels)
    if not size:
        return labels
    starts = [np.zeros(0, np.int64)] + [np.repeat(group[:1], len(group) - 1) for group in groups]
    ends = [np.zeros(0, np.int64)] + [group[1:] for group in groups]
    a, b = labels[np.concatenate(starts)], labels[np.concatenate(ends)]
    graph = coo_matrix((np.ones(len(a), np.int8), (a, b)), shape=(size, size))
    return _relabel(connected_components(graph, directed=False)[1][labels])


def _relabel(labels: np.ndarray) -> np.ndarray:
    """The same partition with labels 0, 1, … in order of first row."""
    _, first, back = np.unique(labels, return_index=True, return_inverse=True)
    rank = np.empty(len(first), np.int64)
    rank[np.argsort(first)] = np.arange(len(first))
    return rank[back]


__all__ = ["HOW", "Match", "Ties", "apply", "find_matches", "find_ties", "largest_tie"]
