"""The race: verdicts against what is known in closed form, fairness, default rates, JSON, bad input, the figures."""

import json
from pathlib import Path

import numpy as np
import pytest

import gradatim as gd
from gradatim.autodiff.race.race import RACERS, USUAL, best_rate, fits, race, sampled_gradient
from gradatim.autodiff.race.rates import RATES
from gradatim.autodiff.race.surfaces import SURFACES, find_surface
from gradatim.errors import GradatimError
from gradatim.files import to_json_bytes


@pytest.mark.parametrize(
    ("rate", "steps", "says"),
    [
        (0.1, 40, "arrived at step 27"),  # 4·0.8ᵗ ≤ 0.01: t ≥ 26.85
        (0.5, 5, "arrived at step 1"),
        (0.9, 40, "arrived at step 27"),  # the same, swinging
        (1.0, 40, "on its way"),  # for ever from −4 to 4 and back
        (1.1, 100, "diverged at step 43"),  # 4 + 4·1.2ᵗ > 1000·10 from the start, at an odd t: t ≥ 42.9
        (0.01, 40, "on its way"),
    ],
)
def test_the_parabola_in_closed_form(rate, steps, says):
    run = race("parabola", ["sgd"], learning_rate=rate, steps=steps)["sgd"]
    assert run.what_happened == says
    np.testing.assert_allclose(run.path[:, 0], -4 * (1 - 2 * rate) ** np.arange(len(run.path)), rtol=1e-9)
    np.testing.assert_array_equal(run.values, run.path[:, 0] ** 2)


def test_verdicts_name_the_ground():
    assert race("saddle", "newton")["newton"].verdict == "saddle"
    assert race("gaussians", "newton")["newton"].verdict == "hilltop"
    assert race("plateau", "newton")["newton"].verdict == "diverged"
    assert race("gaussians", ["sgd"], start=(2.9, -30.0))["sgd"].verdict == "flat"
    stuck = race("himmelblau", ["sgd"], learning_rate=0.02, start=(-0.3, -1.0))["sgd"]
    assert stuck.verdict == "on its way"
    away = race("beale", ["levenberg-marquardt"], start=(1.0, 1.5), steps=100)["levenberg-marquardt"]
    assert away.verdict == "wandered off" and away.distance > 10
    noisy = race("ravine", ["sgd"], learning_rate=0.01, noise=30.0, steps=2000)["sgd"]
    assert noisy.verdict in ("hovers", "on its way")
    assert race("regression", ["adam"])["adam"].what_happened == "there at step 350, not to stay"


def test_arrived_means_staying():
    done = race("beale", ("momentum", "adam"), learning_rate=0.01)
    for run in done.runs:
        distances = [done.surface.distance(point) for point in run.path]
        if run.verdict == "arrived":
            assert max(distances[run.steps :]) <= done.tolerance < distances[run.steps - 1]
        else:
            assert distances[-1] > done.tolerance


def test_the_same_learning_rate_names_who_diverges():
    done = race("beale", ("sgd", "momentum", "adam"), learning_rate=0.01)
    assert [run.name for run in done.ranking] == ["momentum", "sgd", "adam"]
    assert done["momentum"].steps == 222
    assert race("rosenbrock", ["momentum"], learning_rate=0.01)["momentum"].what_happened == "diverged at step 4"


def test_both_momenta_and_both_nesterovs_finish_together():
    done = race("beale", ("momentum", "momentum-of-steps", "nesterov", "nesterov-look-ahead"), learning_rate=0.005)
    np.testing.assert_allclose(done["momentum"].path, done["momentum-of-steps"].path, atol=1e-6)
    assert abs(done["nesterov"].steps - done["nesterov-look-ahead"].steps) <= 2


