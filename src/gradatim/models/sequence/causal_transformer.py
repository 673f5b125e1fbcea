"""A causal transformer: each token is predicted from those before it.

Papers: Radford et al., "Improving Language Understanding by Generative Pre-Training", 2018, and "Language Models are
Unsupervised Multitask Learners", 2019 (GPT-2); Su et al., "RoFormer", 2021 (rotary positions).

The idea: the decoder half of the transformer alone. A token may look at itself and at what came before, never ahead,
so all places of a text are exercises at once in training, and in generation what was computed for earlier tokens never
changes: their keys and values are kept, and a new token costs one place instead of a whole text. The table that turns
tokens to vectors also turns the last vectors into scores of the next token.

What differs from the papers: dropout on what branches add, not on attention; GELU exact, which in bfloat16 on the CPU
is twice as fast as its approximation by tanh; rotary positions by default (queries and keys are turned by an angle
that grows with their place, so that only distances count), 'learned' for GPT-2's; norms and the projections after the
norms without biases; no pretraining. With `num_classes` it classifies by the last token, as GPT-1 was fine-tuned.

What to notice: the cost of a step is that of the weights, the attention adds length · width per token. On a million
characters and a few minutes of two cores an LSTM of equal cost learns faster (docs/language_models.md).
"""

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from gradatim.nn.attention.decode_attention import decode_attention
from gradatim.nn.precision import at_least_float32
from gradatim.nn.small_batch_linear import SmallBatchLinear

POSITIONS = ("rotary", "learned")
PLAIN_LENGTH = 512  # up to which the scores are written out in training on the CPU


@dataclass(slots=True)
class Cache:
    """Keys and values of what was read: (depth, 2, context, B, heads, width / heads), filled up to `length`.

    A head's coordinates stand in pairs that are turned together, which is how complex numbers lie in memory.
    """

    values: torch.Tensor
    weights: list["OneToken"]  # of each block
    length: int = 0

    def select(self, rows: torch.Tensor) -> "Cache":
        """The cache of other rows, as a beam search keeps them: (B′,) row numbers. What is not filled is not copied."""
        shape = list(self.values.shape)
        shape[3] = len(rows)
        chosen = self.values.new_empty(shape)
        chosen[:, :, : self.length] = self.values[:, :, : self.length].index_select(3, rows)
        return Cache(chosen, self.weights, self.length)


@dataclass(frozen=True, slots=True)
class OneToken:
    """A block's norms and matrices as one more token a row is read by them."""

    attention_norm: torch.Tensor
    query_key_value: SmallBatchLinear
    attention_output: SmallBatchLinear
    feed_forward_norm: torch.Tensor
    widen: SmallBatchLinear
    narrow: SmallBatchLinear


