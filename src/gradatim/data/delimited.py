"""CSV and TSV: the separator and the quoting are found, every record is kept with its line, anything odd is an error.

Two paths give the same table. Where the text holds no quote and every line has as many separators as the header
(counted), splitting at separators is all that reading means, and polars does it; otherwise Python's strict `csv`
reader does, record by record.
"""

import csv
import io
import re
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from gradatim.data.encoding import TextFile, read_text_file
from gradatim.data.table import Table
from gradatim.errors import DataError

SEPARATORS = ("\t", "|", ";", ",")  # of two that fit equally well the first wins: commas also occur inside cells
_NAMES = {"\t": "tab", "|": "'|'", ";": "';'", ",": "','"}
Parsed = tuple[pl.DataFrame, np.ndarray, tuple[str, ...]]  # rows, first line of each, notes
_SNIFF_BYTES = 1 << 18
_SNIFF_RECORDS = 300
_CHUNK = 50_000
_JSON = re.compile(rb'\s*(?:\{\s*"|\[\s*\{)')
_SEPARATOR_LINE = re.compile(rb"sep=(.)\r?\n", re.IGNORECASE)  # Excel's own first line


@dataclass(frozen=True, slots=True)
class Dialect:
    """How cells are separated and quoted."""

    separator: str
    escaped: bool = False  # quotes inside quotes are written \" instead of ""
    skip_space: bool = False  # a space after the separator is no part of the cell

    def reader(self, lines: Any) -> Any:
        """A strict csv reader over an iterable of lines."""
        return csv.reader(lines, delimiter=self.separator, strict=True, skipinitialspace=self.skip_space,
                          doublequote=not self.escaped, escapechar="\\" if self.escaped else None)

    @property
    def notes(self) -> tuple[str, ...]:
        """What was found, in words."""
        notes = [f"separator {_NAMES[self.separator]}"]
        if self.escaped:
            notes.append('quotes inside cells written \\"')
        if self.skip_space:
            notes.append("spaces after separators skipped")
        return tuple(notes)


def read_delimited(path: Path) -> Table:
    """Read a CSV or TSV file (also gzipped): every cell a string in its original spelling, an empty cell null.

    `lines` holds the first source line of each record. Raises DataError with file, line and remedy for a duplicate
    or empty header name, a ragged record, an open quote, NUL bytes, an empty or a binary file.
    """
    return parse_delimited(read_text_file(path), prefer=_preferred_separator(path), folder=path.parent)


def parse_delimited(text: TextFile, *, prefer: str | None = None, folder: Path | None = None) -> Table:
    """The table in a text that is already in memory; see `read_delimited`."""
    if _JSON.match(text.data):
        raise DataError(f"{text.name}, line 1: expected a header line, found JSON; rename the file to .jsonl or .json")
    skipped, separator = _separator_line(text.data)
    body = TextFile(text.name, text.data[skipped:], text.notes) if skipped else text
    first_line = 1 + bool(skipped)
    dialect = Dialect(separator or find_separator(body.data, prefer=prefer))
    table = _parse_fast(body, dialect, first_line)
    if table is None:
        table = _parse_ladder(body, dialect, first_line)
    frame, lines, notes = table
    return Table(frame, folder, lines, text.name, text.notes + notes)


def find_separator(data: bytes, *, prefer: str | None = None) -> str:
    r"""The separator under which most records are as wide as the header; ',' where no candidate is in the header.

    >>> find_separator(b"name;price\na;1,5\nb;2,5\n"), find_separator(b"text\nhello\n")
    (';', ',')
    """
    sample = data[:_SNIFF_BYTES]
    cut = len(data) > _SNIFF_BYTES
    text = sample.decode("utf-8", errors="ignore")
    scores: dict[str, tuple[bool, float, int]] = {}
    for separator in SEPARATORS:
        widths = _widths(text, separator, cut)
        if widths and widths[0] > 1:
            fitting = round(sum(width == widths[0] for width in widths) / len(widths), 2)
            scores[separator] = (separator == prefer and fitting >= 0.5, fitting, widths[0])
    return max(scores, key=scores.__getitem__) if scores else ","


def _widths(text: str, separator: str, cut: bool) -> list[int]:
    """How many cells the first records have, read leniently."""
    widths: list[int] = []
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator)
    try:
        for record in reader:
            if record and not (len(record) == 1 and not record[0].strip()):
                widths.append(len(record))
            if len(widths) > _SNIFF_RECORDS:
                return widths
    except csv.Error:
        pass
    return widths[:-1] if cut and len(widths) > 1 else widths


def _preferred_separator(path: Path) -> str | None:
    return "\t" if {".tsv", ".tab"} & {suffix.lower() for suffix in path.suffixes} else None


def _separator_line(data: bytes) -> tuple[int, str | None]:
    """The length of Excel's first line `sep=;` and what it says."""
    match = _SEPARATOR_LINE.match(data[:16])
    if match is None or match[1].decode("latin-1") not in SEPARATORS:
        return 0, None
    return match.end(), match[1].decode("latin-1")


