"""What every explanation gives, as plain values: a score, and what each column, word and pixel has to do with it."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from gradatim.data.codecs.mel import hertz_of_mel, mel_of_hertz
from gradatim.data.codecs.series_cells import shown_series

LONGEST_CELL = 2000
MOST_HEAT = 48  # places a side of the heat in JSON


@dataclass(frozen=True, slots=True)
class Part:
    """One column of one row.

    total: what the column adds to the score (None: the method does not say). words: [(text, score)] in order, spaces
    and all, so that the texts joined are the cell. heat: (h, w) over a picture or over a spectrogram (low frequencies
    at the bottom, evenly in mel). seconds, hertz: of a sound, how far the heat goes from 0 in time and in frequency.
    signed: whether scores below 0 speak against the answer.
    """

    column: str
    kind: str
    cell: Any = None
    total: float | None = None
    words: tuple[tuple[str, float], ...] = ()
    heat: np.ndarray | None = None
    signed: bool = True
    note: str = ""
    seconds: float | None = None
    hertz: float | None = None

    def to_json(self) -> dict[str, Any]:
        """JSON values; the heat in at most 48 places a side."""
        cell = shown_series(self.cell) if self.kind == "series" else self.cell
        if self.kind != "series" and not (cell is None or isinstance(cell, str | int | float | bool)):
            cell = f"<{type(cell).__name__}>"
        return {
            "column": self.column, "kind": self.kind,
            "cell": cell[:LONGEST_CELL] if isinstance(cell, str) else cell,
            "total": None if self.total is None else _plain(self.total),
            "words": [[text, _plain(score)] for text, score in self.words],
            "heat": None if self.heat is None else [[_plain(v) for v in row] for row in smaller(self.heat)],
            "signed": self.signed, "note": self.note,
            **({} if self.seconds is None else {"seconds": _plain(self.seconds), "hertz": self.hertz}),
        }


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why a row was answered as it was.

    predicted, probability, true: as the run answers (probability, true: None where there is none). explained: the class
    or the target that the score is of. unit: of the score: "log odds" or "value". score: of the row; reference: of the
    input that the parts are measured from (None: the method has none). answered_by: what was explained.
    checks: (share of random weights, rank correlation) of the test with random weights.
    """

    row: int
    method: str
    predicted: Any
    explained: str
    unit: str
    score: float
    parts: tuple[Part, ...]
    line: int | None = None
    probability: float | None = None
    true: Any = None
    reference: float | None = None
    answered_by: str = ""
    notes: tuple[str, ...] = ()
    checks: tuple[tuple[float, float], ...] = field(default=())

    def to_json(self) -> dict[str, Any]:
        """JSON values."""
        return {
            "row": self.row, "line": self.line, "method": self.method, "predicted": self.predicted,
            "probability": self.probability, "true": self.true, "explained": self.explained, "unit": self.unit,
            "score": _plain(self.score), "reference": None if self.reference is None else _plain(self.reference),
            "answered_by": self.answered_by, "parts": [part.to_json() for part in self.parts],
            "notes": list(self.notes), "checks": [list(check) for check in self.checks],
        }

    def checked(self, checks: Sequence[tuple[float, float]]) -> "Explanation":
        """The same with the figures of a randomisation test."""
        return replace(self, checks=tuple(checks))

    def __str__(self) -> str:
        sure = "" if self.probability is None else f" with {self.probability:.1%}"
        place = f"line {self.line}" if self.line is not None else f"row {self.row}"
        lines = [f"{place}: {self.predicted}{sure}" + ("" if self.true is None else f", true {self.true}"),
                 f"{METHODS[self.method][0]}, {self.unit} of {self.explained}: {self.score:+.3g}"
                 + ("" if self.reference is None else f" (from {self.reference:+.3g})")]
        for part in self.parts:
            total = " " * 9 if part.total is None else f"{part.total:+9.3g}"
            lines.append(f"  {total}  {part.column}: {said_of(part)}" + (f" ({part.note})" if part.note else ""))
        lines += [f"  {note}" for note in self.notes]
        for share, correlation in self.checks[1:]:
            lines.append(f"  with {share:.0%} of the weights random: rank correlation {correlation:+.2f}")
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        from gradatim.evaluate.explain.page import explanation_page

        return explanation_page([self])


