"""Nearest neighbours of series by dynamic time warping: the classical opponent of every learner on series.

Sakoe and Chiba, "Dynamic programming algorithm optimization for spoken word recognition" (1978): two series are laid
along one another so that their steps agree best, each step held to at most a `window` of steps ahead or behind. The
search leaves out what cannot win: rows whose lower bound (Keogh 2002; Kim, Park and Chu 2001) reaches the best distance
so far, and tables abandoned half way (Rakthanmanon et al. 2012). What to notice: nothing is learned but the window,
and for twenty years few methods were better on short series of which there are few.
"""

from typing import Any, Self

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data

from gradatim.estimators.dtw_kernels import envelope, search, warped
from gradatim.estimators.row_threads import in_parts
from gradatim.estimators.series_rows import dimensions, series_rows, series_tags
from gradatim.estimators.validation import damaged, expect_array, expect_classes, expect_count

WINDOWS = (0.0, 0.01, 0.02, 0.03, 0.05, 0.08, 0.12, 0.2)


def dtw_distance(first: Any, second: Any, window: float = 1.0) -> float:
    """The least sum of squared differences along a warping path of two series (T,) or (C, T).

    window: how far a step may be matched ahead or behind, as a share of the longer series; the band is never narrower
    than the difference of the lengths.

    >>> dtw_distance([0.0, 1.0, 2.0, 2.0], [0.0, 0.0, 1.0, 2.0]), dtw_distance([0.0, 1.0, 2.0], [0.0, 0.0, 1.0], 0.0)
    (0.0, 2.0)
    """
    values, lengths = series_rows([first, second])
    values = values.astype(np.float64)
    n, m = map(int, lengths)
    if not n or not m:
        raise ValueError("expected two series with values, received an empty one")
    radius = max(int(_share(window) * max(n, m)), abs(n - m))
    rest = np.zeros(n + 1)
    return float(warped(values[0], n, values[1], m, radius, rest, np.inf, np.empty(m + 2), np.empty(m + 2)))


