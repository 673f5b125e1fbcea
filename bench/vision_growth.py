"""One training step of a small ResNet against picture size, batch and depth: ours beside plain loops of PyTorch.

    python -m bench vision-growth [--sizes 14 28 56 112 224] [--batches 8 32 128 512] [--blocks 3 6 12 24]

From the middle (28 pixels, 128 pictures, 3 blocks) one number changes at a time. Ours: the step of a run as
`device.choose` places it (bfloat16, channels last, its optimiser); the loops: AdamW, fused, in bfloat16 and float32.
Same first weights, uint8 pictures in memory; milliseconds a step of the clock, medians of turns. The last row of a
sweep is the exponent p of time ∝ sizeᵖ over its larger half.
"""

import argparse
import shlex
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import nn

from bench.estimators import exponent
from bench.networks import Block
from bench.side_by_side import report, take_turns
from gradatim.data.batch import Batch
from gradatim.device import choose, pull_levers
from gradatim.train.plan import Plan
from gradatim.train.steps import Supervised

OURS = "gradatim"
MIDDLE = {"size": 28, "batch": 128, "blocks": 3}
Step = Callable[[], Any]


class ResNet(nn.Module):
    """A stem, and `blocks` residual blocks in three stages of width 16, 32, 64."""

    def __init__(self, blocks: int) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(1, 16, 3, 1, 1, bias=False), nn.BatchNorm2d(16), nn.ReLU())
        layers = []
        for stage, (narrow, wide) in enumerate(((16, 16), (16, 32), (32, 64))):
            layers.append(Block(narrow, wide, 2 if stage else 1))
            layers += [Block(wide, wide, 1) for _ in range(blocks // 3 - 1)]
        self.blocks = nn.Sequential(*layers)
        self.head = nn.Linear(64, 10)

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        """(B, 1, H, W) → (B, 10)."""
        return self.head(self.blocks(self.stem(pictures)).mean(dim=(2, 3)))


def network_of(blocks: int) -> nn.Module:
    """The same first weights for everybody."""
    torch.manual_seed(0)
    return ResNet(blocks)


def floats(pictures: torch.Tensor) -> torch.Tensor:
    """uint8 (B, H, W) → float32 (B, 1, H, W) on about −1..1."""
    return pictures[:, None].float().mul_(1 / 127.5).sub_(1)


def ours(pictures: torch.Tensor, labels: torch.Tensor, blocks: int) -> Step:
    """The step of a run."""
    placement = choose(device="cpu")
    pull_levers(placement, memory=True)
    plan = Plan(1, 10**6, len(labels), learning_rate=1e-3, weight_decay=0.01, schedule="constant", clip_norm=None,
                placement=placement)  # fmt: skip
    step = Supervised(
        network_of(blocks), lambda output, batch: nn.functional.cross_entropy(output, batch.targets["label"]), plan,
        forward=lambda network, batch: network(floats(batch.inputs["picture"])),
    )  # fmt: skip
    batch = Batch(np.arange(len(labels)), {"picture": pictures}, {"label": labels})
    return lambda: step(batch)


def plain(pictures: torch.Tensor, labels: torch.Tensor, blocks: int, *, bfloat16: bool) -> Step:
    """The step of a plain loop."""
    network = network_of(blocks)
    optimizer = torch.optim.AdamW(network.parameters(), 1e-3, weight_decay=0.01, fused=True)

    def step() -> None:
        with torch.autocast("cpu", torch.bfloat16, enabled=bfloat16):
            loss = nn.functional.cross_entropy(network(floats(pictures)), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    return step


def measure(size: int, batch: int, blocks: int, turns: int) -> dict[str, float]:
    """Milliseconds a step of each contender."""
    generator = torch.Generator().manual_seed(0)
    pictures = torch.randint(0, 256, (batch, size, size), dtype=torch.uint8, generator=generator)
    labels = torch.randint(0, 10, (batch,), generator=generator)
    steps = {
        OURS: ours(pictures, labels, blocks),
        "PyTorch loop, bfloat16": plain(pictures, labels, blocks, bfloat16=True),
        "PyTorch loop, float32": plain(pictures, labels, blocks, bfloat16=False),
    }
    repeats = max(1, round(2e6 / (size**2 * batch * blocks)))

    def several(step: Step) -> Step:
        def call() -> None:
            for _ in range(repeats):
                step()

        return call

    timings = take_turns({name: several(step) for name, step in steps.items()}, turns=turns, budget_seconds=40)
    return {name: 1000 * timing.median / repeats for name, timing in timings.items()}


def grow(what: str, values: list[int], turns: int) -> list[dict[str, Any]]:
    """The rows of one sweep, the exponents last."""
    rows: list[dict[str, Any]] = []
    for value in values:
        found = measure(**{**MIDDLE, what: value}, turns=turns)
        best = min(seconds for name, seconds in found.items() if name != OURS)
        rows.append({"changed": what, "value": value, **found, "best loop / ours": best / found[OURS]})
        print(rows[-1], file=sys.stderr, flush=True)
    names = [name for name in rows[0] if name not in ("changed", "value", "best loop / ours")]
    exponents = {name: exponent({row["value"]: row[name] for row in rows}) for name in names}
    return [*rows, {"changed": what, "value": "exponent", **exponents}]


def main(arguments: list[str]) -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(prog="bench vision-growth", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--sizes", nargs="+", type=int, default=[14, 28, 56, 112, 224])
    parser.add_argument("--batches", nargs="+", type=int, default=[8, 32, 128, 512])
    parser.add_argument("--blocks", nargs="+", type=int, default=[3, 6, 12, 24])
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--name", default="vision_growth")
    chosen = parser.parse_args(arguments)
    rows = grow("size", chosen.sizes, chosen.turns) + grow("batch", chosen.batches, chosen.turns)
    rows += grow("blocks", chosen.blocks, chosen.turns)
    command = shlex.join(["python", "-m", "bench", "vision-growth", *arguments])
    print(report(chosen.name, command, rows, note="Milliseconds a step, medians of turns."))
