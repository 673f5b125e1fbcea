"""IBM model 1 against EM written out in dictionaries, and what its table says."""

from collections import defaultdict

import numpy as np
import pytest

from gradatim.estimators.alignment import EMPTY, fit_word_table, words_of

SOURCES = ["the house is small", "the house is big", "the book is small", "a book", "my house", "the the book"]
TARGETS = ["das Haus ist klein", "das Haus ist groß", "das Buch ist klein", "ein Buch", "mein Haus", "das Buch"]


def by_hand(sources: list[list[str]], targets: list[list[str]], rounds: int) -> tuple[dict, list[float]]:
    """t[f, e] by loops, from uniform over the words that e meets."""
    meets = defaultdict(set)
    for source, target in zip(sources, targets):
        for e in [EMPTY, *source]:
            meets[e] |= set(target)
    t = {(f, e): 1 / len(meets[e]) for e in meets for f in meets[e]}
    likelihoods = []
    for _ in range(rounds):
        count, total, log = defaultdict(float), defaultdict(float), 0.0
        for source, target in zip(sources, targets):
            places = [EMPTY, *source]
            for f in target:
                bottom = sum(t[f, e] for e in places)
                log += np.log(bottom / len(places))
                for e in places:
                    count[f, e] += t[f, e] / bottom
                    total[e] += t[f, e] / bottom
        t = {(f, e): count[f, e] / total[e] for f, e in t}
        likelihoods.append(log)
    return t, likelihoods


@pytest.mark.parametrize("rounds", [1, 3, 9])
def test_equal_to_loops(rounds):
    sources, targets = [words_of(s) for s in SOURCES], [words_of(t) for t in TARGETS]
    table = fit_word_table(sources, targets, rounds=rounds, kept=50)
    expected, likelihoods = by_hand(sources, targets, rounds)
    for word in table.sources:
        found = dict(table.translations(word))
        assert found.keys() == {f for (f, e), share in expected.items() if e == word and share > 1e-4}
        assert all(share == pytest.approx(expected[f, word], abs=1e-6) for f, share in found.items())
        assert sorted(found.values(), reverse=True) == list(found.values())
    assert table.log_likelihoods == pytest.approx(likelihoods)
    assert list(table.log_likelihoods) == sorted(table.log_likelihoods)
    assert EMPTY not in table.sources


def test_writes_word_for_word_and_copies_what_it_never_saw():
    table = fit_word_table([words_of(s) for s in SOURCES], [words_of(t) for t in TARGETS], rounds=20)
    assert table.write("The  book is small, my Foo_9!") == "Das  Buch ist klein, mein Foo_9!"
    assert table.write("") == ""
    with pytest.raises(ValueError, match="at least one pair"):
        fit_word_table([["a"]], [[]])
