"""Newton, Gauss-Newton, L-BFGS and the line searches against torch, scipy, their conditions and their definitions."""

from dataclasses import replace

import numpy as np
import pytest
import scipy.optimize
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from gradatim.autodiff.optimisers.second_order import (
    METHODS,
    Objective,
    armijo,
    find_length,
    gauss_newton,
    lbfgs,
    levenberg_marquardt,
    newton,
    random_perturbation,
    saddle_free_newton,
    strong_wolfe,
    two_loops,
)
from gradatim.autodiff.race.surfaces import SURFACES, find_surface
from gradatim.errors import GradatimError

SMOOTH = [name for name in SURFACES if name != "parabola"]


def walk(method, surface, steps, **options):
    point, state, path = np.array(surface.start), {}, []
    for _ in range(steps):
        point, state = method(surface, point, state, **options)
        path.append(point)
    return np.stack(path)


def random_bowl(seed: int, size: int = 6) -> tuple[np.ndarray, np.ndarray]:
    draw = np.random.default_rng(seed)
    factor = draw.standard_normal((size, size))
    return factor @ factor.T + 0.1 * np.eye(size), draw.standard_normal(size)


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=25, deadline=None)
def test_newton_solves_a_bowl_in_one_step(seed):
    bowl, vjp = random_bowl(seed)
    objective = Objective(lambda x: x @ bowl @ x / 2 - vjp @ x, lambda x: bowl @ x - vjp, lambda x: bowl)
    expected = np.linalg.solve(bowl, vjp)
    for method in (newton, saddle_free_newton):
        options = {"damping": 0.0} if method is saddle_free_newton else {}
        moved, _ = method(objective, np.ones(6), {}, **options)
        np.testing.assert_allclose(moved, expected, rtol=1e-6, atol=1e-8)


def test_newton_is_drawn_to_a_saddle_and_the_saddle_free_one_is_not():
    saddle = find_surface("saddle")
    np.testing.assert_allclose(walk(newton, saddle, 20)[-1], [0, 0], atol=1e-9)
    np.testing.assert_allclose(walk(saddle_free_newton, saddle, 30)[-1], [0, 1], atol=1e-9)


def test_damping_turns_newton_towards_the_gradient():
    bowl, vjp = random_bowl(3)
    objective = Objective(lambda x: 0.0, lambda x: bowl @ x - vjp, lambda x: bowl)
    start = np.ones(6)
    step = newton(objective, start, {}, damping=1e8)[0] - start
    down = -(bowl @ start - vjp)
    assert step @ down / np.linalg.norm(step) / np.linalg.norm(down) == pytest.approx(1, abs=1e-6)


def test_gauss_newton_is_newton_where_residuals_are_straight():
    line = find_surface("regression")
    moved, _ = gauss_newton(line, np.array([5.0, -3.0]), {})
    np.testing.assert_allclose(moved, line.minima[0], rtol=1e-9)


def test_gauss_newton_solves_rosenbrock_in_two_steps():
    """The first step lands on (1, …), the second solves the now straight residual: a known property."""
    path = walk(gauss_newton, find_surface("rosenbrock"), 2)
    assert path[0][0] == pytest.approx(1.0) and path[1] == pytest.approx([1.0, 1.0])


@pytest.mark.parametrize("name", ["beale", "rosenbrock", "himmelblau"])
def test_levenberg_marquardt_never_rises_and_ends_where_scipy_does(name):
    surface = find_surface(name)
    if name == "beale":  # from its own start MINPACK follows the other valley to infinity
        surface = replace(surface, start=(1.0, 1.0))
    path = walk(levenberg_marquardt, surface, 100)
    values = surface.value(np.vstack([surface.start, path]))
    assert (np.diff(values) <= 0).all()
    theirs = scipy.optimize.least_squares(surface.residuals, surface.start, jac=surface.jacobian, method="lm")
    assert surface.distance(theirs.x) < 1e-6 and surface.distance(path[-1]) < 1e-6


def test_a_refused_step_damps_more_and_an_accepted_one_less():
    surface = find_surface("rosenbrock")
    point, state = np.array(surface.start), {}
    for _ in range(30):
        moved, after = levenberg_marquardt(surface, point, state)
        before = state.get("damping", 1e-2)
        assert after["damping"] == pytest.approx(before / 10 if (moved != point).any() else before * 10)
        point, state = moved, after


@pytest.mark.parametrize(
    ("name", "rate"), [("beale", 0.2), ("rosenbrock", 0.5), ("himmelblau", 0.2), ("ravine", 0.5), ("gaussians", 0.3)]
)
def test_lbfgs_equals_torch_without_a_line_search(name, rate):
    """At a fixed length, until the gradient is gone.

    Tiny lengths are left out: consecutive pairs are then nearly parallel and rounding grows, in both alike. Very near
    the minimum torch forgets pairs with sᵀy ≤ 1e-10, whatever their size; here the bound is relative.
    """
    surface = find_surface(name)
    point = torch.tensor(surface.start, dtype=torch.float64, requires_grad=True)
    optimiser = torch.optim.LBFGS([point], lr=rate, max_iter=1, history_size=10, tolerance_grad=0, tolerance_change=0)

    def closure():
        point.grad = torch.tensor(surface.gradient(point.detach().numpy()))
        return torch.tensor(float(surface.value(point.detach().numpy())))

    found = walk(lbfgs, surface, 200, learning_rate=rate, line_search="none")
    compared = 0
    for mine in found:
        if np.linalg.norm(surface.gradient(point.detach().numpy())) < 1e-2:
            break
        optimiser.step(closure)
        np.testing.assert_allclose(mine, point.detach().numpy(), rtol=1e-9, atol=1e-10)
        compared += 1
    assert compared > 10


