"""Modality ledger: what each input column is worth and what it costs.

Each input alone, left out, and shuffled between rows (Breiman 2001, permutation importance), on rows that nothing
was fitted on; differences are paired, so both scores see the same rows. The caller's `predict` hides columns on
its trained network, so an input that the network never saw missing looks dearer than it is; a caller that
refits gives the honest figure.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from gradatim.errors import DataError
from gradatim.evaluate.intervals import influence_interval
from gradatim.evaluate.metrics import METRICS, measure, metric_named
from gradatim.evaluate.score import paired_difference
from gradatim.randomness import generator

# An interval this narrow around 0 (in shares, or of the score) says 'nothing'; a wider one says 'not known'.
NARROW = 0.04

Predict = Callable[[frozenset[str], Mapping[str, np.ndarray]], np.ndarray]


def modality_ledger(
    predict: Predict,
    columns: Sequence[str],
    labels: np.ndarray,
    *,
    metric: str,
    seed: int = 0,
    groups: np.ndarray | None = None,
    titles: Mapping[str, str] | None = None,
    say: Callable[[str], None] | None = None,
) -> list[dict[str, Any]]:
    """Score all inputs, then each alone, left out and shuffled.

    predict(hidden, shuffled): hidden is the set of columns to treat as absent, shuffled maps a column to a
    permutation (N,) of the rows whose cells it takes; gives probabilities (N, C) or numbers (N,). labels (N,).
    titles: how to call a column in sentences. Gives entries {change, input, label, metric, value, low, high,
    milliseconds (a row), difference {value, low, high, text}, speedup, sentence}; change is "all", "alone",
    "left out" or "shuffled". With one column only "all" and "shuffled".
    """
    metric_named(metric)
    labels = np.asarray(labels)
    if not columns or len(labels) == 0:
        raise DataError(f"expected columns and labelled rows for a ledger, received {len(columns)} columns "
                        f"and {len(labels)} rows")
    names = {column: (titles or {}).get(column, column) for column in columns}
    random = generator(seed, "ledger", len(labels))
    predict(frozenset(), {})  # the first call pays for caches and compilation
    whole, milliseconds = _timed(predict, frozenset(), {}, len(labels))
    entries = [_entry("all", "", "all inputs", metric, labels, whole, milliseconds, groups, seed)]
    plans: list[tuple[str, str, str, frozenset[str], dict[str, np.ndarray]]] = []
    for column in columns if len(columns) > 1 else ():
        rest = frozenset(columns) - {column}
        plans.append(("alone", column, f"{names[column]} alone", rest, {}))
        plans.append(("left out", column, f"without {names[column]}", frozenset({column}), {}))
    for column in columns:
        order = random.permutation(len(labels))
        plans.append(("shuffled", column, f"{names[column]} shuffled", frozenset(), {column: order}))
    for change, column, label, hidden, shuffled in plans:
        answer, took = _timed(predict, hidden, shuffled, len(labels))
        entry = _entry(change, column, label, metric, labels, answer, took, groups, seed)
        difference = paired_difference(metric, labels, answer, whole, groups=groups, seed=seed)
        entry["difference"] = {**difference, "text": difference_text(metric, difference)}
        entry["speedup"] = milliseconds / took if took > 0 else None
        entry["sentence"] = _sentence(entry, names[column])
        entries.append(entry)
        if say is not None and entry["sentence"]:
            say(entry["sentence"])
    return entries


def difference_text(metric: str, difference: Mapping[str, float]) -> str:
    """'−0.1 points [−0.5, +0.3]' for shares, '+0.042 [+0.021, +0.063]' for other metrics.

    >>> difference_text("accuracy", {"value": -0.001, "low": -0.005, "high": 0.003})
    '−0.1 points [−0.5, +0.3]'
    """
    if METRICS[metric].percent:
        value, low, high = (_signed(100 * difference[key], ".1f") for key in ("value", "low", "high"))
        return f"{value} points [{low}, {high}]"
    value, low, high = (_signed(difference[key], ".3g") for key in ("value", "low", "high"))
    return f"{value} [{low}, {high}]"


def _timed(
    predict: Predict, hidden: frozenset[str], shuffled: Mapping[str, np.ndarray], rows: int
) -> tuple[np.ndarray, float]:
    """The answer and milliseconds a row."""
    start = time.perf_counter()
    answer = np.asarray(predict(hidden, shuffled), dtype=np.float64)
    took = 1000 * (time.perf_counter() - start) / rows
    if len(answer) != rows:
        raise DataError(f"expected {rows} answers from predict, received {len(answer)}")
    return answer, took


def _entry(
    change: str, column: str, label: str, metric: str, labels: np.ndarray, answer: np.ndarray, took: float,
    groups: np.ndarray | None, seed: int,
) -> dict[str, Any]:
    value, influence = measure(metric, labels, answer)
    low, high = (value + end for end in influence_interval(influence, groups=groups, seed=seed))
    if METRICS[metric].percent or metric in ("roc_auc", "average_precision"):
        low, high = max(0.0, low), min(1.0, high)
    return {"change": change, "input": column, "label": label, "metric": metric, "value": value, "low": low,
            "high": high, "milliseconds": took}


def _sentence(entry: Mapping[str, Any], name: str) -> str:
    """What leaving an input out does, in words; other changes are figures only."""
    if entry["change"] != "left out":
        return ""
    difference, metric = entry["difference"], METRICS[entry["metric"]]
    text = f"Leave {name} out: {difference['text']}{'' if metric.percent else ' ' + metric.title}"
    if entry["speedup"] is not None and (entry["speedup"] >= 1.15 or entry["speedup"] <= 0.87):
        ratio = entry["speedup"] if entry["speedup"] > 1 else 1 / entry["speedup"]
        text += f", {ratio:.{0 if ratio >= 9.5 else 1}f}× {'faster' if entry['speedup'] > 1 else 'slower'}"
    good = 1 if metric.higher_is_better else -1
    gains = sorted((good * difference["low"], good * difference["high"]))
    if gains[0] > 0:
        return text + ". It does harm here."
    if gains[1] < 0:
        return text + "."
    if gains[1] - gains[0] <= NARROW * (1.0 if metric.percent else abs(entry["value"])):
        return text + ". It adds nothing that can be measured."
    return text + ". Too few rows to be sure that it helps."


def _signed(value: float, form: str) -> str:
    text = format(abs(value), form)
    return text if not float(text) else ("+" if value > 0 else "−") + text
