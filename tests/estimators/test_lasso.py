"""Lasso and elastic net against scikit-learn, the conditions of their optimum, and each solver against the others."""

from itertools import pairwise

import numpy as np
import pytest
import scipy.sparse
import sklearn.linear_model
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.callback import ProgressBar, ScoringMonitor
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils.estimator_checks import parametrize_with_checks

from gradatim.estimators import shrinkage
from gradatim.estimators.coordinate import minimise_quadratic, violations
from gradatim.estimators.lasso import ElasticNet, Lasso, elastic_net_path, lasso_path
from gradatim.estimators.proximal import soft_threshold
from gradatim.estimators.recording import Recorder
from gradatim.estimators.state import estimator_from_state, estimator_to_state


@parametrize_with_checks(
    [
        Lasso(alpha=0.1, tol=1e-14),
        ElasticNet(alpha=0.1, tol=1e-14),
        Lasso(alpha=0.1, solver="fista", tol=1e-14, max_iter=50_000),
        ElasticNet(alpha=0.1, solver="ista", tol=1e-14, max_iter=50_000),
    ]
)
def test_they_follow_the_conventions(estimator, check):
    check(estimator)


def problem(rows=80, columns=12, targets=None, dtype=np.float64, seed=0, noise=1.0):
    random = np.random.default_rng(seed)
    X = random.normal(size=(rows, columns)) @ (np.eye(columns) + 0.5) + 3 * random.normal(size=columns)
    X[random.random(X.shape) < 0.4] = 0
    truth = random.normal(size=(columns,) if targets is None else (columns, targets))
    truth[::2] = 0
    y = X @ truth
    return X.astype(dtype), y + 5 + noise * random.normal(size=y.shape), random.random(rows) + 0.1


@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize("shape", [(80, 12), (30, 70)])
@pytest.mark.parametrize("l1_ratio", [1.0, 0.3])
@pytest.mark.parametrize("fit_intercept", [True, False])
@pytest.mark.parametrize("weighted", [True, False])
def test_coefficients_equal_those_of_scikit_learn(sparse, shape, l1_ratio, fit_intercept, weighted):
    X, y, weights = problem(*shape)
    weights = weights if weighted else None
    options = {"alpha": 0.2, "l1_ratio": l1_ratio, "fit_intercept": fit_intercept}
    peer = sklearn.linear_model.ElasticNet(**options, tol=1e-12, max_iter=1_000_000).fit(X, y, weights)
    model = ElasticNet(**options, tol=1e-12).fit(scipy.sparse.csr_matrix(X) if sparse else X, y, weights)
    np.testing.assert_allclose(model.coef_, peer.coef_, atol=1e-5)
    np.testing.assert_allclose(model.intercept_, peer.intercept_, atol=1e-4)
    assert model.dual_gap_ <= 1e-12 * np.var(y) * 100


@pytest.mark.parametrize("solver", ["coordinate", "fista", "ista"])
@pytest.mark.parametrize("positive", [True, False])
@pytest.mark.parametrize("kind", [Lasso, ElasticNet])
def test_solvers_reach_one_optimum_and_bound_their_distance(solver, positive, kind):
    X, y, _ = problem(60, 8)
    X = (X - X.mean(0)) / X.std(0)
    peer_kind = getattr(sklearn.linear_model, kind.__name__)
    peer = peer_kind(alpha=0.3, positive=positive, tol=1e-13, max_iter=1_000_000).fit(X, y)
    model = kind(alpha=0.3, positive=positive, solver=solver, tol=1e-10, max_iter=100_000).fit(X, y)
    np.testing.assert_allclose(model.coef_, peer.coef_, atol=1e-3)
    rough = kind(alpha=0.3, positive=positive, solver=solver, tol=1e-2).fit(X, y)
    assert model.objective_ - 1e-12 <= rough.objective_ <= model.objective_ + rough.dual_gap_ + 1e-12


def test_several_targets_are_fitted_alone():
    X, y, _ = problem(targets=3)
    model = Lasso(alpha=0.3, tol=1e-12).fit(X, y)
    assert model.coef_.shape == (3, 12) and model.intercept_.shape == (3,)
    for place in range(3):
        alone = Lasso(alpha=0.3, tol=1e-12).fit(X, y[:, place])
        np.testing.assert_allclose(model.coef_[place], alone.coef_, atol=1e-9)
        assert model.dual_gap_[place] == pytest.approx(alone.dual_gap_, abs=1e-12)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10_000), st.booleans(), st.sampled_from([0.0, 0.1, 1.0]))
