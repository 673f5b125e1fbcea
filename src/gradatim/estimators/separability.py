"""Whether a hyperplane separates two classes, how wide the street is, and what that bounds.

Yes is known by an example: a pass of the perceptron without mistake, or the solution of a linear programme. No is known
where the linear programme yᵢ(w·xᵢ + b) ≥ 1 has none, or where more updates happened than the bound of a margin allows.
What to notice: a perceptron that still errs after a thousand passes proves nothing by itself.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.optimize
import scipy.sparse

from gradatim.estimators.kernel_dual import Dual, Solution, solve
from gradatim.estimators.kernel_points import Points
from gradatim.estimators.perceptron_updates import Learned

# Largest linear programme, in coefficients: solved within a second or two.
LARGEST_PROGRAMME = 250_000


@dataclass(frozen=True, slots=True)
class Verdict:
    """separable: "yes", "no", "unknown", by what evidence; margin ρ and the bound on updates, NaN where not known."""

    separable: str
    evidence: str
    margin: float
    bound: float


def examine(points: Points, target: np.ndarray, state: Learned, *, wanted: bool, intercept: bool) -> Verdict:
    """What is known of rows with target (n,) ±1 after the perceptron's passes; wanted: margin and bound too."""
    separable = "unknown"
    evidence = f"{state.updates} updates in {state.passes} passes, not examined further"
    if state.passes and not state.mistakes:
        separable, evidence = "yes", f"pass {state.passes} made no mistake"
    if not wanted:
        return Verdict(separable, evidence, np.nan, np.nan)
    if separable == "unknown":
        separable, evidence = _by_programme(points, target, intercept)
        if separable == "no":
            return Verdict(separable, evidence, np.nan, np.inf)
    margin, bound = convergence_bound(points, target, intercept=intercept)
    if separable == "unknown" and np.isfinite(bound):
        separable, evidence = "yes", "a hard-margin support vector machine separates the rows"
    if separable == "unknown":
        evidence += "; a hard-margin support vector machine found no margin above a millionth of their size"
    return Verdict(separable, evidence, margin, bound)


def _by_programme(points: Points, target: np.ndarray, intercept: bool) -> tuple[str, str]:
    """By the linear programme over the weights: of the columns, or under a kernel of the rows."""
    linear = points.kernel.name == "linear"
    width = points.matrix.shape[1] if linear else len(points)
    if len(points) * width > LARGEST_PROGRAMME:
        return "unknown", f"a linear programme of {len(points)} × {width} is more than is tried"
    features: Any = points.matrix if linear else points.products(points)
    scale = float(np.abs(features).max()) if features.shape[1] else 0.0
    features = features / scale if scale > 0 else features
    if scipy.sparse.issparse(features):
        sides = -features.multiply(target[:, None])
        sides = scipy.sparse.hstack([sides, scipy.sparse.csr_matrix(-target[:, None])]) if intercept else sides
        sides = scipy.sparse.csr_matrix(sides)
    else:
        sides = -features * target[:, None]
        sides = np.column_stack([sides, -target]) if intercept else sides
    limits = (None, None)
    answer = scipy.optimize.linprog(
        np.zeros(sides.shape[1]), A_ub=sides, b_ub=-np.ones(len(target)), bounds=limits, method="highs"
    )
    where = "w·xᵢ" if linear else "Σ aⱼK(xⱼ, xᵢ)"
    if answer.status == 0:
        return "yes", f"the linear programme yᵢ({where}{' + b' if intercept else ''}) ≥ 1 has a solution"
    if answer.status == 2:
        return "no", f"the linear programme yᵢ({where}{' + b' if intercept else ''}) ≥ 1 has no solution"
    return "unknown", f"the linear programme ended without an answer ({answer.message})"


def convergence_bound(points: Points, target: np.ndarray, *, intercept: bool = True) -> tuple[float, float]:
    """(ρ, ((b*)² + 1)(r² + 1)/ρ²) of the widest separating hyperplane; (NaN, NaN) where none was found.

    ‖w*‖ = 1; ρ is the least distance yᵢ(w*·φ(xᵢ) + b*) that the machine really keeps, so the bound holds also where the
    machine is not quite the widest. Without an intercept the bound is r²/ρ² for a hyperplane through the origin.
    """
    machine = _widest(points, target) if intercept else None
    if machine is not None and machine.ending in ("converged", "stalled", "steps"):
        norm = float(np.sqrt(max(machine.squared_norm, 0.0)))
        if norm > 0:
            shift = machine.intercept
            margin = float((target * (target - machine.residual + shift)).min()) / norm
            if margin > 0:
                radius = float(points.diagonal().max())
                return margin, ((shift / norm) ** 2 + 1) * (radius + 1) / margin**2
        return np.nan, np.nan
    if intercept:
        return np.nan, np.nan
    return _through_origin(points, target)


def _widest(points: Points, target: np.ndarray) -> Solution:
    dual = Dual(target, np.where(target > 0, 0.0, -np.inf), np.where(target > 0, np.inf, 0.0))
    return solve(points, dual, tolerance=1e-4, most_steps=200_000, budget=256)


def _through_origin(points: Points, target: np.ndarray) -> tuple[float, float]:
    """The same without intercept: the rows and their mirror images, whose widest street lies around the origin."""
    if points.place is not None or points.kernel.name != "linear":
        return np.nan, np.nan
    matrix = points.matrix.toarray() if scipy.sparse.issparse(points.matrix) else points.matrix
    mirrored = points.kernel.points(np.concatenate([matrix, -matrix]))
    both = np.concatenate([target, -target])
    machine = _widest(mirrored, both)
    norm = float(np.sqrt(max(machine.squared_norm, 0.0)))
    if machine.ending == "unbounded" or not norm > 0:
        return np.nan, np.nan
    margin = float((both * (both - machine.residual)).min()) / norm
    return (margin, float(points.diagonal().max()) / margin**2) if margin > 0 else (np.nan, np.nan)
