"""The rules train the engine's networks: as torch's optimisers train the same network, and by curvature as well."""

from itertools import pairwise

import numpy as np
import pytest
import torch

from gradatim.autodiff.engine.tensor import Tensor
from gradatim.autodiff.optimisers.first_order import RULES, Optimiser
from gradatim.autodiff.optimisers.objective import minimise, objective_of, put
from gradatim.autodiff.optimisers.second_order import METHODS
from gradatim.errors import GradatimError

DRAW = np.random.default_rng(0)
INPUTS = DRAW.standard_normal((40, 3))
TARGETS = np.sin(INPUTS @ np.array([[1.0], [-0.5], [0.7]]))
WEIGHTS = [DRAW.standard_normal((3, 8)) * 0.5, np.zeros(8), DRAW.standard_normal((8, 1)) * 0.5, np.zeros(1)]


def network() -> list[Tensor]:
    return [Tensor(weight, requires_gradient=True) for weight in WEIGHTS]


def answer(parameters):
    """A hidden layer of sigmoids, written in what both engines have."""
    first, first_bias, second, second_bias = parameters
    return 1 / (1 + 2.718281828459045 ** -(inputs_of(parameters) @ first + first_bias)) @ second + second_bias


def inputs_of(parameters):
    return torch.tensor(INPUTS) if isinstance(parameters[0], torch.Tensor) else Tensor(INPUTS)


def loss(parameters):
    return ((answer(parameters) - targets_of(parameters)) ** 2).mean()


def targets_of(parameters):
    return torch.tensor(TARGETS) if isinstance(parameters[0], torch.Tensor) else Tensor(TARGETS)


PEERS = {
    "sgd": lambda p: torch.optim.SGD(p, lr=0.1, weight_decay=1e-3),
    "momentum": lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9, weight_decay=1e-3),
    "nesterov": lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9, nesterov=True, weight_decay=1e-3),
    "adagrad": lambda p: torch.optim.Adagrad(p, lr=0.1, weight_decay=1e-3),
    "adadelta": lambda p: torch.optim.Adadelta(p, lr=0.1, weight_decay=1e-3),
    "rmsprop": lambda p: torch.optim.RMSprop(p, lr=1e-3, alpha=0.9, weight_decay=1e-3),
    "adam": lambda p: torch.optim.Adam(p, lr=1e-2, weight_decay=1e-3),
    "adamw": lambda p: torch.optim.AdamW(p, lr=1e-2, weight_decay=1e-3),
}
RATES = {"rmsprop": 1e-3, "adam": 1e-2, "adamw": 1e-2}


@pytest.mark.parametrize("name", PEERS)
def test_a_network_trains_as_in_torch(name):
    ours, theirs = network(), [torch.tensor(weight, requires_grad=True) for weight in WEIGHTS]
    optimiser = Optimiser(name, ours, RATES.get(name, 0.1), weight_decay=1e-3)
    peer = PEERS[name](theirs)
    for _ in range(200):
        loss(ours).backward()
        optimiser.step()
        peer.zero_grad()
        loss(theirs).backward()
        peer.step()
    for mine, other in zip(ours, theirs):
        assert mine.gradient is None
        np.testing.assert_allclose(mine.value, other.detach().numpy(), rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize("name", RULES)
def test_every_rule_lowers_the_loss_of_a_network(name):
    parameters = network()
    before = loss(parameters).item()
    optimiser = Optimiser(name, parameters, {"adadelta": 1.0, "adagrad": 0.1}.get(name, 0.01))
    for _ in range(150):
        loss(parameters).backward()
        optimiser.step()
    optimiser.rest()
    assert loss(parameters).item() < 0.9 * before


def test_look_ahead_leaves_the_parameters_where_the_gradient_is_wanted():
    """Between steps the network stands where the re-arranged form has it; `rest` brings it back to θ."""
    one, other = network(), network()
    optimisers = [Optimiser("nesterov-look-ahead", one, 0.05), Optimiser("nesterov", other, 0.05)]
    for _ in range(50):
        for parameters, optimiser in zip((one, other), optimisers):
            loss(parameters).backward()
            optimiser.step()
    for mine, theirs in zip(one, other):
        np.testing.assert_allclose(mine.value, theirs.value, rtol=1e-9, atol=1e-12)
    optimisers[0].rest()
    assert max(np.abs(mine.value - theirs.value).max() for mine, theirs in zip(one, other)) > 1e-5


def test_a_rate_may_change_between_steps_and_settings_are_checked():
    weight = Tensor(4.0, requires_gradient=True)
    optimiser = Optimiser("sgd", [weight], 0.1)
    for rate in (0.1, 0.01):
        optimiser.learning_rate = rate
        (weight**2).backward()
        optimiser.step()
    assert weight.item() == pytest.approx(3.2 - 0.064)
    optimiser.step()  # no gradient: nothing happens
    assert weight.item() == pytest.approx(3.136)
    with pytest.raises(GradatimError, match="received mommentum"):
        Optimiser("momentum", [weight], mommentum=0.9)
    with pytest.raises(GradatimError, match="expected an optimiser among"):
        Optimiser("sdg", [weight])


def test_the_loss_as_a_function_of_one_vector():
    parameters = network()
    objective = objective_of(lambda: loss(parameters), parameters)
    point = np.concatenate([weight.ravel() for weight in WEIGHTS]) + 0.1
    theirs = torch.tensor(point, requires_grad=True)

    def as_torch(vector):
        parts = torch.split(vector, [weight.size for weight in WEIGHTS])
        return loss([part.reshape(weight.shape) for part, weight in zip(parts, WEIGHTS)])

    expected = as_torch(theirs)
    expected.backward()
    assert objective.value(point) == pytest.approx(expected.item(), rel=1e-12)
    np.testing.assert_allclose(objective.gradient(point), theirs.grad.numpy(), rtol=1e-9, atol=1e-12)
    curvature = torch.autograd.functional.hessian(as_torch, theirs).numpy()
    np.testing.assert_allclose(objective.hessian(point), curvature, rtol=1e-5, atol=1e-7)
    put(parameters, point)
    assert parameters[1].value == pytest.approx(WEIGHTS[1] + 0.1)


@pytest.mark.parametrize(("method", "steps"), [("lbfgs", 60), ("lbfgs-armijo", 60), ("levenberg-marquardt", 30)])
def test_curvature_trains_a_network_in_few_steps(method, steps):
    """What Adam leaves after as many steps is many times more."""
    parameters = network()
    losses = minimise(
        method, lambda: loss(parameters), parameters, steps=steps,
        residuals=lambda: ((answer(parameters) - targets_of(parameters)) / 40**0.5).reshape(-1),
    )  # fmt: skip
    assert losses[-1] == pytest.approx(loss(parameters).item())
    adam = network()
    optimiser = Optimiser("adam", adam, 0.05)
    for _ in range(steps):
        loss(adam).backward()
        optimiser.step()
    assert losses[-1] < 0.2 * loss(adam).item()
    assert all(later <= earlier + 1e-12 for earlier, later in pairwise(losses))


def test_unknown_methods_are_one_line():
    with pytest.raises(GradatimError, match="received 'bfgs'"):
        minimise("bfgs", lambda: Tensor(0.0), [], steps=1)
    assert "bfgs" not in METHODS
