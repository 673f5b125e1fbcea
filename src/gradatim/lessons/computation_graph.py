"""The computation graph: forward for the value, backward for every derivative at once.

J = 3(a + bc) is three small steps: p = bc, s = a + p, J = 3s. Each step knows its own derivatives: ∂J/∂s = 3, ∂s/∂a
= ∂s/∂p = 1, ∂p/∂b = c, ∂p/∂c = b. The chain rule multiplies along a path from J back to an input, and adds where
paths meet. Walking backward once, each node receives dJ/dnode and hands each of its inputs that times one local
derivative — so one sweep gives all three, where nudging the inputs one by one would take three evaluations.

What to notice: a plus hands its gradient on unchanged; a product hands each factor the gradient times the other
factor. That is why dJ/db is 3·c and dJ/dc is 3·b.
Figure: J = 33 and da = 3, db = 6, dc = 9; for f = (x + y)z at (−2, 5, −4): f = −12 and −4, −4, 3.
"""

from matplotlib.figure import Figure

from gradatim.autodiff.engine.tensor import Tensor, topological_order
from gradatim.lessons.catalogue import Result
from gradatim.lessons.picture import BLUE, INK, MUTED, ORANGE, RULE, paper, style

# Where each node is drawn: depth from the left, height
PLACES = {"b": (0.0, 0.35), "c": (0.0, -1.05), "a": (1.15, 1.2), "p = b·c": (1.15, -0.35), "s = a + p": (2.3, 0.42),
          "J = 3·s": (3.45, 0.42)}


def lesson(*, quick: bool = False) -> Result:
    """Both examples by the engine, and by nudging; quick changes nothing."""
    a, b, c = (Tensor(value, requires_gradient=True, name=name) for name, value in (("a", 5.0), ("b", 3.0), ("c", 2.0)))
    p = b * c
    p.name = "p = b·c"
    s = a + p
    s.name = "s = a + p"
    J = 3 * s
    J.name = "J = 3·s"
    J.backward()

    x, y, z = (Tensor(value, requires_gradient=True) for value in (-2.0, 5.0, -4.0))
    f = (x + y) * z
    f.backward()

    def nudged(place: int, step: float = 1e-6) -> float:
        above, below = [5.0, 3.0, 2.0], [5.0, 3.0, 2.0]
        above[place] += step
        below[place] -= step
        return (3 * (above[0] + above[1] * above[2]) - 3 * (below[0] + below[1] * below[2])) / (2 * step)

    slopes = [gradient(leaf) for leaf in (a, b, c)]
    figures = {
        "J": J.item(), "dJ/da": slopes[0], "dJ/db": slopes[1], "dJ/dc": slopes[2],
        "f": f.item(), "df/dx": gradient(x), "df/dy": gradient(y), "df/dz": gradient(z),
        "largest difference from nudging": max(abs(nudged(place) - slope) for place, slope in enumerate(slopes)),
    }
    text = (
        f"J = {J.item():g}; one sweep back gives dJ/da = {slopes[0]:g}, dJ/db = {slopes[1]:g}, dJ/dc = {slopes[2]:g}. "
        "`gradatim graph \"3*(a+b*c)\" a=5 b=3 c=2` shows it for any formula."
    )
    return Result(figures, draw(J), text)


def gradient(tensor: Tensor) -> float:
    """The gradient of a single number."""
    assert tensor.gradient is not None
    return float(tensor.gradient)


@style()
def draw(J: Tensor) -> Figure:
    """Nodes with their value (blue) and gradient (orange), local derivatives on the arrows."""
    figure = paper(5.8, 3.7)
    axes = figure.subplots()
    axes.set(xlim=(-0.45, 3.95), ylim=(-1.8, 1.75))
    axes.axis("off")
    nodes = [node for node in topological_order(J) if node.name]
    locals_of = {("a", "s = a + p"): "1", ("p = b·c", "s = a + p"): "1", ("b", "p = b·c"): "c = 2",
                 ("c", "p = b·c"): "b = 3", ("s = a + p", "J = 3·s"): "3"}
    for node in nodes:
        for parent in node.parents:
            if parent.name:
                (x0, y0), (x1, y1) = PLACES[parent.name], PLACES[str(node.name)]
                axes.annotate("", (x1, y1), (x0, y0), zorder=1,
                              arrowprops={"arrowstyle": "-|>", "color": MUTED, "shrinkA": 24, "shrinkB": 27, "lw": 1.3})
                middle = (0.5 * (x0 + x1), 0.5 * (y0 + y1) + 0.02)
                label_text = locals_of[parent.name, str(node.name)]
                axes.text(middle[0], middle[1], label_text, color=INK, fontsize=9.5, ha="center", va="center",
                          bbox={"facecolor": "white", "edgecolor": "none", "pad": 1.5})
    for node in nodes:
        x, y = PLACES[str(node.name)]
        axes.text(x, y, str(node.name), ha="center", va="center", fontsize=11, zorder=3,
                  bbox={"boxstyle": "round,pad=0.45", "facecolor": "white", "edgecolor": RULE, "linewidth": 1.4})
        axes.text(x, y + 0.36, f"{node.item():g}", color=BLUE, ha="center", va="center", fontsize=11.5, weight="bold")
        axes.text(x, y - 0.37, f"{gradient(node):g}", color=ORANGE, ha="center", va="center", fontsize=11.5,
                  weight="bold")
    axes.text(-0.4, 1.65, "value, forward →", color=BLUE, fontsize=10.5, va="center")
    axes.text(3.9, -1.3, "← dJ/dnode, backward", color=ORANGE, fontsize=10.5, ha="right", va="center")
    axes.text(3.9, -1.62, "on arrows: local derivative", color=INK, fontsize=9.5, ha="right", va="center")
    return figure


