"""Coefficients against the penalty: which columns stay, and in which order the others leave."""

from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import ArrayLike

from gradatim.estimators.displays.look import FAINT, INK, colour, names_of, new_axes, quiet

if TYPE_CHECKING:
    from matplotlib.axes import Axes


class RegularisationPathDisplay:
    """One line a column. penalties (p,), coefficients (p, d), names of the d columns, chosen: a penalty to mark."""

    def __init__(
        self, penalties: ArrayLike, coefficients: ArrayLike, *, names: list[str] | None = None,
        chosen: float | None = None, parameter: str = "alpha",
    ) -> None:  # fmt: skip
        self.penalties = np.asarray(penalties, dtype=np.float64)
        self.coefficients = np.asarray(coefficients, dtype=np.float64)
        if self.coefficients.ndim != 2 or len(self.penalties) != len(self.coefficients) or len(self.penalties) < 2:
            raise ValueError(
                "expected two penalties (p,) or more and coefficients (p, d), received shapes "
                f"{self.penalties.shape} and {self.coefficients.shape}"
            )
        self.names = names or [f"x{number + 1}" for number in range(self.coefficients.shape[1])]
        self.chosen, self.parameter = chosen, parameter

    @classmethod
    def from_estimator(
        cls, estimator: Any, X: Any, y: Any, *, penalties: ArrayLike | None = None, parameter: str | None = None,
        ax: "Axes | None" = None,
    ) -> Self:  # fmt: skip
        """Fit clones for each value of the penalty ("alpha", or "C" where the estimator has that) and draw their coef_.

        penalties: None for 40 values, four decades around the estimator's own. An estimator of one output.
        """
        from sklearn.base import clone

        settings = estimator.get_params()
        parameter = parameter or next((name for name in ("alpha", "C") if name in settings), None)
        if parameter is None or parameter not in settings:
            raise ValueError(f"{type(estimator).__name__}: expected a penalty alpha or C, found none; name the setting")
        own = settings[parameter]
        centre = float(own) if isinstance(own, (int, float)) and own > 0 else 1.0
        values = np.geomspace(centre / 1e2, centre * 1e2, 40) if penalties is None else np.asarray(penalties, float)
        coefficients = []
        for value in values:
            coefficient = np.asarray(clone(estimator).set_params(**{parameter: float(value)}).fit(X, y).coef_)
            if coefficient.size != coefficient.shape[-1]:
                raise ValueError(f"{type(estimator).__name__}: expected one output, received {len(coefficient)}")
            coefficients.append(coefficient.ravel())
        chosen = float(own) if isinstance(own, (int, float)) and values.min() <= own <= values.max() else None
        names = names_of(estimator, X)
        return cls(values, np.array(coefficients), names=names, chosen=chosen, parameter=parameter).plot(ax=ax)

    def plot(self, ax: "Axes | None" = None, *, labelled: int = 8) -> Self:
        """Draw on axes; the `labelled` columns with the largest coefficients are named at the ends of their lines."""
        self.ax_ = ax if ax is not None else new_axes(6.0, 4.0)
        self.figure_ = self.ax_.figure
        order = np.argsort(self.penalties)
        across, up = self.penalties[order], self.coefficients[order]
        # The end where the coefficients are largest is on the left; there stand the names.
        weak = np.abs(up[0]).sum() >= np.abs(up[-1]).sum()
        ends = up[0] if weak else up[-1]
        largest = np.argsort(-np.abs(up).max(axis=0))[:labelled]
        rank = {int(column): place for place, column in enumerate(largest)}
        for column in reversed(np.argsort(-np.abs(up).max(axis=0))):
            place = rank.get(int(column))
            style: dict[str, Any] = {"linewidth": 0.8, "zorder": 2, "color": "#CFCFCF"}
            if place is not None:
                style = {"linewidth": 1.7, "zorder": 3, "color": colour(place), "linestyle": "-" if place < 7 else "--"}
            self.ax_.plot(across, up[:, column], **style)
        self.ax_.axhline(0, color=FAINT, linewidth=0.8, zorder=1)
        self.ax_.set_xscale("log")
        if not weak:
            self.ax_.invert_xaxis()
        if self.chosen is not None:
            self.ax_.axvline(self.chosen, color=INK, linewidth=0.9, linestyle=":", zorder=1)
            self.ax_.annotate(
                f"{self.parameter} = {self.chosen:g}", (self.chosen, 1.0), xycoords=("data", "axes fraction"),
                ha="center", va="bottom", fontsize=9, color=INK,
            )
        low, high = float(up.min()), float(up.max())
        heights = _spread([float(ends[column]) for column in largest], (high - low) * 0.055 or 1.0)
        edge = across[0] if weak else across[-1]
        for column, height in zip(largest, heights):
            self.ax_.annotate(
                self.names[column], (edge, height), xytext=(-6, 0), textcoords="offset points", ha="right", va="center",
                fontsize=9, color=colour(rank[int(column)]), annotation_clip=False,
            )
        quiet(self.ax_)
        self.ax_.spines["left"].set_visible(False)
        self.ax_.yaxis.tick_right()
        self.ax_.yaxis.set_label_position("right")
        self.ax_.margins(x=0)
        self.ax_.set_xlabel(f"{self.parameter} (stronger penalty to the right)", color=INK)
        self.ax_.set_ylabel("coefficient", color=INK)
        return self


def _spread(heights: list[float], least: float) -> list[float]:
    """Heights moved apart, in their order, until neighbours are `least` from each other.

    >>> _spread([0.0, 0.1, 5.0], 1.0)
    [-0.45, 0.55, 5.0]
    """
    order = np.argsort(heights)
    groups: list[tuple[float, list[int]]] = []
    for place in order:
        groups.append((heights[place], [int(place)]))
        while len(groups) > 1:
            (centre, above), (below_centre, below) = groups[-1], groups[-2]
            if centre - below_centre >= least * (len(above) + len(below)) / 2:
                break
            members = below + above
            mean = (centre * len(above) + below_centre * len(below)) / len(members)
            groups[-2:] = [(mean, members)]
    out = [0.0] * len(heights)
    for centre, members in groups:
        for offset, place in enumerate(members):
            out[place] = round(float(centre + (offset - (len(members) - 1) / 2) * least), 12)
    return out
