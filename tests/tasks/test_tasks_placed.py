"""Localisation and landmarks: the loss against the equation row by row, units there and back, the line end to end."""

import json
import math
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
from PIL import Image, ImageDraw

import gradatim as gd
from gradatim.data.batch import Batch
from gradatim.data.codecs.image import ImageCodec
from gradatim.data.codecs.picture import picture_size
from gradatim.data.readers import read_table
from gradatim.data.schema import Column
from gradatim.data.table import Table
from gradatim.errors import GradatimError, SchemaError
from gradatim.evaluate.predictions import Predictions
from gradatim.tasks import task_from_json
from gradatim.tasks.landmarks import Landmarks, landmark_losses
from gradatim.tasks.localisation import Localisation, localisation_losses
from gradatim.tasks.placed import BOX_WEIGHT, sides_of, truth_of

CELLS = ['[[10, 20, 60, 80, "cat"]]', "[]", '[[0, 0, 30, 90, "dog"]]', None]


def sigmoid(value: float) -> float:
    return 1 / (1 + math.exp(-value))


@pytest.mark.parametrize("squared", [False, True])
def test_the_loss_is_the_equation_row_by_row(squared: bool) -> None:
    random = np.random.default_rng(0)
    output = random.normal(size=(40, 8))
    present, boxes, classes = (random.random(40) < 0.6) * 1.0, random.random((40, 4)), random.integers(0, 3, 40)
    found = localisation_losses(
        *(torch.from_numpy(part) for part in (output, present, boxes, classes)), squared=squared
    )
    for row in range(40):
        said = [sigmoid(value) for value in output[row, :5]]
        if squared:  # Σ (ŷ − y)² over all eight where y₁ = 1, (ŷ₁ − y₁)² where y₁ = 0
            expected = (said[0] - present[row]) ** 2
            if present[row]:
                expected += sum((a - b) ** 2 for a, b in zip(said[1:], boxes[row]))
                expected += sum(
                    (sigmoid(value) - (place == classes[row])) ** 2 for place, value in enumerate(output[row, 5:])
                )
        else:
            expected = -math.log(said[0] if present[row] else 1 - said[0])
            if present[row]:
                expected += BOX_WEIGHT * sum((a - b) ** 2 for a, b in zip(said[1:], boxes[row]))
                shares = np.exp(output[row, 5:]) / np.exp(output[row, 5:]).sum()
                expected -= math.log(shares[classes[row]])
        assert float(found[row]) == pytest.approx(expected)


def test_without_an_object_only_its_probability_is_taught() -> None:
    output = torch.randn(6, 8, requires_grad=True)
    losses = localisation_losses(
        output, torch.zeros(6), torch.full((6, 4), torch.nan), torch.zeros(6, dtype=torch.int64)
    )
    losses.sum().backward()
    assert output.grad is not None and torch.isfinite(output.grad).all()
    assert (output.grad[:, 0] != 0).all() and not output.grad[:, 1:].any()
    unplaced = localisation_losses(
        output, torch.ones(6), torch.full((6, 4), torch.nan), torch.zeros(6, dtype=torch.int64)
    )
    assert torch.isfinite(unplaced).all()


def test_landmarks_lose_by_the_points_that_can_be_seen() -> None:
    output, points = torch.randn(5, 6), torch.rand(5, 2, 2)
    seen = torch.tensor([[True, True], [True, False], [False, True], [False, False], [True, True]])
    found = landmark_losses(output, points, seen)
    for row in range(5):
        errors = [
            float(((torch.sigmoid(output[row, 3 * p : 3 * p + 2]) - points[row, p]) ** 2).sum())
            for p in range(2)
            if seen[row, p]
        ]
        assert float(found[row]) == pytest.approx(BOX_WEIGHT * np.mean(errors) if errors else 0.0, rel=1e-5)


def placed_batch(task: Localisation | Landmarks, cells: list[str | None]) -> Batch:
    images = ImageCodec(size=64).fit([np.zeros((90, 60), np.uint8)])
    encoded = [images.encode(np.zeros(size, np.uint8)) for size in ((90, 60), (50, 100), (100, 100), (64, 64))][
        : len(cells)
    ]
    values = [task.codec.encode(cell)[0] for cell in cells]
    present = {task.target: torch.tensor([value is not None for value in values])}
    return Batch(
        np.arange(len(cells)),
        {"picture": images.stack([value for value, _ in encoded])},
        {task.target: task.codec.stack(values)},
        present,
        {"picture": [framing for _, framing in encoded]},
    )


class Echo(torch.nn.Module):
    """A network that says what it was given."""

    def __init__(self, output: torch.Tensor) -> None:
        super().__init__()
        self.output = output

    def forward(self, inputs: object, present: object) -> torch.Tensor:
        return self.output


