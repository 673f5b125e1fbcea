"""Training within the command's time: schedules end annealed, shortenings are repeated, a cut refit is never kept."""

import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from gradatim.data.batch import Batch
from gradatim.tasks.budget import TrainingResult, Watch, train_within_budget
from gradatim.tasks.memo import Clock, Memo
from gradatim.train.plan import Plan
from gradatim.train.steps import Supervised

PLAN = Plan(10, 20, 8, learning_rate=0.1, optimizer="adamw", schedule="cosine", warmup_steps=10,
            forecast={"seconds_per_step": 0.004, "evaluation_seconds": 0.0, "total_seconds": 0.8})


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """A clock that only the steps move, so that nothing here hangs on the machine's load."""
    seconds = [0.0]
    monkeypatch.setattr(time, "perf_counter", lambda: seconds[0])
    return seconds


class SlowStep(Supervised):
    """A step that takes so many seconds, keeps its learning rates, and may die."""

    def __init__(self, network: nn.Module, now: list[float], slow: float, dies_at: int | None) -> None:
        super().__init__(network, _loss, PLAN, forward=lambda net, batch: net(batch.inputs["x"]))
        self.now, self.slow, self.dies_at, self.rates = now, slow, dies_at, list[float]()

    def __call__(self, batch: Batch) -> dict[str, torch.Tensor]:
        if self.taken == self.dies_at:
            raise RuntimeError("killed")
        self.now[0] += self.slow
        values = super().__call__(batch)
        self.rates.append(self.optimizer.param_groups[0]["lr"])
        return values


def _loss(output: Any, batch: Batch) -> torch.Tensor:
    truth = batch.targets["y"]
    assert isinstance(truth, torch.Tensor)
    return nn.functional.mse_loss(output[:, 0], truth)


def batches(epoch: int) -> list[Batch]:
    random = torch.Generator().manual_seed(epoch)
    x = torch.randn(20, 8, 4, generator=random)
    return [Batch(np.arange(8), {"x": part}, {"y": part.sum(1)}) for part in x]


def trained(
    now: list[float], seconds: float, memo: Memo, *, slow: float = 0.004, dies_at: int | None = None,
    watched: bool = True, **changes: Any,
) -> tuple[TrainingResult, SlowStep]:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(4, 8), nn.Dropout(0.2), nn.Linear(8, 1))
    step = SlowStep(network, now, slow, dies_at)
    watch = Watch(lambda: {"loss_there": float(-step.taken)}, "loss_there", 8, 5) if watched else None
    return train_within_budget("net", network, step, batches, PLAN, clock=Clock(seconds, now[0]), memo=memo,
                               watch=watch, **changes), step


@pytest.mark.parametrize(("slow", "seconds", "reserved"), [(0.02, 1.5, 0.0), (0.02, 2.0, 0.4), (0.3, 0.5, 0.0)])
def test_a_slow_network_ends_annealed_within_the_time(
    slow: float, seconds: float, reserved: float, now: list[float]
) -> None:
    result, step = trained(now, seconds, Memo(), slow=slow, reserved=reserved)
    assert result.finished and result.history.reason == "epochs"
    assert 0 < result.steps == len(step.rates) < PLAN.total_steps
    # The last step has the rate that the last planned step would have had; after the warm-up the rate only falls.
    assert step.rates[-1] == pytest.approx(PLAN.learning_rate * PLAN.factors()(PLAN.total_steps - 1))
    assert np.all(np.diff(step.rates[int(np.argmax(step.rates)) :]) < 0)
    assert now[0] <= seconds + 3 * slow
    if reserved:  # what comes after will take five times as long as forecast too, and gets its part
        assert 0.5 * seconds < now[0] < 0.75 * seconds
    elif slow < 0.1:
        assert now[0] > 0.9 * seconds
    assert any("falls to its end in" in note for note in result.notes)
    assert result.best_epoch == len(result.history.rows)


def test_with_time_or_fixed_epochs_nothing_is_shortened(now: list[float]) -> None:
    for changes in ({"seconds": 600.0}, {"seconds": 0.01, "fixed": True}):
        result, step = trained(now, **changes, memo=Memo())  # type: ignore[arg-type]
        assert result.steps == PLAN.total_steps and not result.notes
        assert step.rates == [PLAN.learning_rate * PLAN.factors()(t) for t in range(PLAN.total_steps)]


def test_a_refit_that_would_be_cut_stops_and_says_so(now: list[float]) -> None:
    result, _ = trained(now, 0.5, Memo(), slow=0.02, watched=False, fewest_share=0.9)
    assert not result.finished and result.history.reason == "time"
    assert "the time would end before step 180" in result.notes[-1]


def test_killed_after_a_shortening_and_resumed_ends_with_the_same_bits(tmp_path: Path, now: list[float]) -> None:
    """The resumed run is much faster and has all the time in the world: what was decided stands."""
    with pytest.raises(RuntimeError, match="killed"):
        trained(now, 1.2, Memo.open(tmp_path), slow=0.02, dies_at=45)
    stored = {name: value for name, value in Memo.open(tmp_path).decisions.items() if "shortened" in name}
    assert stored and all(value["step"] <= 45 for value in stored.values())
    resumed, after = trained(now, 600.0, Memo.open(tmp_path))
    assert after.rates[-1] == pytest.approx(PLAN.learning_rate * PLAN.factors()(PLAN.total_steps - 1))
    again = Memo(decisions=dict(Memo.open(tmp_path).decisions))  # the same decisions, without a checkpoint
    unbroken, step = trained(now, 600.0, again)
    assert resumed.steps == unbroken.steps < PLAN.total_steps and resumed.notes == unbroken.notes
    assert step.rates[-len(after.rates) :] == after.rates
    for one, other in zip(after.network.state_dict().values(), step.network.state_dict().values()):
        assert torch.equal(one, other)
