"""One module a task; the kind of the target picks it."""

from importlib import import_module
from typing import Any

from gradatim.errors import SchemaError
from gradatim.tasks.task import SupervisedTask, Task

__all__ = ["LINES", "TASKS", "TASK_OF_KIND", "SupervisedTask", "Task", "task_class", "task_from_json"]

TASKS = {
    "classification": "gradatim.tasks.classification.Classification",
    "regression": "gradatim.tasks.regression.Regression",
    "localisation": "gradatim.tasks.localisation.Localisation",
    "landmarks": "gradatim.tasks.landmarks.Landmarks",
    "forecasting": "gradatim.tasks.forecasting.Forecasting",
    "language-model": "gradatim.tasks.language_model.LanguageModel",
    "translation": "gradatim.tasks.translation.Translation",
    "summarisation": "gradatim.tasks.translation.Translation",
    "tagging": "gradatim.tasks.tagging.Tagging",
}
TASK_OF_KIND = {
    "category": "classification", "number": "regression", "boxes": "localisation", "points": "landmarks",
    "tags": "tagging",
}
# task → module with `fit_line`, see gradatim.tasks.line; the others are fitted by `fit_supervised`
LINES: dict[str, str] = {
    "language-model": "gradatim.tasks.language_model",
    "forecasting": "gradatim.tasks.forecasting_line",
    "translation": "gradatim.tasks.translation_line",
    "summarisation": "gradatim.tasks.translation_line",
    "tagging": "gradatim.tasks.tagging_line",
}
IN_PICTURES = ("localisation", "landmarks")  # tasks whose target lies in a picture; `fit` is given its column


def task_class(name: Any) -> Any:
    """The class of a task by its name; it has `fit(column, cells, metric=…)` and `from_json(value)`."""
    if not isinstance(name, str) or name not in TASKS:
        raise SchemaError(f"expected a task among {', '.join(TASKS)}, received {name!r:.60}")
    module, _, last = TASKS[name].rpartition(".")
    return getattr(import_module(module), last)


def task_from_json(value: dict[str, Any]) -> Task:
    """Read what a task's `to_json` wrote."""
    return task_class(value.get("task")).from_json(value)
