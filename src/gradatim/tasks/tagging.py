"""Tagging: a tag for each token; named entities in IOB1, BIO or BIOES, or labels such as parts of speech.

An answer is an object array with the probabilities (L, C) of each sentence's tags. They can be averaged; `decided`
picks the most probable tags that the spelling allows (Viterbi over the marginals).
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np
import polars as pl
from torch import nn

from gradatim.data.batch import Batch
from gradatim.data.codecs import checks
from gradatim.data.codecs.tags import TagsCodec
from gradatim.errors import CellError, DataError, GradatimError
from gradatim.estimators.chains import best_paths
from gradatim.evaluate.predictions import Predictions
from gradatim.evaluate.tagging import Sentence, score_tagging
from gradatim.problems import Problems
from gradatim.tasks.source import Source
from gradatim.tasks.tagging_words import as_answers, offsets_of, read_sentences

NEVER = -1e6
LEAST = 1e-12


@dataclass(frozen=True)
class Tagging:
    """A tag a token. target: the column of tags; codec: its fitted codec; tokens: the column of tokens."""

    target: str
    codec: TagsCodec
    tokens: str
    metric: str = "entity_f1"
    name: str = field(default="tagging", init=False)

    @property
    def classes(self) -> list[Any]:
        """The tags, in the order of an answer's columns."""
        return list(self.codec.tags)

    def labels(self, cells: list[Any]) -> np.ndarray:
        """Class numbers int64 (L,) of each row as an object array; None where the cell is missing or unreadable."""
        found = np.empty(len(cells), dtype=object)
        for row, cell in enumerate(cells):
            try:
                found[row] = self.codec.encode(cell)[0]
            except CellError:
                found[row] = None
        return found

    def decided(self, answer: np.ndarray) -> list[np.ndarray]:
        """The class numbers int64 (L,) of each sentence: the best path that the spelling allows."""
        never = self.codec.forbidden() * NEVER
        rows = [np.asarray(part, dtype=np.float64).reshape(-1, len(self.codec.tags)) for part in answer]
        scores = np.log(np.maximum(np.concatenate(rows), LEAST)) if rows else np.zeros((0, len(self.codec.tags)))
        offsets = offsets_of(rows)
        path = best_paths(scores, never[:-1, :-1].copy(), never[-1, :-1].copy(), never[:-1, -1].copy(), offsets)
        return [path[start:stop] for start, stop in pairwise(offsets)]

    def respond(self, network: nn.Module, batch: Batch) -> np.ndarray:
        """Not used: members of this task read sentences, see `gradatim.tasks.tagging_network`."""
        raise GradatimError("tagging: expected a whole member, received a network; use the member's answer")

    def calibrated(self, answer: np.ndarray, temperature: float) -> np.ndarray:
        """Left as it is."""
        return answer

    def predictions(
        self, answer: np.ndarray, rows: Sequence[int] | np.ndarray, *, ids: Mapping[str, Any] | None = None,
        sentences: Sequence[Sequence[str]] | None = None,
    ) -> Predictions:
        """Tags as JSON (`prediction`), entities as JSON, and the lowest probability of a tag that was chosen.

        sentences: the tokens, written beside them as JSON (`tokens`), so that the frame can be written as CoNLL.
        """
        numbers = self.decided(answer)
        tags = [self.codec.decode(path) for path in numbers]
        columns = {"prediction": pl.Series([_json(found) for found in tags], dtype=pl.String)}
        spans = [self.codec.spans(path) for path in numbers]
        if self.codec.kinds:
            told = [[{"type": kind, "start": start, "stop": stop, **_words(sentences, row, start, stop)}
                     for kind, start, stop in found] for row, found in enumerate(spans)]
            columns["entities"] = pl.Series([_json(found) for found in told], dtype=pl.String)
        sure = [float(np.asarray(part)[np.arange(len(path)), path].min()) if len(path) else None
                for part, path in zip(answer, numbers)]
        columns["least_probability"] = pl.Series(sure, dtype=pl.Float64)
        if sentences is not None:
            columns["tokens"] = pl.Series([_json(list(tokens)) for tokens in sentences], dtype=pl.String)
        taken = {name for name in columns if name in (ids or {})}
        columns = {name: cells for name, cells in columns.items() if name not in taken}
        return Predictions.of_columns(rows, columns, task=self.name, target=self.target, ids=ids)

    def compared(self, answer: np.ndarray, labels: np.ndarray) -> list[Sentence]:
        """Truth and answer of the rows whose tags are known and fit their tokens."""
        found = []
        for truth, path in zip(labels, self.decided(answer)):
            if truth is None or len(truth) != len(path):
                continue
            found.append(Sentence([self._tag(number) for number in truth], [self._tag(number) for number in path],
                                  self.codec.spans(truth), self.codec.spans(path)))
        return found

    def score(self, answer: np.ndarray, labels: np.ndarray) -> dict[str, Any]:
        """Every metric with its interval on the rows whose tags are known; the others are counted in a note."""
        sentences = self.compared(answer, labels)
        if not sentences:
            raise DataError(f"expected tags in '{self.target}', one a token, found none among {len(labels)} rows")
        scores = score_tagging(sentences, self.codec.kinds)
        if len(sentences) < len(labels):
            scores["notes"].append(f"{len(labels) - len(sentences)} rows without a tag for each token were not scored")
        strange = sum(int((truth < 0).sum()) for truth in labels if truth is not None)
        if strange:
            scores["notes"].append(f"{strange} tokens have a tag that training did not have: they count as wrong")
        return scores

    def predict(self, ensemble: Any, source: Source, ids: Mapping[str, Any] | None = None) -> Predictions:
        """The predictions for a table."""
        sentences = self._sentences(source)
        return self.predictions(ensemble.answer(source), np.arange(len(source)), ids=ids, sentences=sentences)

    def evaluate(self, ensemble: Any, source: Source) -> dict[str, Any]:
        """Scores on labelled rows."""
        if self.target not in source.table.frame.columns:
            raise DataError(f"{source.table.source}: expected tags in column '{self.target}', found none")
        return self.score(ensemble.answer(source), self.labels(source.table.cells(self.target)))

    def to_json(self) -> dict[str, Any]:
        """A JSON object that `from_json` reads back."""
        return {"task": self.name, "target": self.target, "codec": self.codec.to_json(), "tokens": self.tokens,
                "metric": self.metric}

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> "Tagging":
        """Read what `to_json` wrote."""
        metric = checks.choice(value["metric"], "metric", METRIC_NAMES)
        return cls(str(value["target"]), TagsCodec.from_json(value["codec"]), str(value["tokens"]), metric)

    def _sentences(self, source: Source) -> list[list[str]]:
        if self.tokens not in source.table.frame.columns:
            raise DataError(f"{source.table.source}: expected tokens in column '{self.tokens}', found none")
        return read_sentences(source.table.cells(self.tokens), problems=source.problems, column=self.tokens,
                              lines=source.table.lines)

    def _tag(self, number: int) -> str:
        return self.codec.tags[number] if number >= 0 else "unknown tag"


