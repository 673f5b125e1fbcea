"""What the user asked of `fit`, and the checks that need no data: stored as request.json in the run's folder."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from gradatim.data.augment_options import AugmentRequest
from gradatim.data.codecs import INPUTS
from gradatim.data.schema import Schema
from gradatim.data.table import Table
from gradatim.errors import GradatimError, SchemaError, shown
from gradatim.files import read_json
from gradatim.models.address import full_address
from gradatim.tasks import IN_PICTURES, TASK_OF_KIND, TASKS, SupervisedTask, task_class
from gradatim.tasks.chosen import ChosenEstimator
from gradatim.tasks.declared import DECLARED, check_taken
from gradatim.tasks.facts import check_metric
from gradatim.tasks.options import GENERAL, Option
from gradatim.tasks.placed import picture_of
from gradatim.tasks.supervised import Choices
from gradatim.weights import find, path_of

OPTIONS = Option("options", "pairs", {}, "those of the task", "options")


@dataclass(frozen=True, slots=True)
class Request:
    """What the user asked for; stored as request.json, so that a run can be resumed and repeated."""

    source: str = ""
    target: str | None = None
    task: str | None = None
    id: str | None = None
    group: str | None = None
    time: str | None = None
    split: str | None = None
    ignore: tuple[str, ...] = ()
    kinds: Mapping[str, str] = field(default_factory=dict)
    schema: dict[str, Any] | None = None
    encoders: Mapping[str, str] = field(default_factory=dict)
    fusion: str = "concatenation"
    metric: str | None = None
    test: str | None = None
    minutes: float = 10.0
    epochs: int | None = None
    seed: int = 0
    ledger: str = "masked"
    optimizer: str | None = None
    learning_rate: float | None = None
    label_smoothing: float | None = None
    mixup: float = 0.0
    flip: bool = False
    class_weights: str = "auto"
    estimator: str | None = None
    fine_tune: bool = False
    levers: bool = False
    augment: tuple[str, ...] = ()
    gather: Mapping[str, str] = field(default_factory=dict)
    options: Mapping[str, str] = field(default_factory=dict)
    recipe: str | None = None

    def __post_init__(self) -> None:
        for option in GENERAL:
            option.check(getattr(self, option.name))
        OPTIONS.check(self.options)
        AugmentRequest.parse(self.augment)


def plain_options(options: Mapping[str, Any]) -> dict[str, Any]:
    """Options as Python callers write them: numbers of numpy made Python's, columns named by a number, one for many.

    >>> plain_options({"target": 2, "ignore": "name", "seed": 3})
    {'target': '2', 'ignore': ('name',), 'seed': 3}
    """
    found = {name: value.item() if isinstance(value, np.generic) else value for name, value in options.items()}
    for name, value in found.items():
        if name in ("target", "id", "group", "time", "split"):
            found[name] = _column_name(value)
        elif name in ("ignore", "augment"):
            several = (value,) if isinstance(value, str | (int if name == "ignore" else str)) else value
            if isinstance(several, list | tuple | set):
                found[name] = tuple(_column_name(word) if name == "ignore" else word for word in several)
        elif name in ("kinds", "encoders") and isinstance(value, Mapping):
            found[name] = {_column_name(column): what for column, what in value.items()}
    return found


def _column_name(name: Any) -> Any:
    """The name of a column that a frame calls by a whole number; anything else as it is, for the check of its type."""
    whole = isinstance(name, int | np.integer) and not isinstance(name, bool)
    return str(name) if whole else name


def read_request(path: Path) -> Request:
    """The request that a run folder holds; GradatimError when it is damaged."""
    stored = read_json(path)
    try:
        foreign = sorted(set(stored) - set(Request.__dataclass_fields__))
        if foreign:
            raise ValueError(f"it holds '{foreign[0]:.60}', which no request has")
        return msgspec.convert(stored, Request)
    except (TypeError, ValueError) as error:
        raise GradatimError(f"{path}: expected the request of a run, found a damaged one ({error})") from None


def asked(recipe: Mapping[str, Any], name: str) -> dict[str, str]:
    """A field of texts by name ("gather", "options") of the request in an artifact's recipe; empty where there is none.

    What it says is applied to every table that the run reads. Errors: GradatimError where it is something else.
    """
    request = recipe.get("request", {})
    found = request.get(name) or {} if isinstance(request, Mapping) else request
    if not isinstance(found, Mapping) or not all(isinstance(word, str) for pair in found.items() for word in pair):
        raise GradatimError(f"recipe.request.{name}: expected texts by name, received {shown(repr(found))}; "
                            "the run is damaged")
    return dict(found)


def check_columns(schema: Schema, table: Table) -> None:
    """Refuse a schema whose columns are not all in the table."""
    missing = [column.name for column in schema.columns if column.name not in table.frame.columns]
    if missing:
        raise SchemaError(
            f"{table.source}: the schema names columns that the table lacks: {', '.join(missing)}; "
            "write a new one with `gradatim schema`"
        )
    for column in schema.inputs:
        if column.kind not in INPUTS:
            raise SchemaError(f"column '{column.name}': expected an input of kind {', '.join(INPUTS)}; received "
                              f"{column.kind}, which cannot be read yet; --ignore it")


def check_line(schema: Schema, request: Request) -> str | None:
    """The task that the user or the kind of the target names; refuses what a task of that sort does not take."""
    targets = schema.targets
    name = schema.task or (TASK_OF_KIND.get(targets[0].kind) if len(targets) == 1 else None)
    if name in DECLARED:
        check_taken(str(name), request)
    return name


def pick_task(schema: Schema) -> str:
    """The task: the user's word, else by the kind of the target."""
    targets = schema.targets
    if len(targets) != 1:
        raise SchemaError(f"expected one target column, received {len(targets)}; name it with --target")
    if not schema.inputs:
        raise SchemaError("expected at least one input column, found none; see `gradatim schema`, then --kind C=K")
    name = schema.task or TASK_OF_KIND.get(targets[0].kind)
    if name not in TASKS:
        raise SchemaError(
            f"target '{targets[0].name}' of kind {targets[0].kind}: expected a task among {', '.join(TASKS)}, "
            f"received {name!r}; where its cells are classes, say --kind {targets[0].name}=category"
        )
    return name


