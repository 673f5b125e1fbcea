"""Language networks: equal to plain implementations, blind to the future, the same with a cache as without."""

import math

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from gradatim.models.sequence.causal_transformer import CausalTransformer, causal_transformer, rotary_angles, rotate
from gradatim.models.sequence.recurrent_language_model import recurrent_language_model


def transformer(positions: str, context: int = 12) -> CausalTransformer:
    torch.manual_seed(0)
    return causal_transformer(vocabulary=11, width=16, heads=2, depth=3, context=context, positions=positions).eval()


def plainly(network: CausalTransformer, ids: torch.Tensor) -> torch.Tensor:
    """The same network place by place and head by head, complex numbers for the turning, in float64."""
    weights = {name: value.double() for name, value in network.state_dict().items()}
    heads, width = network.blocks[0].heads, network.num_features
    size = width // heads
    rows = []
    for text in ids:
        x = weights["embedding.weight"][text]
        if network.places is not None:
            x = x + weights["places.weight"][: len(text)]
        for number in range(len(network.blocks)):
            own = {name.split(f"blocks.{number}.")[1]: value for name, value in weights.items()
                   if name.startswith(f"blocks.{number}.")}
            q, k, v = (F.layer_norm(x, (width,), own["attention_norm.weight"]) @ own["query_key_value.weight"].T).split(
                width, dim=1)
            mixed = torch.zeros_like(x)
            for head in range(heads):
                part = slice(head * size, (head + 1) * size)
                low = torch.arange(head * size // 2, (head + 1) * size // 2)
                halves = torch.cat([low, low + width // 2])  # the first halves of all heads lie before the second
                qs, ks, vs = q[:, halves], k[:, halves], v[:, part]
                if network.places is None:
                    qs, ks = turned(qs), turned(ks)
                for place in range(len(text)):
                    share = (ks[: place + 1] @ qs[place] / math.sqrt(size)).softmax(0)
                    mixed[place, part] = share @ vs[: place + 1]
            x = x + mixed @ own["attention_output.weight"].T
            wide = F.layer_norm(x, (width,), own["feed_forward_norm.weight"]) @ own["widen.weight"].T
            x = x + F.gelu(wide) @ own["narrow.weight"].T
        rows.append(F.layer_norm(x, (width,), weights["norm.weight"]) @ weights["embedding.weight"].T)
    return torch.stack(rows)


def turned(values: torch.Tensor) -> torch.Tensor:
    """Rotary positions by complex multiplication."""
    length, size = values.shape
    rate = 10000.0 ** (-torch.arange(size // 2, dtype=torch.float64) * 2 / size)
    angle = torch.arange(length, dtype=torch.float64)[:, None] * rate
    found = torch.complex(values[:, : size // 2], values[:, size // 2 :]) * torch.polar(torch.ones_like(angle), angle)
    return torch.cat([found.real, found.imag], dim=1)


@pytest.mark.parametrize("positions", ["rotary", "learned"])
def test_transformer_equals_a_plain_one_in_values_and_gradients(positions: str) -> None:
    network = transformer(positions)
    ids = torch.randint(0, 11, (2, 9))
    expected = plainly(network, ids)
    torch.testing.assert_close(network.logits(ids).double(), expected, atol=2e-5, rtol=1e-4)
    with torch.no_grad():  # without a gradient torch's fused attention takes over
        torch.testing.assert_close(network.logits(ids).double(), expected, atol=2e-5, rtol=1e-4)
    assert sum(value.numel() for value in network.parameters()) == (
        11 * 16 + (12 * 16 if positions == "learned" else 0) + 3 * (12 * 16 * 16 + 2 * 16) + 16)


@pytest.mark.parametrize("make", [
    lambda: transformer("rotary"), lambda: transformer("learned"),
    lambda: recurrent_language_model(vocabulary=11, width=8, hidden=12, layers=2).eval(),
])
def test_the_future_never_leaks(make) -> None:
    """The gradient of the scores at a place is zero for every later token's vector."""
    network = make()
    caught: list[torch.Tensor] = []

    def keep(module: nn.Module, inputs: object, output: torch.Tensor) -> torch.Tensor:
        output.requires_grad_().retain_grad()
        caught.append(output)
        return output

    network.embedding.register_forward_hook(keep)
    ids = torch.randint(0, 11, (1, 9))
    network.embedding.weight.requires_grad_(False)
    network.logits(ids)[0, 4].square().sum().backward()
    gradient = caught[0].grad[0].abs().sum(1)
    assert (gradient[:5] > 0).all() and (gradient[5:] == 0).all()


@pytest.mark.parametrize("rows", [1, 3, 6])  # one by one, and packed from four rows on
@pytest.mark.parametrize("positions", ["rotary", "learned"])
def test_cached_equals_uncached(positions: str, rows: int) -> None:
    network = transformer(positions)
    ids = torch.randint(0, 11, (rows, 12))
    whole = network.logits(ids)
    cache = network.begin(rows)
    torch.testing.assert_close(network.read(ids[:, :5], cache), whole[:, 4])
    for place in range(5, 12):
        torch.testing.assert_close(network.read(ids[:, place : place + 1], cache), whole[:, place])
        if place == 8:  # as a beam search takes rows
            order = torch.tensor([rows - 1, 0, 0])
            cache, ids, whole = cache.select(order), ids[order], whole[order]
    with pytest.raises(ValueError, match="at most 12 tokens"):
        network.read(ids[:, :1], cache)
    with pytest.raises(ValueError, match="empty cache"):
        network.read(ids[:, :2], cache)


def test_turned_vectors_meet_by_their_distance_alone() -> None:
    angles = rotary_angles(40, 4)
    query, key = torch.randn(2, 8)
    cosine, sine = angles.cos(), angles.sin()
    queries, keys = rotate(query.expand(40, 8), cosine, sine), rotate(key.expand(40, 8), cosine, sine)
    products = queries @ keys.T
    for distance in (0, 3, 11):
        diagonal = products.diagonal(distance)
        torch.testing.assert_close(diagonal, diagonal[:1].expand_as(diagonal), atol=1e-4, rtol=1e-4)


def test_recurrent_layers_equal_torch_and_carry_their_state() -> None:
    torch.manual_seed(0)
    network = recurrent_language_model(vocabulary=11, width=8, hidden=12, layers=2).eval()
    reference = nn.LSTM(8, 12, 2, batch_first=True)
    reference.load_state_dict(network.recurrent.state_dict())
    values = torch.randn(3, 7, 8)
    torch.testing.assert_close(network.recurrent(values, None)[0], reference(values)[0])
    ids = torch.randint(0, 11, (3, 10))
    first, state = network.carried(ids[:, :4], None)
    second, _ = network.carried(ids[:, 4:], state)
    torch.testing.assert_close(torch.cat([first, second], dim=1), network.logits(ids))


def test_bad_arguments_are_named() -> None:
    with pytest.raises(ValueError, match="heads"):
        causal_transformer(width=10, heads=4)
    with pytest.raises(ValueError, match="positions"):
        causal_transformer(positions="none")
