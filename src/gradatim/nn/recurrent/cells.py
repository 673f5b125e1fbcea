"""Recurrent cells written out from their equations: one step of a basic, LSTM or GRU layer, and the loop over time.

They are here to be read and to be proved right; parameters have the names, shapes and gate order of torch's cells, so
one's weights load into the other. `gradatim.nn.recurrent.layers` runs torch's fused kernels, several times as fast; the
one cell that those do not have, the GRU that resets before its matrix, is run by the loop below.

Each cell has `project(inputs)`, what the inputs contribute at all times at once (one large product), and
`step(projected, state)`, what must wait for the step before. A state is a tuple of tensors (B, hidden).
"""

from collections.abc import Callable

import torch
from torch import nn
from torch.nn import functional as F

from gradatim.nn.init import orthogonal_, xavier_uniform_

State = tuple[torch.Tensor, ...]
ACTIVATIONS = ("tanh", "relu")
RESETS = ("before", "after")


class BasicCell(nn.Module):
    """h' = g(W_x x + b_x + W_h h + b_h) with g = tanh or relu (Elman 1990).

    >>> cell = BasicCell(3, 2)
    >>> [tuple(part.shape) for part in cell(torch.zeros(4, 3), cell.start(torch.zeros(4, 3)))]
    [(4, 2)]
    """

    gates, parts = 1, 1

    def __init__(self, inputs: int, hidden: int, activation: str = "tanh") -> None:
        super().__init__()
        if activation not in ACTIVATIONS:
            raise ValueError(f"expected an activation among {', '.join(ACTIVATIONS)}, received '{activation}'")
        self.hidden, self.activation = hidden, activation
        self.weight_ih, self.weight_hh, self.bias_ih, self.bias_hh = make_parameters(inputs, hidden, self.gates)

    def project(self, inputs: torch.Tensor) -> torch.Tensor:
        """(…, inputs) → (…, hidden)."""
        return F.linear(inputs, self.weight_ih, self.bias_ih)

    def step(self, projected: torch.Tensor, state: State) -> State:
        """(B, hidden) and the state before → the state after."""
        total = projected + F.linear(state[0], self.weight_hh, self.bias_hh)
        return (torch.tanh(total) if self.activation == "tanh" else torch.relu(total),)

    def start(self, values: torch.Tensor) -> State:
        """Zeros for a batch like `values` (B, …)."""
        return (values.new_zeros(values.shape[0], self.hidden),)

    def forward(self, inputs: torch.Tensor, state: State) -> State:
        return self.step(self.project(inputs), state)


class LSTMCell(nn.Module):
    """A long-term state c behind gates, and what is shown of it, h (Hochreiter & Schmidhuber 1997; Gers et al. 2000).

    i = σ(W_xi x + W_hi h + b_i)   what to write      f = σ(W_xf x + W_hf h + b_f)   what to keep
    g = tanh(W_xg x + W_hg h + b_g)  the news         o = σ(W_xo x + W_ho h + b_o)   what to show
    c' = f ⊙ c + i ⊙ g                                h' = o ⊙ tanh(c')

    The state is (h, c); rows of the matrices are in the order i, f, g, o.
    """

    gates, parts = 4, 2

    def __init__(self, inputs: int, hidden: int) -> None:
        super().__init__()
        self.hidden = hidden
        self.weight_ih, self.weight_hh, self.bias_ih, self.bias_hh = make_parameters(inputs, hidden, self.gates)
        nn.init.ones_(self.bias_ih.data[hidden : 2 * hidden])  # remember until told otherwise (Jozefowicz et al. 2015)

    def project(self, inputs: torch.Tensor) -> torch.Tensor:
        """(…, inputs) → (…, 4 hidden)."""
        return F.linear(inputs, self.weight_ih, self.bias_ih)

    def step(self, projected: torch.Tensor, state: State) -> State:
        """(B, 4 hidden) and (h, c) → the next (h, c)."""
        h, c = state
        write, keep, news, show = (projected + F.linear(h, self.weight_hh, self.bias_hh)).chunk(4, dim=-1)
        c = torch.sigmoid(keep) * c + torch.sigmoid(write) * torch.tanh(news)
        return torch.sigmoid(show) * torch.tanh(c), c

    def start(self, values: torch.Tensor) -> State:
        """Zeros for a batch like `values` (B, …)."""
        zeros = values.new_zeros(values.shape[0], self.hidden)
        return zeros, zeros

    def forward(self, inputs: torch.Tensor, state: State) -> State:
        return self.step(self.project(inputs), state)


