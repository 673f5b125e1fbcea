"""Reverse-mode differentiation: a tensor remembers which operation made it, and from what.

The forward pass writes a graph: every result keeps its parents and, for each parent, one function that takes an
upstream gradient back to it, upstream · ∂result/∂parent. `backward` walks that graph once, from the loss to the leaves,
children before parents, and adds up what arrives (Linnainmaa 1970; Rumelhart, Hinton & Williams 1986). That is all:
one sweep costs about twice the forward pass, for any number of parameters.

Every value is a read-only NumPy array. So what the forward pass saw is what the backward pass uses: writing into a
value fails at once, and replacing one between the two passes is noticed.

>>> a, b, c = (Tensor(number, requires_gradient=True) for number in (5.0, 3.0, 2.0))
>>> loss = 3 * (a + b * c)
>>> loss.backward()
>>> loss.item(), a.gradient.item(), b.gradient.item(), c.gradient.item()
(33.0, 3.0, 6.0, 9.0)
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, cast

import numpy as np
from numpy.typing import ArrayLike

from gradatim.autodiff.engine.gradients import Axis, Scattered, accumulate, spread
from gradatim.autodiff.engine.matmul import product
from gradatim.errors import GradatimError

VectorJacobianProduct = Callable[[np.ndarray], "np.ndarray | Scattered"]

_recording = True


@contextmanager
def without_gradient() -> Iterator[None]:
    """Inside, nothing is remembered: for evaluation, where no backward pass will come."""
    global _recording
    before, _recording = _recording, False
    try:
        yield
    finally:
        _recording = before


class Tensor:
    """An array of float64 or float32 and how it came to be.

    value: read-only array; assign a new one to change it. gradient: d loss / d value after `backward`, else None; a
    leaf's gradients add up over several backward passes until it is set to None. parents, operation: what made it, ()
    and "" for a leaf. Integers and lists become float64.
    """

    __slots__ = (
        "__weakref__", "_seen", "_swept", "_value", "_vjps", "gradient", "name", "operation", "parents",
        "requires_gradient",
    )  # fmt: skip
    __array_ufunc__ = None  # so that NumPy leaves `array * tensor` to us

    gradient: np.ndarray | None
    name: str | None
    operation: str
    parents: tuple["Tensor", ...]
    requires_gradient: bool
    _vjps: tuple[VectorJacobianProduct, ...]
    _seen: tuple[np.ndarray, ...]

    def __init__(self, value: ArrayLike, *, requires_gradient: bool = False, name: str | None = None) -> None:
        self._value = _own(value)
        self.gradient = None
        self.parents, self._vjps, self._seen = (), (), ()
        self.operation, self.name = "", name
        self.requires_gradient, self._swept = requires_gradient, False

    @property
    def value(self) -> np.ndarray:
        """The array, read-only."""
        return self._value

    @value.setter
    def value(self, value: ArrayLike) -> None:
        value = _own(value)
        if self.parents:
            raise GradatimError(f"expected a leaf to set, received {self}; make a new tensor of the value")
        if value.shape != self._value.shape:
            raise GradatimError(f"expected a value of shape {self.shape} for {self}, received {value.shape}")
        self._value = value.astype(self._value.dtype, copy=False)
        self._value.setflags(write=False)

    @property
    def shape(self) -> tuple[int, ...]:
        """Lengths of the axes."""
        return self._value.shape

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return self._value.ndim

    @property
    def dtype(self) -> np.dtype:
        """float64 or float32."""
        return self._value.dtype

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.array(self._value, dtype, copy=copy)

    def __len__(self) -> int:
        return len(self._value)

    def __iter__(self) -> Iterator["Tensor"]:
        return (self[row] for row in range(len(self)))

    def __repr__(self) -> str:
        inside = str(self._value) if self._value.size == 1 else f"shape {self.shape}"
        inside += f", {self.name}" if self.name else ""
        inside += f", by {self.operation}" if self.operation else ""
        return f"Tensor({inside})"

    def item(self) -> float:
        """The one number inside."""
        return self._value.item()

    def detach(self) -> "Tensor":
        """The same value as a leaf: gradients stop here."""
        return Tensor(self._value)

    # The backward pass

    def vjp(self, upstream: np.ndarray) -> tuple[np.ndarray | None, ...]:
        """upstream · ∂self/∂parent for each parent, in the parent's shape; None where none is required."""
        return tuple(
            accumulate(None, vjp(upstream), parent._value, in_place=False) if parent.requires_gradient else None
            for parent, vjp in zip(self.parents, self._vjps)
        )

    def backward(self, upstream: ArrayLike | None = None) -> None:
        """Leave d self / d node in `gradient` of every node that requires one; at leaves it is added to what is there.

        upstream: d loss / d self, in self's shape; needed unless self is a single number.
        """
        totals = {self: self._start(upstream)}
        ours: set[Tensor] = set()  # nodes whose total was made here and may therefore be added to in place
        for current in reversed(topological_order(self, only_required=True)):
            gradient = totals.pop(current)
            gradient.setflags(write=False)
            if current.parents or current.gradient is None:
                current.gradient = gradient
            else:
                current.gradient = current.gradient + gradient
            for parent, vjp, seen in zip(current.parents, current._vjps, current._seen):
                if parent.requires_gradient:
                    if parent._value is not seen:
                        raise GradatimError(
                            f"expected the value that '{current.operation}' saw, but that of {parent} was replaced "
                            "after the forward pass; call backward first"
                        )
                    total, contribution = totals.get(parent), vjp(gradient)
                    totals[parent] = accumulate(total, contribution, seen, in_place=parent in ours)
                    if total is not None or isinstance(contribution, Scattered):
                        ours.add(parent)
        self._swept = True

    def _start(self, upstream: ArrayLike | None) -> np.ndarray:
        """The gradient that the sweep starts with, after checking that it may start."""
        if not self.requires_gradient:
            raise GradatimError(
                f"expected a tensor made from one with requires_gradient=True, received {self}; mark the parameters"
            )
        if self._swept and self.parents:
            raise GradatimError(
                f"expected one backward pass, received a second from {self}: all gradients would count twice; "
                "run the forward pass again"
            )
        if upstream is None:
            if self._value.size != 1:
                raise GradatimError(
                    f"expected a single number to start from, received shape {self.shape}; "
                    "take its sum or mean, or give the upstream gradient"
                )
            return np.ones_like(self._value)
        total = np.array(upstream, dtype=self.dtype)
        if total.shape != self.shape:
            raise GradatimError(f"expected an upstream gradient of shape {self.shape}, received {total.shape}")
        return total

    # Arithmetic: beside each, its local derivatives. Gradients of broadcast axes are summed by `_add`.

    def __add__(self, other: "Tensor | ArrayLike") -> "Tensor":
        """c = a + b: ∂c/∂a = 1, ∂c/∂b = 1."""
        other, x, y = self._pair(other)
        return node("+", _apply("+", np.add, x, y), (self, other), _same, _same)

    def __sub__(self, other: "Tensor | ArrayLike") -> "Tensor":
        """c = a − b: ∂c/∂a = 1, ∂c/∂b = −1."""
        other, x, y = self._pair(other)
        return node("-", _apply("-", np.subtract, x, y), (self, other), _same, np.negative)

    def __mul__(self, other: "Tensor | ArrayLike") -> "Tensor":
        """c = a·b: ∂c/∂a = b, ∂c/∂b = a."""
        other, x, y = self._pair(other)
        return node("*", _apply("*", np.multiply, x, y), (self, other), lambda g: g * y, lambda g: g * x)

    def __truediv__(self, other: "Tensor | ArrayLike") -> "Tensor":
        """c = a / b: ∂c/∂a = 1/b, ∂c/∂b = −c/b."""
        other, x, y = self._pair(other)
        value = _apply("/", np.divide, x, y)
        return node("/", value, (self, other), lambda g: g / y, lambda g: -g * value / y)

    def __pow__(self, other: "Tensor | ArrayLike") -> "Tensor":
        """c = aᵇ: ∂c/∂a = b·aᵇ⁻¹ (0 where b = 0), ∂c/∂b = aᵇ·ln a (0 where a = 0)."""
        if isinstance(other, int | float):
            x, number = self._value, other
            if number == 0:
                return node("**", x**0, (self,), np.zeros_like)
            return node("**", x**number, (self,), lambda g: g * (number * x ** (number - 1)))
        other, x, y = self._pair(other)
        value = _apply("**", np.power, x, y)

        def to_base(g: np.ndarray) -> np.ndarray:
            return g * np.where(y == 0, 0, y * x ** np.where(y == 0, 1, y - 1))

        return node("**", value, (self, other), to_base, lambda g: g * value * np.log(np.where(x == 0, 1, x)))

    def __neg__(self) -> "Tensor":
        """c = −a: ∂c/∂a = −1."""
        return node("negate", -self._value, (self,), np.negative)

    def __matmul__(self, other: "Tensor | ArrayLike") -> "Tensor":
        """C = A B over the last two axes, any leading axes broadcast: hands G Bᵀ to A and Aᵀ G to B."""
        other, x, y = self._pair(other)
        value, to_left, to_right = product(x, y)
        return node("@", value, (self, other), to_left, to_right)

    def __radd__(self, other: ArrayLike) -> "Tensor":
        return self._of(other) + self

    def __rsub__(self, other: ArrayLike) -> "Tensor":
        return self._of(other) - self

    def __rmul__(self, other: ArrayLike) -> "Tensor":
        return self._of(other) * self

    def __rtruediv__(self, other: ArrayLike) -> "Tensor":
        return self._of(other) / self

    def __rpow__(self, other: ArrayLike) -> "Tensor":
        return self._of(other) ** self

    def __rmatmul__(self, other: ArrayLike) -> "Tensor":
        return self._of(other) @ self

    # Comparisons have no derivative: plain boolean arrays.

    def __gt__(self, other: "Tensor | ArrayLike") -> np.ndarray:
        return self._value > as_array(other)

    def __lt__(self, other: "Tensor | ArrayLike") -> np.ndarray:
        return self._value < as_array(other)

    def __ge__(self, other: "Tensor | ArrayLike") -> np.ndarray:
        return self._value >= as_array(other)

    def __le__(self, other: "Tensor | ArrayLike") -> np.ndarray:
        return self._value <= as_array(other)

    # Shape

    def __getitem__(self, index: Any) -> "Tensor":
        """Any NumPy index; positions named twice gather the gradients of both."""
        x = self._value
        try:
            value = x[index]
        except IndexError as error:
            raise GradatimError(f"index: expected one within shape {x.shape}, received {index!r} ({error})") from None
        return node("index", value, (self,), lambda g: Scattered(index, g))

    def __setitem__(self, index: Any, value: Any) -> None:
        raise GradatimError(f"expected a new tensor, received an assignment into {self}; use where or concatenate")

    def reshape(self, *shape: int) -> "Tensor":
        """The same numbers in another shape; one length may be −1."""
        x = self._value
        return node("reshape", _apply("reshape", np.reshape, x, shape), (self,), lambda g: g.reshape(x.shape))

    def transpose(self, *axes: int) -> "Tensor":
        """Axes in another order, by default reversed."""
        order = axes or tuple(reversed(range(self.ndim)))
        if sorted(order) != list(range(self.ndim)):
            raise GradatimError(f"transpose: expected each of {self.ndim} axes once, received {order}")
        return node("transpose", self._value.transpose(order), (self,), lambda g: g.transpose(np.argsort(order)))

    @property
    def T(self) -> "Tensor":
        """Axes reversed."""
        return self.transpose()

    # Reductions

    def sum(self, axis: Axis = None, keepdims: bool = False) -> "Tensor":
        """s = Σ a: ∂s/∂a = 1."""
        x = self._value
        return node("sum", x.sum(axis=axis, keepdims=keepdims), (self,), lambda g: spread(g, x.shape, axis, keepdims))

    def mean(self, axis: Axis = None, keepdims: bool = False) -> "Tensor":
        """m = Σ a / n: ∂m/∂a = 1/n."""
        x = self._value
        value = x.mean(axis=axis, keepdims=keepdims)
        share = max(value.size, 1) / x.size if x.size else 0.0
        return node("mean", value, (self,), lambda g: spread(g * share, x.shape, axis, keepdims))

    def _pair(self, other: "Tensor | ArrayLike") -> tuple["Tensor", np.ndarray, np.ndarray]:
        other = other if isinstance(other, Tensor) else self._of(other)
        return other, self._value, other._value

    def _of(self, constant: ArrayLike) -> "Tensor":
        """A number or an array in this tensor's precision, so that 2·x stays float32 where x is."""
        return Tensor(np.asarray(constant, dtype=self._value.dtype))


