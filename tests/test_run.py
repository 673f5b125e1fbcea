"""The whole line on tiny tables: fit, predict, save, load, evaluate; every row answered, test rows kept apart."""

import csv
import io
import json
import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
import soundfile
from PIL import Image

import gradatim as gd
from gradatim.artifact import read_uses
from gradatim.errors import DataError, GradatimError
from gradatim.run import Run

ROWS = 64
QUICK: dict[str, Any] = {"epochs": 1, "minutes": 0.2, "ledger": "none"}


def numbers_and_categories(folder: Path, rows: int = ROWS) -> Path:
    """x decides, colour helps; some cells are missing or unreadable."""
    noise = np.random.default_rng(1)
    lines = ["id,x,colour,y"]
    for row in range(rows):
        high = bool(noise.random() < 0.5)
        x = f"{noise.normal(2 * high):.3f}"
        cell = {3: "", 11: "?", 17: "twelve"}.get(row, x)
        lines.append(f"r{row},{cell},{'' if row == 5 else 'red' if noise.random() < 0.3 + 0.4 * high else 'blue'},"
                     f"{'yes' if high else 'no'}")
    return write(folder / "train.csv", lines)


def texts(folder: Path) -> Path:
    words = {"good": ["fine", "lovely", "great"], "bad": ["awful", "poor", "sad"], "so-so": ["fair", "plain", "usual"]}
    lines = ["words,mood"]
    for row in range(ROWS):
        mood = list(words)[row % 3]
        lines.append(f'"a {words[mood][row % 3]}, {words[mood][row // 3 % 3]} day, number {row}",{mood}')
    return write(folder / "train.csv", lines)


def pictures(folder: Path) -> Path:
    """A folder of class folders."""
    noise = np.random.default_rng(2)
    for row in range(40):
        label = ("dark", "light")[row % 2]
        (folder / "pictures" / label).mkdir(parents=True, exist_ok=True)
        pixels = noise.integers(0, 90, (16, 16, 3)) + 150 * (row % 2)
        Image.fromarray(pixels.astype(np.uint8)).save(folder / "pictures" / label / f"{row}.png")
    return folder / "pictures"


def sounds(folder: Path) -> Path:
    noise = np.random.default_rng(3)
    lines = ["file,pitch"]
    for row in range(40):
        hertz = 200 + 400 * (row % 2)
        wave = np.sin(np.arange(1600) * 2 * np.pi * hertz / 8000) + 0.1 * noise.normal(size=1600)
        soundfile.write(folder / f"{row}.wav", 0.4 * wave, 8000)
        lines.append(f"{row}.wav,{('low', 'high')[row % 2]}")
    soundfile.write(folder / "4.wav", np.zeros(1600), 8000)
    (folder / "6.wav").write_bytes(b"RIFF no sound")
    return write(folder / "train.csv", lines)


def amounts(folder: Path) -> Path:
    noise = np.random.default_rng(4)
    lines = ["area,town,price"]
    for row in range(ROWS):
        area = noise.uniform(20, 200)
        lines.append(f'{area:.1f},{"ABC"[row % 3]},"€ {1000 * area + 5000 * (row % 3) + noise.normal(0, 900):,.2f}"')
    return write(folder / "train.csv", lines)


def everything(folder: Path) -> Path:
    """All kinds side by side; each kind has a missing cell and files an unreadable one."""
    noise = np.random.default_rng(5)
    lines = ["size,colour,words,picture,voice,label"]
    for row in range(48):
        odd = row % 2
        Image.fromarray((noise.integers(0, 120, (16, 16, 3)) + 90 * odd).astype(np.uint8)).save(folder / f"{row}.png")
        soundfile.write(folder / f"{row}.wav", 0.4 * np.sin(np.arange(1200) * (0.1 + 0.2 * odd)), 8000)
        cells = [f"{noise.normal(odd):.2f}", ("red", "blue")[odd], f"the {('quiet', 'loud')[odd]} one is number {row}",
                 f"{row}.png", f"{row}.wav"]
        if row < 5:
            cells[row] = ""
        lines.append(",".join([*cells, ("no", "yes")[odd]]))
    (folder / "9.png").write_bytes(b"\x89PNG no picture")
    (folder / "10.wav").unlink()
    return write(folder / "train.csv", lines)


