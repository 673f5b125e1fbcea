"""The bytes of a text file as UTF-8, whatever they were: byte order marks, UTF-16, cp1252, gzip; binaries refused."""

import gzip
import io
import re
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from gradatim.errors import DataError

MAX_TEXT_BYTES = 4 * 2**30
_SAMPLE = 1 << 16

# First bytes → what the file is, and what to do about it.
SIGNATURES: tuple[tuple[bytes, str, str], ...] = (
    (b"\x89PNG", "a PNG picture", "give the table that names it, or the folder that holds it"),
    (b"\xff\xd8\xff", "a JPEG picture", "give the table that names it, or the folder that holds it"),
    (b"GIF8", "a GIF picture", "give the table that names it, or the folder that holds it"),
    (b"PK\x03\x04", "an Excel workbook or a zip archive", "save the sheet as CSV, or unpack the archive"),
    (b"\xd0\xcf\x11\xe0", "an old Excel workbook", "save the sheet as CSV"),
    (b"%PDF", "a PDF document", "export the table as CSV"),
    (b"PAR1", "a Parquet file", "rename it to .parquet"),
    (b"ARROW1", "an Arrow file", "rename it to .arrow"),
    (b"SQLite format 3", "an SQLite database", "export the table as CSV"),
    (b"\x89HDF", "an HDF5 file", "save the table as CSV or Parquet"),
    (b"\x93NUMPY", "a NumPy array", "save it as CSV or Parquet with named columns"),
    (b"RIFF", "a sound", "give the table that names it, or the folder that holds it"),
    (b"OggS", "a sound", "give the table that names it, or the folder that holds it"),
    (b"fLaC", "a sound", "give the table that names it, or the folder that holds it"),
    (b"ID3", "a sound", "give the table that names it, or the folder that holds it"),
    (b"BZh", "a bzip2 archive", "unpack it first"),
    (b"\xfd7zXZ", "an xz archive", "unpack it first"),
    (b"(\xb5/\xfd", "a Zstandard archive", "unpack it first"),
    (b"7z\xbc\xaf", "a 7z archive", "unpack it first"),
    (b"version https://git-lfs", "a Git LFS pointer without the data", "fetch it with `git lfs pull`"),
)
_MARKS: tuple[tuple[bytes, str, str], ...] = (
    (b"\xef\xbb\xbf", "utf-8", "UTF-8 with byte order mark"),
    (b"\xff\xfe\x00\x00", "utf-32-le", "UTF-32 LE with byte order mark"),
    (b"\x00\x00\xfe\xff", "utf-32-be", "UTF-32 BE with byte order mark"),
    (b"\xff\xfe", "utf-16-le", "UTF-16 LE with byte order mark"),
    (b"\xfe\xff", "utf-16-be", "UTF-16 BE with byte order mark"),
)
_WEB_PAGE = re.compile(rb"\s*<(?:!doctype html|html|head)", re.IGNORECASE)
_BEYOND_ASCII = re.compile(r"[^\x00-\x7f\ufffd]")


@dataclass(frozen=True, slots=True)
class TextFile:
    """A text file as UTF-8 bytes without byte order mark or NUL, and what was found out about it."""

    name: str
    data: bytes
    notes: tuple[str, ...]

    def line_at(self, position: int) -> int:
        """The line, counted from 1, of a byte position."""
        return self.data.count(b"\n", 0, position) + 1


def read_text_file(path: Path, *, max_bytes: int = MAX_TEXT_BYTES) -> TextFile:
    """Read a file, unpack gzip, find its encoding; DataError with line and remedy for what is no text."""
    name = path.name
    notes: list[str] = []
    size = path.stat().st_size
    if size > max_bytes:
        raise DataError(f"{name}: expected at most {max_bytes:,} bytes, found {size:,}; split it or save it as Parquet")
    data = path.read_bytes()
    if data[:2] == b"\x1f\x8b":
        data = _gunzip(data, name, max_bytes)
        notes.append(f"unpacked from gzip to {len(data):,} bytes")
    if not data:
        raise DataError(f"{name}: expected a header line and rows, found an empty file; check how it was written")
    _refuse_binary(data, name)
    data, note = _to_utf8(data, name)
    notes.append(f"encoding {note}")
    if not data.strip():
        raise DataError(f"{name}: expected a header line and rows, found only blank space; check how it was written")
    _refuse_control_characters(data, name)
    position = data.find(b"\x00")
    if position >= 0:
        line = data.count(b"\n", 0, position) + 1
        raise DataError(f"{name}, line {line}: expected text, found a NUL byte; the file is damaged or binary, "
                        "write it again or remove the bytes (tr -d '\\000')")
    return TextFile(name, data, tuple(notes))


