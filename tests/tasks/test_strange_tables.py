"""Tables of a few strange rows are fitted, or refused in one line; what reaches an estimator is always finite."""

import warnings
from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
import polars as pl
import pytest

import gradatim as gd
from gradatim.data.codecs import codec_for
from gradatim.data.infer import infer_schema
from gradatim.data.schema import Column
from gradatim.data.split import folds
from gradatim.data.table import Table
from gradatim.errors import GradatimError
from gradatim.estimators.features.table import TableFeatures
from gradatim.tasks.classification import Classification
from gradatim.tasks.heads import Head, blank_columns, join
from gradatim.tasks.regression import Regression
from gradatim.tasks.source import Source
from gradatim.tasks.tables import Trees, tree_matrix

NUMBERS = ["1e999", "-1e400", "0x1F", "1e308", "-1e308", "1e-320", "5e-324", "inf", "nan", "#DIV/0!", "1,5", "1.234,5",
           "€ 12", "12%", "--", "1_000", "１２", "٣", "1e38", "-3.5e38"]
DATES = ["2021-02-30", "0000-00-00", "2021-01-01", "9999-12-31", "1-1-1", "31/12/2020", "2021-13-01", "12:60"]
TEXTS = ["é", "e\u0301", "👩‍👩‍👧", "\u202eabc", "\ufeffx", "ß", "SS", " ", "\u200b", "中"]
WORDS = ["lorem", "ipsum", "dolor", "sit", "amet"]
Random = np.random.Generator
Cells = list[str | None]

KINDS: dict[str, Callable[[Random, int], Cells]] = {
    "numbers": lambda r, n: [f"{v:.3f}" for v in r.normal(size=n)],
    "odd numbers": lambda r, n: r.choice(NUMBERS, n).tolist(),
    "some odd": lambda r, n: [str(r.choice(NUMBERS)) if r.random() < 0.15 else f"{v:.3f}" for v in r.normal(size=n)],
    "constant": lambda r, n: [str(r.choice(["7", "x", "1e308", "2021-01-01"]))] * n,
    "missing": lambda r, n: [None] * n,
    "one filled": lambda r, n: [None] * (n - 1) + ["3.5"],
    "huge": lambda r, n: [repr(float(v) * 1e307) for v in r.normal(size=n)],
    "tiny": lambda r, n: [repr(float(v) * 1e-318) for v in r.normal(size=n)],
    "bad dates": lambda r, n: r.choice(DATES, n).tolist(),
    "odd texts": lambda r, n: r.choice(TEXTS, n).tolist(),
    "categories": lambda r, n: r.choice(["a", "b", "c"], n).tolist(),
    "booleans": lambda r, n: r.choice(["true", "false"], n).tolist(),
    "integers": lambda r, n: [str(v) for v in r.integers(0, 5, n)],
    "hexadecimal": lambda r, n: [hex(v) for v in r.integers(0, 10**6, n).tolist()],
    "sentences": lambda r, n: [" ".join(r.choice(WORDS, 6)) for _ in range(n)],
    "names": lambda r, n: [f"id{row}" for row in range(n)],
    "infinities": lambda r, n: ["inf" if r.random() < 0.1 else f"{v:.3f}" for v in r.normal(size=n)],
}
TARGETS = ["categories", "booleans", "integers", "numbers", "huge", "tiny", "constant", "some odd", "one filled"]


def strange_table(seed: int) -> Table:
    """3 to 100 rows of 1 to 6 columns and a target `y`; now and then cells are missing or every row comes twice."""
    random = np.random.default_rng(seed)
    rows = int(random.choice([3, 4, 5, 6, 8, 10, 15, 20, 30, 45, 60, 100]))
    kinds = [*random.choice(list(KINDS), int(random.choice([1, 1, 2, 3, 4, 6]))), random.choice(TARGETS)]
    cells: dict[str, pl.Series] = {}
    for place, kind in enumerate(kinds):
        column = KINDS[kind](random, rows)
        if random.random() < 0.3:
            column = [None if random.random() < 0.2 else cell for cell in column]
        name = "y" if place == len(kinds) - 1 else f"c{place}"
        cells[name] = pl.Series(name, column, dtype=pl.String)
    frame = pl.DataFrame(cells)
    return Table(pl.concat([frame, frame]) if random.random() < 0.15 else frame)


