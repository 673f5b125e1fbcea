"""Training speed on Fashion-MNIST, LeNet-5 and a small ResNet, beside PyTorch, Lightning, Keras and skorch.

    python -m bench vision [--network lenet small-resnet] [--batch 32 128 512] [--dtype float32 bfloat16]

Each contender has a process of its own; one works at a time, in turn. All train the same network by AdamW (rate
1e-3, decay 0.01) on the same pictures, no augmentation. Quality: test loss after the same number of steps from the
first weights. Ratios are medians over turns of contender / best peer of the same dtype.
"""

import argparse
import json
import os
import shlex
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

from bench.side_by_side import report

PEERS = (
    "PyTorch loop", "PyTorch loop, batched loader", "Lightning", "Lightning as it comes", "skorch", "Keras (torch)",
    "Keras (jax)",
)  # fmt: skip
OURS = ("gradatim", "gradatim, no levers")
NO_BFLOAT16 = ("skorch",)


class Worker:
    """A contender's process."""

    def __init__(
        self, name: str, network: str, dtype: str, size: int | str, threads: int, *, module: str = "bench.vision_worker"
    ) -> None:
        backend = "jax" if "jax" in name else "torch"
        environment = os.environ | {
            "OMP_NUM_THREADS": str(threads), "KERAS_BACKEND": backend,
            "PYTHONWARNINGS": "ignore",
        }  # fmt: skip
        command = [sys.executable, "-m", module, name, network, dtype, str(size)]
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            env=environment, cwd=Path(__file__).parent.parent,
        )  # fmt: skip

    def ask(self, question: str) -> dict[str, Any]:
        """One request and its answer."""
        assert self.process.stdin is not None and self.process.stdout is not None
        try:
            self.process.stdin.write(question + "\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            pass
        for line in self.process.stdout:
            if line.startswith("ANSWER "):
                return json.loads(line[7:])
        assert self.process.stderr is not None
        raise RuntimeError(self.process.stderr.read()[-2000:])

    def close(self) -> None:
        """End the process."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait(20)


def compare(network: str, dtype: str, size: int, options: argparse.Namespace) -> list[dict[str, Any]]:
    """One table row a contender."""
    workers: dict[str, Worker] = {}
    quality: dict[str, dict[str, Any]] = {}
    for name in options.contenders:
        if dtype == "bfloat16" and name in NO_BFLOAT16:
            continue
        worker = Worker(name, network, dtype, size, options.threads)
        try:
            worker.ask(str(options.quality_steps))
            quality[name] = worker.ask("test")
            workers[name] = worker
        except RuntimeError as error:
            print(f"{name}: left out, {str(error).strip().splitlines()[-1:]}", file=sys.stderr)
    speeds: dict[str, list[float]] = {name: [] for name in workers}
    costs: dict[str, list[float]] = {name: [] for name in workers}
    for turn in range(options.turns):
        for name in list(workers)[:: 1 if turn % 2 == 0 else -1]:
            answer = workers[name].ask(str(max(options.images // size, 6)))
            speeds[name].append(answer["images"] / answer["seconds"])
            costs[name].append(answer["images"] / answer["processor_seconds"])
    for worker in workers.values():
        worker.close()
    medians = {name: statistics.median(values) for name, values in speeds.items()}
    best = max((name for name in medians if name in PEERS), key=lambda name: medians[name])
    return [
        {
            "network": network,
            "dtype": dtype,
            "batch": size,
            "contender": name,
            "images/s": medians[name],
            "range": f"{min(values):.0f}–{max(values):.0f}",
            "× best peer": statistics.median(a / b for a, b in zip(values, speeds[best])),
            "images a processor second": statistics.median(costs[name]),
            "× best peer, processor": statistics.median(a / b for a, b in zip(costs[name], costs[best])),
            f"test loss after {options.quality_steps} steps": quality[name]["loss"],
            "accuracy": quality[name]["accuracy"],
        }
        for name, values in speeds.items()
    ]


def main(arguments: list[str] | None = None) -> None:
    """Measure all that was asked for and print the table."""
    parser = argparse.ArgumentParser(prog="python -m bench vision")
    parser.add_argument("--network", nargs="+", default=["lenet", "small-resnet"])
    parser.add_argument("--dtype", nargs="+", default=["float32", "bfloat16"])
    parser.add_argument("--batch", nargs="+", type=int, default=[32, 128, 512])
    parser.add_argument("--contenders", nargs="+", default=[*OURS, *PEERS])
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--images", type=int, default=8000, help="a turn, of each contender")
    parser.add_argument("--quality-steps", type=int, default=200)
    parser.add_argument("--threads", type=int, default=2, help="use 1 where other programs share the cores")
    parser.add_argument("--name", default="vision")
    options = parser.parse_args(arguments)
    rows = []
    for network in options.network:
        for size in options.batch:
            for dtype in options.dtype:
                rows += compare(network, dtype, size, options)
                print(*rows[-len(options.contenders) :], sep="\n", file=sys.stderr, flush=True)
    command = "python -m bench vision " + shlex.join(arguments if arguments is not None else sys.argv[1:])
    print(report(options.name, command.strip(), rows))


if __name__ == "__main__":
    main()
