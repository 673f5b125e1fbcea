"""Rows shared out among threads, for compiled functions that give up the interpreter's lock.

Threads of our own, not numba's: those of its default pool may not be entered from two threads at once.
"""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from itertools import pairwise
from typing import Any, TypeVar

import numpy as np

Result = TypeVar("Result")
# Below this many elementary operations a thread costs more than it saves (starting one takes about 50 µs).
LEAST_WORK = 1_000_000


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
    parts = int(max(1, min(thread_count(), work // LEAST_WORK, rows)))
    bounds = np.linspace(0, rows, parts + 1).astype(np.int64).tolist()
    ranges = [(part, low, high) for part, (low, high) in enumerate(pairwise(bounds))]
    if parts == 1:
        return [function(*ranges[0])]
    with ThreadPoolExecutor(parts) as pool:
        return list(pool.map(lambda bound: function(*bound), ranges))
