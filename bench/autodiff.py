"""One training step of the readable engine against the same net in eager PyTorch, by batch size.

    python -m bench autodiff

Digits LeNet-5, a multilayer perceptron and recurrent language models over characters; forward pass, loss, backward
pass and a step of plain gradient descent, float32, the same starting weights and batches. Both on one
thread; freed memory stays with the process, as in `train`. Turns are interleaved; ratios are of processor time within
a turn.
"""

import argparse
import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

# ruff: noqa: E402
for _variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[_variable] = "1"  # must stand before NumPy and torch are loaded

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from bench.side_by_side import paired_ratio, report, take_turns
from gradatim.autodiff.engine.activations import relu
from gradatim.autodiff.engine.convolution import maximum_pooling
from gradatim.autodiff.engine.layers import Convolution, Dense, Embedding, Sequential, flatten, parameters
from gradatim.autodiff.engine.losses import cross_entropy
from gradatim.autodiff.engine.recurrent import BasicCell, GatedRecurrentUnit, LongShortTermMemory, Recurrent
from gradatim.autodiff.engine.tensor import Tensor
from gradatim.autodiff.engine.training import keep_freed_memory

RATE = np.float32(0.01)
LENGTH, CHARACTERS, UNITS = 32, 64, 64
Step = Callable[[], float]


@dataclass(slots=True)
class Pair:
    """The same step by both."""

    ours: Step
    torch: Step


def step_of(net: Any, loss: Callable[[], Tensor]) -> Step:
    """One step of gradient descent with our engine; returns the loss."""
    learned = list(parameters(net).values())

    def step() -> float:
        error = loss()
        error.backward()
        for tensor in learned:
            assert tensor.gradient is not None
            tensor.value = tensor.value - RATE * tensor.gradient
            tensor.gradient = None
        return error.item()

    return step


def torch_step_of(net: nn.Module, loss: Callable[[], torch.Tensor]) -> Step:
    """One step of gradient descent with eager PyTorch."""
    optimizer = torch.optim.SGD(net.parameters(), lr=float(RATE))

    def step() -> float:
        optimizer.zero_grad()
        error = loss()
        error.backward()
        optimizer.step()
        return error.item()

    return step


