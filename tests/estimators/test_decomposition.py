"""Principal components and whitening: against scikit-learn, against closed forms, and on degenerate data."""

import json

import numpy as np
import pytest
import scipy.sparse
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.datasets import load_digits, load_iris
from sklearn.decomposition import PCA as Reference

from gradatim.estimators.decomposition import PCA, Whitening
from gradatim.estimators.state import estimator_from_state, estimator_to_state

DIGITS = load_digits().data


def spectrum(rows: int, columns: int, seed: int = 0, decay: float = 1.0) -> np.ndarray:
    """Rows whose standard deviations along random axes fall as 1/jᵈᵉᶜᵃʸ, far from the origin."""
    generator = np.random.default_rng(seed)
    turn = np.linalg.qr(generator.normal(size=(columns, columns)))[0]
    return generator.normal(size=(rows, columns)) / np.arange(1, columns + 1) ** decay @ turn + 5.0


@pytest.mark.parametrize("solver", ["auto", "covariance_eigh", "full"])
@pytest.mark.parametrize("shape", [(200, 20), (30, 40), (25, 25)])
@pytest.mark.parametrize("count", [None, 5, 0.7])
def test_equal_to_scikit_learn_with_its_signs(solver, shape, count):
    rows = spectrum(*shape)
    ours, theirs = PCA(count, svd_solver=solver).fit(rows), Reference(count, svd_solver="full").fit(rows)
    real = theirs.explained_variance_ > 1e-20 * theirs.explained_variance_[0]
    assert ours.n_components_ == theirs.n_components_
    for name in ("explained_variance_", "explained_variance_ratio_", "mean_"):
        np.testing.assert_allclose(getattr(ours, name), getattr(theirs, name), rtol=1e-8, atol=1e-12)
    np.testing.assert_allclose(ours.singular_values_, theirs.singular_values_, rtol=1e-8, atol=1e-6)
    np.testing.assert_allclose(ours.noise_variance_, theirs.noise_variance_, rtol=1e-8, atol=1e-12)
    np.testing.assert_allclose(ours.components_[real], theirs.components_[real], atol=1e-7)
    np.testing.assert_allclose(ours.components_ @ ours.components_.T, np.eye(len(ours.components_)), atol=1e-8)
    kept = min(count, 5) if isinstance(count, int) else 5
    np.testing.assert_allclose(ours.transform(rows)[:, :kept], theirs.transform(rows)[:, :kept], atol=1e-7)
    np.testing.assert_allclose(
        ours.inverse_transform(ours.transform(rows)), theirs.inverse_transform(theirs.transform(rows)), atol=1e-7
    )


def test_randomised_is_nearer_to_the_exact_axes_than_scikit_learn():
    rows = spectrum(600, 300, decay=0.5)
    exact = PCA(10, svd_solver="full").fit(rows)
    ours = PCA(10, svd_solver="randomized", random_state=0).fit(rows)
    theirs = Reference(10, svd_solver="randomized", random_state=0).fit(rows)
    np.testing.assert_allclose(ours.explained_variance_, exact.explained_variance_, rtol=1e-3)
    missed = exact.explained_variance_.sum() - ours.explained_variance_.sum()
    assert 0 <= missed < exact.explained_variance_.sum() - theirs.explained_variance_.sum()
    np.testing.assert_allclose(ours.noise_variance_, exact.noise_variance_, rtol=1e-4)
    np.testing.assert_allclose(ours.explained_variance_ratio_, exact.explained_variance_ratio_, rtol=1e-3)


@pytest.mark.parametrize("rank", [1, 3])
def test_randomised_of_low_rank_is_exact(rank):
    generator = np.random.default_rng(0)
    rows = generator.normal(size=(50, rank)) @ generator.normal(size=(rank, 30))
    ours = PCA(3, svd_solver="randomized", random_state=0).fit(rows)
    exact = PCA(3, svd_solver="full").fit(rows)
    np.testing.assert_allclose(ours.explained_variance_, exact.explained_variance_, atol=1e-9)
    np.testing.assert_allclose(ours.components_[:rank], exact.components_[:rank], atol=1e-7)
    np.testing.assert_allclose(ours.components_ @ ours.components_.T, np.eye(3), atol=1e-8)


