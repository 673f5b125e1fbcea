"""Learning-rate schedules: large steps first, small ones when it matters.

Far from a minimum a large rate travels; near it the noise of mini-batches keeps the weights dancing at a distance
that grows with the rate, so the rate must fall. The formulas say how, as a factor f(t) on the first rate; a warm-up
rises first, because the earliest gradients are the wildest. And when N times as many rows make a step, there are N
times fewer steps: the mean gradient is about the same, so batch ×N asks for rate ×N, as long as N small steps
nearly follow one straight line.

What to notice: step decay jumps, 1/√t never really stops, cosine stays high long and lands softly, warm-up and
one-cycle begin low. Where the line falls fast early, a bad start is frozen in.
Figure: half way, cosine and linear are at 0.5; batch 128 → 512 takes the rate 0.1 to 0.4.
"""

import numpy as np
from matplotlib.figure import Figure

from gradatim.lessons.catalogue import Result
from gradatim.lessons.picture import BLUE, MUTED, paper, style
from gradatim.randomness import generator
from gradatim.train.schedule import make_schedule, scale_learning_rate

TOTAL = 100
DRAWN: tuple[tuple[str, str, int, dict[str, float]], ...] = (
    ("step", "step: ½ every 25", 0, {"every": 25}), ("exponential", "exponential: e⁻ᵏᵗ", 0, {"rate": 0.04}),
    ("1/t", "1/(1 + kt)", 0, {"rate": 0.1}), ("1/sqrt(t)", "1/√(1 + kt)", 0, {"rate": 0.1}),
    ("linear", "linear: 1 − t/T", 0, {}), ("cosine", "cosine: ½(1 + cos πt/T)", 0, {}),
    ("cosine", "warm-up, then cosine", 15, {}), ("one-cycle", "one cycle", 0, {}),
)


def lesson(*, quick: bool = False) -> Result:
    """Every schedule of the library half way and at the end, and the rule for batches; quick changes nothing."""
    figures: dict[str, float] = {}
    for name, _, warmup, options in DRAWN:
        schedule = make_schedule(name, TOTAL, warmup=warmup, options=options)
        title = f"{name}, warm-up {warmup}" if warmup else name
        figures[f"{title}, half way"] = schedule(TOTAL // 2)
        figures[f"{title}, last step"] = schedule(TOTAL - 1)
    figures["rate for batch 512, from 0.1 at 128"] = scale_learning_rate(0.1, 128, 512)
    for rate in (0.001, 0.1):
        figures[f"four steps against one of four times the rate, rate {rate}"] = drift(rate)
    text = (
        "Batch 128 → 512 takes the rate 0.1 to 0.4. Four steps at a small rate and one step at four times the rate, "
        f"same rows, end {drift(0.001):.1%} of the way apart at rate 0.001 and {drift(0.1):.0%} at rate 0.1: the "
        "rule holds for small steps."
    )
    return Result(figures, draw(), text)


def drift(rate: float) -> float:
    """Four SGD steps on 128 rows each, against one step on all 512 at 4 × rate: their distance by the way made."""
    random = generator(0, "batches")
    x = random.standard_normal((512, 5))
    y = x @ np.arange(1.0, 6.0) + random.standard_normal(512)
    many, one = np.zeros(5), np.zeros(5)
    for rows in np.split(np.arange(512), 4):
        many = many - rate * 2 * x[rows].T @ (x[rows] @ many - y[rows]) / 128
    one = one - scale_learning_rate(rate, 128, 512) * 2 * x.T @ (x @ one - y) / 512
    return float(np.linalg.norm(many - one) / np.linalg.norm(many))


@style()
def draw() -> Figure:
    """Small multiples: one schedule each, all on the same axes."""
    figure = paper(5.6, 6.4)
    panels = figure.subplots(4, 2, sharex=True, sharey=True)
    steps = np.arange(0, TOTAL + 1, 2)
    for axes, (name, title, warmup, options) in zip(panels.ravel(), DRAWN):
        schedule = make_schedule(name, TOTAL, warmup=warmup, options=options)
        factors = [schedule(int(step)) for step in steps]
        axes.plot(steps, factors, color=BLUE, drawstyle="steps-post" if name == "step" else "default")
        axes.set(xlim=(0, TOTAL), ylim=(0, 1.05), yticks=[0, 0.5, 1], xticks=[0, 50, 100])
        axes.set_title(title, fontsize=10.5)
        axes.axvline(warmup, color=MUTED, linewidth=0.8 if warmup else 0, linestyle=(0, (3, 3)))
    for axes in panels[-1]:
        axes.set_xlabel("step")
    figure.supylabel("factor on the learning rate", color=MUTED, fontsize=10.5)
    return figure