class CausalBlock(nn.Module):
    """x + attention(norm(x)) to places not later, then x + feed-forward(norm(x)); (B, L, width) → (B, L, width)."""

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads, self.dropout = heads, dropout
        self.attention_norm = nn.LayerNorm(width, bias=False)
        self.query_key_value = nn.Linear(width, 3 * width, bias=False)
        self.attention_output = nn.Linear(width, width, bias=False)
        self.feed_forward_norm = nn.LayerNorm(width, bias=False)
        self.widen = nn.Linear(width, 4 * width, bias=False)
        self.narrow = nn.Linear(4 * width, width, bias=False)

    def forward(
        self, values: torch.Tensor, turn: tuple[torch.Tensor, torch.Tensor] | None,
        hidden: torch.Tensor | None = None, cache: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """One block; turn: cosine and sine of the places' angles, (L, width / 2) each, None without rotary positions.

        hidden (L, L): −∞ where nothing may be seen; where it is given, the scores are written out by `attend`.
        cache: an empty one's part of this block, which keys and values are written to.
        """
        batch, length, width = values.shape
        query, key, value = self.query_key_value(self.attention_norm(values)).split(width, dim=2)
        if turn is not None:
            query, key = Turn.apply(query, *turn), Turn.apply(key, *turn)
        query, key = by_head(query, self.heads), by_head(key, self.heads)
        value = value.view(batch, length, self.heads, width // self.heads).transpose(1, 2)
        if cache is not None:
            cache[0, :length] = in_pairs(key).permute(2, 0, 1, 3)
            cache[1, :length] = value.permute(2, 0, 1, 3)
        if hidden is None:
            mixed = F.scaled_dot_product_attention(query, key, value, is_causal=length > 1)
        else:
            mixed = attend(query, key, value, hidden)
        mixed = self.attention_output(mixed.transpose(1, 2).reshape(batch, length, width))
        values = values + F.dropout(mixed, self.dropout, self.training)
        wide = F.gelu(self.widen(self.feed_forward_norm(values)))
        return values + F.dropout(self.narrow(wide), self.dropout, self.training)

    def one_token(self, rows: int) -> OneToken:
        """Its weights laid out for one token a row. Queries and keys come out in pairs, as the cache has them."""
        width = self.narrow.weight.shape[0]
        order = torch.arange(width, device=self.narrow.weight.device).view(2, self.heads, -1).permute(1, 2, 0).flatten()
        order = torch.cat([order, order + width, torch.arange(2 * width, 3 * width, device=order.device)])
        return OneToken(self.attention_norm.weight, SmallBatchLinear(self.query_key_value.weight[order], rows),
                        SmallBatchLinear(self.attention_output.weight, rows), self.feed_forward_norm.weight,
                        SmallBatchLinear(self.widen.weight, rows), SmallBatchLinear(self.narrow.weight, rows))


class CausalTransformer(nn.Module):
    """Embedding, causal blocks, a last norm, scores by the embedding's own table.

    logits: ids int (B, L ≤ context) → float32 (B, L, vocabulary), of the token after each place. forward: ids, lengths
    int (B,) → those after the last token of each row, (B, vocabulary); with num_classes its own head (B, num_classes);
    with 0 features (B, num_features). `begin` and `read` generate with a cache.
    """

    def __init__(
        self, num_classes: int | None, vocabulary: int, width: int, heads: int, depth: int, context: int,
        dropout: float, positions: str,
    ) -> None:
        super().__init__()
        if width % heads or (width // heads) % 2:
            raise ValueError(f"expected heads that part the width {width} into even shares, received {heads}")
        if positions not in POSITIONS:
            raise ValueError(f"expected positions among {', '.join(POSITIONS)}, received '{positions}'")
        self.embedding = nn.Embedding(vocabulary, width)
        self.places = nn.Embedding(context, width) if positions == "learned" else None
        self.dropout = nn.Dropout(dropout)
        self.blocks = nn.ModuleList(CausalBlock(width, heads, dropout) for _ in range(depth))
        self.norm = nn.LayerNorm(width, bias=False)
        self.context, self.vocabulary, self.num_features = context, vocabulary, width
        self.num_classes, self.heads = num_classes, heads
        self.head = nn.Linear(width, num_classes) if num_classes else nn.Identity()
        angles = rotary_angles(context, width // heads // 2)
        self.register_buffer("cosine", angles.cos())
        self.register_buffer("sine", angles.sin())
        self.cosine: torch.Tensor
        self.sine: torch.Tensor
        self._start(depth)

    def _start(self, depth: int) -> None:
        """Normal weights of deviation 1 / √width; those that end a branch smaller by √(2 · depth), as in GPT-2."""
        usual = self.num_features ** -0.5
        for name, parameter in self.named_parameters():
            if parameter.dim() >= 2:
                ends = name.endswith(("attention_output.weight", "narrow.weight"))
                nn.init.normal_(parameter, 0.0, usual / math.sqrt(2 * depth) if ends else usual)

    def forward(self, ids: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        """Scores after the last token of each row, or what `num_classes` asks for."""
        last = self.states(ids)[torch.arange(len(ids), device=ids.device), lengths.clamp(min=1) - 1]
        if self.num_classes is None:
            return at_least_float32(F.linear(last, self.embedding.weight))
        return at_least_float32(self.head(last))

    def logits(self, ids: torch.Tensor) -> torch.Tensor:
        """Scores of the token after each place, float32 (B, L, vocabulary)."""
        return at_least_float32(F.linear(self.states(ids), self.embedding.weight))

    def states(self, ids: torch.Tensor, cache: Cache | None = None) -> torch.Tensor:
        """The last vectors, (B, L, width); an empty cache takes keys and values."""
        length = ids.shape[1]
        if length > self.context:
            raise ValueError(f"expected at most {self.context} tokens, received {length}")
        values = self.embedding(ids)
        turn = None
        if self.places is not None:
            values = values + self.places.weight[:length]
        else:
            turn = (self.cosine[:length].repeat(1, self.heads), self.sine[:length].repeat(1, self.heads))
        values = self.dropout(values)
        hidden = None
        if cache is None and length <= PLAIN_LENGTH and torch.is_grad_enabled() and values.device.type == "cpu":
            hidden = torch.full((length, length), float("-inf")).triu(1)
        for number, block in enumerate(self.blocks):
            values = block(values, turn, hidden, None if cache is None else cache.values[number])
        if cache is not None:
            cache.length = length
        return self.norm(values)

    @torch.no_grad()
    def begin(self, rows: int) -> Cache:
        """An empty cache for `rows` texts; the weights must not change while it is used."""
        weight = self.embedding.weight
        shape = (len(self.blocks), 2, self.context, rows, self.heads, self.num_features // self.heads)
        laid = [block.one_token(rows) for block in self.blocks]  # type: ignore[operator]
        return Cache(torch.empty(shape, dtype=weight.dtype, device=weight.device), laid)

    @torch.no_grad()
    def read(self, ids: torch.Tensor, cache: Cache) -> torch.Tensor:
        """Read ids (B, L) after what the cache holds: float32 scores of the next token (B, vocabulary).

        L > 1 only into an empty cache.
        """
        if ids.shape[1] > 1 and cache.length:
            raise ValueError("expected one token, or an empty cache")
        last = self.states(ids, cache)[:, -1] if ids.shape[1] > 1 else self._one(ids[:, 0], cache)
        return at_least_float32(F.linear(last, self.embedding.weight))

    def _one(self, ids: torch.Tensor, cache: Cache) -> torch.Tensor:
        """The last vectors of one more token for each row, ids (B,): what `states` does, with few calls."""
        place = cache.length
        if place >= self.context:
            raise ValueError(f"expected at most {self.context} tokens, received {place + 1}")
        values = self.embedding.weight[ids]
        batch, width = values.shape
        shape = (batch, 2, self.heads, width // self.heads // 2)
        angle = torch.complex(self.cosine[place], self.sine[place])
        if self.places is not None:
            values = values + self.places.weight[place]
        for kept, own in zip(cache.values, cache.weights):
            parts = own.query_key_value(F.layer_norm(values, (width,), own.attention_norm))
            query_key = parts[:, : 2 * width]
            if self.places is None:  # a turn is a product of complex numbers (Su et al. 2021, eq. 12)
                query_key = torch.view_as_real(torch.view_as_complex(query_key.view(*shape, 2)) * angle)
            query_key = query_key.view(batch, 2, self.heads, -1)
            kept[0, place] = query_key[:, 1]
            kept[1, place] = parts[:, 2 * width :].view(batch, self.heads, -1)
            keys, seen = kept[:, : place + 1].flatten(2, 3)
            mixed = decode_attention(query_key[:, 0].reshape(keys.shape[1:]), keys, seen)
            values = own.attention_output.added(mixed.view(batch, width), values)
            wider = own.widen.gelu(F.layer_norm(values, (width,), own.feed_forward_norm))
            values = own.narrow.added(wider, values)
        cache.length += 1
        return self.norm(values)


def attend(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, hidden: torch.Tensor) -> torch.Tensor:
    """softmax(QKᵀ / √d + hidden) V with the scores written out; query, key, value (B, H, L, d), hidden (L, L).

    On the CPU two to four times as fast, gradient included, as torch's fused attention at up to 256 places.
    """
    batch, heads, length, size = query.shape
    query, key, value = (part.reshape(batch * heads, length, size) for part in (query, key, value))
    scores = torch.baddbmm(hidden.to(query.dtype), query, key.mT, alpha=1 / math.sqrt(size))
    return (scores.softmax(-1).to(value.dtype) @ value).view(batch, heads, length, size)


def rotary_angles(length: int, pairs: int) -> torch.Tensor:
    """The angle of each place and pair of coordinates of a head, (length, pairs): place · 10000^(−i/pairs)."""
    rate = 10000.0 ** (-torch.arange(pairs, dtype=torch.float32) / pairs)
    return torch.arange(length, dtype=torch.float32)[:, None] * rate


def by_head(values: torch.Tensor, heads: int) -> torch.Tensor:
    """(B, L, width) → (B, heads, L, width / heads); the first halves of all heads lie before the second halves."""
    batch, length, width = values.shape
    parts = values.view(batch, length, 2, heads, width // heads // 2)
    return parts.permute(0, 3, 1, 2, 4).reshape(batch, heads, length, width // heads)


def in_pairs(values: torch.Tensor) -> torch.Tensor:
    """The coordinates (…, d) of a head, its first half before its second, as pairs of both: as `Cache` keeps them."""
    return values.unflatten(-1, (2, -1)).mT.flatten(-2)


class Turn(torch.autograd.Function):
    """`rotate` with its gradient, which is turning back: nothing of the values is kept."""

    @staticmethod
    def forward(context: Any, values: torch.Tensor, cosine: torch.Tensor, sine: torch.Tensor) -> torch.Tensor:
        context.save_for_backward(cosine, sine)
        return rotate(values, cosine, sine)

    @staticmethod
    def backward(context: Any, gradient: torch.Tensor) -> tuple[torch.Tensor, None, None]:  # type: ignore[override]
        cosine, sine = context.saved_tensors
        return rotate(gradient, cosine, -sine), None, None


def rotate(values: torch.Tensor, cosine: torch.Tensor, sine: torch.Tensor) -> torch.Tensor:
    """Turn pairs (i, i + half) of the last axis by the angle of their place (Su et al. 2021, eq. 34).

    values (…, L, width); cosine, sine (L, width / 2). Products of two turned vectors hang on the distance of their
    places alone. The halves are those of all heads together: long rows of memory.
    """
    half = values.shape[-1] // 2
    low, high = values[..., :half], values[..., half:]
    cosine, sine = cosine.to(values.dtype), sine.to(values.dtype)
    return torch.cat([low * cosine - high * sine, high * cosine + low * sine], dim=-1)


def causal_transformer(
    num_classes: int | None = None, vocabulary: int = 256, width: int = 128, heads: int = 4, depth: int = 4,
    context: int = 128, dropout: float = 0.0, positions: str = "rotary",
) -> CausalTransformer:
    """A GPT-like language model over `vocabulary` tokens; a classifier or encoder of texts with num_classes."""
    return CausalTransformer(num_classes, vocabulary, width, heads, depth, context, dropout, positions)


def demo() -> tuple[CausalTransformer, tuple[torch.Tensor, ...]]:
    """A two-block net over 20 tokens and three texts of 7, 3 and 1 tokens."""
    lengths = torch.tensor([7, 3, 1])
    return causal_transformer(vocabulary=20, width=32, heads=2, depth=2, context=8), (
        torch.randint(0, 20, (3, 7)), lengths)
