"""Linear discriminant analysis: against scikit-learn, against the closed form for two classes, on degenerate data."""

import json

import numpy as np
import pytest
from sklearn.datasets import load_digits, load_iris, load_wine
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis as Reference

from gradatim.errors import ArtifactError
from gradatim.estimators.discriminant import LinearDiscriminantAnalysis
from gradatim.estimators.state import estimator_from_state, estimator_to_state

IRIS, WINE = load_iris(), load_wine()
DATA = {
    "iris": (IRIS.data, IRIS.target_names[IRIS.target]),
    "two classes": (IRIS.data[:100], IRIS.target[:100]),
    "wine": (WINE.data, WINE.target),
}


@pytest.mark.parametrize("name", DATA)
@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"n_components": 1},
        {"store_covariance": True},
        {"solver": "eigen"},
        {"solver": "lsqr"},
        {"solver": "eigen", "shrinkage": 0.3},
        {"solver": "lsqr", "shrinkage": "auto"},
        {"solver": "eigen", "shrinkage": "auto"},
        {"priors": True},
        {"priors": True, "store_covariance": True},
    ],
    ids=str,
)
def test_equal_to_scikit_learn(name, arguments):
    rows, labels = DATA[name]
    if "priors" in arguments:
        count = len(np.unique(labels))
        arguments = {**arguments, "priors": np.arange(1, count + 1) / np.arange(1, count + 1).sum()}
    ours, theirs = LinearDiscriminantAnalysis(**arguments).fit(rows, labels), Reference(**arguments).fit(rows, labels)
    scale = np.abs(theirs.coef_).max()
    np.testing.assert_allclose(ours.coef_, theirs.coef_, atol=1e-7 * scale)
    np.testing.assert_allclose(ours.intercept_, theirs.intercept_, rtol=1e-6, atol=1e-6 * scale)
    np.testing.assert_allclose(ours.means_, theirs.means_)
    np.testing.assert_allclose(ours.priors_, theirs.priors_)
    np.testing.assert_array_equal(ours.predict(rows), theirs.predict(rows))
    np.testing.assert_allclose(ours.predict_proba(rows), theirs.predict_proba(rows), atol=1e-7)
    np.testing.assert_allclose(ours.decision_function(rows), theirs.decision_function(rows), rtol=1e-6, atol=1e-5)
    assert ours.score(rows, labels) == theirs.score(rows, labels)
    assert hasattr(ours, "covariance_") == hasattr(theirs, "covariance_")
    if hasattr(ours, "covariance_"):
        np.testing.assert_allclose(ours.covariance_, theirs.covariance_, atol=1e-9)
    if ours.solver != "lsqr":
        first, second = ours.transform(rows), theirs.transform(rows)
        signs = np.sign((first * second).sum(axis=0))
        np.testing.assert_allclose(first * signs, second, atol=1e-6 * np.abs(second).max())
        np.testing.assert_allclose(ours.explained_variance_ratio_, theirs.explained_variance_ratio_, atol=1e-9)
        assert ours.get_feature_names_out().shape == (first.shape[1],)


def test_two_classes_in_closed_form():
    rows, labels = DATA["two classes"]
    model = LinearDiscriminantAnalysis().fit(rows, labels)
    first, second = rows[labels == 0], rows[labels == 1]
    within = (np.cov(first.T, bias=True) + np.cov(second.T, bias=True)) / 2
    slope = np.linalg.solve(within, second.mean(axis=0) - first.mean(axis=0))
    np.testing.assert_allclose(model.coef_[0], slope, rtol=1e-8)
    middle = (first.mean(axis=0) + second.mean(axis=0)) / 2
    assert model.decision_function(middle[None])[0] == pytest.approx(0, abs=1e-8)


def test_transformed_classes_have_unit_spread():
    rows, labels = DATA["wine"]
    moved = LinearDiscriminantAnalysis().fit_transform(rows, labels)
    means = np.array([moved[labels == label].mean(axis=0) for label in range(3)])
    np.testing.assert_allclose((moved - means[labels]).T @ (moved - means[labels]) / len(rows), np.eye(2), atol=1e-9)


def test_constant_and_collinear_columns_and_fewer_rows_than_columns():
    digits = load_digits()
    for rows, labels in [
        (digits.data, digits.target),  # three columns are constant
        (np.hstack([IRIS.data, IRIS.data[:, :2] * 3]), IRIS.target),
        (digits.data[:40], digits.target[:40]),
        (np.hstack([IRIS.data * 1e-8, IRIS.data[:, :1] * 1e8]), IRIS.target),
    ]:
        ours, theirs = LinearDiscriminantAnalysis().fit(rows, labels), Reference().fit(rows, labels)
        np.testing.assert_array_equal(ours.predict(rows), theirs.predict(rows))
        np.testing.assert_allclose(ours.predict_proba(rows), theirs.predict_proba(rows), atol=1e-6)


