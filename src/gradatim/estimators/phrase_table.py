"""Phrases and their translations, read off aligned pairs of sentences.

Koehn, Och & Marcu, "Statistical Phrase-Based Translation", NAACL 2003. A run of source words and a run of target words
are a pair when their words are linked to each other and to no word outside. Of each pair four things are known:

    log p(t | s), log p(s | t)        how often it was read off, of all pairs with the same source (the same target)
    log lex(t | s), log lex(s | t)    how well its words explain each other, which also speaks for what was seen once

Phrases are found by a hash of their words, 64 bits wide, so that a phrase table is a few flat arrays.
"""

from dataclasses import dataclass

import numpy as np
from numba import njit

from gradatim.estimators.word_links import Links, Sentences

LONGEST = 5  # source words of a phrase
LONGEST_TARGET = 8
KEPT = 12  # translations of a phrase
FACTOR, SPREAD = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xD6E8FEB86659FD93)  # odd, of mixed bits
FEATURES = 4


@dataclass(frozen=True, slots=True)
class PhraseTable:
    """keys: hashes of source phrases, uint64 ascending (P,); starts int64 (P + 1,) into their translations, best first:
    ends int64 (O + 1,) into words int32 of the target, and features float32 (O, 4).
    """

    keys: np.ndarray
    starts: np.ndarray
    ends: np.ndarray
    words: np.ndarray
    features: np.ndarray

    def translations(self, phrase: np.ndarray) -> list[tuple[list[int], list[float]]]:
        """The target words and features of a phrase's translations, best first."""
        key = hash_of(np.asarray(phrase, np.int32))
        place = int(np.searchsorted(self.keys, key))
        if place == len(self.keys) or self.keys[place] != key:
            return []
        return [(self.words[self.ends[one] : self.ends[one + 1]].tolist(), self.features[one].tolist())
                for one in range(self.starts[place], self.starts[place + 1])]


def read_phrases(
    sources: Sentences, targets: Sentences, links: Links, source_marks: np.ndarray, target_marks: np.ndarray, *,
    longest: int = LONGEST, least_long: int = 1, kept: int = KEPT,
) -> PhraseTable:
    """Read off all phrases of up to `longest` source words.

    source_marks, target_marks: a number for each word, int64; a pair counts only if both sides have the same sum (0 for
    usual words, another number for each word that must be carried over). least_long: how often a phrase of four source
    words and more must be seen.
    """
    shape = (sources.starts, targets.starts, links.cells, links.grid)
    marks = (source_marks[sources.words], target_marks[targets.words])
    count = _read_off(*shape, *marks, longest, np.zeros((0, 5), np.int32))
    found = np.empty((count, 5), np.int32)
    _read_off(*shape, *marks, longest, found)
    of_source, of_target, both = _hashes(sources.words, targets.words, sources.starts, targets.starts, found)
    _, first, counts = np.unique(both, return_index=True, return_counts=True)
    _, source_group = np.unique(of_source[first], return_inverse=True)
    _, target_group = np.unique(of_target[first], return_inverse=True)
    by_source = np.bincount(source_group, weights=counts)[source_group]
    by_target = np.bincount(target_group, weights=counts)[target_group]
    lengths = found[first, 2] - found[first, 1]
    # Among equals the first that was read off, so that a table does not hang on the order of hashes.
    order = np.lexsort((first, -counts, source_group))
    rank = np.arange(len(order)) - np.searchsorted(source_group[order], source_group[order])
    order = order[(rank < kept) & ((counts[order] >= least_long) | (lengths[order] <= 3))]
    picked = found[first[order]]
    lexical = _lexical((sources.words, targets.words), shape, links.meeting, (links.forward, links.backward),
                       (links.lost_source, links.lost_target), picked)
    features = np.concatenate([np.log(counts / by_source)[order, None], np.log(counts / by_target)[order, None],
                               lexical], axis=1).astype(np.float32)
    keys, starts = np.unique(of_source[first[order]], return_index=True)
    sizes = picked[:, 4] - picked[:, 3]
    ends = np.cumsum([0, *sizes]).astype(np.int64)
    inner = np.arange(ends[-1]) - np.repeat(ends[:-1], sizes)
    words = targets.words[np.repeat(targets.starts[picked[:, 0]] + picked[:, 3], sizes) + inner]
    return PhraseTable(keys, np.append(starts, len(order)).astype(np.int64), ends, words.astype(np.int32), features)


