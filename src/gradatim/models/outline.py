"""Names and shapes of a network's tensors, learned without taking its memory: what a stranger's file is held against.

A blueprint is only a few numbers, so it can ask for a network of any size. It is built on PyTorch's `meta` device,
where tensors have shapes but no content, and building stops as soon as it has more parts than the file explains: a
thousand million layers would take no memory there, but for ever.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn.modules.module import (
    register_module_buffer_registration_hook,
    register_module_module_registration_hook,
    register_module_parameter_registration_hook,
)

from gradatim.errors import ArtifactError
from gradatim.models.address import build

MODULES_FOR_ANY, MODULES_PER_TENSOR = 1000, 50
LARGEST_NUMBER, DEEPEST = 1_000_000, 20  # in a blueprint


def outline(blueprint: Mapping[str, Any], *, tensors: int) -> dict[str, tuple[int, ...]]:
    """Name → shape of each tensor in the state of the blueprint's network, in order.

    tensors: how many the file of weights holds. Raises ArtifactError when the network has far more parts than that,
    GradatimError when it cannot be built.

    >>> outline({"address": "lenet5", "arguments": {"num_classes": 10}}, tensors=10)["conv1.weight"]
    (6, 1, 5, 5)
    """
    with outlining(tensors):
        return {name: tuple(tensor.shape) for name, tensor in build(blueprint).state_dict().items()}


@contextmanager
def outlining(tensors: int) -> Iterator[None]:
    """Within it, networks are built without memory, and not beyond what a file of so many tensors can hold."""
    most = MODULES_FOR_ANY + MODULES_PER_TENSOR * tensors
    count = 0

    def counted(*_: Any) -> None:
        nonlocal count
        count += 1
        if count > most:
            raise ArtifactError(f"expected a network whose weights are the {tensors} tensors in the file, found a "
                                f"blueprint of over {most} parts")

    hooks = [register(counted) for register in (register_module_module_registration_hook,
             register_module_parameter_registration_hook, register_module_buffer_registration_hook)]
    try:
        with torch.device("meta"):
            yield
    finally:
        for hook in hooks:
            hook.remove()


def check_numbers(value: Any, shapes: Mapping[str, tuple[int, ...]], depth: int = 0) -> None:
    """Refuse a blueprint with a whole number that no network of a file of these shapes can need.

    A number of layers is only a number, but what is made of it before the first layer (lists, ranges) takes memory.
    """
    largest = max(LARGEST_NUMBER, *(size for shape in shapes.values() for size in shape), 0)
    if depth > DEEPEST or (isinstance(value, int) and abs(value) > largest):
        raise ArtifactError(f"blueprint: expected whole numbers up to {largest}, nested at most {DEEPEST} deep, found "
                            "others; fit again")
    inner = value.values() if isinstance(value, Mapping) else value if isinstance(value, list | tuple) else ()
    for item in inner:
        check_numbers(item, shapes, depth + 1)


def check_parts(network: nn.Module) -> None:
    """Let every part that has tables of places in other tables check them, once its weights are loaded."""
    for part in network.modules():
        check = getattr(part, "check_state", None)
        if check is not None:
            check()


def whole(name: str, tensor: torch.Tensor, low: int | None = None, high: int | None = None) -> np.ndarray:
    """The tensor as int64, its numbers from low to high; ArtifactError where they are fractions, truths or outside."""
    if tensor.is_floating_point() or tensor.is_complex() or tensor.dtype == torch.bool:
        raise ArtifactError(f"tensor '{name:.80}': expected whole numbers, found {tensor.dtype}; fit again")
    numbers = tensor.numpy().astype(np.int64)
    if numbers.size and ((low is not None and numbers.min() < low) or (high is not None and numbers.max() > high)):
        raise ArtifactError(f"tensor '{name:.80}': expected numbers from {low} to {high}, found {numbers.min()} to "
                            f"{numbers.max()}; fit again")
    return numbers


def finite(name: str, tensor: torch.Tensor) -> torch.Tensor:
    """The tensor itself; ArtifactError where a number in it is infinite or none."""
    if tensor.is_floating_point() and not bool(tensor.isfinite().all()):
        raise ArtifactError(f"tensor '{name:.80}': expected finite numbers, found others; fit again")
    return tensor
