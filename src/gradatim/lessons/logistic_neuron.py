"""One logistic neuron: why its gradient is simply answer minus truth.

The neuron says a = σ(z), z = θ₀ + θ₁x₁ + θ₂x₂, the probability of class 1. The likelihood of a truth y is aʸ(1 −
a)¹⁻ʸ; its negative logarithm is the cross entropy L = −y ln a − (1 − y) ln(1 − a). With da/dz = a(1 − a),
  dL/dz = (−y/a + (1 − y)/(1 − a)) · a(1 − a) = a − y:
the slope of the sigmoid cancels. Squared error keeps it, 2(a − y)·a(1 − a), and that is not even convex in z.

What to notice: θ = (−3, 1, 1) draws its boundary where z = 0, the line x₁ + x₂ = 3, and the lines of equal
probability are parallel to it. Below, for a truth of 1: the more wrong the neuron, the harder the cross entropy
pulls, while the squared error lets go of exactly those that are most wrong.
Figure: dL/dz = a − y to within 1e-9; σ(0) = 0.5, σ′(0) = 0.25, σ′(±10) = 4.54e-5.
"""

import numpy as np
from matplotlib.figure import Figure

from gradatim.autodiff.engine.activations import sigmoid_of as sigmoid
from gradatim.lessons.catalogue import Result
from gradatim.lessons.picture import BLUE, INK, ORANGE, PURPLE, label, paper, style

THETA = np.array([-3.0, 1.0, 1.0])


def cross_entropy(z: np.ndarray, truth: float) -> np.ndarray:
    """−y ln σ(z) − (1 − y) ln(1 − σ(z)), from z itself: ln(1 + eᶻ) − yz, without a logarithm of zero."""
    return np.asarray(np.logaddexp(0.0, z) - truth * z)


def squared_error(z: np.ndarray, truth: float) -> np.ndarray:
    """(σ(z) − y)²."""
    return np.asarray((sigmoid(z) - truth) ** 2)


def lesson(*, quick: bool = False) -> Result:
    """Closed forms against differences; quick changes nothing."""
    z, step = np.linspace(-8.0, 8.0, 161), 1e-5
    gap = 0.0
    for truth in (0.0, 1.0):
        slope = (cross_entropy(z + step, truth) - cross_entropy(z - step, truth)) / (2 * step)
        gap = max(gap, float(abs(slope - (sigmoid(z) - truth)).max()))
    on_line = np.array([[1.0, t, 3.0 - t] for t in np.linspace(-2, 5, 8)])
    bend = squared_error(z - 0.1, 1.0) + squared_error(z + 0.1, 1.0) - 2 * squared_error(z, 1.0)
    derivative = sigmoid(np.array([0.0, 10.0, -10.0])) * (1 - sigmoid(np.array([0.0, 10.0, -10.0])))
    figures = {
        "sigma(0)": sigmoid(np.array(0.0)),
        "sigma'(0)": derivative[0],
        "sigma'(10)": derivative[1],
        "sigma'(-10)": derivative[2],
        "largest |dL/dz - (a - y)|": gap,
        "largest |p - 1/2| on x1 + x2 = 3": abs(sigmoid(on_line @ THETA) - 0.5).max(),
        "share of z where squared error bends down": (bend < 0).mean(),
        "pull at z = -6, truth 1, cross entropy": 1 - sigmoid(np.array(-6.0)),
        "pull at z = -6, truth 1, squared error": 2 * (1 - sigmoid(np.array(-6.0))) ** 2 * sigmoid(np.array(-6.0)),
    }
    text = (
        "On x1 + x2 = 3 the neuron says 1/2. When it is badly wrong (z = −6, truth 1), cross entropy pulls with "
        f"{figures['pull at z = -6, truth 1, cross entropy']:.4f}, squared error with "
        f"{figures['pull at z = -6, truth 1, squared error']:.4f}."
    )
    return Result({name: float(value) for name, value in figures.items()}, draw(), text)


@style()
def draw() -> Figure:
    """Above: the plane with its lines of equal probability; below: how hard each loss pulls at z."""
    figure = paper(5.6, 7.2)
    above, below = figure.subplots(2, 1, height_ratios=(1.25, 1))
    for probability, width in ((0.01, 1), (0.1, 1), (0.5, 2.6), (0.9, 1), (0.99, 1)):
        total = 3.0 + np.log(probability / (1 - probability))
        ends = np.array([-3.0, 9.0])
        colour = INK if probability == 0.5 else BLUE if probability > 0.5 else ORANGE
        above.plot(ends, total - ends, color=colour, linewidth=width)
        shift = -0.9 if probability == 0.01 else 0.65
        label(above, total / 2 + shift, total / 2 - shift, f"{probability:g}", colour, dx=0, ha="center")
    above.fill_between([-3, 9], [6, -6], 12, color=BLUE, alpha=0.08, linewidth=0)
    above.fill_between([-3, 9], [6, -6], -12, color=ORANGE, alpha=0.08, linewidth=0)
    above.set(xlim=(-2, 5), ylim=(-1.5, 4.5), aspect="equal", xlabel="x₁", ylabel="x₂",
              title="Probability of class 1, and its boundary x₁ + x₂ = 3")
    above.grid(False)
    label(above, 4.9, 4.2, "class 1", BLUE, dx=0, ha="right")
    label(above, -1.9, -1.2, "class 0", ORANGE, dx=0)
    z = np.linspace(-8, 8, 200)
    below.plot(z, 1 - sigmoid(z), color=BLUE)
    below.plot(z, 2 * (1 - sigmoid(z)) ** 2 * sigmoid(z), color=PURPLE)
    below.set(xlabel="z (truth 1: right is correct, left is wrong)", ylabel="pull −dL/dz", ylim=(-0.03, 1.12),
              title="Cross entropy pulls at y − a; squared error lets go")
    label(below, -5.2, 1.0, "cross entropy", BLUE, dx=0, dy=-13, ha="center")
    label(below, -5.0, 0.06, "squared error", PURPLE, dx=0, dy=9, ha="center")
    return figure
