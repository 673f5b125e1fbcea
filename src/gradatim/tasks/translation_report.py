"""What the report tells of a translator: candidates, examples, who looks where, lengths, the worst rows."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from gradatim.data.placeholders import difference
from gradatim.evaluate.texts import measure_texts, row_scores
from gradatim.tasks.translation import Translation
from gradatim.tasks.translation_batches import Texts
from gradatim.tasks.translation_network import TranslatorMember

if TYPE_CHECKING:
    from gradatim.tasks.translation_line import Parts, TextCandidate

EXAMPLES, WORST, PICTURES = 12, 10, 3
MOST_SHOWN = 240  # characters of a text
PICTURE_WORDS = (4, 14)  # tokens on a side of a picture
LENGTHS = ((0, 15), (15, 30), (30, 60), (60, 120), (120, 10**9))  # characters of the source
FEWEST_IN_BUCKET = 8
RIGHT = 99.9  # a score from which a row is no bad one


def facts_of(
    parts: "Parts", task: Translation, candidates: Sequence["TextCandidate"], chosen: "TextCandidate", verdict: str,
    scores: dict[str, Any], said: Sequence[str], notes: Sequence[str],
) -> dict[str, Any]:
    """The facts that are this task's own, as gradatim.evaluate.report.Facts."""
    texts, compared, scored = parts.texts, parts.compared, parts.scored
    metric, entry = task.metric, scores["metrics"][task.metric]
    listed = [{"name": one.name, "metric": metric, **one.score, "seconds": one.seconds, "chosen": one is chosen,
               "weight": float(one is chosen), "note": one.note} for one in candidates]
    network = next((one.trained for one in candidates if one.trained is not None), None)
    shared = _shared_targets(parts)
    best = max(candidates, key=lambda one: one.score["value"])
    facts: dict[str, Any] = {
        "answer": {"name": chosen.name, "why": f"{best.name} has the highest {metric}, {best.score['value']:.1f}, on "
                                               f"{len(compared)} development rows", "verdict": verdict,
                   "notes": [*(network.notes if network else []), *notes, *shared]},
        "candidates": listed,
        "candidates_note": [f"{metric} of {len(compared)} development rows that none of them was fitted on", verdict],
        "score": {"metric": metric, "value": entry["value"], "low": entry["low"], "high": entry["high"],
                  "rows": len(scored), "note": notes[0] if notes else ""},
        "scores": scores,
    }
    if network is not None:
        facts["plan"] = {name: value for name, value in network.shown().items()
                         if name not in ("forecast", "reasons", "placement")}
        facts["forecast"] = {"translator": network.result.forecast()}
    sources, truth = _column(texts, scored)
    facts["sections"] = [
        _examples(sources, truth, said, parts.scored), *_pictures(candidates, _column(texts, compared)[0]),
        _lengths(task, sources, truth, said), _worst(task, sources, truth, said, parts.scored),
    ]
    return facts


def _column(texts: Texts, rows: np.ndarray) -> tuple[list[str], list[str]]:
    return [str(texts.sources[row]) for row in rows], [str(texts.targets[row]) for row in rows]


def _shared_targets(parts: "Parts") -> list[str]:
    """How many references of the test part were seen in training with another source: they are easier."""
    taught = {parts.texts.targets[row] for row in parts.train}
    shared = sum(parts.texts.targets[row] in taught for row in parts.scored)
    if not shared:
        return []
    return [f"{shared} of {len(parts.scored)} test references are also the target of a training pair with another "
            "source"]


def _short(text: str) -> str:
    return text if len(text) <= MOST_SHOWN else text[: MOST_SHOWN - 1] + "…"


def _examples(
    sources: Sequence[str], truth: Sequence[str], said: Sequence[str], rows: np.ndarray
) -> dict[str, Any]:
    """An even choice of test rows, short to long."""
    order = np.argsort([len(text) for text in sources], kind="stable")
    picked = order[np.linspace(0, len(order) - 1, min(EXAMPLES, len(order))).astype(int)]
    table = {"kind": "table", "columns": ["source", "written", "reference", "row"],
             "rows": [[*(_short(side[place]) for side in (sources, said, truth)), int(rows[place])]
                      for place in dict.fromkeys(picked.tolist())]}
    return {"title": "Examples", "text": "Test rows from short to long, picked by length alone.", "items": [table]}


