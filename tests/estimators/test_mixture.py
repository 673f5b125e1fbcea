"""Gaussian mixtures against scikit-learn from the same start; both forms of the pass; anomalies; samples."""

import itertools
import json

import numpy as np
import pytest
import scipy.stats
import sklearn.mixture
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.callback import ProgressBar
from sklearn.datasets import make_blobs
from sklearn.utils.estimator_checks import parametrize_with_checks

from gradatim.estimators import expectation
from gradatim.estimators.mixture import KINDS, GaussianMixture
from gradatim.estimators.recording import Recorder
from gradatim.estimators.state import estimator_from_state, estimator_to_state

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
RANDOM = np.random.default_rng(0)


@parametrize_with_checks([GaussianMixture(covariance_type=kind) for kind in KINDS if kind != "full"])
def test_mixtures_follow_the_conventions(estimator, check):
    check(estimator)


def problem(rows=1200, columns=4, clusters=3, seed=0):
    X = make_blobs(rows, columns, centers=clusters, cluster_std=2.0, random_state=seed)[0]
    X = X @ (np.eye(columns) + 0.4 * np.random.default_rng(seed).normal(size=(columns, columns)))
    precision = 1 / X.var(0).mean()
    precisions = {
        "full": np.stack([np.eye(columns) * precision] * clusters), "tied": np.eye(columns) * precision,
        "diag": np.full((clusters, columns), precision), "spherical": np.full(clusters, precision),
    }  # fmt: skip
    start = {"means_init": X[:clusters].copy(), "weights_init": np.full(clusters, 1 / clusters)}
    return X, {kind: start | {"precisions_init": value} for kind, value in precisions.items()}


def assert_equal(ours, peer, X, rtol=1e-7):
    for name in ("weights_", "means_", "covariances_", "precisions_", "precisions_cholesky_"):
        np.testing.assert_allclose(getattr(ours, name), getattr(peer, name), rtol=rtol, atol=rtol)
    assert ours.lower_bound_ == pytest.approx(peer.lower_bound_, rel=rtol)
    assert (ours.n_iter_, ours.converged_) == (peer.n_iter_, peer.converged_)
    np.testing.assert_allclose(ours.score_samples(X), peer.score_samples(X), rtol=rtol)
    np.testing.assert_allclose(ours.predict_proba(X), peer.predict_proba(X), atol=rtol)
    np.testing.assert_array_equal(ours.predict(X), peer.predict(X))
    assert ours.bic(X) == pytest.approx(peer.bic(X), rel=rtol)
    assert ours.aic(X) == pytest.approx(peer.aic(X), rel=rtol)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("form", ["quadratic", "direct"])
@pytest.mark.parametrize("options", [{"max_iter": 7, "tol": 0}, {"tol": 1e-4}, {"reg_covar": 0.5, "max_iter": 5}])
def test_same_start_gives_the_mixture_of_scikit_learn(kind, form, options, monkeypatch):
    if form == "direct":
        monkeypatch.setattr(expectation, "LARGEST_ERROR", 0.0)
    X, starts = problem()
    arguments = {"n_components": 3, "covariance_type": kind, **starts[kind], **options}
    ours, peer = GaussianMixture(**arguments).fit(X), sklearn.mixture.GaussianMixture(**arguments).fit(X)
    assert_equal(ours, peer, X)


