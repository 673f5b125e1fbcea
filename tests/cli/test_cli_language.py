"""`gradatim generate` and `gradatim score`: streams, CSV, JSON, one-line errors."""

import json
from pathlib import Path

import pytest

import gradatim as gd
from gradatim.cli import main


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cli-language")
    (folder / "corpus.txt").write_text("\n".join(f"the {a} {b}." for a in ("cat", "dog", "cow") for b in
                                                 ("sleeps", "eats", "runs home", "is old")) + "\n" * 2)
    gd.fit(folder / "corpus.txt", task="language-model", output=folder / "run", epochs=1, options={"network": "none"})
    return folder / "run"


def call(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    monkeypatch.setattr("sys.argv", ["gradatim", *words])
    code = 0
    try:
        main()
    except SystemExit as ended:
        code = int(ended.code or 0)
    return code, *capsys.readouterr()


def test_texts_are_generated(run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = call(monkeypatch, capsys, "generate", str(run), "--prompt", "the c", "--tokens", "20", "--seed", "3")
    assert code == 0 and out.startswith("the c") and out.endswith("\n")
    _, again, _ = call(monkeypatch, capsys, "generate", str(run), "--prompt", "the c", "--tokens", "20", "--seed", "3",
                       "--json")
    assert json.loads(again)[0]["text"] == out[:-1]
    _, several, _ = call(monkeypatch, capsys, "generate", str(run), "--strategy", "beam", "--count", "2")
    assert several.count("\n%\n") == 1
    for wrong in (["--strategy", "best"], ["--temperature", "-1"], ["--top-p", "2"]):
        code, _, complaint = call(monkeypatch, capsys, "generate", str(run), *wrong)
        assert code == 2 and complaint.count("\n") == 1 and "expected" in complaint


def test_texts_are_scored(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "lines.txt").write_text("the cat sleeps.\n\nqqqq\n")
    code, out, _ = call(monkeypatch, capsys, "score", str(run), str(tmp_path / "lines.txt"), "--texts")
    lines = out.splitlines()
    assert code == 0 and lines[0] == "row,log_probability,tokens,perplexity,characters,bits_per_character,text"
    assert len(lines) == 4 and lines[3].endswith("qqqq")
    _, out, _ = call(monkeypatch, capsys, "score", str(run), str(tmp_path / "lines.txt"), "--json")
    rows = json.loads(out)
    assert rows[0]["bits_per_character"] < rows[2]["bits_per_character"] and rows[1]["tokens"] == 1
    (tmp_path / "table.csv").write_text("said,by\nthe cat runs home.,me\n")
    code, _, complaint = call(monkeypatch, capsys, "score", str(run), str(tmp_path / "table.csv"))
    assert code == 2 and "--column" in complaint
    code, out, _ = call(monkeypatch, capsys, "score", str(run), str(tmp_path / "table.csv"), "--column", "said")
    assert code == 0 and len(out.splitlines()) == 2