def write(path: Path, lines: list[str]) -> Path:
    path.write_text("\n".join(lines) + "\n")
    return path


def without(rows: list[dict[str, Any]], name: str) -> list[dict[str, Any]]:
    return [{key: value for key, value in row.items() if key != name} for row in rows]


TABLES: dict[str, tuple[Callable[[Path], Path], str | None]] = {
    "numbers and categories": (numbers_and_categories, "y"),
    "texts": (texts, "mood"),
    "pictures in class folders": (pictures, None),
    "sounds": (sounds, "pitch"),
    "amounts": (amounts, "price"),
    "everything": (everything, "label"),
}


@pytest.mark.parametrize("name", TABLES)
def test_fit_predict_save_load_predict(name: str, tmp_path: Path) -> None:
    make, target = TABLES[name]
    source = make(tmp_path)
    run = gd.fit(source, target=target, output=tmp_path / "run", **QUICK)
    answers = run.predict(source)
    rows = len(gd.read_table(source))
    assert answers.frame["row"].to_list() == list(range(rows)) and answers.frame["prediction"].null_count() == 0
    loaded = gd.load(tmp_path / "run")
    assert loaded.predict(source).frame.equals(answers.frame), "saved, then loaded: bit-equal"
    again = gd.read_table(source)
    table = type(again)(again.frame[::-1], again.folder)
    assert np.allclose(
        np.asarray(loaded.answer(table))[::-1], run.answer(again), rtol=1e-4, atol=1e-5
    ), "a row's answer does not hang on its neighbours"
    assert loaded.facts == json.loads((tmp_path / "run" / "report.json").read_text())
    names = {path.name for path in (tmp_path / "run").iterdir()}
    assert names == {"artifact.json", "weights.safetensors", "request.json", "schema.json", "history.csv",
                     "report.json", "report.html", "card.md", "predictions"}
    check_page((tmp_path / "run" / "report.html").read_text())
    if run.task.classes:
        known = set(gd.read_table(source).frame[run.task.target].to_list())
        assert set(answers.frame["prediction"].to_list()) <= known
        assert np.allclose(answers.probabilities().sum(axis=1), 1)


def check_page(page: str) -> None:
    assert 10_000 < len(page.encode()) < 4 * 2**20
    assert not [word for word in ("src=\"http", "href=\"http", "@import", "<link") if word in page], "offline"


def test_amounts_are_learned_in_their_own_unit(tmp_path: Path) -> None:
    source = amounts(tmp_path)
    run = gd.fit(source, target="price", **QUICK)
    truth = run.task.labels(gd.read_table(source).cells("price"))
    error = np.sqrt(np.mean((run.predict(source).predicted() - truth) ** 2))
    assert error < 0.2 * truth.std() and 20_000 < truth.mean() < 200_000
    assert run.facts["score"]["metric"] == "rmse" and run.facts["score"]["value"] < 0.5 * truth.std()


HOSTILE = ["<script>alert(1)</script>", '=cmd|" /C calc"!A0', "comma, \"quote\"", "Straße ☃ \u202e", "line\nbreak"]


@pytest.fixture(scope="module")
def hostile_run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Run, Path]:
    """Class names, a column and cells that want to break out of the report."""
    folder = tmp_path_factory.mktemp("hostile")
    rows = [{"<img src=x onerror=alert(2)>": f"{row % 5 + row / 100:.2f}", "words": f"<b>bold {row}</b> {{{{7*7}}}}",
             "name": f"n{row}", "y": HOSTILE[row % 5]} for row in range(80)]
    pl.DataFrame(rows).write_csv(folder / "train.csv")
    run = gd.fit(folder / "train.csv", target="y", id="name", kinds={"words": "text"}, output=folder / "run",
                 epochs=1, minutes=0.3)
    return run, folder


