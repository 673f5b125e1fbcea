"""What the report tells of forecasts: plots, tables by step and by series, coverage, what the errors have in common."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from gradatim.data.forecast_windows import Windows
from gradatim.estimators.seasonality import autocorrelations
from gradatim.evaluate.forecasts import (
    by_step,
    coverage_table,
    median_place,
    score_forecasts,
    spread,
    window_losses,
)
from gradatim.evaluate.intervals import bootstrap_means
from gradatim.evaluate.predictions import Predictions
from gradatim.tasks.facts import flat_plan
from gradatim.tasks.forecasting import ensemble_forecast
from gradatim.tasks.members import Ensemble

if TYPE_CHECKING:
    from gradatim.tasks.forecasting_fits import Line

PLOTS, LISTED_SERIES, LISTED_STEPS = 4, 20, 24
RESIDUAL_SERIES, RESIDUAL_ORIGINS, RESIDUAL_LAGS = 5, 80, 24
YEAR = 365.2425 * 86_400.0


def facts_of(state: "Line", final: Ensemble, outcome: Mapping[str, Any]) -> dict[str, Any]:
    """The facts of the run; keys as in `gradatim.evaluate.report.Facts`."""
    task, scores = state.task, outcome["scores"]
    chosen = [candidate for candidate in outcome["candidates"] if candidate.weight > 0]
    headline = scores["metrics"][task.metric]
    skill, beaten = skill_sentence(state, outcome)
    return {
        "title": f"{task.target}: {task.horizon} steps ahead",
        "answer": {"name": " + ".join(candidate.name for candidate in chosen), "why": outcome["why"],
                   "verdict": " ".join(filter(None, [full(outcome["verdict"]), full(skill)])),
                   "notes": [*outcome["said"], *state.notes]},
        "candidates": candidate_facts(state, outcome),
        "candidates_note": [f"compared on {int(outcome['shared'].sum())} development windows that every candidate "
                            "answered; the score is the mean absolute scaled error, 1 is the seasonal naive forecast "
                            "in the past", outcome["verdict"]],
        "score": {"metric": task.metric, **headline, "rows": scores["rows"],
                  "note": f"windows of {task.horizon} steps that were used for no choice; {skill}"},
        "scores": scores,
        "plan": flat_plan(state.trainer.plan_json),
        "forecast": state.trainer.forecasts,
        "advice": advice_of(outcome, beaten, task.levels),
        "sections": sections_of(state, final, outcome),
    }


def full(text: str) -> str:
    """A sentence with its capital and stop."""
    return text and text[0].upper() + text[1:] + ("" if text.endswith(".") else ".")


def skill_sentence(state: "Line", outcome: Mapping[str, Any]) -> tuple[str, bool]:
    """How the chosen forecast compares with the seasonal naive one on the test windows, and whether it is better."""
    levels = state.task.levels
    ours, naive = (window_losses(outcome["truth"], answer, levels, outcome["scales"])["mase"]
                   for answer in (outcome["answer"], outcome["rival"]))
    known = np.isfinite(ours)
    ours, naive = ours[known], naive[known]

    def gain(means: np.ndarray) -> np.ndarray:
        return 1 - means[:, 0] / np.maximum(means[:, 1], 1e-12)

    value = float(gain(np.array([[ours.mean(), naive.mean()]]))[0])
    low, high = bootstrap_means(np.stack([ours, naive], axis=1), gain) if len(ours) > 1 else (value, value)
    side = "below" if value >= 0 else "above"
    return (f"its error is {abs(value):.0%} {side} that of the seasonal naive forecast on the same windows (95 % "
            f"interval of the gain {low:.0%} to {high:.0%})"), value > 0


def candidate_facts(state: "Line", outcome: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Scores of the candidates on the development windows."""
    found = []
    ones = np.ones(len(state.development))
    for candidate in outcome["candidates"]:
        seen = candidate.answered()
        metrics = score_forecasts(state.labels[seen], candidate.answers[seen], state.task.levels, ones[seen],
                                  state.development.series[seen])["metrics"]
        found.append({
            "name": candidate.name, "metric": state.task.metric, **metrics[state.task.metric],
            "loss": metrics["pinball"]["value"], "rows": int(seen.sum()), "seconds": round(candidate.seconds, 2),
            "chosen": candidate.weight > 0, "weight": candidate.weight, "note": candidate.note,
        })
    return found