def _header(names: list[str], name: str, line: int, separator: str) -> list[str]:
    """The checked column names, without the spaces around them."""
    stripped = [cell.strip() for cell in names]
    empty = [place + 1 for place, cell in enumerate(stripped) if not cell]
    if empty:
        if empty == [1]:
            remedy = "if it is a row index, write the file without it (pandas: index=False, R: row.names=FALSE)"
        elif empty == [len(stripped)]:
            remedy = f"remove the {_NAMES[separator]} at the end of the lines, or name the column"
        else:
            remedy = "give every column a name"
        raise DataError(f"{name}, line {line}: expected a name for each column, found none for column {empty[0]}"
                        f"{f' and {len(empty) - 1} others' if len(empty) > 1 else ''}; {remedy}")
    twice = [cell for cell, count in Counter(stripped).items() if count > 1]
    if twice:
        numeric = sum(bool(re.fullmatch(r"[-+.0-9eE]+", cell)) for cell in stripped) > len(stripped) / 2
        remedy = "the first line looks like data, add a header line" if numeric else "rename or remove one of them"
        raise DataError(f"{name}, line {line}: expected each column name once, found '{twice[0]}' "
                        f"{stripped.count(twice[0])} times; {remedy}")
    return stripped


def _parse_fast(text: TextFile, dialect: Dialect, first_line: int) -> Parsed | None:
    """The table where splitting lines at separators is provably all that reading means, else None."""
    data = text.data
    end = data.find(b"\n")
    head = data[:end].rstrip(b"\r") if end > 0 else b""
    returns = data.count(b"\r")
    if not head.strip() or data.find(b'"', end) >= 0 or (returns and returns != data.count(b"\r\n")):
        return None
    try:
        names = next(dialect.reader([head.decode("utf-8")]))
    except csv.Error:  # a quote that the strict reader will explain
        return None
    rows = _rectangle(np.frombuffer(data, dtype=np.uint8)[end + 1 :], ord(dialect.separator), len(names))
    if rows is None:
        return None
    header = _header(names, text.name, first_line, dialect.separator)
    frame = pl.read_csv(
        data[end + 1 :], has_header=False, new_columns=header, separator=dialect.separator, quote_char=None,
        infer_schema=False, encoding="utf8",
    )
    if frame.shape != (rows, len(header)):
        return None
    notes = (*dialect.notes, *_renamed(names, header), *_header_doubt(header))
    return frame, np.arange(first_line + 1, first_line + 1 + rows, dtype=np.int64), notes


def _rectangle(data: np.ndarray, separator: int, width: int) -> int | None:
    """The number of lines when each holds exactly `width` - 1 separators (and `width` > 1), else None."""
    rows, start, step = 0, 0, 1 << 24
    while width > 1 and start < len(data):
        block = data[start : start + step]
        ends = np.flatnonzero(block == 10)
        if start + step >= len(data):
            ends = ends if len(ends) and ends[-1] == len(block) - 1 else np.append(ends, len(block))
        if not len(ends):  # a line longer than a block
            step *= 2
            continue
        marks = np.flatnonzero(block[: ends[-1]] == separator)
        if len(marks) != len(ends) * (width - 1):
            return None
        begins = np.append(0, ends[:-1] + 1)
        if not (np.all(marks[:: width - 1] >= begins) and np.all(marks[width - 2 :: width - 1] < ends)):
            return None
        rows += len(ends)
        start += int(ends[-1]) + 1
    return rows or None


def _parse_ladder(text: TextFile, dialect: Dialect, first_line: int) -> Parsed:
    """The strict reader in the standard quoting, then in the two others that are in use; the first error counts."""
    ladder = [dialect]
    if b'\\"' in text.data and not re.search(rb'\\[^"\\]', text.data):
        ladder.append(Dialect(dialect.separator, escaped=True))
    if f'{dialect.separator} "'.encode() in text.data:
        ladder.append(Dialect(dialect.separator, skip_space=True))
    first_error: DataError | None = None
    for rung in ladder:
        try:
            return parse_strict(text, rung, first_line)
        except DataError as error:
            first_error = first_error or error
    assert first_error is not None
    raise first_error


def parse_strict(text: TextFile, dialect: Dialect, first_line: int = 1) -> Parsed:
    """Frame, first line of each record and notes, by Python's strict csv reader."""
    old_limit = csv.field_size_limit(sys.maxsize)
    try:
        return _Strict(text, dialect, first_line).read()
    finally:
        csv.field_size_limit(old_limit)


