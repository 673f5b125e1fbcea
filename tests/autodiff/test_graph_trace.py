"""`gradatim.trace`: the golden depth of fifty, sick networks told from sound ones, nothing touched, the whole zoo."""

import copy
import importlib
import json
import random
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

import gradatim as gd
from gradatim.autodiff.graph.recording import operation_name
from gradatim.autodiff.graph.trace import trace
from gradatim.autodiff.graph.units import SIGMOID_EDGE, TANH_EDGE, units_of
from gradatim.errors import GradatimError
from gradatim.models.address import addresses

TEXT = "{http://www.w3.org/2000/svg}text"
MODULES = sorted({address.rpartition(".")[0] for address in addresses()})


def chain(weight: float, depth: int = 50) -> nn.Sequential:
    network = nn.Sequential(*(nn.Linear(1, 1, bias=False) for _ in range(depth)))
    for layer in network:
        nn.init.constant_(layer.weight, weight)
    return network


def node(seen, name):
    return next(n for n in seen.nodes if n.name == name)


@pytest.mark.parametrize(
    ("weight", "golden", "verdict"), [(1.5, 6.376e8, "exploding"), (0.5, 8.88e-16, "vanishing"), (1.0, 1.0, "sound")]
)
def test_depth_fifty(weight, golden, verdict):
    seen = gd.trace(chain(weight), torch.ones(1, 1))
    assert seen.verdict == verdict
    assert seen.nodes[0].gradient.norm == pytest.approx(golden, rel=1e-3)
    assert seen.nodes[0].gradient.norm == pytest.approx(weight**50, rel=1e-5)
    if verdict == "sound":
        assert seen.findings == ()
        return
    finding = seen.findings[0]
    assert finding.factor_per_layer == pytest.approx(weight, rel=1e-6)
    assert "over 50 layers" in finding.sentence and finding.layers[0] == "input"
    assert ("clip" if verdict == "exploding" else "residual") in finding.sentence
    for name in finding.layers[1:]:  # named: exactly those beyond ten thousand against the last
        ratio = weight ** (49 - int(name))
        assert max(ratio, 1 / ratio) > 1e4
    assert len(finding.layers) == sum(max(weight**k, weight**-k) > 1e4 for k in range(51))


def sick() -> nn.Sequential:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 3))
    with torch.no_grad():
        network[0].weight *= 50
        network[2].bias[:6] -= 20
    return network


def test_dead_and_saturated_units_are_counted_and_named():
    inputs = torch.randn(64, 4, generator=torch.Generator().manual_seed(0))
    network = sick()
    seen = trace(network, inputs, nn.CrossEntropyLoss(), target=torch.zeros(64, dtype=torch.long))
    assert {finding.code: finding.layers for finding in seen.findings} == {"dead": ("3",), "saturated": ("1",)}
    hidden = network[1](network[0](inputs))
    active = network[3](network[2](hidden)) > 0
    assert node(seen, "3").units.dead == pytest.approx(float((~active.any(0)).float().mean()))
    slopes = 1 - hidden.double() ** 2
    assert node(seen, "1").units.saturated == pytest.approx(float((slopes < 0.05).float().mean()), abs=2e-3)
    assert seen.loss == pytest.approx(F.cross_entropy(network(inputs), torch.zeros(64, dtype=torch.long)).item())


def test_a_small_batch_is_no_evidence_of_death():
    network = sick()
    assert "dead" not in [finding.code for finding in trace(network, torch.randn(3, 4)).findings]


@pytest.mark.parametrize(("operation", "slope"), [
    ("tanh", lambda y: 1 - y * y), ("sigmoid", lambda y: 4 * y * (1 - y))])
def test_saturated_means_a_twentieth_of_the_steepest_slope(operation, slope):
    edge = {"tanh": TANH_EDGE, "sigmoid": SIGMOID_EDGE}[operation]
    assert slope(edge) == pytest.approx(0.05)
    values = getattr(torch, operation)(torch.linspace(-9, 9, 1001, dtype=torch.float64)).reshape(-1, 1)
    share = units_of(operation, values, -1).saturated
    assert share == pytest.approx(float((slope(values) < 0.05).double().mean()))


