"""The classical estimators against their peers: speed at equal quality, growth with size, first call, memory.

`python -m bench estimators [--topic linear …] [--workload NAME …] [--sweep] [--turns N] [--name NAME]`. A topic is a
module of bench/workloads. Each workload runs in a fresh process, its contenders in turns; then each contender once more
alone, in a process of its own, for its first call and its memory, ours also with nothing compiled. The ratio is the
median over turns of the contender's seconds over ours: above one, ours is faster; the processor ratio is that of the
seconds of all threads, which other programs on the machine disturb less.
"""

import argparse
import importlib.util
import json
import math
import os
import subprocess
import sys
import tempfile
from importlib import import_module
from pathlib import Path
from typing import Any

from bench.side_by_side import report

TOPICS = ("linear", "svm", "neighbors", "cluster", "decomposition")
OURS = "gradatim"
# In a sweep a contender whose next size would take longer than this by its own growth is left out, and said so.
PATIENCE_SECONDS = 60.0


def ask(request: dict[str, Any], **environment: str) -> dict[str, Any]:
    """The worker's answer to one request, or {"error": …}."""
    command = [sys.executable, "-m", "bench.estimators_worker", json.dumps(request)]
    surroundings = {**os.environ, "OMP_WAIT_POLICY": "PASSIVE", **environment}
    done = subprocess.run(
        command, capture_output=True, text=True, env=surroundings, cwd=Path(__file__).parent.parent, check=False
    )
    lines = (done.stdout if done.returncode == 0 else done.stderr).strip().splitlines()
    if done.returncode or not lines:
        return {"error": lines[-1] if lines else f"exit code {done.returncode}"}
    return dict(json.loads(lines[-1]))


def compare(topic: str, name: str, turns: int | None) -> list[dict[str, Any]]:
    """The rows of one workload at the size of its target, ours first."""
    request = {"topic": topic, "workload": name, "size": None, "turns": turns}
    answer = ask(request)
    if "error" in answer:
        return [{"workload": f"{topic}: {name}", "contender": f"failed: {answer['error']}"}]
    contenders, target = answer["contenders"], answer["target"]
    best = min((one["ratio"] for other, one in contenders.items() if other != OURS), default=math.inf)
    rows = []
    for contender, one in sorted(contenders.items(), key=lambda item: item[0] != OURS):
        single = ask({**request, "alone": contender})
        row = {
            "workload": f"{topic}: {name}",
            "contender": contender,
            "seconds": one["seconds"],
            "ratio": one["ratio"],
            "processor ratio": one["processor_ratio"],
            **{"quality": quality_text(one["quality"]), "first call": single.get("first")},
            "compiled anew": None,
            "peak MB": single.get("megabytes"),
        }
        if contender == OURS:
            with tempfile.TemporaryDirectory() as empty:
                row["compiled anew"] = ask({**request, "alone": contender}, NUMBA_CACHE_DIR=empty).get("first")
            row["target"] = verdict(best, target)
        rows.append(row)
    print(f"{topic}: {name}: {answer['description']}", file=sys.stderr, flush=True)
    return rows


def verdict(best: float, target: float | None) -> str:
    """The ratio of the best peer beside the wanted one.

    >>> verdict(2.5, 2.4), verdict(2.0, 2.4)
    ('2.50 ≥ 2.4 met', '2.00 < 2.4 missed')
    """
    if target is None:
        return f"{best:.2f}"
    return f"{best:.2f} ≥ {target:g} met" if best >= target else f"{best:.2f} < {target:g} missed"


def quality_text(quality: dict[str, float]) -> str:
    """Numbers of quality in one cell.

    >>> quality_text({"accuracy": 0.912345, "iterations": 12})
    'accuracy 0.91234, iterations 12'
    """
    return ", ".join(f"{name} {value:.5g}" for name, value in quality.items())


