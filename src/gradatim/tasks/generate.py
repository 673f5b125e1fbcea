"""Generated text and the probability of given texts, from the fitted answer of a language model.

Whatever the members are (n-grams, a network, both), the next token has the average of their probabilities. Searching
and drawing is `gradatim.nn.beam_search`'s.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import polars as pl
import torch

from gradatim.data.codecs.lossless import LosslessTokens, Reader
from gradatim.data.table import Table
from gradatim.errors import GradatimError
from gradatim.estimators.ngram import BOUNDARY
from gradatim.evaluate.predictions import Predictions
from gradatim.nn.beam_search import beam_search, greedy, sample
from gradatim.randomness import seed_of
from gradatim.tasks.language_members import TextReader
from gradatim.tasks.language_model import LanguageModel
from gradatim.tasks.members import Ensemble
from gradatim.tasks.source import Source

STRATEGIES = ("greedy", "sample", "beam")
MOST_TOKENS = 100_000
MOST_COUNT = 1000
MOST_BEAMS = 256
Heard = Callable[[int, str], None]


@dataclass(frozen=True, slots=True)
class Manner:
    """How to generate: strategy "greedy", "sample" or "beam"; temperature, top_k, top_p of sampling; beams and
    length_penalty of the search; most tokens; count of texts; seed.
    """

    strategy: str = "sample"
    temperature: float = 1.0
    top_k: int | None = None
    top_p: float | None = None
    beams: int = 4
    length_penalty: float = 0.6
    tokens: int = 200
    count: int = 1
    seed: int = 0

    def __post_init__(self) -> None:
        if self.strategy not in STRATEGIES:
            raise GradatimError(f"--strategy: expected one of {', '.join(STRATEGIES)}, received '{self.strategy:.40}'")
        if not 0 < self.temperature < 1000:
            raise GradatimError(f"--temperature: expected a number above 0, received {self.temperature}; "
                                "take --strategy greedy for 0")
        if not 0 <= self.length_penalty <= 10:
            raise GradatimError(f"--length-penalty: expected a number from 0 to 10, received {self.length_penalty}")
        if self.top_p is not None and not 0 < self.top_p <= 1:
            raise GradatimError(f"--top-p: expected a share above 0 and up to 1, received {self.top_p}")
        most_of = {"tokens": MOST_TOKENS, "count": MOST_COUNT, "beams": MOST_BEAMS, "top_k": MOST_TOKENS}
        for name, most in most_of.items():
            value = 1 if getattr(self, name) is None else getattr(self, name)
            if not 1 <= value <= most:
                raise GradatimError(f"--{name.replace('_', '-')}: expected a whole number from 1 to {most}, "
                                    f"received {value}")
        usual = {entry.name: entry.default for entry in fields(self)}
        for strategies, names in ((("sample",), ("temperature", "top_k", "top_p")),
                                  (("beam",), ("beams", "length_penalty")), (("sample", "beam"), ("count",))):
            for name in names:
                if self.strategy not in strategies and getattr(self, name) != usual[name]:
                    raise GradatimError(f"--{name.replace('_', '-')}: expected --strategy {' or '.join(strategies)}, "
                                        f"received {self.strategy}, where it does nothing")
        if self.strategy == "beam" and self.count > self.beams:
            raise GradatimError(f"--count: expected at most as many texts as --beams {self.beams}, "
                                f"received {self.count}")


@dataclass(frozen=True, slots=True)
class Generated:
    """A text without its prompt; its natural log-probability after the prompt; whether it came to its end."""

    text: str
    log_probability: float
    tokens: int
    ended: bool


class Mixture:
    """The readers of all members that count; the next token has the average of their probabilities."""

    def __init__(self, readers: Sequence[TextReader], weights: Sequence[float]) -> None:
        self.readers, self.weights = list(readers), list(weights)

    @classmethod
    def begin(cls, ensemble: Ensemble, rows: int) -> "Mixture":
        """Readers of `rows` texts that have not begun."""
        used = [(member, weight) for member, weight in zip(ensemble.members, ensemble.weights) if weight > 0]
        total = sum(weight for _, weight in used)
        return cls([member.begin(rows) for member, _ in used],  # type: ignore[attr-defined]
                   [weight / total for _, weight in used])

    def read(self, ids: np.ndarray) -> np.ndarray:
        """Read ids (B, L ≥ 1); the probabilities of the next token, float64 (B, V)."""
        given = np.zeros(1)
        for weight, reader in zip(self.weights, self.readers):
            given = given + weight * reader.read(ids)
        return given

    def select(self, rows: np.ndarray) -> "Mixture":
        """The mixture of some of the rows."""
        return Mixture([reader.select(rows) for reader in self.readers], self.weights)


def generate(
    ensemble: Ensemble, prompt: str = "", manner: Manner | None = None, *, heard: Heard | None = None
) -> list[Generated]:
    """Continue a prompt; the same seed gives the same texts.

    heard(row, text): is told what becomes readable, as it comes (not by a beam search, which decides at the end).
    Raises GradatimError where the run is no language model.
    """
    manner = manner or Manner()
    task = language_task(ensemble)
    ids = np.concatenate([[BOUNDARY], task.tokens.ids(prompt)]).astype(np.int64)
    rows = 1 if manner.strategy != "sample" else manner.count
    with torch.inference_mode(), small_products():
        mixture = Mixture.begin(ensemble, rows)
        if len(ids) > 1:
            mixture.read(np.tile(ids[:-1], (rows, 1)))
        first = torch.full((rows,), int(ids[-1]))
        common: dict[str, Any] = {"end": BOUNDARY, "longest": manner.tokens, "reorder": reordered}
        if manner.strategy == "beam":
            found = beam_search(step, mixture, first, beams=manner.beams, best=manner.count,
                                length_penalty=manner.length_penalty, **common)
        elif manner.strategy == "greedy":
            found = sample(step, mixture, first, top_k=1, heard=told(task.tokens, rows, heard), **common) \
                if heard else greedy(step, mixture, first, **common)
        else:
            generator = torch.Generator().manual_seed(seed_of("generate", manner.seed))
            found = sample(step, mixture, first, temperature=manner.temperature, top_k=manner.top_k,
                           top_p=manner.top_p, generator=generator, heard=told(task.tokens, rows, heard), **common)
    texts = []
    for row in range(found.ids.shape[0]):
        for rank in range(found.ids.shape[1]):
            if found.lengths[row, rank] == 0:
                continue
            made = found.ids[row, rank, : int(found.lengths[row, rank])].tolist()
            texts.append(Generated(task.tokens.text(made), float(found.log_probability[row, rank]), len(made),
                                   bool(found.ended[row, rank])))
    return texts


def step(tokens: torch.Tensor, state: Mixture) -> tuple[torch.Tensor, Mixture]:
    """One more token for each row: log-probabilities of the next, float64 (B, V)."""
    given = state.read(tokens.cpu().numpy()[:, None])
    return torch.from_numpy(given).log(), state


def reordered(state: Mixture, rows: torch.Tensor) -> Mixture:
    """The mixture of some of the rows."""
    return state.select(rows.cpu().numpy())


def told(tokens: LosslessTokens, rows: int, heard: Heard | None) -> Callable[[torch.Tensor], None] | None:
    """Turns tokens (B,) as they come into text as it becomes readable."""
    if heard is None:
        return None
    readers = [Reader(tokens) for _ in range(rows)]

    def listen(ids: torch.Tensor) -> None:
        for row, token in enumerate(ids.tolist()):
            text = readers[row](token)
            if text:
                heard(row, text)

    return listen


def score(ensemble: Ensemble, texts: Sequence[str]) -> Predictions:
    """A line a text: log_probability (natural, its end included), tokens, perplexity, characters, bits_per_character.

    An empty text has the probability of ending at once.
    """
    task = language_task(ensemble)
    table = Table(pl.DataFrame({task.column: pl.Series(list(texts), dtype=pl.String)}))
    with torch.inference_mode():
        return task.predict(ensemble, Source(table))


def language_task(ensemble: Ensemble) -> LanguageModel:
    """The task of the ensemble; GradatimError where it is no language model."""
    if not isinstance(ensemble.task, LanguageModel):
        raise GradatimError(f"expected the run of a language model, received one of {ensemble.task.name}; fit one with "
                            "`gradatim fit corpus.txt --task language-model`")
    return ensemble.task


@contextmanager
def small_products() -> Iterator[None]:
    """Within it float32 products go the way that is quick for a few rows; see gradatim.device."""
    products: Any = torch.backends.mkldnn.matmul  # type: ignore[attr-defined]
    before = products.fp32_precision
    products.fp32_precision = "ieee"
    try:
        yield
    finally:
        products.fp32_precision = before
