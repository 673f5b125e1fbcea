"""How sure a number is: 95% intervals for proportions, for functions of means, and for differences of two models.

A proportion gets Wilson's interval (Wilson 1927), a mean of proportions the recovered variances of Zou and
Donner (2008), a function of row means the percentile bootstrap (Efron 1979).
"""

from collections.abc import Callable
from math import sqrt

import numpy as np

from gradatim.randomness import generator

Z95 = 1.959963984540054
DRAWS = 1000
# Above so many rows the distribution of a mean is normal to many digits, and drawing from that is far faster.
MOST_ROWS_DRAWN = 20_000
_CHUNK_CELLS = 2_000_000

Interval = tuple[float, float]


def wilson(successes: float, trials: float, *, z: float = Z95) -> Interval:
    """Wilson's score interval for a proportion; (0, 1) when nothing was tried.

    >>> tuple(round(end, 4) for end in wilson(8, 10))
    (0.4902, 0.9433)
    """
    if trials <= 0:
        return 0.0, 1.0
    share = successes / trials
    centre = (share + z * z / (2 * trials)) / (1 + z * z / trials)
    half = z / (1 + z * z / trials) * sqrt(share * (1 - share) / trials + z * z / (4 * trials * trials))
    low = 0.0 if successes <= 0 else max(0.0, centre - half)
    high = 1.0 if successes >= trials else min(1.0, centre + half)
    return low, high


def mean_of_proportions(successes: np.ndarray, trials: np.ndarray, *, z: float = Z95) -> Interval:
    """Interval of the unweighted mean of independent proportions, (C,) each, from their Wilson intervals.

    Zou and Donner 2008: the squared distances to the single limits add up. Unlike a bootstrap it keeps a
    width when every proportion is 0 or 1.
    """
    share = successes / trials
    limits = np.array([wilson(s, t, z=z) for s, t in zip(successes, trials)])
    below = sqrt(float(((share - limits[:, 0]) ** 2).sum())) / len(share)
    above = sqrt(float(((limits[:, 1] - share) ** 2).sum())) / len(share)
    return max(0.0, float(share.mean()) - below), min(1.0, float(share.mean()) + above)


def bootstrap_means(
    moments: np.ndarray, statistic: Callable[[np.ndarray], np.ndarray], *, seed: int = 0, draws: int = DRAWS
) -> Interval:
    """Percentile bootstrap of a statistic of row means.

    moments (N, K): one row a sample; statistic: (D, K) means of D draws → (D,) values. Over 20,000 rows the
    means are drawn from their normal limit instead of from the rows.
    """
    values = statistic(resampled_means(moments, seed=seed, draws=draws))
    values = values[np.isfinite(values)]
    if len(values) == 0:
        return float("nan"), float("nan")
    low, high = np.quantile(values, [0.025, 0.975])
    return float(low), float(high)


def resampled_means(moments: np.ndarray, *, seed: int = 0, draws: int = DRAWS) -> np.ndarray:
    """Means of `draws` samples of N rows drawn with replacement: (N, K) → (draws, K)."""
    moments = np.asarray(moments, dtype=np.float64)
    moments = moments[:, None] if moments.ndim == 1 else moments
    rows, columns = moments.shape
    random = generator(seed, "bootstrap", rows)
    if rows > MOST_ROWS_DRAWN:
        centre = moments.mean(axis=0)
        covariance = np.atleast_2d(np.cov(moments, rowvar=False)) / rows
        values, vectors = np.linalg.eigh(covariance)
        noise = random.standard_normal((draws, columns)) * np.sqrt(values.clip(0))
        return centre + noise @ vectors.T
    means = np.empty((draws, columns))
    chunk = max(1, _CHUNK_CELLS // (rows * columns))
    for start in range(0, draws, chunk):
        stop = min(draws, start + chunk)
        picked = random.integers(0, rows, size=(stop - start, rows), dtype=np.int32)
        means[start:stop] = moments[picked].mean(axis=1)
    return means


def resampled_counts(counts: np.ndarray, *, seed: int = 0, draws: int = DRAWS) -> np.ndarray:
    """Cell counts (K,) of `draws` resampled tables with the same total: (draws, K).

    Drawing rows with replacement and counting the cells they fall into is one multinomial draw, so tables of
    counts (a confusion matrix) are resampled without touching the rows.
    """
    total = int(counts.sum())
    return generator(seed, "counts", total).multinomial(total, counts / total, size=draws)


def influence_interval(
    influence: np.ndarray, *, groups: np.ndarray | None = None, seed: int = 0, draws: int = DRAWS
) -> Interval:
    """Interval of an estimate's error from its influence values, (N,), centred on 0.

    Rows of one group are kept together: their influences are added before they are resampled, so twenty
    pictures of one patient do not count as twenty patients.
    """
    if groups is not None:
        _, place = np.unique(groups, return_inverse=True)
        sums = np.bincount(place, weights=influence)
        influence = sums * len(sums) / len(influence)
    means = resampled_means(influence - influence.mean(), seed=seed, draws=draws)[:, 0]
    low, high = np.quantile(means, [0.025, 0.975])
    return float(low), float(high)


def benjamini_hochberg(p_values: np.ndarray) -> np.ndarray:
    """Adjusted p values (q values) that bound the share of false discoveries (Benjamini and Hochberg 1995).

    >>> benjamini_hochberg(np.array([0.01, 0.04, 0.03, 0.5])).round(4).tolist()
    [0.04, 0.0533, 0.0533, 0.5]
    """
    p_values = np.asarray(p_values, dtype=np.float64)
    count = len(p_values)
    order = np.argsort(p_values)
    raised = p_values[order] * count / np.arange(1, count + 1)
    monotone = np.minimum.accumulate(raised[::-1])[::-1].clip(max=1.0)
    adjusted = np.empty(count)
    adjusted[order] = monotone
    return adjusted
