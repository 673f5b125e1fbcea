"""Vectors of words: read from and written to the usual text files, neighbours, and analogies by adding and subtracting.

A file has a line a word: the word, then its numbers, spaces between; word2vec's own format says how many and how wide
in a first line, GloVe's does not. Source of the analogies: Mikolov, Yih, Zweig, Linguistic regularities in continuous
space word representations (2013): king − man + woman.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from gradatim.errors import DataError
from gradatim.files import write_atomic

MOST_BYTES = 8 * 2**30
MOST_COLUMNS = 4096
LONGEST_LINE = 2**18  # characters
MOST_NUMBERS = 2**29  # of all vectors together: 2 GiB
LARGEST = 1e9  # of a vector's numbers, up or down: lengths and products of larger ones overflow


@dataclass(frozen=True, slots=True)
class WordVectors:
    """Words and their vectors (words, d) float32, in the order of the file, which is that of frequency in most.

    repeated: lines of the file that named a word again and were left out.

    >>> vectors = WordVectors(("man", "woman", "king", "queen"), np.float32([[1, 0], [1, 1], [3, 0], [3, 1]]))
    >>> vectors.analogy("man", "king", "woman", count=1)[0][0]
    'queen'
    """

    words: tuple[str, ...]
    vectors: np.ndarray
    repeated: int = 0
    places: dict[str, int] = field(init=False, repr=False, compare=False)
    unit: np.ndarray = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if self.vectors.ndim != 2 or len(self.vectors) != len(self.words):
            raise DataError(f"expected a vector for each of {len(self.words)} words, received an array of shape "
                            f"{self.vectors.shape}")
        object.__setattr__(self, "places", {word: place for place, word in enumerate(self.words)})
        lengths = np.linalg.norm(self.vectors, axis=1, keepdims=True)
        object.__setattr__(self, "unit", self.vectors / np.where(lengths > 0, lengths, 1))

    def vector(self, word: str) -> np.ndarray:
        """The vector (d,) of a word; DataError with close words when it has none."""
        if word not in self.places:
            import difflib

            close = difflib.get_close_matches(word, self.words, n=3)
            hint = f"; close ones are {', '.join(close)}" if close else ""
            raise DataError(f"expected one of the {len(self.words):,} words with a vector, received '{word:.60}'{hint}")
        return self.vectors[self.places[word]]

    def similarity(self, first: str, second: str) -> float:
        """Cosine of the angle between two words, −1 to 1."""
        self.vector(first), self.vector(second)
        return float(self.unit[self.places[first]] @ self.unit[self.places[second]])

    def nearest(self, word: str, *, count: int = 10) -> list[tuple[str, float]]:
        """The words at the smallest angle to a word, with the cosine, without the word itself."""
        return self._closest(self.vector(word), {word}, count)

    def analogy(self, first: str, second: str, third: str, *, count: int = 5) -> list[tuple[str, float]]:
        """What is to `third` as `second` is to `first`: the words nearest to second − first + third."""
        for word in (first, second, third):
            self.vector(word)
        a, b, c = (self.unit[self.places[word]] for word in (first, second, third))
        return self._closest(b - a + c, {first, second, third}, count)

    def _closest(self, point: np.ndarray, without: set[str], count: int) -> list[tuple[str, float]]:
        length = float(np.linalg.norm(point))
        cosines = self.unit @ (point / length if length > 0 else point)
        found = np.argsort(-cosines, kind="stable")[: count + len(without)]
        kept = [(self.words[at], float(cosines[at])) for at in found.tolist() if self.words[at] not in without]
        return kept[:count]

    def table(self, vocabulary: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        """Vectors (tokens, d) for a vocabulary and which of its tokens have one, bool; the others get zeros."""
        out = np.zeros((len(vocabulary), self.vectors.shape[1]), dtype=np.float32)
        known = np.array([token in self.places for token in vocabulary], dtype=bool)
        for place in np.flatnonzero(known).tolist():
            out[place] = self.vectors[self.places[vocabulary[place]]]
        return out, known

    def save(self, path: Path | str) -> None:
        """Write word2vec's text format: a line with the sizes, then a line a word."""
        lines = [f"{len(self.words)} {self.vectors.shape[1]}"]
        lines += [" ".join([word, *(f"{value:.6g}" for value in row)])
                  for word, row in zip(self.words, self.vectors.tolist())]
        write_atomic(Path(path), "\n".join(lines) + "\n")


