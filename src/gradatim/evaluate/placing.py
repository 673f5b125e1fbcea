"""How well objects and landmarks were placed: overlap of boxes, distance of points, each row by itself.

Lengths are shares of the longer side of the row's own picture, so that pictures of any size count alike and the overlap
is that in pixels. Rows of localisation: answers (N, 5 + C) hold p_c, the box as centre x, centre y, width, height, and
the probability of each class; labels (N, 7) hold 1 or 0, the box, the class (−1: not known), the side in pixels. Rows
of landmarks: answers (N, 3P) hold x, y and the probability of being seen, point by point; labels (N, 3P + 1) the same
with 1 or 0, then the side.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from gradatim.data.places import cornered, overlap
from gradatim.evaluate.intervals import bootstrap_means, wilson

ENOUGH = 0.5  # of overlap, from which a box counts as right
NEAR = 0.05  # of the longer side, from which a point counts as right

# metric → (title, higher is better, in percent)
LOCALISATION = {
    "iou": ("mean overlap (IoU) with the true box", True, False),
    "iou50": ("true objects found with overlap over 0.5", True, True),
    "localised": ("object, box and class all right", True, True),
    "object_accuracy": ("object or no object told rightly", True, True),
    "box_class_accuracy": ("class of the object right", True, True),
}
LANDMARKS = {
    "normalised_distance": ("mean distance as a share of the longer side", False, False),
    "pixel_distance": ("mean distance in pixels", False, False),
    "pck": ("points nearer than 5 % of the longer side", True, True),
    "seen_accuracy": ("seen or hidden told rightly", True, True),
}


def row_scores(name: str, labels: np.ndarray, answer: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """What each row adds to a metric and to the count by which it is divided, both float64 (N,).

    A row without a true object, or without a seen point, counts only where the metric can be told of it. An object
    that was not found (p_c at most 0.5) has overlap 0.
    """
    return (_of_boxes if name in LOCALISATION else _of_points)(name, labels, answer)


def measured(name: str, labels: np.ndarray, answer: np.ndarray) -> tuple[float, np.ndarray]:
    """Value of a metric and the influence of each row, (N,); NaN and zeros where no row defines it."""
    above, below = row_scores(name, labels, answer)
    if not below.any():
        return float("nan"), np.zeros(len(labels))
    value = float(above.sum() / below.sum())
    return value, (above - value * below) / below.mean()


def score_placing(
    task: str, labels: np.ndarray, answer: np.ndarray, classes: Sequence[Any] = (), *, seed: int = 0
) -> dict[str, Any]:
    """Every metric of 'localisation' or 'landmarks' with its interval, as `score_classification` gives its own.

    Shares whose count is one a row get Wilson's interval, the others the bootstrap over rows.

    >>> true = np.array([[1, 0.5, 0.5, 0.4, 0.4, -1, 100.0]])
    >>> said = np.array([[0.9, 0.5, 0.5, 0.4, 0.2]])
    >>> round(score_placing("localisation", true, said)["metrics"]["iou"]["value"], 3)
    0.5
    """
    found: dict[str, Any] = {}
    titles = LOCALISATION if task == "localisation" else LANDMARKS
    for name, (title, rising, percent) in titles.items():
        above, below = row_scores(name, labels, answer)
        if not below.any():
            continue
        if set(np.unique(above)) <= {0.0, 1.0} and set(np.unique(below)) <= {0.0, 1.0}:
            (low, high), how = wilson(above.sum(), below.sum()), "wilson"
        else:
            moments = np.stack([above, below], axis=1)
            (low, high), how = bootstrap_means(moments, _share, seed=seed), "bootstrap"
        found[name] = {"value": float(above.sum() / below.sum()), "low": low, "high": high, "interval": how,
                       "title": title, "higher_is_better": rising, "percent": percent}
    notes = []
    if task == "localisation":
        empty = int((labels[:, 0] == 0).sum())
        notes.append("An object that was not found has overlap 0." + (
            f" {empty} of {len(labels)} rows have no object; overlap is over the others." if empty else ""))
    else:
        notes.append("Distances are those of the points that can be seen.")
    return {"task": task, "rows": len(labels), "classes": [str(name) for name in classes], "metrics": found,
            "warnings": [], "notes": notes}


def _share(means: np.ndarray) -> np.ndarray:
    return np.divide(means[:, 0], means[:, 1], out=np.full(len(means), np.nan), where=means[:, 1] > 0)


def _of_boxes(name: str, labels: np.ndarray, answer: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    there, said = labels[:, 0] > 0.5, answer[:, 0] > 0.5
    true = np.nan_to_num(labels[:, 1:5])
    shared = np.where(there & said, overlap(cornered(true), cornered(answer[:, 1:5])), 0.0)
    every = np.ones(len(labels))
    if name == "object_accuracy":
        return (there == said).astype(np.float64), every
    if name == "iou":
        return shared, there.astype(np.float64)
    if name == "iou50":
        return (shared > ENOUGH).astype(np.float64), there.astype(np.float64)
    named = answer.shape[1] > 5
    right = answer[:, 5:].argmax(axis=1) == labels[:, 5] if named else np.ones(len(labels), dtype=bool)
    if name == "box_class_accuracy":
        return (right & there).astype(np.float64), there.astype(np.float64) * named
    return np.where(there, (shared > ENOUGH) & right, ~said).astype(np.float64), every


def _of_points(name: str, labels: np.ndarray, answer: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    side = labels[:, -1]
    true, said = labels[:, :-1].reshape(len(labels), -1, 3), answer.reshape(len(answer), -1, 3)
    seen = true[..., 2] > 0.5
    if name == "seen_accuracy":
        informative = not seen.all()
        return ((said[..., 2] > 0.5) == seen).sum(1).astype(np.float64), np.full(len(seen), seen.shape[1] * informative,
                                                                                 dtype=np.float64)
    distance = np.where(seen, np.linalg.norm(said[..., :2] - np.nan_to_num(true[..., :2]), axis=-1), 0.0)
    if name == "pck":
        return (seen & (distance < NEAR)).sum(1).astype(np.float64), seen.sum(1).astype(np.float64)
    scale = side[:, None] if name == "pixel_distance" else 1.0
    return (distance * scale).sum(1), seen.sum(1).astype(np.float64)
