"""What hangs on the loop: keep the best weights, stop on a plateau, checkpoint, deadline, history file,
progress.
"""

import math
import signal
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from gradatim.errors import GradatimError
from gradatim.train.checkpoint import save_checkpoint
from gradatim.train.loop import Stop, Training

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress as Bar
    from rich.progress import TaskID


def _score(row: Mapping[str, Any], metric: str, better: str) -> float:
    """The metric such that more is better; −∞ where it is not finite. Raises GradatimError when it is not
    there.
    """
    if better not in ("lower", "higher"):
        raise GradatimError(f"expected better='lower' or 'higher', received '{better}'")
    if metric not in row:
        raise GradatimError(f"expected a metric among {', '.join(row)}; received '{metric}'")
    value = row[metric]
    if value is None or not math.isfinite(value):
        return -math.inf
    return float(value) if better == "higher" else -float(value)


class KeepBest:
    """Keeps a copy of the weights of the best epoch, and puts it back at the end.

    metric, better: a column of the history and its direction. metric=None: the newest epoch with finite
    weights is kept, and put back only when training ended because a value was not finite. source: whose
    weights to copy in place of the network's own (a `WeightAverage`).
    """

    def __init__(
        self, network: nn.Module, metric: str | None, better: str = "lower", *, source: "WeightAverage | None" = None
    ) -> None:
        self.network = network
        self.metric = metric
        self.better = better
        self.source = source
        self.best = -math.inf
        self.best_epoch = 0
        self.weights: dict[str, Tensor] = {}

    def start(self, training: Training) -> None:
        """Keep the first weights, in case no epoch ends well."""
        if not self.weights:
            self._copy(0)

    def epoch(self, training: Training) -> None:
        """Keep these weights when they are the best so far."""
        if self.metric is None:
            if all(bool(tensor.isfinite().all()) for tensor in self._live().values()):
                self._copy(training.row["epoch"])
            return
        if training.history.reason == "not-finite":
            return
        score = _score(training.row, self.metric, self.better)
        if score > self.best:
            self.best = score
            self._copy(training.row["epoch"])

    def end(self, training: Training) -> None:
        """Put the best weights back."""
        if self.weights and (self.metric is not None or training.history.reason == "not-finite"):
            self.network.load_state_dict(self.weights)

    def state_dict(self) -> dict[str, Any]:
        """Best value, epoch, weights."""
        best = self.best if math.isfinite(self.best) else None
        return {"best": best, "epoch": self.best_epoch, "weights": self.weights}

    def load_state_dict(self, value: Mapping[str, Any]) -> None:
        """Put back what `state_dict` returned."""
        self.best = -math.inf if value["best"] is None else float(value["best"])
        self.best_epoch = int(value["epoch"])
        self.weights = dict(value["weights"])

    def _live(self) -> dict[str, Tensor]:
        return self.network.state_dict() if self.source is None else self.source.weights()

    def _copy(self, epoch: int) -> None:
        self.weights = {name: tensor.detach().clone() for name, tensor in self._live().items()}
        self.best_epoch = epoch


class EarlyStop:
    """Stops when a metric has not become better by `least` for `patience` epochs (reason "plateau").

    Not before epoch `first`: under a falling learning rate the gain often comes last.
    """

    def __init__(
        self, metric: str, better: str = "lower", *, patience: int = 10, least: float = 0.0, first: int = 0
    ) -> None:
        self.metric = metric
        self.better = better
        self.patience = patience
        self.least = least
        self.first = first
        self.best = -math.inf
        self.waited = 0

    def start(self, training: Training) -> None:
        """A run that was killed after its last epoch stops again."""
        self._check(training)

    def epoch(self, training: Training) -> None:
        """Count epochs without a gain; an epoch cut short does not count."""
        if training.history.reason:
            return
        score = _score(training.row, self.metric, self.better)
        if score > self.best + self.least or (score > self.best == -math.inf):
            self.best, self.waited = score, 0
        else:
            self.waited += 1
        self._check(training)

    def _check(self, training: Training) -> None:
        if self.waited >= self.patience and training.epoch >= self.first:
            raise Stop("plateau", f"{self.metric} was not better for {self.waited} epochs")

    def state_dict(self) -> dict[str, Any]:
        """Best value and epochs waited."""
        return {"best": self.best if math.isfinite(self.best) else None, "waited": self.waited}

    def load_state_dict(self, value: Mapping[str, Any]) -> None:
        """Put back what `state_dict` returned."""
        self.best = -math.inf if value["best"] is None else float(value["best"])
        self.waited = int(value["waited"])


