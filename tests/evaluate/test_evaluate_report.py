"""The report, its charts and the card: offline, escaped, deterministic, small."""

import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import polars as pl
import pytest
import soundfile
from PIL import Image

from gradatim.data.table import Table
from gradatim.evaluate import charts
from gradatim.evaluate.calibrate import calibration
from gradatim.evaluate.card import model_card
from gradatim.evaluate.report import MOST_PAGE_BYTES, build_report, format_interval, format_number
from gradatim.evaluate.score import score_classification, score_regression
from gradatim.evaluate.thumbnails import plain, view_cell
from gradatim.files import to_json_bytes

EVIL = "<script>alert('$x^2$')</script>\x00\u202e\"&{{7*7}}"


def some_facts(evil: str = "a <b>") -> dict[str, Any]:
    random = np.random.default_rng(0)
    probabilities = random.dirichlet(np.ones(3), 120)
    labels = random.integers(0, 3, 120)
    classes = [evil, "dog", "bus"]
    scores = score_classification(labels, probabilities, classes)
    accuracy = scores["metrics"]["accuracy"]
    cells = [{"column": evil, "kind": "text", "cell": evil}, {"column": "picture", "kind": "image", "cell": "one.png"},
             {"column": "sound", "kind": "audio", "cell": "one.wav"}, {"column": "n", "kind": "number", "cell": None}]
    finding = {"code": "leak", "severity": "error", "column": evil, "evidence": evil, "consequence": evil,
               "remedy": evil, "rows": [1, 2]}
    candidate = {"name": evil, "metric": "accuracy", "value": 0.5, "low": 0.4, "high": 0.6, "seconds": 3.0,
                 "chosen": True, "weight": 1.0, "note": evil}
    return {
        "title": evil, "source": evil, "created": "2025-01-01", "task": "classification", "target": evil,
        "classes": classes, "rows": {"labelled": 500, "test": 120},
        "answer": {"name": evil, "why": evil, "verdict": evil, "notes": [evil]},
        "score": {"metric": "accuracy", **{k: accuracy[k] for k in ("value", "low", "high")}, "rows": 120,
                  "note": evil},
        "schema": [{"name": evil, "kind": "text", "role": "input", "why": [evil], "samples": [evil]}],
        "split_notes": [evil], "findings": [finding, {**finding, "severity": "note"}],
        "candidates": [candidate, {**candidate, "name": "majority", "chosen": False, "value": 0.3}],
        "history": {evil: [{"epoch": e, "loss": 1 / (e + 1), "development_loss": 1.1 / (e + 1)} for e in range(4)]},
        "forecast": {evil: {"line": evil, "reason": evil}}, "plan": {evil: evil}, "scores": scores,
        "test_predictions": {"rows": list(range(120)), "labels": labels.tolist(),
                             "probabilities": probabilities.tolist()},
        "calibration": calibration(labels, probabilities),
        "ledger": [{"change": "all", "input": "", "label": evil, "metric": "accuracy", "value": 0.5, "low": 0.4,
                    "high": 0.6, "milliseconds": 1.0, "sentence": evil}],
        "slices": [{"slice": evil, "column": evil, "rows": 20, "measure": "accuracy", "value": 0.2, "low": 0.1,
                    "high": 0.4, "rest": 0.6, "p": 0.001, "q": 0.01, "significant": True}],
        "worst": [{"row": 1, "line": 2, "true": evil, "predicted": "dog", "probability": 0.9, "cells": cells}],
        "suspects": [{"row": 1, "label": evil, "suggested": evil, "probability_label": 0.1,
                      "probability_suggested": 0.9, "cells": cells}],
        "advice": {"cause": "bias", "sentences": [evil]},
        "problems": [{"code": "image-missing", "message": evil, "column": evil, "row": i, "line": None}
                     for i in range(30)],
        "recipe": {"request": {"source": evil, "test": None, "kinds": {}}}, "provenance": {evil: evil},
        "command": f"gradatim fit {evil}", "uses": [{"source": evil, "metric": "accuracy", "value": 0.5}],
        "seconds": {"total": 12.5},
    }


