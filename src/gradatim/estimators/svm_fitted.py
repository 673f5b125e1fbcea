"""The attributes that a support vector machine leaves behind, at the end or at any step for those who watch.

What to notice: a step's attributes are complete enough to predict; machines that did not begin yet are constants.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from gradatim.estimators import svm_machines
from gradatim.estimators.kernel_dual import Observer, Solution
from gradatim.estimators.linear_dual import LinearSolution
from gradatim.estimators.svm_machines import Machine
from gradatim.estimators.svm_rows import Given
from gradatim.estimators.watching import Watch


def classifier_attributes(
    estimator: Any, given: Given, machines: Sequence[Machine], solutions: Sequence[Solution]
) -> dict[str, Any]:
    """Those of SVC; solutions of the first machines, the others have not begun."""
    betas = [solution.beta for solution in solutions]
    betas += [np.zeros(len(machine.rows)) for machine in machines[len(betas) :]]
    support, counts, coefficients = svm_machines.joint_support(machines, betas, given.y, len(given.classes))
    intercepts = np.zeros(len(machines))
    intercepts[: len(solutions)] = [solution.intercept for solution in solutions]
    if len(machines) == 1:
        # One machine speaks for the second class, as everywhere in scikit-learn.
        coefficients, intercepts = -coefficients, -intercepts
    return {
        "support_": given.place[support].astype(np.int32),
        "support_vectors_": np.empty((0, 0)) if estimator.kernel == "precomputed" else given.X[support],
        "n_support_": counts,
        "dual_coef_": coefficients,
        "intercept_": intercepts,
        "n_iter_": np.array([solution.steps for solution in solutions], dtype=np.int32),
        "dual_objective_": np.array([solution.objective for solution in solutions]),
        "duality_gap_": np.array([solution.gap for solution in solutions]),
        "violation_": np.array([solution.violation for solution in solutions]),
    }


def classifier_observers(
    estimator: Any, given: Given, machines: Sequence[Machine], bound: np.ndarray, watch: Watch
) -> list[Observer]:
    """For each machine, solved one after the other, a function that publishes its state."""
    # A machine that is at its optimum from the start is never seen: its state is that of the start.
    states = [
        Solution(machine.dual(bound), np.zeros(len(machine.rows)), machine.target.copy()) for machine in machines
    ]

    def observer(number: int) -> Observer:
        parts: list[Watch] = []

        def observe(state: Solution) -> bool:
            if not parts:
                parts.append(watch.part("machine"))
            states[number] = state
            alphas = np.zeros(len(given.y))
            alphas[machines[number].rows] = state.beta

            def attributes() -> dict[str, Any]:
                seen = classifier_attributes(estimator, given, machines, states[: number + 1])
                return seen | {"machine_": number, "alphas_": alphas}

            return parts[0].step(attributes)

        return observe

    return [observer(number) for number in range(len(machines))]


def regressor_attributes(estimator: Any, given: Given, solution: Solution) -> dict[str, Any]:
    """Those of SVR."""
    support = np.flatnonzero(solution.beta)
    return {
        "support_": given.place[support].astype(np.int32),
        "support_vectors_": np.empty((0, 0)) if estimator.kernel == "precomputed" else given.X[support],
        "n_support_": np.array([len(support)], dtype=np.int32),
        "dual_coef_": solution.beta[support][None],
        "intercept_": np.array([solution.intercept]),
        "n_iter_": solution.steps,
        "dual_objective_": solution.objective,
        "duality_gap_": solution.gap,
        "violation_": solution.violation,
    }


def linear_attributes(
    found: Sequence[LinearSolution], outputs: int, constant: float, dtype: Any
) -> dict[str, Any]:
    """Those of LinearSVC; machines that did not begin have weights of zero."""
    table = np.zeros((outputs, len(found[0].weights)))
    for line, one in zip(table, found):
        line[:] = one.weights
    return {
        "coef_": np.ascontiguousarray(table[:, :-1], dtype=dtype),
        "intercept_": (table[:, -1] * constant).astype(dtype),
        "n_iter_": max(one.epochs for one in found),
        "objective_": np.array([one.primal for one in found]),
        "dual_objective_": np.array([one.dual for one in found]),
        "duality_gap_": np.array([one.primal - one.dual for one in found]),
        "violation_": np.array([one.violation for one in found]),
    }
