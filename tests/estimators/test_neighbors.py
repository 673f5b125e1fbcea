"""Nearest neighbours against a plain loop, scikit-learn and hand-made cases; every search gives the same answer."""

import json

import numpy as np
import pytest
import scipy.sparse
import scipy.spatial.distance
import sklearn.neighbors
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.base import clone
from sklearn.utils.estimator_checks import parametrize_with_checks

from gradatim.estimators.editing import condensed_rows, edited_rows
from gradatim.estimators.neighbors import KNeighborsClassifier, KNeighborsRegressor, choose_k
from gradatim.estimators.product_search import ProductSearch
from gradatim.estimators.state import estimator_from_state, estimator_to_state

METRICS = [("minkowski", 1), ("minkowski", 2), ("minkowski", 3.5), ("minkowski", np.inf), ("hamming", 2)]
RANDOM = np.random.default_rng(0)


@parametrize_with_checks(
    [
        KNeighborsClassifier(weights="distance", p=1),
        KNeighborsClassifier(algorithm="products"),
        KNeighborsRegressor(algorithm="kd_tree"),
        KNeighborsRegressor(algorithm="ball_tree", weights="distance"),
    ]
)
def test_neighbours_follow_the_conventions(estimator, check):
    check(estimator)


def loop(X, queries, k, metric, p):
    """Sort all distances; of equal ones the earlier row comes first."""
    options = {"p": p} if metric == "minkowski" and p != np.inf else {}
    name = "chebyshev" if p == np.inf else metric
    table = scipy.spatial.distance.cdist(queries.astype(np.float64), X.astype(np.float64), name, **options)
    order = np.argsort(table, axis=1, kind="stable")[:, :k]
    return np.take_along_axis(table, order, axis=1), order


