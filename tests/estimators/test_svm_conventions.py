"""scikit-learn's own checks of SVC, SVR and LinearSVC; and the calibration against scikit-learn's and brute force."""

import numpy as np
import pytest
from scipy.optimize import minimize
from sklearn.calibration import _sigmoid_calibration
from sklearn.utils.estimator_checks import parametrize_with_checks

from gradatim.estimators.platt import couple, fit_sigmoid, sigmoid_probability
from gradatim.estimators.svm import SVC, LinearSVC

TIGHT = 1e-10


def expected_failures(estimator):
    # The check asks for seven equal digits: more than the default tol gives. And which rows calibration or stochastic
    # descent see together depends on how many there are.
    if estimator.tol == TIGHT and not getattr(estimator, "probability", False):
        return {}
    return {f"check_sample_weight_equivalence_on_{kind}_data": "tol" for kind in ("dense", "sparse")}


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@parametrize_with_checks(
    [
        SVC(kernel="linear", strategy="ovr", tol=TIGHT),
        SVC(probability=True, random_state=0),
        LinearSVC(solver="newton", tol=TIGHT),
        LinearSVC(loss="hinge", random_state=0),
        LinearSVC(solver="sgd", random_state=0),
    ],
    expected_failed_checks=expected_failures,
)
def test_support_vector_machines_follow_the_conventions(estimator, check):
    check(estimator)


def test_sigmoid_equals_scikit_learn():
    random = np.random.default_rng(0)
    first = random.random(200) < 0.3
    values = random.normal(size=200) + 1.5 * first
    found, expected = fit_sigmoid(values, first), _sigmoid_calibration(values, first.astype(float))
    np.testing.assert_allclose(found, expected, atol=1e-3)
    np.testing.assert_allclose(fit_sigmoid(values * 1e6, first)[0] * 1e6, found[0], rtol=1e-2)
    sure = fit_sigmoid(np.array([-5.0, 5.0]), np.array([False, True]))
    assert np.isfinite(sure).all()
    assert sigmoid_probability(np.array([[1e5]]), np.array([-1.0]), np.array([0.0])).tolist() == [[1.0]]


def test_coupled_probabilities_minimise_their_form():
    random = np.random.default_rng(0)
    r = random.random((5, 4, 4))
    r = r / (r + r.transpose(0, 2, 1))
    for pairwise, found in zip(r, couple(r)):

        def form(p, pairwise=pairwise):
            difference = pairwise.T * p[:, None] - pairwise * p[None]
            return (difference[~np.eye(4, dtype=bool)] ** 2).sum()

        best = minimize(
            form, np.full(4, 0.25), bounds=[(0, 1)] * 4, constraints={"type": "eq", "fun": lambda p: p.sum() - 1}
        )
        assert form(found) <= best.fun + 1e-9
        np.testing.assert_allclose(found, best.x, atol=1e-3)
    exact = np.array([0.1, 0.2, 0.3, 0.4])
    consistent = exact[:, None] / (exact[:, None] + exact[None])
    np.testing.assert_allclose(couple(consistent[None])[0], exact, atol=1e-9)
