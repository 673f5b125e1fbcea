"""Pictures of a race: contour with paths, cost against step, who came in when; as SVG, PNG, or a GIF as it happens.

Colours are Okabe and Ito's, told apart by the colour-blind, once solid and then again dashed; the finishing order at
the foot is also the key. An SVG follows the reader's light or dark theme; PNG and GIF are drawn in one of the two.
"""

import io
import re
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, NullFormatter

from gradatim.autodiff.race.labels import HALO, SENTINEL, label_paths, outline
from gradatim.autodiff.race.run import Run
from gradatim.autodiff.race.surfaces import Surface, grid
from gradatim.errors import GradatimError
from gradatim.files import write_atomic

Theme = dict[str, str]

LIGHT: Theme = {
    "paper": "#ffffff", "ink": "#1b1f24", "muted": "#5c6570", "relief": "#33475b",
    "c0": "#0072b2", "c1": "#d55e00", "c2": "#009e73", "c3": "#cc5fa0", "c4": "#a37400", "c5": "#3d9fd6",
    "c6": "#7a1f5c", "c7": "#3a3a3a",
}  # fmt: skip
DARK: Theme = {
    "paper": "#14181d", "ink": "#e8ebee", "muted": "#98a2ad", "relief": "#a9c0d6",
    "c0": "#4aa8e8", "c1": "#ff8a3d", "c2": "#2fd0a0", "c3": "#f090c8", "c4": "#f0c040", "c5": "#a8dcff",
    "c6": "#d98cff", "c7": "#e4e4e4",
}  # fmt: skip
# Stand-ins in the drawing, for which the SVG puts CSS variables.
SENTINELS: Theme = {name: f"{SENTINEL}{place + 16:02x}" for place, name in enumerate(LIGHT)}
COLOURS = 8
LEVELS = 14
WIDTH = 4.8  # inches: legible at the width of a phone
LOWEST_SHOWN = 1e-8  # of what is above the minimum
DOTS: dict[str, Any] = {"marker": "o", "markersize": 2.6, "markeredgewidth": 0, "markevery": slice(0, 25)}
DOTS_PER_INCH = 160
GIF_DOTS_PER_INCH = 100
MILLISECONDS = 70
HOLD_MILLISECONDS = 2500


class Raced(Protocol):
    """A race as its pictures see it."""

    @property
    def surface(self) -> Surface:
        """What was run down."""
        ...

    @property
    def start(self) -> np.ndarray:
        """Where all began, (d,)."""
        ...

    @property
    def steps(self) -> int:
        """Of each run at most."""
        ...

    @property
    def runs(self) -> Sequence[Run]:
        """In the order asked for."""
        ...

    @property
    def ranking(self) -> Sequence[Run]:
        """The first to arrive first."""
        ...


def write_picture(race: Raced, path: Path, *, dark: bool = False) -> Path:
    """Write the picture as its suffix says; raises GradatimError for another than .svg or .png."""
    suffix = path.suffix.lower()
    if suffix == ".svg":
        write_atomic(path, svg_text(race))
    elif suffix == ".png":
        with style():
            drawn, _ = draw(race, DARK if dark else LIGHT)
            buffer = io.BytesIO()
            FigureCanvasAgg(drawn)
            drawn.savefig(buffer, format="png", dpi=DOTS_PER_INCH, metadata={"Software": None})
        write_atomic(path, buffer.getvalue())
    else:
        raise GradatimError(f"{path}: expected a picture named .svg or .png, received '{path.suffix}'")
    return path


