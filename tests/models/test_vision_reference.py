"""Networks for pictures that no other package has, against a plain forward from their weights; what all of them share:
sizes, channels, heads, auxiliary heads; and ZFNet's way back to the pixels."""

from itertools import pairwise

import pytest
import torch
from safetensors.torch import save_file
from torch import nn
from torch.nn import functional as F

from gradatim.errors import GradatimError
from gradatim.models.address import load_weights, resolve
from gradatim.models.summary import layers, parameter_count
from gradatim.models.vision.alexnet import SLIMMER, AlexNet, alexnet_grouped, alexnet_ungrouped, response_norm
from gradatim.models.vision.efficientnet import STAGES, EfficientNet, compound_scaling
from gradatim.models.vision.googlenet import INCEPTIONS, googlenet, inception_v1
from gradatim.models.vision.inception_v3 import inception_v3
from gradatim.models.vision.network_in_network import network_in_network, network_in_network_small
from gradatim.models.vision.vgg import vgg11, vgg16
from gradatim.models.vision.zfnet import ZFNet, zfnet
from gradatim.nn.convolution.auxiliary import auxiliary_loss
from gradatim.nn.convolution.image_input import imagenet_to_half

# name → smallest side in pixels
SMALLEST = {
    "alexnet": 63, "alexnet_grouped": 63, "zfnet": 47, "vgg11": 32, "network_in_network": 39,
    "network_in_network_small": 4, "googlenet": 15, "inception_v1": 31, "inception_v3": 75, "se_resnet18": 1,
    "mobilenet_v1": 1, "mobilenet_v2": 1, "efficientnet_b0": 1,
}


@pytest.fixture(autouse=True)
def seed() -> None:
    torch.manual_seed(0)


def shaken(network: nn.Module) -> nn.Module:
    """In eval mode, with biases that are not 0."""
    with torch.no_grad():
        for parameter in network.parameters():
            parameter += 0.05 * torch.randn_like(parameter)
    return network.eval()


def response_normed(x: torch.Tensor) -> torch.Tensor:
    """AlexNet's § 3.3, channel by channel."""
    squares = F.pad(x.square(), (0, 0, 0, 0, 2, 2))
    around = sum(squares[:, shift : shift + x.shape[1]] for shift in range(5))
    return x / (2 + 1e-4 * around) ** 0.75


def convolved(x: torch.Tensor, state: dict, name: str, **words: int) -> torch.Tensor:
    return F.relu(F.conv2d(x, state[f"{name}.weight"], state[f"{name}.bias"], **words))


def dense(x: torch.Tensor, state: dict, *names: str) -> torch.Tensor:
    """Linear layers with ReLU between."""
    for place, name in enumerate(names):
        x = F.linear(F.relu(x) if place else x, state[f"{name}.weight"], state[f"{name}.bias"])
    return x


def same(found: torch.Tensor, expected: torch.Tensor) -> None:
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=2e-5 * float(expected.abs().max()))


def test_response_norm_is_the_papers_formula():
    x = torch.randn(2, 9, 4, 5) * 30
    torch.testing.assert_close(response_norm()(x), response_normed(x))


@pytest.mark.parametrize(("builder", "groups"), [(alexnet_grouped, 2), (alexnet_ungrouped, 1)])
def test_the_papers_alexnet_equals_a_plain_forward(builder, groups):
    network = shaken(builder(num_classes=7, width=0.25))
    s, x = network.state_dict(), torch.randn(2, 3, 224, 200)
    values = F.max_pool2d(response_normed(convolved(x, s, "features.0", stride=4, padding=2)), 3, 2)
    values = F.max_pool2d(response_normed(convolved(values, s, "features.4", padding=2, groups=groups)), 3, 2)
    values = convolved(convolved(values, s, "features.8", padding=1), s, "features.10", padding=1, groups=groups)
    values = F.max_pool2d(convolved(values, s, "features.12", padding=1, groups=groups), 3, 2)
    values = F.adaptive_avg_pool2d(values, 6).flatten(1)
    with torch.no_grad():
        same(network(x), dense(values, s, "classifier.1", "classifier.4", "classifier.6"))


