"""Optimisers follow their published rules; decay goes where it belongs; state survives a round trip in any layout."""

import copy
import math

import pytest
import torch
from torch import nn

from gradatim.errors import GradatimError
from gradatim.train.muon import Muon, orthogonalise
from gradatim.train.optim import (
    OPTIMIZERS,
    default_learning_rate,
    load_optimizer_state,
    make_optimizer,
    optimizer_state,
)


def published(name, gradients, rate, decay):
    """The textbook rules, written out in plain floats for one weight that starts at 1."""
    w, m, v, u = 1.0, 0.0, 0.0, 0.0
    for t, gradient in enumerate(gradients, 1):
        g = gradient if name == "adamw" else gradient + decay * w
        if name == "sgd":
            w -= rate * g
        elif name == "momentum":
            m = 0.9 * m + g
            w -= rate * m
        elif name == "nesterov":
            m = 0.9 * m + g
            w -= rate * (g + 0.9 * m)
        elif name == "adagrad":
            v += g * g
            w -= rate * g / (math.sqrt(v) + 1e-10)
        elif name == "adadelta":
            v = 0.9 * v + 0.1 * g * g
            delta = math.sqrt(u + 1e-6) / math.sqrt(v + 1e-6) * g
            u = 0.9 * u + 0.1 * delta * delta
            w -= rate * delta
        elif name == "rmsprop":
            v = 0.9 * v + 0.1 * g * g
            w -= rate * g / (math.sqrt(v) + 1e-8)
        elif name in ("adam", "adamw"):
            if name == "adamw":
                w -= rate * decay * w
            m = 0.9 * m + 0.1 * g
            v = 0.999 * v + 0.001 * g * g
            w -= rate * (m / (1 - 0.9**t)) / (math.sqrt(v / (1 - 0.999**t)) + 1e-8)
    return w


@pytest.mark.parametrize("decay", [0.0, 0.1])
@pytest.mark.parametrize("name", [name for name in OPTIMIZERS if name != "muon"])
def test_updates_equal_the_published_rule(name, decay):
    network = nn.Linear(1, 1, bias=False)
    nn.init.ones_(network.weight)
    optimizer = make_optimizer(name, network, 0.05, decay)
    gradients = [0.3, -1.2, 0.7, 0.1, 2.0]
    for gradient in gradients:
        network.weight.grad = torch.full((1, 1), gradient)
        optimizer.step()
    assert network.weight.item() == pytest.approx(published(name, gradients, 0.05, decay), rel=2e-6)


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(5, 8)
        self.position = nn.Parameter(torch.zeros(1, 4, 8))
        self.convolution = nn.Conv2d(3, 8, 3)
        self.norm = nn.BatchNorm2d(8)
        self.recurrent = nn.GRU(8, 8)
        self.hidden = nn.Linear(8, 8)
        self.frozen = nn.Linear(8, 8).requires_grad_(False)
        self.head = nn.Linear(8, 2)


def groups(name):
    return {
        (group.get("muon", False), group["weight_decay"]): group["names"]
        for group in make_optimizer(name, Net(), 1e-3, 0.1).param_groups
    }


def test_decay_is_off_for_norms_biases_embeddings_positions():
    found = groups("adamw")
    weights = ["convolution.weight", "recurrent.weight_ih_l0", "recurrent.weight_hh_l0", "hidden.weight", "head.weight"]
    assert found[(False, 0.1)] == weights
    assert set(found[(False, 0.0)]) == {
        "embedding.weight", "position", "convolution.bias", "norm.weight", "norm.bias", "recurrent.bias_ih_l0",
        "recurrent.bias_hh_l0", "hidden.bias", "head.bias",
    }  # fmt: skip


def test_muon_takes_hidden_weights_and_leaves_the_head():
    found = groups("muon")
    assert "head.weight" in found[(False, 0.1)] and len(found[(False, 0.1)]) == 1
    assert "convolution.weight" in found[(True, 0.1)] and "hidden.weight" in found[(True, 0.1)]
    assert "embedding.weight" in found[(False, 0.0)]


def test_orthogonalise_gives_singular_values_near_one_and_keeps_directions():
    matrices = torch.randn(3, 20, 12, generator=torch.Generator().manual_seed(0))
    result = orthogonalise(matrices)
    u, _, vh = torch.linalg.svd(matrices, full_matrices=False)
    assert torch.linalg.svdvals(result).sub(1).abs().max() < 0.4
    # The same singular vectors: uᵀ·result·v is diagonal.
    rotated = u.mT @ result @ vh.mT
    assert (rotated - torch.diag_embed(rotated.diagonal(dim1=-2, dim2=-1))).abs().max() < 1e-4
    assert torch.allclose(orthogonalise(matrices.mT), result.mT, atol=1e-5)


