"""Random kernels against a slow loop written from the papers, and what must hold for any series."""

import warnings
from itertools import combinations
from typing import Any

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.utils.estimator_checks import check_estimator

from gradatim.errors import ArtifactError
from gradatim.estimators.hydra import Hydra
from gradatim.estimators.ridge_classifier import RidgeClassifier, left_out_scores
from gradatim.estimators.rocket import MiniRocket, MultiRocket, dilations
from gradatim.estimators.series_rows import series_rows
from gradatim.estimators.state import estimator_from_state, estimator_to_state


def slow_signal(series: np.ndarray, channels: np.ndarray, places: tuple[int, ...], dilation: int) -> np.ndarray:
    """Σ over channels and taps of weight · x[t + (tap − 4) · dilation], zero beyond the ends."""
    steps = series.shape[1]
    out = np.zeros(steps)
    for channel in channels:
        for tap in range(9):
            weight = 2.0 if tap in places else -1.0
            for t in range(steps):
                source = t + (tap - 4) * dilation
                if 0 <= source < steps:
                    out[t] += weight * series[channel, source]
    return out


def slow_features(model: Any, series: np.ndarray) -> list[list[float]]:
    """Share, longest run, height and place for each dilation, kernel and bias, from the definitions."""
    found, feature = [], 0
    for level, dilation in enumerate(model.dilations_):
        for kernel, places in enumerate(combinations(range(9), 3)):
            number = level * 84 + kernel
            channels = model.channels_read_[model.starts_[number] : model.starts_[number + 1]]
            signal = slow_signal(series, channels, places, int(dilation))
            edge = 4 * int(dilation)
            if (level + kernel) % 2 == 1 and 2 * edge < len(signal):
                signal = signal[edge:-edge]
            for _ in range(model.counts_[level]):
                over = signal > model.biases_[feature]
                run = longest = 0
                for yes in over:
                    run = run + 1 if yes else 0
                    longest = max(longest, run)
                where = np.flatnonzero(over)
                height = (signal[over] - model.biases_[feature]).mean() if over.any() else 0.0
                place = where.mean() / len(signal) if over.any() else -1.0
                found.append([over.mean(), longest / len(signal), height, place])
                feature += 1
    return found


@pytest.mark.parametrize(("channels", "lengths"), [(1, (40, 40)), (3, (30, 30)), (2, (25, 9, 1, 40))])
def test_both_transforms_are_their_definitions(channels: int, lengths: tuple[int, ...]) -> None:
    source = np.random.default_rng(channels)
    rows = [source.normal(size=(channels, length)) for length in lengths]
    longer = [row for row in rows if row.shape[1] > 1]  # of one step the only quantile is its value: a tie
    mini = MiniRocket(features=168, random_state=1).fit(longer)
    features = mini.transform(rows)
    several = MultiRocket(features=8 * 168, random_state=1).fit(longer)
    all_of_them = several.transform(rows)
    total = len(several.biases_)
    for row, series in enumerate(rows):
        np.testing.assert_allclose(features[row], [entry[0] for entry in slow_features(mini, series)], atol=1e-12)
        expected = np.array(slow_features(several, series))
        blocks = all_of_them[row, : 4 * total].reshape(4, total).T
        np.testing.assert_allclose(blocks, expected, atol=1e-9)


def test_float32_gives_nearly_the_shares_of_float64() -> None:
    rows = np.random.default_rng(0).normal(size=(6, 1, 80))
    model = MiniRocket(features=840).fit(rows)
    single = model.transform(rows.astype(np.float32))
    assert single.dtype == np.float32
    assert (np.abs(single - model.transform(rows)) > 1e-6).mean() < 0.01  # a value on the very edge of a bias


