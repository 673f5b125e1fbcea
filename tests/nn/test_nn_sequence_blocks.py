"""Masks, attention, recurrent layers: equal to torch's own modules and to plain loops, values and gradients."""

import math

import pytest
import torch
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from gradatim.nn.attention.attention import AttentionPool, SelfAttention, TransformerBlock, sinusoidal_positions
from gradatim.nn.attention.mask import length_mask, masked_max, masked_mean, masked_softmax
from gradatim.nn.recurrent.layers import MaskedRecurrent, reverse_rows

LENGTHS = torch.tensor([6, 1, 4])


@pytest.fixture
def values() -> torch.Tensor:
    torch.manual_seed(0)
    return torch.randn(3, 6, 8)


def test_masked_reductions_equal_loops(values):
    mask = length_mask(LENGTHS, 6)
    mean, largest, soft = masked_mean(values, mask), masked_max(values, mask), masked_softmax(values, mask)
    for row, length in enumerate(LENGTHS):
        content = values[row, :length]
        torch.testing.assert_close(mean[row], content.mean(0))
        torch.testing.assert_close(largest[row], content.max(0).values)
        torch.testing.assert_close(soft[row, :length], content.softmax(0))
        assert not soft[row, length:].any()


def test_a_row_without_content_gives_zeros_and_finite_gradients(values):
    values.requires_grad_()
    mask = length_mask(torch.tensor([0, 0, 2]), 6)
    for reduced in (masked_mean(values, mask), masked_max(values, mask), masked_softmax(values, mask).sum(1)):
        assert not reduced[:2].any()
        reduced.square().sum().backward()
    assert values.grad.isfinite().all()


def test_attention_equals_torchs_values_and_gradients(values):
    ours, theirs = SelfAttention(8, 2), nn.MultiheadAttention(8, 2, batch_first=True)
    with torch.no_grad():
        theirs.in_proj_weight.copy_(ours.query_key_value.weight)
        theirs.in_proj_bias.copy_(ours.query_key_value.bias)
        theirs.out_proj.weight.copy_(ours.output.weight)
        theirs.out_proj.bias.copy_(ours.output.bias)
    mask = length_mask(LENGTHS, 6)
    first, second = values.clone().requires_grad_(), values.clone().requires_grad_()
    expected, _ = theirs(second, second, second, key_padding_mask=~mask)
    received = ours(first, mask)
    torch.testing.assert_close(received[mask], expected[mask])
    received[mask].square().sum().backward()
    expected[mask].square().sum().backward()
    torch.testing.assert_close(first.grad, second.grad)
    torch.testing.assert_close(ours.query_key_value.weight.grad, theirs.in_proj_weight.grad)


def test_a_block_equals_torchs_pre_norm_layer(values):
    ours = TransformerBlock(8, 2, expansion=3)
    theirs = nn.TransformerEncoderLayer(8, 2, 24, 0.0, "gelu", batch_first=True, norm_first=True)
    state = {
        "self_attn.in_proj_weight": ours.attention.query_key_value.weight,
        "self_attn.in_proj_bias": ours.attention.query_key_value.bias,
        "self_attn.out_proj.weight": ours.attention.output.weight,
        "self_attn.out_proj.bias": ours.attention.output.bias,
        "norm1.weight": ours.attention_norm.weight, "norm1.bias": ours.attention_norm.bias,
        "norm2.weight": ours.feed_forward[0].weight, "norm2.bias": ours.feed_forward[0].bias,
        "linear1.weight": ours.feed_forward[1].weight, "linear1.bias": ours.feed_forward[1].bias,
        "linear2.weight": ours.feed_forward[4].weight, "linear2.bias": ours.feed_forward[4].bias,
    }
    theirs.load_state_dict(state)
    mask = length_mask(LENGTHS, 6)
    torch.testing.assert_close(ours(values, mask)[mask], theirs(values, src_key_padding_mask=~mask)[mask])


def test_attention_pool_is_a_weighted_mean_by_head(values):
    pool = AttentionPool(8, 2)
    result = pool(values, length_mask(LENGTHS, 6))
    for row, length in enumerate(LENGTHS):
        content = values[row, :length]
        weights = pool.score(content).softmax(0)
        expected = torch.cat([(weights[:, head, None] * content[:, head * 4 : head * 4 + 4]).sum(0) for head in (0, 1)])
        torch.testing.assert_close(result[row], expected)


def test_positions_follow_the_formula():
    codes = sinusoidal_positions(50, 6)
    for place, pair in ((0, 0), (7, 1), (49, 2)):
        angle = place / 10000 ** (2 * pair / 6)
        assert float(codes[place, 2 * pair]) == pytest.approx(math.sin(angle), abs=1e-5)
        assert float(codes[place, 2 * pair + 1]) == pytest.approx(math.cos(angle), abs=1e-5)
    with pytest.raises(ValueError, match="even"):
        sinusoidal_positions(4, 3)


def test_rows_turn_round_within_their_length(values):
    turned = reverse_rows(values, LENGTHS)
    for row, length in enumerate(LENGTHS):
        torch.testing.assert_close(turned[row, :length], values[row, :length].flip(0))
        torch.testing.assert_close(turned[row, length:], values[row, length:])
    torch.testing.assert_close(reverse_rows(turned, LENGTHS), values)


@pytest.mark.parametrize("cell", ["gru", "lstm"])
@pytest.mark.parametrize("bidirectional", [False, True])
def test_recurrent_layers_equal_torchs_on_packed_rows(values, cell, bidirectional):
    torch.manual_seed(1)
    ours = MaskedRecurrent(8, 5, layers=2, cell=cell, bidirectional=bidirectional)
    kind = {"gru": nn.GRU, "lstm": nn.LSTM}[cell]
    theirs = kind(8, 5, num_layers=2, batch_first=True, bidirectional=bidirectional)
    directions = [("", ours.rightward), ("_reverse", ours.leftward)][: 1 + bidirectional]
    with torch.no_grad():
        for suffix, stack in directions:
            for number, layer in enumerate(stack):
                for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"):
                    getattr(layer, name).add_(0.1 * torch.randn_like(getattr(layer, name)))
                    getattr(theirs, f"{name}_l{number}{suffix}").copy_(getattr(layer, name))
    first, second = values.clone().requires_grad_(), values.clone().requires_grad_()
    packed, _ = theirs(pack_padded_sequence(second, LENGTHS, batch_first=True, enforce_sorted=False))
    expected, _ = pad_packed_sequence(packed, batch_first=True)
    received = ours(first, LENGTHS)
    torch.testing.assert_close(received, expected)
    received.square().sum().backward()
    expected.square().sum().backward()
    torch.testing.assert_close(first.grad, second.grad)
    for suffix, stack in directions:
        for number, layer in enumerate(stack):
            torch.testing.assert_close(layer.weight_hh.grad, getattr(theirs, f"weight_hh_l{number}{suffix}").grad)
