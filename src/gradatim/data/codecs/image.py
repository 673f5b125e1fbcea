"""Pictures: cell ⇄ uint8 (channels, size, size).

Any picture is brought to one form: turned as its EXIF says, transparency laid over white, palette, CMYK and
16-bit samples converted, the first frame of an animation taken, resized to a square of `size` pixels. With
`fit='pad'` (default) the aspect is kept and the margins are mid grey, which is near zero after normalising;
`fit='stretch'` fills the square. `fit` decides from a sample of 256 training pictures:

* channels: 1 when every sampled picture is grey, else 3;
* size: the median short side, rounded to a multiple of 4, from 16 to 96;
* white: the level of 16-bit samples that becomes 255: the least of 255, 1023, 4095, 16383 and 65535 that none of
  the sample exceeds, as cameras and scanners use 10 to 16 bits;
* mean and std of each channel over pixels in 0…1, margins excluded.

Pictures of strangers: the bytes and the pixels that the header promises are limited before decoding, and only
common formats are opened.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from PIL import Image

from gradatim.data.batch import Field
from gradatim.data.codecs import checks
from gradatim.data.codecs.picture import deepest, open_picture, upright
from gradatim.data.codecs.sample import sample_of
from gradatim.errors import CellError, SchemaError

SAMPLE = 256  # pictures looked at in `fit`
SMALLEST, LARGEST = 16, 96  # of the size chosen by itself
MARGIN = 128  # grey level of padding
WHITES = (255, 1023, 4095, 16383, 65535)
TINT = 16  # levels between channels from which a pixel counts as coloured


@dataclass(frozen=True, slots=True)
class Framing:
    """Where a picture lies in its square: its own width and height, and left, top, width, height in the square."""

    original: tuple[int, int]
    box: tuple[int, int, int, int]


class ImageCodec:
    """A picture: file name, bytes, PIL picture, or array (H, W), (H, W, C) or (C, H, W).

    size: side in pixels (None: chosen by `fit`); channels: 1, 3 or None (chosen by `fit`); fit: 'pad' or 'stretch';
    max_bytes, max_pixels: limits of one file. Arrays are uint8, bool, uint16, or floats in 0…1.
    Errors: CellError 'image-missing', 'image-outside', 'image-too-large', 'image-unreadable'; SchemaError when no
    training picture can be read.

    >>> codec = ImageCodec(size=8).fit([np.zeros((8, 8), np.uint8)])
    >>> codec.encode(np.full((4, 8), 255, np.uint8))[0].shape
    (1, 8, 8)
    """

    kind = "image"

    def __init__(self, *, size: int | None = None, channels: int | None = None, fit: str = "pad",
                 max_bytes: int = 64 * 2**20, max_pixels: int = 64_000_000) -> None:
        self._size = None if size is None else checks.whole(size, "size", 1, 1024)
        if channels not in (None, 1, 3) or isinstance(channels, bool):
            raise SchemaError(f"channels: expected 1 or 3, received {channels!r}")
        self._channels = channels
        self.framing = checks.choice(fit, "fit", ("pad", "stretch"))
        self.max_bytes = checks.whole(max_bytes, "max_bytes", 1, 2**40)
        self.max_pixels = checks.whole(max_pixels, "max_pixels", 1, 2**31)
        self.size, self.channels, self.white = size or 32, channels or 3, WHITES[-1]
        self.mean: tuple[float, ...] = (0.5,) * self.channels
        self.std: tuple[float, ...] = (0.25,) * self.channels

    def fit(self, cells: Sequence[object], folder: Path | None = None) -> Self:
        """Choose size, white level and channels, and measure mean and std, on a sample of the pictures."""
        sample = sample_of(cells, SAMPLE)
        short, highest, failure = [], 0, "every cell is missing"
        for cell in sample:
            try:
                image = self._open(cell, folder)
            except CellError as error:
                failure = str(error)
                continue
            short.append(min(image.size))
            highest = max(highest, deepest(image))
        self.white = next((white for white in WHITES if highest <= white), WHITES[-1]) if highest else WHITES[-1]
        if self._size is None and short:
            self.size = int(min(max(4 * round(float(np.median(short)) / 4), SMALLEST), LARGEST))
        contents = []
        for cell in sample:
            try:
                contents.append(self._content(cell, folder)[0])
            except CellError as error:
                failure = str(error)
        if not contents:
            raise SchemaError(f"expected a readable picture in the training rows, received none ({failure}); "
                              "check the file names and the folder that they are relative to")
        self.channels = self._channels or (3 if any(map(_coloured, contents)) else 1)
        self.mean, self.std = _moments([np.asarray(image.convert(self._mode)) for image in contents])
        return self

    def encode(self, cell: object, folder: Path | None = None) -> tuple[np.ndarray | None, Framing | None]:
        """uint8 (channels, size, size) and where the picture lies in it; (None, None) when missing."""
        if cell is None:
            return None, None
        image, framing = self._content(cell, folder)
        if image.mode != self._mode:
            image = image.convert(self._mode)
        if image.size != (self.size, self.size):
            square = Image.new(self._mode, (self.size, self.size), MARGIN if self.channels == 1 else (MARGIN,) * 3)
            square.paste(image, framing.box[:2])
            image = square
        array = np.asarray(image)
        return (array[None] if self.channels == 1 else np.ascontiguousarray(array.transpose(2, 0, 1))), framing

    def stack(self, values: Sequence[np.ndarray | None]) -> torch.Tensor:
        """uint8 (B, channels, size, size)."""
        stacked = np.zeros((len(values), self.channels, self.size, self.size), np.uint8)
        for row, value in enumerate(values):
            if value is not None:
                stacked[row] = value
        return torch.from_numpy(stacked)

    def trim(self, field: Field) -> Field:
        """Nothing to cut."""
        return field

    def decode(self, output: Any, context: Framing | None = None) -> Image.Image:
        """A PIL picture from (channels, size, size), uint8 or floats in 0…1; without margins, in its own size,
        when the context is given."""
        array = np.asarray(output.detach().cpu() if isinstance(output, torch.Tensor) else output)
        if array.dtype != np.uint8:
            array = np.rint(np.clip(array.astype(np.float64), 0, 1) * 255).astype(np.uint8)
        image = Image.fromarray(array[0] if len(array) == 1 else np.ascontiguousarray(array.transpose(1, 2, 0)))
        if context is None:
            return image
        left, top, width, height = context.box
        image = image.crop((left, top, left + width, top + height))
        return image if image.size == context.original else image.resize(context.original, Image.Resampling.BILINEAR)

    def describe(self) -> dict[str, Any]:
        """What an encoder needs: channels, size in pixels, mean and std per channel over 0…1."""
        return {"channels": self.channels, "size": self.size, "mean": list(self.mean), "std": list(self.std)}

    def cache_key(self) -> str:
        """Codecs with equal keys encode every cell alike; mean and std are applied later, by the network."""
        return json.dumps([self.kind, self.size, self.channels, self.framing, self.white, self.max_bytes,
                           self.max_pixels])

    def to_json(self) -> dict[str, Any]:
        """A JSON object that `from_json` reads back."""
        return {
            "kind": self.kind,
            "options": {"size": self._size, "channels": self._channels, "fit": self.framing,
                        "max_bytes": self.max_bytes, "max_pixels": self.max_pixels},
            "fitted": {"size": self.size, "channels": self.channels, "white": self.white,
                       "mean": list(self.mean), "std": list(self.std)},
        }

    @classmethod
    def from_json(cls, value: Any) -> Self:
        """Read what `to_json` wrote."""
        with checks.reading(cls.kind):
            options, fitted = checks.parts(value, cls.kind)
            codec = cls(**options)
            codec.size = checks.whole(fitted["size"], "size", 1, 1024)
            codec.channels = checks.whole(fitted["channels"], "channels", 1, 3)
            if codec.channels == 2:
                raise SchemaError("channels: expected 1 or 3")
            codec.white = checks.whole(fitted["white"], "white", 1, 65535)
            codec.mean = checks.reals(fitted["mean"], "mean", codec.channels, 0, 1)
            codec.std = checks.reals(fitted["std"], "std", codec.channels, 1e-6, 1)
        return codec

    @property
    def _mode(self) -> str:
        return "L" if self.channels == 1 else "RGB"

    def _open(self, cell: object, folder: Path | None) -> Image.Image:
        return open_picture(cell, folder, max_bytes=self.max_bytes, max_pixels=self.max_pixels)

    def _content(self, cell: object, folder: Path | None) -> tuple[Image.Image, Framing]:
        """The picture resized, without margins, and its framing."""
        # A JPEG decoded at twice the size wanted, or more, and then averaged looks as if decoded whole.
        image = self._open(cell, folder)
        own = image.size
        # A caller's own PIL picture is left as it is.
        draft = None if image is cell else (2 * self.size, 2 * self.size)
        image = upright(image, white=self.white, draft=draft)
        width, height = image.size
        # In draft mode the picture is smaller than the file's, and it may have been turned.
        original = own if (own[0] >= own[1]) == (width >= height) else (own[1], own[0])
        if self.framing == "stretch":
            inner = (self.size, self.size)
        else:
            scale = self.size / max(original)
            inner = (max(1, round(original[0] * scale)), max(1, round(original[1] * scale)))
        if image.size != inner:
            image = image.resize(inner, Image.Resampling.BILINEAR, reducing_gap=3.0)
        left, top = (self.size - inner[0]) // 2, (self.size - inner[1]) // 2
        return image, Framing(original, (left, top, *inner))


def _coloured(image: Image.Image) -> bool:
    if image.mode == "L":
        return False
    array = np.asarray(image).astype(np.int16)
    return bool((array.max(-1) - array.min(-1)).max() > TINT)


def _moments(pictures: Sequence[np.ndarray]) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation of each channel over all pixels, in 0…1; a std under 1/255 is taken for 1/255."""
    pixels = [picture.reshape(-1, 1 if picture.ndim == 2 else picture.shape[-1]) / 255 for picture in pictures]
    count = sum(map(len, pixels))
    mean = sum(part.sum(0) for part in pixels) / count
    std = np.sqrt(np.maximum(sum((part**2).sum(0) for part in pixels) / count - mean**2, 0))
    return tuple(map(float, mean)), tuple(map(float, np.maximum(std, 1 / 255)))
