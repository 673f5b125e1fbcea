"""Augmentation: a batch changed at random in ways that leave its labels true, or that the labels follow.

Everything works on whole batches of tensors, where they lie and in the form in which they are cached: uint8 pictures
stay uint8, log-mel stays log-mel, token ids stay ids. What happens to a row is a pure function of (seed, epoch, row):
neither its batch-mates nor the size of the batch have a say, and a resumed run repeats it bit by bit. Missing cells
stay as they are. Boxes, points and masks follow their picture. Sources beside those of the files named `augment_…`:
word dropout, Iyyer et al. (2015).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from gradatim.data.augment_colour import blur, cut_out, relight
from gradatim.data.augment_geometry import Warp, draw_warp, move_boxes, move_points, warp_masks, warp_pictures
from gradatim.data.augment_mixing import Mixed, mix
from gradatim.data.augment_options import Augmentation, AugmentRequest, default_augmentation
from gradatim.data.augment_random import RowRandom
from gradatim.data.augment_series import change_series
from gradatim.data.augment_sound import mask_sounds
from gradatim.data.batch import Batch, Field
from gradatim.errors import SchemaError

__all__ = [
    "AugmentRequest",
    "Augmentation",
    "Follow",
    "Mixed",
    "augment",
    "augment_pictures",
    "default_augmentation",
    "mask_sounds",
    "mix",
]

UNKNOWN = 1  # token id of a dropped word
CHUNK_PIXELS = 1 << 18  # numbers that are changed in one go on a processor: what its cache holds


@dataclass(frozen=True, slots=True)
class Follow:
    """A target that lies in a picture and moves with it.

    kind: boxes, points or mask; picture: the column; mirror: for points, which landmark each becomes in a mirror.
    Boxes and points are in the pixels of the picture as it was before it was resized, masks in those of the batch.
    """

    kind: str
    picture: str
    mirror: tuple[int, ...] = ()


def augment(
    batch: Batch, options: Mapping[str, Augmentation], kinds: Mapping[str, str], *, seed: int, epoch: int,
    follows: Mapping[str, Follow] | None = None,
) -> Batch:
    """A changed copy of the batch; the batch given is left as it is.

    options: column → what may happen to it (columns without an entry are passed on); kinds: input column → its kind;
    follows: target column → the picture that it lies in. Equal arguments give equal bits on every run. Sounds are
    masked here; what changes their waveform comes before, see `gradatim.data.augment_sound.with_waves`.
    """
    inputs, targets = dict(batch.inputs), dict(batch.targets)
    for name, value in batch.inputs.items():
        choice = options.get(name)
        if choice is None:
            continue
        random = RowRandom(batch.rows, seed, "augment", epoch, name)
        kind, present = kinds[name], batch.present.get(name)
        if kind == "image" and isinstance(value, torch.Tensor):
            warp = draw_warp(choice, random, *value.shape[-2:]) if choice.moves else None
            inputs[name] = _kept_absent(_changed(value, choice, random, warp), value, present)
            for target, follow in (follows or {}).items():
                if follow.picture == name and warp is not None and target in targets:
                    targets[target] = _follow(targets[target], follow, warp, batch, value.shape[-2:])
        elif kind == "number" and isinstance(value, torch.Tensor) and choice.jitter:
            steps = torch.from_numpy(random.normal("jitter")[:, 0]).to(value.device, value.dtype)
            inputs[name] = _kept_absent(value + choice.jitter * steps, value, present)
        elif kind == "audio" and isinstance(value, dict):
            if choice.time_mask or choice.frequency_mask:
                masked = mask_sounds(value["log_mel"], value["lengths"], choice, random)
                inputs[name] = {**value, "log_mel": masked}
        elif kind == "series" and isinstance(value, dict):
            if choice.crop or choice.warp or choice.shift or choice.scale or choice.jitter:
                inputs[name] = change_series(value, choice, random)
        elif kind == "text" and isinstance(value, dict) and choice.word_dropout:
            ids = value["ids"]
            drawn = random.levels("words", ids.shape[1], ids.device) < round(choice.word_dropout * 65536)
            inputs[name] = {**value, "ids": ids.masked_fill(drawn & (ids != 0), UNKNOWN)}
    return Batch(batch.rows, inputs, targets, batch.present, batch.context)


def augment_pictures(pictures: torch.Tensor, options: Augmentation, random: RowRandom) -> torch.Tensor:
    """Pictures uint8 (B, C, H, W) changed at random, each in its own way; uint8 (B, C, H, W)."""
    warp = draw_warp(options, random, *pictures.shape[-2:]) if options.moves else None
    return _changed(pictures, options, random, warp)


def _changed(pictures: torch.Tensor, options: Augmentation, random: RowRandom, warp: Warp | None) -> torch.Tensor:
    """In order: places, blur, light and noise, cutout; rounded once. On a processor by chunks that fit its cache."""
    size = max(1, pictures[0].numel()) if len(pictures) else 1
    chunk = max(1, CHUNK_PIXELS // size) if pictures.device.type == "cpu" else len(pictures)
    if not (options.resamples or options.blur or options.relights) or chunk >= len(pictures):
        return _chunk_changed(pictures, options, random, warp)
    changed = torch.empty_like(pictures)
    for start in range(0, len(pictures), chunk):
        part = slice(start, start + chunk)
        some = RowRandom(random.rows[part].astype(np.int64), *random.key)
        moved = None if warp is None else Warp(warp.matrix[part], warp.offset[part], warp.mirrored[part], warp.copies)
        changed[part] = _chunk_changed(pictures[part], options, some, moved)
    return changed


def _chunk_changed(pictures: torch.Tensor, options: Augmentation, random: RowRandom, warp: Warp | None) -> torch.Tensor:
    changed = pictures if warp is None else warp_pictures(pictures, warp)
    if options.blur:
        changed = blur(changed.float(), options, random)
    if options.relights:
        changed = relight(changed.float(), options, random)
    if changed.dtype != torch.uint8:
        changed = changed.add(0.5).clamp_(0, 255).to(torch.uint8)
    return cut_out(changed, options, random) if options.cutout else changed


def _follow(value: Field, follow: Follow, warp: Warp, batch: Batch, shape: torch.Size) -> Field:
    """A target moved with its picture, whose (height, width) in the batch is `shape`."""
    height, width = shape
    if follow.kind == "mask":
        if not isinstance(value, torch.Tensor) or value.shape[-2:] != shape:
            raise SchemaError(f"expected masks of {width}×{height} pixels, as the picture has them in the batch")
        return warp_masks(value, warp)
    assert isinstance(value, dict)
    framings = batch.context.get(follow.picture) or [None] * len(batch)
    example = value["corners" if follow.kind == "boxes" else "points"]
    scale, shift, framed = _framed(framings, example.device)
    if follow.kind == "boxes":
        inside = example.double() * scale.repeat(1, 1, 2) + shift.repeat(1, 1, 2)
        moved, lengths, order = move_boxes(inside, value["lengths"], warp, height, width)
        corners = ((moved - shift.repeat(1, 1, 2)) / scale.repeat(1, 1, 2)).to(example.dtype)
        corners = torch.where(framed[:, None, None], corners, example)
        labels = torch.where(framed[:, None], value["labels"].gather(1, order), value["labels"])
        return {**value, "corners": corners, "labels": labels,
                "lengths": torch.where(framed, lengths, value["lengths"])}
    moved = move_points(example.double() * scale + shift, warp)
    limit = torch.tensor([width, height], device=example.device)
    inside_picture = ((moved >= 0) & (moved <= limit)).all(-1)
    points = ((moved - shift) / scale).to(example.dtype)
    points = torch.where(framed[:, None, None], points, example)
    visible = torch.where(framed[:, None], value["visible"] & inside_picture, value["visible"])
    swapped = torch.from_numpy(warp.mirrored).to(example.device) & framed
    if bool(swapped.any()):
        if not follow.mirror:
            raise SchemaError("flip: expected the option 'mirror' of the points, a list saying which landmark each "
                              "becomes in a mirror; give it in the schema, or leave flip out")
        other = torch.tensor(follow.mirror, device=example.device)
        points = torch.where(swapped[:, None, None], points[:, other], points)
        visible = torch.where(swapped[:, None], visible[:, other], visible)
    return {**value, "points": points, "visible": visible}


def _framed(framings: list[Any], device: torch.device) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """How pictures lie in their squares: scale and shift float64 (B, 1, 2), and which rows have a picture."""
    scale, shift = np.ones((len(framings), 1, 2)), np.zeros((len(framings), 1, 2))
    for row, framing in enumerate(framings):
        if framing is not None:
            left, top, width, height = framing.box
            scale[row, 0] = width / framing.original[0], height / framing.original[1]
            shift[row, 0] = left, top
    there = np.array([framing is not None for framing in framings], dtype=bool)
    return tuple(torch.from_numpy(array).to(device) for array in (scale, shift, there))  # type: ignore[return-value]


def _kept_absent(changed: torch.Tensor, value: torch.Tensor, present: torch.Tensor | None) -> torch.Tensor:
    if present is None or bool(present.all()):
        return changed
    return torch.where(present.view(-1, *[1] * (value.ndim - 1)), changed, value)
