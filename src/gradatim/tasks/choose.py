"""Choosing between candidates on development rows, and averaging them where the average wins.

Every candidate answers rows that it was not fitted on: folds under 2,000 rows, else the development part. The measure
is the mean row loss (log loss, squared error) of the answers after their own temperature, compared row by row
(gradatim.tasks.selection). The average is built by greedy forward selection with replacement (Caruana et al. 2004,
Ensemble selection from libraries of models).
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from gradatim.errors import GradatimError
from gradatim.evaluate.calibrate import fit_temperature
from gradatim.tasks.selection import AVERAGE_MARGIN, best_single, compare

ROUNDS = 20
LEAST_WEIGHT = 0.08  # a member with less in an average is left out


@dataclass(slots=True)
class Candidate:
    """One way to answer. `answers` covers the choice rows; NaN where it did not answer. `seconds` to fit once.

    `refit(rows)` fits it anew on the given rows and returns the member.
    """

    name: str
    kind: str
    columns: tuple[str, ...]
    answers: np.ndarray
    seconds: float
    refit: Callable[[np.ndarray], Any] | None = None
    fitted: Any = None
    temperature: float = 1.0
    weight: float = 0.0
    note: str = ""
    extra: dict[str, Any] = field(default_factory=dict)

    def answered(self) -> np.ndarray:
        """Which choice rows it answered, bool."""
        return np.isfinite(self.answers.reshape(len(self.answers), -1)).all(axis=1)


def cross_answers(
    fit_and_answer: Callable[[np.ndarray, np.ndarray], np.ndarray],
    folds: Iterable[tuple[np.ndarray, np.ndarray]],
    rows: np.ndarray,
    shape: tuple[int, ...],
) -> np.ndarray:
    """Answers of rows held out by the folds, (len(rows), *shape); rows answered by several repeats are averaged."""
    total = np.zeros((len(rows), *shape))
    times = np.zeros(len(rows))
    place = {int(row): number for number, row in enumerate(rows)}
    for fitted_on, held_out in folds:
        where = np.array([place[int(row)] for row in held_out], dtype=np.int64)
        total[where] += fit_and_answer(fitted_on, held_out)
        times[where] += 1
    answers = np.full_like(total, np.nan)
    seen = times > 0
    answers[seen] = total[seen] / times[seen].reshape(-1, *([1] * len(shape)))
    return answers


def answering(candidates: Sequence[Candidate], notes: list[str]) -> list[Candidate]:
    """The candidates that gave some row a finite answer; another is named in `notes`, the user's own choice refused."""
    kept = []
    for candidate in candidates:
        if candidate.answered().any():
            kept.append(candidate)
        elif candidate.kind == "chosen":
            raise GradatimError(f"--estimator {candidate.name}: expected finite answers, found none; "
                                "look for huge numbers in the target, or choose another estimator")
        else:
            notes.append(f"{candidate.name}: left out, its answers to all rows were no finite numbers")
    return kept


def temper(candidates: Sequence[Candidate], labels: np.ndarray, task: Any) -> None:
    """Fit each candidate's temperature on the rows that it answered; regression has none."""
    if not task.classes:
        return
    for candidate in candidates:
        seen = candidate.answered()
        candidate.temperature = fit_temperature(labels[seen], candidate.answers[seen])
        candidate.answers[seen] = task.calibrated(candidate.answers[seen], candidate.temperature)


