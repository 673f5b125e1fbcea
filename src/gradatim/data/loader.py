"""From a table to batches: every cell is decoded once, kept in memory where that fits, else decoded again by workers.

A column whose cells fit the budget becomes one Field in memory (uint8 pictures, token ids, log-mel); a batch is then
one row selection. The other columns, largest first, are decoded once to learn which cells are unreadable, and again
for every batch by worker threads, with the same results bit for bit.
"""

import os
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np
import torch

from gradatim.data.batch import Batch, Field
from gradatim.data.codecs import Codec
from gradatim.data.codecs.cell_files import file_cell
from gradatim.data.codecs.columns import encode_column, is_plain
from gradatim.data.table import Table
from gradatim.errors import CellError, DataError
from gradatim.problems import Problems
from gradatim.randomness import generator

CHUNK = 64  # cells encoded between two progress reports
PROBES = 16  # cells encoded to estimate size and time
THREADS_FROM = 4e-4  # seconds a cell: below it threads spend more on taking turns than they gain

Progress = Callable[[int, int], None]


@dataclass(slots=True)
class Encoded:
    """The encoded columns of a table.

    rows: how many; fields: the columns in memory; present: column → bool (N,), False where missing or unreadable;
    streamed: the columns that are decoded anew for every batch; context: column → what undoing needs, one entry a
    row, where any of its cells gave something.
    """

    rows: int
    codecs: dict[str, Codec[Any]]
    fields: dict[str, Field]
    present: dict[str, torch.Tensor]
    streamed: dict[str, "Stream"] = field(default_factory=dict)
    context: dict[str, list[Any]] = field(default_factory=dict)

    def batch(self, rows: np.ndarray, inputs: Sequence[str], targets: Sequence[str] = ()) -> Batch:
        """The given rows of the given columns, padded to the longest cell among them."""
        index = torch.from_numpy(np.ascontiguousarray(rows, dtype=np.int64))
        present: dict[str, torch.Tensor] = {}
        read = {name: self._read(name, index, present) for name in (*inputs, *targets)}
        places = index.tolist()
        context = {name: [self.context[name][row] for row in places] if name in self.context else [None] * len(places)
                   for name in read}
        return Batch(rows, {name: read[name] for name in inputs}, {name: read[name] for name in targets}, present,
                     context)

    def batches(self, order: Iterable[np.ndarray], inputs: Sequence[str], targets: Sequence[str] = (), *,
                ahead: int = 2) -> Iterator[Batch]:
        """A batch for each array of rows, in order; with streamed columns the next `ahead` are read meanwhile."""
        if not any(name in self.streamed for name in (*inputs, *targets)):
            for rows in order:
                yield self.batch(rows, inputs, targets)
            return
        reader = ThreadPoolExecutor(1, thread_name_prefix="gradatim-batch")
        waiting: deque[Future[Batch]] = deque()
        try:
            for rows in order:
                waiting.append(reader.submit(self.batch, rows, inputs, targets))
                if len(waiting) > ahead:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            reader.shutdown(wait=True, cancel_futures=True)

    def _read(self, name: str, index: torch.Tensor, present: dict[str, torch.Tensor]) -> Field:
        there = self._column(self.present, name).index_select(0, index)
        if name in self.streamed:
            values = self.streamed[name].values(index.tolist(), there.tolist())
            present[name] = torch.tensor([value is not None for value in values], dtype=torch.bool)
            chosen = self.codecs[name].stack(values)
        else:
            present[name] = there
            whole = self.fields[name]
            if isinstance(whole, dict):
                chosen = {part: tensor.index_select(0, index) for part, tensor in whole.items()}
            else:
                chosen = whole.index_select(0, index)
        return self.codecs[name].trim(chosen)

    def _column(self, columns: dict[str, torch.Tensor], name: str) -> torch.Tensor:
        if name not in columns:
            raise DataError(f"expected an encoded column among {', '.join(columns)}; received '{name}'")
        return columns[name]


@dataclass(slots=True)
class Stream:
    """A column that is decoded again whenever it is read, by a few threads."""

    cells: list[Any]
    folder: Path | None
    codec: Codec[Any]
    workers: ThreadPoolExecutor | None

    def values(self, rows: list[int], present: list[bool]) -> list[Any]:
        """The encoded cells; None where not present, or not readable any more."""
        return list((map if self.workers is None else self.workers.map)(self._value, rows, present))

    def _value(self, row: int, present: bool) -> Any:
        if not present:
            return None
        try:
            return self.codec.encode(self.cells[row], self.folder)[0]
        except CellError:
            return None


@dataclass(slots=True)
class _Column:
    """One encoded column: `field` is None where it did not fit; `cells` keeps alive what the cache key points at."""

    field: Field | None
    present: torch.Tensor
    errors: list[tuple[int, CellError]]
    cut: int
    filled: int
    cells: list[Any]
    context: list[Any] | None