def test_hostile_names_come_back_as_they_were(hostile_run: tuple[Run, Path]) -> None:
    run, folder = hostile_run
    answers = run.predict(folder / "train.csv", id="name")
    assert set(answers.frame["prediction"]) <= set(HOSTILE)
    submission = answers.submission("name")
    assert submission.columns == ["name", "y"]
    text = submission.write_csv()
    read = list(csv.DictReader(io.StringIO(text)))
    assert [row["name"] for row in read] == [f"n{row}" for row in range(80)]
    assert [row["y"] for row in read] == submission["y"].to_list()
    wide = answers.submission("name", probabilities=True)
    assert wide.columns == ["name", "y", *(f"probability:{name}" for name in run.task.classes)]


def test_the_report_is_escaped_and_small(hostile_run: tuple[Run, Path]) -> None:
    run, folder = hostile_run
    page = run.report()
    check_page(page)
    for raw in ("<script>alert", "<img src=x", "<b>bold", "7*7}}</b>"):
        assert raw not in page
    assert "&lt;script&gt;" in page and "49" not in page.split("bold 7")[0][-20:]
    card = (folder / "run" / "card.md").read_text()
    assert "<script>alert" not in card


def test_the_facts_are_json_and_say_what_was_done(hostile_run: tuple[Run, Path]) -> None:
    run, _ = hostile_run
    assert json.loads(json.dumps(run.facts, allow_nan=False)) is not None
    facts = run.facts
    assert {"score", "candidates", "ledger", "answer", "plan", "history", "provenance", "findings"} <= set(facts)
    assert sum(entry["weight"] for entry in facts["candidates"]) == pytest.approx(1)
    parts = facts["rows"]
    assert parts["train"] + parts["development"] + parts["test"] == parts["labelled"] == 80
    card = run.card()
    assert "fitted again on all labelled rows" in card.replace("\n", " ")
    assert run.facts["provenance"]["fingerprint"] and run.facts["provenance"]["seed"] == 0
    assert [entry["label"] for entry in facts["ledger"]], "the ledger has entries"


def test_the_same_seed_gives_the_same_run(tmp_path: Path) -> None:
    source = numbers_and_categories(tmp_path)
    content, losses = {}, {}
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        run = gd.fit(source, target="y", output=tmp_path / name, seed=seed, encoders={"number": "mlp"}, **QUICK)
        content[name] = {path.name: path.read_bytes() for path in (tmp_path / name).rglob("*") if path.is_file()}
        losses[name] = {stage: without(rows, "seconds") for stage, rows in run.facts["history"].items()}
    assert losses["a"] == losses["b"] != losses["c"]
    for file in ("weights.safetensors", "development.csv", "test.csv", "schema.json"):
        assert content["a"][file] == content["b"][file], file
    assert content["a"]["test.csv"] != content["c"]["test.csv"]
    first, second = (json.loads(content[name]["artifact.json"]) for name in "ab")
    for manifest in (first, second):
        for number in manifest["members"]:
            number.pop("placement", None)
        manifest["provenance"].pop("created")
    assert first["members"] == second["members"] and first["split"] == second["split"]


@pytest.mark.parametrize("target", ["label", "amount"])
def test_test_rows_are_used_for_no_choice(target: str) -> None:
    """Whatever stands in the test rows, the candidates, their scores, the choice and its networks are the same."""
    noise = np.random.default_rng(6)
    part = np.array(["train"] * 40 + ["dev"] * 14 + ["test"] * 10)
    x = noise.normal(size=64)
    frame = pl.DataFrame({
        "x": x, "colour": noise.choice(["red", "blue"], 64), "words": [f"word{i % 7}, more {i % 3}" for i in range(64)],
        "part": part, "label": np.where(x + noise.normal(size=64) > 0, "yes", "no"), "amount": 3 * x + noise.normal(),
    })
    test = pl.col("part") == "test"
    other = frame.with_columns(
        pl.when(test).then(pl.col("x") * -50 + 9).otherwise("x").alias("x"),
        pl.when(test).then(pl.lit("green")).otherwise("colour").alias("colour"),
        pl.when(test).then(pl.lit("unheard of")).otherwise("words").alias("words"),
        pl.when(test).then(pl.col("label").replace({"yes": "no", "no": "yes"})).otherwise("label").alias("label"),
        pl.when(test).then(pl.col("amount") * -100 - 7).otherwise("amount").alias("amount"),
    )
    found = []
    for table in (frame, other):
        ignore = {"label", "amount"} - {target}
        run = gd.fit(table, target=target, split="part", ignore=tuple(ignore), kinds={"words": "text"}, **QUICK)
        facts = run.facts
        candidates = without(facts["candidates"], "seconds")
        history = without(facts["history"]["network-1"], "seconds")
        found.append((candidates, history, facts["answer"]["why"], facts["score"]["value"]))
    assert found[0][:3] == found[1][:3]
    assert found[0][3] != found[1][3], "the score, in contrast, is that of the test rows"