def test_quadratic_meets_its_conditions_even_with_equal_columns(seed, positive, squared):
    random = np.random.default_rng(seed)
    A = random.normal(size=(9, 7))
    A[:, 3] = A[:, 1]
    A[:, 5] = 0
    matrix = A.T @ A + squared * np.eye(7) * (np.arange(7) != 5)
    matrix[5, 5] = 0
    pull, penalties = A.T @ random.normal(size=9) * 3, np.where(np.arange(7) == 0, 0.0, random.random())
    start = np.abs(random.normal(size=7)) * (np.arange(7) != 5)
    values, _, reached = minimise_quadratic(matrix, pull, penalties, start, tolerance=1e-9, positive=positive)
    assert reached
    violated = violations(matrix @ values, pull, penalties, values, positive)
    assert violated.max() < 1e-7
    assert not positive or (values >= 0)[1:].all()


@pytest.mark.parametrize("sample", [16, 2])
def test_rough_products_are_corrected(monkeypatch, sample):
    monkeypatch.setattr(shrinkage, "SAMPLE_PER_COLUMN", sample)
    X, y, weights = problem(300, 40)
    X = X * np.logspace(-6, 6, 40) + 100 * np.logspace(-6, 6, 40)
    options = {"alpha": 0.05, "tol": 1e-13}
    scaled = (X - X.mean(0)) / X.std(0)
    exact = Lasso(**options).fit(scaled, y, weights)
    monkeypatch.setattr(shrinkage, "WORTH_ROUGH", 0)
    rough = Lasso(**options).fit(scaled, y, weights)
    np.testing.assert_allclose(rough.coef_, exact.coef_, atol=1e-6)
    # The same with columns far from the origin, where float32 loses digits.
    far = Lasso(**options).fit(scaled + 1000, y, weights)
    np.testing.assert_allclose(far.coef_, exact.coef_, atol=1e-6)


def test_working_sets_reach_the_optimum(monkeypatch):
    X, y, _ = problem(60, 400, noise=0.1)
    expected = Lasso(alpha=0.1, tol=1e-10).fit(X, y)
    monkeypatch.setattr(shrinkage, "WHOLE", 10)
    for matrix in (X, scipy.sparse.csr_matrix(X)):
        model = Lasso(alpha=0.1, tol=1e-10).fit(matrix, y)
        assert model.objective_ == pytest.approx(expected.objective_, rel=1e-8)
    monkeypatch.setattr(shrinkage, "LARGEST_GRAM", 20)
    strong = Lasso(alpha=2.0, tol=1e-8, max_iter=50_000).fit(X, y)
    monkeypatch.undo()
    assert strong.objective_ == pytest.approx(Lasso(alpha=2.0, tol=1e-10).fit(X, y).objective_, rel=1e-6)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_path_equals_scikit_learn_and_separate_fits(dtype):
    X, y, _ = problem(100, 20, dtype=dtype)
    alphas, coefficients, gaps = elastic_net_path(X, y, l1_ratio=0.7, n_alphas=15, tol=1e-10)
    expected = sklearn.linear_model.enet_path(
        X.astype(float), y, l1_ratio=0.7, alphas=alphas, tol=1e-12, max_iter=10**6
    )
    np.testing.assert_allclose(alphas, expected[0], rtol=1e-5)
    np.testing.assert_allclose(coefficients, expected[1], atol=1e-3 if dtype == np.float32 else 1e-4)
    assert coefficients.dtype == dtype and gaps.max() <= max(1e-10, 64 * np.finfo(dtype).eps) * np.mean(y**2)
    grid, many, _ = lasso_path(X, y, alphas=[0.1, 1.0], fit_intercept=True, tol=1e-10)
    assert grid.tolist() == [1.0, 0.1]
    np.testing.assert_allclose(many[:, 1], Lasso(alpha=0.1, tol=1e-10).fit(X, y).coef_, atol=1e-4)
    default, first, _ = lasso_path(X, y, n_alphas=3)
    assert not first[:, 0].any() and first[:, 1].any() and default[-1] == pytest.approx(default[0] * 1e-3)


def test_without_penalty_it_is_least_squares():
    X, y, _ = problem()
    expected = sklearn.linear_model.LinearRegression().fit(X, y)
    np.testing.assert_allclose(Lasso(alpha=0.0, tol=1e-12).fit(X, y).coef_, expected.coef_, atol=1e-5)
    ridge = sklearn.linear_model.Ridge(alpha=0.5 * len(X)).fit(X, y)
    model = ElasticNet(alpha=0.5, l1_ratio=0.0, tol=1e-14).fit(X, y)
    np.testing.assert_allclose(model.coef_, ridge.coef_, atol=1e-6)