def _gunzip(data: bytes, name: str, max_bytes: int) -> bytes:
    """Unpack at most `max_bytes`; a small archive that grows past that is refused before memory runs out."""
    out = io.BytesIO()
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(data)) as file:
            while block := file.read(1 << 20):
                if out.tell() + len(block) > max_bytes:
                    raise DataError(f"{name}: expected at most {max_bytes:,} bytes after unpacking, found more; "
                                    "unpack it and split it")
                out.write(block)
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{name}: expected a whole gzip file, found a damaged one ({error}); fetch it again") from None
    return out.getvalue()


def _refuse_binary(data: bytes, name: str) -> None:
    text_like = not re.search(rb"[\x00-\x08\x0e-\x1f]", data[:4096])
    for signature, what, remedy in SIGNATURES:
        if text_like and len(signature) <= 4 and signature.isalnum():
            continue  # a header may well begin with ID3 or PAR1
        if data.startswith(signature):
            raise DataError(f"{name}: expected text with columns, found {what}; {remedy}")
    if _WEB_PAGE.match(data[:200]):
        raise DataError(f"{name}: expected text with columns, found a web page; download the data file itself")


def _refuse_control_characters(data: bytes, name: str) -> None:
    sample = np.frombuffer(data[:_SAMPLE], dtype=np.uint8)
    control = (sample < 32) & (sample != 9) & (sample != 10) & (sample != 13) & (sample != 12)
    if control.sum() > max(8, 0.01 * len(sample)):
        raise DataError(f"{name}: expected text with columns, found a binary file ({control.sum()} control characters "
                        f"in the first {len(sample):,} bytes); save the table as CSV or Parquet")


def _to_utf8(data: bytes, name: str) -> tuple[bytes, str]:
    """UTF-8 bytes without mark, and the name of the encoding that was found."""
    for mark, encoding, note in _MARKS:
        if data.startswith(mark):
            body = data[len(mark):]
            if encoding == "utf-8":
                return _checked_utf8(body, name), note
            return _recode(body, encoding, name), note
    wide = _wide_encoding(data)
    if wide is not None:
        return _recode(data, wide, name), f"{wide[:-3].upper()} {wide[-2:].upper()} (no byte order mark)"
    if data.isascii():
        return data, "UTF-8"
    try:
        data.decode("utf-8")
        return data, "UTF-8"
    except UnicodeDecodeError as error:
        return _from_one_byte(data, name, error)


def _checked_utf8(data: bytes, name: str) -> bytes:
    try:
        data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise DataError(f"{name}, line {line}: expected UTF-8 as the byte order mark says, found byte "
                        f"0x{data[error.start]:02x}; save the file as UTF-8 again") from None
    return data


def _recode(data: bytes, encoding: str, name: str) -> bytes:
    try:
        return data.decode(encoding).encode("utf-8")
    except UnicodeError as error:
        place = data[: getattr(error, "start", 0)].decode(encoding, errors="replace").count("\n") + 1
        raise DataError(f"{name}, line {place}: expected {encoding.upper()}, found bytes that are not; "
                        "the file is cut or damaged, save it as UTF-8 again") from None


def _wide_encoding(data: bytes) -> str | None:
    """UTF-16 without a mark: line ends and separators put NULs at positions of one parity only."""
    sample = np.frombuffer(data[: _SAMPLE & ~1], dtype=np.uint8)
    sample = sample[: len(sample) & ~1]
    zeros = sample == 0
    even, odd = int(zeros[::2].sum()), int(zeros[1::2].sum())
    if even + odd < max(2, 0.02 * len(sample)):
        return None
    encoding = "utf-16-le" if odd > even else "utf-16-be"
    if min(even, odd) > 0.1 * max(even, odd):
        return None
    text = sample.tobytes().decode(encoding, errors="replace")
    newlines = int((sample == 10).sum())
    if "\x00" in text or text.count("\ufffd") > 1 or 2 * text.count("\n") < newlines:
        return None  # NUL bytes in a file of another encoding
    return encoding


def _from_one_byte(data: bytes, name: str, error: UnicodeDecodeError) -> tuple[bytes, str]:
    """cp1252 or latin-1; but mostly valid UTF-8 with a few bad bytes is a damaged file and is refused."""
    lenient = data.decode("utf-8", errors="replace")
    wrong, right = lenient.count("\ufffd"), len(_BEYOND_ASCII.findall(lenient))
    if right > 3 * wrong:
        line = data.count(b"\n", 0, error.start) + 1
        raise DataError(f"{name}, line {line}: expected UTF-8 as in the rest of the file, found byte "
                        f"0x{data[error.start]:02x}; mend that cell or save the file as UTF-8 again") from None
    try:
        text, found = data.decode("cp1252"), "cp1252 (Western European; not valid UTF-8)"
    except UnicodeDecodeError:
        text, found = data.decode("latin-1"), "latin-1 (not valid UTF-8 or cp1252)"
    return text.encode("utf-8"), found


def without_lone_surrogates(text: str) -> str:
    """The text with halves of surrogate pairs, which UTF-8 cannot hold, replaced.

    >>> without_lone_surrogates("a\\ud800b")
    'a�b'
    """
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text
