"""What a cell of kind series may be written as, and the numbers in it: float64 (channels, steps), NaN where missing."""

import io
import json
import re
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from gradatim.data.codecs.cell_files import file_cell, read_bytes, shown
from gradatim.errors import CellError

ENDINGS = (".npy", ".csv", ".tsv", ".txt")
MISSING = frozenset({"?", "nan", "na", "n/a", "null", "none", "-", ""})
MOST_CHANNELS, MOST_VALUES = 1024, 50_000_000
MOST_SHOWN = 2000
MOST_HEADER = 4096  # bytes of a NumPy file's header
_SPLIT = re.compile(r"[\s,;|]+")


def read_series(cell: object, folder: Path | None = None, *, max_bytes: int = 64 * 2**20) -> np.ndarray | None:
    """The series in a cell, float64 (channels, steps) with NaN for missing values; None for an empty cell.

    A cell is a list or an array of numbers, [[…], […]] one list a channel; such a list as JSON text; numbers divided
    by spaces, semicolons or commas; or the name of a file: .npy (steps,) or (channels, steps), .csv, .tsv or .txt with
    a row a step and a column a channel. Errors: CellError 'series-unreadable', 'series-missing' (no such file),
    'series-outside', 'series-too-large'.

    >>> read_series("1;2;?;4").tolist(), read_series("[[1, 2], [3, null]]").shape
    ([[1.0, 2.0, nan, 4.0]], (2, 2))
    """
    content = file_cell(cell) if isinstance(cell, str | bytes | bytearray | memoryview | dict) else None
    if cell is None or (isinstance(content, str) and not content.strip()):
        return None
    if isinstance(content, str):
        text = content.strip()
        if text[0] == "[":
            values = _of_lists(_json(text), cell)
        elif text.lower().endswith(ENDINGS):
            data = read_bytes(text, folder, kind="series", max_bytes=max_bytes)
            values = _of_file(data, text)
        else:
            values = _of_words(text, cell)[None]
    elif isinstance(content, bytes):
        values = _of_file(content, "bytes")
    else:
        values = _of_lists(cell, cell)
    if not 1 <= values.shape[0] <= MOST_CHANNELS or values.size > MOST_VALUES:
        raise _unreadable(cell, f"1 to {MOST_CHANNELS} channels of at most {MOST_VALUES:,} values in all",
                          f"shape {values.shape}")
    if np.isinf(values).any():
        raise _unreadable(cell, "finite numbers", "infinity")
    return values if values.shape[1] and not np.isnan(values).all() else None


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        raise _unreadable(text, "a list of numbers as JSON, as [1, 2, 3]") from None


def _of_lists(cell: Any, written: object) -> np.ndarray:
    """Numbers, or lists of numbers, one a channel; shorter channels end in NaN."""
    if not isinstance(cell, Sequence | np.ndarray) or isinstance(cell, str | bytes):
        raise _unreadable(written, "a list of numbers", type(cell).__name__)
    if any(isinstance(entry, Sequence | np.ndarray) and not isinstance(entry, str | bytes) for entry in cell):
        channels = [_numbers([] if entry is None else entry, written) for entry in cell]
    else:
        channels = [_numbers(cell, written)]
    whole = np.full((len(channels), max(map(len, channels))), np.nan)
    for channel, line in zip(whole, channels):
        channel[: len(line)] = line
    return whole


def _numbers(entries: Any, written: object) -> np.ndarray:
    """None is missing; texts and booleans are refused."""
    try:
        array = np.asarray(entries)
        if array.ndim == 1 and array.dtype.kind in "iuf":
            return array.astype(np.float64)
        if array.ndim == 1 and all(entry is None or (isinstance(entry, int | float) and not isinstance(entry, bool))
                                   for entry in entries):
            return np.array([np.nan if entry is None else float(entry) for entry in entries])
    except (ValueError, TypeError, OverflowError):
        pass
    raise _unreadable(written, "numbers, or null where one is missing")


def _of_words(text: str, written: object) -> np.ndarray:
    if ";" in text and "," in text:
        raise _unreadable(written, "one kind of sign between the numbers, and points for decimals")
    words = list(_SPLIT.split(text)) if not re.search(r"[,;]\s*[,;]", text) else re.split(r"[,;]", text)
    try:
        return np.array(words, dtype=np.float64)
    except ValueError:
        pass
    try:
        return np.array([np.nan if word.strip().casefold() in MISSING else float(word) for word in words])
    except ValueError:
        raise _unreadable(written, "numbers, as 1 2 3 or 1;2;3 or [1, 2, 3]") from None


def _of_file(data: bytes, name: str) -> np.ndarray:
    if data[:6] == b"\x93NUMPY":
        return _of_numpy(data, name)
    try:
        lines = [line.strip() for line in data.decode("utf-8-sig").splitlines() if line.strip()]
    except UnicodeDecodeError:
        raise _unreadable(name, "a text of numbers or a NumPy file", "other bytes") from None
    rows = []
    for number, line in enumerate(lines):
        try:
            rows.append(_of_words(line, name))
        except CellError:
            if number:  # the first line may name the columns
                raise _unreadable(name, f"numbers in line {number + 1}", shown(line)) from None
    if not rows or len({len(row) for row in rows}) > 1:
        raise _unreadable(name, "as many numbers in every line", f"{sorted({len(row) for row in rows})[:5]}")
    return np.stack(rows, axis=1)


def _of_numpy(data: bytes, name: str) -> np.ndarray:
    try:
        array = np.lib.format.read_array(io.BytesIO(data), allow_pickle=False, max_header_size=MOST_HEADER)
    except (ValueError, OSError, EOFError, MemoryError, SyntaxError, zipfile.BadZipFile):
        raise _unreadable(name, "a NumPy array of numbers", "a damaged file") from None
    if array.dtype.kind not in "iuf" or array.ndim not in (1, 2):
        raise _unreadable(name, "numbers (steps,) or (channels, steps)", f"{array.dtype} of shape {array.shape}")
    return np.atleast_2d(array).astype(np.float64)


def _unreadable(cell: object, expected: str, received: str | None = None) -> CellError:
    if received is None:
        text = " ".join(str(cell)[:200].split())
        received = text if len(text) <= 60 else text[:59] + "…"
    return CellError("series-unreadable", f"expected {expected}; received {received}")


def shown_series(cell: object) -> Any:
    """A cell as a JSON value to draw: lists of numbers of six digits, at most 2,000 in all, and file names as they are.

    >>> shown_series("1;2;?"), shown_series("run7.npy"), shown_series("seven")
    ([[1.0, 2.0, None]], 'run7.npy', '<str>')
    """
    if cell is None or (isinstance(cell, str) and cell.strip().lower().endswith(ENDINGS)):
        return cell
    try:
        values = read_series(cell) if not isinstance(cell, dict) else None
    except CellError:
        values = None
    if values is None:
        return f"<{type(cell).__name__}>"
    values = values[:, :: max(1, -(-values.size // MOST_SHOWN))]
    return [[None if np.isnan(value) else float(f"{value:.6g}") for value in line] for line in values]
