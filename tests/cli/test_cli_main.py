"""The command line as a whole: what goes to which stream, exit codes, JSON, quiet, plain when piped."""

import io
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest

import gradatim
from gradatim.cli import COMMANDS, main
from gradatim.cli.console import pairs, say, show_table, visible
from gradatim.errors import GradatimError

ROWS = "id,x,c,y\n" + "".join(
    f"r{i},{i * 37 % 61 / 7:.2f},{'ab'[i % 2]},{'low' if i * 37 % 61 < 30 else 'high'}\n" for i in range(60)
)
Ran = tuple[int, str, str]
Call = Callable[..., Ran]


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Call:
    """Run `gradatim` with these words; returns exit code, standard output, standard error."""

    def run(*words: object) -> Ran:
        monkeypatch.setattr(sys, "argv", ["gradatim", *map(str, words)])
        code = 0
        try:
            main()
        except SystemExit as leaving:
            code = int(leaving.code or 0)
        shown = capsys.readouterr()
        return code, shown.out, shown.err

    return run


@pytest.fixture(scope="module")
def fitted(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, subprocess.CompletedProcess[str]]:
    """A run made by the command itself, piped."""
    folder = tmp_path_factory.mktemp("cli")
    (folder / "train.csv").write_text(ROWS)
    words = ["fit", "train.csv", "--target", "y", "--id", "id", "--epochs", "1", "--minutes", "0.5"]
    command = [sys.executable, "-m", "gradatim", *words]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=240, env=environment)
    return folder, done


def test_fit_tells_its_story_and_names_its_run(fitted: tuple[Path, subprocess.CompletedProcess[str]]) -> None:
    folder, done = fitted
    assert done.returncode == 0, done.stderr
    assert (folder / "runs" / "train-1" / "artifact.json").is_file()
    for word in ("60 rows", "split:", "plan:", "the network"):
        assert word in done.stderr
    for word in ("Candidates", "Modality ledger", "accuracy", "used for no choice", "saved: runs/train-1"):
        assert word in done.stdout
    assert "\x1b" not in done.stdout + done.stderr and "Warning" not in done.stderr, "plain when piped"


@pytest.fixture
def run(fitted: tuple[Path, subprocess.CompletedProcess[str]]) -> Path:
    return fitted[0] / "runs" / "train-1"


def test_predictions_go_to_standard_output_alone(run: Path, call: Call) -> None:
    code, out, err = call("predict", run, run.parents[1] / "train.csv", "--id", "id")
    assert code == 0 and err == ""
    frame = pl.read_csv(io.StringIO(out), infer_schema=False)
    assert frame.columns == ["id", "y"] and frame["id"].to_list() == [f"r{i}" for i in range(60)]
    assert set(frame["y"]) == {"low", "high"}


def test_predictions_go_to_a_file_once(run: Path, tmp_path: Path, call: Call) -> None:
    table = tmp_path / "t.csv"
    table.write_text("id,x,c\nr1,1.5,a\nr2,many,b\nr3,,\n")
    for name, read in (("s.csv", pl.read_csv), ("s.parquet", pl.read_parquet)):
        code, out, err = call("predict", run, table, "--id", "id", "-o", tmp_path / name, "--probabilities")
        assert code == 0 and out == "" and "1 × number-unreadable" in err and "line 3" in err
        frame = read(tmp_path / name)
        assert frame.columns == ["id", "y", "probability:high", "probability:low"] and frame.height == 3
        assert call("predict", run, table, "-o", tmp_path / name)[0] == 2
        assert call("predict", run, table, "-o", tmp_path / name, "--force", "--quiet") == (0, "", "")
        assert read(tmp_path / name).columns == ["row", "y"]


def test_json_is_json_and_nothing_else(run: Path, call: Call, tmp_path: Path) -> None:
    table = run.parents[1] / "train.csv"
    shown: dict[str, Any] = {}
    for name, words in {
        "predict": ("predict", run, table, "--json", "-o", tmp_path / "s.csv"),
        "evaluate": ("evaluate", run, table, "--json"),
        "report": ("report", run, "--json"),
        "schema": ("schema", table, "--target", "y", "--json"),
        "audit": ("audit", table, "--target", "y", "--json"),
    }.items():
        code, out, err = call(*words)
        assert code in (0, 1) and err == "", (name, err)
        shown[name] = json.loads(out)
    assert shown["predict"]["rows"] == 60 and shown["predict"]["problems"] == []
    assert 0.5 < shown["evaluate"]["metrics"]["accuracy"]["value"] <= 1
    assert shown["report"]["target"] == "y"


