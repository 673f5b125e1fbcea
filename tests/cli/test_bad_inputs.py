"""Every bad input that we could think of: one plain line, exit code 2, nothing lost, no traceback."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gradatim.cli import app, main

GOOD = "x,y\n" + "".join(f"{i},{'low' if i < 30 else 'high'}\n" for i in range(60))


def write(path: Path, content: str | bytes) -> Path:
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def zip_bomb_png(path: Path) -> Path:
    """A PNG whose header promises 60,000 × 60,000 pixels."""
    import struct
    import zlib

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 0, 0, 0, 0)
    return write(path, b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0" * 99)))


# Name → (what to write, arguments after `gradatim`, words that the line must hold).
CASES: dict[str, tuple[Callable[[Path], object], list[str], list[str]]] = {
    "missing file": (lambda p: None, ["fit", "none.csv", "--target", "y"], ["none.csv"]),
    "empty file": (lambda p: write(p / "a.csv", ""), ["fit", "a.csv", "--target", "y"], ["a.csv", "empty"]),
    "header only": (lambda p: write(p / "a.csv", "x,y\n"), ["fit", "a.csv", "--target", "y"], ["a.csv"]),
    "duplicate header": (lambda p: write(p / "a.csv", "x,x\n1,2\n"), ["schema", "a.csv"], ["a.csv", "x"]),
    "empty header": (lambda p: write(p / "a.csv", "x,,y\n1,2,3\n"), ["schema", "a.csv"], ["a.csv", "line 1"]),
    "ragged row": (lambda p: write(p / "a.csv", "x,y\n1,2\n3\n"), ["schema", "a.csv"], ["a.csv", "line 3"]),
    "long row": (lambda p: write(p / "a.csv", "x,y\n1,2\n3,4,5\n"), ["schema", "a.csv"], ["a.csv", "line 3"]),
    "open quote": (lambda p: write(p / "a.csv", 'x,y\n1,"2\n3,4\n'), ["schema", "a.csv"], ["a.csv", "quot"]),
    "NUL bytes": (lambda p: write(p / "a.csv", b"x,y\n1,\x002\n"), ["schema", "a.csv"], ["a.csv", "NUL"]),
    "a picture named csv": (lambda p: Image.new("RGB", (9, 9)).save(p / "a.csv", "PNG"), ["schema", "a.csv"], ["a.csv"]),
    "damaged Parquet": (lambda p: write(p / "a.parquet", b"PAR1 nonsense"), ["schema", "a.parquet"], ["a.parquet"]),
    "damaged JSON lines": (lambda p: write(p / "a.jsonl", '{"x": 1}\n{"x": \n'), ["schema", "a.jsonl"], ["line 2"]),
    "an empty folder": (lambda p: (p / "f").mkdir(), ["fit", "f"], ["f"]),
    "no target": (lambda p: write(p / "a.csv", GOOD), ["fit", "a.csv"], ["--target"]),
    "unknown target": (lambda p: write(p / "a.csv", GOOD), ["fit", "a.csv", "--target", "Y!"], ["Y!"]),
    "target without labels": (lambda p: write(p / "a.csv", "x,y\n1,\n2,\n3,\n"), ["fit", "a.csv", "--target", "y"], ["y"]),
    "one class": (lambda p: write(p / "a.csv", "x,y\n" + "1,a\n2,a\n3,a\n4,a\n"), ["fit", "a.csv", "--target", "y"], ["y"]),
    "unknown kind": (lambda p: write(p / "a.csv", GOOD), ["fit", "a.csv", "--target", "y", "--kind", "x=colour"], ["colour"]),
    "kind without =": (lambda p: write(p / "a.csv", GOOD), ["fit", "a.csv", "--target", "y", "--kind", "x"], ["--kind"]),
    "kind of no column": (lambda p: write(p / "a.csv", GOOD), ["fit", "a.csv", "--target", "y", "--kind", "z=text"], ["z"]),
    "unknown metric": (lambda p: write(p / "a.csv", GOOD), ["fit", "a.csv", "--target", "y", "--metric", "rmse"], ["rmse"]),
    "unknown task": (lambda p: write(p / "a.csv", GOOD), ["fit", "a.csv", "--target", "y", "--task", "magic"], ["magic"]),
    "unknown encoder": (lambda p: write(p / "a.csv", GOOD), ["fit", "a.csv", "--target", "y", "--encoder", "x=os.system"], ["os.system"]),
    "encoder of no column": (lambda p: write(p / "a.csv", GOOD), ["fit", "a.csv", "--target", "y", "--encoder", "image=resnet18"], ["image"]),
    "zero minutes": (lambda p: write(p / "a.csv", GOOD), ["fit", "a.csv", "--target", "y", "--minutes", "0"], ["minutes"]),
    "negative epochs": (lambda p: write(p / "a.csv", GOOD), ["fit", "a.csv", "--target", "y", "--epochs", "-1"], ["epochs"]),
    "output is a file": (lambda p: (write(p / "a.csv", GOOD), write(p / "out", "x")), ["fit", "a.csv", "--target", "y", "-o", "out"], ["out"]),
    "output holds other files": (lambda p: (write(p / "a.csv", GOOD), (p / "o").mkdir(), write(p / "o" / "t.txt", "x")), ["fit", "a.csv", "--target", "y", "-o", "o"], ["o"]),
    "damaged schema": (lambda p: (write(p / "a.csv", GOOD), write(p / "s.json", "{")), ["fit", "a.csv", "--schema", "s.json"], ["s.json"]),
    "schema of another table": (lambda p: (write(p / "a.csv", GOOD), write(p / "s.json", json.dumps({"columns": [{"name": "q", "kind": "number", "role": "input"}, {"name": "y", "kind": "category", "role": "target"}]}))), ["fit", "a.csv", "--schema", "s.json"], ["q"]),
    "resume of nothing": (lambda p: (p / "r").mkdir(), ["fit", "--resume", "r"], ["request.json"]),
    "predict without a run": (lambda p: write(p / "a.csv", GOOD), ["predict", "r", "a.csv"], ["r"]),
    "predict with no artefact": (lambda p: ((p / "r").mkdir(), write(p / "a.csv", GOOD)), ["predict", "r", "a.csv"], ["artifact.json"]),
    "damaged artefact": (lambda p: ((p / "r").mkdir(), write(p / "r" / "artifact.json", "{}"), write(p / "a.csv", GOOD)), ["predict", "r", "a.csv"], ["artifact.json"]),
    "future artefact": (lambda p: ((p / "r").mkdir(), write(p / "r" / "artifact.json", '{"kind": "gradatim run", "format": 99}'), write(p / "a.csv", GOOD)), ["predict", "r", "a.csv"], ["99"]),
    "evaluate without labels": (lambda p: write(p / "a.csv", "row,prediction\n0,a\n"), ["evaluate", "a.csv"], ["--labels"]),
    "two few rows": (lambda p: write(p / "a.csv", "x,y\n1,a\n2,b\n"), ["fit", "a.csv", "--target", "y"], ["row"]),
    "unknown model": (lambda p: None, ["models", "resnet19"], ["resnet19"]),
    "bad model input": (lambda p: None, ["models", "resnet18", "--input", "banana"], ["banana"]),
}


@pytest.mark.parametrize("name", CASES)
def test_one_line_and_exit_code_2(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    prepare, arguments, words = CASES[name]
    monkeypatch.chdir(tmp_path)
    prepare(tmp_path)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    monkeypatch.setattr(sys, "argv", ["gradatim", *arguments])
    with pytest.raises(SystemExit) as caught:
        main()
    shown = capsys.readouterr().err.strip()
    assert caught.value.code == 2, shown
    lines = [line for line in shown.splitlines() if line.startswith("gradatim: ")]
    assert len(lines) == 1 and shown.splitlines()[-1] == lines[0], shown
    for word in words:
        assert word in lines[0], lines[0]
    assert "Traceback" not in shown
    for path, content in before.items():
        assert path.read_bytes() == content, f"{path} was changed"


def test_unreadable_cells_are_listed_and_the_row_is_kept(tmp_path: Path) -> None:
    import gradatim as gd

    noise = np.random.default_rng(0)
    rows = ["picture,label"]
    for number in range(60):
        value = 40 if number % 2 else 210
        pixels = noise.integers(0, 40, (12, 12, 3)) + value
        Image.fromarray(pixels.astype(np.uint8)).save(tmp_path / f"{number}.png")
        rows.append(f"{number}.png,{'dark' if number % 2 else 'light'}")
    zip_bomb_png(tmp_path / "3.png")
    write(tmp_path / "5.png", b"\x89PNG\r\n\x1a\n truncated")
    (tmp_path / "7.png").unlink()
    rows[10] = "../../etc/passwd,light"
    write(tmp_path / "train.csv", "\n".join(rows) + "\n")
    run = gd.fit(tmp_path / "train.csv", target="label", kinds={"picture": "image"}, epochs=2, minutes=0.2)
    listed = {problem["row"] for problem in run.facts["problems"]}
    assert {3, 5, 7, 9} <= listed
    answers = run.predict(tmp_path / "train.csv")
    assert len(answers) == 60


def test_a_closed_pipe_is_no_error() -> None:
    code = f"{sys.executable} -m gradatim models | head -n 1"
    done = subprocess.run(["bash", "-o", "pipefail", "-c", code], capture_output=True, text=True, timeout=60)
    assert "Traceback" not in done.stderr


def test_every_command_has_help(capsys: pytest.CaptureFixture[str]) -> None:
    for command in ("demo", "schema", "audit", "fit", "predict", "evaluate", "report", "models"):
        app([command, "--help"], result_action="return_value")
        assert "Usage" in capsys.readouterr().out
