"""The face of scikit-learn: `Classifier` and `Regressor` around the main line, for pipelines and grids."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import polars as pl
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.utils.validation import check_is_fitted

from gradatim.data.readers import read_table
from gradatim.data.table import Table
from gradatim.errors import DataError

TARGET = "target"


def _frame(features: Any) -> Table:
    """A frame, a file, or a two-dimensional array whose columns become x0, x1, …"""
    if isinstance(features, np.ndarray):
        if features.ndim != 2:
            raise DataError(f"expected a frame or an array of shape (rows, columns), received shape {features.shape}")
        columns: dict[str, Any] = {f"x{place}": features[:, place] for place in range(features.shape[1])}
        if features.dtype == object:  # polars would keep the cells as Python objects
            columns = {name: pl.Series(cells.tolist(), strict=False) for name, cells in columns.items()}
        return read_table(pl.DataFrame(columns))
    return read_table(features)


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

    def _fit(self, features: Any, y: Any, kind: str) -> None:
        from gradatim.run import fit

        table = _frame(features)
        target = np.asarray(y)
        if target.ndim != 1 or len(target) != len(table):
            raise DataError(f"expected one label for each of {len(table)} rows, received shape {target.shape}")
        name = TARGET
        while name in table.frame.columns:
            name += "_"
        frame = table.frame.with_columns(pl.Series(name, target.tolist(), strict=False))
        joined = Table(frame, table.folder, table.lines, table.source, table.notes)
        self.run_ = fit(
            joined, target=name, kinds={**(self.kinds or {}), name: kind}, minutes=self.minutes, epochs=self.epochs,
            seed=self.seed, encoders=dict(self.encoders or {}), fusion=self.fusion, metric=self.metric,
        )
        self.n_features_in_ = table.frame.width
        self.feature_names_in_ = np.array(table.frame.columns, dtype=object)

    def _answer(self, features: Any) -> np.ndarray:
        check_is_fitted(self, "run_")
        return self.run_.answer(_frame(features))


class Classifier(ClassifierMixin, _Face):
    """A classifier of tables of pictures, texts, sounds, categories and numbers, with scikit-learn's API.

    minutes: time of `fit`; the other arguments are those of `gradatim.fit`. After `fit`: `classes_`, `run_` (the
    `Run`, with its report and card).

    >>> import gradatim as gd
    >>> frame = pl.DataFrame({"x": [(i * i) ** 0.7 for i in range(60)]})
    >>> model = gd.Classifier(minutes=0.1).fit(frame, ["low"] * 30 + ["high"] * 30)
    >>> model.predict(frame[:1]).tolist(), model.predict_proba(frame).shape
    (['low'], (60, 2))
    """

    def fit(self, X: Any, y: Any) -> "Classifier":
        """Fit a frame (pandas, polars, Arrow), a file or an array (N, columns) to labels (N,)."""
        self._fit(X, y, "category")
        self.classes_ = np.array(self.run_.task.classes)
        return self

    def predict_proba(self, X: Any) -> np.ndarray:
        """Probabilities (N, C) in the order of `classes_`."""
        return self._answer(X)

    def predict(self, X: Any) -> np.ndarray:
        """The most probable class of each row, (N,)."""
        answer = self._answer(X)
        return self.classes_[answer.argmax(axis=1)]


class Regressor(RegressorMixin, _Face):
    """A regressor of tables of pictures, texts, sounds, categories and numbers, with scikit-learn's API.

    minutes: time of `fit`; the other arguments are those of `gradatim.fit`. After `fit`: `run_`.
    """

    def fit(self, X: Any, y: Any) -> "Regressor":
        """Fit a frame, a file or an array (N, columns) to numbers (N,)."""
        self._fit(X, y, "number")
        return self

    def predict(self, X: Any) -> np.ndarray:
        """The predicted numbers, (N,)."""
        return self._answer(X)
