"""Augmentation: a batch changed at random in ways that leave its label true, as a pure function of (seed, epoch, step).

Everything works on whole batches of tensors, in the form in which they are cached: uint8 pictures stay uint8,
log-mel stays log-mel, token ids stay ids. Missing cells stay as they are. Sources: crops and flips, Krizhevsky et al.
(2012); cutout, DeVries and Taylor (2017); time and frequency masks, SpecAugment, Park et al. (2019); word
dropout, Iyyer et al. (2015); mixup, Zhang et al. (2018).
"""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from gradatim.data.batch import Batch, Field
from gradatim.data.codecs import checks
from gradatim.errors import SchemaError
from gradatim.randomness import seed_of, torch_generator

UNKNOWN = 1  # token id of a dropped word
MIXABLE = ("image", "audio", "number")


@dataclass(frozen=True, slots=True)
class Augmentation:
    """What may happen to the cells of one column; zero or False: it does not. An option of another kind is ignored.

    Pictures: flip (left–right, half of them), shift_pixels (up to, both ways, edge repeated), rotate_degrees (up to,
    both ways), cutout (side of a square filled with `fill`, in pixels), brightness (up to this share of the
    range is added or taken), contrast (the spread about the picture's mean times 1 ± this), noise (standard deviation,
    as a share of the range). Sounds: time_mask (up to so many frames are silenced), frequency_mask (up to so many
    bands). Texts: word_dropout (share of tokens that become unknown). Numbers: noise, in standard deviations.
    mixup_alpha is for `mixup`.
    """

    flip: bool = False
    shift_pixels: int = 0
    rotate_degrees: float = 0.0
    cutout: int = 0
    fill: int = 128
    brightness: float = 0.0
    contrast: float = 0.0
    noise: float = 0.0
    time_mask: int = 0
    frequency_mask: int = 0
    word_dropout: float = 0.0
    mixup_alpha: float = 0.0

    def __post_init__(self) -> None:
        checks.truth(self.flip, "flip")
        for name, high in (("shift_pixels", 1024), ("cutout", 1024), ("fill", 255), ("time_mask", 10**6),
                           ("frequency_mask", 512)):
            checks.whole(getattr(self, name), name, 0, high)
        for name, most in (("rotate_degrees", 180.0), ("brightness", 1.0), ("contrast", 1.0), ("noise", 10.0),
                           ("word_dropout", 1.0), ("mixup_alpha", 100.0)):
            checks.real(getattr(self, name), name, 0.0, most)

    def to_json(self) -> dict[str, Any]:
        """A JSON object that `from_json` reads back."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: Any) -> "Augmentation":
        """Read what `to_json` wrote; unknown options are an error."""
        known = [entry.name for entry in fields(cls)]
        if not isinstance(value, dict) or not set(value) <= set(known):
            raise SchemaError(f"expected augmentation options among {', '.join(known)}")
        return cls(**value)


def default_augmentation(kind: str, describe: Mapping[str, Any]) -> Augmentation:
    """A careful choice from what the codec says of the column.

    Pictures are shifted by up to a fourteenth of their side, but never flipped or turned: a mirrored letter or digit
    is another one, and only the user knows. Sounds lose up to a tenth of their frames and an eighth of their bands;
    texts one token in twenty. Numbers and categories are left alone.

    >>> default_augmentation("image", {"size": 28, "mean": [0.5]}).shift_pixels
    2
    """
    if kind == "image":
        mean = describe.get("mean") or [0.5]
        return Augmentation(shift_pixels=max(1, round(int(describe["size"]) / 14)),
                            fill=round(255 * sum(mean) / len(mean)))
    if kind == "audio":
        return Augmentation(time_mask=int(describe.get("max_frames", 0)) // 10,
                            frequency_mask=int(describe["mels"]) // 8)
    if kind == "text":
        return Augmentation(word_dropout=0.05)
    return Augmentation()


def augment(batch: Batch, options: Mapping[str, Augmentation], kinds: Mapping[str, str], *, seed: int, epoch: int,
            step: int) -> Batch:
    """A changed copy of the batch; the batch given is left as it is.

    options: column → what may happen to it (columns without an entry are passed on); kinds: column → its kind.
    The same arguments give the same batch on every run.
    """
    inputs = dict(batch.inputs)
    for name, value in batch.inputs.items():
        choice = options.get(name)
        if choice is None or choice == Augmentation():
            continue
        generator = torch_generator(seed, "augment", epoch, step, name)
        kind = kinds[name]
        if kind == "image" and isinstance(value, torch.Tensor):
            inputs[name] = _kept_absent(augment_pictures(value, choice, generator), value, batch.present.get(name))
        elif kind == "number" and isinstance(value, torch.Tensor) and choice.noise:
            noisy = value + choice.noise * torch.randn(value.shape, generator=generator)
            inputs[name] = _kept_absent(noisy, value, batch.present.get(name))
        elif kind == "audio" and isinstance(value, dict):
            inputs[name] = {**value, "log_mel": mask_sounds(value["log_mel"], value["lengths"], choice, generator)}
        elif kind == "text" and isinstance(value, dict) and choice.word_dropout:
            ids = value["ids"]
            dropped = (torch.rand(ids.shape, generator=generator) < choice.word_dropout) & (ids != 0)
            inputs[name] = {**value, "ids": ids.masked_fill(dropped, UNKNOWN)}
    return Batch(batch.rows, inputs, batch.targets, batch.present, batch.context)


def augment_pictures(pictures: torch.Tensor, options: Augmentation, generator: torch.Generator) -> torch.Tensor:
    """Pictures uint8 (B, C, H, W) changed at random, each in its own way; uint8 (B, C, H, W)."""
    changed = pictures
    if options.rotate_degrees:
        changed = _rotate(changed, options.rotate_degrees, generator)
    if options.flip or options.shift_pixels:
        changed = _flip_and_shift(changed, options, generator)
    if options.brightness or options.contrast or options.noise:
        changed = _relight(changed, options, generator)
    if options.cutout:
        changed = _cut_out(changed, options.cutout, options.fill, generator)
    return changed


def mask_sounds(log_mel: torch.Tensor, lengths: torch.Tensor, options: Augmentation,
                generator: torch.Generator) -> torch.Tensor:
    """Silence one run of frames within each sound and one run of bands; float32 (B, mels, T)."""
    batch, mels, frames = log_mel.shape
    hidden = torch.zeros(batch, mels, frames, dtype=torch.bool)
    # At most half of a sound is hidden, whatever the option says, so that something is left to learn from.
    if options.time_mask:
        widest = torch.minimum(lengths // 2, torch.tensor(options.time_mask))
        hidden |= _runs(lengths, widest, frames, generator)[:, None, :]
    if options.frequency_mask:
        bands = torch.full((batch,), mels)
        widest = torch.full((batch,), min(options.frequency_mask, mels // 2))
        hidden |= _runs(bands, widest, mels, generator)[:, :, None]
    return log_mel.masked_fill(hidden, 0.0)


@dataclass(frozen=True, slots=True)
class Mixed:
    """A batch mixed with a permutation of itself: row i is weight[i] · row i + (1 − weight[i]) · row pair[i].

    The loss is mixed alike: weight · loss(output, y) + (1 − weight) · loss(output, y[pair]).
    """

    batch: Batch
    pair: torch.Tensor
    weight: torch.Tensor


def mixup(batch: Batch, alpha: float, kinds: Mapping[str, str], *, seed: int, epoch: int, step: int) -> Mixed:
    """Mix every row with another one, with one weight from Beta(alpha, alpha) (Zhang et al. 2018, eq. 1).

    Rows whose pair lacks a cell that they have, or the reverse, keep weight 1. Errors: SchemaError when an input is a
    text or a category, whose cells cannot be mixed before they are embedded.
    """
    unfit = [name for name in batch.inputs if kinds[name] not in MIXABLE]
    if unfit:
        raise SchemaError(f"mixup: expected inputs of kind {', '.join(MIXABLE)}; {', '.join(unfit)} cannot be mixed; "
                          "set mixup_alpha to 0")
    generator = torch_generator(seed, "mixup", epoch, step)
    rows = len(batch)
    pair = torch.randperm(rows, generator=generator)
    share = float(np.random.default_rng(seed_of(seed, "mixup share", epoch, step)).beta(alpha, alpha)) if alpha else 1.0
    weight = torch.full((rows,), share)
    for name in batch.inputs:
        there = batch.present.get(name)
        if there is not None:
            weight = torch.where(there == there[pair], weight, torch.ones(()))
    inputs: dict[str, Field] = {}
    for name, value in batch.inputs.items():
        if isinstance(value, dict):
            lengths = torch.where(weight < 1, torch.maximum(value["lengths"], value["lengths"][pair]), value["lengths"])
            inputs[name] = {"log_mel": _mix(value["log_mel"], pair, weight), "lengths": lengths}
        else:
            inputs[name] = _mix(value, pair, weight)
    return Mixed(Batch(batch.rows, inputs, batch.targets, batch.present, batch.context), pair, weight)


def _mix(value: torch.Tensor, pair: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    share = weight.view(-1, *[1] * (value.ndim - 1))
    mixed = share * value + (1 - share) * value[pair]
    return mixed.round_().to(torch.uint8) if value.dtype == torch.uint8 else mixed


def _kept_absent(changed: torch.Tensor, value: torch.Tensor, present: torch.Tensor | None) -> torch.Tensor:
    if present is None or bool(present.all()):
        return changed
    return torch.where(present.view(-1, *[1] * (value.ndim - 1)), changed, value)


def _flip_and_shift(pictures: torch.Tensor, options: Augmentation, generator: torch.Generator) -> torch.Tensor:
    batch, channels, height, width = pictures.shape
    most = options.shift_pixels
    down, right = torch.randint(-most, most + 1, (2, batch, 1), generator=generator)
    columns = (torch.arange(width) + right).clamp_(0, width - 1)
    if options.flip:
        flipped = torch.rand(batch, 1, generator=generator) < 0.5
        columns = torch.where(flipped, width - 1 - columns, columns)
    if most:
        # Whole rows first, which are copied in one go, then columns within each row.
        rows = (torch.arange(height) + down).clamp_(0, height - 1)
        first = (torch.arange(batch * channels) * height).view(batch, channels, 1)
        index = (first + rows[:, None]).view(-1)
        pictures = pictures.reshape(-1, width).index_select(0, index).view(batch, channels, height, width)
    return pictures.gather(3, columns.view(batch, 1, 1, width).expand(batch, channels, height, width))


def _rotate(pictures: torch.Tensor, degrees: float, generator: torch.Generator) -> torch.Tensor:
    batch, _, height, width = pictures.shape
    angle = (torch.rand(batch, generator=generator) * 2 - 1) * math.radians(degrees)
    cosine, sine, zero = angle.cos(), angle.sin(), torch.zeros(batch)
    # grid_sample measures both axes from −1 to 1: a rotation of a picture that is no square needs its aspect.
    turn = torch.stack([torch.stack([cosine, -sine * (height / width), zero], 1),
                        torch.stack([sine * (width / height), cosine, zero], 1)], 1)
    grid = F.affine_grid(turn, list(pictures.shape), align_corners=False)
    turned = F.grid_sample(pictures.float(), grid, mode="bilinear", padding_mode="border", align_corners=False)
    return turned.round_().clamp_(0, 255).to(torch.uint8)


def _relight(pictures: torch.Tensor, options: Augmentation, generator: torch.Generator) -> torch.Tensor:
    batch = len(pictures)
    shift, stretch = (torch.rand(2, batch, 1, 1, 1, generator=generator) * 2 - 1).unbind(0)
    changed = pictures.float()
    if options.contrast:
        mean = changed.mean((1, 2, 3), keepdim=True)
        changed = (changed - mean) * (1 + options.contrast * stretch) + mean
    if options.brightness:
        changed = changed + 255 * options.brightness * shift
    if options.noise:
        changed = changed + 255 * options.noise * torch.randn(changed.shape, generator=generator)
    return changed.round().clamp_(0, 255).to(torch.uint8)


def _cut_out(pictures: torch.Tensor, side: int, fill: int, generator: torch.Generator) -> torch.Tensor:
    batch, _, height, width = pictures.shape
    # The centre may lie anywhere, so that part of the square may fall outside (DeVries and Taylor, section 3.2).
    middle = torch.rand(2, batch, 1, generator=generator) * torch.tensor([height, width]).view(2, 1, 1)
    top, left = (middle - side / 2).round().long()
    down, along = torch.arange(height), torch.arange(width)
    rows = (down >= top) & (down < top + side)
    columns = (along >= left) & (along < left + side)
    return pictures.masked_fill((rows[:, :, None] & columns[:, None, :])[:, None], fill)


def _runs(lengths: torch.Tensor, widest: torch.Tensor, places: int, generator: torch.Generator) -> torch.Tensor:
    """One run of up to `widest` places inside each length: bool (B, places)."""
    size, start = torch.rand(2, len(lengths), generator=generator)
    width = (size * (widest + 1)).long()
    first = (start * (lengths - width + 1)).long()
    place = torch.arange(places)
    return (place >= first[:, None]) & (place < (first + width)[:, None])
