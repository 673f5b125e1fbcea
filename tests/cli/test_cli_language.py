"""`gradatim generate` and `gradatim score`: streams, CSV, JSON, one-line errors."""

import json
import shutil
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
    for wrong in (["--strategy", "best"], ["--temperature", "-1"], ["--temperature", "nan"], ["--temperature", "0"],
                  ["--top-p", "2"], ["--top-p", "0"], ["--top-k", "0"], ["--tokens", "0"], ["--count", "0"],
                  ["--beams", "1000"], ["--length-penalty", "nan"], ["--strategy", "beam", "--count", "9"]):
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


def test_a_prompt_of_characters_that_were_never_seen_is_read(
    run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for prompt in ("日本 \U0001f980", "\udcff half", "\x1b[31m", "-"):
        code, out, _ = call(monkeypatch, capsys, "generate", str(run), f"--prompt={prompt}", "--tokens", "3")
        assert code == 0 and out.removesuffix("\n").replace("\n", "").isprintable()
    code, out, _ = call(monkeypatch, capsys, "generate", str(run), "--prompt=\udcff", "--tokens", "3", "--json")
    assert code == 0 and json.loads(out)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (None, "nothing there"), ("", "empty file"), ("one line\n", "at least 6 texts"), ("word", "at least 6 texts"),
        ("word " * 500, "at least 6 texts"), ("a\nb\n" * 2, "at least 6 texts"), (b"\x00\xff\x03" * 900, "binary file"),
        ("\n\n\n", "expected"),
    ],
)
def test_a_corpus_that_is_none_is_refused_in_one_line(
    content: str | bytes | None, expected: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    path = tmp_path / "corpus.txt"
    if content is not None:
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    code, _, complaint = call(monkeypatch, capsys, "fit", str(path), "--task", "language-model", "--quiet",
                              "-o", str(tmp_path / "run"))
    assert code == 2 and complaint.count("\n") == 1 and expected in complaint, complaint


def test_what_cannot_be_scored_is_said_in_one_line(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, content in (("empty.txt", ""), ("blank.txt", "\n\n"), ("empty.csv", "")):
        (tmp_path / name).write_text(content)
        code, out, complaint = call(monkeypatch, capsys, "score", str(run), str(tmp_path / name))
        assert code == 2 and not out and complaint.count("\n") == 1 and "expected" in complaint, complaint
    code, _, complaint = call(monkeypatch, capsys, "score", str(run), str(tmp_path / "none.txt"))
    assert code == 2 and complaint.count("\n") == 1


def test_a_run_of_another_task_and_a_hostile_tokenizer(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = "".join(f"{place % 7},{'ab'[place % 7 > 3]}\n" for place in range(40))
    (tmp_path / "t.csv").write_text("x,y\n" + rows)
    gd.fit(tmp_path / "t.csv", target="y", output=tmp_path / "other", epochs=1, ledger="none")
    (tmp_path / "lines.txt").write_text("a line\n")
    other, lines = str(tmp_path / "other"), str(tmp_path / "lines.txt")
    for words in (["generate", other], ["score", other, lines]):
        code, _, complaint = call(monkeypatch, capsys, *words)
        assert code == 2 and complaint.count("\n") == 1 and "language model" in complaint, complaint
    manifest = run / "artifact.json"
    whole = json.loads(manifest.read_text())
    hostile: list[object] = [None, 5, {"kind": "characters", "vocabulary": ["ab"], "merges": []},
                             {"kind": "characters", "vocabulary": ["\ud800"], "merges": []},
                             {"kind": "subwords", "vocabulary": ["a"], "merges": [["a", "b"]]},
                             {"kind": "words", "vocabulary": ["a"] * 2, "merges": []},
                             {"kind": "words", "vocabulary": "a" * 9, "merges": 3}]
    for place, tokens in enumerate(hostile):
        folder = tmp_path / f"hostile{place}"
        shutil.copytree(run, folder)
        (folder / "artifact.json").write_text(json.dumps(replaced(whole, tokens)))
        code, _, complaint = call(monkeypatch, capsys, "generate", str(folder))
        assert code == 2 and complaint.count("\n") == 1, complaint


def replaced(value: object, tokens: object) -> object:
    """The manifest with other tokens wherever it has some."""
    if isinstance(value, dict):
        return {name: tokens if name == "tokens" else replaced(part, tokens) for name, part in value.items()}
    return [replaced(part, tokens) for part in value] if isinstance(value, list) else value
