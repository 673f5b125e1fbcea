"""SVC and SVR against scikit-learn, the optimality conditions and a general solver."""

import numpy as np
import pytest
import scipy.sparse
import sklearn.svm
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize
from sklearn.calibration import CalibratedClassifierCV
from sklearn.datasets import make_classification
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import log_loss

from gradatim.errors import ArtifactError
from gradatim.estimators import kernel_dual
from gradatim.estimators.kernel_dual import Dual, solve
from gradatim.estimators.kernels import Kernel
from gradatim.estimators.recording import Recorder
from gradatim.estimators.state import estimator_from_state, estimator_to_state
from gradatim.estimators.svm import SVC, SVR

KERNELS = [
    {},
    {"kernel": "linear"},
    {"kernel": "poly", "degree": 2, "coef0": 1.0},
    {"kernel": "sigmoid", "gamma": 0.01, "coef0": 0.1},
    {"gamma": "auto", "C": 30.0},
    {"class_weight": "balanced"},
]


def problem(rows=150, columns=6, classes=3, dtype=np.float64, seed=0):
    X, y = make_classification(
        rows, columns, n_informative=4, n_redundant=0, n_classes=classes, flip_y=0.1, class_sep=0.7, random_state=seed
    )
    return X.astype(dtype), y


def curve(rows=120, seed=0):
    random = np.random.default_rng(seed)
    X = random.normal(size=(rows, 3))
    return X, X[:, 0] + np.sin(2 * X[:, 1]) + 0.2 * random.normal(size=rows), random.random(rows) + 0.2


@pytest.mark.parametrize("classes", [2, 4])
@pytest.mark.parametrize("options", KERNELS)
@pytest.mark.parametrize("sparse", [False, True])
def test_support_vectors_and_values_equal_scikit_learn(classes, options, sparse):
    X, y = problem(classes=classes)
    peer = sklearn.svm.SVC(tol=1e-6, decision_function_shape="ovo", **options).fit(X, y)
    given_X = scipy.sparse.csr_matrix(X) if sparse else X
    model = SVC(tol=1e-6, decision_function_shape="ovo", **options).fit(given_X, y)
    assert set(model.support_.tolist()) == set(peer.support_.tolist())
    assert model.support_.tolist() == peer.support_.tolist() and model.n_support_.tolist() == peer.n_support_.tolist()
    np.testing.assert_allclose(model.dual_coef_, peer.dual_coef_, atol=2e-3)
    np.testing.assert_allclose(model.intercept_, peer.intercept_, atol=1e-4)
    np.testing.assert_allclose(model.decision_function(given_X), peer.decision_function(X), atol=1e-4)
    assert model.predict(given_X).tolist() == peer.predict(X).tolist()
    assert model.class_weight_ == pytest.approx(peer.class_weight_)
    model.decision_function_shape = peer.decision_function_shape = "ovr"
    near = np.abs(peer.decision_function(X) - model.decision_function(given_X)) < 1e-3
    assert near.mean() > 0.99  # a vote at a tie may fall either way
    if options.get("kernel") == "linear":
        np.testing.assert_allclose(model.coef_, peer.coef_, atol=1e-4)
    else:
        assert not hasattr(model, "coef_")


def dual_of(model, kernel, y):
    """α (n,) and the two-class problem's conditions, of the fitted attributes alone."""
    beta = np.zeros(len(y))
    beta[model.support_] = model.dual_coef_[0]
    values = kernel @ beta + model.intercept_[0]
    return beta, values


