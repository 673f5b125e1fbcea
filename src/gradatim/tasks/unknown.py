"""Categories that a run has never met: counted when it answers, and listed where they are more than a few."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import polars as pl

from gradatim.data.codecs.category import CategoryCodec
from gradatim.data.table import Table
from gradatim.estimators.features.table import TableFeatures
from gradatim.problems import Problems
from gradatim.tasks.members import Ensemble

FEW = 0.03  # of a column's filled cells may be unknown without a word
SHOWN = 3

Knows = Callable[[Any], bool]


def list_unknown(ensemble: Ensemble, table: Table, problems: Problems) -> None:
    """Add a problem 'category-unknown' for each column whose cells no member of the ensemble knows too often.

    A column that some member reads by its categories counts as known where any of these members knows the cell; a
    member without weight is not asked.
    """
    for name, readers in _readers(ensemble).items():
        if name not in table.frame.columns:
            continue
        filled = table.frame.get_column(name).drop_nulls().alias("cell")
        if not filled.len() or filled.dtype.is_nested() or filled.dtype == pl.Object:
            continue
        counts = filled.value_counts(name="count").sort(["count", "cell"], descending=[True, False])
        strange = [(cell, count) for cell, count in counts.iter_rows() if not any(knows(cell) for knows in readers)]
        unknown = sum(count for _, count in strange)
        if unknown > FEW * filled.len():
            shown = ", ".join(f"'{str(cell)[:40]}' ({count:,} times)" for cell, count in strange[:SHOWN])
            problems.add(
                "category-unknown",
                f"{unknown:,} of {filled.len():,} cells ({unknown / filled.len():.0%}) are categories that the run did "
                f"not learn, as {shown}; write them as the fitted table did, or fit again with such rows",
                column=name,
            )


def _readers(ensemble: Ensemble) -> dict[str, list[Knows]]:
    """Column → what each member that reads it says of a cell."""
    found: dict[str, list[Knows]] = {}
    for member, weight in zip(ensemble.members, ensemble.weights, strict=True):
        if weight <= 0:
            continue
        codecs: Mapping[str, Any] = getattr(member, "codecs", {})
        for name, codec in codecs.items():
            if isinstance(codec, CategoryCodec):
                found.setdefault(name, []).append(partial(_in_codec, codec))
        for block in getattr(member, "blocks", ()):
            extractor = block.extractor
            if isinstance(extractor, TableFeatures):
                for place, name in enumerate(extractor.categories):
                    levels = frozenset((*extractor.levels_[place], *extractor.rare_levels_[place]))
                    found.setdefault(name, []).append(partial(_in_levels, levels))
    return found


def _in_codec(codec: CategoryCodec, cell: Any) -> bool:
    return codec.find(cell) is not None


def _in_levels(levels: frozenset[str], cell: Any) -> bool:
    return str(cell) in levels
