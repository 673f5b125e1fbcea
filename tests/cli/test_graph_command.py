"""`gradatim graph`: prints, draws, and refuses in one line with exit code 2."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from gradatim.cli import main


def call(monkeypatch: pytest.MonkeyPatch, *words: str) -> int:
    monkeypatch.setattr(sys, "argv", ["gradatim", "graph", *words])
    try:
        main()
    except SystemExit as end:
        return int(end.code or 0)
    return 0


def test_table_and_frames(monkeypatch, capsys):
    assert call(monkeypatch, "3*(a+b*c)", "a=5", "b=3", "c=2", "--frames") == 0
    out = capsys.readouterr().out
    rows = [line.split() for line in out.splitlines()]
    assert ["2", "a", "5", "3"] in rows and ["3", "b", "3", "6"] in rows and ["4", "c", "2", "9"] in rows
    assert "Done: dJ/da = 3, dJ/db = 6, dJ/dc = 9." in out


def test_json_with_frames(monkeypatch, capsys):
    assert call(monkeypatch, "(x+y)*z", "x=-2", "y=5", "z=-4", "--json", "--frames") == 0
    shown = json.loads(capsys.readouterr().out)
    gradients = {node["name"]: node["gradient"]["values"] for node in shown["nodes"] if node["name"]}
    assert gradients == {"x": -4, "y": -4, "z": 3} and shown["nodes"][-1]["value"]["values"] == -12
    assert len(shown["frames"]) == 7 and "svg" not in shown["frames"][0]


@pytest.mark.parametrize(("ending", "begins"), [("svg", b"<svg"), ("html", b"<!doctype html>"), ("png", b"\x89PNG")])
def test_pictures_by_the_ending(ending, begins, monkeypatch, capsys, tmp_path: Path):
    file = tmp_path / f"graph.{ending}"
    assert call(monkeypatch, "-a**2", "a=3", "-o", str(file), "--direction", "down") == 0
    assert file.read_bytes().startswith(begins) and str(file) in capsys.readouterr().err


def test_the_svg_moves_with_frames(monkeypatch, tmp_path: Path):
    still, moving = tmp_path / "still.svg", tmp_path / "moving.svg"
    assert call(monkeypatch, "a*a", "a=3", "-o", str(still)) == 0
    assert call(monkeypatch, "a*a", "a=3", "-o", str(moving), "--frames") == 0
    assert "<animate" not in still.read_text() and "<animate" in moving.read_text()


@pytest.mark.parametrize(("words", "says"), [
    (["__import__('os').system('true')"], "function"), (["a"], "value for it"), (["a", "a"], "NAME=VALUE"),
    (["a", "a=x"], "number"), (["a", "a=1", "a=2"], "once"),
    (["a*2", "a=1", "-o", "a.pdf"], ".svg, .html, .png"),
    (["a*2", "a=1", "--direction", "up"], "right or down"), (["9**9**9*a", "a=1"], "power"), (["a*2", "a=1,2"], "sum"),
])
def test_mistakes_are_one_line_and_code_two(words, says, monkeypatch, capsys):
    assert call(monkeypatch, *words) == 2
    said = capsys.readouterr()
    assert says in said.err and said.err.count("\n") == 1 and not said.out


def test_no_torch_is_needed():
    code = ("import sys; sys.argv = ['gradatim', 'graph', '3*a', 'a=5']; from gradatim.cli import main; main(); "
            "assert 'torch' not in sys.modules and 'matplotlib' not in sys.modules")
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