def _pictures(candidates: Sequence["TextCandidate"], sources: Sequence[str]) -> list[dict[str, Any]]:
    """Where the network looked while it wrote, chosen or not, for some development rows of readable length."""
    network = next((one for one in candidates if isinstance(one.member, TranslatorMember)), None)
    if network is None:
        return []
    member, items = network.member, list[dict[str, Any]]()
    for source, text in zip(sources, network.said):
        if len(items) == PICTURES:
            break
        encoded = member.tokens.source(source)
        ids = member.tokens.target(text, encoded.literals)[0].tolist()
        low, high = PICTURE_WORDS
        if not (low <= len(encoded.ids) <= high and low <= len(ids) <= high and " " in source.strip()):
            continue
        weights = member.align([encoded], [ids])[0]
        items.append({
            "kind": "heatmap", "title": f"“{_short(source)}” → “{_short(text)}”",
            "rows": _labels(member.tokens.pieces(ids, encoded.literals)),
            "columns": _labels(member.tokens.pieces(encoded.ids, encoded.literals)),
            "values": np.round(weights, 3).tolist(),
            "note": "A row is a token written, a column a token of the source; the stronger the colour, the more "
                    "attention.",
        })
    if not items:
        return []
    return [{"title": "Where the network looked",
             "text": "The attention on each source token while each token was written, on development rows.",
             "items": items}]


def _labels(pieces: Sequence[str]) -> list[str]:
    """Pieces of words as labels: a dash where a piece goes on from the one before."""
    shown = []
    for place, piece in enumerate(pieces):
        inner = place > 0 and piece[:1].isalnum() and pieces[place - 1][-1:].isalnum()
        shown.append(("-" if inner else "") + (piece.strip().replace("\n", "⏎") or "·"))
    return shown


def _lengths(task: Translation, sources: Sequence[str], truth: Sequence[str], said: Sequence[str]) -> dict[str, Any]:
    """The metric by the length of the source."""
    lengths = np.array([len(text) for text in sources])
    rows = []
    for low, high in LENGTHS:
        places = np.flatnonzero((lengths >= low) & (lengths < high))
        if len(places) >= FEWEST_IN_BUCKET:
            here = places.tolist()
            found = measure_texts(task.metric, [said[p] for p in here], [truth[p] for p in here])
            rows.append([f"{low} to {high - 1}" if high < 10**9 else f"{low} and more", len(places),
                         f"{found['value']:.1f}", f"{found['low']:.1f} to {found['high']:.1f}"])
    return {"title": "By length", "text": f"{task.metric} of test rows by the characters of their source.",
            "items": [{"kind": "table", "columns": ["characters", "rows", task.metric, "95% interval"], "rows": rows}]}


def _worst(
    task: Translation, sources: Sequence[str], truth: Sequence[str], said: Sequence[str], rows: np.ndarray
) -> dict[str, Any]:
    """The rows that score lowest, and those that lost a placeholder."""
    values = row_scores("chrf" if task.metric == "bleu" else task.metric, said, truth)
    order = [p for p in np.lexsort((np.arange(len(values)), values))[:WORST].tolist() if values[p] < RIGHT]
    table = {"kind": "table", "columns": ["source", "written", "reference", "score", "row"],
             "rows": [[_short(sources[p]), _short(said[p]), _short(truth[p]), f"{values[p]:.0f}", int(rows[p])]
                      for p in order]}
    lost: list[int] = [p for p in range(len(said)) if any(difference(sources[p], said[p]))][:WORST]
    items = [table]
    if lost:
        items.append({"kind": "table", "columns": ["source", "written", "lost", "made up", "row"],
                      "note": "Placeholders that a program would miss, or that it cannot fill.",
                      "rows": [[_short(sources[p]), _short(said[p]),
                                *(" ".join(part) for part in difference(sources[p], said[p])), int(rows[p])]
                               for p in lost]})
    return {"title": "Worst rows", "text": "Often another wording that is right: one reference is not the only one.",
            "items": items}
