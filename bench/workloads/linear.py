"""Linear models: lasso, least squares, ridge and softmax regression, everybody to the same objective."""

import gzip
import warnings
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from bench.workloads import Sweep, Workload

FASHION = Path("/usr/share/datasets/fashion-mnist")


@lru_cache(maxsize=1)
def _fashion() -> tuple[np.ndarray, np.ndarray]:
    """The 60,000 training pictures, float32 (n, 784) in [0, 1], in random order, and their labels."""
    pictures = gzip.decompress((FASHION / "train-images-idx3-ubyte.gz").read_bytes())
    labels = gzip.decompress((FASHION / "train-labels-idx1-ubyte.gz").read_bytes())
    order = np.random.default_rng(0).permutation(60_000)
    X = np.frombuffer(pictures, np.uint8, offset=16).reshape(-1, 784)[order]
    return X.astype(np.float32) / 255, np.frombuffer(labels, np.uint8, offset=8)[order].astype(np.int64)


def _quietly(fit: Callable[[], Any]) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return fit()


def _lasso_on(X: np.ndarray, y: np.ndarray, alpha: float, target: float | None, text: str) -> Workload:
    # scikit-learn's own advice: the Gram matrix pays where there are more rows than columns.
    precompute = X.shape[0] > X.shape[1]
    y = y.astype(X.dtype)

    def ours() -> Any:
        from gradatim.estimators.lasso import Lasso

        return Lasso(alpha=alpha).fit(X, y)

    def scikit_learn() -> Any:
        from sklearn.linear_model import Lasso

        return _quietly(lambda: Lasso(alpha=alpha, precompute=precompute, max_iter=20_000).fit(X, y))

    def intel() -> Any:
        from daal4py.sklearn.linear_model import Lasso  # scikit-learn-intelex has it, but does not name it

        return _quietly(lambda: Lasso(alpha=alpha, max_iter=20_000).fit(X, y))

    def quality(model: Any) -> dict[str, float]:
        coefficients, exact = np.asarray(model.coef_, dtype=np.float64).ravel(), X.astype(np.float64)
        residual = (y - y.mean()) - (exact - exact.mean(0)) @ coefficients
        objective = residual @ residual / (2 * len(y)) + alpha * np.abs(coefficients).sum()
        return {"objective": float(objective), "columns kept": int(np.count_nonzero(coefficients))}

    return Workload(text, {"gradatim": ours, "sklearn": scikit_learn, "sklearnex": intel}, quality, target)


def _lasso(alpha: float, dtype: type, target: float | None) -> Callable[[int | None], Workload]:
    def make(size: int | None) -> Workload:
        X, labels = _fashion()
        rows = size or len(X)
        text = (
            f"lasso, Fashion-MNIST {rows} × 784, target the label's number, alpha {alpha:g}, tol 1e-4, {dtype.__name__}"
        )
        return _lasso_on(X[:rows].astype(dtype), labels[:rows].astype(np.float64), alpha, target, text)

    return make


def _lasso_wide(size: int | None) -> Workload:
    """Growth with the number of columns: 1,000 rows, a hundredth of the columns matter."""
    columns = size or 10_000
    random = np.random.default_rng(0)
    X = random.normal(size=(1000, columns))
    truth = np.where(np.arange(columns) % 100 == 0, 1.0, 0.0)
    y = X @ truth + random.normal(size=1000)
    text = f"lasso, 1000 × {columns} normal numbers, a hundredth of the columns matter, alpha 0.1, float64"
    return _lasso_on(X, y, 0.1, None, text)


def _path(size: int | None) -> Workload:
    X, labels = _fashion()
    rows = size or 20_000
    X64, y = X[:rows].astype(np.float64), labels[:rows].astype(np.float64)
    X64, y = X64 - X64.mean(0), y - y.mean()

    def ours() -> Any:
        from gradatim.estimators.lasso import lasso_path

        return lasso_path(X64, y, n_alphas=50, eps=1e-3)

    def scikit_learn() -> Any:
        from sklearn.linear_model import lasso_path

        return _quietly(lambda: lasso_path(X64, y, alphas=50, eps=1e-3, max_iter=20_000))

    def quality(found: Any) -> dict[str, float]:
        alphas, coefficients = np.asarray(found[0]), np.asarray(found[1])
        errors = ((y[:, None] - X64 @ coefficients) ** 2).mean(0) / 2
        return {"mean objective": float((errors + alphas * np.abs(coefficients).sum(0)).mean())}

    text = f"lasso path of 50 penalties, Fashion-MNIST {rows} × 784, float64"
    return Workload(text, {"gradatim": ours, "sklearn": scikit_learn}, quality)


