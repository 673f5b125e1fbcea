"""Starts of weights: variances against the papers' formulas, and the signal through fifty layers."""

import math

import pytest
import torch
from torch import nn

from gradatim.nn import init


@pytest.mark.parametrize("shape", [(300, 200), (64, 32, 3, 3)])
def test_variances_are_those_of_the_papers(shape):
    torch.manual_seed(0)
    weight = torch.empty(*shape)
    fan_in, fan_out = init.fans(weight)
    for filled, variance in (
        (init.kaiming_normal_, 2 / fan_in),
        (lambda w: init.kaiming_normal_(w, fan="out"), 2 / fan_out),
        (init.xavier_uniform_, 2 / (fan_in + fan_out)),
        (init.xavier_normal_, 2 / (fan_in + fan_out)),
    ):
        assert float(filled(weight).var()) == pytest.approx(variance, rel=0.05)
        assert abs(float(weight.mean())) < 4 * math.sqrt(variance / weight.numel())


def test_fans_equal_torchs():
    for shape in [(7, 5), (8, 3, 5), (16, 3, 5, 4)]:
        assert init.fans(torch.empty(*shape)) == nn.init._calculate_fan_in_and_fan_out(torch.empty(*shape))
    with pytest.raises(ValueError, match="2 axes"):
        init.fans(torch.empty(3))


@pytest.mark.parametrize(
    ("fill", "activation", "lowest", "highest"),
    [
        (init.kaiming_normal_, torch.relu, 0.3, 3.0),  # He et al.: ReLU keeps its scale
        (lambda w: init.xavier_normal_(w, gain=init.TANH_GAIN), torch.tanh, 0.3, 1.0),
        (lambda w: init.small_normal_(w, deviation=0.01), torch.tanh, 0.0, 1e-6),  # too small: the signal dies
        (lambda w: init.small_normal_(w, deviation=0.5), torch.tanh, 0.9, 1.0),  # too large: all units saturate
        (init.xavier_normal_, torch.relu, 0.0, 1e-6),  # Xavier forgets that ReLU halves
    ],
)
def test_the_signal_through_fifty_layers(fill, activation, lowest, highest):
    torch.manual_seed(0)
    values = torch.randn(64, 512)
    first = None
    for _ in range(50):
        values = activation(values @ fill(torch.empty(512, 512)).T)
        first = first if first is not None else float(values.pow(2).mean().sqrt())
    last = float(values.pow(2).mean().sqrt())
    assert lowest <= (last / first if activation is torch.relu else last) <= highest


def test_orthogonal_keeps_lengths_and_leaves_meta_alone():
    torch.manual_seed(0)
    for shape in [(8, 8), (12, 5), (5, 12)]:
        weight = init.orthogonal_(torch.empty(*shape))
        product = weight @ weight.T if shape[0] <= shape[1] else weight.T @ weight
        torch.testing.assert_close(product, torch.eye(min(shape)), atol=1e-6, rtol=0)
    assert init.orthogonal_(torch.empty(3, 3, device="meta")).is_meta


def test_zeros_never_break_the_symmetry_between_units():
    layers = nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 1))
    for parameter in layers.parameters():
        nn.init.constant_(parameter, 0.3)  # equal weights, as zeros are
    values, target = torch.randn(32, 4), torch.randn(32, 1)
    optimizer = torch.optim.SGD(layers.parameters(), lr=0.1)
    for _ in range(20):
        optimizer.zero_grad()
        (layers(values) - target).square().mean().backward()
        optimizer.step()
    torch.testing.assert_close(layers[0].weight, layers[0].weight[:1].expand(6, 4))


def test_a_zero_last_scale_makes_a_block_the_identity():
    from gradatim.models.vision.small_resnet import ResidualBlock

    block = ResidualBlock(8, 8, 1)
    init.initialise_convolutional(block, zero_last=[block.second_norm])
    values = torch.rand(2, 8, 5, 5)
    torch.testing.assert_close(block(values), values)
