"""`gradatim audit`: plain text, JSON, --strict and its exit code, errors of one line."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from gradatim.cli.audit import audit
from gradatim.errors import GradatimError


@pytest.fixture
def world(tmp_path: Path) -> Path:
    random = np.random.default_rng(0)
    x = random.normal(size=300)
    label = np.where(x + random.normal(size=300) > 0, "yes", "no")
    frame = pl.DataFrame({"x": x.round(4), "z": random.normal(size=300).round(4), "label": label})
    frame[:200].write_csv(tmp_path / "train.csv")
    frame[200:].drop("label").write_csv(tmp_path / "test.csv")
    leak = (pl.col("label") == "yes").cast(pl.Int8).alias("approved")
    frame[:200].with_columns(leak).write_csv(tmp_path / "leak.csv")
    return tmp_path


def test_a_clean_table_is_said_to_be_clean(world, capsys):
    audit(str(world / "train.csv"), test=str(world / "test.csv"), target="label", strict=True)
    assert capsys.readouterr().out == "train.csv: 200 rows, 2 inputs: nothing found\n"


def test_findings_in_words_and_as_json(world, capsys):
    audit(str(world / "leak.csv"), target="label")
    out = capsys.readouterr().out
    assert "error leak-single-column [approved]" in out and "do: ask whether it is known" in out
    audit(str(world / "leak.csv"), target="label", json=True)
    told = json.loads(capsys.readouterr().out)
    assert [finding["code"] for finding in told["findings"]] == ["leak-single-column"]
    assert told["rows"] == 200 and told["findings"][0]["column"] == "approved"


def test_strict_fails_on_an_error(world):
    with pytest.raises(SystemExit) as left:
        audit(str(world / "leak.csv"), target="label", strict=True)
    assert left.value.code == 1
    audit(str(world / "leak.csv"), target="label", ignore=("approved",), strict=True)


def test_a_schema_file_is_used_and_checked(world, capsys):
    from gradatim.data.schema import Column, Schema

    Schema((Column("x", "number", "input"), Column("label", "category", "target"))).save(world / "schema.json")
    audit(str(world / "train.csv"), schema=world / "schema.json")
    assert "1 input:" in capsys.readouterr().out
    with pytest.raises(GradatimError, match="the table lacks: label"):
        audit(str(world / "test.csv"), schema=world / "schema.json")


def test_from_the_shell_errors_are_one_line(world):
    def run(*words: str) -> subprocess.CompletedProcess:
        program = "import sys; sys.argv[0] = 'gradatim'; from gradatim.cli import main; main()"
        command = [sys.executable, "-c", program, "audit", *words]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    absent = run(str(world / "nothing.csv"), "--target", "label")
    assert absent.returncode == 2 and len(absent.stderr.strip().splitlines()) == 1
    found = run(str(world / "leak.csv"), "--target", "label", "--strict")
    assert found.returncode == 1 and "leak-single-column" in found.stdout and "\x1b" not in found.stdout