class GRUCell(nn.Module):
    """One state and two gates; z = 1 keeps the old state, z = 0 takes the news g.

    r = σ(W_xr x + W_hr h + b_r)      z = σ(W_xz x + W_hz h + b_z)      h' = z ⊙ h + (1 − z) ⊙ g

    reset="before": g = tanh(W_xg x + b_xg + W_hg (r ⊙ h) + b_hg), as in Cho et al. 2014 (eq. 8);
    reset="after":  g = tanh(W_xg x + b_xg + r ⊙ (W_hg h + b_hg)), as cuDNN and torch have it: one product instead of
    two that wait for each other. Rows of the matrices are in the order r, z, g.
    """

    gates, parts = 3, 1

    def __init__(self, inputs: int, hidden: int, reset: str = "after") -> None:
        super().__init__()
        if reset not in RESETS:
            raise ValueError(f"expected reset 'before' or 'after' the matrix, received '{reset}'")
        self.hidden, self.reset = hidden, reset
        self.weight_ih, self.weight_hh, self.bias_ih, self.bias_hh = make_parameters(inputs, hidden, self.gates)

    def project(self, inputs: torch.Tensor) -> torch.Tensor:
        """(…, inputs) → (…, 3 hidden)."""
        return F.linear(inputs, self.weight_ih, self.bias_ih)

    def step(self, projected: torch.Tensor, state: State) -> State:
        """(B, 3 hidden) and (h,) → the next (h,)."""
        return (gru_step(projected, state[0], self.weight_hh, self.bias_hh, self.reset),)

    def start(self, values: torch.Tensor) -> State:
        """Zeros for a batch like `values` (B, …)."""
        return (values.new_zeros(values.shape[0], self.hidden),)

    def forward(self, inputs: torch.Tensor, state: State) -> State:
        return self.step(self.project(inputs), state)


def gru_step(
    projected: torch.Tensor, state: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor, reset: str
) -> torch.Tensor:
    """The next state of a GRU; projected (B, 3 hidden), state (B, hidden), hidden matrix (3 hidden, hidden)."""
    gates = 2 * state.shape[-1]
    of_gates, of_news = projected[..., :gates], projected[..., gates:]
    if reset == "after":
        from_state = F.linear(state, weight, bias)
        shut, keep = torch.sigmoid(of_gates + from_state[..., :gates]).chunk(2, dim=-1)
        news = torch.tanh(of_news + shut * from_state[..., gates:])
    else:
        shut, keep = torch.sigmoid(of_gates + F.linear(state, weight[:gates], bias[:gates])).chunk(2, dim=-1)
        news = torch.tanh(of_news + F.linear(shut * state, weight[gates:], bias[gates:]))
    return keep * state + (1 - keep) * news


Cell = BasicCell | LSTMCell | GRUCell


def run_cell(
    cell: Cell, values: torch.Tensor, state: State | None = None, lengths: torch.Tensor | None = None
) -> tuple[torch.Tensor, State]:
    """A cell along a sequence: (B, L, inputs) → h at each time (B, L, hidden) and the last state.

    lengths int (B,): past its length a row's state stands still, so the last state is that of its own last token.
    """
    projected = cell.project(values)
    return run_steps(cell.step, projected, cell.start(projected[:, 0]) if state is None else state, lengths)


def run_steps(
    step: Callable[[torch.Tensor, State], State], projected: torch.Tensor, state: State,
    lengths: torch.Tensor | None = None,
) -> tuple[torch.Tensor, State]:
    """The loop over time: what the inputs contribute (B, L, gates × hidden) and the first state → as `run_cell`."""
    shown = []
    for time in range(projected.shape[1]):
        after = step(projected[:, time], state)
        if lengths is not None:
            going = (time < lengths)[:, None]
            after = tuple(torch.where(going, new, old) for new, old in zip(after, state))
        state = after
        shown.append(state[0])
    return torch.stack(shown, dim=1), state


def make_parameters(inputs: int, hidden: int, gates: int) -> tuple[nn.Parameter, ...]:
    """Input and hidden matrix, their biases 0: input matrices Xavier, hidden ones orthogonal, gate by gate."""
    weight_ih = nn.Parameter(torch.empty(gates * hidden, inputs))
    weight_hh = nn.Parameter(torch.empty(gates * hidden, hidden))
    for gate in range(gates):
        rows = slice(gate * hidden, (gate + 1) * hidden)
        xavier_uniform_(weight_ih.data[rows])
        orthogonal_(weight_hh.data[rows])
    return weight_ih, weight_hh, nn.Parameter(torch.zeros(gates * hidden)), nn.Parameter(torch.zeros(gates * hidden))
