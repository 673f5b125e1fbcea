"""Methods that ask the objective for more than a gradient: curvature, a line search, or nothing but values.

Every method has one shape: `method(objective, parameters, state, *, …) -> (parameters, state)`, the state a dictionary
that is empty before the first step, nothing changed in place. The objective is anything with the fields of `Objective`
that the method names; a Surface is one, and `gradatim.autodiff.optimisers.objective` makes one of a network's loss.

In the equations θ are the parameters (one vector), g the gradient, H the Hessian, p a direction, α a step length.
Line searches follow Nocedal & Wright, Numerical Optimization (2006): below NW.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from gradatim.errors import GradatimError
from gradatim.randomness import generator

Array = np.ndarray
State = Mapping[str, Any]
Step = tuple[Array, dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Objective:
    """What is minimised: value(θ), gradient(θ), and where it has them hessian(θ), residuals(θ), jacobian(θ)."""

    value: Callable[[Array], Any]
    gradient: Callable[[Array], Array]
    hessian: Callable[[Array], Array] | None = None
    residuals: Callable[[Array], Array] | None = None
    jacobian: Callable[[Array], Array] | None = None


def random_perturbation(
    objective: Any, parameters: Array, state: State, *, learning_rate: float = 0.1, seed: int = 0
) -> Step:
    """θ' = θ + ηε, ε ~ N(0, I); θ ← θ' if f(θ') < f(θ): the naive baseline, which needs no gradient at all."""
    step = state.get("step", 0)
    best = state["value"] if "value" in state else float(objective.value(parameters))
    tried = parameters + learning_rate * generator("perturbation", seed, step).standard_normal(parameters.shape)
    value = float(objective.value(tried))
    if value < best:
        return tried, {"step": step + 1, "value": value}
    return parameters, {"step": step + 1, "value": best}


def newton(
    objective: Any, parameters: Array, state: State, *, learning_rate: float = 1.0, damping: float = 0.0
) -> Step:
    """θ ← θ − η(H + λI)⁻¹g: to the bottom of the parabola that touches here, or to its top or saddle if it has one."""
    curvature = objective.hessian(parameters) + damping * np.eye(parameters.size)
    return parameters - learning_rate * _solve(curvature, objective.gradient(parameters)), {}


def saddle_free_newton(
    objective: Any, parameters: Array, state: State, *, learning_rate: float = 1.0, damping: float = 1e-6
) -> Step:
    """θ ← θ − η(|H| + λI)⁻¹g, |H| with the sizes of H's eigenvalues (Dauphin et al. 2014, eq. 10): never uphill."""
    bends, directions = np.linalg.eigh(objective.hessian(parameters))
    along = directions.T @ objective.gradient(parameters)
    return parameters - learning_rate * directions @ (along / (np.abs(bends) + damping)), {}


def gauss_newton(objective: Any, parameters: Array, state: State, *, learning_rate: float = 1.0) -> Step:
    """θ ← θ − η(JᵀJ)⁻¹Jᵀr for f = Σr²: Newton without the curvature of the residuals (Gauss 1809; NW eq. 10.23)."""
    residuals, jacobian = _squares(objective)
    step = np.linalg.lstsq(jacobian(parameters), residuals(parameters), rcond=None)[0]
    return parameters - learning_rate * step, {}


def levenberg_marquardt(
    objective: Any, parameters: Array, state: State, *, damping: float = 1e-2, factor: float = 10.0
) -> Step:
    """p = −(JᵀJ + λI)⁻¹Jᵀr; if f(θ+p) < f(θ): θ ← θ+p, λ ← λ/10; else λ ← 10λ (Levenberg 1944; Marquardt 1963).

    With λ near 0 it is Gauss-Newton, with a large one a short step downhill.
    """
    residuals, jacobian = _squares(objective)
    damping = state.get("damping", damping)
    r, slopes = residuals(parameters), jacobian(parameters)
    tried = parameters - _solve(slopes.T @ slopes + damping * np.eye(parameters.size), slopes.T @ r)
    if (residuals(tried) ** 2).sum() < (r**2).sum():
        return tried, {"damping": max(damping / factor, 1e-12)}
    return parameters, {"damping": min(damping * factor, 1e12)}


def lbfgs(
    objective: Any, parameters: Array, state: State, *, learning_rate: float = 1.0, memory: int = 10,
    line_search: str = "wolfe",
) -> Step:
    """p = −H⁻¹g by the last pairs s = Δθ, y = Δg;  θ ← θ + αp (Liu & Nocedal 1989; NW algorithm 7.5).

    line_search: "wolfe" (strong conditions), "armijo" (backtracking) or "none" (α = η, as torch.optim.LBFGS without
    one). The first step goes down the gradient, no further than 1 in the sum of its coordinates. Pairs with sᵀy ≤ 0,
    which only a search without the curvature condition can bring, are left out.
    """
    gradient = state["gradient"] if "gradient" in state else objective.gradient(parameters)
    pairs = state.get("pairs", ())
    direction = -two_loops(gradient, pairs)
    if gradient @ direction >= 0:
        pairs, direction = (), -gradient
    shorter = 1.0 if "gradient" in state else 1.0 / max(np.abs(gradient).sum(), 1.0)
    first = learning_rate * shorter
    length = find_length(objective, parameters, direction, line_search=line_search, first=first)
    moved = parameters + length * direction
    new_gradient = objective.gradient(moved)
    step, change = length * direction, new_gradient - gradient
    if step @ change > 1e-10 * (change @ change) ** 0.5 * (step @ step) ** 0.5:
        pairs = (*pairs, (step, change))[-memory:]
    elif not length:
        pairs = ()  # the search found no way down: forget, and begin again with the gradient
    return moved, {"gradient": new_gradient, "pairs": pairs}


def two_loops(gradient: Array, pairs: tuple[tuple[Array, Array], ...]) -> Array:
    """H⁻¹g as the pairs (s, y) know it, newest last, from H₀ = (yᵀy / sᵀy)I (NW algorithm 7.4)."""
    q, shares = gradient.copy(), []
    for s, y in reversed(pairs):
        share = (s @ q) / (s @ y)
        q = q - share * y
        shares.append(share)
    if pairs:
        s, y = pairs[-1]
        q = q * (s @ y) / (y @ y)
    for (s, y), share in zip(pairs, reversed(shares)):
        q = q + s * (share - (y @ q) / (s @ y))
    return q


def find_length(objective: Any, parameters: Array, direction: Array, *, line_search: str, first: float = 1.0) -> float:
    """The step length of the named line search; raises GradatimError on an unknown name."""
    if line_search == "none":
        return first
    if line_search == "armijo":
        return armijo(objective, parameters, direction, first=first)
    if line_search == "wolfe":
        return strong_wolfe(objective, parameters, direction, first=first)
    raise GradatimError(f"expected line_search 'wolfe', 'armijo' or 'none', received '{line_search}'")


def armijo(
    objective: Any, parameters: Array, direction: Array, *, first: float = 1.0, decrease: float = 1e-4,
    shrink: float = 0.5, most: int = 60,
) -> float:
    """The first α of η, η/2, η/4 … with f(θ + αp) ≤ f(θ) + c₁αgᵀp (Armijo 1966; NW algorithm 3.1); 0 if none has.

    >>> bowl = Objective(lambda x: float(x @ x), lambda x: 2 * x)
    >>> armijo(bowl, np.array([1.0]), np.array([-2.0]), first=4.0)
    0.5
    """
    value, slope = float(objective.value(parameters)), float(objective.gradient(parameters) @ direction)
    length = first
    for _ in range(most if slope < 0 else 0):
        if float(objective.value(parameters + length * direction)) <= value + decrease * length * slope:
            return length
        length *= shrink
    return 0.0


def strong_wolfe(
    objective: Any, parameters: Array, direction: Array, *, first: float = 1.0, decrease: float = 1e-4,
    curvature: float = 0.9, most: int = 25,
) -> float:
    """An α with f(θ + αp) ≤ f(θ) + c₁αgᵀp and |g(θ + αp)ᵀp| ≤ c₂|gᵀp| (Wolfe 1969; NW algorithm 3.5).

    The length doubles until an interval surely holds such a point; `_zoom` then narrows it. Where rounding hides the
    decrease the best length seen is returned, 0 if none went down.
    """

    def along(length: float) -> tuple[float, float]:
        point = parameters + length * direction
        return float(objective.value(point)), float(objective.gradient(point) @ direction)

    value, slope = along(0.0)
    if not slope < 0:
        return 0.0
    before, length = (0.0, value, slope), first
    for attempt in range(most):
        here = (length, *along(length))
        if not here[1] <= value + decrease * length * slope or (attempt and here[1] >= before[1]):
            return _zoom(along, before, here, value, slope, decrease, curvature, most)
        if abs(here[2]) <= -curvature * slope:
            return length
        if here[2] >= 0:
            return _zoom(along, here, before, value, slope, decrease, curvature, most)
        before, length = here, 2 * length
    return before[0]


Place = tuple[float, float, float]  # a length with its value and its slope


def _zoom(
    along: Callable[[float], tuple[float, float]], low: Place, high: Place, value: float, slope: float,
    decrease: float, curvature: float, most: int,
) -> float:
    """NW algorithm 3.6: `low` has the lowest value with enough decrease, and its slope points towards `high`."""
    for _ in range(most):
        length = _cubic_minimum(low, high)
        here = (length, *along(length))
        if not here[1] <= value + decrease * length * slope or here[1] >= low[1]:
            high = here
        else:
            if abs(here[2]) <= -curvature * slope:
                return length
            if here[2] * (high[0] - low[0]) >= 0:
                high = low
            low = here
    return low[0]


def _cubic_minimum(one: Place, other: Place) -> float:
    """Where the cubic through two values and slopes is least (NW eq. 3.59), kept a tenth away from both ends."""
    (a, value_a, slope_a), (b, value_b, slope_b) = sorted((one, other))
    width = b - a
    found = (a + b) / 2
    if width > 0 and np.isfinite(value_a + value_b + slope_a + slope_b):
        d = slope_a + slope_b - 3 * (value_b - value_a) / width
        root = d * d - slope_a * slope_b
        if root >= 0:
            root = root**0.5
            bottom = slope_b - slope_a + 2 * root
            if bottom != 0:
                found = b - width * (slope_b + root - d) / bottom
    return min(max(found, a + 0.1 * width), b - 0.1 * width)


def _squares(objective: Any) -> tuple[Callable[[Array], Array], Callable[[Array], Array]]:
    if objective.residuals is None or objective.jacobian is None:
        raise GradatimError("expected an objective that is a sum of squares, with residuals and jacobian; use newton")
    return objective.residuals, objective.jacobian


def _solve(matrix: Array, vector: Array) -> Array:
    """The solution, or that of least squares where the matrix is singular."""
    try:
        return np.linalg.solve(matrix, vector)
    except np.linalg.LinAlgError:
        return np.linalg.lstsq(matrix, vector, rcond=None)[0]


@dataclass(frozen=True, slots=True)
class Method:
    """A method of this file: its function, settings that make it the named one, equation, source, what it needs."""

    advance: Callable[..., Step]
    settings: Mapping[str, Any]
    equation: str
    source: str
    learning_rate: float | None
    needs: str  # "value", "gradient", "hessian" or "residuals"


METHODS: dict[str, Method] = {
    "random": Method(random_perturbation, {}, "θ ← θ + ηε if lower", "naive baseline", 0.1, "value"),
    "newton": Method(newton, {}, "θ ← θ − ηH⁻¹g", "Newton 1669, Raphson 1690", 1.0, "hessian"),
    "saddle-free-newton": Method(saddle_free_newton, {}, "θ ← θ − η|H|⁻¹g", "Dauphin et al. 2014", 1.0, "hessian"),
    "gauss-newton": Method(gauss_newton, {}, "θ ← θ − η(JᵀJ)⁻¹Jᵀr", "Gauss 1809", 1.0, "residuals"),
    "levenberg-marquardt": Method(
        levenberg_marquardt, {}, "θ ← θ − (JᵀJ + λI)⁻¹Jᵀr if lower", "Marquardt 1963", None, "residuals"
    ),
    "lbfgs": Method(lbfgs, {}, "θ ← θ − αH⁻¹g, α by strong Wolfe", "Liu & Nocedal 1989", 1.0, "gradient"),
    "lbfgs-armijo": Method(
        lbfgs, {"line_search": "armijo"}, "θ ← θ − αH⁻¹g, α by Armijo", "Liu & Nocedal 1989", 1.0, "gradient"
    ),
}
