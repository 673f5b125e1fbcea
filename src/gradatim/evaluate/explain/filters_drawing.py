"""Kernels, maps and the signal through depth as one picture, a phone wide: kernels first, then what they make of a row.

Kernels of three channels are shown in their colours, others in grey, all on one scale around mid grey (weight 0), so
that strong and weak kernels can be told apart; maps each on their own scale.
"""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from gradatim.evaluate.explain.maps import Maps

INK, MUTED, RULE, PAPER, ACCENT, SECOND = "#1c2226", "#5d686f", "#dcdfdc", "#fcfcfa", "#1f5f99", "#b8651b"
MOST_KERNELS, ACROSS = 64, 8
WIDTH = 7.2  # inches at 100 dots


@dataclass(frozen=True, slots=True)
class Depth:
    """One layer with weights: deviation of its values, norm of the gradient at its output (None: none arrives)."""

    name: str
    deviation: float
    gradient: float | None


def filters_png(
    title: str, kernels: tuple[str, np.ndarray], maps: Sequence[Maps], depths: Sequence[Depth], findings: Sequence[str],
    *, picture: Any = None, scale: float = 2.0,
) -> bytes:
    """The picture as PNG. kernels: name and weights (filters, channels, h, w). picture: the row, for the corner."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    name, weights = kernels
    rows = -(-min(len(weights), MOST_KERNELS) // ACROSS)
    lines = [line for finding in findings for line in _wrapped(finding, 88)]
    heights = {"title": 0.55, "kernels": 0.45 + 0.82 * rows, "maps": 0.6 + 0.98 * len(maps), "depth": 4.4,
               "findings": 0.3 + 0.2 * max(len(lines), 1)}
    whole = sum(heights.values())
    figure = Figure(figsize=(WIDTH, whole), dpi=100 * scale, facecolor=PAPER)
    top = 1.0

    def take(part: str) -> tuple[float, float]:
        nonlocal top
        begin = top
        top -= heights[part] / whole
        return begin, top

    begin, _ = take("title")
    figure.text(0.03, begin - 0.36 / whole, title, fontsize=14, fontweight="bold", color=INK, parse_math=False)
    begin, _ = take("kernels")
    _kernels(figure, name, weights, begin, whole)
    begin, _ = take("maps")
    _maps(figure, maps, picture, begin, whole)
    begin, end = take("depth")
    _depth(figure, depths, begin, end, whole)
    begin, _ = take("findings")
    for place, line in enumerate(lines):
        figure.text(0.03, begin - (0.15 + 0.2 * place) / whole, line, fontsize=9, color=INK, parse_math=False)
    buffer = io.BytesIO()
    FigureCanvasAgg(figure).print_png(buffer)
    return buffer.getvalue()


def kernel_tiles(weights: np.ndarray) -> np.ndarray:
    """Kernels as pictures (n, h, w, 3) or (n, h, w): mid grey is 0, black and white the largest weight of all."""
    shown = weights[:MOST_KERNELS].astype(np.float64)
    most = float(np.abs(shown).max()) or 1.0
    if shown.shape[1] == 3:
        return np.moveaxis(0.5 + 0.5 * shown / most, 1, -1)
    flat = shown.mean(1)
    return 0.5 + 0.5 * flat / (float(np.abs(flat).max()) or 1.0)


def _tile(figure: Any, x: float, y: float, side: float, values: np.ndarray, whole: float, **options: Any) -> None:
    """A square of `side` inches with its upper left corner at x inches and y (share of the height)."""
    axes = figure.add_axes((x / WIDTH, y - side / whole, side / WIDTH, side / whole))
    axes.imshow(values, **options)
    axes.set_axis_off()


def _kernels(figure: Any, name: str, weights: np.ndarray, begin: float, whole: float) -> None:
    count, channels, height, width = weights.shape
    more = f", the first {MOST_KERNELS}" if count > MOST_KERNELS else ""
    said = f"{count} kernels of {height} × {width} × {channels}{more}: {name}"
    figure.text(0.03, begin - 0.18 / whole, said, fontsize=10.5, color=INK, parse_math=False)
    for place, tile in enumerate(kernel_tiles(weights)):
        x, y = 0.22 + 0.85 * (place % ACROSS), begin - (0.32 + 0.82 * (place // ACROSS)) / whole
        _tile(figure, x, y, 0.76, tile, whole, cmap="gray", vmin=0, vmax=1, interpolation="nearest")


def _maps(figure: Any, maps: Sequence[Maps], picture: Any, begin: float, whole: float) -> None:
    figure.text(0.03, begin - 0.18 / whole, "Maps by depth, of each layer the channels that vary most", fontsize=10.5,
                color=INK, parse_math=False)
    if picture is not None:
        _tile(figure, WIDTH - 0.22 - 0.76, begin, 0.62, np.asarray(picture), whole, cmap="gray")
    for row, entry in enumerate(maps):
        y = begin - (0.52 + 0.98 * row) / whole
        figure.text(0.03, y - 0.02 / whole, f"{entry.name}  {' × '.join(map(str, entry.shape))}", fontsize=8,
                    color=MUTED, parse_math=False)
        for place, values in enumerate(entry.values):
            _tile(figure, 0.22 + 0.85 * place, y - 0.06 / whole, 0.76, values, whole, cmap="magma",
                  interpolation="nearest")


def _depth(figure: Any, depths: Sequence[Depth], begin: float, end: float, whole: float) -> None:
    """Two charts, one above the other, with the same layers along the way."""
    charts: list[tuple[str, list[float | None], str]] = [
        ("deviation of the values", [d.deviation for d in depths], ACCENT),
        ("norm of the gradient", [d.gradient for d in depths], SECOND),
    ]
    half = (begin - end) / 2
    for number, (label, values, colour) in enumerate(charts):
        bottom = begin - (number + 1) * half + (0.62 if number else 0.28) / whole
        axes = figure.add_axes((0.11, bottom, 0.86, half - (0.95 if number else 0.62) / whole))
        there = [(place, value) for place, value in enumerate(values) if value is not None and value > 0]
        axes.plot([x for x, _ in there], [y for _, y in there], color=colour, marker="o", markersize=3.5, linewidth=1.6)
        axes.set_yscale("log")
        if there:  # a sound signal is drawn calm: at least two powers of ten are shown
            low, high = min(y for _, y in there), max(y for _, y in there)
            middle = float(np.sqrt(low * high))
            axes.set_ylim(min(low / 2, middle / 10), max(high * 2, middle * 10))
        axes.set_xlim(-0.5, max(len(depths) - 0.5, 0.5))
        axes.set_title(f"{label.capitalize()} through depth", fontsize=10.5, color=INK, loc="left")
        axes.grid(color=RULE, linewidth=0.6)
        axes.set_facecolor(PAPER)
        axes.tick_params(labelsize=8, colors=MUTED, length=2)
        axes.minorticks_off()
        for side in axes.spines.values():
            side.set_visible(False)
        step = max(1, -(-len(depths) // 9))
        marks = list(range(0, len(depths), step))
        axes.set_xticks(marks)
        names = [_short(depths[mark].name, 14) for mark in marks] if number else []
        axes.set_xticklabels(names or [""] * len(marks), rotation=24, ha="right", rotation_mode="anchor")
        for text in axes.get_xticklabels():
            text.set_parse_math(False)


def _short(text: str, longest: int) -> str:
    return text if len(text) <= longest else "…" + text[-(longest - 1):]


def _wrapped(text: str, width: int) -> list[str]:
    lines: list[str] = []
    for word in text.split():
        if lines and len(lines[-1]) + 1 + len(word) <= width:
            lines[-1] += f" {word}"
        else:
            lines.append(word)
    return lines