def advice_of(outcome: Mapping[str, Any], beaten: bool, levels: tuple[float, ...]) -> dict[str, Any]:
    """What to do next, in sentences."""
    sentences = []
    if not beaten:
        sentences.append("The forecast does not beat the seasonal naive one on the newest windows: use that one, look "
                         "for a break in the series, or add columns whose future is known (--option known=…).")
    share = outcome["scores"]["metrics"]["coverage"]["value"]
    if share < levels[-1] - levels[0] - 0.1:
        sentences.append(f"Only {share:.0%} of the newest values lie in the interval of {levels[-1] - levels[0]:.0%}: "
                         "the series has become less regular than it was; widen the quantiles or fit anew more often.")
    return {"sentences": sentences}


def sections_of(state: "Line", final: Ensemble, outcome: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The sections that the report adds for forecasts."""
    return [
        {"title": "Forecasts", "text": "Each plot shows the end of a series, what was forecast at the first test "
         "origin against what came, and the forecast of the steps after the end, with the outermost interval.",
         "items": plots(state, final, outcome)},
        {"title": "Error by step ahead", "text": "Mean over the test windows; 1 is the error of the seasonal naive "
         "forecast in the past.", "items": step_items(state, outcome)},
        {"title": "Error by series", "text": "The series with the largest errors first.",
         "items": [series_table(state, outcome)]},
        {"title": "Intervals", "text": "A quantile is right when its share of the values lies below it. The distance "
         "from the median was mended on the development windows; the shares are those of the test windows.",
         "items": [coverage_item(state, outcome)]},
        residual_section(state, final),
    ]


def axis(state: "Line", positions: np.ndarray, base: int) -> tuple[list[float], str]:
    """Grid positions as numbers for a plot, and the label: years, days since a time, or the file's own numbers."""
    frequency = state.task.reader.frequency
    instants = frequency.instants(positions)
    if frequency.unit == "number":
        return instants.tolist(), state.task.reader.time
    start = frequency.instants(np.array([base]))
    if frequency.unit == "month" or frequency.every * 100 > YEAR / 3 or np.ptp(instants) > 3 * YEAR:
        return (1970 + instants / YEAR).tolist(), "year"
    unit, name = (86_400.0, "days") if np.ptp(instants) > 3 * 86_400 else (3600.0, "hours")
    return ((instants - start) / unit).tolist(), f"{name} since {state.task.reader.spelling.write(start)[0]}"


def plots(state: "Line", final: Ensemble, outcome: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Some series, evenly spread over the size of their errors: end, forecast against truth, forecast ahead."""
    task, panel, test = state.task, state.panel, outcome["test"]
    losses = window_losses(outcome["truth"], outcome["answer"], task.levels, outcome["scales"])["mase"]
    kinds = np.unique(test.series)
    means = np.array([np.nanmean(losses[test.series == kind]) if np.isfinite(losses[test.series == kind]).any()
                      else -1.0 for kind in kinds])
    order = kinds[np.argsort(means)]
    picked = order[np.unique(np.linspace(0, len(order) - 1, PLOTS).round().astype(int))]
    ends = Windows(picked.astype(np.int64), panel.lengths[picked])
    ahead = spread(ensemble_forecast(final, state.gatherer, ends), np.array(task.factors), task.levels)
    middle = median_place(task.levels)
    found = []
    for place, series in enumerate(picked.tolist()):
        window = int(np.flatnonzero(test.series == series)[0])
        origin, length = int(test.origins[window]), int(panel.lengths[series])
        first = int(panel.first[series])
        start = max(0, min(origin, length) - max(4 * task.horizon, 3 * task.season, 24))
        base = first + start
        x, label = axis(state, first + np.arange(start, length + task.horizon), base)
        curves: list[dict[str, Any]] = [
            {"name": "observed", "x": x[: length - start], "y": cells(panel.values[series][start:])}]
        for name, at, quantiles in (("forecast at a test origin", origin, outcome["answer"][window]),
                                    ("forecast ahead", length, ahead[place])):
            curves.append({"name": name, "x": x[at - start : at - start + task.horizon],
                           "y": cells(quantiles[:, middle]), "low": cells(quantiles[:, 0]),
                           "high": cells(quantiles[:, -1])})
        found.append({"kind": "lines", "title": panel.names[series][:60], "x": {"label": label},
                      "y": {"label": task.target}, "series": curves,
                      "note": f"{panel.names[series][:60]}: scaled error {means[kinds == series][0]:.2f} at its test "
                              f"origins; the band is from the quantile {task.levels[0]:g} to {task.levels[-1]:g}"})
    return found


def cells(values: np.ndarray) -> list[float | None]:
    """Numbers for JSON, None where there is none."""
    return [float(f"{value:.6g}") if np.isfinite(value) else None for value in np.asarray(values).tolist()]


def step_items(state: "Line", outcome: Mapping[str, Any]) -> list[dict[str, Any]]:
    """A table and a plot of the errors by step of the horizon."""
    levels, scales = state.task.levels, outcome["scales"]

    def losses(truth: np.ndarray, quantiles: np.ndarray) -> dict[str, np.ndarray]:
        return window_losses(truth, quantiles, levels, scales)

    ours = by_step(losses, outcome["truth"], outcome["answer"])
    naive = by_step(losses, outcome["truth"], outcome["rival"])
    steps = np.unique(np.linspace(1, len(ours), min(len(ours), LISTED_STEPS)).round().astype(int))
    rows = [[int(step), *(shown(ours[step - 1][name]) for name in ("mase", "pinball")),
             f"{ours[step - 1]['coverage']:.0%}", shown(naive[step - 1]["mase"])] for step in steps.tolist()]
    numbers = list(range(1, len(ours) + 1))
    items: list[dict[str, Any]] = [{"kind": "table", "columns": ["step", "scaled error", "pinball", "in the interval",
                                                                 "seasonal naive"], "rows": rows}]
    if len(ours) > 2:
        curves = [{"name": "this run", "x": numbers, "y": cells(np.array([row["mase"] for row in ours]))},
                  {"name": "seasonal naive", "x": numbers, "y": cells(np.array([row["mase"] for row in naive])),
                   "dashed": True}]
        items.insert(0, {"kind": "lines", "title": "Scaled error by step ahead", "x": {"label": "steps ahead"},
                         "y": {"label": "scaled error"}, "series": curves})
    return items


def shown(value: float) -> str:
    """Three digits, or a dash."""
    return f"{value:.3f}" if np.isfinite(value) else "–"


def series_table(state: "Line", outcome: Mapping[str, Any]) -> dict[str, Any]:
    """The series with the largest scaled errors."""
    test, levels = outcome["test"], state.task.levels
    ours = window_losses(outcome["truth"], outcome["answer"], levels, outcome["scales"])
    naive = window_losses(outcome["truth"], outcome["rival"], levels, outcome["scales"])
    rows = []
    for series in np.unique(test.series).tolist():
        mine = test.series == series
        if np.isfinite(ours["mase"][mine]).any():
            rows.append((series, int(mine.sum()), float(np.nanmean(ours["mase"][mine])),
                         float(np.nanmean(naive["mase"][mine])), float(np.nanmean(ours["coverage"][mine]))))
    rows.sort(key=lambda row: -row[2])
    listed = [[state.panel.names[series][:60], count, shown(error), shown(rival), f"{share:.0%}"]
              for series, count, error, rival, share in rows[:LISTED_SERIES]]
    lost = sum(error > rival for _, _, error, rival, _ in rows)
    note = f"the seasonal naive forecast is better for {lost} of {len(rows)} series"
    if len(rows) > len(listed):
        note += f"; the other {len(rows) - len(listed)} are not listed"
    return {"kind": "table", "columns": ["series", "windows", "scaled error", "seasonal naive", "in the interval"],
            "rows": listed, "note": note}


def coverage_item(state: "Line", outcome: Mapping[str, Any]) -> dict[str, Any]:
    """Share of the test values below each quantile, as fitted and as mended."""
    levels = state.task.levels
    before = coverage_table(outcome["truth"], np.sort(outcome["raw"], axis=-1), levels)
    after = coverage_table(outcome["truth"], outcome["answer"], levels)
    rows = [[f"{level:g}", f"{share:.1%}", f"{mended:.1%}", f"{factor:.2f}"]
            for (level, share), (_, mended), factor in zip(before, after, state.task.factors)]
    columns = ["quantile", "below it, as fitted", "below it, as mended", "factor on the spread"]
    return {"kind": "table", "columns": columns, "rows": rows,
            "note": "factors come from split conformal prediction on the development windows, drawn towards 1 where "
                    "there are few"}


def residual_section(state: "Line", final: Ensemble) -> dict[str, Any]:
    """Autocorrelation of the one-step errors at neighbouring origins: what is left in them could still be forecast."""
    lengths = state.panel.lengths
    used = [candidate for candidate, weight in zip(final.members, final.weights) if weight > 0]
    each = sum(state.costs.get(getattr(member, "method", ""), 1e-4) for member in used)
    many = int(np.clip(0.02 * state.job.clock.seconds / max(each, 1e-6), 20, RESIDUAL_ORIGINS * RESIDUAL_SERIES))
    picked = np.argsort(-lengths, kind="stable")[: max(1, min(RESIDUAL_SERIES, many // 20))]
    span = min(RESIDUAL_ORIGINS, many // len(picked))
    curves = []
    lags = np.arange(1, RESIDUAL_LAGS + 1)
    for series in picked.tolist():
        origins = np.arange(max(int(lengths[series]) - span, 4), int(lengths[series]))
        if len(origins) < 12:
            continue
        windows = Windows(np.full(len(origins), series, dtype=np.int64), origins.astype(np.int64))
        answer = ensemble_forecast(final, state.gatherer, windows)
        errors = state.gatherer.targets(windows)[:, 0] - answer[:, 0, median_place(state.task.levels)]
        curves.append(autocorrelations(errors, lags[lags < len(origins) - 3]))
    title = "What is left in the errors"
    if not curves:
        return {"title": title, "text": "The series are too short to look for a pattern in their errors.", "items": []}
    size = min(len(curve) for curve in curves)
    mean = np.nanmean(np.array([np.nan_to_num(curve[:size]) for curve in curves]), axis=0)
    bound = 1.96 / np.sqrt(span * len(curves))
    above = [int(lag) for lag, value in zip(lags, mean) if abs(value) > bound]
    text = (f"Autocorrelation of the one-step errors of {len(curves)} series at their last {span} origins, by the "
            "forecasters as they are kept (which have seen these steps, so it is rather too small). "
            + (f"Beyond chance at {len(above)} of {size} lags"
               + (f", the largest at {1 + int(np.argmax(np.abs(mean)))}: something is left to be forecast."
                  if above else ".") if above else f"At none of {size} lags beyond chance."))
    numbers = lags[:size].tolist()
    curves_shown = [{"name": "autocorrelation", "x": numbers, "y": cells(mean)},
                    {"name": "chance, 95 %", "x": numbers, "y": [round(bound, 4)] * size, "dashed": True},
                    {"name": "", "x": numbers, "y": [round(-bound, 4)] * size, "dashed": True}]
    return {"title": title, "text": text, "items": [
        {"kind": "lines", "title": "Autocorrelation of one-step errors", "x": {"label": "lag in steps"},
         "y": {"label": "autocorrelation"}, "series": curves_shown}]}


def predictions_of(state: "Line", outcome: Mapping[str, Any]) -> dict[str, Predictions]:
    """What is written as predictions/development.csv and predictions/test.csv."""
    shared = np.flatnonzero(outcome["shared"])
    development = state.development.take(shared)
    scales = state.scales[development.series][:, None, None]
    answer = spread(outcome["averaged"] * scales, np.array(state.task.factors), state.task.levels)
    return {"development": state.task.window_predictions(state.panel, development, answer),
            "test": state.task.window_predictions(state.panel, outcome["test"], outcome["answer"])}
