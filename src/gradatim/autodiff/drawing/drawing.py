"""From cards and links to a picture: the layout decides where they stand, this file how they look."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from gradatim.autodiff.drawing.layout import Layout, layered
from gradatim.autodiff.drawing.scene import (
    Box,
    Curve,
    Point,
    Scene,
    Shape,
    Words,
    bezier,
    point_on,
    text_width,
    wrapped,
)
from gradatim.errors import GradatimError

MARGIN, PAD, WIDEST = 20.0, 10.0, 720.0
MOST_CARDS = 400
GLOW = 3.0


@dataclass(frozen=True, slots=True)
class Line:
    """A piece of text that stands in its row from step `since` until before `until`."""

    text: str
    colour: str = "ink"
    size: float = 13.0
    bold: bool = False
    since: int = 0
    until: int | None = None


@dataclass(frozen=True, slots=True)
class Card:
    """A node: rows of text (each row one or more lines that take turns), how its frame looks, and when it lights up."""

    rows: Sequence[Sequence[Line]]
    fill: str = "paper"
    stroke: str = "rule"
    thickness: float = 1.2
    radius: float = 7.0
    dashed: bool = False
    glows: Sequence[tuple[int, str]] = ()
    meter: float | None = None  # 0 … 1: a bar along the foot of the card
    meter_colour: str = "second"

    def size(self) -> tuple[float, float]:
        """Width and height in pixels."""
        width = max((text_width(line.text, line.size, bold=line.bold) for row in self.rows for line in row), default=0)
        height = sum(max(line.size for line in row) * 1.36 for row in self.rows)
        return max(width + 2 * PAD, 46.0), height + 10.0 + (6.0 if self.meter is not None else 0.0)


@dataclass(frozen=True, slots=True)
class Link:
    """An edge: its label, and the steps at which it carries a value forward or a gradient backward."""

    source: int
    target: int
    label: Sequence[Line] = ()
    dashed: bool = False
    glows: Sequence[tuple[int, str, bool]] = ()  # step, colour, backward


@dataclass(frozen=True)
class Plan:
    """What a picture says besides its cards: title, words for screen readers, captions that take turns, legend."""

    title: str
    description: str
    captions: Sequence[Line] = ()
    legend: Sequence[Line] = ()
    steps: int = 0
    notes: Sequence[Line] = field(default=())


def drawn(cards: Mapping[int, Card], links: Sequence[Link], plan: Plan, *, direction: str | None = None) -> Scene:
    """The picture of a graph whose node numbers grow along its links.

    direction: "right", "down", or None for the one that is easier to look at: right where that is at most 720 pixels
    wide, else the narrower. Raises GradatimError for over 400 cards.
    """
    if len(cards) > MOST_CARDS:
        raise GradatimError(f"expected at most {MOST_CARDS} nodes to draw, received {len(cards)}; draw a part of it, "
                            "or write the table or the JSON")
    if direction not in (None, "right", "down"):
        raise GradatimError(f"expected the direction 'right' or 'down', received '{direction}'")
    if direction is not None:
        return _scene(cards, links, plan, direction == "down")
    across = _scene(cards, links, plan, False)
    if across.width <= WIDEST:
        return across
    down = _scene(cards, links, plan, True)
    return down if down.width < across.width else across


def _scene(cards: Mapping[int, Card], links: Sequence[Link], plan: Plan, down: bool) -> Scene:
    sizes = {node: card.size() for node, card in cards.items()}
    labels = [line for link in links for line in link.label]
    widest = max((text_width(line.text, line.size) for line in labels), default=0.0)
    gap = max(44.0, 34.0 if down else min(widest + 40.0, 150.0)) if labels else 30.0 if down else 40.0
    flow = {n: (height, width) if down else (width, height) for n, (width, height) in sizes.items()}
    layout = layered(flow, [(link.source, link.target) for link in links], gap=gap, spacing=18.0 if down else 16.0)
    width, height = (layout.breadth, layout.length) if down else (layout.length, layout.breadth)
    title_lines = wrapped(plan.title, max(width, 300.0), 16)
    full = max(width, 300.0)
    left, top = MARGIN + (full - width) / 2, MARGIN + 24.0 * len(title_lines) + 6.0
    shapes: list[Shape] = [
        Words(MARGIN, MARGIN + 16.0 + 24.0 * place, text, 16.0, bold=True) for place, text in enumerate(title_lines)
    ]

    def placed(point: Point) -> Point:
        along, across = point
        return (left + across, top + along) if down else (left + along, top + across)

    boxes = {n: (*placed(layout.centres[n]), *sizes[n]) for n in cards}
    shapes += _links(links, layout, boxes, placed, down)
    for node, card in cards.items():
        shapes += _card(card, *boxes[node])
    foot = top + height + 14.0
    foot = _paragraphs(shapes, plan.captions, foot, full, turns=True)
    foot = _paragraphs(shapes, plan.notes, foot, full)
    foot = _side_by_side(shapes, plan.legend, foot, full)
    return Scene(full + 2 * MARGIN, foot + MARGIN, plan.title, plan.description, tuple(shapes), plan.steps)


def _paragraphs(shapes: list[Shape], lines: Sequence[Line], top: float, width: float, *, turns: bool = False) -> float:
    """Write paragraphs below each other, or on the same spot where they take turns; returns where they end."""
    lowest = top
    for line in lines:
        start = top if turns else lowest
        for place, text in enumerate(wrapped(line.text, width, line.size)):
            base = start + line.size * (1.0 + 1.4 * place) + 4.0
            shapes.append(Words(MARGIN, base, text, line.size, line.colour, bold=line.bold, since=line.since,
                                until=line.until))
            lowest = max(lowest, base + 0.4 * line.size)
    return lowest


def _side_by_side(shapes: list[Shape], lines: Sequence[Line], top: float, width: float) -> float:
    """Write short lines beside each other, on a new row where one does not fit; returns where they end."""
    x, base = 0.0, top
    for line in lines:
        for text in wrapped(line.text, width, line.size):
            long = text_width(text, line.size)
            if x == 0.0 or x + long > width:
                x, base = 0.0, base + 1.6 * line.size
            shapes.append(Words(MARGIN + x, base, text, line.size, line.colour))
            x += long + 22.0
    return base


def _card(card: Card, x: float, y: float, width: float, height: float) -> list[Shape]:
    left, top = x - width / 2, y - height / 2
    shapes: list[Shape] = [
        Box(left, top, width, height, card.fill, card.stroke, card.thickness, card.radius, card.dashed)
    ]
    for step, colour in card.glows:
        shapes.append(Box(left, top, width, height, "", colour, GLOW, card.radius, since=step, until=step + 1))
    line_top = top + 4.0
    for row in card.rows:
        size = max(line.size for line in row)
        line_top += size * 1.36
        shapes += [
            Words(x, line_top - 0.28 * size, line.text, line.size, line.colour, "middle", line.bold,
                  since=line.since, until=line.until)
            for line in row
        ]
    if card.meter is not None:
        full = width - 2 * PAD
        shapes.append(Box(left + PAD, top + height - 9.0, full, 4.0, "raised", "raised", 0.0, 2.0))
        if card.meter > 0:
            shapes.append(Box(left + PAD, top + height - 9.0, max(full * min(card.meter, 1.0), 2.0), 4.0,
                              card.meter_colour, card.meter_colour, 0.0, 2.0))
    return shapes


def _links(
    links: Sequence[Link], layout: Layout, boxes: Mapping[int, tuple[float, float, float, float]],
    placed: Callable[[Point], Point], down: bool,
) -> list[Shape]:
    """Curves first, then their labels, so that no line runs through a number."""
    curves: list[Shape] = []
    words: list[Shape] = []
    taken = [(x - w / 2, y - h / 2, x + w / 2, y + h / 2) for x, y, w, h in boxes.values()]
    ports = _ports(links, layout, boxes, down)
    for place, link in enumerate(links):
        x0, y0, w0, h0 = boxes[link.source]
        x1, y1, w1, h1 = boxes[link.target]
        begin = (x0, y0 + h0 / 2) if down else (x0 + w0 / 2, y0)
        end = (x1 + ports[place], y1 - h1 / 2) if down else (x1 - w1 / 2, y1 + ports[place])
        points = (begin, *(placed(bend) for bend in layout.bends[link.source, link.target]), end)
        curves.append(Curve(points, down, "muted", 1.2, link.dashed))
        for step, colour, backward in link.glows:
            way = tuple(reversed(points)) if backward else points
            curves.append(Curve(way, down, colour, GLOW, since=step, until=step + 1))
        if link.label:
            words += _label(link.label, points, down, taken)
    return curves + words


def _label(label: Sequence[Line], points: Sequence[Point], down: bool, taken: list[tuple[float, float, float, float]]
           ) -> list[Shape]:
    """The label on its line where nothing else stands: near the middle of the first piece if it can be."""
    pieces = list(bezier(points, down))
    width = max(text_width(line.text, line.size) for line in label)
    size = max(line.size for line in label)
    spots = [point_on(piece, t) for piece in (pieces[0], pieces[-1], *pieces[1:-1])
             for t in (0.5, 0.4, 0.6, 0.32, 0.68, 0.25, 0.75)]

    def covered(spot: Point) -> float:
        box = (spot[0] - width / 2 - 2, spot[1] - size / 2 - 1, spot[0] + width / 2 + 2, spot[1] + size / 2 + 1)
        return sum(
            max(0.0, min(box[2], other[2]) - max(box[0], other[0]))
            * max(0.0, min(box[3], other[3]) - max(box[1], other[1])) for other in taken
        )

    x, y = min(spots, key=covered)
    taken.append((x - width / 2, y - size / 2, x + width / 2, y + size / 2))
    return [
        Words(x, y + 0.36 * size, line.text, line.size, line.colour, "middle", line.bold, True, line.since, line.until)
        for line in label
    ]


def _ports(
    links: Sequence[Link], layout: Layout, boxes: Mapping[int, tuple[float, float, float, float]], down: bool
) -> dict[int, float]:
    """Link → how far from the middle of its target's side it arrives, in the order in which the lines come."""
    arriving: dict[int, list[int]] = {}
    for place, link in enumerate(links):
        arriving.setdefault(link.target, []).append(place)
    offsets: dict[int, float] = {}
    for target, places in arriving.items():

        def comes_from(place: int) -> float:
            link = links[place]
            bends = layout.bends[link.source, link.target]
            return (bends[-1] if bends else layout.centres[link.source])[1]

        side = boxes[target][2] if down else boxes[target][3]
        apart = min(14.0, (side - 14.0) / len(places))
        for rank, place in enumerate(sorted(places, key=comes_from)):
            offsets[place] = (rank - (len(places) - 1) / 2) * apart
    return offsets
