"""Exponential smoothing, Theta, naive forecasts and seasons: closed forms, brute force, golden numbers."""

import numpy as np
import pytest
from scipy.optimize import minimize

from gradatim.estimators.exponential_smoothing import (
    concentrated,
    fit_exponential_smoothing,
    fit_model,
    innovations,
)
from gradatim.estimators.naive_forecasts import NAIVE, naive_forecast, naive_quantiles
from gradatim.estimators.seasonality import autocorrelations, decompose, find_season, is_seasonal, moving_average
from gradatim.estimators.simplex_search import simplex_search
from gradatim.estimators.theta import fit_theta

# Box and Jenkins, monthly airline passengers in thousands, 1949 to 1960.
AIR = np.array([
    112, 118, 132, 129, 121, 135, 148, 148, 136, 119, 104, 118, 115, 126, 141, 135, 125, 149, 170, 170, 158, 133, 114,
    140, 145, 150, 178, 163, 172, 178, 199, 199, 184, 162, 146, 166, 171, 180, 193, 181, 183, 218, 230, 242, 209, 191,
    172, 194, 196, 196, 236, 235, 229, 243, 264, 272, 237, 211, 180, 201, 204, 188, 235, 227, 234, 264, 302, 293, 259,
    229, 203, 229, 242, 233, 267, 269, 270, 315, 364, 347, 312, 274, 237, 278, 284, 277, 317, 313, 318, 374, 413, 405,
    355, 306, 271, 306, 315, 301, 356, 348, 355, 422, 465, 467, 404, 347, 305, 336, 340, 318, 362, 348, 363, 435, 491,
    505, 404, 359, 310, 337, 360, 342, 406, 396, 420, 472, 548, 559, 463, 407, 362, 405, 417, 391, 419, 461, 472, 535,
    622, 606, 508, 461, 390, 432,
], dtype=np.float64)


def series(length: int, season: int, seed: int = 0) -> np.ndarray:
    random = np.random.default_rng(seed)
    steps = np.arange(length)
    return 20 + 0.3 * steps + 4 * np.sin(2 * np.pi * steps / season) + random.normal(size=length)


@pytest.mark.parametrize(("season", "trend"), [(1, False), (1, True), (4, False), (4, True)])
def test_first_states_are_the_least_squares_ones(season, trend):
    values = series(40, 4)
    values[[7, 20, 21]] = np.nan
    total, states = concentrated(values, season, trend, 0.4, 0.1, 0.2, 0.9)
    free = [0] + ([1] if trend else []) + list(range(2, 1 + season))

    def squares(point: np.ndarray) -> float:
        first = np.zeros(2 + season)
        first[free] = point
        if season > 1:
            first[-1] = -first[2:-1].sum()
        errors, _ = innovations(values[:, None], season, trend, 0.4, 0.1, 0.2, 0.9, first[:, None])
        return float((errors**2).sum())

    assert squares(states[free]) == pytest.approx(total)
    start = np.zeros(len(free))
    start[0] = 20
    assert minimize(squares, start, method="BFGS").fun == pytest.approx(total, rel=1e-5)


@pytest.mark.parametrize(("trend", "peer"), [("none", 28894.27), ("linear", 21567.30), ("damped", 22760.54)])
def test_fit_is_as_good_as_that_of_statsmodels(trend, peer):
    """Sums of squares of statsmodels 0.14, ETSModel(error="add", seasonal="add", seasonal_periods=12), estimated."""
    assert fit_model(AIR, 12, trend).sum_of_squares < peer * 1.0005


def test_simple_smoothing_is_the_recursion_by_hand():
    values = series(30, 5)
    level, alpha = 17.0, 0.3
    first = np.zeros((3, 1))
    first[0] = level
    errors, states = innovations(values[:, None], 1, False, alpha, 0.0, 0.0, 1.0, first)
    for value, error in zip(values, errors[:, 0]):
        assert error == pytest.approx(value - level)
        level = alpha * value + (1 - alpha) * level
    assert states[0, 0] == pytest.approx(level)


