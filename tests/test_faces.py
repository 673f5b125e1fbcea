"""The face of scikit-learn: clone, parameters, pipelines, cross-validation, frames of all kinds, errors."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
from PIL import Image
from scipy import sparse
from sklearn.base import clone, is_classifier, is_regressor
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from sklearn.utils.estimator_checks import estimator_checks_generator

import gradatim as gd
from gradatim.errors import DataError, GradatimError

QUICK = {"epochs": 1, "minutes": 0.1}


@pytest.fixture(scope="module")
def frame() -> pd.DataFrame:
    noise = np.random.default_rng(0)
    x = noise.normal(size=60)
    colour = np.where(noise.random(60) < 0.3 + 0.4 * (x > 0), "red", "blue")
    return pd.DataFrame({"x": x, "colour": colour}, index=range(7, 67))


@pytest.fixture(scope="module")
def labels(frame: pd.DataFrame) -> np.ndarray:
    return np.where(frame["x"] > 0, "up", "down")


@pytest.fixture(scope="module")
def fitted(frame: pd.DataFrame, labels: np.ndarray) -> gd.Classifier:
    return gd.Classifier(**QUICK).fit(frame, labels)


def test_parameters_are_those_of_the_constructor() -> None:
    model = gd.Classifier(minutes=0.5, kinds={"x": "number"}, metric="roc_auc")
    assert model.get_params() == {"minutes": 0.5, "epochs": None, "seed": 0, "kinds": {"x": "number"}, "encoders": None,
                                  "fusion": "concatenation", "metric": "roc_auc"}
    assert model.set_params(seed=3, epochs=2).get_params()["seed"] == 3
    with pytest.raises(ValueError, match="Invalid parameter"):
        model.set_params(depth=3)
    copy = clone(model)
    assert copy is not model and copy.get_params() == model.get_params()
    assert is_classifier(model) and is_regressor(gd.Regressor())
    assert "Classifier(" in repr(model)


def test_a_classifier_answers_frames_of_all_kinds(
    fitted: gd.Classifier, frame: pd.DataFrame, labels: np.ndarray
) -> None:
    assert fitted.classes_.tolist() == ["down", "up"]
    assert fitted.n_features_in_ == 2 and fitted.feature_names_in_.tolist() == ["x", "colour"]
    probabilities = fitted.predict_proba(frame)
    assert probabilities.shape == (60, 2) and np.allclose(probabilities.sum(axis=1), 1)
    assert np.array_equal(fitted.predict(frame), fitted.classes_[probabilities.argmax(axis=1)])
    polars = pl.from_pandas(frame)
    for other in (polars, polars.to_arrow(), frame[["colour", "x"]]):
        assert np.array_equal(fitted.predict_proba(other), probabilities)
    assert fitted.score(frame, labels) > 0.7
    assert fitted.run_.facts["score"]["rows"] > 0


def test_a_fit_does_not_change_its_parameters_and_repeats_itself(
    fitted: gd.Classifier, frame: pd.DataFrame, labels: np.ndarray
) -> None:
    again = clone(fitted).fit(frame, labels.tolist())
    assert np.array_equal(again.predict_proba(frame), fitted.predict_proba(frame))
    assert fitted.get_params() == gd.Classifier(**QUICK).get_params()


@pytest.mark.parametrize("kind", [int, bool, float])
def test_labels_keep_their_kind(kind: type, frame: pd.DataFrame) -> None:
    target = (frame["x"] > 0).to_numpy().astype(kind)
    model = gd.Classifier(**QUICK).fit(frame[["x"]], target)
    assert set(model.classes_.tolist()) == set(target.tolist())
    assert model.predict(frame[["x"]]).dtype.kind == target.dtype.kind
    assert model.score(frame[["x"]], target) > 0.7


def test_arrays_pipelines_and_strings(frame: pd.DataFrame, labels: np.ndarray) -> None:
    array = frame[["x"]].to_numpy()
    pipeline = make_pipeline(StandardScaler(), gd.Classifier(**QUICK)).fit(array, labels)
    assert pipeline.predict(array).shape == (60,) and pipeline.score(array, labels) > 0.7
    drop = make_pipeline(FunctionTransformer(lambda f: f[["x"]]), gd.Classifier(**QUICK)).fit(frame, labels)
    assert drop[-1].feature_names_in_.tolist() == ["x"]
    mixed = frame.to_numpy(dtype=object)
    model = gd.Classifier(**QUICK).fit(mixed, labels)
    assert model.n_features_in_ == 2 and not hasattr(model, "feature_names_in_") and len(model.predict(mixed[:3])) == 3
    assert len(model.predict(mixed[:3].tolist())) == 3 and model.run_.artifact.schema["x1"].kind == "category"


def test_cross_validation_and_grids(frame: pd.DataFrame, labels: np.ndarray) -> None:
    model = gd.Classifier(**QUICK)
    assert cross_val_score(model, frame, labels, cv=3).mean() > 0.7
    grid = GridSearchCV(model, {"seed": [0, 1]}, cv=2, scoring="neg_log_loss").fit(frame, labels)
    assert set(grid.best_params_) == {"seed"} and grid.best_estimator_.predict(frame).shape == (60,)


def test_a_regressor_answers_numbers(frame: pd.DataFrame) -> None:
    target = 3 * frame["x"] + 10
    model = gd.Regressor(**QUICK).fit(frame, target)
    assert model.predict(frame).shape == (60,) and model.score(frame, target) > 0.7
    whole = gd.Regressor(**QUICK).fit(frame, np.round(target).astype(int))
    assert whole.run_.task.name == "regression" and whole.predict(frame).dtype == np.float64


def test_rows_of_pictures_in_a_file(tmp_path: Path) -> None:
    noise = np.random.default_rng(1)
    for row in range(24):
        pixels = (noise.integers(0, 100, (16, 16, 3)) + 140 * (row % 2)).astype(np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"{row}.png")
    (tmp_path / "rows.csv").write_text("picture\n" + "".join(f"{row}.png\n" for row in range(24)))
    target = [row % 2 for row in range(24)]
    model = gd.Classifier(**QUICK).fit(tmp_path / "rows.csv", target)
    assert model.run_.artifact.schema["picture"].kind == "image"
    assert (model.predict(tmp_path / "rows.csv") == target).mean() > 0.7


def test_a_column_may_be_called_target(frame: pd.DataFrame, labels: np.ndarray) -> None:
    model = gd.Classifier(**QUICK).fit(frame.rename(columns={"x": "target"}), labels)
    assert model.score(frame.rename(columns={"x": "target"}), labels) > 0.7


def test_errors_say_what_to_do(fitted: gd.Classifier, frame: pd.DataFrame, labels: np.ndarray) -> None:
    with pytest.raises(NotFittedError):
        gd.Classifier().predict(frame)
    with pytest.raises(NotFittedError):
        gd.Regressor().predict(frame)
    with pytest.raises(DataError, match="missing colour"):
        fitted.predict(frame[["x"]])
    with pytest.raises(DataError, match="one label"):
        gd.Classifier(**QUICK).fit(frame, labels[:-1])
    with pytest.raises(DataError, match="shape"):
        gd.Classifier(**QUICK).fit(np.zeros((3, 2, 2)), [0, 1, 0])
    with pytest.raises(GradatimError, match="two classes"):
        gd.Classifier(**QUICK).fit(frame, ["same"] * 60)
    with pytest.raises(GradatimError, match="rmse"):
        gd.Classifier(metric="rmse", **QUICK).fit(frame, labels)
    for rows, target, words in (
        ([[1, 2]], [0], "1 sample"), ([[1, 2], [3]], [0, 1], "one length"), (object(), [0], "frame"),
        (frame, [("a", 1)] * 60, "received a tuple"),
        (frame, np.array(["a", 1] * 30, dtype=object), "one type, received int and str"),
        (frame["x"], labels, "received 1D array"), (sparse.eye(60, format="csr"), labels, "sparse"),
        (frame[:0], [], "expected rows"), (frame.set_axis(["a", "a"], axis=1), labels, "each column name once"),
    ):
        with pytest.raises(DataError, match=words):
            gd.Classifier(**QUICK).fit(rows, target)


LABELS: dict[str, Any] = {
    "texts of numbers": ["10", "2"], "mixed case": ["b", "A"], "whole": [10, 2], "float": [0.5, 10.0, -1.0],
    "bool": [True, False], "dates": np.array(["2024-02-01", "2023-12-31"], dtype="datetime64[D]"),
    "alike": ["1", "01", "1.0", ""], "objects": np.array([3, 1, 2], dtype=object),
}


@pytest.mark.parametrize("labels", LABELS.values(), ids=LABELS)
def test_columns_of_probabilities_are_in_the_order_of_numpy(labels: Any) -> None:
    target = np.asarray(labels)[np.arange(60) % len(labels)]
    frame = pd.DataFrame({"x": (np.arange(60) % len(labels)) * 7.0 + np.linspace(0, 1, 60)})
    model = gd.Classifier(**QUICK).fit(frame, target)
    classes = np.unique(target.astype(int) if target.dtype == object else target)
    assert model.classes_.dtype == classes.dtype and np.array_equal(model.classes_, classes)
    said = model.predict(frame)
    assert said.dtype == classes.dtype and (said == target).mean() > 0.9
    assert np.array_equal(said, classes[model.predict_proba(frame).argmax(axis=1)])


def test_scores_by_probability_are_those_of_a_logistic_regression() -> None:
    noise = np.random.default_rng(0)
    x = noise.normal(size=(400, 2))
    target = np.where(x[:, 0] + 0.7 * noise.normal(size=400) > 0, "10", "2")
    for scoring, margin in (("roc_auc", 0.1), ("neg_log_loss", 0.3)):
        ours = cross_val_score(gd.Classifier(**QUICK), x, target, cv=2, scoring=scoring).mean()
        theirs = cross_val_score(LogisticRegression(), x, target, cv=2, scoring=scoring).mean()
        assert ours > theirs - margin


LEAN = ("check_estimator_sparse_tag", "check_estimators_unfitted", "check_no_attributes_set_in_init", "check_fit1d",
        "check_complex_data", "check_classifiers_regression_target", "check_supervised_y_no_nan", "check_fit2d_1sample",
        "check_requires_y_none", "check_estimators_empty_data_messages", "check_n_features_in", "check_supervised_y_2d",
        "check_estimator_sparse_matrix", "check_classifiers_one_label")


def checks_of_sklearn() -> list[Any]:
    """Each check of scikit-learn on each face; those that fit often are slow, pickling is not offered."""
    found = []
    for model in (gd.Classifier(epochs=1, minutes=0.02), gd.Regressor(epochs=1, minutes=0.02)):
        for instance, check in estimator_checks_generator(model):
            name = check.func.__name__
            marks = [] if name in LEAN else [pytest.mark.slow]
            found.append(pytest.param(instance, check, marks=marks, id=f"{type(model).__name__}-{name}"))
    return found


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("model, check", [c for c in checks_of_sklearn() if "pickle" not in str(c.id)])
def test_the_checks_of_scikit_learn(model: Any, check: Any) -> None:
    check(model)


def test_missing_labels_are_left_out(frame: pd.DataFrame, labels: np.ndarray) -> None:
    some = labels.astype(object)
    some[:5] = None
    model = gd.Classifier(**QUICK).fit(frame, some)
    assert model.classes_.tolist() == ["down", "up"] and model.run_.facts["rows"]["unlabelled"] == 5
    numbers = frame["x"].to_numpy() * 2
    numbers[:5] = np.nan
    assert np.isfinite(gd.Regressor(**QUICK).fit(frame, numbers).predict(frame)).all()
