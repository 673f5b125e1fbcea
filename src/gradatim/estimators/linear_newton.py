"""The linear support vector machine with squared hinge loss, by Newton's method on the weights.

    minimise  ½‖w‖² + Σ Cᵢ max(0, 1 − yᵢ w·xᵢ)²

The objective is piecewise quadratic: with I the rows under the margin, its generalised Hessian is 1 + 2 Σ_I Cᵢxᵢxᵢᵀ; a
step that does not change I ends at the optimum (Mangasarian, A finite Newton method for classification, 2002; Keerthi
and DeCoste, 2005). Along a step the objective is convex and its slope piecewise linear, so the step length is exact.
What to notice: some five steps, where descent by coordinates needs thousands of passes if C is large. With few columns
the Hessian is built and factored; with more its products with vectors are enough (conjugate gradients), unless it takes
more of them than the Hessian is worth.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import scipy.sparse

from gradatim.estimators import triangular
from gradatim.estimators.gram import BLOCK, Matrix
from gradatim.estimators.linear_dual import Layout, LinearSolution, coordinate_descent, subgradient_descent

# Above this many columns the Hessian is not built, and "auto" descends by coordinates.
WIDEST = 1500
# Up to this many columns the Hessian is always built; above, after as many products as a part of the columns.
NARROW, PATIENCE = 64, 0.25


def newton(
    X: Matrix,
    y: np.ndarray,
    reach: np.ndarray,
    *,
    constant: float,
    tolerance: float,
    epochs: int,
    observe: Callable[[LinearSolution], bool] | None = None,
) -> LinearSolution:
    """Minimise for y (n,) of ±1 and prices C (n,), until the duality gap is at most tolerance times the objective.

    constant: value of the column that carries the intercept, 0 for none. α = 2C·max(0, 1 − margin) is feasible for the
    dual at any weights, which gives the gap.
    """
    width = X.shape[1]
    found = LinearSolution(np.zeros(width + 1), np.zeros(len(y)))
    margin = np.zeros(len(y))
    for _ in range(epochs):
        short = np.maximum(1 - margin, 0)
        inside = short > 0
        found.alpha = 2 * reach * short
        pulled = _transposed(X, found.alpha * y, constant)
        weights = found.weights
        found.primal = 0.5 * float(weights @ weights) + float(reach @ short**2)
        found.dual = float(found.alpha.sum() - 0.5 * pulled @ pulled - reach @ short**2)
        gradient = weights - pulled
        found.violation = float(np.abs(gradient).max())
        if found.epochs and observe is not None and observe(found):
            found.ending = "stopped"
            return found
        if found.primal - found.dual <= tolerance * max(found.primal, 1e-300):
            found.ending = "converged"
            return found
        step = _direction(X, np.flatnonzero(inside), 2 * reach, constant, gradient)
        change = y * (np.asarray(X @ step[:width]).ravel() + constant * step[width])
        length = _exact_length(margin, change, reach, float(weights @ step), float(step @ step))
        found.weights = weights + length * step
        margin = margin + length * change
        found.epochs += 1
    return found


def _transposed(X: Matrix, values: np.ndarray, constant: float) -> np.ndarray:
    """Σ valueᵢ xᵢ with the constant column, float64."""
    return np.append(np.asarray(X.T @ values, dtype=np.float64).ravel(), constant * values.sum())


def _direction(
    X: Matrix, rows: np.ndarray, price: np.ndarray, constant: float, gradient: np.ndarray
) -> np.ndarray:
    """The Newton step −H⁻¹ gradient, or what conjugate gradients make of it, to a tenth of the gradient or better."""
    width = X.shape[1]
    if width > NARROW:
        chosen, own = X[rows], price[rows]
        squares = chosen.multiply(chosen) if scipy.sparse.issparse(chosen) else chosen * chosen
        diagonal = 1 + np.append(np.asarray(squares.T @ own).ravel(), constant**2 * own.sum())

        def image(v: np.ndarray) -> np.ndarray:
            across = np.asarray(chosen @ v[:width].astype(X.dtype)).ravel() + constant * v[width]
            pulled = own * across
            back = np.asarray(chosen.T @ pulled.astype(X.dtype), dtype=np.float64).ravel()
            return v + np.append(back, constant * pulled.sum())

        step = _conjugate_gradients(image, diagonal, -gradient, int(PATIENCE * width))
        if step is not None or width > WIDEST:
            return step if step is not None else -gradient / diagonal
    hessian = _hessian(X, rows, price, constant)
    return -triangular.solve(np.linalg.cholesky(hessian), gradient)


def _conjugate_gradients(
    image: Callable[[np.ndarray], np.ndarray], diagonal: np.ndarray, right: np.ndarray, most: int
) -> np.ndarray | None:
    """Solve H s = right to 3 % by conjugate gradients scaled by the diagonal; None after `most` products."""
    solution, residual = np.zeros_like(right), right.copy()
    scaled = residual / diagonal
    direction, energy = scaled, float(residual @ scaled)
    goal = (0.03) ** 2 * energy
    for _ in range(most):
        bent = image(direction)
        step = energy / float(direction @ bent)
        solution = solution + step * direction
        residual = residual - step * bent
        scaled = residual / diagonal
        fresh = float(residual @ scaled)
        if fresh <= goal:
            return solution
        direction, energy = scaled + (fresh / energy) * direction, fresh
    return None


def _hessian(X: Matrix, rows: np.ndarray, price: np.ndarray, constant: float) -> np.ndarray:
    """1 + Σ priceᵢ xᵢxᵢᵀ over some rows, with the constant column; the product in the format of X, block by block."""
    width = X.shape[1]
    out = np.eye(width + 1)
    for start in range(0, len(rows), BLOCK):
        chosen = rows[start : start + BLOCK]
        roots = np.sqrt(price[chosen])
        block: Any = X[chosen]
        if scipy.sparse.issparse(block):
            block = block.multiply(roots[:, None]).tocsr()
            out[:width, :width] += (block.T @ block).toarray()
        else:
            block = block * roots[:, None].astype(block.dtype)
            out[:width, :width] += block.T @ block
        border = constant * np.asarray(block.T @ roots, dtype=np.float64).ravel()
        out[:width, width] += border
        out[width, :width] += border
        out[width, width] += constant**2 * float(price[chosen].sum())
    return out


def _exact_length(margin: np.ndarray, change: np.ndarray, reach: np.ndarray, cross: float, square: float) -> float:
    """The t ≥ 0 with the least objective of w + t·step; cross = w·step, square = step·step.

    The slope cross + t·square − 2 Σ Cᵢ(1 − mᵢ − t·cᵢ)₊cᵢ rises with t; between the t where a row crosses the margin it
    is linear, so its zero is found by bisection over those and one division.
    """

    def slope(t: float) -> float:
        return cross + t * square - 2 * float(reach @ (np.maximum(1 - margin - t * change, 0) * change))

    moving = change != 0
    bends = np.sort((1 - margin[moving]) / change[moving])
    bends = bends[bends > 0]
    low, high = 0, len(bends)
    while low < high:
        middle = (low + high) // 2
        if slope(bends[middle]) < 0:
            low = middle + 1
        else:
            high = middle
    left = bends[low - 1] if low else 0.0
    right = bends[low] if low < len(bends) else left + 1.0
    at_left, at_right = slope(left), slope(right)
    if at_right == at_left:
        return float(left) if left > 0 else 1.0
    return float(left - at_left * (right - left) / (at_right - at_left))


def linear_search(
    solver: str, X: Matrix, reach: np.ndarray, constant: float, *, squared: bool
) -> Callable[..., LinearSolution]:
    """The search by this solver, a function of y (n,) of ±1, tolerance, epochs, random and observe."""
    if solver == "newton":

        def without_chance(y: np.ndarray, *, random: np.random.Generator, **options: Any) -> LinearSolution:
            return newton(X, y, reach, constant=constant, **options)

        return without_chance
    descend = coordinate_descent if solver == "dual" else subgradient_descent
    return partial(_bound, descend, Layout.of(X, constant), reach, squared)


def _bound(descend: Any, layout: Layout, reach: np.ndarray, squared: bool, y: np.ndarray, **options: Any) -> Any:
    return descend(layout, y, reach, squared=squared, **options)
