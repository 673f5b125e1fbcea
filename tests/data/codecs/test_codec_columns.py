"""Whole columns of numbers and categories are read as their cells are, one by one."""

import numpy as np
import polars as pl
import pytest

from gradatim.data.codecs.category import CategoryCodec
from gradatim.data.codecs.columns import encode_column, fit_column
from gradatim.data.codecs.number import NumberCodec
from gradatim.data.loader import encode_table
from gradatim.data.table import Table
from gradatim.errors import CellError
from gradatim.problems import Problems

TEXTS = ["1", "2.5", " 3 ", "1,234", "1.234", "€ 5", "12%", "n/a", None, "abc", "1e5", "-0", "+7", "1e400", "",
         "9" * 70, "abc", "1.5", "1.5", "(2)", "nan", "x", "x "]
COLUMNS = {
    "texts": pl.Series(TEXTS),
    "whole": pl.Series([1, 2, None, 2, 40000]),
    "floats": pl.Series([1.0, 1e300, None, -2.5, 0.0, float("inf"), float("nan")]),
    "truths": pl.Series([True, None, False, True]),
}


def by_cell(codec, cells):
    values, errors = [], []
    for row, cell in enumerate(cells):
        try:
            values.append(codec.encode(cell)[0])
        except CellError as error:
            values.append(None)
            errors.append((row, error.code, str(error)))
    return codec.stack(values), [value is not None for value in values], errors


@pytest.mark.parametrize("name", COLUMNS)
@pytest.mark.parametrize("make", [
    NumberCodec, lambda: NumberCodec(decimal=","), lambda: NumberCodec(scale="signed-log"),
    lambda: NumberCodec(target=True), CategoryCodec, lambda: CategoryCodec(target=True),
])
def test_a_column_is_fitted_and_encoded_as_cell_by_cell(name, make):
    cells = COLUMNS[name]
    slow, quick = make().fit(cells.to_list()), fit_column(make(), cells)
    assert quick.to_json() == slow.to_json()
    unseen = pl.concat([cells, cells.head(2)])
    for codec in (slow, make().fit(cells.head(2).to_list())):  # also one that does not know most of the cells
        values, present, errors = by_cell(codec, unseen.to_list())
        found, there, refused = encode_column(codec, unseen)
        np.testing.assert_allclose(found.numpy(), values.numpy(), rtol=1e-6)
        assert found.dtype == values.dtype and there.tolist() == present
        assert [(row, error.code, str(error)) for row, error in refused] == errors


def test_the_loader_asks_the_codec_about_a_few_cells_of_many(monkeypatch):
    """60,000 rows of one number and one category: only different odd cells reach the codec."""
    count = 60_000
    table = Table(pl.DataFrame({
        "size": [f"{row % 5000}.25" if row % 100 else "unknown" for row in range(count)],
        "town": [f"town {row % 50}" for row in range(count)],
    }))
    codecs = {"size": fit_column(NumberCodec(), table.frame["size"]),
              "town": fit_column(CategoryCodec(), table.frame["town"])}
    asked = []
    for owner, method in ((NumberCodec, "parse"), (CategoryCodec, "encode")):
        original = getattr(owner, method)
        monkeypatch.setattr(owner, method, lambda self, cell, *rest, call=original: (asked.append(cell),
                                                                                    call(self, cell, *rest))[1])
    problems = Problems()
    encoded = encode_table(table, codecs, problems=problems)
    assert len(asked) <= 51
    assert encoded.present["size"].sum() == count - 600 and problems.counts() == {"number-unreadable": 600}
    assert encoded.fields["town"][[0, 50, 49]].tolist() == [codecs["town"].classes.index(f"town {place}") + 1
                                                            for place in (0, 0, 49)]
