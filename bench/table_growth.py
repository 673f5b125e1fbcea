"""A whole fit of a table by its rows: seconds, peak memory and score, beside lightgbm alone on the same rows.

16 numbers and 4 categories of 50 values, two classes, with interactions and noise. Each fit runs in a process of its
own, so that the peak is its own; growth is the exponent of the seconds between two sizes (1: linear).
"""

import argparse
import json
import math
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import polars as pl

RESULTS = Path(__file__).parent / "results"
OURS = """
import gradatim as gd, json, resource, sys
run = gd.fit(sys.argv[1], target="y", minutes=float(sys.argv[2]), test=sys.argv[3])
value = run.facts["external_test"]["metrics"]["log_loss"]["value"]
print(json.dumps([value, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20]))
"""
LIGHTGBM = """
import json, resource, sys
import lightgbm, numpy, polars
frames = [polars.read_csv(path) for path in (sys.argv[1], sys.argv[3])]
def matrix(frame):
    columns = [frame[n] if n[0] == "n" else frame[n].str.slice(1).cast(polars.Float64) for n in frame.columns[:-1]]
    return numpy.column_stack([column.to_numpy() for column in columns])
truth = [(frame["y"] == "yes").to_numpy().astype(int) for frame in frames]
training = lightgbm.Dataset(matrix(frames[0]), truth[0], categorical_feature=[16, 17, 18, 19])
model = lightgbm.train({"objective": "binary", "verbosity": -1}, training, 300)
p = model.predict(matrix(frames[1])).clip(1e-7, 1 - 1e-7)
loss = -numpy.log(numpy.where(truth[1] == 1, p, 1 - p)).mean()
print(json.dumps([float(loss), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20]))
"""


def table(rows: int, seed: int) -> pl.DataFrame:
    """A table whose classes follow from products, a sine, a square and effects of the categories, with noise."""
    random = np.random.default_rng(seed)
    x, codes = random.normal(size=(rows, 16)), random.integers(0, 50, size=(rows, 4))
    effects = np.random.default_rng(0).normal(size=(4, 50))
    score = x[:, 0] * x[:, 1] + 0.8 * np.sin(2 * x[:, 2]) + 0.6 * x[:, 3] - 0.5 * x[:, 4] ** 2 + 0.5
    score += 0.7 * effects[0, codes[:, 0]] * x[:, 5] + 0.5 * effects[1, codes[:, 1]]
    score += 0.4 * effects[2, codes[:, 2]] * effects[3, codes[:, 3]]
    truth = random.random(rows) < 1 / (1 + np.exp(-1.5 * score))
    columns = {f"n{place}": np.round(x[:, place], 4) for place in range(16)}
    texts = np.array([f"v{number:02d}" for number in range(50)])
    columns |= {f"c{place}": texts[codes[:, place]] for place in range(4)}
    return pl.DataFrame(columns | {"y": np.where(truth, "yes", "no")})


def measured(program: str, *arguments: str) -> tuple[float, float, float]:
    """Seconds of a process, its log loss on the test rows, and its peak memory in GB."""
    began = time.perf_counter()
    done = subprocess.run([sys.executable, "-c", program, *arguments], check=True, capture_output=True, text=True)
    loss, peak = json.loads(done.stdout.strip().splitlines()[-1])
    return time.perf_counter() - began, loss, peak


def main(arguments: list[str]) -> None:
    """Print and write the table."""
    parser = argparse.ArgumentParser(prog="python -m bench table-growth")
    parser.add_argument("--rows", type=int, nargs="+", default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--minutes", type=float, default=3.0)
    chosen = parser.parse_args(arguments)
    lines = ["| rows | program | seconds | growth | peak GB | log loss |", "|---|---|---|---|---|---|"]
    found, before = [], {}
    with tempfile.TemporaryDirectory() as folder:
        test = Path(folder) / "test.csv"
        table(10_000, 1).write_csv(test)
        for rows in chosen.rows:
            path = Path(folder) / f"{rows}.csv"
            table(rows, 2).write_csv(path)
            for name, program in (("gradatim", OURS), ("lightgbm, 300 rounds", LIGHTGBM)):
                seconds, loss, peak = measured(program, str(path), str(chosen.minutes), str(test))
                last = before.get(name)
                growth = math.log(seconds / last[1]) / math.log(rows / last[0]) if last else math.nan
                before[name] = (rows, seconds)
                found.append({"rows": rows, "program": name, "seconds": seconds, "peak_gb": peak, "log_loss": loss})
                lines.append(f"| {rows:,} | {name} | {seconds:.1f} | {'' if math.isnan(growth) else f'{growth:.2f}'} | "
                             f"{peak:.2f} | {loss:.4f} |")
                print(lines[-1], flush=True)
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "table-growth.json").write_text(json.dumps({"minutes": chosen.minutes, "results": found}, indent=1))
    (RESULTS / "table-growth.md").write_text("\n".join(lines) + "\n")