class Deadline:
    """Stops when training has taken `seconds`, all resumptions counted, less `reserve` for a last evaluation."""

    def __init__(self, seconds: float, *, reserve: float = 0.0) -> None:
        self.seconds = seconds
        self.limit = seconds - reserve

    def batch(self, training: Training) -> None:
        """Look at the clock."""
        if training.seconds > self.limit:
            raise Stop(
                "time",
                f"the time of {self.seconds:.0f} s was over after step {training.taken} of {training.plan.total_steps}",
            )


class Checkpoint:
    """Writes a checkpoint at each epoch's end, every `seconds` in between, and on Ctrl-C or a termination
    signal.

    Each event reaches it after the other hooks, whose state it stores. A second Ctrl-C interrupts at once.
    """

    last = True

    def __init__(self, folder: Path | str, *, seconds: float | None = None, signals: bool = True) -> None:
        self.folder = Path(folder)
        self.seconds = seconds
        self.signals = signals
        self._saved_at = time.perf_counter()
        self._signal = 0
        self._handlers: dict[int, Any] = {}

    def start(self, training: Training) -> None:
        """Begin to listen to signals."""
        self._saved_at = time.perf_counter()
        if self.signals and threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._handlers[number] = signal.signal(number, self._heard)

    def batch(self, training: Training) -> None:
        """Save when it is time or when the run is asked to end."""
        if self._signal:
            self.save(training)
            self._leave()
        if self.seconds is not None and time.perf_counter() - self._saved_at > self.seconds:
            self.save(training)

    def epoch(self, training: Training) -> None:
        """Save, unless the weights are broken."""
        if training.history.reason != "not-finite":
            self.save(training)
        if self._signal:
            self._leave()

    def end(self, training: Training) -> None:
        """Stop listening to signals; one that was heard after the last epoch is not lost."""
        for number, handler in self._handlers.items():
            signal.signal(number, handler)
        self._handlers.clear()
        if self._signal and training.history.reason not in ("interrupted", "error"):
            self._leave()

    def save(self, training: Training) -> None:
        """Write a checkpoint now."""
        save_checkpoint(self.folder, training.snapshot(), training.taken)
        self._saved_at = time.perf_counter()

    def _heard(self, number: int, frame: Any) -> None:
        if self._signal:
            self._leave()
        self._signal = number

    def _leave(self) -> None:
        if self._signal == signal.SIGTERM:
            raise SystemExit(128 + signal.SIGTERM)
        raise KeyboardInterrupt


class HistoryFile:
    """Writes the history as CSV, a line an epoch."""

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)

    def start(self, training: Training) -> None:
        """On a resumed run, write what is known up to the checkpoint."""
        if training.history.rows:
            training.history.to_csv(self.path)

    def epoch(self, training: Training) -> None:
        """Add the epoch's line."""
        training.history.append_csv(self.path)


