"""Tokens of pairs, batches of like length, opponents, and the copying of words that were never seen."""

from dataclasses import replace
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from gradatim.data.placeholders import MARKERS
from gradatim.data.readers import read_table
from gradatim.device import Placement
from gradatim.errors import ArtifactError, GradatimError
from gradatim.estimators.alignment import fit_word_table
from gradatim.models.address import build
from gradatim.nn.beam_search import Decoded
from gradatim.nn.next_token import after_last, vocabulary_logits
from gradatim.problems import Problems
from gradatim.tasks.source import Source
from gradatim.tasks.translation import placeholders_kept
from gradatim.tasks.translation_batches import Buckets, CrossEntropy, EncodedPairs, Texts, expected_of, padded, teach
from gradatim.tasks.translation_members import Copier, PairMemory, WordByWord, lead, pack, unpack
from gradatim.tasks.translation_network import TranslatorMember, blueprint_of, picked
from gradatim.tasks.translation_tokens import BOUNDARY, PairTokens, is_known, known_words
from gradatim.tasks.translation_training import give_lexicon

SOURCES = ["open the file %s", "close the file", "open the window", "save the file as {name}", "the window is open"]
TARGETS = ["öffne die Datei %s", "schließe die Datei", "öffne das Fenster", "speichere die Datei als {name}",
           "das Fenster ist offen"]
TOKENS = PairTokens.train(SOURCES, TARGETS, vocabulary=300)


@settings(max_examples=150, deadline=None)
@given(st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=40))
def test_any_text_comes_back(text):
    encoded = TOKENS.source(text)
    if not encoded.cut:
        assert TOKENS.text(encoded.ids, encoded.literals) == text
        assert "".join(TOKENS.pieces(encoded.ids, encoded.literals)) == text
    assert (encoded.ids > BOUNDARY).all() and (encoded.ids < len(TOKENS)).all()


def test_tokens_survive_json_and_cut_with_a_count():
    again = PairTokens.from_json(TOKENS.to_json())
    assert again.source("the fenster").ids.tolist() == TOKENS.source("the fenster").ids.tolist()
    short = replace(TOKENS, source_length=3, target_length=2)
    encoded = short.source("open the file and the window")
    assert len(encoded.ids) == 3 and encoded.cut
    pairs = EncodedPairs(short, Texts(list(SOURCES), list(TARGETS)), np.arange(5))
    assert pairs.cut_sources >= 4 and pairs.cut_targets == 5
    for broken in ({}, {"subwords": 3}, {**TOKENS.to_json(), "source_length": -1}):
        with pytest.raises(GradatimError):
            PairTokens.from_json(broken)
    known = known_words(["The cat", "a dog"])
    assert is_known("cat", known) and is_known("THE", known) and not is_known("mouse", known)
    assert not is_known("x", known_words([]))


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(1, 60), min_size=1, max_size=80), st.integers(1, 300))
def test_buckets_hold_every_row_once_within_the_budget(lengths, budget):
    sizes = np.array(lengths)
    buckets = Buckets(sizes, budget, seed=3)
    for epoch in range(2):
        batches = buckets.epoch(epoch)
        assert len(batches) == len(buckets)
        assert sorted(np.concatenate(batches).tolist()) == list(range(len(sizes)))
        assert all(len(batch) == 1 or len(batch) * sizes[batch].max() <= budget for batch in batches)
    assert all(np.array_equal(a, b) for a, b in zip(buckets.epoch(1), Buckets(sizes, budget, seed=3).epoch(1)))


def member(**changes: Any) -> TranslatorMember:
    blueprint = blueprint_of("attention", TOKENS, {"width": 16, "dropout": 0.0})
    torch.manual_seed(0)
    return replace(TranslatorMember("english", TOKENS, blueprint, build(blueprint), Placement(), 2, 0.6, False,
                                    known_words(SOURCES), known_words(TARGETS)), **changes)


def test_the_loss_is_that_of_each_token_smoothed():
    pairs = EncodedPairs(TOKENS, Texts(list(SOURCES), list(TARGETS)), np.arange(5))
    batch = pairs.batch(np.array([0, 3, 1]))
    network = member().network
    taught, expected = teach(network, batch), expected_of(batch)
    logits = taught[0]
    assert len(expected) == sum(len(pairs.targets[row]) + 1 for row in (0, 3, 1))
    shares = logits.log_softmax(1)
    true = -shares.gather(1, expected[:, None]).mean()
    by_hand = 0.9 * true - 0.1 * shares.mean()
    torch.testing.assert_close(CrossEntropy(0.1)(taught, batch), by_hand)
    alone = [teach(network, pairs.batch(np.array([row])))[0] for row in (0, 3, 1)]
    torch.testing.assert_close(torch.cat(alone), logits, atol=1e-5, rtol=1e-4)
    assert F.cross_entropy(logits, expected).isfinite()


