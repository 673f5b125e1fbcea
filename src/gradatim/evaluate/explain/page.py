"""Explanations as one offline HTML page: bars for columns, heat over pictures, coloured words; no script."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from gradatim.data.codecs.series_cells import ENDINGS, read_series
from gradatim.data.table import Table
from gradatim.errors import CellError
from gradatim.evaluate.explain.explanation import METHODS, Explanation
from gradatim.evaluate.explain.heat import heat_over, heat_uri, shown_picture
from gradatim.evaluate.series_drawing import series_uri, shortened
from gradatim.evaluate.sound_drawing import coloured, room, sound_uri, spectrogram_of
from gradatim.evaluate.thumbnails import picture_uri, plain

LONGEST_TEXT = 4000
MOST_IMAGE_BYTES = 1_200_000  # of all explanations in one page


def explanation_page(explanations: Sequence[Explanation], *, title: str = "Explanation", table: Table | None = None
                     ) -> str:
    """The page. table: where pictures are read from; cells that hold a picture themselves need none."""
    from gradatim.evaluate.report import page_environment

    folder = None if table is None else table.folder
    shown = views([_cells_and_json(explanation) for explanation in explanations], folder, files=table is not None)
    methods = list(dict.fromkeys(explanation.method for explanation in explanations))
    return page_environment().get_template("explanation.html").render(
        title=title, explanations=shown, methods=[METHODS[name] for name in methods],
        source="" if table is None else table.source)


def _cells_and_json(explanation: Explanation) -> dict[str, Any]:
    """JSON values, but with the cells and the heat as they are."""
    plain_values = explanation.to_json()
    for entry, part in zip(plain_values["parts"], explanation.parts):
        entry |= {"cell": part.cell, "heat": part.heat}
    return plain_values


def views(explanations: Sequence[Mapping[str, Any]], folder: Path | None, *, files: bool) -> list[dict[str, Any]]:
    """Explanations as JSON values made ready for the template: bars between −1 and 1, words with shares, pictures."""
    spent, found = 0, []
    for explanation in explanations:
        parts = []
        most = max((abs(part["total"]) for part in explanation["parts"] if part.get("total") is not None), default=0.0)
        for part in explanation["parts"]:
            total = part.get("total")
            entry: dict[str, Any] = {
                **part, "bar": None if total is None or most == 0 else total / most, "words": word_views(part),
                "text": plain(part["cell"], 160) if part.get("cell") is not None else "", "image": "", "heat_image": "",
            }
            if part["kind"] in ("image", "audio", "series") and spent < MOST_IMAGE_BYTES:
                entry |= _pictures(part, folder, files)
                spent += len(entry["image"]) + len(entry["heat_image"])
            parts.append(entry)
        found.append({**explanation, "parts": parts, "method_name": METHODS[explanation["method"]][0]})
    return found


def word_views(part: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Each piece of the text with a share between −1 and 1 of the strongest."""
    words = [(str(text), float(score)) for text, score in part.get("words") or []]
    most = max((abs(score) for _, score in words), default=0.0)
    found, length = [], 0
    for text, score in words:
        length += len(text)
        if length > LONGEST_TEXT:
            found.append({"text": "…", "share": 0.0, "score": 0.0})
            break
        found.append({"text": plain_piece(text), "share": score / most if most else 0.0, "score": score})
    return found


def plain_piece(text: str) -> str:
    """A piece of text without control characters, its spaces kept."""
    return "".join(c if c.isprintable() or c in " \n\t" else "\N{REPLACEMENT CHARACTER}" for c in text)


def _is_file(cell: Any) -> bool:
    return isinstance(cell, str) and cell.strip().lower().endswith(ENDINGS)


def _series_drawn(part: Mapping[str, Any], cell: Any, folder: Path | None) -> dict[str, str]:
    """The lines with what speaks for the answer behind them."""
    heat = part.get("heat")
    try:
        values = read_series(cell, folder)
    except CellError:
        values = None
    if values is None:
        return {"image": "", "text": plain(part.get("cell"), 80)}
    strips = None if heat is None else shortened(np.atleast_2d(np.asarray(heat, dtype=np.float64)))
    channels = f", {len(values)} channels" if len(values) > 1 else ""
    return {"image": series_uri(values, strips), "text": f"{values.shape[1]:,} steps{channels}"}


def _pictures(part: Mapping[str, Any], folder: Path | None, files: bool) -> dict[str, str]:
    cell, heat = part.get("cell"), part.get("heat")
    readable = cell is not None and (files or not isinstance(cell, str)) and not str(cell).startswith("<")
    if part["kind"] == "series":
        return _series_drawn(part, cell if readable or not _is_file(cell) else None, folder)
    if part["kind"] == "audio":
        return _sound_drawn(part, cell if readable else None, folder)
    picture = shown_picture(cell, folder) if readable else None
    found = {"image": "" if picture is None else picture_uri(picture, side=224)}
    if heat is not None:
        found["heat_image"] = heat_uri(picture, heat)
    return found


def _sound_drawn(part: Mapping[str, Any], cell: Any, folder: Path | None) -> dict[str, str]:
    """The spectrogram, and once more in grey under what speaks for the answer, both with seconds and kilohertz."""
    heat, hertz = part.get("heat"), float(part.get("hertz") or 8000.0)
    seconds = None if part.get("seconds") is None else float(part["seconds"])
    text = plain(part.get("cell"), 80) if part.get("cell") is not None else ""
    drawn = None if cell is None else spectrogram_of(cell, folder, seconds=seconds, hertz=hertz)
    if drawn is None:
        return {"image": "", "text": text}
    values, wide, whole = drawn
    size = room(2)
    raster = coloured(values, size)
    found = {"image": sound_uri(raster, wide, hertz), "text": f"{text} {whole:.2f} s".strip()}
    if heat is not None:
        over = heat_over(np.asarray(heat, dtype=np.float64), raster, wide / (seconds or wide))
        found["heat_image"] = sound_uri(over, wide, hertz)
    return found
