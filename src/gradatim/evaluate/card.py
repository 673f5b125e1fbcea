"""The model card in Markdown: what the model is for, what it was made from, how good it is, what to beware of.

After Mitchell et al. 2019, Model Cards for Model Reporting.
"""

import re
from collections.abc import Mapping
from typing import Any

from gradatim.evaluate.metrics import METRICS
from gradatim.evaluate.report import (
    flat_pairs,
    format_interval,
    format_number,
    format_score,
    format_seconds,
    full_sentence,
    gather_warnings,
    group_problems,
    sentences_of,
)
from gradatim.evaluate.thumbnails import plain

_SPECIAL = re.compile(r"([\\`*_\[\]<>#|~$])")


def model_card(facts: Mapping[str, Any]) -> str:
    """The card for the same facts as the report's (`gradatim.evaluate.report.Facts`); missing parts are left out.

    >>> print(model_card({"title": "Cats", "task": "classification", "target": "cat"}).splitlines()[0])
    # Cats
    """
    parts = [_head, _scores, _choice, _data, _limits, _ledger, _reproduction]
    blocks = [block for part in parts for block in part(facts) if block]
    return "\n\n".join(blocks) + "\n"


def _head(facts: Mapping[str, Any]) -> list[str]:
    inputs = [c for c in facts.get("schema") or [] if c.get("role") == "input"]
    uses = f"Predicts **{_text(facts.get('target', 'the target'))}** ({_text(facts.get('task', 'a task'))})"
    if inputs:
        uses += " from " + ", ".join(f"{_text(c['name'])} ({_text(c['kind'])})" for c in inputs)
    where = f" It was made from {_text(facts['source'])}" if facts.get("source") else " It"
    uses += f".{where} and is meant for rows of the same origin; other origins need a test of their own."
    if facts.get("classes"):
        shown = [_text(c, 40) for c in facts["classes"][:20]]
        uses += f" Classes: {', '.join(shown)}{' …' if len(facts['classes']) > 20 else ''}."
    return [f"# {_text(facts.get('title') or 'Model card')}", "## Intended use", uses]


def _scores(facts: Mapping[str, Any]) -> list[str]:
    scores = facts.get("scores") or {}
    if not scores.get("metrics"):
        return []
    lines = ["| Metric | Value | 95% interval |", "|---|---:|---:|"]
    for name, entry in scores["metrics"].items():
        arrow = "↑" if entry.get("higher_is_better") else "↓"
        lines.append(f"| {_text(entry.get('title', name))} {arrow} | {format_score(entry['value'], name)} "
                     f"| {format_interval(entry, name)} |")
    compared = []
    if scores.get("majority"):
        compared.append(f"Always answering '{_text(scores['majority']['class'])}' would be right on "
                        f"{scores['majority']['accuracy']:.1%}.")
    if scores.get("mean"):
        compared.append(f"Always predicting the mean has a root mean squared error of "
                        f"{format_number(scores['mean']['rmse'])}.")
    if facts.get("calibration"):
        compared.append(str(facts["calibration"].get("sentence", "")))
    note = _text(full_sentence((facts.get("score") or {}).get("note", "")), 400)
    return [f"## Scores on {format_number(scores.get('rows'))} test rows", "\n".join(lines), note,
            " ".join([*map(str, compared), *map(str, scores.get("notes") or [])])]


def _choice(facts: Mapping[str, Any]) -> list[str]:
    answer, blocks = facts.get("answer") or {}, []
    if answer:
        blocks = ["## How it was chosen", f"**{_text(answer.get('name', ''), 200)}**. "
                  + " ".join(_text(full_sentence(s), 600) for s in sentences_of(answer.get("why")))]
        told = [*sentences_of(facts.get("candidates_note"))]
        told += [s for s in [*sentences_of(answer.get("verdict")), *sentences_of(answer.get("notes"))]
                 if s not in " ".join(told)]
        blocks.append("\n".join(f"- {_text(full_sentence(s), 600)}" for s in told))
    candidates = facts.get("candidates") or []
    if candidates:
        lines = ["| Candidate | Score | 95% interval | Weight | Time |", "|---|---:|---:|---:|---:|"]
        for entry in candidates:
            weight = f"{entry['weight']:.0%}" if entry.get("weight") else ""
            name = f"**{_text(entry['name'])}**" if entry.get("chosen") else _text(entry["name"])
            lines.append(f"| {name} | {format_score(entry.get('value'), entry.get('metric'))} "
                         f"| {format_interval(entry, entry.get('metric'))} | {weight} "
                         f"| {format_seconds(entry.get('seconds'))} |")
        metric = METRICS.get(str(candidates[0].get("metric")))
        lines.append("")
        lines.append(f"Scores ({metric.title if metric else 'score'}) are on the rows that the choice was made on.")
        blocks.append("\n".join(lines))
    return blocks


