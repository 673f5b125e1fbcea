"""The line of a language model: tokens, n-grams, network, average, choice, score."""

import time
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from gradatim.data.codecs.lossless import LosslessTokens
from gradatim.data.encoding import without_lone_surrogates
from gradatim.errors import DataError, GradatimError
from gradatim.estimators.ngram import KneserNey
from gradatim.tasks.language_members import LanguageNetwork, NGramMember, as_objects
from gradatim.tasks.language_model import (
    FEWEST_TEXTS,
    LanguageModel,
    bits_per_character,
    scores_of,
)
from gradatim.tasks.language_report import sections
from gradatim.tasks.language_training import NetworkTraining, within
from gradatim.tasks.line import Fitted, Job
from gradatim.tasks.members import Ensemble, Member
from gradatim.tasks.selection import AVERAGE_MARGIN, compare

ORDERS = {"characters": (4, 6, 9), "words": (2, 3, 4), "subwords": (2, 3, 5)}
SUBWORDS_FROM = 20_000_000  # characters from which subwords are the default
PIECE = 500  # tokens: long texts are compared in pieces, so that few of them tell chance from skill
WORTH = 0.002  # bits per character that an average must gain over the better of its two
NGRAMS_SHARE = 0.25  # of the time, at most
NGRAMS_GROW = 1.5  # how much more an order costs than its length says
READ_A_MINUTE = 100_000  # tokens of the development texts, and of the test texts, that a network is to read
NETWORK_SHARE = 0.92  # of the time that is left when the n-grams stand


@dataclass(slots=True)
class Tried:
    """A candidate: its members and shares, what it gives the development texts, bits per character there."""

    name: str
    kind: str
    members: tuple[Member, ...]
    weights: tuple[float, ...]
    given: list[np.ndarray]
    value: float
    seconds: float
    note: str = ""
    chosen: bool = field(default=False)


