"""Forecasting from the table to the saved run and back: no leak, equal after loading, hostile files refused."""

import json
from datetime import date, timedelta

import numpy as np
import polars as pl
import pytest

from gradatim.data.forecast_windows import last_windows, of_pairs
from gradatim.data.table import Table
from gradatim.errors import ArtifactError, GradatimError
from gradatim.problems import Problems
from gradatim.run import fit, load
from gradatim.tasks.forecasting_fits import MODELS
from gradatim.tasks.forecasting_members import LOCAL, local_quantiles, newest_apart, normalised
from gradatim.tasks.source import Source

ASKED = {"task": "forecasting", "target": "value", "time": "date", "id": "shop"}
SIMPLE = {"horizon": "7", "known": "holiday", "models": "seasonal_naive,theta,ridge"}


def sales(shops: int = 4, days: int = 160, ahead: int = 7, seed: int = 0) -> pl.DataFrame:
    """Weekly seasons of their own, a holiday that is known, rows in disorder, some missing; then rows of the future."""
    random = np.random.default_rng(seed)
    holiday = random.random(days + ahead) < 0.15
    rows = []
    for shop in range(shops):
        steps = np.arange(days + ahead)
        pattern = random.normal(size=7) * 5
        values = 50 + 10 * shop + 0.05 * steps + pattern[steps % 7] + 15 * holiday + random.normal(size=len(steps))
        for step in steps:
            if step < days and random.random() < 0.02:
                continue
            value = f"{values[step]:.2f}" if step < days else None
            rows.append((f"shop {shop}", str(date(2024, 1, 1) + timedelta(int(step))), value, str(int(holiday[step]))))
    random.shuffle(rows)
    return pl.DataFrame(rows, schema=["shop", "date", "value", "holiday"], orient="row")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory):
    folder = tmp_path_factory.mktemp("runs") / "sales"
    return fit(sales(), output=folder, minutes=0.3, options=SIMPLE, **ASKED)


def test_the_choice_beats_the_seasonal_naive_forecast_and_says_so(run):
    facts = run.facts
    assert facts["scores"]["metrics"]["mase"]["value"] < 0.9
    assert "below that of the seasonal naive forecast" in facts["answer"]["verdict"]
    assert {c["name"] for c in facts["candidates"]} == {"seasonal naive", "Theta", "ridge"}
    assert 0.5 < facts["scores"]["metrics"]["coverage"]["value"] <= 1
    notes = " ".join(facts["answer"]["notes"])
    assert "one a day" in notes and "season of 7 steps" in notes and "were sorted" in notes and "gaps" in notes
    titles = [section["title"] for section in facts["sections"]]
    assert titles == ["Forecasts", "Error by step ahead", "Error by series", "Intervals", "What is left in the errors"]


def test_forecasts_lie_after_the_end_of_each_series(run):
    said = run.predict(sales()).frame
    assert said.columns == ["row", "shop", "date", "value", "step", "quantile:0.1", "quantile:0.5", "quantile:0.9"]
    assert said.height == 4 * 7 and set(said["shop"]) == {f"shop {i}" for i in range(4)}
    first = said.filter(pl.col("shop") == "shop 2")["date"].to_list()
    assert first == [str(date(2024, 1, 1) + timedelta(160 + step)) for step in range(7)]
    assert (said["quantile:0.1"] < said["quantile:0.9"]).all() and said["value"].is_finite().all()


def test_saved_and_loaded_runs_say_the_same(run):
    again = load(run.folder)
    assert again.task == run.task
    table = sales(seed=3)
    assert again.predict(table).frame.equals(run.predict(table).frame)
    assert "Error by step ahead" in again.report()
    for name in ("development", "test"):
        written = pl.read_csv(run.folder / "predictions" / f"{name}.csv")
        assert {"shop", "origin", "date", "step", "value", "quantile:0.9"} <= set(written.columns)


