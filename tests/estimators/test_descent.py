"""Gradient descent: its rates, its convergence test, batches and momentum; on quadratics whose answers are known."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gradatim.estimators.descent import Rule, batches, descend

SCALES = np.array([1.0, 10.0])


def bowl(at, rows):
    return float((SCALES * at**2).sum() / 2), SCALES * at


@pytest.mark.parametrize("momentum, nesterov", [(0.0, False), (0.5, False), (0.9, False), (0.5, True), (0.9, True)])
def test_the_largest_stable_rate_parts_convergence_from_divergence(momentum, nesterov):
    bound = Rule(momentum=momentum, nesterov=nesterov).largest_stable_rate(10.0)
    for factor, ending in ((0.99, "converged"), (1.01, "diverged")):
        rule = Rule(factor * bound, momentum=momentum, nesterov=nesterov, tol=1e-12, max_iter=20_000)
        path = descend(bowl, np.array([1.0, 1.0]), 1, rule)
        assert path.ending == ending
        if ending == "converged":
            np.testing.assert_allclose(path.parameters, 0, atol=1e-4)


def test_every_step_is_that_of_the_formula():
    start = np.array([2.0, -1.0])
    path = descend(bowl, start, 1, Rule(0.05, tol=0, max_iter=7))
    np.testing.assert_allclose(path.parameters, start * (1 - 0.05 * SCALES) ** 7)
    heavy = descend(bowl, start, 1, Rule(0.05, momentum=0.8, tol=0, max_iter=3)).parameters
    ahead = descend(bowl, start, 1, Rule(0.05, momentum=0.8, nesterov=True, tol=0, max_iter=3)).parameters
    at, velocity = start, np.zeros(2)
    other, speed = start, np.zeros(2)
    for _ in range(3):
        velocity = 0.8 * velocity - 0.05 * SCALES * at
        at = at + velocity
        speed = 0.8 * speed - 0.05 * SCALES * (other + 0.8 * speed)
        other = other + speed
    np.testing.assert_allclose(heavy, at)
    np.testing.assert_allclose(ahead, other)


@settings(max_examples=25, deadline=None)
@given(st.floats(-8, 8), st.booleans(), st.sampled_from([0.0, 0.7]))
def test_line_search_descends_whatever_the_scale(exponent, nesterov, momentum):
    factor = 10.0**exponent

    def scaled(at, rows):
        value, gradient = bowl(at, rows)
        return factor * value, factor * gradient

    rule = Rule(momentum=momentum, nesterov=nesterov, tol=1e-12, max_iter=3000)
    path = descend(scaled, np.array([3.0, 1.0]), 1, rule)
    assert path.ending == "converged" and path.costs[-1] < 1e-7 * path.costs[0]
    if not momentum:
        assert all(after <= before for before, after in pairwise(path.costs))


def test_momentum_needs_fewer_steps_on_a_narrow_valley():
    def narrow(at, rows):
        scales = np.array([1.0, 200.0])
        return float((scales * at**2).sum() / 2), scales * at

    start, counts = np.array([1.0, 1.0]), []
    for momentum in (0.0, 0.9):
        path = descend(narrow, start, 1, Rule(0.004, momentum=momentum, tol=0, max_iter=5000))
        counts.append(next(number for number, cost in enumerate(path.costs) if cost < 1e-6))
    assert counts[1] * 3 < counts[0]


def test_convergence_is_relative_or_absolute():
    absolute = descend(bowl, np.array([100.0, 0.0]), 1, Rule(0.1, tol=1e-3, absolute=True))
    falls = [before - after for before, after in pairwise(absolute.costs)]
    assert falls[-1] <= 1e-3 < falls[-2]
    relative = descend(bowl, np.array([100.0, 0.0]), 1, Rule(0.1, tol=0.5))
    assert relative.iterations == 1 and relative.ending == "converged"


@settings(max_examples=50, deadline=None)
@given(st.integers(1, 40), st.integers(1, 50))
def test_a_walk_visits_each_row_once(rows, size):
    found = list(batches(rows, size, np.random.default_rng(rows)))
    assert sorted(np.concatenate(found)) == list(range(rows))
    assert all(len(batch) == size for batch in found[:-1]) and 0 < len(found[-1]) <= size


def test_an_observer_may_stop():
    path = descend(bowl, np.ones(2), 1, Rule(0.01), observe=lambda at, cost, iteration: iteration == 4)
    assert path.iterations == 4 and path.ending == "stopped"
