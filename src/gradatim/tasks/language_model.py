"""Language models: how probable a text is, token by token, and what may come next.

The line: tokens from the training texts, n-grams of several orders, a network, and the average of the best of both,
compared by bits per character on development texts and scored once on test texts.

Bits per character are exact for every kind of token: −log₂ of the probability of the whole text with its end, over
its characters (code points) plus one, for the end is a choice too and costs what a character costs.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
import polars as pl
import torch
from torch import nn

from gradatim.data.batch import Batch
from gradatim.data.codecs.lossless import LosslessTokens
from gradatim.data.documents import LABEL, TEXT
from gradatim.data.schema import Schema
from gradatim.data.table import Table
from gradatim.errors import ArtifactError, DataError, GradatimError, SchemaError
from gradatim.evaluate.intervals import bootstrap_means
from gradatim.evaluate.predictions import Predictions
from gradatim.tasks.language_members import as_objects
from gradatim.tasks.line import Fitted, Job
from gradatim.tasks.members import Ensemble
from gradatim.tasks.source import Source

NAME = "language-model"
FEWEST_TEXTS = 6
LEARNED = ("its texts are what is learned",)
METRICS = ("bits_per_character", "perplexity")


@dataclass(frozen=True, slots=True)
class LanguageModel:
    """The task: which column holds the texts, and the tokens they are read in."""

    column: str
    tokens: LosslessTokens
    metric: str = "bits_per_character"

    name = NAME
    target = None

    @property
    def classes(self) -> list[Any]:
        """None: what it chooses among are its tokens."""
        return []

    def labels(self, cells: list[Any]) -> np.ndarray:
        """The texts themselves, object (N,); missing ones are empty."""
        return as_objects(["" if cell is None else str(cell) for cell in cells])

    def respond(self, network: nn.Module, batch: Batch) -> np.ndarray:
        """Not used: members read texts of any length by themselves."""
        raise GradatimError("a language model reads whole texts; ask its members")

    def calibrated(self, answer: np.ndarray, temperature: float) -> np.ndarray:
        """The answer itself."""
        return answer

    def predictions(
        self, answer: np.ndarray, rows: Sequence[int] | np.ndarray, *, ids: Mapping[str, Any] | None = None,
        texts: Sequence[str] | None = None,
    ) -> Predictions:
        """A line a text: log_probability (natural), tokens with the end, perplexity; with texts bits_per_character."""
        logs = np.array([np.log(given).sum() for given in answer])
        count = np.array([len(given) for given in answer])
        columns = {
            "log_probability": pl.Series(logs), "tokens": pl.Series(count),
            "perplexity": pl.Series(np.exp(-logs / np.maximum(count, 1))),
        }
        if texts is not None:
            characters = np.array([len(text) for text in texts])
            columns["characters"] = pl.Series(characters)
            columns["bits_per_character"] = pl.Series(-logs / np.log(2) / (characters + 1))
        return Predictions.of_columns(rows, columns, task=self.name, target="log_probability", ids=ids)

    def score(self, answer: np.ndarray, labels: np.ndarray) -> dict[str, Any]:
        """Bits per character and perplexity a token, with intervals over texts; missing texts are left out."""
        return scores_of(list(answer), list(labels))

    def predict(self, ensemble: Ensemble, source: Source, ids: Mapping[str, Any] | None = None) -> Predictions:
        """How probable each text of a table is."""
        texts = list(self.labels(source.table.cells(self.column)))
        return self.predictions(ensemble.answer(source), np.arange(len(source)), ids=ids, texts=texts)

    def evaluate(self, ensemble: Ensemble, source: Source) -> dict[str, Any]:
        """Scores on the texts of a table."""
        return self.score(ensemble.answer(source), self.labels(source.table.cells(self.column)))

    def to_json(self) -> dict[str, Any]:
        """A JSON object that `from_json` reads back."""
        return {"task": self.name, "column": self.column, "tokens": self.tokens.to_json(), "metric": self.metric}

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Self:
        """Read what `to_json` wrote."""
        if not isinstance(value.get("column"), str) or value.get("metric") not in METRICS:
            raise ArtifactError("expected the column and the metric of a language model, found others")
        return cls(value["column"], LosslessTokens.from_json(value.get("tokens")), value["metric"])


def scores_of(answer: Sequence[np.ndarray], texts: Sequence[str]) -> dict[str, Any]:
    """Metrics of given texts: bits over characters and ends; perplexity a token; 95 % intervals over texts."""
    seen = [place for place, text in enumerate(texts) if text]
    if not seen:
        raise GradatimError("expected at least one text to score, found none")
    bits = np.array([-np.log2(answer[place]).sum() for place in seen])
    places = np.array([len(texts[place]) + 1 for place in seen])
    tokens = np.array([len(answer[place]) for place in seen])
    moments = np.stack([bits, places, tokens], axis=1)

    def per_character(means: np.ndarray) -> np.ndarray:
        return means[:, 0] / means[:, 1]

    def perplexity(means: np.ndarray) -> np.ndarray:
        return 2.0 ** (means[:, 0] / means[:, 2])

    metrics = {}
    for name, statistic in (("bits_per_character", per_character), ("perplexity", perplexity)):
        low, high = bootstrap_means(moments, statistic) if len(seen) > 1 else (float("nan"),) * 2
        metrics[name] = {"value": float(statistic(moments.mean(axis=0)[None])[0]), "low": low, "high": high}
    lost = len(texts) - len(seen)
    notes = [f"{lost} rows without a text were not scored"] if lost else []
    notes.append(f"{int(places.sum()):,} characters, the end of a text counted as one; perplexity is that of a token")
    return {"task": NAME, "rows": len(seen), "metrics": metrics, "notes": notes}


def bits_per_character(answer: Sequence[np.ndarray], texts: Sequence[str]) -> float:
    """Bits over characters and ends of all texts together."""
    return float(-sum(np.log2(given).sum() for given in answer) / sum(len(text) + 1 for text in texts))


def read(table: Table, schema: Schema, options: Mapping[str, Any]) -> tuple[Table, Schema]:
    """Make one column of text the only input; it is the one named, the one called text, or the only one of its kind."""
    name = options.get("column") or text_column(schema)
    if name not in [column.name for column in schema.columns]:
        known = ", ".join(column.name for column in schema.columns)
        raise SchemaError(f"--option column={name}: expected a column among {known}")
    learned = any(column.name == name and column.why == LEARNED for column in schema.columns)  # a fitted run's schema
    texts = sum(bool(cell) for cell in table.cells(name)) if name in table.frame.columns else 0
    if not learned and texts < FEWEST_TEXTS:
        raise DataError(f"{table.source}: expected at least {FEWEST_TEXTS} texts, to learn from some and to test on "
                        f"others, found {texts}; part the text with blank lines or lines of '%', or give more")
    columns = tuple(
        replace(column, kind="text", role="input", options={}, why=LEARNED)
        if column.name == name else
        column if column.role in ("group", "id", "time") else
        replace(column, role="ignore", why=("a language model reads one column of text",))
        for column in schema.columns
    )
    return table, Schema(columns, NAME)


def text_column(schema: Schema) -> str:
    """The column that a language model would read."""
    texts = [column.name for column in schema.columns if column.kind == "text"]
    if TEXT in [column.name for column in schema.columns]:
        return TEXT
    if len(texts) == 1:
        return texts[0]
    if not texts and len([column for column in schema.columns if column.name != LABEL]) == 1:
        return schema.columns[0].name
    raise SchemaError(f"{NAME}: expected one column of text, found {', '.join(texts) or 'none'}; name one with "
                      "--option column=NAME")


def fit_line(job: Job) -> Fitted:
    """Fit n-grams, a network and their average; see gradatim.tasks.language_line."""
    from gradatim.tasks.language_line import Line

    threads = torch.get_num_threads()
    try:
        return Line(job).fit()
    finally:
        torch.set_num_threads(threads)


