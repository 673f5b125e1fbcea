"""The main line of a supervised task: baselines, networks, the choice, one honest score, the refit.

Rows play three parts: *choice rows* (train and development) on which candidates are fitted and compared, by folds
under `FOLD_ROWS` rows; *test rows*, used for no choice and scored once; and at the end all labelled rows, on which the
winner is fitted again.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from gradatim.data.augment_options import AugmentRequest
from gradatim.data.codecs import Codec, codec_for
from gradatim.data.schema import Column, Schema
from gradatim.data.split import Split, folds
from gradatim.evaluate.calibrate import fit_temperature
from gradatim.randomness import generator
from gradatim.tasks.choose import Candidate, cross_answers, temper, verdict_on_network, weigh
from gradatim.tasks.chosen import ChosenEstimator
from gradatim.tasks.constant import Constant
from gradatim.tasks.frozen import FrozenFeatures, encoder_of, pretrained_codec, reads_pretrained
from gradatim.tasks.heads import DECODED, MEDIA, Head
from gradatim.tasks.label_curve import label_curves
from gradatim.tasks.members import Ensemble, Member
from gradatim.tasks.memo import Clock, Memo
from gradatim.tasks.network import ENCODER_KEYS
from gradatim.tasks.placed import as_placed, truth_of
from gradatim.tasks.source import Source
from gradatim.tasks.tables import Trees
from gradatim.tasks.task import SupervisedTask
from gradatim.tasks.training import NetworkTrainer
from gradatim.tasks.word_tables import coverage, is_words, network_blueprint, words_blueprint

FOLD_ROWS = 2000  # under this many choice rows, candidates are compared by cross-validation
HEAD_ROWS = 12_000  # convex heads are fitted on a sample above this many rows
FOLDS = 5
BASELINE_SHARE = 0.06  # of the time, for the folds of each baseline
BASELINES_SHARE = 0.35  # of the time may be gone when a further baseline begins
SEEN_ROWS = 2000  # training rows that are answered for the comparison of training and test score


@dataclass(frozen=True, slots=True)
class Choices:
    """What the user may say about the fit. encoders: column or kind → {"address", "arguments", "weights"}."""

    seed: int = 0
    epochs: int | None = None
    encoders: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    fusion: str = "concatenation"
    mixup: float = 0.0
    flip: bool = False
    label_smoothing: float | None = None
    optimizer: str | None = None
    learning_rate: float | None = None
    estimator: ChosenEstimator | None = None
    fine_tune: bool = False
    augment: AugmentRequest | None = None
    recipe: str | None = None

    @property
    def mixing(self) -> tuple[float, float]:
        """The strengths of mixup and cutmix."""
        asked = self.augment
        return (self.mixup, 0.0) if asked is None else (asked.mixup or self.mixup, asked.cutmix)


@dataclass(slots=True)
class Outcome:
    """Everything the fit found out. `scored` answered the test rows; `final` is what is kept."""

    task: SupervisedTask
    scored: Ensemble
    final: Ensemble
    candidates: list[Candidate]
    choice_rows: np.ndarray
    choice_labels: np.ndarray
    choice_answers: np.ndarray
    test_rows: np.ndarray
    test_labels: np.ndarray
    test_answers: np.ndarray
    labels: np.ndarray
    compared_labels: np.ndarray
    training_answers: np.ndarray
    training_labels: np.ndarray
    why: str
    verdict: str
    notes: list[str]
    histories: dict[str, Any]
    plan: dict[str, Any]
    forecast: dict[str, Any]
    choice_codecs: dict[str, Codec]
    fitted_rows: np.ndarray
    label_curves: list[dict[str, Any]] = field(default_factory=list)


@dataclass(slots=True)
class Line:
    """The state that the steps of `fit_supervised` share."""

    source: Source
    schema: Schema
    split: Split
    task: SupervisedTask
    choices: Choices
    clock: Clock
    memo: Memo
    say: Callable[[str], None]
    labels: np.ndarray
    codecs: dict[str, Codec]
    folded: bool
    rows: np.ndarray
    parts: list[tuple[np.ndarray, np.ndarray]]
    notes: list[str] = field(default_factory=list)
    frozen: dict[str, FrozenFeatures] = field(default_factory=dict)

    @property
    def columns(self) -> tuple[Column, ...]:
        """The input columns."""
        return self.schema.inputs

    @property
    def costly_frozen(self) -> bool:
        """Whether a frozen network reads pictures or sounds: beside those of texts, one from scratch is trained too."""
        return any(column.name in self.frozen and column.kind != "text" for column in self.columns)

    @property
    def network_encoders(self) -> Mapping[str, Mapping[str, Any]]:
        """The encoders of networks that are trained: a pretrained one of a text only under --fine-tune.

        Where a text has word vectors, a network of its own that begins with them.
        """
        texts = [column for column in self.columns if column.kind == "text" and column.name in self.frozen]
        found = dict(self.choices.encoders)
        if not self.choices.fine_tune:
            for name in {name for column in texts for name in (column.name, column.kind)}:
                found.pop(name, None)
        for column in texts:
            chosen = encoder_of(self.choices.encoders, column)
            if chosen and is_words(column, chosen):
                found[column.name] = network_blueprint(chosen)
        return found

    def compared(self) -> np.ndarray:
        """The rows on which candidates answer: all choice rows when folded, else the development part."""
        return self.rows if self.folded else self.split.development

    def fitted_rows(self) -> np.ndarray:
        """The rows that the scored heads were fitted on."""
        rows = self.rows if self.folded else self.split.train
        return rows if self.choices.estimator else _sampled(rows, self.choices.seed)

    def shape(self) -> tuple[int, ...]:
        """Shape of one row's answer."""
        return self.task.answer_shape