def test_units_of_pictures_are_channels_and_of_sequences_features():
    picture = torch.zeros(2, 3, 4, 4)
    picture[1, 0, 2, 2] = 1.0
    assert units_of("relu", picture, 1).dead == pytest.approx(2 / 3)
    sequence = torch.zeros(2, 5, 4)
    sequence[..., 1] = 1.0
    assert units_of("relu", sequence, None).dead == pytest.approx(3 / 4)
    network = nn.Sequential(nn.Conv1d(2, 3, 1), nn.ReLU())
    with torch.no_grad():
        network[0].weight.zero_()
        network[0].bias.copy_(torch.tensor([1.0, -1.0, -1.0]))
    assert node(trace(network, torch.ones(4, 2, 9)), "1").units.dead == pytest.approx(2 / 3)
    assert node(trace(nn.Sequential(nn.Linear(2, 2), nn.ReLU6()), torch.ones(9, 2)), "1").units.dead is not None
    assert units_of("gelu", torch.ones(4, 4), -1) is None


class Branches(nn.Module):
    """A loop, a branch on values, writing in place, a module called twice, a weight used twice, a dict as output."""

    def __init__(self) -> None:
        super().__init__()
        self.shared = nn.Linear(4, 4)
        self.norm = nn.BatchNorm1d(4)
        self.scale = nn.Parameter(torch.ones(4))
        self.head = nn.Linear(4, 2)
        self.calls = 0

    def forward(self, values, *, turn=False):
        self.calls += 1
        for _ in range(2 if values.sum() > -1e9 else 0):
            values = F.relu(self.shared(values), inplace=True) + values
        values = self.norm(values) * self.scale
        values *= self.scale
        if turn:
            values = values.flip(1)
        return {"answer": self.head(F.dropout(values, 0.5, self.training)), "calls": self.calls}


def test_the_graph_of_loops_and_branches():
    torch.manual_seed(0)
    seen = trace(Branches(), {"values": torch.randn(16, 4), "turn": True})
    names = [n.name for n in seen.nodes]
    assert names == ["input.values", "shared", "relu", "add", "shared (2)", "relu (2)", "add (2)", "norm", "mul",
                     "mul (2)", "flip", "dropout", "head"]
    parents = {n.name: [names[p - 1] for p in n.parents] for n in seen.nodes}
    assert parents["add"] == ["input.values", "relu"] and parents["add (2)"] == ["add", "relu (2)"]
    assert node(seen, "mul").weights == ("scale",) == node(seen, "mul (2)").weights
    assert seen.findings == () and seen.seen_by == "operations"


def test_gradients_are_those_that_backward_leaves():
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(1, 3, 3), nn.ReLU(inplace=True), nn.Flatten(), nn.Linear(3 * 36, 4))
    pictures, labels = torch.randn(5, 1, 8, 8), torch.tensor([0, 1, 2, 3, 0])
    seen = trace(network, pictures, F.cross_entropy, target=labels)
    kept = []
    given = pictures.clone().requires_grad_()
    before = network[0](given)
    before.retain_grad()
    after = torch.relu(before)
    after.retain_grad()
    kept = [given, before, after]
    loss = F.cross_entropy(network[3](after.flatten(1)), labels)
    loss.backward()
    for name, tensor in zip(["input", "0", "1"], kept):
        assert node(seen, name).gradient.norm == pytest.approx(float(tensor.grad.norm()), rel=1e-5)
        assert node(seen, name).values.std == pytest.approx(float(tensor.detach().std(correction=0)), rel=1e-5)
    for weight, parameter in zip(seen.weights, network.parameters()):
        assert weight.gradient.norm == pytest.approx(float(parameter.grad.norm()), rel=1e-5)
    assert seen.loss == pytest.approx(loss.item())


def test_the_network_is_left_untouched():
    torch.manual_seed(0)
    network = Branches().train()
    network.shared.weight.grad = torch.full((4, 4), 7.0)
    network.head.eval()
    batch = {"values": torch.randn(16, 4)}
    before, modes = copy.deepcopy(network.state_dict()), [m.training for m in network.modules()]
    states = torch.get_rng_state(), np.random.get_state()[1].copy(), random.getstate()
    values = batch["values"].clone()
    trace(network, batch)
    for name, tensor in network.state_dict().items():
        assert torch.equal(tensor, before[name]), name
    assert [m.training for m in network.modules()] == modes and network.calls == 0
    assert torch.equal(network.shared.weight.grad, torch.full((4, 4), 7.0)) and network.head.weight.grad is None
    assert torch.equal(torch.get_rng_state(), states[0]) and (np.random.get_state()[1] == states[1]).all()
    assert random.getstate() == states[2]
    assert torch.equal(batch["values"], values) and not batch["values"].requires_grad
    assert not vars(batch["values"]) and batch["values"].grad is None
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in network.modules())


