"""LinearRegression: its solvers against scikit-learn and each other, golden numbers, divergence, degenerate inputs."""

from itertools import pairwise

import numpy as np
import pytest
import scipy.sparse
import sklearn.linear_model
from sklearn.callback import ProgressBar, ScoringMonitor
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils.estimator_checks import parametrize_with_checks

from gradatim.estimators.bases import PolynomialBasis
from gradatim.estimators.linear import LinearRegression, SquaredError, largest_curvature
from gradatim.estimators.recording import Recorder
from gradatim.estimators.state import estimator_from_state, estimator_to_state

SIZE, PRICE = np.array([[2104.0], [1416.0], [1534.0], [852.0]]), np.array([460.0, 232.0, 315.0, 178.0])


@parametrize_with_checks(
    [LinearRegression(fit_intercept=False), LinearRegression(solver="gradient_descent")]
)
def test_it_follows_the_conventions(estimator, check):
    check(estimator)


def problem(rows=60, columns=5, targets=None, dtype=np.float64, seed=0):
    random = np.random.default_rng(seed)
    X = random.normal(size=(rows, columns)) + random.normal(size=columns)
    y = X @ random.normal(size=(columns,) if targets is None else (columns, targets))
    return X.astype(dtype), y + 3 + 0.3 * random.normal(size=y.shape), random.random(rows) + 0.1


@pytest.mark.parametrize("solver", ["normal", "svd", "gradient_descent"])
@pytest.mark.parametrize("fit_intercept", [True, False])
@pytest.mark.parametrize("targets", [None, 2])
@pytest.mark.parametrize("weighted", [True, False])
def test_coefficients_equal_those_of_scikit_learn(solver, fit_intercept, targets, weighted):
    X, y, weights = problem(targets=targets)
    weights = weights if weighted else None
    peer = sklearn.linear_model.LinearRegression(fit_intercept=fit_intercept).fit(X, y, weights)
    matrices = [X] if solver == "svd" else [X, scipy.sparse.csr_matrix(X)]
    for matrix in matrices:
        model = LinearRegression(solver=solver, fit_intercept=fit_intercept, tol=1e-15, max_iter=5000)
        model.fit(matrix, y, weights)
        tolerance = 1e-4 if solver == "gradient_descent" else 1e-9
        np.testing.assert_allclose(model.coef_, peer.coef_, atol=tolerance)
        np.testing.assert_allclose(model.intercept_, peer.intercept_, atol=tolerance)
        errors = ((peer.predict(X) - y) ** 2).reshape(len(y), -1).sum(1)
        assert model.objective_ == pytest.approx(np.average(errors, weights=weights) / 2, rel=1e-6)


@pytest.mark.parametrize("shape", [(30, 5), (6, 12)])
@pytest.mark.parametrize("solver", ["normal", "svd"])
def test_collinear_columns_give_the_solution_of_least_norm(shape, solver):
    X, y, _ = problem(*shape)
    X = np.hstack([X, X[:, :2], np.full((len(X), 1), 0.1)])
    expected = np.linalg.pinv(X - X.mean(0)) @ (y - y.mean())
    model = LinearRegression(solver=solver).fit(X, y)
    np.testing.assert_allclose(model.coef_, expected, atol=1e-8)


def test_columns_of_any_scale_and_nearly_equal_ones_keep_their_digits():
    random = np.random.default_rng(0)
    X, truth = random.normal(size=(200, 6)), np.arange(1.0, 7.0)
    scales = np.array([1e-150, 1e-8, 1.0, 1e8, 1e40, 1e100])
    y = X @ truth + 2
    np.testing.assert_allclose(LinearRegression().fit(X * scales, y).coef_ * scales, truth, rtol=1e-8)
    close = np.column_stack([X, X[:, 0] + 1e-5 * random.normal(size=200)])
    found = LinearRegression().fit(close, close @ np.arange(1.0, 8.0)).coef_
    np.testing.assert_allclose(found, np.arange(1.0, 8.0), rtol=1e-5)
    far = X + 1e7
    np.testing.assert_allclose(LinearRegression().fit(far, far @ truth).coef_, truth, rtol=1e-6)


