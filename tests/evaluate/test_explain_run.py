"""Explanations of runs: networks over several columns, exact sums of linear heads, any run by removal; their pages."""

import io
import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
from PIL import Image

import gradatim as gd
from gradatim.artifact import Artifact
from gradatim.data.codecs import codec_for
from gradatim.data.infer import infer_schema
from gradatim.data.readers import read_table
from gradatim.data.table import Table
from gradatim.device import Placement, choose
from gradatim.errors import GradatimError
from gradatim.evaluate.explain.explanation import METHODS, smaller
from gradatim.evaluate.explain.page import explanation_page
from gradatim.evaluate.explain.painting import explanation_png
from gradatim.evaluate.report import build_report
from gradatim.models.address import build
from gradatim.run import Run
from gradatim.tasks import task_class
from gradatim.tasks.explain import explained_facts, score_of_answers
from gradatim.tasks.explain_head import character_runs, linear_score
from gradatim.tasks.heads import Head, join
from gradatim.tasks.members import Ensemble
from gradatim.tasks.network import NetworkMember, blueprint_of
from gradatim.tasks.source import Source

GRADIENTS = ("saliency", "smooth_grad", "integrated_gradients", "grad_cam")
ENCODERS = {"image": {"address": "small_resnet", "arguments": {"width": 8, "stem_stride": 1}}}
TEXTS = ["a <b>red</b> bus & more", "blue car, quite new", "the red car", None, "a bus", "blue day", "new red day"]


