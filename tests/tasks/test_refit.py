"""What is scored is what is saved, also when the time for the refit runs out; nothing is decoded twice for it."""

import time
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch

from gradatim.run import fit, load
from gradatim.tasks.refit import final_members
from gradatim.tasks.training import NetworkTrainer
from gradatim.train.plan import Plan
from gradatim.train.steps import Supervised


def crossed(rows: int = 400) -> pl.DataFrame:
    """The product of two slanted halves: no linear model says it, few trees do, a network does after ten epochs."""
    x = np.random.default_rng(0).normal(size=(rows, 4))
    y = (x @ [1, 1, -1, 0.5] > 0) ^ (x @ [1, -1, 0.5, 1] > 0)
    return pl.DataFrame({**{name: x[:, place] for place, name in enumerate("abcd")}, "y": np.where(y, "yes", "no")})


def planned(epochs: int) -> dict[str, Any]:
    """A decision on the network that no clock has made."""
    plan = Plan(epochs, 20, 16, optimizer="muon", learning_rate=0.02, weight_decay=0.05,
                forecast={"seconds_per_step": 0.01, "evaluation_seconds": 0.0, "total_seconds": 0.2 * epochs})
    return {"networks": 1, "keep": False, "plan": plan.to_json(), "why": "as the test wants it"}


@pytest.mark.parametrize(("epochs", "refit"), [(10, "slow"), (10, "infinite"), (10, "no time"), (1, "no time")])
def test_a_refit_without_time_leaves_what_was_scored(
    epochs: int, refit: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """0.3 s are left for the refit of the network, whose steps are slow; or its loss breaks; or no time is left for it,
    or for that of the trees.
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

    monkeypatch.setattr("gradatim.tasks.training.decide", lambda *_: planned(epochs))
    if refit != "no time":
        monkeypatch.setattr(NetworkTrainer, "train", hurried)
    else:
        monkeypatch.setattr("gradatim.tasks.supervised.final_members", late)
    run = fit(crossed(), target="y", minutes=10, output=tmp_path / "run", ledger="none")
    chosen = [entry["name"] for entry in run.facts["candidates"] if entry["chosen"]]
    assert chosen == (["network"] if epochs > 1 else ["boosted trees on 4 table columns"])
    note = next(note for note in run.facts["answer"]["notes"] if "the scored one is kept" in note)
    assert {"slow": "(time)", "infinite": "(not-finite)", "no time": "does not hold it"}[refit] in note
    assert run.facts["score"]["note"] == "the models that are saved are those that were scored"
    card = (tmp_path / "run" / "card.md").read_text()
    assert note[1:60] in card and "The models that are saved are those that were scored." in card
    shown = run.facts["test_predictions"]
    again = load(tmp_path / "run").evaluate(crossed()[shown["rows"]])
    assert again["metrics"]["accuracy"]["value"] == run.facts["score"]["value"]
    assert again["metrics"]["log_loss"]["value"] == pytest.approx(
        run.facts["scores"]["metrics"]["log_loss"]["value"], abs=1e-9)
