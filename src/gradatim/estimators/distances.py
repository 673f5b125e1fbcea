"""Distances between rows, always float64, always added in the same order, and given up early where they are too long.

Minkowski's family  d(x, y) = (Σ |xⱼ − yⱼ|ᵖ)^(1/p), p ≥ 1, its limit max |xⱼ − yⱼ|, and Hamming's share of columns that
differ. Searches compare 'reduced' distances (Σ |·|ᵖ, without the root), which have the same order.
What to notice: a sum of eight partial sums is as exact on every path through the library, so that equal distances are
equal numbers and ties are broken by the row's number, not by rounding.
Source: the partial distance: Cheng et al., Fast search algorithms for vector quantization (1984).
"""

import numba
import numpy as np

from gradatim.estimators.row_threads import in_parts

# Metrics as numbers, for the compiled functions.
EUCLIDEAN, MANHATTAN, CHEBYSHEV, MINKOWSKI, HAMMING = range(5)
# After so many columns the partial distance is compared with the limit.
STRIDE = 32


def metric_number(metric: str, p: float) -> int:
    """The number of a metric: "minkowski" with its p, or one of its special cases by name, or "hamming".

    >>> metric_number("minkowski", 1) == metric_number("manhattan", 2) == MANHATTAN
    True
    """
    named = {
        "euclidean": EUCLIDEAN, "l2": EUCLIDEAN, "manhattan": MANHATTAN, "cityblock": MANHATTAN, "l1": MANHATTAN,
        "chebyshev": CHEBYSHEV, "hamming": HAMMING,
    }  # fmt: skip
    if metric in named:
        return named[metric]
    if metric != "minkowski":
        raise ValueError(f"metric: expected minkowski or one of {', '.join(named)}, received {metric!r}")
    if isinstance(p, bool) or not isinstance(p, (int, float, np.number)) or not p >= 1:
        raise ValueError(f"p: expected a number ≥ 1 or infinity, received {p!r}")
    return {1.0: MANHATTAN, 2.0: EUCLIDEAN, np.inf: CHEBYSHEV}.get(float(p), MINKOWSKI)


def unreduce(reduced: np.ndarray, metric: int, p: float, columns: int) -> np.ndarray:
    """Distances from reduced distances."""
    if metric == EUCLIDEAN:
        return np.sqrt(reduced)
    if metric == MINKOWSKI:
        return reduced ** (1 / p)
    return reduced / columns if metric == HAMMING else reduced


@numba.njit(nogil=True)
def _term(step, metric, p):  # type: ignore[no-untyped-def]
    if metric == EUCLIDEAN:
        return step * step
    if metric == MINKOWSKI:
        return abs(step) ** p
    if metric == HAMMING:
        return 1.0 if step != 0 else 0.0
    return abs(step)


@numba.njit(nogil=True, error_model="numpy")
def reduced_distance(x, row, y, other, metric, p, limit):  # type: ignore[no-untyped-def]
    """Reduced distance of x[row] and y[other]; anything above `limit` once it is certain to be above."""
    columns = x.shape[1]
    if metric == EUCLIDEAN:
        return _squared_distance(x, row, y, other, limit)
    total = 0.0
    for start in range(0, columns, STRIDE):
        for j in range(start, min(start + STRIDE, columns)):
            term = _term(np.float64(x[row, j]) - np.float64(y[other, j]), metric, p)
            total = max(total, term) if metric == CHEBYSHEV else total + term
        if total > limit:
            return total
    return total


