"""Frames from memory (pandas, polars, Arrow) and from Parquet and Arrow files, with their types kept."""

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from gradatim.data.parquet_footer import check_sizes
from gradatim.data.table import Table
from gradatim.errors import DataError

_WIDE = "whole numbers of more than 64 bits"


def from_pandas(frame: Any) -> Table:
    """A pandas frame; its index is left out. pyarrow is not needed.

    Missing values of every sort become null; a column of mixed types becomes text, and the notes say so.
    """
    if getattr(frame.columns, "nlevels", 1) > 1:
        raise DataError("frame: expected one level of column names, received several; join them first")
    names = [str(name).strip() for name in frame.columns]
    _check_names(names)
    notes: list[str] = []
    columns = []
    for place, name in enumerate(names):
        column, note = _pandas_column(name, frame.iloc[:, place])
        columns.append(column)
        notes += note
    if any(name is not None for name in getattr(frame.index, "names", [None])):
        notes.append("the frame's index is left out; reset_index() makes it a column")
    return from_polars(pl.DataFrame(columns), notes=tuple(notes))


def from_arrow(value: Any) -> Table:
    """A pyarrow table, or anything that exports an Arrow stream."""
    names = [str(name) for name in getattr(value, "column_names", [])]
    _check_names(names)
    for column in getattr(value, "schema", ()):
        kind = str(getattr(column, "type", ""))
        if kind.startswith("decimal256"):  # polars would panic
            raise DataError(f"Arrow table: column '{column.name}': expected numbers of at most 38 digits, received "
                            f"{kind}; cast it to float64 or to text")
    try:
        frame = pl.DataFrame(value) if not hasattr(value, "to_batches") else pl.from_arrow(value)
    except (pl.exceptions.PolarsError, ImportError, TypeError, ValueError) as error:
        raise DataError(f"Arrow table: expected columns that polars reads, received others ({_first_line(error)}); "
                        "cast them first") from None
    assert isinstance(frame, pl.DataFrame)
    return from_polars(frame)


def from_polars(
    frame: pl.DataFrame | pl.LazyFrame,
    *,
    source: str = "frame",
    folder: Path | None = None,
    notes: tuple[str, ...] = (),
) -> Table:
    """A polars frame: not-a-number and empty text become null, categoricals text, decimals numbers."""
    if isinstance(frame, pl.LazyFrame):
        frame = frame.collect()
    if not frame.width:
        raise DataError(f"{source}: expected columns, received none; check how it was made")
    if not frame.height:
        raise DataError(f"{source}: expected rows, received none; check how it was made")
    _check_names(frame.columns, source)
    said = list(notes)
    columns = []
    for column in frame:
        clean, note = _clean(column, source)
        columns.append(clean)
        said += note
    return Table(pl.DataFrame(columns), folder, None, source, tuple(said))


def read_parquet(path: Path) -> Table:
    """A Parquet file."""

    def read() -> pl.DataFrame:
        lazy = pl.scan_parquet(path, glob=False)
        check_sizes(path, len(lazy.collect_schema()), int(lazy.select(pl.len()).collect().item()))
        return pl.read_parquet(path, glob=False)

    return _read_typed(path, "Parquet", read)


def read_arrow_file(path: Path) -> Table:
    """An Arrow (Feather) file."""
    return _read_typed(path, "Arrow", lambda: pl.read_ipc(path.read_bytes()))


def _read_typed(path: Path, format_name: str, read: Any) -> Table:
    if not path.stat().st_size:
        raise DataError(f"{path.name}: expected a {format_name} file, found an empty one; write it again")
    try:
        frame = read()
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError, ValueError) as error:
        raise DataError(f"{path.name}: expected a {format_name} file, found one that does not open "
                        f"({_first_line(error)}); write it again") from None
    return from_polars(frame, source=path.name, folder=path.parent, notes=(f"{format_name} file",))


