"""A picture as a list of boxes, curves and words, each with the steps at which it is to be seen; written as SVG.

Every shape has a window of steps, `since` ≤ step < `until`. One list so serves the finished picture (what stays to the
end), the picture of any one step, and the moving one. Colours are CSS variables: a page that defines --ink, --accent …
gives its own, otherwise light or dark follows the reader's setting. Text is real text, escaped.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from html import escape
from itertools import pairwise

Point = tuple[float, float]
LIGHT = {"paper": "#fcfcfa", "raised": "#f0f0ea", "ink": "#1c2226", "muted": "#5d686f", "rule": "#b9bfbd",
         "accent": "#1f5f99", "second": "#a9530f", "bad": "#ad3a30"}
DARK = {"paper": "#14181b", "raised": "#242c31", "ink": "#e4e7e6", "muted": "#9aa5aa", "rule": "#4d585e",
        "accent": "#6cabe4", "second": "#e09a55", "bad": "#e8796d"}
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")
_WIDE, _NARROW = frozenset("mwMW@%×→←∂∇ΣΔ+−=<>≥≤·#"), frozenset("iIjlrtf.,:;'|!()[]/ ")


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle with rounded corners; x and y are its upper left corner."""

    x: float
    y: float
    width: float
    height: float
    fill: str = "paper"
    stroke: str = "rule"
    thickness: float = 1.2
    radius: float = 7.0
    dashed: bool = False
    since: int = 0
    until: int | None = None


@dataclass(frozen=True, slots=True)
class Curve:
    """A smooth line through its points, leaving and arriving along the flow; `tip`: an arrow head at its end."""

    points: tuple[Point, ...]
    down: bool
    stroke: str = "muted"
    thickness: float = 1.2
    dashed: bool = False
    tip: bool = True
    since: int = 0
    until: int | None = None


@dataclass(frozen=True, slots=True)
class Words:
    """One line of text; x is its start, middle or end, y its base line; `halo`: a rim of paper, to stand on lines."""

    x: float
    y: float
    text: str
    size: float = 13.0
    colour: str = "ink"
    anchor: str = "start"
    bold: bool = False
    halo: bool = False
    since: int = 0
    until: int | None = None


Shape = Box | Curve | Words


@dataclass(frozen=True)
class Scene:
    """The shapes of one picture, its size in pixels, its title and description, and how many steps it has."""

    width: float
    height: float
    title: str
    description: str
    shapes: tuple[Shape, ...] = field(repr=False)
    steps: int = 0

    def visible(self, step: int | None = None) -> list[Shape]:
        """The shapes to be seen at a step; None: those that stay to the end."""
        return [
            shape for shape in self.shapes
            if (shape.until is None if step is None else shape.since <= step and (shape.until or step + 1) > step)
        ]

    def svg(self, *, step: int | None = None, seconds_per_step: float | None = None, marked: bool = False) -> str:
        """The picture as one `<svg>` element.

        step: the picture of that step instead of the finished one. seconds_per_step: a moving picture of all steps,
        endlessly, without script. marked: all shapes of all steps, with `data-since` and `data-until`, for a page that
        steps through them.
        """
        moving = seconds_per_step is not None
        chosen = self.shapes if moving or marked else self.visible(step)
        body = []
        for shape in chosen:
            text = _markup(shape)
            if marked and (shape.since or shape.until is not None):
                until = "" if shape.until is None else f' data-until="{shape.until}"'
                text = f'<g data-since="{shape.since}"{until}>{text}</g>'
            elif seconds_per_step is not None and (shape.since or shape.until is not None):
                text = self._appearing(shape, text, seconds_per_step)
            body.append(text)
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" class="gd-graph" width="{self.width:.0f}" '
            f'height="{self.height:.0f}" viewBox="0 0 {self.width:.0f} {self.height:.0f}" role="img" '
            f'aria-label="{clean(self.title)}"><title>{clean(self.title)}</title><desc>{clean(self.description)}</desc>'
            f'<style>{_STYLE}</style><rect class="f-paper" width="100%" height="100%"/>' + "\n".join(body) + "</svg>"
        )

    def _appearing(self, shape: Shape, markup: str, seconds: float) -> str:
        """The shape shown during its window of an endless round; the last step stays for three."""
        whole = self.steps + 2
        begin = shape.since / whole
        end = 1.0 if shape.until is None else shape.until / whole
        times = [(0.0, "0")] if begin else []
        times.append((begin, "1"))
        if end < 1.0:
            times.append((end, "0"))
        values, keys = ";".join(value for _, value in times), ";".join(f"{time:.5g}" for time, _ in times)
        still = "" if shape.until is None else ' opacity="0"'  # without animation: the finished picture
        return (
            f'<g{still}><animate attributeName="opacity" calcMode="discrete" dur="{whole * seconds:g}s" '
            f'values="{values}" keyTimes="{keys}" repeatCount="indefinite"/>{markup}</g>'
        )


