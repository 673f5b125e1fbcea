"""Training, development and test rows, drawn before anything is fitted.

Stratified by class (or by quantile of a number), with groups and duplicates on one side; by time where the schema
names a time column; or as the user's own column says. Everything is a pure function of (table, schema, seed).
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from gradatim.data.codecs import codec_for
from gradatim.data.dates import seconds_of
from gradatim.data.duplicates import Ties
from gradatim.data.numbers import parse_number
from gradatim.data.schema import Column, Schema
from gradatim.data.stratify import allocate, spread, strata_of
from gradatim.data.table import Table
from gradatim.errors import CellError, DataError, SchemaError
from gradatim.randomness import generator

FORMAT = 1
PARTS = ("train", "development", "test")
SPELLINGS = {
    "train": "train", "training": "train",
    "dev": "development", "development": "development", "val": "development", "valid": "development",
    "validation": "development",
    "test": "test", "testing": "test", "holdout": "test",
}
LARGEST_SHARE, SMALLEST_SHARE, FULL_SHARE_ROWS, DECLINE = 0.20, 0.01, 10_000, 0.65


@dataclass(frozen=True, slots=True)
class Split:
    """Row numbers of each part, ascending, int64.

    groups: int64 (N,) over the whole table, equal for rows that stay together (None: every row is on its own);
    unlabelled: rows in no part, since their target is missing; notes: how the split was made, one sentence each.
    """

    train: np.ndarray
    development: np.ndarray
    test: np.ndarray
    groups: np.ndarray | None = None
    notes: tuple[str, ...] = ()
    unlabelled: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))

    def parts(self) -> dict[str, np.ndarray]:
        """The rows of each part by its name."""
        return {"train": self.train, "development": self.development, "test": self.test}

    def to_json(self) -> dict[str, Any]:
        """A JSON object that `from_json` reads back."""
        return {
            "format": FORMAT,
            **{name: rows.tolist() for name, rows in self.parts().items()},
            "unlabelled": self.unlabelled.tolist(),
            "groups": None if self.groups is None else self.groups.tolist(),
            "notes": list(self.notes),
        }

    @classmethod
    def from_json(cls, value: Any) -> "Split":
        """Read what `to_json` wrote."""
        if not isinstance(value, dict) or value.get("format") != FORMAT or not set(PARTS) <= value.keys():
            raise DataError(f"expected a split of format {FORMAT} with train, development and test; make a new one")
        try:
            rows = {name: np.array(value.get(name, []), np.int64).reshape(-1) for name in (*PARTS, "unlabelled")}
            groups = value.get("groups")
            return cls(**rows, groups=None if groups is None else np.array(groups, np.int64).reshape(-1),
                       notes=tuple(map(str, value.get("notes", []))))
        except (TypeError, ValueError, OverflowError) as error:
            raise DataError(f"expected lists of row numbers in a split, received something else ({error})") from None


def sizes_for(rows: int) -> tuple[float, float, float]:
    """Shares of train, development and test for an amount of labelled rows.

    20 % each for development and test up to 10,000 rows; then the share falls as rows^−0.65, so that the held-out
    count still grows (2,000 of 10,000; 4,480 of 100,000; 10,000 of a million), down to 1 % from a million on.

    >>> [tuple(round(100 * share) for share in sizes_for(rows)) for rows in (500, 60_000, 1_000_000)]
    [(60, 20, 20), (88, 6, 6), (98, 1, 1)]
    """
    share = LARGEST_SHARE * (max(rows, 1) / FULL_SHARE_ROWS) ** -DECLINE
    share = min(LARGEST_SHARE, max(SMALLEST_SHARE, share))
    return 1 - 2 * share, share, share


def make_split(
    table: Table,
    schema: Schema,
    *,
    seed: int = 0,
    ties: Ties | None = None,
    sizes: Sequence[float] | None = None,
    labels: Sequence[object] | np.ndarray | None = None,
    column: str | None = None,
) -> Split:
    """Divide the labelled rows of a table.

    ties: rows that stay together beside those of the group columns (from `find_ties`); sizes: shares of train,
    development, test (default `sizes_for`); labels: targets to use in place of the schema's first target column,
    one a row, None or NaN where missing; column: a column whose cells say train, dev or test, which is then obeyed
    (a part that it leaves out is taken from its training rows).
    Raises DataError for fewer than three labelled rows, SchemaError for a column that cannot be used.
    """
    targets, numeric, notes = targets_of(table, schema, labels)
    labelled = np.flatnonzero([target is not None for target in targets])
    unlabelled = np.flatnonzero([target is None for target in targets])
    if len(labelled) < 3:
        raise DataError(
            f"expected at least 3 rows with a target to split, received {len(labelled)} of {len(table)}; label more"
        )
    if len(unlabelled):
        notes.append(f"{len(unlabelled)} rows have no target and are in no part")
    units, group_notes = _units(table, schema, ties)
    notes += group_notes
    strata = strata_of([targets[row] for row in labelled], numeric=numeric)
    shares = _shares(sizes, len(labelled))
    times = schema.with_role("time")
    if column is not None:
        part, how = _by_column(table, column, labelled, strata, units[labelled], shares, seed)
    elif times:
        part, how = _by_time(table, times[0].name, labelled, units[labelled], shares)
    else:
        part = allocate(strata, units[labelled], shares, generator(seed, "split"))
        how = [f"stratified by {'ten quantiles of the target' if numeric else 'class'}" if len(set(strata)) > 1
               else "drawn at random"]
    if column is None:
        how.append(_sizes_note(part, shares, by_amount=sizes is None))
    rows = [np.sort(labelled[part == index]) for index in range(3)]
    notes = how + notes + _classes_note(strata, part, numeric)
    alone = len(np.unique(units)) == len(units)
    return Split(rows[0], rows[1], rows[2], None if alone else units, tuple(notes), unlabelled)


def folds(
    rows: np.ndarray,
    labels: Sequence[object] | np.ndarray | None = None,
    groups: np.ndarray | None = None,
    *,
    count: int,
    seed: int,
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Cross-validation over `rows`: `count` pairs (rows to fit on, rows held out), each ascending.

    labels, groups: one entry a row of the whole table (they are indexed by `rows`), or None; numbers are stratified
    by quantile, anything else by value; rows of one group are held out together. Every row is held out exactly once.
    The most ordinary fold comes first, the one with the largest groups last: who has time for one fold shall not
    choose on the hardest.

    >>> [held.tolist() for _, held in folds(np.arange(4), ["a", "a", "b", "b"], count=2, seed=0)]
    [[1, 2], [0, 3]]
    """
    rows = np.asarray(rows, dtype=np.int64)
    for name, values in (("labels", labels), ("groups", groups)):
        if values is not None and len(rows) and rows.max() >= len(values):
            raise DataError(
                f"expected {name} for the whole table, received {len(values)} for rows up to {rows.max()}; "
                "do not select them by rows"
            )
    units = rows if groups is None else np.asarray(groups)[rows]
    units = np.unique(units, return_inverse=True)[1]
    held = min(count, int(units.max(initial=-1)) + 1)
    if held < 2:
        raise DataError(f"expected at least 2 folds, received {held} (of {len(rows)} rows); use more rows or groups")
    chosen: list[object] = [0] * len(rows) if labels is None else [labels[row] for row in rows]
    numeric = all(isinstance(label, float | np.floating) for label in chosen)
    strata = strata_of(chosen, numeric=numeric)
    fold = spread(strata, units, held, generator(seed, "folds"))
    sizes = np.array([len(np.unique(units[fold == index])) for index in range(held)])
    order = [index for index in np.argsort(np.abs(sizes - np.median(sizes)), kind="stable") if sizes[index]]
    return [(np.sort(rows[fold != index]), np.sort(rows[fold == index])) for index in order]


