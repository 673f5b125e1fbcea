"""Information measures of distributions: entropy, cross entropy, divergences, and the cost of transport.

Distributions are arrays of probabilities over the last axis, or samples where the name says so. base: e for nats (the
default), 2 for bits. What to notice: D(P‖Q) = H(P, Q) − H(P), the price of coding P with a code made for Q; it is not
symmetric and infinite where Q excludes what P allows; the Wasserstein distance sees how far apart values are, the
others only whether they are the same.
"""

from typing import Any

import numpy as np
import scipy.optimize
import scipy.sparse
from numpy.typing import ArrayLike
from scipy.special import rel_entr, xlogy

# Variables of a transport problem that the linear programme takes in some seconds.
LARGEST_TRANSPORT = 1_000_000


def probabilities(values: ArrayLike, name: str = "P") -> np.ndarray:
    """The values as float64 probabilities: none negative, each row of sum one to a millionth; ValueError otherwise.

    >>> probabilities([0.5, 0.5]).tolist()
    [0.5, 0.5]
    """
    found = np.asarray(values, dtype=np.float64)
    if found.ndim == 0 or not found.size or not np.isfinite(found).all() or (found < 0).any():
        raise ValueError(f"{name}: expected probabilities ≥ 0 over the last axis, received {_shown(values)}")
    sums = found.sum(-1, keepdims=True)
    if np.abs(sums - 1).max() > 1e-6:
        worst = float(sums.ravel()[np.argmax(np.abs(sums - 1))])
        raise ValueError(f"{name}: expected probabilities of sum 1, received sum {worst:.6g}; divide by the sum")
    return np.asarray(found / sums)


def entropy(P: ArrayLike, *, base: float = np.e) -> Any:
    """H(P) = −Σ p log p: the mean surprise, the least mean length of a code (Shannon, 1948, theorem 2).

    P (..., k) → (...,), a number for one distribution.

    >>> entropy([0.5, 0.25, 0.25], base=2)
    1.5
    """
    P = probabilities(P)
    return _answer(-xlogy(P, P).sum(-1), base)


def cross_entropy(P: ArrayLike, Q: ArrayLike, *, base: float = np.e) -> Any:
    """H(P, Q) = −Σ p log q: the mean length of P's values in the best code for Q; infinite where q = 0 < p.

    >>> round(cross_entropy([1.0, 0.0], [0.25, 0.75], base=2), 6)
    2.0
    """
    P, Q = _pair(P, Q)
    with np.errstate(divide="ignore"):
        return _answer(-xlogy(P, Q).sum(-1), base)


def kl_divergence(P: ArrayLike, Q: ArrayLike, *, base: float = np.e) -> Any:
    """D(P‖Q) = Σ p log(p/q) = H(P, Q) − H(P) ≥ 0, zero for equal distributions only (Kullback and Leibler, 1951).

    >>> kl_divergence([0.5, 0.5], [0.5, 0.5]), kl_divergence([0.5, 0.5], [1.0, 0.0])
    (0.0, inf)
    """
    P, Q = _pair(P, Q)
    return _answer(np.maximum(rel_entr(P, Q).sum(-1), 0.0), base)


def jensen_shannon(P: ArrayLike, Q: ArrayLike, *, base: float = np.e) -> Any:
    """½ D(P‖M) + ½ D(Q‖M) with M = (P + Q)/2: symmetric, at most log 2; its root is a metric (Lin, 1991).

    >>> jensen_shannon([1.0, 0.0], [0.0, 1.0], base=2)
    1.0
    """
    P, Q = _pair(P, Q)
    middle = (P + Q) / 2
    middle = np.where(middle > 0, middle, P + Q)  # half of the least number is zero
    return _answer(np.maximum((rel_entr(P, middle) + rel_entr(Q, middle)).sum(-1) / 2, 0.0), base)


def mutual_information(joint: ArrayLike, *, base: float = np.e) -> float:
    """I(X; Y) = D(P(x, y)‖P(x)P(y)) of a table of joint probabilities (rows, columns) of sum one.

    >>> mutual_information([[0.5, 0.0], [0.0, 0.5]], base=2)
    1.0
    """
    table = np.asarray(joint, dtype=np.float64)
    if table.ndim != 2:
        raise ValueError(f"joint: expected a table of probabilities (rows, columns), received shape {table.shape}")
    table = probabilities(table.ravel(), "joint").reshape(table.shape)
    return float(kl_divergence(table.ravel(), np.outer(table.sum(1), table.sum(0)).ravel(), base=base))


