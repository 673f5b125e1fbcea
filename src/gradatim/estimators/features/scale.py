"""Bringing every feature to mean zero and deviation one, so that one penalty fits all of them."""

from typing import Any

import numpy as np

from gradatim.estimators.validation import damaged, expect_array

# deviations from the mean beyond which a feature says no more: one that hardly varied in training must not rule a row
FARTHEST = 10.0


def moments(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation (d,) float32 of every column; the deviation of a constant column is 1."""
    if not len(rows):
        return np.zeros(rows.shape[1], dtype=np.float32), np.ones(rows.shape[1], dtype=np.float32)
    means = rows.mean(0, dtype=np.float64)
    squares = np.zeros_like(means)
    for start in range(0, len(rows), 4096):
        squares += np.square(rows[start : start + 4096] - means).sum(0)
    deviations = np.sqrt(squares / len(rows))
    constant = deviations <= 1e-6 * np.maximum(1e-6, np.abs(means))
    return means.astype(np.float32), np.where(constant, 1, deviations).astype(np.float32)


def standardised(rows: np.ndarray, means: np.ndarray, scales: np.ndarray) -> np.ndarray:
    """Rows (n, d) in deviations from the mean, no farther than FARTHEST, float32; NaN stays."""
    return np.clip((rows - means) / scales, -FARTHEST, FARTHEST).astype(np.float32, copy=False)


def check_moments(estimator: Any, columns: int) -> None:
    """Raise ArtifactError unless means_ and scales_ are finite numbers for this many columns."""
    expect_array(estimator, "means_", (columns,))
    if not (expect_array(estimator, "scales_", (columns,)) > 0).all():
        raise damaged(estimator, "positive scales_", "zero or less")
