"""Fair timing on a noisy machine: contenders take turns, A B A B, and medians and ratios within one run count."""

import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results"


@dataclass(slots=True)
class Timing:
    """seconds: of each turn on the clock; processor_seconds: of all threads of this process."""

    seconds: list[float] = field(default_factory=list)
    processor_seconds: list[float] = field(default_factory=list)

    @property
    def median(self) -> float:
        """Median seconds."""
        return statistics.median(self.seconds)

    @property
    def processor_median(self) -> float:
        """Median processor seconds."""
        return statistics.median(self.processor_seconds)


def take_turns(
    contenders: Mapping[str, Callable[[], Any]], *, turns: int = 5, budget_seconds: float = 60.0
) -> dict[str, Timing]:
    """Run each contender once to warm up, then all in turn, the order reversed every other time."""
    for contender in contenders.values():
        contender()
    timings = {name: Timing() for name in contenders}
    began = time.perf_counter()
    for turn in range(turns):
        for name in list(contenders)[:: 1 if turn % 2 == 0 else -1]:
            wall, processor = time.perf_counter(), time.process_time()
            contenders[name]()
            timings[name].seconds.append(time.perf_counter() - wall)
            timings[name].processor_seconds.append(time.process_time() - processor)
        if time.perf_counter() - began > budget_seconds:
            break
    return timings


def paired_ratio(first: list[float], second: list[float]) -> float:
    """Median over turns of first / second: what the two did side by side."""
    return statistics.median(a / b for a, b in zip(first, second))


def machine() -> dict[str, Any]:
    """What the figures depend on."""
    versions = {}
    for name in (
        "torch", "lightning", "pytorch_lightning", "keras", "skorch", "numpy", "sklearn", "sklearnex", "faiss", "numba"
    ):
        module = sys.modules.get(name)
        if module is not None:
            versions[name] = str(getattr(module, "__version__", "?"))
    model = next(
        (line.split(":")[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line),
        platform.processor(),
    )
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, cwd=RESULTS.parent
    ).stdout.strip()
    return {
        "processor": model,
        "cores": os.cpu_count(),
        "load": os.getloadavg()[0],
        "python": platform.python_version(),
        "versions": versions,
        "commit": commit,
        "date": time.strftime("%Y-%m-%d"),
    }


def report(name: str, command: str, rows: list[dict[str, Any]], *, note: str = "") -> str:
    """Write rows as JSON and as a Markdown table under bench/results; the table."""
    RESULTS.mkdir(exist_ok=True)
    about = machine()
    (RESULTS / f"{name}.json").write_text(
        json.dumps({"command": command, "machine": about, "note": note, "rows": rows}, indent=1) + "\n"
    )
    names = list(dict.fromkeys(key for row in rows for key in row))
    lines = [f"`{command}`", ""]
    if note:
        lines += [note, ""]
    lines += ["| " + " | ".join(names) + " |", "|" + " --- |" * len(names)]
    lines += ["| " + " | ".join(_cell(row.get(key)) for key in names) + " |" for row in rows]
    versions = ", ".join(f"{key} {value}" for key, value in about["versions"].items())
    lines += ["", f"{about['processor']}, {about['cores']} cores, load {about['load']:.1f} at the end; {versions}."]
    text = "\n".join(lines) + "\n"
    (RESULTS / f"{name}.md").write_text(text)
    return text


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"
    return str(value)


def to_json(timings: Mapping[str, Timing]) -> dict[str, Any]:
    """Raw seconds by contender."""
    return {name: asdict(timing) for name, timing in timings.items()}
