"""A language model whose network is killed while it trains goes on and ends with the same bits."""

from pathlib import Path

import numpy as np
import pytest
from safetensors import safe_open

from killing import done, killed, same_files

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


@pytest.mark.slow
@pytest.mark.parametrize("network", ["recurrent", "transformer"])
def test_killed_and_resumed_ends_with_the_same_bits(network: str, tmp_path: Path) -> None:
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    fit = [*FIT, "--option", f"network={network}", "-o", "run"]
    for folder in (whole, broken):
        folder.mkdir()
        write_corpus(folder / "corpus.txt")
    done(fit, whole)
    killed(fit, broken, "network")
    done(["fit", "--resume", "run"], broken)
    first, second = whole / "run", broken / "run"
    with safe_open(first / "weights.safetensors", framework="pt") as weights:
        assert any("embedding" in name for name in weights.keys()), "here the network should count"  # noqa: SIM118
    same_files(first, second, ("weights.safetensors", "predictions/development.csv", "predictions/test.csv"))