def test_many_columns_take_the_direct_form_and_equal_scikit_learn():
    X, starts = problem(500, 50, 2)
    arguments = {"n_components": 2, "max_iter": 5, **starts["full"]}
    ours, peer = GaussianMixture(**arguments).fit(X), sklearn.mixture.GaussianMixture(**arguments).fit(X)
    assert_equal(ours, peer, X, rtol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_narrow_components_far_apart_are_exact(kind):
    X = np.vstack([RANDOM.normal(size=(300, 2)) * 1e-4, RANDOM.normal(size=(300, 2)) * 1e-4 + 1e3])
    arguments = {"n_components": 2, "covariance_type": kind, "means_init": [[0, 0], [1e3, 1e3]], "reg_covar": 0}
    model = GaussianMixture(**arguments).fit(X)
    # scikit-learn's covariances cancel here for all but "full"; the shares are 0 and 1, so that the answer is known.
    whole = np.stack([np.cov(part.T, bias=True) for part in (X[:300], X[300:])])
    diagonals = np.diagonal(whole, axis1=1, axis2=2)
    expected = {"full": whole, "tied": whole.mean(0), "diag": diagonals, "spherical": diagonals.mean(1)}[kind]
    np.testing.assert_allclose(model.covariances_, expected, rtol=1e-6, atol=1e-15)
    assert model.lower_bound_ == pytest.approx(model.score(X), rel=1e-9)


@settings(max_examples=25, deadline=None)
@given(
    st.sampled_from(KINDS), st.integers(1, 4), st.integers(1, 5), st.sampled_from(["kmeans", "random"]),
    st.integers(0, 10**6),
)  # fmt: skip
def test_likelihood_never_falls(kind, columns, clusters, start, seed):
    random = np.random.default_rng(seed)
    X = random.normal(size=(80, columns)) * np.exp(random.normal(size=columns) * 2) + 5 * random.normal(size=columns)
    X[:20] += 3
    weights = random.random(80)
    model = GaussianMixture(
        clusters, covariance_type=kind, tol=0, max_iter=25, reg_covar=0, init_params=start, random_state=seed
    )
    try:
        model.fit(X, sample_weight=weights)
    except ValueError as error:
        assert "ill-defined" in str(error)  # a component collapsed onto a row: its likelihood is infinite
        return
    assert all(later >= earlier - 1e-8 for earlier, later in itertools.pairwise(model.lower_bounds_))


@pytest.mark.parametrize("kind", KINDS)
def test_a_weight_of_two_is_a_row_twice(kind):
    X, starts = problem(300)
    twice = RANDOM.random(300) < 0.3
    arguments = {"n_components": 3, "covariance_type": kind, "max_iter": 10, "tol": 0, **starts[kind]}
    weighted = GaussianMixture(**arguments).fit(X, sample_weight=np.where(twice, 2.0, 1.0))
    repeated = GaussianMixture(**arguments).fit(np.vstack([X, X[twice]]))
    np.testing.assert_allclose(weighted.covariances_, repeated.covariances_, rtol=1e-8, atol=1e-10)
    np.testing.assert_allclose(weighted.weights_, repeated.weights_)
    assert weighted.lower_bound_ == pytest.approx(repeated.lower_bound_)


def test_one_component_is_the_maximum_likelihood_gaussian():
    X = RANDOM.normal(size=(200, 3)) @ RANDOM.normal(size=(3, 3))
    model = GaussianMixture(reg_covar=0).fit(X)
    np.testing.assert_allclose(model.means_[0], X.mean(0))
    np.testing.assert_allclose(model.covariances_[0], np.cov(X.T, bias=True))
    expected = scipy.stats.multivariate_normal(X.mean(0), np.cov(X.T, bias=True)).logpdf(X)
    np.testing.assert_allclose(model.score_samples(X), expected)
    tied = GaussianMixture(2, covariance_type="tied", random_state=0).fit(X)
    assert tied.covariances_.shape == (3, 3)


@pytest.mark.parametrize("start", ["kmeans", "k-means++", "random", "random_from_data"])
@pytest.mark.parametrize("kind", KINDS)
def test_starts_find_blobs(start, kind):
    X, labels = make_blobs(600, 3, centers=3, cluster_std=0.6, random_state=2)
    model = GaussianMixture(3, covariance_type=kind, init_params=start, n_init=6, max_iter=300, random_state=0)
    found = model.fit_predict(X)
    np.testing.assert_array_equal(found, model.predict(X))
    best = max((found == np.array(order)[labels]).mean() for order in itertools.permutations(range(3)))
    if start != "random":
        assert best > 0.99


def test_float32_stays_float32_near_the_exact_answer():
    X, starts = problem()
    for kind in KINDS:
        arguments = {"n_components": 3, "covariance_type": kind, "max_iter": 10, **starts[kind]}
        single, exact = GaussianMixture(**arguments).fit(X.astype(np.float32)), GaussianMixture(**arguments).fit(X)
        assert single.means_.dtype == single.precisions_cholesky_.dtype == np.float32
        np.testing.assert_allclose(single.means_, exact.means_, rtol=1e-3, atol=1e-3)
        assert single.lower_bound_ == pytest.approx(exact.lower_bound_, rel=1e-5)


def test_planted_anomalies_are_ranked_first():
    X = make_blobs(2000, 5, centers=4, random_state=3)[0]
    low, high = X.min(0), X.max(0)
    planted = RANDOM.uniform(low - 4, high + 4, (400, 5))
    planted = planted[((planted[:, None] - X) ** 2).sum(2).min(1) > 16][:25]
    model = GaussianMixture(4, random_state=0).fit(np.vstack([X, planted]), sample_weight=None)
    scores = model.score_samples(np.vstack([X, planted]))
    assert set(np.argsort(scores)[:25]) == set(range(2000, 2025))


@pytest.mark.parametrize("kind", KINDS)
def test_samples_have_the_moments_of_the_mixture(kind):
    X, starts = problem(400, 3, 2)
    model = GaussianMixture(2, covariance_type=kind, **starts[kind], random_state=0).fit(X)
    drawn, labels = model.sample(60_000)
    for place in range(2):
        mine = drawn[labels == place]
        covariance = {"full": model.covariances_[place % len(model.covariances_)], "tied": model.covariances_}.get(kind)
        if covariance is None:
            covariance = np.eye(3) * model.covariances_[place]
        assert len(mine) / 60_000 == pytest.approx(model.weights_[place], abs=0.01)
        np.testing.assert_allclose(mine.mean(0), model.means_[place], atol=0.05 * np.sqrt(np.trace(covariance)))
        np.testing.assert_allclose(np.cov(mine.T), covariance, atol=0.05 * np.trace(covariance))


def test_bic_finds_the_number_of_components():
    X = make_blobs(900, 2, centers=[[0, 0], [6, 0], [0, 6]], random_state=4)[0]
    scores = [GaussianMixture(k, random_state=0).fit(X).bic(X) for k in range(1, 6)]
    assert int(np.argmin(scores)) + 1 == 3


@pytest.mark.parametrize("kind", KINDS)
def test_saved_and_loaded_equal(kind):
    X = RANDOM.normal(size=(150, 3))
    model = GaussianMixture(2, covariance_type=kind, random_state=0).fit(X)
    value, arrays = estimator_to_state(model)
    again = estimator_from_state(json.loads(json.dumps(value)), arrays)
    np.testing.assert_array_equal(again.score_samples(X), model.score_samples(X))
    assert again.lower_bounds_ == model.lower_bounds_


def test_callbacks_see_every_step_and_may_stop():
    X, _ = problem()
    recorder = Recorder()
    model = GaussianMixture(3, random_state=0, tol=1e-6).set_callbacks(recorder, ProgressBar()).fit(X)
    steps = [step.attributes for step in recorder.steps if step.path[-1][0] == "iteration"]
    assert len(steps) == model.n_iter_
    assert [step["lower_bound_"] for step in steps] == model.lower_bounds_
    assert {"weights_", "means_", "covariances_", "precisions_cholesky_"} <= set(steps[0])
    np.testing.assert_array_equal(steps[-1]["means_"], model.means_)


def test_warm_start_goes_on():
    X, _ = problem()
    whole = GaussianMixture(3, random_state=0, max_iter=10, tol=0).fit(X)
    parts = GaussianMixture(3, random_state=0, max_iter=5, tol=0, warm_start=True).fit(X).fit(X)
    np.testing.assert_allclose(parts.means_, whole.means_, rtol=1e-9)


@pytest.mark.parametrize("scale", [1e-20, 1e-3, 1e3, 1e20])
def test_scaled_rows_give_the_scaled_mixture(scale):
    X, _ = problem(400)
    arguments = {"n_components": 3, "reg_covar": 0, "max_iter": 10, "init_params": "kmeans", "random_state": 0}
    plain, scaled = GaussianMixture(**arguments).fit(X), GaussianMixture(**arguments).fit(X * scale)
    np.testing.assert_allclose(scaled.means_ / scale, plain.means_, rtol=1e-6)
    np.testing.assert_allclose(scaled.covariances_ / scale**2, plain.covariances_, rtol=1e-6, atol=1e-8)


def test_degenerate_rows():
    constant = np.c_[np.ones(50), RANDOM.normal(size=50)]
    for kind in KINDS:
        assert np.isfinite(GaussianMixture(2, covariance_type=kind, random_state=0).fit(constant).lower_bound_)
        assert np.isfinite(GaussianMixture(3, covariance_type=kind, random_state=0).fit(np.ones((10, 2))).lower_bound_)
    with pytest.raises(ValueError, match="ill-defined empirical covariance"):
        GaussianMixture(reg_covar=0).fit(constant)
    cases = [
        ({"n_components": 60}, "n_samples >= n_components"), ({"covariance_type": "round"}, "covariance_type: expe"),
        ({"init_params": "best"}, "init_params: expected"), ({"tol": -1}, "tol: expected"),
        ({"means_init": [[1.0]]}, "means_init: expected"), ({"weights_init": [0.5]}, "weights_init: expected"),
        ({"precisions_init": [[[1.0, 2.0], [2.0, 1.0]]]}, "positive definite"),
    ]  # fmt: skip
    for options, text in cases:
        with pytest.raises(ValueError, match=text):
            GaussianMixture(**options).fit(constant)
