"""An exported file answers as the run does: pictures of any size, several members, every kind of column; 8 bits too."""

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import soundfile
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from gradatim.artifact import Artifact, save_artifact
from gradatim.data.codecs import codec_for
from gradatim.data.codecs.image import ImageCodec
from gradatim.data.schema import Column, Schema
from gradatim.data.table import Table
from gradatim.device import Placement
from gradatim.errors import GradatimError
from gradatim.estimators.features.picture import PictureFeatures
from gradatim.export.histograms import PictureHistograms
from gradatim.export.resize import PictureSquare
from gradatim.models.address import build
from gradatim.nn.convolution.fuse_batch_norm import fuse_batch_norm
from gradatim.run import Run, load
from gradatim.tasks.classification import Classification
from gradatim.tasks.frozen import FrozenFeatures
from gradatim.tasks.heads import Head
from gradatim.tasks.members import Ensemble
from gradatim.tasks.network import NetworkMember, blueprint_of
from gradatim.tasks.regression import Regression
from gradatim.tasks.source import Source

pytest.importorskip("onnxscript")
onnxruntime = pytest.importorskip("onnxruntime")
export = pytest.importorskip("gradatim.export.run")

ROWS = 40
NET = {"address": "gradatim.models.vision.small_resnet.small_resnet", "arguments": {"width": 8, "stem_stride": 2}}
EAR = {"address": "gradatim.models.audio.log_mel_net.log_mel_net", "arguments": {"width": 4}}
KINDS = {"size": "number", "colour": "category", "words": "text", "picture": "image", "voice": "audio"}


def column(name: str, kind: str, role: str = "input") -> Column:
    return Column(name, kind, role, (), {"hertz": 4000, "mels": 8} if kind == "audio" else {})


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Table:
    """Pictures of three sizes, one of them turned by EXIF; a missing cell of each other kind."""
    folder = tmp_path_factory.mktemp("cells")
    noise = np.random.default_rng(0)
    cells: dict[str, list[Any]] = {name: [] for name in [*KINDS, "label", "amount"]}
    for row in range(ROWS):
        bright = row % 3
        size = ((40, 40, 3), (64, 48, 3), (20, 33, 3))[row % 4 % 3]
        small = noise.integers(bright * 60, 120 + bright * 60, (5, 5, 3), dtype=np.uint8)
        picture = Image.fromarray(small).resize(size[1::-1], Image.Resampling.BICUBIC)
        exif = picture.getexif()
        exif[0x0112] = 6 if row == 7 else 1
        picture.save(folder / f"{row}.png", exif=exif)
        soundfile.write(folder / f"{row}.wav", 0.3 * np.sin(np.arange(800 + 40 * (row % 5)) * (0.2 + bright)), 4000)
        cells["size"].append(str(round(float(noise.normal(bright)), 3)))
        cells["colour"].append(["red", "blue", "green"][bright])
        cells["words"].append(["a quiet day", "a loud night", "noon"][bright] + f" {row % 5}")
        cells["picture"].append(f"{row}.png")
        cells["voice"].append(f"{row}.wav")
        cells["label"].append(["low", "middle", "high"][bright])
        cells["amount"].append(str(row * 1.5 + bright))
    for place, name in enumerate(["size", "colour", "words", "voice"]):
        cells[name][place * 7 + 3] = None
    return Table(pl.DataFrame(cells), folder)


def network(table: Table, columns: list[Column], task: Any, seed: int, fusion: str = "concatenation") -> NetworkMember:
    """A network whose batch norms have statistics, as after training."""
    torch.manual_seed(seed)
    codecs = {c.name: codec_for(c).fit(table.cells(c.name), table.folder) for c in columns}
    blueprint = blueprint_of(columns, codecs, task.outputs, encoders={"image": NET, "audio": EAR}, fusion=fusion)
    built = build(blueprint)
    for module in built.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            assert module.running_mean is not None and module.running_var is not None
            module.running_mean.normal_(0, 0.3)
            module.running_var.uniform_(0.5, 2)
            module.weight.data.uniform_(0.5, 1.5)
    return NetworkMember(codecs, blueprint, built.eval(), Placement(), task)


