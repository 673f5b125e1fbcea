"""Many two-class machines as one classifier: which rows each sees, their joint support vectors, their votes.

One-vs-one: a machine a pair of classes (Knerr, Personnaz and Dreyfus, 1990), k(k − 1)/2 small ones, fitted side by side
in threads; a machine's value is positive for the first class of its pair. One-vs-rest: a machine a class, positive for
the class.
What to notice: all machines share support vectors, so one block of kernel values serves them all; each support vector
of one-vs-one speaks in k − 1 machines only, which is the shape of `dual_coef_`.
"""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import scipy.sparse
import torch

from gradatim.estimators.gram import Matrix
from gradatim.estimators.kernel_dual import BATCH, Dual, Observer, Solution, solve
from gradatim.estimators.kernel_points import Points
from gradatim.estimators.kernels import Kernel, fast_products

Item = TypeVar("Item")
Result = TypeVar("Result")
# MiB of kernel values of a block of rows that wait for their decision values.
BLOCK = 16.0
# Multiplications in a batch of kernel rows from which on two threads share it.
LEAST_WORK = 2e7


@dataclass(frozen=True, slots=True)
class Machine:
    """One two-class problem: rows (m,) of the data, target (m,) 1 for class number `first`, −1 for `second`.

    second is −1 where it stands for all other classes.
    """

    first: int
    second: int
    rows: np.ndarray
    target: np.ndarray

    def dual(self, reach: np.ndarray) -> Dual:
        """Its problem; reach (n,): the bound C of every row of the data."""
        bound = reach[self.rows]
        return Dual(self.target, np.where(self.target > 0, 0.0, -bound), np.where(self.target > 0, bound, 0.0))


def machines(labels: np.ndarray, classes: int, one_vs_rest: bool) -> list[Machine]:
    """The machines for class numbers (n,); two classes are one machine, positive for number 0 in one-vs-one."""
    members = [np.flatnonzero(labels == number) for number in range(classes)]
    out: list[Machine] = []
    if one_vs_rest and classes > 2:
        everyone = np.arange(len(labels))
        return [Machine(number, -1, everyone, np.where(labels == number, 1.0, -1.0)) for number in range(classes)]
    for first in range(classes):
        for second in range(first + 1, classes):
            rows = np.concatenate([members[first], members[second]])
            out.append(Machine(first, second, rows, np.where(labels[rows] == first, 1.0, -1.0)))
    return out


def thread_count() -> int:
    """Threads that torch was told to use."""
    return int(torch.get_num_threads())


def in_threads(function: Callable[[Item], Result], items: Sequence[Item], threads: int) -> list[Result]:
    """function of each item, in order; torch works with one thread inside each of ours."""
    if threads <= 1 or len(items) <= 1:
        return [function(item) for item in items]
    before = torch.get_num_threads()
    try:
        with ThreadPoolExecutor(min(threads, len(items)), initializer=torch.set_num_threads, initargs=(1,)) as pool:
            return list(pool.map(function, items))
    finally:
        torch.set_num_threads(before)