@pytest.mark.parametrize("C", [0.1, 1.0, 100.0, 1e5])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_optimality_conditions_hold(C, dtype):
    X, y = problem(classes=2, dtype=dtype)
    model = SVC(C, tol=1e-4, gamma=0.2).fit(X, y)
    kernel = Kernel("rbf", 0.2)(X.astype(np.float64))
    sign = np.where(y == 1, 1.0, -1.0)
    beta, values = dual_of(model, kernel, y)
    alpha, slack = beta * sign, 1e-3 + (2e-6 * C if dtype == np.float32 else 0)
    assert np.all(alpha >= 0) and np.all(alpha <= C) and abs(beta.sum()) < 1e-9 * C * len(y)
    assert np.all(sign * values >= 1 - slack, where=alpha == 0)
    assert np.all(sign * values <= 1 + slack, where=alpha == C)
    assert np.all(np.abs(sign * values - 1) <= slack, where=(alpha > 0) & (alpha < C))
    objective = np.abs(beta).sum() - 0.5 * beta @ kernel @ beta
    primal = 0.5 * beta @ kernel @ beta + C * np.maximum(0, 1 - sign * values).sum()
    assert model.dual_objective_[0] == pytest.approx(objective, rel=1e-5)
    assert model.duality_gap_[0] == pytest.approx(primal - objective, rel=0.05, abs=1e-4 * objective)
    assert -1e-9 * objective <= model.duality_gap_[0] < 1e-4 * C * len(y) and model.violation_[0] <= 1e-4
    assert model.fit_status_ == 0


def test_optimum_equals_that_of_a_general_solver():
    X, y = problem(rows=24, classes=2)
    kernel, sign, C = Kernel("rbf", 0.3)(X), np.where(y == 1, 1.0, -1.0), 2.0
    found = minimize(
        lambda b: 0.5 * b @ kernel @ b - sign @ b,
        np.zeros(24),
        jac=lambda b: kernel @ b - sign,
        bounds=[(0, C) if s > 0 else (-C, 0) for s in sign],
        constraints={"type": "eq", "fun": lambda b: b.sum(), "jac": lambda b: np.ones(24)},
        options={"ftol": 1e-12, "maxiter": 500},
    )
    model = SVC(C, gamma=0.3, tol=1e-8).fit(X, y)
    assert model.dual_objective_[0] == pytest.approx(-found.fun, rel=1e-7)
    np.testing.assert_allclose(dual_of(model, kernel, y)[0], found.x, atol=1e-4)


@given(st.integers(0, 10_000), st.integers(2, 40), st.sampled_from([0.1, 1.0, 50.0]), st.sampled_from([0.0, 0.3]))
@settings(max_examples=30, deadline=None)
def test_dual_ends_within_its_box_without_violation_for_any_rows(seed, rows, C, epsilon):
    random = np.random.default_rng(seed)
    X = np.round(random.normal(size=(rows, 2)), 1)  # rows repeat, with other targets too
    target = random.normal(size=rows) if epsilon else np.where(random.random(rows) < 0.5, 1.0, -1.0)
    low, high = (-C, C) if epsilon else (0, C)
    lower = np.where(target > 0, low, -C)
    upper = np.where(target > 0, high, C if epsilon else 0)
    found = solve(Kernel("rbf", 1.0).points(X), Dual(target, lower, upper, epsilon), tolerance=1e-6, budget=1e-3)
    assert found.violation <= 1e-6 and np.all(found.beta >= lower) and np.all(found.beta <= upper)
    assert abs(found.beta.sum()) < 1e-8 * C * rows
    np.testing.assert_allclose(found.residual, target - Kernel("rbf", 1.0)(X) @ found.beta, atol=1e-8 * C * rows)
    assert -1e-6 <= found.gap <= 1e-4 * (1 + abs(found.objective)) * C * rows


@pytest.mark.parametrize("shrinking", [True, False])
def test_a_cache_of_a_few_rows_changes_nothing_but_time(monkeypatch, shrinking):
    monkeypatch.setattr(kernel_dual, "BATCH", 8)
    X, y = problem(300, classes=2)
    whole = SVC(C=10.0, tol=1e-6).fit(X, y)
    rows = 12
    budget = rows * (300 + 2 * rows) * 8 / 2**20
    points = Kernel("rbf", float(whole.gamma_)).points(X)
    assert kernel_dual.row_limit(points, budget) == rows
    small = SVC(C=10.0, tol=1e-6, cache_size=budget, shrinking=shrinking).fit(X, y)
    assert small.support_.tolist() == whole.support_.tolist()
    np.testing.assert_allclose(small.dual_objective_, whole.dual_objective_, rtol=1e-8)
    np.testing.assert_allclose(small.decision_function(X), whole.decision_function(X), atol=1e-5)


