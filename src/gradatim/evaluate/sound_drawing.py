"""A sound as a picture: its log-mel spectrogram with seconds to the right and kilohertz upwards, both written.

Frequencies lie as the networks see them, evenly in mel, so that what speaks for an answer comes to lie where it was
found. The picture has a ground of its own and reads alike on light and on dark pages.
"""

import base64
import io
import math
from functools import lru_cache
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont

from gradatim.data.codecs.mel import log_mel, mel_of_hertz
from gradatim.data.codecs.sound import read_sound
from gradatim.errors import CellError

WIDTH, HEIGHT = 260, 140  # of the whole, in points
LEFT, RIGHT, TOP, BOTTOM = 38, 10, 8, 20  # room for the labels around the spectrogram
GROUND, INK, RULE = "#f6f4ee", "#444f56", "#8d979c"
MELS, HOP_SECONDS = 64, 0.01
DEPTH = 8.0  # of log(1 + power): 35 decibels under the loudest are drawn
MOST_BYTES, LONGEST_SECONDS = 32 * 2**20, 30.0
KILOHERTZ = (0, 0.5, 1, 2, 4, 8, 16, 32)
# Dark blue to pale yellow, evenly rising in lightness, so that loud parts read in print too.
HEAT = np.array([[12, 18, 48], [34, 62, 122], [50, 118, 152], [112, 172, 140], [214, 212, 128], [253, 245, 205]])


