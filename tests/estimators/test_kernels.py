"""Kernels against scikit-learn's, their definition row by row, and golden numbers."""

import numpy as np
import pytest
import scipy.sparse
import sklearn.metrics.pairwise as reference
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from gradatim.estimators import kernels
from gradatim.estimators.kernels import Kernel, check_mercer, kernel_blocks, kernel_matrix, product_features

RANDOM = np.random.default_rng(0)
X, Y = RANDOM.normal(size=(37, 6)), RANDOM.normal(size=(23, 6))
PAIRS = {
    "linear": (Kernel("linear"), reference.linear_kernel(X, Y)),
    "poly": (Kernel("poly", 0.7, 4, 0.3), reference.polynomial_kernel(X, Y, 4, 0.7, 0.3)),
    "square": (Kernel("poly", 0.7, 2, 0.3), reference.polynomial_kernel(X, Y, 2, 0.7, 0.3)),
    "rbf": (Kernel("rbf", 0.7), reference.rbf_kernel(X, Y, 0.7)),
    "sigmoid": (Kernel("sigmoid", 0.1, 0, 0.3), reference.sigmoid_kernel(X, Y, 0.1, 0.3)),
    "callable": (
        Kernel("callable", function=lambda a, b: np.minimum(a[:, None], b[None]).sum(2)),
        np.array([[np.minimum(x, y).sum() for y in Y] for x in X]),
    ),
}


