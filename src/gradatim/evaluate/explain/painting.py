"""An explanation as a PNG picture, light: the same bars, heat and words as on the page, 720 pixels wide."""

import io
from functools import lru_cache
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from gradatim.data.table import Table
from gradatim.evaluate.explain.explanation import METHODS, Explanation, Part
from gradatim.evaluate.explain.heat import AGAINST, FOR, heat_over, overlay, shown_picture
from gradatim.evaluate.sound_drawing import coloured, framed, room, spectrogram_of
from gradatim.evaluate.thumbnails import plain

WIDTH, EDGE, SCALE = 720, 28, 2
INK, MUTED, RULE, PAPER = (28, 34, 38), (93, 104, 111), (220, 223, 220), (252, 252, 250)
LONGEST_TEXT = 1500


@lru_cache(maxsize=8)
def _font(size: float, bold: bool = False) -> Any:
    name = "DejaVuSans-Bold.ttf" if bold else "DejaVuSans.ttf"
    return ImageFont.truetype(str(Path(matplotlib.get_data_path()) / "fonts" / "ttf" / name), round(size * SCALE))


class _Sheet:
    """A canvas that is written from the top downwards and cut where the writing ends."""

    def __init__(self) -> None:
        self.image = Image.new("RGB", (WIDTH * SCALE, 6000 * SCALE), PAPER)
        self.draw = ImageDraw.Draw(self.image)
        self.y = float(EDGE)

    def write(self, x: float, text: str, *, size: float = 15, bold: bool = False, colour: Any = INK,
              right: bool = False) -> float:
        """A line at the present height; returns where it ends."""
        font = _font(size, bold)
        width = font.getlength(text) / SCALE
        start = x - width if right else x
        self.draw.text((start * SCALE, self.y * SCALE), text, font=font, fill=colour)
        return start + width

    def bar(self, share: float) -> None:
        """A bar from the middle to the right for, to the left against."""
        middle, half, top = WIDTH / 2, WIDTH / 2 - EDGE, self.y
        self._box(EDGE, top, WIDTH - EDGE, top + 7, RULE)
        colour = tuple(int(c) for c in (FOR if share >= 0 else AGAINST))
        self._box(min(middle, middle + share * half), top, max(middle, middle + share * half), top + 7, colour)
        self._box(middle - 0.5, top, middle + 0.5, top + 7, INK)
        self.y += 14

    def _box(self, left: float, top: float, right: float, bottom: float, colour: Any) -> None:
        if right - left >= 0.5:
            self.draw.rectangle([left * SCALE, top * SCALE, right * SCALE - 1, bottom * SCALE - 1],
                                fill=colour)

    def words(self, words: tuple[tuple[str, float], ...]) -> None:
        """The text with its pieces on coloured grounds, in lines."""
        most = max((abs(score) for _, score in words), default=0.0)
        font, x, length = _font(15), float(EDGE), 0
        for text, score in words:
            for piece in _broken(plain(text, 400) if text.strip() else " "):
                length += len(piece)
                width = font.getlength(piece) / SCALE
                if x + width > WIDTH - EDGE and piece.strip():
                    x, self.y = float(EDGE), self.y + 26
                if score and most:
                    share = 0.65 * abs(score) / most
                    ground = np.array(PAPER) * (1 - share) + (FOR if score > 0 else AGAINST) * share
                    self._box(x - 1, self.y - 2, x + width + 1, self.y + 21, tuple(int(c) for c in ground))
                self.draw.text((x * SCALE, self.y * SCALE), piece, font=font, fill=INK)
                x += width
            if length > LONGEST_TEXT:
                break
        self.y += 32

    def pictures(self, images: list[Image.Image]) -> None:
        """Side by side."""
        x = float(EDGE)
        for image in images:
            self.image.paste(image.resize((image.width * SCALE, image.height * SCALE), Image.Resampling.NEAREST),
                             (round(x * SCALE), round(self.y * SCALE)))
            x += image.width + 16
        self.y += max(image.height for image in images) + 14

    def drawings(self, images: list[Image.Image]) -> None:
        """Side by side, their pixels as they are."""
        x = float(EDGE)
        for image in images:
            self.image.paste(image, (round(x * SCALE), round(self.y * SCALE)))
            x += image.width / SCALE + 16
        self.y += max(image.height for image in images) / SCALE + 14

    def png(self) -> bytes:
        """The bytes, down to where the writing ends."""
        buffer = io.BytesIO()
        bottom = min(round((self.y + EDGE / 2) * SCALE), self.image.height)
        self.image.crop((0, 0, self.image.width, bottom)).save(buffer, "PNG", optimize=True)
        return buffer.getvalue()


