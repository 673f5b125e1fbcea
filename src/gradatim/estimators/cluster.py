"""k-means: rows parted into k groups around their means.

Minimise the inertia  Σ wᵢ min_c ‖xᵢ − μ_c‖².  Lloyd's algorithm repeats two steps that can only lower it: give every
row to its nearest centre, and move every centre to the weighted mean of its rows (see `lloyd`). The mini-batch form
moves centres by the rows of a batch alone, each with a step of one over the rows it has seen, for data in streams.
What to notice: each step lowers the same number, so it must end; where it ends depends on the start (see `seeding`).
Source: Lloyd (1982); Sculley, Web-scale k-means clustering (2010).
"""

import warnings
from typing import Any, Self

import numpy as np
import scipy.sparse
from sklearn.callback import with_callbacks
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import check_random_state

from gradatim.estimators.centres import CentresMixin
from gradatim.estimators.lloyd import Frame, Partition, nearest, own_squares
from gradatim.estimators.validation import expect_array, expect_count
from gradatim.estimators.watching import Watch

# Lloyd's sums are kept from step to step; after so many steps they are summed anew.
RECOUNT_EVERY = 32


class KMeans(CentresMixin):
    """k-means by Lloyd's algorithm.

    n_clusters: k ≥ 1. init: "k-means++", "k-means||" (fewer passes for large k), "random", an array (k, d) or a
    function (X, k, random_state) → (k, d). n_init: starts of which the one of least inertia is kept; "auto": 10 for
    "random", else 1. tol: stop when the squared motion of all centres is at most tol times the mean variance of the
    columns, as in scikit-learn. A cluster that loses all rows takes the row farthest from its centre.
    X (n, d) dense or CSR, float32 or float64.
    Fitted: cluster_centers_ (k, d), labels_ (n,) int32, inertia_, n_iter_.
    Callbacks see fit → start → iteration, each with these attributes.
    Source: Lloyd (1982); Arthur and Vassilvitskii (2007); bounds that save work: Hamerly (2010).

    >>> import numpy as np
    >>> model = KMeans(2, random_state=0).fit(np.array([[0.0], [1.0], [9.0], [10.0]]))
    >>> sorted(model.cluster_centers_.ravel().tolist()), model.inertia_
    ([0.5, 9.5], 1.0)
    """

    def __init__(
        self,
        n_clusters: int = 8,
        *,
        init: Any = "k-means++",
        n_init: int | str = "auto",
        max_iter: int = 300,
        tol: float = 1e-4,
        random_state: Any = None,
    ) -> None:
        self.n_clusters = n_clusters
        self.init = init
        self.n_init = n_init
        self.max_iter = max_iter
        self.tol = tol
        self.random_state = random_state

    @with_callbacks
    def fit(self, X: Any, y: Any = None, sample_weight: Any = None) -> Self:
        """Find the centres; sample_weight (n,) ≥ 0 or one number."""
        X = self._read(X, reset=True)
        self._check(*X.shape)
        weights = self._read_weights(sample_weight, X)
        random = check_random_state(self.random_state)
        watch = Watch(self, X, sample_weight=sample_weight, most=self._starts())
        frame = Frame.of(X)
        best: _Search | None = None
        for _ in range(self._starts()):
            search = _Search(self, X, frame, weights)
            search.run(self._start(X, frame, weights, random), watch)
            if best is None or search.inertia < best.inertia:
                best = search
        assert best is not None
        final = best.attributes(best.inertia)
        for name, value in final.items():
            setattr(self, name, value)
        distinct = int(np.count_nonzero(np.bincount(best.partition.labels, minlength=self.n_clusters)))
        if distinct < self.n_clusters:
            warnings.warn(
                f"Number of distinct clusters ({distinct}) found smaller than n_clusters ({self.n_clusters})."
                " Possibly due to duplicate points in X.",
                ConvergenceWarning,
                stacklevel=2,
            )
        watch.end(lambda: final)
        return self