def read_word_vectors(path: Path | str, *, most: int = 1_000_000) -> WordVectors:
    """The first `most` words of a text file of vectors, with or without word2vec's first line.

    Of a word that comes twice the first vector counts. DataError, with the line, where a line has another number of
    values than the first (or the sizes) say, or one that is no number, infinite or above 10⁹; where there are fewer
    lines than the sizes promise; where the vectors would take more than 2 GiB.
    """
    path = Path(path)
    if not path.is_file():
        raise DataError(f"{path}: expected a text file of word vectors, found none")
    if path.stat().st_size > MOST_BYTES:
        raise DataError(f"{path}: expected at most {MOST_BYTES / 2**30:g} GiB of word vectors; cut the file")
    words: dict[str, int] = {}
    rows: list[np.ndarray] = []
    width = promised = repeated = 0
    with path.open(encoding="utf-8", errors="replace") as file:
        for number, line in enumerate(_lines(file, path), start=1):
            parts = line.rstrip().split(" ")
            if number == 1 and _are_sizes(parts):
                promised, width = _sizes(parts, path)
                continue
            if not parts[0] and len(parts) == 1:
                continue
            width = width or _width(parts, path, number)
            if (len(rows) + 1) * width > MOST_NUMBERS:
                raise DataError(f"{path}: expected at most {MOST_NUMBERS:,} numbers in all, received more; cut it")
            word, values = " ".join(parts[:-width]), parts[-width:]
            row = _numbers(values, width, path, number)
            if word and word not in words:
                words[word] = len(rows)
                rows.append(row)
            elif word:
                repeated += 1
            if len(rows) >= most:
                break
    if not rows:
        raise DataError(f"{path}: expected lines of a word and its numbers, found none")
    if len(rows) < most and len(rows) + repeated < promised:
        raise DataError(f"{path}: expected {promised:,} words as its first line says, found {len(rows) + repeated:,}; "
                        "the file is not whole")
    return WordVectors(tuple(words), np.stack(rows), repeated)


def _are_sizes(parts: list[str]) -> bool:
    """Whether a line is word2vec's first: how many words, how many numbers each."""
    return len(parts) == 2 and all(part.isascii() and part.isdigit() and len(part) < 12 for part in parts)


def _sizes(parts: list[str], path: Path) -> tuple[int, int]:
    count, width = map(int, parts)
    if count < 1 or not 1 <= width <= MOST_COLUMNS:
        raise DataError(f"{path}, line 1: expected 1 word or more of 1 to {MOST_COLUMNS} numbers, received {count} of "
                        f"{width}")
    return count, width


def _lines(file, path: Path):  # type: ignore[no-untyped-def]
    """Lines that are not too long to be read."""
    while line := file.readline(LONGEST_LINE):
        if len(line) == LONGEST_LINE:
            raise DataError(f"{path}: expected lines of fewer than {LONGEST_LINE:,} characters; this is another format")
        yield line


def _width(parts: list[str], path: Path, number: int) -> int:
    """How many numbers end the first line of a word."""
    width = 0
    for part in reversed(parts[1:]):
        if not _is_number(part):
            break
        width += 1
    if not 0 < width <= MOST_COLUMNS:
        raise DataError(f"{path}, line {number}: expected a word and 1 to {MOST_COLUMNS} numbers with spaces between")
    return width


def _is_number(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False


def _numbers(values: list[str], width: int, path: Path, number: int) -> np.ndarray:
    try:
        row = np.array(values, dtype=np.float32)
    except ValueError:
        row = np.full(0, np.nan, dtype=np.float32)
    if len(row) != width or not (np.abs(row) <= LARGEST).all():  # false for NaN as well
        raise DataError(f"{path}, line {number}: expected a word and {width} finite numbers, as in the first line")
    return row


def is_vector_file(path: Path | str) -> bool:
    """Whether a text file begins like one of vectors: sizes, or a word and at least four numbers."""
    path = Path(path)
    if path.suffix.lower() not in (".txt", ".vec") or not path.is_file():
        return False
    with path.open(encoding="utf-8", errors="replace") as file:
        parts = file.readline(LONGEST_LINE).rstrip().split(" ")
    return _are_sizes(parts) or (len(parts) > 4 and all(_is_number(part) for part in parts[1:]))
