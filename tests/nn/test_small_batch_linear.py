"""Products of few rows equal those of a linear layer, packed or not."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from gradatim.nn import small_batch_linear as small_batch_linear
from gradatim.nn.attention.decode_attention import decode_attention
from gradatim.nn.small_batch_linear import PACKED_ROWS, SmallBatchLinear


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 9), st.integers(1, 9), st.integers(1, 40), st.integers(1, 40), st.integers(0, 99))
def test_equal_to_a_linear_layer(usual: int, rows: int, inputs: int, outputs: int, seed: int) -> None:
    source = torch.Generator().manual_seed(seed)
    weight, values, residual = (torch.randn(shape, generator=source, dtype=torch.float64)
                                for shape in ((outputs, inputs), (rows, inputs), (rows, outputs)))
    expected = F.linear(values, weight)
    with torch.inference_mode():
        layer = SmallBatchLinear(weight.float(), usual)
        close = {"atol": 1e-4, "rtol": 1e-4}
        torch.testing.assert_close(layer(values.float()).double(), expected, **close)
        torch.testing.assert_close(layer.gelu(values.float()).double(), F.gelu(expected), **close)
        torch.testing.assert_close(layer.added(values.float(), residual.float()).double(), residual + expected, **close)


def test_what_is_packed_and_what_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    weight = torch.randn(5, 3)
    assert SmallBatchLinear(weight, PACKED_ROWS).packed is not None
    assert SmallBatchLinear(weight, PACKED_ROWS - 1).packed is None
    assert SmallBatchLinear(weight.double(), PACKED_ROWS).packed is None
    monkeypatch.setattr(small_batch_linear, "packable", lambda weight: False)  # a torch without these calls
    assert torch.equal(SmallBatchLinear(weight, 99)(torch.eye(3)), weight.t())


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 7), st.integers(1, 12), st.sampled_from([1, 2, 5, 32]), st.integers(0, 99))
def test_one_query_equals_torch_attention(rows: int, places: int, size: int, seed: int) -> None:
    source = torch.Generator().manual_seed(seed)
    query = torch.randn(rows, size, generator=source)
    keys, values = torch.randn(2, places, rows, size, generator=source) * 3
    expected = F.scaled_dot_product_attention(query[:, None], keys.transpose(0, 1), values.transpose(0, 1))[:, 0]
    torch.testing.assert_close(decode_attention(query, keys, values), expected, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(decode_attention(query.double(), keys.double(), values.double()), expected.double(),
                               atol=1e-5, rtol=1e-4)  # by torch alone
