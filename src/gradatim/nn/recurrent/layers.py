"""Recurrent layers over padded rows that never read the padding: deep, in one or both directions, with state carried.

The cells are the fused ones of torch, which outrun hand-written ones about threefold; the GRU that resets before its
matrix has no such kernel and runs as the loop of `gradatim.nn.recurrent.cells`. Instead of packing (which needs the
lengths on the host and stops a compiler), the backward direction runs over each row turned round within its own length:
padding stays at the end, where a causal cell cannot see it from the content.

`MaskedRecurrent.carry` also takes a state and gives the last one, for what goes on where it stopped: streams cut into
windows (`detached` state between them: truncated back-propagation through time, Williams & Peng 1990), decoders, and
generation token by token.
"""

import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from gradatim.nn.attention.mask import length_mask
from gradatim.nn.recurrent.cells import State, gru_step, make_parameters, run_steps

GATES = {"rnn": 1, "rnn_relu": 1, "gru": 3, "gru_before": 3, "lstm": 4}


def reverse_rows(values: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
    """Turn each row's content round, leaving its padding in place: (B, L, D), lengths (B,) → (B, L, D).

    >>> reverse_rows(torch.tensor([[[1], [2], [0]]]), torch.tensor([2])).flatten().tolist()
    [2, 1, 0]
    """
    place = torch.arange(values.shape[1], device=values.device)[None, :]
    end = lengths.to(place.dtype)[:, None]
    index = torch.where(place < end, end - 1 - place, place)
    return values.gather(1, index[..., None].expand_as(values))


def detached(state: State) -> State:
    """The state's values without their history: what crosses from one window of a stream to the next.

    Gradients then reach back to the window's first token and no further (truncated back-propagation through time).
    """
    return tuple(part.detach() for part in state)


class RecurrentDirection(nn.Module):
    """One recurrent layer from left to right: (B, L, inputs) → (B, L, hidden). Gate order and shapes are torch's.

    cell: "rnn" (tanh), "rnn_relu", "gru" (reset after the matrix), "gru_before" (reset before it) or "lstm".
    Start: input matrices Xavier, hidden matrices orthogonal gate by gate, biases 0, the LSTM's forget gate 1
    (Jozefowicz et al. 2015: remember until told otherwise).
    """

    def __init__(self, inputs: int, hidden: int, cell: str) -> None:
        super().__init__()
        if cell not in GATES:
            raise ValueError(f"expected a cell among {', '.join(GATES)}, received '{cell}'")
        self.cell, self.hidden = cell, hidden
        self.weight_ih, self.weight_hh, self.bias_ih, self.bias_hh = make_parameters(inputs, hidden, GATES[cell])
        if cell == "lstm":
            nn.init.ones_(self.bias_ih.data[hidden : 2 * hidden])

    def start(self, values: torch.Tensor) -> State:
        """Zeros (B, hidden) for a batch like `values`: (h,), the LSTM's (h, c)."""
        zeros = values.new_zeros(values.shape[0], self.hidden)
        return (zeros, zeros) if self.cell == "lstm" else (zeros,)

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        return self.run(values, self.start(values))[0]

    def run(
        self, values: torch.Tensor, state: State, lengths: torch.Tensor | None = None
    ) -> tuple[torch.Tensor, State]:
        """Outputs (B, L, hidden) and the last state, each part (B, hidden).

        lengths int (B,): the last state is that of each row's own last token, and a row of length 0 keeps its state;
        outputs past the content are then of no use. None: every row is full.
        """
        if self.cell == "gru_before":
            return self._looped(values, state, lengths)
        if lengths is None:
            first = tuple(part.to(values.dtype)[None] for part in state)
            shown, *last = self._fused(values, first, None)
            return shown, tuple(part[0] for part in last)
        # A row without content would stop the packed kernel: it gets one token, and its old state back at the end.
        packed = pack_padded_sequence(values, lengths.clamp(min=1).cpu(), batch_first=True, enforce_sorted=False)
        order, back = packed.sorted_indices, packed.unsorted_indices
        assert order is not None and back is not None
        first = tuple(part.to(values.dtype)[None].index_select(1, order) for part in state)
        shown, *last = self._fused(packed.data, first, packed.batch_sizes)
        unpacked, _ = pad_packed_sequence(
            torch.nn.utils.rnn.PackedSequence(shown, packed.batch_sizes, order, back), batch_first=True,
            total_length=values.shape[1])
        empty = (lengths == 0)[:, None]
        after = (part[0].index_select(0, back) for part in last)
        return unpacked, tuple(torch.where(empty, old.to(new.dtype), new) for old, new in zip(state, after))

    def _fused(self, values: torch.Tensor, state: State, sizes: torch.Tensor | None) -> tuple[torch.Tensor, ...]:
        """torch's kernel over padded rows, or over packed ones where `sizes` is given."""
        weights: list[torch.Tensor] = [self.weight_ih, self.weight_hh, self.bias_ih, self.bias_hh]
        kernel = {"rnn": torch.rnn_tanh, "rnn_relu": torch.rnn_relu, "gru": torch.gru, "lstm": torch.lstm}[self.cell]
        hidden = state if self.cell == "lstm" else state[0]
        if sizes is None:
            return kernel(values, hidden, weights, True, 1, 0.0, self.training, False, True)  # type: ignore[operator]
        return kernel(values, sizes, hidden, weights, True, 1, 0.0, self.training, False)  # type: ignore[operator]

    def _looped(
        self, values: torch.Tensor, state: State, lengths: torch.Tensor | None
    ) -> tuple[torch.Tensor, State]:
        def step(projected: torch.Tensor, before: State) -> State:
            return (gru_step(projected, before[0], self.weight_hh, self.bias_hh, "before"),)

        projected = F.linear(values, self.weight_ih, self.bias_ih)
        return run_steps(step, projected, tuple(part.to(projected.dtype) for part in state), lengths)


class MaskedRecurrent(nn.Module):
    """A stack of recurrent layers: (B, L, inputs), lengths (B,) → (B, L, outputs), zeros at the padding.

    `outputs` is hidden, or twice that when bidirectional (left-to-right first, as torch orders them). dropout falls on
    what goes from layer to layer.
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

    def start(self, values: torch.Tensor) -> State:
        """The state of a batch (B, …) that has read nothing: zeros of the shapes that `carry` gives."""
        count = len(self.rightward) + len(self.leftward)
        first: RecurrentDirection = self.rightward[0]  # type: ignore[assignment]
        return tuple(part.expand(count, -1, -1) for part in first.start(values))

    def carry(
        self, values: torch.Tensor, lengths: torch.Tensor | None = None, state: State | None = None
    ) -> tuple[torch.Tensor, State]:
        """As `forward`, beginning from a state and giving the last one: (B, L, outputs), (h,) or (h, c).

        Each part of a state is (layers × directions, B, hidden) in torch's order: layer by layer, left-to-right
        first. lengths None: every row is full (no mask, no packing). A row's last state is that of its own last token
        (leftward: of its first); a row of length 0 keeps the state that it came with.
        """
        before = self.start(values) if state is None else state
        last: list[State] = []
        for layer, rightward in enumerate(self.rightward):
            if layer:
                values = self.dropout(values)
            assert isinstance(rightward, RecurrentDirection)
            read, after = rightward.run(values, tuple(part[len(last)] for part in before), lengths)
            last.append(after)
            if len(self.leftward):
                leftward = self.leftward[layer]
                assert isinstance(leftward, RecurrentDirection)
                turned = values.flip(1) if lengths is None else reverse_rows(values, lengths)
                back, after = leftward.run(turned, tuple(part[len(last)] for part in before), lengths)
                last.append(after)
                read = torch.cat([read, back.flip(1) if lengths is None else reverse_rows(back, lengths)], dim=2)
            values = read
        if lengths is not None:
            values = values * length_mask(lengths, values.shape[1])[..., None].to(values.dtype)
        return values, tuple(torch.stack(parts) for parts in zip(*last))
