"""The engine itself: the worked examples, sums over second uses, what it refuses and how it says so."""

import gc
import weakref

import numpy as np
import pytest

from gradatim.autodiff.engine.functions import exp, maximum
from gradatim.autodiff.engine.gradients import add_at
from gradatim.autodiff.engine.losses import squared_error
from gradatim.autodiff.engine.tensor import Tensor, topological_order, without_gradient
from gradatim.errors import GradatimError


def leaf(value: object, name: str | None = None) -> Tensor:
    return Tensor(np.asarray(value, float), requires_gradient=True, name=name)


def test_three_times_a_plus_b_times_c() -> None:
    a, b, c = leaf(5, "a"), leaf(3, "b"), leaf(2, "c")
    loss = 3 * (a + b * c)
    loss.backward()
    assert loss.item() == 33
    assert [tensor.gradient for tensor in (a, b, c)] == [3, 6, 9]


def test_x_plus_y_times_z() -> None:
    x, y, z = leaf(-2), leaf(5), leaf(-4)
    f = (x + y) * z
    f.backward()
    assert f.item() == -12
    assert [tensor.gradient for tensor in (x, y, z)] == [-4, -4, 3]


def golden_network(w: dict[str, Tensor]) -> dict[str, Tensor]:
    """Inputs (2, 1), target 5, two ReLU units and a linear output."""
    x1, x2 = 2.0, 1.0
    o1 = w["w1"] * x1 + w["w2"] * x2 + w["b1"]
    o2 = w["w3"] * x1 + w["w4"] * x2 + w["b2"]
    o3, o4 = maximum(o1, 0.0), maximum(o2, 0.0)
    o5 = w["w5"] * o3 + w["w6"] * o4 + w["b3"]
    return {"o1": o1, "o2": o2, "o3": o3, "o4": o4, "o5": o5, "loss": (o5 - 5.0) ** 2}


def test_golden_network() -> None:
    start = {"w1": 0, "w2": 2, "b1": 3, "w3": -4, "w4": -1, "b2": 1, "w5": -2, "w6": 0, "b3": 6}
    w = {name: leaf(value, name) for name, value in start.items()}
    nodes = golden_network(w)
    nodes["loss"].backward()
    assert {name: node.item() for name, node in nodes.items()} == {
        "o1": 5, "o2": -8, "o3": 5, "o4": 0, "o5": -4, "loss": 81
    }  # fmt: skip
    gradients = {name: float(tensor.gradient) for name, tensor in {**w, **nodes}.items() if tensor.gradient is not None}
    assert gradients == {
        "w1": 72, "w2": 36, "b1": 36, "w3": 0, "w4": 0, "b2": 0, "w5": -90, "w6": 0, "b3": -18,
        "o1": 36, "o2": 0, "o3": 36, "o4": 0, "o5": -18, "loss": 1,
    }  # fmt: skip
    for tensor in w.values():
        tensor.value = tensor.value - 1e-3 * tensor.gradient
    assert w["w5"].item() == pytest.approx(-1.91) and w["w1"].item() == pytest.approx(-0.072)
    assert golden_network(w)["loss"].item() == pytest.approx(65.92531, abs=5e-6)


@pytest.mark.parametrize(("weight", "expected"), [(1.5, 6.376e8), (0.5, 8.88e-16)])
def test_a_gradient_through_fifty_layers_explodes_or_vanishes(weight: float, expected: float) -> None:
    x = leaf(1)
    y = x
    for _ in range(50):
        y = y * weight
    y.backward()
    assert x.gradient == pytest.approx(expected, rel=1e-3)


def test_a_second_use_adds_its_gradient() -> None:
    x = leaf([1.0, 2.0])
    y = x * x
    (y + exp(x) * y).sum().backward()
    np.testing.assert_allclose(x.gradient, 2 * x.value + np.exp(x.value) * (2 * x.value + x.value**2))


def test_leaves_add_up_over_two_losses_that_share_a_part() -> None:
    x = leaf(3)
    shared = x * x
    (2 * shared).backward()
    (5 * shared).backward()
    assert x.gradient == 7 * 6
    assert shared.gradient == 5  # of the last sweep


def test_gradients_of_two_parents_are_not_one_array() -> None:
    a, b = leaf([1.0]), leaf([2.0])
    (a + b).sum().backward()
    assert a.gradient is not None
    with pytest.raises(ValueError, match="read-only"):
        a.gradient *= 2


def test_order_has_parents_before_children_and_holds_deep_graphs() -> None:
    x = leaf(1)
    y = x
    for _ in range(20_000):
        y = y + x * 0
    order = topological_order(y)
    place = {node: number for number, node in enumerate(order)}
    assert order[-1] is y and len(place) == len(order)
    assert all(place[parent] < place[node] for node in order for parent in node.parents)
    y.backward()
    assert x.gradient == 1


def test_vjp_gives_the_local_derivatives() -> None:
    a, b = leaf([2.0, 3.0]), leaf(4)
    product = a * b
    to_a, to_b = product.vjp(np.ones(2))
    assert to_a is not None and to_a.tolist() == [4, 4]
    assert to_b is not None and to_b.tolist() == 5
    assert (a * 2.0).vjp(np.ones(2))[1] is None