_STYLE = (
    ".gd-graph{"
    + "".join(f"--gd-{name}:var(--{name},{colour});" for name, colour in LIGHT.items())
    + "font-family:system-ui,-apple-system,'Segoe UI',Roboto,'Helvetica Neue',Arial,sans-serif;"
    "font-variant-numeric:tabular-nums}@media (prefers-color-scheme:dark){.gd-graph{"
    + "".join(f"--gd-{name}:var(--{name},{colour});" for name, colour in DARK.items())
    + "}}"
    + "".join(f".gd-graph .f-{name}{{fill:var(--gd-{name})}}.gd-graph .s-{name}{{stroke:var(--gd-{name})}}"
              for name in LIGHT)
    + ".gd-graph .halo{paint-order:stroke;stroke:var(--gd-paper);stroke-width:4px;stroke-linejoin:round}"
    ".gd-graph .line{fill:none}"
)


def clean(text: object) -> str:
    """Text for XML: one line, no control characters, escaped.

    >>> clean("a < b\\x07")
    'a &lt; b '
    """
    return escape(_CONTROL.sub(" ", str(text)))


def shortened(text: str, longest: int) -> str:
    """The text, cut in the middle where it is longer; both ends of a layer's name say something.

    >>> shortened("encoder.layers.11.attention", 16)
    'encoder…ttention'
    """
    if len(text) <= longest:
        return text
    front = (longest - 1) // 2
    return f"{text[:front]}…{text[len(text) - (longest - 1 - front):]}"


def text_width(text: str, size: float, *, bold: bool = False) -> float:
    """About how wide a text is in pixels, on the wide side, since the reader's font is not known.

    >>> text_width("mm", 10) > text_width("ll", 10)
    True
    """
    units = sum(0.86 if c in _WIDE else 0.38 if c in _NARROW else 0.66 if c.isupper() else 0.62 for c in text)
    return units * size * (1.1 if bold else 1.0)


def wrapped(text: str, width: float, size: float) -> list[str]:
    """The text in lines of at most so many pixels, broken at spaces.

    >>> wrapped("one two three", 60, 13)
    ['one two', 'three']
    """
    lines: list[str] = []
    for word in text.split():
        if lines and text_width(f"{lines[-1]} {word}", size) <= width:
            lines[-1] += f" {word}"
        else:
            lines.append(word)
    return lines


def bezier(points: Sequence[Point], down: bool) -> Iterator[tuple[Point, Point, Point, Point]]:
    """The cubic pieces of a curve that leaves, passes and reaches every point along the flow."""
    for (x0, y0), (x1, y1) in pairwise(points):
        if down:
            bend = (y1 - y0) / 2
            yield (x0, y0), (x0, y0 + bend), (x1, y1 - bend), (x1, y1)
        else:
            bend = (x1 - x0) / 2
            yield (x0, y0), (x0 + bend, y0), (x1 - bend, y1), (x1, y1)


def point_on(piece: tuple[Point, Point, Point, Point], t: float) -> Point:
    """The point of a cubic piece at t between 0 and 1."""
    weights = ((1 - t) ** 3, 3 * t * (1 - t) ** 2, 3 * t**2 * (1 - t), t**3)
    return sum(w * p[0] for w, p in zip(weights, piece)), sum(w * p[1] for w, p in zip(weights, piece))


def arrow_head(curve: Curve, size: float = 7.0) -> list[Point]:
    """The three corners of the head at the curve's end."""
    (x0, y0), (x1, y1) = curve.points[-2], curve.points[-1]
    sign = 1.0 if (y1 > y0 if curve.down else x1 > x0) else -1.0
    if curve.down:
        return [(x1, y1), (x1 - size / 2, y1 - sign * size), (x1 + size / 2, y1 - sign * size)]
    return [(x1, y1), (x1 - sign * size, y1 - size / 2), (x1 - sign * size, y1 + size / 2)]


def _markup(shape: Shape) -> str:
    if isinstance(shape, Words):
        style = ("f-" + shape.colour) + (" halo" if shape.halo else "")
        bold = ' font-weight="600"' if shape.bold else ""
        anchor = "" if shape.anchor == "start" else f' text-anchor="{shape.anchor}"'
        return (f'<text class="{style}" x="{shape.x:.1f}" y="{shape.y:.1f}" font-size="{shape.size:g}"{anchor}{bold}>'
                f"{clean(shape.text)}</text>")
    dashes = ' stroke-dasharray="4 3"' if shape.dashed else ""
    if isinstance(shape, Box):
        fill = f"f-{shape.fill}" if shape.fill else "line"
        return (f'<rect class="{fill} s-{shape.stroke}" x="{shape.x:.1f}" y="{shape.y:.1f}" '
                f'width="{shape.width:.1f}" height="{shape.height:.1f}" rx="{shape.radius:g}" '
                f'stroke-width="{shape.thickness:g}"{dashes}/>')
    pieces = list(bezier(shape.points, shape.down))
    path = f"M{shape.points[0][0]:.1f} {shape.points[0][1]:.1f}" + "".join(
        f"C{a[0]:.1f} {a[1]:.1f} {b[0]:.1f} {b[1]:.1f} {c[0]:.1f} {c[1]:.1f}" for _, a, b, c in pieces
    )
    drawn = f'<path class="line s-{shape.stroke}" d="{path}" stroke-width="{shape.thickness:g}"{dashes}/>'
    if shape.tip:
        corners = " ".join(f"{x:.1f},{y:.1f}" for x, y in arrow_head(shape, 5.0 + 1.5 * shape.thickness))
        drawn += f'<polygon class="f-{shape.stroke}" points="{corners}"/>'
    return drawn