def test_turning_the_ravine_hurts_only_who_works_by_coordinates():
    names = ("gradient-descent", "momentum", "nesterov", "adagrad", "adamax", "nadam", "newton", "lbfgs")
    rates = {"gradient-descent": 0.01, "momentum": 0.01, "nesterov": 0.005, "adagrad": 5.0, "adamax": 0.5, "nadam": 0.2}
    straight, tilted = (race(name, names, learning_rate=rates) for name in ("ravine", "tilted-ravine"))
    for name in ("gradient-descent", "momentum", "nesterov", "newton"):
        assert straight[name].steps == tilted[name].steps
        np.testing.assert_allclose(straight[name].values, tilted[name].values, rtol=1e-6, atol=1e-9)
    for name in ("adagrad", "adamax", "nadam"):
        assert (tilted[name].steps or 1000) > 1.5 * straight[name].steps


def test_noise_is_the_same_for_all_and_less_for_a_batch():
    surface = find_surface("ravine")
    one, other = (sampled_gradient(surface, name, 2.0, 7) for name in ("sgd", "adam"))
    batch, whole = (sampled_gradient(surface, name, 2.0, 7) for name in ("mini-batch", "gradient-descent"))
    at = np.array([1.0, 1.0])
    seen = np.array([[each(at, t) for each in (one, other, batch, whole)] for t in range(4000)]) - surface.gradient(at)
    np.testing.assert_array_equal(seen[:, 0], seen[:, 1])
    assert seen[:, 0].std() == pytest.approx(2.0, rel=0.05)
    assert seen[:, 2].std() == pytest.approx(2.0 / 8**0.5, rel=0.05)
    assert not seen[:, 3].any()


def test_batch_size_on_data():
    """At one rate: all samples arrive for good, one sample wanders, eight wander less."""
    done = race("regression", ("gradient-descent", "mini-batch", "sgd"), learning_rate=0.1, steps=2000)
    wander = {run.name: np.mean(run.values[-1000:]) - done.surface.lowest for run in done.runs}
    assert done["gradient-descent"].verdict == "arrived" and wander["gradient-descent"] < 1e-12
    assert wander["mini-batch"] == pytest.approx(0.004, abs=5e-4) and wander["sgd"] == pytest.approx(0.033, abs=1e-3)
    again = race("regression", ("gradient-descent", "mini-batch", "sgd"), learning_rate=0.1, steps=2000)
    np.testing.assert_array_equal(done["sgd"].path, again["sgd"].path)


def test_rates_by_name_and_by_default():
    done = race("beale", ("sgd", "adam", "lbfgs"), learning_rate={"*": 0.01, "adam": 0.1}, steps=5)
    assert [(run.learning_rate, run.chosen) for run in done.runs] == [(0.01, "given"), (0.1, "given"), (1.0, "usual")]
    done = race("beale", ("sgd", "adadelta", "levenberg-marquardt"), steps=5)
    assert [(run.learning_rate, run.chosen) for run in done.runs] == [
        (0.02, "best here"), (1.0, "usual"), (None, "none needed"),
    ]  # fmt: skip


@pytest.mark.parametrize(("surface", "name"), [("parabola", "sgd"), ("beale", "momentum"), ("ravine", "adagrad")])
def test_tabled_rates_are_the_best_ones(surface, name):
    assert best_rate(name, find_surface(surface)) == RATES[surface][name]


@pytest.mark.slow
@pytest.mark.parametrize("surface", SURFACES)
def test_all_tabled_rates_are_the_best_ones(surface):
    ground = find_surface(surface)
    found = {name: best_rate(name, ground) for name in RATES[surface] if name != "adamw"}
    assert found == {name: rate for name, rate in RATES[surface].items() if name != "adamw"}
    assert RATES[surface]["adamw"] == RATES[surface]["adam"]


@pytest.mark.parametrize("surface", SURFACES)
def test_every_racer_runs_on_every_surface(surface):
    ground = find_surface(surface)
    names = [name for name in RACERS if fits(name, ground)]
    done = race(ground, names, steps=60)
    assert len(done.rows()) == len(names) and done.table().count("\n") == len(names)
    assert not any(run.verdict == "diverged" for run in done.runs if run.name in USUAL)
    back = json.loads(to_json_bytes(done.to_json()))
    assert {run["optimiser"] for run in back["runs"]} == set(names)
    assert all(len(run["path"]) == len(run["values"]) for run in back["runs"])