def task_of(table: Table, schema: Schema, request: Request) -> SupervisedTask:
    """The task, with what it learns of its target from the rows of a table."""
    name = pick_task(schema)
    check_metric(request.metric, name)
    column = schema.targets[0]
    placed = {"picture": picture_of(schema, name)} if name in IN_PICTURES else {}
    task = task_class(name).fit(column, table.cells(column.name), metric=request.metric,
                                class_weights=request.class_weights, **placed)
    check_metric(request.metric, name, len(task.classes))
    return task


def read_encoders(encoders: Mapping[str, str], schema: Schema) -> dict[str, dict[str, Any]]:
    """`X=ADDRESS[:WEIGHTS]` by column or kind → address in full, JSON arguments, path of the weights.

    WEIGHTS is a file, or `pretrained`: the published set in the cache, see `gradatim weights`.
    """
    found = {}
    names = {column.name for column in schema.inputs} | {column.kind for column in schema.inputs}
    for name, text in encoders.items():
        if name not in names:
            known = ", ".join(sorted(names))
            raise GradatimError(f"--encoder {name}=…: expected an input column or kind among {known}")
        address, _, weights = text.partition(":")
        entry: dict[str, Any] = {"address": full_address(address), "arguments": {}}
        if weights == "pretrained":
            published = find(entry["address"])
            entry |= {"weights": str(path_of(published)), "frozen": True, "pixels": dict(published.pixels)}
        elif weights:
            if not Path(weights).is_file():
                raise GradatimError(f"--encoder {name}={text}: expected a file of weights, found none at {weights}")
            entry |= {"weights": str(Path(weights).resolve()), "frozen": True}
        found[name] = entry
    return found


def choices_of(request: Request, encoders: Mapping[str, Any], task: str, schema: Schema) -> Choices:
    """What the request says about the fit; GradatimError where an estimator is not there."""
    estimator = None if request.estimator is None else ChosenEstimator.parse(request.estimator)
    if estimator is not None:
        estimator.build(task)
    asked = AugmentRequest.parse(request.augment)
    asked.check({column.name: column.kind for column in schema.inputs})
    if (asked.mixup or asked.cutmix) and task not in ("classification", "regression"):
        raise GradatimError(f"--augment mixup, cutmix: expected a target of classes or numbers, whose halves add up; "
                            f"{task} has another")
    return Choices(
        seed=request.seed, epochs=request.epochs, encoders=encoders, fusion=request.fusion, mixup=request.mixup,
        flip=request.flip, label_smoothing=request.label_smoothing, optimizer=request.optimizer,
        learning_rate=request.learning_rate, estimator=estimator, fine_tune=request.fine_tune, augment=asked,
        recipe=request.recipe,
    )
