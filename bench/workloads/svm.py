"""Support vector machines on Fashion-MNIST against scikit-learn (LIBSVM, LIBLINEAR) and scikit-learn-intelex."""

import importlib.util
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np

from bench.workloads import Sweep, Workload

C, QUERIES = 10.0, 5000
# LIBSVM takes minutes above this many rows.
LARGEST_LIBSVM = 20_000


@lru_cache(maxsize=1)
def _data() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Training and test pictures as float32 (n, 784) from 0 to 1, and their labels."""
    from bench.vision_worker import fashion

    (train, train_labels), (test, test_labels) = fashion("train"), fashion("t10k")
    scaled = [np.ascontiguousarray(part.reshape(-1, 784), dtype=np.float32) / np.float32(255) for part in (train, test)]
    return scaled[0], train_labels, scaled[1], test_labels


def _work(make: Callable[[], Any], rows: int) -> Callable[[], Any]:
    """Fit on the first rows, then predict 5,000 test pictures; the fitted model with its predictions."""
    X, y, queries, _ = _data()

    def run() -> tuple[Any, np.ndarray]:
        model = make().fit(X[:rows], y[:rows])
        return model, model.predict(queries[:QUERIES])

    return run


def dual_objective(model: Any, X: np.ndarray) -> float:
    """Sum over the pairs of classes of Σα − ½ αᵀQα, in float64 from the attributes that all of them have."""
    support = np.asarray(model.support_)
    vectors = X[support].astype(np.float64)
    gamma = 1 / (X.shape[1] * X.var(dtype=np.float64))
    norms = np.einsum("nd,nd->n", vectors, vectors)
    kernel = np.exp(-gamma * np.maximum(norms[:, None] + norms - 2 * vectors @ vectors.T, 0))
    ends = np.concatenate([[0], np.cumsum(model.n_support_)])
    total, classes = 0.0, len(model.n_support_)
    for first in range(classes):
        for second in range(first + 1, classes):
            a, b = slice(ends[first], ends[first + 1]), slice(ends[second], ends[second + 1])
            beta = np.concatenate([model.dual_coef_[second - 1, a], model.dual_coef_[first, b]])
            places = np.r_[a, b]
            total += float(np.abs(beta).sum() - 0.5 * beta @ kernel[np.ix_(places, places)] @ beta)
    return total


def rbf(size: int | None) -> Workload:
    """SVC with the rbf kernel, ten classes, one against one, predictions included."""
    import sklearn.svm

    from gradatim.estimators.svm import SVC

    rows = 10_000 if size is None else size
    X, _, _, test_labels = _data()
    contenders: dict[str, Callable[[], Any]] = {"gradatim": _work(lambda: SVC(C), rows)}
    if importlib.util.find_spec("sklearnex"):
        from sklearnex.svm import SVC as Intel

        contenders["scikit-learn-intelex"] = _work(lambda: Intel(C=C, cache_size=2000), rows)
    if rows <= LARGEST_LIBSVM:
        contenders["scikit-learn"] = _work(lambda: sklearn.svm.SVC(C=C, cache_size=2000), rows)

    def quality(result: Any) -> dict[str, float]:
        model, predicted = result
        return {
            "dual_objective": dual_objective(model, X[:rows]) if rows <= LARGEST_LIBSVM else float("nan"),
            "support_vectors": float(len(model.support_)),
            "accuracy": float(np.mean(predicted == test_labels[:QUERIES])),
        }

    return Workload(
        f"SVC, rbf, C=10, gamma=scale, one-vs-one, Fashion-MNIST {rows:,} × 784 float32, and 5,000 predictions",
        contenders,
        quality,
        target=2.5,
        turns=3 if rows <= 10_000 else 1,
    )


def linear(size: int | None) -> Workload:
    """LinearSVC with the squared hinge, ten classes, to the same objective."""
    import sklearn.svm

    from gradatim.estimators.svm import LinearSVC

    rows = 10_000 if size is None else size
    X, y, _, test_labels = _data()
    # LIBLINEAR's default tolerance leaves a larger objective; at 1e-5 both have four equal digits.
    contenders = {
        "gradatim": _work(lambda: LinearSVC(0.01, tol=1e-4), rows),
        "scikit-learn": _work(lambda: sklearn.svm.LinearSVC(C=0.01, tol=1e-4), rows),
    }

    def quality(result: Any) -> dict[str, float]:
        model, predicted = result
        values = model.decision_function(X[:rows]).astype(np.float64)
        short = np.maximum(1 - np.where(y[:rows, None] == np.arange(10), values, -values), 0)
        norms = (model.coef_.astype(np.float64) ** 2).sum() + (model.intercept_.astype(np.float64) ** 2).sum()
        return {
            "objective": float(0.5 * norms + 0.01 * (short**2).sum()),
            "accuracy": float(np.mean(predicted == test_labels[:QUERIES])),
        }

    return Workload(
        f"LinearSVC, squared hinge, C=0.01, one-vs-rest, Fashion-MNIST {rows:,} × 784 float32, and 5,000 predictions",
        contenders,
        quality,
        turns=3 if rows <= 10_000 else 1,
    )


WORKLOADS = {
    "svc-rbf": Sweep(rbf, (500, 1000, 2000, 5000, 10_000, 20_000, 40_000)),
    "linear-svc": Sweep(linear, (500, 2000, 10_000)),
}
