"""Auxiliary heads: extra classifiers half-way up, which hand the lower layers a gradient in training."""

from collections.abc import Sequence

import torch
from torch.nn import functional as F


def auxiliary_loss(logits: Sequence[torch.Tensor], labels: torch.Tensor, weight: float = 0.3) -> torch.Tensor:
    """Mean cross entropy of the first logits plus `weight` times that of each of the others: () float.

    logits: those of the network first, then those of its auxiliary heads, each (B, classes), as `all_logits` of a
    network gives them; labels: int (B,). Source: Szegedy et al. 2015, § 5 (weight 0.3).
    """
    first, *others = (F.cross_entropy(part, labels) for part in logits)
    return first + weight * sum(others, start=torch.zeros_like(first))
