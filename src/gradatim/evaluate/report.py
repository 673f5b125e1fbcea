"""The report: one offline HTML file under 4 MB that says what was built, how good it is, and where it fails.

`build_report(facts)` shows what is in `facts` and leaves out the sections whose facts are missing. The same facts
are the report as JSON. Everything in them may come from strangers' files and is escaped.
"""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypedDict

import jinja2

from gradatim.data.table import Table
from gradatim.evaluate.explain.page import views
from gradatim.evaluate.figures import draw_figures
from gradatim.evaluate.metrics import METRICS
from gradatim.evaluate.sections import draw_sections
from gradatim.evaluate.thumbnails import View, plain, view_cell

MOST_PAGE_BYTES = 4_000_000
MOST_IMAGE_BYTES = 1_500_000
MOST_CLASSES_LISTED = 40
MOST_PROBLEMS_LISTED = 12
# Control characters, halves of surrogate pairs, and marks that turn the reading direction of what follows.
_UNPRINTABLE = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202d\u202e\ud800-\udfff\ufffe\uffff]")
SEVERITIES = ("error", "warning", "note")


class Score(TypedDict, total=False):
    """One number: metric (a name of METRICS), value, the 95% interval low to high, how many rows, a note."""

    metric: str
    value: float
    low: float | None
    high: float | None
    rows: int
    note: str


class Facts(TypedDict, total=False):
    """What a report tells. Every key may be missing; every value is JSON (arrays may stand for lists).

    title, source, created, task ("classification", "regression"), target: strings; classes: labels in order.
    rows: {labelled, train, development, test, unlabelled}: counts.
    answer: {name, why, verdict, notes}: what was chosen, and why; whether the network beat the baselines; what else
        there is to know. Sentences or lists of them.
    score: the headline, a `Score` on rows used for no choice.
    schema: [{name, kind, role, why (string or list), samples (list)}].
    split_notes: [sentence].
    findings: [{code, severity, column, evidence, consequence, remedy, rows}] of the audit.
    candidates: [{name, metric, value, low, high, seconds, chosen, weight, note}].
    candidates_note: a sentence on the rows they were compared on, and on network against baselines.
    history: {name: [{epoch, loss, development_loss, development_accuracy, …}]}.
    forecast: {name: {line, reason}} or {what: number}: seconds forecast and taken.
    plan: {name: value}: epochs, batch size, optimiser ….
    scores: what `score_classification` or `score_regression` gave.
    external_test: the same for another labelled file.
    test_predictions: {rows, labels, probabilities (N, C) or values (N,)}: class numbers or numbers, for the charts.
    calibration: what `calibration` gave, with `temperature`.
    threshold: what `choose_threshold` gave.
    ledger: what `modality_ledger` gave.
    slices: what `failing_slices` gave.
    worst: [{row, line, true, predicted, probability, cells: [{column, kind, cell}], marks: {column, boxes, points} to
        draw on the picture in that column (gradatim.evaluate.marks)}].
    explanations: [{"why": heading, **Explanation.to_json()}] (gradatim.evaluate.explain): some worst and best rows.
    suspects: [{row, line, label, suggested, probability_label, probability_suggested, cells}].
    sections: what the task adds, see gradatim.evaluate.sections.
    advice: what `advice` gave, or sentences.
    problems: [{code, message, column, row, line}].
    recipe: {step: value, may be nested}; provenance: {what: value}; command: how to repeat it.
    seconds: {part: seconds}: where the time went.
    uses: [{source, rows, metric, value, time …}]: every time a test set was scored.
    """

    title: str
    source: str
    created: str
    task: str
    target: str
    classes: list[str]
    rows: dict[str, int]
    answer: dict[str, Any]
    score: Score
    schema: list[dict[str, Any]]
    split_notes: list[str]
    findings: list[dict[str, Any]]
    candidates: list[dict[str, Any]]
    candidates_note: str
    history: dict[str, list[dict[str, Any]]]
    forecast: dict[str, Any]
    plan: dict[str, Any]
    scores: dict[str, Any]
    external_test: dict[str, Any]
    test_predictions: dict[str, Any]
    calibration: dict[str, Any]
    threshold: dict[str, Any]
    ledger: list[dict[str, Any]]
    slices: list[dict[str, Any]]
    worst: list[dict[str, Any]]
    explanations: list[dict[str, Any]]
    suspects: list[dict[str, Any]]
    sections: list[dict[str, Any]]
    advice: Any
    problems: list[dict[str, Any]]
    recipe: dict[str, Any]
    provenance: dict[str, Any]
    command: str
    seconds: dict[str, float]
    uses: list[dict[str, Any]]


