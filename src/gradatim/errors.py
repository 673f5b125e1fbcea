"""Errors that a user can act on: one line that says what was expected, what was received, what to do."""


class GradatimError(ValueError):
    """Anything the user can mend. The command line prints the message alone and exits with code 2."""


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
