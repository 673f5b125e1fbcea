"""The split: exact shares, whole groups, no leak through time, every class kept, the same for the same seed."""

import itertools
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from gradatim.data.duplicates import Ties, find_ties
from gradatim.data.schema import Column, Schema
from gradatim.data.split import Split, folds, make_split, sizes_for
from gradatim.data.table import Table
from gradatim.errors import DataError, SchemaError
from gradatim.files import read_json, write_json

LABEL = Schema((Column("x", "number", "input"), Column("y", "category", "target")))


def table_of(labels, **columns) -> Table:
    frame = {"x": [str(i) for i in range(len(labels))], **columns, "y": list(labels)}
    return Table(pl.DataFrame(frame, strict=False))


def parts_of(split: Split, count: int) -> np.ndarray:
    part = np.full(count, -1)
    for index, rows in enumerate(split.parts().values()):
        assert (part[rows] == -1).all(), "a row lies in two parts"
        part[rows] = index
    return part


def test_sizes_follow_the_amount_of_data():
    assert sizes_for(100) == sizes_for(10_000) == (0.6, 0.2, 0.2)
    assert sizes_for(1_000_000) == pytest.approx((0.98, 0.01, 0.01), abs=1e-3)
    assert sizes_for(10**8) == (0.98, 0.01, 0.01)
    held = [rows * sizes_for(rows)[2] for rows in np.geomspace(10, 1e8, 200)]
    assert all(b > a for a, b in itertools.pairwise(held)), "more data must never leave fewer test rows"


@pytest.mark.parametrize("seed", range(5))
def test_stratified_within_one_row_a_class(seed):
    random = np.random.default_rng(seed)
    labels = random.choice(list("abcdefgh"), 1003, p=[0.4, 0.3, 0.1, 0.1, 0.05, 0.03, 0.01, 0.01])
    part = parts_of(make_split(table_of(labels), LABEL, seed=seed), 1003)
    assert (part >= 0).all()
    for index, share in enumerate((0.6, 0.2, 0.2)):
        assert abs((part == index).sum() - share * 1003) <= 2
        for name in set(labels):
            assert abs(((part == index) & (labels == name)).sum() - share * (labels == name).sum()) <= 2


def test_same_seed_same_split_other_seed_another():
    table = table_of(["a", "b"] * 50)
    first, again, other = (make_split(table, LABEL, seed=seed) for seed in (1, 1, 2))
    assert first.train.tolist() == again.train.tolist() != other.train.tolist()


def test_classes_with_one_example_train():
    labels = ["a"] * 50 + ["b"] * 47 + ["rare 1", "rare 2", "rare 3"]
    split = make_split(table_of(labels), LABEL)
    assert {97, 98, 99} <= set(split.train.tolist())
    assert any("3 classes have one example" in note for note in split.notes)


def test_all_classes_single_still_trains():
    split = make_split(table_of([str(i) for i in range(30)]), LABEL)
    assert len(split.train) == 30


@pytest.mark.parametrize("count", [2, 3, 4])
def test_few_examples_reach_train_and_where_they_can_each_part(count):
    for seed in range(20):
        labels = np.array(["common"] * 40 + ["few"] * count)
        part = parts_of(make_split(table_of(labels), LABEL, seed=seed), len(labels))
        present = set(part[labels == "few"])
        assert 0 in present
        if count >= 3:
            assert present == {0, 1, 2}


def test_unlabelled_rows_are_listed_and_in_no_part():
    split = make_split(table_of(["a", None, "b", "  ", "a", "b", "a", "b"]), LABEL)
    assert split.unlabelled.tolist() == [1, 3]
    assert sorted(np.concatenate(list(split.parts().values())).tolist()) == [0, 2, 4, 5, 6, 7]
    assert any("2 rows have no target" in note for note in split.notes)


@pytest.mark.parametrize("seed", range(5))
def test_groups_stay_whole_and_sizes_are_near(seed):
    random = np.random.default_rng(seed)
    groups = random.integers(0, 60, 600)
    labels = random.choice(["a", "b", "c"], 600)
    schema = Schema((*LABEL.columns, Column("g", "category", "group")))
    split = make_split(table_of(labels, g=[f"g{group}" for group in groups]), schema, seed=seed)
    part = parts_of(split, 600)
    assert all(len(set(part[groups == group])) == 1 for group in set(groups))
    assert abs((part == 0).mean() - 0.6) < 0.04 and abs((part == 2).mean() - 0.2) < 0.04
    for name in "abc":
        assert abs((part[labels == name] == 0).mean() - 0.6) < 0.1
    assert split.groups is not None and len(np.unique(split.groups)) == len(set(groups))


