"""k-means against a plain loop and scikit-learn from the same start; its pieces alone; anchor boxes by brute force."""

import itertools
import json

import numpy as np
import pytest
import scipy.sparse
import sklearn.cluster
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.callback import ProgressBar
from sklearn.datasets import make_blobs

from gradatim.estimators import lloyd as lloyd_module
from gradatim.estimators.anchors import anchor_boxes, overlaps
from gradatim.estimators.cluster import KMeans, MiniBatchKMeans
from gradatim.estimators.lloyd import Frame, Partition, nearest
from gradatim.estimators.recording import Recorder
from gradatim.estimators.state import estimator_from_state, estimator_to_state

RANDOM = np.random.default_rng(0)


def lloyd(X, centres, steps, weights=None):
    """Lloyd's algorithm as it is told; no cluster may lose all rows."""
    weights = np.ones(len(X)) if weights is None else weights
    for _ in range(steps):
        labels = ((X[:, None] - centres) ** 2).sum(2).argmin(1)
        groups = [labels == c for c in range(len(centres))]
        centres = np.stack([np.average(X[group], axis=0, weights=weights[group]) for group in groups])
    return centres


@pytest.mark.parametrize("clusters", [1, 2, 15, 17, 40, 70, 120, 230])
@pytest.mark.parametrize("columns", [1, 3, 64])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_nearest_centre_equals_brute_force(clusters, columns, dtype):
    X = RANDOM.normal(size=(531, columns)).astype(dtype)
    centres = RANDOM.normal(size=(clusters, columns)).astype(dtype)
    table = ((X[:, None].astype(np.float64) - centres) ** 2).sum(2)
    for given_rows in (X, scipy.sparse.csr_matrix(X)):
        found = nearest(given_rows, centres)
        rtol = 1e-4 if dtype == np.float32 else 1e-9
        np.testing.assert_allclose(table[np.arange(531), found], table.min(1), rtol=rtol)
        assert (found == table.argmin(1)).mean() > 0.99


@settings(max_examples=30, deadline=None)
@given(
    st.integers(1, 120), st.integers(1, 9), st.integers(1, 40), st.integers(0, 10**6),
    st.sampled_from(["blocks", "bounds", "sparse"]), st.sampled_from([np.float32, np.float64]),
)  # fmt: skip
def test_neither_blocks_nor_bounds_change_a_label(rows, columns, clusters, seed, way, dtype):
    sparse, tolerance = way == "sparse", 1e-9 if dtype == np.float64 else 2e-3
    random = np.random.default_rng(seed)
    X = (random.normal(size=(rows, columns)) * random.choice([0.01, 1, 30], size=(rows, 1))).astype(dtype)
    weights = random.random(rows)
    frame = Frame.of(scipy.sparse.csr_matrix(X) if sparse else X)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lloyd_module, "FEW", 0 if way == "bounds" else 1024)
        partition = Partition(scipy.sparse.csr_matrix(X) if sparse else X, frame, weights, clusters)
    centres = random.normal(size=(clusters, columns))
    for step in range(12):
        partition.assign(centres)
        table = (((X - frame.shift)[:, None] - centres) ** 2).sum(2)
        np.testing.assert_allclose(table[np.arange(rows), partition.labels], table.min(1), atol=tolerance, rtol=1e-5)
        sums, masses = partition.sums.copy(), partition.masses.copy()
        partition.recount()
        np.testing.assert_allclose(sums, partition.sums, atol=tolerance)
        np.testing.assert_allclose(masses, partition.masses, atol=1e-9)
        centres = centres + random.normal(size=centres.shape) * random.choice([0, 1e-3, 0.3]) / (step + 1)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("steps", [1, 5, 300])
def test_same_start_gives_the_centres_of_scikit_learn(dtype, sparse, weighted, steps):
    X = make_blobs(1500, 6, centers=9, cluster_std=3.0, random_state=1)[0].astype(dtype)
    weights = RANDOM.random(1500) if weighted else None
    start = X[:9]
    given_rows = scipy.sparse.csr_matrix(X) if sparse else X
    ours = KMeans(9, init=start, max_iter=steps, tol=0).fit(given_rows, sample_weight=weights)
    peer = sklearn.cluster.KMeans(9, init=start, n_init=1, max_iter=steps, tol=0).fit(X, sample_weight=weights)
    tolerance = 1e-4 if dtype == np.float32 else 1e-10
    np.testing.assert_allclose(ours.cluster_centers_, peer.cluster_centers_, atol=tolerance * 10)
    assert ours.inertia_ == pytest.approx(peer.inertia_, rel=tolerance)
    assert (ours.labels_ == peer.labels_).mean() > 0.999
    assert ours.n_iter_ == peer.n_iter_
    assert ours.cluster_centers_.dtype == dtype
    np.testing.assert_array_equal(ours.predict(given_rows), ours.labels_)
    if steps == 5 and not weighted:
        np.testing.assert_allclose(ours.cluster_centers_, lloyd(X.astype(np.float64), start, 5), atol=tolerance * 10)


