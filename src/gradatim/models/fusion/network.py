"""The fusion network: one encoder a column, their vectors joined, one head.

Papers: Ngiam et al., "Multimodal Deep Learning", ICML 2011 (joint representations); Neverova et al., "ModDrop", PAMI
2016 (whole modalities dropped in training); Gorishniy et al. 2021 (attention over one token a column).

The idea: f_c reads column c, whatever it holds, into a vector of one width; the vectors are either laid side by side
and mixed by a hidden layer (`concatenation`), or attend to one another together with a read-out token (`attention`). A
missing cell has a learned vector of its own, and in training whole columns are hidden now and then, so that the net
can do without any of them and does not lean on one alone.

What differs from the papers: each vector is normalised before it is joined, so no column drowns the others by its
scale; a row never loses all that it has; all number columns share one encoder, with a flag for each missing number.

What to notice: hidden columns cost a little accuracy when everything is present and save a lot when something is not;
the modality ledger of a report measures both on your data.
"""

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

import torch
from torch import nn

from gradatim.errors import GradatimError
from gradatim.models.fusion.encoders import CategoryEncoder, ColumnEncoder, Field, NumbersEncoder
from gradatim.nn.attention.attention import TransformerBlock
from gradatim.nn.init import initialise_dense, small_normal_
from gradatim.nn.precision import at_least_float32

FUSIONS = ("concatenation", "attention")
KINDS = ("number", "category", "text", "image", "audio", "series")
NUMBERS = "numbers"


class Concatenation(nn.Module):
    """Vectors side by side through a hidden layer: (B, tokens, width) → (B, width)."""

    def __init__(self, tokens: int, width: int, dropout: float) -> None:
        super().__init__()
        self.mix = nn.Sequential(
            nn.Dropout(dropout), nn.Linear(tokens * width, width), nn.LayerNorm(width), nn.GELU()
        )

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        return self.mix(tokens.flatten(1))


class AttentionFusion(nn.Module):
    """A read-out token and one token a column through transformer blocks: (B, tokens, width) → (B, width)."""

    def __init__(self, tokens: int, width: int, dropout: float, *, heads: int = 4, depth: int = 2) -> None:
        super().__init__()
        self.readout = nn.Parameter(torch.empty(width))
        self.column = nn.Parameter(torch.empty(tokens, width))  # which column a token stands for
        self.blocks = nn.ModuleList(
            TransformerBlock(width, heads, expansion=2, dropout=dropout) for _ in range(depth)
        )
        self.norm = nn.LayerNorm(width)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        readout = self.readout.to(tokens.dtype).expand(tokens.shape[0], 1, -1)
        tokens = torch.cat([readout, tokens + self.column.to(tokens.dtype)], dim=1)
        for block in self.blocks:
            tokens = block(tokens)
        return self.norm(tokens[:, 0])