@pytest.mark.parametrize("model", [MultiRocket(features=1344, standardise=True), Hydra(groups=8, standardise=True)])
def test_padding_neighbours_and_threads_do_not_matter(model: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    source = np.random.default_rng(0)
    rows = [source.normal(size=(2, length)) for length in (90, 20, 33)] * 8
    model = clone(model).fit(rows)
    together = model.transform(rows)
    np.testing.assert_array_equal(together[1], model.transform([rows[1]])[0])
    values, lengths = series_rows(rows)
    values[1, :, 20:] = 99.0
    np.testing.assert_array_equal(together, model.transform({"values": values, "lengths": lengths}))
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    monkeypatch.setattr("gradatim.estimators.row_threads.LEAST_WORK", 1)
    np.testing.assert_array_equal(together, model.transform(rows))


def test_missing_values_are_filled_and_empty_rows_are_the_mean() -> None:
    source = np.random.default_rng(0)
    rows: list[Any] = [source.normal(size=30) for _ in range(5)]
    model = MiniRocket(features=168, standardise=True).fit(rows)
    holed = rows[0].copy()
    holed[3] = np.nan
    filled = rows[0].copy()
    filled[3] = (filled[2] + filled[4]) / 2
    np.testing.assert_array_equal(model.transform([holed]), model.transform([filled]))
    assert not model.transform([None, rows[1]])[0].any()
    with pytest.raises(ValueError, match="infinity"):
        model.transform([np.array([np.inf, 1.0])])
    with pytest.raises(ValueError, match="expected series of 1 channels, received 2"):
        model.transform([np.zeros((2, 9))])


@pytest.mark.parametrize(("length", "biases"), [(9, 5), (150, 119), (2000, 74), (1, 3)])
def test_dilations_spread_all_biases_and_stay_inside(length: int, biases: int) -> None:
    levels, counts = dilations(length, biases)
    assert counts.sum() == biases and counts.min() >= 0 and levels[0] == 1
    assert len(levels) == 1 or 8 * levels[-1] < length


def test_equal_seeds_give_equal_features_and_other_seeds_do_not() -> None:
    rows = np.random.default_rng(0).normal(size=(9, 40))
    first, same, other = (MiniRocket(features=168, random_state=seed).fit_transform(rows) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, same)
    assert (first != other).any()


@pytest.mark.parametrize("kind", [MiniRocket, MultiRocket])
def test_saved_and_damaged(kind: Any) -> None:
    rows = np.random.default_rng(0).normal(size=(6, 2, 30))
    model = kind(features=1344, standardise=True).fit(rows)
    state, arrays = estimator_to_state(model)
    np.testing.assert_array_equal(estimator_from_state(state, arrays).transform(rows), model.transform(rows))
    for name, value in (("dilations_", np.array([0])), ("starts_", model.starts_[::-1].copy()),
                        ("channels_read_", model.channels_read_ + 5), ("biases_", model.biases_[:-1]),
                        ("counts_", -model.counts_)):
        with pytest.raises(ArtifactError):
            estimator_from_state(state, {**arrays, name: value})


def test_ridge_classifier_tells_waves_apart_and_how_sure_it_is() -> None:
    source = np.random.default_rng(0)
    labels = np.repeat(["slow", "fast", "none"], 30)
    speed = np.repeat([0.2, 0.5, 0.0], 30)[:, None]
    rows = np.sin(np.arange(60) * speed + source.uniform(0, 6, (90, 1))) + 0.6 * source.normal(size=(90, 60))
    order = source.permutation(90)
    features = MiniRocket(features=840, standardise=True).fit_transform(rows)
    model = RidgeClassifier().fit(features[order[:60]], labels[order[:60]])
    held = order[60:]
    probabilities = model.predict_proba(features[held])
    assert (model.predict(features[held]) == labels[held]).mean() > 0.9
    truth = (labels[held][:, None] == model.classes_).argmax(1)
    assert -np.log(probabilities[np.arange(30), truth]).mean() < 0.4
    assert (probabilities.argmax(1) == model.decision_function(features[held]).argmax(1)).all()


@pytest.mark.parametrize(("width", "alpha", "dtype"),
                         [(20, 3.0, float), (4000, 1e-4, float), (4000, 1e-3, np.float32)])
def test_left_out_scores_are_what_leaving_out_says(width: int, alpha: float, dtype: Any) -> None:
    """With many features and a small penalty too, where all leverages are one but for their last digits."""
    source = np.random.default_rng(0)
    X, y, weights = source.normal(size=(12, width)), source.normal(size=12), source.uniform(0.5, 2, 12)
    X = X.astype(dtype)
    found = left_out_scores(X, y[:, None], weights, alpha)[:, 0]
    for row in range(12):
        rest = np.arange(12) != row
        share = weights[rest] / weights[rest].sum()
        mean = share @ X[rest].astype(np.float64)
        rows, goal = X[rest] - mean, y[rest] - share @ y[rest]
        kernel = rows @ rows.T + alpha * np.diag(1 / weights[rest])
        alone = share @ y[rest] + (X[row] - mean) @ rows.T @ np.linalg.solve(kernel, goal)
        assert found[row] == pytest.approx(alone, rel=1e-6 if dtype is float else 1e-3, abs=1e-6)


def test_probabilities_of_many_features_are_as_sure_as_they_are_right() -> None:
    """Nearly every row is right when left out, so the answers must be far from equal shares."""
    source = np.random.default_rng(0)
    labels = np.arange(60) % 3
    X = source.normal(size=(60, 20_000)).astype(np.float32)
    X[:, :4000] += 0.3 * source.normal(size=(3, 4000)).astype(np.float32)[labels]
    model = RidgeClassifier().fit(X[:40], labels[:40])
    sure = model.predict_proba(X[40:])[np.arange(20), labels[40:]]
    assert model.score(X[40:], labels[40:]) == 1 and sure.min() > 0.5


def test_ridge_classifier_is_saved_and_cloned() -> None:
    X, y = np.random.default_rng(0).normal(size=(20, 5)), np.arange(20) % 2
    model = clone(RidgeClassifier(class_weight="balanced")).fit(X, y)
    state, arrays = estimator_to_state(model)
    np.testing.assert_array_equal(estimator_from_state(state, arrays).predict_proba(X), model.predict_proba(X))
    state["attributes"]["sharpness_"] = -1.0
    with pytest.raises(ArtifactError):
        estimator_from_state(state, arrays)


@pytest.mark.slow
@pytest.mark.parametrize("estimator", [MiniRocket(features=84), MultiRocket(features=672), RidgeClassifier()])
def test_conventions_of_scikit_learn(estimator: Any) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        results = check_estimator(estimator, on_fail=None)
    excused = {f"check_sample_weight_equivalence_on_{kind}_data" for kind in ("dense", "sparse")}
    failed = {one["check_name"] for one in results if one["status"] == "failed"}
    # leaving out one of two equal rows tells nothing, so a row twice is no row of weight two
    assert failed <= (excused if isinstance(estimator, RidgeClassifier) else set())
