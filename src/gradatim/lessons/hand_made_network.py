"""A network small enough for paper: forward, backward and one step, every number in sight.

Two inputs (2, 1), two ReLU units, one output, target 5, squared error, rate 0.001:
  o₁ = w₁x₁ + w₂x₂ + b₁ = 5    o₃ = max(0, o₁) = 5
  o₂ = w₃x₁ + w₄x₂ + b₂ = −8   o₄ = max(0, o₂) = 0
  o₅ = w₅o₃ + w₆o₄ + b₃ = −4   loss = (o₅ − 5)² = 81
Backward: dL/do₅ = 2(o₅ − 5) = −18; dL/dw₅ = −18·o₃ = −90; dL/do₃ = −18·w₅ = 36; ReLU lets it through, so dL/do₁ =
36 and dL/dw₁ = 36·x₁ = 72. Each weight then moves against its gradient.

What to notice: the lower unit is below zero, so everything that leads into it has gradient 0: it learns nothing
from this sample. w₆ learns nothing either: it multiplies a zero. The new w₅ is −2 + 0.001·90 = −1.91.
Figure: loss 81, dL/dw₁ = 72, new w₅ = −1.91, new w₁ = −0.072; after the whole step the loss is 65.92531.
"""

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from gradatim.autodiff.engine.activations import relu
from gradatim.autodiff.engine.tensor import Tensor
from gradatim.lessons.catalogue import Result
from gradatim.lessons.picture import BLUE, INK, MUTED, ORANGE, paper, plainly, style

INPUTS, TARGET, RATE = (2.0, 1.0), 5.0, 1e-3
START = {"w1": 0.0, "w2": 2.0, "b1": 3.0, "w3": -4.0, "w4": -1.0, "b2": 1.0, "w5": -2.0, "w6": 0.0, "b3": 6.0}
PLACES = {"x1": (0, 1), "x2": (0, -1), "o1": (1.25, 1), "o2": (1.25, -1), "o3": (2.3, 1), "o4": (2.3, -1),
          "o5": (3.6, 0)}


def forward(parameters: dict[str, Tensor]) -> dict[str, Tensor]:
    """Every intermediate value, and the loss, by name."""
    p, (x1, x2) = parameters, INPUTS
    o1 = p["w1"] * x1 + p["w2"] * x2 + p["b1"]
    o2 = p["w3"] * x1 + p["w4"] * x2 + p["b2"]
    o3, o4 = relu(o1), relu(o2)
    o5 = p["w5"] * o3 + p["w6"] * o4 + p["b3"]
    return {"o1": o1, "o2": o2, "o3": o3, "o4": o4, "o5": o5, "loss": (o5 - TARGET) ** 2}


def lesson(*, quick: bool = False) -> Result:
    """One forward, one backward, one step of every parameter; quick changes nothing."""
    parameters = {name: Tensor(value, requires_gradient=True, name=name) for name, value in START.items()}
    values = forward(parameters)
    values["loss"].backward()
    figures = {name: value.item() for name, value in values.items()}
    figures |= {f"dL/d{name}": slope(values[name]) for name in ("o5", "o3", "o1")}
    figures |= {f"dL/d{name}": slope(parameter) for name, parameter in parameters.items()}
    after = {name: Tensor(p.item() - RATE * slope(p)) for name, p in parameters.items()}
    figures |= {"new w5": after["w5"].item(), "new w1": after["w1"].item()}
    figures["loss after the step"] = forward(after)["loss"].item()
    text = (
        f"Loss {figures['loss']:g}; one step of all nine parameters brings it to {figures['loss after the step']:.5f}. "
        f"w5 goes to {figures['new w5']:g}, w1 to {figures['new w1']:g}."
    )
    return Result(figures, draw(parameters, values), text)


def slope(tensor: Tensor) -> float:
    """The gradient of a single number."""
    assert tensor.gradient is not None
    return float(tensor.gradient) + 0.0  # no −0


@style()
def draw(parameters: dict[str, Tensor], values: dict[str, Tensor]) -> Figure:
    """The network with values in blue and gradients in orange; grey where the gradient is 0."""
    figure = paper(5.8, 4.3)
    axes = figure.subplots()
    axes.set(xlim=(-0.35, 4.25), ylim=(-2.0, 2.0))
    axes.axis("off")
    edges = (("x1", "o1", "w1", 0.5), ("x2", "o1", "w2", 0.3), ("x1", "o2", "w3", 0.3), ("x2", "o2", "w4", 0.5),
             ("o1", "o3", None, 0.5), ("o2", "o4", None, 0.5), ("o3", "o5", "w5", 0.5), ("o4", "o5", "w6", 0.5))
    for source, target, name, share in edges:
        (x0, y0), (x1, y1) = PLACES[source], PLACES[target]
        alive = slope(parameters[name]) != 0 if name else slope(values[source]) != 0
        axes.annotate("", (x1, y1), (x0, y0), zorder=1, arrowprops={
            "arrowstyle": "-|>", "color": INK if alive else "#BBBBBB", "shrinkA": 15, "shrinkB": 15, "lw": 1.4})
        x, y = x0 + share * (x1 - x0), y0 + share * (y1 - y0)
        if name:
            write(axes, x, y + 0.11, f"{name} = {plainly(parameters[name].item())}", BLUE)
            write(axes, x, y - 0.11, plainly(slope(parameters[name])), ORANGE if alive else MUTED)
        else:
            write(axes, x, y, "ReLU", MUTED)
    for name, (x, y) in PLACES.items():
        value = values[name].item() if name in values else INPUTS[int(name[1]) - 1]
        axes.plot(x, y, "o", markersize=28, color="white", markeredgecolor=MUTED, zorder=2)
        axes.text(x, y, plainly(value), ha="center", va="center", color=BLUE, fontsize=12, weight="bold", zorder=3)
        axes.text(x, y + 0.36, name, ha="center", va="center", color=MUTED, fontsize=9.5)
        if name in values:
            found = slope(values[name])
            axes.text(x, y - 0.37, plainly(found), ha="center", va="center", weight="bold", fontsize=11,
                      color=ORANGE if found else MUTED)
    for name, (x, y) in {"b1": (1.25, 1.62), "b2": (1.25, -1.66), "b3": (3.6, 0.64)}.items():
        found = slope(parameters[name])
        write(axes, x, y, f"{name} = {plainly(parameters[name].item())}", BLUE)
        write(axes, x + 0.42, y, plainly(found), ORANGE if found else MUTED)
    axes.text(4.25, -0.85, "target 5\nloss 81", ha="right", va="center", fontsize=11)
    axes.text(-0.3, 1.9, "values forward", color=BLUE, va="center", fontsize=10.5)
    axes.text(4.25, 1.9, "gradients backward", color=ORANGE, ha="right", va="center", fontsize=10.5)
    axes.text(4.25, -1.85, "grey: gradient 0", color=MUTED, ha="right", va="center", fontsize=10)
    return figure


def write(axes: Axes, x: float, y: float, text: str, colour: str) -> None:
    """A small text on white."""
    axes.text(x, y, text, ha="center", va="center", color=colour, fontsize=9.5,
              bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.5}, zorder=2)
