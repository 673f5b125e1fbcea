"""Forward and backward over many chains of tags at once, compiled: what a CRF on sparse features is fitted by.

Sentences lie one after the other, token by token; `offsets` (S + 1,) says where each begins. The recursions run on
probabilities that are scaled to sum to 1 at each token (Rabiner 1989, § V.A), which needs no logarithm a step; the
scales give log Z.
"""

import numba
import numpy as np

# The least share of the best tag's score that is reckoned with: products of smaller numbers would soon be denormal,
# which processors take a hundred times as long for.
LEAST = 1e-30


@numba.njit(cache=True, nogil=True, error_model="numpy")
def expectations(scores, transitions, start, end, offsets, marginals, pairs, firsts, lasts):  # type: ignore[no-untyped-def]
    """Sum of log Z over all chains; fills marginals (T, C), and adds up what is expected of each transition (C, C),
    first tag (C,) and last tag (C,).

    scores (T, C) of the tags at each token, transitions (C, C) from tag to tag, start (C,), end (C,), all float64.
    """
    classes = scores.shape[1]
    moves, opens, closes = np.exp(transitions), np.exp(start), np.exp(end)
    longest = 0
    for chain in range(len(offsets) - 1):
        longest = max(longest, offsets[chain + 1] - offsets[chain])
    forward = np.empty((longest, classes))
    emitted = np.empty((longest, classes))
    scales = np.empty(longest)
    backward, before = np.empty(classes), np.empty(classes)
    total = 0.0
    for chain in range(len(offsets) - 1):
        first, length = offsets[chain], offsets[chain + 1] - offsets[chain]
        if length == 0:
            continue
        for time in range(length):
            top = scores[first + time].max()
            total += top
            for c in range(classes):
                emitted[time, c] = max(np.exp(scores[first + time, c] - top), LEAST)
            for c in range(classes):
                value = opens[c]
                if time > 0:
                    value = 0.0
                    for b in range(classes):
                        value += forward[time - 1, b] * moves[b, c]
                forward[time, c] = value * emitted[time, c]
            scales[time] = forward[time].sum()
            total += np.log(scales[time])
            forward[time] /= scales[time]
        ended = 0.0
        for c in range(classes):
            ended += forward[length - 1, c] * closes[c]
        total += np.log(ended)
        for c in range(classes):
            backward[c] = closes[c] / ended
        for time in range(length - 1, -1, -1):
            for c in range(classes):
                marginals[first + time, c] = forward[time, c] * backward[c]
            if time == length - 1:
                lasts += marginals[first + time]
            if time == 0:
                firsts += marginals[first]
                break
            for c in range(classes):
                before[c] = emitted[time, c] * backward[c] / scales[time]
            for b in range(classes):
                value = 0.0
                for c in range(classes):
                    step = moves[b, c] * before[c]
                    value += step
                    pairs[b, c] += forward[time - 1, b] * step
                backward[b] = value
    return total


@numba.njit(cache=True, nogil=True)
def best_paths(scores, transitions, start, end, offsets):  # type: ignore[no-untyped-def]
    """Viterbi: the best tags of each chain, int64 (T,); of equal ones the lower number at the latest difference."""
    classes = scores.shape[1]
    path = np.zeros(len(scores), dtype=np.int64)
    origin = np.zeros((len(scores), classes), dtype=np.int64)
    best, after = np.empty(classes), np.empty(classes)
    for chain in range(len(offsets) - 1):
        first, last = offsets[chain], offsets[chain + 1] - 1
        if last < first:
            continue
        best[:] = start + scores[first]
        for time in range(first + 1, last + 1):
            for c in range(classes):
                top, place = best[0] + transitions[0, c], 0
                for b in range(1, classes):
                    value = best[b] + transitions[b, c]
                    if value > top:
                        top, place = value, b
                after[c] = top + scores[time, c]
                origin[time, c] = place
            best[:] = after
        path[last] = np.argmax(best + end)
        for time in range(last, first, -1):
            path[time - 1] = origin[time, path[time]]
    return path


@numba.njit(cache=True, nogil=True)
def emissions_of(pointers, features, starts, tags, weights, scores):  # type: ignore[no-untyped-def]
    """Fills scores (T, C): the sum of the weights of each token's features.

    pointers (T + 1,) into features: those of each token; starts (F + 1,) into tags and weights: the tags that a feature
    speaks for, since most features were seen with one or two of them.
    """
    scores[:] = 0.0
    for token in range(len(pointers) - 1):
        for place in range(pointers[token], pointers[token + 1]):
            feature = features[place]
            for pair in range(starts[feature], starts[feature + 1]):
                scores[token, tags[pair]] += weights[pair]


@numba.njit(cache=True, nogil=True)
def expected_uses(pointers, features, starts, tags, marginals, uses):  # type: ignore[no-untyped-def]
    """Fills uses, one a weight: how often it is expected to be used, by the marginals (T, C); see `emissions_of`."""
    uses[:] = 0.0
    for token in range(len(pointers) - 1):
        for place in range(pointers[token], pointers[token + 1]):
            feature = features[place]
            for pair in range(starts[feature], starts[feature + 1]):
                uses[pair] += marginals[token, tags[pair]]
