"""The audit of tables of numbers, categories and texts: planted faults are found, clean tables are left in peace."""

import json
import time

import numpy as np
import polars as pl
import pytest

from gradatim.audit.audit import audit_table
from gradatim.audit.finding import CODES, SEVERITIES, Finding
from gradatim.data.duplicates import find_ties
from gradatim.data.schema import Column, Schema
from gradatim.data.split import Split, make_split
from gradatim.data.table import Table

ALARMS = {code for code in CODES if code.startswith(("leak", "shortcut", "shift", "duplicate", "label", "group"))}
WORDS = [a + b + c for a in ("ba", "ko", "ti", "mu", "re", "so") for b in ("lan", "mor", "vik") for c in ("t", "", "a")]


def world(rows: int = 600, seed: int = 0, *, regression: bool = False, text: bool = True) -> tuple[Table, Schema]:
    """A clean table: numbers, a category, a text and a target that they tell in part; some cells are missing."""
    random = np.random.default_rng(seed)
    a, b = random.normal(size=(2, rows))
    colour = random.choice(["red", "green", "blue"], rows)
    signal = a + 0.7 * b + 0.5 * (colour == "red") + 0.8 * random.normal(size=rows)
    texts = [" ".join(random.choice(WORDS, random.integers(5, 40))) + (" marvellous" if s > 1 and u < 0.3 else "")
             for s, u in zip(signal, random.random(rows))]
    cells = {
        "a": [f"{value:.4f}" for value in a],
        "b": [f"{value:.4f}" if u > 0.1 else None for value, u in zip(b, random.random(rows))],
        "colour": colour.tolist(),
        **({"text": texts} if text else {}),
        "y": [f"{value:.3f}" for value in signal] if regression else np.where(signal > 0.2, "yes", "no").tolist(),
    }
    kinds = {"a": "number", "b": "number", "colour": "category", "text": "text",
             "y": "number" if regression else "category"}
    return Table(pl.DataFrame(cells)), Schema(tuple(
        Column(name, kinds[name], "target" if name == "y" else "input") for name in cells
    ))


def with_column(table: Table, schema: Schema, name: str, cells: list, kind: str) -> tuple[Table, Schema]:
    frame = table.frame.with_columns(pl.Series(name, cells))
    return Table(frame, table.folder, table.lines), Schema((*schema.columns, Column(name, kind, "input")))


def codes(findings: list[Finding]) -> set[str]:
    return {finding.code for finding in findings}


def only(findings: list[Finding], code: str) -> Finding:
    found = [finding for finding in findings if finding.code == code]
    assert len(found) == 1, [str(finding) for finding in findings]
    return found[0]


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("regression", [False, True])
def test_clean_tables_are_left_in_peace(seed, regression):
    table, schema = world(600, seed, regression=regression)
    rows = np.random.default_rng(seed).permutation(600)
    findings = audit_table(table.take(rows[:450]), schema, test=table.take(rows[450:]), seed=seed)
    assert not codes(findings) & ALARMS, [str(finding) for finding in findings]


@pytest.mark.parametrize("name", ["iris", "wine", "breast_cancer", "diabetes", "digits"])
def test_known_clean_sets_have_no_leak_and_no_shift(name):
    datasets = pytest.importorskip("sklearn.datasets")
    pytest.importorskip("pandas")
    frame = pl.from_pandas(getattr(datasets, f"load_{name}")(as_frame=True).frame)
    kind = "number" if name == "diabetes" else "category"
    schema = Schema(tuple(Column(c, kind if c == "target" else "number", "target" if c == "target" else "input")
                          for c in frame.columns))
    rows = np.random.default_rng(0).permutation(len(frame))
    cut = int(0.7 * len(rows))
    findings = audit_table(Table(frame).take(rows[:cut]), schema, test=Table(frame).take(rows[cut:]))
    assert not [f for f in findings if f.code.startswith(("leak", "shift", "shortcut")) or f.severity == "error"]


