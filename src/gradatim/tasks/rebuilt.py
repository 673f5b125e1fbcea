"""A saved network built again: held against the header of its weights before it takes memory."""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import nn

from gradatim.device import Placement, choose
from gradatim.errors import ArtifactError, GradatimError
from gradatim.models.address import build
from gradatim.models.outline import check_numbers, check_parts, finite, outline


def rebuilt(
    blueprint: Mapping[str, Any], shapes: Mapping[str, tuple[int, ...]], read: Callable[[str], torch.Tensor]
) -> nn.Module:
    """The blueprint's network with its weights: built on `meta`, compared with `shapes`, only then in memory.

    shapes come from the header of the weights, `read` takes one tensor from them. It is built again in memory, so that
    what it makes for itself and does not save (grids, masks) is there. Raises ArtifactError for other tensors than the
    blueprint tells of, and for numbers that are not finite.
    """
    check_numbers(blueprint, shapes)
    expected = outline(blueprint, tensors=len(shapes))
    if expected != dict(shapes):
        name = sorted(set(expected.items()) ^ set(dict(shapes).items()))[0][0]
        raise ArtifactError(
            f"tensor '{name}': expected shape {expected.get(name)}, found {shapes.get(name)} in the weights"
        )
    with torch.random.fork_rng(devices=[]):  # the weights it is born with are thrown away
        network = build(blueprint)
    own = network.state_dict()
    network.load_state_dict({name: _of_kind(name, read(name), own[name]) for name in shapes})
    check_parts(network)
    return network


def _of_kind(name: str, tensor: torch.Tensor, own: torch.Tensor) -> torch.Tensor:
    """The tensor, finite; ArtifactError where it holds whole numbers for fractions or the reverse."""
    if tensor.is_floating_point() != own.is_floating_point():
        raise ArtifactError(f"tensor '{name:.80}': expected {own.dtype}, found {tensor.dtype}; fit again")
    return finite(name, tensor)


def placed_here(placement: Placement) -> Placement:
    """The placement, or this machine's own where it lacks the device."""
    try:
        choose(device=placement.device)
    except (GradatimError, RuntimeError):
        return choose()
    return placement
