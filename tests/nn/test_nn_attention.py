"""Attention, blocks, positions, caches: equal to torch's modules and to loops; padding and future never leak."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from gradatim.nn.attention.attention import (
    DecoderBlock,
    KeyValueCache,
    MultiHeadAttention,
    SelfAttention,
    TransformerBlock,
    attend,
    attention_weights,
    reorder_caches,
    visible,
)
from gradatim.nn.attention.mask import length_mask
from gradatim.nn.attention.positions import LearnedPositions, RotaryPositions, SinusoidalPositions, sinusoidal_positions
from gradatim.nn.attention.scores import AdditiveAttention, MultiplicativeAttention

LENGTHS = torch.tensor([5, 2, 4])


def brute_force(query, key, value, seen):
    """Attention by plain loops in float64: (B, H, Q, d), (B, H, K, d), seen(b, q, k) → (B, Q, H·d)."""
    batch, heads, queries, width = query.shape
    mixed = torch.zeros(batch, queries, heads * width, dtype=torch.float64)
    for b in range(batch):
        for h in range(heads):
            for q in range(queries):
                open_keys = [k for k in range(key.shape[2]) if seen(b, q, k)]
                if not open_keys:
                    continue
                scores = [math.exp(float(query[b, h, q].double() @ key[b, h, k].double()) / math.sqrt(width))
                          for k in open_keys]
                for score, k in zip(scores, open_keys):
                    mixed[b, q, h * width : (h + 1) * width] += score / sum(scores) * value[b, h, k].double()
    return mixed


@settings(max_examples=15, deadline=None)
@given(queries=st.integers(1, 4), further=st.integers(0, 3), causal=st.booleans(), padded=st.booleans(),
       seed=st.integers(0, 99))
def test_attention_equals_a_loop(queries, further, causal, padded, seed):
    torch.manual_seed(seed)
    keys = queries + further
    query, key = torch.randn(2, 2, queries, 4), torch.randn(2, 2, keys, 4)
    value = torch.randn(2, 2, keys, 4)
    mask = length_mask(torch.tensor([keys, max(keys - 2, 0)]), keys) if padded else None

    def seen(b: int, q: int, k: int) -> bool:
        return (mask is None or bool(mask[b, k])) and (not causal or k <= q + further)

    received = attend(query, key, value, mask, causal=causal)
    torch.testing.assert_close(received.double(), brute_force(query, key, value, seen), atol=1e-5, rtol=1e-4)
    weights = attention_weights(query, key, mask, causal=causal)
    torch.testing.assert_close((weights @ value).transpose(1, 2).flatten(2), received, atol=1e-5, rtol=1e-4)


def test_a_mask_of_its_own_for_every_query():
    mask = torch.rand(2, 3, 4, generator=torch.Generator().manual_seed(0)) > 0.5
    assert visible(3, 4, mask, causal=False).shape == (2, 1, 3, 4)
    both = visible(3, 4, mask, causal=True)
    assert torch.equal(both[:, 0], mask & torch.ones(3, 4, dtype=torch.bool).tril(1))


def as_theirs(ours: MultiHeadAttention, width: int, heads: int, memory_width: int) -> nn.MultiheadAttention:
    theirs = nn.MultiheadAttention(width, heads, batch_first=True, kdim=memory_width, vdim=memory_width)
    with torch.no_grad():
        if theirs._qkv_same_embed_dim:
            theirs.in_proj_weight.copy_(torch.cat([ours.query.weight, ours.key.weight, ours.value.weight]))
        else:
            theirs.q_proj_weight.copy_(ours.query.weight)
            theirs.k_proj_weight.copy_(ours.key.weight)
            theirs.v_proj_weight.copy_(ours.value.weight)
        theirs.in_proj_bias.copy_(torch.cat([ours.query.bias, torch.randn(width), ours.value.bias]))  # keys': no matter
        theirs.out_proj.weight.copy_(ours.output.weight)
        theirs.out_proj.bias.copy_(ours.output.bias)
    return theirs


@pytest.mark.parametrize("memory_width", [8, 6])
def test_cross_attention_equals_torchs_values_gradients_and_weights(memory_width):
    torch.manual_seed(0)
    ours = MultiHeadAttention(8, 2, memory_width=memory_width)
    nn.init.normal_(ours.query.bias)
    theirs = as_theirs(ours, 8, 2, memory_width)
    values, memory = torch.randn(3, 4, 8), torch.randn(3, 5, memory_width)
    mask = length_mask(LENGTHS, 5)
    sides = []
    for _ in range(2):
        sides.append((values.clone().requires_grad_(), memory.clone().requires_grad_()))
    received = ours(*sides[0], mask)
    expected, weights = theirs(sides[1][0], sides[1][1], sides[1][1], key_padding_mask=~mask,
                               average_attn_weights=False)
    torch.testing.assert_close(received, expected)
    torch.testing.assert_close(ours.weights(values, memory, mask), weights)
    torch.testing.assert_close(ours(values, ours.remember(memory), mask), received)
    received.square().sum().backward()
    expected.square().sum().backward()
    for mine, its in zip(*sides):
        torch.testing.assert_close(mine.grad, its.grad)
    torch.testing.assert_close(ours.output.weight.grad, theirs.out_proj.weight.grad)


def torch_state(block: TransformerBlock | DecoderBlock) -> dict[str, torch.Tensor]:
    """A block's weights under the names of torch's layers."""
    attention = block.attention
    state = {
        "self_attn.in_proj_weight": attention.query_key_value.weight,
        "self_attn.in_proj_bias": attention.query_key_value.bias,
        "self_attn.out_proj.weight": attention.output.weight, "self_attn.out_proj.bias": attention.output.bias,
        "norm1.weight": block.attention_norm.weight, "norm1.bias": block.attention_norm.bias,
        "linear1.weight": block.feed_forward[1].weight, "linear1.bias": block.feed_forward[1].bias,
        "linear2.weight": block.feed_forward[4].weight, "linear2.bias": block.feed_forward[4].bias,
    }
    last = block.feed_forward[0]
    if isinstance(block, TransformerBlock):
        return state | {"norm2.weight": last.weight, "norm2.bias": last.bias}
    cross = block.cross_attention
    return state | {
        "norm2.weight": block.cross_norm.weight, "norm2.bias": block.cross_norm.bias,
        "norm3.weight": last.weight, "norm3.bias": last.bias,
        "multihead_attn.in_proj_weight": torch.cat([cross.query.weight, cross.key.weight, cross.value.weight]),
        "multihead_attn.in_proj_bias": torch.cat([cross.query.bias, torch.zeros(8), cross.value.bias]),
        "multihead_attn.out_proj.weight": cross.output.weight, "multihead_attn.out_proj.bias": cross.output.bias,
    }


def scattered(module: nn.Module) -> nn.Module:
    """Norms and biases away from 1 and 0, so that a swapped pair shows."""
    torch.manual_seed(3)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    return module


@pytest.mark.parametrize("activation", ["gelu", "relu"])
@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("norm_first", [False, True])
def test_an_encoder_block_equals_torchs(norm_first, causal, activation):
    ours = scattered(TransformerBlock(8, 2, expansion=3, norm_first=norm_first, causal=causal, activation=activation))
    theirs = nn.TransformerEncoderLayer(8, 2, 24, 0.0, activation, batch_first=True, norm_first=norm_first)
    theirs.load_state_dict(torch_state(ours))
    first = torch.randn(3, 5, 8, requires_grad=True)
    second = first.detach().clone().requires_grad_()
    mask = length_mask(LENGTHS, 5)
    future = torch.ones(5, 5, dtype=torch.bool).triu(1) if causal else None
    received = ours(first, mask)[mask]
    expected = theirs(second, src_mask=future, src_key_padding_mask=~mask)[mask]
    torch.testing.assert_close(received, expected)
    received.square().sum().backward()
    expected.square().sum().backward()
    torch.testing.assert_close(first.grad, second.grad, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(ours.feed_forward[1].weight.grad, theirs.linear1.weight.grad, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("norm_first", [False, True])
def test_a_decoder_block_equals_torchs(norm_first):
    ours = scattered(DecoderBlock(8, 2, expansion=3, norm_first=norm_first, activation="relu"))
    theirs = nn.TransformerDecoderLayer(8, 2, 24, 0.0, "relu", batch_first=True, norm_first=norm_first)
    theirs.load_state_dict(torch_state(ours))
    memory_mask = length_mask(LENGTHS, 5)
    first = torch.randn(3, 4, 8, requires_grad=True), torch.randn(3, 5, 8, requires_grad=True)
    second = tuple(part.detach().clone().requires_grad_() for part in first)
    future = torch.ones(4, 4, dtype=torch.bool).triu(1)
    received = ours(*first, memory_mask=memory_mask)
    expected = theirs(*second, tgt_mask=future, memory_key_padding_mask=~memory_mask)
    torch.testing.assert_close(received, expected)
    received.square().sum().backward()
    expected.square().sum().backward()
    for mine, its in zip(first, second):
        torch.testing.assert_close(mine.grad, its.grad, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("norm_first", [False, True])
@pytest.mark.parametrize("kind", [TransformerBlock, DecoderBlock])
def test_the_future_never_leaks(kind, norm_first):
    torch.manual_seed(0)
    causal = {"causal": True} if kind is TransformerBlock else {}
    block = kind(8, 2, norm_first=norm_first, **causal)
    values = torch.randn(1, 6, 8, requires_grad=True)
    memory = (torch.randn(1, 3, 8),) if isinstance(block, DecoderBlock) else ()
    for place in range(6):
        (gradient,) = torch.autograd.grad(block(values, *memory)[0, place, :3].sum(), values)
        assert not gradient[0, place + 1 :].any()
        assert all(gradient[0, earlier].any() for earlier in range(place + 1))


@pytest.mark.parametrize("norm_first", [False, True])
def test_padding_never_changes_a_result(norm_first):
    torch.manual_seed(0)
    block = TransformerBlock(8, 2, norm_first=norm_first)
    decoder = DecoderBlock(8, 2, norm_first=norm_first)
    short, memory, written = torch.randn(1, 3, 8), torch.randn(1, 3, 8), torch.randn(1, 4, 8)
    for noise in (0.0, 1e3):
        padding = noise * torch.randn(1, 2, 8)
        mask = length_mask(torch.tensor([3]), 5)
        torch.testing.assert_close(block(torch.cat([short, padding], 1), mask)[:, :3], block(short))
        torch.testing.assert_close(decoder(written, torch.cat([memory, padding], 1), None, mask),
                                   decoder(written, memory))


@pytest.mark.parametrize("rotary", [False, True])
@pytest.mark.parametrize("norm_first", [False, True])
def test_cached_equals_uncached(norm_first, rotary):
    torch.manual_seed(0)
    turn = RotaryPositions(8, 4) if rotary else None
    block = TransformerBlock(8, 2, causal=True, norm_first=norm_first)
    decoder = DecoderBlock(8, 2, norm_first=norm_first)
    values, memory = torch.randn(2, 7, 8), torch.randn(2, 3, 8)
    whole = decoder(block(values, rotary=turn), memory, rotary=turn)
    caches = block.attention.cache(2, 8), decoder.attention.cache(2, 8)
    known = decoder.cross_attention.remember(memory)
    steps, start = [], 0
    for size in (3, 1, 1, 2):  # a prompt, single tokens, two at once
        read = block(values[:, start : start + size], rotary=turn, cache=caches[0])
        steps.append(decoder(read, known, rotary=turn, cache=caches[1]))
        start += size
    torch.testing.assert_close(torch.cat(steps, 1), whole, atol=1e-5, rtol=1e-4)
    with pytest.raises(ValueError, match="at most 8 places"):
        block(values[:, :2], cache=caches[0])


def test_a_cache_follows_its_beams():
    torch.manual_seed(0)
    attention = SelfAttention(8, 2, causal=True)
    values = torch.randn(3, 4, 8)
    cache = attention.cache(3, 6)
    attention(values[:, :2], cache=cache)
    rows = torch.tensor([2, 2, 0])
    reorder_caches([cache], rows)
    followed = torch.cat([values[rows, :2], values[:, 2:3]], 1)
    torch.testing.assert_close(attention(values[:, 2:3], cache=cache), attention(followed)[:, 2:])
    cache.rewind(1)
    torch.testing.assert_close(attention(values[:, 3:], cache=cache),
                               attention(torch.cat([followed[:, :1], values[:, 3:]], 1))[:, 1:])
    cache.reorder(torch.tensor([0, 0, 1, 2]))  # more beams than before
    assert cache.keys.shape[0] == 4 and cache.length == 2
    assert KeyValueCache.empty(1, 2, 3, 4).extend(torch.ones(1, 2, 1, 4), torch.ones(1, 2, 1, 4))[0].shape[2] == 1


def test_rotated_products_depend_on_the_distance_alone():
    torch.manual_seed(0)
    rotary = RotaryPositions(64, 8)
    query, key = torch.randn(1, 1, 1, 8), torch.randn(1, 1, 1, 8)

    def product(place: int, other: int) -> float:
        return float((rotary(query, place) * rotary(key, other)).sum())

    assert product(3, 1) == pytest.approx(product(40, 38), abs=1e-4)
    assert abs(product(3, 1) - product(3, 2)) > 1e-3
    turned = rotary(query, 5)[0, 0, 0]
    for pair in range(4):  # number i is the real part, number i + half the imaginary part
        angle = 5 * 10000 ** (-2 * pair / 8)
        number = complex(query[0, 0, 0, pair], query[0, 0, 0, pair + 4]) * complex(math.cos(angle), math.sin(angle))
        assert complex(turned[pair], turned[pair + 4]) == pytest.approx(number, abs=1e-5)
    places = torch.tensor([[4], [9]])
    both = rotary(query.expand(2, 1, 1, 8), places=places)
    torch.testing.assert_close(both[1], rotary(query, 9)[0])
    with pytest.raises(ValueError, match="at most 64"):
        rotary(query, 64)


def test_added_positions_start_where_they_are_told():
    values = torch.zeros(1, 2, 6)
    fixed, learned = SinusoidalPositions(9, 6), LearnedPositions(9, 6)
    torch.testing.assert_close(fixed(values, 3)[0], sinusoidal_positions(9, 6)[3:5])
    torch.testing.assert_close(learned(values, 3)[0], learned.weight[3:5])
    assert "codes" not in fixed.state_dict()
    with pytest.raises(ValueError, match="at most 9 tokens"):
        learned(values, 8)


def scores_by_loop(attention, query, memory):
    """Luong et al. 2015, eq. 8 and Bahdanau et al. 2015, A.1.2, one pair at a time."""
    found = torch.zeros(len(query), memory.shape[1])
    for row in range(len(query)):
        for place in range(memory.shape[1]):
            state, read = query[row], memory[row, place]
            if isinstance(attention, AdditiveAttention) or attention.kind == "concat":
                part = attention if isinstance(attention, AdditiveAttention) else attention.project
                hidden = torch.cat([part.query.weight, part.memory.weight], 1) @ torch.cat([state, read])
                found[row, place] = part.score.weight[0] @ torch.tanh(hidden)
            elif attention.kind == "general":
                found[row, place] = state @ (attention.project.weight @ read)
            else:
                found[row, place] = state @ read
    return found


@pytest.mark.parametrize("name", ["additive", "dot", "general", "concat"])
def test_scores_of_recurrent_decoders_equal_loops(name):
    torch.manual_seed(0)
    width = 6 if name == "dot" else 4
    attention = AdditiveAttention(6, width, 5) if name == "additive" else MultiplicativeAttention(6, width, name)
    query, memory = torch.randn(3, 6), torch.randn(3, 5, width)
    mask = length_mask(LENGTHS, 5)
    context, weights = attention(query, memory, mask)
    scores = scores_by_loop(attention, query, memory)
    for row, length in enumerate(LENGTHS):
        expected = scores[row, :length].softmax(0)
        torch.testing.assert_close(weights[row, :length], expected)
        assert not weights[row, length:].any()
        torch.testing.assert_close(context[row], expected @ memory[row, :length])
    known = attention.remember(memory)
    several = attention(torch.stack([query, 2 * query], 1), memory, mask, known)
    torch.testing.assert_close(several[0][:, 0], context)
    torch.testing.assert_close(several[1][:, 1], attention(2 * query, memory, mask)[1])


def test_what_does_not_fit_is_refused():
    with pytest.raises(ValueError, match="heads that divide"):
        MultiHeadAttention(8, 3)
    with pytest.raises(ValueError, match="activation among gelu, relu"):
        TransformerBlock(8, 2, activation="tanh")
    with pytest.raises(ValueError, match="equal widths"):
        MultiplicativeAttention(6, 4, "dot")
    with pytest.raises(ValueError, match="score among"):
        MultiplicativeAttention(6, 6, "local")
    with pytest.raises(ValueError, match="even"):
        RotaryPositions(4, 3)
