"""What training makes small: the losses, each with its gradient, and a check of what can serve as one.

All are means over the samples, so that the rate does not depend on the batch. The two cross entropies take logits and
not probabilities: together with softmax or sigmoid the gradient is simply p − y, and nothing overflows.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from gradatim.autodiff.engine.activations import sigmoid_of
from gradatim.autodiff.engine.functions import TensorLike, absolute, maximum, softmax_of
from gradatim.autodiff.engine.tensor import Tensor, as_array, as_tensor, node
from gradatim.errors import GradatimError


def squared_error(prediction: TensorLike, target: TensorLike) -> Tensor:
    """L = mean (y − t)²: ∂L/∂y = 2 (y − t) / n; large errors count most, the best constant is the mean."""
    return (_like(prediction, target) ** 2).mean()


def absolute_error(prediction: TensorLike, target: TensorLike) -> Tensor:
    """L = mean |y − t|: ∂L/∂y = sign(y − t) / n; an outlier vjps no harder than any other, the best is the median."""
    return absolute(_like(prediction, target)).mean()


def binary_cross_entropy(logits: TensorLike, targets: ArrayLike) -> Tensor:
    """L = mean −t ln σ(a) − (1 − t) ln(1 − σ(a)) = mean max(a, 0) − a t + ln(1 + e^−|a|): ∂L/∂a = (σ(a) − t) / n.

    logits: any shape; targets: the same, 0 to 1.
    """
    logits = as_tensor(logits)
    a = logits.value
    t = np.asarray(as_array(targets), a.dtype)
    if t.shape != a.shape:
        raise GradatimError(f"expected a target for each logit, received {t.shape} for {a.shape}; reshape one of them")
    value = np.mean(np.maximum(a, 0) - a * t + np.log1p(np.exp(-np.abs(a))))
    return node("binary_cross_entropy", value, (logits,), lambda g: g * (sigmoid_of(a) - t) / a.size)


def cross_entropy(logits: TensorLike, targets: ArrayLike) -> Tensor:
    """L = mean −ln p_t, p = softmax(a): ∂L/∂a = (p − one-hot(t)) / n.

    logits: (…, C); targets: integers (…) from 0 to C − 1. Before any learning expect ln C.
    """
    logits, targets = as_tensor(logits), np.asarray(targets)
    a = logits.value
    classes = a.shape[-1]
    if targets.shape != a.shape[:-1] or targets.dtype.kind not in "iu" or targets.min() < 0 or targets.max() >= classes:
        raise GradatimError(
            f"expected an integer from 0 to {classes - 1} for each row of {a.shape}, received {targets.dtype} "
            f"{targets.shape}"
        )
    shifted = (a - a.max(axis=-1, keepdims=True)).reshape(-1, classes)
    rows, named = np.arange(targets.size), targets.ravel()
    value = np.mean(np.log(np.exp(shifted).sum(axis=-1)) - shifted[rows, named])

    def to_logits(g: np.ndarray) -> np.ndarray:
        p = softmax_of(shifted)
        p[rows, named] -= 1
        p *= g / targets.size
        return p.reshape(a.shape)

    return node("cross_entropy", value, (logits,), to_logits)


def hinge(scores: TensorLike, signs: ArrayLike) -> Tensor:
    """L = mean max(0, 1 − t s), t = ±1: ∂L/∂s = −t / n inside the margin; who is right by 1 or more is left alone."""
    scores = as_tensor(scores)
    signs = np.asarray(as_array(signs), scores.dtype)
    if signs.shape != scores.shape or not (np.abs(signs) == 1).all():
        raise GradatimError(f"expected −1 or 1 for each score, received {signs.shape} for {scores.shape}")
    return maximum(1 - scores * signs, 0.0).mean()


def multiclass_hinge(scores: TensorLike, targets: ArrayLike) -> Tensor:
    """L = mean over rows of Σ_j≠t max(0, 1 + s_j − s_t) (Weston & Watkins 1999). scores: (B, C); targets: (B,)."""
    scores, targets = as_tensor(scores), np.asarray(targets)
    rows = np.arange(len(targets))
    margins = maximum(1 + scores - scores[rows, targets].reshape(-1, 1), 0.0)
    others = np.ones(scores.shape, scores.dtype)
    others[rows, targets] = 0
    return (margins * others).sum(axis=1).mean()


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a function of the error can serve as a loss, and what speaks against it."""

    passes: bool
    reasons: tuple[str, ...]


def can_serve_as_loss(function: Callable[[Tensor], Tensor], *, reach: float = 10.0, points: int = 2001) -> Verdict:
    """Whether making function(e) small makes the error e small, looked at on a grid of errors in [−reach, reach].

    It must be finite for every error, have its only minimum at e = 0, and its slope must point away from 0 everywhere
    else, or descent runs off or stops at a wrong answer. A value other than 0 at the minimum does no harm.

    >>> can_serve_as_loss(lambda e: 5 * e**2 - 2)
    Verdict(passes=True, reasons=())
    >>> can_serve_as_loss(lambda e: e**3).reasons[0]
    'not smallest at e = 0: f(-10) = -1000 is below f(0) = 0'
    """
    grid = np.linspace(-reach, reach, 2 * (points // 2) + 1)
    errors = Tensor(grid, requires_gradient=True)
    with np.errstate(all="ignore"):
        result = function(errors)
        result.backward(np.ones(result.shape))
    values, slopes = result.value, errors.gradient
    assert slopes is not None
    zero = len(grid) // 2
    reasons = []
    undefined = ~np.isfinite(values)
    if undefined.any():
        reasons.append(f"not finite at {undefined.sum()} of {len(grid)} errors, such as e = {grid[undefined][-1]:g}")
    values = np.where(undefined, np.inf, values)
    lowest = int(np.argmin(values))
    if lowest != zero and values[lowest] < values[zero]:
        low, middle = values[lowest], values[zero]
        reasons.append(f"not smallest at e = 0: f({grid[lowest]:g}) = {low:g} is below f(0) = {middle:g}")
    elif (np.delete(values, zero) <= values[zero]).any():
        reasons.append("the minimum at e = 0 is not the only one")
    with np.errstate(invalid="ignore"):
        wrong = ~(slopes * np.sign(grid) > 0) & (grid != 0)
    if wrong.any():
        reasons.append(f"the slope does not point away from e = 0, at e = {grid[wrong][-1]:g} for one")
    return Verdict(not reasons, tuple(reasons))


def _like(prediction: TensorLike, target: TensorLike) -> Tensor:
    """The error, refusing shapes that would broadcast: (B,) against (B, 1) is nearly always a mistake."""
    prediction = as_tensor(prediction)
    if not isinstance(target, Tensor):
        target = Tensor(np.asarray(target, prediction.dtype))
    if prediction.shape != target.shape:
        raise GradatimError(
            f"expected a target for each prediction, received {target.shape} for {prediction.shape}; reshape one"
        )
    return prediction - target