def png_of(pixels: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def mixed_table(rows: int = 24) -> Table:
    """Numbers, categories, texts and pictures; some cells are missing."""
    noise = np.random.default_rng(0)
    pictures = [png_of(noise.integers(0, 255, (16, 20, 3), dtype=np.uint8)) for _ in range(rows)]
    frame = pl.DataFrame({
        "size": [None if row == 5 else float(noise.normal()) for row in range(rows)],
        "colour": ["red" if row % 3 else "blue" for row in range(rows)],
        "words": [TEXTS[row % len(TEXTS)] for row in range(rows)],
        "kind": [("cat", "dog", "<script>")[row % 3] for row in range(rows)],
        "price": [float(row) * 10 for row in range(rows)],
    })
    return Table(frame.with_columns(pl.Series("picture", pictures, dtype=pl.Binary)), source="<mixed>")


def parts_of_a_run(table: Table, target: str, ignore: tuple[str, ...]):
    kinds = {"words": "text", "picture": "image", "size": "number", "colour": "category"}
    kinds = {name: kind for name, kind in kinds.items() if name in table.frame.columns}
    schema = infer_schema(table, target=target, kinds=kinds, ignore=ignore)
    column = schema.targets[0]
    task = task_class("regression" if column.kind == "number" else "classification").fit(column, table.cells(target))
    codecs = {c.name: codec_for(c).fit(table.cells(c.name), table.folder) for c in schema.inputs}
    return schema, task, codecs


def network_run(table: Table, target: str = "kind", ignore: tuple[str, ...] = ("price",)) -> Run:
    """A network with random weights, as if it had been fitted."""
    schema, task, codecs = parts_of_a_run(table, target, ignore)
    blueprint = blueprint_of(schema.inputs, codecs, task.outputs, encoders=ENCODERS, fusion="concatenation")
    torch.manual_seed(0)
    network = build(blueprint).eval()
    with torch.no_grad():
        network.head.weight.normal_(0, 0.5)
    placement = Placement.from_json({**choose(device="cpu").to_json(), "dtype": "float32", "channels_last": False})
    member = NetworkMember(codecs, blueprint, network, placement, task)
    return Run(Artifact(schema, task, Ensemble((member,), (1.0,), task), {"source": ""}, {}, {}))


def head_run(table: Table, target: str = "kind", ignore: tuple[str, ...] = ("price",)) -> Run:
    schema, task, codecs = parts_of_a_run(table, target, ignore)
    head = Head.fit(Source(table), schema.inputs, codecs, np.arange(len(table)), task.labels(table.cells(target)), task)
    return Run(Artifact(schema, task, Ensemble((head,), (1.0,), task), {"source": ""}, {}, {}))


@pytest.fixture(scope="module")
def table() -> Table:
    return mixed_table()


@pytest.fixture(scope="module")
def network(table: Table) -> Run:
    return network_run(table)


@pytest.fixture(scope="module")
def head(table: Table) -> Run:
    return head_run(table)


@pytest.mark.parametrize("method", GRADIENTS)
def test_every_column_of_a_network_is_explained(network, table, method):
    for found in network.explain(table, [0, 3, 5], method=method):
        parts = {part.column: part for part in found.parts}
        assert set(parts) == {"size", "colour", "words", "picture"}
        heat = parts["picture"].heat
        assert heat is not None and heat.shape == (13, 16) and np.isfinite(heat).all()  # 16 × 20 within 16 × 16
        if method != "grad_cam" and parts["words"].cell is not None:
            assert "".join(text for text, _ in parts["words"].words) == parts["words"].cell
            assert any(score for _, score in parts["words"].words)
        assert json.dumps(found.to_json(), allow_nan=False) and str(found)
    assert parts["size"].note == "missing" and not parts["size"].total


@pytest.mark.parametrize("row", [0, 3, 5])
def test_integrated_gradients_of_a_run_are_complete(network, table, row):
    (found,) = network.explain(table, row, method="integrated-gradients")
    total = sum(part.total for part in found.parts)
    moved = sum(abs(part.total) for part in found.parts)
    assert total == pytest.approx(found.score - found.reference, abs=0.03 * moved)
    words = next(part for part in found.parts if part.column == "words")
    assert sum(score for _, score in words.words) == pytest.approx(words.total, abs=1e-4)
    picture = next(part for part in found.parts if part.column == "picture")
    assert picture.heat.sum() == pytest.approx(picture.total, rel=0.5, abs=0.5)  # the margins are cut off
    answer = network.artifact.ensemble.answer(Source(table.take(np.array([row]))))
    chosen = [str(c) for c in network.task.classes].index(found.explained)
    assert found.score == pytest.approx(float(score_of_answers(network.task, answer, chosen)[0]), abs=1e-4)


def test_the_class_can_be_chosen(network, table):
    scores = [network.explain(table, 0, method="saliency", of=name)[0].score for name in ("cat", "dog", "<script>")]
    probabilities = network.artifact.ensemble.answer(Source(table.take(np.array([0]))))[0]
    names = [str(name) for name in network.task.classes]
    expected = [probabilities[names.index(name)] for name in ("cat", "dog", "<script>")]
    assert [1 / (1 + np.exp(-score)) for score in scores] == pytest.approx(expected, abs=1e-5)


def test_removal_is_the_answer_without_the_part(network, table):
    (found,) = network.explain(table, 2)
    task, ensemble = network.task, network.artifact.ensemble
    chosen = [str(name) for name in task.classes].index(found.explained)

    def score(**cells):
        frame = table.frame[[2]]
        for name, cell in cells.items():
            frame = frame.with_columns(pl.Series(name, [cell], dtype=frame.schema[name]))
        return float(score_of_answers(task, ensemble.answer(Source(Table(frame))), chosen)[0])

    whole = score()
    parts = {part.column: part for part in found.parts}
    assert found.score == pytest.approx(whole, abs=1e-5)
    for name in ("size", "colour", "words"):
        assert parts[name].total == pytest.approx(whole - score(**{name: None}), abs=1e-4)
    words = {text: value for text, value in parts["words"].words if text.strip()}
    assert words["red"] == pytest.approx(whole - score(words="the car"), abs=1e-4)
    assert parts["picture"].heat.shape == (16, 20)


@pytest.mark.parametrize(("target", "ignore"), [("kind", ("price",)), ("price", ("kind",))])
def test_exact_sums_of_a_linear_head(table, target, ignore):
    run = head_run(table, target, ignore)
    (member,) = run.artifact.ensemble.members
    for row in (0, 1, 3, 5):
        (found,) = run.explain(table, row, method="exact")
        source = Source(table.take(np.array([row])))
        chosen = 0 if target == "price" else [str(c) for c in run.task.classes].index(found.explained)
        features = join([block.matrix(source, np.array([0])) for block in member.blocks])
        features = features.toarray() if hasattr(features, "toarray") else features
        weights, offset = linear_score(member, chosen)
        expected = float(features[0].astype(np.float64) @ weights) + offset
        assert found.score == pytest.approx(expected, rel=1e-5, abs=1e-6)
        assert sum(part.total for part in found.parts) == pytest.approx(found.score - found.reference)
        words = next(part for part in found.parts if part.column == "words")
        if words.cell:
            assert sum(score for _, score in words.words) == pytest.approx(words.total, abs=1e-6)
            assert "".join(text for text, _ in words.words) == words.cell
        if target == "price":
            answer = run.artifact.ensemble.answer(source)
            assert found.score == pytest.approx(float(answer[0]), rel=1e-4)


def test_two_classes_and_their_log_odds():
    frame = pl.DataFrame({"x": [float(x) for x in range(60)], "y": ["low"] * 30 + ["high"] * 30})
    run = gd.fit(frame, target="y", minutes=0.1, ledger="none", kinds={"x": "number"},
                 estimator="logistic.LogisticRegression")
    (found,) = run.explain(frame, 55, method="exact")
    p = run.answer(read_table(frame))[55]
    chosen = [str(c) for c in run.task.classes].index("high")
    (member,) = [m for m in run.artifact.ensemble.members if isinstance(m, Head)]
    own = member.answer(Source(read_table(frame)))[55]
    assert found.explained == found.predicted == "high" and p[chosen] > 0.5
    assert found.score == pytest.approx(float(np.log(own[chosen]) - np.log(1 - own[chosen])), rel=1e-3)
    assert "explanations" in run.facts and all(entry["method"] == "removal" for entry in run.facts["explanations"])


def test_runs_of_letters_are_those_of_the_features():
    from gradatim.estimators.features.text import TfidfFeatures

    features = TfidfFeatures(min_texts=1, word_ngrams=None).fit(["abracadabra ab a"])
    counted = set()
    for word in ("abracadabra", "ab", "a"):
        counted |= set(character_runs(f" {word} ", 3, 5))
    assert counted == set(features.characters_)


def test_random_weights_make_another_explanation(network, table):
    (found,) = network.explain(table, 0, method="saliency", check=True)
    assert [share for share, _ in found.checks] == [0.0, 0.25, 0.5, 0.75, 1.0]
    assert found.checks[0][1] == 1.0 and abs(found.checks[-1][1]) < 0.6
    assert "rank correlation" in str(found)


def test_mistakes_are_one_line(network, head, table):
    for wrong, says in (
        ({"method": "magic"}, "expected one of removal"), ({"rows": 99}, "0 to 23"), ({"rows": -1}, "0 to 23"),
        ({"of": "cow"}, "cat"), ({"check": True}, "gradient method"), ({"method": "exact"}, "linear head"),
    ):
        with pytest.raises(GradatimError, match=says) as caught:
            network.explain(table, **{"rows": 0, **wrong})
        assert "\n" not in str(caught.value)
    with pytest.raises(GradatimError, match="network"):
        head.explain(table, 0, method="grad_cam")
    with pytest.raises(GradatimError, match="--table"):
        network.explain(rows=0)


def test_pages_are_escaped_offline_and_small(network, table):
    explanations = [*network.explain(table, [0, 2, 3]), *network.explain(table, 2, method="integrated_gradients")]
    page = explanation_page(explanations, title="<why>", table=table)
    assert len(page) < 1_000_000 and "<script" not in page and "<b>red</b>" not in page and "&lt;why&gt;" in page
    assert "http://" not in page and "https://" not in page and page.count("data:image/") == 8
    assert "prefers-color-scheme:dark" in page and "speaks against" in page
    for explanation in explanations:
        picture = Image.open(io.BytesIO(explanation_png(explanation, table=table)))
        assert picture.width == 1440 and 400 < picture.height < 4000


def test_heat_shows_on_the_page_where_it_is(table):
    from gradatim.evaluate.explain.heat import overlay

    heat = np.zeros((10, 10))
    heat[:3, :3], heat[7:, 7:] = 1.0, -1.0
    drawn = np.asarray(overlay(Image.new("RGB", (100, 100), (200, 200, 200)), heat)).astype(int)
    first, last, middle = drawn[10, 10], drawn[90, 90], drawn[50, 50]
    assert first[2] - first[0] > 90 and last[0] - last[2] > 90 and abs(middle[0] - middle[2]) < 10


def test_smaller_heat_keeps_its_mean():
    heat = np.random.default_rng(0).random((96, 130))
    small = smaller(heat)
    assert small.shape == (48, 48) and small.mean() == pytest.approx(heat.mean(), rel=0.02)
    assert smaller(heat[:5, :7]).shape == (5, 7)


def test_the_report_shows_worst_and_best(network, table, monkeypatch):
    monkeypatch.setattr("gradatim.tasks.explain.FACTS_SECONDS", 1e6)
    facts = explained_facts(network.artifact.ensemble, network.artifact.schema, table, np.arange(10), np.arange(10.0))
    assert [entry["row"] for entry in facts] == [9, 8, 0, 1]
    assert json.dumps(facts, allow_nan=False)
    page = build_report({"title": "t", "explanations": facts}, table=table)
    assert "Why it answered so" in page and "The highest loss" in page and "<script" not in page
    assert "Why it answered so" not in build_report({"title": "t"})
    assert explained_facts(network.artifact.ensemble, network.artifact.schema, table, np.arange(0), np.arange(0)) == []


def test_sounds_are_silenced_piece_by_piece(tmp_path: Path):
    import soundfile

    noise = np.random.default_rng(3)
    lines = ["file,pitch"]
    for row in range(24):
        wave = np.sin(np.arange(4000) * 2 * np.pi * (300 + 500 * (row % 2)) / 8000) * (np.arange(4000) > 2000)
        soundfile.write(tmp_path / f"{row}.wav", 0.4 * wave + 0.01 * noise.normal(size=4000), 8000)
        lines.append(f"{row}.wav,{('low', 'high')[row % 2]}")
    (tmp_path / "train.csv").write_text("\n".join(lines))
    sounds = read_table(tmp_path / "train.csv")
    run = head_run(sounds, "pitch", ())
    (found,) = run.explain(sounds, 1)
    (part,) = found.parts
    assert part.kind == "audio" and part.heat.shape == (5, 12) and (part.seconds, part.hertz) == (0.5, 8000)
    assert np.abs(part.heat[:, 6:]).sum() > np.abs(part.heat[:, :5]).sum()  # the tone is in the second half
    assert np.abs(part.heat[-2:]).sum() > np.abs(part.heat[:2]).sum()  # and low
    page = explanation_page([found], table=sounds)
    assert "data:image/svg+xml" in page and "1.wav 0.50 s" in page
    assert explanation_png(found, table=sounds).startswith(b"\x89PNG")
    assert " kHz" in str(found) and found.to_json()["parts"][0]["hertz"] == 8000
    network = network_run(sounds, "pitch", ())
    for method in ("integrated_gradients", "grad_cam"):
        (found,) = network.explain(sounds, 1, method=method)
        assert found.parts[0].heat is not None and found.parts[0].heat.ndim == 2
        assert found.parts[0].hertz == 8000 and abs(found.parts[0].seconds - 0.5) < 0.02


def test_every_method_says_what_it_means():
    assert all(len(meaning) > 40 and name for name, meaning in METHODS.values())
