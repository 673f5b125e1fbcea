"""The sizes that a Parquet file promises, read from its footer before a single page is unpacked.

The footer is a Thrift structure in the compact protocol: FileMetaData holds num_rows (field 3) and row_groups (field
4), each with total_byte_size (field 2), the bytes of its pages once they are unpacked.
"""

import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

from gradatim.errors import DataError

MOST_FOOTER_BYTES = 64 * 2**20
FREE_BYTES, FREE_CELLS = 64 * 2**20, 20_000_000  # sizes below which no ratio is asked after
MOST_RATIO = 200  # unpacked bytes, or cells, a byte of the file: what packs better is a trap, not a table
MOST_BYTES, MOST_CELLS = 16 * 2**30, 2_000_000_000
DEEPEST = 16


def check_sizes(path: Path, columns: int, rows: int) -> None:
    """Raise DataError where a Parquet file would take far more memory than its size says."""
    size, unpacked = path.stat().st_size, unpacked_bytes(path)
    cells = rows * columns
    if unpacked > MOST_BYTES or (unpacked > FREE_BYTES and unpacked > MOST_RATIO * size):
        raise DataError(f"{path.name}: expected a table of its size, found {unpacked:,} bytes packed into {size:,}; "
                        "write it again without such cells, or split it")
    if cells > MOST_CELLS or (cells > FREE_CELLS and cells > MOST_RATIO * size):
        raise DataError(f"{path.name}: expected a table of its size, found {rows:,} rows of {columns} columns in "
                        f"{size:,} bytes; drop the rows that repeat, or split it")


def unpacked_bytes(path: Path) -> int:
    """The sum of total_byte_size over the row groups; 0 where the footer cannot be read: the reader says why."""
    with path.open("rb") as file:
        size = file.seek(0, 2)
        if size < 12:
            return 0
        file.seek(size - 8)
        length, mark = struct.unpack("<I4s", file.read(8))
        if mark != b"PAR1" or length > min(size - 8, MOST_FOOTER_BYTES):
            return 0
        file.seek(size - 8 - length)
        footer = file.read(length)
    try:
        groups = Compact(footer).structure().get(4, [])
        return sum(max(0, int(group.get(2, 0))) for group in groups if isinstance(group, dict))
    except (IndexError, ValueError, TypeError, struct.error):
        return 0


class Compact:
    """Thrift's compact protocol, as far as structures of numbers, texts and lists go: field number → value."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.place = 0

    def structure(self, depth: int = 0) -> dict[int, Any]:
        """A structure, from the present place to its end."""
        if depth > DEEPEST:
            raise ValueError("too deep")
        found: dict[int, Any] = {}
        number = 0
        while head := self._byte():
            number = number + (head >> 4) if head >> 4 else self._signed()
            found[number] = self._value(head & 15, depth)
        return found

    def _value(self, kind: int, depth: int) -> Any:
        readers: dict[int, Callable[[], Any]] = {
            1: lambda: True, 2: lambda: False, 3: self._byte, 4: self._signed, 5: self._signed, 6: self._signed,
            7: lambda: self._take(8), 8: lambda: self._take(self._whole()), 9: lambda: self._list(depth),
            10: lambda: self._list(depth), 12: lambda: self.structure(depth + 1),
        }
        if kind not in readers:
            raise ValueError(f"unknown kind {kind}")
        return readers[kind]()

    def _list(self, depth: int) -> list[Any]:
        head = self._byte()
        count, kind = head >> 4, head & 15
        count = self._whole() if count == 15 else count
        if count > len(self.data):
            raise ValueError("longer than the footer")
        if kind in (1, 2):  # booleans of a list take a byte each
            return [self._byte() == 1 for _ in range(count)]
        return [self._value(kind, depth + 1) for _ in range(count)]

    def _byte(self) -> int:
        self.place += 1
        return self.data[self.place - 1]

    def _take(self, count: int) -> bytes:
        if self.place + count > len(self.data):
            raise ValueError("beyond the footer")
        self.place += count
        return self.data[self.place - count : self.place]

    def _whole(self) -> int:
        found = shift = 0
        while shift < 70:
            byte = self._byte()
            found |= (byte & 127) << shift
            if byte < 128:
                return found
            shift += 7
        raise ValueError("endless number")

    def _signed(self) -> int:
        whole = self._whole()
        return (whole >> 1) ^ -(whole & 1)
