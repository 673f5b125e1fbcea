"""The cost as a landscape over two parameters, and the way that the fit took through it."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from gradatim.estimators.displays.look import COLOURS, INK, names_of, new_axes, quiet, recording_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# (parameters (m, p)) → costs (m,)
Cost = Callable[[np.ndarray], np.ndarray]


class DescentDisplay:
    """Contours of a cost on the plane in which the path of the parameters lies.

    path (s, p): the parameters after each step; cost: (m, p) → (m,); names of the p parameters. With
    two parameters the plane is theirs. With more it passes through the end and holds the two directions along which the
    path reaches furthest (Li, Xu, Taylor, Studer and Goldstein, Visualizing the loss landscape of neural nets, 2018).
    """

    def __init__(self, path: np.ndarray, cost: Cost, *, names: list[str]) -> None:
        path = np.asarray(path, dtype=np.float64)
        if path.ndim != 2 or len(path) < 2 or path.shape[1] < 2:
            raise ValueError(
                f"DescentDisplay: expected two steps or more of two parameters or more, received shape {path.shape}"
            )
        self.path, self.cost = path, cost
        if path.shape[1] == 2:
            self.origin, self.directions = np.zeros(2), np.eye(2)
            self.labels = names
        else:
            self.origin = path[-1]
            _, lengths, right = np.linalg.svd(path - self.origin, full_matrices=False)
            self.directions = right[:2]
            share = lengths**2 / max(float((lengths**2).sum()), np.finfo(float).tiny)
            self.labels = [f"direction {i + 1} ({share[i]:.0%} of the path)" for i in range(2)]
        self.points = (path - self.origin) @ self.directions.T

    @classmethod
    def from_estimator(
        cls, estimator: Any, X: Any, y: Any, *, cost: str | Cost | None = None, ax: "Axes | None" = None
    ) -> Self:
        """Draw the path of coef_ and intercept_ of an estimator with one output.

        An estimator fitted with a Recorder shows its own path; else a clone is fitted to X, y. cost: "squared" (half
        the mean squared error; the default of regressors), "log" (mean log loss; that of classifiers of two classes),
        "hinge", or a function of rows [intercept, coefficients …]; without the penalty.
        """
        try:
            fitted, recorder = recording_of(estimator)
        except ValueError:
            fitted, recorder = recording_of(estimator, X, y)
        rows = np.asarray(X, dtype=np.float64)
        path = [
            np.hstack([np.ravel(np.asarray(step.attributes.get(name, 0.0), float)) for name in ("intercept_", "coef_")])
            for step in recorder.steps if "coef_" in step.attributes
        ]
        if not path or any(len(point) != rows.shape[1] + 1 for point in path):
            raise ValueError(
                f"{recorder.estimator}: expected steps with coef_ of {rows.shape[1]} columns and one output, found none"
            )
        if not callable(cost):
            cost = cost_of(rows, y, cost or ("log" if hasattr(fitted, "classes_") else "squared"))
        names = ["intercept", *(f"coefficient of {name}" for name in names_of(fitted, X))]
        points = np.array(path)
        if rows.shape[1] == 2 and not np.ptp(points[:, 0]):  # no intercept is fitted: the plane of the coefficients
            fixed, whole = points[0, 0], cost
            return cls(
                points[:, 1:], lambda p: whole(np.insert(p, 0, fixed, axis=1)), names=names[1:]
            ).plot(ax=ax)
        return cls(points, cost, names=names).plot(ax=ax)

    def plot(self, ax: "Axes | None" = None, *, resolution: int = 120, levels: int = 14) -> Self:
        """Draw on axes: contours at evenly spaced logarithms of the cost above its lowest, the path from ○ to ★."""
        self.ax_ = ax if ax is not None else new_axes()
        self.figure_ = self.ax_.figure
        low, high = self.points.min(axis=0), self.points.max(axis=0)
        room = np.maximum(high - low, 1e-3 * max(float((high - low).max()), 1e-9)) * 0.25
        # A path that is nearly a line is given a plane to lie in.
        room = np.maximum(room, 0.12 * float((high - low).max()))
        xs, ys = (np.linspace(low[i] - room[i], high[i] + room[i], resolution) for i in range(2))
        grid = np.stack(np.meshgrid(xs, ys), axis=-1).reshape(-1, 2) @ self.directions + self.origin
        costs = np.asarray(self.cost(grid), dtype=np.float64).reshape(resolution, resolution)
        along = np.asarray(self.cost(self.points @ self.directions + self.origin))
        lowest = min(float(np.nanmin(costs)), float(along.min()))
        reach = float(np.nanmax(costs)) - lowest
        if reach > 1e-12 * abs(lowest):
            heights = np.unique(lowest + np.geomspace(reach * 1e-4, reach, levels))
            self.ax_.contour(xs, ys, costs, levels=heights, cmap="Blues_r", linewidths=1.0, alpha=0.9, zorder=1)
        across, up = self.points.T
        dots = "o" if len(across) <= 80 else ""
        self.ax_.plot(across, up, color=COLOURS[1], linewidth=1.4, zorder=3, marker=dots, markersize=3.0)
        self.ax_.scatter(
            across[:1], up[:1], s=60, facecolors="white", edgecolors=COLOURS[1], linewidths=1.6, zorder=4
        )
        self.ax_.scatter(across[-1:], up[-1:], s=130, marker="*", color=COLOURS[1], edgecolors="white", zorder=5)
        quiet(self.ax_)
        self.ax_.set_xlabel(self.labels[0], color=INK)
        self.ax_.set_ylabel(self.labels[1], color=INK)
        self.ax_.set_title(
            f"cost {float(along[0]):.3g} → {float(along[-1]):.3g} in {len(self.points) - 1} steps drawn",
            fontsize=10, color=INK,
        )
        return self


def cost_of(rows: np.ndarray, targets: Any, kind: str) -> Cost:
    """The mean cost of linear predictions as a function of parameters (m, 1 + d).

    >>> cost_of(np.array([[1.0]]), [3.0], "squared")(np.array([[0.0, 1.0], [1.0, 2.0]]))
    array([2., 0.])
    """
    if kind not in ("squared", "log", "hinge"):
        raise ValueError(f"cost: expected squared, log, hinge or a function, received {kind!r}")
    if kind == "squared":
        values = np.asarray(targets, dtype=np.float64).ravel()
    else:
        classes = np.unique(targets)
        if len(classes) != 2:
            raise ValueError(f"cost {kind!r}: expected two classes, received {len(classes)}")
        values = np.where(np.asarray(targets) == classes[1], 1.0, -1.0)

    def cost(parameters: np.ndarray) -> np.ndarray:
        out = np.empty(len(parameters))
        for start in range(0, len(parameters), 512):
            part = parameters[start : start + 512]
            scores = rows @ part[:, 1:].T + part[:, 0]
            if kind == "squared":
                out[start : start + 512] = 0.5 * ((scores - values[:, None]) ** 2).mean(axis=0)
            elif kind == "log":
                out[start : start + 512] = np.logaddexp(0, -values[:, None] * scores).mean(axis=0)
            else:
                out[start : start + 512] = np.maximum(0, 1 - values[:, None] * scores).mean(axis=0)
        return out

    return cost