def spectrogram_of(
    cell: Any, folder: Path | None, *, seconds: float | None = None, hertz: float = 8000.0
) -> tuple[np.ndarray, float, float] | None:
    """The log-mel (M, T) of a sound's first `seconds` up to the frequency `hertz`, low bands first, with the seconds
    drawn and the seconds in all; None where it cannot be read.
    """
    rate = max(2000, round(2 * hertz))
    most = LONGEST_SECONDS if seconds is None else min(seconds, LONGEST_SECONDS)
    try:
        wave, whole = read_sound(cell, folder, hertz=rate, max_seconds=most, max_bytes=MOST_BYTES, limit_seconds=3600.0)
    except (CellError, OSError, ValueError, RuntimeError, MemoryError):
        return None
    wave = wave[: math.ceil(most * rate)]
    hop = max(round(HOP_SECONDS * rate), -(-len(wave) // 1000))
    values = log_mel(torch.from_numpy(np.ascontiguousarray(wave)), hertz=rate, mels=MELS, hop=hop).numpy()
    return values, max(len(wave) / rate, HOP_SECONDS), whole


def coloured(values: np.ndarray, size: tuple[int, int], *, top: float | None = None) -> Image.Image:
    """A log-mel (M, T), low bands first, in colours, `size` pixels wide and high, low frequencies at the bottom.

    top: the value of the brightest colour, so that several can be compared; default the largest there is.
    """
    top = float(values.max(initial=0.0)) if top is None else top
    shade = (values[::-1] - max(top - DEPTH, 0.0)).clip(0) / min(DEPTH, max(top, 1e-6))
    small = Image.fromarray((shade * (len(HEAT) - 1)).astype(np.float32)).resize(size, Image.Resampling.BILINEAR)
    place = np.asarray(small).clip(0, len(HEAT) - 1)
    colours = np.stack([np.interp(place, range(len(HEAT)), HEAT[:, channel]) for channel in range(3)], axis=-1)
    return Image.fromarray(np.rint(colours).astype(np.uint8))


def room(scale: int = 1) -> tuple[int, int]:
    """The pixels that the spectrogram has inside the axes."""
    return (WIDTH - LEFT - RIGHT) * scale, (HEIGHT - TOP - BOTTOM) * scale


def time_ticks(seconds: float) -> list[tuple[float, str]]:
    """At most six round moments from 0 with their labels, the unit at the last.

    >>> time_ticks(0.9)
    [(0.0, '0'), (0.2, '0.2'), (0.4, '0.4'), (0.6, '0.6'), (0.8, '0.8 s')]
    """
    step = 10.0 ** math.floor(math.log10(max(seconds, 1e-3)))
    step = next(step * factor for factor in (0.1, 0.2, 0.5, 1, 2, 5) if seconds / (step * factor) <= 5.5)
    places = [round(step * number, 6) for number in range(int(seconds / step + 1e-6) + 1)]
    return [(place, f"{place:g}" + (" s" if place == places[-1] else "")) for place in places]


def hertz_ticks(hertz: float) -> list[tuple[float, str]]:
    """(share of the height, label in kilohertz), the unit at the last.

    >>> hertz_ticks(1000.0)
    [(0.0, '0'), (0.5, '0.5'), (1.0, '1 kHz')]
    """
    inside = [value for value in KILOHERTZ if value * 1000 <= hertz * 1.001]
    shares = mel_of_hertz(1000.0 * np.array(inside)) / mel_of_hertz(np.array(hertz))
    labels = [f"{value:g}" + (" kHz" if value == inside[-1] else "") for value in inside]
    return list(zip(shares.tolist(), labels))


def sound_uri(raster: Image.Image, seconds: float, hertz: float) -> str:
    """A spectrogram in its axes as an SVG data URI; `raster` fills them."""
    buffer = io.BytesIO()
    raster.convert("RGB").save(buffer, "JPEG", quality=82)
    inside = base64.b64encode(buffer.getvalue()).decode()
    wide, high = room()
    parts = [f'<rect width="{WIDTH}" height="{HEIGHT}" rx="4" fill="{GROUND}"/>',
             f'<image x="{LEFT}" y="{TOP}" width="{wide}" height="{high}" preserveAspectRatio="none" '
             f'href="data:image/jpeg;base64,{inside}"/>']
    for x, y, ends, anchor, text in _marks(seconds, hertz):
        parts.append(f'<path d="M{x:.1f} {y:.1f}L{ends[0]:.1f} {ends[1]:.1f}" stroke="{RULE}"/>')
        below = 12 if anchor != "end" else 3.5
        shift = 0 if anchor != "end" else -3
        parts.append(f'<text x="{ends[0] + shift:.1f}" y="{ends[1] + below:.1f}" text-anchor="{anchor}">{text}</text>')
    svg = (f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{HEIGHT}" viewBox="0 0 {WIDTH} {HEIGHT}" '
           f'font-family="system-ui,DejaVu Sans,sans-serif" font-size="10" fill="{INK}">{"".join(parts)}</svg>')
    return "data:image/svg+xml;base64," + base64.b64encode(svg.encode()).decode()


def framed(raster: Image.Image, seconds: float, hertz: float, *, scale: int = 1) -> Image.Image:
    """The same as pixels, WIDTH · scale wide."""
    sheet = Image.new("RGB", (WIDTH * scale, HEIGHT * scale), GROUND)
    sheet.paste(raster.convert("RGB").resize(room(scale)), (LEFT * scale, TOP * scale))
    pen, font = ImageDraw.Draw(sheet), _font(10 * scale)
    anchors = {"end": "rm", "middle": "ma"}
    for x, y, ends, anchor, text in _marks(seconds, hertz):
        pen.line([x * scale, y * scale, ends[0] * scale, ends[1] * scale], fill=RULE, width=max(1, scale // 2))
        shift = (-3, 0) if anchor == "end" else (0, 2)
        pen.text(((ends[0] + shift[0]) * scale, (ends[1] + shift[1]) * scale), text, fill=INK, font=font,
                 anchor=anchors[anchor])
    return sheet


def _marks(seconds: float, hertz: float) -> list[tuple[float, float, tuple[float, float], str, str]]:
    """Of each tick where it begins and ends, how its label is anchored, and the label."""
    wide, high = room()
    found = []
    for moment, text in time_ticks(seconds):
        x = LEFT + wide * min(moment / seconds, 1.0)
        found.append((x, float(TOP + high), (x, TOP + high + 3.0), "middle", text))
    for share, text in hertz_ticks(hertz):
        y = TOP + high * (1 - share)
        found.append((float(LEFT), y, (LEFT - 3.0, y), "end", text))
    return found


@lru_cache(maxsize=8)
def _font(size: int) -> Any:
    return ImageFont.truetype(str(Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf"), size)
