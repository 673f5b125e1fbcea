"""Why a run answered rows as it did: taking parts away from the whole answer, or asking one of its members.

`removal` needs answers alone and holds for every run. `exact` is for linear heads, the gradient methods for networks;
of several such members the one with the largest weight is asked, and the explanation says so.
"""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl
import torch

from gradatim.data.codecs.picture import open_picture, upright
from gradatim.data.codecs.series_cells import read_series
from gradatim.data.codecs.sound import read_sound
from gradatim.data.schema import Schema
from gradatim.data.table import Table
from gradatim.errors import CellError, GradatimError
from gradatim.estimators.series_rows import interpolated
from gradatim.evaluate.explain.check import randomisation
from gradatim.evaluate.explain.explanation import METHODS, Explanation, Part
from gradatim.evaluate.explain.removal import leave_one_out, occlusion, pieces, sound_patches
from gradatim.evaluate.thumbnails import LONGEST_SECONDS, MOST_BYTES, MOST_PIXELS
from gradatim.tasks.explain_frozen import can_pass, frozen_parts
from gradatim.tasks.explain_head import head_parts, is_linear
from gradatim.tasks.explain_network import GRADIENT_METHODS, cut_words, network_parts
from gradatim.tasks.heads import Head
from gradatim.tasks.members import Ensemble
from gradatim.tasks.network import NetworkMember
from gradatim.tasks.source import Source
from gradatim.tasks.task import Task

SMALLEST = 1e-15
ACROSS = 6  # patches side by side; they overlap by half
MOST_SIDE = 512  # pixels at which a picture is covered: larger ones are made smaller first
SOUND_HERTZ = 16_000
SERIES_PIECES, MOST_APART = 24, 6  # stretches of time; channels beyond so many are levelled together
CHUNK_ROWS = 128
MOST_COLUMNS = 24
FACTS_ROWS, FACTS_ACROSS, FACTS_SECONDS = 2, 4, 4.0
PROBE_ROWS, ROW_ANSWERS = 16, 100  # answers that one explanation takes, about
ALIASES = {"occlusion": "removal", "gradient": "saliency", "ig": "integrated_gradients", "smoothgrad": "smooth_grad",
           "gradcam": "grad_cam"}


def method_of(name: str) -> str:
    """A method of METHODS by its name, with dashes or underscores; GradatimError for another."""
    plain = name.strip().lower().replace("-", "_")
    plain = ALIASES.get(plain, plain)
    if plain not in METHODS:
        raise GradatimError(f"method: expected one of {', '.join(METHODS)}, received '{name:.40}'")
    return plain


def explain_table(
    ensemble: Ensemble, schema: Schema, table: Table | None, rows: int | Sequence[int], **options: Any
) -> list[Explanation]:
    """`explain_rows` by a run's schema, with the row numbers checked first."""
    if table is None:
        raise GradatimError("explain: the table that was fitted is gone or has changed; name one (--table FILE)")
    numbers = list(rows) if isinstance(rows, Iterable) else [rows]
    wrong = [row for row in numbers if not (isinstance(row, int | np.integer) and 0 <= row < len(table))]
    if wrong:
        raise GradatimError(f"rows: expected numbers from 0 to {len(table) - 1}, received {str(wrong[0])[:40]}")
    kinds = {column.name: column.kind for column in schema.inputs}
    return explain_rows(ensemble, kinds, table, [int(row) for row in numbers], **options)