def test_variance_of_forecasts_is_that_of_simulated_paths():
    model = fit_model(series(80, 4), 4, "damped")
    mean, deviation = model.forecast(10)
    alpha, beta, gamma, phi = model.parameters
    random = np.random.default_rng(0)
    paths = np.zeros((40_000, 10))
    level, slope = np.full(40_000, model.states[0]), np.full(40_000, model.states[1])
    season = np.tile(model.states[2:], (40_000, 1))
    for step in range(10):
        phase = (model.steps + step) % 4
        error = random.normal(scale=model.deviation, size=40_000)
        paths[:, step] = level + phi * slope + season[:, phase] + error
        level, slope = level + phi * slope + alpha * error, phi * slope + beta * error
        season[:, phase] += gamma * error
    np.testing.assert_allclose(paths.mean(axis=0), mean, atol=0.03 * model.deviation * 10)
    np.testing.assert_allclose(paths.std(axis=0), deviation, rtol=0.03)


def test_growing_season_asks_for_the_logarithm_and_holds_the_last_year():
    model = fit_exponential_smoothing(AIR[:-12], 12)
    assert model.logarithmic and model.season == 12
    quantiles = model.quantiles(12, np.array([0.1, 0.5, 0.9]))
    assert np.all(np.diff(quantiles, axis=1) > 0)
    naive = np.abs(AIR[-24:-12] - AIR[-12:]).mean()
    assert np.abs(quantiles[:, 1] - AIR[-12:]).mean() < 0.4 * naive


@pytest.mark.parametrize("values", [np.full(30, 7.0), np.arange(5.0), np.array([1.0, np.nan, 2.0, 3.0, np.nan, 9.0])])
def test_short_and_flat_series_are_answered(values):
    model = fit_exponential_smoothing(values, 12)
    assert np.isfinite(model.quantiles(5, np.array([0.1, 0.5, 0.9]))).all()
    assert fit_exponential_smoothing(np.array([1.0, 2.0, np.nan]), 1) is None


def test_a_long_season_is_taken_out_before():
    values = series(52 * 4, 52, seed=2)
    model = fit_exponential_smoothing(values[:-26], 52, logarithm=False)
    assert model.outer is not None and len(model.outer.pattern) == 52
    error = np.abs(model.quantiles(26, np.array([0.5]))[:, 0] - values[-26:]).mean()
    assert error < np.abs(values[-78:-52] - values[-26:]).mean()


def test_theta_of_two_is_smoothing_with_half_the_slope():
    """Hyndman and Billah 2003: the forecasts rise by half the slope of the line and the weight of the start fades."""
    values = series(60, 1) + np.arange(60)
    fitted = fit_theta(values, theta=2.0)
    ahead = fitted.forecast(6)
    np.testing.assert_allclose(np.diff(ahead), fitted.line[1] / 2, rtol=1e-6)
    slope, intercept = np.polyfit(np.arange(1, 61), values, 1)
    assert fitted.line == pytest.approx((intercept, slope))
    level = fitted.level
    for t, value in enumerate(values):
        power = (1 - fitted.alpha) ** t
        mean = level + 0.5 * (power * intercept + (1 - power * (1 - fitted.alpha)) / fitted.alpha * slope)
        level = fitted.alpha * value + (1 - fitted.alpha) * level
    assert np.isfinite(mean) and ahead[0] == pytest.approx(level + 0.5 * slope / fitted.alpha, rel=1e-6)


def test_theta_beats_the_seasonal_naive_forecast_on_passengers():
    fitted = fit_theta(AIR[:-12], 12)
    naive = np.abs(AIR[-24:-12] - AIR[-12:]).mean()
    assert np.abs(fitted.forecast(12) - AIR[-12:]).mean() < 0.4 * naive
    assert np.all(np.diff(fitted.quantiles(12, np.array([0.2, 0.5, 0.8])), axis=1) > 0)
    assert fit_theta(np.array([1.0, np.nan, 2.0])) is None


