"""Workloads of the estimators' benchmark, one file a topic.

A topic has `WORKLOADS`, name → function(size) → `Workload`; size None is the size of the published target, any
other number scales the rows, so that a sweep shows growth.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Workload:
    """One piece of work and those who do it.

    contenders: name → function that does all of the work and returns the result; "gradatim" is ours. quality: numbers
    by which a result is judged (objective, inertia, accuracy), so that speed is compared at equal quality. target:
    the wanted ratio best peer / ours, of seconds. description: data, sizes, settings, in a sentence.
    """

    description: str
    contenders: Mapping[str, Callable[[], Any]]
    quality: Callable[[Any], dict[str, float]]
    target: float | None = None
    turns: int = 3


@dataclass(frozen=True, slots=True)
class Sweep:
    """How a workload grows: its function of a size, and the sizes to run."""

    make: Callable[[int | None], Workload]
    sizes: Sequence[int] = field(default_factory=tuple)
