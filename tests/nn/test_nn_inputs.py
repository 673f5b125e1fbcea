"""What stands between a cell and a layer: pixels, number embeddings, precision."""

import math

import pytest
import torch

from gradatim.nn.convolution.pixels import PixelNormalize
from gradatim.nn.numeric import Periodic, PiecewiseLinear
from gradatim.nn.precision import at_least_float32


def test_pixels_are_standardised_by_channel_in_either_layout():
    pixels = torch.randint(0, 256, (2, 3, 4, 5), dtype=torch.uint8)
    mean, deviation = torch.tensor([0.1, 0.2, 0.3]), torch.tensor([0.4, 0.5, 0.6])
    expected = (pixels / 255 - mean.view(3, 1, 1)) / deviation.view(3, 1, 1)
    normalize = PixelNormalize(3, [0.1, 0.2, 0.3], [0.4, 0.5, 0.6])
    torch.testing.assert_close(normalize(pixels), expected)
    turned = normalize(pixels.to(memory_format=torch.channels_last))
    assert turned.is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(turned, expected)
    assert PixelNormalize(1, [0.0], [0.0], out_channels=3)(pixels[:, :1]).shape == (2, 3, 4, 5)
    with pytest.raises(ValueError, match="1 or 3"):
        PixelNormalize(3, [0.0, 0.0], [1.0])
    with pytest.raises(ValueError, match="3 input channels"):
        PixelNormalize(3, [0.0], [1.0], out_channels=1)


def test_piecewise_linear_equals_the_papers_cases():
    embedding = PiecewiseLinear(5)
    edges = [*embedding.edges.tolist(), float(embedding.edges[-1] + embedding.widths[-1])]
    assert edges == sorted(edges)
    assert edges[2] == pytest.approx(-edges[3], abs=1e-6)  # quantiles of a symmetric distribution
    assert edges[1] == pytest.approx(-0.8416212, abs=1e-5)  # the 20 % quantile of the standard normal
    for value in (-9.0, -3.1, -0.5, 0.0, 0.7, 3.9, 9.0):
        spread = embedding(torch.tensor([[value]]))[0, 0]
        for place in range(5):
            low, high = edges[place], edges[place + 1]
            expected = 0.0 if value < low else 1.0 if value >= high else (value - low) / (high - low)
            assert float(spread[place]) == pytest.approx(expected, abs=1e-5)


def test_periodic_equals_its_formula():
    embedding = Periodic(2, 3)
    spread = embedding(torch.tensor([[0.5, -2.0]]))
    for feature, value in enumerate((0.5, -2.0)):
        for place in range(3):
            angle = 2 * math.pi * float(embedding.frequency[feature, place].detach()) * value
            assert float(spread[0, feature, place].detach()) == pytest.approx(math.sin(angle), abs=1e-5)
            assert float(spread[0, feature, 3 + place].detach()) == pytest.approx(math.cos(angle), abs=1e-5)


def test_half_precision_is_raised_and_double_kept():
    kinds = {torch.bfloat16: torch.float32, torch.float16: torch.float32, torch.float64: torch.float64}
    for kind, expected in kinds.items():
        assert at_least_float32(torch.zeros(1, dtype=kind)).dtype == expected
