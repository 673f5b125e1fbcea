"""Reading and writing files safely: atomic writes, size limits before parsing, paths kept under their folder."""

import hashlib
import os
import tempfile
from pathlib import Path
from typing import Any

import msgspec

from gradatim.errors import DataError

MAX_JSON_BYTES = 64 * 2**20


def write_atomic(path: Path | str, data: bytes | str) -> None:
    """Write a file so that at any moment either the old or the new content is there, whole."""
    path = Path(path)
    if path.is_dir():
        raise DataError(f"{path}: expected the name of a file to write, received a folder")
    path.parent.mkdir(parents=True, exist_ok=True)
    payload = data.encode() if isinstance(data, str) else data
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(payload)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(name, 0o644)
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def to_json_bytes(value: Any, *, indent: int = 1) -> bytes:
    """JSON text of a value; not-a-number and infinities become null, NumPy scalars plain numbers."""
    return msgspec.json.format(msgspec.json.encode(value, enc_hook=_encode_numpy), indent=indent)


def write_json(path: Path | str, value: Any) -> None:
    """Write JSON atomically."""
    write_atomic(path, to_json_bytes(value) + b"\n")


def read_json(path: Path | str, *, max_bytes: int = MAX_JSON_BYTES) -> Any:
    """Read a JSON file, refusing one over `max_bytes` before parsing."""
    path = Path(path)
    if not path.is_file():
        raise DataError(f"{path}: expected a JSON file, found nothing there; check the path")
    if path.stat().st_size > max_bytes:
        raise DataError(f"{path}: expected at most {max_bytes} bytes of JSON, found {path.stat().st_size}")
    try:
        return msgspec.json.decode(path.read_bytes())
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: expected JSON, received text that does not parse ({error})") from None


def sha256_of(path: Path | str) -> str:
    """Hexadecimal SHA-256 of a file's content."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def path_under(folder: Path, name: str) -> Path:
    """The path of `name` inside `folder`; names that lead outside (absolute, `..`, links) are refused.

    >>> path_under(Path("/data"), "../etc/passwd")
    Traceback (most recent call last):
    gradatim.errors.DataError: '../etc/passwd': expected a file name inside /data, received one that leads outside
    """
    if "\x00" in name:
        raise DataError(f"{name!r}: expected a file name, received one with a NUL byte")
    root = Path(folder).resolve()
    path = (root / name).resolve()
    if not path.is_relative_to(root):
        raise DataError(f"'{name}': expected a file name inside {folder}, received one that leads outside")
    return path


def _encode_numpy(value: Any) -> Any:
    if hasattr(value, "tolist"):
        return value.tolist()
    if isinstance(value, Path):
        return str(value)
    raise TypeError(f"expected a JSON value, received {type(value).__name__}")
