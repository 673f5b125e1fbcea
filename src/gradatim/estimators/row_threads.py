"""Rows shared out among threads, for compiled functions that give up the interpreter's lock.

Threads of our own, not numba's: those of its default pool may not be entered from two threads at once. They are kept
between calls, so that each finds its own processor again; the caller does the first part itself.
"""

import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import AbstractContextManager
from functools import cache
from itertools import pairwise
from typing import Any, TypeVar

import numpy as np

Result = TypeVar("Result")
# Below this many elementary operations a thread costs more than it saves (waking one takes some 20 µs).
LEAST_WORK = 500_000
_inside = threading.local()


def thread_count() -> int:
    """Threads that a computation may use: OMP_NUM_THREADS where it is set, else the processors of this process."""
    given = os.environ.get("OMP_NUM_THREADS", "").split(",")[0].strip()
    if given.isdigit() and int(given) > 0:
        return int(given)
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def one_product_thread() -> AbstractContextManager[Any]:
    """Within, NumPy's matrix products use one thread each: for products inside `in_parts`."""
    from threadpoolctl import threadpool_limits  # comes with scikit-learn

    return threadpool_limits(1, user_api="blas")


def in_parts(rows: int, work: float, function: Callable[[int, int, int], Result]) -> list[Result]:
    """Call function(part, first row, row after the last) for as many parts of the rows as threads are worth it.

    work: elementary operations in all.

    >>> in_parts(10, 1, lambda part, low, high: high - low)
    [10]
    """
    parts = 1 if getattr(_inside, "a_part", False) else int(max(1, min(thread_count(), work // LEAST_WORK, rows)))
    bounds = np.linspace(0, rows, parts + 1).astype(np.int64).tolist()
    ranges = [(part, low, high) for part, (low, high) in enumerate(pairwise(bounds))]
    others = [_threads(parts - 1).submit(function, *bounds) for bounds in ranges[1:]] if parts > 1 else []
    try:
        first = function(*ranges[0])
    finally:
        wait(others)  # whatever happens here, nobody writes any more when this function is left
    return [first, *(other.result() for other in others)]


@cache
def _threads(count: int) -> ThreadPoolExecutor:
    """As many threads, kept; what they call shares out no further."""
    return ThreadPoolExecutor(count, "gradatim-rows", initializer=lambda: setattr(_inside, "a_part", True))


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_threads.cache_clear)  # threads do not come along into a fork
