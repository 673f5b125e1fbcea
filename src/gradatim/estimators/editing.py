"""Fewer rows for nearest neighbours: without those that mislead, or with only those that decide.

Editing removes rows that their own neighbours would call another class: noise, and the overlap of classes. Condensing
keeps a subset that still classifies every row right with one neighbour: the rows along the borders. Edit first, then
condense: otherwise the noise is what is kept.
Source: Wilson, Asymptotic properties of nearest neighbor rules using edited data (1972); Hart, The condensed nearest
neighbor rule (1968).
"""

from typing import Any

import numba
import numpy as np
from sklearn.utils import check_random_state, check_X_y
from sklearn.utils.multiclass import check_classification_targets

from gradatim.estimators.distances import metric_number, reduced_distance
from gradatim.estimators.neighbors import KNeighborsClassifier, count_votes


def edited_rows(X: Any, y: Any, k: int = 3, *, p: float = 2, metric: str = "minkowski") -> np.ndarray:
    """Numbers, in order, of the rows whose class is that of most of their k nearest other rows.

    X (n, d), y (n,) classes, n > k ≥ 1. Of equal votes the first class wins.

    >>> rows = np.array([[0.0], [1.0], [2.0], [3.0], [9.0], [10.0], [11.0], [12.0]])
    >>> edited_rows(rows, ["a", "a", "b", "a", "b", "b", "b", "b"]).tolist()
    [0, 1, 3, 4, 5, 6, 7]
    """
    X, y = check_X_y(X, y, dtype=[np.float64, np.float32])
    model = KNeighborsClassifier(k, p=p, metric=metric).fit(X, y)
    votes = count_votes(model.targets_[model.kneighbors(return_distance=False)], None, len(model.classes_))
    return np.flatnonzero(votes.argmax(axis=1) == model.targets_)


def condensed_rows(X: Any, y: Any, *, p: float = 2, metric: str = "minkowski", random_state: Any = None) -> np.ndarray:
    """Numbers, in order, of a subset with which one neighbour classifies every row right (but equal rows of two
    classes). Rows are visited in their order, or with a random_state in a random one; the subset depends on it.

    X (n, d), y (n,) classes.

    >>> rows = np.arange(8.0)[:, None]
    >>> condensed_rows(rows, [0, 0, 0, 0, 1, 1, 1, 1]).tolist()
    [0, 3, 4]
    """
    X, y = check_X_y(X, y, dtype=[np.float64, np.float32], order="C")
    check_classification_targets(y)
    labels = np.unique(y, return_inverse=True)[1].astype(np.int64)
    order = np.arange(len(X))
    if random_state is not None:
        order = check_random_state(random_state).permutation(len(X))
    kept = _condense(X, labels, order, metric_number(metric, p), float(p))
    return np.flatnonzero(kept)


@numba.njit(cache=True, nogil=True)
def _condense(x, labels, order, metric, p):  # type: ignore[no-untyped-def]
    """Hart's passes until one adds nothing; each row remembers its nearest kept row and sees only new ones again."""
    rows = x.shape[0]
    kept, members = np.zeros(rows, np.bool_), np.empty(rows, np.int64)
    nearest, nearest_row = np.full(rows, np.inf), np.full(rows, -1, np.int64)
    seen = np.zeros(rows, np.int64)
    count, added = 0, True
    while added:
        added = False
        for place in range(rows):
            row = order[place]
            if kept[row]:
                continue
            for member in range(seen[row], count):
                other = members[member]
                found = reduced_distance(x, row, x, other, metric, p, nearest[row])
                if found < nearest[row] or (found == nearest[row] and other < nearest_row[row]):
                    nearest[row], nearest_row[row] = found, other
            seen[row] = count
            if nearest_row[row] < 0 or labels[nearest_row[row]] != labels[row]:
                members[count] = row
                kept[row] = True
                count += 1
                added = True
    return kept
