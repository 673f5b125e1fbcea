"""What a translator has to beat: the source itself, the nearest pair of the training rows, a table of words.

All write texts for texts, hide literals behind markers and put them back (gradatim.data.placeholders), and answer an
empty text for a missing one.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from gradatim.data.placeholders import hide, hide_known, restore
from gradatim.errors import ArtifactError
from gradatim.estimators.alignment import WordTable, fit_word_table, words_of
from gradatim.estimators.features.text import TfidfFeatures
from gradatim.models.outline import finite, whole
from gradatim.tasks.source import Source
from gradatim.tasks.translation_batches import text_of

ENDS = re.compile(r"(?<=[.!?…。！？])[\"'”»)]*\s+")
CHUNK = 256  # texts that are searched for at once
MOST_WORDS_TAUGHT = 6_000_000  # of both sides: the table of words is fitted on an even choice beyond

Read = Callable[[str], torch.Tensor]


def answered(texts: Sequence[str]) -> np.ndarray:
    """Texts as an answer, object (N,)."""
    answer = np.empty(len(texts), dtype=object)
    answer[:] = list(texts)
    return answer


def texts_of(source: Source, column: str) -> list[str]:
    """The cells of a column as texts; a missing one is empty."""
    return [text_of(cell) or "" for cell in source.table.cells(column)]


@dataclass(frozen=True, slots=True)
class Copier:
    """The source as it is, or its first `sentences`: what a summary has to beat."""

    column: str
    sentences: int | None = None

    @property
    def columns(self) -> tuple[str, ...]:
        """The column it looks at."""
        return (self.column,)

    def write(self, texts: Sequence[str]) -> list[str]:
        """The texts, or their beginnings."""
        if self.sentences is None:
            return list(texts)
        return [lead(text, self.sentences) for text in texts]

    def answer(self, source: Source) -> np.ndarray:
        """Texts, object (N,)."""
        return answered(self.write(texts_of(source, self.column)))

    def to_state(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """JSON state and arrays."""
        return {"member": "copier", "column": self.column, "sentences": self.sentences}, {}

    @classmethod
    def from_state(cls, state: Mapping[str, Any], shapes: Mapping[str, Any], read: Read, task: Any) -> "Copier":
        """Rebuild from state."""
        sentences = state["sentences"]
        return cls(str(state["column"]), None if sentences is None else int(sentences))


def lead(text: str, sentences: int) -> str:
    """The first sentences of a text.

    >>> lead("It rained. We stayed in! Why not?", 2)
    'It rained. We stayed in!'
    """
    end = 0
    for found in list(ENDS.finditer(text))[:sentences]:
        end = found.start()
    return text[:end] if end and len(ENDS.findall(text)) >= sentences else text


def pack(texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """Texts as bytes, uint8, and where each ends, int64."""
    encoded = [text.encode("utf-8", "replace") for text in texts]
    ends = np.cumsum([0, *(len(part) for part in encoded)])[1:].astype(np.int64)
    return np.frombuffer(b"".join(encoded) or b" ", dtype=np.uint8).copy(), ends


def unpack(content: torch.Tensor, ends: torch.Tensor) -> list[str]:
    """What `pack` packed; ArtifactError where the ends do not fit."""
    if content.dtype != torch.uint8:
        raise ArtifactError(f"expected texts as bytes, found {content.dtype}; fit again")
    data, places = content.numpy().tobytes(), whole("ends", ends, 0).ravel().tolist()
    if not places or any(low > high for low, high in zip([0, *places], places)) or places[-1] > len(data):
        raise ArtifactError("expected texts whose ends ascend within their bytes, found others; fit again")
    return [data[low:high].decode("utf-8", "replace") for low, high in zip([0, *places], places)]


@dataclass(frozen=True, slots=True)
class PairMemory:
    """A translation memory: the translation of the most similar source text, by the cosine of TF-IDF rows.

    sources, targets: pairs with their literals hidden. Of equally similar ones the first. The index is built when it
    is first asked.
    """

    column: str
    sources: tuple[str, ...]
    targets: tuple[str, ...]
    _index: dict[str, Any] = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def fit(cls, column: str, sources: Sequence[str], targets: Sequence[str]) -> "PairMemory":
        """Remember the pairs."""
        hidden = [hide(source) for source in sources]
        known = tuple(hide_known(target, one.literals) for target, one in zip(targets, hidden))
        return cls(column, tuple(one.text for one in hidden), known)

    @property
    def columns(self) -> tuple[str, ...]:
        """The column it looks at."""
        return (self.column,)

    def nearest(self, texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        """The most similar pair of each text with hidden literals, int64 (N,), and the cosine, (N,)."""
        if not self._index:
            features = TfidfFeatures(min_texts=1)
            self._index.update(features=features, rows=features.fit_transform(self.sources))
        features, rows = self._index["features"], self._index["rows"]
        length = np.sqrt(np.asarray(rows.multiply(rows).sum(axis=1)).ravel())
        found, closeness = np.zeros(len(texts), np.int64), np.zeros(len(texts))
        for start in range(0, len(texts), CHUNK):
            asked = features.transform(texts[start : start + CHUNK])
            own = np.sqrt(np.asarray(asked.multiply(asked).sum(axis=1)).ravel())
            products = (asked @ rows.T).tocsr()
            for place in range(products.shape[0]):
                span = slice(products.indptr[place], products.indptr[place + 1])
                near, values = products.indices[span], products.data[span]
                if len(near):
                    cosines = values / np.maximum(length[near] * own[place], 1e-9)
                    best = np.lexsort((near, -cosines.round(6)))[0]
                    found[start + place], closeness[start + place] = near[best], cosines[best]
        return found, closeness

    def write(self, texts: Sequence[str]) -> list[str]:
        """The translation of the nearest pair, with the text's own literals; an unlike text is copied."""
        hidden = [hide(text) for text in texts]
        found, closeness = self.nearest([one.text for one in hidden])
        return [restore(self.targets[place], one.literals) if near > 0 else text
                for text, one, place, near in zip(texts, hidden, found, closeness)]

    def answer(self, source: Source) -> np.ndarray:
        """Texts, object (N,)."""
        return answered(self.write(texts_of(source, self.column)))

    def to_state(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """JSON state and arrays."""
        arrays = {}
        for name, texts in (("sources", self.sources), ("targets", self.targets)):
            arrays[f"{name}.bytes"], arrays[f"{name}.ends"] = pack(texts)
        return {"member": "pair-memory", "column": self.column}, arrays

    @classmethod
    def from_state(cls, state: Mapping[str, Any], shapes: Mapping[str, Any], read: Read, task: Any) -> "PairMemory":
        """Rebuild from state."""
        sources, targets = (tuple(unpack(read(f"{name}.bytes"), read(f"{name}.ends")))
                            for name in ("sources", "targets"))
        if len(sources) != len(targets):
            raise ArtifactError(f"expected as many targets as sources, found {len(targets)} and {len(sources)}")
        return cls(str(state["column"]), sources, targets)


@dataclass(frozen=True, slots=True)
class WordByWord:
    """Each word by its most probable translation (IBM model 1), in the source's order."""

    column: str
    table: WordTable

    @classmethod
    def fit(cls, column: str, sources: Sequence[str], targets: Sequence[str]) -> "WordByWord":
        """Fit the table by EM."""
        pairs = []
        for source, target in zip(sources, targets):
            hidden = hide(source)
            pairs.append((words_of(hidden.text), words_of(hide_known(target, hidden.literals))))
        step = -(-sum(len(left) + len(right) for left, right in pairs) // MOST_WORDS_TAUGHT)
        taught = [pair for pair in pairs[::step] if pair[0] and pair[1]]
        return cls(column, fit_word_table([pair[0] for pair in taught], [pair[1] for pair in taught]))

    @property
    def columns(self) -> tuple[str, ...]:
        """The column it looks at."""
        return (self.column,)

    def write(self, texts: Sequence[str]) -> list[str]:
        """The texts word for word."""
        hidden = [hide(text) for text in texts]
        return [restore(self.table.write(one.text), one.literals) for one in hidden]

    def answer(self, source: Source) -> np.ndarray:
        """Texts, object (N,)."""
        return answered(self.write(texts_of(source, self.column)))

    def to_state(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """JSON state and arrays."""
        table = self.table
        arrays: dict[str, Any] = {"starts": table.starts, "codes": table.codes, "shares": table.shares}
        for name, texts in (("sources", table.sources), ("targets", table.targets)):
            arrays[f"{name}.bytes"], arrays[f"{name}.ends"] = pack(texts)
        return {"member": "word-by-word", "column": self.column}, arrays

    @classmethod
    def from_state(cls, state: Mapping[str, Any], shapes: Mapping[str, Any], read: Read, task: Any) -> "WordByWord":
        """Rebuild from state."""
        sources, targets = (tuple(unpack(read(f"{name}.bytes"), read(f"{name}.ends")))
                            for name in ("sources", "targets"))
        starts, codes = whole("starts", read("starts")), whole("codes", read("codes"))
        shares = finite("shares", read("shares")).numpy()
        fits = (len(starts) == len(sources) + 1 and starts[0] == 0 and starts[-1] == len(codes) == len(shares)
                and bool((np.diff(starts) >= 0).all()) and bool(((codes >= 0) & (codes < len(targets))).all()))
        if not fits:
            raise ArtifactError("expected a table of words whose parts fit together, found another; fit again")
        return cls(str(state["column"]), WordTable(sources, starts, targets, codes, shares))
