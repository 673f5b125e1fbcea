"""Cost against iteration: does it fall, does it fall fast, has it come to rest?"""

from typing import TYPE_CHECKING, Any, Self

import numpy as np

from gradatim.estimators.displays.look import INK, colour, new_axes, quiet, recording_of
from gradatim.estimators.recording import Recorder

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# The published attributes that can be drawn, the first that is there; with the sign that makes it fall.
COSTS = (("objective_", 1.0), ("dual_objective_", -1.0), ("inertia_", 1.0), ("loss_", 1.0), ("lower_bound_", -1.0))
NAMES = {"dual_objective_": "− dual objective", "lower_bound_": "− log-likelihood of a row", "inertia_": "inertia"}


class CostDisplay:
    """Curves of the cost, one for each part of a fit (a start, a class), from what was published at each step.

    curves: name → (numbers of the steps, costs). name: what the vertical axis is called.

    >>> CostDisplay({"": (np.arange(3), np.array([4.0, 2.0, 1.0]))}).curves[""][1]
    array([4., 2., 1.])
    """

    def __init__(self, curves: dict[str, tuple[np.ndarray, np.ndarray]], *, name: str = "cost") -> None:
        self.curves = curves
        self.name = name

    @classmethod
    def from_estimator(
        cls, estimator: Any, X: Any = None, y: Any = None, *, log: bool = False, ax: "Axes | None" = None, **line: Any
    ) -> Self:
        """Draw an estimator's cost: of one fitted with a Recorder among its callbacks, or of a clone fitted to X, y."""
        return cls.from_recorder(recording_of(estimator, X, y)[1]).plot(ax=ax, log=log, **line)

    @classmethod
    def from_recorder(cls, recorder: Recorder) -> Self:
        """The curves of a recording, not drawn yet; ValueError where no cost was published."""
        found = next(((name, sign) for name, sign in COSTS if len(recorder.values(name)) > 1), None)
        if found is None:
            raise ValueError(
                f"{recorder.estimator or 'recording'}: expected a cost ({', '.join(name for name, _ in COSTS)}) at two "
                "steps or more, found none"
            )
        attribute, sign = found
        curves: dict[str, tuple[list[int], list[float]]] = {}
        for step in recorder.steps:
            if attribute not in step.attributes or len(step.path) < 2:
                continue
            *parts, last = step.path[1:]
            name = ", ".join(f"{part} {number}" for part, number in parts)
            if any(f"{last[0]} {last[1]}" == known for known in curves):
                continue  # the end of a part whose steps are there already
            numbers, costs = curves.setdefault(name, ([], []))
            numbers.append(last[1] + 1)
            # One number a machine: the last is of the one that this step moved.
            costs.append(sign * float(np.ravel(np.asarray(step.attributes[attribute]))[-1]))
        label = NAMES.get(attribute, "cost")
        return cls({name: (np.array(n), np.array(c)) for name, (n, c) in curves.items()}, name=label)

    def plot(self, ax: "Axes | None" = None, *, log: bool = False, **line: Any) -> Self:
        """Draw on axes; log: the distance to the lowest cost seen, on a logarithmic scale."""
        self.ax_ = ax if ax is not None else new_axes()
        self.figure_ = self.ax_.figure
        lowest = min(float(costs.min()) for _, costs in self.curves.values())
        best = min(self.curves, key=lambda name: float(self.curves[name][1][-1]))
        self.lines_ = []
        for place, (name, (numbers, costs)) in enumerate(self.curves.items()):
            several = len(self.curves) > 1
            values = np.where(costs > lowest, costs - lowest, np.nan) if log else costs
            strong = not several or name == best or len(self.curves) <= 4
            style: dict[str, Any] = {"color": "#C8C8C8", "linewidth": 1.0}
            if strong:
                style = {"color": colour(place), "linewidth": 1.8}
                style |= {"marker": "o", "markersize": 3.5} if len(numbers) < 40 else {}
            label = name if strong and several else None
            self.lines_ += self.ax_.plot(numbers, values, label=label, zorder=3 if strong else 2, **style | line)
        quiet(self.ax_, grid=True)
        self.ax_.set_xlabel("iteration", color=INK)
        self.ax_.set_ylabel(f"{self.name} above its lowest" if log else self.name, color=INK)
        if log:
            self.ax_.set_yscale("log")
        if len(self.curves) > 1:
            self.ax_.legend(frameon=False, fontsize=9)
        return self
