"""A forecasting run that is killed while its network trains goes on and ends with the same bits."""

import csv
import math
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from safetensors import safe_open

EPOCHS = 12
FIT = ["fit", "sales.csv", "--task", "forecasting", "--target", "value", "--time", "step", "--id", "shop", "--epochs",
       str(EPOCHS), "--seed", "1", "--option", "horizon=6", "--option", "season=1", "--option", "context=24",
       "--option", "models=convolutional"]


def write_series(path: Path) -> Path:
    """A wave that changes its sign at the beat of another: no season, no line, but a network can follow it."""
    noise = np.random.default_rng(0)
    with open(path, "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["shop", "step", "value"])
        for shop in range(6):
            phase = noise.uniform(0, 20)
            for step in range(150):
                value = math.copysign(1, math.sin((step + phase) / 3.1)) * abs(math.sin((step + phase) / 7.3))
                writer.writerow([f"shop {shop}", step, f"{10 * value + 0.1 * noise.normal():.4f}"])
    return path


def start(arguments: list[str], folder: Path) -> subprocess.Popen[str]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE"}
    return subprocess.Popen([sys.executable, "-m", "gradatim", *arguments], cwd=folder, env=environment,
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def done(arguments: list[str], folder: Path) -> None:
    process = start(arguments, folder)
    _, said = process.communicate(timeout=240)
    assert process.returncode == 0, said


def killed(arguments: list[str], folder: Path, stage: str) -> None:
    """SIGKILL once the stage holds its checkpoint of a second epoch."""
    process, limit = start(arguments, folder), time.monotonic() + 240
    place = folder / "run" / "checkpoints" / stage
    while len(list(place.glob("checkpoint-*.json"))) < 2 and process.poll() is None:
        assert time.monotonic() < limit, "no checkpoint came"
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    _, said = process.communicate(timeout=120)
    assert process.returncode == -signal.SIGKILL, said
    assert not (folder / "run" / "artifact.json").exists()


def history(run: Path) -> list[dict[str, str]]:
    """history.csv without what the clock measured."""
    with open(run / "history.csv", newline="") as file:
        return [{name: cell for name, cell in row.items() if name != "seconds"} for row in csv.DictReader(file)]


@pytest.mark.slow
def test_killed_twice_and_resumed_ends_with_the_same_bits(tmp_path: Path) -> None:
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    for folder in (whole, broken):
        folder.mkdir()
        write_series(folder / "sales.csv")
    done([*FIT, "-o", "run"], whole)
    killed([*FIT, "-o", "run"], broken, "network-convolutional")
    killed(["fit", "--resume", "run"], broken, "refit-convolutional")
    done(["fit", "--resume", "run"], broken)
    first, second = whole / "run", broken / "run"
    with safe_open(first / "weights.safetensors", framework="pt") as weights:
        assert list(weights.keys()), "these series should choose the network"
    assert (first / "weights.safetensors").read_bytes() == (second / "weights.safetensors").read_bytes()
    for name in ("predictions/development.csv", "predictions/test.csv", "schema.json"):
        assert (first / name).read_bytes() == (second / name).read_bytes(), name
    assert history(first) == history(second)
    assert not (second / "checkpoints").exists()