def encode_table(table: Table, codecs: Mapping[str, Codec[Any]], *, problems: Problems | None = None,
                 budget_bytes: int = 4 * 2**30, cache: dict[Any, Any] | None = None,
                 progress: Progress | None = None, workers: int | None = None) -> Encoded:
    """Decode every cell of the columns that have a codec.

    Missing and unreadable cells are `present=False`; unreadable ones are added to `problems` with row and line, and
    one entry a column says how many cells were cut ('text-cut', 'audio-cut') or had values filled in
    ('series-filled'). budget_bytes: memory for the encoded columns, estimated from a few cells and watched while
    encoding; cache: a dict kept by the caller, in which costly columns (pictures, sounds) are found again when codec
    settings and cells are the same; progress: called with cells done and in all; workers: threads (default: the
    processors, at most 4). Errors: DataError when a column is missing.
    """
    lacking = [name for name in codecs if name not in table.frame.columns]
    if lacking:
        raise DataError(f"{table.source}: expected the columns {', '.join(codecs)}; {', '.join(lacking)} not found")
    pool = ThreadPoolExecutor(workers or min(os.cpu_count() or 1, 4), thread_name_prefix="gradatim-decode")
    plain = [name for name, codec in codecs.items() if is_plain(codec, table.frame.get_column(name))]
    cells = {name: table.cells(name) for name in codecs if name not in plain}
    probes = {name: _probe(codecs[name], cells[name], table.folder) for name in cells}
    encoded = Encoded(len(table), dict(codecs), {}, {})
    left, done, total = budget_bytes, 0, len(table) * len(codecs)
    for name in plain:
        values, present, errors = encode_column(codecs[name], table.frame.get_column(name))
        encoded.fields[name], encoded.present[name] = values, torch.from_numpy(present)
        left -= _bytes(values)
        _tell_errors(errors, name, table, problems)
        done += len(table)
        if progress is not None:
            progress(done, total)
    for name in sorted(cells, key=lambda name: probes[name][0]):
        size, seconds = probes[name]
        codec, start = codecs[name], done

        def report(rows: int, start: int = start) -> None:
            if progress is not None:
                progress(start + rows, total)

        key = _cache_key(codec, cells[name], table.folder) if cache is not None else None
        column = cache.get(key) if cache is not None and key is not None else None
        threads = pool if seconds > THREADS_FROM else None
        if column is None or (column.field is None and size <= left):
            column = _encode_column(codec, cells[name], table.folder, left if size <= left else 0, threads, report)
            if cache is not None and key is not None:
                cache[key] = column
        if column.field is None:
            encoded.streamed[name] = Stream(cells[name], table.folder, codec, threads)
        else:
            encoded.fields[name] = column.field
            left -= _bytes(column.field)
        encoded.present[name] = column.present
        if column.context is not None:
            encoded.context[name] = column.context
        _tell(column, name, codec.kind, table, problems)
        done += len(table)
        report(len(table))
    if not encoded.streamed:
        pool.shutdown()
    return encoded


def batch_order(rows: np.ndarray, batch_size: int, *, seed: int, epoch: int, shuffle: bool = True,
                drop_last: bool = False) -> list[np.ndarray]:
    """The rows of an epoch in batches: a pure function of its arguments.

    >>> [batch.tolist() for batch in batch_order(np.arange(5), 2, seed=0, epoch=0, shuffle=False)]
    [[0, 1], [2, 3], [4]]
    """
    if batch_size < 1:
        raise DataError(f"expected a batch size of at least 1, received {batch_size}")
    rows = np.asarray(rows, dtype=np.int64)
    if shuffle:
        rows = rows[generator("order", seed, epoch).permutation(len(rows))]
    stop = len(rows) - len(rows) % batch_size if drop_last else len(rows)
    return [rows[start : start + batch_size] for start in range(0, stop, batch_size)]


