"""Every bad input that we could think of: one plain line, exit code 2, nothing lost, no traceback."""

import hashlib
import json
import shutil
import struct
import subprocess
import sys
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from PIL import Image

from gradatim.cli import app, main

ROWS = 60
NUMBERS = [f"{i * 37 % 61 / 7:.2f}" for i in range(ROWS)]
LABELS = ["low" if i * 37 % 61 < 30 else "high" for i in range(ROWS)]
GOOD = "x,c,y\n" + "".join(f"{x},{'ab'[i % 2]},{y}\n" for i, (x, y) in enumerate(zip(NUMBERS, LABELS)))
UNLABELLED = "id,x,c\nr1,1.5,a\nr2,8.5,b\n"

Prepare = Callable[[Path], object]
Case = tuple[Prepare, str, tuple[str, ...]]


def write(path: Path, content: str | bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def files(**named: str | bytes) -> Prepare:
    """Write files; `__` in a name stands for a dot, `___` for a slash."""
    return lambda folder: [
        write(folder / name.replace("___", "/").replace("__", "."), content) for name, content in named.items()
    ]


def nothing(folder: Path) -> None:
    """Write nothing."""


def zip_bomb_png(path: Path) -> Path:
    """A PNG whose header promises 60,000 × 60,000 pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 0, 0, 0, 0)
    return write(path, b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0" * 99)))


def nested_parquet(folder: Path) -> None:
    pl.DataFrame({"x": [{"a": 1}] * 9, "y": ["a", "b", "c"] * 3}).write_parquet(folder / "a.parquet")


def schema_file(*columns: dict[str, Any]) -> Prepare:
    return files(a__csv=GOOD, s__json=json.dumps({"columns": columns}))


def column(name: str, kind: str, role: str) -> dict[str, Any]:
    return {"name": name, "kind": kind, "role": role}


# Name → (what to write, the words after `gradatim`, words that the line must hold).
X, Y, C = column("x", "number", "input"), column("y", "category", "target"), column("c", "category", "input")
TABLES: dict[str, Case] = {
    "missing file": (nothing, "fit none.csv --target y", ("none.csv",)),
    "missing folder": (nothing, "fit gone/none.csv --target y", ("gone",)),
    "address instead of a path": (nothing, "schema https://example.org/a.csv", ("download",)),
    "empty file": (files(a__csv=""), "fit a.csv --target y", ("a.csv", "empty")),
    "header only": (files(a__csv="x,y\n"), "fit a.csv --target y", ("a.csv",)),
    "duplicate header": (files(a__csv="x,x\n1,2\n"), "schema a.csv", ("a.csv", "x")),
    "empty header": (files(a__csv="x,,y\n1,2,3\n"), "schema a.csv", ("a.csv", "line 1")),
    "ragged row": (files(a__csv="x,y\n1,2\n3\n"), "schema a.csv", ("a.csv", "line 3")),
    "long row": (files(a__csv="x,y\n1,2\n3,4,5\n"), "schema a.csv", ("a.csv", "line 3")),
    "open quote": (files(a__csv='x,y\n1,"2\n3,4\n'), "schema a.csv", ("a.csv", "quot")),
    "open quote over a huge field": (files(a__csv='x,y\n1,"' + "2" * 3_000_000), "schema a.csv", ("a.csv", "quot")),
    "NUL bytes": (files(a__csv=b"x,y\n1,\x002\n"), "schema a.csv", ("a.csv", "NUL")),
    "escape sequences": (files(a__csv="x,y\n" + "\x1b[31m1,\x1b[0m2\n" * 9), "schema a.csv", ("a.csv", "control")),
    "a picture named csv": (lambda p: Image.new("RGB", (9, 9)).save(p / "a.csv", "PNG"), "schema a.csv", ("a.csv",)),
    "damaged Parquet": (files(a__parquet=b"PAR1 nonsense"), "schema a.parquet", ("a.parquet",)),
    "nested Parquet": (nested_parquet, "fit a.parquet --target y", ("a.parquet", "x", "Struct")),
    "damaged JSON lines": (files(a__jsonl='{"x": 1}\n{"x": \n'), "schema a.jsonl", ("line 2",)),
    "deep JSON": (files(a__jsonl='{"x": ' + "[" * 100_000 + "\n"), "schema a.jsonl", ("a.jsonl", "line 1")),
    "an empty folder": (lambda p: (p / "f").mkdir(), "fit f", ("f",)),
    "no target": (files(a__csv=GOOD), "fit a.csv", ("--target",)),
    "unknown target": (files(a__csv=GOOD), "fit a.csv --target Y!", ("Y!",)),
    "target without labels": (files(a__csv="x,y\n1,\n2,\n3,\n"), "fit a.csv --target y", ("y",)),
    "one class": (files(a__csv="x,y\n1,a\n2,a\n3,a\n4,a\n"), "fit a.csv --target y", ("y", "two classes")),
    "one number": (files(a__csv="x,y\n1,5\n2,5\n3,5\n4,5\n"), "fit a.csv --target y --kind y=number", ("y", "5")),
    "target of texts": (
        files(a__csv="x,y\n" + "".join(f"{x},text {i}\n" for i, x in enumerate(NUMBERS))), "fit a.csv --target y",
        ("y=category",),
    ),
    "too few rows": (files(a__csv="x,y\n1,a\n2,b\n"), "fit a.csv --target y", ("y",)),
    "nothing but a counter": (
        files(a__csv="n,y\n" + "".join(f"{i},{y}\n" for i, y in enumerate(LABELS))), "fit a.csv --target y",
        ("n", "--kind"),
    ),
}
OPTIONS: dict[str, tuple[str, tuple[str, ...]]] = {
    "unknown option": ("fit a.csv --target y --bogus 3", ("--bogus",)),
    "unknown command": ("train a.csv", ("train",)),
    "no number": ("fit a.csv --target y --minutes soon", ("--minutes", "soon")),
    "option without value": ("fit a.csv --target", ("--target",)),
    "option twice": ("fit a.csv --target y --target x", ("--target",)),
    "nothing to fit": ("fit", ("fit --help",)),
    "unknown kind": ("fit a.csv --target y --kind x=colour", ("colour",)),
    "kind without =": ("fit a.csv --target y --kind x", ("--kind",)),
    "kind of no column": ("fit a.csv --target y --kind z=text", ("z",)),
    "kind not read yet": ("fit a.csv --target y --kind x=mask", ("x", "mask")),
    "numbers as pictures": ("fit a.csv --target y --kind x=image", ("picture",)),
    "texts as target numbers": ("fit a.csv --target y --kind y=number", ("y", "low")),
    "target set aside": ("fit a.csv --target y --ignore y", ("y",)),
    "no input left": ("fit a.csv --target y --ignore x --ignore c", ("input",)),
    "unknown id": ("fit a.csv --target y --id q", ("--id", "q")),
    "unknown group": ("fit a.csv --target y --group q", ("--group", "q")),
    "unknown time": ("fit a.csv --target y --time q", ("--time", "q")),
    "unknown split": ("fit a.csv --target y --split q", ("q",)),
    "unknown task": ("fit a.csv --target y --task magic", ("magic",)),
    "unknown metric": ("fit a.csv --target y --metric best", ("best",)),
    "metric of another task": ("fit a.csv --target y --metric rmse", ("rmse",)),
    "metric of more classes": ("fit a.csv --target y --metric top5_accuracy", ("top5_accuracy",)),
    "unknown ledger": ("fit a.csv --target y --ledger all", ("all",)),
    "unknown fusion": ("fit a.csv --target y --fusion glue", ("glue",)),
    "unknown optimizer": ("fit a.csv --target y --optimizer best", ("best", "adamw")),
    "learning rate below zero": ("fit a.csv --target y --learning-rate -1", ("--learning-rate",)),
    "learning rate not a number": ("fit a.csv --target y --learning-rate nan", ("--learning-rate",)),
    "label smoothing of two": ("fit a.csv --target y --label-smoothing 2", ("--label-smoothing",)),
    "negative mixup": ("fit a.csv --target y --mixup -1", ("--mixup",)),
    "zero minutes": ("fit a.csv --target y --minutes 0", ("minutes",)),
    "endless minutes": ("fit a.csv --target y --minutes inf", ("minutes",)),
    "negative epochs": ("fit a.csv --target y --epochs -1", ("epochs",)),
    "unknown encoder": ("fit a.csv --target y --encoder x=os.system", ("os.system",)),
    "private encoder": ("fit a.csv --target y --encoder x=gradatim.run._train", ("_train",)),
    "encoder of no column": ("fit a.csv --target y --encoder image=resnet18", ("image",)),
    "encoder of another kind": ("fit a.csv --target y --encoder x=resnet18", ("number", "resnet18")),
    "encoder without weights": ("fit a.csv --target y --encoder x=mlp:none.safetensors", ("none.safetensors",)),
    "encoder with pickled weights": ("fit a.csv --target y --encoder x=mlp:evil.pt", ("evil.pt",)),
    "missing test table": ("fit a.csv --target y --test none.csv", ("none.csv",)),
    "test table without inputs": ("fit a.csv --target y --test other.csv", ("other.csv", "x")),
    "output is a file": ("fit a.csv --target y -o a.csv", ("a.csv",)),
    "output under a file": ("fit a.csv --target y -o a.csv/run", ("a.csv",)),
    "output holds other files": ("fit a.csv --target y -o full", ("full",)),
    "resume of nothing": ("fit --resume full", ("request.json",)),
    "resume of no folder": ("fit --resume gone", ("gone",)),
    "unknown model": ("models resnet19", ("resnet19",)),
    "bad model input": ("models resnet18 --input banana", ("banana",)),
    "missing schema": ("fit a.csv --schema none.json", ("none.json",)),
    "schema that is a table": ("fit a.csv --schema a.csv", ("a.csv",)),
    "schema into a folder": ("schema a.csv --target y -o full", ("full",)),
    "audit of no file": ("audit none.csv --target y", ("none.csv",)),
    "audit of a target of no column": ("audit a.csv --target q", ("q",)),
    "evaluate without labels": ("evaluate a.csv", ("--labels",)),
    "evaluate other things than predictions": ("evaluate a.csv --labels other.csv", ("other.csv",)),
    "predict without a run": ("predict none a.csv", ("none",)),
    "predict with no artefact": ("predict full a.csv", ("artifact.json",)),
    "report without a run": ("report none", ("none",)),
    "constraint that is none": ("evaluate said.csv --labels truth.csv --constraint nonsense", ("nonsense",)),
    "constraint without probabilities": (
        "evaluate bare.csv --labels truth.csv --constraint highest_recall", ("--constraint", "probabilities")),
    "a table after predictions": ("evaluate said.csv a.csv --labels truth.csv", ("a.csv",)),
    "a schema and a target": ("fit a.csv --schema s.json --target y", ("--target", "schema")),
    "audit of a schema and a kind": ("audit a.csv --schema s.json --kind x=text", ("--kind", "--schema")),
    "audit of no task": ("audit a.csv --target y --task magic", ("magic", "tagging")),
    "schema of no task": ("schema a.csv --task magic", ("magic", "tagging")),
    "no task": ("tasks magic", ("magic", "tagging")),
    "resume with other options": ("fit --resume full --minutes 3", ("--minutes", "--resume")),
    "a seed that is rounded": ("fit a.csv --target y --seed 1.5", ("--seed", "1.5")),
    "an endless seed": ("fit a.csv --target y --seed " + "9" * 5000, ("--seed",)),
    "an endless augment": ("fit a.csv --target y --augment " + "x" * 5000, ("--augment",)),
    "an endless estimator": ("fit a.csv --target y --estimator " + "x" * 5000, ("estimator",)),
    "estimator of nan": ("fit a.csv --target y --estimator svm.SVC:C=nan", ("C", "nan")),
    "race of a star": ("race --optimisers *", ("*", "adam")),
    "race for endless steps": ("race --steps " + "9" * 400, ("--steps",)),
    "race in the dark": ("race --dark", ("--dark", "-o")),
    "graph that runs nowhere": ("graph a*b a=1 b=2 --direction down", ("--direction", "-o")),
    "graph over a file": ("graph a*b a=1 b=2 -o g.svg", ("g.svg", "--force")),
    "models over a file": ("models lenet5 -o g.svg", ("g.svg", "--force")),
    "vectors over a file": ("words v.vec -o v.vec", ("v.vec", "--force")),
    "vectors that are not learned": ("words v.vec --epochs 9", ("--epochs", "learn")),
    "words that are not shown": ("words v.vec --count 3", ("--count", "--near")),
    "depth of no network": ("models --depth 3", ("--depth", "address")),
    "a row of an address": ("filters lenet5 --row 3", ("--row", "run")),
    "a list from a wheel": ("weights list --source a.csv", ("--source", "get")),
}
NONSENSE = ("", "*", "9" * 400, "-1", "nan", "1e999", "=", "[", "{}", "\u202e\x07", "no/such/file")
SWEPT = {  # command → its words, and options that take none of NONSENSE but perhaps a number
    "fit a.csv --target y --minutes 0.01": (
        "task", "id", "group", "time", "split", "ignore", "kind", "schema", "encoder", "fusion", "metric", "epochs",
        "ledger", "optimizer", "learning-rate", "augment", "gather", "option", "class-weights", "estimator", "recipe"),
    "audit a.csv --target y": ("task", "id", "group", "time", "ignore", "kind", "schema", "test"),
    "schema a.csv --target y": ("task", "id", "group", "time", "ignore", "kind"),
    "evaluate said.csv --labels truth.csv": ("id", "target", "metric", "constraint"),
    "race --steps 2": ("surface", "optimisers", "learning-rate", "start", "steps", "tolerance"),
    "graph a*b a=1 b=2": ("output", "direction"), "words v.vec": ("near", "analogy", "column", "epochs"),
    "models lenet5": ("input", "depth", "output"), "filters lenet5": ("row", "column", "table", "weights", "picture"),
    "augment a.csv": ("target", "kind", "gather", "options", "column", "rows", "variants", "output"),
}
SCHEMAS: dict[str, Case] = {
    "damaged schema": (files(a__csv=GOOD, s__json="{"), "", ("s.json",)),
    "deep schema": (files(a__csv=GOOD, s__json='{"columns": ' + "[" * 100_000), "", ("s.json",)),
    "schema without columns": (files(a__csv=GOOD, s__json="[]"), "", ("columns",)),
    "schema of another table": (schema_file(column("q", "number", "input"), Y), "", ("q",)),
    "schema without target": (schema_file(X), "", ("target",)),
    "schema of two targets": (schema_file(X, Y, {**C, "role": "target"}), "", ("target", "2")),
    "schema of one column twice": (schema_file(X, X, Y), "", ("x", "twice")),
    "schema of a strange kind": (schema_file({**X, "kind": "colour"}, Y), "", ("colour",)),
    "schema of strange options": (schema_file({**X, "options": {"evil": 1}}, Y), "", ("evil",)),
    "schema of options that are none": (schema_file({**X, "options": [1]}, Y), "", ("options",)),
}
REQUESTS: dict[str, tuple[str, str]] = {
    "damaged": ('{"source": ', "request.json"),
    "a list": ("[]", "request.json"),
    "a number as source": ('{"source": 5}', "source"),
    "a text as minutes": ('{"source": "a.csv", "target": "y", "minutes": "x"}', "minutes"),
    "a list as target": ('{"source": "a.csv", "target": ["y"]}', "target"),
    "a foreign word": ('{"source": "a.csv", "target": "y", "evil": 1}', "evil"),
    "a source that is gone": ('{"source": "gone.csv", "target": "y"}', "gone.csv"),
    "a frame in memory": ('{"source": "", "target": "y"}', "frame"),
}


@pytest.fixture(scope="module")
def finished_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run on GOOD. Copy it, do not write into it."""
    import gradatim as gd

    folder = tmp_path_factory.mktemp("finished")
    gd.fit(write(folder / "a.csv", GOOD), target="y", output=folder / "run", epochs=1, ledger="none")
    return folder / "run"


STOCK = {
    "truth__csv": "id,y\n1,hi\n2,lo\n3,hi\n", "bare__csv": "id,prediction\n1,hi\n2,lo\n3,lo\n", "g__svg": "mine",
    "said__csv": "id,probability:hi,probability:lo\n1,0.9,0.1\n2,0.4,0.6\n3,0.7,0.3\n", "v__vec": "2 2\na 1 2\nb 2 1\n",
    "s__json": json.dumps({"columns": [X, Y, C]}),
}


@pytest.fixture
def complaint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., str]:
    """Run a command in `tmp_path`; hold it to exit code 2, one line, every file as it was; give the line."""

    def run(words: str | list[str]) -> str:
        monkeypatch.chdir(tmp_path)
        before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
        monkeypatch.setattr(sys, "argv", ["gradatim", *(words.split() if isinstance(words, str) else words)])
        with pytest.raises(SystemExit) as caught:
            main()
        shown = capsys.readouterr()
        assert caught.value.code == 2, shown.err
        lines = [line for line in shown.err.splitlines() if line.startswith("gradatim: ")]
        assert len(lines) == 1 and shown.err.strip().splitlines()[-1] == lines[0], shown.err
        assert len(lines[0]) < 700 and "Traceback" not in shown.err
        for path, content in before.items():
            assert path.read_bytes() == content, f"{path} was changed"
        return lines[0]

    return run


