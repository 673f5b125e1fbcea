"""What the user may choose of a supervised fit: the estimator, the weights of the classes, and what time leaves out."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from gradatim.data.schema import Schema
from gradatim.errors import GradatimError
from gradatim.request import Request, choices_of
from gradatim.run import fit, load
from gradatim.tasks.baselines import in_time
from gradatim.tasks.chosen import ChosenEstimator
from gradatim.tasks.memo import Clock, Memo
from gradatim.tasks.supervised import Choices, Line


def skewed(rows: int = 400) -> pl.DataFrame:
    """One row in ten is rare; the classes overlap, so that a plain classifier almost never answers 'rare'."""
    generator = np.random.default_rng(0)
    rare = np.arange(rows) % 10 == 0
    x = generator.normal(size=rows) + 1.2 * rare
    return pl.DataFrame({"x": x, "y": np.where(rare, "rare", "common")})


def recall(run) -> float:
    frame = skewed(1000)
    answers = np.array(run.predict(frame.select("x")).frame["prediction"])
    truth = frame["y"].to_numpy()
    return float((answers[truth == "rare"] == "rare").mean())


def test_balanced_weights_find_the_rare_class() -> None:
    options = {"target": "y", "epochs": 4, "ledger": "none"}
    plain = recall(fit(skewed(), **options))
    weighted = recall(fit(skewed(), class_weights="balanced", **options))
    assert plain < 0.3 and weighted > 0.6


def test_classes_are_known_from_all_rows_and_weights_from_those_of_training() -> None:
    parts = ["train"] * 60 + ["development"] * 30 + ["test"] * 30
    even, skew = ["a", "b"] * 30, ["a", *["b"] * 9] * 6
    for training, others, balanced in ((even, skew, False), (skew, even, True)):
        labels = [*training, *others]
        labels[-1] = "new"
        frame = pl.DataFrame({"x": np.sin(np.arange(120.0)), "part": parts, "y": labels})
        run = fit(frame, target="y", split="part", metric="balanced_accuracy", epochs=1, ledger="none")
        assert list(run.task.classes) == ["a", "b", "new"] and run.task.balanced == balanced


def test_weights_are_for_classes() -> None:
    frame = pl.DataFrame({"x": np.sin(np.arange(50.0)), "y": np.arange(50) ** 1.5})
    with pytest.raises(GradatimError, match=r"--class-weights: expected a task that takes it \(classification\)"):
        fit(frame, target="y", class_weights="balanced", epochs=1)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("svm.SVC", ("svm.SVC", {})),
        ("svm.SVC:C=10,kernel=rbf", ("svm.SVC", {"C": 10, "kernel": "rbf"})),
        ("linear.Ridge:alpha=0.5", ("linear.Ridge", {"alpha": 0.5})),
        ("logistic.LogisticRegression:fit_intercept=false", ("logistic.LogisticRegression", {"fit_intercept": False})),
    ],
)
def test_estimator_option_is_read(text: str, expected: tuple) -> None:
    chosen = ChosenEstimator.parse(text)
    assert (chosen.address, chosen.options) == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("logistic.LogisticRegression:C", "expected NAME=VALUE"),
        ("logistic.LogisticRegression:depth=3", "expected arguments among"),
        ("linear.Ridge", "expected a classifier"),
        ("nothing.Nobody", "expected"),
        ("os.system", "expected"),
    ],
)
def test_estimator_that_cannot_be_is_refused(text: str, message: str) -> None:
    with pytest.raises(GradatimError, match=message):
        choices_of(Request(estimator=text), {}, "classification", Schema(()))


def test_a_late_baseline_is_left_out_and_said() -> None:
    said: list[str] = []
    clock = Clock(10.0)
    clock.started -= 9.0
    line = Line(None, None, None, None, Choices(), clock, Memo(), said.append, *[None] * 5)  # type: ignore[arg-type]
    assert in_time(line, "linear head on all inputs", needed=True)
    assert not in_time(line, "linear head on text")
    assert "linear head on text: left out" in said[0] and "--minutes" in said[0]
    line.clock = Clock(10.0)
    assert not in_time(line, "linear head on text"), "a resumed run repeats the decision"


def test_one_estimator_alone_is_fitted_scored_and_saved(tmp_path) -> None:
    generator = np.random.default_rng(1)
    x = generator.normal(size=(300, 2))
    label = np.where(x[:, 0] * x[:, 1] > 0, "same", "other")
    frame = pl.DataFrame({"a": x[:, 0], "b": x[:, 1], "y": label})
    run = fit(frame, target="y", estimator="svm.SVC:C=10", output=tmp_path / "run", minutes=0.5)
    names = [candidate["name"] for candidate in run.facts["candidates"]]
    assert names == ["majority", "svm.SVC:C=10"]
    assert run.facts["score"]["value"] > 0.85
    from gradatim.run import load

    again = load(tmp_path / "run")
    assert again.predict(frame).frame.equals(run.predict(frame).frame)


@pytest.mark.parametrize(("text", "allowed"), [
    ("svm.SVC:C=inf", True), ("LogisticRegression:C=1e400", True), ("svm.SVC:C=-inf", False),
    ("svm.LinearSVC:C=inf", False), ("svm.SVC:C=nan", False),
])
def test_infinity_is_taken_where_the_estimator_takes_it_and_is_saved(text: str, allowed: bool, tmp_path: Path) -> None:
    x = np.linspace(-1, 1, 60)
    frame = pl.DataFrame({"x": x + np.sign(x), "y": np.where(x > 0, "right", "left")})
    if not allowed:
        with pytest.raises(GradatimError, match="C"):
            fit(frame, target="y", estimator=text, minutes=0.2, ledger="none")
        return
    run = fit(frame, target="y", estimator=text, minutes=0.2, ledger="none", output=tmp_path / "run")
    again = load(tmp_path / "run")
    assert again.predict(frame).frame.equals(run.predict(frame).frame)
    (head,) = again.artifact.ensemble.members
    assert float("inf") == head.estimator.C
