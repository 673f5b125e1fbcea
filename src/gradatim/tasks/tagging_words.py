"""Sentences as members of a tagging run read them: lists of tokens, and answers an array of probabilities a sentence.

`Words` turns tokens into numbers for a network: words as they were often enough in training, and every word's
characters, which speak for those that were not.
"""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from gradatim.data.codecs import checks
from gradatim.data.token_lists import parse_tokens
from gradatim.errors import CellError
from gradatim.problems import Problems

MOST_WORDS, MOST_CHARACTERS = 200_000, 20_000
LONGEST_WORD = 24  # characters; of longer words the first and the last are read
_DIGITS = re.compile(r"\d")


def read_sentences(
    cells: Sequence[object], *, problems: Problems | None = None, column: str = "", lines: np.ndarray | None = None
) -> list[list[str]]:
    """The tokens of each row, none where the cell is missing or unreadable (then it is a problem)."""
    sentences = []
    for row, cell in enumerate(cells):
        try:
            sentences.append(parse_tokens(cell) or [])
        except CellError as error:
            sentences.append([])
            if problems is not None:
                line = None if lines is None else int(lines[row])
                problems.add(error.code, str(error), column=column, row=row, line=line)
    return sentences


def offsets_of(sentences: Sequence[Any]) -> np.ndarray:
    """Where each sentence begins in the row of all tokens, int64 (S + 1,)."""
    return np.concatenate([[0], np.cumsum([len(sentence) for sentence in sentences])]).astype(np.int64)


def as_answers(rows: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    """Rows of all tokens (T, C) as an object array with (L, C) a sentence."""
    answers = np.empty(len(offsets) - 1, dtype=object)
    for number in range(len(answers)):
        answers[number] = rows[offsets[number] : offsets[number + 1]]
    return answers


def normal(word: str) -> str:
    """A word as its number is looked up: lower case, digits all alike.

    >>> normal("B-52")
    'b-00'
    """
    return _DIGITS.sub("0", word.lower())


@dataclass(frozen=True, slots=True)
class Words:
    """Numbers of words and of characters: 0 padding, 1 unknown, then those of the lists.

    >>> words = Words.fit([["Rome", "fell"], ["Rome"]])
    >>> words.vocabulary, words.characters[:3]
    (('rome', 'fell'), ('e', 'R', 'l'))
    """

    vocabulary: tuple[str, ...]
    characters: tuple[str, ...]
    _words: dict[str, int] = field(init=False, repr=False, compare=False)
    _characters: dict[str, int] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_words", {word: number + 2 for number, word in enumerate(self.vocabulary)})
        object.__setattr__(self, "_characters", {sign: number + 2 for number, sign in enumerate(self.characters)})

    @classmethod
    def fit(cls, sentences: Sequence[Sequence[str]]) -> "Words":
        """All words and characters of training sentences, most frequent first."""
        words: Counter[str] = Counter()
        signs: Counter[str] = Counter()
        for sentence in sentences:
            for word in sentence:
                words[normal(word)] += 1
                signs.update(word)
        kept = sorted(words, key=lambda word: (-words[word], word))[:MOST_WORDS]
        known = sorted(signs, key=lambda sign: (-signs[sign], sign))[:MOST_CHARACTERS]
        return cls(tuple(kept), tuple(known))

    def counts(self, sentences: Sequence[Sequence[str]]) -> np.ndarray:
        """How often each number occurs in sentences, int64 (vocabulary + 2,)."""
        numbers = [self._words.get(normal(word), 1) for sentence in sentences for word in sentence]
        return np.bincount(numbers, minlength=len(self.vocabulary) + 2)

    def encode(self, sentences: Sequence[Sequence[str]]) -> dict[str, torch.Tensor]:
        """{"words": int64 (B, L), "characters": int64 (B, L, K), "lengths": int64 (B,)}; L and K at least 1."""
        lengths = [len(sentence) for sentence in sentences]
        longest = max(lengths, default=0) or 1
        letters = [[_cut(word) for word in sentence] for sentence in sentences]
        widest = max((len(word) for sentence in letters for word in sentence), default=0) or 1
        words = np.zeros((len(sentences), longest), dtype=np.int64)
        signs = np.zeros((len(sentences), longest, widest), dtype=np.int64)
        for row, sentence in enumerate(sentences):
            words[row, : len(sentence)] = [self._words.get(normal(word), 1) for word in sentence]
            for place, word in enumerate(letters[row]):
                signs[row, place, : len(word)] = [self._characters.get(sign, 1) for sign in word]
        return {"words": torch.from_numpy(words), "characters": torch.from_numpy(signs),
                "lengths": torch.tensor(lengths, dtype=torch.int64)}

    def to_json(self) -> dict[str, Any]:
        """A JSON object that `from_json` reads back."""
        return {"vocabulary": list(self.vocabulary), "characters": list(self.characters)}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> "Words":
        """Read what `to_json` wrote."""
        with checks.reading("words"):
            words = checks.strings(value["vocabulary"], "vocabulary", most=MOST_WORDS, longest=2_000)
            signs = checks.strings(value["characters"], "characters", most=MOST_CHARACTERS, longest=1)
        return cls(tuple(words), tuple(signs))


def _cut(word: str) -> str:
    half = LONGEST_WORD // 2
    return word if len(word) <= LONGEST_WORD else word[:half] + word[-half:]
