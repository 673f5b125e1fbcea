"""`gradatim models`: the list without torch, one network with its table, mistakes in one line."""

import json
import subprocess
import sys

import pytest

from gradatim.cli.models import models, parse_size
from gradatim.errors import GradatimError
from gradatim.models.address import addresses


def test_the_list_names_every_network_and_imports_no_torch():
    code = (
        "import sys; from gradatim.cli.models import models; models(); "
        "assert not {'torch', 'numpy', 'polars'} & set(sys.modules)"
    )
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    for address in addresses():
        assert address.removeprefix("gradatim.models.") in printed


def test_the_list_as_json(capsys):
    models(json=True)
    entries = json.loads(capsys.readouterr().out)
    assert [entry["address"] for entry in entries] == addresses()
    assert all(entry["summary"] for entry in entries)
    assert {"vision", "sequence", "audio", "tabular", "fusion"} <= {entry["family"] for entry in entries}


def test_one_network_at_a_size(capsys):
    models("resnet18", input="3x64x64", json=True)
    shown = json.loads(capsys.readouterr().out)
    assert shown["parameters"] == 11_689_512
    shapes = {row["layer"]: row["shape"] for row in shown["layers"]}
    assert shapes["conv1"] == [1, 64, 32, 32] and shapes["layer4.1"] == [1, 512, 2, 2] and shapes["fc"] == [1, 1000]
    models("resnet18", input="3x64x64", depth=1)
    printed = capsys.readouterr().out
    assert "11,689,512 parameters" in printed and "1 × 512 × 2 × 2" in printed and "He, Zhang, Ren" in printed


@pytest.mark.parametrize("address", addresses(), ids=lambda name: name.removeprefix("gradatim.models."))
def test_every_network_is_shown_on_its_own_example(address, capsys):
    models(address, json=True)
    shown = json.loads(capsys.readouterr().out)
    assert shown["address"] == address and shown["layers"] and shown["parameters"] > 0


@pytest.mark.parametrize(
    ("address", "size"),
    [("recurrent_classifier", "20"), ("mlp", "7"), ("log_mel_net", "1x64x200"), ("lenet5", "3x32x32")],
)
def test_sizes_of_other_families(address, size, capsys):
    models(address, input=size)
    assert "parameters" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("address", "size", "says"),
    [
        ("resnet19", None, "resnet18"), ("os.system", None, "models"), ("lenet5", "1x28", "three sizes"),
        ("mlp", "3x4", "one size"), ("lenet5", "1x4x4", "12 pixels"), ("transformer_encoder", "6000", "512 tokens"),
        ("fusion_network", "3x8x8", "example"), ("resnet18", "3x0x4", "3x64x64"), ("resnet18", "", "3x64x64"),
        ("resnet18", "3x99999x99999", "at most"), ("lenet5", "1x28x12", "does not take"),
    ],
)
def test_mistakes_are_one_line(address, size, says):
    with pytest.raises(GradatimError, match=says) as caught:
        models(address, input=size)
    assert "\n" not in str(caught.value)


def test_sizes_are_read_with_either_sign():
    assert parse_size("3x64×64") == [3, 64, 64]


def test_one_network_layer_by_layer_and_drawn(tmp_path, capsys):
    models("resnet18", input="3x224x224", json=True, output=tmp_path / "net.svg")
    shown = json.loads(capsys.readouterr().out)
    rows = {row["layer"]: row for row in shown["layers"]}
    assert shown["multiply_adds"] == 1_814_073_344 and shown["activation_bytes"] > 20e6
    assert rows["layer4.1"]["receptive_field"] == [435, 435] and rows["layer4.1"]["jump"] == [32, 32]
    assert rows["fc"]["receptive_field"] == "all" and rows["conv1"]["detail"] == "7 × 7, stride 2"
    assert (tmp_path / "net.svg").read_text().startswith("<svg") and "435" in (tmp_path / "net.svg").read_text()
    models("resnet18", input="3x224x224", depth=1)
    assert "1,814,073,344 multiply-adds" in capsys.readouterr().out
    for wrong in ({"address": "lenet5", "output": tmp_path / "net.png"}, {"output": tmp_path / "net.svg"}):
        with pytest.raises(GradatimError, match="--output"):
            models(**wrong)