class WeightAverage:
    """An exponential moving average of the weights, which often generalises better on small data.

    After step t the average moves by 1 − min(decay, (1 + t) / (10 + t)) towards the weights (Polyak &
    Juditsky 1992; the ramp as in TensorFlow's ExponentialMovingAverage). Numbers of batch normalisation are
    averaged too.
    """

    def __init__(self, network: nn.Module, decay: float = 0.99) -> None:
        self.network = network
        self.decay = decay
        self._live: list[Tensor] = []
        self._average: list[Tensor] = []
        self._names: list[str] = []

    def start(self, training: Training) -> None:
        """Begin from the first weights."""
        live = {n: t.detach() for n, t in self.network.state_dict().items() if t.is_floating_point()}
        self._live = list(live.values())
        if not self._average:
            self._names = list(live)
            self._average = [tensor.clone() for tensor in self._live]

    def batch(self, training: Training) -> None:
        """Move the average towards the weights."""
        decay = min(self.decay, (1 + training.taken) / (10 + training.taken))
        torch._foreach_lerp_(self._average, self._live, 1 - decay)

    def weights(self) -> dict[str, Tensor]:
        """The network's state with the averages in place of the weights."""
        return dict(self.network.state_dict()) | dict(zip(self._names, self._average))

    def end(self, training: Training) -> None:
        """Leave the averages in the network."""
        if training.history.reason not in ("interrupted", "error", "not-finite"):
            self.network.load_state_dict(self.weights())

    def evaluating(self, evaluate: Any) -> Any:
        """`evaluate` with the averaged weights in the network while it runs."""

        def averaged() -> Any:
            own = {name: tensor.clone() for name, tensor in self.network.state_dict().items()}
            self.network.load_state_dict(self.weights())
            try:
                return evaluate()
            finally:
                self.network.load_state_dict(own)

        return averaged

    def state_dict(self) -> dict[str, Any]:
        """The averages by name."""
        return {"average": dict(zip(self._names, self._average))}

    def load_state_dict(self, value: Mapping[str, Any]) -> None:
        """Put back what `state_dict` returned, in the network's memory layout."""
        live = self.network.state_dict()
        self._names = list(value["average"])
        self._average = [torch.empty_like(live[name]).copy_(tensor) for name, tensor in value["average"].items()]


class Progress:
    """A bar with the time left on a terminal; elsewhere a line at each quarter; nothing when quiet."""

    def __init__(self, *, quiet: bool = False, console: "Console | None" = None) -> None:
        self.quiet = quiet
        self.console = console
        self._bar: Bar | None = None
        self._task: TaskID | None = None
        self._next = 0.0
        self._first = 0

    def start(self, training: Training) -> None:
        """Show the bar."""
        if self.quiet:
            return
        from rich.console import Console
        from rich.progress import BarColumn, TextColumn
        from rich.progress import Progress as Bar

        self.console = self.console or Console(file=sys.stderr)
        self._first = training.taken
        if self.console.is_terminal:
            columns = (TextColumn("training"), BarColumn(), TextColumn("{task.description}"))
            self._bar = Bar(*columns, console=self.console, transient=True)
            self._task = self._bar.add_task("", total=training.total_steps)
            self._bar.start()
        else:
            self._next = 0.25 * (int(4 * training.taken / training.total_steps) + 1)

    def batch(self, training: Training) -> None:
        """Move the bar, at most five times a second; or print a line."""
        if self._bar is not None and self._task is not None:
            now = time.perf_counter()
            if now >= self._next:
                self._next = now + 0.2
                self._bar.update(self._task, total=training.total_steps, completed=training.taken,
                                 description=self.line(training))
        elif not self.quiet and training.taken >= self._next * training.total_steps:
            self._next = 0.25 * (int(4 * training.taken / training.total_steps + 1e-9) + 1)
            if self.console is not None:
                self.console.print(f"training {self.line(training)}", highlight=False, soft_wrap=True)

    def end(self, training: Training) -> None:
        """Take the bar away and say how it ended."""
        if self._bar is not None:
            self._bar.stop()
            self._bar = None
        if not self.quiet and self.console is not None:
            text = f"training ended after {training.taken} steps, {training.seconds:.0f} s: {training.history.reason}"
            self.console.print(text, highlight=False, soft_wrap=True)

    def line(self, training: Training) -> str:
        """Where training stands, in words."""
        total = training.total_steps
        parts = [f"{100 * training.taken // total} %", f"epoch {training.epoch + 1} of {training.plan.epochs}"]
        if "loss" in training.latest:
            parts.append(f"loss {training.latest['loss']:.3g}")
        left = training.seconds / max(training.taken, 1) * (total - training.taken)
        parts.append(f"{left:.0f} s left" if left < 90 else f"{left / 60:.0f} min left")
        return ", ".join(parts)
