"""Scores of a few rows against many centres, kept in the processor's registers from the first product to the best.

A matrix product would write rows × centres scores to memory only to read them back for the largest. Here a tile of
R rows and V vectors of centres is multiplied in registers, and only the best score and its centre leave them: the
fused assignment of k-means. The tile is written as LLVM vector instructions, which LLVM maps to what the processor
has; numba compiles and caches the functions that use it.
What to notice: each centre vector that is loaded serves R rows, each row value that is loaded serves V vectors.
Source: the register tile of Goto and van de Geijn, Anatomy of high-performance matrix multiplication (2008).
"""

from typing import Any

import numpy as np
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

# numba's own, so that the two never differ.
ir: Any = cgutils.ir


def _register_bytes() -> int:
    """Bytes of the processor's widest vector register, 16 where it does not say."""
    import llvmlite.binding

    try:
        features = llvmlite.binding.get_host_cpu_features()
    except RuntimeError:
        return 16
    return 64 if features.get("avx512f") else 32 if features.get("avx") else 16


REGISTER_BYTES = _register_bytes()
# A tile of 3 rows × 7 vectors of centres has 21 sums, 7 centre vectors and one row value: 29 of 32 registers. Narrow
# tiles take more rows, up to ROWS, because a sum can only be added to every fourth cycle.
WIDE = REGISTER_BYTES == 64
ROWS = 12
WIDEST = 7 if WIDE else 2


def lanes(dtype: np.dtype) -> int:
    """Centres of one vector register."""
    return REGISTER_BYTES // np.dtype(dtype).itemsize


