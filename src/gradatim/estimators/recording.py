"""Keep what an estimator published at each step of its fit, in bounded memory, to draw or to replay it.

A callback of scikit-learn's protocol: `KMeans(3).set_callbacks(recorder).fit(X)`. When the steps are more than fit in
the bounds, every second one is dropped and from then on every second one is kept, so that those left are always evenly
spaced, and the first and the last are among them.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from gradatim.errors import DataError

FORMAT = 1
Value = np.ndarray | bool | int | float | str | None


@dataclass(frozen=True, slots=True)
class Step:
    """The fitted attributes at the end of one task of a fit.

    number: how many tasks had ended before it, kept or not. path: names and numbers of the tasks from the fit down to
    this one, as (("fit", 0), ("start", 2), ("iteration", 7)).
    """

    number: int
    path: tuple[tuple[str, int], ...]
    attributes: Mapping[str, Value]

    @property
    def bytes(self) -> int:
        """Memory of its arrays."""
        return sum(value.nbytes for value in self.attributes.values() if isinstance(value, np.ndarray))


class Recorder:
    """A callback that keeps the published attributes of the last fit.

    most_steps ≥ 2 and most_bytes bound what is kept (the last step is kept beside them); names: only these attributes,
    None for all. Only what ends in an underscore is kept: numbers, strings and copies of arrays, not X and y.
    A clone shares its callbacks, so in a search over settings the last fit is what is kept; steps of fits in other
    processes are not seen.

    >>> from gradatim.estimators.linear import Ridge
    >>> Recorder(most_steps=100).steps
    []
    """

    def __init__(
        self, *, most_steps: int = 256, most_bytes: int = 64 * 2**20, names: tuple[str, ...] | None = None
    ) -> None:
        if most_steps < 2 or most_bytes < 1:
            raise ValueError(
                f"Recorder: expected most_steps ≥ 2 and most_bytes ≥ 1, received {most_steps} and {most_bytes}"
            )
        self.most_steps = most_steps
        self.most_bytes = most_bytes
        self.names = names
        self._clear("", {})

    def _clear(self, estimator: str, parameters: dict[str, Value]) -> None:
        self.estimator, self.parameters = estimator, parameters
        self.published = 0
        self._stride, self._bytes = 1, 0
        self._kept: list[Step] = []
        self._last: Step | None = None
        self._before: dict[str, Any] = {}

    def setup(self, estimator: Any, context: Any) -> None:
        """A fit begins: forget the one before."""
        kind = type(estimator)
        given = estimator.get_params(deep=False) if hasattr(estimator, "get_params") else {}
        parameters = {name: value for name, value in given.items() if _is_plain(value)}
        self._clear(f"{kind.__module__}.{kind.__qualname__}", parameters)
        # A second fit still carries the attributes of the first; they are no part of its steps.
        self._before = {name: value for name, value in vars(estimator).items() if isinstance(value, np.ndarray)}

    def teardown(self, estimator: Any, context: Any) -> None:
        """The fit is over, or failed."""
        self._before = {}

    def on_fit_task_begin(self, estimator: Any, context: Any) -> None:
        """Nothing to keep: the state at the start of a step is that at the end of the one before."""

    def on_fit_task_end(self, estimator: Any, context: Any, *, fitted_estimator: Any = None) -> bool:
        """Keep the attributes; never asks to stop."""
        if fitted_estimator is None:
            return False
        attributes = {
            name: np.array(value) if isinstance(value, np.ndarray) else _plain(value)
            for name, value in vars(fitted_estimator).items()
            if self._wanted(name, value)
        }
        self._keep(Step(self.published, _path(context), attributes))
        self.published += 1
        return False

    def _wanted(self, name: str, value: Any) -> bool:
        if not name.endswith("_") or name.startswith("_") or (self.names is not None and name not in self.names):
            return False
        if isinstance(value, np.ndarray):
            return value.dtype.kind in "biufU" and value is not self._before.get(name)
        return _is_plain(value)

    def _keep(self, step: Step) -> None:
        self._last = step
        if step.number % self._stride:
            return
        self._kept.append(step)
        self._bytes += step.bytes
        while len(self._kept) > 1 and (len(self._kept) > self.most_steps or self._bytes > self.most_bytes):
            self._stride *= 2
            self._kept = [kept for kept in self._kept if kept.number % self._stride == 0]
            self._bytes = sum(kept.bytes for kept in self._kept)

    @property
    def steps(self) -> list[Step]:
        """The steps kept, in the order of the fit."""
        if self._last is None or (self._kept and self._kept[-1] is self._last):
            return list(self._kept)
        return [*self._kept, self._last]

    def values(self, name: str) -> list[tuple[int, Any]]:
        """(number of the step, value) of one attribute, for the steps that published it."""
        return [(step.number, step.attributes[name]) for step in self.steps if name in step.attributes]

    def fitted(self, estimator: Any) -> Iterator[tuple[Step, Any]]:
        """Each step with a copy of the estimator as it was then, ready to predict where the step was complete."""
        import copy

        for step in self.steps:
            then = copy.copy(estimator)
            for name, value in step.attributes.items():
                setattr(then, name, value)
            yield step, then

    def to_json(self) -> dict[str, Any]:
        """The recording as JSON values, for a file or a browser; `from_json` gives it back with equal arrays."""
        return {
            "format": FORMAT,
            "estimator": self.estimator,
            "parameters": {name: _write(value) for name, value in self.parameters.items()},
            "published": self.published,
            "steps": [
                {
                    "number": step.number,
                    "path": [list(part) for part in step.path],
                    "attributes": {name: _write(value) for name, value in step.attributes.items()},
                }
                for step in self.steps
            ],
        }

    @classmethod
    def from_json(cls, value: Any) -> "Recorder":
        """The recording that `to_json` wrote; DataError where it is damaged."""
        try:
            if value["format"] != FORMAT:
                raise DataError(f"recording: expected format {FORMAT}, received {value['format']!r:.40}; record again")
            parameters = {str(name): _read(item) for name, item in value["parameters"].items()}
            steps = [
                Step(
                    int(step["number"]),
                    tuple((str(name), int(number)) for name, number in step["path"]),
                    {str(name): _read(item) for name, item in step["attributes"].items()},
                )
                for step in value["steps"]
            ]
            recorder = cls(most_steps=max(2, len(steps)))
            recorder._clear(str(value["estimator"]), parameters)
            recorder.published = int(value["published"])
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise DataError(f"recording: expected what Recorder.to_json writes, received another ({error})") from None
        recorder._kept, recorder._last = steps, steps[-1] if steps else None
        return recorder


def _path(context: Any) -> tuple[tuple[str, int], ...]:
    above = () if context.parent is None else _path(context.parent)
    return (*above, (str(context.task_name), int(context.task_id)))


def _is_plain(value: Any) -> bool:
    return value is None or isinstance(value, (bool, int, float, str, np.generic))


def _plain(value: Any) -> Value:
    return value.item() if isinstance(value, np.generic) else value


def _write(value: Value) -> Any:
    if isinstance(value, np.ndarray):
        values = [_write(item) for item in value.ravel().tolist()]
        return {"dtype": str(value.dtype), "shape": list(value.shape), "values": values}
    if isinstance(value, float) and not math.isfinite(value):
        return {"number": str(value)}
    return _plain(value)


def _read(value: Any) -> Value:
    if not isinstance(value, dict):
        if not _is_plain(value):
            raise ValueError(f"expected a number, a string or an array, received {value!r:.40}")
        return value
    if "number" in value:
        return float(value["number"])
    dtype = np.dtype(value["dtype"])
    if dtype.kind not in "biufU":
        raise ValueError(f"expected an array of numbers or strings, received {dtype}")
    return np.array([_read(item) for item in value["values"]], dtype=dtype).reshape(value["shape"])
