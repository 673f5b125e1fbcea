"""The language model task: windows and caches agree, generation repeats, scores are exact, files of strangers."""

import itertools
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch

import gradatim as gd
from gradatim.data.codecs.lossless import LosslessTokens
from gradatim.device import Placement
from gradatim.errors import GradatimError
from gradatim.estimators.ngram import KneserNey
from gradatim.models.address import build
from gradatim.run import Run
from gradatim.tasks.generate import Manner, Mixture, generate, score
from gradatim.tasks.language_line import best_share
from gradatim.tasks.language_members import RECURRENT, TRANSFORMER, LanguageNetwork, NGramMember, windows
from gradatim.tasks.language_model import LanguageModel, bits_per_character, scores_of
from gradatim.tasks.language_stream import NextTokenStep, Rounds
from gradatim.tasks.members import Ensemble
from gradatim.train.loop import Stop, fit
from gradatim.train.plan import Plan

SENTENCES = [f"the {a} {b} the {c}." for a, b, c in itertools.product(
    ["cat", "dog", "cow", "old man"], ["sees", "likes", "chases"], ["bird", "mouse", "moon", "red ball"])]
ARGUMENTS = {
    TRANSFORMER: {"width": 16, "heads": 2, "depth": 2, "context": 8},
    RECURRENT: {"width": 8, "hidden": 12, "layers": 2},
}


@pytest.fixture(scope="module")
def tokens() -> LosslessTokens:
    return LosslessTokens.train(SENTENCES, "characters")


def network_member(tokens: LosslessTokens, address: str) -> LanguageNetwork:
    torch.manual_seed(0)
    blueprint = {"address": address, "arguments": {**ARGUMENTS[address], "vocabulary": len(tokens)}}
    return LanguageNetwork("text", blueprint, build(blueprint).eval(), Placement(), tokens)


def ngram_member(tokens: LosslessTokens) -> NGramMember:
    model = KneserNey.fit([tokens.ids(text) for text in SENTENCES], order=4, vocabulary=len(tokens))
    return NGramMember("text", model, tokens)


