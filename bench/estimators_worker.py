"""One workload of the estimators' benchmark in a process of its own: what has run before leaves no memory, no threads.

`python -m bench.estimators_worker JSON` with {"topic", "workload", "size", "turns", "left_out"} times all contenders in
turns; with "alone": NAME it calls that one once, and once more, and measures memory. The answer is the last line.
"""

import json
import resource
import sys
import time
import warnings
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

from bench.side_by_side import paired_ratio, take_turns
from bench.workloads import Workload


def in_turns(workload: Workload, turns: int, left_out: list[str]) -> dict[str, Any]:
    """Seconds a turn, ratio to ours and quality of each contender."""
    results: dict[str, Any] = {}

    def kept(name: str, work: Callable[[], Any]) -> Callable[[], Any]:
        def call() -> Any:
            results[name] = work()

        return call

    contenders = {name: kept(name, work) for name, work in workload.contenders.items() if name not in left_out}
    timings = take_turns(contenders, turns=turns, budget_seconds=120.0)
    return {
        name: {
            "seconds": timing.median,
            "processor_seconds": timing.processor_median,
            "ratio": paired_ratio(timing.seconds, timings["gradatim"].seconds),
            "processor_ratio": paired_ratio(timing.processor_seconds, timings["gradatim"].processor_seconds),
            "quality": workload.quality(results[name]),
        }
        for name, timing in timings.items()
    }


def alone(work: Callable[[], Any]) -> dict[str, Any]:
    """The first call of a fresh process, the second, and the memory that the first took at its peak."""
    before = _memory("VmRSS")
    try:
        Path("/proc/self/clear_refs").write_text("5")  # the high-water mark starts anew
    except OSError:
        before = max(before, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)
    began = time.perf_counter()
    work()
    first = time.perf_counter() - began
    peak = _memory("VmHWM") - before
    began = time.perf_counter()
    work()
    return {"first": first, "second": time.perf_counter() - began, "megabytes": max(peak, 0) / 1e6}


def _memory(name: str) -> int:
    """A line of /proc/self/status in bytes."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) * 1024
    return 0


def main() -> None:
    """Answer one request."""
    warnings.simplefilter("ignore")
    asked = json.loads(sys.argv[1])
    sweep = import_module(f"bench.workloads.{asked['topic']}").WORKLOADS[asked["workload"]]
    workload = sweep.make(asked["size"])
    if asked.get("alone"):
        answer: dict[str, Any] = alone(workload.contenders[asked["alone"]])
    else:
        answer = {
            "description": workload.description,
            "target": workload.target,
            "contenders": in_turns(workload, asked.get("turns") or workload.turns, asked.get("left_out", [])),
        }
    print(json.dumps(answer))


if __name__ == "__main__":
    main()
