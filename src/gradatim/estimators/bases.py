"""Basis expansions: a curve fitted by a linear model, because the inputs are bent before it.

Each column x becomes several φ₁(x), φ₂(x), …; least squares on them is still linear in its coefficients (Bishop,
Pattern Recognition and Machine Learning, 2006, section 3.1).
What to notice: powers reach over the whole range, so a change anywhere moves the curve everywhere; bumps are local;
sigmoids are steps.
"""

from itertools import combinations_with_replacement
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import _check_feature_names_in, check_is_fitted, validate_data

from gradatim.estimators.likelihood import sigmoid
from gradatim.estimators.validation import damaged, expect_array, expect_count

# Columns of an expansion: more are an oversight, and 100,000 × 20,000 numbers 16 GB.
MOST_COLUMNS = 20_000


class _Basis(TransformerMixin, BaseEstimator):
    """What the expansions share: reading X, and a number format that stays."""

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags

    def _read(self, X: Any, *, reset: bool) -> np.ndarray:
        found: np.ndarray = validate_data(self, X, dtype=[np.float64, np.float32], reset=reset)
        return found


class PolynomialBasis(_Basis):
    """Powers x, x², …, x^degree of every column; with interactions, all products up to that degree.

    degree ≥ 1; interactions: also products of different columns; include_bias: a first column of ones.
    X (n, d) dense, float32 or float64 → (n, d · degree), column by column; with interactions by degree, then in
    lexicographic order, as scikit-learn's PolynomialFeatures. Fitted: powers_ (outputs, d), the exponent of each column
    in each output.

    >>> PolynomialBasis(degree=3).fit_transform(np.array([[2.0], [3.0]])).tolist()
    [[2.0, 4.0, 8.0], [3.0, 9.0, 27.0]]
    """

    def __init__(self, degree: int = 2, *, interactions: bool = False, include_bias: bool = False) -> None:
        self.degree = degree
        self.interactions = interactions
        self.include_bias = include_bias

    def fit(self, X: Any, y: Any = None) -> Self:
        """Learn the number of columns."""
        columns = self._read(X, reset=True).shape[1]
        if isinstance(self.degree, bool) or int(self.degree) != self.degree or self.degree < 1:
            raise ValueError(f"degree: expected a whole number ≥ 1, received {self.degree!r}")
        rows: list[np.ndarray] = []
        if self.include_bias:
            rows.append(np.zeros(columns, dtype=np.int64))
        if self.interactions:
            for degree in range(1, int(self.degree) + 1):
                for chosen in combinations_with_replacement(range(columns), degree):
                    rows.append(np.bincount(chosen, minlength=columns))
                    _check_size(len(rows))
        else:
            _check_size(columns * int(self.degree))
            unit = np.eye(columns, dtype=np.int64)
            rows += [power * unit[column] for column in range(columns) for power in range(1, int(self.degree) + 1)]
        self.powers_ = np.array(rows, dtype=np.int64)
        return self

    def transform(self, X: Any) -> np.ndarray:
        """The products (n, outputs)."""
        check_is_fitted(self)
        X = self._read(X, reset=False)
        out = np.ones((X.shape[0], len(self.powers_)), dtype=X.dtype, order="F")
        for place, exponents in enumerate(self.powers_):
            for column in np.flatnonzero(exponents):
                out[:, place] *= X[:, column] ** exponents[column]
        return np.ascontiguousarray(out)

    def get_feature_names_out(self, input_features: ArrayLike | None = None) -> np.ndarray:
        """Names such as "x0^2 x1"."""
        check_is_fitted(self)
        names = _check_feature_names_in(self, input_features)
        found = []
        for exponents in self.powers_:
            parts = [
                str(names[column]) if exponents[column] == 1 else f"{names[column]}^{exponents[column]}"
                for column in np.flatnonzero(exponents)
            ]
            found.append(" ".join(parts) or "1")
        return np.array(found, dtype=object)

    def check_state(self) -> None:
        """Raise ArtifactError unless the fitted attributes fit together."""
        powers = expect_array(self, "powers_", (None, expect_count(self, "n_features_in_", least=1)), "i")
        if powers.size and (powers.min() < 0 or powers.max() > 1000):
            raise damaged(self, "exponents from 0 to 1000 in powers_", f"{powers.min()} to {powers.max()}")


