"""Options: read, refused where they have no effect, the same from Python, the command line and the faces."""

import json
from dataclasses import fields
from typing import Any

import numpy as np
import polars as pl
import pytest

import gradatim as gd
from gradatim.data.codecs.lossless import KINDS
from gradatim.data.forecast_series import GATHER
from gradatim.errors import GradatimError
from gradatim.estimators.ngram import MOST_ORDER
from gradatim.models.sequence.attention_translator import LOOKS
from gradatim.nn.recurrent.layers import GATES
from gradatim.request import Request
from gradatim.tasks import TASKS, language_members, tagging_line, translation_network
from gradatim.tasks.declared import DECLARED
from gradatim.tasks.forecasting import LONGEST_CONTEXT, LONGEST_HORIZON
from gradatim.tasks.forecasting_fits import MODELS
from gradatim.tasks.options import GENERAL

WORDS = pl.DataFrame({"tokens": ['["a", "b"]', '["c"]'] * 10, "tags": ['["X", "Y"]', '["X"]'] * 10})
SALES = pl.DataFrame({"day": [f"2024-01-{day:02d}" for day in range(1, 31)], "value": range(30)})
TEXTS = pl.DataFrame({"text": [f"the text number {place}" for place in range(20)]})
PAIRS = pl.DataFrame({"english": [f"a word {place}" for place in range(30)],
                      "german": [f"ein Wort {place}" for place in range(30)]})
NUMBERS = pl.DataFrame({"x": np.sin(np.arange(60.0)), "y": np.arange(60) ** 1.5})
CLASSES = pl.DataFrame({"x": np.sin(np.arange(60.0)), "y": ["low", "high"] * 30})
TABLES: dict[str, tuple[pl.DataFrame, dict[str, Any]]] = {
    "tagging": (WORDS, {"target": "tags"}), "forecasting": (SALES, {"target": "value", "time": "day"}),
    "language-model": (TEXTS, {}), "translation": (PAIRS, {"target": "german"}),
    "summarisation": (PAIRS, {"target": "german"}), "regression": (NUMBERS, {"target": "y"}),
    "classification": (CLASSES, {"target": "y"}),
}
ASKED = {"encoders": {"text": "magic"}, "optimizer": "adamw", "learning_rate": 0.1, "label_smoothing": 0.1,
         "mixup": 1.0, "augment": ["rotate=5"], "class_weights": "balanced", "fine_tune": True, "recipe": "fast",
         "ledger": "refit", "fusion": "attention", "flip": True, "estimator": "svm.SVC", "split": "text",
         "group": "text"}


@pytest.mark.parametrize("task", TABLES)
def test_what_a_task_does_not_take_is_refused_by_name_with_the_tasks_that_take_it(task: str) -> None:
    frame, options = TABLES[task]
    taken = {option.name for option in DECLARED[task].general}
    for name, value in ASKED.items():
        if name not in taken:
            with pytest.raises(GradatimError, match="expected a task that takes it") as caught:
                gd.fit(frame, task=task, **options, **{name: value})
            line = str(caught.value)
            assert line.startswith("--" + name.rstrip("s" if name == "encoders" else "").replace("_", "-"))
            assert f"received {task}" in line and "classification" in line and "\n" not in line


def test_the_sequence_tasks_take_nothing_of_networks_that_they_do_not_read() -> None:
    for task in ("tagging", "forecasting", "language-model", "translation", "summarisation"):
        taken = {option.name for option in DECLARED[task].general}
        assert not taken & (set(ASKED) - {"split", "group"}), task


