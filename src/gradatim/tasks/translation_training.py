"""Training a translator within the time: measure, plan, train with teacher forcing, keep the best epoch.

What the clock decides (which network, how many epochs) is a stored decision; the rest is a pure function of data and
seed, so that a resumed run ends with the same weights.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from torch import nn

from gradatim.data.batch import Batch
from gradatim.device import Placement, autocast, choose
from gradatim.estimators.alignment import WordTable, fit_word_table
from gradatim.models.address import build
from gradatim.randomness import generator, seed_of
from gradatim.tasks.budget import REFIT_SHARE, TrainingResult, Watch, train_within_budget
from gradatim.tasks.line import Job
from gradatim.tasks.planning import WORTH, Epochs
from gradatim.tasks.translation_batches import Buckets, CrossEntropy, EncodedPairs, Texts, expected_of, teach
from gradatim.tasks.translation_network import TranslatorMember, blueprint_of
from gradatim.tasks.translation_tokens import PairTokens, known_words, usual_vocabulary
from gradatim.train.forecast import measure, plan_for_minutes
from gradatim.train.plan import Plan
from gradatim.train.steps import Supervised

MONITOR = "development_loss"
SMOOTHING = 0.1
WATCHED = 512  # development pairs whose loss is taken after each epoch
ANSWER_SHARE = 0.2  # of the time is kept for writing when a network is planned
SHARE_KEPT = 0.12  # of the time is kept for writing when a network is slower than planned
MOST_PAIRS_SEEN = 2_000_000
# Pairs from which a Transformer may be worth its steps, and how often it must be able to see each.
TRANSFORMER_PAIRS, TRANSFORMER_EPOCHS = 20_000, 12
ALONE = 0.5  # share of the loss that the softmax beside a lexicon has for itself
LEXICON = 8  # translations that the network's lexicon has of a subword
MOST_ALIGNED = 100_000  # pairs that the lexicon is fitted on
SMALL_BATCH, FEWEST_STEPS, FEWEST_FOR_DROPOUT = 512, 2000, 3  # tokens, steps, epochs
TRIAL_SHARE = 0.02  # of the time, for each thing that is tried


@dataclass(slots=True)
class Trained:
    """A trained translator, what was decided for it, the plan that it was trained by, and what became of it."""

    member: TranslatorMember
    settings: dict[str, Any]
    plan: Plan
    result: TrainingResult
    notes: list[str]

    def shown(self) -> dict[str, Any]:
        """The plan as the report shows it."""
        return self.plan.to_json() | {
            "network": self.settings["network"], "tokens a batch": self.settings["budget"],
            "arguments": self.settings["arguments"], "vocabulary": len(self.member.tokens)}

    def seconds_for(self, pairs: float) -> float:
        """Forecast of the best epochs over so many times the pairs, at the pace that was seen."""
        steps = self.result.best_epoch * self.plan.steps_per_epoch
        return self.result.history.actual["seconds_per_step"] * steps * pairs


def train_translator(
    job: Job, texts: Texts, column: str, rows: np.ndarray, held: np.ndarray, *, more: float
) -> Trained:
    """Train on the pairs `rows`, watching some of `held`.

    more: how many times the pairs a refit has; its time is reserved where the plan leaves enough for it.
    """
    stage = _Stage.prepared(job, texts, column, rows, held)
    settings = job.memo.decide("translator", lambda: _decided(stage))
    job.say(f"  plan: {settings['why']}")
    plan = Plan.from_json(settings["plan"])
    planned = plan.forecast["total_seconds"]
    fits = planned * (1 + more) <= job.clock.left(share_kept=SHARE_KEPT)
    return _trained(stage, settings, plan, "translator", watched=True, reserved=planned * more if fits else 0.0)


def train_again(job: Job, texts: Texts, column: str, rows: np.ndarray, before: Trained) -> Trained:
    """Train on all pairs as many epochs as were best; where the clock would cut it short it ends unfinished."""
    stage = _Stage.prepared(job, texts, column, rows, rows[:0])
    plan, epochs = before.plan, before.result.best_epoch
    per_epoch = len(stage.buckets(before.settings["budget"]))
    pace = before.result.history.actual["seconds_per_step"]
    plan = replace(plan, epochs=epochs, steps_per_epoch=per_epoch,
                   warmup_steps=min(plan.warmup_steps, per_epoch * epochs // 4),
                   forecast={"seconds_per_step": pace, "total_seconds": pace * per_epoch * epochs})
    return _trained(stage, before.settings, plan, "refit", watched=False, reserved=0.0)


def _trained(
    stage: "_Stage", settings: dict[str, Any], plan: Plan, name: str, *, watched: bool, reserved: float
) -> Trained:
    """A new network trained by the plan; goes on from its checkpoint where there is one."""
    job, budget = stage.job, settings["budget"]
    torch.set_num_threads(plan.placement.threads)
    member, buckets = stage.member(settings, plan.placement, name), stage.buckets(budget)

    def batches(epoch: int) -> Sequence[Batch]:
        order = buckets.epoch(epoch)
        return Epochs(order[: plan.steps_per_epoch], stage.pairs.batch)  # type: ignore[return-value]

    def evaluate() -> dict[str, float]:
        return {MONITOR: token_loss(member, stage.watched, budget)}

    result = train_within_budget(
        name, member.network, _step(member.network, plan), batches, plan, clock=job.clock, memo=job.memo,
        watch=Watch(evaluate, MONITOR, max(4, plan.epochs // 4), plan.epochs // 2) if watched else None,
        reserved=reserved, share_kept=SHARE_KEPT, fewest_share=0.0 if watched else REFIT_SHARE,
        fixed=job.epochs is not None, quiet=job.source.progress is None)
    job.clock.note(name, result.history.actual["total_seconds"])
    job.say(f"  {result.line()}")
    return Trained(member, settings, plan, result, [*stage.notes(), *result.notes])


@dataclass(slots=True)
class _Stage:
    """The encoded pairs of a training, and what makes networks for them."""

    job: Job
    column: str
    tokens: PairTokens
    pairs: EncodedPairs
    watched: EncodedPairs
    known: tuple[np.ndarray, np.ndarray]
    tables: list[WordTable] = field(default_factory=list)

    @classmethod
    def prepared(cls, job: Job, texts: Texts, column: str, rows: np.ndarray, held: np.ndarray) -> "_Stage":
        """Train the tokens on the training rows and encode the pairs."""
        sources, targets = ([str(side[row]) for row in rows] for side in (texts.sources, texts.targets))
        characters = sum(map(len, sources)) + sum(map(len, targets))
        vocabulary = job.options.get("vocabulary") or usual_vocabulary(characters)
        tokens = PairTokens.train(sources, targets, vocabulary=vocabulary)
        chosen = generator(job.seed, "watched").permutation(held)[:WATCHED]
        return cls(job, column, tokens, EncodedPairs(tokens, texts, rows),
                   EncodedPairs(tokens, texts, np.sort(chosen)), (known_words(sources), known_words(targets)))

    def notes(self) -> list[str]:
        """What was cut."""
        found = []
        for side, cut, most in (("source", self.pairs.cut_sources, self.tokens.source_length),
                                ("target", self.pairs.cut_targets, self.tokens.target_length)):
            if cut:
                found.append(f"{cut} of {len(self.pairs)} {side} texts of the training rows were cut to {most} tokens")
        return found

    def arguments(self, network: str) -> dict[str, Any]:
        """Sizes of a network by the amount of pairs, and what the user asked for."""
        options, much = self.job.options, len(self.pairs) >= 20_000
        width = options.get("width") or (256 if much else 128)
        dropout = options.get("dropout", 0.2 if much else 0.3)
        if network == "transformer":
            depth = options.get("layers") or (3 if much else 2)
            return {"width": width, "heads": max(width // 64, 2), "readers": depth, "writers": depth,
                    "dropout": dropout / 2}
        return {"width": width, "layers": options.get("layers") or 1, "cell": options["cell"],
                "attention": options["attention"], "dropout": dropout,
                "lexicon": LEXICON if options["lexicon"] else 0,
                "feeding": options["feeding"]}

    def table(self) -> WordTable:
        """t(f|e) of subwords, from an even choice of the training pairs; fitted once."""
        if not self.tables:
            step = -(-len(self.pairs) // MOST_ALIGNED)
            self.tables.append(fit_word_table(
                [list(map(str, source.ids)) for source in self.pairs.sources[::step]],
                [list(map(str, target)) for target in self.pairs.targets[::step]], rounds=6, kept=LEXICON))
        return self.tables[0]

    def buckets(self, budget: int) -> Buckets:
        """The batches of the training pairs."""
        return Buckets(self.pairs.lengths, budget, seed_of(self.job.seed, "translator", "order"))

    def member(self, settings: dict[str, Any], placement: Placement, name: str) -> TranslatorMember:
        """A member with a new network."""
        blueprint = blueprint_of(settings["network"], self.tokens, settings["arguments"])
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed_of(self.job.seed, "weights", name))
            network = build(blueprint)
        if settings["arguments"].get("lexicon"):
            give_lexicon(network, self.table())
        options = self.job.options
        return TranslatorMember(self.column, self.tokens, blueprint, network, placement,
                                options["beams"], options.get("length_penalty", 0.6), False,
                                *self.known)


def give_lexicon(network: nn.Module, table: WordTable) -> None:
    """Write a table of subwords, spelled as their ids, into the network's lexicon; shares add up to 1 or less."""
    translator: Any = network
    ids, shares = translator.lexicon_ids, translator.lexicon_shares
    for word, place in table.places.items():
        span = slice(int(table.starts[place]), min(int(table.starts[place + 1]), int(table.starts[place]) + LEXICON))
        count = span.stop - span.start
        ids[int(word), :count] = torch.tensor([int(table.targets[code]) for code in table.codes[span]])
        shares[int(word), :count] = torch.from_numpy(table.shares[span].copy())