def test_golden_houses():
    for solver in ("normal", "svd"):
        model = LinearRegression(solver=solver).fit(SIZE, PRICE)
        assert model.intercept_ == pytest.approx(-42.78334, abs=1e-5)
        assert model.coef_[0] == pytest.approx(0.2296196, abs=1e-7)
        assert model.objective_ == pytest.approx(448.219, abs=1e-3)
        through = LinearRegression(solver=solver, fit_intercept=False).fit(SIZE, PRICE)
        assert through.coef_[0] == pytest.approx(0.2030525, abs=1e-7) and through.intercept_ == 0


def cubic():
    x = np.linspace(-3, 3, 41)[:, None]
    return PolynomialBasis(3).fit_transform(x), x[:, 0] ** 3 - 2 * x[:, 0] ** 2 - 3 * x[:, 0] + 4


@pytest.mark.parametrize("initial", [[1, 2, -9, 30], [1, 2, -9, -20], [0, 0, -40, 0], None], ids=str)
def test_a_cubic_is_descended_to_from_anywhere(initial):
    X, y = cubic()
    model = LinearRegression(solver="gradient_descent", initial=initial, tol=1e-13, max_iter=20_000).fit(X, y)
    np.testing.assert_allclose(np.append(model.coef_, model.intercept_), [-3, -2, 1, 4], atol=1e-3)
    assert all(after <= before for before, after in pairwise(model.costs_))
    slow = LinearRegression(solver="gradient_descent", initial=initial, learning_rate=2e-5, max_iter=50)
    with pytest.warns(ConvergenceWarning, match="max_iter=50"):
        slow.fit(X, y)
    assert slow.costs_[-1] < slow.costs_[0]


def test_divergence_is_named_with_the_largest_stable_rate():
    X, y = cubic()
    design = np.hstack([X, np.ones((41, 1))])
    bound = 2 / np.linalg.eigvalsh(design.T @ design / 41).max()
    assert 2 / largest_curvature(X, np.ones(41), True) == pytest.approx(bound)
    with pytest.raises(ValueError, match=f"diverges with learning_rate=.*largest stable rate .* {bound:.3g}") as caught:
        LinearRegression(solver="gradient_descent", learning_rate=1.01 * bound).fit(X, y)
    assert "\n" not in str(caught.value)
    LinearRegression(solver="gradient_descent", learning_rate=0.99 * bound).fit(X, y)


@pytest.mark.parametrize("intercept", [True, False])
@pytest.mark.parametrize("sparse", [True, False])
def test_gradient_equals_finite_differences_and_batches_average_to_it(intercept, sparse):
    X, y, weights = problem(24, 3, 2)
    cost = SquaredError(scipy.sparse.csr_matrix(X) if sparse else X, y, weights, intercept)
    at = np.random.default_rng(1).normal(size=(4, 2))
    gradient = cost.evaluate(at, None)[1]
    for place in np.ndindex(3 + intercept, 2):
        step = np.zeros_like(at)
        step[place] = 1e-5
        slope = (cost.evaluate(at + step, None)[0] - cost.evaluate(at - step, None)[0]) / 2e-5
        assert gradient[place] == pytest.approx(slope, abs=1e-7)
    parts = [cost.evaluate(at, np.arange(first, first + 6))[1] for first in range(0, 24, 6)]
    np.testing.assert_allclose(np.mean(parts, axis=0), gradient)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("batch_size", [1, 16])
