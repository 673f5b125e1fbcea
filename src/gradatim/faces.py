"""The face of scikit-learn: `Classifier` and `Regressor` around the main line, for pipelines and grids."""

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl
from scipy import sparse
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.exceptions import DataConversionWarning
from sklearn.utils.validation import check_is_fitted

from gradatim.data.readers import read_table
from gradatim.data.spelling import spelled, spelling_of
from gradatim.data.table import Table
from gradatim.errors import DataError
from gradatim.problems import Problems

TARGET = "target"


def _frame(features: Any) -> Table:
    """A frame, a file, or a two-dimensional array or list of rows whose columns become x0, x1, …"""
    if sparse.issparse(features):
        raise DataError("expected a frame or a dense array, received a sparse matrix; pass its toarray()")
    if not _nameless(features):
        return read_table(features)
    array = np.asarray(features) if hasattr(features, "__array__") else _array_of_rows(features)
    return read_table(pl.DataFrame(_columns_of(array)))


def _array_of_rows(rows: Sequence[Any]) -> np.ndarray:
    try:
        array = np.asarray(rows)
        return array if array.dtype.kind in "biuf" else np.asarray(rows, dtype=object)
    except ValueError:
        raise DataError("expected rows of one length, received a list of rows of different lengths; fill them up, or "
                        "put the data into a frame with named columns") from None


def _columns_of(array: np.ndarray) -> dict[str, Any]:
    if array.dtype.kind == "c":
        raise DataError("Complex data not supported: expected an array of real numbers, received complex ones")
    if array.ndim == 1:
        raise DataError(f"expected 2D array, received 1D array of shape {array.shape}. Reshape your data: "
                        "reshape(-1, 1) where it is one column, reshape(1, -1) where it is one row")
    if array.ndim != 2:
        raise DataError(f"expected a frame or an array of shape (rows, columns), received shape {array.shape}")
    if not len(array):
        raise DataError(f"Found array with 0 sample(s) (shape={array.shape}) while a minimum of 1 is required.")
    if not array.shape[1]:
        raise DataError(f"Found array with 0 feature(s) (shape={array.shape}) while a minimum of 1 is required.")
    columns = {f"x{place}": array[:, place] for place in range(array.shape[1])}
    if array.dtype.kind in "biuf":
        return columns
    # Polars would keep the cells of an object array as Python objects.
    return {name: pl.Series(_of_one_type(cells.tolist()), strict=False) for name, cells in columns.items()}


def _of_one_type(cells: list[Any]) -> list[Any]:
    """Cells of an object array: whole numbers among floats become floats, other mixtures texts."""
    types = {type(cell) for cell in cells if cell is not None}
    if any(isinstance(cell, Mapping) for cell in cells):
        raise DataError("argument must be a string or a number: expected cells that are numbers or texts, received a "
                        "dict; make a column of each of its entries")
    if types == {int, float}:
        return [None if cell is None else float(cell) for cell in cells]
    gone = [cell is None or cell != cell for cell in cells]
    return cells if len(types) < 2 else [None if none else str(cell) for cell, none in zip(cells, gone, strict=True)]


def _vector(y: Any, rows: int) -> np.ndarray:
    """The labels as an array (rows,); a column of them is flattened with a warning, as scikit-learn does."""
    if y is None:
        raise DataError("requires y to be passed, but the target y is None; pass one label for each row")
    if isinstance(y, Sequence):
        _refuse_parts(y, (tuple, dict, set))
    try:
        target = np.asarray(y)
    except ValueError:
        raise DataError("expected one label for each row, received lists of different lengths; join them to texts"
                        ) from None
    if target.dtype.kind == "c":
        raise DataError("Complex data not supported: expected labels, received complex numbers")
    if target.ndim == 2 and target.shape[1] == 1:
        warnings.warn("A column-vector y was passed when a 1d array was expected. Please change the shape of y to "
                      "(n_samples,), for example using ravel().", DataConversionWarning, stacklevel=4)
        target = target.ravel()
    if target.ndim != 1 or len(target) != rows:
        raise DataError(f"expected one label for each of {rows} rows, received shape {target.shape}")
    if target.dtype.kind == "O":
        _refuse_parts(target, (tuple, list, dict, set, np.ndarray))
    return target


