"""The line of forecasting: read the series, plan rolling origins, fit and compare, choose, calibrate, score once.

Development windows choose (and mend the spread of the quantiles); test windows, all later, are scored once. Whatever
learns is fitted on steps before the development windows for the choice, before the test windows for the score, and on
all steps for the run that is kept.
"""

import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from gradatim.data.forecast_series import Panel, SeriesReader, melted
from gradatim.data.forecast_windows import (
    calendar_periods,
    plan_origins,
)
from gradatim.data.schema import Column, Schema
from gradatim.data.split import Split
from gradatim.data.table import Table
from gradatim.errors import GradatimError, SchemaError
from gradatim.estimators.seasonality import find_season
from gradatim.evaluate.forecasts import score_forecasts, spread, spread_factors
from gradatim.evaluate.metrics import metric_named
from gradatim.evaluate.predictions import ROW
from gradatim.tasks.choose import verdict_on_network, weigh
from gradatim.tasks.facts import check_metric
from gradatim.tasks.forecasting import (
    MOST_LEVELS,
    MOST_PERIODS,
    Forecasting,
    ensemble_forecast,
)
from gradatim.tasks.forecasting_fits import Line
from gradatim.tasks.forecasting_report import facts_of, predictions_of
from gradatim.tasks.line import Fitted, Job
from gradatim.tasks.members import Ensemble

OWN_SPLIT = True
FEWEST_VALUES = 6  # of the longest series
VALUE = "value"  # what the cells of a wide table are called
MOST_CONTEXT = 400


def read(table: Table, schema: Schema, options: Mapping[str, Any]) -> tuple[Table, Schema]:
    """Columns in their roles: values, times, names, known future; a wide table is melted into a long one."""
    times = schema.with_role("time")
    if len(times) != 1:
        raise SchemaError("forecasting: expected the column of the times, received none; name it with --time")
    time_name, known = times[0].name, options.get("known", ())
    for column in schema.columns:
        if column.role in ("target", "time", "id") and (column.name == ROW or column.name.startswith("quantile:")):
            raise SchemaError(f"column '{column.name}': expected another name, forecasts have a column of that one; "
                              "rename it")
    if "wide" in options:
        if known:
            raise SchemaError("--option known: expected no --option wide with it: each column is a series there")
        return _long(table, schema, time_name, options["wide"])
    if len(schema.targets) != 1:
        raise SchemaError("forecasting: expected the column of the values, received none; name it with --target")
    free = sorted(column.name for column in schema.columns if column.role not in ("target", "time", "id"))
    unknown = [name for name in known if name not in free]
    if unknown:
        raise SchemaError(f"--option known={unknown[0]}: expected columns among {', '.join(free) or 'none'} (not those "
                          "of the values, the times and the names)")
    columns = []
    for column in schema.columns:
        if column.role == "target":
            columns.append(replace(column, kind="number", why=(*column.why, "its next steps are forecast")))
        elif column.name in known:
            why = (*column.why, "its future is known, the user says")
            columns.append(replace(column, role="input", why=why))
        elif column.role in ("time", "id"):
            columns.append(column)
        else:
            why = (*column.why, "its future is not known: name it with --option known=… where it is")
            columns.append(replace(column, role="ignore", why=why))
    return table, Schema(tuple(columns), schema.task)


def _long(table: Table, schema: Schema, time_name: str, asked: tuple[str, ...]) -> tuple[Table, Schema]:
    if {time_name, "series", VALUE} == set(table.frame.columns):
        return table, schema  # it is long already
    names = [name for name in table.frame.columns if name != time_name] if asked == ("all",) else list(asked)
    columns = (Column(time_name, "text", "time"), Column("series", "category", "id", ("the name of the column",)),
               Column(VALUE, "number", "target", ("the cell of the series' column",)))
    return melted(table, time_name, VALUE, names), Schema(columns, schema.task)


