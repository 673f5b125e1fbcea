"""What is gathered into an input at fit is gathered again wherever the saved run reads a table."""

import io
import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal

import gradatim as gd
from gradatim.cli import app
from gradatim.errors import DataError

FORMS = {
    "long": "long:person,time,wave",  # a table of its own may have a column of the new name
    "points": ",".join(f"{axis}{place}" for place in range(6) for axis in "xy"),
}


def raw(form: str, people: range) -> pl.DataFrame:
    """Slow and fast waves, a row a moment or a row a person."""
    rows = []
    for person in people:
        speed, source = (0.3, 0.9)[person % 2], np.random.default_rng(person)
        wave = (np.sin(speed * np.arange(12) + source.uniform(0, 6)) + 0.1 * source.normal(size=12)).round(4)
        same = {"person": f"p{person}", "label": ("slow", "fast")[person % 2]}
        if form == "points":
            rows.append({**same, **dict(zip(FORMS["points"].split(","), wave.tolist()))})
        else:
            name = FORMS[form].rpartition(",")[2]
            rows += [{**same, "time": moment, name: value} for moment, value in enumerate(wave.tolist())]
    return pl.DataFrame(rows)


@pytest.fixture(scope="module", params=FORMS)
def run(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, gd.Run, Path]:
    form, folder = request.param, tmp_path_factory.mktemp("gathered")
    raw(form, range(60)).write_csv(folder / "train.csv")
    raw(form, range(100, 110)).write_csv(folder / "new.csv")
    run = gd.fit(folder / "train.csv", target="label", gather={"wave": FORMS[form]}, kinds={"wave": "series"},
                 ignore=["person"], estimator="logistic.LogisticRegression", minutes=1, output=folder / "run",
                 ledger="none", test=folder / "new.csv")
    return form, run, folder


def test_a_new_raw_table_is_answered_as_the_gathered_one(run: tuple[str, gd.Run, Path]) -> None:
    form, fitted, folder = run
    loaded, new = gd.load(folder / "run"), raw(form, range(100, 110))
    answers = loaded.predict(new, id="person").frame
    assert answers["person"].to_list() == [f"p{person}" for person in range(100, 110)]
    gathered = loaded.read(new).frame
    assert gathered.height == 10 and "wave" in gathered.columns
    for table in (gathered, gathered.drop("label"), new.drop("label"), new.sample(fraction=1, shuffle=True, seed=1)):
        again = loaded.predict(table, id="person").frame
        assert_frame_equal(again.drop("row").sort("person"), answers.drop("row").sort("person"))
    accuracy = float((answers["prediction"] == gathered["label"]).mean())
    assert loaded.evaluate(new)["metrics"]["accuracy"]["value"] == pytest.approx(accuracy)
    assert fitted.facts["external_test"]["metrics"]["accuracy"]["value"] == pytest.approx(accuracy)
    apart = loaded.evaluate(new.drop("label"), labels=gathered.select("person", "label"), id="person")
    assert apart["metrics"]["accuracy"]["value"] == pytest.approx(accuracy)
    assert loaded.explain(new, [2])[0].predicted == answers["prediction"][2]
    missing = new.drop([name for name in new.columns if name not in ("person", "label")])
    with pytest.raises(DataError, match=r"missing wave \(wave is gathered from"):
        loaded.predict(missing)


def test_the_command_line_and_what_it_says_of_the_new_table(
    run: tuple[str, gd.Run, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    form, fitted, folder = run
    for words in (["predict", "--id", "person"], ["evaluate"], ["explain", "0", "--json", "--table"]):
        app([words[0], str(folder / "run"), *words[1:], str(folder / "new.csv")], result_action="return_value")
        shown = capsys.readouterr()
        if words[0] == "predict":
            answers = pl.read_csv(io.StringIO(shown.out))
            expected = fitted.predict(raw(form, range(100, 110))).frame
            assert answers["label"].to_list() == expected["prediction"].to_list()
            assert form == "points" or "120 rows gathered into 10 series" in shown.err
        elif words[0] == "explain":
            assert json.loads(shown.out)[0]["predicted"] in ("slow", "fast")
        else:
            assert "accuracy" in shown.out
