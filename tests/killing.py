"""Commands run in a process of their own, and stopped by a signal once a stage holds its checkpoint."""

import csv
import os
import signal
import subprocess
import sys
import time
from pathlib import Path


def start(arguments: list[str], folder: Path) -> subprocess.Popen[str]:
    """`gradatim` with these arguments in this folder, on one thread."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE"}
    return subprocess.Popen([sys.executable, "-m", "gradatim", *arguments], cwd=folder, env=environment,
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def done(arguments: list[str], folder: Path) -> None:
    """Run to the end, which must be a good one."""
    process = start(arguments, folder)
    _, said = process.communicate(timeout=500)
    assert process.returncode == 0, said


def signalled(process: subprocess.Popen[str], run: Path, stage: str, number: int) -> tuple[int, str]:
    """Send a signal once the stage (a pattern) holds its checkpoint of a second epoch; exit code and standard error."""
    limit = time.monotonic() + 400
    while len(list(run.glob(f"checkpoints/{stage}/checkpoint-*.json"))) < 2 and process.poll() is None:
        assert time.monotonic() < limit, "no checkpoint came"
        time.sleep(0.002)
    process.send_signal(number)
    _, said = process.communicate(timeout=120)
    return process.returncode, said


def killed(arguments: list[str], folder: Path, stage: str) -> None:
    """SIGKILL once the stage of folder/run, a pattern, holds its checkpoint of a second epoch."""
    code, said = signalled(start(arguments, folder), folder / "run", stage, signal.SIGKILL)
    assert code == -signal.SIGKILL, said
    assert not (folder / "run" / "artifact.json").exists()


def history(run: Path) -> list[dict[str, str]]:
    """history.csv without what the clock measured."""
    with open(run / "history.csv", newline="") as file:
        return [{name: cell for name, cell in row.items() if name != "seconds"} for row in csv.DictReader(file)]


def same_files(one: Path, other: Path, names: tuple[str, ...]) -> None:
    """Two finished runs have these files to the bit, their histories too, and no checkpoints are left."""
    for name in names:
        assert (one / name).read_bytes() == (other / name).read_bytes(), name
    assert history(one) == history(other)
    assert not (other / "checkpoints").exists()
