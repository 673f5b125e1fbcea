"""k-means and Gaussian mixtures: the same start, the same number of steps, for everybody."""

import warnings
from typing import Any

import numpy as np

from bench.workloads import Sweep, Workload


def _blobs(rows: int, columns: int, centres: int, spread: float) -> np.ndarray:
    from sklearn.datasets import make_blobs

    return make_blobs(rows, columns, centers=centres, cluster_std=spread, random_state=0)[0]


def _threads() -> int:
    from gradatim.estimators.row_threads import thread_count

    return thread_count()


def _k_means(rows: int, columns: int, clusters: int, spread: float, target: float | None) -> Workload:
    X = np.ascontiguousarray(_blobs(rows, columns, clusters, spread), dtype=np.float32)
    start = X[np.random.RandomState(1).choice(rows, clusters, replace=False)].copy()
    steps = 20

    def fit(kind: Any, **options: Any) -> np.ndarray:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model = kind(clusters, init=start, n_init=1, max_iter=steps, tol=0, **options).fit(X)
        return model.cluster_centers_

    def ours() -> np.ndarray:
        from gradatim.estimators.cluster import KMeans

        return fit(KMeans)

    def scikit_learn(algorithm: str) -> np.ndarray:
        from sklearn.cluster import KMeans

        return fit(KMeans, algorithm=algorithm)

    def intel() -> np.ndarray:
        from sklearnex.cluster import KMeans

        return fit(KMeans, algorithm="lloyd")

    def meta() -> np.ndarray:
        import faiss

        faiss.omp_set_num_threads(_threads())
        model = faiss.Kmeans(
            columns, clusters, niter=steps, max_points_per_centroid=10**9, min_points_per_centroid=1
        )
        model.train(X, init_centroids=start)
        return model.centroids

    def quality(centres: np.ndarray) -> dict[str, float]:
        from gradatim.estimators.lloyd import Frame, nearest, own_squares

        frame = Frame.of(X)
        return {"inertia": float(own_squares(X, frame, frame.into(centres), nearest(X, centres)).sum())}

    contenders = {"gradatim": ours, "sklearn lloyd": lambda: scikit_learn("lloyd"),
                  "sklearn elkan": lambda: scikit_learn("elkan"), "sklearnex": intel, "faiss": meta}  # fmt: skip
    text = f"k-means, float32, {rows} × {columns}, k = {clusters}, blobs of deviation {spread}, 20 Lloyd steps"
    return Workload(text, contenders, quality, target)


def _uniform(size: int | None) -> Workload:
    """Rows without clusters: the bounds that skip rows are of no use."""
    rows = size or 100_000
    work = _k_means(rows, 64, 100, 1000.0, None)
    return Workload(work.description + " (one cloud: nothing to skip)", work.contenders, work.quality, None)


def _mixture(rows: int, columns: int, clusters: int, steps: int, target: float | None, kind: str = "full") -> Workload:
    X = _blobs(rows, columns, clusters, 3.0)
    random = np.random.RandomState(1)
    X = X @ (np.eye(columns) + 0.3 * random.randn(columns, columns) / np.sqrt(columns))
    means = X[random.choice(rows, clusters, replace=False)]
    shape = {
        "full": np.stack([np.eye(columns)] * clusters), "tied": np.eye(columns), "diag": np.ones((clusters, columns)),
        "spherical": np.ones(clusters),
    }[kind]  # fmt: skip
    options = {
        "covariance_type": kind, "max_iter": steps, "tol": 0, "means_init": means,
        "weights_init": np.full(clusters, 1 / clusters), "precisions_init": shape / X.var(axis=0).mean(),
        "init_params": "random_from_data",
    }  # fmt: skip

    def fit(model: Any) -> Any:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return model(clusters, **options).fit(X)

    def ours() -> Any:
        from gradatim.estimators.mixture import GaussianMixture

        return fit(GaussianMixture)

    def scikit_learn() -> Any:
        from sklearn.mixture import GaussianMixture

        return fit(GaussianMixture)

    text = f"Gaussian mixture, {kind}, float64, {rows} × {columns}, k = {clusters}, {steps} steps of EM"
    return Workload(
        text,
        {"gradatim": ours, "sklearn": scikit_learn},
        lambda model: {"log-likelihood": float(model.lower_bound_)},
        target,
    )


WORKLOADS = {
    "kmeans-64": Sweep(lambda size: _k_means(size or 100_000, 64, 100, 6.0, 2.4), (1000, 10_000, 100_000)),
    "kmeans-16": Sweep(lambda size: _k_means(size or 1_000_000, 16, 16, 4.0, 3.0), (10_000, 100_000, 1_000_000)),
    "kmeans-cloud": Sweep(_uniform, (100_000,)),
    "kmeans-columns": Sweep(lambda size: _k_means(20_000, size or 64, 50, 6.0, None), (4, 16, 64, 256, 784)),
    "mixture-full": Sweep(lambda size: _mixture(size or 100_000, 16, 16, 20, 8.0), (1000, 10_000, 100_000)),
    "mixture-64": Sweep(lambda size: _mixture(size or 20_000, 64, 10, 10, 1.0), (2000, 20_000)),
    "mixture-columns": Sweep(lambda size: _mixture(20_000, size or 16, 8, 5, None), (2, 8, 32, 128)),
    "mixture-tied": Sweep(lambda size: _mixture(size or 100_000, 16, 16, 10, None, "tied"), (100_000,)),
    "mixture-diag": Sweep(lambda size: _mixture(size or 100_000, 16, 16, 10, None, "diag"), (100_000,)),
    "mixture-spherical": Sweep(lambda size: _mixture(size or 100_000, 16, 16, 10, None, "spherical"), (100_000,)),
}
