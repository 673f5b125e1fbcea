"""Probabilities of support vector machines: sigmoids fitted on values that cross-validation held out.

What to notice: a machine's values on its own training rows lie too far out (its support vectors sit at ±1 by
construction), so each fold is judged by a machine that did not see it.
"""

from collections.abc import Sequence

import numpy as np

from gradatim.estimators import platt
from gradatim.estimators.folds import stratified_folds
from gradatim.estimators.kernel_dual import Dual
from gradatim.estimators.kernel_points import Points
from gradatim.estimators.svm_machines import Machine, Settings, in_threads, solve_all, thread_count

FOLDS = 5


def probability_sigmoids(
    points: Points,
    machines: Sequence[Machine],
    bound: np.ndarray,
    weights: np.ndarray,
    settings: Settings,
    seed: int,
) -> tuple[np.ndarray, np.ndarray]:
    """A and B (machines,) of 1 / (1 + exp(A f + B)), the probability of a machine's first class.

    bound (n,): C of every row; weights (n,): how often it counts.
    """
    parts: list[tuple[int, np.ndarray]] = []
    problems: list[tuple[np.ndarray, Dual]] = []
    held_out: list[np.ndarray] = [np.zeros(len(machine.rows)) for machine in machines]
    for number, machine in enumerate(machines):
        folds = stratified_folds((machine.target > 0).astype(np.int64), FOLDS, seed=seed)
        for fold in range(FOLDS):
            held, kept = np.flatnonzero(folds == fold), np.flatnonzero(folds != fold)
            if not len(held):
                continue
            seen = machine.target[kept]
            if (seen > 0).all() or (seen < 0).all():
                held_out[number][held] = seen[0]
                continue
            part = Machine(machine.first, machine.second, machine.rows[kept], seen)
            parts.append((number, held))
            problems.append((part.rows, part.dual(bound)))
    solutions = solve_all(points, problems, settings)

    def judge(place: int) -> np.ndarray:
        (number, held), (rows, _), solution = parts[place], problems[place], solutions[place]
        spoken = np.flatnonzero(solution.beta)
        if not len(spoken):
            return np.full(len(held), solution.intercept)
        left, right = points.take(machines[number].rows[held]), points.take(rows[spoken])
        return left.products(right) @ solution.beta[spoken] + solution.intercept

    for (number, held), values in zip(parts, in_threads(judge, range(len(parts)), thread_count())):
        held_out[number][held] = values
    found = [
        platt.fit_sigmoid(values, machine.target > 0, weights[machine.rows])
        for machine, values in zip(machines, held_out)
    ]
    return np.array([a for a, _ in found]), np.array([b for _, b in found])


def probabilities(
    decisions: np.ndarray, a: np.ndarray, b: np.ndarray, classes: int, *, pairs: bool
) -> np.ndarray:
    """Distribution (n, k) from the machines' values (n, machines), positive for the first class of each."""
    first = platt.sigmoid_probability(decisions, a, b)
    if pairs or classes == 2:
        table = np.full((len(decisions), classes, classes), 0.5)
        column = 0
        for i in range(classes):
            for j in range(i + 1, classes):
                table[:, i, j], table[:, j, i] = first[:, column], 1 - first[:, column]
                column += 1
        return platt.couple(table)
    first = np.clip(first, platt.LEAST_PROBABILITY, 1)
    return first / first.sum(1, keepdims=True)
