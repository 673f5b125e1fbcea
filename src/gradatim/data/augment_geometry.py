"""Moving pictures, and the boxes, points and masks in them, by one affine map a row.

Places are measured from the top left corner of the picture in pixels; the first pixel reaches from 0 to 1, its middle
is at 0.5. A map takes places in the changed picture back to those in the given one, p = A·q + b, which is what
resampling needs; boxes and points go the other way. In order of application: mirror, then shear, scale, rotate about
the middle and shift, then a window that is stretched to the whole again (Krizhevsky et al. 2012; windows as in Szegedy
et al. 2015, section 6). Beyond the edge the nearest pixel is repeated.
"""

import math
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F

from gradatim.data.augment_options import Augmentation
from gradatim.data.augment_random import RowRandom

ASPECTS = (3 / 4, 4 / 3)  # of windows, where the area that is kept leaves room for them
LEAST_SEEN = 0.25  # a box of which less than this share of the area is left in the picture is gone


@dataclass(frozen=True, slots=True)
class Warp:
    """One map a row, from changed places back to given ones: p = matrix · q + offset.

    matrix float64 (B, 2, 2) and offset (B, 2) over (x, y); mirrored bool (B,): left and right have changed sides.
    copies: every pixel is a copy of one other: mirrors and whole-pixel shifts only.
    """

    matrix: np.ndarray
    offset: np.ndarray
    mirrored: np.ndarray
    copies: bool

    def back(self, device: torch.device | str = "cpu") -> tuple[torch.Tensor, torch.Tensor]:
        """Matrix and offset of the way from given places to changed ones, float64, on a device."""
        matrix = np.linalg.inv(self.matrix) if len(self.matrix) else self.matrix
        offset = -np.einsum("bij,bj->bi", matrix, self.offset)
        return torch.from_numpy(matrix).to(device), torch.from_numpy(offset).to(device)


def draw_warp(options: Augmentation, random: RowRandom, height: int, width: int) -> Warp:
    """The maps of some rows: the sizes in `options`, the chances in `random`."""
    rows = len(random)
    size = np.array([width, height], dtype=np.float64)
    centre = size / 2
    horizontal, vertical = random.chance("flip", options.flip), random.chance("flip vertical", options.flip_vertical)
    mirror = np.stack([np.where(horizontal, -1.0, 1.0), np.where(vertical, -1.0, 1.0)], axis=1)
    pixels = np.floor((2 * np.round(options.shift * size) + 1) * random.uniform("shift", 2)) - np.round(
        options.shift * size)
    angle = np.radians(random.spread("rotate", options.rotate))
    shear = np.tan(np.radians(random.spread("shear", options.shear)))
    scale = np.exp(random.spread("scale", math.log1p(options.scale)))
    cosine, sine = np.cos(angle), np.sin(angle)
    # forward: centre + rotate · scale · shear · mirror · (p − centre) + pixels
    turn = np.stack([np.stack([cosine, -sine], 1), np.stack([sine, cosine], 1)], 1) * scale[:, None, None]
    slant = np.zeros((rows, 2, 2))
    slant[:, 0, 0] = slant[:, 1, 1] = 1.0
    slant[:, 0, 1] = shear
    forward = turn @ slant * mirror[:, None, :]
    matrix = np.linalg.inv(forward) if options.resamples and rows else forward  # a mirror is its own inverse
    corner, share = draw_windows(options.crop, random, size)
    offset = centre + np.einsum("bij,bj->bi", matrix, corner - centre - pixels)
    return Warp(matrix * share[:, None, :], offset, horizontal ^ vertical, not options.resamples)