def test_a_lexicon_is_mixed_in_alike_when_taught_and_when_written():
    pairs = EncodedPairs(TOKENS, Texts(list(SOURCES), list(TARGETS)), np.arange(5))
    table = fit_word_table([list(map(str, source.ids)) for source in pairs.sources],
                           [list(map(str, target)) for target in pairs.targets], kept=8)
    blueprint = blueprint_of("attention", TOKENS, {"width": 16, "dropout": 0.0, "lexicon": 8})
    network: Any = build(blueprint).eval()
    give_lexicon(network, table)
    word = next(iter(table.places))
    assert [(str(token), share) for token, share in zip(network.lexicon_ids[int(word)].tolist(),
                                                        network.lexicon_shares[int(word)].tolist()) if share > 0] == [
        (token, pytest.approx(share)) for token, share in table.translations(word)]
    batch = pairs.batch(np.array([0, 2]))
    source, target = batch.inputs["source"], batch.targets["target"]
    with torch.no_grad():
        logits, gate, shares = teach(network, batch)
        expected = expected_of(batch)
        mixed = ((1 - gate) * logits.softmax(1).gather(1, expected[:, None])[:, 0] + gate * shares).log()
        state, place = network.read(source["ids"], source["lengths"]), 0
        lengths = target["lengths"].tolist()
        for time in range(target["written"].shape[1]):
            logs, state = network.step(target["written"][:, time], state)
            torch.testing.assert_close(logs.exp().sum(1), torch.ones(2), atol=0.05, rtol=0)
            for row in range(2):
                if time < lengths[row]:
                    place = sum(lengths[:row]) + time
                    torch.testing.assert_close(logs[row, expected[place]], mixed[place], atol=1e-3, rtol=1e-3)
        assert CrossEntropy(0.0)((logits, gate, shares), batch) == pytest.approx(-float(mixed.mean()), abs=1e-3)


def test_written_texts_do_not_hang_on_their_neighbours_and_empty_ones_stay_empty():
    translator = member()
    together = translator.write([*SOURCES, "", "x"])
    assert together[5] == ""
    assert [translator.write([text])[0] for text in SOURCES] == together[:5]


def test_penalties_pick_from_the_beams_by_the_formula():
    ids = torch.tensor([[[5, 1, 1, 1], [5, 6, 7, 1], [8, 8, 8, 8]]])
    decoded = Decoded(ids, torch.tensor([[2, 4, 4]]), torch.tensor([[-2.0, -2.5, -0.1]]).double(),
                      torch.zeros(1, 3).double(), torch.tensor([[True, True, False]]))
    assert picked(decoded, 0.0) == [[5]]
    assert picked(decoded, 1.0) == [[5, 6, 7]]  # −2.5 · 6 / 9 > −2 · 6 / 7
    translator = member()
    plain, longer = translator.write_by_penalty(SOURCES, [0.6, 3.0])
    assert plain == translator.write(SOURCES) and sum(map(len, longer)) >= sum(map(len, plain))


def test_made_up_words_become_the_unseen_source_word_they_looked_at(monkeypatch):
    translator = member(copying=True)
    source = TOKENS.source("open Gwenview")
    ids, _ = TOKENS.target("öffne Fenzzter", ())
    weights = np.zeros((len(ids), len(source.ids)), np.float32)
    ends = np.cumsum([len(piece) for piece in TOKENS.pieces(source.ids, MARKERS)])
    second = int(np.searchsorted(ends, 6))  # a token inside the second word
    weights[:, second], weights[0] = 1.0, 0.0
    monkeypatch.setattr(TranslatorMember, "align", lambda self, batch, written: [weights] * len(batch))
    assert translator.write_copies(["open Gwenview"], ["öffne Fenzzter"]) == ["öffne Gwenview"]
    assert translator.write_copies(["open window"], ["öffne Fenzzter"]) == ["öffne Fenzzter"]  # 'window' was seen
    assert translator.write_copies(["open Gwenview"], ["öffne das Fenster"]) == ["öffne das Fenster"]
    assert translator.write_copies(["open %s Gwenview"], [""]) == [""]


