"""Heat over a picture: blue where a part speaks for the answer, orange where it speaks against, grey where neither.

The two colours differ for every kind of colour blindness, and in lightness for print. The picture itself is shown in
grey under the heat, so that a blue sky is not taken for a reason.
"""

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from gradatim.data.codecs.picture import open_picture, upright
from gradatim.errors import CellError, GradatimError
from gradatim.evaluate.explain.explanation import smaller
from gradatim.evaluate.thumbnails import MOST_BYTES, MOST_PIXELS, picture_uri

SIDE = 224
FOR, AGAINST = np.array([31.0, 95.0, 190.0]), np.array([222.0, 120.0, 20.0])
STRONGEST = 0.82  # share of colour where the heat is greatest
BLOCKS = 200  # parts of a sound that were taken away one by one are shown as they are, not blurred


def shown_picture(cell: Any, folder: Path | None, *, side: int = SIDE) -> Image.Image | None:
    """The picture in a cell, RGB, `side` pixels long; None where it cannot be read."""
    try:
        image = open_picture(cell, folder, max_bytes=MOST_BYTES, max_pixels=MOST_PIXELS)
        image = upright(image, white=65535 if image.mode.startswith("I;16") else 255, draft=(2 * side, 2 * side))
    except (CellError, GradatimError, OSError, ValueError, RuntimeError, SyntaxError):
        return None
    return resized(image.convert("RGB"), side)


def resized(image: Image.Image, side: int) -> Image.Image:
    """The picture with its longer side so many pixels; small ones are enlarged with their pixels to be seen."""
    scale = side / max(image.size)
    size = max(1, round(image.width * scale)), max(1, round(image.height * scale))
    kind = Image.Resampling.NEAREST if scale > 2 else Image.Resampling.BICUBIC
    return image.resize(size, kind)


def strength(heat: np.ndarray) -> np.ndarray:
    """The heat between −1 and 1, as much of its greatest size as its 99.5th percentile is."""
    heat = np.nan_to_num(np.asarray(heat, dtype=np.float64))
    top = float(np.quantile(np.abs(heat), 0.995)) if heat.size else 0.0
    top = top or float(np.abs(heat).max(initial=0.0))
    return np.clip(heat / top, -1, 1) if top > 0 else heat


def overlay(picture: Image.Image | None, heat: np.ndarray, *, side: int = SIDE) -> Image.Image:
    """The heat over the picture in grey; over mid grey where there is no picture."""
    if picture is None:
        scale = side / max(heat.shape)
        picture = Image.new("RGB", (max(1, round(heat.shape[1] * scale)), max(1, round(heat.shape[0] * scale))),
                            (128, 128, 128))
    value = Image.fromarray(strength(heat).astype(np.float32)).resize(picture.size, Image.Resampling.BILINEAR)
    amount = np.asarray(value)[..., None]
    grey = np.asarray(picture.convert("L"), dtype=np.float64)[..., None]
    base = 70 + 0.62 * np.repeat(grey, 3, axis=2)  # less contrast, so that the heat is seen on black and on white
    colour = np.where(amount >= 0, FOR, AGAINST)
    share = STRONGEST * np.abs(amount) ** 0.8
    return Image.fromarray(np.rint(base * (1 - share) + colour * share).clip(0, 255).astype(np.uint8))


def heat_uri(picture: Image.Image | None, heat: Any, *, side: int = SIDE) -> str:
    """`overlay` as a data URI."""
    return picture_uri(overlay(picture, smaller(np.asarray(heat, dtype=np.float64), side), side=side), side=side)


def heat_over(heat: np.ndarray, raster: Image.Image, share: float = 1.0) -> Image.Image:
    """The heat of a sound over its spectrogram in grey, where the spectrogram fills this share of the heat's time."""
    heat = np.atleast_2d(heat)
    whole = Image.fromarray(strength(heat).astype(np.float32))
    inside = (0.0, 0.0, min(max(share, 1e-6), 1.0) * heat.shape[1], float(heat.shape[0]))
    kind = Image.Resampling.NEAREST if heat.size <= BLOCKS else Image.Resampling.BILINEAR
    return overlay(raster, np.asarray(whole.resize(raster.size, kind, box=inside)))
