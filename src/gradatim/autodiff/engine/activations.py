"""Activations, each with its derivative beside its formula; softmax stands in functions.py.

A stack of linear layers is one linear layer; what stands between them is what makes depth worth having. What to
compare: where the derivative is near 0 the unit learns nothing (sigmoid and tanh far from 0, ReLU below 0).
"""

import math

import numpy as np

from gradatim.autodiff.engine.functions import TensorLike, largest, softmax
from gradatim.autodiff.engine.tensor import Tensor, as_tensor, node
from gradatim.errors import GradatimError

__all__ = [
    "elu", "gelu", "leaky_relu", "linear", "maxout", "parametric_relu", "relu", "selu", "sigmoid", "silu", "softmax",
    "softplus", "tanh",
]  # fmt: skip

# Klambauer et al. (2017), eq. 14: with these, mean 0 and variance 1 are a fixed point of a SELU layer
SELU_ALPHA = 1.6732632423543772
SELU_SCALE = 1.0507009873554805


def linear(x: TensorLike) -> Tensor:
    """y = x: dy/dx = 1."""
    x = as_tensor(x)
    return node("linear", x.value, (x,), lambda g: g)


def sigmoid(x: TensorLike) -> Tensor:
    """y = 1 / (1 + e⁻ˣ): dy/dx = y (1 − y), at most ¼."""
    x = as_tensor(x)
    y = sigmoid_of(x.value)
    return node("sigmoid", y, (x,), lambda g: g * (y * (1 - y)))


def tanh(x: TensorLike) -> Tensor:
    """y = (eˣ − e⁻ˣ) / (eˣ + e⁻ˣ): dy/dx = 1 − y²."""
    x = as_tensor(x)
    y = np.tanh(x.value)
    return node("tanh", y, (x,), lambda g: g * (1 - y * y))


def relu(x: TensorLike) -> Tensor:
    """y = max(x, 0): dy/dx = 1 for x > 0, else 0 (also at 0)."""
    x = as_tensor(x)
    y = np.maximum(x.value, 0)
    return node("relu", y, (x,), lambda g: g * (y > 0))


def leaky_relu(x: TensorLike, slope: float = 0.01) -> Tensor:
    """y = x for x > 0, else slope·x: dy/dx = 1 or slope."""
    x = as_tensor(x)
    steepness = np.where(x.value > 0, x.dtype.type(1), x.dtype.type(slope))
    return node("leaky_relu", x.value * steepness, (x,), lambda g: g * steepness)


def parametric_relu(x: TensorLike, slope: TensorLike) -> Tensor:
    """y = x for x > 0, else a·x, where a is learned: ∂y/∂x = 1 or a; ∂y/∂a = 0 or x (He et al. 2015).

    slope: a number, or one a channel in a shape that broadcasts.
    """
    x, slope = as_tensor(x), as_tensor(slope)
    a, positive = x.value, x.value > 0
    steepness = np.where(positive, a.dtype.type(1), slope.value)
    return node(
        "parametric_relu", a * steepness, (x, slope), lambda g: g * steepness, lambda g: np.where(positive, 0, g * a)
    )


def elu(x: TensorLike, alpha: float = 1.0) -> Tensor:
    """y = x for x > 0, else α(eˣ − 1): dy/dx = 1 or y + α (Clevert et al. 2016)."""
    x = as_tensor(x)
    positive, y = x.value > 0, alpha * np.expm1(np.minimum(x.value, 0))
    return node("elu", np.where(positive, x.value, y), (x,), lambda g: g * np.where(positive, 1, y + alpha))


def selu(x: TensorLike) -> Tensor:
    """y = λx for x > 0, else λα(eˣ − 1): dy/dx = λ or y + λα."""
    x = as_tensor(x)
    positive, level = x.value > 0, SELU_SCALE * SELU_ALPHA
    below = level * np.expm1(np.minimum(x.value, 0))
    y = np.where(positive, SELU_SCALE * x.value, below)
    return node("selu", y, (x,), lambda g: g * np.where(positive, x.dtype.type(SELU_SCALE), below + level))


def softplus(x: TensorLike) -> Tensor:
    """y = ln(1 + eˣ) = max(x, 0) + ln(1 + e^−|x|): dy/dx = sigmoid(x)."""
    x = as_tensor(x)
    a = x.value
    return node("softplus", np.logaddexp(a, 0), (x,), lambda g: g * sigmoid_of(a))


def silu(x: TensorLike) -> Tensor:
    """y = x σ(x): dy/dx = σ(x) (1 + x (1 − σ(x)))."""
    x = as_tensor(x)
    a, s = x.value, sigmoid_of(x.value)
    return node("silu", a * s, (x,), lambda g: g * (s * (1 + a * (1 - s))))


def gelu(x: TensorLike) -> Tensor:
    """y = x Φ(x), Φ the normal distribution function: dy/dx = Φ(x) + x φ(x) (Hendrycks & Gimpel 2016, exact form)."""
    from scipy.special import ndtr

    x = as_tensor(x)
    a, below = x.value, ndtr(x.value)
    density = math.sqrt(1 / (2 * math.pi))
    return node("gelu", a * below, (x,), lambda g: g * (below + a * (density * np.exp(-0.5 * a * a))))


def maxout(x: TensorLike, pieces: int, axis: int = -1) -> Tensor:
    """y = the largest of each group of `pieces` neighbours along an axis: dy/dx = 1 there (Goodfellow et al. 2013).

    >>> maxout([1.0, 5.0, -2.0, -3.0], 2).value
    array([ 5., -2.])
    """
    x = as_tensor(x)
    axis %= x.ndim
    length = x.shape[axis]
    if length % pieces:
        raise GradatimError(f"maxout: expected a length that {pieces} pieces divide, received {length}")
    return largest(x.reshape(*x.shape[:axis], length // pieces, pieces, *x.shape[axis + 1 :]), axis=axis + 1)


def sigmoid_of(x: np.ndarray) -> np.ndarray:
    """Sigmoid of a plain array; the exponent is held where it does not overflow."""
    return 1 / (1 + np.exp(np.minimum(-x, 88 if x.dtype == np.float32 else 709)))
