"""Sections of a report that a task adds: headed text, tables, lines, matrices and marked words, from JSON values.

A section is {"title", "text": sentence or sentences, "items": [item]}; an item says its "kind", one of `DRAWN` or
"table" {"columns", "rows", "note"} or "marked" {"parts": [{"text", "label", "weight", "wrong"}], "note"}. What the
template writes is escaped there; what is drawn here escapes its own text.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.colors import to_rgba
from matplotlib.patches import Rectangle

from gradatim.evaluate.svg import Ink, drawing, figure, short, to_svg

UNPRINTABLE = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202d\u202e\ud800-\udfff\ufffe\uffff]")
MOST_TEXT = 2000
MOST_ITEMS, MOST_ROWS, MOST_PARTS, MOST_CELLS = 40, 60, 1500, 40
COLOURS = (Ink.accent, Ink.second, Ink.third, Ink.bad, Ink.muted)


def lines(item: Mapping[str, Any], name: str) -> str:
    """Curves over a common axis, each with a band where it has low and high; dashed ones are what they compare with.

    item: {"title", "x": {"label"}, "y": {"label"}, "series": [{"name", "x", "y", "low", "high", "dashed"}]}; None in
    y leaves a gap.
    """
    with drawing():
        drawn = figure(6.4, 2.9)
        axes = drawn.subplots()
        for place, series in enumerate(item.get("series") or []):
            colour = COLOURS[place % len(COLOURS)]
            x, y = _numbers(series.get("x")), _numbers(series.get("y"))
            size = min(len(x), len(y))
            axes.plot(x[:size], y[:size], color=colour, label=short(series.get("name", ""), 40),
                      linestyle=(0, (4, 2.5)) if series.get("dashed") else "-",
                      marker="o" if 0 < np.isfinite(y[:size]).sum() < 4 else "", markersize=3)
            low, high = _numbers(series.get("low")), _numbers(series.get("high"))
            if size and len(low) >= size and len(high) >= size:
                axes.fill_between(x[:size], low[:size], high[:size], color=colour, alpha=0.18, linewidth=0)
        axes.set_xlabel(short((item.get("x") or {}).get("label", ""), 60))
        axes.set_ylabel(short((item.get("y") or {}).get("label", ""), 60))
        axes.grid(axis="x", visible=False)
        if len(item.get("series") or []) > 1:  # above the lines, where it hides none
            axes.legend(loc="lower left", bbox_to_anchor=(-0.01, 1.0), ncols=3, borderaxespad=0.2)
        return to_svg(drawn, name=name, title=short(item.get("title", "Lines"), 100))


def heatmap(item: Mapping[str, Any], name: str) -> str:
    """A matrix of shares from 0 to 1, darker is more: {"title", "rows", "columns", "values"}."""
    rows, columns = list(item.get("rows") or [])[:MOST_CELLS], list(item.get("columns") or [])[:MOST_CELLS]
    values = np.zeros((len(rows), len(columns)))
    for place, row in enumerate(list(item.get("values") or [])[: len(rows)]):
        found = _numbers(row)[: len(columns)]
        values[place, : len(found)] = np.nan_to_num(found)
    with drawing():
        drawn = figure(1.3 + 0.27 * max(len(columns), 3), 1.0 + 0.25 * max(len(rows), 2))
        axes = drawn.subplots()
        for row in range(len(rows)):
            for column in range(len(columns)):
                share = float(np.clip(values[row, column], 0, 1))
                axes.add_patch(Rectangle((column - 0.47, row - 0.47), 0.94, 0.94, linewidth=0,
                                         facecolor=Ink.accent, alpha=0.06 + 0.94 * share))
        axes.set_xlim(-0.6, len(columns) - 0.4)
        axes.set_ylim(len(rows) - 0.4, -0.6)
        axes.set_xticks(range(len(columns)), [short(label, 16) for label in columns], rotation=60, ha="left",
                        rotation_mode="anchor")
        axes.set_yticks(range(len(rows)), [short(label, 16) for label in rows])
        axes.xaxis.tick_top()
        axes.tick_params(length=0, labelcolor=to_rgba(Ink.ink))
        for spine in axes.spines.values():
            spine.set_visible(False)
        axes.grid(visible=False)
        return to_svg(drawn, name=name, title=short(item.get("title", "Matrix"), 100))


DRAWN: dict[str, Callable[[Mapping[str, Any], str], str]] = {"lines": lines, "heatmap": heatmap}


def draw_sections(sections: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The sections with "svg" beside each item that is drawn, and every list cut to what a page can show."""
    shown = []
    for place, section in enumerate(sections):
        items = []
        for number, item in enumerate(list(section.get("items") or [])[:MOST_ITEMS]):
            kind, entry = str(item.get("kind")), dict(item)
            if kind in DRAWN:
                entry["svg"] = DRAWN[kind](item, f"section{place}-{number}")
            elif kind == "table":
                entry["rows"] = list(item.get("rows") or [])[:MOST_ROWS]
            elif kind == "marked":
                entry["parts"] = [_marked(part, item) for part in list(item.get("parts") or [])[:MOST_PARTS]]
            items.append(entry)
        shown.append({**section, "items": items})
    return shown


def _marked(part: Mapping[str, Any], item: Mapping[str, Any]) -> dict[str, Any]:
    """A word with its place among the labels' colours and the strength of its shade in percent."""
    labels = list(dict.fromkeys(str(p["label"]) for p in item.get("parts") or [] if p.get("label")))
    weight = part.get("weight")
    strength = 0 if weight is None else round(100 * float(np.clip(float(weight), 0, 1)))
    label = part.get("label")
    text = UNPRINTABLE.sub("\N{REPLACEMENT CHARACTER}", str(part.get("text", "")))[:MOST_TEXT]
    return {**part, "text": text, "colour": labels.index(str(label)) % 6 if label else None, "strength": strength}


def _numbers(values: Any) -> np.ndarray:
    """Numbers of a JSON list, NaN for null."""
    return np.array([np.nan if value is None else float(value) for value in values or []], dtype=np.float64)
