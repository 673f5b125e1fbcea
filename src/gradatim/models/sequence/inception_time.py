"""InceptionTime: parallel convolutions of several lengths over a series.

Paper: Ismail Fawaz et al., "InceptionTime: Finding AlexNet for Time Series Classification", DMKD 2020; after Szegedy et
al., "Going Deeper with Convolutions", 2015.

The idea: nobody knows beforehand how long a telling pattern is, so each block looks through windows of 39, 19 and 9
steps at once and through a running maximum, after a narrow layer that mixes the channels; a straight way leads past
every three blocks. The mean over time says what was there, whenever it was. In this way six blocks see far more than
200 steps.

What differs from the paper: windows of odd length, so that a step looks as far back as ahead; one network where the
paper averages five; with `lengths`, steps beyond a row's end are zero before every convolution, the lowest number
before every maximum, and left out of the mean; the maximum over time stands beside the mean.

What to notice: with few training rows `estimators.rocket` is the stronger opponent, and the network gains on it with
thousands.
"""

import torch
from torch import nn
from torch.nn import functional as F

from gradatim.nn.attention.mask import length_mask, masked_max, masked_mean
from gradatim.nn.init import initialise_convolutional
from gradatim.nn.precision import at_least_float32

WINDOWS = (39, 19, 9)


def only(values: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
    """Zero the steps outside the mask: values (B, C, T), mask bool (B, T) or None."""
    return values if mask is None else values * mask[:, None, :].to(values.dtype)


class InceptionBlock(nn.Module):
    """Windows of several lengths and a running maximum side by side: (B, inputs, T) → (B, 4 · filters, T)."""

    def __init__(self, inputs: int, filters: int, bottleneck: int) -> None:
        super().__init__()
        narrow = bottleneck if inputs > 1 else inputs
        self.bottleneck = nn.Conv1d(inputs, narrow, 1, bias=False) if inputs > 1 else nn.Identity()
        self.windows = nn.ModuleList(
            nn.Conv1d(narrow, filters, size, padding=size // 2, bias=False) for size in WINDOWS
        )
        self.after_maximum = nn.Conv1d(inputs, filters, 1, bias=False)
        self.norm = nn.BatchNorm1d((len(WINDOWS) + 1) * filters)

    def forward(self, values: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
        narrow = self.bottleneck(values)
        lowest = values if mask is None else values.masked_fill(~mask[:, None, :], torch.finfo(values.dtype).min)
        largest = only(F.max_pool1d(lowest, 3, stride=1, padding=1), mask)
        parts = [window(narrow) for window in self.windows] + [self.after_maximum(largest)]
        return self.norm(torch.cat(parts, dim=1))


class InceptionTime(nn.Module):
    """Inception blocks with a straight way past every three, mean and maximum over time, a linear head.

    forward: values float (B, in_channels, T), lengths int (B,) in steps or None (all are content) → float32 logits
    (B, num_classes), or features (B, num_features) when num_classes is 0.
    """

    def __init__(
        self, num_classes: int, in_channels: int, filters: int, depth: int, bottleneck: int, dropout: float
    ) -> None:
        super().__init__()
        width = (len(WINDOWS) + 1) * filters
        self.blocks = nn.ModuleList(
            InceptionBlock(in_channels if place == 0 else width, filters, bottleneck) for place in range(depth)
        )
        self.straight = nn.ModuleList(
            nn.Sequential(nn.Conv1d(in_channels if place == 0 else width, width, 1, bias=False), nn.BatchNorm1d(width))
            for place in range(-(-depth // 3))
        )
        self.num_features = 2 * width
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(self.num_features, num_classes) if num_classes else nn.Identity()
        initialise_convolutional(self)

    def forward(self, values: torch.Tensor, lengths: torch.Tensor | None = None) -> torch.Tensor:
        mask = None if lengths is None else length_mask(lengths, values.shape[2])
        values = only(values, mask)
        entry, last = values, len(self.blocks) - 1
        for place, block in enumerate(self.blocks):
            values = block(values, mask)
            if place % 3 == 2 or place == last:
                values = values + self.straight[place // 3](entry)
            values = only(F.relu(values), mask)
            if place % 3 == 2:
                entry = values
        return at_least_float32(self.head(self.dropout(self.summary(values, mask))))

    def summary(self, values: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
        """(B, C, T) → (B, 2 C): mean and maximum over the true steps."""
        if mask is None:
            return torch.cat([values.mean(2), values.amax(2)], dim=1)
        steps = values.transpose(1, 2)
        return torch.cat([masked_mean(steps, mask), masked_max(steps, mask)], dim=1)


def inception_time(
    num_classes: int = 2, in_channels: int = 1, filters: int = 32, depth: int = 6, bottleneck: int = 32,
    dropout: float = 0.1,
) -> InceptionTime:
    """InceptionTime for series of any number of channels and steps."""
    return InceptionTime(num_classes, in_channels, filters, depth, bottleneck, dropout)


def inception_time_small(
    num_classes: int = 2, in_channels: int = 1, filters: int = 16, depth: int = 3, bottleneck: int = 16,
    dropout: float = 0.1,
) -> InceptionTime:
    """Half as wide and half as deep: about a tenth of the cost, for processors."""
    return InceptionTime(num_classes, in_channels, filters, depth, bottleneck, dropout)


def demo() -> tuple[InceptionTime, tuple[torch.Tensor, ...]]:
    """A net of width 16 for 3 classes and three series of 2 channels and 24, 11 and 1 steps."""
    return inception_time(num_classes=3, in_channels=2, filters=4, depth=4, bottleneck=4), (
        torch.randn(3, 2, 24), torch.tensor([24, 11, 1]))
