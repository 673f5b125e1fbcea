"""Attention pooling over token vectors that know their neighbours: which words decide?

Papers: Yang et al., "Hierarchical Attention Networks for Document Classification", NAACL 2016; Lin et al., "A
Structured Self-Attentive Sentence Embedding", ICLR 2017 (several heads); the local context is that of Kim,
"Convolutional Neural Networks for Sentence Classification", EMNLP 2014.

The idea: a short convolution lets each token see its neighbours ("not good"); then every head learns what to look for
and takes the weighted mean of what it finds. The weights say which tokens the answer rests on. Cost grows with the
length, not with its square, and all positions are computed at once.

What differs from the papers: a residual convolution instead of a recurrent net below; the maximum of the
token vectors beside the attended mean.

What to notice: order counts only within `window` tokens; for order over a distance take the transformer.
"""

import torch
from torch import nn

from gradatim.nn.attention.attention import AttentionPool
from gradatim.nn.attention.mask import length_mask, masked_max
from gradatim.nn.init import initialise_dense
from gradatim.nn.precision import at_least_float32


class LocalContext(nn.Module):
    """x + mix(GELU(convolution(norm(x)))): (B, L, width), mask bool (B, L) → (B, L, width).

    The convolution is one matrix on each token laid beside its neighbours: a library's one-dimensional convolution is
    several times slower at this size on a processor.
    """

    def __init__(self, width: int, window: int) -> None:
        super().__init__()
        if window % 2 == 0:
            raise ValueError(f"expected an odd window, received {window}")
        self.norm = nn.LayerNorm(width)
        self.reach = window // 2
        self.neighbours = nn.Linear(window * width, width)
        self.mix = nn.Linear(width, width)

    def forward(self, values: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        normed = self.norm(values) * mask[..., None].to(values.dtype)  # padding must be zero for the window
        length, padded = normed.shape[1], nn.functional.pad(normed, (0, 0, self.reach, self.reach))
        beside = torch.cat([padded[:, place : place + length] for place in range(2 * self.reach + 1)], dim=2)
        return values + self.mix(nn.functional.gelu(self.neighbours(beside)))


class AttentionPoolClassifier(nn.Module):
    """Embedding, local context, attended mean beside the maximum, hidden layer, linear head.

    forward: ids int (B, L), lengths int (B,) → float32 logits (B, num_classes), or features (B, num_features) when
    num_classes is 0. Token 0 is padding.
    """

    def __init__(
        self, num_classes: int, vocabulary: int, width: int, heads: int, depth: int, window: int, dropout: float,
        token_dropout: float,
    ) -> None:
        super().__init__()
        self.token_dropout = token_dropout
        self.embedding = nn.Embedding(vocabulary, width, padding_idx=0)
        self.context = nn.ModuleList(LocalContext(width, window) for _ in range(depth))
        self.pool = AttentionPool(width, heads)
        self.mix = nn.Sequential(nn.LayerNorm(2 * width), nn.Dropout(dropout), nn.Linear(2 * width, width), nn.GELU())
        self.num_features = width
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(width, num_classes) if num_classes else nn.Identity()
        initialise_dense(self)

    def forward(self, ids: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        mask = length_mask(lengths, ids.shape[1])
        if self.training and self.token_dropout:
            mask = mask & (torch.rand(ids.shape, device=ids.device) >= self.token_dropout)
        tokens = self.embedding(ids)
        for layer in self.context:
            tokens = layer(tokens, mask)
        values = self.mix(torch.cat([self.pool(tokens, mask), masked_max(tokens, mask)], dim=1))
        return at_least_float32(self.head(self.dropout(values)))


def attention_pool(
    num_classes: int = 2, vocabulary: int = 8192, width: int = 64, heads: int = 4, depth: int = 1, window: int = 3,
    dropout: float = 0.1, token_dropout: float = 0.1,
) -> AttentionPoolClassifier:
    """Attention pooling for texts: short windows of tokens, weighted by what decides."""
    return AttentionPoolClassifier(num_classes, vocabulary, width, heads, depth, window, dropout, token_dropout)


def demo() -> tuple[AttentionPoolClassifier, tuple[torch.Tensor, ...]]:
    """A net over 20 tokens and three texts of 7, 3 and 1 tokens."""
    lengths = torch.tensor([7, 3, 1])
    ids = torch.randint(1, 20, (3, 7)) * length_mask(lengths, 7)
    return attention_pool(num_classes=4, vocabulary=20, width=16), (ids, lengths)
