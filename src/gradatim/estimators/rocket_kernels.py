"""The loops of `rocket`: dilated convolutions with kernels of nine weights −1 and 2, and what is counted of them.

A kernel has three weights 2 among six of −1. With α = −Σ x (all nine taps) and γⱼ = 3x at tap j, its convolution is
α + γ_a + γ_b + γ_c: α is shared by all 84 kernels of a dilation and each kernel costs three further additions. Where a
kernel reads several channels, these are added up before: convolution is linear.
"""

from itertools import combinations

import numba
import numpy as np

TAPS = 9
# The places of the three weights 2, in lexicographic order: 84 kernels.
PLACES = np.array(list(combinations(range(TAPS), 3)), dtype=np.int64)


# The loops below run over slices from 0 on: an index that might be negative is tested at every step, which keeps a
# compiler from taking sixteen values at a time.


@numba.njit(cache=True, nogil=True)
def _shared(row, length, dilation, alpha, gamma):  # type: ignore[no-untyped-def]
    """α (T,) and γ (9, T) of one channel; beyond both ends the series is zero."""
    middle = gamma[4]
    for t in range(length):
        alpha[t] = -row[t]
        middle[t] = row[t] + row[t] + row[t]
    for tap in range(TAPS):
        if tap == 4:
            continue
        shift = (tap - 4) * dilation
        low = min(max(0, -shift), length)
        high = max(min(length, length - shift), low)
        line = gamma[tap]
        line[:low] = 0.0
        line[high:length] = 0.0
        values, tripled = row[low + shift : high + shift], middle[low + shift : high + shift]
        sums, moved = alpha[low:high], line[low:high]
        for t in range(high - low):
            sums[t] -= values[t]
            moved[t] = tripled[t]


@numba.njit(cache=True, nogil=True)
def _convolve(alpha, gamma, channels, places, length, out):  # type: ignore[no-untyped-def]
    """α + γ_a + γ_b + γ_c summed over the channels, (T,)."""
    for place in range(len(channels)):
        channel = channels[place]
        base = alpha[channel]
        first, second, third = gamma[channel, places[0]], gamma[channel, places[1]], gamma[channel, places[2]]
        if place == 0:
            for t in range(length):
                out[t] = base[t] + first[t] + second[t] + third[t]
        else:
            for t in range(length):
                out[t] += base[t] + first[t] + second[t] + third[t]


@numba.njit(cache=True, nogil=True, fastmath={"reassoc", "contract"})
def _share(signal, bias):  # type: ignore[no-untyped-def]
    """How many values lie above the bias. Counted in float32: sixteen at a time, exact below 2²⁴."""
    one, none, count = np.float32(1), np.float32(0), np.float32(0)
    for t in range(len(signal)):
        count += one if signal[t] > bias else none
    return count


@numba.njit(cache=True, nogil=True, fastmath={"reassoc", "contract"})
def _sums(signal, bias):  # type: ignore[no-untyped-def]
    """How many values lie above the bias, by how much in all, and the sum of their places."""
    one, none, zero = np.float32(1), np.float32(0), signal[0] * 0
    count, places, above = none, none, zero
    for t in range(len(signal)):
        over = signal[t] > bias
        count += one if over else none
        places += np.float32(np.int32(t)) if over else none
        above += signal[t] - bias if over else zero
    return count, above, places


@numba.njit(cache=True, nogil=True)
def _stretch(signal, bias):  # type: ignore[no-untyped-def]
    """The longest run of values above the bias."""
    run, best = 0, 0
    for t in range(len(signal)):
        run = run + 1 if signal[t] > bias else 0
        best = max(best, run)
    return best


@numba.njit(cache=True, nogil=True)
def transform(  # type: ignore[no-untyped-def]
    values, lengths, dilations, counts, biases, starts, channels, places, several, out
):
    """Features of rows, in place.

    values (n, C, T), lengths (n,); dilations (D,), counts (D,) biases a kernel; biases (84 · Σ counts,) in the order
    dilation, kernel, bias; starts (84 · D + 1,) into channels: which each kernel reads; several: four features a bias
    (share above, longest run, mean above, mean place) in blocks, else the share alone; out (n, features) zeros.
    """
    kernels, total = len(places), len(biases)
    most = values.shape[2]
    alpha = np.empty((values.shape[1], most), dtype=values.dtype)
    gamma = np.empty((values.shape[1], TAPS, most), dtype=values.dtype)
    signal = np.empty(most, dtype=values.dtype)
    for row in range(len(values)):
        length = lengths[row]
        if length < 1:
            continue
        feature = 0
        for level in range(len(dilations)):
            for channel in range(values.shape[1]):
                _shared(values[row, channel], length, dilations[level], alpha[channel], gamma[channel])
            edge = 4 * dilations[level]
            for kernel in range(kernels):
                place = level * kernels + kernel
                _convolve(alpha, gamma, channels[starts[place] : starts[place + 1]], places[kernel], length, signal)
                # Every other kernel leaves out the ends, where it reads beyond the series.
                inner = (level + kernel) % 2 == 1 and 2 * edge < length
                seen = signal[edge : length - edge] if inner else signal[:length]
                size = len(seen)
                for _ in range(counts[level]):
                    bias = biases[feature]
                    if several:
                        count, above, sites = _sums(seen, bias)
                        out[row, feature + total] = _stretch(seen, bias) / size
                        if count > 0:
                            out[row, feature + 2 * total] = above / count
                            out[row, feature + 3 * total] = sites / count / size
                        else:
                            out[row, feature + 3 * total] = -1.0
                    else:
                        count = _share(seen, bias)
                    out[row, feature] = count / size
                    feature += 1


@numba.njit(cache=True, nogil=True)
def signals(values, lengths, chosen, dilations, starts, channels, places, out):  # type: ignore[no-untyped-def]
    """The convolution of every dilation and kernel with the row chosen for it, (84 · D, T); for fitting the biases."""
    kernels, most = len(places), values.shape[2]
    alpha = np.empty((values.shape[1], most), dtype=values.dtype)
    gamma = np.empty((values.shape[1], TAPS, most), dtype=values.dtype)
    for place in range(len(chosen)):
        row, level = chosen[place], place // kernels
        length = lengths[row]
        read = channels[starts[place] : starts[place + 1]]
        for channel in read:
            _shared(values[row, channel], length, dilations[level], alpha[channel], gamma[channel])
        _convolve(alpha, gamma, read, places[place % kernels], length, out[place])


@numba.njit(cache=True, nogil=True)
def quantiles(rows, lengths, starts, wanted):  # type: ignore[no-untyped-def]
    """The wanted shares of each row's first values, on the line between the two nearest, as NumPy does it; float64.

    rows (n, T), lengths (n,) from 1; starts (n + 1,) into wanted: which are asked of each row.
    """
    out = np.empty(len(wanted))
    for row in range(len(rows)):
        line = np.sort(rows[row, : lengths[row]])
        for place in range(starts[row], starts[row + 1]):
            exact = wanted[place] * (len(line) - 1)
            below = min(int(exact), max(len(line) - 2, 0))
            first, last = np.float64(line[below]), np.float64(line[min(below + 1, len(line) - 1)])
            out[place] = first + (last - first) * (exact - below)
    return out
