"""Picture histograms as a module: `gradatim.estimators.features.picture.PictureFeatures.raw` in words that graphs have.

Counting becomes adding to places, adaptive means become products with fixed matrices; the numbers are equal.
"""

import torch
import torch.nn.functional as F
from torch import nn

from gradatim.estimators.features.picture import (
    LEVELS,
    ORIENTATIONS,
    PATTERNS,
    PictureFeatures,
    luminance,
)

RING = ((0, 0), (0, 1), (0, 2), (1, 2), (2, 2), (2, 1), (2, 0), (1, 0))  # neighbours in the order of the bits


def mean_matrix(places: int, cells: int) -> torch.Tensor:
    """float32 (cells, places): row i averages the places of cell i, as adaptive_avg_pool does."""
    matrix = torch.zeros(cells, places)
    for cell in range(cells):
        first, last = cell * places // cells, -(-(cell + 1) * places // cells)
        matrix[cell, first:last] = 1 / (last - first)
    return matrix


def shares(bins: torch.Tensor, count: int) -> torch.Tensor:
    """Square roots of the shares (B, count) of whole-numbered float bins (B, H, W)."""
    flat = bins.flatten(1)
    totals = torch.zeros(flat.shape[0], count).scatter_add(1, flat.to(torch.int64), torch.ones_like(flat))
    return torch.sqrt(totals / flat.shape[1])


class PictureHistograms(nn.Module):
    """Pictures float (B, C, size, size) on 0..255 → the raw features (B, d) of a fitted extractor."""

    def __init__(self, size: int, channels: int, extractor: PictureFeatures) -> None:
        super().__init__()
        self.channels, self.sides = channels, tuple(extractor.cells)
        self.binary_patterns, self.thumbnail = extractor.binary_patterns, extractor.thumbnail
        for side in {*self.sides, self.thumbnail} - {0}:
            self.register_buffer(f"mean{side}", mean_matrix(size, side))
        self.register_buffer("patterns", PATTERNS.clone())
        self.patterns: torch.Tensor

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        scaled = pictures.to(torch.float32) / 255
        grey = luminance(scaled)
        blocks = [self.colours(scaled), *self.gradients(grey)]
        padded = F.pad(grey[:, None], (1, 1, 1, 1), mode="replicate")[:, 0]
        if self.binary_patterns:
            blocks.append(self.textures(grey, padded))
        if self.thumbnail:
            blocks.append(self.means(scaled, self.thumbnail).flatten(1))
        return torch.cat(blocks, dim=1)

    def means(self, values: torch.Tensor, side: int) -> torch.Tensor:
        """Means over the cells of a grid: (B, C, H, W) → (B, C, side, side)."""
        matrix = getattr(self, f"mean{side}")
        return matrix @ values @ matrix.T

    def colours(self, scaled: torch.Tensor) -> torch.Tensor:
        """Joint colour bins (B, 64), or 16 of grey."""
        if self.channels == 1:
            return shares(torch.floor(scaled[:, 0] * 15.999), 16)
        bins = torch.floor(scaled * (LEVELS - 0.001))
        return shares((bins[:, 0] * LEVELS + bins[:, 1]) * LEVELS + bins[:, 2], LEVELS**3)

    def gradients(self, grey: torch.Tensor) -> list[torch.Tensor]:
        """Edge strength by orientation in every cell, each (B, 9 · side²)."""
        padded = F.pad(grey[:, None], (1, 1, 1, 1), mode="replicate")[:, 0]
        across = padded[:, 1:-1, 2:] - padded[:, 1:-1, :-2]
        down = padded[:, 2:, 1:-1] - padded[:, :-2, 1:-1]
        strength = torch.sqrt(across * across + down * down)
        # Where nothing changes the angle is that of (0, 1), as atan2 has it; graphs would divide 0 by 0 on the way.
        flat = (strength == 0).to(torch.float32)
        turn = torch.atan2(down, across + flat) * (ORIENTATIONS / torch.pi)
        turn = torch.where(turn < 0, turn + ORIENTATIONS, turn)
        lower = torch.floor(turn)
        share = strength * (turn - lower)
        first = torch.where(lower >= ORIENTATIONS, lower - ORIENTATIONS, lower)
        second = torch.where(first + 1 >= ORIENTATIONS, first + 1 - ORIENTATIONS, first + 1)
        number = torch.arange(ORIENTATIONS, dtype=torch.float32)[:, None, None]
        votes = (first[:, None] == number) * (strength - share)[:, None] + (second[:, None] == number) * share[:, None]
        out = []
        for side in self.sides:
            cells = self.means(votes, side)
            energy = cells.square().sum(1, keepdim=True)
            around = F.avg_pool2d(energy, 3, 1, 1, count_include_pad=False)
            out.append((cells / torch.sqrt(around + 1e-4)).flatten(1))
        return out

    def textures(self, grey: torch.Tensor, padded: torch.Tensor) -> torch.Tensor:
        """Uniform binary patterns (B, 59)."""
        height, width = grey.shape[1:]
        code = torch.zeros_like(grey, dtype=torch.int64)
        for place, (top, left) in enumerate(RING):
            code = code + (padded[:, top : top + height, left : left + width] >= grey).to(torch.int64) * 2**place
        return shares(self.patterns[code].to(torch.float32), 59)