def explain_rows(
    ensemble: Ensemble,
    kinds: Mapping[str, str],
    table: Table,
    rows: Sequence[int],
    *,
    method: str = "removal",
    of: str | None = None,
    check: bool = False,
    across: int = ACROSS,
) -> list[Explanation]:
    """An `Explanation` for each of the rows of a table.

    kinds: column → kind of the inputs. method: one of METHODS. of: the class whose score is parted; default the
    predicted one. check: also explain with random weights (gradient methods). across: patches side by side on a
    picture. Raises GradatimError where the run has no member that the method is for.
    """
    method, task = method_of(method), ensemble.task
    if task.name not in ("classification", "regression"):
        raise GradatimError(f"explain: expected classification or regression, this run's task is {task.name}")
    member, weight = _asked(ensemble, method)
    if check and method not in GRADIENT_METHODS:
        raise GradatimError(f"check: expected a gradient method ({', '.join(GRADIENT_METHODS)}), received '{method}'; "
                            "only there random weights say something")
    source = Source(table.take(np.asarray(rows, dtype=np.int64)))
    answers = ensemble.answer(source)
    truth = _truth(task, table, rows)
    found = []
    for place, row in enumerate(rows):
        chosen = _class(task, answers[place], of)
        if member is None:
            parts = _Removal(ensemble, task, source.table, place, chosen, across).parts(kinds)
            score, reference = float(score_of_answers(task, answers[place : place + 1], chosen)[0]), None
        elif isinstance(member, Head):
            parts, score, reference = (frozen_parts(member, source, place, chosen, method)
                                       if method in GRADIENT_METHODS else head_parts(member, source, place, chosen))
        else:
            parts, score, reference = network_parts(member, source, place, chosen, method)
        stages: list[tuple[float, float]] = []
        if check and isinstance(member, NetworkMember):
            stages = _checked(member, source, place, chosen, method)
        found.append(Explanation(
            row=int(row), line=table.line(int(row)), method=method, parts=parts, score=score, reference=reference,
            predicted=_predicted(task, answers[place]), true=truth[place],
            probability=float(answers[place].max()) if task.classes else None,
            explained=str(task.classes[chosen]) if task.classes else str(task.target),
            unit="log odds" if task.classes else "value",
            answered_by=_who(member, weight), checks=tuple(stages),
            notes=_notes(member, weight, ensemble),
        ))
    return found


