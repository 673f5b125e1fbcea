"""How good written texts are against references: BLEU and chrF by sacrebleu, ROUGE for summaries, with intervals.

BLEU (Papineni et al. 2002): geometric mean of the precisions of runs of 1 to 4 words, and a penalty for what is too
short. chrF (Popović 2015): F₂ of runs of 1 to 6 characters. ROUGE-L (Lin 2004): F₁ of the longest common subsequence
of words, mean over the rows; ROUGE-1: F₁ of single words. All from 0 to 100.

Corpus BLEU and chrF are functions of sums over rows, so a bootstrap resamples the rows' counts, and two systems on the
same rows are compared by the same resamples (Koehn 2004, "Statistical Significance Tests for Machine Translation
Evaluation").
"""

import re
from collections import Counter
from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np

from gradatim.errors import GradatimError
from gradatim.randomness import generator

TEXTS = {  # name → title; all rise, from 0 to 100
    "chrf": "chrF (character n-grams, F₂)",
    "bleu": "BLEU",
    "rouge_l": "ROUGE-L (longest common subsequence, F₁)",
    "rouge_1": "ROUGE-1 (words, F₁)",
}
DRAWS = 1000
WORD = re.compile(r"\w+")
ORDERS = 6  # longest run of characters of chrF
BETA = 2.0


@cache
def _sacrebleu(name: str) -> Any:
    """sacrebleu's BLEU or CHRF; the version that is installed is said in `signature`."""
    try:
        from sacrebleu.metrics import BLEU, CHRF
    except ImportError:
        raise GradatimError(f"{name}: expected the package sacrebleu, found none; pip install sacrebleu") from None
    return BLEU() if name == "bleu" else CHRF()


def signature(name: str) -> str:
    """How sacrebleu computed a metric, in its own words; empty for the others.

    >>> signature("rouge_l")
    ''
    """
    if name not in ("bleu", "chrf"):
        return ""
    metric = _sacrebleu(name)
    metric.corpus_score(["a"], [["a"]])  # the signature counts the references
    return str(metric.get_signature())


def counts_of(name: str, said: Sequence[str], references: Sequence[str]) -> np.ndarray:
    """What each row adds to a metric, float64 (N, K): n-gram counts, or the row's own score."""
    if name in ("bleu", "chrf"):
        metric = _sacrebleu(name)
        rows = metric._extract_corpus_statistics(list(said), [list(references)])
        return np.array(rows, dtype=np.float64).reshape(len(said), -1)
    score = rouge_l if name == "rouge_l" else rouge_1
    return np.array([[score(one, other)] for one, other in zip(said, references)], dtype=np.float64).reshape(-1, 1)


def value_of(name: str, sums: np.ndarray, rows: float) -> np.ndarray:
    """The metric of sums of counts, (D, K) → (D,), each over `rows` rows."""
    if name == "bleu":
        return _bleu(sums)
    return _chrf(sums) if name == "chrf" else 100.0 * sums[:, 0] / max(rows, 1)


def _bleu(sums: np.ndarray) -> np.ndarray:
    """sacrebleu's order: words said, words of the reference, four counts of what is right, four of all."""
    said, reference, right, every = sums[:, 0], sums[:, 1], sums[:, 2:6], sums[:, 6:10]
    smooth = 2.0 ** np.cumsum(right == 0, axis=1)  # "exp": the first order without a hit counts ½, the next ¼ …
    with np.errstate(divide="ignore", invalid="ignore"):
        precision = np.where(right > 0, right, 1.0 / smooth) / every
        shortness = np.where(said < reference, np.exp(1 - reference / np.maximum(said, 1e-9)), 1.0)
        found = 100.0 * shortness * np.exp(np.log(precision).mean(axis=1))
    return np.where((every > 0).all(axis=1) & (right[:, 0] > 0), found, 0.0)