METRIC_NAMES = ("entity_f1", "entity_precision", "entity_recall", "token_accuracy", "sentence_accuracy")


def list_faults(
    codec: TagsCodec, sentences: Sequence[Sequence[str]], cells: Sequence[object], problems: Problems, *, column: str,
    lines: np.ndarray | None,
) -> np.ndarray:
    """Which rows can be learned from, bool (N,): those with one readable tag a token. What is wrong is listed by line.

    A tag that breaks the rules of its spelling is listed and learned from as CoNLL's scorer reads it.
    """
    good = np.zeros(len(cells), dtype=bool)
    for row, (tokens, cell) in enumerate(zip(sentences, cells)):
        line = None if lines is None else int(lines[row])
        try:
            tags = codec.parse(cell)
        except CellError as error:
            problems.add(error.code, str(error), column=column, row=row, line=line)
            continue
        if tags is None or not tokens:
            continue
        if len(tags) != len(tokens):
            problems.add("tags-length", f"expected a tag a token, found {len(tags)} tags for {len(tokens)} tokens; the "
                                        "row is not learned from", column=column, row=row, line=line)
            continue
        good[row] = True
        for place, said in codec.faults(tags):
            problems.add("tags-spelling", f"token {place + 1} ('{tokens[place][:40]}'): {said}", column=column, row=row,
                         line=None if line is None else line + place)
    return good


def uniform(sentences: Sequence[Sequence[str]], shares: np.ndarray) -> np.ndarray:
    """The same probabilities (C,) for each token, as an answer."""
    offsets = offsets_of(sentences)
    return as_answers(np.broadcast_to(shares, (int(offsets[-1]), len(shares))), offsets)


def _words(
    sentences: Sequence[Sequence[str]] | None, row: int, start: int, stop: int
) -> dict[str, str]:
    return {} if sentences is None else {"text": " ".join(sentences[row][start:stop])}


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