@pytest.mark.parametrize(("length", "context"), [(1, 8), (8, 8), (9, 8), (37, 8), (20, 7), (5, 1)])
def test_windows_predict_every_place_once_with_half_a_context_before(length: int, context: int) -> None:
    found = windows(length, context)
    assert [place for begin, end, first in found for place in range(first, end)] == list(range(length))
    assert all(end - begin <= context and begin >= 0 for begin, end, _ in found)
    assert all(first - begin >= context // 2 for begin, _, first in found[1:])


@pytest.mark.parametrize("address", [TRANSFORMER, RECURRENT, "n-grams"])
def test_what_is_generated_has_the_probabilities_that_are_scored(tokens: LosslessTokens, address: str) -> None:
    """Token by token with a cache, beyond the context too, as in one reading; in any company of other texts."""
    member: Any = ngram_member(tokens) if address == "n-grams" else network_member(tokens, address)
    texts = [tokens.ids(text) for text in ["the cat sees the moon, doesn't it?", "a", "", "the dog" * 5]]
    together = (member.probabilities(texts) if address != "n-grams"
                else [member.model.probabilities(text) for text in texts])
    for text, expected in zip(texts, together):
        reader = Mixture.begin(Ensemble((member,), (1.0,), None), 2)  # type: ignore[arg-type]
        given = reader.read(np.zeros((2, 1), np.int64))
        found = []
        for place, token in enumerate([*text.tolist(), 0]):
            np.testing.assert_allclose(given.sum(1), 1.0, rtol=1e-5)
            found.append(given[1, token])
            if place == 3:
                reader = reader.select(np.array([1, 1]))
            given = reader.read(np.full((2, 1), token))
        np.testing.assert_allclose(found, expected, rtol=1e-4)


@pytest.mark.parametrize("prompt", ["", "the cat", "the cat sees the moon"])
def test_a_prompt_read_at_once_or_by_tokens_gives_the_same(tokens: LosslessTokens, prompt: str) -> None:
    member = network_member(tokens, TRANSFORMER)
    ids = np.concatenate([[0], tokens.ids(prompt)])
    at_once = member.begin(1).read(ids[None])
    reader = member.begin(1)
    for token in ids:
        given = reader.read(np.array([[token]]))
    np.testing.assert_allclose(at_once, given, rtol=1e-4)


def test_beam_search_finds_what_an_exhaustive_search_finds() -> None:
    tokens = LosslessTokens.train(["ab", "ba", "aab", "b", "abab", "a"], "characters")
    letters = tokens.ids("ab").tolist()
    model = KneserNey.fit([tokens.ids(text) for text in ("ab", "ba", "aab", "b", "abab", "a")], order=3,
                          vocabulary=len(tokens))
    ensemble = Ensemble((NGramMember("text", model, tokens),), (1.0,), LanguageModel("text", tokens))
    everything = [ids for length in range(4) for ids in itertools.product(letters, repeat=length)]
    logs = {tokens.text(ids): float(np.log(model.probabilities(np.array(ids, int))).sum()) for ids in everything}
    best = sorted(logs, key=lambda text: -logs[text])[:3]
    found = generate(ensemble, "", Manner("beam", beams=200, count=3, tokens=4, length_penalty=0.0))
    assert [one.text for one in found] == best
    assert found[0].log_probability == pytest.approx(logs[best[0]]) and found[0].ended


def test_greedy_takes_the_likeliest_and_sampling_keeps_to_its_limits(tokens: LosslessTokens) -> None:
    ensemble = Ensemble((ngram_member(tokens), network_member(tokens, RECURRENT)), (0.9, 0.1),
                        LanguageModel("text", tokens))
    greedy = generate(ensemble, "the c", Manner("greedy", tokens=20))[0]
    assert generate(ensemble, "the c", Manner(top_k=1, tokens=20, seed=3))[0] == greedy
    assert generate(ensemble, "the c", Manner(top_p=1e-9, tokens=20, seed=4))[0] == greedy
    heard: list[str] = []
    generate(ensemble, "the c", Manner("greedy", tokens=20), heard=lambda row, text: heard.append(text))
    assert "".join(heard) == greedy.text
    first = generate(ensemble, "the ", Manner(count=3, tokens=30, seed=1))
    assert first == generate(ensemble, "the ", Manner(count=3, tokens=30, seed=1))
    assert first != generate(ensemble, "the ", Manner(count=3, tokens=30, seed=2))
    one = first[0]
    if one.ended:
        given = score(ensemble, ["the " + one.text]).frame["log_probability"][0]
        prefix = np.log(ensemble.members[0].model.probabilities(tokens.ids("the "))[:-1])  # type: ignore[attr-defined]
        assert given < one.log_probability and prefix.sum() < 0


@pytest.mark.parametrize("wrong", [
    {"strategy": "best"}, {"temperature": 0.0}, {"top_p": 0.0}, {"top_k": 0}, {"tokens": 0}, {"count": 0},
    {"strategy": "beam", "beams": 2, "count": 3},
])
def test_bad_manners_are_named(wrong: dict[str, Any]) -> None:
    with pytest.raises(GradatimError, match="--"):
        Manner(**wrong)


def test_scores_are_exact_for_every_kind_of_token() -> None:
    """A uniform model over k tokens costs log₂ k bits a token; characters count with one more for the end."""
    for kind in ("characters", "words", "subwords"):
        tokens = LosslessTokens.train(SENTENCES, kind)
        texts = ["the cat.", "zebra é", "the old man likes the moon."]
        answer = [np.full(len(tokens.ids(text)) + 1, 1 / len(tokens)) for text in texts]
        bits = sum(len(tokens.ids(text)) + 1 for text in texts) * math.log2(len(tokens))
        expected = bits / sum(len(text) + 1 for text in texts)
        assert bits_per_character(answer, texts) == pytest.approx(expected)
        scores = scores_of(answer, texts)["metrics"]
        assert scores["bits_per_character"]["value"] == pytest.approx(expected)
        assert scores["perplexity"]["value"] == pytest.approx(len(tokens))
    assert scores_of([*answer, np.ones(1)], [*texts, ""])["rows"] == 3
    with pytest.raises(GradatimError, match="at least one text"):
        scores_of([np.ones(1)], [""])


def test_the_share_of_an_average_is_the_best() -> None:
    random = np.random.default_rng(0)
    first, second = random.random(400), random.random(400)
    shares = np.linspace(0.01, 0.99, 99)
    best = shares[np.argmax([np.log(share * first + (1 - share) * second).sum() for share in shares])]
    assert best_share(first, second, steps=500) == pytest.approx(best, abs=0.02)


def test_a_stream_deals_every_token_once_a_pass() -> None:
    texts = [np.full(size, size) for size in (3, 5, 2, 7, 4)]
    rounds = Rounds(texts, lanes=2, length=4, steps=3, seed=0)
    seen = [rounds.batch(place) for place in range(rounds.windows)]
    whole = np.concatenate([batch.targets["text"].numpy() for batch in seen], axis=1).ravel()
    assert len(whole) == 26 and rounds.windows == 4  # 21 tokens and 5 ends
    assert sorted(whole.tolist()) == sorted([*np.concatenate(texts).tolist(), *[0] * 5])
    for batch in seen:
        np.testing.assert_array_equal(batch.inputs["text"][:, 1:], batch.targets["text"][:, :-1])
    assert rounds(1)[0].rows[0] == rounds.batch(3).rows[0] and len(rounds(1)) == 3
    again = Rounds(texts, lanes=2, length=4, steps=3, seed=0)
    assert torch.equal(again.batch(6).inputs["text"], rounds.batch(6).inputs["text"])


@pytest.mark.parametrize("address", [TRANSFORMER, RECURRENT])
def test_training_that_was_interrupted_ends_bit_equal(tokens: LosslessTokens, address: str) -> None:
    texts = [tokens.ids(text) for text in SENTENCES]
    plan = Plan(3, 4, 4, learning_rate=1e-2)

    def train(stop_after: int | None, start: Any = None) -> tuple[Any, Any]:
        member = network_member(tokens, address)
        member.network.train()
        step = NextTokenStep(member.network, plan)
        kept: list[Any] = []

        class Breaker:
            def batch(self, training: Any) -> None:
                if training.taken == stop_after:
                    kept.append(json_free_copy(training.snapshot()))
                    raise Stop("time")

        fit(step, Rounds(texts, lanes=4, length=8, steps=4, seed=0), plan, [Breaker()], start=start)
        return member.network.state_dict(), kept[0] if kept else None

    whole, _ = train(None)
    _, snapshot = train(6)
    resumed, _ = train(None, start=snapshot)
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)


