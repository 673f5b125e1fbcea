"""The end that networks which write token by token share: the last place of a row, logits over a vocabulary."""

from torch import Tensor, nn
from torch.nn import functional as F


def after_last(features: Tensor, lengths: Tensor) -> Tensor:
    """The features (B, T, width) at the last real place of each row, by lengths int (B,): (B, width).

    >>> import torch
    >>> after_last(torch.arange(6.0).view(2, 3, 1), torch.tensor([2, 0])).tolist()
    [[1.0], [3.0]]
    """
    last = (lengths - 1).clamp(min=0)[:, None, None].expand(-1, 1, features.shape[2])
    return features.gather(1, last)[:, 0]


def vocabulary_logits(features: Tensor, outputs: int, embedding: nn.Embedding, head: nn.Linear | None) -> Tensor:
    """Features (…, width) → logits (…, outputs), by the head or else by the embedding itself (Press & Wolf 2017, "Using
    the Output Embedding to Improve Language Models"); the features themselves where there are no outputs.
    """
    if not outputs:
        return features
    return F.linear(features, embedding.weight) if head is None else head(features)