def test_rare_classes_and_unlabelled_rows_survive(tmp_path: Path) -> None:
    source = numbers_and_categories(tmp_path, 80)
    lines = source.read_text().splitlines()
    for row, label in {7: "once", 20: "", 21: "", 30: "twice", 31: "twice"}.items():
        lines[row + 1] = lines[row + 1].rsplit(",", 1)[0] + f",{label}"
    write(source, lines)
    run = gd.fit(source, target="y", output=tmp_path / "run", **QUICK)
    assert run.task.classes == ["no", "once", "twice", "yes"]
    rows = run.facts["rows"]
    assert rows["labelled"] == 78 and rows["unlabelled"] == 2
    answers = run.predict(source)
    assert len(answers) == 80
    assert gd.load(tmp_path / "run").predict(source).frame.equals(answers.frame)
    scores = run.evaluate(source)
    assert scores["rows"] == 78 and any("2 rows" in note for note in scores["notes"])


def test_a_class_that_a_fold_lacks_is_no_end(tmp_path: Path) -> None:
    """59 against 1: some fold has one class alone."""
    lines = ["x,y", *(f"{row * 37 % 61 / 7:.2f},{'rare' if row == 3 else 'usual'}" for row in range(60))]
    run = gd.fit(write(tmp_path / "t.csv", lines), target="y", metric="roc_auc", **QUICK)
    assert run.facts["score"]["metric"] == "roc_auc" and run.facts["score"]["value"] is None
    assert len(run.report()) > 10_000


def test_very_few_rows(tmp_path: Path) -> None:
    source = write(tmp_path / "t.csv", ["x,y", "1.5,a", "2.5,b", "3.5,a", "2.2,b"])
    answers = gd.fit(source, target="y", kinds={"y": "category"}, **QUICK).predict(source)
    assert answers.frame["prediction"].to_list()[0] in ("a", "b")


def test_frames_of_all_libraries_give_the_same_run() -> None:
    noise = np.random.default_rng(8)
    x = noise.normal(size=60)
    colours = noise.choice(["red", "blue"], 60).tolist()
    columns: dict[str, Any] = {"x": x, "colour": colours, "y": [10 if v > 0 else 9 for v in x]}
    frame = pl.DataFrame(columns)
    results = []
    for table in (frame, pd.DataFrame(columns, index=range(100, 160)), frame.to_arrow()):
        run = gd.fit(table, target="y", kinds={"y": "category"}, **QUICK)
        assert run.task.classes == [9, 10]
        results.append(run.predict(table).frame)
    assert results[0]["prediction"].dtype == pl.Int64
    assert results[0].equals(results[1]) and results[0].equals(results[2])


def test_a_frame_leaves_a_run_that_can_be_saved_later_and_moved(tmp_path: Path) -> None:
    frame = gd.read_table(numbers_and_categories(tmp_path)).frame
    run = gd.fit(frame, target="y", **QUICK)
    answers = run.predict(frame)
    run.save(tmp_path / "one")
    run.evaluate(frame)
    gd.load(tmp_path / "one").save(tmp_path / "two")
    with pytest.raises(GradatimError, match="--force"):
        gd.load(tmp_path / "one").save(tmp_path / "two")
    (tmp_path / "two" / "notes.txt").write_text("mine")
    loaded = gd.load(tmp_path / "two")
    assert loaded.predict(frame).frame.equals(answers.frame)
    assert len(read_uses(tmp_path / "two")) == 1, "how often it was scored goes with the run"
    loaded.save(tmp_path / "two")
    assert (tmp_path / "two" / "notes.txt").read_text() == "mine" and len(read_uses(tmp_path / "two")) == 1
    (tmp_path / "one").rename(tmp_path / "three")
    assert gd.load(tmp_path / "three").predict(frame).frame.equals(answers.frame)


