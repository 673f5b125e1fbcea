"""An endless supply: when every batch is new, there is nothing to learn by heart.

A net is trained twice for the same number of steps with batches of fifteen noisy points of a curve: once on the
same fifteen points each time, once on fresh ones from a generator that never ends. The error on noisy new points
can never fall below the variance of the noise, here 0.09, because nobody can foretell noise.

What to notice: the fixed set's own error sinks below the noise — the net is learning the noise of those fifteen
points — while on new points it falls and then rises again. With fresh batches the error seen in training and the
error on new points are one and the same, and go down to the noise. So noise in an endless supply does no harm but
to make learning slower.
Figure: error above the noise on new points: about 0.09 after the fixed set, 0.008 after the endless supply.
"""

from collections.abc import Iterator
from itertools import islice, repeat

import numpy as np
from matplotlib.figure import Figure

from gradatim.autodiff.engine.activations import tanh
from gradatim.autodiff.engine.layers import Dense, Sequential
from gradatim.autodiff.engine.losses import squared_error
from gradatim.autodiff.engine.tensor import Tensor, without_gradient
from gradatim.autodiff.engine.training import train
from gradatim.autodiff.expressiveness import endless_samples
from gradatim.lessons.catalogue import Result
from gradatim.lessons.picture import BLUE, MUTED, ORANGE, label, paper, plain, style

NOISE, BATCH, BLOCK = 0.3, 15, 50
Batches = Iterator[tuple[np.ndarray, np.ndarray]]


def curve(x: np.ndarray) -> np.ndarray:
    """What is under the noise."""
    return np.asarray(np.sin(2 * x) + 0.5 * x)


def lesson(*, quick: bool = False) -> Result:
    """The same net from both supplies (a fifth of the steps when quick)."""
    blocks = 12 if quick else 60
    endless = endless_samples(curve, -2, 2, batch_size=BATCH, noise=NOISE, key="endless")
    fixed = next(endless_samples(curve, -2, 2, batch_size=BATCH, noise=NOISE, key="fixed"))
    once, once_new = learn(repeat(fixed), blocks)
    _, fresh_new = learn(endless, blocks)
    figures = {
        "variance of the noise": NOISE**2,
        "error on the fifteen points, fixed": once[-1],
        "error on new points, fixed": once_new[-1],
        "error on new points, endless": fresh_new[-1],
        "error above the noise, fixed": once_new[-1] - NOISE**2,
        "error above the noise, endless": fresh_new[-1] - NOISE**2,
    }
    text = (
        f"After {blocks * BLOCK:,} steps: on the fifteen points {once[-1]:.3f}, on new points {once_new[-1]:.3f}; from "
        f"the endless supply {fresh_new[-1]:.3f}, of which {NOISE**2:.2f} is noise."
    )
    return Result({name: float(value) for name, value in figures.items()}, draw(once, once_new, fresh_new), text)


def learn(batches: Batches, blocks: int) -> tuple[np.ndarray, np.ndarray]:
    """Errors after each block of steps: on the batches it was given, and expected on new points."""
    network = Sequential(
        Dense(1, 40, gain=2.0, dtype=np.float64, seed=1), tanh,
        Dense(40, 40, gain=1.0, dtype=np.float64, seed=2), tanh, Dense(40, 1, gain=1.0, dtype=np.float64, seed=3),
    )
    x = np.linspace(-2, 2, 400)
    seen, new = [], []

    def loss(inputs: np.ndarray, targets: np.ndarray) -> Tensor:
        return squared_error(network(Tensor(inputs[:, None]))[:, 0], targets)

    for _ in range(blocks):
        losses = train(network, loss, islice(batches, BLOCK), learning_rate=0.001)
        seen.append(float(np.mean(losses[-20:])))
        with without_gradient():
            new.append(NOISE**2 + loss(x, curve(x)).item())
    return np.array(seen), np.array(new)


@style()
def draw(once: np.ndarray, once_new: np.ndarray, fresh_new: np.ndarray) -> Figure:
    """Errors by step."""
    figure = paper(5.6, 4.2)
    axes = figure.subplots()
    steps = BLOCK * np.arange(1, len(once) + 1)
    axes.axhline(NOISE**2, color=MUTED, linewidth=1, linestyle=(0, (4, 3)))
    axes.plot(steps, once, color=ORANGE, linestyle=(0, (3, 2)))
    axes.plot(steps, once_new, color=ORANGE)
    axes.plot(steps, fresh_new, color=BLUE)
    axes.set(yscale="log", ylim=(0.02, 0.4), xlabel="step", ylabel="squared error",
             title="Fifteen points again and again, or new ones")
    axes.set_yticks([0.03, 0.1, 0.3])
    plain(axes.yaxis)
    end = steps[-1]
    label(axes, end, once_new[-1], "fixed set, on new points", ORANGE, dx=0, dy=14, ha="right")
    label(axes, end, once[-1], "fixed set, on itself", ORANGE, dx=0, dy=-12, ha="right")
    label(axes, end, fresh_new[-1], "endless, on new points", BLUE, dx=0, dy=10, ha="right")
    label(axes, steps[0], NOISE**2, "the noise", MUTED, dx=0, dy=-9)
    return figure
