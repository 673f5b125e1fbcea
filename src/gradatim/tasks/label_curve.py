"""What labels are worth: the heads fitted again on an eighth, a quarter and half of the labels, and on all of them.

With features of a pretrained network a fit costs a second, so a run can show how much a pretrained network saves: where
its curve at an eighth of the labels is above the other at all of them, it is worth more than eight times the labels.
"""

from typing import TYPE_CHECKING, Any

import numpy as np

from gradatim.evaluate.metrics import METRICS
from gradatim.randomness import generator
from gradatim.tasks.choose import Candidate

if TYPE_CHECKING:
    from gradatim.tasks.supervised import Line

SHARES = (1 / 8, 1 / 4, 1 / 2)
FEWEST_ROWS = 16
SECONDS_SHARE = 0.15  # of the time, for all curves together


def label_curves(line: "Line", candidates: list[Candidate]) -> list[dict[str, Any]]:
    """Score on held-out rows against labels fitted on: [{"name", "rows", "value"}] of the frozen and the plain head.

    Nothing where no pretrained network was named, or where the time is too short.
    """
    chosen = [next((c for c in candidates if c.kind == kind), None) for kind in ("frozen", "head")]
    heads = [head for head in chosen if head is not None and head.refit is not None and head.fitted is not None]
    cost = sum(head.seconds for head in heads)
    if not line.frozen or not heads:
        return []
    if not line.memo.decide("label curves", lambda: line.choices.epochs is not None
                            or cost < SECONDS_SHARE * line.clock.seconds):
        line.notes.append("how much the labels are worth was not measured: there was no time; give more --minutes")
        return []
    rows, held = line.parts[0]
    order = generator("label curve", line.choices.seed).permutation(rows)
    curves = []
    for head in heads:
        assert head.refit is not None
        sizes = [size for size in (round(share * len(rows)) for share in SHARES) if size >= FEWEST_ROWS]
        members = [head.refit(np.sort(order[:size])) for size in sizes]
        values = [_value(line, member, held) for member in [*members, head.fitted]]
        curves.append({"name": head.name, "rows": [*sizes, len(rows)], "value": values})
    return curves


def _value(line: "Line", member: Any, held: np.ndarray) -> float | None:
    score = line.task.score(member.answer_rows(line.source, held), line.labels[held])
    found = score["metrics"].get(line.task.metric, {}).get("value")
    return None if found is None else float(found)


def curve_section(curves: list[dict[str, Any]], metric: str) -> list[dict[str, Any]]:
    """The curves as a section of the report; none where there are none."""
    if not curves:
        return []
    title = METRICS[metric].title if metric in METRICS else metric
    series = [{"name": curve["name"], "x": curve["rows"], "y": curve["value"]} for curve in curves]
    rows = [[curve["name"], *(value for value in curve["value"])] for curve in curves]
    return [{
        "title": "What the labels are worth",
        "text": "The heads fitted again on parts of the training rows, all scored on the same rows that none has seen",
        "items": [
            {"kind": "lines", "x": {"label": "labelled training rows"}, "y": {"label": title}, "series": series},
            {"kind": "table", "columns": [title, *(f"{size:,} rows" for size in curves[0]["rows"])], "rows": rows},
        ],
    }]  # fmt: skip
