"""Light and colour: against PIL's ImageEnhance, scipy's Gaussian and loops; cutout is one square."""

import numpy as np
import pytest
import torch
from PIL import Image, ImageEnhance
from scipy import ndimage

from gradatim.data.augment import augment_pictures
from gradatim.data.augment_colour import LUMINANCE, blur, colour_matrices, gaussian_weights, relight
from gradatim.data.augment_options import Augmentation
from gradatim.data.augment_random import RowRandom


def muted(rows: int = 8, height: int = 14, width: int = 11) -> torch.Tensor:
    """Pictures without extremes, so that no step of PIL's cuts what ours would not."""
    generator = torch.Generator().manual_seed(0)
    return torch.randint(90, 150, (rows, 3, height, width), generator=generator, dtype=torch.uint8)


@pytest.mark.parametrize("option, enhancer", [
    ("brightness", ImageEnhance.Brightness), ("contrast", ImageEnhance.Contrast), ("saturation", ImageEnhance.Color),
])
def test_equals_pil(option: str, enhancer: type) -> None:
    given, random = muted(), RowRandom(np.arange(8), "light")
    found = relight(given.float(), Augmentation(**{option: 0.4}), random)  # type: ignore[arg-type]
    factors = 1 + random.spread(option, 0.4)
    assert np.ptp(factors) > 0.3
    for before, after, factor in zip(given, found, factors):
        picture = enhancer(Image.fromarray(before.permute(1, 2, 0).numpy())).enhance(factor)
        assert np.abs(after.permute(1, 2, 0).numpy() - np.asarray(picture).astype(float)).max() < 1.6


def test_all_together_equal_pil_in_its_order() -> None:
    given, random = muted(), RowRandom(np.arange(8), "light")
    options = Augmentation(brightness=0.2, contrast=0.2, saturation=0.2)
    found = augment_pictures(given, options, random)
    for before, after, row in zip(given, found, range(8)):
        picture = Image.fromarray(before.permute(1, 2, 0).numpy())
        for name, enhancer in (("brightness", ImageEnhance.Brightness), ("contrast", ImageEnhance.Contrast),
                               ("saturation", ImageEnhance.Color)):
            picture = enhancer(picture).enhance(1 + random.spread(name, 0.2)[row])
        gap = after.permute(1, 2, 0).numpy() - np.asarray(picture).astype(float)
        assert gap.min() >= -1 and gap.max() <= 3  # PIL drops the fraction at each step


def test_hue_keeps_luminance_and_strength_of_colour() -> None:
    random = RowRandom(np.arange(50), "hue")
    matrices = colour_matrices(Augmentation(hue=0.5), random)
    np.testing.assert_allclose(matrices.sum(2), 1.0, atol=1e-9)  # grey stays grey
    np.testing.assert_allclose(LUMINANCE @ matrices, np.broadcast_to(LUMINANCE, (50, 3)), atol=1e-9)
    turned = colour_matrices(Augmentation(hue=0.5), random) @ np.linalg.inv(matrices)
    np.testing.assert_allclose(turned, np.broadcast_to(np.eye(3), (50, 3, 3)), atol=1e-9)
    eigenvalues = np.linalg.eigvals(matrices)
    np.testing.assert_allclose(np.abs(eigenvalues), 1.0, atol=1e-9)  # a rotation


def test_grey_is_the_luminance_of_a_share_of_the_rows() -> None:
    given = muted(400)
    found = augment_pictures(given, Augmentation(grey=0.3), RowRandom(np.arange(400), "grey"))
    grey = (found == found[:, :1]).all((1, 2, 3))
    assert 90 < int(grey.sum()) < 150 and torch.equal(found[~grey], given[~grey])
    expected = np.tensordot(LUMINANCE, given[grey].numpy(), axes=(0, 1))
    assert np.abs(found[grey, 0].numpy() - expected).max() <= 0.501


@pytest.mark.parametrize("height, width", [(14, 11), (16, 16)])
def test_blur_equals_scipy(height: int, width: int) -> None:
    given, random = muted(6, height, width).float(), RowRandom(np.arange(6), "blur")
    found = blur(given, Augmentation(blur=1.5), random)
    for before, after, deviation in zip(given, found, 1.5 * random.uniform("blur")[:, 0]):
        expected = ndimage.gaussian_filter(before.double().numpy(), (0, deviation, deviation), mode="nearest",
                                           radius=(0, 6, 6))
        np.testing.assert_allclose(after, expected, atol=1e-3)


def test_weights_sum_to_one_and_no_blur_is_none() -> None:
    weights = gaussian_weights(np.array([0.0, 0.7, 8.0]), 32)
    np.testing.assert_allclose(2 * weights.sum(1) - weights[:, 0], 1.0)
    assert weights[0, 0] == 1 and not weights[0, 1:].any()


def test_noise_has_its_deviation_and_is_each_rows_own() -> None:
    given = torch.full((60, 3, 16, 16), 128, dtype=torch.uint8)
    found = augment_pictures(given, Augmentation(noise=0.1), RowRandom(np.arange(60), "noise")).float() - 128
    assert abs(float(found.std()) - 25.5) < 0.5 and abs(float(found.mean())) < 0.3
    assert abs(np.corrcoef(found[0].ravel(), found[1].ravel())[0, 1]) < 0.15


def test_grey_pictures_know_light_and_contrast_only() -> None:
    generator = torch.Generator().manual_seed(0)
    given = torch.randint(80, 170, (50, 1, 12, 12), generator=generator, dtype=torch.uint8)
    same = augment_pictures(given, Augmentation(saturation=0.5, hue=0.3, grey=1.0), RowRandom(np.arange(50)))
    assert torch.equal(same, given)
    stretched = augment_pictures(given, Augmentation(contrast=0.3), RowRandom(np.arange(50))).float()
    assert (stretched.mean((1, 2, 3)) - given.float().mean((1, 2, 3))).abs().max() < 0.6
    flat = torch.full((300, 1, 4, 4), 100, dtype=torch.uint8)
    lit = augment_pictures(flat, Augmentation(brightness=0.1), RowRandom(np.arange(300)))
    assert lit.min() == 90 and lit.max() == 110


def test_cutout_is_one_square_of_the_fill() -> None:
    given = torch.zeros(200, 3, 12, 10, dtype=torch.uint8)
    found = augment_pictures(given, Augmentation(cutout=0.4, fill=99), RowRandom(np.arange(200), "cut"))
    areas = []
    for picture in found:
        assert torch.equal(picture[0], picture[1]) and set(picture.unique().tolist()) <= {0, 99}
        rows, columns = (picture[0] == 99).any(1).nonzero(), (picture[0] == 99).any(0).nonzero()
        area = int((picture[0] == 99).sum())
        assert area == len(rows) * len(columns) <= 16
        areas.append(area)
    assert max(areas) == 16 and min(areas) > 0
