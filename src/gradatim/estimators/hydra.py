"""Competing convolutional kernels for series, and random kernels joined with them: features, then a linear model.

Hydra: Dempster, Schmidt and Webb, "Hydra: competing convolutional kernels for fast and accurate time series
classification" (DMKD 2023), a bridge between random kernels and dictionaries of patterns.

The idea: kernels of nine random weights stand in groups of eight. At each step the kernel of a group that answers most
is the pattern that is there, the one that answers least the pattern whose opposite is there; how often each wins, at
many dilations, is a histogram of patterns. Half the groups look at the series, half at its steps (first differences).
The winners are counted with their answers, the losers by ones, as the paper found best. Nothing is learned before the
linear head, and not even a bias is fitted: only the unit of the values and the scale of the features.
What differs from the paper: counts are brought to one length, so that rows of unequal lengths compare, and values to
the spread of the training rows, so that the unit of a column does not matter; with a single step there is no change.
What to notice: a tenth of the time of MultiRocket, and right about other rows, which is why both together are the
hardest opponent (MultiRocket-Hydra, in the same paper).
"""

from typing import Any, Self

import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from gradatim.estimators.features.scale import check_moments
from gradatim.estimators.hydra_kernels import TAPS, compete
from gradatim.estimators.rocket import MultiRocket, differences
from gradatim.estimators.row_threads import in_parts
from gradatim.estimators.series_rows import series_tags, validated_rows
from gradatim.estimators.validation import damaged, expect_array, expect_count

KERNELS, MOST_GROUPS = 8, 64  # of a group and of a dilation, as in the paper
MOST_CHANNELS = 8  # that one group adds up at most
RARITY = 4  # the power of the share of rows without a feature that is added to its deviation


