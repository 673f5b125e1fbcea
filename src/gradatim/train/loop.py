"""The one loop that everything is trained by.

    start ─▶ ( batch, batch, … ─▶ epoch ) ─▶ … ─▶ end

A hook is any object with some of the methods `start`, `batch`, `epoch`, `end`; each receives the `Training`, the
state below. A hook ends training by raising `Stop(reason)`; the others still hear of that event. Hooks that have
`state_dict` and `load_state_dict` are stored with a checkpoint. Hooks are called in their order, those with
`last = True` after all others.
"""

import math
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import islice
from typing import Any

import torch

from gradatim.errors import GradatimError
from gradatim.files import to_json_bytes
from gradatim.randomness import seed_of
from gradatim.train.checkpoint import machine
from gradatim.train.history import History, Meter, Row, number_of
from gradatim.train.plan import Plan
from gradatim.train.schedule import SchedulePosition
from gradatim.train.steps import Step

EVENTS = ("start", "batch", "epoch", "end")
READ_STEPS, READ_SECONDS = 32, 1.0

Hook = Any
Batches = Callable[[int], Iterable[Any]]
Evaluate = Callable[[], Mapping[str, Any]]


class Stop(Exception):
    """Raised by a hook or a step to end training; `reason` is one word, `note` a sentence for the history."""

    def __init__(self, reason: str, note: str = "") -> None:
        super().__init__(reason)
        self.reason = reason
        self.note = note


def fit(
    step: Step,
    batches: Batches,
    plan: Plan,
    hooks: Sequence[Hook] = (),
    *,
    evaluate: Evaluate | None = None,
    start: Mapping[str, Any] | None = None,
) -> History:
    """Train by `step` over `batches(epoch)` as the plan says, and say what happened.

    batches(epoch): the batches of an epoch, a pure function of the epoch; a sequence lets a resumed run skip
    without making them. evaluate(): numbers for the history's row, called after each epoch. start: a
    checkpoint to go on from; weights then end bit-equal to those of a run that was never interrupted (same
    plan, machine, threads). Before each step torch is seeded by (seed, epoch, step): dropout and augmentation
    are functions of these.
    """
    training = Training(plan, step, hooks, evaluate)
    if start is not None:
        training.restore(start)
    try:
        if not training.history.reason:
            training.announce("start")
            while training.epoch < plan.epochs and training.taken < training.total_steps:
                seed = _seeder(plan, training.epoch)
                for batch in _remaining(batches(training.epoch), training.index, plan.steps_per_epoch):
                    seed(training.index)
                    training.took(step(batch), batch)
                    training.announce("batch")
                    if training.taken >= training.total_steps:
                        break
                training.close_epoch()
            training.history.reason = "epochs"
    except Stop as stop:
        training.stopped(stop)
    except BaseException as error:
        training.history.reason = "interrupted" if isinstance(error, KeyboardInterrupt) else "error"
        training.announce("end")
        raise
    training.finish()
    return training.history


