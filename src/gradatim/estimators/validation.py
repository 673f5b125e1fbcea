"""Checks of a fitted state that was read from a file: one line, and never a crash later in a prediction."""

from itertools import pairwise
from typing import Any

import numpy as np

from gradatim.errors import ArtifactError


def damaged(estimator: Any, expected: str, received: str) -> ArtifactError:
    """The error for a saved estimator whose attributes do not fit together."""
    return ArtifactError(
        f"{type(estimator).__name__}: expected {expected}, received {received}; the file is damaged, fit again"
    )


def expect_array(
    estimator: Any, name: str, shape: tuple[int | None, ...], kinds: str = "f", *, finite: bool = True
) -> np.ndarray:
    """The attribute `name` as an array of this shape (None: any length) and NumPy kind ('f', 'i', 'iu', 'b'
    …).
    """
    value = getattr(estimator, name, None)
    if not isinstance(value, np.ndarray):
        raise damaged(estimator, f"an array {name}", type(value).__name__)
    fits = len(value.shape) == len(shape) and all(want in (None, have) for want, have in zip(shape, value.shape))
    if not fits:
        raise damaged(estimator, f"{name} of shape {shape}", f"shape {value.shape}")
    if value.dtype.kind not in kinds:
        raise damaged(estimator, f"{name} of kind {kinds!r}", f"dtype {value.dtype}")
    if finite and value.dtype.kind == "f" and not np.isfinite(value).all():
        raise damaged(estimator, f"finite numbers in {name}", "not-a-number or infinity")
    return value


def expect_count(estimator: Any, name: str, *, least: int = 0) -> int:
    """The attribute `name` as a whole number of at least `least`."""
    value = getattr(estimator, name, None)
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise damaged(estimator, f"a whole number {name} ≥ {least}", repr(value)[:80])
    return value


def expect_strings(estimator: Any, name: str, *, sorted_and_unique: bool = False) -> list[str]:
    """The attribute `name` as a list of strings."""
    value = getattr(estimator, name, None)
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise damaged(estimator, f"a list of strings {name}", type(value).__name__)
    if sorted_and_unique and any(first >= second for first, second in pairwise(value)):
        raise damaged(estimator, f"{name} in ascending order without repeats", "another order")
    return value


def expect_classes(estimator: Any) -> np.ndarray:
    """classes_ as a one-dimensional array in ascending order without repeats."""
    value = getattr(estimator, "classes_", None)
    if not isinstance(value, np.ndarray) or value.ndim != 1 or not value.size:
        raise damaged(estimator, "a one-dimensional array classes_", type(value).__name__)
    if any(not first < second for first, second in pairwise(value.tolist())):
        raise damaged(estimator, "classes_ in ascending order without repeats", "another order")
    return value