def test_evaluate_puts_the_asked_metric_first_and_counts(run: Path, call: Call) -> None:
    code, out, _ = call("evaluate", run, run.parents[1] / "train.csv", "--metric", "roc_auc", "--constraint",
                        "highest recall with precision >= 0.5")
    assert code == 0
    lines = out.splitlines()
    assert lines[0] == "60 rows" and lines[2].split()[0] == "roc_auc"
    assert any("precision" in line for line in lines) and "time" in lines[-1]


def test_evaluate_scores_predictions_of_anybody(run: Path, tmp_path: Path, call: Call) -> None:
    table = run.parents[1] / "train.csv"
    call("predict", run, table, "--id", "id", "-o", tmp_path / "said.csv", "--probabilities")
    pl.read_csv(table).select("id", "y").write_csv(tmp_path / "labels.csv")
    own = json.loads(call("evaluate", run, table, "--json")[1])
    said = json.loads(call("evaluate", tmp_path / "said.csv", "--labels", tmp_path / "labels.csv", "--json")[1])
    assert said["metrics"]["accuracy"] == own["metrics"]["accuracy"]
    code, out, err = call("evaluate", tmp_path / "said.csv", "--labels", tmp_path / "labels.csv")
    assert code == 0 and "accuracy" in out, err


def test_the_report_is_written_anew(run: Path, tmp_path: Path, call: Call) -> None:
    before = (run / "report.html").read_text()
    code, out, _ = call("report", run)
    assert code == 0 and out.strip() == str(run / "report.html")
    assert abs(len((run / "report.html").read_text()) - len(before)) < 2000
    assert call("report", run, "-o", tmp_path / "r.html")[0] == 0
    assert call("report", run, "-o", tmp_path / "r.html")[0] == 2
    assert call("report", run, "-o", tmp_path / "r.html", "--force")[0] == 0


def test_version_help_and_no_words(call: Call) -> None:
    assert call("--version")[1].strip() == gradatim.__version__
    for words in ((), ("--help",)):
        code, out, err = call(*words)
        assert code == 0 and err == "" and all(name in out for name in COMMANDS)


def test_no_command_module_imports_anything_heavy() -> None:
    modules = [target.partition(":")[0] for target, _ in COMMANDS.values()]
    code = (
        f"import sys, importlib\n[importlib.import_module(name) for name in {modules!r}]\n"
        "print([name for name in ('torch', 'numpy', 'polars', 'sklearn', 'matplotlib', 'PIL') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == "[]", done.stderr


@pytest.mark.parametrize(
    ("error", "code", "words"),
    [
        (GradatimError("expected\n  one\tline"), 2, "gradatim: expected one line"),
        (PermissionError(13, "Permission denied", "/x"), 2, "gradatim: /x: the system says 'Permission denied'"),
        (OSError(28, "No space left on device"), 2, "gradatim: the system says 'No space left on device'"),
        (MemoryError(), 2, "gradatim: expected enough memory"),
        (KeyboardInterrupt(), 130, "gradatim: interrupted"),
        (GradatimError("a\x1b[31mred\x1b]0;t\x07 name \u202e"), 2, r"gradatim: a\x1b[31mred\x1b]0;t\x07 name \u202e"),
    ],
)
def test_errors_are_one_line(
    error: BaseException, code: int, words: str, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr("gradatim.cli.app", failing)
    found, out, err = call("models")
    assert found == code and out == "" and err.startswith(words) and err.count("\n") == 1


def test_a_defect_of_ours_is_not_hidden(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(*_: object, **__: object) -> None:
        raise ZeroDivisionError("a defect")

    monkeypatch.setattr("gradatim.cli.app", failing)
    with pytest.raises(ZeroDivisionError):
        call("models")


def test_tables_and_pairs(capsys: pytest.CaptureFixture[str]) -> None:
    show_table("Title", ("name", "value"), [("a", 1), ("long\x1b[2J", None)])
    lines = ["Title", "  name         value", "  a            1", "  long\\x1b[2J"]
    assert capsys.readouterr().out.splitlines() == lines
    say("a line\r")
    assert capsys.readouterr().err == "a line\\r\n"
    assert visible("Straße ☃\tΩ") == "Straße ☃\tΩ"
    assert pairs(["a=b=c"], "--kind") == {"a": "b=c"}
    for bad in ("a", "=b", "a=", ""):
        with pytest.raises(GradatimError, match="--kind"):
            pairs([bad], "--kind")