def _refuse_parts(labels: Any, parts: tuple[type, ...]) -> None:
    wrong = next((label for label in labels if isinstance(label, parts)), None)
    if wrong is not None:
        raise DataError(f"expected a text or a number as the label of each row, received a {type(wrong).__name__}; "
                        "join its parts to one text")


def _missing(labels: np.ndarray) -> np.ndarray:
    """Which labels say nothing: None, NaN, NaT, pandas' NA; bool (N,)."""
    if labels.dtype.kind == "f":
        return np.isnan(labels)
    if labels.dtype.kind in "mM":
        return np.isnat(labels)
    if labels.dtype.kind != "O":
        return np.zeros(len(labels), dtype=bool)
    return np.array([label is None or type(label).__name__ in ("NAType", "NaTType") or bool(label != label)
                     for label in labels], dtype=bool)


class _Face(BaseEstimator):
    """What the two faces share; not for use by itself."""

    def __init__(
        self,
        *,
        minutes: float = 1.0,
        epochs: int | None = None,
        seed: int = 0,
        kinds: Mapping[str, str] | None = None,
        encoders: Mapping[str, str] | None = None,
        fusion: str = "concatenation",
        metric: str | None = None,
    ) -> None:
        self.minutes = minutes
        self.epochs = epochs
        self.seed = seed
        self.kinds = kinds
        self.encoders = encoders
        self.fusion = fusion
        self.metric = metric

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = tags.input_tags.string = tags.input_tags.categorical = True
        tags.target_tags.required = True
        return tags

    def _fit(self, table: Table, target: pl.Series, kind: str) -> None:
        from gradatim.run import fit

        name = TARGET
        while name in table.frame.columns:
            name += "_"
        frame = table.frame.with_columns(target.alias(name))
        joined = Table(frame, table.folder, table.lines, table.source, table.notes)
        self.run_ = fit(
            joined, target=name, kinds={**(self.kinds or {}), name: kind}, minutes=self.minutes, epochs=self.epochs,
            seed=self.seed, encoders=dict(self.encoders or {}), fusion=self.fusion, metric=self.metric,
        )

    def _noted(self, features: Any) -> Table:
        """The table of a fit; what scikit-learn wants to know of its columns is noted."""
        table = _frame(features)
        if len(table) == 1:
            raise DataError("expected at least two rows to learn from, received 1 sample; add rows")
        self.n_features_in_ = table.frame.width
        if not _nameless(features):
            self.feature_names_in_ = np.array(table.frame.columns, dtype=object)
        elif "feature_names_in_" in vars(self):
            del self.feature_names_in_
        return table

    def _answer(self, features: Any) -> np.ndarray:
        check_is_fitted(self, "run_")
        table = _frame(features)
        if _nameless(features):
            if table.frame.width != self.n_features_in_:
                raise DataError(f"X has {table.frame.width} features, but {type(self).__name__} is expecting "
                                f"{self.n_features_in_} features as input; pass the columns of the fit")
            names = list(getattr(self, "feature_names_in_", table.frame.columns))
            table = Table(table.frame.rename(dict(zip(table.frame.columns, names, strict=True))), table.folder,
                          table.lines, table.source, table.notes)
        problems = Problems()
        answer = self.run_.answer(table, problems=problems)
        for code, count in problems.counts().items():
            first = next(problem for problem in problems if problem.code == code)
            warnings.warn(f"{count} × {code}; the first: {first}", stacklevel=3)
        return answer


def _nameless(features: Any) -> bool:
    """Whether the features are an array or rows, whose columns have no names."""
    rows = isinstance(features, Sequence) and not isinstance(features, str | bytes)
    return rows or (hasattr(features, "__array__") and not hasattr(features, "columns"))


