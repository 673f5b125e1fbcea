"""How one optimiser fared in a race."""

from dataclasses import dataclass

import numpy as np

Array = np.ndarray


@dataclass(frozen=True, slots=True)
class Run:
    """How one optimiser fared.

    path: (steps + 1, d), cut where it diverged; values: the surface along it; minimum: the
    nearest to its end; verdict: "arrived" (stays within the
    tolerance of a minimum from `steps` on), "hovers" (was there first at `steps`, does not stay), "diverged" (at
    `steps`), "saddle", "hilltop" or "flat" (the gradient is gone and it is no minimum), "wandered off" (over a window's
    width outside the window), "on its way".
    """

    name: str
    learning_rate: float | None
    chosen: str
    equation: str
    path: Array
    values: Array
    distance: float
    minimum: Array
    verdict: str
    steps: int | None

    @property
    def what_happened(self) -> str:
        """The verdict as a person would say it."""
        return {
            "arrived": f"arrived at step {self.steps}",
            "hovers": f"there at step {self.steps}, not to stay",
            "diverged": f"diverged at step {self.steps}",
            "saddle": "stopped at a saddle",
            "hilltop": "stopped on a hilltop",
            "flat": "stopped on flat ground",
        }.get(self.verdict, self.verdict)
