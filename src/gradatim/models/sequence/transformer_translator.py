"""The Transformer as it was first published: an encoder that reads a text, a decoder that writes another.

Paper: Vaswani et al., "Attention Is All You Need", NeurIPS 2017.

The idea: no recurrence. Every source token looks at all others; every token written so far looks at those before it and
at the source; stacked. All places are trained at once, because the true translation is known and a causal mask hides
what comes later. Writing goes token by token, with the keys and values of earlier tokens kept in a cache.

What differs from the paper: norms stand before the branches and once more at the end (Xiong et al. 2020: trains
without a long warm-up); GELU; positions are sinusoids as there; embeddings of both sides and the output are one
matrix, as there, unless shared=False.

What to notice: training is a few large products, writing many small ones; on few pairs it needs more dropout and more
epochs than the recurrent translator to reach the same.
"""

import math
from typing import Any

import torch
from torch import Tensor, nn

from gradatim.nn.attention.attention import DecoderBlock, TransformerBlock, reorder_caches
from gradatim.nn.attention.mask import length_mask
from gradatim.nn.attention.positions import check_length, sinusoidal_positions
from gradatim.nn.beam_search import take_rows
from gradatim.nn.init import initialise_dense
from gradatim.nn.next_token import after_last, vocabulary_logits
from gradatim.nn.precision import at_least_float32

State = dict[str, Any]


