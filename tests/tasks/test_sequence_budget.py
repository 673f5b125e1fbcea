"""Taggers, translators, forecasters and language models: a refit that was cut off is not kept, decisions are repeated.
"""

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

import gradatim as gd
from gradatim import fitting
from gradatim.data.conll import write_conll
from gradatim.run import resume
from gradatim.tasks import forecasting_network, tagging_training, translation_training
from gradatim.tasks.budget import train_within_budget
from gradatim.tasks.memo import Clock, Memo
from gradatim.train.hooks import Checkpoint
from killing import same_files

WORDS = ["the", "a", "old", "red", "cat", "dog", "sees", "likes", "moon", "bird"]


def tagging_table() -> pl.DataFrame:
    """Sentences whose tags follow from the word before: a table of words cannot know them."""
    random = np.random.default_rng(0)
    tokens = [list(map(str, random.choice(WORDS, 6))) for _ in range(120)]
    tags = [["START", *(word.upper() for word in words[:-1])] for words in tokens]
    return pl.DataFrame({"tokens": tokens, "upos": tags})


def translation_table() -> pl.DataFrame:
    """Pairs that say the words backwards, and louder."""
    random = np.random.default_rng(0)
    rows = [list(map(str, random.choice(WORDS, 4))) for _ in range(200)]
    return pl.DataFrame({"said": [" ".join(row) for row in rows],
                         "shouted": [" ".join(word.upper() for word in row[::-1]) for row in rows]})


def series_table() -> pl.DataFrame:
    """Waves that a network can follow."""
    random, steps = np.random.default_rng(0), np.arange(120)
    rows = [(name, int(step), float(10 * np.sin(step / 3.1 + shift) * np.sin(step / 7.3) + random.normal() / 10))
            for shift, name in enumerate("abcd") for step in steps]
    return pl.DataFrame(rows, schema=["shop", "step", "value"], orient="row")


def texts_table() -> pl.DataFrame:
    """Short sentences."""
    random = np.random.default_rng(0)
    return pl.DataFrame({"text": [" ".join(random.choice(WORDS, 7)) for _ in range(150)]})


TASKS: dict[str, tuple[Callable[[], pl.DataFrame], dict[str, Any]]] = {
    "tagging": (tagging_table, {"target": "upos", "options": {"hidden": "16"}}),
    "translation": (translation_table, {
        "target": "shouted", "task": "translation", "kinds": {"said": "text", "shouted": "text"},
        "options": {"width": "32", "phrases": "no", "batch_tokens": "160", "learning_rate": "0.01", "dropout": "0"}}),
    "forecasting": (series_table, {
        "target": "value", "task": "forecasting", "time": "step", "id": "shop",
        "options": {"horizon": "4", "context": "12", "season": "1", "models": "convolutional"}}),
    "language-model": (texts_table, {"task": "language-model"}),
}


