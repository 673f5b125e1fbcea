"""Translation and summarisation: a text for a text.

The answer is an object array of texts, which has no average: one member writes. Scores are BLEU and chrF of a
translation, ROUGE of a summary besides (gradatim.evaluate.texts), and the placeholders of programs that were kept.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from torch import nn

from gradatim.data.batch import Batch
from gradatim.data.placeholders import difference, formats
from gradatim.errors import ArtifactError, DataError
from gradatim.evaluate.metrics import METRICS
from gradatim.evaluate.predictions import Predictions
from gradatim.evaluate.texts import measure_texts, signature
from gradatim.tasks.members import Ensemble
from gradatim.tasks.source import Source
from gradatim.tasks.translation_batches import text_of

SCORED = {"translation": ("chrf", "bleu"), "summarisation": ("rouge_l", "rouge_1", "chrf")}
MOST_LISTED = 5


@dataclass(frozen=True, slots=True)
class Translation:
    """Texts of `source` into those of `target`; name: "translation" or "summarisation", whose scores differ."""

    target: str
    source: str
    metric: str = "chrf"
    name: str = "translation"

    @property
    def classes(self) -> list[Any]:
        """A text is not chosen among classes."""
        return []

    def labels(self, cells: list[Any]) -> np.ndarray:
        """The references, object (N,); None where there is none."""
        found = np.empty(len(cells), dtype=object)
        found[:] = [text_of(cell) for cell in cells]
        return found

    def respond(self, network: nn.Module, batch: Batch) -> np.ndarray:
        """A translator writes by its member's beam search, not from a batch."""
        raise DataError(f"{self.name}: expected a member that writes texts; call its `answer`")

    def calibrated(self, answer: np.ndarray, temperature: float) -> np.ndarray:
        """Texts are left as they are."""
        return answer

    def predictions(
        self, answer: np.ndarray, rows: Sequence[int] | np.ndarray, *, ids: Mapping[str, Any] | None = None,
        references: Sequence[str | None] | None = None,
    ) -> Predictions:
        """The column `text`, beside it the references where they are given."""
        columns = {"text": pl.Series(list(answer), dtype=pl.String)}
        if references is not None:
            columns["reference"] = pl.Series(list(references), dtype=pl.String)
        return Predictions.of_columns(rows, columns, task=self.name, target=self.target, ids=ids)

    def score(self, answer: np.ndarray, labels: np.ndarray) -> dict[str, Any]:
        """Every metric with its interval on the rows that have a reference."""
        pairs = [(said, true) for said, true in zip(answer, labels) if true is not None]
        if not pairs:
            raise DataError(f"expected references in '{self.target}', found none among {len(labels)} rows")
        return score_texts(self.name, [said for said, _ in pairs], [true for _, true in pairs],
                           missing=len(labels) - len(pairs))

    def predict(
        self, ensemble: Ensemble, source: Source, ids: Mapping[str, Any] | None = None
    ) -> Predictions:
        """A text a row."""
        return self.predictions(ensemble.answer(source), np.arange(len(source)), ids=ids)

    def evaluate(self, ensemble: Ensemble, source: Source) -> dict[str, Any]:
        """Scores of the rows that have a reference; the others are not written."""
        references = [text_of(cell) for cell in source.table.cells(self.target)]
        rows = np.flatnonzero([text is not None for text in references])
        if not len(rows):
            raise DataError(f"{source.table.source}: expected texts in column '{self.target}', found none")
        some = Source(source.table.take(rows), source.problems, progress=source.progress)
        said = list(ensemble.answer(some))
        given = [text_of(cell) or "" for cell in some.table.cells(self.source)]
        return score_texts(self.name, said, [str(references[row]) for row in rows], sources=given,
                           missing=len(references) - len(rows))

    def to_json(self) -> dict[str, Any]:
        """A JSON object that `from_json` reads back."""
        return {"task": self.name, "target": self.target, "source": self.source, "metric": self.metric}

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> "Translation":
        """Read what `to_json` wrote."""
        name, metric = value["task"], value["metric"]
        if name not in SCORED or metric not in SCORED[name]:
            raise ArtifactError(f"expected a metric of {', '.join(SCORED)}, found {metric!r:.40} of {name!r:.40}")
        return cls(str(value["target"]), str(value["source"]), str(metric), str(name))


def score_texts(
    task: str, said: Sequence[str], references: Sequence[str], *, sources: Sequence[str] | None = None,
    missing: int = 0,
) -> dict[str, Any]:
    """{"task", "rows", "metrics", "placeholders", "notes"} of texts against their references."""
    found = {}
    for name in SCORED[task]:
        found[name] = {**measure_texts(name, said, references), "interval": "bootstrap", "title": METRICS[name].title,
                       "higher_is_better": True, "percent": False}
    notes = [signature(name) for name in SCORED[task] if signature(name)]
    notes += [f"{missing} rows without a reference were not scored"] if missing else []
    scores = {"task": task, "rows": len(said), "metrics": found, "warnings": [], "notes": notes}
    if sources is not None:
        kept = placeholders_kept(sources, said)
        scores["placeholders"] = kept
        if kept["rows"]:
            notes.append(f"placeholders: {kept['kept']} of {kept['rows']} texts with formats, braces, entities or "
                         f"tags kept them all; {kept['lost']} were lost and {kept['made_up']} made up"
                         + (f", as {', '.join(kept['examples'])}" if kept["examples"] else ""))
    return scores


def placeholders_kept(sources: Sequence[str], said: Sequence[str]) -> dict[str, Any]:
    """How many texts keep what a program fills in: {"rows", "kept", "lost", "made_up", "examples"}."""
    counts: dict[str, Any] = {"rows": 0, "kept": 0, "lost": 0, "made_up": 0, "examples": []}
    for source, text in zip(sources, said):
        lost, made_up = difference(source, text)
        if not formats(source) and not made_up:
            continue
        counts["rows"] += 1
        counts["kept"] += not lost and not made_up
        counts["lost"] += len(lost)
        counts["made_up"] += len(made_up)
        if (lost or made_up) and len(counts["examples"]) < MOST_LISTED:
            counts["examples"].append((lost or made_up)[0])
    return counts
