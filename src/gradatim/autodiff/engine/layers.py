"""Layers: plain objects that hold their parameters and are called on a tensor.

There is no class to inherit from. Anything callable is a layer; `parameters` finds the tensors to be learned in its
attributes, and `set_training` switches those that behave otherwise in training (dropout, batch normalisation).

Weights start normal with variance gain² / fan in, so that neither signal nor gradient fades or explodes through depth:
gain √2 before a ReLU (He et al. 2015), 1 otherwise (LeCun 1998). Biases start at 0.
"""

import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from gradatim.autodiff.engine.convolution import convolution
from gradatim.autodiff.engine.functions import embedding, variance
from gradatim.autodiff.engine.tensor import Tensor
from gradatim.errors import GradatimError
from gradatim.randomness import generator

Layer = Callable[..., Any]


def parameters(layer: Any) -> dict[str, Tensor]:
    """Every tensor that requires a gradient in the layer's attributes, by the path to it; shared ones once.

    >>> sorted(parameters(Sequential(Dense(3, 2), Dense(2, 1))))
    ['layers.0.bias', 'layers.0.weight', 'layers.1.bias', 'layers.1.weight']
    """
    found: dict[Tensor, str] = {}
    for path, part in _walk(layer, ""):
        if isinstance(part, Tensor) and part.requires_gradient:
            found.setdefault(part, path)
    return {path: tensor for tensor, path in found.items()}


def set_training(layer: Any, training: bool) -> None:
    """Set `training` wherever the layer, or one inside it, has such an attribute."""
    for _, part in _walk(layer, ""):
        if hasattr(part, "training"):
            part.training = training


class Sequential:
    """One layer after the other; functions such as `relu` count as layers."""

    def __init__(self, *layers: Layer) -> None:
        self.layers = list(layers)

    def __call__(self, x: Any) -> Tensor:
        """What the last layer makes of what the others made of x."""
        for layer in self.layers:
            x = layer(x)
        return x


class Dense:
    """y = x W + b. x: (…, inputs); y: (…, outputs)."""

    def __init__(
        self, inputs: int, outputs: int, *, gain: float = math.sqrt(2), dtype: Any = np.float32, seed: int = 0
    ) -> None:
        self.weight = normal((inputs, outputs), gain / math.sqrt(inputs), dtype, seed)
        self.bias = zeros(outputs, dtype)

    def __call__(self, x: Tensor) -> Tensor:
        """(…, inputs) → (…, outputs)."""
        return x @ self.weight + self.bias


