"""Back-propagation by hand: a multilayer perceptron from four matrix equations, without any automatic differentiation.

One column is one sample, so layer l turns a_{l−1} into z_l = W_l a_{l−1} + b_l and a_l = f(z_l). With C the mean loss
over the n samples and δ_l = ∂C/∂z_l:

    (1)  δ_L = ∂C/∂a_L ⊙ f'(z_L)                what the loss says about the last layer
    (2)  δ_l = (W_{l+1}ᵀ δ_{l+1}) ⊙ f'(z_l)     blame handed back through the weights
    (3)  ∂C/∂b_l = Σ over samples of δ_l
    (4)  ∂C/∂W_l = δ_l a_{l−1}ᵀ

(Rumelhart, Hinton & Williams 1986.) In (2) all of the vanishing and exploding of gradients can be read: the gradient of
an early layer is a product of as many matrices and slopes as there are layers above it.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from gradatim.errors import GradatimError
from gradatim.randomness import generator

Array = np.ndarray

# name → (f, f' as a function of z)
ACTIVATIONS: dict[str, tuple[Callable[[Array], Array], Callable[[Array], Array]]] = {
    "linear": (lambda z: z, np.ones_like),
    "sigmoid": (lambda z: 1 / (1 + np.exp(-z)), lambda z: np.exp(-z) / (1 + np.exp(-z)) ** 2),
    "tanh": (np.tanh, lambda z: 1 - np.tanh(z) ** 2),
    "relu": (lambda z: np.maximum(z, 0), lambda z: (z > 0).astype(z.dtype)),
}


@dataclass(slots=True)
class Gradients:
    """loss: a number; weights and biases: one array a layer; deltas: δ_l, (units, samples), one a layer."""

    loss: float
    weights: list[Array]
    biases: list[Array]
    deltas: list[Array]


class Perceptron:
    """Dense layers of the given sizes. weights[l]: (sizes[l+1], sizes[l]); biases[l]: (sizes[l+1], 1).

    hidden: the activation between layers. loss: "squared" with a linear last layer, the mean over samples of the sum of
    squares; or "cross entropy" with a softmax last layer, where (1) becomes δ_L = (p − y) / n.

    >>> net = Perceptron([2, 8, 1], hidden="tanh")
    >>> x, y = np.array([[0.0, 0, 1, 1], [0, 1, 0, 1]]), np.array([[0.0, 1, 1, 0]])
    >>> for _ in range(2000):
    ...     net.descend(net.gradients(x, y), learning_rate=0.2)
    >>> net.predict(x).round(2) + 0.0
    array([[0., 1., 1., 0.]])
    """

    def __init__(self, sizes: Sequence[int], *, hidden: str = "relu", loss: str = "squared", seed: int = 0) -> None:
        if hidden not in ACTIVATIONS or loss not in ("squared", "cross entropy"):
            raise GradatimError(
                f"expected a hidden activation among {', '.join(ACTIVATIONS)} and squared or cross entropy as loss, "
                f"received '{hidden}' and '{loss}'"
            )
        random, self.loss = generator("perceptron", seed), loss
        self.weights = [random.standard_normal((n, m)) / np.sqrt(m) for m, n in pairwise(sizes)]
        self.biases = [np.zeros((n, 1)) for n in sizes[1:]]
        self.activations = [ACTIVATIONS[hidden]] * (len(sizes) - 2) + [ACTIVATIONS["linear"]]

    def forward(self, x: Array) -> tuple[list[Array], list[Array]]:
        """Every z and every a for samples as columns, (sizes[0], n); the first a is x itself."""
        zs, outputs = [], [x]
        for weight, bias, (activation, _) in zip(self.weights, self.biases, self.activations):
            zs.append(weight @ outputs[-1] + bias)
            outputs.append(activation(zs[-1]))
        return zs, outputs

    def predict(self, x: Array) -> Array:
        """(sizes[0], n) → (sizes[-1], n): numbers, or probabilities under cross entropy."""
        output = self.forward(x)[1][-1]
        return _softmax(output) if self.loss == "cross entropy" else output

    def gradients(self, x: Array, y: Array) -> Gradients:
        """The four equations. x: (sizes[0], n); y: (sizes[-1], n), numbers or one-hot columns."""
        zs, outputs = self.forward(x)
        samples = x.shape[1]
        if self.loss == "squared":
            difference = outputs[-1] - y
            loss = float((difference**2).sum() / samples)
            delta = 2 * difference / samples * self.activations[-1][1](zs[-1])  # (1)
        else:
            p = _softmax(outputs[-1])
            loss = float(-(y * np.log(p)).sum() / samples)
            delta = (p - y) / samples  # (1), with the softmax
        deltas = [delta]
        for layer in reversed(range(len(self.weights) - 1)):
            _, slope = self.activations[layer]
            deltas.insert(0, (self.weights[layer + 1].T @ deltas[0]) * slope(zs[layer]))  # (2)
        biases = [delta.sum(axis=1, keepdims=True) for delta in deltas]  # (3)
        weights = [delta @ before.T for delta, before in zip(deltas, outputs)]  # (4)
        return Gradients(loss, weights, biases, deltas)

    def descend(self, gradients: Gradients, learning_rate: float) -> None:
        """One step against the gradient, all parameters at once."""
        self.weights = [w - learning_rate * g for w, g in zip(self.weights, gradients.weights)]
        self.biases = [b - learning_rate * g for b, g in zip(self.biases, gradients.biases)]


def _softmax(z: Array) -> Array:
    e = np.exp(z - z.max(axis=0))
    return e / e.sum(axis=0)
