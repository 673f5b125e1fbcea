"""The phrase translator as a member: tokens that keep their spaces, saved and loaded, states of strangers refused."""

import numpy as np
import polars as pl
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from gradatim.data.readers import read_table
from gradatim.errors import ArtifactError, GradatimError
from gradatim.problems import Problems
from gradatim.tasks.members import member_from_state
from gradatim.tasks.source import Source
from gradatim.tasks.translation import Translation
from gradatim.tasks.translation_phrases import PhraseTranslator, joined, spaced_tokens

VERBS = {"open": "öffnen", "close": "schließen", "save": "sichern", "find": "finden", "print": "drucken"}
THINGS = {"file": "die Datei", "page": "die Seite", "house": "das Haus", "picture": "das Bild", "song": "das Lied",
          "letter": "der Brief", "folder": "der Ordner"}


@pytest.fixture(scope="module")
def translator() -> PhraseTranslator:
    pairs = [(f"{verb} the {thing} %s.", f"{ding} %s {tu}.") for verb, tu in VERBS.items()
             for thing, ding in THINGS.items() if (verb, thing) != ("open", "page")]
    return PhraseTranslator.fit("english", [pair[0] for pair in pairs], [pair[1] for pair in pairs])


def test_words_go_where_they_belong_and_literals_are_carried_over(translator):
    said = translator.write(["open the page {name}.", "Close the house %d.", "", " \n", "save the zebra %s.\n"])
    assert said[0] == "die Seite {name} öffnen."
    assert said[1] == "Das Haus %d schließen."
    assert said[2:4] == ["", " \n"]
    assert "zebra" in said[4] and said[4].endswith("\n") and "%s" in said[4]


@pytest.mark.parametrize("text", ["Don't (ever) panic: 50!", "a/b \"c\" d.e --", "Datei »%s« – nicht", "x\n\ny...",
                                  "\ue000foo \ue001: \"\ue000\"", "(a) [b]", "日本語、です"])
def test_tokens_keep_their_spaces(text):
    assert joined(spaced_tokens(text)) == text


@given(st.text(max_size=40))
def test_any_text_can_be_split_and_joined(text):
    tokens = spaced_tokens(text)
    assert spaced_tokens(joined(tokens)) == tokens or "\uffed" in text
    assert "".join(joined(tokens).split()) == "".join(text.replace("\uffed", "").split()) or "\uffed" in text


@given(st.text(max_size=60))
def test_any_text_is_written(text):
    pairs = PhraseTranslator.fit("a", ["the house", "a book %s"], ["das Haus", "ein Buch %s"])
    assert isinstance(pairs.write([text])[0], str)


def changed(state: dict, arrays: dict, name: str, value: object) -> PhraseTranslator:
    held = {**arrays, name: value} if name in arrays else arrays
    told = state if name in arrays else {**state, name: value}
    shapes = {key: tuple(np.shape(array)) for key, array in held.items()}
    return member_from_state(told, shapes, lambda key: torch.as_tensor(held[key]),  # type: ignore[return-value]
                             Translation("german", "english"))


def test_saved_and_loaded_it_writes_the_same(translator):
    state, arrays = translator.to_state()
    again = changed(state, arrays, "column", "english")
    asked = Source(read_table(pl.DataFrame({"english": ["open the page %s.", None]})), Problems())
    assert again.answer(asked).tolist() == translator.answer(asked).tolist() == ["die Seite %s öffnen.", ""]


@pytest.mark.parametrize(("name", "change"), [
    ("starts", lambda value: value + 1), ("starts", lambda value: value[::-1].copy()),
    ("ends", lambda value: np.where(np.arange(len(value)) == 1, 10**12, value)), ("ends", lambda value: value[:0]),
    ("words", lambda value: value * 0), ("words", lambda value: value + 10**6), ("words", lambda value: -value),
    ("keys", lambda value: value[::-1].copy()), ("features", lambda value: value * np.nan),
    ("features", lambda value: value[1:]), ("ngram.tokens", lambda value: value.astype(np.int32) + 10_000),
    ("source.ends", lambda value: value + 10**9), ("starts", lambda value: value[:0]),
    ("weights", lambda value: {"word": 1.0}), ("weights", lambda value: {**value, "reach": 10**9}),
    ("weights", lambda value: {**value, "word": float("nan")}), ("weights", lambda value: {**value, "jump": "x"}),
])
def test_states_of_strangers_are_refused(translator, name, change):
    state, arrays = translator.to_state()
    with pytest.raises((ArtifactError, GradatimError, ValueError)) as error:
        changed(state, arrays, name, change(arrays[name] if name in arrays else state[name]))
    assert "\n" not in str(error.value)


def test_the_first_letter_is_as_in_the_source_where_the_language_allows():
    pairs = [("Move the song", "Déplacer le chant"), ("to move", "de déplacer"), ("we move it", "nous le déplacer"),
             ("House", "Haus"), ("the House", "das Haus")] * 3
    some = PhraseTranslator.fit("english", [pair[0] for pair in pairs], [pair[1] for pair in pairs])
    assert some._begun_alike("Déplacer le chant", "move") == "déplacer le chant"
    assert some._begun_alike("Haus", "house") == "Haus" and some._begun_alike("das", "The") == "Das"


def test_sentences_too_long_to_link_leave_a_translator_that_copies():
    long = " ".join(["word"] * 50)
    some = PhraseTranslator.fit("english", [long] * 3, [long] * 3)
    assert len(some.table.keys) == 0 and some.write(["a word, here"]) == ["a word, here"]
    assert changed(*some.to_state(), "column", "english").write(["x %s"]) == ["x %s"]
