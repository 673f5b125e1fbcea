"""LogisticRegression against scikit-learn, finite differences and golden numbers."""

import numpy as np
import pytest
import scipy.sparse
import sklearn.linear_model
from sklearn.utils.estimator_checks import parametrize_with_checks

from gradatim.estimators import likelihood
from gradatim.estimators.folds import stratified_folds
from gradatim.estimators.lbfgs import minimise
from gradatim.estimators.likelihood import Likelihood, prepare
from gradatim.estimators.logistic import LogisticRegression

TIGHT = 1e-20


def expected_failures(estimator):
    # The check asks for seven equal digits: more than the default tol gives. And which rows "auto" holds out depends
    # on how many there are, so that for it a repeated row is not a weight of two.
    if estimator.tol == TIGHT:
        return {}
    return {f"check_sample_weight_equivalence_on_{kind}_data": "tol" for kind in ("dense", "sparse")}


@parametrize_with_checks(
    [LogisticRegression(C="auto")],
    expected_failed_checks=expected_failures,
)
def test_logistic_regression_follows_the_conventions(estimator, check):
    check(estimator)


def problem(rows=120, columns=8, classes=3, dtype=np.float64, seed=0):
    random = np.random.default_rng(seed)
    X = random.normal(size=(rows, columns)) @ np.diag(np.logspace(-1, 1, columns))
    X += random.normal(size=columns)
    X[random.random(X.shape) < 0.3] = 0
    scores = X @ random.normal(size=(columns, classes)) + random.gumbel(size=(rows, classes)) * 3
    return X.astype(dtype), scores.argmax(1), random.random(rows) + 0.1


def reference(X, y, weights=None, C=1.0, fit_intercept=True, class_weight=None):
    solver = "newton-cholesky" if X.shape[1] < 100 else "lbfgs"
    peer = sklearn.linear_model.LogisticRegression(
        C=C, fit_intercept=fit_intercept, class_weight=class_weight, tol=1e-12, max_iter=20_000, solver=solver
    )
    return peer.fit(X, y, weights)


@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize("shape", [(120, 8), (40, 90)])
@pytest.mark.parametrize("classes", [2, 4])
@pytest.mark.parametrize("fit_intercept", [True, False])
@pytest.mark.parametrize("options", [{}, {"class_weight": "balanced"}, {"weighted": True}])
def test_coefficients_equal_those_of_scikit_learn(sparse, shape, classes, fit_intercept, options):
    X, y, weights = problem(*shape, classes)
    weights = weights if options.get("weighted") else None
    arguments = {"C": 0.5, "fit_intercept": fit_intercept, "class_weight": options.get("class_weight")}
    peer = reference(X, y, weights, **arguments)
    given = scipy.sparse.csr_matrix(X) if sparse else X
    model = LogisticRegression(tol=1e-13, max_iter=5000, **arguments).fit(given, y, weights)
    np.testing.assert_allclose(model.coef_, peer.coef_, atol=1e-5)
    centred = peer.intercept_ - (peer.intercept_.mean() if classes > 2 else 0)
    np.testing.assert_allclose(model.intercept_, centred, atol=1e-4)
    np.testing.assert_allclose(model.predict_proba(X), peer.predict_proba(X), atol=1e-5)
    np.testing.assert_allclose(model.predict_log_proba(X), peer.predict_log_proba(X), atol=1e-4)
    default = LogisticRegression(max_iter=5000, **arguments).fit(given, y, weights)
    np.testing.assert_allclose(default.predict_proba(X), peer.predict_proba(X), atol=1e-2)


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("sparse", [False, True])
def test_gradient_equals_finite_differences(classes, sparse):
    X, y, weights = problem(30, 5, classes)
    design = prepare(scipy.sparse.csr_matrix(X) if sparse else X, weights, True)
    outputs = classes if classes > 2 else 1
    objective = Likelihood(design, y, weights / weights.sum(), 0.3, outputs, True)
    at = np.random.default_rng(1).normal(size=(6, outputs))
    _, gradient = objective.evaluate(at)
    for place in np.ndindex(at.shape):
        step = np.zeros_like(at)
        step[place] = 1e-6
        slope = (objective.evaluate(at + step)[0] - objective.evaluate(at - step)[0]) / 2e-6
        assert gradient[place] == pytest.approx(slope, abs=1e-7)


def test_float32_stays_float32_near_the_exact_answer():
    X, y, _ = problem(300, 8, 3, np.float32)
    model, exact = LogisticRegression().fit(X, y), LogisticRegression(tol=1e-12).fit(X.astype(np.float64), y)
    assert model.coef_.dtype == np.float32 and model.predict_proba(X).dtype == np.float32
    np.testing.assert_allclose(model.predict_proba(X), exact.predict_proba(X), atol=2e-3)