def explained_facts(
    ensemble: Ensemble, schema: Schema, table: Table, rows: np.ndarray, losses: np.ndarray
) -> list[dict[str, Any]]:
    """Explanations of the worst and the best of some rows by their loss, for the report; a row that fails is left out.

    Coarser than `explain_rows` alone, and given up after FACTS_SECONDS; of a run with many columns none.
    """
    kinds = {column.name: column.kind for column in schema.inputs}
    if len(rows) == 0 or len(kinds) > MOST_COLUMNS or not ensemble.columns:
        return []
    began = time.perf_counter()
    ensemble.answer(Source(table.take(np.full(PROBE_ROWS, rows[0]))))
    if (time.perf_counter() - began) * ROW_ANSWERS / PROBE_ROWS > FACTS_SECONDS:
        return []  # a large network: on request, `gradatim explain`
    order, count = np.argsort(losses, kind="stable"), min(FACTS_ROWS, len(rows) // 2)
    chosen = [pair for number in range(count)
              for pair in (("The highest loss", order[-1 - number]), ("The lowest loss", order[number]))]
    found: dict[str, list[dict[str, Any]]] = {}
    for why, place in chosen:
        if time.perf_counter() - began > FACTS_SECONDS:
            break
        try:
            (explanation,) = explain_rows(ensemble, kinds, table, [int(rows[place])], across=FACTS_ACROSS)
        except (GradatimError, RuntimeError, ValueError, OSError):
            continue  # a report without it is better than none
        heading = "" if why in found else why
        found.setdefault(why, []).append({"why": heading, **explanation.to_json()})
    return [entry for why in ("The highest loss", "The lowest loss") for entry in found.get(why, [])]


def score_of_answers(task: Task, answers: np.ndarray, explained: int) -> np.ndarray:
    """Log odds of the class, log p − log(1 − p), or the number itself, float64 (N,)."""
    if not task.classes:
        return np.asarray(answers, dtype=np.float64)
    own, others = answers[:, explained], np.delete(answers, explained, axis=1).sum(1)  # 1 − p would lose its digits
    return np.log(np.maximum(own, SMALLEST)) - np.log(np.maximum(others, SMALLEST))


def _asked(ensemble: Ensemble, method: str) -> tuple[Any, float]:
    """The member that the method asks, None for the whole answer, and its share of the answer."""
    if method == "removal":
        return None, 1.0
    used = sorted(zip(ensemble.weights, ensemble.members), key=lambda pair: -pair[0])
    total = sum(ensemble.weights)
    for weight, member in used:
        if weight > 0 and (isinstance(member, NetworkMember) or can_pass(member) if method in GRADIENT_METHODS
                           else isinstance(member, Head) and is_linear(member)):
            return member, weight / total
    there = ", ".join(sorted({type(member).__name__.lower() for weight, member in used if weight > 0}))
    wanted = "a network (or a linear head on a pretrained one)" if method in GRADIENT_METHODS else "a linear head"
    raise GradatimError(f"method {method}: expected a run that is answered by {wanted}, this one is by {there}; "
                        "use removal, which holds for every run")


def _class(task: Task, answer: np.ndarray, explained: str | None) -> int:
    if not task.classes:
        if explained is not None:
            raise GradatimError(f"class: expected none for {task.name}, received '{explained:.60}'")
        return 0
    if explained is None:
        return int(np.argmax(answer))
    names = [str(name) for name in task.classes]
    if explained not in names:
        raise GradatimError(f"class: expected one of {', '.join(names[:20])}; received '{explained:.60}'")
    return names.index(explained)


def _predicted(task: Task, answer: np.ndarray) -> Any:
    return str(task.classes[int(np.argmax(answer))]) if task.classes else float(answer)


def _truth(task: Task, table: Table, rows: Sequence[int]) -> list[Any]:
    """The target's cells, where the table has them."""
    if task.target is None or task.target not in table.frame.columns:
        return [None] * len(rows)
    column = table.frame.get_column(task.target)
    cells = [column[int(row)] for row in rows]
    return [cell if cell is None or isinstance(cell, int | float) else str(cell) for cell in cells]


def _who(member: Any, weight: float) -> str:
    if member is None:
        return "the whole run"
    what = "network" if isinstance(member, NetworkMember) else "linear head"
    return f"its {what}" + ("" if weight > 0.999 else f", {weight:.0%} of the answer")


def _notes(member: Any, weight: float, ensemble: Ensemble) -> tuple[str, ...]:
    if member is None:
        return ()
    if weight > 0.999:
        calibrated = ensemble.uniform_share or any(t != 1 for t in (ensemble.temperature, *ensemble.temperatures))
        return ("The numbers are those before calibration (temperature and share of chance).",) if calibrated else ()
    return (f"The numbers are those of {_who(member, weight)}; for the whole answer use removal.",)


def _checked(member: NetworkMember, source: Source, row: int, chosen: int, method: str) -> list[tuple[float, float]]:
    def numbers(network: torch.nn.Module) -> np.ndarray:
        parts, _, _ = network_parts(member, source, row, chosen, method, network)
        values = [part.heat.ravel() for part in parts if part.heat is not None]
        values += [np.array([score for text, score in part.words if text.strip()]) for part in parts if part.words]
        values = values or [np.array([part.total or 0.0 for part in parts])]
        return max(values, key=len)

    return [(stage.share, stage.correlation) for stage in randomisation(member.network, numbers)]


class _Removal:
    """Answers to one row with parts of it taken away."""

    def __init__(self, ensemble: Ensemble, task: Task, table: Table, row: int, explained: int, across: int) -> None:
        self.ensemble, self.task, self.explained, self.across = ensemble, task, explained, across
        self.table = table.take(np.array([row]))

    def scores(self, changes: Sequence[tuple[str, Any]]) -> np.ndarray:
        """The score with each change, (column, new cell), alone."""
        found = []
        for start in range(0, len(changes), CHUNK_ROWS):
            part = changes[start : start + CHUNK_ROWS]
            columns: dict[str, list[Any]] = {}
            for place, (name, cell) in enumerate(part):
                if name not in columns:
                    columns[name] = [self.table.cell(name, 0)] * len(part)
                columns[name][place] = cell
            frame = pl.concat([self.table.frame] * len(part), rechunk=False)
            frame = frame.with_columns([_series(name, cells, frame.schema[name]) for name, cells in columns.items()])
            lines = None if self.table.lines is None else np.repeat(self.table.lines, len(part))
            changed = Table(frame, self.table.folder, lines, self.table.source, self.table.notes)
            found.append(score_of_answers(self.task, self.ensemble.answer(Source(changed)), self.explained))
        return np.concatenate(found)

    def parts(self, kinds: Mapping[str, str]) -> tuple[Part, ...]:
        """Every input column, with its words or its heat."""
        names = [name for name in kinds if name in self.ensemble.columns]
        if not names:  # an answer that looks at nothing
            return ()
        cells = {name: self.table.cell(name, 0) for name in names}
        first = names[0]
        lost = self.scores([(first, cells[first]), *((name, None) for name in names)])
        parts = []
        for name, score in zip(names, lost[1:]):
            total = float(lost[0] - score)
            parts.append(self._part(name, kinds[name], cells[name], total))
        return tuple(parts)

    def _part(self, name: str, kind: str, cell: Any, total: float) -> Part:
        if cell is None:
            return Part(name, kind, None, total, note="missing")
        show: Callable[[str, Any], dict[str, Any]] | None = {
            "text": self._words, "image": self._picture, "audio": self._sound,
            "series": self._line}.get(kind)
        try:
            return Part(name, kind, cell, total, **(show(name, cell) if show else {}))
        except (CellError, OSError, RuntimeError, ValueError) as error:
            return Part(name, kind, cell, total, note=f"cannot be read: {error}"[:120])

    def _words(self, name: str, cell: Any) -> dict[str, Any]:
        text = str(cell)
        spans, lost = leave_one_out(lambda texts: self.scores([(name, t) for t in texts]), text, pieces(text))
        return {"words": cut_words(text, spans, lost)}

    def _picture(self, name: str, cell: Any) -> dict[str, Any]:
        image = open_picture(cell, self.table.folder, max_bytes=MOST_BYTES, max_pixels=MOST_PIXELS)
        image = upright(image, white=65535 if image.mode.startswith("I;16") else 255)
        image.thumbnail((MOST_SIDE, MOST_SIDE))
        pixels = np.asarray(image if image.mode == "L" else image.convert("RGB"))
        pixels = pixels.reshape(*pixels.shape[:2], -1)
        sides = [max(2 * -(-side // (2 * self.across)), 2) for side in pixels.shape[:2]]
        patch, stride = (sides[0], sides[1]), (max(sides[0] // 2, 1), max(sides[1] // 2, 1))
        return {"heat": occlusion(lambda many: self.scores([(name, p) for p in many]), pixels, patch=patch,
                                  stride=stride)}

    def _sound(self, name: str, cell: Any) -> dict[str, Any]:
        """Each stretch of time silenced in each range of frequencies."""
        wave, _ = read_sound(cell, self.table.folder, hertz=SOUND_HERTZ, max_seconds=LONGEST_SECONDS,
                             max_bytes=MOST_BYTES, limit_seconds=3600.0)
        bands, moments = max(self.across - 1, 1), 2 * self.across
        parts = sound_patches(wave, SOUND_HERTZ, bands, moments)
        without = [wave, *(wave - part for part in parts)]
        scores = self.scores([(name, {"array": piece, "sampling_rate": SOUND_HERTZ}) for piece in without])
        heat = (scores[0] - scores[1:]).reshape(bands, moments)
        return {"heat": heat[::-1], "seconds": len(wave) / SOUND_HERTZ, "hertz": SOUND_HERTZ / 2}

    def _line(self, name: str, cell: Any) -> dict[str, Any]:
        """Each stretch of each channel replaced by the straight line from before it to after it."""
        values = read_series(cell, self.table.folder)
        assert values is not None
        together = len(values) > MOST_APART
        size = max(-(-values.shape[1] // (SERIES_PIECES if len(values) == 1 else SERIES_PIECES // 2)), 1)
        starts = range(0, values.shape[1], size)
        rows = [slice(None)] if together else [slice(channel, channel + 1) for channel in range(len(values))]
        without = [levelled(values, row, start, start + size) for row in rows for start in starts]
        scores = self.scores([(name, _lists(each)) for each in [values, *without]])
        return {"heat": (scores[0] - scores[1:]).reshape(len(rows), len(starts))}


def levelled(values: np.ndarray, rows: slice, start: int, stop: int) -> np.ndarray:
    """A copy in which steps start to stop of some channels are the straight line between their neighbours.

    >>> levelled(np.array([[0.0, 9.0, 9.0, 3.0]]), slice(None), 1, 3).tolist()
    [[0.0, 1.0, 2.0, 3.0]]
    """
    copy = values.copy()
    copy[rows, start:stop] = np.nan
    for line in copy[rows]:
        line[:] = interpolated(line)
    return copy


def _lists(values: np.ndarray) -> list[list[float | None]]:
    return [[None if np.isnan(value) else float(value) for value in line] for line in values]


def _series(name: str, cells: list[Any], dtype: Any) -> pl.Series:
    """A column of changed cells: its own type where that holds them, else Python objects."""
    if all(cell is None or isinstance(cell, str | int | float | bool) for cell in cells) and dtype != pl.Object:
        return pl.Series(name, cells, dtype=dtype, strict=False)
    return pl.Series(name, cells, dtype=pl.Object)
