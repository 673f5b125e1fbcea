"""Ridge against scikit-learn, brute-force leave-one-out and the golden houses."""

import numpy as np
import pytest
import scipy.sparse
import sklearn.linear_model
from sklearn.utils.estimator_checks import parametrize_with_checks

from gradatim.estimators import least_squares
from gradatim.estimators.linear import Ridge


def expected_failures(estimator):
    # Leaving out one of two equal rows tells nothing: choosing by leave-one-out cannot treat a weight of
    # two as a
    # repeated row. scikit-learn's RidgeCV is excused for the same reason.
    if estimator.alpha != "auto":
        return {}
    return {f"check_sample_weight_equivalence_on_{kind}_data": "leave-one-out" for kind in ("dense", "sparse")}


@parametrize_with_checks(
    [Ridge(alpha="auto"), Ridge(fit_intercept=False)], expected_failed_checks=expected_failures
)
def test_ridge_follows_the_conventions(estimator, check):
    check(estimator)


def problem(rows, columns, targets=None, dtype=np.float64, seed=0):
    random = np.random.default_rng(seed)
    X = random.normal(size=(rows, columns)) + 3 * random.normal(size=columns)
    X[random.random(X.shape) < 0.5] = 0
    shape = (columns,) if targets is None else (columns, targets)
    y = X @ random.normal(size=shape)
    y = y + 7 + random.normal(size=y.shape)
    return X.astype(dtype), y, random.random(rows) + 0.1


@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize("shape", [(80, 10), (20, 60)])
@pytest.mark.parametrize("targets", [None, 3])
@pytest.mark.parametrize("fit_intercept", [True, False])
@pytest.mark.parametrize("weighted", [True, False])
def test_ridge_equals_scikit_learn(sparse, shape, targets, fit_intercept, weighted):
    X, y, weights = problem(*shape, targets)
    weights = weights if weighted else None
    peer = sklearn.linear_model.Ridge(alpha=0.7, fit_intercept=fit_intercept).fit(X, y, weights)
    model = Ridge(alpha=0.7, fit_intercept=fit_intercept).fit(scipy.sparse.csr_matrix(X) if sparse else X, y, weights)
    np.testing.assert_allclose(model.coef_, peer.coef_, rtol=1e-7, atol=1e-9)
    np.testing.assert_allclose(model.intercept_, peer.intercept_, rtol=1e-7)
    np.testing.assert_allclose(model.predict(X), peer.predict(X), rtol=1e-7)


def test_one_penalty_a_target_equals_scikit_learn():
    X, y, _ = problem(50, 8, 3)
    alphas = np.array([0.1, 1.0, 10.0])
    np.testing.assert_allclose(
        Ridge(alpha=alphas).fit(X, y).coef_, sklearn.linear_model.Ridge(alpha=alphas).fit(X, y).coef_, rtol=1e-8
    )


def test_float32_stays_float32_and_is_as_exact_as_it_can_be():
    X, y, _ = problem(300, 20, dtype=np.float32)
    model, exact = Ridge().fit(X, y), Ridge().fit(X.astype(np.float64), y)
    assert model.coef_.dtype == np.float32 and model.predict(X).dtype == np.float32
    np.testing.assert_allclose(model.coef_, exact.coef_, rtol=1e-5)


@pytest.mark.parametrize("shape", [(40, 6), (15, 30)])
@pytest.mark.parametrize("targets", [None, 2])
@pytest.mark.parametrize("fit_intercept", [True, False])
def test_leave_one_out_error_is_that_of_leaving_rows_out(shape, targets, fit_intercept):
    X, y, weights = problem(*shape, targets)
    alphas = [0.05, 0.5, 5.0, 50.0]
    model = Ridge(alpha="auto", alphas=alphas, fit_intercept=fit_intercept).fit(X, y, weights)
    errors = np.zeros(len(alphas))
    for place, alpha in enumerate(alphas):
        for row in range(len(X)):
            rest = np.arange(len(X)) != row
            peer = sklearn.linear_model.Ridge(alpha=alpha, fit_intercept=fit_intercept)
            left = y[row] - peer.fit(X[rest], y[rest], weights[rest]).predict(X[[row]])[0]
            errors[place] += weights[row] * np.mean(left**2)
    np.testing.assert_allclose(model.leave_one_out_error_, errors / weights.sum(), rtol=1e-6)
    assert model.alpha_ == alphas[int(np.argmin(errors))]


