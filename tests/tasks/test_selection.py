"""The paired verdict: against a paired t test; ties, rows that one did not answer, ratios of sums, the line of tags."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from scipy.stats import ttest_rel

from gradatim.evaluate.tagging import ratio
from gradatim.evaluate.texts import value_of
from gradatim.tasks.selection import best_single, compare, pseudo_values
from gradatim.tasks.tagging_line import Tried, _Line


def test_the_difference_and_its_error_are_those_of_a_paired_t_test() -> None:
    random = np.random.default_rng(0)
    first, second = random.gamma(2, size=300), random.gamma(1.5, size=300)
    found, other = compare(first, second), ttest_rel(first, second)
    assert found.difference / found.error == pytest.approx(other.statistic) and found.kept == "second"
    assert (found.low, found.high) == pytest.approx(tuple(other.confidence_interval()), abs=0.01) and not found.tie
    back = compare(second, first)
    assert (back.difference, back.kept, back.tie) == (pytest.approx(-found.difference), "first", False)


@pytest.mark.parametrize(("rows", "better", "kept"), [(40, 1, "first"), (40, 2, "first"), (40, 6, "second"),
                                                      (2000, 3, "first"), (2000, 40, "second")])
def test_a_row_or_two_are_no_reason_for_the_less_simple_one(rows: int, better: int, kept: str) -> None:
    """Errors of 0 or 1, of which the second makes so many fewer: 100.0 % against 99.8 % is a tie."""
    first = np.zeros(rows)
    first[:better] = 1
    found = compare(first, np.zeros(rows), names=("plain", "network"))
    assert found.kept == kept and found.difference == pytest.approx(better / rows)
    assert found.tie == (kept == "first") and ("plain is kept" in found.why) == found.tie


def test_a_network_that_answered_38_rows_is_compared_on_these() -> None:
    """It is right on 86.8 % of 38 rows, the linear model on 92.2 % of 192: of the shared ones on about as many."""
    random = np.random.default_rng(1)
    linear = np.where(random.permutation(192) < 177, 0.15, 1.9)
    constant = np.full(192, 0.69)
    network = np.full(192, np.nan)
    network[:38] = linear[:38] - 0.03 + random.normal(0, 0.2, 38)
    names, kinds = ["majority", "linear model", "network"], ["constant", "head", "network"]
    place, verdict = best_single(names, kinds, [constant, linear, network])
    assert place == 1 and verdict is not None and verdict.rows == 38 and verdict.tie
    network[:38] = linear[:38] * 0.4
    assert best_single(names, kinds, [constant, linear, network])[0] == 2
    assert best_single(names, kinds, [constant, linear, np.full(192, np.nan)])[0] == 1


def test_kinds_from_simple_to_less_simple() -> None:
    alike = np.linspace(0.1, 0.9, 100)
    kinds = ["network", "trees", "head", "constant"]
    noise = np.random.default_rng(0).normal(0, 0.05, (3, 100))
    assert best_single(kinds, kinds, [alike, alike + noise[0], alike + noise[1], alike + 0.1])[0] == 2
    assert best_single(["a", "b"], ["head", "frozen"], [alike, alike - 1e-6])[0] == 1  # one kind: the lower loss


def test_pseudo_values_are_shares_of_ratios_and_of_means() -> None:
    random = np.random.default_rng(0)
    counts = np.stack([random.integers(0, 5, 200), random.integers(5, 9, 200)], axis=1).astype(float)
    values = pseudo_values(counts, lambda sums, rows: ratio(sums))
    assert values.mean() == pytest.approx(ratio(counts.sum(axis=0)[None])[0], abs=1e-4)
    drawn = [ratio(counts[random.integers(0, 200, 200)].sum(axis=0)[None])[0] for _ in range(2000)]
    assert values.std() / 200**0.5 == pytest.approx(np.std(drawn), rel=0.08)
    shares = random.random((50, 1))
    assert pseudo_values(shares, lambda sums, n: value_of("rouge_l", sums, n)) == pytest.approx(100 * shares[:, 0])


@pytest.mark.parametrize(("missed", "kept"), [(1, "b"), (25, "a")])
def test_tags_keep_the_crf_at_a_tie_and_names_decide_nothing(missed: int, kept: str) -> None:
    """The names are the wrong way round: only the kinds say which is the CRF and which the network."""
    crf = np.zeros(100)
    crf[:missed] = 1
    nothing: tuple[Any, ...] = ((), np.zeros(0), np.zeros(0), 0.0, lambda: ())
    tried = [Tried("a tagger", "constant", *nothing), Tried("b", "crf", *nothing),
             Tried("CRF on features", "network", *nothing), Tried("b + a", "average", *nothing)]
    for one, losses in zip(tried, (np.full(100, 0.5), crf, np.zeros(100), crf / 2)):
        one.losses, one.score = losses, {"value": 1 - losses.mean()}
    line = SimpleNamespace(tried=tried, _title=lambda: "entity F", why="", verdict="")
    line._verdict_on_network = lambda singles: _Line._verdict_on_network(line, singles)  # type: ignore[arg-type]
    best = _Line.chosen(line)  # type: ignore[arg-type]
    assert best.kind == ("crf" if kept == "b" else "network")
    assert line.verdict.startswith("the network " + ("did not beat" if kept == "b" else "beats"))
