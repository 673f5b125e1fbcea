"""Universal approximation: any curve from bumps, built by hand and learnt.

A steep sigmoid is a step; a step up and a step down are a bump; bumps of the right heights side by side are any
continuous curve. Two hidden units a bump, no training: the weight k sets the steepness, −k·edge the place, ± the
height the sign. Where the curve has slope at most L, bumps of width w miss it by at most L·w, so twice the units
halve the error. Training the same two layers moves the steps where the curve needs them and softens them.

What to notice: by hand the error falls like 1/units, as the bound says. Four trained units do better than
sixty-four by hand; but nothing promises that training finds the best net of its width, and from sixteen units on it
gains no more.
Figure: with 64 units the largest error by hand is 0.119, under the bound of 0.3007.
"""

import numpy as np
from matplotlib.figure import Figure

from gradatim.autodiff.engine.activations import sigmoid
from gradatim.autodiff.engine.layers import Dense, Sequential
from gradatim.autodiff.engine.losses import squared_error
from gradatim.autodiff.engine.tensor import Tensor, without_gradient
from gradatim.autodiff.engine.training import train
from gradatim.autodiff.expressiveness import bump_network
from gradatim.lessons.catalogue import Result
from gradatim.lessons.picture import BLUE, INK, MUTED, ORANGE, label, paper, plain, style

WIDTHS = (4, 8, 16, 32, 64)
X = np.linspace(0.0, 1.0, 401)


def curve(x: np.ndarray) -> np.ndarray:
    """What is to be approximated."""
    return np.asarray(0.5 * np.sin(9 * x) + 0.8 * x + 0.25 * np.cos(22 * x))


def lesson(*, quick: bool = False) -> Result:
    """Largest errors by number of hidden units, by hand and trained (a tenth of the steps when quick)."""
    steps = 300 if quick else 3000
    hand = {units: bump_network(curve, 0.0, 1.0, bumps=units // 2) for units in WIDTHS}
    learnt = {units: trained(units, steps) for units in WIDTHS}
    fine = np.linspace(0, 1, 20001)
    slope = float(abs(np.gradient(curve(fine), fine)).max())
    errors = {units: float(abs(net(X) - curve(X)).max()) for units, net in hand.items()}
    learnt_errors = {units: float(abs(values - curve(X)).max()) for units, values in learnt.items()}
    figures = {
        "largest slope of the curve": slope,
        **{f"largest error by hand, {units} units": error for units, error in errors.items()},
        **{f"bound by hand, {units} units": slope * 2 / units for units in WIDTHS},
        **{f"largest error trained, {units} units": error for units, error in learnt_errors.items()},
    }
    text = (
        f"By hand {errors[4]:.2f} with 4 units and {errors[64]:.2f} with 64; trained, 16 units err by "
        f"{learnt_errors[16]:.3f} at most."
    )
    return Result(figures, draw(hand[16](X), learnt[16], errors, learnt_errors, slope), text)


def trained(units: int, steps: int) -> np.ndarray:
    """What a net of as many sigmoid units says on X after full-batch Adam; its steps start spread over the interval."""
    first, last = Dense(1, units, dtype=np.float64, seed=1), Dense(units, 1, dtype=np.float64, seed=2)
    centres = (np.arange(units) + 0.5) / units
    first.weight.value = np.full((1, units), 20.0) * np.where(np.arange(units) % 2, 1.0, -1.0)
    first.bias.value = -first.weight.value[0] * centres
    network = Sequential(first, sigmoid, last)
    inputs, targets = X[::2, None], curve(X[::2, None])

    def loss(x: np.ndarray, y: np.ndarray) -> Tensor:
        return squared_error(network(Tensor(x)), y)

    for rate in (0.1, 0.03, 0.01):
        train(network, loss, [(inputs, targets)] * (steps // 3), learning_rate=rate)
    with without_gradient():
        return network(Tensor(X[:, None])).value[:, 0]


@style()
def draw(hand: np.ndarray, learnt: np.ndarray, errors: dict, learnt_errors: dict, slope: float) -> Figure:
    """Above: sixteen units by hand and trained; below: the error by width."""
    figure = paper(5.6, 6.6)
    above, below = figure.subplots(2, 1)
    above.plot(X, curve(X), color=INK, linewidth=4, alpha=0.25)
    above.plot(X, hand, color=ORANGE, linewidth=1.6)
    above.plot(X, learnt, color=BLUE, linewidth=1.6)
    above.set(xlabel="x", ylabel="y", title="One curve (grey), sixteen sigmoid units")
    label(above, 0.83, -0.02, "eight bumps\nby hand", ORANGE, dx=0, dy=0)
    label(above, 0.36, 0.75, "trained", BLUE, dx=0, dy=0)
    units = np.array([3.0, 80.0])
    below.plot(units, slope * 2 / units, color=MUTED, linewidth=1, linestyle=(0, (4, 3)))
    below.plot(list(errors), list(errors.values()), "o-", color=ORANGE, markersize=5)
    below.plot(list(learnt_errors), list(learnt_errors.values()), "o-", color=BLUE, markersize=5)
    below.set(xscale="log", yscale="log", xlabel="hidden units", ylabel="largest error", title="The error by width",
              ylim=(0.003, 12), xlim=(2.8, 90))
    below.set_xticks(WIDTHS)
    below.set_xticks([], minor=True)
    plain(below.xaxis)
    plain(below.yaxis)
    label(below, 16, slope * 2 / 16, "bound: slope × bump width", MUTED, dx=4, dy=10)
    label(below, 8, errors[8], "by hand", ORANGE, dx=-2, dy=-14, ha="right")
    label(below, 16, learnt_errors[16], "trained", BLUE, dx=-6, dy=-12, ha="right")
    return figure
