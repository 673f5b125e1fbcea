"""Training for real: LeNet-5 on the digits, a language model over characters; and back-propagation by hand."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.nn import functional as F

from gradatim.autodiff.engine import manual_backprop as byhand
from gradatim.autodiff.engine.activations import relu, tanh
from gradatim.autodiff.engine.convolution import maximum_pooling
from gradatim.autodiff.engine.functions import softmax_of
from gradatim.autodiff.engine.layers import Convolution, Dense, Embedding, Sequential, flatten, parameters
from gradatim.autodiff.engine.losses import cross_entropy, squared_error
from gradatim.autodiff.engine.recurrent import BasicCell, Recurrent
from gradatim.autodiff.engine.tensor import Tensor, without_gradient
from gradatim.autodiff.engine.training import shuffled, train
from gradatim.autodiff.optimisers.first_order import adam, descent
from gradatim.errors import GradatimError

LICENSE = Path(__file__).resolve().parents[2] / "LICENSE"


def lenet() -> Sequential:
    """LeNet-5 for 8 × 8 digits: padding keeps the size in both convolutions, pooling halves it to 4 and 2."""
    return Sequential(
        Convolution(1, 6, 5, padding=2), relu, lambda x: maximum_pooling(x, 2),
        Convolution(6, 16, 5, padding=2), relu, lambda x: maximum_pooling(x, 2), flatten,
        Dense(64, 120), relu, Dense(120, 84), relu, Dense(84, 10, gain=1.0),
    )  # fmt: skip


def digits() -> tuple[np.ndarray, np.ndarray]:
    pictures, labels = load_digits(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(labels))  # the file is ordered by writer
    return (pictures[order] / 16).astype(np.float32).reshape(-1, 1, 8, 8), labels[order]


def test_lenet_learns_the_digits() -> None:
    x, y = digits()
    network = lenet()
    losses = train(
        network, lambda x, y: cross_entropy(network(Tensor(x)), y),
        shuffled(x[:1400], y[:1400], size=64, epochs=12), learning_rate=3e-3,
    )  # fmt: skip
    assert losses[0] == pytest.approx(np.log(10), abs=0.5)
    with without_gradient():
        guesses = network(Tensor(x[1400:])).value.argmax(axis=1)
    assert (guesses == y[1400:]).mean() > 0.95


def test_lenet_follows_pytorch_step_by_step() -> None:
    """The same net from the same weights: losses and weights agree after 20 steps of Adam."""
    x, y = digits()
    network = lenet()
    theirs = nn.Sequential(
        nn.Conv2d(1, 6, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(6, 16, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(),
        nn.Linear(64, 120), nn.ReLU(), nn.Linear(120, 84), nn.ReLU(), nn.Linear(84, 10),
    )  # fmt: skip
    ours = list(parameters(network).values())
    for mine, its in zip(ours, theirs.parameters()):
        with torch.no_grad():
            its.copy_(torch.tensor(mine.value.T.copy() if its.ndim == 2 else mine.value.copy()))
    batches = list(shuffled(x, y, size=32))[:20]
    losses = train(network, lambda x, y: cross_entropy(network(Tensor(x)), y), batches, learning_rate=1e-3)
    optimizer, expected = torch.optim.Adam(theirs.parameters(), lr=1e-3), []
    for pictures, labels in batches:
        loss = F.cross_entropy(theirs(torch.tensor(pictures)), torch.tensor(labels))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        expected.append(loss.item())
    np.testing.assert_allclose(losses, expected, rtol=2e-3)
    for mine, its in zip(ours, theirs.parameters()):
        array = its.detach().numpy()
        np.testing.assert_allclose(mine.value, array.T if array.ndim == 2 else array, atol=2e-3)


class Characters:
    """Which character comes next: embedding, recurrent layer, readout. (T, B) integers → (T, B, characters)."""

    def __init__(self, characters: int, units: int = 64) -> None:
        self.embedding, self.readout = Embedding(characters, 24), Dense(units, characters, gain=1.0)
        self.recurrent = Recurrent(BasicCell(24, units))

    def __call__(self, codes: np.ndarray, state: Any = None) -> tuple[Tensor, Any]:
        outputs, state = self.recurrent(self.embedding(codes), state)
        return self.readout(outputs), state


def test_characters_are_learned_and_written() -> None:
    text = LICENSE.read_text(encoding="utf-8")
    alphabet = sorted(set(text))
    codes = np.array([alphabet.index(character) for character in text])
    network = Characters(len(alphabet))
    starts = np.random.default_rng(0).integers(0, len(codes) - 33, (250, 32))
    batches = ((codes[start + np.arange(33)[:, None]],) for start in starts)

    def loss(piece: np.ndarray) -> Tensor:
        return cross_entropy(network(piece[:-1])[0], piece[1:])

    losses = train(network, loss, batches, rule=adam, learning_rate=5e-3)
    shares = np.bincount(codes) / len(codes)
    single = -(shares[shares > 0] * np.log(shares[shares > 0])).sum()  # what knowing the frequencies alone would give
    assert losses[0] == pytest.approx(np.log(len(alphabet)), abs=1)
    assert np.mean(losses[-20:]) < 0.65 * single
    with without_gradient():
        written, state = [alphabet.index("T")], None
        for _ in range(60):
            logits, state = network(np.array([written[-1:]]), state)
            written.append(int(softmax_of(logits.value[0, 0]).argmax()))
    assert "the" in "".join(alphabet[code] for code in written).lower()


def test_a_rule_that_is_not_adam_and_a_parameter_without_gradient() -> None:
    x = np.linspace(-1, 1, 50)[:, None]
    line, idle = Dense(1, 1, dtype=np.float64), Tensor(1.0, requires_gradient=True)
    losses = train(
        {"line": line, "idle": idle}, lambda x, y: squared_error(line(Tensor(x)), y), [(x, 4 * x - 1)] * 200,
        rule=descent, learning_rate=0.3,
    )  # fmt: skip
    assert len(losses) == 200 and losses[-1] < 1e-12
    assert line.weight.item() == pytest.approx(4) and line.bias.item() == pytest.approx(-1) and idle.item() == 1


def test_shuffled_leaves_no_row_out() -> None:
    batches = list(shuffled(np.arange(10), np.arange(10) * 2, size=4, epochs=2))
    assert [len(x) for x, _ in batches] == [4, 4, 2, 4, 4, 2]
    assert all((y == 2 * x).all() for x, y in batches)
    first, second = (np.concatenate([x for x, _ in part]).tolist() for part in (batches[:3], batches[3:]))
    assert sorted(first) == sorted(second) == list(range(10)) and first != second
    with pytest.raises(GradatimError, match="received 3, 4"):
        next(shuffled(np.zeros(3), np.zeros(4), size=2))


SLOPES: dict[str, tuple[Any, Any]] = {
    "linear": (lambda x: x, lambda x: x), "relu": (relu, torch.relu), "tanh": (tanh, torch.tanh),
    "sigmoid": (lambda x: 1 / (1 + 2.718281828459045 ** (-x)), torch.sigmoid),
}  # fmt: skip


@pytest.mark.parametrize("hidden", byhand.ACTIVATIONS)
@pytest.mark.parametrize("loss", ["squared", "cross entropy"])
def test_by_hand_equals_both_engines(hidden: str, loss: str) -> None:
    random = np.random.default_rng(0)
    net = byhand.Perceptron([4, 7, 5, 3], hidden=hidden, loss=loss, seed=2)
    net.biases = [random.standard_normal(bias.shape) for bias in net.biases]
    x, classes = random.standard_normal((4, 6)), random.integers(0, 3, 6)
    y = np.eye(3)[:, classes] if loss == "cross entropy" else random.standard_normal((3, 6))
    found = net.gradients(x, y)
    for engine in (0, 1):
        make: Any = (lambda a: Tensor(a, requires_gradient=True), lambda a: torch.tensor(a, requires_grad=True))[engine]
        weights, biases = [make(w) for w in net.weights], [make(b) for b in net.biases]
        output: Any = x if engine == 0 else torch.tensor(x)
        zs = []
        for layer, (weight, bias) in enumerate(zip(weights, biases)):
            zs.append(weight @ output + bias)
            output = SLOPES[hidden][engine](zs[-1]) if layer < 2 else zs[-1]
        if loss == "squared":
            error = ((output - (y if engine == 0 else torch.tensor(y))) ** 2).sum() / 6
        else:
            error = (cross_entropy, F.cross_entropy)[engine](
                output.T, classes if engine == 0 else torch.tensor(classes)
            )
        error.backward()
        assert found.loss == pytest.approx(error.item(), rel=1e-12)
        for ours, other in zip([*found.weights, *found.biases], [*weights, *biases]):
            gradient = other.gradient if engine == 0 else other.grad.numpy()
            np.testing.assert_allclose(ours, gradient, rtol=1e-9, atol=1e-14)
        if engine == 0:
            for delta, z in zip(found.deltas, zs):
                np.testing.assert_allclose(delta, z.gradient, rtol=1e-9, atol=1e-14)


def test_by_hand_gives_the_golden_network() -> None:
    net = byhand.Perceptron([2, 2, 1])
    net.weights = [np.array([[0.0, 2], [-4, -1]]), np.array([[-2.0, 0]])]
    net.biases = [np.array([[3.0], [1]]), np.array([[6.0]])]
    x, y = np.array([[2.0], [1]]), np.array([[5.0]])
    found = net.gradients(x, y)
    assert found.loss == 81
    assert found.weights[0].tolist() == [[72, 36], [0, 0]] and found.biases[0].tolist() == [[36], [0]]
    assert found.weights[1].tolist() == [[-90, 0]] and found.biases[1].tolist() == [[-18]]
    net.descend(found, 1e-3)
    assert net.weights[1][0, 0] == pytest.approx(-1.91) and net.weights[0][0, 0] == pytest.approx(-0.072)
    assert net.gradients(x, y).loss == pytest.approx(65.92531, abs=5e-6)


def test_by_hand_refuses_what_it_does_not_know() -> None:
    with pytest.raises(GradatimError, match="among linear, sigmoid, tanh, relu"):
        byhand.Perceptron([1, 1], hidden="gelu")
