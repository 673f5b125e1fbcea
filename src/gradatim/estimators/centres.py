"""What all forms of k-means share: the start, and everything that only reads the centres."""

from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, ClusterMixin, TransformerMixin
from sklearn.callback import CallbackSupportMixin
from sklearn.metrics.pairwise import euclidean_distances
from sklearn.utils.validation import _check_sample_weight, check_is_fitted, validate_data

from gradatim.estimators import seeding
from gradatim.estimators.lloyd import Frame, nearest, own_squares
from gradatim.estimators.validation import expect_array, expect_count

INITS = ("k-means++", "k-means||", "random")


class CentresMixin(
    ClassNamePrefixFeaturesOutMixin, TransformerMixin, ClusterMixin, CallbackSupportMixin, BaseEstimator
):  # fmt: skip
    """Start, prediction, distances and score of an estimator with cluster_centers_ (k, d)."""

    n_clusters: int
    init: Any
    n_init: int | str
    max_iter: int
    tol: float
    random_state: Any
    cluster_centers_: np.ndarray

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags

    def _read(self, X: Any, *, reset: bool) -> Any:
        return validate_data(
            self, X, accept_sparse="csr", dtype=[np.float64, np.float32], order="C", reset=reset,
            accept_large_sparse=False,
        )  # fmt: skip

    def _read_weights(self, sample_weight: Any, X: Any) -> np.ndarray:
        return _check_sample_weight(sample_weight, X, dtype=np.float64, ensure_non_negative=True)

    def _check(self, rows: int, columns: int) -> None:
        for name in ("n_clusters", "max_iter"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < 1:
                raise ValueError(f"{name}: expected a whole number ≥ 1, received {value!r}")
        if not (self.n_init == "auto" or (isinstance(self.n_init, (int, np.integer)) and self.n_init >= 1)):
            raise ValueError(f"n_init: expected a whole number ≥ 1 or 'auto', received {self.n_init!r}")
        if not self.tol >= 0:
            raise ValueError(f"tol: expected a number ≥ 0, received {self.tol!r}")
        if rows < self.n_clusters:
            raise ValueError(f"n_samples={rows} should be >= n_clusters={self.n_clusters}.")
        if isinstance(self.init, str):
            if self.init not in INITS:
                raise ValueError(f"init: expected {', '.join(INITS)}, an array or a function, received {self.init!r}")
        elif not callable(self.init):
            self._check_centres(np.asarray(self.init), columns)

    def _check_centres(self, centres: np.ndarray, columns: int) -> None:
        if centres.shape != (self.n_clusters, columns):
            raise ValueError(
                f"init: expected an array of shape ({self.n_clusters}, {columns}), a row for each cluster,"
                f" received shape {centres.shape}"
            )
        if not np.isfinite(centres.astype(np.float64)).all():
            raise ValueError("init: expected finite centres, received not-a-number or infinity")

    def _starts(self, several: int = 10) -> int:
        """How many starts: one is enough for a careful start, and more are no use for a given one."""
        if not isinstance(self.init, str) and not callable(self.init):
            return 1
        if self.n_init != "auto":
            return int(self.n_init)
        return several if self.init == "random" or callable(self.init) else 1

    def _start(self, X: Any, frame: Frame, weights: np.ndarray, random: np.random.RandomState) -> np.ndarray:
        """Centres (k, d) to start from, in the user's coordinates; weights (n,) ≥ 0."""
        if callable(self.init):
            given = np.array(self.init(X, self.n_clusters, random_state=random), dtype=X.dtype)
            self._check_centres(given, X.shape[1])
            return given
        if not isinstance(self.init, str):
            return np.array(self.init, dtype=X.dtype)
        if np.count_nonzero(weights) < self.n_clusters:
            weights = np.ones(X.shape[0])
        if self.init == "k-means||":
            return seeding.parallel(X, frame, self.n_clusters, weights, random)
        if self.init == "random":
            chosen = random.choice(X.shape[0], self.n_clusters, replace=False, p=weights / weights.sum())
        else:
            chosen = seeding.plus_plus(X, frame, self.n_clusters, weights, random)
        return np.stack([seeding.row_of(X, row) for row in chosen])

    def predict(self, X: Any) -> np.ndarray:
        """The nearest centre (n,) int32 of every row."""
        check_is_fitted(self)
        return nearest(self._read(X, reset=False), self.cluster_centers_)

    def transform(self, X: Any) -> np.ndarray:
        """Distances (n, k) to the centres."""
        check_is_fitted(self)
        return euclidean_distances(self._read(X, reset=False), self.cluster_centers_)

    def score(self, X: Any, y: Any = None, sample_weight: Any = None) -> float:
        """Minus the inertia of X."""
        check_is_fitted(self)
        X = self._read(X, reset=False)
        weights = _check_sample_weight(sample_weight, X, dtype=np.float64)
        return -float(weights @ self._squares(X, nearest(X, self.cluster_centers_)))

    def _squares(self, X: Any, labels: np.ndarray) -> np.ndarray:
        """Squared distance (n,) of every row to its centre."""
        frame = Frame.of(X)
        return own_squares(X, frame, frame.into(self.cluster_centers_), labels) / frame.scale**2

    def fit_transform(self, X: Any, y: Any = None, sample_weight: Any = None) -> np.ndarray:
        """Fit, and the distances (n, k) of the same rows to the centres."""
        return self.fit(X, sample_weight=sample_weight).transform(X)  # type: ignore[attr-defined]

    def fit_predict(self, X: Any, y: Any = None, sample_weight: Any = None) -> np.ndarray:
        """Fit, and the cluster (n,) of each of the same rows."""
        return self.fit(X, sample_weight=sample_weight).labels_  # type: ignore[attr-defined]

    @property
    def _n_features_out(self) -> int:
        return len(self.cluster_centers_)

    def check_state(self) -> None:
        """Raise ArtifactError unless the fitted attributes fit together."""
        expect_array(self, "cluster_centers_", (None, expect_count(self, "n_features_in_", least=1)))
        expect_array(self, "labels_", (None,), "i")
