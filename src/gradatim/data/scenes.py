"""The bundled sample world: pictures, sentences and a category from which one of four hidden contexts must be told.

The context is two bits: `group = 2 * place + occasion`. The place (0 sea, 1 mountains) is in the picture's background,
three cues that each tell the truth most of the time (`CUES`); the sky, the ground, the light and all colours mean
nothing. The occasion (0 work, 1 holiday) is in the words, three phrases that each tell the truth with probability
`PHRASE`. The thing in the foreground, named in the column `object`, leans a little towards each bit (`THINGS`); the
sentence names it in `NAMED` of the rows only. Given the bits all evidence is independent, so its log-odds add up.

The best possible accuracies follow from these probabilities (`best_accuracy` adds them up): object 0.368, picture
0.545, description 0.548, all three 0.990; guessing gives 0.25. The best accuracy is Bayes's: the class with the
highest posterior probability, found by enumerating every value of the evidence.
"""

import csv
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from random import Random

from gradatim.data.scenes_drawing import Look, draw_scene
from gradatim.errors import DataError
from gradatim.randomness import seed_of

INPUTS = ("picture", "description", "object")
# P(mountains | thing), P(holiday | thing); symmetric about one half, so that the four contexts are equally frequent
THINGS: dict[str, tuple[float, float]] = {
    "cat": (0.32, 0.57),
    "dog": (0.68, 0.57),
    "bus": (0.32, 0.43),
    "car": (0.68, 0.43),
    "person": (0.66, 0.5),
    "house": (0.34, 0.5),
}
CUES = (0.98, 0.97, 0.95)  # how often landform, trees and extra are those of the place
PHRASE = 0.95  # how often a phrase is one of the occasion
NAMED = 0.3  # how often the sentence names the thing
TYPO = 0.15
MISSING_DESCRIPTIONS = 3

NAMES = {
    "cat": ("a cat", "the tabby cat", "a kitten"),
    "dog": ("a dog", "the old hound", "a puppy"),
    "bus": ("a bus", "the coach", "the number nine bus"),
    "car": ("a car", "the little motor car", "an automobile"),
    "person": ("a person", "somebody in a coat", "one passer-by"),
    "house": ("a house", "the cottage", "a home with a gable"),
}
VAGUE = ("our friend", "an old acquaintance", "the one we know", "something familiar", "the usual subject",
         "a familiar sight", "the centre of it all")
VERBS = ("is here", "can be seen", "takes up the middle", "is in view", "stays put", "is the first thing you notice")
# words that mean nothing
LIGHT = ("in soft light", "on a clear afternoon", "under a pale sky", "late in the evening", "in the last of the sun",
         "on a breezy morning", "with clouds coming in", "before the rain", "in a calm hour", "after dark")
NOISE = ("the colours are bright", "nobody is looking this way", "the paint is a little worn", "the lines are simple",
         "the picture was taken in a hurry", "the air smells of grass", "the shadows are short", "the frame is square",
         "the wind has dropped", "somewhere a door closes")
# three phrases of each sentence: (at work, on holiday)
WHEN = (
    ("before the office opens", "on the way to work", "between two deliveries", "during the morning shift",
     "as the rush hour builds up", "after a long meeting", "with the deadline close", "on an ordinary Monday"),
    ("before the picnic begins", "on the way to the fair", "between two songs of the band", "during the parade",
     "as the festival fills up", "after a lazy brunch", "with the weekend ahead", "on the first day off"),
)
BESIDE = (
    ("a stack of parcels waits nearby", "a clerk checks a list", "boxes are being unloaded",
     "someone carries a laptop", "tools lie next to a ladder", "a courier asks for a signature",
     "invoices stick out of a bag", "a crew repairs a pipe"),
    ("a pile of kites waits nearby", "a child holds a balloon", "blankets are being spread",
     "someone carries an ice cream", "toys lie next to a hamper", "a clown asks for applause",
     "postcards stick out of a bag", "a choir tunes its voices"),
)
MOOD = (
    ("there is still a lot to do", "the schedule is tight", "everybody watches the clock", "the phone keeps ringing",
     "the boss wants a report", "the customers are queueing"),
    ("there is nothing left to do", "the guitar is out of tune", "everybody laughs a lot", "the music keeps playing",
     "the guests want more cake", "the dancers are resting"),
)
TEMPLATES = (
    "{subject} {verb} {light}, {when}; {beside} and {mood}.",
    "{light} {subject} {verb}. {beside}, {noise}, {mood}. it was {when}.",
    "{when}, {subject} {verb}: {beside}. {noise}. {mood}.",
    "{noise} and {subject} {verb}. {mood}, {beside}, {when}.",
    "{subject}, {light}. {mood}. {beside} {when}, and {noise}.",
    "a scene {light}: {subject} {verb}, {beside}. {when} {mood}.",
    "{beside}. {subject} {verb} {when}, {mood} and {noise}.",
    "{mood}, but {subject} {verb}. {light}, {when}, {beside}.",
)
LICENCE = """The sample world of Gradatim.

Every picture in this folder was drawn by the program in gradatim/data/scenes_drawing.py and every sentence was put
together by gradatim/data/scenes.py; no picture, font or text of anybody else is in it. The files are dedicated to the
public domain (CC0 1.0): use them for anything, without asking.
"""


