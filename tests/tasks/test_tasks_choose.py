"""Choosing: cross-validated answers, temperatures, the greedy average against brute force, the network's verdict."""

import itertools
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import polars as pl
import pytest

import gradatim as gd
from gradatim.data.readers import read_table
from gradatim.data.schema import Column
from gradatim.evaluate.calibrate import apply_temperature
from gradatim.tasks.choose import Candidate, cross_answers, temper, verdict_on_network, weigh
from gradatim.tasks.classification import Classification
from gradatim.tasks.regression import Regression
from gradatim.tasks.source import Source

ROWS = 400


@pytest.fixture(scope="module")
def task() -> Classification:
    return Classification.fit(Column("y", "category", "target"), ["a", "b", "c"])


@pytest.fixture(scope="module")
def labels() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 3, ROWS)


def softmax(scores: np.ndarray) -> np.ndarray:
    powers = np.exp(scores - scores.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def candidate(name: str, labels: np.ndarray, seed: int, strength: float, kind: str = "head") -> Candidate:
    """Noisy answers with some truth in them; each candidate's noise is its own."""
    noise = np.random.default_rng(seed).normal(size=(len(labels), 3))
    return Candidate(name, kind, ("x",), softmax(noise + strength * np.eye(3)[labels]), 1.0)


def test_answers_of_held_out_rows_are_put_in_place_and_repeats_averaged() -> None:
    rows = np.array([3, 5, 8, 9])
    folds = [(np.array([8, 9]), np.array([3, 5])), (np.array([3, 5]), np.array([9])), (np.array([3, 8]), np.array([5]))]
    answers = cross_answers(lambda fitted, held: held * 10.0 + fitted.sum() * 0.001, folds, rows, ())
    assert answers[:2] == pytest.approx([30.017, (50.017 + 50.011) / 2])
    assert np.isnan(answers[2]) and answers[3] == pytest.approx(90.008)
    wide = cross_answers(lambda fitted, held: np.ones((len(held), 2)) * held[:, None], folds, rows, (2,))
    assert wide.shape == (4, 2) and wide[3].tolist() == [9, 9]


def test_the_average_of_independent_candidates_wins_and_comes_near_the_best_of_a_grid(
    task: Classification, labels: np.ndarray
) -> None:
    candidates = [candidate(str(seed), labels, seed, 1.2) for seed in range(1, 4)]
    losses = [task.row_losses(c.answers, labels).mean() for c in candidates]
    why, shared = weigh(candidates, labels, task)
    weights = np.array([c.weight for c in candidates])
    assert shared.all() and weights.sum() == pytest.approx(1) and (weights > 0).all()
    loss = task.row_losses(sum(w * c.answers for w, c in zip(weights, candidates)), labels).mean()
    grid = min(
        task.row_losses(sum(w * c.answers for w, c in zip(steps, candidates)) / sum(steps), labels).mean()
        for steps in itertools.product(range(11), repeat=3) if sum(steps)
    )
    assert loss < min(losses) and loss < grid + 0.003
    assert why.startswith("the average of") and "400 rows" in why


def test_chance_is_no_reason_for_an_average(task: Classification, labels: np.ndarray) -> None:
    best = candidate("best", labels, 1, 3.0)
    twin = Candidate("twin", "head", ("x",), best.answers.copy(), 1.0)
    poor = Candidate("poor", "constant", (), np.full((ROWS, 3), 1 / 3), 0.0)
    why, _ = weigh([poor, best, twin], labels, task)
    assert [c.weight for c in (poor, best, twin)] == [0, 1, 0] and "best" in why and "no average" in why


def test_candidates_are_compared_on_rows_that_all_answered(task: Classification, labels: np.ndarray) -> None:
    whole, part = candidate("whole", labels, 1, 1.0), candidate("part", labels, 2, 3.0, "network")
    part.answers[150:] = np.nan
    why, shared = weigh([whole, part], labels, task)
    assert shared.sum() == 150 and part.weight > 0.9 and "150 rows" in why
    verdict = verdict_on_network([whole, part], labels, task)
    assert verdict.startswith("the network beats the best baseline (whole)")
    poor = candidate("network", labels, 3, 0.0, "network")
    assert "does not beat" in verdict_on_network([whole, poor], labels, task)
    assert verdict_on_network([whole], labels, task) == verdict_on_network([part], labels, task) == ""


def test_one_that_answered_few_rows_takes_none_from_the_others(task: Classification, labels: np.ndarray) -> None:
    """Two that answered all rows are averaged on all; the third, no better on its 38 rows, is left out."""
    candidates = [candidate(str(seed), labels, seed, 1.2) for seed in (1, 2)]
    few = candidate("few", labels, 3, 1.2, "network")
    few.answers[38:] = np.nan
    why, shared = weigh([*candidates, few], labels, task)
    assert shared.all() and few.weight == 0 and all(c.weight > 0.3 for c in candidates) and "400 rows" in why


def test_what_is_compared_is_what_a_saved_run_answers(tmp_path: Path) -> None:
    """The development answers are those of members of one fold each, tempered, averaged and mixed as the saved ones."""
    random = np.random.default_rng(0)
    frame = pl.DataFrame({"x": random.normal(size=90), "z": random.normal(size=90)})
    first = pl.col("x") + random.normal(size=90) > 0
    frame = frame.with_columns(y=pl.when(first).then(pl.lit("a")).otherwise(pl.lit("b")))
    run = gd.fit(frame, target="y", output=tmp_path / "run", epochs=2)
    found = gd.load(tmp_path / "run").artifact.ensemble
    assert (found.temperatures, found.uniform_share) == (run.artifact.ensemble.temperatures, 0.5 / 73)
    assert len(found.temperatures) == len(found.members) and set(found.temperatures) != {1.0}
    source = Source(read_table(frame))
    whole = sum(share * apply_temperature(member.answer(source), t) for member, share, t in found.used())
    whole = apply_temperature(whole, found.temperature) * (1 - 0.5 / 73) + 0.25 / 73
    np.testing.assert_allclose(gd.load(tmp_path / "run").answer(read_table(frame)), whole, rtol=1e-9)
    plain = replace(found, temperatures=(), uniform_share=0.0)
    assert np.abs(plain.answer(source) - whole).max() > 1e-3


def test_overconfident_answers_are_tempered(task: Classification, labels: np.ndarray) -> None:
    honest = candidate("honest", labels, 1, 1.0)
    loud = Candidate("loud", "head", ("x",), softmax(4 * np.log(honest.answers)), 1.0)
    loud.answers[7] = np.nan
    before = task.row_losses(loud.answers[8:], labels[8:]).mean()
    temper([loud], labels, task)
    assert 2 < loud.temperature < 8 and np.isnan(loud.answers[7]).all()
    assert task.row_losses(loud.answers[8:], labels[8:]).mean() < before


def test_numbers_have_no_temperature_and_average_too() -> None:
    noise = np.random.default_rng(0)
    truth = noise.normal(50, 10, 300)
    task = Regression.fit(Column("y", "number", "target"), truth.tolist())
    candidates = [Candidate(n, "head", ("x",), truth + noise.normal(0, 5, 300), 1.0) for n in "ab"]
    temper(candidates, truth, task)
    assert [c.temperature for c in candidates] == [1, 1]
    weigh(candidates, truth, task)
    assert 0.3 < candidates[0].weight < 0.7
    assert task.row_losses(truth + 10, truth) == pytest.approx(100 / task.codec.std**2)


@pytest.mark.parametrize("spread", [0.0, 1e-9])
def test_equal_candidates_do_not_divide_by_zero(spread: float) -> None:
    task: Any = SimpleNamespace(classes=[], loss_title="loss", row_losses=lambda answer, labels: (answer - labels) ** 2)
    truth = np.zeros(5)
    candidates = [Candidate(n, "head", (), np.full(5, spread), 0.0) for n in "ab"]
    weigh(candidates, truth, task)
    assert sorted(c.weight for c in candidates) == [0, 1]
