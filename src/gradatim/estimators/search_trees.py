"""Trees for nearest-neighbour search: boxes of rows inside boxes, or balls inside balls.

A node's rows are halved at the median of the column in which they spread most, until few are left. A search goes down
to the nearer half first, and never into a node whose box or ball is farther away than the k-th best row so far.
What to notice: in two columns nearly all nodes are left out; in fifty the nearest row is hardly nearer than the
average one, nearly no node is left out, and looking at all rows by products is faster.
Source: Friedman, Bentley and Finkel, An algorithm for finding best matches in logarithmic expected time (1977);
Omohundro, Five balltree construction algorithms (1989).
"""

from dataclasses import dataclass

import numba
import numpy as np

from gradatim.estimators.distances import (
    CHEBYSHEV,
    EUCLIDEAN,
    HAMMING,
    MINKOWSKI,
    blank_best,
    insert,
    reduced_distance,
)
from gradatim.estimators.row_threads import in_parts

BOX, BALL = 0, 1


@dataclass(frozen=True, slots=True)
class SearchTree:
    """Rows in the order of the leaves, and what encloses each node.

    rows (n,): the number of each row in the user's order; points (n, d): copied in leaf order. Node i has children
    2i + 1 and 2i + 2 and the points starts[i] : stops[i]. first, second: lower and upper corners (nodes, d) of boxes,
    or centres (nodes, d) and radii (nodes, 1) of balls, in the metric.
    """

    shape: int
    metric: int
    p: float
    points: np.ndarray
    rows: np.ndarray
    starts: np.ndarray
    stops: np.ndarray
    first: np.ndarray
    second: np.ndarray

    def search(self, queries: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray, int]:
        """Reduced distances and rows (q, k) of the nearest rows, and how many distances were computed."""
        distances, rows = blank_best(len(queries), k)

        def part(_: int, low: int, high: int) -> int:
            return _search(
                self.points, self.rows, self.starts, self.stops, self.first, self.second, self.shape, self.metric,
                self.p, queries[low:high], distances[low:high], rows[low:high],
            )  # fmt: skip

        work = float(len(queries)) * self.points.shape[1] * (k + 30) * 10
        return distances, rows, sum(in_parts(len(queries), work, part))


def grow(X: np.ndarray, shape: int, metric: int, p: float, leaf_size: int) -> SearchTree:
    """The tree of the rows X (n, d); leaves hold up to about leaf_size rows."""
    if metric == HAMMING:
        raise ValueError("metric: expected a Minkowski metric for a tree, received hamming; use algorithm='brute'")
    rows = np.arange(len(X))
    levels = max(0, int(np.ceil(np.log2(max(len(X) / leaf_size, 1)))))
    nodes = 2 ** (levels + 1) - 1
    starts, stops = np.zeros(nodes, dtype=np.int64), np.zeros(nodes, dtype=np.int64)
    first = np.empty((nodes, X.shape[1]))
    second = np.empty((nodes, X.shape[1] if shape == BOX else 1))
    _grow(X, rows, starts, stops, first, second, shape, metric, float(p))
    return SearchTree(shape, metric, float(p), np.ascontiguousarray(X[rows]), rows, starts, stops, first, second)


@numba.njit(cache=True, nogil=True)
def _grow(x, rows, starts, stops, first, second, shape, metric, p):  # type: ignore[no-untyped-def]
    nodes, columns = starts.size, x.shape[1]
    stops[0] = x.shape[0]
    lowest, highest = np.empty((1, columns)), np.empty((1, columns))
    for node in range(nodes):
        start, stop = starts[node], stops[node]
        lowest[:], highest[:] = np.inf, -np.inf
        for place in range(start, stop):
            for j in range(columns):
                value = np.float64(x[rows[place], j])
                lowest[0, j], highest[0, j] = min(lowest[0, j], value), max(highest[0, j], value)
        widest = 0
        for j in range(columns):
            if highest[0, j] - lowest[0, j] > highest[0, widest] - lowest[0, widest]:
                widest = j
        if shape == BOX:
            first[node], second[node] = lowest[0], highest[0]
        else:
            first[node] = 0.0
            for place in range(start, stop):
                for j in range(columns):
                    first[node, j] += np.float64(x[rows[place], j]) / (stop - start)
            radius = 0.0
            for place in range(start, stop):
                radius = max(radius, reduced_distance(first, node, x, rows[place], metric, p, np.inf))
            second[node, 0] = _root(radius, metric, p)
        if 2 * node + 2 < nodes:
            middle = (start + stop) // 2
            _select(x, rows, start, stop, middle, widest)
            starts[2 * node + 1], stops[2 * node + 1] = start, middle
            starts[2 * node + 2], stops[2 * node + 2] = middle, stop