def test_float32_stays_float32_and_is_near():
    X, y, _ = problem(500, 30, dtype=np.float32)
    model, exact = Lasso(alpha=0.1, tol=1e-6).fit(X, y), Lasso(alpha=0.1, tol=1e-12).fit(X.astype(float), y)
    assert model.coef_.dtype == np.float32 and model.predict(X).dtype == np.float32
    np.testing.assert_allclose(model.coef_, exact.coef_, atol=1e-3)


@pytest.mark.parametrize("solver", ["coordinate", "fista"])
def test_degenerate_columns_and_rows(solver):
    X, y, _ = problem(30, 4)
    X = np.hstack([X, X[:, :1], np.full((30, 1), 7.3), X[:, 1:2] * 1e-9])
    model = Lasso(alpha=0.1, solver=solver, max_iter=100_000).fit(X, y)
    assert np.isfinite(model.coef_).all() and model.coef_[5] == 0 and model.coef_[6] == 0
    one = Lasso(solver=solver).fit([[1.0, 2.0]], [3.0])
    assert one.coef_.tolist() == [0, 0] and one.intercept_ == 3
    for value in (np.nan, np.inf):
        with pytest.raises(ValueError, match=r"NaN|infinity"):
            Lasso().fit(np.full_like(X, value), y)
    for scale in (1e-100, 1e100):
        model = Lasso(alpha=0.1 * scale, solver=solver).fit(X[:, :3], y * scale)
        np.testing.assert_allclose(
            model.coef_ / scale, Lasso(alpha=0.1, solver=solver).fit(X[:, :3], y).coef_, rtol=0.2, atol=1e-3
        )


def test_steps_are_published_and_may_stop_the_fit():
    X, y, _ = problem()
    for solver in ("coordinate", "ista", "fista"):
        recorder, monitor = Recorder(), ScoringMonitor(scoring="r2")
        model = Lasso(alpha=0.1, solver=solver, tol=1e-8, max_iter=50_000).set_callbacks(
            recorder, monitor, ProgressBar()
        )
        model.fit(X, y)
        objectives = [value for _, value in recorder.values("objective_")]
        assert len(objectives) > 2 and objectives[-1] == pytest.approx(model.objective_, rel=1e-6)
        if solver != "fista":
            assert all(after <= before + 1e-9 for before, after in pairwise(objectives))
        assert monitor.get_logs().data[-1]["r2"] == pytest.approx(model.score(X, y), abs=1e-6)

    class Stop:
        def setup(self, estimator, context): ...
        def teardown(self, estimator, context): ...
        def on_fit_task_begin(self, estimator, context): ...
        def on_fit_task_end(self, estimator, context, *, fitted_estimator=None):
            return fitted_estimator.n_iter_ >= 2

    for solver in ("coordinate", "ista", "fista"):
        assert Lasso(alpha=0.01, solver=solver, tol=1e-14).set_callbacks(Stop()).fit(X, y).n_iter_ == 2


def test_state_survives_warm_start_and_warning():
    X, y, _ = problem(targets=2)
    for model in (Lasso(alpha=0.1).fit(X, y), ElasticNet().fit(X, y[:, 0])):
        again = estimator_from_state(*estimator_to_state(model))
        np.testing.assert_array_equal(again.predict(X), model.predict(X))
    warm = Lasso(alpha=0.1, warm_start=True).fit(X, y[:, 0])
    assert warm.n_iter_ > 1 and warm.fit(X, y[:, 0]).n_iter_ == 1
    with pytest.warns(ConvergenceWarning, match="max_iter=1 "):
        Lasso(alpha=1e-4, solver="ista", max_iter=1, tol=1e-9).fit(X, y)


@pytest.mark.parametrize(
    "options", [{"alpha": -1.0}, {"alpha": float("nan")}, {"l1_ratio": 2.0}, {"solver": "magic"}], ids=str
)
def test_bad_arguments_are_refused_in_one_line(options):
    X, y, _ = problem(10, 3)
    with pytest.raises(ValueError, match=f"{next(iter(options))}: expected"):
        ElasticNet(**options).fit(X, y)


def test_soft_threshold_is_the_proximal_map():
    values = np.linspace(-3, 3, 13)
    grid = np.linspace(-4, 4, 80_001)
    for value, found in zip(values, soft_threshold(values, 0.7)):
        best = grid[np.argmin((grid - value) ** 2 / 2 + 0.7 * np.abs(grid))]
        assert found == pytest.approx(best, abs=1e-4)
