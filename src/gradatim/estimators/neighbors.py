"""Nearest neighbours: a row is like the rows near it.

Nothing is fitted but a way to search. A class is the vote of the k nearest rows, a number their mean, each vote
counting 1, 1/distance, or what a function makes of the distance. The search is exact: of equal distances the earlier
row wins. `editing` thins the rows out.
What to notice: k = 1 follows every stray row, large k blurs the classes; `choose_k` finds the middle on rows kept
apart. A distance adds up columns, so columns on a larger scale count more: scale them first.
Source: Fix and Hodges (1951); Cover and Hart, Nearest neighbor pattern classification (1967).
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import scipy.sparse
from sklearn.base import BaseEstimator, ClassifierMixin, MultiOutputMixin, RegressorMixin
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data

from gradatim.estimators.distances import EUCLIDEAN, metric_number, unreduce
from gradatim.estimators.neighbor_search import ALGORITHMS, NeighborSearch
from gradatim.estimators.validation import damaged, expect_array, expect_classes, expect_count


class _Neighbors(BaseEstimator):
    """Search, and what the classifier and the regressor share."""

    def __init__(
        self,
        n_neighbors: int = 5,
        *,
        weights: Any = "uniform",
        algorithm: str = "auto",
        leaf_size: int = 30,
        p: float = 2,
        metric: str = "minkowski",
    ) -> None:
        self.n_neighbors = n_neighbors
        self.weights = weights
        self.algorithm = algorithm
        self.leaf_size = leaf_size
        self.p = p
        self.metric = metric

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        euclidean = self.metric in ("euclidean", "l2") or (self.metric == "minkowski" and self.p == 2)
        tags.input_tags.sparse = euclidean and self.algorithm in ("auto", "brute")
        return tags

    def _check(self) -> int:
        """The metric's number; ValueError for arguments out of range."""
        for name in ("n_neighbors", "leaf_size"):
            _expect_count(name, getattr(self, name))
        if self.weights not in (None, "uniform", "distance") and not callable(self.weights):
            raise ValueError(f"weights: expected 'uniform', 'distance' or a function, received {self.weights!r}")
        if self.algorithm not in ALGORITHMS:
            raise ValueError(f"algorithm: expected {', '.join(ALGORITHMS)}, received {self.algorithm!r}")
        return metric_number(self.metric, self.p)

    def _keep(self, X: Any) -> None:
        metric = self._check()
        if scipy.sparse.issparse(X) and metric != EUCLIDEAN:
            raise ValueError(
                f"X: expected dense rows for metric={self.metric!r}, p={self.p}, received a sparse matrix;"
                " use X.toarray(), or the Euclidean metric"
            )
        self.samples_ = X
        self.n_samples_fit_ = int(X.shape[0])
        self._search = NeighborSearch(X, metric, float(self.p), self.algorithm, int(self.leaf_size))
        self.algorithm_, self.algorithm_reason_ = self._search.algorithm, self._search.reason

    def _searcher(self) -> NeighborSearch:
        # After loading only the rows are there; the search is made from them again, the same one.
        if not hasattr(self, "_search"):
            metric = metric_number(self.metric, self.p)
            self._search = NeighborSearch(self.samples_, metric, float(self.p), self.algorithm_, int(self.leaf_size))
        return self._search

    def __getstate__(self) -> Any:
        state = super().__getstate__()
        return {name: value for name, value in state.items() if name != "_search"}

    def kneighbors(self, X: Any = None, n_neighbors: int | None = None, return_distance: bool = True) -> Any:
        """Distances (q, k), nearest first, and row numbers (q, k) of the neighbours; only these without distances.

        X (q, d); None: each fitted row, which then is not its own neighbour. n_neighbors: k, None: as constructed.
        """
        check_is_fitted(self)
        k = _expect_count("n_neighbors", self.n_neighbors if n_neighbors is None else n_neighbors)
        own = X is None
        if own:
            X = self.samples_
        else:
            X = validate_data(self, X, accept_sparse="csr", dtype=[np.float64, np.float32], order="C", reset=False)
        if k + own > self.n_samples_fit_:
            raise ValueError(
                f"Expected n_neighbors {'<' if own else '<='} n_samples_fit, but n_neighbors = {k},"
                f" n_samples_fit = {self.n_samples_fit_}, n_samples = {X.shape[0]}"
            )
        reduced, rows = self._searcher().nearest(X, k + own)
        if own:
            reduced, rows = _without_self(reduced, rows)
        if not return_distance:
            return rows
        return unreduce(reduced, metric_number(self.metric, self.p), self.p, X.shape[1]), rows

    def kneighbors_graph(self, X: Any = None, n_neighbors: int | None = None, mode: str = "connectivity") -> Any:
        """CSR matrix (q, n) with ones, or with mode="distance" distances, at the neighbours."""
        if mode not in ("connectivity", "distance"):
            raise ValueError(f"mode: expected 'connectivity' or 'distance', received {mode!r}")
        distances, rows = self.kneighbors(X, n_neighbors)
        values = np.ones(rows.size) if mode == "connectivity" else distances.ravel()
        pointers = np.arange(0, rows.size + 1, rows.shape[1])
        return scipy.sparse.csr_matrix((values, rows.ravel(), pointers), shape=(len(rows), self.n_samples_fit_))

    def _neighbours_of(self, X: Any) -> tuple[np.ndarray, np.ndarray | None]:
        """Rows (q, k) and the weights (q, k) of their votes, None where all are equal."""
        distances, rows = self.kneighbors(X)
        return rows, _vote_weights(distances, self.weights)

    def check_state(self) -> None:
        """Raise ArtifactError unless the fitted attributes fit together."""
        rows, columns = expect_count(self, "n_samples_fit_", least=1), expect_count(self, "n_features_in_", least=1)
        if scipy.sparse.issparse(self.samples_):
            if self.samples_.shape != (rows, columns) or not np.isfinite(self.samples_.data).all():
                raise damaged(self, f"finite samples_ of shape ({rows}, {columns})", str(self.samples_.shape))
        else:
            expect_array(self, "samples_", (rows, columns))
        if self.algorithm_ not in ALGORITHMS:
            raise damaged(self, f"algorithm_ among {', '.join(ALGORITHMS)}", repr(self.algorithm_)[:80])
        self._check()


