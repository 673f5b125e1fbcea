"""Explanations by taking parts away: how much does the answer lose without this patch, this word?

They need nothing but answers, so they hold for anything that answers: trees, kernels, several models together.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise

import numpy as np

from gradatim.data.codecs.mel import mel_of_hertz

WORDS = re.compile(r"\w+(?:['’\-]\w+)*|[^\w\s]+")
MOST_PIECES = 160
FADE_SECONDS, FADE_MEL = 0.01, 0.5  # over which parts of a sound pass into one another
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


def sound_patches(wave: np.ndarray, hertz: int, bands: int, moments: int) -> list[np.ndarray]:
    """A sound (N,) parted into bands even in mel, each into moments even in time; the parts add up to the sound.

    Lowest band first, its moments in order: bands × moments arrays float32 (N,). Neighbours overlap by a little, so
    that taking one away makes no click of its own.

    >>> wave = np.random.default_rng(0).normal(size=4000)
    >>> bool(np.allclose(sum(sound_patches(wave, 16_000, 3, 4)), wave, atol=1e-5))
    True
    """
    count = max(len(wave), 1)
    padded = np.pad(np.asarray(wave, dtype=np.float64), (0, count - len(wave)))
    spectrum = np.fft.rfft(padded, 2 * count)  # twice as long: what rings past the end does not come back at the start
    mel = mel_of_hertz(np.fft.rfftfreq(2 * count, 1 / hertz))
    times = (np.arange(count) + 0.5) / hertz
    shares = _shares(times, np.linspace(0, count / hertz, moments + 1), FADE_SECONDS)
    found = []
    for share in _shares(mel, np.linspace(0, float(mel_of_hertz(np.array(hertz / 2))), bands + 1), FADE_MEL):
        band = np.fft.irfft(spectrum * share, 2 * count)[:count]
        found += [(band * moment)[: len(wave)].astype(np.float32) for moment in shares]
    return found


def _shares(places: np.ndarray, edges: np.ndarray, fade: float) -> list[np.ndarray]:
    """How much of each place belongs to each stretch between edges: 0 to 1, together 1 everywhere."""
    fade = min(fade, float(edges[1] - edges[0]) / 2)
    past = [np.clip((places - edge) / fade + 0.5, 0, 1) for edge in edges[1:-1]]
    steps = [np.ones_like(places), *past, np.zeros_like(places)]
    return [before - after for before, after in pairwise(steps)]