class Convolution:
    """A window of weights that slides over pictures. x: (B, C, H, W); y: (B, O, oh, ow) by `output_length`."""

    def __init__(
        self, channels: int, outputs: int, kernel: int, *, stride: int = 1, padding: int = 0, dilation: int = 1,
        groups: int = 1, gain: float = math.sqrt(2), dtype: Any = np.float32, seed: int = 0,
    ) -> None:  # fmt: skip
        fan_in = channels // groups * kernel**2
        self.weight = normal((outputs, channels // groups, kernel, kernel), gain / math.sqrt(fan_in), dtype, seed)
        self.bias = zeros(outputs, dtype)
        self.stride, self.padding, self.dilation, self.groups = stride, padding, dilation, groups

    def __call__(self, x: Tensor) -> Tensor:
        """(B, C, H, W) → (B, O, oh, ow)."""
        return convolution(
            x, self.weight, self.bias,
            stride=self.stride, padding=self.padding, dilation=self.dilation, groups=self.groups,
        )  # fmt: skip


class Embedding:
    """A learned row of numbers for each of `rows` integers."""

    def __init__(self, rows: int, columns: int, *, dtype: Any = np.float32, seed: int = 0) -> None:
        self.weight = normal((rows, columns), 1.0, dtype, seed)

    def __call__(self, indices: ArrayLike) -> Tensor:
        """Integers (…) → (…, columns)."""
        return embedding(self.weight, indices)


class BatchNormalisation:
    """y = γ (x − μ) / √(σ² + ε) + β with the mean and variance of each channel over the batch (Ioffe & Szegedy 2015).

    x: (B, C) or (B, C, H, W). Outside training it takes the running averages, in which the variance is the unbiased
    one, n / (n − 1) · σ². γ = √(σ² + ε) with β = μ gives x back.
    """

    def __init__(self, channels: int, *, momentum: float = 0.1, epsilon: float = 1e-5, dtype: Any = np.float32) -> None:
        self.scale = Tensor(np.ones(channels, dtype), requires_gradient=True)
        self.shift = zeros(channels, dtype)
        self.running_mean, self.running_variance = np.zeros(channels, dtype), np.ones(channels, dtype)
        self.momentum, self.epsilon, self.training = momentum, epsilon, True

    def __call__(self, x: Tensor) -> Tensor:
        """The same shape; in training the running averages move too."""
        if x.ndim not in (2, 4) or x.shape[1] != len(self.running_mean):
            raise GradatimError(f"expected (B, {len(self.running_mean)}) or four axes, received {x.shape}")
        axes, shape = ((0,), (1, -1)) if x.ndim == 2 else ((0, 2, 3), (1, -1, 1, 1))
        mean: Any = self.running_mean.reshape(shape)
        spread: Any = self.running_variance.reshape(shape)
        if self.training:
            mean, spread = x.mean(axes, keepdims=True), variance(x, axes, keepdims=True)
            count = x.value.size // x.shape[1]
            if count < 2:
                raise GradatimError(f"expected more than one number a channel in training, received {x.shape}")
            self.running_mean = self._moved(self.running_mean, mean.value)
            self.running_variance = self._moved(self.running_variance, spread.value * (count / (count - 1)))
        normalised = (x - mean) * (spread + self.epsilon) ** -0.5
        return normalised * self.scale.reshape(*shape) + self.shift.reshape(*shape)

    def _moved(self, average: np.ndarray, seen: np.ndarray) -> np.ndarray:
        return (1 - self.momentum) * average + self.momentum * seen.ravel()


class Dropout:
    """In training each number is 0 with the probability `share`, and the others are 1 / (1 − share) times as large.

    So the expected value stays, and outside training nothing happens (inverted dropout; Srivastava et al. 2014).
    """

    def __init__(self, share: float, *, seed: int = 0) -> None:
        if not 0 <= share < 1:
            raise GradatimError(f"expected a share from 0 to below 1, received {share}")
        self.share, self.training, self.random = share, True, generator("dropout", seed)

    def __call__(self, x: Tensor) -> Tensor:
        """The same shape."""
        if not self.training or self.share == 0:
            return x
        kept = self.random.random(x.shape, dtype=np.float32) >= self.share
        return x * (kept / (1 - self.share))


def flatten(x: Tensor) -> Tensor:
    """(B, …) → (B, the rest)."""
    return x.reshape(len(x), -1)


def normal(shape: tuple[int, ...], deviation: float, dtype: Any, seed: int) -> Tensor:
    """A parameter drawn from a normal distribution with mean 0; a pure function of shape and seed."""
    drawn = generator("layer", seed, *shape).standard_normal(shape) * deviation
    return Tensor(drawn.astype(dtype), requires_gradient=True)


def zeros(length: int, dtype: Any) -> Tensor:
    """A parameter of zeros."""
    return Tensor(np.zeros(length, dtype), requires_gradient=True)


def _walk(part: Any, path: str) -> Iterator[tuple[str, Any]]:
    """The part itself and all that hangs on it by attributes, lists and dictionaries, each with the path to it."""
    yield path, part
    if isinstance(part, Tensor | np.ndarray):
        return
    inside = part if isinstance(part, dict) else getattr(part, "__dict__", {})
    if isinstance(part, list | tuple):
        inside = {str(place): value for place, value in enumerate(part)}
    for name, value in inside.items():
        if isinstance(value, Tensor | dict | list | tuple) or hasattr(value, "__dict__"):
            yield from _walk(value, f"{path}.{name}" if path else name)
