"""Blocks that several networks share: against plain formulas, closed forms and finite differences."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

from gradatim.errors import GradatimError
from gradatim.nn.activations import ACTIVATIONS, activation, elu, leaky_relu, selu, softplus
from gradatim.nn.convolution.auxiliary import auxiliary_loss
from gradatim.nn.convolution.image_input import check_images, imagenet_to_half
from gradatim.nn.convolution.make_divisible import make_divisible
from gradatim.nn.convolution.separable import SeparableConvolution
from gradatim.nn.convolution.squeeze_excite import SqueezeExcite
from gradatim.nn.convolution.stochastic_depth import StochasticDepth
from gradatim.nn.convolution.transposed import bilinear_, by_inserting_zeros, transposed_convolution
from gradatim.nn.convolution.unpooling import max_pool_with_switches, unpool
from gradatim.nn.drop_connect import DropConnectLinear
from gradatim.nn.init_without_norm import initialise_without_norm
from gradatim.nn.maxout import Maxout, maxout


@pytest.fixture(autouse=True)
def seed() -> None:
    torch.manual_seed(0)


def double(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, dtype=torch.float64, requires_grad=True)


TORCHS = {
    "linear": lambda x: x, "sigmoid": F.sigmoid, "tanh": F.tanh, "relu": F.relu, "leaky_relu": F.leaky_relu,
    "elu": F.elu, "selu": F.selu, "softplus": F.softplus, "softmax": lambda x: F.softmax(x, -1), "swish": F.silu,
    "gelu": F.gelu, "relu6": F.relu6,
}


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activations_are_torchs_with_their_gradients(name):
    x = torch.cat([torch.randn(20, dtype=torch.float64) * 4, torch.tensor([-300.0, 19.0, 300.0])]).requires_grad_()
    ours, theirs = activation(name)(x), TORCHS[name](x)
    torch.testing.assert_close(ours, theirs, atol=1e-8, rtol=1e-6)
    direction = torch.randn_like(x)
    gradients = [torch.autograd.grad(y, x, direction, allow_unused=True)[0] for y in (ours, theirs)]
    torch.testing.assert_close(*gradients, atol=1e-8, rtol=1e-6)
    assert torch.autograd.gradcheck(activation(name), (double(3, 4),))


def test_activations_keep_their_promises():
    x = torch.randn(200_000, dtype=torch.float64)
    assert float(selu(x).mean()) == pytest.approx(0, abs=0.01) and float(selu(x).var()) == pytest.approx(1, abs=0.01)
    slope = torch.tensor(0.3, dtype=torch.float64, requires_grad=True)
    torch.testing.assert_close(leaky_relu(x, slope), F.prelu(x, slope[None]))
    assert torch.autograd.gradcheck(leaky_relu, (double(5), slope))
    assert torch.autograd.gradcheck(elu, (double(5),))
    zero = torch.zeros(1, dtype=torch.float64)
    assert float(softplus(zero)) == pytest.approx(math.log(2))
    with pytest.raises(GradatimError, match="leaky_relu"):
        activation("sine")


def test_maxout_is_the_largest_of_its_lines_and_makes_relu_and_magnitude():
    layer = Maxout(5, 3, pieces=4).double()
    x = double(2, 7, 5)
    lines = torch.einsum("oji,bti->btoj", layer.linear.weight.view(3, 4, 5), x) + layer.linear.bias.view(3, 4)
    torch.testing.assert_close(layer(x), lines.max(-1).values)
    assert torch.autograd.gradcheck(layer, (x,))
    line = torch.linspace(-2, 2, 9)[:, None]
    torch.testing.assert_close(maxout(torch.cat([line, 0 * line], 1), 2), F.relu(line))
    torch.testing.assert_close(maxout(torch.cat([line, -line], 1), 2), line.abs())
    torch.testing.assert_close(maxout(x.transpose(1, 2), 7, dim=2)[..., 0], x.transpose(1, 2).max(2).values)
    torch.testing.assert_close(maxout(x.transpose(0, 1), 7, dim=0)[0], x.transpose(0, 1).max(0).values)
    with pytest.raises(GradatimError, match="multiple of 3"):
        maxout(torch.zeros(2, 4), 3)


@pytest.mark.parametrize("mask_per_row", [False, True])
def test_drop_connect_is_right_in_the_mean_and_in_the_spread(mask_per_row):
    layer = DropConnectLinear(6, 4, drop=0.3, mask_per_row=mask_per_row)
    x = torch.randn(5, 6)
    with torch.no_grad():
        draws = torch.stack([layer(x) for _ in range(4000)])
        exact = layer.eval()(x)
        torch.testing.assert_close(exact, F.linear(x, layer.weight, layer.bias))
        torch.testing.assert_close(draws.mean(0), exact, atol=0.05, rtol=0)
        variance = F.linear(x**2, layer.weight**2) * 0.3 / 0.7  # Σ w²x² · drop / (1 − drop)
        torch.testing.assert_close(draws.var(0), variance, rtol=0.15, atol=0.01)
    twins = layer.train()(torch.ones(2, 6)) - layer.bias
    assert torch.allclose(twins[0], twins[1]) is not mask_per_row
    with pytest.raises(GradatimError, match="chance"):
        DropConnectLinear(2, 2, drop=1.0)


def test_drop_connect_leaves_out_single_weights_and_takes_its_gradient_through_the_mask():
    layer = DropConnectLinear(3, 2, drop=0.5)
    layer(torch.ones(4, 3)).sum().backward()
    assert set(layer.weight.grad.flatten().tolist()) <= {0.0, 8.0}
    assert torch.equal(layer.bias.grad, torch.full((2,), 4.0))


def test_stochastic_depth_drops_whole_rows_and_keeps_the_mean():
    layer = StochasticDepth(0.25)
    branch = torch.randn(4000, 2, 3, 3)
    dropped = layer(branch)
    gone = (dropped == 0).flatten(1).all(1)
    assert float(gone.float().mean()) == pytest.approx(0.25, abs=0.03)
    torch.testing.assert_close(dropped[~gone], branch[~gone] / 0.75)
    assert layer.eval()(branch) is branch and StochasticDepth(0.0)(branch) is branch
    with pytest.raises(GradatimError, match="chance"):
        StochasticDepth(-0.1)


def test_squeeze_excite_is_its_formula():
    block = SqueezeExcite(8, 2).double()
    x = double(3, 8, 4, 5)
    z = x.mean((2, 3))
    hidden = torch.relu(z @ block.fc1.weight[:, :, 0, 0].T + block.fc1.bias)
    gate = 1 / (1 + torch.exp(-(hidden @ block.fc2.weight[:, :, 0, 0].T + block.fc2.bias)))
    torch.testing.assert_close(block(x), x * gate[:, :, None, None])
    torch.testing.assert_close(block.gates(x), gate[:, :, None, None])
    assert torch.autograd.gradcheck(block, (x,))
    assert {name: tuple(value.shape) for name, value in block.state_dict().items()} == {
        "fc1.weight": (2, 8, 1, 1), "fc1.bias": (2,), "fc2.weight": (8, 2, 1, 1), "fc2.bias": (8,)
    }


def test_separable_convolution_is_a_full_one_of_rank_one():
    block = SeparableConvolution(3, 5, kernel=3, stride=2).double()
    x = double(2, 3, 7, 6)
    kernel = block.pointwise.weight * block.depthwise.weight[:, 0][None]
    torch.testing.assert_close(block(x), F.conv2d(x, kernel, block.pointwise.bias, stride=2, padding=1))
    assert torch.autograd.gradcheck(block, (x,))
    weights = sum(v.numel() for n, v in SeparableConvolution(32, 64, activation=nn.ReLU).named_parameters()
                  if n.endswith("0.weight"))
    assert weights == 9 * 32 + 32 * 64


@given(
    kernel=st.integers(1, 4), stride=st.integers(1, 3), padding=st.integers(0, 2), height=st.integers(5, 9),
    width=st.integers(5, 9),
)
def test_transposed_convolution_is_the_adjoint(kernel, stride, padding, height, width):
    if padding >= kernel:
        return
    generator = torch.Generator().manual_seed(height * 100 + width)
    x = torch.randn(2, 3, height, width, generator=generator, dtype=torch.float64)
    weight = torch.randn(4, 3, kernel, kernel, generator=generator, dtype=torch.float64)
    forward = F.conv2d(x, weight, stride=stride, padding=padding)
    y = torch.randn(forward.shape, generator=generator, dtype=torch.float64)
    back = transposed_convolution(y, weight, stride, padding, (height, width))
    torch.testing.assert_close((forward * y).sum(), (x * back).sum())
    torch.testing.assert_close(
        transposed_convolution(y, weight, stride, padding), by_inserting_zeros(y, weight, stride, padding)
    )


def test_transposed_convolution_refuses_a_size_that_cannot_be():
    with pytest.raises(GradatimError, match=r"maps to \(3, 3\), received \(9, 9\)"):
        transposed_convolution(torch.zeros(1, 1, 3, 3), torch.zeros(1, 1, 3, 3), 2, 1, (9, 9))
    y, weight = double(1, 2, 3, 3), double(2, 1, 2, 2)
    assert torch.autograd.gradcheck(lambda a, b: transposed_convolution(a, b, 2), (y, weight))


@pytest.mark.parametrize("factor", [2, 3, 4])
def test_bilinear_transposed_convolution_enlarges_a_ramp_to_a_ramp(factor):
    layer = nn.ConvTranspose2d(2, 2, 2 * factor - factor % 2, factor, padding=math.ceil((factor - 1) / 2))
    bilinear_(layer)
    ramp = torch.arange(6.0).expand(1, 2, 6, 6)
    inner = layer(ramp).detach()[0, 1, factor:-factor, factor:-factor]
    assert float((inner.diff(dim=1) - 1 / factor).abs().max()) < 1e-5 and float(inner.diff(dim=0).abs().max()) < 1e-5
    assert layer(ramp).shape[-1] in (6 * factor, 6 * factor - 1)


@pytest.mark.parametrize(("kernel", "stride", "ceil"), [(2, 2, False), (3, 2, False), (3, 2, True), (3, 1, False)])
def test_unpooling_is_what_the_gradient_of_pooling_does(kernel, stride, ceil):
    x = double(2, 3, 8, 7)
    pooled, switches = max_pool_with_switches(x, kernel, stride, ceil)
    torch.testing.assert_close(x.flatten(2).gather(2, switches.flatten(2)), pooled.flatten(2))
    values = torch.randn_like(pooled)
    torch.testing.assert_close(unpool(values, switches, (8, 7)), torch.autograd.grad(pooled, x, values)[0])
    assert torch.autograd.gradcheck(lambda v: unpool(v, switches, (8, 7)), (double(*pooled.shape),))
    if kernel == stride:
        torch.testing.assert_close(unpool(pooled, switches, (8, 7)), F.max_unpool2d(pooled, switches, 2, 2, 0, (8, 7)))
        again, _ = max_pool_with_switches(F.relu(unpool(F.relu(pooled), switches, (8, 7))), kernel, stride)
        torch.testing.assert_close(again, F.relu(pooled))


def test_the_loss_of_auxiliary_heads_is_the_weighted_sum():
    labels = torch.tensor([0, 2])
    logits = [torch.randn(2, 3, requires_grad=True) for _ in range(3)]
    expected = F.cross_entropy(logits[0], labels) + 0.3 * sum(F.cross_entropy(part, labels) for part in logits[1:])
    torch.testing.assert_close(auxiliary_loss(logits, labels), expected)
    torch.testing.assert_close(auxiliary_loss(logits[:1], labels), F.cross_entropy(logits[0], labels))


def test_pictures_are_checked_in_one_line_and_restandardised():
    check_images(torch.zeros(1, 3, 32, 40), 3, 32)
    for shape in [(3, 32, 32), (1, 1, 32, 32), (1, 3, 31, 40)]:
        with pytest.raises(GradatimError, match="at least 32 x 32") as caught:
            check_images(torch.zeros(shape), 3, 32)
        assert "\n" not in str(caught.value)
    pixels = torch.rand(2, 3, 4, 4)
    mean, deviation = (torch.tensor(v)[:, None, None] for v in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
    torch.testing.assert_close(imagenet_to_half((pixels - mean) / deviation), (pixels - 0.5) / 0.5)


@given(st.floats(1, 3000))
def test_rounded_widths_are_multiples_of_eight_and_never_much_less(channels):
    found = make_divisible(channels)
    assert found % 8 == 0 and found >= 8 and found >= 0.9 * channels and found <= max(8, channels + 8)


def test_the_start_without_norm_keeps_the_signal_through_twenty_layers():
    layers = []
    for _ in range(20):
        layers += [nn.Conv2d(32, 32, 3, padding=1, padding_mode="circular"), nn.ReLU()]
    network = nn.Sequential(*layers, nn.Flatten(), nn.Linear(32 * 64, 500))
    initialise_without_norm(network, heads=[network[-1]])
    x = torch.randn(16, 32, 8, 8)
    with torch.no_grad():
        before = float(network[0](x).square().mean())
        after = float(network[38](network[:38](x)).square().mean())
    assert 0.2 < after / before < 5
    assert float(network[-1].weight.detach().std()) == pytest.approx((32 * 64) ** -0.5, rel=0.05)
    assert not network[0].bias.any()
