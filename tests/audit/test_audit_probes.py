"""The probes: honest scores that agree with other implementations and see nothing in noise."""

import numpy as np
import pytest

from gradatim.audit.probes import (
    FOLDS,
    Target,
    auc,
    chances_of_codes,
    correlation,
    folds_of,
    gain_of_codes,
    gain_of_numbers,
    gain_of_vectors,
    gain_of_words,
)


def classes_of(codes: np.ndarray) -> Target:
    return Target(codes, tuple(map(str, range(int(codes.max()) + 1))))


@pytest.mark.parametrize("seed", range(5))
def test_auc_equals_scikit_learn_and_counting_pairs(seed):
    metrics = pytest.importorskip("sklearn.metrics")
    random = np.random.default_rng(seed)
    positive = random.random(200) < 0.3
    scores = np.round(random.normal(size=200) + positive, 1)
    area, low, high = auc(scores, positive)
    assert area == pytest.approx(metrics.roc_auc_score(positive, scores), abs=1e-12)
    pairs = scores[positive][:, None] - scores[~positive][None, :]
    assert area == pytest.approx(((pairs > 0) + 0.5 * (pairs == 0)).mean(), abs=1e-12)
    assert low < area < high


def test_auc_interval_covers_the_truth():
    random = np.random.default_rng(0)
    truth = 0.7602  # of two unit normals one apart: Φ(1/√2)
    covered = 0
    for _ in range(300):
        positive = np.arange(120) < 40
        _, low, high = auc(random.normal(size=120) + positive, positive)
        covered += low <= truth <= high
    assert covered >= 275


@pytest.mark.parametrize("seed", range(4))
def test_noise_gains_nothing(seed):
    random = np.random.default_rng(seed)
    target = classes_of(random.integers(0, 3, 500))
    folds = folds_of(target, random)
    assert gain_of_numbers(random.normal(size=500), target, folds).value < 0.1
    assert gain_of_codes(random.integers(0, 400, 500), target, folds).value < 0.1
    assert gain_of_vectors(random.normal(size=(500, 30)), target, folds)[0].value < 0.15
    texts = [" ".join(random.choice(list("abcdefghij"), 5)) for _ in range(500)]
    assert gain_of_words(texts, target, folds)[0].value < 0.1
    numeric = Target(target.codes, target.classes, random.normal(size=500))
    assert gain_of_numbers(random.normal(size=500), numeric, folds).value < 0.1
    assert gain_of_codes(random.integers(0, 20, 500), numeric, folds).value < 0.1


def test_what_is_there_is_seen():
    random = np.random.default_rng(0)
    x = random.normal(size=1000)
    target = classes_of((x > 0.31).astype(int) + (x > 1))
    folds = folds_of(target, random)
    assert gain_of_numbers(x, target, folds).value > 0.97
    assert gain_of_codes(target.codes * 7, target, folds).value == 1
    words = [f"some {'stone' if code == 0 else 'water' if code == 1 else 'paper'} thing" for code in target.codes]
    gain, best = gain_of_words(words, target, folds)
    assert gain.value == 1 and {"stone", "water", "paper"} <= set(best)
    numeric = Target(target.codes, target.classes, np.exp(x))
    assert gain_of_numbers(x, numeric, folds).value > 0.9
    assert gain_of_vectors(np.stack([x, random.normal(size=1000)], axis=1), target, folds)[0].value > 0.4


def test_missing_numbers_are_a_neighbourhood_of_their_own():
    random = np.random.default_rng(0)
    x = random.normal(size=600)
    x[:200] = np.nan
    target = classes_of((np.arange(600) < 200).astype(int))
    assert gain_of_numbers(x, target, folds_of(target, random)).value > 0.98


def test_chances_are_counts_of_the_other_folds():
    random = np.random.default_rng(0)
    target = classes_of(random.integers(0, 2, 100))
    folds = folds_of(target, random)
    codes = random.integers(0, 4, 100)
    chances = chances_of_codes(codes, target, folds)
    assert np.allclose(chances.sum(axis=1), 1)
    row = 17
    fit = folds != folds[row]
    prior = (target.codes[fit] == 1).sum() + 0.5
    prior /= fit.sum() + 1
    same = fit & (codes == codes[row])
    assert chances[row, 1] == pytest.approx(((target.codes[same] == 1).sum() + prior) / (same.sum() + 1))


def test_folds_are_stratified_and_correlation_is_numpys():
    random = np.random.default_rng(0)
    target = classes_of(random.integers(0, 3, 300))
    folds = folds_of(target, random)
    for code in range(3):
        counts = np.bincount(folds[target.codes == code], minlength=FOLDS)
        assert np.ptp(counts) <= 1
    a, b = random.normal(size=50), random.normal(size=50)
    assert correlation(a, b) == pytest.approx(np.corrcoef(a, b)[0, 1])
    assert correlation(a, np.ones(50)) == 0
