"""Batch normalisation: every feature to mean 0 and variance 1, and a way back if that was wrong.

For each feature over the batch, μ and σ² are its mean and variance:
  x̂ = (x − μ)/√(σ² + ε),   y = γ·x̂ + β,   γ and β learned like weights.
With γ = √(σ² + ε) and β = μ the two lines undo each other: y = x. So nothing is lost by normalising — the net can
learn to have it not — and from γ = 1, β = 0 each layer starts at a sound scale whatever its weights. Outside
training a row must not depend on its neighbours: there μ and σ² are running averages from training.

What to notice: above, the values of one feature before, after, and after the way back, which lies exactly on the
first. Below, fifty layers whose weights are ten times too small: the signal dies without, and stays at one with it.
Figure: the way back differs by less than 1e-12; at layer 50 the signal is 1e-50 without and 1.00 with
normalisation.
"""

import numpy as np
from matplotlib.figure import Figure

from gradatim.autodiff.engine.activations import tanh
from gradatim.autodiff.engine.layers import BatchNormalisation, normal
from gradatim.autodiff.engine.tensor import Tensor, without_gradient
from gradatim.lessons.catalogue import Result
from gradatim.lessons.picture import BLUE, GREEN, MUTED, ORANGE, label, paper, plain, style
from gradatim.randomness import generator

WIDTH, DEPTH = 100, 50


def lesson(*, quick: bool = False) -> Result:
    """One feature there and back, then fifty layers without and with normalisation; quick changes nothing."""
    x = generator(0, "batch-norm").gamma(6.0, 1.2, (400, 1)) + 2.0
    layer = BatchNormalisation(1, dtype=np.float64)
    normalised = layer(Tensor(x)).value
    mean, variance = x.mean(), x.var()
    layer.scale.value, layer.shift.value = np.sqrt([variance + layer.epsilon]), np.array([mean])
    back = layer(Tensor(x)).value
    signals = {name: through(normalise=name == "with") for name in ("without", "with")}
    figures = {
        "mean before": mean,
        "deviation before": np.sqrt(variance),
        "mean after": normalised.mean(),
        "deviation after": normalised.std(),
        "largest difference on the way back": abs(back - x).max(),
        "signal at layer 50 without": signals["without"][-1],
        "signal at layer 50 with": signals["with"][-1],
    }
    text = (
        f"Mean {mean:.2f} and deviation {np.sqrt(variance):.2f} become 0 and 1; γ = √(σ² + ε), β = μ bring all "
        f"numbers back. Fifty layers of too small weights leave {signals['without'][-1]:.0e} of the signal without "
        f"normalisation, {signals['with'][-1]:.2f} with it."
    )
    drawn = draw(x[:, 0], normalised[:, 0], back[:, 0], signals)
    return Result({name: float(value) for name, value in figures.items()}, drawn, text)


def through(*, normalise: bool) -> list[float]:
    """Root mean square before each tanh, through layers whose weights are a tenth of what they should be."""
    signal, found = Tensor(generator(1, "batch-norm").standard_normal((200, WIDTH))), []
    with without_gradient():
        for number in range(DEPTH):
            signal = signal @ normal((WIDTH, WIDTH), 0.1 / np.sqrt(WIDTH), np.float64, number)
            if normalise:
                # ε is meant for features of ordinary size; a signal of a tenth would be shrunk a little by it
                signal = BatchNormalisation(WIDTH, epsilon=1e-12, dtype=np.float64)(signal)
            found.append(float(np.sqrt((signal.value**2).mean())))
            signal = tanh(signal)
    return found


@style()
def draw(x: np.ndarray, normalised: np.ndarray, back: np.ndarray, signals: dict[str, list[float]]) -> Figure:
    """Above: one feature on its way; below: the signal through depth."""
    figure = paper(5.6, 6.0)
    above, below = figure.subplots(2, 1)
    bins = np.linspace(-4, 22, 66)
    above.hist(normalised, bins, color=BLUE, alpha=0.7)
    above.hist(x, bins, color=ORANGE, alpha=0.45)
    above.hist(back, bins, histtype="step", color=GREEN, linewidth=1.8)
    label(above, 1.2, 62, "normalised:\nmean 0, deviation 1", BLUE, dx=4)
    label(above, 11.0, 34, "before (filled), after\nthe way back (outline)", ORANGE, dx=8)
    above.set(xlabel="value of the feature", ylabel="rows", title="One feature: there and back")
    layers = np.arange(1, DEPTH + 1)
    below.plot(layers, signals["without"], color=ORANGE)
    below.plot(layers, signals["with"], color=BLUE)
    below.axhline(1, color=MUTED, linewidth=0.8, linestyle=(0, (3, 3)))
    below.set(yscale="log", ylim=(1e-52, 1e6), xlabel="layer", ylabel="root mean square",
              title="Fifty layers, weights ten times too small")
    plain(below.yaxis)
    label(below, 30, 1.0, "with batch normalisation", BLUE, dx=0, dy=-12, ha="center")
    label(below, 28, signals["without"][27], "without", ORANGE, dx=-4, dy=-10, ha="right")
    return figure