def targets_of(
    table: Table, schema: Schema, labels: Sequence[object] | np.ndarray | None = None
) -> tuple[list[object], bool, list[str]]:
    """One target a row (None: missing), whether it is a number, and notes."""
    if labels is not None:
        if len(labels) != len(table):
            raise DataError(f"expected {len(table)} labels, one a row, received {len(labels)}")
        values = [None if _missing(label) else label for label in list(labels)]
        present = [value for value in values if value is not None]
        return values, bool(present) and all(isinstance(value, float | np.floating) for value in present), []
    if not schema.targets:
        return [0] * len(table), False, ["there is no target: nothing to stratify by"]
    first = schema.targets[0]
    for target in schema.targets:
        if target.name not in table.frame.columns:
            known = ", ".join(table.frame.columns)
            raise SchemaError(f"expected the target '{target.name}' among {known}; name another with --target")
    numeric = first.kind == "number" and schema.task != "classification"
    notes: list[str] = []
    cells = table.cells(first.name)
    values = _numbers(cells, first, notes) if numeric else [_stratum(cell) for cell in cells]
    if first.kind in ("boxes", "points"):
        values = _readable(cells, first, notes)
    elif first.kind not in ("number", "category"):
        values = [None if value is None else 0 for value in values]
    for other in schema.targets[1:]:
        for row, cell in enumerate(table.cells(other.name)):
            if _missing(cell):
                values[row] = None
    return values, numeric, notes


