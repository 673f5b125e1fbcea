"""The waist: toy detection, translation and clustering pass from a Table to a loaded Artifact.

The toys live in a package of their own and are named in the literal tables, as tasks to come will be. What they need
beyond classes and numbers: a target of any kind with a codec, the context of one column when another is undone, a
forward pass of their own, answers that are no floats, predictions with their own columns, no target at all.
"""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from PIL import Image, ImageDraw
from toys.clustering import Clustering, Clusters, KMeans, matrix
from toys.detection import Detection
from toys.translation import Translation

import gradatim as gd
from gradatim.artifact import Artifact
from gradatim.data.codecs import CODECS, Codec, codec_for
from gradatim.data.duplicates import find_ties
from gradatim.data.infer import infer_schema
from gradatim.data.loader import batch_order
from gradatim.data.readers import read_table
from gradatim.data.schema import Schema
from gradatim.data.split import Split, make_split
from gradatim.data.table import Table
from gradatim.device import choose
from gradatim.errors import ArtifactError, GradatimError
from gradatim.evaluate.predictions import Predictions
from gradatim.models.address import build
from gradatim.request import pick_task
from gradatim.run import Run
from gradatim.tasks import TASK_OF_KIND, TASKS, Task, task_class
from gradatim.tasks.members import MEMBERS, Ensemble, Member
from gradatim.tasks.network import NetworkMember
from gradatim.tasks.source import Source
from gradatim.train.history import History
from gradatim.train.loop import fit
from gradatim.train.plan import Plan
from gradatim.train.steps import Supervised, forward_columns

PACKAGES = ("gradatim", "toys")


@pytest.fixture(autouse=True)
def toys_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """A line in each literal table; in the library these lines would stand in the source."""
    monkeypatch.setitem(CODECS, "boxes", "toys.boxes.BoxesCodec")
    monkeypatch.setitem(TASKS, "detection", "toys.detection.Detection")
    monkeypatch.setitem(TASKS, "translation", "toys.translation.Translation")
    monkeypatch.setitem(TASKS, "clustering", "toys.clustering.Clustering")
    monkeypatch.setitem(TASK_OF_KIND, "boxes", "detection")
    monkeypatch.setitem(TASK_OF_KIND, "text", "translation")
    monkeypatch.setitem(MEMBERS, "clusters", "toys.clustering.Clusters")


def read_infer_split(path: Path, **asked: Any) -> tuple[Table, Schema, Split]:
    """The first third of the arrow, as `gradatim fit` goes it."""
    table = read_table(path)
    schema = infer_schema(table, **asked)
    schema = Schema.from_json(json.loads(json.dumps(schema.to_json())))
    split = make_split(table, schema, ties=find_ties(table, schema))
    return table, schema, Split.from_json(json.loads(json.dumps(split.to_json())))


def fitted(schema: Schema, table: Table, rows: np.ndarray) -> dict[str, Codec]:
    """A codec for each input, fitted on training rows."""
    return {column.name: codec_for(column).fit([table.cells(column.name)[row] for row in rows], table.folder)
            for column in schema.inputs}