def test_known_future_moves_the_forecast_and_its_lack_is_a_problem(run):
    table = sales()
    flipped = table.with_columns(pl.when(pl.col("value").is_null()).then(pl.lit("1")).otherwise("holiday")
                                 .alias("holiday"))
    calm = table.with_columns(pl.when(pl.col("value").is_null()).then(pl.lit("0")).otherwise("holiday")
                              .alias("holiday"))
    gain = (run.predict(flipped).frame["value"] - run.predict(calm).frame["value"]).mean()
    assert gain > 3
    problems = Problems()
    run.predict(table.filter(pl.col("value").is_not_null()), problems=problems)
    assert problems.counts()["known-missing"] == 4


def test_new_short_and_empty_series_are_answered_or_listed(run):
    table = sales(1).with_columns(pl.lit("a new shop").alias("shop"))
    short = table.filter(pl.col("value").is_not_null()).sort("date").tail(2).with_columns(pl.lit("short").alias("shop"))
    empty = short.with_columns(pl.lit(None, dtype=pl.String).alias("value"), pl.lit("empty").alias("shop"))
    problems = Problems()
    said = run.predict(pl.concat([table, short, empty]), problems=problems).frame
    assert said.filter(pl.col("shop") == "a new shop")["value"].is_finite().all()
    assert said.filter(pl.col("shop") == "short")["value"].is_finite().all()
    assert said.filter(pl.col("shop") == "empty")["value"].null_count() == 7
    assert {"series-short", "series-empty"} <= set(problems.counts())


def test_evaluation_of_another_table_uses_rolling_origins_and_is_noted(run):
    scores = run.evaluate(sales(seed=5))
    assert scores["metrics"]["mase"]["value"] < 1.2 and scores["rows"] > 10 and scores["uses"] >= 1
    with pytest.raises(GradatimError, match="at least 11 values"):
        run.evaluate(sales(days=6, ahead=0))


def test_no_member_looks_beyond_the_origin(run):
    """Every later value changed, every forecast from the same origin stays, bit for bit."""
    task = run.task
    panel = task.panel(Source(Table(sales())))
    changed = task.panel(Source(Table(sales())))
    windows = of_pairs([(0, 60), (2, 71), (3, 90)])
    for series, origin in zip(windows.series, windows.origins):
        changed.values[series][origin:] = -1e5
    for member in run.artifact.ensemble.members:
        before = member.forecast(task.gatherer(panel), windows)
        np.testing.assert_array_equal(before, member.forecast(task.gatherer(changed), windows))
        assert before.shape == (3, 7, 3)


def test_series_in_another_unit_get_forecasts_in_it(run):
    """All members are of the unit of the series: values times 1000 plus 5000 give quantiles times 1000 plus 5000."""
    task = run.task
    panel = task.panel(Source(Table(sales())))
    moved = task.panel(Source(Table(sales())))
    moved.values = [1000 * values + 5000 for values in moved.values]
    for member in run.artifact.ensemble.members:
        if getattr(member, "method", "") not in ("exponential_smoothing", "theta"):  # these ask for logarithms, ratios
            windows = last_windows(panel)
            np.testing.assert_allclose(member.forecast(task.gatherer(moved), windows),
                                       1000 * member.forecast(task.gatherer(panel), windows) + 5000, rtol=1e-6)


def damaged(run, tmp_path, change) -> None:
    folder = tmp_path / "run"
    load(run.folder).save(folder)
    manifest = json.loads((folder / "artifact.json").read_text())
    change(manifest)
    (folder / "artifact.json").write_text(json.dumps(manifest))
    with pytest.raises(ArtifactError):
        load(folder)


@pytest.mark.parametrize("change", [
    {"horizon": 10**9}, {"horizon": -1}, {"levels": [0.9, 0.5, 0.1]}, {"levels": [0.5, 2]}, {"factors": [1]},
    {"context": 0}, {"season": 0}, {"periods": [0.0]}, {"asked": [0.3]}, {"reader": {}}, {"context": 12},
])
def test_damaged_tasks_are_refused(run, tmp_path, change):
    damaged(run, tmp_path, lambda manifest: manifest["task"].update(change))


