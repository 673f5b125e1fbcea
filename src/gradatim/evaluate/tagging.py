"""How well sentences were tagged: entities right as a whole (type, first and last token), tokens, sentences.

An entity counts as found when its type and both ends are right, as CoNLL's scorer has it (Tjong Kim Sang & De Meulder
2003). Precision, recall and F are ratios of sums over sentences; their intervals come from drawing sentences with
replacement, so that the entities of one sentence, which are right or wrong together, stay together.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from gradatim.evaluate.intervals import bootstrap_means, wilson

OF_ENTITIES = ("entity_f1", "entity_precision", "entity_recall")
Span = tuple[str, int, int]  # type, first token, one past the last

# metric → (title, higher is better, in percent)
TAGGING = {
    "entity_f1": ("F of whole entities", True, True),
    "entity_precision": ("entities said that are right", True, True),
    "entity_recall": ("entities found", True, True),
    "token_accuracy": ("tokens with the right tag", True, True),
    "sentence_accuracy": ("sentences without an error", True, True),
}


@dataclass(frozen=True, slots=True)
class Sentence:
    """Truth and answer of one sentence: tags as texts and the entities they spell."""

    true_tags: Sequence[str]
    said_tags: Sequence[str]
    true: Sequence[Span]
    said: Sequence[Span]


def score_tagging(sentences: Sequence[Sentence], kinds: Sequence[str], *, seed: int = 0) -> dict[str, Any]:
    """Every metric with its interval, and a row for each type of entity (each tag, where tags are no entities).

    kinds: the types of entities; none for plain tags. The result has "metrics", "per_type" (name, precision, recall,
    f1, true, said), "notes" and "rows".

    >>> said = Sentence(["B-A", "O"], ["B-A", "B-A"], [("A", 0, 1)], [("A", 0, 1), ("A", 1, 2)])
    >>> round(score_tagging([said], ["A"])["metrics"]["entity_f1"]["value"], 3)
    0.667
    """
    found: dict[str, Any] = {}
    parts = counts_of(sentences)
    for name, counts in parts.items():
        if name == "sentence_accuracy" or (name in OF_ENTITIES and not kinds):
            continue
        low, high = bootstrap_means(counts, ratio, seed=seed)
        found[name] = _entry(name, float(ratio(counts.sum(axis=0)[None])[0]), low, high, "bootstrap over sentences")
    whole = float(parts["sentence_accuracy"][:, 0].sum())
    low, high = wilson(whole, len(sentences))
    found["sentence_accuracy"] = _entry("sentence_accuracy", whole / len(sentences), low, high, "wilson")
    notes = ["An entity is right when its type, its first and its last token are."] if kinds else []
    return {"task": "tagging", "rows": len(sentences), "classes": list(kinds), "metrics": found,
            "per_type": per_type(sentences, kinds), "warnings": [], "notes": notes}


def counts_of(sentences: Sequence[Sentence]) -> dict[str, np.ndarray]:
    """What each sentence adds to a metric above and below the line, float64 (N, 2) by metric."""
    spans = np.array([[len(set(s.true) & set(s.said)), len(s.said), len(s.true)] for s in sentences], dtype=np.float64)
    right = np.array([sum(a == b for a, b in zip(s.true_tags, s.said_tags)) for s in sentences], dtype=np.float64)
    length = np.array([len(s.true_tags) for s in sentences], dtype=np.float64)
    parts = {
        "entity_f1": (2 * spans[:, 0], spans[:, 1] + spans[:, 2]),
        "entity_precision": (spans[:, 0], spans[:, 1]),
        "entity_recall": (spans[:, 0], spans[:, 2]),
        "token_accuracy": (right, length),
        "sentence_accuracy": ((right == length).astype(np.float64), np.ones(len(sentences))),
    }
    return {name: np.stack(pair, axis=1) for name, pair in parts.items()}


def per_type(sentences: Sequence[Sentence], kinds: Sequence[str]) -> list[dict[str, Any]]:
    """Precision, recall, F and counts of each type of entity; of each tag where there are no entities."""
    if not kinds:
        kinds = sorted({tag for s in sentences for tag in (*s.true_tags, *s.said_tags)})
        pairs = [({(tag, place, 0) for place, tag in enumerate(s.true_tags)},
                  {(tag, place, 0) for place, tag in enumerate(s.said_tags)}) for s in sentences]
    else:
        pairs = [(set(s.true), set(s.said)) for s in sentences]
    totals = {kind: [0, 0, 0] for kind in kinds}
    for true, said in pairs:
        for column, spans in enumerate((true & said, said, true)):
            for span in spans:
                totals.setdefault(span[0], [0, 0, 0])[column] += 1
    return [{"name": kind, "precision": hits / said if said else None, "recall": hits / true if true else None,
             "f1": 2 * hits / (said + true) if said + true else None, "true": true, "said": said}
            for kind, (hits, said, true) in totals.items()]


def confusion(sentences: Sequence[Sentence], kinds: Sequence[str]) -> tuple[list[str], np.ndarray]:
    """How many entities of each true type (rows) were said to be of which (columns), counted by overlap.

    Each true entity goes to the entity said that shares most tokens with it (the first of equals), 'none' where no
    token is shared; entities said that touch no true one are the last row. Names end in 'none'.
    """
    names = [*kinds, "none"]
    place = {name: number for number, name in enumerate(names)}
    table = np.zeros((len(names), len(names)), dtype=np.int64)
    for sentence in sentences:
        for kind, start, stop in sentence.true:
            shared = [(min(stop, b) - max(start, a), other) for other, a, b in sentence.said]
            best = max(shared, key=lambda pair: pair[0], default=(0, ""))
            table[place.get(kind, -1), place.get(best[1], -1) if best[0] > 0 else -1] += 1
        for kind, start, stop in sentence.said:
            if all(min(stop, b) <= max(start, a) for _, a, b in sentence.true):
                table[-1, place.get(kind, -1)] += 1
    return names, table


def _entry(name: str, value: float, low: float, high: float, how: str) -> dict[str, Any]:
    title, rising, percent = TAGGING[name]
    return {"value": value, "low": low, "high": high, "interval": how, "title": title, "higher_is_better": rising,
            "percent": percent}


def ratio(means: np.ndarray) -> np.ndarray:
    """Above over below, (M, 2) → (M,); 0 where nothing is below."""
    return np.divide(means[:, 0], means[:, 1], out=np.zeros(len(means)), where=means[:, 1] > 0)
