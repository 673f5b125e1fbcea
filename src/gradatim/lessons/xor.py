"""XOR three ways: no line parts it, so change the inputs, learn a change of inputs, or build one.

Put (0,1) and (1,0) on one side of a line and (0,0) and (1,1) on the other: the sums of both pairs are (1,1), so the
line's function w·x + b would have to be positive and negative at the same middle. One neuron gets three of four
right.
- A third input x₁x₂ is enough: x₁ + x₂ − 2x₁x₂ is XOR itself. The squared kernel (1 + x·x′)² holds that product too.
- A hidden layer learns its own new inputs, here four tanh units by descent on the cross entropy.
- By logic: (x₁ ∨ x₂) ∧ (¬x₁ ∨ ¬x₂), two threshold units and a third that joins them: every weight is ±1.

What to notice: the three regions differ, the four corners agree. Only the trained one needed data; only the built
one tells why.
Figure: 0 errors on the four corners in all three ways; the best single line makes 1.
"""

from collections.abc import Callable
from itertools import product

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure

from gradatim.autodiff.engine.activations import tanh
from gradatim.autodiff.engine.layers import Dense, Sequential
from gradatim.autodiff.engine.losses import binary_cross_entropy
from gradatim.autodiff.engine.tensor import Tensor
from gradatim.autodiff.engine.training import train
from gradatim.autodiff.expressiveness import all_inputs, conjunctive_network, formula
from gradatim.autodiff.optimisers.first_order import descent
from gradatim.lessons.catalogue import Result
from gradatim.lessons.picture import BLUE, INK, MUTED, ORANGE, paper, style

CORNERS = all_inputs(2)
TRUTH = np.array([0, 1, 1, 0])


def lesson(*, quick: bool = False) -> Result:
    """The three ways, and the best that a line can do."""
    learn = trained()
    built = conjunctive_network(TRUTH.tolist())
    ways = {
        "product feature": lambda x: x[..., 0] + x[..., 1] - 2 * x[..., 0] * x[..., 1] > 0.5,
        "trained hidden layer": lambda x: learn(x) > 0,
        "truth-table net": lambda x: built(x) > 0,
    }
    errors = {name: int((answer(CORNERS) != TRUTH).sum()) for name, answer in ways.items()}
    figures = {
        "errors of the best line": best_line(),
        "errors with the product feature": errors["product feature"],
        "errors with the squared kernel": kernel_perceptron_errors(),
        "errors of the trained hidden layer": errors["trained hidden layer"],
        "errors of the truth-table net": errors["truth-table net"],
    }
    text = f"No line does better than {best_line()} error of 4. Built from logic, XOR is {formula(built)}."
    return Result({name: float(value) for name, value in figures.items()}, draw(ways), text)


def best_line() -> int:
    """Fewest errors of any [w·x + b > 0], by trying all: four corners are parted in at most 14 different ways."""
    return min(
        int(((CORNERS @ np.array([w1, w2]) + b > 0) != TRUTH).sum())
        for w1, w2, b in product((-2, -1, 0, 1, 2), (-2, -1, 0, 1, 2), (-2.5, -1.5, -0.5, 0.5, 1.5, 2.5))
    )


def kernel_perceptron_errors() -> int:
    """The perceptron in the space of (1 + x·x′)²: it only ever asks for products between points."""
    kernel = (1 + CORNERS @ CORNERS.T) ** 2
    signs, counts = 2 * TRUTH - 1, np.zeros(4)
    for _ in range(100):
        for row in range(4):
            if signs[row] * (kernel[row] @ (counts * signs)) <= 0:
                counts[row] += 1
    return int((np.sign(kernel @ (counts * signs)) != signs).sum())


def trained() -> Callable[[np.ndarray], np.ndarray]:
    """Four tanh units and a logistic answer, by full-batch descent on the cross entropy: (…, 2) → z (…)."""
    network = Sequential(Dense(2, 4, gain=2.0, dtype=np.float64, seed=1), tanh, Dense(4, 1, dtype=np.float64, seed=2))
    train(
        network, lambda x, y: binary_cross_entropy(network(Tensor(x))[:, 0], y), [(CORNERS, TRUTH)] * 500,
        rule=descent, learning_rate=0.5,
    )
    return lambda x: network(Tensor(x)).value[..., 0]


@style()
def draw(ways: dict) -> Figure:
    """The plane as each way parts it, with the four corners."""
    figure = paper(5.6, 2.75)
    side = np.linspace(-0.5, 1.5, 160)
    grid = np.stack(np.meshgrid(side, side), axis=-1)
    for axes, (name, answer) in zip(figure.subplots(1, 3), ways.items()):
        show(axes, side, answer(grid), name)
    return figure


def show(axes: Axes, side: np.ndarray, region: np.ndarray, name: str) -> None:
    """One plane: orange where the answer is 0, blue where it is 1."""
    axes.imshow(region, origin="lower", extent=(side[0], side[-1], side[0], side[-1]), alpha=0.3,
                cmap=ListedColormap([ORANGE, BLUE]), vmin=0, vmax=1, interpolation="nearest")
    if region.any() and not region.all():
        axes.contour(side, side, region, levels=[0.5], colors=[MUTED], linewidths=1)
    for corner, truth in zip(CORNERS, TRUTH):
        axes.plot(corner[0], corner[1], "o", color=BLUE if truth else ORANGE, markersize=15, markeredgecolor="white")
        axes.text(corner[0], corner[1], str(truth), color="white", ha="center", va="center", fontsize=10, weight="bold")
    axes.set(xticks=[0, 1], yticks=[0, 1], xlabel="x₁")
    axes.set_title(name, fontsize=10, color=INK, loc="center")
    axes.grid(False)
