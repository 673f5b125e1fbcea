"""Members of a tagging run that learn by counting: the most frequent tag of each word."""

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from gradatim.errors import ArtifactError
from gradatim.models.outline import finite
from gradatim.tasks.source import Source
from gradatim.tasks.tagging_features import hashed
from gradatim.tasks.tagging_words import as_answers, offsets_of, read_sentences


@dataclass(frozen=True, slots=True)
class WordTable:
    """How often each word (by its hash) had each tag; a word never seen has the shares of words seen once."""

    column: str
    keys: np.ndarray
    shares: np.ndarray  # float32 (words, C)
    unseen: np.ndarray  # (C,)

    @property
    def columns(self) -> tuple[str, ...]:
        """The column of tokens."""
        return (self.column,)

    @classmethod
    def fit(cls, sentences: Sequence[Sequence[str]], tags: Sequence[np.ndarray], classes: int, *,
            column: str = "tokens") -> "WordTable":
        """Count. tags: class numbers (L,) of each sentence."""
        counts: defaultdict[str, Counter[int]] = defaultdict(Counter)
        for sentence, numbers in zip(sentences, tags):
            for word, number in zip(sentence, numbers.tolist()):
                counts[word][number] += 1
        table = np.zeros((len(counts), classes), dtype=np.float32)
        keys = np.array([hashed(word) for word in counts], dtype=np.int64)
        for row, found in enumerate(counts.values()):
            for number, count in found.items():
                table[row, number] = count
        rare = table[table.sum(axis=1) == 1]
        unseen = (rare if len(rare) else table).sum(axis=0).astype(np.float64) + 0.01
        order = np.argsort(keys)
        shares = table / table.sum(axis=1, keepdims=True)
        return cls(column, keys[order], shares[order], unseen / unseen.sum())

    def answer(self, source: Source) -> np.ndarray:
        """Shares (L, C) of each row's tokens, an object array (N,)."""
        return self.shares_of(read_sentences(source.table.cells(self.column)))

    def shares_of(self, sentences: Sequence[Sequence[str]]) -> np.ndarray:
        """The same for lists of tokens."""
        wanted = np.array([hashed(word) for sentence in sentences for word in sentence], dtype=np.int64)
        places = np.minimum(np.searchsorted(self.keys, wanted), max(len(self.keys) - 1, 0))
        found = np.broadcast_to(self.unseen, (len(wanted), len(self.unseen))).copy()
        if len(self.keys):
            known = self.keys[places] == wanted
            found[known] = self.shares[places[known]]
        return as_answers(found, offsets_of(sentences))

    def to_state(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """JSON state and arrays."""
        return ({"member": "word-table", "column": self.column},
                {"keys": self.keys, "shares": self.shares, "unseen": self.unseen})

    @classmethod
    def from_state(
        cls, state: Mapping[str, Any], shapes: Mapping[str, tuple[int, ...]], read: Callable[[str], torch.Tensor],
        task: Any,
    ) -> "WordTable":
        """Rebuild from state."""
        words, classes = shapes.get("keys", (0,))[0], len(task.classes)
        expected = {"keys": (words,), "shares": (words, classes), "unseen": (classes,)}
        if dict(shapes) != expected or not isinstance(state.get("column"), str):
            raise ArtifactError(f"expected a table of words and {classes} tags, found another")
        arrays = {name: finite(name, read(name)).numpy() for name in expected}
        if arrays["keys"].dtype != np.int64:
            raise ArtifactError("expected the words of a table as whole numbers, found others")
        return cls(str(state["column"]), **arrays)
