"""Scaling of columns: by range, by mean and range, by mean and standard deviation.

All three are (x − shift)/scale, column by column. What to notice: gradient descent on columns of unequal scale creeps
along a narrow valley; after scaling the valley is nearly round. The statistics are of the training rows, and test rows
are scaled by them, never by their own.
"""

from typing import Any, Self

import numpy as np
import scipy.sparse
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator, OneToOneFeatureMixin, TransformerMixin
from sklearn.utils.validation import _check_sample_weight, check_is_fitted, validate_data

from gradatim.estimators.validation import damaged, expect_array, expect_count


class _Scaler(OneToOneFeatureMixin, TransformerMixin, BaseEstimator):
    """(x − shift_)/scale_ and back; NaN stands for missing, is left out of the statistics, and stays."""

    shift_: np.ndarray
    scale_: np.ndarray

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags

    def _read(self, X: Any, *, reset: bool) -> Any:
        sparse = "csr" if self.__sklearn_tags__().input_tags.sparse else False
        return validate_data(
            self, X, accept_sparse=sparse, dtype=[np.float64, np.float32], ensure_all_finite="allow-nan", reset=reset
        )

    def _keep(self, shift: np.ndarray, scale: np.ndarray, largest: np.ndarray, some: np.ndarray | None = None) -> None:
        """shift and scale (d,) float64; a scale that is rounding next to the column's largest value counts as zero.

        some: one value of each column, which is the exact mean of a constant one.
        """
        scale = np.where(np.isnan(scale), 1.0, scale)
        constant = scale <= 10 * np.finfo(np.float64).eps * np.nan_to_num(largest)
        self.scale_ = np.where(constant, 1.0, scale)
        if some is not None:
            shift = np.where(constant, some, shift)
        self.shift_ = np.where(np.isnan(shift), 0.0, shift)

    def transform(self, X: Any) -> Any:
        """The scaled rows (n, d), in the number format of X."""
        check_is_fitted(self)
        X = self._read(X, reset=False)
        if scipy.sparse.issparse(X):
            return (X @ scipy.sparse.diags_array(1 / self.scale_)).astype(X.dtype)
        # float64 within: a float32 difference of numbers far from zero would lose the digits that are wanted.
        return ((X - self.shift_) / self.scale_).astype(X.dtype)

    def inverse_transform(self, X: Any) -> Any:
        """The rows before scaling (n, d)."""
        check_is_fitted(self)
        X = self._read(X, reset=False)
        if scipy.sparse.issparse(X):
            return (X @ scipy.sparse.diags_array(self.scale_)).astype(X.dtype)
        return (X * self.scale_ + self.shift_).astype(X.dtype)

    def check_state(self) -> None:
        """Raise ArtifactError unless the fitted attributes fit together."""
        columns = expect_count(self, "n_features_in_", least=1)
        expect_array(self, "shift_", (columns,))
        if not (expect_array(self, "scale_", (columns,)) > 0).all():
            raise damaged(self, "positive scale_", "others")


class RangeScaler(_Scaler):
    """To a range: the least training value of each column becomes 0 and the greatest 1, or what `feature_range` says.

    X (n, d) dense, float32 or float64, NaN for missing. A constant column becomes the lower end.
    Fitted: minimum_, maximum_, and shift_, scale_ of (x − shift_)/scale_.

    >>> RangeScaler().fit_transform(np.array([[1.0], [3.0], [2.0]])).tolist()
    [[0.0], [1.0], [0.5]]
    """

    def __init__(self, feature_range: tuple[float, float] = (0.0, 1.0)) -> None:
        self.feature_range = feature_range

    def fit(self, X: Any, y: Any = None) -> Self:
        """Learn the ranges."""
        X = self._read(X, reset=True)
        low, high = (float(end) for end in self.feature_range)
        if not (np.isfinite([low, high]).all() and low < high):
            raise ValueError(f"feature_range: expected two numbers in ascending order, received {self.feature_range!r}")
        self.minimum_, self.maximum_ = np.fmin.reduce(X, 0).astype(np.float64), np.fmax.reduce(X, 0).astype(np.float64)
        largest = np.fmax(np.abs(self.minimum_), np.abs(self.maximum_))
        # Divided first: the difference of the largest numbers of either sign is infinite.
        scale = self.maximum_ / (high - low) - self.minimum_ / (high - low)
        self._keep(self.minimum_, scale, largest / (high - low))
        self.shift_ = self.shift_ - low * self.scale_
        return self