class Checker(HTMLParser):
    """Collects tags, ids and references; complains about unbalanced elements."""

    void = frozenset({"meta", "img", "br", "link", "input", "hr"})

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.references: list[str] = []
        self.tags: set[str] = set()
        self.attributes: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        for name, value in attrs:
            self.attributes.add(name)
            if name == "id":
                self.ids.append(value or "")
            if name in ("src", "href", "xlink:href", "action", "data"):
                self.references.append(value or "")
        if tag not in self.void:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in self.void:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.open and self.open[-1] == tag, (tag, self.open[-4:])
        self.open.pop()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (40, 60, 3), dtype=np.uint8)).save(tmp_path / "one.png")
    soundfile.write(tmp_path / "one.wav", np.sin(np.arange(8000) / 5), 8000)
    return tmp_path


def table_in(folder: Path) -> Table:
    return Table(pl.DataFrame({"x": [1]}), folder)


def test_everything_strange_is_escaped_and_nothing_is_loaded(folder: Path) -> None:
    page = build_report(some_facts(EVIL), table=table_in(folder))
    seen = Checker()
    seen.feed(page)
    assert seen.open == [] and not seen.tags & {"script", "iframe", "object", "link", "form", "base"}
    assert not any(name.startswith("on") for name in seen.attributes)
    assert len(seen.ids) == len(set(seen.ids))
    assert all(ref.startswith(("#", "data:image/")) for ref in seen.references), seen.references
    assert {ref[1:] for ref in seen.references if ref.startswith("#")} <= set(seen.ids)
    assert not re.search(r"url\((?!#)|@import", page)
    assert "\x00" not in page and "\u202e" not in page and "&lt;script&gt;" in page and "{{7*7}}" in page
    assert len(page.encode()) < 1_000_000
    assert page.count("data:image/") == 4


def test_same_facts_give_the_same_page_also_from_json(folder: Path) -> None:
    import msgspec

    facts = some_facts()
    page = build_report(facts, table=table_in(folder))
    assert build_report(msgspec.json.decode(to_json_bytes(facts)), table=table_in(folder)) == page


@pytest.mark.parametrize("key", sorted(some_facts()))
def test_each_fact_may_be_missing(key: str) -> None:
    facts = {k: v for k, v in some_facts().items() if k not in ("test_predictions", "history")}
    facts.pop(key, None)
    Checker().feed(build_report(facts))
    model_card(facts)


def test_nothing_known_is_still_a_page() -> None:
    page = build_report({})
    assert "<h1>Report</h1>" in page and "<section id=" not in page
    assert model_card({}).startswith("# Model card")


def test_the_always_no_classifier_is_exposed_in_words() -> None:
    """A13 on the page and on the card."""
    labels = np.arange(1000) < 5
    scores = score_classification(labels.astype(int), np.tile([0.99, 0.01], (1000, 1)), ["no", "yes"])
    facts = {"title": "Rare", "task": "classification", "classes": ["no", "yes"], "scores": scores}
    for text in (build_report(facts), model_card(facts)):
        assert "99.5%" in text and "has recall 0%" in text and "Accuracy says little here" in text


def test_regression_report_draws_residuals() -> None:
    random = np.random.default_rng(0)
    labels = random.normal(10, 2, 5000)
    values = labels + random.normal(0, 1, 5000)
    scores = score_regression(labels, values, training_mean=10.0)
    page = build_report({"title": "Prices", "task": "regression", "scores": scores,
                         "score": {"metric": "rmse", **scores["metrics"]["rmse"], "rows": 5000},
                         "test_predictions": {"labels": labels, "values": values}})
    assert "Residuals against predictions" in page and "Predicted against true" in page
    assert "always predicting the mean (10 of training)" in page
    assert len(page) < 800_000


def test_large_runs_stay_under_four_megabytes(folder: Path) -> None:
    random = np.random.default_rng(0)
    classes = [f"class number {c} with a long name" for c in range(300)]
    probabilities = random.dirichlet(np.full(300, 0.02), 3000)
    labels = random.integers(0, 300, 3000)
    facts = some_facts() | {
        "classes": classes, "scores": score_classification(labels, probabilities, classes),
        "test_predictions": {"labels": labels, "probabilities": probabilities},
        "worst": some_facts()["worst"] * 400, "problems": some_facts()["problems"] * 500,
        "findings": some_facts()["findings"] * 50,
    }
    assert len(build_report(facts, table=table_in(folder)).encode()) < MOST_PAGE_BYTES


