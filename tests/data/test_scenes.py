"""The sample world: its promise is held on three seeds, from the generator's own hidden values and by plain probes."""

import csv
import hashlib
import math
import time
from collections import Counter
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gradatim.data.scenes import (
    CUES,
    NAMED,
    NAMES,
    PHRASE,
    THINGS,
    Scene,
    best_accuracy,
    describe,
    draw_scenes,
    make_scenes,
)
from gradatim.data.scenes_drawing import SPRITES, Look, draw_scene
from gradatim.errors import DataError

SEEDS = (0, 1, 2)
ROWS = 1500


def read(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def posterior(scene: Scene, inputs: set[str]) -> int:
    """Bayes's answer by brute force over the four contexts, written without the module's own sums."""
    scores = []
    for place, occasion in product((0, 1), (0, 1)):
        chance = 1.0
        named = bool(inputs & {"picture", "object"}) or scene.named
        mountains, holiday = THINGS[scene.thing] if named else (0.5, 0.5)
        chance *= (mountains if place else 1 - mountains) * (holiday if occasion else 1 - holiday)
        if "picture" in inputs:
            chance *= math.prod(t if c == place else 1 - t for c, t in zip(scene.cues, CUES))
        if "description" in inputs:
            chance *= math.prod(PHRASE if p == occasion else 1 - PHRASE for p in scene.phrases)
        scores.append(chance)
    return int(np.argmax(scores))


def accuracy(scenes: list[Scene], inputs: set[str]) -> float:
    return float(np.mean([posterior(scene, inputs) == scene.group for scene in scenes]))


def test_promised_accuracies_follow_from_the_probabilities() -> None:
    alone = {name: best_accuracy([name]) for name in ("object", "picture", "description")}
    assert alone == pytest.approx({"object": 0.3684, "picture": 0.5450, "description": 0.5480}, abs=1e-4)
    assert best_accuracy() == pytest.approx(0.9897, abs=1e-4)
    assert best_accuracy([]) == pytest.approx(0.25)
    assert max(alone.values()) < 0.6 < 0.97 <= best_accuracy()


@pytest.mark.parametrize("seed", SEEDS)
def test_each_input_alone_is_above_chance_and_under_sixty_and_together_over_ninety(seed: int) -> None:
    scenes = draw_scenes(ROWS, seed)
    error = 3 * math.sqrt(0.25 / ROWS)
    for name in ("object", "picture", "description"):
        found = accuracy(scenes, {name})
        assert 0.32 < found < 0.6
        assert found == pytest.approx(best_accuracy([name]), abs=error)
    assert accuracy(scenes, {"object", "picture", "description"}) >= 0.97


@pytest.mark.parametrize("seed", SEEDS)
def test_words_and_object_say_what_they_should_to_a_plain_probe(seed: int) -> None:
    """Naive Bayes on the words and a table of counts on the object: what cheap methods find, near the best possible."""
    scenes = draw_scenes(ROWS, seed)
    train, test = scenes[:1200], scenes[1200:]
    counts: dict[int, Counter[str]] = {group: Counter() for group in range(4)}
    for scene in train:
        counts[scene.group].update(set(describe(scene).lower().replace(".", " ").replace(",", " ").split()))
    sizes = Counter(scene.group for scene in train)

    def words(scene: Scene) -> np.ndarray:
        text = set(describe(scene).lower().replace(".", " ").replace(",", " ").split())
        return np.array([sum(math.log((counts[g][w] + 1) / (sizes[g] + 2)) for w in text) for g in range(4)])

    answers = [int(words(scene).argmax()) for scene in test]
    alone = np.mean([answer == scene.group for answer, scene in zip(answers, test)])
    occasion = np.mean([answer % 2 == scene.occasion for answer, scene in zip(answers, test)])
    assert 0.4 < alone < 0.62
    assert occasion > 0.95
    most = {thing: Counter(s.group for s in train if s.thing == thing).most_common(1)[0][0] for thing in THINGS}
    assert 0.29 < np.mean([most[scene.thing] == scene.group for scene in test]) < 0.5


def test_picture_shows_the_place_and_not_by_its_mean_colour_alone() -> None:
    """Ridge on coarse edges finds the place; on mean and spread of the colours it finds much less."""
    scenes = draw_scenes(900, 5)
    pictures = np.stack([np.asarray(draw_scene(scene.look, 32), dtype=np.float64) / 255 for scene in scenes])
    place = np.array([scene.place for scene in scenes]) * 2.0 - 1
    grey = pictures.mean(3)
    across, down = np.abs(np.diff(grey, axis=2))[:, :31], np.abs(np.diff(grey, axis=1))[:, :, :31]
    edges = np.concatenate([part[:, :28, :28].reshape(-1, 7, 4, 7, 4).mean((2, 4)).reshape(900, -1)
                            for part in (across, down)], axis=1)
    colours = np.concatenate([pictures.mean((1, 2)), pictures.std((1, 2))], axis=1)

    def probe(features: np.ndarray) -> float:
        features = np.c_[(features - features.mean(0)) / features.std(0), np.ones(900)]
        train, test = features[:600], features[600:]
        weights = np.linalg.solve(train.T @ train + 3 * np.eye(train.shape[1]), train.T @ place[:600])
        return float(np.mean(np.sign(test @ weights) == place[600:]))

    assert probe(edges) > 0.88
    assert probe(colours) < 0.85


def test_contexts_are_equally_frequent() -> None:
    counts = Counter(scene.group for scene in draw_scenes(6000, 3))
    assert all(abs(count / 6000 - 0.25) < 0.025 for count in counts.values())


def test_folder_looks_as_a_users_would(tmp_path: Path) -> None:
    started = time.process_time()
    make_scenes(tmp_path, rows=1200, test_rows=300)
    assert time.process_time() - started < 8  # 2.3 s on a free machine
    train, test, labels = (read(tmp_path / name) for name in ("train.csv", "test.csv", "test_labels.csv"))
    assert list(train[0]) == ["image_name", "object", "description", "group"]
    assert list(test[0]) == ["image_name", "object", "description"]
    assert list(labels[0]) == ["image_name", "group"]
    assert (len(train), len(test)) == (1200, 300)
    assert [row["image_name"] for row in test] == [row["image_name"] for row in labels]
    assert {row["group"] for row in train} == set("0123")
    assert {row["object"] for row in train} == {"cat", "dog", "bus", "car", "person", "house"}
    names = [row["image_name"] for row in train + test]
    assert sorted(names) == sorted(f"images/{path.name}" for path in (tmp_path / "images").iterdir())
    for name in names[::100]:
        with Image.open(tmp_path / name) as picture:
            assert (picture.size, picture.mode) == ((64, 64), "RGB")
    assert sum(not row["description"] for row in train) == 3
    assert all(row["description"] for row in test)
    assert "public" in (tmp_path / "LICENCE.txt").read_text()
    digests = Counter(hashlib.sha256((tmp_path / row["image_name"]).read_bytes()).digest() for row in train)
    assert sorted(digests.values())[-2:] == [1, 2]  # one picture is there twice


def test_same_arguments_write_the_same_files_and_another_seed_others(tmp_path: Path) -> None:
    for name, seed in (("a", 7), ("b", 7), ("c", 8)):
        make_scenes(tmp_path / name, rows=40, test_rows=10, seed=seed, size=32)
    files = sorted(path.relative_to(tmp_path / "a") for path in (tmp_path / "a").rglob("*") if path.is_file())
    assert len(files) == 54
    assert all((tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes() for file in files)
    assert (tmp_path / "a/train.csv").read_bytes() != (tmp_path / "c/train.csv").read_bytes()


def test_an_existing_folder_is_not_overwritten(tmp_path: Path) -> None:
    make_scenes(tmp_path, rows=1, test_rows=0, size=16)
    with pytest.raises(DataError, match="name another folder"):
        make_scenes(tmp_path, rows=1)
    with pytest.raises(DataError, match="rows ≥ 1"):
        make_scenes(tmp_path / "other", rows=0)
    with pytest.raises(DataError, match="received sound"):
        best_accuracy(["sound"])


def test_descriptions_are_sentences_that_name_the_thing_sometimes() -> None:
    scenes = draw_scenes(1000, 4)
    texts = [describe(scene) for scene in scenes]
    assert len(set(texts)) > 990
    assert all(text[0].isupper() and text.endswith(".") and "{" not in text for text in texts)
    named = [any(name in text.lower() for name in NAMES[s.thing]) for s, text in zip(scenes, texts)]
    assert np.mean(named) == pytest.approx(NAMED, abs=0.05)


@pytest.mark.parametrize("thing", SPRITES)
def test_sprites_are_drawn_in_the_middle_and_differ(thing: str) -> None:
    pictures = [np.asarray(draw_scene(Look(name, 0, 0, 0, seed=11)), dtype=float) for name in (thing, "car", "dog")]
    assert pictures[0].shape == (64, 64, 3)
    others = [np.abs(pictures[0] - other)[30:60, 16:48].mean() for other in pictures[1:]]
    assert max(others) > 10
