"""The rule that takes cells for series: lists of numbers, texts that are such lists, names of files of numbers."""

import statistics
from typing import Any

import numpy as np
import polars as pl

from gradatim.data.codecs.series_cells import ENDINGS, read_series
from gradatim.data.drafts import Draft, Request, shown
from gradatim.data.evidence import Facts
from gradatim.errors import CellError

MOST = 0.9  # of the sampled cells must be readable
LEAST_LISTED, LEAST_BARE = 3, 8  # numbers in half of the cells: in lists, and without brackets


def series(facts: Facts, draft: Draft, request: Request) -> None:
    """Cells such as [0.1, 0.4, 0.2], '0.1 0.4 0.2 …', or run7.npy."""
    if draft.kind not in (None, "series") or not facts.sample:
        return
    named, dtype = draft.kind == "series", facts.cells.dtype
    listed = _is_list_of_numbers(dtype)
    if not named and not listed and not facts.is_text:
        return
    if facts.is_text and not named and not _looks(facts.sample):
        return
    files = facts.is_text and all(cell.strip().lower().endswith(ENDINGS) for cell in facts.sample)
    there, looked = facts.existing if files else (0, 0)
    if files and not there and not named:
        return
    found = _read(facts.sample, facts)
    if not named and (len(found) < MOST * len(facts.sample) or not _long_enough(facts, found, listed or files)):
        return
    draft.kind = "series"
    if not found:
        draft.set_aside(f"none of {len(facts.sample):,} sampled cells reads as a series, as {shown(facts.sample[0])}")
        return
    if files:
        draft.say(f"files of numbers; {there:,} of {looked:,} sampled exist")
    draft.say(_sentence(found, len(facts.sample)))


def _is_list_of_numbers(dtype: Any) -> bool:
    if not isinstance(dtype, pl.List | pl.Array):
        return False
    inner = dtype.inner
    if isinstance(inner, pl.List | pl.Array):
        inner = inner.inner
    return bool(getattr(inner, "is_numeric", lambda: False)())


def _looks(sample: list[str]) -> bool:
    """A quick look before anything is parsed: a bracket, many signs between numbers, or a file's ending."""
    likely = 0
    for cell in sample:
        text = cell.strip()
        likely += text[:1] == "[" or text.lower().endswith(ENDINGS) or (
            text[:1] in "-+.?0123456789Nn" and sum(text.count(sign) for sign in " ;,\t|") >= LEAST_BARE - 1)
    return likely >= MOST * len(sample)


def _read(sample: list[Any], facts: Facts) -> list[np.ndarray]:
    found = []
    for cell in sample:
        try:
            value = read_series(cell, facts.folder)
        except CellError:
            continue
        if value is not None:
            found.append(value)
    return found


def _long_enough(facts: Facts, found: list[np.ndarray], listed: bool) -> bool:
    bracketed = listed or str(facts.sample[0]).lstrip()[:1] == "["
    typical = statistics.median(value.size for value in found)
    return typical >= (LEAST_LISTED if bracketed else LEAST_BARE)


def _sentence(found: list[np.ndarray], sampled: int) -> str:
    steps = sorted(value.shape[1] for value in found)
    channels = sorted({len(value) for value in found})
    missing = sum(int(np.isnan(value).sum()) for value in found)
    length = f"{steps[0]:,}" if steps[0] == steps[-1] else f"{steps[0]:,} to {steps[-1]:,}"
    parts = [f"{len(found):,} of {sampled:,} sampled cells are lists of numbers, {length} long"]
    if channels != [1]:
        parts.append(f"{' or '.join(map(str, channels[:3]))} channels")
    if missing:
        total = sum(value.size for value in found)
        parts.append(f"{missing:,} of {total:,} values missing")
    return ", ".join(parts)
