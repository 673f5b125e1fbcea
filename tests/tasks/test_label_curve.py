"""What labels are worth: nested parts of the training rows, scored on rows that none has seen."""

from types import SimpleNamespace
from typing import Any

import numpy as np

from gradatim.evaluate.report import build_report
from gradatim.tasks.choose import Candidate
from gradatim.tasks.label_curve import curve_section, label_curves


class Counted:
    """A member that is right in a share of the rows that grows with what it was fitted on."""

    def __init__(self, rows: np.ndarray) -> None:
        self.rows = rows

    def answer_rows(self, source: Any, held: np.ndarray) -> np.ndarray:
        return np.full(len(held), len(self.rows))


def line_of(*, frozen: bool, seconds: float = 100.0) -> Any:
    parts = [(np.arange(0, 800), np.arange(800, 1000))]
    task = SimpleNamespace(metric="accuracy", score=lambda a, y: {"metrics": {"accuracy": {"value": a[0] / 1000}}})
    memo = SimpleNamespace(decide=lambda name, compute: compute())
    return SimpleNamespace(parts=parts, task=task, memo=memo, choices=SimpleNamespace(seed=3, epochs=None), notes=[],
                           frozen={"picture": 1} if frozen else {}, source=None, labels=np.zeros(1000),
                           clock=SimpleNamespace(seconds=seconds))


def heads() -> tuple[list[Candidate], list[np.ndarray]]:
    seen: list[np.ndarray] = []

    def refit(rows: np.ndarray) -> Counted:
        seen.append(rows)
        return Counted(rows)

    none = np.zeros(0)
    return [Candidate(name, kind, (), none, 1.0, refit, Counted(np.arange(800)))
            for name, kind in (("majority", "constant"), ("plain", "head"), ("on pretrained", "frozen"))], seen


def test_an_eighth_lies_in_a_quarter_lies_in_a_half_and_all_comes_last() -> None:
    candidates, seen = heads()
    curves = label_curves(line_of(frozen=True), candidates)
    assert [curve["name"] for curve in curves] == ["on pretrained", "plain"]
    assert all(curve["rows"] == [100, 200, 400, 800] and curve["value"] == [0.1, 0.2, 0.4, 0.8] for curve in curves)
    eighth, quarter, half = map(set, seen[:3])
    assert eighth < quarter < half < set(range(800))
    page = build_report({"title": "t", "task": "classification", "sections": curve_section(curves, "accuracy")})
    assert "What the labels are worth" in page and "800 rows" in page


def test_nothing_without_a_pretrained_network_or_without_time() -> None:
    assert label_curves(line_of(frozen=False), heads()[0]) == [] == curve_section([], "accuracy")
    hurried = line_of(frozen=True, seconds=5)
    assert label_curves(hurried, heads()[0]) == [] and "no time" in hurried.notes[0]