@contextmanager
def one_thread() -> Iterator[None]:
    """Within, torch works with one thread: for products so small that waking another costs more than it does."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@dataclass(frozen=True, slots=True)
class Settings:
    """How every machine is solved."""

    tolerance: float
    budget: float
    most_steps: int
    shrinking: bool


def solve_all(
    points: Points,
    problems: Sequence[tuple[np.ndarray, Dual]],
    settings: Settings,
    observers: Sequence[Observer] | None = None,
    stride: int = 1,
) -> list[Solution]:
    """The solution of each (rows, problem); with observers one after the other, else in threads.

    The budget of kernel values is shared by the machines that are solved at the same time.
    """
    threads = 1 if observers is not None else min(thread_count(), len(problems))
    width = points.matrix.shape[1] if points.place is None else 0

    def one(number: int) -> Solution:
        rows, dual = problems[number]
        everyone = len(rows) == len(points) and np.array_equal(rows, np.arange(len(points)))
        seen = points if everyone else points.take(rows)
        return solve(
            seen,
            dual,
            tolerance=settings.tolerance,
            budget=settings.budget / threads,
            most_steps=settings.most_steps,
            shrinking=settings.shrinking,
            observe=None if observers is None else observers[number],
            stride=stride,
        )

    # The long ones first, so that no thread is left alone with one at the end.
    order = sorted(range(len(problems)), key=lambda number: -len(problems[number][0]))
    work = sum(float(len(rows)) ** 2 for rows, _ in problems) * width / 4
    small = threads == 1 and BATCH * max(len(rows) for rows, _ in problems) * width < LEAST_WORK
    with fast_products(points.dtype, work), one_thread() if small else nullcontext():
        found = dict(zip(order, in_threads(one, order, threads)))
    return [found[number] for number in range(len(problems))]


def joint_support(
    fitted: Sequence[Machine], betas: Sequence[np.ndarray], labels: np.ndarray, classes: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """support (s,) rows by class, their number a class (k,), and dual_coef, (k − 1, s) or (machines, s).

    One-vs-one, as LIBSVM lays it out: the coefficients of a support vector of class c in its machine against class o
    stand in row o, less one where o > c.
    """
    used = np.zeros(len(labels), bool)
    for machine, beta in zip(fitted, betas):
        used[machine.rows[beta != 0]] = True
    support = np.flatnonzero(used)
    support = support[np.argsort(labels[support], kind="stable")]
    place = np.full(len(labels), -1)
    place[support] = np.arange(len(support))
    pairs = fitted[0].second >= 0
    coefficients = np.zeros((classes - 1 if pairs else len(fitted), len(support)))
    for number, (machine, beta) in enumerate(zip(fitted, betas)):
        rows, values = machine.rows[beta != 0], beta[beta != 0]
        if pairs:
            line = np.where(labels[rows] == machine.first, machine.second - 1, machine.first)
        else:
            line = np.full(len(rows), number)
        coefficients[line, place[rows]] = values
    return support, np.bincount(labels[support], minlength=classes).astype(np.int32), coefficients


@dataclass(frozen=True, slots=True)
class Expansion:
    """Σ coefficient · K(support vector, x) + intercept for every machine.

    coefficients: dual_coef_; counts: n_support_ of one-vs-one with more than two classes, else None.
    """

    kernel: Kernel
    vectors: Matrix
    coefficients: np.ndarray
    intercepts: np.ndarray
    counts: np.ndarray | None
    support: np.ndarray

    def values(self, X: Matrix) -> np.ndarray:
        """Decision values (n, machines) float64, of blocks of rows side by side in threads."""
        out = np.tile(self.intercepts.astype(np.float64), (X.shape[0], 1))
        if not len(self.support) or not X.shape[0]:
            return out
        if self.kernel.name == "precomputed":
            self._speak(np.ascontiguousarray(X[:, self.support], dtype=np.float64), out)
            return out
        columns = self.kernel.points(self.vectors)
        height = max(1, int(BLOCK * 2**20 // (columns.dtype.itemsize * len(columns))))
        threads = thread_count()
        work = float(X.shape[0]) * len(columns) * max(1, X.shape[1])
        if work < LEAST_WORK or self.kernel.name == "callable":
            threads = 1
        height = max(1, min(height, -(-X.shape[0] // threads)))

        def one(start: int) -> None:
            part = slice(start, start + height)
            self._speak(self.kernel.points(X[part], like=columns).products(columns), out[part])

        with fast_products(columns.dtype, work):
            in_threads(one, range(0, X.shape[0], height), threads)
        return out

    def _speak(self, block: np.ndarray, out: np.ndarray) -> None:
        """Add the machines' sums over a block of kernel values (m, support) to `out` (m, machines)."""
        spoken = self.coefficients
        # float32 sums where their rounding stays far under the tolerance of the fit.
        if block.dtype == np.float32 and np.abs(spoken).sum(1).max() > 1e4:
            block = block.astype(np.float64)
        spoken = spoken.astype(block.dtype)
        if self.counts is None:
            out += _thin(block, spoken)
            return
        ends = np.concatenate([[0], np.cumsum(self.counts)])
        classes = len(self.counts)
        number = {(i, j): p for p, (i, j) in enumerate((i, j) for i in range(classes) for j in range(i + 1, classes))}
        for own in range(classes):
            part = slice(ends[own], ends[own + 1])
            if ends[own] == ends[own + 1]:
                continue
            sums = _thin(block[:, part], spoken[:, part])
            for line in range(classes - 1):
                other = line + (line >= own)
                out[:, number[min(own, other), max(own, other)]] += sums[:, line]


def _thin(block: np.ndarray, coefficients: np.ndarray) -> np.ndarray:
    """block (m, s) @ coefficientsᵀ (s, few)."""
    return torch.mm(torch.from_numpy(block), torch.from_numpy(np.ascontiguousarray(coefficients)).T).numpy()


def one_a_class(decisions: np.ndarray, classes: int) -> np.ndarray:
    """Scores (n, k) from the values (n, pairs) of one-vs-one: votes, and within half a vote the summed values."""
    votes, sums = np.zeros((len(decisions), classes)), np.zeros((len(decisions), classes))
    column = 0
    for first in range(classes):
        for second in range(first + 1, classes):
            value = decisions[:, column]
            sums[:, first] += value
            sums[:, second] -= value
            votes[:, first] += value >= 0
            votes[:, second] += value < 0
            column += 1
    return votes + sums / (3 * (np.abs(sums) + 1))


def votes(decisions: np.ndarray, classes: int) -> np.ndarray:
    """The class number (n,) with most votes of one-vs-one, the lowest of equals; as LIBSVM a zero is the second's."""
    counted = np.zeros((len(decisions), classes), np.int64)
    column = 0
    for first in range(classes):
        for second in range(first + 1, classes):
            wins = decisions[:, column] > 0
            counted[:, first] += wins
            counted[:, second] += ~wins
            column += 1
    return counted.argmax(1)


def weights(coefficients: np.ndarray, vectors: Matrix, counts: np.ndarray | None) -> np.ndarray:
    """w = Σ coefficient · support vector of every machine (machines, d), for the linear kernel."""
    if counts is None:
        return np.asarray(coefficients @ vectors)
    # Each support vector is its own linear functional: the machines' sums over the unit rows.
    pairs = len(counts) * (len(counts) - 1) // 2
    support = np.arange(coefficients.shape[1])
    everyone = Expansion(Kernel("linear"), vectors, coefficients, np.zeros(pairs), counts, support)
    out = np.zeros((vectors.shape[1], len(everyone.intercepts)))
    rows = vectors.toarray() if scipy.sparse.issparse(vectors) else vectors
    everyone._speak(np.ascontiguousarray(rows.T, dtype=np.float64), out)
    return np.ascontiguousarray(out.T)
