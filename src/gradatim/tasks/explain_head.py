"""A linear head explained exactly: its score is a sum, and the sum is parted by column and by word.

score(x) − score(x₀) = Σ_j w_j · (x_j − x₀_j), with x₀ a typical row: numbers at their training mean, categories unseen,
texts empty, pictures and sounds average. Each word of a text is given the features that it is part of: a pair of words
is shared by both, a run of letters belongs to its word.
"""

from collections import Counter
from typing import Any

import numpy as np
import scipy.sparse

from gradatim.errors import GradatimError
from gradatim.estimators.features.text import TOKEN
from gradatim.evaluate.explain.explanation import Part
from gradatim.tasks.explain_network import cut_words
from gradatim.tasks.heads import Block, Head, table_frame
from gradatim.tasks.source import Source


def is_linear(head: Head) -> bool:
    """Whether the score of the head is a weighted sum of its features."""
    coefficients = getattr(head.estimator, "coef_", None)
    width = getattr(head.estimator, "n_features_in_", None)
    return coefficients is not None and np.shape(coefficients)[-1] == width and hasattr(head.estimator, "intercept_")


def linear_score(head: Head, explained: int) -> tuple[np.ndarray, float]:
    """Weights (d,) and offset of the score: two classes: the log odds; more: the class's value less the mean of all."""
    weights = np.asarray(head.estimator.coef_, dtype=np.float64)
    offsets = np.atleast_1d(np.asarray(head.estimator.intercept_, dtype=np.float64))
    if not head.task.classes:
        return weights.reshape(-1), float(offsets[0])
    known = list(np.asarray(head.estimator.classes_, dtype=np.int64))
    if explained not in known:
        raise GradatimError(f"exact: expected a class that the head was fitted on, received "
                            f"'{head.task.classes[explained]}'")
    weights = np.atleast_2d(weights)
    if len(weights) == 1:
        sign = 1.0 if known.index(explained) == 1 else -1.0
        return sign * weights[0], sign * float(offsets[0])
    place = known.index(explained)
    return weights[place] - weights.mean(0), float(offsets[place] - offsets.mean())


def head_parts(
    head: Head, source: Source, row: int, explained: int
) -> tuple[tuple[Part, ...], float, float]:
    """The parts of a row, the score there and at the typical row; the totals of the parts are the difference."""
    if not is_linear(head):
        raise GradatimError(f"exact: expected a linear head, this one is {type(head.estimator).__name__}; use removal")
    weights, offset = linear_score(head, explained)
    parts: list[Part] = []
    reference, start = offset, 0
    for block in head.blocks:
        features = block.matrix(source, np.array([row]))
        width = features.shape[1]
        w = weights[start : start + width]
        start += width
        x = features.toarray()[0] if scipy.sparse.issparse(features) else np.asarray(features)[0]
        x = x.astype(np.float64)
        if block.kind == "table":
            typical = typical_row(block)
            reference += float(w @ typical)
            parts += _table_parts(block, source, row, w * (x - typical))
            continue
        cell = source.table.cell(block.columns[0], row)
        kind = "text" if block.kind == "text" else next(iter(block.codecs.values())).kind
        words = () if block.kind != "text" or not cell else word_contributions(block.extractor, str(cell), w * x)
        parts.append(Part(block.columns[0], kind, cell, float(w @ x), words=words))
    order = {name: place for place, name in enumerate(head.columns)}
    parts.sort(key=lambda part: order[part.column])
    return tuple(parts), reference + sum(part.total or 0.0 for part in parts), reference


def typical_row(block: Block) -> np.ndarray:
    """Features of numbers at their training mean and of categories that were never seen, float64 (d,)."""
    extractor = block.extractor
    frame: dict[str, Any] = {name: np.array([mean]) for name, mean in zip(extractor.numbers, extractor.means_)}
    x = np.zeros(len(extractor.get_feature_names_out()))
    numbers = type(extractor)(numbers=extractor.numbers, categories=(), bins=extractor.bins)
    for name in ("means_", "scales_", "flags_", "edges_", "edge_starts_"):
        setattr(numbers, name, getattr(extractor, name))
    numbers.levels_, numbers.rare_levels_, numbers.missing_levels_ = [], [], np.zeros(0, dtype=bool)
    block_of_numbers = numbers.transform(frame)[0] if extractor.numbers else np.zeros(0)
    x[: len(block_of_numbers)] = block_of_numbers
    return x * block.scale


def _table_parts(block: Block, source: Source, row: int, contributions: np.ndarray) -> list[Part]:
    """Contributions summed by column: a number has its value, its flag and its bins, a category its levels."""
    extractor, parts, start = block.extractor, [], 0
    frame = table_frame(source, block.codecs, block.columns, np.array([row]))
    for place, name in enumerate(extractor.numbers):
        bins = max(0, int(extractor.edge_starts_[place + 1] - extractor.edge_starts_[place]) - 1)
        width = 1 + int(extractor.flags_[place]) + bins
        value = float(frame[name][0])
        cell = None if np.isnan(value) else value
        parts.append(Part(name, "number", cell, float(contributions[start : start + width].sum())))
        start += width
    for place, name in enumerate(extractor.categories):
        width = (len(extractor.levels_[place]) + bool(extractor.rare_levels_[place])
                 + int(extractor.missing_levels_[place]))
        parts.append(Part(name, "category", frame[name][0], float(contributions[start : start + width].sum())))
        start += width
    return parts


def word_contributions(extractor: Any, text: str, contributions: np.ndarray) -> tuple[tuple[str, float], ...]:
    """What the features of a text add, dealt out to its words (between spaces); the sum is that of all features.

    A feature is shared equally by its occurrences, an occurrence of several words by these words.
    """
    words = text.split()
    owners: dict[int, list[tuple[int, ...]]] = {}
    columns = {name: column for column, name in enumerate(extractor.words_)}
    first = len(extractor.words_)
    columns |= {f"\x00{name}": first + column for column, name in enumerate(extractor.characters_)}
    if extractor.word_ngrams is not None:
        tokens = [(place, token) for place, word in enumerate(words) for token in TOKEN.findall(word.lower())]
        for length in range(1, extractor.word_ngrams + 1):
            for begin in range(len(tokens) - length + 1):
                run = tokens[begin : begin + length]
                column = columns.get(" ".join(token for _, token in run))
                if column is not None:
                    owners.setdefault(column, []).append(tuple(place for place, _ in run))
    if extractor.character_ngrams is not None:
        shortest, longest = extractor.character_ngrams
        for place, word in enumerate(words):
            for piece, count in character_runs(f" {word.lower()} ", shortest, longest).items():
                column = columns.get(f"\x00{piece}")
                if column is not None:
                    owners.setdefault(column, []).extend([(place,)] * count)
    sums = np.zeros(len(words))
    for column, places in owners.items():
        for owner in places:
            for place in owner:
                sums[place] += contributions[column] / len(places) / len(owner)
    spans, position = [], 0
    for word in words:
        begin = text.index(word, position)
        position = begin + len(word)
        spans.append((begin, position))
    return cut_words(text, spans, sums)


def character_runs(padded: str, shortest: int, longest: int) -> Counter[str]:
    """The runs of letters in a word with its two spaces; a word shorter than a run counts once, whole."""
    runs: Counter[str] = Counter()
    for size in range(shortest, longest + 1):
        runs.update(padded[start : start + size] for start in range(max(1, len(padded) - size + 1)))
        if size >= len(padded):
            break
    return runs
