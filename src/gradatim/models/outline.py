"""Names and shapes of a network's tensors, learned without taking its memory: what a stranger's file is held against.

A blueprint is only a few numbers, so it can ask for a network of any size. It is built on PyTorch's `meta` device,
where tensors have shapes but no content, and building stops as soon as it has more parts than the file explains: a
thousand million layers would take no memory there, but for ever.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch.nn.modules.module import register_module_module_registration_hook

from gradatim.errors import ArtifactError
from gradatim.models.address import build

MODULES_FOR_ANY, MODULES_PER_TENSOR = 1000, 50


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

    hook = register_module_module_registration_hook(counted)
    try:
        with torch.device("meta"):
            yield
    finally:
        hook.remove()


def finite(name: str, tensor: torch.Tensor) -> torch.Tensor:
    """The tensor itself; ArtifactError where a number in it is infinite or none."""
    if tensor.is_floating_point() and not bool(tensor.isfinite().all()):
        raise ArtifactError(f"tensor '{name:.80}': expected finite numbers, found others; fit again")
    return tensor
