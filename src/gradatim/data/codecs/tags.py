"""Tags: a label for each token of a sentence ⇄ class numbers; entities in IOB1, BIO or BIOES spelling, or plain labels.

A cell is a list, JSON (`["B-PER", "O"]`) or tags with spaces between (`B-PER O`). Entities are encoded in BIO, or in
BIOES where the file has it, whatever their spelling; a tag that breaks the spelling's rules counts as CoNLL's scorer
counts it (see `gradatim.data.tag_schemes`), and `faults` names it.
"""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch

from gradatim.data.batch import Field
from gradatim.data.codecs import checks
from gradatim.data.tag_schemes import OUTSIDE, SCHEMES, allowed, faults, find_scheme, parts, respell, spans
from gradatim.data.token_lists import parse_tokens
from gradatim.errors import SchemaError

MOST_TAGS = 5_000
LONGEST_TAG = 200


class TagsCodec:
    """A tag a token. scheme: 'plain', 'BIO', 'IOB1', 'BIOES', or None: found in the training cells.

    `tags` are the classes: O first, then by name. Errors: CellError 'tags-unreadable'; SchemaError when no training
    cell holds tags.

    >>> codec = TagsCodec().fit(["O B-PER I-PER", ["B-LOC", "O"]])
    >>> codec.scheme, codec.tags, codec.encode("O B-PER I-PER")[0].tolist()
    ('BIO', ['O', 'B-LOC', 'B-PER', 'I-LOC', 'I-PER'], [0, 2, 4])
    """

    kind = "tags"

    def __init__(self, *, scheme: str | None = None) -> None:
        self._scheme = None if scheme is None else checks.choice(scheme, "scheme", SCHEMES)
        self.scheme = scheme or "plain"
        self.tags: list[str] = []
        self._numbers: dict[str, int] = {}

    def fit(self, cells: Sequence[object], folder: Path | None = None) -> Self:
        """Find the spelling and the tags. Of a type that is seen, every tag that its spelling has is a class."""
        read = [tags for cell in cells if (tags := self._try(cell)) is not None]
        if not read:
            raise SchemaError("expected at least one list of tags in the training rows, received none")
        self.scheme = self._scheme or find_scheme(read)
        seen = Counter(tag for tags in read for tag in respell(tags, self.scheme, self.inner))
        if self.scheme == "plain":
            named = set(seen)
        else:
            kinds = {parts(tag)[1] for tag in seen if tag != OUTSIDE}
            prefixes = "BI" if self.inner == "BIO" else "BIES"
            named = {OUTSIDE} | {f"{prefix}-{kind}" if kind else prefix for prefix in prefixes for kind in kinds}
        self._set(sorted(named, key=lambda tag: (tag != OUTSIDE, tag)))
        return self

    @property
    def inner(self) -> str:
        """The spelling in which entities are learned."""
        return "BIO" if self.scheme == "IOB1" else self.scheme

    @property
    def kinds(self) -> list[str]:
        """The types of entities, by name; none of plain tags."""
        if self.scheme == "plain":
            return []
        return sorted({parts(tag)[1] for tag in self.tags if tag != OUTSIDE})

    def parse(self, cell: object) -> list[str] | None:
        """The tags as they are written; None when missing."""
        return parse_tokens(cell, "tags")

    def encode(self, cell: object, folder: Path | None = None) -> tuple[np.ndarray | None, None]:
        """Class numbers int64 (L,), −1 for a tag that training did not have; (None, None) when missing."""
        tags = self.parse(cell)
        if tags is None:
            return None, None
        inner = respell(tags, self.scheme, self.inner)
        return np.array([self._numbers.get(tag, -1) for tag in inner], dtype=np.int64), None

    def stack(self, values: Sequence[np.ndarray | None]) -> dict[str, torch.Tensor]:
        """{"tags": int64 (B, longest), −1 beyond the end, "lengths": int64 (B,)}."""
        lengths = [0 if value is None else len(value) for value in values]
        whole = torch.full((len(values), max(lengths, default=0) or 1), -1, dtype=torch.int64)
        for row, value in enumerate(values):
            if value is not None:
                whole[row, : len(value)] = torch.from_numpy(value)
        return {"tags": whole, "lengths": torch.tensor(lengths, dtype=torch.int64)}

    def trim(self, field: Field) -> Field:
        """Cut to the longest row."""
        assert isinstance(field, dict)
        longest = max(int(field["lengths"].max()), 1) if len(field["lengths"]) else 1
        return {"tags": field["tags"][:, :longest], "lengths": field["lengths"]}

    def decode(self, output: Any, context: Any = None) -> list[str]:
        """Class numbers (L,) as tags in the file's own spelling."""
        tags = [self.tags[int(number)] for number in output]
        return respell(tags, self.inner, self.scheme)

    def spans(self, numbers: Any) -> list[tuple[str, int, int]]:
        """The entities that class numbers (L,) spell; −1 stands for none."""
        return spans([self.tags[int(n)] if n >= 0 else OUTSIDE for n in numbers], self.inner)

    def faults(self, tags: Sequence[str]) -> list[tuple[int, str]]:
        """(token number, what is wrong) for each tag that breaks the rules of the file's spelling."""
        return faults(tags, self.scheme)

    def forbidden(self) -> np.ndarray:
        """Which steps the spelling forbids, bool (C + 1, C + 1): from tag to tag, the last row from the start, the last
        column to the end."""
        names: list[str | None] = [*self.tags, None]
        return np.array([[not allowed(left, right, self.inner) for right in names] for left in names])

    def describe(self) -> dict[str, Any]:
        """What a head needs to know."""
        return {"tags": len(self.tags)}

    def to_json(self) -> dict[str, Any]:
        """A JSON object that `from_json` reads back."""
        return {"kind": self.kind, "options": {"scheme": self._scheme},
                "fitted": {"scheme": self.scheme, "tags": list(self.tags)}}

    @classmethod
    def from_json(cls, value: Any) -> Self:
        """Read what `to_json` wrote."""
        with checks.reading(cls.kind):
            options, fitted = checks.parts(value, cls.kind)
            codec = cls(**options)
            codec.scheme = checks.choice(fitted["scheme"], "scheme", SCHEMES)
            tags = checks.strings(fitted["tags"], "tags", most=MOST_TAGS, longest=LONGEST_TAG)
            if not tags:
                raise SchemaError("tags: expected at least one")
            codec._set(tags)
        return codec

    def _set(self, tags: Sequence[str]) -> None:
        if len(tags) > MOST_TAGS:
            raise SchemaError(f"expected at most {MOST_TAGS:,} different tags, received {len(tags):,}; "
                              "is this the column of tags?")
        self.tags = list(tags)
        self._numbers = {tag: number for number, tag in enumerate(self.tags)}

    def _try(self, cell: object) -> list[str] | None:
        try:
            return self.parse(cell)
        except SchemaError:
            raise
        except ValueError:
            return None  # `encode` names it
