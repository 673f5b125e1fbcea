"""BERT: a Transformer encoder that was trained on text without labels, and reads a sentence into one vector.

Papers: Devlin et al., "BERT", NAACL 2019; Reimers & Gurevych, "Sentence-BERT", EMNLP 2019 (the mean over the tokens as
the sentence's vector); Wang et al., "MiniLM", NeurIPS 2020 (a small BERT taught by the attention of a large one).

The idea: words, places and segments have learned vectors, whose sum goes through blocks in which every token attends to
all others. Trained to fill in hidden words, later to put sentences of one meaning next to one another, it knows which
words mean much the same before it has seen one label of ours.

What differs from the papers: the tasks of the pre-training have no heads here; the pooled class token (tanh of a
linear layer) is there only with pooling='first'. Names of the state follow transformers' BertModel, so published
weights load as they are.

What to notice: norms come after the branches, as in the first Transformer; a text is read together with the marks of
its beginning and end, which its own tokenizer adds (`gradatim.data.codecs.bert_tokens`). With few labels a linear head
on the frozen vectors beats what any network learns from these labels alone.
"""

from collections import OrderedDict

import torch
from torch import nn
from torch.nn import functional as F

from gradatim.models.outline import whole
from gradatim.nn.attention.attention import attend, attention_weights, head_width_of
from gradatim.nn.attention.mask import length_mask, masked_mean
from gradatim.nn.attention.positions import check_length
from gradatim.nn.init import small_normal_
from gradatim.nn.precision import at_least_float32

POOLINGS = ("mean", "first")
EPSILON = 1e-12


class Embeddings(nn.Module):
    """Word, place and segment vectors, added up and normalised: ids (B, L), segments (B, L) → (B, L, width)."""

    def __init__(self, vocabulary: int, width: int, places: int, segments: int, dropout: float) -> None:
        super().__init__()
        self.word_embeddings = nn.Embedding(vocabulary, width, padding_idx=0)
        self.position_embeddings = nn.Embedding(places, width)
        self.token_type_embeddings = nn.Embedding(segments, width)
        self.LayerNorm = nn.LayerNorm(width, eps=EPSILON)
        self.dropout = nn.Dropout(dropout)
        self.register_buffer("position_ids", torch.arange(places)[None])
        self.position_ids: torch.Tensor

    def check_state(self) -> None:
        """Raise ArtifactError where a place leads out of the table of places."""
        whole("position_ids", self.position_ids.cpu(), 0, self.position_embeddings.num_embeddings - 1)

    def forward(self, ids: torch.Tensor, segments: torch.Tensor | None) -> torch.Tensor:
        check_length(ids.shape[1], self.position_ids.shape[1])
        values = self.word_embeddings(ids)
        places = self.position_embeddings(self.position_ids[:, : ids.shape[1]])
        kinds = self.token_type_embeddings(torch.zeros_like(ids) if segments is None else segments)
        return self.dropout(self.LayerNorm(values + kinds + places))


