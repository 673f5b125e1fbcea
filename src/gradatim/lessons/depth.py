"""Fifty layers: how a start must be scaled so that signal and gradient live through them.

A layer y = Wx with weights of variance v multiplies the variance by n·v, forward and backward alike: one factor a
layer. A factor of 1.5 to the 50th is 638 million, 0.5 to the 50th under 10⁻¹⁵. Xavier's v = 2/(n_in + n_out) makes
the factor 1 where the activation is near the identity, as tanh is at 0. ReLU lets half of E[x²] through; Kaiming's
v = 2/n makes up for it.

What to notice: a hundred inputs with weights of deviation σ = 0.01 lose a factor 10 a layer under any activation.
Xavier holds tanh: its signal sinks slowly, like 1/√(2·layer) because tanh squashes a little, and its gradient
stays. Under ReLU Xavier loses a factor 2 of variance a layer, Kaiming
none. The gain 5/3 would hold tanh's signal up, but then
its gradient grows.
Figure: 1.5⁵⁰ = 6.376e8 and 0.5⁵⁰ = 8.88e-16; Xavier under ReLU keeps 2⁻²⁵ = 3.0e-8 of the deviation, Kaiming all.
"""

from collections.abc import Callable

import numpy as np
import torch
from matplotlib.figure import Figure

from gradatim.lessons.catalogue import Result
from gradatim.lessons.picture import BLUE, GREEN, MUTED, ORANGE, PURPLE, label, paper, plain, style
from gradatim.nn.init import TANH_GAIN, kaiming_normal_, small_normal_, xavier_normal_
from gradatim.randomness import seed_of

DEPTH = 50
ACTIVATIONS: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {"tanh": torch.tanh, "ReLU": torch.relu}
SCHEMES: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "normal 0.01": lambda weight: small_normal_(weight, deviation=0.01),
    "Xavier": xavier_normal_,
    "Xavier, gain 5/3": lambda weight: xavier_normal_(weight, gain=TANH_GAIN),
    "Kaiming": kaiming_normal_,
}
SHOWN = {
    "tanh": {"normal 0.01": ORANGE, "Xavier": BLUE, "Xavier, gain 5/3": PURPLE},
    "ReLU": {"normal 0.01": ORANGE, "Xavier": BLUE, "Kaiming": GREEN},
}


def lesson(*, quick: bool = False) -> Result:
    """Deviations of signal and gradient by layer for each pair of activation and scheme."""
    width, draws = 100, 2 if quick else 12
    spreads = {
        (name, scheme): through(ACTIVATIONS[name], SCHEMES[scheme], width, draws)
        for name, schemes in SHOWN.items() for scheme in schemes
    }
    factors = {factor: linear_gradient(factor) for factor in (1.5, 0.5)}
    figures = {"1.5^50": factors[1.5], "0.5^50": factors[0.5]}
    for (name, scheme), (signal, gradient) in spreads.items():
        figures[f"signal at layer 50, {name}, {scheme}"] = signal[-1]
        figures[f"gradient at layer 1 by that at layer 50, {name}, {scheme}"] = gradient[0] / gradient[-1]
    text = (
        f"At layer 50 the signal's deviation is {spreads['tanh', 'Xavier'][0][-1]:.2f} (tanh, Xavier), "
        f"{spreads['ReLU', 'Kaiming'][0][-1]:.2f} (ReLU, Kaiming), {spreads['ReLU', 'Xavier'][0][-1]:.1e} (ReLU, "
        f"Xavier), {spreads['tanh', 'normal 0.01'][0][-1]:.0e} (tanh, normal 0.01)."
    )
    return Result({name: float(value) for name, value in figures.items()}, draw(spreads), text)


def linear_gradient(factor: float) -> float:
    """dy/dx of fifty linear layers of one weight each, by back-propagation."""
    x = torch.tensor(1.0, dtype=torch.float64, requires_grad=True)
    y = x
    for _ in range(DEPTH):
        y = factor * y
    y.backward()
    assert x.grad is not None
    return x.grad.item()


def through(
    activation: Callable[[torch.Tensor], torch.Tensor], scheme: Callable[[torch.Tensor], torch.Tensor], width: int,
    draws: int,
) -> tuple[np.ndarray, np.ndarray]:
    """Root mean squares of activations and of their gradients by layer, over a few networks, in float64."""
    squares = np.zeros((2, DEPTH))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed_of(0, "depth"))
        for _ in range(draws):
            x, kept = torch.randn(64, width, dtype=torch.float64, requires_grad=True), []
            for _ in range(DEPTH):
                x = activation(x @ scheme(torch.empty(width, width, dtype=torch.float64)).T)
                x.retain_grad()
                kept.append(x)
            x.backward(torch.randn_like(x))
            for layer, at in enumerate(kept):
                assert at.grad is not None
                squares[:, layer] += (at.detach() ** 2).mean().item() / draws, (at.grad**2).mean().item() / draws
    signal, gradient = np.sqrt(squares)
    return signal, gradient


@style()
def draw(spreads: dict[tuple[str, str], tuple[np.ndarray, np.ndarray]]) -> Figure:
    """Left tanh, right ReLU; above the signal forward, below the gradient backward."""
    figure = paper(5.8, 5.8)
    panels = figure.subplots(2, 2, sharex=True, sharey=True)
    layers = np.arange(1, DEPTH + 1)
    for column, (name, schemes) in enumerate(SHOWN.items()):
        for row, what in enumerate(("signal, forward →", "gradient, ← backward")):
            axes = panels[row, column]
            for scheme, colour in schemes.items():
                axes.plot(layers, spreads[name, scheme][row], color=colour)
                above = scheme in ("Kaiming", "Xavier, gain 5/3")
                place, dy = (30, 11 if above else -11) if scheme != "normal 0.01" else (8, 0) if row == 0 else (43, 0)
                side = "left" if scheme == "normal 0.01" and row == 0 else "right" if dy == 0 else "center"
                text = "gain 5/3" if above and name == "tanh" else scheme.replace("normal", "σ =")
                height = max(spreads[name, scheme][row][place - 1], 2e-9)
                label(axes, place, height, text, colour, dx={"left": 5, "right": -5}.get(side, 0), dy=dy, ha=side)
            axes.axhline(1, color=MUTED, linewidth=0.8, linestyle=(0, (3, 3)))
            axes.set(yscale="log", ylim=(1e-10, 1e4), xlim=(1, DEPTH), xticks=[1, 10, 20, 30, 40, 50])
            axes.set_title(f"{name}: {what}", fontsize=10.5)
            plain(axes.yaxis)
    for axes in panels[1]:
        axes.set_xlabel("layer")
    for axes in panels[:, 0]:
        axes.set_ylabel("root mean square")
    return figure