def node(operation: str, value: Any, parents: tuple[Tensor, ...], *vjps: VectorJacobianProduct) -> Tensor:
    """One step of the forward pass: its value, what it was made from, and for each parent how a gradient gets there.

    A vjp must not change what it is given, and should hold arrays, not tensors: then the graph is freed with its loss.
    """
    result = Tensor.__new__(Tensor)
    if type(value) is not np.ndarray:
        value = np.asarray(value)  # NumPy makes a scalar of an array without axes
    value.setflags(write=False)
    result._value = value
    result.gradient = result.name = None
    result.operation, result._swept = operation, False
    if _recording:
        result.parents, result._vjps = parents, vjps
        result._seen = tuple([parent._value for parent in parents])
        result.requires_gradient = False
        for parent in parents:
            if parent.requires_gradient:
                result.requires_gradient = True
    else:
        result.parents, result._vjps, result._seen, result.requires_gradient = (), (), (), False
    return result


def topological_order(root: Tensor, *, only_required: bool = False) -> list[Tensor]:
    """All nodes that lead to root, parents before children, root last; with a stack of our own, for deep graphs."""
    order: list[Tensor] = []
    entered: set[Tensor] = set()
    done: set[Tensor] = set()
    stack = [root]
    while stack:
        current = stack[-1]
        if current in entered:
            stack.pop()
            if current not in done:
                done.add(current)
                order.append(current)
        else:
            entered.add(current)
            for parent in reversed(current.parents):
                if parent not in entered and (parent.requires_gradient or not only_required):
                    stack.append(parent)
    return order


