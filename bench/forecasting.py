"""Forecasts on real series at rolling origins: ours against seasonal naive, ETS, Theta and MSTL of statsforecast.

    python scripts/forecast_series.py data-real/series
    python -m bench forecasting --data data-real/series --peer PATH/TO/VENV/bin/python [--set monthly] [--minutes 1]

The same windows and scales for all: those on which the run is scored once. MASE by window; the differences are paired,
their intervals resample series (windows where there are few). Times are processor seconds on one thread: ours of the
whole fit with choice and score, the peers' of their forecasts at the test origins.
"""

import argparse
import hashlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

# ruff: noqa: E402
for _variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"):
    os.environ.setdefault(_variable, "1")

import numpy as np
import polars as pl

from bench.side_by_side import RESULTS, machine
from gradatim.data.forecast_windows import naive_scales, plan_origins
from gradatim.data.readers import read_table
from gradatim.estimators.exponential_smoothing import fit_exponential_smoothing
from gradatim.estimators.theta import fit_theta
from gradatim.evaluate.forecasts import FEW_SERIES, window_losses
from gradatim.evaluate.intervals import bootstrap_means
from gradatim.run import fit

SETS = {"monthly": 12, "quarterly": 8, "yearly": 6, "weekly": 26, "daily": 14, "hourly": 24}
LOCAL = "theta,exponential_smoothing,ridge,trees,seasonal_naive"
WORKER = Path(__file__).with_name("forecasting_worker.py")


def main(arguments: list[str]) -> None:
    """Run the sets, write bench/results/forecasting.{json,md}."""
    parser = argparse.ArgumentParser(prog="bench forecasting", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("data-real/series"))
    parser.add_argument("--peer", default=sys.executable, help="a Python that has statsforecast")
    parser.add_argument("--set", choices=list(SETS), action="append")
    parser.add_argument("--minutes", type=float, default=2.0, help="for each fit")
    parser.add_argument("--models", default=LOCAL, help="candidates of ours; all: networks too")
    parser.add_argument("--keep", type=Path, help="folder of the peers' forecasts: those there are not asked again")
    parser.add_argument("--peer-seconds", type=float, default=1e9,
                        help="of a call; with --keep the next call goes on where this one ended")
    parser.add_argument("--growth", action="store_true", help="seconds against length and number of series")
    options = parser.parse_args(arguments)
    path = RESULTS / "forecasting.json"
    result: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {"sets": {}, "growth": []}
    for name in options.set or ([] if options.growth else SETS):
        result["sets"][name] = measured(name, options)
        print(name, json.dumps(result["sets"][name]["rows"], indent=1), flush=True)
    if options.growth:
        result["growth"] = growth()
    result["machine"] = machine()
    RESULTS.mkdir(exist_ok=True)
    path.write_text(json.dumps(result, indent=1) + "\n")
    path.with_suffix(".md").write_text(page(result))


def measured(name: str, options: argparse.Namespace) -> dict[str, Any]:
    """One set: our run, the peers at its windows."""
    source, horizon = options.data / f"{name}.csv", SETS[name]
    asked = {"horizon": str(horizon), **({} if options.models == "all" else {"models": options.models})}
    with tempfile.TemporaryDirectory() as folder:
        began = time.process_time()
        run = fit(source, task="forecasting", target="value", time="time", id="series", minutes=options.minutes,
                  options=asked, output=Path(folder) / "run", say=lambda line: print("   ", line, flush=True))
        seconds = time.process_time() - began
        said = pl.read_csv(Path(folder) / "run/predictions/test.csv", infer_schema_length=None)
        task: Any = run.task
        panel = task.reader.read(read_table(source))
        rolling = plan_origins(panel, horizon)
        if said.height != len(rolling.test) * horizon:
            raise SystemExit(f"{name}: not every test window was scored in the time; raise --minutes")
        ours = said["value"].to_numpy().reshape(-1, horizon)
        coverage = run.facts["scores"]["metrics"]["coverage"]["value"]
        windows = [panel.values[s][:o] for s, o in zip(rolling.test.series.tolist(), rolling.test.origins.tolist())]
        shorter = sorted(m for m in task.reader.frequency.seasons() if 1 < m < task.season)
        job = {"season": task.season, "shorter": shorter, "horizon": horizon, "seconds": options.peer_seconds,
               "windows": [[None if v != v else v for v in values.tolist()] for values in windows]}
        peers = asked_peer(job, options.peer, options.keep or Path(folder))
    truth = task.gatherer(panel).targets(rolling.test)
    scales = naive_scales(panel, rolling.cuts, task.season)[rolling.test.series]
    errors = {key: mase_of(truth, np.array(entry["forecasts"]), scales) for key, entry in peers.items()}
    errors = {"gradatim": mase_of(truth, ours, scales), **errors}
    times = {"gradatim": seconds, **{key: entry["seconds"] for key, entry in peers.items()}}
    rows = [{"name": key, "mase": float(np.nanmean(values)), "seconds": times[key],
             "failed": peers.get(key, {}).get("failed", 0),
             "difference": difference(errors["gradatim"], values, rolling.test.series)} for key, values in
            errors.items()]
    return {"series": len(panel), "windows": len(windows), "horizon": horizon, "season": task.season,
            "shorter": shorter,
            "answer": run.facts["answer"]["name"], "coverage": coverage, "models": options.models, "rows": rows}


