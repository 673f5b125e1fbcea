"""`gradatim filters`: a network of the zoo, weights of one's own, a run, a network that cannot learn."""

import json

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from torch import nn

from gradatim.autodiff.graph.trace import trace
from gradatim.cli.filters import filters
from gradatim.errors import GradatimError
from gradatim.evaluate.explain.filters_drawing import Depth, filters_png, kernel_tiles
from gradatim.evaluate.explain.maps import first_kernels, maps_by_depth
from gradatim.models.address import build


def test_an_address(tmp_path, capsys):
    filters("lenet5", output=tmp_path / "f.png", json=True)
    found = json.loads(capsys.readouterr().out)
    assert found["kernels"] == {"layer": "conv1", "shape": [6, 1, 5, 5]} and found["verdict"] == "sound"
    assert [depth["layer"] for depth in found["depths"]] == ["conv1", "conv2", "fc1", "fc2", "fc3"]
    with Image.open(tmp_path / "f.png") as picture:
        assert picture.width == 1440
    filters("lenet5")
    assert "6 kernels of 1 × 5 × 5" in capsys.readouterr().out


def test_weights_and_a_picture_of_ones_own(tmp_path, capsys):
    torch.manual_seed(3)
    network = build({"address": "small_resnet"})
    save_file(network.state_dict(), tmp_path / "own.safetensors")
    noise = np.random.default_rng(0).integers(0, 255, (40, 60, 3), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "one.png")
    filters("small_resnet", weights=str(tmp_path / "own.safetensors"), picture=tmp_path / "one.png", json=True)
    found = json.loads(capsys.readouterr().out)
    assert "own.safetensors" in found["network"] and found["maps"][0]["shape"][1] > 16


def test_what_vanishes_and_what_is_dead_is_named():
    layers = []
    for _ in range(12):
        layers += [nn.Conv2d(1, 1, 3, padding=1), nn.Sigmoid()]
    sick = nn.Sequential(*layers)
    for module in sick:
        if isinstance(module, nn.Conv2d):
            nn.init.constant_(module.weight, 0.01)
    found = trace(sick, torch.randn(4, 1, 8, 8))
    assert found.verdict == "vanishing"
    depths = [Depth(n.name, n.values.std, n.gradient.norm) for n in found.nodes if n.weights]
    drawn = filters_png("sick", first_kernels(sick), maps_by_depth(sick, (torch.randn(1, 1, 8, 8),)), depths,
                        [f.sentence for f in found.findings])
    assert drawn.startswith(b"\x89PNG")
    ratio = depths[-1].gradient / depths[0].gradient
    assert ratio > 1e4


def test_kernels_share_one_scale():
    weights = np.zeros((2, 3, 2, 2), np.float32)
    weights[0, 0, 0, 0], weights[1, 1, 1, 1] = 2.0, -1.0
    tiles = kernel_tiles(weights)
    assert tiles.shape == (2, 2, 2, 3) and tiles[0, 0, 0, 0] == 1.0 and tiles[1, 1, 1, 1] == 0.25
    assert tiles[0, 1, 1].tolist() == [0.5, 0.5, 0.5]
    assert kernel_tiles(weights[:, :1]).shape == (2, 2, 2)


@pytest.mark.parametrize(
    ("network", "options", "says"),
    [
        ("resnet19", {}, "resnet18"), ("mlp", {}, "pictures"),
        ("lenet5", {"weights": "none.safetensors"}, "nothing there"),
        ("lenet5", {"output": "x.svg"}, ".png"),
    ],
)  # fmt: skip
def test_mistakes_are_one_line(network, options, says, tmp_path):
    if "output" in options:
        options = {"output": tmp_path / options["output"]}
    with pytest.raises(GradatimError, match=says) as caught:
        filters(network, **options)
    assert "\n" not in str(caught.value)


def test_a_run(tmp_path, capsys):
    import gradatim as gd

    noise = np.random.default_rng(2)
    for row in range(24):
        label = ("dark", "light")[row % 2]
        (tmp_path / "pictures" / label).mkdir(parents=True, exist_ok=True)
        pixels = (noise.integers(0, 90, (16, 16, 3)) + 150 * (row % 2)).astype(np.uint8)
        Image.fromarray(pixels).save(tmp_path / "pictures" / label / f"{row}.png")
    run = gd.fit(tmp_path / "pictures", output=tmp_path / "run", epochs=1, minutes=0.2, ledger="none")
    from gradatim.tasks.network import NetworkMember

    has_network = any(isinstance(member, NetworkMember) for member in run.artifact.ensemble.members)
    if not has_network:
        with pytest.raises(GradatimError, match="network"):
            filters(str(tmp_path / "run"))
        return
    filters(str(tmp_path / "run"), row=3, output=tmp_path / "f.png")
    assert (tmp_path / "f.png").read_bytes().startswith(b"\x89PNG")