def fitted_parts(table: Table, target: str, seed: int) -> tuple[Any, list[Column], np.ndarray, np.ndarray] | None:
    """Task, inputs, rows with a label and labels; None where a run would be refused."""
    try:
        schema = infer_schema(table, target="y")
        column = schema.targets[0]
        kinds = {"classification": Classification, "regression": Regression}
        task = kinds["regression" if column.kind == "number" else "classification"].fit(column, table.cells("y"))
        labels = task.labels(table.cells("y"))
    except GradatimError as error:
        assert "\n" not in str(error)
        return None
    rows = np.flatnonzero(np.isfinite(labels) if labels.dtype.kind == "f" else labels >= 0)
    plain = [column for column in schema.inputs if column.kind in ("number", "category", "text")]
    return (task, plain, rows, labels) if plain and len(rows) > 2 else None


def test_what_reaches_an_estimator_is_finite() -> None:
    """Heads and trees fitted on a hundred strange tables answer their own rows and a stranger's with numbers."""
    fitted: Counter[str] = Counter()
    for seed in range(100):
        table = strange_table(seed)
        found = fitted_parts(table, "y", seed)
        if found is None:
            continue
        task, columns, rows, labels = found
        others = strange_table(seed + 10_000)
        strange = Table(pl.DataFrame({
            column.name: others.frame.get_column("c0").gather(np.arange(len(table)) % len(others)) for column in columns
        }))
        some = rows[: max(2, len(rows) // 2)]  # as in a fold: a column may have nothing in these rows
        if task.classes and len(np.unique(labels[some])) < 2:
            continue
        with warnings.catch_warnings():
            warnings.simplefilter("error", RuntimeWarning)  # overflow and division by zero are no accidents
            head = Head.fit(Source(table), columns, {}, some, labels, task)
            fitted[task.name] += 1
            for source in (Source(table), Source(strange)):
                every = np.arange(len(source))
                assert np.isfinite(as_dense(join([block.matrix(source, every) for block in head.blocks]))).all(), seed
                assert np.isfinite(head.answer(source)).all(), seed
        table_columns = [column for column in columns if column.kind != "text"]
        if table_columns:
            trees = Trees.fit(Source(table), table_columns, some, labels, task, seed=0)
            assert np.isfinite(trees.answer(Source(strange))).all(), seed
            assert not np.isinf(tree_matrix(Source(strange), trees.codecs, np.arange(len(strange)))).any(), seed
            assert trees.answer_rows(Source(table), rows[:0]).shape == (0, *task.answer_shape)
    assert fitted["classification"] > 20 and fitted["regression"] > 15, fitted


def as_dense(matrix: Any) -> np.ndarray:
    return matrix.toarray() if hasattr(matrix, "toarray") else matrix


def test_codecs_of_inputs_without_a_readable_training_cell_know_nothing() -> None:
    for kind, later in (("number", "7"), ("category", "red"), ("text", "a word")):
        codec = codec_for(Column("c", kind, "input")).fit([None, None])
        value, _ = codec.encode(later)
        assert np.abs(np.asarray(value)).max() <= 1, "unknown: 0 for numbers and categories, 1 for words"
        assert type(codec).from_json(codec.to_json()).to_json() == codec.to_json()
        if kind != "text":
            with pytest.raises(GradatimError, match="received none"):
                codec_for(Column("c", kind, "target"), target=True).fit([None, None])
    features = TableFeatures(numbers=["c"], bins=4).fit({"c": [None, None]})
    assert np.abs(features.transform({"c": [7.0, None]})[:, 0]).max() < 1e-30


def test_columns_without_a_readable_training_cell_are_named() -> None:
    table = Table(pl.DataFrame({"a": [None, "x", None], "b": ["1", "2", "3"], "c": ["?", "no", "4"]}))
    columns = [Column("a", "number", "input"), Column("b", "number", "input"), Column("c", "number", "input")]
    notes = blank_columns(Source(table), columns, np.array([0, 1]))
    assert [note.partition(":")[0] for note in notes] == ["a", "c"]


@pytest.mark.parametrize(("middle", "spread"), [(1.7e9, 1.0), (0.0, 1e99), (1e100, 1e-5), (0.0, 1e-30)])
def test_a_head_keeps_the_digits_of_its_target(middle: float, spread: float) -> None:
    """Against least squares in double precision on the target's own numbers, which float32 has no room for."""
    random = np.random.default_rng(0)
    x = random.normal(size=200)
    y = middle + spread * (3 * x + 0.1 * random.normal(size=200))
    table = Table(pl.DataFrame({"x": x, "y": y}))
    task = Regression.fit(Column("y", "number", "target"), table.cells("y"))
    head = Head.fit(Source(table), [Column("x", "number", "input")], {}, np.arange(200), task.labels(y.tolist()), task)
    design = np.stack([x, np.ones(200)], axis=1)
    line = design @ np.linalg.lstsq(design, (y - y.mean()) / max(spread, 1e-300), rcond=None)[0]
    answer = (head.answer(Source(table)) - y.mean()) / max(spread, 1e-300)
    # One unit of the last digit of a double is all that can be asked where the spread is under it.
    assert np.abs(answer - line).max() < max(0.1, 4 * np.finfo(float).eps * abs(middle) / spread)


def test_every_fold_has_rows_to_fit_on_and_rows_held_out() -> None:
    """Also where each group is all that there is of its stratum, as rows that come twice are of quantiles."""
    for seed in range(200):
        random = np.random.default_rng(seed)
        count = int(random.integers(6, 40))
        groups = random.integers(0, max(2, count // 2), count)
        labels = groups if seed % 3 == 0 else random.integers(0, 5, count)
        if len(np.unique(groups)) < 2:
            continue
        found = folds(np.arange(count), labels, groups, count=5, seed=seed)
        assert sorted(np.concatenate([held for _, held in found]).tolist()) == list(range(count))
        for fitted, held in found:
            assert len(fitted) and len(held) and not set(groups[fitted]) & set(groups[held])


def test_folds_of_groups_that_are_their_strata_are_of_one_size() -> None:
    groups = np.repeat(np.arange(10), 2)
    sizes = [len(held) for _, held in folds(np.arange(20), groups, groups, count=5, seed=0)]
    assert sizes == [4] * 5


def test_an_estimator_without_a_finite_answer_is_refused_by_name() -> None:
    random = np.random.default_rng(0)
    frame = pl.DataFrame({"x": random.normal(size=60), "y": random.normal(size=60) * 1e99})
    with pytest.raises(GradatimError, match=r"linear\.Ridge"):
        gd.fit(frame, target="y", minutes=0.1, estimator="linear.Ridge")


@pytest.mark.slow
@pytest.mark.parametrize("first", range(0, 60, 15))
def test_strange_tables_are_fitted_or_refused_in_one_line(first: int) -> None:
    fitted = 0
    for seed in range(first, first + 15):
        frame = strange_table(seed).frame
        try:
            run = gd.fit(frame, target="y", minutes=0.05, epochs=1)
        except GradatimError as error:
            assert "\n" not in str(error) and len(str(error)) < 700
            continue
        fitted += 1
        assert len(run.predict(frame).frame) == len(frame)
        assert len(run.predict(frame.with_columns(pl.lit("1e999").alias(frame.columns[0]))).frame) == len(frame)
    assert fitted > 3
