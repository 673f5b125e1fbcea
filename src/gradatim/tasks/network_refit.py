"""The networks of a supervised task trained again on all labelled rows: as well as those that were scored, or not.

The scored networks stay where they hold nearly all rows, where the time does not hold the refit, and where it was
broken off; the notes say which.
"""

import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from gradatim.tasks.budget import REFIT_SHARE
from gradatim.tasks.network import NetworkMember
from gradatim.tasks.planning import MONITOR
from gradatim.tasks.refit import SHARE_KEPT
from gradatim.train.plan import Plan

if TYPE_CHECKING:
    from gradatim.tasks.training import NetworkTrainer


def refitted_networks(trainer: "NetworkTrainer", count: int, settings: dict[str, Any]) -> list[NetworkMember] | None:
    """Train again on all labelled rows, as many epochs as were best, as many networks as before; None: those stay."""
    line = trainer.line
    if settings["keep"]:
        _say_kept(trainer, "its training part holds over 85 % of the rows")
        return None
    plan = refit_plan(trainer, Plan.from_json(settings["plan"]), count)
    rows = np.sort(np.concatenate([line.rows, line.split.test]))
    needed = REFIT_SHARE * count * plan.forecast["total_seconds"]
    if not line.memo.decide("refit of the network", lambda: line.choices.epochs is not None
                            or needed <= line.clock.left(share_kept=SHARE_KEPT)):
        _say_kept(trainer, "the time that was left does not hold it")
        return None
    began = time.perf_counter()
    line.reserved, trainer.rows_left = 0.0, count * len(rows)  # the baselines have been fitted again by now
    found = []
    for number in range(count):
        member, result = trainer.train(f"refit-{number + 1}", rows, None, plan)
        trainer.forget_encoded()
        if not result.finished or result.steps < REFIT_SHARE * result.planned_steps:
            _say_kept(trainer, f"that training ended after step {result.steps} of {result.planned_steps} "
                               f"({result.history.reason})")
            return None
        found.append(member)
    line.clock.note("refit", time.perf_counter() - began)
    line.notes.append(f"final networks: trained again on all {len(rows)} labelled rows for {plan.epochs} epochs, "
                      "the median of the best epochs of the choice")
    return found


def refit_plan(trainer: "NetworkTrainer", plan: Plan, networks: int) -> Plan:
    """The plan of the choice for all labelled rows and the median of its best epochs, at the pace that was seen."""
    labelled = len(trainer.line.rows) + len(trainer.line.split.test)
    names = [f"network-{number + 1}" for number in range(networks)]
    best = [best_epoch(trainer.histories[name], plan.epochs) for name in names]
    epochs = max(min(2, plan.epochs), int(np.median(best)))
    steps = -(-labelled // plan.batch_size)
    pace = float(np.median([trainer.forecast[name]["actual"]["seconds_per_step"] for name in names]))
    return replace(plan, epochs=epochs, steps_per_epoch=steps,
                   warmup_steps=min(plan.warmup_steps, steps * epochs // 4),
                   forecast={"seconds_per_step": pace, "total_seconds": pace * steps * epochs})


def best_epoch(history: list[dict[str, Any]], planned: int) -> int:
    """The epoch of the least development loss."""
    rows = [row for row in history if row.get(MONITOR) is not None]
    return min(rows, key=lambda row: row[MONITOR])["epoch"] if rows else planned


def _say_kept(trainer: "NetworkTrainer", why: str) -> None:
    trainer.line.notes.append(f"the network was not trained again on all labelled rows: {why}; the scored one is kept")
    trainer.line.say(f"  {trainer.line.notes[-1]}")