@pytest.mark.parametrize("module", MODULES, ids=lambda name: name.removeprefix("gradatim.models."))
def test_every_network_of_the_zoo(module):
    torch.manual_seed(0)
    network, batch = importlib.import_module(module).demo()
    before = copy.deepcopy(network.state_dict())
    seen = trace(network, batch)
    assert seen.verdict == "sound", seen.findings
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    used = {name for n in seen.nodes for name in n.weights}
    assert used == {name for name, _ in network.named_parameters()}
    assert all(parent < n.number for n in seen.nodes for parent in n.parents)
    assert all(n.gradient is not None for n in seen.nodes if n.weights)
    ends = {n.number for n in seen.nodes} - {p for n in seen.nodes for p in n.parents}
    assert len([n for n in seen.nodes if n.number in ends and n.kind != "input"]) == 1
    json.dumps(seen.to_json())
    for depth in (None, 1):
        ElementTree.fromstring(seen.svg(depth=depth))
    assert len(seen.table().splitlines()) >= len(seen.nodes) + 3


class Opaque(nn.Module):
    """Operations inside a scripted part cannot be seen; its module can."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(3, 3)
        self.hidden = torch.jit.script(nn.Sequential(nn.Linear(3, 3), nn.Tanh()))
        self.last = nn.Linear(3, 1)

    def forward(self, values):
        return self.last(self.hidden(self.first(values)))


@pytest.mark.filterwarnings("ignore")
def test_what_cannot_be_seen_inside_is_seen_as_a_module():
    seen = trace(Opaque(), torch.ones(4, 3))
    names = [n.name for n in seen.nodes]
    assert names[:2] == ["input", "first"] and names[2:] == ["Tanh", "last"]
    assert all(n.gradient is not None for n in seen.nodes)
    assert seen.nodes[-1].parents == (3,) and seen.nodes[2].parents == (2,)
    scripted = torch.jit.script(nn.Sequential(nn.Linear(3, 3), nn.Tanh()))
    whole = trace(scripted, torch.ones(4, 3))
    assert whole.nodes[-1].parents == (1,) and whole.findings == ()
    assert all(weight.gradient is not None for weight in whole.weights)
    assert all(parameter.grad is None for parameter in scripted.parameters())


class Twice(torch.autograd.Function):
    """A function with a backward pass of its own."""

    @staticmethod
    def forward(context, values):
        return values * 2

    @staticmethod
    def backward(context, gradient):
        return gradient * 2


def test_functions_with_their_own_backward_and_checkpoints_are_seen():
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.last = nn.Linear(3, 3), nn.Linear(3, 3)

        def forward(self, values):
            inner = torch.utils.checkpoint.checkpoint(lambda v: torch.tanh(self.first(v)), values, use_reentrant=True)
            return self.last(Twice.apply(inner))

    seen = trace(Net(), torch.ones(4, 3))
    assert "Twice" in [n.kind for n in seen.nodes] and seen.nodes[-1].kind == "Linear"
    assert seen.findings == () and all(n.gradient is not None for n in seen.nodes)


class Stubborn(nn.Module):
    """Refuses to be watched: PyTorch's modes make it raise."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Linear(2, 2)

    def forward(self, values):
        from torch.overrides import _get_current_function_mode

        if _get_current_function_mode() is not None:
            raise RuntimeError("not under a mode")
        return self.inner(torch.tanh(values))


def test_modules_alone_where_operations_cannot_be_watched():
    seen = trace(Stubborn(), torch.ones(4, 2))
    assert seen.seen_by == "modules" and [n.kind for n in seen.nodes] == ["input", "Tanh", "Linear"]
    assert node(seen, "inner").gradient.norm == pytest.approx(1.0, rel=1e-6)


