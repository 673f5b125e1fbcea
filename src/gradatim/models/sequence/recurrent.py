"""A recurrent classifier: a text read token by token in both directions by a GRU or an LSTM.

Papers: Hochreiter & Schmidhuber, "Long Short-Term Memory", 1997; Cho et al., "Learning Phrase Representations using
RNN Encoder–Decoder", 2014 (GRU); Schuster & Paliwal, "Bidirectional Recurrent Neural Networks", 1997.

The idea: one cell carries a state along the text and decides by gates what to keep, what to overwrite and what to
show, so that a word can still be felt many words later. A second cell reads from the end. The states at all tokens are
pooled by mean and maximum and go to a linear head.

What differs from the papers: the GRU applies its reset gate after the matrix, as torch's fused cell does (Cho et al.
before it); pooling over all states instead of the last one alone; the LSTM's forget gate starts at bias 1.

What to notice: time is sequential, so a long text costs many small products; beyond some hundred tokens take
`attention_pool` or the transformer. Padding is never read (see gradatim.nn.recurrent.layers).
"""

import torch
from torch import nn

from gradatim.nn.attention.mask import length_mask, masked_max, masked_mean
from gradatim.nn.init import initialise_dense
from gradatim.nn.precision import at_least_float32
from gradatim.nn.recurrent.layers import MaskedRecurrent


class RecurrentClassifier(nn.Module):
    """Embedding, a stack of recurrent layers, mean and maximum over the states, a linear head.

    forward: ids int (B, L), lengths int (B,) → float32 logits (B, num_classes), or features (B, num_features) when
    num_classes is 0. Token 0 is padding.
    """

    def __init__(
        self, num_classes: int, vocabulary: int, width: int, hidden: int, layers: int, cell: str, bidirectional: bool,
        dropout: float,
    ) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocabulary, width, padding_idx=0)
        self.norm = nn.LayerNorm(width)
        self.recurrent = MaskedRecurrent(
            width, hidden, layers=layers, cell=cell, bidirectional=bidirectional, dropout=dropout
        )
        self.num_features = 2 * self.recurrent.outputs
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(self.num_features, num_classes) if num_classes else nn.Identity()
        for part in (self.embedding, self.norm, self.head):  # the recurrent layers have a start of their own
            initialise_dense(part)

    def forward(self, ids: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        mask = length_mask(lengths, ids.shape[1])
        states = self.recurrent(self.dropout(self.norm(self.embedding(ids))), lengths)
        values = torch.cat([masked_mean(states, mask), masked_max(states, mask)], dim=1)
        return at_least_float32(self.head(self.dropout(values)))


def recurrent_classifier(
    num_classes: int = 2, vocabulary: int = 8192, width: int = 64, hidden: int = 64, layers: int = 1,
    cell: str = "gru", bidirectional: bool = True, dropout: float = 0.1,
) -> RecurrentClassifier:
    """A recurrent net for texts, GRU or LSTM (`cell`), in both directions or one."""
    return RecurrentClassifier(num_classes, vocabulary, width, hidden, layers, cell, bidirectional, dropout)


def demo() -> tuple[RecurrentClassifier, tuple[torch.Tensor, ...]]:
    """A two-layer net over 20 tokens and three texts of 7, 3 and 1 tokens."""
    lengths = torch.tensor([7, 3, 1])
    ids = torch.randint(1, 20, (3, 7)) * length_mask(lengths, 7)
    return recurrent_classifier(num_classes=4, vocabulary=20, width=8, hidden=8, layers=2), (ids, lengths)