def _encode_column(codec: Codec[Any], cells: list[Any], folder: Path | None, budget: int,
                   pool: ThreadPoolExecutor | None, report: Callable[[int], None]) -> _Column:
    def encode(cell: Any) -> tuple[Any, Any, CellError | None]:
        try:
            return *codec.encode(cell, folder), None
        except CellError as error:
            return None, None, error

    chunks: list[Field] = []
    keep, widest, cut, filled = budget > 0, 0.0, 0, 0
    present = torch.zeros(len(cells), dtype=torch.bool)
    errors: list[tuple[int, CellError]] = []
    contexts: list[Any] = []
    known: dict[Any, Any] = {}  # equal contexts are kept once: pictures of one size share theirs
    paces: list[float] = []  # seconds of a chunk without threads, then with: the faster way does the rest
    for start in range(0, len(cells), CHUNK):
        part = cells[start : start + CHUNK]
        threaded = pool is not None and (len(paces) == 1 or (len(paces) > 1 and paces[1] < paces[0]))
        started = time.perf_counter()
        results = list(pool.map(encode, part) if threaded and pool is not None else map(encode, part))
        paces.append(time.perf_counter() - started)
        for row, (value, context, error) in enumerate(results, start):
            present[row] = value is not None
            contexts.append(known.setdefault(context, context))
            cut += bool(getattr(context, "cut", False))
            filled += bool(getattr(context, "filled", 0))
            if error is not None:
                errors.append((row, error))
        if keep:
            chunks.append(codec.stack([value for value, _, _ in results]))
            # The longest cell decides the padding of all: the probes may not have met it.
            widest = max(widest, _bytes(chunks[-1]) / len(part))
            if widest * len(cells) > budget:
                keep = False
                chunks.clear()
        report(min(start + CHUNK, len(cells)))
    joined = _join(chunks, len(cells)) if chunks else (codec.stack([]) if keep else None)
    return _Column(joined, present, errors, cut, filled, cells, contexts if known.keys() - {None} else None)


def _join(chunks: list[Field], rows: int) -> Field:
    """Chunks one below the other, padded with zeros to the largest shape; `chunks` is emptied on the way."""
    if isinstance(chunks[0], dict):
        columns = {part: [chunk[part] for chunk in chunks] for part in chunks[0]}  # type: ignore[index, call-overload]
        chunks.clear()
        return {part: _join_tensors(columns.pop(part), rows) for part in list(columns)}
    tensors = [chunk for chunk in chunks if isinstance(chunk, torch.Tensor)]
    chunks.clear()
    return _join_tensors(tensors, rows)


def _join_tensors(tensors: list[torch.Tensor], rows: int) -> torch.Tensor:
    if len(tensors) == 1:
        return tensors[0]
    shape = [max(sizes) for sizes in zip(*(tensor.shape[1:] for tensor in tensors))]
    whole = torch.zeros(rows, *shape, dtype=tensors[0].dtype)
    start = 0
    for index, tensor in enumerate(tensors):
        whole[(slice(start, start + len(tensor)), *(slice(size) for size in tensor.shape[1:]))] = tensor
        start += len(tensor)
        tensors[index] = tensor[:0].clone()  # free each as soon as it is copied
    return whole


def _probe(codec: Codec[Any], cells: list[Any], folder: Path | None) -> tuple[int, float]:
    """Bytes that the column would take, and the median seconds a cell, from a few cells all over it."""
    largest, seconds = 0, [0.0]
    for row in np.unique(np.linspace(0, max(len(cells) - 1, 0), min(PROBES, len(cells)), dtype=np.int64)).tolist():
        started = time.perf_counter()
        try:
            value = codec.encode(cells[row], folder)[0]
        except CellError:
            continue
        seconds.append(time.perf_counter() - started)
        largest = max(largest, _bytes(codec.stack([value])))
    return largest * len(cells), float(np.median(seconds))


def _bytes(value: Field) -> int:
    tensors = value.values() if isinstance(value, dict) else (value,)
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


def _cache_key(codec: Codec[Any], cells: list[Any], folder: Path | None) -> tuple[str, str] | None:
    """Codec settings and content of the cells; None where the codec is cheap or the cells have no lasting identity."""
    settings = getattr(codec, "cache_key", None)
    if settings is None:
        return None
    digest = blake2b(f"{len(cells)} {folder}".encode(), digest_size=16)
    for cell in cells:
        content = file_cell(cell)
        if content is None and isinstance(cell, list | dict):
            return None  # made anew at every reading of the table
        if isinstance(content, str):
            content = content.encode("utf-8", "surrogatepass")
        mark = b"n" if cell is None else (b"o%d" % id(cell) if content is None else b"c%d:" % len(content))
        digest.update(mark + (content or b""))
    return settings(), digest.hexdigest()


def _tell(column: _Column, name: str, kind: str, table: Table, problems: Problems | None) -> None:
    _tell_errors(column.errors, name, table, problems)
    if problems is None:
        return
    if column.cut:
        problems.add(f"{kind}-cut", f"{column.cut} of {int(column.present.sum())} cells are longer than the codec's "
                                    "limit and lose their end", column=name)
    if column.filled:
        problems.add(f"{kind}-filled", f"{column.filled} of {int(column.present.sum())} cells lack values, filled "
                                       "from their neighbours", column=name)


def _tell_errors(errors: list[tuple[int, CellError]], name: str, table: Table, problems: Problems | None) -> None:
    for row, error in errors if problems is not None else ():
        assert problems is not None
        problems.add(error.code, str(error), column=name, row=row, line=table.line(row))