def test_a_member_comes_back_from_its_state_and_hostile_ones_are_refused():
    translator = member()
    state, arrays = translator.to_state()
    tensors = {name: torch.as_tensor(array) for name, array in arrays.items()}
    shapes = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    again = TranslatorMember.from_state(state, shapes, tensors.__getitem__, None)
    assert again.write(SOURCES) == translator.write(SOURCES)
    arguments = state["blueprint"]["arguments"]
    for broken in (
        {"blueprint": {"address": "gradatim.models.vision.lenet.lenet5", "arguments": {}}},
        {"blueprint": {**state["blueprint"], "arguments": {**arguments, "vocabulary": 9, "num_classes": 9}}},
        {"blueprint": {**state["blueprint"], "arguments": {**arguments, "width": 32}}}, {"beams": 10_000},
    ):
        with pytest.raises(ArtifactError):
            TranslatorMember.from_state({**state, **broken}, shapes, tensors.__getitem__, None)


def test_opponents_write_and_come_back():
    memory, words = PairMemory.fit("english", SOURCES, TARGETS), WordByWord.fit("english", SOURCES * 4, TARGETS * 4)
    assert memory.write(["open the file %d", "close a file", "§§§"]) == ["öffne die Datei %d", "schließe die Datei",
                                                                       "§§§"]
    assert words.write(["close the window: {x}"])[0].endswith("{x}")
    assert Copier("english").write(["as it is"]) == ["as it is"]
    for opponent in (memory, words, Copier("english", 2)):
        state, arrays = opponent.to_state()
        tensors = {name: torch.as_tensor(array) for name, array in arrays.items()}
        again = type(opponent).from_state(state, {}, tensors.__getitem__, None)
        assert again.write(["open the file", ""]) == opponent.write(["open the file", ""])
        assert opponent.columns == ("english",)
    arrays["x.bytes"], arrays["x.ends"] = pack(["ab", "", "ü"])
    assert unpack(torch.as_tensor(arrays["x.bytes"]), torch.as_tensor(arrays["x.ends"])) == ["ab", "", "ü"]
    with pytest.raises(ArtifactError, match="ends ascend"):
        unpack(torch.zeros(3, dtype=torch.uint8), torch.tensor([2, 1]))


def test_nearest_is_the_largest_cosine():
    memory = PairMemory.fit("english", SOURCES, TARGETS)
    found, closeness = memory.nearest(["the window", "open file"])
    features = memory._index["features"]
    rows = features.transform(memory.sources).toarray()
    asked = features.transform(["the window", "open file"]).toarray()
    cosines = asked @ rows.T / np.linalg.norm(rows, axis=1) / np.linalg.norm(asked, axis=1)[:, None]
    assert found.tolist() == cosines.argmax(axis=1).tolist()
    np.testing.assert_allclose(closeness, cosines.max(axis=1), rtol=1e-5)


def test_leads_lengths_and_placeholders():
    assert lead("One. Two! Three?", 1) == "One."
    assert lead("no end", 3) == "no end" and lead("One. Two", 1) == "One."
    ids, lengths = padded([np.array([5, 6]), np.zeros(0, np.int64)])
    assert ids.tolist() == [[5, 6], [0, 0]] and lengths.tolist() == [2, 0]
    kept = placeholders_kept(["%s a", "b {x}", "c", "d"], ["%s A", "B", "C", "D %d"])
    assert kept == {"rows": 3, "kept": 1, "lost": 1, "made_up": 1, "examples": ["{x}", "%d"]}


def test_texts_that_were_not_read_or_written_to_their_end_are_listed():
    short = member(tokens=replace(TOKENS, source_length=3, target_length=2))
    table = read_table(pl.DataFrame({"english": ["open the file and the window", None, "open"]}))
    source = Source(table, Problems())
    assert short.answer(source)[1] == ""
    assert [(problem.code, problem.row) for problem in source.problems][:1] == [("text-cut", 0)]
    assert "read up to 3 tokens" in str(source.problems.items[0]) and "\n" not in str(source.problems.items[0])
    never = member(tokens=replace(TOKENS, target_length=1))
    with torch.no_grad():
        never.network.source.weight[BOUNDARY] = 0.0  # <EOS> is never the likeliest of one token
    source = Source(table, Problems())
    never.answer(source)
    assert source.problems.counts().keys() <= {"text-cut"}


def test_after_last_and_logits_are_those_of_torch():
    features, table = torch.randn(3, 4, 5), torch.nn.Embedding(7, 5)
    picked_rows = after_last(features, torch.tensor([4, 1, 0]))
    assert torch.equal(picked_rows, torch.stack([features[0, 3], features[1, 0], features[2, 0]]))
    assert torch.equal(vocabulary_logits(features, 7, table, None), features @ table.weight.T)
    head = torch.nn.Linear(5, 9)
    assert torch.equal(vocabulary_logits(features, 9, table, head), head(features))
    assert vocabulary_logits(features, 0, table, None) is features
