"""Each first-order rule against torch.optim where torch has it, and against its equation in plain Python elsewhere."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from gradatim.autodiff.optimisers import first_order as optimisers
from gradatim.autodiff.optimisers.first_order import RULES, find_rule, look_ahead
from gradatim.errors import GradatimError

STEPS = 200
START = np.array([[1.5, -0.7, 0.3], [-2.0, 0.9, 1.1]])
CURVE = torch.tensor([[1.0, 5.0, 0.2], [3.0, 0.5, 8.0]], dtype=torch.float64)


def loss(parameters: torch.Tensor) -> torch.Tensor:
    """Curved differently along each coordinate, with a wave in it, so that no two rules walk alike.

    Rates are such that nobody arrives within the steps: at a minimum RMSProp flips between signs, and the last bit of a
    number decides where.
    """
    return (CURVE * parameters**2).sum() / 2 + torch.sin(parameters).sum() + parameters.prod()


def gradient(parameters: np.ndarray) -> np.ndarray:
    point = torch.tensor(parameters, dtype=torch.float64, requires_grad=True)
    loss(point).backward()
    assert point.grad is not None
    return point.grad.numpy()


def walk(rule, rate: float, **options) -> np.ndarray:
    point, state, path = START.copy(), {}, []
    for _ in range(STEPS):
        before = point.copy()
        point, state = rule(point, gradient(point), state, learning_rate=rate, **options)
        assert point is not before
        path.append(point)
    return np.stack(path)


def walk_torch(kind, **options) -> np.ndarray:
    point = torch.tensor(START, requires_grad=True)
    optimiser, path = kind([point], **options), []
    for _ in range(STEPS):
        optimiser.zero_grad()
        loss(point).backward()
        optimiser.step()
        path.append(point.detach().numpy().copy())
    return np.stack(path)


o, t = optimisers, torch.optim
CASES = [
    (o.descent, t.SGD, 0.01, {}, {}),
    (o.momentum_of_gradients, t.SGD, 0.005, {}, {"momentum": 0.9}),
    (o.nesterov_rearranged, t.SGD, 0.005, {}, {"momentum": 0.9, "nesterov": True}),
    (o.adagrad, t.Adagrad, 0.1, {}, {}),
    (o.adadelta, t.Adadelta, 1.0, {}, {}),
    (o.rmsprop, t.RMSprop, 0.001, {}, {"alpha": 0.9}),
    (o.rmsprop, t.RMSprop, 1e-4, {"momentum": 0.9}, {"alpha": 0.9, "momentum": 0.9}),
    (o.rmsprop_centred, t.RMSprop, 1e-4, {}, {"alpha": 0.9, "centered": True}),
    (o.adam, t.Adam, 0.02, {}, {}),
    (o.amsgrad, t.Adam, 0.02, {}, {"amsgrad": True}),
    (o.adamw, t.AdamW, 0.02, {}, {}),
    (o.adamax, t.Adamax, 0.02, {}, {}),
    (o.nadam, t.NAdam, 0.02, {}, {}),
]


@pytest.fixture
def _double_precision():
    """torch keeps NAdam's running product in the default precision."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(before)


@pytest.mark.usefixtures("_double_precision")
@pytest.mark.parametrize("decay", [None, 0.1], ids=["plain", "decayed"])
@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case[0].__name__}-{len(case[3])}")
def test_equal_to_torch_over_200_steps(case, decay):
    rule, kind, rate, ours, theirs = case
    weight = {} if decay is None else {"weight_decay": decay}
    expected = walk_torch(kind, lr=rate, **theirs, **weight)
    found = walk(rule, rate, **ours, **weight)
    assert np.abs(expected).max() < 100 and np.abs(expected[-1] - expected[0]).max() > 1e-3
    np.testing.assert_allclose(found, expected, rtol=1e-10, atol=1e-12)