def test_labels_apart_are_joined_by_id_and_each_use_is_counted(tmp_path: Path) -> None:
    source = numbers_and_categories(tmp_path)
    run = gd.fit(source, target="y", id="id", output=tmp_path / "run", **QUICK)
    frame = pl.read_csv(source, infer_schema=False)
    frame.drop("y").write_csv(tmp_path / "test.csv")
    frame.select("id", "y").sample(fraction=1, shuffle=True, seed=1).write_csv(tmp_path / "labels.csv")
    together = run.evaluate(source)
    apart = run.evaluate(tmp_path / "test.csv", labels=tmp_path / "labels.csv", id="id")
    assert apart["metrics"] == together["metrics"]
    assert [together["uses"], apart["uses"]] == [1, 2]
    uses = read_uses(tmp_path / "run")
    assert [use["rows"] for use in uses] == [ROWS, ROWS] and uses[0]["metric"] == "accuracy"
    said = run.evaluate(source, constraint="highest recall with precision >= 0.6", metric="roc_auc")
    assert "precision" in said["threshold"]["sentence"] and read_uses(tmp_path / "run")[-1]["metric"] == "roc_auc"
    with pytest.raises(DataError, match="twice"):
        run.evaluate(tmp_path / "test.csv", labels=pl.concat([frame, frame]).select("id", "y"), id="id")
    assert len(read_uses(tmp_path / "run")) == 3, "what was not scored is not counted"


def test_a_labelled_test_table_is_scored_once_and_last(tmp_path: Path) -> None:
    source = numbers_and_categories(tmp_path)
    (tmp_path / "other").mkdir()
    test = numbers_and_categories(tmp_path / "other", 30)
    run = gd.fit(source, target="y", test=test, output=tmp_path / "run", **QUICK)
    assert run.facts["external_test"]["rows"] == 30
    assert len(read_uses(tmp_path / "run")) == 1
    assert json.loads((tmp_path / "run" / "report.json").read_text())["external_test"]["uses"] == 1


def test_the_minutes_hold_for_the_whole_call(tmp_path: Path) -> None:
    source = numbers_and_categories(tmp_path, 400)
    began = time.perf_counter()
    run = gd.fit(source, target="y", minutes=0.1, output=tmp_path / "run")
    spent = time.perf_counter() - began
    assert spent < 20, "6 seconds were allowed; the rest is for busy machines"
    assert run.facts["seconds"]["total"] <= spent
    assert all(math.isfinite(entry["seconds"]) for entry in run.facts["candidates"])


def test_options_that_do_not_exist_are_named() -> None:
    with pytest.raises(GradatimError, match="epoch"):
        gd.fit(pl.DataFrame({"x": [1.5, 2.5], "y": ["a", "b"]}), target="y", epoch=3)
    with pytest.raises(GradatimError, match="columns"):
        gd.fit(pl.DataFrame({"x": [1.5], "y": ["a"]}), target="z")


def test_predicting_lists_what_could_not_be_read(tmp_path: Path) -> None:
    source = numbers_and_categories(tmp_path)
    run = gd.fit(source, target="y", **QUICK)
    from gradatim.problems import Problems

    problems = Problems()
    table = write(tmp_path / "t.csv", ["x,colour,extra", "1.5,red,q", "many,blue,q", ",,"])
    answers = run.predict(table, problems=problems)
    assert len(answers) == 3
    assert [(p.row, p.column) for p in problems if p.code == "number-unreadable"] == [(1, "x")]
    with pytest.raises(DataError, match="missing x"):
        run.predict(write(tmp_path / "u.csv", ["colour", "red"]))
    with pytest.raises(DataError, match="rows"):
        run.predict(pl.DataFrame({"x": [], "colour": []}, schema={"x": pl.Float64, "colour": pl.String}))
