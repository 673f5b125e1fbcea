"""Cheap features of pictures: which colours, which edges where, which textures, and a thumbnail.

Source: oriented gradients: Dalal and Triggs, Histograms of Oriented Gradients for Human Detection (2005);
local binary patterns: Ojala, Pietikäinen and Mäenpää (2002). What differs: cells are a fixed grid of each
picture, at two scales, so that every picture size gives the same columns, and a cell is normalised once by
its 3 × 3 neighbours instead of once for each of four blocks.
"""

from typing import Any, Self

import numpy as np
import torch
import torch.nn.functional as F
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import check_is_fitted

from gradatim.estimators.features.scale import check_moments, moments, standardised
from gradatim.estimators.validation import damaged, expect_count

ORIENTATIONS = 9
LEVELS = 4
# Chunks of about this many pixels keep the intermediate maps in the cache.
CHUNK_PIXELS = 400_000


def _uniform_patterns() -> torch.Tensor:
    """Number of the pattern of every 8-bit ring: 58 for rings with at most two changes, one for all others."""
    numbers, table = 0, []
    for ring in range(256):
        bits = [ring >> place & 1 for place in range(8)]
        changes = sum(bits[place] != bits[place - 1] for place in range(8))
        table.append(numbers if changes <= 2 else 58)
        numbers += changes <= 2
    return torch.tensor(table)


PATTERNS = _uniform_patterns()


