"""Vanishing and exploding gradients are seen on networks made to have them; the numbers are 1.5⁵⁰ and 0.5⁵⁰."""

import pytest
import torch
from torch import nn

from gradatim.train.gradients import gradient_norms, gradient_verdict


def chain(weight, depth=51):
    network = nn.Sequential(*(nn.Linear(1, 1, bias=False) for _ in range(depth)))
    for layer in network:
        nn.init.constant_(layer.weight, weight)
    network(torch.ones(1, 1)).sum().backward()
    return network


@pytest.mark.parametrize(
    "weight,golden,verdict", [(1.5, 6.376e8, "exploding"), (0.5, 8.88e-16, "vanishing"), (1.0, 1.0, "sound")]
)
def test_depth_fifty(weight, golden, verdict):
    network = chain(weight)
    # The gradient at the first weight of 51 is the product of the other fifty.
    assert gradient_norms(network)["0.weight"] == pytest.approx(golden, rel=1e-3)
    # At the last weight it is the same product (of what comes before): compare with the signal's own path.
    norms = {"early": gradient_norms(network)["0.weight"], "late": 1.0}
    assert gradient_verdict(norms)[0] == verdict


def test_a_deep_sigmoid_network_vanishes_and_a_residual_one_does_not():
    torch.manual_seed(0)
    layers = [nn.Linear(16, 16) for _ in range(20)]
    plain = nn.Sequential(*(part for layer in layers for part in (layer, nn.Sigmoid())))
    plain(torch.randn(8, 16)).square().sum().backward()
    verdict, sentence = gradient_verdict(gradient_norms(plain))
    assert verdict == "vanishing" and "0.weight" in sentence and "residual" in sentence
    plain.zero_grad()
    state = torch.randn(8, 16)
    for layer in layers:
        state = state + 0.1 * torch.relu(layer(state))
    state.square().sum().backward()
    assert gradient_verdict(gradient_norms(plain))[0] == "sound"
    plain[0].weight.grad[0, 0] = float("nan")
    assert gradient_verdict(gradient_norms(plain))[0] == "not-finite"
