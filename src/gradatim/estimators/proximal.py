"""Proximal gradient steps: iterative soft thresholding and its accelerated form.

For a smooth f with curvature at most L plus an L1 norm, ISTA steps to S(w − ∇f(w)/L, l/L), S the soft threshold
(Daubechies, Defrise and De Mol, 2004). FISTA takes that step from a point ahead of w, with Nesterov's weights
t ← (1 + √(1 + 4t²))/2 (Beck and Teboulle, A fast iterative shrinkage-thresholding algorithm, 2009, equations 4.1–4.3),
and forgets its momentum when it points uphill (O'Donoghue and Candès, Adaptive restart for accelerated gradient
schemes, 2015).
"""

from collections.abc import Callable

import numpy as np

Gradient = Callable[[np.ndarray], np.ndarray]


def soft_threshold(values: np.ndarray, penalty: np.ndarray | float) -> np.ndarray:
    """sign(v) · max(|v| − penalty, 0): the proximal map of the L1 norm.

    >>> soft_threshold(np.array([3.0, -0.5, -2.0]), 1.0).tolist()
    [2.0, -0.0, -1.0]
    """
    return np.sign(values) * np.maximum(np.abs(values) - penalty, 0.0)


def proximal_gradient(
    gradient: Gradient,
    start: np.ndarray,
    curvature: float,
    penalty: np.ndarray | float,
    *,
    accelerated: bool,
    max_iter: int,
    finished: Callable[[np.ndarray, int], bool],
    positive: bool = False,
) -> tuple[np.ndarray, int]:
    """Iterate from `start` until finished(values, iteration) or max_iter; the values and the iterations made.

    curvature: L, at least the largest eigenvalue of the Hessian of the smooth part.
    """
    values, ahead, weight = start.copy(), start.copy(), 1.0
    for iteration in range(1, max_iter + 1):
        stepped = ahead - gradient(ahead) / curvature
        if positive:
            stepped = np.maximum(stepped, 0.0)
        after = soft_threshold(stepped, penalty / curvature)
        if accelerated:
            if float(((ahead - after) * (after - values)).sum()) > 0:
                weight = 1.0
            new_weight = (1 + np.sqrt(1 + 4 * weight * weight)) / 2
            ahead = after + (weight - 1) / new_weight * (after - values)
            weight = new_weight
        else:
            ahead = after
        values = after
        if finished(values, iteration):
            return values, iteration
    return values, max_iter