class KNeighborsClassifier(ClassifierMixin, _Neighbors):
    """The class that most of the k nearest rows have.

    n_neighbors: k ≥ 1. weights: "uniform", "distance" (1/d; rows at distance zero alone decide) or a function of the
    distances (q, k). metric: "minkowski" with p ≥ 1 or infinity, "euclidean", "manhattan", "chebyshev", or "hamming".
    algorithm: "auto", "brute", "products" (Euclidean), "kd_tree", "ball_tree"; all give the same answer.
    X (n, d) dense, or CSR for the Euclidean metric; y (n,). Of classes with equal votes the first in order wins.
    Fitted: classes_, samples_ (n, d), targets_ (n,) numbers of classes, n_samples_fit_, algorithm_ and
    algorithm_reason_: which search "auto" chose, and the measurement it chose by.
    Source: Cover and Hart (1967); weighted votes: Dudani (1976).

    >>> model = KNeighborsClassifier(3).fit(np.array([[0.0], [1.0], [2.0], [8.0], [9.0]]), list("aaabb"))
    >>> model.predict(np.array([[1.5], [7.0]])).tolist()
    ['a', 'b']
    """

    def fit(self, X: Any, y: Any) -> Self:
        """Keep the rows, and choose how to search them."""
        X, y = validate_data(self, X, y, accept_sparse="csr", dtype=[np.float64, np.float32], order="C")
        check_classification_targets(y)
        self.classes_, targets = np.unique(y, return_inverse=True)
        self.targets_ = targets.astype(np.int64)
        self._keep(X)
        return self

    def predict(self, X: Any) -> np.ndarray:
        """The class (q,) of every row."""
        votes = self._votes(X)
        return self.classes_[votes.argmax(axis=1)]

    def predict_proba(self, X: Any) -> np.ndarray:
        """Share (q, classes) of the votes."""
        votes = self._votes(X)
        return votes / votes.sum(axis=1, keepdims=True)

    def _votes(self, X: Any) -> np.ndarray:
        rows, weights = self._neighbours_of(X)
        return count_votes(self.targets_[rows], weights, len(self.classes_))

    def check_state(self) -> None:
        """Raise ArtifactError unless the fitted attributes fit together."""
        super().check_state()
        classes = expect_classes(self)
        targets = expect_array(self, "targets_", (self.n_samples_fit_,), "i")
        if targets.min() < 0 or targets.max() >= len(classes):
            raise damaged(self, f"targets_ below {len(classes)}", f"{targets.min()} to {targets.max()}")


class KNeighborsRegressor(RegressorMixin, MultiOutputMixin, _Neighbors):
    """The mean target of the k nearest rows.

    Arguments as `KNeighborsClassifier`; y (n,) or (n, targets).
    Fitted: samples_ (n, d), targets_ float64, n_samples_fit_, algorithm_, algorithm_reason_.
    Source: Fix and Hodges (1951); Cover, Estimation by the nearest neighbor rule (1968).

    >>> model = KNeighborsRegressor(2).fit(np.array([[0.0], [1.0], [2.0]]), [0.0, 10.0, 30.0])
    >>> model.predict(np.array([[1.8]])).tolist()
    [20.0]
    """

    def fit(self, X: Any, y: Any) -> Self:
        """Keep the rows, and choose how to search them."""
        X, y = validate_data(
            self, X, y, accept_sparse="csr", dtype=[np.float64, np.float32], order="C", multi_output=True,
            y_numeric=True,
        )  # fmt: skip
        self.targets_ = np.asarray(y, dtype=np.float64)
        self._keep(X)
        return self

    def predict(self, X: Any) -> np.ndarray:
        """Predicted targets (q,) or (q, targets)."""
        rows, weights = self._neighbours_of(X)
        values = self.targets_[rows]
        if weights is None:
            return values.mean(axis=1)
        shares = weights / weights.sum(axis=1, keepdims=True)
        return np.einsum("qk,qk...->q...", shares, values)

    def check_state(self) -> None:
        """Raise ArtifactError unless the fitted attributes fit together."""
        super().check_state()
        shape = (self.n_samples_fit_, None) if np.ndim(self.targets_) == 2 else (self.n_samples_fit_,)
        expect_array(self, "targets_", shape)