def test_tolerance_stops_where_scikit_learn_does():
    X = make_blobs(3000, 5, centers=20, cluster_std=4.0, random_state=2)[0]
    for tol in (1e-2, 1e-4):
        peer = sklearn.cluster.KMeans(20, init=X[:20], n_init=1, tol=tol).fit(X)
        assert KMeans(20, init=X[:20], tol=tol).fit(X).n_iter_ == peer.n_iter_


@pytest.mark.parametrize("init", ["k-means++", "k-means||", "random", lambda X, k, random_state: X[:k]])
def test_starts_find_blobs(init):
    X, labels = make_blobs(800, 3, centers=6, cluster_std=0.3, random_state=3)
    best = min(KMeans(6, init=init, n_init=3, random_state=seed).fit(X).inertia_ for seed in range(3))
    expected = sum(((X[labels == c] - X[labels == c].mean(0)) ** 2).sum() for c in range(6))
    limit = 1.001 if not callable(init) else 100
    assert best <= expected * limit


def test_k_means_plus_plus_is_as_good_as_that_of_scikit_learn():
    X = make_blobs(2000, 4, centers=30, cluster_std=1.0, random_state=4)[0]
    for init in ("k-means++", "k-means||"):
        ours = np.median([KMeans(30, init=init, random_state=seed).fit(X).inertia_ for seed in range(7)])
        peer = np.median([sklearn.cluster.KMeans(30, n_init=1, random_state=seed).fit(X).inertia_ for seed in range(7)])
        assert ours < peer * 1.1


def test_empty_clusters_take_far_rows():
    X = np.vstack([RANDOM.normal(size=(100, 2)), RANDOM.normal(size=(100, 2)) + 20])
    start = np.array([[0.0, 0.0], [500.0, 500.0], [501.0, 500.0]])
    model = KMeans(3, init=start, tol=0).fit(X)
    assert np.bincount(model.labels_, minlength=3).min() > 0
    peer = sklearn.cluster.KMeans(3, init=start, n_init=1, tol=0).fit(X)
    assert model.inertia_ <= peer.inertia_ * 1.2


@pytest.mark.parametrize("scale", [1e-140, 1e-30, 1e30, 1e140])
def test_huge_tiny_and_shifted_rows(scale):
    X = make_blobs(300, 2, centers=3, random_state=5)[0]
    plain = KMeans(3, init=X[:3]).fit(X)
    model = KMeans(3, init=X[:3] * scale).fit(X * scale)
    np.testing.assert_array_equal(model.labels_, plain.labels_)
    np.testing.assert_allclose(model.cluster_centers_ / scale, plain.cluster_centers_)
    shifted = KMeans(3, init=(X[:3] + 1e6).astype(np.float32)).fit((X + 1e6).astype(np.float32))
    assert (shifted.labels_ == plain.labels_).mean() > 0.98


def test_fewer_distinct_rows_than_clusters_warn():
    X = np.repeat([[0.0, 1.0], [2.0, 3.0]], 10, axis=0)
    for init in ("k-means++", "k-means||", "random"):
        with pytest.warns(sklearn.exceptions.ConvergenceWarning, match="distinct clusters"):
            model = KMeans(4, init=init, random_state=0).fit(X)
        assert model.inertia_ == 0
    assert KMeans(1).fit([[3.0]]).cluster_centers_.tolist() == [[3.0]]
    assert np.isfinite(KMeans(3, random_state=0).fit(np.c_[np.ones(30), RANDOM.normal(size=30)]).inertia_)


@pytest.mark.parametrize("model", [KMeans(3, random_state=0), MiniBatchKMeans(3, random_state=0, batch_size=50)])
def test_saved_and_loaded_equal(model):
    X = RANDOM.normal(size=(200, 4))
    value, arrays = estimator_to_state(model.fit(X))
    again = estimator_from_state(json.loads(json.dumps(value)), arrays)
    np.testing.assert_array_equal(again.predict(X), model.predict(X))
    np.testing.assert_array_equal(again.transform(X), model.transform(X))
    if isinstance(model, MiniBatchKMeans):
        first, second = model.partial_fit(X[:60]), again.partial_fit(X[:60])
        np.testing.assert_array_equal(first.cluster_centers_, second.cluster_centers_)


