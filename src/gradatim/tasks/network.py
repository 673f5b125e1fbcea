"""A network as a member of the answer: codecs, blueprint, weights."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from torch import nn

from gradatim.data.batch import Batch
from gradatim.data.codecs import Codec, codec_from_json
from gradatim.data.loader import Encoded
from gradatim.data.schema import Column
from gradatim.device import Placement, autocast
from gradatim.errors import ArtifactError
from gradatim.files import to_json_bytes
from gradatim.models.fusion.fuse_batch_norm import fused_for_inference
from gradatim.tasks.rebuilt import placed_here, rebuilt
from gradatim.tasks.source import Source

FUSION = "gradatim.models.fusion.network.fusion_network"
ANSWER_BATCH = 256
ENCODER_KEYS = ("address", "arguments", "pixels")


@dataclass(frozen=True, slots=True)
class NetworkMember:
    """An encoder a column, fusion, a head; `blueprint` is its address and JSON arguments.

    mirrored: pictures are answered once more left to right, and the two answers averaged.
    """

    codecs: dict[str, Codec]
    blueprint: dict[str, Any]
    network: nn.Module
    placement: Placement
    task: Any
    mirrored: bool = False
    _lighter: dict[Any, nn.Module] = field(default_factory=dict, repr=False, compare=False)

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns it looks at."""
        return tuple(self.codecs)

    def answer(self, source: Source) -> np.ndarray:
        """Its answer to every row, by a copy of the network that only answers: 1.05 to 1.25 times as fast."""
        return self.final_answer(source.encode(self.codecs), np.arange(len(source)))

    def final_answer(self, encoded: Encoded, rows: np.ndarray) -> np.ndarray:
        """What `answer` gives for some rows of a table that is encoded already."""
        return self._answered(self.lighter(), encoded, rows)

    def lighter(self) -> nn.Module:
        """The network with batch norms folded and weights stored as they are used; made anew after it was trained."""
        state = tuple((tensor.data_ptr(), tensor._version) for tensor in self.network.state_dict().values())
        if state not in self._lighter:
            describes = {name: codec.describe() for name, codec in self.codecs.items()}
            self._lighter.clear()
            self._lighter[state] = fused_for_inference(
                self.network, describes, dtype=getattr(torch, self.placement.dtype),
                channels_last=self.placement.channels_last,
            )
        return self._lighter[state]

    def answer_rows(self, encoded: Encoded, rows: np.ndarray) -> np.ndarray:
        """Its answer to some rows of an encoded table, in batches of ANSWER_BATCH, without gradients."""
        training = self.network.training
        self.network.eval()
        answers = self._answered(self.network, encoded, rows)
        self.network.train(training)
        return answers

    def _answered(self, network: nn.Module, encoded: Encoded, rows: np.ndarray) -> np.ndarray:
        answers = []
        with torch.inference_mode(), autocast(self.placement):
            for start in range(0, max(len(rows), 1), ANSWER_BATCH):
                batch = encoded.batch(rows[start : start + ANSWER_BATCH], self.columns).to(self.placement.device)
                answer = self.task.respond(network, batch)
                if self.mirrored:
                    answer = (answer + self.task.respond(network, self._mirror(batch))) / 2
                answers.append(answer)
        return np.concatenate(answers)

    def _mirror(self, batch: Batch) -> Batch:
        """The batch with its pictures turned left to right."""
        pictures = {name: batch.inputs[name] for name, codec in self.codecs.items() if codec.kind == "image"}
        turned = {name: values.flip(-1) for name, values in pictures.items() if isinstance(values, torch.Tensor)}
        return replace(batch, inputs={**batch.inputs, **turned})

    def to_state(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """JSON state and arrays."""
        codecs = [{"column": name, "codec": codec.to_json()} for name, codec in self.codecs.items()]
        state = {"member": "network", "blueprint": self.blueprint, "codecs": codecs,
                 "placement": self.placement.to_json(), "mirrored": self.mirrored}
        return state, dict(self.network.state_dict())

    @classmethod
    def from_state(
        cls,
        state: Mapping[str, Any],
        shapes: Mapping[str, tuple[int, ...]],
        read: Callable[[str], torch.Tensor],
        task: Any,
    ) -> "NetworkMember":
        """Build the network again, see `rebuilt`; codecs and network must belong together."""
        codecs = {str(entry["column"]): codec_from_json(entry["codec"]) for entry in state["codecs"]}
        _check_inputs(state["blueprint"], codecs)
        network = rebuilt(state["blueprint"], shapes, read)
        placement = placed_here(Placement.from_json(state["placement"]))
        if placement.channels_last:  # as it was trained: the layout decides the last bits
            network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        return cls(codecs, dict(state["blueprint"]), network.to(placement.device).eval(), placement, task,
                   state.get("mirrored") is True)


def _check_inputs(blueprint: Mapping[str, Any], codecs: Mapping[str, Codec]) -> None:
    """Refuse codecs that encode otherwise than the network was built for: they would lead out of its tables."""
    inputs = (blueprint.get("arguments") or {}).get("inputs")
    if not isinstance(inputs, Mapping):
        return
    described = {name: (codec.kind, codec.describe()) for name, codec in codecs.items()}
    wanted = {name: (column["kind"], column["describe"]) for name, column in inputs.items()}
    if to_json_bytes(described) != to_json_bytes(wanted):
        raise ArtifactError("expected codecs that the network was built for, found others")


def blueprint_of(
    columns: Sequence[Column],
    codecs: Mapping[str, Codec],
    outputs: int,
    *,
    encoders: Mapping[str, Mapping[str, Any]],
    fusion: str,
    fine_tune: bool = False,
    arguments: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Address and JSON arguments of the network for these inputs; `encoders` by column, else by kind."""
    inputs = {}
    for column in columns:
        chosen = encoders.get(column.name, encoders.get(column.kind))
        inputs[column.name] = {
            "kind": column.kind,
            "describe": codecs[column.name].describe(),
            "encoder": None if chosen is None else {k: chosen[k] for k in ENCODER_KEYS if k in chosen},
            "frozen": bool(chosen and chosen.get("frozen", False) and not fine_tune),
        }
    return {"address": FUSION,
            "arguments": {"inputs": inputs, "outputs": outputs, "fusion": fusion, **(arguments or {})}}
