"""Competing kernels against a slow loop written from the paper, and what must hold for any series."""

import warnings
from typing import Any

import numpy as np
import pytest
from sklearn.utils.estimator_checks import check_estimator

from gradatim.errors import ArtifactError
from gradatim.estimators.hydra import Hydra, MultiRocketHydra, sparse_moments, spread_of
from gradatim.estimators.ridge_classifier import RidgeClassifier
from gradatim.estimators.rocket import MultiRocket
from gradatim.estimators.state import estimator_from_state, estimator_to_state


def slow_features(model: Any, series: np.ndarray) -> list[float]:
    """For the series and its steps, each dilation: answers of the winners, then counts of the losers, by kernel."""
    found: list[float] = []
    half = model.groups // 2
    for part in (0, 1):
        signal = series if part == 0 else np.diff(series) if series.shape[1] > 1 else np.zeros_like(series)
        steps = signal.shape[1]
        for level, dilation in enumerate(model.dilations_.tolist()):
            heights, losses = np.zeros((half, model.kernels)), np.zeros((half, model.kernels))
            for group in range(half):
                line = signal[model.channels_read_[level, part * half + group]].sum(0) if len(signal) > 1 else signal[0]
                for t in range(steps):
                    answers = []
                    for weights in model.weights_[level, part * half + group]:
                        places = [t + (tap - 4) * dilation for tap in range(9)]
                        answers.append(sum(w * line[p] for w, p in zip(weights, places) if 0 <= p < steps))
                    heights[group, int(np.argmax(answers))] += max(answers)
                    losses[group, int(np.argmin(answers))] += 1
            found += [*heights.ravel().tolist(), *losses.ravel().tolist()]
    return (np.array(found) * model.steps_ / series.shape[1]).tolist()


@pytest.mark.parametrize(("channels", "lengths"), [(1, (70, 70)), (3, (30, 30)), (5, (25, 9, 1, 40)), (1, (8, 130))])
def test_features_are_their_definition(channels: int, lengths: tuple[int, ...]) -> None:
    source = np.random.default_rng(channels)
    rows = [source.normal(size=(channels, length)) for length in lengths]
    model = Hydra(groups=6, kernels=5, random_state=1).fit(rows)
    assert 8 * model.dilations_[-1] <= max(lengths) - 1 or len(model.dilations_) == 1
    found = model.transform(rows)
    assert found.shape == (len(rows), model.width) == (len(rows), len(model.get_feature_names_out()))
    for row, series in zip(found, rows):
        np.testing.assert_allclose(row, slow_features(model, series), atol=1e-9)


def test_kernels_have_mean_zero_and_the_unit_of_the_rows() -> None:
    rows = np.random.default_rng(0).normal(size=(5, 40))
    model = Hydra(groups=4).fit(rows)
    np.testing.assert_allclose(model.weights_.sum(-1), 0, atol=1e-12)
    sizes = np.abs(model.weights_).sum(-1)
    np.testing.assert_allclose(sizes[:, :2], 1 / spread_of(rows[:, None], np.full(5, 40)))
    np.testing.assert_allclose(sizes[:, 2:], 1 / spread_of(np.diff(rows)[:, None], np.full(5, 39)))
    whole, moved = model.transform(rows), Hydra(groups=4).fit_transform(1e-6 * rows)
    np.testing.assert_allclose(whole, moved, rtol=1e-9)


def test_scaler_is_the_one_of_the_authors() -> None:
    """Root; mean and deviation (n − 1) plus the fourth power of the share of zeros; what is zero stays zero."""
    rows = np.random.default_rng(0).normal(size=(12, 60))
    raw = Hydra(groups=8).fit_transform(rows)
    roots = np.sqrt(raw.clip(0))
    assert (roots == 0).any()
    expected = (roots - roots.mean(0)) * (roots != 0) / (roots.std(0, ddof=1) + (roots == 0).mean(0) ** 4 + 1e-8)
    found = Hydra(groups=8, standardise=True).fit_transform(rows)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)
    means, scales = sparse_moments(np.zeros((1, 3)))
    assert not means.any() and (scales > 0).all()


def test_float32_gives_nearly_the_features_of_float64() -> None:
    source = np.random.default_rng(0)
    rows = [source.normal(size=(2, length)) for length in (90, 20, 33)] * 8
    model = Hydra(groups=8, standardise=True).fit(rows)
    single = model.transform([row.astype(np.float32) for row in rows])
    assert single.dtype == np.float32
    assert (np.abs(single - model.transform(rows)) > 1e-3).mean() < 0.01  # two of a group may be within rounding


