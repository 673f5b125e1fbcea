"""The encoders of a trained network made lighter for answering: batch norms folded into their convolutions."""

import copy
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from gradatim.models.fusion.encoders import ColumnEncoder, Field
from gradatim.nn.convolution.fuse_batch_norm import fuse_batch_norm

FRAMES = 64  # of the sounds that the two sides are compared on


def example_field(kind: str, describe: Mapping[str, Any]) -> Field:
    """Two rows of noise in the form of a column of pictures or sounds."""
    source = torch.Generator().manual_seed(0)
    if kind == "image":
        size = describe["size"]
        high, wide = size if isinstance(size, list | tuple) else (size, size)
        return torch.randint(0, 256, (2, int(describe["channels"]), high, wide), generator=source, dtype=torch.uint8)
    noise = torch.randn(2, int(describe["mels"]), FRAMES, generator=source)
    return {"log_mel": noise, "lengths": torch.tensor([FRAMES, FRAMES // 2])}


def fold_encoder(encoder: nn.Module, describe: Mapping[str, Any]) -> nn.Module:
    """A copy of a column's encoder in eval mode, folded where it reads pictures or sounds."""
    if not isinstance(encoder, ColumnEncoder) or encoder.kind not in ("image", "audio"):
        return encoder
    example = example_field(encoder.kind, describe)
    device = next((tensor.device for tensor in encoder.state_dict().values()), torch.device("cpu"))
    here = {name: part.to(device) for name, part in example.items()} if isinstance(example, dict) else (
        example.to(device))
    return fuse_batch_norm(encoder, here)[0]


def fold_encoders(network: Any, describes: Mapping[str, Mapping[str, Any]]) -> None:
    """Fold every encoder of a fusion network that is no longer trained, in place.

    describes: column → what its codec says of itself.
    """
    for column, key in getattr(network, "keys", {}).items():
        network.encoders[key] = fold_encoder(network.encoders[key], describes[column])


def fused_for_inference(
    network: nn.Module, describes: Mapping[str, Mapping[str, Any]], *, dtype: torch.dtype = torch.float32,
    channels_last: bool = False,
) -> nn.Module:
    """A copy of a fusion network for answering alone: folded, and its products' weights stored as they are used.

    dtype: of the products under autocast, whose weights are then not converted at every call; the rest of the network
    stays float32. describes: column → what its codec says of itself.
    """
    lighter = copy.deepcopy(network).eval().requires_grad_(False)
    fold_encoders(lighter, describes)
    if dtype != torch.float32:
        for module in lighter.modules():
            if isinstance(module, nn.Linear | nn.Conv1d | nn.Conv2d):
                module.to(dtype)
    return lighter.to(memory_format=torch.channels_last) if channels_last else lighter  # type: ignore[call-overload]
