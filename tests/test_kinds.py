"""The same value in another spelling, type or frame: the same answers; what has no kind is refused in one line."""

import datetime
import decimal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

import gradatim as gd
from gradatim.data.infer import infer_schema
from gradatim.data.readers import read_table
from gradatim.errors import DataError, GradatimError, SchemaError
from gradatim.problems import Problems
from gradatim.run import Run

QUICK: dict[str, Any] = {"minutes": 0.1, "epochs": 2}
KINDS = {"k": "category", "f": "category", "y": "category"}


def rows(seed: int, count: int) -> pd.DataFrame:
    noise = np.random.default_rng(seed)
    k, f = noise.integers(1, 5, count), noise.random(count) < 0.5
    return pd.DataFrame({"k": k, "f": f, "z": noise.normal(size=count), "y": (k + 2 * f) % 3})


def written(frame: pd.DataFrame, folder: Path) -> Path:
    path = folder / "rows.csv"
    frame.to_csv(path, index=False)
    return path


def gaps(frame: pd.DataFrame) -> pd.DataFrame:
    """A cell is missing, so that pandas makes floats of whole numbers."""
    return frame.astype({"k": float}).assign(k=lambda f: f["k"].where(f.index > 0))


WAYS: dict[str, Callable[[pd.DataFrame, Path], Any]] = {
    "pandas": lambda frame, folder: frame,
    "gaps": lambda frame, folder: gaps(frame),
    "polars": lambda frame, folder: pl.from_pandas(frame),
    "arrow": lambda frame, folder: pa.Table.from_pandas(frame),
    "csv": written,
    "csv of floats": lambda frame, folder: written(frame.astype({"k": float, "f": int, "y": float}), folder),
    "csv of texts": lambda frame, folder: written(
        frame.assign(k=[f" {k}.0 " for k in frame["k"]], f=[str(f).upper() for f in frame["f"]]), folder),
}


@pytest.mark.parametrize("learned", ["gaps", "csv", "csv of texts"])
def test_the_same_cells_in_any_spelling_have_the_same_answers(learned: str, tmp_path: Path) -> None:
    run = gd.fit(WAYS[learned](rows(0, 240), tmp_path), target="y", kinds=KINDS, **QUICK)
    test = rows(1, 100)
    first = run.predict(test).probabilities()
    assert run.evaluate(test)["metrics"]["accuracy"]["value"] > 0.8
    for name, way in WAYS.items():
        problems = Problems()
        answers = run.predict(way(test, tmp_path), problems=problems).probabilities()
        assert not problems.counts(), name
        assert np.array_equal(answers[1:], first[1:]), name  # row 0 lacks a cell in one of them
        assert run.evaluate(way(test, tmp_path))["rows"] == 100, name


@pytest.fixture(scope="module")
def fitted() -> Run:
    return gd.fit(rows(0, 240), target="y", kinds=KINDS, **QUICK)


def test_unknown_categories_are_a_problem(fitted: Run, tmp_path: Path) -> None:
    strange = rows(1, 100).assign(k=lambda f: f["k"].where(f.index >= 10, 77))
    problems = Problems()
    fitted.predict(strange, problems=problems)
    assert problems.counts() == {"category-unknown": 1}
    said = str(next(iter(problems)))
    assert "10 of 100 cells (10%) are categories that the run did not learn, as '77' (10 times)" in said
    scores = fitted.evaluate(written(strange, tmp_path))
    assert [problem["code"] for problem in scores["problems"]] == ["category-unknown"]
    assert any("did not learn" in note for note in scores["notes"])
    few = Problems()
    fitted.predict(strange.iloc[9:], problems=few)  # one in 91
    assert not few.counts()
    model = gd.Classifier(kinds={"k": "category"}, **QUICK).fit(strange.iloc[10:][["k", "f"]], strange["y"].iloc[10:])
    with pytest.warns(UserWarning, match="10 of 100 cells"):
        model.predict(strange[["k", "f"]])


TARGETS: dict[str, tuple[list[Any], pl.DataType]] = {
    "bool": ([True, False], pl.Boolean()), "float": ([0.5, 2.0], pl.Float64()), "text": (["b", "a"], pl.String()),
    "date": ([datetime.date(2022, 1, 8), datetime.date(2021, 1, 1)], pl.Date()),
    "time": ([datetime.datetime(2022, 1, 8, 7), datetime.datetime(2021, 1, 1)], pl.Datetime("us")),
    "small": ([3, 4], pl.Int8()),
}


