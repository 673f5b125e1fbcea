"""The verdict between candidates, one for every task: by how much one is better on the same rows, and which is kept.

Two candidates are compared by the differences of their row losses on the rows that both answered. The simpler one is
kept unless the other's mean loss is lower by more than the standard error of that difference, even if the one row that
speaks loudest had said the opposite: a difference of one or two rows is no reason to prefer a network.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from gradatim.evaluate.intervals import Z95

MARGIN = 1.0  # standard errors by which a less simple candidate must be better
AVERAGE_MARGIN = 0.5  # and an average: it is the safer of two equals
FEWER_ROWS = 2.0  # times these margins where one of the two answered fewer rows
# From simple to less simple; what the user chose by name stands beside the constant, so that no margin is asked of it.
SIMPLICITY = {
    "constant": 0, "chosen": 0, "local": 1, "head": 1, "frozen": 1, "crf": 1, "n-grams": 1, "pairs": 1, "global": 2,
    "trees": 2, "network": 3,
}


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the comparison of two candidates says.

    difference: by how much the second's mean loss is lower on `rows` shared rows, with its standard error `error` and
    95% interval `low` to `high`; tie: it is within the margin; kept: "first" or "second"; why: a sentence.
    """

    difference: float
    error: float
    low: float
    high: float
    rows: int
    tie: bool
    kept: str
    why: str


def compare(
    first: np.ndarray,
    second: np.ndarray,
    *,
    names: tuple[str, str] = ("the first", "the second"),
    measure: str = "loss",
    margin: float = MARGIN,
) -> Verdict:
    """The verdict on two candidates, the simpler one first.

    first, second: the loss of each row (N,), NaN where it was not answered; measure: what the losses are, in words;
    margin: in standard errors, `FEWER_ROWS` times as many where one answered rows that the other did not; 0 where
    neither is simpler, so that the lower mean is kept.

    >>> compare(np.full(50, 0.4), np.full(50, 0.3)).kept, compare(np.zeros(9), np.eye(9)[0]).kept
    ('second', 'first')
    """
    both = np.isfinite(first) & np.isfinite(second)
    gains = first[both] - second[both]
    rows = len(gains)
    if rows == 0:
        why = f"{names[0]} is kept: {names[1]} answered none of its rows"
        return Verdict(0.0, np.inf, -np.inf, np.inf, 0, True, "first", why)
    margin = margin if both.sum() == max(np.isfinite(first).sum(), np.isfinite(second).sum()) else FEWER_ROWS * margin
    gain = float(gains.mean())
    error = float(gains.std() / max(rows - 1, 1) ** 0.5)
    needed = margin * error + 2 * float(np.abs(gains).max()) / rows if margin else 0.0
    tie, kept = abs(gain) <= needed, "second" if gain > needed else "first"
    said = f"{measure} {second[both].mean():.4f} against {first[both].mean():.4f} on {rows} rows, a difference of " \
           f"{gain:+.4f} ± {error:.4f}"
    if kept == "second":
        why = f"{names[1]} is better than {names[0]}: {said}"
    elif tie and margin:
        why = f"{names[0]} is kept, the simpler of two that differ by no more than chance ({names[1]}: {said})"
    else:
        why = f"{names[0]} is better than {names[1]}: {said}"
    return Verdict(gain, error, gain - Z95 * error, gain + Z95 * error, rows, tie, kept, why)


def best_single(
    names: Sequence[str], kinds: Sequence[str], losses: Sequence[np.ndarray], measure: str = "loss"
) -> tuple[int, Verdict | None]:
    """The place of the candidate that is kept, and the last verdict on it.

    From the simplest kind to the least simple, each must beat the one that is kept so far on the rows that both
    answered. Among candidates of one kind that answered the same rows the lowest loss wins, and a linear model needs
    no margin over the constant: its penalty draws it there already.
    """
    ranks = [SIMPLICITY[kind] for kind in kinds]
    means = [float(np.nanmean(loss)) if np.isfinite(loss).any() else np.inf for loss in losses]
    order = sorted(range(len(names)), key=lambda place: (ranks[place], means[place]))
    kept, last = order[0], None
    for place in order[1:]:
        same = np.array_equal(np.isfinite(losses[place]), np.isfinite(losses[kept]))
        alike = (ranks[place] <= 1 and ranks[kept] == 0) or (ranks[place] == ranks[kept] and same)
        found = compare(losses[kept], losses[place], names=(names[kept], names[place]), measure=measure,
                        margin=0.0 if alike else MARGIN)
        if found.rows and (found.kept == "second" or last is None or not alike):
            last = found
        kept = place if found.kept == "second" else kept
    return kept, last


def pseudo_values(counts: np.ndarray, statistic: Callable[[np.ndarray, int], np.ndarray]) -> np.ndarray:
    """The share of each row in a statistic of summed counts, (N,), so that such statistics are compared row by row.

    counts (N, K): what a row adds (entities right, said, true); statistic: sums (M, K) over so many rows → values (M,).
    The jackknife's pseudo-values N·θ − (N − 1)·θ without the row (Tukey 1958): their mean is θ without its bias, their
    spread gives the standard error.

    >>> pseudo_values(np.array([[1.0], [3.0]]), lambda sums, rows: sums[:, 0] / rows).tolist()
    [1.0, 3.0]
    """
    total, rows = counts.sum(axis=0), len(counts)
    if rows < 2:
        return statistic(total[None], rows)
    return rows * statistic(total[None], rows) - (rows - 1) * statistic(total - counts, rows - 1)
