"""The answer of a run as one plain module: members as they were fitted, their weighted average, the temperature.

What a graph can say is exported: networks, and linear heads on the features of pretrained networks or on picture
histograms. Heads on words, on sounds' statistics or on tables of numbers, and trees, are refused by name.
"""

import copy
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

from gradatim.data.codecs import Codec
from gradatim.errors import GradatimError
from gradatim.estimators.features.scale import FARTHEST
from gradatim.evaluate.calibrate import SMALLEST_PROBABILITY as COLD
from gradatim.export.histograms import PictureHistograms
from gradatim.export.resize import PictureSquare
from gradatim.models.fusion.fuse_batch_norm import fold_encoder, fold_encoders
from gradatim.tasks.classification import SMALLEST_PROBABILITY
from gradatim.tasks.constant import Constant
from gradatim.tasks.heads import Block, Head
from gradatim.tasks.members import Ensemble, Member
from gradatim.tasks.network import NetworkMember

FIELDS = {"text": ("ids", "lengths"), "audio": ("log_mel", "lengths")}
TASKS = ("classification", "regression")


@dataclass(frozen=True, slots=True)
class Entry:
    """One input of the graph: a part of a column's field, or the flag that says whether the cell is there.

    part: "" for a field that is one tensor, "present" for the flag, else the name inside the field.
    """

    name: str
    column: str
    part: str
    codec: Codec


class Fields(nn.Module):
    """Positional tensors → the fields of each (column, codec): pictures are brought to their square here."""

    def __init__(self, entries: list[Entry], layout: str) -> None:
        super().__init__()
        self.entries = entries
        self.squares = nn.ModuleDict()
        for entry in entries:
            if entry.codec.kind == "image" and entry.part == "":
                codec: Any = entry.codec
                self.squares[str(len(self.squares))] = PictureSquare(codec.size, codec.framing, layout)

    def forward(self, *tensors: torch.Tensor) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
        fields: dict[str, Any] = {}
        present: dict[str, torch.Tensor] = {}
        squares = iter(self.squares.values())
        for entry, tensor in zip(self.entries, tensors):
            source = source_of(entry.name, entry.part)
            if entry.part == "present":
                present[source] = tensor
            elif entry.part == "":
                fields[source] = next(squares)(tensor) if entry.codec.kind == "image" else tensor
            else:
                fields.setdefault(source, {})[entry.part] = tensor
        return fields, present


def source_of(name: str, part: str) -> str:
    """'words.ids', 'ids' → 'words'."""
    return name.removesuffix(f".{part}") if part else name


class NetworkPart(nn.Module):
    """A network member: fields → probabilities (B, C) or numbers (B,), pictures also in the mirror where it does so."""

    def __init__(self, member: NetworkMember, sources: Mapping[str, str], task: Any) -> None:
        super().__init__()
        self.network = copy.deepcopy(member.network).to("cpu", torch.float32, memory_format=torch.contiguous_format)  # type: ignore[call-overload]
        self.network.eval().requires_grad_(False)
        fold_encoders(self.network, {name: codec.describe() for name, codec in member.codecs.items()})
        self.sources, self.classes = dict(sources), len(task.classes)
        pictures = [name for name, codec in member.codecs.items() if codec.kind == "image"]
        self.turned = pictures if member.mirrored else []
        self.mean, self.std = (0.0, 1.0) if task.classes else (float(task.codec.mean), float(task.codec.std))

    def forward(self, fields: dict[str, Any], present: dict[str, torch.Tensor]) -> torch.Tensor:
        inputs = {column: fields[source] for column, source in self.sources.items()}
        there = {column: present[source] for column, source in self.sources.items() if source in present}
        said = self.said(inputs, there)
        if self.turned:
            mirror = {name: values.flip(-1) if name in self.turned else values for name, values in inputs.items()}
            said = (said + self.said(mirror, there)) / 2
        return said

    def said(self, inputs: dict[str, Any], there: dict[str, torch.Tensor]) -> torch.Tensor:
        output: torch.Tensor = self.network(inputs, there)
        if not self.classes:
            return output[:, 0] * self.std + self.mean
        if self.classes == 2:
            return torch.sigmoid(torch.cat([-output[:, :1], output[:, :1]], dim=1))
        return torch.softmax(output, dim=1)


