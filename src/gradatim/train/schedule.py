"""Learning-rate schedules: pure functions from the step, counted from 0, to a factor on the learning rate."""

import math
from collections.abc import Callable, Mapping
from typing import Any

from gradatim.errors import GradatimError

Schedule = Callable[[int], float]


def constant(step: int) -> float:
    """The same rate throughout.

    >>> constant(7)
    1.0
    """
    return 1.0


def step_decay(step: int, *, every: int, factor: float = 0.5) -> float:
    """Multiply by `factor` after each `every` steps: factor^⌊t / every⌋.

    >>> step_decay(25, every=10)
    0.25
    """
    return factor ** (step // every)


def exponential(step: int, *, rate: float) -> float:
    """e^(−rate·t).

    >>> round(exponential(10, rate=0.1), 6)
    0.367879
    """
    return math.exp(-rate * step)


def inverse_time(step: int, *, rate: float) -> float:
    """1 / (1 + rate·t).

    >>> inverse_time(10, rate=0.1)
    0.5
    """
    return 1.0 / (1.0 + rate * step)


def inverse_square_root(step: int, *, rate: float) -> float:
    """1 / √(1 + rate·t).

    >>> inverse_square_root(30, rate=0.1)
    0.5
    """
    return 1.0 / math.sqrt(1.0 + rate * step)


def cosine(step: int, *, total: int, floor: float = 0.0) -> float:
    """Half a cosine from 1 at step 0 to `floor` at step `total` (Loshchilov & Hutter 2017, eq. 5, one
    period).

    >>> cosine(50, total=100)
    0.5
    """
    share = min(step / total, 1.0)
    return floor + (1.0 - floor) * 0.5 * (1.0 + math.cos(math.pi * share))


def linear(step: int, *, total: int, floor: float = 0.0) -> float:
    """A straight line from 1 at step 0 to `floor` at step `total`.

    >>> linear(75, total=100)
    0.25
    """
    return 1.0 - (1.0 - floor) * min(step / total, 1.0)


def one_cycle(step: int, *, total: int, peak: float = 0.3, start: float = 0.04, end: float = 4e-6) -> float:
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

    def warmed(step: int) -> float:
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