def hold(line: str, words: tuple[str, ...]) -> None:
    for word in words:
        assert word in line, line


@pytest.mark.parametrize("name", TABLES)
def test_tables(name: str, tmp_path: Path, complaint: Callable[..., str]) -> None:
    prepare, command, words = TABLES[name]
    prepare(tmp_path)
    hold(complaint(command), words)


@pytest.mark.parametrize("name", OPTIONS)
def test_options_leave_no_run_behind(name: str, tmp_path: Path, complaint: Callable[..., str]) -> None:
    command, words = OPTIONS[name]
    pickle = b"cos\nsystem\n(S'true'\ntR."
    files(a__csv=GOOD, other__csv="q,r\n1,2\n2,3\n", full___note__txt="mine", evil__pt=pickle, **STOCK)(tmp_path)
    hold(complaint(command), words)
    assert not list(tmp_path.glob("runs/*"))


@pytest.mark.parametrize("command", SWEPT)
def test_nonsense_is_one_line_in_every_option(command: str, tmp_path: Path, complaint: Callable[..., str]) -> None:
    files(a__csv=GOOD, **STOCK)(tmp_path)
    for option in SWEPT[command]:
        for value in NONSENSE:
            line = complaint([*command.split(), f"--{option}", value])
            assert line.isprintable() and "9" * 100 not in line, (option, value)


