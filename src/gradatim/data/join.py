"""Labels that are kept apart from their rows, as competitions and held-back tests keep them."""

import polars as pl

from gradatim.data.spelling import spelled, spelling_of
from gradatim.data.table import Table
from gradatim.errors import DataError


def attach_labels(table: Table, labels: Table, target: str, id: str | None) -> Table:
    """The table with the labels of another one, matched by `id`; every row must find exactly one label."""
    if target not in labels.frame.columns:
        raise DataError(f"{labels.source}: expected a column '{target}', found {', '.join(labels.frame.columns)}")
    if id is None:
        shared = [n for n in table.frame.columns if n in labels.frame.columns and n != target]
        if len(shared) != 1:
            raise DataError(f"{labels.source}: expected --id to say which column joins labels and rows; "
                            f"shared: {', '.join(shared) or 'none'}")
        id = shared[0]
    for part in (table, labels):
        if id not in part.frame.columns:
            raise DataError(f"{part.source}: expected the id column '{id}', found {', '.join(part.frame.columns)}")
    keys, others = joining_keys(table.frame.get_column(id), labels.frame.get_column(id))
    truth = pl.DataFrame({id: others, target: labels.frame.get_column(target)})
    if truth.get_column(id).is_duplicated().any():
        raise DataError(f"{labels.source}: expected each '{id}' once, found some twice; remove the duplicates")
    frame = table.frame.drop(target, strict=False)
    joined = frame.with_columns(keys).join(truth, on=id, how="left", maintain_order="left")
    lost = joined.get_column(target).null_count()
    if lost:
        first = joined.filter(pl.col(target).is_null()).get_column(id)[0]
        raise DataError(f"{labels.source}: expected a label for each row, found none for {lost} (first: '{first}')")
    joined = joined.with_columns(table.frame.get_column(id))
    return Table(joined, table.folder, table.lines, table.source, table.notes)


def joining_keys(one: pl.Series, other: pl.Series) -> tuple[pl.Series, pl.Series]:
    """Two columns of ids as texts that are equal where the ids are: 7, 7.0 and "7" are one, but not with codes.

    >>> [keys.to_list() for keys in joining_keys(pl.Series([7, 8]), pl.Series(["8.0", "7.0"]))]
    [['7', '8'], ['8', '7']]
    """
    forms = {spelling_of(one), spelling_of(other)} - {"binary"}
    form = "text" if "text" in forms else min(forms, default="number")
    return spelled(one, form), spelled(other, form)