def fit_supervised(
    source: Source,
    schema: Schema,
    split: Split,
    task: SupervisedTask,
    choices: Choices,
    *,
    clock: Clock,
    memo: Memo,
    say: Callable[[str], None],
    final: bool = True,
) -> Outcome:
    """Fit, choose, score once, refit (unless not `final`); see the module's docstring."""
    line = prepare(source, schema, split, task, choices, clock, memo, say)
    candidates = baselines(line)
    curves = label_curves(line, candidates)
    trainer = NetworkTrainer(line)
    if line.costly_frozen and not choices.fine_tune:
        line.notes.append("no network was trained: the pretrained one stays as it is; --fine-tune trains it on")
    elif choices.estimator is None:
        candidates.append(trainer.candidate())
    compared = line.compared()
    labels = line.labels[compared]
    temper(candidates, labels, task)
    why, shared = weigh(candidates, labels, task)
    verdict = verdict_on_network(candidates, labels, task)
    say(f"  {why}")
    if verdict:
        say(f"  {verdict}")
    blended = np.full((len(compared), *line.shape()), np.nan)
    blended[shared] = sum(c.weight * c.answers[shared] for c in candidates)
    temperature = 1.0
    if task.classes:
        temperature = fit_temperature(labels[shared], blended[shared])
        blended[shared] = task.calibrated(blended[shared], temperature)
    used = [candidate for candidate in candidates if candidate.weight > 0]
    scored = assemble(line, used, temperature, final=False)
    test_rows = split.test
    test_answers = (
        scored.answer(_rows_source(source, test_rows)) if len(test_rows) else np.zeros((0, *line.shape()))
    )
    seen = split.train if len(split.train) <= SEEN_ROWS else np.sort(
        generator("seen rows", choices.seed).choice(split.train, SEEN_ROWS, replace=False)
    )
    training_answers = scored.answer(_rows_source(source, seen))
    kept = assemble(line, used, temperature, final=True) if final else scored
    return Outcome(
        task=task, scored=scored, final=kept, candidates=candidates, choice_rows=compared[shared],
        choice_labels=labels[shared], choice_answers=blended[shared], test_rows=test_rows,
        test_labels=line.labels[test_rows], test_answers=test_answers, labels=line.labels, compared_labels=labels,
        training_answers=training_answers, training_labels=line.labels[seen], why=why, verdict=verdict,
        notes=line.notes, histories=trainer.histories, plan=trainer.plan_json, forecast=trainer.forecast,
        choice_codecs=line.codecs, fitted_rows=line.fitted_rows(), label_curves=curves,
    )


