"""Cells that cannot be read, columns that say nothing, columns that the test table lacks."""

import numpy as np

from gradatim.audit.finding import Finding, first_rows, listed
from gradatim.audit.view import View
from gradatim.data.numbers import parse_numbers
from gradatim.data.schema import Column


def find_unreadable(view: View, *, where: str = "table") -> list[Finding]:
    """Cells of pictures, sounds and numbers that cannot be decoded, by row."""
    findings = []
    for column in view.schema.inputs:
        if column.name not in view.table.frame.columns:
            continue
        rows, examples = _unreadable(view, column)
        if not rows:
            continue
        line = view.table.line(rows[0])
        place = f"first in row {rows[0]}" if line is None else f"first in line {line}"
        share = len(rows) / max(1, len(view.table))
        findings.append(Finding(
            "cell-unreadable", "error" if share > 0.1 else "warning",
            f"{len(rows):,} of {len(view.table):,} cells of '{column.name}' in the {where} cannot be read ({place}): "
            f"{examples[0]}",
            "these cells count as absent: the model learns without them and answers without them",
            "mend the cells, or the folder that file names are relative to; or give the column another kind",
            (column.name,), first_rows(rows), {"count": len(rows), "where": where},
        ))
    return findings


def find_targets_missing(view: View) -> list[Finding]:
    """Rows without a target, and targets that are no numbers."""
    findings: list[Finding] = []
    if not view.schema.targets:
        return findings
    name = view.schema.targets[0].name
    for note in view.target_notes:
        findings.append(Finding(
            "target-unreadable", "warning", note, "these rows cannot be learned from",
            "mend the cells, or take the target as a category with --kind", (name,),
        ))
    missing = np.setdiff1d(np.arange(len(view.table)), view.labelled)
    if len(missing) and not findings:
        findings.append(Finding(
            "target-missing", "note", f"{len(missing):,} of {len(view.table):,} rows have no '{name}'",
            "they are in no part of the split and are not learned from",
            "nothing, if they are rows to predict; otherwise fill in the target", (name,), first_rows(missing),
        ))
    return findings


def find_constant(view: View) -> list[Finding]:
    """Inputs that are the same in every row."""
    findings = []
    for column in view.schema.inputs:
        if column.name not in view.table.frame.columns or len(view.table) < 2:
            continue
        cells = view.table.frame.get_column(column.name)
        if column.name in view.prints:
            prints = view.prints[column.name]
            same = len(set(prints.ids[:1000])) == 1 and len(set(prints.ids)) == 1 and not prints.unreadable
        else:
            same = cells.n_unique() == 1
        if same:
            findings.append(Finding(
                "column-constant", "note", f"every cell of '{column.name}' is {_shown(cells[0])}",
                "the column can teach nothing", f"leave it out with --ignore {column.name}", (column.name,),
            ))
    return findings


def find_missing_columns(view: View, test: View) -> list[Finding]:
    """Input columns that the test table lacks."""
    absent = [column.name for column in view.schema.inputs if column.name not in test.table.frame.columns]
    if not absent:
        return []
    return [Finding(
        "column-missing-in-test", "error",
        f"the test table has no column {listed([repr(name) for name in absent])}",
        "the model would be trained on something that it will not have",
        "leave out with --ignore what will not be there, or rename the columns of the test table", tuple(absent),
    )]


def _unreadable(view: View, column: Column) -> tuple[list[int], list[str]]:
    if column.kind == "number":
        cells = view.table.frame.get_column(column.name)
        unreadable = parse_numbers(cells, decimal=column.options.get("decimal")).unreadable.to_numpy()
        bad: list[int] = np.flatnonzero(unreadable).tolist()
        return bad, [f"'{str(cells[row])[:40]}' is no number" for row in bad[:1]]
    prints = view.prints.get(column.name)
    if prints is None:
        return [], []
    rows = sorted(prints.unreadable)
    return rows, [str(prints.unreadable[row]) for row in rows[:1]]


def _shown(cell: object) -> str:
    return "empty" if cell is None or cell == "" else f"'{str(cell)[:40]}'"