@numba.njit(nogil=True, error_model="numpy")
def _squared_distance(x, row, y, other, limit):  # type: ignore[no-untyped-def]
    columns = x.shape[1]
    whole = columns // 8 * 8
    s0 = s1 = s2 = s3 = s4 = s5 = s6 = s7 = 0.0
    for j in range(0, whole, 8):
        d0, d1 = np.float64(x[row, j]) - y[other, j], np.float64(x[row, j + 1]) - y[other, j + 1]
        d2, d3 = np.float64(x[row, j + 2]) - y[other, j + 2], np.float64(x[row, j + 3]) - y[other, j + 3]
        d4, d5 = np.float64(x[row, j + 4]) - y[other, j + 4], np.float64(x[row, j + 5]) - y[other, j + 5]
        d6, d7 = np.float64(x[row, j + 6]) - y[other, j + 6], np.float64(x[row, j + 7]) - y[other, j + 7]
        s0, s1, s2, s3 = s0 + d0 * d0, s1 + d1 * d1, s2 + d2 * d2, s3 + d3 * d3
        s4, s5, s6, s7 = s4 + d4 * d4, s5 + d5 * d5, s6 + d6 * d6, s7 + d7 * d7
        if j % 64 == 56 and ((s0 + s1) + (s2 + s3)) + ((s4 + s5) + (s6 + s7)) > limit:
            return ((s0 + s1) + (s2 + s3)) + ((s4 + s5) + (s6 + s7))
    total = ((s0 + s1) + (s2 + s3)) + ((s4 + s5) + (s6 + s7))
    for j in range(whole, columns):
        step = np.float64(x[row, j]) - np.float64(y[other, j])
        total += step * step
    return total


@numba.njit(nogil=True)
def insert(distances, rows, query, distance, row):  # type: ignore[no-untyped-def]
    """Bring (distance, row) into the sorted k best of a query; of equal distances the lower row comes first."""
    k = distances.shape[1]
    if distance > distances[query, k - 1] or (distance == distances[query, k - 1] and row > rows[query, k - 1]):
        return
    place = k - 1
    while place > 0 and (
        distances[query, place - 1] > distance
        or (distances[query, place - 1] == distance and rows[query, place - 1] > row)
    ):
        distances[query, place], rows[query, place] = distances[query, place - 1], rows[query, place - 1]
        place -= 1
    distances[query, place], rows[query, place] = distance, row


def blank_best(queries: int, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Empty lists of the k best: infinite distances, rows beyond all others."""
    return np.full((queries, k), np.inf), np.full((queries, k), np.iinfo(np.int64).max)


def search_all(X: np.ndarray, queries: np.ndarray, k: int, metric: int, p: float) -> tuple[np.ndarray, np.ndarray]:
    """Reduced distances and rows (q, k) of the k nearest rows of X (n, d) to each query, by looking at all of them."""
    distances, rows = blank_best(len(queries), k)

    def part(_: int, low: int, high: int) -> None:
        _search_all(X, queries[low:high], metric, float(p), distances[low:high], rows[low:high])

    in_parts(len(queries), float(X.size) * len(queries), part)
    return distances, rows


@numba.njit(cache=True, nogil=True)
def _search_all(x, queries, metric, p, distances, rows):  # type: ignore[no-untyped-def]
    k = distances.shape[1]
    # Queries in small groups, so that a block of rows is read from memory once for all of them.
    for first in range(0, queries.shape[0], 16):
        for start in range(0, x.shape[0], 64):
            for query in range(first, min(first + 16, queries.shape[0])):
                for row in range(start, min(start + 64, x.shape[0])):
                    found = reduced_distance(x, row, queries, query, metric, p, distances[query, k - 1])
                    if found <= distances[query, k - 1]:
                        insert(distances, rows, query, found, row)


def distances_to(
    X: np.ndarray, queries: np.ndarray, candidates: np.ndarray, k: int, metric: int, p: float
) -> tuple[np.ndarray, np.ndarray]:
    """The k nearest (q, k) of a few candidates (q, c) of each query; candidates beyond the rows of X are left out."""
    distances, rows = blank_best(len(queries), k)

    def part(_: int, low: int, high: int) -> None:
        _among(X, queries[low:high], candidates[low:high], metric, float(p), distances[low:high], rows[low:high])

    in_parts(len(queries), float(candidates.size) * X.shape[1], part)
    return distances, rows


@numba.njit(cache=True, nogil=True)
def _among(x, queries, candidates, metric, p, distances, rows):  # type: ignore[no-untyped-def]
    k = distances.shape[1]
    for query in range(queries.shape[0]):
        for place in range(candidates.shape[1]):
            row = candidates[query, place]
            if 0 <= row < x.shape[0]:
                found = reduced_distance(x, row, queries, query, metric, p, distances[query, k - 1])
                if found <= distances[query, k - 1]:
                    insert(distances, rows, query, found, row)