def test_missing_values_are_filled_and_rows_without_any_are_zeros() -> None:
    source = np.random.default_rng(0)
    rows: list[Any] = [source.normal(size=30) for _ in range(5)]
    model = MultiRocketHydra(features=672, groups=4).fit(rows)
    holed = rows[0].copy()
    holed[3] = np.nan
    filled = rows[0].copy()
    filled[3] = (filled[2] + filled[4]) / 2
    np.testing.assert_array_equal(model.transform([holed]), model.transform([filled]))
    assert not model.transform([None, rows[1]])[0].any()
    with pytest.raises(ValueError, match="expected series of 1 channels, received 2"):
        model.transform([np.zeros((2, 9))])
    for name, value in (("groups", 3), ("groups", 0), ("kernels", 1), ("kernels", 2.0)):
        with pytest.raises(ValueError, match=f"{name}: expected"):
            Hydra(**{name: value}).fit(rows)


def test_both_side_by_side() -> None:
    rows = np.random.default_rng(0).normal(size=(7, 2, 40))
    model = MultiRocketHydra(features=1344, groups=4, random_state=3)
    found = model.fit_transform(rows)
    np.testing.assert_array_equal(found, model.transform(rows))
    first, second = model.rocket_.width, model.hydra_.width
    alone = Hydra(groups=4, standardise=True, random_state=3).fit_transform(rows)
    np.testing.assert_allclose(found[:, first:], alone * ((first + second) / (2 * second)) ** 0.5)
    alone = MultiRocket(features=1344, standardise=True, random_state=3).fit_transform(rows)
    np.testing.assert_allclose(found[:, :first], alone * ((first + second) / (2 * first)) ** 0.5)
    assert found.shape[1] == model.width == len(model.get_feature_names_out())
    assert (found != MultiRocketHydra(features=1344, groups=4, random_state=4).fit_transform(rows)).any()


def test_a_ridge_on_them_tells_patterns_apart() -> None:
    source = np.random.default_rng(0)
    labels = np.repeat(["saw", "sine"], 40)
    steps, phases = np.arange(60), source.uniform(0, 6, (80, 1))
    saw, sine = (0.3 * steps + phases) / np.pi % 2 - 1, np.sin(0.3 * steps + phases)
    rows = np.where(labels[:, None] == "saw", saw, sine) + 0.5 * source.normal(size=(80, 60))
    order = source.permutation(80)
    model = Hydra(groups=16, standardise=True).fit(rows[order[:50]])
    head = RidgeClassifier().fit(model.transform(rows[order[:50]]), labels[order[:50]])
    assert head.score(model.transform(rows[order[50:]]), labels[order[50:]]) > 0.85


def test_saved_and_damaged() -> None:
    rows = np.random.default_rng(0).normal(size=(6, 2, 30))
    model = MultiRocketHydra(features=672, groups=4).fit(rows)
    state, arrays = estimator_to_state(model)
    np.testing.assert_array_equal(estimator_from_state(state, arrays).transform(rows), model.transform(rows))
    hydra = model.hydra_
    for name, value in (("dilations_", np.array([0])), ("weights_", hydra.weights_[..., :8].copy()),
                        ("channels_read_", hydra.channels_read_ + 5), ("scales_", hydra.scales_ * 0),
                        ("means_", hydra.means_[:-1].copy())):
        with pytest.raises(ArtifactError):
            estimator_from_state(state, {**arrays, f"hydra_/{name}": value})
    alone, of_its_own = estimator_to_state(Hydra(groups=4).fit(rows[:, :1]))
    alone["arguments"]["groups"] = 3
    with pytest.raises(ArtifactError):
        estimator_from_state(alone, of_its_own)
    state["attributes"]["hydra_"] = state["attributes"]["rocket_"]
    with pytest.raises(ArtifactError):
        estimator_from_state(state, arrays)


@pytest.mark.slow
@pytest.mark.parametrize("estimator", [Hydra(groups=2), MultiRocketHydra(features=672, groups=2)])
def test_conventions_of_scikit_learn(estimator: Any) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        results = check_estimator(estimator, on_fail=None)
    assert not {one["check_name"]: one["exception"] for one in results if one["status"] == "failed"}
