"""The loops of `dtw`: the distance along the best warping path, its lower bounds, and the search through all rows."""

import numba
import numpy as np


@numba.njit(cache=True, nogil=True)
def cost(first, second, i, j):  # type: ignore[no-untyped-def]
    """Squared difference of step i and step j, summed over the channels."""
    total = 0.0
    for channel in range(first.shape[0]):
        gap = first[channel, i] - second[channel, j]
        total += gap * gap
    return total


@numba.njit(cache=True, nogil=True)
def warped(first, n, second, m, radius, rest, best, above, row):  # type: ignore[no-untyped-def]
    """The least sum of costs along a path from (0, 0) to (n − 1, m − 1) with |i − j| ≤ radius; inf from `best` on.

    rest (n + 1,): a lower bound of what the steps from i on add; above, row (m + 1,): room for two lines of the table.
    """
    for j in range(m + 1):
        above[j] = np.inf
        row[j] = np.inf
    above[0] = 0.0
    for i in range(n):
        low, high = max(0, i - radius), min(m, i + radius + 1)
        row[low] = np.inf
        least = np.inf
        for j in range(low, high):
            way = min(above[j], above[j + 1], row[j])
            value = way + cost(first, second, i, j)
            row[j + 1] = value
            least = min(least, value)
        if high < m:
            row[high + 1] = np.inf
        if least + rest[i + 1] >= best:
            return np.inf
        above, row = row, above
    return above[m]


@numba.njit(cache=True, nogil=True)
def envelope(series, length, radius, upper, lower):  # type: ignore[no-untyped-def]
    """The greatest and the least value within the radius of every step, (C, T) in place (Lemire 2009: two queues)."""
    size = 2 * radius + 2
    for channel in range(series.shape[0]):
        for sign in range(2):
            queue = np.empty(min(size, length) + 1, dtype=np.int64)
            head, tail, line = 0, 0, series[channel]
            room = len(queue)
            for step in range(length + radius):
                if step < length:
                    value = line[step] if sign == 0 else -line[step]
                    while tail > head:
                        last = line[queue[(tail - 1) % room]]
                        if (last if sign == 0 else -last) <= value:
                            tail -= 1
                        else:
                            break
                    queue[tail % room] = step
                    tail += 1
                place = step - radius
                if place >= 0:
                    if queue[head % room] < place - radius:
                        head += 1
                    found = line[queue[head % room]]
                    if sign == 0:
                        upper[channel, place] = found
                    else:
                        lower[channel, place] = found


@numba.njit(cache=True, nogil=True)
def bound(query, n, other, m, upper, lower, rest):  # type: ignore[no-untyped-def]
    """A lower bound of the distance; and into rest (n + 1,) what the steps from i on cost at least.

    Equal lengths: LB_Keogh, how far the query leaves the envelope of the other (Keogh 2002). Else the first and the
    last step, which every path visits (after Kim 2001).
    """
    rest[n] = 0.0
    if n == m:
        for i in range(n - 1, -1, -1):
            total = 0.0
            for channel in range(query.shape[0]):
                value = query[channel, i]
                if value > upper[channel, i]:
                    total += (value - upper[channel, i]) ** 2
                elif value < lower[channel, i]:
                    total += (lower[channel, i] - value) ** 2
            rest[i] = rest[i + 1] + total
        return rest[0]
    for i in range(n):
        rest[i] = 0.0
    ends = cost(query, other, 0, 0)
    return ends + cost(query, other, n - 1, m - 1) if n > 1 or m > 1 else ends


@numba.njit(cache=True, nogil=True)
def search(  # type: ignore[no-untyped-def]
    queries, query_lengths, values, lengths, share, skip, uppers, lowers, distances, places
):
    """The k nearest rows of each query: distances and places (q, k) in place, nearest first; how many were compared.

    skip: leave out the row of the query's own number. Rows are tried in order of their lower bounds, and no row is
    compared whose bound reaches the k-th best distance.
    """
    rows, most, k = len(values), values.shape[2], distances.shape[1]
    bounds, rests = np.empty(rows), np.empty((rows, queries.shape[2] + 1))
    above, line = np.empty(most + 2), np.empty(most + 2)
    compared = 0
    for number in range(len(queries)):
        query, n = queries[number], query_lengths[number]
        distances[number, :] = np.inf
        places[number, :] = -1
        if n < 1:
            continue
        for row in range(rows):
            m = lengths[row]
            if m < 1 or (skip and row == number):
                bounds[row] = np.inf
                continue
            bounds[row] = bound(query, n, values[row], m, uppers[row], lowers[row], rests[row])
        for row in np.argsort(bounds):
            worst = distances[number, k - 1]
            m = lengths[row]
            if bounds[row] >= worst or m < 1 or (skip and row == number):
                break
            compared += 1
            radius = max(int(share * max(n, m)), abs(n - m))
            found = warped(query, n, values[row], m, radius, rests[row], worst, above, line)
            if found < worst:
                place = k - 1
                while place > 0 and distances[number, place - 1] > found:
                    distances[number, place] = distances[number, place - 1]
                    places[number, place] = places[number, place - 1]
                    place -= 1
                distances[number, place] = found
                places[number, place] = row
    return compared