class TransformerTranslator(nn.Module):
    """Source ids → what to write next. Token 0 is padding; texts of at most `max_length` tokens.

    forward: source int (B, S), lengths int (B,), written int (B, T), written lengths int (B,) → float32 logits
    (B, num_classes) of the token after what was written, or features (B, num_features) when num_classes is 0.
    `teach` gives the features after every place, `logits` turns them into logits; `read` and `step` write token by
    token (see gradatim.nn.beam_search); `align` gives the weights of the attention to the source.
    """

    def __init__(
        self, num_classes: int, vocabulary: int, max_length: int, width: int, heads: int, readers: int, writers: int,
        expansion: int, shared: bool, dropout: float,
    ) -> None:
        super().__init__()
        if shared and num_classes not in (0, vocabulary):
            raise ValueError(f"expected one vocabulary for both sides, received {vocabulary} and {num_classes}")
        self.num_features, self.outputs, self.scale = width, num_classes, math.sqrt(width)
        self.source = nn.Embedding(vocabulary, width, padding_idx=0)
        self.target = None if shared else nn.Embedding(num_classes or vocabulary, width, padding_idx=0)
        self.register_buffer("positions", sinusoidal_positions(max_length, width))
        self.positions: Tensor
        self.dropout = nn.Dropout(dropout)
        self.readers = nn.ModuleList(
            TransformerBlock(width, heads, expansion=expansion, dropout=dropout) for _ in range(readers)
        )
        self.read_norm = nn.LayerNorm(width)
        self.writers = nn.ModuleList(
            DecoderBlock(width, heads, expansion=expansion, dropout=dropout) for _ in range(writers)
        )
        self.write_norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, num_classes, bias=False) if num_classes and not shared else None
        initialise_dense(self)

    def forward(self, source: Tensor, lengths: Tensor, written: Tensor, written_lengths: Tensor) -> Tensor:
        features = self.teach(source, lengths, written)
        return at_least_float32(self.logits(after_last(features, written_lengths)))

    def logits(self, features: Tensor) -> Tensor:
        """Features (…, width) → logits (…, num_classes); the features themselves without classes."""
        return vocabulary_logits(features, self.outputs, self.source, self.head)

    def teach(self, source: Tensor, lengths: Tensor, written: Tensor) -> Tensor:
        """Features (B, T, width) after each token of what was written, given all before it (teacher forcing)."""
        memory, mask = self._read(source, lengths)
        values = self._embed(written)
        for block in self.writers:  # padding stands at the end: under a causal mask nothing sees it
            values = block(values, memory, None, mask)
        return self.write_norm(values)

    def align(self, source: Tensor, lengths: Tensor, written: Tensor) -> Tensor:
        """The mean over the heads of the last block but one (the last of one): float32 (B, T, S).

        Of the blocks, the one before the last aligns words best (Garg et al. 2019, "Jointly Learning to Align and
        Translate with Transformer Models", § 3).
        """
        memory, mask = self._read(source, lengths)
        values = self._embed(written)
        looked = values.new_zeros(0)
        for number, block in enumerate(self.writers):
            if number == max(len(self.writers) - 2, 0):
                assert isinstance(block, DecoderBlock)
                own = values + block.attention(block.attention_norm(values))
                looked = block.cross_attention.weights(block.cross_norm(own), memory, mask).mean(1)
            values = block(values, memory, None, mask)
        return looked

    def read(self, source: Tensor, lengths: Tensor, most: int = 0) -> State:
        """The state from which writing starts; `most` tokens can be written (0: as many as there are positions)."""
        memory, mask = self._read(source, lengths)
        blocks = [block for block in self.writers if isinstance(block, DecoderBlock)]
        return {
            "memory": [block.cross_attention.remember(memory) for block in blocks], "mask": mask, "place": 0,
            "caches": [block.attention.cache(len(source), most or len(self.positions)) for block in blocks],
        }

    def step(self, tokens: Tensor, state: State) -> tuple[Tensor, State]:
        """The last tokens (B,) → float32 logits (B, num_classes) of the next; the caches in the state are written."""
        values = self._embed(tokens[:, None], state["place"])
        for block, memory, cache in zip(self.writers, state["memory"], state["caches"]):
            values = block(values, memory, None, state["mask"], cache=cache)
        logits = at_least_float32(self.logits(self.write_norm(values)[:, 0]))
        return logits, {**state, "place": state["place"] + 1}

    def reorder(self, state: State, rows: Tensor) -> State:
        """The state of the given rows; the caches are reordered in place."""
        reorder_caches(state["caches"], rows)
        return {**state, "memory": take_rows(state["memory"], rows), "mask": take_rows(state["mask"], rows)}

    def _read(self, source: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Memory (B, S, width) and which of it may be looked at, bool (B, S)."""
        check_length(source.shape[1], len(self.positions))
        mask = length_mask(lengths.clamp(min=1), source.shape[1])  # an empty text attends to its first padding token
        values = self.dropout(self.source(source) * self.scale + self.positions[: source.shape[1]])
        for block in self.readers:
            values = block(values, mask)
        return self.read_norm(values), mask

    def _embed(self, ids: Tensor, start: int = 0) -> Tensor:
        end = start + ids.shape[1]
        check_length(end, len(self.positions))
        table = self.source if self.target is None else self.target
        return self.dropout(table(ids) * self.scale + self.positions[start:end])


def transformer_translator(
    num_classes: int = 8000, vocabulary: int = 8000, max_length: int = 256, width: int = 256, heads: int = 4,
    readers: int = 3, writers: int = 3, expansion: int = 4, shared: bool = True, dropout: float = 0.1,
) -> TransformerTranslator:
    """A Transformer encoder and decoder for translation, of `readers` and `writers` blocks."""
    return TransformerTranslator(num_classes, vocabulary, max_length, width, heads, readers, writers, expansion,
                                 shared, dropout)


def demo() -> tuple[TransformerTranslator, tuple[Tensor, ...]]:
    """A net over 20 tokens; three texts of 7, 3 and 1 tokens of which 2, 4 and 1 tokens of translation are written."""
    lengths, written_lengths = torch.tensor([7, 3, 1]), torch.tensor([2, 4, 1])
    source = torch.randint(1, 20, (3, 7)) * length_mask(lengths, 7)
    written = torch.randint(1, 20, (3, 4)) * length_mask(written_lengths, 4)
    network = transformer_translator(20, 20, max_length=8, width=32, heads=2, readers=2, writers=2)
    return network, (source, lengths, written, written_lengths)
