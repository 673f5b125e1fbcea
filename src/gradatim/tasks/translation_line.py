"""The line of translation and summarisation: baselines, a translator within the time, choice, one score.

Opponents first: the source itself (of a summary its first sentence), the nearest pair of the training rows, a table of
words, one of phrases. The network must beat the best of them on development rows, by a paired bootstrap, or the run
says so and keeps the better. Rows of the test part choose nothing and are scored once.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from gradatim.data.schema import Column, Schema
from gradatim.data.split import Split
from gradatim.data.table import Table
from gradatim.errors import DataError, GradatimError, SchemaError
from gradatim.evaluate.texts import compare_texts, counts_of, measure_texts, value_of
from gradatim.randomness import generator
from gradatim.tasks.budget import REFIT_SHARE
from gradatim.tasks.line import Fitted, Job
from gradatim.tasks.members import Ensemble
from gradatim.tasks.selection import best_single, compare, pseudo_values
from gradatim.tasks.translation import SCORED, Translation, score_texts
from gradatim.tasks.translation_batches import Texts
from gradatim.tasks.translation_members import Copier, PairMemory, WordByWord
from gradatim.tasks.translation_network import TranslatorMember
from gradatim.tasks.translation_phrases import PhraseTranslator
from gradatim.tasks.translation_report import facts_of
from gradatim.tasks.translation_training import SHARE_KEPT, Trained, train_again, train_translator

MOST_COMPARED, MOST_SCORED = 1000, 2000  # rows of the development and test part that are written
ROWS_A_MINUTE = 200
FEWEST_PAIRS = 20
PENALTIES = (0.6, 0.0, 1.0, 1.5, 2.0)  # the first of equals is taken
KEEP_SHARE = 0.85  # above this share of the pairs in the training part, the refit is left out


@dataclass(slots=True)
class TextCandidate:
    """One way to write: its member fitted on the training rows, what it wrote of the compared rows, its score.

    kind: "constant" (looks at no pair), "pairs" (learns from them by counting) or "network". refit: fits it on other
    rows; `trained` is the network's.
    """

    name: str
    kind: str
    member: Any
    said: list[str]
    seconds: float
    refit: Callable[[np.ndarray], Any] | None = None
    note: str = ""
    score: dict[str, Any] = field(default_factory=dict)
    trained: Trained | None = None


def read(table: Table, schema: Schema, options: Mapping[str, Any]) -> tuple[Table, Schema]:
    """The target as text, one input column; the other inputs are set aside."""
    if len(schema.targets) != 1:
        raise SchemaError("expected one column of texts as the target, received "
                          f"{len(schema.targets)}; name it with --target")
    source = options.get("source")
    inputs = [column.name for column in schema.inputs]
    texts = [column.name for column in schema.inputs if column.kind == "text"] or inputs
    if source is None and len(texts) != 1:
        raise SchemaError(f"expected one column of texts to translate from, found {', '.join(texts) or 'none'}; say "
                          "which with --option source=COLUMN")
    if source is not None and source not in inputs:
        raise SchemaError(f"--option source={source}: expected an input among {', '.join(inputs)}")
    return table, replace(schema, columns=tuple(_role(column, source or texts[0]) for column in schema.columns))


def _role(column: Column, source: str) -> Column:
    if column.role == "target":
        return replace(column, kind="text", why=(*column.why, "its texts are to be written"))
    if column.name == source:
        return replace(column, kind="text", why=(*column.why, "its texts are read"))
    if column.role == "input":
        return replace(column, role="ignore", why=(*column.why, "a translator reads one column"))
    return column


def fit_line(job: Job) -> Fitted:
    """Fit and compare on the development rows, score once on the test rows."""
    name = job.schema.task if job.schema.task in SCORED else "translation"
    source, target = job.schema.inputs[0].name, job.schema.targets[0].name
    metric = job.metric or SCORED[name][0]
    if metric not in SCORED[name]:
        raise GradatimError(f"--metric: expected one of {', '.join(SCORED[name])} for {name}, received '{metric}'")
    task = Translation(target, source, metric, name)
    split = job.split
    assert split is not None
    texts = Texts.of(job.source.table, source, target)
    train, held, test = (texts.paired(rows) for rows in (split.train, split.development, split.test))
    if len(train) < FEWEST_PAIRS or not len(held) or not len(test):
        raise DataError(f"{job.source.table.source}: expected at least {FEWEST_PAIRS} pairs of texts in the training "
                        f"part and some in the others, found {len(train)}, {len(held)} and {len(test)}")
    most = job.memo.decide("rows written", lambda: _rows_written(job))
    compared = np.sort(generator(job.seed, "compared").permutation(held)[: most[0]])
    scored = np.sort(generator(job.seed, "scored").permutation(test)[: most[1]])
    every = len(train) + len(held) + len(test)
    more = every / len(train) if len(train) < KEEP_SHARE * every else 0.0  # pairs of a refit, for each of these
    candidates = _candidates(job, texts, task, train, held, compared, more)
    references = [str(texts.targets[row]) for row in compared]
    for candidate in candidates:
        candidate.score = measure_texts(metric, candidate.said, references)
        job.say(f"  {candidate.name}: {metric} {candidate.score['value']:.1f} "
                f"[{candidate.score['low']:.1f}, {candidate.score['high']:.1f}] on {len(compared)} development rows")
    losses = [row_losses(metric, candidate.said, references) for candidate in candidates]
    place, _ = best_single([one.name for one in candidates], [one.kind for one in candidates], losses, metric)
    chosen = candidates[place]
    verdict = _verdict(metric, candidates, chosen, references)
    if verdict:
        job.say(f"  {verdict}")
    given = [str(texts.sources[row]) for row in scored]
    began = time.perf_counter()
    said = chosen.member.write(given)
    job.clock.note("writing of test rows", time.perf_counter() - began)
    truth = [str(texts.targets[row]) for row in scored]
    scores = score_texts(name, said, truth, sources=given)
    final, notes = _final(job, texts, task, chosen, split, len(train))
    parts = Parts(split, texts, train, compared, scored)
    facts = facts_of(parts, task, candidates, chosen, verdict, scores, said, notes)
    predictions = {
        "development": task.predictions(np.array(chosen.said, dtype=object), compared, references=references),
        "test": task.predictions(np.array(said, dtype=object), scored, references=truth),
    }
    histories = {f"{one.name} translator": one.trained.result.history.rows
                 for one in candidates if one.trained is not None}
    return Fitted(task, Ensemble((final,), (1.0,), task), split, facts, histories, predictions)


@dataclass(frozen=True, slots=True)
class Parts:
    """The rows of a run: compared chose, scored were scored once."""

    split: Split
    texts: Texts
    train: np.ndarray
    compared: np.ndarray
    scored: np.ndarray


def _rows_written(job: Job) -> list[int]:
    """How many development and test rows are written: fewer where time is short."""
    most = max(50, int(job.clock.seconds / 60 * ROWS_A_MINUTE))
    return [min(most, MOST_COMPARED), min(2 * most, MOST_SCORED)]


def _candidates(
    job: Job, texts: Texts, task: Translation, train: np.ndarray, held: np.ndarray, compared: np.ndarray,
    more: float,
) -> list[TextCandidate]:
    """The opponents, then the network."""
    column = task.source
    given = [str(texts.sources[row]) for row in compared]
    found = []

    def pairs(rows: np.ndarray) -> tuple[list[str], list[str]]:
        return [str(texts.sources[row]) for row in rows], [str(texts.targets[row]) for row in rows]

    makers: dict[str, Callable[[np.ndarray], Any]] = {"copy of the source": lambda rows: Copier(column)}
    if task.name == "summarisation":
        sentences = job.options["sentences"]
        makers = {"first sentence" if sentences == 1 else f"first {sentences} sentences":
                  lambda rows: Copier(column, sentences)}
    makers["nearest pair"] = lambda rows: PairMemory.fit(column, *pairs(rows))
    if task.name == "translation":
        makers["word table"] = lambda rows: WordByWord.fit(column, *pairs(rows))
        if job.options["phrases"]:
            makers["phrases"] = lambda rows: PhraseTranslator.fit(column, *pairs(rows))
    for name, make in makers.items():
        began = time.perf_counter()
        member = make(train)
        kind = "constant" if isinstance(member, Copier) else "pairs"
        found.append(TextCandidate(name, kind, member, member.write(given), time.perf_counter() - began, make))
        job.clock.note("baselines", time.perf_counter() - began)
    if job.options.get("network") != "none":
        trained = train_translator(job, texts, column, train, held, more=more)
        began = time.perf_counter()
        references = [str(texts.targets[row]) for row in compared]
        member, said, note = _written(trained.member, given, references, task.metric, "length_penalty" in job.options)
        job.clock.note("writing of development rows", time.perf_counter() - began)
        trained.member = member
        found.append(TextCandidate(str(trained.settings["network"]), "network", member, said,
                                   trained.result.history.actual["total_seconds"], None, note, trained=trained))
    return found


def _written(
    member: TranslatorMember, given: Sequence[str], references: Sequence[str], metric: str, asked: bool
) -> tuple[TranslatorMember, list[str], str]:
    """The length penalty (unless it was asked for) and the copies of unseen words that suit the development rows."""

    def value(said: Sequence[str]) -> float:
        return measure_texts(metric, said, references, draws=2)["value"]

    penalties = [member.length_penalty] if asked else list(PENALTIES)
    found = member.write_by_penalty(given, penalties)
    best = max(range(len(penalties)), key=lambda place: value(found[place]))
    member, plain, note = replace(member, length_penalty=penalties[best]), found[best], ""
    if not asked:
        note = f"length penalty {penalties[best]:g} suits best; "
    copying = replace(member, copying=True)
    said = copying.write_copies(given, plain)
    changed = sum(one != other for one, other in zip(plain, said))
    gain = value(said) - value(plain) if changed else 0.0
    if gain > 0:
        return copying, said, f"{note}copies of unseen words changed {changed} texts: {metric} {gain:+.2f}"
    return member, plain, f"{note}copies of unseen words are left out: {metric} {gain:+.2f} on {changed} texts"


def row_losses(metric: str, said: Sequence[str], references: Sequence[str]) -> np.ndarray:
    """What each row takes from 100 of the metric of all rows together, (N,)."""
    counts = counts_of(metric, said, references)
    return 100.0 - pseudo_values(counts, lambda sums, rows: value_of(metric, sums, rows))


def _verdict(
    metric: str, candidates: Sequence[TextCandidate], chosen: TextCandidate, references: Sequence[str]
) -> str:
    """Whether the network beats the best baseline, with the paired interval, and what is kept where it does not."""
    networks = [one for one in candidates if one.kind == "network"]
    others = [one for one in candidates if one.kind != "network"]
    if not networks:
        return ""
    rival = max(others, key=lambda one: one.score["value"])
    found = compare(*(row_losses(metric, one.said, references) for one in (rival, networks[0])))
    gain = compare_texts(metric, networks[0].said, rival.said, references)
    return (f"the network {'beats' if found.kept == 'second' else 'does not beat'} the best baseline ({rival.name}): "
            f"{metric} {gain['value']:+.1f} [{gain['low']:+.1f}, {gain['high']:+.1f}] on {len(references)} development "
            f"rows" + (", which may be chance" if found.tie else "")
            + ("" if chosen is networks[0] else f"; {chosen.name} is kept"))


def _final(
    job: Job, texts: Texts, task: Translation, chosen: TextCandidate, split: Split, taught: int
) -> tuple[Any, list[str]]:
    """The member that is kept: fitted again on all pairs, where that is cheap."""
    every = texts.paired(np.sort(np.concatenate([split.train, split.development, split.test])))
    if chosen.refit is not None:
        return chosen.refit(every), [f"{chosen.name} was fitted again on all {len(every)} pairs"]
    trained = chosen.trained
    assert trained is not None
    if taught >= KEEP_SHARE * len(every):
        return trained.member, ["the network was not trained again: its training part holds over 85 % of the pairs"]
    needed = trained.seconds_for(len(every) / taught)
    again = job.memo.decide("refit", lambda: job.epochs is not None or bool(
        REFIT_SHARE * needed <= job.clock.left(share_kept=SHARE_KEPT)))
    if not again:
        return trained.member, ["the network is kept as it was scored, not trained again on all pairs: that would take "
                                f"{needed:.0f} s more"]
    refitted = train_again(job, texts, task.source, every, trained)
    if not refitted.result.finished:
        return trained.member, ["the network is kept as it was scored: its training on all pairs did not come to its "
                                "end", *refitted.notes]
    member = replace(refitted.member, copying=trained.member.copying, length_penalty=trained.member.length_penalty)
    return member, [f"the network was trained again on all {len(every)} pairs for {refitted.plan.epochs} epochs"]
