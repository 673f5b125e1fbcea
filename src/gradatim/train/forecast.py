"""From measured seconds to a plan: how long a step takes, and how many epochs fit into the time there is."""

import copy
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from gradatim.device import Placement
from gradatim.errors import GradatimError
from gradatim.train.optim import default_learning_rate
from gradatim.train.plan import Plan
from gradatim.train.steps import Step

# Share of the time that a plan leaves free: steps of a busy machine vary by about this much.
RESERVE = 0.1
FEWEST = 5  # steps that are timed at least, after the warm-up


@dataclass(frozen=True, slots=True)
class Measured:
    """seconds_per_step: median of the measured steps, loading included; first_step_seconds: warm-up; steps:
    measured.
    """

    seconds_per_step: float
    first_step_seconds: float
    steps: int


def measure(
    step: Step,
    batches: Callable[[int], Any],
    *,
    seconds: float = 3.0,
    steps: int = 50,
    warm: int = 2,
) -> Measured:
    """Time some steps, loading included, and put weights, optimiser and torch's random state back as they
    were.

    seconds, steps: it ends at whichever comes first. Raises GradatimError when there is no batch.
    """
    before = _copied(step.state_dict())
    random_state = torch.get_rng_state()
    began = time.perf_counter()
    first, count = 0.0, 0
    times: list[float] = []
    mark = began
    try:
        for number, batch in enumerate(batches(0)):
            values = step(batch)
            for value in values.values():
                if isinstance(value, Tensor) and value.device.type != "cpu":
                    value.item()
                    break
            now = time.perf_counter()
            if number < warm:
                first += now - mark
            else:
                times.append(now - mark)
            mark, count = now, number + 1
            if len(times) >= steps or (now - began > seconds and len(times) >= FEWEST):
                break
    finally:
        step.load_state_dict(before)
        torch.set_rng_state(random_state)
    if not count:
        raise GradatimError("expected at least one batch to measure, received none; is the training part empty?")
    # The median: on a busy machine single steps take many times as long as the rest.
    pace = statistics.median(times) if times else first / count
    return Measured(pace, first, len(times))


def default_batch_size(rows: int) -> int:
    """A batch size by the number of training rows: at least about fifteen steps an epoch, 16 to 128 rows.

    >>> [default_batch_size(rows) for rows in (100, 1_000, 10_000, 60_000)]
    [16, 64, 128, 128]
    """
    return next((size for size in (128, 64, 32) if rows >= 15 * size), 16)


def default_max_epochs(rows: int) -> int:
    """Most epochs that are worth it: 1.2 million rows seen in all, 8 to 100 epochs.

    >>> [default_max_epochs(rows) for rows in (1_000, 60_000, 1_000_000)]
    [100, 20, 8]
    """
    return min(max(round(1_200_000 / max(rows, 1)), 8), 100)


def plan_for_minutes(
    minutes: float,
    *,
    rows: int,
    batch_size: int,
    seconds_per_step: float,
    evaluation_seconds: float = 0.0,
    max_epochs: int | None = None,
    optimizer: str = "adamw",
    learning_rate: float | None = None,
    warmup_share: float = 0.05,
    placement: Placement | None = None,
    drop_last: bool = False,
    **settings: Any,
) -> Plan:
    """The plan that fits into `minutes`: epochs from measured seconds a step and an evaluation after each
    epoch.

    rows: of the training part; max_epochs: by default from `rows`; learning_rate: by default from optimiser
    and batch size; settings: any other field of `Plan`. Where not even one epoch fits, one shorter epoch is
    planned.

    >>> plan = plan_for_minutes(1, rows=6400, batch_size=64, seconds_per_step=0.01, evaluation_seconds=0.5)
    >>> plan.epochs, plan.steps_per_epoch, plan.forecast["total_seconds"]
    (36, 100, 54.0)
    """
    if rows < 1:
        raise GradatimError("expected at least one training row, received none")
    seconds = 60 * minutes * (1 - RESERVE)
    per_epoch = max(rows // batch_size, 1) if drop_last else -(-rows // batch_size)
    epoch_seconds = per_epoch * seconds_per_step + evaluation_seconds
    most = default_max_epochs(rows) if max_epochs is None else max_epochs
    fitting = int(seconds / epoch_seconds + 1e-9) if epoch_seconds > 0 else most
    epochs = max(min(fitting, most), 1)
    reasons = [
        f"{epochs} epochs: "
        + (f"the time of {60 * minutes:.0f} s holds {fitting}" if fitting < most else f"at most {most} are worth it")
    ]
    if fitting < 1:
        fit_steps = int((seconds - evaluation_seconds) / seconds_per_step)
        per_epoch = min(max(fit_steps, 1), per_epoch)
        reasons = [f"1 epoch of {per_epoch} steps: the time of {60 * minutes:.0f} s holds no whole epoch"]
    if learning_rate is None:
        learning_rate = default_learning_rate(optimizer, batch_size)
        reasons.append(f"learning rate {learning_rate:g}: the default of {optimizer} for batches of {batch_size}")
    training = epochs * per_epoch * seconds_per_step
    evaluating = epochs * evaluation_seconds
    forecast = {
        "seconds_per_step": seconds_per_step,
        "training_seconds": training,
        "evaluation_seconds": evaluating,
        "total_seconds": training + evaluating,
    }
    return Plan(
        **{
            "epochs": epochs,
            "steps_per_epoch": per_epoch,
            "batch_size": batch_size,
            "optimizer": optimizer,
            "learning_rate": learning_rate,
            "warmup_steps": min(int(warmup_share * epochs * per_epoch), 500),
            "placement": placement or Placement(threads=torch.get_num_threads()),
            "forecast": forecast,
            "reasons": tuple(reasons),
            **settings,
        }
    )


def _copied(value: Any) -> Any:
    """A tree with its tensors copied."""
    if isinstance(value, Tensor):
        return value.detach().clone()
    if isinstance(value, Mapping):
        return {key: _copied(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_copied(item) for item in value]
    return copy.copy(value)
