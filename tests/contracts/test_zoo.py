"""The zoo contract: what every network at an address keeps, on the small instance that its `demo()` gives."""

import copy
import importlib
import inspect
import json
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch.nn import functional as F

from gradatim.models.address import addresses, build, resolve

MODULES = sorted({address.rpartition(".")[0] for address in addresses()})
# torchvision's counts where it has the network, SE-ResNet's and MobileNet v1's are also timm's, the papers' for AlexNet
# (grouped and not) and what their layers add up to for the rest; the docstrings say where two differ.
PARAMETERS = {
    "vision.resnet.resnet18": 11_689_512,
    "vision.resnet.resnet34": 21_797_672,
    "vision.resnet.resnet50": 25_557_032,
    "vision.resnet.resnet101": 44_549_160,
    "vision.resnet.resnet152": 60_192_808,
    "vision.se_resnet.se_resnet18": 11_778_592,
    "vision.se_resnet.se_resnet34": 21_958_868,
    "vision.se_resnet.se_resnet50": 28_088_024,
    "vision.se_resnet.se_resnet101": 49_326_872,
    "vision.se_resnet.se_resnet152": 66_821_848,
    "vision.alexnet.alexnet": 61_100_840,
    "vision.alexnet.alexnet_grouped": 60_965_224,
    "vision.alexnet.alexnet_ungrouped": 62_378_344,
    "vision.zfnet.zfnet": 62_357_608,
    "vision.vgg.vgg11": 132_863_336,
    "vision.vgg.vgg11_bn": 132_868_840,
    "vision.vgg.vgg13": 133_047_848,
    "vision.vgg.vgg13_bn": 133_053_736,
    "vision.vgg.vgg16": 138_357_544,
    "vision.vgg.vgg16_bn": 138_365_992,
    "vision.vgg.vgg19": 143_667_240,
    "vision.vgg.vgg19_bn": 143_678_248,
    "vision.network_in_network.network_in_network": 7_595_176,
    "vision.network_in_network.network_in_network_small": 966_986,
    "vision.googlenet.googlenet": 13_004_888,
    "vision.googlenet.inception_v1": 13_378_280,
    "vision.inception_v3.inception_v3": 27_161_264,
    "vision.mobilenet_v1.mobilenet_v1": 4_231_976,
    "vision.mobilenet_v2.mobilenet_v2": 3_504_872,
    "vision.efficientnet.efficientnet_b0": 5_288_548,
    "vision.efficientnet.efficientnet_b1": 7_794_184,
    "vision.efficientnet.efficientnet_b2": 9_109_994,
    "vision.efficientnet.efficientnet_b3": 12_233_232,
    "vision.efficientnet.efficientnet_b4": 19_341_616,
    "vision.efficientnet.efficientnet_b5": 30_389_784,
    "vision.efficientnet.efficientnet_b6": 43_040_704,
    "vision.efficientnet.efficientnet_b7": 66_347_960,
    "vision.efficientnet_lite.efficientnet_lite0": 4_652_008,
    "vision.efficientnet_lite.efficientnet_lite1": 5_416_680,
    "vision.efficientnet_lite.efficientnet_lite2": 6_092_072,
    "vision.efficientnet_lite.efficientnet_lite3": 8_197_096,
    "vision.efficientnet_lite.efficientnet_lite4": 13_006_568,
    "vision.lenet.lenet5": 61_706,
    "vision.small_resnet.small_resnet": 304_154,
    "audio.log_mel_net.log_mel_net": 369_530,
    "sequence.bert.bert_base": 109_482_240,
    "sequence.bert.minilm": 22_565_376,
}
# What all keys share changes no weight of a softmax: published BERTs have it all the same.
UNNOTICED = ("self.key.bias",)


@pytest.fixture(scope="module", params=MODULES, ids=lambda name: name.removeprefix("gradatim.models."))
def demo(request: pytest.FixtureRequest) -> tuple[torch.nn.Module, tuple[Any, ...]]:
    """The small instance and its batch, weights moved off their start so that no branch is shut by a zero scale."""
    torch.manual_seed(0)
    network, batch = importlib.import_module(request.param).demo()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter += 0.02 * torch.randn_like(parameter)
    return network, batch


def rows_of(value: Any, rows: list[int]) -> Any:
    if isinstance(value, dict):
        return {name: rows_of(part, rows) for name, part in value.items()}
    return value[rows]


def size_of(value: Any) -> int:
    while isinstance(value, dict):
        value = next(iter(value.values()))
    return len(value)


def run(network: torch.nn.Module, batch: tuple[Any, ...], rows: list[int] | None = None) -> torch.Tensor:
    """The answer as one vector a row: a net that answers at every token has them side by side."""
    with torch.no_grad():
        return network(*(batch if rows is None else [rows_of(part, rows) for part in batch])).flatten(1)


