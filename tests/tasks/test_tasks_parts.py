"""The parts of the line: tasks against closed forms, memo and clock, hidden and shuffled tables, members, outlines."""

import math
import time
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from scipy.special import expit, log_softmax
from torch.nn import functional as F

from gradatim.data.batch import Batch
from gradatim.data.schema import Column
from gradatim.data.table import Table
from gradatim.errors import ArtifactError, DataError, SchemaError
from gradatim.models.outline import finite, outline
from gradatim.tasks import task_class, task_from_json
from gradatim.tasks.classification import Classification
from gradatim.tasks.constant import Constant
from gradatim.tasks.facts import check_metric, fingerprint
from gradatim.tasks.members import Ensemble, member_from_state
from gradatim.tasks.memo import Clock, Memo
from gradatim.tasks.regression import Regression
from gradatim.tasks.source import Source, hide, shuffle

TARGET = Column("y", "category", "target")


def batch_of(target: torch.Tensor) -> Batch:
    rows = np.arange(len(target))
    return Batch(rows=rows, inputs={}, targets={"y": target}, present={}, context={})


def test_two_classes_are_one_logit() -> None:
    task = Classification.fit(TARGET, ["no", "yes", None, "yes"])
    assert task.outputs == 1 and task.classes == ["no", "yes"]
    assert task.labels(["yes", "no", None, "perhaps", " yes "]).tolist() == [1, 0, -1, -1, 1]
    logits = torch.tensor([[2.0], [-30.0], [0.0]])
    assert task.answer(logits)[:, 1] == pytest.approx(expit([2.0, -30.0, 0.0]))
    truth = torch.tensor([1, 0, 1])
    loss = task.objective(np.array([1, 0, 1]))(logits, batch_of(truth))
    assert loss.item() == pytest.approx(F.binary_cross_entropy_with_logits(logits[:, 0], truth.float()).item())
    smooth = task.objective(np.array([1, 0, 1]), label_smoothing=0.2)(logits, batch_of(truth))
    pair = torch.cat([torch.zeros(3, 1), logits], dim=1)
    assert smooth.item() == pytest.approx(F.cross_entropy(pair, truth, label_smoothing=0.2).item(), rel=1e-5)


def test_many_classes_are_a_softmax() -> None:
    task = Classification.fit(TARGET, ["10", "9", "100"])
    assert task.classes == ["9", "10", "100"] and task.outputs == 3
    logits = torch.tensor([[1.0, 2.0, 3.0], [1000.0, 0.0, -1000.0]])
    assert task.answer(logits) == pytest.approx(np.exp(log_softmax(logits.numpy(), axis=1)))
    labels = np.array([2, 1])
    losses = task.row_losses(task.answer(logits), labels)
    assert losses == pytest.approx([-math.log(0.66524), -math.log(1e-7)], abs=1e-4)
    assert task.constant(np.array([0, 0, 1, 2, -1])) == pytest.approx([0.5, 0.25, 0.25], abs=1e-3)


def test_skewed_classes_weigh_alike_when_the_metric_asks_for_it() -> None:
    cells = ["a"] * 90 + ["b"] * 9 + ["c"]
    assert not Classification.fit(TARGET, cells).balanced
    task = Classification.fit(TARGET, cells, metric="balanced_accuracy")
    labels = task.labels(cells)
    assert task.balanced and task.class_weights(labels) == pytest.approx([100 / 270, 100 / 27, 100 / 3])
    losses = task.row_losses(np.full((100, 3), 1 / 3), labels)
    sums = [losses[labels == c].sum() for c in range(3)]
    assert sums == pytest.approx([sums[0]] * 3)
    assert Classification.from_json(task.to_json()).to_json() == task.to_json()


def test_numbers_come_back_in_their_unit() -> None:
    cells = ["€ 1,000.50", "2000", None, "unknown?", "3000"]
    task = Regression.fit(Column("y", "number", "target"), cells)
    labels = task.labels(cells)
    assert labels[[0, 1, 4]].tolist() == [1000.5, 2000, 3000] and np.isnan(labels[[2, 3]]).all()
    standard = torch.tensor([[(2000 - task.codec.mean) / task.codec.std]])
    assert task.answer(standard) == pytest.approx([2000])
    assert task.constant(labels) == pytest.approx(6000.5 / 3)
    assert isinstance(task_from_json(task.to_json()), Regression)
    assert np.isfinite(task.row_losses(task.labels(["1e308"]), task.labels(["-1e308"]))).all()


def test_tasks_have_names_and_metrics_have_tasks() -> None:
    assert task_class("classification") is Classification
    for name in ("magic", None, ["classification"], "os.system"):
        with pytest.raises(SchemaError, match="task"):
            task_class(name)
    check_metric(None, "regression")
    check_metric("f1", "classification", 2)
    check_metric("top5_accuracy", "classification", 6)
    with pytest.raises(ValueError, match="top5_accuracy: expected a target of at least 6 classes, received one of 5"):
        check_metric("top5_accuracy", "classification", 5)
    for metric, task, classes in (("f1", "classification", 3), ("rmse", "classification", 2), ("x", "regression", 0)):
        with pytest.raises(ValueError, match="--metric"):
            check_metric(metric, task, classes)