def test_damaged_members_are_refused(run, tmp_path):
    damaged(run, tmp_path, lambda manifest: manifest["members"][0].update(member="forecast_local", method="oracle"))


@pytest.mark.parametrize(("options", "told"), [
    ({"horizon": "0"}, "horizon=0: expected a whole number"), ({"quantiles": "0.5,1"}, "numbers between 0 and 1"),
    ({"models": "crystal"}, "expected names among"), ({"known": "date"}, "known=date: expected columns"),
    ({"season": "67"}, "expected fewer steps"), ({"known": "weather"}, "known=weather: expected columns"),
    ({"pace": "3"}, "--option pace=…: expected an option among"), ({"horizon": "60"}, "smaller --option horizon"),
])
def test_wrong_options_are_one_line(options, told):
    with pytest.raises(GradatimError, match=told) as caught:
        fit(sales(2, 60), minutes=0.1, options={"horizon": "7", **options}, **ASKED)
    assert "\n" not in str(caught.value)


def test_cells_that_cannot_be_read_are_listed_by_line(tmp_path):
    rows = sales(1, 80, 0).sort("date").drop("holiday").with_row_index()
    spoilt = rows.with_columns(
        pl.when(pl.col("index") == 9).then(pl.lit("many")).when(pl.col("index") == 12).then(pl.lit("inf"))
        .otherwise("value").alias("value"),
        pl.when(pl.col("index") == 20).then(pl.lit("2024-02-30")).otherwise("date").alias("date")).drop("index")
    spoilt.write_csv(tmp_path / "sales.csv")
    run = fit(tmp_path / "sales.csv", minutes=0.1, options={"horizon": "7", "models": "theta"}, **ASKED)
    listed = {(problem["code"], problem["line"]) for problem in run.facts["problems"]}
    assert {("number-unreadable", 11), ("number-unreadable", 14), ("time-missing", 22)} <= listed


@pytest.mark.parametrize(("time", "target"), [("step", "origin"), ("origin", "step"), ("step", "value")])
def test_columns_may_be_called_as_those_of_a_forecast(time, target):
    frame = pl.DataFrame({time: np.arange(60), target: 5 + np.sin(np.arange(60))})
    run = fit(frame, task="forecasting", time=time, target=target, minutes=0.1,
              options={"horizon": "4", "models": "theta"})
    said = run.predict(frame).frame
    assert [int(cell) for cell in said[time]] == [60, 61, 62, 63]
    assert said["step of the forecast"].to_list() == [1, 2, 3, 4]
    assert said[target].is_between(3, 7).all()
    with pytest.raises(GradatimError, match="'row': expected another name"):
        fit(frame.rename({time: "row"}), task="forecasting", time="row", target=target, minutes=0.1)


def test_windows_without_any_value_do_not_spoil_the_choice():
    """A census every ten years beside yearly series: most of its windows hold no value to compare with."""
    steps, random = np.arange(120), np.random.default_rng(0)
    rows = [("yearly", 1900 + int(t), 10 + 0.5 * t + random.normal()) for t in steps]
    rows += [("census", 1900 + int(t), 100.0 + t) for t in steps[::10]]
    frame = pl.DataFrame(rows, schema=["name", "year", "value"], orient="row")
    run = fit(frame, task="forecasting", target="value", time="year", id="name", minutes=0.2,
              options={"horizon": "4", "models": "seasonal_naive,drift"})
    candidates = {one["name"]: one for one in run.facts["candidates"]}
    assert candidates["drift"]["value"] < candidates["seasonal naive"]["value"]
    assert candidates["drift"]["weight"] > 0.5 and np.isfinite(candidates["drift"]["loss"])


def test_without_times_or_values_the_remedy_is_named():
    with pytest.raises(GradatimError, match="name it with --time"):
        fit(sales(2, 60), minutes=0.1, task="forecasting", target="value", id="shop")


