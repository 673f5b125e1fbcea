"""Batch size: one row, a few or all of them for a step.

The gradient over a batch of B rows is the full gradient plus noise of deviation s·√((N − B)/(B(N − 1))), s the
deviation between single rows: four times the rows, half the noise. An epoch over N rows makes N/B steps. So single
rows make many restless steps, the full batch few sure ones, and in between lies most of the profit of both: the
noise falls only like 1/√B while the work of a step grows like B.

What to notice: for the same number of rows seen, the full batch has barely left, single rows are there early but
keep dancing around the minimum at a height that grows with the rate, and batches of 32 are early and calm.
Figure: noise of the gradient at batch 32 is 1.42, by measurement and by the formula; single rows have 5.8 times as
much.
"""

import numpy as np
from matplotlib.figure import Figure

from gradatim.autodiff.engine.training import shuffled
from gradatim.lessons.catalogue import Result
from gradatim.lessons.picture import BLUE, GREEN, INK, ORANGE, RULE, label, paper, plain, style
from gradatim.randomness import generator

ROWS, EPOCHS, RATE = 512, 6, 0.1
SIZES = {1: ORANGE, 32: BLUE, ROWS: GREEN}


def lesson(*, quick: bool = False) -> Result:
    """Linear regression of two weights with three batch sizes at one rate; quick changes nothing."""
    random = generator(0, "batch-size")
    x = random.standard_normal((ROWS, 2)) * (1.0, 0.5)
    y = x @ (2.0, -1.0) + random.standard_normal(ROWS)
    best = np.linalg.lstsq(x, y, rcond=None)[0]
    paths = {size: descend(x, y, size) for size in SIZES}
    floor = loss(x, y, best)
    excess = {size: np.array([loss(x, y, weights) for weights in path]) - floor for size, path in paths.items()}
    noise = {size: measured_noise(x, y, size, 200 if quick else 2000) for size in (1, 32)}
    rows = 2 * x * (x @ paths[1][0] - y)[:, None]
    single = float(np.sqrt(((rows - rows.mean(axis=0)) ** 2).sum(axis=1).mean()))
    figures = {
        **{f"steps an epoch, batch {size}": len(path) // EPOCHS for size, path in paths.items()},
        "noise of the gradient, batch 1": noise[1],
        "noise of the gradient, batch 32": noise[32],
        "noise of the gradient, batch 32, closed form": single * np.sqrt((ROWS - 32) / (32 * (ROWS - 1))),
        **{f"excess loss over the last epoch, batch {size}": part[-max(len(part) // EPOCHS, 1) :].mean()
           for size, part in excess.items()},
    }
    text = (
        f"In {EPOCHS} epochs: {len(paths[1]) - 1:,} steps of one row, {len(paths[32]) - 1} of 32, "
        f"{len(paths[ROWS]) - 1} of all. The noise of the gradient falls from {noise[1]:.2f} to {noise[32]:.2f}."
    )
    return Result({name: float(value) for name, value in figures.items()}, draw(x, y, best, paths, excess), text)


def loss(x: np.ndarray, y: np.ndarray, weights: np.ndarray) -> float:
    """Mean of the squared errors."""
    return float(((x @ weights - y) ** 2).mean())


def descend(x: np.ndarray, y: np.ndarray, size: int) -> np.ndarray:
    """The weights after each step, (steps + 1, 2), over all epochs."""
    weights = np.array([-0.5, 1.5])
    path = [weights]
    for rows, targets in shuffled(x, y, size=size, epochs=EPOCHS):
        weights = weights - RATE * 2 * rows.T @ (rows @ weights - targets) / len(rows)
        path.append(weights)
    return np.array(path)


def measured_noise(x: np.ndarray, y: np.ndarray, size: int, draws: int) -> float:
    """Root mean square distance of a batch's gradient from the full one, at the start of the paths."""
    random, weights = generator(1, "batch-size", size), np.array([-0.5, 1.5])
    rows = 2 * x * (x @ weights - y)[:, None]
    means = np.array([rows[random.choice(ROWS, size, replace=False)].mean(axis=0) for _ in range(draws)])
    return float(np.sqrt(((means - rows.mean(axis=0)) ** 2).sum(axis=1).mean()))


@style()
def draw(x: np.ndarray, y: np.ndarray, best: np.ndarray, paths: dict, excess: dict) -> Figure:
    """Above: the ways through the plane of the weights; below: the loss by rows seen."""
    figure = paper(5.6, 6.8)
    above, below = figure.subplots(2, 1)
    u, v = np.linspace(-1.1, 3.1, 60), np.linspace(-2.2, 2.2, 60)
    heights = [[loss(x, y, np.array([a, b])) for a in u] for b in v]
    above.contour(u, v, heights, levels=10, colors=RULE, linewidths=0.9)
    for size, colour in SIZES.items():
        path = paths[size][:: 4 if size == 1 else 1]
        above.plot(path[:, 0], path[:, 1], color=colour, linewidth=1 if size == 1 else 2, alpha=0.7 if size == 1 else 1)
    above.plot(*paths[1][0], "o", color=INK, markersize=6)
    above.plot(*best, "*", color=INK, markersize=13)
    above.grid(False)
    above.set(xlabel="first weight", ylabel="second weight", title=f"{EPOCHS} epochs at the same rate")
    label(above, paths[1][0, 0], paths[1][0, 1], "start", INK, dx=-8, ha="right")
    label(above, paths[ROWS][-1, 0], paths[ROWS][-1, 1], f"all {ROWS}: 6 steps", GREEN, dx=-4, dy=-14, ha="right")
    label(above, 1.2, 0.35, "batches of 32: 96 steps", BLUE, dx=4, dy=22)
    label(above, 2.35, -1.2, "single rows:\n3,072 steps", ORANGE, dx=0, dy=-26)
    for size, colour in SIZES.items():
        stride = 8 if size == 1 else 1
        seen = np.arange(len(excess[size])) * size / ROWS
        width, strength = (0.8, 0.6) if size == 1 else (2.0, 1.0)
        below.plot(seen[::stride], excess[size][::stride], color=colour, linewidth=width, alpha=strength,
                   marker="o" if size == ROWS else "", markersize=4)
    below.set(yscale="log", ylim=(1e-4, 20), xlabel="epochs", ylabel="loss above the least",
              title="The loss for the same work")
    plain(below.yaxis)
    label(below, 3, float(excess[ROWS][3]), "all rows", GREEN, dx=0, dy=12, ha="center")
    label(below, 2.2, 0.35, "single rows", ORANGE, dx=0)
    label(below, 4.6, 4e-4, "batches of 32", BLUE, dx=0, dy=-4)
    return figure