@pytest.mark.parametrize("name", PAIRS)
def test_values_equal_scikit_learn(name):
    kernel, expected = PAIRS[name]
    np.testing.assert_allclose(kernel(X, Y), expected, rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(kernel.diagonal(X), np.diag(kernel(X)), rtol=1e-12)
    if name != "callable":
        np.testing.assert_allclose(
            kernel(scipy.sparse.csr_matrix(X), scipy.sparse.csr_matrix(Y)), expected, rtol=1e-12, atol=1e-14
        )
        np.testing.assert_allclose(kernel(X.astype(np.float32), Y.astype(np.float32)), expected, rtol=3e-5, atol=1e-6)


def test_functions_by_name():
    np.testing.assert_allclose(kernels.linear(X, Y), X @ Y.T)
    np.testing.assert_allclose(kernels.polynomial(X, Y, degree=2), (X @ Y.T + 1) ** 2)
    np.testing.assert_allclose(kernels.sigmoid(X, Y, gamma=0.2), np.tanh(0.2 * X @ Y.T))
    np.testing.assert_allclose(kernels.rbf(X), reference.rbf_kernel(X, gamma=1.0), rtol=1e-12)
    assert kernels.make_kernel("polynomial", degree=2).name == "poly"


def test_golden_products_and_distance():
    x, y = np.array([[1.0, 2.0, 3.0]]), np.array([[4.0, 5.0, 6.0]])
    square = Kernel("poly", 1.0, 2, 0.0)
    products = product_features(x)
    assert products.shape == (1, 9) and products.tolist() == [[1, 2, 3, 2, 4, 6, 3, 6, 9]]
    assert square(x, y).tolist() == [[1024.0]]
    assert (products @ product_features(y).T).tolist() == [[1024.0]]
    assert square.squared_distances(x, y).tolist() == [[4077.0]]
    assert ((products - product_features(y)) ** 2).sum() == 4077


@given(arrays(np.float64, (5, 3), elements=st.floats(-100, 100, width=32)))
@settings(max_examples=40, deadline=None)
def test_square_kernel_is_the_product_of_its_features(rows):
    expected = product_features(rows) @ product_features(rows).T
    np.testing.assert_allclose(Kernel("poly", 1.0, 2, 0.0)(rows), expected, rtol=1e-9, atol=1e-9)


@given(arrays(np.float64, (6, 3), elements=st.floats(-50, 50)), st.floats(1e-3, 10))
@settings(max_examples=60, deadline=None)
def test_rbf_is_symmetric_bounded_positive_and_blind_to_shifts(rows, gamma):
    matrix = kernels.rbf(rows, gamma=gamma)
    np.testing.assert_allclose(matrix, matrix.T, atol=1e-12)
    assert np.all(matrix <= 1) and np.all(matrix >= 0)
    np.testing.assert_allclose(np.diag(matrix), 1, atol=1e-9)
    assert check_mercer((matrix + matrix.T) / 2).least > -1e-9
    np.testing.assert_allclose(kernels.rbf(rows + 1e5, gamma=gamma), matrix, atol=1e-6)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_exponential_is_exact_over_its_whole_range(dtype):
    distances = np.linspace(0, 9, 4001).astype(dtype)
    found = Kernel("rbf", 1.0)(distances[:, None], np.zeros((1, 1), dtype))[:, 0]
    expected = np.exp(-(distances.astype(np.float64) ** 2))
    # The argument is a difference of squares in the format of the rows, up to 81 here.
    np.testing.assert_allclose(found, expected, rtol=200 * np.finfo(dtype).eps)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("scale", [1e-12, 1e-6, 1.0, 1e6, 1e15])
def test_scales_and_far_origins_keep_their_digits(dtype, scale):
    gamma = 0.3 / scale**2
    rows = (X * scale).astype(dtype)
    expected = reference.rbf_kernel(X.astype(dtype).astype(np.float64), gamma=0.3)
    np.testing.assert_allclose(Kernel("rbf", gamma)(rows), expected, atol=1e-5 if dtype == np.float32 else 1e-10)
    far = (rows + dtype(1000 * scale)).astype(dtype)
    expected = reference.rbf_kernel((far.astype(np.float64) / scale), gamma=0.3)
    np.testing.assert_allclose(Kernel("rbf", gamma)(far), expected, atol=1e-4 if dtype == np.float32 else 1e-8)


def test_blocks_stay_within_their_budget_and_make_the_whole():
    kernel, expected = PAIRS["rbf"]
    blocks = list(kernel_blocks(X, Y, kernel, budget=8 * 23 * 5 / 2**20))
    assert [part.stop - part.start for part, _ in blocks] == [5] * 7 + [2]
    np.testing.assert_allclose(np.concatenate([block for _, block in blocks]), expected, rtol=1e-12)
    np.testing.assert_allclose(kernel_matrix(X, Y, kernel), expected, rtol=1e-12)
    with pytest.raises(ValueError, match="expected a kernel matrix of at most"):
        kernel_matrix(X, Y, kernel, budget=1e-4)


def test_mercer_finds_the_most_negative_eigenvalue(monkeypatch):
    matrix = kernels.sigmoid(X, gamma=1.0, coef0=-1.0)
    least = np.linalg.eigvalsh(matrix)[0]
    found = check_mercer(matrix)
    assert not found.positive and found.least == pytest.approx(least)
    monkeypatch.setattr(kernels, "LARGEST_SPECTRUM", 5)
    assert check_mercer(matrix).least == pytest.approx(least, rel=1e-6)
    assert check_mercer(kernels.rbf(X)).positive
    assert check_mercer(kernels.polynomial(X)).positive
    lopsided = np.array([[1.0, 0.5], [0.1, 1.0]])
    assert not check_mercer(lopsided).positive and check_mercer(lopsided).asymmetry == pytest.approx(0.4)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Kernel("cosine"), "kernel: expected one of"),
        (lambda: Kernel("rbf", -1.0), "gamma: expected"),
        (lambda: Kernel("rbf", float("nan")), "gamma: expected"),
        (lambda: Kernel("poly", degree=-1), "degree: expected"),
        (lambda: Kernel("callable"), "function: expected"),
        (lambda: Kernel("callable", function=lambda a, b: np.zeros(3))(X, Y), "to return an array of shape"),
        (lambda: kernels.rbf([1.0, 2.0]), "expected rows and columns"),
        (lambda: check_mercer(np.zeros((2, 3))), "matrix: expected a square"),
        (lambda: check_mercer([[np.nan]]), "matrix: expected a square"),
    ],
)
def test_bad_settings_are_refused_in_one_line(make, message):
    with pytest.raises(ValueError, match=message):
        make()
