"""The table of a network against closed forms, published counts, and gradients: which pixels really reach a place."""

import re

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

from gradatim.models.address import build
from gradatim.models.drawing import drawn_rows, network_svg
from gradatim.models.summary import summary


def on_meta(address, shape):
    with torch.device("meta"):
        return build({"address": address}), (torch.zeros(shape),)


def pixels_that_count(network, side):
    """Height and width of the rectangle of pixels whose gradient at the middle place of the output is not zero."""
    picture = torch.rand(1, 1, side, side, dtype=torch.float64, requires_grad=True)
    output = network.double().eval()(picture)
    output[0, :, output.shape[2] // 2, output.shape[3] // 2].sum().backward()
    rows, columns = torch.nonzero(picture.grad[0, 0], as_tuple=True)
    return int(rows.max() - rows.min()) + 1, int(columns.max() - columns.min()) + 1


def positive(network):
    """Weights above 0 and no ReLU that could be silent: nothing cancels, nothing is hidden."""
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.copy_(parameter.abs() + 0.1)
    return network


LAYERS = st.lists(
    st.one_of(
        st.tuples(st.just("convolution"), st.integers(1, 4), st.integers(1, 2), st.integers(0, 1), st.integers(1, 2)),
        st.tuples(st.just("mean"), st.integers(1, 3), st.integers(1, 2), st.just(0), st.just(1)),
        st.tuples(st.just("transposed"), st.integers(1, 4), st.integers(1, 2), st.just(0), st.just(1)),
        st.tuples(st.just("enlarge"), st.just(2), st.just(1), st.just(0), st.just(1)),
    ),
    min_size=1, max_size=4,
)  # fmt: skip


def layer_of(kind, kernel, stride, padding, dilation):
    if kind == "convolution":
        return nn.Conv2d(1, 1, kernel, stride, padding, dilation)
    if kind == "transposed":
        return nn.ConvTranspose2d(1, 1, max(kernel, stride), stride)
    return nn.Upsample(scale_factor=2) if kind == "enlarge" else nn.AvgPool2d(kernel, stride)


@settings(max_examples=60, deadline=None)
@given(LAYERS)
def test_receptive_field_is_where_the_gradient_arrives(parts):
    network = positive(nn.Sequential(*(layer_of(*part) for part in parts)))
    seen = summary(network, (torch.zeros(1, 1, 64, 64),)).layers[-1].receptive_field
    found = pixels_that_count(network, 64)
    if any(kind in ("transposed", "enlarge") for kind, *_ in parts):  # its places differ: the widest is told
        assert all(real <= told for real, told in zip(found, seen))
    else:
        assert found == seen


class Branches(nn.Module):
    """A skip, a wide branch off the middle, a narrow one, a concatenation, pooling inside forward."""

    def __init__(self):
        super().__init__()
        self.wide, self.narrow = nn.Conv2d(1, 1, 5, padding=2), nn.Conv2d(1, 1, (1, 3), padding=(0, 1))
        self.end = nn.Conv2d(3, 1, 3, stride=2)

    def forward(self, values):
        first = F.avg_pool2d(values, 2)
        moved = F.pad(first, (2, 0, 0, 0))[..., :-2]  # looks two places to the left
        return self.end(torch.cat([self.wide(first) + first, self.narrow(first), moved], dim=1))


def test_receptive_field_through_branches_takes_the_widest():
    network = positive(Branches())
    found = summary(network, (torch.zeros(1, 1, 48, 48),))
    rows = {layer.name: layer for layer in found.layers}
    assert rows["wide"].receptive_field == (10, 10) and rows["narrow"].receptive_field == (2, 6)
    assert rows["end"].receptive_field == pixels_that_count(network, 48) == (14, 14)
    assert rows["end"].jump == (4, 4) and rows["(avg_pool2d)"].shape == (1, 1, 24, 24)
    assert next(layer.name for layer in found.layers) == "(avg_pool2d)"


class Mixing(nn.Module):
    """Squeeze and excite: what is multiplied in has seen everything."""

    def __init__(self, how):
        super().__init__()
        self.before, self.how = nn.Conv2d(1, 2, 3, padding=1), how
        self.after = nn.Conv2d(2, 2, 1)

    def forward(self, values):
        values = self.before(values)
        if self.how == "squeeze":
            return self.after(values * torch.sigmoid(values.mean((2, 3), keepdim=True)))
        if self.how == "channels":  # shuffled, normalised over channels alone, turned and turned back
            values = values.view(1, 2, 1, 8, 8).transpose(1, 2).reshape(1, 2, 8, 8)
            values = F.layer_norm(values.permute(0, 2, 3, 1), (2,)).permute(0, 3, 1, 2)
            return self.after(values)
        tokens = values.flatten(2).transpose(1, 2)
        return F.scaled_dot_product_attention(tokens, tokens, tokens)


@pytest.mark.parametrize(("how", "all_of_it"), [("squeeze", True), ("channels", False), ("attention", True)])
def test_what_mixes_all_places_sees_everything(how, all_of_it):
    rows = {row.name: row for row in summary(Mixing(how), (torch.zeros(1, 1, 8, 8),)).layers}
    assert rows["before"].receptive_field == (3, 3)
    if how != "attention":
        assert (rows["after"].receptive_field[0] == float("inf")) == all_of_it


def test_published_counts():
    network, batch = on_meta("resnet18", (1, 3, 224, 224))
    found = summary(network, batch)
    rows = {row.name: row for row in found.layers}
    # Multiply-adds as fvcore and the papers count them; receptive fields of Araujo et al. 2019 and their recursion.
    assert (found.parameters, found.multiply_adds) == (11_689_512, 1_814_073_344)
    assert rows["layer4.1"].receptive_field == (435, 435) and rows["layer4.1"].jump == (32, 32)
    assert rows["maxpool"].receptive_field == (11, 11)
    network, batch = on_meta("efficientnet_lite0", (1, 3, 224, 224))
    assert summary(network, batch).multiply_adds == 385_187_552


def test_layers_by_their_formulas():
    network = nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1), nn.BatchNorm2d(8), nn.ReLU(inplace=True), nn.Flatten(),
                            nn.Linear(128, 10))
    found = summary(network, (torch.zeros(2, 3, 8, 8),))
    convolution, norm, relu, flat, dense = found.layers
    assert convolution.multiply_adds == 2 * 16 * 8 * 27 and dense.multiply_adds == 2 * 1280
    assert found.multiply_adds == convolution.multiply_adds + dense.multiply_adds
    assert convolution.activation_bytes == norm.activation_bytes == 4 * 2 * 8 * 16
    assert relu.activation_bytes == flat.activation_bytes == 0 and dense.activation_bytes == 80
    assert convolution.detail == "3 × 3, stride 2" and flat.receptive_field == (3, 3)
    assert dense.receptive_field == (float("inf"),) * 2


