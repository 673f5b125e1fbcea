"""Layers, recurrent cells, window arithmetic and losses against PyTorch and the published figures."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from gradatim.autodiff.engine.activations import relu
from gradatim.autodiff.engine.convolution import average_pooling, convolution, maximum_pooling, output_length
from gradatim.autodiff.engine.functions import exp, log, sin
from gradatim.autodiff.engine.layers import (
    BatchNormalisation,
    Convolution,
    Dense,
    Dropout,
    Embedding,
    Sequential,
    parameters,
    set_training,
)
from gradatim.autodiff.engine.losses import Verdict, can_serve_as_loss, cross_entropy, hinge
from gradatim.autodiff.engine.recurrent import BasicCell, GatedRecurrentUnit, LongShortTermMemory, Recurrent
from gradatim.autodiff.engine.tensor import Tensor
from gradatim.errors import GradatimError


def count(layer: Any) -> int:
    return sum(tensor.value.size for tensor in parameters(layer).values())


def test_convolution_arithmetic() -> None:
    picture = Tensor(np.zeros((1, 3, 32, 32), np.float32))
    ten = Convolution(3, 10, 5, padding=2)
    assert ten(picture).shape == (1, 10, 32, 32) and count(ten) == 760
    assert count(Convolution(3, 10, 3)) == 280
    six = Convolution(3, 6, 5)
    assert six(picture).shape == (1, 6, 28, 28) and count(six) == 456
    assert output_length(7, 3, stride=2) == 3 and output_length(7, 3, stride=3) == 2
    with pytest.raises(GradatimError, match="does not fit 7"):
        output_length(7, 3, stride=3, strict=True)
    assert output_length(227, 11, stride=4, strict=True) == 55 == output_length(224, 11, stride=4, padding=2)
    with pytest.raises(GradatimError, match="pad more"):
        output_length(2, 3)
    seven, three = Convolution(8, 8, 7), Convolution(8, 8, 3)
    assert seven.weight.value.size == 49 * 8**2 and 3 * three.weight.value.size == 27 * 8**2


def test_three_small_windows_see_what_one_large_one_sees() -> None:
    x = Tensor(np.zeros((1, 1, 9, 9)), requires_gradient=True)
    y: Any = x
    for _ in range(3):
        y = convolution(y, np.ones((1, 1, 3, 3)), padding=1)
    y[0, 0, 4, 4].backward()
    assert x.gradient is not None
    seen = np.argwhere(x.gradient[0, 0])
    assert seen.min() == 1 and seen.max() == 7  # 7 × 7


def test_edge_filter_and_what_it_is_not() -> None:
    """The filter [−1, 0, 1] as it stands: a correlation. A convolution in the strict sense turns it round."""
    step = np.zeros((1, 1, 1, 6))
    step[..., 3:] = 1
    kernel = np.array([-1.0, 0, 1]).reshape(1, 1, 1, 3)
    assert convolution(step, kernel).value.ravel().tolist() == [0, 1, 1, 0]
    turned = convolution(step, kernel[..., ::-1].copy()).value.ravel()
    np.testing.assert_array_equal(turned, np.convolve(step.ravel(), [-1, 0, 1], "valid"))


def test_depthwise_separable_needs_fewer_weights() -> None:
    pair = Sequential(Convolution(32, 32, 3, padding=1, groups=32), Convolution(32, 64, 1))
    assert pair(Tensor(np.zeros((2, 32, 5, 5), np.float32))).shape == (2, 64, 5, 5)
    assert count(pair) - 96 == 32 * 9 + 32 * 64 and count(Convolution(32, 64, 3)) - 64 == 64 * 32 * 9


def test_wrong_pictures_are_refused() -> None:
    with pytest.raises(GradatimError, match=r"received \(1, 2, 8, 8\) and \(4, 3, 3, 3\)"):
        Convolution(3, 4, 3)(Tensor(np.zeros((1, 2, 8, 8), np.float32)))
    with pytest.raises(GradatimError, match="at least 9 numbers"):
        maximum_pooling(np.zeros((1, 1, 4, 4)), 9)
    assert average_pooling(np.ones((1, 1, 4, 4)), 2).value.tolist() == [[[[1, 1], [1, 1]]]]


@pytest.mark.parametrize("shape", [(6, 4), (3, 4, 5, 2)])
def test_batch_normalisation(shape: tuple[int, ...]) -> None:
    random = np.random.default_rng(0)
    ours = BatchNormalisation(4, dtype=np.float64)
    theirs: Any = (nn.BatchNorm1d if len(shape) == 2 else nn.BatchNorm2d)(4).double()
    for _ in range(3):
        array, upstream = random.standard_normal(shape) * 3 + 2, random.standard_normal(shape)
        x, other = Tensor(array, requires_gradient=True), torch.tensor(array, requires_grad=True)
        y, expected = ours(x), theirs(other)
        y.backward(upstream)
        expected.backward(torch.tensor(upstream))
        np.testing.assert_allclose(y.value, expected.detach(), rtol=1e-9, atol=1e-12)
        np.testing.assert_allclose(x.gradient, other.grad, rtol=1e-7, atol=1e-10)
        np.testing.assert_allclose(ours.scale.gradient, theirs.weight.grad, rtol=1e-9)
        np.testing.assert_allclose(ours.shift.gradient, theirs.bias.grad, rtol=1e-9)
    set_training(ours, False)
    theirs.eval()
    np.testing.assert_allclose(ours(x).value, theirs(other).detach(), rtol=1e-9, atol=1e-12)


def test_batch_normalisation_gives_the_input_back() -> None:
    x = np.random.default_rng(0).standard_normal((50, 3)) * 2 + 1
    layer = BatchNormalisation(3, dtype=np.float64)
    layer.scale.value = np.sqrt(x.var(axis=0) + layer.epsilon)
    layer.shift.value = x.mean(axis=0)
    np.testing.assert_allclose(layer(Tensor(x)).value, x, rtol=1e-9)


def test_dropout_keeps_the_mean_and_rests_outside_training() -> None:
    x = Tensor(np.ones((200, 200), np.float32), requires_gradient=True)
    network = Sequential(Dropout(0.3, seed=1), relu)
    y = network(x)
    assert y.dtype == np.float32
    assert (y.value == 0).mean() == pytest.approx(0.3, abs=0.01) and y.value.mean() == pytest.approx(1, abs=0.02)
    y.sum().backward()
    np.testing.assert_array_equal(x.gradient, y.value)
    set_training(network, False)
    np.testing.assert_array_equal(network(x).value, x.value)
    with pytest.raises(GradatimError, match="below 1"):
        Dropout(1.0)


def test_parameters_are_found_by_path_and_once() -> None:
    shared = Dense(2, 2)
    network = {"first": [shared, Embedding(3, 2)], "second": Sequential(shared, relu, BatchNormalisation(2))}
    assert list(parameters(network)) == [
        "first.0.weight", "first.0.bias", "first.1.weight", "second.layers.2.scale", "second.layers.2.shift"
    ]  # fmt: skip


ORDERS = {"RNN": [0], "LSTM": [0, 1, 3, 2], "GRU": [0, 1, 2]}  # of the gates in PyTorch, by our place


@pytest.mark.parametrize(
    ("cell", "kind"), [(BasicCell, "RNN"), (LongShortTermMemory, "LSTM"), (GatedRecurrentUnit, "GRU")]
)
def test_recurrent_cells(cell: Any, kind: str) -> None:
    """Outputs, last state and every gradient equal PyTorch's over a whole sequence."""
    ours = Recurrent(cell(3, 5, dtype=np.float64, seed=3))
    theirs: Any = getattr(nn, kind)(3, 5).double()

    def theirs_of(array: np.ndarray) -> np.ndarray:
        """Our array, gates side by side on the last axis, in PyTorch's order and orientation."""
        parts = np.split(array, len(ORDERS[kind]), axis=-1)
        return np.concatenate([parts[place] for place in ORDERS[kind]], axis=-1).T

    state = {
        "weight_ih_l0": theirs_of(ours.cell.weight.value), "weight_hh_l0": theirs_of(ours.cell.recurrent.value),
        "bias_ih_l0": theirs_of(ours.cell.bias.value), "bias_hh_l0": np.zeros_like(ours.cell.bias.value),
    }  # fmt: skip
    theirs.load_state_dict({name: torch.tensor(np.array(value)) for name, value in state.items()})
    random = np.random.default_rng(0)
    array, upstream = random.standard_normal((7, 2, 3)), random.standard_normal((7, 2, 5))
    x, other = Tensor(array, requires_gradient=True), torch.tensor(array, requires_grad=True)
    y, last = ours(x)
    expected, last_expected = theirs(other)
    y.backward(upstream)
    expected.backward(torch.tensor(upstream))
    np.testing.assert_allclose(y.value, expected.detach(), rtol=1e-9)
    np.testing.assert_allclose(x.gradient, other.grad, rtol=1e-9, atol=1e-12)
    for mine, its in [
        (ours.cell.weight, theirs.weight_ih_l0), (ours.cell.recurrent, theirs.weight_hh_l0),
        (ours.cell.bias, theirs.bias_ih_l0),
    ]:  # fmt: skip
        np.testing.assert_allclose(theirs_of(mine.gradient), its.grad, rtol=1e-9, atol=1e-12)
    if kind == "GRU":
        np.testing.assert_allclose(ours.cell.recurrent_bias.gradient, theirs.bias_hh_l0.grad[10:], rtol=1e-9)
    lasts = last_expected if isinstance(last_expected, tuple) else (last_expected,)
    for mine, its in zip(last, lasts):
        np.testing.assert_allclose(mine.value, its[0].detach(), rtol=1e-9)