def test_same_seed_same_findings_and_all_are_json():
    table, schema = world(300)
    table, schema = with_column(table, schema, "copy", table.cells("y"), "category")
    first, again = (audit_table(table, schema, seed=3) for _ in range(2))
    text = json.dumps([finding.to_json() for finding in first])
    assert text == json.dumps([finding.to_json() for finding in again])
    for finding in first:
        assert finding.code in CODES and finding.severity in SEVERITIES
        assert all((finding.evidence, finding.consequence, finding.remedy))
    order = [SEVERITIES.index(finding.severity) for finding in first]
    assert order == sorted(order)


@pytest.mark.parametrize("how", ["copy", "number", "code", "word", "tokens"])
def test_a_column_that_says_the_answer(how):
    table, schema = world(400)
    random = np.random.default_rng(1)
    yes = np.array(table.cells("y")) == "yes"
    cells, kind = {
        "copy": (yes.astype(int).astype(str).tolist(), "category"),
        "number": ([f"{value:.3f}" for value in np.where(yes, 5, -5) + random.uniform(-4, 4, 400)], "number"),
        "code": ([f"{'A' if value else 'B'}{random.integers(0, 5)}" for value in yes], "category"),
        "word": ([f"{random.choice(WORDS)} {'approved' if value else 'refused'} yesterday" for value in yes], "text"),
        "tokens": ([f"{' '.join(random.choice(WORDS, 9))} {'gamma' if value else 'delta'}" for value in yes], "text"),
    }[how]
    findings = audit_table(*with_column(table, schema, "leak", cells, kind))
    assert only(findings, "leak-single-column").columns == ("leak",)


def test_a_number_that_is_the_target_in_another_unit():
    table, schema = world(400, regression=True)
    cells = [f"{float(value) * 1.8 + 32:.4f}" for value in table.cells("y")]
    finding = only(audit_table(*with_column(table, schema, "fahrenheit", cells, "number")), "leak-single-column")
    assert finding.columns == ("fahrenheit",) and "R²" in finding.evidence


def test_one_input_alone_is_the_task_and_no_leak():
    table = Table(pl.DataFrame({"x": [str(i) for i in range(200)], "y": ["low"] * 100 + ["high"] * 100}))
    schema = Schema((Column("x", "number", "input"), Column("y", "category", "target")))
    assert "leak-single-column" not in codes(audit_table(table, schema))


def test_missing_cells_that_say_the_answer():
    table, schema = world(400)
    yes = np.array(table.cells("y")) == "yes"
    random = np.random.default_rng(0)
    both = [f"{random.normal():.3f}" if value else None for value in yes]
    found = audit_table(*with_column(table, schema, "boat", both, "number"))
    assert only(found, "leak-missingness").columns == ("boat",)
    some = [f"{random.normal():.3f}" if value and random.random() < 0.3 else None for value in yes]
    finding = only(audit_table(*with_column(table, schema, "body", some, "number")), "leak-missingness")
    assert "100.0% have the target 'yes'" in finding.evidence
    spelled = [cell or "NA" for cell in both]
    assert "leak-missingness" in codes(audit_table(*with_column(table, schema, "boat", spelled, "number")))


def test_missing_cells_that_say_how_large_a_number_is():
    table, schema = world(400, regression=True)
    values = np.array([float(cell) for cell in table.cells("y")])
    cells = ["x" if value > np.median(values) else None for value in values]
    assert "leak-missingness" in codes(audit_table(*with_column(table, schema, "flag", cells, "category")))


def test_the_label_in_the_text():
    random = np.random.default_rng(0)
    labels = random.choice(["polar bear", "grey wolf", "red fox"], 300)
    texts = [f"{' '.join(random.choice(WORDS, 6))} {label.title()}, {random.choice(WORDS)}" for label in labels]
    table = Table(pl.DataFrame({"text": texts, "y": labels}))
    schema = Schema((Column("text", "text", "input"), Column("y", "category", "target")))
    assert only(audit_table(table, schema), "leak-label-in-text").columns == ("text",)
    other = [f"{' '.join(random.choice(WORDS, 12))}" for _ in labels]
    assert "leak-label-in-text" not in codes(audit_table(Table(pl.DataFrame({"text": other, "y": labels})), schema))


