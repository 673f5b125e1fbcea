"""LinearSVC against LIBLINEAR, its optimality conditions, and each solver against the others."""

import numpy as np
import pytest
import scipy.sparse
import sklearn.svm
from sklearn.datasets import make_classification
from sklearn.exceptions import ConvergenceWarning

from gradatim.errors import ArtifactError
from gradatim.estimators.linear_newton import newton
from gradatim.estimators.recording import Recorder
from gradatim.estimators.state import estimator_from_state, estimator_to_state
from gradatim.estimators.svm import LinearSVC


def problem(rows=200, columns=8, classes=3, dtype=np.float64):
    X, y = make_classification(
        rows, columns, n_informative=5, n_classes=classes, flip_y=0.1, class_sep=0.7, random_state=0
    )
    X[np.abs(X) < 0.2] = 0
    return X.astype(dtype), y


@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("options", [{"solver": "newton"}, {"solver": "dual"}, {"solver": "dual", "loss": "hinge"}])
@pytest.mark.parametrize("more", [{}, {"fit_intercept": False}, {"class_weight": "balanced", "intercept_scaling": 3.0}])
def test_weights_equal_scikit_learn(sparse, classes, options, more):
    X, y = problem(classes=classes)
    weights = np.random.default_rng(0).random(len(y)) + 0.1
    settings = {"C": 0.3, "max_iter": 50_000} | options | more
    tight = LinearSVC(tol=1e-9, random_state=0, **settings)
    tight.fit(scipy.sparse.csr_matrix(X) if sparse else X, y, weights)
    # LIBLINEAR weighs only the positive class of each machine by class_weight; here, as documented there, every row's.
    counts = np.bincount(y, weights)
    balance = (counts.sum() / (len(counts) * counts))[y] if "class_weight" in more else 1.0
    settings = {key: value for key, value in settings.items() if key not in ("solver", "class_weight")}
    peer = sklearn.svm.LinearSVC(dual=True, tol=1e-7, random_state=0, **settings).fit(X, y, weights * balance)
    np.testing.assert_allclose(tight.coef_, peer.coef_, atol=2e-5)
    np.testing.assert_allclose(tight.intercept_, peer.intercept_, atol=2e-5)
    np.testing.assert_allclose(tight.decision_function(X), peer.decision_function(X), atol=1e-4)
    assert np.all(tight.duality_gap_ <= 1e-6 * tight.objective_) and np.all(tight.duality_gap_ >= -1e-9)


@pytest.mark.parametrize("loss", ["hinge", "squared_hinge"])
@pytest.mark.parametrize("sparse", [False, True])
def test_stochastic_descent_comes_near_the_optimum(loss, sparse):
    X, y = problem(600)
    given = scipy.sparse.csr_matrix(X) if sparse else X
    best = LinearSVC(0.1, loss=loss, solver="dual", tol=1e-6, max_iter=20_000, random_state=0).fit(X, y)
    found = LinearSVC(0.1, loss=loss, solver="sgd", tol=1e-6, max_iter=300, random_state=0).fit(given, y)
    assert np.all(found.objective_ >= best.objective_ - 1e-9)
    np.testing.assert_allclose(found.objective_, best.objective_, rtol=0.02)
    assert np.all(np.isinf(found.duality_gap_))


@pytest.mark.parametrize("C", [1e-3, 1.0, 1e4])
def test_newton_ends_in_a_few_steps_at_a_gradient_of_zero(C):
    X, y = problem(classes=2)
    sign = np.where(y == 1, 1.0, -1.0)
    found = newton(X, sign, np.full(len(y), C), constant=1.0, tolerance=1e-12, epochs=50)
    assert found.ending == "converged" and found.epochs <= 15
    full = np.column_stack([X, np.ones(len(X))])
    short = np.maximum(1 - sign * (full @ found.weights), 0)
    gradient = found.weights - full.T @ (2 * C * short * sign)
    assert np.abs(gradient).max() < 1e-6 * max(1, C)
    at_zero = newton(np.zeros((4, 2)), np.array([1.0, -1, 1, -1]), np.ones(4), constant=0.0, tolerance=1e-9, epochs=9)
    assert at_zero.weights.tolist() == [0, 0, 0]


