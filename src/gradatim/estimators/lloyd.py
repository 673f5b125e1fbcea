"""One step of Lloyd's algorithm in one pass over the rows: nearest centre and the sums of the members together.

The nearest centre of x is that of the largest x·c − ½‖c‖², found by `score_tiles` without leaving the registers. The
sums of the members are kept from step to step: only a row that changes its centre is subtracted from one sum and added
to another. And a row that was clearly nearer to its own centre than to all others is not even multiplied, as long as
the centres have moved less since than the difference: the labels are the same, late steps cost little.
Source: Lloyd, Least squares quantization in PCM (1982); Hamerly, Making k-means even faster (2010).
"""

from dataclasses import dataclass
from typing import Any

import numba
import numpy as np
import scipy.sparse

from gradatim.estimators.lloyd_sparse import own_squares_sparse, pass_sparse
from gradatim.estimators.row_threads import in_parts
from gradatim.estimators.score_blocks import pack_groups, pass_blocks, turn, turned_blocks
from gradatim.estimators.score_tiles import ROWS, WIDE, best_of_tile, pack

# Rows whose tiles are multiplied before the next ones are loaded: they and a tile of centres fit in the second-level
# cache (rows · columns · 4 bytes).
PANEL_VALUES = 32_768
# Centres times columns up to which multiplying every row beats the bounds that spare some, as measured.
FEW = 1024
# Sums may be added in another order and multiplications fused, so that they vectorise; infinities stay what they are.
REORDER = {"reassoc", "contract"}


@dataclass(frozen=True, slots=True)
class Frame:
    """Coordinates (x − shift)·scale in which rows have mean about zero and squares neither overflow nor vanish.

    shift (d,) in the number format of the rows; scale is a power of two, which changes no digit.
    """

    shift: np.ndarray
    scale: float

    @classmethod
    def of(cls, X: Any) -> "Frame":
        """The frame of rows (n, d); sparse rows keep their origin."""
        if scipy.sparse.issparse(X):
            return cls(np.zeros(X.shape[1], X.dtype), _power(float(np.abs(X.data).max(initial=0.0)), X.dtype))
        parts = in_parts(X.shape[0], X.size, lambda _, low, high: _summary(X[low:high]))
        shift = (sum(part[0] for part in parts) / X.shape[0]).astype(X.dtype)
        lowest, highest = np.min([part[1] for part in parts], axis=0), np.max([part[2] for part in parts], axis=0)
        return cls(shift, _power(float(max(np.abs(highest - shift).max(), np.abs(lowest - shift).max())), X.dtype))

    def into(self, points: Any) -> np.ndarray:
        """Points (k, d) of the user in these coordinates, float64."""
        return (np.asarray(points, dtype=np.float64) - self.shift) * self.scale

    def back(self, points: np.ndarray) -> np.ndarray:
        """Points of these coordinates in the user's, in the number format of the rows."""
        return (points / self.scale + self.shift).astype(self.shift.dtype)


@numba.njit(cache=True, nogil=True)
def _summary(x):  # type: ignore[no-untyped-def]
    """Sums, lowest and highest values of the columns."""
    sums, lowest, highest = np.zeros(x.shape[1]), x[0].copy(), x[0].copy()
    for row in range(x.shape[0]):
        for j in range(x.shape[1]):
            value = x[row, j]
            sums[j] += value
            lowest[j] = min(lowest[j], value)
            highest[j] = max(highest[j], value)
    return sums, lowest, highest


def _power(largest: float, dtype: np.dtype) -> float:
    limit = 1e9 if dtype == np.float32 else 1e90
    if largest == 0 or not np.isfinite(largest) or 1 / limit < largest < limit:
        return 1.0
    return float(2.0 ** -np.floor(np.log2(largest)))