def train(
    table: Table, task: Any, codecs: dict[str, Codec], blueprint: dict[str, Any], rows: np.ndarray, *, epochs: int,
    learning_rate: float, forward: Callable[[Any, Any], Any] = forward_columns,
) -> tuple[NetworkMember, History]:
    """The one loop with the supervised step; what differs is the task's objective and forward pass."""
    encoded = Source(table).encode({**codecs, task.target: task.codec})
    torch.manual_seed(0)
    network = build(blueprint, packages=PACKAGES)
    size = 32
    plan = Plan(epochs, -(-len(rows) // size), size, learning_rate=learning_rate, weight_decay=0.01,
                placement=choose(device="cpu"))
    step = Supervised(network, task.objective, plan, forward=forward)

    def batches(epoch: int) -> list[Any]:
        order = batch_order(rows, size, seed=0, epoch=epoch)
        return [encoded.batch(chosen, list(codecs), [task.target]) for chosen in order]

    history = fit(step, batches, plan)
    return NetworkMember(codecs, blueprint, network.eval(), plan.placement, task), history


def saved_and_loaded(folder: Path, schema: Schema, task: Task, member: Member, split: Split) -> tuple[Run, Run]:
    """The run in memory, and the one that is read from its folder."""
    run = Run(Artifact(schema, task, Ensemble((member,), (1.0,), task), split=split.to_json()))
    run.save(folder / "run")
    return run, gd.load(folder / "run", packages=PACKAGES)


def assert_round_trips(said: Predictions, folder: Path, columns: Sequence[str], **types: Any) -> None:
    """Through CSV and Parquet to the same frame; the submission is id and target."""
    assert said.frame.columns == list(columns) and said.column == columns[-1]
    said.write(folder / "said.parquet")
    back = Predictions.read(folder / "said.parquet")
    assert (back.task, back.target, back.column) == (said.task, said.target, said.column)
    assert back.frame.equals(said.frame)
    said.write(folder / "said.csv")
    back = Predictions.read(folder / "said.csv", task=said.task, target=said.target, column=said.column, types=types)
    assert (back.task, back.target, back.column) == (said.task, said.target, said.column)
    assert back.frame.equals(said.frame)
    assert said.submission(columns[1]).columns == [columns[1], said.target]


def draw_squares(folder: Path, rows: int, seed: int) -> Path:
    """Pictures of different sizes with one or two coloured squares, and a CSV file with their boxes as JSON."""
    random = np.random.default_rng(seed)
    lines = []
    for number in range(rows):
        width, height = (int(side) for side in random.integers(48, 97, 2))
        picture = Image.fromarray(random.integers(90, 130, (height, width, 3), dtype=np.uint8))
        boxes: list[list[Any]] = []
        halves = random.permutation(2)[: random.integers(1, 3)]  # each square in its half, so that none hides another
        for half in halves:
            side = int(random.integers(14, 24))
            left = int(half * width // 2 + random.integers(0, width // 2 - side))
            top = int(random.integers(0, height - side))
            colour = ("red", "blue")[random.integers(2)]
            ImageDraw.Draw(picture).rectangle((left, top, left + side - 1, top + side - 1), fill=colour)
            boxes.append([left, top, left + side, top + side, colour])
        picture.save(folder / f"{seed}-{number}.png")
        lines.append({"name": f"p{number}", "picture": f"{seed}-{number}.png", "boxes": json.dumps(boxes)})
    path = folder / f"squares-{seed}.csv"
    pl.DataFrame(lines).write_csv(path)
    return path


def test_detection(tmp_path: Path) -> None:
    table, schema, split = read_infer_split(
        draw_squares(tmp_path, 360, seed=0), target="boxes", id="name", kinds={"boxes": "boxes"}
    )
    assert [(column.name, column.kind) for column in schema.inputs] == [("picture", "image")]
    assert task_class(pick_task(schema)) is Detection
    task = Detection.fit(schema["boxes"], [table.cells("boxes")[row] for row in split.train], picture="picture")
    codecs = fitted(schema, table, split.train)
    seen = codecs["picture"].describe()
    blueprint = {"address": "toys.detection.dense_detector", "arguments": {
        "column": "picture", "channels": seen["channels"], "size": seen["size"], "classes": len(task.classes)}}
    rows = np.concatenate([split.train, split.development])
    member, history = train(table, task, codecs, blueprint, rows, epochs=20, learning_rate=4e-3)
    assert history.column("loss")[-1] < 0.3 * history.column("loss")[0]

    run, again = saved_and_loaded(tmp_path, schema, task, member, split)
    test = draw_squares(tmp_path, 40, seed=1)
    scores = again.evaluate(test)["metrics"]
    assert scores["recall"]["value"] > 0.85 and scores["precision"]["value"] > 0.85
    said = again.predict(test, id="name")
    assert said.frame.equals(run.predict(test, id="name").frame)
    assert_round_trips(said, tmp_path, ["row", "name", "boxes"])
    missing = again.predict(pl.DataFrame({"picture": ["gone.png"]}))
    assert missing.labels == ["[]"]
    with pytest.raises(ArtifactError, match=r"toys\.detection"):
        gd.load(tmp_path / "run")


WORDS = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]


def write_numbers(path: Path, rows: int, seed: int) -> Path:
    """Number words, and the digits from the last to the first."""
    random = np.random.default_rng(seed)
    digits = [random.integers(0, 10, random.integers(2, 6)).tolist() for _ in range(rows)]
    pl.DataFrame({
        "key": [f"k{number}" for number in range(rows)],
        "words": [" ".join(WORDS[digit] for digit in row) for row in digits],
        "digits": ["".join(map(str, row[::-1])) for row in digits],
    }).write_csv(path)
    return path


def test_translation(tmp_path: Path) -> None:
    table, schema, split = read_infer_split(
        write_numbers(tmp_path / "train.csv", 2000, seed=0), target="digits", id="key", kinds={"digits": "text"}
    )
    schema = schema.changed("digits", options={"tokenizer": "characters"})
    assert [(column.name, column.kind) for column in schema.inputs] == [("words", "text")]
    assert task_class(pick_task(schema)) is Translation
    task = Translation.fit(schema["digits"], [table.cells("digits")[row] for row in split.train], source="words")
    codecs = fitted(schema, table, split.train)
    target = task.codec.describe()
    blueprint = {"address": "toys.translation.translator", "arguments": {
        "source": codecs["words"].describe()["vocabulary"], "target": target["vocabulary"],
        "longest": target["max_length"], "width": 64, "column": "words"}}
    rows = np.concatenate([split.train, split.development])
    member, history = train(table, task, codecs, blueprint, rows, epochs=9, learning_rate=5e-3,
                            forward=task.teach)
    assert history.column("loss")[-1] < 0.1 * history.column("loss")[0]

    run, again = saved_and_loaded(tmp_path, schema, task, member, split)
    test = write_numbers(tmp_path / "test.csv", 150, seed=1)
    assert again.evaluate(test)["metrics"]["accuracy"]["value"] > 0.85
    said = again.predict(test, id="key")
    assert said.frame.equals(run.predict(test, id="key").frame)
    assert_round_trips(said, tmp_path, ["row", "key", "text"])
    empty = again.predict(pl.DataFrame({"words": [None, "seven one four nine"]}))
    assert isinstance(empty.labels[0], str) and len(empty.labels[1]) == 4


def test_clustering(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    truth = random.integers(0, 3, 300)
    places = np.array([[0.0, 0.0, 5.0], [100.0, 3.0, 5.0], [100.0, 0.0, -5.0]])[truth]
    places = places + random.normal(size=places.shape) * [5.0, 0.3, 0.5]
    frame = pl.DataFrame({"key": [f"k{row}" for row in range(300)]} | {
        name: places[:, number].round(6) for number, name in enumerate("abc")})
    frame.write_csv(tmp_path / "rows.csv")
    table, schema, split = read_infer_split(tmp_path / "rows.csv", task="clustering", id="key")
    assert schema.targets == () and len(schema.inputs) == 3
    codecs = fitted(schema, table, split.train)
    task = Clustering(count=3)
    encoded = Source(table).encode(codecs)
    member = Clusters(codecs, KMeans(task.count).fit(matrix(encoded.batch(split.train, list(codecs)))))

    run, again = saved_and_loaded(tmp_path, schema, task, member, split)
    said = again.predict(tmp_path / "rows.csv", id="key")
    assert said.frame.equals(run.predict(tmp_path / "rows.csv", id="key").frame)
    assert np.array_equal(again.artifact.ensemble.members[0].estimator.cluster_centers_,  # type: ignore[attr-defined]
                          member.estimator.cluster_centers_)
    pairs = set(zip(truth.tolist(), said.labels))
    assert len(pairs) == 3 == len({cluster for _, cluster in pairs})
    assert_round_trips(said, tmp_path, ["row", "key", "cluster"], cluster=pl.Int64)
    with pytest.raises(GradatimError, match="clustering has none"):
        again.evaluate(tmp_path / "rows.csv")