def test_auto_is_newton_where_it_applies():
    X, y = problem(classes=2)
    assert LinearSVC().fit(X, y).n_iter_ <= 15
    assert LinearSVC(0.01, loss="hinge", random_state=0).fit(X, y).score(X, y) > 0.6
    wide = np.hstack([X, np.zeros((len(X), 300))])
    assert LinearSVC(0.01, random_state=0).fit(wide, y).n_iter_ > 15


def test_float32_stays_float32_near_the_exact_answer():
    X, y = problem(dtype=np.float32)
    single, double = LinearSVC(0.1).fit(X, y), LinearSVC(0.1, tol=1e-10).fit(X.astype(np.float64), y)
    assert single.coef_.dtype == np.float32 and single.decision_function(X).dtype == np.float32
    np.testing.assert_allclose(single.coef_, double.coef_, atol=5e-3)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("solver", ["newton", "dual", "sgd"])
def test_epochs_are_published(solver):
    X, y = problem()
    recorder = Recorder(most_steps=10_000)
    model = LinearSVC(0.1, solver=solver, max_iter=30, tol=1e-3, random_state=0).set_callbacks(recorder).fit(X, y)
    steps = [step for step in recorder.steps if step.path[-1][0] == "iteration"]
    assert len(steps) >= 3 and steps[-1].attributes["coef_"].shape == model.coef_.shape
    last = [step for step in steps if step.path[1][1] == 0][-1].attributes
    np.testing.assert_allclose(last["coef_"][0], model.coef_[0], atol=1e-6)
    quiet = LinearSVC(0.1, solver=solver, max_iter=30, tol=1e-3, random_state=0).fit(X, y)
    np.testing.assert_array_equal(quiet.coef_, model.coef_)


def test_saved_and_loaded_equal():
    X, y = problem()
    model = LinearSVC().fit(X, np.array(["a", "b", "c"])[y])
    value, tensors = estimator_to_state(model)
    loaded = estimator_from_state(value, tensors)
    assert loaded.predict(X).tolist() == model.predict(X).tolist()
    for name in ("coef_", "intercept_"):
        with pytest.raises(ArtifactError):
            estimator_from_state(value, tensors | {name: tensors[name][1:]})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"C": -1.0}, "C: expected"),
        ({"C": np.inf}, "C: expected a finite"),
        ({"loss": "logistic"}, "loss, solver: expected"),
        ({"solver": "newton", "loss": "hinge"}, "solver='newton'"),
        ({"tol": 0.0}, "tol > 0"),
        ({"intercept_scaling": 0.0}, "intercept_scaling: expected"),
    ],
)
def test_bad_settings_are_refused_in_one_line(options, message):
    X, y = problem(30)
    with pytest.raises(ValueError, match=message) as error:
        LinearSVC(**options).fit(X, y)
    assert "\n" not in str(error.value)


def test_degenerate_rows_give_an_error_or_a_right_answer():
    X, y = problem()
    with pytest.warns(ConvergenceWarning, match="max_iter=1"):
        LinearSVC(solver="dual", max_iter=1).fit(X, y)
    with pytest.raises(ValueError, match="class"):
        LinearSVC().fit(X, np.ones(len(X)))
    for solver in ("newton", "dual", "sgd"):
        constant = LinearSVC(solver=solver, random_state=0, max_iter=5000).fit(np.zeros((6, 2)), [0, 1, 1, 1, 1, 1])
        assert constant.predict(np.zeros((1, 2))).tolist() == [1], solver
        bare = LinearSVC(solver=solver, fit_intercept=False, random_state=0).fit(np.zeros((4, 1)), [0, 1, 0, 1])
        assert bare.coef_.tolist() == [[0.0]], solver