@pytest.mark.parametrize("labels, dtype", TARGETS.values(), ids=TARGETS)
def test_predictions_have_the_type_of_the_target(labels: list[Any], dtype: pl.DataType, tmp_path: Path) -> None:
    truth = [labels[row % 2] for row in range(60)]
    frame = pl.DataFrame({"x": [float(row % 2) + row / 200 for row in range(60)], "y": pl.Series(truth, dtype=dtype)})
    run = gd.fit(frame, target="y", task="classification", output=tmp_path / "run", **QUICK)
    said = run.predict(frame)
    assert said.frame.schema["prediction"] == dtype and said.labels == truth
    again = gd.load(tmp_path / "run").predict(frame)
    assert again.frame.equals(said.frame)
    assert again.predicted().tolist() == run.task.labels(truth).tolist()
    said.write(tmp_path / "said.csv")
    texts = pl.read_csv(tmp_path / "said.csv", infer_schema=False)["prediction"].to_list()
    assert texts == [str(label) for label in truth]  # as Python spells them, as ever
    assert run.evaluate(frame.with_columns(pl.Series("y", texts)))["metrics"]["accuracy"]["value"] == 1.0


DAY = datetime.date(2024, 1, 31)
CELLS: dict[str, tuple[Any, str, str]] = {
    "durations": ([datetime.timedelta(hours=row) for row in range(60)], "number", ""),
    "times": ([datetime.time(row % 24, 30) for row in range(60)], "number", ""),
    "decimals": ([decimal.Decimal("1.5") * row for row in range(60)], "number", ""),
    "wide amounts": ([row * 10**20 for row in range(60)], "number", ""),
    "wide names": ([10**20 + row % 7 for row in range(60)], "category", "so names"),
    "long names": ([2**62 + row % 7 for row in range(60)], "category", "so names"),
    "categorical": (pd.Categorical(["a", "b"] * 30), "category", ""),
    "periods": (pd.period_range("2020-01", periods=2, freq="M").repeat(30), "category", ""),
    "lists of texts": ([["a", "b"], ["c"]] * 30, "labels", "no task here reads"),
    "ndarrays": ([np.arange(5.0) + row for row in range(60)], "series", ""),
    "dates": ([DAY + datetime.timedelta(row) for row in range(60)], "text", "dates"),
}


@pytest.mark.parametrize("cells, kind, words", CELLS.values(), ids=CELLS)
def test_cells_of_frames_have_a_kind(cells: Any, kind: str, words: str) -> None:
    frame = pd.DataFrame({"x": np.arange(60) * 1.3, "c": cells, "y": ["u", "v"] * 30})
    column = infer_schema(read_table(frame), target="y")["c"]
    assert column.kind == kind and words in " ".join(column.why)
    wide = read_table(frame).frame
    assert infer_schema(read_table(wide), target="y")["c"].kind == kind  # and as a polars frame


@pytest.mark.parametrize("cells, words", [
    ([{1}, {2}], "received cells of the type set"), ([1j, 2j], "received cells of the type complex"),
    ([{"a": 1}, {"a": 2}], "received Struct cells"), ([object(), object()], "received cells of the type object"),
])
def test_cells_of_no_kind_are_refused(cells: list[Any], words: str) -> None:
    with pytest.raises(DataError, match=words):
        read_table(pd.DataFrame({"c": cells * 30}))


def test_calls_that_cannot_be_meant_are_refused_in_one_line(fitted: Run) -> None:
    frame = rows(0, 60)
    numbered = frame.set_axis(range(4), axis=1)
    run = gd.fit(numbered, target=3, ignore=[2], kinds={0: "category"}, seed=np.int64(3), **QUICK)  # type: ignore[dict-item]
    assert [column.name for column in run.artifact.schema.inputs] == ["0", "1"] and run.task.target == "3"
    assert run.predict(numbered, id=3).frame.columns[:2] == ["row", "3"]  # type: ignore[arg-type]
    for call, words in (
        (lambda: gd.fit(frame, target="y", seed=1.5), "--seed"),
        (lambda: gd.fit(frame, target="y", minutes="2"), "--minutes"),
        (lambda: gd.fit(frame, target="y", schema={}), "expected a Schema"),
        (lambda: gd.fit(frame, target="y", output=3), "path of a folder"),
        (lambda: gd.fit(frame, target="y", options=None), "--option"),
        (lambda: gd.fit(frame, target=("y",)), "--target"), (lambda: gd.fit(frame["y"], target="y"), "a Series"),
        (lambda: gd.fit(frame.assign(y=[(1, 2)] * 60), target="y", task="classification"), "in each cell"),
        (lambda: gd.fit(frame.assign(z=[[1, 2]] * 60), target="y", kinds={"z": "category"}), "in each cell"),
        (lambda: fitted.predict(frame.iloc[0]), "a Series"), (lambda: fitted.predict(frame, id=["y"]), "--id"),
        (lambda: fitted.predict(frame.assign(k=[[1, 2]] * 60)), "in each cell"),
        (lambda: fitted.evaluate(frame.assign(y=[[1, 2]] * 60)), "in each cell"),
        (lambda: fitted.evaluate(frame, constraint=3), "--constraint"),
        (lambda: fitted.explain(frame, rows=1.5), "rows"),
    ):
        with pytest.raises(GradatimError, match=words) as caught:
            call()
        assert "\n" not in str(caught.value)
    with pytest.raises(SchemaError, match="received '5'"):
        gd.fit(numbered, target=5)
