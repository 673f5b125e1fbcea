"""Sequence to sequence, step by step: an answer at every token, from what was read up to it or from both sides.

Papers: Elman, "Finding Structure in Time", 1990; Schuster & Paliwal, "Bidirectional Recurrent Neural Networks", 1997;
Werbos, "Backpropagation Through Time", 1990.

The idea: the same cell is applied at every step and hands its state on; each state is turned into an answer of its own.
In one direction the answer at a step knows the past alone, as forecasting and language models need; in both it knows
the whole sequence, as tagging does. Losses of all steps are added, and their gradients flow back through time.

What differs from the papers: any of the cells of `gradatim.nn.recurrent.layers`, in layers; layer norm at the entrance.

What to notice: `carry` goes on from a state and gives the last one, so that a stream longer than memory is trained in
windows: pass `detached(state)` from one to the next (truncated back-propagation through time).
"""

import torch
from torch import nn

from gradatim.nn.attention.mask import length_mask
from gradatim.nn.init import initialise_dense
from gradatim.nn.precision import at_least_float32
from gradatim.nn.recurrent.cells import State
from gradatim.nn.recurrent.layers import MaskedRecurrent


class SequenceToSequence(nn.Module):
    """Embedding, recurrent layers, a linear head at each step.

    forward: ids int (B, L), lengths int (B,) → float32 (B, L, num_classes), 0 at the padding; features (B, L,
    num_features) when num_classes is 0. Token 0 is padding.
    """

    def __init__(
        self, num_classes: int, vocabulary: int, width: int, hidden: int, layers: int, cell: str, bidirectional: bool,
        dropout: float,
    ) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocabulary, width, padding_idx=0)
        self.norm = nn.LayerNorm(width)
        self.recurrent = MaskedRecurrent(width, hidden, layers=layers, cell=cell, bidirectional=bidirectional,
                                         dropout=dropout)
        self.num_features = self.recurrent.outputs
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(self.num_features, num_classes) if num_classes else nn.Identity()
        for part in (self.embedding, self.norm, self.head):
            initialise_dense(part)

    def forward(self, ids: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        read = self.recurrent(self.dropout(self.norm(self.embedding(ids))), lengths)
        answers = at_least_float32(self.head(self.dropout(read)))
        return answers * length_mask(lengths, ids.shape[1])[..., None]

    def carry(self, ids: torch.Tensor, state: State | None = None) -> tuple[torch.Tensor, State]:
        """A window of a stream (B, L), all of it content: answers (B, L, num_classes) and the state after it."""
        read, state = self.recurrent.carry(self.dropout(self.norm(self.embedding(ids))), state=state)
        return at_least_float32(self.head(self.dropout(read))), state


def sequence_to_sequence(
    num_classes: int = 2, vocabulary: int = 8192, width: int = 64, hidden: int = 64, layers: int = 1,
    cell: str = "lstm", bidirectional: bool = False, dropout: float = 0.1,
) -> SequenceToSequence:
    """A recurrent net that answers at every step; `cell` "rnn", "rnn_relu", "gru", "gru_before" or "lstm"."""
    return SequenceToSequence(num_classes, vocabulary, width, hidden, layers, cell, bidirectional, dropout)


def demo() -> tuple[SequenceToSequence, tuple[torch.Tensor, ...]]:
    """A two-layer net over 20 tokens and three sequences of 6, 3 and 1 tokens."""
    lengths = torch.tensor([6, 3, 1])
    ids = torch.randint(1, 20, (3, 6)) * length_mask(lengths, 6)
    network = sequence_to_sequence(num_classes=4, vocabulary=20, width=32, hidden=96, layers=2, cell="gru_before")
    return network, (ids, lengths)
