"""Options that would do nothing on these inputs are refused: flip without a picture, fusion of one input, and so on."""

from collections.abc import Mapping
from typing import Any

from gradatim.data.schema import Schema
from gradatim.errors import GradatimError
from gradatim.tasks.frozen import encoder_of
from gradatim.tasks.heads import MEDIA
from gradatim.tasks.options import GENERAL, Option
from gradatim.tasks.task import SupervisedTask

OF_NETWORKS = ("fusion", "optimizer", "learning_rate", "recipe", "augment", "flip", "mixup", "label_smoothing")
NOT_WITH_ESTIMATOR = (*OF_NETWORKS, "fine_tune", "class_weights", "epochs")


def check_effects(
    request: Any, task: SupervisedTask, schema: Schema, encoders: Mapping[str, Mapping[str, Any]]
) -> None:
    """Refuse the first option of a supervised task that has no effect on its inputs, saying what it would need."""
    given = {option.name: option for option in GENERAL if option.given(getattr(request, option.name))}
    for name, there, needed in _needs(request, task, schema, encoders):
        if name in given and not there:
            raise GradatimError(f"{given[name].flag}: expected {needed}; without effect here, leave it out")
    if request.estimator is not None:
        _refuse(given, NOT_WITH_ESTIMATOR, "no --estimator with it: fitted alone, no network is trained")
        bare = [name for name, entry in encoders.items() if not entry.get("weights")]
        if bare:
            raise GradatimError(f"--encoder {bare[0]}=…: expected ADDRESS:WEIGHTS where --estimator is given, which "
                                "reads the features of pretrained networks and trains none")
    elif not request.fine_tune and _only_frozen(schema, encoders):
        _refuse(given, OF_NETWORKS, "a network that is trained: the pretrained one of --encoder stays as it is; add "
                                    "--fine-tune")


def _needs(
    request: Any, task: SupervisedTask, schema: Schema, encoders: Mapping[str, Mapping[str, Any]]
) -> list[tuple[str, bool, str]]:
    """(option, whether what it needs is there, what it needs)."""
    kinds = [column.kind for column in schema.inputs]
    parts = sum(kind != "number" for kind in kinds) + ("number" in kinds)
    weights = any(entry.get("weights") for entry in encoders.values())
    return [
        ("flip", "image" in kinds, "an input of pictures"),
        ("fusion", parts > 1, "two inputs to join (all columns of numbers are one)"),
        ("fine_tune", weights, "a pretrained network to train on: --encoder X=ADDRESS:WEIGHTS"),
        ("label_smoothing", len(task.classes) > 1, "a target of several classes"),
        ("ledger", request.ledger != "refit" or len(kinds) > 1, "two inputs to compare, for refit"),
    ]


def _only_frozen(schema: Schema, encoders: Mapping[str, Mapping[str, Any]]) -> bool:
    """Whether a pretrained network reads pictures or sounds: then none is trained beside it."""
    chosen = [encoder_of(encoders, column) for column in schema.inputs if column.kind in MEDIA]
    return any(entry and entry.get("weights") for entry in chosen)


def _refuse(given: Mapping[str, Option], names: tuple[str, ...], needed: str) -> None:
    for name in names:
        if name in given:
            raise GradatimError(f"{given[name].flag}: expected {needed}; without effect here, leave it out")
