"""A forecasting run that is killed while its network trains goes on and ends with the same bits."""

import csv
import math
from pathlib import Path

import numpy as np
import pytest
from safetensors import safe_open

from killing import done, killed, same_files

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
    names = ("weights.safetensors", "predictions/development.csv", "predictions/test.csv", "schema.json")
    same_files(first, second, names)