def draw_windows(crop: float, random: RowRandom, size: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Top left corner (B, 2) in pixels and share of each side (B, 2) of the window that is kept of each row."""
    rows = len(random)
    if not crop:
        return np.zeros((rows, 2)), np.ones((rows, 2))
    area, aspect, left, top = random.uniform("window", 4).T
    area = crop + (1 - crop) * area
    low, high = (np.clip(np.log(limit), np.log(area), -np.log(area)) for limit in ASPECTS)
    aspect = np.exp(low + (high - low) * aspect)
    share = np.stack([np.sqrt(area * aspect), np.sqrt(area / aspect)], axis=1)
    return (1 - share) * np.stack([left, top], axis=1) * size, share


def warp_pictures(pictures: torch.Tensor, warp: Warp) -> torch.Tensor:
    """Pictures (B, C, H, W) at their new places: uint8 where pixels are copied, float32 where interpolated."""
    if warp.copies:
        return _copied(pictures, warp)
    return F.grid_sample(pictures.float(), _grid(warp, pictures), mode="bilinear", padding_mode="border",
                         align_corners=False)


def warp_masks(masks: torch.Tensor, warp: Warp) -> torch.Tensor:
    """Masks (B, H, W) or (B, M, H, W) of whole numbers at their new places, by the nearest pixel; the same type."""
    layers = masks[:, None] if masks.ndim == 3 else masks
    if warp.copies:
        moved = _copied(layers, warp)
    else:
        # The nearest pixel is found in whole numbers: classes of masks may be larger than float32 can say.
        height, width = layers.shape[-2:]
        grid = _grid(warp, layers)
        column = ((grid[..., 0] + 1) * (width / 2)).floor().clamp_(0, width - 1).long()
        row = ((grid[..., 1] + 1) * (height / 2)).floor().clamp_(0, height - 1).long()
        place = (row * width + column).flatten(1)[:, None].expand(-1, layers.shape[1], -1)
        moved = layers.flatten(2).gather(2, place).view(layers.shape)
    return moved[:, 0] if masks.ndim == 3 else moved


def move_points(points: torch.Tensor, warp: Warp) -> torch.Tensor:
    """Points (B, P, 2) as x, y in pixels of the given picture → of the changed one, float64."""
    matrix, offset = warp.back(points.device)
    return torch.einsum("bij,bpj->bpi", matrix, points.double()) + offset[:, None]


def move_boxes(
    corners: torch.Tensor, lengths: torch.Tensor, warp: Warp, height: int, width: int
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Boxes (B, M, 4) as left, top, right, bottom → upright boxes around their moved corners, cut at the edge.

    lengths int64 (B,): how many of the M there are. Returns corners float64 (B, M, 4), lengths, and the order
    (B, M) in which the boxes now stand: those of which under `LEAST_SEEN` of the area is left come last and do not
    count.
    """
    left, top, right, bottom = corners.unbind(-1)
    around = torch.stack([left, right, right, left], -1), torch.stack([top, top, bottom, bottom], -1)
    outline = torch.stack(around, -1)
    moved = move_points(outline.flatten(1, 2), warp).view(outline.shape)
    low, high = moved.amin(2), moved.amax(2)
    limit = torch.tensor([width, height], dtype=torch.float64, device=corners.device)
    inside_low, inside_high = low.clamp(min=0).minimum(limit), high.clamp(min=0).minimum(limit)
    seen, whole = (inside_high - inside_low).prod(-1), (high - low).prod(-1)
    there = torch.arange(corners.shape[1], device=corners.device) < lengths[:, None]
    kept = there & (seen >= LEAST_SEEN * whole) & (seen > 0)
    order = (~kept).to(torch.uint8).argsort(dim=1, stable=True)
    cut = torch.cat([inside_low, inside_high], -1)
    return cut.gather(1, order[..., None].expand(-1, -1, 4)), kept.sum(1), order


def _grid(warp: Warp, pictures: torch.Tensor) -> torch.Tensor:
    """Where each pixel comes from, in grid_sample's coordinates from −1 to 1: float32 (B, H, W, 2)."""
    height, width = pictures.shape[-2:]
    device = pictures.device
    unit = 2 / np.array([width, height])
    matrix = torch.from_numpy((warp.matrix * unit[:, None]).astype(np.float32)).to(device)
    offset = torch.from_numpy((warp.offset * unit - 1).astype(np.float32)).to(device)
    x, y = (torch.arange(count, device=device) + 0.5 for count in (width, height))
    grid = torch.empty(len(pictures), height, width, 2, device=device)
    for axis in range(2):
        along = matrix[:, axis, 0, None] * x
        down = matrix[:, axis, 1, None] * y + offset[:, axis, None]
        torch.add(down[:, :, None], along[:, None, :], out=grid[..., axis])
    return grid


def _copied(pictures: torch.Tensor, warp: Warp) -> torch.Tensor:
    """Mirrors and whole-pixel shifts: rows first, which are copied in one go, then columns within each row."""
    batch, channels, height, width = pictures.shape
    device = pictures.device

    def sources(axis: int, count: int) -> torch.Tensor:
        middles = warp.matrix[:, axis, axis, None] * (np.arange(count) + 0.5) + warp.offset[:, axis, None]
        return torch.from_numpy(np.clip(np.floor(middles).astype(np.int64), 0, count - 1)).to(device)

    columns, rows = sources(0, width), sources(1, height)
    first = (torch.arange(batch * channels, device=device) * height).view(batch, channels, 1)
    index = (first + rows[:, None]).view(-1)
    pictures = pictures.reshape(-1, width).index_select(0, index).view(batch, channels, height, width)
    return pictures.gather(3, columns.view(batch, 1, 1, width).expand(batch, channels, height, width))
