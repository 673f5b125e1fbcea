"""From a column to a vector: which network reads a column of each kind, and how its field is handed over.

`default_encoder` is the literal table of choices; `ColumnEncoder` puts the adapter of a kind (pixels to standardised
floats, log-mel to a picture, token numbers and series with their lengths) in front of any network of the zoo.
"""

import inspect
import math
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from gradatim.errors import GradatimError
from gradatim.models.address import build, check_arguments, resolve
from gradatim.models.vision.small_resnet import stem_stride_for
from gradatim.nn.convolution.pixels import PixelNormalize
from gradatim.nn.init import small_normal_

# One column of a batch, as gradatim.data.batch has it.
Field = torch.Tensor | dict[str, torch.Tensor]
Blueprint = dict[str, Any]

SHORT_TEXT, LONG_TEXT = 4, 512
LARGEST_ZOOM = 2  # small pictures are shown to a pretrained network at most so much larger


def default_encoder(kind: str, describe: dict[str, Any]) -> Blueprint:
    """The network that reads a column of this kind when the user names none.

    Pictures: `small_resnet`, its stem by the size. Texts: a bag of embeddings up to 4 tokens (a name, a tag) and
    beyond 512 (cost); attention pooling between. Sounds: `log_mel_net`. Series: `inception_time_small`. Numbers: `mlp`.
    Categories: an embedding table, which is no network of the zoo and has no blueprint.
    """
    if kind == "image":
        stride = stem_stride_for(picture_side(describe))
        return {"address": "gradatim.models.vision.small_resnet.small_resnet", "arguments": {"stem_stride": stride}}
    if kind == "text":
        tokens = int(describe.get("max_length", SHORT_TEXT + 1))
        name = "attention_pool.attention_pool" if SHORT_TEXT < tokens <= LONG_TEXT else "bag.bag_of_embeddings"
        return {"address": f"gradatim.models.sequence.{name}", "arguments": {}}
    if kind == "audio":
        return {"address": "gradatim.models.audio.log_mel_net.log_mel_net", "arguments": {}}
    if kind == "series":
        return {"address": "gradatim.models.sequence.inception_time.inception_time_small", "arguments": {}}
    if kind == "number":
        return {"address": "gradatim.models.tabular.mlp.mlp", "arguments": {"depth": 1, "embedding": "piecewise"}}
    raise GradatimError(f"expected a column of kind image, text, audio, series or number, received '{kind}'")


def picture_side(describe: dict[str, Any]) -> int:
    """The longer side of the pictures in pixels, from the codec's description."""
    size = describe["size"]
    return int(max(size)) if isinstance(size, list | tuple) else int(size)


def completed(kind: str, describe: dict[str, Any], encoder: Blueprint | None) -> Blueprint:
    """The blueprint with what the codec knows filled in where the builder asks for it and the user left it open."""
    chosen = encoder or default_encoder(kind, describe)
    arguments = dict(chosen.get("arguments") or {})
    builder = resolve(chosen["address"])
    known: dict[str, Any] = {"num_classes": 0}
    if kind == "image":
        pixels = chosen.get("pixels")
        channels = len(pixels["mean"]) if pixels else int(describe["channels"])
        known |= {"in_channels": channels, "size": picture_side(describe)}
    elif kind == "audio":
        known |= {"in_channels": 1, "mels": describe.get("mels")}
    elif kind == "series":
        known |= {"in_channels": int(describe["channels"])}
    elif kind == "text":
        known |= {"vocabulary": int(describe["vocabulary"]), "max_length": int(describe.get("max_length", 512))}
    elif kind == "number":
        known |= {"in_features": int(describe["features"])}
    takes = inspect.signature(builder).parameters
    needed = {"text": "vocabulary", "number": "in_features"}.get(kind, "in_channels")
    if not {"num_classes", needed} <= set(takes):
        raise GradatimError(
            f"'{chosen['address']}': expected a network for {kind} columns, a builder with the arguments num_classes "
            f"and {needed}; it takes {', '.join(takes)}"
        )
    for name, value in known.items():
        if name in takes:
            arguments.setdefault(name, value)
    arguments["num_classes"] = 0
    check_arguments(builder, arguments)
    kept = {"pixels": dict(chosen["pixels"])} if chosen.get("pixels") else {}
    return {"address": chosen["address"], "arguments": arguments, **kept}


