"""What a convolutional network has learned to look for, and what it sees: first kernels, and maps by depth."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

from gradatim.errors import GradatimError


@dataclass(frozen=True, slots=True)
class Maps:
    """The output of one layer for one row: its name, its whole shape, its strongest channels float32 (k, h, w)."""

    name: str
    shape: tuple[int, ...]
    channels: tuple[int, ...]
    values: np.ndarray


def first_kernels(network: nn.Module) -> tuple[str, np.ndarray]:
    """Name and weights of the first convolution of pictures, (filters, channels, h, w); GradatimError without one."""
    for name, module in network.named_modules():
        if isinstance(module, nn.Conv2d):
            return name, module.weight.detach().float().cpu().numpy()
    raise GradatimError(f"{type(network).__name__}: expected a network with a convolution of pictures, found none")


def maps_by_depth(network: nn.Module, batch: tuple[Any, ...], *, layers: int = 6, channels: int = 8) -> list[Maps]:
    """Maps of the first row at so many depths, evenly from the first convolution to the last, in eval mode.

    A depth is a convolution with what follows it in its block; of each the channels with the largest deviation are
    kept, for a constant map shows nothing.
    """
    seen: list[tuple[str, torch.Tensor]] = []
    hooks = []
    for name, module in network.named_modules():
        if not any(True for _ in module.children()):

            def note(module: nn.Module, inputs: Any, output: Any, name: str = name) -> None:
                if isinstance(output, torch.Tensor) and output.ndim == 4 and output.shape[2] * output.shape[3] > 1:
                    seen.append((name, output[0].detach().float().cpu().clone()))

            hooks.append(module.register_forward_hook(note))
    training = network.training
    try:
        with torch.no_grad():
            network.eval()(*batch)
    finally:
        network.train(training)
        for hook in hooks:
            hook.remove()
    if not seen:
        raise GradatimError(f"{type(network).__name__}: expected layers with maps (B, C, h, w), found none")
    places = sorted({round(place) for place in np.linspace(0, len(seen) - 1, min(layers, len(seen)))})
    found = []
    for place in places:
        name, values = seen[place]
        strongest = values.flatten(1).std(1, correction=0).argsort(descending=True)[:channels]
        found.append(Maps(name, tuple(values.shape), tuple(strongest.tolist()), values[strongest].numpy()))
    return found
