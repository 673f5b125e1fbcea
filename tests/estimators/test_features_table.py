"""TableFeatures against plain NumPy on a table with every kind of hole."""

import numpy as np
import pandas as pd
import polars as pl
import pytest

from gradatim.estimators.features.table import TableFeatures

TABLE = {
    "age": [20.0, None, 40.0, 60.0, float("inf")],
    "rooms": [1, 2, 3, 4, 5],
    "same": [7.0] * 5,
    "town": ["Rome", "Oslo", None, "Rome", "Bonn"],
}


def make(**options):
    return TableFeatures(numbers=["age", "rooms", "same"], categories=["town"], **options)


def test_numbers_are_filled_flagged_and_standardised():
    features = make(bins=0)
    rows = features.fit_transform(TABLE)
    names = features.get_feature_names_out().tolist()
    assert names == ["age", "age:missing", "rooms", "same", "town=Bonn", "town=Oslo", "town=Rome", "town:missing"]
    deviation = np.std([20, 40, 60])
    np.testing.assert_allclose(rows[:, 0], np.array([-20, 0, 0, 20, 0]) / deviation, rtol=1e-6)
    assert rows[:, 1].tolist() == [0, 1, 0, 0, 1]
    np.testing.assert_allclose(rows[:, 2], (np.arange(5) - 2) / np.sqrt(2), rtol=1e-6)
    assert not rows[:, 3].any()
    assert rows[:, 4:].tolist() == [[0, 0, 1, 0], [0, 1, 0, 0], [0, 0, 0, 1], [0, 0, 1, 0], [1, 0, 0, 0]]


def test_rare_levels_share_a_column_and_unseen_ones_are_zeros():
    features = TableFeatures(categories=["town"], min_rows=2).fit(TABLE)
    assert features.get_feature_names_out().tolist() == ["town=Rome", "town:other", "town:missing"]
    rows = features.transform({"town": ["Rome", "Bonn", "Paris", None]})
    assert rows.tolist() == [[1, 0, 0], [0, 1, 0], [0, 0, 0], [0, 0, 1]]
    assert TableFeatures(categories=["town"], max_levels=1).fit(TABLE).levels_ == [["Rome"]]


def test_bins_hold_the_place_between_quantiles():
    values = np.arange(101.0)
    features = TableFeatures(numbers=["x"], bins=4).fit({"x": values})
    rows = features.transform({"x": [-5.0, 10.0, 50.0, 60.0, 1000.0]})[:, 1:]
    expected = [[0, 0, 0, 0], [0.4, 0, 0, 0], [1, 1, 0, 0], [1, 1, 0.4, 0], [1, 1, 1, 1]]
    np.testing.assert_allclose(rows, expected, atol=1e-6)
    assert np.abs(features.transform({"x": [1e30]})).max() == 10


def test_frames_and_mappings_give_the_same_rows():
    expected = make().fit_transform(TABLE)
    for frame in (pl.DataFrame(TABLE, strict=False), pd.DataFrame(TABLE)):
        np.testing.assert_array_equal(make().fit_transform(frame), expected)
        np.testing.assert_array_equal(make().fit(TABLE).transform(frame), expected)


def test_all_missing_and_no_columns_survive():
    assert not TableFeatures(numbers=["x"]).fit({"x": [None, None]}).transform({"x": [None]})[:, 0].any()
    assert TableFeatures().fit(pl.DataFrame(TABLE, strict=False)).transform(
        pl.DataFrame(TABLE, strict=False)
    ).shape == (5, 0)


def test_missing_column_and_text_among_numbers_are_named():
    with pytest.raises(ValueError, match="expected a column 'age'"):
        make().fit({"rooms": [1]})
    with pytest.raises(ValueError, match="expected a column 'age'"):
        make().fit(pl.DataFrame({"rooms": [1]}))
    with pytest.raises(ValueError, match="column 'age': expected numbers"):
        make().fit(TABLE | {"age": ["old"] * 5})
