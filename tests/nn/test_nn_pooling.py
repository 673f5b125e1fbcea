"""Pooling of few channels equals torch's: values, gradients, ties, zeros of both signs, NaN, and the ways around it."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from gradatim.nn.convolution.pooling import max_pool_2x2


def both(values: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Values and gradients: torch's, ours."""
    found = []
    for pool in (lambda x: F.max_pool2d(x, 2), max_pool_2x2):
        leaf = values.detach().clone(memory_format=torch.preserve_format).requires_grad_()
        pooled = pool(leaf)
        upstream = torch.arange(1.0, 1 + pooled.numel()).view_as(pooled).to(pooled.dtype)
        pooled.backward(upstream)
        assert leaf.grad is not None
        found += [pooled.detach(), leaf.grad]
    return found[0], found[1], found[2], found[3]


@settings(max_examples=40, deadline=None)
@given(
    st.integers(1, 3), st.integers(1, 40), st.integers(1, 7), st.integers(1, 7),
    st.sampled_from([torch.float32, torch.bfloat16]), st.integers(0, 3), st.integers(0, 99),
)  # fmt: skip
def test_equal_to_torch_bit_for_bit(
    rows: int, channels: int, high: int, wide: int, dtype: torch.dtype, levels: int, seed: int
) -> None:
    """Few levels make ties; odd sides and many channels take torch's way."""
    torch.manual_seed(seed)
    values = torch.randn(rows, channels, high + 1, wide + 1)
    if levels:
        values = (values * levels).round() / levels * torch.where(torch.rand_like(values) < 0.5, 1.0, -1.0)
    values = values.to(dtype).contiguous(memory_format=torch.channels_last)
    expected, slope, found, own_slope = both(values)
    assert torch.equal(found, expected) and torch.equal(own_slope, slope)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_zeros_infinities_and_nan(dtype: torch.dtype) -> None:
    cells = [[0.0, -0.0, 0.0, -0.0], [-0.0, 0.0, -0.0, -0.0], [float("-inf")] * 4, [1.0, float("inf"), 2.0, 3.0],
             [1.0, float("nan"), float("inf"), 0.0], [float("-inf"), -1.0, -2.0, float("nan")]]  # fmt: skip
    values = torch.tensor(cells).view(1, 6, 2, 2).to(dtype).contiguous(memory_format=torch.channels_last)
    expected, slope, found, own_slope = both(values)
    torch.testing.assert_close(found, expected, rtol=0, atol=0, equal_nan=True)
    assert torch.equal(own_slope, slope)


def test_compiled_and_on_meta_it_is_torch_s() -> None:
    values = torch.randn(2, 6, 8, 8).contiguous(memory_format=torch.channels_last)
    compiled = torch.compile(max_pool_2x2, backend="eager", fullgraph=True)
    assert torch.equal(compiled(values), F.max_pool2d(values, 2))
    assert max_pool_2x2(values.to("meta")).shape == (2, 6, 4, 4)


def test_memory_stays_channels_last() -> None:
    pooled = max_pool_2x2(torch.randn(2, 6, 8, 8).contiguous(memory_format=torch.channels_last))
    assert pooled.is_contiguous(memory_format=torch.channels_last)
