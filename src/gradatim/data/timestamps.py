"""Moments in time from cells as people write them: numbers, ISO dates, day-first and month-first dates."""

import datetime
from collections.abc import Callable, Sequence

import numpy as np

from gradatim.errors import SchemaError

FORMATS = (
    "%Y/%m/%d", "%Y/%m/%d %H:%M", "%Y/%m/%d %H:%M:%S",
    "%d.%m.%Y", "%d.%m.%Y %H:%M", "%d.%m.%Y %H:%M:%S",
    "%d/%m/%Y", "%d/%m/%Y %H:%M", "%d/%m/%Y %H:%M:%S",
    "%m/%d/%Y", "%m/%d/%Y %H:%M", "%m/%d/%Y %H:%M:%S",
    "%d-%m-%Y", "%d-%m-%Y %H:%M", "%d %b %Y", "%d %B %Y", "%b %d, %Y", "%B %d, %Y", "%b %Y", "%Y-%m", "%m/%Y",
)  # fmt: skip


def read_times(cells: Sequence[object], name: str) -> np.ndarray:
    """Seconds (or the plain number) of each cell, float64 (N,), NaN where missing; one format for the whole column.

    Raises SchemaError when no single format reads every cell.

    >>> read_times(["2024-01-02", None, "2024-01-01"], "day").argsort()[:2].tolist()
    [2, 0]
    """
    known = [(row, cell) for row, cell in enumerate(cells) if cell is not None and str(cell).strip()]
    times = np.full(len(cells), np.nan)
    if not known:
        raise SchemaError(f"column '{name}': expected times, received none; give it the role ignore")
    furthest: tuple[int, object] = (-1, None)
    for read in (_number, _iso, *(_by_format(pattern) for pattern in FORMATS)):
        try:
            for index, (row, cell) in enumerate(known):  # noqa: B007 - where it stopped is what to report
                times[row] = read(cell)
            return times
        except (ValueError, OverflowError, TypeError):
            furthest = max(furthest, (index, cell), key=lambda place: place[0])
    raise SchemaError(
        f"column '{name}': expected times in one format (numbers, or dates such as 2024-01-31), "
        f"received {furthest[1]!r}; rewrite them as ISO dates or give the column the role ignore"
    )


def _number(cell: object) -> float:
    if isinstance(cell, datetime.date):
        raise TypeError
    return float(cell)  # type: ignore[arg-type]


def _iso(cell: object) -> float:
    if isinstance(cell, datetime.datetime):
        return _seconds(cell)
    if isinstance(cell, datetime.date):
        return _seconds(datetime.datetime(cell.year, cell.month, cell.day))
    return _seconds(datetime.datetime.fromisoformat(str(cell).strip()))


def _by_format(pattern: str) -> Callable[[object], float]:
    return lambda cell: _seconds(datetime.datetime.strptime(str(cell).strip(), pattern))


def _seconds(moment: datetime.datetime) -> float:
    return (moment if moment.tzinfo else moment.replace(tzinfo=datetime.UTC)).timestamp()