def test_float32_has_the_support_vectors_of_float64():
    X, y = problem(400, classes=3, dtype=np.float32)
    single, double = SVC(C=10.0).fit(X, y), SVC(C=10.0).fit(X.astype(np.float64), y)
    assert len(set(single.support_.tolist()) ^ set(double.support_.tolist())) <= 2
    np.testing.assert_allclose(single.dual_objective_, double.dual_objective_, rtol=1e-4)
    np.testing.assert_allclose(single.decision_function(X), double.decision_function(X), atol=1e-2)
    assert single.support_vectors_.dtype == np.float32


def test_hard_margin_is_the_widest_street_or_an_error():
    X, y = np.array([[0.0, 0.0], [1.0, 0.0], [4.0, 1.0], [5.0, 9.0]]), ["left", "left", "right", "right"]
    model = SVC(np.inf, kernel="linear", tol=1e-8).fit(X, y)
    # Between (1, 0) and (4, 1): w = 2 (3, 1) / 10.
    np.testing.assert_allclose(model.coef_, [[0.6, 0.2]], atol=1e-6)
    assert model.support_.tolist() == [1, 2] and model.duality_gap_[0] == pytest.approx(0, abs=1e-6)
    assert model.decision_function(X[[1, 2]]).tolist() == pytest.approx([-1, 1])
    xor = np.array([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
    with pytest.raises(ValueError, match="C=inf: expected classes that the kernel can separate"):
        SVC(np.inf, kernel="linear").fit(xor, [0, 1, 1, 0])
    assert SVC(np.inf).fit(xor, [0, 1, 1, 0]).score(xor, [0, 1, 1, 0]) == 1
    with pytest.raises(ValueError, match="C=inf"):
        SVC(np.inf).fit([[0.0], [0.0], [1.0]], [0, 1, 1])


def test_one_vs_rest_machines_are_those_of_two_class_fits():
    X, y = problem(classes=4)
    model = SVC(strategy="ovr", tol=1e-6).fit(X, y)
    gamma = float(model.gamma_)
    values = model.decision_function(X)
    for number in range(4):
        peer = sklearn.svm.SVC(tol=1e-6, gamma=gamma).fit(X, y == number)
        np.testing.assert_allclose(values[:, number], peer.decision_function(X), atol=1e-4)
    assert model.predict(X).tolist() == values.argmax(1).tolist()
    assert model.dual_coef_.shape == (4, len(model.support_))


@pytest.mark.parametrize("strategy", ["ovo", "ovr"])
def test_weights_are_repetitions_and_zero_is_absence(strategy):
    X, y = problem(90)
    counts = np.random.default_rng(1).integers(0, 4, 90)
    weighted = SVC(tol=1e-9, strategy=strategy).fit(X, y, counts.astype(float))
    repeated = SVC(tol=1e-9, strategy=strategy).fit(np.repeat(X, counts, axis=0), np.repeat(y, counts))
    np.testing.assert_allclose(weighted.decision_function(X), repeated.decision_function(X), atol=1e-6)
    assert np.all(counts[weighted.support_] > 0)
    peer = sklearn.svm.SVC(tol=1e-6, gamma=0.3, class_weight={0: 2.0}).fit(X, y, counts + 0.5)
    model = SVC(tol=1e-6, gamma=0.3, class_weight={0: 2.0}).fit(X, y, counts + 0.5)
    assert model.support_.tolist() == peer.support_.tolist()


@pytest.mark.parametrize("strategy", ["ovo", "ovr"])
def test_callable_and_precomputed_kernels_equal_the_named_one(strategy):
    X, y = problem()
    named = SVC(gamma=0.3, strategy=strategy, tol=1e-6).fit(X, y)
    kernel = Kernel("rbf", 0.3)
    called = SVC(kernel=lambda a, b: kernel(a, b), strategy=strategy, tol=1e-6).fit(X, y)
    matrix = SVC(kernel="precomputed", strategy=strategy, tol=1e-6).fit(kernel(X), y)
    queries = X[::3] + 0.1
    np.testing.assert_allclose(called.decision_function(queries), named.decision_function(queries), atol=1e-6)
    np.testing.assert_allclose(
        matrix.decision_function(kernel(queries, X)), named.decision_function(queries), atol=1e-6
    )
    assert matrix.support_.tolist() == named.support_.tolist() == called.support_.tolist()
    with pytest.raises(ValueError, match="square"):
        SVC(kernel="precomputed").fit(X, y)


def test_probabilities_are_calibrated_and_as_good_as_the_reference():
    X, y = problem(900)
    train, test = slice(0, 600), slice(600, None)
    for strategy in ("ovo", "ovr"):
        model = SVC(probability=True, strategy=strategy, random_state=0).fit(X[train], y[train])
        found = model.predict_proba(X[test])
        np.testing.assert_allclose(found.sum(1), 1)
        assert np.all(found >= 0)
        peer = CalibratedClassifierCV(sklearn.svm.SVC(), ensemble=False).fit(X[train], y[train])
        assert log_loss(y[test], found) < log_loss(y[test], peer.predict_proba(X[test])) + 0.03
        np.testing.assert_allclose(np.exp(model.predict_log_proba(X[test])), found)
        again = SVC(probability=True, strategy=strategy, random_state=0).fit(X[train], y[train])
        np.testing.assert_array_equal(again.predict_proba(X[test]), found)
    with pytest.raises(AttributeError, match="predict_proba"):
        _ = SVC().fit(X[train], y[train]).predict_proba


@pytest.mark.parametrize("options", [{}, {"kernel": "linear"}, {"C": 50.0, "epsilon": 0.01}, {"epsilon": 0.0}])
@pytest.mark.parametrize("weighted", [True, False])
@pytest.mark.parametrize("sparse", [True, False])
def test_regression_equals_scikit_learn(options, weighted, sparse):
    X, y, weights = curve()
    weights = weights if weighted else None
    arguments = {"gamma": 0.4, "tol": 1e-5} | options
    peer = sklearn.svm.SVR(**arguments).fit(X, y, weights)
    given_X = scipy.sparse.csr_matrix(X) if sparse else X
    model = SVR(**arguments).fit(given_X, y, weights)
    assert len(set(model.support_.tolist()) ^ set(peer.support_.tolist())) <= 1
    np.testing.assert_allclose(model.predict(given_X), peer.predict(X), atol=1e-4)
    np.testing.assert_allclose(model.intercept_, peer.intercept_, atol=1e-3)
    kernel = Kernel("linear" if options.get("kernel") else "rbf", 0.4)(X)
    beta = np.zeros(len(y))
    beta[model.support_] = model.dual_coef_[0]
    objective = y @ beta - arguments.get("epsilon", 0.1) * np.abs(beta).sum() - 0.5 * beta @ kernel @ beta
    assert model.dual_objective_ == pytest.approx(objective, rel=1e-6)
    assert 0 <= model.duality_gap_ + 1e-6 < 1e-2 * abs(objective) + 1e-3


def test_tube_of_a_line_touches_only_its_ends():
    X = np.arange(5.0)[:, None]
    model = SVR(kernel="linear", C=np.inf, epsilon=0.5, tol=1e-8).fit(X, X[:, 0])
    np.testing.assert_allclose(model.coef_, [[0.75]], atol=1e-6)
    assert model.support_.tolist() == [0, 4]
    constant = SVR().fit(X, np.full(5, 3.0))
    assert constant.predict(X).tolist() == [3.0] * 5 and len(constant.support_) == 0


@pytest.mark.parametrize("make", [lambda: SVC(C=5.0), lambda: SVC(C=5.0, strategy="ovr"), lambda: SVR(C=5.0)])
def test_steps_are_published_and_the_objective_rises(make):
    X, y = problem(60)
    recorder = Recorder(most_steps=10_000)
    model = make().set_callbacks(recorder).fit(X, y)
    steps = [step for step in recorder.steps if "alphas_" in step.attributes]
    assert len(steps) > 10
    by_machine = {}
    for step in steps:
        number = step.attributes.get("machine_", 0)
        by_machine.setdefault(number, []).append(np.atleast_1d(step.attributes["dual_objective_"])[-1])
        assert abs(step.attributes["alphas_"].sum()) < 1e-9
    assert all(np.all(np.diff(values) > -1e-9) for values in by_machine.values())
    assert len(by_machine) == len(np.atleast_1d(model.n_iter_))
    quiet = make().fit(X, y)
    np.testing.assert_allclose(quiet.dual_objective_, model.dual_objective_, rtol=1e-3)
    for _, then in list(recorder.fitted(model))[::200]:
        assert len(then.predict(X)) == 60


@pytest.mark.parametrize(
    "make",
    [
        lambda: SVC(),
        lambda: SVC(strategy="ovr", probability=True, random_state=0),
        lambda: SVC(kernel="precomputed"),
        lambda: SVR(kernel="poly", degree=2),
    ],
)
@pytest.mark.parametrize("sparse", [False, True])
def test_saved_and_loaded_equal(make, sparse):
    model = make()
    X, y = problem(80)
    X = X @ X.T if getattr(model, "kernel", "") == "precomputed" else X
    if sparse and model.kernel != "precomputed":
        X = scipy.sparse.csr_matrix(X)
    model.fit(X, y if isinstance(model, SVR) else np.array(["a", "b", "c"])[y])
    value, tensors = estimator_to_state(model)
    loaded = estimator_from_state(value, tensors)
    assert loaded.predict(X).tolist() == model.predict(X).tolist()
    if hasattr(model, "predict_proba"):
        np.testing.assert_array_equal(loaded.predict_proba(X), model.predict_proba(X))
    for name in ("dual_coef_", "intercept_", "n_support_"):
        with pytest.raises(ArtifactError):
            estimator_from_state(value, tensors | {name: tensors[name][..., :-1]})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"C": 0.0}, "C: expected"),
        ({"C": float("nan")}, "C: expected"),
        ({"kernel": "cosine"}, "kernel: expected"),
        ({"gamma": -1.0}, "gamma: expected"),
        ({"gamma": "wide"}, "gamma: expected"),
        ({"tol": 0.0}, "tol > 0"),
        ({"cache_size": 0}, "cache_size > 0"),
        ({"strategy": "all"}, "strategy"),
        ({"class_weight": {0: -1.0}}, "class_weight: expected"),
    ],
)
def test_bad_settings_are_refused_in_one_line(options, message):
    X, y = problem(30)
    with pytest.raises(ValueError, match=message) as error:
        SVC(**options).fit(X, y)
    assert "\n" not in str(error.value)


