"""One codec a column kind: cell to tensor and back, fitted on training rows only.

A codec's JSON is `{"kind", "options", "fitted"}`: the constructor's arguments and what `fit` measured.
It holds numbers, strings and lists only, so a file from a stranger can be read: nothing in it is run.
"""

from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol, Self, TypeVar

from gradatim.data.batch import Field
from gradatim.data.schema import Column
from gradatim.errors import ArtifactError, SchemaError

CODECS = {
    "number": "gradatim.data.codecs.number.NumberCodec",
    "category": "gradatim.data.codecs.category.CategoryCodec",
    "text": "gradatim.data.codecs.text.TextCodec",
    "image": "gradatim.data.codecs.image.ImageCodec",
    "audio": "gradatim.data.codecs.audio.AudioCodec",
    "series": "gradatim.data.codecs.series.SeriesCodec",
    "boxes": "gradatim.data.codecs.boxes.BoxesCodec",
    "points": "gradatim.data.codecs.points.PointsCodec",
    "tags": "gradatim.data.codecs.tags.TagsCodec",
}
INPUTS = ("number", "category", "text", "image", "audio", "series")  # kinds that a network can read
TARGETS = ("number", "category")  # kinds that are encoded otherwise as a target: their codecs take `target=True`

Values = TypeVar("Values")


class Codec(Protocol[Values]):
    """What every codec can do; `Values` is one encoded cell.

    A codec whose `encode` is costly may also have `cache_key()`: equal keys promise equal encoded cells.
    """

    kind: str

    def fit(self, cells: Sequence[object], folder: Path | None = None) -> Self:
        """Measure what encoding needs on training cells; None cells are missing."""
        ...

    def encode(self, cell: object, folder: Path | None = None) -> tuple[Values | None, Any]:
        """One cell and what undoing it needs (hashable, or None); (None, None) when missing; CellError when
        unreadable."""
        ...

    def stack(self, values: Sequence[Values | None]) -> Field:
        """Encoded cells as one Field; None gives zeros."""
        ...

    def trim(self, field: Field) -> Field:
        """A selection of rows without the padding that only the rows left out needed."""
        ...

    def decode(self, output: Any, context: Any = None) -> object:
        """What the encoded cell, or a network's output, stands for."""
        ...

    def describe(self) -> dict[str, Any]:
        """What the builder of an encoder needs to know."""
        ...

    def to_json(self) -> dict[str, Any]:
        """A JSON object that `from_json` reads back."""
        ...

    @classmethod
    def from_json(cls, value: Any) -> Self:
        """Read what `to_json` wrote; types, sizes and ranges are checked."""
        ...


def codec_for(column: Column, *, target: bool = False) -> Codec[Any]:
    """The codec of a column, not fitted yet, with the column's options as its arguments.

    >>> codec_for(Column("age", "number", "input", options={"decimal": ","})).decimal
    ','
    """
    codec = _codec_class(column.kind, f"column '{column.name}'")
    options = dict(column.options)
    if target and column.kind in TARGETS:
        options["target"] = True
    try:
        return codec(**options)
    except TypeError:
        known = ", ".join(_options_of(codec))
        raise SchemaError(f"column '{column.name}': expected options among {known}; "
                          f"received {', '.join(map(str, options))}") from None
    except SchemaError as error:
        raise SchemaError(f"column '{column.name}': {error}") from None


def codec_from_json(value: Any) -> Codec[Any]:
    """The codec that `to_json` wrote.

    >>> codec = codec_for(Column("age", "number", "input")).fit([1, 2, 3])
    >>> codec_from_json(codec.to_json()).encode(2)
    (0.0, None)
    """
    if not isinstance(value, dict) or not isinstance(value.get("kind"), str):
        raise ArtifactError("expected a codec, an object with 'kind'; received something else: the file is damaged")
    try:
        codec = _codec_class(value["kind"], "codec")
    except SchemaError as error:
        raise ArtifactError(str(error)) from None
    return codec.from_json(value)


def _codec_class(kind: str, place: str) -> Any:
    address = CODECS.get(kind)
    if address is None:
        raise SchemaError(f"{place}: expected a kind among {', '.join(CODECS)}, received '{kind[:50]}'")
    module, _, name = address.rpartition(".")
    return getattr(import_module(module), name)


def _options_of(codec: Any) -> list[str]:
    from inspect import signature

    return list(signature(codec).parameters)
