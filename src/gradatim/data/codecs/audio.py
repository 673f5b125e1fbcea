"""Sounds: cell ⇄ log-mel spectrogram, float32 (mels, frames).

Any WAV, FLAC, OGG or MP3 file at any rate and with any number of channels is averaged to mono, resampled to `hertz`
and turned into log(1 + mel power / 10⁻⁶) (see `mel`), a frame every `hop_seconds`. Silence is 0, so padding is
silence. `fit` decides from a sample of training sounds:

* max_seconds: the 95th percentile of the durations, rounded up to half a second, at most 10; what is longer is cut
  at the end, and counted by the loader ('audio-cut');
* mean and std over all values of the spectrograms, for the network to normalise with.
"""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch

from gradatim.data.batch import Field
from gradatim.data.codecs import checks
from gradatim.data.codecs.mel import FLOOR, log_mel
from gradatim.data.codecs.sample import sample_of
from gradatim.data.codecs.sound import duration, read_sound
from gradatim.errors import CellError, SchemaError

DURATIONS = 2000  # sounds whose header `fit` reads
SAMPLE = 128  # sounds that `fit` decodes
LONGEST_CHOSEN = 10.0  # seconds


@dataclass(frozen=True, slots=True)
class Extent:
    """How long the whole sound is, in seconds, and whether its end was cut."""

    seconds: float
    cut: bool


