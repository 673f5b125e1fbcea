"""Rows whose label is probably wrong: a model that was not trained on them is sure of another one.

Confident learning (Northcutt, Jiang and Chuang 2021, section 3): a row counts for a class when its probability
reaches the mean probability of that class among the rows labelled so. Probabilities must be out of fold.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from gradatim.errors import DataError


def likely_mislabelled(
    labels: np.ndarray, probabilities: np.ndarray, classes: Sequence[Any], *, rows: np.ndarray | None = None,
    most: int = 20, least_margin: float = 0.4,
) -> list[dict[str, Any]]:
    """The likeliest wrong labels, worst first.

    labels int (N,), out-of-fold probabilities (N, C), rows: row numbers in the table (default 0…N−1). Gives
    [{row, label, suggested, probability_label, probability_suggested, margin}]; margin = the label's probability
    minus the suggested one's, at most −least_margin.

    >>> said = np.array([[.9, .1]] * 5 + [[.1, .9]] * 6)
    >>> found = likely_mislabelled(np.array([0] * 6 + [1] * 5), said, ["no", "yes"])
    >>> [(entry["row"], entry["suggested"]) for entry in found]
    [(5, 'yes')]
    """
    labels, probabilities = np.asarray(labels).astype(np.int64), np.asarray(probabilities, dtype=np.float64)
    if probabilities.shape != (len(labels), len(classes)):
        raise DataError(f"expected probabilities of shape ({len(labels)}, {len(classes)}), "
                        f"received {probabilities.shape}")
    numbers = np.arange(len(labels)) if rows is None else np.asarray(rows)
    known = (labels >= 0) & np.isfinite(probabilities).all(axis=1)
    labels, probabilities, numbers = labels[known], probabilities[known], numbers[known]
    own = probabilities[np.arange(len(labels)), labels]
    counts = np.bincount(labels, minlength=len(classes))
    # A class that no row carries can never be suggested.
    usual = np.where(counts > 0, np.bincount(labels, own, len(classes)) / counts.clip(1), np.inf)
    confident = np.where(probabilities >= usual, probabilities, -1.0)
    suggested = confident.argmax(axis=1)
    suspect = (confident.max(axis=1) > 0) & (suggested != labels)
    other = probabilities[np.arange(len(labels)), suggested]
    # A weak model disagrees with many labels a little; only a clear disagreement is worth a person's look.
    suspect &= other - own >= least_margin
    order = np.flatnonzero(suspect)[np.argsort((own - other)[suspect], kind="stable")][:most]
    return [
        {"row": int(numbers[i]), "label": str(classes[labels[i]]), "suggested": str(classes[suggested[i]]),
         "probability_label": float(own[i]), "probability_suggested": float(other[i]),
         "margin": float(own[i] - other[i])}
        for i in order
    ]


def likely_mistyped(
    labels: np.ndarray, values: np.ndarray, *, rows: np.ndarray | None = None, most: int = 20, spreads: float = 6.0
) -> list[dict[str, Any]]:
    """Numbers so far from an out-of-fold prediction that a slip of the pen is likely, worst first.

    labels, values (N,). Far: over `spreads` times 1.4826 · the median absolute residual, the standard deviation of
    normal residuals. Gives [{row, label, suggested, spreads}].
    """
    labels, values = np.asarray(labels, dtype=np.float64), np.asarray(values, dtype=np.float64)
    numbers = np.arange(len(labels)) if rows is None else np.asarray(rows)
    residual = labels - values
    known = np.isfinite(residual)
    if known.sum() < 20:
        return []
    centre = np.median(residual[known])
    spread = 1.4826 * np.median(np.abs(residual[known] - centre))
    if spread == 0:
        return []
    far = np.where(known, np.abs(residual - centre) / spread, 0.0)
    order = np.argsort(-far, kind="stable")[:most]
    return [{"row": int(numbers[i]), "label": float(labels[i]), "suggested": float(values[i]), "spreads": float(far[i])}
            for i in order if far[i] > spreads]
