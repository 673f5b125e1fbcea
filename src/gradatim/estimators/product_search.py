"""Exact Euclidean nearest neighbours by matrix products in few digits, proved query by query.

Rows and queries are rounded (to int8 where all values lie on a grid of 256, as bytes of pictures do, else to bfloat16
or float32), all their products are taken at the speed of that format, and a few more than k candidates are kept. Their
distances are then computed exactly. Rounding moves a row by a known length, so a row that was not kept is at least
(last kept rounded distance − what query and row were moved by) away: where the exact k-th distance is smaller, the
answer is proved. The few queries without a proof are searched in float64.
What to notice: the triangle inequality turns a fast approximate search into an exact one, and equal distances come out
in the order of the rows whatever the format.
Source: the idea of filter and refine: Korn et al., Fast nearest neighbor search in medical image databases (1996).
"""

from dataclasses import dataclass
from typing import Any

import numba
import numpy as np

from gradatim.estimators.distances import EUCLIDEAN, distances_to, search_all
from gradatim.estimators.likelihood import fast_products
from gradatim.estimators.row_threads import in_parts

# Queries and rows of one product (measured: with few columns the products themselves should stay in the cache).
QUERY_BLOCK, ROW_BLOCK, ROW_BLOCK_OF_FEW_COLUMNS = 1024, 2048, 1024
# Candidates kept beyond k.
SPARE = 12
# Below so many pairs of query and row all distances are computed at once.
FEW_PAIRS = 1_000_000
# Steps per unit of grids that are tried: whole numbers, and bytes scaled to 0 … 1.
GRIDS = (1.0, 255.0)


@dataclass(frozen=True, slots=True)
class RoundedRows:
    """Rows (x − shift)·scale rounded to a format: values, a tensor (n, d); norms (n,) of the rounded rows; moved (n,):
    the distance between a row and what it was rounded to; both in rounded units.
    """

    values: Any
    norms: np.ndarray
    moved: np.ndarray


def choose_format(X: np.ndarray) -> str:
    """ "int8", "bfloat16" or "float32": the fastest format of this machine that keeps the rows apart."""
    if _grid_step(X):
        return "int8"
    from gradatim.device import native_bfloat16

    return "bfloat16" if native_bfloat16("cpu")[0] and X.shape[1] >= 32 else "float32"


