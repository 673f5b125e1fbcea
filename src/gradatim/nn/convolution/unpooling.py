"""Pooling that remembers where each maximum lay, and unpooling that puts values back there."""

import torch
from torch.nn import functional as F


def max_pool_with_switches(
    values: torch.Tensor, kernel: int, stride: int, ceil_mode: bool = False
) -> tuple[torch.Tensor, torch.Tensor]:
    """Maxima and switches, both (B, C, H', W'): a switch is the place y · W + x of the maximum in its channel."""
    pooled, switches = F.max_pool2d(values, kernel, stride, ceil_mode=ceil_mode, return_indices=True)
    return pooled, switches


def unpool(values: torch.Tensor, switches: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """Each value back at its switch, 0 elsewhere: (B, C, H', W') → (B, C, *size).

    Where windows overlap and share a maximum, the values add up, so that this is exactly the transpose of the pooling,
    and what back-propagation through it does. Source: Zeiler & Fergus 2014, § 2.1.

    >>> pooled, switches = max_pool_with_switches(torch.tensor([[[[1.0, 2.0], [4.0, 3.0]]]]), 2, 2)
    >>> unpool(pooled, switches, (2, 2))
    tensor([[[[0., 0.],
              [4., 0.]]]])
    """
    height, width = size
    flat = values.new_zeros(*values.shape[:2], height * width)
    flat = flat.scatter_add(2, switches.flatten(2), values.flatten(2))
    return flat.unflatten(2, (height, width))
