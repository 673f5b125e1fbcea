"""Taggers: a tag for each token, by a recurrent network or a Transformer over words and their characters, with a CRF.

Papers: Huang, Xu & Yu, "Bidirectional LSTM-CRF Models for Sequence Tagging", 2015; Lample et al., "Neural Architectures
for Named Entity Recognition", 2016 (characters by a recurrent net); Ma & Hovy, "End-to-end Sequence Labeling via
Bi-directional LSTM-CNNs-CRF", 2016 (characters by a convolution).

The idea: a word's vector is looked up and joined by what its letters say, so that a word never seen before still has
an ending and a shape. A network that reads in both directions puts each word into its sentence and scores every tag
there. The CRF scores tags beside each other, so that no inside tag stands without its beginning.

What differs from the papers: no pretrained vectors; layer norm before the reader; dropout in place of a learning-rate
decay by hand; the Transformer reads with fixed positions.

What to notice: `forward` gives what a softmax turns into the probability of each tag at each token: scores where there
is no CRF, its log marginals where there is one. Training takes `emissions` and `log_likelihood`.
"""

import torch
from torch import nn
from torch.nn import functional as F

from gradatim.nn.attention.attention import TransformerBlock, sinusoidal_positions
from gradatim.nn.attention.mask import length_mask, masked_max
from gradatim.nn.crf import LinearChainCRF
from gradatim.nn.init import initialise_dense
from gradatim.nn.precision import at_least_float32
from gradatim.nn.recurrent.layers import MaskedRecurrent

SPELLINGS = ("convolution", "recurrent", "none")


