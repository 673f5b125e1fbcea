"""Plans: JSON round trip, refusals, what fits into the minutes, and a measurement that leaves no trace."""

import json
import time

import numpy as np
import pytest
import torch
from torch import nn

from gradatim.data.batch import Batch
from gradatim.device import Placement
from gradatim.errors import GradatimError
from gradatim.train.forecast import measure, plan_for_minutes
from gradatim.train.plan import Plan
from gradatim.train.steps import Supervised


def test_json_round_trip():
    plan = Plan(
        epochs=3, steps_per_epoch=5, batch_size=8, optimizer="muon", schedule="step", clip_norm=None,
        placement=Placement("cpu", "bfloat16", True, 2, ("because",)), schedule_options={"every": 2},
        forecast={"total_seconds": 3.5}, reasons=("one", "two"),
    )  # fmt: skip
    assert Plan.from_json(json.loads(json.dumps(plan.to_json()))) == plan
    assert plan.total_steps == 15 and plan.factors()(4) == 0.25


@pytest.mark.parametrize(
    "change", [{"epochs": 0}, {"batch_size": 2.5}, {"optimizer": "adamx"}, {"schedule": "x"}, {"learning_rate": -1},
               {"clip_norm": 0}, {"label_smoothing": 1.0}, {"accumulate": 0}, {"learning_rate": float("nan")}]
)  # fmt: skip
def test_nonsense_is_refused(change):
    with pytest.raises(GradatimError, match=next(iter(change)).replace("_", ".")):
        Plan(**{"epochs": 1, "steps_per_epoch": 1, "batch_size": 1} | change)


def test_damaged_json_is_refused():
    good = Plan(1, 1, 1).to_json()
    with pytest.raises(GradatimError, match="unknown fields colour"):
        Plan.from_json(good | {"colour": 1})
    with pytest.raises(GradatimError, match="missing"):
        Plan.from_json({name: value for name, value in good.items() if name != "placement"})


@pytest.mark.parametrize("minutes", [0.01, 0.1, 1, 5, 60])
@pytest.mark.parametrize("rows,batch_size,seconds_per_step", [(60_000, 128, 0.03), (1000, 32, 0.01), (20, 16, 0.5)])
def test_the_forecast_fits_the_time(minutes, rows, batch_size, seconds_per_step):
    plan = plan_for_minutes(
        minutes, rows=rows, batch_size=batch_size, seconds_per_step=seconds_per_step, evaluation_seconds=0.3
    )
    smallest = seconds_per_step + 0.3
    assert plan.forecast["total_seconds"] <= max(54 * minutes, smallest) + 1e-9
    expected = plan.epochs * (plan.steps_per_epoch * seconds_per_step + 0.3)
    assert plan.forecast["total_seconds"] == pytest.approx(expected)
    assert plan.warmup_steps < plan.total_steps and plan.epochs <= 100


def test_settings_pass_through():
    plan = plan_for_minutes(1, rows=100, batch_size=10, seconds_per_step=0.1, max_epochs=4, seed=9, schedule="linear")
    assert (plan.epochs, plan.seed, plan.schedule) == (4, 9, "linear")
    assert "at most 4" in plan.reasons[0]


def test_measuring_leaves_weights_optimiser_and_random_numbers_as_they_were():
    torch.manual_seed(0)
    plan = Plan(epochs=1, steps_per_epoch=8, batch_size=4)
    network = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Dropout(0.5), nn.Linear(4, 1))
    step = Supervised(network, lambda o, b: o.square().mean(), plan, forward=lambda n, b: n(b.inputs["x"]))
    before = {name: value.clone() for name, value in network.state_dict().items()}

    def batches(epoch):
        for _ in range(8):
            time.sleep(0.01)
            yield Batch(np.arange(4), {"x": torch.randn(4, 3)})

    state = torch.get_rng_state()
    measured = measure(step, batches)
    assert torch.equal(torch.get_rng_state(), state)
    assert 0.01 <= measured.seconds_per_step < 0.2 and measured.steps == 6
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert step.taken == 0 and step.state_dict()["optimizer"]["state"] == {}
    assert measure(step, lambda epoch: list(batches(0))[:1]).seconds_per_step > 0
    with pytest.raises(GradatimError, match="received none"):
        measure(step, lambda epoch: [])
