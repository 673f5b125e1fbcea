"""`gradatim race`: the table, JSON, files, and mistakes in one line with exit code 2."""

import json
import subprocess
import sys

import pytest

from gradatim.cli.race import parse_point, parse_rates, race
from gradatim.errors import GradatimError


def test_the_table_of_the_example(capsys):
    race(surface="beale", optimisers="sgd,momentum,adam", learning_rate="0.01")
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("beale: (1.5 − x + xy)²") and "from (1, 1.25), 500 steps" in lines[0]
    assert [line.split()[0] for line in lines[2:5]] == ["momentum", "sgd", "adam"]
    assert "arrived at step 222" in lines[2] and "0.01" in lines[2] and "given" in lines[2]
    assert lines[5].startswith("Notice: ")


def test_all_racers_as_json(capsys):
    race(surface="x^2", optimisers="all", steps=20, json=True)
    shown = json.loads(capsys.readouterr().out)
    assert shown["surface"] == "parabola" and len(shown["runs"]) == 24
    race(surface="saddle", optimisers="all", steps=20, json=True)
    names = {run["optimiser"] for run in json.loads(capsys.readouterr().out)["runs"]}
    assert "newton" in names and "gauss-newton" not in names


def test_a_folder_takes_everything_and_nothing_is_overwritten_unasked(tmp_path, capsys):
    folder = tmp_path / "out"
    race(surface="ravine", optimisers="sgd,adam", steps=30, output=folder)
    files = sorted(path.name for path in folder.iterdir())
    assert files == ["race-ravine.gif", "race-ravine.json", "race-ravine.png", "race-ravine.svg"]
    assert json.loads((folder / "race-ravine.json").read_text())["steps"] == 30
    with pytest.raises(GradatimError, match="--force"):
        race(surface="ravine", steps=30, output=folder)
    race(surface="ravine", optimisers="sgd", steps=5, output=folder / "race-ravine.svg", force=True)
    with pytest.raises(GradatimError, match="expected a folder"):
        race(surface="ravine", output=tmp_path / "race.jpg")
    assert "wrote" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--surface", "bale"], "received 'bale'"),
        (["--optimisers", "sdg"], "received 'sdg'"),
        (["--learning-rate", "adam=-1"], "positive number"),
        (["--learning-rate", "0.1,0.2"], "each once"),
        (["--start", "-1"], "2 finite numbers"),
        (["--start", "a,b"], "such as 1,1.5"),
        (["--steps", "many"], "steps"),
    ],
)
def test_mistakes_are_one_line_and_exit_code_2(words, says):
    program = "import sys; sys.argv = ['gradatim', 'race', *sys.argv[1:]]; from gradatim.cli import main; main()"
    result = subprocess.run([sys.executable, "-c", program, *words], capture_output=True, text=True, check=False)
    assert result.returncode == 2 and says in result.stderr
    assert result.stderr.count("\n") == 1 and result.stdout == ""


def test_a_start_may_begin_with_a_minus():
    program = "import sys; sys.argv = ['gradatim', 'race', *sys.argv[1:]]; from gradatim.cli import main; main()"
    words = ["--start", "-1,0.5", "--steps", "3", "--optimizers", "sgd"]
    result = subprocess.run([sys.executable, "-c", program, *words], capture_output=True, text=True, check=False)
    assert result.returncode == 0 and "from (-1, 0.5)" in result.stdout


def test_rates_and_points_are_read():
    assert parse_rates("adam=0.1, sgd=1e-3") == {"adam": 0.1, "sgd": 0.001}
    assert parse_point("-1,2.5") == [-1.0, 2.5]