def test_callbacks_see_every_step_and_inertia_never_rises(capsys):
    X = make_blobs(500, 2, centers=8, cluster_std=2.0, random_state=6)[0]
    recorder = Recorder()
    model = KMeans(8, n_init=2, init="random", random_state=0, tol=0).set_callbacks(recorder, ProgressBar())
    model.fit(X)
    runs = {}
    for step in recorder.steps:
        if step.path[-1][0] == "iteration":
            runs.setdefault(step.path[1], []).append(step.attributes)
    assert len(runs) == 2
    for steps in runs.values():
        inertias = [attributes["inertia_"] for attributes in steps]
        assert all(later <= earlier * (1 + 1e-12) for earlier, later in itertools.pairwise(inertias))
        assert steps[0]["cluster_centers_"].shape == (8, 2) and steps[0]["labels_"].shape == (500,)
    quiet = KMeans(8, n_init=2, init="random", random_state=0, tol=0).fit(X)
    np.testing.assert_array_equal(quiet.cluster_centers_, model.cluster_centers_)
    batches = Recorder()
    MiniBatchKMeans(3, batch_size=50, max_iter=2, random_state=0).set_callbacks(batches).fit(X)
    assert batches.steps[0].path[-1][0] == "batch"


def test_one_mini_batch_step_is_the_formula():
    X, weights = RANDOM.normal(size=(60, 3)), RANDOM.random(60)
    model = MiniBatchKMeans(4, init=X[:4], reassignment_ratio=0).partial_fit(X[:30], sample_weight=weights[:30])
    centres, counts = model.cluster_centers_.copy(), model.counts_.copy()
    labels = ((X[30:, None] - centres) ** 2).sum(2).argmin(1)
    for row, label in enumerate(labels, start=30):
        counts[label] += weights[row]
        centres[label] += weights[row] / counts[label] * (X[row] - centres[label])
    model.partial_fit(X[30:], sample_weight=weights[30:])
    np.testing.assert_allclose(model.cluster_centers_, centres)
    np.testing.assert_allclose(model.counts_, counts)


@pytest.mark.parametrize("sparse", [False, True])
def test_a_stream_comes_near_to_all_rows_at_once(sparse):
    X = make_blobs(6000, 5, centers=7, random_state=7)[0]
    whole = KMeans(7, random_state=0).fit(X).inertia_
    streams = [MiniBatchKMeans(7, random_state=seed) for seed in range(3)]
    for low in range(0, 6000, 500):
        for stream in streams:
            stream.partial_fit(scipy.sparse.csr_matrix(X[low : low + 500]) if sparse else X[low : low + 500])
    assert min(-stream.score(X) for stream in streams) < 1.1 * whole
    assert min(MiniBatchKMeans(7, random_state=seed).fit(X).inertia_ for seed in range(3)) < 1.1 * whole


def test_bad_arguments_are_refused_in_one_line():
    X = RANDOM.normal(size=(10, 2))
    cases = [
        ({"n_clusters": 0}, "n_clusters: expected"), ({"n_clusters": 11}, "n_samples=10"),
        ({"init": "best"}, "init: expected"), ({"init": X[:3]}, "init: expected an array of shape"),
        ({"tol": -1}, "tol: expected"), ({"max_iter": 0}, "max_iter: exp"), ({"n_init": 0}, "n_init: expected"),
    ]  # fmt: skip
    for options, text in cases:
        for kind in (KMeans, MiniBatchKMeans):
            with pytest.raises(ValueError, match=text):
                kind(**({"n_clusters": 2} | options)).fit(X)
    with pytest.raises(ValueError, match="non-zero number"):
        KMeans(2).fit(X, sample_weight=np.zeros(10))


def test_anchor_boxes_overlap_as_much_as_the_best_of_all_partitions():
    boxes = RANDOM.integers(5, 60, (7, 2)).astype(float)
    found = anchor_boxes(boxes, 2, n_init=20)
    table = overlaps(boxes, found.sizes)
    np.testing.assert_array_equal(found.labels, table.argmax(1))
    assert found.mean_overlap == pytest.approx(table.max(1).mean())
    # Every anchor that is one of the boxes, or the mean of some of them.
    groups = [list(group) for size in range(1, 8) for group in itertools.combinations(range(7), size)]
    candidates = np.array([boxes[group].mean(0) for group in groups])
    each = overlaps(boxes, candidates)
    best = max(np.maximum(each[:, a], each[:, b]).mean() for a in range(len(each.T)) for b in range(a))
    assert found.mean_overlap > 0.97 * best


def test_anchor_boxes_care_for_shape_not_size():
    small, large = RANDOM.normal([10, 20], 0.5, (60, 2)), RANDOM.normal([400, 200], 20, (60, 2))
    corners = np.c_[np.ones((120, 2)) * 3, np.vstack([small, large]) + 3]
    found = anchor_boxes(corners, 2)
    np.testing.assert_allclose(found.sizes, [[10, 20], [400, 200]], rtol=0.06)
    np.testing.assert_array_equal(anchor_boxes(np.vstack([small, large]) * 7, 2).labels, found.labels)
    same = anchor_boxes(np.ones((5, 2)), 3)
    assert same.mean_overlap == 1
    for bad in ([[1, 0]], [[1, 2, 3]], [[0, 0, 0, 1]]):
        with pytest.raises(ValueError, match="boxes: expected"):
            anchor_boxes(bad, 1)
    with pytest.raises(ValueError, match="k: expected"):
        anchor_boxes(np.ones((5, 2)), 6)
