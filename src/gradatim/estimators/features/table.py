"""Numbers and categories as one dense matrix that a linear model can use.

A number becomes its standardised value, a flag where it is missing, and its place in every quantile bin: 0
below, 1 above, the share in between (Gorishniy et al., On Embeddings for Numerical Features in Tabular Deep
Learning, 2022), so that a linear model can bend at the quantiles. A category becomes one column a level;
rare levels share one.
"""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any, Self

import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import check_is_fitted

from gradatim.estimators.features.scale import FARTHEST
from gradatim.estimators.validation import damaged, expect_array

LARGEST = 1e100  # larger sizes are taken for this, so that sums and squares stay finite


class TableFeatures(TransformerMixin, BaseEstimator):
    """Dense float32 rows (n, d) from named columns: a mapping, or a polars or pandas frame.

    numbers, categories: names of columns; a missing number is NaN or None, a missing category None or NaN.
    bins: number of quantile bins a number is also spread over, 0 for none; columns with fewer different
    values get fewer. min_rows: levels of fewer training rows share the column "other"; max_levels: only the
    most frequent have their own. Missing numbers become the mean, with a flag if training had missing ones;
    unseen levels become zeros. A number without one training value adds zeros.
    Fitted: means_, scales_, flags_, edges_ and edge_starts_ (bins of all numbers in one array), levels_ and
    rare_levels_ (a list of strings a category), missing_levels_.

    >>> table = {"age": [30.0, None, 50.0], "town": ["Rome", "Rome", "Oslo"]}
    >>> features = TableFeatures(numbers=["age"], categories=["town"], bins=0).fit(table)
    >>> features.get_feature_names_out().tolist()
    ['age', 'age:missing', 'town=Oslo', 'town=Rome']
    >>> features.transform({"age": [60.0], "town": ["Paris"]}).tolist()
    [[2.0, 0.0, 0.0, 0.0]]
    """

    def __init__(
        self,
        *,
        numbers: Sequence[str] = (),
        categories: Sequence[str] = (),
        bins: int = 6,
        min_rows: int = 1,
        max_levels: int = 100,
    ) -> None:
        self.numbers = numbers
        self.categories = categories
        self.bins = bins
        self.min_rows = min_rows
        self.max_levels = max_levels

    def fit(self, X: Any, y: Any = None) -> Self:
        """Learn means, quantiles and levels from training rows."""
        values = [_numbers(X, name) for name in self.numbers]
        count = len(values)
        self.means_, self.scales_ = np.zeros(count), np.ones(count)
        self.flags_ = np.zeros(count, dtype=bool)
        edges: list[np.ndarray] = []
        for place, column in enumerate(values):
            known = column[~np.isnan(column)]
            self.flags_[place] = len(known) < len(column)
            if len(known):
                self.means_[place] = known.mean()
                deviation = known.std()
                constant = deviation <= 1e-12 * max(1.0, abs(self.means_[place]))
                self.scales_[place] = 1.0 if constant else deviation
            else:
                self.scales_[place] = LARGEST  # nothing is known of its unit: whatever comes later is as good as 0
            edges.append(self._edges(known))
        self.edges_ = np.concatenate(edges) if edges else np.zeros(0)
        self.edge_starts_ = np.cumsum([0, *(len(edge) for edge in edges)], dtype=np.int64)
        self._fit_categories(X)
        return self

    def _edges(self, known: np.ndarray) -> np.ndarray:
        """Bounds of the quantile bins; none where the column has too few values to bend anywhere."""
        if self.bins < 2 or len(np.unique(known)) < 3:
            return np.zeros(0)
        return np.unique(np.quantile(known, np.linspace(0, 1, self.bins + 1)))

    def _fit_categories(self, X: Any) -> None:
        self.levels_: list[list[str]] = []
        self.rare_levels_: list[list[str]] = []
        self.missing_levels_ = np.zeros(len(self.categories), dtype=bool)
        for place, name in enumerate(self.categories):
            cells = _categories(X, name)
            known = [cell for cell in cells if cell is not None]
            self.missing_levels_[place] = len(known) < len(cells)
            counts: dict[str, int] = {}
            for cell in known:
                counts[cell] = counts.get(cell, 0) + 1
            frequent = sorted((-count, level) for level, count in counts.items() if count >= self.min_rows)
            levels = sorted(level for _, level in frequent[: self.max_levels])
            self.levels_.append(levels)
            self.rare_levels_.append(sorted(set(counts) - set(levels)))

    def transform(self, X: Any) -> np.ndarray:
        """Rows (n, d) float32."""
        check_is_fitted(self)
        blocks = [self._number_block(_numbers(X, name), place) for place, name in enumerate(self.numbers)]
        blocks += [self._category_block(_categories(X, name), place) for place, name in enumerate(self.categories)]
        if not blocks:
            return np.zeros((len(X), 0), dtype=np.float32)
        return np.hstack(blocks)

    def _number_block(self, column: np.ndarray, place: int) -> np.ndarray:
        missing = np.isnan(column)
        filled = np.where(missing, self.means_[place], column)
        parts = [np.clip((filled - self.means_[place]) / self.scales_[place], -FARTHEST, FARTHEST)]
        if self.flags_[place]:
            parts.append(missing.astype(float))
        edges = self.edges_[self.edge_starts_[place] : self.edge_starts_[place + 1]]
        for low, high in pairwise(edges):
            parts.append((np.clip(filled, low, high) - low) / (high - low))
        return np.stack(parts, axis=1).astype(np.float32)

    def _category_block(self, cells: list[str | None], place: int) -> np.ndarray:
        levels, rare = self.levels_[place], self.rare_levels_[place]
        column: dict[str | None, int] = {level: number for number, level in enumerate(levels)}
        width = len(levels)
        if rare:
            column |= dict.fromkeys(rare, width)
            width += 1
        if self.missing_levels_[place]:
            column[None] = width
            width += 1
        block = np.zeros((len(cells), width), dtype=np.float32)
        chosen = np.array([column.get(cell, -1) for cell in cells], dtype=np.int64)
        rows = np.flatnonzero(chosen >= 0)
        block[rows, chosen[rows]] = 1
        return block

    def get_feature_names_out(self, input_features: Any = None) -> np.ndarray:
        """Name of every column: "age", "age:missing", "age:bin2", "town=Rome", "town:other"."""
        check_is_fitted(self)
        names: list[str] = []
        for place, name in enumerate(self.numbers):
            bins = max(0, int(self.edge_starts_[place + 1] - self.edge_starts_[place]) - 1)
            names += [name, *([f"{name}:missing"] if self.flags_[place] else [])]
            names += [f"{name}:bin{number}" for number in range(bins)]
        for place, name in enumerate(self.categories):
            names += [f"{name}={level}" for level in self.levels_[place]]
            names += [f"{name}:other"] if self.rare_levels_[place] else []
            names += [f"{name}:missing"] if self.missing_levels_[place] else []
        return np.array(names, dtype=object)

    def check_state(self) -> None:
        """Raise ArtifactError unless the fitted attributes fit together."""
        count = len(self.numbers)
        expect_array(self, "means_", (count,))
        if not (expect_array(self, "scales_", (count,)) > 0).all():
            raise damaged(self, "positive scales_", "zero or less")
        expect_array(self, "flags_", (count,), "b")
        edges = expect_array(self, "edges_", (None,))
        starts = expect_array(self, "edge_starts_", (count + 1,), "i")
        if starts[0] != 0 or starts[-1] != len(edges) or (np.diff(starts) < 0).any():
            raise damaged(self, f"edge_starts_ that rise from 0 to {len(edges)}", "others")
        inner = np.ones(max(0, len(edges) - 1), dtype=bool)
        inner[[start - 1 for start in starts[1:-1] if 0 < start < len(edges)]] = False
        if not (np.diff(edges)[inner] > 0).all():
            raise damaged(self, "rising edges_ in every number", "others")
        expect_array(self, "missing_levels_", (len(self.categories),), "b")
        for name in ("levels_", "rare_levels_"):
            lists = getattr(self, name)
            if len(lists) != len(self.categories) or not all(
                isinstance(level, str) for levels in lists for level in levels
            ):
                raise damaged(self, f"a list of strings a category in {name}", "something else")