def _least_squares(kind: str, alpha: float | None) -> Callable[[int | None], Workload]:
    def make(size: int | None) -> Workload:
        X, labels = _fashion()
        rows = size or len(X)
        X64, y = X[:rows].astype(np.float64), labels[:rows].astype(np.float64)
        options = {} if alpha is None else {"alpha": alpha}

        def fit(module: str) -> Callable[[], Any]:
            from importlib import import_module

            return lambda: getattr(import_module(module), kind)(**options).fit(X64, y)

        def quality(model: Any) -> dict[str, float]:
            errors = float(((model.predict(X64) - y) ** 2).sum())
            return {"objective": errors + (alpha or 0.0) * float((np.asarray(model.coef_) ** 2).sum())}

        contenders = {
            "gradatim": fit("gradatim.estimators.linear"),
            "sklearn": fit("sklearn.linear_model"),
            "sklearnex": fit("sklearnex.linear_model"),
        }
        return Workload(f"{kind} {options or ''}, Fashion-MNIST {rows} × 784, float64", contenders, quality)

    return make


def _columns(size: int | None) -> Workload:
    """Growth with the number of columns: ridge on 20,000 rows."""
    columns = size or 800
    random = np.random.default_rng(0)
    X = random.normal(size=(20_000, columns))
    y = X @ random.normal(size=columns) + random.normal(size=20_000)

    def fit(module: str) -> Callable[[], Any]:
        from importlib import import_module

        return lambda: import_module(module).Ridge(alpha=1.0).fit(X, y)

    def quality(model: Any) -> dict[str, float]:
        return {"objective": float(((model.predict(X) - y) ** 2).sum() + (np.asarray(model.coef_) ** 2).sum())}

    contenders = {
        "gradatim": fit("gradatim.estimators.linear"),
        "sklearn": fit("sklearn.linear_model"),
        "sklearnex": fit("sklearnex.linear_model"),
    }
    return Workload(f"ridge, 20000 × {columns} normal numbers, float64", contenders, quality)


def _softmax(size: int | None) -> Workload:
    """Peers stop at their default of 100 iterations, short of the optimum; ours at a tol that leaves it below them."""
    X, labels = _fashion()
    rows = size or len(X)
    X, labels = X[:rows], labels[:rows]
    contenders = {
        "gradatim": _classifier("gradatim.estimators.logistic", X, labels, tol=7e-4),
        "sklearn": _classifier("sklearn.linear_model", X, labels),
        "sklearnex": _classifier("sklearnex.linear_model", X, labels),
    }
    text = f"softmax regression, Fashion-MNIST {rows} × 784, float32, C = 1, to the loss at which the best peer stops"
    return Workload(text, contenders, _log_loss(X, labels), 4.0, turns=2)


def _softmax_to_the_optimum(size: int | None) -> Workload:
    X, labels = _fashion()
    rows = size or 6000
    X, labels = X[:rows], labels[:rows]
    contenders = {
        "gradatim": _classifier("gradatim.estimators.logistic", X, labels, tol=3e-7),
        "sklearn": _classifier("sklearn.linear_model", X, labels, tol=1e-6, max_iter=1500),
        "sklearn newton-cg": _classifier("sklearn.linear_model", X, labels, tol=1e-5, solver="newton-cg"),
        "sklearnex": _classifier("sklearnex.linear_model", X, labels, tol=1e-6, max_iter=1500),
    }
    text = f"softmax regression, Fashion-MNIST {rows} × 784, float32, C = 1, everybody to within 1e-5 of the optimum"
    return Workload(text, contenders, _log_loss(X, labels), None, turns=2)


def _classifier(module: str, X: np.ndarray, labels: np.ndarray, **options: Any) -> Callable[[], Any]:
    def fit() -> Any:
        from importlib import import_module

        kind = import_module(module).LogisticRegression
        return _quietly(lambda: kind(**options).fit(X, labels))

    return fit


def _log_loss(X: np.ndarray, labels: np.ndarray) -> Callable[[Any], dict[str, float]]:
    def quality(model: Any) -> dict[str, float]:
        scores = X @ np.asarray(model.coef_).T.astype(np.float64) + model.intercept_
        scores -= scores.max(1, keepdims=True)
        loss = np.log(np.exp(scores).sum(1)) - scores[np.arange(len(labels)), labels]
        size = float((np.asarray(model.coef_, dtype=np.float64) ** 2).sum())
        return {
            "objective": float(loss.mean() + size / (2 * len(labels))),
            "iterations": float(np.max(model.n_iter_)),
        }

    return quality


WORKLOADS = {
    "lasso_0.01": Sweep(_lasso(0.01, np.float64, 2.0), (600, 2000, 6000, 20_000, 60_000)),
    "lasso_0.001": Sweep(_lasso(0.001, np.float64, 2.0), (600, 2000, 6000, 20_000, 60_000)),
    "lasso_float32": Sweep(_lasso(0.001, np.float32, None)),
    "lasso_wide": Sweep(_lasso_wide, (100, 300, 1000, 3000, 10_000)),
    "lasso_path": Sweep(_path, (600, 2000, 6000, 20_000)),
    "softmax": Sweep(_softmax, (600, 2000, 6000, 20_000, 60_000)),
    "softmax_to_the_optimum": Sweep(_softmax_to_the_optimum),
    "least_squares": Sweep(_least_squares("LinearRegression", None), (2000, 6000, 20_000, 60_000)),
    "ridge": Sweep(_least_squares("Ridge", 1.0), (600, 2000, 6000, 20_000, 60_000)),
    "ridge_columns": Sweep(_columns, (8, 25, 80, 250, 800)),
}
