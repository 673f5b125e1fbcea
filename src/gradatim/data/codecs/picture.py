"""Any picture as 8-bit grey or RGB: what a file, an array or a PIL picture means, before it is resized."""

import io
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from gradatim.data.codecs.cell_files import check_size, file_cell, read_bytes, shown
from gradatim.errors import CellError

# Opened formats. Those left out run other programs (EPS), or are containers of little use here.
FORMATS = ("PNG", "JPEG", "GIF", "WEBP", "BMP", "TIFF", "PPM", "AVIF", "JPEG2000", "TGA", "ICO")
DEEP_MODES = ("I;16", "I;16L", "I;16B", "I;16N", "I")
# EXIF orientation (tag 0x0112) → what turns the picture upright.
ORIENTATION_TAG = 0x0112
TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT, 3: Image.Transpose.ROTATE_180, 4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE, 6: Image.Transpose.ROTATE_270, 7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def open_picture(cell: object, folder: Path | None, *, max_bytes: int, max_pixels: int) -> Image.Image:
    """A picture whose header was read and found within the limits; its pixels may not be decoded yet.

    Errors: CellError 'image-missing', 'image-outside', 'image-too-large', 'image-unreadable'.
    """
    content = file_cell(cell)
    name = shown(content) if isinstance(content, str) else "picture"
    if isinstance(content, str):
        content = read_bytes(content, folder, kind="image", max_bytes=max_bytes)
    elif content is not None:
        check_size(len(content), name, kind="image", max_bytes=max_bytes)
    if content is not None:
        image = _open_bytes(content, name, max_pixels)
    elif isinstance(cell, Image.Image):
        image = cell
    else:
        image = picture_of_array(cell)
    width, height = image.size
    if width < 1 or height < 1:
        raise CellError("image-unreadable", f"{name}: expected at least one pixel, received {width}×{height}")
    if width * height > max_pixels:
        raise CellError("image-too-large", f"{name}: expected at most {max_pixels} pixels, its header promises "
                                           f"{width}×{height}; raise the option max_pixels")
    return image


def picture_size(cell: object, folder: Path | None, *, max_bytes: int, max_pixels: int) -> tuple[int, int]:
    """Width and height of a picture turned as EXIF says, from its header alone; errors as `open_picture`."""
    image = open_picture(cell, folder, max_bytes=max_bytes, max_pixels=max_pixels)
    width, height = image.size
    across = (Image.Transpose.TRANSPOSE, Image.Transpose.TRANSVERSE, Image.Transpose.ROTATE_90,
              Image.Transpose.ROTATE_270)
    return (height, width) if _turn(image) in across else (width, height)


def upright(image: Image.Image, *, white: int, draft: tuple[int, int] | None = None) -> Image.Image:
    """Decode to 8-bit 'L' or 'RGB', turned as EXIF says, transparency over white; the first frame.

    white: the level of 16-bit samples that becomes 255; draft: a JPEG larger than this may be decoded at 1/2, 1/4
    or 1/8. Errors: CellError 'image-unreadable' (truncated or damaged data).
    """
    try:
        if draft is not None and image.format in ("JPEG", "MPO"):
            image.draft(None, draft)
        image.load()
        turn = _turn(image)
        if image.mode in DEEP_MODES or image.mode == "F":
            image = _eight_bits(image, white)
        elif image.has_transparency_data:
            image = image.convert("RGBA")
            image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")
        elif image.mode in ("1", "L"):
            image = image if image.mode == "L" else image.convert("L")
        elif image.mode != "RGB":
            image = image.convert("RGB")
        return image if turn is None else image.transpose(turn)
    except CellError:
        raise
    except Exception as error:  # the decoders raise almost anything on damaged data
        raise CellError("image-unreadable", f"expected a whole picture, received damaged data ({error})") from None


def picture_of_array(value: Any) -> Image.Image:
    """A picture from (H, W), (H, W, 1 | 3 | 4) or (1 | 3 | 4, H, W): uint8, bool, uint16, or floats in 0…1.

    >>> picture_of_array(np.zeros((3, 8, 9), np.uint8)).size
    (9, 8)
    """
    try:
        array = np.asarray(value)
    except (ValueError, TypeError):
        array = np.empty(0)
    if array.ndim == 3 and array.shape[-1] not in (1, 3, 4) and array.shape[0] in (1, 3, 4):
        array = np.moveaxis(array, 0, -1)
    if array.ndim == 3 and array.shape[-1] == 1:
        array = array[..., 0]
    flat = array.ndim == 2
    shaped = flat or (array.ndim == 3 and array.shape[-1] in (3, 4))
    if not array.size or not shaped or array.dtype.kind not in "buif":
        raise CellError("image-unreadable", "expected a file name, bytes, a PIL picture or an array (H, W), (H, W, C) "
                                            f"or (C, H, W), received {type(value).__name__} {array.shape}")
    low, high = float(array.min()), float(array.max())
    if not (low >= 0 and high <= {"f": 1.0, "b": 1.0}.get(array.dtype.kind, 65535.0)):  # also refuses NaN
        raise CellError("image-unreadable", "expected floats in 0…1 or whole numbers in 0…65535, "
                                            f"received {low:g}…{high:g}")
    if array.dtype.kind in "fb":
        array = np.rint(array.astype(np.float32) * 255).astype(np.uint8)
    elif array.dtype == np.uint16 and flat:
        return Image.fromarray(np.ascontiguousarray(array))
    elif array.dtype != np.uint8:
        array = (array >> 8 if high > 255 else array).astype(np.uint8)
    return Image.fromarray(np.ascontiguousarray(array))


def deepest(image: Image.Image) -> int:
    """The highest level of a picture with 16-bit samples; 0 for the other modes."""
    if image.mode not in DEEP_MODES:
        return 0
    try:
        image.load()
        return int(np.asarray(image).max())
    except Exception:  # damaged data is reported where the picture is decoded
        return 0


def _open_bytes(content: bytes, name: str, max_pixels: int) -> Image.Image:
    try:
        return Image.open(io.BytesIO(content), formats=FORMATS)
    except Image.DecompressionBombError:
        raise CellError("image-too-large", f"{name}: expected at most {max_pixels} pixels, its header promises "
                                           "far more") from None
    except Exception:  # as above
        raise CellError("image-unreadable", f"{name}: expected a picture ({', '.join(FORMATS[:6])} …), received "
                                            "something else or a damaged header") from None


def _turn(image: Image.Image) -> Image.Transpose | None:
    if image.format not in ("JPEG", "MPO", "TIFF") and "exif" not in image.info:
        return None
    try:
        return TURNS.get(image.getexif().get(ORIENTATION_TAG, 1))
    except Exception:  # a damaged EXIF block does not make the picture unreadable
        return None


def _eight_bits(image: Image.Image, white: int) -> Image.Image:
    array = np.asarray(image).astype(np.float32)
    if image.mode == "F":
        array = np.nan_to_num(array, nan=0.0, posinf=0.0, neginf=0.0)
        white = 1 if array.max() <= 1 else (255 if array.max() <= 255 else white)
    return Image.fromarray(np.rint(np.clip(array * (255 / white), 0, 255)).astype(np.uint8))