def test_muon_equals_pytorch_on_matrices():
    """torch.optim.Muon rounds to bfloat16 inside, hence the tolerance."""
    torch.manual_seed(0)
    mine, theirs = nn.Linear(24, 16, bias=False), nn.Linear(24, 16, bias=False)
    theirs.load_state_dict(mine.state_dict())
    ours = Muon([{"params": [mine.weight], "muon": True}], lr=0.01, weight_decay=0.1)
    peer = torch.optim.Muon([theirs.weight], lr=0.01, weight_decay=0.1, adjust_lr_fn="match_rms_adamw")
    before = mine.weight.detach().clone()
    for _ in range(5):
        mine.weight.grad = torch.randn(16, 24)
        theirs.weight.grad = mine.weight.grad.clone()
        ours.step()
        peer.step()
    moved = (mine.weight - before).norm()
    assert (mine.weight - theirs.weight).norm() < 0.01 * moved


def test_muon_flattens_convolutions_and_steps_the_rest_like_adamw():
    torch.manual_seed(0)
    convolution = nn.Conv2d(3, 8, 3)
    matrix = nn.Linear(27, 8)
    matrix.load_state_dict({"weight": convolution.weight.flatten(1), "bias": convolution.bias})
    reference = nn.Parameter(convolution.bias.detach().clone())
    optimizers = [
        Muon([{"params": [net.weight], "muon": True}, {"params": [net.bias], "weight_decay": 0.0}], lr=0.01)
        for net in (convolution, matrix)
    ]
    adamw = torch.optim.AdamW([reference], lr=0.01, weight_decay=0.0)
    for _ in range(4):
        convolution.weight.grad, convolution.bias.grad = torch.randn(8, 3, 3, 3), torch.randn(8)
        matrix.weight.grad, matrix.bias.grad = convolution.weight.grad.flatten(1), convolution.bias.grad.clone()
        reference.grad = convolution.bias.grad.clone()
        for optimizer in (*optimizers, adamw):
            optimizer.step()
    assert torch.allclose(convolution.weight.flatten(1), matrix.weight, atol=1e-6)
    assert torch.allclose(convolution.bias, reference, atol=1e-7)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_state_round_trip_is_bit_equal_in_channels_last(name):
    def make():
        torch.manual_seed(0)
        net = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Conv2d(8, 4, 3), nn.Flatten(), nn.Linear(16, 2))
        net = net.to(memory_format=torch.channels_last)
        return net, make_optimizer(name, net, 0.01, 0.1)

    def steps(net, optimizer, seed):
        torch.manual_seed(seed)
        for _ in range(3):
            optimizer.zero_grad()
            net(torch.randn(5, 3, 6, 6)).square().mean().backward()
            optimizer.step()

    first, one = make()
    steps(first, one, 1)
    stored = copy.deepcopy(optimizer_state(one))
    # What a file does to tensors: no strides.
    stored["state"] = {
        n: {k: v.contiguous() if isinstance(v, torch.Tensor) else v for k, v in s.items()}
        for n, s in stored["state"].items()
    }
    second, two = make()
    second.load_state_dict({n: t.contiguous() for n, t in first.state_dict().items()})
    load_optimizer_state(two, stored)
    steps(first, one, 2)
    steps(second, two, 2)
    for a, b in zip(first.parameters(), second.parameters()):
        assert torch.equal(a, b)
        assert a.stride() == b.stride()


def test_errors_and_rates():
    with pytest.raises(GradatimError, match="expected an optimizer among sgd"):
        make_optimizer("adamx", nn.Linear(1, 1), 0.1)
    with pytest.raises(GradatimError, match="none; unfreeze"):
        make_optimizer("sgd", nn.Linear(1, 1).requires_grad_(False), 0.1)
    with pytest.raises(GradatimError, match="beta"):
        make_optimizer("adamw", nn.Linear(1, 1), 0.1, beta=3)
    optimizer = make_optimizer("adamw", nn.Linear(1, 1), 0.1)
    other = optimizer_state(make_optimizer("adamw", nn.Linear(1, 1), 0.1, betas=(0.8, 0.9)))
    with pytest.raises(GradatimError, match="betas differ"):
        load_optimizer_state(optimizer, other)
    assert default_learning_rate("momentum", 256) == 2 * default_learning_rate("momentum", 128)