def prepare(
    source: Source, schema: Schema, split: Split, task: SupervisedTask, choices: Choices, clock: Clock, memo: Memo,
    say: Callable[[str], None],
) -> Line:
    """Fit the codecs of pictures, sounds and pretrained text encoders, decode once, and lay out folds or parts."""
    labels = truth_of(task, source.table)
    rows = np.sort(np.concatenate([split.train, split.development]))
    folded = len(rows) < FOLD_ROWS
    strata = labels if task.classes else _quantiles(labels, rows) if labels.ndim == 1 else None
    groups = split.groups
    parts = (
        folds(rows, strata, groups, count=FOLDS, seed=choices.seed)
        if folded
        else [(split.train, split.development)]
    )
    codecs: dict[str, Codec] = {}
    began = time.perf_counter()
    for column in schema.inputs:
        chosen = encoder_of(choices.encoders, column)
        if column.kind in DECODED or reads_pretrained(column, chosen):
            cells = source.table.cells(column.name)
            codec = pretrained_codec(column, chosen) if reads_pretrained(column, chosen) else codec_for(column)
            codecs[column.name] = codec.fit([cells[row] for row in split.train], source.table.folder)
    if codecs:
        source.encode(codecs)
        clock.note("decode", time.perf_counter() - began)
    line = Line(source, schema, split, task, choices, clock, memo, say, labels, codecs, folded, rows, parts)
    line.frozen = frozen_features(line)
    if folded:
        line.notes.append(f"{len(rows)} choice rows: candidates are compared by {FOLDS}-fold cross-validation")
    else:
        line.notes.append(
            f"candidates are fitted on {len(split.train)} rows and compared on {len(split.development)} others"
        )
    return line


def frozen_features(line: Line) -> dict[str, FrozenFeatures]:
    """The pretrained networks that the user named, by column: of pictures, sounds and texts."""
    found = {}
    for column in line.columns:
        chosen = encoder_of(line.choices.encoders, column)
        if column.kind in (*MEDIA, "text") and chosen and chosen.get("weights"):
            words = is_words(column, chosen)
            blueprint = words_blueprint(chosen) if words else {n: chosen[n] for n in ENCODER_KEYS if n in chosen}
            found[column.name] = FrozenFeatures(column.kind, line.codecs[column.name].describe(), blueprint)
            said = found[column.name].load(chosen["weights"])
            codec = line.codecs[column.name]
            if words:
                cells = line.source.table.cells(column.name)
                share = coverage(codec, [cells[row] for row in line.split.train])
                line.notes.append(f"{column.name}: {said[0]}; {share:.0%} of the words in training rows have one; the "
                                  "head reads their mean, the network begins with them")
                said = line.notes[-1:]
            for sentence in said:
                line.say(f"  {sentence}")
            began = time.perf_counter()
            features = line.source.raw_features(f"{column.name}\x00frozen", codec, found[column.name], column.name)
            seconds = time.perf_counter() - began
            line.clock.note("frozen features", seconds)
            line.say(f"  {features.shape[1]} features of {len(features)} rows of {column.name} in {seconds:.1f} s")
    return found


def _quantiles(labels: np.ndarray, rows: np.ndarray, count: int = 10) -> np.ndarray:
    edges = np.nanquantile(labels[rows], np.linspace(0, 1, count + 1)[1:-1])
    return np.searchsorted(edges, np.nan_to_num(labels)).astype(np.int64)


def baselines(line: Line) -> list[Candidate]:
    """Constant, a head on all inputs, on each alone, trees on the table columns; or the chosen estimator on all."""
    task, compared = line.task, line.compared()
    constant = cross_answers(
        lambda fitted, held: Constant(task.constant(line.labels[fitted])).answer(_rows_source(line.source, held)),
        line.parts, compared, line.shape(),
    )
    name = "majority" if task.classes else "mean"
    found = [
        Candidate(name, "constant", (), constant, 0.0, lambda rows: Constant(task.constant(line.labels[rows])))
    ]
    if line.choices.estimator is not None:
        found.append(fitted_candidate(line, line.choices.estimator.text, "chosen", line.columns))
        return found
    for title, columns in head_groups(line.columns):
        if in_time(line, title, needed=len(found) == 1):
            found.append(fitted_candidate(line, title, "head", columns))
    if line.frozen:
        title = "linear head on frozen features of " + ", ".join(line.frozen)
        found.append(fitted_candidate(line, title, "frozen", line.columns))
    plain = [column for column in line.columns if column.kind in ("number", "category")]
    if as_placed(task) is None and (len(plain) > 1 or any(column.kind == "number" for column in plain)):
        title = "boosted trees on " + _names(plain)
        if in_time(line, title):
            found.append(fitted_candidate(line, title, "trees", plain))
    return found


