"""An optimiser race: a ravine along the axes and the same ravine turned by an angle.

Across a ravine the ground is steep, along it nearly flat; a rate that the steep side bears is tiny for the flat
one, so plain descent zigzags. Momentum adds up what all steps agree on — the way along — and cancels the zigzag.
AdaGrad, RMSProp and Adam divide each coordinate by the size of its own past gradients: that scales the ravine away
— if it lies along the coordinates. Newton divides by the whole curvature and needs one step for any quadratic.

What to notice: turn the ground, and descent and momentum do the very same dance, turned. AdaGrad, which took a few
steps before, does not arrive in five hundred: its trick was about the axes, not about the ravine. Each runs at its
own best rate of 1, 2, 5 …; a race at one common rate compares the rate, not the rule.
Figure: AdaGrad arrives at step 4 on the straight ravine and not in 500 on the turned one; momentum at 123 on both.
"""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from gradatim.autodiff.race.race import Race, race
from gradatim.lessons.catalogue import Result
from gradatim.lessons.picture import BLUE, GREEN, MUTED, ORANGE, PURPLE, RULE, label, paper, plain, style

RATES = {"ravine": {"gradient-descent": 0.01, "momentum": 0.01, "adagrad": 10.0, "adam": 0.2, "newton": 1.0},
         "tilted-ravine": {"gradient-descent": 0.01, "momentum": 0.01, "adagrad": 2.0, "adam": 1.0, "newton": 1.0}}
COLOURS = {"gradient-descent": PURPLE, "momentum": BLUE, "adagrad": ORANGE, "adam": GREEN}
NAMES = {"gradient-descent": "descent", "momentum": "momentum", "adagrad": "AdaGrad", "adam": "Adam"}
TITLES = {"ravine": "along the axes", "tilted-ravine": "turned"}
STEPS = 500


def lesson(*, quick: bool = False) -> Result:
    """Four rules and Newton on two ravines, at the best rate of each; deterministic, so quick changes nothing."""
    races = {ground: race(ground, list(rates), learning_rate=rates, steps=STEPS) for ground, rates in RATES.items()}
    figures: dict[str, float] = {}
    for ground, done in races.items():
        for run in done.runs:
            where = ground.replace("-", " ")
            if run.verdict == "arrived" and run.steps is not None:
                figures[f"{run.name} on the {where}, steps"] = float(run.steps)
            else:
                figures[f"{run.name} on the {where}, distance after 500 steps"] = run.distance
    straight, turned = (races[ground]["momentum"].values for ground in TITLES)
    figures["largest difference of momentum's cost, turned or not"] = float(abs(straight - turned).max())
    text = "\n".join(
        f"{TITLES[ground]}: " + "; ".join(f"{run.name} {run.what_happened}" for run in done.runs)
        for ground, done in races.items()
    )
    return Result(figures, draw(races), text)


@style()
def draw(races: dict[str, Race]) -> Figure:
    """Left the paths, right the distance to the minimum, for both grounds."""
    figure = paper(5.8, 5.6)
    panels = figure.subplots(2, 2, width_ratios=(1.15, 1))
    for (left, right), (ground, done) in zip(panels, races.items()):
        contour(left, done)
        for name, colour in COLOURS.items():
            path = done[name].path
            left.plot(path[:, 0], path[:, 1], color=colour, linewidth=1.4)
            distance = np.linalg.norm(path - done.surface.minima[0], axis=1)
            right.plot(np.maximum(distance, 1e-12), color=colour, linewidth=1.6)
        left.plot(*done.start, "o", color=MUTED, markersize=5)
        left.plot(*done.surface.minima[0], "*", color=MUTED, markersize=10)
        left.set_title(f"The ravine {TITLES[ground]}")
        right.set(yscale="log", ylim=(1e-3, 30), xlim=(0, 300), title="Distance to the minimum")
        plain(right.yaxis)
        right.axhline(done.tolerance, color=MUTED, linewidth=0.8, linestyle=(0, (3, 3)))
    panels[1, 1].set_xlabel("step")
    legend(panels[0, 1])
    return figure


def contour(axes: Axes, done: Race) -> None:
    """Lines of equal height around all the paths."""
    points = np.concatenate([run.path for run in done.runs])
    (x0, y0), (x1, y1) = points.min(axis=0) - 1, points.max(axis=0) + 1
    x, y = np.linspace(x0, x1, 45), np.linspace(y0, y1, 45)
    heights = np.array([[done.surface.value(np.array([u, v])) for u in x] for v in y])
    axes.contour(x, y, np.log10(heights + 1e-3), levels=9, colors=RULE, linewidths=0.8)
    axes.set_aspect("equal", adjustable="datalim")
    axes.grid(False)


def legend(axes: Axes) -> None:
    """The names in their colours, in the free corner."""
    for row, (name, colour) in enumerate(COLOURS.items()):
        label(axes, 300, 0.2, NAMES[name], colour, dx=0, dy=-14 * row, ha="right")