class FeaturePart(nn.Module):
    """One block of a head: a field → standardised features, zero where the cell is missing."""

    def __init__(self, block: Block, source: str) -> None:
        super().__init__()
        self.source, extractor = source, block.extractor
        if block.kind == "frozen":
            self.features: nn.Module = fold_encoder(extractor.network, extractor.describe)
            means, scales, farthest = extractor.means, extractor.scales, math.inf
        else:
            codec: Any = block.codecs[block.columns[0]]
            self.features = PictureHistograms(codec.size, codec.channels, extractor)
            means, scales, farthest = extractor.means_, extractor.scales_, FARTHEST
        self.features.to(torch.float32).eval().requires_grad_(False)
        self.register_buffer("means", torch.from_numpy(np.asarray(means, np.float32)))
        self.farthest = farthest * block.scale
        self.register_buffer("factors", torch.from_numpy(np.float32(block.scale) / np.asarray(scales, np.float32)))

    def forward(self, fields: dict[str, Any], present: dict[str, torch.Tensor]) -> torch.Tensor:
        rows = (self.features(fields[self.source]) - self.means) * self.factors
        if self.farthest < math.inf:
            rows = rows.clamp(-self.farthest, self.farthest)
        there = present.get(self.source)
        return rows if there is None else torch.where(there[:, None], rows, torch.zeros_like(rows))


class HeadPart(nn.Module):
    """A linear head on features: fields → probabilities (B, C) or numbers (B,)."""

    def __init__(self, head: Head, sources: Mapping[str, str], task: Any) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(FeaturePart(block, sources[block.columns[0]]) for block in head.blocks)
        estimator = head.estimator
        weight = np.atleast_2d(np.asarray(estimator.coef_, dtype=np.float64))
        bias = np.broadcast_to(np.asarray(estimator.intercept_, dtype=np.float64).reshape(-1), (len(weight),))
        self.linear = nn.Linear(weight.shape[1], len(weight))
        self.linear.weight.data = torch.from_numpy(weight).float()
        self.linear.bias.data = torch.from_numpy(bias.copy()).float()
        self.classes = len(task.classes)
        self.two = len(weight) == 1 and self.classes > 0
        seen = np.asarray(estimator.classes_, dtype=np.int64) if self.classes else np.zeros(1, np.int64)
        spread = np.zeros((len(seen), max(self.classes, 1)), np.float32)
        if self.classes:
            spread[np.arange(len(seen)), seen] = 1
        self.register_buffer("spread", torch.from_numpy(spread))
        self.spread: torch.Tensor

    def forward(self, fields: dict[str, Any], present: dict[str, torch.Tensor]) -> torch.Tensor:
        scores = self.linear(torch.cat([block(fields, present) for block in self.blocks], dim=1))
        if not self.classes:
            return scores[:, 0]
        if self.two:
            shares = torch.sigmoid(torch.cat([-scores, scores], dim=1))
        else:
            shares = torch.softmax(scores, dim=1)
        unseen = SMALLEST_PROBABILITY * (1 - self.spread.sum(0))
        spread = shares @ self.spread + unseen
        return spread / spread.sum(1, keepdim=True)


class ConstantPart(nn.Module):
    """The same answer for every row."""

    def __init__(self, member: Constant, source: str) -> None:
        super().__init__()
        self.source = source
        self.register_buffer("value", torch.from_numpy(np.asarray(member.value, np.float32)))
        self.value: torch.Tensor

    def forward(self, fields: dict[str, Any], present: dict[str, torch.Tensor]) -> torch.Tensor:
        field = fields[self.source]
        rows = len(next(iter(field.values())) if isinstance(field, dict) else field)
        return self.value.expand(rows, *self.value.shape)


