"""The penalised likelihood with an L1 norm: linear classifiers that leave columns out.

Minimised is f(W, b) + λ₁‖W‖₁ with f of `likelihood`. Few parameters: proximal Newton, each step the exact minimum of
the quadratic model plus the L1 norm, found by `coordinate`, then halved until the objective falls (Lee, Sun and
Saunders, Proximal Newton-type methods, 2014). Many: accelerated proximal gradient steps measured in the covariance of
the inputs, c·Cov ⊗ I + λI with a c that is raised until the model lies above f (Beck and Teboulle, 2009, with the
metric of the preconditioner in `likelihood`), each again an exact minimum; where the covariance would be too big, its
diagonal.
What to notice: in that metric the problem is nearly round, so that few walks over the rows are needed, and the exact
inner minimum is found without touching the rows at all.
"""

import numpy as np

from gradatim.estimators.coordinate import minimise_quadratic
from gradatim.estimators.lbfgs import Minimum, Observe
from gradatim.estimators.likelihood import Likelihood
from gradatim.estimators.proximal import soft_threshold

# Parameters up to which the Hessian is built: it costs their square, times the rows, at every step.
LARGEST_HESSIAN = 1200


def minimise_sparse(
    objective: Likelihood,
    absolute: float,
    start: np.ndarray,
    *,
    tol: float,
    max_iter: int,
    resolution: float = 1e-15,
    observe: Observe | None = None,
) -> Minimum:
    """Minimise the objective plus `absolute` times the L1 norm of the coefficients (all rows of the parameters but the
    last).

    tol: stop when the decrease that the model promises is at most this. The design must not be rotated.
    """
    penalties = np.full(start.shape, absolute)
    penalties[-1] = 0.0
    search = _newton if start.size <= LARGEST_HESSIAN else _accelerated
    return search(
        objective,
        penalties,
        start.copy(),
        tol,
        max_iter,
        resolution,
        observe or (lambda parameters, value, step: False),
    )


def _newton(
    objective: Likelihood,
    penalties: np.ndarray,
    parameters: np.ndarray,
    tol: float,
    max_iter: int,
    resolution: float,
    observe: Observe,
) -> Minimum:
    """Proximal Newton steps with the whole Hessian."""
    objective.remember = True
    smooth, gradient = objective.evaluate(parameters)
    value, evaluations = smooth + _norm(parameters, penalties), 1
    size, still = parameters.size, 0
    for iteration in range(max_iter):
        hessian = objective.hessian().reshape(size, size)
        # A direction in which nothing bends must not be followed for ever.
        hessian.flat[:: size + 1] += 1e-10 * np.trace(hessian) / size
        if not objective.intercept:
            hessian = hessian.reshape(*parameters.shape, *parameters.shape)
            hessian[-1] = hessian[:, :, -1] = 0.0
            hessian = hessian.reshape(size, size)
        flat = parameters.ravel()
        wanted, _, _ = minimise_quadratic(
            hessian, hessian @ flat - gradient.ravel(), penalties.ravel(), flat,
            tolerance=0.1 * np.sqrt(tol / size), most=2000,
        )  # fmt: skip
        toward = wanted.reshape(parameters.shape) - parameters
        found = _search(objective, penalties, parameters, value, gradient, toward, resolution)
        evaluations += found[-1]
        promised, parameters, before, value, gradient = *found[:2], value, *found[2:4]
        if observe(parameters, value, iteration + 1):
            return Minimum(parameters, value, iteration + 1, evaluations, True)
        still = still + 1 if before - value <= resolution * max(1.0, abs(value)) else 0
        if promised <= tol or still >= 2:
            return Minimum(parameters, value, iteration + 1, evaluations, promised <= tol)
    return Minimum(parameters, value, max_iter, evaluations, False)


def _search(
    objective: Likelihood,
    penalties: np.ndarray,
    parameters: np.ndarray,
    value: float,
    gradient: np.ndarray,
    toward: np.ndarray,
    resolution: float,
) -> tuple[float, np.ndarray, float, np.ndarray, int]:
    """Half the decrease promised to first order; then parameters, value, gradient and evaluations after halving."""
    change = _norm(parameters + toward, penalties) - _norm(parameters, penalties)
    promised = -(float((gradient * toward).sum()) + change)
    step, slack = 1.0, resolution * max(1.0, abs(value))
    for count in range(1, 41):
        candidate = parameters + step * toward
        smooth, slope = objective.evaluate(candidate)
        reached = smooth + _norm(candidate, penalties)
        if reached <= value - 1e-4 * step * promised + slack:
            return promised / 2, candidate, reached, slope, count
        step /= 2
    objective.evaluate(parameters)
    return promised / 2, parameters, value, gradient, 41


