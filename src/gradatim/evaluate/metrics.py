"""The metrics by their usual names: value of each, and how much each row moves it.

A metric's influence value of row i is N times what adding a little weight to that row does to the metric
(Hampel 1974). From it come paired intervals for differences of two models, and intervals for grouped rows.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy.stats import rankdata

from gradatim.errors import DataError
from gradatim.evaluate import placing
from gradatim.evaluate.forecasts import FORECASTING
from gradatim.evaluate.tagging import TAGGING
from gradatim.evaluate.texts import TEXTS

SMALLEST_PROBABILITY = 1e-15


@dataclass(frozen=True, slots=True)
class Metric:
    """What a metric is called, which way is better, what it is computed from, and for which task."""

    title: str
    higher_is_better: bool
    needs_probabilities: bool
    task: Literal[
        "classification", "regression", "localisation", "landmarks", "forecasting", "language-model",
        "translation", "summarisation", "tagging",
    ]
    percent: bool = False


METRICS: dict[str, Metric] = {
    "accuracy": Metric("accuracy", True, False, "classification", percent=True),
    "balanced_accuracy": Metric("balanced accuracy", True, False, "classification", percent=True),
    "f1": Metric("F1 of the positive class", True, False, "classification", percent=True),
    "f1_macro": Metric("macro F1", True, False, "classification", percent=True),
    "precision": Metric("precision of the positive class", True, False, "classification", percent=True),
    "recall": Metric("recall of the positive class", True, False, "classification", percent=True),
    "roc_auc": Metric("area under the ROC curve", True, True, "classification"),
    "average_precision": Metric("average precision", True, True, "classification"),
    "top5_accuracy": Metric("top-5 accuracy", True, True, "classification", percent=True),
    "log_loss": Metric("log loss", False, True, "classification"),
    "brier": Metric("Brier score", False, True, "classification"),
    "rmse": Metric("root mean squared error", False, False, "regression"),
    "mae": Metric("mean absolute error", False, False, "regression"),
    "r2": Metric("R² (share of variance explained)", True, False, "regression"),
    "median_absolute_error": Metric("median absolute error", False, False, "regression"),
    "mape": Metric("mean absolute percentage error", False, False, "regression", percent=True),
    **{name: Metric(title, rising, False, "localisation", percent=percent)
       for name, (title, rising, percent) in placing.LOCALISATION.items()},
    **{name: Metric(title, rising, False, "landmarks", percent=percent)
       for name, (title, rising, percent) in placing.LANDMARKS.items()},
    "bits_per_character": Metric("bits per character", False, False, "language-model"),
    "perplexity": Metric("perplexity of a token", False, False, "language-model"),
    **{name: Metric(title, False, False, "forecasting", percent=percent)
       for name, (title, percent) in FORECASTING.items()},
    **{name: Metric(title, True, False, "summarisation" if name.startswith("rouge") else "translation")
       for name, title in TEXTS.items()},
    **{name: Metric(title, rising, False, "tagging", percent=percent)
       for name, (title, rising, percent) in TAGGING.items()},
}


def metric_named(name: str) -> Metric:
    """The metric of that name."""
    if name not in METRICS:
        raise DataError(f"expected a metric among {', '.join(METRICS)}; received '{name}'")
    return METRICS[name]


def metric_value(name: str, labels: np.ndarray, answer: np.ndarray) -> float:
    """Value of a metric. labels (N,) class numbers or numbers; answer (N, C) probabilities or (N,) numbers.

    Those of boxes and points: rows as `gradatim.evaluate.placing` has them.

    NaN where it is not defined (an AUC with one class only, a recall without positives).

    >>> metric_value("accuracy", np.array([0, 1]), np.array([[0.9, 0.1], [0.6, 0.4]]))
    0.5
    """
    return measure(name, labels, answer)[0]


def measure(name: str, labels: np.ndarray, answer: np.ndarray) -> tuple[float, np.ndarray]:
    """Value of a metric and the influence value of each row, (N,), which sum to 0.

    NaN and zeros where the metric is not defined.
    """
    metric = metric_named(name)
    labels = np.asarray(labels)
    answer = np.asarray(answer, dtype=np.float64)
    if len(labels) == 0:
        raise DataError(f"expected at least one labelled row to compute {name}, received none")
    if len(labels) != len(answer):
        raise DataError(f"expected one answer a label, received {len(answer)} answers for {len(labels)} labels")
    if metric.task in ("localisation", "landmarks"):
        return placing.measured(name, labels, answer)
    if metric.task == "regression":
        return _measure_numbers(name, labels.astype(np.float64), answer)
    if name in ("roc_auc", "average_precision"):
        return _ranked(name, labels, answer)
    if name == "log_loss":
        return _mean(-np.log(_of_label(labels, answer).clip(SMALLEST_PROBABILITY, 1.0)))
    if name == "brier":
        return _mean(brier_rows(labels, answer))
    if name == "top5_accuracy":
        return _mean(in_top(labels, answer, 5).astype(np.float64))
    return measure_labels(name, labels, answer.argmax(axis=1), answer.shape[1])


def measure_labels(name: str, labels: np.ndarray, predicted: np.ndarray, classes: int) -> tuple[float, np.ndarray]:
    """Value and influence of a metric that looks only at the predicted class, (N,) class numbers."""
    correct = (labels == predicted).astype(np.float64)
    if name == "accuracy":
        return _mean(correct)
    if name == "balanced_accuracy":
        return _balanced_accuracy(labels, correct, classes)
    if name == "f1_macro":
        seen = np.union1d(labels, predicted)
        parts = [_f1_of(labels == c, predicted == c) for c in seen]
        return float(np.mean([value for value, _ in parts])), np.mean([psi for _, psi in parts], axis=0)
    positive = classes - 1 if classes == 2 else None
    if positive is None:
        return float("nan"), np.zeros(len(labels))
    true, chosen = labels == positive, predicted == positive
    if name == "recall" and not true.any():
        return float("nan"), np.zeros(len(labels))
    if name == "f1":
        return _f1_of(true, chosen)
    return _ratio((true & chosen).astype(np.float64), (chosen if name == "precision" else true).astype(np.float64))


def brier_rows(labels: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """Squared distance to the truth by row: Σ_c (p_c − 1[c = y])², halved for two classes (Brier 1950), (N,)."""
    squares = (probabilities**2).sum(axis=1) - 2 * _of_label(labels, probabilities) + 1
    return squares / 2 if probabilities.shape[1] == 2 else squares


def in_top(labels: np.ndarray, probabilities: np.ndarray, k: int) -> np.ndarray:
    """Whether the true class is among the k most probable, bool (N,); of equals the earlier class counts first."""
    own = _of_label(labels, probabilities)[:, None]
    earlier = np.arange(probabilities.shape[1])[None, :] < labels[:, None]
    return ((probabilities > own) | ((probabilities == own) & earlier)).sum(axis=1) < k


def roc_auc(positive: np.ndarray, scores: np.ndarray) -> tuple[float, np.ndarray]:
    """P(score of a positive > score of a negative) + ½ P(equal), and influences (DeLong et al. 1988).

    positive bool (N,), scores (N,). NaN when one of the two is absent.
    """
    positives, negatives = int(positive.sum()), int((~positive).sum())
    if positives == 0 or negatives == 0:
        return float("nan"), np.zeros(len(scores))
    together = rankdata(scores)
    placement = np.empty(len(scores))
    placement[positive] = (together[positive] - rankdata(scores[positive])) / negatives
    placement[~positive] = 1 - (together[~positive] - rankdata(scores[~positive])) / positives
    area = float(placement[positive].mean())
    influence = (placement - area) * len(scores) / np.where(positive, positives, negatives)
    return area, influence


def average_precision(positive: np.ndarray, scores: np.ndarray) -> tuple[float, np.ndarray]:
    """Mean over the positives of the precision at their own score, and influences; NaN without positives.

    Equal to Σ (recall_k − recall_{k−1}) · precision_k over distinct thresholds, from high to low.
    """
    if not positive.any():
        return float("nan"), np.zeros(len(scores))
    rows, share = len(scores), positive.mean()
    order = np.argsort(-scores, kind="stable")
    found = positive[order].astype(np.float64)
    last = np.append(np.flatnonzero(np.diff(scores[order])), rows - 1)
    run = np.searchsorted(last, np.arange(rows))  # rows of equal score share one threshold
    precision = (np.cumsum(found)[last] / (last + 1))[run]
    area = float((found * precision).sum() / found.sum())
    # A row also moves the precision of every positive ranked at or below it.
    weight = found * rows / (last + 1)[run] / found.sum()
    first = np.append(0, last[:-1] + 1)[run]
    below = np.cumsum(weight[::-1])[::-1][first], np.cumsum((weight * precision)[::-1])[::-1][first]
    influence = np.empty(rows)
    influence[order] = found * (precision - area) / share + found * below[0] - below[1]
    return area, influence


def _measure_numbers(name: str, labels: np.ndarray, values: np.ndarray) -> tuple[float, np.ndarray]:
    error = values - labels
    if name == "mae":
        return _mean(np.abs(error))
    if name == "mape":
        return _mean(np.abs(error) / np.abs(labels)) if labels.all() else (float("nan"), np.zeros(len(labels)))
    if name == "median_absolute_error":
        size = np.abs(error)
        middle = float(np.median(size))
        # Density at the median from the middle half of the rows: ψ = sign(|e| − m) / (2 f(m)).
        low, high = np.quantile(size, [0.25, 0.75])
        return middle, np.sign(size - middle) * (high - low)
    squares, spread = error**2, (labels - labels.mean()) ** 2
    if name == "rmse":
        root = float(np.sqrt(squares.mean()))
        return root, (squares - squares.mean()) / (2 * root) if root else np.zeros(len(labels))
    variance = spread.mean()
    if variance == 0:
        return float("nan"), np.zeros(len(labels))
    unexplained = squares.mean() / variance
    return float(1 - unexplained), -(squares - unexplained * spread) / variance


def _ranked(name: str, labels: np.ndarray, probabilities: np.ndarray) -> tuple[float, np.ndarray]:
    """Binary: class 1 against class 0. More classes: each against the rest, mean over those present."""
    classes = [1] if probabilities.shape[1] == 2 else range(probabilities.shape[1])
    values, influences = [], []
    for c in classes:
        positive = labels == c
        if not positive.any() or positive.all():
            continue
        area, influence = (roc_auc if name == "roc_auc" else average_precision)(positive, probabilities[:, c])
        values.append(area)
        influences.append(influence)
    if not values:
        return float("nan"), np.zeros(len(labels))
    return float(np.mean(values)), np.mean(influences, axis=0)


def _balanced_accuracy(labels: np.ndarray, correct: np.ndarray, classes: int) -> tuple[float, np.ndarray]:
    rows = np.bincount(labels, minlength=classes)
    hits = np.bincount(labels, weights=correct, minlength=classes)
    seen = rows > 0
    recall = np.divide(hits, rows, out=np.zeros(classes), where=seen)
    influence = (correct - recall[labels]) * len(labels) / (rows[labels] * seen.sum())
    return float(recall[seen].mean()), influence


def _f1_of(true: np.ndarray, chosen: np.ndarray) -> tuple[float, np.ndarray]:
    """F1 = 2 TP / (true + chosen), the harmonic mean of precision and recall; 0 when both are empty."""
    return _ratio(2.0 * (true & chosen), true.astype(np.float64) + chosen)


def _ratio(above: np.ndarray, below: np.ndarray) -> tuple[float, np.ndarray]:
    if not below.any():
        return 0.0, np.zeros(len(below))
    value = float(above.mean() / below.mean())
    return value, (above - value * below) / below.mean()


def _mean(values: np.ndarray) -> tuple[float, np.ndarray]:
    return float(values.mean()), values - values.mean()


def _of_label(labels: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    return probabilities[np.arange(len(labels)), labels]
