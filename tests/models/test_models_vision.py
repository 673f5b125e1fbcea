"""Vision models against a plain re-computation from their weights, torchvision's names, and closed forms."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from gradatim.errors import GradatimError
from gradatim.models.address import build
from gradatim.models.summary import layers, parameter_count
from gradatim.models.vision.lenet import lenet5
from gradatim.models.vision.resnet import resnet18, resnet34, resnet50, resnet101, resnet152
from gradatim.models.vision.small_resnet import ResidualBlock, small_resnet, stem_stride_for


def normed(values: torch.Tensor, state: dict, name: str) -> torch.Tensor:
    """Batch norm in eval mode, by its formula."""
    mean, variance = state[f"{name}.running_mean"], state[f"{name}.running_var"]
    scale = state[f"{name}.weight"] / torch.sqrt(variance + 1e-5)
    return (values - mean[:, None, None]) * scale[:, None, None] + state[f"{name}.bias"][:, None, None]


def reference(state: dict, pictures: torch.Tensor, depths: list[int], bottleneck: bool) -> torch.Tensor:
    """ResNet's forward pass written from torchvision's parameter names alone."""
    values = F.relu(normed(F.conv2d(pictures, state["conv1.weight"], stride=2, padding=3), state, "bn1"))
    values = F.max_pool2d(values, 3, 2, 1)
    for stage, depth in enumerate(depths, start=1):
        for block in range(depth):
            name, stride = f"layer{stage}.{block}", 2 if stage > 1 and block == 0 else 1
            strides = [1, stride, 1] if bottleneck else [stride, 1]
            branch = values
            for number, step in enumerate(strides, start=1):
                weight = state[f"{name}.conv{number}.weight"]
                branch = F.conv2d(branch, weight, stride=step, padding=weight.shape[-1] // 2)
                branch = normed(branch, state, f"{name}.bn{number}")
                branch = F.relu(branch) if number < len(strides) else branch
            if f"{name}.downsample.0.weight" in state:
                values = F.conv2d(values, state[f"{name}.downsample.0.weight"], stride=stride)
                values = normed(values, state, f"{name}.downsample.1")
            values = F.relu(branch + values)
    return F.linear(values.mean((2, 3)), state["fc.weight"], state["fc.bias"])


@pytest.mark.parametrize(
    ("builder", "depths", "deep"), [(resnet18, [2, 2, 2, 2], False), (resnet50, [3, 4, 6, 3], True)]
)
def test_resnet_equals_a_plain_forward_from_its_weights(builder, depths, deep):
    torch.manual_seed(0)
    network = builder(num_classes=5).eval()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 2)
            nn.init.uniform_(module.weight, 0.5, 1)
            nn.init.normal_(module.bias, 0, 0.1)
    pictures = torch.randn(2, 3, 48, 40)
    with torch.no_grad():
        expected = reference(network.state_dict(), pictures, depths, deep)
        torch.testing.assert_close(network(pictures), expected, rtol=1e-3, atol=1e-4 * float(expected.abs().max()))


@pytest.mark.parametrize(
    ("builder", "entries"), [(resnet18, 122), (resnet34, 218), (resnet50, 320), (resnet101, 626), (resnet152, 932)]
)
def test_resnet_has_as_many_entries_as_torchvisions_files(builder, entries):
    with torch.device("meta"):
        assert len(builder().state_dict()) == entries


def test_resnet_start_is_documented():
    torch.manual_seed(0)
    network = resnet18(zero_last=True)
    assert float(network.layer4[1].conv1.weight.detach().std()) == pytest.approx((2 / (512 * 9)) ** 0.5, rel=0.02)
    assert not network.layer3[0].bn2.weight.any() and bool((network.layer3[0].bn1.weight == 1).all())
    assert bool((resnet18().layer3[0].bn2.weight == 1).all())


def test_lenet_has_the_counts_of_each_layer():
    counts = {layer.name: layer.parameters for layer in layers(lenet5(), (torch.zeros(1, 1, 28, 28),))}
    assert counts == {"conv1": 156, "conv2": 2416, "fc1": 48120, "fc2": 10164, "fc3": 850}
    paper = lenet5(activation="tanh", pooling="average")
    assert paper(torch.randn(2, 1, 28, 28)).shape == (2, 10)
    with pytest.raises(GradatimError, match="relu, tanh"):
        build({"address": "lenet5", "arguments": {"activation": "sine"}})


@pytest.mark.parametrize("size", [7, 16, 28, 33, 64, 65, 96, 120])
def test_small_resnet_takes_any_size(size):
    network = small_resnet(num_classes=0, in_channels=1, width=8, stem_stride=stem_stride_for(size)).eval()
    picture = torch.randn(1, 1, size, size + 3)
    shapes = {layer.name: layer.shape for layer in layers(network, (picture,))}
    assert network(picture).shape == (1, network.num_features) == (1, 32)
    assert 2 <= shapes["stem"][2] <= 28


def test_small_resnet_does_not_overwrite_its_own_inputs():
    block = ResidualBlock(4, 4, 1)
    values = torch.rand(2, 4, 6, 6)
    kept = values.clone()
    block(values)
    assert torch.equal(values, kept)
    pictures = torch.rand(2, 3, 16, 16)
    kept = pictures.clone()
    small_resnet(width=8)(pictures)
    assert torch.equal(pictures, kept)


def test_small_resnet_agrees_in_channels_last_and_double_precision_gradients():
    torch.manual_seed(0)
    network = small_resnet(num_classes=3, in_channels=2, width=4, stem_stride=1).double()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
    network.eval()
    picture = torch.randn(1, 2, 6, 6, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(network, (picture,))
    turned = network.to(memory_format=torch.channels_last)
    layout = picture.detach().to(memory_format=torch.channels_last)
    torch.testing.assert_close(turned(layout), network(picture.detach()))


def test_the_table_of_layers_adds_up():
    network = small_resnet()
    rows = layers(network, (torch.zeros(1, 3, 32, 32),), depth=1)
    assert [row.name for row in rows] == ["stem", "stages", "dropout", "head"]
    assert sum(row.parameters for row in rows) == parameter_count(network) == 304_154
    assert network.training