def _decided(stage: _Stage) -> dict[str, Any]:
    """Measure, choose the network and the placement, plan: JSON."""
    job, base = stage.job, choose()
    budget = job.options.get("batch_tokens") or (2048 if len(stage.pairs) >= 5000 else 1024)
    asked = job.options.get("network")
    seconds = min(2.0, TRIAL_SHARE * job.clock.seconds)
    paces: dict[tuple[str, str], tuple[float, Placement]] = {}

    def pace(network: str, placement: Placement) -> float:
        torch.set_num_threads(placement.threads)
        settings = {"network": network, "arguments": stage.arguments(network)}
        member = stage.member(settings, placement, "measure")
        step = _step(member.network, Plan(1, 1, 1, placement=placement, label_smoothing=SMOOTHING))
        batches = Epochs(stage.buckets(budget).epoch(0), stage.pairs.batch)
        found = measure(step, lambda epoch: batches, seconds=seconds, steps=12).seconds_per_step
        paces[network, str(placement)] = (found, placement)
        return found

    left = job.clock.left(share_kept=ANSWER_SHARE)
    free = job.epochs is None and "batch_tokens" not in job.options and budget > SMALL_BATCH
    if free and left / pace(asked or "attention", base) < FEWEST_STEPS:
        budget = SMALL_BATCH  # many small steps teach more than a few good ones
    per_epoch = len(stage.buckets(budget))
    network, why = asked or "attention", "asked for" if asked else ""
    if asked is None and len(stage.pairs) >= TRANSFORMER_PAIRS and job.epochs is None:
        epochs = left / (pace("transformer", base) * per_epoch)
        network = "transformer" if epochs >= TRANSFORMER_EPOCHS else "attention"
        why = f"a Transformer could see each pair {epochs:.1f} times, {TRANSFORMER_EPOCHS} are wanted"
    elif asked is None:
        why = f"a Transformer is tried from {TRANSFORMER_PAIRS} pairs on"
    best, least = base, pace(network, base)
    if job.epochs is None and base.device == "cpu":
        others = [replace(base, dtype="float32")] if base.dtype != "float32" else []
        others += [replace(base, threads=1)] if base.threads > 1 else []
        for placement in others:
            found = pace(network, placement)
            if found < WORTH * least:
                best, least = placement, found
    torch.set_num_threads(best.threads)
    plan = _plan(stage, best, least, per_epoch, left)
    arguments = stage.arguments(network)
    if plan.epochs < FEWEST_FOR_DROPOUT and "dropout" not in job.options:
        arguments["dropout"] = 0.0  # what is seen once or twice is not learned by heart
    return {"network": network, "arguments": arguments, "budget": budget, "plan": plan.to_json(),
            "why": f"{network} ({why}), {plan.epochs} epochs of {plan.steps_per_epoch} steps of at most {budget} "
                   f"padded tokens a side, {1000 * least:.0f} ms each, forecast "
                   f"{plan.forecast['total_seconds']:.0f} s; {best}"}


