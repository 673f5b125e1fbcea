"""Anchor boxes for a detector: k-means over box sizes with the distance 1 − IoU.

Minimise  Σᵢ wᵢ min_c (1 − IoU(boxᵢ, anchor_c)), both boxes laid over each other at one corner, so that only width and
height count. A squared distance would care for large boxes alone; the overlap is the same for a box of any size.
Source: Redmon and Farhadi, YOLO9000 (2017), section 2, 'dimension clusters'.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from sklearn.utils import check_array, check_random_state


@dataclass(frozen=True, slots=True)
class Anchors:
    """sizes (k, 2): width and height, smallest area first; labels (n,): the anchor of every box; mean_overlap: mean
    IoU of the boxes with their anchors; steps: of the best start.
    """

    sizes: np.ndarray
    labels: np.ndarray
    mean_overlap: float
    steps: int


def overlaps(boxes: np.ndarray, anchors: np.ndarray) -> np.ndarray:
    """IoU (n, k) of sizes (n, 2) and (k, 2) that share a corner.

    >>> overlaps(np.array([[2.0, 4.0]]), np.array([[2.0, 2.0], [4.0, 4.0]])).tolist()
    [[0.5, 0.5]]
    """
    shared = np.minimum(boxes[:, None, 0], anchors[:, 0]) * np.minimum(boxes[:, None, 1], anchors[:, 1])
    return shared / (boxes.prod(axis=1)[:, None] + anchors.prod(axis=1) - shared)


def anchor_boxes(
    boxes: ArrayLike, k: int, *, sample_weight: Any = None, n_init: int = 10, max_iter: int = 300, random_state: Any = 0
) -> Anchors:
    """Find k anchor sizes for boxes (n, 2) of widths and heights > 0, or (n, 4) of corners x₁, y₁, x₂, y₂.

    Each step gives every box to the anchor it overlaps most, and each anchor takes the mean size of its boxes where
    that raises their overlap. The start is drawn as in k-means++, with 1 − IoU in place of the squared distance; the
    best of n_init starts is kept. Memory: n·k numbers. ValueError for boxes without area.

    >>> found = anchor_boxes([[10, 10], [12, 12], [100, 20], [110, 22]], 2)
    >>> found.sizes.round(1).tolist()
    [[12.0, 12.0], [100.0, 20.0]]
    """
    sizes = check_array(boxes, dtype=np.float64, input_name="boxes")
    if sizes.shape[1] == 4:
        sizes = sizes[:, 2:] - sizes[:, :2]
    if sizes.shape[1] != 2 or not (sizes > 0).all():
        raise ValueError("boxes: expected (n, 2) widths and heights > 0, or (n, 4) corners with x₁ < x₂ and y₁ < y₂")
    if not 1 <= k <= len(sizes):
        raise ValueError(f"k: expected 1 to {len(sizes)} anchors for as many boxes, received {k}")
    weights = np.ones(len(sizes)) if sample_weight is None else np.asarray(sample_weight, dtype=np.float64)
    if weights.shape != (len(sizes),) or not (weights >= 0).all() or not weights.sum() > 0:
        raise ValueError(f"sample_weight: expected {len(sizes)} numbers ≥ 0, not all zero")
    largest = sizes.max()
    random = check_random_state(random_state)
    runs = [_search(sizes / largest, k, weights, max_iter, random) for _ in range(n_init)]
    best = max(runs, key=lambda run: run.mean_overlap)
    order = np.argsort(best.sizes.prod(axis=1), kind="stable")
    places = np.empty(k, dtype=np.int64)
    places[order] = np.arange(k)
    return Anchors(best.sizes[order] * largest, places[best.labels], best.mean_overlap, best.steps)


def _search(sizes: np.ndarray, k: int, weights: np.ndarray, most: int, random: np.random.RandomState) -> Anchors:
    anchors = _start(sizes, k, weights, random)
    labels = np.full(len(sizes), -1)
    step = 0
    for step in range(1, most + 1):  # noqa: B007
        table = overlaps(sizes, anchors)
        own = table.max(axis=1)
        # A box changes only for a better anchor: with equal overlaps (equal boxes) the steps would not end.
        new = np.where((labels >= 0) & (table[np.arange(len(sizes)), labels] >= own), labels, table.argmax(axis=1))
        if np.array_equal(new, labels):
            break
        labels = new
        anchors = _move(sizes, anchors, labels, weights, own)
    table = overlaps(sizes, anchors)
    return Anchors(anchors, table.argmax(axis=1), float(weights @ table.max(axis=1) / weights.sum()), step)


def _start(sizes: np.ndarray, k: int, weights: np.ndarray, random: np.random.RandomState) -> np.ndarray:
    chosen = [int(random.choice(len(sizes), p=weights / weights.sum()))]
    distances = 1 - overlaps(sizes, sizes[chosen])[:, 0]
    while len(chosen) < k:
        cost = np.maximum(distances, 0) * weights
        share = cost / cost.sum() if cost.sum() > 0 else None
        chosen.append(int(random.choice(len(sizes), p=share)))
        distances = np.minimum(distances, 1 - overlaps(sizes, sizes[chosen[-1:]])[:, 0])
    return sizes[chosen]


def _move(
    sizes: np.ndarray, anchors: np.ndarray, labels: np.ndarray, weights: np.ndarray, own: np.ndarray
) -> np.ndarray:
    """The mean size of each anchor's boxes, unless it overlaps them less than the old anchor (the mean minimises
    squares, not overlaps); an anchor without boxes takes the box that is overlapped least.
    """
    masses = np.bincount(labels, weights, minlength=len(anchors))
    out = anchors.copy()
    for place in np.flatnonzero(masses > 0):
        inside = labels == place
        mean = weights[inside] @ sizes[inside] / masses[place]
        if weights[inside] @ (overlaps(sizes[inside], mean[None])[:, 0] - own[inside]) > 0:
            out[place] = mean
    poorest = np.argsort(np.where(weights > 0, own, np.inf), kind="stable")
    empty = np.flatnonzero(masses == 0)
    out[empty] = sizes[poorest[: len(empty)]]
    return out
