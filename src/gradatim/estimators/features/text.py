"""TF-IDF of words and of characters: how often a piece of text occurs here, against how many texts have it.

Value of piece t in text d: (1 + ln count) · (ln((1 + n) / (1 + textsₜ)) + 1), then each text's words, and
its characters, are scaled to length one (Salton and Buckley, 1988; scikit-learn's smoothing and sublinear
counts).
What to notice: a corpus has far fewer different words than words. Everything that looks at letters runs
once for each different word; texts are then sparse products (texts × words) · (words × pieces), exact and
without hashing.
"""

import re
from collections.abc import Iterable, Sequence
from typing import Any, Self

import numpy as np
import scipy.sparse
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import check_is_fitted

from gradatim.estimators.validation import damaged, expect_array, expect_count, expect_strings

TOKEN = re.compile(r"\b\w\w+\b")


class TfidfFeatures(TransformerMixin, BaseEstimator):
    """Sparse rows (n, words + characters) float32 from raw texts; None and empty texts give empty rows.

    word_ngrams: sequences of one to this many words (of two characters or more, lower case);
    character_ngrams: shortest and longest run of characters inside a word with a space on either side; None
    leaves a part out. min_texts: a piece must occur in this many training texts; max_words, max_characters:
    keep the most frequent ones.
    Fitted: words_ and characters_ (sorted lists of strings), word_weights_ and character_weights_ (the idf
    factors).

    >>> features = TfidfFeatures(min_texts=1).fit(["a red bus", "a blue bus", None])
    >>> features.words_
    ['blue', 'blue bus', 'bus', 'red', 'red bus']
    >>> features.transform(["red"]).toarray()[0, :5].tolist()
    [0.0, 0.0, 0.0, 1.0, 0.0]
    """

    def __init__(
        self,
        *,
        word_ngrams: int | None = 2,
        character_ngrams: tuple[int, int] | None = (3, 5),
        min_texts: int = 2,
        max_words: int = 30_000,
        max_characters: int = 50_000,
    ) -> None:
        self.word_ngrams = word_ngrams
        self.character_ngrams = character_ngrams
        self.min_texts = min_texts
        self.max_words = max_words
        self.max_characters = max_characters

    def fit(self, X: Iterable[str | None], y: Any = None) -> Self:
        """Learn the pieces and how rare they are from training texts."""
        self.fit_transform(X, y)
        return self

    def fit_transform(self, X: Iterable[str | None], y: Any = None) -> scipy.sparse.csr_matrix:
        """Learn from the texts and return their rows."""
        if self.min_texts < 1:
            raise ValueError(f"min_texts: expected a whole number ≥ 1, received {self.min_texts!r}")
        words, places, starts = _distinct_words(X)
        parts = []
        self.words_: list[str] = []
        self.characters_: list[str] = []
        self.word_weights_ = self.character_weights_ = np.zeros(0, dtype=np.float32)
        if self.word_ngrams is not None:
            counts, names = _word_counts(words, places, starts, self.word_ngrams, None)
            kept = self._frequent(counts, self.max_words)
            counts, self.words_ = _sorted(counts, kept, names)
            self.word_weights_ = _rarity(counts)
            parts.append(_weigh(counts, self.word_weights_))
        if self.character_ngrams is not None:
            counts, pieces = _character_counts(words, places, starts, *self.character_ngrams, None)
            kept = self._frequent(counts, self.max_characters)
            counts, self.characters_ = _sorted(counts, kept, pieces)
            self.character_weights_ = _rarity(counts)
            parts.append(_weigh(counts, self.character_weights_))
        return _side_by_side(parts, len(starts) - 1)

    def _frequent(self, counts: scipy.sparse.csr_matrix, most: int) -> np.ndarray:
        """Columns that occur in enough texts, of these the `most` frequent."""
        texts = np.bincount(counts.indices, minlength=counts.shape[1])
        kept = np.flatnonzero(texts >= self.min_texts)
        if len(kept) > most:
            total = np.bincount(counts.indices, weights=counts.data, minlength=counts.shape[1])[kept]
            kept = kept[np.argsort(-total, kind="stable")[:most]]
        return kept

    def transform(self, X: Iterable[str | None]) -> scipy.sparse.csr_matrix:
        """Rows (n, words + characters) of texts; pieces that were not seen in training count for nothing."""
        check_is_fitted(self)
        words, places, starts = _distinct_words(X)
        parts = []
        if self.word_ngrams is not None:
            counts, _ = _word_counts(words, places, starts, self.word_ngrams, self.words_)
            parts.append(_weigh(counts, self.word_weights_))
        if self.character_ngrams is not None:
            counts, _ = _character_counts(words, places, starts, *self.character_ngrams, self.characters_)
            parts.append(_weigh(counts, self.character_weights_))
        return _side_by_side(parts, len(starts) - 1)

    def get_feature_names_out(self, input_features: Any = None) -> np.ndarray:
        """Name of every column: "word:red bus", "characters: re"."""
        check_is_fitted(self)
        names = [f"word:{word}" for word in self.words_]
        return np.array(names + [f"characters:{piece}" for piece in self.characters_], dtype=object)

    def check_state(self) -> None:
        """Raise ArtifactError unless the fitted attributes fit together."""
        for names, weights in (("words_", "word_weights_"), ("characters_", "character_weights_")):
            pieces = expect_strings(self, names, sorted_and_unique=True)
            expect_array(self, weights, (len(pieces),))
        if self.word_ngrams is not None:
            expect_count(self, "word_ngrams", least=1)
        if self.character_ngrams is not None:
            sizes = tuple(self.character_ngrams)
            if len(sizes) != 2 or not all(isinstance(n, int) for n in sizes) or not 1 <= sizes[0] <= sizes[1] <= 64:
                raise damaged(self, "two sizes character_ngrams", repr(sizes)[:80])


