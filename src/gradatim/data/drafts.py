"""A column on its way through the rules, and what the user asked for."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from gradatim.data.evidence import Facts, Numbers
from gradatim.problems import Problems


@dataclass(slots=True)
class Draft:
    """A column on its way through the rules."""

    kind: str | None = None
    role: str | None = None
    why: list[str] = field(default_factory=list)
    options: dict[str, Any] = field(default_factory=dict)
    named: bool = False  # the user named the kind: no rule sets the column aside but for being empty or constant
    numbers: Numbers | None = None

    def say(self, sentence: str) -> None:
        """Leave evidence."""
        self.why.append(sentence)

    def set_aside(self, reason: str) -> None:
        """Role ignore, unless the user gave a role or a kind."""
        self.say(reason)
        if self.role is None and not self.named:
            self.role = "ignore"


@dataclass(frozen=True, slots=True)
class Request:
    """What the user asked for, and what only the whole table tells."""

    roles: Mapping[str, str]
    kinds: Mapping[str, str]
    task: str | None
    decimal: str  # the decimal mark of columns that leave it open
    decimal_why: str
    family_is_number: Callable[[str], bool]  # whether the numbered columns beside this one are amounts
    problems: Problems | None
    line: Callable[[int], int | None]


Rule = Callable[[Facts, Draft, Request], None]


def shown(cell: Any) -> str:
    """A cell in quotes, on one line, at most 40 characters long."""
    text = " ".join(str(cell).split())
    return f"'{text[:37]}…'" if len(text) > 40 else f"'{text}'"