class Classifier(ClassifierMixin, _Face):
    """A classifier of tables of pictures, texts, sounds, categories and numbers, with scikit-learn's API.

    minutes: time of `fit`; the other arguments are those of `gradatim.fit`. After `fit`: `classes_` (the different
    labels, sorted as numpy sorts them), `run_` (the `Run`, with its report and card). Rows without a label are left
    out. Cells that cannot be read, and categories that were not learned, are warned about.

    >>> import gradatim as gd
    >>> frame = pl.DataFrame({"x": [(i * i) ** 0.7 for i in range(60)]})
    >>> model = gd.Classifier(minutes=0.1).fit(frame, ["low"] * 30 + ["high"] * 30)
    >>> model.predict(frame[:1]).tolist(), model.predict_proba(frame).shape
    (['low'], (60, 2))
    """

    def fit(self, X: Any, y: Any) -> "Classifier":
        """Fit a frame (pandas, polars, Arrow), a file or an array (N, columns) to labels (N,)."""
        table = self._noted(X)
        labels = _vector(y, len(table))
        missing = _missing(labels)
        self.classes_, numbers = _classes(labels[~missing])
        if len(self.classes_) == 1:
            raise DataError(f"expected at least two classes, received 1 class ('{self.classes_[0]}'); add rows of "
                            "others")
        names = _names(self.classes_)
        cells = np.full(len(labels), None, dtype=object)
        cells[~missing] = np.array(names, dtype=object)[numbers]
        self._fit(table, pl.Series(cells.tolist(), dtype=pl.String), "category")
        self._columns = self.run_.task.labels(names)
        return self

    def predict_proba(self, X: Any) -> np.ndarray:
        """Probabilities (N, C) in the order of `classes_`."""
        answer = self._answer(X)
        return answer[:, self._columns]

    def predict(self, X: Any) -> np.ndarray:
        """The most probable class of each row, (N,), in the type of the labels of the fit."""
        probabilities = self.predict_proba(X)
        return self.classes_[probabilities.argmax(axis=1)]


class Regressor(RegressorMixin, _Face):
    """A regressor of tables of pictures, texts, sounds, categories and numbers, with scikit-learn's API.

    minutes: time of `fit`; the other arguments are those of `gradatim.fit`. After `fit`: `run_`. Rows without a number
    are left out. Cells that cannot be read, and categories that were not learned, are warned about.
    """

    def fit(self, X: Any, y: Any) -> "Regressor":
        """Fit a frame, a file or an array (N, columns) to numbers (N,)."""
        table = self._noted(X)
        numbers = _vector(y, len(table))
        try:
            numbers = np.where(_missing(numbers), np.nan, numbers).astype(np.float64)
        except (TypeError, ValueError):
            raise DataError("expected numbers as targets, received others (Unknown label type); use gd.Classifier for "
                            "classes") from None
        infinite = int(np.isinf(numbers).sum())
        if infinite:
            raise DataError(f"Input y contains infinity or a value too large: expected finite numbers, received "
                            f"{infinite} infinite ones; leave out these rows")
        self._fit(table, pl.Series(numbers).fill_nan(None), "number")
        return self

    def predict(self, X: Any) -> np.ndarray:
        """The predicted numbers, (N,)."""
        return self._answer(X)


def _classes(labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The different labels in numpy's order, and the place of each label among them."""
    if labels.dtype.kind == "f" and not np.isfinite(labels).all():
        raise DataError("Input y contains infinity or a value too large: expected labels, received infinite numbers; "
                        "leave out these rows")
    if labels.dtype.kind == "f" and (labels != np.round(labels)).any() and len(np.unique(labels)) > len(labels) / 2:
        raise DataError(f"Unknown label type: expected classes, received {len(np.unique(labels))} different numbers "
                        "with fractions; use gd.Regressor, or make classes of them")
    if labels.dtype.kind == "O":
        types = {type(label) for label in labels}
        if len(types) == 1 and types <= {bool, int, float, str}:
            labels = np.array(labels.tolist())  # the type that numpy gives such labels
    try:
        classes, numbers = np.unique(labels, return_inverse=True)
    except TypeError:
        kinds = " and ".join(sorted({type(label).__name__ for label in labels}))
        raise DataError(f"expected labels of one type, received {kinds}; make all of them texts") from None
    return classes, numbers


def _names(classes: np.ndarray) -> list[str]:
    """A text for each class, as reports show it: in quotes where two texts would be the same class in a table."""
    names = [str(label) for label in classes]
    keys = spelled(pl.Series(names, dtype=pl.String), spelling_of(pl.Series(names, dtype=pl.String)))
    clear = keys.n_unique() == len(names) and all(name.strip() == name != "" for name in names)
    return names if clear else [repr(name) for name in names]