@numba.njit(nogil=True)
def _select(x, rows, start, stop, middle, column):  # type: ignore[no-untyped-def]
    """Reorder rows[start:stop] so that those before `middle` are not above those after it in a column (Hoare, 1961)."""
    low, high = start, stop - 1
    while low < high:
        # The median of three keeps sorted columns from costing a square.
        a, b, c = x[rows[low], column], x[rows[(low + high) // 2], column], x[rows[high], column]
        pivot = max(min(a, b), min(max(a, b), c))
        left, right = low, high
        while left <= right:
            while x[rows[left], column] < pivot:
                left += 1
            while x[rows[right], column] > pivot:
                right -= 1
            if left <= right:
                rows[left], rows[right] = rows[right], rows[left]
                left += 1
                right -= 1
        if middle <= right:
            high = right
        elif middle >= left:
            low = left
        else:
            return


@numba.njit(nogil=True)
def _root(reduced, metric, p):  # type: ignore[no-untyped-def]
    if metric == EUCLIDEAN:
        return np.sqrt(reduced)
    return reduced ** (1 / p) if metric == MINKOWSKI else reduced


@numba.njit(nogil=True)
def _bound(queries, query, first, second, node, shape, metric, p):  # type: ignore[no-untyped-def]
    """Reduced distance that no row of the node is nearer than; a little less, for rounding."""
    if shape == BALL:
        away = _root(reduced_distance(queries, query, first, node, metric, p, np.inf), metric, p) - second[node, 0]
        away = max(away * (1 - 1e-9) - 1e-12 * second[node, 0], 0.0)
        if metric == EUCLIDEAN:
            return away * away
        return away**p if metric == MINKOWSKI else away
    total = 0.0
    for j in range(queries.shape[1]):
        value = np.float64(queries[query, j])
        step = max(max(first[node, j] - value, value - second[node, j]), 0.0)
        if metric == EUCLIDEAN:
            total += step * step
        elif metric == CHEBYSHEV:
            total = max(total, step)
        else:
            total += step**p if metric == MINKOWSKI else step
    return total * (1 - 1e-12)


@numba.njit(cache=True, nogil=True)
def _search(  # type: ignore[no-untyped-def]
    points, numbers, starts, stops, first, second, shape, metric, p, queries, distances, rows
):
    k = distances.shape[1]
    nodes = starts.size
    stack, bounds = np.empty(128, np.int64), np.empty(128)
    computed = 0
    for query in range(queries.shape[0]):
        stack[0], bounds[0] = 0, 0.0
        depth = 1
        while depth:
            depth -= 1
            node = stack[depth]
            if bounds[depth] > distances[query, k - 1]:
                continue
            if 2 * node + 2 >= nodes:
                computed += stops[node] - starts[node]
                for place in range(starts[node], stops[node]):
                    found = reduced_distance(points, place, queries, query, metric, p, distances[query, k - 1])
                    if found <= distances[query, k - 1]:
                        insert(distances, rows, query, found, numbers[place])
                continue
            left = _bound(queries, query, first, second, 2 * node + 1, shape, metric, p)
            right = _bound(queries, query, first, second, 2 * node + 2, shape, metric, p)
            near, far = (2 * node + 1, 2 * node + 2) if left <= right else (2 * node + 2, 2 * node + 1)
            stack[depth], bounds[depth] = far, max(left, right)
            stack[depth + 1], bounds[depth + 1] = near, min(left, right)
            depth += 2
    return computed
