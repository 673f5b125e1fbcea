"""Cells that hold a list of words, tags or other short texts, one a token: how they are written and read.

A cell is a list, JSON (`["New", "York"]`) or the entries with spaces between them (`New York`).
"""

import json
from collections.abc import Sequence

import numpy as np

from gradatim.errors import CellError

MOST_TOKENS = 20_000  # of one cell
LONGEST_TOKEN = 2_000  # characters


def parse_tokens(cell: object, what: str = "tokens") -> list[str] | None:
    """The entries of a cell; None when it is missing or empty. Raises CellError '<what>-unreadable'.

    >>> parse_tokens("New York"), parse_tokens('["New York", "is"]'), parse_tokens(None)
    (['New', 'York'], ['New York', 'is'], None)
    """
    if cell is None or (isinstance(cell, float) and cell != cell):
        return None
    entries: Sequence[object]
    if isinstance(cell, str):
        entries = _from_text(cell)
    elif isinstance(cell, Sequence | np.ndarray) and not isinstance(cell, bytes):
        entries = cell  # type: ignore[assignment]
    else:
        raise CellError(f"{what}-unreadable", f"expected a list of {what}, received {type(cell).__name__}")
    if len(entries) == 0:
        return None
    if len(entries) > MOST_TOKENS:
        raise CellError(f"{what}-unreadable", f"expected at most {MOST_TOKENS:,} {what}, received {len(entries):,}")
    for place, entry in enumerate(entries):
        if not isinstance(entry, str) or not entry or len(entry) > LONGEST_TOKEN:
            shown = repr(entry)[:60]
            raise CellError(f"{what}-unreadable", f"expected texts among the {what}, received {shown} as number "
                                                  f"{place + 1}")
    return list(entries)  # type: ignore[arg-type]


def write_tokens(entries: Sequence[str]) -> str:
    """A cell that `parse_tokens` reads back: spaces between the entries, or JSON where they hold spaces themselves.

    >>> write_tokens(["New", "York"]), write_tokens(["New York"])
    ('New York', '["New York"]')
    """
    plain = all(len(entry.split()) == 1 and entry == entry.strip() for entry in entries)
    if entries and plain and not entries[0].startswith("["):
        return " ".join(entries)
    return json.dumps(list(entries), ensure_ascii=False)


def _from_text(cell: str) -> Sequence[object]:
    text = cell.strip()
    if text.startswith("["):
        try:
            value = json.loads(text)
        except (ValueError, RecursionError):
            value = None
        if isinstance(value, list):
            return value
    return text.split()
