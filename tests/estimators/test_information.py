"""Information measures against SciPy, each other and closed forms."""

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import jensenshannon

from gradatim.estimators.information import (
    cross_entropy,
    entropy,
    jensen_shannon,
    kl_divergence,
    mutual_information,
    optimal_transport,
    wasserstein,
)

share = st.just(0.0) | st.floats(1e-9, 1)
weights = st.lists(share, min_size=4, max_size=4).filter(lambda values: sum(values) > 0.01)


def normal(values):
    return np.array(values) / np.sum(values)


@settings(max_examples=100, deadline=None)
@given(weights, weights, st.sampled_from([2, np.e, 10]))
def test_measures_equal_scipy_and_their_identities(first, second, base):
    P, Q = normal(first), normal(second)
    assert entropy(P, base=base) == pytest.approx(scipy.stats.entropy(P, base=base), abs=1e-12)
    divergence = kl_divergence(P, Q, base=base)
    assert divergence == pytest.approx(scipy.stats.entropy(P, Q, base=base), abs=1e-12)
    assert divergence >= 0
    crossed = cross_entropy(P, Q, base=base)
    assert crossed == divergence or crossed - entropy(P, base=base) == pytest.approx(divergence, abs=1e-9)
    assert jensen_shannon(P, Q, base=base) == pytest.approx(jensenshannon(P, Q, base=base) ** 2, abs=1e-12)
    assert jensen_shannon(P, Q) == pytest.approx(jensen_shannon(Q, P), abs=1e-15)
    assert jensen_shannon(P, Q) <= np.log(2) + 1e-12


def test_rows_are_distributions_and_excluded_values_are_infinitely_surprising():
    P = np.array([[0.5, 0.5], [1.0, 0.0]])
    np.testing.assert_allclose(entropy(P, base=2), [1.0, 0.0])
    assert kl_divergence(P, [1.0, 0.0]).tolist() == [np.inf, 0.0] == cross_entropy(P, [1.0, 0.0]).tolist()


def test_the_least_numbers_do_not_count_as_excluded():
    assert jensen_shannon([1.0, 0.0], [1.0, 5e-324]) == pytest.approx(0)


def test_mutual_information_equals_scikit_learn_and_is_zero_for_independence():
    from sklearn.metrics import mutual_info_score

    counts = np.random.default_rng(0).integers(1, 9, (3, 4))
    expected = mutual_info_score(None, None, contingency=counts)
    assert mutual_information(counts / counts.sum()) == pytest.approx(expected)
    assert mutual_information(np.outer([0.3, 0.7], [0.1, 0.9])) == pytest.approx(0, abs=1e-12)


@settings(max_examples=80, deadline=None)
@given(
    st.lists(st.tuples(st.integers(-20, 20), st.integers(0, 5)), min_size=1, max_size=6),
    st.lists(st.tuples(st.integers(-20, 20), st.integers(0, 5)), min_size=1, max_size=6),
    st.sampled_from([1.0, 2.0, 3.5]),
)
def test_distance_on_a_line_equals_scipy_and_the_linear_programme(first, second, order):
    (left, left_weights), (right, right_weights) = np.array(first, float).T, np.array(second, float).T
    left_weights[0] += 1
    right_weights[0] += 1
    found = wasserstein(left, right, first_weights=left_weights, second_weights=right_weights, order=order)
    if order == 1:
        expected = scipy.stats.wasserstein_distance(left, right, left_weights, right_weights)
        assert found == pytest.approx(expected, abs=1e-9)
    cost = np.abs(left[:, None] - right) ** order
    price, plan = optimal_transport(normal(left_weights), normal(right_weights), cost)
    assert found == pytest.approx(max(price, 0) ** (1 / order), abs=1e-5)
    np.testing.assert_allclose(plan.sum(1), normal(left_weights), atol=1e-7)
    np.testing.assert_allclose(plan.sum(0), normal(right_weights), atol=1e-7)


def test_normal_samples_are_as_far_apart_as_their_means():
    sample = np.random.default_rng(0).normal(size=1000)
    assert wasserstein(sample, sample + 3, order=2) == pytest.approx(3)
    assert wasserstein(sample * 1e200, -sample * 1e200, order=3) < np.inf
    assert wasserstein([1.0], [1.0]) == 0


@pytest.mark.parametrize(
    "call",
    [
        lambda: entropy([0.5, 0.6]),
        lambda: entropy([1.5, -0.5]),
        lambda: entropy([]),
        lambda: entropy([np.nan, 1.0]),
        lambda: entropy([0.5, 0.5], base=1),
        lambda: kl_divergence([0.5, 0.5], [1.0]),
        lambda: mutual_information([0.5, 0.5]),
        lambda: wasserstein([], [1.0]),
        lambda: wasserstein([1.0], [1.0], order=0.5),
        lambda: wasserstein([1.0], [1.0], first_weights=[0.0]),
        lambda: wasserstein([1.0, 2.0], [1.0], first_weights=[1.0]),
        lambda: optimal_transport([1.0], [1.0], [[np.inf]]),
        lambda: optimal_transport([1.0], [0.5, 0.5], [[1.0]]),
    ],
)
def test_what_is_no_distribution_is_refused_in_one_line(call):
    with pytest.raises(ValueError, match="expected") as caught:
        call()
    assert "\n" not in str(caught.value)
