"""Drawings of series: numbers alone, whatever the cell holds."""

import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest

from gradatim.evaluate.series_drawing import MOST_STRIPS, series_svg, shortened
from gradatim.evaluate.thumbnails import view_cell


@pytest.mark.parametrize("values", [
    np.zeros((1, 1)), np.full((2, 5), np.nan), np.arange(4000.0)[None], np.random.default_rng(0).normal(size=(9, 30)),
    np.array([[1.0, np.nan, 2.0]]), np.array([[1e300, -1e300]]),
])
def test_every_series_draws_as_well_formed_svg(values: np.ndarray) -> None:
    root = ElementTree.fromstring(series_svg(values, np.ones((len(values), 3))))
    paths = [node.get("d", "") for node in root if node.tag.endswith("path")]
    assert len(paths) <= 2 * MOST_STRIPS and not any(word in "".join(paths) for word in ("nan", "inf", "e+"))


def test_gaps_break_the_line_and_heat_has_two_colours() -> None:
    drawn = series_svg(np.array([[1.0, 2.0, np.nan, 4.0, 5.0]]), np.array([[1.0, -0.5, 0.0]]))
    assert drawn.count("M") == 3 and "#1f5fbe" in drawn and "#de7814" in drawn


def test_long_series_keep_their_peaks() -> None:
    values = np.zeros((1, 10_000))
    values[0, 7_777] = 1.0
    lines = series_svg(values).split('d="')[-1]
    heights = {float(word.split()[1].split("h")[0]) for word in lines.split('"')[0].replace("M", "L").split("L")[1:]}
    assert len(heights) == 2


def test_shortened_heat_keeps_its_mean() -> None:
    heat = np.random.default_rng(0).normal(size=(2, 900))
    np.testing.assert_allclose(shortened(heat, 90).mean(1), heat.mean(1))


def test_cells_are_shown_with_their_numbers_and_text_never_gets_in() -> None:
    view = view_cell("<b>", "series", "1 2 ? 4", None)
    assert view.image.startswith("data:image/svg+xml;base64,") and view.note == "4 steps, 1 to 4, 1 missing"
    hostile = view_cell("c", "series", "<script>alert(1)</script>", None)
    assert not hostile.image and "expected" in hostile.note
