"""The tokenizer of BERT's published encoders as plain data: its words and pieces in the order of their ids.

A tokenizer.json is read as a list of words: its parts must be the ones that BERT has, and are then our own here, so a
file from a stranger brings no pattern and no component. '[CLS]' in a text is text, whatever the file says: the marks of
beginning and end are put round a text by `framed` alone.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer, models, normalizers, pre_tokenizers

from gradatim.data.codecs import checks
from gradatim.data.encoding import without_lone_surrogates
from gradatim.errors import ArtifactError, SchemaError

BERT = "bert"
PADDING, UNKNOWN, BEGIN, END = "[PAD]", "[UNK]", "[CLS]", "[SEP]"
MARKS = (PADDING, UNKNOWN, BEGIN, END)
MOST_BYTES = 20_000_000  # of a tokenizer.json
MOST_TOKENS = 200_000
LONGEST_TOKEN = 400  # characters
LONGEST_WORD = 100  # characters; longer words are unknown, as in BERT
WANTED = {
    "normalizer": "BertNormalizer", "pre_tokenizer": "BertPreTokenizer", "model": "WordPiece",
    "post_processor": "TemplateProcessing or BertProcessing",
}


@dataclass(frozen=True, slots=True)
class BertTokens:
    """A tokenizer: its tokens by id, and whether letters are made small (and lose their accents).

    >>> tokens = BertTokens(("[PAD]", "[UNK]", "[CLS]", "[SEP]", "a", "cat", "##s"))
    >>> tokens.framed(tokens.ids("A cats zebra"), 8), tokens.join([2, 4, 5, 6, 3])
    ([2, 4, 5, 6, 1, 3], 'a cats')
    """

    vocabulary: tuple[str, ...]
    lowercase: bool = True
    model: str = field(default=BERT, init=False)
    merges: tuple[tuple[str, str], ...] = field(default=(), init=False)
    begin: int = field(init=False, repr=False, compare=False)
    end: int = field(init=False, repr=False, compare=False)
    engine: Tokenizer = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        checks.truth(self.lowercase, "lowercase")
        checks.strings(list(self.vocabulary), "vocabulary", most=MOST_TOKENS, longest=LONGEST_TOKEN)
        lacking = [mark for mark in MARKS if mark not in self.vocabulary]
        if lacking or self.vocabulary[0] != PADDING:
            raise SchemaError(f"vocabulary: expected {PADDING} first, and {', '.join(MARKS[1:])}; "
                              f"{', '.join(lacking) or PADDING + ' at 0'} is not there")
        words = {token: place for place, token in enumerate(self.vocabulary)}
        engine = Tokenizer(models.WordPiece(vocab=words, unk_token=UNKNOWN, max_input_chars_per_word=LONGEST_WORD))
        engine.normalizer = normalizers.BertNormalizer(clean_text=True, handle_chinese_chars=True,
                                                       lowercase=self.lowercase)
        engine.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
        for name, value in (("begin", words[BEGIN]), ("end", words[END]), ("engine", engine)):
            object.__setattr__(self, name, value)

    @classmethod
    def read(cls, path: Path | str) -> "BertTokens":
        """From a tokenizer.json; ArtifactError where it is too large or is not BERT's."""
        path = Path(path)
        if not path.is_file():
            raise ArtifactError(f"{path}: expected the tokenizer of the weights, found no file")
        if path.stat().st_size > MOST_BYTES:
            raise ArtifactError(f"{path}: expected a tokenizer of at most {MOST_BYTES // 10**6} MB, received a larger")
        try:
            return cls(*_parsed(json.loads(path.read_bytes())))
        except (SchemaError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise ArtifactError(f"{path}: expected a tokenizer.json of BERT's parts, received another "
                                f"({' '.join(str(error).split()):.200})") from None

    @property
    def size(self) -> int:
        """How many ids there are."""
        return len(self.vocabulary)

    def normalise(self, text: str) -> str:
        """As the tokenizer sees it: no control characters, in small letters without accents where asked for."""
        return self.engine.normalizer.normalize_str(without_lone_surrogates(text))

    def ids(self, text: str) -> list[int]:
        """The ids of a text, without marks."""
        return self.engine.encode(without_lone_surrogates(text), add_special_tokens=False).ids

    def framed(self, ids: Sequence[int], most: int) -> list[int]:
        """The ids between the marks of beginning and end, at most `most` in all: the end of the text is cut."""
        return [self.begin, *ids[: max(most - 2, 0)], self.end]

    def join(self, ids: Iterable[int]) -> str:
        """The text of ids, without the marks."""
        words: list[str] = []
        for token in ids:
            if token in (0, self.begin, self.end) or not 0 <= token < self.size:
                continue
            piece = self.vocabulary[token]
            if piece.startswith("##") and words:
                words[-1] += piece[2:]
            else:
                words.append(piece)
        return " ".join(words)


def tokenizer_beside(weights: Path | str) -> Path:
    """The tokenizer of a file of weights, beside it: NAME.tokenizer.json or tokenizer.json; else ArtifactError."""
    path = Path(weights)
    for place in (path.with_name(f"{path.stem}.tokenizer.json"), path.with_name("tokenizer.json")):
        if place.is_file():
            return place
    raise ArtifactError(f"{path}: expected the tokenizer of a pretrained text encoder beside its weights, "
                        f"{path.stem}.tokenizer.json or tokenizer.json; found neither")


def _parsed(content: Mapping[str, Any]) -> tuple[tuple[str, ...], bool]:
    """Words by id and whether letters are made small; ValueError where a part is not BERT's."""
    for part, wanted in WANTED.items():
        found = str((content.get(part) or {}).get("type"))
        if found not in wanted.split(" or "):
            raise ValueError(f"{part}: expected {wanted}, received {found:.40}")
    normaliser, model = content["normalizer"], content["model"]
    small = checks.truth(normaliser["lowercase"], "lowercase")
    usual = {
        "clean_text": (normaliser.get("clean_text", True), True),
        "handle_chinese_chars": (normaliser.get("handle_chinese_chars", True), True),
        "strip_accents": (normaliser.get("strip_accents") in (None, small), True),
        "continuing_subword_prefix": (model.get("continuing_subword_prefix", "##"), "##"),
        "max_input_chars_per_word": (model.get("max_input_chars_per_word", LONGEST_WORD), LONGEST_WORD),
        "unk_token": (model.get("unk_token", UNKNOWN), UNKNOWN),
    }
    for name, (received, expected) in usual.items():
        if received != expected:
            raise ValueError(f"{name}: expected {expected}, received {received!s:.40}")
    words = model["vocab"]
    if not isinstance(words, dict) or len(words) > MOST_TOKENS:
        raise ValueError(f"vocab: expected at most {MOST_TOKENS} words with their ids")
    if sorted(words.values()) != list(range(len(words))):
        raise ValueError("vocab: expected the ids 0, 1, 2, …, each once")
    return tuple(sorted(words, key=words.__getitem__)), small
