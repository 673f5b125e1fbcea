"""Translating by phrases as a member: words with their spaces ⇄ numbers, the phrase table, the n-gram model, weights.

A token is a word or a mark; marks say on which side no space stands ("￭." follows its word, "(￭" goes before the next),
so that spaces come back as the target language sets them. Literals are markers, which phrases carry over or not at all.
The source is read in lower case, which is worth more than what its capitals tell.
"""

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from gradatim.data.codecs import checks
from gradatim.data.placeholders import MARKERS, hide, hide_known, restore
from gradatim.errors import ArtifactError
from gradatim.estimators.alignment import WORDS
from gradatim.estimators.ngram import KneserNey
from gradatim.estimators.phrase_search import Weights, translate
from gradatim.estimators.phrase_table import FEATURES, PhraseTable, read_phrases
from gradatim.estimators.word_links import Sentences, fit_links
from gradatim.models.outline import finite, whole
from gradatim.tasks.source import Source
from gradatim.tasks.translation_members import MOST_WORDS_TAUGHT, Read, answered, pack, texts_of, unpack

JOIN = "\uffed"
LINE = "\n"
WALLS = frozenset(".!?:;…")
OFTEN = 0.2  # of the uses of a word with a capital, from which one without is usual
ORDER = 4  # of the n-gram model
MOST_LINKED = 40  # words of a sentence that phrases are read off from


def spaced_tokens(text: str) -> list[str]:
    """Words and marks that know on which side no space stands; a line's end is a token of its own.

    >>> " ".join(spaced_tokens("Don't (ever) panic: 50!")).replace(JOIN, "+")
    "Don't (+ ever +) panic +: 50 +!"
    """
    tokens: list[str] = []
    end, joins, word_before = 0, False, False  # joins: the token before stands without a space before this one
    for found in WORDS.finditer(text):
        gap, token = text[end : found.start()], found.group().replace(JOIN, "")
        if LINE in gap:
            tokens += [LINE] * gap.count(LINE)
        word = token[:1].isalnum() or token[:1] == "_" or token in MARKERS
        beside = bool(tokens) and not gap and tokens[-1] != LINE
        after = text[found.end() : found.end() + 1]
        right = not word and bool(after) and (after.isalnum() or after in MARKERS)
        left = beside and not joins and not (word and not word_before)
        if token:
            tokens.append((JOIN if left else "") + token + (JOIN if right else ""))
        joins, word_before, end = right, word, found.end()
    return tokens


def joined(tokens: Sequence[str]) -> str:
    """The text of tokens.

    >>> joined(spaced_tokens("Don't (ever) panic: 50!"))
    "Don't (ever) panic: 50!"
    """
    parts: list[str] = []
    tight = True
    for token in tokens:
        word = token.strip(JOIN)
        if not (tight or token.startswith(JOIN) or token == LINE):
            parts.append(" ")
        parts.append(word)
        tight = token.endswith(JOIN) or token == LINE
    return "".join(parts)