class _Search:
    """Lloyd's algorithm from one start."""

    def __init__(self, model: KMeans, X: Any, frame: Frame, weights: np.ndarray) -> None:
        self.model, self.X, self.frame, self.weights = model, X, frame, weights
        plain = bool(np.all(weights == 1))
        self.partition = Partition(X, frame, None if plain else weights, model.n_clusters)
        self.iterations = 0

    def run(self, start: np.ndarray, watch: Watch) -> None:
        """Steps until no row moves, or the centres move little."""
        self.centres = self.frame.into(start)
        part = watch.part("start", most=int(self.model.max_iter))
        limit = self.model.tol * _mean_variance(self.X, self.frame) if self.model.tol else 0.0
        settled = False
        for iteration in range(1, int(self.model.max_iter) + 1):
            self.iterations = iteration
            moved = self.partition.assign(self.centres)
            if self.iterations % RECOUNT_EVERY == 0:
                self.partition.recount()
            revived = self._revive()
            before, self.centres = self.centres, self.partition.means(self.centres)
            stop = part.step(self.attributes)
            settled = moved == 0 and not revived
            if settled or stop or float(np.sum((self.centres - before) ** 2)) <= limit:
                break
        if settled:
            self.partition.recount()
            self.centres = self.partition.means(self.centres)
        else:
            self.partition.assign(self.centres)
        self.inertia = float(self.weights @ self.partition.squares(self.centres))
        part.end(lambda: self.attributes(self.inertia))

    def attributes(self, inertia: float | None = None) -> dict[str, Any]:
        """The fitted attributes if the search ended now."""
        if inertia is None:
            inertia = float(self.weights @ self.partition.squares(self.centres))
        return {
            "cluster_centers_": self.frame.back(self.centres),
            "labels_": self.partition.labels,
            "inertia_": inertia / self.frame.scale**2,
            "n_iter_": self.iterations,
        }

    def _revive(self) -> bool:
        """Give each cluster without weight the row farthest from its centre."""
        masses = self.partition.masses
        empty = np.flatnonzero(masses <= 1e-12 * masses.max())
        if not len(empty):
            return False
        masses[empty], self.partition.sums[empty] = 0, 0
        far = self.partition.squares(self.centres) * (self.weights > 0)
        farthest = np.argsort(-far, kind="stable")[: len(empty)]
        farthest = farthest[far[farthest] > 0]
        self.partition.give(farthest, empty[: len(farthest)])
        return len(farthest) > 0


def _mean_variance(X: Any, frame: Frame) -> float:
    """Mean variance of the columns, in the frame."""
    if scipy.sparse.issparse(X):
        means = np.asarray(X.mean(axis=0)).ravel()
        variances = np.asarray(X.multiply(X).mean(axis=0)).ravel() - means**2
    else:
        squares = own_squares(X, frame, np.zeros((1, X.shape[1])), np.zeros(X.shape[0], dtype=np.int32))
        return float(squares.mean() - np.sum(((X.mean(axis=0, dtype=np.float64) - frame.shift)) ** 2)) / X.shape[1]
    return float(np.mean(variances)) * frame.scale**2


