"""Pictures: what must be in them is there, in light and dark; animations have their frames; labels do not collide."""

import xml.etree.ElementTree as ElementTree
from itertools import pairwise

import numpy as np
import pytest
from PIL import Image

from gradatim.autodiff.race.pictures import DARK, LIGHT, SENTINELS, draw, power_of_ten, style, svg_text
from gradatim.autodiff.race.race import USUAL, race
from gradatim.errors import GradatimError

EIGHT = (*USUAL, "lbfgs", "newton")


def contrast(one: str, other: str) -> float:
    """The ratio of WCAG 2."""

    def luminance(colour: str) -> float:
        parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
        linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        return float(np.dot(linear, [0.2126, 0.7152, 0.0722]))

    high, low = sorted((luminance(one), luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def test_svg_is_whole_names_everybody_and_follows_the_theme():
    done = race("beale", EIGHT, steps=120)
    text = svg_text(done)
    root = ElementTree.fromstring(text)
    words = {element.text.strip() for element in root.iter() if element.tag.endswith("text") and element.text}
    assert {*EIGHT, "start", "minimum", "beale", done.surface.formula} <= words
    assert {run.what_happened for run in done.runs} <= words
    assert "prefers-color-scheme: dark" in text and not any(colour in text for colour in SENTINELS.values())
    assert "<script" not in text and "mathdefault" not in text and text == svg_text(done)
    assert all(f"--c{place}" in text for place in range(8))
    assert len(text) < 600_000


@pytest.mark.parametrize("theme", [LIGHT, DARK], ids=["light", "dark"])
def test_lines_stand_out_from_the_paper(theme):
    for name in ("ink", "muted"):
        assert contrast(theme[name], theme["paper"]) > 4.5
    for place in range(8):
        assert contrast(theme[f"c{place}"], theme["paper"]) > 2.9


@pytest.mark.parametrize("dark", [False, True])
def test_png_has_its_paper_and_its_size(tmp_path, dark):
    path = race("himmelblau", USUAL, steps=60).plot(tmp_path / "deep" / "race.png", dark=dark)
    with Image.open(path) as picture:
        assert picture.width > 700 and picture.height > 1000
        corner = "#{:02x}{:02x}{:02x}".format(*picture.convert("RGB").getpixel((1, 1)))
    assert corner == (DARK if dark else LIGHT)["paper"]


def test_animation_has_its_frames_and_moves(tmp_path):
    done = race("beale", ("sgd", "momentum", "adam"), learning_rate=0.01, steps=100)
    path = done.animate(tmp_path / "race.gif", frames=12)
    with Image.open(path) as picture:
        assert picture.n_frames == 12 and picture.info["loop"] == 0
        frames = []
        for place in range(12):
            picture.seek(place)
            frames.append(np.asarray(picture.convert("L"), dtype=float))
    moved = [np.abs(one - other).mean() for one, other in pairwise(frames)]
    assert min(moved) > 0
    assert np.abs(frames[-1] - frames[0]).mean() > max(moved) / 2
    assert path.stat().st_size < 1_000_000


def test_labels_do_not_cover_one_another():
    for surface in ("beale", "himmelblau"):
        with style():
            drawn, moving = draw(race(surface, EIGHT), LIGHT)
            boxes = [text.get_window_extent() for text in moving.words]
            assert len(boxes) >= 2
            ground = drawn.axes[0].get_window_extent()
        for place, box in enumerate(boxes):
            assert ground.x0 <= box.x0 and box.x1 <= ground.x1 and ground.y0 <= box.y0 and box.y1 <= ground.y1
            assert not any(box.overlaps(other) for other in boxes[place + 1 :])


def test_one_dimension_one_racer_all_racers_and_the_diverged_are_drawn(tmp_path):
    race("parabola", USUAL, steps=30).plot(tmp_path / "line.svg")
    race("x^2", ["sgd"], learning_rate=1.2, steps=30).plot(tmp_path / "away.png")
    race("parabola", ["newton"], steps=1).animate(tmp_path / "one.gif", frames=3)
    race("beale", ["sgd", "momentum"], learning_rate=5.0, start=(4.0, 4.0), steps=30).plot(tmp_path / "all.png")
    assert race("saddle", USUAL, start=(9.0, 0.5), steps=5)._repr_svg_().startswith("<svg")


def test_names_of_files_are_checked(tmp_path):
    done = race("parabola", ["sgd"], steps=3)
    with pytest.raises(GradatimError, match=r"\.svg or \.png"):
        done.plot(tmp_path / "race.pdf")
    with pytest.raises(GradatimError, match=r"\.gif"):
        done.animate(tmp_path / "race.mp4")
    with pytest.raises(GradatimError, match="frames"):
        done.animate(tmp_path / "race.gif", frames=1)
    assert list(tmp_path.iterdir()) == [] and power_of_ten(1e-8) == "10⁻⁸"
