"""How good the predictions are: every metric with a 95% interval, the confusion matrix, what guessing would reach.

Precision is over what was predicted, recall over what is true, F1 = 2PR / (P + R). Rows of the confusion matrix
are true classes, columns are predicted ones.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from gradatim.errors import DataError
from gradatim.evaluate import metrics as m
from gradatim.evaluate.intervals import Z95, Interval, influence_interval, wilson
from gradatim.evaluate.metric_intervals import count_interval, f1_interval, number_interval, probability_interval

METRICS = m.METRICS
metric_value = m.metric_value
# A class is rare below a fifth of an even share; one class dominates from four rows in five.
RARE_OF_EVEN_SHARE = 0.2
DOMINATED_FROM = 0.8
RANKED = ("roc_auc", "average_precision")
RANKED_CLASSES = 300  # above, a curve for each class says little and takes minutes
TOP5_FROM_CLASSES = 6


def score_classification(
    labels: np.ndarray,
    probabilities: np.ndarray | None,
    classes: Sequence[Any],
    *,
    predicted: np.ndarray | None = None,
    groups: np.ndarray | None = None,
    seed: int = 0,
) -> dict[str, Any]:
    """Score class predictions.

    labels int (N,) in 0..C−1; probabilities (N, C) summing to 1, or None when only `predicted` int (N,) is known
    (else the most probable class). groups (N,): rows that belong together, whose intervals then count groups.
    Gives a JSON object: task, rows, classes, metrics {name: value, low, high, interval, higher_is_better},
    majority, per_class, confusion {matrix, rows, columns}, warnings, notes.

    >>> scores = score_classification(np.array([0, 1, 1]), np.array([[.9, .1], [.2, .8], [.6, .4]]), ["no", "yes"])
    >>> round(scores["metrics"]["accuracy"]["value"], 3), scores["confusion"]["matrix"]
    (0.667, [[1, 0], [1, 1]])
    """
    names = [str(c) for c in classes]
    labels, probabilities, predicted = _checked(labels, probabilities, predicted, len(names))
    confusion = np.bincount(labels * len(names) + predicted, minlength=len(names) ** 2)
    confusion = confusion.reshape(len(names), len(names))
    found = _classification_metrics(labels, probabilities, predicted, confusion, groups, seed)
    rows, chosen, hits = confusion.sum(axis=1), confusion.sum(axis=0), np.diag(confusion)
    per_class = [_class_row(name, int(r), int(p), int(h)) for name, r, p, h in zip(names, rows, chosen, hits)]
    if probabilities is not None and len(names) <= RANKED_CLASSES:
        for c, entry in enumerate(per_class):
            positive = labels == c
            entry["roc_auc"] = _finite(m.roc_auc(positive, probabilities[:, c])[0])
            entry["average_precision"] = _finite(m.average_precision(positive, probabilities[:, c])[0])
    major = int(rows.argmax())
    majority = {"class": names[major], "accuracy": float(rows[major] / rows.sum()),
                "balanced_accuracy": 1 / int((rows > 0).sum())}
    return {
        "task": "classification", "rows": len(labels), "classes": names, "metrics": found,
        "majority": majority, "per_class": per_class,
        "confusion": {"matrix": confusion.tolist(), "classes": names, "rows": "true class",
                      "columns": "predicted class"},
        "warnings": _class_warnings(names, rows, chosen, hits, majority, found),
        "notes": _class_notes(names, rows, probabilities is not None, groups),
    }


def score_regression(
    labels: np.ndarray,
    values: np.ndarray,
    *,
    training_mean: float | None = None,
    groups: np.ndarray | None = None,
    seed: int = 0,
) -> dict[str, Any]:
    """Score predicted numbers against the true ones, both (N,), in the target's unit.

    training_mean: what 'predict the mean' would say (the mean of these labels when it is not known).
    Gives a JSON object: task, rows, metrics, mean {value, rmse, mae}, residuals, warnings, notes.

    >>> score_regression(np.array([1., 2., 3.]), np.array([1., 2., 4.]))["metrics"]["mae"]["value"]
    0.3333333333333333
    """
    labels, values = _checked_numbers(labels, values)
    names = ["rmse", "mae", "r2", "median_absolute_error"] + (["mape"] if percentages_make_sense(labels) else [])
    found = {}
    for name in names:
        value, influence = m.measure(name, labels, values)
        if not np.isfinite(value):
            continue
        if groups is not None:
            interval, how = _shifted(value, influence_interval(influence, groups=groups, seed=seed)), "groups"
        else:
            interval, how = number_interval(name, labels, values, seed)
        found[name] = _entry(name, value, interval, how)
    constant = float(labels.mean()) if training_mean is None else float(training_mean)
    error = values - labels
    mean = {"value": constant, "rmse": float(np.sqrt(((labels - constant) ** 2).mean())),
            "mae": float(np.abs(labels - constant).mean()), "of": "these rows" if training_mean is None else "training"}
    notes = [] if "mape" in found else ["Percentage error is left out: true values reach or come near zero."]
    if "r2" not in found:
        notes.append("R² is left out: all true values are the same.")
    notes += ["Intervals count groups, not rows."] if groups is not None else []
    return {
        "task": "regression", "rows": len(labels), "metrics": found, "mean": mean,
        "residuals": {"mean": float(error.mean()), "std": float(error.std()),
                      "quantiles": {str(q): float(np.quantile(error, q)) for q in (0.05, 0.25, 0.5, 0.75, 0.95)}},
        "warnings": _number_warnings(found, mean, error), "notes": notes,
    }


def paired_difference(
    name: str,
    labels: np.ndarray,
    answer: np.ndarray,
    other: np.ndarray,
    *,
    groups: np.ndarray | None = None,
    seed: int = 0,
) -> dict[str, float]:
    """Metric of `answer` minus that of `other` on the same rows, with a paired bootstrap interval.

    Both answers as for `metric_value`. The rows' influences on the difference are resampled, so what both
    models get right or wrong alike adds no noise.
    """
    value, influence = m.measure(name, labels, answer)
    other_value, other_influence = m.measure(name, labels, other)
    low, high = influence_interval(influence - other_influence, groups=groups, seed=seed)
    difference = value - other_value
    return {"value": difference, "low": difference + low, "high": difference + high}


def percentages_make_sense(labels: np.ndarray) -> bool:
    """Whether errors in percent mean something: one sign, and no true value under 1 % of the median size."""
    size = np.abs(labels)
    return bool(len(labels) and (labels.min() > 0 or labels.max() < 0) and size.min() >= 0.01 * np.median(size))


def _checked(
    labels: np.ndarray, probabilities: np.ndarray | None, predicted: np.ndarray | None, classes: int
) -> tuple[np.ndarray, np.ndarray | None, np.ndarray]:
    labels = np.asarray(labels)
    if labels.ndim != 1 or len(labels) == 0:
        raise DataError(f"expected at least one labelled row to score, received labels of shape {labels.shape}")
    outside = int(((labels < 0) | (labels >= classes)).sum())
    if outside:
        raise DataError(f"expected class numbers 0 to {classes - 1}, received {outside} others; "
                        "leave out rows without a label, or add their class")
    if probabilities is None and predicted is None:
        raise DataError("expected probabilities or predicted classes, received neither")
    if probabilities is not None:
        probabilities = np.asarray(probabilities, dtype=np.float64)
        if probabilities.shape != (len(labels), classes):
            raise DataError(f"expected probabilities of shape ({len(labels)}, {classes}), "
                            f"received {probabilities.shape}")
        if not np.isfinite(probabilities).all() or (probabilities < -1e-9).any():
            raise DataError("expected probabilities from 0 to 1, received negative or non-finite ones")
        totals = probabilities.sum(axis=1)
        if np.abs(totals - 1).max() > 0.01:
            raise DataError(f"expected each row's probabilities to sum to 1, received a sum of "
                            f"{totals[np.abs(totals - 1).argmax()]:.3g}; divide each row by its sum")
        # Rows that sum to 1 but for rounding stay as they are: dividing them would break ties between rows.
        rounded = np.abs(totals - 1) > 1e-6
        probabilities = probabilities.clip(0) / np.where(rounded, totals, 1.0)[:, None]
    chosen = probabilities.argmax(axis=1) if predicted is None else np.asarray(predicted)  # type: ignore[union-attr]
    return labels.astype(np.int64), probabilities, chosen.astype(np.int64)


def _checked_numbers(labels: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    labels = np.asarray(labels, dtype=np.float64)
    values = np.asarray(values, dtype=np.float64)
    if labels.shape != values.shape or labels.ndim != 1 or len(labels) == 0:
        raise DataError(f"expected as many numbers as labels and at least one, received {values.shape} "
                        f"for {labels.shape}")
    for what, array in (("labels", labels), ("predictions", values)):
        bad = int((~np.isfinite(array)).sum())
        if bad:
            raise DataError(f"expected finite {what}, received {bad} missing or infinite; leave those rows out")
    return labels, values


def _classification_metrics(
    labels: np.ndarray,
    probabilities: np.ndarray | None,
    predicted: np.ndarray,
    confusion: np.ndarray,
    groups: np.ndarray | None,
    seed: int,
) -> dict[str, Any]:
    count = len(confusion)
    found: dict[str, Any] = {}
    for name, metric in METRICS.items():
        if metric.task != "classification" or (metric.needs_probabilities and probabilities is None):
            continue
        if (name in ("f1", "precision", "recall") and count != 2) or (
            name == "top5_accuracy" and count < TOP5_FROM_CLASSES
        ) or (name in RANKED and count > RANKED_CLASSES):
            continue
        if metric.needs_probabilities:
            value, influence = m.measure(name, labels, probabilities)  # type: ignore[arg-type]
        else:
            value, influence = m.measure_labels(name, labels, predicted, count)
        if not np.isfinite(value):
            continue
        if groups is not None:
            interval, how = _shifted(value, influence_interval(influence, groups=groups, seed=seed)), "groups"
            interval = (max(0.0, interval[0]), interval[1] if name in ("log_loss",) else min(1.0, interval[1]))
        elif metric.needs_probabilities:
            interval, how = probability_interval(name, value, influence, labels, seed)
        else:
            interval, how = count_interval(name, confusion, seed)
        found[name] = _entry(name, value, interval, how)
    return found


def _class_row(name: str, rows: int, predicted: int, hits: int) -> dict[str, Any]:
    f1 = 2 * hits / (rows + predicted) if rows + predicted else None
    entry: dict[str, Any] = {
        "class": name, "rows": rows, "predicted": predicted, "hits": hits,
        "precision": hits / predicted if predicted else None, "recall": hits / rows if rows else None, "f1": f1,
        "precision_interval": list(wilson(hits, predicted)) if predicted else None,
        "recall_interval": list(wilson(hits, rows)) if rows else None,
        "f1_interval": list(f1_interval(hits, rows + predicted - hits)) if f1 is not None else None,
    }
    return entry


def _class_warnings(
    names: list[str],
    rows: np.ndarray,
    chosen: np.ndarray,
    hits: np.ndarray,
    majority: dict[str, Any],
    found: dict[str, Any],
) -> list[dict[str, Any]]:
    """What a single headline number would hide."""
    warnings = []
    total, accuracy = int(rows.sum()), found["accuracy"]
    even = total / int((rows > 0).sum())
    rare = [c for c in range(len(names)) if 0 < rows[c] < RARE_OF_EVEN_SHARE * even]
    dominated = majority["accuracy"] >= DOMINATED_FROM
    if rare and (dominated or any(hits[c] < 0.5 * rows[c] for c in rare)):
        shown = ", ".join(
            f"'{names[c]}' ({rows[c] / total:.1%} of the rows) has recall {hits[c] / rows[c]:.0%}" for c in rare[:5]
        )
        start = "Accuracy says little here: always" if dominated else "Always"
        warnings.append(_warning(
            "skewed-classes",
            f"{start} answering '{majority['class']}' reaches {majority['accuracy']:.1%}; this model reaches "
            f"{accuracy['value']:.1%}. Rare: {shown}{' …' if len(rare) > 5 else ''}.",
            "Read balanced accuracy and the rare class's recall; choose a threshold for what a miss costs."))
    never = [names[c] for c in range(len(names)) if rows[c] and not chosen[c]]
    if never:
        warnings.append(_warning(
            "class-never-predicted",
            f"{len(never)} of {int((rows > 0).sum())} classes are never predicted, so their recall is 0: "
            f"{', '.join(map(repr, never[:8]))}{' …' if len(never) > 8 else ''}.",
            "Weigh the classes, collect more of them, or lower their threshold."))
    if accuracy["low"] <= majority["accuracy"]:
        warnings.append(_warning(
            "no-better-than-majority",
            f"Not shown to beat always answering '{majority['class']}': accuracy {accuracy['value']:.1%} "
            f"[{accuracy['low']:.1%}, {accuracy['high']:.1%}] against {majority['accuracy']:.1%}.",
            "Judge it by balanced accuracy or AUC, look for inputs that carry the target, or test on more rows."))
    return warnings


def _class_notes(names: list[str], rows: np.ndarray, probabilities: bool, groups: np.ndarray | None) -> list[str]:
    notes = []
    absent = [name for name, count in zip(names, rows) if count == 0]
    if absent:
        notes.append(f"{len(absent)} of {len(names)} classes have no row here; averages are over the others: "
                     f"{', '.join(map(repr, absent[:8]))}{' …' if len(absent) > 8 else ''}.")
    if not probabilities:
        notes.append("Only predicted classes were given: no log loss, Brier score, AUC or calibration.")
    if len(names) > RANKED_CLASSES and probabilities:
        notes.append(f"AUC and average precision are left out: {len(names)} classes, more than {RANKED_CLASSES}.")
    elif len(names) > 2 and probabilities:
        notes.append("AUC and average precision: each class against the rest, mean over classes.")
    if groups is not None:
        notes.append("Intervals count groups, not rows.")
    return notes


def _number_warnings(found: dict[str, Any], mean: dict[str, Any], error: np.ndarray) -> list[dict[str, Any]]:
    warnings = []
    if found["rmse"]["high"] >= mean["rmse"]:
        warnings.append(_warning(
            "no-better-than-mean",
            f"Not shown to beat always predicting the mean: RMSE {found['rmse']['value']:.4g} "
            f"[{found['rmse']['low']:.4g}, {found['rmse']['high']:.4g}] against {mean['rmse']:.4g}.",
            "Look for inputs that carry the target, or test on more rows."))
    shift = Z95 * error.std() / np.sqrt(len(error))
    if abs(error.mean()) > max(shift, 0.1 * error.std()):
        warnings.append(_warning(
            "biased-predictions",
            f"Predictions are {'above' if error.mean() > 0 else 'below'} the truth by {abs(error.mean()):.4g} on "
            f"average [{abs(error.mean()) - shift:.4g}, {abs(error.mean()) + shift:.4g}].",
            "Check that training and test rows come from the same time and place; else subtract the shift."))
    return warnings


def _warning(code: str, evidence: str, remedy: str) -> dict[str, Any]:
    return {"code": code, "severity": "warning", "column": None, "evidence": evidence, "consequence": "",
            "remedy": remedy, "rows": []}


def _entry(name: str, value: float, interval: Interval, how: str) -> dict[str, Any]:
    low, high = (_finite(end) for end in interval)
    return {"value": float(value), "low": low, "high": high, "interval": how, "title": METRICS[name].title,
            "higher_is_better": METRICS[name].higher_is_better, "percent": METRICS[name].percent}


def _shifted(value: float, interval: Interval) -> Interval:
    return value + interval[0], value + interval[1]


def _finite(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
