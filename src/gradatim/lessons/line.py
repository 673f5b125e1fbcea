"""A line by three roads: solve for it, walk down to it, or train one neuron.

Four houses, their size x in square feet and price y. The cost is J(θ) = 1/(2m) Σ (θ₀ + θ₁x − y)².
- Setting the gradient to zero gives the normal equation XᵀX θ = Xᵀy: one step, exact.
- Descent moves both θ at once, θ ← θ − η/m · Xᵀ(Xθ − y), and needs the sizes brought to one scale first.
- A neuron without activation is the same formula, and its squared error the same cost: automatic
  differentiation finds the same gradient.

What to notice: all roads end on the same line. On raw square feet the cost is a ravine 29 million times steeper
across than along: the slope settles within a few steps, the intercept hardly moves, and descent seems to have
finished on the line through the origin.
Figure: θ = (−42.78334, 0.2296196), J = 448.219; without intercept the slope is 0.2030524.
"""

import numpy as np
from matplotlib.figure import Figure

from gradatim.autodiff.engine.tensor import Tensor
from gradatim.lessons.catalogue import Result
from gradatim.lessons.picture import BLUE, GREEN, INK, ORANGE, label, paper, plain, style

SIZES = np.array([2104.0, 1416.0, 1534.0, 852.0])
PRICES = np.array([460.0, 232.0, 315.0, 178.0])
STEPS = 200


def lesson(*, quick: bool = False) -> Result:
    """The three roads; closed forms, so quick changes nothing."""
    design = np.column_stack([np.ones(4), SIZES])
    solved = np.linalg.solve(design.T @ design, design.T @ PRICES)
    through_origin = float(SIZES @ PRICES / (SIZES @ SIZES))

    mean, deviation = SIZES.mean(), SIZES.std()
    scaled = np.column_stack([np.ones(4), (SIZES - mean) / deviation])
    walked, costs, stopped = descend(scaled, rate=0.5, steps=STEPS)
    steepest = np.linalg.eigvalsh(design.T @ design / 4)
    raw, raw_costs, _ = descend(design, rate=1 / steepest[1], steps=STEPS)

    trained = neuron(scaled[:, 1])
    roads = [solved, unscale(walked, mean, deviation), unscale(trained, mean, deviation)]
    figures = {
        "theta 0": solved[0],
        "theta 1": solved[1],
        "cost J": cost(solved, design),
        "slope without intercept": through_origin,
        "largest relative difference between the roads": max(abs(road / solved - 1).max() for road in roads),
        "steps of descent until J falls by less than 0.001": stopped,
        "condition number, raw sizes": steepest[1] / steepest[0],
        "slope after 200 raw steps": raw[1],
        "cost J after 200 raw steps": raw_costs[-1],
    }
    text = (
        f"All three roads give price = {solved[0]:.5f} + {solved[1]:.7f} · size. Descent on scaled sizes was done in "
        f"{stopped} steps; on raw sizes, at its best rate, {STEPS} steps reach the slope {raw[1]:.7f}, "
        f"all but the line through the origin ({through_origin:.7f}), at a cost of {raw_costs[-1]:.0f}."
    )
    return Result({name: float(value) for name, value in figures.items()}, draw(solved, raw, costs, raw_costs), text)


def cost(theta: np.ndarray, design: np.ndarray) -> float:
    """J(θ), half the mean of the squares."""
    return float(((design @ theta - PRICES) ** 2).mean() / 2)


def descend(design: np.ndarray, *, rate: float, steps: int) -> tuple[np.ndarray, list[float], int]:
    """Batch gradient descent from 0: where it ends, the cost at each step, and when the convergence test first held."""
    theta = np.zeros(2)
    costs = [cost(theta, design)]
    for _ in range(steps):
        theta = theta - rate * design.T @ (design @ theta - PRICES) / 4  # both components from the same old θ
        costs.append(cost(theta, design))
    stopped = next(step for step in range(1, steps + 1) if costs[step - 1] - costs[step] < 1e-3)
    return theta, costs, stopped


def neuron(inputs: np.ndarray) -> np.ndarray:
    """One linear neuron trained by automatic differentiation of the mean squared error: (bias, weight)."""
    bias, weight = Tensor(0.0, requires_gradient=True), Tensor(0.0, requires_gradient=True)
    for _ in range(STEPS):
        loss = ((bias + weight * inputs - PRICES) ** 2).mean()
        bias.gradient = weight.gradient = None
        loss.backward()
        for parameter in (bias, weight):
            assert parameter.gradient is not None
            parameter.value = parameter.value - 0.25 * parameter.gradient
    return np.array([bias.item(), weight.item()])


def unscale(theta: np.ndarray, mean: float, deviation: float) -> np.ndarray:
    """From the line in (x − mean)/deviation back to the line in x."""
    return np.array([theta[0] - theta[1] * mean / deviation, theta[1] / deviation])


@style()
def draw(solved: np.ndarray, raw: np.ndarray, costs: list[float], raw_costs: list[float]) -> Figure:
    """Above: the houses and where descent ends; below: the cost on the way."""
    figure = paper(5.6, 6.4)
    above, below = figure.subplots(2, 1)
    ends = np.array([600.0, 2300.0])
    above.vlines(SIZES, solved[0] + solved[1] * SIZES, PRICES, color=BLUE, linewidth=1, alpha=0.6)
    above.plot(ends, solved[0] + solved[1] * ends, color=BLUE)
    above.plot(ends, raw[0] + raw[1] * ends, color=ORANGE, linestyle=(0, (5, 2)))
    above.plot(SIZES, PRICES, "o", color=INK, markersize=7)
    above.set(xlim=(500, 2420), xlabel="size in square feet", ylabel="price", title="Three roads, one line (blue)")
    label(above, 1870, solved[0] + solved[1] * 1870, "normal equation,\nscaled descent, neuron", BLUE, dx=-10, dy=22,
          ha="right")
    label(above, 2040, raw[0] + raw[1] * 2040, "200 raw steps:\nno intercept yet", ORANGE, dx=-14, dy=-38)
    below.plot(range(41), raw_costs[:41], color=ORANGE, linestyle=(0, (5, 2)))
    below.plot(range(41), costs[:41], color=BLUE)
    below.axhline(costs[-1], color=GREEN, linewidth=1)
    below.set(yscale="log", xlabel="step", ylabel="cost J", title="The same descent, with and without scaling")
    below.set_ylim(250, 8e4)
    below.set_yticks([500, 1000, 10000], ["500", "1,000", "10,000"])
    plain(below.yaxis)
    label(below, 8, raw_costs[8], f"raw sizes: stuck at J = {raw_costs[-1]:.0f}", ORANGE, dy=14)
    label(below, 1.3, 3000, "scaled sizes", BLUE, dx=10)
    label(below, 40, costs[-1], f"least J = {costs[-1]:.3f}", GREEN, dx=0, dy=-9, ha="right")
    return figure