def test_truncated_back_propagation_stops_at_a_detached_state() -> None:
    recurrent = Recurrent(BasicCell(1, 2, dtype=np.float64))
    x = Tensor(np.ones((4, 1, 1)), requires_gradient=True)
    _, state = recurrent(x)
    y, _ = recurrent(Tensor(np.ones((3, 1, 1))), tuple(part.detach() for part in state))
    y.sum().backward()
    assert x.gradient is None


@pytest.mark.parametrize(
    ("function", "passes"),
    [
        (lambda e: 5 * e**2 - 2, True), (lambda e: e**2, True), (lambda e: e**4, True),
        (lambda e: e * (e > 0) - e * (e < 0), True), (lambda e: e**3, False), (log, False), (sin, False),
        (lambda e: 1 / e, False), (exp, False), (lambda e: -(e**2), False), (lambda e: 0 * e, False),
        (lambda e: (e - 1) ** 2, False), (lambda e: relu(e), False),
    ],
    ids=["5e²−2", "e²", "e⁴", "|e|", "e³", "ln", "1/e·sin", "1/e", "exp", "−e²", "0", "(e−1)²", "relu"],
)  # fmt: skip
def test_what_can_serve_as_a_loss(function: Any, passes: bool) -> None:
    verdict = can_serve_as_loss(function)
    assert verdict.passes is passes, verdict
    assert bool(verdict.reasons) is not passes


def test_verdict_says_why() -> None:
    assert can_serve_as_loss(lambda e: e**2) == Verdict(True, ())
    assert "not finite at 1001 of 2001 errors, such as e = 0" in can_serve_as_loss(log).reasons[0]


def test_cross_entropy_starts_at_the_logarithm_of_the_classes_and_does_not_overflow() -> None:
    assert cross_entropy(np.zeros((4, 10)), np.arange(4)).item() == pytest.approx(np.log(10))
    assert cross_entropy(np.array([[1e4, -1e4]]), np.array([1])).item() == 2e4
    with pytest.raises(GradatimError, match="integer from 0 to 9"):
        cross_entropy(np.zeros((4, 10)), np.full(4, 10))
    with pytest.raises(GradatimError, match="−1 or 1"):
        hinge(np.zeros(3), np.array([0, 1, 1]))
