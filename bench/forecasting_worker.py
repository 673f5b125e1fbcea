"""Forecasts of statsforecast at given origins, in its own environment: windows in as JSON, forecasts and times out.

    FORECAST_VENV/bin/python bench/forecasting_worker.py windows.json forecasts.json
"""

import json
import sys
import time
import warnings
from typing import Any

MOST_ETS_SEASON = 24  # AutoETS takes no longer one


def main() -> None:
    """One thread, each window as a series of its own; models that fail fall back to the seasonal naive forecast."""
    import numpy as np
    from statsforecast.models import MSTL, AutoETS, OptimizedTheta, SeasonalNaive, Theta

    warnings.simplefilter("ignore")
    source, target = sys.argv[1:3]
    with open(source, encoding="utf-8") as file:
        job = json.load(file)
    season, horizon = job["season"], job["horizon"]
    short = season if season <= MOST_ETS_SEASON else 1
    models: dict[str, Any] = {
        "SeasonalNaive": SeasonalNaive(season_length=season), "Theta": Theta(season_length=season),
        "OptimizedTheta": OptimizedTheta(season_length=season), "AutoETS": AutoETS(season_length=short),
        **({"MSTL": MSTL(season_length=season)} if season > 1 else {}),
    }
    windows = [np.array([np.nan if value is None else value for value in values]) for values in job["windows"]]
    naive = models["SeasonalNaive"]
    found: dict[str, Any] = {}
    for name, model in models.items():
        model.forecast(windows[0], horizon)  # compiled now, if ever
        answers, failed = [], 0
        began = time.process_time()
        for values in windows:
            try:
                answer = np.asarray(model.forecast(filled(values, np), horizon)["mean"], dtype=np.float64)
            except Exception:  # what another library raises is its own affair; it is counted
                answer = np.full(horizon, np.nan)
            if not np.isfinite(answer).all():
                failed += 1
                answer = np.asarray(naive.forecast(filled(values, np), horizon)["mean"], dtype=np.float64)
            answers.append(answer.tolist())
        found[name] = {"forecasts": answers, "seconds": time.process_time() - began, "failed": failed}
    with open(target, "w", encoding="utf-8") as file:
        json.dump(found, file)


def filled(values: Any, np: Any) -> Any:
    """Missing values by straight lines, as the peers take none."""
    known = np.flatnonzero(np.isfinite(values))
    return np.interp(np.arange(len(values)), known, values[known])


if __name__ == "__main__":
    main()
