"""A network as a table: each layer's class, output shape and parameters."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.utils.hooks import RemovableHandle


@dataclass(frozen=True, slots=True)
class Layer:
    """One module: its dotted name, class, output shape with the batch first (None: never called), parameters."""

    name: str
    kind: str
    shape: tuple[int, ...] | None
    parameters: int


def layers(network: nn.Module, batch: tuple[Any, ...], *, depth: int = 2) -> list[Layer]:
    """The modules down to `depth` names deep, in the order of the network, with the shapes that a batch meets.

    Shapes are what forward gives in eval mode; a module called several times shows its last call. On `meta`, network
    and batch take no memory. Parameters of deeper modules count for the module that holds them.

    >>> [layer.shape for layer in layers(nn.Sequential(nn.Linear(3, 2), nn.ReLU()), (torch.ones(1, 3),))]
    [(1, 2), (1, 2)]
    """
    shown = {name: module for name, module in network.named_modules() if name and name.count(".") < depth}
    shapes: dict[str, tuple[int, ...]] = {}
    hooks: list[RemovableHandle] = []
    for name, module in shown.items():

        def note(module: nn.Module, inputs: Any, output: Any, name: str = name) -> None:
            if isinstance(output, torch.Tensor):
                shapes[name] = tuple(output.shape)

        hooks.append(module.register_forward_hook(note))
    training = network.training
    try:
        with torch.no_grad():
            network.eval()(*batch)
    finally:
        network.train(training)
        for hook in hooks:
            hook.remove()
    found = []
    for name, module in shown.items():
        called_inside = any(other.startswith(f"{name}.") for other in shown)
        if name in shapes or not called_inside:
            count = sum(value.numel() for value in module.parameters())
            found.append(Layer(name, type(module).__name__, shapes.get(name), count))
    return found


def parameter_count(network: nn.Module) -> int:
    """How many numbers are learned."""
    return sum(value.numel() for value in network.parameters())
