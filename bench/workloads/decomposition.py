"""Principal components and discriminant analysis, on Fashion-MNIST and on spectra that fall as 1/j."""

from collections.abc import Callable
from typing import Any

import numpy as np

from bench.workloads import Sweep, Workload


def falling(rows: int, columns: int) -> np.ndarray:
    """float32 rows whose standard deviations along mixed axes fall as 1/√j: a spectrum like that of pictures."""
    generator = np.random.default_rng(0)
    rank = min(columns, 500)
    mix = generator.normal(size=(rank, columns)).astype(np.float32) / np.sqrt(np.arange(1, rank + 1))[:, None]
    data = generator.normal(size=(rows, rank)).astype(np.float32) @ mix.astype(np.float32)
    data += 0.1 * generator.normal(size=data.shape).astype(np.float32)
    return data + np.float32(3)


def pictures(rows: int | None) -> tuple[np.ndarray, np.ndarray]:
    """Fashion-MNIST as float32 rows in [0, 1] and labels; the first `rows`."""
    from bench.vision_worker import fashion

    images, labels = fashion("train")
    return (images[:rows].reshape(-1, 784) / np.float32(255)), labels[:rows]


def components(data: np.ndarray, count: int, target: float | None, description: str, **settings: Any) -> Workload:
    """PCA with `count` components of the data, by all contenders."""
    from sklearn.decomposition import PCA as Sklearn

    from gradatim.estimators.decomposition import PCA
    from gradatim.estimators.gram import gram

    contenders: dict[str, Callable[[], Any]] = {
        "gradatim": lambda: PCA(count, random_state=0, **settings).fit(data),
        "scikit-learn": lambda: Sklearn(count, random_state=0, **settings).fit(data),
    }
    try:
        from sklearnex.decomposition import PCA as Intel

        contenders["scikit-learn-intelex"] = lambda: Intel(count, random_state=0, **settings).fit(data)
    except ImportError:
        pass

    def quality(model: Any) -> dict[str, float]:
        # The variance that the axes really hold, and the largest correlation of two coordinates, which should be none.
        axes = np.asarray(model.components_, dtype=np.float64)
        scatter = gram(data, data.mean(axis=0, dtype=np.float64), np.ones(len(data)))
        covariance = axes @ scatter @ axes.T / (len(data) - 1)
        variances = np.diag(covariance)
        real = variances > 1e-12 * variances.max()
        scale = np.sqrt(variances[real])
        correlation = covariance[np.ix_(real, real)] / np.outer(scale, scale) - np.eye(len(scale))
        return {"variance held": float(variances.sum()), "correlation": float(np.abs(correlation).max())}

    return Workload(description, contenders, quality, target, turns=5)


def pictures_components(size: int | None) -> Workload:
    """50 components of Fashion-MNIST, n rows × 784."""
    data = pictures(size)[0] if size is None or size <= 60_000 else np.tile(pictures(None)[0], (size // 60_000, 1))
    return components(data, 50, 1.0, f"PCA, 50 components, Fashion-MNIST {data.shape}, float32")


def wide_components(size: int | None) -> Workload:
    """50 components of 5000 rows × `size` columns: a shape that is neither tall nor small."""
    columns = size or 2_000
    data = falling(5_000, columns)
    return components(data, min(50, columns), 1.5, f"PCA, at most 50 components, falling spectrum {data.shape}")


def all_components(size: int | None) -> Workload:
    """All components of n rows × 784, by the exact solver that each chooses."""
    data = pictures(size or 4_000)[0]
    return components(data, min(data.shape), 1.0, f"PCA, all components, Fashion-MNIST {data.shape}, float32")


def discriminant(size: int | None) -> Workload:
    """Linear discriminant analysis of Fashion-MNIST, ten classes."""
    from sklearn.discriminant_analysis import LinearDiscriminantAnalysis as Sklearn

    from gradatim.estimators.discriminant import LinearDiscriminantAnalysis

    data, labels = pictures(size or 20_000)
    contenders: dict[str, Callable[[], Any]] = {
        "gradatim": lambda: LinearDiscriminantAnalysis().fit(data, labels),
        "scikit-learn, svd": lambda: Sklearn().fit(data, labels),
        "scikit-learn, lsqr": lambda: Sklearn("lsqr").fit(data, labels),
    }

    def quality(model: Any) -> dict[str, float]:
        return {"training accuracy": float((model.predict(data[:5_000]) == labels[:5_000]).mean())}

    return Workload(f"LDA, Fashion-MNIST {data.shape}, float32", contenders, quality, 1.5)


WORKLOADS = {
    "pca tall": Sweep(pictures_components, (600, 2_000, 6_000, 20_000, 60_000)),
    "pca wide": Sweep(wide_components, (50, 150, 500, 1_500, 5_000)),
    "pca all": Sweep(all_components, (400, 1_200, 4_000, 12_000, 40_000)),
    "lda": Sweep(discriminant, (600, 2_000, 6_000, 20_000, 60_000)),
}
