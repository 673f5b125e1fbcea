"""n-gram language models with interpolated modified Kneser–Ney smoothing, as flat arrays.

The probability of a token after a context is that of the longest context seen, less a discount, plus what the
discounts saved times the probability after the context without its oldest token, down to a uniform distribution
(Chen & Goodman 1999, § 3, with three discounts an order, estimated in closed form). Below the highest order a count
is of different predecessors, not of occurrences (Kneser & Ney 1995): 'Francisco' is frequent and yet follows one word.

The n-grams are a tree: a node is an n-gram, its children the n-grams one token longer, in order of that token.
Children of one node lie side by side, so counts, tokens and first children are three flat arrays; probabilities,
weights of the shorter context and the links to it follow from them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import reduce
from typing import Any, Self

import numpy as np
from numba import njit

from gradatim.errors import ArtifactError, GradatimError

BOUNDARY = 0  # the token before the first of a text and after the last
MOST_NODES = 20_000_000
MOST_ORDER = 16
USUAL_DISCOUNTS = (0.5, 1.0, 1.5)  # where the counts of a small text give none


@dataclass(frozen=True, slots=True)
class KneserNey:
    """An n-gram model over tokens 0 … vocabulary − 1, of which 0 is the boundary of texts.

    levels: nodes of each order, the root first, int64 (order + 1,); tokens, counts, children: of each node, int32
    (nodes,). A text is int (length,) without boundaries; its end is predicted too. `fit` makes one; `from_arrays`
    checks arrays of a stranger.

    >>> model = KneserNey.fit([np.array([1, 2, 1, 2]), np.array([1, 2])], order=2, vocabulary=3)
    >>> model.probabilities(np.array([1])).round(3).tolist()
    [0.708, 0.146]
    """

    vocabulary: int
    levels: np.ndarray
    tokens: np.ndarray
    counts: np.ndarray
    children: np.ndarray
    first: np.ndarray = field(init=False, repr=False, compare=False)
    suffix: np.ndarray = field(init=False, repr=False, compare=False)
    probability: np.ndarray = field(init=False, repr=False, compare=False)
    backoff: np.ndarray = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        first = np.ones(len(self.tokens) + 1, np.int64)
        np.cumsum(self.children, out=first[1:])
        first[1:] += 1
        suffix = _suffixes(self.tokens, first, np.cumsum(self.levels))
        if (suffix < 0).any():
            raise ArtifactError("n-grams: expected the shorter n-grams within each, found one that is not there")
        discounts = np.array([discounts_of(part) for part in self._by_level(self.counts)])
        probability, backoff = _smooth(self.counts, first, suffix, np.cumsum(self.levels), discounts, self.vocabulary)
        for name, value in (("first", first), ("suffix", suffix), ("probability", probability), ("backoff", backoff)):
            object.__setattr__(self, name, value)

    @classmethod
    def fit(cls, texts: Sequence[np.ndarray], *, order: int, vocabulary: int, most_nodes: int = MOST_NODES) -> Self:
        """Count the n-grams of the texts up to `order`; fewer orders where they would be over `most_nodes`."""
        if not 1 <= order <= MOST_ORDER:
            raise GradatimError(f"n-grams: expected an order from 1 to {MOST_ORDER}, received {order}")
        if not len(texts):
            raise GradatimError("n-grams: expected at least one text, received none")
        stream, place = _stream(texts)
        if stream.max() >= vocabulary or stream.min() < 0:
            raise GradatimError(f"n-grams: expected tokens from 0 to {vocabulary - 1}, received others")
        levels, tokens, counts, children = _count(stream, place, order, vocabulary, most_nodes)
        return cls(vocabulary, np.array(levels, np.int64), np.concatenate(tokens).astype(np.int32),
                   np.concatenate(counts).astype(np.int32), np.concatenate(children).astype(np.int32))

    @property
    def order(self) -> int:
        """Tokens of the longest n-grams."""
        return len(self.levels) - 1

    @property
    def start(self) -> int:
        """The node of an empty text."""
        return int(1 + np.searchsorted(self.tokens[1 : 1 + self.levels[1]], BOUNDARY))

    def probabilities(self, text: np.ndarray) -> np.ndarray:
        """Of each token of a text, and of its end: float64 (length + 1,)."""
        ends = np.concatenate([np.asarray(text, np.int64), [BOUNDARY]])
        return _read(self.tokens, self.first, self.suffix, self.probability, self.backoff, self.vocabulary, self.start,
                     ends)[0]

    def advance(self, node: int, token: int) -> int:
        """The node after one more token: the longest context that was seen."""
        return _step(self.tokens, self.first, self.suffix, node, token)

    def read(self, node: int, text: np.ndarray) -> int:
        """The node after some tokens."""
        return reduce(lambda at, token: self.advance(at, int(token)), text, node)

    def distribution(self, node: int) -> np.ndarray:
        """The probability of every token after the context of a node, float64 (vocabulary,); they sum to 1."""
        return _distribution(self.tokens, self.first, self.suffix, self.probability, self.backoff, self.vocabulary,
                             node)

    def arrays(self) -> dict[str, np.ndarray]:
        """What `from_arrays` reads back: counts in the smallest type that holds them; the rest follows from them."""
        kept = {"tokens": self.tokens, "counts": self.counts, "children": self.children}
        return {"levels": self.levels, **{name: _small(value) for name, value in kept.items()}}

    @classmethod
    def from_arrays(cls, vocabulary: int, arrays: Mapping[str, np.ndarray]) -> Self:
        """Build it from arrays that may come from a stranger; ArtifactError for what is no tree of n-grams."""
        try:
            levels = np.asarray(arrays["levels"]).astype(np.int64)
            tokens, counts, children = (
                np.asarray(arrays[name]).astype(np.int32) for name in ("tokens", "counts", "children"))
        except (KeyError, ValueError, TypeError) as error:
            raise ArtifactError(f"n-grams: expected levels, tokens, counts and children; {error!r}") from None
        _check_tree(vocabulary, levels, tokens, counts, children)
        return cls(vocabulary, levels, tokens, counts, children)

    def facts(self) -> dict[str, Any]:
        """Order, n-grams of each order, bytes in memory."""
        parts = (self.tokens, self.counts, self.children, self.first, self.suffix, self.probability, self.backoff)
        return {"order": self.order, "ngrams": self.levels[1:].tolist(), "bytes": sum(part.nbytes for part in parts)}

    def _by_level(self, values: np.ndarray) -> list[np.ndarray]:
        return np.split(values, np.cumsum(self.levels)[:-1])


def discounts_of(counts: np.ndarray) -> tuple[float, float, float]:
    """What is taken off counts of 1, of 2, and of 3 and more (Chen & Goodman 1999, eq. 26).

    >>> [round(taken, 3) for taken in discounts_of(np.repeat([1, 2, 3, 4], [40, 20, 10, 5]))]
    [0.5, 1.25, 2.0]
    """
    once, twice, thrice, more = (int((counts == number).sum()) for number in (1, 2, 3, 4))
    if not (once and twice and thrice and more):
        return USUAL_DISCOUNTS
    share = once / (once + 2 * twice)
    found = (1 - 2 * share * twice / once, 2 - 3 * share * thrice / twice, 3 - 4 * share * more / thrice)
    return found if all(0 < taken < number for number, taken in enumerate(found, 1)) else USUAL_DISCOUNTS


def _stream(texts: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """All texts with their boundaries in one row, int64, and the place of each token in its text."""
    sizes = np.array([len(text) + 2 for text in texts])
    starts = np.cumsum(sizes) - sizes
    stream = np.zeros(sizes.sum(), np.int64)
    place = np.arange(len(stream)) - np.repeat(starts, sizes)
    inner = (place > 0) & (place < np.repeat(sizes, sizes) - 1)
    stream[inner] = np.concatenate([np.asarray(text, np.int64) for text in texts])
    return stream, place


def _count(
    stream: np.ndarray, place: np.ndarray, order: int, vocabulary: int, most_nodes: int
) -> tuple[list[int], list[np.ndarray], list[np.ndarray], list[np.ndarray]]:
    """Nodes a level; tokens, counts and numbers of children by level.

    At each level an n-gram is a pair (number of the n-gram without its last token, last token); counts become those
    of different predecessors when the next level shows them. Nothing precedes the start of a text: n-grams that begin
    there keep their occurrences.
    """
    levels, tokens, counts, children = [1], [np.zeros(1, np.int64)], [np.zeros(1, np.int64)], []
    ids = np.zeros(len(stream), np.int64)  # of the n-gram that ends at each position; the root at first
    begins = np.zeros(1, bool)  # of the level before: n-grams at the start of a text
    for length in range(1, order + 1):
        ends = np.flatnonzero(place >= length - 1)
        key = ids[ends - 1] * vocabulary + stream[ends] if length > 1 else stream
        unique, first, back, occurrences = np.unique(key, return_index=True, return_inverse=True, return_counts=True)
        if sum(levels) + len(unique) > most_nodes and length > 2:
            break
        if length == 1:  # the boundary counts where it is predicted, at the ends
            occurrences = np.bincount(back, weights=place > 0, minlength=len(unique)).astype(np.int64)
        else:
            preceded = np.bincount(ids[ends[first]], minlength=levels[-1])
            counts[-1] = np.where(begins, counts[-1], preceded)
        children.append(np.bincount(unique // vocabulary, minlength=levels[-1]) if length > 1
                        else np.array([len(unique)]))
        begins = (place[ends[first]] == length - 1) & (length > 1)  # the token 0 alone is the end, which is preceded
        following = np.full(len(stream), -1)
        following[ends] = back
        ids = following
        levels.append(len(unique))
        tokens.append(unique % vocabulary)
        counts.append(occurrences)
    children.append(np.zeros(levels[-1], np.int64))
    return levels, tokens, counts, children


def _small(values: np.ndarray) -> np.ndarray:
    """The values as uint8, int16 or int32, whichever holds them."""
    top = int(values.max(initial=0))
    return values.astype(np.uint8 if top < 256 else np.int16 if top < 2**15 else np.int32)


def _check_tree(
    vocabulary: int, levels: np.ndarray, tokens: np.ndarray, counts: np.ndarray, children: np.ndarray
) -> None:
    """Refuse arrays that would lead out of each other, or whose children are out of order."""
    shaped = levels.ndim == tokens.ndim == counts.ndim == children.ndim == 1
    if not shaped or not 2 <= len(levels) <= MOST_ORDER + 1 or levels[0] != 1 or not (levels > 0).all():
        raise ArtifactError("n-grams: expected a root and at least one level of n-grams, found other arrays")
    if not levels.sum() == len(tokens) == len(counts) == len(children) or levels.sum() > 100 * MOST_NODES:
        raise ArtifactError("n-grams: expected as many tokens, counts and children as n-grams, found others")
    bounds = np.cumsum(levels)
    by_level = np.split(children.astype(np.int64), bounds[:-1])
    if (children < 0).any() or [int(part.sum()) for part in by_level] != [*levels[1:].tolist(), 0]:
        raise ArtifactError("n-grams: expected the children to fill the next level, found others")
    good = (tokens >= 0).all() and (tokens < vocabulary).all() and (counts[1:] > 0).all()
    parents = np.repeat(np.arange(len(children)), children)
    rising = (parents[1:] != parents[:-1]) | (tokens[2:] > tokens[1:-1])
    if not good or not rising.all() or tokens[1] != BOUNDARY:
        raise ArtifactError("n-grams: expected known tokens in order and counts from 1, found others")


@njit(cache=True, nogil=True)
def _find(tokens: np.ndarray, first: np.ndarray, node: int, token: int) -> int:
    """The child of a node by its token; −1 where there is none."""
    low, high = first[node], first[node + 1]
    while low < high:
        middle = (low + high) // 2
        if tokens[middle] < token:
            low = middle + 1
        else:
            high = middle
    return low if low < first[node + 1] and tokens[low] == token else -1


@njit(cache=True, nogil=True)
def _suffixes(tokens: np.ndarray, first: np.ndarray, bounds: np.ndarray) -> np.ndarray:
    """The node of each n-gram without its oldest token, int32 (nodes,); −1 where it is missing."""
    suffix = np.zeros(len(tokens), np.int32)
    for node in range(bounds[0], bounds[-2]):  # the children of nodes of length 1 and more
        for child in range(first[node], first[node + 1]):
            suffix[child] = -1 if suffix[node] < 0 else _find(tokens, first, suffix[node], tokens[child])
    return suffix


@njit(cache=True, nogil=True)
def _smooth(
    counts: np.ndarray, first: np.ndarray, suffix: np.ndarray, bounds: np.ndarray, discounts: np.ndarray,
    vocabulary: int,
) -> tuple[np.ndarray, np.ndarray]:
    """p(token | context) of each node, and as a context its weight of the shorter one; twice float32 (nodes,)."""
    probability = np.full(len(counts), 1.0, np.float32)
    backoff = np.ones(len(counts), np.float32)
    level = 0
    for node in range(bounds[-2] if len(bounds) > 1 else 0):
        while node >= bounds[level]:
            level += 1
        total, saved = 0.0, 0.0
        for child in range(first[node], first[node + 1]):
            count = counts[child]
            total += count
            saved += discounts[level + 1, min(count, 3) - 1]
        if total == 0.0:
            continue
        weight = saved / total
        backoff[node] = weight
        for child in range(first[node], first[node + 1]):
            count = counts[child]
            shorter = 1.0 / vocabulary if node == 0 else probability[suffix[child]]
            probability[child] = (count - discounts[level + 1, min(count, 3) - 1]) / total + weight * shorter
    return probability, backoff


@njit(cache=True, nogil=True)
def _step(tokens: np.ndarray, first: np.ndarray, suffix: np.ndarray, node: int, token: int) -> int:
    while True:
        child = _find(tokens, first, node, token)
        if child >= 0:
            return child
        if node == 0:
            return 0
        node = suffix[node]


@njit(cache=True, nogil=True)
def _read(
    tokens: np.ndarray, first: np.ndarray, suffix: np.ndarray, probability: np.ndarray, backoff: np.ndarray,
    vocabulary: int, node: int, text: np.ndarray,
) -> tuple[np.ndarray, int]:
    """The probability of each token of a text read from a node on, and the last node."""
    found = np.empty(len(text))
    for place in range(len(text)):
        weight = 1.0
        while True:
            child = _find(tokens, first, node, text[place])
            if child >= 0:
                found[place] = weight * probability[child]
                node = child
                break
            weight *= backoff[node]
            if node == 0:
                found[place] = weight / vocabulary
                break
            node = suffix[node]
    return found, node


@njit(cache=True, nogil=True)
def _distribution(
    tokens: np.ndarray, first: np.ndarray, suffix: np.ndarray, probability: np.ndarray, backoff: np.ndarray,
    vocabulary: int, node: int,
) -> np.ndarray:
    chain = np.zeros(64, np.int64)
    length = 0
    while node != 0:
        chain[length] = node
        length += 1
        node = suffix[node]
    found = np.full(vocabulary, backoff[0] / vocabulary)
    for child in range(first[0], first[1]):
        found[tokens[child]] = probability[child]
    for place in range(length - 1, -1, -1):
        node = chain[place]
        if first[node] < first[node + 1]:
            found *= backoff[node]
            for child in range(first[node], first[node + 1]):
                found[tokens[child]] = probability[child]
    return found
