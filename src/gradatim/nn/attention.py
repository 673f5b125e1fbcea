"""Self-attention over masked sequences, the pre-norm transformer block, and pooling by attention.

Vaswani et al. 2017, eq. 1: softmax(Q Kᵀ / √d) V. The norm comes before each branch (Xiong et al. 2020), which trains
without warm-up tricks; padding is never attended to.
"""

import math

import torch
from torch import nn
from torch.nn import functional as F

from gradatim.nn.mask import masked_softmax


def sinusoidal_positions(length: int, width: int) -> torch.Tensor:
    """Fixed position codes (length, width): sine and cosine at geometric wavelengths (Vaswani et al. 2017, § 3.5)."""
    if width % 2:
        raise ValueError(f"expected an even width, received {width}")
    place = torch.arange(length, dtype=torch.float32)[:, None]
    rate = torch.exp(torch.arange(0, width, 2, dtype=torch.float32) * (-math.log(10000.0) / width))
    return torch.stack([torch.sin(place * rate), torch.cos(place * rate)], dim=2).reshape(length, width)


class SelfAttention(nn.Module):
    """Multi-head attention of a sequence to itself: (B, L, width), mask bool (B, L) → (B, L, width).

    The mask must hold at least one True a row. `heads` must divide `width`.
    """

    def __init__(self, width: int, heads: int, dropout: float = 0.0) -> None:
        super().__init__()
        if width % heads:
            raise ValueError(f"expected heads that divide the width {width}, received {heads}")
        self.heads, self.dropout = heads, dropout
        self.query_key_value = nn.Linear(width, 3 * width)
        self.output = nn.Linear(width, width)

    def forward(self, values: torch.Tensor, mask: torch.Tensor | None = None) -> torch.Tensor:
        batch, length, width = values.shape
        parts = self.query_key_value(values).view(batch, length, 3, self.heads, width // self.heads)
        query, key, value = parts.permute(2, 0, 3, 1, 4).unbind(0)
        seen = None if mask is None else mask[:, None, None, :]
        dropout = self.dropout if self.training else 0.0
        mixed = F.scaled_dot_product_attention(query, key, value, attn_mask=seen, dropout_p=dropout)
        return self.output(mixed.transpose(1, 2).reshape(batch, length, width))


class TransformerBlock(nn.Module):
    """x + attention(norm(x)), then x + feed-forward(norm(x)), the latter `expansion` times as wide inside."""

    def __init__(self, width: int, heads: int, *, expansion: int = 4, dropout: float = 0.0) -> None:
        super().__init__()
        self.attention_norm = nn.LayerNorm(width)
        self.attention = SelfAttention(width, heads, dropout)
        self.feed_forward = nn.Sequential(
            nn.LayerNorm(width), nn.Linear(width, expansion * width), nn.GELU(), nn.Dropout(dropout),
            nn.Linear(expansion * width, width),
        )
        self.dropout = nn.Dropout(dropout)

    def forward(self, values: torch.Tensor, mask: torch.Tensor | None = None) -> torch.Tensor:
        values = values + self.dropout(self.attention(self.attention_norm(values), mask))
        return values + self.dropout(self.feed_forward(values))


class AttentionPool(nn.Module):
    """A weighted mean whose weights are learned, one set a head: (B, L, width), mask (B, L) → (B, width).

    Each head weighs its own slice of the width (Yang et al. 2016, eq. 5–7 with a linear score). A row without content
    gives zeros.
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        if width % heads:
            raise ValueError(f"expected heads that divide the width {width}, received {heads}")
        self.heads = heads
        self.score = nn.Linear(width, heads)

    def forward(self, values: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        batch, length, width = values.shape
        weights = masked_softmax(self.score(values), mask).to(values.dtype)
        slices = values.view(batch, length, self.heads, width // self.heads)
        return (weights[..., None] * slices).sum(1).reshape(batch, width)
