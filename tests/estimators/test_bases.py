"""Basis expansions against scikit-learn and their formulas; curves fitted on them."""

import numpy as np
import pytest
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import PolynomialFeatures
from sklearn.utils.estimator_checks import parametrize_with_checks

from gradatim.estimators.bases import GaussianBasis, PolynomialBasis, SigmoidBasis
from gradatim.estimators.linear import LinearRegression
from gradatim.estimators.state import estimator_from_state, estimator_to_state

X = np.random.default_rng(0).normal(size=(30, 3))


@parametrize_with_checks(
    [
        PolynomialBasis(3, interactions=True, include_bias=True),
        GaussianBasis([0.0, 1.0], width=0.5),
        SigmoidBasis(3),
    ]
)
def test_they_follow_the_conventions(estimator, check):
    check(estimator)


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("degree", [1, 2, 4])
def test_interactions_equal_polynomial_features(degree, bias):
    peer = PolynomialFeatures(degree, include_bias=bias).fit(X)
    model = PolynomialBasis(degree, interactions=True, include_bias=bias).fit(X)
    np.testing.assert_allclose(model.transform(X), peer.transform(X), rtol=1e-12)
    assert list(model.get_feature_names_out()) == list(peer.get_feature_names_out())
    assert model.transform(X.astype(np.float32)).dtype == np.float32


def test_powers_of_one_column_are_those_of_vandermonde():
    column = X[:, :1]
    np.testing.assert_allclose(
        PolynomialBasis(5).fit_transform(column), np.vander(column[:, 0], 6, increasing=True)[:, 1:]
    )


def test_bumps_and_steps_follow_their_formulas():
    places, width = np.array([-1.0, 0.5, 2.0]), 0.7
    bumps = GaussianBasis(places, width=width).fit_transform(X).reshape(30, 3, 3)
    steps = SigmoidBasis(places, width=width).fit_transform(X).reshape(30, 3, 3)
    for row, column, place in [(0, 0, 0), (7, 1, 2), (29, 2, 1)]:
        distance = X[row, column] - places[place]
        assert bumps[row, column, place] == pytest.approx(np.exp(-(distance**2) / (2 * width**2)))
        assert steps[row, column, place] == pytest.approx(1 / (1 + np.exp(-distance / width)))


def test_centres_are_spread_over_the_training_range():
    model = GaussianBasis(5).fit([[0.0, 3.0], [8.0, 3.0]])
    assert model.centres_[:, 0].tolist() == [0, 2, 4, 6, 8] and model.widths_.tolist() == [2, 1]
    assert model.get_feature_names_out(["a", "b"])[:2].tolist() == ["gaussian(a, 0)", "gaussian(a, 1)"]
    assert GaussianBasis(1).fit([[0.0], [8.0]]).centres_.tolist() == [[4.0]]
    huge = GaussianBasis(3).fit([[-1e308], [1e308]])
    assert np.isfinite(huge.centres_).all() and np.isfinite(huge.transform([[-1e308], [0.0]])).all()
    assert np.isfinite(SigmoidBasis(3).fit_transform([[-1e308], [1e308], [0.0]])).all()


def test_a_cubic_is_found_exactly_and_a_sine_nearly():
    x = np.linspace(-2, 2, 40)[:, None]
    cubic = make_pipeline(PolynomialBasis(3), LinearRegression()).fit(x, 2 * x[:, 0] ** 3 - x[:, 0] + 5)
    np.testing.assert_allclose(cubic[-1].coef_, [-1, 0, 2], atol=1e-10)
    for basis in (GaussianBasis(10), SigmoidBasis(10)):
        assert (
            make_pipeline(basis, LinearRegression()).fit(x, np.sin(3 * x[:, 0])).score(x, np.sin(3 * x[:, 0])) > 0.999
        )


@pytest.mark.parametrize("model", [PolynomialBasis(3, interactions=True), GaussianBasis(4), SigmoidBasis(2)], ids=str)
def test_state_survives(model):
    model.fit(X)
    again = estimator_from_state(*estimator_to_state(model))
    np.testing.assert_array_equal(again.transform(X), model.transform(X))


@pytest.mark.parametrize(
    "model",
    [PolynomialBasis(0), PolynomialBasis(1.5), PolynomialBasis(90, interactions=True), GaussianBasis(0),
     GaussianBasis(3, width=-1.0), GaussianBasis(3, width="wide"), GaussianBasis([[1.0, 2.0]]),
     SigmoidBasis([np.nan]), SigmoidBasis(10_000)],
    ids=str,
)  # fmt: skip
def test_bad_arguments_are_refused_in_one_line(model):
    with pytest.raises(ValueError, match="expected") as caught:
        model.fit(X)
    assert "\n" not in str(caught.value)