def _plan(stage: _Stage, placement: Placement, pace: float, per_epoch: int, left: float) -> Plan:
    """The plan for the seconds that are left."""
    job, pairs = stage.job, len(stage.pairs)
    rows = max(1, round(pairs / per_epoch))
    most = job.epochs or int(np.clip(MOST_PAIRS_SEEN // pairs, 8, 100))
    plan = plan_for_minutes(
        (left if job.epochs is None else 1e9) / 60, rows=per_epoch * rows, batch_size=rows, seconds_per_step=pace,
        evaluation_seconds=0.3 * pace * max(1, len(stage.watched) // rows), max_epochs=most, optimizer="adamw",
        learning_rate=job.options["learning_rate"], placement=placement, seed=job.seed,
        label_smoothing=SMOOTHING, weight_decay=0.01,
    )
    return replace(plan, steps_per_epoch=min(plan.steps_per_epoch, per_epoch))


def _step(network: nn.Module, plan: Plan) -> Supervised:
    return Supervised(network, CrossEntropy(plan.label_smoothing, alone=ALONE), plan, forward=teach)


@torch.inference_mode()
def token_loss(member: TranslatorMember, pairs: EncodedPairs, budget: int) -> float:
    """Mean cross entropy of a target token of the pairs, in nats, without smoothing."""
    network = member.network
    training = network.training
    network.eval()
    total, count = 0.0, 0
    for places in Buckets(pairs.lengths, budget, 0).epoch(0) if len(pairs) else []:
        batch = pairs.batch(places).to(member.placement.device)
        with autocast(member.placement):
            taught = teach(network, batch)
        tokens = len(expected_of(batch))
        total += float(CrossEntropy(0.0)(taught, batch)) * tokens
        count += tokens
    network.train(training)
    return total / max(count, 1)
