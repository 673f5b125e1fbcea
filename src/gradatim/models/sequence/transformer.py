"""A small transformer encoder for texts.

Paper: Vaswani et al., "Attention Is All You Need", NeurIPS 2017; the encoder half, as in BERT (Devlin et al. 2019).

The idea: every token asks all others (queries and keys), and takes over a weighted mean of what they say (values);
several heads ask several things at once; a feed-forward layer digests it. Stacked, any word can bear on any other in
one step, at a cost that grows with the square of the length.

What differs from the papers: norms before the branches; the sinusoidal position codes are added to the scaled
embeddings as in the first paper; the read-out is the mean over the tokens, no class token, no pre-training.

What to notice: from scratch on few texts it is seldom better than `bag_of_embeddings`; with thousands of texts in which
distant words matter it is.
"""

import math

import torch
from torch import nn

from gradatim.nn.attention.attention import TransformerBlock, sinusoidal_positions
from gradatim.nn.attention.mask import length_mask, masked_mean
from gradatim.nn.init import initialise_dense
from gradatim.nn.precision import at_least_float32


class TransformerEncoder(nn.Module):
    """Embedding plus position codes, pre-norm blocks, mean over the tokens, linear head.

    forward: ids int (B, L ≤ max_length), lengths int (B,) → float32 logits (B, num_classes), or features
    (B, num_features) when num_classes is 0. Token 0 is padding.
    """

    def __init__(
        self, num_classes: int, vocabulary: int, max_length: int, width: int, heads: int, depth: int, dropout: float
    ) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocabulary, width, padding_idx=0)
        self.register_buffer("positions", sinusoidal_positions(max_length, width))
        self.positions: torch.Tensor
        self.dropout = nn.Dropout(dropout)
        self.blocks = nn.ModuleList(TransformerBlock(width, heads, dropout=dropout) for _ in range(depth))
        self.norm = nn.LayerNorm(width)
        self.scale = math.sqrt(width)
        self.num_features = width
        self.head = nn.Linear(width, num_classes) if num_classes else nn.Identity()
        initialise_dense(self)

    def forward(self, ids: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        length = ids.shape[1]
        if length > self.positions.shape[0]:
            raise ValueError(f"expected texts of at most {self.positions.shape[0]} tokens, received {length}")
        seen = length_mask(lengths.clamp(min=1), length)  # an empty text attends to its first padding token
        values = self.dropout(self.embedding(ids) * self.scale + self.positions[:length])
        for block in self.blocks:
            values = block(values, seen)
        values = masked_mean(self.norm(values), length_mask(lengths, length))
        return at_least_float32(self.head(self.dropout(values)))


def transformer_encoder(
    num_classes: int = 2, vocabulary: int = 8192, max_length: int = 512, width: int = 64, heads: int = 4,
    depth: int = 2, dropout: float = 0.1,
) -> TransformerEncoder:
    """A small transformer encoder for texts of up to `max_length` tokens."""
    return TransformerEncoder(num_classes, vocabulary, max_length, width, heads, depth, dropout)


def demo() -> tuple[TransformerEncoder, tuple[torch.Tensor, ...]]:
    """A two-block net over 20 tokens and three texts of 7, 3 and 1 tokens."""
    lengths = torch.tensor([7, 3, 1])
    ids = torch.randint(1, 20, (3, 7)) * length_mask(lengths, 7)
    return transformer_encoder(num_classes=4, vocabulary=20, max_length=8, width=16, heads=2), (ids, lengths)
