"""Pictures of the sample world: six things drawn in flat colours before a sea or before mountains.

Everything is drawn by code at four times the final size and averaged down, so that nothing needs a licence but ours.
A picture is a pure function of its `Look`. Coordinates of a sprite: x to the right, y up, the ground at y = 0,
one unit = the height of the sprite.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random

from PIL import Image, ImageChops, ImageDraw

Colour = tuple[int, int, int]
Point = tuple[float, float]

SUPERSAMPLING = 4
DARK: Colour = (44, 40, 52)
WHITE: Colour = (250, 248, 242)
GLASS: Colour = (190, 222, 236)
FUR = ((230, 150, 62), (92, 88, 96), (224, 206, 176), (146, 96, 60), (240, 236, 228), (58, 54, 62), (184, 128, 84))
PAINT = ((208, 58, 52), (244, 186, 50), (56, 118, 190), (66, 150, 96), (232, 226, 216), (150, 84, 160), (238, 126, 60))
SKIN = ((246, 210, 178), (222, 170, 128), (168, 112, 76), (112, 74, 54))
# top and bottom of the sky, then the light that everything is multiplied by: noon, morning, evening, cloud, mint, night
SKIES: tuple[tuple[Colour, Colour, Colour], ...] = (
    ((96, 170, 232), (206, 232, 246), (255, 255, 255)),
    ((240, 184, 168), (252, 232, 196), (255, 246, 236)),
    ((206, 110, 110), (250, 190, 120), (255, 226, 206)),
    ((158, 170, 184), (216, 220, 224), (238, 240, 244)),
    ((132, 206, 196), (228, 244, 224), (255, 255, 250)),
    ((34, 44, 96), (100, 104, 164), (172, 176, 216)),
)
# one list for sea and mountains, one for every ground: the mean colour says little about the place
FAR = ((58, 118, 168), (74, 146, 158), (104, 112, 168), (96, 128, 128), (134, 124, 150), (70, 92, 126))
GROUND = ((232, 208, 150), (126, 176, 92), (176, 166, 156), (226, 230, 236), (156, 132, 98), (166, 190, 130))
LEAVES = ((46, 120, 74), (72, 140, 64), (34, 96, 88), (98, 138, 56))


@dataclass(frozen=True, slots=True)
class Look:
    """What a picture shows. The three cues say 'sea' (0) or 'mountains' (1); `seed` draws all that means nothing."""

    thing: str
    landform: int
    trees: int
    extra: int
    seed: int


class Pen:
    """Draws shapes in a sprite's own coordinates; its origin on the ground and its height are in pixels."""

    def __init__(self, draw: ImageDraw.ImageDraw, origin: Point, height: float, mirrored: bool = False) -> None:
        self.draw, self.origin, self.height, self.sign = draw, origin, height, -1 if mirrored else 1

    def at(self, x: float, y: float) -> Point:
        """Pixels of a point."""
        return self.origin[0] + self.sign * x * self.height, self.origin[1] - y * self.height

    def polygon(self, points: Sequence[Point], colour: Colour) -> None:
        """A filled polygon."""
        self.draw.polygon([self.at(*point) for point in points], fill=colour)

    def box(self, left: float, bottom: float, right: float, top: float, colour: Colour, corner: float = 0.0) -> None:
        """A filled rectangle with rounded corners."""
        (x0, y1), (x1, y0) = self.at(left, bottom), self.at(right, top)
        self.draw.rounded_rectangle((min(x0, x1), y0, max(x0, x1), y1), corner * self.height, fill=colour)

    def oval(self, x: float, y: float, wide: float, high: float, colour: Colour) -> None:
        """A filled ellipse by its centre and its half axes."""
        (x0, y1), (x1, y0) = self.at(x - wide, y - high), self.at(x + wide, y + high)
        self.draw.ellipse((min(x0, x1), y0, max(x0, x1), y1), fill=colour)

    def stroke(self, points: Sequence[Point], width: float, colour: Colour) -> None:
        """A line with round joints."""
        self.draw.line([self.at(*point) for point in points], colour, max(1, round(width * self.height)), "curve")


