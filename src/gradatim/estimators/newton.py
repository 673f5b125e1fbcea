"""Newton's method with directions from conjugate gradients: the Hessian is only ever multiplied with vectors.

Source: Dembo and Steihaug, Truncated-Newton algorithms for large-scale unconstrained optimization (1983); Nocedal and
Wright, Numerical Optimization (2006), algorithm 7.1. The equations are solved the more exactly the nearer the end, so
that the last steps square the error.
"""

from collections.abc import Callable

import numpy as np

from gradatim.estimators.lbfgs import Evaluate, Minimum, Observe, Precondition

# Products with the Hessian at the point that was evaluated last.
Product = Callable[[np.ndarray], np.ndarray]


def minimise_newton(
    evaluate: Evaluate,
    product: Product,
    start: np.ndarray,
    precondition: Precondition,
    *,
    tol: float,
    max_iter: int,
    resolution: float = 1e-15,
    observe: Observe | None = None,
) -> Minimum:
    """Minimise a smooth convex function; arguments as in `lbfgs.minimise`, product(vector) the Hessian times it.

    >>> def bowl(x):
    ...     return float(x[0] ** 2 + 50 * x[1] ** 2), np.array([2 * x[0], 100 * x[1]])
    >>> found = minimise_newton(
    ...     bowl, lambda v: np.array([2.0, 100.0]) * v, np.ones(2), lambda g: g, tol=1e-12, max_iter=9)
    >>> found.converged, bool(np.allclose(found.parameters, 0))
    (True, True)
    """
    parameters = start.copy()
    value, gradient = evaluate(parameters)
    evaluations, first, still = 1, float(np.linalg.norm(gradient)) or 1.0, 0
    for iteration in range(max_iter):
        size = float(np.linalg.norm(gradient))
        direction = conjugate_gradients(product, -gradient, precondition, min(0.3, np.sqrt(size / first)))
        slope = float((gradient * direction).sum())
        if not slope < 0 or -slope / 2 <= tol:
            return Minimum(parameters, value, iteration, evaluations, bool(-slope / 2 <= tol))
        step, slack = 1.0, resolution * max(1.0, abs(value))
        for _ in range(40):
            candidate = parameters + step * direction
            new_value, new_gradient = evaluate(candidate)
            evaluations += 1
            if new_value <= value + 1e-4 * step * slope + slack:
                break
            step /= 2
        else:
            return Minimum(parameters, value, iteration, evaluations, False)
        still = still + 1 if value - new_value <= slack else 0
        parameters, value, gradient = candidate, new_value, new_gradient
        if observe is not None and observe(parameters, value, iteration + 1):
            return Minimum(parameters, value, iteration + 1, evaluations, True)
        if still >= 3:
            return Minimum(parameters, value, iteration + 1, evaluations, False)  # what is left is rounding
    return Minimum(parameters, value, max_iter, evaluations, False)


def conjugate_gradients(
    product: Product, target: np.ndarray, precondition: Precondition, tolerance: float, most: int = 250
) -> np.ndarray:
    """product⁻¹ target, until the residual is `tolerance` of the target (Hestenes and Stiefel, 1952)."""
    solution, residual = np.zeros_like(target), target.copy()
    scaled = precondition(residual)
    direction, energy = scaled.copy(), float((residual * scaled).sum())
    goal = tolerance * float(np.linalg.norm(target))
    for count in range(most):
        if float(np.linalg.norm(residual)) <= goal or energy <= 0:
            break
        image = product(direction)
        bend = float((direction * image).sum())
        if bend <= 1e-16 * energy:
            # Flat: the first direction is the preconditioned gradient, any later solution is a descent direction too.
            return solution if count else direction
        solution += energy / bend * direction
        residual -= energy / bend * image
        scaled = precondition(residual)
        fresh = float((residual * scaled).sum())
        direction = scaled + fresh / energy * direction
        energy = fresh
    return solution