def test_two_towers_meet_only_in_the_third_convolution():
    network = shaken(alexnet_grouped(num_classes=7, width=0.25))
    x = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        before = network.features[4:6](network.features[:4](x))
        network.features[0].weight[:12] = 0
        network.features[0].bias[:12] = 0
        change = (network.features[4:6](network.features[:4](x)) - before).abs().amax((0, 2, 3))
    # the response norm looks two channels across the border, which is nearly nothing
    assert float(change[:32].max()) > 1e3 * float(change[32:].max())


def test_alexnet_gives_55_points_from_224_pixels_and_from_227_without_padding():
    with torch.device("meta"):
        network = AlexNet(SLIMMER, 1, False, 4096, 1000, 3, 0.5)
        shapes = {row.name: row.shape for row in layers(network, (torch.zeros(1, 3, 224, 224),))}
        assert shapes["features.0"][2:] == nn.Conv2d(3, 64, 11, 4)(torch.zeros(1, 3, 227, 227)).shape[2:] == (55, 55)
        assert shapes["features"][2:] == (6, 6)


def test_zfnet_equals_a_plain_forward_and_has_the_papers_sizes():
    network = shaken(zfnet(num_classes=7, width=0.25))
    s, x = network.state_dict(), torch.randn(2, 3, 224, 224)
    values = F.max_pool2d(convolved(x, s, "conv1", stride=2, padding=1), 3, 2, ceil_mode=True)
    assert values.shape[-1] == 55
    values = F.max_pool2d(convolved(response_normed(values), s, "conv2", stride=2), 3, 2, ceil_mode=True)
    assert values.shape[-1] == 13
    values = response_normed(values)
    for name in ("conv3", "conv4", "conv5"):
        values = convolved(values, s, name, padding=1)
    values = F.max_pool2d(values, 3, 2)
    assert values.shape[-1] == 6
    with torch.no_grad():
        same(network(x), dense(values.flatten(1), s, "fc6", "fc7", "fc8"))


def deconvolved(network: ZFNet, x: torch.Tensor, layer: int, channel: int) -> torch.Tensor:
    """Zeiler & Fergus's projection by autograd alone: each layer's transpose is its gradient, then a ReLU."""
    trail, values = [], x
    for number in range(1, layer + 1):
        conv = network.get_submodule(f"conv{number}")
        leaf = values.detach().requires_grad_()
        linear = conv(leaf)
        rectified = F.relu(linear).detach().requires_grad_()
        pooled = F.max_pool2d(rectified, 3, 2, ceil_mode=True) if number in (1, 2, 5) else rectified * 1
        trail.append((leaf, linear, rectified, pooled))
        values = response_normed(pooled) if number in (1, 2) else pooled
    signal = torch.zeros_like(values)
    for row in range(len(x)):
        place = int(values[row, channel].argmax())
        signal[row, channel].view(-1)[place] = values[row, channel].reshape(-1)[place]
    for leaf, linear, rectified, pooled in reversed(trail):
        signal = torch.autograd.grad(pooled, rectified, signal)[0]
        signal = torch.autograd.grad(linear, leaf, F.relu(signal))[0]
    return signal


@pytest.mark.parametrize("layer", [1, 2, 3, 5])
def test_zfnet_projects_a_channel_back_to_the_pixels(layer):
    network, x = shaken(zfnet(num_classes=0, width=0.125)), torch.randn(2, 3, 71, 64)
    alive = next(channel for channel in range(12) if network.project(x, layer, channel).any())
    found = network.project(x, layer, alive)
    assert found.shape == x.shape
    torch.testing.assert_close(found, deconvolved(network, x, layer, alive), rtol=1e-4, atol=1e-6)
    with pytest.raises(GradatimError, match="layer from 1 to 5"):
        network.project(x, 6, 0)


def test_zfnet_projects_an_edge_to_where_it_is():
    network = zfnet(num_classes=0, in_channels=1, width=0.125)
    with torch.no_grad():
        network.conv1.weight[0] = torch.tensor([-1.0, -1, -1, 0, 1, 1, 1]).expand(7, 7)
    picture = torch.zeros(1, 1, 64, 64)
    picture[..., 30:, 40:] = 1
    columns = network.project(picture, 1, 0)[0, 0].abs().sum(0)
    assert 36 <= int(columns.argmax()) <= 44 and float(columns[:33].sum() + columns[48:].sum()) == 0


