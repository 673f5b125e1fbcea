"""Forecasting networks: where they start, what they may look at, and that masks and covariates reach them."""

import pytest
import torch

from gradatim.models.address import build
from gradatim.nn.forecast_head import demo_window

ADDRESSES = ("recurrent_forecaster", "convolutional_forecaster", "patch_forecaster")
SIZES = {"horizon": 6, "outputs": 3, "context": 20, "covariates": 2, "season": 4}


def network_of(address: str, **changes) -> torch.nn.Module:
    torch.manual_seed(0)
    return build({"address": address, "arguments": {**SIZES, **changes}}).eval()


@pytest.mark.parametrize("address", ADDRESSES)
def test_training_starts_near_the_seasonal_naive_forecast(address):
    network = network_of(address)
    window, *rest = demo_window(20, 6, 2)
    median = network(window, *rest).view(3, 6, 3)[..., 1]
    seasonal = window[:, [16, 17, 18, 19, 16, 17]]
    assert (median - seasonal).abs().max() < 0.5
    spread = network(window, *rest).view(3, 6, 3).diff(dim=2)
    assert (spread > 0).all()


@pytest.mark.parametrize("address", ADDRESSES)
def test_every_step_of_the_window_its_mask_and_the_covariates_count(address):
    network = network_of(address)
    inputs = [part.clone().requires_grad_() for part in demo_window(20, 6, 2)]
    network(*inputs).square().sum().backward()
    for part in inputs:
        assert part.grad is not None and (part.grad.abs() > 0).flatten(1).float().mean() > 0.95


@pytest.mark.parametrize("address", ADDRESSES)
def test_the_covariates_of_a_step_reach_that_step_alone(address):
    network = network_of(address)
    window, seen, behind, ahead = demo_window(20, 6, 2)
    ahead.requires_grad_()
    network(window, seen, behind, ahead).view(3, 6, 3)[:, 2].sum().backward()
    reached = ahead.grad.abs().sum((0, 2)) > 0
    assert reached.tolist() == [False, False, True, False, False, False]


def test_positions_of_the_convolutions_never_see_a_later_one():
    network = network_of("convolutional_forecaster")
    window, seen, behind, _ = demo_window(20, 6, 2)
    window.requires_grad_()
    for place in (0, 7, 19):
        window.grad = None
        network.positions(window, seen, behind)[:, place].square().sum().backward()
        reached = window.grad.abs().sum(0) > 0
        assert not reached[place + 1 :].any() and reached[: place + 1].all()


@pytest.mark.parametrize("context", [8, 9, 21, 64])
def test_newest_patch_ends_at_the_origin(context):
    network = network_of("patch_forecaster", context=context, patch=8)
    assert (context + network.left - network.patch) % network.stride == 0
    assert len(network.positions) == (context + network.left - network.patch) // network.stride + 1