class Spelling(nn.Module):
    """What the letters of each word say: ids int (B, L, K), 0 for padding → (B, L, features).

    kind: "convolution" (windows of three letters, the largest answer over the word) or "recurrent" (a GRU from either
    side, the largest state over the word).
    """

    def __init__(self, characters: int, width: int, features: int, kind: str) -> None:
        super().__init__()
        self.embedding = nn.Embedding(characters, width, padding_idx=0)
        self.kind = kind
        if kind == "convolution":
            self.reader: nn.Module = nn.Conv1d(width, features, 3, padding=1)
        else:
            self.reader = MaskedRecurrent(width, features // 2, cell="gru", bidirectional=True)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        batch, length, size = ids.shape
        words = ids.reshape(batch * length, size)
        letters = self.embedding(words)
        counts = (words > 0).sum(1)
        if self.kind == "convolution":
            read = F.relu(self.reader(letters.transpose(1, 2)).transpose(1, 2))
        else:
            read = self.reader(letters, counts)
        return masked_max(read, length_mask(counts, size)).view(batch, length, -1)


class Reader(nn.Module):
    """A Transformer encoder over a sentence: (B, L, inputs), lengths (B,) → (B, L, outputs)."""

    def __init__(self, inputs: int, width: int, heads: int, depth: int, dropout: float) -> None:
        super().__init__()
        self.outputs = width
        self.enter = nn.Linear(inputs, width)
        self.blocks = nn.ModuleList(TransformerBlock(width, heads, dropout=dropout) for _ in range(depth))
        self.norm = nn.LayerNorm(width)

    def forward(self, values: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        # A row without a word attends to its first place of padding, so that its softmax is over something.
        mask = length_mask(lengths.clamp(min=1), values.shape[1])
        read = self.enter(values)
        read = read + sinusoidal_positions(values.shape[1], self.outputs).to(read)
        for block in self.blocks:
            read = block(read, mask)
        return self.norm(read) * length_mask(lengths, values.shape[1])[..., None].to(read.dtype)


class Tagger(nn.Module):
    """Words and letters → a reader of sentences → scores of tags, and perhaps a CRF over them.

    forward: words int (B, L), characters int (B, L, K), lengths int (B,) → float32 (B, L, num_classes), 0 at the
    padding; or features (B, L, num_features) when num_classes is 0. 0 is padding in both inputs.
    """

    def __init__(
        self, num_classes: int, vocabulary: int, characters: int, width: int, spelling: str, character_width: int,
        spelling_features: int, dropout: float, crf: bool, reader: dict[str, int | str | float],
    ) -> None:
        super().__init__()
        if spelling not in SPELLINGS:
            raise ValueError(f"expected a spelling among {', '.join(SPELLINGS)}, received '{spelling}'")
        self.embedding = nn.Embedding(vocabulary, width, padding_idx=0)
        self.spelling = (Spelling(characters, character_width, spelling_features, spelling)
                         if spelling != "none" else None)
        inputs = width + (spelling_features if self.spelling is not None else 0)
        self.norm = nn.LayerNorm(inputs)
        self.reader: nn.Module
        if "heads" in reader:
            self.reader = Reader(inputs, int(reader["width"]), int(reader["heads"]), int(reader["depth"]), dropout)
        else:
            self.reader = MaskedRecurrent(inputs, int(reader["hidden"]), layers=int(reader["layers"]),
                                          cell=str(reader["cell"]), bidirectional=True, dropout=dropout)
        self.num_features = int(self.reader.outputs)  # type: ignore[arg-type]
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(self.num_features, num_classes) if num_classes else nn.Identity()
        self.crf = LinearChainCRF(num_classes) if crf and num_classes else None
        initialise_dense(self)  # the recurrent layers and the convolution have starts of their own

    def emissions(self, words: torch.Tensor, characters: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        """Scores of the tags at each token by itself, (B, L, num_classes), 0 at the padding."""
        parts = [self.embedding(words)]
        if self.spelling is not None:
            parts.append(self.spelling(characters).to(parts[0].dtype))
        read = self.reader(self.dropout(self.norm(torch.cat(parts, dim=2))), lengths)
        scores = at_least_float32(self.head(self.dropout(read)))
        return scores * length_mask(lengths, words.shape[1])[..., None]

    def forward(self, words: torch.Tensor, characters: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        scores = self.emissions(words, characters, lengths)
        return scores if self.crf is None else self.crf.log_marginals(scores, lengths)

    def log_likelihood(self, emissions: torch.Tensor, tags: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        """log p(tags) by row (B,): of the CRF, or the sum over tokens."""
        if self.crf is not None:
            return self.crf.log_likelihood(emissions, tags, lengths)
        inside = length_mask(lengths, tags.shape[1])
        picked = emissions.log_softmax(2).gather(2, tags.clamp(min=0)[..., None])[..., 0]
        return (picked * inside).sum(1)


def recurrent_tagger(
    num_classes: int = 9, vocabulary: int = 8192, characters: int = 128, width: int = 64, hidden: int = 96,
    layers: int = 1, cell: str = "lstm", spelling: str = "convolution", character_width: int = 24,
    spelling_features: int = 48, dropout: float = 0.4, crf: bool = True,
) -> Tagger:
    """A recurrent net in both directions over words and their letters, with a CRF: BiLSTM-CNN-CRF."""
    return Tagger(num_classes, vocabulary, characters, width, spelling, character_width, spelling_features, dropout,
                  crf, {"hidden": hidden, "layers": layers, "cell": cell})


def transformer_tagger(
    num_classes: int = 9, vocabulary: int = 8192, characters: int = 128, width: int = 96, heads: int = 4,
    depth: int = 2, spelling: str = "convolution", character_width: int = 24, spelling_features: int = 48,
    dropout: float = 0.2, crf: bool = True,
) -> Tagger:
    """A Transformer encoder over words and their letters, with a CRF."""
    return Tagger(num_classes, vocabulary, characters, width, spelling, character_width, spelling_features, dropout,
                  crf, {"width": width, "heads": heads, "depth": depth})


def demo() -> tuple[Tagger, tuple[torch.Tensor, ...]]:
    """A small net without CRF over 20 words and 12 letters, and three sentences of 5, 3 and 1 words."""
    lengths = torch.tensor([5, 3, 1])
    inside = length_mask(lengths, 5)
    words = torch.randint(1, 20, (3, 5)) * inside
    characters = torch.randint(1, 12, (3, 5, 4)) * inside[..., None]
    network = recurrent_tagger(num_classes=4, vocabulary=20, characters=12, width=32, hidden=96, character_width=6,
                               spelling_features=6, crf=False)
    return network, (words, characters, lengths)
