"""Statistics over time of a log-mel spectrogram: what a sound is made of, how it moves, roughly when.

Cepstra are the cosine transform of each frame (Davis and Mermelstein, 1980): the shape of the spectrum
without its fine lines. What to notice: means and deviations throw away all order; the means of a beginning,
middle and end put back as much of it as telling 'b' from 'bee' needs.
"""

from typing import Any, Self

import numpy as np
import torch
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import check_is_fitted

from gradatim.estimators.features.scale import check_moments, moments, standardised
from gradatim.estimators.validation import damaged, expect_count

PERCENTILES = (10, 50, 90)
BANDS = ("mean", "deviation", "least", "most", *(f"percentile{q}" for q in PERCENTILES), "change", "jitter")
CEPSTRA = ("mean", "deviation", "jitter")
CHUNK_VALUES = 4_000_000


class LogMelStatistics(TransformerMixin, BaseEstimator):
    """Standardised float32 rows (n, d) from log-mel spectrograms.

    X is {"log_mel": (n, M, T), "lengths": (n,) frames} of arrays or tensors, or a list of arrays (M, T),
    None where the sound is missing. d = 9 · M (mean, deviation, extremes, percentiles, mean absolute and
    root mean square change a frame of every band) + (3 + segments) · cepstra + 1 (logarithm of the
    duration). Sounds without frames give zeros, the mean of the training rows.
    Fitted: mels_, means_ (d,), scales_ (d,).

    >>> rows = LogMelStatistics().fit_transform([np.random.default_rng(0).normal(size=(40, 90)) for _ in range(3)])
    >>> rows.shape
    (3, 481)
    """

    def __init__(self, *, cepstra: int = 20, segments: int = 3) -> None:
        self.cepstra = cepstra
        self.segments = segments

    def fit(self, X: Any, y: Any = None) -> Self:
        """Learn the mean and deviation of every feature, over the sounds that are there."""
        return self.fit_raw(self.raw(X), mels=int(_spectrograms(X, None)[0].shape[1]))

    def fit_transform(self, X: Any, y: Any = None) -> np.ndarray:
        """Learn and return the rows."""
        rows = self.raw(X)
        self.fit_raw(rows, mels=int(_spectrograms(X, None)[0].shape[1]))
        return self.standardise(rows)

    def fit_raw(self, rows: np.ndarray, *, mels: int) -> Self:
        """`fit` from what `raw` returned for sounds of so many bands: for folds, which share the raw rows."""
        self.mels_ = mels
        self.means_, self.scales_ = moments(rows[np.isfinite(rows).all(axis=1)])
        return self

    def transform(self, X: Any) -> np.ndarray:
        """Rows (n, d) float32 of sounds with the bands seen in training."""
        check_is_fitted(self)
        values, lengths = _spectrograms(X, self.mels_)
        return self.standardise(self._raw(values, lengths))

    def raw(self, X: Any) -> np.ndarray:
        """Rows (n, d) float32 before standardising, NaN for sounds without frames; needs no fit."""
        return self._raw(*_spectrograms(X, None))

    def standardise(self, rows: np.ndarray) -> np.ndarray:
        """Raw rows brought to mean zero and deviation one, outliers held back; NaN becomes zero, the mean."""
        return np.nan_to_num(standardised(rows, self.means_, self.scales_))

    def _raw(self, values: torch.Tensor, lengths: np.ndarray) -> np.ndarray:
        """Rows before standardising, in chunks of sounds of like length, each cut to its longest."""
        mels = int(values.shape[1])
        rows = np.full((len(values), len(self._names(mels))), np.nan, dtype=np.float32)
        basis = cosine_basis(mels, min(self.cepstra, mels))
        order = np.argsort(lengths, kind="stable")
        order = order[lengths[order] > 0]
        chunk = max(1, CHUNK_VALUES // max(1, values.shape[1] * values.shape[2]))
        for start in range(0, len(order), chunk):
            chosen = order[start : start + chunk]
            frames = torch.from_numpy(lengths[chosen])
            part = values[torch.from_numpy(chosen), :, : int(frames.max())].float()
            rows[chosen] = _statistics(part, frames, basis, self.segments).numpy()
        return rows

    def _names(self, mels: int) -> list[str]:
        count = min(self.cepstra, mels)
        names = [f"band{band}:{what}" for what in BANDS for band in range(mels)]
        names += [f"cepstrum{place}:{what}" for what in CEPSTRA for place in range(count)]
        names += [f"cepstrum{place}:part{part}" for part in range(self.segments) for place in range(count)]
        return [*names, "duration"]

    def get_feature_names_out(self, input_features: Any = None) -> np.ndarray:
        """Name of every column: "band3:percentile90", "cepstrum0:part2", "duration"."""
        check_is_fitted(self)
        return np.array(self._names(self.mels_), dtype=object)

    def check_state(self) -> None:
        """Raise ArtifactError unless the fitted attributes fit together."""
        if expect_count(self, "mels_", least=1) > 4096:
            raise damaged(self, "at most 4096 mels_", str(self.mels_))
        if not 0 <= expect_count(self, "cepstra") <= 4096 or not 0 <= expect_count(self, "segments") <= 64:
            raise damaged(self, "at most 4096 cepstra and 64 segments", f"{self.cepstra}, {self.segments}")
        check_moments(self, len(self._names(self.mels_)))


def _spectrograms(X: Any, mels: int | None) -> tuple[torch.Tensor, np.ndarray]:
    """Values (n, M, T) and frames (n,) int64 from either form of input."""
    if isinstance(X, dict):
        values, lengths = torch.as_tensor(X["log_mel"]), np.asarray(X["lengths"], dtype=np.int64)
    else:
        sounds = [None if sound is None else torch.as_tensor(sound) for sound in X]
        shapes = [sound.shape for sound in sounds if sound is not None]
        bands = {shape[0] for shape in shapes if len(shape) == 2}
        if len(bands) > 1 or any(len(shape) != 2 for shape in shapes):
            raise ValueError(f"expected spectrograms (M, T) with the same bands M, received {set(shapes)}")
        count = bands.pop() if bands else (mels or 1)
        lengths = np.array([0 if sound is None else sound.shape[1] for sound in sounds], dtype=np.int64)
        values = torch.zeros(len(sounds), count, int(lengths.max(initial=1)))
        for place, sound in enumerate(sounds):
            if sound is not None:
                values[place, :, : sound.shape[1]] = sound
    if values.ndim != 3 or lengths.shape != (len(values),):
        raise ValueError(
            f"expected log_mel (n, M, T) and lengths (n,), received {tuple(values.shape)} and {lengths.shape}"
        )
    if mels is not None and values.shape[1] != mels:
        raise ValueError(f"expected spectrograms of {mels} bands, received {values.shape[1]}")
    if len(lengths) and (lengths.min() < 0 or lengths.max() > values.shape[2]):
        raise ValueError(f"expected lengths between 0 and {values.shape[2]} frames, received {lengths.max()}")
    return values, lengths


def cosine_basis(bands: int, count: int) -> torch.Tensor:
    """The first rows (count, bands) of the orthonormal cosine transform DCT-II."""
    place = torch.arange(bands) + 0.5
    basis = torch.cos(torch.pi / bands * torch.arange(count)[:, None] * place) * (2 / bands) ** 0.5
    basis[:1] /= 2**0.5
    return basis


def _statistics(values: torch.Tensor, frames: torch.Tensor, basis: torch.Tensor, segments: int) -> torch.Tensor:
    """All features (n, d) of values (n, M, T) of which the first `frames` (n,) count, each at least one."""
    times = torch.arange(values.shape[2])
    inside = times < frames[:, None]
    mean, deviation = _mean_and_deviation(values, inside)
    ordered = values.masked_fill(~inside[:, None], torch.inf).sort(-1).values
    parts = [mean, deviation, ordered[..., 0], _at(ordered, frames - 1)]
    parts += [_percentile(ordered, frames, q / 100) for q in PERCENTILES]
    moves, moving = values.diff(dim=-1), inside[:, 1:]
    parts += [_mean(moves.abs(), moving), _mean(moves.square(), moving).sqrt()]
    cepstra = basis @ values
    parts += _mean_and_deviation(cepstra, inside)
    parts.append(_mean(cepstra.diff(dim=-1).square(), moving).sqrt())
    for part in range(segments):
        # Bounds as fractions of the frames; a sound shorter than the parts repeats its nearest frame.
        first = frames * part // segments
        last = torch.maximum(frames * (part + 1) // segments, first + 1)
        parts.append(_mean(cepstra, (times >= first[:, None]) & (times < last[:, None])))
    return torch.cat([*parts, frames.float().log()[:, None]], 1)


def _mean(values: torch.Tensor, inside: torch.Tensor) -> torch.Tensor:
    """Mean over the frames inside (n, T) of values (n, M, T); zero where there are none."""
    return (values * inside[:, None]).sum(-1) / inside.sum(-1).clamp(min=1)[:, None]


def _mean_and_deviation(values: torch.Tensor, inside: torch.Tensor) -> list[torch.Tensor]:
    mean = _mean(values, inside)
    return [mean, _mean((values - mean[..., None]).square(), inside).sqrt()]


def _at(ordered: torch.Tensor, place: torch.Tensor) -> torch.Tensor:
    """The value (n, M) at place (n,) of each sorted band."""
    index = place[:, None, None].expand(-1, ordered.shape[1], 1)
    return ordered.gather(2, index)[..., 0]


def _percentile(ordered: torch.Tensor, frames: torch.Tensor, share: float) -> torch.Tensor:
    """The value below which this share of the frames lies, interpolated between neighbours."""
    place = share * (frames - 1)
    lower = place.floor().long()
    upper = torch.minimum(lower + 1, frames - 1)
    low, high = _at(ordered, lower), _at(ordered, upper)
    return low + (high - low) * (place - lower)[:, None]
