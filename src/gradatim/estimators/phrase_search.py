"""Translating by phrases: the sequence of phrase pairs with the best sum of weighted features, by stack search.

Koehn, "Pharaoh: a Beam Search Decoder for Phrase-Based Statistical Machine Translation Models", 2004. A hypothesis has
translated some of the source words, from left to right on the target side; those that have translated equally many
share a stack, of which the best are kept, by their score and an estimate of what the rest will cost. Two that nothing
later can tell apart (the same words translated, the same end, the same context of the language model) are one: the
better.

What a hypothesis costs: the weighted features of its phrases, the n-gram model of the target
(gradatim.estimators.ngram), a reward a word and a phrase, and the words jumped over between two phrases.
"""

from dataclasses import asdict, astuple, dataclass

import numpy as np
from numba import njit

from gradatim.estimators.ngram import KneserNey, _find
from gradatim.estimators.phrase_table import PhraseTable, hash_of

LONGEST = 60  # source words that are translated at once
STACK, OPTIONS = 24, 8  # hypotheses of a stack, translations of a phrase
NEVER = -1e30


@dataclass(frozen=True, slots=True)
class Weights:
    """What each feature counts: those of a phrase, a word written, a phrase, the n-gram model, a word jumped over.

    reach: the most words that are jumped over; 0 keeps the order of the source.
    """

    phrase_given_source: float = 0.2
    phrase_given_target: float = 0.2
    words_given_source: float = 0.2
    words_given_target: float = 0.2
    word: float = 0.8
    phrase: float = -0.2
    language: float = 0.3
    jump: float = -0.2
    reach: int = 4

    def to_json(self) -> dict[str, float]:
        """A JSON object; `Weights(**value)` reads it back."""
        return asdict(self)


def translate(
    sentence: np.ndarray, table: PhraseTable, model: KneserNey, weights: Weights, *, walls: np.ndarray | None = None,
    stack: int = STACK, options: int = OPTIONS,
) -> list[int]:
    """The best translation of source words, int (n,), as target words; a source word i without one is −1 − i.

    Numbers of target words are those of the model, in which 0 is the boundary of sentences. walls, bool (n,): source
    words that nothing jumps over, such as the full stop (Koehn & Haddow 2009, "Edinburgh's Submission to all Tracks").
    """
    sentence = np.asarray(sentence, np.int32)
    walls = np.zeros(len(sentence), np.bool_) if walls is None else walls
    phrases = (table.keys, table.starts, table.ends, table.words, table.features)
    ngrams = (model.tokens, model.first, model.suffix, model.probability, model.backoff, model.vocabulary)
    numbers = np.array(astuple(weights), np.float64)
    written: list[int] = []
    for start in range(0, len(sentence), LONGEST):
        part = sentence[start : start + LONGEST]
        wall = walls[start : start + LONGEST]
        found = _search(part, wall, phrases, ngrams, model.start, numbers, stack, options)
        written += [word if word >= 0 else word - start for word in found]
    return written


@njit(cache=True, nogil=True)
def _log_probability(ngrams, node, token):  # type: ignore[no-untyped-def]
    """log p(token | context of a node), and the node after it."""
    tokens, first, suffix, probability, backoff, vocabulary = ngrams
    weight = 1.0
    while True:
        child = _find(tokens, first, node, token)
        if child >= 0:
            return np.log(weight * probability[child]), np.int64(child)
        weight *= backoff[node]
        if node == 0:
            return np.log(weight / vocabulary), np.int64(0)
        node = suffix[node]


@njit(cache=True, nogil=True)
def _written(phrases, ngrams, place, node):  # type: ignore[no-untyped-def]
    """log p of a translation's words by the n-gram model after a node, and the node after them.

    place: of the translation in the table; −1: a word that is copied, which no n-gram has.
    """
    if place < 0:
        return _log_probability(ngrams, node, ngrams[5])
    ends, words = phrases[2], phrases[3]
    total = 0.0
    for word in words[ends[place] : ends[place + 1]]:
        value, node = _log_probability(ngrams, node, word)
        total += value
    return total, node


@njit(cache=True, nogil=True)
def _spans(sentence, phrases, ngrams, weights, kept):  # type: ignore[no-untyped-def]
    """The best translations of each span: span start, span end, place in the table (−1: the word itself), score, and
    the score with the n-gram model inside the phrase; in order of the spans, with where each span begins.
    """
    keys, starts, ends, _, features = phrases
    size = len(sentence)
    found = np.empty((size * 6 * kept, 3), np.int64)
    scores = np.empty((len(found), 2))
    places = np.zeros((size, 7), np.int64)
    count = 0
    for start in range(size):
        for length in range(1, 7):
            places[start, length - 1] = count
            if start + length > size or length == 6:
                continue
            key = hash_of(sentence[start : start + length])
            place = np.searchsorted(keys, key)
            begin = count
            if place < len(keys) and keys[place] == key:
                for option in range(starts[place], starts[place + 1]):
                    score = weights[5] + weights[4] * (ends[option + 1] - ends[option])
                    for feature in range(4):
                        score += weights[feature] * features[option, feature]
                    total = score + weights[6] * _written(phrases, ngrams, option, np.int64(0))[0]
                    at = count
                    while at > begin and scores[at - 1, 1] < total:
                        at -= 1
                    if at - begin < kept:
                        for move in range(min(count, begin + kept - 1), at, -1):
                            found[move], scores[move] = found[move - 1], scores[move - 1]
                        found[at, 0], found[at, 1], found[at, 2] = start, start + length, option
                        scores[at, 0], scores[at, 1] = score, total
                        count = min(count + 1, begin + kept)
            if length == 1 and count == begin:
                found[count, 0], found[count, 1], found[count, 2] = start, start + 1, -1
                scores[count] = weights[4] + weights[5]
                count += 1
        places[start, 6] = count
    return found[:count], scores[:count], places


