"""Random perturbation: learning by trial, and why nobody trains a net that way.

Shake the weights a little at random; keep the change if the loss fell; else take it back. It needs no derivative
and never gets worse. But of the d directions that one random shake mixes, a single one leads downhill: the progress
of a step shrinks like 1/d. On L = ½‖w‖², with the best possible size of shake (1.224·‖w‖/d), Rechenberg (1973)
found that the distance shrinks by 0.2025/d a try on average: to a tenth of the distance takes ln 10/0.2025 · d =
11.4·d tries. The gradient names all d directions at once: with rate 0.1 it takes 22 steps in any number of
dimensions.

What to notice: the orange line has slope one and the blue none. A net of a million weights would need eleven
million tries — with a step size that nobody knows beforehand.
Figure: 11.4 tries a dimension against 22 steps in all.
"""

import numpy as np
from matplotlib.figure import Figure

from gradatim.lessons.catalogue import Result
from gradatim.lessons.picture import BLUE, MUTED, ORANGE, label, paper, plain, style
from gradatim.randomness import generator

DIMENSIONS = (2, 5, 10, 20, 50, 100, 200)
RATE, GOAL = 0.1, 0.1  # the goal: a tenth of the first distance, a hundredth of the first loss


def lesson(*, quick: bool = False) -> Result:
    """Mean number of tries by dimension (over fewer repetitions when quick), and the steps of descent."""
    repeats = 10 if quick else 100
    tries = {d: float(np.mean([trials(d, key) for key in range(repeats)])) for d in DIMENSIONS}
    steps = {d: descent(d) for d in DIMENSIONS}
    figures = {
        "steps of descent, any dimension": max(steps.values()),
        "tries in 2 dimensions": tries[2],
        "tries in 20 dimensions": tries[20],
        "tries in 200 dimensions": tries[200],
        "tries a dimension at 200": tries[200] / 200,
        "tries a dimension by theory": np.log(1 / GOAL) / 0.2025,
    }
    text = (
        f"To a tenth of the distance: {tries[2]:.0f} tries in 2 dimensions, {tries[200]:.0f} in 200 "
        f"({tries[200] / 200:.1f} a dimension, by theory {np.log(10) / 0.2025:.1f}); the gradient takes "
        f"{steps[200]} steps."
    )
    return Result({name: float(value) for name, value in figures.items()}, draw(tries, steps), text)


def trials(dimensions: int, key: int) -> int:
    """Tries until ‖w‖ has fallen from 1 to the goal, each shake of the best size for where it stands."""
    random = generator(0, "perturbation", dimensions, key)
    weights, loss, count = np.full(dimensions, dimensions**-0.5), 0.5, 0
    while loss > 0.5 * GOAL**2:
        shake = 1.224 * np.sqrt(2 * loss) / dimensions
        candidate = weights + shake * random.standard_normal(dimensions)
        new = 0.5 * float(candidate @ candidate)
        if new < loss:
            weights, loss = candidate, new
        count += 1
    return count


def descent(dimensions: int) -> int:
    """Steps of gradient descent over the same distance: the gradient of ½‖w‖² is w."""
    weights, count = np.full(dimensions, dimensions**-0.5), 0
    while weights @ weights > GOAL**2:
        weights, count = weights - RATE * weights, count + 1
    return count


@style()
def draw(tries: dict[int, float], steps: dict[int, int]) -> Figure:
    """Tries and steps by dimension."""
    figure = paper(5.6, 3.8)
    axes = figure.subplots()
    axes.plot(list(tries), list(tries.values()), "o-", color=ORANGE, markersize=5)
    axes.plot(list(steps), list(steps.values()), "o-", color=BLUE, markersize=5)
    many = np.array([8.0, 200.0])
    axes.plot(many, many * np.log(1 / GOAL) / 0.2025, color=MUTED, linewidth=1, linestyle=(0, (4, 3)))
    axes.set(xscale="log", yscale="log", ylim=(10, 4000), xlabel="number of weights", ylabel="tries or steps",
             title="To a tenth of the distance: trial against gradient")
    axes.set_xticks(DIMENSIONS)
    axes.set_xticks([], minor=True)
    plain(axes.xaxis)
    plain(axes.yaxis)
    label(axes, 2.1, 1100, "random perturbation:\n11.4 tries a weight\n(dashed: theory)", ORANGE, dx=0)
    label(axes, 20, steps[20], "gradient descent: 22 steps", BLUE, dx=0, dy=11, ha="center")
    return figure
