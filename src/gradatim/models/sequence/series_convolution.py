"""Convolutional nets for series: a fully convolutional one, and one with straight ways past every three layers.

Paper: Wang, Yan and Oates, "Time Series Classification from Scratch with Deep Neural Networks: A Strong Baseline",
IJCNN 2017 (FCN and ResNet).

The idea: convolutions of 8, 5 and 3 steps with batch norm find patterns of growing length, nothing is ever shortened,
and the mean over time says how much of each was there. ResNet stacks three such groups and adds past each group what
came in.

What differs from the paper: windows of 7, 5 and 3, so that a step looks as far back as ahead; with `lengths`, steps
beyond a row's end are zero before every convolution and left out of the mean.

What to notice: the mean over time is what makes class activation maps possible: the head's weights on the last layer,
step by step, say when the answer was earned.
"""

import torch
from torch import nn
from torch.nn import functional as F

from gradatim.models.sequence.inception_time import only
from gradatim.nn.attention.mask import length_mask, masked_mean
from gradatim.nn.init import initialise_convolutional
from gradatim.nn.precision import at_least_float32

WINDOWS = (7, 5, 3)


class SeriesBlock(nn.Module):
    """Three convolutions with batch norm, perhaps with a straight way past them: (B, C, T) → (B, widths[-1], T)."""

    def __init__(self, inputs: int, widths: tuple[int, int, int], *, residual: bool) -> None:
        super().__init__()
        sizes = (inputs, *widths)
        self.convolutions = nn.ModuleList(
            nn.Conv1d(sizes[place], sizes[place + 1], window, padding=window // 2, bias=False)
            for place, window in enumerate(WINDOWS)
        )
        self.norms = nn.ModuleList(nn.BatchNorm1d(width) for width in widths)
        self.straight: nn.Module | None = None
        if residual:
            same = inputs == widths[-1]
            way = nn.Identity() if same else nn.Conv1d(inputs, widths[-1], 1, bias=False)
            self.straight = nn.Sequential(way, nn.BatchNorm1d(widths[-1]))

    def forward(self, values: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
        entry, last = values, len(WINDOWS) - 1
        for place, (convolution, norm) in enumerate(zip(self.convolutions, self.norms)):
            values = norm(convolution(values))
            if place == last and self.straight is not None:
                values = values + self.straight(entry)
            values = only(F.relu(values), mask)
        return values


class SeriesConvolution(nn.Module):
    """Blocks of three convolutions, the mean over time, a linear head.

    forward: values float (B, in_channels, T), lengths int (B,) in steps or None (all are content) → float32 logits
    (B, num_classes), or features (B, num_features) when num_classes is 0.
    """

    def __init__(self, num_classes: int, in_channels: int, widths: list[tuple[int, int, int]], residual: bool) -> None:
        super().__init__()
        entries = [in_channels, *(block[-1] for block in widths[:-1])]
        self.blocks = nn.ModuleList(
            SeriesBlock(inputs, block, residual=residual) for inputs, block in zip(entries, widths)
        )
        self.num_features = widths[-1][-1]
        self.head = nn.Linear(self.num_features, num_classes) if num_classes else nn.Identity()
        initialise_convolutional(self)

    def forward(self, values: torch.Tensor, lengths: torch.Tensor | None = None) -> torch.Tensor:
        mask = None if lengths is None else length_mask(lengths, values.shape[2])
        values = only(values, mask)
        for block in self.blocks:
            values = block(values, mask)
        mean = values.mean(2) if mask is None else masked_mean(values.transpose(1, 2), mask)
        return at_least_float32(self.head(mean))


def series_fcn(num_classes: int = 2, in_channels: int = 1, width: int = 128) -> SeriesConvolution:
    """The fully convolutional net: `width`, 2 · `width` and `width` channels."""
    return SeriesConvolution(num_classes, in_channels, [(width, 2 * width, width)], False)


def series_resnet(num_classes: int = 2, in_channels: int = 1, width: int = 64) -> SeriesConvolution:
    """The residual net: three blocks of `width`, 2 · `width` and 2 · `width` channels."""
    blocks = [(size, size, size) for size in (width, 2 * width, 2 * width)]
    return SeriesConvolution(num_classes, in_channels, blocks, True)


def demo() -> tuple[SeriesConvolution, tuple[torch.Tensor, ...]]:
    """A small residual net for 3 classes and three series of 2 channels and 24, 11 and 1 steps."""
    return series_resnet(num_classes=3, in_channels=2, width=16), (torch.randn(3, 2, 24), torch.tensor([24, 11, 1]))