def features_of(network: nn.Module, blueprint: Blueprint) -> int:
    """How many numbers a headless network gives."""
    count = getattr(network, "num_features", None)
    if not isinstance(count, int) or count < 1:
        raise GradatimError(f"'{blueprint['address']}': expected a network with `num_features`, found none")
    return count


class ColumnEncoder(nn.Module):
    """The adapter of a kind in front of a network built without a head: Field → float (B, num_features)."""

    num_features: int

    def __init__(self, kind: str, describe: dict[str, Any], encoder: Blueprint | None) -> None:
        super().__init__()
        blueprint = completed(kind, describe, encoder)
        self.kind = kind
        self.network = build({name: blueprint[name] for name in ("address", "arguments")})
        self.num_features = features_of(self.network, blueprint)
        self.takes_lengths = "lengths" in inspect.signature(self.network.forward).parameters
        channels = int(blueprint["arguments"].get("in_channels", 1))
        self.normalize: PixelNormalize | None = None
        self.channels = channels
        self.side = 0
        if kind == "image":
            pixels = blueprint.get("pixels") or describe
            self.normalize = PixelNormalize(
                int(describe["channels"]), pixels["mean"], pixels["std"], out_channels=channels
            )
            if blueprint.get("pixels"):
                self.side = min(int(pixels["size"]), LARGEST_ZOOM * picture_side(describe))

    def forward(self, field: Field) -> torch.Tensor:
        if self.normalize is not None:
            assert isinstance(field, torch.Tensor)
            pictures = self.normalize(field)
            if self.side and pictures.shape[-2:] != (self.side, self.side):
                pictures = F.interpolate(pictures, (self.side, self.side), mode="bilinear", antialias=True)
            return self.network(pictures)
        assert isinstance(field, dict)
        if self.kind == "text":
            return self.network(field["ids"], field["lengths"])
        if self.kind == "series":
            return self.network(field["values"], field["lengths"]) if self.takes_lengths else (
                self.network(field["values"]))
        pictures = field["log_mel"][:, None].expand(-1, self.channels, -1, -1)
        return self.network(pictures, field["lengths"]) if self.takes_lengths else self.network(pictures)


class CategoryEncoder(nn.Module):
    """An embedding table: int (B,) in 0..cardinality − 1, 0 for unknown → float (B, num_features).

    Width: 1.6 · cardinality^0.56, between 4 and 64, the rule of thumb of fastai's tabular models.
    """

    def __init__(self, cardinality: int) -> None:
        super().__init__()
        self.num_features = min(64, max(4, round(1.6 * cardinality**0.56)))
        self.embedding = nn.Embedding(cardinality, self.num_features)
        small_normal_(self.embedding.weight, deviation=1.0 / math.sqrt(self.num_features))

    def forward(self, field: Field) -> torch.Tensor:
        assert isinstance(field, torch.Tensor)
        return self.embedding(field)


class NumbersEncoder(nn.Module):
    """All number columns side by side: values float (B, F), present bool (B, F) → float (B, num_features)."""

    num_features: int

    def __init__(self, features: int, encoder: Blueprint | None) -> None:
        super().__init__()
        blueprint = completed("number", {"features": features}, encoder)
        self.network = build(blueprint)
        self.num_features = features_of(self.network, blueprint)
        self.takes_present = "present" in inspect.signature(self.network.forward).parameters

    def forward(self, values: torch.Tensor, present: torch.Tensor) -> torch.Tensor:
        values = torch.where(present, values, torch.zeros_like(values))
        return self.network(values, present) if self.takes_present else self.network(values)
