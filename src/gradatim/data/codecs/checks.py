"""Checks of codec arguments and of codec JSON, which may come from a stranger: types, ranges and sizes."""

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from gradatim.errors import ArtifactError, SchemaError


@contextmanager
def reading(kind: str) -> Iterator[None]:
    """Turn whatever goes wrong while codec JSON is read into one ArtifactError."""
    try:
        yield
    except ArtifactError:
        raise
    except Exception as error:  # a damaged file may fail anywhere; the cause is named, the file refused
        raise ArtifactError(f"{kind} codec: expected what `to_json` wrote, received a damaged value ({error}); "
                            "save the run again") from None


def parts(value: Any, kind: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """The options and the fitted part of codec JSON."""
    if not isinstance(value, dict) or value.get("kind") != kind:
        raise SchemaError(f"expected an object of kind '{kind}'")
    options, fitted = value.get("options"), value.get("fitted")
    if not isinstance(options, dict) or not isinstance(fitted, dict):
        raise SchemaError("expected objects 'options' and 'fitted'")
    return options, fitted


def whole(value: Any, name: str, low: int, high: int) -> int:
    """A whole number from low to high.

    >>> whole(3, "size", 1, 10)
    3
    """
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise SchemaError(f"{name}: expected a whole number from {low} to {high}, received {_short(value)}")
    return value


def real(value: Any, name: str, low: float = -math.inf, high: float = math.inf) -> float:
    """A finite number from low to high."""
    good = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    if not good or not low <= value <= high:
        raise SchemaError(f"{name}: expected a number from {low:g} to {high:g}, received {_short(value)}")
    return float(value)


def truth(value: Any, name: str) -> bool:
    """True or False."""
    if not isinstance(value, bool):
        raise SchemaError(f"{name}: expected true or false, received {_short(value)}")
    return value


def choice(value: Any, name: str, among: Sequence[str]) -> str:
    """One of the given strings."""
    if not isinstance(value, str) or value not in among:
        raise SchemaError(f"{name}: expected one of {', '.join(among)}; received {_short(value)}")
    return value


def reals(value: Any, name: str, count: int, low: float = -math.inf, high: float = math.inf) -> tuple[float, ...]:
    """A list of exactly `count` finite numbers."""
    if not isinstance(value, list | tuple) or len(value) != count:
        raise SchemaError(f"{name}: expected a list of {count} numbers, received {_short(value)}")
    return tuple(real(entry, name, low, high) for entry in value)


def strings(value: Any, name: str, *, most: int, longest: int) -> list[str]:
    """A list of different strings, at most `most` of at most `longest` characters."""
    if not isinstance(value, list) or len(value) > most:
        raise SchemaError(f"{name}: expected a list of at most {most} strings")
    for entry in value:
        if not isinstance(entry, str) or len(entry) > longest:
            raise SchemaError(f"{name}: expected strings of at most {longest} characters, received {_short(entry)}")
    if len(set(value)) != len(value):
        raise SchemaError(f"{name}: expected each string once")
    return value


def _short(value: Any) -> str:
    text = repr(value) if isinstance(value, str | int | float | bool | None) else type(value).__name__
    return text if len(text) <= 60 else text[:57] + "…"
