"""A schedule that is kept to the time there is: where steps are slower than forecast, what is left of it is shortened.

Nothing is broken off: the learning rate still falls to its end (`SchedulePosition`), in fewer steps. What is decided
by the clock is stored before it is acted on, with the step at which it was decided, and repeated there by a resumed
run, so that this run ends with the same weights.
"""

import time
from collections.abc import Callable, Mapping
from typing import Any

from gradatim.train.loop import Stop, Training
from gradatim.train.plan import Plan

CHECK_SECONDS = 0.25  # between two looks at the clock
PRIOR_STEPS = 4  # the forecast counts as much as so many measured steps
MEMORY = 0.25  # of the seconds forecast: how far back the pace of the steps is measured
MARGIN = 0.95  # a shortened schedule is planned to need this share of the time
LEAST_CUT = 0.02  # of the planned steps: less is not worth a decision

Decided = Callable[[int, Callable[[], dict[str, Any]]], Mapping[str, Any]]
Known = Callable[[int], Mapping[str, Any] | None]


class Pace:
    """Shortens what is left of a schedule that would not end within the time.

    left: seconds for all work that is still to come, now. reserved: seconds forecast for what comes after this
    training; where time is short, both get the same share of what they need at the pace that is seen. fewest: steps
    below which the training is not worth its end; it then stops at once (reason "time"). known(number): the stored
    decision of that number, or None; decided(number, compute): the same, made and stored where there is none.
    closed: the decisions of this training are all stored, no more are made.
    """

    def __init__(
        self, plan: Plan, left: Callable[[], float], known: Known, decided: Decided, *, reserved: float = 0.0,
        fewest: int = 0, closed: bool = False,
    ) -> None:
        self.left, self.known, self.decided = left, known, decided
        self.reserved, self.fewest, self.closed = reserved, fewest, closed
        self.expected = plan.forecast.get("seconds_per_step", 0.0)
        self.expected_evaluation = plan.forecast.get("evaluation_seconds", 0.0) / plan.epochs
        self.memory = max(4 * CHECK_SECONDS, MEMORY * plan.forecast.get("total_seconds", 0.0))
        self.steps = PRIOR_STEPS if self.expected > 0 else 0.0  # measured steps and their seconds, the old ones fading
        self.seconds = self.steps * self.expected
        self.number = 0
        self._mark: tuple[float, int] | None = None

    def start(self, training: Training) -> None:
        """A resumed run has made the decisions that its checkpoint holds."""
        self.number = 0 if training.position is None else len(training.position.cuts)

    def batch(self, training: Training) -> None:
        """Repeat what was decided at this step; else look at the clock now and then."""
        stored = self.known(self.number)
        if stored is not None:
            if stored["step"] == training.taken:
                self._act(training, stored)
            return  # nothing new before what has been decided
        if self.closed or training.taken >= training.total_steps or not self._measured(training):
            return
        total = self._affordable(training)
        if total < training.total_steps:
            slower = self._step_seconds() / self.expected if self.expected else 0.0
            self._act(training, self.decided(self.number, lambda: _decision(training, total, self.fewest, slower)))

    def epoch(self, training: Training) -> None:
        """What an evaluation took is no part of the pace of the steps."""
        self._mark = (time.perf_counter(), training.taken)

    def _measured(self, training: Training) -> bool:
        """Whether there is something new to judge by; the first step, which warms up, does not count."""
        now = time.perf_counter()
        if self._mark is None:
            self._mark = (now, training.taken)
            return False
        seconds, steps = now - self._mark[0], training.taken - self._mark[1]
        if seconds < CHECK_SECONDS or not steps:
            return False
        faded = max(0.0, 1 - seconds / self.memory)
        self.seconds, self.steps = faded * self.seconds + seconds, faded * self.steps + steps
        self._mark = (now, training.taken)
        return True

    def _step_seconds(self) -> float:
        return self.seconds / self.steps

    def _affordable(self, training: Training) -> int:
        """How many steps in all fit into the time, as things stand."""
        epochs, per_epoch = training.epoch, training.plan.steps_per_epoch
        evaluation = training.evaluating_seconds / epochs if epochs else self.expected_evaluation
        pace = self._step_seconds() + evaluation / per_epoch
        expected = self.expected + self.expected_evaluation / per_epoch
        steps = training.total_steps - training.taken
        slower = max(1.0, pace / expected) if expected else 1.0
        needed = steps * pace + self.reserved * slower * _kept_share(training)
        share = max(0.0, self.left() - evaluation) / needed
        if share >= 1:
            return training.total_steps
        total = training.taken + max(1, int(steps * share * MARGIN))
        few = training.total_steps - total < LEAST_CUT * training.plan.total_steps
        return training.total_steps if few else total

    def _act(self, training: Training, decision: Mapping[str, Any]) -> None:
        self.number += 1
        if not decision["total"]:
            raise Stop("time", decision["why"])
        if training.position is not None:
            training.position.shorten(decision["step"], decision["total"])
            training.history.note(decision["why"])


def _kept_share(training: Training) -> float:
    """The share of its remaining steps that the schedule has kept so far: what comes after is shortened alike."""
    if training.position is None:
        return 1.0
    planned = training.plan.total_steps - training.position.at(training.taken)
    return (training.total_steps - training.taken) / max(planned, 1.0)


def _decision(training: Training, total: int, fewest: int, slower: float) -> dict[str, Any]:
    """JSON: at which step, how many steps in all (0: stop), and why."""
    planned = training.plan.total_steps
    pace = f"steps take {slower:.1f} times as long as forecast" if slower > 1.05 else "less time was left than forecast"
    if total < fewest:
        return {"step": training.taken, "total": 0,
                "why": f"{pace}: stopped after step {training.taken} of {planned}, the time would end before step "
                       f"{fewest}"}
    return {"step": training.taken, "total": total,
            "why": f"{pace}: the learning rate falls to its end in {total} steps in place of {planned} (decided after "
                   f"step {training.taken})"}
