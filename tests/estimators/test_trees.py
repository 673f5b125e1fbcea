"""Boosted trees: our walk against lightgbm's own predictions, the conventions, and damaged arrays."""

import json
import subprocess
import sys

import lightgbm
import numpy as np
import pytest
import safetensors.numpy
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

from gradatim.errors import ArtifactError
from gradatim.estimators.forest import check_forest, read_lightgbm
from gradatim.estimators.state import estimator_from_state, estimator_to_state
from gradatim.estimators.trees import BoostedTreesClassifier, BoostedTreesRegressor


def table(rows=600, seed=0):
    """Numbers with holes and zeros, and three columns of categories, one with over 100 of them."""
    random = np.random.default_rng(seed)
    X = random.normal(size=(rows, 7))
    X[random.random(X.shape) < 0.2] = np.nan
    X[random.random(X.shape) < 0.2] = 0
    X[:, 4:] = np.stack([random.integers(0, high, rows) for high in (3, 40, 150)], axis=1)
    X[random.random(rows) < 0.1, 4] = np.nan
    effect = random.normal(size=(7, 150))
    score = np.nan_to_num(X[:, 0]) * 2 + np.isnan(X[:, 1]) + (X[:, 2] == 0)
    for column in (4, 5, 6):
        score += effect[column][np.nan_to_num(X[:, column], nan=7).astype(int)]
    return X, score + random.normal(size=rows) / 2


def odd_rows(seed=1):
    """Rows unlike those of training: unseen and negative and fractional categories, huge numbers, all missing."""
    random = np.random.default_rng(seed)
    X, _ = table(400, seed)
    odd = [-1, -0.5, 0.5, 2.9, 31, 32, 33, 63, 64, 149, 150, 1e5, 2**31 - 1, np.nan, -7]
    X[:300, 4:] = random.choice(odd, (300, 3))
    X[:300, :4] = random.choice([0.0, -0.0, 1e-36, -1e-36, 1e-34, np.nan, 1e300, -1e300, 0.3], (300, 4))
    X[-1] = np.nan
    return X


TARGETS = {
    "regression": lambda y: ({"objective": "regression"}, y),
    "binary": lambda y: ({"objective": "binary"}, (y > 1).astype(int)),
    "multiclass": lambda y: ({"objective": "multiclass", "num_class": 4}, np.digitize(y, [-1, 0.5, 2])),
}
OPTIONS = [
    {},
    {"use_missing": False},
    {"zero_as_missing": True},
    {"max_cat_to_onehot": 1, "cat_smooth": 1, "min_data_per_group": 2, "num_leaves": 60},
]


@pytest.mark.parametrize("kind", TARGETS)
@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_scores_equal_those_of_lightgbm_to_the_bit(kind, options):
    X, y = table()
    objective, y = TARGETS[kind](y)
    parameters = {"verbosity": -1, "num_threads": 1, "min_data_in_leaf": 3, **objective, **options}
    data = lightgbm.Dataset(X, label=y, categorical_feature=[4, 5, 6])
    booster = lightgbm.train(parameters, data, num_boost_round=25)
    forest = read_lightgbm(booster.model_to_string())
    check_forest(forest, 7)
    for rows in (X, odd_rows()):
        theirs = booster.predict(rows, raw_score=True).reshape(len(rows), -1)
        np.testing.assert_array_equal(forest.scores(rows), theirs)


def test_categories_and_missing_values_were_really_met():
    X, y = table()
    model = BoostedTreesRegressor(categorical_features=(4, 5, 6), n_jobs=1).fit(X, y)
    assert model.categorical_.any() and model.default_left_.any() and (model.missing_ == 2).any()
    assert len(model.words_) and model.n_iter_ < 1000


def test_trees_of_one_leaf():
    model = BoostedTreesRegressor(n_jobs=1).fit(np.zeros((40, 2)), np.arange(40.0))
    assert len(model.feature_) == 0
    np.testing.assert_allclose(model.predict(np.ones((3, 2))), 19.5)


@pytest.mark.parametrize("kind", ["regression", "binary", "multiclass"])
def test_quality_is_that_of_scikit_learn(kind):
    X, y = table(3000)
    _, y = TARGETS[kind](y)
    regression = kind == "regression"
    model = (BoostedTreesRegressor if regression else BoostedTreesClassifier)(
        categorical_features=[4, 5, 6], learning_rate=0.1, n_jobs=1
    )
    peer = (HistGradientBoostingRegressor if regression else HistGradientBoostingClassifier)(
        categorical_features=[4, 5, 6], early_stopping=True, max_iter=1000, random_state=0
    )
    ours, theirs = (m.fit(X[:2000], y[:2000]).score(X[2000:], y[2000:]) for m in (model, peer))
    assert ours > theirs - 0.02


def test_equal_seeds_give_equal_trees_on_any_number_of_threads():
    X, y = table()
    first = BoostedTreesRegressor(n_jobs=1, max_iter=40, random_state=3).fit(X, y)
    second = BoostedTreesRegressor(n_jobs=2, max_iter=40, random_state=3).fit(X, y)
    np.testing.assert_array_equal(first.predict(X), second.predict(X))
    other = BoostedTreesRegressor(n_jobs=1, max_iter=40, random_state=4).fit(X, y)
    assert not np.array_equal(first.predict(X), other.predict(X))


