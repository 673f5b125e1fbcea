"""Schedules equal their formulas, and PyTorch's schedulers where it has them."""

import math

import numpy as np
import pytest
import torch

from gradatim.errors import GradatimError
from gradatim.train.schedule import (
    SCHEDULES,
    SchedulePosition,
    make_schedule,
    one_cycle,
    scale_learning_rate,
    with_warmup,
)

STEPS = range(0, 100, 7)
FORMULAS = {
    "constant": ({}, lambda t: 1.0),
    "step": ({"every": 10, "factor": 0.3}, lambda t: 0.3 ** math.floor(t / 10)),
    "exponential": ({"rate": 0.05}, lambda t: math.e ** (-0.05 * t)),
    "1/t": ({"rate": 0.2}, lambda t: 1 / (1 + 0.2 * t)),
    "1/sqrt(t)": ({"rate": 0.2}, lambda t: (1 + 0.2 * t) ** -0.5),
    "cosine": ({"floor": 0.1}, lambda t: 0.1 + 0.45 * (1 + math.cos(math.pi * t / 100))),
    "linear": ({"floor": 0.1}, lambda t: 1 - 0.9 * t / 100),
}


@pytest.mark.parametrize("name", FORMULAS)
def test_values_equal_the_formula(name):
    options, formula = FORMULAS[name]
    schedule = make_schedule(name, 100, options=options)
    assert [schedule(t) for t in STEPS] == pytest.approx([formula(t) for t in STEPS], abs=1e-12)


@pytest.mark.parametrize("name", FORMULAS)
def test_warmup_rises_in_a_line_and_then_follows_the_schedule(name):
    options, formula = FORMULAS[name]
    schedule = make_schedule(name, 110, warmup=10, options=options)
    assert [schedule(t) for t in range(10)] == pytest.approx([(t + 1) / 11 for t in range(10)])
    assert [schedule(t + 10) for t in STEPS] == pytest.approx([formula(t) for t in STEPS], abs=1e-12)


@pytest.mark.parametrize("total", [10, 37, 100])
def test_one_cycle_equals_pytorch(total):
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    peer = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=1.0, total_steps=total, cycle_momentum=False)
    for step in range(total):
        expected = optimizer.param_groups[0]["lr"]
        assert one_cycle(step, total=total, end=0.04 / 1e4) == pytest.approx(expected, abs=1e-9)
        optimizer.step()
        if step < total - 1:
            peer.step()


@pytest.mark.parametrize("name", ["cosine", "linear", "step", "exponential", "1/t", "1/sqrt(t)"])
def test_defaults_end_near_a_hundredth(name):
    assert make_schedule(name, 800)(800) <= 0.0101


@pytest.mark.parametrize("name", SCHEDULES)
@pytest.mark.parametrize("total", [1, 2, 3])
def test_shortest_runs(name, total):
    schedule = make_schedule(name, total, warmup=min(1, total))
    assert all(math.isfinite(schedule(t)) and 0 <= schedule(t) <= 1.0 + 1e-12 for t in range(total + 3))


def test_batch_rule_and_errors():
    assert scale_learning_rate(0.1, 64, 640) == pytest.approx(1.0)
    assert scale_learning_rate(0.1, 64, 640, rule="square_root") == pytest.approx(0.1 * math.sqrt(10))
    with pytest.raises(GradatimError, match="linear"):
        scale_learning_rate(0.1, 64, 128, rule="cubic")
    with pytest.raises(GradatimError, match="expected a schedule among constant"):
        make_schedule("cosin", 10)
    with pytest.raises(GradatimError, match="slope"):
        make_schedule("linear", 10, options={"slope": 2})
    assert with_warmup(lambda t: 0.5, 0)(0) == 0.5


def test_a_schedule_may_be_shortened_again_and_always_comes_to_its_end():
    position = SchedulePosition(200)
    position.shorten(50, 150)
    position.shorten(100, 120)
    places = [position.at(step) for step in range(120)]
    assert places[:50] == list(range(50)) and places[-1] == 199
    assert places[100] == pytest.approx(50 + 50 * 149 / 99)
    assert np.allclose(np.diff(places[50:101]), 149 / 99) and np.allclose(np.diff(places[100:]), np.diff(places)[-1])
    again = SchedulePosition(200)
    again.restore(position.to_json())
    assert [again.at(step) for step in range(120)] == places
    position.shorten(110, 111)
    assert position.at(110) == 199
    for step, total in ((111, 111), (111, 112)):
        with pytest.raises(GradatimError, match="expected a total above step 111 and at most 111"):
            position.shorten(step, total)
