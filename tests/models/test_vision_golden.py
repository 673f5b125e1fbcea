"""Networks for pictures against what torchvision and timm answered from the same weights, recorded by
scripts/parity_torchvision.sh; and their names and counts, all on meta."""

import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType

import pytest
import torch

from gradatim.models.address import resolve

REPOSITORY = Path(__file__).resolve().parents[2]
GOLDEN = json.loads((REPOSITORY / "tests/models/golden/vision.json").read_text())
# one a family and each odd one out; the rest with --slow
QUICK = {"alexnet", "vgg11_bn", "googlenet", "inception_v3", "resnet18", "resnet50", "mobilenet_v1", "mobilenet_v2",
         "efficientnet_b0", "efficientnet_b5", "se_resnet18", "se_resnet50"}  # fmt: skip


@pytest.fixture(scope="module")
def parity() -> ModuleType:
    """scripts/parity_torchvision.py as a module: its way to draw weights and pictures from names."""
    spec = importlib.util.spec_from_file_location("parity_torchvision", REPOSITORY / "scripts/parity_torchvision.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def test_the_record_covers_all_that_torchvision_and_timm_have_of_ours(parity: ModuleType) -> None:
    assert set(GOLDEN) == {*parity.TORCHVISION, *parity.TIMM}
    assert all(record["reference"].split()[0] in ("torchvision", "timm") for record in GOLDEN.values())


@pytest.mark.parametrize("name", GOLDEN)
def test_names_shapes_and_counts_are_the_references(name: str, parity: ModuleType) -> None:
    with torch.device("meta"):
        network = resolve(name)()
    state = network.state_dict()
    assert sum(value.numel() for value in network.parameters()) == GOLDEN[name]["parameters"]
    assert (len(state), parity.fingerprint(state)) == (GOLDEN[name]["entries"], GOLDEN[name]["names"])


def difference(found: torch.Tensor, record: dict) -> float:
    """The largest difference from the recorded logits, relative to the largest logit."""
    expected = torch.tensor(record["logits"])
    return float((found[:, : expected.shape[1]] - expected).abs().max()) / record["largest"]


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=() if name in QUICK else pytest.mark.slow) for name in GOLDEN]
)
def test_outputs_are_the_references(name: str, parity: ModuleType) -> None:
    """Weights shaken by 2e-7 move the deepest nets by 1e-3, another ε moves the least touched by 9e-3."""
    record = GOLDEN[name]
    with torch.inference_mode():
        logits = parity.ours(name)(parity.pictures(record["side"]))
    assert difference(logits, record) < 2e-3
    assert difference(logits.flip(0), record) > 0.03  # the picture matters


def test_the_record_notices_another_epsilon(parity: ModuleType) -> None:
    network, batch = parity.ours("resnet18"), parity.pictures(GOLDEN["resnet18"]["side"])
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.eps = 1e-3
    with torch.inference_mode():
        assert difference(network(batch), GOLDEN["resnet18"]) > 4e-3
