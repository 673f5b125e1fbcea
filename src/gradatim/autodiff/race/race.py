"""Race optimisers down a surface: who arrives, after how many steps, and what happened to those who did not.

Every racer starts at the same point and sees the same noise. Without a rate of yours each runs at its best one of
1, 2, 5, 10 … on that surface (`race_rates.py`): a race at one common rate compares the rate, not the rule.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from gradatim.autodiff.optimisers.first_order import RULES, look_ahead, nesterov_look_ahead
from gradatim.autodiff.optimisers.second_order import METHODS
from gradatim.autodiff.race.rates import RATES
from gradatim.autodiff.race.run import Run
from gradatim.autodiff.race.surfaces import Surface, find_surface
from gradatim.errors import GradatimError, shown
from gradatim.randomness import generator

Array = np.ndarray
Advance = Callable[[Array, dict[str, Any], int], tuple[Array, dict[str, Any]]]

RACERS = tuple(name for name in (*METHODS, *RULES) if name != "muon")
USUAL = ("sgd", "momentum", "nesterov", "adagrad", "rmsprop", "adam")
STEPS = 500
MOST_STEPS = 100_000
TOLERANCE = 0.01
FEW_SAMPLES = 8
FAR = 1e3  # so many windows away from the start counts as diverged
_EXACT = ("gradient-descent", *METHODS)


@dataclass(frozen=True, slots=True)
class Race:
    """The outcome of `race`: runs in the order asked for; to be shown as a table, JSON, a picture, an animation."""

    surface: Surface
    start: Array
    steps: int
    tolerance: float
    noise: float
    seed: int
    runs: tuple[Run, ...]

    @property
    def ranking(self) -> list[Run]:
        """Runs by who arrived first, then by distance to the nearest minimum; the diverged last."""
        places = {"arrived": 0, "hovers": 1, "diverged": 3}
        return sorted(self.runs, key=lambda run: (
            places.get(run.verdict, 2), run.steps if run.verdict in ("arrived", "hovers") else 0, run.distance,
        ))  # fmt: skip

    def __getitem__(self, name: str) -> Run:
        for run in self.runs:
            if run.name == name:
                return run
        raise KeyError(name)

    @property
    def header(self) -> tuple[str, ...]:
        """The titles of the columns of `rows`."""
        return ("optimiser", "rate", "rate is", "what happened", "value", "distance")

    def rows(self) -> list[tuple[str, ...]]:
        """The cells of the table: optimiser, rate, what happened, final value, distance to the nearest minimum."""
        several = len(self.surface.minima) > 1

        def at(run: Run) -> str:
            there = several and run.verdict in ("arrived", "hovers")
            return ", ".join(f"{x:.3g}" for x in run.minimum) if there else ""

        return [
            (run.name, "" if run.learning_rate is None else f"{run.learning_rate:g}", run.chosen,
             run.what_happened + (f", ({at(run)})" if at(run) else ""), f"{run.values[-1]:.3g}", f"{run.distance:.2g}")
            for run in self.ranking
        ]  # fmt: skip

    def table(self) -> str:
        """The ranking as aligned text."""
        cells = [self.header, *self.rows()]
        widths = [max(map(len, column)) for column in zip(*cells)]
        return "\n".join("  ".join(c.ljust(w) for c, w in zip(row, widths)).rstrip() for row in cells)

    def to_json(self) -> dict[str, Any]:
        """Everything as JSON-able values, paths included."""
        return {
            "surface": self.surface.name, "formula": self.surface.formula, "notice": self.surface.notice,
            "minima": self.surface.minima.tolist(), "start": self.start.tolist(), "steps": self.steps,
            "tolerance": self.tolerance, "noise": self.noise, "seed": self.seed,
            "runs": [
                {"optimiser": run.name, "learning_rate": run.learning_rate, "rate_chosen": run.chosen,
                 "equation": run.equation, "verdict": run.verdict, "steps": run.steps,
                 "value": float(run.values[-1]), "distance": run.distance, "nearest_minimum": run.minimum.tolist(),
                 "values": run.values.tolist(), "path": run.path.tolist()}
                for run in self.ranking
            ],
        }  # fmt: skip

    def plot(self, path: Path | str, *, dark: bool = False) -> Path:
        """Write the contour with all paths over the cost at each step: .svg (in the reader's theme) or .png."""
        from gradatim.autodiff.race.pictures import write_picture

        return write_picture(self, Path(path), dark=dark)

    def animate(self, path: Path | str, *, dark: bool = False, frames: int = 60) -> Path:
        """Write the race as it happens: a .gif that plays once and starts again."""
        from gradatim.autodiff.race.pictures import write_animation

        return write_animation(self, Path(path), dark=dark, frames=frames)

    def _repr_svg_(self) -> str:
        from gradatim.autodiff.race.pictures import svg_text

        return svg_text(self)


def race(
    surface: str | Surface,
    optimisers: Sequence[str] | str = USUAL,
    *,
    learning_rate: float | Mapping[str, float] | None = None,
    steps: int = STEPS,
    start: Sequence[float] | None = None,
    noise: float = 0.0,
    seed: int = 0,
    tolerance: float = TOLERANCE,
) -> Race:
    """Let optimisers run from one point of a surface and see who comes to a minimum.

    surface: a name of `surfaces.SURFACES` or a Surface; optimisers: names of RACERS; learning_rate: one for all
    first-order rules, or by name ("*" for those not named), else each one's best on the surface; start: the surface's
    own if None; noise: standard deviation of what is added to the gradient of one sample: "mini-batch" sees the mean of
    8 samples, "gradient-descent" and the methods of `second_order` see no noise; a surface with data is sampled row by
    row besides; tolerance: how near to a minimum counts as there. Raises GradatimError on unknown names, or numbers
    that make no race.

    >>> done = race("parabola", ["gradient-descent"], learning_rate=0.1, steps=40)
    >>> done["gradient-descent"].what_happened  # 4·0.8ᵗ ≤ 0.01 from t = 27 on
    'arrived at step 27'
    """
    ground = find_surface(surface)
    names = [optimisers] if isinstance(optimisers, str) else list(dict.fromkeys(optimisers))
    origin = _checked_start(ground, start)
    for name, number, low in (("steps", steps, 1), ("noise", noise, 0.0), ("tolerance", tolerance, 1e-12)):
        if not np.isfinite(number) or number < low:
            raise GradatimError(f"{name}: expected a number of at least {low}, received {number}")
    if steps > MOST_STEPS or steps != int(steps):
        raise GradatimError(f"steps: expected a whole number of at most {MOST_STEPS:,}, received {steps:,}")
    if not names:
        raise GradatimError(f"expected optimisers among {', '.join(RACERS)}; received none")
    rates = learning_rate if isinstance(learning_rate, Mapping) else {"*": learning_rate}
    for name in (*names, *(name for name in rates if name != "*")):
        _check_racer(name)
        if name not in names:
            raise GradatimError(f"learning rate of {name}: expected an optimiser of this race: {', '.join(names)}")
    runs = []
    for name in names:
        if not fits(name, ground):
            raise GradatimError(f"{name}: expected a sum of squares, received the surface '{ground.name}'; use newton")
        rate, chosen = _chosen_rate(name, ground, rates)
        advance = racer(name, ground, rate, noise, seed)
        runs.append(_judged(name, rate, chosen, ground, *_run(ground, advance, origin, steps), tolerance))
    return Race(ground, origin, steps, tolerance, noise, seed, tuple(runs))


def racer(name: str, surface: Surface, rate: float | None, noise: float, seed: int) -> Advance:
    """One step of the named optimiser on the surface, as a function (point, state, step) -> (point, state)."""
    if name in METHODS:
        method = METHODS[name]
        settings = {**method.settings, **({} if rate is None else {"learning_rate": rate})}
        if name == "random":
            settings["seed"] = seed
        return lambda point, state, step: method.advance(surface, point, state, **settings)
    update = RULES[name].update
    gradient = sampled_gradient(surface, name, noise, seed)

    def advance(point: Array, state: dict[str, Any], step: int) -> tuple[Array, dict[str, Any]]:
        at = look_ahead(point, state) if update is nesterov_look_ahead else point
        return update(point, gradient(at, step), state, learning_rate=rate)

    return advance


def sampled_gradient(surface: Surface, name: str, noise: float, seed: int) -> Callable[[Array, int], Array]:
    """The gradient as this optimiser sees it: exact, of one sample, or of a few; the same samples for every racer."""
    if name in _EXACT or (noise == 0 and not surface.samples):
        return lambda point, step: surface.gradient(point)
    count = FEW_SAMPLES if name == "mini-batch" else 1
    draw = generator("race", seed)
    sample = surface.sample_gradient

    def gradient(point: Array, step: int) -> Array:
        shift = noise * draw.standard_normal((FEW_SAMPLES, point.size))[:count].mean(axis=0)
        if sample is None:
            return surface.gradient(point) + shift
        return sample(point, draw.integers(surface.samples, size=FEW_SAMPLES)[:count]) + shift

    return gradient


def _chosen_rate(name: str, surface: Surface, given: Mapping[str, float | None]) -> tuple[float | None, str]:
    """The rate of a racer and where it is from. The rate of curvature's methods is theirs unless they are named."""
    if name in METHODS and METHODS[name].learning_rate is None:
        if given.get(name) is not None:
            raise GradatimError(f"{name}: it takes no learning rate; leave it out")
        return None, "none needed"
    rate = given.get(name, None if name in METHODS and name != "random" else given.get("*"))
    if rate is not None:
        if not 0 < rate < np.inf:
            raise GradatimError(f"learning rate of {name}: expected a positive number, received {rate}")
        return rate, "given"
    if name in RATES.get(surface.name, {}):
        return RATES[surface.name][name], "best here"
    return (METHODS[name].learning_rate if name in METHODS else RULES[name].learning_rate), "usual"


def best_rate(name: str, surface: Surface, *, steps: int = STEPS, seed: int = 0) -> float:
    """The rate of 1, 2, 5 × 10ᵏ from 1e-4 to 1 that arrives first, or has the least mean value over the last tenth.

    To 10 for AdaGrad, whose first step is the rate and the later ones less. How `race_rates.py` was made.
    """
    best, found = (np.inf, np.inf), 1e-4
    for rate in (float(f"{digit}e{power}") for power in range(-4, 2) for digit in (1, 2, 5)):
        if rate > (10 if name == "adagrad" else 1):
            break
        advance = racer(name, surface, rate, 0.0, seed)
        path, values, broken = _run(surface, advance, np.array(surface.start), steps)
        run = _judged(name, rate, "", surface, path, values, broken, TOLERANCE)
        score = (float(run.steps or 0), 0.0) if run.verdict == "arrived" else (
            np.inf if broken else float(steps + 1), np.inf if broken else float(values[-max(steps // 10, 1) :].mean()))
        if score < best:
            best, found = score, rate
    return found


def fits(name: str, surface: Surface) -> bool:
    """Whether an optimiser can run on a surface: Gauss-Newton needs a sum of squares."""
    return name not in METHODS or METHODS[name].needs != "residuals" or surface.residuals is not None


def _check_racer(name: str) -> None:
    if name == "muon":
        raise GradatimError("muon: expected a weight matrix, and a point of a surface is a vector; use adam")
    if name not in RACERS:
        raise GradatimError(f"expected optimisers among {', '.join(RACERS)}; received '{shown(name)}'")


def _checked_start(surface: Surface, start: Sequence[float] | None) -> Array:
    origin = np.array(surface.start if start is None else start, dtype=np.float64)
    if origin.shape != (surface.dimensions,) or not np.isfinite(origin).all():
        raise GradatimError(
            f"start: expected {surface.dimensions} finite numbers for '{surface.name}', received "
            f"{','.join(f'{number:g}' for number in np.atleast_1d(origin))}"
        )
    reach = FAR * max(high - low for low, high in surface.bounds)
    if np.abs(origin).max() > reach:
        raise GradatimError(f"start: expected a point within {reach:g} of the origin, received {origin.tolist()}")
    return origin


def _run(surface: Surface, advance: Advance, start: Array, steps: int) -> tuple[Array, Array, bool]:
    """The path, its values and whether it broke off: no longer finite, or a thousand windows away."""
    reach = FAR * max(high - low for low, high in surface.bounds)
    state: dict[str, Any] = {}
    point, path, broken = start, [start], False
    with np.errstate(all="ignore"):
        for step in range(steps):
            point, state = advance(point, state, step)
            if not np.isfinite(point).all() or np.abs(point - start).max() > reach:
                broken = True
                break
            path.append(point)
        points = np.stack(path)
        return points, np.asarray(surface.value(points), dtype=np.float64), broken


def _judged(
    name: str, rate: float | None, chosen: str, surface: Surface, path: Array, values: Array, broken: bool,
    tolerance: float,
) -> Run:
    far = np.sqrt(((path[:, None] - surface.minima) ** 2).sum(axis=-1)).min(axis=1)
    near = far <= tolerance
    outside = np.flatnonzero(~near)
    settled = 0 if not len(outside) else int(outside[-1]) + 1
    steps: int | None = None
    if broken:
        verdict, steps = "diverged", len(path)
    elif settled < len(path):
        verdict, steps = "arrived", settled
    elif near.any():
        verdict, steps = "hovers", int(near.argmax())
    else:
        verdict = _where(surface, path[-1])
    equation = METHODS[name].equation if name in METHODS else RULES[name].equation
    nearest = surface.minima[((surface.minima - path[-1]) ** 2).sum(axis=-1).argmin()]
    return Run(name, rate, chosen, equation, path, values, float(far[-1]), nearest, verdict, steps)


def _where(surface: Surface, point: Array) -> str:
    """What kind of ground a run ended on that is not at a minimum."""
    if np.linalg.norm(surface.gradient(point)) > 1e-6:
        inside = all(2 * low - high <= x <= 2 * high - low for x, (low, high) in zip(point, surface.bounds))
        return "on its way" if inside else "wandered off"
    bends = np.linalg.eigvalsh(surface.hessian(point))
    if bends.max() < -1e-6:
        return "hilltop"
    return "saddle" if bends.min() < -1e-6 else "flat"
