"""Printing for people, for pipes and for scripts: rich tables on a terminal, plain lines when piped, JSON on demand."""

import sys
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any


def pairs(values: Iterable[str], option: str) -> dict[str, str]:
    """`C=K` arguments as a dict; raises GradatimError for one without '=' and for a name that comes twice.

    >>> pairs(["age=number"], "--kind")
    {'age': 'number'}
    """
    from gradatim.errors import GradatimError, shown

    found = {}
    for value in values:
        name, sign, text = value.partition("=")
        if not sign or not name or not text:
            raise GradatimError(f"{option}: expected NAME=VALUE, received '{shown(value)}'")
        if name in found:
            raise GradatimError(f"{option}: expected each name once, received '{shown(visible(name))}' twice")
        found[name] = text
    return found


def refuse_idle(needed: str, **given: bool) -> None:
    """Refuse the first option that was given where it does nothing; `needed` says where it would do something.

    >>> refuse_idle("a table to draw", row=False)
    """
    from gradatim.errors import GradatimError

    for name, is_given in given.items():
        if is_given:
            raise GradatimError(f"--{name.replace('_', '-')}: expected {needed}; without effect here, leave it out")


def check_free(output: Path | None, force: bool) -> None:
    """Refuse to replace a file unless it is forced."""
    from gradatim.errors import GradatimError

    if output is not None and output.exists() and not force:
        raise GradatimError(f"{output}: the file exists; choose another -o, or pass --force to replace it")


def visible(text: str) -> str:
    """The text with control characters spelled out: a cell or a name cannot move the cursor or turn the writing.

    >>> visible("a\\x1b[31mb")
    'a\\\\x1b[31mb'
    """
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c in "\n\t" else c.encode("unicode_escape").decode() for c in text)


def say(line: str) -> None:
    """A line of progress, on standard error, so that standard output stays clean for pipes."""
    print(visible(line), file=sys.stderr, flush=True)


class CountBar:
    """Progress of counted work that takes over two seconds: a bar on a terminal, else a line at each quarter."""

    def __init__(self, what: str = "decoding") -> None:
        self.what = what
        self._began = 0.0
        self._quarter = 0

    def __call__(self, done: int, total: int) -> None:
        """Show how much is done and how long the rest will take."""
        now = time.perf_counter()
        if done <= 256 or self._began == 0.0:
            self._began, self._quarter = now, 0
        seconds = now - self._began
        if seconds < 2.0 and done < total:
            return
        left = f"{seconds / max(done, 1) * (total - done):.0f} s left"
        if sys.stderr.isatty():
            end = "\n" if done >= total and seconds >= 2.0 else ""
            filled = int(30 * done / max(total, 1))
            bar = "━" * filled + "╌" * (30 - filled)
            if seconds >= 2.0:
                print(f"\r{self.what} {bar} {done:,} of {total:,}, {left}  ", end=end, file=sys.stderr, flush=True)
        elif seconds >= 2.0 and 4 * done // max(total, 1) > self._quarter:
            self._quarter = 4 * done // max(total, 1)
            say(f"{self.what} {done:,} of {total:,}, {left}")


def silent(line: str) -> None:
    """Say nothing."""


def show_table(title: str, header: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """A table on standard output: drawn on a terminal, aligned plain text when piped."""
    texts = [["" if cell is None else visible(str(cell)) for cell in row] for row in rows]
    title, header = visible(title), [visible(name) for name in header]
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