@pytest.mark.parametrize(("values", "told"), [
    ([1, 2, 3], "at least 6 values in 'value', the longest has 3"), ([1.5] * 6, "longest has 6; give more values"),
    ([1e300] * 8, "the longest has 0; .*'1e.300': expected a number under 1e.30"),
    ([5.0] * 12, None), ([1e-300, 2e-300] * 20, None), (list(range(100)), None),
])
@pytest.mark.filterwarnings("error::RuntimeWarning")
def test_tiny_flat_and_extreme_series_are_forecast_or_refused_in_one_line(values, told):
    frame = pl.DataFrame({"step": range(len(values)), "value": [float(value) for value in values]})
    asked = {"task": "forecasting", "target": "value", "time": "step", "epochs": 1}
    if told is None:
        assert fit(frame, **asked).predict(frame).frame["value"].is_finite().all()
        return
    with pytest.raises(GradatimError, match=told) as caught:
        fit(frame, **asked)
    assert "\n" not in str(caught.value)


def test_wide_tables_and_one_series_without_a_name():
    steps = np.arange(60)
    frame = pl.DataFrame({"month": [f"{2000 + m // 12}-{m % 12 + 1:02d}" for m in range(60)],
                          "north": 10 + np.sin(steps * np.pi / 6) + 0.1 * steps,
                          "south": 5 + np.cos(steps * np.pi / 6)})
    asked = {"task": "forecasting", "time": "month", "minutes": 0.1}
    wide = fit(frame, options={"wide": "all", "horizon": "4", "models": "theta"}, **asked)
    said = wide.predict(frame).frame
    assert said.height == 8 and said["series"].unique(maintain_order=True).to_list() == ["north", "south"]
    assert said["month"][0] == "2005-01"
    alone = fit(frame.select("month", "north"), target="north", options={"horizon": "4", "models": "theta"}, **asked)
    found = alone.predict(frame).frame
    assert found.height == 4 and found["north"].is_finite().all() and found["month"][0] == "2005-01"


@pytest.mark.slow
def test_networks_train_are_saved_and_come_back_bit_by_bit(tmp_path):
    options = {"horizon": "7", "known": "holiday", "models": "convolutional,patches,recurrent"}
    asked = {**ASKED, "options": options, "epochs": 2, "minutes": 2}
    first = fit(sales(8, 150), output=tmp_path / "one", **asked)
    kinds = {c["name"]: c for c in first.facts["candidates"]}
    assert {"convolutional network", "patches network", "recurrent network"} <= set(kinds)
    assert first.facts["answer"]["verdict"]
    second = fit(sales(8, 150), **asked)
    table = sales(8, 150)
    assert first.predict(table).frame.equals(second.predict(table).frame)
    assert load(tmp_path / "one").predict(table).frame.equals(first.predict(table).frame)


def test_normalised_windows_know_how_to_go_back():
    random = np.random.default_rng(0)
    history, seen = 100 + 5 * random.normal(size=(4, 20)), random.random((4, 20)) > 0.2
    seen[3] = False
    values, level, scale = normalised(history, seen, 7)
    np.testing.assert_allclose(values * scale[:, None] + level[:, None], history)
    assert level[0] == pytest.approx(history[0, -7:][seen[0, -7:]].mean())
    flat, _, one = normalised(np.full((1, 8), 3.0), np.ones((1, 8), bool), 1)
    assert not flat.any() and one[0] > 0


def test_newest_windows_share_no_step_with_the_older_ones():
    windows = of_pairs([(0, origin) for origin in range(10, 90)])
    older, newest = newest_apart(windows, np.array([100]), 10)
    assert windows.origins[older].max() + 10 <= windows.origins[newest].min()


@pytest.mark.parametrize("method", LOCAL)
def test_local_methods_answer_everything(method):
    levels = np.array([0.1, 0.5, 0.9])
    for values in (np.array([1.0, 2, 3]), np.full(20, np.nan), np.full(30, 5.0), np.zeros(30), np.arange(40.0) ** 3):
        found = local_quantiles(method, values, 7, 9, levels)
        assert found.shape == (9, 3) and np.isfinite(found).all() and np.all(np.diff(found, axis=1) >= 0)
    assert method in MODELS
