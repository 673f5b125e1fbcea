"""Exact nearest neighbours: pictures by brute force, and few columns, where trees pay."""

import gzip
from pathlib import Path
from typing import Any

import numpy as np

from bench.workloads import Sweep, Workload

FOLDERS = (Path("/usr/share/datasets/fashion-mnist"), Path.home() / ".cache" / "fashion-mnist")
NEIGHBOURS = 5


def _pictures(name: str) -> np.ndarray:
    for folder in FOLDERS:
        if (folder / name).exists():
            with gzip.open(folder / name) as file:
                return np.frombuffer(file.read(), np.uint8, offset=16).reshape(-1, 784)
    raise FileNotFoundError(f"{name} in {FOLDERS[0]}: install dataset-fashion-mnist")


def _threads() -> int:
    from gradatim.estimators.row_threads import thread_count

    return thread_count()


def _search(text: str, X: np.ndarray, queries: np.ndarray, target: float | None, trees: bool) -> Workload:
    def ours(algorithm: str = "auto") -> np.ndarray:
        from gradatim.estimators.neighbors import KNeighborsClassifier

        model = KNeighborsClassifier(NEIGHBOURS, algorithm=algorithm).fit(X, np.zeros(len(X), dtype=np.int64))
        return model.kneighbors(queries, return_distance=False)

    def scikit_learn(algorithm: str) -> np.ndarray:
        from sklearn.neighbors import NearestNeighbors

        model = NearestNeighbors(n_neighbors=NEIGHBOURS, algorithm=algorithm, n_jobs=_threads()).fit(X)
        return model.kneighbors(queries, return_distance=False)

    def intel() -> np.ndarray:
        from sklearnex.neighbors import NearestNeighbors

        model = NearestNeighbors(n_neighbors=NEIGHBOURS, algorithm="brute").fit(X)
        return model.kneighbors(queries, return_distance=False)

    def meta() -> np.ndarray:
        import faiss

        faiss.omp_set_num_threads(_threads())
        index = faiss.IndexFlatL2(X.shape[1])
        index.add(X)
        return index.search(queries, NEIGHBOURS)[1]

    truth: list[np.ndarray] = []

    def quality(found: Any) -> dict[str, float]:
        """Share of the neighbours that are those of a plain float64 search, on 300 queries."""
        from gradatim.estimators.distances import EUCLIDEAN, search_all

        if not truth:
            truth.append(search_all(X, queries[:300], NEIGHBOURS, EUCLIDEAN, 2)[1])
        same = [len(set(a) & set(b)) / NEIGHBOURS for a, b in zip(found[:300].tolist(), truth[0].tolist())]
        return {"recall": float(np.mean(same))}

    contenders: dict[str, Any] = {"gradatim": ours, "faiss": meta, "sklearnex brute": intel}
    contenders["sklearn tree" if trees else "sklearn brute"] = lambda: scikit_learn("kd_tree" if trees else "brute")
    return Workload(text, contenders, quality, target)


def _fashion(size: int | None, rotated: bool = False) -> Workload:
    rows, queries = _pictures("train-images-idx3-ubyte.gz"), _pictures("t10k-images-idx3-ubyte.gz")
    count = size or len(rows)
    X, Q = ((part / 255).astype(np.float32) for part in (rows[:count], queries[: max(100, count // 6)]))
    if rotated:
        matrix = np.linalg.qr(np.random.default_rng(0).normal(size=(784, 784)))[0].astype(np.float32)
        X, Q = X @ matrix, Q @ matrix
    text = f"5 nearest neighbours, Fashion-MNIST{' rotated, off the byte grid' if rotated else ''}, {len(X)} × 784,"
    return _search(f"{text} {len(Q)} queries, float32", X, Q, 2.2 if not rotated and size is None else None, False)


def _columns(columns: int, rows: int = 50_000) -> Workload:
    random = np.random.default_rng(0)
    X, Q = (random.normal(size=(n, columns)).astype(np.float32) for n in (rows, 5000))
    return _search(f"5 nearest neighbours, normal, {rows} × {columns}, 5000 queries, float32", X, Q, None, True)


WORKLOADS = {
    "neighbours-pictures": Sweep(_fashion, (600, 6000, 60_000)),
    "neighbours-rotated": Sweep(lambda size: _fashion(size, rotated=True), (60_000,)),
    "neighbours-columns": Sweep(lambda size: _columns(size or 8), (2, 4, 8, 16, 32, 128)),
    "neighbours-rows": Sweep(lambda size: _columns(3, size or 100_000), (1000, 10_000, 100_000, 1_000_000)),
}