@dataclass(frozen=True, slots=True)
class PhraseTranslator:
    """A phrase table, an n-gram model of the target, and the weights of their features.

    source_words, target_words: words by number; target number 0 is the boundary of the n-gram model.
    """

    column: str
    source_words: tuple[str, ...]
    target_words: tuple[str, ...]
    table: PhraseTable
    model: KneserNey
    weights: Weights
    numbers: dict[str, int]

    @classmethod
    def fit(cls, column: str, sources: Sequence[str], targets: Sequence[str]) -> "PhraseTranslator":
        """Align the pairs, read off phrases, count n-grams; weights as they usually are.

        Weights tuned on 200 and on 500 pairs did not write better than these on others (chrF −0.2 and −0.1).
       """
        pairs = []
        for source, target in zip(sources, targets):
            hidden = hide(source)
            pairs.append((spaced_tokens(hidden.text.lower()), spaced_tokens(hide_known(target, hidden.literals))))
        step = -(-sum(len(left) + len(right) for left, right in pairs) // MOST_WORDS_TAUGHT)
        pairs = pairs[::step]
        source_words = sorted({word for pair in pairs for word in pair[0]})
        target_words = ["", *sorted({word for pair in pairs for word in pair[1]})]
        numbers = {word: number for number, word in enumerate(source_words)}
        of_target = {word: number for number, word in enumerate(target_words)}
        rows = [(np.array([numbers[word] for word in left], np.int32),
                 np.array([of_target[word] for word in right], np.int32)) for left, right in pairs]
        model = KneserNey.fit([row[1] for row in rows if len(row[1])], order=ORDER, vocabulary=len(target_words))
        fit = [row for row in rows if 0 < len(row[0]) <= MOST_LINKED and 0 < len(row[1]) <= MOST_LINKED]
        left = Sentences.of([row[0] for row in fit], len(source_words))
        right = Sentences.of([row[1] for row in fit], len(target_words))
        table = read_phrases(left, right, fit_links(left, right), _marks(source_words), _marks(target_words))
        return cls(column, tuple(source_words), tuple(target_words), table, model, Weights(), numbers)

    @property
    def columns(self) -> tuple[str, ...]:
        """The column it looks at."""
        return (self.column,)

    def write(self, texts: Sequence[str]) -> list[str]:
        """The texts by phrases; an empty text stays empty."""
        return [self._written(text) for text in texts]

    def _written(self, text: str) -> str:
        hidden = hide(text)
        tokens = spaced_tokens(hidden.text)
        if not tokens:
            return text
        unknown = len(self.source_words)
        found = translate(np.array([self.numbers.get(token.lower(), unknown) for token in tokens], np.int32),
                          self.table, self.model, self.weights,
                          walls=np.array([token.strip(JOIN) in WALLS for token in tokens], np.bool_))
        said = joined([self.target_words[word] if word >= 0 else tokens[-1 - word] for word in found])
        said = self._begun_alike(said, text.lstrip())
        before, after = len(text) - len(text.lstrip()), len(text.rstrip())
        return text[:before] + restore(said, hidden.literals) + text[after:]

    def _begun_alike(self, said: str, text: str) -> str:
        """With a capital where the source has one; without, where the word is often written so."""
        if text[:1].isupper() and said[:1].islower():
            return said[0].upper() + said[1:]
        if text[:1].islower() and said[:1].isupper():
            word = spaced_tokens(said)[0]
            small = word[0].lower() + word[1:]
            if self._uses(small) > OFTEN * self._uses(word):
                return said[0].lower() + said[1:]
        return said

    def _uses(self, word: str) -> int:
        """How many different words a target word follows."""
        place = bisect_left(self.target_words, word, 1)
        if place == len(self.target_words) or self.target_words[place] != word:
            return 0
        words = self.model.tokens[1 : 1 + self.model.levels[1]]
        found = int(np.searchsorted(words, place))
        return int(self.model.counts[1 + found]) if found < len(words) and words[found] == place else 0

    def answer(self, source: Source) -> np.ndarray:
        """Texts, object (N,)."""
        return answered(self.write(texts_of(source, self.column)))

    def to_state(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """JSON state and arrays."""
        table = self.table
        arrays: dict[str, Any] = {"keys": table.keys.view(np.int64), "starts": table.starts, "ends": table.ends,
                                  "words": table.words, "features": table.features.ravel()}
        arrays |= {f"ngram.{name}": array for name, array in self.model.arrays().items()}
        for name, texts in (("source", self.source_words), ("target", self.target_words)):
            arrays[f"{name}.bytes"], arrays[f"{name}.ends"] = pack(texts)
        return {"member": "phrases", "column": self.column, "weights": self.weights.to_json()}, arrays

    @classmethod
    def from_state(
        cls, state: Mapping[str, Any], shapes: Mapping[str, Any], read: Read, task: Any
    ) -> "PhraseTranslator":
        """Rebuild from state; whatever would lead out of the arrays is refused."""
        source, target = (tuple(unpack(read(f"{name}.bytes"), read(f"{name}.ends"))) for name in ("source", "target"))
        model = KneserNey.from_arrays(len(target), {
            name: whole(name, read(f"ngram.{name}")) for name in ("levels", "tokens", "counts", "children")})
        keys, starts, ends, words = (np.ascontiguousarray(whole(name, read(name)).ravel())
                                     for name in ("keys", "starts", "ends", "words"))
        features = finite("features", read("features")).numpy().astype(np.float32).ravel()
        unsigned = keys.view(np.uint64)
        many = len(ends) - 1
        fits = (len(starts) == len(keys) + 1 and _rises(starts, many) and _rises(ends, len(words))
                and bool((unsigned[1:] > unsigned[:-1]).all()) and len(features) == FEATURES * many
                and bool(((words > 0) & (words < len(target))).all()))
        if not fits:
            raise ArtifactError("expected a table of phrases whose parts fit together, found another; fit again")
        table = PhraseTable(unsigned, starts, ends, words.astype(np.int32), features.reshape(-1, FEATURES))
        return cls(str(state["column"]), source, target, table, model, _weights(state["weights"]),
                   {word: number for number, word in enumerate(source)})


def _marks(words: Sequence[str]) -> np.ndarray:
    """A number for each marker, so large that sums tell which are there; 0 for usual words; int64."""
    numbers = {marker: 1 << (3 * place + 1) for place, marker in enumerate(MARKERS)}
    return np.array([numbers.get(word.strip(JOIN), 0) for word in words], np.int64)


def _rises(ends: np.ndarray, total: int) -> bool:
    """Whether these are ends of parts of `total` things."""
    return bool(len(ends) and ends[0] == 0 and ends[-1] == total and (np.diff(ends) >= 0).all())


def _weights(value: Mapping[str, Any]) -> Weights:
    """Weights from a file."""
    names = set(Weights().to_json())
    if set(value) != names or not all(abs(float(one)) < 100 for one in value.values()):
        raise ArtifactError(f"expected the weights {', '.join(sorted(names))} below 100, found others")
    found = {name: float(one) for name, one in value.items() if name != "reach"}
    return Weights(**found, reach=checks.whole(value["reach"], "reach", 0, 62))