def _column(X: Any, name: str) -> Any:
    try:
        return X[name]
    except (KeyError, IndexError, TypeError):
        known = list(X) if isinstance(X, Mapping) else list(getattr(X, "columns", []))
        raise ValueError(f"expected a column '{name}', received {known}"[:300]) from None
    except Exception as error:  # polars has an error of its own for a missing column
        raise ValueError(f"expected a column '{name}' ({error})"[:300]) from None


def _numbers(X: Any, name: str) -> np.ndarray:
    """A column as float64 (n,) within ±LARGEST, NaN where it is missing or infinite."""
    cells = _column(X, name)
    try:
        values = np.array(
            [np.nan if cell is None else cell for cell in cells] if isinstance(cells, (list, tuple)) else cells,
            dtype=np.float64,
        )
    except (TypeError, ValueError) as error:
        raise ValueError(f"column '{name}': expected numbers ({error})") from None
    return np.clip(np.where(np.isfinite(values), values, np.nan), -LARGEST, LARGEST)


def _categories(X: Any, name: str) -> list[str | None]:
    """A column as strings, None where it is missing."""
    cells = _column(X, name)
    cells = cells.to_list() if hasattr(cells, "to_list") else list(cells)
    return [None if cell is None or cell != cell else str(cell) for cell in cells]