@pytest.mark.parametrize("solver", ["auto", "covariance_eigh", "randomized"])
def test_sparse_is_dense(solver):
    dense = DIGITS[:300] * (DIGITS[:300] > 8)
    ours = PCA(5, svd_solver=solver, random_state=0)
    first = ours.fit_transform(dense)
    second = ours.fit_transform(scipy.sparse.csr_array(dense))
    np.testing.assert_allclose(first, second, atol=1e-7)
    ours.set_params(svd_solver="full")
    with pytest.raises(TypeError, match=r"[Ss]parse"):
        ours.fit(scipy.sparse.csr_array(dense))


@pytest.mark.parametrize("whiten", [False, True])
def test_density_is_that_of_scikit_learn(whiten):
    rows = spectrum(300, 12)
    for count in (4, 12):
        ours, theirs = PCA(count, whiten=whiten).fit(rows), Reference(count).fit(rows)
        np.testing.assert_allclose(ours.score_samples(rows), theirs.score_samples(rows), rtol=1e-8)
        assert ours.score(rows) == pytest.approx(theirs.score(rows))
        np.testing.assert_allclose(ours.get_covariance(), theirs.get_covariance(), atol=1e-9)
        np.testing.assert_allclose(ours.get_precision() @ ours.get_covariance(), np.eye(12), atol=1e-6)


@pytest.mark.parametrize("data", [load_iris().data, DIGITS[:, 2:7], spectrum(200, 8, decay=2.0)])
def test_minka_chooses_as_scikit_learn(data):
    assert PCA("mle").fit(data).n_components_ == Reference("mle", svd_solver="full").fit(data).n_components_


@settings(max_examples=40, deadline=None)
@given(st.integers(2, 30), st.integers(1, 12), st.integers(0, 10**6), st.sampled_from([1e-3, 1.0, 1e4]))
def test_variances_are_those_of_the_coordinates(rows, columns, seed, scale):
    data = np.random.default_rng(seed).normal(size=(rows, columns)) * scale
    model = PCA().fit(data)
    assert np.all(np.diff(model.explained_variance_) <= 0)
    assert model.explained_variance_ratio_.sum() == pytest.approx(1)
    coordinates = model.transform(data)
    np.testing.assert_allclose(
        np.atleast_2d(np.cov(coordinates.T)), np.diag(model.explained_variance_), atol=1e-8 * scale**2
    )
    np.testing.assert_allclose(model.inverse_transform(coordinates), data, atol=1e-6 * scale)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("kind", ["pca", "zca", "cholesky", "components"])
def test_covariance_of_whitened_data_is_the_identity(dtype, kind):
    rows = spectrum(2000, 30, decay=1.5).astype(dtype)
    model = PCA(whiten=True) if kind == "components" else Whitening(kind)
    white = model.fit_transform(rows)
    assert white.dtype == dtype
    tolerance = 2e-4 if dtype == np.float32 else 1e-9
    np.testing.assert_allclose(np.cov(white.T), np.eye(30), atol=tolerance)
    np.testing.assert_allclose(white.mean(axis=0), 0, atol=10 * tolerance)
    np.testing.assert_allclose(model.inverse_transform(white), rows, atol=1e-4 if dtype == np.float32 else 1e-9)


def test_zca_changes_the_data_least_and_is_symmetric_and_cholesky_is_triangular():
    rows = spectrum(500, 6)
    zca, other, triangular = (Whitening(kind).fit(rows) for kind in ("zca", "pca", "cholesky"))
    np.testing.assert_allclose(zca.whitening_, zca.whitening_.T, atol=1e-12)
    assert not np.triu(triangular.whitening_, 1).any()
    centred = rows - rows.mean(axis=0)
    moved = [((model.transform(rows) - centred) ** 2).sum() for model in (zca, other, triangular)]
    assert moved[0] == min(moved)
    generator = np.random.default_rng(0)
    for _ in range(20):
        turn = np.linalg.qr(generator.normal(size=(6, 6)))[0]
        assert ((other.transform(rows) @ turn - centred) ** 2).sum() >= moved[0]


@pytest.mark.parametrize("kind", ["pca", "zca"])
def test_whitening_without_full_rank_is_white_on_the_span(kind):
    base = spectrum(100, 3)
    rows = np.hstack([base, base[:, :1] - base[:, 1:2], np.ones((100, 1))])
    model = Whitening(kind).fit(rows)
    white = model.transform(rows)
    values = np.linalg.eigvalsh(np.cov(white.T))
    np.testing.assert_allclose(values[-3:], 1, atol=1e-8)
    np.testing.assert_allclose(values[:-3], 0, atol=1e-8)
    np.testing.assert_allclose(model.inverse_transform(white), rows, atol=1e-8)
    with pytest.raises(ValueError, match="rank 5, received rank 3"):
        Whitening("cholesky").fit(rows)


