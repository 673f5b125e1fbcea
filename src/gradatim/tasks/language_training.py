"""The network of a language model: its size and length of training from a measured forecast, then training.

Candidates are literal sizes of an LSTM and of a causal transformer. The largest whose forecast still reads
TOKENS_PER_WEIGHT tokens for each of its weights is taken: with fewer it stays untaught, and a smaller one with more has
learned all that it can hold (Hoffmann et al. 2022 find about 20 where text is plenty and training long).
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from gradatim.data.codecs.lossless import LosslessTokens
from gradatim.device import Placement, choose
from gradatim.models.address import build
from gradatim.randomness import seed_of
from gradatim.tasks.budget import Watch, train_within_budget
from gradatim.tasks.language_members import NETWORKS, LanguageNetwork
from gradatim.tasks.language_stream import NextTokenStep, Rounds
from gradatim.tasks.line import Job
from gradatim.train.forecast import measure
from gradatim.train.history import History
from gradatim.train.plan import Plan

MONITOR = "development_bits"
# From small to large: the arguments of the builders beside the vocabulary.
SIZES: dict[str, tuple[dict[str, int], ...]] = {
    "recurrent": (
        {"width": 64, "hidden": 128, "layers": 1}, {"width": 128, "hidden": 256, "layers": 1},
        {"width": 192, "hidden": 384, "layers": 1}, {"width": 256, "hidden": 512, "layers": 1},
        {"width": 256, "hidden": 768, "layers": 1}, {"width": 384, "hidden": 768, "layers": 2},
        {"width": 512, "hidden": 1024, "layers": 2},
    ),
    "transformer": (
        {"width": 64, "heads": 2, "depth": 2, "context": 64}, {"width": 128, "heads": 4, "depth": 3, "context": 128},
        {"width": 128, "heads": 4, "depth": 4, "context": 128}, {"width": 192, "heads": 6, "depth": 5, "context": 192},
        {"width": 256, "heads": 8, "depth": 6, "context": 256}, {"width": 384, "heads": 6, "depth": 8, "context": 256},
        {"width": 512, "heads": 8, "depth": 10, "context": 512},
    ),
}
LANES = {"recurrent": 8, "transformer": 16}
WINDOW = 64  # tokens between which a recurrent network's gradient is cut
RATES = {"recurrent": 1e-2, "transformer": 8e-3}
OPTIMIZERS = {"recurrent": "adamw", "transformer": "muon"}
DECAY = {"recurrent": 0.01, "transformer": 0.1}
TOKENS_PER_WEIGHT = 4.0  # weights of tables apart
MOST_PASSES = 30.0
PLANNED = 0.93  # of the seconds is planned for; steps of a busy machine vary
ROUNDS = 12  # after each of which the development texts are read
FEWEST_WATCHED, DEVELOPMENT_TOKENS = 2_000, 40_000  # tokens of them at each round, at least and at most
WATCHED_SHARE = 0.5  # of the tokens of a round, between these
READING = 1 / 3  # of the seconds to learn from a token: to read it
SHARE_KEPT = 0.06  # of the time is kept back for the scores
TRIAL_SECONDS = 2.0
ONE_THREAD = 0.95  # one thread is taken when it needs less than this share of the seconds


class NetworkTraining:
    """Plans and trains the network of one job; keeps what the report tells of it."""

    def __init__(
        self, job: Job, tokens: LosslessTokens, column: str, train: Sequence[np.ndarray],
        development: Sequence[np.ndarray], family: str,
    ) -> None:
        self.job, self.tokens, self.column, self.family = job, tokens, column, family
        self.train, self.development = train, development
        self.size = sum(len(text) + 1 for text in train)
        self.history: History | None = None
        self.settings: dict[str, Any] = {}

    def fit(self, seconds: float, reserved: float, read: int) -> LanguageNetwork:
        """Plan for so many seconds, train, and put the best weights in place.

        reserved: seconds of what comes after it; read: tokens that it is to read then.
        """
        job = self.job
        self.settings = job.memo.decide("network", lambda: self.planned(seconds, read))
        job.say(f"  plan: {self.settings['why']}")
        plan = Plan.from_json(self.settings["plan"])
        torch.set_num_threads(plan.placement.threads)
        member = self.member(self.settings["blueprint"], plan.placement, "weights")
        step = NextTokenStep(member.network, plan)
        rounds = Rounds(self.train, lanes=plan.batch_size, length=self.settings["length"], steps=plan.steps_per_epoch,
                        seed=job.seed)
        step_tokens = plan.batch_size * self.settings["length"]
        watched = within(self.development, int(np.clip(WATCHED_SHARE * plan.steps_per_epoch * step_tokens,
                                                       FEWEST_WATCHED, DEVELOPMENT_TOKENS)))
        reserved += READING * read / step_tokens * plan.forecast["seconds_per_step"]

        def evaluate() -> dict[str, float]:
            given = np.concatenate(member.probabilities(watched, quick=True))
            return {MONITOR: float(-np.log2(given.clip(1e-30)).mean())}

        result = train_within_budget(
            "network", member.network, step, rounds, plan, clock=job.clock, memo=job.memo,
            watch=Watch(evaluate, MONITOR), reserved=reserved, share_kept=SHARE_KEPT, fixed=job.epochs is not None,
            quiet=job.source.progress is None)
        self.history = result.history
        job.clock.note("network", self.history.actual["total_seconds"])
        job.say(f"  {result.line()}")
        return member

    def blueprint(self, size: int, dropout: float) -> dict[str, Any]:
        """Address and arguments of one of the sizes."""
        arguments = {**SIZES[self.family][size], "vocabulary": len(self.tokens), "dropout": dropout}
        return {"address": NETWORKS[self.family], "arguments": arguments}

    def member(self, blueprint: dict[str, Any], placement: Placement, name: str) -> LanguageNetwork:
        """A new network whose first weights follow from the seed."""
        torch.manual_seed(seed_of(self.job.seed, name))
        network = build(blueprint).to(placement.device)
        return LanguageNetwork(self.column, blueprint, network, placement, self.tokens)

    def planned(self, seconds: float, read: int) -> dict[str, Any]:
        """Measure sizes from the largest that the text can feed down to one that reads it often enough; then plan."""
        job, placement, size = self.job, choose(), self.largest()
        if job.epochs is not None:
            pace = 0.0
            steps = max(1, round(job.epochs * self.size / self.tokens_per_step(size)))
        else:
            placement, size, pace = self.fastest_enough(placement, size, seconds)
            most = MOST_PASSES * self.size / self.tokens_per_step(size)
            whole = PLANNED * seconds / pace - READING * read / self.tokens_per_step(size)
            steps = max(2, int(min(whole / (1 + READING * WATCHED_SHARE), most)))
        passes = steps * self.tokens_per_step(size) / self.size
        dropout = dropout_for(passes)
        blueprint = self.blueprint(size, dropout)
        count = min(ROUNDS, steps)
        plan = Plan(
            count, max(1, steps // count), LANES[self.family], optimizer=OPTIMIZERS[self.family],
            learning_rate=RATES[self.family], weight_decay=DECAY[self.family], schedule="cosine",
            schedule_options={"floor": 0.01}, warmup_steps=min(100, steps // 20), placement=placement, seed=job.seed,
            forecast={"seconds_per_step": pace, "training_seconds": pace * steps, "evaluation_seconds": 0.0,
                      "total_seconds": pace * steps},
            optimizer_options={"betas": (0.9, 0.99)},
        )
        weights = sum(tensor.numel() for tensor in meta(blueprint).parameters())
        shape = ", ".join(f"{name} {value}" for name, value in SIZES[self.family][size].items())
        threads = f"{placement.threads} thread{'s' if placement.threads > 1 else ''}"
        why = (f"{self.family} network of {weights:,} weights ({shape}, dropout {dropout:g}), {steps} steps of "
               f"{self.tokens_per_step(size):,} tokens: {passes:.1f} passes over the training text"
               + (f", forecast {pace * steps:.0f} s on {threads}" if pace else ""))
        return {"plan": plan.to_json(), "blueprint": blueprint, "length": self.window(size), "why": why,
                "passes": passes, "weights": weights}

    def window(self, size: int) -> int:
        """Tokens of a window."""
        return SIZES[self.family][size].get("context", WINDOW)

    def tokens_per_step(self, size: int) -> int:
        """Tokens that a step learns from."""
        return min(LANES[self.family] * self.window(size), self.size)

    def largest(self) -> int:
        """The largest size with no more weights than four times the tokens of the text."""
        fitting = [size for size in range(len(SIZES[self.family])) if self.weights(size) <= 4 * self.size]
        return max(fitting, default=0)

    def weights(self, size: int) -> int:
        """Weights of a size, those of its tables apart."""
        network = meta(self.blueprint(size, 0.0))
        tables = sum(t.numel() for m in network.modules() if isinstance(m, torch.nn.Embedding) for t in m.parameters())
        return sum(t.numel() for t in network.parameters()) - tables

    def fastest_enough(self, placement: Placement, size: int, seconds: float) -> tuple[Placement, int, float]:
        """Placement, size and its measured seconds a step: the largest with TOKENS_PER_WEIGHT in the seconds.

        One thread is tried too: small steps gain little from a second, and lose where other programs hold the cores.
        """
        trial = min(TRIAL_SECONDS, 0.015 * seconds)
        pace = self.pace(size, placement, trial)
        if placement.threads > 1 and placement.device == "cpu":
            alone = replace(placement, threads=1, reasons=(*placement.reasons, "one thread: faster in a trial"))
            found = self.pace(size, alone, trial)
            placement, pace = (alone, found) if found < ONE_THREAD * pace else (placement, pace)
        while True:
            tokens = min(PLANNED * seconds / pace * self.tokens_per_step(size), MOST_PASSES * self.size)
            share = tokens / self.weights(size) / TOKENS_PER_WEIGHT
            if size == 0 or share >= 1:
                return placement, size, pace
            size -= 2 if size > 1 and share < 0.1 else 1
            pace = self.pace(size, placement, trial)

    def pace(self, size: int, placement: Placement, seconds: float) -> float:
        """Measured seconds a step."""
        torch.set_num_threads(placement.threads)
        plan = Plan(1, 1000, LANES[self.family], optimizer=OPTIMIZERS[self.family], placement=placement)
        member = self.member(self.blueprint(size, 0.1), placement, "measure")
        rounds = Rounds(self.train, lanes=plan.batch_size, length=self.window(size), steps=40, seed=0)
        return measure(NextTokenStep(member.network, plan), rounds, seconds=seconds, steps=30).seconds_per_step


def dropout_for(passes: float) -> float:
    """Dropout by how often the text is read: none while it is nearly new, more as it could be learned by heart.

    >>> [dropout_for(passes) for passes in (1, 6, 12, 30)]
    [0.0, 0.1, 0.2, 0.3]
    """
    return 0.0 if passes < 4 else 0.1 if passes < 9 else 0.2 if passes < 20 else 0.3


def within(texts: Sequence[np.ndarray], most: int, chosen: Sequence[Any] | None = None) -> list[Any]:
    """An even choice of texts with about so many tokens; of what stands beside them, where `chosen` is given."""
    size = sum(len(text) + 1 for text in texts)
    return list((texts if chosen is None else chosen)[:: max(1, -(-size // max(most, 1)))])


def meta(blueprint: dict[str, Any]) -> torch.nn.Module:
    """The network without memory."""
    with torch.device("meta"):
        return build(blueprint)


