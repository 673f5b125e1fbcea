"""The two walks through memory of `gradatim.nn.attention.decode_attention`, compiled by numba."""

import numba
import numpy as np


@numba.njit(cache=True, nogil=True, fastmath={"reassoc", "contract"})
def meet(query, keys, scores):  # type: ignore[no-untyped-def]
    """Products of each query (N, d) with its keys (L, N, d), to scores (L, N)."""
    for place in range(keys.shape[0]):
        for row in range(keys.shape[1]):
            product = np.float32(0)
            for j in range(keys.shape[2]):
                product += query[row, j] * keys[place, row, j]
            scores[place, row] = product


@numba.njit(cache=True, nogil=True, fastmath={"reassoc", "contract"})
def mix(shares, values, mixed):  # type: ignore[no-untyped-def]
    """Sums of values (L, N, d) by their shares (L, N), to mixed (N, d)."""
    mixed[:] = 0
    for place in range(values.shape[0]):
        for row in range(values.shape[1]):
            share = shares[place, row]
            for j in range(values.shape[2]):
                mixed[row, j] += share * values[place, row, j]