def test_the_truth_through_the_square_and_back_is_the_truth() -> None:
    task = Localisation.fit(Column("box", "boxes", "target"), CELLS, picture="picture")
    batch = placed_batch(task, CELLS)
    present, boxes, classes, known = task.truth(batch)
    assert present.tolist() == [1, 0, 1, 0] and known.tolist() == [1, 1, 1, 0]
    logits = torch.cat(
        [
            (present * 20 - 10)[:, None],
            torch.logit(boxes.double().clamp(1e-9, 1 - 1e-9)),
            torch.nn.functional.one_hot(classes, 2) * 20.0 - 10,
        ],
        dim=1,
    )
    answer = task.respond(Echo(logits), batch)
    labels = task.placed_labels(CELLS, np.array([90.0, 100, 100, 64]))
    assert np.isnan(labels[3]).all() and labels[1, 0] == 0
    scores = task.score(answer, labels)
    assert scores["metrics"]["iou"]["value"] == pytest.approx(1, abs=1e-5)
    assert scores["metrics"]["localised"]["value"] == 1 and "1 rows" in scores["notes"][-1]
    said = task.predictions(task.in_pixels(answer, labels[:, 6]), [0, 1, 2, 3])
    for row in (0, 1, 2):
        assert np.allclose(
            [b[:4] for b in task.codec.parse(said.labels[row])],
            [b[:4] for b in task.codec.parse(CELLS[row])],
            atol=0.06,
        )
    loss = task.objective(labels)(logits.float(), batch)
    assert float(loss) < 1e-3
    assert task.row_losses(answer[[0, 1, 2]], labels[[0, 1, 2]]).max() < 1e-3


def test_landmarks_through_the_square_and_back() -> None:
    cells = ["[[10, 20], [60, 80]]", "[[1, 2], null]", "[[0, 100], [50, 50]]"]
    task = Landmarks.fit(Column("spots", "points", "target", options={"mirror": [1, 0]}), cells, picture="picture")
    batch = placed_batch(task, cells)
    assert task.follow.mirror == (1, 0)
    labels = task.placed_labels(cells, np.array([90.0, 100, 100]))
    places = labels[:, :-1].reshape(3, 2, 3)
    square = np.zeros((3, 2, 3))
    for row, framing in enumerate(batch.context["picture"]):
        side = labels[row, -1]
        square[row, :, :2] = (
            places[row, :, :2] * side * np.array(framing.box[2:]) / framing.original + framing.box[:2]
        ) / 64
    square[..., 2] = places[..., 2]
    logits = torch.logit(torch.from_numpy(square).clamp(1e-9, 1 - 1e-9)).reshape(3, 6)
    answer = task.respond(Echo(logits), batch)
    scores = task.score(answer, labels)["metrics"]
    assert scores["pixel_distance"]["value"] < 1e-4 and scores["pck"]["value"] == scores["seen_accuracy"]["value"] == 1
    assert float(task.objective(labels)(logits.float(), batch)) < 1e-3
    said = task.predictions(task.in_pixels(answer, labels[:, -1]), [0, 1, 2])
    assert json.loads(said.labels[1])[1] is None and np.allclose(json.loads(said.labels[0]), [[10, 20], [60, 80]])
    again = task_from_json(json.loads(json.dumps(task.to_json())))
    assert again.to_json() == task.to_json()


def test_one_box_a_row_and_one_picture_column() -> None:
    with pytest.raises(SchemaError, match="at most one box a row, found 1 rows"):
        Localisation.fit(Column("box", "boxes", "target"), [*CELLS, "1 2 3 4 cat; 5 6 7 8 cat"], picture="picture")
    frame = pl.DataFrame({"x": [1.0, 2.0, 3.0] * 5, "box": ["1 2 3 4", "5 6 7 8", "[]"] * 5})
    with pytest.raises(SchemaError, match="expected one input of pictures"):
        gd.fit(frame, target="box", kinds={"box": "boxes", "x": "number"}, minutes=0.1)