class MiniBatchKMeans(CentresMixin):
    """k-means that looks at a batch of rows at a time; `partial_fit` takes the batches of a stream.

    n_clusters, init, random_state: as `KMeans`. batch_size: rows of a step; max_iter: passes over the data at most;
    tol: stop when the smoothed squared motion of the centres is at most tol times the mean variance (0: off);
    max_no_improvement: stop after so many steps without a lower smoothed batch inertia (None: off); init_size: rows
    the start looks at (None: 3 batches, at least 3k); n_init: starts of which the best on these rows is kept;
    reassignment_ratio: centres that have seen less than this share of what the largest has are placed anew.
    X (n, d) dense or CSR, float32 or float64.
    Fitted: cluster_centers_ (k, d), labels_ (n,), inertia_, n_iter_, n_steps_, counts_ (k,) weight seen by each.
    Callbacks see fit → batch.
    Source: Sculley, Web-scale k-means clustering (2010), algorithm 1.

    >>> import numpy as np
    >>> stream = MiniBatchKMeans(2, random_state=0)
    >>> for _ in range(5):
    ...     stream = stream.partial_fit(np.array([[0.0], [1.0], [9.0], [10.0]]))
    >>> sorted(stream.cluster_centers_.ravel().tolist())
    [0.5, 9.5]
    """

    def __init__(
        self,
        n_clusters: int = 8,
        *,
        init: Any = "k-means++",
        max_iter: int = 100,
        batch_size: int = 1024,
        tol: float = 0.0,
        max_no_improvement: int | None = 10,
        init_size: int | None = None,
        n_init: int | str = "auto",
        reassignment_ratio: float = 0.01,
        random_state: Any = None,
    ) -> None:
        self.n_clusters = n_clusters
        self.init = init
        self.max_iter = max_iter
        self.batch_size = batch_size
        self.tol = tol
        self.max_no_improvement = max_no_improvement
        self.init_size = init_size
        self.n_init = n_init
        self.reassignment_ratio = reassignment_ratio
        self.random_state = random_state

    def _check(self, rows: int, columns: int) -> None:
        super()._check(rows, columns)
        if not self.batch_size >= 1:
            raise ValueError(f"batch_size: expected a whole number ≥ 1, received {self.batch_size!r}")

    @with_callbacks
    def fit(self, X: Any, y: Any = None, sample_weight: Any = None) -> Self:
        """Find the centres by batches drawn at random; sample_weight (n,) ≥ 0 or one number."""
        X = self._read(X, reset=True)
        self._check(*X.shape)
        weights = self._read_weights(sample_weight, X)
        random = check_random_state(self.random_state)
        batch = min(int(self.batch_size), X.shape[0])
        steps = max(1, int(self.max_iter) * X.shape[0] // batch)
        watch = Watch(self, X, sample_weight=sample_weight, most=steps)
        self._begin(X, weights, random)
        limit = self.tol * _mean_variance(X, Frame.of(X)) * Frame.of(X).scale ** -2 if self.tol else 0.0
        share = min(1.0, 2 * batch / (X.shape[0] + 1))
        inertia: float | None = None
        motion: float | None = None
        lowest: float | None = None
        waited = 0
        for step in range(1, steps + 1):
            chosen = random.randint(0, X.shape[0], batch)
            before = self.cluster_centers_
            cost = self._step(X[chosen], weights[chosen], random)
            if watch.step(self._attributes, name="batch"):
                break
            if step == 1 or cost is None:
                continue  # the first step measures the start alone
            moved = float(np.sum((self.cluster_centers_ - before) ** 2))
            inertia = cost if inertia is None else (1 - share) * inertia + share * cost
            motion = moved if motion is None else (1 - share) * motion + share * moved
            waited = 0 if lowest is None or inertia < lowest else waited + 1
            lowest = inertia if lowest is None else min(lowest, inertia)
            if (self.tol and motion <= limit) or waited >= (self.max_no_improvement or steps):
                break
        self.n_iter_ = -(-self.n_steps_ * batch // X.shape[0])
        self.labels_ = nearest(X, self.cluster_centers_)
        self.inertia_ = float(weights @ self._squares(X, self.labels_))
        watch.end(lambda: {**self._attributes(), "labels_": self.labels_, "inertia_": self.inertia_})
        return self

    @with_callbacks
    def partial_fit(self, X: Any, y: Any = None, sample_weight: Any = None) -> Self:
        """One step with the rows X; the first call also chooses the start among them. labels_ are those of X."""
        first = not hasattr(self, "cluster_centers_")
        X = self._read(X, reset=first)
        weights = self._read_weights(sample_weight, X)
        watch = Watch(self, X, sample_weight=sample_weight, most=1)
        if first:
            self._check(*X.shape)
            self._begin(X, weights, check_random_state(self.random_state))
        seed = self.random_state
        # A stream that was saved goes on as it would have: the draws of a step depend on its number alone.
        fixed = isinstance(seed, (int, np.integer))
        self._step(X, weights, np.random.RandomState([int(seed), self.n_steps_]) if fixed else check_random_state(seed))
        self.labels_ = nearest(X, self.cluster_centers_)
        self.inertia_ = float(weights @ self._squares(X, self.labels_))
        watch.step(self._attributes, name="batch")
        watch.end(self._attributes)
        return self

    def _attributes(self) -> dict[str, Any]:
        return {"cluster_centers_": self.cluster_centers_, "counts_": self.counts_, "n_steps_": self.n_steps_}

    def _begin(self, X: Any, weights: np.ndarray, random: np.random.RandomState) -> None:
        """Choose the start on a few rows, of several the one of least inertia there."""
        size = self.init_size or 3 * int(self.batch_size)
        size = min(max(size, 3 * self.n_clusters), X.shape[0])
        best = np.inf
        for _ in range(self._starts(several=3)):
            chosen = random.choice(X.shape[0], size, replace=False) if size < X.shape[0] else slice(None)
            sample, mass = X[chosen], weights[chosen]
            if not mass.sum() > 0:
                mass = np.ones(sample.shape[0])
            frame = Frame.of(sample)
            start = self._start(sample, frame, mass, random)
            squares = own_squares(sample, frame, frame.into(start), nearest(sample, start))
            if float(mass @ squares) < best or not np.isfinite(best):
                best, self.cluster_centers_ = float(mass @ squares), start
        self.counts_ = np.zeros(self.n_clusters)
        self.n_steps_, self.n_rows_seen_ = 0, 0

    def _step(self, X: Any, weights: np.ndarray, random: np.random.RandomState) -> float | None:
        """Move the centres by one batch; its mean squared distance before, None where all weights are zero."""
        rows, period = X.shape[0], 10 * self.n_clusters
        due = (self.n_rows_seen_ + rows) // period > self.n_rows_seen_ // period
        self.n_steps_ += 1
        self.n_rows_seen_ += rows
        if not weights.sum() > 0:
            return None
        frame = Frame.of(X)
        partition = Partition(X, frame, weights, self.n_clusters)
        old = frame.into(self.cluster_centers_)
        partition.assign(old)
        cost = float(weights @ partition.squares(old)) / weights.sum() / frame.scale**2
        self.counts_ = self.counts_ + partition.masses
        seen = np.maximum(self.counts_, np.finfo(np.float64).tiny)[:, None]
        self.cluster_centers_ = frame.back(old + (partition.sums - partition.masses[:, None] * old) / seen)
        if due and self.reassignment_ratio > 0:
            self._place_anew(X, weights, random)
        return cost

    def _place_anew(self, X: Any, weights: np.ndarray, random: np.random.RandomState) -> None:
        """Put centres that hardly any row is near to onto rows of the batch."""
        poor = np.flatnonzero(self.counts_ < self.reassignment_ratio * self.counts_.max())
        poor = poor[np.argsort(self.counts_[poor], kind="stable")][: min(X.shape[0] // 2, np.count_nonzero(weights))]
        if not len(poor):
            return
        rows = random.choice(X.shape[0], len(poor), replace=False, p=weights / weights.sum())
        kept = np.delete(self.counts_, poor)
        self.cluster_centers_ = self.cluster_centers_.copy()
        self.cluster_centers_[poor] = X[rows].toarray() if scipy.sparse.issparse(X) else X[rows]
        self.counts_[poor] = kept.min() if len(kept) else 0.0

    def check_state(self) -> None:
        """Raise ArtifactError unless the fitted attributes fit together."""
        super().check_state()
        expect_array(self, "counts_", (len(self.cluster_centers_),))
        expect_count(self, "n_steps_")
        expect_count(self, "n_rows_seen_")