class MeanScaler(_Scaler):
    """Mean normalisation: (x − mean)/(greatest − least), so that each column has mean 0 and a range of 1.

    X (n, d) dense, float32 or float64, NaN for missing; sample_weight (n,) weighs the means. A constant column becomes
    zero. Fitted: mean_ and shift_, scale_ of (x − shift_)/scale_.

    >>> MeanScaler().fit_transform(np.array([[1.0], [3.0], [2.0]])).tolist()
    [[-0.5], [0.5], [0.0]]
    """

    def fit(self, X: Any, y: Any = None, sample_weight: ArrayLike | None = None) -> Self:
        """Learn means and ranges; the range is that of rows with a positive weight."""
        X = self._read(X, reset=True)
        weights = _weights(sample_weight, X)
        self.mean_ = _mean(X, weights)
        inside = X[weights > 0]
        low, high = np.fmin.reduce(inside, 0).astype(np.float64), np.fmax.reduce(inside, 0).astype(np.float64)
        self._keep(self.mean_, high - low, np.fmax(np.abs(low), np.abs(high)), low)
        return self


class StandardScaler(_Scaler):
    """Standardisation: (x − mean)/standard deviation, so that each column has mean 0 and variance 1.

    with_mean, with_deviation: whether to shift and to scale. X (n, d), float32 or float64, NaN for missing; CSR is
    accepted with with_mean=False, which keeps its zeros; sample_weight (n,). The variance divides by Σw. A constant
    column is shifted only. Fitted: mean_, variance_ (d,), and shift_, scale_ of (x − shift_)/scale_.

    >>> StandardScaler().fit_transform(np.array([[1.0], [3.0]])).tolist()
    [[-1.0], [1.0]]
    """

    def __init__(self, *, with_mean: bool = True, with_deviation: bool = True) -> None:
        self.with_mean = with_mean
        self.with_deviation = with_deviation

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = not self.with_mean
        return tags

    def fit(self, X: Any, y: Any = None, sample_weight: ArrayLike | None = None) -> Self:
        """Learn means and variances, in two walks so that columns far from zero keep their digits."""
        X = self._read(X, reset=True)
        weights = _weights(sample_weight, X)
        if scipy.sparse.issparse(X):
            self.mean_, self.variance_, largest = _sparse_moments(X, weights)
        else:
            self.mean_ = _mean(X, weights)
            # Scaled first: squares of huge numbers are infinite, of tiny ones zero.
            spread = np.fmax.reduce(np.abs(X - self.mean_), 0)
            unit = np.where((spread > 0) & np.isfinite(spread), spread, 1.0)
            deviation = np.sqrt(_mean(((X - self.mean_) / unit) ** 2, weights)) * unit
            largest = np.fmax.reduce(np.abs(X), 0).astype(np.float64)
            self.variance_ = deviation**2
            self._keep(self.mean_, deviation, largest, np.fmax.reduce(X, 0).astype(np.float64))
        if scipy.sparse.issparse(X):
            self._keep(self.mean_, np.sqrt(self.variance_), largest)
        if not self.with_deviation:
            self.scale_ = np.ones_like(self.scale_)
        if not self.with_mean:
            self.shift_ = np.zeros_like(self.shift_)
        return self


def _weights(sample_weight: ArrayLike | None, X: Any) -> np.ndarray:
    weights = _check_sample_weight(sample_weight, X, dtype=np.float64, ensure_non_negative=True)
    return np.asarray(weights / weights.sum())


def _mean(X: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Weighted mean of the values that are there, float64 (d,); NaN where there are none."""
    there = ~np.isnan(X)
    if there.all():
        return np.asarray(weights @ X.astype(np.float64, copy=False))
    mass = weights @ there
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(weights @ np.where(there, X, 0.0).astype(np.float64) / mass)


def _sparse_moments(X: Any, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean, variance and largest absolute value of the columns of a CSR matrix; NaN is left out."""
    there = X.copy()
    there.data = np.where(np.isnan(X.data), 1.0, 0.0)
    mass = 1.0 - np.asarray(there.T @ weights).ravel()
    filled = X.astype(np.float64)
    filled.data = np.nan_to_num(filled.data)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = np.asarray(filled.T @ weights).ravel() / mass
        columns = filled.indices
        rows = np.repeat(np.arange(X.shape[0]), np.diff(X.indptr))
        there_weights = np.where(np.isnan(X.data), 0.0, weights[rows])
        squares = np.bincount(columns, there_weights * (filled.data - mean[columns]) ** 2, minlength=X.shape[1])
        zeros = mass - np.bincount(columns, there_weights, minlength=X.shape[1])
        variance = (squares + np.maximum(zeros, 0.0) * mean**2) / mass
    largest = np.zeros(X.shape[1])
    np.maximum.at(largest, columns, np.abs(filled.data))
    return mean, variance, largest