def test_adagrad_and_adadelta_in_plain_numbers():
    """One coordinate, one line of the paper after another, without arrays."""
    x, total = 3.0, 0.0
    y, square, moved = 3.0, 0.0, 0.0
    z, mean = 3.0, 0.0
    states = [{}, {}, {}]
    points = [np.array([3.0])] * 3
    for _ in range(STEPS):
        g = 2 * x + math.cos(x)
        total += g * g
        x -= 0.5 * g / (math.sqrt(total) + 1e-10)
        g = 2 * y + math.cos(y)
        square = 0.9 * square + 0.1 * g * g
        delta = math.sqrt(moved + 1e-6) / math.sqrt(square + 1e-6) * g
        moved = 0.9 * moved + 0.1 * delta * delta
        y -= delta
        g = 2 * z + math.cos(z)
        mean = 0.9 * mean + 0.1 * g * g
        z -= 0.01 * g / math.sqrt(mean + 1e-6)
        for place, (rule, rate) in enumerate(
            ((o.adagrad, 0.5), (o.adadelta, 1.0), (o.so_called_adadelta, 0.01))
        ):
            at = points[place]
            points[place], states[place] = rule(at, 2 * at + np.cos(at), states[place], learning_rate=rate)
    assert points[0][0] == pytest.approx(x, rel=1e-12)
    assert points[1][0] == pytest.approx(y, rel=1e-12)
    assert points[2][0] == pytest.approx(z, rel=1e-12)


def test_what_is_often_called_adadelta_is_rmsprop_and_not_adadelta():
    """With the same small ε the so-called rule walks as RMSProp does; Zeiler's own walks elsewhere."""
    so_called = walk(o.so_called_adadelta, 0.001, epsilon=1e-20)
    np.testing.assert_allclose(so_called, walk(o.rmsprop, 0.001, epsilon=1e-10), rtol=1e-6)
    assert np.abs(so_called - walk(o.adadelta, 1.0)).max() > 0.1


def test_the_two_momenta_walk_alike_until_the_rate_changes():
    """v of one is −η times v of the other; a new rate acts on all of one velocity, on the new part of the other."""
    np.testing.assert_allclose(
        walk(o.momentum_of_gradients, 0.005), walk(o.momentum_of_steps, 0.005), rtol=1e-9, atol=1e-12
    )
    one = other = np.array([1.0])
    states = [{}, {}]
    for rate in (0.1, 0.1, 0.01):
        one, states[0] = o.momentum_of_gradients(one, 2 * one, states[0], learning_rate=rate)
        other, states[1] = o.momentum_of_steps(other, 2 * other, states[1], learning_rate=rate)
    # by hand: 1, 0.8, then v = 0.9·2 + 1.6 = 3.4 → 0.46; now v = 0.9·3.4 + 0.92 = 3.98
    assert one[0] == pytest.approx(0.46 - 0.01 * 3.98, rel=1e-12)
    assert other[0] == pytest.approx(0.46 - 0.9 * 0.34 - 0.01 * 0.92, rel=1e-12)


def test_both_forms_of_nesterov_are_one_path_seen_from_two_points():
    """The re-arranged form stands where the other looks ahead to."""
    point, state, ahead = START.copy(), {}, []
    for _ in range(STEPS):
        at = look_ahead(point, state)
        point, state = o.nesterov_look_ahead(point, gradient(at), state, learning_rate=0.005)
        ahead.append(look_ahead(point, state))
    np.testing.assert_allclose(walk(o.nesterov_rearranged, 0.005), np.stack(ahead), rtol=1e-9, atol=1e-12)


def test_look_ahead_form_in_plain_numbers():
    x, v, point, state = 1.0, 0.0, np.array([1.0]), {}
    for _ in range(STEPS):
        v = 0.9 * v - 0.05 * (x + 0.9 * v - math.sin(x + 0.9 * v))
        x += v
        at = look_ahead(point, state)
        point, state = o.nesterov_look_ahead(point, at - np.sin(at), state, learning_rate=0.05)
    assert point[0] == pytest.approx(x, rel=1e-10)