def _numbers(cells: list, column: Column, notes: list[str]) -> list[object]:
    values: list[object] = []
    broken = []
    for row, cell in enumerate(cells):
        try:
            values.append(None if _missing(cell) else parse_number(cell, decimal=column.options.get("decimal")))
        except CellError:
            broken.append(row)
            values.append(None)
    if broken:
        first = f"first in row {broken[0]}"
        notes.append(f"{len(broken)} targets in '{column.name}' are no numbers ({first}) and count as missing")
    return values


def _readable(cells: list, column: Column, notes: list[str]) -> list[object]:
    """0 where a cell can be read, None elsewhere: there is nothing to stratify by."""
    parse: Any = getattr(codec_for(column), "parse", lambda cell: None if _missing(cell) else cell)
    values: list[object] = []
    broken = []
    for row, cell in enumerate(cells):
        try:
            values.append(None if parse(cell) is None else 0)
        except CellError as error:
            broken.append(f"first in row {row}: {error}")
            values.append(None)
    if broken:
        notes.append(f"{len(broken)} targets in '{column.name}' cannot be read and count as missing ({broken[0]})")
    return values


def _stratum(cell: object) -> object:
    if _missing(cell):
        return None
    return cell.strip() if isinstance(cell, str) else cell if isinstance(cell, int | float) else str(cell)


def _missing(cell: object) -> bool:
    return cell is None or (isinstance(cell, str) and not cell.strip()) or (
        isinstance(cell, float | np.floating) and bool(np.isnan(cell))
    )


def _units(table: Table, schema: Schema, ties: Ties | None) -> tuple[np.ndarray, list[str]]:
    """int64 (N,): rows with the same number stay together; and notes."""
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    count = len(table)
    edges, notes = [np.zeros((0, 2), np.int64)], []
    if ties is not None:
        if len(ties.labels) != count:
            raise DataError(f"expected ties for {count} rows, received {len(ties.labels)}; find them on this table")
        edges.append(np.stack([np.arange(count), ties.labels + count], axis=1))
        if ties.tied:
            notes.append(f"{ties.tied} rows hold the same as another and stay on its side")
        notes += [f"reported, not applied: {refusal}" for refusal in ties.refused]
    offset = 2 * count
    for column in schema.with_role("group"):
        known: dict[object, int] = {}
        for row, cell in enumerate(table.cells(column.name)):
            value = _stratum(cell)
            if value is not None:  # a row without a group is on its own
                edges.append(np.array([[row, offset + known.setdefault(value, len(known))]]))
        offset += len(known)
        notes.append(f"the {len(known)} groups of '{column.name}' stay whole")
    pairs = np.concatenate(edges)
    graph = coo_matrix((np.ones(len(pairs), np.int8), (pairs[:, 0], pairs[:, 1])), shape=(offset, offset))
    labels = connected_components(graph, directed=False)[1][:count]
    _, first, back = np.unique(labels, return_index=True, return_inverse=True)
    rank = np.empty(len(first), np.int64)
    rank[np.argsort(first)] = np.arange(len(first))
    return rank[back] if count else labels.astype(np.int64), notes


def _shares(sizes: Sequence[float] | None, rows: int) -> np.ndarray:
    shares = np.asarray(sizes_for(rows) if sizes is None else sizes, dtype=np.float64)
    if shares.shape != (3,) or not np.isfinite(shares).all() or (shares < 0).any() or shares[0] <= 0:
        raise DataError(
            f"expected three shares (train above 0, development, test), received {sizes}; try (0.6, 0.2, 0.2)"
        )
    return shares / shares.sum()


