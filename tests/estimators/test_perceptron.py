"""Perceptron against the rule written out, the convergence theorem and scikit-learn."""

import numpy as np
import pytest
import scipy.sparse
import sklearn.linear_model
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils.estimator_checks import parametrize_with_checks

from gradatim.errors import ArtifactError
from gradatim.estimators.perceptron import Perceptron
from gradatim.estimators.recording import Recorder
from gradatim.estimators.state import estimator_from_state, estimator_to_state

CORNERS = np.array([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
TABLES = {"and": [0, 0, 0, 1], "or": [0, 1, 1, 1], "nand": [1, 1, 1, 0]}
XOR = [0, 1, 1, 0]


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@parametrize_with_checks(
    [
        Perceptron(averaged=True, shuffle=True, random_state=0),
        Perceptron(kernel="rbf"),
        Perceptron(kernel="poly", degree=2, coef0=1.0, averaged=True),
    ]
)
def test_perceptron_follows_the_conventions(estimator, check):
    check(estimator)


def by_the_book(X, target, passes, rate=1.0, intercept=True, kernel=None):
    """(weights or counts, intercept, updates, mean weights, mean intercept), with copies of everything."""
    features = X if kernel is None else kernel(X)
    weights, shift, updates = np.zeros(features.shape[1]), 0.0, 0
    path = []
    for _ in range(passes):
        mistakes = 0
        for row in range(len(X)):
            if target[row] * (features[row] @ weights + shift) <= 0:
                if kernel is None:
                    weights = weights + rate * target[row] * X[row]
                else:
                    weights = weights + rate * target[row] * (np.arange(len(X)) == row)
                shift += rate * target[row] * intercept
                mistakes += 1
            path.append(np.append(weights, shift))
        updates += mistakes
        if not mistakes:
            break
    mean = np.mean(path, axis=0)
    return weights, shift, updates, mean[:-1], mean[-1]


def separable(rows=60, columns=4, seed=0, gap=0.2):
    random = np.random.default_rng(seed)
    X = random.normal(size=(rows * 3, columns))
    values = X @ random.normal(size=columns) + 0.5
    kept = np.flatnonzero(np.abs(values) > gap)[:rows]
    return X[kept], (values[kept] > 0).astype(int)


@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize("fit_intercept", [True, False])
def test_weights_are_those_of_the_rule(sparse, fit_intercept):
    X, y = separable(gap=0.05)
    weights, shift, updates, mean, mean_shift = by_the_book(X, 2 * y - 1, 3, 0.5, fit_intercept)
    given_X = scipy.sparse.csr_matrix(X) if sparse else X
    settings = {"eta0": 0.5, "max_iter": 3, "fit_intercept": fit_intercept, "bound": False}
    with pytest.warns(ConvergenceWarning):
        model = Perceptron(**settings).fit(given_X, y)
    np.testing.assert_allclose(model.coef_[0], weights, rtol=1e-12)
    assert model.intercept_[0] == pytest.approx(shift) and model.n_updates_.tolist() == [updates]
    with pytest.warns(ConvergenceWarning):
        averaged = Perceptron(averaged=True, **settings).fit(given_X, y)
    np.testing.assert_allclose(averaged.coef_[0], mean, rtol=1e-10)
    assert averaged.intercept_[0] == pytest.approx(mean_shift)


def test_weights_equal_scikit_learn():
    X, y = separable()
    peer = sklearn.linear_model.Perceptron(shuffle=False, tol=None, max_iter=200).fit(X, y)
    model = Perceptron(max_iter=200).fit(X, y)
    np.testing.assert_allclose(model.coef_, peer.coef_, rtol=1e-10)
    np.testing.assert_allclose(model.intercept_, peer.intercept_)


def test_kernel_counts_are_those_of_the_rule_and_linear_ones_agree():
    X, y = separable()
    counts, shift, updates, mean, _ = by_the_book(X, 2 * y - 1, 5, kernel=lambda rows: (rows @ rows.T + 1) ** 2)
    settings = {"kernel": "poly", "gamma": 1.0, "degree": 2, "coef0": 1.0, "max_iter": 5, "bound": False}
    model = Perceptron(**settings).fit(X, y)
    found = np.zeros(len(X))
    found[model.support_] = model.dual_coef_[0]
    np.testing.assert_allclose(found, counts)
    assert model.n_updates_[0] == updates and model.intercept_[0] == pytest.approx(shift)
    averaged = Perceptron(averaged=True, cache_size=1e-9, **settings).fit(X, y)
    found[:] = 0
    found[averaged.support_] = averaged.dual_coef_[0]
    np.testing.assert_allclose(found, mean, atol=1e-12)
    primal = Perceptron(max_iter=200).fit(X, y)
    dual = Perceptron(kernel=lambda a, b: a @ b.T, max_iter=200).fit(X, y)
    np.testing.assert_allclose(dual.decision_function(X), primal.decision_function(X), atol=1e-9)
    assert dual.n_updates_[0] == primal.n_updates_[0]


@given(st.integers(0, 10_000), st.integers(2, 30), st.integers(1, 4), st.floats(0.02, 1.0))
@settings(max_examples=40, deadline=None)
def test_updates_never_exceed_the_bound_on_separable_rows(seed, rows, columns, gap):
    X, y = separable(rows, columns, seed, gap)
    assume(len(set(y)) == 2)
    model = Perceptron(max_iter=100_000).fit(X, y)
    assert model.separable_ == ["yes"] and model.score(X, y) == 1
    assert 1 <= model.n_updates_[0] <= model.update_bound_[0] < np.inf


def test_bound_is_the_formula_at_the_widest_street():
    X, y = np.array([[-2.0], [-1.0], [3.0], [4.0]]), [0, 0, 1, 1]
    model = Perceptron().fit(X, y)
    # w* = 1, b* = −1, ρ = 2, r = 4.
    assert model.margin_[0] == pytest.approx(2, rel=1e-4)
    assert model.update_bound_[0] == pytest.approx((1 + 1) * (16 + 1) / 4, rel=1e-3)
    through = Perceptron(fit_intercept=False).fit(np.array([[-2.0], [-1.0], [1.0], [4.0]]), y)
    assert through.margin_[0] == pytest.approx(1, rel=1e-4)
    assert through.update_bound_[0] == pytest.approx(16, rel=1e-3)
    kernel = Perceptron(kernel="rbf", gamma=0.5).fit(X, y)
    assert kernel.n_updates_[0] <= kernel.update_bound_[0] < np.inf


@pytest.mark.parametrize("table", TABLES)
def test_and_or_nand_are_learned(table):
    model = Perceptron().fit(CORNERS, TABLES[table])
    assert model.predict(CORNERS).tolist() == TABLES[table]
    assert model.separable_ == ["yes"] and "no mistake" in model.evidence_[0]
    assert model.n_updates_[0] <= model.update_bound_[0]


def test_xor_needs_the_product_feature():
    flat = Perceptron().fit(CORNERS, XOR)
    assert flat.separable_ == ["no"] and "linear programme" in flat.evidence_[0]
    assert flat.update_bound_[0] == np.inf and flat.n_iter_ == 1000
    product = Perceptron().fit(np.column_stack([CORNERS, CORNERS.prod(1)]), XOR)
    assert product.separable_ == ["yes"] and product.n_updates_[0] <= product.update_bound_[0]
    kernel = Perceptron(kernel="poly", degree=2, gamma=1.0, coef0=1.0).fit(CORNERS, XOR)
    assert kernel.predict(CORNERS).tolist() == XOR and kernel.separable_ == ["yes"]


def test_duplicates_with_two_labels_are_not_separable_under_any_kernel():
    X, y = np.array([[0.0], [1.0], [1.0], [2.0]]), [0, 0, 1, 1]
    for kernel in ("linear", "rbf"):
        model = Perceptron(kernel=kernel, max_iter=50).fit(X, y)
        assert model.separable_ == ["no"], kernel


def test_slow_but_separable_rows_are_told_from_inseparable_ones():
    X, y = separable(80, 3, gap=0.005)
    with pytest.warns(ConvergenceWarning, match="separable: yes"):
        model = Perceptron(max_iter=1).fit(X, y)
    assert model.update_bound_[0] < np.inf
    with pytest.warns(ConvergenceWarning, match="separable: unknown"):
        Perceptron(max_iter=1, bound=False).fit(X, y)


def test_many_classes_are_a_machine_each_and_labels_may_be_words():
    random = np.random.default_rng(0)
    centres = np.array([[0.0, 6.0], [6.0, 0.0], [-6.0, -6.0]])
    numbers = random.integers(0, 3, 90)
    X, y = centres[numbers] + random.normal(size=(90, 2)), np.array(["cat", "dog", "bus"])[numbers]
    model = Perceptron().fit(X, y)
    assert model.score(X, y) == 1 and model.coef_.shape == (3, 2)
    assert len(model.separable_) == len(model.update_bound_) == 3
    assert np.all(model.n_updates_ <= model.update_bound_)


@pytest.mark.parametrize("kernel", ["linear", "rbf"])
def test_every_update_is_published(kernel):
    X, y = separable()
    recorder = Recorder(most_steps=100_000)
    model = Perceptron(kernel=kernel, max_iter=200).set_callbacks(recorder).fit(X, y)
    updates = [step for step in recorder.steps if step.path[-1][0] == "update"]
    assert len(updates) == model.n_updates_[0]
    assert [step.attributes["n_updates_"][0] for step in updates] == list(range(1, len(updates) + 1))
    quiet = Perceptron(kernel=kernel, max_iter=200).fit(X, y)
    np.testing.assert_array_equal(quiet.decision_function(X), model.decision_function(X))
    _, then = next(iter(recorder.fitted(model)))
    assert np.isfinite(then.decision_function(X)).all()


@pytest.mark.parametrize("options", [{}, {"kernel": "rbf", "averaged": True}])
@pytest.mark.parametrize("words", [True, False])
def test_saved_and_loaded_equal(options, words):
    X, y = separable()
    y = np.where(y, "yes", "no") if words else y
    model = Perceptron(**options).fit(X, y)
    value, tensors = estimator_to_state(model)
    loaded = estimator_from_state(value, tensors)
    assert loaded.predict(X).tolist() == model.predict(X).tolist()
    np.testing.assert_array_equal(loaded.decision_function(X), model.decision_function(X))
    name = "coef_" if not options else "dual_coef_"
    with pytest.raises(ArtifactError):
        estimator_from_state(value, tensors | {name: tensors[name][:, :-1]})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"eta0": 0.0}, "eta0: expected"),
        ({"max_iter": 0}, "max_iter: expected"),
        ({"bound": "maybe"}, "bound: expected"),
        ({"kernel": "precomputed"}, "kernel: expected"),
        ({"kernel": "cosine"}, "kernel: expected"),
        ({"kernel": "rbf", "gamma": "wide"}, "gamma: expected"),
    ],
)
def test_bad_settings_are_refused_in_one_line(options, message):
    X, y = separable()
    with pytest.raises(ValueError, match=message):
        Perceptron(**options).fit(X, y)


def test_degenerate_rows_give_an_error_or_a_right_answer():
    X, y = separable()
    with pytest.raises(ValueError, match="class"):
        Perceptron().fit(X, np.zeros(len(X)))
    with pytest.raises(ValueError, match=r"NaN|infinity"):
        Perceptron().fit(np.full((4, 2), np.nan), [0, 1, 0, 1])
    for scale in (1e-8, 1e8):
        assert Perceptron(max_iter=20_000, fit_intercept=False).fit(X * scale, y).coef_.shape == (1, 4)
    constant = np.column_stack([X, np.full(len(X), 3.0)])
    assert Perceptron(max_iter=5000).fit(constant, y).score(constant, y) == 1
