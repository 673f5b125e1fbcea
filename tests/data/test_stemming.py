"""Porter's stems against those of two other implementations, and words that have none."""

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from gradatim.data.stemming import stem

# Words of real text and of the paper; NLTK 3.9 (original algorithm) and Snowball (porter) give them the same stems.
GOLDEN = [line.split() for line in (Path(__file__).parent / "golden_porter.txt").read_text().splitlines()]


def test_stems_equal_those_of_two_other_implementations() -> None:
    assert len(GOLDEN) > 400
    assert {word: stem(word) for word, _ in GOLDEN} == dict(GOLDEN)


def test_what_is_no_english_word_in_lower_case_stays() -> None:
    for text in ("", "as", "Running", "naïve", "l'été", "r2d2", "日本語", "foo-bar"):
        assert stem(text) == text


@given(st.text("abcdefghijklmnopqrstuvwxyz", max_size=20))
def test_a_stem_is_never_longer_than_its_word_by_more_than_an_e(word: str) -> None:
    found = stem(word)
    assert len(found) <= len(word) and (not word or found[:1] == word[:1])
