"""Errors that a user can act on: one line that says what was expected, what was received, what to do."""

import re

MAX_MESSAGE = 600  # characters of a message
_ENDLESS = re.compile(r"[^\s/]{121,}")
MAX_SHOWN = 60  # characters of a user's text that a message quotes


def shown(value: object, most: int = MAX_SHOWN) -> str:
    """A user's text as a message quotes it: its beginning, where it is long.

    >>> shown("x" * 10_000, 5)
    'xxxxx…'
    """
    text = str(value)
    return text if len(text) <= most else text[:most] + "…"


def shortened(message: str) -> str:
    """A message with its endless words cut, and without its middle where it is long.

    The beginning says where, the end what to do; no name, option or part of a path has so long a word.

    >>> len(shortened("--seed: received " + "9" * 5000))
    78
    """
    message = _ENDLESS.sub(lambda word: shown(word.group()), message)
    if len(message) <= MAX_MESSAGE:
        return message
    return f"{message[: MAX_MESSAGE // 2]} … {message[-(MAX_MESSAGE // 2 - 3):]}"


class GradatimError(ValueError):
    """Anything the user can mend. The command line prints the message alone and exits with code 2."""

    def __init__(self, message: object = "") -> None:
        super().__init__(shortened(str(message)))


class DataError(GradatimError):
    """A file or a table that cannot be read as it stands."""


class SchemaError(GradatimError):
    """A column, kind, role or task that does not fit the table."""


class ArtifactError(GradatimError):
    """A run folder that is missing, damaged, unsafe or of an unknown format."""


class CellError(GradatimError):
    """One cell that cannot be decoded; the row stays, the cell counts as absent and is listed.

    >>> CellError("image-unreadable", "cat.png: not a picture").code
    'image-unreadable'
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