class _Strict:
    """One pass of the strict reader: collects records, their lines, and the blank lines between them."""

    def __init__(self, text: TextFile, dialect: Dialect, first_line: int) -> None:
        self.text, self.dialect, self.offset = text, dialect, first_line - 1
        lines = io.TextIOWrapper(io.BytesIO(text.data), encoding="utf-8", newline="")
        self.reader = dialect.reader(lines)
        self.names: list[str] = []
        self.header: list[str] = []
        self.frames: list[pl.DataFrame] = []
        self.records: list[list[str]] = []
        self.starts: list[int] = []
        self.blank: list[int] = []
        self.ragged: list[tuple[int, int]] = []
        self.several = 0  # records over more than one line

    def read(self) -> Parsed:
        """All records, with the line that each begins on."""
        line = 1 + self.offset
        try:
            for record in self.reader:
                self._take(record, line)
                self.several += self.reader.line_num + self.offset > line
                line = self.reader.line_num + 1 + self.offset
        except csv.Error as error:
            raise self._quote_error(error, line) from None
        self._refuse_ragged()
        self._drop_trailing_blank()
        if not self.starts:
            raise DataError(f"{self.text.name}: expected rows below the header, found the header alone; "
                            "check how the file was written")
        self._flush()
        return pl.concat(self.frames), np.asarray(self.starts, dtype=np.int64), self._notes()

    def _take(self, record: list[str], line: int) -> None:
        width = len(self.header)
        blank = not record or (len(record) == 1 and width != 1 and not record[0].strip())
        if blank and width != 1:
            self.blank.append(line)
        elif not width:
            self.names = record
            self.header = _header(record, self.text.name, line, self.dialect.separator)
        elif width == 1 and not record:  # in a table of one column an empty line is an empty cell
            self.blank.append(line)
            self.records.append([""])
            self.starts.append(line)
        elif len(record) != width:
            self.ragged.append((line, len(record)))
        else:
            self.records.append(record)
            self.starts.append(line)
            if len(self.records) >= _CHUNK:
                self._flush()

    def _flush(self) -> None:
        if self.records:
            columns = zip(*self.records, strict=True)
            frame = pl.DataFrame([pl.Series(name, cells, dtype=pl.String) for name, cells in zip(self.header, columns)])
            self.frames.append(frame.with_columns(pl.when(pl.all() != "").then(pl.all()).name.keep()))
            self.records = []

    def _refuse_ragged(self) -> None:
        if not self.ragged:
            return
        line, found = self.ragged[0]
        width = len(self.header)
        more = f" ({len(self.ragged):,} such lines)" if len(self.ragged) > 1 else ""
        mark = _NAMES[self.dialect.separator]
        remedy = f'quote cells that hold {mark} ("…")' if found > width else f"add the missing {mark}"
        if found > width > 1 and not self.starts and len({count for _, count in self.ragged}) == 1:
            remedy = "the header names fewer columns than the rows have, name each"
        plural = "" if width == 1 else "s"
        raise DataError(f"{self.text.name}, line {line}: expected {width} cell{plural} as in the header, "
                        f"found {found}{more}; {remedy}")

    def _drop_trailing_blank(self) -> None:
        """Empty lines after the last row of a one-column table are no rows."""
        single = len(self.header) == 1
        while single and self.records and self.blank and self.starts[-1] == self.blank[-1]:
            self.records.pop()
            self.starts.pop()

    def _quote_error(self, error: csv.Error, line: int) -> DataError:
        place = f"{self.text.name}, line {line}"
        if "unexpected end" in str(error):
            return DataError(f"{place}: expected the quote that opens in this record to be closed, found the end of "
                             'the file; close it, or write a quote inside a cell as ""')
        if "expected after" in str(error):
            return DataError(f"{place}: expected {_NAMES[self.dialect.separator]} or the line's end after a closing "
                             'quote, found more text; write a quote inside a cell as ""')
        return DataError(f"{place}: expected a record, found text that does not parse ({error}); mend the line")

    def _notes(self) -> tuple[str, ...]:
        notes = [*self.dialect.notes, *_renamed(self.names, self.header), *_header_doubt(self.header)]
        kept = set(self.starts) & set(self.blank)
        skipped = [line for line in self.blank if line not in kept]
        if skipped:
            notes.append(f"{_count(skipped, 'blank line')} skipped (line {_some(skipped)})")
        if kept:
            notes.append(f"{_count(kept, 'blank line')} kept as missing cells (line {_some(sorted(kept))})")
        if self.several:
            notes.append(f"{self.several:,} record{'' if self.several == 1 else 's'} over more than one line")
        return tuple(notes)


def _renamed(names: list[str], header: list[str]) -> tuple[str, ...]:
    changed = [name for name, clean in zip(names, header) if name != clean]
    return (f"spaces around {_count(changed, 'column name')} removed ({changed[0]!r})",) if changed else ()


def _header_doubt(header: list[str]) -> tuple[str, ...]:
    """Names that are all numbers, other than 0, 1, 2 …, look like a first row of data."""
    numeric = all(re.fullmatch(r"[-+]?[0-9]*\.?[0-9]+(?:[eE][-+]?[0-9]+)?", name) for name in header)
    if not numeric or header in ([str(i) for i in range(len(header))], [str(i + 1) for i in range(len(header))]):
        return ()
    return ("every column name is a number: if the first line is data, add a header line",)


def _count(items: Any, noun: str) -> str:
    return f"{len(items):,} {noun}{'' if len(items) == 1 else 's'}"


def _some(lines: list[int]) -> str:
    return ", ".join(map(str, lines[:3])) + (", …" if len(lines) > 3 else "")
