"""The members of an answer: what has been fitted, can answer a table, and can be saved; and their weighted average.

A head is a convex estimator on cheap features; trees stand on numbers and categories; a network takes the encoded
cells; the constant looks at nothing. All have the same face: `answer(source)`, `to_state()`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Protocol

import numpy as np
import torch

from gradatim.errors import ArtifactError
from gradatim.evaluate.calibrate import mix_uniform
from gradatim.tasks.source import Source
from gradatim.tasks.task import Task

# What a member's state says under "member" → its class, which has `from_state(state, shapes, read, task)`.
MEMBERS = {
    "constant": "gradatim.tasks.constant.Constant",
    "head": "gradatim.tasks.heads.Head",
    "trees": "gradatim.tasks.tables.Trees",
    "network": "gradatim.tasks.network.NetworkMember",
    "ngram": "gradatim.tasks.language_members.NGramMember",
    "language-network": "gradatim.tasks.language_members.LanguageNetwork",
    "forecast_local": "gradatim.tasks.forecasting_members.LocalMember",
    "forecast_linear": "gradatim.tasks.forecasting_members.LinearMember",
    "forecast_trees": "gradatim.tasks.forecasting_members.TreesMember",
    "forecast_network": "gradatim.tasks.forecasting_network.ForecastNetwork",
    "copier": "gradatim.tasks.translation_members.Copier",
    "pair-memory": "gradatim.tasks.translation_members.PairMemory",
    "word-by-word": "gradatim.tasks.translation_members.WordByWord",
    "phrases": "gradatim.tasks.translation_phrases.PhraseTranslator",
    "translator": "gradatim.tasks.translation_network.TranslatorMember",
    "word-table": "gradatim.tasks.tagging_members.WordTable",
    "feature-crf": "gradatim.tasks.tagging_crf.FeatureCRF",
    "tagger": "gradatim.tasks.tagging_network.TaggerMember",
}


class Member(Protocol):
    """What a run needs of its members."""

    @property
    def columns(self) -> tuple[str, ...]:
        """The input columns that it looks at."""
        ...

    def answer(self, source: Source) -> np.ndarray:
        """Its answer to every row, in the form that the task likes."""
        ...

    def to_state(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """JSON state, with "member" as in MEMBERS, and arrays or tensors by name."""
        ...


def member_from_state(
    state: Mapping[str, Any],
    shapes: Mapping[str, tuple[int, ...]],
    read: Callable[[str], torch.Tensor],
    task: Task,
) -> Member:
    """Rebuild a member; `shapes` come from the header of the weights, `read` takes one tensor from them."""
    name = state.get("member")
    if not isinstance(name, str) or name not in MEMBERS:
        raise ArtifactError(f"expected a member among {', '.join(MEMBERS)}, found {name!r:.60}")
    module, _, last = MEMBERS[name].rpartition(".")
    return getattr(import_module(module), last).from_state(state, shapes, read, task)


@dataclass(frozen=True, slots=True)
class Ensemble:
    """The weighted average of members' answers, each at its own temperature, then at that of the average.

    temperatures: one a member, as fitted on its development rows; () where each is 1. uniform_share: the part of a
    class's probability that is the same for all (gradatim.evaluate.calibrate.uniform_share). A task whose answers have
    no average (texts, boxes) has one member.
    """

    members: tuple[Member, ...]
    weights: tuple[float, ...]
    task: Task
    temperature: float = 1.0
    temperatures: tuple[float, ...] = ()
    uniform_share: float = 0.0

    def used(self) -> list[tuple[Member, float, float]]:
        """The members with a weight above 0, their share of the answer, their temperature."""
        total = sum(self.weights)
        found = [(member, weight / total, temperature) for member, weight, temperature
                 in zip(self.members, self.weights, self.temperatures or (1.0,) * len(self.members)) if weight > 0]
        if not found:
            raise ArtifactError("expected a member with a weight above 0, found none; fit again")
        return found

    def answer(self, source: Source) -> np.ndarray:
        """The answer to every row: probabilities (N, C), numbers (N,), or what the task likes."""
        return self.answer_by(lambda member: member.answer(source))

    def answer_by(self, answer: Callable[[Any], np.ndarray]) -> np.ndarray:
        """The same from what `answer(member)` gives for each member with a weight."""
        answers = [(share, self.task.calibrated(answer(member), temperature))
                   for member, share, temperature in self.used()]
        whole = answers[0][1] if len(answers) == 1 else np.asarray(sum(share * found for share, found in answers))
        return mix_uniform(self.task.calibrated(whole, self.temperature), self.uniform_share)

    @property
    def columns(self) -> tuple[str, ...]:
        """Every input column that some member looks at."""
        return tuple(dict.fromkeys(name for member in self.members for name in member.columns))