def _distinct_words(texts: Iterable[str | None]) -> tuple[list[str], np.ndarray, np.ndarray]:
    """The different words between spaces, the word number at every place of all texts, where each text
    starts.
    """
    if isinstance(texts, (str, bytes)):
        raise ValueError("expected a list of texts, received one text; put it in a list")
    numbers: dict[str, int] = {}
    places: list[int] = []
    starts = [0]
    for text in texts:
        if text is not None:
            if not isinstance(text, str):
                raise ValueError(f"expected texts or None, received {type(text).__name__}")
            places += [numbers.setdefault(word, len(numbers)) for word in text.lower().split()]
        starts.append(len(places))
    return list(numbers), np.array(places, dtype=np.int64), np.array(starts)


def _word_counts(
    words: list[str], places: np.ndarray, starts: np.ndarray, longest: int, known: Sequence[str] | None
) -> tuple[scipy.sparse.csr_matrix, list[str]]:
    """Counts (texts, pieces) of runs of 1 to `longest` tokens, and the pieces; those of `known` where
    given.

    A run of k tokens is numbered by (number of its first k − 1 tokens, its last token), so no strings are
    made for runs until it is known which ones are needed.
    """
    numbers: dict[str, int] = {}
    tokens_of = [[numbers.setdefault(t, len(numbers)) for t in TOKEN.findall(word)] for word in words]
    tokens = list(numbers)
    texts, stream = _expand(tokens_of, places, starts)
    wanted = None if known is None else {name: column for column, name in enumerate(known)}
    if wanted is not None:
        usable = np.zeros(len(tokens), dtype=bool)
        parts = {part for name in wanted for part in name.split(" ")}
        usable[[numbers[part] for part in parts if part in numbers]] = True
    rows, columns, names = [], [], []
    runs, labels = stream, tokens
    ends = np.arange(len(stream))
    first_column = 0
    for length in range(1, longest + 1):
        if length > 1:
            follows = ends + 1 < len(stream)
            follows[follows] = texts[ends[follows] + 1] == texts[ends[follows]]
            runs, ends = runs[follows], ends[follows] + 1
            last = stream[ends]
            if wanted is not None:
                possible = usable[last]
                runs, ends, last = runs[possible], ends[possible], last[possible]
            keys, runs = np.unique(runs * len(tokens) + last, return_inverse=True)
            labels = [f"{labels[key // len(tokens)]} {tokens[key % len(tokens)]}" for key in keys.tolist()]
        if wanted is None:
            columns.append(runs + first_column)
            rows.append(texts[ends])
            names += labels
            first_column += len(labels)
        else:
            mapped = np.array([wanted.get(label, -1) for label in labels], dtype=np.int64)[runs]
            columns.append(mapped[mapped >= 0])
            rows.append(texts[ends][mapped >= 0])
    width = first_column if wanted is None else len(wanted)
    return _count(rows, columns, (len(starts) - 1, width)), names


