"""A linear head on features of pretrained networks, as one network that gradients pass through: words, pixels → score.

The features are standardised, weighted and added up as the head does; what it reads of other columns is held as it is.
"""

from typing import Any

import numpy as np
import scipy.sparse
import torch
from torch import nn

from gradatim.data.batch import Field
from gradatim.device import Placement
from gradatim.evaluate.explain.explanation import Part
from gradatim.tasks.explain_head import is_linear
from gradatim.tasks.explain_network import network_parts
from gradatim.tasks.heads import Block, Head
from gradatim.tasks.network import NetworkMember
from gradatim.tasks.source import Source

NEVER = -30.0  # log odds of a class that the head was not fitted on
HELD = "not read by a pretrained network: held as it is"


class FrozenHeadNetwork(nn.Module):
    """Inputs column → Field, present column → bool (B,) → what the task's networks give: (B, C), or (B, 1).

    blocks: those of frozen networks, with the weights of each (C, width); fixed: what the others add, (C,).
    """

    def __init__(self, head: Head, blocks: list[tuple[Block, np.ndarray]], fixed: np.ndarray) -> None:
        super().__init__()
        self.task = head.task
        self.keys = {block.columns[0]: str(place) for place, (block, _) in enumerate(blocks)}
        self.encoders = nn.ModuleDict({str(place): block.extractor.network for place, (block, _) in enumerate(blocks)})
        self.parts = {
            block.columns[0]: tuple(torch.from_numpy(np.asarray(part, np.float32)) for part in
                                    (block.extractor.means, block.extractor.scales / block.scale, weights.T))
            for block, weights in blocks
        }
        self.fixed = torch.from_numpy(np.asarray(fixed, np.float32))
        self.known = [int(label) for label in getattr(head.estimator, "classes_", ())] if head.task.classes else []

    def encoder(self, column: str) -> nn.Module:
        """The network that reads a column."""
        encoder: Any = self.encoders[self.keys[column]]
        return encoder.network

    def forward(self, inputs: dict[str, Field], present: dict[str, torch.Tensor]) -> torch.Tensor:
        total: torch.Tensor = self.fixed
        for name, key in self.keys.items():
            means, scales, weights = self.parts[name]
            features = (self.encoders[key](inputs[name]).float() - means) / scales
            total = total + torch.where(present[name][:, None], features, torch.zeros_like(features)) @ weights
        if not self.task.classes:
            return (total - float(self.task.codec.mean)) / float(self.task.codec.std)
        if total.shape[1] in (1, len(self.task.classes)):
            return total
        every = total.new_full((len(total), len(self.task.classes)), NEVER)
        every[:, self.known] = total
        return every


def can_pass(head: Any) -> bool:
    """Whether gradients can be taken through a member: a linear head with a pretrained network in it."""
    return isinstance(head, Head) and is_linear(head) and any(block.kind == "frozen" for block in head.blocks)


def frozen_member(head: Head, source: Source, row: int) -> NetworkMember:
    """The head as a network at one row, whose other columns are held."""
    weights = np.atleast_2d(np.asarray(head.estimator.coef_, dtype=np.float64))
    fixed = np.broadcast_to(np.atleast_1d(np.asarray(head.estimator.intercept_, np.float64)), (len(weights),)).copy()
    frozen, start = [], 0
    for block in head.blocks:
        features = block.matrix(source, np.array([row]))
        own = weights[:, start : start + features.shape[1]]
        start += features.shape[1]
        if block.kind == "frozen":
            frozen.append((block, own))
        else:
            fixed += own @ (features.toarray()[0] if scipy.sparse.issparse(features) else np.asarray(features)[0])
    codecs = {block.columns[0]: block.codecs[block.columns[0]] for block, _ in frozen}
    return NetworkMember(codecs, {}, FrozenHeadNetwork(head, frozen, fixed).eval(), Placement(), head.task)


def frozen_parts(
    head: Head, source: Source, row: int, explained: int, method: str
) -> tuple[tuple[Part, ...], float, float | None]:
    """As `network_parts`, of a head on features of pretrained networks; its other columns have no numbers."""
    member = frozen_member(head, source, row)
    parts, value, reference = network_parts(member, source, row, explained, method)
    found = {part.column: part for part in parts}
    others = [name for name in head.columns if name not in found]
    for name in others:
        kinds = {n: block.kind for block in head.blocks for n in block.columns}
        kind = "number" if kinds[name] == "table" else kinds[name]
        found[name] = Part(name, kind, source.table.frame.get_column(name)[row], None, note=HELD)
    return tuple(found[name] for name in head.columns), value, reference