def test_what_was_decided_is_never_decided_again(tmp_path: Path) -> None:
    memo = Memo.open(tmp_path / "checkpoints")
    assert memo.decide("folds", lambda: 3) == 3
    again = Memo.open(tmp_path / "checkpoints")
    assert again.decide("folds", lambda: 5) == 3 and again.decide("plan", lambda: {"epochs": 2}) == {"epochs": 2}
    assert Memo.open(tmp_path / "checkpoints").decisions == {"folds": 3, "plan": {"epochs": 2}}
    assert again.stage("network-1") == tmp_path / "checkpoints" / "network-1"
    loose = Memo.open(None)
    assert loose.decide("folds", lambda: 7) == loose.decide("folds", lambda: 8) == 7 and loose.stage("x") is None


def test_the_clock_keeps_a_share_back() -> None:
    clock = Clock(10.0)
    clock.started -= 4.0
    assert clock.left() == pytest.approx(6, abs=0.1) and clock.left(share_kept=0.5) == pytest.approx(1, abs=0.1)
    clock.started -= 60
    assert clock.left() == 0
    clock.note("audit", 1.0)
    clock.note("audit", 0.5)
    assert clock.parts == {"audit": 1.5}


def test_hidden_and_shuffled_tables_leave_the_rest_alone() -> None:
    table = Table(pl.DataFrame({"a": [1, 2, 3], "b": ["x", "y", None]}), source="here")
    hidden = hide(table, frozenset({"a", "unknown"}))
    assert hidden.cells("a") == [None] * 3 and hidden.cells("b") == ["x", "y", None]
    assert hidden.frame.schema == table.frame.schema and hidden.source == "here"
    dealt = shuffle(table, {"b": np.array([2, 0, 1])})
    assert dealt.cells("b") == [None, "x", "y"] and dealt.cells("a") == [1, 2, 3]
    assert table.cells("a") == [1, 2, 3] and hide(table, frozenset()) is table is shuffle(table, {})


def test_a_fingerprint_sees_every_cell_and_name() -> None:
    frame = pl.DataFrame({"a": [1, 2, 3], "b": ["x", "y", None]})
    marks = {fingerprint(Table(f)) for f in (
        frame, frame.rename({"a": "c"}), frame.with_columns(pl.lit(5).alias("a")), frame[::-1], frame.head(2),
        frame.with_columns(pl.col("a").cast(pl.Float64)),
    )}
    assert len(marks) == 6
    pieces = pl.concat([frame[:1], frame[1:]], rechunk=False)
    padded = pl.concat([frame, frame]).slice(3, 3)
    assert len({fingerprint(Table(f)) for f in (frame, frame.clone(), pieces, padded)}) == 1
    kinds = pl.DataFrame({
        "list": [[1, 2], None, []], "struct": [{"a": 1}, {"a": None}, None], "bytes": [b"a", b"", None],
        "flag": [True, None, False], "kind": pl.Series(["x", "y", None], dtype=pl.Categorical),
        "day": pl.Series([1, 2, None]).cast(pl.Date),
    })
    assert fingerprint(Table(kinds)) == fingerprint(Table(kinds[:])) != fingerprint(Table(kinds[::-1]))
    assert len(fingerprint(Table(pl.DataFrame({"x": pl.Series([object()], dtype=pl.Object)})))) == 64


def test_an_ensemble_is_the_weighted_average_at_its_temperature() -> None:
    task = Classification.fit(TARGET, ["a", "b"])
    source = Source(Table(pl.DataFrame({"x": [1, 2, 3]})))
    members = (Constant(np.array([0.9, 0.1])), Constant(np.array([0.2, 0.8])), Constant(np.array([np.nan, 1.0])))
    mixed = Ensemble(members, (0.75, 0.25, 0.0), task).answer(source)
    assert mixed == pytest.approx(np.tile([0.725, 0.275], (3, 1)))
    cool = Ensemble(members, (0.75, 0.25, 0.0), task, 2.0).answer(source)
    expected = np.sqrt([0.725, 0.275])
    assert cool[0] == pytest.approx(expected / expected.sum())
    with pytest.raises(ArtifactError, match="weight"):
        Ensemble(members, (0.0, 0.0, 0.0), task).answer(source)
    with pytest.raises(ArtifactError, match="member"):
        member_from_state({"member": "os"}, {}, lambda name: torch.zeros(1), task)


def test_an_outline_takes_neither_memory_nor_time() -> None:
    shapes = outline({"address": "lenet5", "arguments": {"num_classes": 7}}, tensors=10)
    assert shapes["fc3.weight"] == (7, 84) and len(shapes) == 10
    began = time.perf_counter()
    huge = outline({"address": "bag_of_embeddings", "arguments": {"vocabulary": 10**12, "num_classes": 2}}, tensors=10)
    assert huge["embedding.weight"][0] == 10**12
    with pytest.raises(ArtifactError, match="parts"):
        outline({"address": "mlp", "arguments": {"in_features": 3, "num_classes": 2, "depth": 10**12}}, tensors=10)
    assert time.perf_counter() - began < 2
    assert torch.zeros(1).device.type == "cpu", "building on meta ends with the outline"
    for good in (torch.ones(3), torch.arange(3)):
        assert finite("x", good) is good
    for bad in (math.nan, math.inf):
        with pytest.raises(ArtifactError, match="'x'"):
            finite("x", torch.tensor([1.0, bad]))


def test_scores_need_a_known_label() -> None:
    task: Any = Classification.fit(TARGET, ["a", "b"])
    answer = np.array([[0.9, 0.1], [0.2, 0.8], [0.5, 0.5]])
    scores = task.score(answer, np.array([0, 1, -1]))
    assert scores["metrics"]["accuracy"]["value"] == 1 and any("1 row" in note for note in scores["notes"])
    with pytest.raises(DataError, match="'y'"):
        task.score(answer, np.array([-1, -1, -1]))
