"""Translation and summarisation from a table to a run: learned, saved, resumed, scored, refused."""

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

import gradatim as gd
import gradatim.run
from gradatim.errors import GradatimError

VERBS = {"open": "öffne", "close": "schließe", "save": "sichere", "delete": "lösche", "find": "finde"}
THINGS = {"file": "Datei", "window": "Fenster", "picture": "Bild", "folder": "Ordner", "page": "Seite", "text": "Text",
          "song": "Lied", "letter": "Brief"}
KINDS = {"red": "rot", "small": "klein", "new": "neu", "old": "alt", "long": "lang"}


def pairs() -> pl.DataFrame:
    """The adjective follows its noun: word for word is not enough."""
    rows = []
    for verb, tu in VERBS.items():
        for kind, art in KINDS.items():
            for thing, ding in THINGS.items():
                number = (len(rows) * 7) % 90 + 10
                rows.append({"english": f"{verb} the {kind} {thing} {number}", "german": f"{ding} {art} {tu} {number}"})
    rows[5]["german"] = rows[9]["english"] = ""
    order = np.random.default_rng(1).permutation(len(rows))
    return pl.DataFrame([rows[place] for place in order])


def fit(frame: Any, **options: Any) -> gd.Run:
    given = {"target": "german", "task": "translation", "kinds": {"english": "text", "german": "text"}, "minutes": 5,
             "epochs": 12, "options": {"width": "48", "learning_rate": "0.01", "batch_tokens": "160", "dropout": "0",
                                        "phrases": "no"}}
    return gd.fit(frame, **{**given, **options})


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> gd.Run:
    folder = tmp_path_factory.mktemp("translation")
    pairs().write_csv(folder / "pairs.csv")
    return fit(folder / "pairs.csv", output=folder / "run")


def test_the_network_learns_the_order_and_beats_its_opponents(run):
    facts = run.facts
    scores = {entry["name"]: entry["value"] for entry in facts["candidates"]}
    assert list(scores) == ["copy of the source", "nearest pair", "word table", "attention"]
    assert scores["attention"] == max(scores.values()) > 60
    assert facts["answer"]["name"] == "attention" and "beats the best baseline" in facts["answer"]["verdict"]
    assert facts["score"]["metric"] == "chrf" and facts["score"]["low"] <= facts["score"]["value"]
    assert facts["scores"]["metrics"]["bleu"]["value"] > 20
    titles = [section["title"] for section in facts["sections"]]
    assert titles == ["Examples", "Where the network looked", "By length", "Worst rows"]
    page = run.report()
    assert "Where the network looked" in page and "<svg" in page
    assert facts["rows"]["unlabelled"] in (1, 2)


def test_saved_and_loaded_it_writes_the_same(run):
    again = gd.load(run.folder)
    asked = pl.DataFrame({"english": ["open the new song 77", None, "close the {x} page 12", "zebra"]})
    said = run.predict(asked).frame["text"].to_list()
    assert again.predict(asked).frame["text"].to_list() == said
    assert said[1] == "" and "77" in said[0]
    scored = again.evaluate(pairs().head(40))
    assert scored["rows"] in (39, 40) and scored["metrics"]["chrf"]["value"] > 50
    assert again.evaluate(pairs().head(40), metric="bleu")["uses"]
    test = pl.read_csv(Path(run.folder) / "predictions" / "test.csv")
    assert test.columns == ["row", "text", "reference"] and len(test) > 10


def test_killed_twice_and_resumed_it_ends_with_the_same_bits(run, tmp_path, monkeypatch):
    """Once while the network of the choice is trained, once while it is trained again on all pairs."""
    from gradatim.train import hooks

    pairs().write_csv(tmp_path / "pairs.csv")
    saves = hooks.Checkpoint.epoch
    for stage, begin in (("translator", lambda: fit(tmp_path / "pairs.csv", output=tmp_path / "run")),
                         ("refit", lambda: gradatim.run.resume(tmp_path / "run"))):

        def killed(self: Any, training: Any, stage: str = stage) -> None:
            saves(self, training)
            if self.folder.name == stage and training.epoch == 5:
                raise KeyboardInterrupt

        monkeypatch.setattr(hooks.Checkpoint, "epoch", killed)
        with pytest.raises(KeyboardInterrupt):
            begin()
    monkeypatch.undo()
    resumed = gradatim.run.resume(tmp_path / "run")
    mine, theirs = (one.artifact.ensemble.members[0].to_state()[1] for one in (run, resumed))
    assert all(np.array_equal(np.asarray(mine[name]), np.asarray(theirs[name])) for name in mine)
    assert [row["loss"] for row in resumed.facts["history"]["attention translator"]] == [
        row["loss"] for row in run.facts["history"]["attention translator"]]


@pytest.mark.parametrize(("options", "message"), [
    ({"options": {"network": "magic"}}, "expected one of attention, transformer, none"),
    ({"options": {"beams": "0"}}, "expected a whole number from 1 to 64"),
    ({"options": {"width": "wide"}}, "expected a whole number from 8"),
    ({"options": {"colour": "red"}}, "expected an option among source, network"),
    ({"options": {"source": "nothing"}}, "expected an input among english"),
    ({"metric": "accuracy"}, "expected one of chrf, bleu"),
])
def test_refuses_in_one_line(options, message):
    with pytest.raises(GradatimError, match=message) as caught:
        fit(pairs().head(60), **options)
    assert "\n" not in str(caught.value)


def test_too_few_pairs_and_two_texts():
    with pytest.raises(GradatimError, match="expected at least 20 pairs"):
        fit(pairs().head(24))
    two = pairs().with_columns(english2=pl.col("english"))
    with pytest.raises(GradatimError, match="option source=COLUMN"):
        fit(two, kinds={"english": "text", "english2": "text", "german": "text"})


def test_summaries_are_compared_with_their_lead():
    rows = [{"document": f"The {kind} {thing} was found. Nobody knew who had lost it. It was number {n}.",
             "summary": f"The {kind} {thing} was found."}
            for n, (kind, thing) in enumerate((k, t) for k in KINDS for t in THINGS)] * 2
    rows = [{**row, "document": f"{row['document']} Case {n}."} for n, row in enumerate(rows)]
    run = fit(pl.DataFrame(rows), target="summary", task="summarisation", options={"network": "none"},
              kinds={"document": "text", "summary": "text"})
    assert run.facts["answer"]["name"] == "first sentence"
    assert run.facts["score"]["metric"] == "rouge_l" and run.facts["score"]["value"] == pytest.approx(100)
    assert run.predict(pl.DataFrame({"document": ["A. B."]})).frame["text"].to_list() == ["A."]
    assert set(run.facts["scores"]["metrics"]) == {"rouge_l", "rouge_1", "chrf"}
    assert run.task.name == "summarisation"


def test_phrases_take_part_and_are_kept_where_they_are_best(tmp_path):
    pairs().write_csv(tmp_path / "pairs.csv")
    run = fit(tmp_path / "pairs.csv", options={"network": "none"}, output=tmp_path / "run")
    scores = {entry["name"]: entry["value"] for entry in run.facts["candidates"]}
    assert run.facts["answer"]["name"] == "phrases" and scores["phrases"] > scores["word table"] + 5
    asked = pl.DataFrame({"english": ["open the new song 77", None, "zebra"]})
    said = run.predict(asked).frame["text"].to_list()
    assert said[0] == "Lied neu öffne 77" and said[1:] == ["", "zebra"]
    assert gd.load(run.folder).predict(asked).frame["text"].to_list() == said
