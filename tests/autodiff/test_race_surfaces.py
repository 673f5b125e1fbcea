"""Surfaces: derivatives against the engine and central differences, minima against a search of the whole window."""

import numpy as np
import pytest
import scipy.optimize
import torch

from gradatim.autodiff.race.surfaces import GAUSSIANS_MINIMUM, SURFACES, Surface, find_surface, grid
from gradatim.errors import GradatimError

NAMES = list(SURFACES)


def points_of(surface: Surface, count: int = 20) -> np.ndarray:
    draw = np.random.default_rng(1)
    return np.stack([draw.uniform(low, high, count) for low, high in surface.bounds], axis=-1)


@pytest.mark.parametrize("name", NAMES)
def test_gradient_and_hessian_are_those_of_the_value(name):
    surface, width = find_surface(name), 1e-5
    for point in points_of(surface):
        shifts = width * np.eye(surface.dimensions)
        slope = [(surface.value(point + s) - surface.value(point - s)) / (2 * width) for s in shifts]
        bend = [(surface.gradient(point + s) - surface.gradient(point - s)) / (2 * width) for s in shifts]
        allowed = 1e-6 * (1 + abs(surface.value(point)))
        np.testing.assert_allclose(surface.gradient(point), slope, rtol=1e-6, atol=allowed)
        scale = np.abs(surface.hessian(point)).max() + 1
        np.testing.assert_allclose(surface.hessian(point), bend, rtol=1e-6, atol=1e-6 * scale)


FORMULAS = {
    "parabola": lambda x: x[0] ** 2,
    "beale": lambda x: (1.5 - x[0] + x[0] * x[1]) ** 2 + (2.25 - x[0] + x[0] * x[1] ** 2) ** 2
    + (2.625 - x[0] + x[0] * x[1] ** 3) ** 2,
    "rosenbrock": lambda x: (1 - x[0]) ** 2 + 100 * (x[1] - x[0] ** 2) ** 2,
    "himmelblau": lambda x: (x[0] ** 2 + x[1] - 11) ** 2 + (x[0] + x[1] ** 2 - 7) ** 2,
    "saddle": lambda x: x[0] ** 2 / 2 - x[1] ** 2 / 2 + x[1] ** 4 / 4,
    "plateau": lambda x: (x**2).sum() / (1 + (x**2).sum()),
    "ravine": lambda x: x[0] ** 2 / 2 + 50 * x[1] ** 2,
}  # fmt: skip


@pytest.mark.parametrize("name", FORMULAS)
def test_formulas_as_torch_sees_them(name):
    surface = find_surface(name)
    for point in points_of(surface):
        there = torch.tensor(point, requires_grad=True)
        value = FORMULAS[name](there)
        value.backward()
        assert surface.value(point) == pytest.approx(value.item(), rel=1e-12, abs=1e-12)
        np.testing.assert_allclose(surface.gradient(point), there.grad.numpy(), rtol=1e-9, atol=1e-10)


def test_gaussians_are_the_difference_of_two_densities():
    from scipy.stats import multivariate_normal

    surface = find_surface("gaussians")
    points = points_of(surface, 50)
    wide = multivariate_normal([1, 1], np.diag([1.5**2, 0.5**2])).pdf(points)
    round_one = multivariate_normal([0, 0], np.eye(2)).pdf(points)
    np.testing.assert_allclose(surface.value(points), 10 * (wide - round_one), rtol=1e-12)
    assert np.linalg.norm(surface.gradient(np.array(GAUSSIANS_MINIMUM))) < 1e-15


@pytest.mark.parametrize("name", NAMES)
def test_minima_are_the_lowest_points_there_are(name):
    surface = find_surface(name)
    lowest = surface.value(surface.minima)
    assert np.ptp(lowest) < 1e-12
    for minimum in surface.minima:
        assert np.linalg.norm(surface.gradient(minimum)) < 1e-10
        assert np.linalg.eigvalsh(surface.hessian(minimum)).min() > 0
        assert all(low <= x <= high for x, (low, high) in zip(minimum, surface.bounds))
    _, values = grid(surface, 200)
    assert values.min() >= surface.lowest - 1e-12
    found = scipy.optimize.dual_annealing(
        lambda x: float(surface.value(x)), surface.bounds, rng=np.random.default_rng(0), maxiter=100
    )
    assert found.fun == pytest.approx(surface.lowest, abs=1e-8) and surface.distance(found.x) < 1e-3


@pytest.mark.parametrize("name", NAMES)
def test_sums_of_squares_are_their_residuals(name):
    surface = find_surface(name)
    if surface.residuals is None:
        assert name in ("gaussians", "saddle", "plateau")
        return
    for point in points_of(surface, 5):
        residuals, jacobian = surface.residuals(point), surface.jacobian(point)
        assert (residuals**2).sum() == pytest.approx(surface.value(point))
        np.testing.assert_allclose(2 * jacobian.T @ residuals, surface.gradient(point), rtol=1e-12)


def test_sampled_gradients_average_to_the_whole_one():
    surface = find_surface("regression")
    point = np.array([0.3, -2.0])
    rows = [surface.sample_gradient(point, np.array([row])) for row in range(surface.samples)]
    np.testing.assert_allclose(np.mean(rows, axis=0), surface.gradient(point), rtol=1e-12)
    np.testing.assert_allclose(surface.sample_gradient(point, np.arange(64)), surface.gradient(point), rtol=1e-12)


def test_the_ravine_is_the_tilted_one_turned():
    straight, tilted = find_surface("ravine"), find_surface("tilted-ravine")
    turn = np.array([[1, -1], [1, 1]]) / 2**0.5
    for point in points_of(straight, 10):
        assert tilted.value(turn @ point) == pytest.approx(straight.value(point))
    np.testing.assert_allclose(np.linalg.eigvalsh(tilted.hessian(np.zeros(2))), [1, 100])


def test_names():
    assert find_surface("x^2").name == find_surface("x²").name == "parabola"
    with pytest.raises(GradatimError, match="received 'bale'"):
        find_surface("bale")
