"""The seam for tasks whose rows are no classes, numbers or places: each brings a line of its own from rows to answer.

A module that `gradatim.tasks.LINES` names has `fit_line(job) -> Fitted`. It may also have `read(table, schema,
options)`, which gathers rows and sets kinds before anything else happens, and `OWN_SPLIT = True` where rows are not
what is split (rolling origins of a series): then no split, ties or audit are made for it.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any, Protocol

from gradatim.data.schema import Schema
from gradatim.data.split import Split
from gradatim.data.table import Table
from gradatim.evaluate.predictions import Predictions
from gradatim.tasks import LINES
from gradatim.tasks.declared import options_of
from gradatim.tasks.members import Ensemble
from gradatim.tasks.memo import Clock, Memo
from gradatim.tasks.source import Source
from gradatim.tasks.task import Task


class LineTask(Task, Protocol):
    """A task that reads its own rows when it predicts and scores."""

    def predict(self, ensemble: Ensemble, source: Source, ids: Mapping[str, Any] | None = None) -> Predictions:
        """The predictions for a table, in whatever rows they come."""
        ...

    def evaluate(self, ensemble: Ensemble, source: Source) -> dict[str, Any]:
        """{"task", "rows", "metrics": {name: {"value", "low", "high", …}}, "notes"} on labelled rows."""
        ...


@dataclass(frozen=True, slots=True)
class Job:
    """What a line is given. options: those of the task, read; split: None where the module splits itself."""

    source: Source
    schema: Schema
    split: Split | None
    options: Mapping[str, Any]
    seed: int
    epochs: int | None
    metric: str | None
    clock: Clock
    memo: Memo
    say: Callable[[str], None]


@dataclass(slots=True)
class Fitted:
    """What a line gives back. facts: as `gradatim.evaluate.report.Facts`; predictions by the name of their file."""

    task: Task
    final: Ensemble
    split: Split
    facts: dict[str, Any]
    histories: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    predictions: dict[str, Predictions] = field(default_factory=dict)
    findings: list[Any] = field(default_factory=list)


def line_of(name: str | None) -> Any:
    """The module of a task with a line of its own; None for the others."""
    return import_module(LINES[name]) if name in LINES else None


def as_line(task: Any) -> LineTask | None:
    """The task where it reads its own rows."""
    return task if hasattr(task, "predict") and hasattr(task, "evaluate") else None


def gathered_rows(task: str | None, table: Table, schema: Schema, options: Mapping[str, Any]) -> tuple[Table, Schema]:
    """The table and schema after the `read` of the task's line, themselves where it has none."""
    read = getattr(line_of(task), "read", None)
    return (table, schema) if read is None else read(table, schema, options_of(str(task), options))