def in_time(line: Line, title: str, *, needed: bool = False) -> bool:
    """Whether a further baseline may begin; what is left out for want of time is said. A stored decision."""
    clock = line.clock
    asked = needed or line.choices.epochs is not None
    yes = line.memo.decide(f"time for {title}", lambda: asked or clock.elapsed() < BASELINES_SHARE * clock.seconds)
    if not yes:
        line.notes.append(f"{title}: left out, {BASELINES_SHARE:.0%} of the time was gone; give more --minutes")
        line.say(f"  {line.notes[-1]}")
    return yes


def head_groups(columns: Sequence[Column]) -> list[tuple[str, list[Column]]]:
    """All columns together first; then each picture, text and sound, and the table columns, alone."""
    plain = [column for column in columns if column.kind in ("number", "category")]
    singles = [[column] for column in columns if column.kind not in ("number", "category")]
    groups = singles + ([plain] if plain else [])
    named = [("linear head on " + _names(group), group) for group in groups]
    return named if len(groups) == 1 else [("linear head on all inputs", list(columns)), *named]


def _names(columns: Sequence[Column]) -> str:
    names = [column.name for column in columns]
    return ", ".join(names) if len(names) <= 3 else f"{len(names)} table columns"


def fitted_candidate(line: Line, title: str, kind: str, columns: Sequence[Column]) -> Candidate:
    """Cross-validate a head or trees; the number of folds follows from the time that the first one takes."""
    seed = line.choices.seed

    def fit(rows: np.ndarray) -> Head | Trees | Constant:
        if line.task.classes and len(np.unique(line.labels[rows])) < 2:  # a rare class, all of it held out
            return Constant(line.task.constant(line.labels[rows]))
        if kind == "trees":
            return Trees.fit(line.source, columns, rows, line.labels, line.task, seed=seed)
        if kind == "chosen":
            return Head.fit(line.source, columns, line.codecs, rows, line.labels, line.task, line.frozen,
                            line.choices.estimator)
        frozen = line.frozen if kind == "frozen" else {}
        return Head.fit(line.source, columns, line.codecs, _sampled(rows, seed), line.labels, line.task, frozen)

    began = time.perf_counter()
    first_rows, first_held = line.parts[0]
    member = fit(first_rows)
    first = member.answer_rows(line.source, first_held)
    seconds = time.perf_counter() - began
    fits = BASELINE_SHARE * line.clock.seconds / max(seconds, 1e-3) if line.choices.epochs is None else len(line.parts)
    fits = len(line.parts) if kind == "chosen" and fits >= 0.5 else fits
    affordable = line.memo.decide(f"folds of {title}", lambda: int(np.clip(fits, 1, len(line.parts))))

    def answer(fitted: np.ndarray, held: np.ndarray) -> np.ndarray:
        return first if held is first_held else fit(fitted).answer_rows(line.source, held)

    answers = cross_answers(answer, line.parts[:affordable], line.compared(), line.shape())
    line.clock.note("baselines", time.perf_counter() - began)
    note = f"{affordable} of {len(line.parts)} folds" if affordable < len(line.parts) else ""
    if kind == "head" and len(first_rows) > HEAD_ROWS:
        note = f"fitted on a sample of {HEAD_ROWS} rows"
    return Candidate(title, kind, tuple(c.name for c in columns), answers, seconds, fit, member, note=note)


def assemble(line: Line, used: Sequence[Candidate], temperature: float, *, final: bool) -> Ensemble:
    """The members behind the chosen candidates: fitted on choice rows for the score, on all labelled rows at last."""
    members: list[Member] = []
    weights: list[float] = []
    labelled = np.sort(np.concatenate([line.rows, line.split.test])) if final else line.rows
    for candidate in used:
        if candidate.kind == "network":
            networks = candidate.extra["final" if final else "scored"]()
        elif not final and not line.folded:
            networks = [candidate.fitted or candidate.refit(line.split.train)]  # type: ignore[misc]
        else:
            assert candidate.refit is not None
            networks = [candidate.refit(labelled)]
        members += networks
        weights += [candidate.weight / len(networks)] * len(networks)
    return Ensemble(tuple(members), tuple(weights), line.task, temperature)


def _rows_source(source: Source, rows: np.ndarray) -> Source:
    return Source(source.table.take(rows))


def _sampled(rows: np.ndarray, seed: int) -> np.ndarray:
    """The rows, or HEAD_ROWS of them."""
    if len(rows) <= HEAD_ROWS:
        return rows
    return np.sort(generator("head rows", seed).choice(rows, HEAD_ROWS, replace=False))
