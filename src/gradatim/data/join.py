"""Labels that are kept apart from their rows, as competitions and held-back tests keep them."""

import polars as pl

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
    truth = labels.frame.select(pl.col(id).cast(pl.String), pl.col(target))
    if truth.get_column(id).is_duplicated().any():
        raise DataError(f"{labels.source}: expected each '{id}' once, found some twice; remove the duplicates")
    frame = table.frame.drop(target, strict=False).with_columns(pl.col(id).cast(pl.String))
    joined = frame.join(truth, on=id, how="left", maintain_order="left")
    lost = joined.get_column(target).null_count()
    if lost:
        first = joined.filter(pl.col(target).is_null()).get_column(id)[0]
        raise DataError(f"{labels.source}: expected a label for each row, found none for {lost} (first: '{first}')")
    return Table(joined, table.folder, table.lines, table.source, table.notes)