def test_graph_is_freed_with_its_loss() -> None:
    gc.disable()
    try:
        x = leaf(np.ones(3))
        middle = exp(x * 2)
        watched = weakref.ref(middle)
        loss = (middle @ middle) / middle.sum()
        loss.backward()
        del middle, loss
        assert watched() is None
    finally:
        gc.enable()


def test_without_gradient_remembers_nothing() -> None:
    x = leaf(2)
    with without_gradient():
        y = x * x
    assert y.parents == () and not y.requires_gradient
    assert (x * x).requires_gradient


def test_values_are_our_own_and_read_only() -> None:
    array = np.ones(3)
    x = leaf(array)
    array[0] = 5
    assert x.value.tolist() == [1, 1, 1]
    for tensor in (x, x * 2, x.reshape(3, 1), x[1:]):
        with pytest.raises(ValueError, match="read-only"):
            tensor.value[0] = 1
    with pytest.raises(GradatimError, match="use where or concatenate"):
        x[0] = 1


@pytest.mark.parametrize(("kind", "expected"), [(np.float32, np.float32), (np.int64, np.float64), (bool, np.float64)])
def test_precision(kind: type, expected: type) -> None:
    x = Tensor(np.ones(3, kind), requires_gradient=True)
    y = 2 * x / 3 - 1.5 + x**2
    y.sum().backward()
    assert y.dtype == expected and x.gradient is not None and x.gradient.dtype == expected


def test_mixed_precision_gives_each_leaf_its_own() -> None:
    single, double = Tensor(np.ones(2, np.float32), requires_gradient=True), leaf([1.0, 2.0])
    (single * double).sum().backward()
    assert single.gradient is not None and single.gradient.dtype == np.float32
    assert double.gradient is not None and double.gradient.dtype == np.float64


def twice() -> None:
    loss = leaf(2) ** 2
    loss.backward()
    loss.backward()


def replaced() -> None:
    x = leaf(2, "weight")
    loss = x * x
    x.value = 3
    loss.backward()


REFUSED = {
    "a single number to start from, received shape \\(3,\\)": lambda: (leaf([1, 2, 3]) * 2).backward(),
    "upstream gradient of shape \\(3,\\), received \\(2,\\)": lambda: (leaf([1, 2, 3]) * 2).backward([1, 2]),
    "one backward pass, received a second": twice,
    "weight\\) was replaced after the forward pass": replaced,
    "requires_gradient=True": lambda: (Tensor(2) * 2).backward(),
    "shapes that fit, received \\(3,\\) and \\(4,\\)": lambda: leaf(np.ones(3)) + np.ones(4),
    "\\(…, n, k\\) @ \\(…, k, m\\), received \\(2, 3\\) @ \\(2, 3\\)": lambda: leaf(np.ones((2, 3))) @ np.ones((2, 3)),
    "leading axes that broadcast": lambda: leaf(np.ones((2, 3, 3))) @ np.ones((4, 3, 3)),
    "each of 2 axes once": lambda: leaf(np.ones((2, 3))).transpose(0, 0),
    "within shape \\(2,\\), received 5": lambda: leaf([1, 2])[5],
    "expected numbers, received": lambda: Tensor(["a"]),
    "value of shape \\(\\)": lambda: setattr(leaf(1), "value", [1, 2]),
    "expected a leaf to set": lambda: setattr(leaf(1) * 2, "value", 1),
    "a target for each prediction, received \\(3, 1\\) for \\(3,\\)": lambda: squared_error(
        leaf(np.ones(3)), np.ones((3, 1))
    ),
}


@pytest.mark.parametrize("message", REFUSED)
def test_misuse_is_refused_in_one_line(message: str) -> None:
    with pytest.raises(GradatimError, match=message) as caught:
        REFUSED[message]()
    assert "\n" not in str(caught.value)


def test_rows_are_added_as_by_numpy() -> None:
    random = np.random.default_rng(0)
    for shape, rows in [((5, 3), (20,)), ((5, 2, 3), (4, 3)), ((5,), (9,))]:
        index, total = random.integers(-5, 5, rows), random.random(shape)
        values, expected = random.random((*rows, *shape[1:])), total.copy()
        np.add.at(expected, index, values)
        add_at(total, index, values)
        np.testing.assert_allclose(total, expected, rtol=1e-12)


def test_ties_follow_pytorch() -> None:
    from gradatim.autodiff.engine.functions import absolute, clip, largest

    a, b = leaf([1.0, 2.0]), leaf([1.0, 0.0])
    maximum(a, b).sum().backward()
    assert a.gradient is not None and a.gradient.tolist() == [0.5, 1] and b.gradient is not None
    assert b.gradient.tolist() == [0.5, 0]
    for function, value, expected in [
        (largest, [2.0, 1.0, 2.0], [0.5, 0, 0.5]), (absolute, [0.0], [0]),
        (lambda x: clip(x, 0, 1), [0.0, 1.0], [1, 1]),
    ]:  # fmt: skip
        x = leaf(value)
        function(x).sum().backward()
        assert x.gradient is not None and x.gradient.tolist() == expected


def test_powers_at_zero() -> None:
    base, exponent = leaf([0.0, 0.0, 2.0]), leaf([0.0, 2.0, 0.0])
    (base**exponent).sum().backward()
    assert base.gradient is not None and base.gradient.tolist() == [0, 0, 0]
    assert exponent.gradient is not None and exponent.gradient.tolist() == [0, 0, pytest.approx(np.log(2))]
