"""Activations by name: what stands between two linear layers, each written as its formula."""

import math
from collections.abc import Callable

import torch

from gradatim.errors import GradatimError

SELU_ALPHA, SELU_SCALE = 1.6732632423543772, 1.0507009873554805  # Klambauer et al. 2017, eq. 14


def linear(x: torch.Tensor) -> torch.Tensor:
    """x itself: layers with it between them are together one linear layer."""
    return x


def sigmoid(x: torch.Tensor) -> torch.Tensor:
    """1 / (1 + e⁻ˣ), in 0 … 1; its slope is at most 1/4, so ten layers of it shrink a gradient a million times."""
    return torch.sigmoid(x)


def tanh(x: torch.Tensor) -> torch.Tensor:
    """(eˣ − e⁻ˣ) / (eˣ + e⁻ˣ) = 2σ(2x) − 1, in −1 … 1, slope 1 at 0."""
    return torch.tanh(x)


def relu(x: torch.Tensor) -> torch.Tensor:
    """max(0, x): no saturation above 0, no gradient below (a unit that is never above 0 is dead)."""
    return torch.relu(x)


def leaky_relu(x: torch.Tensor, slope: float | torch.Tensor = 0.01) -> torch.Tensor:
    """x above 0, slope · x below (Maas et al. 2013); with a slope that is learned, parametric ReLU (He et al. 2015)."""
    return torch.where(x > 0, x, slope * x)


def elu(x: torch.Tensor, alpha: float = 1.0) -> torch.Tensor:
    """x above 0, α (eˣ − 1) below (Clevert et al. 2016)."""
    return torch.where(x > 0, x, alpha * torch.expm1(x.clamp(max=0)))  # clamped: no infinity where x is not taken


def selu(x: torch.Tensor) -> torch.Tensor:
    """λ · ELU(x; α) with λ and α such that mean 0 and variance 1 stay so through depth (Klambauer et al. 2017)."""
    return SELU_SCALE * elu(x, SELU_ALPHA)


def softplus(x: torch.Tensor) -> torch.Tensor:
    """ln(1 + eˣ), the smooth ReLU, whose slope is the sigmoid."""
    return torch.clamp(x, min=0) + torch.log1p(torch.exp(-x.abs()))


def softmax(x: torch.Tensor, dim: int = -1) -> torch.Tensor:
    """eˣⁱ / Σ eˣʲ along an axis: not unit by unit, a point of the simplex."""
    power = torch.exp(x - x.amax(dim, keepdim=True))
    return power / power.sum(dim, keepdim=True)


def swish(x: torch.Tensor) -> torch.Tensor:
    """x · σ(x), also called SiLU (Ramachandran et al. 2017)."""
    return x * torch.sigmoid(x)


def gelu(x: torch.Tensor) -> torch.Tensor:
    """x · Φ(x), Φ the normal distribution function (Hendrycks & Gimpel 2016)."""
    return x * 0.5 * (1 + torch.erf(x / math.sqrt(2)))


def relu6(x: torch.Tensor) -> torch.Tensor:
    """min(max(0, x), 6): bounded, which eight-bit arithmetic likes."""
    return x.clamp(0, 6)


ACTIVATIONS: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "linear": linear, "sigmoid": sigmoid, "tanh": tanh, "relu": relu, "leaky_relu": leaky_relu, "elu": elu,
    "selu": selu, "softplus": softplus, "softmax": softmax, "swish": swish, "gelu": gelu, "relu6": relu6,
}


def activation(name: str) -> Callable[[torch.Tensor], torch.Tensor]:
    """The activation of a name; parametric ReLU is torch.nn.PReLU, maxout `gradatim.nn.maxout.Maxout` (both learn).

    >>> activation("relu")(torch.tensor([-1.0, 2.0]))
    tensor([0., 2.])
    """
    if name not in ACTIVATIONS:
        raise GradatimError(f"expected an activation among {', '.join(ACTIVATIONS)}, received '{name}'")
    return ACTIVATIONS[name]
