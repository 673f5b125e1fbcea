"""Where k-means starts: rows far from each other.

k-means++ draws each further centre with probability proportional to the squared distance to the nearest centre so
far, and of a few draws keeps the one that lowers the sum of these distances most. k-means|| draws many at once in a
few rounds, so that the passes over the data do not grow with k, and then thins the candidates by weighted k-means++.
Source: Arthur and Vassilvitskii, k-means++ (2007); Bahmani et al., Scalable k-means++ (2012), algorithm 2.
"""

from typing import Any

import numba
import numpy as np
import scipy.sparse

from gradatim.estimators.lloyd import REORDER, Frame, nearest, squared_lengths
from gradatim.estimators.row_threads import in_parts

ROUNDS = 5
OVERSAMPLING = 2


def row_of(X: Any, row: int) -> np.ndarray:
    """One row, dense (d,)."""
    return X[[row]].toarray()[0] if scipy.sparse.issparse(X) else X[row]


def plus_plus(X: Any, frame: Frame, clusters: int, weights: np.ndarray, random: np.random.RandomState) -> np.ndarray:
    """Rows of X (clusters,) chosen by greedy k-means++; weights (n,) ≥ 0."""
    trials = 2 + int(np.log(clusters))
    lengths = squared_lengths(X, frame) if scipy.sparse.issparse(X) else np.empty(0)
    chosen = np.empty(clusters, dtype=np.intp)
    chosen[0] = random.choice(X.shape[0], p=weights / weights.sum())
    distances = _distances_to(X, frame, lengths, chosen[:1], np.full(X.shape[0], np.inf))[0]
    for place in range(1, clusters):
        drawn = _draw(distances * weights, trials, random)
        if drawn is None:
            drawn = random.choice(X.shape[0], size=1, p=weights / weights.sum())
        candidates = _distances_to(X, frame, lengths, drawn, distances)
        best = int(np.argmin(candidates @ weights))
        chosen[place], distances = drawn[best], candidates[best]
    return chosen


def parallel(X: Any, frame: Frame, clusters: int, weights: np.ndarray, random: np.random.RandomState) -> np.ndarray:
    """Centres (clusters, d) by k-means||; weights (n,) ≥ 0."""
    lengths = squared_lengths(X, frame) if scipy.sparse.issparse(X) else np.empty(0)
    chosen = random.choice(X.shape[0], size=1, p=weights / weights.sum())
    distances = _distances_to(X, frame, lengths, chosen, np.full(X.shape[0], np.inf))[0]
    for _ in range(ROUNDS):
        cost = distances * weights
        total = cost.sum()
        if not total > 0:
            break
        drawn = np.flatnonzero(random.random_sample(len(cost)) * total < OVERSAMPLING * clusters * cost)
        for row in range(0, len(drawn), 16):
            distances = _distances_to(X, frame, lengths, drawn[row : row + 16], distances).min(axis=0)
        chosen = np.concatenate([chosen, drawn])
    chosen = np.unique(chosen)
    if len(chosen) < clusters:
        rest = np.setdiff1d(np.arange(X.shape[0]), chosen)
        chosen = np.concatenate([chosen, random.choice(rest, clusters - len(chosen), replace=False)])
    candidates = np.stack([row_of(X, row) for row in chosen])
    masses = np.bincount(nearest(X, candidates), weights, minlength=len(candidates))
    masses[masses <= 0] = np.finfo(np.float64).tiny  # duplicates of other candidates own no rows
    return candidates[plus_plus(candidates, frame, clusters, masses, random)]


def _draw(cost: np.ndarray, trials: int, random: np.random.RandomState) -> np.ndarray | None:
    """Rows drawn with probability proportional to cost; None where all costs are zero."""
    running = np.cumsum(cost)
    if not running[-1] > 0:
        return None
    found = np.searchsorted(running, random.random_sample(trials) * running[-1], side="right")
    return np.minimum(found, np.flatnonzero(cost)[-1])


def _distances_to(
    X: Any, frame: Frame, lengths: np.ndarray, rows: np.ndarray, bounds: np.ndarray
) -> np.ndarray:
    """min(bounds, ‖x − X[row]‖²) for each of the rows, in the frame, float64 (rows, n)."""
    if scipy.sparse.issparse(X):
        products = np.asarray((X[rows] @ X.T).toarray(), dtype=np.float64) * frame.scale**2
        return np.minimum(np.maximum(lengths[rows, None] - 2 * products + lengths, 0), bounds)
    out = np.empty((len(rows), X.shape[0]))
    candidates, scale = np.ascontiguousarray(X[rows]), X.dtype.type(frame.scale)
    in_parts(
        X.shape[0],
        X.size * len(rows),
        lambda _, low, high: _closer(X[low:high], scale, candidates, bounds[low:high], out[:, low:high]),
    )
    return out


@numba.njit(cache=True, nogil=True, fastmath=REORDER)
def _closer(x, scale, candidates, bounds, out):  # type: ignore[no-untyped-def]
    for row in range(x.shape[0]):
        for place in range(candidates.shape[0]):
            total = x.dtype.type(0)
            for j in range(x.shape[1]):
                step = (x[row, j] - candidates[place, j]) * scale
                total += step * step
            out[place, row] = min(bounds[row], np.float64(total))
