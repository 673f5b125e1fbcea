"""PictureFeatures against plain loops and scikit-image."""

import numpy as np
import pytest
import skimage.feature
import torch

from gradatim.estimators.features.picture import (
    PATTERNS,
    PictureFeatures,
    binary_patterns,
    colour_histogram,
    luminance,
    oriented_gradients,
)


def pictures(count=6, channels=3, height=20, width=17, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (count, channels, height, width), dtype=np.uint8)


def test_gradient_votes_equal_a_plain_loop():
    grey = torch.rand(2, 8, 12, generator=torch.Generator().manual_seed(0))
    (found,) = oriented_gradients(grey, (4,))
    votes = np.zeros((2, 9, 8, 12))
    padded = np.pad(grey.numpy(), ((0, 0), (1, 1), (1, 1)), mode="edge")
    for n, row, column in np.ndindex(2, 8, 12):
        across = padded[n, row + 1, column + 2] - padded[n, row + 1, column]
        down = padded[n, row + 2, column + 1] - padded[n, row, column + 1]
        turn = np.arctan2(down, across) % np.pi / np.pi * 9
        lower = int(turn)
        votes[n, lower % 9, row, column] += np.hypot(across, down) * (1 - turn + lower)
        votes[n, (lower + 1) % 9, row, column] += np.hypot(across, down) * (turn - lower)
    cells = votes.reshape(2, 9, 4, 2, 4, 3).mean((3, 5))
    energy = (cells**2).sum(1)
    expected = np.empty_like(cells)
    for row, column in np.ndindex(4, 4):
        around = energy[:, max(0, row - 1) : row + 2, max(0, column - 1) : column + 2].mean((1, 2))
        expected[:, :, row, column] = cells[:, :, row, column] / np.sqrt(around + 1e-4)[:, None]
    np.testing.assert_allclose(found.numpy().reshape(cells.shape), expected, rtol=1e-4, atol=1e-5)


def test_an_edge_votes_for_its_orientation():
    grey = torch.zeros(1, 16, 16)
    grey[:, :, 8:] = 1
    (upright,) = oriented_gradients(grey, (4,))
    assert upright.view(9, -1).sum(1).argmax() == 0 and upright.view(9, -1)[1:].abs().max() < 1e-5
    (lying,) = oriented_gradients(grey.transpose(1, 2).contiguous(), (4,))
    assert set(lying.view(9, -1).sum(1).topk(2).indices.tolist()) == {4, 5}  # 90° lies between bins 4 and 5


def test_patterns_equal_a_plain_loop():
    grey = pictures(1, 1)[0, 0]
    padded = np.pad(grey, 1, mode="edge")
    counts: dict[str, int] = {}
    for row, column in np.ndindex(grey.shape):
        around = padded[row : row + 3, column : column + 3]
        order = ((0, 0), (0, 1), (0, 2), (1, 2), (2, 2), (2, 1), (2, 0), (1, 0))
        ring = "".join("1" if around[place] >= grey[row, column] else "0" for place in order)
        changes = sum(ring[place] != ring[place - 1] for place in range(8))
        key = ring if changes <= 2 else "other"
        counts[key] = counts.get(key, 0) + 1
    found = binary_patterns(torch.from_numpy(grey[None].astype(np.float32)))[0] ** 2 * grey.size
    assert sorted(found[found > 0].round().int().tolist()) == sorted(counts.values())
    assert found[58].round() == counts["other"]
    # scikit-image numbers the same 58 uniform rings and one class for the rest.
    theirs = skimage.feature.local_binary_pattern(pictures(1, 1, 64, 64)[0, 0], 8, 1, method="nri_uniform")
    assert len(set(PATTERNS.tolist())) == theirs.max() + 1 == 59
    flat = binary_patterns(torch.zeros(1, 5, 5))[0]
    assert flat[PATTERNS[255]] == 1 and flat.sum() == 1


def test_colours_are_counted():
    red = torch.zeros(1, 3, 4, 4)
    red[:, 0] = 1
    histogram = colour_histogram(red)
    assert histogram[0, 3 * 16] == 1 and histogram.sum() == 1
    grey = colour_histogram(torch.linspace(0, 1, 16).view(1, 1, 4, 4))
    np.testing.assert_allclose(grey.numpy(), np.full((1, 16), 0.25))
    assert luminance(torch.ones(1, 3, 2, 2)).allclose(torch.ones(1, 2, 2))


@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("size", [(20, 17), (1, 1), (3, 40)])
def test_rows_are_standardised_and_independent_of_their_chunk(channels, size):
    X = pictures(7, channels, *size)
    features = PictureFeatures()
    rows = features.fit_transform(X)
    assert rows.dtype == np.float32 and np.isfinite(rows).all()
    assert rows.shape == (7, len(features.get_feature_names_out())) == (7, 859 if channels == 1 else 1035)
    assert np.abs(rows.mean(0)).max() < 1e-3
    # Not to the bit: the vectorised arctangent and its remainder loop round differently.
    np.testing.assert_allclose(features.transform(X[2:3]), rows[2:3], atol=1e-4)
    np.testing.assert_array_equal(features.transform(torch.from_numpy(X)), rows)
    assert features.transform(X[:0]).shape == (0, rows.shape[1])


@pytest.mark.parametrize("wrong", [pictures().astype(float), pictures()[0], pictures(1, 1)])
def test_other_things_than_pictures_are_refused(wrong):
    with pytest.raises(ValueError, match="expected pictures"):
        PictureFeatures().fit(pictures()).transform(wrong)
