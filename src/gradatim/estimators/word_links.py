"""Which word of a sentence stands for which of its translation: word alignments both ways, joined.

IBM model 2 with a prior for the diagonal and a Dirichlet prior on the translations (Dyer, Chahuneau & Smith 2013, "A
Simple, Fast, and Effective Reparameterization of IBM Model 2"): target word j of J comes from source word i of I with
probability (1 − p₀) · exp(−λ |i/I − j/J|) / Z · t(f | e), or from nothing with p₀ · t(f | nothing). Fitted in both
directions, because a rare word explains too much in one of them; the likeliest links of the two are joined by
grow-diag-final-and (Koehn, Och & Marcu 2003, "Statistical Phrase-Based Translation"; Koehn et al. 2005).

Pairs of sentences are flat arrays of word numbers; all pairs of words that ever meet are numbered once.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numba import njit
from scipy.special import digamma

ROUNDS = 6
FREE = 3  # of the rounds, without the diagonal: else a word that always moves far is never found
DIAGONAL = 4.0  # λ: how strongly links keep to the diagonal
NOTHING = 0.08  # p₀: words without a counterpart
PRIOR = 0.01  # of each translation: under 1, few translations a word


@dataclass(frozen=True, slots=True)
class Sentences:
    """Sentences of word numbers: words int32 (W,), starts int64 (N + 1,), and how many different words there are."""

    words: np.ndarray
    starts: np.ndarray
    vocabulary: int

    @classmethod
    def of(cls, rows: Sequence[np.ndarray], vocabulary: int) -> "Sentences":
        """The rows one after the other."""
        starts = np.cumsum([0, *(len(row) for row in rows)]).astype(np.int64)
        words = np.concatenate([*rows, np.zeros(0, np.int32)]).astype(np.int32)
        return cls(words, starts, vocabulary)

    def __len__(self) -> int:
        return len(self.starts) - 1


@dataclass(frozen=True, slots=True)
class Links:
    """Links of all pairs of sentences and the probabilities that they were found by.

    grid: bool, for each pair the (I, J) cells row by row, from `cells` int64 (N + 1,) on; meeting: of each cell the
    number of its two words; forward t(f | e) and backward t(e | f) by that number; lost_source t(e | nothing) and
    lost_target t(f | nothing) by word.
    """

    grid: np.ndarray
    cells: np.ndarray
    meeting: np.ndarray
    forward: np.ndarray
    backward: np.ndarray
    lost_source: np.ndarray
    lost_target: np.ndarray


def fit_links(sources: Sentences, targets: Sentences, *, rounds: int = ROUNDS) -> Links:
    """Fit both directions by `rounds` of EM and join the likeliest links.

    >>> pairs = ["the house|das Haus", "the book|das Buch", "a book|ein Buch"] * 2
    >>> numbers = {}
    >>> rows = [[np.array([numbers.setdefault(w, len(numbers)) for w in side.split()]) for side in pair.split("|")]
    ...         for pair in pairs]
    >>> links = fit_links(Sentences.of([row[0] for row in rows], 9), Sentences.of([row[1] for row in rows], 9))
    >>> links.grid[:4].tolist()
    [True, False, False, True]
    """
    spans = np.diff(sources.starts) * np.diff(targets.starts)
    cells = np.cumsum([0, *spans]).astype(np.int64)
    keys = np.empty(cells[-1], np.int64)
    _meet(sources.words, sources.starts, targets.words, targets.starts, cells, targets.vocabulary, keys)
    pairs, meeting = np.unique(keys, return_inverse=True)
    meeting = meeting.astype(np.int32)
    of_source, of_target = pairs // targets.vocabulary, pairs % targets.vocabulary
    shape = (sources.starts, targets.starts, cells, meeting)
    forward, lost_target, from_source = _fitted(targets.words, shape, of_source, sources.vocabulary,
                                                targets.vocabulary, rounds, False)
    backward, lost_source, from_target = _fitted(sources.words, shape, of_target, targets.vocabulary,
                                                 sources.vocabulary, rounds, True)
    grid = np.zeros(cells[-1], np.bool_)
    _join(from_source, from_target, sources.starts, targets.starts, cells, grid)
    return Links(grid, cells, meeting, forward, backward, lost_source, lost_target)


def _fitted(
    words: np.ndarray, shape: tuple[np.ndarray, ...], given: np.ndarray, many: int, vocabulary: int, rounds: int,
    turned: bool,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """t of each meeting, t of words from nothing, and each word's likeliest place on the other side (−1: nothing).

    words: those that are explained; given: the explaining word of each meeting, one of `many`; turned: these are the
    rows of the grid's cells.
    """
    table = np.full(len(given), 1.0 / vocabulary)
    lost = np.full(vocabulary, 1.0 / vocabulary)
    best = np.full(len(words), -1, np.int32)
    for turn in range(rounds):
        counts, lost_counts = np.zeros(len(table)), np.zeros(vocabulary)
        pull = DIAGONAL if turn >= FREE else 0.0
        _expect(words, shape, table, lost, turned, turn + 1 == rounds, pull, counts, lost_counts, best)
        if turn + 1 == rounds:
            break
        totals = np.bincount(given, weights=counts, minlength=many)
        kinds = np.bincount(given, minlength=many)
        table = np.exp(digamma(counts + PRIOR) - digamma(totals + PRIOR * kinds)[given])
        lost = np.exp(digamma(lost_counts + PRIOR) - digamma(lost_counts.sum() + PRIOR * vocabulary))
    return table, lost, best


@njit(cache=True, nogil=True)
def _meet(source, source_starts, target, target_starts, cells, vocabulary, keys):  # type: ignore[no-untyped-def]
    """The number of the two words of each cell."""
    for pair in range(len(cells) - 1):
        cell = cells[pair]
        for i in range(source_starts[pair], source_starts[pair + 1]):
            for j in range(target_starts[pair], target_starts[pair + 1]):
                keys[cell] = np.int64(source[i]) * vocabulary + target[j]
                cell += 1


@njit(cache=True, nogil=True)
def _expect(words, shape, table, lost, turned, last, pull, counts, lost_counts, best):  # type: ignore[no-untyped-def]
    """The E step: adds up what each meeting and nothing explain; in the last round notes the likeliest places."""
    source_starts, target_starts, cells, meeting = shape
    shares = np.empty(4096)
    for pair in range(len(cells) - 1):
        rows, columns = source_starts[pair + 1] - source_starts[pair], target_starts[pair + 1] - target_starts[pair]
        explained, explaining = (rows, columns) if turned else (columns, rows)
        first = source_starts[pair] if turned else target_starts[pair]
        if rows == 0 or columns == 0 or explaining > len(shares):
            continue
        for j in range(explained):
            prior = 0.0
            for i in range(explaining):
                shares[i] = np.exp(-pull * abs((i + 0.5) / explaining - (j + 0.5) / explained))
                prior += shares[i]
            nothing = NOTHING * lost[words[first + j]]
            total, top, place = nothing, nothing, -1
            for i in range(explaining):
                cell = cells[pair] + (j * columns + i if turned else i * columns + j)
                shares[i] *= (1 - NOTHING) / prior * table[meeting[cell]]
                total += shares[i]
                if shares[i] > top:
                    top, place = shares[i], i
            if last:
                best[first + j] = place
                continue
            for i in range(explaining):
                cell = cells[pair] + (j * columns + i if turned else i * columns + j)
                counts[meeting[cell]] += shares[i] / total
            lost_counts[words[first + j]] += nothing / total


@njit(cache=True, nogil=True)
def _join(from_source, from_target, source_starts, target_starts, cells, grid):  # type: ignore[no-untyped-def]
    """grow-diag-final-and: what both directions say, its neighbours that one says, then words that have none yet."""
    for pair in range(len(cells) - 1):
        rows, columns = source_starts[pair + 1] - source_starts[pair], target_starts[pair + 1] - target_starts[pair]
        joined = grid[cells[pair] : cells[pair + 1]].reshape(rows, columns)
        either = np.zeros((rows, columns), np.bool_)
        free_row, free_column = np.ones(rows, np.bool_), np.ones(columns, np.bool_)
        for j in range(columns):
            i = from_source[target_starts[pair] + j]
            if i >= 0:
                either[i, j] = True
        for i in range(rows):
            j = from_target[source_starts[pair] + i]
            if j >= 0:
                if either[i, j]:
                    joined[i, j], free_row[i], free_column[j] = True, False, False
                either[i, j] = True
        grown = True
        while grown:
            grown = False
            for i in range(rows):
                for j in range(columns):
                    if not joined[i, j]:
                        continue
                    for a in range(max(i - 1, 0), min(i + 2, rows)):
                        for b in range(max(j - 1, 0), min(j + 2, columns)):
                            if either[a, b] and not joined[a, b] and (free_row[a] or free_column[b]):
                                joined[a, b], free_row[a], free_column[b] = True, False, False
                                grown = True
        for i in range(rows):
            for j in range(columns):
                if either[i, j] and free_row[i] and free_column[j]:
                    joined[i, j], free_row[i], free_column[j] = True, False, False
