"""Surfaces to race optimisers on: value, gradient, Hessian, minima, a window to look through and a point to start from.

Values are vectorised, `value(points)` for points (…, d), so that contours are one call; gradients and Hessians are of
one point. Surfaces that are a sum of squares also have residuals and their Jacobian, which Gauss-Newton needs, and the
one that is fitted to data has a gradient over any of its samples, which is where the noise of SGD comes from.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from gradatim.errors import GradatimError
from gradatim.randomness import generator

Array = np.ndarray


@dataclass(frozen=True, slots=True, kw_only=True)
class Surface:
    """A function to minimise and what is known of it.

    bounds: (low, high) of each dimension, the window of the picture; minima: all points of least value, (k, d);
    notice: what the surface is there to show; residuals, jacobian: r(θ) and ∂r/∂θ where value = Σr², else None;
    sample_gradient(point, rows): of the mean over those of the `samples` rows, for a surface that is fitted to data.
    """

    name: str
    formula: str
    source: str
    notice: str
    value: Callable[[Array], Array]
    gradient: Callable[[Array], Array]
    hessian: Callable[[Array], Array]
    minima: Array
    start: tuple[float, ...]
    bounds: tuple[tuple[float, float], ...]
    residuals: Callable[[Array], Array] | None = None
    jacobian: Callable[[Array], Array] | None = None
    samples: int = 0
    sample_gradient: Callable[[Array, Array], Array] | None = None

    @property
    def dimensions(self) -> int:
        """How many parameters a point has."""
        return len(self.bounds)

    @property
    def lowest(self) -> float:
        """The value at the minima."""
        return float(self.value(self.minima[0]))

    def distance(self, point: Array) -> float:
        """Euclidean distance to the nearest minimum."""
        return float(np.sqrt(((self.minima - point) ** 2).sum(axis=-1)).min())


def sum_of_squares(
    residuals: Callable[[Array], Array],
    jacobian: Callable[[Array], Array],
    bends: Callable[[Array], Array] | None = None,
) -> dict[str, Any]:
    """Value Σr², gradient 2Jᵀr and Hessian 2(JᵀJ + Σ rᵢ∇²rᵢ) of a sum of squares, as fields of a Surface.

    bends(point): the Hessians of the residuals, (k, d, d); None where they are straight.
    """

    def value(points: Array) -> Array:
        return (residuals(points) ** 2).sum(axis=-1)

    def gradient(point: Array) -> Array:
        return 2 * jacobian(point).T @ residuals(point)

    def hessian(point: Array) -> Array:
        slopes = jacobian(point)
        bent = 0.0 if bends is None else np.tensordot(residuals(point), bends(point), axes=1)
        return 2 * (slopes.T @ slopes + bent)

    return {
        "value": value, "gradient": gradient, "hessian": hessian, "residuals": residuals, "jacobian": jacobian,
    }


def parabola() -> Surface:
    """f(x) = x², the first function anybody descends; rates over 1 diverge, 0.5 arrives in one step."""
    return Surface(
        name="parabola", formula="x²", source="", start=(-4.0,), bounds=((-5.0, 5.0),), minima=np.array([[0.0]]),
        notice="one step x ← (1 − 2η)x: slow under 0.5, at once with 0.5, swinging up to 1, diverging beyond",
        **sum_of_squares(lambda points: points, lambda point: np.eye(1)),
    )


def gaussians() -> Surface:
    """Ten times a wide Gaussian at (1, 1) less a round one at the origin: a hill, a hollow, and flat land around.

    Both are normal densities, with standard deviations (1.5, 0.5) and (1, 1).
    """
    peaks = [(10.0, np.array([1.0, 1.0]), np.array([1.5, 0.5])), (-10.0, np.zeros(2), np.ones(2))]

    def density(points: Array, centre: Array, width: Array) -> Array:
        scaled = (points - centre) / width
        return np.exp(-(scaled**2).sum(axis=-1) / 2) / (2 * np.pi * width.prod())

    def value(points: Array) -> Array:
        return sum((height * density(points, *peak) for height, *peak in peaks), np.zeros(points.shape[:-1]))

    def gradient(point: Array) -> Array:
        found = np.zeros(2)
        for height, centre, width in peaks:
            found -= height * density(point, centre, width) * (point - centre) / width**2
        return found

    def hessian(point: Array) -> Array:
        found = np.zeros((2, 2))
        for height, centre, width in peaks:
            scaled = (point - centre) / width**2
            found += height * density(point, centre, width) * (np.outer(scaled, scaled) - np.diag(width**-2.0))
        return found

    return Surface(
        name="gaussians", formula="10·N(x; (1, 1), (1.5, 0.5)) − 10·N(x; (0, 0), (1, 1))", source="",
        notice="the way down the hill bends; Newton, which minds curvature alone, climbs to its top",
        value=value, gradient=gradient, hessian=hessian, minima=np.array([GAUSSIANS_MINIMUM]), start=(1.6, 0.9),
        bounds=((-3.0, 3.0), (-2.5, 2.5)),
    )


# The root of the gradient, to the last digit, by Newton from (0, -0.5); a test finds it again.
GAUSSIANS_MINIMUM = (-0.022331228176366402, -0.2446959406660513)


def beale() -> Surface:
    """(1.5 − x + xy)² + (2.25 − x + xy²)² + (2.625 − x + xy³)²: flat, with steep walls in the corners."""

    def residuals(points: Array) -> Array:
        x, y = points[..., 0], points[..., 1]
        return np.stack([1.5 - x + x * y, 2.25 - x + x * y**2, 2.625 - x + x * y**3], axis=-1)

    def jacobian(point: Array) -> Array:
        x, y = point
        return np.array([[y - 1, x], [y**2 - 1, 2 * x * y], [y**3 - 1, 3 * x * y**2]])

    def bends(point: Array) -> Array:
        x, y = point
        return np.array([[[0, 1], [1, 0]], [[0, 2 * y], [2 * y, 2 * x]], [[0, 3 * y**2], [3 * y**2, 6 * x * y]]])

    return Surface(
        name="beale", formula="(1.5 − x + xy)² + (2.25 − x + xy²)² + (2.625 − x + xy³)²", source="Beale 1958",
        notice="a steep wall, then a long level valley: momentum overshoots and comes back; Newton finds a saddle",
        minima=np.array([[3.0, 0.5]]), start=(1.0, 1.25), bounds=((-0.6, 4.6), (-1.6, 1.8)),
        **sum_of_squares(residuals, jacobian, bends),
    )


def rosenbrock() -> Surface:
    """(1 − x)² + 100(y − x²)²: a bent valley, easy to enter and slow to follow."""
    return Surface(
        name="rosenbrock", formula="(1 − x)² + 100(y − x²)²", source="Rosenbrock 1960",
        notice="all are in the valley within a few steps; then it bends, and only curvature shows the way",
        minima=np.array([[1.0, 1.0]]), start=(-1.2, 1.0), bounds=((-2.0, 2.0), (-1.0, 3.0)),
        **sum_of_squares(
            lambda points: np.stack([1 - points[..., 0], 10 * (points[..., 1] - points[..., 0] ** 2)], axis=-1),
            lambda point: np.array([[-1.0, 0.0], [-20 * point[0], 10.0]]),
            lambda point: np.array([np.zeros((2, 2)), [[-20.0, 0.0], [0.0, 0.0]]]),
        ),
    )


def himmelblau() -> Surface:
    """(x² + y − 11)² + (x + y² − 7)²: four minima, all of value 0, and a hill between them."""
    minima = [[3.0, 2.0], [-2.805118086952745, 3.131312518250573], [-3.779310253377747, -3.283185991286170],
              [3.584428340330492, -1.848126526964404]]
    return Surface(
        name="himmelblau", formula="(x² + y − 11)² + (x + y² − 7)²", source="Himmelblau 1972",
        notice="near the top of the hill the ways part: which minimum is found depends on the optimiser and its rate",
        minima=np.array(minima), start=(0.0, -1.0), bounds=((-5.5, 5.5), (-5.5, 5.5)),
        **sum_of_squares(
            lambda points: np.stack(
                [points[..., 0] ** 2 + points[..., 1] - 11, points[..., 0] + points[..., 1] ** 2 - 7], axis=-1
            ),
            lambda point: np.array([[2 * point[0], 1.0], [1.0, 2 * point[1]]]),
            lambda point: np.array([[[2.0, 0.0], [0.0, 0.0]], [[0.0, 0.0], [0.0, 2.0]]]),
        ),
    )


def saddle() -> Surface:
    """½x² − ½y² + ¼y⁴: a saddle at the origin, a minimum on either side of it."""

    def value(points: Array) -> Array:
        x, y = points[..., 0], points[..., 1]
        return x**2 / 2 - y**2 / 2 + y**4 / 4

    return Surface(
        name="saddle", formula="½x² − ½y² + ¼y⁴", source="", value=value,
        gradient=lambda point: np.array([point[0], point[1] ** 3 - point[1]]),
        hessian=lambda point: np.diag([1.0, 3 * point[1] ** 2 - 1]),
        notice="with a small rate descent waits at the saddle, Adam does not; Newton stays there for ever",
        minima=np.array([[0.0, 1.0], [0.0, -1.0]]), start=(1.8, 0.001), bounds=((-2.0, 2.0), (-1.6, 1.6)),
    )


def plateau() -> Surface:
    """r² / (1 + r²): a hole in flat land, as a robust loss sees an outlier (Geman & McClure 1985)."""

    def hessian(point: Array) -> Array:
        spread = 1 + point @ point
        return 2 * np.eye(2) / spread**2 - 8 * np.outer(point, point) / spread**3

    def value(points: Array) -> Array:
        square = (points**2).sum(axis=-1)
        return square / (1 + square)

    return Surface(
        name="plateau", formula="(x² + y²) / (1 + x² + y²)", source="Geman & McClure 1985", value=value,
        gradient=lambda point: 2 * point / (1 + point @ point) ** 2, hessian=hessian,
        notice="the gradient fades as 2/r³ and descent crawls; AdaGrad and Adam divide by it; Newton goes uphill",
        minima=np.zeros((1, 2)), start=(4.0, 2.5), bounds=((-5.0, 5.0), (-5.0, 5.0)),
    )


def ravine() -> Surface:
    """½x² + 50y²: a hundred times steeper across than along, the axes along the ravine."""
    return Surface(
        name="ravine", formula="½x² + 50y²", source="",
        notice="descent must stay under 0.02 for y, a hundredth of what x could bear; Newton needs one step",
        minima=np.zeros((1, 2)), start=(-9.0, 0.8), bounds=((-10.0, 4.0), (-1.2, 1.2)), **_quadratic(0.0),
    )


def tilted_ravine() -> Surface:
    """The ravine turned by 45°: a rate for each parameter no longer helps."""
    return Surface(
        name="tilted-ravine", formula="the ravine turned by 45°", source="",
        notice="descent, momentum and Newton do as before; AdaGrad, Adamax and NAdam, by coordinates, lose",
        minima=np.zeros((1, 2)), start=tuple(_turn(np.pi / 4) @ np.array([-9.0, 0.8])),
        bounds=((-8.0, 4.0), (-8.0, 4.0)), **_quadratic(np.pi / 4),
    )


def _turn(angle: float) -> Array:
    return np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])


def _quadratic(angle: float) -> dict[str, Any]:
    scales = np.diag([0.5**0.5, 50**0.5]) @ _turn(angle).T
    return sum_of_squares(lambda points: points @ scales.T, lambda point: scales)


def regression() -> Surface:
    """Mean squared error of a line a·t + b through 64 noisy points: the surface whose gradient can be sampled."""
    draw = generator("surface", "regression")
    inputs = draw.uniform(-1, 1, 64)
    targets = 2 * inputs - 1 + 0.5 * draw.standard_normal(64)
    design = np.stack([inputs, np.ones(64)], axis=1)

    def sample_gradient(point: Array, rows: Array) -> Array:
        return 2 * design[rows].T @ (design[rows] @ point - targets[rows]) / len(rows)

    return Surface(
        name="regression", formula="mean of (a·t + b − y)² over 64 points", source="Legendre 1805",
        notice="one sample a step wanders about the minimum for ever, eight less, all 64 not at all",
        minima=np.linalg.lstsq(design, targets, rcond=None)[0][None], start=(-1.0, 1.5),
        bounds=((-2.0, 4.0), (-3.0, 2.5)), samples=64, sample_gradient=sample_gradient,
        **sum_of_squares(lambda points: (points @ design.T - targets) / 8, lambda point: design / 8),
    )


SURFACES: dict[str, Callable[[], Surface]] = {
    "parabola": parabola,
    "gaussians": gaussians,
    "beale": beale,
    "rosenbrock": rosenbrock,
    "himmelblau": himmelblau,
    "saddle": saddle,
    "plateau": plateau,
    "ravine": ravine,
    "tilted-ravine": tilted_ravine,
    "regression": regression,
}
ALSO_CALLED = {"x^2": "parabola", "x²": "parabola", "x2": "parabola"}


def find_surface(name: str | Surface) -> Surface:
    """The surface of a name (x² and x^2 are the parabola); raises GradatimError with the list where there is none.

    >>> find_surface("beale").value(np.array([[3.0, 0.5], [0.0, 0.0]])).round(3)
    array([ 0.   , 14.203])
    """
    if isinstance(name, Surface):
        return name
    known = ALSO_CALLED.get(name, name)
    if known not in SURFACES:
        raise GradatimError(f"expected a surface among {', '.join(SURFACES)}; received '{name}'")
    return SURFACES[known]()


def grid(surface: Surface, count: int, bounds: Sequence[tuple[float, float]] | None = None) -> tuple[Array, Array]:
    """Points (count, count, d) over the window, or (count, 1) in one dimension, and their values."""
    lines = [np.linspace(low, high, count) for low, high in bounds or surface.bounds]
    points = np.stack(np.meshgrid(*lines), axis=-1) if len(lines) > 1 else lines[0][:, None]
    return points, surface.value(points)