@njit(cache=True, nogil=True)
def _rest_costs(size, scores, places):  # type: ignore[no-untyped-def]
    """The best that each run of source words can add, float64 (n, n + 1): phrases side by side, without jumps."""
    best = np.full((size + 1, size + 1), NEVER)
    for length in range(1, size + 1):
        for start in range(size - length + 1):
            end = start + length
            if length <= 5 and places[start, length - 1] < places[start, length]:
                best[start, end] = scores[places[start, length - 1], 1]
            for middle in range(start + 1, end):
                best[start, end] = max(best[start, end], best[start, middle] + best[middle, end])
    return best


@njit(cache=True, nogil=True)
def _rest(mask, size, costs):  # type: ignore[no-untyped-def]
    """The best that the words which are not yet translated can add."""
    total, begin = 0.0, 0
    while begin < size:
        if (mask >> begin) & 1:
            begin += 1
            continue
        close = begin + 1
        while close < size and not (mask >> close) & 1:
            close += 1
        total += costs[begin, close]
        begin = close
    return total


@njit(cache=True, nogil=True)
def _search(sentence, walls, phrases, ngrams, root, weights, stack, kept):  # type: ignore[no-untyped-def]
    """Stacks by the number of translated words; then the best of the last, read backwards.

    A hypothesis: values (score, score with the rest), state (translated words as bits, node of the n-gram model, end of
    the last phrase), origin (last option, stack and place of the hypothesis before it).
    """
    size = len(sentence)
    found, scores, places = _spans(sentence, phrases, ngrams, weights, kept)
    costs = _rest_costs(size, scores, places)
    reach = int(weights[8])
    counts = np.zeros(size + 1, np.int64)
    values = np.full((size + 1, stack, 2), NEVER)
    state, origin = np.zeros((size + 1, stack, 3), np.int64), np.zeros((size + 1, stack, 3), np.int64)
    counts[0], values[0, 0, 0], state[0, 0, 1] = 1, 0.0, root
    for done in range(size):
        for one in range(counts[done]):
            mask, node, last = state[done, one]
            gap = 0
            while (mask >> gap) & 1:
                gap += 1
            wall = gap  # nothing from here on may be translated before the gap is
            while wall < size and not walls[wall]:
                wall += 1
            for start in range(gap, min(size, gap + reach + 1)):
                if start > gap and start >= wall:
                    break
                if (mask >> start) & 1:
                    continue
                for option in range(places[start, 0], places[start, 6]):
                    end = found[option, 1]
                    span = ((np.int64(1) << (end - start)) - 1) << start
                    if mask & span:
                        break
                    if start > gap and (end - gap > reach + 1 or end > wall):
                        continue
                    language, at = _written(phrases, ngrams, found[option, 2], node)
                    target = done + end - start
                    if target == size:
                        language += _log_probability(ngrams, at, 0)[0]
                    score = (values[done, one, 0] + scores[option, 0] + weights[7] * abs(start - last)
                             + weights[6] * language)
                    ahead = score + _rest(mask | span, size, costs)
                    slot = _slot(values[target], state[target], counts[target], mask | span, at, end, score, ahead)
                    if slot >= 0:
                        counts[target] = max(counts[target], slot + 1)
                        values[target, slot, 0], values[target, slot, 1] = score, ahead
                        state[target, slot, 0], state[target, slot, 1] = mask | span, at
                        state[target, slot, 2] = end
                        origin[target, slot, 0], origin[target, slot, 1] = option, done
                        origin[target, slot, 2] = one
    return _read_back(values, origin, found, phrases)


@njit(cache=True, nogil=True)
def _slot(values, state, count, mask, node, end, score, ahead):  # type: ignore[no-untyped-def]
    """Where a hypothesis goes: over one that is the same to all that follows, a free place, over the worst; or −1."""
    for other in range(count):
        if state[other, 0] == mask and state[other, 1] == node and state[other, 2] == end:
            return other if score > values[other, 0] else -1
    if count < len(values):
        return count
    worst = np.argmin(values[:, 1])
    return worst if ahead > values[worst, 1] else -1


@njit(cache=True, nogil=True)
def _read_back(values, origin, found, phrases):  # type: ignore[no-untyped-def]
    """The words of the best hypothesis, from the last phrase to the first."""
    ends, words = phrases[2], phrases[3]
    size = len(values) - 1
    chosen = np.empty(size, np.int64)
    many, done, one = 0, size, np.argmax(values[size, :, 0])
    while done > 0:
        chosen[many] = origin[done, one, 0]
        many += 1
        done, one = origin[done, one, 1], origin[done, one, 2]
    written = [np.int64(0) for _ in range(0)]
    for number in range(many - 1, -1, -1):
        place = found[chosen[number], 2]
        if place < 0:
            written.append(-1 - found[chosen[number], 0])
        else:
            for word in words[ends[place] : ends[place + 1]]:
                written.append(np.int64(word))
    return written
