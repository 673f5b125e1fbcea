"""Pairs of texts ⇄ ids: literals hidden behind markers, subwords shared by both sides, with bytes for the unseen.

Ids: 0 padding; 1 the boundary (<SOS> before what is written, <EOS> after it); 2 to 17 the markers of literals
(gradatim.data.placeholders); from 18 on the subwords. Nothing is normalised, so a text comes back as it was.
"""

import hashlib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from gradatim.data.codecs import checks
from gradatim.data.codecs.lossless import LosslessTokens
from gradatim.data.encoding import without_lone_surrogates
from gradatim.data.placeholders import MARKERS, hide, hide_known, restore
from gradatim.estimators.alignment import words_of

PADDING, BOUNDARY, FIRST_MARKER = 0, 1, 2
SHIFT = FIRST_MARKER + len(MARKERS) - 1  # the subwords of LosslessTokens begin at 1
MARKED = re.compile(f"([{MARKERS[0]}-{MARKERS[-1]}])")
LONGEST = 512  # tokens
MOST_TAUGHT = 60_000  # pairs that the merges are learned from
KEPT_SHARE = 0.995  # of the training texts are kept whole
MOST_CHARACTERS = 20_000  # of one cell; what follows is cut before it is split into tokens


@dataclass(frozen=True, slots=True)
class Encoded:
    """A source text: its ids, the literals behind its markers, and whether its end was cut."""

    ids: np.ndarray
    literals: tuple[str, ...]
    cut: bool


