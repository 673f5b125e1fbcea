"""Every operation's value and gradient, against PyTorch and against central differences, on random shapes."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from gradatim.autodiff.engine import activations as act
from gradatim.autodiff.engine import convolution as windows
from gradatim.autodiff.engine import functions as fn
from gradatim.autodiff.engine import losses
from gradatim.autodiff.engine.tensor import Tensor

SETTINGS = settings(max_examples=12, deadline=None, derandomize=True)
Shapes = Sequence[tuple[int, ...]]
Values = list[np.ndarray]


def inputs(shapes: Shapes, seed: int, positive: bool = False) -> Values:
    """Random float64 arrays that stay clear of 0, where many functions have a kink."""
    random = np.random.default_rng(seed)
    drawn = [random.standard_normal(shape) for shape in shapes]
    drawn = [np.abs(x) + 0.2 if positive else np.copysign(np.abs(x) + 0.01, x) for x in drawn]
    return [np.asarray(x) for x in drawn]


def check(ours: Callable[..., Tensor], theirs: Callable[..., torch.Tensor] | None, arrays: Values, seed: int) -> None:
    """Value and gradients against PyTorch (relative 1e-9) and a directional central difference (relative 1e-6)."""
    random = np.random.default_rng(seed)
    tensors = [Tensor(array, requires_gradient=True) for array in arrays]
    result = ours(*tensors)
    upstream = random.standard_normal(result.shape)
    result.backward(upstream)
    if theirs is not None:
        reference = [torch.tensor(array, requires_grad=True) for array in arrays]
        expected = theirs(*reference)
        expected.backward(torch.tensor(upstream))
        assert result.shape == tuple(expected.shape)
        np.testing.assert_allclose(result.value, expected.detach().numpy(), rtol=1e-9, atol=1e-11)
        for tensor, other in zip(tensors, reference):
            assert other.grad is not None
            np.testing.assert_allclose(tensor.gradient, other.grad.numpy(), rtol=1e-9, atol=1e-11)
    step = 1e-5
    for place, tensor in enumerate(tensors):
        assert tensor.gradient is not None and tensor.gradient.dtype == np.float64
        direction = random.standard_normal(tensor.shape)

        def along(t: float, place: int = place, direction: np.ndarray = direction) -> np.ndarray:
            return ours(*[x + t * direction if i == place else x for i, x in enumerate(arrays)]).value

        numeric = (upstream * (along(step) - along(-step))).sum() / (2 * step)
        exact = (tensor.gradient * direction).sum()
        scale = np.abs(tensor.gradient * direction).sum() + np.abs(upstream * result.value).sum() + 1e-6
        assert abs(numeric - exact) <= 1e-6 * scale


@dataclass(frozen=True)
class Case:
    ours: Callable[..., Tensor]
    theirs: Callable[..., Any] | None
    positive: bool = False


ELEMENTWISE = {
    "exp": Case(fn.exp, torch.exp),
    "log": Case(fn.log, torch.log, True),
    "sqrt": Case(fn.sqrt, torch.sqrt, True),
    "sin": Case(fn.sin, torch.sin),
    "cos": Case(fn.cos, torch.cos),
    "absolute": Case(fn.absolute, torch.abs),
    "negate": Case(lambda x: -x if isinstance(x, Tensor) else -Tensor(x), torch.neg),
    "clip": Case(lambda x: fn.clip(x, -0.5, 0.7), lambda x: x.clamp(-0.5, 0.7)),
    "square": Case(lambda x: fn.as_tensor(x) ** 2, lambda x: x**2),
    "cube": Case(lambda x: fn.as_tensor(x) ** 3.0, lambda x: x**3.0),
    "root by power": Case(lambda x: fn.as_tensor(x) ** -0.5, lambda x: x**-0.5, True),
    "power 0": Case(lambda x: fn.as_tensor(x) ** 0, lambda x: x**0),
    "number to a power": Case(lambda x: 2.0 ** fn.as_tensor(x), lambda x: 2.0**x),
    "number less, over": Case(lambda x: 1 - 2 / fn.as_tensor(x), lambda x: 1 - 2 / x),
    "linear": Case(act.linear, lambda x: x * 1),
    "sigmoid": Case(act.sigmoid, torch.sigmoid),
    "tanh": Case(act.tanh, torch.tanh),
    "relu": Case(act.relu, F.relu),
    "leaky relu": Case(lambda x: act.leaky_relu(x, 0.1), lambda x: F.leaky_relu(x, 0.1)),
    "elu": Case(lambda x: act.elu(x, 1.3), lambda x: F.elu(x, 1.3)),
    "selu": Case(act.selu, F.selu),
    "softplus": Case(act.softplus, lambda x: F.softplus(x, threshold=1000)),
    "silu": Case(act.silu, F.silu),
    "gelu": Case(act.gelu, F.gelu),
    "softmax": Case(lambda x: fn.softmax(x, 0), lambda x: x.softmax(0)),
    "log softmax": Case(lambda x: fn.log_softmax(x, -1), lambda x: x.log_softmax(-1)),
    "log sum exp": Case(lambda x: fn.log_sum_exp(x, -1), lambda x: x.logsumexp(-1)),
    "sum": Case(lambda x: fn.as_tensor(x).sum(), torch.sum),
    "mean along 0": Case(lambda x: fn.as_tensor(x).mean(0), lambda x: x.mean(0)),
    "mean": Case(lambda x: fn.as_tensor(x).mean(), torch.mean),
    "sum, kept": Case(lambda x: fn.as_tensor(x).sum(-1, keepdims=True), lambda x: x.sum(-1, keepdim=True)),
    "variance": Case(fn.variance, lambda x: x.var(correction=0)),
    "variance along −1": Case(lambda x: fn.variance(x, -1), lambda x: x.var(-1, correction=0)),
    "largest": Case(fn.largest, torch.amax),
    "largest along 0": Case(lambda x: fn.largest(x, 0, keepdims=True), lambda x: x.amax(0, keepdim=True)),
    "smallest along −1": Case(lambda x: fn.smallest(x, -1), lambda x: x.amin(-1)),
    "transpose": Case(lambda x: fn.as_tensor(x).T * 2, lambda x: x.permute(*reversed(range(x.ndim))) * 2),
    "flat": Case(lambda x: fn.as_tensor(x).reshape(-1), lambda x: x.reshape(-1)),
    "used twice": Case(lambda x: fn.exp(x) * x + x, lambda x: x.exp() * x + x),
}


@pytest.mark.parametrize("name", ELEMENTWISE)
@SETTINGS
@given(shape=st.lists(st.integers(1, 5), min_size=1, max_size=4), seed=st.integers(0, 2**32 - 1))
def test_one_input(name: str, shape: list[int], seed: int) -> None:
    case = ELEMENTWISE[name]
    check(case.ours, case.theirs, inputs([tuple(shape)], seed, case.positive), seed)


BINARY = {
    "+": Case(lambda x, y: fn.as_tensor(x) + y, torch.add),
    "-": Case(lambda x, y: fn.as_tensor(x) - y, torch.sub),
    "*": Case(lambda x, y: fn.as_tensor(x) * y, torch.mul),
    "/": Case(lambda x, y: fn.as_tensor(x) / y, torch.div, True),
    "**": Case(lambda x, y: fn.as_tensor(x) ** y, torch.pow, True),
    "maximum": Case(fn.maximum, torch.maximum),
    "minimum": Case(fn.minimum, torch.minimum),
    "where": Case(lambda x, y: fn.where(fn.as_array(x) > 0, x, y), lambda x, y: torch.where(x > 0, x, y)),
    "parametric relu": Case(act.parametric_relu, lambda x, y: torch.where(x > 0, x, x * y)),
    "array on the left": Case(lambda x, y: np.float64(2.5) * fn.as_tensor(x) + y, lambda x, y: 2.5 * x + y),
}


@pytest.mark.parametrize("name", BINARY)
@SETTINGS
@given(data=st.data(), shape=st.lists(st.integers(1, 4), max_size=4), seed=st.integers(0, 2**32 - 1))
def test_two_inputs_that_broadcast(name: str, data: Any, shape: list[int], seed: int) -> None:
    sides = []
    for _ in range(2):
        kept = data.draw(st.integers(0, len(shape)))
        sides.append(tuple(n if data.draw(st.booleans()) else 1 for n in shape[len(shape) - kept :]))
    case = BINARY[name]
    check(case.ours, case.theirs, inputs(sides, seed, case.positive), seed)


@SETTINGS
@given(
    data=st.data(), stacked=st.lists(st.integers(1, 3), max_size=2), n=st.integers(1, 4), k=st.integers(1, 4),
    m=st.integers(1, 4), seed=st.integers(0, 2**32 - 1),
)  # fmt: skip
def test_matrix_product(data: Any, stacked: list[int], n: int, k: int, m: int, seed: int) -> None:
    left = data.draw(st.sampled_from([(k,), (n, k), (*stacked, n, k), (*[1] * len(stacked), n, k)]))
    right = data.draw(st.sampled_from([(k,), (k, m), (*stacked, k, m)]))
    check(lambda x, y: fn.as_tensor(x) @ y, torch.matmul, inputs([left, right], seed), seed)


INDICES: list[Any] = [
    0, -1, slice(1, None), (slice(None), 1), (..., 0), None, (slice(None, None, 2), None, slice(1, 3)), [0, 2, 2, 0],
    np.array([[2, 0], [2, 2]]), (np.array([0, 1, 0]), np.array([1, 1, 1])), (slice(None), np.array([1, 1, 0])),
    np.array([-1, 2, -1]),
]  # fmt: skip


@pytest.mark.parametrize("index", INDICES, ids=str)
def test_index_with_repeats(index: Any) -> None:
    check(lambda x: fn.as_tensor(x)[index] ** 2, lambda x: x[index] ** 2, inputs([(3, 4, 2)], 1), 1)


def test_boolean_mask() -> None:
    arrays = inputs([(3, 4)], 2)
    mask = arrays[0] > 0.2
    check(lambda x: fn.as_tensor(x)[mask], lambda x: x[torch.tensor(mask)], arrays, 2)


@SETTINGS
@given(rows=st.lists(st.integers(0, 5), min_size=1, max_size=12), width=st.integers(1, 4), seed=st.integers(0, 999))
def test_embedding_sums_repeated_rows(rows: list[int], width: int, seed: int) -> None:
    check(
        lambda table: fn.embedding(table, np.array(rows)), lambda table: F.embedding(torch.tensor(rows), table),
        inputs([(6, width)], seed), seed,
    )  # fmt: skip


@SETTINGS
@given(counts=st.lists(st.integers(1, 3), min_size=1, max_size=4), axis=st.integers(-2, 1), seed=st.integers(0, 999))
def test_concatenate_and_stack(counts: list[int], axis: int, seed: int) -> None:
    shapes = [(count, 3) if axis in (0, -2) else (2, count) for count in counts]
    check(lambda *x: fn.concatenate(x, axis), lambda *x: torch.cat(x, axis), inputs(shapes, seed), seed)
    same = [(2, 3)] * len(counts)
    check(lambda *x: fn.stack(x, axis), lambda *x: torch.stack(x, axis), inputs(same, seed), seed)


@pytest.mark.parametrize(
    ("mode", "theirs"), [("zero", "constant"), ("replicate", "replicate"), ("circular", "circular")]
)
def test_padding(mode: str, theirs: str) -> None:
    widths = [(0, 0), (0, 0), (2, 1), (1, 3)]
    check(
        lambda x: fn.pad(x, widths, mode) ** 2, lambda x: F.pad(x, (1, 3, 2, 1), mode=theirs) ** 2,
        inputs([(2, 1, 3, 4)], 0), 0,
    )  # fmt: skip


def test_maxout() -> None:
    check(lambda x: act.maxout(x, 3), lambda x: x.reshape(2, 4, 3).amax(-1), inputs([(2, 12)], 0), 0)
    check(lambda x: act.maxout(x, 2, 0), lambda x: x.reshape(2, 2, 3).amax(1), inputs([(4, 3)], 0), 0)


WINDOWS = st.fixed_dictionaries({"stride": st.integers(1, 3), "padding": st.integers(0, 2)})


@SETTINGS
@given(
    options=WINDOWS, dilation=st.integers(1, 2), kernel=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    groups=st.sampled_from([1, 2]), size=st.tuples(st.integers(5, 7), st.integers(5, 8)), batch=st.integers(1, 3),
    seed=st.integers(0, 999), mode=st.sampled_from(["zero", "replicate", "circular"]),
)  # fmt: skip
def test_convolution(
    options: dict[str, int], dilation: int, kernel: tuple[int, int], groups: int, size: tuple[int, int], batch: int,
    seed: int, mode: str,
) -> None:  # fmt: skip
    p = options["padding"]

    def theirs(x: torch.Tensor, w: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        padded = F.pad(x, (p, p, p, p), mode="constant" if mode == "zero" else mode)
        return F.conv2d(padded, w, b, stride=options["stride"], dilation=dilation, groups=groups)

    shapes = [(batch, 2 * groups, *size), (3 * groups, 2, *kernel), (3 * groups,)]
    check(
        lambda x, w, b: windows.convolution(x, w, b, dilation=dilation, groups=groups, mode=mode, **options), theirs,
        inputs(shapes, seed), seed,
    )  # fmt: skip


@SETTINGS
@given(
    stride=st.integers(1, 3), padding=st.integers(0, 1), extra=st.integers(0, 1), kernel=st.integers(2, 3),
    batch=st.integers(1, 3), seed=st.integers(0, 999),
)  # fmt: skip
def test_transposed_convolution(stride: int, padding: int, extra: int, kernel: int, batch: int, seed: int) -> None:
    extra = min(extra, stride - 1)
    check(
        lambda x, w, b: windows.transposed_convolution(x, w, b, stride=stride, padding=padding, output_padding=extra),
        lambda x, w, b: F.conv_transpose2d(x, w, b, stride=stride, padding=padding, output_padding=extra),
        inputs([(batch, 2, 3, 4), (2, 3, kernel, kernel), (3,)], seed), seed,
    )  # fmt: skip


@SETTINGS
@given(options=WINDOWS, size=st.integers(2, 3), batch=st.integers(1, 3), seed=st.integers(0, 999))
def test_pooling(options: dict[str, int], size: int, batch: int, seed: int) -> None:
    options = {**options, "padding": min(options["padding"], size // 2)}
    arrays = inputs([(batch, 2, 6, 7)], seed)
    check(
        lambda x: windows.maximum_pooling(x, size, **options), lambda x: F.max_pool2d(x, size, **options), arrays, seed
    )
    check(
        lambda x: windows.average_pooling(x, size, **options), lambda x: F.avg_pool2d(x, size, **options), arrays, seed
    )


def test_unpooling_by_switches() -> None:
    picture = inputs([(2, 3, 6, 4)], 0)[0]
    pooled, switches = windows.maximum_pooling_with_switches(picture, 2)
    expected, places = F.max_pool2d(torch.tensor(picture), 2, return_indices=True)
    check(lambda x: windows.unpooling(x, switches, 2), lambda x: F.max_unpool2d(x, places, 2), [pooled.value.copy()], 0)
    np.testing.assert_array_equal(pooled.value, expected)


def test_adjoint_of_gather_is_scatter() -> None:
    """⟨gather(x), c⟩ = ⟨x, scatter(c)⟩: what makes the backward pass of a convolution right."""
    random = np.random.default_rng(0)
    x, columns = random.random((2, 7, 8, 3)), random.random((2, 3, 2, 2, 3, 3))
    left = (windows.gather(x, (3, 2), (2, 3), 2, 2) * columns).sum()
    assert left == pytest.approx((x * windows.scatter(columns, x.shape, 2, 2)).sum(), rel=1e-12)


@SETTINGS
@given(rows=st.integers(1, 5), classes=st.integers(2, 5), seed=st.integers(0, 999))
def test_losses(rows: int, classes: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    y = random.standard_normal((rows, classes))
    t = torch.tensor(y)
    named, share = random.integers(0, classes, rows), random.random((rows, classes))
    signs = np.sign(y)
    arrays = inputs([(rows, classes)], seed)
    check(lambda x: losses.squared_error(x, y), lambda x: F.mse_loss(x, t), arrays, seed)
    check(lambda x: losses.absolute_error(x, y), lambda x: F.l1_loss(x, t), arrays, seed)
    check(lambda x: losses.cross_entropy(x, named), lambda x: F.cross_entropy(x, torch.tensor(named)), arrays, seed)
    check(
        lambda x: losses.binary_cross_entropy(x, share),
        lambda x: F.binary_cross_entropy_with_logits(x, torch.tensor(share)), arrays, seed,
    )  # fmt: skip
    check(lambda x: losses.hinge(x, signs), lambda x: F.relu(1 - x * torch.tensor(signs)).mean(), arrays, seed)
    check(
        lambda x: losses.multiclass_hinge(x, named),
        lambda x: F.multi_margin_loss(x, torch.tensor(named)) * classes, arrays, seed,
    )  # fmt: skip


@pytest.mark.parametrize("name", ELEMENTWISE)
def test_float32_stays_float32(name: str) -> None:
    x = Tensor(np.full((2, 3), 0.3, np.float32), requires_gradient=True)
    result = ELEMENTWISE[name].ours(x)
    result.backward(np.ones(result.shape))
    assert result.dtype == np.float32 and x.gradient is not None and x.gradient.dtype == np.float32
