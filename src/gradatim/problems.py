"""The list of what is wrong with the data, by row: nothing is dropped or mended in silence."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field


@dataclass(frozen=True, slots=True)
class Problem:
    """One defect. `row` counts from 0 in the table, `line` is the line in the source file (None: no file)."""

    code: str
    message: str
    column: str | None = None
    row: int | None = None
    line: int | None = None

    def __str__(self) -> str:
        place = ", ".join(
            text
            for text in (
                f"line {self.line}" if self.line is not None else (f"row {self.row}" if self.row is not None else ""),
                f"column '{self.column}'" if self.column else "",
            )
            if text
        )
        return f"{place}: {self.message}" if place else self.message


@dataclass(slots=True)
class Problems:
    """A list of `Problem` that can be counted, printed and saved.

    >>> problems = Problems()
    >>> problems.add("image-missing", "cat.png does not exist", column="picture", row=3)
    >>> problems.counts()
    {'image-missing': 1}
    """

    items: list[Problem] = field(default_factory=list)
    _known: set[Problem] = field(default_factory=set, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        self._known.update(self.items)

    def add(
        self, code: str, message: str, *, column: str | None = None, row: int | None = None, line: int | None = None
    ) -> None:
        """Record one problem; the same one twice is recorded once."""
        problem = Problem(code, message, column, row, line)
        if problem not in self._known:
            self._known.add(problem)
            self.items.append(problem)

    def counts(self) -> dict[str, int]:
        """How many problems of each code, most frequent first."""
        return dict(Counter(problem.code for problem in self.items).most_common())

    def to_json(self) -> list[dict[str, object]]:
        """Every problem as a JSON object."""
        return [asdict(problem) for problem in self.items]

    def __len__(self) -> int:
        return len(self.items)

    def __iter__(self) -> Iterator[Problem]:
        return iter(self.items)
