"""How gradients meet: summed where a value was used twice, where it was broadcast, where an index names it twice."""

from typing import Any, NamedTuple

import numpy as np

Axis = int | tuple[int, ...] | None


class Scattered(NamedTuple):
    """A gradient that is zero but at `index` of its parent: added there in place, never spread out first."""

    index: Any
    values: np.ndarray


def accumulate(
    total: np.ndarray | None, contribution: np.ndarray | Scattered, value: np.ndarray, *, in_place: bool
) -> np.ndarray:
    """A node's gradient so far plus what came along one more edge, in the shape and precision of the node's value.

    in_place: the total was made by an earlier call, so that nobody else holds it.
    """
    if isinstance(contribution, Scattered):
        if total is None:
            total = np.zeros_like(value)
        elif not in_place:
            total = np.array(total)
        add_at(total, contribution.index, contribution.values)
        return total
    if type(contribution) is not np.ndarray:
        contribution = np.asarray(contribution)  # NumPy makes a scalar of an array without axes
    if contribution.shape != value.shape:
        contribution = unbroadcast(contribution, value.shape)
    if contribution.dtype != value.dtype:
        contribution = contribution.astype(value.dtype)
    if total is None:
        return contribution
    return np.add(total, contribution, out=total if in_place else np.empty_like(value))


def unbroadcast(gradient: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """What was broadcast forward is summed backward: one number was used many times."""
    extra = gradient.ndim - len(shape)
    repeated = [axis for axis, length in enumerate(shape, extra) if length == 1 and gradient.shape[axis] != 1]
    return gradient.sum(axis=(*range(extra), *repeated)).reshape(shape)


def spread(gradient: np.ndarray, shape: tuple[int, ...], axis: Axis, keepdims: bool) -> np.ndarray:
    """The gradient of a reduction handed to everything that was reduced."""
    if axis is not None and not keepdims:
        gradient = np.expand_dims(gradient, axis)
    return np.broadcast_to(gradient, shape)


def add_at(total: np.ndarray, index: Any, values: np.ndarray) -> None:
    """total[index] += values, where an index named twice counts twice.

    Rows of integers, as in an embedding, are sorted first so that each row is summed in one go: np.add.at is several
    times slower.
    """
    if not _may_repeat(index):
        total[index] += values
    elif isinstance(index, np.ndarray) and index.dtype.kind in "iu" and total.ndim > 1 and index.size:
        flat = index.ravel() % len(total)
        order = np.argsort(flat, kind="stable")
        rows, starts = np.unique(flat[order], return_index=True)
        total[rows] += np.add.reduceat(values.reshape(-1, *total.shape[1:])[order], starts, axis=0)
    else:
        np.add.at(total, index, values)


def _may_repeat(index: Any) -> bool:
    """Whether it holds arrays or lists; whole numbers and slices name each place once."""
    for part in index if type(index) is tuple else (index,):  # noqa: SIM110 (half the time of any())
        if isinstance(part, np.ndarray | list):
            return True
    return False
