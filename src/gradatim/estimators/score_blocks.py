"""The nearest of few centres for a block of rows at once, a lane of the vector register for each row.

Where there are few centres of few coordinates, finding the largest score of one row across lanes costs more than its
products. Here rows lie turned, block by block (block, column, lane), so that scores of one centre fill a register and
the largest is kept lane by lane. Eight centres are summed at a time: a sum can only be added to every fourth cycle.
Written as LLVM vector instructions, see `score_tiles`.
"""

from typing import Any

import numba
import numpy as np
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from gradatim.estimators.score_tiles import REGISTER_BYTES, ir, lanes

TOGETHER = 8  # centres whose scores are summed at a time


def pack_groups(centres: np.ndarray, offsets: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """Centres (k, d) as groups (k / 8, d + 1, 8); line 0 has the offsets, lowest for padding."""
    count, columns = centres.shape
    out = np.zeros((-(-count // TOGETHER) * TOGETHER, columns + 1), dtype=dtype)
    out[:, 0] = np.finfo(dtype).min
    out[:count, 0], out[:count, 1:] = offsets, centres
    return np.ascontiguousarray(out.reshape(-1, TOGETHER, columns + 1).transpose(0, 2, 1))


def turned_blocks(X: np.ndarray) -> np.ndarray:
    """Room for rows (n, d) turned block by block: (blocks, d, lanes)."""
    width = lanes(X.dtype)
    return np.empty((-(-X.shape[0] // width), X.shape[1], width), dtype=X.dtype)


@numba.njit(cache=True, nogil=True)
def turn(x, shift, scale, blocks, low, high):  # type: ignore[no-untyped-def]
    """Fill the blocks from low to high with (x − shift)·scale; zeros where the rows end."""
    rows, columns = x.shape
    width = blocks.shape[2]
    for block in range(low, high):
        for r in range(width):
            row = block * width + r
            for j in range(columns):
                blocks[block, j, r] = (x[row, j] - shift[j]) * scale if row < rows else 0.0


def _best_of_block(typingctx, blocks, block, packed, places):  # type: ignore[no-untyped-def]
    """Place (lanes,) of the best score of each row of a block: packed[g, 0, c] + Σⱼ row[j] · packed[g, 1 + j, c].

    Of equal scores the first wins. There must be a column and a group.
    """
    signature = types.void(blocks, block, packed, places)

    def generate(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
        _Block(context, builder, signature.args, arguments).write()
        return context.get_dummy_value()

    return signature, generate


best_of_block: Any = intrinsic(_best_of_block)


class _Block:
    """Writes the instructions of one block."""

    def __init__(self, context, builder, kinds, arguments):  # type: ignore[no-untyped-def]
        self.builder = builder
        single = kinds[0].dtype == types.float32
        scalar, self.itemsize = (ir.FloatType(), 4) if single else (ir.DoubleType(), 8)
        self.lanes = REGISTER_BYTES // self.itemsize
        self.vector, self.index = ir.VectorType(scalar, self.lanes), ir.IntType(64)
        self.places = ir.VectorType(ir.IntType(32), self.lanes)
        blocks, packed, places = (
            context.make_array(kinds[number])(context, builder, arguments[number]) for number in (0, 2, 3)
        )
        self.columns = cgutils.unpack_tuple(builder, blocks.shape)[1]
        self.groups = cgutils.unpack_tuple(builder, packed.shape)[0]
        first = builder.mul(arguments[1], builder.mul(self.columns, self.constant(self.lanes)))
        self.rows, self.packed = builder.gep(blocks.data, [first]), packed.data
        self.out = builder.bitcast(places.data, self.places.as_pointer())
        name = f"llvm.fmuladd.v{self.lanes}f{8 * self.itemsize}"
        kind = ir.FunctionType(self.vector, [self.vector] * 3)
        self.multiply_add = cgutils.get_or_insert_function(builder.module, kind, name)

    def constant(self, number):  # type: ignore[no-untyped-def]
        return ir.Constant(self.index, number)

    def spread(self, value):  # type: ignore[no-untyped-def]
        """A vector with the value in all lanes."""
        empty = ir.Constant(ir.VectorType(value.type, self.lanes), ir.Undefined)
        first = self.builder.insert_element(empty, value, ir.Constant(ir.IntType(32), 0))
        return self.builder.shuffle_vector(first, empty, ir.Constant(self.places, [0] * self.lanes))

    def spread_line(self, line):  # type: ignore[no-untyped-def]
        """The eight numbers of a line of the packed centres, each in a register of its own."""
        start = self.builder.mul(line, self.constant(TOGETHER))
        return [
            self.spread(self.builder.load(self.builder.gep(self.packed, [self.builder.add(start, self.constant(c))])))
            for c in range(TOGETHER)
        ]

    def write(self):  # type: ignore[no-untyped-def]
        builder, zero, one = self.builder, self.constant(0), self.constant(1)
        before = builder.block
        outer, inner, compare, after = (
            builder.append_basic_block(name) for name in ("group", "columns", "compare", "done")
        )
        builder.branch(outer)
        builder.position_at_end(outer)
        group, best, place = builder.phi(self.index), builder.phi(self.vector), builder.phi(self.places)
        group.add_incoming(zero, before)
        best.add_incoming(ir.Constant(self.vector, [-float("inf")] * self.lanes), before)
        place.add_incoming(ir.Constant(self.places, [0] * self.lanes), before)
        line = builder.mul(group, builder.add(self.columns, one))
        offsets = self.spread_line(line)
        builder.branch(inner)

        builder.position_at_end(inner)
        column = builder.phi(self.index)
        column.add_incoming(zero, outer)
        sums = [builder.phi(self.vector) for _ in range(TOGETHER)]
        following = builder.add(column, one)
        address = builder.gep(self.rows, [builder.mul(column, self.constant(self.lanes))])
        values = builder.load(builder.bitcast(address, self.vector.as_pointer()), align=self.itemsize)
        centres = self.spread_line(builder.add(line, following))
        added = [builder.call(self.multiply_add, [values, centre, total]) for centre, total in zip(centres, sums)]
        for total, offset, result in zip(sums, offsets, added):
            total.add_incoming(offset, outer)
            total.add_incoming(result, inner)
        column.add_incoming(following, inner)
        builder.cbranch(builder.icmp_signed("<", following, self.columns), inner, compare)

        builder.position_at_end(compare)
        highest, at = best, place
        number = builder.trunc(builder.mul(group, self.constant(TOGETHER)), ir.IntType(32))
        for c in range(TOGETHER):
            higher = builder.fcmp_ordered(">", added[c], highest)
            highest = builder.select(higher, added[c], highest)
            own = self.spread(builder.add(number, ir.Constant(ir.IntType(32), c)))
            at = builder.select(higher, own, at)
        next_group = builder.add(group, one)
        group.add_incoming(next_group, compare)
        best.add_incoming(highest, compare)
        place.add_incoming(at, compare)
        builder.cbranch(builder.icmp_signed("<", next_group, self.groups), outer, after)
        builder.position_at_end(after)
        builder.store(at, self.out, align=4)


@numba.njit(cache=True, nogil=True)
def pass_blocks(blocks, low, high, packed, labels, weights, sums, masses):  # type: ignore[no-untyped-def]
    """Nearest centres of the blocks from low to high and what that changes in sums and masses; how many rows moved."""
    columns, width = blocks.shape[1], blocks.shape[2]
    places = np.zeros(width, np.int32)
    moved = 0
    for block in range(low, high):
        best_of_block(blocks, block, packed, places)
        start = block * width
        size = min(width, labels.size - start)
        differs = 0
        for r in range(size):
            differs |= places[r] ^ labels[start + r]
        if not differs:
            continue
        for r in range(size):
            new, old = places[r], labels[start + r]
            if new == old:
                continue
            moved += 1
            labels[start + r] = new
            weight = weights[start + r] if weights.size else 1.0
            masses[new] += weight
            for j in range(columns):
                sums[new, j] += weight * blocks[block, j, r]
            if old >= 0:
                masses[old] -= weight
                for j in range(columns):
                    sums[old, j] -= weight * blocks[block, j, r]
    return moved
