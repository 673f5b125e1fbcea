"""Which interval each metric gets, and its name: none of them collapses when everything is right."""

import numpy as np
from scipy import sparse
from scipy.stats import binom

from gradatim.evaluate.intervals import (
    Z95,
    Interval,
    bootstrap_means,
    mean_of_proportions,
    resampled_counts,
    wilson,
)


def count_interval(name: str, confusion: np.ndarray, seed: int) -> tuple[Interval, str]:
    """Interval of a metric that only depends on the confusion matrix (C, C), rows true."""
    rows, chosen, hits = confusion.sum(axis=1), confusion.sum(axis=0), np.diag(confusion)
    if name == "accuracy":
        return wilson(hits.sum(), rows.sum()), "wilson"
    if name == "balanced_accuracy":
        seen = rows > 0
        return mean_of_proportions(hits[seen], rows[seen]), "wilson"
    if name in ("precision", "recall"):
        return wilson(hits[1], (chosen if name == "precision" else rows)[1]), "wilson"
    if name == "f1":
        return f1_interval(int(hits[1]), int(rows[1] + chosen[1] - hits[1])), "wilson"
    return _macro_f1_interval(confusion, seed), "bootstrap"


def f1_interval(hits: int, union: int) -> Interval:
    """F1 = 2J / (1 + J) grows with J = TP / (TP + FP + FN), so Wilson's limits of J carry over."""
    low, high = wilson(hits, union)
    return 2 * low / (1 + low), 2 * high / (1 + high)


def _macro_f1_interval(confusion: np.ndarray, seed: int) -> Interval:
    true, chosen = np.nonzero(confusion)
    draws = resampled_counts(confusion[true, chosen], seed=seed)
    size, cells = len(confusion), np.arange(len(true))

    def sums(of: np.ndarray, keep: np.ndarray | slice) -> np.ndarray:
        index = cells[keep]
        pick = sparse.csr_matrix((np.ones(len(index)), (index, of[keep])), shape=(len(true), size))
        return np.asarray((pick.T @ draws.T).T)

    every = slice(None)
    below = sums(true, every) + sums(chosen, every)
    value = np.divide(2 * sums(true, true == chosen), below, out=np.zeros_like(below), where=below > 0)
    low, high = np.quantile(value.sum(axis=1) / (below > 0).sum(axis=1), [0.025, 0.975])
    if low == high:  # all right or all wrong: a bootstrap sees no spread
        rows = confusion.sum(axis=1)
        return mean_of_proportions(np.diag(confusion)[rows > 0], rows[rows > 0])
    return float(low), float(high)


def probability_interval(
    name: str, value: float, influence: np.ndarray, labels: np.ndarray, seed: int
) -> tuple[Interval, str]:
    """Interval of a metric of the probabilities: Wilson, bootstrap, or DeLong's for areas under curves."""
    if name == "top5_accuracy":
        return wilson(round(value * len(labels)), len(labels)), "wilson"
    if name in ("log_loss", "brier"):
        return bootstrap_means(influence + value, lambda means: means[:, 0], seed=seed), "bootstrap"
    spread = float(influence.std() / np.sqrt(len(influence)))
    if value >= 1.0 or spread == 0.0:
        counts = np.bincount(labels)
        smallest = int(counts[counts > 0].min())
        return (wilson(smallest, smallest)[0], 1.0) if value >= 1.0 else (value, value), "delong"
    # On the logit scale the interval stays inside (0, 1).
    logit, half = np.log(value / (1 - value)) if value > 0 else -36.0, Z95 * spread / max(value * (1 - value), 1e-12)
    low, high = (1 / (1 + np.exp(-np.clip(logit + sign * half, -36, 36))) for sign in (-1, 1))
    return (float(low), float(high)), "delong" if name == "roc_auc" else "influence"


def number_interval(name: str, labels: np.ndarray, values: np.ndarray, seed: int) -> tuple[Interval, str]:
    """Interval of a regression metric, labels and values (N,)."""
    error = values - labels
    if name == "median_absolute_error":  # order statistics: exact, whatever the distribution
        size, rows = np.sort(np.abs(error)), len(error)
        low = int(binom.ppf(0.025, rows, 0.5))
        return (float(size[max(low - 1, 0)]), float(size[min(rows - low, rows - 1)])), "order statistics"
    if name == "mae":
        return bootstrap_means(np.abs(error), lambda means: means[:, 0], seed=seed), "bootstrap"
    if name == "mape":
        return bootstrap_means(np.abs(error / labels), lambda means: means[:, 0], seed=seed), "bootstrap"
    if name == "rmse":
        return bootstrap_means(error**2, lambda means: np.sqrt(means[:, 0].clip(0)), seed=seed), "bootstrap"
    centred = labels - labels.mean()
    moments = np.stack([error**2, centred**2, centred], axis=1)

    def r2(means: np.ndarray) -> np.ndarray:
        variance = means[:, 1] - means[:, 2] ** 2
        return 1 - np.divide(means[:, 0], variance, out=np.full(len(means), np.nan), where=variance > 0)

    return bootstrap_means(moments, r2, seed=seed), "bootstrap"
