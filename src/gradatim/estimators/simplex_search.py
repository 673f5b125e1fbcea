"""The downhill simplex of Nelder and Mead (1965) inside a box: for a handful of numbers and no gradient."""

from collections.abc import Callable, Sequence

Objective = Callable[[list[float]], float]


def simplex_search(
    objective: Objective, start: Sequence[float], low: Sequence[float], high: Sequence[float], *,
    evaluations: int = 200, tolerance: float = 1e-5, size: float = 0.15,
) -> tuple[list[float], float]:
    """The point of the least value found, and that value.

    low, high: the box, to whose sides points outside are moved; size: of the first simplex as a share of the box;
    tolerance: it ends when the values of the simplex differ relatively by less.
    Source: Nelder and Mead, A simplex method for function minimization, 1965 (reflection 1, expansion 2,
    contraction ½, shrinkage ½).

    >>> point, value = simplex_search(lambda p: (p[0] - 0.3) ** 2 + 2 * (p[1] - 0.6) ** 2, [0.5, 0.5], [0, 0], [1, 1],
    ...                               tolerance=1e-12)
    >>> [round(x, 2) for x in point]
    [0.3, 0.6]
    """
    count = len(start)

    def inside(point: Sequence[float]) -> list[float]:
        return [min(max(x, a), b) for x, a, b in zip(point, low, high)]

    points = [inside(start)]
    for place in range(count):
        corner = list(points[0])
        step = size * (high[place] - low[place])
        corner[place] += step if corner[place] + step <= high[place] else -step
        points.append(inside(corner))
    values = [objective(point) for point in points]
    spent = count + 1
    while spent < evaluations:
        order = sorted(range(count + 1), key=values.__getitem__)
        points, values = [points[i] for i in order], [values[i] for i in order]
        if values[-1] - values[0] <= tolerance * (abs(values[0]) + tolerance):
            break
        centre = [sum(point[i] for point in points[:-1]) / count for i in range(count)]

        def along(factor: float, centre: list[float] = centre, worst: list[float] = points[-1]) -> list[float]:
            return inside([c + factor * (c - w) for c, w in zip(centre, worst)])

        trial = along(1.0)
        value = objective(trial)
        spent += 1
        if value < values[0]:
            further = along(2.0)
            beyond = objective(further)
            spent += 1
            if beyond < value:
                trial, value = further, beyond
        elif value >= values[-2]:
            nearer = along(0.5 if value < values[-1] else -0.5)
            within = objective(nearer)
            spent += 1
            if within >= min(value, values[-1]):
                points = [points[0]] + [inside([(a + b) / 2 for a, b in zip(points[0], p)]) for p in points[1:]]
                values = [values[0]] + [objective(point) for point in points[1:]]
                spent += count
                continue
            trial, value = nearer, within
        points[-1], values[-1] = trial, value
    best = min(range(count + 1), key=values.__getitem__)
    return points[best], values[best]