class Hydra(TransformerMixin, BaseEstimator):
    """How often each kernel wins in its group, and how often it comes last, at dilations of 1, 2, 4 …

    kernels: in a group; groups: at each dilation, half for the series and half for its differences; standardise: the
    root of every count, less its mean where it is not 0, divided by its deviation and more so where few rows have any
    (the authors' scaler); random_state: the weights and the channels of each group. X as in `series_rows.series_rows`.
    Fitted: dilations_ (D,), weights_ (D, groups, kernels, 9), groups of the series first, channels_read_
    (D, groups, R), channels_, steps_: the length that counts are brought to; with standardise means_ and scales_.

    >>> rows = np.sin(np.arange(60.0) * np.array([[0.2], [0.5], [0.9]]))
    >>> Hydra(groups=4).fit_transform(rows).shape
    (3, 192)
    """

    channels_: int

    def __init__(
        self, *, kernels: int = KERNELS, groups: int = MOST_GROUPS, standardise: bool = False, random_state: Any = 0
    ) -> None:
        self.kernels = kernels
        self.groups = groups
        self.standardise = standardise
        self.random_state = random_state

    def __sklearn_tags__(self) -> Any:
        return series_tags(super().__sklearn_tags__())

    def fit(self, X: Any, y: Any = None) -> Self:
        """Draw the kernels; learn unit and length of the rows; y is not looked at."""
        self.fit_rows(*validated_rows(self, X, fitting=True))
        return self

    def fit_transform(self, X: Any, y: Any = None) -> np.ndarray:
        """Fit, and the features of the same rows."""
        return self.fit_rows(*validated_rows(self, X, fitting=True))

    def transform(self, X: Any) -> np.ndarray:
        """Features (n, d) in the format of X; zeros for rows without values."""
        check_is_fitted(self)
        return self.transform_rows(*validated_rows(self, X, fitting=False))

    @property
    def width(self) -> int:
        """How many features a fitted transform gives."""
        return 2 * self.weights_.size // TAPS

    def get_feature_names_out(self, input_features: Any = None) -> np.ndarray:
        """Name of every feature: "most:0", "least:0", "difference:most:0" …"""
        check_is_fitted(self)
        size = self.groups // 2 * self.kernels
        return np.array([f"{prefix}{what}:{level * size + place}" for prefix in ("", "difference:")
                         for level in range(len(self.dilations_)) for what in ("most", "least")
                         for place in range(size)], dtype=object)

    def fit_rows(self, values: np.ndarray, lengths: np.ndarray) -> np.ndarray:
        """Fit to values (n, C, T) and lengths (n,) as `series_rows` gives them; their features."""
        if not _whole(self.kernels, 2):
            raise ValueError(f"kernels: expected a whole number from 2, received {self.kernels!r}")
        if not _whole(self.groups, 2) or self.groups % 2:
            raise ValueError(f"groups: expected an even number from 2, received {self.groups!r}")
        source = check_random_state(self.random_state)
        self.channels_, self.steps_ = int(values.shape[1]), int(lengths.max())
        levels = dilation_count(self.steps_)
        self.dilations_ = 2 ** np.arange(levels)
        weights = source.normal(size=(levels, self.groups, self.kernels, TAPS))
        weights -= weights.mean(axis=-1, keepdims=True)
        weights /= np.abs(weights).sum(axis=-1, keepdims=True)
        read = min(self.channels_, int(np.clip(self.channels_ // 2, 2, MOST_CHANNELS)))
        self.channels_read_ = source.randint(self.channels_, size=(levels, self.groups, read))
        half = self.groups // 2
        for part, inputs in ((slice(half), (values, lengths)), (slice(half, None), differences(values, lengths))):
            weights[:, part] /= spread_of(*inputs)
        self.weights_ = weights
        rows = self._raw(values, lengths)
        if not self.standardise:
            return rows
        np.sqrt(np.maximum(rows, 0, out=rows), out=rows)
        self.means_, self.scales_ = sparse_moments(rows[lengths > 0])
        return self._scaled(rows)

    def transform_rows(self, values: np.ndarray, lengths: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
        """Features of values (n, C, T) and lengths (n,) as `series_rows` gives them, in `out` if given."""
        rows = self._raw(values, lengths, out)
        return self._scaled(np.sqrt(np.maximum(rows, 0, out=rows), out=rows)) if self.standardise else rows

    def _raw(self, values: np.ndarray, lengths: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
        levels, half = len(self.dilations_), self.groups // 2
        size = self.width // 2
        rows = np.empty((len(values), 2 * size), dtype=values.dtype) if out is None else out
        weights = self.weights_.astype(values.dtype)
        parts = [(np.ascontiguousarray(weights[:, part]), np.ascontiguousarray(self.channels_read_[:, part]))
                 for part in (slice(half), slice(half, None))]

        def work(_: int, low: int, high: int) -> None:
            inputs = (values[low:high], lengths[low:high])
            share = (self.steps_ / np.maximum(lengths[low:high], 1)).astype(values.dtype)[:, None]
            for place, (kernels, read) in enumerate(parts):
                found = np.zeros((high - low, levels, 2, half, self.kernels), dtype=values.dtype)
                compete(*inputs, self.dilations_, kernels, read, found)
                rows[low:high, place * size : (place + 1) * size] = found.reshape(high - low, size) * share
                inputs = differences(*inputs)

        in_parts(len(values), float(lengths.sum()) * self.width, work)
        return rows

    def _scaled(self, rows: np.ndarray) -> np.ndarray:
        """In place, what is 0 stays 0."""
        for start in range(0, len(rows), 256):
            part = rows[start : start + 256]
            none = part == 0
            np.subtract(part, self.means_, out=part)
            np.divide(part, self.scales_, out=part)
            part[none] = 0
        return rows

    def check_state(self) -> None:
        """Raise ArtifactError unless the fitted attributes fit together."""
        channels = expect_count(self, "channels_", least=1)
        expect_count(self, "steps_", least=1)
        levels = expect_array(self, "dilations_", (None,), "i")
        if not len(levels) or levels.min() < 1 or levels.max() > 2**24:
            raise damaged(self, "dilations_ from 1", str(levels[:3]))
        groups, kernels = expect_count(self, "groups", least=2), expect_count(self, "kernels", least=2)
        expect_array(self, "weights_", (len(levels), groups, kernels, TAPS))
        read = expect_array(self, "channels_read_", (len(levels), groups, None), "i")
        if groups % 2 or not read.shape[2] or read.min() < 0 or read.max() >= channels:
            raise damaged(self, f"an even number of groups that read channels below {channels}", str(groups))
        if self.standardise:
            check_moments(self, self.width)


class MultiRocketHydra(TransformerMixin, BaseEstimator):
    """The features of MultiRocket and of Hydra side by side, for a ridge classifier.

    Each feature is brought to one scale and each of the two parts to the same weight, mean square 1 over all: joined as
    they are (as the paper does) the many features of MultiRocket drown the fewer of Hydra. On five sets of the archive
    that were tried, training rows left out were mistaken less often for it on three and never more often; over the
    test rows of eight sets it is a draw. features: of MultiRocket; kernels, groups: of Hydra; X as in
    `series_rows.series_rows`. Fitted: rocket_, hydra_.

    >>> rows = np.sin(np.arange(60.0) * np.array([[0.2], [0.5], [0.9]]))
    >>> MultiRocketHydra(features=6720, groups=4).fit_transform(rows).shape
    (3, 6912)
    """

    def __init__(
        self, *, features: int = 49_728, kernels: int = KERNELS, groups: int = MOST_GROUPS, random_state: Any = 0
    ) -> None:
        self.features = features
        self.kernels = kernels
        self.groups = groups
        self.random_state = random_state

    def __sklearn_tags__(self) -> Any:
        return series_tags(super().__sklearn_tags__())

    @property
    def channels_(self) -> int:
        """Channels of a row."""
        return self.rocket_.channels_

    @property
    def width(self) -> int:
        """How many features a fitted transform gives."""
        return self.rocket_.width + self.hydra_.width

    def fit(self, X: Any, y: Any = None) -> Self:
        """Fit both; y is not looked at."""
        self.fit_transform(X)
        return self

    def fit_transform(self, X: Any, y: Any = None) -> np.ndarray:
        """Fit, and the features of the same rows."""
        values, lengths = validated_rows(self, X, fitting=True)
        self.rocket_ = MultiRocket(features=self.features, standardise=True, random_state=self.random_state)
        self.hydra_ = Hydra(kernels=self.kernels, groups=self.groups, standardise=True, random_state=self.random_state)
        parts = [self.rocket_.fit_rows(values, lengths), self.hydra_.fit_rows(values, lengths)]
        return self._balanced(np.concatenate(parts, axis=1))

    def transform(self, X: Any) -> np.ndarray:
        """Features (n, d) in the format of X; zeros for rows without values."""
        check_is_fitted(self)
        values, lengths = validated_rows(self, X, fitting=False)
        out = np.zeros((len(values), self.width), dtype=values.dtype)
        self.rocket_.transform_rows(values, lengths, out[:, : self.rocket_.width])
        self.hydra_.transform_rows(values, lengths, out[:, self.rocket_.width :])
        return self._balanced(out)

    def _balanced(self, rows: np.ndarray) -> np.ndarray:
        """In place: the sum of squares of each part is half the number of all features."""
        first = self.rocket_.width
        rows[:, :first] *= rows.dtype.type((self.width / (2 * first)) ** 0.5)
        rows[:, first:] *= rows.dtype.type((self.width / (2 * self.hydra_.width)) ** 0.5)
        return rows

    def get_feature_names_out(self, input_features: Any = None) -> np.ndarray:
        """Names of MultiRocket's features, then of Hydra's."""
        check_is_fitted(self)
        return np.concatenate([self.rocket_.get_feature_names_out(), self.hydra_.get_feature_names_out()])

    def check_state(self) -> None:
        """Raise ArtifactError unless both parts are there and read the same channels."""
        kinds = (type(getattr(self, "rocket_", None)), type(getattr(self, "hydra_", None)))
        if kinds != (MultiRocket, Hydra):
            raise damaged(self, "MultiRocket and Hydra", ", ".join(kind.__name__ for kind in kinds))
        scaled = self.rocket_.standardise and self.hydra_.standardise
        if self.rocket_.channels_ != self.hydra_.channels_ or not scaled:
            raise damaged(self, "two standardised parts for the same channels", str(self.hydra_.channels_))


def _whole(value: Any, least: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= least


def dilation_count(steps: int) -> int:
    """How many dilations 1, 2, 4 … let a kernel fit into a series of so many steps; one at least.

    >>> dilation_count(16), dilation_count(17), dilation_count(150)
    (1, 2, 5)
    """
    return 1 + int(np.log2(max(steps - 1, TAPS - 1) / (TAPS - 1)))


def spread_of(values: np.ndarray, lengths: np.ndarray) -> float:
    """Root mean square of the distances of all known values from their row's and channel's mean; 1 where that is 0."""
    known = (np.arange(values.shape[2]) < lengths[:, None])[:, None]
    counts = np.maximum(lengths, 1)[:, None, None]
    means = values.sum(axis=2, keepdims=True, dtype=np.float64) / counts
    squares = np.square((values - means) * known).sum()
    found = float(np.sqrt(squares / max(float(lengths.sum()) * values.shape[1], 1.0)))
    return found if found > 1e-30 else 1.0


def sparse_moments(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and deviation (d,) of every column, to which the fourth power of the share of zeros is added.

    A pattern that few rows have is thus held back: nothing tells yet how far it speaks. float32.
    """
    rare = (rows == 0).mean(axis=0) ** RARITY
    deviations = rows.std(axis=0, ddof=min(1, len(rows) - 1), dtype=np.float64)
    return rows.mean(axis=0, dtype=np.float64).astype(np.float32), (deviations + rare + 1e-8).astype(np.float32)
