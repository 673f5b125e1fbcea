"""Tokens that lose nothing: characters, words or subwords of a text, and a spelling for all that training never showed.

Nothing is normalised, so `text(ids(text))` is the text, whatever it holds. Token 0 is the boundary: as an input the
start of a text, <SOS>; as a target its end, <EOS>. A character that training showed less than twice is spelled in half
bytes of UTF-8 (tokens 1 to 16), an unknown word in characters; subwords begin with all 256 bytes, so there they are
the spelling. Only half of a surrogate pair, which no text file can hold, becomes the replacement character.
"""

import json
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Self

import numpy as np
from tokenizers import Tokenizer, models, pre_tokenizers, trainers

from gradatim.data.codecs import checks
from gradatim.data.encoding import without_lone_surrogates
from gradatim.errors import SchemaError

KINDS = ("characters", "words", "subwords")
HALVES = 16
MOST_TOKENS = 200_000
LONGEST_TOKEN = 400
MOST_CODE_POINTS = 0x110000
# A word or a run of marks with the space before it, or one blank: together they cover every text.
PIECES = re.compile(r" ?\w+| ?[^\w\s]+|\s")


@dataclass(frozen=True, slots=True)
class LosslessTokens:
    """A lossless tokenizer: which kind, its tokens in the order of their ids, for subwords the merges.

    >>> tokens = LosslessTokens.train(["to be or not to be"], "words", vocabulary=20)
    >>> tokens.text(tokens.ids("not to bé")), len(tokens)
    ('not to bé', 23)
    """

    kind: str
    vocabulary: tuple[str, ...]
    merges: tuple[tuple[str, str], ...] = ()
    engine: Any = field(init=False, repr=False, compare=False)
    spellings: tuple[bytes, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        _check(self)
        object.__setattr__(self, "engine", _engine(self))
        alphabet = {letter: byte for byte, letter in enumerate(byte_letters())}
        if self.kind == "subwords":
            spelled = tuple(bytes(alphabet[letter] for letter in token) for token in self.vocabulary)
        else:
            spelled = (b"",) * HALVES + tuple(token.encode() for token in self.vocabulary)
        object.__setattr__(self, "spellings", (b"", *spelled))

    def __len__(self) -> int:
        """Tokens, boundary and spelling included: ids run from 0 to this less 1."""
        return len(self.spellings)

    @classmethod
    def train(cls, texts: Sequence[str], kind: str, *, vocabulary: int | None = None) -> Self:
        """A tokenizer from training texts; at most `vocabulary` characters, words or subwords (None: by their amount).

        Words stand beside all characters seen twice, subwords beside the 256 bytes.
        """
        checks.choice(kind, "tokens", KINDS)
        texts = [without_lone_surrogates(text) for text in texts]
        size = vocabulary or usual_size(kind, sum(map(len, texts)))
        if kind == "subwords":
            return cls(kind, *_merged(texts, max(size, 257)))
        letters = Counter[str]()
        for text in texts:
            letters.update(text)
        found = _frequent(letters, size if kind == "characters" else MOST_TOKENS // 2)
        if kind == "words":
            words = Counter[str]()
            for text in texts:
                words.update(piece for piece in PIECES.findall(text) if 1 < len(piece) <= LONGEST_TOKEN)
            found += _frequent(words, size)
        return cls(kind, found)

    def ids(self, text: str) -> np.ndarray:
        """The ids of a text, int64 (length,), without boundaries."""
        text = without_lone_surrogates(text)
        if self.kind == "subwords":
            return np.array(self.engine.encode(text, add_special_tokens=False).ids, np.int64) + 1
        if self.kind == "characters":
            return self._by_letter(text)
        known, found = self.engine[1], []
        for piece in PIECES.findall(text):
            if piece in known:
                found.append(known[piece])
            else:
                found += [i for letter in piece for i in ((known[letter],) if letter in known else halves(letter))]
        return np.array(found, np.int64)

    def many(self, texts: Iterable[str]) -> list[np.ndarray]:
        """The ids of each text: what `ids` gives, subwords on all cores at once."""
        if self.kind != "subwords":
            return [self.ids(text) for text in texts]
        found = self.engine.encode_batch_fast([without_lone_surrogates(text) for text in texts],
                                              add_special_tokens=False)
        return [np.array(one.ids, np.int64) + 1 for one in found]

    def _by_letter(self, text: str) -> np.ndarray:
        table = self.engine[0]
        points = np.frombuffer(text.encode("utf-32-le"), np.uint32)
        ids = table[points]
        if (ids > 0).all():
            return ids.astype(np.int64)
        found: list[int] = []
        for letter, known in zip(text, ids.tolist()):
            found += [known] if known else halves(letter)
        return np.array(found, np.int64)

    def text(self, ids: Iterable[int]) -> str:
        """The text of ids; boundaries are nothing, bytes that are no UTF-8 become the replacement character."""
        reader = Reader(self)
        return "".join([*(reader(int(token)) for token in ids), reader.end()])

    def pieces(self, ids: Sequence[int] | np.ndarray) -> list[str]:
        """What each id adds to the text; a spelling counts to its last id."""
        reader = Reader(self)
        return [reader(int(token)) for token in ids]

    def to_json(self) -> dict[str, Any]:
        """A JSON object that `from_json` reads back."""
        return {"kind": self.kind, "vocabulary": list(self.vocabulary), "merges": [list(pair) for pair in self.merges]}

    @classmethod
    def from_json(cls, value: Any) -> Self:
        """Read what `to_json` wrote; ArtifactError for anything else."""
        with checks.reading("tokens"):
            checks.strings(value["vocabulary"], "vocabulary", most=MOST_TOKENS, longest=LONGEST_TOKEN)
            if not isinstance(value["merges"], list) or len(value["merges"]) > MOST_TOKENS:
                raise SchemaError(f"merges: expected a list of at most {MOST_TOKENS} pairs")
            return cls(value["kind"], tuple(value["vocabulary"]), tuple(tuple(pair) for pair in value["merges"]))


class Reader:
    """Ids to text, one at a time, as they are generated: each call gives what has become readable.

    >>> reader = Reader(LosslessTokens("characters", ("a",)))
    >>> [reader(token) for token in (17, 1 + 12, 1 + 3, 1 + 10, 1 + 9, 17)]
    ['a', '', '', '', 'é', 'a']
    """

    def __init__(self, tokens: LosslessTokens) -> None:
        self.tokens = tokens
        self._bytes = b""
        self._half: int | None = None

    def __call__(self, token: int) -> str:
        if self.tokens.kind != "subwords" and 1 <= token <= HALVES:
            if self._half is None:
                self._half = token - 1
                return ""
            self._bytes += bytes([16 * self._half + token - 1])
            self._half = None
            return self._readable()
        broken = "\ufffd" if self._half is not None else ""
        self._half = None
        if self.tokens.kind != "subwords":  # what was begun cannot be finished by a whole character
            broken = self._flush() + broken
            return broken + self.tokens.spellings[token].decode()
        self._bytes += self.tokens.spellings[token]
        return self._flush() if token == 0 else self._readable()

    def end(self) -> str:
        """What is left when no more ids come."""
        half, self._half = self._half, None
        return self._flush() + ("\ufffd" if half is not None else "")

    def _readable(self) -> str:
        try:
            text = self._bytes.decode()
        except UnicodeDecodeError as error:
            if error.reason == "unexpected end of data":  # the rest may still come
                text, self._bytes = self._bytes[: error.start].decode(), self._bytes[error.start :]
                return text
            return self._flush()
        self._bytes = b""
        return text

    def _flush(self) -> str:
        text, self._bytes = self._bytes.decode(errors="replace"), b""
        return text


def halves(letter: str) -> list[int]:
    """The ids that spell a character: the half bytes of its UTF-8."""
    return [1 + half for byte in letter.encode() for half in (byte >> 4, byte & 15)]


def usual_size(kind: str, characters: int) -> int:
    """How many tokens suit an amount of text: up to 5,000 characters; a word or subword for some hundred characters.

    >>> usual_size("subwords", 1_000_000), usual_size("words", 1_000_000)
    (2500, 10000)
    """
    if kind == "characters":
        return 5_000
    if kind == "words":
        return min(max(characters // 100, 500), 20_000)
    return min(max(characters // 400, 512), 16_000)


@cache
def byte_letters() -> tuple[str, ...]:
    """The visible character that stands for each byte in the tokens of a byte-level BPE (Radford et al. 2019)."""
    shown = [*range(33, 127), *range(161, 173), *range(174, 256)]
    hidden = iter(range(256, 512))
    return tuple(chr(byte) if byte in shown else chr(next(hidden)) for byte in range(256))


def _merged(texts: list[str], size: int) -> tuple[tuple[str, ...], tuple[tuple[str, str], ...]]:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = trainers.BpeTrainer(vocab_size=size, min_frequency=2, initial_alphabet=list(byte_letters()),
                                  special_tokens=[], show_progress=False, max_token_length=50)
    tokenizer.train_from_iterator(texts, trainer)
    trained = json.loads(tokenizer.to_str())["model"]
    vocabulary = tuple(sorted(trained["vocab"], key=trained["vocab"].__getitem__))
    return vocabulary, tuple((left, right) for left, right in trained["merges"])


def _frequent(counts: Counter[str], most: int) -> tuple[str, ...]:
    # What occurs once is left out: so training shows what a spelling looks like.
    kept = [token for token, count in counts.items() if count >= 2] or list(counts)
    return tuple(sorted(kept, key=lambda token: (-counts[token], token))[:most])


def _engine(tokens: LosslessTokens) -> Any:
    if tokens.kind == "subwords":
        ids = {token: index for index, token in enumerate(tokens.vocabulary)}
        engine = Tokenizer(models.BPE(vocab=ids, merges=list(tokens.merges)))
        engine.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        return engine
    known = {token: index + 1 + HALVES for index, token in enumerate(tokens.vocabulary)}
    table = np.zeros(MOST_CODE_POINTS, np.int32)
    for token, index in known.items():
        if len(token) == 1:
            table[ord(token)] = index
    return table, {token: index for token, index in known.items() if len(token) > 1} | {
        token: index for token, index in known.items() if len(token) == 1}


def _check(tokens: LosslessTokens) -> None:
    checks.choice(tokens.kind, "tokens", KINDS)
    checks.strings(list(tokens.vocabulary), "vocabulary", most=MOST_TOKENS, longest=LONGEST_TOKEN)
    if "" in tokens.vocabulary or any(without_lone_surrogates(token) != token for token in tokens.vocabulary):
        raise SchemaError("vocabulary: expected tokens of whole characters")
    if tokens.kind == "characters" and any(len(token) != 1 for token in tokens.vocabulary):
        raise SchemaError("vocabulary: expected single characters")
    if tokens.kind != "subwords":
        if tokens.merges:
            raise SchemaError("merges: expected none but with 'subwords'")
        return
    letters = set(byte_letters())
    known = set(tokens.vocabulary)
    if not letters <= known or any(letter not in letters for token in known for letter in token):
        raise SchemaError("vocabulary: expected all 256 bytes, and nothing but bytes")
    for pair in tokens.merges:
        good = isinstance(pair, tuple) and len(pair) == 2 and all(isinstance(part, str) for part in pair)
        if not good or not {pair[0], pair[1], pair[0] + pair[1]} <= known:
            raise SchemaError("merges: expected pairs of tokens whose union is a token")