def pack(centres: np.ndarray, offsets: np.ndarray, dtype: np.dtype) -> tuple[np.ndarray, int]:
    """Centres (k, d) as tiles (tiles, d + 1, vectors·lanes), for `best_of_tile`; and the vectors of a tile.

    Line 0 of a tile holds the offsets (k,), the lines after it one coordinate of all its centres. Places without a
    centre have the lowest offset, so that they never win.
    """
    count, columns = centres.shape
    width = lanes(dtype)
    needed = -(-count // width)
    tiles = -(-needed // WIDEST)
    vectors = -(-needed // tiles)
    out = np.zeros((tiles * vectors * width, columns + 1), dtype=dtype)
    out[:, 0] = np.finfo(dtype).min
    out[:count, 0] = offsets
    out[:count, 1:] = centres
    packed = out.reshape(tiles, vectors * width, columns + 1).transpose(0, 2, 1)
    return np.ascontiguousarray(packed), vectors


def _array_pointer(context, builder, kind, value):  # type: ignore[no-untyped-def]
    return context.make_array(kind)(context, builder, value).data


def _best_of_tile(typingctx, x, row, packed, tile, values, seconds, places, rows, vectors):  # type: ignore[no-untyped-def]
    """Best and second score of each of `rows` rows of x (n, d), from `row` on, over one tile, and the best's place.

    score = packed[tile, 0, c] + Σⱼ x[row, j] · packed[tile, 1 + j, c]; written to values, seconds and places at
    row + r. rows and vectors are literal numbers. Of equal scores the first wins.
    """
    if not (isinstance(rows, types.IntegerLiteral) and isinstance(vectors, types.IntegerLiteral)):
        return None
    height, width = rows.literal_value, vectors.literal_value
    signature = types.void(x, row, packed, tile, values, seconds, places, rows, vectors)

    def generate(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
        _Tile(context, builder, signature.args, arguments, height, width).write()
        return context.get_dummy_value()

    return signature, generate


best_of_tile: Any = intrinsic(_best_of_tile)


class _Tile:
    """Writes the instructions of one tile."""

    def __init__(self, context, builder, kinds, arguments, height, width):  # type: ignore[no-untyped-def]
        self.builder, self.height, self.width = builder, height, width
        single = kinds[0].dtype == types.float32
        self.scalar = ir.FloatType() if single else ir.DoubleType()
        self.itemsize = 4 if single else 8
        self.lanes = REGISTER_BYTES // self.itemsize
        self.vector = ir.VectorType(self.scalar, self.lanes)
        self.places = ir.VectorType(ir.IntType(32), self.lanes)
        self.index = ir.IntType(64)
        x, row, packed, tile, values, seconds, places = arguments[:7]
        self.columns = cgutils.unpack_tuple(builder, context.make_array(kinds[0])(context, builder, x).shape)[1]
        self.x = builder.gep(_array_pointer(context, builder, kinds[0], x), [builder.mul(row, self.columns)])
        step = ir.Constant(self.index, width * self.lanes)
        lines = builder.add(self.columns, ir.Constant(self.index, 1))
        start = builder.mul(tile, builder.mul(lines, step))
        self.packed = builder.gep(_array_pointer(context, builder, kinds[2], packed), [start])
        self.step = step
        self.best, self.second, self.best_place = (
            builder.gep(_array_pointer(context, builder, kind, array), [row])
            for kind, array in zip(kinds[4:7], (values, seconds, places))
        )
        suffix = f"v{self.lanes}f{8 * self.itemsize}"
        vector, places = self.vector, self.places
        self.multiply_add = self.declare(f"llvm.fmuladd.{suffix}", vector, [vector] * 3)
        self.largest = self.declare(f"llvm.vector.reduce.fmax.{suffix}", self.scalar, [vector])
        self.smallest_place = self.declare(f"llvm.vector.reduce.umin.v{self.lanes}i32", ir.IntType(32), [places])

    def declare(self, name, result, arguments):  # type: ignore[no-untyped-def]
        """An intrinsic function of LLVM."""
        return cgutils.get_or_insert_function(self.builder.module, ir.FunctionType(result, arguments), name)

    def load(self, pointer, elements):  # type: ignore[no-untyped-def]
        builder = self.builder
        address = builder.bitcast(builder.gep(pointer, [elements]), self.vector.as_pointer())
        return builder.load(address, align=self.itemsize)

    def spread(self, value):  # type: ignore[no-untyped-def]
        """A vector with the value in all lanes."""
        empty = ir.Constant(ir.VectorType(value.type, self.lanes), ir.Undefined)
        first = self.builder.insert_element(empty, value, ir.Constant(ir.IntType(32), 0))
        mask = ir.Constant(ir.VectorType(ir.IntType(32), self.lanes), [0] * self.lanes)
        return self.builder.shuffle_vector(first, empty, mask)

    def constant(self, number):  # type: ignore[no-untyped-def]
        return ir.Constant(self.index, number)

    def write(self):  # type: ignore[no-untyped-def]
        builder = self.builder
        offsets = [self.load(self.packed, self.constant(v * self.lanes)) for v in range(self.width)]
        before = builder.block
        loop, after = builder.append_basic_block("columns"), builder.append_basic_block("best")
        builder.cbranch(builder.icmp_signed(">", self.columns, self.constant(0)), loop, after)
        builder.position_at_end(loop)
        column = builder.phi(self.index)
        column.add_incoming(self.constant(0), before)
        sums = [[builder.phi(self.vector) for _ in range(self.width)] for _ in range(self.height)]
        following = builder.add(column, self.constant(1))
        line = builder.mul(following, self.step)
        centres = [self.load(self.packed, builder.add(line, self.constant(v * self.lanes))) for v in range(self.width)]
        added = []
        for r in range(self.height):
            place = builder.add(builder.mul(self.constant(r), self.columns), column)
            value = self.spread(builder.load(builder.gep(self.x, [place])))
            added.append([builder.call(self.multiply_add, [value, centres[v], sums[r][v]]) for v in range(self.width)])
        for r in range(self.height):
            for v in range(self.width):
                sums[r][v].add_incoming(offsets[v], before)
                sums[r][v].add_incoming(added[r][v], loop)
        column.add_incoming(following, loop)
        builder.cbranch(builder.icmp_signed("<", following, self.columns), loop, after)
        builder.position_at_end(after)
        for r in range(self.height):
            final = []
            for v in range(self.width):
                phi = builder.phi(self.vector)
                phi.add_incoming(offsets[v], before)
                phi.add_incoming(added[r][v], loop)
                final.append(phi)
            added[r] = final
        for r in range(self.height):
            self.keep_best(r, added[r])

    def larger(self, first, second):  # type: ignore[no-untyped-def]
        return self.builder.select(self.builder.fcmp_ordered(">", second, first), second, first)

    def keep_best(self, r, scores):  # type: ignore[no-untyped-def]
        """Write the largest of a row's scores, the next after it, and the place of the largest."""
        builder, at = self.builder, self.constant(r)
        largest, runner_up = scores[0], ir.Constant(self.vector, [-float("inf")] * self.lanes)
        for other in scores[1:]:
            beaten = builder.fcmp_ordered(">", other, largest)
            runner_up = self.larger(runner_up, builder.select(beaten, largest, other))
            largest = builder.select(beaten, other, largest)
        best = builder.call(self.largest, [largest], fastmath=("nnan", "nsz"))
        spread = self.spread(best)
        place = ir.Constant(self.places, [2**31 - 1] * self.lanes)
        for v in reversed(range(self.width)):
            own = ir.Constant(self.places, [v * self.lanes + lane for lane in range(self.lanes)])
            place = builder.select(builder.fcmp_ordered("==", scores[v], spread), own, place)
        first = builder.call(self.smallest_place, [place])
        # In the winner's lane the next best is that lane's runner-up, in the other lanes it is their largest.
        won = builder.icmp_unsigned("==", place, self.spread(first))
        second = builder.call(self.largest, [builder.select(won, runner_up, largest)], fastmath=("nnan", "nsz"))
        builder.store(best, builder.gep(self.best, [at]))
        builder.store(second, builder.gep(self.second, [at]))
        builder.store(first, builder.gep(self.best_place, [at]))