def as_tensor(value: Tensor | ArrayLike) -> Tensor:
    """A tensor as it is; anything else as a constant."""
    return value if isinstance(value, Tensor) else Tensor(value)


def as_array(value: Tensor | ArrayLike) -> np.ndarray:
    """The array inside a tensor; anything else as an array."""
    return value._value if isinstance(value, Tensor) else np.asarray(value)


def _own(value: ArrayLike) -> np.ndarray:
    """A read-only array of our own: the caller may go on changing his."""
    array = np.asarray(value)
    if array.dtype.kind not in "fiub":
        raise GradatimError(f"expected numbers, received an array of {array.dtype}; convert them first")
    dtype = array.dtype if array.dtype in (np.float32, np.float64) else np.float64
    if array is not value or array.flags.writeable or array.base is not None or array.dtype != dtype:
        array = np.array(array, dtype=dtype)
    array.setflags(write=False)
    return array


def _same(gradient: np.ndarray) -> np.ndarray:
    return gradient


def _apply(operation: str, function: Callable[..., Any], x: np.ndarray, y: Any) -> np.ndarray:
    try:
        return cast(np.ndarray, function(x, y))
    except ValueError:
        second = getattr(y, "shape", y)
        raise GradatimError(
            f"{operation}: expected shapes that fit, received {x.shape} and {second}; reshape one of them"
        ) from None
