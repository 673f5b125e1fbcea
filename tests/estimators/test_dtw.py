"""Dynamic time warping against its full table, and the search against comparing with every row."""

import warnings
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.utils.estimator_checks import check_estimator

from gradatim.errors import ArtifactError
from gradatim.estimators.dtw import DTWNeighborsClassifier, dtw_distance
from gradatim.estimators.dtw_kernels import bound, envelope
from gradatim.estimators.state import estimator_from_state, estimator_to_state


def radius_of(first: np.ndarray, second: np.ndarray, window: float) -> int:
    n, m = first.shape[1], second.shape[1]
    return max(int(window * max(n, m)), abs(n - m))


def table(first: np.ndarray, second: np.ndarray, window: float) -> float:
    """The whole table of Sakoe and Chiba, cell by cell."""
    n, m, radius = first.shape[1], second.shape[1], radius_of(first, second, window)
    sums = np.full((n + 1, m + 1), np.inf)
    sums[0, 0] = 0.0
    for i in range(n):
        for j in range(m):
            if abs(i - j) <= radius:
                best = min(sums[i, j], sums[i, j + 1], sums[i + 1, j])
                sums[i + 1, j + 1] = best + ((first[:, i] - second[:, j]) ** 2).sum()
    return float(sums[n, m])


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 14), st.integers(1, 14), st.integers(1, 3), st.floats(0, 1), st.integers(0, 99))
def test_distance_is_that_of_the_whole_table(n: int, m: int, channels: int, window: float, seed: int) -> None:
    source = np.random.default_rng(seed)
    first, second = source.normal(size=(channels, n)), source.normal(size=(channels, m))
    expected = table(first, second, window)
    assert dtw_distance(first, second, window) == pytest.approx(expected, rel=1e-12)
    assert dtw_distance(second, first, window) == pytest.approx(expected, rel=1e-12)
    assert dtw_distance(first, first, window) == 0.0
    if n == m:
        assert expected <= ((first - second) ** 2).sum() + 1e-9


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 20), st.integers(0, 20), st.integers(0, 99))
def test_lower_bound_is_below_and_its_envelope_is_right(n: int, radius: int, seed: int) -> None:
    source = np.random.default_rng(seed)
    query, other = source.normal(size=(2, 2, n))
    upper, lower, rest = np.empty((2, n)), np.empty((2, n)), np.empty(n + 1)
    envelope(other, n, radius, upper, lower)
    for place in range(n):
        near = other[:, max(0, place - radius) : place + radius + 1]
        np.testing.assert_array_equal(upper[:, place], near.max(1))
        np.testing.assert_array_equal(lower[:, place], near.min(1))
    assert bound(query, n, other, n, upper, lower, rest) <= table(query, other, radius / n) + 1e-9


@pytest.mark.parametrize("equal", [True, False])
@pytest.mark.parametrize("window", [0.0, 0.1, 0.4, 1.0])
def test_search_finds_what_comparing_with_every_row_finds(equal: bool, window: float) -> None:
    source = np.random.default_rng(0)
    rows = [source.normal(size=(2, 12 if equal else source.integers(3, 13))).cumsum(1) for _ in range(30)]
    training, queries = rows[:22], rows[22:]
    model = DTWNeighborsClassifier(3, window=window).fit(training, np.arange(22) % 3)
    distances, places = model.kneighbors(queries)
    full = np.array([[table(query, row, window) for row in training] for query in queries])
    order = np.argsort(full, axis=1, kind="stable")[:, :3]
    np.testing.assert_array_equal(places, order)
    np.testing.assert_allclose(distances, np.take_along_axis(full, order, 1), rtol=1e-12)


def test_the_window_that_leaves_fewest_rows_wrong() -> None:
    source = np.random.default_rng(0)
    rows = np.zeros((24, 40))
    for row, place in enumerate(source.integers(5, 30, 24)):  # a bump up or down, anywhere: warping finds it
        rows[row, place : place + 5] = 1.0 if row % 2 else -1.0
    rows += 0.05 * source.normal(size=rows.shape)
    model = DTWNeighborsClassifier(window="auto").fit(rows, np.arange(24) % 2)
    assert model.errors_.argmin() == list(model.windows_).index(model.window_)
    nearest = [min((table(rows[i][None], rows[j][None], model.window_), j) for j in range(24) if j != i)[1]
               for i in range(24)]
    assert model.errors_.min() == np.mean([i % 2 != j % 2 for i, j in enumerate(nearest)])


def test_empty_rows_have_no_neighbour_and_share_the_votes() -> None:
    model = DTWNeighborsClassifier().fit([[1.0, 2.0], [5.0], None], ["a", "b", "b"])
    assert model.kneighbors([None])[1].tolist() == [[-1]]
    np.testing.assert_array_equal(model.predict_proba([None, [5.0]]), [[0.5, 0.5], [0.0, 1.0]])


@pytest.mark.parametrize("options", [{"window": 2.0}, {"window": "wide"}, {"n_neighbors": 0}])
def test_wrong_arguments(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="expected"):
        DTWNeighborsClassifier(**options).fit([[1.0], [2.0]], ["a", "b"])


def test_saved_and_damaged() -> None:
    rows = np.random.default_rng(0).normal(size=(8, 12))
    model = DTWNeighborsClassifier().fit(rows, np.arange(8) % 2)
    state, arrays = estimator_to_state(model)
    np.testing.assert_array_equal(estimator_from_state(state, arrays).predict(rows), model.predict(rows))
    for name, value in (("lengths_", np.full(8, 99)), ("labels_", np.full(8, 5)), ("values_", rows)):
        with pytest.raises(ArtifactError):
            estimator_from_state(state, {**arrays, name: value})


@pytest.mark.slow
def test_conventions_of_scikit_learn() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        results = check_estimator(DTWNeighborsClassifier(), on_fail=None)
    failed = {one["check_name"] for one in results if one["status"] == "failed"}
    assert failed <= {"check_classifiers_train"}  # which asks that longer series than those of training are refused