WITHOUT_EFFECT = [
    ("x", {"flip": True}, "--flip: expected an input of pictures"),
    ("x", {"fusion": "attention"}, "--fusion: expected two inputs"),
    ("x", {"fine_tune": True}, "--fine-tune: expected a pretrained network"),
    ("x", {"ledger": "refit"}, "--ledger: expected two inputs"),
    ("x", {"estimator": "svm.SVC", "optimizer": "adamw"}, "--optimizer: expected no --estimator"),
    ("x", {"estimator": "svm.SVC", "epochs": 3}, "--epochs: expected no --estimator"),
    ("x", {"estimator": "svm.SVC", "mixup": 1}, "--mixup: expected no --estimator"),
    ("x", {"estimator": "svm.SVC", "encoders": {"x": "mlp"}}, "--encoder x=…: expected ADDRESS:WEIGHTS"),
    ("x", {"options": {"horizon": "3"}}, "--option horizon=…: expected a task with options"),
    ("x", {"seed": 1.5}, "--seed: expected a whole number"), ("x", {"seed": True}, "--seed: expected a whole"),
    ("x", {"minutes": "2"}, "--minutes: expected a number"), ("x", {"minutes": float("nan")}, "--minutes"),
    ("x", {"kinds": {"x": 1}}, "--kind: expected NAME=VALUE"),
    ("x", {"augment": ["x" * 5000]}, "--augment"), ("x", {"estimator": "x" * 5000}, "expected an estimator"),
]


@pytest.mark.parametrize(("column", "options", "message"), WITHOUT_EFFECT, ids=lambda value: str(value)[:40])
def test_an_option_without_effect_or_of_another_type_is_refused(column: str, options: Any, message: str) -> None:
    with pytest.raises(GradatimError) as caught:
        gd.fit(CLASSES.select(column, "y"), target="y", minutes=options.pop("minutes", 0.1), **options)
    line = str(caught.value)
    assert line.startswith(message) and "\n" not in line and len(line) < 620


def test_the_faces_and_a_default_that_is_said_aloud() -> None:
    with pytest.raises(GradatimError, match="--fusion: expected two inputs"):
        gd.Classifier(minutes=0.1, fusion="attention").fit(CLASSES.select("x"), CLASSES["y"].to_list())
    run = gd.fit(WORDS, task="tagging", target="tags", epochs=1, options={"model": "none"}, ledger="none", mixup=0.0,
                 flip=False, fusion="concatenation", class_weights="none", label_smoothing=0)
    assert run.task.name == "tagging"


def test_an_option_of_a_task_that_does_nothing_beside_another() -> None:
    with pytest.raises(GradatimError, match="expected --option model=recurrent or both with it, received model=none"):
        gd.fit(WORDS, task="tagging", options={"model": "none", "cell": "gru"})
    with pytest.raises(GradatimError, match="--option known: expected no --option wide"):
        gd.fit(SALES, task="forecasting", time="day", options={"wide": "all", "known": "value"})


def test_the_list_is_that_of_the_request_and_of_the_models() -> None:
    request = Request()
    assert {option.name: option.default for option in GENERAL} == {
        field.name: getattr(request, field.name) for field in fields(request)
        if field.name not in ("source", "schema", "test", "options")}
    assert set(DECLARED) == set(TASKS)
    own = {task: {option.name: option for option in declared.own} for task, declared in DECLARED.items()}
    assert own["forecasting"]["models"].choices == MODELS and own["forecasting"]["duplicates"].choices == GATHER
    assert own["forecasting"]["horizon"].high == LONGEST_HORIZON
    assert own["forecasting"]["context"].high == LONGEST_CONTEXT
    assert own["language-model"]["tokens"].choices == KINDS and own["language-model"]["order"].high == MOST_ORDER
    assert own["language-model"]["network"].choices == (*language_members.NETWORKS, "none")
    assert own["translation"]["attention"].choices == LOOKS and own["translation"]["cell"].choices == tuple(GATES)
    assert own["translation"]["network"].choices == (*translation_network.NETWORKS, "none")
    assert own["translation"]["beams"].high == translation_network.MOST_BEAMS
    assert own["tagging"]["model"].choices == tuple(tagging_line.MODELS)


def test_a_task_is_shown_with_what_it_takes(capsys: pytest.CaptureFixture[str]) -> None:
    from gradatim.cli.tasks import tasks

    tasks(json=True)
    assert [one["name"] for one in json.loads(capsys.readouterr().out)] == list(TASKS)
    tasks("tagging", json=True)
    shown = json.loads(capsys.readouterr().out)
    flags = [option["flag"] for option in shown["options"]]
    assert "--option hidden" in flags and "--minutes" in flags and "--optimizer" not in flags
    tasks("tagging")
    assert "--option hidden" in capsys.readouterr().out
    with pytest.raises(GradatimError, match="tagg"):
        tasks("taggin")
