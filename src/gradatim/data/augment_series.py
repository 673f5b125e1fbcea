"""Series and sounds changed at random: noise, height, where a pattern lies, how fast it goes.

A row's values are read anew at other moments, by the straight line between neighbours: a window stretched to the whole
(Le Guennec, Malinowski and Tavenard, "Data augmentation for time series classification", 2016), a speed that varies
along the row, a shift. Sounds are changed as log-mel spectrograms, which hold the power of each band: louder is the
power times a factor, noise is power added, faster is fewer frames with every band moved up.
"""

import math

import numpy as np
import torch

from gradatim.data.augment_options import Augmentation
from gradatim.data.augment_random import RowRandom
from gradatim.data.batch import Field

LARGEST_LOG = 60.0  # of log(1 + power): beyond it exp would overflow float32 once multiplied
OCTAVE = math.log(2.0)


def change_series(field: dict[str, torch.Tensor], choice: Augmentation, random: RowRandom) -> Field:
    """Values float (B, C, T) moved in time, then in height; lengths stay, and so does the padding of zeros."""
    values, lengths = field["values"], field["lengths"]
    inside = torch.arange(values.shape[2], device=values.device) < lengths[:, None]
    changed = values
    if choice.crop or choice.warp or choice.shift:
        changed = _read_at(values, _moments(lengths.cpu().numpy(), values.shape[2], choice, random))
    if choice.scale:
        factor = (1 + choice.scale) ** random.spread("scale", 1.0)
        changed = changed * torch.from_numpy(factor).to(values.device, values.dtype)[:, None, None]
    if choice.jitter:
        changed = changed + choice.jitter * random.noise("jitter", tuple(values.shape[1:]), values.device).to(
            values.dtype)
    return {**field, "values": changed * inside[:, None].to(values.dtype)}


def _moments(lengths: np.ndarray, steps: int, choice: Augmentation, random: RowRandom) -> np.ndarray:
    """Where each step of each row reads, float64 (B, steps), inside the row."""
    last = np.maximum(lengths - 1, 0).astype(np.float64)[:, None]
    share = np.arange(steps) / np.maximum(last, 1.0)
    if choice.warp:  # the speed is 1 + warp · cos(…): never backwards, and both ends stay
        phase = 2 * np.pi * random.uniform("warp phase")
        strength = choice.warp * random.uniform("warp") / (2 * np.pi)
        share = share + strength * (np.sin(2 * np.pi * share + phase) - np.sin(phase))
    if choice.crop:
        size, start = random.uniform("crop", 2).T[:, :, None]
        kept = choice.crop + (1 - choice.crop) * size
        share = (1 - kept) * start + kept * share
    moments = share * last
    if choice.shift:
        moments = moments + np.round(random.spread("shift", choice.shift)[:, None] * last)
    return np.clip(moments, 0.0, last)


def _read_at(values: torch.Tensor, moments: np.ndarray) -> torch.Tensor:
    """Values (B, C, T) at moments (B, T'), by the straight line between steps."""
    places = torch.from_numpy(moments).to(values.device)
    before = places.floor()
    after = places.ceil().long()[:, None].expand(-1, values.shape[1], -1)
    part = (places - before).to(values.dtype)[:, None]
    index = before.long()[:, None].expand(-1, values.shape[1], -1)
    return values.gather(2, index) * (1 - part) + values.gather(2, after) * part


def change_sounds(field: dict[str, torch.Tensor], choice: Augmentation, random: RowRandom) -> dict[str, torch.Tensor]:
    """Log-mel (B, mels, T) louder or softer, with noise, shifted and at another speed; lengths stay.

    gain: decibels up to, both ways; noise: its power, up to this share of the sound's mean power in every band; shift:
    share of the frames; speed: up to 1 + this times faster or slower, the bands move along with the pitch.
    """
    log_mel, lengths = field["log_mel"], field["lengths"]
    inside = torch.arange(log_mel.shape[2], device=log_mel.device) < lengths[:, None]
    changed = log_mel
    if choice.shift or choice.speed:
        changed = _moved(log_mel, lengths, choice, random)
    if choice.gain or choice.noise:
        power = torch.expm1(changed.clamp(max=LARGEST_LOG))
        if choice.noise:
            frames = inside.sum(1).clamp(min=1)[:, None]
            mean = (power * inside[:, None]).sum(2) / frames
            share = torch.from_numpy(choice.noise * random.uniform("noise")[:, 0]).to(log_mel.device, log_mel.dtype)
            # The power of Gaussian noise in a band is exponentially distributed about its mean.
            level = random.levels("noise grain", int(np.prod(log_mel.shape[1:])), log_mel.device).float()
            grain = -torch.log((level + 0.5) / 65536.0).view(log_mel.shape)
            power = power + share[:, None, None] * mean.mean(1)[:, None, None] * grain
        if choice.gain:
            factor = 10 ** (random.spread("gain", choice.gain) / 10)
            power = power * torch.from_numpy(factor).to(log_mel.device, log_mel.dtype)[:, None, None]
        changed = torch.log1p(power)
    return {**field, "log_mel": changed * inside[:, None].to(log_mel.dtype)}


def _moved(
    log_mel: torch.Tensor, lengths: torch.Tensor, choice: Augmentation, random: RowRandom
) -> torch.Tensor:
    """Frames read later, earlier, faster or slower about the middle; silence beyond the ends."""
    last = np.maximum(lengths.cpu().numpy() - 1, 0).astype(np.float64)[:, None]
    speed = (1 + choice.speed) ** random.spread("speed", 1.0)[:, None]
    moments = last / 2 + (np.arange(log_mel.shape[2]) - last / 2) * speed
    moments = moments + np.round(random.spread("shift", choice.shift)[:, None] * last)
    outside = torch.from_numpy((moments < 0) | (moments > last)).to(log_mel.device)
    changed = _read_at(log_mel, np.clip(moments, 0.0, last)).masked_fill(outside[:, None], 0.0)
    if choice.speed:
        # Above 1 kHz a mel band lies log(f) high: a speed s lifts every band by the same number of bands, about.
        bands = log_mel.shape[1]
        lift = np.log(speed) / OCTAVE * bands / 6.0
        places = np.clip(np.arange(bands)[None] - lift, 0.0, bands - 1.0)
        changed = _read_at(changed.transpose(1, 2), places).transpose(1, 2)
    return changed