class PictureFeatures(TransformerMixin, BaseEstimator):
    """Standardised float32 rows (n, d) from pictures uint8 (n, C, H, W), C 1 (grey) or 3 (RGB; more are
    ignored).

    d = colours (64 joint RGB bins, or 16 of grey) + 9 orientations · (4² + 8²) cells + 59 binary patterns +
    a thumbnail of 8² · C: 1,035 for RGB, 859 for grey. cells: sides of the grids; binary_patterns: whether
    to count textures; thumbnail: side, 0 for none.
    Fitted: channels_, means_ (d,), scales_ (d,).

    >>> pictures = np.random.default_rng(0).integers(0, 256, (4, 3, 20, 30), dtype=np.uint8)
    >>> PictureFeatures().fit_transform(pictures).shape
    (4, 1035)
    """

    def __init__(self, *, cells: tuple[int, ...] = (4, 8), binary_patterns: bool = True, thumbnail: int = 8) -> None:
        self.cells = cells
        self.binary_patterns = binary_patterns
        self.thumbnail = thumbnail

    def fit(self, X: Any, y: Any = None) -> Self:
        """Learn the mean and deviation of every feature."""
        return self.fit_raw(self.raw(X), channels=_channels(_pictures(X)))

    def fit_transform(self, X: Any, y: Any = None) -> np.ndarray:
        """Learn and return the rows; the pictures are visited once."""
        rows = self.raw(X)
        self.fit_raw(rows, channels=_channels(_pictures(X)))
        return self.standardise(rows)

    def fit_raw(self, rows: np.ndarray, *, channels: int) -> Self:
        """`fit` from what `raw` returned for pictures of so many channels: for folds, which share the raw rows."""
        self.channels_ = 3 if channels >= 3 else 1
        self.means_, self.scales_ = moments(rows)
        return self

    def transform(self, X: Any) -> np.ndarray:
        """Rows (n, d) float32 of pictures of any size with the channels seen in training."""
        check_is_fitted(self)
        if _channels(_pictures(X)) != self.channels_:
            raise ValueError(f"expected pictures with {self.channels_} channels, received {_pictures(X).shape[1]}")
        return self.standardise(self.raw(X))

    def standardise(self, rows: np.ndarray) -> np.ndarray:
        """Raw rows brought to mean zero and deviation one, outliers held back."""
        return standardised(rows, self.means_, self.scales_)

    def raw(self, X: Any) -> np.ndarray:
        """Rows (n, d) float32 before standardising; needs no fit."""
        pictures = _pictures(X)
        channels = _channels(pictures)
        pictures = pictures[:, :channels]
        rows = np.empty((len(pictures), len(self._names(channels))), dtype=np.float32)
        chunk = max(1, CHUNK_PIXELS // max(1, pictures.shape[-2] * pictures.shape[-1]))
        for start in range(0, len(pictures), chunk):
            part = pictures[start : start + chunk]
            scaled = part.float() / 255
            grey = luminance(scaled)
            blocks = [colour_histogram(scaled)]
            blocks += oriented_gradients(grey, tuple(self.cells))
            if self.binary_patterns:
                blocks.append(binary_patterns(grey))
            if self.thumbnail:
                blocks.append(F.adaptive_avg_pool2d(scaled, self.thumbnail).flatten(1))
            torch.cat(blocks, 1, out=torch.from_numpy(rows[start : start + chunk]))
        return rows

    def _names(self, channels: int) -> list[str]:
        grey = channels == 1
        names = [f"{'grey' if grey else 'colour'}:{bin}" for bin in range(16 if grey else LEVELS**3)]
        for side in self.cells:
            places = [f"{row},{column}" for row in range(side) for column in range(side)]
            names += [f"edges{side}:{turn}@{place}" for turn in range(ORIENTATIONS) for place in places]
        if self.binary_patterns:
            names += [f"texture:{pattern}" for pattern in range(59)]
        places = [f"{row},{column}" for row in range(self.thumbnail) for column in range(self.thumbnail)]
        return names + [f"thumbnail:{channel}@{place}" for channel in range(channels) for place in places]

    def get_feature_names_out(self, input_features: Any = None) -> np.ndarray:
        """Name of every column: "edges4:2@0,3" is orientation 2 of the cell in row 0, column 3 of the 4 × 4
        grid.
        """
        check_is_fitted(self)
        return np.array(self._names(self.channels_), dtype=object)

    def check_state(self) -> None:
        """Raise ArtifactError unless the fitted attributes fit together."""
        sides = (*self.cells, self.thumbnail)
        if not all(isinstance(side, int) and 0 <= side <= 256 for side in sides) or 0 in self.cells:
            raise damaged(self, "sides of grids between 1 and 256", repr(sides)[:80])
        if expect_count(self, "channels_") not in (1, 3):
            raise damaged(self, "1 or 3 channels_", repr(self.channels_))
        check_moments(self, len(self._names(self.channels_)))


def _channels(pictures: torch.Tensor) -> int:
    return 3 if pictures.shape[1] >= 3 else 1


def _pictures(X: Any) -> torch.Tensor:
    pictures = X if isinstance(X, torch.Tensor) else torch.from_numpy(np.ascontiguousarray(X))
    if pictures.ndim != 4 or pictures.dtype != torch.uint8 or 0 in pictures.shape[1:]:
        raise ValueError(f"expected pictures as uint8 (n, C, H, W), received {pictures.dtype} {tuple(pictures.shape)}")
    return pictures


def luminance(pictures: torch.Tensor) -> torch.Tensor:
    """Grey value (n, H, W) of pictures (n, C, H, W), by the weights of ITU-R BT.601."""
    if pictures.shape[1] == 1:
        return pictures[:, 0]
    return 0.299 * pictures[:, 0] + 0.587 * pictures[:, 1] + 0.114 * pictures[:, 2]


def colour_histogram(pictures: torch.Tensor) -> torch.Tensor:
    """Square roots of the shares of joint colour bins (n, 64), or of 16 grey bins, from values in 0..1."""
    if pictures.shape[1] == 1:
        bins, count = (pictures[:, 0] * 15.999).long(), 16
    else:
        levels = (pictures * (LEVELS - 0.001)).long()
        bins, count = (levels[:, 0] * LEVELS + levels[:, 1]) * LEVELS + levels[:, 2], LEVELS**3
    return _histogram(bins.flatten(1), count)


def _histogram(bins: torch.Tensor, count: int) -> torch.Tensor:
    """Square roots of the shares (n, count): differences of large and small shares then weigh alike
    (Hellinger).
    """
    offsets = torch.arange(len(bins))[:, None] * count
    totals = torch.bincount((bins + offsets).flatten(), minlength=len(bins) * count).view(len(bins), count)
    return (totals / bins.shape[1]).sqrt()


def oriented_gradients(grey: torch.Tensor, sides: tuple[int, ...]) -> list[torch.Tensor]:
    """Edge strength by orientation in every cell of grids of these sides, each (n, 9 · side²).

    grey (n, H, W) in 0..1. A pixel votes with its gradient's length for the two nearest of nine
    orientations of the half circle; a cell is divided by the root of the mean energy of itself and its
    neighbours.
    """
    padded = F.pad(grey[:, None], (1, 1, 1, 1), mode="replicate")[:, 0]
    across = padded[:, 1:-1, 2:] - padded[:, 1:-1, :-2]
    down = padded[:, 2:, 1:-1] - padded[:, :-2, 1:-1]
    strength = torch.hypot(across, down)
    turn = torch.atan2(down, across) * (ORIENTATIONS / torch.pi)
    turn = torch.where(turn < 0, turn + ORIENTATIONS, turn)
    lower = turn.floor()
    share = strength * (turn - lower)
    first = lower.long() % ORIENTATIONS
    votes = torch.zeros(len(grey), ORIENTATIONS, *grey.shape[1:])
    votes.scatter_(1, first[:, None], (strength - share)[:, None])
    votes.scatter_(1, ((first + 1) % ORIENTATIONS)[:, None], share[:, None])
    out = []
    for side in sides:
        cells = F.adaptive_avg_pool2d(votes, side)
        energy = cells.square().sum(1, keepdim=True)
        around = F.avg_pool2d(energy, 3, 1, 1, count_include_pad=False)
        # 1e-4: the noise of flat areas must not be blown up to the size of edges.
        out.append((cells / (around + 1e-4).sqrt()).flatten(1))
    return out


def binary_patterns(grey: torch.Tensor) -> torch.Tensor:
    """Square roots of the shares (n, 59) of uniform patterns: which of its 8 neighbours are at least as
    bright.
    """
    padded = F.pad(grey[:, None], (1, 1, 1, 1), mode="replicate")[:, 0]
    height, width = grey.shape[1:]
    ring = ((0, 0), (0, 1), (0, 2), (1, 2), (2, 2), (2, 1), (2, 0), (1, 0))
    code = torch.zeros(grey.shape, dtype=torch.uint8)
    for place, (top, left) in enumerate(ring):
        code |= (padded[:, top : top + height, left : left + width] >= grey).to(torch.uint8) << place
    return _histogram(PATTERNS[code.long()].flatten(1), 59)