def svg_text(race: Raced) -> str:
    """The picture as one SVG document, light and dark by the reader's theme; no script, no link."""
    buffer = io.BytesIO()
    with style():
        drawn, _ = draw(race, SENTINELS)
        FigureCanvasSVG(drawn).print_svg(buffer, metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    text = buffer.getvalue().decode("utf-8")
    text = re.sub(r"<metadata>.*?</metadata>", "", text[text.index("<svg") :], flags=re.S)
    for name, colour in SENTINELS.items():
        text = text.replace(colour, f"var(--{name})")
    text = re.sub(r' d="[^"]*"', lambda path: re.sub(r"(\d\.\d)\d+", r"\1", path.group()), text)
    light, dark = (";".join(f"--{name}:{colour}" for name, colour in theme.items()) for theme in (LIGHT, DARK))
    sheet = f"<style>svg{{{light}}}@media (prefers-color-scheme: dark){{svg{{{dark}}}}}{HALO}</style>"
    head = text.index(">") + 1
    title = f"<title>{race.surface.name}: " + ", ".join(f"{run.name} {run.what_happened}" for run in race.ranking)
    return text[:head] + title + "</title>" + sheet + text[head:]


def write_animation(race: Raced, path: Path, *, dark: bool = False, frames: int = 60) -> Path:
    """Write the race as a GIF: early steps slowly, later ones faster, a pause at the end."""
    from PIL import Image

    if path.suffix.lower() != ".gif":
        raise GradatimError(f"{path}: expected an animation named .gif, received '{path.suffix}'")
    if not 2 <= frames <= 400:
        raise GradatimError(f"frames: expected 2 to 400, received {frames}")
    theme = DARK if dark else LIGHT
    with style():
        drawn, moving = draw(race, theme)
        canvas = FigureCanvasAgg(drawn)
        drawn.set_dpi(GIF_DOTS_PER_INCH)
        for artist in moving.artists():
            artist.set_animated(True)
        canvas.draw()
        ground = canvas.copy_from_bbox(drawn.bbox)  # type: ignore[attr-defined]
        pictures = []
        shown = np.unique((moving.last * np.linspace(0, 1, frames) ** 2).round().astype(int))
        for step in shown:
            canvas.restore_region(ground)  # type: ignore[attr-defined]
            moving.show(int(step), drawn)
            pictures.append(Image.fromarray(np.asarray(canvas.buffer_rgba())[..., :3].copy()))
    palette = pictures[-1].quantize(255, dither=Image.Dither.NONE)
    small = [picture.quantize(palette=palette, dither=Image.Dither.NONE) for picture in pictures]
    buffer = io.BytesIO()
    times = [MILLISECONDS] * (len(small) - 1) + [HOLD_MILLISECONDS]
    small[0].save(buffer, "GIF", save_all=True, append_images=small[1:], duration=times, loop=0, optimize=True)
    write_atomic(path, buffer.getvalue())
    return path


@contextmanager
def style() -> Iterator[None]:
    """The type and line widths of every picture here."""
    settings: Any = {
        "svg.fonttype": "none", "svg.hashsalt": "gradatim", "font.size": 9, "font.family": "sans-serif",
        "text.parse_math": False, "axes.unicode_minus": True, "axes.linewidth": 0.8, "xtick.major.size": 3,
        "ytick.major.size": 3, "path.simplify_threshold": 0.4, "axes.formatter.use_mathtext": False,
    }  # fmt: skip
    with matplotlib.rc_context(settings), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing")
        yield


class Moving:
    """The lines of a drawing that an animation draws up to a step, with a head for each racer."""

    def __init__(self, last: int) -> None:
        self.last = last
        self.lines: list[tuple[Line2D, np.ndarray, np.ndarray]] = []
        self.heads: list[tuple[Line2D, np.ndarray, np.ndarray]] = []
        self.words: list[Any] = []
        self.counter: Any = None

    def artists(self) -> list[Any]:
        """All that is drawn anew in each frame."""
        return [line for line, _, _ in self.lines + self.heads] + self.words + [self.counter]

    def show(self, step: int, drawn: Figure) -> None:
        """Draw the lines up to `step` on what is there."""
        for line, xs, ys in self.lines:
            line.set_data(xs[: step + 1], ys[: step + 1])
        for line, xs, ys in self.heads:
            line.set_data(xs[: step + 1][-1:], ys[: step + 1][-1:])
        self.counter.set_text(f"step {step}")
        for artist in self.artists():
            if artist not in self.words or step >= self.last:
                drawn.draw_artist(artist)


def draw(race: Raced, theme: Theme) -> tuple[Figure, Moving]:
    """The whole picture: ground with paths above, cost below, the finishing order at the foot."""
    key = 0.19 * len(race.runs) + 0.34
    flat = race.surface.dimensions == 1
    heights = [2.3 if flat else 3.7, 2.2, key]
    drawn = Figure(figsize=(WIDTH, sum(heights) + 0.95), layout="constrained", facecolor=theme["paper"])
    ground, cost, foot = drawn.subplots(3, 1, height_ratios=heights)
    drawn.get_layout_engine().set(h_pad=0.04, w_pad=0.05, hspace=0.02)  # type: ignore[union-attr, call-arg]
    moving = Moving(_last_step(race))
    for axes in (ground, cost):
        axes.set_facecolor(theme["paper"])
        axes.tick_params(colors=theme["muted"], labelsize=8)
        axes.spines[:].set_color(theme["muted"])
        axes.spines[:].set_alpha(0.5)
    (_draw_line if flat else _draw_ground)(race, ground, theme, moving)
    _draw_cost(race, cost, theme, moving)
    _draw_order(race, foot, theme)
    ground.set_title(race.surface.name, fontsize=10.5, color=theme["ink"], loc="left", pad=17, fontweight="bold")
    ground.annotate(race.surface.formula, (0, 1), xycoords="axes fraction", xytext=(0, 5), fontsize=7.5,
                    textcoords="offset points", color=theme["muted"])  # fmt: skip
    moving.counter = ground.text(0.985, 0.975, "", transform=ground.transAxes, ha="right", va="top", fontsize=9,
                                 color=theme["ink"])  # fmt: skip
    outline(moving.counter, theme["paper"])
    FigureCanvasAgg(drawn).draw()  # labels are placed in pixels, so the layout must stand first
    drawn.set_layout_engine("none")
    paths = [(line, run.name) for (line, _, _), run in zip(moving.lines[: len(race.runs)], race.runs)]
    marks = [race.start, *race.surface.minima[:1]] if not flat else []
    moving.words = label_paths(ground, paths, theme["paper"], marks)
    return drawn, moving


def look(race: Raced, run: Run) -> dict[str, Any]:
    """Colour role, dashes and width of a racer's line, by its place in the race."""
    place = race.runs.index(run)
    dashes = ["-", (0, (4, 1.6)), (0, (1.2, 1.4))][place // COLOURS % 3]
    return {"colour": f"c{place % COLOURS}", "linestyle": dashes, "linewidth": 1.9 if len(race.runs) <= 4 else 1.5}


def _line(race: Raced, run: Run, theme: Theme) -> dict[str, Any]:
    found = look(race, run)
    return {"color": theme[found["colour"]], "linestyle": found["linestyle"], "linewidth": found["linewidth"]}


def _last_step(race: Raced) -> int:
    """The step at which there is nothing more to see: all have arrived or broken off, or the end of the race."""
    ends = [run.steps if run.steps is not None and run.verdict in ("arrived", "diverged") else race.steps
            for run in race.runs]  # fmt: skip
    return max(min(round(1.15 * max(ends)) + 1, race.steps), 2)


def _levels(values: np.ndarray, lowest: float) -> np.ndarray:
    """Heights of the contour lines: evenly spaced in the logarithm where the surface spans decades, else evenly."""
    above = values - lowest
    top, middle = float(above.max()), float(np.median(above))
    if top > 6 * middle:
        first = max(float(np.quantile(above, 0.002)), top * 1e-5)
        return lowest + np.geomspace(first, top, LEVELS + 1)
    return lowest + np.linspace(0, top, LEVELS + 1)[1:]


def _draw_ground(race: Raced, axes: Axes, theme: Theme, moving: Moving) -> None:
    surface = race.surface
    (left, right), (bottom, top) = bounds = _window(race)
    points, values = grid(surface, 121, bounds)
    xs, ys, levels = points[0, :, 0], points[:, 0, 1], _levels(values, surface.lowest)
    for level in levels[:-1]:  # translucent sheets one upon another: higher is darker on paper, lighter on black
        axes.contourf(xs, ys, values, [level, np.inf], colors=[theme["relief"]], alpha=0.028, antialiased=True)
    axes.contour(xs, ys, values, levels[:-1], colors=[theme["relief"]], alpha=0.35, linewidths=0.6,
                 linestyles="solid")  # fmt: skip
    for run in race.runs:
        x, y = run.path[:, 0], run.path[:, 1]
        stroke = _line(race, run, theme)
        (line,) = axes.plot(x, y, **stroke, **DOTS, alpha=0.95, solid_joinstyle="round", zorder=3)
        moving.lines.append((line, x, y))
        (head,) = axes.plot(x[-1:], y[-1:], "o", color=stroke["color"], markersize=5.5,
                            markeredgecolor=theme["paper"], markeredgewidth=1, zorder=5)  # fmt: skip
        moving.heads.append((head, x, y))
    inside = [m for m in surface.minima if left <= m[0] <= right and bottom <= m[1] <= top]
    for minimum in inside:
        axes.plot(*minimum, "+", color=theme["ink"], markersize=11, markeredgewidth=1.6, zorder=6)
    axes.plot(*race.start, "o", color="none", markeredgecolor=theme["ink"], markersize=8, markeredgewidth=1.4, zorder=6)
    named: list[tuple[str, np.ndarray, int]] = [("start", race.start, 7)]
    named += [("minimum" if len(inside) == 1 else "minima", minimum, -14) for minimum in inside[:1]]
    for word, point, up in named:
        words = axes.annotate(word, tuple(point), xytext=(0, up), textcoords="offset points", ha="center", fontsize=8,
                              color=theme["ink"], zorder=7)  # fmt: skip
        outline(words, theme["paper"])
    axes.set_xlim(left, right)
    axes.set_ylim(bottom, top)


def _window(race: Raced) -> list[tuple[float, float]]:
    """The surface's window, made wider where the start would lie outside."""
    found = []
    for (low, high), start in zip(race.surface.bounds, race.start):
        margin = 0.06 * (high - low)
        found.append((min(low, start - margin), max(high, start + margin)))
    return found


def _draw_line(race: Raced, axes: Axes, theme: Theme, moving: Moving) -> None:
    """In one dimension: where each racer is at each step, over bands of equal height."""
    ((low, high),) = _window(race)
    points, values = grid(race.surface, 241, [(low, high)])
    for level in _levels(values, race.surface.lowest)[:-1]:
        axes.contourf([-1, moving.last], points[:, 0], np.column_stack([values, values]), [level, np.inf],
                      colors=[theme["relief"]], alpha=0.035)  # fmt: skip
    for run in race.runs:
        steps, x = np.arange(len(run.path)), run.path[:, 0]
        (line,) = axes.plot(steps, x, **_line(race, run, theme), **DOTS, zorder=3)
        moving.lines.append((line, steps, x))
        (head,) = axes.plot(steps[-1:], x[-1:], "o", color=line.get_color(), markersize=5.5,
                            markeredgecolor=theme["paper"], markeredgewidth=1, zorder=5)  # fmt: skip
        moving.heads.append((head, steps, x))
    for minimum in race.surface.minima:
        axes.axhline(minimum[0], color=theme["ink"], linewidth=0.8, zorder=2)
    _scale_steps(axes, moving.last)
    axes.set_ylim(low, high)
    axes.set_ylabel("x at each step", color=theme["muted"])


def _draw_cost(race: Raced, axes: Axes, theme: Theme, moving: Moving) -> None:
    """Height above the minimum at each step, logarithmic, cut off below where nothing more is to be seen."""
    lowest, tops, bottoms = race.surface.lowest, [], []
    for run in race.runs:
        steps, above = np.arange(len(run.values)), np.maximum(run.values - lowest, LOWEST_SHOWN / 10)
        stroke = {**_line(race, run, theme), "linewidth": 1.4}
        (line,) = axes.plot(steps, above, **stroke, solid_joinstyle="round", zorder=3)
        moving.lines.append((line, steps, above))
        tops.append(above[0] if run.verdict == "diverged" else above[: moving.last + 1].max())
        bottoms.append(above[: moving.last + 1].min())
        if run.verdict == "diverged":
            cross = np.flatnonzero(above > 30 * above[0])
            at = int(cross[0]) if len(cross) else len(above) - 1
            axes.plot([at], [min(above[at], 30 * above[0])], "x", color=line.get_color(), markersize=7,
                      markeredgewidth=1.8, zorder=5)  # fmt: skip
            tops[-1] = 40 * above[0]
    axes.set_yscale("log")
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: power_of_ten(value)))
    axes.yaxis.set_minor_formatter(NullFormatter())
    _scale_steps(axes, moving.last)
    axes.set_ylim(max(min(bottoms) / 2, LOWEST_SHOWN), 3 * max(tops))
    axes.set_xlabel("step", color=theme["muted"])
    axes.set_ylabel("above the minimum", color=theme["muted"])
    axes.grid(axis="y", color=theme["muted"], alpha=0.2, linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)