def test_rows_of_the_test_table_that_also_train():
    table, schema = world(600)
    test = Table(pl.concat([table.frame[450:], table.frame[:12]]).with_columns(pl.lit(None).alias("y")))
    finding = only(audit_table(table.take(np.arange(450)), schema, test=test), "duplicate-across-files")
    assert finding.severity == "error" and finding.rows == tuple(range(150, 162))


def test_rows_of_few_categories_repeat_by_themselves():
    random = np.random.default_rng(0)
    frame = pl.DataFrame({name: random.choice(list("abcde"), 800) for name in ("p", "q", "r", "s")})
    frame = frame.with_columns(pl.Series("y", random.choice(["no", "yes"], 800)))
    schema = Schema((*(Column(name, "category", "input") for name in "pqrs"), Column("y", "category", "target")))
    findings = audit_table(Table(frame[:600]), schema, test=Table(frame[600:]))
    assert {finding.severity for finding in findings} == {"note"}


def test_long_texts_that_lie_in_both_tables_nearly_the_same():
    table, schema = world(500)
    longest = [row for row, text in enumerate(table.cells("text")) if len(text) > 160][:6]
    texts = table.cells("text")
    copies = [texts[row] + " indeed" for row in longest]
    test = table.frame[400:].with_columns(pl.Series("text", copies + texts[400 + len(longest):]))
    longest = [row for row in longest if row < 400]
    finding = only(audit_table(table.take(np.arange(400)), schema, test=Table(test)), "duplicate-across-files")
    assert len(finding.rows) == len(longest) > 0 and "nearly the same in 'text'" in finding.evidence


def test_groups_in_both_tables():
    table, schema = world(200)
    schema = Schema((*schema.columns, Column("who", "category", "group")))
    train = Table(table.frame[:100].with_columns(pl.Series("who", [f"p{i}" for i in range(100)])))
    test = Table(table.frame[100:].with_columns(pl.Series("who", [f"p{i}" for i in range(95, 195)])))
    assert only(audit_table(train, schema, test=test), "group-across-files").rows == (0, 1, 2, 3, 4)


def test_parts_of_a_split_that_share_rows_and_those_that_do_not():
    table, schema = world(200)
    doubled = Table(pl.concat([table.frame, table.frame[:30]]))
    ties = find_ties(doubled, schema)
    bad = Split(np.arange(150), np.arange(150, 200), np.arange(200, 230))
    finding = only(audit_table(doubled, schema, split=bad, ties=ties), "duplicate-across-split")
    assert set(finding.rows) == set(range(30)) | set(range(200, 230))
    good = make_split(doubled, schema, ties=ties)
    found = audit_table(doubled, schema, split=good, ties=ties)
    assert "duplicate-across-split" not in codes(found)
    assert only(found, "duplicate-inside").severity == "note"


@pytest.mark.parametrize("column", ["a", "colour", "text"])
def test_a_test_table_drawn_from_elsewhere(column):
    table, schema = world(1000)
    frame = table.frame[600:]
    shifted = {
        "a": pl.Series("a", [f"{float(cell) + 1.5:.4f}" for cell in frame["a"]]),
        "colour": pl.Series("colour", np.random.default_rng(0).choice(["red", "violet"], 400)),
        "text": pl.Series("text", [cell + " sent from my telephone" for cell in frame["text"]]),
    }[column]
    findings = audit_table(table.take(np.arange(600)), schema, test=Table(frame.with_columns(shifted)))
    finding = only(findings, "shift-train-test")
    assert finding.columns == (column,)
    area, low, high = finding.values["columns"][column]
    assert 0.6 < low <= area <= high


def test_shift_of_two_normals_has_the_area_it_must():
    random = np.random.default_rng(0)
    schema = Schema((Column("x", "number", "input"),))
    ours, theirs = (Table(pl.DataFrame({"x": random.normal(place, 1, 3000)})) for place in (0, 1))
    area, low, high = only(audit_table(ours, schema, test=theirs), "shift-train-test").values["columns"]["x"]
    assert low - 0.01 <= 0.7602 <= high + 0.01 and abs(area - 0.7602) < 0.025  # Φ(1/√2), read in 32 bins