def test_epsilon_keeps_noise_small():
    rows = np.hstack([np.random.default_rng(0).normal(size=(100, 1)), np.full((100, 1), 3.0)])
    rows[:, 1] += 1e-9 * np.random.default_rng(1).normal(size=100)
    deviations = Whitening(epsilon=1e-4).fit_transform(rows).std(axis=0)
    assert 0.9 < deviations[0] < 1.1 and deviations[1] < 1e-3


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (np.ones((1, 3)), "minimum of 2"),
        (np.array([[1.0, np.nan], [0.0, 1.0]]), "NaN"),
        (np.array([[1.0, np.inf], [0.0, 1.0]]), "infinity"),
    ],
)
@pytest.mark.parametrize("kind", [PCA, Whitening])
def test_data_that_cannot_be_used(kind, data, says):
    with pytest.raises(ValueError, match=says):
        kind().fit(data)


@pytest.mark.parametrize("data", [np.ones((4, 3)), np.tile([[1.0, 2.0, 4.0]], (5, 1)), np.zeros((3, 1))])
def test_constant_data_have_no_variance(data):
    model = PCA().fit(data)
    assert not model.explained_variance_.any() and not model.explained_variance_ratio_.any()
    np.testing.assert_allclose(model.inverse_transform(model.transform(data)), data)
    assert np.isfinite(PCA(whiten=True).fit_transform(data)).all()
    randomised = PCA(1, svd_solver="randomized", random_state=0).fit(data)
    assert not randomised.explained_variance_.any()
    np.testing.assert_allclose(np.linalg.norm(randomised.components_), 1)
    assert not np.any(Whitening().fit_transform(data))


@pytest.mark.parametrize("scale", [1e-150, 1e-30, 1e30, 1e150])
def test_scales_do_not_matter(scale):
    rows = spectrum(40, 5)
    np.testing.assert_allclose(
        PCA(3).fit(rows * scale).components_, PCA(3).fit(rows).components_, atol=1e-9
    )


def test_a_mean_far_away_costs_no_digits():
    rows = spectrum(400, 6).astype(np.float32)
    near, far = PCA(3).fit(rows), PCA(3).fit(rows.astype(np.float64) + 1e6)
    np.testing.assert_allclose(far.explained_variance_, near.explained_variance_, rtol=1e-5)
    np.testing.assert_allclose(far.transform(rows + 1e6), near.transform(rows), atol=0.3)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"n_components": 9}, "at most min"),
        ({"n_components": -1}, "at most min"),
        ({"n_components": 1.5}, "at most min"),
        ({"n_components": "all"}, "'mle'"),
        ({"svd_solver": "arpack"}, "expected one of auto"),
        ({"svd_solver": "randomized", "n_components": 0.5}, "exact solver"),
        ({"svd_solver": "randomized", "iterated_power": 0}, "iterated_power"),
        ({"n_oversamples": -1}, "n_oversamples"),
    ],
)
def test_arguments_that_cannot_be_used(arguments, says):
    with pytest.raises(ValueError, match=says):
        PCA(**arguments).fit(spectrum(20, 5))


@pytest.mark.parametrize("model", [PCA(3), PCA(whiten=True), PCA(4, svd_solver="randomized", random_state=1),
                                   Whitening(), Whitening("pca", epsilon=0.1)], ids=str)  # fmt: skip
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_saved_and_loaded_equal(model, dtype):
    rows = DIGITS[:200, 18:28].astype(dtype)
    value, arrays = estimator_to_state(model.fit(rows))
    again = estimator_from_state(json.loads(json.dumps(value)), arrays)
    np.testing.assert_array_equal(again.transform(rows), model.transform(rows))
    assert list(again.get_feature_names_out()) == list(model.get_feature_names_out())
    assert again.get_params() == model.get_params()


def test_float32_close_to_float64():
    single, double = PCA(20).fit(DIGITS.astype(np.float32)), PCA(20).fit(DIGITS)
    assert single.components_.dtype == single.transform(DIGITS.astype(np.float32)).dtype == np.float32
    np.testing.assert_allclose(single.explained_variance_, double.explained_variance_, rtol=1e-4)
    np.testing.assert_allclose(np.abs((single.components_ * double.components_).sum(axis=1)), 1, atol=1e-4)
