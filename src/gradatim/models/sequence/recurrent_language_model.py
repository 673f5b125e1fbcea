"""A recurrent language model: an LSTM that predicts each token from the state the tokens before it left.

Papers: Mikolov et al., "Recurrent neural network based language model", 2010; Hochreiter & Schmidhuber, "Long
Short-Term Memory", 1997; Zaremba et al., "Recurrent Neural Network Regularization", 2014 (dropout between layers only).

The idea: the past is one vector of fixed size. A text of any length is read at constant cost a token; training cuts
the stream into windows and carries the state, but not the gradient, from one to the next (truncated back-propagation
through time), so that the state may learn to remember farther than a window.

What differs from the papers: the scores of the next token come from the embedding's own table (tied weights, Press &
Wolf 2017), after a projection where the widths differ; dropout is drawn anew for each number.

What to notice: at equal cost it learns faster on small text than the transformer, for each weight is used at each
token; on much text and long dependencies the transformer overtakes it.
"""

import torch
from torch import nn
from torch.nn import functional as F

from gradatim.nn.init import orthogonal_, xavier_uniform_
from gradatim.nn.precision import at_least_float32

State = tuple[torch.Tensor, torch.Tensor]


class LSTMLayers(nn.Module):
    """torch's fused LSTM with its names and gate order: (B, L, inputs), state → (B, L, hidden), state.

    nn.LSTM stops a compiler. Start: orthogonal hidden matrices gate by gate, Xavier input matrices, forget gates of
    bias 1.
    """

    def __init__(self, inputs: int, hidden: int, layers: int, dropout: float) -> None:
        super().__init__()
        self.hidden, self.layers = hidden, layers
        self.dropout = dropout if layers > 1 else 0.0
        self.names = []
        for layer in range(layers):
            columns = {"weight_ih": (inputs if layer == 0 else hidden,), "weight_hh": (hidden,), "bias_ih": (),
                       "bias_hh": ()}
            for name, last in columns.items():
                parameter = nn.Parameter(torch.zeros(4 * hidden, *last))
                for gate in range(4):
                    rows = parameter.data[gate * hidden : (gate + 1) * hidden]
                    if name == "weight_hh":
                        orthogonal_(rows)
                    elif name == "weight_ih":
                        xavier_uniform_(rows)
                    elif name == "bias_ih" and gate == 1:
                        nn.init.ones_(rows)
                self.names.append(f"{name}_l{layer}")
                self.register_parameter(self.names[-1], parameter)

    def forward(self, values: torch.Tensor, state: State | None) -> tuple[torch.Tensor, State]:
        if state is None:
            zeros = values.new_zeros(self.layers, values.shape[0], self.hidden)
            state = (zeros, zeros)
        weights = [getattr(self, name) for name in self.names]
        outputs, hidden, cell = torch.lstm(
            values, state, weights, True, self.layers, self.dropout, self.training, False, True)
        return outputs, (hidden, cell)


class RecurrentLanguageModel(nn.Module):
    """Embedding, LSTM layers, projection, scores by the embedding's table.

    logits: ids int (B, L) → float32 (B, L, vocabulary). forward: ids, lengths int (B,) → scores after the last token
    of each row (B, vocabulary), with num_classes its own head, with 0 features (B, num_features). `states` carries the
    state, each part (layers, B, hidden).
    """

    def __init__(
        self, num_classes: int | None, vocabulary: int, width: int, hidden: int, layers: int, dropout: float
    ) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocabulary, width)
        self.dropout = nn.Dropout(dropout)
        self.recurrent = LSTMLayers(width, hidden, layers, dropout)
        self.project = nn.Linear(hidden, width) if hidden != width else nn.Identity()
        self.bias = nn.Parameter(torch.zeros(vocabulary)) if num_classes is None else None
        self.vocabulary, self.num_features, self.num_classes = vocabulary, width, num_classes
        self.head = nn.Linear(width, num_classes) if num_classes else nn.Identity()
        nn.init.normal_(self.embedding.weight, 0.0, width ** -0.5)

    def forward(self, ids: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        last = self.states(ids)[0][torch.arange(len(ids), device=ids.device), lengths.clamp(min=1) - 1]
        if self.num_classes is None:
            return self._scores(last)
        return at_least_float32(self.head(last))

    def logits(self, ids: torch.Tensor) -> torch.Tensor:
        """Scores of the token after each place of texts read from their start, float32 (B, L, vocabulary)."""
        return self._scores(self.states(ids)[0])

    def carried(self, ids: torch.Tensor, state: State | None) -> tuple[torch.Tensor, State]:
        """Scores of the token after each place, and the state after the last, cut off from the gradient."""
        states, (hidden, cell) = self.states(ids, state)
        return self._scores(states), (hidden.detach(), cell.detach())

    def states(self, ids: torch.Tensor, state: State | None = None) -> tuple[torch.Tensor, State]:
        """The projected outputs (B, L, width) and the state after the last token."""
        outputs, state = self.recurrent(self.dropout(self.embedding(ids)), state)
        return self.project(self.dropout(outputs)), state

    def _scores(self, states: torch.Tensor) -> torch.Tensor:
        return at_least_float32(F.linear(states, self.embedding.weight, self.bias))


def recurrent_language_model(
    num_classes: int | None = None, vocabulary: int = 256, width: int = 128, hidden: int = 256, layers: int = 1,
    dropout: float = 0.0,
) -> RecurrentLanguageModel:
    """An LSTM language model over `vocabulary` tokens; a classifier or encoder of texts with num_classes."""
    return RecurrentLanguageModel(num_classes, vocabulary, width, hidden, layers, dropout)


def demo() -> tuple[RecurrentLanguageModel, tuple[torch.Tensor, ...]]:
    """A two-layer net over 20 tokens and three texts of 7, 3 and 1 tokens."""
    lengths = torch.tensor([7, 3, 1])
    network = recurrent_language_model(vocabulary=20, width=32, hidden=64, layers=2)
    return network, (torch.randint(0, 20, (3, 7)), lengths)