@pytest.mark.parametrize("heads", [1, 2])
def test_products_of_a_transformer(heads):
    length, width = 7, 8
    layer = nn.TransformerEncoderLayer(width, heads, 16, batch_first=True, device="meta")
    found = summary(nn.Sequential(layer), (torch.zeros(1, length, width, device="meta"),))
    attention = 4 * length * width * width + 2 * length * length * width
    assert found.multiply_adds == attention + 2 * length * width * 16
    assert all(row.receptive_field is None for row in found.layers)


@pytest.mark.parametrize(
    ("address", "shape"), [("lenet5", (1, 1, 28, 28)), ("resnet18", (1, 3, 64, 64)), ("mlp", None)]
)
def test_the_picture_of_a_network(address, shape):
    from xml.etree import ElementTree

    if shape is None:
        network, batch = build({"address": address, "arguments": {"in_features": 5}}), (torch.zeros(1, 5),)
        shape = (1, 5)
    else:
        network, batch = on_meta(address, shape)
    found = summary(network, batch)
    drawn = network_svg(found, title="a <net> & more", input_shape=shape)
    tree = ElementTree.fromstring(drawn)
    texts = [element.text for element in tree.iter() if element.tag.endswith("text")]
    assert texts[0] == "a <net> & more" and not re.search(r"https?://(?!www.w3.org)", drawn)
    assert len([text for text in texts if text == "input"]) == 1
    assert {row.layer.name for row in drawn_rows(found.layers)} <= {layer.name for layer in found.layers}
    for element in tree.iter():  # everything lies inside the picture
        if element.tag.endswith("rect"):
            assert float(element.get("x", 0)) >= 0
            assert float(element.get("x", 0)) + float(element.get("width")) <= 400
