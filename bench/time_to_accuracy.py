"""Seconds until Fashion-MNIST's test pictures are answered right in 90 and 92 %: ours against the tutorials' programs.

    python -m bench time-to-accuracy [--seeds 3] [--limit 240] [--contenders ...]

Each contender trains in a process of its own, one at a time. After every epoch (ours: after every planned part) its
test accuracy is taken with the clock stopped. Times are of the clock and of the processor, from the first step on; a
contender stops at `--limit` processor seconds of training. Ours: one network of a plan of fixed length, chosen by
nobody on test rows: the plans asked for are `--epochs`.
"""

import argparse
import shlex
import statistics
import sys
from typing import Any

from bench.side_by_side import report
from bench.vision import Worker

TUTORIALS = ("Keras tutorial (torch)", "Keras tutorial (jax)", "PyTorch tutorial")
SHARES = (0.85, 0.90, 0.92)


def measure(name: str, seed: int, options: argparse.Namespace) -> list[dict[str, float]]:
    """A line an epoch: clock, processor seconds and accuracy."""
    worker = Worker(name, str(seed), "", "", options.threads, module="bench.time_to_accuracy_worker")
    try:
        return worker.ask(f"{options.limit} {options.rows}")["epochs"]
    finally:
        worker.close()


def first_time(epochs: list[dict[str, float]], share: float, key: str) -> float | None:
    """Seconds when the accuracy was first reached; None where it was not."""
    return next((epoch[key] for epoch in epochs if epoch["accuracy"] >= share), None)


def row_of(name: str, runs: list[list[dict[str, float]]]) -> dict[str, Any]:
    """One table row: best accuracy and, for each share, the median of the times where every seed reached it."""
    row: dict[str, Any] = {
        "contender": name, "seeds": len(runs),
        "best accuracy": statistics.median(max(e["accuracy"] for e in run) for run in runs),
        "clock s in all": statistics.median(run[-1]["clock"] for run in runs),
    }
    for share in SHARES:
        for key, unit in (("clock", "s"), ("processor", "processor s")):
            times = [first_time(run, share, key) for run in runs]
            reached = [time for time in times if time is not None]
            text = f"{statistics.median(reached):.1f}" if reached else "not reached"
            all_or_none = len(reached) in (0, len(runs))
            row[f"to {share:.0%}, {unit}"] = text if all_or_none else f"{text} ({len(reached)} seeds)"
    return row


def main(arguments: list[str] | None = None) -> None:
    """Measure all that was asked for and print the table."""
    parser = argparse.ArgumentParser(prog="python -m bench time-to-accuracy")
    parser.add_argument("--contenders", nargs="+", default=["gradatim 2", "gradatim 4", "gradatim 8", *TUTORIALS],
                        help="'gradatim N' plans N epochs")  # fmt: skip
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--limit", type=float, default=240, help="processor seconds of training")
    parser.add_argument("--rows", type=int, default=60000, help="training rows: fewer for a quick look")
    parser.add_argument("--threads", type=int, default=2, help="use 1 where other programs share the cores")
    parser.add_argument("--name", default="time_to_accuracy")
    options = parser.parse_args(arguments)
    runs: dict[str, list[list[dict[str, float]]]] = {}
    for seed in range(options.seeds):
        for name in options.contenders:
            try:
                runs.setdefault(name, []).append(measure(name, seed, options))
            except RuntimeError as error:
                print(f"{name}: left out, {str(error).strip().splitlines()[-1:]}", file=sys.stderr)
                continue
            print(name, seed, runs[name][-1][-1], file=sys.stderr, flush=True)
    rows = [row_of(name, found) for name, found in runs.items() if found]
    command = "python -m bench time-to-accuracy " + shlex.join(arguments if arguments is not None else sys.argv[1:])
    print(report(options.name, command.strip(), rows))


if __name__ == "__main__":
    main()
