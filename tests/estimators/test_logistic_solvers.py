"""LogisticRegression's solvers and penalties against scikit-learn, each other, and the conditions of the optimum."""

from itertools import pairwise

import numpy as np
import pytest
import scipy.sparse
import sklearn.linear_model
from sklearn.callback import ProgressBar, ScoringMonitor
from sklearn.multiclass import OneVsRestClassifier
from sklearn.utils.estimator_checks import parametrize_with_checks

from gradatim.estimators import sparse_likelihood
from gradatim.estimators.likelihood import Likelihood, prepare
from gradatim.estimators.logistic import LogisticRegression
from gradatim.estimators.recording import Recorder
from gradatim.estimators.state import estimator_from_state, estimator_to_state


def expected_failures(estimator):
    # The check asks for seven equal digits: more than steps of plain ascent, and an L1 optimum to 1e-16, reach.
    if estimator.solver == "newton-cg":
        return {}
    return {f"check_sample_weight_equivalence_on_{kind}_data": "tol" for kind in ("dense", "sparse")}


@parametrize_with_checks(
    [
        LogisticRegression(solver="newton-cg", tol=1e-20),
        LogisticRegression(solver="gradient_ascent", max_iter=2000),
        LogisticRegression(l1_ratio=0.5),
        LogisticRegression(multi_class="one-vs-rest", solver="newton-cg", tol=1e-20),
    ],
    expected_failed_checks=expected_failures,
)
def test_they_follow_the_conventions(estimator, check):
    check(estimator)


def problem(rows=150, columns=7, classes=3, dtype=np.float64, seed=0):
    random = np.random.default_rng(seed)
    X = random.normal(size=(rows, columns)) @ np.diag(np.logspace(-0.5, 0.5, columns)) + random.normal(size=columns)
    scores = X @ random.normal(size=(columns, classes)) + random.gumbel(size=(rows, classes)) * 2
    return X.astype(dtype), scores.argmax(1), random.random(rows) + 0.1


def objective(model, X, y, C, l1_ratio=0.0, weights=None):
    weights = np.ones(len(y)) if weights is None else weights
    loss = -model.predict_log_proba(X)[np.arange(len(y)), np.searchsorted(model.classes_, y)]
    size = (1 - l1_ratio) / 2 * (model.coef_**2).sum() + l1_ratio * np.abs(model.coef_).sum()
    return float(C * (weights @ loss) + size)


@pytest.mark.parametrize("classes", [2, 4])
@pytest.mark.parametrize("sparse", [False, True])
def test_newton_reaches_the_optimum_in_few_steps(classes, sparse):
    X, y, weights = problem(classes=classes)
    given = scipy.sparse.csr_matrix(X) if sparse else X
    first = LogisticRegression(tol=1e-14).fit(given, y, weights)
    model = LogisticRegression(solver="newton-cg", tol=1e-14).fit(given, y, weights)
    np.testing.assert_allclose(model.coef_, first.coef_, atol=1e-5)
    assert model.n_iter_[0] <= 10


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("sparse", [False, True])
def test_hessian_and_its_products_equal_finite_differences(classes, sparse):
    X, y, weights = problem(40, 4, classes)
    design = prepare(scipy.sparse.csr_matrix(X) if sparse else X, weights, True)
    outputs = classes if classes > 2 else 1
    likelihood = Likelihood(design, y, weights / weights.sum(), 0.3, outputs, True, remember=True)
    at, way = np.random.default_rng(1).normal(size=(2, 5, outputs))
    slope = (likelihood.evaluate(at + 1e-6 * way)[1] - likelihood.evaluate(at - 1e-6 * way)[1]) / 2e-6
    likelihood.evaluate(at)
    np.testing.assert_allclose(likelihood.hessian_product(way), slope, atol=1e-8)
    np.testing.assert_allclose(np.tensordot(likelihood.hessian(), way, 2), slope, atol=1e-8)


@pytest.mark.parametrize("C", [0.02, 1.0])
@pytest.mark.parametrize("l1_ratio", [1.0, 0.4])
@pytest.mark.parametrize("classes", [2, 4])
@pytest.mark.parametrize("many", [False, True])
def test_absolute_penalty_reaches_sagas_objective(C, l1_ratio, classes, many, monkeypatch):
    X, y, weights = problem(classes=classes)
    if many:
        monkeypatch.setattr(sparse_likelihood, "LARGEST_HESSIAN", 0)
    peer = sklearn.linear_model.LogisticRegression(C=C, l1_ratio=l1_ratio, solver="saga", tol=1e-10, max_iter=50_000)
    peer.fit(X, y, weights)
    model = LogisticRegression(C=C, l1_ratio=l1_ratio, tol=1e-12, max_iter=5000).fit(X, y, weights)
    # saga's intercept is not at its optimum after 50,000 walks: the objective may be lower here, never higher.
    best = objective(model, X, y, C, l1_ratio, weights)
    assert best <= objective(peer, X, y, C, l1_ratio, weights) * (1 + 1e-7)
    assert model.objective_ * C * weights.sum() == pytest.approx(best, rel=1e-6)
    # The conditions of the optimum: no subgradient of the coefficients or the intercept is away from zero.
    onehot = np.eye(classes)[y] if classes > 2 else y[:, None]
    probability = model.predict_proba(X) if classes > 2 else model.predict_proba(X)[:, 1:]
    residual = C * weights[:, None] * (probability - onehot)
    slope = residual.T @ X + (1 - l1_ratio) * model.coef_
    violated = np.where(model.coef_ != 0, np.abs(slope + l1_ratio * np.sign(model.coef_)), np.abs(slope) - l1_ratio)
    assert max(violated.max(), np.abs(residual.sum(0)).max()) < 1e-4 * max(C * weights.sum(), 1)
    default = LogisticRegression(C=C, l1_ratio=l1_ratio).fit(scipy.sparse.csr_matrix(X), y, weights)
    assert objective(default, X, y, C, l1_ratio, weights) <= best + 1e-4 * C * weights.sum()


