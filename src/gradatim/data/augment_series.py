"""Series changed at random: noise, height, where a pattern lies, how fast it goes.

A row's values are read anew at other moments, by the straight line between neighbours: a window stretched to the whole
(Le Guennec, Malinowski and Tavenard, "Data augmentation for time series classification", 2016), a speed that varies
along the row, a shift.
"""

import numpy as np
import torch

from gradatim.data.augment_options import Augmentation
from gradatim.data.augment_random import RowRandom
from gradatim.data.batch import Field


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
