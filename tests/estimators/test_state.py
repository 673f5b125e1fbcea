"""Saved estimators: equal to the bit after a round trip through files, and one line for every damage."""

import copy
import json

import numpy as np
import pytest
import safetensors.numpy
import scipy.sparse
from sklearn.base import clone
from sklearn.linear_model import Ridge as ForeignRidge

from gradatim.errors import ArtifactError
from gradatim.estimators.features.picture import PictureFeatures
from gradatim.estimators.features.sound import LogMelStatistics
from gradatim.estimators.features.table import TableFeatures
from gradatim.estimators.features.text import TfidfFeatures
from gradatim.estimators.linear import Ridge
from gradatim.estimators.logistic import LogisticRegression
from gradatim.estimators.state import estimator_from_state, estimator_to_state, resolve

RANDOM = np.random.default_rng(0)
X = RANDOM.normal(size=(60, 5))
SOUNDS = [RANDOM.normal(size=(8, 4 + row)) for row in range(5)]
PICTURES = RANDOM.integers(0, 256, (5, 3, 9, 9), dtype=np.uint8)
TABLE = {"x": [1.0, None, 3.0, 9.0, 4.0], "y": ["a", "b", None, "a", "c"]}
TEXTS = ["one two three", "two three four", None, "één twee", "twee drie two"]
OBJECTS = np.array(["u", "v"], dtype=object)[np.arange(60) % 2]

CASES = {
    "ridge": (Ridge(), X, X[:, 0] * 2 + 1),
    "ridge-many": (Ridge(alpha="auto"), X.astype(np.float32), X[:, :2]),
    "ridge-through-zero": (Ridge(fit_intercept=False), X, X[:, :2]),
    "logistic": (LogisticRegression(), X, X[:, 0] > 0),
    "logistic-words": (LogisticRegression(C="auto"), X, np.array(["α", "b", "c"])[np.arange(60) % 3]),
    "logistic-objects": (LogisticRegression(class_weight={"u": 1.5, "v": 2}), X, OBJECTS),
    "logistic-numbers": (LogisticRegression(class_weight={0: 1.0, 3: 2.0}), X, np.array([0, 3])[np.arange(60) % 2]),
    "text": (TfidfFeatures(min_texts=1), TEXTS, None),
    "pictures": (PictureFeatures(cells=(2, 3)), PICTURES, None),
    "sounds": (LogMelStatistics(), SOUNDS, None),
    "table": (TableFeatures(numbers=["x"], categories=("y",), bins=2, min_rows=2), TABLE, None),
}  # fmt: skip


def through_files(estimator, folder):
    value, arrays = estimator_to_state(estimator)
    safetensors.numpy.save_file(arrays, folder / "arrays.safetensors")
    (folder / "estimator.json").write_text(json.dumps(value, allow_nan=False))
    return estimator_from_state(
        json.loads((folder / "estimator.json").read_text()),
        safetensors.numpy.load_file(folder / "arrays.safetensors"),
    )


def outputs(estimator, given):
    for method in ("predict", "predict_proba", "decision_function", "transform"):
        if hasattr(estimator, method):
            value = getattr(estimator, method)(given)
            yield value.toarray() if scipy.sparse.issparse(value) else value


@pytest.mark.parametrize("name", CASES)
def test_round_trip_is_equal_to_the_bit(name, tmp_path):
    estimator, given, target = CASES[name]
    estimator = clone(estimator).fit(given, target)
    again = through_files(estimator, tmp_path)
    assert type(again) is type(estimator)
    assert repr(again) == repr(estimator)
    compared = 0
    for first, second in zip(outputs(estimator, given), outputs(again, given)):
        assert first.dtype == second.dtype
        np.testing.assert_array_equal(first, second)
        compared += 1
    assert compared


def test_unfitted_and_nested_estimators_survive(tmp_path):
    inner = Ridge(alpha=0.5).fit(X, X[:, 0])
    outer = Ridge(alpha={"heads": [inner, Ridge(alpha=float("inf"))], "pair": (1, None)})
    again = through_files(outer, tmp_path)
    np.testing.assert_array_equal(again.alpha["heads"][0].predict(X), inner.predict(X))
    assert again.alpha["heads"][1].alpha == float("inf") and again.alpha["pair"] == (1, None)


def test_sparse_attributes_are_kept(tmp_path):
    model = Ridge().fit(X, X[:, 0])
    model.kept_ = scipy.sparse.random(4, 6, 0.5, format="csr", rng=np.random.default_rng(0))
    again = through_files(model, tmp_path)
    assert (again.kept_ != model.kept_).nnz == 0
    value, arrays = estimator_to_state(model)
    arrays["kept_/indices"] = arrays["kept_/indices"] + 99
    with pytest.raises(ArtifactError, match="sparse"):
        estimator_from_state(value, arrays)


