"""A recurrent net over a series: step by step in both directions by a GRU or an LSTM.

Papers: Hochreiter & Schmidhuber, "Long Short-Term Memory", 1997; Cho et al., 2014 (GRU); Karim et al., "LSTM Fully
Convolutional Networks for Time Series Classification", 2018 (recurrent layers on series).

The idea: the state carries along the row what the steps so far have said. A convolution below it smooths the row and
may leave only every `stride`-th step: long rows are read in a fraction of the steps. The mean and the maximum of the
states go to a linear head.

What differs from the papers: one branch, not a recurrent beside a convolutional one; both directions; pooling.

What to notice: a convolutional net reads all steps at once and is many times faster on long rows.
"""

import torch
from torch import nn
from torch.nn import functional as F

from gradatim.nn.attention.mask import length_mask, masked_max, masked_mean
from gradatim.nn.init import initialise_convolutional
from gradatim.nn.precision import at_least_float32
from gradatim.nn.recurrent.layers import MaskedRecurrent


class SeriesRecurrent(nn.Module):
    """A convolution, recurrent layers, mean and maximum over the states, a linear head.

    forward: values float (B, in_channels, T), lengths int (B,) in steps or None (all are content) → float32 logits
    (B, num_classes), or features (B, num_features) when num_classes is 0.
    """

    def __init__(
        self, num_classes: int, in_channels: int, hidden: int, layers: int, cell: str, stride: int, dropout: float
    ) -> None:
        super().__init__()
        self.stride = stride
        self.smooth = nn.Conv1d(in_channels, hidden, 2 * stride + 1, stride=stride, padding=stride)
        self.norm = nn.LayerNorm(hidden)
        self.recurrent = MaskedRecurrent(hidden, hidden, layers=layers, cell=cell, bidirectional=True, dropout=dropout)
        self.num_features = 2 * self.recurrent.outputs
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(self.num_features, num_classes) if num_classes else nn.Identity()
        for part in (self.smooth, self.head):
            initialise_convolutional(part)

    def forward(self, values: torch.Tensor, lengths: torch.Tensor | None = None) -> torch.Tensor:
        if lengths is None:
            lengths = torch.full((len(values),), values.shape[2], dtype=torch.int64, device=values.device)
        inside = length_mask(lengths, values.shape[2])
        steps = self.norm(self.smooth(values * inside[:, None].to(values.dtype)).transpose(1, 2))
        shorter = torch.div(lengths + self.stride - 1, self.stride, rounding_mode="floor")
        mask = length_mask(shorter, steps.shape[1])
        steps = F.gelu(steps) * mask[..., None].to(steps.dtype)
        states = self.recurrent(self.dropout(steps), shorter)
        pooled = torch.cat([masked_mean(states, mask), masked_max(states, mask)], dim=1)
        return at_least_float32(self.head(self.dropout(pooled)))


def series_recurrent(
    num_classes: int = 2, in_channels: int = 1, hidden: int = 64, layers: int = 1, cell: str = "gru", stride: int = 2,
    dropout: float = 0.1,
) -> SeriesRecurrent:
    """A recurrent net for series, GRU or LSTM (`cell`), which reads every `stride`-th smoothed step."""
    return SeriesRecurrent(num_classes, in_channels, hidden, layers, cell, stride, dropout)


def demo() -> tuple[SeriesRecurrent, tuple[torch.Tensor, ...]]:
    """A small net for 3 classes and three series of 2 channels and 24, 11 and 1 steps."""
    return series_recurrent(num_classes=3, in_channels=2, hidden=24), (
        torch.randn(3, 2, 24), torch.tensor([24, 11, 1]))
