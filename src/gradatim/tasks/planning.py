"""The plan of the networks, fixed before the first step from measured seconds: placement, epochs, how many networks."""

import time
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from gradatim.data.batch import Batch
from gradatim.data.loader import batch_order
from gradatim.device import Placement, choose
from gradatim.tasks.network import NetworkMember
from gradatim.train.forecast import default_batch_size, measure, plan_for_minutes
from gradatim.train.plan import Plan
from gradatim.train.steps import Supervised

if TYPE_CHECKING:
    from gradatim.tasks.training import NetworkTrainer

MONITOR = "development_loss"  # what is watched after each epoch
MOST_NETWORKS = 3  # networks that are trained on folds, and again on all rows
KEEP_SHARE = 0.85  # above this share of the labelled rows in the training part, the refit is left out
DECOUPLED_DECAY, COUPLED_DECAY = 0.05, 5e-4  # of AdamW and Muon; of the others, whose rate multiplies the decay
TRIAL_SECONDS_SHARE = 0.02  # of the time, for each placement that is tried
WORTH = 0.85  # another placement is taken when it needs less than this share of the seconds


class Epochs:
    """The batches of an epoch as a sequence, so that a resumed run skips without making them."""

    def __init__(self, order: list[np.ndarray], make: Callable[[np.ndarray], Batch]) -> None:
        self.order = order
        self.make = make

    def __len__(self) -> int:
        return len(self.order)

    def __getitem__(self, index: int) -> Batch:
        if index >= len(self.order):
            raise IndexError(index)
        return self.make(self.order[index])


def decide(trainer: "NetworkTrainer", rows: np.ndarray, held: np.ndarray) -> dict[str, Any]:
    """Measure, then plan: {"networks", "keep", "plan", "why"} as JSON. `rows` train, `held` are answered each epoch."""
    line, choices = trainer.line, trainer.line.choices
    batch_size = default_batch_size(len(rows))
    placement, pace, evaluation, reason = fastest(trainer, rows, held, batch_size)
    default = "adamw" if choices.fine_tune else "muon"  # Muon's steps are too bold for weights that are good already

    def planned(seconds: float) -> Plan:
        plan = plan_for_minutes(
            seconds / 60, rows=len(rows), batch_size=batch_size, seconds_per_step=pace,
            evaluation_seconds=evaluation, max_epochs=choices.epochs, optimizer=choices.optimizer or default,
            learning_rate=choices.learning_rate, placement=placement, seed=choices.seed,
        )
        return with_choices(plan, trainer)

    labelled = len(line.rows) + len(line.split.test)
    answering = evaluation * (len(line.split.test) + min(len(line.split.train), 2000)) / max(len(held), 1)
    keep = not line.folded and len(rows) >= KEEP_SHARE * labelled
    left = max(0.0, line.clock.left(share_kept=0.04) - line.reserved - answering)
    if choices.epochs is not None:
        plan = planned(1e9)
        each, networks = plan.forecast["total_seconds"], 1
    else:
        share = 1.0 if keep else 1 / (1 + labelled / len(rows))  # the refit costs in proportion to its rows
        plan = planned(left * share)
        each = max(plan.forecast["total_seconds"], 1e-3)
        networks = int(np.clip(left * share // each, 1, min(MOST_NETWORKS, len(line.parts))))
    why = (f"{networks} network{'s' if networks > 1 else ''} of {plan.epochs} epochs "
           f"({pace * 1000:.0f} ms a step of {batch_size} rows, forecast {each:.0f} s each), "
           + ("kept as trained: the training part holds over 85 % of the rows" if keep
              else "then trained again on all labelled rows") + f"; {reason}")
    return {"networks": networks, "keep": keep, "plan": plan.to_json(), "why": why}


def with_choices(plan: Plan, trainer: "NetworkTrainer") -> Plan:
    """The plan with the user's label smoothing, or 0.1 for more than two classes, and our weight decay.

    The recipe `fast`: one cycle of the rate up and down, and smoothing for two classes as well.
    """
    choices = trainer.line.choices
    smoothing, fast = choices.label_smoothing, choices.recipe == "fast"
    if smoothing is None:
        smoothing = 0.1 if len(trainer.line.task.classes) > (1 if fast else 2) else 0.0
    if fast:
        plan = replace(plan, schedule="one-cycle", schedule_options={}, warmup_steps=0)
    decay = DECOUPLED_DECAY if plan.optimizer in ("adamw", "muon") else COUPLED_DECAY
    return replace(plan, label_smoothing=smoothing, weight_decay=decay)


def fastest(
    trainer: "NetworkTrainer", rows: np.ndarray, held: np.ndarray, batch_size: int
) -> tuple[Placement, float, float, str]:
    """Placement, seconds a step, seconds an evaluation, and why this placement.

    The processor's own choice stands unless another number format or a single thread is clearly faster here and now:
    small tables gain nothing from bfloat16, and when other programs hold the cores one thread beats two that wait for
    each other. With a fixed number of epochs nothing is tried, so that equal seeds give equal bits.
    """
    line = trainer.line
    codecs = trainer.codecs(rows)
    encoded = trainer.encoded(codecs)
    order = batch_order(rows, batch_size, seed=0, epoch=0)
    seconds = TRIAL_SECONDS_SHARE * line.clock.seconds

    def pace_of(placement: Placement) -> float:
        torch.set_num_threads(placement.threads)
        trial = with_choices(Plan(1, 1, batch_size, placement=placement), trainer)
        network = trainer.network(codecs, "measure")
        step = Supervised(network, line.task.objective(line.labels[rows]), trial)
        make = trainer.maker(encoded, trial, "measure")
        batches = Epochs(order, make)
        return measure(step, lambda epoch: batches, seconds=min(2.0, seconds), steps=12).seconds_per_step

    base = choose()
    best, pace, reason = base, pace_of(base), f"{base}"
    if line.choices.epochs is None and base.device == "cpu":
        trials = [replace(base, dtype="float32", channels_last=False)] if base.dtype != "float32" else []
        trials += [replace(base, threads=1)] if base.threads > 1 else []
        for trial in trials:
            if 10 * pace > max(4.0, 5 * seconds):  # too slow to try more
                break
            found = pace_of(trial)
            if found < WORTH * pace:
                best, pace = trial, found
                reason = f"{trial}: fastest in a trial"
    torch.set_num_threads(best.threads)
    member = NetworkMember(codecs, trainer.blueprint(codecs), trainer.network(codecs, "measure"), best, line.task,
                           mirrored=trainer.mirrored)
    probe = held[: max(64, len(held) // 4)]
    began = time.perf_counter()
    member.answer_rows(encoded, probe)
    evaluation = (time.perf_counter() - began) * len(held) / max(len(probe), 1)
    return best, pace, evaluation, reason