def build_report(facts: Mapping[str, Any], *, table: Table | None = None) -> str:
    """The page for these facts (see `Facts`), as HTML text.

    table: where the pictures and sounds of single rows are read from; without it their names are shown.

    >>> "<h1>Cats" in build_report({"title": "Cats & dogs", "task": "classification"})
    True
    """
    folder = None if table is None else table.folder
    figures = draw_figures(facts)
    values = {
        "f": facts, "figures": figures, "metrics": METRICS, "warnings": gather_warnings(facts),
        "worst": _with_views(facts.get("worst") or [], folder, table is not None),
        "suspects": _with_views(facts.get("suspects") or [], folder, table is not None),
        "problems": group_problems(facts.get("problems") or []),
        "explanations": views(facts.get("explanations") or [], folder, files=table is not None),
        "sections": draw_sections(facts.get("sections") or []),
        "per_class": _listed_classes(facts), "most_classes": MOST_CLASSES_LISTED,
    }
    template = page_environment().get_template("report.html")
    page = template.render(values)
    # Drawings give way first: the words and numbers of a page are small.
    for name in ("residuals", "predicted_against_true", "roc", "precision_recall", "confidences", "history"):
        if len(page.encode("utf-8", "replace")) <= MOST_PAGE_BYTES:
            break
        figures.pop(name, None)
        page = template.render(values)
    return _UNPRINTABLE.sub("\N{REPLACEMENT CHARACTER}", page)


