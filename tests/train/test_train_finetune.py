"""Fine-tuning: the body stands still until it thaws, then moves at its own rate; resumed state keeps the groups."""

import numpy as np
import pytest
import torch
from torch import nn

from gradatim.data.batch import Batch
from gradatim.train.finetune import BODY_RATE, SLOWER, Thaw, thaw_schedule
from gradatim.train.plan import Plan
from gradatim.train.steps import Supervised


def make(thaws, optimizer="sgd", steps=20):
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 4), nn.Linear(4, 2))
    plan = Plan(1, steps, 8, optimizer=optimizer, learning_rate=0.1, weight_decay=0.01, schedule="constant",
                warmup_steps=0, clip_norm=None)
    return Supervised(
        network, lambda output, batch: output.square().mean(), plan,
        forward=lambda net, batch: net(batch.inputs["x"]), thaws=thaws,
    )


def batch():
    return Batch(np.arange(8), {"x": torch.randn(8, 3, generator=torch.Generator().manual_seed(1))}, {})


@pytest.mark.parametrize("optimizer", ["sgd", "adamw", "muon"])
def test_a_frozen_layer_begins_to_move_at_its_step(optimizer):
    step = make({"0.weight": Thaw(0.1, 5), "0.bias": Thaw(0.1, 5)}, optimizer)
    first = [p.detach().clone() for p in step.network[0].parameters()]
    other = step.network[1].weight.detach().clone()
    for _ in range(5):
        step(batch())
        assert all(torch.equal(a, b) for a, b in zip(first, step.network[0].parameters()))
    assert not torch.equal(other, step.network[1].weight)
    step(batch())
    assert not torch.equal(first[0], step.network[0].weight)


def test_the_rate_of_the_body_is_a_tenth_under_plain_descent():
    slow, full = make({"0.weight": Thaw(0.1, 0)}), make({})
    before = slow.network[0].weight.detach().clone()
    slow(batch())
    full(batch())
    moved, whole = (step.network[0].weight.detach() - before for step in (slow, full))
    torch.testing.assert_close(moved, 0.1 * whole)


def test_state_of_a_thawing_step_comes_back():
    thaws = thaw_schedule(["0.weight", "0.bias", "1.weight", "1.bias"], 20)
    one, two = make(thaws, "adamw"), make(thaws, "adamw")
    for _ in range(7):
        one(batch())
    two.load_state_dict(one.state_dict())
    for _ in range(7):
        one(batch())
        two(batch())
    assert all(torch.equal(a, b) for a, b in zip(one.network.parameters(), two.network.parameters()))


def test_lower_stages_are_slower_and_later():
    thaws = thaw_schedule([str(number) for number in range(9)], 100)
    factors, firsts = [t.factor for t in thaws.values()], [t.first_step for t in thaws.values()]
    assert factors == sorted(factors) and firsts == sorted(firsts, reverse=True)
    assert factors[-1] == BODY_RATE and factors[0] == pytest.approx(BODY_RATE / SLOWER**2)
    assert set(firsts) == {10, 20, 30}
