"""The baselines of a supervised task, fitted on as many rows and folds as the time holds.

A constant, a linear model on all inputs and on each alone, boosted trees on the columns of a table; or the estimator
that the user chose. What the clock decides here (how many rows, how many folds, whether at all) is a stored decision.
"""

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from gradatim.data.schema import Column
from gradatim.randomness import generator
from gradatim.tasks.choose import Candidate, cross_answers
from gradatim.tasks.constant import Constant
from gradatim.tasks.heads import MANY_CLASSES, Head
from gradatim.tasks.placed import as_placed
from gradatim.tasks.refit import fit_and_listen
from gradatim.tasks.tables import Trees
from gradatim.tasks.tree_rounds import LEAST_ROUNDS, MOST_ROUNDS, learning_rate, tree_rounds

if TYPE_CHECKING:
    from gradatim.tasks.supervised import Line

HEAD_ROWS = 12_000  # linear models are fitted on a sample above this many rows
BASELINE_SHARE = 0.06  # of the time, for the folds of each baseline
WARM_UP = 1.0  # seconds
CHOSEN_SHARE = 0.5  # of the time, for the folds of the estimator that the user chose
BASELINES_SHARE = 0.35  # of the time may be gone when a further baseline begins
FIT_SHARE = {"chosen": 0.3, "head": 0.15, "frozen": 0.15}  # of the time, for one fit
PROBES = (250, 1000)  # rows of two small fits, from which the time of a large one is foreseen
PROBED_FROM = 4000  # rows

Member = Head | Trees | Constant


