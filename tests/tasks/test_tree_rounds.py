"""How many rounds of trees the time holds: by measured seconds, never more than fit, and said when none does."""

import numpy as np
import polars as pl
import pytest

import gradatim as gd
from gradatim.tasks.tree_rounds import LEAST_ROUNDS, MOST_ROUNDS, planned


@pytest.mark.parametrize("rows", [5_000, 200_000, 5_000_000])
@pytest.mark.parametrize("pace", [1e-5, 1e-3, 0.05, 4.0])
@pytest.mark.parametrize("limit", [1.0, 30.0, 600.0])
def test_what_is_planned_fits_the_limit(rows, pace, limit):
    probed, fixed = 1000, 0.02
    found = planned(rows, probed, fixed, pace, limit)
    assert 0 < found["rows"] <= rows and 0 <= found["rounds"] <= MOST_ROUNDS
    if found["rounds"]:
        assert found["rounds"] >= LEAST_ROUNDS
        assert (fixed + found["rounds"] * pace) * found["rows"] / probed <= limit * 1.001
    else:
        assert fixed + LEAST_ROUNDS * pace > limit * 0.999


def test_trees_that_the_time_does_not_hold_are_left_out_and_said(monkeypatch):
    monkeypatch.setattr("gradatim.tasks.tree_rounds._pace", lambda *arguments: (0.0, 100.0))
    random = np.random.default_rng(0)
    frame = pl.DataFrame({"a": random.normal(size=9000), "b": random.normal(size=9000)})
    frame = frame.with_columns(y=(pl.col("a") * pl.col("b") > 0).cast(pl.String))
    run = gd.fit(frame, target="y", minutes=0.15, ledger="none")
    assert not any("trees" in entry["name"] for entry in run.facts["candidates"])
    assert any("boosted trees" in note and "left out" in note for note in run.facts["answer"]["notes"])


def test_hundreds_of_classes_are_learned_in_seconds():
    """400 Gaussian classes: logistic regression would take minutes, linear discriminants answer within the time."""
    random = np.random.default_rng(0)
    count, classes = 8000, 400
    truth = np.arange(count) % classes
    rows = random.normal(size=(classes, 8))[truth] * 3 + random.normal(size=(count, 8)) * 0.5
    frame = pl.DataFrame({f"x{place}": rows[:, place] for place in range(8)} | {"y": [f"k{k}" for k in truth]})
    run = gd.fit(frame, target="y", minutes=0.2, ledger="none")
    assert run.facts["score"]["value"] > 0.85
