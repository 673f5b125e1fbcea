"""The perceptron's updates: on the weights of the columns, or on a count a row under a kernel.

What to notice: the mean of all weights along the way needs no copy of each: an update at time t belongs to the mean for
the rest of the time, so the mean is w less the sum of the updates weighted by their time, over the time gone.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numba
import numpy as np
import scipy.sparse

from gradatim.estimators.kernel_points import Points


@dataclass(slots=True)
class Learned:
    """Where learning stands.

    sums (m + 1,): weights of columns, or of rows under a kernel, and the intercept; late: their updates weighted
    by the rows seen before each; seen: rows in whole passes; updates, passes, mistakes: so far, so far, in the last
    pass; stopped: by the observer.
    """

    sums: np.ndarray
    late: np.ndarray
    seen: int = 0
    updates: int = 0
    passes: int = 0
    mistakes: int = 0
    stopped: bool = False

    def coefficients(self, averaged: bool) -> np.ndarray:
        """The last weights, or the mean of those after every row seen."""
        return self.mean(averaged)[:-1]

    def offset(self, averaged: bool) -> float:
        """The intercept that belongs to `coefficients`."""
        return float(self.mean(averaged)[-1])

    def mean(self, averaged: bool) -> np.ndarray:
        """Coefficients and intercept together."""
        return self.sums - self.late / self.seen if averaged and self.seen else self.sums.copy()

    def blank(self) -> "Learned":
        """A machine that has not begun."""
        return Learned(np.zeros_like(self.sums), np.zeros_like(self.late))


Observer = Callable[[Learned, int], bool]


@numba.njit(cache=True, nogil=True, fastmath=True)
def _value(numbers: np.ndarray, columns: np.ndarray, weights: np.ndarray) -> float:
    """w·x of a row; columns empty where it is dense."""
    total = 0.0
    if len(columns) == 0:
        for t in range(len(numbers)):
            total += numbers[t] * weights[t]
    else:
        for t in range(len(numbers)):
            total += numbers[t] * weights[columns[t]]
    return total


@numba.njit(cache=True, nogil=True)
def _learn_columns(
    numbers: np.ndarray,
    columns: np.ndarray,
    starts: np.ndarray,
    target: np.ndarray,
    order: np.ndarray,
    place: int,
    most: int,
    rate: float,
    shift_rate: float,
    time: int,
    sums: np.ndarray,
    late: np.ndarray,
) -> tuple[int, int]:
    """Go on in `order` from `place` until `most` mistakes are mended; (place after the last row seen, mistakes).

    sums: weights and, last, the intercept, which learns at `shift_rate`; late: updates times their time.
    """
    mended, width = 0, len(sums) - 1
    while place < len(order) and mended < most:
        i = order[place]
        low, high = starts[i], starts[i + 1]
        part = columns[low:high] if len(columns) else columns
        if target[i] * (_value(numbers[low:high], part, sums) + sums[width]) <= 0:
            change, when = rate * target[i], time + place
            for t in range(low, high):
                column = columns[t] if len(columns) else t - low
                sums[column] += change * numbers[t]
                late[column] += when * change * numbers[t]
            sums[width] += shift_rate * target[i]
            late[width] += when * shift_rate * target[i]
            mended += 1
        place += 1
    return place, mended


@numba.njit(cache=True, nogil=True)
def _learn_rows(
    kernel: np.ndarray,
    values: np.ndarray,
    target: np.ndarray,
    order: np.ndarray,
    place: int,
    most: int,
    rate: float,
    shift_rate: float,
    time: int,
    sums: np.ndarray,
    late: np.ndarray,
) -> tuple[int, int]:
    """The same for a count a row, with all of the kernel matrix (n, n), or none of it: then most is 1, and the caller
    brings the values up to date.
    """
    mended, rows = 0, len(values)
    while place < len(order) and mended < most:
        i = order[place]
        if target[i] * (values[i] + sums[rows]) <= 0:
            change, when = rate * target[i], time + place
            sums[i] += change
            late[i] += when * change
            sums[rows] += shift_rate * target[i]
            late[rows] += when * shift_rate * target[i]
            if len(kernel):
                for t in range(rows):
                    values[t] += change * kernel[i, t]
            mended += 1
        place += 1
    return place, mended


def learn(
    points: Points,
    target: np.ndarray,
    *,
    primal: bool,
    rate: float,
    intercept: bool,
    passes: int,
    random: np.random.Generator | None,
    budget: float,
    observe: Observer | None,
) -> Learned:
    """Pass over the rows until a pass has no mistake; target (n,) ±1; random: shuffles each pass, if not None."""
    rows = len(target)
    machine = _Columns(points, target) if primal else _Rows(points, target, budget)
    state = Learned(np.zeros(machine.size + 1), np.zeros(machine.size + 1))
    order, most = np.arange(rows), 2**62 if observe is None and machine.whole else 1
    rates = rate, rate if intercept else 0.0
    for _ in range(passes):
        if random is not None:
            order = random.permutation(rows)
        state.mistakes, place = 0, 0
        while place < rows:
            place, mended = machine.advance(order, place, most, rates, state)
            state.updates += mended
            state.mistakes += mended
            if mended and observe is not None and observe(state, int(order[place - 1])):
                state.stopped = True
                return state
        state.seen += rows
        state.passes += 1
        if not state.mistakes:
            break
    return state


class _Columns:
    """Weights of the columns."""

    whole = True

    def __init__(self, points: Points, target: np.ndarray) -> None:
        matrix = points.matrix
        self.size, self.target = matrix.shape[1], target
        if scipy.sparse.issparse(matrix):
            self.numbers = np.asarray(matrix.data, dtype=np.float64)
            self.columns, self.starts = matrix.indices.astype(np.int64), matrix.indptr.astype(np.int64)
        else:
            self.numbers = matrix.reshape(-1)
            self.columns = np.empty(0, np.int64)
            self.starts = np.arange(matrix.shape[0] + 1) * matrix.shape[1]

    def advance(self, order: np.ndarray, place: int, most: int, rates: tuple[float, float], state: Learned) -> Any:
        matrix = (self.numbers, self.columns, self.starts)
        return LEARN_COLUMNS(*matrix, self.target, order, place, most, *rates, state.seen, state.sums, state.late)


class _Rows:
    """A count a row; the values of all rows are kept up to date. The kernel matrix is held where the budget (MiB) has
    room for it, else its rows as far as they go.
    """

    def __init__(self, points: Points, target: np.ndarray, budget: float) -> None:
        self.size, self.points, self.target = len(points), points, target
        self.values = np.zeros(self.size)
        self.room = int(budget * 2**20 // (points.dtype.itemsize * max(1, self.size)))
        self.whole = self.room >= self.size
        self.kernel = points.products(points) if self.whole else np.empty((0, 0), points.dtype)
        self.held: dict[int, np.ndarray] = {}

    def advance(self, order: np.ndarray, place: int, most: int, rates: tuple[float, float], state: Learned) -> Any:
        place, mended = LEARN_ROWS(
            self.kernel, self.values, self.target, order, place, most, *rates, state.seen, state.sums, state.late
        )
        if mended and not self.whole:
            row = int(order[place - 1])
            kernel = self.held.get(row)
            if kernel is None:
                kernel = self.points.take(np.array([row])).products(self.points)[0]
                if len(self.held) < self.room:
                    self.held[row] = kernel
            self.values += rates[0] * self.target[row] * kernel
        return place, mended


# Called with parts unpacked by position, which numba's type stub does not foresee.
LEARN_COLUMNS: Any = _learn_columns
LEARN_ROWS: Any = _learn_rows