def grow(topic: str, name: str, sizes: list[int], turns: int) -> list[dict[str, Any]]:
    """Seconds of each contender by size, the last row the exponents p of seconds ∝ sizeᵖ over the larger half."""
    seconds: dict[str, dict[int, float]] = {}
    left_out: list[str] = []
    rows: list[dict[str, Any]] = []
    for place, size in enumerate(sizes):
        answer = ask({"topic": topic, "workload": name, "size": size, "turns": turns, "left_out": left_out})
        row: dict[str, Any] = {"workload": f"{topic}: {name}", "size": size}
        for contender, one in answer.get("contenders", {}).items():
            row[contender] = one["seconds"]
            seconds.setdefault(contender, {})[size] = one["seconds"]
        peers = [one["ratio"] for contender, one in answer.get("contenders", {}).items() if contender != OURS]
        row["best peer / ours"] = min(peers, default=None)
        if "error" in answer:
            row["note"] = answer["error"]
        rows.append(row)
        if place + 1 < len(sizes):
            for contender, known in seconds.items():
                expected = forecast(known, sizes[place + 1])
                if contender not in left_out and contender != OURS and expected > PATIENCE_SECONDS:
                    left_out.append(contender)
                    row["note"] = f"{contender} left out above: {expected:.0f} s expected"
    exponents = {contender: exponent(known) for contender, known in seconds.items()}
    rows.append({"workload": f"{topic}: {name}", "size": "exponent", **{k: v for k, v in exponents.items() if v}})
    return rows


def exponent(seconds: dict[int, float]) -> float | None:
    """The slope of log seconds against log size by least squares over the larger half of the sizes.

    >>> round(exponent({1: 9.0, 10: 2.0, 100: 200.0, 1000: 20000.0}), 6)
    2.0
    """
    sizes = sorted(seconds)[-max(2, (len(seconds) + 1) // 2) :]
    if len(sizes) < 2:
        return None
    across, up = [math.log(size) for size in sizes], [math.log(seconds[size]) for size in sizes]
    middle, height = sum(across) / len(across), sum(up) / len(up)
    return sum((a - middle) * (b - height) for a, b in zip(across, up)) / sum((a - middle) ** 2 for a in across)


def forecast(seconds: dict[int, float], size: int) -> float:
    """Seconds at a larger size, by the growth so far (linear where only one size is known)."""
    if not seconds:
        return 0.0
    last = max(seconds)
    return seconds[last] * (size / last) ** max(exponent(seconds) or 1.0, 0.0)


def main(arguments: list[str]) -> None:
    """Run the chosen workloads and write the tables."""
    parser = argparse.ArgumentParser(prog="bench estimators", description=(__doc__ or "").partition("\n")[0])
    there = [topic for topic in TOPICS if importlib.util.find_spec(f"bench.workloads.{topic}")]
    parser.add_argument("--topic", nargs="*", choices=there, default=there)
    parser.add_argument("--workload", nargs="*", help="only these, by name")
    parser.add_argument("--sweep", action="store_true", help="growth with size instead of the size of the target")
    parser.add_argument("--turns", type=int, help="turns of each contender")
    parser.add_argument("--name", help="of the result under bench/results")
    chosen = parser.parse_args(arguments)
    rows: list[dict[str, Any]] = []
    for topic in chosen.topic:
        for name, sweep in import_module(f"bench.workloads.{topic}").WORKLOADS.items():
            if chosen.workload and name not in chosen.workload:
                continue
            if not chosen.sweep:
                rows += compare(topic, name, chosen.turns)
            elif sweep.sizes:
                rows += grow(topic, name, list(sweep.sizes), chosen.turns or 2)
    for peer in ("sklearn", "sklearnex", "faiss", "numba"):
        if importlib.util.find_spec(peer):
            import_module(peer)
    kind = "growth" if chosen.sweep else "targets"
    note = "Seconds, medians of turns; ratios: contender over gradatim within a turn. " + (
        "The exponent p of seconds ∝ sizeᵖ is that of the larger half of the sizes." if chosen.sweep else
        "First call: in a fresh process, with what numba has cached on disk; compiled anew: with an empty cache."
    )
    topics = "_".join(chosen.topic) if set(chosen.topic) != set(TOPICS) else "all"
    print(report(chosen.name or f"estimators_{kind}_{topics}", " ".join(["python -m bench estimators", *arguments]),
                 rows, note=note))  # fmt: skip