class Partition:
    """Which centre each row belongs to, with the sums (k, d) and weights (k,) of the members, float64.

    X (n, d) C-contiguous or CSR, float32 or float64; weights (n,) or None for ones; centres and sums are in the
    coordinates of the frame, float64.
    """

    def __init__(self, X: Any, frame: Frame, weights: np.ndarray | None, clusters: int) -> None:
        rows = X.shape[0]
        self.X, self.frame, self.weights = X, frame, np.empty(0) if weights is None else weights
        self.labels = np.full(rows, -1, dtype=np.int32)
        self.sums = np.zeros((clusters, X.shape[1]))
        self.masses = np.zeros(clusters)
        self._centres: np.ndarray | None = None
        few = not scipy.sparse.issparse(X) and 0 < clusters * X.shape[1] <= FEW
        self._blocks = _turned(X, frame) if few else None
        if self._blocks is not None:
            return
        self.norms = np.sqrt(squared_lengths(X, frame))
        # A row is nearer than `upper` to its own centre and farther than `lower` from every other one.
        self.upper, self.lower = np.full(rows, np.inf, np.float32), np.zeros(rows, np.float32)

    def assign(self, centres: np.ndarray) -> int:
        """Move every row to its nearest centre and keep sums and masses up; the number of rows that moved."""
        if self._blocks is not None:
            moved, sums, masses = _share_blocks(self, self._blocks, centres)
            self.sums += sums
            self.masses += masses
            return moved
        if self._centres is None:
            drifts = np.zeros(len(centres))
        else:
            drifts = np.sqrt(((centres - self._centres) ** 2).sum(1)) * (1 + 1e-6)
        self._centres = centres.copy()
        moved, sums, masses = _share(self, centres, drifts)
        self.sums += sums
        self.masses += masses
        return moved

    def give(self, rows: np.ndarray, clusters: np.ndarray) -> None:
        """Put rows into other clusters, one each; sums and masses follow."""
        for row, cluster in zip(rows.tolist(), clusters.tolist()):
            weight = self.weights[row] if self.weights.size else 1.0
            value = self.X[[row]].toarray()[0] if scipy.sparse.issparse(self.X) else self.X[row]
            value = self.frame.into(value) * weight
            self.sums[self.labels[row]] -= value
            self.masses[self.labels[row]] -= weight
            self.sums[cluster] += value
            self.masses[cluster] += weight
            self.labels[row] = cluster
            if self._blocks is None:
                self.upper[row], self.lower[row] = np.inf, 0.0

    def recount(self) -> None:
        """Sums and masses from the labels alone: rows much larger than the others may have left rounding errors."""
        rows, clusters = self.X.shape[0], len(self.masses)
        entries = self.weights if self.weights.size else np.ones(rows)
        self.masses = np.bincount(self.labels, entries, minlength=clusters).astype(np.float64)
        if not scipy.sparse.issparse(self.X):
            shift, scale = self.frame.shift, self.X.dtype.type(self.frame.scale)
            self.sums = _sums(self.X, shift, scale, self.labels, entries, clusters)
            return
        chooser = scipy.sparse.csr_matrix((entries, (self.labels, np.arange(rows))), shape=(clusters, rows))
        self.sums = np.asarray((chooser @ self.X).toarray(), dtype=np.float64) * self.frame.scale

    def means(self, centres: np.ndarray) -> np.ndarray:
        """Mean of the members; where there are none, the old centre."""
        out = centres.copy()
        alive = self.masses > 0
        out[alive] = self.sums[alive] / self.masses[alive, None]
        return out

    def squares(self, centres: np.ndarray) -> np.ndarray:
        """Exact squared distance (n,) of every row to its own centre; differences first, so that nothing cancels."""
        return own_squares(self.X, self.frame, centres, self.labels)


def nearest(X: Any, centres: np.ndarray) -> np.ndarray:
    """The nearest of the centres (k, d) to every row of X (n, d), int32 (n,)."""
    largest = max(float(np.abs(centres).max()), float(np.abs(X.data if scipy.sparse.issparse(X) else X).max(initial=0)))
    shift = np.zeros(X.shape[1]) if scipy.sparse.issparse(X) else centres.mean(axis=0, dtype=np.float64)
    partition = Partition(X, Frame(shift.astype(X.dtype), _power(largest, X.dtype)), None, 0)
    _share(partition, partition.frame.into(centres), np.zeros(len(centres)))
    return partition.labels


def _turned(X: np.ndarray, frame: Frame) -> np.ndarray:
    """The rows in the frame, turned block by block: a second copy of them, read front to back in every step."""
    blocks, scale = turned_blocks(X), X.dtype.type(frame.scale)
    in_parts(len(blocks), X.size, lambda _, low, high: turn(X, frame.shift, scale, blocks, low, high))
    return blocks


def _share_blocks(
    partition: Partition, blocks: np.ndarray, centres: np.ndarray
) -> tuple[int, np.ndarray, np.ndarray]:
    """`_share` where there are few centres of few columns."""
    squares = np.einsum("ij,ij->i", centres, centres, dtype=np.float64)
    packed = pack_groups(centres, -squares / 2, blocks.dtype)

    def part(_: int, low: int, high: int) -> tuple[int, np.ndarray, np.ndarray]:
        sums, masses = np.zeros(centres.shape), np.zeros(len(centres))
        moved = pass_blocks(blocks, low, high, packed, partition.labels, partition.weights, sums, masses)
        return moved, sums, masses

    moved, sums, masses = zip(*in_parts(len(blocks), blocks.size * (len(centres) / 16 + 1), part))
    return sum(moved), np.sum(sums, axis=0), np.sum(masses, axis=0)


