"""Printing for people, for pipes and for scripts: rich tables on a terminal, plain lines when piped, JSON on demand."""

import sys
from collections.abc import Iterable, Sequence
from typing import Any


def pairs(values: Iterable[str], option: str) -> dict[str, str]:
    """`C=K` arguments as a dict; raises GradatimError for one without '='.

    >>> pairs(["age=number"], "--kind")
    {'age': 'number'}
    """
    from gradatim.errors import GradatimError

    found = {}
    for value in values:
        name, sign, text = value.partition("=")
        if not sign or not name or not text:
            raise GradatimError(f"{option}: expected NAME=VALUE, received '{value}'")
        found[name] = text
    return found


def say(line: str) -> None:
    """A line of progress, on standard error, so that standard output stays clean for pipes."""
    print(line, file=sys.stderr, flush=True)


def silent(line: str) -> None:
    """Say nothing."""


def show_table(title: str, header: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """A table on standard output: drawn on a terminal, aligned plain text when piped."""
    texts = [["" if cell is None else str(cell) for cell in row] for row in rows]
    if sys.stdout.isatty():
        from rich.console import Console
        from rich.markup import escape
        from rich.table import Table

        table = Table(title=title, title_justify="left", title_style="bold")
        for name in header:
            table.add_column(name)
        for row in texts:
            table.add_row(*(escape(cell) for cell in row))
        Console().print(table)
        return
    widths = [max(len(str(cell)) for cell in column) for column in zip(header, *texts)]
    print(title)
    for row in [list(header), *texts]:
        print("  " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip())


def print_json(value: Any) -> None:
    """A JSON value on standard output."""
    from gradatim.files import to_json_bytes

    sys.stdout.write(to_json_bytes(value).decode() + "\n")
