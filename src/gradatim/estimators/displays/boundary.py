"""The regions of a classifier over two columns, with margins and support vectors where it has them."""

from typing import TYPE_CHECKING, Any, Self

import numpy as np

from gradatim.estimators.displays.look import (
    INK,
    colour,
    frame,
    names_of,
    new_axes,
    quiet,
    scatter_classes,
    two_columns,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes


class BoundaryDisplay:
    """What a classifier says at each point of the plane.

    grid: xs (w,), ys (h,). regions (h, w): number of the predicted class. scores (h, w) or None: decision function of a
    classifier of two classes, whose levels −1, 0, 1 are the margins and the boundary. classes: labels in their order.
    support (s, 2) or None: support vectors.
    """

    def __init__(
        self, xs: np.ndarray, ys: np.ndarray, regions: np.ndarray, scores: np.ndarray | None, classes: np.ndarray, *,
        support: np.ndarray | None = None, names: tuple[str, str] = ("x₁", "x₂"), margins: bool = False,
    ) -> None:  # fmt: skip
        self.xs, self.ys, self.regions, self.scores = xs, ys, regions, scores
        self.classes, self.support, self.names, self.margins = classes, support, names, margins

    @classmethod
    def from_estimator(
        cls, estimator: Any, X: Any, y: Any = None, *, resolution: int = 250, margins: bool | None = None,
        ax: "Axes | None" = None,
    ) -> Self:  # fmt: skip
        """Draw a classifier fitted on two columns X (n, 2), with the rows where y (n,) is given.

        margins: draw the levels ±1 of the decision function; None: where the estimator has support vectors.
        """
        who = type(estimator).__name__
        rows = two_columns(X, who)
        classes = getattr(estimator, "classes_", None)
        if classes is None:
            raise ValueError(f"{who}: expected a fitted classifier, received one without classes_; fit it first")
        low, high = frame(rows)
        xs, ys = np.linspace(low[0], high[0], resolution), np.linspace(low[1], high[1], resolution)
        points = np.stack(np.meshgrid(xs, ys), axis=-1).reshape(-1, 2)
        regions = np.searchsorted(classes, estimator.predict(points)).reshape(resolution, resolution)
        scores = None
        if len(classes) == 2 and hasattr(estimator, "decision_function"):
            scores = np.asarray(estimator.decision_function(points), dtype=np.float64).reshape(resolution, resolution)
        support = getattr(estimator, "support_vectors_", None)
        if support is not None and (not isinstance(support, np.ndarray) or support.ndim != 2 or support.shape[1] != 2):
            support = None
        wanted = support is not None if margins is None else margins
        names = names_of(estimator, X)
        display = cls(xs, ys, regions, scores, classes, support=support, names=(names[0], names[1]), margins=wanted)
        return display.plot(rows, y, ax=ax)

    def plot(self, rows: np.ndarray | None = None, labels: Any = None, *, ax: "Axes | None" = None) -> Self:
        """Draw on axes, with rows (n, 2) and their labels (n,) where given."""
        from matplotlib.colors import ListedColormap

        self.ax_ = ax if ax is not None else new_axes()
        self.figure_ = self.ax_.figure
        count = len(self.classes)
        shades = ListedColormap([colour(number) for number in range(count)])
        self.ax_.pcolormesh(
            self.xs, self.ys, self.regions, cmap=shades, vmin=-0.5, vmax=count - 0.5, alpha=0.16, shading="nearest",
            rasterized=True, linewidth=0, antialiased=False,
        )
        if self.scores is not None:
            self.ax_.contour(self.xs, self.ys, self.scores, levels=[0.0], colors=INK, linewidths=1.6)
            if self.margins:
                self.ax_.contour(
                    self.xs, self.ys, self.scores, levels=[-1.0, 1.0], colors=INK, linewidths=1.0, linestyles="--"
                )
        else:
            for number in range(count):
                mine = (self.regions == number).astype(float)
                if 0 < mine.mean() < 1:
                    self.ax_.contour(self.xs, self.ys, mine, levels=[0.5], colors=INK, linewidths=0.9)
        if rows is not None and labels is not None:
            scatter_classes(self.ax_, rows, labels, self.classes)
        if self.support is not None and len(self.support):
            self.ax_.scatter(
                self.support[:, 0], self.support[:, 1], s=80, facecolors="none", edgecolors=INK, linewidths=1.1,
                zorder=4, label=f"{len(self.support)} support vectors",
            )
        quiet(self.ax_)
        self.ax_.set(xlim=(self.xs[0], self.xs[-1]), ylim=(self.ys[0], self.ys[-1]))
        self.ax_.set_xlabel(self.names[0], color=INK)
        self.ax_.set_ylabel(self.names[1], color=INK)
        if self.ax_.get_legend_handles_labels()[0]:
            self.ax_.legend(
                loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=min(count + 1, 6), frameon=False, fontsize=9,
                handletextpad=0.2, columnspacing=1.2,
            )
        return self
