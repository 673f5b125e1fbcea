"""What the loop costs over the same steps in a bare PyTorch loop, at steps of about a millisecond.

    python -m bench loop-overhead

Both contenders share network, optimiser and batches made beforehand; only what surrounds the step differs. "same
work" does exactly the bare loop's work (no clipping, no gradient norm); "as in a run" also records gradient norms
and has the hooks of a run. Turns are short and interleaved; processor time is given beside the clock's because
other programs may use the same cores.
"""

import argparse
from typing import Any

import numpy as np
import torch
from torch import nn

from bench.networks import lenet
from bench.side_by_side import paired_ratio, report, take_turns
from gradatim.data.batch import Batch
from gradatim.train.hooks import Deadline, EarlyStop, KeepBest, Progress
from gradatim.train.loop import fit
from gradatim.train.optim import make_optimizer
from gradatim.train.plan import Plan
from gradatim.train.steps import Supervised

STEPS = 100


def main(arguments: list[str] | None = None) -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(prog="python -m bench loop-overhead")
    parser.add_argument("--turns", type=int, default=60)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args(arguments)
    torch.set_num_threads(options.threads)
    rows = [
        row for name, size in (("linear 64-64-10", 16), ("lenet", 4), ("lenet", 16), ("lenet", 128))
        for row in _compare(name, size, options.turns)
    ]  # fmt: skip
    command = f"python -m bench loop-overhead --turns {options.turns} --threads {options.threads}"
    print(report("loop_overhead", command, rows, note="Overhead is the median over turns of ours / bare − 1."))


def _overhead(ours: list[float], bare: list[float]) -> str:
    return f"{100 * (paired_ratio(ours, bare) - 1):+.1f} %"


def _network(name: str) -> nn.Module:
    torch.manual_seed(0)
    if name == "lenet":
        return lenet()
    return nn.Sequential(nn.Flatten(), nn.Linear(784, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))


def _compare(name: str, size: int, turns: int) -> list[dict[str, Any]]:
    pictures, labels = torch.randn(8, size, 1, 28, 28), torch.randint(0, 10, (8, size))
    pairs = [(pictures[i % 8], labels[i % 8]) for i in range(STEPS)]
    batches = [Batch(np.arange(size), {"x": x}, {"y": y}) for x, y in pairs]

    network = _network(name)
    optimizer = make_optimizer("adamw", network, 1e-3, 0.01)
    network.train()

    def bare() -> float:
        for x, y in pairs:
            loss = nn.functional.cross_entropy(network(x), y)
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
        return loss.item()

    def ours(plan: Plan, with_hooks: bool) -> Any:
        net = _network(name)
        step = Supervised(
            net,
            lambda output, batch: nn.functional.cross_entropy(output, batch.targets["y"]),
            plan,
            forward=lambda network, batch: network(batch.inputs["x"]),
        )

        def run() -> None:
            hooks = [Deadline(1e9), KeepBest(net, "loss"), EarlyStop("loss", patience=9), Progress(quiet=True)]
            fit(step, lambda epoch: batches, plan, hooks if with_hooks else ())

        return run

    same = Plan(1, STEPS, size, clip_norm=None, norm_every=10**9, schedule="constant")
    contenders = {
        "bare": bare,
        "same work": ours(same, False),
        "as in a run": ours(Plan(1, STEPS, size, clip_norm=None), True),
        "with clipping": ours(Plan(1, STEPS, size, clip_norm=1.0), True),
    }
    timings = take_turns(contenders, turns=turns, budget_seconds=60)
    base = timings["bare"]
    return [
        {
            "network": name,
            "batch": size,
            "loop": key,
            "ms a step": 1e3 * timing.median / STEPS,
            "overhead, clock": _overhead(timing.seconds, base.seconds),
            "overhead, processor": _overhead(timing.processor_seconds, base.processor_seconds),
        }
        for key, timing in timings.items()
    ]


if __name__ == "__main__":
    main()
