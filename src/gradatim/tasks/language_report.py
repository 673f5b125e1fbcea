"""What the report of a language model adds: generated texts, the loss as it fell, surprising passages."""

from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from gradatim.tasks.generate import Manner, generate
from gradatim.tasks.language_model import LanguageModel
from gradatim.tasks.members import Ensemble

if TYPE_CHECKING:
    from gradatim.tasks.language_training import NetworkTraining

SAMPLES = 3
SAMPLE_TOKENS = 200
PASSAGES = 3
PASSAGE_TOKENS = 240
MOST_BITS, MOST_BITS_A_CHARACTER = 14.0, 6.0  # surprise of a token, and mean of a word's characters, drawn darkest


def sections(
    task: LanguageModel, ensemble: Ensemble, texts: Sequence[str], answers: Sequence[np.ndarray],
    training: "NetworkTraining | None", seed: int,
) -> list[dict[str, Any]]:
    """Sections of the report as JSON values, see gradatim.evaluate.sections."""
    found = [samples(ensemble, seed)]
    if training is not None and training.history is not None:
        found.append(curve(training))
    found.append(surprises(task, texts, answers))
    found.append(growth(texts, answers))
    return found


def samples(ensemble: Ensemble, seed: int) -> dict[str, Any]:
    """Generated texts: drawn as they are probable, and drawn with the unlikely left out."""
    rows = []
    for name, manner in (
        ("sampled", Manner(tokens=SAMPLE_TOKENS, count=SAMPLES, seed=seed)),
        ("top-p 0.9", Manner(tokens=SAMPLE_TOKENS, count=SAMPLES, seed=seed, top_p=0.9)),
        ("greedy", Manner("greedy", tokens=SAMPLE_TOKENS)),
    ):
        rows += [[name, one.text + ("" if one.ended else " …"), f"{one.log_probability:.1f}"]
                 for one in generate(ensemble, "", manner)]
    return {"title": "Generated texts", "text": "From no prompt; … where the text was cut at "
            f"{SAMPLE_TOKENS} tokens.", "items": [
                {"kind": "table", "columns": ["how", "text", "log-probability"], "rows": rows}]}


def curve(training: "NetworkTraining") -> dict[str, Any]:
    """Bits a token, by steps, on training and development texts."""
    assert training.history is not None
    rows = [row for row in training.history.rows if row.get("loss") is not None]
    steps = [row["steps"] for row in rows]
    series = [
        {"name": "training", "x": steps, "y": [row["loss"] / np.log(2) for row in rows], "dashed": True},
        {"name": "development", "x": steps, "y": [row.get("development_bits") for row in rows]},
    ]
    return {"title": "How the network learned", "text": training.settings["why"] + ".", "items": [
        {"kind": "lines", "title": "Bits a token", "x": {"label": "steps"}, "y": {"label": "bits a token"},
         "series": series,
         "note": "The training loss is the mean over a round, with dropout; the development texts are read without."}]}


def surprises(task: LanguageModel, texts: Sequence[str], answers: Sequence[np.ndarray]) -> dict[str, Any]:
    """The test texts with most bits a character, each token marked by its surprise, and a usual one to compare with."""
    bits = np.array([-np.log2(given).sum() / (len(text) + 1) for given, text in zip(answers, texts)])
    order = [place for place in np.argsort(-bits).tolist() if len(texts[place]) >= 30] or np.argsort(-bits).tolist()
    chosen = [*order[:PASSAGES], order[len(order) // 2]]
    items = []
    for rank, place in enumerate(chosen):
        heading = "of middling surprise" if rank == len(chosen) - 1 else "among the most surprising"
        items.append(marked(task, texts[place], answers[place], f"{heading}: {bits[place]:.2f} bits per character"))
    by_word = task.tokens.kind == "characters"
    unit = f"words of {MOST_BITS_A_CHARACTER:.0f} bits a character" if by_word else f"tokens of {MOST_BITS:.0f} bits"
    return {"title": "Surprising test texts", "text": "The darker, the less probable the model held what came; "
            f"{unit} and more are darkest.", "items": items}


def marked(task: LanguageModel, text: str, given: np.ndarray, note: str) -> dict[str, Any]:
    """A text with the surprise of each token as a weight from 0 to 1; of characters, the mean of each word's."""
    by_word = task.tokens.kind == "characters"
    darkest = MOST_BITS_A_CHARACTER if by_word else MOST_BITS
    pieces = task.tokens.pieces(task.tokens.ids(text))[:PASSAGE_TOKENS]
    parts: list[dict[str, Any]] = []
    shown, spent, count = "", 0.0, 0
    for place, (piece, probability) in enumerate(zip(pieces, given)):
        shown, spent, count = shown + piece, spent - float(np.log2(probability)), count + bool(piece)
        ends = place + 1 == len(pieces) or (piece.isspace() if by_word else bool(piece))
        if ends and shown:  # the halves of a spelling count to the character that they make
            parts.append({"text": shown, "label": None, "weight": min(spent / max(count, 1) / darkest, 1.0)})
            shown, spent, count = "", 0.0, 0
    if len(pieces) < len(given) - 1:
        parts.append({"text": " …", "label": None, "weight": None})
    return {"kind": "marked", "parts": parts, "note": note}


def growth(texts: Sequence[str], answers: Sequence[np.ndarray]) -> dict[str, Any]:
    """Bits a token by place in the text: what context is worth."""
    longest = max(map(len, answers))
    bounds = np.unique(np.concatenate([[0], np.geomspace(1, max(longest, 2), 14).astype(int)]))
    x, y = [], []
    for low, high in pairwise(bounds.tolist()):
        part = [given[low:high] for given in answers if len(given) > low]
        count = sum(map(len, part))
        if count >= 30:
            x.append(float(np.log2((low + high + 1) / 2)))
            y.append(float(-np.log2(np.concatenate(part)).mean()))
    return {"title": "What context is worth", "text": "Mean surprise of a token by its place in the text.", "items": [
        {"kind": "lines", "title": "Bits by place", "x": {"label": "log₂ of the place in the text"},
         "y": {"label": "bits a token"}, "series": [{"name": "test texts", "x": x, "y": y}]}]}
