"""Recurrent cells, and the layer that runs one along a sequence; back-propagation through time is just `backward`.

A cell has two parts. `project` is what the inputs contribute, one large product for the whole sequence; `step` adds
what the state contributes, which must wait for the step before. Sequences are (time, batch, features), so that a step
is one contiguous piece.
"""

import math
from typing import Any

import numpy as np

from gradatim.autodiff.engine.activations import sigmoid, tanh
from gradatim.autodiff.engine.functions import stack
from gradatim.autodiff.engine.layers import normal, zeros
from gradatim.autodiff.engine.tensor import Tensor

State = tuple[Tensor, ...]


class BasicCell:
    """h' = tanh(x W + h U + b) (Elman 1990)."""

    def __init__(self, inputs: int, units: int, *, dtype: Any = np.float32, seed: int = 0) -> None:
        self.units, self.dtype = units, dtype
        self.weight, self.recurrent, self.bias = _start(inputs, units, 1, dtype, seed)

    def project(self, x: Tensor) -> Tensor:
        """(…, inputs) → (…, units)."""
        return x @ self.weight + self.bias

    def step(self, projected: Tensor, state: State) -> State:
        """One moment: (B, units) and the state before → the state after."""
        return (tanh(projected + state[0] @ self.recurrent),)

    def start(self, batch: int) -> State:
        """Zeros."""
        return (Tensor(np.zeros((batch, self.units), self.dtype)),)


class LongShortTermMemory:
    """c' = f ⊙ c + i ⊙ g, h' = o ⊙ tanh(c'), with i, f, o = σ(…) and g = tanh(…) of x W + h U + b.

    Hochreiter & Schmidhuber 1997, with the forget gate of Gers et al. 2000. The four parts lie side by side in the
    order i, f, o, g (PyTorch's is i, f, g, o), so that one sigmoid serves three of them; the state is (h, c).
    """

    def __init__(self, inputs: int, units: int, *, dtype: Any = np.float32, seed: int = 0) -> None:
        self.units, self.dtype = units, dtype
        self.weight, self.recurrent, self.bias = _start(inputs, units, 4, dtype, seed)

    def project(self, x: Tensor) -> Tensor:
        """(…, inputs) → (…, 4 units)."""
        return x @ self.weight + self.bias

    def step(self, projected: Tensor, state: State) -> State:
        """One moment: (B, 4 units) and the state before → the state after."""
        h, c = state
        n, gates = self.units, projected + h @ self.recurrent
        open_by, new = sigmoid(gates[:, : 3 * n]), tanh(gates[:, 3 * n :])
        c = open_by[:, n : 2 * n] * c + open_by[:, :n] * new
        return open_by[:, 2 * n :] * tanh(c), c

    def start(self, batch: int) -> State:
        """Zeros."""
        nothing = Tensor(np.zeros((batch, self.units), self.dtype))
        return nothing, nothing


class GatedRecurrentUnit:
    """h' = z ⊙ h + (1 − z) ⊙ n, n = tanh(x Wₙ + bₙ + r ⊙ (h Uₙ + b')), r and z = σ(…) (Cho et al. 2014).

    The reset gate r acts after the product with U, as in PyTorch; r, z, n lie side by side.
    """

    def __init__(self, inputs: int, units: int, *, dtype: Any = np.float32, seed: int = 0) -> None:
        self.units, self.dtype = units, dtype
        self.weight, self.recurrent, self.bias = _start(inputs, units, 3, dtype, seed)
        self.recurrent_bias = zeros(units, dtype)

    def project(self, x: Tensor) -> Tensor:
        """(…, inputs) → (…, 3 units)."""
        return x @ self.weight + self.bias

    def step(self, projected: Tensor, state: State) -> State:
        """One moment: (B, 3 units) and the state before → the state after."""
        (h,) = state
        n, from_state = self.units, h @ self.recurrent
        open_by = sigmoid(projected[:, : 2 * n] + from_state[:, : 2 * n])
        reset, keep = open_by[:, :n], open_by[:, n:]
        new = tanh(projected[:, 2 * n :] + reset * (from_state[:, 2 * n :] + self.recurrent_bias))
        return (new + keep * (h - new),)

    def start(self, batch: int) -> State:
        """Zeros."""
        return (Tensor(np.zeros((batch, self.units), self.dtype)),)


class Recurrent:
    """A cell along a sequence: (T, B, inputs) → (T, B, units), and the last state.

    For truncated back-propagation through time give the next piece the last state, detached.
    """

    def __init__(self, cell: BasicCell | LongShortTermMemory | GatedRecurrentUnit) -> None:
        self.cell = cell

    def __call__(self, x: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        """Every output and the last state."""
        projected = self.cell.project(x)
        state = self.cell.start(x.shape[1]) if state is None else state
        outputs = []
        for moment in range(len(x)):
            state = self.cell.step(projected[moment], state)
            outputs.append(state[0])
        return stack(outputs), state


def _start(inputs: int, units: int, parts: int, dtype: Any, seed: int) -> tuple[Tensor, Tensor, Tensor]:
    weight = normal((inputs, parts * units), 1 / math.sqrt(inputs), dtype, seed)
    recurrent = normal((units, parts * units), 1 / math.sqrt(units), dtype, seed + 1)
    return weight, recurrent, zeros(parts * units, dtype)
