"""Which charts a report has, drawn from its facts."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from gradatim.evaluate import charts
from gradatim.evaluate.metrics import METRICS

MOST_HISTORIES = 4
MOST_CLASSES_IN_BALANCE = 30
FEWEST_ROWS_FOR_CURVES = 10


def draw_figures(facts: Mapping[str, Any]) -> dict[str, Any]:
    """Chart name → SVG, which the template inserts as it stands: charts escape their own text."""
    drawn: dict[str, Any] = {}
    scores = facts.get("scores") or {}
    if scores.get("confusion"):
        matrix = scores["confusion"]
        drawn["confusion"] = charts.confusion(matrix["matrix"], matrix["classes"], name="confusion")
    if 1 < len(scores.get("per_class") or []) <= MOST_CLASSES_IN_BALANCE:
        drawn["class_balance"] = charts.class_balance(scores["per_class"], name="balance")
    if (facts.get("calibration") or {}).get("bins"):
        drawn["reliability"] = charts.reliability(facts["calibration"], name="reliability")
    drawn |= _from_predictions(facts, scores)
    drawn |= _candidates(facts)
    if facts.get("ledger"):
        drawn["ledger"] = _ledger(facts["ledger"])
    histories = {name: rows for name, rows in (facts.get("history") or {}).items() if len(rows) > 1}
    drawn["history"] = [
        (name, [charts.learning_curves(rows, name=f"history{place}-{number}", what=what,
                                       title=f"Learning curves of {name}")
                for number, what in enumerate(charts.measures_of(rows)[:2])])
        for place, (name, rows) in enumerate(list(histories.items())[:MOST_HISTORIES])
    ]
    return drawn


def _from_predictions(facts: Mapping[str, Any], scores: Mapping[str, Any]) -> dict[str, str]:
    said = facts.get("test_predictions") or {}
    labels, drawn = np.asarray(said.get("labels", []), dtype=np.float64), {}
    if len(labels) < FEWEST_ROWS_FOR_CURVES:
        return {}
    if said.get("probabilities") is not None:
        classes = [str(c) for c in facts.get("classes") or scores.get("classes") or []]
        probabilities = np.asarray(said["probabilities"], dtype=np.float64)
        if probabilities.ndim != 2 or probabilities.shape != (len(labels), len(classes)):
            return {}
        kept = (labels >= 0) & np.isfinite(probabilities).all(axis=1)
        whole, probabilities = labels[kept].astype(np.int64), probabilities[kept]
        if len(np.unique(whole)) > 1:
            drawn["roc"] = charts.roc(whole, probabilities, classes, name="roc")
            drawn["precision_recall"] = charts.precision_recall(whole, probabilities, classes, name="precision")
        if len(whole):
            drawn["confidences"] = charts.confidences(whole, probabilities, name="confidences")
    elif said.get("values") is not None:
        values = np.asarray(said["values"], dtype=np.float64)
        kept = np.isfinite(labels) & np.isfinite(values)
        if kept.sum() >= FEWEST_ROWS_FOR_CURVES:
            drawn["predicted_against_true"] = charts.predicted_against_true(labels[kept], values[kept], name="against")
            drawn["residuals"] = charts.residuals(labels[kept], values[kept], name="residuals")
    return drawn


def _candidates(facts: Mapping[str, Any]) -> dict[str, str]:
    entries = [entry for entry in facts.get("candidates") or [] if entry.get("value") is not None]
    if len(entries) < 2:
        return {}
    metric = METRICS.get(str(entries[0].get("metric")))
    better = metric.higher_is_better if metric else True
    entries = sorted(entries, key=lambda entry: -entry["value"] if better else entry["value"])
    label = metric.title if metric else str(entries[0].get("metric", "score"))
    return {"candidates": charts.intervals(entries, name="candidates", title="Candidates with their intervals",
                                           label=label, percent=bool(metric and metric.percent))}


def _ledger(entries: list[dict[str, Any]]) -> str:
    whole = next((entry for entry in entries if entry.get("change") == "all"), None)
    metric = METRICS.get(str(entries[0].get("metric")))
    rows = [
        {"name": entry.get("label") or f"{entry.get('change')}: {entry.get('input')}", "value": entry["value"],
         "low": entry.get("low"), "high": entry.get("high"), "chosen": entry is whole}
        for entry in entries if entry.get("value") is not None
    ]
    return charts.intervals(
        rows, name="ledger", title="Score with some inputs only", label=metric.title if metric else "score",
        percent=bool(metric and metric.percent), reference=whole["value"] if whole else None,
        reference_label="all inputs")