def _accelerated(
    objective: Likelihood,
    penalties: np.ndarray,
    parameters: np.ndarray,
    tol: float,
    max_iter: int,
    resolution: float,
    observe: Observe,
) -> Minimum:
    """FISTA with restarts in the metric of the covariance."""
    metric = _Metric(objective)
    values, ahead, weight = parameters, parameters, 1.0
    smooth, gradient = objective.evaluate(ahead)
    value, evaluations, quiet = smooth + _norm(values, penalties), 1, 0
    for iteration in range(max_iter):
        slack = 4 * resolution * max(1.0, abs(smooth))
        while True:
            after = metric.step(ahead, gradient, penalties, 0.1 * np.sqrt(tol))
            moved = after - ahead
            model = smooth + float((gradient * moved).sum()) + metric.square(moved) / 2
            reached = objective.evaluate(after)[0]
            evaluations += 1
            if reached <= model + slack:
                break
            metric.bend *= 2.0
        new_value = reached + _norm(after, penalties)
        quiet = quiet + 1 if abs(value - new_value) <= tol / 10 and metric.square(moved) / 2 <= tol else 0
        if metric.inner(ahead - after, after - values) > 0:
            weight = 1.0
        new_weight = (1 + np.sqrt(1 + 4 * weight * weight)) / 2
        ahead = after + (weight - 1) / new_weight * (after - values)
        values, value, weight = after, new_value, new_weight
        if observe(values, value, iteration + 1):
            return Minimum(values, value, iteration + 1, evaluations, True)
        if quiet >= 3:
            return Minimum(values, value, iteration + 1, evaluations, True)
        smooth, gradient = objective.evaluate(ahead)
        evaluations += 1
        # What was needed once, where the rows were uncertain, need not be needed for ever.
        metric.bend *= 0.95
    return Minimum(values, value, max_iter, evaluations, False)


class _Metric:
    """bend · Cov + λI on the coefficients of each class, bend on its intercept."""

    def __init__(self, objective: Likelihood) -> None:
        design = objective.design
        self.penalty, self.intercept = objective.penalty, objective.intercept
        self.variances = design.variances
        self.covariance = None
        if design.vectors is not None:
            self.covariance = (design.vectors * design.variances) @ design.vectors.T
            self.variances = self.covariance.diagonal().copy()
        self.bend = 1 / max(4, 2 * objective.outputs)

    def _times(self, values: np.ndarray) -> np.ndarray:
        inner = self.covariance @ values[:-1] if self.covariance is not None else self.variances[:, None] * values[:-1]
        return np.vstack([self.bend * inner + self.penalty * values[:-1], self.bend * values[-1:]])

    def inner(self, left: np.ndarray, right: np.ndarray) -> float:
        return float((left * self._times(right)).sum())

    def square(self, values: np.ndarray) -> float:
        return self.inner(values, values)

    def step(self, at: np.ndarray, gradient: np.ndarray, penalties: np.ndarray, tolerance: float) -> np.ndarray:
        """The minimum of gradient · (w − at) + ½ ‖w − at‖² in the metric + penalties · |w|."""
        out = np.empty_like(at)
        out[-1] = at[-1] - gradient[-1] / self.bend if self.intercept else at[-1]
        if self.covariance is None:
            bends = np.maximum(self.bend * self.variances + self.penalty, 1e-12)[:, None]
            out[:-1] = soft_threshold(at[:-1] - gradient[:-1] / bends, penalties[:-1] / bends)
            return out
        matrix = self.bend * self.covariance
        matrix.flat[:: len(matrix) + 1] += self.penalty
        pull = matrix @ at[:-1] - gradient[:-1]
        for column in range(at.shape[1]):
            out[:-1, column] = minimise_quadratic(
                matrix, np.ascontiguousarray(pull[:, column]), penalties[:-1, column], at[:-1, column],
                tolerance=tolerance / at.shape[1], most=500,
            )[0]  # fmt: skip
        return out


def _norm(parameters: np.ndarray, penalties: np.ndarray) -> float:
    return float((penalties * np.abs(parameters)).sum())