def test_validation_rows_may_be_given():
    X, y = table()
    labels = np.array(["a", "b", "c", "d"])[np.digitize(y, [-1, 0.5, 2])]
    model = BoostedTreesClassifier(n_jobs=1, class_weight="balanced")
    model.fit(X[:400], labels[:400], X_val=X[400:], y_val=np.where(labels[400:] == "a", "unseen", labels[400:]))
    assert model.n_iter_ < 1000 and model.score(X[400:], labels[400:]) > 0.4
    again = BoostedTreesRegressor(n_jobs=1).fit(X[:400], y[:400], X_val=X[400:], y_val=y[400:])
    assert again.score(X[400:], y[400:]) > 0.5


def test_a_far_target_keeps_its_digits():
    X, y = table()
    near = BoostedTreesRegressor(n_jobs=1, max_iter=30).fit(X, y).predict(X)
    far = BoostedTreesRegressor(n_jobs=1, max_iter=30).fit(X, y + 1e9).predict(X)
    np.testing.assert_allclose(far - 1e9, near, atol=1e-5)


@pytest.mark.parametrize("kind", ["regression", "binary", "multiclass"])
def test_saved_trees_predict_equal_to_the_bit(kind):
    X, y = table()
    _, y = TARGETS[kind](y)
    model = (BoostedTreesRegressor if kind == "regression" else BoostedTreesClassifier)(
        categorical_features=(4, 5, 6), n_jobs=1, max_iter=30
    ).fit(X, y)
    value, arrays = estimator_to_state(model)
    again = estimator_from_state(json.loads(json.dumps(value, allow_nan=False)), arrays)
    method = "predict" if kind == "regression" else "predict_proba"
    np.testing.assert_array_equal(getattr(again, method)(odd_rows()), getattr(model, method)(odd_rows()))


def test_saved_trees_predict_without_lightgbm(tmp_path):
    model, script = fitted(), """
import json, sys, numpy as np, safetensors.numpy
from gradatim.estimators.state import estimator_from_state
model = estimator_from_state(json.load(open("a.json")), safetensors.numpy.load_file("a.safetensors"))
np.save("out.npy", model.predict_proba(np.load("X.npy")))
assert "lightgbm" not in sys.modules
"""  # fmt: skip
    value, arrays = estimator_to_state(model)
    safetensors.numpy.save_file(arrays, tmp_path / "a.safetensors")
    (tmp_path / "a.json").write_text(json.dumps(value, allow_nan=False))
    np.save(tmp_path / "X.npy", odd_rows())
    subprocess.run([sys.executable, "-c", script], cwd=tmp_path, check=True)
    np.testing.assert_array_equal(np.load(tmp_path / "out.npy"), model.predict_proba(odd_rows()))


def fitted():
    X, y = table()
    _, y = TARGETS["multiclass"](y)
    model = BoostedTreesClassifier(categorical_features=(4, 5, 6), n_jobs=1, max_iter=5, early_stopping=False)
    return model.fit(X, y)


def put(name, place, value):
    def change(arrays):
        arrays[name][place] = value

    return change


DAMAGES = {
    "feature beyond": put("feature_", 3, 7),
    "feature negative": put("feature_", 3, -1),
    "child of itself": put("left_", 2, 2),
    "child before its parent": put("left_", 4, 0),
    "child beyond": put("right_", 1, 10_000),
    "leaf beyond": put("left_", 5, -10_000),
    "missing kind": put("missing_", 0, 3),
    "leaf not a number": put("value_", 0, np.nan),
    "threshold not a number": put("threshold_", 0, np.nan),
    "set beyond": lambda arrays: put("threshold_", np.flatnonzero(arrays["categorical_"])[0], 1e9)(arrays),
    "set between": lambda arrays: put("threshold_", np.flatnonzero(arrays["categorical_"])[0], 0.5)(arrays),
    "set negative": lambda arrays: put("threshold_", np.flatnonzero(arrays["categorical_"])[0], -1)(arrays),
    "words beyond": put("word_starts_", -1, 10**6),
    "words falling": put("word_starts_", 1, -5),
    "nodes beyond": put("node_starts_", -1, 10**6),
    "nodes shifted": put("node_starts_", 1, 1),
    "leaves shifted": put("leaf_starts_", 1, 1),
    "trees too few": lambda arrays: arrays.update(node_starts_=arrays["node_starts_"][:-1]),
    "column short": lambda arrays: arrays.update(right_=arrays["right_"][:-1]),
    "column of floats": lambda arrays: arrays.update(left_=arrays["left_"].astype(float)),
    "column wider": lambda arrays: arrays.update(left_=arrays["left_"].astype(np.int64)),
    "no trees": lambda arrays: arrays.update(
        {name: array[:0] for name, array in arrays.items() if not name.endswith("starts_")}
        | {name: array[:1] for name, array in arrays.items() if name.endswith("starts_")}
    ),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_damaged_trees_are_refused(name):
    value, arrays = estimator_to_state(fitted())
    arrays = {key: array.copy() for key, array in arrays.items()}
    DAMAGES[name](arrays)
    with pytest.raises(ArtifactError):
        estimator_from_state(value, arrays)


def test_shared_child_is_refused():
    """Two parents of one node pass every range check; only counting parents finds them."""
    value, arrays = estimator_to_state(fitted())
    left = arrays["left_"].copy()
    nodes = int(arrays["node_starts_"][1])
    inner = [place for place in range(nodes) if left[place] > 0]
    left[inner[0]] = left[inner[1]]
    with pytest.raises(ArtifactError):
        estimator_from_state(value, arrays | {"left_": left})
