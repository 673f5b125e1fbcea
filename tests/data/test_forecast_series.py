"""Long tables read into series on a grid: nothing is sorted, gathered or left out in silence."""

from datetime import date, timedelta

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gradatim.data.forecast_series import SeriesReader, melted
from gradatim.data.table import Table
from gradatim.errors import DataError
from gradatim.problems import Problems

DAYS = [str(date(2024, 1, 1) + timedelta(day)) for day in range(40)]


def reader_of(table: Table, **options) -> SeriesReader:
    return SeriesReader.fit(table, time="day", target="value", id=options.pop("id", "shop"), **options)


def table_of(rows: list[tuple], names=("shop", "day", "value")) -> Table:
    return Table(pl.DataFrame(rows, schema=list(names), orient="row"), source="sales.csv")


@settings(max_examples=25, deadline=None)
@given(order=st.permutations(range(24)))
def test_the_order_of_the_rows_changes_nothing(order):
    rows = [(f"s{i % 2}", DAYS[i // 2], str(i)) for i in range(24)]
    table = table_of(rows)
    reader = reader_of(table)
    panel, other = reader.read(table), reader.read(table_of([rows[i] for i in order]))
    for name, values, where in zip(panel.names, panel.values, panel.rows):
        place = other.names.index(name)
        np.testing.assert_array_equal(values, other.values[place])
        assert [rows[order[row]] for row in other.rows[place]] == [rows[row] for row in where]


def test_disorder_is_told():
    table = table_of([("a", day, "1") for day in reversed(DAYS[:5])])
    panel = reader_of(table).read(table)
    assert any("were sorted" in note for note in panel.notes)


def test_gaps_and_empty_cells_become_missing_values_and_are_told():
    rows = [("a", day, str(place)) for place, day in enumerate(DAYS[:10]) if place not in (3, 4)]
    rows[5] = (*rows[5][:2], "n/a")
    panel = reader_of(table_of(rows)).read(table_of(rows))
    assert np.isnan(panel.values[0][[3, 4, 7]]).all() and np.isfinite(panel.values[0]).sum() == 7
    assert any("2 steps of the grid have no row" in note for note in panel.notes)
    assert any("1 rows between known values have no value" in note for note in panel.notes)
    assert (panel.rows[0] == -1).sum() == 2


def test_repeated_times_are_refused_or_gathered_as_the_user_says():
    rows = [("a", day, "1") for day in DAYS[:6]] + [("a", DAYS[2], "5")]
    table = table_of(rows)
    told = r"found 1 repeated, the first 2024-01-03 of 'a' in row 2 and row 6.*duplicates="
    with pytest.raises(DataError, match=told):
        reader_of(table).read(table)
    for way, wanted in (("mean", 3.0), ("sum", 6.0), ("first", 1.0), ("last", 5.0)):
        assert reader_of(table, gather=way).read(table).values[0][2] == wanted
    with pytest.raises(DataError, match="duplicates=median"):
        reader_of(table, gather="median")


def test_rows_after_the_last_value_tell_the_known_future():
    rows = [("a", day, str(place) if place < 6 else None, str(place % 3), "yes" if place % 2 else "no")
            for place, day in enumerate(DAYS[:9])]
    table = table_of(rows, ("shop", "day", "value", "price", "open"))
    reader = reader_of(table, known=["price", "open"])
    panel = reader.read(table)
    assert len(panel.values[0]) == 6 and panel.known[0].shape == (9, 3)
    np.testing.assert_allclose(panel.known[0][:, 1:].sum(axis=1), 1)
    assert abs(panel.known[0][:, 0].mean()) < 1e-9
    again = SeriesReader.from_json(reader.to_json())
    np.testing.assert_array_equal(again.read(table).known[0], panel.known[0])


def test_what_cannot_be_used_is_a_problem_by_row():
    rows = [("a", day, "1") for day in DAYS[:6]] + [(None, DAYS[7], "1"), ("a", None, "2"), ("a", DAYS[6], "many")]
    problems = Problems()
    panel = reader_of(table_of(rows)).read(table_of(rows), problems)
    assert problems.counts() == {"number-unreadable": 1, "time-missing": 1, "id-missing": 1}
    assert len(panel.values[0]) == 6


def test_a_later_table_lies_on_the_same_grid():
    table = table_of([("a", day, "1") for day in DAYS[:10]])
    reader = reader_of(table)
    later = reader.read(table_of([("new", day, "2") for day in DAYS[20:24]]))
    assert later.names == ["new"] and later.first.tolist() == [20]
    assert reader.write_times(later.first) == [DAYS[20]]


def test_missing_columns_and_wild_grids_are_refused():
    table = table_of([("a", day, "1") for day in DAYS[:10]])
    with pytest.raises(DataError, match="missing shop"):
        reader_of(table).read(Table(table.frame.drop("shop")))
    far = table_of([*table.frame.rows(), *(("b", day, "1") for day in ("2024-01-01", "2024-01-02", "2024-01-03")),
                    ("b", "9999-01-01", "1")])
    assert reader_of(far).read(far).lengths.max() > 1_000_000  # allowed: under the limit, and told as gaps


def test_wide_tables_are_melted():
    wide = Table(pl.DataFrame({"day": DAYS[:3], "north": ["1", "2", "3"], "south": ["4", None, "6"]}))
    long = melted(wide, "day", "value", ["north", "south"])
    reader = SeriesReader.fit(long, time="day", target="value", id="series")
    panel = reader.read(long)
    assert panel.names == ["north", "south"] and panel.values[1][0] == 4 and np.isnan(panel.values[1][1])
    with pytest.raises(DataError, match="missing west"):
        melted(wide, "day", "value", ["west"])