@pytest.mark.parametrize("metric, p", METRICS)
@pytest.mark.parametrize("algorithm", ["auto", "brute", "products", "kd_tree", "ball_tree"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("columns", [2, 5, 70])
def test_every_search_equals_the_loop(metric, p, algorithm, dtype, columns):
    if (algorithm == "products" and p != 2) or (metric == "hamming" and algorithm != "auto" and algorithm != "brute"):
        pytest.skip("refused, see below")
    if metric == "hamming":
        if algorithm == "products":
            pytest.skip("refused, see below")
        X, queries = (RANDOM.integers(0, 3, (n, columns)).astype(dtype) for n in (300, 40))
    else:
        X, queries = (RANDOM.normal(size=(n, columns)).astype(dtype) for n in (300, 40))
    model = KNeighborsClassifier(7, metric=metric, p=p, algorithm=algorithm, leaf_size=9)
    distances, rows = model.fit(X, np.arange(300) % 3).kneighbors(queries)
    expected, order = loop(X, queries, 7, metric, p)
    np.testing.assert_allclose(distances, expected, rtol=1e-12)
    if metric != "hamming":
        np.testing.assert_array_equal(rows, order)


@pytest.mark.parametrize("algorithm", ["brute", "products", "kd_tree", "ball_tree"])
def test_of_equal_distances_the_earlier_row_comes_first(algorithm):
    X = RANDOM.integers(0, 3, (500, 3)).astype(float)
    distances, rows = KNeighborsClassifier(20, algorithm=algorithm, leaf_size=5).fit(X, np.zeros(500)).kneighbors(X)
    expected, order = loop(X, X, 20, "minkowski", 2)
    np.testing.assert_array_equal(rows, order)
    np.testing.assert_allclose(distances, expected)


@pytest.mark.parametrize("format", ["int8", "bfloat16", "float32"])
@pytest.mark.parametrize("offset, scale", [(0, 1), (1e4, 1), (0, 1e-6), (0, 1e12)])
def test_products_in_few_digits_are_exact(format, offset, scale):
    if format == "int8":
        X, queries = (RANDOM.integers(0, 256, (n, 40)).astype(np.float32) / np.float32(255) for n in (700, 90))
        if offset or scale != 1:
            pytest.skip("off the grid")
    else:
        X, queries = (((RANDOM.normal(size=(n, 40)) + offset) * scale).astype(np.float32) for n in (700, 90))
    search = ProductSearch(X, format)
    squared, rows = search.search(queries, 6)
    expected, order = loop(X, queries, 6, "euclidean", 2)
    np.testing.assert_array_equal(rows, order)
    np.testing.assert_allclose(np.sqrt(squared), expected, rtol=1e-12)


def test_bytes_are_recognised_and_nearly_all_answers_proved_in_int8():
    X = RANDOM.integers(0, 256, (2000, 64)).astype(np.float32) / np.float32(255)
    search = ProductSearch(X)
    assert search.format == "int8"
    assert search._search_block(X[:200], 5, 17)[2].mean() > 0.99
    assert ProductSearch(RANDOM.normal(size=(100, 64))).format != "int8"
    # A query outside the grid is still answered exactly.
    far = np.vstack([X[:3] + 7.3, X[:3] * 0.321])
    np.testing.assert_array_equal(search.search(far, 4)[1], loop(X, far, 4, "euclidean", 2)[1])


@settings(max_examples=40, deadline=None)
@given(
    st.integers(1, 60), st.integers(1, 6), st.integers(1, 5), st.sampled_from([1, 2, 3, np.inf]), st.integers(0, 10**6)
)
def test_trees_equal_the_loop_on_rows_with_many_ties(rows, columns, k, p, seed):
    random = np.random.default_rng(seed)
    X, queries = random.integers(-2, 3, (rows, columns)).astype(float), random.integers(-3, 4, (9, columns)) / 2
    k = min(k, rows)
    for algorithm in ("kd_tree", "ball_tree", "brute"):
        model = KNeighborsRegressor(k, p=p, algorithm=algorithm, leaf_size=3).fit(X, np.arange(rows))
        distances, found = model.kneighbors(queries)
        expected, order = loop(X, queries, k, "minkowski", p)
        np.testing.assert_allclose(distances, expected, atol=1e-12)
        if p != 3:  # cube roots round ties apart in one of the two
            np.testing.assert_array_equal(found, order)


@pytest.mark.parametrize("weights", ["uniform", "distance", lambda distances: np.exp(-distances)])
@pytest.mark.parametrize("sparse", [False, True])
def test_votes_and_means_equal_scikit_learn(weights, sparse):
    X, queries = RANDOM.normal(size=(400, 4)), RANDOM.normal(size=(100, 4))
    queries[:5] = X[:5]
    classes = np.array(["a", "b", "c"])[RANDOM.integers(0, 3, 400)]
    shape = scipy.sparse.csr_matrix if sparse else np.asarray
    ours = KNeighborsClassifier(9, weights=weights).fit(shape(X), classes)
    peer = sklearn.neighbors.KNeighborsClassifier(9, weights=weights).fit(X, classes)
    np.testing.assert_allclose(ours.predict_proba(shape(queries)), peer.predict_proba(queries), atol=1e-9)
    np.testing.assert_array_equal(ours.predict(shape(queries)), peer.predict(queries))
    for target in (X[:, 0], X[:, :2]):
        ours = KNeighborsRegressor(9, weights=weights).fit(shape(X), target)
        peer = sklearn.neighbors.KNeighborsRegressor(9, weights=weights).fit(X, target)
        np.testing.assert_allclose(ours.predict(shape(queries)), peer.predict(queries), atol=1e-9)


def test_fitted_rows_are_not_their_own_neighbours():
    X = RANDOM.normal(size=(80, 3))
    ours, peer = KNeighborsClassifier(4), sklearn.neighbors.NearestNeighbors(n_neighbors=4)
    ours, peer = ours.fit(X, np.zeros(80)), peer.fit(X)
    for first, second in zip(ours.kneighbors(), peer.kneighbors()):
        np.testing.assert_allclose(first, second)
    for mode in ("connectivity", "distance"):
        ours_graph, peer_graph = ours.kneighbors_graph(mode=mode), peer.kneighbors_graph(mode=mode)
        np.testing.assert_allclose(ours_graph.toarray(), peer_graph.toarray())
    same = KNeighborsClassifier(2).fit(np.zeros((6, 2)), np.zeros(6)).kneighbors(return_distance=False)
    assert all(row not in neighbours for row, neighbours in enumerate(same.tolist()))


def test_auto_says_what_it_chose_and_why():
    low = KNeighborsClassifier().fit(RANDOM.normal(size=(5000, 2)), np.zeros(5000))
    high = KNeighborsClassifier().fit(RANDOM.normal(size=(5000, 60)), np.zeros(5000))
    few = KNeighborsClassifier().fit(RANDOM.normal(size=(20, 2)), np.zeros(20))
    assert (low.algorithm_, high.algorithm_, few.algorithm_) == ("kd_tree", "products", "brute")
    assert "looked at" in low.algorithm_reason_ and "fewer than four leaves" in few.algorithm_reason_


@pytest.mark.parametrize("options", [{}, {"metric": "hamming"}, {"algorithm": "products"}, {"weights": "distance"}])
def test_saved_and_loaded_equal(options):
    X, y = RANDOM.integers(0, 4, (200, 5)).astype(np.float32), np.array(["x", "y"])[RANDOM.integers(0, 2, 200)]
    for model in (KNeighborsClassifier(3, **options), KNeighborsRegressor(3, **options)):
        model = clone(model).fit(X, y if isinstance(model, KNeighborsClassifier) else X[:, 0])
        value, arrays = estimator_to_state(model)
        again = estimator_from_state(json.loads(json.dumps(value)), arrays)
        np.testing.assert_array_equal(model.predict(X), again.predict(X))
        assert again.algorithm_ == model.algorithm_


def test_bad_arguments_are_refused_in_one_line():
    X, y = np.eye(4), np.arange(4)
    cases = [
        ({"n_neighbors": 0}, ValueError, "n_neighbors: expected"), ({"p": 0.5}, ValueError, "p: expected"),
        ({"metric": "cosine"}, ValueError, "metric: expected"), ({"weights": "squared"}, ValueError, "weights: expe"),
        ({"algorithm": "hash"}, ValueError, "algorithm: expected"), ({"n_neighbors": 2.5}, TypeError, "n_neighbors"),
        ({"metric": "hamming", "algorithm": "kd_tree"}, ValueError, "algorithm='brute'"),
        ({"p": 1, "algorithm": "products"}, ValueError, "Euclidean"),
    ]  # fmt: skip
    for options, kind, text in cases:
        with pytest.raises(kind, match=text):
            KNeighborsClassifier(**options).fit(X, y)
    with pytest.raises(ValueError, match="n_samples_fit = 4"):
        KNeighborsClassifier(5).fit(X, y).predict(X)
    with pytest.raises(ValueError, match="sparse"):
        KNeighborsClassifier(p=1).fit(scipy.sparse.csr_matrix(X), y)


@pytest.mark.parametrize("scale", [1e-150, 1e-30, 1e30, 1e150])
def test_huge_and_tiny_rows(scale):
    X = RANDOM.normal(size=(300, 3))
    for algorithm in ("brute", "products", "kd_tree", "ball_tree"):
        rows = KNeighborsClassifier(4, algorithm=algorithm).fit(X * scale, np.zeros(300)).kneighbors(X * scale)[1]
        np.testing.assert_array_equal(rows, loop(X, X, 4, "euclidean", 2)[1])


def test_choose_k_equals_fitting_each_k():
    X, y = RANDOM.normal(size=(300, 3)), RANDOM.integers(0, 3, 300)
    y[X[:, 0] > 0] = 0
    for kind in (KNeighborsClassifier, KNeighborsRegressor):
        for weights in ("uniform", "distance"):
            chosen = choose_k(kind(weights=weights).fit(X[:200], y[:200]), X[200:], y[200:], [1, 3, 8, 15])
            scores = [kind(k, weights=weights).fit(X[:200], y[:200]).score(X[200:], y[200:]) for k in (1, 3, 8, 15)]
            np.testing.assert_allclose(chosen.scores, scores)
            assert scores[(1, 3, 8, 15).index(chosen.k)] == max(scores)


def test_edited_rows_are_those_that_a_loop_keeps():
    X, y = RANDOM.normal(size=(120, 2)), RANDOM.integers(0, 2, 120)
    y[X[:, 0] > 0.3] = 1
    kept = []
    for row in range(len(X)):
        rest = np.arange(len(X)) != row
        near = loop(X[rest], X[[row]], 5, "euclidean", 2)[1][0]
        kept += [row] if np.bincount(y[rest][near], minlength=2).argmax() == y[row] else []
    assert edited_rows(X, y, 5).tolist() == kept


@pytest.mark.parametrize("random_state", [None, 3])
def test_condensed_rows_classify_all_rows_right(random_state):
    X, y = RANDOM.normal(size=(400, 2)), RANDOM.integers(0, 2, 400)
    y[X[:, 0] > 0] = 1
    y[X[:, 0] < 0] = 0
    kept = condensed_rows(X, y, random_state=random_state)
    assert len(kept) < 60
    assert KNeighborsClassifier(1).fit(X[kept], y[kept]).score(X, y) == 1
    if random_state is None:
        assert kept.tolist() == hart(X, y)


def hart(X, y):
    """The algorithm as its paper says it."""
    store, added = [], True
    while added:
        added = False
        for row in range(len(X)):
            if row in store:
                continue
            near = loop(X[sorted(store)], X[[row]], 1, "euclidean", 2)[1][0, 0] if store else None
            if near is None or y[sorted(store)[near]] != y[row]:
                store.append(row)
                added = True
    return sorted(store)
