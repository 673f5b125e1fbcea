"""The whole of training, in ten lines."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np

from gradatim.autodiff.engine.layers import parameters
from gradatim.autodiff.engine.tensor import Tensor
from gradatim.autodiff.optimisers.first_order import adam
from gradatim.errors import GradatimError
from gradatim.randomness import generator


def train(
    network: Any,
    loss: Callable[..., Tensor],
    batches: Iterable[tuple[Any, ...]],
    *,
    rule: Callable[..., Any] = adam,
    **settings: Any,
) -> list[float]:
    """Learn from the batches, one step each; the loss before each step.

    network: anything `parameters` can look into. loss: called with the batch, returns a single number as a tensor.
    rule: one of optimisers.py. settings: its own, such as learning_rate.

    >>> from gradatim.autodiff.engine.layers import Dense
    >>> from gradatim.autodiff.engine.losses import squared_error
    >>> from gradatim.autodiff.optimisers.first_order import descent
    >>> line, x = Dense(1, 1), np.linspace(-1, 1, 20, dtype=np.float32)[:, None]
    >>> def loss(x, y):
    ...     return squared_error(line(Tensor(x)), y)
    >>> losses = train(line, loss, [(x, 3 * x + 2)] * 100, rule=descent, learning_rate=0.3)
    >>> round(line.weight.item(), 3), round(line.bias.item(), 3)
    (3.0, 2.0)
    """
    keep_freed_memory()
    learned = list(parameters(network).values())
    states: list[dict[str, Any]] = [{} for _ in learned]
    losses = []
    for batch in batches:
        error = loss(*batch)
        error.backward()
        for number, tensor in enumerate(learned):
            if tensor.gradient is not None:
                tensor.value, states[number] = rule(tensor.value, tensor.gradient, states[number], **settings)
                tensor.gradient = None
        losses.append(error.item())
    return losses


def keep_freed_memory() -> None:
    """Have the C library keep memory that is freed, up to 62 MiB, rather than hand it back at every step.

    Every step frees its whole graph and needs as much again; fetching it anew from the system took half of a step on
    256 pictures. glibc learns its limits from the largest array freed so far, and one that is never written costs
    nothing; other C libraries take no notice.
    """
    np.empty(31 << 20, np.uint8)


def shuffled(*arrays: np.ndarray, size: int, epochs: int = 1, seed: int = 0) -> Iterator[tuple[np.ndarray, ...]]:
    """Batches of rows in a new random order each epoch; the last of an epoch may be smaller, no row is left out."""
    rows = len(arrays[0])
    if any(len(array) != rows for array in arrays) or size < 1:
        raise GradatimError(
            f"expected arrays of equal length, received {', '.join(str(len(array)) for array in arrays)}"
        )
    for epoch in range(epochs):
        order = generator("shuffled", seed, epoch).permutation(rows)
        for start in range(0, rows, size):
            yield tuple(array[order[start : start + size]] for array in arrays)
