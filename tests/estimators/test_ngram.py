"""n-grams: equal to a brute-force reading of the equations, normalised, safe to load."""

from collections import Counter, defaultdict
from collections.abc import Callable, Sequence

import numpy as np
import pytest

from gradatim.errors import ArtifactError, GradatimError
from gradatim.estimators.ngram import KneserNey, discounts_of


def brute_force(texts: Sequence[np.ndarray], order: int, vocabulary: int) -> Callable[[int, Sequence[int]], float]:
    """p(token, history) by Chen & Goodman's equations over dictionaries; histories begin with 0, the start."""
    occurrences: list[Counter[tuple[int, ...]]] = [Counter() for _ in range(order + 1)]
    for text in texts:
        whole = (0, *text.tolist(), 0)
        for length in range(1, order + 1):
            for begin in range(1 if length == 1 else 0, len(whole) - length + 1):
                occurrences[length][whole[begin : begin + length]] += 1
    counts: list[dict[tuple[int, ...], int]] = [{} for _ in range(order + 1)]
    counts[order] = dict(occurrences[order])
    for length in range(order - 1, 0, -1):
        before = defaultdict(set)
        for gram in occurrences[length + 1]:
            before[gram[1:]].add(gram[0])
        for gram, count in occurrences[length].items():
            begins = length > 1 and gram[0] == 0
            counts[length][gram] = count if begins else len(before[gram])
    discounts = [discounts_of(np.array(list(level.values()))) if level else (0.0,) * 3 for level in counts]
    after: list[dict[tuple[int, ...], dict[int, int]]] = [defaultdict(dict) for _ in range(order + 1)]
    for length in range(1, order + 1):
        for gram, count in counts[length].items():
            after[length][gram[:-1]][gram[-1]] = count

    def probability(token: int, history: Sequence[int]) -> float:
        context = tuple(history)[-(order - 1) :] if order > 1 else ()
        shorter = 1 / vocabulary if not context else probability(token, context[1:])
        seen = after[len(context) + 1].get(context)
        if not seen:
            return shorter
        taken = [discounts[len(context) + 1][min(count, 3) - 1] for count in seen.values()]
        own = seen.get(token, 0)
        rest = own - discounts[len(context) + 1][min(own, 3) - 1] if own else 0.0
        return (rest + sum(taken) * shorter) / sum(seen.values())

    return probability


@pytest.fixture(scope="module")
def texts() -> list[np.ndarray]:
    random = np.random.default_rng(0)
    return [np.minimum(random.geometric(0.35, random.integers(0, 30)), 4) for _ in range(60)]


@pytest.mark.parametrize("order", [1, 2, 3, 5])
def test_equal_to_brute_force_and_summing_to_one(texts: list[np.ndarray], order: int) -> None:
    vocabulary = 6  # token 5 is never seen
    model = KneserNey.fit(texts, order=order, vocabulary=vocabulary)
    probability = brute_force(texts, order, vocabulary)
    for text in [*texts[:8], np.array([5, 5, 1, 2, 5]), np.zeros(0, int)]:
        history, expected = [0], []
        for token in [*text.tolist(), 0]:
            expected.append(probability(token, history))
            history.append(token)
        np.testing.assert_allclose(model.probabilities(text), expected, rtol=2e-5)
        given = model.distribution(model.read(model.start, text))
        assert abs(given.sum() - 1) < 1e-5
        np.testing.assert_allclose(given, [probability(token, history[:-1]) for token in range(vocabulary)], rtol=2e-5)


def test_longer_contexts_are_tokens_of_shorter_ones() -> None:
    """'York' follows 'New' alone: after anything else it is rarer than 'cat', which has many predecessors."""
    new, york, cat, others = 1, 2, 3, [4, 5, 6, 7, 8]
    texts = [np.array([new, york])] * 20 + [np.array([other, cat]) for other in others]
    model = KneserNey.fit(texts, order=2, vocabulary=10)
    unseen = model.distribution(model.read(model.start, np.array([9])))
    assert unseen[cat] > unseen[york]
    assert model.distribution(model.read(model.start, np.array([new])))[york] > 0.9


def test_arrays_come_back_and_hostile_ones_are_refused(texts: list[np.ndarray]) -> None:
    model = KneserNey.fit(texts, order=4, vocabulary=6)
    arrays = model.arrays()
    again = KneserNey.from_arrays(6, arrays)
    np.testing.assert_array_equal(again.probability, model.probability)
    assert arrays["tokens"].dtype == np.uint8
    damaged = [
        {**arrays, "tokens": arrays["tokens"][::-1].copy()}, {**arrays, "tokens": arrays["tokens"] + 3},
        {**arrays, "children": arrays["children"][:-1]}, {**arrays, "children": np.roll(arrays["children"], 1)},
        {**arrays, "counts": arrays["counts"] * 0}, {**arrays, "levels": arrays["levels"] + 1},
        {**arrays, "levels": np.array([1])}, {name: arrays[name] for name in ("tokens", "levels")},
        {**arrays, "counts": arrays["counts"].reshape(1, -1)},
    ]
    for one in damaged:
        with pytest.raises(ArtifactError):
            KneserNey.from_arrays(6, one)
    with pytest.raises(ArtifactError):
        KneserNey.from_arrays(3, arrays)


def test_memory_is_bounded_and_bad_arguments_are_named(texts: list[np.ndarray]) -> None:
    assert KneserNey.fit(texts, order=9, vocabulary=6, most_nodes=200).order < 9
    for order in (0, 99):
        with pytest.raises(GradatimError, match="order"):
            KneserNey.fit(texts, order=order, vocabulary=6)
    with pytest.raises(GradatimError, match="at least one text"):
        KneserNey.fit([], order=2, vocabulary=6)
    with pytest.raises(GradatimError, match="tokens from 0 to 2"):
        KneserNey.fit(texts, order=2, vocabulary=3)