def test_frozen_and_unused_weights():
    network = nn.ModuleDict({"used": nn.Linear(2, 2), "idle": nn.Linear(2, 2), "frozen": nn.Linear(2, 2)})
    network["frozen"].requires_grad_(False)
    network.forward = lambda x: network["frozen"](network["used"](x))

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.parts = network

        def forward(self, x):
            return self.parts["frozen"](self.parts["used"](x))

    del network.forward
    seen = trace(Net(), torch.ones(9, 2))
    assert seen.verdict == "no-gradient" and seen.findings[0].layers == ("parts.idle.weight", "parts.idle.bias")
    assert {w.name: w.gradient is None for w in seen.weights}["parts.frozen.weight"]


def test_a_weight_used_twice_is_shown_at_both_places():
    class Tied(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.table, self.head = nn.Embedding(9, 4), nn.Linear(4, 9, bias=False)
            self.head.weight = self.table.weight

        def forward(self, tokens):
            return self.head(self.table(tokens))

    seen = trace(Tied(), torch.tensor([[1, 2, 3]]))
    assert node(seen, "table").weights == ("table.weight",) == node(seen, "head").weights
    assert [weight.name for weight in seen.weights] == ["table.weight"] and seen.findings == ()


def test_infinite_values_are_traced_to_where_they_begin():
    class Log(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = nn.Linear(2, 2), nn.Linear(2, 2)

        def forward(self, x):
            return self.b(torch.log(torch.relu(self.a(x)) - 10))

    seen = trace(Log(), torch.ones(4, 2))
    assert seen.verdict == "not-finite" and seen.findings[0].layers == ("log",)
    ElementTree.fromstring(seen.svg())
    json.loads(gd.trace(Log(), torch.ones(4, 2)).table() and json.dumps({}))


def test_a_deep_sigmoid_network_vanishes_and_a_residual_one_does_not():
    torch.manual_seed(0)
    plain = nn.Sequential(*(part for _ in range(20) for part in (nn.Linear(16, 16), nn.Sigmoid())))
    assert trace(plain, torch.randn(32, 16)).verdict == "vanishing"

    class Residual(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layers = nn.ModuleList(nn.Linear(16, 16) for _ in range(20))

        def forward(self, x):
            for layer in self.layers:
                x = x + 0.1 * torch.relu(layer(x))
            return x

    assert trace(Residual(), torch.randn(32, 16)).verdict == "sound"


def test_values_that_explode_forward_are_told_apart():
    network = nn.Sequential(*(nn.Sequential(nn.Linear(8, 8), nn.LayerNorm(8)) if i == 11 else nn.Linear(8, 8)
                              for i in range(12)))
    with torch.no_grad():
        for layer in list(network)[:11]:
            layer.weight.copy_(torch.eye(8) * 10)
    codes = [finding.code for finding in trace(network, torch.randn(16, 8)).findings]
    assert "values-exploding" not in codes  # the norm at the end brings them back
    assert trace(network[:11], torch.randn(16, 8)).verdict == "exploding"
    assert "values-exploding" in [f.code for f in trace(network[:11], torch.randn(16, 8)).findings]


@pytest.mark.parametrize(("make", "says"), [
    (lambda: trace(nn.Linear(3, 2), torch.ones(4, 5)), "takes"),
    (lambda: trace(lambda x: x, torch.ones(1)), "gradatim.graph"),
    (lambda: trace(nn.Linear(3, 2), torch.ones(4, 3), lambda output: output), "single number"),
])
def test_mistakes_are_one_line(make, says):
    with pytest.raises(GradatimError, match=says) as caught:
        make()
    assert "\n" not in str(caught.value)


def test_pictures_close_modules_rather_than_overflow():
    torch.manual_seed(0)
    network, batch = importlib.import_module("gradatim.models.vision.small_resnet").demo()
    seen = trace(network, batch)
    texts = {depth: [element.text for element in ElementTree.fromstring(seen.svg(depth=depth)).iter(TEXT)]
             for depth in (1, 2, 3, 4, None)}
    assert len(texts[1]) < len(texts[2]) < len(texts[3]) < len(texts[4]) == len(texts[None])
    assert "stages" in texts[1] and "stages.2" in texts[2] and "stages.2.first" not in texts[2]
    assert "stages.2.first" in texts[3] and "stages.2.straight.0" not in texts[3]
    assert "stages.2.straight.0" in texts[4]
    assert seen.png(depth=1).startswith(b"\x89PNG")


def test_operations_are_called_by_their_plain_names():
    assert [operation_name(f) for f in (torch.Tensor.add_, torch.nn.functional.relu, torch.Tensor.T.__get__)] == [
        "add", "relu", "T"]
