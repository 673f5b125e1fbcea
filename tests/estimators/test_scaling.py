"""Scalers against scikit-learn and their formulas."""

import numpy as np
import pytest
import scipy.sparse
import sklearn.preprocessing
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.utils.estimator_checks import parametrize_with_checks

from gradatim.estimators.linear import LinearRegression
from gradatim.estimators.scaling import MeanScaler, RangeScaler, StandardScaler
from gradatim.estimators.state import estimator_from_state, estimator_to_state

RANDOM = np.random.default_rng(0)
X = RANDOM.normal(size=(40, 4)) * [1, 1e-8, 1e8, 3] + [0, 5, 1e9, -2]
WEIGHTS = RANDOM.integers(0, 4, 40).astype(float)
HOLES = np.where(RANDOM.random(X.shape) < 0.2, np.nan, X)


@parametrize_with_checks(
    [RangeScaler((-1, 1)), StandardScaler(with_mean=False)]
)
def test_they_follow_the_conventions(estimator, check):
    check(estimator)


@pytest.mark.parametrize("given", [X, HOLES], ids=["whole", "holes"])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_range_and_standard_equal_scikit_learn(given, dtype):
    given = given.astype(dtype)
    pairs = [
        (RangeScaler((-1, 3)), sklearn.preprocessing.MinMaxScaler((-1, 3))),
        (StandardScaler(), sklearn.preprocessing.StandardScaler()),
        (StandardScaler(with_mean=False), sklearn.preprocessing.StandardScaler(with_mean=False)),
        (StandardScaler(with_deviation=False), sklearn.preprocessing.StandardScaler(with_std=False)),
    ]
    exact = given.astype(np.float64)
    for model, peer in pairs:
        found = model.fit(given).transform(given)
        assert found.dtype == dtype
        expected = peer.fit(exact).transform(exact)
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6 * np.nanmax(np.abs(expected)))
        np.testing.assert_allclose(model.inverse_transform(found), given, rtol=1e-4)


def test_weights_are_repeated_rows():
    repeated = np.repeat(X, WEIGHTS.astype(int), axis=0)
    for model in (MeanScaler(), StandardScaler()):
        weighted, plain = model.fit(X, sample_weight=WEIGHTS).transform(X), model.fit(repeated).transform(X)
        np.testing.assert_allclose(weighted, plain, atol=1e-7)
    peer = sklearn.preprocessing.StandardScaler().fit(HOLES, sample_weight=WEIGHTS)
    np.testing.assert_allclose(StandardScaler().fit(HOLES, sample_weight=WEIGHTS).mean_, peer.mean_, rtol=1e-12)


def test_mean_scaler_has_mean_zero_and_range_one():
    found = MeanScaler().fit_transform(X)
    np.testing.assert_allclose(found.mean(0), 0, atol=1e-7)
    np.testing.assert_allclose(np.ptp(found, axis=0), 1)


def test_sparse_rows_keep_their_zeros_or_are_refused():
    matrix = scipy.sparse.random(50, 5, density=0.3, format="csr", rng=np.random.default_rng(0))
    weights = RANDOM.random(50)
    model = StandardScaler(with_mean=False).fit(matrix, sample_weight=weights)
    dense = StandardScaler(with_mean=False).fit(matrix.toarray(), sample_weight=weights)
    np.testing.assert_allclose(model.variance_, dense.variance_)
    np.testing.assert_allclose(model.transform(matrix).toarray(), dense.transform(matrix.toarray()))
    np.testing.assert_allclose(model.inverse_transform(model.transform(matrix)).toarray(), matrix.toarray())
    for refusing in (StandardScaler(), RangeScaler(), MeanScaler()):
        with pytest.raises(TypeError, match=r"[Ss]parse"):
            refusing.fit(matrix)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.floats(-1e300, 1e300), min_size=1, max_size=8))
def test_scaled_columns_are_finite_and_come_back(values):
    column = np.array(values)[:, None]
    for model in (RangeScaler(), MeanScaler(), StandardScaler()):
        found = model.fit_transform(column)
        assert np.isfinite(found).all() and (model.scale_ > 0).all()
        np.testing.assert_allclose(model.inverse_transform(found), column, atol=1e-12 * np.abs(column).max())


def test_constant_columns_are_only_shifted():
    given = np.full((5, 1), 0.1)
    assert not StandardScaler().fit_transform(given).any() and not MeanScaler().fit_transform(given).any()
    assert RangeScaler((2, 3)).fit_transform(given).tolist() == [[2.0]] * 5


def test_descent_on_scaled_columns_finds_the_golden_houses():
    size, price = np.array([[2104.0], [1416.0], [1534.0], [852.0]]), np.array([460.0, 232.0, 315.0, 178.0])
    for scaler in (RangeScaler(), MeanScaler(), StandardScaler()):
        scaled = scaler.fit_transform(size)
        model = LinearRegression(solver="gradient_descent", tol=1e-14, max_iter=10_000).fit(scaled, price)
        slope = model.coef_[0] / scaler.scale_[0]
        assert slope == pytest.approx(0.2296196, abs=1e-5)
        assert model.intercept_ - slope * scaler.shift_[0] == pytest.approx(-42.78334, abs=1e-2)
        assert model.objective_ == pytest.approx(448.219, abs=1e-3)


@pytest.mark.parametrize("model", [RangeScaler((-2, 2)), MeanScaler(), StandardScaler()], ids=str)
def test_state_survives(model):
    again = estimator_from_state(*estimator_to_state(model.fit(X)))
    np.testing.assert_array_equal(again.transform(X), model.transform(X))


def test_bad_arguments_are_refused():
    with pytest.raises(ValueError, match="feature_range: expected"):
        RangeScaler((1, 1)).fit(X)
    with pytest.raises(ValueError, match="weight"):
        StandardScaler().fit(X, sample_weight=np.zeros(40))
    with pytest.raises(ValueError, match=r"infinity"):
        StandardScaler().fit([[np.inf], [1.0]])
