"""Word2vec: vectors of words learned from which words stand near each other (skip-gram with negative sampling).

Objective, to be minimised, for each word w and each word c within the window around it:
−ln σ(v_w · u_c) − Σ ln σ(−v_w · u_n) over `negative` words n drawn in proportion to count^0.75. Words that are
frequent are left out at random, kept with probability √(t / f) + t / f for share f of the text. The gradient steps are
taken pair by pair with a rate that falls linearly to zero.
What to notice: v_w and u_c are two tables; only v is kept. Words that could stand in each other's place end up near.
Source: Mikolov et al., Distributed representations of words and phrases and their compositionality (2013).
"""

import re
from collections import Counter
from collections.abc import Iterable
from typing import Any, Self

import numba
import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import check_is_fitted

from gradatim.estimators.features.word_vectors import WordVectors
from gradatim.estimators.validation import damaged, expect_array, expect_strings

WORD = re.compile(r"\w+(?:['’]\w+)*")
TABLE = 1 << 20  # places of the table from which negative words are drawn


class Word2Vec(TransformerMixin, BaseEstimator):
    """Vectors of words from texts; `transform` gives each text the mean of its words' vectors, (n, width) float32.

    width: of the vectors; window: how far apart a pair may stand, drawn from 1 to this for each word; negative:
    drawn words for each pair; min_count: rarer words have no vector; epochs; learning_rate: the first one;
    sample: t above, 0 keeps all; seed. Texts are split into words in lower case; None and empty texts are skipped.
    Fitted: words_ (most frequent first), vectors_ (words, width), contexts_ (the u), counts_, objective_ (mean loss of
    a pair in each epoch). Source: the module's docstring.

    >>> texts = ["the cat sat on the mat", "the dog sat on the rug"] * 50
    >>> model = Word2Vec(width=16, min_count=1, epochs=3, sample=0).fit(texts)
    >>> model.word_vectors().vectors.shape
    (7, 16)
    """

    def __init__(
        self, *, width: int = 100, window: int = 5, negative: int = 5, min_count: int = 5, epochs: int = 5,
        learning_rate: float = 0.05, sample: float = 1e-3, seed: int = 0,
    ) -> None:
        self.width = width
        self.window = window
        self.negative = negative
        self.min_count = min_count
        self.epochs = epochs
        self.learning_rate = learning_rate
        self.sample = sample
        self.seed = seed

    def fit(self, X: Iterable[str | None], y: Any = None) -> Self:
        """Learn the vectors; ValueError where fewer than two different words are frequent enough."""
        texts = [WORD.findall(text.lower()) if text else [] for text in X]
        counts = Counter(word for words in texts for word in words)
        kept = sorted((word for word in counts if counts[word] >= self.min_count), key=lambda w: (-counts[w], w))
        if len(kept) < 2:
            raise ValueError(f"expected two words or more that occur {self.min_count} times, found {len(kept)}")
        place = {word: number for number, word in enumerate(kept)}
        ids = [np.array([place[word] for word in words if word in place], dtype=np.int32) for words in texts]
        stream = np.concatenate(ids) if ids else np.zeros(0, np.int32)
        bounds = np.cumsum([0, *map(len, ids)]).astype(np.int64)
        self.words_ = kept
        self.counts_ = np.array([counts[word] for word in kept], dtype=np.int64)
        random = np.random.default_rng(self.seed)
        start = random.random((len(kept), self.width), dtype=np.float32) - np.float32(0.5)
        self.vectors_ = start / np.float32(self.width)
        self.contexts_ = np.zeros((len(kept), self.width), dtype=np.float32)
        table, keep = _table(self.counts_), _keep(self.counts_, self.sample)
        losses = np.zeros(self.epochs)
        for epoch in range(self.epochs):
            losses[epoch] = _epoch(
                stream, bounds, keep, table, self.vectors_, self.contexts_, self.window, self.negative,
                self.learning_rate, epoch, self.epochs, self.seed * 1_000_003 + epoch,
            )
        self.objective_ = losses
        return self

    def word_vectors(self) -> WordVectors:
        """The words with their vectors: neighbours, analogies, a text file."""
        check_is_fitted(self)
        return WordVectors(tuple(self.words_), self.vectors_)

    def transform(self, X: Iterable[str | None]) -> np.ndarray:
        """Mean vector of the known words of each text, zeros where there is none."""
        check_is_fitted(self)
        place = {word: number for number, word in enumerate(self.words_)}
        rows = []
        for text in X:
            known = [place[word] for word in WORD.findall((text or "").lower()) if word in place]
            rows.append(self.vectors_[known].mean(0) if known else np.zeros(self.vectors_.shape[1], np.float32))
        return np.stack(rows) if rows else np.zeros((0, self.vectors_.shape[1]), np.float32)

    def check_state(self) -> None:
        """Raise ArtifactError unless words, counts and both tables fit together."""
        words = expect_strings(self, "words_")
        if len(set(words)) != len(words):
            raise damaged(self, "different words", "one twice")
        width = int(self.width)
        for name in ("vectors_", "contexts_"):
            expect_array(self, name, (len(words), width))


