"""The network of a run as a score of numbers: where each column enters, so that gradients can be taken there.

Pictures enter after normalising (0 is the mean colour), sounds as log-mel spectrograms, series and numbers
standardised, texts and categories as their embeddings. Baselines: mean pixels, the quietest level, no embedding, the
mean number and the mean of each channel.
"""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import nn

from gradatim.data.batch import Batch, Field
from gradatim.data.codecs.bert_tokens import BertTokens
from gradatim.evaluate.explain.explanation import Part
from gradatim.evaluate.explain.gradients import (
    grad_cam,
    integrated_gradients,
    last_maps,
    saliency,
    smooth_grad,
)
from gradatim.evaluate.explain.removal import pieces
from gradatim.tasks.network import NetworkMember
from gradatim.tasks.source import Source

GRADIENT_METHODS = ("saliency", "smooth_grad", "integrated_gradients", "grad_cam")
FIELD_OF = {"audio": "log_mel", "series": "values"}  # kinds whose gradients are taken at a part of their field
STEPS = (32, 64, 128, 256)  # a ReLU that turns on the way costs accuracy: the error falls as 1 / steps


class NetworkScore:
    """Log odds of a class, or the number in the target's unit, of one row, as a function of where its columns enter.

    values: column → (1, …), at the row itself; baselines: the same, of an empty row. Calling it with (S, …) each gives
    (S,). network: another one with the same structure may stand in, as in the randomisation test.
    """

    def __init__(self, member: NetworkMember, batch: Batch, explained: int, network: nn.Module | None = None) -> None:
        self.member, self.batch, self.explained = member, batch, explained
        self.network = member.network if network is None else network
        self.kinds = {name: codec.kind for name, codec in member.codecs.items()}
        self.places = {name: place for name in member.codecs if (place := self._entry(name)) is not None}
        self.values = self._values()
        self.baselines = {name: self._baseline(name, value) for name, value in self.values.items()}

    def _entry(self, name: str) -> nn.Module | None:
        """The module whose output stands for the column; None where the field itself does."""
        kind = self.kinds[name]
        if kind in ("number", *FIELD_OF):
            return None
        network: Any = self.network
        encoder = network.encoders[network.keys[name]]
        if kind == "category":
            return encoder.embedding
        if kind == "image":
            return encoder.normalize
        count = int(self.member.codecs[name].describe()["vocabulary"])
        tables = [m for m in encoder.modules() if isinstance(m, nn.Embedding) and m.num_embeddings == count]
        return tables[0] if tables else None

    def _values(self) -> dict[str, torch.Tensor]:
        """What enters at the row itself."""
        kept: dict[str, torch.Tensor] = {}
        with ExitStack() as stack:
            for name, module in self.places.items():

                def note(module: nn.Module, inputs: Any, output: torch.Tensor, name: str = name) -> None:
                    kept[name] = output.detach()

                stack.callback(module.register_forward_hook(note).remove)
            with torch.no_grad():
                self.network(self.batch.inputs, self.batch.present)
        for name, kind in self.kinds.items():
            field = self.batch.inputs[name]
            if kind == "number" and isinstance(field, torch.Tensor):
                kept[name] = field.detach()
            elif kind in FIELD_OF and isinstance(field, dict):
                kept[name] = field[FIELD_OF[kind]].detach()
        return {name: kept[name] for name in self.kinds if name in kept}

    def _baseline(self, name: str, value: torch.Tensor) -> torch.Tensor:
        return torch.full_like(value, float(value.min())) if self.kinds[name] == "audio" else torch.zeros_like(value)

    def __call__(self, values: Mapping[str, torch.Tensor]) -> torch.Tensor:
        rows = next(iter(values.values())).shape[0]
        fields: dict[str, Field] = {name: _repeated(field, rows) for name, field in self.batch.inputs.items()}
        present = {name: flags.expand(rows) for name, flags in self.batch.present.items()}
        with ExitStack() as stack:
            for name, value in values.items():
                field = fields[name]
                if name in self.places:

                    def give(module: nn.Module, inputs: Any, output: Any, value: torch.Tensor = value) -> torch.Tensor:
                        return value

                    stack.callback(self.places[name].register_forward_hook(give).remove)
                elif isinstance(field, dict):
                    fields[name] = {**field, FIELD_OF[self.kinds[name]]: value}
                else:
                    fields[name] = value
            stack.enter_context(_thawed(self.network))
            output = self.network(fields, present).float()
        return score_of(output, self.member.task, self.explained)


def score_of(output: torch.Tensor, task: Any, explained: int) -> torch.Tensor:
    """(S, outputs) → (S,): the log odds of the class against all others, or the number in the target's unit."""
    if not task.classes:
        return output[:, 0] * float(task.codec.std) + float(task.codec.mean)
    if output.shape[1] == 1:
        return output[:, 0] if explained == 1 else -output[:, 0]
    others = [place for place in range(output.shape[1]) if place != explained]
    return output[:, explained] - torch.logsumexp(output[:, others], dim=1)


def _repeated(field: Field, rows: int) -> Field:
    if isinstance(field, dict):
        return {name: tensor.expand(rows, *tensor.shape[1:]) for name, tensor in field.items()}
    return field.expand(rows, *field.shape[1:])


@contextmanager
def _thawed(network: nn.Module) -> Iterator[None]:
    """Within it, gradients pass through frozen encoders as well."""
    frozen = getattr(network, "frozen", None)
    if frozen:
        network.frozen = frozenset()  # type: ignore[assignment]
    try:
        yield
    finally:
        if frozen:
            network.frozen = frozen