def json_free_copy(value: Any) -> Any:
    """A tree whose tensors are copies."""
    if isinstance(value, torch.Tensor):
        return value.detach().clone()
    if isinstance(value, dict):
        return {key: json_free_copy(part) for key, part in value.items()}
    return [json_free_copy(part) for part in value] if isinstance(value, list) else value


@pytest.fixture(scope="module", params=["recurrent", "transformer"])
def run(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("language") / "run"
    corpus = folder.parent / "corpus.txt"
    corpus.write_text("\n".join(SENTENCES * 2))
    return gd.fit(corpus, task="language-model", output=folder, epochs=2, seed=1,
                  options={"network": request.param, "order": "4"})


def test_a_run_from_file_to_text(run: Run) -> None:
    names = [candidate["name"] for candidate in run.facts["candidates"]]
    assert names[:2] == ["every token alike", "4-grams"] and len(names) == 4
    values = {candidate["name"]: candidate["value"] for candidate in run.facts["candidates"]}
    assert values["4-grams"] < 2.0 < values["every token alike"]
    chosen = [candidate for candidate in run.facts["candidates"] if candidate["chosen"]]
    assert len(chosen) == 1 and run.facts["score"]["low"] <= run.facts["score"]["value"] <= run.facts["score"]["high"]
    assert {section["title"] for section in run.facts["sections"]} >= {"Generated texts", "Surprising test texts"}
    assert run.folder is not None and "Surprising test texts" in (run.folder / "report.html").read_text()
    written = pl.read_csv(run.folder / "predictions" / "test.csv")
    bits = -written["log_probability"].sum() / math.log(2) / (written["characters"] + 1).sum()
    assert bits == pytest.approx(run.facts["scores"]["metrics"]["bits_per_character"]["value"])


def test_a_loaded_run_says_the_same(run: Run) -> None:
    assert run.folder is not None
    loaded = gd.load(run.folder)
    for manner in (Manner(count=2, tokens=40), Manner("greedy", tokens=30), Manner("beam", tokens=20)):
        assert generate(loaded.artifact.ensemble, "the ", manner) == generate(run.artifact.ensemble, "the ", manner)
    frame = pl.DataFrame({"text": ["the cat sees the moon.", None, "xyzzy ∞"]})
    assert loaded.predict(frame).frame.equals(run.predict(frame).frame)
    assert loaded.evaluate(frame)["rows"] == 2
    with pytest.raises(GradatimError):
        loaded.predict(pl.DataFrame({"words": ["a"]}))


def test_damaged_runs_are_refused(run: Run, tmp_path: Path) -> None:
    import shutil

    assert run.folder is not None
    for number, harm in enumerate((
        lambda m: m["task"]["tokens"]["vocabulary"].pop(), lambda m: m["task"].update(column=3),
        lambda m: m["members"][0].update(column="elsewhere"), lambda m: m["task"].update(tokens=None),
        lambda m: m["task"].update(metric="accuracy"),
    )):
        folder = tmp_path / str(number)
        shutil.copytree(run.folder, folder)
        manifest = json.loads((folder / "artifact.json").read_text())
        harm(manifest)
        (folder / "artifact.json").write_text(json.dumps(manifest))
        with pytest.raises(GradatimError):
            gd.load(folder)


def test_options_that_are_wrong_are_named(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("\n".join(SENTENCES))
    frame = pl.DataFrame({"words": SENTENCES, "more": SENTENCES[::-1]})
    cases: list[tuple[Any, dict[str, str], str]] = [
        (tmp_path / "a.txt", {"token": "words"}, "token="), (tmp_path / "a.txt", {"tokens": "runes"}, "characters"),
        (tmp_path / "a.txt", {"network": "big"}, "recurrent"), (tmp_path / "a.txt", {"order": "many"}, "whole number"),
        (frame, {}, "column=NAME"), (frame, {"column": "third"}, "third"),
        (pl.DataFrame({"text": ["one text", None, None]}), {}, "at least"),
    ]
    for source, options, words in cases:
        with pytest.raises(GradatimError, match=words):
            gd.fit(source, task="language-model", epochs=1, options=options)


@pytest.mark.parametrize("kind", ["words", "subwords"])
def test_other_tokens_and_tables(kind: str) -> None:
    frame = pl.DataFrame({"saying": SENTENCES * 2, "number": range(len(SENTENCES) * 2)})
    run = gd.fit(frame, task="language-model", epochs=1,
                 options={"tokens": kind, "column": "saying", "network": "none", "vocabulary": "300"})
    assert run.facts["scores"]["metrics"]["bits_per_character"]["value"] < 2.5
    assert score(run.artifact.ensemble, ["the cat"]).frame["characters"].to_list() == [7]


def test_nearly_equal_texts_stay_on_one_side() -> None:
    random = np.random.default_rng(0)
    words = ["".join(random.choice(list("abcdefgh"), 5)) for _ in range(400)]
    texts = [" ".join(random.choice(words, 60)) for _ in range(60)]
    pairs = [text for one in texts for text in (one, one.replace(one.split()[7], "changed", 1))]
    run = gd.fit(pl.DataFrame({"text": pairs}), task="language-model", epochs=1, options={"network": "none"})
    part = {row: name for name in ("train", "development", "test") for row in run.artifact.split[name]}
    assert len(part) == len(pairs) and set(part.values()) == {"train", "development", "test"}
    assert all(part[row] == part[row + 1] for row in range(0, len(pairs), 2))


def test_orders_for_which_there_is_no_time_are_left_out_and_named() -> None:
    frame = pl.DataFrame({"text": SENTENCES * 2})
    run = gd.fit(frame, task="language-model", minutes=1e-5, options={"network": "none"})
    names = [candidate["name"] for candidate in run.facts["candidates"]]
    assert names == ["every token alike", "4-grams"]
    assert any("6-grams: left out" in note for note in run.facts["answer"]["notes"])


def test_a_run_continues_texts_and_says_how_probable_they_are(run: Run) -> None:
    first, again = (run.generate("the ", tokens=20, seed=4) for _ in range(2))
    assert first == again and len(first) == 1
    said = run.score(["the cat", ""]).frame
    assert said["log_probability"].to_list()[0] < 0 and said["characters"].to_list() == [7, 0]
    with pytest.raises(GradatimError, match="expected options among strategy"):
        run.generate(heat=2)
