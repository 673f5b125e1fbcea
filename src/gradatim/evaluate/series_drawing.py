"""A series as a small drawing: a line a channel, one strip under the other, and what speaks for an answer behind it.

The drawing is an SVG of numbers of ours alone, shown as an image: nothing of a cell's text gets into it. It has a
ground of its own, so that it reads alike on light and on dark pages.
"""

import base64
from itertools import pairwise

import numpy as np

WIDTH, STRIP, GAP, EDGE = 260, 92, 4, 6
MOST_STRIPS = 6
GROUND, LINE, GRID = "#f6f4ee", "#16425f", "#d9d5c8"
FOR, AGAINST = "#1f5fbe", "#de7814"  # as in `explain.heat`: told apart by colour-blind eyes


def series_uri(values: np.ndarray, heat: np.ndarray | None = None) -> str:
    """`series_svg` as a data URI."""
    return "data:image/svg+xml;base64," + base64.b64encode(series_svg(values, heat).encode()).decode()


def series_svg(values: np.ndarray, heat: np.ndarray | None = None) -> str:
    """The first six channels of values (C, T), NaN where missing, each in the range of its own strip.

    heat (C or 1, pieces): how much each stretch of time speaks for the answer (blue) or against it (orange), over the
    strongest anywhere; the pieces divide the time evenly.
    """
    channels = min(len(values), MOST_STRIPS)
    strip = STRIP if channels == 1 else max(30, 150 // channels)
    height = 2 * EDGE + channels * strip + (channels - 1) * GAP
    parts = [f'<rect width="{WIDTH}" height="{height}" rx="4" fill="{GROUND}"/>']
    strongest = 0.0 if heat is None else float(np.nanmax(np.abs(heat), initial=0.0))
    for channel in range(channels):
        top = EDGE + channel * (strip + GAP)
        if heat is not None and strongest > 0:
            parts += _bands(heat[channel if len(heat) > 1 else 0] / strongest, top, strip)
        parts.append(f'<path d="M{EDGE} {top + strip}H{WIDTH - EDGE}" stroke="{GRID}" fill="none"/>')
        path = _path(values[channel], top, strip)
        if path:
            parts.append(f'<path d="{path}" fill="none" stroke="{LINE}" stroke-width="1.4" stroke-linejoin="round" '
                         'stroke-linecap="round"/>')
    return (f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" '
            f'viewBox="0 0 {WIDTH} {height}">{"".join(parts)}</svg>')


def _bands(heat: np.ndarray, top: float, strip: float) -> list[str]:
    wide = (WIDTH - 2 * EDGE) / len(heat)
    return [f'<rect x="{EDGE + place * wide:.1f}" y="{top:.0f}" width="{wide + 0.3:.1f}" height="{strip:.0f}" '
            f'fill="{FOR if value > 0 else AGAINST}" fill-opacity="{0.75 * abs(value):.2f}"/>'
            for place, value in enumerate(np.nan_to_num(heat)) if abs(value) >= 0.02]


def _path(line: np.ndarray, top: float, strip: float) -> str:
    """Moves and lines through the values; where there are more than pixels, the least and greatest of each pixel."""
    places, heights = _thinned(line)
    known = heights[np.isfinite(heights)]
    if not len(known):
        return ""
    low, high = float(known.min()), float(known.max())
    scaled = (heights - low) / (high - low) if high > low else np.full(len(heights), 0.5)
    x = EDGE + places / max(len(line) - 1, 1) * (WIDTH - 2 * EDGE)
    y = top + strip - 3 - scaled * (strip - 6)
    words, pen_down = [], False
    for across, down in zip(x, y):
        if not np.isfinite(down):
            pen_down = False
            continue
        words.append(f"{'L' if pen_down else 'M'}{across:.1f} {down:.1f}")
        if not pen_down:
            words.append("h.1")  # a value alone between missing ones is a dot
        pen_down = True
    return "".join(words)


def _thinned(line: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Places and values; of more than 2 · WIDTH steps the least and the greatest of each of WIDTH stretches."""
    if len(line) <= 2 * WIDTH:
        return np.arange(len(line), dtype=float), np.asarray(line, dtype=float)
    bounds = np.linspace(0, len(line), WIDTH + 1).astype(int)
    places, values = [], []
    for start, stop in pairwise(bounds.tolist()):
        part = line[start:stop]
        if np.isnan(part).all():
            places.append(float(start))
            values.append(np.nan)
            continue
        for place in sorted({int(np.nanargmin(part)), int(np.nanargmax(part))}):
            places.append(float(start + place))
            values.append(float(part[place]))
    return np.array(places), np.array(values)


def shortened(heat: np.ndarray, most: int = 130) -> np.ndarray:
    """Heat (C, T) averaged to at most so many pieces of time.

    >>> shortened(np.array([[1.0, 3.0, 5.0, 7.0]]), 2).tolist()
    [[2.0, 6.0]]
    """
    if heat.shape[1] <= most:
        return heat
    bounds = np.linspace(0, heat.shape[1], most + 1).astype(int)
    return np.add.reduceat(heat, bounds[:-1], axis=1) / np.diff(bounds)
