"""What is scored is what is saved, also when the time for the refit runs out; nothing is decoded twice for it."""

import shutil
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from PIL import Image
from sklearn.exceptions import ConvergenceWarning

from gradatim.data.codecs.image import ImageCodec
from gradatim.data.codecs.text import TextCodec
from gradatim.run import fit, load, resume
from gradatim.tasks.choose import weigh
from gradatim.tasks.constant import Constant
from gradatim.tasks.refit import final_members, scored_members
from gradatim.tasks.tables import Trees
from gradatim.tasks.training import NetworkTrainer
from gradatim.train.plan import Plan
from gradatim.train.steps import Supervised
from killing import same_files


def crossed(rows: int = 400) -> pl.DataFrame:
    """The product of two slanted halves: no linear model says it, few trees do, a network does after ten epochs."""
    x = np.random.default_rng(0).normal(size=(rows, 4))
    y = (x @ [1, 1, -1, 0.5] > 0) ^ (x @ [1, -1, 0.5, 1] > 0)
    return pl.DataFrame({**{name: x[:, place] for place, name in enumerate("abcd")}, "y": np.where(y, "yes", "no")})


def planned(epochs: int, networks: int) -> dict[str, Any]:
    """A decision on the network that no clock has made."""
    plan = Plan(epochs, 16, 16, optimizer="muon", learning_rate=0.02, weight_decay=0.05,
                forecast={"seconds_per_step": 0.01, "evaluation_seconds": 0.0, "total_seconds": 0.16 * epochs})
    return {"networks": networks, "keep": False, "plan": plan.to_json(), "why": "as the test wants it"}


