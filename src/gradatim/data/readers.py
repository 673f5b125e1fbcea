"""One way in: a path, a folder or a frame becomes a Table, and nothing is dropped or mended in silence."""

import difflib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import polars as pl

from gradatim.data.conll import read_conll
from gradatim.data.delimited import read_delimited
from gradatim.data.documents import read_documents, read_text_folder, text_files
from gradatim.data.folders import MEDIA_ENDINGS, read_folder, subfolders
from gradatim.data.frames import from_arrow, from_pandas, from_polars, read_arrow_file, read_parquet
from gradatim.data.jsonlines import read_json_rows
from gradatim.data.series_files import read_ts
from gradatim.data.table import Table
from gradatim.errors import DataError

# The ending of the file decides; whatever is not listed is tried as delimited text.
READERS = {
    ".parquet": read_parquet,
    ".pq": read_parquet,
    ".arrow": read_arrow_file,
    ".feather": read_arrow_file,
    ".ipc": read_arrow_file,
    ".jsonl": read_json_rows,
    ".ndjson": read_json_rows,
    ".json": read_json_rows,
    ".txt": read_documents,
    ".text": read_documents,
    ".ts": read_ts,
    ".conll": read_conll,
    ".conllu": read_conll,
    ".bio": read_conll,
    ".iob": read_conll,
    ".iob2": read_conll,
    ".bioes": read_conll,
}


def read_table(source: Any, *, columns: Sequence[str] | None = None) -> Table:
    """Read a CSV / TSV / Parquet / Arrow / JSON-lines file, a folder of class folders, or a frame.

    source: a path, a pandas / polars / Arrow frame, or a Table (returned as it is); columns: keep these alone.
    Cells of text files stay strings in their original spelling and an empty cell is null; frames keep their types.
    Raises DataError in one line: file, line, what was expected, what was found, what to do.

    >>> read_table(pl.DataFrame({"word": ["a", ""], "size": [1.5, 2.0]})).cells("word")
    ['a', None]
    """
    table = source if isinstance(source, Table) else with_media_folder(_read(source))
    if columns is None:
        return table
    missing = [name for name in columns if name not in table.frame.columns]
    if missing:
        raise DataError(f"{table.source}: {no_such_column(missing[0], table.frame.columns)}")
    return Table(table.frame.select(columns), table.folder, table.lines, table.source, table.notes)


def no_such_column(name: str, known: Sequence[str]) -> str:
    """One line about a column that is not there: the closest names, or all of them when they are few.

    >>> no_such_column("lable", ["text", "label"])
    "expected a column of the table, received 'lable'; did you mean 'label'?"
    """
    lowered = {column.casefold().strip(): column for column in known}
    close = [lowered[key] for key in difflib.get_close_matches(name.casefold().strip(), lowered, n=3, cutoff=0.6)]
    if close:
        hint = f"did you mean {' or '.join(map(repr, close))}?"
    else:
        hint = f"the columns are {', '.join(known[:12])}{', …' if len(known) > 12 else ''}"
    return f"expected a column of the table, received '{name}'; {hint}"


def with_media_folder(table: Table) -> Table:
    """The table with the folder in which its pictures or sounds lie, where that is a subfolder of the file's own.

    Tables often name `a.png` where the file is images/a.png. When sampled names exist in exactly one subfolder and
    not beside the table, that subfolder becomes the table's, and the notes say so.
    """
    if table.folder is None:
        return table
    found: set[Path] = set()
    for column in table.frame:
        if column.dtype != pl.String:
            continue
        endings = tuple(MEDIA_ENDINGS)
        names = [name for name in column.head(50).drop_nulls() if name.lower().endswith(endings)]
        if not names or any((table.folder / name).is_file() for name in names if _plain_name(name)):
            continue
        bare = [name for name in names if _plain_name(name)]
        places = [place for place in subfolders(table.folder) if any((place / name).is_file() for name in bare)]
        if len(places) != 1:
            return table
        found.add(places[0])
    if len(found) != 1:
        return table
    place = found.pop()
    note = f"file names are looked up in {place.name}/, where they are"
    return Table(table.frame, place, table.lines, table.source, (*table.notes, note))


def _plain_name(name: str) -> bool:
    return "\x00" not in name and len(name) < 255 and not Path(name).is_absolute() and ".." not in Path(name).parts


def _read(source: Any) -> Table:
    if isinstance(source, (str, Path)):
        return _read_path(source)
    if isinstance(source, (pl.DataFrame, pl.LazyFrame)):
        return from_polars(source)
    if type(source).__module__.partition(".")[0] == "pandas" and hasattr(source, "iloc") and hasattr(source, "columns"):
        return from_pandas(source)
    if type(source).__name__ == "Series":
        raise DataError("expected a frame, received a Series; make a column a frame with to_frame(), and take one row "
                        "of a frame as frame[:1]")
    if hasattr(source, "__arrow_c_stream__"):
        return from_arrow(source)
    raise DataError(f"expected a path or a pandas, polars or Arrow frame, received {type(source).__name__}; "
                    "put the data into a frame with named columns")


def _read_path(source: str | Path) -> Table:
    text = str(source)
    if "://" in text:
        raise DataError(f"{text}: expected a path on this machine, received an address; download the file first")
    if not text or "\x00" in text:
        raise DataError(f"expected a path, received {text!r}; name the file or the folder")
    path = Path(source).expanduser()
    try:
        if path.is_dir():
            return _read_folder(path)
        if not path.exists():
            raise DataError(_no_such_file(path))
        if not path.is_file():
            raise DataError(f"{path}: expected a file or a folder, found a device or a pipe; write it to a file first")
        name = path.name.lower().removesuffix(".gz")
        return READERS.get(Path(name).suffix, read_delimited)(path)
    except PermissionError:
        raise DataError(f"{path}: expected a readable file, found one without permission to read; chmod it") from None
    except OSError as error:
        raise DataError(f"{path}: expected a readable file, but the system says '{error.strerror or error}'") from None


def _read_folder(folder: Path) -> Table:
    """Pictures or sounds where there are some, else text files."""
    try:
        return read_folder(folder)
    except DataError:
        texts = text_files(folder)
        if not texts or any(path.suffix.lower() in MEDIA_ENDINGS for path in folder.rglob("*")):
            raise
        return read_text_folder(folder, texts)


def _no_such_file(path: Path) -> str:
    parent = path.parent
    if not parent.is_dir():
        return f"{path}: expected a file, found not even its folder {parent}; check the path"
    names = [entry.name for entry in parent.iterdir()]
    close = difflib.get_close_matches(path.name, names, n=1)
    hint = f"did you mean {close[0]}?" if close else "check the path"
    return f"{path}: expected a file, found nothing there; {hint}"
