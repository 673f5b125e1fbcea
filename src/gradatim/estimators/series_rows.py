"""Series as arrays: every form in which rows of series are handed to an estimator, brought into one.

Rows may have several channels and unequal lengths. A missing value inside a series is filled by the straight line
between its neighbours, one at an end by the nearest value.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import scipy.sparse
from sklearn.utils.validation import validate_data

MOST_CHANNELS = 4096


def series_tags(tags: Any) -> Any:
    """scikit-learn's tags of an estimator that takes rows of series."""
    tags.input_tags.allow_nan = True
    tags.input_tags.three_d_array = True
    return tags


def series_rows(X: Any, channels: int | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Values (n, C, T) float32 or float64, zero beyond each row's end, and lengths (n,) int64.

    X: an array (n, T) of single series or (n, C, T), a list of arrays (T,) or (C, T) of any lengths (None: a row of
    length 0), or {"values": (n, C, T), "lengths": (n,)} of arrays or tensors. channels: as many are expected. NaN is
    missing and filled. Errors: ValueError for other shapes and for infinite values.

    >>> values, lengths = series_rows([[1.0, 2.0, float("nan"), 4.0], [5.0, 6.0]])
    >>> values[0, 0].tolist(), lengths.tolist()
    ([1.0, 2.0, 3.0, 4.0], [4, 2])
    """
    if scipy.sparse.issparse(X):
        raise TypeError("Sparse data was passed, but dense data is required: a series has a value at every step; "
                        "use '.toarray()'")
    if isinstance(X, Mapping):
        values, lengths = _floats(X["values"]), np.asarray(X["lengths"], dtype=np.int64)
        values = values * (np.arange(values.shape[-1]) < lengths[:, None])[:, None] if values.ndim == 3 else values
    elif isinstance(X, list | tuple):
        values, lengths = _stacked(X, channels)
    else:
        values = _floats(X)
        values = values[:, None] if values.ndim == 2 else values
        lengths = np.full(len(values), values.shape[-1] if values.ndim == 3 else 0, dtype=np.int64)
    if values.ndim != 3 or lengths.shape != (len(values),):
        raise ValueError(f"expected series (n, T) or (n, C, T), received shape {values.shape}")
    if len(lengths) and (lengths.min() < 0 or lengths.max() > values.shape[2]):
        raise ValueError(f"expected lengths from 0 to {values.shape[2]}, received {lengths.min()} to {lengths.max()}")
    if not 1 <= values.shape[1] <= MOST_CHANNELS or (channels is not None and values.shape[1] != channels):
        expected = f"{channels}" if channels is not None else f"1 to {MOST_CHANNELS}"
        raise ValueError(f"expected series of {expected} channels, received {values.shape[1]}")
    if not np.isfinite(values).all():
        values = _filled(values, lengths)
    return np.ascontiguousarray(values), lengths


def validated_rows(estimator: Any, X: Any, *, fitting: bool) -> tuple[np.ndarray, np.ndarray]:
    """`series_rows` for an estimator that keeps `channels_`: scikit-learn's checks of a matrix, channels as fitted.

    Errors: ValueError where a fit is given no value at all.
    """
    if not isinstance(X, list | tuple | dict) and dimensions(X) <= 2:
        X = validate_data(estimator, X, reset=fitting, dtype=[np.float64, np.float32], ensure_all_finite="allow-nan")
    elif fitting and hasattr(estimator, "n_features_in_"):
        del estimator.n_features_in_
    values, lengths = series_rows(X, None if fitting else int(estimator.channels_))
    if fitting and (not len(lengths) or not lengths.max()):
        raise ValueError("expected at least one series with values, received none")
    return values, lengths


def dimensions(X: Any) -> int:
    """Axes of an array, or of what can be made one."""
    return int(X.ndim) if hasattr(X, "ndim") else np.asarray(X).ndim


def _floats(X: Any) -> np.ndarray:
    """As float32 where it is that, else float64."""
    array = np.asarray(X)
    if array.dtype == np.float32:
        return array
    if array.dtype.kind not in "biuf":
        raise ValueError(f"expected series of numbers, received {array.dtype}")
    return array.astype(np.float64)


def _stacked(rows: Any, channels: int | None) -> tuple[np.ndarray, np.ndarray]:
    arrays = [None if row is None else np.atleast_2d(_floats(row)) for row in rows]
    there = [array for array in arrays if array is not None]
    counts = {array.shape[0] for array in there}
    if len(counts) > 1 or any(array.ndim != 2 for array in there):
        raise ValueError(f"expected series (T,) or (C, T) with the same channels C, received {sorted(counts)}")
    lengths = np.array([0 if array is None else array.shape[1] for array in arrays], dtype=np.int64)
    single = bool(there) and all(array.dtype == np.float32 for array in there)
    values = np.zeros((len(arrays), counts.pop() if counts else channels or 1, int(lengths.max(initial=1)) or 1),
                      dtype=np.float32 if single else np.float64)
    for place, array in enumerate(arrays):
        if array is not None:
            values[place, :, : array.shape[1]] = array
    return values, lengths


def _filled(values: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    if np.isinf(values).any():
        raise ValueError("expected finite values, or NaN where one is missing; received infinity")
    values = values.copy()
    for row, channel in np.argwhere(np.isnan(values).any(axis=2)):
        line = values[row, channel, : lengths[row]]
        values[row, channel, : lengths[row]] = interpolated(line)
        values[row, channel, lengths[row] :] = 0.0
    return values


def interpolated(line: np.ndarray) -> np.ndarray:
    """NaN replaced by the straight line between neighbours, at an end by the nearest value; zeros where all are NaN.

    >>> interpolated(np.array([np.nan, 1.0, np.nan, 2.0])).tolist()
    [1.0, 1.0, 1.5, 2.0]
    """
    missing = np.isnan(line)
    if not missing.any():
        return line
    if missing.all():
        return np.zeros_like(line)
    places = np.arange(len(line))
    return np.where(missing, np.interp(places, places[~missing], line[~missing]), line).astype(line.dtype)