def task_of(job: Job) -> tuple[Forecasting, Panel, list[str]]:
    """The task with grid, season, horizon and context, the panel, and what is to be said of it."""
    options, schema, table = job.options, job.schema, job.source.table
    check_metric(job.metric, "forecasting")
    id_columns = schema.with_role("id")
    reader = SeriesReader.fit(
        table, time=schema.with_role("time")[0].name, target=schema.targets[0].name,
        id=id_columns[0].name if id_columns else None, known=[column.name for column in schema.inputs],
        gather=options.get("duplicates"), frequency=options.get("frequency"),
    )
    panel = reader.read(table, job.source.problems)
    lengths = panel.lengths
    if not len(panel) or lengths.max() < FEWEST_VALUES:
        unreadable = [str(problem) for problem in job.source.problems.items if problem.code == "number-unreadable"]
        raise GradatimError(f"{table.source}: expected a series of at least {FEWEST_VALUES} values in "
                            f"'{reader.target}', the longest has {int(lengths.max(initial=0))}"
                            + (f"; {unreadable[0]}" if unreadable else ""))
    middle = int(np.median(lengths))
    asked = options.get("season")
    if asked is not None and asked >= lengths.max():
        raise GradatimError(f"--option season={asked}: expected fewer steps than the longest series has, "
                            f"{int(lengths.max())}")
    season, why = (asked, f"season of {asked} steps: asked for") if asked else \
        find_season(panel.values, reader.frequency.seasons())
    horizon = options.get("horizon")
    horizon_why = "asked for"
    if horizon is None:
        horizon = int(np.clip(season if season > 1 else middle // 10, 1, max(middle // 6, 1)))
        horizon_why = "one season" if horizon == season else "from the length of the series; --option horizon=N"
    asked_levels = tuple(sorted(set(options["quantiles"])))
    if len(asked_levels) >= MOST_LEVELS:
        raise GradatimError(f"--option quantiles: expected fewer than {MOST_LEVELS}, received {len(asked_levels)}")
    levels = tuple(sorted({*asked_levels, 0.5}))
    usual = [m for m in reader.frequency.seasons() if season < m <= 200 and middle >= 6 * m]
    context = options.get("context") or int(np.clip(
        max(2 * season, 2 * horizon, 12, *(m + horizon for m in usual)), 8, max(min(middle // 2, MOST_CONTEXT), 8)))
    periods = calendar_periods(reader.frequency, season, int(lengths.max()))[:MOST_PERIODS]
    task = Forecasting(reader, horizon, levels, asked_levels, season, context, periods, (1.0,) * len(levels), job.seed,
                       job.metric or "mase")
    notes = [f"{len(panel)} series of {int(lengths.min())} to {int(lengths.max())} steps, one a "
             f"{reader.frequency.name}: {'; '.join(reader.frequency.why)}", why,
             f"horizon of {horizon} steps: {horizon_why}; models look back {context} steps", *panel.notes]
    return task, panel, notes


def fit_line(job: Job) -> Fitted:
    """Fit the forecasters of a table of series; see the head of the module for the order."""
    threads = torch.get_num_threads()
    try:
        return _fit(job)
    finally:
        torch.set_num_threads(threads)  # the plan of a network may have taken fewer


def _fit(job: Job) -> Fitted:
    began = time.perf_counter()
    task, panel, said = task_of(job)
    rolling = plan_origins(panel, task.horizon)
    for line in (*said, *rolling.notes):
        job.say(line)
    state = Line(job, task, panel, rolling)
    job.clock.note("reading", time.perf_counter() - began)
    candidates = state.candidates()
    why, shared = weigh(candidates, state.labels, task)
    verdict = verdict_on_network(candidates, state.labels, task)
    job.say(why)
    title = metric_named(task.metric).title
    job.say(f"scores below: {task.metric}, the {title}, of {len(state.development)} development windows"
            + (" (1 is the error of the seasonal naive forecast in the past)" if task.metric == "mase" else ""))
    chosen = [candidate for candidate in candidates if candidate.weight > 0]
    averaged = sum(c.weight * c.answers[shared] for c in chosen)
    factors = spread_factors(state.labels[shared], np.sort(np.asarray(averaged), axis=-1), task.levels)
    task = replace(task, factors=tuple(map(float, factors)))
    state.task = state.trainer.task = task

    def ensemble(stage: str, ends: np.ndarray) -> Ensemble:
        members: list[Any] = [replace(state.refitted(c.extra["key"], ends, stage), task=task)  # type: ignore[type-var]
                              for c in chosen]
        return Ensemble(tuple(members), tuple(c.weight for c in chosen), task)

    scored = ensemble("scored", rolling.seconds)
    each = sum(state.costs[c.extra["key"]] for c in chosen)
    most = job.memo.decide("test windows", lambda: len(state.test) if job.epochs is not None else int(np.clip(
        0.3 * job.clock.left(share_kept=0.05) / max(each, 1e-7), min(12, len(state.test)), len(state.test))))
    test = state.test.take(np.sort(task.draw("test", len(state.test), most)))
    began = time.perf_counter()
    raw = ensemble_forecast(scored, state.gatherer, test)
    answer = spread(raw, np.array(task.factors), task.levels)
    truth, scales = state.gatherer.targets(test), state.scales[test.series]
    scores = score_forecasts(truth, answer, task.levels, scales, test.series, seed=job.seed)
    rival = state.members["seasonal_naive"].forecast(state.gatherer, test)
    job.clock.note("score", time.perf_counter() - began)
    final = ensemble("final", panel.lengths)
    outcome = {"candidates": candidates, "why": why, "verdict": verdict, "scores": scores, "test": test,
               "answer": answer, "raw": raw, "truth": truth, "scales": scales, "rival": rival, "shared": shared,
               "averaged": np.asarray(averaged), "said": said}
    return Fitted(task, final, split_of(state), facts_of(state, final, outcome), state.trainer.histories,
                  predictions_of(state, outcome))


def split_of(state: Line) -> Split:
    """Rows of the table before the development windows, in them, and in the test windows."""
    parts: list[list[np.ndarray]] = [[], [], []]
    for rows, values, cut, second in zip(state.panel.rows, state.panel.values, state.rolling.cuts,
                                         state.rolling.seconds):
        inside = rows[: len(values)]
        for part, found in zip(parts, (inside[:cut], inside[cut:second], inside[second:])):
            part.append(found[found >= 0])
    train, development, test = (np.sort(np.concatenate(part)) for part in parts)
    return Split(train, development, test, notes=state.rolling.notes)
