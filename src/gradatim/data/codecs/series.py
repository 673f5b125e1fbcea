"""Series: cell ⇄ float32 (channels, steps), each channel with mean 0 and deviation 1 over the training rows.

A missing value inside a series is filled: by the straight line between its neighbours, or, where no value may look
ahead, by the one before it (`fill="causal"`); the loader counts the cells of which that is so ('series-filled'). Where
training rows lack values, a further channel for each says where (1 missing, 0 there).
"""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch

from gradatim.data.batch import Field
from gradatim.data.codecs import checks
from gradatim.data.codecs.sample import sample_of
from gradatim.data.codecs.series_cells import MOST_CHANNELS, read_series
from gradatim.errors import CellError, SchemaError

SAMPLE = 5000  # series that `fit` reads
LONGEST_CHOSEN = 8192  # steps
FILLS = ("linear", "causal")


@dataclass(frozen=True, slots=True)
class Extent:
    """Steps of the whole series, whether its end was cut, and how many of its values were missing and filled."""

    steps: int
    cut: bool
    filled: int = 0


class SeriesCodec:
    """A series of numbers, of one or several channels and any length; see `series_cells` for how a cell is written.

    max_length: steps used at most (None: the longest training series, at most 8,192), what lies beyond is cut and
    counted ('series-cut'); fill: "linear" or "causal"; standardise: False leaves the numbers as they are;
    max_bytes: larger files are refused. Errors: CellError of `read_series`, and 'series-unreadable' for other
    channels than in training; SchemaError when no training series can be read.

    >>> codec = SeriesCodec().fit(["1 2 3", "[4, 5, 6, 7]"])
    >>> codec.encode("1 2 3")[0].round(1).tolist(), codec.max_length
    ([[-1.5, -1.0, -0.5]], 4)
    """

    kind = "series"

    def __init__(self, *, max_length: int | None = None, fill: str = "linear", standardise: bool = True,
                 max_bytes: int = 64 * 2**20) -> None:
        self._max_length = None if max_length is None else checks.whole(max_length, "max_length", 1, 2**24)
        self.fill = checks.choice(fill, "fill", FILLS)
        self.standardise = checks.truth(standardise, "standardise")
        self.max_bytes = checks.whole(max_bytes, "max_bytes", 1, 2**40)
        self.max_length = max_length or LONGEST_CHOSEN
        self.channels, self.flags = 1, False
        self.means, self.deviations = np.zeros(1), np.ones(1)

    def fit(self, cells: Sequence[object], folder: Path | None = None) -> Self:
        """Count the channels, choose max_length, and measure mean and deviation of each channel."""
        found, failure = [], "every cell is missing"
        for cell in sample_of(cells, SAMPLE):
            try:
                series = read_series(cell, folder, max_bytes=self.max_bytes)
            except CellError as error:
                failure = str(error)
                continue
            if series is not None:
                found.append(series)
        if not found:
            raise SchemaError(f"expected a readable series in the training rows, received none ({failure}); write "
                              "them as [1, 2, 3] or 1 2 3, or name .npy or .csv files beside the table")
        channels = Counter(len(series) for series in found)
        self.channels = max(channels, key=lambda count: (channels[count], count))
        kept = [series for series in found if len(series) == self.channels]
        if self._max_length is None:
            self.max_length = min(max(series.shape[1] for series in kept), LONGEST_CHOSEN)
        self.flags = any(np.isnan(series).any() for series in kept)
        self._measure(kept)
        return self

    def _measure(self, found: list[np.ndarray]) -> None:
        counts, totals, squares = np.zeros(self.channels), np.zeros(self.channels), np.zeros(self.channels)
        for series in found:
            there = ~np.isnan(series[:, : self.max_length])
            counts += there.sum(1)
            totals += np.where(there, series[:, : self.max_length], 0.0).sum(1)
        means = totals / counts.clip(1)
        for series in found:
            squares += np.nansum((series[:, : self.max_length] - means[:, None]) ** 2, axis=1)
        deviations = np.sqrt(squares / counts.clip(1))
        if self.standardise:
            usual = deviations > 1e-9 * np.maximum(np.abs(means), 1e-9)  # a constant channel is only shifted
            self.means, self.deviations = means, np.where(usual, deviations, 1.0)
        else:
            self.means, self.deviations = np.zeros(self.channels), np.ones(self.channels)

    def parse(self, cell: object, folder: Path | None = None) -> np.ndarray | None:
        """The numbers of a cell as they are, float64 (channels, steps) with NaN where missing; None for no series."""
        return read_series(cell, folder, max_bytes=self.max_bytes)

    def encode(self, cell: object, folder: Path | None = None) -> tuple[np.ndarray | None, Extent | None]:
        """float32 (channels, or twice as many with flags, steps) and the extent; (None, None) when missing."""
        series = self.parse(cell, folder)
        if series is None:
            return None, None
        if len(series) != self.channels:
            raise CellError("series-unreadable", f"expected {self.channels} channels as in training, received "
                                                 f"{len(series)}; write a list for each channel")
        steps, missing = series.shape[1], np.isnan(series[:, : self.max_length])
        extent = Extent(steps, steps > self.max_length, int(missing.sum()))
        scaled = (series[:, : self.max_length] - self.means[:, None]) / self.deviations[:, None]
        if extent.filled:
            scaled = np.stack([_fill(line, self.fill) for line in scaled])
        parts = [scaled, missing] if self.flags else [scaled]
        return np.clip(np.concatenate(parts), -1e30, 1e30).astype(np.float32), extent

    def stack(self, values: Sequence[np.ndarray | None]) -> dict[str, torch.Tensor]:
        """{"values": float32 (B, channels, steps), "lengths": int64 (B,) steps}; missing cells have length 0."""
        lengths = [0 if value is None else value.shape[1] for value in values]
        stacked = np.zeros((len(values), self.width, max(lengths, default=0) or 1), np.float32)
        for row, value in enumerate(values):
            if value is not None:
                stacked[row, :, : value.shape[1]] = value
        return {"values": torch.from_numpy(stacked), "lengths": torch.tensor(lengths, dtype=torch.int64)}

    def trim(self, field: Field) -> Field:
        """Cut to the longest series in the batch."""
        assert isinstance(field, dict)
        longest = max(int(field["lengths"].max()), 1) if len(field["lengths"]) else 1
        return {"values": field["values"][:, :, :longest], "lengths": field["lengths"]}

    def decode(self, output: Any, context: Extent | None = None) -> list[Any]:
        """The numbers (channels, steps) that an encoded cell, or a network's output, stands for, as plain lists.

        With the extent only the steps that the cell had; of one channel a plain list; flags are left out.
        """
        array = np.asarray(output.detach().cpu() if isinstance(output, torch.Tensor) else output, dtype=np.float64)
        array = array[: self.channels, : None if context is None else context.steps]
        numbers: list[Any] = (array * self.deviations[:, None] + self.means[:, None]).tolist()
        return numbers[0] if self.channels == 1 else numbers

    @property
    def width(self) -> int:
        """Channels of an encoded cell, flags included."""
        return 2 * self.channels if self.flags else self.channels

    def describe(self) -> dict[str, Any]:
        """What an encoder needs: channels with flags, how many of them are values, steps at most."""
        return {"channels": self.width, "values": self.channels, "max_length": self.max_length}

    def cache_key(self) -> str:
        """Codecs with equal keys encode every cell alike."""
        return json.dumps(self.to_json())

    def to_json(self) -> dict[str, Any]:
        """A JSON object that `from_json` reads back."""
        return {
            "kind": self.kind,
            "options": {"max_length": self._max_length, "fill": self.fill, "standardise": self.standardise,
                        "max_bytes": self.max_bytes},
            "fitted": {"max_length": self.max_length, "channels": self.channels, "flags": self.flags,
                       "means": self.means.tolist(), "deviations": self.deviations.tolist()},
        }

    @classmethod
    def from_json(cls, value: Any) -> Self:
        """Read what `to_json` wrote."""
        with checks.reading(cls.kind):
            options, fitted = checks.parts(value, cls.kind)
            codec = cls(**options)
            codec.max_length = checks.whole(fitted["max_length"], "max_length", 1, 2**24)
            codec.channels = checks.whole(fitted["channels"], "channels", 1, MOST_CHANNELS)
            codec.flags = checks.truth(fitted["flags"], "flags")
            codec.means = np.array(checks.reals(fitted["means"], "means", codec.channels))
            codec.deviations = np.array(checks.reals(fitted["deviations"], "deviations", codec.channels, 1e-300))
        return codec


def _fill(line: np.ndarray, how: str) -> np.ndarray:
    """NaN replaced; 0, the training mean, where nothing is known (before the first value for "causal")."""
    missing = np.isnan(line)
    if missing.all():
        return np.zeros_like(line)
    places = np.arange(len(line))
    if how == "linear":
        return np.where(missing, np.interp(places, places[~missing], line[~missing]), line)
    last = np.maximum.accumulate(np.where(missing, -1, places))
    return np.where(last < 0, 0.0, line[last])
