"""Choosing between candidates on development rows, and averaging them where the average wins.

Every candidate answers rows that it was not fitted on: folds under 2,000 rows, else the development part. The measure
is the mean row loss (log loss, squared error) of the answers after their own temperature. The average is built by
greedy forward selection with replacement (Caruana et al. 2004, Ensemble selection from libraries of models).
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from gradatim.errors import GradatimError
from gradatim.evaluate.calibrate import fit_temperature

ROUNDS = 20


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

    The average is taken when its row losses are below the best single candidate's by more than half the standard
    error of the paired difference: a smaller gain is chance, and one member is simpler than two.
    """
    shared = np.logical_and.reduce([candidate.answered() for candidate in candidates])
    losses = np.array([task.row_losses(c.answers[shared], labels[shared]).mean() for c in candidates])
    best = int(np.argmin(losses))
    counts = np.zeros(len(candidates))
    total = np.zeros_like(candidates[0].answers[shared])
    trail: list[tuple[float, np.ndarray]] = []
    for round_number in range(1, ROUNDS + 1):
        trials = [
            task.row_losses((total + c.answers[shared]) / round_number, labels[shared]).mean() for c in candidates
        ]
        pick = int(np.argmin(trials))
        total = total + candidates[pick].answers[shared]
        counts[pick] += 1
        trail.append((float(trials[pick]), counts.copy()))
    _loss, chosen = min(trail, key=lambda entry: entry[0])
    weights = chosen / chosen.sum()
    weights[weights < 0.08] = 0.0
    weights = weights / weights.sum()
    single = np.zeros(len(candidates))
    single[best] = 1.0
    averaged = sum(w * c.answers[shared] for w, c in zip(weights, candidates))
    gain = task.row_losses(candidates[best].answers[shared], labels[shared]) - task.row_losses(
        averaged, labels[shared]
    )
    error = gain.std() / max(len(gain), 1) ** 0.5
    measure = task.loss_title
    if (weights > 0).sum() > 1 and gain.mean() > 0.5 * error:
        final = weights
        names = " + ".join(f"{w:.0%} {c.name}" for w, c in zip(weights, candidates) if w > 0)
        why = (f"the average of {names} has {measure} {losses[best] - gain.mean():.4f} on {shared.sum()} rows, "
               f"{gain.mean():.4f} ± {error:.4f} below the best single candidate, {candidates[best].name}")
    else:
        final = single
        why = (f"{candidates[best].name} has the lowest {measure}, {losses[best]:.4f} on {shared.sum()} rows; "
               "no average beats it by more than chance")
    for candidate, weight in zip(candidates, final):
        candidate.weight = float(weight)
    return why, shared


def verdict_on_network(candidates: Sequence[Candidate], labels: np.ndarray, task: Any) -> str:
    """Says in one sentence whether the network beats the best baseline, with the paired difference."""
    networks = [candidate for candidate in candidates if candidate.kind == "network"]
    others = [candidate for candidate in candidates if candidate.kind != "network"]
    if not networks or not others:
        return ""
    network = networks[0]
    seen = network.answered()
    def mean_loss(candidate: Candidate) -> float:
        rows = seen & candidate.answered()
        return float(task.row_losses(candidate.answers[rows], labels[rows]).mean())

    rival = min(others, key=mean_loss)
    rows = seen & rival.answered()
    gain = task.row_losses(rival.answers[rows], labels[rows]) - task.row_losses(network.answers[rows], labels[rows])
    error = gain.std() / max(len(gain), 1) ** 0.5
    beats = gain.mean() > 0
    return (f"the network {'beats' if beats else 'does not beat'} the best baseline ({rival.name}) on the development "
            f"rows: loss {'lower' if beats else 'higher'} by {abs(gain.mean()):.4f} ± {error:.4f}"
            + ("" if beats else "; averaged with the others it helps" if network.weight > 0 else "; it is left out"))


def stretch(parts: Mapping[str, float]) -> str:
    """Seconds by part as one phrase."""
    return ", ".join(f"{name} {seconds:.1f} s" for name, seconds in parts.items())
