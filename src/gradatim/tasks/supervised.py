"""The main line of a supervised task: baselines, networks, the choice, one honest score, the refit.

Rows play three parts: *choice rows* (train and development) on which candidates are fitted and compared, by folds
under `FOLD_ROWS` rows; *test rows*, used for no choice and scored once; and at the end all labelled rows, on which the
winner is fitted again.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from gradatim.data.augment_options import AugmentRequest
from gradatim.data.codecs import Codec, codec_for
from gradatim.data.schema import Column, Schema
from gradatim.data.split import Split, folds
from gradatim.evaluate.calibrate import MAX_CELLS, fit_temperature, mix_uniform, uniform_share
from gradatim.tasks.baselines import HEAD_ROWS, baselines, sampled
from gradatim.tasks.choose import Candidate, answering, temper, verdict_on_network, weigh
from gradatim.tasks.chosen import ChosenEstimator
from gradatim.tasks.frozen import FrozenFeatures, encoder_of, pretrained_codec, reads_pretrained
from gradatim.tasks.heads import DECODED, MEDIA, blank_columns
from gradatim.tasks.label_curve import label_curves
from gradatim.tasks.members import Ensemble
from gradatim.tasks.memo import Clock, Memo
from gradatim.tasks.network import ENCODER_KEYS
from gradatim.tasks.placed import truth_of
from gradatim.tasks.refit import AS_SCORED, ensemble, final_members, refit_seconds, scored_members
from gradatim.tasks.source import Source
from gradatim.tasks.task import SupervisedTask
from gradatim.tasks.training import NetworkTrainer
from gradatim.tasks.word_tables import coverage, is_words, network_blueprint, words_blueprint

FOLD_ROWS = 2000  # under this many choice rows, candidates are compared by cross-validation
FOLDS = 5
REFIT_SHARE = 0.25  # of what is left after the baselines is reserved at most for fitting them again
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
    saved: str = ""  # whether what is kept is what was scored


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
    reserved: float = 0.0  # seconds foreseen for fitting the chosen baselines again
    head_rows: int = HEAD_ROWS
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
        return rows if self.choices.estimator else sampled(rows, self.head_rows, self.choices.seed)

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
    line.reserved = min(refit_seconds(line, candidates), REFIT_SHARE * clock.left())
    line.head_rows = min(c.extra.get("most rows", HEAD_ROWS) for c in candidates if c.kind != "trees")
    curves = label_curves(line, candidates)
    trainer = NetworkTrainer(line)
    if line.costly_frozen and not choices.fine_tune:
        line.notes.append("no network was trained: the pretrained one stays as it is; --fine-tune trains it on")
    elif choices.estimator is None:
        candidates.append(trainer.candidate())
    candidates = answering(candidates, line.notes)
    compared = line.compared()
    labels = line.labels[compared]
    temper(candidates, labels, task)
    why, shared = weigh(candidates, labels, task)
    verdict = verdict_on_network(candidates, labels, task)
    say(f"  {why}")
    if verdict:
        say(f"  {verdict}")
    used = [candidate for candidate in candidates if candidate.weight > 0]
    blended = np.full((len(compared), *line.shape()), np.nan)
    blended[shared] = sum(c.weight * c.answers[shared] for c in used)
    temperature, share = 1.0, 0.0
    if task.classes:
        share = uniform_share(len(line.rows))
        if blended.size > MAX_CELLS:
            line.notes.append(f"temperatures are fitted on evenly spaced rows of the {len(compared):,} that were "
                              f"compared, {MAX_CELLS:,} probabilities")
        if len(used) > 1:  # one alone has its temperature already
            temperature = fit_temperature(labels[shared], blended[shared])
        blended[shared] = mix_uniform(task.calibrated(blended[shared], temperature), share)
    members = scored_members(line, used)
    scored = ensemble(line, used, members, temperature, share)
    seen = sampled(split.train, SEEN_ROWS, choices.seed, "seen rows")
    test_answers, training_answers = (trainer.answers(scored, rows) for rows in (split.test, seen))
    trainer.forget_encoded()
    kept, saved = scored, AS_SCORED
    if final:
        refitted, saved = final_members(line, used, members)
        kept = ensemble(line, used, refitted, temperature, share)
    return Outcome(
        task=task, scored=scored, final=kept, candidates=candidates, choice_rows=compared[shared],
        choice_labels=labels[shared], choice_answers=blended[shared], test_rows=split.test,
        test_labels=line.labels[split.test], test_answers=test_answers, labels=line.labels, compared_labels=labels,
        training_answers=training_answers, training_labels=line.labels[seen], why=why, verdict=verdict,
        notes=line.notes, histories=trainer.histories, plan=trainer.plan_json, forecast=trainer.forecast,
        choice_codecs=line.codecs, fitted_rows=line.fitted_rows(), label_curves=curves, saved=saved,
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
    line.notes += blank_columns(source, schema.inputs, split.train)
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