def _share(partition: Partition, centres: np.ndarray, drifts: np.ndarray) -> tuple[int, np.ndarray, np.ndarray]:
    """Pass over the rows in threads: rows moved, changes of sums, changes of masses."""
    X, labels, weights, keep = partition.X, partition.labels, partition.weights, partition.sums.size > 0
    count, columns = centres.shape
    squares = np.einsum("ij,ij->i", centres, centres, dtype=np.float64)
    longest = float(np.sqrt(squares.max()))
    # Largest error of a computed score, relative to the longest row and centre (Higham, 2002, section 3.1).
    error = (columns + 8) * float(np.finfo(X.dtype).eps) / 2
    order = np.argsort(drifts)
    others = np.full(count, drifts[order[-1]])
    others[order[-1]] = drifts[order[-2]] if count > 1 else 0.0
    sparse = scipy.sparse.issparse(X)
    packed, vectors = pack(centres, -squares / 2, X.dtype)
    turned = np.ascontiguousarray(centres.T * partition.frame.scale, dtype=X.dtype)
    offsets, shift, scale = (-squares / 2).astype(X.dtype), partition.frame.shift, X.dtype.type(partition.frame.scale)

    def part(_: int, low: int, high: int) -> tuple[int, np.ndarray, np.ndarray]:
        sums, masses = np.zeros((count, columns) if keep else (0, 0)), np.zeros(count)
        bounds = partition.upper[low:high], partition.lower[low:high], partition.norms[low:high]
        motion = drifts, others, longest, error
        mine = labels[low:high], weights[low:high]
        if sparse:
            moved = pass_sparse(
                X.data, X.indices, X.indptr[low : high + 1], scale, turned, offsets, *bounds, *motion, *mine,
                sums, masses,
            )  # fmt: skip
        else:
            moved = _pass(X[low:high], shift, scale, packed, vectors, centres, *bounds, *motion, *mine, sums, masses)
        return moved, sums, masses

    elements = X.nnz if sparse else X.size
    results = in_parts(X.shape[0], elements * (count / 16 + 1), part)
    moved, sums, masses = zip(*results)
    return sum(moved), np.sum(sums, axis=0), np.sum(masses, axis=0)


