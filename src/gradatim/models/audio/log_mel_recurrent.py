"""A recurrent net on log-mel frames: a short convolution, then a GRU or an LSTM in both directions.

Papers: Graves, Mohamed and Hinton, "Speech Recognition with Deep Recurrent Neural Networks", ICASSP 2013 (deep,
bidirectional recurrent layers on filter-bank frames); Cakir et al., "Convolutional Recurrent Neural Networks for
Polyphonic Sound Event Detection", 2017 (convolutions below); Atal, "Effectiveness of linear prediction characteristics
of the speech wave for automatic speaker identification and verification", 1974 (the mean over time taken away).

The idea: the sounds of a word follow one another, and what a frame means depends on those before it. Convolutions in
time and frequency find local shapes and leave every fourth frame; a recurrent layer reads these from both ends and
carries along what it has heard; the mean and the maximum of its states go to a linear head.

What differs from the papers: two convolutions of stride two, one recurrent layer; pooling of all states in place of a
label at each; a tenth of each band's mean stays, see `MeanSubtraction`.

What to notice: the strides leave a sixteenth of the places after two cheap layers, so a step costs about a third of one
with pooling between and a quarter of one of `log_mel_net`. A recording is read step by step, so the time grows with its
length however many cores there are.
"""

import torch
from torch import nn
from torch.nn import functional as F

from gradatim.models.audio.log_mel_net import MeanSubtraction, only
from gradatim.nn.attention.mask import length_mask, masked_max, masked_mean
from gradatim.nn.init import initialise_convolutional
from gradatim.nn.precision import at_least_float32
from gradatim.nn.recurrent.layers import MaskedRecurrent


class LogMelFrames(nn.Module):
    """Two convolutions of stride two: log-mel (B, in_channels, M, T) → frames (B, ⌈T / 4⌉, width) and their mask.

    Each band's mean over the recording is taken away first. Frames beyond a recording's end are zero throughout, so a
    recording does not depend on the longer ones beside it.
    """

    def __init__(self, in_channels: int, mels: int, channels: int, width: int) -> None:
        super().__init__()
        self.level = MeanSubtraction()
        self.first = nn.Conv2d(in_channels, channels, 5, stride=2, padding=2, bias=False)
        self.first_norm = nn.BatchNorm2d(channels)
        self.second = nn.Conv2d(channels, 2 * channels, 3, stride=2, padding=1, bias=False)
        self.second_norm = nn.BatchNorm2d(2 * channels)
        self.join = nn.Linear(2 * channels * -(-mels // 4), width)
        initialise_convolutional(self)

    def forward(
        self, log_mel: torch.Tensor, lengths: torch.Tensor | None
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        values = log_mel if log_mel.dim() == 4 else log_mel[:, None]
        if lengths is None:
            lengths = torch.full((len(values),), values.shape[3], dtype=torch.int64, device=values.device)
        mask = length_mask(lengths, values.shape[3])
        values = self.level(values, mask)
        for convolution, norm in ((self.first, self.first_norm), (self.second, self.second_norm)):
            values = F.relu(norm(convolution(values)))
            lengths = (lengths + 1) // 2
            mask = length_mask(lengths, values.shape[3])
            values = only(values, mask)
        frames = self.join(values.flatten(1, 2).transpose(1, 2))
        return frames * mask[..., None].to(frames.dtype), lengths, mask


class LogMelRecurrent(nn.Module):
    """Frames, recurrent layers, mean and maximum over the states, a linear head.

    forward: standardised log-mel float (B, in_channels, M, T) or (B, M, T), lengths int (B,) in frames or None (all
    frames are content) → float32 logits (B, num_classes), or features (B, num_features) when num_classes is 0.
    """

    def __init__(
        self, num_classes: int, in_channels: int, mels: int, channels: int, hidden: int, layers: int, cell: str,
        dropout: float,
    ) -> None:
        super().__init__()
        self.frames = LogMelFrames(in_channels, mels, channels, hidden)
        self.recurrent = MaskedRecurrent(hidden, hidden, layers=layers, cell=cell, bidirectional=True, dropout=dropout)
        self.num_features = 2 * self.recurrent.outputs
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(self.num_features, num_classes) if num_classes else nn.Identity()
        initialise_convolutional(self.head)

    def forward(self, log_mel: torch.Tensor, lengths: torch.Tensor | None = None) -> torch.Tensor:
        frames, shorter, mask = self.frames(log_mel, lengths)
        states = self.recurrent(self.dropout(frames), shorter)
        values = torch.cat([masked_mean(states, mask), masked_max(states, mask)], dim=1)
        return at_least_float32(self.head(self.dropout(values)))


def log_mel_recurrent(
    num_classes: int = 10, in_channels: int = 1, mels: int = 64, channels: int = 16, hidden: int = 64, layers: int = 1,
    cell: str = "gru", dropout: float = 0.1,
) -> LogMelRecurrent:
    """A convolutional recurrent net for log-mel spectrograms of `mels` bands and any number of frames."""
    return LogMelRecurrent(num_classes, in_channels, mels, channels, hidden, layers, cell, dropout)


def demo() -> tuple[LogMelRecurrent, tuple[torch.Tensor, ...]]:
    """A small net for 4 classes and three sounds of 16 bands and 24, 11 and 1 frames."""
    return log_mel_recurrent(num_classes=4, mels=16, channels=4, hidden=8), (
        torch.randn(3, 1, 16, 24), torch.tensor([24, 11, 1]))