class Line:
    """One run of the line."""

    def __init__(self, job: Job) -> None:
        if job.split is None:
            raise GradatimError("a language model expects rows that are split")
        self.job, self.split = job, job.split
        self.column = job.schema.inputs[0].name
        cells = job.source.table.cells(self.column)
        texts = [None if cell is None else without_lone_surrogates(str(cell)) for cell in cells]
        self.rows = {name: [row for row in rows.tolist() if texts[row]] for name, rows in self.split.parts().items()}
        self.texts = {name: [str(texts[row]) for row in rows] for name, rows in self.rows.items()}
        if min(map(len, self.texts.values())) == 0 or sum(map(len, self.texts.values())) < FEWEST_TEXTS:
            found = ", ".join(f"{len(part)} {name}" for name, part in self.texts.items())
            raise DataError(f"expected at least {FEWEST_TEXTS} texts, some in each part, found {found}; part the text "
                            "with blank lines, or give more")
        self.notes: list[str] = []
        self.training: NetworkTraining | None = None
        self.every: list[np.ndarray] = []  # the ids of all texts
        self.saved: list[str] = []  # what is saved of each member that was scored
        self.counting: dict[int, float] = {}  # seconds to count n-grams of an order in the training texts

    def fit(self) -> Fitted:
        """Everything from tokens to facts."""
        job = self.job
        kind, why = self._kind()
        most = job.options.get("vocabulary")
        tokens = LosslessTokens.train(self.texts["train"], kind, vocabulary=most)
        self.ids = {name: tokens.many(part) for name, part in self.texts.items()}
        characters = sum(map(len, self.texts["train"]))
        size = sum(map(len, self.ids["train"]))
        self.notes.append(f"{len(tokens):,} tokens ({kind}: {why}), {characters / max(size, 1):.2f} characters a token")
        job.say(f"  {self.notes[-1]}; {len(self.texts['train']):,} training texts of {characters:,} characters")
        task = LanguageModel(self.column, tokens, job.metric or "bits_per_character")
        read = self._read_less()
        tried = [self._uniform(tokens), *self._ngrams(tokens)]
        ngrams = min(tried[1:], key=lambda one: one.value)
        network = self._network(tokens, ngrams, read)
        if network is not None:
            tried += [network, self._average(ngrams, network)]
        chosen, verdict = self._choose(tried)
        chosen.chosen = True
        return self._fitted(task, tried, chosen, verdict)

    def _read_less(self) -> int:
        """Leave out development and test texts that a network could not read in the time; the tokens of the rest."""
        job, read = self.job, 0
        self.every = [ids for part in self.ids.values() for ids in part]
        most = int(READ_A_MINUTE * job.clock.seconds / 60)
        for name in ("development", "test"):
            whole = len(self.ids[name])
            if job.epochs is None and job.options["network"] != "none":
                ids = self.ids[name]
                self.rows[name], self.texts[name], self.ids[name] = (
                    within(ids, most, part) for part in (self.rows[name], self.texts[name], ids))
            if len(self.ids[name]) < whole:
                self.notes.append(f"{len(self.ids[name]):,} of {whole:,} {name} texts are read, an even choice; give "
                                  "more --minutes to read more")
                job.say(f"  {self.notes[-1]}")
            read += sum(map(len, self.ids[name]))
        return read

    def _saved(self, member: Any, tokens: LosslessTokens) -> Member:
        """n-grams counted again in the texts of all parts, where there is time; a network as it was trained."""
        if not isinstance(member, NGramMember):
            self.saved.append("the network is kept as it was scored")
            return member
        job, order = self.job, member.model.order
        kept = f"the {order}-grams are kept as they were scored"
        if not job.memo.decide("n-grams on all texts", lambda: job.epochs is not None or (
                self._counting_again(order) < job.clock.left())):
            self.saved.append(f"{kept}: there was no time to count them again in all texts")
            return member
        began = time.perf_counter()
        model = KneserNey.fit(self.every, order=order, vocabulary=len(tokens))
        job.clock.note("n-grams", time.perf_counter() - began)
        if model.order != order:
            self.saved.append(f"{kept}: of all texts they would take too much memory")
            return member
        self.saved.append(f"the {order}-grams that are saved were counted again in all {len(self.every):,} texts "
                          "after the score")
        return NGramMember(self.column, model, tokens)

    def _counting_again(self, order: int) -> float:
        """Forecast of the seconds to count n-grams in the texts of all parts."""
        more = sum(map(len, self.every)) / max(sum(map(len, self.ids["train"])), 1)
        return NGRAMS_GROW * self.counting[order] * more

    def _kind(self) -> tuple[str, str]:
        kind = self.job.options.get("tokens")
        if kind is not None:
            return kind, "as asked for"
        if sum(map(len, self.texts["train"])) < SUBWORDS_FROM:
            return "characters", f"the choice under {SUBWORDS_FROM:,} characters"
        return "subwords", f"the choice from {SUBWORDS_FROM:,} characters"

    def _uniform(self, tokens: LosslessTokens) -> Tried:
        given = [np.full(len(ids) + 1, 1 / len(tokens)) for ids in self.ids["development"]]
        return Tried("every token alike", "constant", (), (), given, self._bits(given), 0.0,
                     "what knowing nothing costs")

    def _bits(self, given: list[np.ndarray]) -> float:
        return bits_per_character(given, self.texts["development"])

    def _ngrams(self, tokens: LosslessTokens) -> list[Tried]:
        """n-grams of several orders, the lowest first, as far as a quarter of the time goes."""
        asked = self.job.options.get("order")
        orders = ORDERS[tokens.kind] if asked is None else (asked,)
        found: list[Tried] = []
        nothing = np.zeros(0, np.int64)
        KneserNey.fit([nothing], order=2, vocabulary=2).probabilities(nothing)  # compiles once, which is not timed
        for order in orders:
            if found and not self._in_time(order, found[-1], orders[len(found) - 1]):
                break
            began = time.perf_counter()
            model = KneserNey.fit(self.ids["train"], order=order, vocabulary=len(tokens))
            member = NGramMember(self.column, model, tokens)
            self.counting[model.order] = time.perf_counter() - began
            given = [model.probabilities(ids) for ids in self.ids["development"]]
            seconds = time.perf_counter() - began
            self.job.clock.note("n-grams", seconds)
            found.append(Tried(f"{model.order}-grams", "n-grams", (member,), (1.0,), given, self._bits(given), seconds,
                               f"{int(model.levels.sum()):,} n-grams, modified Kneser–Ney"))
            self.job.say(f"  {found[-1].name}: {found[-1].value:.3f} bits per character on the development texts")
        return found

    def _in_time(self, order: int, last: Tried, before: int) -> bool:
        """Whether n-grams of this order may still be counted; a stored decision."""
        job = self.job
        forecast = NGRAMS_GROW * last.seconds * order / before
        yes = job.memo.decide(f"{order}-grams", lambda: job.epochs is not None or (
            job.clock.parts["n-grams"] + forecast < NGRAMS_SHARE * job.clock.seconds))
        if not yes:
            self.notes.append(f"{order}-grams: left out, n-grams have {NGRAMS_SHARE:.0%} of the time; "
                              "give more --minutes")
            job.say(f"  {self.notes[-1]}")
        return bool(yes)

    def _network(self, tokens: LosslessTokens, ngrams: Tried, read: int) -> Tried | None:
        """The network, trained in the time that is left less what it takes to count the best n-grams again."""
        job = self.job
        family = job.options["network"]
        if family == "none":
            self.notes.append("no network, as asked for")
            return None
        self.training = NetworkTraining(job, tokens, self.column, self.ids["train"], self.ids["development"], family)
        began = time.perf_counter()
        reserved = self._counting_again(ngrams.members[0].model.order)  # type: ignore[attr-defined]
        member = self.training.fit(max(NETWORK_SHARE * job.clock.left() - reserved, 0.0), reserved, read)
        given = member.probabilities(self.ids["development"])
        seconds = time.perf_counter() - began
        found = Tried(f"{family} network", "network", (member,), (1.0,), given, self._bits(given), seconds,
                      f"{self.training.settings['weights']:,} weights")
        job.say(f"  {found.name}: {found.value:.3f} bits per character on the development texts")
        return found

    def _average(self, ngrams: Tried, network: Tried) -> Tried:
        """The weighted average of probabilities, its weight from the development texts."""
        share = best_share(np.concatenate(network.given), np.concatenate(ngrams.given))
        given = [share * a + (1 - share) * b for a, b in zip(network.given, ngrams.given)]
        found = Tried(f"{network.name} and {ngrams.name}", "average", (*network.members, *ngrams.members),
                      (share, 1 - share), given, self._bits(given), network.seconds + ngrams.seconds,
                      f"{share:.0%} network")
        self.job.say(f"  {found.name}: {found.value:.3f} bits per character on the development texts")
        return found

    def _choose(self, tried: list[Tried]) -> tuple[Tried, str]:
        ngrams = min((one for one in tried if one.kind == "n-grams"), key=lambda one: one.value)
        network = next((one for one in tried if one.kind == "network"), None)
        average = next((one for one in tried if one.kind == "average"), None)
        if network is None or average is None:
            return ngrams, "n-grams alone, as asked for."
        found = compare(self._losses(ngrams), self._losses(network))
        best = network if found.kept == "second" else ngrams
        gain = compare(self._losses(best), self._losses(average), margin=AVERAGE_MARGIN)
        best = average if gain.kept == "second" and gain.difference > WORTH else best
        beaten = "beats" if found.kept == "second" else "does not beat"
        chance = f", {found.difference:+.3f} ± {found.error:.3f} better, which may be chance" if found.tie else ""
        verdict = (f"The network {beaten} the {ngrams.name} alone ({network.value:.3f} against {ngrams.value:.3f} bits "
                   f"per character on the development texts{chance}); averaged with them it reaches "
                   f"{average.value:.3f}.")
        return best, verdict

    def _losses(self, one: Tried) -> np.ndarray:
        """Bits of each piece of the development texts, (N,), scaled so that their mean is the bits per character."""
        pieces = [piece for given in one.given for piece in np.array_split(given, max(1, len(given) // PIECE))]
        bits = np.array([-np.log2(piece).sum() for piece in pieces])
        return bits * (one.value / bits.mean()) if bits.any() else bits

    def _fitted(self, task: LanguageModel, tried: list[Tried], chosen: Tried, verdict: str) -> Fitted:
        began = time.perf_counter()
        parts = [given_by(member, self.ids["test"]) for member in chosen.members]
        averaged = [np.sum([weight * part[place] for weight, part in zip(chosen.weights, parts)], axis=0)
                    for place in range(len(self.ids["test"]))]
        answers = {"development": chosen.given, "test": averaged}
        scores = scores_of(answers["test"], self.texts["test"])
        headline = scores["metrics"][task.metric]
        self.job.clock.note("score", time.perf_counter() - began)
        self.job.say(f"  test: {scores['metrics']['bits_per_character']['value']:.3f} bits per character")
        final = Ensemble(tuple(self._saved(member, task.tokens) for member in chosen.members), chosen.weights, task)
        self.job.say(f"  {'; '.join(self.saved)}")
        candidates = [
            {"name": one.name, "metric": "bits_per_character", "value": one.value, "low": None, "high": None,
             "seconds": round(one.seconds, 2), "chosen": one.chosen, "weight": float(one.chosen), "note": one.note}
            for one in tried]
        facts: dict[str, Any] = {
            "answer": {"name": chosen.name, "why": "The fewest bits per character on the development texts.",
                       "verdict": verdict, "notes": self.notes},
            "candidates": candidates,
            "candidates_note": ["Compared on the development texts.", verdict],
            "score": {"metric": task.metric, **headline, "rows": scores["rows"],
                      "note": "; ".join(self.saved)},
            "scores": scores,
            "sections": sections(task, final, self.texts["test"], answers["test"], self.training, self.job.seed),
        }
        histories: dict[str, list[dict[str, Any]]] = {}
        if self.training is not None and self.training.history is not None:
            history, settings = self.training.history, self.training.settings
            histories = {"network": history.rows}
            plan = settings["plan"]
            facts["plan"] = {key: value for key, value in plan.items() if isinstance(value, str | int | float)} | {
                key: plan["placement"][key] for key in ("device", "dtype", "threads")}
            facts["forecast"] = {"network": {"line": history.forecast_line(), "reason": history.reason}}
            self.notes += [settings["why"], *history.notes]
        predictions = {
            name: task.predictions(as_objects(answers[name]), self.rows[name], texts=self.texts[name])
            for name in answers}
        return Fitted(task, final, self.split, facts, histories, predictions)


def given_by(member: Any, ids: list[np.ndarray]) -> list[np.ndarray]:
    """A member's probabilities of encoded texts."""
    if isinstance(member, LanguageNetwork):
        return member.probabilities(ids)
    return [member.model.probabilities(text) for text in ids]


def best_share(first: np.ndarray, second: np.ndarray, *, steps: int = 60) -> float:
    """The share λ for which λ·first + (1 − λ)·second makes what was seen most probable.

    Its log is concave in λ; expectation maximisation rises to the top: λ becomes the mean of the first's part.

    >>> round(best_share(np.array([0.9, 0.1]), np.array([0.1, 0.9])), 3)
    0.5
    """
    share = 0.5
    for _ in range(steps):
        part = share * first
        share = float((part / (part + (1 - share) * second)).mean())
    return min(max(share, 0.01), 0.99)
