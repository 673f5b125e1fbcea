"""Word links against EM by loops, phrases against their definition, the search against all ways to translate."""

from itertools import permutations

import numpy as np
import pytest
from scipy.special import digamma

from gradatim.estimators.ngram import KneserNey
from gradatim.estimators.phrase_search import Weights, translate
from gradatim.estimators.phrase_table import LONGEST_TARGET, PhraseTable, hash_of, read_phrases
from gradatim.estimators.word_links import DIAGONAL, FREE, NOTHING, PRIOR, Sentences, fit_links

RANDOM = np.random.default_rng(4)


def corpus(pairs: int, words: int) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Targets are the sources' words in another order, with some left out."""
    sources, targets = [], []
    for _ in range(pairs):
        source = RANDOM.integers(0, words, RANDOM.integers(1, 6))
        target = (source + 1) % words
        targets.append(target[RANDOM.permutation(len(target))[: max(1, len(target) - RANDOM.integers(0, 2))]])
        sources.append(source)
    return sources, targets


def em_by_loops(sources: list[np.ndarray], targets: list[np.ndarray], vocabulary: int, rounds: int) -> dict:
    """t(f | e) and t(f | nothing) by dictionaries."""
    meets = {(int(e), int(f)) for s, t in zip(sources, targets) for e in s for f in t}
    table = dict.fromkeys(meets, 1 / vocabulary)
    lost = np.full(vocabulary, 1 / vocabulary)
    for turn in range(rounds):
        counts, lost_counts = dict.fromkeys(meets, 0.0), np.zeros(vocabulary)
        pull = DIAGONAL if turn >= FREE else 0.0
        for source, target in zip(sources, targets):
            for j, f in enumerate(target):
                near = np.array([np.exp(-pull * abs((i + 0.5) / len(source) - (j + 0.5) / len(target)))
                                 for i in range(len(source))])
                shares = (1 - NOTHING) * near / near.sum() * [table[int(e), int(f)] for e in source]
                nothing = NOTHING * lost[f]
                total = shares.sum() + nothing
                for e, share in zip(source, shares):
                    counts[int(e), int(f)] += share / total
                lost_counts[f] += nothing / total
        for e in {e for e, _ in meets}:
            mine = [key for key in meets if key[0] == e]
            bottom = digamma(sum(counts[key] for key in mine) + PRIOR * len(mine))
            for key in mine:
                table[key] = np.exp(digamma(counts[key] + PRIOR) - bottom)
        lost = np.exp(digamma(lost_counts + PRIOR) - digamma(lost_counts.sum() + PRIOR * vocabulary))
    return {"table": table, "lost": lost}


@pytest.mark.parametrize("rounds", [1, 3, 5])
def test_both_directions_are_em_with_its_priors(rounds):
    sources, targets = corpus(30, 7)
    links = fit_links(Sentences.of(sources, 7), Sentences.of(targets, 7), rounds=rounds)
    forward = em_by_loops(sources, targets, 7, rounds - 1)  # the last round only links
    backward = em_by_loops(targets, sources, 7, rounds - 1)
    cell = 0
    for source, target in zip(sources, targets):
        for e in source:
            for f in target:
                meeting = links.meeting[cell]
                assert links.forward[meeting] == pytest.approx(forward["table"][int(e), int(f)])
                assert links.backward[meeting] == pytest.approx(backward["table"][int(f), int(e)])
                cell += 1
    assert links.lost_target == pytest.approx(forward["lost"])
    assert links.lost_source == pytest.approx(backward["lost"])


def test_the_links_are_found():
    sources, targets = corpus(400, 12)
    links = fit_links(Sentences.of(sources, 12), Sentences.of(targets, 12))
    right = wrong = 0
    for number, (source, target) in enumerate(zip(sources, targets)):
        grid = links.grid[links.cells[number] : links.cells[number + 1]].reshape(len(source), len(target))
        for i, j in np.argwhere(grid):
            right += target[j] == (source[i] + 1) % 12
            wrong += target[j] != (source[i] + 1) % 12
    assert wrong < 0.1 * right and right > 900


def test_phrases_are_those_of_the_definition():
    sources, targets = corpus(25, 5)
    left, right = Sentences.of(sources, 5), Sentences.of(targets, 5)
    links = fit_links(left, right)
    links.grid[:] = RANDOM.random(len(links.grid)) < 0.3  # any links: consistency does not ask for good ones
    none = np.zeros(5, np.int64)
    table = read_phrases(left, right, links, none, none, longest=3, kept=1000)
    counts: dict[tuple, int] = {}
    for number, (source, target) in enumerate(zip(sources, targets)):
        grid = links.grid[links.cells[number] : links.cells[number + 1]].reshape(len(source), len(target))
        for a in range(len(source)):
            for b in range(a + 1, min(a + 3, len(source)) + 1):
                for c in range(len(target)):
                    for d in range(c + 1, min(c + LONGEST_TARGET, len(target)) + 1):
                        inside = grid[a:b, c:d].any()
                        outside = grid[a:b].sum() + grid[:, c:d].sum() - 2 * grid[a:b, c:d].sum()
                        if inside and not outside:
                            key = (tuple(source[a:b].tolist()), tuple(target[c:d].tolist()))
                            counts[key] = counts.get(key, 0) + 1
    assert len(table.ends) - 1 == len(counts) > 40
    for source in {key[0] for key in counts}:
        found = {tuple(words): features for words, features in table.translations(np.array(source))}
        expected = {key[1]: count for key, count in counts.items() if key[0] == source}
        assert found.keys() == expected.keys()
        for target, count in expected.items():
            of_target = sum(other for key, other in counts.items() if key[1] == target)
            assert found[target][0] == pytest.approx(np.log(count / sum(expected.values())))
            assert found[target][1] == pytest.approx(np.log(count / of_target))