@dataclass(frozen=True, slots=True)
class Scene:
    """One row before it is written: the hidden bits and the evidence drawn from them.

    place: 0 sea, 1 mountains; occasion: 0 work, 1 holiday; cues: landform, trees, extra as the picture shows them;
    phrases: the occasion that each of the three phrases speaks of; named: whether the sentence names the thing.
    """

    thing: str
    place: int
    occasion: int
    cues: tuple[int, int, int]
    phrases: tuple[int, int, int]
    named: bool
    seed: int

    @property
    def group(self) -> int:
        """The target."""
        return 2 * self.place + self.occasion

    @property
    def look(self) -> Look:
        """What the picture shows."""
        return Look(self.thing, *self.cues, seed=self.seed)


def draw_scenes(rows: int, seed: int = 0) -> list[Scene]:
    """The hidden values of `rows` rows, a pure function of its arguments.

    >>> [scene.group for scene in draw_scenes(4)] == [scene.group for scene in draw_scenes(6)[:4]]
    True
    """
    return [_draw_row(Random(seed_of("scenes", seed, row))) for row in range(rows)]


def describe(scene: Scene) -> str:
    """The sentence of a scene: three phrases that speak of an occasion among words that mean nothing."""
    random = Random(seed_of("description", scene.seed))
    when, beside, mood = (slot[bit] for slot, bit in zip((WHEN, BESIDE, MOOD), scene.phrases))
    text = random.choice(TEMPLATES).format(
        subject=random.choice(NAMES[scene.thing] if scene.named else VAGUE),
        verb=random.choice(VERBS),
        light=random.choice(LIGHT),
        noise=random.choice(NOISE),
        when=random.choice(when),
        beside=random.choice(beside),
        mood=random.choice(mood),
    )
    if random.random() < TYPO:
        text = _mistyped(text, random)
    return ". ".join(part[:1].upper() + part[1:] for part in text.split(". "))


def best_accuracy(inputs: Iterable[str] = INPUTS) -> float:
    """The accuracy that nobody can beat from these inputs ('picture', 'description', 'object').

    Sums, over every value of the evidence, the probability of the most probable context (Bayes's rule). The picture
    shows the thing; the description names it with probability NAMED, the vague subject says nothing.

    >>> round(best_accuracy(["object"]), 3), round(best_accuracy(), 3)
    (0.368, 0.99)
    """
    inputs = set(inputs)
    if not inputs <= set(INPUTS):
        unknown = ", ".join(sorted(inputs - set(INPUTS)))
        raise DataError(f"expected inputs among {', '.join(INPUTS)}; received {unknown}")
    knows_thing = bool(inputs & {"picture", "object"})
    outcomes = [(1.0, True)] if knows_thing else [(NAMED, True), (1 - NAMED, False)] if inputs else [(1.0, False)]
    total = 0.0
    for chance, thing_is_known in outcomes:
        priors = [_prior([thing]) for thing in THINGS] if thing_is_known else [_prior(list(THINGS))]
        for prior in priors:
            total += chance / len(priors) * _best_given(prior, inputs)
    return total