def _check_names(names: list[str], source: str = "frame") -> None:
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise DataError(f"{source}: expected each column name once, received '{twice[0]}' {names.count(twice[0])} "
                        "times; rename one of them")
    if any(not name.strip() for name in names):
        raise DataError(f"{source}: expected a name for each column, received an empty one; rename it")


def _pandas_column(name: str, column: Any) -> tuple[pl.Series, list[str]]:
    kind = getattr(column.dtype, "kind", "O")
    if isinstance(column.dtype, np.dtype) and kind in "iufb":
        cells = column.to_numpy()
        return pl.Series(name, cells.astype(np.float64) if cells.dtype.itemsize > 8 else cells), []
    if isinstance(column.dtype, np.dtype) and kind == "M":
        return pl.Series(name, column.to_numpy().astype("datetime64[us]")), []
    missing = column.isna().to_numpy()
    cells = [None if gone else _plain(cell) for cell, gone in zip(column.tolist(), missing, strict=True)]
    types = {type(cell) for cell in cells if cell is not None}
    foreign = sorted(type_.__name__ for type_ in types if type_.__module__.startswith("pandas") and
                     type_.__name__ in ("Period", "Interval"))
    wide = types == {int} and any(not -(2**63) <= cell < 2**63 for cell in cells if cell is not None)
    if (len(types) <= 1 or types <= {int, float}) and not foreign and not wide:
        try:
            dtype = pl.Float64 if types == {int, float} else (pl.String if not types else None)
            found = pl.Series(name, cells, dtype=dtype)
            if found.dtype != pl.Object:
                return found, []
            raise DataError(f"frame: column '{name}': expected numbers, texts, dates or lists, received cells of the "
                            f"type {next(iter(types)).__name__}; write them as one of these, or drop the column")
        except DataError:
            raise
        except (pl.exceptions.PolarsError, TypeError, OverflowError, ValueError):
            pass
    spelled = [None if cell is None else str(cell) for cell in cells]
    mixture = " and ".join(sorted(type_.__name__ for type_ in types)) if not wide else _WIDE
    return pl.Series(name, spelled, dtype=pl.String), [f"column '{name}' holds {mixture}: read as text"]


def _plain(cell: Any) -> Any:
    return cell.item() if isinstance(cell, np.generic) else cell


def _clean(column: pl.Series, source: str) -> tuple[pl.Series, list[str]]:
    """One column in the few types that the rest of the library knows."""
    dtype = column.dtype
    if dtype.is_float():
        gaps = int(column.is_nan().sum() or 0)
        note = [f"column '{column.name}': {gaps:,} not-a-number cells are missing"] if gaps else []
        return column.fill_nan(None), note
    if dtype in (pl.Categorical, pl.Enum):
        column = column.cast(pl.String)
    if column.dtype == pl.String:
        return column.set(column == "", None), []
    if dtype == pl.Null:
        return column.cast(pl.String), []
    if dtype.is_decimal():
        return column.cast(pl.Float64), []
    if dtype in (pl.Int128, pl.UInt128):
        narrow = column.cast(pl.Int64, strict=False)
        if narrow.null_count() == column.null_count():
            return narrow, []
        return column.cast(pl.String), [f"column '{column.name}' holds {_WIDE}: read as text"]
    if dtype == pl.Duration:
        seconds = column.cast(pl.Duration("us")).dt.total_microseconds() / 1e6
        return seconds, [f"column '{column.name}': durations are read as seconds"]
    if dtype == pl.Time:
        return column.cast(pl.Int64) / 1e9, [f"column '{column.name}': times of day are read as seconds since midnight"]
    if dtype == pl.Binary or (isinstance(dtype, pl.Struct) and {f.name for f in dtype.fields} & {"bytes", "array"}):
        return column, []  # pictures and sounds held in the cell
    if dtype in (pl.Object, pl.Struct):
        raise DataError(f"{source}: column '{column.name}': expected numbers, texts, dates or lists, received "
                        f"{str(dtype).split('(')[0]} cells; write pictures and sounds as files, or drop the column")
    return column, []


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:120]