def test_ties_and_groups_join_into_one_unit():
    # Row 0 and 1 share a group, 1 and 2 are the same, 2 and 3 share another group: all four on one side.
    schema = Schema((*LABEL.columns, Column("g", "category", "group")))
    table = table_of(["a", "b"] * 20, g=["p", "p", "q", "q"] + [None] * 36)
    labels = np.arange(40)
    labels[2] = 1
    for seed in range(10):
        split = make_split(table, schema, seed=seed, ties=Ties(labels))
        assert len(set(parts_of(split, 40)[:4])) == 1
        assert split.groups is not None and len(np.unique(split.groups)) == 37


def test_equal_rows_never_cross():
    random = np.random.default_rng(0)
    values = random.integers(0, 150, 400).astype(str)
    schema = Schema((Column("x", "category", "input"), Column("y", "category", "target")))
    table = Table(pl.DataFrame({"x": values, "y": random.choice(["a", "b"], 400)}))
    part = parts_of(make_split(table, schema, ties=find_ties(table, schema)), 400)
    assert all(len(set(part[values == value])) == 1 for value in set(values))


@pytest.mark.parametrize("spelling", ["{:04d}", "2024-01-01T{:02d}:{:02d}:00"])
def test_by_time_the_past_trains(spelling):
    random = np.random.default_rng(0)
    moments = random.permutation(200)
    text = [spelling.format(*((m,) if spelling.count("{") == 1 else divmod(int(m), 60))) for m in moments]
    schema = Schema((*LABEL.columns, Column("t", "category", "time")))
    part = parts_of(make_split(table_of(["a", "b"] * 100, t=text), schema), 200)
    assert moments[part == 0].max() < moments[part == 1].min()
    assert moments[part == 1].max() < moments[part == 2].min()
    assert np.bincount(part).tolist() == [120, 40, 40]


def test_by_time_equal_moments_and_ties_never_train_on_the_future():
    days = [f"{1 + i // 10:02d}.03.2024" for i in range(100)]
    schema = Schema((*LABEL.columns, Column("t", "category", "time")))
    labels = np.arange(100)
    labels[99] = 0  # the first row and the last are the same
    part = parts_of(make_split(table_of(["a", "b"] * 50, t=days), schema, ties=Ties(labels)), 100)
    assert part[0] == part[99] == 2
    assert all(len(set(part[10 * day + (day == 0) : 10 * day + 10])) == 1 for day in range(10))


def test_three_rows_by_time_give_one_each():
    schema = Schema((*LABEL.columns, Column("t", "category", "time")))
    split = make_split(table_of(["a", "b", "a"], t=["3", "1", "2"]), schema)
    assert [rows.tolist() for rows in split.parts().values()] == [[1], [2], [0]]


def test_time_that_cannot_be_read_says_so():
    schema = Schema((*LABEL.columns, Column("t", "category", "time")))
    with pytest.raises(SchemaError, match="expected times in one format"):
        make_split(table_of(["a"] * 4, t=["2024-01-01", "soon", "2024-01-02", "2024-01-03"]), schema)


def test_the_users_column_is_obeyed():
    says = ["train", "Training", "dev", "validation", "TEST", "test "] * 4
    split = make_split(table_of(["a"] * 24, split=says), LABEL, column="split")
    assert parts_of(split, 24).tolist() == [0, 0, 1, 1, 2, 2] * 4


def test_the_users_column_without_development_takes_it_from_train():
    says = ["train"] * 80 + ["test"] * 20
    split = make_split(table_of(["a", "b"] * 50, split=says), LABEL, column="split")
    assert split.test.tolist() == list(range(80, 100))
    assert len(split.development) == 16 and split.development.max() < 80
    assert any("no rows of development" in note for note in split.notes)


def test_the_users_column_with_another_word():
    with pytest.raises(SchemaError, match="expected train, dev or test in row 2, received 'maybe'"):
        make_split(table_of(["a"] * 3, split=["train", "test", "maybe"]), LABEL, column="split")
    with pytest.raises(SchemaError, match="received 'nothing'"):
        make_split(table_of(["a"] * 3), LABEL, column="nothing")


def test_regression_is_stratified_by_quantile():
    random = np.random.default_rng(0)
    values = random.lognormal(size=1000)
    schema = Schema((Column("x", "number", "input"), Column("y", "number", "target")))
    part = parts_of(make_split(table_of([f"{v:.6f}".replace(".", ",") for v in values]), schema), 1000)
    bins = np.searchsorted(np.quantile(values, np.linspace(0, 1, 11)[1:-1]), values)
    for quantile in range(10):
        assert abs(((part == 2) & (bins == quantile)).sum() - 20) <= 2
    assert abs(np.median(values[part == 0]) - np.median(values[part == 2])) < 0.15