class Training:
    """The state of a run, as hooks see it.

    epoch, index: position of the next step; taken: steps done; row: the newest row of the history (at
    `epoch`); latest: the newest values read; seconds: of training so far, over all resumptions.
    """

    def __init__(self, plan: Plan, step: Step, hooks: Sequence[Hook] = (), evaluate: Evaluate | None = None) -> None:
        self.plan = plan
        self.step = step
        self.hooks = sorted(hooks, key=lambda hook: bool(getattr(hook, "last", False)))
        self.history = History(forecast=dict(plan.forecast))
        self.epoch = 0
        self.index = 0
        self.taken = 0
        self.row: Row = {}
        self.meter = Meter()
        self.evaluating_seconds = 0.0
        self._evaluate = evaluate
        self._seconds_before = 0.0
        self._began = self._read_at = time.perf_counter()
        self._listeners = {
            event: [getattr(hook, event) for hook in self.hooks if hasattr(hook, event)] for event in EVENTS
        }

    @property
    def seconds(self) -> float:
        """Seconds of training so far, over all resumptions."""
        return self._seconds_before + time.perf_counter() - self._began

    @property
    def total_steps(self) -> int:
        """Steps of the whole run: those of the plan, or fewer once its schedule was shortened."""
        position = self.position
        return self.plan.total_steps if position is None else position.total

    @property
    def position(self) -> SchedulePosition | None:
        """Where the steps stand on the schedule; None where the step has no schedule that could be shortened."""
        return getattr(self.step, "position", None)

    @property
    def latest(self) -> dict[str, float]:
        """The newest values read."""
        return self.meter.latest

    def announce(self, event: str) -> None:
        """Tell all hooks of an event; a Stop is raised after the last has heard of it."""
        stopped: Stop | None = None
        for listener in self._listeners[event]:
            try:
                listener(self)
            except Stop as stop:
                stopped = stopped or stop
        if stopped is not None:
            raise stopped

    def took(self, values: Mapping[str, Any], batch: Any) -> None:
        """Count a step and keep its values; read them now and then, and stop when one is not finite."""
        self.meter.add(values, len(batch) if hasattr(batch, "__len__") else 1)
        self.index += 1
        self.taken += 1
        if len(self.meter) >= READ_STEPS or time.perf_counter() - self._read_at > READ_SECONDS:
            self.read()

    def read(self) -> None:
        """Read the values of the steps since the last time."""
        broken = self.meter.read()
        self._read_at = time.perf_counter()
        if broken:
            rate = self.plan.learning_rate
            raise Stop(
                "not-finite",
                f"{', '.join(broken)} became infinite or not a number by step {self.taken}; try a learning "
                f"rate of {rate / 10:g} in place of {rate:g}, clip_norm 1, or look for infinities in the inputs",
            )

    def close_epoch(self, *, evaluate: bool = True) -> None:
        """Write the history's row and tell the hooks."""
        if evaluate:
            self.read()
        row: Row = {"epoch": self.epoch + 1, "steps": self.taken, **self.meter.row()}
        if evaluate and self._evaluate is not None:
            began = time.perf_counter()
            row |= {name: number_of(value) for name, value in self._evaluate().items()}
            self.evaluating_seconds += time.perf_counter() - began
        rate = _rate_of(self.step)
        if rate is not None:
            row["learning_rate"] = rate
        row["seconds"] = round(self.seconds, 3)
        self.history.rows.append(row)
        self.row = row
        self._note_divergence()
        self.epoch, self.index, self.meter = self.epoch + 1, 0, Meter()
        self.announce("epoch")

    def stopped(self, stop: Stop) -> None:
        """End early: note why, and count what was done of this epoch, so that its weights can be kept too."""
        self.history.reason = stop.reason
        if stop.note:
            self.history.note(stop.note)
        if self.index:
            try:
                self.close_epoch(evaluate=stop.reason != "not-finite")
            except Stop as another:
                if another.note:
                    self.history.note(another.note)
                if another.reason == "not-finite":
                    self.history.reason = another.reason

    def finish(self) -> None:
        """Record what it took and tell the hooks of the end."""
        total = self.seconds
        training = total - self.evaluating_seconds
        self.history.actual = {
            "total_seconds": total,
            "training_seconds": training,
            "evaluation_seconds": self.evaluating_seconds,
            "seconds_per_step": training / max(self.taken, 1),
        }
        self.announce("end")

    def snapshot(self) -> dict[str, Any]:
        """All that a resumed run needs, as a tree of tensors and JSON values."""
        return {
            "plan": self.plan.to_json(),
            "machine": machine(),
            "position": {"epoch": self.epoch, "index": self.index, "taken": self.taken},
            "seconds": {"total": self.seconds, "evaluating": self.evaluating_seconds},
            "history": self.history.to_json(),
            "meter": self.meter.to_json(),
            "step": self.step.state_dict(),
            "hooks": [{"name": type(hook).__name__, "state": hook.state_dict()} for hook in self._stateful()],
        }

    def restore(self, value: Mapping[str, Any]) -> None:
        """Go back to a snapshot; the plan and the kinds of hooks must be the same."""
        self._check_plan(value)
        stateful = self._stateful()
        names = [type(hook).__name__ for hook in stateful]
        stored_names = [entry["name"] for entry in value["hooks"]]
        if names != stored_names:
            raise GradatimError(f"expected the hooks of the checkpoint, {stored_names}; received {names}")
        self.history = History.from_json(value["history"])
        self._note_machine(value)
        self.epoch, self.index = int(value["position"]["epoch"]), int(value["position"]["index"])
        self.taken = int(value["position"]["taken"])
        self._seconds_before = float(value["seconds"]["total"])
        self.evaluating_seconds = float(value["seconds"]["evaluating"])
        self.meter = Meter.from_json(value["meter"])
        self.row = self.history.rows[-1] if self.history.rows else {}
        self.step.load_state_dict(value["step"])
        for hook, entry in zip(stateful, value["hooks"]):
            hook.load_state_dict(entry["state"])

    def _stateful(self) -> list[Hook]:
        return [hook for hook in self.hooks if hasattr(hook, "state_dict")]

    def _check_plan(self, value: Mapping[str, Any]) -> None:
        mine, stored = self.plan.to_json(), value["plan"]
        differing = [
            name
            for name in mine
            if name not in ("forecast", "reasons", "placement")
            and to_json_bytes(mine[name]) != to_json_bytes(stored.get(name))
        ]
        if differing:
            raise GradatimError(
                f"expected the plan of the checkpoint; {', '.join(differing)} differ; resume with the stored plan"
            )

    def _note_machine(self, value: Mapping[str, Any]) -> None:
        """The history says where a resumed run differs from the one before in what its last bits depend on."""
        placement, before = self.plan.placement.to_json(), value["plan"]["placement"]
        changes = [(name, before[name], placement[name]) for name in ("device", "dtype", "channels_last")]
        changes += [(name, was, machine().get(name)) for name, was in value["machine"].items()]
        for name, was, now in changes:
            if now != was:
                self.history.note(
                    f"resumed with {name} {now} in place of {was}: the result is not bit-equal to an unbroken run"
                )

    def _note_divergence(self) -> None:
        losses = [loss for loss in self.history.column("loss") if isinstance(loss, float)]
        if len(losses) > 1 and math.isfinite(losses[-1]) and losses[-1] > 1.5 * losses[0] > 0:
            self.history.note(
                f"the loss rose from {losses[0]:.3g} in epoch 1 to {losses[-1]:.3g} in epoch {self.epoch + 1}: "
                f"training diverges; try a learning rate of {self.plan.learning_rate / 10:g} or clip_norm 1"
            )


