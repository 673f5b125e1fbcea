"""What a run has decided and finished so far, so that a resumed run repeats it instead of measuring anew.

Everything that hangs on the clock (how many folds, the plan of a network) goes through `decide`: computed once,
stored before it is acted upon, read back on resume. The rest is a pure function of the data and the seed.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gradatim.files import read_json, write_json


@dataclass(slots=True)
class Memo:
    """Decisions by name; `folder` None keeps them in memory only."""

    folder: Path | None = None
    decisions: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def open(cls, folder: Path | None) -> "Memo":
        """The memo of a run folder, with what an earlier, interrupted process decided."""
        memo = cls(folder)
        if folder is not None and (folder / "decisions.json").is_file():
            memo.decisions = read_json(folder / "decisions.json")
        return memo

    def decide(self, name: str, compute: Callable[[], Any]) -> Any:
        """The stored decision, or a new one, stored at once. Values are JSON."""
        if name not in self.decisions:
            self.decisions[name] = compute()
            if self.folder is not None:
                write_json(self.folder / "decisions.json", self.decisions)
        return self.decisions[name]

    def known(self, name: str) -> Any:
        """The stored decision; None where there is none yet."""
        return self.decisions.get(name)

    def stage(self, name: str) -> Path | None:
        """The folder in which a stage keeps its checkpoints."""
        return None if self.folder is None else self.folder / name


@dataclass(slots=True)
class Clock:
    """Seconds since the command began, against the seconds it may take."""

    seconds: float
    started: float = field(default_factory=time.perf_counter)
    parts: dict[str, float] = field(default_factory=dict)
    opened: tuple[float, float] = field(default_factory=lambda: (time.perf_counter(), time.process_time()))

    def elapsed(self) -> float:
        """Seconds since the start."""
        return time.perf_counter() - self.started

    def left(self, *, share_kept: float = 0.0) -> float:
        """Seconds left, less a share of the whole that is kept back; never negative."""
        return max(0.0, self.seconds * (1 - share_kept) - self.elapsed())

    def slowness(self) -> float:
        """Seconds that have passed for each second that the processor worked for us: above 1 on a busy machine."""
        passed, worked = time.perf_counter() - self.opened[0], time.process_time() - self.opened[1]
        return max(1.0, passed / max(worked, 1e-3))

    def note(self, part: str, seconds: float) -> None:
        """Book seconds on a part of the work."""
        self.parts[part] = self.parts.get(part, 0.0) + seconds
