"""The rule that takes cells for boxes or points: as a target, or in a column whose name says so."""

import re
from collections.abc import Callable
from typing import Any

from gradatim.data.codecs.boxes import BoxesCodec
from gradatim.data.codecs.points import PointsCodec
from gradatim.data.drafts import Draft, Request, shown
from gradatim.data.evidence import Facts
from gradatim.errors import CellError

BOX_NAME = re.compile(r"(?:^|[^a-z])(?:b?box(?:es)?|bnd_?box|rect(?:angle)?s?)(?:$|[^a-z])", re.IGNORECASE)
POINTS_NAME = re.compile(r"(?:^|[^a-z])(?:key_?|land_?)?(?:points?|marks?|joints?)(?:$|[^a-z])", re.IGNORECASE)
MOST = 0.9  # of the sampled cells must be readable


def places(facts: Facts, draft: Draft, request: Request) -> None:
    """Cells such as [[12, 30, 80, 99, "cat"]], '12 30 80 99 cat' or [[12, 30], [80, 99]]."""
    if draft.kind not in (None, "boxes", "points") or not facts.sample:
        return
    named = draft.kind
    hinted = "points" if POINTS_NAME.search(facts.name) else "boxes" if BOX_NAME.search(facts.name) else None
    if named is None and draft.role != "target" and hinted is None:
        return
    boxes, points = _read(facts.sample, _boxes), _read(facts.sample, _points)
    enough = MOST * len(facts.sample)
    kind = named
    if kind is None and facts.cells.dtype.is_numeric():
        return
    if kind is None and boxes[0] >= enough and hinted != "points" and boxes[1]:
        kind = "boxes"
    elif kind is None and points[0] >= enough and (hinted == "points" or _pairs(facts.sample)):
        kind = "points"
    if kind is None:
        return
    count, most, least = boxes if kind == "boxes" else points
    each = f"{least} to {most}" if least != most else f"{most}"
    draft.kind = kind
    draft.say(f"{count:,} of {len(facts.sample):,} sampled cells read as {kind}, {each} a row, "
              f"as {shown(facts.sample[0])}")
    if draft.role is None:
        draft.role = "ignore"
        draft.say(f"{kind} are read as a target only: --target {facts.name}")


def _read(cells: list[Any], read: Callable[[Any], int]) -> tuple[int, int, int]:
    """How many cells can be read, and the most and the fewest places in one."""
    counts = []
    for cell in cells:
        try:
            counts.append(read(cell))
        except CellError:
            continue
    return len(counts), max(counts, default=0), min(counts, default=0)


def _boxes(cell: Any) -> int:
    return len(BoxesCodec().parse(cell) or [])


def _points(cell: Any) -> int:
    points = PointsCodec().parse(cell)
    return 0 if points is None else len(points)


def _pairs(cells: list[Any]) -> bool:
    """Whether the cells are lists of pairs, which nothing but points are; numbers in a row may be anything."""
    return all(not isinstance(cell, str) or cell.lstrip().startswith("[") for cell in cells)
