"""Scores of boxes and points: against loops over rows, and where there is nothing to score; marks on pictures."""

import json
import re

import numpy as np
import pytest
from PIL import Image

from gradatim.evaluate.marks import CASING, PREDICTED, TRUE, draw_marks, overlay
from gradatim.evaluate.metrics import METRICS, metric_value
from gradatim.evaluate.placing import LANDMARKS, LOCALISATION, score_placing
from gradatim.evaluate.report import build_report


def made_boxes(rows: int = 60, classes: int = 3) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(0)
    there = random.random(rows) < 0.8
    box = np.column_stack([random.uniform(0.3, 0.7, (rows, 2)), random.uniform(0.1, 0.4, (rows, 2))])
    labels = np.column_stack(
        [
            there,
            np.where(there[:, None], box, np.nan),
            np.where(there, random.integers(0, classes, rows), -1),
            np.full(rows, 100.0),
        ]
    )
    answer = np.column_stack(
        [random.random(rows), box + random.normal(0, 0.05, box.shape), random.dirichlet(np.ones(classes), rows)]
    )
    return labels, answer


def one_overlap(first: np.ndarray, second: np.ndarray) -> float:
    (x, y, w, h), (u, v, a, b) = first, second
    across = min(x + w / 2, u + a / 2) - max(x - w / 2, u - a / 2)
    down = min(y + h / 2, v + b / 2) - max(y - h / 2, v - b / 2)
    shared = max(across, 0) * max(down, 0)
    return shared / (w * h + a * b - shared)


def test_boxes_equal_a_loop_over_rows() -> None:
    labels, answer = made_boxes()
    found: dict[str, list[float]] = {name: [] for name in LOCALISATION}
    for label, said in zip(labels, answer):
        there, seen = label[0] == 1, said[0] > 0.5
        shared = one_overlap(label[1:5], said[1:5]) if there and seen else 0.0
        right = int(said[5:].argmax()) == int(label[5])
        found["object_accuracy"].append(there == seen)
        found["localised"].append((shared > 0.5 and right) if there else not seen)
        if there:
            found["iou"].append(shared)
            found["iou50"].append(shared > 0.5)
            found["box_class_accuracy"].append(right)
    scores = score_placing("localisation", labels, answer, ["a", "b", "c"])["metrics"]
    for name, values in found.items():
        assert scores[name]["value"] == pytest.approx(np.mean(values))
        assert metric_value(name, labels, answer) == pytest.approx(np.mean(values))
        assert scores[name]["low"] < scores[name]["value"] < scores[name]["high"]
        assert METRICS[name].task == "localisation"


def test_points_equal_a_loop_over_rows() -> None:
    random = np.random.default_rng(1)
    true = random.random((50, 3, 2))
    seen = random.random((50, 3)) < 0.7
    sides = random.uniform(50, 300, 50)
    said = np.concatenate([true + random.normal(0, 0.04, true.shape), random.random((50, 3, 1))], axis=2)
    labels = np.column_stack([np.concatenate([true, seen[..., None]], axis=2).reshape(50, -1), sides])
    scores = score_placing("landmarks", labels, said.reshape(50, -1))["metrics"]
    distances = [
        (np.hypot(*(said[row, p, :2] - true[row, p])), sides[row])
        for row in range(50)
        for p in range(3)
        if seen[row, p]
    ]
    expected = {
        "normalised_distance": np.mean([d for d, _ in distances]),
        "pixel_distance": np.mean([d * side for d, side in distances]),
        "pck": np.mean([d < 0.05 for d, _ in distances]),
        "seen_accuracy": np.mean((said[..., 2] > 0.5) == seen),
    }
    assert set(expected) == set(LANDMARKS)
    for name, value in expected.items():
        assert scores[name]["value"] == pytest.approx(value)
        assert metric_value(name, labels, said.reshape(50, -1)) == pytest.approx(value)


def test_metrics_that_nothing_defines_are_left_out() -> None:
    labels, answer = made_boxes()
    empty = labels.copy()
    empty[:, 0], empty[:, 1:5] = 0, np.nan
    assert set(score_placing("localisation", empty, answer)["metrics"]) == {"object_accuracy", "localised"}
    assert np.isnan(metric_value("iou", empty, answer))
    assert "box_class_accuracy" not in score_placing("localisation", labels, answer[:, :5])["metrics"]
    assert json.loads(json.dumps(score_placing("localisation", labels, answer)))


MARKS = {
    "column": "picture",
    "boxes": [
        {"of": "true", "corners": [10, 20, 60, 80], "label": "<b>cat</b>"},
        {"of": "predicted", "corners": [12, 22, 66, 70], "label": "dog"},
    ],
    "points": [{"of": "true", "at": [5, 5], "label": "1"}, {"of": "predicted", "at": [9, 8], "label": "1"}],
}


def test_the_overlay_holds_numbers_alone() -> None:
    svg = overlay(MARKS, 100, 90)
    assert svg.count("<rect") == 4 and svg.count("<circle") == 2 and svg.count("<line") == 2
    assert 'viewBox="0 0 100 90"' in svg and "cat" not in svg and "dasharray" in svg
    assert overlay({}, 9, 9) == overlay(None, 9, 9) == ""
    for damaged in (
        {"boxes": [{"of": "true", "corners": ["<script>", 1, 2, 3]}]},
        {"boxes": [{"corners": [1, 2, 3, 4]}]},
        {"boxes": 3},
        {"points": [{"of": "true", "at": [1]}]},
        {"boxes": ["x"]},
    ):
        assert overlay(damaged, 9, 9) == ""


def test_marks_in_pixels_lie_on_the_edges_of_the_box() -> None:
    drawn = np.asarray(draw_marks(Image.new("RGB", (100, 90), "white"), {"boxes": MARKS["boxes"][:1]}, scale=2.0))
    colours = {
        name: tuple(int(text[place : place + 2], 16) for place in (1, 3, 5))
        for name, text in (("true", TRUE), ("casing", CASING), ("predicted", PREDICTED))
    }
    true = (drawn == colours["true"]).all(-1)
    assert drawn.shape == (180, 200, 3)
    assert true[100, 20] and true[100, 119] and true[159, 60] and not true[100, 60]
    assert not (drawn == colours["predicted"]).all(-1).any()


def test_a_report_draws_marks_and_escapes_words() -> None:
    pixels = np.zeros((90, 100, 3), np.uint8)
    entry = {
        "row": 3,
        "line": 4,
        "loss": 1.0,
        "true": "<b>cat</b> [10, 20, 60, 80]",
        "predicted": "dog",
        "probability": 0.8,
        "marks": MARKS,
        "cells": [{"column": "picture", "kind": "image", "cell": pixels}],
    }
    page = build_report({"title": "t", "task": "localisation", "worst": [entry]})
    assert page.count('<svg class="marks"') == 1 and "<b>cat</b>" not in page and "Predicted" in page
    bare = build_report({"title": "t", "task": "localisation", "worst": [{**entry, "marks": None}]})
    assert '<svg class="marks"' not in bare and not re.search(r'class="key', bare.split("</style>")[1])
