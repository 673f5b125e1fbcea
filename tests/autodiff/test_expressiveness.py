"""Nets built by hand: every truth table, bumps within their bound, the collapse of linear stacks, endless samples."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from gradatim.autodiff.expressiveness import (
    all_inputs,
    bump_network,
    collapse,
    conjunctive_network,
    disjunctive_network,
    endless_samples,
    formula,
    prime_implicants,
)
from gradatim.errors import GradatimError

BUILDERS = (disjunctive_network, conjunctive_network)


@pytest.mark.parametrize("simplify", [False, True])
@pytest.mark.parametrize("build", BUILDERS)
@pytest.mark.parametrize("inputs", [0, 1, 2, 3])
def test_every_table_of_up_to_three_inputs(build, inputs, simplify) -> None:
    rows = all_inputs(inputs)
    for table in itertools.product((0, 1), repeat=2**inputs):
        network = build(table, simplify=simplify)
        assert_array_equal(network(rows), table)
        assert network.hidden_weights.shape == (network.units, inputs)


@settings(max_examples=40, deadline=None)
@given(st.integers(4, 6).flatmap(lambda n: st.lists(st.integers(0, 1), min_size=2**n, max_size=2**n)))
def test_random_tables_and_the_count_of_units(table) -> None:
    rows = all_inputs(len(table).bit_length() - 1)
    for build, value in zip(BUILDERS, (1, 0)):
        whole, short = build(table), build(table, simplify=True)
        assert_array_equal(whole(rows), table)
        assert_array_equal(short(rows), table)
        assert whole.units == table.count(value) >= short.units


@pytest.mark.parametrize("build", BUILDERS)
def test_the_formula_says_what_the_net_computes(build) -> None:
    for table in itertools.product((0, 1), repeat=8):
        text = formula(build(table, simplify=True)).replace("∧", "and").replace("∨", "or").replace("¬", "not ")
        for row, value in zip(all_inputs(3), table):
            names = {"x1": row[0], "x2": row[1], "x3": row[2], "true": True, "false": False}
            assert bool(eval(text, {"__builtins__": {}}, names)) == bool(value)


def test_units_are_far_from_their_thresholds() -> None:
    """Every sum is at least a half away from 0: a little noise on the inputs changes no answer."""
    rows = all_inputs(4)
    random = np.random.default_rng(0)
    for _ in range(50):
        table = random.integers(0, 2, 16)
        for build in BUILDERS:
            network = build(table)
            inner = rows @ network.hidden_weights.T + network.hidden_biases
            outer = network.hidden(rows) @ network.output_weights + network.output_bias
            assert min(abs(inner).min(initial=1), abs(outer).min()) >= 0.5
            noisy = rows + random.uniform(-0.12, 0.12, rows.shape)
            assert_array_equal(network(noisy), table)


@pytest.mark.parametrize("inputs", [2, 3, 4, 5])
def test_parity_cannot_be_made_shorter(inputs) -> None:
    parity = all_inputs(inputs).sum(axis=1) % 2
    assert disjunctive_network(parity, simplify=True).units == 2 ** (inputs - 1)
    assert conjunctive_network(parity, simplify=True).units == 2 ** (inputs - 1)


def test_prime_implicants_are_all_and_only_those_that_cannot_grow() -> None:
    """Against brute force over all terms of three inputs."""
    every = list(itertools.product((0, 1, None), repeat=3))
    rows = [tuple(row) for row in all_inputs(3).tolist()]

    def held(term):
        return {row for row in rows if all(bit in (None, value) for bit, value in zip(term, row))}

    for table in itertools.product((0, 1), repeat=8):
        true = {row for row, value in zip(rows, table) if value}
        implicants = [term for term in every if held(term) <= true]
        primes = {term for term in implicants if not any(held(term) < held(other) for other in implicants)}
        assert set(prime_implicants(sorted(true))) == primes


@pytest.mark.parametrize("table", [[], [0, 1, 1], [0, 2], [0] * 2**13])
def test_tables_that_are_none(table) -> None:
    with pytest.raises(GradatimError, match="expected 2ⁿ values"):
        disjunctive_network(table)


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 60), st.floats(0.5, 6), st.floats(-3, 3), st.floats(0.5, 5))
def test_bumps_stay_within_slope_times_width(bumps, frequency, low, length) -> None:
    high = low + length
    network = bump_network(lambda x: np.sin(frequency * x), low, high, bumps=bumps)
    x = np.linspace(low, high, 997)
    error = abs(network(x) - np.sin(frequency * x)).max()
    assert error <= frequency * length / bumps + 1e-6
    assert len(network.hidden_weights) == 2 * bumps


def test_bumps_away_from_their_edges_err_by_half_a_width() -> None:
    network = bump_network(lambda x: 3 * x, 0.0, 1.0, bumps=10, steepness=4000.0)
    x = (np.arange(10)[:, None] / 10 + np.linspace(0.005, 0.095, 50)).ravel()
    assert_allclose(abs(network(x) - 3 * x).max(), 3 * 0.045, rtol=1e-6)


@pytest.mark.parametrize("arguments", [(0, 1, 0), (1, 1, 3), (2, 1, 3)])
def test_bumps_that_are_none(arguments) -> None:
    low, high, bumps = arguments
    with pytest.raises(GradatimError, match="expected bumps"):
        bump_network(np.sin, low, high, bumps=bumps)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(1, 5), min_size=2, max_size=7), st.integers(0, 2**32 - 1))
def test_a_linear_stack_is_one_layer(widths, seed) -> None:
    random = np.random.default_rng(seed)
    layers = [(random.normal(size=(out, into)), random.normal(size=out)) for into, out in itertools.pairwise(widths)]
    x = random.normal(size=(20, widths[0]))
    expected = x
    for weight, bias in layers:
        expected = expected @ weight.T + bias
    weight, bias = collapse(layers)
    assert_allclose(x @ weight.T + bias, expected, atol=1e-9)
    assert np.linalg.matrix_rank(weight) <= min(widths)


def test_stacks_that_do_not_fit() -> None:
    with pytest.raises(GradatimError, match="layer 2: expected 3 inputs"):
        collapse([(np.ones((3, 2)), np.ones(3)), (np.ones((1, 4)), np.ones(1))])
    with pytest.raises(GradatimError, match="at least one layer"):
        collapse([])


def test_endless_samples_repeat_by_key_and_never_within_a_stream() -> None:
    first, again, other = (endless_samples(np.sin, -1, 1, batch_size=50, noise=0.1, key=key) for key in (0, 0, 1))
    batches = list(itertools.islice(first, 40))
    for (x, y), (x2, y2) in zip(batches, again):
        assert_array_equal(x, x2)
        assert_array_equal(y, y2)
    assert not np.array_equal(next(other)[0], batches[0][0])
    x, y = (np.concatenate(part) for part in zip(*batches))
    assert len(np.unique(x)) == 2000 and x.min() >= -1 and x.max() <= 1
    residual = y - np.sin(x)
    assert abs(residual.mean()) < 4 * 0.1 / np.sqrt(2000) and abs(residual.std() - 0.1) < 0.01