def test_float32_close_to_float64():
    rows, labels = DATA["iris"]
    single = LinearDiscriminantAnalysis().fit(rows.astype(np.float32), labels)
    assert single.coef_.dtype == single.transform(rows.astype(np.float32)).dtype == np.float32
    assert single.predict_proba(rows.astype(np.float32)).dtype == np.float32
    double = LinearDiscriminantAnalysis().fit(rows, labels)
    np.testing.assert_allclose(single.predict_proba(rows.astype(np.float32)), double.predict_proba(rows), atol=1e-4)


def test_one_class_is_always_predicted():
    model = LinearDiscriminantAnalysis().fit(IRIS.data, np.repeat("only", 150))
    assert set(model.predict(IRIS.data)) == {"only"}
    np.testing.assert_array_equal(model.predict_proba(IRIS.data), np.ones((150, 1)))


@pytest.mark.parametrize(
    ("arguments", "error", "says"),
    [
        ({"solver": "qr"}, ValueError, "svd, lsqr or eigen"),
        ({"shrinkage": 0.1}, NotImplementedError, "'eigen' or 'lsqr'"),
        ({"solver": "eigen", "shrinkage": 2.0}, ValueError, "number in"),
        ({"n_components": 3}, ValueError, "n_components"),
        ({"priors": [0.5, 0.5]}, ValueError, "3 numbers"),
        ({"priors": [-1.0, 1.0, 1.0]}, ValueError, "numbers ≥ 0"),
        ({"tol": -1.0}, ValueError, "tol"),
    ],
)
def test_arguments_that_cannot_be_used(arguments, error, says):
    with pytest.raises(error, match=says):
        LinearDiscriminantAnalysis(**arguments).fit(IRIS.data, IRIS.target)


def test_data_that_cannot_be_used():
    with pytest.raises(ValueError, match="more rows than classes"):
        LinearDiscriminantAnalysis().fit(IRIS.data[::50], [0, 1, 2])
    with pytest.raises(ValueError, match="full rank"):
        LinearDiscriminantAnalysis("eigen").fit(np.ones((6, 2)), [0, 0, 0, 1, 1, 1])
    with pytest.raises(NotImplementedError, match="transform"):
        LinearDiscriminantAnalysis("lsqr").fit(IRIS.data, IRIS.target).transform(IRIS.data)


@pytest.mark.parametrize("solver", ["svd", "eigen", "lsqr"])
def test_saved_and_loaded_equal(solver):
    rows, labels = DATA["iris"]
    model = LinearDiscriminantAnalysis(solver).fit(rows, labels)
    value, arrays = estimator_to_state(model)
    again = estimator_from_state(json.loads(json.dumps(value)), arrays)
    np.testing.assert_array_equal(again.predict_proba(rows), model.predict_proba(rows))
    np.testing.assert_array_equal(again.classes_, model.classes_)
    with pytest.raises(ArtifactError, match="coef_"):
        estimator_from_state(value, {**arrays, "coef_": arrays["coef_"][:, :2]})


def test_more_columns_than_rows_take_the_axes_from_the_rows():
    """The same scores as scikit-learn's, and time that does not grow with the cube of the columns."""
    from sklearn.discriminant_analysis import LinearDiscriminantAnalysis as Reference

    random = np.random.default_rng(0)
    X, y = random.normal(size=(60, 300)), random.integers(0, 3, 60)
    X[:, :5] += y[:, None]
    other = random.normal(size=(40, 300))
    ours, reference = LinearDiscriminantAnalysis().fit(X, y), Reference().fit(X, y)
    np.testing.assert_allclose(ours.decision_function(other), reference.decision_function(other), rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("rows", [600, 60])
def test_constant_columns_do_not_count_in_float32_either(rows: int) -> None:
    source = np.random.default_rng(0)
    centres, codes = source.normal(size=(20, 5)), np.arange(rows) % 20
    values = np.hstack([centres[codes] + 0.3 * source.normal(size=(rows, 5)), np.full((rows, 80), 0.0116923)])
    single, double = (LinearDiscriminantAnalysis().fit(values.astype(kind), codes) for kind in (np.float32, float))
    assert single.scalings_.shape == double.scalings_.shape == (85, 5)
    np.testing.assert_allclose(single.predict_proba(values.astype(np.float32)), double.predict_proba(values), atol=2e-3)