class Pipeline(nn.Module):
    """Everything between the inputs of the graph and the answer: probabilities (B, C), or numbers (B,).

    `entries` names the inputs in the order in which `forward` takes them.
    """

    def __init__(self, ensemble: Ensemble, layout: str = "nhwc") -> None:
        super().__init__()
        task: Any = ensemble.task
        used = ensemble.used()
        for member, _, _ in used:
            check(member)
        self.entries, sources = entries_of([member for member, _, _ in used])
        self.fields = Fields(self.entries, layout)
        self.members = nn.ModuleList(
            part_of(member, chosen, task, self.entries[0].name) for (member, _, _), chosen in zip(used, sources)
        )
        self.shares = [share for _, share, _ in used]
        self.temperatures = [temperature if task.classes else 1.0 for _, _, temperature in used]
        self.temperature = ensemble.temperature if task.classes else 1.0
        self.uniform_share = ensemble.uniform_share

    def forward(self, *tensors: torch.Tensor) -> torch.Tensor:
        fields, present = self.fields(*tensors)
        first, *others = [share * _tempered(member(fields, present), temperature) for share, member, temperature
                          in zip(self.shares, self.members, self.temperatures)]
        answer = _tempered(sum(others, first), self.temperature)
        if self.uniform_share == 0:
            return answer
        return (1 - self.uniform_share) * answer + self.uniform_share / answer.shape[1]


def _tempered(answer: torch.Tensor, temperature: float) -> torch.Tensor:
    """softmax(log p / T)."""
    if temperature == 1.0:
        return answer
    return torch.softmax(torch.log(torch.clamp(answer, COLD, 1.0)) / temperature, dim=1)


def check(member: Member) -> None:
    """Refuse a member that no graph can say, in one line that names it."""
    advice = "export with --networks-only, which leaves it out of the average, or fit with --estimator or --epochs"
    if isinstance(member, Head):
        for block in member.blocks:
            words = any(codec.kind == "text" for codec in block.codecs.values())
            if block.kind not in ("frozen", "image") or words:
                raise GradatimError(f"export: expected members that are networks, found a head on {block.kind} "
                                    f"features of '{block.columns[0]}'; {advice}")
        if not hasattr(member.estimator, "coef_") or not hasattr(member.estimator, "intercept_"):
            raise GradatimError(f"export: expected a linear head, found {type(member.estimator).__name__}; {advice}")
    elif not isinstance(member, NetworkMember | Constant):
        raise GradatimError(f"export: expected members that are networks, found {type(member).__name__.lower()}; "
                            f"{advice}")


def part_of(member: Member, sources: Mapping[str, str], task: Any, first: str) -> nn.Module:
    """The module of a member; `sources`: column → name of its field in the graph."""
    if isinstance(member, NetworkMember):
        return NetworkPart(member, sources, task)
    if isinstance(member, Head):
        return HeadPart(member, sources, task)
    assert isinstance(member, Constant)
    return ConstantPart(member, source_of(first, ""))


def codecs_of(member: Member) -> dict[str, Codec]:
    """Column → codec of a member."""
    if isinstance(member, NetworkMember):
        return member.codecs
    if isinstance(member, Head):
        return {name: codec for block in member.blocks for name, codec in block.codecs.items()}
    return {}


def entries_of(members: list[Member]) -> tuple[list[Entry], list[dict[str, str]]]:
    """The inputs of the graph, and for each member column → field. Equal codecs of a column share one field; a column
    that is alone and a picture needs no flag, since a picture that is missing is not asked about.
    """
    known: dict[tuple[str, str], str] = {}
    entries: list[Entry] = []
    sources: list[dict[str, str]] = []
    columns = {name for member in members for name in codecs_of(member)}
    for member in members:
        chosen = {}
        for column, codec in codecs_of(member).items():
            key = (column, json.dumps(codec.to_json(), sort_keys=True, default=str))
            if key not in known:
                number = 1 + sum(name == column for name, _ in known)
                known[key] = source = column if number == 1 else f"{column}@{number}"
                parts = list(FIELDS.get(codec.kind, ("",)))
                parts += [] if len(columns) == 1 and codec.kind == "image" else ["present"]
                entries += [Entry(f"{source}.{part}" if part else source, column, part, codec) for part in parts]
            chosen[column] = known[key]
        sources.append(chosen)
    if not entries:
        raise GradatimError("export: expected a member that looks at some column, found the constant alone")
    return entries, sources