def _grid_step(X: np.ndarray) -> float:
    """Steps per unit of a grid of at most 256 steps on which all values lie; 0 where there is none."""
    low, high = float(X.min()), float(X.max())
    for steps in GRIDS:
        if (high - low) * steps < 255.5 and abs(low * steps) < 2**20:
            tolerance = 4 * float(np.finfo(X.dtype).eps) * max(abs(low), abs(high)) * steps
            if _off_grid(X[:: max(1, len(X) // 256)], steps) <= max(tolerance, 1e-9):
                return steps  # where other rows lie off the grid, their distance from it is known
    return 0.0


@numba.njit(cache=True, nogil=True, fastmath={"nnan"})
def _off_grid(x, steps):  # type: ignore[no-untyped-def]
    worst = 0.0
    for row in range(x.shape[0]):
        for j in range(x.shape[1]):
            value = np.float64(x[row, j]) * steps
            worst = max(worst, abs(value - np.rint(value)))
    return worst


@numba.njit(cache=True, nogil=True, fastmath={"nnan", "nsz", "contract"})
def _scaled(x, shift, scale, lowest, highest, out):  # type: ignore[no-untyped-def]
    """(x − shift)·scale, on a grid where lowest < highest."""
    for row in range(x.shape[0]):
        for j in range(x.shape[1]):
            value = (np.float64(x[row, j]) - shift[j]) * scale
            out[row, j] = min(max(np.rint(value), lowest), highest) if lowest < highest else value


@numba.njit(cache=True, nogil=True, fastmath={"reassoc", "contract"})
def _measure(x, shift, scale, values, norms, moved):  # type: ignore[no-untyped-def]
    """Norms of the rounded rows and their distances from the exact ones."""
    for row in range(x.shape[0]):
        norm = off = 0.0
        for j in range(x.shape[1]):
            value = np.float64(values[row, j])
            step = (np.float64(x[row, j]) - shift[j]) * scale - value
            norm += value * value
            off += step * step
        norms[row], moved[row] = np.sqrt(norm), np.sqrt(off)


class ProductSearch:
    """Rows X (n, d), float32 or float64, prepared for many queries."""

    def __init__(self, X: np.ndarray, format: str | None = None) -> None:
        self.X = X
        self.format = format or choose_format(X)
        if self.format == "int8":
            self.scale = _grid_step(X)
            self.shift = np.full(X.shape[1], (np.rint(float(X.min()) * self.scale) + 128) / self.scale)
        else:
            self.shift = X.mean(axis=0, dtype=np.float64)
            spread = float(max(np.abs(X.max(axis=0) - self.shift).max(), np.abs(X.min(axis=0) - self.shift).max()))
            self.scale = float(2.0 ** -np.floor(np.log2(spread))) if spread > 0 else 1.0
        self.rows = self._round(X)
        self.halves = (self.rows.norms**2 / 2).astype(np.float32)
        self._finer: ProductSearch | None = None

    def _round(self, X: np.ndarray) -> RoundedRows:
        """Rows in the format, and how far each was moved."""
        import torch

        grid = self.format == "int8"
        values = torch.empty(X.shape, dtype=getattr(torch, self.format))
        norms, moved = np.empty(len(X)), np.empty(len(X))

        def part(_: int, low: int, high: int) -> None:
            for row in range(low, high, 512):
                inside = slice(row, min(row + 512, high))
                exact = np.empty((inside.stop - row, X.shape[1]), dtype=np.int8 if grid else np.float32)
                _scaled(X[inside], self.shift, self.scale, *((-128.0, 127.0) if grid else (0.0, 0.0)), exact)
                values[inside] = torch.from_numpy(exact).to(values.dtype)
                back = exact if grid else values[inside].float().numpy()
                _measure(X[inside], self.shift, self.scale, back, norms[inside], moved[inside])

        in_parts(len(X), float(X.size), part)
        return RoundedRows(values, norms, moved)

    def search(self, queries: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        """Squared distances and rows (q, k) of the nearest rows; of equal distances the lower row comes first."""
        distances, rows = np.empty((len(queries), k)), np.empty((len(queries), k), dtype=np.int64)
        kept = min(len(self.X), k + SPARE)
        with fast_products(self.X):
            for low in range(0, len(queries), QUERY_BLOCK):
                block = queries[low : low + QUERY_BLOCK]
                found, order, proved = self._search_block(block, k, kept)
                if not proved.all():
                    found[~proved], order[~proved] = self._search_finer(block[~proved], k)
                distances[low : low + QUERY_BLOCK], rows[low : low + QUERY_BLOCK] = found, order
        return distances, rows

    def _search_finer(self, queries: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        """Queries without a proof: with more digits, and then (many equal distances) by looking at all rows."""
        if self.format == "float32" or len(queries) * len(self.X) < FEW_PAIRS:
            return search_all(self.X, queries, k, EUCLIDEAN, 2)
        if self._finer is None:
            self._finer = ProductSearch(self.X, "float32")
        return self._finer.search(queries, k)

    def _search_block(self, queries: np.ndarray, k: int, kept: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        import torch

        mine = self._round(queries)
        scores = np.full((len(queries), kept), -np.inf, dtype=np.float32)
        candidates = np.full((len(queries), kept), -1, dtype=np.int64)
        step = ROW_BLOCK if self.X.shape[1] >= 64 else ROW_BLOCK_OF_FEW_COLUMNS
        buffer = torch.empty(len(queries), step, dtype=self.rows.values.dtype)
        for low in range(0, len(self.X), step):
            block = self.rows.values[low : low + step]
            if self.format == "int8":
                products = torch._int_mm(mine.values, block.T)
            else:
                whole = len(block) == step
                products = torch.mm(mine.values, block.T, out=buffer) if whole else torch.mm(mine.values, block.T)
                products = products.float()
            self._keep(products.numpy(), low, scores, candidates)
        distances, rows = distances_to(self.X, queries, candidates, k, EUCLIDEAN, 2)
        if kept == len(self.X):
            return distances, rows, np.ones(len(queries), dtype=bool)
        longest = float(self.rows.norms.max())
        # Products of d terms and their sum with ½‖x‖², all rounded; bfloat16 results are rounded once more.
        digits = 2.0**-8 if self.format == "bfloat16" else 0.0
        unit = float(np.finfo(np.float32).eps) * (4 if self.format == "int8" else self.X.shape[1] + 8)
        error = 2 * (unit * (mine.norms + longest) ** 2 + digits * mine.norms * longest)
        nearest_left = np.sqrt(np.maximum(mine.norms**2 - 2.0 * scores[:, -1] - error, 0))
        nearest_left = (nearest_left - mine.moved - float(self.rows.moved.max())) / self.scale * (1 - 1e-6)
        return distances, rows, np.sqrt(distances[:, -1]) < nearest_left

    def _keep(self, products: np.ndarray, low: int, scores: np.ndarray, candidates: np.ndarray) -> None:
        halves = self.halves[low : low + products.shape[1]]

        def part(_: int, first: int, last: int) -> None:
            _keep_best(products[first:last], halves, low, scores[first:last], candidates[first:last])

        in_parts(len(products), float(products.size), part)


@numba.njit(cache=True, nogil=True, fastmath={"nnan", "nsz", "reassoc", "contract"})
def _keep_best(products, halves, low, scores, candidates):  # type: ignore[no-untyped-def]
    """Bring the largest x·q − ½‖x‖² of a block into the sorted best of each query."""
    kept, rows = scores.shape[1], products.shape[1]
    for query in range(products.shape[0]):
        for start in range(0, rows, 128):
            stop = min(start + 128, rows)
            if stop - start == 128 and not _any_above(
                products[query, start:stop], halves[start:stop], scores[query, kept - 1]
            ):
                continue
            for at in range(start, stop):
                score = np.float32(products[query, at]) - halves[at]
                if score > scores[query, kept - 1]:
                    place = kept - 1
                    while place > 0 and scores[query, place - 1] < score:
                        scores[query, place] = scores[query, place - 1]
                        candidates[query, place] = candidates[query, place - 1]
                        place -= 1
                    scores[query, place], candidates[query, place] = score, low + at


@numba.njit(nogil=True, fastmath={"nnan", "nsz", "contract"})
def _any_above(products, halves, least):  # type: ignore[no-untyped-def]
    """Whether one of 128 scores is above `least`: a constant length and a bitwise or become plain vector code."""
    found = np.int32(0)
    for at in range(128):
        found |= np.int32(np.float32(products[at]) - halves[at] > least)
    return found != 0