def draw_scene(look: Look, size: int = 64) -> Image.Image:
    """The picture of a `Look`, RGB, `size` pixels wide and high.

    >>> draw_scene(Look("cat", 0, 0, 0, seed=1), size=32).size
    (32, 32)
    """
    random, full = Random(look.seed), size * SUPERSAMPLING
    top, bottom, light = random.choice(SKIES)
    ramp = Image.linear_gradient("L").resize((full, full))
    picture = Image.composite(Image.new("RGB", ramp.size, bottom), Image.new("RGB", ramp.size, top), ramp)
    draw = ImageDraw.Draw(picture)
    horizon = full * random.uniform(0.52, 0.62)
    _draw_sky(draw, random, full)
    far, ground = random.choice(FAR), random.choice(GROUND)
    (_draw_sea, _draw_mountains)[look.landform](draw, random, full, horizon, far)
    extra = random.choice(EXTRAS[look.extra])
    extra(draw, random, full, horizon)
    shore = full * random.uniform(0.74, 0.8)
    swell = [(full * i / 8, shore + full * random.uniform(-0.012, 0.012)) for i in range(9)]
    draw.polygon([*swell, (full, full), (0, full)], fill=ground)
    _draw_trees(draw, random, full, shore, (draw_palm, draw_pine)[look.trees])
    sprite, proportion = SPRITES[look.thing]
    height = full * proportion * random.uniform(0.85, 1.12)
    place = (full * random.uniform(0.4, 0.6), full * random.uniform(0.88, 0.96))
    draw.ellipse((place[0] - height * 0.5, place[1] - full * 0.02, place[0] + height * 0.5, place[1] + full * 0.025),
                 fill=shade(ground, 0.8))
    sprite(Pen(draw, place, height, random.random() < 0.5), random)
    picture = picture.reduce(SUPERSAMPLING)
    return picture if light == (255, 255, 255) else ImageChops.multiply(picture, Image.new("RGB", picture.size, light))


def shade(colour: Colour, factor: float) -> Colour:
    """The colour made darker (factor < 1) or lighter (> 1)."""
    if factor > 1:
        red, green, blue = (round(part + (255 - part) * (factor - 1)) for part in colour)
    else:
        red, green, blue = (round(part * factor) for part in colour)
    return red, green, blue


def _draw_sky(draw: ImageDraw.ImageDraw, random: Random, full: int) -> None:
    pen = Pen(draw, (full * random.uniform(0.08, 0.92), full * random.uniform(0.1, 0.24)), full)
    if random.random() < 0.6:
        pen.oval(0, 0, 0.065, 0.065, random.choice(((255, 238, 170), (255, 250, 236), (255, 208, 120))))
    for _ in range(random.randrange(4)):
        pen = Pen(draw, (full * random.random(), full * random.uniform(0.06, 0.3)), full * random.uniform(0.6, 1.2))
        for x, radius in ((-0.08, 0.03), (0, 0.045), (0.08, 0.03)):
            pen.oval(x, 0, radius * 1.6, radius, WHITE)


