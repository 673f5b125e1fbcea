"""Lossless tokens: every text comes back, whatever it holds; streams read as they are made; JSON of strangers."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gradatim.data.codecs.lossless import KINDS, LosslessTokens, Reader
from gradatim.data.encoding import without_lone_surrogates
from gradatim.errors import ArtifactError

TRAINING = ["The cat sat on the mat.", "the dog — sat\n\ton the café's mat!", "la niña 日本 日本", "aa bb aa bb 12 12"]
ODD = ["", " ", "\n\n\r\n", "a\u0301e\u0308", "👩‍👩‍👧‍👦🏳️‍🌈", "\u202eabc\u202c", "\x00\x01\ufffd\ufeff", "𝔘𝔫𝔦", "ﬁ Å K",
       "[PAD] <unk> ##ing Ġthe", "  two  spaces  ", "x" * 3000, "\U0010ffff\ufdd0", "日本語のテキスト", "أهلا"]


@pytest.fixture(scope="module", params=KINDS)
def tokens(request: pytest.FixtureRequest) -> LosslessTokens:
    return LosslessTokens.train(TRAINING, request.param, vocabulary=300)


@settings(max_examples=150, deadline=None)
@given(text=st.text(max_size=60))
def test_every_text_comes_back(tokens: LosslessTokens, text: str) -> None:
    ids = tokens.ids(text)
    assert tokens.text(ids) == without_lone_surrogates(text)
    assert len(ids) == 0 or (ids.min() > 0 and ids.max() < len(tokens))


@pytest.mark.parametrize("text", [*ODD, *TRAINING, "half \ud83d of a pair \ude00"])
def test_odd_texts_come_back_and_are_read_as_they_are_made(tokens: LosslessTokens, text: str) -> None:
    ids = tokens.ids(text)
    assert tokens.text(ids) == without_lone_surrogates(text)
    reader = Reader(tokens)
    assert "".join(reader(int(token)) for token in ids) + reader.end() == without_lone_surrogates(text)
    assert "".join(tokens.pieces(ids)) == without_lone_surrogates(text)


def test_many_texts_at_once_have_the_same_ids(tokens: LosslessTokens) -> None:
    texts = [*ODD, *TRAINING, "half \ud83d of a pair", "la la " * 500]
    assert [ids.tolist() for ids in tokens.many(texts)] == [tokens.ids(text).tolist() for text in texts]


@settings(max_examples=100, deadline=None)
@given(ids=st.lists(st.integers(0, 2000), max_size=30))
def test_any_ids_have_a_text(tokens: LosslessTokens, ids: list[int]) -> None:
    tokens.text(token % len(tokens) for token in ids).encode()


def test_json_comes_back(tokens: LosslessTokens) -> None:
    again = LosslessTokens.from_json(tokens.to_json())
    assert again == tokens
    assert [again.ids(text).tolist() for text in ODD] == [tokens.ids(text).tolist() for text in ODD]


def test_what_a_tokenizer_is() -> None:
    characters = LosslessTokens.train(["aab", "b"], "characters")
    assert characters.vocabulary == ("a", "b")
    assert characters.ids("ab").tolist() == [17, 18] and len(characters.ids("é")) == 4
    words = LosslessTokens.train(["the cat", "the cat the"], "words")
    assert len(words.ids("the cat")) == 2 and len(words.ids("the cow")) == 1 + 4 + 2  # c is known, o and w are spelled
    few = LosslessTokens.train(["abc " * 50], "subwords", vocabulary=260)
    assert len(few) <= 261 and len(few.ids("abc abc")) < 7


@pytest.mark.parametrize("value", [
    None, {}, {"kind": "runes", "vocabulary": [], "merges": []},
    {"kind": "characters", "vocabulary": ["ab"], "merges": []},
    {"kind": "words", "vocabulary": ["a", "a"], "merges": []}, {"kind": "words", "vocabulary": [""], "merges": []},
    {"kind": "words", "vocabulary": ["a"], "merges": [["a", "a"]]}, {"kind": "words", "vocabulary": [3], "merges": []},
    {"kind": "subwords", "vocabulary": ["a"], "merges": []}, {"kind": "words", "vocabulary": "ab", "merges": []},
])
def test_damaged_json_is_refused(value: object) -> None:
    with pytest.raises(ArtifactError, match="tokens codec"):
        LosslessTokens.from_json(value)
