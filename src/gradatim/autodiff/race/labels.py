"""Names written beside paths of a picture, where there is room for them."""

from itertools import pairwise
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patheffects import withStroke
from matplotlib.text import Text


def outline(words: Text, paper: str) -> Text:
    """Give words an outline in the colour of the paper, so that they stay legible on lines.

    Where the paper is a CSS variable to come, they only get an id for the style sheet: an outline drawn here would turn
    text into curves.
    """
    if paper.startswith(SENTINEL):
        words.set_gid(f"halo-{words.get_text()}")
    else:
        words.set_path_effects([withStroke(linewidth=2.6, foreground=paper)])
    return words


SENTINEL = "#0102"  # the first half of every stand-in colour
HALO = "[id^=halo] text{paint-order:stroke;stroke:var(--paper);stroke-width:2.6px;stroke-linejoin:round}"


def label_paths(axes: Axes, paths: list[tuple[Line2D, str]], paper: str, marks: list[np.ndarray]) -> list[Any]:
    """A name on each path, at the spot of it that is furthest from the other paths and from names already there.

    Paths that run too close to others stay without: the key below names them.
    """
    if len(paths) < 2:
        return []
    box = axes.get_window_extent()
    unit = axes.figure.dpi / 72
    tracks = []
    for line, _ in paths:
        pixels = axes.transData.transform(np.column_stack(line.get_data()).astype(float)[:2000])
        tracks.append(dense(pixels, 4 * unit, box))
    written: list[Any] = []
    taken = [np.stack([axes.transData.transform(mark), np.array([20, 15]) * unit]) for mark in marks]
    for place, (line, name) in enumerate(paths):
        half = np.array([2.3 * len(name) + 2, 5.5]) * unit
        others = [track for number, track in enumerate(tracks) if number != place and len(track)]
        best, at = 0.0, None
        for spot in tracks[place][:: max(len(tracks[place]) // 60, 1)]:
            for side in (-1.0, 1.0):
                centre = spot + np.array([0.0, side * 8.5 * unit])
                if not (box.x0 < centre[0] - half[0] and centre[0] + half[0] < box.x1
                        and box.y0 < centre[1] - half[1] and centre[1] + half[1] < box.y1):  # fmt: skip
                    continue
                gaps = [gap(centre, half, track) for track in [*others, tracks[place]]]
                clash = any((np.abs(centre - spot_taken[0]) < half + spot_taken[1]).all() for spot_taken in taken)
                room = min(min(gaps[:-1], default=1e9), 3 * gaps[-1] + 6 * unit)
                if not clash and room > best:
                    best, at = room, centre
        if at is not None and best > 3 * unit:
            taken.append(np.stack([at, half]))
            x, y = axes.transData.inverted().transform(at)
            words = axes.text(x, y, name, color=line.get_color(), fontsize=8, ha="center", va="center", zorder=8)
            written.append(outline(words, paper))
    return written


def dense(pixels: np.ndarray, spacing: float, box: Any) -> np.ndarray:
    """Points along a polyline of pixels, `spacing` apart, those inside the box."""
    pieces = [pixels[:1]]
    reach = 2 * max(box.width, box.height)
    for one, other in pairwise(pixels):
        length = float(np.hypot(*(other - one)))
        if np.isfinite(length) and length < 20 * reach:
            count = max(int(length / spacing), 1)
            pieces.append(one + (other - one) * (np.arange(1, count + 1) / count)[:, None])
    points = np.concatenate(pieces)
    inside = (points[:, 0] > box.x0) & (points[:, 0] < box.x1) & (points[:, 1] > box.y0) & (points[:, 1] < box.y1)
    return points[inside]


def gap(centre: np.ndarray, half: np.ndarray, track: np.ndarray) -> float:
    """The distance from a box to the nearest point of a track; 0 if it lies on it."""
    if not len(track):
        return 1e9
    return float(np.hypot(*np.maximum(np.abs(track - centre) - half, 0).T).min())
