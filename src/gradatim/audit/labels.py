"""Labels that contradict each other, are spelled in two ways, are rare, or are known only to the test table."""

from collections import Counter, defaultdict
from collections.abc import Sequence

from gradatim.audit.duplicates import telling
from gradatim.audit.finding import Finding, first_rows, listed
from gradatim.audit.view import View
from gradatim.data.duplicates import Match

SKEWED = 10  # the most frequent class may have so many times the rows of the rarest


def find_conflicts(view: View, matches: Sequence[Match]) -> list[Finding]:
    """Rows that hold the same and are labelled differently."""
    if not view.schema.targets or view.schema.targets[0].kind not in ("category", "number"):
        return []
    name = view.schema.targets[0].name
    findings = []
    for match in telling(matches, len(view.table), one_input=len(view.schema.inputs) == 1):
        if match.how == "same-short-text":
            continue
        rows, example = [], ""
        for group in match.groups:
            labels = {view.targets[row] for row in group} - {None}
            if len(labels) > 1 and not (view.numeric and match.how == "near"):
                rows += group.tolist()
                example = example or f"rows {listed(group.tolist())} are {listed(sorted(map(str, labels)))}"
        if not rows:
            continue
        what = "all inputs" if match.column is None else f"'{match.column}'"
        near = "nearly the same" if match.how == "near" else "the same"
        findings.append(Finding(
            "label-conflict", "warning" if _is_contradiction(view, match) else "note",
            f"{len(rows):,} rows hold {near} in {what} under different labels: {example}",
            "what holds the same cannot tell them apart: the score has a ceiling, or some labels are wrong",
            "look at the rows; correct or remove the labels that are wrong",
            (*(() if match.column is None else (match.column,)), name), first_rows(rows),
            {"count": len(rows), "how": match.how},
        ))
    return findings


def find_spellings(view: View) -> list[Finding]:
    """Labels that differ only by case or spaces."""
    if not view.schema.targets or view.schema.targets[0].kind != "category":
        return []
    column = view.schema.targets[0]
    counts = Counter(str(cell) for cell in view.table.cells(column.name) if cell is not None and str(cell).strip())
    alike = defaultdict(list)
    for label in counts:
        alike[" ".join(label.casefold().split())].append(label)
    groups = [sorted(labels, key=lambda label: -counts[label]) for labels in alike.values() if len(labels) > 1]
    if not groups:
        return []
    rare = {label for group in groups for label in group[1:]}
    rows = [row for row, cell in enumerate(view.table.cells(column.name)) if str(cell) in rare]
    spelled = listed([" / ".join(f"'{label}' ({counts[label]})" for label in group) for group in groups], most=2)
    return [Finding(
        "label-spelling", "warning", f"{len(groups)} labels are written in several ways: {spelled}",
        "each spelling is learned as a class of its own", "write each label in one way", (column.name,),
        first_rows(rows), {"groups": groups[:20]},
    )]


def find_balance(view: View) -> list[Finding]:
    """One class that outweighs another by far, and classes with one example."""
    if not view.schema.targets or view.schema.targets[0].kind != "category" or view.numeric:
        return []
    name = view.schema.targets[0].name
    counts = Counter(view.targets[row] for row in view.labelled)
    findings: list[Finding] = []
    if not counts:
        return findings
    single = [label for label, count in counts.items() if count == 1]
    if single:
        rows = [int(row) for row in view.labelled if counts[view.targets[row]] == 1]
        findings.append(Finding(
            "class-single-example", "warning", f"{len(single)} classes have one row each: {listed(single)}",
            "they train, but nothing can be said of how well they are recognised",
            "collect more rows of them, or join them into a class 'other'", (name,), first_rows(rows),
        ))
    ordered = counts.most_common()
    (common, most), (rare, least) = ordered[0], ordered[-1]
    if most >= SKEWED * least and len(single) < len(counts) - 1:
        share = most / sum(counts.values())
        findings.append(Finding(
            "class-imbalance", "warning" if share >= 0.95 else "note",
            f"'{common}' has {most:,} rows, '{rare}' {least:,}: always answering '{common}' is right in {share:.1%}",
            "accuracy alone would praise a model that never answers the rare classes",
            "read balanced accuracy, recall and the precision-recall curve; to weigh the classes alike say "
            "`--class-weights balanced`",
            (name,), values={"most": most, "least": least, "majority": share},
        ))
    return findings


def find_unseen(view: View, test: View) -> list[Finding]:
    """Labels of the test table that no training row has."""
    if not view.schema.targets or view.schema.targets[0].kind != "category":
        return []
    name = view.schema.targets[0].name
    if name not in test.table.frame.columns:
        return []
    known = {str(view.targets[row]) for row in view.labelled}
    rows = [int(row) for row in test.labelled if str(test.targets[row]) not in known]
    if not rows:
        return []
    unseen = sorted({str(test.targets[row]) for row in rows})
    return [Finding(
        "class-unseen-in-train", "warning",
        f"{len(rows):,} test rows have labels that no training row has: {listed([repr(label) for label in unseen])}",
        "the model cannot answer them and is wrong on these rows",
        "correct the spelling of the labels, or add training rows of them", (name,), first_rows(rows),
        {"classes": unseen[:50], "where": "test table"},
    )]


def _is_contradiction(view: View, match: Match) -> bool:
    """Not where another input may tell the rows apart, nor where numbers and categories alone repeat by chance."""
    if view.numeric or (match.column is not None and len(view.schema.inputs) > 1):
        return False
    return any(column.kind in ("image", "audio", "series", "text") for column in view.schema.inputs)