def test_absolute_penalty_equals_liblinear_without_intercept():
    X, y, _ = problem(classes=2)
    peer = sklearn.linear_model.LogisticRegression(
        C=0.1, l1_ratio=1, solver="liblinear", fit_intercept=False, tol=1e-10, max_iter=100_000
    ).fit(X, y)
    model = LogisticRegression(C=0.1, l1_ratio=1, fit_intercept=False, tol=1e-14).fit(X, y)
    np.testing.assert_allclose(model.coef_, peer.coef_, atol=1e-4)


@pytest.mark.parametrize("solver", ["lbfgs", "newton-cg"])
def test_one_vs_rest_equals_scikit_learn(solver):
    X, y, _ = problem(classes=4)
    inner = sklearn.linear_model.LogisticRegression(tol=1e-12, max_iter=10_000)
    peer = OneVsRestClassifier(inner).fit(X, y)
    model = LogisticRegression(multi_class="one-vs-rest", solver=solver, tol=1e-14).fit(X, y)
    np.testing.assert_allclose(model.coef_, np.vstack([one.coef_ for one in peer.estimators_]), atol=1e-4)
    np.testing.assert_allclose(model.predict_proba(X), peer.predict_proba(X), atol=1e-5)
    np.testing.assert_allclose(model.predict_log_proba(X), np.log(peer.predict_proba(X)), atol=1e-4)
    assert model.n_iter_.shape == (4,)
    chosen = LogisticRegression(C="auto", multi_class="one-vs-rest").fit(X, y)
    assert chosen.score(X, y) > 0.6 and chosen.C_ in chosen.Cs_


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("batch_size", [None, 16])
def test_gradient_ascent_climbs_to_the_optimum(classes, batch_size):
    X, y, _ = problem(classes=classes)
    X = (X - X.mean(0)) / X.std(0)
    best = LogisticRegression(tol=1e-13).fit(X, y)
    options = {} if batch_size is None else {"max_iter": 100}
    model = LogisticRegression(solver="gradient_ascent", batch_size=batch_size, tol=1e-10, **options).fit(X, y)
    assert best.objective_ <= model.objective_ <= best.objective_ + (1e-6 if batch_size is None else 0.02)


def test_too_large_a_rate_is_named():
    X, y, _ = problem(classes=2)
    with pytest.raises(ValueError, match=r"diverges with learning_rate=1e\+06.*largest stable rate"):
        LogisticRegression(solver="gradient_ascent", learning_rate=1e6).fit(X * 100, y)


def test_no_penalty_is_maximum_likelihood():
    X, y, _ = problem(classes=2)
    peer = sklearn.linear_model.LogisticRegression(C=np.inf, tol=1e-12, solver="newton-cholesky").fit(X, y)
    for solver in ("lbfgs", "newton-cg"):
        model = LogisticRegression(C=np.inf, solver=solver, tol=1e-14).fit(np.hstack([X, np.ones((len(X), 1))]), y)
        np.testing.assert_allclose(model.coef_[:, :-1], peer.coef_, atol=1e-4)


def test_squared_error_with_a_sigmoid_is_not_convex_and_cross_entropy_is():
    at = np.linspace(-6, 6, 200)
    probability = 1 / (1 + np.exp(-at))
    squared, entropy = (probability - 1) ** 2, np.logaddexp(0, -at)
    assert np.diff(squared, 2).min() < -1e-6 < 0 < np.diff(entropy, 2).min()


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"solver": "newton-cg"},
        {"solver": "gradient_ascent"},
        {"l1_ratio": 1.0},
        {"multi_class": "one-vs-rest"},
    ],
    ids=str,
)
def test_steps_are_published_and_the_state_survives(options):
    X, y, _ = problem()
    names = np.array(["α", "β", "γ"])[y]
    recorder, monitor = Recorder(), ScoringMonitor(scoring="neg_log_loss")
    model = LogisticRegression(**options).set_callbacks(recorder, monitor, ProgressBar()).fit(X, names)
    objectives = [value for _, value in recorder.values("objective_")]
    assert recorder.published >= model.n_iter_.sum()
    if "multi_class" not in options:
        assert all(after <= before + 1e-9 for before, after in pairwise(objectives))
    np.testing.assert_allclose(recorder.steps[-1].attributes["coef_"], model.coef_)
    loss = -model.predict_log_proba(X)[np.arange(len(y)), y].mean()
    assert monitor.get_logs().data[-1]["neg_log_loss"] == pytest.approx(-loss)
    again = estimator_from_state(*estimator_to_state(model))
    np.testing.assert_array_equal(again.predict_proba(X), model.predict_proba(X))
    np.testing.assert_allclose(model.predict_proba(X), LogisticRegression(**options).fit(X, names).predict_proba(X))


@pytest.mark.parametrize(
    "options",
    [{"l1_ratio": -0.1}, {"l1_ratio": float("nan")}, {"solver": "magic"}, {"multi_class": "ovo"}],
    ids=str,
)
def test_bad_arguments_are_refused_in_one_line(options):
    X, y, _ = problem(20, 3)
    with pytest.raises(ValueError, match=f"{next(iter(options))}: expected"):
        LogisticRegression(**options).fit(X, y)
