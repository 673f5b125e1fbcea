"""A table together with what has been decoded from it so far, so that no file is opened twice."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import polars as pl

from gradatim.data.codecs import Codec
from gradatim.data.loader import Encoded, encode_table
from gradatim.data.table import Table
from gradatim.problems import Problems

CHUNK_ROWS = 512


@dataclass(slots=True)
class Source:
    """A table, the problems met in its cells, and a cache of decoded columns and of features that nothing learns."""

    table: Table
    problems: Problems = field(default_factory=Problems)
    decoded: dict[Any, Any] = field(default_factory=dict)
    features: dict[str, np.ndarray] = field(default_factory=dict)
    progress: Callable[[int, int], None] | None = None

    def __len__(self) -> int:
        return len(self.table)

    def encode(self, codecs: Mapping[str, Codec]) -> Encoded:
        """All rows through the codecs; pictures and sounds that were decoded before are reused."""
        return encode_table(
            self.table, codecs, problems=self.problems, cache=self.decoded, progress=self.progress
        )

    def raw_features(self, key: str, codec: Codec, extractor: Any, name: str) -> np.ndarray:
        """What the extractor's `raw` gives for a column, float32 (N, D); NaN where absent.

        Computed once for each `key`: nothing in it may be learned from rows. An extractor may say how many rows it
        wants at once (`rows_at_once`).
        """
        if key not in self.features:
            encoded = self.encode({name: codec})
            parts = []
            many = getattr(extractor, "rows_at_once", CHUNK_ROWS)
            for start in range(0, len(self), many):
                batch = encoded.batch(np.arange(start, min(start + many, len(self))), [name])
                part = extractor.raw(batch.inputs[name])
                part[~batch.present[name].numpy()] = np.nan
                parts.append(part)
            self.features[key] = np.concatenate(parts) if parts else np.zeros((0, 0), dtype=np.float32)
        return self.features[key]


def hide(table: Table, columns: frozenset[str]) -> Table:
    """The same rows with the cells of some columns taken away."""
    if not columns:
        return table
    frame = table.frame.with_columns(
        [pl.lit(None, dtype=table.frame.schema[name]).alias(name) for name in columns if name in table.frame.columns]
    )
    return Table(frame, table.folder, table.lines, table.source, table.notes)


def shuffle(table: Table, orders: Mapping[str, np.ndarray]) -> Table:
    """The same rows with the cells of some columns dealt out in another order."""
    if not orders:
        return table
    frame = table.frame.with_columns(
        [table.frame.get_column(name)[np.asarray(order, dtype=np.int64)].alias(name) for name, order in orders.items()]
    )
    return Table(frame, table.folder, table.lines, table.source, table.notes)
