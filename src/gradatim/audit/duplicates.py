"""The same content twice: inside a table, across training and test tables, across the parts of a split."""

from collections.abc import Sequence

import numpy as np

from gradatim.audit.finding import Finding, first_rows, listed
from gradatim.audit.view import View
from gradatim.data.duplicates import Match, Ties, find_matches
from gradatim.data.fingerprints import join
from gradatim.data.split import Split

WORDS = {"same-inputs": "the same in all inputs", "same": "the same", "near": "nearly the same",
         "same-short-text": "the same short text"}


def find_inside(view: View, ties: Ties) -> list[Finding]:
    """Rows of one table that hold the same, and ties that were refused."""
    findings = []
    for match in telling(ties.matches, len(view.table), one_input=len(view.schema.inputs) == 1):
        short = match.how == "same-short-text"
        findings.append(Finding(
            "same-short-text" if short else "duplicate-inside", "note",
            f"{match.rows:,} rows in {len(match.groups):,} groups are {WORDS[match.how]}{_in(match)}, "
            f"such as rows {listed(match.groups[0].tolist())}",
            "a model may look better than it is when the same text lies on both sides" if short
            else "counted as different rows they would leak from training into the test",
            "nothing; if these are one thing seen twice, name a column that says so with --group" if short
            else "nothing: they stay on one side of the split; remove copies that are mistakes",
            _columns(match), first_rows(row for group in match.groups for row in group),
            {"rows": match.rows, "groups": len(match.groups), "how": match.how},
        ))
    for refusal in ties.refused:
        findings.append(Finding(
            "duplicate-tie-refused", "warning", refusal,
            "these rows may lie on several sides of the split; if they are one thing, the score is too good",
            "if it is a placeholder, empty those cells; if the rows belong together, name the column with --group",
        ))
    return findings


def find_across_files(view: View, test: View) -> list[Finding]:
    """Rows of the test table that hold the same as rows of the training table."""
    size, held = len(view.table), len(test.table)
    prints = join(view.prints, test.prints)
    if not prints or set(prints) != set(view.prints):
        return []
    matches, _ = find_matches(prints, size + held)
    content = {name for name, column in prints.items() if column.kind in ("image", "audio", "series", "text")}
    findings = []
    for match in telling(matches, size + held, one_input=len(view.schema.inputs) == 1):
        crossing = [group for group in match.groups if group[0] < size <= group[-1]]
        rows = np.array(sorted({int(row) - size for group in crossing for row in group if row >= size}), np.int64)
        if not len(rows):
            continue
        share = len(rows) / held
        severity = "error" if share > 0.01 and len(rows) > 2 else "warning"
        repeats = len({int(row) for group in match.groups for row in group if group[1] < size and row < size})
        if match.how == "same-short-text":
            severity = "note"
        elif match.column is None and not content and (share <= 2 * repeats / size + 0.02 or len(rows) < 3):
            severity = "note"  # rows of few categories repeat by themselves, as often inside the training table
        findings.append(Finding(
            "same-short-text" if match.how == "same-short-text" else "duplicate-across-files", severity,
            f"{len(rows):,} of {held:,} test rows ({share:.1%}) are {WORDS[match.how]}{_in(match)} as training rows, "
            f"such as test row {int(crossing[0][-1]) - size} and training row {int(crossing[0][0])}",
            "the score on the test table may praise memory, not what was learned",
            "remove these rows from one of the tables before scoring, if they are one thing seen twice",
            _columns(match), first_rows(rows),
            {"rows": len(rows), "share": share, "how": match.how, "where": "test table"},
        ))
    return findings + _groups_across(view, test)


def find_across_split(view: View, ties: Ties, split: Split) -> list[Finding]:
    """Rows that hold the same and lie in different parts."""
    part = np.full(len(view.table), -1)
    for index, rows in enumerate(split.parts().values()):
        part[rows] = index
    findings = []
    for match in telling(ties.matches, len(view.table), one_input=len(view.schema.inputs) == 1):
        if match.how == "same-short-text":
            continue
        crossing = [group for group in match.groups if len(set(part[group].tolist()) - {-1}) > 1]
        if not crossing:
            continue
        rows = np.concatenate(crossing)
        findings.append(Finding(
            "duplicate-across-split", "warning",
            f"{len(rows):,} rows in {len(crossing):,} groups are {WORDS[match.how]}{_in(match)} and lie on several "
            f"sides of the split, such as rows {listed(crossing[0].tolist())}",
            "the score on development and test rows praises memory in part",
            "split by a group column, or remove the copies", _columns(match), first_rows(rows),
            {"rows": len(rows), "groups": len(crossing), "how": match.how},
        ))
    return findings


def _groups_across(view: View, test: View) -> list[Finding]:
    findings = []
    for column in view.schema.with_role("group"):
        if column.name not in test.table.frame.columns:
            continue
        known = {str(cell).strip() for cell in view.table.cells(column.name) if cell is not None}
        cells = test.table.cells(column.name)
        rows = [row for row, cell in enumerate(cells) if cell is not None and str(cell).strip() in known]
        if rows:
            findings.append(Finding(
                "group-across-files", "warning",
                f"{len(rows):,} of {len(test.table):,} test rows belong to groups of '{column.name}' that also train",
                "the score on the test table says nothing about new groups",
                "move whole groups to one of the tables", (column.name,), first_rows(rows), {"where": "test table"},
            ))
    return findings


def telling(matches: Sequence[Match], rows: int, *, one_input: bool) -> list[Match]:
    """Without the groups that repeat an earlier one, as each column does when all inputs are the same.

    rows: length of the table; one_input: whether there is one input, which is then named rather than 'all inputs'.
    """
    earlier: list[np.ndarray] = []
    kept = []
    for match in sorted(matches, key=lambda match: (match.column is None) == one_input):
        groups = [
            group for group in match.groups
            if not any(codes[group[0]] >= 0 and (codes[group] == codes[group[0]]).all() for codes in earlier)
        ]
        codes = np.full(rows, -1)
        for number, group in enumerate(match.groups):
            codes[group] = number
        earlier.append(codes)
        if groups:
            kept.append(Match(match.column, match.kind, match.how, tuple(groups)))
    return kept


def _in(match: Match) -> str:
    return "" if match.column is None else f" in '{match.column}'"


def _columns(match: Match) -> tuple[str, ...]:
    return () if match.column is None else (match.column,)