@pytest.mark.parametrize(
    "wrong",
    [ForeignRidge(), Ridge(alpha=np.random.default_rng(0)), Ridge(alpha=print), Ridge(alpha=np.array([print])),
     Ridge(alpha={(1, 2): 3}), Ridge(alpha=np.array([1j])), "text"],
)  # fmt: skip
def test_what_cannot_be_saved_safely_is_refused(wrong):
    with pytest.raises(ArtifactError):
        estimator_to_state(wrong)


@pytest.mark.parametrize(
    "address",
    ["os.system", "gradatim.estimators.linear.solve", "gradatim.estimators.linear.BaseEstimator", "subprocess.Popen",
     "gradatim.estimators.nothing.Ridge", "gradatim.estimators.linear.Nothing", "gradatim.run.Run", None, 3,
     "gradatim.estimators.linear.np.ndarray", "gradatim.estimators.linear.Ridge\n", "gradatim.estimators..Ridge",
     "gradatim.estimators.likelihood.Likelihood", "../gradatim.estimators.linear.Ridge", ["x"]],
)  # fmt: skip
def test_only_our_public_estimators_resolve(address):
    with pytest.raises(ArtifactError):
        resolve(address)


def damage(change):
    value, arrays = estimator_to_state(LogisticRegression().fit(X, X[:, 0] > 0))
    value, arrays = copy.deepcopy(value), {name: array.copy() for name, array in arrays.items()}
    change(value, arrays)
    return value, arrays


DAMAGES = {
    "array missing": lambda v, a: a.pop("coef_"),
    "array left over": lambda v, a: a.update(more_=np.zeros(3)),
    "array twice": lambda v, a: v["attributes"].update(intercept_={"$array": "coef_"}),
    "array too short": lambda v, a: a.update(coef_=a["coef_"][:, :3]),
    "array not finite": lambda v, a: a.update(coef_=a["coef_"] * np.nan),
    "array of integers": lambda v, a: a.update(coef_=a["coef_"].astype(int)),
    "classes one": lambda v, a: a.update(classes_=a["classes_"][:1]),
    "classes out of order": lambda v, a: a.update(classes_=a["classes_"][::-1].copy()),
    "attribute missing": lambda v, a: v["attributes"].pop("n_features_in_"),
    "attribute private": lambda v, a: v["attributes"].update(__class__=1),
    "attribute without underscore": lambda v, a: v["attributes"].update(predict=1),
    "attribute hides": lambda v, a: v["attributes"].update(__init__=1),
    "argument foreign": lambda v, a: v["arguments"].update(evil=1),
    "argument an object": lambda v, a: v["arguments"].update(C={"a": 1}),
    "address other": lambda v, a: v.update(address="gradatim.estimators.linear.Ridge"),
    "address foreign": lambda v, a: v.update(address="os.system"),
    "key left over": lambda v, a: v.update(more=1),
    "attributes a list": lambda v, a: v.update(attributes=[1]),
    "count a text": lambda v, a: v["attributes"].update(n_features_in_="5"),
    "count true": lambda v, a: v["attributes"].update(n_features_in_=True),
    "count huge": lambda v, a: v["attributes"].update(n_features_in_=10**30),
    "nested deep": lambda v, a: v["arguments"].update(C=deep(500)),
    "number odd": lambda v, a: v["arguments"].update(C={"$number": "1e5"}),
    "strings odd": lambda v, a: v["attributes"].update(classes_={"$strings": [1, 2]}),
    "sparse without parts": lambda v, a: v["attributes"].update(extra_={"$sparse": "extra_", "shape": [1, 1]}),
    "tuple of nothing": lambda v, a: v["arguments"].update(C={"$tuple": 3}),
    "object of nothing": lambda v, a: v["arguments"].update(C={"$object": [[1]]}),
}


def deep(levels):
    value = 1.0
    for _ in range(levels):
        value = [value]
    return value


@pytest.mark.parametrize("name", DAMAGES)
def test_every_damage_gets_one_line(name):
    value, arrays = damage(DAMAGES[name])
    with pytest.raises(ArtifactError) as caught:
        estimator_from_state(value, arrays)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 400


@pytest.mark.parametrize("name", [name for name in CASES if name not in ("ridge-through-zero",)])
def test_every_fitted_attribute_is_checked(name):
    """Without an attribute that a prediction needs, or with an array cut short, nothing is loaded."""
    estimator, given, target = CASES[name]
    value, arrays = estimator_to_state(clone(estimator).fit(given, target))
    optional = {"C_", "Cs_", "scores_", "n_iter_", "objective_", "alpha_", "alphas_", "leave_one_out_error_"}
    for attribute in set(value["attributes"]) - optional:
        cut = copy.deepcopy(value)
        mark = cut["attributes"].pop(attribute)
        path = mark.get("$array") if isinstance(mark, dict) else None
        left = {name: array for name, array in arrays.items() if name != path}
        with pytest.raises(ArtifactError):
            estimator_from_state(cut, left)
        if path is not None and arrays[path].size:
            with pytest.raises(ArtifactError):
                estimator_from_state(value, arrays | {path: arrays[path][..., :-1]})
