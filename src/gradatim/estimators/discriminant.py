"""Linear discriminant analysis: a Gaussian a class, one covariance for all.

With class means μ_k, priors π_k and the shared covariance Σ, Bayes' rule compares the linear scores
δ_k(x) = xᵀΣ⁻¹μ_k − ½ μ_kᵀΣ⁻¹μ_k + log π_k (Rao, 1948). The same Σ⁻¹ gives the axes on which the class means lie
furthest apart in units of the spread within the classes (Fisher, 1936): max tr((VᵀΣV)⁻¹ VᵀBV).
What to notice: both come out of one eigendecomposition of the spread within the classes; no class, however large,
is ever copied.
"""

from typing import Any, Self

import numpy as np
import scipy.linalg
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator, ClassifierMixin, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data

from gradatim.estimators import gram
from gradatim.estimators.gram import BLOCK
from gradatim.estimators.principal_axes import fix_signs
from gradatim.estimators.validation import damaged, expect_array, expect_classes, expect_count


class LinearDiscriminantAnalysis(ClassNamePrefixFeaturesOutMixin, ClassifierMixin, TransformerMixin, BaseEstimator):
    """Classifier with linear boundaries from Gaussian classes of one covariance; also a supervised projection.

    Objective: the largest δ_k(x) = xᵀΣ⁻¹μ_k − ½ μ_kᵀΣ⁻¹μ_k + log π_k; `transform` maximises tr((VᵀΣV)⁻¹ VᵀBV), B the
    covariance of the class means. solver: "svd" takes Σ⁻¹ on the span of the data (directions whose standardised
    spread within the classes is at most tol are left out), "eigen" and "lsqr" take Σ itself, which shrinkage may mix
    with a sphere: a number in [0, 1], or "auto" for the one that Ledoit and Wolf derive. priors: of the classes, None
    for their frequencies. n_components: columns of `transform`, None for min(classes − 1, d). store_covariance: keep
    covariance_ also with "svd".
    X (n, d) dense, float32 or float64; y (n,) any labels.
    Fitted: classes_, priors_ (K,), means_ (K, d), coef_ and intercept_ (one row for two classes, else K),
    and where the solver gives them scalings_ (d, r), explained_variance_ratio_, xbar_ (d,), covariance_ (d, d).
    Source: Fisher (1936); Hastie, Tibshirani and Friedman, The elements of statistical learning (2009), 4.3; shrinkage:
    Ledoit and Wolf, A well-conditioned estimator for large-dimensional covariance matrices (2004).

    >>> import numpy as np
    >>> rows = np.array([[-1.0, -1.0], [-2.0, -1.0], [-3.0, -2.0], [1.0, 1.0], [2.0, 1.0], [3.0, 2.0]])
    >>> LinearDiscriminantAnalysis().fit(rows, ["low"] * 3 + ["high"] * 3).predict([[-0.8, -1.0]])
    array(['low'], dtype='<U4')
    """

    def __init__(
        self,
        solver: str = "svd",
        shrinkage: float | str | None = None,
        priors: ArrayLike | None = None,
        n_components: int | None = None,
        store_covariance: bool = False,
        tol: float = 1e-4,
    ) -> None:
        self.solver = solver
        self.shrinkage = shrinkage
        self.priors = priors
        self.n_components = n_components
        self.store_covariance = store_covariance
        self.tol = tol

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags

    def fit(self, X: Any, y: Any) -> Self:
        """Estimate the means, the covariance, and from them the boundaries."""
        X, y = validate_data(self, X, y, dtype=[np.float64, np.float32], ensure_min_samples=2)
        check_classification_targets(y)
        self.classes_, codes = np.unique(y, return_inverse=True)
        rows, columns = X.shape
        count = len(self.classes_)
        if rows == count:
            raise ValueError(
                f"LinearDiscriminantAnalysis: expected more rows than classes, received {rows} rows of {count} classes"
            )
        shrinkage = self._check_arguments(columns, count)
        priors = self._class_priors(codes)
        means = _class_means(X, codes, count)
        if self.solver == "svd":
            self._from_span(*_spread_axes(X, codes, means), means, priors, rows)
            keep = self.store_covariance
        else:
            within, keep = self._from_covariance(X, codes, means, priors, shrinkage), True
        sizes = np.bincount(codes, minlength=count)
        if keep and self.solver == "svd":
            within = _within(X, codes, means, priors / sizes)
        if keep:
            self.covariance_ = within.astype(X.dtype)
        self.means_, self.priors_ = means.astype(X.dtype), priors.astype(X.dtype)
        if count == 2:
            self.coef_: Any = self.coef_[1:] - self.coef_[:1]
            self.intercept_: Any = self.intercept_[1:] - self.intercept_[:1]
        for name in ("coef_", "intercept_", "scalings_", "xbar_", "explained_variance_ratio_"):
            if name in vars(self):
                setattr(self, name, np.ascontiguousarray(getattr(self, name), dtype=X.dtype))
        return self

    def _check_arguments(self, columns: int, count: int) -> float | str | None:
        if self.solver not in ("svd", "lsqr", "eigen"):
            raise ValueError(f"solver: expected svd, lsqr or eigen, received {self.solver!r}")
        shrinkage = self.shrinkage
        if shrinkage is not None and self.solver == "svd":
            raise NotImplementedError("shrinkage: expected None with solver 'svd'; take 'eigen' or 'lsqr'")
        number = isinstance(shrinkage, (int, float)) and not isinstance(shrinkage, bool)
        if shrinkage not in (None, "auto") and not (number and 0 <= float(shrinkage) <= 1):
            raise ValueError(f"shrinkage: expected None, 'auto' or a number in [0, 1], received {shrinkage!r}")
        largest = min(count - 1, columns)
        if self.n_components is not None and not 1 <= self.n_components <= largest:
            raise ValueError(
                f"n_components: expected 1 to min(n_features, n_classes - 1) = {largest}, "
                f"received {self.n_components!r}"
            )
        if not self.tol >= 0:
            raise ValueError(f"tol: expected a number ≥ 0, received {self.tol!r}")
        for name in ("scalings_", "xbar_", "explained_variance_ratio_", "covariance_"):
            if hasattr(self, name):
                delattr(self, name)
        return shrinkage

    def _class_priors(self, codes: np.ndarray) -> np.ndarray:
        if self.priors is None:
            return np.bincount(codes) / len(codes)
        priors = np.asarray(self.priors, dtype=np.float64)
        if priors.shape != self.classes_.shape or not np.all(priors >= 0) or not 0 < priors.sum() < np.inf:
            raise ValueError(f"priors: expected {len(self.classes_)} numbers ≥ 0, received {self.priors!r}")
        return priors / priors.sum()

    def _from_span(
        self, spread: np.ndarray, values: np.ndarray, vectors: np.ndarray, means: np.ndarray, priors: np.ndarray,
        rows: int,
    ) -> None:
        """Sphere the classes on the directions in which they spread, and turn to the axes of the means."""
        # The values are squares of singular values; below 1e-12 they are rounding of the sums.
        kept = values > max(self.tol**2, 1e-12 * max(len(spread), 1))
        sphere = (vectors[:, kept] / spread[:, None]) / np.sqrt(values[kept])
        self.xbar_: Any = priors @ means
        factor = 1.0 if len(means) == 1 else 1 / (len(means) - 1)
        between = np.sqrt(rows * priors * factor)[:, None] * ((means - self.xbar_) @ sphere)
        _, lengths, turn = np.linalg.svd(between, full_matrices=False)
        rank = int((lengths > self.tol * lengths.max(initial=0.0)).sum())
        squares = lengths**2
        self.explained_variance_ratio_ = (squares / max(squares.sum(), np.finfo(float).tiny))[: self._largest()]
        self.scalings_ = fix_signs((sphere @ turn[:rank].T).T).T
        coordinates = (means - self.xbar_) @ self.scalings_
        self.coef_ = coordinates @ self.scalings_.T
        with np.errstate(divide="ignore"):
            self.intercept_ = -0.5 * (coordinates**2).sum(axis=1) + np.log(priors) - self.coef_ @ self.xbar_

    def _from_covariance(
        self, X: np.ndarray, codes: np.ndarray, means: np.ndarray, priors: np.ndarray, shrinkage: float | str | None
    ) -> np.ndarray:
        """Scores by Σ⁻¹, Σ the mean of the classes' covariances by their priors; returns Σ."""
        sizes = np.bincount(codes)
        if shrinkage is None:
            within = _within(X, codes, means, priors / sizes)
        else:
            within = np.zeros((X.shape[1], X.shape[1]))
            for code, prior in enumerate(priors):
                within += prior * _shrunk(X[codes == code], shrinkage)
        if self.solver == "lsqr":
            self.coef_ = scipy.linalg.lstsq(within, means.T)[0].T
        else:
            total = _within(X, np.zeros(len(X), int), X.mean(axis=0, dtype=np.float64)[None], np.array([1 / len(X)]))
            if shrinkage is not None:
                total = _shrunk(X, shrinkage)
            try:
                values, vectors = scipy.linalg.eigh(total - within, within)
            except np.linalg.LinAlgError:
                raise ValueError(
                    "solver='eigen': expected a covariance of full rank within the classes, received a singular one; "
                    "take solver='svd', or some shrinkage"
                ) from None
            self.explained_variance_ratio_ = np.sort(values / values.sum())[::-1][: self._largest()]
            self.scalings_ = fix_signs(vectors[:, ::-1].T).T
            self.coef_ = means @ self.scalings_ @ self.scalings_.T
        with np.errstate(divide="ignore"):
            self.intercept_ = -0.5 * np.einsum("kd,kd->k", means, self.coef_) + np.log(priors)
        return within

    def _largest(self) -> int:
        return min(len(self.classes_) - 1, self.n_features_in_) if self.n_components is None else self.n_components

    def decision_function(self, X: Any) -> np.ndarray:
        """Scores (n, K), or for two classes the log odds (n,) of the second."""
        check_is_fitted(self)
        X = validate_data(self, X, dtype=[np.float64, np.float32], reset=False)
        scores = X @ self.coef_.T + self.intercept_
        return scores[:, 0] if scores.shape[1] == 1 else scores

    def predict(self, X: Any) -> np.ndarray:
        """The most probable class (n,) of rows."""
        scores = self.decision_function(X)
        if len(self.classes_) == 1:
            return np.repeat(self.classes_, len(scores))
        return self.classes_[(scores > 0).astype(int) if scores.ndim == 1 else scores.argmax(axis=1)]

    def predict_log_proba(self, X: Any) -> np.ndarray:
        """Logarithms of the class probabilities (n, K)."""
        scores = self.decision_function(X)
        if len(self.classes_) == 1:
            return np.zeros((len(scores), 1), dtype=scores.dtype)
        if scores.ndim == 1:
            return -np.logaddexp(0, np.stack([scores, -scores], axis=1))
        scores -= scores.max(axis=1, keepdims=True)
        return scores - np.log(np.exp(scores).sum(axis=1, keepdims=True))

    def predict_proba(self, X: Any) -> np.ndarray:
        """Class probabilities (n, K)."""
        return np.exp(self.predict_log_proba(X))

    def transform(self, X: Any) -> np.ndarray:
        """Coordinates (n, r) on the axes that part the classes, best first; within a class their spread is one."""
        if self.solver == "lsqr":
            raise NotImplementedError("transform: expected solver 'svd' or 'eigen', received 'lsqr'")
        check_is_fitted(self)
        X = validate_data(self, X, dtype=[np.float64, np.float32], reset=False)
        centred = X - self.xbar_ if self.solver == "svd" else X
        return np.asarray((centred @ self.scalings_)[:, : self._largest()])

    @property
    def _n_features_out(self) -> int:
        return min(self._largest(), self.scalings_.shape[1])

    def check_state(self) -> None:
        """Raise ArtifactError unless the fitted attributes fit together."""
        columns, classes = expect_count(self, "n_features_in_", least=1), expect_classes(self)
        rows = 1 if len(classes) == 2 else len(classes)
        expect_array(self, "coef_", (rows, columns))
        expect_array(self, "intercept_", (rows,), finite=False)
        expect_array(self, "means_", (len(classes), columns))
        if (expect_array(self, "priors_", (len(classes),)) < 0).any():
            raise damaged(self, "priors_ ≥ 0", "a negative number")
        if self.solver in ("svd", "eigen"):
            expect_array(self, "scalings_", (columns, None))
            expect_array(self, "explained_variance_ratio_", (None,))
        if self.solver == "svd":
            expect_array(self, "xbar_", (columns,))
        if hasattr(self, "covariance_"):
            expect_array(self, "covariance_", (columns, columns))


