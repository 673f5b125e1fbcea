"""`gradatim explain` on a tiny run: text, JSON, page, picture, mistakes."""

import json

import numpy as np
import pytest

import gradatim as gd
from gradatim.cli.explain import explain
from gradatim.errors import GradatimError


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("explained")
    noise = np.random.default_rng(1)
    lines = ["x,words,y"]
    for row in range(60):
        high = row % 2
        words, label = ("a fine day", "yes") if high else ("a <sad> day", "no")
        lines.append(f"{noise.normal(2 * high):.3f},{words},{label}")
    (folder / "train.csv").write_text("\n".join(lines))
    gd.fit(folder / "train.csv", target="y", output=folder / "run", minutes=0.2, ledger="none",
           kinds={"words": "text"}, estimator="logistic.LogisticRegression")
    return folder / "run"


def test_text_and_json(run, capsys):
    explain(run, 3)
    printed = capsys.readouterr().out
    assert "line 5" in printed and "words:" in printed and "log odds" in printed
    explain(run, 3, 4, method="exact", json=True)
    found = json.loads(capsys.readouterr().out)
    assert [entry["row"] for entry in found] == [3, 4]
    total = sum(part["total"] for part in found[0]["parts"])
    assert total == pytest.approx(found[0]["score"] - found[0]["reference"], rel=1e-2)


def test_files(run, tmp_path, capsys):
    explain(run, 2, 3, output=tmp_path / "why.html")
    page = (tmp_path / "why.html").read_text()
    assert "&lt;sad" in page or "sad" in page
    assert "<sad>" not in page and "Why run answered so" in page
    explain(run, 2, output=tmp_path / "why.png")
    assert (tmp_path / "why.png").read_bytes().startswith(b"\x89PNG")
    explain(run, 2, table=str(run.parent / "train.csv"), output=tmp_path / "why.json")
    assert json.loads((tmp_path / "why.json").read_text())[0]["row"] == 2


@pytest.mark.parametrize(
    ("rows", "options", "says"),
    [
        ((), {}, "at least one row"), ((999,), {}, "0 to 59"), ((1,), {"method": "grad-cam"}, "network"),
        ((1,), {"method": "guess"}, "removal"), ((1,), {"of": "maybe"}, "yes"),
        ((1,), {"table": "nothing.csv"}, "nothing"),
    ],
)  # fmt: skip
def test_mistakes_are_one_line(run, rows, options, says):
    with pytest.raises(GradatimError, match=says) as caught:
        explain(run, *rows, **options)
    assert "\n" not in str(caught.value)


def test_outputs_are_checked_first(run, tmp_path):
    (tmp_path / "there.html").write_text("mine")
    for output, says in (("there.html", "exists"), ("why.pdf", "ending")):
        with pytest.raises(GradatimError, match=says):
            explain(run, 1, output=tmp_path / output)
    with pytest.raises(GradatimError, match="one row"):
        explain(run, 1, 2, output=tmp_path / "why.png")
    assert (tmp_path / "there.html").read_text() == "mine"
