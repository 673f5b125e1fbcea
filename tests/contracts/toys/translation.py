"""Toy translation: a recurrent encoder and decoder with attention (Luong et al. 2015), tied embeddings."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import polars as pl
import torch
from torch import nn
from torch.nn import functional as F

from gradatim.data.batch import Batch, Field
from gradatim.data.codecs import codec_for, codec_from_json
from gradatim.data.codecs.text import TextCodec
from gradatim.data.schema import Column
from gradatim.evaluate.predictions import Predictions
from toys.detection import column_of

END = 0  # the codec's padding; the codec has no marks of its own, so the network adds one for the beginning


class Translator(nn.Module):
    """Source ids → target ids. Target ids: 0 the end, then those of the codec, last the beginning."""

    def __init__(self, source: int, target: int, longest: int, width: int, column: str) -> None:
        super().__init__()
        self.column, self.begin, self.longest = column, target, longest
        self.source = nn.Embedding(source, width, padding_idx=0)
        self.reader = nn.GRU(width, width // 2, batch_first=True, bidirectional=True)
        self.target = nn.Embedding(target + 1, width)
        self.writer = nn.GRU(width, width, batch_first=True)
        self.join = nn.Linear(2 * width, width)
        self.output = nn.Linear(width, target + 1)
        self.output.weight = self.target.weight  # tied: two names, one tensor
        self.register_buffer("places", torch.arange(512), persistent=False)
        self.places: torch.Tensor

    def read(self, field: Field) -> tuple[torch.Tensor, torch.Tensor]:
        """States of the source (B, L, D), and bool (B, L) where there is text."""
        assert isinstance(field, dict)
        there = self.places[: field["ids"].shape[1]] < field["lengths"][:, None]
        return self.reader(self.source(field["ids"]))[0], there

    def write(
        self, ids: torch.Tensor, states: torch.Tensor, there: torch.Tensor, memory: torch.Tensor | None = None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Logits (B, T, V) of what follows each id, and the memory after the last."""
        written, memory = self.writer(self.target(ids), memory)
        scores = (written @ states.transpose(1, 2)).masked_fill(~there[:, None], -1e4)
        seen = scores.softmax(dim=-1) @ states
        return self.output(torch.tanh(self.join(torch.cat([written, seen], dim=-1)))), memory

    def teach(self, field: Field, ids: torch.Tensor) -> torch.Tensor:
        """Teacher forcing: logits of each true id and of the end, given the true ids before it."""
        states, there = self.read(field)
        return self.write(F.pad(ids, (1, 0), value=self.begin), states, there)[0]

    def forward(self, inputs: dict[str, Field], present: dict[str, torch.Tensor]) -> torch.Tensor:
        """Greedy decoding: ids (B, longest), zeros from the end on."""
        states, there = self.read(inputs[self.column])
        last, memory = torch.full((len(states), 1), self.begin), None
        over = torch.zeros(len(states), 1, dtype=torch.bool)
        ids = []
        for _ in range(self.longest):
            logits, memory = self.write(last, states, there, memory)
            last = logits[..., : self.begin].argmax(dim=-1).masked_fill(over, END)
            over = over | (last == END)
            ids.append(last)
        return torch.cat(ids, dim=1)


def translator(source: int, target: int, longest: int, width: int, column: str) -> Translator:
    """The network at an address of its own package."""
    return Translator(source, target, longest, width, column)


@dataclass(frozen=True)
class Translation:
    """Text to text."""

    target: str
    codec: TextCodec
    source: str
    metric: str = "accuracy"
    name: str = field(default="translation", init=False)

    @classmethod
    def fit(cls, column: Column, cells: list[Any], *, source: str) -> "Translation":
        """Train the tokenizer of the target."""
        codec = codec_for(column, target=True).fit(cells)
        assert isinstance(codec, TextCodec)
        return cls(column.name, codec, source)

    @property
    def classes(self) -> list[Any]:
        """A text is not chosen among classes."""
        return []

    def labels(self, cells: list[Any]) -> np.ndarray:
        """The texts, object (N,)."""
        return column_of(cells)

    def teach(self, network: nn.Module, batch: Batch) -> torch.Tensor:
        """The forward pass of training."""
        assert isinstance(network, Translator)
        return network.teach(batch.inputs[self.source], self.ids(batch))

    def objective(self, output: torch.Tensor, batch: Batch) -> torch.Tensor:
        """Cross entropy of each id and of the one end."""
        ids = F.pad(self.ids(batch), (0, 1), value=END)
        lengths = batch.targets[self.target]["lengths"]  # type: ignore[index, call-overload]
        counted = torch.arange(ids.shape[1]) <= lengths[:, None]
        return F.cross_entropy(output[counted], ids[counted])

    def ids(self, batch: Batch) -> torch.Tensor:
        """The true ids, (B, T)."""
        truth = batch.targets[self.target]
        assert isinstance(truth, dict)
        return truth["ids"]

    def respond(self, network: nn.Module, batch: Batch) -> np.ndarray:
        """Texts, object (B,)."""
        rows = network(batch.inputs, batch.present).cpu().tolist()
        return column_of([self.codec.decode(row[: row.index(END)] if END in row else row) for row in rows])

    def calibrated(self, answer: np.ndarray, temperature: float) -> np.ndarray:
        """Texts are left as they are."""
        return answer

    def predictions(
        self, answer: np.ndarray, rows: Sequence[int] | np.ndarray, *, ids: Mapping[str, Any] | None = None
    ) -> Predictions:
        """One column, `text`."""
        texts = pl.Series(list(answer), dtype=pl.String)
        return Predictions.of_columns(rows, {"text": texts}, task=self.name, target=self.target, ids=ids)

    def score(self, answer: np.ndarray, labels: np.ndarray) -> dict[str, Any]:
        """Share of texts that are right to the letter."""
        right = [said == true for said, true in zip(answer, labels) if true is not None]
        return {"metrics": {"accuracy": {"value": float(np.mean(right))}}, "notes": []}

    def to_json(self) -> dict[str, Any]:
        """A JSON object that `from_json` reads back."""
        return {"task": self.name, "target": self.target, "codec": self.codec.to_json(), "source": self.source}

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> "Translation":
        """Read what `to_json` wrote."""
        codec = codec_from_json(value["codec"])
        assert isinstance(codec, TextCodec)
        return cls(str(value["target"]), codec, str(value["source"]))
