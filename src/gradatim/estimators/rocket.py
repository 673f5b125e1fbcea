"""Random convolutional kernels for series: thousands of fixed features, then a linear model.

MiniRocket: Dempster, Schmidt and Webb, "MiniRocket: a very fast (almost) deterministic transform for time series
classification" (KDD 2021). MultiRocket: Tan, Dempster, Bergmeir and Webb, "MultiRocket: multiple pooling operators and
transformations for fast and effective time series classification" (DMKD 2022).

The idea: 84 kernels of nine weights, −1 and 2, are spread over the series at many dilations; the share of places at
which a convolution lies above a bias says how often a pattern occurs. The biases are quantiles of the convolutions of
training rows, and labels are not looked at: nothing is learned before the linear head. MultiRocket adds the longest
run above the bias, the mean height above it and the mean place, and does the same to the first differences.
What differs from the papers: runs and places are shares of the series, so that features of unequal lengths compare;
heights are measured from the bias. What to notice: a head on this is a hard opponent for a network under some thousand
rows, in a hundredth of the time.
"""

from typing import Any, Self

import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from gradatim.estimators.features.scale import check_moments, moments
from gradatim.estimators.rocket_kernels import PLACES, TAPS, quantiles, signals, transform
from gradatim.estimators.row_threads import in_parts
from gradatim.estimators.series_rows import series_tags, validated_rows
from gradatim.estimators.validation import damaged, expect_array, expect_count

MOST_DILATIONS = 32
MOST_READ = 9  # channels that one kernel reads at most
GOLDEN = (5**0.5 + 1) / 2