# Method → its name in a sentence, and what its numbers mean.
METHODS = {
    "removal": (
        "what is lost without it",
        "Each number is what the score loses when that part is taken away: a column is left empty, a word is cut out, "
        "a patch of the picture is covered with its mean colour, a moment of a sound falls silent in some of its "
        "frequencies. It holds for the whole answer, whatever models stand "
        "behind it. Parts that can stand in for one another each look unimportant.",
    ),
    "exact": (
        "weight times feature",
        "The answer is a weighted sum, and each number is a part of that sum, measured from a typical row: numbers at "
        "their mean, no words, an average picture. Together they are the whole difference.",
    ),
    "saliency": (
        "gradient",
        "How strongly the network's score answers to the smallest change of a pixel: where it is sensitive, not for or "
        "against. Words and numbers: gradient times value.",
    ),
    "smooth_grad": (
        "gradient, averaged over noisy copies",
        "The gradient of the network's score, averaged over copies of the row with a little noise: less speckle than "
        "the plain gradient. Words and numbers: gradient times value.",
    ),
    "integrated_gradients": (
        "integrated gradients",
        "What each part adds to the network's score on the straight way from an empty row (mean pixels and numbers, no "
        "words) to this one. Together they are the whole difference.",
    ),
    "grad_cam": (
        "Grad-CAM",
        "Where the last maps of the network's convolutions speak for the answer: coarse, for pictures and sounds only.",
    ),
}


def said_of(part: Part, most: int = 6) -> str:
    """The cell in a line; of a text its strongest words, of a picture where the heat is."""
    if part.words:
        ranked = sorted((word for word in part.words if word[0].strip()), key=lambda word: -abs(word[1]))[:most]
        return ", ".join(f"{word.strip()} {score:+.2g}" for word, score in ranked)
    if part.kind == "series" and part.cell is not None:
        where = "" if part.heat is None else f", strongest {_when(part.heat)}"
        return (part.cell[:60] if isinstance(part.cell, str) else "a series") + where
    if part.heat is not None and part.seconds is not None and part.hertz is not None:
        return f"{part.cell if isinstance(part.cell, str) else part.kind}, strongest " + _where_heard(
            part.heat, part.seconds, part.hertz)
    if part.heat is not None and part.heat.shape[0] > 1:
        row, column = np.unravel_index(int(np.abs(part.heat).argmax()), part.heat.shape)
        return f"{part.cell if isinstance(part.cell, str) else part.kind}, strongest " + place_name(
            (row + 0.5) / part.heat.shape[0], (column + 0.5) / part.heat.shape[1])
    return "missing" if part.cell is None else str(part.cell)[:80]


def _when(heat: np.ndarray) -> str:
    """Where in a series the heat is greatest, in hundredths of its length, and in which channel."""
    channel, place = np.unravel_index(int(np.abs(heat).argmax()), heat.shape)
    start, stop = 100 * place / heat.shape[1], 100 * (place + 1) / heat.shape[1]
    which = f" of channel {channel + 1}" if heat.shape[0] > 1 else ""
    return f"from {start:.0f} to {stop:.0f} % of the time{which}"


def _where_heard(heat: np.ndarray, seconds: float, hertz: float) -> str:
    """When and how high in a sound the heat is greatest."""
    row, column = np.unravel_index(int(np.abs(heat).argmax()), heat.shape)
    rows, columns = heat.shape
    low, high = hertz_of_mel(np.array([rows - 1 - row, rows - row]) / rows * mel_of_hertz(np.array(hertz))) / 1000
    return f"{seconds * column / columns:.2f}–{seconds * (column + 1) / columns:.2f} s, {low:.2g}–{high:.2g} kHz"


def place_name(down: float, across: float) -> str:
    """Where a point lies in a picture, in words.

    >>> place_name(0.1, 0.9), place_name(0.5, 0.5)
    ('at the top right', 'in the middle')
    """
    rows, columns = ("top", "", "bottom")[min(int(down * 3), 2)], ("left", "", "right")[min(int(across * 3), 2)]
    return f"at the {' '.join(word for word in (rows, columns) if word)}" if rows or columns else "in the middle"


def smaller(heat: np.ndarray, most: int = MOST_HEAT) -> np.ndarray:
    """The heat in at most so many places a side, by means over blocks; what comes to lie at the end keeps its mean."""
    for axis in (0, 1):
        length = heat.shape[axis]
        if length > most:
            starts = np.arange(most) * length // most
            sizes = np.diff([*starts, length])
            heat = np.add.reduceat(heat, starts, axis=axis) / sizes.reshape([-1, 1] if axis == 0 else [1, -1])
    return heat


def _plain(value: float) -> float:
    """Four digits: enough to look at."""
    return float(f"{float(value):.4g}")
