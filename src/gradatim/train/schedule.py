"""Learning-rate schedules: pure functions from the step, counted from 0, to a factor on the learning rate.

`SchedulePosition` says where on the planned schedule a step stands once the rest of it has been shortened.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from gradatim.errors import GradatimError

Schedule = Callable[[float], float]


def constant(step: float) -> float:
    """The same rate throughout.

    >>> constant(7)
    1.0
    """
    return 1.0


def step_decay(step: float, *, every: int, factor: float = 0.5) -> float:
    """Multiply by `factor` after each `every` steps: factor^⌊t / every⌋.

    >>> step_decay(25, every=10)
    0.25
    """
    return factor ** (step // every)


def exponential(step: float, *, rate: float) -> float:
    """e^(−rate·t).

    >>> round(exponential(10, rate=0.1), 6)
    0.367879
    """
    return math.exp(-rate * step)


def inverse_time(step: float, *, rate: float) -> float:
    """1 / (1 + rate·t).

    >>> inverse_time(10, rate=0.1)
    0.5
    """
    return 1.0 / (1.0 + rate * step)


def inverse_square_root(step: float, *, rate: float) -> float:
    """1 / √(1 + rate·t).

    >>> inverse_square_root(30, rate=0.1)
    0.5
    """
    return 1.0 / math.sqrt(1.0 + rate * step)


def cosine(step: float, *, total: int, floor: float = 0.0) -> float:
    """Half a cosine from 1 at step 0 to `floor` at step `total` (Loshchilov & Hutter 2017, eq. 5, one
    period).

    >>> cosine(50, total=100)
    0.5
    """
    share = min(step / total, 1.0)
    return floor + (1.0 - floor) * 0.5 * (1.0 + math.cos(math.pi * share))


def linear(step: float, *, total: int, floor: float = 0.0) -> float:
    """A straight line from 1 at step 0 to `floor` at step `total`.

    >>> linear(75, total=100)
    0.25
    """
    return 1.0 - (1.0 - floor) * min(step / total, 1.0)


def one_cycle(step: float, *, total: int, peak: float = 0.3, start: float = 0.04, end: float = 4e-6) -> float:
    """Half-cosine rise from `start` to 1 at share `peak`, half-cosine fall to `end` at the last step.

    Smith & Topin 2018, in the two-phase form of torch.optim.lr_scheduler.OneCycleLR.

    >>> one_cycle(29, total=100)
    1.0
    """
    top = peak * total - 1.0
    if step <= top and top > 0:
        share, low, high = step / top, start, 1.0
        return high + (low - high) * 0.5 * (1.0 + math.cos(math.pi * share))
    share = min((step - top) / max(total - 1.0 - top, 1e-9), 1.0)
    return end + (1.0 - end) * 0.5 * (1.0 + math.cos(math.pi * share))


def with_warmup(schedule: Schedule, warmup: int) -> Schedule:
    """`schedule` after `warmup` steps of linear rise: (t + 1) / (warmup + 1) for t < warmup, then schedule(t
    − warmup).

    Goyal et al. 2017, section 2.2.

    >>> [with_warmup(constant, 3)(step) for step in range(5)]
    [0.25, 0.5, 0.75, 1.0, 1.0]
    """
    if warmup <= 0:
        return schedule

    def warmed(step: float) -> float:
        return (step + 1) / (warmup + 1) if step < warmup else schedule(step - warmup)

    return warmed


SCHEDULES: dict[str, Callable[..., float]] = {
    "constant": constant,
    "step": step_decay,
    "exponential": exponential,
    "1/t": inverse_time,
    "1/sqrt(t)": inverse_square_root,
    "cosine": cosine,
    "linear": linear,
    "one-cycle": one_cycle,
}
_NEEDS_TOTAL = ("cosine", "linear", "one-cycle")


def make_schedule(name: str, total: int, *, warmup: int = 0, options: Mapping[str, Any] | None = None) -> Schedule:
    """The named schedule over `total` steps, the first `warmup` of them rising linearly.

    Options not given are chosen so that the rate ends at a hundredth of its peak: step: 7 halvings;
    exponential, 1/t, 1/√t: by their rate. Raises GradatimError on an unknown name or option.

    >>> rate = make_schedule("cosine", 110, warmup=10)
    >>> rate(10), rate(60), round(rate(110), 6)
    (1.0, 0.5, 0.0)
    """
    if name not in SCHEDULES:
        raise GradatimError(f"expected a schedule among {', '.join(SCHEDULES)}; received '{name}'")
    rest = max(total - warmup, 1)
    defaults: dict[str, dict[str, Any]] = {
        "step": {"every": max(rest // 8, 1)},
        "exponential": {"rate": math.log(100) / rest},
        "1/t": {"rate": 99 / rest},
        "1/sqrt(t)": {"rate": 9999 / rest},
    }
    settings = {
        **defaults.get(name, {}),
        **({"total": rest} if name in _NEEDS_TOTAL else {}),
        **(options or {}),
    }
    function = SCHEDULES[name]
    try:
        function(0, **settings)
    except TypeError as error:
        raise GradatimError(f"schedule '{name}': {error}; received options {dict(options or {})}") from None
    if name == "constant":
        return with_warmup(constant, warmup)
    return with_warmup(lambda step: function(step, **settings), warmup)


def scale_learning_rate(rate: float, batch_size: int, new_batch_size: int, *, rule: str = "linear") -> float:
    """The learning rate for another batch size: batch ×N → rate ×N ("linear", Goyal et al. 2017, for SGD and
    its momenta) or ×√N ("square_root", Malladi et al. 2022, for optimisers that divide by the gradient's
    size).

    >>> scale_learning_rate(0.1, 128, 512), scale_learning_rate(0.001, 128, 512, rule="square_root")
    (0.4, 0.002)
    """
    ratio = new_batch_size / batch_size
    if rule == "linear":
        return rate * ratio
    if rule == "square_root":
        return rate * math.sqrt(ratio)
    raise GradatimError(f"expected rule 'linear' or 'square_root', received '{rule}'")


class SchedulePosition:
    """Where on the planned schedule each step stands, also after the rest of the schedule was shortened.

    Step t of `planned` stands at t. `shorten(k, n)` makes the steps from k to the last, n − 1, run evenly through
    what is left of the schedule, so that the last step has the schedule's last rate however few steps are left. It may
    be shortened again. total: the steps of the whole run as things stand.

    >>> position = SchedulePosition(101)
    >>> position.shorten(20, 61)
    >>> [position.at(step) for step in (19, 20, 40, 60)]
    [19, 20.0, 60.0, 100.0]
    """

    def __init__(self, planned: int) -> None:
        self.planned = self.total = planned
        self.cuts: list[tuple[int, int]] = []
        self._segments: list[tuple[int, float, float]] = []  # first step, its position, positions a step

    def at(self, step: int) -> float:
        """The position of a step, counted from 0; the step itself where nothing was shortened."""
        for first, position, pace in reversed(self._segments):
            if step >= first:
                return min(position + (step - first) * pace, float(self.planned - 1))
        return step

    def shorten(self, step: int, total: int) -> None:
        """From `step` on, come to the schedule's end with `total` steps in all. Raises GradatimError where total is
        not above `step`, or above the total so far.
        """
        if not step < total <= self.total:
            raise GradatimError(f"expected a total above step {step} and at most {self.total}, received {total}")
        position, last = float(self.at(step)), float(self.planned - 1)
        left = total - 1 - step
        self._segments.append((step, position if left else last, (last - position) / left if left else 0.0))
        self.cuts.append((step, total))
        self.total = total

    def to_json(self) -> list[list[int]]:
        """The cuts: pairs of step and total."""
        return [list(cut) for cut in self.cuts]

    def restore(self, cuts: Iterable[Sequence[int]]) -> None:
        """Go back to what `to_json` said."""
        self.cuts, self._segments, self.total = [], [], self.planned
        for step, total in cuts:
            self.shorten(int(step), int(total))