def test_decomposition_gives_the_parts_back():
    pattern = np.array([5.0, -3.0, 1.0, -3.0])
    values = 10 + np.arange(40.0) + np.tile(pattern, 10)
    parts = decompose(values, 4, multiplicative=False)
    np.testing.assert_allclose(parts.pattern, pattern, atol=1e-9)
    np.testing.assert_allclose(parts.adjusted, 10 + np.arange(40.0), atol=1e-9)
    np.testing.assert_allclose(parts.seasonal(np.arange(40), parts.adjusted), values)
    ratios = decompose(np.full(40, 10.0) * np.tile([1.2, 0.8], 20), 2)
    assert ratios.multiplicative and ratios.pattern == pytest.approx([1.2, 0.8])
    holes = values.copy()
    holes[[5, 18]] = np.nan
    np.testing.assert_allclose(decompose(holes, 4, multiplicative=False).pattern, pattern, atol=0.5)


def test_moving_average_of_an_even_season_weighs_the_ends_by_half():
    values = np.random.default_rng(0).normal(size=30)
    found = moving_average(values, 4)
    assert found[10] == pytest.approx((values[8] / 2 + values[9] + values[10] + values[11] + values[12] / 2) / 4)


def test_seasons_are_found_with_evidence():
    random = np.random.default_rng(0)
    weekly = [10 + 3 * np.sin(2 * np.pi * np.arange(200) / 7) + random.normal(size=200) for _ in range(3)]
    season, why = find_season(weekly, (7, 365))
    assert season == 7 and "autocorrelation" in why
    assert find_season(weekly, ())[0] == 7
    noise = [random.normal(size=200) for _ in range(3)]
    assert find_season(noise, (7,))[0] == 1 and find_season(noise, ())[0] == 1
    assert find_season([np.arange(5.0)], (12,)) == (1, "no season: the series are too short to tell")
    assert is_seasonal(AIR, 12) and not is_seasonal(np.arange(100.0), 12)
    assert autocorrelations(np.tile([1.0, -1.0], 20), [1])[0] == pytest.approx(-1.0)


def test_naive_forecasts_are_what_their_names_say():
    values = np.array([3.0, 1.0, 4.0, 1.0, 5.0, 9.0, np.nan])
    assert naive_forecast("naive", values, 3, 2)[0].tolist() == [9.0, 9.0]
    assert naive_forecast("seasonal_naive", values, 3, 4)[0].tolist() == [5.0, 9.0, 1.0, 5.0]
    assert naive_forecast("drift", values, 3, 2)[0] == pytest.approx([9 + 2 * 1.2, 9 + 3 * 1.2])
    assert naive_forecast("moving_mean", values[:6], 3, 1)[0][0] == pytest.approx(values[:6].mean())
    for method in NAIVE:
        quantiles = naive_quantiles(method, values, 3, 5, np.array([0.1, 0.5, 0.9]))
        assert np.all(np.diff(quantiles, axis=1) > 0)
        assert np.isfinite(naive_forecast(method, np.full(4, np.nan), 3, 2)[0]).all()
    with pytest.raises(ValueError, match="expected a method among"):
        naive_forecast("best", values, 1, 1)


def test_simplex_goes_down_a_curved_valley():
    point, value = simplex_search(lambda p: (1 - p[0]) ** 2 + 100 * (p[1] - p[0] ** 2) ** 2, [-0.5, 1.5], [-2, -2],
                                  [2, 2], evaluations=1000, tolerance=1e-14)
    assert point == pytest.approx([1, 1], abs=1e-3) and value < 1e-6
    point, _ = simplex_search(lambda p: -p[0], [0.2], [0.0], [0.7])
    assert point == [0.7]


def test_a_season_that_some_series_have_is_found_beside_series_without_one() -> None:
    random = np.random.default_rng(5)
    walks = [np.cumsum(random.normal(size=120)) for _ in range(20)]
    waves = [np.tile(np.sin(np.arange(12) / 2), 10) * 5 + random.normal(size=120) for _ in range(8)]
    season, why = find_season([*walks, *waves], (12,))
    assert season == 12 and "in 8 of 28 series" in why
    season, why = find_season(walks, (12,))
    assert season == 1 and "of 20 series" in why and "--option season=N" in why