def _chrf(sums: np.ndarray) -> np.ndarray:
    """sacrebleu's order: for each run length those said, those of the reference, those in both."""
    said, reference, both = (sums[:, part::3] for part in range(3))
    known = (said > 0) & (reference > 0)
    with np.errstate(divide="ignore", invalid="ignore"):
        precision = np.where(known, both / said, 0).sum(axis=1) / known.sum(axis=1)
        recall = np.where(known, both / reference, 0).sum(axis=1) / known.sum(axis=1)
        found = 100.0 * (1 + BETA**2) * precision * recall / (BETA**2 * precision + recall)
    return np.nan_to_num(found)


def measure_texts(
    name: str, said: Sequence[str], references: Sequence[str], *, seed: int = 0, draws: int = DRAWS
) -> dict[str, Any]:
    """{"value", "low", "high"}: a metric of texts against one reference each, with a bootstrap interval of the rows.

    >>> round(measure_texts("rouge_l", ["a red bus"], ["the red bus"])["value"], 1)
    66.7
    """
    counts = counts_of(name, said, references)
    value = float(value_of(name, counts.sum(axis=0)[None], len(counts))[0])
    drawn = value_of(name, resampled(counts, seed=seed, draws=draws), len(counts))
    low, high = np.quantile(drawn, [0.025, 0.975])
    return {"value": value, "low": float(low), "high": float(high)}


def compare_texts(
    name: str, said: Sequence[str], other: Sequence[str], references: Sequence[str], *, seed: int = 0,
    draws: int = DRAWS,
) -> dict[str, float]:
    """{"value", "low", "high", "wins"}: the metric of `said` less that of `other`, by a paired bootstrap.

    wins: the share of resamples in which `said` is better.
    """
    mine, theirs = counts_of(name, said, references), counts_of(name, other, references)
    rows = len(mine)
    value = value_of(name, mine.sum(axis=0)[None], rows)[0] - value_of(name, theirs.sum(axis=0)[None], rows)[0]
    together = resampled(np.hstack([mine, theirs]), seed=seed, draws=draws)
    width = mine.shape[1]
    drawn = value_of(name, together[:, :width], rows) - value_of(name, together[:, width:], rows)
    low, high = np.quantile(drawn, [0.025, 0.975])
    return {"value": float(value), "low": float(low), "high": float(high), "wins": float((drawn > 0).mean())}


def resampled(counts: np.ndarray, *, seed: int, draws: int) -> np.ndarray:
    """Sums of counts (N, K) over `draws` resamples of the rows, (draws, K)."""
    rows = len(counts)
    random = generator(seed, "texts", rows)
    sums = np.empty((draws, counts.shape[1]))
    chunk = max(1, 4_000_000 // max(rows, 1))
    for start in range(0, draws, chunk):
        size = min(chunk, draws - start)
        times = random.multinomial(rows, np.full(rows, 1 / rows), size=size)
        sums[start : start + size] = times @ counts
    return sums


def row_scores(name: str, said: Sequence[str], references: Sequence[str]) -> np.ndarray:
    """The metric of each row alone, float64 (N,): chrF and ROUGE mean something there, BLEU little."""
    counts = counts_of(name, said, references)
    return value_of(name, counts, 1) if name in ("bleu", "chrf") else 100.0 * counts[:, 0]


def rouge_l(said: str, reference: str) -> float:
    """F₁ of the longest common subsequence of the words, in lower case (Lin 2004, § 3), from 0 to 1."""
    one, other = WORD.findall(said.lower()), WORD.findall(reference.lower())
    if not one or not other:
        return float(one == other)
    before = np.zeros(len(other) + 1, dtype=np.int64)
    codes = {word: number for number, word in enumerate(dict.fromkeys(one + other))}
    right = np.array([codes[word] for word in other])
    for word in one:
        grown = np.where(right == codes[word], before[:-1] + 1, before[1:])
        before = np.append(0, np.maximum.accumulate(grown))
    common = int(before[-1])
    return 2 * common / (len(one) + len(other))


def rouge_1(said: str, reference: str) -> float:
    """F₁ of the words, in lower case, each counted as often as it stands in both (Lin 2004, § 2), from 0 to 1."""
    one, other = Counter(WORD.findall(said.lower())), Counter(WORD.findall(reference.lower()))
    if not one or not other:
        return float(one == other)
    return 2 * (one & other).total() / (one.total() + other.total())
