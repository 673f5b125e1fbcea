"""A recurrent encoder and decoder with attention: one net reads a text, another writes one and looks back as it does.

Papers: Sutskever, Vinyals & Le, "Sequence to Sequence Learning with Neural Networks", NeurIPS 2014; Bahdanau, Cho &
Bengio, "Neural Machine Translation by Jointly Learning to Align and Translate", ICLR 2015; Luong, Pham & Manning,
"Effective Approaches to Attention-based Neural Machine Translation", EMNLP 2015.

The idea: a bidirectional net turns each source token into a state that knows its neighbours. The decoder writes token
by token; at each it scores all source states against its own, and their weighted mean, the context, says what to write
next. No single vector must hold the whole text, and the weights show which word came from where.

What differs from the papers: one embedding for both languages and the output (Press & Wolf 2017) unless told
otherwise; the decoder starts from the mean of the source states; a tanh layer where Bahdanau et al. have maxout;
attention='dot', 'general' or 'concat' looks with the new state (Luong), 'bahdanau' with the one before and feeds the
context to the cell; `feeding` gives the cell what was last decided on (Luong's input feeding).

With `lexicon` > 0 the net is given a table of translations t(f|e), as IBM model 1 finds it (gradatim.estimators.
alignment), and learns when to trust it: p = (1 − g) · softmax + g · Σ_s α_s t(f|e_s), with the attention α and a gate g
of its own (after Arthur, Neubig & Nakamura 2016, "Incorporating Discrete Translation Lexicons into Neural Machine
Translation", and the pointer of See et al. 2017). What would take hours to learn is there from the first step, and the
attention learns to align, because only a good alignment finds the right words in the table.

What to notice: without feeding nothing in the decoder waits for the attention, so the fused kernel runs over all places
at once: several times as fast to train. With it, and with 'bahdanau', the net is stepped.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gradatim.models.outline import whole
from gradatim.nn.attention.mask import length_mask, masked_mean
from gradatim.nn.attention.scores import AdditiveAttention, MultiplicativeAttention
from gradatim.nn.beam_search import take_rows
from gradatim.nn.init import initialise_dense
from gradatim.nn.next_token import after_last, vocabulary_logits
from gradatim.nn.precision import at_least_float32
from gradatim.nn.recurrent.layers import MaskedRecurrent, RecurrentDirection

BOUNDARY = 1  # the token before the first, where there is a lexicon
LEAST = 1e-9  # a probability under which no logarithm is taken
LOOKS = ("bahdanau", "dot", "general", "concat")
State = dict[str, Any]


class AttentionTranslator(nn.Module):
    """Source ids → what to write next. Token 0 is padding.

    forward: source int (B, S), lengths int (B,), written int (B, T), written lengths int (B,) → float32 logits
    (B, num_classes) of the token after what was written, or features (B, num_features) when num_classes is 0.
    `teach` gives the features after every place, `logits` turns them into logits; `read` and `step` write token by
    token (see gradatim.nn.beam_search); `align` gives the weights of the attention.
    """

    def __init__(
        self, num_classes: int, vocabulary: int, width: int, layers: int, cell: str, attention: str, feeding: bool,
        shared: bool, dropout: float, lexicon: int,
    ) -> None:
        super().__init__()
        if attention not in LOOKS:
            raise ValueError(f"expected an attention among {', '.join(LOOKS)}, received '{attention}'")
        if shared and num_classes not in (0, vocabulary):
            raise ValueError(f"expected one vocabulary for both sides, received {vocabulary} and {num_classes}")
        self.cell, self.attends, self.num_features = cell, attention, width
        self.early, self.feeding = attention == "bahdanau", feeding
        self.source = nn.Embedding(vocabulary, width, padding_idx=0)
        self.target = None if shared else nn.Embedding(num_classes or vocabulary, width, padding_idx=0)
        self.reader = MaskedRecurrent(width, width // 2, layers=layers, cell=cell, dropout=dropout)
        inputs = 2 * width if self.early or feeding else width
        self.writer = nn.ModuleList(
            RecurrentDirection(inputs if layer == 0 else width, width, cell) for layer in range(layers)
        )
        self.begin = nn.Linear(width, layers * width)
        self.attention = (AdditiveAttention(width, width, width) if self.early
                          else MultiplicativeAttention(width, width, attention))
        self.join = nn.Linear(2 * width, width)
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(width, num_classes, bias=False) if num_classes and not shared else None
        self.outputs = num_classes
        self.gate = nn.Linear(width, 1) if lexicon else None
        self.follow = nn.Parameter(torch.tensor([2.0])) if lexicon and not self.early else None
        if lexicon:  # t(f|e): for each source token its likeliest target tokens
            self.register_buffer("lexicon_ids", torch.zeros(vocabulary, lexicon, dtype=torch.int64))
            self.register_buffer("lexicon_shares", torch.zeros(vocabulary, lexicon))
        self.lexicon_ids: Tensor
        self.lexicon_shares: Tensor
        for part in (self.source, self.target, self.begin, self.attention, self.join, self.head, self.gate):
            if part is not None:
                initialise_dense(part)  # the recurrent layers have a start of their own

    def check_state(self) -> None:
        """Raise ArtifactError where the lexicon leads out of the vocabulary."""
        if hasattr(self, "lexicon_ids"):
            whole("lexicon_ids", self.lexicon_ids.cpu(), 0, len(self.lexicon_ids) - 1)

    def forward(self, source: Tensor, lengths: Tensor, written: Tensor, written_lengths: Tensor) -> Tensor:
        features = self.teach(source, lengths, written)
        return at_least_float32(self.logits(after_last(features, written_lengths)))

    def logits(self, features: Tensor) -> Tensor:
        """Features (…, width) → logits (…, num_classes); the features themselves without classes."""
        return vocabulary_logits(features, self.outputs, self.source, self.head)

    def teach(self, source: Tensor, lengths: Tensor, written: Tensor) -> Tensor:
        """Features (B, T, width) after each token of what was written, given all before it (teacher forcing)."""
        return self._write(written, self.read(source, lengths))[0]

    def lexical(self, source: Tensor, lengths: Tensor, written: Tensor, expected: Tensor) -> tuple[Tensor, ...]:
        """What training with a lexicon needs after each token of what was written: features (B, T, width), gates g
        (B, T), and the lexicon's share Σ_s α_s t(expected|e_s) of each expected token (B, T).
        """
        assert self.gate is not None
        features, weights, _ = self._write(written, self.read(source, lengths))
        meant = self.lexicon_ids[source][:, None] == expected[:, :, None, None]
        shares = (meant * self.lexicon_shares[source][:, None]).sum(3)
        return features, torch.sigmoid(self.gate(features)[..., 0].float()), (weights * shares).sum(2)

    def align(self, source: Tensor, lengths: Tensor, written: Tensor) -> Tensor:
        """The attention on each source token while the token after each written one is chosen: float32 (B, T, S)."""
        return self._write(written, self.read(source, lengths))[1]

    def read(self, source: Tensor, lengths: Tensor, most: int = 0) -> State:
        """The state from which writing starts: tensors with a row a text. `most` is for translators with caches."""
        mask = length_mask(lengths, source.shape[1])
        states = self.reader(self.dropout(self.source(source)), lengths)
        begin = torch.tanh(self.begin(masked_mean(states, mask)))
        hidden = list(begin.chunk(len(self.writer), dim=1))
        return {
            "memory": states, "mask": mask, "projected": self.attention.remember(states), "hidden": hidden,
            "carried": [torch.zeros_like(part) for part in hidden] if self.cell == "lstm" else [],
            "decided": torch.zeros_like(hidden[0]),
            **({} if self.gate is None else {"source": source}),
        }

    def step(self, tokens: Tensor, state: State) -> tuple[Tensor, State]:
        """The last tokens (B,) → float32 logits (B, num_classes) of the next, and the state after them."""
        features, weights, state = self._write(tokens[:, None], state)
        logits = at_least_float32(self.logits(features[:, 0]))
        if self.gate is None:
            return logits, state
        gate = torch.sigmoid(self.gate(features[:, 0]).float())
        shares = (weights[:, 0, :, None] * self.lexicon_shares[state["source"]]).flatten(1)
        found = torch.zeros_like(logits).scatter_add(1, self.lexicon_ids[state["source"]].flatten(1), shares)
        return torch.log((1 - gate) * logits.softmax(1) + gate * found + LEAST), state

    def reorder(self, state: State, rows: Tensor) -> State:
        """The state of the given rows."""
        return take_rows(state, rows)

    def _embed(self, ids: Tensor) -> Tensor:
        return self.dropout((self.source if self.target is None else self.target)(ids))

    def _write(self, ids: Tensor, state: State) -> tuple[Tensor, Tensor, State]:
        """Tokens written (B, T) → features (B, T, width), weights (B, T, S), the state after."""
        values, near = self._embed(ids), self._near(ids, state)
        if not (self.early or self.feeding):
            written, state = self._run(values, state)
            return *self._decide(written, state, near), state
        features, weights = [], []
        for place in range(values.shape[1]):
            now = values[:, place]
            if self.early:
                context, looked = self.attention(state["hidden"][-1], state["memory"], state["mask"],
                                                 state["projected"])
                written, state = self._run(torch.cat([now, context], dim=1)[:, None], state)
                decided = self.dropout(torch.tanh(self.join(torch.cat([context, written[:, 0]], dim=1))))
            else:
                written, state = self._run(torch.cat([now, state["decided"]], dim=1)[:, None], state)
                found, seen = self._decide(written, state, None if near is None else near[:, place : place + 1])
                decided, looked = found[:, 0], seen[:, 0]
                state = {**state, "decided": decided}
            features.append(decided)
            weights.append(looked)
        return torch.stack(features, dim=1), torch.stack(weights, dim=1), state

    def _near(self, ids: Tensor, state: State) -> Tensor | None:
        """How likely each source token follows the one that the last written token, ids (B, T), stands for: (B, T, S).

        By the lexicon; at the start it is the first. Translations go on where they are more often than they jump (Vogel
        et al. 1996, "HMM-Based Word Alignment"), and a net would take long to find that out.
        """
        if self.follow is None:
            return None
        source = state["source"]
        meant = self.lexicon_ids[source][:, None] == ids[:, :, None, None]
        shares = (meant * self.lexicon_shares[source][:, None]).sum(3)
        before = F.pad(shares, (1, 0))[:, :, :-1]
        before[:, :, 0] += ids == BOUNDARY
        return before / before.sum(2, keepdim=True).clamp(min=0.05)

    def _decide(self, written: Tensor, state: State, near: Tensor | None) -> tuple[Tensor, Tensor]:
        """Look at the source with the new states: features (B, T, width) and weights (B, T, S)."""
        context, weights = self.attention(written, state["memory"], state["mask"], state["projected"])
        if near is not None and self.follow is not None:
            weights = weights * torch.exp(self.follow * near)
            weights = weights / weights.sum(2, keepdim=True).clamp(min=LEAST)
            context = weights.to(state["memory"].dtype) @ state["memory"]
        return self.dropout(torch.tanh(self.join(torch.cat([context, written], dim=2)))), weights

    def _run(self, values: Tensor, state: State) -> tuple[Tensor, State]:
        """The stack of recurrent layers over (B, T, inputs), from the state: (B, T, width) and the state after."""
        hidden, carried = [], []
        for number, layer in enumerate(self.writer):
            assert isinstance(layer, RecurrentDirection)
            if number:
                values = self.dropout(values)
            weights: list[Tensor] = [layer.weight_ih, layer.weight_hh, layer.bias_ih, layer.bias_hh]
            start = state["hidden"][number][None].to(values.dtype)
            if self.cell == "gru":
                values, last = torch.gru(values, start, weights, True, 1, 0.0, self.training, False, True)
            else:
                both = (start, state["carried"][number][None].to(values.dtype))
                values, last, cells = torch.lstm(values, both, weights, True, 1, 0.0, self.training, False, True)
                carried.append(cells[0])
            hidden.append(last[0])
        return values, {**state, "hidden": hidden, "carried": carried}


def attention_translator(
    num_classes: int = 8000, vocabulary: int = 8000, width: int = 256, layers: int = 1, cell: str = "gru",
    attention: str = "general", feeding: bool = False, shared: bool = True, dropout: float = 0.2, lexicon: int = 0,
) -> AttentionTranslator:
    """A recurrent translator that looks back at the source: GRU or LSTM, attention of Bahdanau or Luong."""
    return AttentionTranslator(num_classes, vocabulary, width, layers, cell, attention, feeding, shared, dropout,
                               lexicon)


def demo() -> tuple[AttentionTranslator, tuple[Tensor, ...]]:
    """A net over 20 tokens; three texts of 7, 3 and 1 tokens of which 2, 4 and 1 tokens of translation are written."""
    lengths, written_lengths = torch.tensor([7, 3, 1]), torch.tensor([2, 4, 1])
    source = torch.randint(1, 20, (3, 7)) * length_mask(lengths, 7)
    written = torch.randint(1, 20, (3, 4)) * length_mask(written_lengths, 4)
    return attention_translator(20, 20, width=32, layers=2), (source, lengths, written, written_lengths)
