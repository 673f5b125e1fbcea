"""Boxes and points drawn on pictures: as an SVG layer over a thumbnail, or into the pixels of a picture.

Marks are JSON: {"boxes": [{"of": "true" or "predicted", "corners": [left, top, right, bottom], "label"}], "points":
[{"of", "at": [x, y], "label"}]} in pixels of the whole picture. What is true is blue and solid, what is predicted is
orange and dashed, both on a dark casing: told apart by colour-blind eyes, in grey print, and on any picture.
"""

from collections.abc import Mapping
from typing import Any

from PIL import Image, ImageDraw, ImageFont

TRUE, PREDICTED, CASING = "#56b4e9", "#f5a300", "#10181f"
LEGEND = "Solid blue: true. Dashed orange: predicted."
MOST_MARKS = 500
SPOT = 0.022  # radius of a point, as a share of the longer side


def overlay(marks: Mapping[str, Any] | None, width: int, height: int) -> str:
    """The marks as an SVG that lies over a picture of width × height; empty where there are none, or damaged ones.

    Nothing but numbers and our own words get into it.
    """
    try:
        shapes = [*_box_shapes(marks or {}), *_point_shapes(marks or {}, SPOT * max(width, height))]
    except (TypeError, ValueError, KeyError, AttributeError):
        return ""
    if not shapes:
        return ""
    return (f'<svg class="marks" viewBox="0 0 {int(width)} {int(height)}" preserveAspectRatio="none" '
            f'aria-hidden="true" fill="none">{"".join(shapes[: 2 * MOST_MARKS])}</svg>')


def _box_shapes(marks: Mapping[str, Any]) -> list[str]:
    shapes = []
    for box in marks.get("boxes", []):
        left, top, right, bottom = (float(value) for value in box["corners"])
        place = f'x="{left:.1f}" y="{top:.1f}" width="{max(right - left, 0):.1f}" height="{max(bottom - top, 0):.1f}"'
        shapes += [f'<rect {place} stroke="{CASING}" stroke-opacity=".75" stroke-width="4.5" {_FIXED}/>',
                   f'<rect {place} {_pen(box)} {_FIXED}/>']
    return shapes


def _point_shapes(marks: Mapping[str, Any], radius: float) -> list[str]:
    """Circles; the true ones and the predicted ones of one label are joined by a line."""
    shapes = []
    at: dict[str, dict[str, tuple[float, float]]] = {}
    for point in marks.get("points", []):
        x, y = (float(value) for value in point["at"])
        at.setdefault(str(point.get("label", "")), {})[str(point["of"])] = x, y
    for ends in at.values():
        if len(ends) == 2:
            (x, y), (other_x, other_y) = ends.values()
            line = f'x1="{x:.1f}" y1="{y:.1f}" x2="{other_x:.1f}" y2="{other_y:.1f}"'
            shapes += [f'<line {line} stroke="{CASING}" stroke-opacity=".75" stroke-width="3.5" {_FIXED}/>',
                       f'<line {line} stroke="#fff" stroke-width="1.2" {_FIXED}/>']
        for of, (x, y) in ends.items():
            fill = TRUE if of == "true" else PREDICTED
            shapes.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{radius:.2f}" fill="{fill}" stroke="{CASING}" '
                          f'stroke-width="1.5" {_FIXED}/>')
    return shapes


_FIXED = 'vector-effect="non-scaling-stroke"'


def _pen(mark: Mapping[str, Any]) -> str:
    if mark["of"] == "true":
        return f'stroke="{TRUE}" stroke-width="2"'
    return f'stroke="{PREDICTED}" stroke-width="2" stroke-dasharray="6 4"'


def draw_marks(picture: Image.Image, marks: Mapping[str, Any], *, scale: float = 1.0) -> Image.Image:
    """An RGB copy of the picture, `scale` times as large, with the marks in its pixels and labels beside the boxes."""
    size = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
    nearest = scale >= 2
    drawn = picture.convert("RGB").resize(size, Image.Resampling.NEAREST if nearest else Image.Resampling.LANCZOS)
    pen = ImageDraw.Draw(drawn)
    font = ImageFont.load_default(size=max(10, round(0.06 * max(size))))
    for box in marks.get("boxes", []):
        left, top, right, bottom = (float(value) * scale for value in box["corners"])
        right, bottom = max(right - 1, left), max(bottom - 1, top)
        colour = TRUE if box["of"] == "true" else PREDICTED
        pen.rectangle((left - 1, top - 1, right + 1, bottom + 1), outline=CASING, width=4)
        pen.rectangle((left, top, right, bottom), outline=colour, width=2)
        if box.get("label"):
            _write(pen, str(box["label"])[:24], (left, top), colour, font, size)
    radius = max(2.5, SPOT * max(size))
    for point in marks.get("points", []):
        x, y = (float(value) * scale for value in point["at"])
        pen.ellipse((x - radius, y - radius, x + radius, y + radius), outline=CASING, width=1,
                    fill=TRUE if point["of"] == "true" else PREDICTED)
    return drawn


def _write(pen: ImageDraw.ImageDraw, text: str, at: tuple[float, float], colour: str, font: Any,
           size: tuple[int, int]) -> None:
    """A label on a dark ground above the corner, or inside where there is no room above."""
    left, top, right, bottom = pen.textbbox((0, 0), text, font=font)
    width, height = right - left + 6, bottom - top + 5
    x = min(max(at[0] - 1, 0), max(size[0] - width, 0))
    y = at[1] - height if at[1] >= height else at[1] + 1
    pen.rectangle((x, y, x + width, y + height), fill=CASING)
    pen.text((x + 3 - left, y + 2 - top), text, fill=colour, font=font)
