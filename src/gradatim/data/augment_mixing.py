"""Mixup and cutmix: a row mixed with another one of its batch, and its label with the other's.

Mixup: Zhang et al. (2018), eq. 1. Cutmix: Yun et al. (2019), algorithm A1. Weights and windows are the row's own,
drawn from (seed, epoch, row); only who the other one is depends on the batch.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from scipy.special import betaincinv

from gradatim.data.augment_random import RowRandom
from gradatim.data.batch import Batch, Field
from gradatim.errors import SchemaError

MIXABLE = ("image", "audio", "number")


@dataclass(frozen=True, slots=True)
class Mixed:
    """A batch mixed with a permutation of itself: row i is weight[i] · row i + (1 − weight[i]) · row pair[i].

    The loss is mixed alike: weight · loss(output, y) + (1 − weight) · loss(output, y[pair]).
    """

    batch: Batch
    pair: torch.Tensor
    weight: torch.Tensor


def mix(batch: Batch, kinds: Mapping[str, str], *, mixup: float, cutmix: float, seed: int, epoch: int) -> Mixed:
    """Mix every row with another one by mixup, by cutmix, or, where both have a strength, by either.

    mixup, cutmix: α of Beta(α, α), 0: off. Rows whose partner lacks a cell that they have, or the reverse, keep
    weight 1. Errors: SchemaError when an input cannot be mixed: a text or a category by mixup, anything but a picture
    by cutmix.
    """
    for name, strength, fit in (("mixup", mixup, MIXABLE), ("cutmix", cutmix, ("image",))):
        unfit = [column for column in batch.inputs if kinds[column] not in fit]
        if strength and unfit:
            raise SchemaError(f"{name}: expected inputs of kind {', '.join(fit)}; {', '.join(unfit)} cannot be mixed; "
                              f"set {name} to 0")
    random = RowRandom(batch.rows, seed, "mix", epoch)
    pair = partners(random)
    by_window = random.chance("which", 0.5 if mixup else 1.0) if cutmix else np.zeros(len(batch), dtype=bool)
    share = np.where(by_window, beta(random, "cutmix share", cutmix), beta(random, "mixup share", mixup))
    for name in batch.inputs:
        there = batch.present.get(name)
        if there is not None:
            known = there.cpu().numpy()
            share = np.where(known == known[pair], share, 1.0)
    device = _device(batch)
    other = torch.from_numpy(pair).to(device)
    inputs = dict(batch.inputs)
    weight = share.copy()
    if by_window.any():
        for name, value in batch.inputs.items():
            assert isinstance(value, torch.Tensor)
            pasted, weight = paste_windows(value, other, share, by_window, random)
            inputs[name] = pasted
    blended = torch.from_numpy(np.where(by_window, 1.0, share)).to(device)
    if not by_window.all():
        inputs = {name: _blend(inputs[name], batch.inputs[name], other, blended) for name in inputs}
    return Mixed(Batch(batch.rows, inputs, batch.targets, batch.present, batch.context), other,
                 torch.from_numpy(weight).to(device, torch.float32))


def partners(random: RowRandom) -> np.ndarray:
    """The other row of each row, int64 (B,), a permutation: the next one in the order of the rows' own numbers.

    Only with itself where it is alone. The order of rows in the batch has no say.
    """
    order = np.argsort(random.uniform("partner")[:, 0], kind="stable")
    pair = np.empty(len(order), dtype=np.int64)
    pair[order] = np.roll(order, -1)
    return pair


def beta(random: RowRandom, purpose: str, strength: float) -> np.ndarray:
    """A number of Beta(α, α) for each row by the inverse of its distribution function; 1 where α is 0."""
    if not strength:
        return np.ones(len(random))
    return betaincinv(strength, strength, random.uniform(purpose)[:, 0])


def paste_windows(
    pictures: torch.Tensor, pair: torch.Tensor, share: np.ndarray, chosen: np.ndarray, random: RowRandom
) -> tuple[torch.Tensor, np.ndarray]:
    """A window of the partner pasted into the chosen rows of pictures (B, C, H, W), and the share that is left.

    The window has the picture's aspect and 1 − share of its area, its middle lies anywhere, and what falls outside is
    cut, so the share that counts is that of the pixels.
    """
    height, width = pictures.shape[-2:]
    middle = random.uniform("window", 2) * [height, width]
    inside = []
    for axis, count in enumerate((height, width)):
        half = count * np.sqrt(np.clip(1 - share, 0, 1)) / 2
        start, stop = (np.clip(np.round(middle[:, axis] + sign * half), 0, count) for sign in (-1, 1))
        places = np.arange(count)
        inside.append((places >= start[:, None]) & (places < stop[:, None]) & chosen[:, None])
    left = 1 - inside[0].sum(1) * inside[1].sum(1) / (height * width)
    window = torch.from_numpy(inside[0][:, None, :, None] & inside[1][:, None, None, :]).to(pictures.device)
    return torch.where(window, pictures[pair], pictures), np.where(chosen, left, share)


def _blend(value: Field, given: Field, pair: torch.Tensor, weight: torch.Tensor) -> Field:
    """weight · value + (1 − weight) · the partner's given value."""
    if isinstance(value, dict):
        assert isinstance(given, dict)
        own, lengths = value["log_mel"], given["lengths"]
        longest = torch.where(weight < 1, torch.maximum(lengths, lengths[pair]), lengths)
        return {"log_mel": _sum(own, given["log_mel"], pair, weight), "lengths": longest}
    assert isinstance(given, torch.Tensor)
    return _sum(value, given, pair, weight)


def _sum(value: torch.Tensor, given: torch.Tensor, pair: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    share = weight.float().view(-1, *[1] * (value.ndim - 1))
    mixed = share * value + (1 - share) * given[pair]
    return mixed.round_().to(torch.uint8) if value.dtype == torch.uint8 else mixed


def _device(batch: Batch) -> torch.device:
    for value in batch.inputs.values():
        return (next(iter(value.values())) if isinstance(value, dict) else value).device
    return torch.device("cpu")