def _draw_sea(draw: ImageDraw.ImageDraw, random: Random, full: int, horizon: float, colour: Colour) -> None:
    draw.rectangle((0, horizon, full, full), fill=colour)
    for row in range(5):
        y = horizon + full * (0.025 + 0.045 * row)
        step, start = full * (0.07 + 0.02 * row), random.uniform(-1, 0) * full * 0.1
        for i in range(int(full * 1.2 / step)):
            if random.random() < 0.7:
                left = start + i * step
                draw.arc((left, y, left + step * 0.9, y + step * 0.5), 200, 340, shade(colour, 1.45), full // 90)


def _draw_mountains(draw: ImageDraw.ImageDraw, random: Random, full: int, horizon: float, colour: Colour) -> None:
    draw.rectangle((0, horizon, full, full), fill=shade(colour, 0.8))
    for i, centre in enumerate(sorted((0.15, 0.5, 0.85), key=lambda _: random.random())):
        x = full * (centre + random.uniform(-0.1, 0.1))
        peak = horizon - full * random.uniform(0.2, 0.38)
        wide = full * random.uniform(0.24, 0.36)
        tone = shade(colour, 0.85 + 0.12 * i)
        draw.polygon([(x - wide, horizon + 4), (x, peak), (x + wide, horizon + 4)], fill=tone)
        draw.polygon([(x, peak), (x + wide, horizon + 4), (x + wide * 0.25, horizon + 4)], fill=shade(tone, 0.82))
        snow, fall = 0.3, horizon - peak
        draw.polygon([(x, peak), (x - wide * snow, peak + fall * snow), (x - wide * 0.1, peak + fall * snow * 0.75),
                      (x, peak + fall * snow * 1.15), (x + wide * 0.12, peak + fall * snow * 0.75),
                      (x + wide * snow, peak + fall * snow)], fill=WHITE)


def _draw_trees(draw: ImageDraw.ImageDraw, random: Random, full: int, ground: float,
                tree: Callable[[Pen, Random], None]) -> None:
    for x in random.sample((0.07, 0.2, 0.8, 0.93), random.randint(2, 3)):
        origin = (full * (x + random.uniform(-0.03, 0.03)), ground + full * random.uniform(0.0, 0.06))
        tree(Pen(draw, origin, full * random.uniform(0.36, 0.48), x > 0.5), random)


def draw_palm(pen: Pen, random: Random) -> None:
    """A palm with a leaning trunk."""
    leaf = random.choice(LEAVES)
    lean = random.uniform(0.02, 0.14)
    pen.stroke([(0, 0), (lean * 0.4, 0.4), (lean, 0.8)], 0.06, (140, 104, 70))
    for angle in (-25, 15, 55, 100, 145, 185, 215):
        turn = math.radians(angle + random.uniform(-8, 8))
        x, y = lean + 0.36 * math.cos(turn), 0.8 + 0.2 * math.sin(turn)
        pen.polygon([(lean, 0.76), (lean + 0.2 * math.cos(turn), 0.88 + 0.14 * math.sin(turn)), (x, y - 0.1),
                     (lean + 0.16 * math.cos(turn), 0.78 + 0.1 * math.sin(turn))], leaf)
    pen.oval(lean, 0.77, 0.035, 0.035, (120, 80, 50))


def draw_pine(pen: Pen, random: Random) -> None:
    """A pine of three tiers."""
    leaf = random.choice(LEAVES)
    pen.box(-0.035, 0, 0.035, 0.2, (112, 82, 60))
    for bottom, top, wide, tone in ((0.12, 0.55, 0.25, 0.85), (0.36, 0.78, 0.2, 0.95), (0.6, 1.0, 0.14, 1.08)):
        pen.polygon([(-wide, bottom), (0, top), (wide, bottom)], shade(leaf, tone))


def _draw_parasol(draw: ImageDraw.ImageDraw, random: Random, full: int, horizon: float) -> None:
    pen = Pen(draw, (full * random.choice((0.2, 0.34, 0.66, 0.8)), full * 0.8), full * 0.3)
    pen.stroke([(0, 0), (0, 0.9)], 0.04, WHITE)
    colour = random.choice(PAINT)
    for i, (left, right) in enumerate(((-0.5, -0.25), (-0.25, 0), (0, 0.25), (0.25, 0.5))):
        rim = [(x, 0.62 + 0.33 * math.sqrt(1 - (x / 0.5) ** 2)) for x in (left, (left + right) / 2, right)]
        pen.polygon([(left, 0.62), *rim, (right, 0.62)], WHITE if i % 2 else colour)


def _draw_lighthouse(draw: ImageDraw.ImageDraw, random: Random, full: int, horizon: float) -> None:
    pen = Pen(draw, (full * random.choice((0.32, 0.42, 0.58, 0.68)), horizon + full * 0.05), full * 0.42)
    pen.oval(0, 0, 0.3, 0.07, (112, 106, 110))
    colour = random.choice(PAINT[:3])
    for i in range(5):
        low, high = 0.14 * i, 0.14 * (i + 1)
        narrow = [0.13 - 0.045 * y / 0.7 for y in (low, high)]
        pen.polygon([(-narrow[0], low), (-narrow[1], high), (narrow[1], high), (narrow[0], low)],
                    WHITE if i % 2 else colour)
    pen.box(-0.07, 0.7, 0.07, 0.82, (255, 236, 140))
    pen.polygon([(-0.1, 0.82), (0, 0.95), (0.1, 0.82)], colour)


def _draw_tent(draw: ImageDraw.ImageDraw, random: Random, full: int, horizon: float) -> None:
    pen = Pen(draw, (full * random.choice((0.22, 0.34, 0.66, 0.78)), full * 0.82), full * 0.27)
    colour = random.choice(PAINT)
    pen.polygon([(-0.55, 0), (0, 0.85), (0.55, 0)], colour)
    pen.polygon([(0, 0.85), (0.55, 0), (0.2, 0)], shade(colour, 0.75))
    pen.polygon([(-0.16, 0), (0, 0.6), (0.16, 0)], DARK)


def _draw_gondola(draw: ImageDraw.ImageDraw, random: Random, full: int, horizon: float) -> None:
    rise = random.choice((-0.14, 0.14))
    left, right = (0.3 - rise) * full, (0.3 + rise) * full
    draw.line((0, left, full, right), fill=DARK, width=full // 60)
    x = random.choice((0.3, 0.45, 0.6, 0.72))
    pen = Pen(draw, (full * x, left + (right - left) * x + full * 0.2), full * 0.2)
    pen.stroke([(0, 1), (0, 0.6)], 0.06, DARK)
    pen.box(-0.4, 0, 0.4, 0.65, random.choice(PAINT), 0.12)
    pen.box(-0.3, 0.28, -0.03, 0.55, GLASS)
    pen.box(0.03, 0.28, 0.3, 0.55, GLASS)


EXTRAS: tuple[tuple[Callable[[ImageDraw.ImageDraw, Random, int, float], None], ...], ...] = (
    (_draw_parasol, _draw_lighthouse),
    (_draw_tent, _draw_gondola),
)


def draw_cat(pen: Pen, random: Random) -> None:
    """A cat, sitting or walking with its tail up."""
    fur = random.choice(FUR)
    dark, belly = shade(fur, 0.72), shade(fur, 1.45)
    if random.random() < 0.55:
        pen.stroke([(0.2, 0.08), (0.42, 0.1), (0.47, 0.28), (0.4, 0.42)], 0.08, dark)
        pen.oval(0, 0.27, 0.25, 0.28, fur)
        pen.oval(0, 0.22, 0.12, 0.18, belly)
        pen.box(-0.16, 0, -0.04, 0.12, fur, 0.05)
        pen.box(0.04, 0, 0.16, 0.12, fur, 0.05)
        x, y = 0.0, 0.68
    else:
        pen.stroke([(0.36, 0.42), (0.5, 0.6), (0.46, 0.85)], 0.07, dark)
        for leg in (-0.3, -0.16, 0.2, 0.34):
            pen.box(leg - 0.05, 0, leg + 0.05, 0.3, dark if leg in (-0.16, 0.2) else fur, 0.04)
        pen.oval(0.03, 0.38, 0.42, 0.18, fur)
        for stripe in (-0.05, 0.1, 0.25):
            pen.stroke([(stripe, 0.54), (stripe + 0.02, 0.4)], 0.045, dark)
        x, y = -0.36, 0.64
    for side in (-1, 1):
        pen.polygon([(x + side * 0.23, y + 0.02), (x + side * 0.2, y + 0.34), (x + side * 0.03, y + 0.17)], fur)
        pen.polygon([(x + side * 0.19, y + 0.1), (x + side * 0.18, y + 0.27), (x + side * 0.08, y + 0.17)],
                    (240, 170, 160))
    pen.oval(x, y, 0.235, 0.2, fur)
    for side in (-1, 1):
        pen.oval(x + side * 0.095, y + 0.03, 0.05, 0.06, (196, 220, 110))
        pen.oval(x + side * 0.095, y + 0.03, 0.022, 0.055, DARK)
        pen.stroke([(x + side * 0.08, y - 0.08), (x + side * 0.3, y - 0.05)], 0.015, WHITE)
    pen.oval(x, y - 0.07, 0.035, 0.025, (226, 120, 120))


def draw_dog(pen: Pen, random: Random) -> None:
    """A dog seen from the side, with hanging ears, a snout and a collar."""
    fur = random.choice(FUR)
    dark = shade(fur, 0.62)
    tail = random.uniform(0.62, 0.8)
    pen.stroke([(0.38, 0.5), (0.52, tail)], 0.09, fur)
    for leg in (-0.26, -0.12, 0.22, 0.36):
        pen.box(leg - 0.06, 0, leg + 0.06, 0.36, shade(fur, 0.8) if leg in (-0.12, 0.22) else fur, 0.03)
    pen.box(-0.34, 0.28, 0.44, 0.6, fur, 0.15)
    if random.random() < 0.5:
        pen.oval(0.16, 0.48, 0.16, 0.11, dark)
    pen.polygon([(-0.34, 0.4), (-0.42, 0.74), (-0.18, 0.74), (-0.06, 0.5)], fur)
    pen.stroke([(-0.4, 0.6), (-0.17, 0.64)], 0.07, random.choice(PAINT))
    pen.oval(-0.34, 0.8, 0.2, 0.18, fur)
    pen.box(-0.66, 0.66, -0.34, 0.82, shade(fur, 1.25), 0.07)
    pen.oval(-0.64, 0.8, 0.055, 0.045, DARK)
    pen.polygon([(-0.3, 0.96), (-0.16, 0.92), (-0.1, 0.6), (-0.2, 0.56), (-0.27, 0.74)], dark)
    pen.oval(-0.42, 0.87, 0.035, 0.045, DARK)
    if random.random() < 0.5:
        pen.oval(-0.5, 0.64, 0.045, 0.07, (232, 110, 120))


def _wheel(pen: Pen, x: float, radius: float) -> None:
    pen.oval(x, radius, radius, radius, DARK)
    pen.oval(x, radius, radius * 0.5, radius * 0.5, (196, 196, 204))


def draw_bus(pen: Pen, random: Random) -> None:
    """A bus with one deck or two."""
    paint = random.choice(PAINT)
    decks = 2 if random.random() < 0.4 else 1
    top = 0.62 + 0.36 * (decks - 1)
    left, right = -0.78 + 0.16 * (decks - 1), 0.78 - 0.16 * (decks - 1)
    pen.box(left, 0.1, right, top, paint, 0.07)
    pen.box(left, 0.2, right, 0.26, shade(paint, 1.6))
    for deck in range(decks):
        low = 0.34 + 0.34 * deck
        count = 5 if decks == 1 else 4
        wide = (right - left - 0.12) / count
        for i in range(count):
            start = left + 0.06 + i * wide
            pen.box(start + 0.025, low, start + wide - 0.025, low + 0.19, GLASS, 0.02)
    pen.box(left + 0.1, 0.12, left + 0.24, 0.5, shade(paint, 0.6), 0.02)
    pen.oval(left + 0.03, 0.2, 0.03, 0.04, (255, 244, 170))
    pen.box(right - 0.03, 0.16, right, 0.24, (220, 60, 50))
    _wheel(pen, left + 0.36, 0.12)
    _wheel(pen, right - 0.28, 0.12)


def draw_car(pen: Pen, random: Random) -> None:
    """A car, round, long or boxy."""
    paint = random.choice(PAINT)
    shape = random.randrange(3)
    if shape == 0:
        pen.oval(0.04, 0.36, 0.46, 0.44, paint)
        pen.polygon([(-0.3, 0.42), (-0.16, 0.7), (0.02, 0.72), (0.02, 0.42)], GLASS)
        pen.polygon([(0.08, 0.42), (0.08, 0.72), (0.24, 0.68), (0.38, 0.42)], GLASS)
    else:
        slope = 0.2 if shape == 1 else 0.05
        pen.polygon([(-0.46, 0.4), (-0.46 + slope + 0.1, 0.8), (0.4 - slope, 0.8), (0.5, 0.4)], paint)
        pen.polygon([(-0.36, 0.44), (-0.3 + slope, 0.73), (-0.02, 0.73), (-0.02, 0.44)], GLASS)
        pen.polygon([(0.05, 0.44), (0.05, 0.73), (0.36 - slope, 0.73), (0.41, 0.44)], GLASS)
    pen.box(-0.74, 0.13, 0.72, 0.46, paint, 0.13)
    pen.box(-0.74, 0.13, 0.72, 0.19, shade(paint, 0.65), 0.03)
    pen.oval(-0.69, 0.34, 0.045, 0.06, (255, 244, 170))
    pen.box(0.67, 0.3, 0.72, 0.4, (220, 60, 50))
    _wheel(pen, -0.42, 0.17)
    _wheel(pen, 0.42, 0.17)


def draw_person(pen: Pen, random: Random) -> None:
    """A person in trousers or a skirt, arms down or one arm up."""
    skin, top = random.choice(SKIN), random.choice(PAINT)
    below = random.choice(((60, 72, 118), (96, 78, 66), (70, 70, 78), (186, 76, 90)))
    hair = random.choice(((60, 42, 36), (196, 148, 76), (36, 34, 42), (150, 74, 44), (190, 190, 194)))
    stride = random.uniform(0.03, 0.1)
    for side in (-1, 1):
        pen.stroke([(side * 0.05, 0.42), (side * (0.05 + stride), 0.03)], 0.09, below)
        pen.oval(side * (0.07 + stride), 0.02, 0.07, 0.03, DARK)
    if random.random() < 0.4:
        pen.polygon([(-0.1, 0.5), (0.1, 0.5), (0.2, 0.2), (-0.2, 0.2)], below)
    waving = random.random() < 0.5
    for side in (-1, 1):
        hand = (side * 0.27, 0.86) if waving and side == 1 else (side * 0.23, 0.42)
        elbow = (side * 0.23, 0.62)
        pen.stroke([(side * 0.11, 0.69), elbow, hand], 0.065, top)
        pen.oval(*hand, 0.04, 0.04, skin)
    pen.box(-0.14, 0.4, 0.14, 0.74, top, 0.05)
    if random.random() < 0.45:
        pen.box(-0.155, 0.7, 0.155, 0.98, hair, 0.12)
        pen.box(-0.07, 0.68, 0.07, 0.78, skin)
    pen.oval(0, 0.87, 0.115, 0.13, skin)
    pen.polygon([(-0.13, 0.88), (-0.1, 0.99), (0, 1.03), (0.1, 0.99), (0.13, 0.88), (0.04, 0.95)], hair)
    for side in (-1, 1):
        pen.oval(side * 0.045, 0.87, 0.016, 0.02, DARK)


def draw_house(pen: Pen, random: Random) -> None:
    """A house with a gable, a door, windows and perhaps a chimney."""
    wall = random.choice(((244, 232, 206), (226, 196, 168), (214, 222, 224), (240, 208, 126), (206, 142, 120)))
    roof = random.choice(((176, 70, 58), (92, 84, 96), (132, 92, 66), (70, 106, 128)))
    wide, eaves = random.uniform(0.36, 0.54), random.uniform(0.48, 0.6)
    if random.random() < 0.7:
        pen.box(wide * 0.35, eaves, wide * 0.62, 1.0, shade(roof, 0.75))
    pen.box(-wide, 0, wide, eaves, wall)
    pen.polygon([(-wide - 0.1, eaves - 0.02), (0, 1.0), (wide + 0.1, eaves - 0.02)], roof)
    pen.oval(0, eaves + 0.14, 0.07, 0.07, GLASS)
    door = random.choice((-0.5, 0.0, 0.5)) * wide
    pen.box(door - 0.085, 0, door + 0.085, 0.32, random.choice(PAINT))
    pen.oval(door + 0.05, 0.15, 0.015, 0.015, DARK)
    for x in (-0.6, 0.0, 0.6):
        if abs(x * wide - door) > 0.17:
            pen.box(x * wide - 0.085, 0.2, x * wide + 0.085, 0.4, WHITE)
            pen.box(x * wide - 0.065, 0.22, x * wide + 0.065, 0.38, random.choice((GLASS, (255, 226, 130))))


# how each thing is drawn, and its height as a part of the picture's
SPRITES: dict[str, tuple[Callable[[Pen, Random], None], float]] = {
    "cat": (draw_cat, 0.42),
    "dog": (draw_dog, 0.42),
    "bus": (draw_bus, 0.44),
    "car": (draw_car, 0.36),
    "person": (draw_person, 0.52),
    "house": (draw_house, 0.52),
}
