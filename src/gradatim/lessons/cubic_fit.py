"""A cubic fitted by descent: where it starts hardly matters, how far it steps decides.

The curve y = w₁x³ + w₂x² + w₃x + w₄ is linear in w, so the cost L(w) = Σ (curve − y)² is one bowl with one lowest
point. Its gradient is 2Xᵀ(Xw − y), with the powers of x as the columns of X. A step of rate η multiplies the
distance to that point by 1 − 2ηλ along each axis of the bowl, λ an eigenvalue of XᵀX: it shrinks while η < 1/λ for
the largest λ, and grows from there on.

What to notice: four starts, among them one with an x³ of −40, end on the same curve. The rate 2e-5 creeps, 7.5e-4
is near the limit and still sound; twice that rate diverges, and the descent says so instead of printing
not-a-number.
Figure: the limit of the rate is 9.20e-4; all four starts end within 1e-6 of the least-squares cubic.
"""

import numpy as np
from matplotlib.figure import Figure

from gradatim.lessons.catalogue import Result
from gradatim.lessons.picture import BLUE, GOLD, GREEN, INK, MUTED, ORANGE, PURPLE, label, paper, plain, style
from gradatim.randomness import generator

STARTS = {"−9, 2, 1, 30": (-9, 2, 1, 30), "−9, 2, 1, −20": (-9, 2, 1, -20), "−40, 0, 0, 0": (-40, 0, 0, 0),
          "0, 0, 0, 0": (0, 0, 0, 0)}
SLOW, SOUND = 2e-5, 7.5e-4


def samples() -> tuple[np.ndarray, np.ndarray]:
    """A hundred noisy points of 4x³ − 3x² − 8x + 5 on [−2, 2]."""
    x = np.linspace(-2.0, 2.0, 100)
    return x, 4 * x**3 - 3 * x**2 - 8 * x + 5 + 3.0 * generator(0, "cubic").standard_normal(100)


def lesson(*, quick: bool = False) -> Result:
    """The four starts at the sound rate; from zero at both rates and at twice the sound one."""
    x, y = samples()
    design = np.vander(x, 4)
    best = np.linalg.lstsq(design, y, rcond=None)[0]
    limit = 1.0 / np.linalg.eigvalsh(design.T @ design)[-1]
    runs = {name: descend(design, y, start, SOUND, 1000) for name, start in STARTS.items()}
    slow = descend(design, y, (0, 0, 0, 0), SLOW, 1000)
    wild = descend(design, y, (0, 0, 0, 0), 2 * SOUND, 1000)
    floor = loss(design, y, best)
    figures = {
        "limit of the rate": limit,
        "least loss": floor,
        "largest distance of the four ends from least squares": max(abs(run[0] - best).max() for run in runs.values()),
        "loss from 0 after 1000 steps at 2e-5": slow[1][-1],
        "loss from 0 after 1000 steps at 7.5e-4": runs["0, 0, 0, 0"][1][-1],
        "step at which 1.5e-3 is called diverging": len(wild[1]) - 1,
    }
    text = (
        f"The rate must stay under 1/λ = {limit:.2e}. {runs['0, 0, 0, 0'][2]} {slow[2]} {wild[2]}"
    )
    return Result({name: float(value) for name, value in figures.items()}, draw(x, y, best, runs, slow, wild), text)


def loss(design: np.ndarray, y: np.ndarray, weights: np.ndarray) -> float:
    """The sum of squares."""
    return float(((design @ weights - y) ** 2).sum())


def descend(
    design: np.ndarray, y: np.ndarray, start: tuple[int, ...], rate: float, steps: int
) -> tuple[np.ndarray, list[float], str]:
    """Where descent ends, the loss at each step, and what is to be said of it.

    It diverges when the loss has grown ten times over its start: on a bowl, a sound rate never raises it at all.
    """
    weights = np.array(start, dtype=np.float64)
    losses = [loss(design, y, weights)]
    for step in range(1, steps + 1):
        weights = weights - rate * 2 * design.T @ (design @ weights - y)
        losses.append(loss(design, y, weights))
        if losses[-1] > 10 * losses[0]:
            return weights, losses, f"Rate {rate:g} diverges: ten times the first loss at step {step}; lower the rate."
    return weights, losses, f"Rate {rate:g}: loss {losses[-1]:.1f} after {steps} steps."


@style()
def draw(x: np.ndarray, y: np.ndarray, best: np.ndarray, runs: dict, slow: tuple, wild: tuple) -> Figure:
    """Above: the starts and the one end; below: the loss by rate."""
    figure = paper(5.6, 6.8)
    above, below = figure.subplots(2, 1)
    above.plot(x, y, "o", color=MUTED, markersize=3, alpha=0.6)
    places = {"−9, 2, 1, 30": (PURPLE, 0.0, 10), "−9, 2, 1, −20": (GOLD, 0.0, -10), "−40, 0, 0, 0": (GREEN, 1.52, 0),
              "0, 0, 0, 0": (BLUE, -1.7, 9)}
    for (name, start), (colour, place, rise) in zip(STARTS.items(), places.values()):
        curve = np.vander(x, 4) @ np.array(start, dtype=np.float64)
        above.plot(x, curve, color=colour, linewidth=1.5, linestyle=(0, (4, 2)))
        height = -58.0 if colour == GREEN else float(np.polyval(start, place))
        label(above, place, height, name, colour, dx=0, dy=rise, ha="center")
    above.plot(x, np.vander(x, 4) @ best, color=INK, linewidth=2.5)
    label(above, 1.25, float(np.polyval(best, 1.25)), "all four end here", INK, dx=0, dy=-13, ha="center")
    above.set(xlabel="x", ylabel="y", ylim=(-75, 75), title="Four starts w (dashed), one end")
    below.plot(slow[1], color=GOLD)
    below.plot(runs["0, 0, 0, 0"][1], color=BLUE)
    below.plot(wild[1], color=ORANGE)
    below.set(xscale="symlog", yscale="log", xlabel="step", ylabel="loss", title="From zero, three learning rates")
    below.set_xticks([0, 1, 10, 100, 1000], ["0", "1", "10", "100", "1,000"])
    below.set_xlim(0, 1000)
    plain(below.yaxis)
    label(below, 200, slow[1][200], "2e-5: creeps", GOLD, dx=0, dy=12)
    label(below, 25, runs["0, 0, 0, 0"][1][25], "7.5e-4: sound", BLUE, dx=-8, dy=-8, ha="right")
    label(below, len(wild[1]) - 1, wild[1][-1], "1.5e-3: diverges, stopped", ORANGE)
    return figure