class DTWNeighborsClassifier(ClassifierMixin, BaseEstimator):
    """The label that most of the k nearest training series have, nearest by dynamic time warping.

    n_neighbors: k; ties go to the label of the nearer row. window: share of the length by which steps may be matched
    apart, or "auto": the one of 0 to 0.2 that leaves fewest training rows wrong, each answered by the others. X as in
    `series_rows.series_rows`. Fitted: classes_, values_ (n, C, T), lengths_, labels_ (n,) class numbers, window_; with
    "auto" windows_ and errors_ (share of training rows).

    >>> rows = np.sin(np.arange(40) * np.array([[0.2], [0.21], [0.8], [0.82]]))
    >>> DTWNeighborsClassifier().fit(rows, ["slow", "slow", "fast", "fast"]).predict(list(rows[:, 1:])).tolist()
    ['slow', 'slow', 'fast', 'fast']
    """

    def __init__(self, n_neighbors: int = 1, *, window: float | str = 0.1) -> None:
        self.n_neighbors = n_neighbors
        self.window = window

    def __sklearn_tags__(self) -> Any:
        return series_tags(super().__sklearn_tags__())

    def fit(self, X: Any, y: Any) -> Self:
        """Keep the rows; choose the window where it is "auto"."""
        if isinstance(self.n_neighbors, bool) or not isinstance(self.n_neighbors, int) or self.n_neighbors < 1:
            raise ValueError(f"n_neighbors: expected a whole number from 1, received {self.n_neighbors!r}")
        values, self.lengths_ = self._rows(X, y, fitting=True)
        y = np.asarray(y)
        check_classification_targets(y)
        if len(y) != len(values):
            raise ValueError(f"expected as many labels as series, received {len(y)} for {len(values)}")
        self.values_ = values
        self.classes_, self.labels_ = np.unique(y.ravel(), return_inverse=True)
        if self.window != "auto":
            self.window_ = _share(self.window)
            return self
        self.windows_ = np.array(WINDOWS)
        self.errors_ = np.array([self._error(share) for share in WINDOWS])
        self.window_ = float(self.windows_[self.errors_.argmin()])
        return self

    def _error(self, share: float) -> float:
        """Share of training rows whose nearest other row has another label."""
        _, places = self._search(self.values_, self.lengths_, share, 1, alone=True)
        return float((self.labels_[places[:, 0]] != self.labels_).mean())

    def kneighbors(self, X: Any, n_neighbors: int | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Distances and training row numbers (q, k), nearest first; infinite and −1 where there is none."""
        check_is_fitted(self)
        values, lengths = self._rows(X, None, fitting=False)
        return self._search(values, lengths, self.window_, min(n_neighbors or self.n_neighbors, len(self.values_)))

    def predict_proba(self, X: Any) -> np.ndarray:
        """Share of the k nearest rows with each label, float64 (q, classes); equal shares for an empty series."""
        _, places = self.kneighbors(X)
        votes = np.zeros((len(places), len(self.classes_)))
        for place in places.T:
            there = np.flatnonzero(place >= 0)
            votes[there, self.labels_[place[there]]] += 1
        totals = votes.sum(1, keepdims=True)
        return np.where(totals > 0, votes / totals.clip(1), 1 / len(self.classes_))

    def predict(self, X: Any) -> np.ndarray:
        """The label with most votes; of equals the one of the nearest row."""
        _, places = self.kneighbors(X)
        votes = np.zeros((len(places), len(self.classes_)))
        for rank, place in enumerate(places.T):
            there = np.flatnonzero(place >= 0)
            votes[there, self.labels_[place[there]]] += 1 + 1e-9 * (places.shape[1] - rank)
        return np.asarray(self.classes_[votes.argmax(1)])

    def _rows(self, X: Any, y: Any, *, fitting: bool) -> tuple[np.ndarray, np.ndarray]:
        if not isinstance(X, list | tuple | dict) and dimensions(X) <= 2:
            checked = validate_data(self, X, y if fitting else "no_validation", reset=fitting, dtype=np.float64,
                                    ensure_all_finite="allow-nan", **({} if fitting else {"skip_check_array": False}))
            X = checked[0] if fitting else checked
        elif fitting and hasattr(self, "n_features_in_"):
            del self.n_features_in_
        values, lengths = series_rows(X, None if fitting else self.values_.shape[1])
        return values.astype(np.float64), lengths

    def _search(
        self, values: np.ndarray, lengths: np.ndarray, share: float, k: int, *, alone: bool = False
    ) -> tuple[np.ndarray, np.ndarray]:
        distances = np.full((len(values), k), np.inf)
        places = np.full((len(values), k), -1, dtype=np.int64)
        uppers, lowers = np.empty_like(self.values_), np.empty_like(self.values_)
        for row, length in enumerate(self.lengths_):
            envelope(self.values_[row], length, int(share * length), uppers[row], lowers[row])

        def work(_: int, low: int, high: int) -> None:
            # `skip` compares numbers within a part: rows alone are therefore searched as one part.
            search(values[low:high], lengths[low:high], self.values_, self.lengths_, share, alone, uppers, lowers,
                   distances[low:high], places[low:high])

        if alone:
            work(0, 0, len(values))
        else:
            cells = float(lengths.sum()) * float(self.lengths_.sum()) * max(share, 0.01)
            in_parts(len(values), cells, work)
        return distances, places

    def check_state(self) -> None:
        """Raise ArtifactError unless the fitted attributes fit together."""
        classes = len(expect_classes(self))
        rows = expect_array(self, "values_", (None, None, None))
        lengths = expect_array(self, "lengths_", (len(rows),), "i")
        labels = expect_array(self, "labels_", (len(rows),), "i")
        expect_count(self, "n_neighbors", least=1)
        if len(rows) and (lengths.min() < 0 or lengths.max() > rows.shape[2]):
            raise damaged(self, f"lengths_ up to {rows.shape[2]}", str(lengths.max()))
        if len(rows) and (labels.min() < 0 or labels.max() >= classes):
            raise damaged(self, f"labels_ below {classes}", str(labels.max()))
        if not isinstance(self.window_, float) or not 0 <= self.window_ <= 1:
            raise damaged(self, "window_ from 0 to 1", repr(self.window_)[:40])


def _share(window: Any) -> float:
    if isinstance(window, bool) or not isinstance(window, int | float) or not 0 <= window <= 1:
        raise ValueError(f"window: expected a share from 0 to 1 or 'auto', received {window!r}")
    return float(window)
