"""A bag of embeddings: the words of a text, without their order.

Papers: Joulin, Grave, Bojanowski & Mikolov, "Bag of Tricks for Efficient Text Classification", EACL 2017 (fastText);
Iyyer, Manjunatha, Boyd-Graber & Daumé, "Deep Unordered Composition", ACL 2015 (layers above the mean, word dropout).

The idea: each token has a learned vector; their mean says what the text is about, their maximum whether some word is
there at all. A small dense layer reads both. It costs next to nothing and is hard to beat on short or few texts.

What differs from the papers: mean and maximum side by side (Shen et al. 2018); one hidden layer; word dropout hides
whole tokens during training; no n-grams, the tokenizer's pieces stand alone.

What to notice: "dog bites man" and "man bites dog" are one text to it; when `attention_pool` or a recurrent net scores
higher, the order of the words matters.
"""

import torch
from torch import nn

from gradatim.nn.attention.mask import length_mask, masked_max, masked_mean
from gradatim.nn.init import initialise_dense
from gradatim.nn.precision import at_least_float32


class BagOfEmbeddings(nn.Module):
    """Mean and maximum of token vectors, a hidden layer, a linear head.

    forward: ids int (B, L), lengths int (B,) → float32 logits (B, num_classes), or features (B, num_features) when
    num_classes is 0. Token 0 is padding.
    """

    def __init__(self, num_classes: int, vocabulary: int, width: int, dropout: float, token_dropout: float) -> None:
        super().__init__()
        self.token_dropout = token_dropout
        self.embedding = nn.Embedding(vocabulary, width, padding_idx=0)
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
        values = self.mix(torch.cat([masked_mean(tokens, mask), masked_max(tokens, mask)], dim=1))
        return at_least_float32(self.head(self.dropout(values)))


def bag_of_embeddings(
    num_classes: int = 2, vocabulary: int = 8192, width: int = 64, dropout: float = 0.1, token_dropout: float = 0.1
) -> BagOfEmbeddings:
    """A bag of embeddings for texts: which words there are, not their order."""
    return BagOfEmbeddings(num_classes, vocabulary, width, dropout, token_dropout)


def demo() -> tuple[BagOfEmbeddings, tuple[torch.Tensor, ...]]:
    """A net over 20 tokens and three texts of 7, 3 and 1 tokens."""
    lengths = torch.tensor([7, 3, 1])
    ids = torch.randint(1, 20, (3, 7)) * length_mask(lengths, 7)
    return bag_of_embeddings(num_classes=4, vocabulary=20, width=16), (ids, lengths)