def heads(table: Table, task: Any) -> list[Head]:
    """A head on picture histograms and one on the features of a network that is not trained."""
    columns = [column("picture", "image")]
    codecs = {"picture": codec_for(columns[0]).fit(table.cells("picture"), table.folder)}
    torch.manual_seed(3)
    frozen = FrozenFeatures("image", codecs["picture"].describe(), NET)
    labels, rows = task.labels(table.cells(task.target)), np.arange(ROWS)
    return [Head.fit(Source(table), columns, codecs, rows, labels, task, chosen)
            for chosen in ({}, {"picture": frozen})]


def run_of(table: Table, members: list[Any], task: Any) -> Run:
    columns = [column(name, kind) for name, kind in KINDS.items()]
    schema = Schema((*columns, column(task.target, "category" if task.classes else "number", "target")))
    shares = tuple((1 + place) / sum(range(len(members) + 1)) for place in range(len(members)))
    return Run(Artifact(schema, task, Ensemble(tuple(members), shares, task, 1.4), {}, {}, {}))


def labels_task(table: Table, cells: str = "label") -> Classification:
    return Classification.fit(column(cells, "category", "target"), table.cells(cells))


def ask(path: Path, inputs: dict[str, np.ndarray]) -> np.ndarray:
    return onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"]).run(None, inputs)[0]


@pytest.mark.slow
@pytest.mark.parametrize("layout", ["nhwc", "nchw"])
def test_pictures_of_any_size_answer_as_the_run(layout: str, table: Table, tmp_path: Path) -> None:
    """Two networks, a histogram head and a frozen head, averaged and tempered, from pixels to probabilities."""
    task = labels_task(table)
    pictures = [column("picture", "image")]
    members = [network(table, pictures, task, 0), network(table, pictures, task, 1), *heads(table, task)]
    run = run_of(table, members, task)
    about = export.export_run(run, tmp_path / "run.onnx", layout=layout, data=table)
    # a histogram turns a rounded pixel into another bin: up to 6e-4 where the answers are not saturated
    assert about["check"]["largest_difference"] < 1e-3 and about["check"]["rows"] == ROWS
    assert about["members"] == 4 and about["classes"] == task.classes
    expected = run.answer(table)
    for row in (0, 1, 6, 7):
        pixels = np.asarray(Image.open(table.folder / f"{row}.png"))  # type: ignore[operator]
        pixels = np.rot90(pixels, -1) if row == 7 else pixels  # what EXIF says
        batch = pixels[None] if layout == "nhwc" else pixels.transpose(2, 0, 1)[None]
        answer = ask(tmp_path / "run.onnx", {"picture": np.ascontiguousarray(batch)})
        np.testing.assert_allclose(answer[0], expected[row], atol=2e-3)
    stored = json.loads((tmp_path / "run.onnx.json").read_text())
    session = onnxruntime.InferenceSession(str(tmp_path / "run.onnx"), providers=["CPUExecutionProvider"])
    assert json.loads(session.get_modelmeta().custom_metadata_map["gradatim"]) == stored
    assert stored["inputs"][0]["type"] == "uint8" and stored["inputs"][0]["shape"][0] == "rows"


@pytest.mark.slow
@pytest.mark.parametrize("form", ["onnx", "pt2"])
@pytest.mark.parametrize("fusion", ["concatenation", "attention"])
def test_every_kind_of_column(form: str, fusion: str, table: Table, tmp_path: Path) -> None:
    """Encoded tensors, flags of missing cells, two members whose codecs differ."""
    task = labels_task(table)
    columns = [column(name, kind) for name, kind in KINDS.items()]
    first, second = (network(table.take(np.arange(low, ROWS)), columns, task, low, fusion) for low in (0, 8))
    about = export.export_run(run_of(table, [first, second], task), tmp_path / f"run.{form}", form=form, data=table)
    assert about["check"]["largest_difference"] < 1e-4
    names = {entry["name"] for entry in about["inputs"]}
    assert {"size", "size.present", "words.ids", "words.lengths", "voice.log_mel", "picture"} < names
    assert "size@2" in names, "fitted on other rows: a field of its own"


