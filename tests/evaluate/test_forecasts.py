"""Scores of forecasts against loops, intervals over series, quantiles mended by development windows."""

import numpy as np
import pytest
from scipy.special import ndtri

from gradatim.errors import DataError
from gradatim.evaluate.forecasts import (
    FORECASTING,
    by_step,
    coverage_table,
    pinball,
    score_forecasts,
    spread,
    spread_factors,
    window_losses,
)
from gradatim.evaluate.metrics import METRICS

LEVELS = (0.1, 0.5, 0.9)


def case(windows: int = 40, steps: int = 6, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    truth = random.normal(size=(windows, steps)) + 10
    truth[0, 2] = np.nan
    point = truth + random.normal(size=truth.shape)
    point[0, 2] = 10
    return truth, point[..., None] + ndtri(np.array(LEVELS)), random.uniform(0.5, 2, size=windows)


def test_losses_are_what_loops_find():
    truth, quantiles, scales = case()
    found = window_losses(truth, quantiles, LEVELS, scales)
    for window in (0, 7):
        known = [h for h in range(6) if np.isfinite(truth[window, h])]
        errors = [abs(truth[window, h] - quantiles[window, h, 1]) for h in known]
        assert found["mase"][window] == pytest.approx(np.mean(errors) / scales[window])
        assert found["rmsse"][window] == pytest.approx(np.mean(np.square(errors)) / scales[window] ** 2)
        assert found["smape"][window] == pytest.approx(np.mean([
            2 * e / (abs(truth[window, h]) + abs(quantiles[window, h, 1])) for e, h in zip(errors, known)]))
        losses = [level * (truth[window, h] - q) if truth[window, h] > q else (1 - level) * (q - truth[window, h])
                  for h in known for level, q in zip(LEVELS, quantiles[window, h])]
        assert found["pinball"][window] == pytest.approx(np.mean(losses) / scales[window])
    assert pinball(truth, quantiles, LEVELS).shape == quantiles.shape


def test_pinball_is_least_at_the_true_quantiles():
    values = np.random.default_rng(0).normal(size=(20_000, 1))
    right = np.broadcast_to(ndtri(np.array(LEVELS)), (20_000, 1, 3))
    best = pinball(values, right, LEVELS).mean()
    for change in (0.8, 1.25):
        assert pinball(values, right * change, LEVELS).mean() > best


def test_scores_have_intervals_that_hold_them_and_names_that_metrics_know():
    truth, quantiles, scales = case()
    scores = score_forecasts(truth, quantiles, LEVELS, scales, np.arange(40) % 10)
    assert set(scores["metrics"]) == set(FORECASTING) <= set(METRICS)
    for entry in scores["metrics"].values():
        assert entry["low"] <= entry["value"] <= entry["high"]
    assert "whole series" in scores["notes"][0]
    assert "windows, which overlap" in score_forecasts(truth, quantiles, LEVELS, scales, np.zeros(40))["notes"][0]
    with pytest.raises(DataError, match="found none"):
        score_forecasts(np.full((3, 2), np.nan), np.zeros((3, 2, 3)), LEVELS, np.ones(3), np.arange(3))


def test_windows_of_one_series_count_as_one():
    """Repeating each window widens nothing away: the interval over series stays as it is."""
    truth, quantiles, scales = case(30)
    series = np.arange(30)
    alone = score_forecasts(truth, quantiles, LEVELS, scales, series)["metrics"]["mase"]
    twice = score_forecasts(*(np.repeat(part, 4, axis=0) for part in (truth, quantiles)), LEVELS,
                            np.repeat(scales, 4), np.repeat(series, 4))["metrics"]["mase"]
    assert twice["high"] - twice["low"] == pytest.approx(alone["high"] - alone["low"], rel=0.1)


@pytest.mark.parametrize("true_spread", [0.5, 1.0, 2.5])
def test_spread_is_mended_towards_the_right_coverage(true_spread):
    random = np.random.default_rng(1)
    truth = true_spread * random.normal(size=(400, 8))
    quantiles = np.broadcast_to(ndtri(np.array(LEVELS)), (400, 8, 3))
    factors = spread_factors(truth, quantiles, LEVELS)
    assert factors[1] == 1 and factors[[0, 2]] == pytest.approx([true_spread] * 2, rel=0.12)
    fresh = true_spread * random.normal(size=(400, 8))
    for level, share in coverage_table(fresh, spread(quantiles, factors, LEVELS), LEVELS):
        assert share == pytest.approx(level, abs=0.03)


def test_few_windows_mend_little():
    truth = 3 * np.random.default_rng(0).normal(size=(2, 8))
    quantiles = np.broadcast_to(ndtri(np.array(LEVELS)), (2, 8, 3))
    many = spread_factors(np.tile(truth, (200, 1)), np.tile(quantiles, (200, 1, 1)), LEVELS)
    few = spread_factors(truth, quantiles, LEVELS)
    assert np.all(np.abs(np.log(few)) <= np.abs(np.log(many)) + 1e-9)
    assert spread_factors(np.full((2, 8), np.nan), quantiles, LEVELS).tolist() == [1, 1, 1]


def test_crossed_quantiles_are_put_in_order():
    crossed = np.array([[[3.0, 2.0, 1.0]]])
    assert np.all(np.diff(spread(crossed, np.ones(3), LEVELS)) >= 0)


def test_steps_are_scored_one_by_one():
    truth, quantiles, scales = case()
    rows = by_step(lambda t, q: window_losses(t, q, LEVELS, scales), truth, quantiles)
    assert len(rows) == 6
    assert rows[3]["mase"] == pytest.approx(np.mean(np.abs(truth[:, 3] - quantiles[:, 3, 1]) / scales))
