"""What the report of a tagging run shows: types one by one, what is taken for what, sentences with marked entities."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from gradatim.evaluate.tagging import Sentence, Span, confusion

MOST_SENTENCES = 12
MOST_TYPES = 30


def sections_of(
    sentences: Sequence[Sentence], tokens: Sequence[Sequence[str]], scores: Mapping[str, Any], kinds: Sequence[str],
    known: set[str],
) -> list[dict[str, Any]]:
    """The sections; sentences are those of the test part, with their tokens; known: the words of training."""
    found = [_types(scores, bool(kinds))]
    if kinds:
        found.append(_unseen(sentences, tokens, known))
        if 1 < len(kinds) <= MOST_TYPES:
            found.append(_confused(sentences, kinds))
    found.append(_shown(sentences, tokens, bool(kinds)))
    return found


def _types(scores: Mapping[str, Any], entities: bool) -> dict[str, Any]:
    listed = sorted(scores["per_type"], key=lambda entry: -entry["true"])[:60]
    rows = [[entry["name"], *(_percent(entry[name]) for name in ("precision", "recall", "f1")), entry["true"],
             entry["said"]] for entry in listed]
    what = "type" if entities else "tag"
    return {"title": f"Each {what} by itself", "text": "On sentences that were used for no choice.",
            "items": [{"kind": "table", "columns": [what, "precision", "recall", "F", "true", "said"], "rows": rows}]}


def _unseen(sentences: Sequence[Sentence], tokens: Sequence[Sequence[str]], known: set[str]) -> dict[str, Any]:
    """Recall of entities whose words were all seen in training, and of those with a word that was not."""
    counts = {"every word seen in training": [0, 0], "some word not seen in training": [0, 0]}
    names = list(counts)
    for sentence, words in zip(sentences, tokens):
        for span in sentence.true:
            name = names[any(word not in known for word in words[span[1] : span[2]])]
            counts[name][1] += 1
            counts[name][0] += span in sentence.said
    rows = [[name, total, hits, _percent(hits / total if total else None)] for name, (hits, total) in counts.items()]
    return {"title": "Entities of known and of new words",
            "text": "A tagger that has learned names by heart finds the first and misses the second.",
            "items": [{"kind": "table", "columns": ["entities with", "true", "found", "recall"], "rows": rows}]}


def _confused(sentences: Sequence[Sentence], kinds: Sequence[str]) -> dict[str, Any]:
    names, table = confusion(sentences, kinds)
    shares = table / np.maximum(table.sum(axis=1, keepdims=True), 1)
    rows = [f"{name or 'entity'} ({int(count)})" for name, count in zip(names, table.sum(axis=1))]
    return {"title": "What is taken for what",
            "text": "Rows are true entities, columns what was said at their place; 'none' as a row: what was said "
                    "where nothing is, as a column: what was missed. Ends may differ here.",
            "items": [{"kind": "heatmap", "title": "true type by type said", "rows": rows,
                       "columns": [name or "entity" for name in names], "values": shares.round(4).tolist()}]}


def _shown(sentences: Sequence[Sentence], tokens: Sequence[Sequence[str]], entities: bool) -> dict[str, Any]:
    """The sentences with most errors, then some from all over the rest."""
    errors = np.array([sum(a != b for a, b in zip(s.true_tags, s.said_tags)) for s in sentences])
    order = np.argsort(-errors, kind="stable")
    worst = [int(place) for place in order[: MOST_SENTENCES // 2] if errors[place]]
    rest = [int(place) for place in order if int(place) not in worst]
    some = rest[:: max(1, len(rest) // (MOST_SENTENCES - len(worst)))][: MOST_SENTENCES - len(worst)]
    items = [{"kind": "marked", "parts": marked(sentences[place], tokens[place], entities),
              "note": f"{int(errors[place])} of {len(tokens[place])} tags wrong" if errors[place] else "all right"}
             for place in [*worst, *some]]
    return {"title": "Sentences", "text": "The ones with most errors first, then some of the others. What is marked as "
                                          "wrong was said and is not so, or is so and was not said.", "items": items}


def marked(sentence: Sentence, tokens: Sequence[str], entities: bool) -> list[dict[str, Any]]:
    """The text in parts, each with what was said of it and whether that is wrong.

    >>> told = Sentence(["B-A", "O"], ["O", "O"], [("A", 0, 1)], [])
    >>> marked(told, ["Ada", "slept"], True)[0]
    {'text': 'Ada', 'label': 'missed: A', 'weight': None, 'wrong': True}
    """
    if not entities:
        return [{"text": token, "label": said if said == true else f"{said}, is {true}", "weight": None,
                 "wrong": said != true}
                for token, said, true in zip(tokens, sentence.said_tags, sentence.true_tags)]
    parts: list[dict[str, Any]] = []
    place = 0
    for kind, start, stop, wrong, prefix in _spans(sentence):
        if start < place:
            continue  # a missed entity beneath one that was said
        if start > place:
            parts.append({"text": " ".join(tokens[place:start]), "label": None, "weight": None, "wrong": False})
        parts.append({"text": " ".join(tokens[start:stop]), "label": f"{prefix}{kind or 'entity'}", "weight": None,
                      "wrong": wrong})
        place = stop
    if place < len(tokens):
        parts.append({"text": " ".join(tokens[place:]), "label": None, "weight": None, "wrong": False})
    return parts


def _spans(sentence: Sentence) -> list[tuple[str, int, int, bool, str]]:
    """Entities said, then missed ones where nothing was said, in the order of the text."""
    right = set(sentence.true)
    said = [(kind, start, stop, (kind, start, stop) not in right, "") for kind, start, stop in sentence.said]
    missed = [(kind, start, stop, True, "missed: ") for kind, start, stop in sentence.true
              if not _touches((kind, start, stop), sentence.said)]
    return sorted([*said, *missed], key=lambda entry: entry[1])


def _touches(span: Span, others: Sequence[Span]) -> bool:
    return any(min(span[2], stop) > max(span[1], start) for _, start, stop in others)


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{value:.1%}"