def lenet(batch: int) -> Pair:
    """LeNet-5 on 8 × 8 digits: both convolutions 5 × 5 with padding 2, each halved by a maximum pooling."""
    x, y = np.random.default_rng(0).random((batch, 1, 8, 8), np.float32), np.arange(batch) % 10
    ours = Sequential(
        Convolution(1, 6, 5, padding=2), relu, lambda x: maximum_pooling(x, 2),
        Convolution(6, 16, 5, padding=2), relu, lambda x: maximum_pooling(x, 2), flatten,
        Dense(64, 120), relu, Dense(120, 84), relu, Dense(84, 10, gain=1.0),
    )  # fmt: skip
    theirs = nn.Sequential(
        nn.Conv2d(1, 6, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(6, 16, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(),
        nn.Linear(64, 120), nn.ReLU(), nn.Linear(120, 84), nn.ReLU(), nn.Linear(84, 10),
    )  # fmt: skip
    return classifiers(ours, theirs, x, y)


def perceptron(batch: int) -> Pair:
    """64 → 128 → 128 → 10."""
    x, y = np.random.default_rng(0).random((batch, 64), np.float32), np.arange(batch) % 10
    ours = Sequential(Dense(64, 128), relu, Dense(128, 128), relu, Dense(128, 10, gain=1.0))
    theirs = nn.Sequential(nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 128), nn.ReLU(), nn.Linear(128, 10))
    return classifiers(ours, theirs, x, y)


def classifiers(ours: Any, theirs: nn.Sequential, x: np.ndarray, y: np.ndarray) -> Pair:
    """Both steps, from the same weights."""
    layers = [layer for layer in theirs if isinstance(layer, nn.Linear | nn.Conv2d)]
    learned = list(parameters(ours).values())
    for layer, (weight, bias) in zip(layers, zip(learned[::2], learned[1::2])):
        with torch.no_grad():
            source = weight.value.T if isinstance(layer, nn.Linear) else weight.value
            layer.weight.copy_(torch.tensor(source.copy()))
            layer.bias.copy_(torch.tensor(bias.value))
    pictures, labels = torch.tensor(x), torch.tensor(y)
    return Pair(
        step_of(ours, lambda: cross_entropy(ours(Tensor(x)), y)),
        torch_step_of(theirs, lambda: F.cross_entropy(theirs(pictures), labels)),
    )


class TorchCharacters(nn.Module):
    """Embedding, recurrent layer, readout. kind: nn.RNN, nn.LSTM, nn.GRU, or nn.RNNCell called step by step."""

    def __init__(self, kind: Any) -> None:
        super().__init__()
        self.embedding, self.readout = nn.Embedding(CHARACTERS, UNITS), nn.Linear(UNITS, CHARACTERS)
        self.recurrent = kind(UNITS, UNITS)

    def forward(self, codes: torch.Tensor) -> torch.Tensor:
        """(T, B) → (T, B, characters)."""
        x = self.embedding(codes)
        if isinstance(self.recurrent, nn.RNNCell):
            state, outputs = torch.zeros(x.shape[1:]), []
            for moment in x:
                state = self.recurrent(moment, state)
                outputs.append(state)
            return self.readout(torch.stack(outputs))
        return self.readout(self.recurrent(x)[0])


def characters(cell: Any, kind: Any) -> Callable[[int], Pair]:
    """A language model over 64 characters, sequences of 32, 64 units."""

    def build(batch: int) -> Pair:
        codes = np.random.default_rng(0).integers(0, CHARACTERS, (LENGTH + 1, batch))
        before, after = codes[:-1], codes[1:]
        embedding, readout = Embedding(CHARACTERS, UNITS), Dense(UNITS, CHARACTERS, gain=1.0)
        recurrent = Recurrent(cell(UNITS, UNITS))
        theirs = TorchCharacters(kind)
        inputs, targets = torch.tensor(before), torch.tensor(after).reshape(-1)
        return Pair(
            step_of(
                [embedding, recurrent, readout], lambda: cross_entropy(readout(recurrent(embedding(before))[0]), after)
            ),
            torch_step_of(theirs, lambda: F.cross_entropy(theirs(inputs).reshape(-1, CHARACTERS), targets)),
        )

    return build


NETS: dict[str, Callable[[int], Pair]] = {
    "LeNet-5, digits 8×8": lenet,
    "perceptron 64-128-128-10": perceptron,
    "characters, basic cell (nn.RNN)": characters(BasicCell, nn.RNN),
    "characters, basic cell (nn.RNNCell)": characters(BasicCell, nn.RNNCell),
    "characters, LSTM (nn.LSTM)": characters(LongShortTermMemory, nn.LSTM),
    "characters, GRU (nn.GRU)": characters(GatedRecurrentUnit, nn.GRU),
}


def repeated(step: Step, times: int) -> Step:
    """Several steps as one turn, so that a turn is long enough to time."""

    def run() -> float:
        for _ in range(times):
            last = step()
        return last

    return run


def main(arguments: list[str] | None = None) -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(prog="python -m bench autodiff")
    parser.add_argument("--turns", type=int, default=15)
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 16, 64, 256])
    parser.add_argument("--only", default="", help="nets whose name contains this")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    keep_freed_memory()
    rows = []
    for name, build in NETS.items():
        for batch in options.batches if options.only in name else ():
            torch.manual_seed(0)
            pair = build(batch)
            times = max(1, 128 // batch if "characters" in name else 512 // batch) if batch > 1 else 32
            timings = take_turns(
                {"ours": repeated(pair.ours, times), "torch": repeated(pair.torch, times)},
                turns=options.turns, budget_seconds=10,
            )  # fmt: skip
            ours, theirs = timings["ours"], timings["torch"]
            rows.append({
                "net": name,
                "batch": batch,
                "ours, ms a step": 1e3 * ours.processor_median / times,
                "PyTorch, ms a step": 1e3 * theirs.processor_median / times,
                "ours / PyTorch": paired_ratio(ours.processor_seconds, theirs.processor_seconds),
                "the same by the clock": paired_ratio(ours.seconds, theirs.seconds),
            })  # fmt: skip
    note = "Eager PyTorch and the NumPy engine, one thread each, processor time; under 1 means that ours is faster."
    text = report("autodiff", f"python -m bench autodiff --turns {options.turns}", rows, note=note)
    print(text)


if __name__ == "__main__":
    main()
