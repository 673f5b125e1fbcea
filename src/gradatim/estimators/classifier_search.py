"""How `logistic` looks for coefficients: which solver for which penalty, classes apart or at once, and which C."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from gradatim.estimators.descent import Path, Rule, descend
from gradatim.estimators.folds import stratified_folds
from gradatim.estimators.lbfgs import Minimum, Observe, minimise
from gradatim.estimators.likelihood import Design, Likelihood, losses, scores_of, sigmoid
from gradatim.estimators.newton import minimise_newton
from gradatim.estimators.sparse_likelihood import minimise_sparse

# While C is chosen the loss need only be known better than it differs between neighbouring values.
PATH_TOLERANCE = 1e-5
# Times the inverse mean squared length of the rows: weights under which scores spread by some two nats either way.
USUAL_C = 5.0
# The walk over C ends when this many values in a row were worse than the best one.
PATIENCE = 2


@dataclass(frozen=True, slots=True)
class Search:
    """What the arguments of a `LogisticRegression` ask for.

    outputs: columns of the parameters; apart: each is one class against the rest; rule: of a gradient descent.
    """

    solver: str
    l1_ratio: float
    outputs: int
    apart: bool
    intercept: bool
    max_iter: int
    rule: Rule | None
    random_state: int

    def minima(
        self,
        design: Design,
        labels: np.ndarray,
        weights: np.ndarray,
        C: float,
        start: np.ndarray,
        tol: float,
        observe: Observe | None = None,
    ) -> list[Minimum]:
        """The minimum over all parameters (m + 1, outputs), or where classes are apart those over each column."""
        if not self.apart:
            return [self._minimum(design, labels, weights, C, start, self.outputs, tol, observe)]
        found: list[Minimum] = []
        for place in range(self.outputs):
            every, place_of = start.copy(), place
            for before, one in enumerate(found):
                every[:, before] = one.parameters[:, 0]

            def watch(
                parameters: np.ndarray, value: float, step: int, every: np.ndarray = every, place: int = place_of
            ) -> bool:
                shown = every.copy()
                shown[:, place] = parameters[:, 0]
                return observe is not None and observe(shown, value, step)

            inside = (labels == place).astype(np.intp)
            shown_to = None if observe is None else watch
            found.append(self._minimum(design, inside, weights, C, start[:, [place]], 1, tol, shown_to))
        return found

    def _minimum(
        self,
        design: Design,
        labels: np.ndarray,
        weights: np.ndarray,
        C: float,
        start: np.ndarray,
        outputs: int,
        tol: float,
        observe: Observe | None,
    ) -> Minimum:
        total = weights.sum()
        strength = 1 / (C * total)
        objective = Likelihood(design, labels, weights / total, (1 - self.l1_ratio) * strength, outputs, self.intercept)
        resolution = float(np.finfo(design.matrix.dtype).eps) / 4
        options: dict[str, Any] = {"tol": tol, "max_iter": self.max_iter, "resolution": resolution, "observe": observe}
        if self.l1_ratio:
            return minimise_sparse(objective, self.l1_ratio * strength, start, **options)
        if self.solver == "newton-cg":
            objective.remember = True
            return minimise_newton(
                objective.evaluate, objective.hessian_product, start, objective.precondition, **options
            )
        if self.rule is not None:
            path = ascend(objective, start, self.rule, self.random_state, observe)
            return Minimum(
                path.parameters,
                path.costs[-1],
                path.iterations,
                path.iterations,
                path.ending in ("converged", "stopped"),
            )
        return minimise(objective.evaluate, start, objective.precondition, **options)


class Diverged(Exception):
    """A gradient ascent that left for infinity; `args[0]` is its `Path`."""


def ascend(objective: Likelihood, start: np.ndarray, rule: Rule, random_state: int, observe: Observe | None) -> Path:
    """Gradient ascent of the mean log-likelihood less its penalty, which is descent of the objective."""
    rows = len(objective.labels)
    scale = objective.weights.sum() / rows

    def evaluate(parameters: np.ndarray, chosen: np.ndarray | None) -> tuple[float, np.ndarray]:
        if chosen is None:
            return objective.evaluate(parameters)
        shares = objective.weights[chosen] / (scale * len(chosen))
        part = replace(objective, design=objective.design.rows(chosen), labels=objective.labels[chosen], weights=shares)
        return part.evaluate(parameters)

    path = descend(evaluate, start, rows, rule, random=np.random.default_rng(random_state), observe=observe)
    if path.ending == "diverged":
        raise Diverged(path)
    return path


def choose_penalty(
    search: Search,
    design: Design,
    labels: np.ndarray,
    weights: np.ndarray,
    groups: np.ndarray | None,
    Cs: ArrayLike | None,
    folds: int | None,
    seed: int,
) -> tuple[float, np.ndarray, np.ndarray]:
    """The C that is most probable given the held-out rows, walking from strong to weak penalties; Cs and losses.

    Least is the held-out log loss of all rows plus a log-normal prior on C around `USUAL_C`, worth half a nat at e
    times as much: five folds of 40 rows that happen to be separable would else ask for no penalty at all.
    """
    scale = 1 / max(float(design.variances.sum()), 1e-12)
    grid = scale * np.logspace(-2, 4, 13) if Cs is None else np.sort(np.asarray(Cs, dtype=float))
    held = _held_out(labels, groups, folds, seed)
    if not held:
        return float(grid[len(grid) // 3]), grid[:0], np.zeros(0)
    rest = [np.setdiff1d(np.arange(len(labels)), rows) for rows in held]
    trains, tests = [design.rows(rows) for rows in rest], [design.rows(rows) for rows in held]
    starts = [np.zeros((design.matrix.shape[1] + 1, search.outputs)) for _ in held]
    prior = np.zeros(len(grid)) if Cs is not None else np.log(grid / scale / USUAL_C) ** 2 / 2 / len(labels)
    scores: list[float] = []
    for C in grid:
        total = 0.0
        for place, (inside, outside) in enumerate(zip(rest, held)):
            found = search.minima(trains[place], labels[inside], weights[inside], C, starts[place], PATH_TOLERANCE)
            starts[place] = np.hstack([one.parameters for one in found])
            loss = _loss(tests[place], starts[place], labels[outside], search.apart)
            total += float(weights[outside] @ loss)
        scores.append(total / sum(weights[rows].sum() for rows in held))
        if len(scores) - int(np.argmin(scores + prior[: len(scores)])) > PATIENCE:
            break
    return float(grid[int(np.argmin(scores + prior[: len(scores)]))]), grid[: len(scores)], np.array(scores)


def _held_out(labels: np.ndarray, groups: np.ndarray | None, folds: int | None, seed: int) -> list[np.ndarray]:
    """Row numbers of every part that is held out."""
    rows = len(labels)
    if folds is None:
        count, used = (5, 5) if rows < 5000 else (3, 3) if rows < 20_000 else (5, 1)
    else:
        count = used = folds
    places = stratified_folds(labels, count, seed=seed, groups=None if groups is None else np.asarray(groups))
    parts = [np.flatnonzero(places == fold) for fold in range(used)]
    return [part for part in parts if 0 < len(part) < rows]


def _loss(design: Design, parameters: np.ndarray, labels: np.ndarray, apart: bool) -> np.ndarray:
    """Cross entropy (n,) in nats of the rows of a design."""
    coefficients = np.ascontiguousarray(parameters[:-1], dtype=design.matrix.dtype)
    offset = parameters[-1] - design.means @ parameters[:-1]
    scores = scores_of(design.matrix, coefficients) + offset[:, None]
    if not apart:
        return losses(scores, labels)[0]
    each = np.maximum(sigmoid(scores), np.finfo(scores.dtype).tiny)
    return np.log(each.sum(0)) - np.log(each[labels, np.arange(len(labels))])