class Attention(nn.Module):
    """Queries, keys and values of all heads."""

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads, self.head_width, self.dropout = heads, head_width_of(width, heads), dropout
        self.query = nn.Linear(width, width)
        self.key = nn.Linear(width, width)
        self.value = nn.Linear(width, width)

    def forward(self, values: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
        query, key, value = (self._split(layer(values)) for layer in (self.query, self.key, self.value))
        return attend(query, key, value, mask, dropout=self.dropout if self.training else 0.0)

    def weights(self, values: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
        """What each token looks at: float32 (B, heads, L, L)."""
        return attention_weights(self._split(self.query(values)), self._split(self.key(values)), mask)

    def _split(self, values: torch.Tensor) -> torch.Tensor:
        return values.unflatten(2, (self.heads, self.head_width)).transpose(1, 2)


class Residual(nn.Module):
    """norm(x + dense(branch)): the end of both branches."""

    def __init__(self, branch: int, width: int, dropout: float) -> None:
        super().__init__()
        self.dense = nn.Linear(branch, width)
        self.LayerNorm = nn.LayerNorm(width, eps=EPSILON)
        self.dropout = nn.Dropout(dropout)

    def forward(self, branch: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
        return self.LayerNorm(values + self.dropout(self.dense(branch)))


class Layer(nn.Module):
    """Attention, then a feed-forward layer of `hidden` units, each added to what it read, and normalised."""

    def __init__(self, width: int, heads: int, hidden: int, dropout: float) -> None:
        super().__init__()
        attention = {"self": Attention(width, heads, dropout), "output": Residual(width, width, dropout)}
        self.attention = nn.ModuleDict(attention)
        self.intermediate = nn.ModuleDict({"dense": nn.Linear(width, hidden)})
        self.output = Residual(hidden, width, dropout)

    def forward(self, values: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
        values = self.attention["output"](self.attention["self"](values, mask), values)
        return self.output(F.gelu(self.intermediate["dense"](values)), values)


class BertEncoder(nn.Module):
    """Embeddings, layers, one vector a text, linear head.

    forward: ids int (B, L ≤ places), lengths int (B,), segments int (B, L) or None → float32 logits (B, num_classes),
    or features (B, num_features) when num_classes is 0. Id 0 is padding. `tokens` gives the vector of every token.
    pooling: 'mean' over the tokens or 'first', the paper's pooled class token. unit: features have length 1.
    """

    def __init__(
        self, num_classes: int, vocabulary: int, width: int, depth: int, heads: int, hidden: int, places: int,
        segments: int, dropout: float, pooling: str, unit: bool,
    ) -> None:
        super().__init__()
        if pooling not in POOLINGS:
            raise ValueError(f"expected a pooling among {', '.join(POOLINGS)}, received '{pooling}'")
        self.embeddings = Embeddings(vocabulary, width, places, segments, dropout)
        layers = nn.ModuleList(Layer(width, heads, hidden, dropout) for _ in range(depth))
        self.encoder = nn.ModuleDict({"layer": layers})
        self.pooler: nn.Module = nn.Identity()
        if pooling == "first":
            self.pooler = nn.Sequential(OrderedDict(dense=nn.Linear(width, width), activation=nn.Tanh()))
        self.pooling, self.unit = pooling, unit
        self.num_features = width
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(width, num_classes) if num_classes else nn.Identity()
        for module in self.modules():
            if isinstance(module, nn.Linear | nn.Embedding):
                small_normal_(module.weight)
                if isinstance(module, nn.Linear):
                    nn.init.zeros_(module.bias)
                elif module.padding_idx is not None:
                    nn.init.zeros_(module.weight[module.padding_idx].detach())

    def tokens(
        self, ids: torch.Tensor, lengths: torch.Tensor, segments: torch.Tensor | None = None
    ) -> torch.Tensor:
        """The vector of every token, (B, L, width); what stands at the padding means nothing."""
        seen = length_mask(lengths.clamp(min=1), ids.shape[1])  # an empty text attends to its first padding token
        values = self.embeddings(ids, segments)
        for layer in self.encoder["layer"]:  # type: ignore[attr-defined]
            values = layer(values, seen)
        return values

    def forward(
        self, ids: torch.Tensor, lengths: torch.Tensor, segments: torch.Tensor | None = None
    ) -> torch.Tensor:
        values = self.tokens(ids, lengths, segments)
        if self.pooling == "mean":
            pooled = masked_mean(values, length_mask(lengths, ids.shape[1]))
        else:
            pooled = self.pooler(values[:, 0])
        if self.unit:
            pooled = F.normalize(pooled.float(), dim=1)
        return at_least_float32(self.head(self.dropout(pooled)))


def minilm(
    num_classes: int = 0, vocabulary: int = 30522, places: int = 512, dropout: float = 0.1, pooling: str = "mean",
    unit: bool = False,
) -> BertEncoder:
    """all-MiniLM-L6-v2's shape: 6 layers of 384, 12 heads, 22.6 M parameters; its weights are `all-minilm-l6-v2`.

    unit=True gives sentence vectors as sentence-transformers does, of length 1: their product is the cosine.
    """
    return BertEncoder(num_classes, vocabulary, 384, 6, 12, 1536, places, 2, dropout, pooling, unit)


def bert_base(
    num_classes: int = 0, vocabulary: int = 30522, places: int = 512, dropout: float = 0.1, pooling: str = "first",
) -> BertEncoder:
    """BERT-base: 12 layers of 768, 12 heads, 109.5 M parameters with the pooled class token (the paper: 110 M)."""
    return BertEncoder(num_classes, vocabulary, 768, 12, 12, 3072, places, 2, dropout, pooling, False)


def bert(
    num_classes: int = 2, vocabulary: int = 8192, width: int = 64, depth: int = 2, heads: int = 4, hidden: int = 256,
    places: int = 512, dropout: float = 0.1, pooling: str = "mean",
) -> BertEncoder:
    """A BERT of any size, small by default: for training from scratch or for weights of your own."""
    return BertEncoder(num_classes, vocabulary, width, depth, heads, hidden, places, 2, dropout, pooling, False)


def demo() -> tuple[BertEncoder, tuple[torch.Tensor, ...]]:
    """A two-layer net over 20 tokens and three texts of 7, 3 and 1 tokens."""
    lengths = torch.tensor([7, 3, 1])
    ids = torch.randint(1, 20, (3, 7)) * length_mask(lengths, 7)
    segments = (torch.arange(7) > 2).long().expand(3, 7)
    return bert(num_classes=4, vocabulary=20, width=32, heads=2, hidden=64, places=8), (ids, lengths, segments)
