"""Plain text files and folders of them: a row a paragraph, a saying or a line, as the file parts them.

Lines that hold nothing but '%' part the texts (as in the files of `fortune`); without them blank lines do; without
those each line is a text. Inside a text nothing is changed but line ends, which become '\\n'. The notes say which.
"""

import os
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import polars as pl

from gradatim.data.delimited import read_delimited
from gradatim.data.encoding import TextFile, read_text_file
from gradatim.data.table import Table
from gradatim.errors import DataError

TEXT_ENDINGS = frozenset({".txt", ".text"})
MOST_FILE_BYTES = 2**30
MOST_TEXTS = 20_000_000
TEXT, FILE, LABEL = "text", "file", "label"


def read_documents(path: Path) -> Table:
    """Read a text file: a table with one column `text` and the line where each begins.

    Columns parted by tabs are read as a table all the same. Any encoding that `gradatim.data.encoding` knows, gzip too,
    at most a gigabyte. DataError where there is no text.
    """
    file = read_text_file(path, max_bytes=MOST_FILE_BYTES)
    if _is_table(file.data):
        return read_delimited(path)
    texts, lines, how = parted(file.data.decode())
    if len(texts) > MOST_TEXTS:
        raise DataError(f"{file.name}: expected at most {MOST_TEXTS:,} texts, found {len(texts):,}; split the file")
    frame = pl.DataFrame({TEXT: pl.Series(TEXT, texts, dtype=pl.String)})
    notes = (*file.notes, f"{len(texts):,} texts, {how}")
    return Table(frame, path.parent, np.asarray(lines, np.int64), file.name, notes)


def read_text_folder(folder: Path, files: Sequence[Path]) -> Table:
    """Read the text files of a folder: in subfolders each file is a row and its subfolder the label; else a row a text.

    Columns `text`, `file` and, from subfolders, `label`.
    """
    classes = {file.relative_to(folder).parts[0] for file in files if len(file.relative_to(folder).parts) > 1}
    whole = len(classes) > 1
    rows: list[tuple[str, str, str | None]] = []
    notes: list[str] = []
    size = 0
    for file in files:
        size += file.stat().st_size
        if size > MOST_FILE_BYTES:
            raise DataError(f"{folder}: expected at most {MOST_FILE_BYTES:,} bytes of text, found more; take fewer")
        name = file.relative_to(folder)
        content = _content(file)
        if content is None:
            notes.append(f"{name.as_posix()}: empty, left out")
            continue
        text = content.data.decode()
        texts = [unified(text).strip("\n")] if whole else parted(text)[0]
        rows += [(part, name.as_posix(), name.parts[0] if whole and len(name.parts) > 1 else None) for part in texts]
    if not rows:
        raise DataError(f"{folder}: expected text in its files, found none; check the path")
    columns = {TEXT: [row[0] for row in rows], FILE: [row[1] for row in rows]}
    if whole:
        columns[LABEL] = [row[2] for row in rows]  # type: ignore[misc]
        notes.append(f"{len(rows):,} text files in {len(classes):,} class folders, a row each")
    else:
        notes.append(f"{len(rows):,} texts from {len(files):,} files, parted at '%' lines, else at blank lines")
    frame = pl.DataFrame({name: pl.Series(name, cells, dtype=pl.String) for name, cells in columns.items()})
    return Table(frame, folder, None, folder.name or str(folder), tuple(notes))


def text_files(folder: Path) -> list[Path]:
    """The text files of a folder and its subfolders, in a fixed order; hidden ones are left out, links not followed."""
    found = []
    for place, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        found += [Path(place) / name for name in sorted(files)
                  if not name.startswith(".") and Path(name.lower().removesuffix(".gz")).suffix in TEXT_ENDINGS]
    return found


def parted(text: str) -> tuple[list[str], list[int], str]:
    """The texts of a file, the line of each counted from 1, and how they were parted.

    >>> parted("One.\\n\\nTwo,\\nstill two.\\n")
    (['One.', 'Two,\\nstill two.'], [1, 3], 'parted at blank lines')
    """
    text = unified(text)
    if re.search(r"^%[ \t]*$", text, re.MULTILINE):
        pattern, how = r"^%[ \t]*(?:\n|\Z)", "parted at lines that hold only '%'"
    elif re.search(r"\S[^\S\n]*\n[^\S\n]*\n\s*\S", text):
        pattern, how = r"\n[^\S\n]*(?:\n[^\S\n]*)*(?=\n)", "parted at blank lines"
    else:
        pattern, how = r"\n", "a line each: there are no blank lines"
    texts, lines = [], []
    begin = 0
    line = 1
    for end, after in [*((m.start(), m.end()) for m in re.finditer(pattern, text, re.MULTILINE)), (len(text),) * 2]:
        part = text[begin:end]
        body = part.strip("\n")
        if body.strip():
            texts.append(body)
            lines.append(line + len(part) - len(part.lstrip("\n")))
        line += text.count("\n", begin, after)
        begin = after
    return texts, lines, how


def unified(text: str) -> str:
    """The text with '\\n' for every line end."""
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _is_table(data: bytes) -> bool:
    """Whether each of the first lines has the same number of tabs, one at least: columns under another name."""
    lines = [line for line in data[:65536].split(b"\n")[:50] if line.strip()]
    counts = {line.count(b"\t") for line in (lines[:-1] if len(data) > 65536 else lines)}
    return len(lines) > 1 and len(counts) == 1 and counts != {0}


def _content(file: Path) -> TextFile | None:
    if file.stat().st_size == 0:
        return None
    return read_text_file(file, max_bytes=MOST_FILE_BYTES)