def wasserstein(
    first: ArrayLike,
    second: ArrayLike,
    *,
    first_weights: ArrayLike | None = None,
    second_weights: ArrayLike | None = None,
    order: float = 1.0,
) -> float:
    """The Wasserstein distance of two samples of numbers, exactly: (∫ |F⁻¹(u) − G⁻¹(u)|ᵖ du)^(1/p), p = order ≥ 1.

    first (n,), second (m,): values, not probabilities; weights ≥ 0 of any positive sum, None for equal. In units of the
    values. On a line the best transport keeps the order, so sorting solves it (Villani, Topics in Optimal
    Transportation, 2003, theorem 2.18).

    >>> wasserstein([0.0, 1.0], [5.0, 6.0])
    5.0
    """
    if not (np.isfinite(order) and order >= 1):
        raise ValueError(f"order: expected a number ≥ 1, received {order!r}")
    left, left_steps = _quantiles(first, first_weights, "first")
    right, right_steps = _quantiles(second, second_weights, "second")
    # The quantile functions are constant between the joint steps.
    steps = np.sort(np.concatenate([left_steps, right_steps]))
    widths = np.diff(steps, prepend=0.0)
    middle = steps - widths / 2
    places = np.searchsorted(left_steps, middle), np.searchsorted(right_steps, middle)
    gaps = np.abs(left[np.minimum(places[0], len(left) - 1)] - right[np.minimum(places[1], len(right) - 1)])
    largest = float(gaps.max())
    if largest == 0 or not np.isfinite(largest):
        return largest
    return largest * float(widths @ (gaps / largest) ** order) ** (1 / order)


def optimal_transport(P: ArrayLike, Q: ArrayLike, cost: ArrayLike) -> tuple[float, np.ndarray]:
    """The least cost of moving P onto Q, and the plan (k, l): how much goes from each place to each.

    P (k,), Q (l,) probabilities; cost (k, l) of moving a unit. With the p-th power of a distance as cost, the p-th root
    of the result is the Wasserstein distance of order p. By a linear programme (Kantorovich, 1942; HiGHS), for at most
    a million pairs.

    >>> cost, plan = optimal_transport([0.5, 0.5], [0.0, 1.0], [[0.0, 1.0], [1.0, 0.0]])
    >>> cost, plan.tolist()
    (0.5, [[0.0, 0.5], [0.0, 0.5]])
    """
    left, right = probabilities(P, "P"), probabilities(Q, "Q")
    prices = np.asarray(cost, dtype=np.float64)
    if left.ndim != 1 or right.ndim != 1 or prices.shape != (len(left), len(right)) or not np.isfinite(prices).all():
        raise ValueError(
            f"cost: expected finite numbers of shape (k, l) for P (k,) and Q (l,), received {prices.shape} for"
            f" {left.shape} and {right.shape}"
        )
    if prices.size > LARGEST_TRANSPORT:
        raise ValueError(
            f"expected at most {LARGEST_TRANSPORT} pairs, received {prices.size}; thin out, or use `wasserstein` for"
            " numbers on a line"
        )
    k, l = prices.shape
    rows = scipy.sparse.kron(scipy.sparse.eye_array(k), np.ones((1, l)), format="csr")
    columns = scipy.sparse.kron(np.ones((1, k)), scipy.sparse.eye_array(l), format="csr")
    # One equation follows from the others; without it rounding cannot make them contradict each other.
    equations = scipy.sparse.vstack([rows, columns[:-1]], format="csr")
    found = scipy.optimize.linprog(
        prices.ravel(), A_eq=equations, b_eq=np.concatenate([left, right[:-1]]), bounds=(0, None), method="highs"
    )
    if found.x is None:
        raise ValueError(
            f"expected a transport problem that can be solved, received one that ends with {found.message}"
        )
    plan = np.maximum(found.x.reshape(k, l), 0.0)
    return float((plan * prices).sum()), plan


def _pair(P: ArrayLike, Q: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    left, right = probabilities(P, "P"), probabilities(Q, "Q")
    if left.shape[-1] != right.shape[-1]:
        raise ValueError(f"expected P and Q over the same values, received {left.shape[-1]} and {right.shape[-1]}")
    return left, right


def _answer(nats: np.ndarray, base: float) -> Any:
    if not (np.isfinite(base) and base > 0 and base != 1):
        raise ValueError(f"base: expected a number > 0 other than 1 (e for nats, 2 for bits), received {base!r}")
    scaled = nats / np.log(base) + 0.0  # no negative zero
    return float(scaled) if np.ndim(scaled) == 0 else scaled


def _quantiles(values: ArrayLike, weights: ArrayLike | None, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Sorted values and the probability up to and with each."""
    found = np.asarray(values, dtype=np.float64)
    if found.ndim != 1 or not found.size or not np.isfinite(found).all():
        raise ValueError(f"{name}: expected finite numbers (n,), received {_shown(values)}")
    shares = np.ones(len(found)) if weights is None else np.asarray(weights, dtype=np.float64)
    if shares.shape != found.shape or not np.isfinite(shares).all() or (shares < 0).any() or not shares.sum() > 0:
        raise ValueError(
            f"{name}_weights: expected a weight ≥ 0 for each value, some positive, received {_shown(weights)}"
        )
    order = np.argsort(found, kind="stable")
    order = order[shares[order] > 0]
    steps = np.cumsum(shares[order])
    steps /= steps[-1]
    return found[order], steps


def _shown(values: Any) -> str:
    array = np.asarray(values)
    return repr(array.tolist())[:80] if array.size <= 8 else f"an array of shape {array.shape}"