@pytest.mark.parametrize(("epochs", "refit"), [
    (10, "slow"), (1, "no time"), (1, "unconverged"), (1, "constant"),
    pytest.param(10, "infinite", marks=pytest.mark.slow),
    pytest.param(10, "no time", marks=pytest.mark.slow),
])
@pytest.mark.filterwarnings("ignore:not at its end")
def test_a_refit_that_falls_short_leaves_what_was_scored(
    epochs: int, refit: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """0.3 s are left for the refit of the network, whose steps are slow; or its loss breaks; or no time is left for it,
    or for that of the trees; or these do not converge, or come out as another kind.
    """
    train, step = NetworkTrainer.train, Supervised.__call__

    def worse(self: Supervised, batch: Any) -> dict[str, torch.Tensor]:
        time.sleep(0.05 if refit == "slow" else 0.0)
        return step(self, batch) | ({} if refit == "slow" else {"loss": torch.tensor(float("nan"))})

    def hurried(self: NetworkTrainer, name: str, *arguments: Any) -> Any:
        if name.startswith("refit"):
            if refit == "slow":
                self.line.clock.started = time.perf_counter() - 0.98 * self.line.clock.seconds + 0.3
            monkeypatch.setattr(Supervised, "__call__", worse)
        return train(self, name, *arguments)

    def late(line: Any, used: Any, scored: Any) -> Any:
        line.clock.started -= line.clock.seconds
        return final_members(line, used, scored)

    def otherwise(*given: Any, whole: Any = Trees.fit, **named: Any) -> Any:
        if len(given[2]) == 400:  # all labelled rows
            warnings.warn("not at its end", ConvergenceWarning, stacklevel=2)
            return Constant(np.array([0.5, 0.5])) if refit == "constant" else whole(*given, **named)
        return whole(*given, **named)

    monkeypatch.setattr("gradatim.tasks.training.decide", lambda *_: planned(epochs, 3 if epochs > 1 else 1))
    if refit in ("unconverged", "constant"):
        monkeypatch.setattr(Trees, "fit", otherwise)
    elif refit != "no time":
        monkeypatch.setattr(NetworkTrainer, "train", hurried)
    else:
        monkeypatch.setattr("gradatim.tasks.supervised.final_members", late)
    run = fit(crossed(), target="y", minutes=10, output=tmp_path / "run", ledger="none")
    chosen = [entry["name"] for entry in run.facts["candidates"] if entry["chosen"]]
    assert chosen == (["network"] if epochs > 1 else ["boosted trees on 4 table columns"])
    note = next(note for note in run.facts["answer"]["notes"] if "the scored one is kept" in note)
    why = {"slow": "(time)", "infinite": "(not-finite)", "no time": "does not hold it", "constant": "one class only",
           "unconverged": "did not converge"}
    assert why[refit] in note
    assert run.facts["score"]["note"] == "the models that are saved are those that were scored"
    card = (tmp_path / "run" / "card.md").read_text()
    assert note[1:60] in card and "The models that are saved are those that were scored." in card
    shown = run.facts["test_predictions"]
    again = load(tmp_path / "run").evaluate(crossed()[shown["rows"]])
    assert again["metrics"]["accuracy"]["value"] == run.facts["score"]["value"]
    assert again["metrics"]["log_loss"]["value"] == pytest.approx(
        run.facts["scores"]["metrics"]["log_loss"]["value"], abs=1e-9)


def test_nothing_is_decoded_again_for_the_answers_after_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Constant, linear models, trees and network all answer test and training rows from what is decoded already."""
    random = np.random.default_rng(3)
    rows = []
    for number in range(90):
        name = f"{number}.png"
        Image.fromarray(random.integers(0, 256, (8, 8, 3), dtype=np.uint8)).save(tmp_path / name)
        rows.append({"picture": name, "note": f"word{number % 7} of {number}", "size": 1.5 * (number % 13),
                     "width": 0.1 * number, "y": "ab"[number % 2]})
    pl.DataFrame(rows).write_csv(tmp_path / "train.csv")
    decoded, counts = list[Any](), list[int]()
    for codec in (ImageCodec, TextCodec):
        whole = codec.encode
        monkeypatch.setattr(codec, "encode", lambda self, cell, folder=None, whole=whole: (
            decoded.append(cell), whole(self, cell, folder))[1])

    def all_used(candidates: Any, labels: Any, task: Any) -> Any:
        why, _ = weigh(candidates, labels, task)
        for candidate in candidates:
            candidate.weight = 1 / len(candidates)
        return why, np.logical_and.reduce([candidate.answered() for candidate in candidates])

    def counted(function: Any) -> Any:
        return lambda *given: (counts.append(len(decoded)), function(*given), counts.append(len(decoded)))[1]

    monkeypatch.setattr("gradatim.tasks.supervised.weigh", all_used)
    monkeypatch.setattr("gradatim.tasks.supervised.scored_members", counted(scored_members))
    monkeypatch.setattr("gradatim.tasks.supervised.final_members", counted(final_members))
    run = fit(str(tmp_path / "train.csv"), target="y", epochs=1, ledger="none")
    kinds = {entry["name"].split(" on ")[0] for entry in run.facts["candidates"] if entry["chosen"]}
    assert kinds == {"majority", "linear head", "boosted trees", "network"}
    assert len(run.facts["test_predictions"]["rows"]) > 10
    assert counts[1] > 90, "the cells were counted"
    assert counts[2] == counts[1], "cells decoded between the fit of the members and the refit"


@pytest.mark.slow
def test_a_fit_killed_after_a_shortening_and_resumed_ends_with_the_same_bits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed in slow steps with 24 s left for them and all that follows; resumed with and without the checkpoint."""
    crossed().write_csv(tmp_path / "train.csv")
    train, step = NetworkTrainer.train, Supervised.__call__

    def hurried(self: NetworkTrainer, name: str, *arguments: Any) -> Any:
        self.line.clock.started = time.perf_counter() - 0.98 * self.line.clock.seconds + 24.0
        return train(self, name, *arguments)

    def slow(self: Supervised, batch: Any) -> dict[str, torch.Tensor]:
        if self.taken == 45:
            raise KeyboardInterrupt
        time.sleep(0.02)
        return step(self, batch)

    monkeypatch.setattr("gradatim.tasks.training.decide", lambda *_: planned(10, 3))
    with monkeypatch.context() as patch:
        patch.setattr(NetworkTrainer, "train", hurried)
        patch.setattr(Supervised, "__call__", slow)
        with pytest.raises(KeyboardInterrupt):
            fit(str(tmp_path / "train.csv"), target="y", minutes=10, output=tmp_path / "one", ledger="none")
    shutil.copytree(tmp_path / "one", tmp_path / "other")
    shutil.rmtree(tmp_path / "other" / "checkpoints" / "network-1")
    runs = [resume(tmp_path / name) for name in ("one", "other")]
    for run in runs:
        assert any("network-1: steps take" in note for note in run.facts["answer"]["notes"])
        assert run.facts["history"]["network-1"][-1]["steps"] < 160 == run.facts["history"]["network-2"][-1]["steps"]
        assert run.facts["forecast"]["network-1"]["reason"] == "epochs"
        assert [entry["name"] for entry in run.facts["candidates"] if entry["chosen"]] == ["network"]
    same_files(tmp_path / "one", tmp_path / "other", ("weights.safetensors", "predictions/test.csv"))
