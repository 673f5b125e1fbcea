"""Texts: cell ⇄ token ids.

Unicode is brought to NFKC and, unless `lowercase=False`, to lower case. Four tokenizers, trained on the training rows
alone (`tokenizer=`):

* 'words': words and single marks; what occurs once in training is unknown;
* 'characters': for scripts without spaces;
* 'wordpiece': words in pieces, matched longest first; 'bpe': merges of bytes, which leaves nothing unknown.

Left to choose (None), `fit` takes words for under 1,000,000 characters of training text and BPE from there on; where
texts have few spaces (over 15 characters apart on average) it takes characters and BPE. Ids: 0 padding, 1 unknown,
then the tokens. `max_length` is the 99th percentile of the training lengths, at most 512; the end of longer texts
is cut, and counted by the loader ('text-cut'). '[PAD]' or '<unk>' in a text are text.

A pretrained encoder brings its own tokenizer (`TextCodec.pretrained`), a file of word vectors its words
(`TextCodec.of_words`); nothing is learned for them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch

from gradatim.data.batch import Field
from gradatim.data.codecs import checks
from gradatim.data.codecs.bert_tokens import BERT, BertTokens
from gradatim.data.codecs.sample import sample_of
from gradatim.data.codecs.tokens import MODELS, MOST_TOKENS, Tokens, train_tokens
from gradatim.errors import CellError, SchemaError

MUCH_TEXT = 1_000_000  # characters from which subwords pay
SPACED = 15  # characters between spaces, on average, from which a script counts as unspaced
MOST_TRAINING = 20_000_000  # characters looked at in training
LENGTHS = 5000  # texts whose length `fit` measures
LONGEST_CHOSEN = 512  # tokens
MOST_CHARACTERS = 200_000  # of one cell; what follows is cut before it is split into tokens


@dataclass(frozen=True, slots=True)
class TextExtent:
    """How many tokens the whole text has (of those looked at), and whether its end was cut."""

    tokens: int
    cut: bool


class TextCodec:
    """A text; a cell that is no string is written out as one, a text of nothing but spaces counts as missing.

    tokenizer: 'words', 'characters', 'wordpiece', 'bpe' or None (see the module); vocabulary: most tokens
    (None: 20,000 words, 5,000 characters, or a subword a hundred characters of training text, 512 to 16,000);
    max_length: tokens; lowercase. Errors: CellError 'text-unreadable' (bytes that are no UTF-8);
    SchemaError when no training cell holds text.

    >>> codec = TextCodec().fit(["The cat sat.", "The cat ran."])
    >>> codec.encode("the cat")[0].tolist(), codec.decode(codec.encode("The cat.")[0])
    ([4, 3], 'the cat.')
    """

    kind = "text"

    def __init__(self, *, tokenizer: str | None = None, vocabulary: int | None = None, max_length: int | None = None,
                 lowercase: bool = True) -> None:
        self._model = None if tokenizer is None else checks.choice(tokenizer, "tokenizer", MODELS)
        self._vocabulary = None if vocabulary is None else checks.whole(vocabulary, "vocabulary", 1, MOST_TOKENS)
        self._max_length = None if max_length is None else checks.whole(max_length, "max_length", 1, 1_000_000)
        self.lowercase = checks.truth(lowercase, "lowercase")
        self.max_length = max_length or LONGEST_CHOSEN
        self._given = False  # whether the tokens came from elsewhere
        self.tokens: Tokens | BertTokens | None = None
        if self._model != "bpe":
            self.tokens = Tokens(self._model or "words", lowercase, ())

    @classmethod
    def pretrained(cls, path: Path | str, *, max_length: int = 256) -> Self:
        """The codec of a pretrained encoder, from its tokenizer.json: nothing is learned from training cells.

        max_length: tokens, with the two marks that stand round every text. Errors: ArtifactError.
        """
        tokens = BertTokens.read(path)
        checks.whole(max_length, "max_length", 3, 100_000)
        codec = cls(max_length=max_length, lowercase=tokens.lowercase)
        codec.tokens = tokens
        return codec

    @classmethod
    def of_words(cls, words: Sequence[str], *, lowercase: bool = True, max_length: int | None = None) -> Self:
        """The codec whose tokens are these words and no others; `fit` chooses at most the length limit.

        >>> codec = TextCodec.of_words(["sun", "sea"], max_length=9).fit(["the sun"])
        >>> codec.encode("The sea, the sun")[0].tolist()
        [1, 3, 1, 1, 2]
        """
        codec = cls(tokenizer="words", lowercase=lowercase, max_length=max_length)
        codec.tokens, codec._given = Tokens("words", lowercase, tuple(words)), True
        return codec

    def fit(self, cells: Sequence[object], folder: Path | None = None) -> Self:
        """Choose and train the tokenizer, then the length limit; a pretrained one stays as it is."""
        texts = []
        for cell in cells:
            try:
                text = _text(cell)
            except CellError:
                continue  # `encode` names it
            if text is not None:
                texts.append(text)
        if isinstance(self.tokens, BertTokens):
            return self
        if not self._given:
            seen = _within(texts, MOST_TRAINING)
            characters = sum(map(len, texts))
            model = self._model or _usual_model(seen, characters)
            size = self._vocabulary or {"words": 20_000, "characters": 5_000}.get(
                model, min(max(characters // 100, 512), 16_000))
            self.tokens = train_tokens(seen, model, lowercase=self.lowercase, vocabulary=size)
        if self._max_length is None:
            lengths = [len(self._fitted.ids(str(text))) for text in sample_of(texts, LENGTHS)] or [1]
            self.max_length = int(min(max(np.quantile(lengths, 0.99, method="higher"), 1), LONGEST_CHOSEN))
        return self

    def encode(self, cell: object, folder: Path | None = None) -> tuple[np.ndarray | None, TextExtent | None]:
        """int32 ids (≤ max_length,) and the extent; (None, None) when missing."""
        text = _text(cell)
        if text is None:
            return None, None
        ids = self._fitted.ids(text[:MOST_CHARACTERS])
        if not ids:
            return None, None
        count = len(ids)
        if isinstance(self.tokens, BertTokens):
            ids, count = self.tokens.framed(ids, self.max_length), count + 2
        cut = count > self.max_length or len(text) > MOST_CHARACTERS
        return np.asarray(ids[: self.max_length], dtype=np.int32), TextExtent(count, cut)

    def stack(self, values: Sequence[np.ndarray | None]) -> dict[str, torch.Tensor]:
        """{"ids": int32 (B, longest), "lengths": int64 (B,)}; missing cells have length 0."""
        lengths = np.asarray([0 if value is None else len(value) for value in values], dtype=np.int64)
        ids = np.zeros((len(values), max(int(lengths.max(initial=0)), 1)), np.int32)
        for row, value in enumerate(values):
            if value is not None:
                ids[row, : len(value)] = value
        return {"ids": torch.from_numpy(ids), "lengths": torch.from_numpy(lengths)}

    def trim(self, field: Field) -> Field:
        """Cut to the longest text in the batch; ids become int64, which indexing asks for."""
        assert isinstance(field, dict)
        longest = max(int(field["lengths"].max()), 1) if len(field["lengths"]) else 1
        return {"ids": field["ids"][:, :longest].long(), "lengths": field["lengths"]}

    def decode(self, output: Any, context: Any = None) -> str:
        """The text of ids (L,); case, unknown words and spaces around marks are not restored."""
        ids = output.detach().cpu().tolist() if isinstance(output, torch.Tensor) else list(map(int, output))
        return self._fitted.join(ids)

    def describe(self) -> dict[str, Any]:
        """What an encoder needs: ids run from 0 to vocabulary − 1; max_length in tokens."""
        tokens = self._fitted
        ids = tokens.size if isinstance(tokens, BertTokens) else len(tokens.vocabulary) + 2
        return {"vocabulary": ids, "max_length": self.max_length}

    def to_json(self) -> dict[str, Any]:
        """A JSON object that `from_json` reads back."""
        tokens = self._fitted
        return {
            "kind": self.kind,
            "options": {"tokenizer": self._model, "vocabulary": self._vocabulary, "max_length": self._max_length,
                        "lowercase": self.lowercase},
            "fitted": {"tokenizer": tokens.model, "vocabulary": list(tokens.vocabulary),
                       "merges": [list(pair) for pair in tokens.merges], "max_length": self.max_length},
        }

    @classmethod
    def from_json(cls, value: Any) -> Self:
        """Read what `to_json` wrote."""
        with checks.reading(cls.kind):
            options, fitted = checks.parts(value, cls.kind)
            codec = cls(**options)
            vocabulary, merges = fitted["vocabulary"], fitted["merges"]
            checks.strings(vocabulary, "vocabulary", most=MOST_TOKENS, longest=1000)
            if not isinstance(merges, list) or len(merges) > MOST_TOKENS:
                raise SchemaError(f"merges: expected a list of at most {MOST_TOKENS} pairs")
            if fitted["tokenizer"] == BERT:
                codec.tokens = BertTokens(tuple(vocabulary), codec.lowercase)
            else:
                codec.tokens = Tokens(fitted["tokenizer"], codec.lowercase, tuple(vocabulary),
                                      tuple(tuple(pair) for pair in merges))
            codec.max_length = checks.whole(fitted["max_length"], "max_length", 1, 1_000_000)
        return codec

    @property
    def _fitted(self) -> Tokens | BertTokens:
        if self.tokens is None:
            raise SchemaError("expected a fitted text codec; call fit on the training cells first")
        return self.tokens


def _text(cell: object) -> str | None:
    if cell is None or (isinstance(cell, float) and cell != cell):
        return None
    if isinstance(cell, bytes):
        try:
            cell = cell.decode()
        except UnicodeDecodeError:
            raise CellError("text-unreadable", "expected text in UTF-8, received other bytes") from None
    text = cell if isinstance(cell, str) else str(cell)
    return text if text.strip() else None


def _usual_model(texts: list[str], characters: int) -> str:
    pieces = sum(len(text.split()) for text in texts)
    if sum(map(len, texts)) > SPACED * pieces:
        return "characters" if characters < MUCH_TEXT else "bpe"
    return "words" if characters < MUCH_TEXT else "bpe"


def _within(texts: list[str], most: int) -> list[str]:
    """All texts, or an even choice of about `most` characters."""
    step = max(-(-sum(map(len, texts)) // most), 1)
    return [text[:MOST_CHARACTERS] for text in texts[::step]]
