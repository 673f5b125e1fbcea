"""Texts: four tokenizers, round trips, special tokens that are only text, limits."""

import unicodedata

import msgspec
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from gradatim.data.codecs import codec_from_json
from gradatim.data.codecs.text import LONGEST_CHOSEN, TextCodec
from gradatim.data.codecs.tokens import MODELS, PADDING, UNKNOWN, Tokens, train_tokens
from gradatim.errors import ArtifactError, CellError, SchemaError
from gradatim.files import to_json_bytes

CORPUS = [
    "The quick brown fox jumps over the lazy dog.", "A cat sat on the mat, and the dog ran off!",
    "Über den Wolken (hoch oben) ist es still.", "He said: 'the fox is quick'.", "the the the cat dog fox",
] * 4
FITTED = {model: TextCodec(tokenizer=model).fit(CORPUS) for model in MODELS}


def reread(codec):
    return codec_from_json(msgspec.json.decode(to_json_bytes(codec.to_json())))


@pytest.mark.parametrize("model", MODELS)
def test_training_texts_come_back(model):
    for text in ["the quick brown fox jumps over the lazy dog.", "a cat sat on the mat, and the dog ran off!"]:
        codec = FITTED[model]
        assert codec.decode(codec.encode(text)[0]) == text


@settings(deadline=None, max_examples=150)
@given(st.text(max_size=60))
def test_bpe_restores_any_text_up_to_case_and_form(text):
    codec = TextCodec(tokenizer="bpe", max_length=10_000, lowercase=False)
    codec.tokens = FULL_CASE
    ids = codec.encode(text)[0]
    if ids is None:
        assert not text.strip()
        return
    assert codec.decode(ids).lstrip(" ") == codec.tokens.normalise(text).lstrip(" ")
    assert ids.min() >= 2  # bytes leave nothing unknown


FULL_CASE = train_tokens(CORPUS, "bpe", lowercase=False, vocabulary=400)


@settings(deadline=None, max_examples=100)
@given(st.text(alphabet=sorted(set("".join(CORPUS))), min_size=1, max_size=60))
def test_characters_restore_known_ones(text):
    codec = FITTED["characters"]
    ids = codec.encode(text)[0]
    if ids is not None:
        assert codec.decode(ids) == codec.tokens.normalise(text)[: codec.max_length]


@settings(deadline=None, max_examples=100)
@given(st.lists(st.sampled_from(["the", "cat", "dog", "fox", "sat", "mat", "quick", "zebra"]), min_size=1, max_size=12))
def test_words_and_pieces_restore_word_lists(words):
    text = " ".join(words)
    for model in ("words", "wordpiece"):
        codec = reread(FITTED[model])
        codec.max_length = 1000
        if model == "wordpiece" or "zebra" not in words:
            assert codec.decode(codec.encode(text)[0]).replace("�", "z") == text
    assert codec.encode(text)[1].tokens >= len(words)


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize(
    "special", ["[PAD]", "<unk>", "<pad>", "[UNK]", "[CLS]", PADDING, UNKNOWN, "##a", "Ġthe", "▁the"]
)
def test_special_tokens_in_user_text_are_text(model, special):
    codec = TextCodec(tokenizer=model, max_length=1000).fit(CORPUS + [f"the {special} dog", f"a {special} cat"] * 3)
    ids = codec.encode(f"the {special} dog")[0]
    assert 0 not in ids and 1 not in ids  # trained on it: read as the words and marks that it consists of
    assert len(ids) > 2
    assert len(codec.tokens.ids(special)) == len(codec.tokens.ids(special.swapcase()))


def test_placeholder_is_never_a_token_of_text():
    for model in MODELS:
        assert not {0} & set(FITTED[model].tokens.ids(f"{PADDING} {UNKNOWN} {PADDING}"))


@pytest.mark.parametrize("model", MODELS)
def test_json_round_trip_encodes_alike(model):
    again = reread(FITTED[model])
    for text in [*CORPUS[:5], "unseen wörds 123 日本語 [PAD] \x00 \ud800"]:
        assert np.array_equal(again.encode(text)[0], FITTED[model].encode(text)[0])
    assert again.describe() == FITTED[model].describe()


