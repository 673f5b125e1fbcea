"""The line of a tagging run: read, list what is wrong, baselines, CRF on features, network, choice, score, refit."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import polars as pl

from gradatim.data.codecs.tags import TagsCodec
from gradatim.data.conll import DOCUMENT
from gradatim.data.schema import Column, Schema
from gradatim.data.table import Table
from gradatim.errors import DataError, GradatimError
from gradatim.evaluate.advice import advice
from gradatim.evaluate.tagging import counts_of, ratio
from gradatim.tasks.budget import REFIT_SHARE
from gradatim.tasks.line import Fitted, Job
from gradatim.tasks.members import Ensemble
from gradatim.tasks.selection import AVERAGE_MARGIN, best_single, compare, pseudo_values
from gradatim.tasks.tagging import METRIC_NAMES, Tagging, list_faults
from gradatim.tasks.tagging_columns import column_of_tags, column_of_tokens, written
from gradatim.tasks.tagging_crf import FeatureCRF, fit_crf
from gradatim.tasks.tagging_members import WordTable
from gradatim.tasks.tagging_report import sections_of
from gradatim.tasks.tagging_training import FEWEST_STEPS, Corpus, Trained, token_loss, train_again, train_tagger
from gradatim.tasks.tagging_words import read_sentences

MOST_GROUPED = 20  # documents from which sentences of one stay on one side of the split
MODELS = {"recurrent": ("recurrent",), "transformer": ("transformer",), "both": ("recurrent", "transformer"),
          "none": ()}
STRENGTHS = (0.3, 1.0)
NETWORK_SHARE = 0.9  # of the time that is left goes to networks
CRF_SHARE = 0.1  # of the time that is left, at most, goes to another penalty of the CRF


def read(table: Table, schema: Schema, options: Mapping[str, Any]) -> tuple[Table, Schema]:
    """One row a sentence: the columns of tokens and tags are found, their cells written as text.

    A file of whole documents keeps the sentences of one on one side of the split. A table that is only answered may
    lack the tags.
    """
    target = column_of_tags(schema)
    tokens = column_of_tokens(table, schema, target)
    frame = table.frame
    for name in {tokens, target} & set(frame.columns):
        cells = [written(cell) for cell in table.cells(name)]
        frame = frame.with_columns(pl.Series(name, cells, dtype=pl.String))
    columns = []
    for column in schema.columns:
        if column.name == tokens:
            columns.append(Column(tokens, "text", "input", (*column.why, "a token an entry: what is tagged")))
        elif column.name == target:
            columns.append(Column(target, "tags", "target", (*column.why, "a tag a token"), column.options))
        elif column.name == DOCUMENT and column.role in ("input", "ignore") and DOCUMENT in frame.columns:
            many = frame.get_column(DOCUMENT).n_unique() >= MOST_GROUPED
            why = "sentences of one document stay together" if many else "too few documents to divide the rows by them"
            columns.append(Column(DOCUMENT, "category", "group" if many else "ignore", (why,)))
        elif column.role == "input":
            columns.append(Column(column.name, column.kind, "ignore", (*column.why, "tagging reads the tokens alone")))
        else:
            columns.append(column)
    read_again = Table(frame, table.folder, table.lines, table.source, table.notes)
    return read_again, Schema(tuple(columns), "tagging")


def fit_line(job: Job) -> Fitted:
    """Fit, choose on development sentences by the metric, score once on test sentences, fit again on all."""
    line = _Line.begun(job)
    line.count_words()
    line.fit_features()
    for model in MODELS[job.options["model"]]:
        line.train(model)
    line.average()
    best = line.chosen()
    job.say(f"  {line.why}")
    final = line.refitted(best)
    facts = line.facts(best)
    return Fitted(line.task, final, line.split, {**facts, "answer": line.answer(best)}, line.histories,
                  line.predictions(best))


@dataclass(slots=True)
class Tried:
    """A candidate: its members with their weights, answers to development and test rows, what it took.

    kind: "constant", "crf", "network", or "average" of two of them. losses: of each development sentence.
    """

    name: str
    kind: str
    members: tuple[Any, ...]
    development: np.ndarray
    test: np.ndarray
    seconds: float
    refit: Callable[[], tuple[Any, ...]]
    note: str = ""
    weights: tuple[float, ...] = (1.0,)
    score: dict[str, Any] = field(default_factory=dict)
    scores: dict[str, Any] = field(default_factory=dict)
    losses: np.ndarray = field(default_factory=lambda: np.zeros(0))


@dataclass(slots=True)
class _Line:
    """What the stages share."""

    job: Job
    task: Tagging
    corpus: Corpus
    split: Any
    parts: dict[str, np.ndarray]
    tried: list[Tried] = field(default_factory=list)
    histories: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    plans: dict[str, Any] = field(default_factory=dict)
    forecast: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    kept: list[str] = field(default_factory=list)  # candidates that were not fitted again
    crf_seconds: float = 0.0  # forecast of fitting the CRF again on all rows
    why: str = ""
    verdict: str = ""

    @classmethod
    def begun(cls, job: Job) -> "_Line":
        """Read tokens and tags, list what is wrong, set aside what cannot be learned from."""
        assert job.split is not None
        table, problems = job.source.table, job.source.problems
        target = job.schema.targets[0]
        tokens = job.schema.inputs[0].name
        sentences = read_sentences(table.cells(tokens), problems=problems, column=tokens, lines=table.lines)
        cells = table.cells(target.name)
        codec = TagsCodec(**target.options).fit(cells)
        before = len(problems)
        good = list_faults(codec, sentences, cells, problems, column=target.name, lines=table.lines)
        parts = {name: np.array([row for row in rows if good[row]], dtype=np.int64)
                 for name, rows in job.split.parts().items()}
        for name in ("train", "development"):
            if not len(parts[name]):
                raise DataError(f"{table.source}: expected sentences with a tag a token in the {name} part, found none")
        usual = "entity_f1" if codec.kinds else "token_accuracy"
        metric = job.metric or usual
        if metric not in METRIC_NAMES or (metric.startswith("entity") and not codec.kinds):
            raise GradatimError(f"--metric: expected one of {', '.join(METRIC_NAMES)} (those of entities where the "
                                f"tags are entities), received '{metric}'")
        task = Tagging(target.name, codec, tokens, metric)
        labels = task.labels(cells)
        said = (f"{len(codec.kinds)} types of entities in {codec.scheme}" if codec.kinds
                else f"{len(codec.tags)} plain tags")
        job.say(f"tags: {said}; {len(problems) - before} faults listed")
        line = cls(job, task, Corpus(sentences, labels, tokens), job.split, parts)
        if len(problems) > before:
            line.notes.append(f"{len(problems) - before} tags or rows break the rules of {codec.scheme}: see the list "
                              "of problems; entities are read as CoNLL's scorer reads them")
        return line

    def count_words(self) -> None:
        """The baseline: the most frequent tag of each word."""
        began = time.perf_counter()

        def fit(rows: np.ndarray) -> WordTable:
            return WordTable.fit(*self._of(rows), len(self.task.codec.tags), column=self.corpus.column)

        member = fit(self.parts["train"])
        self._add("most frequent tag of each word", "constant", member, member.shares_of, time.perf_counter() - began,
                  lambda: (fit(self._all()),))

    def fit_features(self) -> None:
        """The CRF on the usual features, its penalty chosen on the development rows."""
        asked = self.job.options.get("strength")
        best: tuple[float, FeatureCRF, float, float] | None = None
        took, classes = 0.0, len(self.task.codec.tags)
        held = self.parts["development"]
        for strength in STRENGTHS if asked is None else (asked,):
            if best is not None and not self._in_time(f"CRF of penalty {strength:g}", took, CRF_SHARE):
                self.notes.append(f"CRF on features: penalty {strength:g} was not tried, the first took {took:.0f} s; "
                                  "give more --minutes")
                break
            began = time.perf_counter()
            crf = fit_crf(*self._of(self.parts["train"]), classes, column=self.corpus.column, strength=strength)
            answers = crf.marginals([self.corpus.sentences[row] for row in held])
            loss = token_loss(answers, self.corpus.tags[held])
            took = time.perf_counter() - began
            if best is None or loss < best[0]:
                best = (loss, crf, strength, took)
            self.job.clock.note("CRF on features", took)
        assert best is not None
        _, crf, strength, took = best
        self.job.say(f"  CRF on features: {len(crf.keys):,} features, penalty {strength:g}, {took:.1f} s")
        self._add("CRF on features", "crf", crf, crf.marginals, took,
                  lambda: (self._crf_again(crf, strength),), note=f"{len(crf.keys):,} features, penalty {strength:g}")
        self.crf_seconds = took * len(self._all()) / len(self.parts["train"])

    def _crf_again(self, scored: FeatureCRF, strength: float) -> FeatureCRF:
        """The CRF fitted again on all rows; as it was scored where there is no time."""
        name = "CRF on features"
        if not self._in_time(f"refit of {name}", self.crf_seconds, 1.0):
            self._keep(name, "there was no time to fit it again on all rows")
            return scored
        began = time.perf_counter()
        crf = fit_crf(*self._of(self._all()), len(self.task.codec.tags), column=self.corpus.column, strength=strength)
        self.job.clock.note(name, time.perf_counter() - began)
        return crf

    def _in_time(self, what: str, seconds: float, share: float) -> bool:
        """Whether something that needs so many seconds may still be done; a stored decision, yes for fixed epochs."""
        return bool(self.job.memo.decide(what, lambda: self.job.epochs is not None
                                         or seconds <= share * self.job.clock.left()))

    def train(self, model: str) -> None:
        """A network; its share of the time leaves as much for its refit and the CRF's as their rows need."""
        left = max(self.job.clock.left(share_kept=1 - NETWORK_SHARE) - self.crf_seconds, 0.0)
        asked = MODELS[self.job.options["model"]]
        more = len(self._all()) / len(self.parts["train"])
        others = len(asked) - asked.index(model) - 1
        name = f"{model} tagger"
        trained = train_tagger(self.job, self.task, self.corpus, self.parts["train"], self.parts["development"],
                               model=model, name=name, seconds=left / (1 + more) / (1 + others),
                               after=more + others, reserved=self.crf_seconds)
        if trained is None:
            self.notes.append(f"no {name}: the time holds fewer than {FEWEST_STEPS} steps of it; give more --minutes")
            self.job.say(f"  {self.notes[-1]}")
            return
        self._tell(trained)
        took = trained.result.history.actual["total_seconds"]
        self._add(name, "network", trained.member, trained.member.answered, took,
                  lambda: (self._trained_again(model, trained),),
                  note=f"best epoch {trained.result.best_epoch} of {len(trained.result.history.rows)}")

    def _trained_again(self, model: str, trained: Trained) -> Any:
        """The network fitted again on all rows; as it was scored where there is no time, or it did not come to its end.
        """
        name, rows = trained.result.name, self._all()
        plan = trained.plan_for(len(rows))
        if not self._in_time(f"refit of {name}", REFIT_SHARE * plan.forecast["total_seconds"], 1.0):
            self._keep(name, "there was no time to train it again on all rows")
            return trained.member
        again = train_again(self.job, self.task, self.corpus, rows, model=model, name=f"{name} on all rows", plan=plan)
        self._tell(again)
        if not again.result.finished:
            self._keep(name, "its training on all rows did not come to its end")
            return trained.member
        self.notes.append(f"{name}: trained again on all {len(rows):,} rows for {plan.epochs} epochs, the best of the "
                          "choice")
        return again.member

    def _keep(self, name: str, why: str) -> None:
        self.kept.append(name)
        self.notes.append(f"{name}: kept as it was scored, {why}")
        self.job.say(f"  {self.notes[-1]}")

    def average(self) -> None:
        """The CRF and each network with equal weights: what one knows of spelling the other knows of context."""
        crf = next(tried for tried in self.tried if tried.kind == "crf")
        for network in [tried for tried in self.tried if tried.kind == "network"]:
            self._compare(Tried(
                f"CRF on features + {network.name}", "average", (*crf.members, *network.members),
                (crf.development + network.development) / 2, (crf.test + network.test) / 2, 0.0,
                lambda network=network: (*crf.refit(), *network.refit()),  # type: ignore[misc]
                "equal weights", (0.5, 0.5)))

    def chosen(self) -> Tried:
        """The best by the metric on the development sentences, the simpler at a tie, or an average that beats it."""
        title, singles = self._title(), [tried for tried in self.tried if tried.kind != "average"]
        place, _ = best_single([tried.name for tried in singles], [tried.kind for tried in singles],
                               [tried.losses for tried in singles])
        best = singles[place]
        for average in [tried for tried in self.tried if tried.kind == "average"]:
            found = compare(best.losses, average.losses, margin=AVERAGE_MARGIN)
            best = average if found.kept == "second" else best
        highest = max(self.tried, key=lambda tried: tried.score["value"])
        self.why = f"{best.name} has {title} {best.score['value']:.1%} on the development sentences"
        if highest.score["value"] > best.score["value"]:
            found = compare(best.losses, highest.losses)
            self.why += (f"; {highest.name}, which is less simple, has {highest.score['value']:.1%}: "
                         f"{found.difference:+.1%} ± {found.error:.1%}, no more than chance")
        self.verdict = self._verdict_on_network(singles)
        return best

    def _verdict_on_network(self, singles: Sequence[Tried]) -> str:
        networks = [tried for tried in singles if tried.kind == "network"]
        if not networks:
            return "no network was trained"
        network = max(networks, key=lambda tried: tried.score["value"])
        classic = next(tried for tried in singles if tried.kind == "crf")
        found = compare(classic.losses, network.losses)
        values = (f"{network.score['value']:.1%} against {classic.score['value']:.1%}, a difference of "
                  f"{found.difference:+.1%} [{found.low:+.1%}, {found.high:+.1%}]")
        beats = "beats the CRF on features" if found.kept == "second" else "did not beat the CRF on features"
        return f"the network {beats}{' by more than chance' if found.tie else ''}: {values}"

    def refitted(self, best: Tried) -> Ensemble:
        """The chosen members, fitted again on all labelled rows."""
        self.job.say("  fitting again on all labelled rows")
        return Ensemble(best.refit(), best.weights, self.task)

    def answer(self, best: Tried) -> dict[str, Any]:
        """What was chosen, and why."""
        return {"name": best.name, "why": self.why, "verdict": self.verdict, "notes": self.notes}

    def facts(self, best: Tried) -> dict[str, Any]:
        """What the report tells; scores are those of the models that had not seen the test rows."""
        candidates = [{"name": tried.name, "metric": self.task.metric, **tried.score,
                       "seconds": round(tried.seconds, 2), "chosen": tried is best,
                       "weight": 1.0 if tried is best else 0.0, "note": tried.note,
                       "rows": len(self.parts["development"])} for tried in self.tried]
        facts: dict[str, Any] = {
            "candidates": candidates, "candidates_note": [self.verdict], "plan": self.plans,
            "forecast": self.forecast, "history": self.histories,
        }
        test = self.parts["test"]
        if not len(test):
            return facts
        labels = self.corpus.tags[test]
        scores = self.task.score(best.test, labels)
        scores["compared"] = {tried.name: self._short(self.task.score(tried.test, labels)) for tried in self.tried}
        facts |= {"scores": scores, "score": {
            "metric": self.task.metric, **self._short(scores), "rows": len(test),
            "note": self._said_of_saved(best)}}
        sentences = self.task.compared(best.test, labels)
        tokens = [self.corpus.sentences[row] for row in test]
        known = {word for row in self.parts["train"] for word in self.corpus.sentences[row]}
        facts["sections"] = [self._table_of_candidates(scores["compared"]),
                             *sections_of(sentences, tokens, scores, self.task.codec.kinds, known)]
        seen = self.parts["train"][:: max(1, len(self.parts["train"]) // 500)]
        answers = sum(w * self._answered(m, seen) for w, m in zip(best.weights, best.members))
        training = self._short(self.task.score(np.asarray(answers), self.corpus.tags[seen]))["value"]
        facts["advice"] = advice(training, best.score["value"], self.tried[0].score["value"], metric=self.task.metric,
                                 low=best.score["low"], high=best.score["high"])
        return facts

    def predictions(self, best: Tried) -> dict[str, Any]:
        """Answers of models that had not seen the rows."""
        return {name: self.task.predictions(answers, self.parts[name],
                                            sentences=[self.corpus.sentences[row] for row in self.parts[name]])
                for name, answers in (("development", best.development), ("test", best.test)) if len(self.parts[name])}

    def _answered(self, member: Any, rows: np.ndarray) -> np.ndarray:
        ways = {FeatureCRF: "marginals", WordTable: "shares_of"}
        answer = getattr(member, ways.get(type(member), "answered"))
        found: np.ndarray = answer([self.corpus.sentences[row] for row in rows])
        return found

    def _table_of_candidates(self, compared: Mapping[str, Any]) -> dict[str, Any]:
        rows = [[name, f"{entry['value']:.1%}", f"{entry['low']:.1%} to {entry['high']:.1%}"]
                for name, entry in compared.items()]
        return {"title": "Every candidate on the test sentences",
                "text": "The choice was made on the development sentences; these numbers were not looked at for it.",
                "items": [{"kind": "table", "columns": ["candidate", self._title(), "95% interval"], "rows": rows}]}

    def _title(self) -> str:
        return {"entity_f1": "entity F"}.get(self.task.metric, self.task.metric.replace("_", " "))

    def _short(self, scores: Mapping[str, Any]) -> dict[str, Any]:
        return {name: scores["metrics"][self.task.metric][name] for name in ("value", "low", "high")}

    def _add(
        self, name: str, kind: str, member: Any, answer: Callable[[Sequence[Sequence[str]]], np.ndarray],
        seconds: float, refit: Callable[[], tuple[Any, ...]], note: str = "",
    ) -> None:
        answers = [answer([self.corpus.sentences[row] for row in self.parts[part]]) for part in ("development", "test")]
        self._compare(Tried(name, kind, (member,), answers[0], answers[1], seconds, refit, note))

    def _compare(self, tried: Tried) -> None:
        scores = self.task.score(tried.development, self.corpus.tags[self.parts["development"]])
        tried.scores, tried.score = scores, self._short(scores)
        sentences = self.task.compared(tried.development, self.corpus.tags[self.parts["development"]])
        counts = counts_of(sentences)[self.task.metric]
        tried.losses = 1 - pseudo_values(counts, lambda sums, rows: ratio(sums))
        self.tried.append(tried)
        self.job.say(f"  {tried.name}: {self._title()} {tried.score['value']:.1%} "
                     f"({tried.score['low']:.1%} to {tried.score['high']:.1%}) on development sentences")

    def _tell(self, trained: Trained) -> None:
        name, plan = trained.result.name, trained.plan.to_json()
        self.histories[name] = trained.result.history.rows
        self.plans[name] = {key: value for key, value in plan.items() if isinstance(value, str | int | float)}
        self.forecast[name] = trained.result.forecast()
        self.notes.extend(trained.result.notes)

    def _said_of_saved(self, best: Tried) -> str:
        if len(self.kept) == len(best.members):
            return "the models that are saved are those that were scored"
        return ("the models that are saved were then fitted again on all labelled rows"
                + "".join(f"; the {name} is kept as it was scored" for name in self.kept))

    def _of(self, rows: np.ndarray) -> tuple[list[list[str]], list[np.ndarray]]:
        return [self.corpus.sentences[row] for row in rows], [self.corpus.tags[row] for row in rows]

    def _all(self) -> np.ndarray:
        return np.sort(np.concatenate(list(self.parts.values())))
