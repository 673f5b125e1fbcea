"""One metric as high as it gets while others keep their bounds: 'highest recall with precision ≥ 0.9'.

Choose the threshold on development rows and read its values on test rows: on the rows of the choice they flatter.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from gradatim.errors import DataError
from gradatim.evaluate.intervals import Interval, mean_of_proportions, wilson
from gradatim.evaluate.metric_intervals import f1_interval

Counts = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]


@dataclass(frozen=True, slots=True)
class Bound:
    """`quantity` at least (or at most) `value`."""

    quantity: str
    direction: Literal[">=", "<="]
    value: float


@dataclass(frozen=True, slots=True)
class Goal:
    """What to make highest or lowest, and the bounds to keep."""

    quantity: str
    highest: bool
    bounds: tuple[Bound, ...]


def _ratio(above: np.ndarray, below: np.ndarray, empty: float) -> np.ndarray:
    return np.divide(above, below, out=np.full(len(above), empty), where=below > 0)


# From true positives, false positives, false negatives, true negatives at each threshold.
_QUANTITIES: dict[str, Callable[[Counts], np.ndarray]] = {
    # Calling nothing positive has no precision to boast of.
    "precision": lambda c: _ratio(c[0], c[0] + c[1], 0.0),
    "recall": lambda c: _ratio(c[0], c[0] + c[2], 0.0),
    "specificity": lambda c: _ratio(c[3], c[3] + c[1], 1.0),
    "false positive rate": lambda c: _ratio(c[1], c[3] + c[1], 0.0),
    "accuracy": lambda c: (c[0] + c[3]) / sum(c),
    "balanced accuracy": lambda c: (_ratio(c[0], c[0] + c[2], 0.0) + _ratio(c[3], c[3] + c[1], 1.0)) / 2,
    "f1": lambda c: _ratio(2 * c[0], 2 * c[0] + c[1] + c[2], 0.0),
}
_OTHER_NAMES = {"sensitivity": "recall", "true positive rate": "recall", "fpr": "false positive rate", "f": "f1",
                "tpr": "recall", "hit rate": "recall", "false alarm rate": "false positive rate"}
_GOAL = re.compile(
    r"(highest|best|maximum|max|lowest|minimum|min) ([a-z0-9 ]+?)(?: (?:with|where|subject to|at) (.+))?"
)
_BOUND = re.compile(
    r"(?P<name>[a-z0-9 ]+?)\s*(?P<sign>>=|<=|≥|≤|>|<|at least|at most)\s*(?P<value>[\d.]+)\s*(?P<percent>%?)"
)


def parse_goal(text: str) -> Goal:
    """Read 'highest recall with precision >= 0.9 and accuracy ≥ 80 %', or 'highest f1'.

    >>> parse_goal("highest recall with precision ≥ 0.9").bounds
    (Bound(quantity='precision', direction='>=', value=0.9),)
    """
    clean = " ".join(text.lower().replace("_", " ").split())
    match = _GOAL.fullmatch(clean)
    if not match:
        raise DataError(f"expected a goal such as 'highest recall with precision >= 0.9', received '{text}'")
    bounds = []
    for part in re.split(r" and |,", match.group(3) or ""):
        if not part.strip():
            continue
        found = _BOUND.fullmatch(part.strip())
        try:
            value = float(found.group("value")) / (100 if found.group("percent") else 1) if found else -1.0
        except ValueError:
            value = -1.0
        if not found or not 0 <= value <= 1:
            raise DataError(f"expected a bound such as 'precision >= 0.9' from 0 to 1, received '{part.strip()}'")
        sign: Literal[">=", "<="] = ">=" if found.group("sign") in (">=", "≥", ">", "at least") else "<="
        bounds.append(Bound(_quantity(found.group("name")), sign, value))
    return Goal(_quantity(match.group(2)), match.group(1) in ("highest", "best", "maximum", "max"), tuple(bounds))


def choose_threshold(
    labels: np.ndarray, scores: np.ndarray, goal: Goal | str, *, positive: str = "positive"
) -> dict[str, Any]:
    """The threshold that reaches the goal: rows with a score at or above it are called positive.

    labels bool or 0/1 (N,), scores (N,). Gives {feasible, threshold, goal, values: {quantity: {value, low, high}},
    sentence}. When no threshold keeps the bounds, `feasible` is False and the threshold is the one that comes
    nearest. Of equal thresholds the highest is taken (the fewest positives).
    """
    goal = parse_goal(goal) if isinstance(goal, str) else goal
    positives, scores = np.asarray(labels).astype(bool), np.asarray(scores, dtype=np.float64)
    if len(scores) == 0 or len(scores) != len(positives) or not np.isfinite(scores).all():
        raise DataError(f"expected a finite score for each of {len(positives)} labels and at least one row")
    if positives.all() or not positives.any():
        raise DataError("expected rows of both classes to choose a threshold, received one class only")
    thresholds, counts = _counts(positives, scores)
    missed = np.zeros(len(thresholds))
    for bound in goal.bounds:
        value = _QUANTITIES[bound.quantity](counts)
        gap = bound.value - value if bound.direction == ">=" else value - bound.value
        missed = np.maximum(missed, gap.clip(0))
    feasible = missed <= 1e-12
    objective = _QUANTITIES[goal.quantity](counts) * (1 if goal.highest else -1)
    place = int(np.where(feasible, objective, -np.inf).argmax()) if feasible.any() else int(missed.argmin())
    named = dict.fromkeys([goal.quantity, *(bound.quantity for bound in goal.bounds), "precision", "recall"])
    cell = tuple(float(part[place]) for part in counts)
    values = {name: _value(name, cell) for name in named}
    answer = {"feasible": bool(feasible.any()), "threshold": float(thresholds[place]), "positive": positive,
              "goal": describe(goal), "rows": len(scores), "values": values}
    return {**answer, "sentence": _sentence(answer, goal)}


def values_at(labels: np.ndarray, scores: np.ndarray, threshold: float) -> dict[str, dict[str, float]]:
    """Every quantity at a given threshold with its interval, for the rows that the threshold was not chosen on."""
    positives = np.asarray(labels).astype(bool)
    called = np.asarray(scores) >= threshold
    cell = tuple(float(part.sum()) for part in
                 (positives & called, ~positives & called, positives & ~called, ~positives & ~called))
    return {name: _value(name, cell) for name in _QUANTITIES}


def describe(goal: Goal) -> str:
    """The goal in words."""
    text = f"{'highest' if goal.highest else 'lowest'} {goal.quantity}"
    bounds = [f"{b.quantity} {'≥' if b.direction == '>=' else '≤'} {b.value:g}" for b in goal.bounds]
    return text + (" with " + " and ".join(bounds) if bounds else "")


def _counts(positives: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, Counts]:
    """Thresholds from 'none is positive' down through the distinct scores, and the four counts at each."""
    order = np.argsort(-scores, kind="stable")
    last = np.append(np.flatnonzero(np.diff(scores[order])), len(scores) - 1)
    hits = np.append(0, np.cumsum(positives[order])[last]).astype(np.float64)
    alarms = np.append(0, last + 1).astype(np.float64) - hits
    thresholds = np.append(np.nextafter(scores.max(), np.inf), scores[order][last])
    return thresholds, (hits, alarms, positives.sum() - hits, (~positives).sum() - alarms)


def _value(name: str, cell: tuple[float, ...]) -> dict[str, float]:
    hit, alarm, miss, pass_ = cell
    value = float(_QUANTITIES[name](tuple(np.array([part]) for part in cell))[0])  # type: ignore[arg-type]
    limits: Interval = {
        "precision": lambda: wilson(hit, hit + alarm),
        "recall": lambda: wilson(hit, hit + miss),
        "specificity": lambda: wilson(pass_, pass_ + alarm),
        "false positive rate": lambda: wilson(alarm, pass_ + alarm),
        "accuracy": lambda: wilson(hit + pass_, sum(cell)),
        "f1": lambda: f1_interval(int(hit), int(hit + alarm + miss)),
        "balanced accuracy": lambda: mean_of_proportions(
            np.array([hit, pass_]), np.array([max(hit + miss, 1), max(pass_ + alarm, 1)])),
    }[name]()
    return {"value": value, "low": limits[0], "high": limits[1]}


def _quantity(name: str) -> str:
    name = name.strip()
    name = _OTHER_NAMES.get(name, name)
    if name not in _QUANTITIES:
        raise DataError(f"expected one of {', '.join(_QUANTITIES)}; received '{name}'")
    return name


def _sentence(answer: dict[str, Any], goal: Goal) -> str:
    parts = [f"{name} {v['value']:.1%} [{v['low']:.1%}, {v['high']:.1%}]" for name, v in answer["values"].items()]
    text = (f"threshold {answer['threshold']:.4g} for '{answer['positive']}': {', '.join(parts)} "
            f"on {answer['rows']} rows")
    if answer["feasible"]:
        return f"{answer['goal'].capitalize()}: {text}."
    return f"No threshold keeps '{answer['goal']}'; the nearest is {text}."
