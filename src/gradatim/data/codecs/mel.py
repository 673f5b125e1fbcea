"""Mel filter bank and log-mel spectrogram, on tensors.

The bank is Slaney's (Auditory Toolbox, 1998): linear below 1 kHz, logarithmic above, each triangle of unit area, as
librosa's default. The logarithm is log(1 + power / FLOOR): silence is exactly 0, so that padding with zeros is
silence; FLOOR lies some 80 dB below the power of a full-scale tone.
"""

import math
from functools import lru_cache

import numpy as np
import torch

FLOOR = 1e-6
WINDOW_SECONDS = 0.025


def mel_of_hertz(hertz: np.ndarray) -> np.ndarray:
    """Slaney's mel scale: 3 mel for 200 Hz below 1 kHz, 27 mel for a factor of 6.4 above."""
    hertz = np.asarray(hertz, dtype=np.float64)
    above = 15.0 + np.log(np.maximum(hertz, 1.0) / 1000.0) * 27.0 / math.log(6.4)
    return np.where(hertz < 1000.0, hertz * 3.0 / 200.0, above)


def hertz_of_mel(mel: np.ndarray) -> np.ndarray:
    """The inverse of `mel_of_hertz`."""
    mel = np.asarray(mel, dtype=np.float64)
    return np.where(mel < 15.0, mel * 200.0 / 3.0, 1000.0 * np.exp((mel - 15.0) * math.log(6.4) / 27.0))


@lru_cache(maxsize=16)
def mel_bank(mels: int, bins: int, hertz: int) -> torch.Tensor:
    """Triangles on the power spectrum: float32 (mels, bins); bins = transform length / 2 + 1; hertz: sampling rate.

    >>> mel_bank(4, 257, 16000).shape
    torch.Size([4, 257])
    """
    centres = hertz_of_mel(np.linspace(0.0, float(mel_of_hertz(np.array(hertz / 2))), mels + 2))
    frequencies = np.linspace(0.0, hertz / 2, bins)
    rising = (frequencies - centres[:-2, None]) / np.diff(centres)[:-1, None]
    falling = (centres[2:, None] - frequencies) / np.diff(centres)[1:, None]
    bank = np.maximum(0.0, np.minimum(rising, falling)) * (2.0 / (centres[2:] - centres[:-2]))[:, None]
    return torch.from_numpy(bank.astype(np.float32))


@lru_cache(maxsize=16)
def _window(length: int) -> torch.Tensor:
    return torch.hann_window(length)


def mel_power(samples: torch.Tensor, *, hertz: int, mels: int, hop: int) -> torch.Tensor:
    """Mel power spectrogram of mono float32 samples (…, N): (…, mels, 1 + N // hop), frames centred, zeros outside."""
    length = round(WINDOW_SECONDS * hertz)
    transform = 1 << (length - 1).bit_length()
    spectrum = torch.stft(samples, transform, hop, length, _window(length).to(samples.device), center=True,
                          pad_mode="constant", return_complex=True)
    bank = mel_bank(mels, transform // 2 + 1, hertz).to(samples.device)
    return bank @ (spectrum.real.square() + spectrum.imag.square())


def log_mel(samples: torch.Tensor, *, hertz: int, mels: int, hop: int) -> torch.Tensor:
    """log(1 + mel power / FLOOR), ≥ 0, float32 (mels, 1 + N // hop); an empty sound is one frame of silence."""
    if samples.numel() == 0:
        return torch.zeros(mels, 1)
    return torch.log1p(mel_power(samples, hertz=hertz, mels=mels, hop=hop) / FLOOR)


def log_mel_rows(
    samples: torch.Tensor, lengths: torch.Tensor, *, hertz: int, mels: int, hop: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """`log_mel` of many sounds at once: samples (B, N), of which lengths (B,) count and the rest are 0.

    Returns float32 (B, mels, 1 + N // hop), silent after each sound's own 1 + length // hop frames, and these numbers.
    """
    power = mel_power(samples, hertz=hertz, mels=mels, hop=hop)
    frames = 1 + lengths // hop
    inside = torch.arange(power.shape[2], device=power.device) < frames[:, None]
    return torch.log1p(power / FLOOR) * inside[:, None], frames
