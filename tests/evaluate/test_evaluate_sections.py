"""Sections that a task adds to the report: drawn, cut to size, and escaped."""

import json

from gradatim.evaluate.report import build_report
from gradatim.evaluate.sections import MOST_ROWS, draw_sections

SECTION = {
    "title": "Forecasts & more",
    "text": ["one sentence", "another"],
    "items": [
        {"kind": "lines", "title": "sales <b>", "x": {"label": "month"}, "y": {"label": "value"}, "series": [
            {"name": "true", "x": [1, 2, 3], "y": [1.0, None, 2.0]},
            {"name": "forecast", "x": [3, 4], "y": [2, 2.5], "low": [1, 1.5], "high": [3, 3.5], "dashed": True}]},
        {"kind": "heatmap", "title": "alignment", "rows": ["das", "Haus"], "columns": ["the", "house"],
         "values": [[0.9, 0.1], [0.2, 0.8]], "note": "darker is more"},
        {"kind": "table", "columns": ["name", "MASE"], "rows": [["<script>", 0.5]] * 100},
        {"kind": "marked", "parts": [{"text": "Rome", "label": "place"}, {"text": "<i>fell</i>", "weight": 0.7},
                                     {"text": "badly", "wrong": True}]},
        {"kind": "unheard of"},
    ],
}  # fmt: skip


def test_what_is_drawn_and_what_is_written_stand_in_the_page_escaped() -> None:
    page = build_report({"title": "t", "task": "forecasting", "sections": [json.loads(json.dumps(SECTION))]})
    assert "<h2>Forecasts &amp; more</h2>" in page and "One sentence." in page
    assert page.count('class="chart"') == 2
    assert "<script>" not in page and "&lt;script&gt;" in page and "&lt;i&gt;fell&lt;/i&gt;" in page
    assert '<small>place</small>' in page and "--s:70%" in page and 'class="word wrong"' in page


def test_lists_are_cut_to_what_a_page_can_show() -> None:
    table = draw_sections([SECTION])[0]["items"][2]
    assert len(table["rows"]) == MOST_ROWS
    assert len(SECTION["items"][2]["rows"]) == 100  # type: ignore[index]  # the facts keep all


def test_damaged_values_leave_a_picture_all_the_same() -> None:
    items = [{"kind": "lines"}, {"kind": "heatmap", "rows": ["a"], "columns": [], "values": [[1, 2]]},
             {"kind": "marked"}, {"kind": "table"}]
    shown = draw_sections([{"title": "empty", "items": items}])[0]["items"]
    assert [bool(entry.get("svg")) for entry in shown] == [True, True, False, False]
