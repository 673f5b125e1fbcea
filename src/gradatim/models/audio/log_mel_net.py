"""A convolutional network on log-mel spectrograms of any length.

Papers: Davis & Mermelstein 1980 (the mel scale for recognition); Hershey et al., "CNN Architectures for Large-Scale
Audio Classification", ICASSP 2017 (a picture net on log-mel frames); Kong et al., "PANNs", 2020 (mean and maximum over
time).

The idea: a sound is a picture, frequency upward, time to the right, loudness as brightness. Residual convolutions find
local patterns (a harmonic, an onset); their mean over frequency and the mean and maximum over time say what was heard,
whenever it was heard, so recordings of any length go through one net.

What differs from the papers: three small residual stages; maps shrink by pooling; with `lengths`, frames beyond a
recording's end are set to zero before every convolution and left out of the pooling, so a recording's answer does not
depend on the longer ones in its batch.

What to notice: unlike in a picture, up is not like left: pitch matters where it is. The mean over frequency comes last,
after each of four bands has been told apart.
"""

import torch
from torch import nn
from torch.nn import functional as F

from gradatim.nn.attention.mask import length_mask, masked_max, masked_mean
from gradatim.nn.init import initialise_convolutional
from gradatim.nn.precision import at_least_float32

BANDS = 4


class MaskedBlock(nn.Module):
    """Pool by two, then two 3×3 convolutions beside a straight way; frames outside the mask stay zero."""

    def __init__(self, inputs: int, width: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(inputs, width, 3, padding=1, bias=False)
        self.first_norm = nn.BatchNorm2d(width)
        self.second = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.second_norm = nn.BatchNorm2d(width)
        self.straight = nn.Sequential(nn.Conv2d(inputs, width, 1, bias=False), nn.BatchNorm2d(width))

    def forward(self, values: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
        branch = only(F.relu(self.first_norm(self.first(values))), mask)
        branch = self.second_norm(self.second(branch))
        return only(F.relu(branch + self.straight(values)), mask)


def only(values: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
    """Zero the frames outside the mask: values (B, C, M, T), mask bool (B, T) or None."""
    return values if mask is None else values * mask[:, None, None, :].to(values.dtype)


class MeanSubtraction(nn.Module):
    """Take most of each band's mean over the recording away; what lies outside the mask becomes 0.

    values (B, C, M, T), mask bool (B, T), or None where all frames are content → (B, C, M, T).
    What a voice, a microphone and a room add throughout is the same in every frame of a log spectrum (Atal 1974); what
    is said changes. `kept`, the share of the mean that stays, begins at a tenth and is learned: of a steady tone
    nothing else is left.
    """

    def __init__(self, kept: float = 0.1) -> None:
        super().__init__()
        self.kept = nn.Parameter(torch.full((1,), kept))

    def forward(self, values: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
        if mask is None:
            return values - (1 - self.kept) * values.mean(3, keepdim=True)
        inside = mask[:, None, None, :].to(values.dtype)
        mean = (values * inside).sum(3, keepdim=True) / inside.sum(3, keepdim=True).clamp(min=1.0)
        return (values - (1 - self.kept) * mean) * inside


def pooled(
    values: torch.Tensor, lengths: torch.Tensor | None
) -> tuple[torch.Tensor, torch.Tensor | None, torch.Tensor | None]:
    """Halve frequency and time, rounding up; the halved lengths and their mask."""
    values = F.max_pool2d(values, 2, ceil_mode=True)
    if lengths is None:
        return values, None, None
    lengths = (lengths + 1) // 2
    return values, lengths, length_mask(lengths, values.shape[3])


class LogMelNet(nn.Module):
    """Stem, three residual stages, four frequency bands, mean and maximum over time, linear head.

    forward: standardised log-mel float (B, in_channels, M, T) or (B, M, T), lengths int (B,) in frames or None (all
    frames are content) → float32 logits (B, num_classes), or features (B, num_features) when num_classes is 0.
    """

    def __init__(self, num_classes: int, in_channels: int, width: int, dropout: float) -> None:
        super().__init__()
        self.stem = nn.Conv2d(in_channels, width, 3, padding=1, bias=False)
        self.stem_norm = nn.BatchNorm2d(width)
        self.blocks = nn.ModuleList(
            MaskedBlock(inputs, outputs)
            for inputs, outputs in ((width, 2 * width), (2 * width, 4 * width), (4 * width, 8 * width))
        )
        self.num_features = 8 * width
        self.bands = nn.Linear(BANDS * 8 * width, self.num_features)
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(self.num_features, num_classes) if num_classes else nn.Identity()
        initialise_convolutional(self)

    def forward(self, log_mel: torch.Tensor, lengths: torch.Tensor | None = None) -> torch.Tensor:
        values = log_mel if log_mel.dim() == 4 else log_mel[:, None]
        mask = None if lengths is None else length_mask(lengths, values.shape[3])
        values = self.stem(only(values, mask))
        if mask is not None:  # the norm comes after the pooling, which must not see the frames past the end
            values = values.masked_fill(~mask[:, None, None, :], torch.finfo(values.dtype).min)
        values, lengths, mask = pooled(values, lengths)
        values = only(F.relu(self.stem_norm(only(values, mask))), mask)
        for place, block in enumerate(self.blocks):
            if place:
                values, lengths, mask = pooled(values, lengths)
            values = block(values, mask)
        return at_least_float32(self.head(self.dropout(self.summary(values, mask))))

    def summary(self, values: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
        """(B, C, M', T') → (B, num_features): bands of frequency, then mean plus maximum over the true frames."""
        bands = F.adaptive_avg_pool2d(values, (BANDS, values.shape[3]))
        frames = F.relu(self.bands(bands.flatten(1, 2).transpose(1, 2)))
        if mask is None:
            return frames.mean(1) + frames.amax(1)
        return masked_mean(frames, mask) + masked_max(frames, mask)


def log_mel_net(num_classes: int = 10, in_channels: int = 1, width: int = 16, dropout: float = 0.1) -> LogMelNet:
    """A residual net for log-mel spectrograms of any number of bands and frames; `width` to 8 · `width` channels."""
    return LogMelNet(num_classes, in_channels, width, dropout)


def demo() -> tuple[LogMelNet, tuple[torch.Tensor, ...]]:
    """A net of width 8 for 4 classes and three sounds of 32 bands and 24, 11 and 1 frames."""
    return log_mel_net(num_classes=4, width=8), (torch.randn(3, 1, 32, 24), torch.tensor([24, 11, 1]))