def test_network_in_network_equals_a_plain_forward():
    network = shaken(network_in_network(num_classes=7, width=0.25))
    s, x, values = network.state_dict(), torch.randn(2, 3, 100, 64), torch.zeros(0)
    for place, stride, padding in ((0, 4, 0), (2, 1, 2), (4, 1, 1), (7, 1, 1)):
        values = convolved(values if place else x, s, f"features.{place}.0", stride=stride, padding=padding)
        for number in (2, 4) if place < 7 else (2,):
            values = convolved(values, s, f"features.{place}.{number}")
        values = F.max_pool2d(values, 3, 2, ceil_mode=True) if place < 7 else values
    maps = F.conv2d(values, s["head.weight"], s["head.bias"])
    with torch.no_grad():
        same(network(x), maps.mean((2, 3)))
        same(network.class_maps(x), maps)
    assert network_in_network_small()(torch.randn(2, 3, 32, 32)).shape == (2, 10)


def test_the_papers_googlenet_equals_a_plain_forward():
    network = shaken(inception_v1(num_classes=5, width=0.25))
    s, x = network.state_dict(), torch.randn(2, 3, 96, 80)

    def pooled(values: torch.Tensor) -> torch.Tensor:
        return F.max_pool2d(values, 3, 2, ceil_mode=True)

    def auxiliary(values: torch.Tensor, name: str) -> torch.Tensor:
        values = convolved(F.adaptive_avg_pool2d(values, 4), s, f"{name}.conv.conv").flatten(1)
        return dense(values, s, f"{name}.fc1", f"{name}.fc2")

    values = response_normed(pooled(convolved(x, s, "conv1.conv", stride=2, padding=3)))
    values = convolved(convolved(values, s, "conv2.conv"), s, "conv3.conv", padding=1)
    values, seen = pooled(response_normed(values)), {}
    for place in INCEPTIONS:
        name = f"inception{place}"
        ways = [
            convolved(values, s, f"{name}.branch1.conv"),
            convolved(convolved(values, s, f"{name}.branch2.0.conv"), s, f"{name}.branch2.1.conv", padding=1),
            convolved(convolved(values, s, f"{name}.branch3.0.conv"), s, f"{name}.branch3.1.conv", padding=2),
            convolved(F.max_pool2d(values, 3, 1, 1), s, f"{name}.branch4.1.conv"),
        ]
        values = seen[place] = torch.cat(ways, 1)
        values = pooled(values) if place in ("3b", "4e") else values
    with torch.no_grad():
        found = network.all_logits(x)
        same(found[0], dense(values.mean((2, 3)), s, "fc"))
        same(found[1], auxiliary(seen["4d"], "aux2"))
        same(found[2], auxiliary(seen["4a"], "aux1"))
        same(network(x), found[0])


@pytest.mark.parametrize(
    ("builder", "with_heads", "without", "heads"),
    [(googlenet, 13_004_888, 6_624_904, 2), (inception_v1, 13_378_280, 6_998_552, 2),
     (inception_v3, 27_161_264, 23_834_568, 1)],
)
def test_auxiliary_heads_cost_what_they_cost_and_may_be_left_out(builder, with_heads, without, heads, tmp_path):
    with torch.device("meta"):
        assert parameter_count(builder()) == with_heads and parameter_count(builder(auxiliary=False)) == without
    network = builder(num_classes=3, width=0.125)
    plain = builder(num_classes=3, width=0.125, auxiliary=False)
    assert len(network.all_logits(torch.randn(2, 3, 96, 96))) == 1 + heads
    save_file(network.state_dict(), tmp_path / "weights.safetensors")
    said = load_weights(plain, tmp_path / "weights.safetensors")
    assert len(said) == 1 and "left the classifier aside" in said[0]
    x = torch.randn(2, 3, 96, 96)
    with torch.no_grad():
        torch.testing.assert_close(plain.eval()(x), network.eval()(x))
        (only,) = plain.all_logits(x)
        torch.testing.assert_close(only, plain(x))


@pytest.mark.parametrize("builder", [googlenet, inception_v1, inception_v3])
def test_auxiliary_heads_learn_by_all_logits(builder):
    network = builder(num_classes=3, width=0.125, dropout=0.0)
    for size in (96, 299) if builder is inception_v3 else (96,):
        network.zero_grad()
        auxiliary_loss(network.all_logits(torch.randn(4, 3, size, size)), torch.tensor([0, 1, 2, 0])).backward()
        assert all(value.grad is not None and value.grad.isfinite().all() for value in network.parameters())
    assert any(value.grad.any() for name, value in network.named_parameters() if name.lower().startswith("aux"))


