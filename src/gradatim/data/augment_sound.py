"""Sounds changed at random as waveforms, before their spectrogram is taken, and spectrograms with parts silenced.

What a microphone and a speaker do to a sound is done to its samples: it comes earlier or later, nearer or farther,
over noise, faster or slower (Ko et al., "Audio augmentation for speech recognition", Interspeech 2015: speed with the
pitch that goes with it). On the spectrogram none of these but loudness can be done exactly: noise adds to amplitudes,
not to powers, and a faster voice has other harmonics in other bands. Taking the log-mel anew costs little beside a
step of a network. Masks of time and frequency: SpecAugment, Park et al. (2019).

All numbers are functions of (seed, epoch, row), see `augment_random`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from scipy.fft import next_fast_len

from gradatim.data.augment_options import Augmentation
from gradatim.data.augment_random import RowRandom
from gradatim.data.batch import Batch
from gradatim.data.codecs import Codec
from gradatim.data.codecs.audio import AudioCodec
from gradatim.data.codecs.wave import WaveCodec
from gradatim.data.loader import Encoded, encode_table
from gradatim.data.table import Table

SPREAD = 30.0  # decibels: noise lies between `snr` and so much more below the sound
BLOCK = 512  # samples: the sound is padded to a multiple before its speed is changed
QUIETEST = 1e-20  # of a sound's mean power, for what is silent


@dataclass(frozen=True, slots=True)
class Waves:
    """The waveforms of one column of a table, from which spectrograms changed at random are made.

    >>> from gradatim.data.augment_options import Augmentation
    >>> cells = [(np.sin(np.arange(8000) * 0.1).astype(np.float32), 16_000)]
    >>> import polars as pl
    >>> table = Table(pl.DataFrame({"voice": pl.Series(cells, dtype=pl.Object)}))
    >>> waves = Waves.of(table, "voice", AudioCodec(max_seconds=1.0), Augmentation(gain=6))
    >>> waves.field(np.array([0]), seed=0, epoch=3)[0]["log_mel"].shape
    torch.Size([1, 64, 51])
    """

    name: str
    encoded: Encoded
    codec: WaveCodec
    choice: Augmentation
    numbers: np.ndarray | None = None

    @classmethod
    def of(
        cls, table: Table, name: str, codec: AudioCodec, choice: Augmentation,
        cache: dict[object, object] | None = None, numbers: np.ndarray | None = None,
    ) -> "Waves":
        """Decode the column; `cache` as in `encode_table`. Unreadable cells were named with the spectrograms.

        numbers: where the table is a part of another, which of its rows these are, in rising order.
        """
        wave = WaveCodec(codec)
        return cls(name, encode_table(table, {name: wave}, cache=cache), wave, choice, numbers)

    def field(
        self, rows: np.ndarray, *, seed: int, epoch: int, device: torch.device | str = "cpu"
    ) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
        """The spectrograms of these rows in this epoch, as the codec of the column gives them, and who is present."""
        places = rows if self.numbers is None else np.searchsorted(self.numbers, rows)
        batch = self.encoded.batch(places, [self.name]).to(device)
        field, present = batch.inputs[self.name], batch.present[self.name]
        assert isinstance(field, dict)
        waves = field["wave"].float() * field["unit"][:, None]
        random = RowRandom(rows, seed, "augment", epoch, self.name)
        waves, lengths = change_waves(waves, field["lengths"], self.choice, random, most=self.codec.most)
        return self.codec.spectrograms(waves, lengths, present), present


def waves_of(
    table: Table, codecs: Mapping[str, Codec], options: Mapping[str, Augmentation],
    cache: dict[object, object] | None = None, numbers: np.ndarray | None = None,
) -> list[Waves]:
    """The columns of sounds that are to be changed as waveforms, decoded; `numbers` as in `Waves.of`."""
    return [Waves.of(table, name, codec, options[name], cache, numbers) for name, codec in codecs.items()
            if isinstance(codec, AudioCodec) and name in options and options[name].changes_waves]


def with_waves(
    batch: Batch, waves: Sequence[Waves], *, seed: int, epoch: int, device: torch.device | str = "cpu"
) -> Batch:
    """The batch with the spectrograms of these columns made anew from changed waveforms."""
    inputs, present = dict(batch.inputs), dict(batch.present)
    for each in waves:
        inputs[each.name], present[each.name] = each.field(batch.rows, seed=seed, epoch=epoch, device=device)
    return Batch(batch.rows, inputs, batch.targets, present, batch.context)


def change_waves(
    waves: torch.Tensor, lengths: torch.Tensor, choice: Augmentation, random: RowRandom, *, most: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Waves float32 (B, N), of which lengths (B,) samples count, at another speed, later, over noise and louder.

    speed: up to 1 + this times faster or slower, the pitch with it; no sound grows beyond `most` samples. shift: up to
    this share of a sound's length, earlier or later; what is moved out is gone, what is moved in is silence. snr:
    white noise so many decibels below the sound's mean power, drawn from this to 30 more. gain: decibels up to, both
    ways. Nothing sounds beyond a sound's own length.
    """
    if choice.speed:
        waves, lengths = _at_speed(waves, lengths, (1 + choice.speed) ** random.spread("speed", 1.0), most)
    inside = torch.arange(waves.shape[1], device=waves.device) < lengths[:, None]
    if choice.shift:
        waves = _shifted(waves, lengths, random.spread("shift", choice.shift)) * inside
    if choice.snr:
        ratio = 10 ** (-(choice.snr + SPREAD * random.uniform("snr")[:, 0]) / 20)
        power = waves.double().square().sum(1) / lengths.clamp(min=1)
        level = power.clamp(min=QUIETEST).sqrt() * torch.from_numpy(ratio).to(waves.device)
        noise = random.noise("noise", (waves.shape[1],), waves.device)
        waves = waves + noise * level.float()[:, None] * inside
    if choice.gain:
        factor = torch.from_numpy(10 ** (random.spread("gain", choice.gain) / 20))
        waves = waves * factor.to(waves.device, waves.dtype)[:, None]
    return waves, lengths


