"""Training a tagger within the time: measure, plan, train on batches of like length, keep the best epoch.

What the clock decides is a stored decision; the rest is a pure function of data and seed, so that a resumed run ends
with the same weights.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from gradatim.data.batch import Batch
from gradatim.data.buckets import bucket_order
from gradatim.device import Placement, choose
from gradatim.models.address import build
from gradatim.randomness import generator, seed_of
from gradatim.tasks.budget import REFIT_SHARE, TrainingResult, Watch, train_within_budget
from gradatim.tasks.line import Job
from gradatim.tasks.planning import WORTH, Epochs
from gradatim.tasks.tagging import Tagging
from gradatim.tasks.tagging_network import ADDRESSES, TaggerMember
from gradatim.tasks.tagging_words import Words
from gradatim.train.forecast import measure, plan_for_minutes
from gradatim.train.plan import Plan
from gradatim.train.steps import Supervised

MONITOR = "development_loss"
FORGET = 0.25  # α of Kiperwasser & Goldberg 2016, § 4: a word seen c times is unknown with probability α / (α + c)
RATES = {"recurrent": 3e-3, "transformer": 1e-3}
MOST_EPOCHS, FEWEST_EPOCHS = 80, 4
FEWEST_STEPS = 20  # of a plan
SHARE_KEPT = 0.05  # of the time is kept back for answers
WATCHED = 2000  # development rows whose loss is taken after each epoch


@dataclass(slots=True)
class Trained:
    """A trained tagger, the plan that it was trained by, and what became of it."""

    member: TaggerMember
    plan: Plan
    result: TrainingResult

    def plan_for(self, rows: int) -> Plan:
        """The plan for so many rows: as many epochs as were best, at the pace that was seen."""
        per_epoch, epochs = -(-rows // self.plan.batch_size), self.result.best_epoch
        pace = self.result.history.actual["seconds_per_step"]
        return replace(self.plan, epochs=epochs, steps_per_epoch=per_epoch,
                       warmup_steps=min(self.plan.warmup_steps, per_epoch * epochs // 4),
                       forecast={"seconds_per_step": pace, "total_seconds": pace * per_epoch * epochs})


@dataclass(slots=True)
class Corpus:
    """What is learned from: tokens and class numbers of every row, and the column of tokens."""

    sentences: list[list[str]]
    tags: np.ndarray  # object array of int64 (L,)
    column: str

    @property
    def lengths(self) -> np.ndarray:
        """Tokens of each row."""
        return np.array([len(sentence) for sentence in self.sentences], dtype=np.int64)


def train_tagger(
    job: Job, task: Tagging, corpus: Corpus, rows: np.ndarray, held: np.ndarray, *, model: str, name: str,
    seconds: float, after: float, reserved: float = 0.0,
) -> Trained | None:
    """Train on `rows`, watching some of `held`, as long as fits into the seconds; None where next to nothing does.

    after: seconds to come after it (other networks, a refit) for each second that it is forecast to need; reserved:
    seconds for the rest.
    """
    stage = _Stage.of(job, task, corpus, rows, model)
    plan = Plan.from_json(job.memo.decide(f"plan of {name}", lambda: stage.plan(held, seconds).to_json()))
    job.say(f"  plan of {name}: " + "; ".join(plan.reasons))
    if job.epochs is None and plan.total_steps < FEWEST_STEPS:
        return None
    return stage.trained(plan, held, name, reserved=reserved + after * plan.forecast["total_seconds"])


def train_again(
    job: Job, task: Tagging, corpus: Corpus, rows: np.ndarray, *, model: str, name: str, plan: Plan
) -> Trained:
    """Train on all rows, watching none; where the clock would cut it short it ends unfinished."""
    stage = _Stage.of(job, task, corpus, rows, model)
    return stage.trained(plan, np.empty(0, dtype=np.int64), name, reserved=0.0)


@dataclass(slots=True)
class _Stage:
    """One training: its rows, what makes its batches, its network."""

    job: Job
    task: Tagging
    corpus: Corpus
    rows: np.ndarray
    words: Words
    model: str
    counts: np.ndarray

    @classmethod
    def of(cls, job: Job, task: Tagging, corpus: Corpus, rows: np.ndarray, model: str) -> "_Stage":
        """Words are those of the rows."""
        sentences = [corpus.sentences[row] for row in rows]
        words = Words.fit(sentences)
        return cls(job, task, corpus, rows, words, model, words.counts(sentences))

    def blueprint(self) -> dict[str, Any]:
        """Address and arguments: sizes by the amount of tokens, and what the user asked for."""
        options, much = self.job.options, int(self.corpus.lengths[self.rows].sum()) >= 100_000
        arguments: dict[str, Any] = {
            "num_classes": len(self.task.codec.tags), "vocabulary": len(self.words.vocabulary) + 2,
            "characters": len(self.words.characters) + 2, "width": 100 if much else 64,
            "spelling": options["characters"], "crf": options["crf"],
        }
        if self.model == "recurrent":
            arguments |= {"hidden": options.get("hidden", 128 if much else 96),
                          "layers": options.get("layers", 1), "cell": options["cell"]}
        else:
            arguments |= {"width": options.get("hidden", 128 if much else 96),
                          "depth": options.get("layers", 2)}
        if "dropout" in options:
            arguments["dropout"] = options["dropout"]
        return {"address": ADDRESSES[self.model], "arguments": arguments}

    def member(self, placement: Placement, name: str) -> TaggerMember:
        """A member with a new network, whose first weights follow from the seed and the name of the stage."""
        blueprint = self.blueprint()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed_of(self.job.seed, "weights", name))
            network = build(blueprint)
        return TaggerMember(self.corpus.column, self.words, blueprint, network, placement)

    def batch(self, rows: np.ndarray, epoch: int | None) -> Batch:
        """Words, letters, lengths and tags of some rows; rare words are forgotten now and then while training."""
        inputs: dict[str, Any] = dict(self.words.encode([self.corpus.sentences[row] for row in rows]))
        if epoch is not None:
            random = generator(self.job.seed, "forget", epoch, int(rows[0]), len(rows))
            words = inputs["words"].numpy()
            forgotten = random.random(words.shape) < FORGET / (FORGET + self.counts[words])
            inputs["words"] = torch.from_numpy(np.where(forgotten & (words > 1), 1, words))
        tags = self.task.codec.trim(self.task.codec.stack([self.corpus.tags[row] for row in rows]))
        return Batch(rows, inputs, {self.task.target: tags}, {}, {})

    def step(self, member: TaggerMember, plan: Plan) -> Supervised:
        """Mean negative log-likelihood of a token's tag."""
        network: Any = member.network

        def forward(_: Any, batch: Batch) -> torch.Tensor:
            return network.emissions(**batch.inputs)

        return Supervised(network, self.objective(network), plan, forward=forward)

    def objective(self, network: Any) -> Callable[[Any, Batch], torch.Tensor]:
        """−log p(tags) over the number of tokens."""

        def objective(emissions: torch.Tensor, batch: Batch) -> torch.Tensor:
            truth: Any = batch.targets[self.task.target]
            likelihood = network.log_likelihood(emissions, truth["tags"], truth["lengths"])
            return -likelihood.sum() / truth["lengths"].sum().clamp(min=1)

        return objective

    def batches(self, plan: Plan) -> Callable[[int], Sequence[Batch]]:
        """The batches of an epoch."""
        lengths = self.corpus.lengths

        def batches(epoch: int) -> Sequence[Batch]:
            order = bucket_order(self.rows, lengths, plan.batch_size, seed=seed_of(plan.seed, "tagger"), epoch=epoch)
            return Epochs(order[: plan.steps_per_epoch], lambda rows: self.batch(rows, epoch))  # type: ignore[return-value]

        return batches

    def plan(self, held: np.ndarray, seconds: float) -> Plan:
        """Measure a few steps in the machine's number format and in float32, and plan for the faster."""
        size = int(np.clip(len(self.rows) // 60, 8, 32))
        base, rate = choose(), RATES[self.model]
        tried: list[tuple[float, Placement]] = []
        placements = [base] if base.dtype == "float32" else [base, replace(base, dtype="float32", channels_last=False)]
        for placement in placements if self.job.epochs is None else placements[-1:]:
            trial = Plan(1, -(-len(self.rows) // size), size, placement=placement, seed=self.job.seed)
            torch.set_num_threads(placement.threads)
            measured = measure(self.step(self.member(placement, "measure"), trial), self.batches(trial),
                               seconds=min(3.0, 0.02 * seconds + 0.3), steps=12)
            tried.append((measured.seconds_per_step, placement))
        pace, placement = tried[0] if len(tried) < 2 or tried[0][0] < WORTH * tried[1][0] else tried[1]
        watching = pace * min(len(held), WATCHED) / size / 3
        wanted = self.job.epochs
        return plan_for_minutes(
            (1e9 if wanted is not None else seconds) / 60, rows=len(self.rows), batch_size=size, seconds_per_step=pace,
            evaluation_seconds=watching, max_epochs=wanted or MOST_EPOCHS, optimizer="adamw", learning_rate=rate,
            placement=placement, seed=self.job.seed, weight_decay=0.01, warmup_share=0.05)

    def trained(self, plan: Plan, held: np.ndarray, name: str, *, reserved: float) -> Trained:
        """A new network trained by the plan; goes on from the stage's checkpoint where there is one."""
        job = self.job
        threads = torch.get_num_threads()
        torch.set_num_threads(plan.placement.threads)
        member = self.member(plan.placement, name)
        chosen = np.sort(generator(job.seed, "watched").permutation(held)[:WATCHED])

        def evaluate() -> dict[str, float]:
            answers = member.answered([self.corpus.sentences[row] for row in chosen])
            return {MONITOR: token_loss(answers, self.corpus.tags[chosen])}

        watch = Watch(evaluate, MONITOR, max(6, plan.epochs // 4), FEWEST_EPOCHS) if len(held) else None
        try:
            result = train_within_budget(
                name, member.network, self.step(member, plan), self.batches(plan), plan, clock=job.clock,
                memo=job.memo, watch=watch, reserved=reserved, share_kept=SHARE_KEPT,
                fewest_share=0.0 if len(held) else REFIT_SHARE, fixed=job.epochs is not None,
                quiet=job.source.progress is None)
        finally:
            torch.set_num_threads(threads)
        job.clock.note(name, result.history.actual["total_seconds"])
        job.say(f"  {result.line()}")
        return Trained(member, plan, result)


def token_loss(answers: np.ndarray, tags: np.ndarray) -> float:
    """Mean −log of the probability that a token's true tag was given; tags that training had not count as 1e-6."""
    losses = [-np.log(np.maximum(np.where(truth >= 0, shares[np.arange(len(truth)), truth], 0.0), 1e-6))
              for shares, truth in zip(answers, tags)]
    return float(np.concatenate(losses).mean()) if losses else float("nan")