def test_contradictory_labels():
    table, schema = world(200)
    twins = table.frame[:5].with_columns(
        pl.Series("y", ["no" if label == "yes" else "yes" for label in table.cells("y")[:5]])
    )
    finding = only(audit_table(Table(pl.concat([table.frame, twins])), schema), "label-conflict")
    assert finding.rows == (0, 1, 2, 3, 4, 200, 201, 202, 203, 204) and finding.severity == "warning"


def test_spellings_single_examples_and_skew():
    table, schema = world(500)
    labels = ["no"] * 490 + ["No ", "NO"] + ["yes"] * 7 + ["once"]
    findings = audit_table(Table(table.frame.with_columns(pl.Series("y", labels))), schema)
    assert only(findings, "label-spelling").rows == (490, 491)
    assert only(findings, "class-single-example").rows == (490, 491, 499) or (
        499 in only(findings, "class-single-example").rows
    )
    skew = only(findings, "class-imbalance")
    assert skew.severity == "warning" and "always answering 'no'" in skew.evidence


def test_labels_that_only_the_test_table_has():
    table, schema = world(200)
    test = table.frame[150:].with_columns(pl.Series("y", ["perhaps"] * 3 + table.cells("y")[153:]))
    findings = audit_table(table.take(np.arange(150)), schema, test=Table(test))
    assert only(findings, "class-unseen-in-train").rows == (0, 1, 2)


def test_cells_targets_and_columns():
    table, schema = world(300, regression=True)
    frame = table.frame.with_columns(
        pl.Series("a", ["about seven", *table.cells("a")[1:]]),
        pl.Series("y", [None, "much", *table.cells("y")[2:]]),
        pl.lit("same").alias("colour"),
    )
    lines = np.arange(2, 302)
    findings = audit_table(Table(frame, lines=lines), schema, test=Table(frame.drop("b", "y")[:50]))
    unreadable = [finding for finding in findings if finding.code == "cell-unreadable"]
    assert {finding.rows for finding in unreadable} == {(0,)}
    assert any("line 2" in finding.evidence and "'about seven'" in finding.evidence for finding in unreadable)
    assert only(findings, "target-unreadable").columns == ("y",)
    assert only(findings, "column-constant").columns == ("colour",)
    assert only(findings, "column-missing-in-test").columns == ("b",)
    missing = Table(table.frame.with_columns(pl.Series("y", [None] * 10 + table.cells("y")[10:])))
    assert only(audit_table(missing, schema), "target-missing").rows == tuple(range(10))


@pytest.mark.parametrize("rows", [0, 1, 3, 30])
def test_small_tables_do_not_break(rows):
    table, schema = world(40)
    small = table.take(np.arange(rows))
    audit_table(small, schema, test=table.take(np.arange(min(rows, 2))))
    no_target = Schema(tuple(column for column in schema.columns if column.role == "input"))
    audit_table(small, no_target, test=small)


def test_a_thousand_rows_with_text_in_seconds():
    table, schema = world(2000)
    started = time.process_time()
    audit_table(table.take(np.arange(1200)), schema, test=table.take(np.arange(1200, 2000)))
    assert time.process_time() - started < 5


def test_many_rows_are_sampled_and_it_is_said():
    random = np.random.default_rng(0)
    labels = random.choice(["no", "yes"], 30_000)
    frame = pl.DataFrame({"x": random.normal(size=30_000), "z": random.normal(size=30_000),
                          "leak": np.where(labels == "yes", "p", "q"), "y": labels})
    schema = Schema((Column("x", "number", "input"), Column("z", "number", "input"),
                     Column("leak", "category", "input"), Column("y", "category", "target")))
    assert "sample of 8,000 rows" in only(audit_table(Table(frame), schema), "leak-single-column").evidence
