"""One spelling for one value of a category: 1, 1.0 and "1 " are one; so are true and TRUE, and a date in any form.

Files write numbers as they like, and a column of whole numbers becomes one of floats as soon as a frame lacks a cell.
The form of a column is decided once, on the table that is fitted, and stored in its schema as the option "spelling";
cells are brought to it before anything is fitted and again before anything is answered. A column of codes, which says
something by its zeros ('007' and '7', '1.1' and '1.10'), keeps its texts as they are.
"""

from functools import lru_cache
from typing import Any

import polars as pl

from gradatim.data.dates import date_format, times_of
from gradatim.data.schema import Column, Schema
from gradatim.data.table import Table
from gradatim.errors import DataError, SchemaError

FORMS = ("text", "number", "binary", "boolean", "date")  # a date may have its format: "date:%d.%m.%Y"
SPELLED_ROLES = ("input", "group")
_NUMBER = r"^[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)$"
_CODE = r"^[+-]?0[0-9]"  # a leading zero
_EXACT = 2.0**53  # whole floats up to here are exact
_TRUTH = {"true": "1", "false": "0"}
_ISO = ("%Y-%m-%d", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%d %H:%M:%S", "%Y-%m-%d %H:%M:%S%.f")


def spelling_of(cells: pl.Series) -> str:
    """The form of a column's categories, from its (different) cells: one of FORMS, a date with its format.

    >>> spelling_of(pl.Series(["1", "2.0", None])), spelling_of(pl.Series(["007", "7"])), spelling_of(pl.Series([1, 0]))
    ('number', 'text', 'binary')
    """
    dtype = cells.dtype
    if dtype == pl.Boolean:
        return "boolean"
    if dtype in (pl.Date, pl.Datetime):
        return "date"
    if dtype.is_nested() or not (dtype.is_numeric() or dtype == pl.String):
        return "text"
    texts = _as_text(cells).str.strip_chars().drop_nulls().unique()
    if texts.is_empty():
        return "text"
    if texts.str.to_lowercase().is_in(list(_TRUTH)).all():
        return "boolean"
    numbers = texts.filter(texts.str.contains(_NUMBER))
    if numbers.is_empty():
        form = date_format(texts)
        return "text" if form is None else f"date:{form}"
    decimals = numbers.filter(numbers.str.contains(".", literal=True))
    if numbers.str.contains(_CODE).any() or _number_text(decimals).is_duplicated().any():
        return "text"
    return "binary" if numbers.len() == texts.len() and _number_text(numbers).is_in(["0", "1"]).all() else "number"


def check_spelling(form: str | None) -> str | None:
    """The form itself; SchemaError for one that is not among FORMS."""
    if form is not None and (not isinstance(form, str) or form.partition(":")[0] not in FORMS or len(form) > 40):
        raise SchemaError(f"spelling: expected one of {', '.join(FORMS)}, received {form!r:.60}")
    return form


def spelled(cells: pl.Series, form: str) -> pl.Series:
    """The cells as texts (N,), each value in one spelling; what is not of the form stays as it is written.

    >>> spelled(pl.Series([1.0, 2.5, None]), "number").to_list(), spelled(pl.Series([" 1.0", "x"]), "number").to_list()
    (['1', '2.5', None], ['1', 'x'])
    >>> spelled(pl.Series(["TRUE", "0"]), "boolean").to_list(), spelled(pl.Series(["31.1.2024"]), "date:%d.%m.%Y")[0]
    (['true', 'false'], '2024-01-31')
    """
    if cells.dtype.is_nested() or cells.dtype in (pl.Binary, pl.Object):
        return cells
    known = cells.drop_nulls().unique()
    kind, _, written = form.partition(":")
    if kind == "date":
        canonical = _date_text(known, written)
    else:
        canonical = _as_text(known)
        if kind != "text":
            canonical = _number_text(canonical)
        if kind in ("binary", "boolean"):
            lower = canonical.str.to_lowercase()
            canonical = canonical.zip_with(~lower.is_in(list(_TRUTH)), lower.replace(_TRUTH))
        if kind == "boolean":
            canonical = canonical.replace({"1": "true", "0": "false"})
    if known.is_empty():
        return cells.cast(pl.String)
    return cells.replace_strict(known, canonical, default=None, return_dtype=pl.String)


@lru_cache(maxsize=50_000, typed=True)  # typed: True is not 1 here
def one_spelling(cell: Any, form: str) -> str:
    """The spelling of a single cell that is not missing."""
    if form == "text" and isinstance(cell, str):  # thousands of classes: a column of one cell each takes seconds
        return cell
    return str(spelled(pl.Series([cell]), form)[0])


def check_single(cells: pl.Series, source: str) -> None:
    """Refuse a column of numbers or categories whose cells have parts; DataError, one line."""
    if cells.dtype.is_nested() or cells.dtype in (pl.Binary, pl.Object):
        raise DataError(f"{source}: column '{cells.name}': expected a text, number, boolean or date in each cell, "
                        f"received cells of type {cells.dtype}; join their parts to one text, or drop the column")


def with_spellings(schema: Schema, table: Table) -> Schema:
    """The schema in which each category says its spelling, and a target of a frame the type of its cells."""
    for column in schema.columns:
        if column.kind != "category" or column.name not in table.frame.columns:
            continue
        cells = table.frame.get_column(column.name)
        if column.role != "ignore":
            check_single(cells, table.source)
        options: dict[str, Any] = {}
        if column.role == "target" and cells.dtype != pl.String and not cells.dtype.is_nested():
            options["dtype"] = str(cells.dtype.base_type())
        if column.options.get("spelling") is None:
            options["spelling"] = spelling_of(cells)
        if options:
            schema = schema.changed(column.name, options={**options, **column.options})
    return schema


def spelled_table(table: Table, schema: Schema) -> Table:
    """The table with its categories in the spelling that the schema says; the others as they are."""
    frame = table.frame
    columns = [column for column in schema.columns if column.kind == "category" and column.role in SPELLED_ROLES
               and column.options.get("spelling") is not None and column.name in frame.columns]
    if not columns:
        return table
    frame = frame.with_columns([spelled(frame.get_column(c.name), c.options["spelling"]) for c in columns])
    return Table(frame, table.folder, table.lines, table.source, table.notes)


def spelled_rows(table: Table, schema: Schema) -> tuple[Table, list[str]]:
    """The rows that are fitted: `spelled_table`, each class in one spelling too, and what was said of the classes."""
    said: list[str] = []
    for target in schema.targets:
        if target.name in table.frame.columns:
            table, more = _one_label_each(table, target)
            said += more
    return spelled_table(table, schema), said


def _one_label_each(table: Table, target: Column) -> tuple[Table, list[str]]:
    """The table whose target writes each class as most of its rows do, and a sentence for each class so joined."""
    form = target.options.get("spelling")
    cells = table.frame.get_column(target.name)
    if target.kind != "category" or form is None or cells.dtype != pl.String:
        return table, []
    counts = cells.drop_nulls().alias("cell").value_counts(sort=True, name="count").sort(
        ["count", "cell"], descending=[True, False])
    counts = counts.with_columns(spelled(counts["cell"], form).alias("key"))
    if not counts["key"].is_duplicated().any():
        return table, []
    first = counts.group_by("key", maintain_order=True).agg(pl.col("cell"), pl.col("count")).filter(
        pl.col("cell").list.len() > 1)
    said = [" and ".join(f"'{cell}' ({count:,} times)" for cell, count in zip(row["cell"], row["count"], strict=True))
            + f" are one class, '{row['cell'][0]}'" for row in first.to_dicts()]
    chosen = counts.group_by("key", maintain_order=True).agg(pl.col("cell").first().alias("label"))
    joined = counts.join(chosen, on="key")
    frame = table.frame.with_columns(cells.replace(joined["cell"], joined["label"]))
    return Table(frame, table.folder, table.lines, table.source, table.notes), said


def _as_text(cells: pl.Series) -> pl.Series:
    """Typed cells as texts: whole floats without '.0'."""
    if cells.dtype.is_float():
        whole = (cells == cells.round()) & (cells.abs() <= _EXACT)
        return cells.cast(pl.String).zip_with(~whole.fill_null(False),
                                              cells.cast(pl.Int64, strict=False).cast(pl.String))
    if cells.dtype == pl.Boolean:
        return cells.replace_strict({True: "True", False: "False"}, default=None, return_dtype=pl.String)
    if cells.dtype in (pl.Date, pl.Datetime):
        return _date_text(cells, "")
    return cells.cast(pl.String)


def _number_text(texts: pl.Series) -> pl.Series:
    """Numbers in their shortest spelling, digit by digit: twenty digits stay twenty; other texts as they are."""
    plain = texts.str.strip_chars()
    number = plain.str.contains(_NUMBER)
    short = plain.str.replace(r"^\+", "")
    short = short.zip_with(~short.str.contains(".", literal=True), short.str.replace(r"\.?0*$", ""))
    short = short.str.replace(r"^(-?)0+([0-9])", "${1}${2}").str.replace(r"^(-?)(\.|$)", "${1}0${2}")
    short = short.replace("-0", "0")
    return short.zip_with(number, texts)


def _date_text(cells: pl.Series, written: str) -> pl.Series:
    """Dates as 2024-01-31, or 2024-01-31T10:30:00 where they have a time of day; UTC where they have a zone."""
    if cells.dtype == pl.String:
        times = times_of(cells, written or _ISO[0])
        for form in _ISO:
            times = times.zip_with(times.is_not_null(), times_of(cells, form))
        return _iso(times).zip_with(times.is_not_null(), cells)
    if cells.dtype not in (pl.Date, pl.Datetime):
        return _as_text(cells)
    if getattr(cells.dtype, "time_zone", None):
        cells = cells.dt.convert_time_zone("UTC").dt.replace_time_zone(None)
    return _iso(cells.cast(pl.Datetime("us")))


def _iso(times: pl.Series) -> pl.Series:
    text = times.dt.strftime("%Y-%m-%dT%H:%M:%S%.f")
    return text.str.replace(r"T00:00:00(?:\.0+)?$", "").str.replace(r"(T\d\d:\d\d:\d\d)\.0+$", "${1}")