def _shifted(waves: torch.Tensor, lengths: torch.Tensor, shares: np.ndarray) -> torch.Tensor:
    """Each row moved by a share of its length, silence in its wake."""
    steps = torch.from_numpy(np.rint(shares * lengths.cpu().numpy()).astype(np.int64)).to(waves.device)
    places = torch.arange(waves.shape[1], device=waves.device) - steps[:, None]
    there = (places >= 0) & (places < lengths[:, None])
    return waves.gather(1, places.clamp(0, waves.shape[1] - 1)) * there


def _at_speed(
    waves: torch.Tensor, lengths: torch.Tensor, speeds: np.ndarray, most: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Each row played so many times faster, by cutting or padding its Fourier transform: no frequency but its own.

    The transform is taken of the row padded to a multiple of BLOCK and of a length near the one wanted that is a
    product of small primes, so that the speed is met to a percent and the row's neighbours have no say.
    """
    rows, counts = [], []
    for wave, length, speed in zip(waves, lengths.tolist(), speeds.tolist()):
        before = BLOCK * (length // BLOCK + 1)  # at least one silent sample: the transform takes the row for a circle
        after = next_fast_len(max(round(before / speed), 1), real=True)
        spectrum = torch.fft.rfft(wave[:length], before)
        count = min(round(length * after / before), most)
        rows.append(torch.fft.irfft(spectrum, after)[:count] * (after / before))
        counts.append(count)
    moved = waves.new_zeros(len(rows), max([1, *counts]))
    for place, row in enumerate(rows):
        moved[place, : len(row)] = row
    return moved, torch.tensor(counts, dtype=lengths.dtype, device=lengths.device)


def mask_sounds(
    log_mel: torch.Tensor, lengths: torch.Tensor, options: Augmentation, random: RowRandom
) -> torch.Tensor:
    """Silence one run of frames within each sound and one run of bands; float32 (B, mels, T)."""
    batch, mels, frames = log_mel.shape
    hidden = torch.zeros(batch, mels, frames, dtype=torch.bool, device=log_mel.device)
    # At most half of a sound is hidden, whatever the option says, so that something is left to learn from.
    if options.time_mask:
        known = lengths.cpu().numpy()
        runs = _runs(known, np.minimum(known // 2, options.time_mask), frames, random, "time mask")
        hidden |= runs.to(log_mel.device)[:, None, :]
    if options.frequency_mask:
        widest = np.full(batch, min(options.frequency_mask, mels // 2))
        runs = _runs(np.full(batch, mels), widest, mels, random, "frequency mask")
        hidden |= runs.to(log_mel.device)[:, :, None]
    return log_mel.masked_fill(hidden, 0.0)


def _runs(lengths: np.ndarray, widest: np.ndarray, places: int, random: RowRandom, purpose: str) -> torch.Tensor:
    """One run of up to `widest` places inside each length: bool (B, places)."""
    size, start = random.uniform(purpose, 2).T
    width = np.floor(size * (widest + 1))
    first = np.floor(start * (lengths - width + 1))
    place = np.arange(places)
    return torch.from_numpy((place >= first[:, None]) & (place < (first + width)[:, None]))
