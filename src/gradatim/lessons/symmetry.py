"""Zero initialisation: units that start alike stay alike.

In a layer h = tanh(Wx), unit j receives the gradient ∂L/∂wⱼ = Σ ∂L/∂hⱼ · (1 − hⱼ²) · x. If two units have the same
incoming and the same outgoing weights, their h and ∂L/∂h agree, so their gradients agree, so they are the same
after the step — and after every step. A hundred such units are one unit. With all weights zero it is worse: ∂L/∂hⱼ
is the outgoing weight, zero, and the weights never move at all. Biases may start at zero: they break no symmetry,
and random weights already did.

What to notice: the columns of the weight matrix, one a unit. From zeros they stand still, from equal constants they
move as one, from small random numbers they part, and only then the layer can fit what one unit cannot.
Figure: largest difference between columns after training: 0 from zeros, 0 from equal constants, 1.35 from random
numbers.
"""

import numpy as np
import torch
from matplotlib.figure import Figure

from gradatim.lessons.catalogue import Result
from gradatim.lessons.picture import BLUE, GREEN, ORANGE, PURPLE, paper, style
from gradatim.nn.init import small_normal_, zero_
from gradatim.randomness import generator, seed_of

UNITS, STEPS = 4, 800
STARTS = ("zeros", "equal constants", "small random")


def lesson(*, quick: bool = False) -> Result:
    """Train the same net of one hidden layer from three starts."""
    x = torch.from_numpy(generator(0, "symmetry").uniform(-1.5, 1.5, (60, 2)))
    y = x[:, :1] * x[:, 1:] + x[:, :1]
    paths, losses = {}, {}
    for start in STARTS:
        paths[start], losses[start] = train(start, x, y)
    spread = {start: float((path[-1].max(axis=0) - path[-1].min(axis=0)).max()) for start, path in paths.items()}
    figures = {
        **{f"largest difference between columns, {start}": spread[start] for start in STARTS},
        **{f"loss, {start}": losses[start] for start in STARTS},
        "movement of the weights, zeros": float(abs(paths["zeros"] - paths["zeros"][0]).max()),
    }
    text = (
        f"From zeros nothing moves; from equal constants {UNITS} units are one (loss {losses['equal constants']:.3f}); "
        f"from small random numbers they part (loss {losses['small random']:.4f})."
    )
    return Result(figures, draw(paths), text)


def start_from(weight: torch.Tensor, start: str, number: int) -> None:
    """One weight matrix in place."""
    if start == "zeros":
        zero_(weight)
    elif start == "equal constants":
        with torch.no_grad():
            weight.fill_(0.3)
    else:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed_of(0, "symmetry", number))
            small_normal_(weight, deviation=0.3)


def train(start: str, x: torch.Tensor, y: torch.Tensor) -> tuple[np.ndarray, float]:
    """The hidden weights at each step, (steps, units, 2), and the loss at the end."""
    hidden, out = torch.nn.Linear(2, UNITS, dtype=torch.float64), torch.nn.Linear(UNITS, 1, dtype=torch.float64)
    for number, layer in enumerate((hidden, out)):
        start_from(layer.weight, start, number)
        zero_(layer.bias)
    optimizer = torch.optim.SGD([*hidden.parameters(), *out.parameters()], lr=0.05, momentum=0.9)
    path = []
    for _ in range(STEPS):
        path.append(hidden.weight.detach().numpy().copy())
        optimizer.zero_grad()
        loss = torch.nn.functional.mse_loss(out(torch.tanh(hidden(x))), y)
        loss.backward()
        optimizer.step()
    return np.array(path), loss.item()


@style()
def draw(paths: dict[str, np.ndarray]) -> Figure:
    """Each unit as the point of its two weights, from its start (ring) to its end (dot)."""
    figure = paper(5.6, 2.7)
    panels = figure.subplots(1, 3, sharex=True, sharey=True)
    texts = {"zeros": "nothing moves", "equal constants": "four move as one", "small random": "four go their ways"}
    for axes, (start, path) in zip(panels, paths.items()):
        for unit, colour in zip(range(UNITS), (ORANGE, GREEN, PURPLE, BLUE)):
            axes.plot(path[:, unit, 0], path[:, unit, 1], color=colour, linewidth=1.6)
            axes.plot(*path[0, unit], "o", color="white", markeredgecolor=colour, markersize=6)
            axes.plot(*path[-1, unit], "o", color=colour, markersize=6)
        axes.set_title(f"{start}:\n{texts[start]}", fontsize=10)
        axes.set(xlabel="first weight")
    panels[0].set(ylabel="second weight")
    return figure
