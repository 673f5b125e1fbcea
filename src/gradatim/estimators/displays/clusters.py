"""k-means and mixtures step by step: where the centres go, who belongs to them, and the ellipses of EM."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from gradatim.estimators.displays.cost import COSTS
from gradatim.estimators.displays.look import INK, colour, frame, marker, names_of, quiet, recording_of, two_columns
from gradatim.estimators.recording import Recorder, Step

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# A mark for each row is legible up to here; of more rows an even part is drawn.
MOST_ROWS = 2000


@dataclass(frozen=True, slots=True)
class Picture:
    """One step: its number, centres (k, 2), the cluster of each row (n,), covariances (k, 2, 2) of a mixture, cost."""

    number: int
    centres: np.ndarray
    labels: np.ndarray
    covariances: np.ndarray | None
    cost: float | None


class ClusterStepsDisplay:
    """Pictures of the steps of a clustering of rows (n, 2)."""

    def __init__(self, rows: np.ndarray, pictures: list[Picture], *, names: tuple[str, str] = ("x₁", "x₂")) -> None:
        if not pictures:
            raise ValueError("ClusterStepsDisplay: expected one step or more, received none")
        self.rows, self.pictures, self.names = rows, pictures, names

    @classmethod
    def from_estimator(
        cls, estimator: Any, X: Any, *, steps: int = 6, axes: "np.ndarray[Any, Any] | None" = None
    ) -> Self:
        """Draw the steps of a clusterer or mixture fitted with a Recorder (else a clone is fitted) to X (n, 2).

        Of several starts the one with the lowest cost is shown.
        """
        rows = two_columns(X, type(estimator).__name__)
        try:
            fitted, recorder = recording_of(estimator)
        except ValueError:
            fitted, recorder = recording_of(estimator, X)
        kind = str(recorder.parameters.get("covariance_type", "full"))
        pictures = [picture(step, rows, kind) for step in best_part(recorder)]
        names = names_of(fitted, X)
        return cls(rows, pictures, names=(names[0], names[1])).plot(axes, steps=steps)

    def plot(self, axes: "np.ndarray[Any, Any] | None" = None, *, steps: int = 6) -> Self:
        """Draw at most `steps` pictures side by side: the first ones, where most happens, and the last."""
        import matplotlib.pyplot as plt

        chosen = spaced(len(self.pictures), steps if axes is None else np.asarray(axes).size)
        if axes is None:
            columns = min(3, len(chosen))
            lines = -(-len(chosen) // columns)
            _, axes = plt.subplots(
                lines, columns, figsize=(2.6 * columns + 0.4, 2.5 * lines + 0.3), sharex=True, sharey=True,
                layout="constrained", squeeze=False,
            )  # fmt: skip
        self.axes_ = np.asarray(axes)
        self.figure_ = self.axes_.ravel()[0].figure
        for one, number in zip(self.axes_.ravel(), chosen):
            self.draw(one, number)
        for one in self.axes_.ravel()[len(chosen) :]:
            one.set_visible(False)
        return self

    def draw(self, ax: "Axes", number: int) -> None:
        """Draw one picture, with the way that the centres have come."""
        from matplotlib.patches import Ellipse

        shown = self.pictures[number]
        part = np.linspace(0, len(self.rows) - 1, min(MOST_ROWS, len(self.rows))).astype(int)
        size = float(np.clip(4000 / len(part), 3, 16))
        for cluster in range(len(shown.centres)):
            mine = part[shown.labels[part] == cluster]
            ax.scatter(
                self.rows[mine, 0], self.rows[mine, 1], s=size, c=colour(cluster), marker=marker(cluster), alpha=0.45,
                linewidths=0, zorder=2,
            )
            way = np.array([earlier.centres[cluster] for earlier in self.pictures[: number + 1]])
            ax.plot(way[:, 0], way[:, 1], color=INK, linewidth=1.0, zorder=4)
            if shown.covariances is not None:
                values, vectors = np.linalg.eigh(shown.covariances[cluster])
                angle = float(np.degrees(np.arctan2(vectors[1, 1], vectors[0, 1])))
                for deviations in (1.0, 2.0):
                    widths = 2 * deviations * np.sqrt(np.maximum(values, 0))
                    ax.add_patch(
                        Ellipse(
                            tuple(shown.centres[cluster]), float(widths[1]), float(widths[0]), angle=angle, fill=False,
                            edgecolor=colour(cluster), linewidth=1.8 if deviations == 1 else 1.0, zorder=5,
                        )
                    )  # fmt: skip
            across, up = shown.centres[cluster, :1], shown.centres[cluster, 1:]
            ax.scatter(
                across, up, s=70, c=colour(cluster), marker=marker(cluster), edgecolors=INK,
                linewidths=1.2, zorder=6,
            )
        quiet(ax)
        low, high = frame(self.rows, 0.06)
        ax.set(xlim=(low[0], high[0]), ylim=(low[1], high[1]))
        ax.set_aspect("equal", adjustable="box")
        ax.locator_params(nbins=4)
        said = ""
        if shown.cost is not None:
            said = f", cost {shown.cost:.5g}" if shown.covariances is None else f", log-likelihood {-shown.cost:.4g}"
        ax.set_title(f"step {shown.number}{said}".replace("-", "−").replace("log−", "log-"), fontsize=10, color=INK)

    def animate(self, path: Path | str, *, frames_per_second: float = 2.0, dots_per_inch: int = 100) -> Path:
        """Write all steps as an animated GIF that plays for ever and rests on the last; returns the path."""
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
        from PIL import Image

        images = []
        for number in range(len(self.pictures)):
            figure = Figure(figsize=(4.2, 4.2), dpi=dots_per_inch, layout="constrained")
            canvas = FigureCanvasAgg(figure)
            axes = figure.subplots()
            self.draw(axes, number)
            axes.set_xlabel(self.names[0], color=INK)
            axes.set_ylabel(self.names[1], color=INK)
            canvas.draw()
            images.append(Image.fromarray(np.asarray(canvas.buffer_rgba())[:, :, :3]).quantize(256))
        beat = round(1000 / frames_per_second)
        durations = [beat] * (len(images) - 1) + [4 * beat]
        path = Path(path)
        images[0].save(path, save_all=True, append_images=images[1:], duration=durations, loop=0, format="GIF")
        return path


def best_part(recorder: Recorder) -> list[Step]:
    """The steps with centres, of the part of the fit (a start) that ended with the lowest cost."""
    parts: dict[tuple[Any, ...], list[Step]] = {}
    for step in recorder.steps:
        if len(step.path) > 1 and ("cluster_centers_" in step.attributes or "means_" in step.attributes):
            parts.setdefault(step.path[:-1], []).append(step)
    deepest = max((len(path) for path in parts), default=0)
    inner = [steps for path, steps in parts.items() if len(path) == deepest]
    if not inner:
        raise ValueError(
            f"{recorder.estimator or 'recording'}: expected steps with cluster_centers_ or means_, found none"
        )
    return min(inner, key=lambda steps: _cost(steps[-1]) or 0.0)


def _cost(step: Step) -> float | None:
    for name, sign in COSTS:
        if name in step.attributes:
            return sign * float(step.attributes[name])  # type: ignore[arg-type]
    return None


def picture(step: Step, rows: np.ndarray, kind: str) -> Picture:
    """The picture of one recorded step; kind: the covariance_type of a mixture."""
    number = step.path[-1][1] + 1
    if "cluster_centers_" in step.attributes:
        centres = np.asarray(step.attributes["cluster_centers_"], dtype=np.float64)
        labels = step.attributes.get("labels_")
        if not isinstance(labels, np.ndarray) or len(labels) != len(rows):
            labels = ((rows[:, None] - centres) ** 2).sum(axis=2).argmin(axis=1)
        return Picture(number, centres, labels, None, _cost(step))
    centres = np.asarray(step.attributes["means_"], dtype=np.float64)
    given = np.asarray(step.attributes["covariances_"], dtype=np.float64)
    unit = np.eye(2)
    covariances = {
        "full": lambda: given,
        "tied": lambda: np.broadcast_to(given, (len(centres), 2, 2)),
        "diag": lambda: given[:, :, None] * unit,
        "spherical": lambda: given[:, None, None] * unit,
    }[kind]()
    weights = np.asarray(step.attributes.get("weights_", np.ones(len(centres))), dtype=np.float64)
    apart = rows[:, None] - centres
    distances = np.einsum("nki,kij,nkj->nk", apart, np.linalg.inv(covariances), apart)
    scores = np.log(np.maximum(weights, 1e-300)) - 0.5 * (np.linalg.slogdet(covariances)[1] + distances)
    return Picture(number, centres, scores.argmax(axis=1), covariances, _cost(step))


def spaced(count: int, wanted: int) -> list[int]:
    """At most `wanted` of 0 … count − 1: the first, the last, and between them ever further apart.

    >>> spaced(30, 6), spaced(3, 6)
    ([0, 1, 3, 7, 14, 29], [0, 1, 2])
    """
    if count <= wanted:
        return list(range(count))
    if wanted == 1:
        return [count - 1]
    places = np.round(np.geomspace(1, count, wanted)).astype(int) - 1
    for number in range(1, wanted):  # where the growth is too small to tell neighbours apart, the next one
        places[number] = max(places[number], places[number - 1] + 1)
    return [int(place) for place in places]
