"""The bytes of a cell that names a file, or holds the file itself; nothing outside the table's folder is read."""

import os
import stat
from functools import lru_cache
from pathlib import Path

from gradatim.errors import CellError, DataError
from gradatim.files import path_under

_NO_FOLLOW = getattr(os, "O_NOFOLLOW", 0)
_FLAGS = os.O_RDONLY | _NO_FOLLOW | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)


def file_cell(cell: object) -> str | bytes | None:
    """The file name or the content in a cell: str, path, bytes, or an object {"bytes", "path"} as in Parquet sets.

    None: the cell is neither (an array, a picture …).
    """
    if isinstance(cell, str):
        return cell
    if isinstance(cell, bytes):
        return cell
    if isinstance(cell, bytearray | memoryview):
        return bytes(cell)
    if isinstance(cell, os.PathLike):
        return os.fspath(cell)
    if isinstance(cell, dict) and ("bytes" in cell or "path" in cell):
        inside = cell.get("bytes")
        return file_cell(inside if inside is not None else cell.get("path"))
    return None


def read_bytes(name: str, folder: Path | None, *, kind: str, max_bytes: int) -> bytes:
    """The content of the file `name` under `folder`.

    Without a folder (a frame made in the caller's own program) the name is taken as it stands, relative to the
    working directory. Errors: CellError '<kind>-missing', '<kind>-outside', '<kind>-too-large',
    '<kind>-unreadable' (no permission, a device, a pipe).
    """
    try:
        descriptor = _open(name, folder)
    except FileNotFoundError:
        raise CellError(f"{kind}-missing", f"{shown(name)}: no such file") from None
    except DataError:
        raise CellError(f"{kind}-outside", f"{shown(name)}: expected a file inside {folder}, received a name that "
                                           "leads outside; move the file there") from None
    except (OSError, ValueError) as error:
        raise CellError(f"{kind}-unreadable", f"{shown(name)}: {getattr(error, 'strerror', None) or error}") from None
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise CellError(f"{kind}-unreadable", f"{shown(name)}: expected a file, found a folder or a device")
        check_size(status.st_size, name, kind=kind, max_bytes=max_bytes)
        content = os.read(descriptor, status.st_size)
        while len(content) < status.st_size and (piece := os.read(descriptor, status.st_size - len(content))):
            content += piece
        return content
    except OSError as error:
        raise CellError(f"{kind}-unreadable", f"{shown(name)}: {error.strerror}") from None
    finally:
        os.close(descriptor)


def shown(name: str) -> str:
    """A file name as it may be printed: short, and without control characters.

    >>> shown("a" * 200 + "\\n")[-3:]
    'aa…'
    """
    name = name if len(name) <= 120 else name[:119] + "…"
    return name if name.isprintable() else ascii(name)


def check_size(size: int, name: str, *, kind: str, max_bytes: int) -> None:
    """Refuse what is empty or too large to be worth decoding."""
    if size == 0:
        raise CellError(f"{kind}-unreadable", f"{shown(name)}: the file is empty")
    if size > max_bytes:
        raise CellError(f"{kind}-too-large", f"{shown(name)}: expected at most {max_bytes} bytes, received {size}; "
                                             "raise the option max_bytes")


def _open(name: str, folder: Path | None) -> int:
    if folder is None:
        return os.open(name, _FLAGS & ~_NO_FOLLOW)
    parent, base = os.path.split(name)
    if not _NO_FOLLOW or base in ("", ".", ".."):
        return os.open(path_under(folder, name), _FLAGS)
    # Resolving every link of every name costs more than reading a small picture: the parent's is remembered,
    # and the last part is opened only if it is no link itself.
    directory = _resolved(str(folder), parent)
    try:
        return os.open(f"{directory}/{base}", _FLAGS)
    except OSError:
        return os.open(path_under(folder, name), _FLAGS)


@lru_cache(maxsize=4096)
def _resolved(folder: str, parent: str) -> str:
    return str(path_under(Path(folder), parent))