def _table(counts: np.ndarray) -> np.ndarray:
    """Words by count^0.75, spread over a table to draw from."""
    shares = counts.astype(np.float64) ** 0.75
    edges = np.cumsum(shares) / shares.sum()
    return np.searchsorted(edges, (np.arange(TABLE) + 0.5) / TABLE).astype(np.int32)


def _keep(counts: np.ndarray, sample: float) -> np.ndarray:
    """Probability that an occurrence of each word is looked at."""
    if sample <= 0:
        return np.ones(len(counts))
    share = counts / counts.sum()
    return np.minimum(1.0, np.sqrt(sample / share) + sample / share)


@numba.njit(cache=True, nogil=True, fastmath={"reassoc", "contract"})
def pair_step(word, context, wanted, rate, vectors, contexts, change):  # type: ignore[no-untyped-def]
    """One term of the objective: u moves, and what v shall move is added to `change` (width,); its loss."""
    width = vectors.shape[1]
    score = np.float32(0)
    for j in range(width):
        score += vectors[word, j] * contexts[context, j]
    said = 1 / (1 + np.exp(-np.float64(score)))
    step = np.float32(rate * (wanted - said))
    for j in range(width):
        change[j] += step * contexts[context, j]
        contexts[context, j] += step * vectors[word, j]
    return -np.log(max(said if wanted else 1 - said, 1e-12))


@numba.njit(cache=True, nogil=True)
def _epoch(  # type: ignore[no-untyped-def]
    stream, bounds, keep, table, vectors, contexts, window, negative, first_rate, epoch, epochs, seed,
):  # fmt: skip
    """One pass over the texts; the mean loss of a pair."""
    np.random.seed(seed % 4294967295)
    change = np.zeros(vectors.shape[1], np.float32)
    loss, pairs, total = 0.0, 0, max(stream.size, 1)
    for text in range(bounds.size - 1):
        line = np.empty(bounds[text + 1] - bounds[text], np.int32)
        length = 0
        for at in range(bounds[text], bounds[text + 1]):
            if np.random.random() < keep[stream[at]]:
                line[length] = stream[at]
                length += 1
        rate = first_rate * max(1e-4, 1 - (epoch + bounds[text] / total) / epochs)
        for middle in range(length):
            reach = np.random.randint(1, window + 1)
            word = line[middle]
            for beside in range(max(0, middle - reach), min(length, middle + reach + 1)):
                if beside == middle:
                    continue
                change[:] = 0
                loss += pair_step(word, line[beside], 1.0, rate, vectors, contexts, change)
                for _ in range(negative):
                    drawn = table[np.random.randint(0, table.size)]
                    if drawn != line[beside]:
                        loss += pair_step(word, drawn, 0.0, rate, vectors, contexts, change)
                for j in range(change.size):
                    vectors[word, j] += change[j]
                pairs += 1
    return loss / max(pairs, 1)