def make_scenes(folder: Path | str, *, rows: int = 1200, test_rows: int = 300, seed: int = 0, size: int = 64) -> None:
    """Write the sample world as a user's folder would look.

    folder/train.csv (image_name, object, description, group), test.csv (without group), test_labels.csv (image_name,
    group), images/*.png (RGB, `size` pixels a side) and LICENCE.txt. As in life, three training descriptions are
    missing and one picture is there twice. Equal arguments write equal files. Raises DataError when the folder
    already holds a train.csv.
    """
    folder = Path(folder)
    if rows < 1 or test_rows < 0 or size < 8:
        raise DataError(f"expected rows ≥ 1, test_rows ≥ 0, size ≥ 8; received {rows}, {test_rows}, {size}")
    if (folder / "train.csv").exists():
        raise DataError(f"{folder}: expected a folder without train.csv, found one; name another folder")
    (folder / "images").mkdir(parents=True, exist_ok=True)
    scenes = draw_scenes(rows + test_rows, seed)
    texts: list[str] = [describe(scene) for scene in scenes]
    blemishes = Random(seed_of("blemishes", seed))
    if rows > 10:
        for row in blemishes.sample(range(rows), MISSING_DESCRIPTIONS):
            texts[row] = ""
    twin = _twin(scenes, rows, blemishes)
    width = max(4, len(str(len(scenes))))
    names = [f"images/scene_{row:0{width}d}.png" for row in range(len(scenes))]
    for row, scene in enumerate(scenes):
        shown = scenes[twin[1]] if row == twin[0] else scene
        draw_scene(shown.look, size).save(folder / names[row], compress_level=3)
    lines = [[name, scene.thing, text, scene.group] for name, scene, text in zip(names, scenes, texts)]
    header = ["image_name", "object", "description", "group"]
    _write(folder / "train.csv", [header, *lines[:rows]])
    _write(folder / "test.csv", [header[:3], *(line[:3] for line in lines[rows:])])
    _write(folder / "test_labels.csv", [["image_name", "group"], *([line[0], line[3]] for line in lines[rows:])])
    (folder / "LICENCE.txt").write_text(LICENCE, encoding="utf-8")


def _draw_row(random: Random) -> Scene:
    thing = random.choice(tuple(THINGS))
    mountains, holiday = THINGS[thing]
    place, occasion = int(random.random() < mountains), int(random.random() < holiday)
    cues = [place if random.random() < truth else 1 - place for truth in CUES]
    phrases = [occasion if random.random() < PHRASE else 1 - occasion for _ in range(3)]
    return Scene(thing, place, occasion, (cues[0], cues[1], cues[2]), (phrases[0], phrases[1], phrases[2]),
                 random.random() < NAMED, random.getrandbits(60))


def _prior(things: Sequence[str]) -> list[list[float]]:
    """P(place, occasion) averaged over the things, [place][occasion]."""
    prior = [[0.0, 0.0], [0.0, 0.0]]
    for thing, place, occasion in product(things, (0, 1), (0, 1)):
        mountains, holiday = THINGS[thing]
        chance = (mountains if place else 1 - mountains) * (holiday if occasion else 1 - holiday)
        prior[place][occasion] += chance / len(things)
    return prior


def _best_given(prior: list[list[float]], inputs: set[str]) -> float:
    """Probability of the right answer, given P(place, occasion) and whichever of picture and description is seen."""
    places = _likelihoods(CUES) if "picture" in inputs else [(1.0, 1.0)]
    occasions = _likelihoods((PHRASE,) * 3) if "description" in inputs else [(1.0, 1.0)]
    return sum(
        max(prior[p][o] * seen[p] * heard[o] for p in (0, 1) for o in (0, 1)) for seen in places for heard in occasions
    )


def _likelihoods(truths: Sequence[float]) -> list[tuple[float, float]]:
    """(P(evidence | bit 0), P(evidence | bit 1)) for every value of the binary evidence."""
    found = []
    for values in product((0, 1), repeat=len(truths)):
        chances = [1.0, 1.0]
        for (value, truth), bit in product(zip(values, truths), (0, 1)):
            chances[bit] *= truth if value == bit else 1 - truth
        found.append((chances[0], chances[1]))
    return found


def _twin(scenes: Sequence[Scene], rows: int, random: Random) -> tuple[int, int]:
    """A training row and the row whose picture it repeats: same thing, same place; (-1, -1) when there is none."""
    order = random.sample(range(rows), rows)
    first = scenes[order[0]]
    for other in order[1:]:
        if (scenes[other].thing, scenes[other].place) == (first.thing, first.place):
            return other, order[0]
    return -1, -1


def _mistyped(text: str, random: Random) -> str:
    """The text with one letter dropped, doubled or swapped with the next one."""
    place = random.choice([at for at in range(1, len(text) - 2) if text[at - 1 : at + 3].isalpha()])
    kind = random.randrange(3)
    middle = ("", text[place] * 2, text[place + 1] + text[place])[kind]
    return text[:place] + middle + text[place + (2 if kind == 2 else 1) :]


def _write(path: Path, lines: Iterable[Sequence[object]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, lineterminator="\n").writerows(lines)
