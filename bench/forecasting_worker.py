"""Forecasts of statsforecast at given origins, in its own environment: windows in as JSON, forecasts and times out.

    FORECAST_VENV/bin/python bench/forecasting_worker.py windows.json forecasts.json
"""

import json
import sys
import time
import warnings
from pathlib import Path
from typing import Any

MOST_ETS_SEASON = 24  # AutoETS takes no longer one


def main() -> None:
    """One thread, each window as a series of its own; models that fail fall back to the seasonal naive forecast.

    What the file of forecasts holds already is not computed again. After job["seconds"] it writes what it has and ends:
    asked again, it goes on.
    """
    import numpy as np
    from statsforecast.models import MSTL, AutoETS, OptimizedTheta, SeasonalNaive, Theta

    warnings.simplefilter("ignore")
    source, target = map(Path, sys.argv[1:3])
    job = json.loads(source.read_text())
    season, shorter = job["season"], job["shorter"]
    short = max(length for length in (*shorter, season, 1) if length <= MOST_ETS_SEASON)
    models: dict[str, Any] = {
        "SeasonalNaive": SeasonalNaive(season_length=season), "Theta": Theta(season_length=season),
        "OptimizedTheta": OptimizedTheta(season_length=season),
        **({"MSTL": MSTL(season_length=season)} if season > 1 else {}),
        **({f"MSTL {', '.join(map(str, (*shorter, season)))}": MSTL(season_length=[*shorter, season])}
           if shorter else {}),
        "AutoETS": AutoETS(season_length=short),  # last: it takes longest
    }
    windows = [np.array([np.nan if value is None else value for value in values]) for values in job["windows"]]
    found: dict[str, Any] = json.loads(target.read_text()) if target.exists() else {}
    end = time.process_time() + job["seconds"]
    for name, model in models.items():
        entry = found.setdefault(name, {"forecasts": [], "seconds": 0.0, "failed": 0})
        if len(entry["forecasts"]) == len(windows):
            continue
        model.forecast(filled(windows[0], np), job["horizon"])  # compiled now, if ever
        while len(entry["forecasts"]) < len(windows) and time.process_time() < end:
            began = time.process_time()
            answer, failed = answered(model, models["SeasonalNaive"], windows[len(entry["forecasts"])], job["horizon"])
            entry["seconds"] += time.process_time() - began
            entry["failed"] += failed
            entry["forecasts"].append(answer)
    target.write_text(json.dumps(found))


def answered(model: Any, naive: Any, values: Any, horizon: int) -> tuple[list[float], int]:
    """The mean forecast of a window; the seasonal naive one, and 1, where the model fails."""
    import numpy as np

    try:
        answer = np.asarray(model.forecast(filled(values, np), horizon)["mean"], dtype=np.float64)
    except Exception:  # what another library raises is its own affair; it is counted
        answer = np.full(horizon, np.nan)
    if np.isfinite(answer).all():
        return answer.tolist(), 0
    return np.asarray(naive.forecast(filled(values, np), horizon)["mean"], dtype=np.float64).tolist(), 1


def filled(values: Any, np: Any) -> Any:
    """Missing values by straight lines, as the peers take none."""
    known = np.flatnonzero(np.isfinite(values))
    return np.interp(np.arange(len(values)), known, values[known])


if __name__ == "__main__":
    main()