class _Rocket(TransformerMixin, BaseEstimator):
    """What both transforms share: fitting, the loop over rows in threads, scaling."""

    _several = False
    channels_: int

    def __init__(self, *, features: int = 9_996, standardise: bool = False, random_state: Any = 0) -> None:
        self.features = features
        self.standardise = standardise
        self.random_state = random_state

    def __sklearn_tags__(self) -> Any:
        return series_tags(super().__sklearn_tags__())

    def fit(self, X: Any, y: Any = None) -> Self:
        """Choose dilations, channels and biases from rows; y is not looked at."""
        self._fit(*validated_rows(self, X, fitting=True))
        return self

    def fit_transform(self, X: Any, y: Any = None) -> np.ndarray:
        """Fit, and the features of the same rows."""
        return self.fit_rows(*validated_rows(self, X, fitting=True))

    def transform(self, X: Any) -> np.ndarray:
        """Features (n, d) in the format of X; zeros for rows without values."""
        check_is_fitted(self)
        return self.transform_rows(*validated_rows(self, X, fitting=False))

    def fit_rows(self, values: np.ndarray, lengths: np.ndarray) -> np.ndarray:
        """Fit to values (n, C, T) and lengths (n,) as `series_rows` gives them; their features."""
        found = self._fit(values, lengths)
        return self._raw(values, lengths) if found is None else found

    def transform_rows(self, values: np.ndarray, lengths: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
        """Features of values (n, C, T) and lengths (n,) as `series_rows` gives them, in `out` of zeros if given."""
        rows = self._raw(values, lengths, out)
        return self._scaled(rows, lengths) if self.standardise else rows

    @property
    def width(self) -> int:
        """How many features a fitted transform gives."""
        return sum(len(self._kinds()) * len(part[2]) for _, part in self._parts())

    def get_feature_names_out(self, input_features: Any = None) -> np.ndarray:
        """Name of every feature: "share:0", "run:0", "difference:share:0" …"""
        check_is_fitted(self)
        return np.array([f"{prefix}{what}:{place}" for prefix, part in self._parts() for what in self._kinds()
                         for place in range(len(part[2]))], dtype=object)

    def _kinds(self) -> tuple[str, ...]:
        return ("share", "run", "height", "place") if self._several else ("share",)

    def _fit(self, values: np.ndarray, lengths: np.ndarray) -> np.ndarray | None:
        if self.features < len(PLACES):
            raise ValueError(f"features: expected at least {len(PLACES)}, received {self.features}")
        source = check_random_state(self.random_state)
        self.channels_, length = int(values.shape[1]), int(lengths.max())
        share = self.features // (8 if self._several else 1)
        self.dilations_, self.counts_ = dilations(length, max(1, share // len(PLACES)))
        self.starts_, self.channels_read_ = channel_choice(self.channels_, len(self.dilations_), source)
        plan = (self.dilations_, self.starts_, self.channels_read_)
        self.biases_ = fit_biases(values, lengths, plan, self.counts_, source)
        if self._several:
            steps, fewer = differences(values, lengths)
            self.step_dilations_, self.step_counts_ = dilations(max(length - 1, 1), max(1, share // len(PLACES)))
            starts, read = channel_choice(self.channels_, len(self.step_dilations_), source)
            self.step_starts_, self.step_channels_read_ = starts, read
            plan = (self.step_dilations_, starts, read)
            self.step_biases_ = fit_biases(steps, fewer, plan, self.step_counts_, source)
        if not self.standardise:
            return None
        rows = self._raw(values, lengths)
        self.means_, self.scales_ = moments(rows[lengths > 0])
        return self._scaled(rows, lengths)

    def _parts(self) -> list[tuple[str, tuple[Any, ...]]]:
        """What transforms the series, and for MultiRocket its differences."""
        parts: list[tuple[str, tuple[Any, ...]]] = [
            ("", (self.dilations_, self.counts_, self.biases_, self.starts_, self.channels_read_))
        ]
        if self._several:
            parts.append(("difference:", (self.step_dilations_, self.step_counts_, self.step_biases_,
                                          self.step_starts_, self.step_channels_read_)))
        return parts

    def _raw(self, values: np.ndarray, lengths: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
        times = len(self._kinds())
        parts = [part for _, part in self._parts()]
        widths = [times * len(part[2]) for part in parts]
        found = np.zeros((len(values), sum(widths)), dtype=values.dtype) if out is None else out

        def work(_: int, low: int, high: int) -> None:
            first = 0
            inputs = (values[low:high], lengths[low:high])
            for (levels, counts, biases, starts, read), width in zip(parts, widths):
                cast = biases.astype(values.dtype)
                transform(*inputs, levels, counts, cast, starts, read, PLACES, self._several,
                          found[low:high, first : first + width])
                first += width
                inputs = differences(*inputs)

        in_parts(len(values), float(lengths.sum()) * sum(widths), work)
        return found

    def _scaled(self, rows: np.ndarray, lengths: np.ndarray) -> np.ndarray:
        """In place; a row without values is a mean row, all zeros."""
        np.subtract(rows, self.means_, out=rows)
        np.divide(rows, self.scales_, out=rows)
        rows[lengths == 0] = 0.0
        return rows

    def check_state(self) -> None:
        """Raise ArtifactError unless the fitted attributes fit together."""
        channels = expect_count(self, "channels_", least=1)
        width = 0
        for prefix in ("", "step_") if self._several else ("",):
            levels = expect_array(self, f"{prefix}dilations_", (None,), "i")
            counts = expect_array(self, f"{prefix}counts_", (len(levels),), "i")
            if not len(levels) or levels.min() < 1 or levels.max() > 2**24 or counts.min() < 0 or counts.max() > 2**20:
                raise damaged(self, "dilations and counts from 1", f"{levels[:3]}, {counts[:3]}")
            total = len(PLACES) * int(counts.sum())
            expect_array(self, f"{prefix}biases_", (total,))
            starts = expect_array(self, f"{prefix}starts_", (len(PLACES) * len(levels) + 1,), "i")
            read = expect_array(self, f"{prefix}channels_read_", (None,), "i")
            if starts[0] != 0 or starts[-1] != len(read) or (np.diff(starts) < 1).any():
                raise damaged(self, "starts_ that ascend from 0", str(starts[:3]))
            if read.min() < 0 or read.max() >= channels:
                raise damaged(self, f"channels_read_ below {channels}", str(int(read.max())))
            width += len(self._kinds()) * total
        if self.standardise:
            check_moments(self, width)


class MiniRocket(_Rocket):
    """How often each of 84 kernels, at many dilations, rises above a bias: features of series.

    features: how many, rounded down to a multiple of 84; standardise: bring each to mean 0 and deviation 1 over the
    training rows; random_state: which rows the biases come from, and which channels a kernel reads. X as in
    `series_rows.series_rows`: (n, T), (n, C, T), a list of arrays of unequal lengths, or {"values", "lengths"}; NaN is
    filled. Fitted: dilations_, counts_, biases_, starts_, channels_read_, channels_.

    >>> rows = np.sin(np.arange(60.0) * np.array([[0.2], [0.5], [0.9]]))
    >>> MiniRocket(features=840).fit_transform(rows).shape
    (3, 840)
    """


class MultiRocket(_Rocket):
    """Share, longest run, height and place above a bias, of the series and of its first differences.

    Arguments and X as in MiniRocket; features: in all, eight for each kernel and bias (49,728 in the paper).

    >>> rows = np.sin(np.arange(60.0) * np.array([[0.2], [0.5], [0.9]]))
    >>> MultiRocket(features=6720).fit_transform(rows).shape
    (3, 6720)
    """

    _several = True

    def __init__(self, *, features: int = 49_728, standardise: bool = False, random_state: Any = 0) -> None:
        super().__init__(features=features, standardise=standardise, random_state=random_state)


def dilations(length: int, biases: int) -> tuple[np.ndarray, np.ndarray]:
    """Dilations from 1 to where a kernel spans the series, evenly spaced in the exponent, and the biases of each.

    >>> dilations(33, 6)
    (array([1, 2, 3, 4]), array([3, 1, 1, 1]))
    """
    levels = min(biases, MOST_DILATIONS)
    exponent = np.log2(max(length - 1, TAPS - 1) / (TAPS - 1))
    found, counts = np.unique(np.logspace(0, exponent, levels, base=2).astype(np.int64), return_counts=True)
    counts = (counts * (biases / levels)).astype(np.int64)
    counts[: (biases - counts.sum()) % len(counts)] += 1
    counts += (biases - counts.sum()) // len(counts)
    return found, counts


def channel_choice(channels: int, levels: int, source: Any) -> tuple[np.ndarray, np.ndarray]:
    """Which channels each kernel of each dilation adds up: starts (84 · levels + 1,) into their numbers."""
    if channels == 1:
        return np.arange(len(PLACES) * levels + 1), np.zeros(len(PLACES) * levels, dtype=np.int64)
    most = min(channels, MOST_READ)
    sizes = (2 ** source.uniform(0, np.log2(most + 1), len(PLACES) * levels)).astype(np.int64).clip(1, most)
    read = [source.choice(channels, size, replace=False) for size in sizes]
    return np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64), np.concatenate(read).astype(np.int64)


def fit_biases(
    values: np.ndarray, lengths: np.ndarray, plan: tuple[np.ndarray, np.ndarray, np.ndarray], counts: np.ndarray,
    source: Any,
) -> np.ndarray:
    """Quantiles, spread by the golden ratio, of each convolution of one training row drawn for it; float64."""
    levels, starts, read = plan
    filled = np.flatnonzero(lengths > 0)
    chosen = filled[source.randint(len(filled), size=len(PLACES) * len(levels))]
    found = np.zeros((len(chosen), values.shape[2]), dtype=values.dtype)
    signals(values, lengths, chosen, levels, starts, read, PLACES, found)
    wanted = np.arange(1, len(PLACES) * int(counts.sum()) + 1) * GOLDEN % 1
    places = np.concatenate([[0], np.cumsum(np.repeat(counts, len(PLACES)))])
    return quantiles(found, lengths[chosen], places, wanted)


def differences(values: np.ndarray, lengths: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The step from each value to the next, (n, C, T − 1), and the lengths less one; a single value has step 0."""
    if values.shape[2] < 2:
        return np.zeros_like(values), lengths
    steps = np.diff(values, axis=2)
    fewer = np.maximum(lengths - 1, np.minimum(lengths, 1))
    return steps * (np.arange(steps.shape[2]) < (lengths - 1)[:, None])[:, None].astype(values.dtype), fewer