def test_degenerate_rows_give_an_error_or_a_right_answer():
    X, y = problem(60, classes=2)
    with pytest.raises(ValueError, match="class"):
        SVC().fit(X, np.zeros(60))
    with pytest.raises(ValueError, match=r"NaN|infinity"):
        SVC().fit(np.full((4, 2), np.inf), [0, 1, 0, 1])
    with pytest.raises(ValueError, match="weights"):
        SVC().fit(X, y, np.zeros(60))
    with pytest.raises(ValueError, match="epsilon"):
        SVR(epsilon=-1.0).fit(X, y)
    with pytest.warns(ConvergenceWarning, match="max_iter=2"):
        assert SVC(max_iter=2).fit(X, y).n_iter_.max() <= 2
    two = SVC().fit([[0.0], [1.0]], ["no", "yes"])
    assert two.predict([[0.1], [0.9]]).tolist() == ["no", "yes"]
    clash = SVC().fit([[0.0], [0.0], [1.0], [1.0]], [0, 1, 1, 1])
    assert clash.predict([[1.0]]).tolist() == [1]
    same = SVC().fit(np.ones((4, 2)), [0, 1, 1, 1])
    assert same.predict(np.ones((1, 2))).tolist() == [1]
    assert SVR().fit([[1.0]], [2.0]).predict([[5.0]]).tolist() == [2.0]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("scale", [1e-12, 1e-3, 1e12])
def test_scale_of_the_columns_does_not_matter_with_gamma_scale(dtype, scale):
    X, y = problem(100, dtype=dtype)
    plain, scaled = SVC().fit(X, y), SVC().fit((X * scale).astype(dtype), y)
    agree = plain.predict(X) == scaled.predict((X * scale).astype(dtype))
    assert agree.mean() > 0.98
    np.testing.assert_allclose(scaled.dual_objective_, plain.dual_objective_, rtol=1e-3)
