"""Metrics against scikit-learn and brute force; intervals against coverage and closed forms."""

import numpy as np
import pytest
from sklearn import metrics as reference

from gradatim.errors import DataError
from gradatim.evaluate import metrics as m
from gradatim.evaluate.intervals import benjamini_hochberg, bootstrap_means, influence_interval, wilson
from gradatim.evaluate.score import METRICS, paired_difference, score_classification, score_regression
from gradatim.files import to_json_bytes


def made_up(classes: int, rows: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    # Two decimals, so that scores tie.
    probabilities = np.round(random.dirichlet(np.full(classes, 0.6), rows), 2) + 1e-4
    probabilities /= probabilities.sum(axis=1, keepdims=True)
    labels = np.array([random.choice(classes, p=0.7 * p + 0.3 / classes) for p in probabilities])
    return labels, probabilities


@pytest.mark.parametrize("classes", [2, 3, 6, 12])
@pytest.mark.parametrize("rows", [40, 700])
def test_classification_metrics_equal_scikit_learn(classes: int, rows: int) -> None:
    labels, probabilities = made_up(classes, rows, seed=rows)
    chosen, every = probabilities.argmax(axis=1), range(classes)
    seen = np.unique(labels)
    found = {name: entry["value"] for name, entry in
             score_classification(labels, probabilities, list(every))["metrics"].items()}
    one_hot = np.eye(classes)[labels]
    want = {
        "accuracy": reference.accuracy_score(labels, chosen),
        "balanced_accuracy": reference.recall_score(labels, chosen, labels=seen, average="macro", zero_division=0),
        "f1_macro": reference.f1_score(labels, chosen, average="macro"),
        "log_loss": reference.log_loss(labels, probabilities, labels=list(every)),
        "brier": ((probabilities - one_hot) ** 2).sum(axis=1).mean() / (2 if classes == 2 else 1),
    }
    if classes == 2:
        want |= {
            "f1": reference.f1_score(labels, chosen), "precision": reference.precision_score(labels, chosen),
            "recall": reference.recall_score(labels, chosen),
            "roc_auc": reference.roc_auc_score(labels, probabilities[:, 1]),
            "average_precision": reference.average_precision_score(labels, probabilities[:, 1]),
        }
    else:
        want |= {
            "roc_auc": np.mean([reference.roc_auc_score(labels == c, probabilities[:, c]) for c in seen]),
            "average_precision": np.mean(
                [reference.average_precision_score(labels == c, probabilities[:, c]) for c in seen]),
        }
    if classes > 5:
        want["top5_accuracy"] = np.mean([
            label in np.argsort(-row, kind="stable")[:5] for label, row in zip(labels, probabilities)])
    assert found.keys() == want.keys()
    for name, value in want.items():
        assert found[name] == pytest.approx(value, abs=1e-12), name


def test_confusion_and_per_class_equal_scikit_learn() -> None:
    labels, probabilities = made_up(4, 300)
    scores = score_classification(labels, probabilities, ["a", "b", "c", "d"])
    chosen = probabilities.argmax(axis=1)
    assert scores["confusion"]["matrix"] == reference.confusion_matrix(labels, chosen).tolist()
    assert (scores["confusion"]["rows"], scores["confusion"]["columns"]) == ("true class", "predicted class")
    precision, recall, f1, rows = reference.precision_recall_fscore_support(labels, chosen)
    for c, entry in enumerate(scores["per_class"]):
        assert [entry["precision"], entry["recall"], entry["f1"], entry["rows"]] == pytest.approx(
            [precision[c], recall[c], f1[c], rows[c]])
        low, high = entry["recall_interval"]
        assert low < entry["recall"] < high


def test_regression_metrics_equal_scikit_learn() -> None:
    random = np.random.default_rng(0)
    labels = random.gamma(5.0, 2.0, 400)
    values = labels + random.normal(0, 1.5, 400)
    found = {name: entry["value"] for name, entry in score_regression(labels, values)["metrics"].items()}
    assert found == pytest.approx({
        "rmse": reference.root_mean_squared_error(labels, values), "mae": reference.mean_absolute_error(labels, values),
        "r2": reference.r2_score(labels, values),
        "median_absolute_error": reference.median_absolute_error(labels, values),
        "mape": reference.mean_absolute_percentage_error(labels, values)})


@pytest.mark.parametrize("labels", [[-1.0, 2.0, 3.0], [0.0, 1.0, 2.0], [1e-6, 1.0, 2.0]])
def test_percentage_error_is_left_out_where_it_means_nothing(labels: list[float]) -> None:
    scores = score_regression(np.array(labels), np.array([1.0, 2.0, 2.0]))
    assert "mape" not in scores["metrics"]
    assert "Percentage error" in scores["notes"][0]


def test_a_classifier_that_always_says_no_is_found_out() -> None:
    """A13: 0.5 % positives, always 'no': 99.5 % accuracy, recall 0, and the report says so."""
    labels = np.zeros(2000, dtype=int)
    labels[:10] = 1
    probabilities = np.tile([0.995, 0.005], (2000, 1))
    scores = score_classification(labels, probabilities, ["no", "yes"])
    assert scores["metrics"]["accuracy"]["value"] == 0.995
    assert scores["metrics"]["recall"]["value"] == 0.0
    assert scores["metrics"]["balanced_accuracy"]["value"] == 0.5
    told = {warning["code"]: warning["evidence"] for warning in scores["warnings"]}
    assert "99.5%" in told["skewed-classes"] and "'yes' (0.5% of the rows) has recall 0%" in told["skewed-classes"]
    assert "'yes'" in told["class-never-predicted"]
    assert "no-better-than-majority" in told


def test_balanced_good_predictions_give_no_warning() -> None:
    labels = np.arange(200) % 4
    probabilities = np.eye(4)[labels] * 0.9 + 0.025
    scores = score_classification(labels, probabilities, list("abcd"))
    assert scores["warnings"] == []
    for entry in scores["metrics"].values():
        assert entry["low"] is not None and entry["low"] <= entry["value"] <= entry["high"]
    # No interval collapses because everything was right.
    assert scores["metrics"]["accuracy"]["low"] < 1
    assert scores["metrics"]["balanced_accuracy"]["low"] < 1
    assert scores["metrics"]["f1_macro"]["low"] < 1
    assert scores["metrics"]["roc_auc"]["low"] < 1


def test_classes_absent_from_the_rows_are_named_and_left_out_of_averages() -> None:
    labels, probabilities = made_up(3, 60)
    padded = np.hstack([probabilities, np.zeros((60, 1))])
    with_absent = score_classification(labels, padded, ["a", "b", "c", "never"])
    without = score_classification(labels, probabilities, ["a", "b", "c"])
    for name, entry in without["metrics"].items():
        assert with_absent["metrics"][name]["value"] == pytest.approx(entry["value"]), name
    assert with_absent["per_class"][3]["recall"] is None
    assert "'never'" in with_absent["notes"][0]
    to_json_bytes(with_absent)


def test_predicted_classes_alone_are_enough() -> None:
    labels, probabilities = made_up(3, 90)
    full = score_classification(labels, probabilities, list("abc"))
    bare = score_classification(labels, None, list("abc"), predicted=probabilities.argmax(axis=1))
    assert set(bare["metrics"]) == {"accuracy", "balanced_accuracy", "f1_macro"}
    assert bare["metrics"]["f1_macro"] == full["metrics"]["f1_macro"]


@pytest.mark.parametrize(("labels", "probabilities", "message"), [
    ([0, 2], [[1, 0], [0, 1]], "class numbers 0 to 1, received 1 others"),
    ([0, -1], [[1, 0], [0, 1]], "class numbers 0 to 1, received 1 others"),
    ([], np.zeros((0, 2)), "at least one labelled row"),
    ([0, 1], [[0.5, 0.1], [0, 1]], "sum to 1, received a sum of 0.6"),
    ([0, 1], [[np.nan, 0.1], [0, 1]], "non-finite"),
    ([0, 1], [[1.0], [1.0]], "shape (2, 2), received (2, 1)"),
])
def test_bad_input_is_refused_in_one_line(labels: object, probabilities: object, message: str) -> None:
    with pytest.raises(DataError) as caught:
        score_classification(np.array(labels), np.array(probabilities, dtype=float), ["a", "b"])
    assert message in str(caught.value) and "\n" not in str(caught.value)


def made_up_places(task: str, rows: int) -> tuple[np.ndarray, np.ndarray]:
    """Labels and answers as `gradatim.evaluate.placing` has them."""
    random = np.random.default_rng(1)
    if task == "localisation":
        there, box = random.random(rows) < 0.8, random.uniform(0.3, 0.6, (rows, 4))
        seen = np.where(there[:, None], box, np.nan)
        labels = np.column_stack([there, seen, random.integers(0, 3, rows), there * 90])
        return labels, np.column_stack([random.random(rows), box + random.normal(0, 0.05, box.shape),
                                        random.dirichlet([1, 1, 1], rows)])
    points = random.random((rows, 2, 2))
    labels = np.concatenate([points, random.integers(0, 2, (rows, 2, 1))], axis=2).reshape(rows, -1)
    said = np.concatenate([points + random.normal(0, 0.04, points.shape), random.random((rows, 2, 1))], axis=2)
    return np.column_stack([labels, random.uniform(50, 200, rows)]), said.reshape(rows, -1)


def test_influence_is_the_derivative_by_the_weight_of_a_row() -> None:
    """Against the jackknife: (n − 1)(θ − θ without row i) tends to the influence."""
    labels, probabilities = made_up(3, 400)
    numbers = probabilities[:, 0]
    for name, metric in METRICS.items():
        if metric.task not in ("classification", "regression", "localisation", "landmarks"):
            continue  # texts, tags and forecasts have scores of their own, with bootstrap intervals
        if metric.task == "regression":
            truth, answer = numbers * 0.8 + 0.1 * labels + 1, numbers + 1
        elif metric.task in ("localisation", "landmarks"):
            truth, answer = made_up_places(metric.task, 400)
        elif name in ("f1", "precision", "recall"):
            truth, answer = (labels == 1).astype(int), np.stack([1 - probabilities[:, 1], probabilities[:, 1]], axis=1)
        else:
            truth, answer = labels, probabilities
        value, influence = m.measure(name, truth, answer)
        assert influence.sum() == pytest.approx(0, abs=1e-8 * len(truth)) or name == "median_absolute_error"
        if name == "median_absolute_error":
            continue
        left_out = [399 * (value - m.metric_value(name, np.delete(truth, i, axis=0), np.delete(answer, i, axis=0)))
                    for i in range(0, 400, 7)]
        scale = np.abs(influence).max() + 1e-12
        assert np.abs(np.array(left_out) - influence[::7]).max() / scale < 0.05, name


def test_roc_auc_is_the_share_of_ordered_pairs() -> None:
    random = np.random.default_rng(3)
    scores, positive = random.integers(0, 6, 50).astype(float), random.random(50) < 0.4
    pairs = [(a > b) + 0.5 * (a == b) for a in scores[positive] for b in scores[~positive]]
    assert m.roc_auc(positive, scores)[0] == pytest.approx(np.mean(pairs))


def test_intervals_hold_the_truth_95_times_in_100() -> None:
    """Coverage over 300 samples of 120 rows from one world, whose truth is measured on 100,000 rows."""
    names = ("accuracy", "balanced_accuracy", "f1", "roc_auc", "log_loss", "brier", "average_precision")

    def world(rows: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
        random = np.random.default_rng(seed)
        labels = (random.random(rows) < 0.35).astype(int)
        logit = random.normal(1.3 * labels - 0.9, 1.0)
        p = 1 / (1 + np.exp(-logit))
        return labels, np.stack([1 - p, p], axis=1)

    truth = {name: m.metric_value(name, *world(100_000, 0)) for name in names}
    held = dict.fromkeys(names, 0)
    for seed in range(1, 301):
        scores = score_classification(*world(120, seed), ["no", "yes"], seed=seed)["metrics"]
        for name in names:
            held[name] += scores[name]["low"] <= truth[name] <= scores[name]["high"]
    for name, count in held.items():
        assert 0.90 <= count / 300 <= 0.99, (name, count)


def test_grouped_rows_widen_the_interval_as_repeated_rows_should() -> None:
    labels, probabilities = made_up(3, 150)
    once = score_classification(labels, probabilities, list("abc"), groups=np.arange(150))
    tenfold = score_classification(np.repeat(labels, 10), np.repeat(probabilities, 10, axis=0), list("abc"),
                                   groups=np.repeat(np.arange(150), 10))
    naive = score_classification(np.repeat(labels, 10), np.repeat(probabilities, 10, axis=0), list("abc"))

    def width(scores: dict) -> float:
        return scores["metrics"]["accuracy"]["high"] - scores["metrics"]["accuracy"]["low"]

    assert width(tenfold) == pytest.approx(width(once), rel=0.1)
    assert width(naive) < 0.4 * width(tenfold)


def test_wilson_equals_its_closed_form_and_stays_inside() -> None:
    from scipy.stats import binomtest

    for successes, trials in ((0, 10), (3, 10), (10, 10), (497, 1000)):
        want = binomtest(successes, trials).proportion_ci(method="wilson")
        assert wilson(successes, trials) == pytest.approx((want.low, want.high), abs=1e-12)
    assert wilson(0, 0) == (0.0, 1.0)


def test_bootstrap_of_a_mean_agrees_with_the_normal_limit_below_and_above_the_switch() -> None:
    random = np.random.default_rng(0)
    for rows in (2_000, 30_000):
        values = random.exponential(1.0, rows)
        low, high = bootstrap_means(values, lambda means: means[:, 0])
        half = 1.96 * values.std() / np.sqrt(rows)
        assert (low, high) == pytest.approx((values.mean() - half, values.mean() + half), abs=0.12 * half)
    assert bootstrap_means(values, lambda means: means[:, 0]) == (low, high)  # seeded


def test_paired_difference_is_narrower_than_unpaired_and_zero_for_equal_answers() -> None:
    labels, probabilities = made_up(3, 500)
    other = probabilities.copy()
    other[:25] = other[:25, ::-1]
    found = paired_difference("accuracy", labels, other, probabilities)
    want = m.metric_value("accuracy", labels, other) - m.metric_value("accuracy", labels, probabilities)
    assert found["value"] == pytest.approx(want)
    assert found["high"] - found["low"] < 0.06
    assert paired_difference("roc_auc", labels, probabilities, probabilities) == {"value": 0, "low": 0, "high": 0}


def test_benjamini_hochberg_equals_scipy() -> None:
    from scipy.stats import false_discovery_control

    p_values = np.random.default_rng(0).random(40) ** 2
    assert benjamini_hochberg(p_values) == pytest.approx(false_discovery_control(p_values))
    assert len(benjamini_hochberg(np.array([]))) == 0


def test_influence_interval_is_centred_and_seeded() -> None:
    values = np.random.default_rng(0).normal(size=300)
    low, high = influence_interval(values)
    assert low < 0 < high and (low, high) == influence_interval(values)


def test_many_classes_and_rows_are_scored_in_seconds() -> None:
    import time

    labels, probabilities = made_up(40, 6000)
    start = time.perf_counter()
    score_classification(labels, probabilities, list(range(40)))
    assert time.perf_counter() - start < 5