def weigh(candidates: Sequence[Candidate], labels: np.ndarray, task: Any) -> tuple[str, np.ndarray]:
    """Set the weight of each candidate; returns the sentence that says why and the rows it was decided on.

    First the single best, the simpler one at a tie; then, for the candidates that answered most rows and again with
    each that answered fewer, the greedy average, which must beat what is kept by more than half the standard error of
    the paired difference.
    """
    measure = task.loss_title
    losses = [_losses(candidate.answers, labels, task) for candidate in candidates]
    names = [candidate.name for candidate in candidates]
    place, verdict = best_single(names, [candidate.kind for candidate in candidates], losses, measure)
    weights, kept = np.eye(len(candidates))[place], losses[place]
    why = verdict.why if verdict is not None else f"{names[place]} is the only candidate"
    found = f"{names[place]} is kept, {measure} {np.nanmean(kept):.4f} on {np.isfinite(kept).sum()} rows: {why}"
    why = found + "; no average beats it by more than chance"
    answered = [int(np.isfinite(loss).sum()) for loss in losses]
    for fewest in sorted({count for count in answered if count}, reverse=True):
        pool = [number for number, count in enumerate(answered) if count >= fewest]
        rows = np.logical_and.reduce([np.isfinite(losses[number]) for number in pool])
        if len(pool) < 2 or not rows.any():
            continue
        shares = np.zeros(len(candidates))
        shares[pool] = greedy_average([candidates[number].answers[rows] for number in pool], labels[rows], task)
        if np.count_nonzero(shares) < 2:
            continue
        average = _losses(np.sum([s * c.answers for s, c in zip(shares, candidates) if s > 0], axis=0), labels, task)
        gain = compare(kept, average, names=(_shown(names, weights), _shown(names, shares)), measure=measure,
                       margin=AVERAGE_MARGIN)
        if gain.kept == "second":
            weights, kept = shares, average
            why = (f"the average of {_shown(names, shares)} has {measure} {np.nanmean(average[rows]):.4f} on "
                   f"{gain.rows} rows, {gain.difference:.4f} ± {gain.error:.4f} below the best before it")
    for candidate, weight in zip(candidates, weights):
        candidate.weight = float(weight)
    return why, np.isfinite(kept)


def greedy_average(answers: Sequence[np.ndarray], labels: np.ndarray, task: Any) -> np.ndarray:
    """The weights of the average with the lowest mean row loss, by greedy forward selection with replacement."""
    counts = np.zeros(len(answers))
    total = np.zeros_like(answers[0])
    trail: list[tuple[float, np.ndarray]] = []
    for round_number in range(1, ROUNDS + 1):
        trials = [task.row_losses((total + answer) / round_number, labels).mean() for answer in answers]
        pick = int(np.argmin(trials))
        total = total + answers[pick]
        counts[pick] += 1
        trail.append((float(trials[pick]), counts.copy()))
    _loss, chosen = min(trail, key=lambda entry: entry[0])
    weights = chosen / chosen.sum()
    weights[weights < LEAST_WEIGHT] = 0.0
    return np.asarray(weights / weights.sum())


def _losses(answers: np.ndarray, labels: np.ndarray, task: Any) -> np.ndarray:
    """The loss of each row (N,), NaN where it was not answered."""
    seen = np.isfinite(answers.reshape(len(answers), -1)).all(axis=1)
    found = np.full(len(answers), np.nan)
    if seen.any():
        found[seen] = task.row_losses(answers[seen], labels[seen])
    return found


def _shown(names: Sequence[str], weights: np.ndarray) -> str:
    used = [(name, weight) for name, weight in zip(names, weights) if weight > 0]
    return used[0][0] if len(used) == 1 else " + ".join(f"{weight:.0%} {name}" for name, weight in used)


def verdict_on_network(candidates: Sequence[Candidate], labels: np.ndarray, task: Any) -> str:
    """Says in one sentence whether the network beats the best baseline, with the paired difference."""
    networks = [candidate for candidate in candidates if candidate.kind == "network"]
    others = [candidate for candidate in candidates if candidate.kind != "network"]
    if not networks or not others:
        return ""
    losses = [_losses(candidate.answers, labels, task) for candidate in networks]
    network, own = min(zip(networks, losses), key=lambda pair: np.nanmean(pair[1]))
    rivals = [(other, _losses(other.answers, labels, task)) for other in others]
    shared = [(other, loss) for other, loss in rivals if np.isfinite(own + loss).any()]
    if not shared:
        return ""
    rival, theirs = min(shared, key=lambda pair: np.nanmean(np.where(np.isfinite(own), pair[1], np.nan)))
    found = compare(theirs, own)
    beats, lower = found.kept == "second", "lower" if found.difference > 0 else "higher"
    return (f"the network {'beats' if beats else 'does not beat'} the best baseline ({rival.name}) on the "
            f"{found.rows} development rows that both answered: loss {lower} by "
            f"{abs(found.difference):.4f} ± {found.error:.4f}"
            + (", no more than chance" if found.tie else "")
            + ("" if beats else "; averaged with the others it helps" if network.weight > 0 else "; it is left out"))


def stretch(parts: Mapping[str, float]) -> str:
    """Seconds by part as one phrase."""
    return ", ".join(f"{name} {seconds:.1f} s" for name, seconds in parts.items())