def test_the_public_name():
    assert gd.race is race
    assert gd.race("x^2", ["sgd"], learning_rate=0.1, steps=40).table().splitlines()[1].split()[:4] == [
        "sgd", "0.1", "given", "arrived",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"surface": "bale"}, "received 'bale'"), ({"optimisers": "sdg"}, "received 'sdg'"),
        ({"optimisers": []}, "received none"), ({"optimisers": ["muon"]}, "weight matrix"),
        ({"learning_rate": -1.0}, "positive"), ({"learning_rate": float("nan")}, "positive"),
        ({"learning_rate": {"adam": 0.1}, "optimisers": ["sgd"]}, "of this race"),
        ({"learning_rate": {"levenberg-marquardt": 0.1}, "optimisers": ["levenberg-marquardt"]}, "no learning rate"),
        ({"surface": "saddle", "optimisers": ["gauss-newton"]}, "sum of squares"),
        ({"steps": 0}, "steps"), ({"steps": 10**6}, "at most"), ({"steps": 2.5}, "whole"),
        ({"start": (1.0,)}, "2 finite"), ({"start": (1.0, float("inf"))}, "2 finite"),
        ({"start": (1e9, 0.0)}, "within"),
        ({"noise": -1.0}, "noise"), ({"tolerance": 0.0}, "tolerance"),
    ],
)  # fmt: skip
def test_mistakes_are_one_line(wrong, says):
    with pytest.raises(GradatimError, match=says) as caught:
        race(**{"surface": "beale", **wrong})
    assert "\n" not in str(caught.value)


def table_of_the_document() -> str:
    """The table of docs/race.md: steps until each stays at a minimum, at its default rate; else what became of it."""
    grounds = ("parabola", "gaussians", "beale", "rosenbrock", "himmelblau", "saddle", "plateau", "ravine",
               "tilted-ravine")  # fmt: skip
    names = ("sgd", "momentum", "nesterov", "adagrad", "adadelta", "rmsprop", "adam", "adamw", "nadam", "random",
             "newton", "saddle-free-newton", "levenberg-marquardt", "lbfgs")  # fmt: skip
    done = {ground: race(ground, [name for name in names if fits(name, find_surface(ground))]) for ground in grounds}
    short = {"on its way": "–", "wandered off": "away", "hovers": "hovers"}
    lines = ["| | " + " | ".join(grounds) + " |", "|---" * (len(grounds) + 1) + "|"]
    for name in names:
        cells = []
        for ground in grounds:
            runs = [run for run in done[ground].runs if run.name == name]
            if not runs:
                cells.append("")
            else:
                cells.append(str(runs[0].steps) if runs[0].verdict == "arrived" else
                             short.get(runs[0].verdict, runs[0].verdict))  # fmt: skip
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def test_the_figures_of_the_document():
    page = (Path(__file__).resolve().parents[2] / "docs" / "race.md").read_text(encoding="utf-8")
    assert table_of_the_document() in page
    done = race("beale", ("sgd", "momentum", "adam"), learning_rate=0.01)
    assert "\n".join(line.rstrip() for line in done.table().splitlines()) in page
    at_small_rate = race("saddle", ("sgd", "adam"), learning_rate=0.01)
    assert at_small_rate["sgd"].verdict == "on its way" and at_small_rate["adam"].steps == 448
    four = race("himmelblau")
    ends = {run.name: tuple(run.minimum.round(2)) for run in four.runs}
    assert {name for name, end in ends.items() if end == (3.0, 2.0)} == {"adagrad", "rmsprop", "adam"}
    assert {name for name, end in ends.items() if end == (3.58, -1.85)} == {"sgd", "momentum", "nesterov"}
