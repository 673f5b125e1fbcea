"""The waveform of a sound beside its spectrogram: what training changes before the log-mel is taken.

Kept as int16 with one scale a sound: two bytes a sample, 32 kB a second at 16 kHz where the log-mel takes 26 kB.
16-bit recordings at the codec's own rate are kept exactly; what is louder than full scale keeps its height.
"""

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch

from gradatim.data.batch import Field
from gradatim.data.codecs.audio import AudioCodec
from gradatim.data.codecs.mel import log_mel_rows
from gradatim.errors import SchemaError

FULL = 32768.0
Wave = tuple[np.ndarray, float]  # int16 (N,) and what one unit of it is worth


class WaveCodec:
    """The samples that `codec` takes its spectrogram of; never stored with a run, nothing in it is fitted.

    >>> codec = AudioCodec(max_seconds=1.0)
    >>> values, _ = WaveCodec(codec).encode((np.full(3, 0.5, np.float32), 16_000))
    >>> values[0].tolist(), values[1] * 32768
    ([16384, 16384, 16384], 1.0)
    """

    kind = "audio"

    def __init__(self, codec: AudioCodec) -> None:
        self.codec = codec

    @property
    def most(self) -> int:
        """The largest number of samples."""
        return math.ceil(self.codec.max_seconds * self.codec.hertz)

    def fit(self, cells: Sequence[object], folder: Path | None = None) -> Self:
        """Nothing is measured: the spectrogram's codec has its length already."""
        return self

    def encode(self, cell: object, folder: Path | None = None) -> tuple[Wave | None, None]:
        """The samples and their unit; (None, None) when missing. Errors: as of the spectrogram's codec."""
        if cell is None:
            return None, None
        samples, _ = self.codec.samples(cell, folder)
        unit = max(1.0, float(np.abs(samples).max(initial=0.0))) / FULL
        return (np.clip(np.rint(samples / unit), -FULL, FULL - 1).astype(np.int16), unit), None

    def stack(self, values: Sequence[Wave | None]) -> dict[str, torch.Tensor]:
        """{"wave": int16 (B, N), "unit": float32 (B,), "lengths": int64 (B,) samples}; missing cells have length 0."""
        lengths = [0 if value is None else len(value[0]) for value in values]
        stacked = np.zeros((len(values), max(lengths, default=0) or 1), np.int16)
        for row, value in enumerate(values):
            if value is not None:
                stacked[row, : len(value[0])] = value[0]
        units = [0.0 if value is None else value[1] for value in values]
        return {"wave": torch.from_numpy(stacked), "unit": torch.tensor(units, dtype=torch.float32),
                "lengths": torch.tensor(lengths, dtype=torch.int64)}

    def trim(self, field: Field) -> Field:
        """Cut to the longest sound in the batch."""
        assert isinstance(field, dict)
        longest = max(int(field["lengths"].max()), 1) if len(field["lengths"]) else 1
        return {**field, "wave": field["wave"][:, :longest]}

    def spectrograms(
        self, waves: torch.Tensor, lengths: torch.Tensor, present: torch.Tensor
    ) -> dict[str, torch.Tensor]:
        """What the spectrogram's codec makes of float waves (B, N) of so many samples; length 0 where not present."""
        codec = self.codec
        log_mel, frames = log_mel_rows(waves, lengths, hertz=codec.hertz, mels=codec.mels, hop=codec.hop)
        there = present.to(log_mel.device)
        return {"log_mel": log_mel * there[:, None, None], "lengths": frames * there}

    def decode(self, output: Any, context: None = None) -> np.ndarray:
        """float32 samples (N,) of (int16 samples, unit)."""
        values, unit = output
        return np.asarray(values, dtype=np.float32) * np.float32(unit)

    def describe(self) -> dict[str, Any]:
        """Sampling rate and largest number of samples."""
        return {"hertz": self.codec.hertz, "max_samples": self.most}

    def cache_key(self) -> str:
        """Codecs with equal keys encode every cell alike."""
        return json.dumps(["wave", json.loads(self.codec.cache_key())])

    def to_json(self) -> dict[str, Any]:
        """Refused: waves are for training alone."""
        raise SchemaError("expected the codec of the spectrogram, received that of the waves, which is never stored")

    @classmethod
    def from_json(cls, value: Any) -> Self:
        """Refused, as `to_json`."""
        raise SchemaError("expected the codec of the spectrogram, received that of the waves, which is never stored")
