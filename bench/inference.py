"""Answering pictures: ResNet-18 and EfficientNet-Lite0, our ways of computing beside onnxruntime, float32 and int8.

    python -m bench inference [--network resnet18 lite0] [--batch 1 32] [--size 224]

Each contender has a process of its own and all take turns. Same weights, same pictures; outputs are compared with
PyTorch's in float32: largest difference over the spread of the outputs, and how often the first class is the same.
"""

import argparse
import shlex
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from bench.inference_worker import CONTENDERS
from bench.side_by_side import report
from bench.vision import Worker

REFERENCE, PEER = "PyTorch", "onnxruntime"


def compare(network: str, options: argparse.Namespace) -> list[dict[str, Any]]:
    """One table row a contender and batch size."""
    workers: dict[str, Worker] = {}
    outputs: dict[str, np.ndarray] = {}
    ready: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as folder:
        for place, name in enumerate(options.contenders):
            worker = Worker(name, network, str(options.size), "", options.threads, module="bench.inference_worker")
            path = Path(folder) / f"{place}.npy"
            try:
                ready[name] = worker.ask(f"answers {path}")["ready_seconds"]
            except RuntimeError as error:
                print(f"{name}: left out, {str(error).strip().splitlines()[-1:]}", file=sys.stderr)
                continue
            outputs[name], workers[name] = np.load(path), worker
    rows = []
    for batch in options.batch:
        rows += speeds(network, batch, workers, outputs, ready, options)
        print(*rows[-len(workers) :], sep="\n", file=sys.stderr, flush=True)
    for worker in workers.values():
        worker.close()
    return rows


def speeds(
    network: str, batch: int, workers: dict[str, Worker], outputs: dict[str, np.ndarray], ready: dict[str, float],
    options: argparse.Namespace,
) -> list[dict[str, Any]]:
    """All contenders at one batch size."""
    clock: dict[str, list[float]] = {name: [] for name in workers}
    processor: dict[str, list[float]] = {name: [] for name in workers}
    for turn in range(options.turns):
        for name in list(workers)[:: 1 if turn % 2 == 0 else -1]:
            answer = workers[name].ask(f"{batch} {max(2, options.images // batch)}")
            clock[name].append(answer["images"] / answer["seconds"])
            processor[name].append(answer["images"] / answer["processor_seconds"])
    truth = outputs[REFERENCE]
    return [
        {
            "network": network, "batch": batch, "contender": name, "images/s": statistics.median(clock[name]),
            "× onnxruntime": statistics.median(a / b for a, b in zip(clock[name], clock[PEER])),
            "images a processor second": statistics.median(processor[name]),
            "× onnxruntime, processor": statistics.median(a / b for a, b in zip(processor[name], processor[PEER])),
            "largest difference": float(np.abs(outputs[name] - truth).max() / np.ptp(truth)),
            "same first class": float((outputs[name].argmax(1) == truth.argmax(1)).mean()),
            "ready after s": ready[name],
        }
        for name in workers
    ]  # fmt: skip


def main(arguments: list[str] | None = None) -> None:
    """Measure all that was asked for and print the table."""
    parser = argparse.ArgumentParser(prog="python -m bench inference")
    parser.add_argument("--network", nargs="+", default=["resnet18", "lite0"])
    parser.add_argument("--batch", nargs="+", type=int, default=[1, 32])
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--contenders", nargs="+", default=list(CONTENDERS))
    parser.add_argument("--turns", type=int, default=7)
    parser.add_argument("--images", type=int, default=64, help="a turn, of each contender")
    parser.add_argument("--threads", type=int, default=2, help="use 1 where other programs share the cores")
    parser.add_argument("--name", default="inference")
    options = parser.parse_args(arguments)
    rows = [row for network in options.network for row in compare(network, options)]
    command = "python -m bench inference " + shlex.join(arguments if arguments is not None else sys.argv[1:])
    print(report(options.name, command.strip(), rows))


if __name__ == "__main__":
    main()
