"""The loops of `hydra`: dilated convolutions in groups, and which kernel of a group wins at each step.

The steps are taken in blocks of sixty-four. A block holds the nine taps side by side, so that the compiler sees one
array with constant distances and takes sixteen steps at a time; a group's winners so far never leave the cache.
"""

import numba
import numpy as np

TAPS = 9
BLOCK = 64  # steps
HELD = TAPS * BLOCK


@numba.njit(cache=True, nogil=True)
def _sum_channels(values, channels, length, out):  # type: ignore[no-untyped-def]
    """The channels (one may occur twice) added up, (T,)."""
    out[:length] = values[channels[0], :length]
    for place in range(1, len(channels)):
        line = values[channels[place]]
        for t in range(length):
            out[t] += line[t]


@numba.njit(cache=True, nogil=True)
def _lay_out(signal, length, dilation, blocks):  # type: ignore[no-untyped-def]
    """Block after block the nine taps of sixty-four steps; beyond both ends the series is zero."""
    for start in range(0, length, BLOCK):
        block = blocks[start // BLOCK * HELD : (start // BLOCK + 1) * HELD]
        lanes = min(BLOCK, length - start)
        for tap in range(TAPS):
            first = start + (tap - 4) * dilation
            line = block[tap * BLOCK : (tap + 1) * BLOCK]
            low = min(max(0, -first), lanes)
            high = max(min(lanes, length - first), low)
            line[:low] = 0
            line[low:high] = signal[first + low : first + high]
            line[high:] = 0


@numba.njit(cache=True, nogil=True, fastmath={"contract", "reassoc"})
def _compete(block, weights, state):  # type: ignore[no-untyped-def]
    """state: per step the largest answer of the group, whose it is, the smallest and whose; of equals the first."""
    for kernel in range(len(weights)):
        row = weights[kernel]
        w0, w1, w2, w3, w4, w5, w6, w7, w8 = row[0], row[1], row[2], row[3], row[4], row[5], row[6], row[7], row[8]
        number = row[0] * 0 + kernel
        for t in range(BLOCK):
            answer = (w0 * block[t] + w1 * block[BLOCK + t] + w2 * block[2 * BLOCK + t] + w3 * block[3 * BLOCK + t]
                      + w4 * block[4 * BLOCK + t] + w5 * block[5 * BLOCK + t] + w6 * block[6 * BLOCK + t]
                      + w7 * block[7 * BLOCK + t] + w8 * block[8 * BLOCK + t])
            over = kernel == 0 or answer > state[t]
            under = kernel == 0 or answer < state[2 * BLOCK + t]
            state[t] = answer if over else state[t]
            state[BLOCK + t] = number if over else state[BLOCK + t]
            state[2 * BLOCK + t] = answer if under else state[2 * BLOCK + t]
            state[3 * BLOCK + t] = number if under else state[3 * BLOCK + t]


@numba.njit(cache=True, nogil=True, fastmath={"contract", "reassoc"})
def _count(state, lanes, heights, wins):  # type: ignore[no-untyped-def]
    """Add to each kernel the answers with which it was the largest, and how often it was the smallest."""
    none = state[0] * 0
    for kernel in range(len(heights)):
        number = none + kernel
        height, count = none, none
        for t in range(lanes):
            height += state[t] if state[BLOCK + t] == number else none
            count += none + 1 if state[3 * BLOCK + t] == number else none
        heights[kernel] += height
        wins[kernel] += count


@numba.njit(cache=True, nogil=True)
def compete(values, lengths, dilations, weights, channels, out):  # type: ignore[no-untyped-def]
    """Counts of rows, in place.

    values (n, C, T), lengths (n,); dilations (D,); weights (D, G, K, 9); channels (D, G, R): which each group adds up;
    out (n, D, 2, G, K) zeros: the sum of the answers where a kernel was the largest of its group, and how often it was
    the smallest.
    """
    most = values.shape[2]
    signal = np.empty(most, dtype=values.dtype)
    blocks = np.empty((most + BLOCK - 1) // BLOCK * HELD, dtype=values.dtype)
    state = np.zeros(4 * BLOCK, dtype=values.dtype)
    single = values.shape[1] == 1
    for row in range(len(values)):
        length = lengths[row]
        if length < 1:
            continue
        for level in range(len(dilations)):
            if single:
                _lay_out(values[row, 0], length, dilations[level], blocks)
            for group in range(weights.shape[1]):
                if not single:
                    _sum_channels(values[row], channels[level, group], length, signal)
                    _lay_out(signal, length, dilations[level], blocks)
                heights, wins = out[row, level, 0, group], out[row, level, 1, group]
                for start in range(0, length, BLOCK):
                    _compete(blocks[start // BLOCK * HELD : (start // BLOCK + 1) * HELD], weights[level, group], state)
                    _count(state, min(BLOCK, length - start), heights, wins)
