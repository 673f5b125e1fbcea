"""A tagger of the zoo as a member of a tagging run: words and letters to numbers, blueprint, weights."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

from gradatim.device import Placement, autocast
from gradatim.errors import ArtifactError
from gradatim.tasks.rebuilt import placed_here, rebuilt
from gradatim.tasks.source import Source
from gradatim.tasks.tagging_words import Words, read_sentences

ADDRESSES = {
    "recurrent": "gradatim.models.sequence.tagger.recurrent_tagger",
    "transformer": "gradatim.models.sequence.tagger.transformer_tagger",
}
ANSWER_TOKENS = 4096  # padded tokens of a batch of answers


@dataclass(frozen=True, slots=True)
class TaggerMember:
    """A tagger with what turns tokens into its numbers; `blueprint` is its address and JSON arguments."""

    column: str
    words: Words
    blueprint: dict[str, Any]
    network: nn.Module
    placement: Placement

    @property
    def columns(self) -> tuple[str, ...]:
        """The column of tokens."""
        return (self.column,)

    def answer(self, source: Source) -> np.ndarray:
        """Probabilities (L, C) of each row's tokens, an object array (N,)."""
        return self.answered(read_sentences(source.table.cells(self.column)))

    def answered(self, sentences: Sequence[Sequence[str]]) -> np.ndarray:
        """The same for lists of tokens, in batches of like length."""
        training = self.network.training
        self.network.eval()
        answers = np.empty(len(sentences), dtype=object)
        with torch.inference_mode():
            for rows in batches_of(np.array([len(sentence) for sentence in sentences], dtype=np.int64)):
                inputs = self.words.encode([sentences[row] for row in rows])
                inputs = {name: tensor.to(self.placement.device) for name, tensor in inputs.items()}
                with autocast(self.placement):
                    scores = self.network(**inputs)
                shares = scores.double().softmax(dim=2).cpu().numpy()
                for place, row in enumerate(rows):
                    answers[row] = shares[place, : len(sentences[row])]
        self.network.train(training)
        return answers

    def to_state(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """JSON state and weights."""
        state = {"member": "tagger", "column": self.column, "words": self.words.to_json(), "blueprint": self.blueprint,
                 "placement": self.placement.to_json()}
        return state, dict(self.network.state_dict())

    @classmethod
    def from_state(
        cls, state: Mapping[str, Any], shapes: Mapping[str, tuple[int, ...]], read: Callable[[str], torch.Tensor],
        task: Any,
    ) -> "TaggerMember":
        """Build the tagger again, see `rebuilt`; it must be one over these words and tags."""
        words = Words.from_json(state["words"])
        blueprint = dict(state["blueprint"])
        if blueprint.get("address") not in ADDRESSES.values():
            raise ArtifactError("expected a tagger of the zoo, found another network")
        arguments = blueprint.get("arguments") or {}
        sizes = {"num_classes": len(task.classes), "vocabulary": len(words.vocabulary) + 2,
                 "characters": len(words.characters) + 2}
        wrong = next((name for name, size in sizes.items() if arguments.get(name) != size), None)
        if wrong is not None:
            raise ArtifactError(f"expected a tagger whose {wrong} is {sizes[wrong]}, found another")
        network = rebuilt(blueprint, shapes, read)
        placement = placed_here(Placement.from_json(state["placement"]))
        return cls(str(state["column"]), words, blueprint, network.to(placement.device).eval(), placement)


def batches_of(lengths: np.ndarray, tokens: int = ANSWER_TOKENS) -> list[np.ndarray]:
    """Rows in batches of like length, each of at most about `tokens` tokens with its padding."""
    order = np.argsort(lengths, kind="stable")
    found, start = [], 0
    while start < len(order):
        stop = start + 1
        while stop < len(order) and int(lengths[order[stop]]) * (stop + 1 - start) <= tokens:
            stop += 1
        found.append(order[start:stop])
        start = stop
    return found
