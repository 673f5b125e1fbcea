"""One training of a network within the time of the whole command, the same for every task.

The only limit is the command's own budget: a network may take longer than forecast as long as there is time, less what
is reserved for what must still come; where that is not enough, its schedule is shortened (`gradatim.train.pace`) and
still ends annealed. With a number of epochs that the user asked for nothing is shortened.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from torch import nn

from gradatim.tasks.memo import Clock, Memo
from gradatim.train.checkpoint import load_checkpoint
from gradatim.train.history import History
from gradatim.train.hooks import Checkpoint, EarlyStop, KeepBest, Progress
from gradatim.train.loop import Batches, fit
from gradatim.train.pace import Pace
from gradatim.train.plan import Plan
from gradatim.train.steps import Step

CHECKPOINT_SECONDS = 60.0
REFIT_SHARE = 0.9  # of its planned steps a refit must have taken to stand in for what was scored


@dataclass(frozen=True, slots=True)
class Watch:
    """What is measured after each epoch, on rows that the network does not learn from.

    evaluate(): values for the history's row, `metric` (the lower the better) among them: the weights of the best epoch
    are kept. patience: epochs without a gain after which training stops (None: never), not before epoch `first`.
    """

    evaluate: Callable[[], Mapping[str, float]]
    metric: str
    patience: int | None = None
    first: int = 0


@dataclass(frozen=True, slots=True)
class TrainingResult:
    """What a training came to. steps: those taken, of `planned_steps`; best_epoch: whose weights the network has."""

    name: str
    history: History
    planned_steps: int
    steps: int
    best_epoch: int

    @property
    def finished(self) -> bool:
        """Whether it came to its own end: the schedule's, or no gain for long."""
        return self.history.reason in ("epochs", "plateau")

    @property
    def notes(self) -> list[str]:
        """The history's notes, each with the name of the training."""
        return [f"{self.name}: {note}" for note in self.history.notes]

    def line(self) -> str:
        """One line for the terminal."""
        return f"{self.name}: {self.history.forecast_line()}; ended: {self.history.reason}"

    def forecast(self) -> dict[str, Any]:
        """Forecast and actual seconds and how it ended, as the report shows them."""
        return {"forecast": self.history.forecast, "actual": self.history.actual, "reason": self.history.reason,
                "line": self.history.forecast_line()}


def train_within_budget(
    name: str, network: nn.Module, step: Step, batches: Batches, plan: Plan, *, clock: Clock, memo: Memo,
    watch: Watch | None = None, reserved: float = 0.0, share_kept: float = 0.0, fewest_share: float = 0.0,
    fixed: bool = False, quiet: bool = True,
) -> TrainingResult:
    """Train `network` by `step` over `batches(epoch)` as planned, and leave it in eval mode with its best weights.

    name: the stage's, for checkpoints and stored decisions; goes on from its checkpoint where there is one.
    watch: what is measured after each epoch; None: the last weights are taken.
    clock, share_kept: the command's budget, and the share of it that is kept back for scores and report.
    reserved: seconds forecast for what must still come after this training: other networks, the refit.
    fewest_share: of the planned steps; where fewer would be taken, training stops (reason "time"): a refit.
    fixed: the user asked for this number of epochs, the clock changes nothing.
    quiet: show no progress.
    """
    keep = KeepBest(network, None if watch is None else watch.metric)
    hooks: list[Any] = [keep]
    if watch is not None and watch.patience is not None:
        hooks.append(EarlyStop(watch.metric, patience=watch.patience, first=watch.first))
    if not fixed:
        hooks.append(Pace(
            plan, lambda: clock.left(share_kept=share_kept),
            lambda number: memo.known(_shortening(name, number)),
            lambda number, compute: memo.decide(_shortening(name, number), compute),
            reserved=reserved, fewest=round(fewest_share * plan.total_steps), closed=bool(memo.known(f"{name} ended")),
        ))
    folder = memo.stage(name)
    if folder is not None:
        hooks.append(Checkpoint(folder, seconds=CHECKPOINT_SECONDS))
    hooks.append(Progress(quiet=quiet))
    start = None if folder is None else load_checkpoint(folder)
    history = fit(step, batches, plan, hooks, evaluate=None if watch is None else watch.evaluate, start=start)
    steps = int(history.rows[-1]["steps"]) if history.rows else 0
    if not fixed:
        memo.decide(f"{name} ended", lambda: {"steps": steps, "reason": history.reason})
    network.eval()
    return TrainingResult(name, history, plan.total_steps, steps, max(keep.best_epoch, 1))


def _shortening(name: str, number: int) -> str:
    return f"{name} shortened {number + 1}"
