"""What can continue a text, as members of an answer: n-grams, and a network.

A member's answer to a row is the probability of each token of its text and of the text's end, float64 (tokens + 1,).
The weighted average of two answers is the answer of the average of two models, so an ensemble needs nothing else.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from torch import nn

from gradatim.data.codecs.lossless import LosslessTokens
from gradatim.device import Placement, autocast
from gradatim.errors import ArtifactError
from gradatim.estimators.ngram import BOUNDARY, KneserNey
from gradatim.models.sequence.causal_transformer import Cache
from gradatim.tasks.rebuilt import placed_here, rebuilt
from gradatim.tasks.source import Source

TRANSFORMER = "gradatim.models.sequence.causal_transformer.causal_transformer"
RECURRENT = "gradatim.models.sequence.recurrent_language_model.recurrent_language_model"
NETWORKS = {"transformer": TRANSFORMER, "recurrent": RECURRENT}
MOST_SCORES = 1 << 25  # scores of the next token in memory at once
MOST_PLACES = 1 << 14  # tokens read at once
CHUNK = 256  # tokens that a recurrent network reads at once


class TextReader(Protocol):
    """Texts in the making, a row each: what may come next after what was read so far."""

    def read(self, ids: np.ndarray) -> np.ndarray:
        """Read ids (B, L ≥ 1), the boundary first of all; the probabilities of the next token, float64 (B, V)."""
        ...

    def select(self, rows: np.ndarray) -> "TextReader":
        """The reader of some of the rows, in that order."""
        ...


@dataclass(frozen=True, slots=True)
class NGramMember:
    """n-grams over the tokens of a text column."""

    column: str
    model: KneserNey
    tokens: LosslessTokens

    @property
    def columns(self) -> tuple[str, ...]:
        """The column it looks at."""
        return (self.column,)

    def answer(self, source: Source) -> np.ndarray:
        """The probabilities of each text's tokens and end, object (N,)."""
        return as_objects([self.model.probabilities(ids) for ids in encoded(source, self.column, self.tokens)])

    def begin(self, rows: int) -> "NGramReader":
        """A reader of `rows` texts."""
        return NGramReader(self.model, [-1] * rows)

    def to_state(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """JSON state and arrays."""
        return {"member": "ngram", "column": self.column}, self.model.arrays()

    @classmethod
    def from_state(
        cls, state: Mapping[str, Any], shapes: Mapping[str, tuple[int, ...]], read: Callable[[str], torch.Tensor],
        task: Any,
    ) -> "NGramMember":
        """Read what `to_state` wrote; the arrays are checked."""
        tokens = tokens_of(task)
        model = KneserNey.from_arrays(len(tokens), {name: read(name).numpy() for name in shapes})
        return cls(str(state["column"]), model, tokens)


@dataclass(slots=True)
class NGramReader:
    """nodes: the place of each text in the tree of n-grams, −1 before its start."""

    model: KneserNey
    nodes: list[int]

    def read(self, ids: np.ndarray) -> np.ndarray:
        """See `TextReader`."""
        for row, text in enumerate(ids.tolist()):
            for token in text:
                at = self.nodes[row]
                self.nodes[row] = self.model.start if at < 0 else self.model.advance(at, token)
        return np.stack([self.model.distribution(node) for node in self.nodes])

    def select(self, rows: np.ndarray) -> "NGramReader":
        """See `TextReader`."""
        return NGramReader(self.model, [self.nodes[row] for row in rows])


@dataclass(frozen=True, slots=True)
class LanguageNetwork:
    """A transformer or recurrent network over the tokens of a text column."""

    column: str
    blueprint: dict[str, Any]
    network: nn.Module
    placement: Placement
    tokens: LosslessTokens

    @property
    def columns(self) -> tuple[str, ...]:
        """The column it looks at."""
        return (self.column,)

    def answer(self, source: Source) -> np.ndarray:
        """The probabilities of each text's tokens and end, object (N,)."""
        return as_objects(self.probabilities(encoded(source, self.column, self.tokens)))

    def probabilities(self, texts: Sequence[np.ndarray], *, quick: bool = False) -> list[np.ndarray]:
        """Of each text's tokens and end, float64 (tokens + 1,) each; quick: in the number format of training."""
        training = self.network.training
        self.network.eval()
        placement = self.placement if quick else Placement(self.placement.device)
        try:
            with torch.inference_mode(), autocast(placement):
                if hasattr(self.network, "carried"):
                    return recurrent_probabilities(self.network, texts, self.placement.device)
                return windowed_probabilities(self.network, texts, self.placement.device)
        finally:
            self.network.train(training)

    def begin(self, rows: int) -> "TextReader":
        """A reader of `rows` texts."""
        self.network.eval()
        if hasattr(self.network, "carried"):
            return RecurrentReader(self.network, self.placement.device)
        return TransformerReader(self.network, self.placement.device, np.zeros((rows, 0), np.int64), None)

    def to_state(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """JSON state and tensors."""
        state = {"member": "language-network", "column": self.column, "blueprint": self.blueprint,
                 "placement": self.placement.to_json()}
        return state, dict(self.network.state_dict())

    @classmethod
    def from_state(
        cls, state: Mapping[str, Any], shapes: Mapping[str, tuple[int, ...]], read: Callable[[str], torch.Tensor],
        task: Any,
    ) -> "LanguageNetwork":
        """Build the network on `meta`, compare with the header of the weights, only then take memory and load."""
        tokens, blueprint = tokens_of(task), state["blueprint"]
        if blueprint.get("address") not in NETWORKS.values():
            raise ArtifactError("expected a network of language models, found another")
        arguments = blueprint.get("arguments") or {}
        if arguments.get("vocabulary") != len(tokens) or arguments.get("num_classes") is not None:
            raise ArtifactError(f"expected a network over the run's {len(tokens)} tokens, found another")
        network = rebuilt(blueprint, shapes, read)
        placement = placed_here(Placement.from_json(state["placement"]))
        return cls(str(state["column"]), dict(blueprint), network.to(placement.device).eval(), placement, tokens)


class RecurrentReader:
    """Carries the state of a recurrent network."""

    def __init__(self, network: nn.Module, device: str, state: Any = None) -> None:
        self.network, self.device, self.state = network, device, state

    def read(self, ids: np.ndarray) -> np.ndarray:
        """See `TextReader`."""
        with torch.inference_mode():
            scores, self.state = self.network.carried(  # type: ignore[operator]
                torch.from_numpy(ids).to(self.device), self.state)
            return scores[:, -1].double().softmax(-1).cpu().numpy()

    def select(self, rows: np.ndarray) -> "RecurrentReader":
        """See `TextReader`."""
        chosen = torch.from_numpy(np.asarray(rows, np.int64)).to(self.device)
        state = None if self.state is None else tuple(part.index_select(1, chosen) for part in self.state)
        return RecurrentReader(self.network, self.device, state)


class TransformerReader:
    """Reads with a cache of keys and values. When the context is full, its younger half is read anew as the beginning.

    The windows are those of `windows`, so a text has the same probabilities whether it is scored or generated.
    """

    def __init__(self, network: nn.Module, device: str, kept: np.ndarray, cache: Cache | None) -> None:
        self.network, self.device, self.cache = network, device, cache
        self.kept = kept  # the ids of the window, (B, length)

    def read(self, ids: np.ndarray) -> np.ndarray:
        """See `TextReader`."""
        context = int(self.network.context)  # type: ignore[arg-type]
        shift = context - context // 2
        self.kept = np.concatenate([self.kept, ids], axis=1)
        length = self.kept.shape[1]
        fits = self.cache is not None and self.cache.length + ids.shape[1] <= context and ids.shape[1] == 1
        if not fits:
            over = -(-max(length - context, 0) // shift) * shift
            self.kept, ids = self.kept[:, over:], self.kept[:, over:]
        with torch.inference_mode():
            if self.cache is None:
                self.cache = self.network.begin(len(ids))  # type: ignore[operator]
            if not fits:
                self.cache.length = 0
            scores = self.network.read(torch.from_numpy(ids).to(self.device), self.cache)  # type: ignore[operator]
            return scores.double().softmax(-1).cpu().numpy()

    def select(self, rows: np.ndarray) -> "TransformerReader":
        """See `TextReader`."""
        rows = np.asarray(rows, np.int64)
        cache = None if self.cache is None else self.cache.select(torch.from_numpy(rows).to(self.device))
        return TransformerReader(self.network, self.device, self.kept[rows], cache)


def windows(length: int, context: int) -> list[tuple[int, int, int]]:
    """How a text of `length` tokens is read in windows: (begin, end, first place that is predicted from it).

    The first window predicts all its places; each later one begins half a context further and predicts those that
    the one before did not reach, so each has at least half a context before it.

    >>> windows(10, 4)
    [(0, 4, 0), (2, 6, 4), (4, 8, 6), (6, 10, 8)]
    """
    shift = context - context // 2
    found = [(0, min(length, context), 0)]
    while found[-1][1] < length:
        begin, end, _ = found[-1]
        found.append((begin + shift, min(length, end + shift), end))
    return found


def windowed_probabilities(network: nn.Module, texts: Sequence[np.ndarray], device: str) -> list[np.ndarray]:
    """The probabilities that a network of limited context gives the tokens and ends of texts."""
    whole = [np.concatenate([[BOUNDARY], ids, [BOUNDARY]]) for ids in texts]
    found = [np.empty(len(ids) - 1) for ids in whole]
    parts = [(text, *window) for text, ids in enumerate(whole)
             for window in windows(len(ids) - 1, int(network.context))]  # type: ignore[arg-type]
    parts.sort(key=lambda part: part[2] - part[1])
    for group in groups([end - begin for _, begin, end, _ in parts], int(network.vocabulary)):  # type: ignore[arg-type]
        chosen = [parts[place] for place in group]
        longest = max(end - begin for _, begin, end, _ in chosen)
        ids = np.zeros((len(chosen), longest + 1), np.int64)
        for row, (text, begin, end, _) in enumerate(chosen):
            ids[row, : end - begin + 1] = whole[text][begin : end + 1]
        read = torch.from_numpy(ids).to(device)
        given = taken(network.logits(read[:, :-1]), read[:, 1:])  # type: ignore[operator]
        for row, (text, begin, end, first) in enumerate(chosen):
            found[text][first:end] = given[row, first - begin : end - begin]
    return found


def recurrent_probabilities(network: nn.Module, texts: Sequence[np.ndarray], device: str) -> list[np.ndarray]:
    """The probabilities that a recurrent network gives the tokens and ends of texts, states carried throughout."""
    found: list[np.ndarray] = [np.empty(0)] * len(texts)
    order = sorted(range(len(texts)), key=lambda text: len(texts[text]))
    vocabulary = int(network.vocabulary)  # type: ignore[arg-type]
    for group in groups([min(len(texts[text]) + 1, CHUNK) for text in order], vocabulary):
        chosen = [order[place] for place in group]
        ids = np.zeros((len(chosen), len(texts[chosen[-1]]) + 2), np.int64)
        for row, text in enumerate(chosen):
            ids[row, 1 : 1 + len(texts[text])] = texts[text]
        read = torch.from_numpy(ids).to(device)
        state, given = None, []
        for begin in range(0, ids.shape[1] - 1, CHUNK):
            part = read[:, begin : begin + CHUNK + 1]
            scores, state = network.carried(part[:, :-1], state)  # type: ignore[operator]
            given.append(taken(scores, part[:, 1:]))
        for text, row in zip(chosen, np.concatenate(given, axis=1)):
            found[text] = row[: len(texts[text]) + 1]
    return found


def taken(scores: torch.Tensor, ids: torch.Tensor) -> np.ndarray:
    """The probability of each id (B, L) by scores (B, L, V), float64."""
    of_token = scores.gather(2, ids[:, :, None])[:, :, 0]
    return (of_token - scores.logsumexp(2)).double().exp().cpu().numpy()


def groups(lengths: Sequence[int], vocabulary: int) -> list[range]:
    """Places of rows, ascending in length, that are read together: no group takes too much memory."""
    most = max(min(MOST_PLACES, MOST_SCORES // vocabulary), 1)
    found, begin = [], 0
    for place in range(1, len(lengths) + 1):
        if place == len(lengths) or (place + 1 - begin) * lengths[place] > most:
            found.append(range(begin, place))
            begin = place
    return found


def encoded(source: Source, column: str, tokens: LosslessTokens) -> list[np.ndarray]:
    """The ids of each text; none for a missing cell."""
    return tokens.many("" if cell is None else str(cell) for cell in source.table.cells(column))


def as_objects(values: Sequence[Any]) -> np.ndarray:
    """An object array with an entry a value."""
    found = np.empty(len(values), object)
    for place, value in enumerate(values):
        found[place] = value
    return found


def tokens_of(task: Any) -> LosslessTokens:
    """The tokens of a language model's task."""
    tokens = getattr(task, "tokens", None)
    if not isinstance(tokens, LosslessTokens):
        raise ArtifactError("expected the task of a language model, found another")
    return tokens
