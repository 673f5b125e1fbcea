"""BLEU, chrF and ROUGE: equal to sacrebleu, to a closed form, and their intervals."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gradatim.evaluate.texts import (
    compare_texts,
    counts_of,
    measure_texts,
    resampled,
    rouge_1,
    rouge_l,
    row_scores,
    signature,
    value_of,
)

SACREBLEU = pytest.importorskip("sacrebleu")
SEEN = ["a", "the", "cat", "dog", "sat", "on", "mat", ",", ".", "Ärger", "%s"]
WORDS = st.lists(st.sampled_from(SEEN), max_size=9).map(" ".join)
PAIRS = st.lists(st.tuples(WORDS, WORDS), min_size=1, max_size=8)


@settings(max_examples=80, deadline=None)
@given(PAIRS)
def test_corpus_values_are_those_of_sacrebleu(pairs):
    said, references = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
    theirs = {"bleu": SACREBLEU.corpus_bleu(said, [references]).score,
              "chrf": SACREBLEU.corpus_chrf(said, [references]).score}
    for name, value in theirs.items():
        ours = measure_texts(name, said, references, draws=10)["value"]
        if name == "bleu" and SACREBLEU.corpus_bleu(said, [references]).counts[0] == 0:
            assert ours == 0  # sacrebleu smooths even where no word at all is right
        else:
            assert ours == pytest.approx(value, abs=1e-6)


def test_what_is_right_scores_full_marks_and_rows_add_up():
    references = ["Die Datei wurde gespeichert.", "Der Pfad /tmp ist nicht da: %s", "Ende der Liste erreicht"]
    for name in ("bleu", "chrf", "rouge_l", "rouge_1"):
        found = measure_texts(name, references, references)
        assert found["value"] == pytest.approx(100) and found["low"] == pytest.approx(100)
        assert measure_texts(name, ["xx yy"] * 3, references)["value"] < 12
    assert np.allclose(row_scores("chrf", references, references), 100)
    said = ["Die Datei ist gespeichert.", "Pfad %s", "Ende"]
    for name in ("chrf", "bleu", "rouge_l"):
        alone = [counts_of(name, [one], [other]) for one, other in zip(said, references)]
        assert np.allclose(np.concatenate(alone), counts_of(name, said, references))
    assert "version:" in signature("chrf")


def test_intervals_narrow_with_rows_and_a_paired_difference_is_narrower_than_two():
    random = np.random.default_rng(0)
    references = [f"one two three four five six {number % 37}" for number in range(400)]
    said = [text if random.random() < 0.7 else "one two something else" for text in references]
    worse = [text if random.random() < 0.95 else "four three" for text in said]
    few, many = (measure_texts("chrf", said[:n], references[:n]) for n in (40, 400))
    assert many["high"] - many["low"] < few["high"] - few["low"]
    gain = compare_texts("chrf", said, worse, references)
    assert gain["low"] > 0 and gain["wins"] == 1.0
    assert gain["value"] == pytest.approx(many["value"] - measure_texts("chrf", worse, references)["value"])
    assert gain["high"] - gain["low"] < many["high"] - many["low"]
    same = compare_texts("bleu", said, said, references)
    assert same == {"value": 0.0, "low": 0.0, "high": 0.0, "wins": 0.0}
    again = measure_texts("chrf", said, references)
    assert again == many


def test_resampled_sums_have_the_mean_of_the_rows():
    counts = np.arange(60.0).reshape(20, 3)
    drawn = resampled(counts, seed=1, draws=4000)
    assert np.allclose(drawn.mean(axis=0), counts.sum(axis=0), rtol=0.02)
    assert np.allclose(value_of("rouge_l", np.array([[3.0]]), 4), 75)


def longest(one: list[str], other: list[str]) -> int:
    if not one or not other:
        return 0
    if one[0] == other[0]:
        return 1 + longest(one[1:], other[1:])
    return max(longest(one[1:], other), longest(one, other[1:]))


@settings(max_examples=60, deadline=None)
@given(st.lists(st.sampled_from("abc"), max_size=7), st.lists(st.sampled_from("abc"), max_size=7))
def test_rouge_against_brute_force(one, other):
    found = rouge_l(" ".join(one), " ".join(other))
    size = len(one) + len(other)
    if not one or not other:
        assert found == float(one == other)
    else:
        assert found == pytest.approx(2 * longest(one, other) / size)
    assert rouge_1(" ".join(one), " ".join(sorted(one))) == 1.0
