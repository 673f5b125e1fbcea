"""IBM model 1: which word of one language means which of another, from nothing but pairs of sentences.

Brown, Della Pietra, Della Pietra & Mercer, "The Mathematics of Statistical Machine Translation", 1993, § 4.2. Each
target word f comes from one source word e, or from the empty word, all places alike:

    E:  share(f from e) = t(f|e) / Σ_e' t(f|e')  over the words e' of its sentence
    M:  t(f|e) = Σ shares of f from e / Σ shares of anything from e

The likelihood has one maximum (up to flat directions), so the start does not matter. What to notice: a rare word
explains whatever stands beside it, for want of a second sentence that would say otherwise.

All pairs of words that ever meet are numbered once; an iteration is then two gathers and two counts over arrays.
"""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

EMPTY = ""  # the word that target words without a counterpart come from
WORDS = re.compile(r"\w+(?:['’-]\w+)*|[^\w\s]")
ROUNDS = 8
MOST_WORDS = 60  # of a sentence: the count of pairs grows with the product
LEAST_SHARE = 1e-4


def words_of(text: str) -> list[str]:
    """Words and single marks, as they are written.

    >>> words_of("Don't panic: it's 5-fold.")
    ["Don't", 'panic', ':', "it's", '5-fold', '.']
    """
    return WORDS.findall(text)


@dataclass(frozen=True, slots=True)
class WordTable:
    """t(f|e) as parallel arrays, best first for each source word: sources (sorted), starts, targets, shares.

    sources: words, starts int64 (S + 1,) into codes int32 and shares float32; targets: words by code.
    """

    sources: tuple[str, ...]
    starts: np.ndarray
    targets: tuple[str, ...]
    codes: np.ndarray
    shares: np.ndarray
    log_likelihoods: tuple[float, ...] = ()
    places: dict[str, int] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "places", {word: place for place, word in enumerate(self.sources)})

    def translations(self, word: str) -> list[tuple[str, float]]:
        """The target words of a source word with t(f|e), most probable first."""
        place = self.places.get(word)
        if place is None:
            return []
        span = slice(int(self.starts[place]), int(self.starts[place + 1]))
        return [(self.targets[code], float(share)) for code, share in zip(self.codes[span], self.shares[span])]

    def write(self, text: str) -> str:
        """The text with each word replaced by its most probable translation; words never seen are copied.

        Case and spaces are the source's.
        """
        written, end = [], 0
        for found in WORDS.finditer(text):
            written += [text[end : found.start()], self._best(found.group())]
            end = found.end()
        return "".join([*written, text[end:]])

    def _best(self, word: str) -> str:
        if not word[0].isalnum():
            return word
        for form in (word, word.lower(), word.capitalize()):
            found = self.translations(form)
            if found:
                best = found[0][0]
                return best if form == word or best != best.lower() else best.capitalize()
        return word


def fit_word_table(
    sources: Sequence[Sequence[str]], targets: Sequence[Sequence[str]], *, rounds: int = ROUNDS, kept: int = 5
) -> WordTable:
    """Fit t(f|e) by `rounds` of EM on pairs of word lists; `kept` translations of each source word are remembered.

    >>> table = fit_word_table([["the", "house"], ["the", "book"], ["a", "book"]],
    ...                        [["das", "Haus"], ["das", "Buch"], ["ein", "Buch"]])
    >>> [table.translations(word)[0][0] for word in ("house", "book", "a")]
    ['Haus', 'Buch', 'ein']
    """
    pairs = _Pairs.of(sources, targets)
    table = np.ones(len(pairs.of_source)) / np.maximum(np.bincount(pairs.of_source)[pairs.of_source], 1)
    likelihoods = []
    for _ in range(rounds):
        shares = table[pairs.meeting]
        sums = np.bincount(pairs.place, weights=shares, minlength=pairs.places)
        likelihoods.append(float(np.log(sums).sum() - pairs.log_choices))
        counts = np.bincount(pairs.meeting, weights=shares / sums[pairs.place], minlength=len(table))
        table = counts / np.bincount(pairs.of_source, weights=counts)[pairs.of_source]
    return _remembered(pairs, table, kept, tuple(likelihoods))


@dataclass(frozen=True, slots=True)
class _Pairs:
    """Every meeting of a source and a target word: number of the pair and of the target's place, both (M,).

    of_source, of_target (P,): the words of each pair; log_choices: Σ over target places of log(1 + source words).
    """

    source_words: list[str]
    target_words: list[str]
    of_source: np.ndarray
    of_target: np.ndarray
    meeting: np.ndarray
    place: np.ndarray
    places: int
    log_choices: float

    @classmethod
    def of(cls, sources: Sequence[Sequence[str]], targets: Sequence[Sequence[str]]) -> "_Pairs":
        source_words, target_words = _numbered([[EMPTY]], sources), _numbered([], targets)
        keys, places, count, choices = [], [], 0, 0.0
        for source, target in zip(sources, targets):
            source, target = [EMPTY, *source[:MOST_WORDS]], target[:MOST_WORDS]
            if not target:
                continue
            left = np.array([source_words[word] for word in source], np.int64)
            right = np.array([target_words[word] for word in target], np.int64)
            keys.append((left[None, :] * len(target_words) + right[:, None]).ravel())
            places.append(np.repeat(np.arange(count, count + len(right)), len(left)))
            count += len(right)
            choices += len(right) * np.log(len(left))
        if not keys:
            raise ValueError("expected at least one pair of sentences with words, received none")
        pairs, meeting = np.unique(np.concatenate(keys), return_inverse=True)
        return cls(list(source_words), list(target_words), pairs // len(target_words), pairs % len(target_words),
                   meeting, np.concatenate(places), count, choices)


def _numbered(first: list[list[str]], texts: Sequence[Sequence[str]]) -> dict[str, int]:
    counts = Counter(word for words in texts for word in words)
    return {word: number for number, word in enumerate([*(w for words in first for w in words), *sorted(counts)])}


def _remembered(pairs: _Pairs, table: np.ndarray, kept: int, likelihoods: tuple[float, ...]) -> WordTable:
    """The best translations of each source word but the empty one."""
    order = np.lexsort((pairs.of_target, -table, pairs.of_source))
    source, target, share = pairs.of_source[order], pairs.of_target[order], table[order]
    first = np.searchsorted(source, source)
    good = (np.arange(len(source)) - first < kept) & (share > LEAST_SHARE) & (source > 0)
    source, target, share = source[good], target[good], share[good]
    words, starts = np.unique(source, return_index=True)
    used, codes = np.unique(target, return_inverse=True)
    return WordTable(
        tuple(pairs.source_words[number] for number in words), np.append(starts, len(source)).astype(np.int64),
        tuple(pairs.target_words[number] for number in used), codes.astype(np.int32), share.astype(np.float32),
        likelihoods,
    )
