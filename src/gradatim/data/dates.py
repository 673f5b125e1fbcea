"""Dates written as text: which format a column is in, and its cells as seconds."""

import re

import polars as pl

_DAYS = ("%Y-%m-%d", "%Y/%m/%d", "%Y.%m.%d", "%d.%m.%Y", "%d/%m/%Y", "%m/%d/%Y", "%d-%m-%Y", "%m-%d-%Y",
         "%d.%m.%y", "%d/%m/%y", "%m/%d/%y", "%d-%m-%y",
         "%d %b %Y", "%d-%b-%Y", "%d %B %Y", "%b %d %Y", "%b %d, %Y", "%B %d, %Y")
_TIMES = ("", " %H:%M", " %H:%M:%S", " %H:%M:%S%.f", "T%H:%M", "T%H:%M:%S", "T%H:%M:%S%.f")
_LOOK = re.compile(
    r"\s*(?:\d{4}([-/.])\d{1,2}\1\d{1,2}|\d{1,2}([-/.])\d{1,2}\2(?:\d{4}|\d{2})|\d{1,2}[ -][A-Za-z]{3,9}[ -]\d{4}"
    r"|[A-Za-z]{3,9} \d{1,2},? \d{4})(?:[ T]\d{1,2}:\d{2}(?::\d{2}(?:\.\d+)?)?\s*(?:Z|UTC|[+-]\d\d:?\d\d)?)?\s*"
)
_ZONE = r"\s*(?:Z|UTC|[+-]\d\d:?\d\d)$"
ENOUGH = 0.95
_MONTHS = (("%Y-%m", r"\d{4}-\d{1,2}"), ("%Y/%m", r"\d{4}/\d{1,2}"), ("%m/%Y", r"\d{1,2}/\d{4}"),
           ("%b %Y", r"[A-Za-z]{3} \d{4}"), ("%B %Y", r"[A-Za-z]{4,9} \d{4}"), ("%Y-%b", r"\d{4}-[A-Za-z]{3}"))
_QUARTER = r"\s*(\d{4})\s*[-/ ]?\s*[Qq]([1-4])\s*"