@pytest.mark.parametrize("model", MODELS)
def test_training_twice_gives_the_same_tokens(model):
    assert TextCodec(tokenizer=model).fit(CORPUS).to_json() == FITTED[model].to_json()


def test_default_model_follows_the_amount_of_text():
    assert TextCodec().fit(CORPUS).tokens.model == "words"
    assert TextCodec().fit(["今日は天気がいいから散歩しましょう" * 3] * 5).tokens.model == "characters"
    assert TextCodec().fit([" ".join(CORPUS)] * 2000).tokens.model == "bpe"


def test_length_limit_and_cut():
    codec = TextCodec(tokenizer="words").fit(["a b c"] * 99 + ["a " * 600])
    assert codec.max_length == LONGEST_CHOSEN
    short = TextCodec(tokenizer="words").fit(["a b c"] * 1000 + ["a " * 50])
    assert short.max_length == 3
    ids, extent = short.encode("a b c a b")
    assert len(ids) == 3 and extent.cut and extent.tokens == 5
    assert not short.encode("a b c")[1].cut
    assert len(TextCodec(max_length=7).fit(CORPUS).encode("the " * 20)[0]) == 7


def test_words_seen_once_are_unknown():
    codec = TextCodec(tokenizer="words").fit(["cat dog", "cat bird"])
    assert codec.encode("cat dog")[0].tolist() == [2, 1]
    assert codec.decode([2, 1]) == "cat �"


def test_normalisation():
    codec = TextCodec(tokenizer="characters", lowercase=False, max_length=100)
    codec.fit([unicodedata.normalize("NFD", "Café ﬁ")] * 2)
    assert codec.decode(codec.encode("Café ﬁ")[0]) == "Café fi"
    assert FITTED["bpe"].tokens.normalise("THE Ａ") == "the a"


def test_fields_and_trim():
    codec = FITTED["words"]
    field = codec.stack([codec.encode("the cat")[0], None, codec.encode("the cat sat on the mat")[0]])
    assert field["ids"].shape == (3, 6) and field["ids"].dtype == torch.int32
    assert field["lengths"].tolist() == [2, 0, 6] and not field["ids"][1].any()
    trimmed = codec.trim({name: tensor[:2] for name, tensor in field.items()})
    assert trimmed["ids"].shape == (2, 2) and trimmed["ids"].dtype == torch.int64
    assert codec.stack([None])["ids"].shape == (1, 1)


def test_missing_empty_and_other_types():
    codec = FITTED["words"]
    assert codec.encode(None) == codec.encode("") == codec.encode(" \n ") == codec.encode(float("nan")) == (None, None)
    assert codec.encode(b"the cat")[0].tolist() == codec.encode("the cat")[0].tolist()
    assert codec.encode(12)[1].tokens == 1
    with pytest.raises(CellError):
        codec.encode(b"\xff\xfe\xfa")
    assert TextCodec().fit([None, " "]).encode("a word")[0].tolist() == [1], "all unknown, and no longer than one"
    with pytest.raises(SchemaError, match="fitted"):
        TextCodec(tokenizer="bpe").encode("a")


def test_huge_text_is_cut_before_it_is_split():
    ids, extent = FITTED["bpe"].encode("ab" * 1_000_000)
    assert len(ids) == FITTED["bpe"].max_length and extent.cut


def test_foreign_json_is_refused():
    def damaged(**changes):
        value = FITTED["bpe"].to_json()
        value["fitted"].update(changes)
        return value

    good = FITTED["bpe"].to_json()["fitted"]
    bad = [
        damaged(vocabulary=good["vocabulary"][1:]), damaged(merges=[["a", "never"]]), damaged(merges=[["a"]]),
        damaged(merges=[["a", 1]]), damaged(merges="ab"), damaged(tokenizer="regex"), damaged(max_length=-1),
        damaged(vocabulary=[*good["vocabulary"], good["vocabulary"][0]]), damaged(vocabulary=["x" * 10_000]),
        damaged(vocabulary=["a"] * 300_000), damaged(vocabulary={"a": 1}), damaged(vocabulary=[1, 2]),
        damaged(vocabulary=[*good["vocabulary"], PADDING]), damaged(tokenizer="words"),
    ]
    for value in bad:
        with pytest.raises(ArtifactError):
            codec_from_json(value)
    with pytest.raises(SchemaError):
        Tokens("characters", True, ("ab",))