@pytest.mark.parametrize("search", ["wolfe", "armijo"])
@pytest.mark.parametrize("name", ["beale", "rosenbrock", "himmelblau", "gaussians", "plateau", "ravine", "regression"])
def test_lbfgs_arrives_and_never_rises(name, search):
    surface = find_surface(name)
    path = walk(lbfgs, surface, 100, line_search=search)
    values = surface.value(np.vstack([surface.start, path]))
    assert (np.diff(values) <= 1e-12).all()
    assert surface.distance(path[-1]) < 1e-6


def test_lbfgs_on_rosenbrock_in_ten_dimensions_takes_about_as_many_steps_as_scipy():
    start = np.tile([-1.2, 1.0], 5)
    objective = Objective(scipy.optimize.rosen, scipy.optimize.rosen_der)
    theirs = scipy.optimize.minimize(
        scipy.optimize.rosen, start, jac=scipy.optimize.rosen_der, method="L-BFGS-B", options={"gtol": 1e-6}
    )
    point, state, steps = start, {}, 0
    while np.abs(objective.gradient(point)).max() > 1e-6:
        point, state = lbfgs(objective, point, state)
        steps += 1
        assert steps < 300
    np.testing.assert_allclose(point, theirs.x, atol=1e-4)
    assert steps < 1.5 * theirs.nit


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=25, deadline=None)
def test_two_loops_is_the_bfgs_formula(seed):
    """H ← (I − ρsyᵀ)H(I − ρysᵀ) + ρssᵀ, written with whole matrices."""
    draw = np.random.default_rng(seed)
    bowl, g = random_bowl(seed)
    pairs = tuple((s, bowl @ s) for s in draw.standard_normal((4, 6)))
    s, y = pairs[-1]
    inverse = (s @ y) / (y @ y) * np.eye(6)
    for s, y in pairs:
        rho = 1 / (s @ y)
        left = np.eye(6) - rho * np.outer(s, y)
        inverse = left @ inverse @ left.T + rho * np.outer(s, s)
    expected = inverse @ g
    np.testing.assert_allclose(two_loops(g, pairs), expected, rtol=1e-6, atol=1e-7 * np.abs(expected).max())


@given(st.sampled_from(SMOOTH), st.integers(0, 2**32 - 1), st.sampled_from([1e-3, 1.0, 30.0]))
@settings(max_examples=150, deadline=None)
def test_line_searches_keep_their_conditions(name, seed, first):
    surface = find_surface(name)
    draw = np.random.default_rng(seed)
    point = np.array([draw.uniform(low, high) for low, high in surface.bounds])
    g = surface.gradient(point)
    turned = draw.standard_normal(2)
    direction = -g + 0.5 * np.linalg.norm(g) * turned / np.linalg.norm(turned)
    value, slope = surface.value(point), g @ direction
    if slope > -1e-8:
        return
    length = armijo(surface, point, direction, first=first)
    assert length > 0
    assert surface.value(point + length * direction) <= value + 1e-4 * length * slope + 1e-12 * abs(value)
    length = strong_wolfe(surface, point, direction, first=first)
    assert length > 0
    assert surface.value(point + length * direction) <= value + 1e-4 * length * slope + 1e-12 * abs(value)
    # on the surfaces that fall for ever towards infinity there may be no such point along the line
    if name not in ("gaussians", "plateau", "beale"):
        assert abs(surface.gradient(point + length * direction) @ direction) <= 0.9 * abs(slope) + 1e-9


def test_line_searches_give_up_uphill_and_beyond_numbers():
    bowl = Objective(lambda x: float(x @ x), lambda x: 2 * x)
    assert strong_wolfe(bowl, np.ones(1), np.ones(1)) == 0.0
    assert armijo(bowl, np.ones(1), np.ones(1)) == 0.0
    cliff = Objective(lambda x: -float(x[0]) if x[0] < 1.5 else np.inf, lambda x: np.array([-1.0]))
    length = strong_wolfe(cliff, np.zeros(1), np.ones(1), first=8.0)
    assert 0 < length < 1.5
    with pytest.raises(GradatimError, match="received 'golden'"):
        find_length(bowl, np.ones(1), -np.ones(1), line_search="golden")


def test_random_perturbation_only_accepts_what_is_lower_and_repeats_itself():
    surface = find_surface("beale")
    path = walk(random_perturbation, surface, 300)
    values = surface.value(np.vstack([surface.start, path]))
    assert (np.diff(values) <= 0).all() and (np.diff(values) == 0).sum() > 100
    np.testing.assert_array_equal(path, walk(random_perturbation, surface, 300))
    assert (path != walk(random_perturbation, surface, 300, seed=1)).any()


def test_sums_of_squares_are_asked_for():
    for method in (gauss_newton, levenberg_marquardt):
        with pytest.raises(GradatimError, match="sum of squares"):
            method(find_surface("saddle"), np.ones(2), {})


def test_methods_change_nothing_in_place():
    surface = find_surface("beale")
    for name, method in METHODS.items():
        point = np.array(surface.start)
        point.setflags(write=False)
        once, state = method.advance(surface, point, {}, **method.settings)
        again, _ = method.advance(surface, point, {}, **method.settings)
        np.testing.assert_array_equal(once, again, err_msg=name)
        kept = dict(state)
        method.advance(surface, once, state, **method.settings)
        assert state.keys() == kept.keys() and all(state[key] is kept[key] for key in kept)