@dataclass(frozen=True, slots=True)
class PairTokens:
    """The tokens of both sides, and the most of each that a text may have.

    >>> tokens = PairTokens.train(["open %s", "open it"], ["%s auf", "es auf"], vocabulary=260)
    >>> encoded = tokens.source("open %s.")
    >>> tokens.text(encoded.ids, encoded.literals), tokens.target("%s auf", encoded.literals)[0].tolist()[0]
    ('open %s.', 2)
    """

    subwords: LosslessTokens
    source_length: int
    target_length: int

    @classmethod
    def train(
        cls, sources: Sequence[str], targets: Sequence[str], *, vocabulary: int, longest: int = LONGEST
    ) -> Self:
        """Subwords from the training rows of both sides; lengths that keep nearly all of them whole."""
        every = max(1, len(sources) // MOST_TAUGHT)  # the merges of many texts are those of an even choice
        hidden = [hide(source[:MOST_CHARACTERS]) for source in sources[::every]]
        known = [hide_known(target[:MOST_CHARACTERS], one.literals) for target, one in zip(targets[::every], hidden)]
        texts = [MARKED.sub("\n", text) for text in (*(one.text for one in hidden), *known)]
        tokens = cls(LosslessTokens.train(texts, "subwords", vocabulary=vocabulary), longest, longest)
        step = max(1, len(hidden) // 5000)
        lengths = [[len(tokens._ids(text)) for text in side[::step]] for side in ([one.text for one in hidden], known)]
        source, target = (int(min(np.quantile(side, KEPT_SHARE, method="higher") + 8, longest)) for side in lengths)
        return cls(tokens.subwords, source, target)

    def __len__(self) -> int:
        """How many ids there are."""
        return len(self.subwords) + SHIFT

    def source(self, text: str) -> Encoded:
        """A source text; its end is cut beyond `source_length` tokens."""
        return self.all_sources([text])[0]

    def all_sources(self, texts: Sequence[str]) -> list[Encoded]:
        """Many source texts at once, which is several times as fast."""
        hidden = [hide(text[:MOST_CHARACTERS]) for text in texts]
        most = self.source_length
        return [Encoded(ids[:most], one.literals, len(ids) > most or len(text) > MOST_CHARACTERS)
                for ids, one, text in zip(self._all_ids([one.text for one in hidden]), hidden, texts)]

    def target(self, text: str, literals: tuple[str, ...]) -> tuple[np.ndarray, bool]:
        """The ids of a translation of a source with these literals, and whether its end was cut."""
        return self.all_targets([text], [Encoded(np.zeros(0, np.int64), literals, False)])[0]

    def all_targets(self, texts: Sequence[str], sources: Sequence[Encoded]) -> list[tuple[np.ndarray, bool]]:
        """The translations of many sources at once."""
        hidden = [hide_known(text[:MOST_CHARACTERS], one.literals) for text, one in zip(texts, sources)]
        most = self.target_length
        return [(ids[:most], len(ids) > most or len(text) > MOST_CHARACTERS)
                for ids, text in zip(self._all_ids(hidden), texts)]

    def _ids(self, text: str) -> np.ndarray:
        return self._all_ids([text])[0]

    def _all_ids(self, texts: Sequence[str]) -> list[np.ndarray]:
        """Ids of texts; what stands between markers is encoded together."""
        split = [MARKED.split(without_lone_surrogates(text)) for text in texts]
        engine = self.subwords.engine
        encoded = iter(engine.encode_batch([part for parts in split for part in parts[::2] if part],
                                           add_special_tokens=False))
        found = []
        for parts in split:
            ids: list[int] = []
            for place, part in enumerate(parts):
                if place % 2:
                    ids.append(FIRST_MARKER + MARKERS.index(part))
                elif part:
                    ids += [token + 1 + SHIFT for token in next(encoded).ids]
            found.append(np.array(ids, dtype=np.int64))
        return found

    def text(self, ids: Iterable[int], literals: tuple[str, ...]) -> str:
        """The text of ids with the literals put back; padding and boundaries are nothing."""
        return restore(self.marked(ids), literals)

    def marked(self, ids: Iterable[int]) -> str:
        """The text of ids with the markers standing."""
        parts, run = [], []
        for token in ids:
            if token > SHIFT:
                run.append(int(token) - SHIFT)
            elif token >= FIRST_MARKER:
                parts += [self.subwords.text(run), MARKERS[int(token) - FIRST_MARKER]]
                run = []
        return "".join([*parts, self.subwords.text(run)])

    def pieces(self, ids: Sequence[int] | np.ndarray, literals: tuple[str, ...]) -> list[str]:
        """What each id adds to the text, literals in place of markers."""
        plain = [int(token) - SHIFT if token > SHIFT else 0 for token in ids]
        pieces = self.subwords.pieces(plain)
        for place, token in enumerate(ids):
            if FIRST_MARKER <= token <= SHIFT:
                pieces[place] += restore(MARKERS[int(token) - FIRST_MARKER], literals)
        return pieces

    def to_json(self) -> dict[str, Any]:
        """A JSON object that `from_json` reads back."""
        return {"subwords": self.subwords.to_json(), "source_length": self.source_length,
                "target_length": self.target_length}

    @classmethod
    def from_json(cls, value: Any) -> Self:
        """Read what `to_json` wrote; one line of error for anything else."""
        with checks.reading("tokens"):
            subwords = LosslessTokens.from_json(value["subwords"])
            checks.choice(subwords.kind, "tokens", ("subwords",))
            return cls(subwords, checks.whole(value["source_length"], "source_length", 1, 100_000),
                       checks.whole(value["target_length"], "target_length", 1, 100_000))


def usual_vocabulary(characters: int) -> int:
    """How many subwords suit an amount of text of both sides together: fewer than for one language model, because the
    step to the output is dear.

    >>> [usual_vocabulary(characters) for characters in (20_000, 1_000_000, 20_000_000)]
    [500, 2000, 5000]
    """
    return min(max(characters // 500, 500), 5000)


def digests(words: Iterable[str]) -> np.ndarray:
    """Sorted 64-bit digests of words, int64: a set of words to look into, at eight bytes a word."""
    joined = b"".join(hashlib.blake2b(word.encode("utf-8", "replace"), digest_size=8).digest() for word in words)
    return np.unique(np.frombuffer(joined, dtype=">i8").astype(np.int64))


def known_words(texts: Iterable[str]) -> np.ndarray:
    """The digests of the words of texts, in lower case."""
    return digests({word.lower() for text in texts for word in words_of(text)})


def is_known(word: str, known: np.ndarray) -> bool:
    """Whether a word, in lower case, is among the digests.

    >>> is_known("The", known_words(["the cat"])), is_known("dog", known_words(["the cat"]))
    (True, False)
    """
    digest = digests([word.lower()])[0]
    place = int(np.searchsorted(known, digest))
    return place < len(known) and bool(known[place] == digest)