@pytest.mark.parametrize("options", [{}, {"momentum": 0.5}, {"momentum": 0.5, "nesterov": True}, {"decay": 0.05}])
def test_batches_of_any_size_come_near_the_optimum(batch_size, options):
    X, y, _ = problem(100)
    best = LinearRegression().fit(X, y)
    model = LinearRegression(solver="gradient_descent", batch_size=batch_size, max_iter=150, tol=1e-4, **options)
    model.fit(X, y)
    assert best.objective_ <= model.objective_ < best.objective_ + 0.02 * model.costs_[0]
    # Without noise every batch has the same optimum, and a constant rate reaches it.
    exact = X @ np.arange(1.0, 6.0)
    noiseless = LinearRegression(solver="gradient_descent", batch_size=batch_size, max_iter=200, tol=1e-6, **options)
    noiseless.fit(X, exact)
    assert noiseless.objective_ < 1e-3 * noiseless.costs_[0]


def test_float32_stays_float32():
    X, y, _ = problem(300, dtype=np.float32)
    exact = LinearRegression().fit(X.astype(np.float64), y)
    for solver in ("normal", "svd", "gradient_descent"):
        model = LinearRegression(solver=solver).fit(X, y)
        assert model.coef_.dtype == np.float32 and model.predict(X).dtype == np.float32
        np.testing.assert_allclose(model.coef_, exact.coef_, atol=1e-2 if solver == "gradient_descent" else 1e-5)


def test_one_row_constant_column_and_not_finite():
    for solver in ("normal", "svd"):
        one = LinearRegression(solver=solver).fit([[1.0, 2.0]], [3.0])
        assert one.coef_.tolist() == [0, 0] and one.intercept_ == 3
        model = LinearRegression(solver=solver).fit([[7.3, 0.0], [7.3, 1.0], [7.3, 2.0]], [1.0, 2.0, 3.0])
        np.testing.assert_allclose(model.coef_, [0, 1], atol=1e-12)
    for value in (np.nan, np.inf):
        with pytest.raises(ValueError, match=r"NaN|infinity"):
            LinearRegression().fit([[value], [1.0]], [1.0, 2.0])
    with pytest.raises(ValueError, match="solver='svd': expected dense X"):
        LinearRegression(solver="svd").fit(scipy.sparse.csr_matrix(SIZE), PRICE)


def test_steps_are_published_and_the_state_survives():
    X, y, _ = problem(targets=2)
    recorder, monitor = Recorder(), ScoringMonitor(scoring="neg_mean_squared_error")
    model = LinearRegression(solver="gradient_descent", tol=1e-6).set_callbacks(recorder, monitor, ProgressBar())
    model.fit(X, y)
    assert recorder.published == model.n_iter_ + 1
    for number, cost in recorder.values("objective_"):
        assert cost == model.costs_[min(number + 1, model.n_iter_)]
    np.testing.assert_allclose(recorder.steps[-1].attributes["coef_"], model.coef_)
    assert monitor.get_logs().data[-1]["neg_mean_squared_error"] == pytest.approx(-2 * model.objective_ / 2)
    for fitted in (model.set_callbacks(), LinearRegression(solver="svd").fit(X, y[:, 0])):
        again = estimator_from_state(*estimator_to_state(fitted))
        np.testing.assert_array_equal(again.predict(X), fitted.predict(X))


@pytest.mark.parametrize(
    "options",
    [
        {"solver": "magic"},
        {"learning_rate": "fast"},
        {"learning_rate": -1.0},
        {"batch_size": 0},
        {"momentum": 1.0},
        {"convergence": "soon"},
        {"initial": [1.0, 2.0]},
        {"learning_rate": "backtracking", "batch_size": 4},
    ],
    ids=str,
)
def test_bad_arguments_are_refused_in_one_line(options):
    X, y, _ = problem()
    with pytest.raises(ValueError, match=f"{next(iter(options))}.*expected") as caught:
        LinearRegression(**{"solver": "gradient_descent"} | options).fit(X, y)
    assert "\n" not in str(caught.value)
