"""The style of the lessons' pictures: one idea each, labels on the lines, colours that the colour-blind tell apart.

The palette is that of Okabe and Ito (2008). The paper is white in SVG and PNG alike, so that a page in dark colours
shows the same picture.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullFormatter

from gradatim.errors import GradatimError

BLUE, ORANGE, GREEN, PURPLE, SKY, GOLD = "#0072B2", "#D55E00", "#009E73", "#AA4499", "#56B4E9", "#E69F00"
INK, MUTED, RULE = "#1A1A1A", "#5F6368", "#DADCE0"
ENDINGS = (".svg", ".png", ".pdf")
_STYLE: Any = {
    "svg.fonttype": "none",
    "svg.hashsalt": "gradatim",
    "font.size": 11,
    "text.color": INK,
    "axes.titlesize": 11.5,
    "axes.titlelocation": "left",
    "axes.titlepad": 8,
    "axes.labelcolor": MUTED,
    "axes.labelsize": 10.5,
    "axes.edgecolor": MUTED,
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.grid": True,
    "axes.formatter.use_mathtext": False,
    "axes.formatter.useoffset": False,
    "grid.color": RULE,
    "grid.linewidth": 0.7,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelsize": 9.5,
    "ytick.labelsize": 9.5,
    "legend.frameon": False,
    "lines.linewidth": 2.0,
    "figure.facecolor": "white",
    "axes.facecolor": "white",
    "savefig.facecolor": "white",
    "savefig.dpi": 150,
}


@contextmanager
def style() -> Iterator[None]:
    """The style, for a `with` or as the decorator `@style()` of a function that draws."""
    with matplotlib.rc_context(_STYLE):
        yield


def paper(width: float = 5.6, height: float = 4.0) -> Figure:
    """An empty figure, in inches; it belongs to no window."""
    figure = Figure(figsize=(width, height))
    figure.set_layout_engine("constrained", w_pad=0.1, h_pad=0.1)
    return figure


def plain(axis: Axis) -> None:
    """Ticks of a logarithmic axis as people write numbers: 0.01, 10, 1,000, and 1e-8 where that is shorter."""

    def written(value: float, _place: object = None) -> str:
        return f"{value:,.10g}" if 1e-3 <= abs(value) < 1e6 else f"{value:.0e}".replace("e-0", "e-").replace("e+0", "e")

    axis.set_major_formatter(FuncFormatter(written))
    axis.set_minor_formatter(NullFormatter())


def plainly(value: float) -> str:
    """A number as short as it goes, with a true minus sign.

    >>> plainly(-8.0)
    '−8'
    """
    return f"{value:g}".replace("-", "−")


def label(
    axes: Axes, x: float, y: float, text: str, colour: str = INK, *, dx: float = 6, dy: float = 0,
    size: float = 10.5, ha: str = "left", va: str = "center",
) -> None:
    """A text beside a point of the data, dx and dy typographic points away, on white that keeps it legible."""
    written = axes.annotate(
        text, (x, y), xytext=(dx, dy), textcoords="offset points", color=colour, fontsize=size, ha=ha, va=va,
        annotation_clip=False, bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.75, "pad": 0.6},
    )
    written.set_in_layout(False)  # a label that reaches beyond the axes does not squeeze them


def save(figure: Figure, path: Path) -> None:
    """Write the picture as SVG, PNG or PDF by the file's ending; raises GradatimError on another."""
    if path.suffix.lower() not in ENDINGS:
        raise GradatimError(f"{path}: expected a picture ending in {', '.join(ENDINGS)}, received '{path.suffix}'")
    with style():
        figure.savefig(path, metadata={"Date": None} if path.suffix.lower() == ".svg" else None)