class AudioCodec:
    """A sound: file name, bytes, a pair (samples, rate), or {"array", "sampling_rate"}.

    Integer samples are scaled to ±1. hertz: sampling rate of the analysis; mels: bands; hop_seconds: time between
    frames; max_seconds: longest part used (None: chosen by `fit`); max_bytes, limit_seconds: files beyond are refused.
    Errors: CellError 'audio-missing', 'audio-outside', 'audio-too-large', 'audio-too-long', 'audio-unreadable';
    SchemaError when no training sound can be read.

    >>> codec = AudioCodec().fit([(np.zeros(8000, np.float32), 8000)])
    >>> codec.encode((np.zeros(4000, np.float32), 8000))[0].shape
    (64, 51)
    """

    kind = "audio"

    def __init__(self, *, hertz: int = 16_000, mels: int = 64, hop_seconds: float = 0.01,
                 max_seconds: float | None = None, max_bytes: int = 256 * 2**20, limit_seconds: float = 3600.0) -> None:
        self.hertz = checks.whole(hertz, "hertz", 1_000, 192_000)
        self.mels = checks.whole(mels, "mels", 1, 512)
        self.hop_seconds = checks.real(hop_seconds, "hop_seconds", 0.001, 1.0)
        self._max_seconds = None if max_seconds is None else checks.real(max_seconds, "max_seconds", 0.01, 3600.0)
        self.max_bytes = checks.whole(max_bytes, "max_bytes", 1, 2**40)
        self.limit_seconds = checks.real(limit_seconds, "limit_seconds", 0.01, 1e6)
        self.max_seconds = max_seconds or LONGEST_CHOSEN
        self.mean, self.std = 0.0, 1.0

    def fit(self, cells: Sequence[object], folder: Path | None = None) -> Self:
        """Choose max_seconds and measure mean and std on a sample of the sounds."""
        if self._max_seconds is None:
            seconds = []
            for cell in sample_of(cells, DURATIONS):
                try:
                    seconds.append(duration(cell, folder, max_bytes=self.max_bytes, limit_seconds=self.limit_seconds))
                except CellError:
                    continue  # named where the sound is decoded
            usual = float(np.quantile(seconds, 0.95)) if seconds else LONGEST_CHOSEN
            self.max_seconds = min(max(math.ceil(usual * 2) / 2, 0.5), LONGEST_CHOSEN)
        total, squares, count, failure = 0.0, 0.0, 0, "every cell is missing"
        for cell in sample_of(cells, SAMPLE):
            try:
                spectrogram = self.encode(cell, folder)[0]
            except CellError as error:
                failure = str(error)
                continue
            if spectrogram is not None:
                values = spectrogram.astype(np.float64)
                total, squares, count = total + values.sum(), squares + (values**2).sum(), count + values.size
        if not count:
            raise SchemaError(f"expected a readable sound in the training rows, received none ({failure}); "
                              "check the file names and the folder that they are relative to")
        self.mean = float(total / count)
        std = math.sqrt(max(squares / count - self.mean**2, 0.0))
        self.std = std if std > 1e-3 else 1.0  # silence alone
        return self

    def encode(self, cell: object, folder: Path | None = None) -> tuple[np.ndarray | None, Extent | None]:
        """float32 (mels, frames) and the extent; (None, None) when missing."""
        if cell is None:
            return None, None
        samples, extent = self.samples(cell, folder)
        spectrogram = log_mel(torch.from_numpy(samples), hertz=self.hertz, mels=self.mels, hop=self.hop)
        return spectrogram.numpy(), extent

    def samples(self, cell: object, folder: Path | None = None) -> tuple[np.ndarray, Extent]:
        """The mono float32 samples at `hertz` of which the spectrogram is taken, and the extent; errors as `encode`."""
        samples, seconds = read_sound(cell, folder, hertz=self.hertz, max_seconds=self.max_seconds,
                                      max_bytes=self.max_bytes, limit_seconds=self.limit_seconds)
        samples = np.ascontiguousarray(samples[: math.ceil(self.max_seconds * self.hertz)])
        return samples, Extent(seconds, seconds > self.max_seconds)

    def stack(self, values: Sequence[np.ndarray | None]) -> dict[str, torch.Tensor]:
        """{"log_mel": float32 (B, mels, frames), "lengths": int64 (B,) frames}; missing cells have length 0."""
        lengths = [0 if value is None else value.shape[1] for value in values]
        stacked = np.zeros((len(values), self.mels, max(lengths, default=0) or 1), np.float32)
        for row, value in enumerate(values):
            if value is not None:
                stacked[row, :, : value.shape[1]] = value
        return {"log_mel": torch.from_numpy(stacked), "lengths": torch.tensor(lengths, dtype=torch.int64)}

    def trim(self, field: Field) -> Field:
        """Cut to the longest sound in the batch."""
        assert isinstance(field, dict)
        longest = max(int(field["lengths"].max()), 1) if len(field["lengths"]) else 1
        return {"log_mel": field["log_mel"][:, :, :longest], "lengths": field["lengths"]}

    def decode(self, output: Any, context: Extent | None = None) -> np.ndarray:
        """The mel power (mels, frames) of a spectrogram; the phase, and with it the sound, is gone."""
        array = np.asarray(output.detach().cpu() if isinstance(output, torch.Tensor) else output)
        return np.expm1(np.minimum(array.astype(np.float64), 700.0)) * FLOOR

    def describe(self) -> dict[str, Any]:
        """What an encoder needs: bands, frames a second and at most, sampling rate, mean and std of all values."""
        most = 1 + math.ceil(self.max_seconds * self.hertz) // self.hop
        return {"mels": self.mels, "hertz": self.hertz, "frames_per_second": self.hertz / self.hop,
                "max_frames": most, "mean": self.mean, "std": self.std}

    def cache_key(self) -> str:
        """Codecs with equal keys encode every cell alike; mean and std are applied later, by the network."""
        return json.dumps([self.kind, self.hertz, self.mels, self.hop_seconds, self.max_seconds, self.max_bytes,
                           self.limit_seconds])

    def to_json(self) -> dict[str, Any]:
        """A JSON object that `from_json` reads back."""
        return {
            "kind": self.kind,
            "options": {"hertz": self.hertz, "mels": self.mels, "hop_seconds": self.hop_seconds,
                        "max_seconds": self._max_seconds, "max_bytes": self.max_bytes,
                        "limit_seconds": self.limit_seconds},
            "fitted": {"max_seconds": self.max_seconds, "mean": self.mean, "std": self.std},
        }

    @classmethod
    def from_json(cls, value: Any) -> Self:
        """Read what `to_json` wrote."""
        with checks.reading(cls.kind):
            options, fitted = checks.parts(value, cls.kind)
            codec = cls(**options)
            codec.max_seconds = checks.real(fitted["max_seconds"], "max_seconds", 0.01, 3600.0)
            codec.mean = checks.real(fitted["mean"], "mean", 0.0, 1e3)
            codec.std = checks.real(fitted["std"], "std", 1e-3, 1e3)
        return codec

    @property
    def hop(self) -> int:
        """Samples from frame to frame."""
        return max(1, round(self.hop_seconds * self.hertz))
