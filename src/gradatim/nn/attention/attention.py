"""Attention: scaled dot-product over several heads, to oneself and to another sequence, and the Transformer's blocks.

Vaswani et al. 2017, eq. 1: softmax(Q Kᵀ / √d) V. Masks are True where a key may be seen: padding never is, and under
`causal` no query sees a later key. A key-value cache keeps what earlier steps computed, for writing token by token.

Norms stand before each branch (Xiong et al. 2020: trains without warm-up) or after it (the paper, BERT): `norm_first`.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional as F

from gradatim.nn.attention.mask import masked_softmax
from gradatim.nn.attention.positions import RotaryPositions
from gradatim.nn.attention.positions import sinusoidal_positions as sinusoidal_positions  # its old place

KeysValues = tuple[torch.Tensor, torch.Tensor]
ACTIVATIONS = {"gelu": nn.GELU, "relu": nn.ReLU}


def visible(
    queries: int, keys: int, mask: torch.Tensor | None, *, causal: bool, device: torch.device | None = None
) -> torch.Tensor | None:
    """Which keys each query may see: bool, broadcast over (B, heads, queries, keys); None where all may be seen.

    mask: bool (B, keys), or (B, queries, keys). The last query stands at the last key, as with a cache.

    >>> visible(2, 3, torch.tensor([[False, True, True]]), causal=True)[0, 0].int().tolist()
    [[0, 1, 0], [0, 1, 1]]
    """
    seen = None if mask is None else mask[:, None, None, :] if mask.dim() == 2 else mask[:, None]
    if not causal or queries == 1:  # one query at the last place: nothing lies after it
        return seen
    place = torch.arange(keys, device=device if mask is None else mask.device)
    past = place[None, :] <= place[keys - queries :, None]
    return past if seen is None else seen & past


def attend(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, mask: torch.Tensor | None = None, *,
    causal: bool = False, dropout: float = 0.0,
) -> torch.Tensor:
    """Scaled dot-product attention: query (B, heads, Q, d), key and value (B, heads, K, d) → (B, Q, heads · d).

    mask: as `visible` takes it. A query that may see no key gets zeros.
    """
    queries, keys = query.shape[2], key.shape[2]
    if mask is None and causal and queries == keys:
        mixed = F.scaled_dot_product_attention(query, key, value, dropout_p=dropout, is_causal=True)
    else:
        seen = visible(queries, keys, mask, causal=causal, device=query.device)
        mixed = F.scaled_dot_product_attention(query, key, value, attn_mask=seen, dropout_p=dropout)
    return mixed.transpose(1, 2).flatten(2)


def attention_weights(
    query: torch.Tensor, key: torch.Tensor, mask: torch.Tensor | None = None, *, causal: bool = False
) -> torch.Tensor:
    """The weights that `attend` mixes by, float32 (B, heads, Q, K), for pictures of what looks where."""
    scores = (query @ key.transpose(2, 3)).float() / query.shape[3] ** 0.5
    seen = visible(query.shape[2], key.shape[2], mask, causal=causal, device=query.device)
    if seen is None:
        return scores.softmax(3)
    return scores.masked_fill(~seen, torch.finfo(torch.float32).min).softmax(3) * seen


@dataclass(slots=True)
class KeyValueCache:
    """Keys and values of one layer for the places read so far, in buffers that never grow.

    keys, values: (B, heads, most, d), filled up to `length`.

    >>> cache = KeyValueCache.empty(1, 2, 8, 4)
    >>> seen, _ = cache.extend(torch.ones(1, 2, 3, 4), torch.ones(1, 2, 3, 4))
    >>> tuple(seen.shape), cache.length
    ((1, 2, 3, 4), 3)
    """

    keys: torch.Tensor
    values: torch.Tensor
    length: int = 0

    @classmethod
    def empty(
        cls, batch: int, heads: int, most: int, head_width: int, *, dtype: torch.dtype = torch.float32,
        device: torch.device | str | None = None,
    ) -> "KeyValueCache":
        """Room for `most` places."""
        shape = (batch, heads, most, head_width)
        return cls(torch.zeros(shape, dtype=dtype, device=device), torch.zeros(shape, dtype=dtype, device=device))

    def extend(self, keys: torch.Tensor, values: torch.Tensor) -> KeysValues:
        """Write further places; returns views of all that is known. ValueError where there is no room."""
        end = self.length + keys.shape[2]
        if end > self.keys.shape[2]:
            raise ValueError(f"expected at most {self.keys.shape[2]} places in the cache, received {end}")
        self.keys[:, :, self.length : end] = keys
        self.values[:, :, self.length : end] = values
        self.length = end
        return self.keys[:, :, :end], self.values[:, :, :end]

    def reorder(self, rows: torch.Tensor) -> None:
        """Row i becomes what row rows[i] was, int (B',): beams that are followed on, or rows copied for more beams."""
        if len(rows) == len(self.keys):
            for buffer in (self.keys, self.values):
                buffer[:, :, : self.length] = buffer[rows, :, : self.length]
        else:
            self.keys, self.values = self.keys[rows], self.values[rows]

    def rewind(self, length: int = 0) -> None:
        """Forget the places from `length` on."""
        self.length = min(length, self.length)


def reorder_caches(caches: Sequence[KeyValueCache], rows: torch.Tensor) -> None:
    """`KeyValueCache.reorder` on every layer's cache."""
    for cache in caches:
        cache.reorder(rows)


def head_width_of(width: int, heads: int) -> int:
    """Width of a head; ValueError where the heads do not divide the width."""
    if width % heads:
        raise ValueError(f"expected heads that divide the width {width}, received {heads}")
    return width // heads


class SelfAttention(nn.Module):
    """Multi-head attention of a sequence to itself: (B, L, width) → (B, L, width).

    mask: bool (B, keys) or (B, L, keys), True where a key may be seen; keys counts those in the cache as well. With a
    cache the places go on from where it ends. Right padding needs no mask under `causal`: it lies in the future of
    all content.
    """

    def __init__(self, width: int, heads: int, dropout: float = 0.0, *, causal: bool = False) -> None:
        super().__init__()
        self.head_width = head_width_of(width, heads)
        self.heads, self.dropout, self.causal = heads, dropout, causal
        self.query_key_value = nn.Linear(width, 3 * width)
        self.output = nn.Linear(width, width)

    def forward(
        self, values: torch.Tensor, mask: torch.Tensor | None = None, *, rotary: RotaryPositions | None = None,
        cache: KeyValueCache | None = None,
    ) -> torch.Tensor:
        query, key, value = self._project(values, rotary, 0 if cache is None else cache.length)
        if cache is not None:
            key, value = cache.extend(key, value)
        dropout = self.dropout if self.training else 0.0
        return self.output(attend(query, key, value, mask, causal=self.causal, dropout=dropout))

    def weights(
        self, values: torch.Tensor, mask: torch.Tensor | None = None, *, rotary: RotaryPositions | None = None
    ) -> torch.Tensor:
        """What each place looks at: float32 (B, heads, L, L)."""
        query, key, _ = self._project(values, rotary, 0)
        return attention_weights(query, key, mask, causal=self.causal)

    def cache(self, batch: int, most: int) -> KeyValueCache:
        """An empty cache of this layer's shape and place, in the dtype that the products come in."""
        return _cache_like(self.output.weight, batch, self.heads, most, self.head_width)

    def _project(
        self, values: torch.Tensor, rotary: RotaryPositions | None, start: int
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        batch, length, _ = values.shape
        parts = self.query_key_value(values).view(batch, length, 3, self.heads, self.head_width)
        query, key, value = parts.permute(2, 0, 3, 1, 4).unbind(0)
        return (query, key, value) if rotary is None else (rotary(query, start), rotary(key, start), value)


class MultiHeadAttention(nn.Module):
    """Multi-head attention to another sequence: (B, Q, width), memory (B, K, memory width) → (B, Q, width).

    memory: the other sequence; its keys and values as `remember` gives them, computed once for many queries; or None,
    the queries themselves. mask: bool (B, K) or (B, Q, K), True where a key may be seen.
    """

    def __init__(
        self, width: int, heads: int, dropout: float = 0.0, *, memory_width: int | None = None, causal: bool = False
    ) -> None:
        super().__init__()
        self.head_width = head_width_of(width, heads)
        self.heads, self.dropout, self.causal = heads, dropout, causal
        self.query = nn.Linear(width, width)
        self.key = nn.Linear(memory_width or width, width, bias=False)  # softmax is blind to what all keys share
        self.value = nn.Linear(memory_width or width, width)
        self.output = nn.Linear(width, width)

    def forward(
        self, values: torch.Tensor, memory: torch.Tensor | KeysValues | None = None,
        mask: torch.Tensor | None = None, *, rotary: RotaryPositions | None = None,
        cache: KeyValueCache | None = None,
    ) -> torch.Tensor:
        """rotary and cache are for attention to oneself: another sequence has no common places and is remembered."""
        query, (key, value) = self._project(values, memory, rotary, 0 if cache is None else cache.length)
        if cache is not None:
            key, value = cache.extend(key, value)
        dropout = self.dropout if self.training else 0.0
        return self.output(attend(query, key, value, mask, causal=self.causal, dropout=dropout))

    def remember(self, memory: torch.Tensor) -> KeysValues:
        """Keys and values of a memory, each (B, heads, K, d)."""
        return self._split(self.key(memory)), self._split(self.value(memory))

    def weights(
        self, values: torch.Tensor, memory: torch.Tensor | KeysValues | None = None,
        mask: torch.Tensor | None = None, *, rotary: RotaryPositions | None = None,
    ) -> torch.Tensor:
        """What each query looks at: float32 (B, heads, Q, K)."""
        query, (key, _) = self._project(values, memory, rotary, 0)
        return attention_weights(query, key, mask, causal=self.causal)

    def cache(self, batch: int, most: int) -> KeyValueCache:
        """An empty cache of this layer's shape and place."""
        return _cache_like(self.output.weight, batch, self.heads, most, self.head_width)

    def _project(
        self, values: torch.Tensor, memory: torch.Tensor | KeysValues | None, rotary: RotaryPositions | None,
        start: int,
    ) -> tuple[torch.Tensor, KeysValues]:
        query = self._split(self.query(values))
        if isinstance(memory, tuple):
            return query, memory
        key, value = self.remember(values if memory is None else memory)
        return (query, (key, value)) if rotary is None else (rotary(query, start), (rotary(key, start), value))

    def _split(self, values: torch.Tensor) -> torch.Tensor:
        return values.unflatten(2, (self.heads, self.head_width)).transpose(1, 2)


def _cache_like(weight: torch.Tensor, batch: int, heads: int, most: int, head_width: int) -> KeyValueCache:
    kind = weight.device.type
    dtype = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else weight.dtype
    return KeyValueCache.empty(batch, heads, most, head_width, dtype=dtype, device=weight.device)


def feed_forward_of(width: int, expansion: int, dropout: float, activation: str) -> nn.Sequential:
    """Norm, wide layer, activation, dropout, narrow layer; where norms come last, the first is applied at the end."""
    if activation not in ACTIVATIONS:
        raise ValueError(f"expected an activation among {', '.join(ACTIVATIONS)}, received '{activation}'")
    return nn.Sequential(
        nn.LayerNorm(width), nn.Linear(width, expansion * width), ACTIVATIONS[activation](), nn.Dropout(dropout),
        nn.Linear(expansion * width, width),
    )


def _digest(layers: nn.Sequential, values: torch.Tensor, dropout: nn.Module, norm_first: bool) -> torch.Tensor:
    """The feed-forward branch with its residual."""
    if norm_first:
        return values + dropout(layers(values))
    norm, *rest = layers
    digested = values
    for layer in rest:
        digested = layer(digested)
    return norm(values + dropout(digested))


class TransformerBlock(nn.Module):
    """x + attention(norm(x)), then x + feed-forward(norm(x)), the latter `expansion` times as wide inside.

    norm_first=False: norm(x + attention(x)), then norm(x + feed-forward(x)). `causal` makes it a decoder without a
    memory, as language models have.
    """

    def __init__(
        self, width: int, heads: int, *, expansion: int = 4, dropout: float = 0.0, norm_first: bool = True,
        causal: bool = False, activation: str = "gelu",
    ) -> None:
        super().__init__()
        self.norm_first = norm_first
        self.attention_norm = nn.LayerNorm(width)
        self.attention = SelfAttention(width, heads, dropout, causal=causal)
        self.feed_forward = feed_forward_of(width, expansion, dropout, activation)
        self.dropout = nn.Dropout(dropout)

    def forward(
        self, values: torch.Tensor, mask: torch.Tensor | None = None, *, rotary: RotaryPositions | None = None,
        cache: KeyValueCache | None = None,
    ) -> torch.Tensor:
        if self.norm_first:
            seen = self.attention(self.attention_norm(values), mask, rotary=rotary, cache=cache)
            values = values + self.dropout(seen)
        else:
            seen = self.attention(values, mask, rotary=rotary, cache=cache)
            values = self.attention_norm(values + self.dropout(seen))
        return _digest(self.feed_forward, values, self.dropout, self.norm_first)


class DecoderBlock(nn.Module):
    """Causal attention to what was written, attention to the memory that was read, feed-forward, each with a residual.

    forward: values (B, T, width), memory (B, S, memory width) or its `remember`ed keys and values, mask bool over the
    written tokens (none is needed where padding stands at the end), memory_mask bool (B, S) → (B, T, width).
    """

    def __init__(
        self, width: int, heads: int, *, memory_width: int | None = None, expansion: int = 4, dropout: float = 0.0,
        norm_first: bool = True, activation: str = "gelu",
    ) -> None:
        super().__init__()
        self.norm_first = norm_first
        self.attention_norm = nn.LayerNorm(width)
        self.attention = SelfAttention(width, heads, dropout, causal=True)
        self.cross_norm = nn.LayerNorm(width)
        self.cross_attention = MultiHeadAttention(width, heads, dropout, memory_width=memory_width)
        self.feed_forward = feed_forward_of(width, expansion, dropout, activation)
        self.dropout = nn.Dropout(dropout)

    def forward(
        self, values: torch.Tensor, memory: torch.Tensor | KeysValues, mask: torch.Tensor | None = None,
        memory_mask: torch.Tensor | None = None, *, rotary: RotaryPositions | None = None,
        cache: KeyValueCache | None = None,
    ) -> torch.Tensor:
        if self.norm_first:
            seen = self.attention(self.attention_norm(values), mask, rotary=rotary, cache=cache)
            values = values + self.dropout(seen)
            values = values + self.dropout(self.cross_attention(self.cross_norm(values), memory, memory_mask))
        else:
            seen = self.attention(values, mask, rotary=rotary, cache=cache)
            values = self.attention_norm(values + self.dropout(seen))
            values = self.cross_norm(values + self.dropout(self.cross_attention(values, memory, memory_mask)))
        return _digest(self.feed_forward, values, self.dropout, self.norm_first)


class AttentionPool(nn.Module):
    """A weighted mean whose weights are learned, one set a head: (B, L, width), mask (B, L) → (B, width).

    Each head weighs its own slice of the width (Yang et al. 2016, eq. 5–7 with a linear score). A row without content
    gives zeros.
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        if width % heads:
            raise ValueError(f"expected heads that divide the width {width}, received {heads}")
        self.heads = heads
        self.score = nn.Linear(width, heads)

    def forward(self, values: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        batch, length, width = values.shape
        weights = masked_softmax(self.score(values), mask).to(values.dtype)
        slices = values.view(batch, length, self.heads, width // self.heads)
        return (weights[..., None] * slices).sum(1).reshape(batch, width)
