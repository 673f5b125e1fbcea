"""Layers without activation collapse into one; a ReLU between them keeps them apart.

W₂(W₁x + b₁) + b₂ = (W₂W₁)x + (W₂b₁ + b₂): two linear layers are one, and so are fifty. The one matrix has at most
the rank of the narrowest layer: depth without activation can only take something away. A ReLU between them, max(0,
·), is linear on either side of a kink, and every hidden unit can put its kink elsewhere.

What to notice: both nets have the same layers, starting weights and training. The linear one finds the very line
that least squares finds, and has nothing left to do; the other bends.
Figure: stack and collapsed layer differ by less than 1e-12; mean squared error 0.1646 as least squares against
0.0008.
"""

import numpy as np
from matplotlib.figure import Figure

from gradatim.autodiff.engine.activations import linear, relu
from gradatim.autodiff.engine.layers import Dense, Sequential
from gradatim.autodiff.engine.losses import squared_error
from gradatim.autodiff.engine.tensor import Tensor
from gradatim.autodiff.engine.training import train
from gradatim.autodiff.expressiveness import collapse
from gradatim.autodiff.optimisers.first_order import momentum_of_steps
from gradatim.lessons.catalogue import Result
from gradatim.lessons.picture import BLUE, MUTED, ORANGE, label, paper, style
from gradatim.randomness import generator


def zigzag(x: np.ndarray) -> np.ndarray:
    """What is to be learnt: up, down and up again."""
    return np.asarray(np.interp(x, [-2, -1, 0.5, 2], [-0.5, 0.8, -0.7, 0.9]))


def lesson(*, quick: bool = False) -> Result:
    """Collapse a random stack, then train the same net without and with ReLU (a third of the steps when quick)."""
    random = generator(0, "collapse")
    stack = [(random.normal(size=(8, 8)), random.normal(size=8)) for _ in range(5)]
    stack[2] = (random.normal(size=(2, 8)), random.normal(size=2))  # a narrow waist
    stack[3] = (random.normal(size=(8, 2)), random.normal(size=8))
    x = random.normal(size=(100, 8))
    whole = x
    for weight, bias in stack:
        whole = whole @ weight.T + bias
    weight, bias = collapse(stack)
    gap = abs(whole - (x @ weight.T + bias)).max() / abs(whole).max()

    inputs = np.linspace(-2, 2, 101)[:, None]
    target = zigzag(inputs)
    steps = 1000 if quick else 3000
    straight, bent = (fitted(inputs, target, steps, relu_between=bends) for bends in (False, True))
    line = np.polyval(np.polyfit(inputs[:, 0], target[:, 0], 1), inputs)
    figures = {
        "relative difference of stack and collapsed layer": gap,
        "rank of a stack with a waist of 2": np.linalg.matrix_rank(weight),
        "error of least squares": ((line - target) ** 2).mean(),
        "error of the linear stack": ((straight - target) ** 2).mean(),
        "error with ReLU": ((bent - target) ** 2).mean(),
        "largest distance of the linear stack from the least-squares line": abs(straight - line).max(),
    }
    text = (
        f"Three linear layers reach the mean squared error {figures['error of the linear stack']:.4f}, that of the "
        f"least-squares line; with ReLU between them {figures['error with ReLU']:.1g}."
    )
    return Result({name: float(value) for name, value in figures.items()}, draw(inputs, target, straight, bent), text)


def fitted(inputs: np.ndarray, target: np.ndarray, steps: int, *, relu_between: bool) -> np.ndarray:
    """What three layers say after full-batch descent with momentum."""
    first, second, last = (
        Dense(into, out, dtype=np.float64, seed=seed)
        for seed, (into, out) in enumerate(((1, 16), (16, 16), (16, 1)))
    )
    between = relu if relu_between else linear
    network = Sequential(first, between, second, between, last)
    train(
        network, lambda x, y: squared_error(network(Tensor(x)), y), [(inputs, target)] * steps,
        rule=momentum_of_steps, learning_rate=0.01,
    )
    return network(Tensor(inputs)).value


@style()
def draw(inputs: np.ndarray, target: np.ndarray, straight: np.ndarray, bent: np.ndarray) -> Figure:
    """The target and what both nets make of it."""
    figure = paper(5.6, 3.8)
    axes = figure.subplots()
    axes.plot(inputs[::4], target[::4], "o", color=MUTED, markersize=5)
    axes.plot(inputs, straight, color=ORANGE)
    axes.plot(inputs, bent, color=BLUE)
    axes.set(xlabel="x", ylabel="y", xlim=(-2.1, 2.1), title="The same three layers, without and with ReLU")
    label(axes, 0.55, float(straight[64, 0]), "without: a line,\nhowever many layers", ORANGE, dx=0, dy=26, ha="center")
    label(axes, -0.2, -0.55, "with ReLU", BLUE, dx=-6, dy=0, ha="right")
    return figure
