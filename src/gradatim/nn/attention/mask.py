"""Padding told apart from content: lengths to masks, and means, maxima and softmax that see content alone.

Rows of a batch are padded to the longest of them, so whatever reads padding makes a row's answer depend on its
neighbours. Nothing here branches on the data: one graph serves every batch.
"""

import torch


def length_mask(lengths: torch.Tensor, size: int) -> torch.Tensor:
    """True at the content: lengths int (B,) → bool (B, size).

    >>> length_mask(torch.tensor([0, 2]), 3).tolist()
    [[False, False, False], [True, True, False]]
    """
    return torch.arange(size, device=lengths.device) < lengths[:, None]


def masked_mean(values: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Mean over the content: values (B, L, D), mask bool (B, L) → (B, D); zeros for a row without content."""
    weight = mask.to(values.dtype)[..., None]
    return (values * weight).sum(1) / weight.sum(1).clamp(min=1.0)


def masked_max(values: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Largest value over the content: values (B, L, D), mask bool (B, L) → (B, D); zeros for a row without content."""
    lowest = torch.finfo(values.dtype).min
    largest = values.masked_fill(~mask[..., None], lowest).amax(1)
    return torch.where(mask.any(1)[:, None], largest, torch.zeros_like(largest))


def masked_softmax(scores: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Softmax over the content along axis 1, in float32: scores (B, L, H), mask bool (B, L) → weights (B, L, H).

    A row without content gets weights 0 (and gradients 0), not NaN.
    """
    lowest = torch.finfo(torch.float32).min
    weights = scores.float().masked_fill(~mask[..., None], lowest).softmax(1)
    return weights * mask[..., None]
