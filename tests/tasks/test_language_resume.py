"""A language model whose network is killed while it trains goes on and ends with the same bits."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from safetensors import safe_open

FIT = ["fit", "corpus.txt", "--task", "language-model", "--epochs", "20", "--seed", "1",
       "--option", "order=2"]


def write_corpus(path: Path) -> None:
    """Sentences whose last word follows from the first: more than pairs of characters know."""
    random = np.random.default_rng(0)
    beasts, homes = ("cat", "dog", "cow", "fox"), ("basket.", "kennel.", "stable.", "burrow.")
    texts = []
    for _ in range(120):
        kind = int(random.integers(4))
        between = " ".join(random.choice(["then", "slowly", "walks", "today", "again"], 3))
        texts.append(f"The {beasts[kind]} {between} to the well known {homes[kind]}")
    path.write_text("\n\n".join(texts) + "\n")


def start(arguments: list[str], folder: Path) -> subprocess.Popen[str]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE"}
    return subprocess.Popen([sys.executable, "-m", "gradatim", *arguments], cwd=folder, env=environment,
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def done(arguments: list[str], folder: Path) -> None:
    process = start(arguments, folder)
    _, said = process.communicate(timeout=240)
    assert process.returncode == 0, said


@pytest.mark.slow
@pytest.mark.parametrize("network", ["recurrent", "transformer"])
def test_killed_and_resumed_ends_with_the_same_bits(network: str, tmp_path: Path) -> None:
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    fit = [*FIT, "--option", f"network={network}", "-o", "run"]
    for folder in (whole, broken):
        folder.mkdir()
        write_corpus(folder / "corpus.txt")
    done(fit, whole)
    process, limit = start(fit, broken), time.monotonic() + 240
    stage = broken / "run" / "checkpoints" / "network"
    while len(list(stage.glob("checkpoint-*.json"))) < 2 and process.poll() is None:
        assert time.monotonic() < limit, "no checkpoint came"
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    _, said = process.communicate(timeout=120)
    assert process.returncode == -signal.SIGKILL, said
    assert not (broken / "run" / "artifact.json").exists()
    done(["fit", "--resume", "run"], broken)
    first, second = whole / "run", broken / "run"
    with safe_open(first / "weights.safetensors", framework="pt") as weights:
        assert any("embedding" in name for name in weights.keys()), "here the network should count"  # noqa: SIM118
    assert (first / "weights.safetensors").read_bytes() == (second / "weights.safetensors").read_bytes()
    for name in ("predictions/development.csv", "predictions/test.csv"):
        assert (first / name).read_bytes() == (second / name).read_bytes(), name
    assert not (second / "checkpoints").exists()