def test_what_must_be_carried_over_is_on_both_sides():
    sources, targets = corpus(60, 6)
    left, right = Sentences.of(sources, 6), Sentences.of(targets, 6)
    marks = np.array([0, 0, 2, 0, 16, 0])
    table = read_phrases(left, right, fit_links(left, right), marks, np.roll(marks, 1))
    plain = read_phrases(left, right, fit_links(left, right), 0 * marks, 0 * marks)
    assert 0 < len(table.ends) < len(plain.ends)
    for source in range(6):
        for words, _ in table.translations(np.array([source])):
            assert sum(np.roll(marks, 1)[words]) == marks[source]


def tiny() -> tuple[PhraseTable, KneserNey]:
    """A table of the phrases over source words 0 to 3 and target words 1 to 5, and a bigram model."""
    entries = {}
    for phrase in [(0,), (1,), (2,), (0, 1), (1, 2), (2, 0)]:
        options = [tuple(RANDOM.integers(1, 6, RANDOM.integers(1, 3)).tolist()) for _ in range(2)]
        entries[phrase] = [(words, -RANDOM.random(4).astype(np.float32)) for words in dict.fromkeys(options)]
    keys = {phrase: int(hash_of(np.array(phrase, np.int32))) for phrase in entries}
    order = sorted(entries, key=keys.__getitem__)
    options = [option for phrase in order for option in entries[phrase]]
    model = KneserNey.fit([RANDOM.integers(1, 6, 4) for _ in range(30)], order=3, vocabulary=6)
    return PhraseTable(
        np.array([keys[phrase] for phrase in order], np.uint64),
        np.cumsum([0, *(len(entries[phrase]) for phrase in order)]).astype(np.int64),
        np.cumsum([0, *(len(words) for words, _ in options)]).astype(np.int64),
        np.array([word for words, _ in options for word in words], np.int32),
        np.array([features for _, features in options], np.float32)), model


def every_way(sentence: list[int], table: PhraseTable, model: KneserNey, weights: Weights) -> list[int]:
    """The best of all segmentations, orders and translations."""
    size = len(sentence)
    best: tuple[float, list[int]] = (-1e9, [])
    parts = np.array([weights.phrase_given_source, weights.phrase_given_target, weights.words_given_source,
                      weights.words_given_target])

    def options(start: int, end: int) -> list:
        found = table.translations(np.array(sentence[start:end]))
        return found or ([([-1 - start], np.zeros(4))] if end - start == 1 else [])

    def segments(start: int) -> list[list[tuple[int, int]]]:
        if start == size:
            return [[]]
        return [[(start, end), *rest] for end in range(start + 1, size + 1) if options(start, end)
                for rest in segments(end)]

    def choose(order: tuple, place: int, said: list[int], score: float) -> None:
        nonlocal best
        if place == len(order):
            numbers = np.array([word if word >= 0 else 6 for word in said])
            total = score + weights.language * np.log(model.probabilities(numbers)).sum()
            best = max(best, (total, said))
            return
        start, end = order[place]
        jump = abs(start - (order[place - 1][1] if place else 0))
        for words, features in options(start, end):
            more = parts @ features + weights.phrase + weights.word * len(words) + weights.jump * jump
            choose(order, place + 1, said + list(words), score + more)

    for cut in segments(0):
        for order in permutations(cut):
            choose(order, 0, [], 0.0)
    return best[1]


@pytest.mark.parametrize("sentence", [[0], [0, 1, 2], [2, 0, 1, 3], [1, 2, 0, 1], [3, 3]])
def test_the_search_finds_the_best_of_all_ways(sentence):
    table, model = tiny()
    for language in (0.0, 0.5):
        weights = Weights(word=0.1, language=language, reach=20)
        found = translate(np.array(sentence), table, model, weights, stack=5000, options=10)
        assert found == every_way(sentence, table, model, weights)


def test_without_reach_the_order_stays_and_long_texts_are_cut_in_pieces():
    table, model = tiny()
    assert translate(np.full(130, 3), table, model, Weights()) == [-1 - place for place in range(130)]
    assert translate(np.zeros(0, np.int32), table, model, Weights()) == []
    said = translate(np.array([3, 0, 3, 1, 3]), table, model, Weights(reach=0))
    assert [word for word in said if word < 0] == [-1, -3, -5]


def test_nothing_jumps_over_a_wall():
    table, model = tiny()
    free = Weights(jump=0.0, reach=20)
    for _ in range(20):
        sentence = RANDOM.integers(0, 3, 6)
        walled = np.concatenate([sentence[:3], [3], sentence[3:]])
        walls = np.arange(7) == 3
        said = translate(walled, table, model, free, walls=walls, stack=500)
        assert -4 in said
        plain = Weights(language=0.0, jump=0.0, reach=20)
        parts = [translate(part, table, model, plain, stack=500) for part in (sentence[:3], sentence[3:])]
        alone = translate(walled, table, model, plain, walls=walls, stack=500)
        place = alone.index(-4)
        assert [sorted(alone[:place]), sorted(alone[place + 1 :])] == [sorted(part) for part in parts]


def test_empty_sides_are_no_harm():
    empty, some = np.zeros(0, np.int32), np.array([1, 0], np.int32)
    left, right = Sentences.of([empty, some, some], 2), Sentences.of([some, empty, some], 2)
    links = fit_links(left, right)
    assert len(links.grid) == 4
