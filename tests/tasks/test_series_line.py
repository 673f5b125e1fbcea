"""Series through the whole line: fit, predict, explain, save and load; text cells, channels, unequal lengths, gaps."""

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch

import gradatim as gd
from gradatim.data.codecs import codec_for
from gradatim.data.infer import infer_schema
from gradatim.device import Placement
from gradatim.models.address import build
from gradatim.tasks.classification import Classification
from gradatim.tasks.explain_network import network_parts
from gradatim.tasks.network import NetworkMember, blueprint_of
from gradatim.tasks.source import Source

FCN = "gradatim.models.sequence.series_convolution.series_fcn"


def frame(rows: int = 72, *, channels: int = 2) -> pl.DataFrame:
    """Waves of two speeds, of unequal lengths, with a value missing now and then."""
    source = np.random.default_rng(0)
    cells, labels, levels = [], [], []
    for row in range(rows):
        steps, speed = int(source.integers(20, 40)), 0.3 if row % 2 else 0.8
        series = np.sin(np.arange(steps) * speed + source.uniform(0, 6, (channels, 1)))
        series = series + 0.3 * source.normal(size=series.shape)
        cell = [[None if source.random() < 0.02 else float(value) for value in line] for line in series.round(3)]
        cells.append(json.dumps(cell if channels > 1 else cell[0]))
        labels.append("slow" if row % 2 else "fast")
        levels.append(10 * speed + 0.1 * source.normal())
    return pl.DataFrame({"wave": cells, "label": labels, "level": levels})


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> gd.Run:
    folder = tmp_path_factory.mktemp("series")
    frame().drop("level").write_csv(folder / "waves.csv")
    return gd.fit(folder / "waves.csv", target="label", output=folder / "run", epochs=2, seed=0)


def test_the_column_is_read_as_series_and_told_apart(run: gd.Run) -> None:
    assert run.artifact.schema["wave"].kind == "series"
    names = [entry["name"] for entry in run.facts["candidates"]]
    assert "linear head on wave" in names and "network" in names
    head = next(entry for entry in run.facts["candidates"] if entry["name"] == "linear head on wave")
    assert head["value"] > 0.9


def test_saved_run_answers_alike_and_reads_lists_as_well(run: gd.Run) -> None:
    held = frame(10).drop("label", "level")
    again = gd.load(run.folder)
    first = run.predict(held).frame
    assert first.equals(again.predict(held).frame)
    lists = held.with_columns(pl.Series("wave", [json.loads(cell) for cell in held["wave"]]))
    assert first.equals(again.predict(lists).frame)
    empty = held.with_columns(pl.lit(None, dtype=pl.String).alias("wave"))
    assert np.isfinite(again.predict(empty).frame.select(pl.selectors.numeric()).to_numpy()).all()


def test_stretches_of_time_are_explained(run: gd.Run) -> None:
    (found,) = run.explain(frame(4).drop("level"), [1], method="removal")
    part = found.parts[0]
    assert part.kind == "series" and part.heat is not None and part.heat.shape[0] == 2
    assert "data:image/svg+xml" in found._repr_html_() and "numbers" not in str(found).split("\n")[0]


def test_the_report_draws_series(run: gd.Run) -> None:
    assert run.folder is not None
    assert "data:image/svg+xml" in (Path(run.folder) / "report.html").read_text(encoding="utf-8")


@pytest.mark.slow
def test_regression_of_series_with_one_channel(tmp_path: Path) -> None:
    run = gd.fit(frame(90, channels=1).drop("label"), target="level", output=tmp_path / "run", epochs=2, seed=0)
    assert run.artifact.schema["wave"].kind == "series"
    head = next(entry for entry in run.facts["candidates"] if entry["name"] == "linear head on wave")
    mean = next(entry for entry in run.facts["candidates"] if entry["name"] == "mean")
    assert head["value"] < 0.5 * mean["value"]


@pytest.mark.parametrize("method", ["saliency", "integrated_gradients"])
def test_gradients_of_the_network_over_time(method: str) -> None:
    """A network with random weights, as if it had been fitted: what is explained does not depend on who was kept."""
    table = gd.read_table(frame(80).drop("level"))
    schema = infer_schema(table, target="label")
    task = Classification.fit(schema.targets[0], table.cells("label"))
    codecs = {column.name: codec_for(column).fit(table.cells(column.name)) for column in schema.inputs}
    blueprint = blueprint_of(schema.inputs, codecs, task.outputs, fusion="concatenation",
                             encoders={"series": {"address": FCN, "arguments": {}}})
    torch.manual_seed(0)
    network = build(blueprint).eval()
    with torch.no_grad():
        network.head.weight.normal_(0, 0.5)
    member = NetworkMember(codecs, blueprint, network, Placement(), task)
    parts, value, reference = network_parts(member, Source(table), 0, 1, method)
    heat = parts[0].heat
    assert parts[0].kind == "series" and heat is not None and heat.shape[0] == 2 and np.isfinite(heat).all()
    assert np.abs(heat).max() > 0
    if method == "integrated_gradients":
        assert reference is not None and abs(value - reference) > 1e-3
        assert parts[0].total == pytest.approx(value - reference, abs=0.05 * abs(value) + 0.05)
