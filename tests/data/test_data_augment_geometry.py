"""Moves of pictures: against loops over single pictures, scikit-image and PIL; boxes and points by hypothesis."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as some
from PIL import Image
from skimage import transform

from gradatim.data.augment_geometry import (
    LEAST_SEEN,
    Warp,
    draw_warp,
    draw_windows,
    move_boxes,
    move_points,
    warp_masks,
    warp_pictures,
)
from gradatim.data.augment_options import Augmentation
from gradatim.data.augment_random import RowRandom

WILD = Augmentation(flip=0.5, flip_vertical=0.5, rotate=180.0, scale=0.5, shear=20.0, shift=0.2, crop=0.3)


def pictures(rows: int = 16, channels: int = 3, height: int = 12, width: int = 10) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (rows, channels, height, width), generator=generator, dtype=torch.uint8)


def smooth(height: int, width: int) -> np.ndarray:
    y, x = np.mgrid[0:height, 0:width]
    return (127 + 80 * np.sin(x / 5) * np.cos(y / 7)).astype(np.uint8)


def one(matrix: np.ndarray, offset: np.ndarray, copies: bool = False) -> Warp:
    return Warp(matrix[None], offset[None], np.array([False]), copies)


@pytest.mark.parametrize("channels", [1, 3])
def test_flip_and_shift_equal_a_loop_with_repeated_edges(channels: int) -> None:
    """Every changed picture is one of the shifts and flips of its own; over many, every one occurs."""
    before, most = pictures(300, channels), 2
    options = Augmentation(flip=0.5, shift=0.2)
    after = warp_pictures(before, draw_warp(options, RowRandom(np.arange(300), "shift"), 12, 10))
    assert after.dtype == torch.uint8
    seen = set()
    for old, new in zip(before.numpy(), after.numpy()):
        matches = []
        for flipped in (False, True):
            padded = np.pad(old[:, :, ::-1] if flipped else old, [(0, 0), (most, most), (most, most)], "edge")
            matches += [(flipped, down, right) for down in range(5) for right in range(5)
                        if np.array_equal(padded[:, down : down + 12, right : right + 10], new)]
        assert len(matches) == 1
        seen.add(matches[0])
    assert len(seen) == 50


def test_flips_alone_turn_about_half() -> None:
    before = pictures(400, 1)
    for options, axis in ((Augmentation(flip=0.5), -1), (Augmentation(flip_vertical=0.5), -2)):
        after = warp_pictures(before, draw_warp(options, RowRandom(np.arange(400), "flip"), 12, 10))
        kept = (after == before).all(dim=(1, 2, 3))
        assert torch.equal(after[~kept], before[~kept].flip(axis))
        assert 150 < int(kept.sum()) < 250


@pytest.mark.parametrize("options", [Augmentation(flip=0.5, shift=0.2), WILD])
def test_a_batch_equals_its_rows_one_by_one(options: Augmentation) -> None:
    before = pictures(20)
    whole = warp_pictures(before, draw_warp(options, RowRandom(np.arange(20), 1), 12, 10))
    for row in range(20):
        alone = warp_pictures(before[row : row + 1], draw_warp(options, RowRandom(np.array([row]), 1), 12, 10))
        assert torch.equal(alone[0], whole[row])


def brute_bilinear(picture: np.ndarray, matrix: np.ndarray, offset: np.ndarray) -> np.ndarray:
    """Pixel by pixel: where does its middle come from, and what lies there."""
    height, width = picture.shape
    found = np.zeros((height, width))
    for row in range(height):
        for column in range(width):
            x, y = matrix @ [column + 0.5, row + 0.5] + offset - 0.5
            x, y = np.clip(x, 0, width - 1), np.clip(y, 0, height - 1)
            left, top = int(np.floor(x)), int(np.floor(y))
            right, below = min(left + 1, width - 1), min(top + 1, height - 1)
            upper = picture[top, left] * (left + 1 - x) + picture[top, right] * (x - left)
            lower = picture[below, left] * (left + 1 - x) + picture[below, right] * (x - left)
            found[row, column] = upper * (top + 1 - y) + lower * (y - top)
    return found


def test_affine_equals_a_loop_over_pixels_and_scikit_image() -> None:
    before = pictures(12, 1, 17, 23)
    warp = draw_warp(WILD, RowRandom(np.arange(12), "affine"), 17, 23)
    after = warp_pictures(before, warp)
    masks = warp_masks(before[:, 0].long(), warp)
    for row in range(12):
        given = before[row, 0].numpy().astype(np.float64)
        expected = brute_bilinear(given, warp.matrix[row], warp.offset[row])
        np.testing.assert_allclose(after[row, 0], expected, atol=0.1)
        # scikit-image measures from the middle of the first pixel
        to = np.eye(3)
        to[:2, :2] = warp.matrix[row]
        to[:2, 2] = warp.offset[row] + warp.matrix[row] @ [0.5, 0.5] - 0.5
        other = transform.warp(given, transform.AffineTransform(to), order=1, mode="edge", preserve_range=True)
        np.testing.assert_allclose(after[row, 0], other, atol=0.1)
        nearest = transform.warp(given, transform.AffineTransform(to), order=0, mode="edge", preserve_range=True)
        assert (np.asarray(masks[row]) == nearest).mean() > 0.98  # ties may fall to the other side


@pytest.mark.parametrize("height, width", [(41, 41), (31, 61)])
def test_rotation_equals_pil(height: int, width: int) -> None:
    picture = smooth(height, width)
    warp = draw_warp(Augmentation(rotate=30.0), RowRandom(np.arange(6), "turn"), height, width)
    before = torch.from_numpy(picture)[None, None].expand(6, 1, height, width)
    after = warp_pictures(before, warp).numpy()
    middle = (slice(8, -8), slice(8, -8))
    angles = np.degrees(np.arctan2(warp.matrix[:, 0, 1], warp.matrix[:, 0, 0]))
    assert np.ptp(angles) > 10 and np.abs(angles).max() <= 30
    for found, angle in zip(after[:, 0], angles):
        turned = Image.fromarray(picture).rotate(-angle, Image.Resampling.BILINEAR)
        assert np.abs(found[middle] - np.asarray(turned)[middle].astype(float)).max() < 2


def test_windows_keep_their_share_inside_the_picture() -> None:
    size = np.array([90.0, 60.0])
    corner, share = draw_windows(0.5, RowRandom(np.arange(5000), "crop"), size)
    area = share.prod(1)
    assert 0.5 <= area.min() < 0.51 and 0.99 < area.max() <= 1 and (share <= 1 + 1e-9).all()
    assert (corner >= -1e-9).all() and (corner + share * size <= size + 1e-9).all()
    assert (np.abs(np.log(share[:, 0] / share[:, 1])) <= np.log(4 / 3) + 1e-9).all()
    assert np.abs(share[:, 0] / share[:, 1] - 1).max() > 0.3


def test_a_window_equals_pil_resize() -> None:
    picture = smooth(48, 64)
    warp = draw_warp(Augmentation(crop=0.4), RowRandom(np.arange(5), "crop"), 48, 64)
    after = warp_pictures(torch.from_numpy(picture)[None, None].expand(5, 1, 48, 64), warp).numpy()
    for found, matrix, offset in zip(after[:, 0], warp.matrix, warp.offset):
        box = (*offset, *(offset + matrix @ [64, 48]))
        expected = Image.fromarray(picture).resize((64, 48), Image.Resampling.BILINEAR, box=box)
        assert np.abs(found - np.asarray(expected).astype(float)).mean() < 1


@settings(max_examples=60, deadline=None)
@given(some.integers(0, 10**6), some.lists(some.tuples(*[some.floats(0, 1)] * 4), min_size=1, max_size=4))
def test_boxes_hold_their_corners_and_points_go_there_and_back(seed: int, drawn: list[tuple[float, ...]]) -> None:
    height, width = 40, 60
    warp = draw_warp(WILD, RowRandom(np.array([seed]), "box"), height, width)
    ends = np.array(drawn) * [width, height, width, height]
    corners = np.concatenate([np.minimum(ends[:, :2], ends[:, 2:]), np.maximum(ends[:, :2], ends[:, 2:]) + 0.5], axis=1)
    found, lengths, order = move_boxes(torch.from_numpy(corners)[None], torch.tensor([len(drawn)]), warp, height, width)
    assert sorted(order[0].tolist()) == list(range(len(drawn)))
    for place in range(int(lengths[0])):
        left, top, right, bottom = corners[order[0, place]]
        outline = torch.tensor([[left, top], [right, top], [right, bottom], [left, bottom]])[None]
        moved = move_points(outline, warp)[0].numpy()
        expected = np.concatenate([moved.min(0), moved.max(0)])
        box = found[0, place].numpy()
        np.testing.assert_allclose(box, expected.reshape(2, 2).clip(0, [width, height]).ravel(), atol=1e-9)
        back = moved @ warp.matrix[0].T + warp.offset[0]
        np.testing.assert_allclose(back, outline[0], atol=1e-8)
        assert np.prod(box[2:] - box[:2]) >= LEAST_SEEN * np.prod(expected[2:] - expected[:2]) - 1e-9


def test_boxes_that_have_left_come_last_and_do_not_count() -> None:
    warp = one(np.eye(2), np.array([20.0, 0.0]))  # changed = given − (20, 0)
    corners = torch.tensor([[[0.0, 0, 10, 10], [30, 5, 40, 15], [11, 0, 21, 10], [15, 0, 25, 10]]])
    found, lengths, order = move_boxes(corners, torch.tensor([4]), warp, 40, 60)
    assert lengths.tolist() == [2] and order[0, :2].tolist() == [1, 3]
    assert found[0, :2].tolist() == [[10, 5, 20, 15], [0, 0, 5, 10]]
    _, fewer, _ = move_boxes(corners, torch.tensor([2]), warp, 40, 60)
    assert fewer.tolist() == [1]