@pytest.mark.parametrize("builder", [googlenet, inception_v3])
def test_transform_input_is_the_other_standard(builder):
    torch.manual_seed(1)
    plain = builder(num_classes=3, width=0.125, auxiliary=False).eval()
    other = builder(num_classes=3, width=0.125, auxiliary=False, transform_input=True).eval()
    other.load_state_dict(plain.state_dict())
    x = torch.randn(1, 3, 96, 96)
    with torch.no_grad():
        torch.testing.assert_close(other(x), plain(imagenet_to_half(x)))
    with pytest.raises(GradatimError, match="3 channels"):
        builder(in_channels=1, transform_input=True)


@pytest.mark.parametrize("name", SMALLEST)
def test_sizes_channels_and_features(name):
    smallest = SMALLEST[name]
    with torch.device("meta"):
        network = resolve(name)(num_classes=0, in_channels=5).eval()
        assert network(torch.zeros(2, 5, smallest, smallest + 3)).shape == (2, network.num_features)
        assert network(torch.zeros(1, 5, 150, 131)).shape == (1, network.num_features)
        logits = resolve(name)(num_classes=4).eval()
        assert logits(torch.zeros(2, 3, smallest + 1, smallest)).shape == (2, 4)
        if name != "se_resnet18":
            refused = [torch.zeros(2, 5, 3 + smallest, smallest - 1), torch.zeros(2, 3, 150, 150), torch.zeros(5, 9, 9)]
            for batch in refused if smallest > 1 else refused[1:]:
                with pytest.raises(ValueError, match=rf"\(B, 5, H, W\) of at least {smallest} x") as caught:
                    network(batch)
                assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["alexnet", "zfnet", "vgg11_bn", "network_in_network", "mobilenet_v2", "se_resnet18"])
def test_weights_with_a_head_fill_a_headless_network(name, tmp_path):
    words = {} if name == "se_resnet18" else {"width": 0.125}
    whole = resolve(name)(num_classes=3, **words).eval()
    headless = resolve(name)(num_classes=0, **words).eval()
    save_file(whole.state_dict(), tmp_path / "weights.safetensors")
    said = load_weights(headless, tmp_path / "weights.safetensors")
    assert len(said) == 1 and "no head of its own" in said[0]
    state = whole.state_dict()
    assert all(torch.equal(value, state[key]) for key, value in headless.state_dict().items())


def test_features_are_the_mean_of_the_last_map():
    network = vgg11(num_classes=0, width=0.125).eval()
    x = torch.randn(2, 3, 70, 90)
    with torch.no_grad():
        torch.testing.assert_close(network(x), network.features(x).mean((2, 3)))
        effnet = EfficientNet(0.25, 1.0, 0.2, 0, 3, 0.0, STAGES[:3]).eval()
        torch.testing.assert_close(effnet(x), effnet.features(x).mean((2, 3)))


def test_vgg16_has_most_weights_in_its_first_dense_layer():
    with torch.device("meta"):
        network = vgg16()
        counts = {row.name: row.parameters for row in layers(network, (torch.zeros(1, 3, 224, 224),))}
    assert counts["classifier.0"] == 102_764_544 and counts["features"] == 14_714_688
    assert parameter_count(network) == 138_357_544


def test_stochastic_depth_grows_along_efficientnet_and_scaling_doubles_the_cost():
    with torch.device("meta"):
        network = resolve("efficientnet_b0")()
    chances = [block.stochastic_depth.drop for stage in network.features[1:-1] for block in stage]
    assert len(chances) == 16 and chances[0] == 0 and chances[-1] == pytest.approx(0.2 * 15 / 16)
    assert all(before < after for before, after in pairwise(chances))
    for wish in (1, 3):
        assert compound_scaling(wish)[3] == pytest.approx(2**wish, rel=0.15)
    small = EfficientNet(0.25, 1.0, 0.0, 3, 3, 0.9, STAGES[:2])
    assert small(torch.randn(4, 3, 32, 32)).isfinite().all()


def test_channels_last_gives_the_same():
    network = resolve("mobilenet_v1")(num_classes=3, width=0.25).double().eval()
    x = torch.randn(2, 3, 40, 33, dtype=torch.float64)
    with torch.no_grad():
        expected = network(x)
        turned = network.to(memory_format=torch.channels_last)(x.to(memory_format=torch.channels_last))
    torch.testing.assert_close(turned, expected)