def date_format(cells: pl.Series, *, sample: int = 200) -> str | None:
    """The format, as `strftime` writes it, in which at least 95 % of the filled cells are dates; None if there is none.

    Where day and month could be exchanged in every cell the day is taken to come first.

    >>> date_format(pl.Series(["2024-01-31", "2024-02-01", None]))
    '%Y-%m-%d'
    >>> date_format(pl.Series(["01/31/2024", "02/01/2024"]))
    '%m/%d/%Y'
    >>> date_format(pl.Series(["2024-01-31 10:30", "2024-02-01 10:30:15"]))
    '%Y-%m-%d %H:%M:%S'
    """
    filled = cells.drop_nulls()
    if cells.dtype != pl.String or not filled.len():
        return None
    looked = filled.gather_every(max(1, filled.len() // sample)).to_list()
    if sum(_LOOK.fullmatch(text) is not None for text in looked) < ENOUGH * len(looked):
        return None
    filled = filled.unique()
    clock = next(text for text in looked if _LOOK.fullmatch(text))
    long_year = re.search(r"\d{4}", re.split(r"[ T]\d{1,2}:", clock)[0]) is not None
    best, most = None, 0
    for times in _TIMES:
        if bool(times) != (":" in clock) or times.startswith("T") != bool(re.search(r"\dT\d", clock)):
            continue
        for days in _DAYS:
            if ("%Y" in days) != long_year:
                continue
            count = filled.len() - _parse(filled, days + times).null_count()
            if count > most:
                best, most = days + times, count
    return best if most >= ENOUGH * filled.len() else None


def seconds_of(cells: pl.Series) -> pl.Series | None:
    """Float64 seconds since 1970 of a column of dates, or its own numbers; null where unreadable, None if neither.

    >>> seconds_of(pl.Series(["1970-01-02", "1970-01-03", None])).to_list()
    [86400.0, 172800.0, None]
    """
    if cells.dtype.is_numeric():
        return cells.cast(pl.Float64)
    if cells.dtype in (pl.Date, pl.Datetime):
        return cells.cast(pl.Datetime("us")).dt.epoch("us").cast(pl.Float64) / 1e6
    form = date_format(cells)
    if form is not None:
        return _parse(cells, form).dt.epoch("us").cast(pl.Float64) / 1e6 - _offset(cells)
    if cells.dtype != pl.String:
        return None
    months = months_of(cells)
    if months is not None:
        return months[0]
    from gradatim.data.numbers import parse_numbers

    column = parse_numbers(cells)
    return None if (column.unreadable & ~column.infinite).any() or column.missing.all() else column.values


def months_of(cells: pl.Series) -> tuple[pl.Series, str] | None:
    """Seconds since 1970 of months and quarters written as text, and the form ("quarter", or as `strftime` writes it).

    None where under 95 % of the filled cells are such.

    >>> months_of(pl.Series(["1970-02", None]))[0].to_list(), months_of(pl.Series(["2024 Q3"]))[1]
    ([2678400.0, None], 'quarter')
    """
    texts = cells.str.strip_chars()
    filled = texts.drop_nulls()
    if not filled.len():
        return None
    if int(filled.str.contains(f"^{_QUARTER}$").sum()) >= ENOUGH * filled.len():
        parts = texts.str.extract_groups(_QUARTER).struct.unnest()
        year, quarter = (parts[name].cast(pl.Int32) for name in parts.columns)
        days = pl.DataFrame({"y": year, "m": 3 * quarter - 2}).select(pl.date("y", "m", 1)).to_series()
        return days.cast(pl.Datetime("us")).dt.epoch("us").cast(pl.Float64) / 1e6, "quarter"
    for form, pattern in _MONTHS:
        if int(filled.str.contains(f"^{pattern}$").sum()) >= ENOUGH * filled.len():
            days = ("1 " + texts).str.to_date("%d " + form, strict=False)
            if days.len() - days.null_count() >= ENOUGH * filled.len():
                return days.cast(pl.Datetime("us")).dt.epoch("us").cast(pl.Float64) / 1e6, form
    return None


def times_of(cells: pl.Series, form: str) -> pl.Series:
    """Dates written in one format as Datetime, in UTC where a cell has its own zone; null where it is no such date.

    >>> times_of(pl.Series(["2024-01-31T12:30+02:00"]), "%Y-%m-%dT%H:%M:%S")[0]
    datetime.datetime(2024, 1, 31, 10, 30)
    """
    return _parse(cells, form) - pl.select((_offset(cells) * 1e6).cast(pl.Duration("us"))).to_series()


def _parse(cells: pl.Series, form: str) -> pl.Series:
    plain = cells.str.strip_chars()
    if "%H" in form:
        plain = plain.str.replace(_ZONE, "")
        if "%S" in form and "%.f" not in form:  # some writers leave out seconds of 0
            plain = plain.str.replace(r"([ T]\d{1,2}:\d{2})$", "${1}:00")
        return plain.str.to_datetime(form, strict=False, time_unit="us")
    return plain.str.to_date(form, strict=False).cast(pl.Datetime("us"))


def _offset(cells: pl.Series) -> pl.Series:
    """Seconds by which each cell's own time zone is ahead."""
    parts = cells.str.extract_groups(r":\d\d.*([+-])(\d\d):?(\d\d)\s*$").struct.unnest()
    sign, hours, minutes = (parts[name] for name in parts.columns)
    size = hours.cast(pl.Float64) * 3600 + minutes.cast(pl.Float64) * 60
    return (size * (sign == "-").replace_strict({True: -1.0, False: 1.0}, default=1.0)).fill_null(0.0)