@pytest.mark.parametrize("name", SCHEMAS)
def test_schemas(name: str, tmp_path: Path, complaint: Callable[..., str]) -> None:
    prepare, _, words = SCHEMAS[name]
    prepare(tmp_path)
    hold(complaint("fit a.csv --schema s.json"), words)


@pytest.mark.parametrize("name", REQUESTS)
def test_resuming_damaged_requests(name: str, tmp_path: Path, complaint: Callable[..., str]) -> None:
    content, word = REQUESTS[name]
    files(a__csv=GOOD, r___request__json=content)(tmp_path)
    hold(complaint("fit --resume r"), (word,))


def edited(run: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Change the manifest of a run as an attacker would, hashes included."""
    manifest = json.loads((run / "artifact.json").read_text())
    change(manifest)
    weights = (run / "weights.safetensors").read_bytes()
    manifest["files"]["weights.safetensors"] = {"bytes": len(weights), "sha256": hashlib.sha256(weights).hexdigest()}
    (run / "artifact.json").write_text(json.dumps(manifest))


RUNS: dict[str, tuple[Callable[[Path], object], str, tuple[str, ...]]] = {
    "unfinished": (lambda run: (run / "artifact.json").unlink(), "predict run t.csv", ("--resume",)),
    "damaged manifest": (lambda run: write(run / "artifact.json", "{}"), "predict run t.csv", ("artifact.json",)),
    "future format": (lambda run: edited(run, lambda m: m.update(format=99)), "predict run t.csv", ("99", "upgrade")),
    "weights gone": (lambda run: (run / "weights.safetensors").unlink(), "predict run t.csv", ("weights.safetensors",)),
    "weights cut short": (
        lambda run: write(run / "weights.safetensors", (run / "weights.safetensors").read_bytes()[:-9]),
        "predict run t.csv", ("weights.safetensors",),
    ),
    "a foreign address": (
        lambda run: edited(run, lambda m: m["members"][0]["estimator"].update(address="os.system")),
        "predict run t.csv", ("os.system",),
    ),
    "a table lacks a column": (nothing, "predict run half.csv", ("half.csv", "x")),
    "an id that is no column": (nothing, "predict run t.csv --id name", ("name",)),
    "an answer file that exists": (nothing, "predict run t.csv -o t.csv", ("t.csv", "--force")),
    "an answer file of no known kind": (nothing, "predict run t.csv -o answer.xls", ("answer.xls", ".csv")),
    "an answer file that is a folder": (nothing, "predict run t.csv -o dir.csv --force", ("dir.csv",)),
    "a missing table": (nothing, "predict run none.csv", ("none.csv",)),
    "fit into a run": (nothing, "fit a.csv --target y -o run", ("run", "--force")),
    "a bad fit into a run, forced": (nothing, "fit a.csv --target q -o run --force", ("q",)),
    "resume of a finished run": (nothing, "fit --resume run", ("finished",)),
    "labels nowhere": (nothing, "evaluate run t.csv", ("--labels",)),
    "labels of a missing file": (nothing, "evaluate run t.csv --labels none.csv --id id", ("none.csv",)),
    "labels of the wrong file": (nothing, "evaluate run t.csv --labels half.csv --id id", ("half.csv", "y")),
    "labels without the id": (nothing, "evaluate run t.csv --labels a.csv --id id", ("a.csv", "id")),
    "labels for some": (nothing, "evaluate run t.csv --labels some.csv --id id", ("some.csv", "r2")),
    "labels twice": (nothing, "evaluate run t.csv --labels twice.csv --id id", ("twice.csv", "twice")),
    "labels that the run does not know": (nothing, "evaluate run strange.csv", ("y",)),
    "a metric of another task": (nothing, "evaluate run a.csv --metric rmse", ("rmse",)),
    "a constraint that is none": (nothing, "evaluate run a.csv --constraint please", ("please",)),
    "a run but no table": (nothing, "evaluate run", ("table",)),
    "a report into a folder": (nothing, "report run -o dir.csv", ("dir.csv",)),
    "a report over a foreign file": (nothing, "report run -o a.csv", ("a.csv", "--force")),
    "damaged facts": (
        lambda run: write(run / "report.json", '{"title": 5, "candidates": 7, "score": []}'), "report run",
        ("report.json",),
    ),
    "facts that are a list": (lambda run: write(run / "report.json", "[1]"), "report run", ("report.json",)),
    "facts that do not parse": (lambda run: write(run / "report.json", "{"), "report run", ("report.json",)),
    "no facts": (lambda run: (run / "report.json").unlink(), "report run", ("report.json",)),
}


@pytest.mark.parametrize("name", RUNS)
def test_runs(name: str, finished_run: Path, tmp_path: Path, complaint: Callable[..., str]) -> None:
    damage, command, words = RUNS[name]
    shutil.copytree(finished_run, tmp_path / "run")
    files(
        a__csv=GOOD, t__csv=UNLABELLED, half__csv="id,c\nr1,a\n", some__csv="id,y\nr1,low\n",
        twice__csv="id,y\nr1,low\nr1,high\nr2,low\n", strange__csv="x,c,y\n1,a,purple\n2,b,green\n",
        dir__csv___note__txt="mine",
    )(tmp_path)
    damage(tmp_path / "run")
    hold(complaint(command), words)


def test_unreadable_cells_are_listed_and_the_row_is_kept(tmp_path: Path) -> None:
    import gradatim as gd

    noise = np.random.default_rng(0)
    rows = ["picture,label"]
    for number in range(60):
        value = 40 if number % 2 else 210
        pixels = noise.integers(0, 40, (12, 12, 3)) + value
        Image.fromarray(pixels.astype(np.uint8)).save(tmp_path / f"{number}.png")
        rows.append(f"{number}.png,{'dark' if number % 2 else 'light'}")
    outside = tmp_path.parent / f"{tmp_path.name}-outside.png"
    Image.new("RGB", (12, 12)).save(outside)
    zip_bomb_png(tmp_path / "3.png")
    write(tmp_path / "5.png", b"\x89PNG\r\n\x1a\n truncated")
    (tmp_path / "7.png").unlink()
    (tmp_path / "11.png").unlink()
    (tmp_path / "11.png").symlink_to(outside)
    hostile = {9: "../../etc/passwd", 13: "/etc/passwd", 15: "file:///etc/passwd", 17: "a" * 5000 + ".png", 19: "."}
    for row, cell in hostile.items():
        rows[row + 1] = f"{cell},{'dark' if row % 2 else 'light'}"
    write(tmp_path / "train.csv", "\n".join(rows) + "\n")
    run = gd.fit(tmp_path / "train.csv", target="label", kinds={"picture": "image"}, epochs=2, minutes=0.2)
    listed = {problem["row"] for problem in run.facts["problems"]}
    assert {3, 5, 7, 11, *hostile} <= listed
    assert len(run.facts["problems"]) < 40, "each cell once or twice, not once a stage"
    answers = run.predict(tmp_path / "train.csv")
    assert answers.frame["row"].to_list() == list(range(60))


def sold(days: int = 60, shops: str = "ab", spoil: dict[int, str] | None = None) -> str:
    """A long table of sales, a row a shop and day; `spoil` puts other rows in."""
    rows = [f"{shop},2024-{1 + day // 28:02d}-{1 + day % 28:02d},{20 + day % 7 + 3 * (shop == 'a')}"
            for shop in shops for day in range(days)]
    for place, row in (spoil or {}).items():
        rows[place] = row
    return "\n".join(["shop,date,value", *rows]) + "\n"


DATED = "--task forecasting --target value --time date --id shop"
# Name → (the table s.csv, the words after `gradatim fit`, words that the line must hold).
FORECASTS: dict[str, tuple[str | bytes, str, tuple[str, ...]]] = {
    "missing file": ("", f"none.csv {DATED}", ("none.csv",)),
    "empty file": ("", f"s.csv {DATED}", ("s.csv", "empty")),
    "header only": ("shop,date,value\n", f"s.csv {DATED}", ("s.csv",)),
    "one row": (sold(1, "a"), f"s.csv {DATED}", ("s.csv", "two different times")),
    "two rows": (sold(2, "a"), f"s.csv {DATED}", ("s.csv", "6 values")),
    "no time": (sold(), "s.csv --task forecasting --target value --id shop", ("--time",)),
    "no target": (sold(), "s.csv --task forecasting --time date --id shop", ("--target",)),
    "a time of no column": (sold(), "s.csv --task forecasting --target value --time day --id shop", ("--time", "day")),
    "an id of no column": (sold(), "s.csv --task forecasting --target value --time date --id q", ("--id", "q")),
    "the target as time": (sold(), "s.csv --task forecasting --target value --time value --id shop", ("value",)),
    "horizon beyond the series": (sold(), f"s.csv {DATED} --option horizon=70", ("70", "smaller --option horizon")),
    "horizon of a third": (sold(), f"s.csv {DATED} --option horizon=25", ("25", "smaller --option horizon")),
    "texts as values": (sold(28, "a", {i: f"a,2024-01-{i + 1:02d},many" for i in range(28)}), f"s.csv {DATED}",
                        ("s.csv", "'value'", "many")),
    "texts as times": (sold(28, "a", {i: f"a,day {i},5" for i in range(28)}), f"s.csv {DATED}", ("date", "day 0")),
    "no values": ("shop,date,value\n" + "".join(f"a,2024-01-{d:02d},\n" for d in range(1, 29)), f"s.csv {DATED}",
                  ("'value'", "missing")),
    "a time twice": (sold(spoil={9: "a,2024-01-09,3"}), f"s.csv {DATED}", ("10", "11", "duplicates=")),
    "times without a grid": ("shop,date,value\n" + "".join(f"a,{(i * i * 7919) % 100_003}.37,{i}\n" for i in range(60)),
                             f"s.csv {DATED}", ("frequency",)),
    "names forgotten": (sold(), "s.csv --task forecasting --target value --time date", ("--id",)),
    "a name of a path": (sold(), f"../../../../etc/passwd {DATED}", ("passwd",)),
    "output under a file": (sold(), f"s.csv {DATED} -o s.csv/run", ("s.csv",)),
    "output is the table": (sold(), f"s.csv {DATED} -o s.csv", ("s.csv",)),
    "a folder as table": (sold(), f". {DATED}", (".",)),
    "NUL bytes": (b"shop,date,value\na,2024-01-01,\x001\n" * 9, f"s.csv {DATED}", ("s.csv", "binary")),
    "unknown option": (sold(), f"s.csv {DATED} --option horizons=7", ("horizons", "horizon")),
    "option without =": (sold(), f"s.csv {DATED} --option horizon", ("--option", "horizon")),
    "option without value": (sold(), f"s.csv {DATED} --option horizon=", ("horizon",)),
    "option without name": (sold(), f"s.csv {DATED} --option =7", ("--option",)),
    "option twice": (sold(), f"s.csv {DATED} --option horizon=7 --option horizon=8", ("horizon", "twice")),
    "horizon of nothing": (sold(), f"s.csv {DATED} --option horizon=0", ("horizon=0",)),
    "horizon below nothing": (sold(), f"s.csv {DATED} --option horizon=-7", ("horizon=-7",)),
    "horizon in words": (sold(), f"s.csv {DATED} --option horizon=week", ("horizon=week",)),
    "endless horizon": (sold(), f"s.csv {DATED} --option horizon=99999999999999999999", ("horizon=",)),
    "horizon in another script": (sold(), f"s.csv {DATED} --option horizon=\u0667", ("horizon=",)),
    "season of nothing": (sold(), f"s.csv {DATED} --option season=0", ("season=0",)),
    "season beyond the series": (sold(), f"s.csv {DATED} --option season=5000", ("season=5000",)),
    "context of nothing": (sold(), f"s.csv {DATED} --option context=0", ("context=0",)),
    "quantiles that are none": (sold(), f"s.csv {DATED} --option quantiles=0.5,1.5", ("quantiles=", "between 0 and 1")),
    "quantiles not a number": (sold(), f"s.csv {DATED} --option quantiles=nan", ("quantiles=",)),
    "no quantiles": (sold(), f"s.csv {DATED} --option quantiles=", ("quantiles=",)),
    "unknown model": (sold(), f"s.csv {DATED} --option models=prophet", ("prophet", "theta")),
    "no model": (sold(), f"s.csv {DATED} --option models=", ("models=",)),
    "known column that is none": (sold(), f"s.csv {DATED} --option known=weather", ("weather",)),
    "the target as known column": (sold(), f"s.csv {DATED} --option known=value", ("known=value",)),
    "the times as known column": (sold(), f"s.csv {DATED} --option known=date", ("known=date",)),
    "unknown frequency": (sold(), f"s.csv {DATED} --option frequency=fortnightish", ("fortnightish",)),
    "frequency that does not fit": (sold(), f"s.csv {DATED} --option frequency=month", ("repeated", "duplicates=")),
    "unknown duplicates": (sold(), f"s.csv {DATED} --option duplicates=median", ("median", "mean")),
    "wide with a column that is none": (sold(), "s.csv --task forecasting --time date --option wide=north", ("north",)),
    "wide with texts": (sold(), "s.csv --task forecasting --time date --option wide=all", ("shop",)),
    "unknown metric": (sold(), f"s.csv {DATED} --metric accuracy", ("accuracy", "mase")),
    "group of no column": (sold(), f"s.csv {DATED} --group q", ("--group", "classification", "received forecasting")),
}


@pytest.mark.parametrize("name", FORECASTS)
def test_forecasts(name: str, tmp_path: Path, complaint: Callable[..., str]) -> None:
    table, command, words = FORECASTS[name]
    files(s__csv=table)(tmp_path)
    hold(complaint(f"fit {command} --minutes 0.1"), words)
    left = sorted(path.name for path in tmp_path.rglob("*") if path.name != "runs")
    assert left == ["s.csv"], "a run was left behind"


def test_a_closed_pipe_is_no_error() -> None:
    code = f"{sys.executable} -m gradatim models | head -n 1"
    done = subprocess.run(["bash", "-o", "pipefail", "-c", code], capture_output=True, text=True, timeout=120)
    assert done.stderr == "" and done.stdout.count("\n") == 1


def test_every_command_has_help(capsys: pytest.CaptureFixture[str]) -> None:
    for command in ("demo", "schema", "audit", "fit", "predict", "evaluate", "report", "models"):
        app([command, "--help"], result_action="return_value")
        assert "Usage" in capsys.readouterr().out
