"""Sequence to vector: everything is read, and only the last state answers.

Papers: Elman, "Finding Structure in Time", 1990; Hochreiter & Schmidhuber, "Long Short-Term Memory", 1997.

The idea: the outputs of all steps but the last are left aside; what the last state holds is all that the net knows of
the sequence. It is also the first half of an encoder-decoder. Read in both directions, the last state is that of each
direction's own end.

What differs from the papers: deep, any cell of `gradatim.nn.recurrent.layers`; layer norm at the entrance.

What to notice: the first token must survive every step, which a basic cell manages over some ten steps and an LSTM over
some hundred. `recurrent.recurrent_classifier` pools all states instead and is the better text classifier.
"""

import torch
from torch import nn

from gradatim.nn.attention.mask import length_mask
from gradatim.nn.init import initialise_dense
from gradatim.nn.precision import at_least_float32
from gradatim.nn.recurrent.layers import MaskedRecurrent


class SequenceToVector(nn.Module):
    """Embedding, recurrent layers, the last layer's output at each row's own end, a linear head.

    forward: ids int (B, L), lengths int (B,) → float32 (B, num_classes), or features (B, num_features) when
    num_classes is 0. Token 0 is padding; a row without tokens gives the head's bias.
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
        self.hidden = hidden
        self.num_features = self.recurrent.outputs
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(self.num_features, num_classes) if num_classes else nn.Identity()
        for part in (self.embedding, self.norm, self.head):
            initialise_dense(part)

    def forward(self, ids: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        read = self.recurrent(self.dropout(self.norm(self.embedding(ids))), lengths)
        end = (lengths.to(torch.int64) - 1).clamp(min=0)[:, None, None].expand(-1, 1, self.hidden)
        last = read[..., : self.hidden].gather(1, end)[:, 0]
        # Leftward the last step is the row's first token; padding was zeroed, so an empty row gives zeros.
        values = torch.cat([last, read[:, 0, self.hidden :]], dim=1)
        return at_least_float32(self.head(self.dropout(values)))


def sequence_to_vector(
    num_classes: int = 2, vocabulary: int = 8192, width: int = 64, hidden: int = 64, layers: int = 1,
    cell: str = "lstm", bidirectional: bool = False, dropout: float = 0.1,
) -> SequenceToVector:
    """A recurrent net whose last state answers for the whole sequence."""
    return SequenceToVector(num_classes, vocabulary, width, hidden, layers, cell, bidirectional, dropout)


def demo() -> tuple[SequenceToVector, tuple[torch.Tensor, ...]]:
    """A two-layer net in both directions over 20 tokens and three sequences of 6, 3 and 1 tokens."""
    lengths = torch.tensor([6, 3, 1])
    ids = torch.randint(1, 20, (3, 6)) * length_mask(lengths, 6)
    network = sequence_to_vector(num_classes=4, vocabulary=20, width=32, hidden=64, layers=2, bidirectional=True)
    return network, (ids, lengths)