def _data(facts: Mapping[str, Any]) -> list[str]:
    blocks = []
    if facts.get("rows"):
        counts = ", ".join(f"{format_number(value)} {_text(key)}" for key, value in facts["rows"].items()
                           if value is not None)
        blocks.append(f"Rows: {counts}.")
    if facts.get("schema"):
        lines = ["| Column | Kind | Role | Why |", "|---|---|---|---|"]
        lines += [f"| {_text(c['name'])} | {_text(c['kind'])} | {_text(c['role'])} "
                  f"| {_text('; '.join(sentences_of(c.get('why'))), 160)} |" for c in facts["schema"]]
        blocks.append("\n".join(lines))
    notes = sentences_of(facts.get("split_notes"))
    if notes:
        blocks.append("Split:\n\n" + "\n".join(f"- {_text(full_sentence(note), 400)}" for note in notes))
    return ["## Data", *blocks] if blocks else []


def _limits(facts: Mapping[str, Any]) -> list[str]:
    lines = []
    for finding in gather_warnings(facts):
        column = f" ({_text(finding['column'])})" if finding.get("column") else ""
        told = " ".join(_text(finding.get(key) or "", 500) for key in ("evidence", "consequence", "remedy"))
        lines.append(f"- **{_text(finding.get('severity', 'warning'))}** `{_code(finding.get('code'))}`{column}: "
                     + " ".join(told.split()))
    for entry in facts.get("slices") or []:
        if entry.get("significant"):
            percent = entry.get("measure") == "accuracy"
            value, rest = (format_score(entry[key], percent=percent) for key in ("value", "rest"))
            lines.append(f"- Weaker where {_text(entry['slice'], 160)}: {_text(entry.get('measure', 'score'))} {value} "
                         f"on {format_number(entry['rows'])} rows against {rest} elsewhere.")
    if facts.get("suspects"):
        lines.append(f"- {len(facts['suspects'])} labels look wrong; the report lists them.")
    lines += [f"- {format_number(group['count'])} cells with problem `{_code(group['code'])}`."
              for group in group_problems(facts.get("problems") or [])]
    lines += [f"- {_text(sentence, 400)}" for sentence in sentences_of(facts.get("advice"))]
    return ["## Limits and findings", "\n".join(lines)] if lines else []


def _ledger(facts: Mapping[str, Any]) -> list[str]:
    told = [entry["sentence"] for entry in facts.get("ledger") or [] if entry.get("sentence")]
    return ["## What each input is worth", "\n".join(f"- {_text(line, 300)}" for line in told)] if told else []


def _reproduction(facts: Mapping[str, Any]) -> list[str]:
    lines = []
    for part in ("recipe", "provenance"):
        lines += [f"- {_text(key)}: {_text(value, 400)}" for key, value in flat_pairs(facts.get(part) or {})]
    for use in facts.get("uses") or []:
        lines.append("- test set used: " + ", ".join(
            f"{_text(key)} {_text(value, 80)}" for key, value in use.items() if not isinstance(value, Mapping)))
    blocks = ["## Reproduction"] if lines or facts.get("command") else []
    if facts.get("command"):
        blocks.append("    " + plain(facts["command"], 600).replace("\n", " "))
    return [*blocks, "\n".join(lines)]


def _text(value: Any, longest: int = 120) -> str:
    """Text of strangers in one line of Markdown: what could be markup is escaped."""
    return _SPECIAL.sub(r"\\\1", " ".join(plain(value, longest).split()))


def _code(value: Any) -> str:
    return re.sub(r"[^\w.:-]", "", str(value))[:60]
