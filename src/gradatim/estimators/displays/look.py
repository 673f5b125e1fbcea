"""What the displays share: colours that the colour-blind can tell apart, quiet axes, where a recording is found."""

from typing import TYPE_CHECKING, Any

import numpy as np

from gradatim.estimators.recording import Recorder

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Okabe and Ito (2008), without yellow, which vanishes on white; then again with other markers.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#555555")
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
INK = "#333333"
FAINT = "#9A9A9A"


def colour(number: int) -> str:
    """The colour of a class or a cluster."""
    return COLOURS[number % len(COLOURS)]


def marker(number: int) -> str:
    """The marker of a class or a cluster: another one for each, so that colour is never the only sign."""
    return MARKERS[(number + number // len(COLOURS)) % len(MARKERS)]


def new_axes(width: float = 5.2, height: float = 4.0) -> "Axes":
    """Axes on a figure of their own."""
    import matplotlib.pyplot as plt

    return plt.subplots(figsize=(width, height), layout="constrained")[1]


def quiet(axes: "Axes", *, grid: bool = False) -> None:
    """Take away what does not inform: the upper and right frame, dark ticks."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(FAINT)
    axes.tick_params(colors=INK, which="both", width=0.6)
    if grid:
        axes.grid(True, color="#E6E6E6", linewidth=0.7)
        axes.set_axisbelow(True)


def recording_of(estimator: Any, X: Any = None, y: Any = None) -> tuple[Any, Recorder]:
    """The estimator and its recording; with X a clone is fitted for it.

    Errors: ValueError where the estimator was fitted without a Recorder and no X is given.
    """
    if isinstance(estimator, Recorder):
        return None, estimator
    if X is not None:
        from sklearn.base import clone

        estimator = clone(estimator).set_callbacks(recorder := Recorder())
        estimator.fit(X) if y is None else estimator.fit(X, y)
        return estimator, recorder
    for callback in getattr(estimator, "_skl_callbacks", ()):
        if isinstance(callback, Recorder) and callback.steps:
            return estimator, callback
    raise ValueError(
        f"{type(estimator).__name__}: expected an estimator fitted with set_callbacks(Recorder()), received one "
        "without a recording; or give X (and y), and a clone is fitted"
    )


def two_columns(X: Any, who: str) -> np.ndarray:
    """X as float64 (n, 2), or ValueError."""
    rows = np.asarray(X, dtype=np.float64)
    if rows.ndim != 2 or rows.shape[1] != 2:
        raise ValueError(f"{who}: expected rows of 2 columns, received shape {rows.shape}; project them, as by PCA(2)")
    return rows


def names_of(estimator: Any, X: Any) -> list[str]:
    """Names of the columns: those of the frame, or x₁, x₂ …"""
    names = getattr(X, "columns", None)
    if names is None:
        names = getattr(estimator, "feature_names_in_", None)
    count = np.asarray(X).shape[1]
    return [str(name) for name in names] if names is not None else [f"x{subscript(i + 1)}" for i in range(count)]


def subscript(number: int) -> str:
    """12 → '₁₂'."""
    return "".join(chr(0x2080 + int(digit)) for digit in str(number))


def frame(rows: np.ndarray, margin: float = 0.12) -> tuple[np.ndarray, np.ndarray]:
    """Lower and upper corner (2,) around rows (n, 2), with a margin."""
    low, high = rows.min(axis=0), rows.max(axis=0)
    room = np.where(high > low, (high - low) * margin, 1.0)
    return low - room, high + room


def scatter_classes(axes: "Axes", rows: np.ndarray, labels: Any, classes: Any, *, size: float = 26.0) -> None:
    """The rows by class, each class with a colour and a marker of its own."""
    for number, label in enumerate(classes):
        chosen = np.asarray(labels) == label
        axes.scatter(
            rows[chosen, 0], rows[chosen, 1], s=size, c=colour(number), marker=marker(number), label=str(label),
            edgecolors="white", linewidths=0.6, zorder=3,
        )
