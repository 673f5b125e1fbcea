"""Attention over log-mel frames: a short convolution, transformer blocks, and a learned choice of frames.

Papers: Gulati et al., "Conformer: Convolution-augmented Transformer for Speech Recognition", 2020 (convolutions below
attention); Gong, Chung and Glass, "AST: Audio Spectrogram Transformer", Interspeech 2021.

The idea: two convolutions in time and frequency leave every fourth frame; in the blocks each of these looks at all
others, wherever they are; at the end several heads each take the mean of the frames that they find worth it, so that
silence before and after a word does not count.

What differs from the papers: two blocks and one pooling where the papers have a dozen; sinusoidal positions; no
pretraining on pictures.

What to notice: attention has no sense of neighbourhood of its own and must learn it from the data: of the three nets it
gains most when recordings are also played slower and faster in training (`--augment audio:speed=0.15`).
"""

import torch
from torch import nn

from gradatim.models.audio.log_mel_recurrent import LogMelFrames
from gradatim.nn.attention.attention import AttentionPool, TransformerBlock
from gradatim.nn.attention.positions import sinusoidal_positions
from gradatim.nn.init import initialise_convolutional, initialise_dense
from gradatim.nn.precision import at_least_float32


class LogMelAttention(nn.Module):
    """Frames, positions, transformer blocks, attention pooling, a linear head.

    forward: standardised log-mel float (B, in_channels, M, T) or (B, M, T), lengths int (B,) in frames or None (all
    frames are content) → float32 logits (B, num_classes), or features (B, num_features) when num_classes is 0.
    """

    def __init__(
        self, num_classes: int, in_channels: int, mels: int, channels: int, width: int, depth: int, heads: int,
        dropout: float,
    ) -> None:
        super().__init__()
        self.frames = LogMelFrames(in_channels, mels, channels, width)
        self.blocks = nn.ModuleList(TransformerBlock(width, heads, dropout=dropout) for _ in range(depth))
        self.norm = nn.LayerNorm(width)
        self.pool = AttentionPool(width, heads)
        self.num_features = width
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(width, num_classes) if num_classes else nn.Identity()
        for part in (self.blocks, self.norm, self.pool):
            initialise_dense(part)
        initialise_convolutional(self.head)

    def forward(self, log_mel: torch.Tensor, lengths: torch.Tensor | None = None) -> torch.Tensor:
        frames, _, mask = self.frames(log_mel, lengths)
        tokens = self.dropout(frames + sinusoidal_positions(frames.shape[1], frames.shape[2]).to(frames))
        for block in self.blocks:
            tokens = block(tokens, mask)
        return at_least_float32(self.head(self.dropout(self.pool(self.norm(tokens), mask))))


def log_mel_attention(
    num_classes: int = 10, in_channels: int = 1, mels: int = 64, channels: int = 16, width: int = 64, depth: int = 2,
    heads: int = 4, dropout: float = 0.1,
) -> LogMelAttention:
    """A small transformer over log-mel spectrograms of `mels` bands and any number of frames."""
    return LogMelAttention(num_classes, in_channels, mels, channels, width, depth, heads, dropout)


def demo() -> tuple[LogMelAttention, tuple[torch.Tensor, ...]]:
    """A small net for 4 classes and three sounds of 16 bands and 24, 11 and 1 frames."""
    return log_mel_attention(num_classes=4, mels=16, channels=4, width=16, heads=2), (
        torch.randn(3, 1, 16, 24), torch.tensor([24, 11, 1]))
