"""Recurrent layers over padded rows that never read the padding, in both directions.

The cells are the fused ones of torch, which outrun hand-written ones about threefold. Instead of packing (which
needs the lengths on the host and stops a compiler), the backward direction runs over each row turned round within
its own length: padding stays at the end, where a causal cell cannot see it from the content.
"""

import torch
from torch import nn

from gradatim.nn.init import orthogonal_, xavier_uniform_
from gradatim.nn.mask import length_mask

GATES = {"gru": 3, "lstm": 4}


def reverse_rows(values: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
    """Turn each row's content round, leaving its padding in place: (B, L, D), lengths (B,) → (B, L, D).

    >>> reverse_rows(torch.tensor([[[1], [2], [0]]]), torch.tensor([2])).flatten().tolist()
    [2, 1, 0]
    """
    place = torch.arange(values.shape[1], device=values.device)[None, :]
    end = lengths.to(place.dtype)[:, None]
    index = torch.where(place < end, end - 1 - place, place)
    return values.gather(1, index[..., None].expand_as(values))


class RecurrentDirection(nn.Module):
    """One GRU or LSTM layer from left to right: (B, L, inputs) → (B, L, hidden). Gate order and shapes are torch's.

    Start: input matrices Xavier, hidden matrices orthogonal gate by gate, biases 0, the LSTM's forget gate 1
    (Jozefowicz et al. 2015: remember until told otherwise).
    """

    def __init__(self, inputs: int, hidden: int, cell: str) -> None:
        super().__init__()
        if cell not in GATES:
            raise ValueError(f"expected a cell among {', '.join(GATES)}, received '{cell}'")
        gates = GATES[cell]
        self.cell, self.hidden = cell, hidden
        self.weight_ih = nn.Parameter(torch.empty(gates * hidden, inputs))
        self.weight_hh = nn.Parameter(torch.empty(gates * hidden, hidden))
        self.bias_ih = nn.Parameter(torch.zeros(gates * hidden))
        self.bias_hh = nn.Parameter(torch.zeros(gates * hidden))
        for gate in range(gates):
            rows = slice(gate * hidden, (gate + 1) * hidden)
            xavier_uniform_(self.weight_ih.data[rows])
            orthogonal_(self.weight_hh.data[rows])
        if cell == "lstm":
            nn.init.ones_(self.bias_ih.data[hidden : 2 * hidden])

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        state = values.new_zeros(1, values.shape[0], self.hidden)
        weights: list[torch.Tensor] = [self.weight_ih, self.weight_hh, self.bias_ih, self.bias_hh]
        if self.cell == "gru":
            return torch.gru(values, state, weights, True, 1, 0.0, self.training, False, True)[0]
        return torch.lstm(values, (state, state), weights, True, 1, 0.0, self.training, False, True)[0]


class MaskedRecurrent(nn.Module):
    """A stack of recurrent layers: (B, L, inputs), lengths (B,) → (B, L, outputs), zeros at the padding.

    `outputs` is hidden, or twice that when bidirectional (left-to-right first, as torch orders them).
    """

    def __init__(
        self, inputs: int, hidden: int, *, layers: int = 1, cell: str = "gru", bidirectional: bool = True,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.outputs = hidden * (2 if bidirectional else 1)
        widths = [inputs] + [self.outputs] * (layers - 1)
        self.rightward = nn.ModuleList(RecurrentDirection(width, hidden, cell) for width in widths)
        self.leftward = nn.ModuleList(
            RecurrentDirection(width, hidden, cell) for width in (widths if bidirectional else ())
        )
        self.dropout = nn.Dropout(dropout)

    def forward(self, values: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        for layer, rightward in enumerate(self.rightward):
            if layer:
                values = self.dropout(values)
            read = rightward(values)
            if len(self.leftward):
                back = self.leftward[layer](reverse_rows(values, lengths))
                read = torch.cat([read, reverse_rows(back, lengths)], dim=2)
            values = read
        return values * length_mask(lengths, values.shape[1])[..., None].to(values.dtype)
