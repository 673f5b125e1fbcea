"""`gradatim schema`: the table of guesses, its JSON, the file it writes, and its errors."""

import json
import sys
from pathlib import Path

import pytest

from gradatim.cli import main
from gradatim.data.schema import Schema

pytestmark = pytest.mark.filterwarnings("ignore:Cyclopts application invoked")

TEXT = "id,age,colour,note,group\n" + "".join(
    f"{i},{20 + i % 60 * 1.5},{'red' if i % 3 else 'Red'},words of row {i},{i % 4}\n" for i in range(1, 121)
)


def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    """Exit code, output and error output of `gradatim schema ARGUMENTS`."""
    monkeypatch.setattr(sys, "argv", ["gradatim", "schema", *arguments])
    code = 0
    try:
        main()
    except SystemExit as stop:
        code = int(stop.code or 0)
    said = capsys.readouterr()
    return code, said.out, said.err


@pytest.fixture
def source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    (tmp_path / "train.csv").write_text(TEXT)
    monkeypatch.chdir(tmp_path)
    return "train.csv"


def test_the_table_is_plain_when_piped(
    source: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = run(monkeypatch, capsys, source, "--target", "group")
    assert code == 0 and out.startswith("train.csv: 120 rows, 5 columns") and "\x1b" not in out
    lines = {line.split()[0]: line for line in out.splitlines()[2:]}
    assert "ignore" in lines["id"] and "counts the rows from 1 to 120" in lines["id"]
    assert "target" in lines["group"] and "1 · 2 · 3" in lines["group"]
    assert "text" in lines["note"] and "number" in lines["age"]
    assert "label-spelling" in err and "'red'" in err


def test_json_and_the_written_file_agree(
    source: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, _ = run(monkeypatch, capsys, source, "--target", "group", "--json", "-o", "schema.json",
                       "--kind", "age=category", "--ignore", "note", "--ignore", "colour", "--id", "id")
    shown = json.loads(out)
    assert code == 0 and shown["rows"] == 120 and len(shown["columns"]) == 5
    schema = Schema.load("schema.json")
    assert [(c["name"], c["kind"], c["role"], c["why"]) for c in shown["columns"]] == [
        (c.name, c.kind, c.role, list(c.why)) for c in schema.columns]
    assert {c.name: c.role for c in schema.columns} == {
        "id": "id", "age": "input", "colour": "ignore", "note": "ignore", "group": "target"}
    assert schema["age"].kind == "category" and all(len(c["samples"]) <= 3 for c in shown["columns"])


@pytest.mark.parametrize(
    ("arguments", "words"),
    [((), "--target"), (("--target", "grop"), "did you mean 'group'"),
     (("--target", "group", "--kind", "age"), "--kind"),
     (("--target", "group", "--kind", "age=colour"), "colour"), (("--target", "group", "--time", "note"), "time")],
)
def test_errors_are_one_line_and_exit_code_two(
    source: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
    arguments: tuple[str, ...], words: str
) -> None:
    code, out, err = run(monkeypatch, capsys, source, *arguments)
    assert code == 2 and not out and err.count("\n") == 1 and err.startswith("gradatim: ") and words in err