def asked_peer(job: dict[str, Any], python: str, folder: Path) -> dict[str, Any]:
    """What the worker says, in a file that is named after the windows."""
    folder.mkdir(parents=True, exist_ok=True)
    what = json.dumps({name: value for name, value in job.items() if name != "seconds"})
    target = folder / f"{hashlib.sha256(what.encode()).hexdigest()[:16]}.json"
    source = target.with_suffix(".windows.json")
    source.write_text(json.dumps(job))
    subprocess.run([python, str(WORKER), str(source), str(target)], check=True, env=os.environ)
    found: dict[str, Any] = json.loads(target.read_text())
    lacking = [name for name, entry in found.items() if len(entry["forecasts"]) < len(job["windows"])]
    if lacking:
        raise SystemExit(f"{', '.join(lacking)}: not all windows are forecast yet; call again with --keep {folder}")
    return found


def mase_of(truth: np.ndarray, point: np.ndarray, scales: np.ndarray) -> np.ndarray:
    """Scaled error of each window."""
    return window_losses(truth, point[..., None], (0.5,), scales)["mase"]


def difference(ours: np.ndarray, theirs: np.ndarray, series: np.ndarray) -> list[float]:
    """Theirs less ours, with its 95 % interval: above 0 we are better."""
    known = np.isfinite(ours) & np.isfinite(theirs)
    gain = (theirs - ours)[known]
    kinds = np.unique(series[known], return_inverse=True)[1]
    units = kinds if kinds.max(initial=0) + 1 >= FEW_SERIES else np.arange(len(kinds))
    sums, counts = np.bincount(units, weights=gain), np.bincount(units).astype(float)
    low, high = bootstrap_means(np.stack([sums, counts], axis=1), lambda means: means[:, 0] / means[:, 1])
    return [float(gain.mean()), low, high]


def growth() -> list[dict[str, Any]]:
    """Processor seconds of our own smoothing and Theta by length and by number of series."""
    random = np.random.default_rng(0)
    found = []
    fitters: dict[str, Callable[[np.ndarray], Any]] = {
        "exponential smoothing": lambda values: fit_exponential_smoothing(values, 12),
        "Theta": lambda values: fit_theta(values, 12)}
    for length, count in ((60, 8), (120, 8), (240, 8), (480, 8), (960, 8), (120, 2), (120, 32)):
        steps = np.arange(length)
        series = [50 + 0.1 * steps + 5 * np.sin(steps * np.pi / 6) + random.normal(size=length) for _ in range(count)]
        entry: dict[str, Any] = {"length": length, "series": count}
        for name, fitter in fitters.items():
            fitter(series[0])
            began = time.process_time()
            for values in series:
                fitter(values)
            entry[name] = time.process_time() - began
        found.append(entry)
    return found


def peers_note(entry: dict[str, Any]) -> str:
    """Which seasons the peers were given, where the season is longer than AutoETS takes."""
    if entry["season"] <= 24:
        return ""
    if entry.get("shorter"):
        return f" AutoETS, which takes 24 steps at most, was given {max(entry['shorter'])}; one MSTL all seasons."
    return " The peers were given this one season; AutoETS, which takes 24 steps at most, none." + entry.get("note", "")


def page(result: dict[str, Any]) -> str:
    """The tables in Markdown."""
    lines = ["# Forecasting: real series, rolling origins", "",
             "Mean absolute scaled error over the test windows; the difference is the peer's less ours, above 0 we are "
             "better, with its 95 % interval. Seconds of one processor: ours for reading, choice, score and the final "
             "fit, the peers' for the test windows alone.", ""]
    for name, entry in result["sets"].items():
        lines += [f"## {name}: {entry['series']} series, {entry['windows']} windows of {entry['horizon']} steps", "",
                  f"Season {entry['season']}. Chosen: {entry['answer']}. Coverage of the 80 % interval "
                  f"{entry['coverage']:.0%}. Candidates: {entry['models']}.{peers_note(entry)}", "",
                  "| forecast | MASE | difference | seconds |", "|---|---|---|---|"]
        for row in entry["rows"]:
            gain, low, high = row["difference"]
            gap = "" if row["name"] == "gradatim" else f"{gain:+.3f} ({low:+.3f} to {high:+.3f})"
            note = f" ({row['failed']} failed)" if row["failed"] else ""
            lines.append(f"| {row['name']}{note} | {row['mase']:.3f} | {gap} | {row['seconds']:.1f} |")
        lines.append("")
    if result["growth"]:
        lines += ["## Growth of our own local methods", "",
                  "| length | series | exponential smoothing, s | Theta, s |", "|---|---|---|---|"]
        lines += [f"| {row['length']} | {row['series']} | {row['exponential smoothing']:.2f} | {row['Theta']:.2f} |"
                  for row in result["growth"]]
    return "\n".join(lines) + "\n"