@numba.njit(cache=True, nogil=True, fastmath=REORDER)
def _pass(  # type: ignore[no-untyped-def]
    x, shift, scale, packed, vectors, centres, upper, lower, norms, drifts, others, longest, error,
    labels, weights, sums, masses,
):  # fmt: skip
    """Nearest centres of the rows x and what that changes in sums and masses; how many rows moved."""
    rows, columns = x.shape
    panel = max(ROWS, min(PANEL_VALUES // max(columns, 1) // ROWS, 12) * ROWS)
    gathered, chosen = np.zeros((panel, columns), x.dtype), np.empty(panel, np.int64)
    best, second, best_at = np.empty(panel, x.dtype), np.empty(panel, x.dtype), np.empty(panel, np.int32)
    values, seconds, places = np.empty(panel, x.dtype), np.empty(panel, x.dtype), np.empty(panel, np.int32)
    lengths, near, far = np.empty(panel), np.empty(panel), np.empty(panel)
    moved = filled = 0
    for row in range(rows):
        own = labels[row]
        above, below = np.inf, 0.0
        if own >= 0:
            # Hamerly's bounds follow the centres' motion; before they fail the distance to the own centre is computed.
            above, below = np.float64(upper[row]) + drifts[own], np.float64(lower[row]) - others[own]
            if above >= below and above - 2 * drifts[own] < below:
                total = 0.0
                for j in range(columns):
                    step = (np.float64(x[row, j]) - shift[j]) * scale - centres[own, j]
                    total += step * step
                above = np.sqrt(total)
            upper[row], lower[row] = above * (1 + 1e-6), below - 1e-6 * abs(below)
        if above >= below:
            for j in range(columns):
                gathered[filled, j] = (x[row, j] - shift[j]) * scale
            chosen[filled], lengths[filled] = row, norms[row]
            filled += 1
        if filled == panel or (row == rows - 1 and filled):
            for start in range(0, filled, ROWS):
                _best_of_rows(gathered, start, packed, 0, vectors, best, second, best_at)
            for tile in range(1, packed.shape[0]):
                for start in range(0, filled, ROWS):
                    _best_of_rows(gathered, start, packed, tile, vectors, values, seconds, places)
                _merge(best, second, best_at, values, seconds, places, tile * packed.shape[2], filled)
            for r in range(filled):
                slack = 2 * error * longest * (lengths[r] + longest)
                own_square = lengths[r] * lengths[r] - 2 * best[r] + slack
                other_square = lengths[r] * lengths[r] - 2 * second[r] - slack
                near[r] = np.sqrt(max(own_square, 0.0)) * (1 + 1e-6)
                far[r] = np.sqrt(max(other_square, 0.0)) * (1 - 1e-6)
            for r in range(filled):
                at = chosen[r]
                upper[at], lower[at] = near[r], far[r]
                if labels[at] != best_at[r]:
                    moved += 1
                    if sums.size:
                        weight = weights[at] if weights.size else 1.0
                        _move(gathered, r, best_at[r], labels[at], weight, sums, masses)
                    labels[at] = best_at[r]
            filled = 0
    return moved


@numba.njit(nogil=True)
def _merge(best, second, best_at, values, seconds, places, first, count):  # type: ignore[no-untyped-def]
    """Bring the best of one more tile, whose first centre is `first`, into the best so far."""
    for r in range(count):
        if values[r] > best[r]:
            second[r] = max(best[r], seconds[r])
            best[r], best_at[r] = values[r], first + places[r]
        else:
            second[r] = max(second[r], values[r])


@numba.njit(nogil=True)
def _best_of_rows(x, row, packed, tile, vectors, values, seconds, places):  # type: ignore[no-untyped-def]
    """Best scores of ROWS rows over one tile; each width has instructions of its own."""
    if vectors == 1:
        for r in range(row, row + ROWS, 4):
            best_of_tile(x, r, packed, tile, values, seconds, places, 4, 1)
    elif vectors == 2:
        for r in range(row, row + ROWS, 4):
            best_of_tile(x, r, packed, tile, values, seconds, places, 4, 2)
    elif WIDE and vectors == 7:
        for r in range(row, row + ROWS, 3):
            best_of_tile(x, r, packed, tile, values, seconds, places, 3, 7)
    elif WIDE:
        for r in range(row, row + ROWS, 4):
            if vectors == 3:
                best_of_tile(x, r, packed, tile, values, seconds, places, 4, 3)
            elif vectors == 4:
                best_of_tile(x, r, packed, tile, values, seconds, places, 4, 4)
            elif vectors == 5:
                best_of_tile(x, r, packed, tile, values, seconds, places, 4, 5)
            elif vectors == 6:
                best_of_tile(x, r, packed, tile, values, seconds, places, 4, 6)


@numba.njit(nogil=True)
def _move(x, row, new, old, weight, sums, masses):  # type: ignore[no-untyped-def]
    masses[new] += weight
    for j in range(x.shape[1]):
        sums[new, j] += weight * x[row, j]
    if old >= 0:
        masses[old] -= weight
        for j in range(x.shape[1]):
            sums[old, j] -= weight * x[row, j]


@numba.njit(cache=True, nogil=True)
def _sums(x, shift, scale, labels, weights, clusters):  # type: ignore[no-untyped-def]
    sums = np.zeros((clusters, x.shape[1]))
    for row in range(x.shape[0]):
        own, weight = labels[row], weights[row]
        for j in range(x.shape[1]):
            sums[own, j] += weight * ((np.float64(x[row, j]) - shift[j]) * scale)
    return sums


def squared_lengths(X: Any, frame: Frame) -> np.ndarray:
    """‖x‖² (n,) in the frame, float64."""
    labels = np.zeros(X.shape[0], dtype=np.int32)
    return own_squares(X, frame, np.zeros((1, X.shape[1])), labels)


def own_squares(X: Any, frame: Frame, centres: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """‖xᵢ − c(labelᵢ)‖² (n,) float64 in the frame."""
    out = np.empty(X.shape[0])
    if scipy.sparse.issparse(X):
        whole = np.einsum("ij,ij->i", centres, centres)
        own_squares_sparse(X.data, X.indices, X.indptr, frame.scale, centres, whole, labels, out)
        return out
    scale = X.dtype.type(frame.scale)

    def part(_: int, low: int, high: int) -> None:
        _own_squares(X[low:high], frame.shift, scale, centres, labels[low:high], out[low:high])

    in_parts(X.shape[0], X.size, part)
    return out


@numba.njit(cache=True, nogil=True, fastmath=REORDER)
def _own_squares(x, shift, scale, centres, labels, out):  # type: ignore[no-untyped-def]
    for row in range(x.shape[0]):
        total = 0.0
        own = labels[row]
        for j in range(x.shape[1]):
            step = (np.float64(x[row, j]) - shift[j]) * scale - centres[own, j]
            total += step * step
        out[row] = total
