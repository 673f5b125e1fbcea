"""Whether 80 % sure means right 8 times in 10: temperature, reliability curve, expected calibration error."""

from typing import Any

import numpy as np
from scipy.optimize import brentq
from scipy.special import log_softmax, softmax

from gradatim.errors import DataError
from gradatim.evaluate.intervals import wilson
from gradatim.randomness import generator

SMALLEST_PROBABILITY = 1e-12
MAX_CELLS = 2_000_000  # probabilities from which a temperature is fitted: more than a thousand rows of 2,000 classes
COLDEST, HOTTEST = 0.05, 20.0
SHARPENING_ROWS, SOFTENING_ROWS = 60, 40  # of the prior on a temperature


def fit_temperature(labels: np.ndarray, probabilities: np.ndarray) -> float:
    """The temperature T that makes the −log softmax(log p / T)[label] of the development set, and of a prior, least.

    labels int (N,), probabilities (N, C). The prior counts as many rows as `SHARPENING_ROWS` (T < 1) or
    `SOFTENING_ROWS` (T > 1) whose labels come as often as the answers themselves say: few rows move T little, and
    sharpen it less. The loss is convex in β = 1/T and so is the prior's, a cross entropy of p to p(β), so the root of
    the slope Σ_i (E_p(β)[z_i] − z_i,label) + rows/N · Σ_i (E_p(β)[z_i] − E_p[z_i]) is the only minimum (Guo et al.
    2017, section 4.2, without a prior). Kept within [0.05, 20]; 1.0 when there is no row. Of more than `MAX_CELLS`
    probabilities, an evenly spaced sample of the rows is looked at.

    >>> fit_temperature(np.array([0, 1, 0, 1]), np.array([[.9, .1], [.1, .9], [.9, .1], [.9, .1]])) > 1
    True
    """
    labels = _checked(labels, probabilities)
    if len(labels) == 0:
        return 1.0
    step = -(-np.size(probabilities) // MAX_CELLS)
    labels, probabilities = labels[::step], probabilities[::step]
    logits = log_softmax(np.log(np.clip(probabilities, SMALLEST_PROBABILITY, 1.0)), axis=1)
    picked = logits[np.arange(len(labels)), labels].mean()
    own = (softmax(logits, axis=1) * logits).sum(axis=1).mean()

    def slope(beta: float) -> float:
        rows = (SHARPENING_ROWS if beta > 1 else SOFTENING_ROWS) / len(labels)
        mean = (softmax(beta * logits, axis=1) * logits).sum(axis=1).mean()
        return float(mean - picked + rows * (mean - own))

    low, high = 1 / HOTTEST, 1 / COLDEST
    if slope(low) >= 0:
        return HOTTEST
    if slope(high) <= 0:
        return COLDEST
    return float(1 / brentq(slope, low, high, xtol=1e-10))


def uniform_share(rows: int) -> float:
    """How much of an answer is "every class alike" when `rows` rows stand behind it: ½ / (rows + 1).

    The estimate of Krichevsky and Trofimov (1981), the mean of Jeffreys' posterior, that the next row is one of which
    the model knows nothing when none of `rows` was. Without it a model that met no exception in 40 rows says 1e-30 of
    the first, which costs more than all rows before it.

    >>> uniform_share(49)
    0.01
    """
    return 0.5 / (rows + 1)


def mix_uniform(probabilities: np.ndarray, share: float) -> np.ndarray:
    """(1 − share)·p + share / C, (N, C): at least share / C each; the order of the classes stays the same."""
    return probabilities if share == 0 else (1 - share) * probabilities + share / probabilities.shape[1]


def apply_temperature(probabilities: np.ndarray, temperature: float) -> np.ndarray:
    """softmax(log p / T), (N, C); the most probable class stays the same."""
    if temperature <= 0:
        raise DataError(f"expected a temperature above 0, received {temperature}")
    return softmax(np.log(np.clip(probabilities, SMALLEST_PROBABILITY, 1.0)) / temperature, axis=1)


def calibration(labels: np.ndarray, probabilities: np.ndarray, *, bins: int = 10, seed: int = 0) -> dict[str, Any]:
    """Reliability curve with bins of equal mass, expected calibration error, and what chance alone would give.

    labels int (N,), probabilities (N, C). Each bin: mean confidence, share right with Wilson interval, rows.
    error = Σ_b n_b/N |right_b − confidence_b|; `error_by_chance` is the mean of the same for a model that is
    perfectly calibrated on these confidences, so an error below it is no evidence against the model.
    """
    labels = _checked(labels, probabilities)
    if len(labels) == 0:
        raise DataError("expected at least one labelled row to measure calibration, received none")
    confidence = probabilities.max(axis=1)
    right = (probabilities.argmax(axis=1) == labels).astype(np.float64)
    order = np.argsort(confidence, kind="stable")
    parts = [part for part in np.array_split(order, min(bins, max(1, len(labels) // 5))) if len(part)]
    curve = []
    for part in parts:
        low, high = wilson(right[part].sum(), len(part))
        curve.append({
            "from": float(confidence[part[0]]), "to": float(confidence[part[-1]]), "rows": len(part),
            "confidence": float(confidence[part].mean()), "right": float(right[part].mean()), "low": low, "high": high,
        })
    error = _gap(parts, right, confidence)
    random = generator(seed, "calibration", len(labels))
    chance = [_gap(parts, (random.random(len(labels)) < confidence).astype(np.float64), confidence)
              for _ in range(200)]
    limit, surplus = float(np.quantile(chance, 0.95)), float(confidence.mean() - right.mean())
    return {
        "error": error, "error_by_chance": float(np.mean(chance)), "error_by_chance_95": limit,
        "confidence": float(confidence.mean()), "right": float(right.mean()), "overconfidence": surplus,
        "bins": curve, "rows": len(labels), "sentence": _sentence(error, limit, surplus),
    }


def _gap(parts: list[np.ndarray], right: np.ndarray, confidence: np.ndarray) -> float:
    return float(sum(abs(right[p].sum() - confidence[p].sum()) for p in parts) / len(right))


def _sentence(error: float, chance: float, surplus: float) -> str:
    if error <= chance:
        return (f"Calibration error {error:.1%}: no more than chance gives on so few rows (up to {chance:.1%}), "
                "so the probabilities can be taken at their word.")
    how = "too sure" if surplus > 0 else "not sure enough"
    return (f"Calibration error {error:.1%}, above the {chance:.1%} that chance explains: the model is {how} "
            f"by {abs(surplus):.1%} on average.")


def _checked(labels: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    labels = np.asarray(labels).astype(np.int64)
    shape = np.shape(probabilities)
    if len(shape) != 2 or shape[0] != len(labels):
        raise DataError(f"expected probabilities of shape ({len(labels)}, classes), received {shape}")
    if len(labels) and (labels.min() < 0 or labels.max() >= shape[1]):
        raise DataError(f"expected class numbers 0 to {shape[1] - 1}, received others; leave out rows without a label")
    return labels
