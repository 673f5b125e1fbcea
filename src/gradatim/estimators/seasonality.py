"""Which season a series has, and a series without its season: autocorrelation and classical decomposition.

Missing values (NaN) are left out of every sum.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

Z90 = 1.645
NEARLY = 0.85  # of the highest peak


def autocorrelations(values: np.ndarray, lags: Sequence[int] | np.ndarray) -> np.ndarray:
    """Autocorrelation at some lags over the pairs of which both are known; NaN where there are under three.

    >>> autocorrelations(np.array([1.0, -1.0] * 8), [1, 2]).round(3).tolist()
    [-1.0, 1.0]
    """
    centred = values - np.nanmean(values) if np.isfinite(values).any() else values
    variance = np.nanmean(centred**2) if np.isfinite(centred).any() else 0.0
    found = np.full(len(lags), np.nan)
    for place, lag in enumerate(lags):
        pairs = centred[lag:] * centred[: max(len(centred) - lag, 0)]
        pairs = pairs[np.isfinite(pairs)]
        if len(pairs) >= 3 and variance > 0:
            found[place] = pairs.mean() / variance
    return found


def moving_average(values: np.ndarray, season: int) -> np.ndarray:
    """Centred mean over one season, ends weighted by half where it is even; the ends go on as straight lines.

    Where half a season or more is missing in a window, its mean is NaN and is drawn in from both sides.
    """
    weights = np.full(season if season % 2 else season + 1, 1.0)
    if season % 2 == 0:
        weights[[0, -1]] = 0.5
    seen = np.isfinite(values)
    total = np.convolve(np.where(seen, values, 0.0), weights, "valid")
    count = np.convolve(seen.astype(np.float64), weights, "valid")
    with np.errstate(invalid="ignore", divide="ignore"):
        middle = np.where(count > season / 2, total / count, np.nan)
    trend = np.full(len(values), np.nan)
    half = len(weights) // 2
    trend[half : half + len(middle)] = middle
    known = np.flatnonzero(np.isfinite(trend))
    if len(known) < 2:
        return np.full(len(values), np.nanmean(values) if seen.any() else 0.0)
    slope_size = min(len(known) - 1, max(season // 2, 1))
    before = (trend[known[slope_size]] - trend[known[0]]) / (known[slope_size] - known[0])
    after = (trend[known[-1]] - trend[known[-1 - slope_size]]) / (known[-1] - known[-1 - slope_size])
    places = np.arange(len(values))
    filled = np.interp(places, known, trend[known])
    filled = np.where(places < known[0], trend[known[0]] + before * (places - known[0]), filled)
    return np.where(places > known[-1], trend[known[-1]] + after * (places - known[-1]), filled)


@dataclass(frozen=True, slots=True)
class Decomposition:
    """adjusted: the series without its season, (T,); pattern: the season by phase, (season,); phase 0 is step 0.

    multiplicative: the series is adjusted × pattern, else adjusted + pattern.
    """

    adjusted: np.ndarray
    pattern: np.ndarray
    multiplicative: bool

    def seasonal(self, steps: np.ndarray, values: np.ndarray) -> np.ndarray:
        """Values with the season of these steps put back."""
        part = self.pattern[np.asarray(steps) % len(self.pattern)]
        return values * part if self.multiplicative else values + part


def decompose(values: np.ndarray, season: int, *, multiplicative: bool | None = None) -> Decomposition:
    """Classical decomposition by moving averages; later seasons weigh more (half as much four seasons back).

    multiplicative: None: where every known value is above 0. season 1, or under two seasons: nothing is taken out.
    Source: Persons 1919; as in Assimakopoulos and Nikolopoulos 2000 for the Theta method.

    >>> line = np.arange(24.0) + np.tile([5.0, -5.0, 0.0, 0.0], 6)
    >>> decompose(line, 4, multiplicative=False).pattern.round(6).tolist()
    [5.0, -5.0, 0.0, 0.0]
    """
    positive = bool((values[np.isfinite(values)] > 0).all())
    multiplicative = positive if multiplicative is None else multiplicative and positive
    if season < 2 or len(values) < 2 * season:
        return Decomposition(values, np.full(1, 1.0 if multiplicative else 0.0), multiplicative)
    trend = moving_average(values, season)
    if multiplicative and not (trend > 0).all():
        multiplicative = False
    detrended = values / trend if multiplicative else values - trend
    age = (len(values) - 1 - np.arange(len(values))) // season
    weights = np.where(np.isfinite(detrended), 0.5 ** (age / 4), 0.0)
    phase = np.arange(len(values)) % season
    total = np.bincount(phase, weights=weights * np.nan_to_num(detrended), minlength=season)
    count = np.bincount(phase, weights=weights, minlength=season)
    neutral = 1.0 if multiplicative else 0.0
    pattern = np.where(count > 0, total / np.maximum(count, 1e-300), neutral)
    if multiplicative:
        pattern = np.clip(pattern / pattern.mean(), 0.01, 100.0)
        return Decomposition(values / pattern[phase], pattern, True)
    pattern = pattern - pattern.mean()
    return Decomposition(values - pattern[phase], pattern, False)


def is_seasonal(values: np.ndarray, season: int) -> bool:
    """Whether the autocorrelation at the season is above chance at 90 %, given those before it.

    Source: the test of Assimakopoulos and Nikolopoulos 2000 (limit by Bartlett's formula), on the series without its
    moving average, so that a trend does not look like a season.
    """
    if season < 2 or len(values) < 3 * season or np.isfinite(values).sum() < 2 * season:
        return False
    detrended = values - moving_average(values, season)
    found = np.nan_to_num(autocorrelations(detrended, np.arange(1, season + 1)))
    limit = Z90 * np.sqrt((1 + 2 * float((found[:-1] ** 2).sum())) / max(int(np.isfinite(values).sum()), 1))
    return bool(found[-1] > limit)


def find_season(series: Sequence[np.ndarray], usual: Sequence[int], *, most: int = 50) -> tuple[int, str]:
    """The length of the season of some series, and why: among the usual ones, else by autocorrelation.

    usual: lengths that the frequency suggests; among those that more of the series have than chance gives, the one with
    the highest mean autocorrelation in them: series without it may stand beside them. Without any, peaks of the mean
    autocorrelation from 2 to a third of the length are tried. 1: no season. At most `most` series are looked at.
    """
    looked = sorted((values for values in series if np.isfinite(values).sum() > 6), key=len, reverse=True)[:most]
    if not looked:
        return 1, "no season: the series are too short to tell"
    long_enough = [m for m in usual if m > 1 and len(looked[len(looked) // 2]) >= 3 * m]
    if long_enough:
        best, mark, told = 1, 0.0, ""
        counts = []
        for season in long_enough:
            tried = [values for values in looked if len(values) >= 3 * season]
            with_it = [values for values in tried if is_seasonal(values, season)]
            counts.append(f"{season} steps in {len(with_it)} of {len(tried)} series")
            if len(with_it) <= 0.1 * len(tried) + Z90 * np.sqrt(0.09 * len(tried)):  # chance at 90 % gives a tenth
                continue
            height = float(np.mean([autocorrelations(values - moving_average(values, season), [season])[0]
                                    for values in with_it]))
            if height > mark:
                best, mark, told = season, height, f"in {len(with_it)} of {len(tried)} series"
        if best > 1:
            return best, (f"season of {best} steps: usual at this frequency, autocorrelation above chance {told}, "
                          f"{min(mark, 1):.2f} on average there")
        return 1, (f"no season: usual at this frequency, the autocorrelation is above chance at {', '.join(counts)}, "
                   "no more than chance gives; --option season=N takes one")
    if usual:
        return 1, f"no season: the series are shorter than three times the usual {usual[0]} steps"
    return _by_peaks(looked)


def _by_peaks(looked: list[np.ndarray]) -> tuple[int, str]:
    """The highest peak of the mean autocorrelation of the differences, where it is above chance."""
    length = len(looked[len(looked) // 2])
    largest = min(length // 3, 400)
    if largest < 3:
        return 1, "no season: the series are too short to tell"
    lags = np.arange(1, largest + 1)
    curves = []
    for values in looked:
        if len(values) > largest:
            window = max(3, 2 * (min(largest, len(values) // 4) // 2) + 1)
            curves.append(autocorrelations(values - moving_average(values, window), lags))
    known = np.isfinite(curves)  # a series without change has no autocorrelation
    mean = np.nansum(np.array(curves), axis=0) / np.maximum(known.sum(axis=0), 1)
    peaks = [m for m in range(2, largest) if mean[m - 1] > mean[m - 2] and mean[m - 1] >= mean[m]]
    limit = 2 / np.sqrt(length)
    highest = max((mean[m - 1] for m in peaks), default=0.0)
    # Twice and three times a season peak as well, by chance even higher: the shortest of the high peaks is taken.
    for season in [m for m in peaks if mean[m - 1] >= NEARLY * highest]:
        share = np.mean([is_seasonal(values, season) for values in looked if len(values) >= 3 * season])
        if mean[season - 1] > max(limit, 0.2) and share >= 0.5:
            return season, (f"season of {season} steps: the first high peak of the autocorrelation, "
                            f"{mean[season - 1]:.2f}")
    return 1, "no season: no peak of the autocorrelation is above chance"
