"""Places in pictures: boxes and points as numbers, overlap, and the way between pictures of different size.

Measured in pixels from the top left corner, x to the right and y down; a box is left, top, right, bottom, its right and
bottom edges where the next pixel begins. The same functions take NumPy arrays and tensors.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np


def rescale_boxes(boxes: Any, size: tuple[float, float], to: tuple[float, float]) -> np.ndarray:
    """Boxes (…, 4) of a picture of (width, height) `size` as they lie in the same picture stretched to `to`.

    >>> rescale_boxes([116, 132, 241, 340], (416, 416), (1000, 667)).round().astype(int).tolist()
    [279, 212, 579, 545]
    """
    factors = np.array([to[0] / size[0], to[1] / size[1]] * 2)
    return np.asarray(boxes, dtype=np.float64) * factors


def overlap(boxes: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Intersection over union of boxes (…, 4) with others of the same shape, in 0…1; 0 for a box without area.

    >>> float(overlap(np.array([0.0, 0, 2, 2]), np.array([1.0, 0, 3, 2])))  # 2 shared of 6
    0.3333333333333333
    """
    low = np.maximum(boxes[..., :2], others[..., :2])
    high = np.minimum(boxes[..., 2:], others[..., 2:])
    shared = np.prod(np.maximum(high - low, 0.0), axis=-1)
    areas = [np.prod(np.maximum(each[..., 2:] - each[..., :2], 0.0), axis=-1) for each in (boxes, others)]
    union = areas[0] + areas[1] - shared
    return np.divide(shared, union, out=np.zeros_like(union), where=union > 0)


def centred(corners: Any) -> Any:
    """Boxes (…, 4) from left, top, right, bottom to centre x, centre y, width, height."""
    low, high = corners[..., :2], corners[..., 2:]
    return _side_by_side((low + high) / 2, high - low)


def cornered(centres: Any) -> Any:
    """Boxes (…, 4) from centre x, centre y, width, height to left, top, right, bottom.

    >>> cornered(np.array([5.0, 4.0, 2.0, 6.0])).tolist()
    [4.0, 1.0, 6.0, 7.0]
    """
    middle, half = centres[..., :2], centres[..., 2:] / 2
    return _side_by_side(middle - half, middle + half)


def framed(framings: Sequence[Any], side: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """How places of pictures are found in the squares of `side` pixels that a network sees, from their `Framing`s.

    scale, shift float64 (B, 2): share of the square = place in the picture's own pixels · scale + shift; longest (B,):
    the longer side of each picture in its own pixels, NaN (and scale 1/side, shift 0) where there is no picture.
    """
    scale, shift = np.full((len(framings), 2), 1 / side), np.zeros((len(framings), 2))
    longest = np.full(len(framings), np.nan)
    for row, framing in enumerate(framings):
        if framing is not None:
            left, top, width, height = framing.box
            scale[row] = width / framing.original[0] / side, height / framing.original[1] / side
            shift[row] = left / side, top / side
            longest[row] = max(framing.original)
    return scale, shift, longest


def _side_by_side(first: Any, second: Any) -> Any:
    if isinstance(first, np.ndarray):
        return np.concatenate([first, second], axis=-1)
    import torch

    return torch.cat([first, second], dim=-1)