def _character_counts(
    words: list[str],
    places: np.ndarray,
    starts: np.ndarray,
    shortest: int,
    longest: int,
    known: Sequence[str] | None,
) -> tuple[scipy.sparse.csr_matrix, list[str]]:
    """Counts (texts, pieces) of runs of characters inside words, and the pieces; those of `known` where
    given.
    """
    numbers: dict[str, int] = {} if known is None else {piece: column for column, piece in enumerate(known)}
    pieces_of = []
    for word in words:
        padded = f" {word} "
        pieces: list[str] = []
        for size in range(shortest, longest + 1):
            pieces += [padded[start : start + size] for start in range(max(1, len(padded) - size + 1))]
            if size >= len(padded):
                break  # a word shorter than the run counts once, whole
        if known is None:
            pieces_of.append([numbers.setdefault(piece, len(numbers)) for piece in pieces])
        else:
            pieces_of.append([numbers[piece] for piece in pieces if piece in numbers])
    lengths = np.array([len(pieces) for pieces in pieces_of], dtype=np.int64)
    table = _count(
        [np.repeat(np.arange(len(words)), lengths)],
        [np.array([piece for pieces in pieces_of for piece in pieces], dtype=np.int64)],
        (len(words), len(numbers)),
    )
    texts = np.repeat(np.arange(len(starts) - 1), np.diff(starts))
    occurrences = _count([texts], [places], (len(starts) - 1, len(words)))
    return (occurrences @ table).tocsr(), list(numbers)


def _expand(tokens_of: list[list[int]], places: np.ndarray, starts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The text and the token at every token's place, from the tokens of every different word."""
    lengths = np.array([len(tokens) for tokens in tokens_of], dtype=np.int64)
    flat = np.array([token for tokens in tokens_of for token in tokens], dtype=np.int64)
    firsts = np.concatenate([[0], np.cumsum(lengths)[:-1]]).astype(np.int64) if len(lengths) else lengths
    repeats = lengths[places]
    texts = np.repeat(np.repeat(np.arange(len(starts) - 1), np.diff(starts)), repeats)
    within = np.arange(repeats.sum()) - np.repeat(np.cumsum(repeats) - repeats, repeats)
    return texts, flat[np.repeat(firsts[places], repeats) + within]


def _count(rows: list[np.ndarray], columns: list[np.ndarray], shape: tuple[int, int]) -> scipy.sparse.csr_matrix:
    """A sparse matrix with the number of times that every (row, column) occurs."""
    row, column = np.concatenate(rows), np.concatenate(columns)
    matrix = scipy.sparse.coo_matrix((np.ones(len(row), dtype=np.float32), (row, column)), shape=shape).tocsr()
    matrix.sum_duplicates()
    return matrix


def _sorted(
    counts: scipy.sparse.csr_matrix, kept: np.ndarray, names: list[str]
) -> tuple[scipy.sparse.csr_matrix, list[str]]:
    """The kept columns in the alphabetical order of their names."""
    order = sorted(kept.tolist(), key=names.__getitem__)
    return counts[:, order], [names[column] for column in order]


def _rarity(counts: scipy.sparse.csr_matrix) -> np.ndarray:
    """ln((1 + n) / (1 + texts)) + 1 of every column."""
    texts = np.bincount(counts.indices, minlength=counts.shape[1])
    return (np.log((1 + counts.shape[0]) / (1 + texts)) + 1).astype(np.float32)


def _weigh(counts: scipy.sparse.csr_matrix, weights: np.ndarray) -> scipy.sparse.csr_matrix:
    """(1 + ln count) times the rarity, each row scaled to length one."""
    counts = counts.astype(np.float32)
    counts.data = (1 + np.log(counts.data)) * weights[counts.indices]
    lengths = np.sqrt(np.bincount(_rows(counts), weights=counts.data**2, minlength=counts.shape[0]))
    counts.data /= np.where(lengths > 0, lengths, 1).astype(np.float32)[_rows(counts)]
    return counts


def _rows(matrix: scipy.sparse.csr_matrix) -> np.ndarray:
    return np.repeat(np.arange(matrix.shape[0]), np.diff(matrix.indptr))


def _side_by_side(parts: list[scipy.sparse.csr_matrix], rows: int) -> scipy.sparse.csr_matrix:
    if not parts:
        return scipy.sparse.csr_matrix((rows, 0), dtype=np.float32)
    joined = scipy.sparse.hstack(parts, format="csr", dtype=np.float32)
    joined.sort_indices()
    return joined