def _expect_count(name: str, value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)):
        raise TypeError(f"{name}: expected a whole number ≥ 1, received {value!r} of type {type(value).__name__}")
    if value < 1:
        raise ValueError(f"{name}: expected a whole number ≥ 1, received {value}")
    return int(value)


def _without_self(reduced: np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Each row's neighbours less the row itself, or less the last where earlier duplicates crowd it out."""
    own = rows == np.arange(len(rows))[:, None]
    own[~own.any(axis=1), -1] = True
    shape = (len(rows), rows.shape[1] - 1)
    return reduced[~own].reshape(shape), rows[~own].reshape(shape)


def _vote_weights(distances: np.ndarray, weights: Any) -> np.ndarray | None:
    if weights in (None, "uniform"):
        return None
    if callable(weights):
        given = np.asarray(weights(distances), dtype=np.float64)
        if given.shape != distances.shape:
            raise ValueError(f"weights: expected a function to an array {distances.shape}, received {given.shape}")
        return given
    # Relative to the nearest, so that tiny distances do not overflow.
    nearest = distances[:, :1]
    with np.errstate(divide="ignore", invalid="ignore"):
        inverse = np.where(distances > 0, nearest / distances, 0.0)
    return np.where(nearest > 0, inverse, (distances == 0).astype(np.float64))


def count_votes(labels: np.ndarray, weights: np.ndarray | None, classes: int) -> np.ndarray:
    """Votes (q, classes) of neighbours with labels (q, k) and weights (q, k).

    >>> count_votes(np.array([[0, 2, 2]]), None, 3).tolist()
    [[1.0, 0.0, 2.0]]
    """
    queries = len(labels)
    places = (np.arange(queries)[:, None] * classes + labels).ravel()
    counts = np.bincount(places, None if weights is None else weights.ravel(), minlength=queries * classes)
    return counts.reshape(queries, classes).astype(np.float64)


@dataclass(frozen=True, slots=True)
class ChosenK:
    """k: the best of `candidates`, of equal ones the largest (the smoothest); scores: of each candidate."""

    k: int
    candidates: tuple[int, ...]
    scores: tuple[float, ...]


def choose_k(
    model: KNeighborsClassifier | KNeighborsRegressor, X: Any, y: Any, candidates: Iterable[int] | None = None
) -> ChosenK:
    """Choose k by the score of a fitted model on development rows X (q, d), y that it was not fitted on.

    candidates: values of k, None: 1 to 30, as far as the model has rows. One search serves all of them. The score is
    the accuracy of a classifier, R² of a regressor.

    >>> train, labels = np.arange(10.0)[:, None], np.array([0, 0, 0, 1, 0, 1, 1, 1, 1, 1])
    >>> choose_k(KNeighborsClassifier().fit(train, labels), train[:4] + 0.1, [0, 0, 0, 0], [1, 3]).k
    3
    """
    from sklearn.metrics import accuracy_score, r2_score

    check_is_fitted(model)
    values = tuple(range(1, min(30, model.n_samples_fit_) + 1)) if candidates is None else tuple(candidates)
    if not values:
        raise ValueError("candidates: expected at least one k, received none")
    distances, rows = model.kneighbors(X, max(_expect_count("candidates", k) for k in values))
    scores = []
    for k in values:
        weights = _vote_weights(distances[:, :k], model.weights)
        if isinstance(model, KNeighborsClassifier):
            votes = count_votes(model.targets_[rows[:, :k]], weights, len(model.classes_))
            scores.append(float(accuracy_score(y, model.classes_[votes.argmax(axis=1)])))
        else:
            shares = np.full((len(rows), k), 1 / k) if weights is None else weights / weights.sum(axis=1, keepdims=True)
            scores.append(float(r2_score(y, np.einsum("qk,qk...->q...", shares, model.targets_[rows[:, :k]]))))
    best = max(range(len(values)), key=lambda place: (scores[place], values[place]))
    return ChosenK(int(values[best]), tuple(map(int, values)), tuple(scores))