def gather_warnings(facts: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Findings of the audit and warnings of the scores in one list, gravest first."""
    found = [*(facts.get("findings") or []), *((facts.get("scores") or {}).get("warnings") or [])]
    order = {severity: place for place, severity in enumerate(SEVERITIES)}
    return sorted((dict(finding) for finding in found), key=lambda finding: order.get(str(finding.get("severity")), 1))


def group_problems(problems: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Problems by code with their count and the first few, most frequent first."""
    groups: dict[str, list[Mapping[str, Any]]] = {}
    for problem in problems:
        groups.setdefault(str(problem.get("code", "problem")), []).append(problem)
    ordered = sorted(groups.items(), key=lambda item: -len(item[1]))
    return [{"code": code, "count": len(items), "first": items[:MOST_PROBLEMS_LISTED]} for code, items in ordered]


def _listed_classes(facts: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Per-class scores; of many classes the worst by F1."""
    entries = list((facts.get("scores") or {}).get("per_class") or [])
    if len(entries) <= MOST_CLASSES_LISTED:
        return entries
    seen = [entry for entry in entries if entry.get("f1") is not None]
    return sorted(seen, key=lambda entry: entry["f1"])[:MOST_CLASSES_LISTED]


def _with_views(entries: Sequence[Mapping[str, Any]], folder: Path | None, files: bool) -> list[dict[str, Any]]:
    """The entries with a `View` for each cell, until the pictures have used up their share of the page."""
    spent, shown = 0, []
    for entry in entries:
        views = []
        for cell in entry.get("cells") or []:
            column, kind, value = str(cell.get("column")), str(cell.get("kind")), cell.get("cell")
            drawn = kind in ("image", "audio", "series")
            if drawn and isinstance(value, str) and not files:
                view = View(column, kind, text=plain(value, 80))
            elif drawn and spent > MOST_IMAGE_BYTES:
                view = View(column, kind, text=plain(value, 80), note="not shown: the page would grow too large")
            else:
                marks = entry.get("marks") or {}
                view = view_cell(column, kind, value, folder, marks if marks.get("column") == column else None)
            spent += len(view.image)
            views.append(view)
        shown.append({**entry, "views": views})
    return shown


def page_environment() -> jinja2.Environment:
    """The templates of our pages, with everything escaped, and the filters that write numbers."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.ChainableUndefined,
    )
    environment.filters.update(
        number=format_number, score=format_score, interval=format_interval, plain=plain, seconds=format_seconds,
        share=lambda value: format_score(value, percent=True), sentences=sentences_of, words=_words, flat=flat_pairs,
        full=full_sentence,
    )
    return environment


def format_number(value: Any, digits: int = 4) -> str:
    """A number for reading: thousands apart, four digits, a dash when there is none.

    >>> format_number(12345), format_number(0.123456), format_number(None)
    ('12,345', '0.1235', '–')
    """
    if value is None or value != value:
        return "–"
    if isinstance(value, bool) or not hasattr(value, "__float__"):
        return plain(value)
    number = float(value)
    if abs(number) < 1e15 and number == int(number):
        return f"{int(number):,}"
    return f"{number:,.0f}" if 10**digits <= abs(number) < 1e15 else f"{number:,.{digits}g}"


def format_score(value: Any, metric: str | None = None, *, percent: bool | None = None) -> str:
    """A score in the form its metric is spoken of: 96.4% accuracy, 0.983 AUC.

    >>> format_score(0.9642, "accuracy"), format_score(0.98341, "roc_auc")
    ('96.4%', '0.983')
    """
    if value is None or value != value:
        return "–"
    if percent is None:
        percent = metric in METRICS and METRICS[metric].percent
    if percent:
        return f"{float(value):.1%}"
    known = metric in METRICS and METRICS[metric].task in ("classification", "localisation")
    return f"{float(value):.3f}" if known else format_number(value)


def format_interval(entry: Any, metric: str | None = None) -> str:
    """The interval of {low, high}: 'low to high'; empty when it has none."""
    low, high = entry.get("low"), entry.get("high")
    if low is None or high is None:
        return ""
    first, second = format_score(low, metric), format_score(high, metric)
    return f"{first.removesuffix('%')} to {second}"


def format_seconds(value: Any) -> str:
    """A duration: 350 ms, 4.2 s, 3 min 5 s."""
    if value is None or value != value:
        return "–"
    seconds = float(value)
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 60:
        return f"{seconds:.1f} s"
    return f"{int(seconds // 60)} min {seconds % 60:.0f} s"


def full_sentence(text: Any) -> str:
    """Text with a capital at its start and a stop at its end.

    >>> full_sentence("the better is kept")
    'The better is kept.'
    """
    line = plain(text, 700)
    return line if not line else line[0].upper() + line[1:] + ("" if line[-1] in ".!?…:" else ".")


def flat_pairs(mapping: Mapping[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    """Nested settings as lines of (name, text); what is empty is left out.

    >>> flat_pairs({"plan": {"epochs": 3, "warm_up": None}, "seed": 0})
    [('plan epochs', '3'), ('seed', '0')]
    """
    pairs: list[tuple[str, str]] = []
    for key, value in mapping.items():
        name = f"{prefix}{_words(key)}"
        if isinstance(value, Mapping):
            pairs += flat_pairs(value, name + " ")
        elif value is None or (isinstance(value, str | list | tuple) and len(value) == 0):
            continue
        elif isinstance(value, list | tuple):
            pairs.append((name, plain(", ".join(map(str, value)), 400)))
        else:
            pairs.append((name, format_number(value, 6) if isinstance(value, float) else plain(value, 400)))
    return pairs


def sentences_of(value: Any) -> list[str]:
    """Advice, reasons or notes as a list of sentences, whatever form they came in."""
    if value is None or isinstance(value, jinja2.Undefined):
        return []
    if isinstance(value, Mapping):
        return sentences_of(value.get("sentences") or value.get("sentence"))
    return [value] if isinstance(value, str) else [str(item) for item in value if item]


def _words(key: Any) -> str:
    return plain(str(key).replace("_", " "), 80)