def test_leave_one_out_error_of_many_columns_survives_a_tiny_penalty():
    # 1 − hat value is about 1e-9 here: taken from one, it would be rounding.
    X, y, _ = problem(20, 300)
    model = Ridge(alpha="auto", alphas=[1e-6, 1e-3]).fit(X, y)
    rest = [np.delete(np.arange(20), row) for row in range(20)]
    for found, alpha in zip(model.leave_one_out_error_, (1e-6, 1e-3)):
        peers = [sklearn.linear_model.Ridge(alpha=alpha, solver="svd").fit(X[kept], y[kept]) for kept in rest]
        wanted = np.mean([(y[row] - peer.predict(X[[row]])[0]) ** 2 for row, peer in enumerate(peers)])
        np.testing.assert_allclose(found, wanted, rtol=1e-4)


def test_chosen_penalty_is_that_of_ridge_cv():
    X, y, _ = problem(60, 25, 2)
    alphas = np.logspace(-3, 3, 13)
    peer = sklearn.linear_model.RidgeCV(alphas).fit(X, y)
    model = Ridge(alpha="auto", alphas=alphas).fit(scipy.sparse.csr_matrix(X), y)
    assert model.alpha_ == peer.alpha_
    np.testing.assert_allclose(model.coef_, peer.coef_, rtol=1e-7)


def test_golden_houses():
    size, price = np.array([[2104.0], [1416.0], [1534.0], [852.0]]), np.array([460.0, 232.0, 315.0, 178.0])
    model = Ridge(alpha=0.0).fit(size, price)
    assert model.intercept_ == pytest.approx(-42.78334, abs=1e-5)
    assert model.coef_[0] == pytest.approx(0.2296196, abs=1e-7)
    assert np.mean((model.predict(size) - price) ** 2) / 2 == pytest.approx(448.219, abs=1e-3)
    assert Ridge(alpha=0.0, fit_intercept=False).fit(size, price).coef_[0] == pytest.approx(0.2030525, abs=1e-7)


@pytest.mark.parametrize("shape", [(30, 5), (6, 12)])
def test_singular_inputs_give_the_solution_of_least_norm(shape):
    X, y, _ = problem(*shape)
    X = np.hstack([X, X[:, :2], np.zeros((len(X), 1))])
    expected = np.linalg.pinv(X - X.mean(0)) @ (y - y.mean())
    np.testing.assert_allclose(Ridge(alpha=0.0).fit(X, y).coef_, expected, atol=1e-9)
    np.testing.assert_allclose(Ridge(alpha=0.0).fit(scipy.sparse.csr_matrix(X), y).coef_, expected, atol=1e-9)


@pytest.mark.parametrize("sparse", [False, True])
def test_conjugate_gradients_reach_the_closed_form(monkeypatch, sparse):
    X, y, weights = problem(60, 40, 2)
    expected = Ridge(alpha=0.3).fit(X, y, weights)
    monkeypatch.setattr(least_squares, "LARGEST_FACTOR", 4)
    model = Ridge(alpha=0.3).fit(scipy.sparse.csr_matrix(X) if sparse else X, y, weights)
    np.testing.assert_allclose(model.coef_, expected.coef_, rtol=1e-5, atol=1e-7)


def test_penalty_from_a_part_of_the_rows_is_near_the_whole(monkeypatch):
    X, y, _ = problem(400, 60)
    whole = Ridge(alpha="auto").fit(X, y)
    monkeypatch.setattr(least_squares, "LARGEST_SPECTRUM", 50)
    part = Ridge(alpha="auto").fit(X, y)
    assert np.mean((part.predict(X) - whole.predict(X)) ** 2) < 0.2


@pytest.mark.parametrize("alpha", [-1.0, "best", float("nan"), [1.0, 2.0]])
def test_bad_penalty_is_refused_in_one_line(alpha):
    X, y, _ = problem(10, 3)
    with pytest.raises(ValueError, match="alpha: expected"):
        Ridge(alpha=alpha).fit(X, y)
