"""Attention of one query a row to keys and values that lie place by place: what a text is continued by.

A step of generation reads all keys and values once and computes little, so it takes as long as the memory is read.
With a place's vectors of all rows and heads side by side that is one walk through memory; laid out head by head, as
torch's fused attention wants it, every head is a place of its own to begin at: with 16 rows, 8 heads and more memory
than the processor's second cache holds, 3 times slower.
"""

from functools import cache
from typing import Any

import torch


def decode_attention(query: torch.Tensor, keys: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
    """softmax(q · k / √d) v for each row and head: query (N, d), keys and values (L, N, d) → (N, d).

    No gradient passes. On the CPU in float32 the two walks are loops of ours.

    >>> decode_attention(torch.ones(1, 2), torch.zeros(3, 1, 2), torch.tensor([[[1.0, 0]], [[2, 0]], [[6, 3]]]))
    tensor([[3., 1.]])
    """
    scale = query.shape[-1] ** -0.5
    if query.device.type != "cpu" or query.dtype != torch.float32:
        shares = ((keys * query).sum(-1) * scale).softmax(0)
        return (values * shares[..., None]).sum(0)
    meet, mix = _walks()
    scores, mixed = query.new_empty(keys.shape[:2]), torch.empty_like(query)
    meet(query.numpy(), keys.numpy(), scores.numpy())
    mix(scores.mul_(scale).softmax(0).numpy(), values.numpy(), mixed.numpy())
    return mixed


@cache
def _walks() -> tuple[Any, Any]:
    """The two loops, compiled when first asked for: numba takes a while to import."""
    from gradatim.nn.attention.decode_attention_kernels import meet, mix

    return meet, mix