def _class_means(X: np.ndarray, codes: np.ndarray, count: int) -> np.ndarray:
    """Mean of each class, float64 (K, d), by one product with the indicators a block."""
    sums = np.zeros((count, X.shape[1]))
    for start in range(0, len(X), BLOCK):
        part = codes[start : start + BLOCK]
        indicators = (np.arange(count)[:, None] == part).astype(X.dtype)
        sums += indicators @ X[start : start + BLOCK]
    return sums / np.bincount(codes, minlength=count)[:, None]


def _spread_axes(X: np.ndarray, codes: np.ndarray, means: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Spread of each column within the classes (d,), and the axes of the standardised rows: variances, vectors (d, r).

    Of the covariance where there are more rows than columns, else of the rows themselves: n²d operations, not d³.
    """
    rows, columns = X.shape
    rounding = 8 * np.finfo(X.dtype).eps * np.abs(means).max(axis=0)  # a constant column's means, summed in float32
    if columns <= rows:
        within = _within(X, codes, means, np.full(len(means), 1 / rows))
        spread = np.sqrt(np.diag(within))
        spread[spread <= rounding] = 1.0
        values, vectors = np.linalg.eigh(within / np.outer(spread, spread))
        return spread, values[::-1], vectors[:, ::-1]
    centred = (X - means[codes]).astype(np.float64) / np.sqrt(rows)
    spread = np.sqrt(np.einsum("nd,nd->d", centred, centred))
    spread[spread <= rounding] = 1.0
    _, lengths, vectors = np.linalg.svd(centred / spread, full_matrices=False)
    return spread, lengths**2, vectors.T


def _within(X: np.ndarray, codes: np.ndarray, means: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Σ w_k (xᵢ − μ_k)(xᵢ − μ_k)ᵀ, k the class of row i, float64 (d, d)."""
    roots = np.sqrt(weights)

    def fill(block: np.ndarray, low: int) -> None:
        part = codes[low : low + len(block)]
        np.subtract(X[low : low + len(block)], means[part], out=block)
        block *= roots[part, None]

    return gram.scatter(len(X), X.shape[1], np.float64, fill)


def _shrunk(X: np.ndarray, shrinkage: float | str) -> np.ndarray:
    """(1 − s)·S + s·(tr S / d)·I of rows (n, d); "auto": s by Ledoit and Wolf on standardised columns."""
    count, columns = X.shape
    centred = X.astype(np.float64) - X.mean(axis=0, dtype=np.float64)
    scale = np.ones(columns)
    if shrinkage == "auto":
        spread = centred.std(axis=0)
        scale = np.where(spread > 0, spread, 1.0)
        centred /= scale
    covariance = centred.T @ centred / count
    mean = np.trace(covariance) / columns
    if shrinkage == "auto":
        norm = (covariance**2).sum()
        distance = (norm - columns * mean**2) / columns
        fourth = (np.einsum("nd,nd->n", centred, centred) ** 2).sum() / count
        noise = min((fourth - norm) / (columns * count), distance)
        shrinkage = 0.0 if noise == 0 else noise / distance
    assert not isinstance(shrinkage, str)
    covariance *= 1 - shrinkage
    covariance.flat[:: columns + 1] += shrinkage * mean
    return np.asarray(covariance * np.outer(scale, scale))