def test_adam_uses_squares_and_corrects_its_bias():
    """First step η·sign(g) for any size of gradient: it would be 3.16η without the correction, and not from v of g."""
    for size in (1e-3, 1.0, 1e4):
        moved, _ = o.adam(np.array([0.0, 0.0]), np.array([size, -size]), {}, learning_rate=0.1)
        np.testing.assert_allclose(moved, [-0.1, 0.1], rtol=1e-4)


def test_decoupled_decay_is_not_the_coupled_one():
    decoupled, coupled = walk(o.adamw, 0.02, weight_decay=0.5), walk(o.adam, 0.02, weight_decay=0.5)
    assert np.abs(decoupled[-1] - coupled[-1]).max() > 1e-3
    np.testing.assert_array_equal(walk(o.adamw, 0.02, weight_decay=0.0), walk(o.adam, 0.02))


def test_muon_makes_the_update_orthogonal():
    """The same update as the library's own Muon, in double precision; all singular values pushed near one."""
    draw = np.random.default_rng(0)
    for shape in ((6, 4), (4, 6), (8, 3, 2, 2)):
        g = draw.standard_normal(shape)
        moved, _ = o.muon(np.zeros(shape), g, {}, learning_rate=1.0)
        flat = moved.reshape(len(moved), -1)
        values = np.linalg.svd(flat, compute_uv=False) / (0.2 * np.sqrt(max(flat.shape)))
        assert values.min() > 0.6 and values.max() < 1.3
    with pytest.raises(GradatimError, match="use adamw"):
        o.muon(np.zeros(3), np.ones(3), {}, learning_rate=0.1)


def test_muon_equals_the_trainer_s():
    from gradatim.train.muon import Muon

    weight = torch.randn(5, 7, generator=torch.Generator().manual_seed(0))
    parameter, point, state = torch.nn.Parameter(weight.clone()), weight.double().numpy(), {}
    trainer = Muon([{"params": [parameter], "muon": True, "weight_decay": 0.1}], lr=0.05)
    for _ in range(20):
        (parameter**4).sum().backward()
        trainer.step()
        trainer.zero_grad()
        point, state = o.muon(point, 4 * point**3, state, learning_rate=0.05, weight_decay=0.1)
    np.testing.assert_allclose(parameter.detach().numpy(), point, atol=2e-4)


@given(st.sampled_from([name for name in RULES if name != "muon"]), st.integers(0, 2**32 - 1))
@settings(max_examples=60, deadline=None)
def test_rules_are_pure_and_keep_shape_and_precision(name, seed):
    """Nothing given is changed, a second call gives the same, float32 stays float32."""
    draw = np.random.default_rng(seed)
    point = draw.standard_normal((2, 3)).astype(np.float32)
    g = draw.standard_normal((2, 3)).astype(np.float32)
    point.setflags(write=False)
    g.setflags(write=False)
    update = RULES[name].update
    first, state = update(point, g, {}, learning_rate=0.1)
    for value in state.values():
        if isinstance(value, np.ndarray):
            value.setflags(write=False)
    once, twice = (update(first, g, state, learning_rate=0.1)[0] for _ in range(2))
    np.testing.assert_array_equal(once, twice)
    assert once.shape == point.shape and once.dtype == np.float32


@pytest.mark.parametrize("name", [name for name in RULES if name != "muon"])
def test_every_rule_goes_downhill_from_rest(name):
    moved, _ = RULES[name].update(np.array([1.0, -1.0]), np.array([2.0, -3.0]), {}, learning_rate=1e-3)
    assert moved[0] < 1.0 and moved[1] > -1.0


def test_an_unknown_rule_is_one_line():
    with pytest.raises(GradatimError, match="received 'sdg'") as caught:
        find_rule("sdg")
    assert "\n" not in str(caught.value)
