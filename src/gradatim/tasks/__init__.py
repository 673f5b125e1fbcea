"""One module a task; the kind of the target picks it."""

from typing import Any

from gradatim.errors import SchemaError
from gradatim.tasks.classification import Classification
from gradatim.tasks.regression import Regression

Task = Classification | Regression

TASKS: dict[str, type[Classification] | type[Regression]] = {
    "classification": Classification,
    "regression": Regression,
}
TASK_OF_KIND = {"category": "classification", "number": "regression"}


def task_from_json(value: dict[str, Any]) -> Task:
    """Read what a task's `to_json` wrote."""
    name = value.get("task")
    if name not in TASKS:
        raise SchemaError(f"expected a task among {', '.join(TASKS)}, received {name!r}")
    return TASKS[name].from_json(value)
