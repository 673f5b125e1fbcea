"""From the chosen candidates to what is scored, and from there to what is saved.

What is saved is fitted again on all labelled rows only where that could be done as it was done for the score: where
the time does not hold it, or a network's training was broken off, the scored models are saved, and the card says so.
"""

import warnings
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.exceptions import ConvergenceWarning

from gradatim.tasks.choose import Candidate
from gradatim.tasks.constant import Constant
from gradatim.tasks.members import Ensemble, Member

if TYPE_CHECKING:
    from gradatim.tasks.supervised import Line

SHARE_KEPT = 0.02  # of the time is kept back for answers
NEARLY_ALL = 0.95  # from this share of the labelled rows in the training part, nothing is fitted again
AGAIN = "the models that are saved were then fitted again on all labelled rows"
AS_SCORED = "the models that are saved are those that were scored"


def scored_members(line: "Line", used: Sequence[Candidate]) -> list[list[Member]]:
    """The members of each candidate, fitted on choice rows only."""
    found: list[list[Member]] = []
    for candidate in used:
        if candidate.kind == "network":
            found.append(list(candidate.extra["scored"]()))
        elif not line.folded:
            found.append([candidate.fitted or _fitted(candidate, line.split.train)])
        elif _in_time(line, candidate, len(line.rows), "choice"):
            found.append([_fitted(candidate, line.rows)])
        else:
            line.notes.append(f"{candidate.name}: fitted on {len(line.parts[0][0])} of {len(line.rows)} choice rows, "
                              "the time holds no more; give more --minutes")
            found.append([candidate.fitted])
    return found


def final_members(
    line: "Line", used: Sequence[Candidate], scored: Sequence[list[Member]]
) -> tuple[list[list[Member]], str]:
    """The members of each candidate fitted again on all labelled rows, or the scored ones; and which, as a sentence."""
    rows = np.sort(np.concatenate([line.rows, line.split.test]))
    found: list[list[Member]] = []
    again: list[str] = []
    kept: list[str] = []
    for candidate, members in zip(used, scored):
        if candidate.kind == "network":
            refitted = candidate.extra["final"]()
        elif not line.folded and len(line.split.train) >= NEARLY_ALL * len(rows):
            line.notes.append(f"{candidate.name} was not fitted again: its training part holds over "
                              f"{NEARLY_ALL:.0%} of the labelled rows")
            refitted = None
        else:
            refitted = _refitted(line, candidate, members[0], rows)
        found.append(members if refitted is None else refitted)
        (kept if refitted is None else again).append(candidate.name)
    if not kept:
        return found, AGAIN
    if not again:
        return found, AS_SCORED
    return found, f"then fitted again on all labelled rows: {', '.join(again)}; saved as scored: {', '.join(kept)}"


def ensemble(
    line: "Line", used: Sequence[Candidate], members: Sequence[list[Member]], temperature: float, uniform_share: float
) -> Ensemble:
    """The weighted average; the members of a candidate share its weight and have its temperature."""
    parts = [(member, candidate.weight / len(group), candidate.temperature)
             for candidate, group in zip(used, members) for member in group]
    every, weights, temperatures = zip(*parts)
    return Ensemble(every, weights, line.task, temperature, temperatures, uniform_share)


def refit_seconds(line: "Line", candidates: Sequence[Candidate]) -> float:
    """Seconds to reserve for fitting baselines again: of the two that take longest, for in the end few are used."""
    labelled = len(line.rows) + len(line.split.test)
    counts = [len(line.rows), labelled] if line.folded else [labelled]
    costs = sorted(sum(_seconds(line, candidate, count) for count in counts) for candidate in candidates)
    return sum(costs[-2:])


def fit_and_listen(fit: Callable[[np.ndarray], Any], rows: np.ndarray) -> tuple[Any, bool]:
    """What `fit(rows)` gives, and whether its search came to its end: no ConvergenceWarning. Warnings are passed on."""
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        found = fit(rows)
    for one in heard:
        warnings.warn_explicit(one.message, one.category, one.filename, one.lineno)
    return found, not any(issubclass(one.category, ConvergenceWarning) for one in heard)


def _refitted(line: "Line", candidate: Candidate, scored: Member, rows: np.ndarray) -> list[Member] | None:
    """Fitted on all labelled rows; None, and said, where that is not possible as it was for the score."""
    assert candidate.refit is not None
    why = "the time that was left does not hold it"
    if _in_time(line, candidate, len(rows), "labelled"):
        member, converged = fit_and_listen(candidate.refit, rows)
        if isinstance(member, Constant) and not isinstance(scored, Constant):
            why = "the sample of rows held one class only"
        elif not converged and candidate.extra.get("converged", True):
            why = "that fit did not converge"
        else:
            return [member]
    line.notes.append(f"{candidate.name} was not fitted again on all labelled rows: {why}; the scored one is kept")
    line.say(f"  {line.notes[-1]}")
    return None


def _fitted(candidate: Candidate, rows: np.ndarray) -> Member:
    assert candidate.refit is not None
    return candidate.refit(rows)


def _seconds(line: "Line", candidate: Candidate, rows: int) -> float:
    """Seconds foreseen for a fit on so many rows, by the first one."""
    most = candidate.extra.get("most rows", rows)
    return candidate.seconds * max(1.0, min(rows, most) / max(min(len(line.parts[0][0]), most), 1))


def _in_time(line: "Line", candidate: Candidate, rows: int, which: str) -> bool:
    """Whether a fit on so many rows fits into what is left. A stored decision."""
    return line.memo.decide(
        f"{candidate.name} on all {which} rows",
        lambda: line.choices.epochs is not None
        or _seconds(line, candidate, rows) <= line.clock.left(share_kept=SHARE_KEPT),
    )
