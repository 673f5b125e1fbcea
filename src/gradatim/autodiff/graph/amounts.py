"""Arrays in words: small ones by their numbers, large ones by shape and norm."""

from typing import Any

import numpy as np

SHOWN_IN_TEXT, SHOWN_IN_JSON = 4, 64


def number_text(value: float, *, minus: str = "-") -> str:
    """A number in at most four significant digits.

    >>> number_text(-0.00012345), number_text(33.0), number_text(1234567.0)
    ('-0.0001234', '33', '1.235e+06')
    """
    text = f"{value:.4g}"
    return ("0" if text == "-0" else text).replace("-", minus)


def array_text(value: np.ndarray, *, minus: str = "-") -> str:
    """A number, up to four numbers in brackets, or shape and Euclidean norm.

    >>> array_text(np.array([1.0, 2.5])), array_text(np.ones((8, 8)))
    ('[1, 2.5]', '8×8, norm 8')
    """
    value = np.asarray(value)
    if value.ndim == 0:
        return number_text(float(value), minus=minus)
    if value.size <= SHOWN_IN_TEXT:
        return _nested(value, minus)
    return f"{'×'.join(map(str, value.shape))}, norm {number_text(norm(value), minus=minus)}"


def _nested(value: np.ndarray, minus: str) -> str:
    if value.ndim == 0:
        return number_text(float(value), minus=minus)
    return "[" + ", ".join(_nested(part, minus) for part in value) + "]"


def norm(value: np.ndarray) -> float:
    """Euclidean norm over all numbers, in float64."""
    value = np.asarray(value, dtype=np.float64)
    largest = float(np.abs(value).max(initial=0.0))
    if largest == 0.0 or not np.isfinite(largest):
        return largest
    return largest * float(np.sqrt(np.square(value / largest).sum()))  # squares of large numbers overflow


def array_json(value: np.ndarray | None) -> dict[str, Any] | None:
    """Shape, norm, and the numbers themselves where there are at most 64 (else null)."""
    if value is None:
        return None
    value = np.asarray(value)
    values = value.astype(np.float64).tolist() if value.size <= SHOWN_IN_JSON else None
    return {"shape": list(value.shape), "norm": norm(value), "values": values}