@njit(cache=True, nogil=True)
def hash_of(words: np.ndarray) -> np.uint64:
    """A 64-bit hash of word numbers."""
    value = np.uint64(len(words)) * SPREAD
    for word in words:
        value = (value ^ (value >> np.uint64(29)) ^ np.uint64(word + 1)) * FACTOR
    return value ^ (value >> np.uint64(32))


@njit(cache=True, nogil=True)
def _read_off(source_starts, target_starts, cells, grid, source_marks, target_marks, longest, found):  # type: ignore[no-untyped-def]
    """How many phrase pairs there are; notes sentence, source span, target span of each while `found` has room."""
    count = 0
    for pair in range(len(cells) - 1):
        rows, columns = source_starts[pair + 1] - source_starts[pair], target_starts[pair + 1] - target_starts[pair]
        linked = grid[cells[pair] : cells[pair + 1]].reshape(rows, columns)
        low, high = np.full(columns, rows), np.full(columns, -1)  # the source words that a target word is linked to
        least, most = np.full(rows, columns), np.full(rows, -1)
        for i in range(rows):
            for j in range(columns):
                if linked[i, j]:
                    low[j], high[j] = min(low[j], i), i
                    least[i], most[i] = min(least[i], j), j
        for start in range(rows):
            first, last, marks = columns, -1, 0
            for end in range(start + 1, min(start + longest, rows) + 1):
                first, last = min(first, least[end - 1]), max(last, most[end - 1])
                marks += source_marks[source_starts[pair] + end - 1]
                if last < 0 or last - first >= LONGEST_TARGET:
                    continue
                closed, carried = True, 0
                for j in range(first, last + 1):
                    carried += target_marks[target_starts[pair] + j]
                    if high[j] >= 0 and (low[j] < start or high[j] >= end):
                        closed = False
                if not closed:
                    continue
                left, before = first, carried
                while left >= 0 and (left == first or high[left] < 0):
                    if left < first:
                        before += target_marks[target_starts[pair] + left]
                    right, here = last, before
                    while right < columns and (right == last or high[right] < 0) and right - left < LONGEST_TARGET:
                        if right > last:
                            here += target_marks[target_starts[pair] + right]
                        if here == marks:
                            if count < len(found):
                                found[count] = (pair, start, end, left, right + 1)
                            count += 1
                        right += 1
                    left -= 1
    return count


@njit(cache=True, nogil=True)
def _hashes(source, target, source_starts, target_starts, found):  # type: ignore[no-untyped-def]
    """Hashes of the source phrase, of the target phrase, of both."""
    of_source, of_target = np.empty(len(found), np.uint64), np.empty(len(found), np.uint64)
    both = np.empty(len(found), np.uint64)
    for place in range(len(found)):
        pair, start, end, first, last = found[place]
        of_source[place] = hash_of(source[source_starts[pair] + start : source_starts[pair] + end])
        of_target[place] = hash_of(target[target_starts[pair] + first : target_starts[pair] + last])
        mixed = (of_source[place] ^ (of_target[place] >> np.uint64(7))) * FACTOR
        both[place] = (mixed ^ (mixed >> np.uint64(31))) + of_target[place]
    return of_source, of_target, both


@njit(cache=True, nogil=True)
def _lexical(words, shape, meeting, tables, lost, picked):  # type: ignore[no-untyped-def]
    """log lex(t | s) and log lex(s | t) of each phrase pair: each word by the mean of those that it is linked to."""
    source, target = words
    source_starts, target_starts, cells, grid = shape
    forward, backward = tables
    lost_source, lost_target = lost
    found = np.zeros((len(picked), 2))
    for place in range(len(picked)):
        pair, start, end, first, last = picked[place]
        columns = target_starts[pair + 1] - target_starts[pair]
        for j in range(first, last):
            total, links = 0.0, 0
            for i in range(start, end):
                cell = cells[pair] + i * columns + j
                if grid[cell]:
                    total += forward[meeting[cell]]
                    links += 1
            value = total / links if links else lost_target[target[target_starts[pair] + j]]
            found[place, 0] += np.log(max(value, 1e-9))
        for i in range(start, end):
            total, links = 0.0, 0
            for j in range(first, last):
                cell = cells[pair] + i * columns + j
                if grid[cell]:
                    total += backward[meeting[cell]]
                    links += 1
            value = total / links if links else lost_source[source[source_starts[pair] + i]]
            found[place, 1] += np.log(max(value, 1e-9))
    return found
