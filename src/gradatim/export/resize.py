"""Pictures of any size brought to the codec's square inside the graph, as Pillow does it: two small matrix products.

Pillow averages a strong reduction by whole factors first, then weighs each output pixel's neighbours by a triangle as
wide as the reduction, along the rows and then along the columns, rounding to a level after each. Both are linear along
one side, so one matrix a side says it all, built in the graph from the picture's own height and width.
"""

import torch
from torch import nn

GAP = 3.0  # the codec's reducing_gap: what is left to the triangle after averaging by whole factors
MARGIN = 128.0  # grey level of padding, as in gradatim.data.codecs.image
LAYOUTS = ("nhwc", "nchw")


def side_matrix(length: int, size: int, inner: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Weights float32 (size, length) that resize a side to `inner` places in the middle of `size`, and which of the
    `size` places these are, float32 (size,).

    inner: whole number, float64 (). Source: Pillow's Resample.c (`precompute_coeffs`) and `Image.reduce`.
    """
    source = torch.arange(length, dtype=torch.float64)
    whole = source[-1] + 1
    first = torch.floor((size - inner) / 2)
    place = torch.arange(size, dtype=torch.float64) - first
    inside = ((place >= 0) & (place < inner)).to(torch.float32)
    factor = torch.clamp(torch.floor(whole / inner / GAP), min=1.0)
    block = torch.floor(source / factor)
    pixels = torch.minimum(factor, whole - block * factor)  # of the block: the last one may be cut
    ratio = whole / factor / inner
    distance = (block[None, :] + 0.5 - (place[:, None] + 0.5) * ratio) / torch.clamp(ratio, min=1.0)
    weights = torch.clamp(1.0 - distance.abs(), min=0.0) / pixels
    weights = weights / torch.clamp(weights.sum(1, keepdim=True), min=1e-12)
    return weights.to(torch.float32) * inside[:, None], inside


def levels(values: torch.Tensor) -> torch.Tensor:
    """Rounded to whole levels in 0..255, halves up."""
    return torch.clamp(torch.floor(values + 0.5), 0.0, 255.0)


class PictureSquare(nn.Module):
    """uint8 (B, H, W, C) or (B, C, H, W) of any size → float32 (B, C, size, size) on 0..255, whole numbers.

    framing: 'pad' keeps the aspect and fills the margins with mid grey, 'stretch' fills the square.

    >>> PictureSquare(8, "pad", "nhwc")(torch.full((1, 4, 6, 3), 255, dtype=torch.uint8))[0, 0, :, 0].tolist()
    [128.0, 255.0, 255.0, 255.0, 255.0, 255.0, 128.0, 128.0]
    """

    def __init__(self, size: int, framing: str, layout: str) -> None:
        super().__init__()
        self.size, self.framing, self.layout = size, framing, layout

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        if self.layout == "nhwc":
            pixels = pixels.permute(0, 3, 1, 2)
        height, width = pixels.shape[2], pixels.shape[3]
        high = torch.arange(height, dtype=torch.float64)[-1] + 1
        wide = torch.arange(width, dtype=torch.float64)[-1] + 1
        if self.framing == "stretch":
            inner_high = inner_wide = torch.full((), float(self.size), dtype=torch.float64)
        else:
            scale = self.size / torch.maximum(high, wide)
            inner_high, inner_wide = (torch.clamp(torch.round(side * scale), min=1.0) for side in (high, wide))
        along, columns = side_matrix(width, self.size, inner_wide)
        down, rows = side_matrix(height, self.size, inner_high)
        values = levels(pixels.to(torch.float32) @ along.T)
        values = levels(down @ values)
        return values + MARGIN * (1.0 - rows[:, None] * columns)
