"""Matplotlib figures as SVG that lives inside a page: real text, the page's own colours, no ids that clash.

Charts draw with the sentinel colours of `Ink`; `to_svg` puts CSS variables in their place, so one figure is right
in light and in dark. The page defines --ink, --muted, --rule, --accent, --second, --third, --bad and --paper.
"""

import io
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from html import escape
from typing import Any

import matplotlib
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure


class Ink:
    """Sentinel colours and the CSS variable that takes the place of each."""

    ink = "#010101"
    muted = "#020202"
    rule = "#030303"
    accent = "#040404"
    second = "#050505"
    third = "#060606"
    bad = "#070707"
    paper = "#080808"
    on_accent = "#090909"


_VARIABLES = {
    colour: "var(--" + name.replace("_", "-") + ")"
    for name, colour in vars(Ink).items()
    if isinstance(colour, str) and colour.startswith("#")
}
_STYLE: Any = {
    "svg.fonttype": "none",
    "svg.hashsalt": "gradatim",
    "text.parse_math": False,
    "font.size": 9,
    "axes.edgecolor": Ink.rule,
    "axes.labelcolor": Ink.muted,
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.grid": True,
    "axes.unicode_minus": True,
    "axes.formatter.use_mathtext": False,
    "axes.formatter.useoffset": False,
    "grid.color": Ink.rule,
    "grid.linewidth": 0.6,
    "text.color": Ink.ink,
    "xtick.color": Ink.rule,
    "ytick.color": Ink.rule,
    "xtick.labelcolor": Ink.muted,
    "ytick.labelcolor": Ink.muted,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "xtick.major.size": 3,
    "ytick.major.size": 0,
    "legend.frameon": False,
    "legend.fontsize": 8,
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "lines.linewidth": 1.6,
    "path.simplify_threshold": 0.4,
}
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")
# Class names of strangers become labels: enough to tell them apart, not enough to push the axes off the page.
LONGEST_LABEL = 22


@contextmanager
def drawing() -> Iterator[None]:
    """The style of every chart, and silence about glyphs that only the reader's own fonts have."""
    with matplotlib.rc_context(_STYLE), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing")
        warnings.filterwarnings("ignore", message=".*[Tt]ight layout.*|.*constrained.*")
        yield


def figure(width: float = 5.0, height: float = 3.2) -> Figure:
    """An empty figure, in inches of 72 points; pages show it about as wide as it was drawn."""
    return Figure(figsize=(width, height), layout="constrained")


def short(text: object, longest: int = LONGEST_LABEL) -> str:
    """A label of a chart: one line, no control characters, an ellipsis where it was cut.

    >>> short("a\\nvery long name of a class indeed")
    'a very long name of a…'
    """
    line = _CONTROL.sub(" ", str(text)).strip()
    return line if len(line) <= longest else line[: longest - 1].rstrip() + "…"


def to_svg(drawn: Figure, *, name: str, title: str) -> str:
    """The figure as one `<svg>` element.

    name: prefix of every id, unique in the page; title: what a screen reader says. No script, no link, no metadata.
    """
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing")
        FigureCanvasSVG(drawn).print_svg(buffer, metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    text = buffer.getvalue().decode("utf-8")
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.S)
    text = re.sub(r"<!--.*?-->", "", text, flags=re.S)
    text = re.sub(r"<defs>\s*<style[^>]*>.*?</style>\s*</defs>", "", text, flags=re.S)
    head, body = text[: text.index(">") + 1], text[text.index(">") + 1 :]
    box = re.search(r'viewBox="([^"]*)"', head)
    body = _plain_ids(body, name)
    for sentinel, variable in _VARIABLES.items():
        body = body.replace(sentinel, variable)
    body = re.sub(r"font: ([\d.]+px)[^;\"]*", r"font-size: \1", body)
    body = re.sub(r"font-family: [^;\"]*;?", "", body)
    body = body.replace("xlink:href", "href")
    body = re.sub(r">\s+<", "><", body)
    body = re.sub(r"(\d\.\d{2})\d+", r"\1", body)
    width = float(box.group(1).split()[2]) if box else 360.0
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="chart" viewBox="{box.group(1) if box else ""}" '
        f'role="img" aria-label="{escape(title)}" stroke-linejoin="round" stroke-linecap="butt" '
        f'style="max-width:{width * 4 / 3:.0f}px"><title>{escape(title)}</title>{body.strip()}'
    )


def _plain_ids(body: str, name: str) -> str:
    """Ids that something refers to, made unique by the figure's name; the others dropped."""
    used = set(re.findall(r'(?:href="#|url\(#)([^")]+)', body))
    numbers = {found: f"{name}-{place}" for place, found in enumerate(sorted(used))}

    def rename(match: re.Match[str]) -> str:
        return f' id="{numbers[match.group(1)]}"' if match.group(1) in numbers else ""

    body = re.sub(r'\sid="([^"]*)"', rename, body)
    return re.sub(r'(href="#|url\(#)([^")]+)', lambda match: match.group(1) + numbers[match.group(2)], body)