def _broken(text: str) -> list[str]:
    """Words with their spaces, so that lines can break between them."""
    parts = text.split(" ")
    return [" "] if text == " " else [part + " " * (place < len(parts) - 1) for place, part in enumerate(parts)]


def explanation_png(explanation: Explanation, *, table: Table | None = None) -> bytes:
    """The picture as PNG bytes, two pixels a point. table: where pictures are read from."""
    sheet, folder = _Sheet(), None if table is None else table.folder
    place = f"line {explanation.line}" if explanation.line is not None else f"row {explanation.row}"
    said = explanation.predicted if isinstance(explanation.predicted, str) else f"{explanation.predicted:.4g}"
    sure = "" if explanation.probability is None else f" with {explanation.probability:.1%}"
    sheet.write(EDGE, f"{place}: {plain(said, 40)}{sure}", size=21, bold=True)
    sheet.y += 34
    truth = "" if explanation.true is None else f"true {plain(explanation.true, 40)} · "
    of = f"{explanation.unit} of {plain(explanation.explained, 30)}: {explanation.score:+.3g}"
    sheet.write(EDGE, f"{truth}{METHODS[explanation.method][0]}, {of}", size=13, colour=MUTED)
    sheet.y += 22
    end = sheet.write(EDGE, "speaks for", size=13, bold=True, colour=tuple(int(c) for c in FOR))
    sheet.write(end + 14, "speaks against", size=13, bold=True, colour=tuple(int(c * 0.86) for c in AGAINST))
    sheet.y += 32
    most = max((abs(part.total) for part in explanation.parts if part.total is not None), default=0.0)
    for part in explanation.parts:
        _draw_part(sheet, part, most, folder)
    return sheet.png()


def _draw_part(sheet: _Sheet, part: Part, most: float, folder: Path | None) -> None:
    sheet.write(EDGE, plain(part.column, 50), bold=True)
    if part.total is not None:
        sheet.write(WIDTH - EDGE, f"{part.total:+.3g}", right=True)
    sheet.y += 24
    if part.total is not None and most:
        sheet.bar(part.total / most)
    images = []
    if part.kind == "image" and part.cell is not None:
        picture = shown_picture(part.cell, folder, side=300)
        images = [picture] if picture is not None else []
        if part.heat is not None:
            images.append(overlay(picture, part.heat, side=300))
    elif part.kind == "audio" and part.cell is not None:
        images = _sound_images(part, folder)
    elif part.heat is not None:
        strip = np.repeat(part.heat, 3, axis=0) if len(part.heat) == 1 else part.heat
        images = [overlay(None, strip, side=400)]
    if images and part.kind == "audio":
        sheet.drawings(images)
    elif images:
        sheet.pictures(images)
    elif part.words:
        sheet.words(part.words)
    else:
        sheet.write(EDGE, "missing" if part.cell is None else plain(part.cell, 80), colour=MUTED)
        sheet.y += 30
    if part.note and part.cell is not None:
        sheet.write(EDGE, plain(part.note, 100), size=13, colour=MUTED)
        sheet.y += 26


def _sound_images(part: Part, folder: Path | None) -> list[Image.Image]:
    """The spectrogram, and the heat over it in grey, with seconds and kilohertz; nothing where it cannot be read."""
    hertz = part.hertz or 8000.0
    drawn = spectrogram_of(part.cell, folder, seconds=part.seconds, hertz=hertz)
    if drawn is None:
        return []
    values, seconds, _ = drawn
    raster = coloured(values, room(SCALE))
    rasters = [raster]
    if part.heat is not None:
        rasters.append(heat_over(part.heat, raster, seconds / (part.seconds or seconds)))
    return [framed(each, seconds, hertz, scale=SCALE) for each in rasters]
