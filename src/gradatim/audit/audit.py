"""The audit: everything that can be found wrong with the data before a model is trained."""

from collections.abc import Callable

from gradatim.audit.cells import find_constant, find_missing_columns, find_targets_missing, find_unreadable
from gradatim.audit.duplicates import find_across_files, find_across_split, find_inside
from gradatim.audit.finding import SEVERITIES, Finding
from gradatim.audit.labels import find_balance, find_conflicts, find_spellings, find_unseen
from gradatim.audit.leakage import find_labels_in_text, find_missingness, find_single_columns
from gradatim.audit.shift import find_shift
from gradatim.audit.shortcuts import find_shortcuts
from gradatim.audit.view import view_of
from gradatim.data.duplicates import Ties, find_ties
from gradatim.data.fingerprints import read_prints
from gradatim.data.schema import Column, Schema
from gradatim.data.split import Split
from gradatim.data.table import Table


def audit_table(
    table: Table,
    schema: Schema,
    *,
    test: Table | None = None,
    split: Split | None = None,
    ties: Ties | None = None,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> list[Finding]:
    """Look for leakage, duplicates, shortcuts, shift, contradictory labels and unreadable cells.

    test: a second table to compare with, with or without the target; split, ties: as made from the same table (ties
    are found when not given, which reads every picture and sound once); progress(done, total): cells read so far.
    Probes look at 8,000 rows at most and say so; the same seed gives the same findings. Gravest first.

    >>> import polars as pl
    >>> schema = Schema((Column("x", "number", "input"), Column("y", "category", "target")))
    >>> frame = pl.DataFrame({"x": range(60), "y": ["no", "yes", "No"] * 20})
    >>> [finding.code for finding in audit_table(Table(frame), schema)]
    ['label-spelling']
    """
    ties = find_ties(table, schema, progress=progress) if ties is None else ties
    prints = ties.prints or read_prints(table, schema, progress=progress)
    view = view_of(table, schema, prints, seed=seed)
    findings = [
        *find_unreadable(view),
        *find_targets_missing(view),
        *find_constant(view),
        *find_spellings(view),
        *find_conflicts(view, ties.matches),
        *find_balance(view),
        *find_single_columns(view),
        *find_missingness(view),
        *find_labels_in_text(view),
        *find_shortcuts(view),
        *find_inside(view, ties),
        *([] if split is None else find_across_split(view, ties, split)),
    ]
    if test is not None:
        inner = _schema_for(schema, test)
        other = view_of(test, inner, read_prints(test, inner, progress=progress), seed=seed)
        findings += [
            *find_missing_columns(view, other),
            *find_unreadable(other, where="test table"),
            *find_unseen(view, other),
            *find_across_files(view, other),
            *find_shift(view, other, seed=seed),
        ]
    return sorted(findings, key=lambda finding: (SEVERITIES.index(finding.severity), finding.code, finding.column))


def _schema_for(schema: Schema, test: Table) -> Schema:
    """The columns that the test table has."""
    kept: list[Column] = [column for column in schema.columns if column.name in test.frame.columns]
    return Schema(tuple(kept), schema.task)
