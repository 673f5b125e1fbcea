"""The perceptron's updates: on the weights of the columns, or on a count a row under a kernel.

What to notice: the mean of all weights along the way needs no copy of each: an update at time t belongs to the mean for
the rest of the time, so the mean is w less the sum of the updates weighted by their time, over the time gone.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

import numba
import numpy as np
import scipy.sparse

from gradatim.estimators.kernel_points import Points


@dataclass(slots=True)
class Learned:
    """Where learning stands.

    weights (m,): of the columns, or of the rows under a kernel; shift: the intercept; late, late_shift: their updates
    weighted by the rows seen before each; seen: rows seen; updates, passes, mistakes: so far, so far, in the last pass;
    stopped: by the observer.
    """

    weights: np.ndarray
    late: np.ndarray
    shift: float = 0.0
    late_shift: float = 0.0
    seen: int = 0
    updates: int = 0
    passes: int = 0
    mistakes: int = 0
    stopped: bool = False
    history: list[int] = field(default_factory=list)

    def coefficients(self, averaged: bool) -> np.ndarray:
        """The last weights, or the mean of those after every row seen."""
        return self.weights - self.late / self.seen if averaged and self.seen else self.weights.copy()

    def offset(self, averaged: bool) -> float:
        """The intercept that belongs to `coefficients`."""
        return self.shift - self.late_shift / self.seen if averaged and self.seen else self.shift

    def blank(self) -> "Learned":
        """A machine that has not begun."""
        return Learned(np.zeros_like(self.weights), np.zeros_like(self.late))


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
def _until_mistake(
    numbers: np.ndarray,
    columns: np.ndarray,
    starts: np.ndarray,
    target: np.ndarray,
    order: np.ndarray,
    place: int,
    weights: np.ndarray,
    shift: float,
) -> int:
    """The first place in `order`, from `place` on, whose row is mistaken; its length where there is none."""
    for at in range(place, len(order)):
        i = order[at]
        low, high = starts[i], starts[i + 1]
        row_columns = columns[low:high] if len(columns) else columns
        if target[i] * (_value(numbers[low:high], row_columns, weights) + shift) <= 0:
            return at
    return len(order)


@numba.njit(cache=True, nogil=True)
def _until_value_mistaken(
    values: np.ndarray, target: np.ndarray, order: np.ndarray, place: int, shift: float
) -> int:
    """The same for values (n,) that are known, under a kernel."""
    for at in range(place, len(order)):
        i = order[at]
        if target[i] * (values[i] + shift) <= 0:
            return at
    return len(order)


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
    """Pass over the rows until a pass has no mistake; target (n,) ±1; random: shuffles each pass, None: as they come."""
    rows = len(target)
    machine = _Columns(points, target) if primal else _Rows(points, target, budget)
    state = Learned(np.zeros(machine.size), np.zeros(machine.size))
    order = np.arange(rows)
    for _ in range(passes):
        if random is not None:
            order = random.permutation(rows)
        state.mistakes, place = 0, 0
        while (place := machine.until_mistake(order, place, state)) < rows:
            row = int(order[place])
            before = state.seen + place
            change = rate * target[row]
            machine.add(row, change, state.weights, state.late, before)
            if intercept:
                state.shift += change
                state.late_shift += change * before
            state.updates += 1
            state.mistakes += 1
            place += 1
            if observe is not None and observe(state, row):
                state.stopped = True
                return state
        state.seen += rows
        state.passes += 1
        if not state.mistakes:
            break
    return state


class _Columns:
    """Weights of the columns."""

    def __init__(self, points: Points, target: np.ndarray) -> None:
        matrix = points.matrix
        self.size = matrix.shape[1]
        self.target = target
        if scipy.sparse.issparse(matrix):
            self.numbers = np.asarray(matrix.data, dtype=np.float64)
            self.columns, self.starts = matrix.indices.astype(np.int64), matrix.indptr.astype(np.int64)
        else:
            self.numbers = matrix.reshape(-1)
            self.columns = np.empty(0, np.int64)
            self.starts = np.arange(matrix.shape[0] + 1) * matrix.shape[1]

    def until_mistake(self, order: np.ndarray, place: int, state: Learned) -> int:
        return int(
            _until_mistake(
                self.numbers, self.columns, self.starts, self.target, order, place, state.weights, state.shift
            )
        )

    def add(self, row: int, change: float, weights: np.ndarray, late: np.ndarray, time: int) -> None:
        part = slice(self.starts[row], self.starts[row + 1])
        places = self.columns[part] if len(self.columns) else slice(None)
        weights[places] += change * self.numbers[part]
        late[places] += time * change * self.numbers[part]


class _Rows:
    """A count a row; values of all rows are kept up to date, and kernel rows as far as the budget goes."""

    def __init__(self, points: Points, target: np.ndarray, budget: float) -> None:
        self.size = len(points)
        self.points, self.target = points, target
        self.values = np.zeros(self.size)
        self.room = int(budget * 2**20 // (8 * max(1, self.size)))
        self.held: dict[int, np.ndarray] = {}

    def until_mistake(self, order: np.ndarray, place: int, state: Learned) -> int:
        return int(_until_value_mistaken(self.values, self.target, order, place, state.shift))

    def add(self, row: int, change: float, weights: np.ndarray, late: np.ndarray, time: int) -> None:
        weights[row] += change
        late[row] += time * change
        kernel = self.held.get(row)
        if kernel is None:
            kernel = self.points.take(np.array([row])).products(self.points)[0]
            if len(self.held) < self.room:
                self.held[row] = kernel
        self.values += change * kernel
