"""Saturation: where an activation is flat, nothing is learnt.

A gradient passes a unit multiplied by the slope of its activation. σ′(z) = σ(z)(1 − σ(z)) is 1/4 at best and 4.5e-5
at z = ±10; tanh′ = 1 − tanh² is 1 at best and fades faster. ReLU has slope 1 for z > 0, however large, and exactly
0 below: a unit that is below zero on every sample never moves again. It is dead; a leak of 0.01 keeps it alive.

What to notice: below, four neurons start at z = −10 and are asked for 1. The sigmoid with squared error stands
still, ReLU is dead for ever, the leaky ReLU crawls out and then runs; the sigmoid with cross entropy walks straight
away, because there the flat slope cancels. Ten sigmoids in a row pass on at most 0.25¹⁰, a millionth.
Figure: σ′(0) = 0.25, σ′(±10) = 4.54e-5, tanh′(10) = 8.24e-9, 0.25¹⁰ = 9.54e-7.
"""

from collections.abc import Callable

import numpy as np
from matplotlib.figure import Figure

from gradatim.autodiff.engine.activations import sigmoid_of as sigmoid
from gradatim.lessons.catalogue import Result
from gradatim.lessons.picture import BLUE, GREEN, ORANGE, PURPLE, label, paper, style
from gradatim.randomness import generator

STEPS, RATE, START, LEAK = 1500, 0.5, -10.0, 0.01


# name → (answer, dL/dz for a truth of 1)
NEURONS: dict[str, tuple[Callable[[float], float], Callable[[float], float]]] = {
    "sigmoid, squared error": (
        lambda z: float(sigmoid(np.array(z))),
        lambda z: float(2 * (sigmoid(np.array(z)) - 1) * sigmoid(np.array(z)) * (1 - sigmoid(np.array(z)))),
    ),
    "sigmoid, cross entropy": (lambda z: float(sigmoid(np.array(z))), lambda z: float(sigmoid(np.array(z)) - 1)),
    "ReLU": (lambda z: max(z, 0.0), lambda z: 2 * (z - 1) if z > 0 else 0.0),
    "leaky ReLU": (
        lambda z: z if z > 0 else LEAK * z,
        lambda z: 2 * (z - 1) if z > 0 else 2 * LEAK * (LEAK * z - 1),
    ),
}


def lesson(*, quick: bool = False) -> Result:
    """Slopes in closed form, four neurons taught, and the dead units of a layer with a bias of −2."""
    paths = {name: teach(*neuron) for name, neuron in NEURONS.items()}
    inputs = generator(0, "dead").standard_normal((1000, 20))
    weights = generator(1, "dead").normal(0, np.sqrt(2 / 20), (20, 400))
    alive = [(inputs @ weights + bias > 0).any(axis=0).mean() for bias in (0.0, -5.0)]
    at_ten = sigmoid(np.array(10.0))
    figures = {
        "sigma'(0)": 0.25,
        "sigma'(10)": float(at_ten * (1 - at_ten)),
        "tanh'(10)": 1 / np.cosh(10.0) ** 2,
        "0.25^10": 0.25**10,
        "answer after 1500 steps, sigmoid, squared error": paths["sigmoid, squared error"][-1],
        "answer after 1500 steps, sigmoid, cross entropy": paths["sigmoid, cross entropy"][-1],
        "answer after 1500 steps, ReLU": paths["ReLU"][-1],
        "answer after 1500 steps, leaky ReLU": paths["leaky ReLU"][-1],
        "share of dead ReLUs, bias 0": 1 - alive[0],
        "share of dead ReLUs, bias -5": 1 - alive[1],
    }
    text = (
        f"After {STEPS} steps towards 1: sigmoid with squared error {paths['sigmoid, squared error'][-1]:.5f}, with "
        f"cross entropy {paths['sigmoid, cross entropy'][-1]:.3f}, ReLU {paths['ReLU'][-1]:g}, leaky ReLU "
        f"{paths['leaky ReLU'][-1]:.3f}. A bias of −5 kills {1 - alive[1]:.0%} of a layer's ReLUs."
    )
    return Result({name: float(value) for name, value in figures.items()}, draw(paths), text)


def teach(answer: Callable[[float], float], slope: Callable[[float], float]) -> list[float]:
    """The neuron's answers while descent moves its z from −10 towards a truth of 1."""
    z, answers = START, []
    for _ in range(STEPS + 1):
        answers.append(answer(z))
        z -= RATE * slope(z)
    return answers


@style()
def draw(paths: dict[str, list[float]]) -> Figure:
    """Above: the slopes; below: four neurons that start in the flat part."""
    figure = paper(5.6, 6.4)
    above, below = figure.subplots(2, 1)
    z = np.linspace(-6, 6, 400)
    above.plot(z, sigmoid(z) * (1 - sigmoid(z)), color=BLUE)
    above.plot(z, 1 - np.tanh(z) ** 2, color=PURPLE)
    above.plot([-6, 0], [0, 0], color=ORANGE)
    above.plot([0, 6], [1, 1], color=ORANGE)
    label(above, 2.0, 0.2, "sigmoid: ¼ at best", BLUE, dx=0)
    label(above, -0.75, float(1 - np.tanh(-0.75) ** 2), "tanh", PURPLE, dx=-4, ha="right")
    label(above, 3.2, 1, "ReLU: 1 or 0", ORANGE, dx=0, dy=-12, ha="center")
    above.set(xlabel="z", ylabel="slope of the activation", ylim=(-0.06, 1.1),
              title="Where an activation is flat, gradients stop")
    colours = {"sigmoid, squared error": BLUE, "sigmoid, cross entropy": GREEN, "ReLU": ORANGE, "leaky ReLU": PURPLE}
    for name, path in paths.items():
        below.plot(path, color=colours[name])
    label(below, 27, 0.62, "sigmoid, cross entropy", GREEN, dx=8)
    label(below, 60, 0.0, "sigmoid, squared error; ReLU: at 0 for ever", ORANGE, dx=0, dy=12)
    label(below, 1040, 0.5, "leaky ReLU", PURPLE)
    below.set(xlabel="step", ylabel="answer (truth 1)", ylim=(-0.15, 1.12), title="Four neurons that start at z = −10")
    return figure
