"""Predictions: round trips, and anybody's files."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from gradatim.errors import DataError
from gradatim.evaluate.foreign import facts_of_files, score_files
from gradatim.evaluate.predictions import Predictions
from gradatim.evaluate.report import build_report

CLASSES = ['a,"x', "01", "new\nline", "日本"]


def some(rows: int = 30) -> Predictions:
    probabilities = np.random.default_rng(0).dirichlet(np.ones(4), rows)
    return Predictions.of_classes(np.arange(rows) * 3, probabilities, CLASSES, "what", ids={
        "file": [f"{row:03d}.png" for row in range(rows)]})


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_round_trip_keeps_every_digit_and_spelling(tmp_path: Path, suffix: str) -> None:
    said = some()
    said.write(tmp_path / f"said.{suffix}")
    back = Predictions.read(tmp_path / f"said.{suffix}", target="what")
    assert back.frame.equals(said.frame)
    assert (back.task, back.target, back.classes) == ("classification", "what", tuple(CLASSES))
    assert np.array_equal(back.probabilities(), said.probabilities())
    assert np.array_equal(back.predicted(), said.probabilities().argmax(axis=1))


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_numbers_round_trip(tmp_path: Path, suffix: str) -> None:
    said = Predictions.of_numbers([5, 1], np.array([0.1 + 0.2, -1e-17]), "price")
    said.write(tmp_path / f"said.{suffix}")
    back = Predictions.read(tmp_path / f"said.{suffix}", target="price")
    assert back.frame.equals(said.frame) and back.task == "regression"
    assert back.predicted().tolist() == [0.1 + 0.2, -1e-17]


def test_submission_is_exactly_id_and_target() -> None:
    frame = some(3).submission("file")
    assert frame.columns == ["file", "what"]
    assert some(3).submission("file", probabilities=True).width == 6
    with pytest.raises(DataError, match="expected an id column among row, file; received 'name'"):
        some(3).submission("name")


def test_of_keeps_whole_number_classes_whole() -> None:
    said = Predictions.of(np.array([[0.2, 0.8]]), task="classification", target="y", classes=[3, 7])
    assert said.labels == [7] and said.predicted().tolist() == [1]
    assert Predictions.of(np.array([1.5]), task="regression", target="y").labels == [1.5]


@pytest.mark.parametrize(("text", "message"), [
    ("row,guess\n0,a\n", "columns row and prediction"),
    ("row,prediction,probability:a\n0,a,high\n", "expected numbers in 'probability:a', received 'high' in data row 1"),
    ("row,prediction\nx,a\n", "expected numbers in 'row'"),
])
def test_damaged_files_are_named_in_one_line(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "said.csv").write_text(text)
    with pytest.raises(DataError) as caught:
        Predictions.read(tmp_path / "said.csv")
    assert message in str(caught.value) and "\n" not in str(caught.value)


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="found no file"):
        Predictions.read(tmp_path / "none.csv")


def write(folder: Path, said: str, truth: str) -> tuple[Path, Path]:
    (folder / "said.csv").write_text(said, encoding="utf-8")
    (folder / "truth.csv").write_text(truth, encoding="utf-8")
    return folder / "said.csv", folder / "truth.csv"


TRUTH = "id,animal\n1,cat\n2,dog\n3,cat\n4,dog\n"


def test_matched_by_id_in_any_order(tmp_path: Path) -> None:
    facts = facts_of_files(*write(tmp_path, "id,animal\n4,dog\n3,dog\n2,dog\n1,cat\n", TRUTH))
    assert facts["id"] == "id" and facts["target"] == "animal"
    assert facts["score"]["value"] == 0.75
    assert "Matched by 'id': 4 rows." in facts["score"]["note"]
    assert "animal" in build_report(facts)
    scores = score_files(tmp_path / "said.csv", tmp_path / "truth.csv")
    assert scores["metrics"] == facts["scores"]["metrics"] and scores["score"] == facts["score"]
    assert scores["notes"][0] == "Matched by 'id': 4 rows."


def test_matched_by_order_is_said(tmp_path: Path) -> None:
    facts = facts_of_files(*write(tmp_path, "prediction\ncat\ndog\ndog\ndog\n", TRUTH), target="animal")
    assert facts["score"]["value"] == 0.75
    assert "Matched by order" in facts["score"]["note"]


@pytest.mark.parametrize("header", ["probability:cat,probability:dog", "p_cat,p_dog", "cat,dog", "prob_dog,prob_cat"])
def test_probability_columns_by_any_usual_name(tmp_path: Path, header: str) -> None:
    rows = {"cat": (0.9, 0.2, 0.4, 0.3)}
    first_is_cat = header.split(",")[0].endswith("cat")
    lines = [f"{i},{p if first_is_cat else 1 - p},{1 - p if first_is_cat else p}"
             for i, p in enumerate(rows["cat"], start=1)]
    facts = facts_of_files(*write(tmp_path, f"id,{header}\n" + "\n".join(lines) + "\n", TRUTH), metric="roc_auc")
    assert facts["scores"]["metrics"]["accuracy"]["value"] == 0.75
    assert facts["score"]["value"] == 1.0
    assert facts["calibration"]["rows"] == 4


def test_single_column_of_probabilities_for_0_and_1(tmp_path: Path) -> None:
    facts = facts_of_files(*write(tmp_path, "id,target\n1,0.9\n2,0.2\n3,0.6\n", "id,target\n1,1\n2,0\n3,0\n"))
    assert facts["scores"]["metrics"]["roc_auc"]["value"] == 1.0
    assert "taken for the probability of '1'" in facts["score"]["note"]


def test_classes_that_passed_through_a_float_column(tmp_path: Path) -> None:
    facts = facts_of_files(*write(tmp_path, "id,target\n1,3.0\n2,0.0\n", "id,target\n1,3\n2,0\n"))
    assert facts["score"]["value"] == 1.0


def test_numbers_are_regression(tmp_path: Path) -> None:
    facts = facts_of_files(*write(tmp_path, "id,price\n1,2.5\n2,4\n", "id,price\n1,\"2,0\"\n2,4.5\n"))
    assert facts["task"] == "regression" and facts["score"]["value"] == pytest.approx(0.5)


def test_rows_without_label_are_left_out_and_counted(tmp_path: Path) -> None:
    facts = facts_of_files(*write(tmp_path, "id,animal\n1,cat\n2,dog\n3,cat\n", "id,animal\n1,cat\n2,\n3,cat\n"))
    assert facts["rows"]["test"] == 2 and "1 rows without a label" in facts["score"]["note"]


@pytest.mark.parametrize(("said", "message"), [
    ("id,animal\n1,cat\n1,cat\n2,dog\n3,cat\n4,dog\n", "each 'id' once, found 1 repeated (2 rows, first '1'); keep"),
    ("id,animal\n1,cat\n2,dog\n", "for each of 4 ids, 2 are missing (first '3'); predict every row"),
    ("id,animal\n1,cat\n2,dog\n3,cat\n4,dog\n5,dog\n", "found 1 more whose 'id' has no label (first '5'); remove"),
    ("id,animal\n1,cat\n,dog\n3,cat\n4,dog\n", "expected an id in each row of 'id', found 1 empty"),
    ("id,animal\n1,cat\n2,\n3,cat\n4,dog\n", "expected a prediction in each row of 'animal', found 1 empty"),
    ("id,animal\n1,0\n2,1\n3,0\n4,1\n", "expected labels such as 'cat' in 'animal', received '0'"),
    ("animal\ncat\ndog\n", "2 predictions for 4 labels"),
    ("id,guess,other\n1,a,b\n2,a,b\n3,a,b\n4,a,b\n", "expected a column 'prediction' or 'animal'"),
    ("id,probability:cat,probability:cow\n1,1,0\n2,1,0\n3,1,0\n4,1,0\n", "found none for 1 (first 'dog')"),
    ("id,probability:cat,probability:dog\n1,1,0\n2,x,0\n3,1,0\n4,1,0\n", "expected a number in each row"),
    ("id,probability:cat,probability:dog\n1,1,0\n2,1,1\n3,1,0\n4,1,0\n", "sum to 1, received a sum of 2"),
])
def test_what_does_not_fit_is_one_line_with_count_and_remedy(tmp_path: Path, said: str, message: str) -> None:
    with pytest.raises(DataError) as caught:
        score_files(*write(tmp_path, said, TRUTH))
    assert message in str(caught.value) and "\n" not in str(caught.value)


def test_metric_that_the_predictions_cannot_give(tmp_path: Path) -> None:
    paths = write(tmp_path, "id,animal\n1,cat\n2,dog\n3,dog\n4,dog\n", TRUTH)
    with pytest.raises(DataError, match=r"roc_auc cannot .* needs a column 'probability:CLASS'"):
        score_files(*paths, metric="roc_auc")
    with pytest.raises(DataError, match="expected a metric among"):
        score_files(*paths, metric="rouge")
    sure = write(tmp_path, "id,probability:cat,probability:dog\n1,.9,.1\n2,.2,.8\n3,.3,.7\n4,.5,.5\n", TRUTH)
    with pytest.raises(DataError, match=r"top5_accuracy cannot be .* at least 6 classes, there are 2"):
        score_files(*sure, metric="top5_accuracy")
    paths = write(tmp_path, "id,animal\n1,cat\n2,dog\n3,dog\n4,dog\n", TRUTH)
    with pytest.raises(DataError, match="expected numbers as labels for rmse, received 'cat'"):
        score_files(*paths, metric="rmse")


def test_parquet_predictions(tmp_path: Path) -> None:
    write(tmp_path, "", TRUTH)
    pl.DataFrame({"id": [2, 1, 3, 4], "animal": ["dog", "cat", "cat", "dog"]}).write_parquet(tmp_path / "said.parquet")
    assert score_files(tmp_path / "said.parquet", tmp_path / "truth.csv")["score"]["value"] == 1.0


def test_a_constraint_holds_for_the_predictions_of_any_model(tmp_path):
    said, truth = write(tmp_path, "id,probability:no,probability:yes\n" + "".join(
        f"{row},{1 - p},{p}\n" for row, p in enumerate((0.9, 0.8, 0.7, 0.4, 0.3, 0.1))),
        "id,animal\n0,yes\n1,yes\n2,no\n3,yes\n4,no\n5,no\n")
    found = score_files(said, truth, constraint="highest recall with precision >= 0.9")["threshold"]
    assert found["feasible"] and found["threshold"] == pytest.approx(0.8)  # 0.7 is the first that is wrong
    assert found["values"]["recall"]["value"] == pytest.approx(2 / 3) and found["positive"] == "yes"
