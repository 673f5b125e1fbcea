"""Batch norms folded into the convolutions before them: the same function in eval mode, with less to do.

In eval mode a batch norm is y = γ (x − μ) / √(σ² + ε) + β with fixed numbers, so that it can be multiplied into the
weights of a convolution or a dense layer that alone feeds it. Which feeds which is seen in one pass over an example,
and the folded network must give the same answer to it, else nothing is folded.
"""

import copy
from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval, fuse_linear_bn_eval

CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)
TOLERANCE = 1e-4  # of the largest number in the answer: float32 sums in another order


def fuse_batch_norm(network: nn.Module, *example: Any) -> tuple[nn.Module, int]:
    """A copy in eval mode without the batch norms that could be folded, and how many these were.

    example: arguments of `forward`, with numbers that tell answers apart (not all zero). Layers that are used twice,
    norms that follow something else, and layers with hooks stay as they are.

    >>> layers = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.ReLU())
    >>> fuse_batch_norm(layers, torch.randn(2, 1, 5, 5))
    (Sequential(
      (0): Conv2d(1, 2, kernel_size=(3, 3), stride=(1, 1))
      (1): Identity()
      (2): ReLU()
    ), 1)
    """
    changed = copy.deepcopy(network).eval().requires_grad_(False)
    with torch.no_grad():
        before, pairs = watched(changed, *example)
        for first, norm in pairs:
            layer, statistics = changed.get_submodule(first), changed.get_submodule(norm)
            fuse: Callable[..., nn.Module] = (
                fuse_linear_bn_eval if isinstance(layer, nn.Linear) else fuse_conv_bn_eval)
            replace(changed, first, fuse(layer, statistics))
            replace(changed, norm, nn.Identity())
        after = changed(*example)
    scale = float(before.abs().max()) or 1.0
    if pairs and not float((before - after).abs().max()) <= TOLERANCE * scale:
        return copy.deepcopy(network).eval().requires_grad_(False), 0
    return changed, len(pairs)


def watched(network: nn.Module, *example: Any) -> tuple[torch.Tensor, list[tuple[str, str]]]:
    """The answer, and (layer, norm) by name where each is used once and the norm reads the layer's output itself."""
    made: dict[int, str] = {}
    kept: list[torch.Tensor] = []  # alive, so that no other tensor takes over an id
    calls: dict[str, int] = {}
    found: list[tuple[str, str]] = []
    handles = []

    def watch(name: str, module: nn.Module) -> None:
        def after(_: nn.Module, inputs: Any, output: Any) -> None:
            calls[name] = calls.get(name, 0) + 1
            if isinstance(module, NORMS):
                if id(inputs[0]) in made and module.running_mean is not None:
                    found.append((made[id(inputs[0])], name))
            else:
                made[id(output)] = name
                kept.append(output)

        handles.append(module.register_forward_hook(after))

    for name, module in network.named_modules():
        if isinstance(module, (*CONVOLUTIONS, nn.Linear, *NORMS)) and not module._forward_hooks:
            watch(name, module)
    try:
        answer = network(*example)
    finally:
        for handle in handles:
            handle.remove()
    fed = [first for first, _ in found]
    once = [(first, norm) for first, norm in found if calls[first] == calls[norm] == 1 and fed.count(first) == 1]
    return answer, once


def replace(network: nn.Module, name: str, module: nn.Module) -> None:
    """Put a module in the place of another."""
    parent, _, last = name.rpartition(".")
    setattr(network.get_submodule(parent), last, module)
