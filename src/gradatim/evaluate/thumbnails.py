"""What a row looks like: its picture as a small data URI, its sound as a spectrogram with its numbers, its text.

Cells come from strangers: names stay under their folder, bytes and pixels are limited before decoding, and what
cannot be shown is named instead.
"""

import base64
import io
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from scipy.signal import stft

from gradatim.data.codecs.cell_files import file_cell
from gradatim.data.codecs.picture import open_picture, picture_size, upright
from gradatim.data.codecs.series_cells import ENDINGS, read_series
from gradatim.data.codecs.sound import read_sound, sound_header
from gradatim.errors import CellError, GradatimError
from gradatim.evaluate.marks import overlay
from gradatim.evaluate.series_drawing import MOST_STRIPS, series_uri
from gradatim.evaluate.sound_drawing import HEAT

SIDE = 168
LONGEST_TEXT = 280
MOST_BYTES = 32 * 2**20
MOST_PIXELS = 64_000_000
LONGEST_SECONDS, LIMIT_SECONDS = 30.0, 3600.0  # of a sound: drawn, taken at all
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")


@dataclass(frozen=True, slots=True)
class View:
    """A cell to show: `image` is a data URI or empty, `text` a line or a passage, `note` its numbers, `overlay` an
    SVG of marks that lies over the image."""

    column: str
    kind: str
    text: str = ""
    image: str = ""
    note: str = ""
    small: bool = False
    overlay: str = ""


def view_cell(
    column: str, kind: str, cell: Any, folder: Path | None, marks: Mapping[str, Any] | None = None
) -> View:
    """How to show a cell of that kind; a cell that cannot be read gives its name and the reason.

    marks: boxes and points to draw on a picture (`gradatim.evaluate.marks`).
    """
    if cell is None:
        return View(column, kind, note="missing")
    if kind not in ("image", "audio", "series"):
        return View(column, kind, text=plain(cell))
    try:
        if kind == "series":
            return _series(column, cell, folder)
        return _picture(column, cell, folder, marks) if kind == "image" else _sound(column, cell, folder)
    except CellError as error:
        return View(column, kind, text=_name(cell), note=plain(str(error).removeprefix(f"{_name(cell)}: ")))
    except (GradatimError, OSError, ValueError, RuntimeError, MemoryError, SyntaxError) as error:
        return View(column, kind, text=_name(cell), note=plain(f"cannot be shown: {error}"))


def plain(cell: Any, longest: int = LONGEST_TEXT) -> str:
    """A cell as text without control characters, cut with an ellipsis.

    >>> plain(12.5), plain("a" * 9, longest=4)
    ('12.5', 'aaa…')
    """
    if isinstance(cell, float):
        cell = f"{cell:.6g}"
    text = _CONTROL.sub("\N{REPLACEMENT CHARACTER}", str(cell)[: 4 * longest]).strip()
    return text if len(text) <= longest else text[: longest - 1].rstrip() + "…"


def picture_uri(image: Image.Image, *, side: int = SIDE) -> str:
    """A picture no larger than `side` as a data URI: PNG while it is small, else JPEG."""
    image = image if image.mode in ("L", "RGB") else image.convert("RGB")
    if max(image.size) > side:
        image = image.copy()
        image.thumbnail((side, side), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    if image.width * image.height <= 72 * 72:
        image.save(buffer, "PNG", optimize=True)
        return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()
    image.save(buffer, "JPEG", quality=80)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()


def _picture(column: str, cell: Any, folder: Path | None, marks: Mapping[str, Any] | None) -> View:
    image = open_picture(cell, folder, max_bytes=MOST_BYTES, max_pixels=MOST_PIXELS)
    width, height = image.size
    turned = picture_size(image, None, max_bytes=MOST_BYTES, max_pixels=MOST_PIXELS)
    image = upright(image, white=65535 if image.mode.startswith("I;16") else 255, draft=(2 * SIDE, 2 * SIDE))
    size = f"{width}\N{NO-BREAK SPACE}×\N{NO-BREAK SPACE}{height}"
    return View(column, "image", _name(cell), picture_uri(image), size, max(image.size) <= 96,
                overlay(marks, *turned))


def _series(column: str, cell: Any, folder: Path | None) -> View:
    """Lines over time, and the steps, channels and range in numbers."""
    values = read_series(cell, folder, max_bytes=MOST_BYTES)
    if values is None:
        return View(column, "series", note="missing")
    name = _name(cell) if isinstance(cell, str) and cell.strip().lower().endswith(ENDINGS) else ""
    note = f"{values.shape[1]:,} steps, {np.nanmin(values):.3g} to {np.nanmax(values):.3g}"
    if len(values) > 1:
        shown = f", the first {MOST_STRIPS} shown" if len(values) > MOST_STRIPS else ""
        note += f", {len(values)} channels{shown}"
    missing = int(np.isnan(values).sum())
    return View(column, "series", name, series_uri(values), note + (f", {missing:,} missing" if missing else ""))


def _sound(column: str, cell: Any, folder: Path | None) -> View:
    """Log-power spectrogram of the first seconds, low frequencies at the bottom, 70 dB deep."""
    hertz, channels, seconds = sound_header(cell, folder, max_bytes=MOST_BYTES, limit_seconds=LIMIT_SECONDS)
    wave, _ = read_sound(cell, folder, hertz=hertz, max_seconds=LONGEST_SECONDS, max_bytes=MOST_BYTES,
                         limit_seconds=LIMIT_SECONDS)
    note = f"{seconds:.2f} s, {hertz:,} Hz, {channels} channel{'s' if channels > 1 else ''}"
    if not len(wave):
        return View(column, "audio", _name(cell), note=note + ", no samples to draw")
    wave = wave.astype(np.float64)
    level = 20 * np.log10(max(float(np.sqrt((wave**2).mean())), 1e-10))
    note += f", {level:.0f} dB".replace("-", "−") if level > -120 else ", silent"
    window = int(min(max(64, 2 ** round(np.log2(hertz * 0.032))), 2048))
    wave = np.pad(wave, (0, max(0, 2 * window - len(wave))))
    _, _, spectrum = stft(wave, nperseg=window, noverlap=window // 2)
    decibels = 20 * np.log10(np.abs(spectrum) + 1e-10)
    shade = ((decibels - decibels.max()) / 70 + 1).clip(0, 1)[::-1]
    small = Image.fromarray(np.rint(shade * 255).astype(np.uint8)).resize((260, 110), Image.Resampling.BILINEAR)
    place = np.asarray(small) / 255 * (len(HEAT) - 1)
    colours = np.stack([np.interp(place, range(len(HEAT)), HEAT[:, c]) for c in range(3)], axis=-1)
    return View(column, "audio", _name(cell), picture_uri(Image.fromarray(colours.astype(np.uint8)), side=260), note)


def _name(cell: Any) -> str:
    content = file_cell(cell)
    return plain(content, 80) if isinstance(content, str) else ""