def baselines(line: "Line") -> list[Candidate]:
    """Constant, a head on all inputs, on each alone, trees on the table columns; or the chosen estimator on all."""
    task, compared = line.task, line.compared()
    constant = cross_answers(
        lambda fitted, held: Constant(task.constant(line.labels[fitted])).answer_rows(line.source, held),
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
            line.say(f"  {title}")
            budget = tree_rounds(line, title, plain)
            if budget["rounds"]:
                found.append(fitted_candidate(line, title, "trees", plain, budget))
            else:
                line.notes.append(f"{title}: left out, the time does not hold {LEAST_ROUNDS} rounds of "
                                  f"{line.task.outputs} trees; give more --minutes")
                line.say(f"  {line.notes[-1]}")
    return found


def in_time(line: "Line", title: str, *, needed: bool = False) -> bool:
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


def fitted_candidate(
    line: "Line", title: str, kind: str, columns: Sequence[Column], budget: Mapping[str, int] | None = None
) -> Candidate:
    """Cross-validate a linear model or trees, on as many rows and folds as its share of the time holds.

    budget: rows and rounds of trees, as `tree_rounds` decides them.
    """
    began = time.perf_counter()
    rounds = None if budget is None else budget["rounds"]
    seed, whole = line.choices.seed, fitter(line, kind, columns, rounds)
    most = rows_in_time(line, title, kind, whole) if budget is None else budget["rows"]

    def fit(rows: np.ndarray) -> Member:
        return whole(sampled(rows, most, seed))

    first_rows, first_held = line.parts[0]
    started = time.perf_counter()
    member, converged = fit_and_listen(fit, first_rows)
    first = member.answer_rows(line.source, first_held)
    seconds = time.perf_counter() - started
    used: list[tuple[np.ndarray, np.ndarray]] = []

    def folds() -> Iterator[tuple[np.ndarray, np.ndarray]]:
        for number, part in enumerate(line.parts):
            if number and not _fold_in_time(line, title, kind, number, time.perf_counter() - began, seconds):
                return
            used.append(part)
            yield part

    def answer(fitted: np.ndarray, held: np.ndarray) -> np.ndarray:
        return first if held is first_held else fit(fitted).answer_rows(line.source, held)

    answers = cross_answers(answer, folds(), line.compared(), line.shape())
    line.clock.note("baselines", time.perf_counter() - began)
    notes = [f"{len(used)} of {len(line.parts)} folds"] if len(used) < len(line.parts) else []
    if len(first_rows) > most:
        notes.append(f"fitted on a sample of {most} rows" + ("" if most == HEAD_ROWS else ": the time holds no more"))
    if rounds is not None and rounds < MOST_ROUNDS:
        notes.append(f"at most {rounds} rounds: the time holds no more")
    return Candidate(title, kind, tuple(c.name for c in columns), answers, seconds, fit, member, note="; ".join(notes),
                     extra={"most rows": most, "converged": converged})


def fitter(
    line: "Line", kind: str, columns: Sequence[Column], rounds: int | None = None
) -> Callable[[np.ndarray], Member]:
    """A function that fits the model of this kind on the given rows."""

    def fit(rows: np.ndarray) -> Member:
        if line.task.classes and len(np.unique(line.labels[rows])) < 2:  # a rare class, all of it held out
            return Constant(line.task.constant(line.labels[rows]))
        if kind == "trees":
            return Trees.fit(line.source, columns, rows, line.labels, line.task, seed=line.choices.seed,
                             rounds=rounds, learning_rate=None if rounds is None else learning_rate(rounds))
        frozen = line.frozen if kind in ("frozen", "chosen") else {}
        chosen = line.choices.estimator if kind == "chosen" else None
        return Head.fit(line.source, columns, line.codecs, rows, line.labels, line.task, frozen, chosen)

    return fit


def rows_in_time(line: "Line", title: str, kind: str, fit: Callable[[np.ndarray], Member]) -> int:
    """On how many rows a model is fitted at most: where there are many, as its share of the time holds by two probes.

    t(n) = c·n^p through the probes, with 1 ≤ p ≤ 2. A stored decision; with a fixed number of epochs all rows.
    """
    rows = line.parts[0][0]
    ceiling = HEAD_ROWS if kind in ("head", "frozen") else len(line.source)
    wanted = min(len(rows), ceiling)
    closed = kind == "head" and len(line.task.classes) >= MANY_CLASSES  # a closed form: seconds on all of them
    if line.choices.epochs is not None or wanted < PROBED_FROM or closed:
        return ceiling

    def measured() -> int:
        seconds = []
        for size in PROBES:
            began = time.perf_counter()
            fit(sampled(rows, size, line.choices.seed))
            seconds.append(max(time.perf_counter() - began, 1e-4))
        power = min(max(math.log(seconds[1] / seconds[0]) / math.log(PROBES[1] / PROBES[0]), 1.0), 2.0)
        limit = FIT_SHARE[kind] * line.clock.seconds
        if seconds[1] * (wanted / PROBES[1]) ** power <= limit:
            return ceiling
        return max(PROBES[1], int(PROBES[1] * (limit / seconds[1]) ** (1 / power)))

    return line.memo.decide(f"rows of {title}", measured)


def _fold_in_time(line: "Line", title: str, kind: str, number: int, taken: float, first: float) -> bool:
    """Whether fold `number`, counted from 0, still fits into the model's share of the time. A stored decision.

    A first fold of less than `WARM_UP` seconds may have spent them on what is compiled or imported once: the later ones
    are then foreseen without it, for a choice on a fifth of few rows is hardly one.
    """
    share = CHOSEN_SHARE if kind == "chosen" else BASELINE_SHARE
    needed = taken * (1 + 1 / number)
    if first < WARM_UP:
        needed = (taken - first) * number / max(number - 1, 1)
    return line.memo.decide(f"fold {number + 1} of {title}",
                            lambda: line.choices.epochs is not None or needed <= share * line.clock.seconds)


def sampled(rows: np.ndarray, most: int, seed: int, name: str = "head rows") -> np.ndarray:
    """The rows, or so many of them; the draw follows from seed and name."""
    if len(rows) <= most:
        return rows
    return np.sort(generator(name, seed).choice(rows, most, replace=False))