def _seeder(plan: Plan, epoch: int) -> Callable[[int], None]:
    """Seeds torch for one step of an epoch: a hash for the epoch, a Weyl sequence within, because it runs each step.

    `torch.manual_seed` would cost 86 µs: it also queues seeds for devices that are not there.
    """
    base = seed_of(plan.seed, "step", epoch)
    others: list[Callable[[int], Any]] = []
    if plan.placement.device.startswith("cuda"):
        others.append(torch.cuda.manual_seed)
    elif plan.placement.device.startswith("mps"):
        others.append(torch.mps.manual_seed)
    manual_seed = torch.default_generator.manual_seed

    def seed(index: int) -> None:
        value = (base + index * 0x9E3779B97F4A7C15) & 0x7FFFFFFFFFFFFFFF
        manual_seed(value)
        for other in others:
            other(value)

    return seed


def _remaining(batches: Iterable[Any], done: int, planned: int) -> Iterable[Any]:
    """The batches of an epoch from number `done` on, at most to the planned count."""
    if done and hasattr(batches, "__getitem__") and hasattr(batches, "__len__"):
        sequence: Any = batches
        return (sequence[index] for index in range(done, min(planned, len(sequence))))
    return islice(batches, done, planned)


def _rate_of(step: Any) -> float | None:
    """The learning rate of the step's last update, where it shows its optimiser."""
    optimizer = getattr(step, "optimizer", None)
    return optimizer.param_groups[0]["lr"] if optimizer is not None else None
