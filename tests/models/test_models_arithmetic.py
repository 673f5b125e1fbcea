"""Convolution arithmetic: golden numbers, the exercises, and torch itself on random sizes."""

import contextlib

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import nn

import gradatim as gd
from gradatim.errors import GradatimError
from gradatim.models.arithmetic import stacked


def test_golden_numbers():
    work = gd.convolution_arithmetic
    padded = work(32, 5, padding=2, channels=3, filters=10)
    assert (padded.shape, padded.parameters, padded.fits) == ((32, 32, 10), 760, True)
    assert work(32, 3, channels=3, filters=10).parameters == 280
    six = work(32, 5, channels=3, filters=6)
    assert (six.shape, six.parameters, six.multiply_adds) == ((28, 28, 6), 456, 28 * 28 * 6 * 75)
    assert work(7, 3, stride=2).output == (3, 3)
    assert work(7, 3, stride=3).output == (2, 2) and not work(7, 3, stride=3).fits
    assert work(227, 11, 4, channels=3, filters=96).shape == (55, 55, 96)
    assert work(224, 11, 4, padding=2).output == (55, 55)
    assert work(224, 11, 4).output == (54, 54)
    assert work(227, 11, 4, strict=True).fits
    pointwise = work(56, 1, channels=64, filters=32, bias=False)
    assert (pointwise.shape, pointwise.parameters) == ((56, 56, 32), 2048)


def test_depthwise_separable_costs_what_the_paper_says():
    """MobileNet, section 3.1: 1 / filters + 1 / k² of the work of a full convolution."""
    full = gd.convolution_arithmetic(14, 3, padding="same", channels=512, filters=512, bias=False)
    depthwise = gd.convolution_arithmetic(14, 3, padding="same", channels=512, filters=512, groups=512, bias=False)
    pointwise = gd.convolution_arithmetic(14, 1, channels=512, filters=512, bias=False)
    share = (depthwise.multiply_adds + pointwise.multiply_adds) / full.multiply_adds
    assert share == pytest.approx(1 / 512 + 1 / 9)


def test_three_small_kernels_see_what_one_large_one_sees():
    three, one = stacked(32, [3, 3, 3], channels=64), stacked(32, [7], channels=64)
    assert three.sees == one.sees == (7, 7)
    assert (three.weights, one.weights) == (27 * 64**2, 49 * 64**2)
    assert stacked(64, [3, 3], stride=2).sees == (7, 7) and stacked(64, [3, 3], stride=2).output == (16, 16)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"size": 7, "kernel": 3, "stride": 3, "strict": True}, "does not fit.*padding 1 fits"),
        ({"size": 224, "kernel": 11, "stride": 4, "strict": True}, "does not fit.*227 × 227"),
        ({"size": 4, "kernel": 5}, "does not fit"),
        ({"size": 4, "kernel": 3, "padding": 9, "transposed": True}, "does not fit"),
        ({"size": 0, "kernel": 1}, "size"),
        ({"size": 4, "kernel": 2.5}, "kernel"),
        ({"size": 4, "kernel": 2, "stride": 0}, "stride"),
        ({"size": 4, "kernel": 2, "padding": "full"}, "padding"), ({"size": (4, 4), "kernel": (2, 2, 2)}, "kernel"),
        ({"size": 4, "kernel": 2, "channels": 3, "groups": 2}, "groups"),
        ({"size": 4, "kernel": 2, "output_padding": 1}, "transposed"),
        ({"size": 4, "kernel": True}, "kernel"),
    ],
)  # fmt: skip
def test_mistakes_are_one_line(arguments, says):
    with pytest.raises(GradatimError, match=says) as caught:
        gd.convolution_arithmetic(**arguments)
    assert "\n" not in str(caught.value)


@settings(max_examples=150, deadline=None)
@given(
    size=st.tuples(st.integers(1, 24), st.integers(1, 24)), kernel=st.tuples(st.integers(1, 5), st.integers(1, 5)),
    stride=st.tuples(st.integers(1, 4), st.integers(1, 4)), dilation=st.integers(1, 3), padding=st.integers(0, 4),
    channels=st.integers(1, 3), filters=st.integers(1, 3), groups=st.booleans(), bias=st.booleans(),
    transposed=st.booleans(),
)  # fmt: skip
def test_sizes_and_counts_are_torchs(
    size, kernel, stride, dilation, padding, channels, filters, groups, bias, transposed
):
    groups = channels if groups else 1
    filters *= groups
    options = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups, "bias": bias}
    layer = (nn.ConvTranspose2d if transposed else nn.Conv2d)(channels, filters, kernel, **options)
    try:
        found = gd.convolution_arithmetic(size, kernel, channels=channels, filters=filters, transposed=transposed,
                                          **options)
    except GradatimError as error:
        assert "does not fit" in str(error)
        with contextlib.suppress(RuntimeError):  # torch lets a transposed one be empty
            assert layer(torch.zeros(1, channels, *size)).numel() == 0
        return
    output = layer(torch.zeros(1, channels, *size))
    assert tuple(output.shape[2:]) == found.output and output.shape[1] == found.shape[-1]
    assert sum(p.numel() for p in layer.parameters()) == found.parameters
    assert str(found)


@settings(max_examples=60, deadline=None)
@given(size=st.integers(1, 20), kernel=st.integers(1, 6), stride=st.integers(1, 4), dilation=st.integers(1, 2))
def test_same_padding_by_its_definition(size, kernel, stride, dilation):
    found = gd.convolution_arithmetic(size, kernel, stride, "same", dilation)
    assert found.output == (-(-size // stride),) * 2
    assert 0 <= found.after[0] - found.before[0] <= 1
    if stride == 1:
        same = nn.functional.conv2d(torch.zeros(1, 1, size, size), torch.zeros(1, 1, kernel, kernel), padding="same",
                                    dilation=dilation)
        assert tuple(same.shape[2:]) == found.output
    grown = gd.convolution_arithmetic(size, kernel, stride, "same", dilation, transposed=True)
    assert grown.output == (size * stride,) * 2


@settings(max_examples=60, deadline=None)
@given(size=st.integers(3, 12), kernel=st.integers(1, 3), stride=st.integers(1, 3), dilation=st.integers(1, 2))
def test_multiply_adds_by_counting(size, kernel, stride, dilation):
    span = dilation * (kernel - 1) + 1
    assume(span <= size)
    starts = range(0, size - span + 1, stride)
    counted = sum(1 for _ in starts for _ in starts for _ in range(kernel) for _ in range(kernel))
    found = gd.convolution_arithmetic(size, kernel, stride, 0, dilation, channels=2, filters=3)
    assert found.multiply_adds == 6 * counted
    last = max(starts) + span if starts else 0
    assert found.rest == (size - last,) * 2