def _scale_steps(axes: Axes, last: int) -> None:
    """Steps by their square root: the first ones, where most happens, wide; the many later ones narrow."""
    axes.set_xscale("function", functions=(lambda x: np.sign(x) * np.sqrt(np.abs(x)), lambda x: np.sign(x) * x**2))
    axes.set_xlim(-0.0005 * last, last)
    ticks = [0.0]
    for share in (0.01, 0.04, 0.1, 0.2, 0.4, 0.7, 1.0):
        size = 10.0 ** np.floor(np.log10(max(share * last, 1.0)))
        tick = float(np.floor(share * last / size) * size)
        if tick**0.5 - ticks[-1] ** 0.5 > 0.09 * last**0.5:
            ticks.append(tick)
    axes.set_xticks(ticks, [f"{tick:,.0f}" for tick in ticks])
    axes.minorticks_off()


def power_of_ten(value: float) -> str:
    """'10⁻²' for 0.01, so that pictures need no mathematics in their text.

    >>> power_of_ten(0.01), power_of_ten(1.0), power_of_ten(1000.0)
    ('10⁻²', '1', '1000')
    """
    power = round(float(np.log10(value)))
    if 0 <= power <= 4:
        return f"{10**power}"
    return "10" + str(power).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))


def _draw_order(race: Raced, axes: Axes, theme: Theme) -> None:
    """The key, in finishing order: line, name, rate, what happened."""
    axes.set_axis_off()
    axes.set_xlim(0, 1)
    ranking = race.ranking
    axes.set_ylim(len(ranking) - 0.4, -1.5)
    for x, word in ((0.09, "optimiser"), (0.43, "rate"), (0.56, "what happened")):
        axes.text(x, -1, word, color=theme["muted"], fontsize=8, va="center")
    for row, run in enumerate(ranking):
        axes.plot([0.0, 0.07], [row, row], **_line(race, run, theme))
        rate = "" if run.learning_rate is None else f"{run.learning_rate:g}"
        for x, word in ((0.09, run.name), (0.43, rate), (0.56, run.what_happened)):
            axes.text(x, row, word, color=theme["ink"], fontsize=8, va="center")