def test_charts_are_svg_with_real_text_and_page_colours() -> None:
    drawn = charts.confusion([[3, 1], [0, 5]], ["cost $a_1$", "<b>&amp"], name="one")
    tree = ElementTree.fromstring(drawn)
    texts = ["".join(node.itertext()) for node in tree.iter() if node.tag.endswith("text")]
    assert "cost $a_1$" in texts and "<b>&amp" in texts
    assert "var(--accent)" in drawn and not re.search(r"#0[1-9]0[1-9]0[1-9]", drawn)
    assert "font-family" not in drawn and "<metadata" not in drawn and "<style" not in drawn
    assert drawn == charts.confusion([[3, 1], [0, 5]], ["cost $a_1$", "<b>&amp"], name="one")
    other = charts.confusion([[3, 1], [0, 5]], ["a", "b"], name="two")
    assert not set(re.findall(r' id="([^"]+)"', drawn)) & set(re.findall(r' id="([^"]+)"', other))


def test_many_classes_show_their_confusions() -> None:
    matrix = np.eye(30, dtype=int) * 9
    matrix[3, 7] = 5
    drawn = charts.confusion(matrix.tolist(), [f"class {c}" for c in range(30)], name="many")
    assert "class 3 → class 7" in drawn and "5 of 14" in drawn


def test_curves_survive_one_class_ties_and_gaps() -> None:
    ones = np.zeros(20, dtype=int)
    flat = np.full((20, 2), 0.5)
    for draw in (charts.roc, charts.precision_recall):
        assert draw(ones, flat, ["a", "b"], name="x").startswith("<svg")
    assert charts.learning_curves([{"epoch": 0, "loss": None}, {"epoch": 1, "loss": 0.5}], name="x").startswith("<svg")
    assert charts.learning_curves([{"epoch": 0}], name="x") == "" and charts.measures_of([]) == []
    history = [{"epoch": 0, "loss": 1.0, "development_loss": None, "development_accuracy": 0.5}]
    assert charts.measures_of(history) == ["loss", "accuracy"]


def test_thumbnails_show_or_name(folder: Path) -> None:
    picture = view_cell("p", "image", "one.png", folder)
    assert picture.image.startswith("data:image/") and picture.note == "60\N{NO-BREAK SPACE}×\N{NO-BREAK SPACE}40"
    sound = view_cell("s", "audio", "one.wav", folder)
    assert sound.image.startswith("data:image/") and "1.00 s, 8,000 Hz, 1 channel" in sound.note
    array = view_cell("p", "image", np.zeros((8, 8), dtype=np.uint8), None)
    assert array.image.startswith("data:image/png")
    for cell in ("none.png", "../../etc/passwd", "one.wav"):
        failed = view_cell("p", "image", cell, folder)
        assert failed.image == "" and failed.text == cell and failed.note
    (folder / "broken.wav").write_bytes(b"RIFF1234")
    assert view_cell("s", "audio", "broken.wav", folder).image == ""
    soundfile.write(folder / "short.wav", np.zeros(1), 8000)
    assert "silent" in view_cell("s", "audio", "short.wav", folder).note
    assert view_cell("t", "text", None, folder).note == "missing"


def test_a_bomb_is_named_not_decoded(folder: Path) -> None:
    import struct
    import zlib

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    parts = chunk(b"IHDR", header) + chunk(b"IDAT", b"") + chunk(b"IEND", b"")
    (folder / "bomb.png").write_bytes(b"\x89PNG\r\n\x1a\n" + parts)
    view = view_cell("p", "image", "bomb.png", folder)
    assert view.image == "" and view.note


def test_numbers_read_well() -> None:
    assert [format_number(v) for v in (1234567, 0.000123456, 99999.5, float("nan"), True, "x")] == [
        "1,234,567", "0.0001235", "100,000", "–", "True", "x"]
    assert format_interval({"low": 0.1, "high": 0.25}, "accuracy") == "10.0 to 25.0%"
    assert format_interval({"low": None, "high": None}, "rmse") == ""
    assert plain("a\x00b\ud800") == "a\N{REPLACEMENT CHARACTER}b\N{REPLACEMENT CHARACTER}"


def test_card_escapes_and_tells_the_same(folder: Path) -> None:
    text = model_card(some_facts(EVIL))
    assert "<script>" not in text.replace("\\<script\\>", "").split("    gradatim")[0]
    for heading in ("Intended use", "Scores on 120 test rows", "How it was chosen", "Data", "Limits and findings",
                    "What each input is worth", "Reproduction"):
        assert f"## {heading}" in text
    assert "Weaker where" in text and "30 cells with problem `image-missing`" in text