@pytest.mark.parametrize(("first", "second"), [
    pytest.param(20.0, 0.5, id="slow, then fast"),
    pytest.param(1.0, 200.0, id="fast, then slow", marks=pytest.mark.slow),
])
@pytest.mark.parametrize("task", TASKS)
def test_stored_decisions_are_repeated_whatever_the_clock_says(
    task: str, first: float, second: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same memo, a clock that runs otherwise, no checkpoint: no new decision, the same bits."""
    table, asked = TASKS[task]
    real = time.perf_counter
    runs, decisions = [], "{}"
    for pace in (first, second):
        memo = Memo(decisions=json.loads(decisions))
        monkeypatch.setattr(fitting, "_opened_memo", lambda *_, memo=memo: memo)
        monkeypatch.setattr(time, "perf_counter", lambda pace=pace: real() * pace)
        runs.append(gd.fit(table(), minutes=0.05, seed=1, **asked))
        found = json.dumps(memo.decisions)
        assert found == decisions or not runs[1:]
        decisions = found
    assert len(json.loads(decisions)) > 1
    one, other = (run.artifact.ensemble for run in runs)
    assert one.weights == other.weights and len(one.members) == len(other.members)
    for mine, theirs in zip(one.members, other.members):
        (state, arrays), (state_again, arrays_again) = mine.to_state(), theirs.to_state()
        assert state == state_again and arrays.keys() == arrays_again.keys()
        assert all(np.array_equal(np.asarray(arrays[name]), np.asarray(arrays_again[name])) for name in arrays)
    assert runs[0].facts["scores"]["metrics"] == runs[1].facts["scores"]["metrics"]
    assert len(runs[0].facts["answer"]["notes"]) == len(runs[1].facts["answer"]["notes"])  # one of each thing left out


@pytest.mark.parametrize("task", ["tagging", "translation", "forecasting"])
def test_a_refit_that_the_clock_cuts_off_is_not_kept(
    task: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The refit has 0.3 s and slow steps: what was scored is saved, and the card says so."""
    scored: dict[str, Any] = {}

    def trained(name: str, network: Any, step: Any, batches: Any, plan: Any, **settings: Any) -> Any:
        if "refit" not in name and "all rows" not in name:
            result = train_within_budget(name, network, step, batches, plan, **settings)
            scored.update({key: tensor.clone() for key, tensor in network.state_dict().items()})
            return result

        def slowly(epoch: int) -> Any:
            for batch in batches(epoch):
                time.sleep(0.1)
                yield batch

        given = {**settings, "clock": Clock(0.3), "fixed": False}
        result = train_within_budget(name, network, step, slowly, plan, **given)
        assert not result.finished and 0 < result.steps < result.planned_steps
        return result

    for module in (tagging_training, translation_training, forecasting_network):
        monkeypatch.setattr(module, "train_within_budget", trained)
    table, asked = TASKS[task]
    if task == "tagging":  # the CRF on features would know these tags too: a penalty that leaves nothing of it
        asked = {**asked, "options": {**asked["options"], "strength": "1000000"}}
    run = gd.fit(table(), epochs=8, seed=1, output=tmp_path / "run", **asked)
    loaded = gd.load(tmp_path / "run")
    network = next(member for member in loaded.artifact.ensemble.members if hasattr(member, "network"))
    saved = network.network.state_dict()
    assert all(np.array_equal(saved[name], scored[name]) for name in scored)
    assert any("kept as it was scored" in note for note in run.facts["answer"]["notes"])
    if task != "forecasting":  # its members are scored on rolling origins of their own
        assert "scored" in run.facts["score"]["note"]
        again = loaded.evaluate(table()[run.artifact.split["test"]])["metrics"][run.facts["score"]["metric"]]
        assert again["value"] == pytest.approx(run.facts["score"]["value"], abs=1e-9)


def test_a_tagger_killed_in_its_training_and_in_its_refit_ends_with_the_same_bits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = tagging_table()
    for name in ("whole", "broken"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "train.conll").write_text(write_conll(table["tokens"].to_list(), table["upos"].to_list()))

    def begin(name: str) -> gd.Run:
        return gd.fit(tmp_path / name / "train.conll", task="tagging", epochs=8, seed=1, output=tmp_path / name / "run",
                      options={"hidden": "16", "strength": "1000000"})

    whole = begin("whole")
    saves = Checkpoint.epoch
    for stage in ("recurrent tagger", "recurrent tagger on all rows"):

        def killed(self: Any, training: Any, stage: str = stage) -> None:
            saves(self, training)
            if self.folder.name == stage and training.epoch == 3:
                raise KeyboardInterrupt

        monkeypatch.setattr(Checkpoint, "epoch", killed)
        with pytest.raises(KeyboardInterrupt):
            begin("broken") if stage == "recurrent tagger" else resume(tmp_path / "broken" / "run")
    monkeypatch.undo()
    resume(tmp_path / "broken" / "run")
    assert any("trained again on all" in note for note in whole.facts["answer"]["notes"])
    same_files(tmp_path / "whole" / "run", tmp_path / "broken" / "run", ("weights.safetensors", "predictions/test.csv"))