@pytest.mark.slow
def test_two_classes_and_numbers(table: Table, tmp_path: Path) -> None:
    pictures = [column("picture", "image")]
    two = Table(table.frame.with_columns(pl.Series("label", ["low", "high"] * (ROWS // 2))), table.folder)
    task: Any = labels_task(two)
    assert task.outputs == 1
    about = export.export_run(run_of(two, [network(two, pictures, task, 0), *heads(two, task)], task),
                              tmp_path / "two.onnx", data=two)
    assert about["output"]["shape"] == ["rows", 2]
    task = Regression.fit(column("amount", "number", "target"), table.cells("amount"))
    about = export.export_run(run_of(table, [network(table, pictures, task, 0), *heads(table, task)], task),
                              tmp_path / "number.onnx", data=table)
    assert about["output"]["name"] == "number" and about["check"]["largest_difference"] < 1e-3


@pytest.mark.slow
def test_torch_archive_of_pictures(table: Table, tmp_path: Path) -> None:
    task = labels_task(table)
    run = run_of(table, [network(table, [column("picture", "image")], task, 0)], task)
    export.export_run(run, tmp_path / "run.pt2", form="pt2", data=table)
    extra = {"gradatim.json": ""}
    program = torch.export.load(tmp_path / "run.pt2", extra_files=extra).module()
    assert json.loads(extra["gradatim.json"])["classes"] == task.classes
    pixels = torch.from_numpy(np.asarray(Image.open(table.folder / "1.png")).copy())[None]  # type: ignore[operator]
    np.testing.assert_allclose(program(pixels)[0].numpy(), run.answer(table)[1], atol=2e-3)


@pytest.mark.slow
def test_eight_bits_are_measured(table: Table, tmp_path: Path) -> None:
    task = labels_task(table)
    run = run_of(table, [network(table, [column("picture", "image")], task, 0)], task)
    about = export.export_run(run, tmp_path / "run.onnx", data=table, int8=True)
    eight = about["int8"]
    assert eight["bytes"]["int8"] == pytest.approx((tmp_path / "run.int8.onnx").stat().st_size, rel=0.2)
    assert eight["bytes"]["int8"] < eight["bytes"]["float32"] and 0 <= eight["score"]["int8"]["value"] <= 1
    assert eight["largest_difference"] < 0.2, "8 bits round, they do not break"
    pixels = np.asarray(Image.open(table.folder / "1.png"))[None]  # type: ignore[operator]
    np.testing.assert_allclose(ask(tmp_path / "run.int8.onnx", {"picture": pixels}).sum(), 1, atol=1e-3)


def test_what_no_graph_can_say_is_refused_in_one_line(table: Table, tmp_path: Path) -> None:
    task = labels_task(table)
    words = [column("words", "text")]
    codecs = {"words": codec_for(words[0]).fit(table.cells("words"))}
    head = Head.fit(Source(table), words, codecs, np.arange(ROWS), task.labels(table.cells("label")), task)
    member = network(table, [column("picture", "image")], task, 0)
    run = run_of(table, [head, member], task)
    with pytest.raises(GradatimError, match="found a head on text features of 'words'; export with --networks-only"):
        export.export_run(run, tmp_path / "run.onnx", data=table)
    export.export_run(run, tmp_path / "run.onnx", data=table, networks_only=True)
    with pytest.raises(GradatimError, match="the file exists"):
        export.export_run(run, tmp_path / "run.onnx", data=table, networks_only=True)
    with pytest.raises(GradatimError, match="expected --format onnx"):
        export.export_run(run, tmp_path / "run.pt2", form="pt2", int8=True, data=table)
    with pytest.raises(GradatimError, match="expected one of onnx, pt2"):
        export.export_run(run, tmp_path / "run.x", form="tflite", data=table)
    with pytest.raises(GradatimError, match="fitted table"):
        export.export_run(run, tmp_path / "other.onnx", networks_only=True)


@pytest.mark.slow
def test_nothing_is_written_when_the_answers_differ(
    table: Table, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = labels_task(table)
    run = run_of(table, [network(table, [column("picture", "image")], task, 0)], task)
    true = export.files.onnx_answer
    monkeypatch.setattr(export.files, "onnx_answer", lambda model: lambda inputs: true(model)(inputs)[:, ::-1])
    with pytest.raises(GradatimError, match="nothing was written"):
        export.export_run(run, tmp_path / "run.onnx", data=table)
    assert not list(tmp_path.iterdir())


def test_missing_packages_are_named(table: Table, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(export.files.NEEDED, "onnx", ("onnx", "a_package_that_is_not_here"))
    task = labels_task(table)
    run = run_of(table, [network(table, [column("picture", "image")], task, 0)], task)
    with pytest.raises(GradatimError, match=r"a_package_that_is_not_here.*pip install 'gradatim\[export\]'"):
        export.export_run(run, tmp_path / "run.onnx", data=table)


def test_the_command_writes_beside_the_run(table: Table, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from gradatim.cli.export import export as command

    task = labels_task(table)
    run = run_of(table, [network(table, [column("picture", "image")], task, 0)], task)
    save_artifact(tmp_path / "one", run.artifact)
    assert table.folder is not None
    frame = table.frame.with_columns((pl.lit(f"{table.folder}/") + pl.col("picture")).alias("picture"))
    frame.select("picture", "label").write_csv(table.folder / "rows.csv")
    with pytest.raises(GradatimError, match="--data"):
        command(tmp_path / "one")
    command(tmp_path / "one", data=str(table.folder / "rows.csv"), json=True)
    told = json.loads(capsys.readouterr().out)
    assert Path(told["file"]) == tmp_path / "one" / "one.onnx" and told["check"]["rows"] == ROWS
    assert load(tmp_path / "one").task.classes == task.classes


@settings(max_examples=40, deadline=None)
@given(st.integers(2, 90), st.integers(2, 90), st.integers(4, 48), st.sampled_from(["pad", "stretch"]),
       st.integers(0, 9))
def test_resizing_equals_pillow_to_a_level(height: int, width: int, size: int, framing: str, seed: int) -> None:
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    expected = ImageCodec(size=size, channels=3, fit=framing).encode(pixels)[0]
    found = PictureSquare(size, framing, "nhwc")(torch.from_numpy(pixels)[None])[0].numpy()
    difference = np.abs(found - expected.astype(float))
    assert difference.max() <= 2 and difference.mean() < 0.5  # Pillow rounds between its two passes
    if max(height, width) == size and (framing == "pad" or height == width):  # nothing is resized
        assert difference.max() == 0


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("size", [17, 28])
def test_histograms_equal_the_extractor(channels: int, size: int) -> None:
    pictures = np.random.default_rng(0).integers(0, 256, (3, channels, size, size), dtype=np.uint8)
    extractor = PictureFeatures()
    found = PictureHistograms(size, channels, extractor)(torch.from_numpy(pictures).float())
    np.testing.assert_allclose(found.numpy(), extractor.raw(pictures), atol=1e-5)


@pytest.mark.parametrize(
    ("address", "expected"),
    [("vision.small_resnet.small_resnet", 9), ("vision.resnet.resnet18", 20),
     ("vision.efficientnet_lite.efficientnet_lite0", 49)],
)
def test_folding_keeps_the_function(address: str, expected: int) -> None:
    torch.manual_seed(0)
    net = build({"address": f"gradatim.models.{address}", "arguments": {"num_classes": 7}}).eval()
    for module in net.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            assert module.running_mean is not None and module.running_var is not None
            module.running_mean.normal_(0, 0.3)
            module.running_var.uniform_(0.5, 2)
    pictures = torch.randn(2, 3, 40, 40)
    lighter, count = fuse_batch_norm(net, pictures)
    assert count == expected
    other = torch.randn(3, 3, 40, 40)
    with torch.no_grad():
        torch.testing.assert_close(lighter(other), net(other), rtol=1e-4, atol=1e-4)


def test_folding_leaves_alone_what_it_would_change() -> None:
    """A layer whose output is read twice, a layer used twice, a norm over something else."""

    class Twice(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.norm = torch.nn.Conv2d(2, 2, 1), torch.nn.BatchNorm2d(2)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            y = self.conv(x)
            return self.norm(y) + y

    net = Twice()
    assert net.norm.running_mean is not None
    net.norm.running_mean.fill_(0.5)
    x = torch.randn(2, 2, 3, 3)
    lighter, count = fuse_batch_norm(net, x)
    assert count == 0 and torch.equal(lighter(x), net.eval()(x))
    stream = io.StringIO()
    print(lighter, file=stream)
    assert "BatchNorm2d" in stream.getvalue()