class _LocatedBasis(_Basis):
    """Functions of the distance to places along each column, with one width a column."""

    def __init__(self, centres: int | ArrayLike = 10, *, width: float | str = "spacing") -> None:
        self.centres = centres
        self.width = width

    def fit(self, X: Any, y: Any = None) -> Self:
        """Place the centres: a number of them evenly from the least to the greatest value of each column."""
        X = self._read(X, reset=True)
        low, high = X.min(0).astype(np.float64), X.max(0).astype(np.float64)
        if np.ndim(self.centres) == 0:
            count: Any = self.centres
            if isinstance(count, bool) or int(count) != count or count < 1:
                raise ValueError(f"centres: expected a whole number ≥ 1 or a list of places, received {count!r}")
            _check_size(int(count) * X.shape[1])
            shares = np.linspace(0, 1, int(count)) if count > 1 else np.array([0.5])
            # Not low + share · (high − low): the range of numbers near the largest ones is infinite.
            self.centres_ = low * (1 - shares[:, None]) + high * shares[:, None]
        else:
            places = np.asarray(self.centres, dtype=np.float64)
            places = places[:, None] if places.ndim == 1 else places
            if (
                places.ndim != 2
                or places.shape[1] not in (1, X.shape[1])
                or not places.size
                or not np.isfinite(places).all()
            ):
                raise ValueError(
                    f"centres: expected finite places (k,) or (k, {X.shape[1]}), received {np.shape(self.centres)}"
                )
            _check_size(len(places) * X.shape[1])
            self.centres_ = np.ascontiguousarray(np.broadcast_to(places, (len(places), X.shape[1])))
        self.widths_ = self._widths(low, high)
        return self

    def _widths(self, low: np.ndarray, high: np.ndarray) -> np.ndarray:
        """The width of each column (d,): the given one, or the mean distance of neighbouring centres."""
        if not isinstance(self.width, str):
            if not (np.isfinite(self.width) and self.width > 0):
                raise ValueError(f"width: expected a number > 0 or 'spacing', received {self.width!r}")
            return np.full(len(low), float(self.width))
        if self.width != "spacing":
            raise ValueError(f"width: expected a number > 0 or 'spacing', received {self.width!r}")
        if len(self.centres_) > 1:
            ordered = np.sort(self.centres_, axis=0)
            spacing = (ordered[-1] / (len(ordered) - 1)) - (ordered[0] / (len(ordered) - 1))
        else:
            spacing = high / 2 - low / 2
        return np.where(spacing > 0, spacing, 1.0)

    def _scaled(self, X: Any) -> np.ndarray:
        """(x − centre)/width, (n, d, k)."""
        check_is_fitted(self)
        X = self._read(X, reset=False)
        centres, widths = self.centres_.T.astype(X.dtype), self.widths_.astype(X.dtype)
        with np.errstate(over="ignore"):
            found: np.ndarray = (X[:, :, None] - centres) / widths[:, None]
        return found

    def _names(self, kind: str, input_features: ArrayLike | None) -> np.ndarray:
        check_is_fitted(self)
        names = _check_feature_names_in(self, input_features)
        places = range(len(self.centres_))
        return np.array([f"{kind}({name}, {place})" for name in names for place in places], dtype=object)

    def check_state(self) -> None:
        """Raise ArtifactError unless the fitted attributes fit together."""
        columns = expect_count(self, "n_features_in_", least=1)
        expect_array(self, "centres_", (None, columns))
        if not (expect_array(self, "widths_", (columns,)) > 0).all():
            raise damaged(self, "positive widths_", "others")


class GaussianBasis(_LocatedBasis):
    """Bumps exp(−(x − μ)²/2σ²) along every column.

    centres: how many, evenly from the least to the greatest training value of each column, or the places μ (k,) for all
    columns or (k, d); width: σ > 0, or "spacing", the mean distance of neighbouring centres.
    X (n, d) dense, float32 or float64 → (n, d · k), column by column. Fitted: centres_ (k, d), widths_ (d,).

    >>> GaussianBasis(centres=[0.0, 1.0], width=1.0).fit_transform(np.array([[0.0]])).round(4).tolist()
    [[1.0, 0.6065]]
    """

    def transform(self, X: Any) -> np.ndarray:
        """The bumps' heights (n, d · k)."""
        scaled = self._scaled(X)
        with np.errstate(over="ignore"):
            return np.exp(-(scaled**2) / 2).reshape(len(scaled), -1)

    def get_feature_names_out(self, input_features: ArrayLike | None = None) -> np.ndarray:
        """Names such as "gaussian(x0, 3)"."""
        return self._names("gaussian", input_features)


class SigmoidBasis(_LocatedBasis):
    """Steps 1/(1 + exp(−(x − μ)/s)) along every column; centres and width (s) as in `GaussianBasis`.

    >>> SigmoidBasis(centres=[0.0], width=1.0).fit_transform(np.array([[0.0], [10.0]])).round(4).tolist()
    [[0.5], [1.0]]
    """

    def transform(self, X: Any) -> np.ndarray:
        """The steps' heights (n, d · k)."""
        scaled = self._scaled(X)
        return np.asarray(sigmoid(scaled), dtype=scaled.dtype).reshape(len(scaled), -1)

    def get_feature_names_out(self, input_features: ArrayLike | None = None) -> np.ndarray:
        """Names such as "sigmoid(x0, 3)"."""
        return self._names("sigmoid", input_features)


def _check_size(columns: int) -> None:
    if columns > MOST_COLUMNS:
        raise ValueError(
            f"expected at most {MOST_COLUMNS} columns after the expansion, received more; choose a lower degree or"
            " fewer centres"
        )
