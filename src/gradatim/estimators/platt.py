"""Probabilities from decision values: a sigmoid on held-out values, and many pairs coupled into one distribution.

One machine: P(first class | f) = 1 / (1 + exp(A f + B)), with A and B of maximum likelihood against targets drawn in
from 0 and 1 by the size of the classes (Platt, Probabilistic outputs for support vector machines, 2000), found by
Newton's method with line search on a likelihood written so that nothing overflows (Lin, Lin and Weng, A note on
Platt's probabilistic outputs, 2007). The decision values must be of rows that the machine was not fitted on.
One machine a pair of classes: the distribution p that minimises ½ Σᵢ Σⱼ≠ᵢ (rⱼᵢ pᵢ − rᵢⱼ pⱼ)² with rᵢⱼ the probability
of i against j (Wu, Lin and Weng, Probability estimates for multi-class classification by pairwise coupling, 2004,
second method), which is one linear system a row.
"""

import numpy as np

# A pairwise probability is kept this far from 0 and 1, as LIBSVM does.
LEAST_PROBABILITY = 1e-7


def fit_sigmoid(decisions: np.ndarray, first: np.ndarray, weights: np.ndarray | None = None) -> tuple[float, float]:
    """A and B of 1 / (1 + exp(A f + B)) for decisions f (n,), first (n,) bool: the row is of the first class.

    weights (n,): how often a row counts.

    >>> A, B = fit_sigmoid(np.array([-2.0, -1.0, 1.0, 2.0]), np.array([False, False, True, True]))
    >>> A < 0, abs(round(B, 6))
    (True, 0.0)
    """
    count = np.ones(len(decisions)) if weights is None else np.asarray(weights, dtype=np.float64)
    ones, zeros = float(count[first].sum()), float(count[~first].sum())
    target = np.where(first, (ones + 1) / (ones + 2), 1 / (zeros + 2))
    f = np.asarray(decisions, dtype=np.float64)

    def likelihood(a: float, b: float) -> float:
        z = a * f + b
        return float(count @ (np.logaddexp(0, -np.abs(z)) + np.where(z >= 0, target * z, (target - 1) * z)))

    a, b = 0.0, float(np.log((zeros + 1) / (ones + 1)))
    value = likelihood(a, b)
    for _ in range(100):
        z = a * f + b
        decay = np.exp(-np.abs(z))
        p = np.where(z >= 0, decay, 1) / (1 + decay)
        bend, error = count * p * (1 - p), count * (target - p)
        gradient = np.array([f @ error, error.sum()])
        if np.all(np.abs(gradient) < 1e-5):
            break
        cross = f @ bend
        hessian = np.array([[f * f @ bend, cross], [cross, bend.sum()]]) + 1e-12 * np.eye(2)
        direction = -np.linalg.solve(hessian, gradient)
        slope, step = float(gradient @ direction), 1.0
        while step >= 1e-10:
            tried = likelihood(a + step * direction[0], b + step * direction[1])
            if tried < value + 1e-4 * step * slope:
                a, b, value = a + step * direction[0], b + step * direction[1], tried
                break
            step /= 2
        else:
            break
    return float(a), float(b)


def sigmoid_probability(decisions: np.ndarray, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """1 / (1 + exp(A f + B)) for decisions (n, machines), without overflow."""
    z = decisions * a + b
    decay = np.exp(-np.abs(z))
    return np.where(z >= 0, decay, 1) / (1 + decay)


def couple(pairwise: np.ndarray) -> np.ndarray:
    """Distribution (n, k) from pairwise[n, i, j] = P(i | i or j) (n, k, k); the diagonal is not read.

    >>> couple(np.array([[[0.0, 0.75], [0.25, 0.0]]])).tolist()
    [[0.75, 0.25]]
    """
    r = np.clip(pairwise, LEAST_PROBABILITY, 1 - LEAST_PROBABILITY)
    rows, classes = r.shape[:2]
    if classes == 2:
        return np.stack([r[:, 0, 1], 1 - r[:, 0, 1]], axis=1)
    other = ~np.eye(classes, dtype=bool)
    # Q of the quadratic form, bordered by the constraint that the probabilities sum to one.
    system = np.zeros((rows, classes + 1, classes + 1))
    system[:, :classes, :classes] = np.where(other, -r.transpose(0, 2, 1) * r, 0)
    diagonal = np.where(other, r.transpose(0, 2, 1) ** 2, 0).sum(2)
    system[:, np.arange(classes), np.arange(classes)] = diagonal
    system[:, :classes, classes] = system[:, classes, :classes] = 1
    right = np.zeros((rows, classes + 1, 1))
    right[:, classes] = 1
    found = np.maximum(np.linalg.solve(system, right)[:, :classes, 0], 0)
    return found / found.sum(1, keepdims=True)