def draw(folder: Path, rows: int, seed: int) -> Path:
    """A red or blue square on noise, or nothing; box and corner points in a CSV file."""
    random = np.random.default_rng(seed)
    lines = []
    for number in range(rows):
        width, height = (int(side) for side in random.integers(28, 49, 2))
        picture = Image.fromarray(random.integers(70, 150, (height, width, 3), dtype=np.uint8))
        side = int(random.integers(9, 15))
        left, top = int(random.integers(0, width - side)), int(random.integers(0, height - side))
        colour = ("red", "blue")[random.integers(2)]
        nothing = random.random() < 0.15
        if not nothing:
            ImageDraw.Draw(picture).rectangle((left, top, left + side - 1, top + side - 1), fill=colour)
        picture.save(folder / f"{seed}-{number}.png")
        lines.append(
            {
                "picture": f"{seed}-{number}.png",
                "left": left,
                "top": top,
                "right": left + side,
                "bottom": top + side,
                "colour": colour,
                "box": "[]" if nothing else f"{left} {top} {left + side} {top + side} {colour}",
                "corners": json.dumps([[left, top], [left + side, top + side]]),
            }
        )
    frame = pl.DataFrame(lines)
    frame.select("picture", "box").write_csv(folder / f"boxes-{seed}.csv")
    frame.filter(pl.col("box") != "[]").select("picture", "corners").write_csv(folder / f"points-{seed}.csv")
    frame.filter(pl.col("box") != "[]").drop("box", "corners").write_csv(folder / f"columns-{seed}.csv")
    return folder


@pytest.fixture(scope="module")
def squares(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("squares")
    return draw(draw(folder, 240, 0), 60, 1)


def test_boxes_from_file_to_report(squares: Path, tmp_path: Path) -> None:
    run = gd.fit(
        squares / "boxes-0.csv",
        target="box",
        output=tmp_path / "run",
        epochs=6,
        minutes=2,
        ledger="none",
        augment=["flip=0.5"],
    )
    assert run.task.name == "localisation" and run.facts["schema"][1]["kind"] == "boxes"
    again = gd.load(tmp_path / "run")
    scores = again.evaluate(squares / "boxes-1.csv")
    by_name = {entry["name"]: entry["value"] for entry in run.facts["candidates"]}
    assert scores["metrics"]["iou"]["value"] > 0.5 > 2 * by_name["mean"]
    assert (
        scores["metrics"]["object_accuracy"]["value"] > 0.8 and scores["metrics"]["box_class_accuracy"]["value"] > 0.9
    )
    said = again.predict(squares / "boxes-1.csv", id="picture")
    assert said.frame.equals(run.predict(squares / "boxes-1.csv", id="picture").frame)
    said.write(tmp_path / "said.csv")
    back = Predictions.read(tmp_path / "said.csv", task="localisation", target="box")
    assert back.frame.equals(said.frame)
    assert truth_of(again.task, read_table(squares / "boxes-1.csv")).shape == (60, 7)
    page = (tmp_path / "run" / "report.html").read_text()
    assert page.count('<svg class="marks"') >= 6 and "http://" not in page.replace("http://www.w3.org", "")
    assert (tmp_path / "run" / "predictions" / "test.csv").read_text().startswith("row,prediction,object,left")
    with pytest.raises(GradatimError, match="--metric: expected one of iou"):
        gd.fit(squares / "boxes-0.csv", target="box", metric="accuracy", minutes=0.1)
    with pytest.raises(GradatimError, match="mixup, cutmix"):
        gd.fit(squares / "boxes-0.csv", target="box", augment=["cutmix=1"], minutes=0.1)


def test_points_from_file_to_scores(squares: Path) -> None:
    run = gd.fit(squares / "points-0.csv", target="corners", epochs=5, minutes=2, ledger="none")
    scores = run.evaluate(squares / "points-1.csv")["metrics"]
    by_name = {entry["name"]: entry["value"] for entry in run.facts["candidates"]}
    assert scores["normalised_distance"]["value"] < 0.5 * by_name["mean"]
    assert 0 < scores["pixel_distance"]["value"] < 8


@pytest.mark.slow
def test_a_target_gathered_from_columns(squares: Path, tmp_path: Path) -> None:
    run = gd.fit(
        squares / "columns-0.csv",
        target="box",
        gather={"box": "left,top,right,bottom,colour"},
        output=tmp_path / "run",
        epochs=1,
        minutes=2,
        ledger="none",
    )
    assert run.facts["target"] == "box" and run.task.box_classes == ["blue", "red"]  # type: ignore[attr-defined]
    assert gd.load(tmp_path / "run").evaluate(squares / "columns-1.csv")["metrics"]["iou"]["value"] > 0


def test_sides_come_from_headers_as_turned(tmp_path: Path) -> None:
    picture = Image.new("RGB", (40, 20))
    exif = picture.getexif()
    exif[0x0112] = 6
    picture.save(tmp_path / "turned.jpg", exif=exif)
    assert picture_size("turned.jpg", tmp_path, max_bytes=10**6, max_pixels=10**6) == (20, 40)
    table = Table(pl.DataFrame({"picture": ["turned.jpg", "gone.jpg", None]}), tmp_path)
    assert sides_of(table, "picture").tolist() == [40, 40, 40]
