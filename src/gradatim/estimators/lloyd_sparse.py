"""A step of Lloyd's algorithm over rows in CSR form, with the bounds of `lloyd`."""

import numba
import numpy as np


@numba.njit(cache=True, nogil=True, fastmath={"reassoc", "contract"})
def pass_sparse(  # type: ignore[no-untyped-def]
    data, indices, pointers, scale, turned, offsets, upper, lower, norms, drifts, others, longest, error,
    labels, weights, sums, masses,
):  # fmt: skip
    """`lloyd._pass` over CSR rows; turned: the centres (d, k) times scale, offsets: −½‖c‖²."""
    count = offsets.size
    scores = np.empty(count, turned.dtype)
    moved = 0
    for row in range(labels.size):
        old = labels[row]
        if old >= 0:
            upper[row], lower[row] = (upper[row] + drifts[old]) * (1 + 1e-6), (lower[row] - others[old]) * (1 - 1e-6)
            if upper[row] < lower[row]:
                continue
        scores[:] = offsets
        for at in range(pointers[row], pointers[row + 1]):
            value, column = data[at], indices[at]
            for c in range(count):
                scores[c] += value * turned[column, c]
        new = np.argmax(scores)
        slack = 2 * error * longest * (norms[row] + longest)
        upper[row] = np.sqrt(max(norms[row] ** 2 - 2 * scores[new] + slack, 0.0)) * (1 + 1e-6)
        second = -np.inf
        for c in range(count):
            if c != new and scores[c] > second:
                second = scores[c]
        lower[row] = np.sqrt(max(norms[row] ** 2 - 2 * second - slack, 0.0)) * (1 - 1e-6)
        if new != old:
            moved += 1
            labels[row] = new
            if sums.size:
                weight = weights[row] if weights.size else 1.0
                masses[new] += weight
                if old >= 0:
                    masses[old] -= weight
                for at in range(pointers[row], pointers[row + 1]):
                    sums[new, indices[at]] += weight * (data[at] * scale)
                    if old >= 0:
                        sums[old, indices[at]] -= weight * (data[at] * scale)
    return moved


@numba.njit(cache=True, nogil=True)
def own_squares_sparse(data, indices, pointers, scale, centres, whole, labels, out):  # type: ignore[no-untyped-def]
    """`lloyd.own_squares` of CSR rows into out (n,); whole: ‖c‖² (k,)."""
    for row in range(out.size):
        # ‖c‖² over the columns that the row does not have, then differences in those that it has.
        total = whole[labels[row]]
        for at in range(pointers[row], pointers[row + 1]):
            there = centres[labels[row], indices[at]]
            step = np.float64(data[at]) * scale - there
            total += step * step - there * there
        out[row] = max(total, 0.0)