def calibrated(network: torch.nn.Module, batch: tuple[Any, ...]) -> torch.nn.Module:
    """A copy in eval mode whose batch norms have seen the batch a few times."""
    network = copy.deepcopy(network).train()
    for _ in range(5):
        run(network, batch)
    return network.eval()


def test_output_is_finite_for_a_batch_of_three_and_of_one(demo):
    network, batch = demo
    network = calibrated(network, batch)
    assert size_of(batch[0]) == 3
    output = run(network, batch)
    assert output.dim() == 2 and output.shape[0] == 3 and output.dtype == torch.float32
    assert output.isfinite().all()
    assert run(network, batch, [1]).shape == (1, output.shape[1])


def test_a_row_does_not_depend_on_the_rest_of_its_batch(demo):
    network, batch = demo
    network = calibrated(network, batch)
    together = run(network, batch)
    for row in range(3):
        torch.testing.assert_close(run(network, batch, [row])[0], together[row], atol=2e-5, rtol=1e-4)
    torch.testing.assert_close(run(network, batch, [2, 0, 1]), together[[2, 0, 1]], atol=2e-5, rtol=1e-4)


def test_every_parameter_gets_a_gradient_and_moves(demo):
    network, batch = demo
    network = copy.deepcopy(network).train()
    before = {name: value.detach().clone() for name, value in network.named_parameters()}
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    for _ in range(3):  # dropout may shut a unit in one step
        network(*batch).square().sum().backward()
    without = [name for name, value in network.named_parameters() if value.grad is None or not value.grad.any()]
    assert [name for name in without if not name.endswith(UNNOTICED)] == []
    assert all(value.grad.isfinite().all() for value in network.parameters())
    optimizer.step()
    still = [name for name, value in network.named_parameters() if torch.equal(value, before[name])]
    assert [name for name in still if not name.endswith(UNNOTICED)] == []


def test_one_batch_can_be_learned_by_heart(demo):
    network, batch = demo
    torch.manual_seed(1)
    network = copy.deepcopy(network).train()
    for module in network.modules():  # by heart means without what hinders it
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
        for name in ("modality_dropout", "token_dropout"):
            if hasattr(module, name):
                setattr(module, name, 0.0)
    labels = torch.tensor([2, 0, 1])
    optimizer = torch.optim.Adam(network.parameters(), lr=3e-3)
    for _ in range(60):
        loss = F.cross_entropy(network(*batch).flatten(1), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if loss < 0.02:
            break
    assert loss < 0.05


def test_state_survives_a_file_bit_by_bit(demo, tmp_path):
    network, batch = demo
    network = calibrated(network, batch)
    save_file(network.state_dict(), tmp_path / "weights.safetensors")
    assert {name for name, _ in network.named_buffers()} <= set(network.state_dict())
    other = copy.deepcopy(network).to("meta")  # whatever the file does not hold would stay on meta and be noticed
    other.load_state_dict(load_file(tmp_path / "weights.safetensors"), strict=True, assign=True)
    for name, value in network.state_dict().items():
        assert torch.equal(value, other.state_dict()[name]), name
    assert torch.equal(run(network, batch), run(other.eval(), batch))


def test_a_compiler_takes_the_whole_graph(demo):
    network, batch = demo
    network = calibrated(network, batch)
    torch._dynamo.reset()
    compiled = torch.compile(network, backend="eager", fullgraph=True)
    torch.testing.assert_close(run(compiled, batch), run(network, batch))


def test_bfloat16_stays_close_and_gives_float32(demo):
    network, batch = demo
    network = calibrated(network, batch)
    exact = run(network, batch)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        output = run(network, batch)
        loss = copy.deepcopy(network).train()(*batch).square().sum()
    loss.backward()
    assert output.dtype == torch.float32
    torch.testing.assert_close(output, exact, atol=0.1 * float(exact.abs().max() + 0.1), rtol=0.1)


@pytest.mark.parametrize("address", addresses(), ids=lambda name: name.removeprefix("gradatim.models."))
def test_builds_on_meta_from_json_and_counts_its_parameters(address):
    arguments = {
        name: parameter.default
        for name, parameter in inspect.signature(resolve(address)).parameters.items()
        if parameter.default is not inspect.Parameter.empty
    }
    if address.endswith("fusion_network"):
        from gradatim.models.fusion.network import demo_inputs

        arguments |= {"inputs": demo_inputs(), "outputs": 3}
    blueprint = json.loads(json.dumps({"address": address, "arguments": arguments}))
    with torch.device("meta"):
        network = build(blueprint)
    assert all(value.is_meta for value in network.parameters())
    assert network.num_features > 0
    expected = PARAMETERS.get(address.removeprefix("gradatim.models."))
    if expected is not None:
        assert sum(value.numel() for value in network.parameters()) == expected
    headless = {"outputs": 0} if "outputs" in arguments else {"num_classes": 0}
    with torch.device("meta"):
        features = build({"address": address, "arguments": {**blueprint["arguments"], **headless}})
    assert not [name for name in features.state_dict() if name.startswith(("fc.", "head."))]
