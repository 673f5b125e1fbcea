"""Small honest predictors: what one column alone says about the target, on rows it was not fitted on.

Every figure is five-fold cross-validated. Numbers are read by their nearest neighbours on the line, categories by
counts, texts by the one word that marks each class best, vectors by ridge regression on class indicators. They are
deliberately weak: what even they predict needs no model.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

FOLDS = 5
NEIGHBOURS = 7
MOST_LEVELS = 50  # a number with at most so many values is read as a category
WORD = re.compile(r"\w+")
MOST_WORDS = 5000


@dataclass(frozen=True, slots=True)
class Target:
    """What is to be predicted. codes: int64 (N,) classes, or quantiles of a number; values: float (N,) of a number."""

    codes: np.ndarray
    classes: tuple[str, ...]
    values: np.ndarray | None = None

    @property
    def numeric(self) -> bool:
        """Whether the target is a number."""
        return self.values is not None

    def take(self, rows: np.ndarray) -> "Target":
        """The given rows."""
        return Target(self.codes[rows], self.classes, None if self.values is None else self.values[rows])


@dataclass(frozen=True, slots=True)
class Gain:
    """How far a probe gets from knowing nothing (0) to knowing all (1).

    For classes (accuracy − majority) / (1 − majority); for numbers the share of variance explained.
    low: the lower end of a 95 % interval; score, baseline: accuracy and majority share, or R² and 0.
    """

    value: float
    low: float
    score: float
    baseline: float
    detail: str = ""

    @property
    def words(self) -> str:
        """The score and its baseline in words."""
        if self.detail == "R²":
            return f"R² {self.score:.3f}"
        return f"accuracy {self.score:.1%} where the most frequent class has {self.baseline:.1%}"


def folds_of(target: Target, random: np.random.Generator) -> np.ndarray:
    """Fold 0 … 4 of each row, classes spread evenly."""
    order = np.lexsort((random.random(len(target.codes)), target.codes))
    folds = np.empty(len(order), np.int64)
    folds[order] = np.arange(len(order)) % FOLDS
    return folds


def gain_of_numbers(values: np.ndarray, target: Target, folds: np.ndarray) -> Gain:
    """What a number column (float (N,), NaN where missing) says of the target."""
    levels, codes = np.unique(np.nan_to_num(values, nan=np.inf), return_inverse=True)
    if len(levels) <= MOST_LEVELS:
        return gain_of_codes(codes, target, folds)
    if target.values is not None:
        guess = np.empty(len(values))
        for fit, held, near in _neighbours(values, folds):
            guess[held] = target.values[fit][near].mean(axis=1)
        return _explained(guess, target.values)
    votes = np.zeros((len(values), len(target.classes)))
    for fit, held, near in _neighbours(values, folds):
        labels = target.codes[fit][near]
        for place in range(labels.shape[1]):
            votes[held, labels[:, place]] += 1
    return _accuracy(votes.argmax(axis=1), target)


def gain_of_codes(codes: np.ndarray, target: Target, folds: np.ndarray) -> Gain:
    """What a category column (int (N,), any numbers) says of the target; levels not fitted on say nothing."""
    _, codes, count = np.unique(codes, return_inverse=True, return_counts=True)
    codes = np.unique(np.where(count[codes] > 1, codes, -1), return_inverse=True)[1]  # a single row says nothing
    if target.values is not None:
        guess = np.empty(len(codes))
        for fold in range(FOLDS):
            fit = folds != fold
            count = np.bincount(codes[fit], minlength=codes.max() + 1)
            total = np.bincount(codes[fit], weights=target.values[fit], minlength=codes.max() + 1)
            mean = target.values[fit].mean() if fit.any() else 0.0
            guess[~fit] = ((total + mean) / (count + 1))[codes[~fit]]
        return _explained(guess, target.values)
    return _accuracy(chances_of_codes(codes, target, folds).argmax(axis=1), target)


def chances_of_codes(codes: np.ndarray, target: Target, folds: np.ndarray) -> np.ndarray:
    """Class probabilities (N, C) from smoothed counts of the other folds: n(code, class) + prior."""
    size, classes = int(codes.max(initial=-1)) + 1, len(target.classes)
    chances = np.empty((len(codes), classes))
    for fold in range(FOLDS):
        fit, held = folds != fold, folds == fold
        prior = (np.bincount(target.codes[fit], minlength=classes) + 0.5) / (fit.sum() + 0.5 * classes)
        pair = np.bincount(codes[fit] * classes + target.codes[fit], minlength=size * classes)
        counts = pair.reshape(size, classes)[codes[held]] + prior
        chances[held] = counts / counts.sum(axis=1, keepdims=True)
    return chances


def gain_of_words(texts: Sequence[str | None], target: Target, folds: np.ndarray) -> tuple[Gain, list[str]]:
    """What the single best word of each class says of the target, and those words.

    In every fold each class gets the word whose presence has the highest F1 for it; a row belongs to the class of
    the most precise word that it holds, else to the class with the least telling word.
    """
    matrix, words = word_matrix(texts)
    if target.values is not None or not words:
        return Gain(0.0, 0.0, 0.0, 0.0, "R²"), []
    guess = np.empty(len(texts), np.int64)
    best_words: list[str] = []
    for fold in range(FOLDS):
        fit, held = np.flatnonzero(folds != fold), np.flatnonzero(folds == fold)
        onehot = np.eye(len(target.classes))[target.codes[fit]]
        both = matrix[fit].T @ onehot
        f1 = 2 * both / np.maximum(both.sum(axis=1, keepdims=True) + onehot.sum(axis=0), 1)
        best = f1.argmax(axis=0)
        place = np.arange(len(target.classes))
        precision = both[best, place] / np.maximum(both[best].sum(axis=1), 1)
        present = matrix[held][:, best].toarray() * precision
        fallback = int(f1[best, place].argmin())
        guess[held] = np.where(present.max(axis=1) > 0, present.argmax(axis=1), fallback)
        best_words = [words[index] for index in best]
    return _accuracy(guess, target), best_words


def gain_of_vectors(vectors: np.ndarray, target: Target, folds: np.ndarray) -> tuple[Gain, np.ndarray]:
    """What float vectors (N, D) say of the classes by ridge regression, and the scores (N, C) of held-out rows."""
    scaled = (vectors - vectors.mean(axis=0)) / (vectors.std(axis=0) + 1e-6)
    onehot = np.eye(len(target.classes))[target.codes]
    scores = np.empty_like(onehot)
    for fold in range(FOLDS):
        fit, held = folds != fold, folds == fold
        centre, mean = scaled[fit].mean(axis=0), onehot[fit].mean(axis=0)
        x = scaled[fit] - centre
        gram = x.T @ x + 0.1 * max(1, len(x)) * np.eye(x.shape[1])
        weights = np.linalg.solve(gram, x.T @ (onehot[fit] - mean))
        scores[held] = (scaled[held] - centre) @ weights + mean
    return _accuracy(scores.argmax(axis=1), target), scores


def word_matrix(texts: Sequence[str | None]):  # type: ignore[no-untyped-def]  # scipy has no types
    """Which text holds which word, sparse 0/1 (N, V), and the words: those of at least three texts, 5,000 at most."""
    from collections import Counter

    from scipy.sparse import csr_matrix

    sets = [set(WORD.findall(text.casefold())) if text else set() for text in texts]
    counts = Counter(word for words in sets for word in words)
    words = [word for word, count in counts.most_common(MOST_WORDS) if count >= 3]
    index = {word: place for place, word in enumerate(words)}
    columns = [sorted(index[word] for word in found if word in index) for found in sets]
    ends = np.cumsum([0, *map(len, columns)])
    flat = np.array([place for found in columns for place in found], dtype=np.int64)
    return csr_matrix((np.ones(len(flat)), flat, ends), shape=(len(texts), len(words))), words


def correlation(first: np.ndarray, second: np.ndarray) -> float:
    """Correlation of two 0/1 or float arrays (N,); 0 when one is constant."""
    a, b = first - first.mean(), second - second.mean()
    scale = float(np.sqrt((a**2).sum() * (b**2).sum()))
    return float((a * b).sum()) / scale if scale > 0 else 0.0


def auc(scores: np.ndarray, positive: np.ndarray) -> tuple[float, float, float]:
    """Area under the ROC curve by ranks, with a 95 % interval (Hanley & McNeil 1982)."""
    from scipy.stats import rankdata

    ones, zeros = int(positive.sum()), int((~positive).sum())
    if not ones or not zeros:
        return 0.5, 0.0, 1.0
    area = (rankdata(scores)[positive].sum() - ones * (ones + 1) / 2) / (ones * zeros)
    first, second = area / (2 - area), 2 * area**2 / (1 + area)
    variance = (
        area * (1 - area) + (ones - 1) * (first - area**2) + (zeros - 1) * (second - area**2)
    ) / (ones * zeros)
    half = 1.96 * float(np.sqrt(max(variance, 0.0)))
    return float(area), max(0.0, float(area) - half), min(1.0, float(area) + half)


def _neighbours(values: np.ndarray, folds: np.ndarray):  # type: ignore[no-untyped-def]
    """For each fold: rows fitted on, rows held out, and (held, 7) positions of the nearest fitted values."""
    filled = np.nan_to_num(values, nan=np.nanmax(values) + np.ptp(values[~np.isnan(values)]) + 1)
    for fold in range(FOLDS):
        fit, held = np.flatnonzero(folds != fold), np.flatnonzero(folds == fold)
        order = np.argsort(filled[fit], kind="stable")
        span = min(NEIGHBOURS, len(fit))
        start = np.searchsorted(filled[fit][order], filled[held]) - span // 2
        start = np.clip(start, 0, len(fit) - span)
        yield fit, held, order[start[:, None] + np.arange(span)]


def _accuracy(guess: np.ndarray, target: Target) -> Gain:
    count = len(guess)
    majority = float(np.bincount(target.codes).max()) / max(1, count)
    score = float((guess == target.codes).mean())
    z = 1.96  # Wilson (1927)
    middle = (score + z * z / (2 * count)) / (1 + z * z / count)
    half = z * np.sqrt(score * (1 - score) / count + z * z / (4 * count * count)) / (1 + z * z / count)
    room = max(1 - majority, 1e-9)
    return Gain((score - majority) / room, (float(middle - half) - majority) / room, score, majority)


def _explained(guess: np.ndarray, values: np.ndarray) -> Gain:
    spread = float(((values - values.mean()) ** 2).sum())
    score = 1 - float(((values - guess) ** 2).sum()) / spread if spread > 0 else 0.0
    # Fisher's interval of a correlation, squared.
    shift = 1.96 / np.sqrt(max(1, len(values) - 3))
    low = float(np.tanh(np.arctanh(min(np.sqrt(max(score, 0.0)), 1 - 1e-12)) - shift))
    return Gain(score, max(low, 0.0) ** 2, score, 0.0, "R²")
