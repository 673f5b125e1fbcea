"""Addresses: every builder found without torch, nothing else resolved, weights compared before they are loaded."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from gradatim.errors import ArtifactError, DataError, GradatimError
from gradatim.models import address as module
from gradatim.models.address import addresses, build, full_address, load_weights, resolve
from gradatim.models.vision.resnet import resnet18


def test_the_list_holds_the_zoo_and_imports_no_torch():
    code = "import sys; from gradatim.models.address import addresses; print(len(addresses()), 'torch' in sys.modules)"
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert int(printed[0]) == len(addresses()) >= 14
    assert printed[1] == "False"


@pytest.mark.parametrize("text", ["resnet18", "resnet.resnet18", "vision.resnet.resnet18"])
def test_the_last_parts_suffice(text):
    assert full_address(text) == "gradatim.models.vision.resnet.resnet18"
    assert resolve(text) is resnet18


@pytest.mark.parametrize(
    "text",
    [
        "", ".", "..resnet18", "resnet18.", "vision/resnet/resnet18", "../resnet18", "_builders", "__import__",
        "gradatim.models.vision.resnet.ResNet", "ResNet", "BasicBlock", "shortcut", "demo",
        "gradatim.models.vision.resnet.demo", "gradatim.models.vision.resnet.initialise_convolutional",
        "gradatim.models.vision.resnet.torch.load", "gradatim.models.vision.resnet.nn.Linear",
        "gradatim.models.address.build", "gradatim.models.address.load_weights", "gradatim.errors.DataError",
        "os.system", "torch.nn.Linear", "builtins.eval", "resnet18()", "resnet18 ", "rеsnet18", "x" * 1000,
        "gradatim.models.fusion.network.column_encoder", "gradatim.models.vision.resnet.__init__",
    ],
)
def test_anything_but_a_builder_is_refused(text):
    with pytest.raises(GradatimError):
        resolve(text)


@pytest.mark.parametrize("value", [None, 3, ["resnet18"], {"address": "resnet18"}])
def test_what_is_no_text_is_refused(value):
    with pytest.raises(GradatimError):
        resolve(value)


def test_an_unknown_name_gets_the_nearest_and_an_ambiguous_one_the_candidates(monkeypatch):
    with pytest.raises(GradatimError, match=r"resnet18"):
        resolve("resnet81")
    monkeypatch.setattr(module, "_zoo", lambda: {"gradatim.models.a.net": "", "gradatim.models.b.net": ""})
    with pytest.raises(GradatimError, match=r"ambiguous: gradatim\.models\.a\.net, gradatim\.models\.b\.net"):
        full_address("net")
    assert full_address("b.net") == "gradatim.models.b.net"


def test_a_package_of_the_user_counts_only_when_named(tmp_path: Path, monkeypatch):
    package = tmp_path / "outside_nets"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "tiny.py").write_text(
        "from os import system\nfrom torch import nn\n\n"
        "def tiny(num_classes: int = 2) -> nn.Module:\n    return nn.Linear(1, num_classes)\n\n"
        "def untyped(num_classes=2):\n    return nn.Linear(1, 1)\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    packages = ("gradatim", "outside_nets")
    with pytest.raises(GradatimError):
        resolve("outside_nets.tiny.tiny")
    assert "outside_nets.tiny" not in sys.modules
    network = build({"address": "outside_nets.tiny.tiny", "arguments": {"num_classes": 5}}, packages=packages)
    assert isinstance(network, nn.Linear) and network.out_features == 5
    for refused in ("tiny.system", "tiny.nn", "tiny.untyped", "no.net"):
        with pytest.raises(GradatimError):
            resolve(f"outside_nets.{refused}", packages=packages)


@pytest.mark.parametrize(
    ("blueprint", "says"),
    [
        ("resnet18", "address"),
        ({}, "address"),
        ({"address": "resnet18", "code": "x"}, "address"),
        ({"address": "resnet18", "arguments": [1]}, "object"),
        ({"address": "resnet18", "arguments": {"classes": 3}}, "num_classes"),
        ({"address": "fusion_network", "arguments": {"inputs": {}}}, "outputs"),
        ({"address": "resnet18", "arguments": {"num_classes": "many"}}, "resnet18"),
        ({"address": "resnet18", "arguments": {"num_classes": -1}}, "resnet18"),
        ({"address": "small_resnet", "arguments": {"stem_stride": 3}}, "stem stride"),
        ({"address": "recurrent_classifier", "arguments": {"cell": "abacus"}}, "gru"),
    ],
)
def test_a_bad_blueprint_is_one_line(blueprint, says):
    with pytest.raises(GradatimError, match=says) as caught:
        build(blueprint)
    assert "\n" not in str(caught.value)


def test_weights_load_from_both_formats(tmp_path: Path):
    source = resnet18(num_classes=3)
    save_file(source.state_dict(), tmp_path / "w.safetensors")
    torch.save(source.state_dict(), tmp_path / "w.pth")
    torch.save({"state_dict": {f"net.{k}": v for k, v in source.state_dict().items()}}, tmp_path / "p.pt")
    for name, prefix in (("w.safetensors", ""), ("w.pth", ""), ("p.pt", "net.")):
        network = resnet18(num_classes=3)
        assert load_weights(network, tmp_path / name, prefix=prefix) == []
        for key, value in source.state_dict().items():
            assert torch.equal(network.state_dict()[key], value)


def test_a_headless_network_leaves_the_classifier_and_says_so(tmp_path: Path):
    source = resnet18(num_classes=3)
    # files older than the counters of batch norm lack them
    save_file({k: v for k, v in source.state_dict().items() if "tracked" not in k}, tmp_path / "w.safetensors")
    network = resnet18(num_classes=0)
    said = load_weights(network, tmp_path / "w.safetensors")
    assert len(said) == 1 and "fc.weight" in said[0]
    assert torch.equal(network.conv1.weight, source.conv1.weight)
    with pytest.raises(ArtifactError, match=r"'fc.weight' has shape \(3, 512\), expected \(7, 512\)"):
        load_weights(resnet18(num_classes=7), tmp_path / "w.safetensors")


def test_other_weights_are_refused_before_anything_is_written(tmp_path: Path):
    network = resnet18(num_classes=2)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    state = dict(network.state_dict())
    state["conv1.weight"] = torch.zeros(64, 1, 7, 7)
    del state["bn1.bias"]
    state["extra.weight"] = torch.zeros(1)
    save_file(state, tmp_path / "w.safetensors")
    with pytest.raises(ArtifactError, match=r"'bn1.bias' is missing; 'extra.weight' is not of this network; 'conv1"):
        load_weights(network, tmp_path / "w.safetensors")
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


class Hostile:
    def __reduce__(self):
        return (print, ("code ran",))


def test_files_that_are_no_weights_are_one_line(tmp_path: Path, capsys):
    network = resnet18(num_classes=2)
    (tmp_path / "a.safetensors").write_bytes(b"\xff" * 64)
    (tmp_path / "b.pth").write_bytes(b"not a zip")
    torch.save({"weight": Hostile()}, tmp_path / "c.pth")
    torch.save([torch.zeros(1)], tmp_path / "d.pth")
    (tmp_path / "e.h5").write_bytes(b"")
    for name in ("a.safetensors", "b.pth", "c.pth", "d.pth", "e.h5", "none.pth"):
        with pytest.raises((ArtifactError, DataError)) as caught:
            load_weights(network, tmp_path / name)
        assert "\n" not in str(caught.value) and name in str(caught.value)
    with pytest.raises(ArtifactError, match="begin with"):
        save_file({"a": torch.zeros(1)}, tmp_path / "f.safetensors")
        load_weights(network, tmp_path / "f.safetensors", prefix="net.")
    assert "code ran" not in capsys.readouterr().out
