"""Random numbers that belong to rows: pure functions of (key, row, purpose, place), whoever else is in the batch.

Counter-based: number j of a row is the output function of SplitMix64 (Steele, Lea and Flood 2014, "Fast splittable
pseudorandom number generators", figure 16; constants of Stafford's variant 13) at the row's own start plus j times the
golden step. Nothing is drawn in sequence, so a batch of any size and order, on any device, gives a row the same.
"""

from functools import lru_cache

import numpy as np
import torch
from scipy.special import ndtri

from gradatim.randomness import Key, seed_of

GOLDEN, FIRST, SECOND = 0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB
SHIFTS = (30, 27, 31)


class RowRandom:
    """The random numbers of some rows under one key, such as (seed, epoch, column).

    rows: int (B,), what the numbers belong to. `purpose` keeps draws apart: equal purposes give equal numbers.

    >>> alone, among = RowRandom(np.array([7]), 0, "photo"), RowRandom(np.array([3, 7]), 0, "photo")
    >>> bool((alone.uniform("angle") == among.uniform("angle")[1]).all())
    True
    """

    def __init__(self, rows: np.ndarray, *key: Key) -> None:
        self.rows = np.asarray(rows, dtype=np.int64).astype(np.uint64)
        self.key = key

    def __len__(self) -> int:
        return len(self.rows)

    def _starts(self, purpose: str) -> np.ndarray:
        base = np.uint64(seed_of(*self.key, purpose))
        return mixed(mixed((self.rows + np.uint64(1)) * np.uint64(GOLDEN)) ^ base)

    def uniform(self, purpose: str, count: int = 1) -> np.ndarray:
        """Numbers in [0, 1), float64 (B, count)."""
        steps = np.arange(1, count + 1, dtype=np.uint64) * np.uint64(GOLDEN)
        words = mixed(self._starts(purpose)[:, None] + steps)
        return (words >> np.uint64(11)).astype(np.float64) * 2.0**-53

    def spread(self, purpose: str, most: float) -> np.ndarray:
        """Numbers from −most to most, float64 (B,)."""
        return (2 * self.uniform(purpose)[:, 0] - 1) * most

    def chance(self, purpose: str, share: float) -> np.ndarray:
        """True with probability `share`, bool (B,)."""
        return self.uniform(purpose)[:, 0] < share

    def normal(self, purpose: str, count: int = 1) -> np.ndarray:
        """Standard normal numbers by the inverse of their distribution function, float64 (B, count)."""
        return ndtri(np.maximum(self.uniform(purpose, count), 2.0**-54))

    def levels(self, purpose: str, count: int, device: torch.device | str = "cpu") -> torch.Tensor:
        """Whole numbers in 0 … 65,535, int64 (B, count), made on the device: the cheap way to very many.

        Four of them share one word of 64 bits.
        """
        words = -(-count // 4)
        if torch.device(device).type == "cpu":
            steps = np.arange(1, words + 1, dtype=np.uint64) * np.uint64(GOLDEN)
            made = mixed(self._starts(purpose)[:, None] + steps).view(np.uint16)
            return torch.from_numpy(made[:, :count].astype(np.int64))
        starts = torch.from_numpy(self._starts(purpose).view(np.int64)).to(device)
        steps_there = torch.arange(1, words + 1, device=device) * _signed(GOLDEN)
        made_there = mixed_there(starts[:, None] + steps_there)
        parts = [(made_there >> (16 * part)) & 0xFFFF for part in range(4)]
        return torch.stack(parts, dim=-1).flatten(1)[:, :count]

    def noise(self, purpose: str, shape: tuple[int, ...], device: torch.device | str = "cpu") -> torch.Tensor:
        """Standard normal float32 (B, *shape) of 65,536 levels, up to ±4.3: enough where the result is rounded."""
        count = int(np.prod(shape))
        if torch.device(device).type == "cpu":
            steps = np.arange(1, -(-count // 4) + 1, dtype=np.uint64) * np.uint64(GOLDEN)
            made = mixed(self._starts(purpose)[:, None] + steps).view(np.uint16)[:, :count]
            return torch.from_numpy(np.take(_quantiles(), made)).view(len(self), *shape)
        table = torch.from_numpy(_quantiles()).to(device)
        return table[self.levels(purpose, count, device)].view(len(self), *shape)


def mixed(words: np.ndarray) -> np.ndarray:
    """The output function of SplitMix64 on uint64 of any shape; `words` is overwritten.

    >>> hex(int(mixed(np.array([0x9E3779B97F4A7C15], dtype=np.uint64))[0]))  # its first number from state 0
    '0xe220a8397b1dcdaf'
    """
    for shift, factor in zip(SHIFTS, (FIRST, SECOND, None)):
        words ^= words >> np.uint64(shift)
        if factor is not None:
            words *= np.uint64(factor)
    return words


def mixed_there(words: torch.Tensor) -> torch.Tensor:
    """The same on int64 tensors, whose bits are taken as unsigned; torch has no such type that multiplies."""
    for shift, factor in zip(SHIFTS, (FIRST, SECOND, None)):
        words = words ^ ((words >> shift) & ((1 << (64 - shift)) - 1))
        if factor is not None:
            words = words * _signed(factor)
    return words


def _signed(word: int) -> int:
    return word - 2**64 if word >= 2**63 else word


@lru_cache(maxsize=1)
def _quantiles() -> np.ndarray:
    """The normal quantiles of the middles of 65,536 equal shares, float32."""
    return ndtri((np.arange(65536) + 0.5) / 65536).astype(np.float32)
