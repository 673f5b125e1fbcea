"""A network's loss as a function of one vector, for methods that ask for more than a gradient: `second_order.py`."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from gradatim.autodiff.engine.tensor import Tensor, without_gradient
from gradatim.autodiff.optimisers.second_order import METHODS, Objective
from gradatim.errors import GradatimError

Array = np.ndarray


def objective_of(
    loss: Callable[[], Tensor], parameters: Sequence[Tensor], residuals: Callable[[], Tensor] | None = None
) -> Objective:
    """The loss as a function of all parameters laid end to end.

    loss() -> the tensor of one number, computed from the parameters; residuals() -> a vector r with loss = Σr², for
    Gauss-Newton. The Hessian is by central differences of the gradient, two sweeps a parameter; the Jacobian one sweep
    a residual: for networks of some hundred parameters.
    """

    def value(point: Array) -> float:
        put(parameters, point)
        with without_gradient():
            return loss().item()

    def gradient(point: Array) -> Array:
        put(parameters, point)
        return swept(loss(), parameters)

    def hessian(point: Array, width: float = 1e-5) -> Array:
        rows = [gradient(point + shift) - gradient(point - shift) for shift in width * np.eye(point.size)]
        found = np.stack(rows) / (2 * width)
        return (found + found.T) / 2

    if residuals is None:
        return Objective(value, gradient, hessian)
    vector = residuals

    def residual_values(point: Array) -> Array:
        put(parameters, point)
        with without_gradient():
            return vector().value

    def jacobian(point: Array) -> Array:
        put(parameters, point)
        return np.stack([swept(vector(), parameters, upstream) for upstream in np.eye(vector().value.size)])

    return Objective(value, gradient, hessian, residual_values, jacobian)


def minimise(
    method: str, loss: Callable[[], Tensor], parameters: Sequence[Tensor], *, steps: int,
    residuals: Callable[[], Tensor] | None = None, **settings: Any,
) -> list[float]:
    """Train by a method of `second_order.METHODS` on the whole data; returns the loss before each step and at the end.

    Raises GradatimError on an unknown method, or one that needs residuals where there are none.

    >>> x = Tensor([3.0, -2.0], requires_gradient=True)
    >>> losses = minimise("newton", lambda: ((x - 1.0) ** 2).sum(), [x], steps=1)
    >>> losses[0], round(losses[1], 9)
    (13.0, 0.0)
    """
    if method not in METHODS:
        raise GradatimError(f"expected a method among {', '.join(METHODS)}; received '{method}'")
    objective = objective_of(loss, parameters, residuals)
    point: Array = np.concatenate([parameter.value.ravel() for parameter in parameters])
    state: dict[str, Any] = {}
    losses = [float(objective.value(point))]
    for _ in range(steps):
        point, state = METHODS[method].advance(objective, point, state, **{**METHODS[method].settings, **settings})
        losses.append(float(objective.value(point)))
    put(parameters, point)
    return losses


def put(parameters: Sequence[Tensor], point: Array) -> None:
    """Set the parameters from one vector."""
    ends = np.cumsum([parameter.value.size for parameter in parameters])
    for parameter, part in zip(parameters, np.split(point, ends[:-1])):
        parameter.value = part.reshape(parameter.shape)


def swept(root: Tensor, parameters: Sequence[Tensor], upstream: Array | None = None) -> Array:
    """The gradients of all parameters after one backward pass, as one vector; 0 for a parameter that plays no part."""
    for parameter in parameters:
        parameter.gradient = None
    root.backward(upstream)
    parts = [np.zeros(p.value.size) if p.gradient is None else p.gradient.ravel() for p in parameters]
    for parameter in parameters:
        parameter.gradient = None
    return np.concatenate(parts)