def _by_column(
    table: Table, name: str, labelled: np.ndarray, strata: np.ndarray, units: np.ndarray, shares: np.ndarray, seed: int
) -> tuple[np.ndarray, list[str]]:
    if name not in table.frame.columns:
        raise SchemaError(f"expected a split column among {', '.join(table.frame.columns)}; received '{name}'")
    part = np.zeros(len(labelled), np.int64)
    cells = table.cells(name)
    for index, row in enumerate(labelled.tolist()):
        spelled = SPELLINGS.get(str(cells[row]).strip().casefold())
        if spelled is None:
            raise SchemaError(f"column '{name}': expected train, dev or test in row {row}, received {cells[row]!r}")
        part[index] = PARTS.index(spelled)
    notes = [f"divided as column '{name}' says"]
    absent = [index for index in (1, 2) if not (part == index).any() and shares[index] > 0]
    if not (part == 0).any():
        raise SchemaError(f"column '{name}': expected some rows of train, found none; name them 'train'")
    if absent:
        inner = np.flatnonzero(part == 0)
        wanted = np.array([1.0, 0.0, 0.0])
        wanted[absent] = shares[absent]
        wanted[0] -= wanted[1:].sum()
        part[inner] = allocate(strata[inner], units[inner], wanted, generator(seed, "split", name))
        notes.append(f"'{name}' has no rows of {' and '.join(PARTS[i] for i in absent)}: taken from its training rows")
    crossing = _crossing(part, units)
    if crossing:
        notes.append(f"{crossing} groups or duplicates lie on more than one side in column '{name}', left as it says")
    return part, notes


def _by_time(
    table: Table, name: str, labelled: np.ndarray, units: np.ndarray, shares: np.ndarray
) -> tuple[np.ndarray, list[str]]:
    """The earliest rows train. Rows that stay together count as late as the latest of them, so none looks ahead."""
    seconds = seconds_of(table.frame.get_column(name))
    if seconds is None:
        first = next((cell for cell in table.cells(name) if cell is not None), None)
        raise SchemaError(
            f"column '{name}': expected times in one format (numbers, or dates such as 2024-01-31), received {first!r} "
            "and others; rewrite them as ISO dates or give the column the role ignore"
        )
    times = seconds.to_numpy()[labelled].astype(np.float64)
    unknown = int(np.isnan(times).sum())
    _, compact = np.unique(units, return_inverse=True)
    latest = np.full(compact.max() + 1, -np.inf)
    np.maximum.at(latest, compact, np.where(np.isnan(times), -np.inf, times))
    when = latest[compact]
    moments, of_row = np.unique(when, return_inverse=True)
    # Rows of one moment stay together: the share of rows up to and including each moment says where it falls.
    before = np.cumsum(np.bincount(of_row)) - np.bincount(of_row) / 2
    bounds = np.cumsum(shares)[:2] * len(labelled)
    of_moment = np.searchsorted(bounds, before, side="right")
    wanted = np.flatnonzero(shares > 0)
    if len(moments) >= len(wanted) > len(np.unique(of_moment)):  # too few rows for the shares: one moment each
        of_moment = np.minimum.accumulate(np.r_[of_moment[: -len(wanted)], wanted][::-1])[::-1]
    part = of_moment[of_row]
    notes = [f"by time in '{name}': the earliest rows train, the latest test"]
    if unknown:
        notes.append(f"{unknown} rows have no time in '{name}' and count as the earliest")
    if len(moments) < len(wanted):
        raise SchemaError(
            f"column '{name}': expected at least {len(wanted)} moments to divide by time, received "
            f"{len(moments)} once groups stay whole; give it another role or split by a column"
        )
    return part, notes


def _crossing(part: np.ndarray, units: np.ndarray) -> int:
    pairs = np.unique(np.stack([units, part], axis=1), axis=0)[:, 0]
    return int((np.unique(pairs, return_counts=True)[1] > 1).sum())


def _sizes_note(part: np.ndarray, shares: np.ndarray, *, by_amount: bool) -> str:
    got = np.bincount(part, minlength=3)
    why = f" (by the amount of data: {len(part)} labelled rows)" if by_amount else ""
    wanted = "/".join(f"{100 * share:.3g}" for share in shares)
    note = f"{got[0]} train, {got[1]} development, {got[2]} test rows for {wanted} %{why}"
    far = np.abs(got / len(part) - shares) > np.maximum(0.25 * shares, 2 / len(part))
    return note + ("; large groups did not allow it closer" if far.any() else "")


def _classes_note(strata: np.ndarray, part: np.ndarray, numeric: bool) -> list[str]:
    if numeric:
        return []
    counts = np.stack([np.bincount(strata[part == index], minlength=strata.max() + 1) for index in range(3)])
    notes = []
    single = int((counts.sum(axis=0) == 1).sum())
    if single:
        notes.append(f"{single} classes have one example, which trains")
    for index in (1, 2):
        absent = int(((counts[index] == 0) & (counts.sum(axis=0) > 1)).sum())
        if absent and (part == index).any():
            notes.append(f"{absent} classes of several examples have none in {PARTS[index]}")
    return notes