def test_wide_rows_without_eigenvectors_reach_the_same_optimum(monkeypatch):
    X, y, weights = problem(50, 70)
    expected = LogisticRegression(tol=1e-13).fit(X, y, weights)
    monkeypatch.setattr(likelihood, "WIDEST", 10)
    model = LogisticRegression(tol=1e-13, max_iter=5000).fit(X, y, weights)
    np.testing.assert_allclose(model.coef_, expected.coef_, atol=1e-5)


@pytest.mark.parametrize("shape", [(150, 6), (40, 60)])
def test_chosen_penalty_has_the_least_held_out_loss(shape):
    X, y, _ = problem(*shape)
    Cs = np.logspace(-4, 3, 8)
    model = LogisticRegression(C="auto", Cs=Cs, folds=4).fit(X, y)
    folds = stratified_folds(y, 4)
    scores = np.zeros(len(model.Cs_))
    for place, C in enumerate(model.Cs_):
        for fold in range(4):
            peer = reference(X[folds != fold], y[folds != fold], C=C)
            held = np.flatnonzero(folds == fold)
            scores[place] -= peer.predict_log_proba(X[held])[np.arange(len(held)), y[held]].sum()
    np.testing.assert_allclose(model.scores_, scores / np.sum(folds >= 0), rtol=2e-2)
    assert Cs[int(np.argmin(scores))] == model.C_
    np.testing.assert_allclose(model.coef_, reference(X, y, C=model.C_).coef_, atol=1e-2)


def test_warm_start_needs_no_further_steps():
    for shape in ((120, 8), (40, 90)):
        X, y, _ = problem(*shape)
        model = LogisticRegression(warm_start=True).fit(X, y)
        assert model.n_iter_[0] > 3
        assert model.fit(X, y).n_iter_[0] <= 1


def test_golden_boundary_and_shift_invariance():
    model = LogisticRegression()
    model.classes_, model.n_features_in_ = np.array([0, 1]), 2
    model.coef_, model.intercept_ = np.array([[1.0, 1.0]]), np.array([-3.0])
    assert model.predict_proba(np.array([[1.0, 2.0]])).tolist() == [[0.5, 0.5]]
    assert model.predict(np.array([[1.0, 2.1], [1.0, 1.9]])).tolist() == [1, 0]
    slope = likelihood.sigmoid(np.array([10.0])) * likelihood.sigmoid(np.array([-10.0]))
    assert slope[0] == pytest.approx(4.54e-5, abs=1e-7)
    scores, labels = np.random.default_rng(0).normal(size=(5, 3)), np.array([0, 1, 2, 0, 1])
    first, second = likelihood.losses(scores.T.copy(), labels), likelihood.losses(scores.T + 1000, labels)
    np.testing.assert_allclose(first[0], second[0], atol=1e-12)


def test_separable_rows_end_with_finite_numbers():
    X = np.array([[-1.0], [-2.0], [1.0], [2.0]])
    model = LogisticRegression(C=1e10).fit(X, [0, 0, 1, 1])
    assert np.isfinite(model.coef_).all() and model.score(X, [0, 0, 1, 1]) == 1


def test_search_ends_on_a_curved_valley():
    def valley(x):
        a, b = x
        value = (1 - a) ** 2 + 100 * (b - a * a) ** 2
        return float(value), np.array([-2 * (1 - a) - 400 * a * (b - a * a), 200 * (b - a * a)])

    found = minimise(valley, np.array([-1.2, 1.0]), lambda g: g / 500, tol=1e-18, max_iter=500)
    np.testing.assert_allclose(found.parameters, [1, 1], atol=1e-6)
    assert found.converged


def test_folds_hold_classes_and_groups_together():
    labels = np.repeat([0, 1, 2], [40, 20, 1])
    folds = stratified_folds(labels, 5)
    assert np.bincount(folds[labels == 0]).tolist() == [8] * 5
    assert np.bincount(folds[labels == 1]).tolist() == [4] * 5
    assert folds[-1] == -1
    groups = np.repeat(np.arange(20), 3)
    grouped = stratified_folds(np.repeat([0, 1], 30), 4, groups=groups)
    assert all(len(set(grouped[groups == group])) == 1 for group in range(20))
    assert np.bincount(grouped).min() >= 12


@pytest.mark.parametrize("C", [0.0, -1.0, "best", float("nan")])
def test_bad_penalty_is_refused_in_one_line(C):
    X, y, _ = problem(20, 3)
    with pytest.raises(ValueError, match="C: expected"):
        LogisticRegression(C=C).fit(X, y)
