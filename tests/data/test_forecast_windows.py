"""Rolling origins: windows against loops, and the future out of reach."""

import numpy as np
import pytest

from gradatim.data.forecast_series import Panel
from gradatim.data.forecast_windows import (
    Gatherer,
    calendar,
    fill,
    last_windows,
    naive_scales,
    of_pairs,
    plan_origins,
    spaced,
    training_windows,
)
from gradatim.errors import DataError


def panel_of(lengths: list[int], seed: int = 0, known: int = 2, ahead: int = 5) -> Panel:
    random = np.random.default_rng(seed)
    values = [np.where(random.random(n) < 0.1, np.nan, random.normal(size=n)) for n in lengths]
    return Panel([f"s{i}" for i in range(len(lengths))], random.integers(0, 50, len(lengths)), values,
                 [random.normal(size=(n + ahead, known)) for n in lengths], [np.arange(n + ahead) for n in lengths])


def test_windows_are_what_loops_find():
    panel = panel_of([30, 50, 9])
    gatherer = Gatherer(panel, 8, 4, periods=(7.0,), season=1)
    windows = of_pairs([(0, 10), (1, 50), (2, 3), (1, 48)])
    history, seen = gatherer.history(windows)
    targets, ahead, behind = gatherer.targets(windows), gatherer.ahead(windows), gatherer.behind(windows)
    assert ahead.shape[2] == behind.shape[2] == gatherer.covariates == 6 + 4
    for row, (series, origin) in enumerate(zip(windows.series, windows.origins)):
        for place in range(8):
            step = origin - 8 + place
            known = 0 <= step < len(panel.values[series]) and np.isfinite(panel.values[series][step])
            assert seen[row, place] == known
            if known:
                assert history[row, place] == panel.values[series][step]
        for place in range(4):
            step = origin + place
            truth = panel.values[series][step] if step < len(panel.values[series]) else np.nan
            np.testing.assert_equal(targets[row, place], truth)
            position = panel.first[series] + step
            np.testing.assert_allclose(ahead[row, place, :6], calendar(np.array([position]), (7.0,))[0], atol=1e-6)
            if step < len(panel.known[series]):
                np.testing.assert_allclose(ahead[row, place, 6:8], panel.known[series][step], rtol=1e-6)
                assert ahead[row, place, 8:].tolist() == [1, 1]
    assert np.isfinite(history).all()


def test_what_a_window_shows_does_not_hang_on_later_values():
    panel = panel_of([60, 80])
    windows = of_pairs([(0, 30), (1, 41)])
    before, seen = Gatherer(panel, 12, 6, season=7).history(windows)
    changed = panel_of([60, 80])
    for series, origin in zip(windows.series, windows.origins):
        changed.values[series][origin:] = 1e6
    after, seen_after = Gatherer(changed, 12, 6, season=7).history(windows)
    np.testing.assert_array_equal(before, after)
    np.testing.assert_array_equal(seen, seen_after)


@pytest.mark.parametrize(("lengths", "horizon"), [([144], 12), ([40, 300, 20], 6), ([30] * 20, 4)])
def test_parts_lie_one_after_the_other(lengths, horizon):
    panel = panel_of(lengths)
    rolling = plan_origins(panel, horizon)
    train = training_windows(panel, rolling.cuts, horizon, least=2, most=10**6, seed_order=np.random.default_rng(0))
    for series, length in enumerate(lengths):
        own = {name: part.origins[part.series == series] for name, part in
               (("train", train), ("development", rolling.development), ("test", rolling.test))}
        if not len(own["test"]):
            assert rolling.cuts[series] == length
            continue
        assert own["test"].max() + horizon == length
        assert own["development"].max() + horizon <= own["test"].min() == rolling.seconds[series]
        if len(own["train"]):
            assert own["train"].max() + horizon <= own["development"].min() == rolling.cuts[series]


def test_too_short_series_are_refused_with_the_remedy():
    with pytest.raises(DataError, match=r"at least 40 values.*the longest has 20.*horizon"):
        plan_origins(panel_of([20, 10]), 12)


def test_holes_are_filled_from_the_past_then_from_what_comes():
    row = np.array([[np.nan, 1.0, np.nan, 3.0, np.nan, np.nan]])
    assert fill(row).tolist() == [[1.0, 1.0, 1.0, 3.0, 3.0, 3.0]]
    assert fill(row, 2).tolist() == [[1.0, 1.0, 1.0, 3.0, 3.0, 3.0]]
    assert fill(np.full((1, 3), np.nan)).tolist() == [[0.0, 0.0, 0.0]]


def test_scales_are_mean_seasonal_differences():
    panel = panel_of([20])
    values = panel.values[0]
    differences = [abs(values[i] - values[i - 4]) for i in range(4, 15)]
    assert naive_scales(panel, np.array([15]), 4)[0] == pytest.approx(np.nanmean(differences))
    assert last_windows(panel).origins.tolist() == [20]
    assert spaced(10, 22, 3) == [10, 16, 22] and spaced(5, 5, 4) == [5]
