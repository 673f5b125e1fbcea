"""Heads: a convex estimator on cheap features of some columns: the baseline that a network has to beat.

text → TF-IDF of words and characters; image → colour and gradient histograms; audio → log-mel statistics;
series → random convolutional kernels; number and category → standardised numbers with missing flags, one-hot. One
block a column, side by side.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import scipy.sparse
import torch

from gradatim.data.codecs import Codec, codec_for, codec_from_json
from gradatim.data.codecs.columns import fit_column, read_numbers
from gradatim.data.codecs.number import SMALLEST, NumberCodec
from gradatim.data.schema import Column
from gradatim.errors import ArtifactError, CellError
from gradatim.estimators.discriminant import LinearDiscriminantAnalysis
from gradatim.estimators.features.picture import PictureFeatures
from gradatim.estimators.features.sound import LogMelStatistics
from gradatim.estimators.features.table import TableFeatures
from gradatim.estimators.features.text import TfidfFeatures
from gradatim.estimators.hydra import KERNELS, MOST_GROUPS, MultiRocketHydra, dilation_count
from gradatim.estimators.ridge_classifier import RidgeClassifier
from gradatim.estimators.state import estimator_from_state, estimator_to_state
from gradatim.tasks.chosen import ChosenEstimator
from gradatim.tasks.frozen import FrozenFeatures
from gradatim.tasks.placed import regressed
from gradatim.tasks.source import Source

MEDIA = ("image", "audio")
DECODED = (*MEDIA, "series")  # kinds whose codecs are fitted once, on the training rows
SERIES_CELLS = 60_000_000  # rows × features of random kernels that are held at once
LEAST_FEATURES, MOST_FEATURES = 2016, 49_728
ANSWER_ROWS = 50_000  # rows whose features are held at once when answering
MANY_CLASSES = 300  # from here on a linear model with a closed form stands in for logistic regression
WIDEST_DISCRIMINANT = 2000  # features
DENSE_ROWS, DENSE_CELLS = 2500, 100_000_000  # up to here a mixed matrix is made dense


@dataclass(frozen=True, slots=True)
class Block:
    """The features of one column, or of all table columns together. `extractor` is fitted on training rows."""

    kind: str
    columns: tuple[str, ...]
    extractor: Any
    codecs: dict[str, Codec]
    scale: float = 1.0

    def matrix(self, source: Source, rows: np.ndarray) -> Any:
        """Features of the rows, times `scale`: sparse for text, else float32."""
        return self._unscaled(source, rows) * np.float32(self.scale)

    def balanced(self, source: Source, rows: np.ndarray) -> "Block":
        """The block scaled so that its rows have mean square 1: one penalty then weighs all blocks alike, whether
        they are two words or a thousand histogram bins.
        """
        matrix = self._unscaled(source, rows)
        squares = matrix.multiply(matrix).sum() if scipy.sparse.issparse(matrix) else np.square(matrix).sum()
        return replace(self, scale=float((max(len(rows), 1) / max(float(squares), 1e-12)) ** 0.5))

    def _unscaled(self, source: Source, rows: np.ndarray) -> Any:
        name = self.columns[0]
        if self.kind == "series":
            return series_matrix(source, name, self.codecs[name], self.extractor, rows)
        if self.kind == "text":
            cells = source.table.cells(name)
            return self.extractor.transform([_text(cells[row]) for row in rows])
        if self.kind != "table":
            key = f"{name}\x00frozen" if self.kind == "frozen" else name
            raw = source.raw_features(key, self.codecs[name], self.extractor, name)[rows]
            return np.nan_to_num(self.extractor.standardise(raw))
        return self.extractor.transform(table_frame(source, self.codecs, self.columns, rows))


def _text(cell: Any) -> str | None:
    return None if cell is None else str(cell)


def number_cells(source: Source, codec: NumberCodec, name: str) -> np.ndarray:
    """A column of numbers as float64 (N,), NaN where missing; unreadable cells are listed once."""
    key = f"{name}\x00numbers\x00{codec.decimal}"
    if key not in source.features:
        source.features[key], errors = read_numbers(codec, source.table.frame.get_column(name))
        for row, error in errors:
            source.problems.add(error.code, str(error), column=name, row=row, line=source.table.line(row))
    return source.features[key]


def fitted_codecs(source: Source, columns: Sequence[Column], rows: np.ndarray) -> dict[str, Codec]:
    """Codecs of number and category columns, fitted on some rows."""
    frame = source.table.frame
    return {c.name: fit_column(codec_for(c), frame.get_column(c.name)[rows]) for c in columns}


def blank_columns(source: Source, columns: Sequence[Column], rows: np.ndarray) -> list[str]:
    """A sentence for each number, category or text without one readable cell in the training rows: it adds nothing."""
    notes = []
    for column in columns:
        if column.kind in ("number", "category", "text"):
            cells, codec = source.table.frame.get_column(column.name), codec_for(column)
            if not any(_readable(codec, cells[int(row)]) for row in rows):
                notes.append(f"{column.name}: no cell of {len(rows)} training rows can be read; it adds nothing")
    return notes


def _readable(codec: Codec, cell: Any) -> bool:
    if not isinstance(codec, NumberCodec):
        return cell is not None and bool(str(cell).strip())
    try:
        return codec.parse(cell) is not None
    except CellError:
        return False


def fit_blocks(
    source: Source,
    columns: Sequence[Column],
    codecs: Mapping[str, Codec],
    rows: np.ndarray,
    frozen: Mapping[str, FrozenFeatures],
) -> tuple[Block, ...]:
    """Fit the features of each column on the training rows; `codecs` hold those of pictures and sounds.

    frozen: columns that are read by a pretrained network in place of histograms or statistics.
    """
    blocks = []
    for column in columns:
        if column.kind == "text" and column.name not in frozen:
            cells = source.table.cells(column.name)
            words = TfidfFeatures().fit([_text(cells[row]) for row in rows])
            blocks.append(Block("text", (column.name,), words, {}))
        elif column.kind == "series":
            blocks.append(series_block(source, column.name, codecs[column.name], rows))
        elif column.kind in MEDIA or column.name in frozen:
            codec = codecs[column.name]
            if column.name in frozen:
                raw = source.raw_features(f"{column.name}\x00frozen", codec, frozen[column.name], column.name)[rows]
                network = frozen[column.name].fit_raw(raw[np.isfinite(raw).all(axis=1)])
                blocks.append(Block("frozen", (column.name,), network, {column.name: codec}))
                continue
            extractor = PictureFeatures() if column.kind == "image" else LogMelStatistics()
            raw = source.raw_features(column.name, codec, extractor, column.name)[rows]
            seen = raw[np.isfinite(raw).all(axis=1)]
            described = codec.describe()
            if isinstance(extractor, PictureFeatures):
                extractor.fit_raw(seen, channels=int(described["channels"]))
            else:
                extractor.fit_raw(seen, mels=int(described["mels"]))
            blocks.append(Block(column.kind, (column.name,), extractor, {column.name: codec}))
    plain = [column for column in columns if column.kind in ("number", "category")]
    if plain:
        names = tuple(column.name for column in plain)
        table_codecs = fitted_codecs(source, plain, rows)
        extractor = TableFeatures(
            numbers=[column.name for column in plain if column.kind == "number"],
            categories=[column.name for column in plain if column.kind == "category"],
        ).fit(table_frame(source, table_codecs, names, rows))
        blocks.append(Block("table", names, extractor, table_codecs))
    return tuple(block if block.kind == "series" else block.balanced(source, rows) for block in blocks)


def series_block(source: Source, name: str, codec: Codec, rows: np.ndarray) -> Block:
    """Random convolutional kernels fitted on the rows: as many features as the rows leave room for, each of mean
    square 1, divided by the root of their number, which is what `balanced` would find."""
    field = series_field(source, name, codec, rows)
    features = int(np.clip(SERIES_CELLS // max(len(rows), 1), LEAST_FEATURES, MOST_FEATURES))
    each = 2 * KERNELS * dilation_count(int(field["lengths"].max(initial=1)))
    groups = int(np.clip(features // 2 // each, 4, MOST_GROUPS)) // 2 * 2  # half as many features of Hydra at most
    extractor = MultiRocketHydra(features=features, groups=groups)
    matrix = extractor.fit_transform(field)
    source.decoded[f"{name}\x00kernels"] = (extractor, rows, matrix)  # the rows of the head that is fitted next
    return Block("series", (name,), extractor, {name: codec}, float(matrix.shape[1] ** -0.5))


def series_matrix(source: Source, name: str, codec: Codec, extractor: Any, rows: np.ndarray) -> np.ndarray:
    """The features of some rows; those of the rows that the kernels were just fitted on are taken once from there."""
    fitted, seen, matrix = source.decoded.get(f"{name}\x00kernels", (None, None, None))
    if fitted is extractor and np.array_equal(seen, rows):
        del source.decoded[f"{name}\x00kernels"]
        return matrix
    return extractor.transform(series_field(source, name, codec, rows))


def series_field(source: Source, name: str, codec: Codec, rows: np.ndarray) -> dict[str, np.ndarray]:
    """Values and lengths of some rows of a series column, without the flags of missing values."""
    key = f"{name}\x00series\x00{codec.cache_key()}"  # type: ignore[attr-defined]
    if key not in source.decoded:  # cells that are lists have no identity by which the loader could find them again
        source.decoded[key] = source.encode({name: codec})
    field = source.decoded[key].batch(rows, [name]).inputs[name]
    assert isinstance(field, dict)
    return {"values": field["values"][:, : codec.describe()["values"]].numpy(), "lengths": field["lengths"].numpy()}


def table_frame(
    source: Source, codecs: Mapping[str, Codec], columns: Sequence[str], rows: np.ndarray
) -> dict[str, Any]:
    """Number and category cells of some rows by column: float64 with NaN, or strings with None."""
    frame: dict[str, Any] = {}
    for name in columns:
        codec = codecs[name]
        if isinstance(codec, NumberCodec):
            frame[name] = number_cells(source, codec, name)[rows]
        else:
            frame[name] = [_text(cell) for cell in source.table.frame.get_column(name)[rows].to_list()]
    return frame


def join(parts: Sequence[Any]) -> Any:
    """Blocks side by side, float32: dense, or CSR when texts are among them.

    A few rows with texts *and* dense blocks are made dense as well: the estimator then turns to as many coordinates as
    there are rows, which is exact and several times faster than a sparse matrix with dense parts. Where no block has a
    feature (texts without a word) one column of zeros stands for them, and the estimator is its constant.
    """
    sparse = [scipy.sparse.issparse(part) for part in parts]
    rows, width = parts[0].shape[0], sum(part.shape[1] for part in parts)
    if width == 0:
        return np.zeros((rows, 1), dtype=np.float32)
    if any(sparse) and (all(sparse) or rows > DENSE_ROWS or rows * width > DENSE_CELLS):
        return scipy.sparse.hstack([scipy.sparse.csr_matrix(part) for part in parts], format="csr", dtype=np.float32)
    dense = [part.toarray() if is_sparse else part for part, is_sparse in zip(parts, sparse)]
    return np.concatenate(dense, axis=1, dtype=np.float32)


@dataclass(frozen=True, slots=True)
class Head:
    """Blocks of features and the convex estimator on them."""

    blocks: tuple[Block, ...]
    estimator: Any
    task: Any

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns it looks at."""
        return tuple(name for block in self.blocks for name in block.columns)

    @classmethod
    def fit(
        cls,
        source: Source,
        columns: Sequence[Column],
        codecs: Mapping[str, Codec],
        rows: np.ndarray,
        labels: np.ndarray,
        task: Any,
        frozen: Mapping[str, FrozenFeatures] | None = None,
        chosen: ChosenEstimator | None = None,
    ) -> "Head":
        """Fit features, then the task's head or the chosen estimator, on `rows`; `labels` cover the whole table."""
        blocks = fit_blocks(source, columns, codecs, rows, frozen or {})
        features = join([block.matrix(source, rows) for block in blocks])
        truth = regressed(task, labels[rows])
        if chosen is None:
            return cls(blocks, _fit_in_units(_head_for(task, blocks, features, truth), features, truth, task), task)
        estimator = chosen.fit(task.name, features, truth)
        return cls(blocks, estimator, task)

    def answer_rows(self, source: Source, rows: np.ndarray) -> np.ndarray:
        """Probabilities or numbers for some rows."""
        if len(rows) == 0:
            return np.zeros((0, *self.task.answer_shape))
        widest = max((block.extractor.width for block in self.blocks if block.kind == "series"), default=0)
        size = max(1, SERIES_CELLS // widest) if widest else ANSWER_ROWS
        answers = []
        for start in range(0, len(rows), size):
            part = rows[start : start + size]
            features = join([block.matrix(source, part) for block in self.blocks])
            answers.append(self.task.estimator_answer(self.estimator, features))
        return answers[0] if len(answers) == 1 else np.concatenate(answers)

    def answer(self, source: Source) -> np.ndarray:
        """Probabilities or numbers for every row."""
        return self.answer_rows(source, np.arange(len(source)))

    def to_state(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """JSON state and arrays."""
        state, arrays = estimator_to_state(self.estimator)
        tensors = {f"estimator/{name}": array for name, array in arrays.items()}
        blocks = []
        for number, block in enumerate(self.blocks):
            is_frozen = isinstance(block.extractor, FrozenFeatures)
            extractor, arrays = block.extractor.to_state() if is_frozen else estimator_to_state(block.extractor)
            tensors |= {f"block{number}/{name}": array for name, array in arrays.items()}
            codecs = {name: codec.to_json() for name, codec in block.codecs.items()}
            blocks.append({"kind": block.kind, "columns": list(block.columns), "extractor": extractor,
                           "codecs": codecs, "scale": block.scale})
        return {"member": "head", "estimator": state, "blocks": blocks}, tensors

    @classmethod
    def from_state(
        cls,
        state: Mapping[str, Any],
        shapes: Mapping[str, tuple[int, ...]],
        read: Callable[[str], torch.Tensor],
        task: Any,
    ) -> "Head":
        """Rebuild from state."""
        blocks = []
        for number, entry in enumerate(state["blocks"]):
            if entry["kind"] not in ("text", "image", "audio", "series", "table", "frozen"):
                raise ArtifactError("expected a block of text, image, audio, series, table or frozen, found "
                                    f"{entry['kind']!r}")
            codecs = {name: codec_from_json(value) for name, value in entry["codecs"].items()}
            prefix = f"block{number}/"
            extractor: Any
            if entry["kind"] == "frozen":
                inside = {n.removeprefix(prefix): shape for n, shape in shapes.items() if n.startswith(prefix)}
                extractor = FrozenFeatures.from_state(entry["extractor"], inside, _prefixed(prefix, read))
            else:
                extractor = estimator_from_state(entry["extractor"], _under(prefix, shapes, read))
            columns = tuple(map(str, entry["columns"]))
            blocks.append(Block(entry["kind"], columns, extractor, codecs, float(entry["scale"])))
        estimator = estimator_from_state(state["estimator"], _under("estimator/", shapes, read))
        return cls(tuple(blocks), estimator, task)


def _head_for(task: Any, blocks: Sequence[Block], features: Any, truth: np.ndarray) -> Any:
    """The task's linear model; where it would take too long, one with a closed form.

    On random kernels, of which there are far more than rows, least squares on the labels. With very many classes
    linear discriminants, whose cost hardly grows with the classes; least squares where the features are sparse or wide.
    """
    balanced = getattr(task, "balanced", False)
    many = len(task.classes) >= MANY_CLASSES
    if task.classes and any(block.kind == "series" for block in blocks):
        return RidgeClassifier(class_weight="balanced" if balanced else None)
    if not many:
        return task.head()
    seen = len(np.unique(truth))
    if scipy.sparse.issparse(features) or features.shape[1] > WIDEST_DISCRIMINANT or len(truth) <= seen:
        return RidgeClassifier(class_weight="balanced" if balanced else None)
    return LinearDiscriminantAnalysis(priors=np.full(seen, 1 / seen) if balanced else None)


def _fit_in_units(estimator: Any, features: Any, truth: np.ndarray, task: Any) -> Any:
    """The head fitted; one number a row is learned standardised, and the coefficients are brought back in float64.

    Features are float32, in which neither 1e100 nor the digits behind 1,700,000,000 have room.
    """
    if isinstance(estimator, LinearDiscriminantAnalysis):  # small features of many classes are lost in float32
        return estimator.fit(features.astype(np.float64), truth)
    if task.classes or truth.ndim != 1:
        return estimator.fit(features, truth)
    middle, spread = float(truth.mean()), float(truth.std())
    spread = spread if spread > SMALLEST else 1.0
    estimator.fit(features, (truth - middle) / spread)
    estimator.coef_ = estimator.coef_.astype(np.float64) * spread
    estimator.intercept_ = estimator.intercept_ * spread + middle
    if hasattr(estimator, "leave_one_out_error_"):
        estimator.leave_one_out_error_ = estimator.leave_one_out_error_ * spread**2
    return estimator


def _prefixed(prefix: str, read: Callable[[str], torch.Tensor]) -> Callable[[str], torch.Tensor]:
    return lambda name: read(prefix + name)


def _under(
    prefix: str, shapes: Mapping[str, tuple[int, ...]], read: Callable[[str], torch.Tensor]
) -> dict[str, np.ndarray]:
    return {name.removeprefix(prefix): read(name).numpy() for name in shapes if name.startswith(prefix)}
