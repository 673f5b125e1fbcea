"""Calibration, thresholds, slices, suspects, ledger and advice on data made to have a known answer."""

import itertools

import numpy as np
import polars as pl
import pytest
from scipy.optimize import minimize_scalar
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.neighbors import KNeighborsRegressor
from sklearn.tree import DecisionTreeClassifier

from gradatim.data.schema import Column, Schema
from gradatim.data.table import Table
from gradatim.errors import DataError
from gradatim.evaluate.advice import advice
from gradatim.evaluate.calibrate import apply_temperature, calibration, fit_temperature, mix_uniform, uniform_share
from gradatim.evaluate.ledger import difference_text, modality_ledger
from gradatim.evaluate.metrics import metric_value
from gradatim.evaluate.slices import failing_slices
from gradatim.evaluate.suspects import likely_mislabelled, likely_mistyped
from gradatim.evaluate.thresholds import choose_threshold, parse_goal, values_at


def honest(rows: int, classes: int = 3, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    probabilities = random.dirichlet(np.ones(classes), rows)
    labels = (probabilities.cumsum(axis=1) < random.random(rows)[:, None]).sum(axis=1).clip(max=classes - 1)
    return labels, probabilities


@pytest.mark.parametrize("true_temperature", [0.4, 1.0, 3.0])
def test_temperature_is_the_minimum_of_the_loss_and_is_found_again(true_temperature: float) -> None:
    labels, probabilities = honest(5000)
    said = apply_temperature(probabilities, 1 / true_temperature)
    found = fit_temperature(labels, said)
    assert found == pytest.approx(true_temperature, rel=0.08)

    def loss(log_t: float, prior_rows: float) -> float:
        changed = apply_temperature(said, np.exp(log_t))
        own = -(said * np.log(changed)).sum(axis=1).mean()  # of rows whose labels come as often as `said` says
        return metric_value("log_loss", labels, changed) * len(labels) + prior_rows * own

    rows = 60 if found < 1 else 40
    best = minimize_scalar(loss, args=(rows,), bounds=(-3, 3), method="bounded", options={"xatol": 1e-8})
    assert found == pytest.approx(np.exp(best.x), rel=1e-4)


@pytest.mark.parametrize("rows", [6, 20, 60])
def test_few_rows_that_are_all_right_do_not_sharpen(rows: int) -> None:
    labels = np.arange(rows) % 2
    said = np.where(np.eye(2)[labels] == 1, 0.8, 0.2)
    sharpened = apply_temperature(said, fit_temperature(labels, said))
    assert sharpened.max() == pytest.approx((rows + 60 * 0.8) / (rows + 60))  # as 60 rows more, 80 % of them right
    softened = apply_temperature(1 - said, fit_temperature(labels, 1 - said))
    assert softened.max() == pytest.approx(max(0.5, 40 * 0.8 / (rows + 40)), abs=0.02)


def test_a_share_of_chance_keeps_probabilities_apart_from_0_and_1_and_their_order() -> None:
    said = np.array([[1.0, 0.0, 0.0], [0.4, 0.35, 0.25]])
    mixed = mix_uniform(said, uniform_share(49))
    assert mixed.sum(axis=1) == pytest.approx(1) and mixed.min() == pytest.approx(0.01 / 3)
    assert (mixed.argsort(axis=1) == said.argsort(axis=1)).all()
    assert mix_uniform(said, 0.0) is said


def test_temperature_keeps_to_its_limits() -> None:
    labels = np.array([0, 1] * 200_000)
    assert fit_temperature(labels, np.eye(2)[labels] * 0.02 + 0.49) == 0.05
    assert fit_temperature(labels, np.eye(2)[1 - labels] * 0.8 + 0.1) == 20.0
    assert fit_temperature(np.array([], dtype=int), np.zeros((0, 2))) == 1.0
    assert np.isfinite(fit_temperature(labels, np.eye(2)[np.zeros(len(labels), dtype=int)]))


def test_calibration_tells_honest_from_boastful() -> None:
    labels, probabilities = honest(3000)
    good, bad = calibration(labels, probabilities), calibration(labels, apply_temperature(probabilities, 0.4))
    assert good["error"] <= good["error_by_chance_95"] and "at their word" in good["sentence"]
    assert bad["error"] > bad["error_by_chance_95"] and "too sure" in bad["sentence"]
    assert sum(b["rows"] for b in bad["bins"]) == 3000 and {b["rows"] for b in bad["bins"]} == {300}
    by_hand = sum(b["rows"] * abs(b["right"] - b["confidence"]) for b in bad["bins"]) / 3000
    assert bad["error"] == pytest.approx(by_hand)


def brute_force(labels: np.ndarray, scores: np.ndarray, least_precision: float) -> float:
    best = 0.0
    for threshold in np.unique(scores):
        called = scores >= threshold
        if (labels & called).sum() / called.sum() >= least_precision:
            best = max(best, (labels & called).sum() / labels.sum())
    return best


@pytest.mark.parametrize("least", [0.5, 0.7, 0.9])
def test_threshold_reaches_what_brute_force_reaches(least: float) -> None:
    random = np.random.default_rng(1)
    labels = random.random(300) < 0.3
    scores = np.round(random.normal(1.2 * labels, 1.0), 1)
    found = choose_threshold(labels, scores, f"highest recall with precision >= {least}")
    assert found["feasible"] and found["values"]["recall"]["value"] == brute_force(labels, scores, least)
    assert found["values"]["precision"]["value"] >= least
    assert values_at(labels, scores, found["threshold"])["recall"] == found["values"]["recall"]


def test_threshold_that_cannot_be_reached_says_what_comes_nearest() -> None:
    labels = np.array([0, 1, 0, 1, 0, 1]).astype(bool)
    found = choose_threshold(labels, np.array([3.0, 2.5, 2.0, 1.5, 1.0, 0.5]), "highest recall with precision ≥ 90 %")
    assert not found["feasible"] and "nearest" in found["sentence"]


def test_goals_are_read_or_refused() -> None:
    goal = parse_goal("lowest false positive rate with sensitivity at least 95% and accuracy > 0.5")
    assert (goal.quantity, goal.highest) == ("false positive rate", False)
    assert [(b.quantity, b.direction, b.value) for b in goal.bounds] == [
        ("recall", ">=", 0.95), ("accuracy", ">=", 0.5)]
    for text in ("recall", "highest beauty", "highest recall with precision", "highest recall with precision >= 3", ""):
        with pytest.raises(DataError, match="expected"):
            parse_goal(text)


def slice_table(rows: int = 800) -> tuple[Table, Schema, np.ndarray]:
    random = np.random.default_rng(0)
    city = random.choice(["Aarhus", "Bonn", "Cork"], rows)
    age = random.integers(18, 80, rows)
    text = [" ".join(["word"] * random.integers(1, 30)) for _ in range(rows)]
    cells = [None if random.random() < 0.2 else str(a) for a in age]
    frame = pl.DataFrame({"city": city, "age": cells, "text": text, "y": ["a"] * rows})
    schema = Schema((Column("city", "category", "input"), Column("age", "number", "input"),
                     Column("text", "text", "input"), Column("y", "category", "target")))
    return Table(frame), schema, city


def test_the_planted_slice_is_found_and_no_other_is_called_real() -> None:
    table, schema, city = slice_table()
    random = np.random.default_rng(1)
    labels = random.integers(0, 2, 800)
    wrong = random.random(800) < np.where(city == "Bonn", 0.35, 0.08)
    answers = np.eye(2)[np.where(wrong, 1 - labels, labels)]
    found = failing_slices(table, schema, labels=labels, answers=answers, classes=["a", "b"])
    assert found[0]["slice"] == "city = 'Bonn'" and found[0]["significant"]
    assert [entry["slice"] for entry in found if entry["significant"]] == ["city = 'Bonn'"]
    assert found[0]["value"] == pytest.approx((~wrong)[city == "Bonn"].mean())
    named = {entry["column"] for entry in failing_slices(
        table, schema, labels=labels, answers=answers, classes=["a", "b"], most=99)}
    assert named <= {"city", "age", "text", "prediction"}


def test_slices_without_fault_are_rarely_called_real() -> None:
    table, schema, _ = slice_table()
    real = 0
    for seed in range(20):
        random = np.random.default_rng(seed)
        labels = random.normal(size=800)
        found = failing_slices(table, schema, labels=labels, answers=labels + random.normal(size=800))
        real += sum(entry["significant"] for entry in found if entry["column"] != "prediction")
    assert real <= 3


def test_number_slices_use_losses_when_given() -> None:
    table, schema, city = slice_table()
    labels, noise = np.zeros(800), np.random.default_rng(2).normal(size=800)
    answers = noise * np.where(city == "Cork", 3, 1)
    found = failing_slices(table, schema, answers**2, labels=labels, answers=answers)
    assert any(entry["slice"] == "city = 'Cork'" and entry["significant"] for entry in found)
    assert found[0]["measure"] == "mean absolute error"


def test_flipped_labels_are_found() -> None:
    random = np.random.default_rng(0)
    truth = random.integers(0, 3, 600)
    x = random.normal(size=(600, 2)) * 0.6 + np.array([[0, 0], [3, 0], [0, 3]])[truth]
    flipped = random.choice(600, 30, replace=False)
    labels = truth.copy()
    labels[flipped] = (labels[flipped] + 1) % 3
    halves = np.arange(600) % 2 == 0
    probabilities = np.zeros((600, 3))
    for part in (halves, ~halves):
        probabilities[part] = LogisticRegression().fit(x[~part], labels[~part]).predict_proba(x[part])
    found = likely_mislabelled(labels, probabilities, ["a", "b", "c"], rows=np.arange(600) + 1000, most=100)
    rows = {entry["row"] - 1000 for entry in found}
    assert len(rows & set(flipped)) >= 24 and len(rows) <= 40
    assert found == sorted(found, key=lambda entry: entry["margin"])
    assert all("abc".index(entry["suggested"]) == truth[entry["row"] - 1000] for entry in found[:20])


def test_mistyped_numbers_are_found() -> None:
    values = np.random.default_rng(0).normal(size=200)
    labels = values + np.random.default_rng(1).normal(size=200) * 0.1
    labels[17] *= 1000
    assert [entry["row"] for entry in likely_mistyped(labels, values)] == [17]


def test_ledger_finds_what_each_input_is_worth() -> None:
    random = np.random.default_rng(0)
    rows, weights = 3000, {"picture": 2.0, "text": 0.8, "noise": 0.0}
    inputs = {name: random.normal(size=rows) for name in weights}
    logit = sum(weights[name] * inputs[name] for name in weights)
    labels = (random.random(rows) < 1 / (1 + np.exp(-logit))).astype(int)
    calls = []

    def predict(hidden: frozenset[str], shuffled: dict[str, np.ndarray]) -> np.ndarray:
        calls.append((hidden, set(shuffled)))
        total = np.zeros(rows)
        for name, weight in weights.items():
            cells = inputs[name][shuffled[name]] if name in shuffled else inputs[name]
            total += 0 if name in hidden else weight * cells
        p = 1 / (1 + np.exp(-total))
        return np.stack([1 - p, p], axis=1)

    entries = modality_ledger(predict, list(weights), labels, metric="accuracy", titles={"picture": "the picture"})
    by_name = {(entry["change"], entry["input"]): entry for entry in entries}
    assert len(entries) == 1 + 3 * 3
    assert by_name["left out", "picture"]["difference"]["high"] < -0.1
    assert by_name["left out", "text"]["difference"]["high"] < 0
    noise = by_name["left out", "noise"]["difference"]
    assert (noise["value"], noise["low"], noise["high"]) == (0, 0, 0)
    assert "It adds nothing that can be measured" in by_name["left out", "noise"]["sentence"]
    assert by_name["left out", "picture"]["sentence"].startswith("Leave the picture out: −")
    alone = by_name["alone", "text"]["value"]
    assert alone == pytest.approx(((inputs["text"] > 0) == labels).mean())
    assert by_name["shuffled", "picture"]["value"] < by_name["left out", "picture"]["value"]
    assert all(entry["milliseconds"] >= 0 for entry in entries)
    assert (frozenset({"text", "noise"}), set()) in calls


def test_ledger_of_one_input_and_of_numbers() -> None:
    x = np.random.default_rng(0).normal(size=200)
    entries = modality_ledger(
        lambda hidden, shuffled: x[shuffled["x"]] if shuffled else x, ["x"], x + 0.1, metric="rmse")
    assert [entry["change"] for entry in entries] == ["all", "shuffled"]
    assert entries[1]["difference"]["low"] > 0


def test_difference_is_said_with_its_sign() -> None:
    assert difference_text("log_loss", {"value": 0.25, "low": -0.125, "high": 0.5}) == "+0.25 [−0.125, +0.5]"
    assert difference_text("accuracy", {"value": 0, "low": -0.0001, "high": 0.0004}) == "0.0 points [0.0, 0.0]"


def fitted_scores(model: object, x: np.ndarray, y: np.ndarray, metric: str) -> tuple[float, float]:
    half = len(x) // 2
    model.fit(x[:half], y[:half])  # type: ignore[attr-defined]

    def score(part: slice) -> float:
        if metric == "rmse":
            return metric_value(metric, y[part], model.predict(x[part]))  # type: ignore[attr-defined]
        return metric_value(metric, y[part], model.predict_proba(x[part]))  # type: ignore[attr-defined]

    return score(slice(0, half)), score(slice(half, None))


def test_advice_names_the_right_cause_on_data_made_to_have_it() -> None:
    """A14: a line through a parabola (bias), one neighbour on noise (variance), labels by chance (no signal)."""
    random = np.random.default_rng(0)
    x = random.uniform(-2, 2, size=(800, 1))
    parabola = x[:, 0] ** 2 + random.normal(0, 0.05, 800)
    noisy = 3 * x[:, 0] + random.normal(0, 1.5, 800)
    mean = {"parabola": parabola.std(), "noisy": noisy.std()}

    train, development = fitted_scores(Ridge(), x, parabola, "rmse")
    told = advice(train, development, mean["parabola"], metric="rmse", task="regression")
    assert told["cause"] in ("bias", "no signal")
    wide = np.hstack([x, x**3 + random.normal(0, 3, (800, 1))])
    train, development = fitted_scores(Ridge(), wide, parabola + 1.5 * x[:, 0], "rmse")
    assert advice(train, development, (parabola + 1.5 * x[:, 0]).std(), metric="rmse")["cause"] == "bias"
    train, development = fitted_scores(KNeighborsRegressor(1), x, noisy, "rmse")
    assert advice(train, development, mean["noisy"], metric="rmse")["cause"] == "variance"

    features, chance = random.normal(size=(800, 30)), random.integers(0, 2, 800)
    real = (features[:, 0] + features[:, 1] + random.normal(0, 0.5, 800) > 0).astype(int)
    train, development = fitted_scores(DecisionTreeClassifier(random_state=0), features, real, "accuracy")
    assert advice(train, development, 0.5, metric="accuracy", task="classification")["cause"] == "variance"
    train, development = fitted_scores(LogisticRegression(C=1e-6), features, chance, "log_loss")
    assert advice(train, development, np.log(2), metric="log_loss")["cause"] == "no signal"
    train, development = fitted_scores(LogisticRegression(), features, (features[:, 0] > 0).astype(int), "accuracy")
    assert advice(train, development, 0.5, metric="accuracy")["cause"] == "small"


@pytest.mark.parametrize("metric", ["accuracy", "rmse", "entity_f1"])
def test_advice_never_contradicts_the_scores(metric: str) -> None:
    """Every combination of scores from perfect to useless, with and without an interval."""
    grid = (0.0, 1e-3, 0.02, 0.1, 0.3, 0.5, 1.0)
    score = (lambda error: error) if metric == "rmse" else (lambda error: 1 - error)
    for train, held, start, half in itertools.product(grid, grid, grid, (None, 0.03)):
        ends = {} if half is None else {"low": score(held) - half, "high": score(held) + half}
        told = advice(score(train), score(held), score(start), metric=metric, **ends)
        cause, text, small = told["cause"], " ".join(told["sentences"]), 0.1 * start
        assert (cause == "perfect") == (train == held == 0), (train, held, start)
        assert (cause == "no room") == (start == 0 and max(train, held) > 0)
        if cause == "no signal":
            assert train >= 0.9 * start - 1e-9 and held >= 0.9 * start - 0.03 - 1e-9 and start > 0
        if cause in ("bias", "both"):
            assert train > small and held > small
        if cause in ("variance", "both"):
            assert held > train and ("carry over" in text or cause == "both")
        assert ("worse than the baseline" in text) == (cause == "no room" and held > start)
        assert "variance -" not in text and "bias -" not in text
    assert advice(1.0, 1.0, 1.0, metric="accuracy")["sentences"][1].startswith("No error on the training rows")
    assert "does not" not in " ".join(advice(1.0, 1.0, 1.0, metric="entity_f1")["sentences"])


def test_human_error_moves_the_verdict() -> None:
    assert advice(0.85, 0.80, 0.5, metric="accuracy")["cause"] == "bias"
    assert advice(0.85, 0.78, 0.5, metric="accuracy", human=0.86)["cause"] == "variance"
    told = advice(0.85, 0.80, 0.5, metric="accuracy")["sentences"]
    assert "training 85.0%" in told[0] and "Without a human score" in told[-1]
    with pytest.raises(DataError, match="expected a metric of regression"):
        advice(0.8, 0.8, 0.5, metric="accuracy", task="regression")