def network_parts(
    member: NetworkMember, source: Source, row: int, explained: int, method: str, network: nn.Module | None = None
) -> tuple[tuple[Part, ...], float, float | None]:
    """The parts of a row by a method of GRADIENT_METHODS, the network's score there and at the baseline."""
    batch = source.encode(member.codecs).batch(np.array([row]), member.columns).to(member.placement.device)
    member.network.eval()
    score = NetworkScore(member, batch, explained, None if network is None else network.eval())
    with torch.no_grad():
        value = float(score(score.values)[0])
        reference = float(score(score.baselines)[0]) if method == "integrated_gradients" else None
    if method == "grad_cam":
        found = _maps(score)
    elif method == "integrated_gradients":
        found = _complete(score, value - float(reference or 0.0))
    else:
        found = (saliency if method == "saliency" else smooth_grad)(score, score.values)
    parts = []
    for name in member.columns:
        cell = source.table.cell(name, row)
        if name not in found or not bool(batch.present[name][0]):
            note = "missing" if name in found or cell is None else ""
            parts.append(Part(name, score.kinds[name], cell, 0.0 if reference is not None else None, note=note))
            continue
        parts.append(_part(score, name, cell, found[name].cpu(), method, batch))
    return tuple(parts), value, reference


def _complete(score: NetworkScore, difference: float) -> dict[str, torch.Tensor]:
    """Integrated gradients with ever more steps until their sum is the difference of the scores, to a hundredth of what
    the columns add and take away.
    """
    for steps in STEPS:
        found = integrated_gradients(score, score.values, score.baselines, steps=steps)
        totals = [float(value.sum()) for value in found.values()]
        if abs(difference - sum(totals)) <= 0.01 * sum(map(abs, totals)):
            break
    return found


def _maps(score: NetworkScore) -> dict[str, torch.Tensor]:
    """Grad-CAM of each picture and sound: (1, 1, H, W) at the size at which they enter."""
    found = {}
    for name, kind in score.kinds.items():
        if kind not in ("image", "audio") or name not in score.values:
            continue
        encoder = score.network.encoder(name)  # type: ignore[operator]
        alone = {name: score.values[name]}
        layer = last_maps(encoder, score, alone)
        if layer is not None:
            height, width = alone[name].shape[-2:]
            found[name] = grad_cam(score, alone, layer, (height, width))[None, None]
    return found


def _part(score: NetworkScore, name: str, cell: Any, found: torch.Tensor, method: str, batch: Batch) -> Part:
    """One column's attributions as heat, words or a total."""
    kind, complete = score.kinds[name], method == "integrated_gradients"
    total = float(found.sum()) if complete else None
    if kind == "series":
        length = int(batch.inputs[name]["lengths"][0])  # type: ignore[index, call-overload]
        curve = found[0, : score.member.codecs[name].describe()["values"], :length].double().numpy()
        return Part(name, kind, cell, total, heat=curve if complete else np.abs(curve), signed=complete)
    if kind in ("image", "audio"):
        heat = found[0]
        if method in ("saliency", "smooth_grad"):
            heat = heat.abs().amax(0, keepdim=True) if heat.ndim == 3 else heat.abs()
        flat = (heat.sum(0) if heat.ndim == 3 else heat).double().numpy()
        context = (batch.context.get(name) or [None])[0]
        if kind == "image" and context is not None:
            left, top, width, height = context.box
            flat = flat[top : top + height, left : left + width]
        if kind == "audio":
            return _sound_part(score.member.codecs[name], Part(name, kind, cell, total, signed=complete), flat, context)
        return Part(name, kind, cell, total, heat=flat, signed=complete)
    if not complete and method != "grad_cam":  # gradient times value: how much the first order of it adds
        found = found * score.values[name].cpu()
    if kind == "text":
        lengths = batch.inputs[name]["lengths"]  # type: ignore[index, call-overload]
        tokens = found[0].sum(-1)[: int(lengths[0])].double().numpy()
        return Part(name, kind, cell, total, words=token_words(score.member.codecs[name], str(cell), tokens))
    return Part(name, kind, cell, float(found.sum()))


def _sound_part(codec: Any, part: Part, heat: np.ndarray, extent: Any) -> Part:
    """The heat (bands, frames) of a sound, low frequencies at the bottom, with what it spans."""
    described = codec.describe()
    seconds = heat.shape[1] / described["frames_per_second"]
    note = f"the first {seconds:.3g} s of {extent.seconds:.3g} s are used" if extent is not None and extent.cut else ""
    return replace(part, heat=heat[::-1], note=note, seconds=seconds, hertz=described["hertz"] / 2)


def token_words(codec: Any, text: str, scores: np.ndarray) -> tuple[tuple[str, float], ...]:
    """The pieces of a text with the sum of their tokens' scores; what lies between them, and beyond the cut, has 0."""
    if isinstance(codec.tokens, BertTokens):
        scores = scores[1:-1]  # the marks of beginning and end are no part of the text
    offsets = codec.tokens.engine.encode(text, add_special_tokens=False).offsets
    spans = pieces(text)
    sums = np.zeros(len(spans))
    starts = np.array([start for start, _ in spans])
    for (start, end), score in zip(offsets, scores):
        if len(spans):
            middle = (start + end - 1) / 2
            sums[max(int(np.searchsorted(starts, middle, side="right")) - 1, 0)] += score
    return cut_words(text, spans, sums)


def cut_words(text: str, spans: Any, scores: Any) -> tuple[tuple[str, float], ...]:
    """The whole text in order: pieces with their scores, and what lies between them with 0."""
    found, place = [], 0
    for (start, end), score in zip(spans, scores):
        if start > place:
            found.append((text[place:start], 0.0))
        found.append((text[start:end], float(score)))
        place = end
    return tuple([*found, (text[place:], 0.0)] if place < len(text) else found)