def test_no_target_splits_at_random_and_three_rows_are_needed():
    schema = Schema((Column("x", "number", "input"),))
    assert len(make_split(table_of(["a"] * 50), schema).train) == 30
    with pytest.raises(DataError, match="at least 3 rows with a target"):
        make_split(table_of(["a", "b", None]), LABEL)
    with pytest.raises(DataError, match="three shares"):
        make_split(table_of(["a"] * 9), LABEL, sizes=(0.5, 0.5))


def test_given_labels_replace_the_target():
    table = table_of(["a"] * 20)
    labels = np.array([0.0] * 10 + [np.nan] * 10)
    assert make_split(table, LABEL, labels=labels).unlabelled.tolist() == list(range(10, 20))


def test_json_round_trip(tmp_path: Path):
    labels = np.arange(30)
    labels[1] = 0
    split = make_split(table_of(["a", "b", None] * 10), LABEL, ties=Ties(labels))
    write_json(tmp_path / "split.json", split.to_json())
    again = Split.from_json(read_json(tmp_path / "split.json"))
    assert again.to_json() == split.to_json() and again.train.dtype == np.int64
    for bad in ({}, {"format": 1}, {**split.to_json(), "train": "abc"}, {**split.to_json(), "test": [None]}):
        with pytest.raises(DataError):
            Split.from_json(bad)


@pytest.mark.parametrize("seed", range(5))
def test_folds_hold_out_every_row_once_with_every_class(seed):
    random = np.random.default_rng(seed)
    labels = random.choice(["a", "b", "c"], 103, p=[0.7, 0.2, 0.1])
    rows = np.sort(random.permutation(103)[:90])
    made = folds(rows, labels, None, count=5, seed=seed)
    assert np.sort(np.concatenate([held for _, held in made])).tolist() == rows.tolist()
    for fit, held in made:
        assert not set(fit) & set(held) and len(fit) + len(held) == 90
        assert abs(len(held) - 18) <= 1
        for name in "abc":
            assert abs((labels[held] == name).sum() - (labels[rows] == name).sum() / 5) < 1


def test_folds_keep_groups_whole_and_balanced():
    random = np.random.default_rng(0)
    groups = random.integers(0, 40, 300)
    labels = (groups % 3).astype(str)
    for fit, held in folds(np.arange(300), labels, groups, count=5, seed=0):
        assert not set(groups[fit]) & set(groups[held])
        assert 40 < len(held) < 80 and set(labels[held]) == {"0", "1", "2"}


def test_the_fold_that_holds_a_huge_group_comes_last():
    groups = np.concatenate([np.zeros(60, np.int64), np.arange(1, 241)])
    held = [rows for _, rows in folds(np.arange(300), np.array(["a", "b"] * 150), groups, count=5, seed=0)]
    assert 0 in groups[held[-1]] and all(0 not in groups[rows] for rows in held[:-1])


def test_folds_of_numbers_and_of_too_little():
    values = np.random.default_rng(0).normal(size=100)
    for _, held in folds(np.arange(100), values, None, count=4, seed=0):
        assert abs(np.median(values[held]) - np.median(values)) < 0.25
    assert len(folds(np.arange(3), None, None, count=5, seed=0)) == 3
    with pytest.raises(DataError, match="at least 2 folds"):
        folds(np.arange(4), None, np.zeros(4), count=5, seed=0)
    with pytest.raises(DataError, match="whole table"):
        folds(np.array([5, 6]), ["a", "b"], None, count=2, seed=0)


def test_a_million_rows_in_seconds():
    import time

    labels = np.random.default_rng(0).integers(0, 10, 1_000_000)
    table = Table(pl.DataFrame({"x": labels, "y": labels}))
    started = time.process_time()
    split = make_split(table, LABEL)
    assert abs(len(split.test) - 10_000) < 100
    assert time.process_time() - started < 10


def test_many_groups_in_seconds():
    import time

    random = np.random.default_rng(0)
    schema = Schema((*LABEL.columns, Column("g", "category", "group")))
    frame = pl.DataFrame({"x": np.arange(100_000), "g": random.integers(0, 20_000, 100_000),
                          "y": random.integers(0, 50, 100_000)})
    started = time.process_time()
    make_split(Table(frame), schema)
    assert time.process_time() - started < 10
