"""The plan: everything about a training run that is fixed before its first step, and stored with it."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from gradatim.device import Placement
from gradatim.errors import GradatimError
from gradatim.train.optim import OPTIMIZERS
from gradatim.train.schedule import SCHEDULES, Schedule, make_schedule


@dataclass(frozen=True, slots=True)
class Plan:
    """What a run will do. The clock can end it early, but never changes it, so that it can be repeated.

    epochs × steps_per_epoch steps of batch_size rows; optimizer, schedule: by name, with options;
    warmup_steps of linear rise come off the schedule's length; clip_norm: largest gradient norm (None: no
    clipping); accumulate: parts that a batch is computed in, to save memory; norm_every: the gradient norm is
    recorded each so many steps when nothing is clipped; forecast: seconds expected, by part.
    """

    epochs: int
    steps_per_epoch: int
    batch_size: int
    optimizer: str = "adamw"
    learning_rate: float = 1e-3
    weight_decay: float = 0.01
    schedule: str = "cosine"
    warmup_steps: int = 0
    clip_norm: float | None = 1.0
    accumulate: int = 1
    label_smoothing: float = 0.0
    norm_every: int = 8
    seed: int = 0
    placement: Placement = field(default_factory=Placement)
    optimizer_options: dict[str, Any] = field(default_factory=dict)
    schedule_options: dict[str, Any] = field(default_factory=dict)
    forecast: dict[str, float] = field(default_factory=dict)
    reasons: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name in ("epochs", "steps_per_epoch", "batch_size", "accumulate", "norm_every"):
            value = getattr(self, name)
            if not isinstance(value, int) or value < 1:
                raise GradatimError(f"plan: expected {name} to be a whole number of at least 1, received {value!r}")
        if self.optimizer not in OPTIMIZERS:
            raise GradatimError(
                f"plan: expected an optimizer among {', '.join(OPTIMIZERS)}; received '{self.optimizer}'"
            )
        if self.schedule not in SCHEDULES:
            raise GradatimError(f"plan: expected a schedule among {', '.join(SCHEDULES)}; received '{self.schedule}'")
        if not self.learning_rate > 0:
            raise GradatimError(f"plan: expected a learning rate above 0, received {self.learning_rate!r}")
        if self.clip_norm is not None and not self.clip_norm > 0:
            raise GradatimError(f"plan: expected clip_norm above 0 or None, received {self.clip_norm!r}")
        if not 0 <= self.label_smoothing < 1:
            raise GradatimError(f"plan: expected label_smoothing in [0, 1), received {self.label_smoothing!r}")

    @property
    def total_steps(self) -> int:
        """Steps of the whole run."""
        return self.epochs * self.steps_per_epoch

    def factors(self) -> Schedule:
        """The factor on the learning rate at each step."""
        return make_schedule(self.schedule, self.total_steps, warmup=self.warmup_steps, options=self.schedule_options)

    def to_json(self) -> dict[str, Any]:
        """A JSON object that `from_json` reads back."""
        return asdict(self) | {"placement": self.placement.to_json(), "reasons": list(self.reasons)}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> "Plan":
        """Read what `to_json` wrote; raises GradatimError on a missing or unknown field."""
        known = {entry.name for entry in fields(cls)}
        unknown = sorted(set(value) - known)
        if unknown:
            raise GradatimError(f"plan: unknown fields {', '.join(unknown)}; upgrade gradatim")
        try:
            return cls(
                **{
                    **value,
                    "placement": Placement.from_json(value["placement"]),
                    "reasons": tuple(value.get("reasons", ())),
                }
            )
        except (KeyError, TypeError) as error:
            raise GradatimError(f"plan: a field is missing or of the wrong type ({error})") from None