class FusionNetwork(nn.Module):
    """Encoders, projections to one width, fusion, linear head.

    forward: inputs column → Field, present column → bool (B,) (left out: all present) → float32 (B, outputs).
    features: the same → (B, num_features), what the head reads. `encoder(column)` is the network behind a column.
    A frozen encoder stays in eval mode and gets no gradient.
    """

    def __init__(
        self, inputs: Mapping[str, Mapping[str, Any]], outputs: int, fusion: str, width: int, dropout: float,
        modality_dropout: float,
    ) -> None:
        super().__init__()
        check_inputs(inputs, fusion)
        self.numbers = [name for name, column in inputs.items() if column["kind"] == "number"]
        self.columns = [name for name in inputs if name not in self.numbers]
        self.keys = {name: f"{inputs[name]['kind']}_{state_name(name)}" for name in self.columns}
        self.modality_dropout = modality_dropout
        encoders: dict[str, nn.Module] = {}
        frozen = set()
        if self.numbers:
            first = inputs[self.numbers[0]]
            encoders[NUMBERS] = NumbersEncoder(len(self.numbers), first.get("encoder"))
            frozen |= {NUMBERS} if first.get("frozen") else set()
        for name in self.columns:
            column, key = inputs[name], self.keys[name]
            encoders[key] = column_encoder(name, column)
            frozen |= {key} if column.get("frozen") else set()
        self.frozen = frozenset(frozen)
        self.encoders = nn.ModuleDict(encoders)
        self.projections = nn.ModuleDict({
            key: nn.Sequential(nn.Linear(int(encoder.num_features), width), nn.LayerNorm(width))  # type: ignore[arg-type]
            for key, encoder in encoders.items()
        })
        self.absent = nn.ParameterDict({key: nn.Parameter(torch.empty(width)) for key in self.keys.values()})
        joined = Concatenation if fusion == "concatenation" else AttentionFusion
        self.fusion = joined(len(encoders), width, dropout)
        self.num_features = width
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(width, outputs) if outputs else nn.Identity()
        self._initialise()

    def _initialise(self) -> None:
        """Projections, fusion and head: Xavier; absent vectors and tokens small normal; encoders keep their own."""
        for part in (self.projections, self.fusion, self.head):
            initialise_dense(part)
        for parameter in self.absent.values():
            small_normal_(parameter)
        if isinstance(self.fusion, AttentionFusion):
            small_normal_(self.fusion.readout)
            small_normal_(self.fusion.column)
        for key in self.frozen:
            self.encoders[key].requires_grad_(False)
        self.train(self.training)

    def train(self, mode: bool = True) -> "FusionNetwork":
        super().train(mode)
        for key in self.frozen:
            self.encoders[key].eval()
        return self

    def encoder(self, column: str) -> nn.Module:
        """The zoo network that reads a column (for number columns, the one that they share): what weights load into."""
        if column not in self.keys and column not in self.numbers:
            known = ", ".join([*self.numbers, *self.columns])
            raise GradatimError(f"expected a column among {known}, received '{column}'")
        part = self.encoders[self.keys.get(column, NUMBERS)]
        return part if isinstance(part, CategoryEncoder) else part.network  # type: ignore[return-value]

    def forward(
        self, inputs: Mapping[str, Field], present: Mapping[str, torch.Tensor] | None = None
    ) -> torch.Tensor:
        return at_least_float32(self.head(self.dropout(self.features(inputs, present))))

    def features(
        self, inputs: Mapping[str, Field], present: Mapping[str, torch.Tensor] | None = None
    ) -> torch.Tensor:
        """What the head reads: (B, num_features)."""
        shown = self.shown(inputs, present or {})
        tokens = []
        if self.numbers:
            values = torch.stack([inputs[name] for name in self.numbers], dim=1)  # type: ignore[misc]
            flags = shown[:, : len(self.numbers)]
            tokens.append(self.projections[NUMBERS](self._encoded(NUMBERS, values, flags)))
        for place, name in enumerate(self.columns, start=len(self.numbers)):
            key = self.keys[name]
            token = self.projections[key](self._encoded(key, inputs[name]))
            tokens.append(torch.where(shown[:, place, None], token, self.absent[key].to(token.dtype)))
        return self.fusion(torch.stack(tokens, dim=1))

    def _encoded(self, key: str, *values: Field) -> torch.Tensor:
        if key in self.frozen:
            with torch.no_grad():
                return self.encoders[key](*values)
        return self.encoders[key](*values)

    def shown(self, inputs: Mapping[str, Field], present: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """Which cells the net may use: bool (B, columns), numbers first; in training some are hidden at random."""
        names = [*self.numbers, *self.columns]
        first = inputs[names[0]]
        example = first if isinstance(first, torch.Tensor) else next(iter(first.values()))
        everywhere = torch.ones(example.shape[0], dtype=torch.bool, device=example.device)
        there = torch.stack([present.get(name, everywhere) for name in names], dim=1)
        if not self.training or not self.modality_dropout or len(names) == 1:
            return there
        kept = there & (torch.rand(there.shape, device=there.device) >= self.modality_dropout)
        return torch.where(kept.any(1, keepdim=True), kept, there)


def column_encoder(name: str, column: Mapping[str, Any]) -> nn.Module:
    """The encoder of one column; errors name the column."""
    kind, describe, encoder = column["kind"], dict(column.get("describe") or {}), column.get("encoder")
    try:
        if kind == "category":
            if encoder is not None:
                raise GradatimError("expected no encoder for a category (it has an embedding table), received one")
            return CategoryEncoder(int(describe["cardinality"]))
        return ColumnEncoder(kind, describe, encoder)
    except (GradatimError, ValueError) as error:
        raise GradatimError(f"column '{name}': {error}") from error
    except KeyError as error:
        raise GradatimError(f"column '{name}': expected {error} in the codec's description, found none") from error


def check_inputs(inputs: Mapping[str, Mapping[str, Any]], fusion: str) -> None:
    """Refuse an empty list of columns, an unknown kind, an unknown fusion, number columns that disagree."""
    if fusion not in FUSIONS:
        raise GradatimError(f"expected a fusion among {', '.join(FUSIONS)}, received '{fusion}'")
    if not inputs:
        raise GradatimError("expected at least one input column, received none")
    for name, column in inputs.items():
        if column.get("kind") not in KINDS:
            raise GradatimError(
                f"column '{name}': expected a kind among {', '.join(KINDS)}, received {column.get('kind')!r}"
            )
    shared = [(c.get("encoder"), bool(c.get("frozen"))) for c in inputs.values() if c["kind"] == "number"]
    if any(choice != shared[0] for choice in shared):
        raise GradatimError("expected one encoder for all number columns, which share it; received several")


def state_name(column: str) -> str:
    """A column's name as part of a parameter's name: anything but letters, digits, '_', '-' and '~' as %XX.

    >>> state_name("price.in €")
    'price%2Ein%20%E2%82%AC'
    """
    return quote(column, safe="").replace(".", "%2E")


def fusion_network(
    inputs: dict[str, dict[str, Any]], outputs: int, fusion: str = "concatenation", width: int = 64,
    dropout: float = 0.1, modality_dropout: float = 0.1,
) -> FusionNetwork:
    """The fusion network over `inputs`, column → {"kind", "describe", "encoder", "frozen"}, all JSON values.

    `describe` is what the column's codec says of itself; `encoder` a blueprint {"address", "arguments"} or None for
    the default of the kind (see gradatim.models.fusion.encoders); `outputs` the number of logits (0: features).
    """
    return FusionNetwork(inputs, outputs, fusion, width, dropout, modality_dropout)


def demo_inputs() -> dict[str, dict[str, Any]]:
    """One column of each kind, two of numbers, small encoders."""
    small: dict[str, Any] = {"address": "small_resnet", "arguments": {"width": 8, "stem_stride": 1}}
    return {
        "width.cm": {"kind": "number", "describe": {}},
        "height.cm": {"kind": "number", "describe": {}},
        "colour": {"kind": "category", "describe": {"cardinality": 4}},
        "name": {"kind": "text", "describe": {"vocabulary": 12, "max_length": 2}},
        "description": {"kind": "text", "describe": {"vocabulary": 20, "max_length": 7}},
        "picture": {
            "kind": "image", "describe": {"channels": 3, "size": 16, "mean": [0.5], "std": [0.25]}, "encoder": small,
        },
        "voice": {
            "kind": "audio", "describe": {"mels": 16},
            "encoder": {"address": "log_mel_net", "arguments": {"width": 8}},
        },
        "pulse": {
            "kind": "series", "describe": {"channels": 2, "values": 1, "max_length": 12},
            "encoder": {"address": "inception_time_small", "arguments": {"filters": 4}},
        },
    }


def demo() -> tuple[FusionNetwork, tuple[Any, ...]]:
    """A net over eight columns and three rows; in each row some cell is missing."""
    present = {name: torch.ones(3, dtype=torch.bool) for name in demo_inputs()}
    for place, name in enumerate(demo_inputs()):
        present[name][place % 3] = False
    inputs: dict[str, Field] = {
        "width.cm": torch.randn(3),
        "height.cm": torch.randn(3),
        "colour": torch.tensor([1, 3, 2]),
        "name": {"ids": torch.tensor([[3, 0], [4, 5], [1, 2]]), "lengths": torch.tensor([1, 2, 2])},
        "description": {"ids": torch.randint(1, 20, (3, 7)), "lengths": torch.tensor([7, 7, 7])},
        "picture": torch.randint(0, 256, (3, 3, 16, 16), dtype=torch.uint8),
        "voice": {"log_mel": torch.randn(3, 16, 20), "lengths": torch.tensor([20, 9, 14])},
        "pulse": {"values": torch.randn(3, 2, 12), "lengths": torch.tensor([12, 3, 7])},
    }
    return fusion_network(demo_inputs(), 4, width=16), (inputs, present)
