"""Runs saved by earlier versions open and answer what they answered when they were saved."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest

import gradatim as gd

FOLDER = Path(__file__).parent / "fixtures" / "runs-format-1"
RUNS = sorted(path.name for path in FOLDER.iterdir() if path.is_dir())


@pytest.mark.parametrize("name", RUNS)
def test_an_earlier_run_opens_and_answers_as_before(name: str, tmp_path: Path) -> None:
    """Texts and classes alike; numbers to the last digits, which another processor may round otherwise."""
    gd.load(FOLDER / name / "run").predict(FOLDER / name / "table.csv").write(tmp_path / "answers.csv")
    before, after = (pl.read_csv(path) for path in (FOLDER / name / "answers.csv", tmp_path / "answers.csv"))
    assert before.columns == after.columns and len(before) == len(after) > 0
    for column in before.columns:
        if before[column].dtype.is_float():
            np.testing.assert_allclose(after[column], before[column], rtol=1e-4, atol=1e-5)
        else:
            assert after[column].to_list() == before[column].to_list(), column


def test_there_are_runs_of_several_kinds() -> None:
    assert len(RUNS) >= 4
