"""Times onto a regular grid and back."""

from datetime import date, datetime, timedelta

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gradatim.data.forecast_times import Frequency, find_frequency, read_instants
from gradatim.errors import DataError

START = date(2024, 1, 1)


def grid_of(cells: list) -> tuple[Frequency, np.ndarray, list[str]]:
    instants, spelling = read_instants(pl.Series(cells))
    frequency = find_frequency([np.sort(instants)], spelling)
    return frequency, frequency.places(instants), spelling.write(frequency.instants(np.arange(3)))


@pytest.mark.parametrize(
    ("cells", "name", "seasons", "written"),
    [
        (["2020-01-01", "2020-02-01", "2020-04-01"], "month", (12,), ["2020-01-01", "2020-02-01", "2020-03-01"]),
        (["2020-01-31", "2020-02-29", "2020-04-30"], "month", (12,), ["2020-01-31", "2020-02-29", "2020-03-31"]),
        (["2020Q1", "2020Q2", "2020Q4"], "quarter", (4,), ["2020Q1", "2020Q2", "2020Q3"]),
        (["1949-01", "1949-02", "1949-04"], "month", (12,), ["1949-01", "1949-02", "1949-03"]),
        (["2001-07-01", "2002-07-01", "2004-07-01"], "year", (), ["2001-07-01", "2002-07-01", "2003-07-01"]),
        ([1949 + i / 12 for i in range(30)], "step of 0.0833333", (12,), ["1949", "1949.0833", "1949.1667"]),
        (["1700", "1701", "1703"], "step of 1", (), ["1700", "1701", "1702"]),
        ([str(START + timedelta(7 * i)) for i in range(30)], "week", (52,), ["2024-01-01", "2024-01-08", "2024-01-15"]),
        ([START + timedelta(i) for i in range(60)], "day", (7, 365), ["2024-01-01", "2024-01-02", "2024-01-03"]),
        ([datetime(2024, 1, 1) + timedelta(minutes=15 * i) for i in range(60)], "15 minutes", (96, 672),
         ["2024-01-01T00:00:00", "2024-01-01T00:15:00", "2024-01-01T00:30:00"]),
    ],
)
def test_grid_is_found_and_written_as_the_file_does(cells, name, seasons, written):
    frequency, places, first = grid_of(cells)
    assert frequency.name == name and frequency.seasons() == seasons and first == written
    np.testing.assert_allclose(places, np.round(places), atol=0.05)
    assert Frequency.from_json(frequency.to_json()) == frequency


def test_days_without_weekends_are_their_own_grid():
    days = [START + timedelta(i) for i in range(40) if (START + timedelta(i)).weekday() < 5]
    frequency, places, first = grid_of(list(map(str, days)))
    assert frequency.unit == "weekday" and places.tolist() == list(range(len(days)))
    assert first == ["2024-01-01", "2024-01-02", "2024-01-03"]


@settings(max_examples=40, deadline=None)
@given(unit=st.sampled_from(["number", "second", "weekday", "month"]), every=st.integers(1, 30),
       steps=st.lists(st.integers(-500, 5000), min_size=1, max_size=20), day=st.integers(0, 31))
def test_positions_come_back_from_instants(unit, every, steps, day):
    anchor = {"number": 3.5, "second": 1e9, "weekday": 4 * 86_400.0, "month": 600.0}[unit]
    size = {"second": 3600.0 * every, "weekday": 1.0}.get(unit, float(every))
    frequency = Frequency(unit, size, anchor, day)
    positions = np.array(steps)
    np.testing.assert_allclose(frequency.places(frequency.instants(positions)), positions, atol=1e-6)


def test_times_without_a_grid_are_refused_with_the_remedy():
    instants, spelling = read_instants(pl.Series([0.0, 1.0, 2.37, 4.9, 5.02, 9.11]))
    with pytest.raises(DataError, match=r"no regular grid.*frequency="):
        find_frequency([instants], spelling)
    assert find_frequency([instants], spelling, asked="0.5").every == 0.5
    with pytest.raises(DataError, match="expected a step as a number"):
        find_frequency([instants], spelling, asked="day")


def test_unreadable_times_are_named():
    with pytest.raises(DataError, match="received 'soon'"):
        read_instants(pl.Series(["soon", "later"]))
