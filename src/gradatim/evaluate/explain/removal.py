"""Explanations by taking parts away: how much does the answer lose without this patch, this word?

They need nothing but answers, so they hold for anything that answers: trees, kernels, several models together.
"""

import re
from collections.abc import Callable, Iterator, Sequence

import numpy as np

WORDS = re.compile(r"\w+(?:['’\-]\w+)*|[^\w\s]+")
MOST_PIECES = 160
LONGEST_RUN = 12  # letters without a space, on average, from which a script counts as written without spaces
Span = tuple[int, int]


def windows(side: int, patch: int, stride: int) -> list[int]:
    """Where patches begin along an axis: every `stride` pixels, and once more so that the end is covered.

    >>> windows(10, 4, 3)
    [0, 3, 6]
    >>> windows(11, 4, 3)
    [0, 3, 6, 7]
    """
    if patch >= side:
        return [0]
    starts = list(range(0, side - patch + 1, stride))
    return starts if starts[-1] == side - patch else [*starts, side - patch]


def patches(picture: np.ndarray, patch: tuple[int, int], stride: tuple[int, int], fill: np.ndarray
            ) -> Iterator[tuple[slice, slice, np.ndarray]]:
    """Copies of a picture (H, W, C) with one patch after the other filled: rows, columns, copy."""
    for top in windows(picture.shape[0], patch[0], stride[0]):
        for left in windows(picture.shape[1], patch[1], stride[1]):
            rows, columns = slice(top, top + patch[0]), slice(left, left + patch[1])
            copy = picture.copy()
            copy[rows, columns] = fill
            yield rows, columns, copy


def occlusion(
    answers: Callable[[Sequence[np.ndarray]], np.ndarray],
    picture: np.ndarray,
    *,
    patch: tuple[int, int],
    stride: tuple[int, int],
    fill: np.ndarray | None = None,
) -> np.ndarray:
    """float64 (H, W): at each pixel the mean loss of score over the patches that cover it.

    answers: pictures → a score each. picture: (H, W, C). fill: the colour of a patch, (C,); default the picture's
    mean. Positive where hiding lowers the score. Source: Zeiler & Fergus 2014, section 4.2.

    >>> bright = np.zeros((4, 4, 1)); bright[1, 1] = 1.0
    >>> occlusion(lambda many: np.array([p.sum() for p in many]), bright, patch=(2, 2), stride=(2, 2),
    ...           fill=np.zeros(1))[0].tolist()
    [1.0, 1.0, 0.0, 0.0]
    """
    fill = picture.reshape(-1, picture.shape[-1]).mean(0).astype(picture.dtype) if fill is None else fill
    hidden = list(patches(picture, patch, stride, fill))
    scores = np.asarray(answers([picture, *(copy for _, _, copy in hidden)]), dtype=np.float64)
    heat, count = np.zeros(picture.shape[:2]), np.zeros(picture.shape[:2])
    for (rows, columns, _), score in zip(hidden, scores[1:]):
        heat[rows, columns] += scores[0] - score
        count[rows, columns] += 1
    return heat / count.clip(1)


def pieces(text: str, most: int = MOST_PIECES) -> list[Span]:
    """Where the words and marks of a text lie; of a long text, runs of several.

    A script without spaces is cut into single characters.

    >>> [("a red-hot bus.")[slice(*span)] for span in pieces("a red-hot bus.")]
    ['a', 'red-hot', 'bus', '.']
    """
    spans = [match.span() for match in WORDS.finditer(text)]
    if spans and sum(end - start for start, end in spans) > LONGEST_RUN * len(spans):
        spans = [match.span() for match in re.finditer(r"\S", text)]
    if len(spans) <= most:
        return spans
    size = -(-len(spans) // most)
    return [(spans[start][0], spans[min(start + size, len(spans)) - 1][1]) for start in range(0, len(spans), size)]


def without(text: str, span: Span) -> str:
    """The text with a piece taken out, and the space before it.

    >>> without("a red bus", (2, 5))
    'a bus'
    """
    start, end = span
    return text[: start - (text[:start][-1:] == " ")] + text[end:]


def leave_one_out(
    answers: Callable[[Sequence[str]], np.ndarray], text: str, spans: Sequence[Span] | None = None
) -> tuple[list[Span], np.ndarray]:
    """Each piece of a text and how much of the score is lost without it.

    answers: texts → a score each. Source: Li, Monroe & Jurafsky 2016, "Understanding Neural Networks through
    Representation Erasure".
    """
    found = pieces(text) if spans is None else list(spans)
    scores = np.asarray(answers([text, *(without(text, span) for span in found)]), dtype=np.float64)
    return found, scores[0] - scores[1:]
